//! A run between two steps: the model, its optimizer and its history; what a step changes and a checkpoint holds.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::optim::optimizer::Optimizer;
use crate::optim::schedule::RatePlan;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::checkpoint::manifest;
use crate::train::checkpoint::state::TrainerState;
use crate::train::checkpoint::store::{self, Contents};
use crate::train::report::StepReport;

/// Settings that a run may change when it goes on from a checkpoint, without a word.
const FREE: [&str; 6] = ["output_dir", "overwrite_output_dir", "resume_from_checkpoint", "disable_tqdm", "report_to", "save_total_limit"];

/// Where a run stands.
#[derive(Debug)]
pub struct Run {
    /// The model in training; it shares its weights with the caller's variable.
    pub model: CausalLm,
    /// The settings.
    pub arguments: TrainingArguments,
    /// Its moments and loss scale.
    pub optimizer: Optimizer,
    /// All steps so far.
    pub history: Vec<StepReport>,
    /// Logs and totals, as `trainer_state.json` has them.
    pub state: TrainerState,
    /// Steps of the whole run.
    pub total_steps: usize,
    /// Steps of a pass over the rows.
    pub steps_per_epoch: usize,
    /// Rows that are trained on.
    pub rows: usize,
    /// The checksum of their ids; 0 where it is not known.
    pub data: u32,
    /// Whether the checkpoint from which it goes on was written with as many other rows.
    pub other_rows: bool,
    /// When it began, in microseconds since 1970: the checkpoints of one run share it.
    pub began: u64,
}

impl Run {
    /// A run before its first step, over so many rows.
    ///
    /// # Errors
    /// When the optimizer's state cannot be made on the model's device.
    pub fn new(model: &CausalLm, arguments: TrainingArguments, rows: usize) -> Result<Self> {
        let (total_steps, steps_per_epoch) = (arguments.total_steps(rows), arguments.steps_per_epoch(rows));
        Ok(Self {
            optimizer: Optimizer::new(arguments.optimizer_settings(), model.backend(), model.weights())?,
            model: model.clone(),
            history: Vec::new(),
            state: TrainerState::new(&arguments, total_steps, steps_per_epoch),
            total_steps,
            steps_per_epoch,
            rows,
            data: 0,
            other_rows: false,
            began: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64),
            arguments,
        })
    }

    /// The learning rate of every step.
    pub fn rates(&self) -> RatePlan {
        self.arguments.rate_plan(self.total_steps)
    }

    /// Adds a step.
    pub fn add(&mut self, report: StepReport) -> &StepReport {
        self.history.push(report);
        self.count();
        &self.history[self.history.len() - 1]
    }

    /// Brings the state's totals to the history's.
    fn count(&mut self) {
        let tokens = self.history.iter().map(|step| step.tokens).sum();
        self.state.global_step = self.history.len();
        self.state.epoch = self.history.last().map_or(0.0, |step| step.epoch);
        self.state.num_input_tokens_seen = tokens;
        self.state.total_flos = self.model.floating_point_ops(tokens);
    }

    /// The loss of the best evaluation that was saved.
    pub fn best_saved_loss(&self) -> Option<f64> {
        let step = self.state.best_model_checkpoint.as_ref()?.rsplit_once('-')?.1.parse::<usize>().ok()?;
        self.history.get(step.checked_sub(1)?)?.eval_loss
    }

    /// Writes `checkpoint-<step>` into a folder; `memories` is what callbacks remember, `stop` whether they ask for the end.
    ///
    /// # Errors
    /// When a file cannot be written; earlier checkpoints are untouched then.
    pub fn save(&self, output: &Path, memories: Map<String, Value>, stop: bool) -> Result<PathBuf> {
        let mut state = self.state.clone();
        let stop = stop || self.history.len() >= self.total_steps;
        let args = json!({ "should_epoch_stop": false, "should_evaluate": false, "should_log": false, "should_save": true, "should_training_stop": stop });
        state.stateful_callbacks.insert("TrainerControl".into(), json!({ "args": args, "attributes": {} }));
        state.stateful_callbacks.extend(memories);
        let Self { model, optimizer, history, arguments, began, rows, data, .. } = self;
        store::save(output, Contents { model, optimizer, history, state: &state, arguments, run: *began, rows: *rows, data: *data })
    }

    /// [`Run::save`] into the output folder; then the oldest checkpoints beyond `save_total_limit` go.
    ///
    /// # Errors
    /// As [`Run::save`].
    pub fn save_and_prune(&mut self, memories: Map<String, Value>, stop: bool) -> Result<()> {
        let (output, step, best) = (self.arguments.output_dir.clone(), self.history.len(), self.best_saved_loss());
        let eval_loss = self.history.last().and_then(|step| step.eval_loss);
        if eval_loss.is_some_and(|loss| loss.is_finite() && best.is_none_or(|best| loss < best)) {
            self.state.best_model_checkpoint = Some(output.join(format!("checkpoint-{step}")).display().to_string());
        }
        self.save(&output, memories, stop)?;
        let best = self.state.best_model_checkpoint.as_ref().map(PathBuf::from);
        store::prune(&output, self.arguments.save_total_limit, step, best.as_deref())
    }

    /// Takes over a checkpoint; gives back what its callbacks remembered. What differs from this run is said aloud.
    ///
    /// # Errors
    /// When there is no such checkpoint, it is damaged, of another model, or of more rows than this run has; nothing changes then.
    pub fn load(&mut self, folder: &Path) -> Result<Map<String, Value>> {
        let folder = self.find(folder)?;
        let other_rows = self.check_rows(&folder)?;
        let loaded = store::load(&folder, &self.model, &mut self.optimizer)?;
        let (ours, theirs) = (self.arguments.to_json(), loaded.arguments.to_json());
        for (name, value) in ours.as_object().into_iter().flatten().filter(|(name, _)| !FREE.contains(&name.as_str())) {
            if *value != theirs[name] {
                println!("resume: {name} is {value}; the checkpoint was written with {}", theirs[name]);
            }
        }
        if loaded.state.max_steps != self.total_steps {
            println!("resume: this run has {} steps in all, that of the checkpoint has {}", self.total_steps, loaded.state.max_steps);
        }
        (self.history, self.began, self.other_rows) = (loaded.history, loaded.run, other_rows);
        self.state = TrainerState::new(&self.arguments, self.total_steps, self.steps_per_epoch);
        self.state.log_history = loaded.state.log_history;
        self.count();
        let saved = |step: usize| self.arguments.output_dir.join(format!("checkpoint-{step}"));
        let mut best: Option<(f64, usize)> = None;
        for (loss, step) in self.history.iter().filter_map(|report| Some((report.eval_loss?, report.step))) {
            if self.state.best_metric.is_none_or(|best| loss < best) {
                (self.state.best_metric, self.state.best_global_step) = (Some(loss), Some(step));
            }
            if best.is_none_or(|(best, _)| loss < best) && saved(step).exists() {
                best = Some((loss, step));
            }
        }
        self.state.best_model_checkpoint = best.map(|(_, step)| saved(step).display().to_string());
        Ok(loaded.state.stateful_callbacks)
    }

    /// Refuses a checkpoint of more rows: the order of the rows, and so the run, would be another one. More rows than it had are
    /// said aloud; as many others give true.
    fn check_rows(&self, folder: &Path) -> Result<bool> {
        let (ours, Some((theirs, data))) = (self.rows, manifest::rows(folder)) else { return Ok(false) };
        if ours == theirs && ![0, self.data].contains(&data) {
            return Ok(true);
        }
        if ours > theirs {
            println!("resume: train_dataset has {ours} rows; the checkpoint was written with {theirs}, so the rows come in another order");
        }
        if ours >= theirs {
            return Ok(false);
        }
        let message = format!("train_dataset has {ours} rows; the run of `{}` had {theirs}", folder.display());
        Err(Error::new(ErrorKind::Training, message)
            .hint("resume with the rows of that run, or begin a new one with its weights: `AutoModelForCausalLM::from_pretrained`"))
    }

    /// Takes the best checkpoint's weights, and says so, or that there is none.
    ///
    /// # Errors
    /// When the checkpoint is damaged.
    pub fn load_best(&self) -> Result<()> {
        let Some(folder) = &self.state.best_model_checkpoint else {
            let step = self.history.len();
            println!("load_best_model_at_end: no evaluation was saved; the weights are those after step {step}");
            return Ok(());
        };
        let folder = Path::new(folder);
        manifest::verify(folder)?;
        self.model.load_weights(folder)?;
        println!("best model: {} with eval_loss {:.4}", folder.display(), self.best_saved_loss().unwrap_or(f64::NAN));
        Ok(())
    }

    /// A checkpoint's folder: as it is given, else inside the output folder.
    fn find(&self, folder: &Path) -> Result<PathBuf> {
        let output = &self.arguments.output_dir;
        let Some(found) = [folder.to_path_buf(), output.join(folder)].into_iter().find(|path| path.is_dir()) else {
            let there: Vec<String> = store::list(output).iter().map(|(step, _)| format!("`checkpoint-{step}`")).collect();
            let there = if there.is_empty() { "no checkpoint".into() } else { there.join(", ") };
            let message = format!("`{}` does not exist; `{}` holds {there}", folder.display(), output.display());
            return Err(Error::new(ErrorKind::Training, message)
                .hint("resume from one of those, or set resume_from_checkpoint: Some(\"latest\".into())"));
        };
        let holds = |name: &str| found.join(name).exists();
        if !holds(manifest::FILE) && ["optimizer.pt", "optimizer.bin", "scheduler.pt", "rng_state.pth"].into_iter().any(holds) {
            let message = format!(
                "`{}` is a checkpoint of transformers, whose optimizer state is in PyTorch's own format: a run cannot go on from it here",
                found.display()
            );
            return Err(Error::new(ErrorKind::Training, message)
                .hint("load its weights with `AutoModelForCausalLM::from_pretrained`, and begin a run with them"));
        }
        Ok(found)
    }

    /// [`Run::load`] of the newest whole checkpoint in the output folder, of the run that began last; damaged ones are named
    /// and skipped. None where there is no checkpoint.
    ///
    /// # Errors
    /// When there are checkpoints and none is whole.
    pub fn load_newest(&mut self) -> Result<Option<(PathBuf, Map<String, Value>)>> {
        store::tidy(&self.arguments.output_dir)?;
        let mut damaged = None;
        for folder in store::newest_first(&self.arguments.output_dir) {
            match manifest::verify(&folder) {
                Ok(()) => return self.load(&folder).map(|memories| Some((folder, memories))),
                Err(error) => println!("skipped: {}", damaged.insert(error)),
            }
        }
        damaged.map_or(Ok(None), |error| Err(error.at("no checkpoint of the run is whole")))
    }
}
