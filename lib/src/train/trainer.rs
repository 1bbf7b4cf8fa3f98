//! (model, arguments, rows) → a trained model: the loop of transformers' `Trainer`, for any objective.
//!
//! [`crate::train::step`] is one turn of it; here are its logs, evaluations and checkpoints, and how it goes on after a stop.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::display::output::{LiveDisplay, in_our_kernel};
use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::{Encoding, TokenizedDataset};
use crate::train::arguments::json;
use crate::train::arguments::settings::{IntervalStrategy, TrainingArguments};
use crate::train::batch::packed_length;
use crate::train::callback::early_stopping::EarlyStopping;
use crate::train::callback::trainer_callback::{CallbackContext, Control, TrainerCallback};
use crate::train::check;
use crate::train::checkpoint::state::TrainerState;
use crate::train::checkpoint::store;
use crate::train::held_out::{EvalContext, HeldOut};
use crate::train::log::curve::LossCurve;
use crate::train::log::line::{eval_line, step_line};
use crate::train::log::meter::TrainOutput;
use crate::train::log::tensorboard::TensorBoard;
use crate::train::objective::{NextToken, Objective};
use crate::train::report::{EvalReport, Metrics, StepReport};
use crate::train::run::Run;
use crate::train::sampler::Sampler;
use crate::train::step::training_step;
use crate::train::watch::Watch;
use crate::util::crc32c::crc32c;
use crate::util::interrupt;
use crate::util::lock::FolderLock;

/// Trains a model in place. After an interrupt or an error, `train` goes on where it stopped.
#[derive(Debug)]
pub struct Trainer<O: Objective = NextToken> {
    run: Run,
    objective: O,
    train_rows: Vec<O::Row>,
    held_out: HeldOut<O::Row>,
    sampler: Sampler,
    callbacks: Vec<Box<dyn TrainerCallback>>,
    /// What is still to do after the last step: an interrupt may come before it.
    pending: Option<Control>,
    /// When the state was last written into the output folder.
    stated: Instant,
    watch: Watch,
}

impl Trainer {
    /// A trainer that shares the model's weights with the caller's variable. Rows with nothing to predict are left out, aloud.
    ///
    /// # Errors
    /// When an argument, a row or a weight cannot work, memory does not suffice, or `output_dir` holds another run.
    pub fn new(
        model: &CausalLm,
        arguments: TrainingArguments,
        train_dataset: TokenizedDataset,
        eval_dataset: TokenizedDataset,
    ) -> Result<Self> {
        check::arguments(&arguments, model)?;
        let rows = |name: &str, data: TokenizedDataset, needed: bool| -> Result<Vec<Encoding>> {
            let kept = check::learnable(name, data.rows(), needed, arguments.completion_only_loss, model)?;
            Ok(if kept.len() < data.len() { kept.into_iter().cloned().collect() } else { data.into_rows() })
        };
        let (train, eval) = (rows("train_dataset", train_dataset, true)?, rows("eval_dataset", eval_dataset, arguments.evaluates())?);
        check::weights(model)?;
        Self::with_objective(NextToken, model, arguments, train, eval)
    }

    /// One optimizer step on rows of your choice.
    ///
    /// # Errors
    /// As [`Trainer::step`]; and when none of the rows has anything to predict.
    pub fn step_on(&mut self, rows: &[Encoding]) -> Result<&StepReport> {
        training_step(&mut self.run, &self.objective, &rows.iter().collect::<Vec<_>>())
    }
}

impl<O: Objective> Trainer<O> {
    /// A trainer with arguments, rows and weights that were checked.
    pub(crate) fn with_objective(
        objective: O,
        model: &CausalLm,
        arguments: TrainingArguments,
        train_rows: Vec<O::Row>,
        eval_rows: Vec<O::Row>,
    ) -> Result<Self> {
        let fresh = !arguments.overwrite_output_dir && arguments.resume_from_checkpoint.is_none();
        if fresh && arguments.saves() && !store::list(&arguments.output_dir).is_empty() {
            return Err(Error::new(ErrorKind::Training, format!("`{}` already holds checkpoints", arguments.output_dir.display())).hint(
                "choose another output_dir, set overwrite_output_dir: true, or go on with resume_from_checkpoint: Some(\"latest\".into())",
            ));
        }
        let lengths = train_rows.iter().map(|row| objective.lengths(row)).collect::<Result<Vec<_>>>()?;
        let sampler = Sampler::of(&lengths, arguments.packing.then(|| packed_length(model, &arguments)));
        let data = train_rows.iter().try_fold(0, |sum, row| Ok::<u32, Error>(crc32c(sum, bytemuck::cast_slice(&objective.ids(row)?))))?;
        let run = Run { rows: train_rows.len(), data, ..Run::new(model, arguments, sampler.items())? };
        check::rate(&run)?;
        check::memory_of_steps(&run, &lengths)?;
        let (callbacks, pending, stated, watch) = (Vec::new(), None, Instant::now(), Watch::default());
        let mut trainer = Self { run, objective, train_rows, held_out: eval_rows.into(), sampler, callbacks, pending, stated, watch };
        let TrainingArguments { early_stopping_patience, early_stopping_threshold, .. } = trainer.run.arguments;
        if early_stopping_patience > 0 {
            trainer.add_callback(EarlyStopping::new(early_stopping_patience, early_stopping_threshold));
        }
        if trainer.run.arguments.report_to.iter().any(|name| name == "tensorboard") {
            trainer.add_callback(TensorBoard::default());
        }
        Ok(trainer)
    }

    /// Computes more metrics of the held-out rows in each evaluation, which are logged as `eval_NAME`.
    pub fn set_compute_metrics(&mut self, compute: impl Fn(&EvalContext<O::Row>) -> Result<Metrics> + Send + Sync + 'static) {
        self.held_out.compute_metrics = Some(Box::new(compute));
    }

    /// Adds a callback behind those that are there.
    pub fn add_callback(&mut self, callback: impl TrainerCallback + 'static) {
        self.add_boxed_callback(Box::new(callback));
    }

    pub(crate) fn add_boxed_callback(&mut self, callback: Box<dyn TrainerCallback>) {
        self.callbacks.push(callback);
    }

    /// One optimizer step on the next rows of the epoch's order.
    ///
    /// # Errors
    /// As [`training_step`].
    pub fn step(&mut self) -> Result<&StepReport> {
        let indices = self.sampler.rows(self.run.history.len(), &self.run.arguments);
        let rows: Vec<&O::Row> = indices.iter().map(|&row| &self.train_rows[row]).collect();
        training_step(&mut self.run, &self.objective, &rows)
    }

    /// Trains to the last step, with a live loss curve in our kernel and log lines elsewhere. The last step is evaluated and
    /// saved as well, where the run does that at all.
    ///
    /// A run that writes checkpoints has its output folder to itself meanwhile.
    ///
    /// # Errors
    /// As [`Trainer::step`]; when a checkpoint cannot be read or written, or a callback fails.
    pub fn train(&mut self) -> Result<TrainOutput> {
        let output = self.run.arguments.output_dir.clone();
        let _lock = self.run.arguments.saves().then(|| FolderLock::take(&output)).transpose()?;
        if self.run.history.is_empty() {
            match self.run.arguments.resume_from_checkpoint.clone() {
                Some(name) if name == Path::new("latest") => drop(self.resume_newest()?),
                Some(folder) => self.resume(folder)?,
                None => {}
            }
        }
        let (taken, total) = (self.run.history.len(), self.run.total_steps);
        if taken >= total && self.pending.is_none() {
            println!("nothing to train: {taken} of {total} steps are taken; for more, raise max_steps or num_train_epochs anew");
        }
        if self.run.arguments.saves() {
            store::tidy(&output)?;
            self.run.arguments.save(output.join(json::FILE))?;
        }
        self.watch.begin(&self.run.rates());
        self.train_to(total, in_our_kernel() && !self.run.arguments.disable_tqdm)
    }

    fn train_to(&mut self, total_steps: usize, live: bool) -> Result<TrainOutput> {
        let mut display = LiveDisplay::new();
        let mut drawn = Instant::now() - Duration::from_secs(1);
        let mut stop = self.tell(|callback, moment| callback.on_train_begin(moment))?.stop;
        loop {
            let control = match self.pending {
                Some(control) => control,
                None if stop || self.run.history.len() >= total_steps => break,
                None => {
                    let taken = self.run.history.len();
                    interrupt::check(format_args!("after step {taken} of {total_steps}; `train` goes on from there"))?;
                    self.step()?;
                    self.watch.step(&self.run.history, total_steps);
                    self.pending = Some(Control::default());
                    let control = self.tell(|callback, moment| callback.on_step_end(moment))?;
                    self.pending = Some(control);
                    control
                }
            };
            stop |= self.after_step(control, live)?.stop;
            self.pending = None;
            if live && drawn.elapsed() > Duration::from_millis(250) {
                display.update(&LossCurve { history: self.run.history.clone(), total_steps });
                drawn = Instant::now();
            }
        }
        if live {
            display.update(&LossCurve { history: self.run.history.clone(), total_steps });
        }
        self.watch.end(&self.run.history, self.run.steps_per_epoch);
        let output = TrainOutput::new(&self.run.history, &self.run.model).with_warnings(self.watch.warnings());
        self.log_end(&output)?;
        self.tell(|callback, moment| callback.on_train_end(moment))?;
        if self.run.arguments.load_best_model_at_end {
            self.run.load_best()?;
        }
        Ok(output)
    }

    /// Asks all callbacks; what they want is joined.
    fn tell(&mut self, ask: impl Fn(&mut dyn TrainerCallback, &CallbackContext) -> Result<Control>) -> Result<Control> {
        let Run { state, arguments, model, history, .. } = &self.run;
        let moment = CallbackContext { state, arguments, model, history };
        let mut control = Control::default();
        for callback in &mut self.callbacks {
            control |= ask(callback.as_mut(), &moment)?;
        }
        Ok(control)
    }

    /// Logs, evaluates and saves when it is time, after the last step, or when a callback asks for it.
    fn after_step(&mut self, asked: Control, live: bool) -> Result<Control> {
        let Run { arguments, steps_per_epoch: epoch, total_steps, .. } = &self.run;
        let (step, epoch, last) = (self.run.history.len(), *epoch, self.run.history.len() >= *total_steps);
        let log = asked.log || step == 1 && arguments.logging_first_step;
        let log = log || arguments.logging_strategy.due(step, arguments.logging_steps, epoch);
        let log = log || last && arguments.logging_strategy == IntervalStrategy::Epoch;
        let evaluate = asked.evaluate || arguments.eval_strategy.due(step, arguments.eval_steps, epoch) || last && arguments.evaluates();
        let save = asked.save || arguments.save_strategy.due(step, arguments.save_steps, epoch) || last && arguments.saves();
        let mut control = asked;
        let used = self.run.rates().rate(step - 1);
        if let Some(entry) = log.then(|| self.run.state.log_steps(&self.run.history, used)).flatten() {
            if !live {
                println!("{}", step_line(&self.run.history[step - 1], entry));
            }
            control |= self.tell(|callback, moment| callback.on_log(moment))?;
        }
        if evaluate && self.run.history[step - 1].eval_loss.is_none() {
            control |= self.evaluate_step(live)?;
        }
        if save {
            let memories = self.memories();
            self.run.save_and_prune(memories, control.stop)?;
            control |= self.tell(|callback, moment| callback.on_save(moment))?;
        }
        if (log || evaluate) && self.stated.elapsed() > Duration::from_secs(1) {
            self.state_aloud()?;
        }
        Ok(control)
    }

    /// Evaluates after the last step that was taken, and logs it.
    fn evaluate_step(&mut self, live: bool) -> Result<Control> {
        let before = Instant::now();
        let report = self.evaluate()?;
        if let Some(last) = self.run.history.last_mut() {
            last.eval_loss = Some(report.loss);
        }
        self.watch.evaluated(&self.run.history);
        let (rows, size) = (self.held_out.rows.len(), self.run.arguments.per_device_eval_batch_size);
        self.run.state.log_evaluation(&report, rows, size, before.elapsed().as_secs_f64());
        if !live {
            println!("{}", eval_line(&report, self.run.state.epoch));
        }
        let logged = self.tell(|callback, moment| callback.on_log(moment));
        let evaluated = self.tell(|callback, moment| callback.on_evaluate(moment));
        // Before an error of a callback ends the call: the evaluation is not done again.
        self.run.state.remember_best(report.loss);
        let mut control = logged?;
        control |= evaluated?;
        Ok(control)
    }

    /// Writes the state into the output folder, where a dashboard reads how the run goes.
    fn state_aloud(&mut self) -> Result<()> {
        self.stated = Instant::now();
        if self.run.arguments.saves() { self.run.state.save(&self.run.arguments.output_dir) } else { Ok(()) }
    }

    fn log_end(&mut self, output: &TrainOutput) -> Result<()> {
        let a_second = |count: usize| count as f64 / output.train_runtime.max(1e-9);
        let rows = output.global_step * self.run.arguments.rows_per_step();
        self.run.state.log(json!({
            "train_runtime": output.train_runtime, "train_samples_per_second": a_second(rows),
            "train_steps_per_second": a_second(output.global_step), "total_flos": output.total_flos, "train_loss": output.training_loss,
        }));
        self.state_aloud()?;
        self.tell(|callback, moment| callback.on_log(moment)).map(drop)
    }

    /// What callbacks and the objective remember, by their names.
    fn memories(&self) -> Map<String, Value> {
        let callbacks = self.callbacks.iter().filter_map(|callback| Some((callback.name(), callback.state()?)));
        callbacks.chain(self.objective.settings()).map(|(name, memory)| (name.to_string(), memory)).collect()
    }

    fn recall(&mut self, memories: &Map<String, Value>) {
        self.pending = None;
        if self.run.other_rows {
            self.watch.other_rows(self.run.history.len());
        }
        if let Some((name, ours)) = self.objective.settings()
            && let Some(theirs) = memories.get(name).filter(|theirs| **theirs != ours)
        {
            println!("resume: {name} is {}; the checkpoint was written with {}", ours["args"], theirs["args"]);
        }
        for callback in &mut self.callbacks {
            if let Some(memory) = memories.get(callback.name()) {
                callback.load_state(memory);
            }
        }
    }

    /// Loss over all evaluation rows, dropout off.
    ///
    /// # Errors
    /// When there are no such rows, or after an interrupt.
    pub fn evaluate(&self) -> Result<EvalReport> {
        let Run { model, arguments, .. } = &self.run;
        self.held_out.evaluate(&self.objective, &model.autocast(arguments.product_type()), arguments)
    }

    /// Takes over a checkpoint of an earlier run with the same arguments, a folder or a name in `output_dir`; `train` then goes
    /// on as if never stopped.
    ///
    /// # Errors
    /// When it does not exist, is damaged (the file is named) or is another model's; nothing changes then.
    pub fn resume(&mut self, folder: impl AsRef<Path>) -> Result<()> {
        let memories = self.run.load(folder.as_ref())?;
        self.recall(&memories);
        Ok(())
    }

    /// [`Trainer::resume`] from the newest whole checkpoint in `output_dir`; returns it, or none where there is none.
    /// Damaged ones are named and skipped, those of runs that began earlier are left alone.
    ///
    /// # Errors
    /// When there are checkpoints and none is whole, or another process trains in the folder.
    pub fn resume_latest(&mut self) -> Result<Option<PathBuf>> {
        let _lock = FolderLock::take(&self.run.arguments.output_dir)?;
        self.resume_newest()
    }

    fn resume_newest(&mut self) -> Result<Option<PathBuf>> {
        let Some((folder, memories)) = self.run.load_newest()? else { return Ok(None) };
        self.recall(&memories);
        Ok(Some(folder))
    }

    /// Writes `checkpoint-<step>` with everything that [`Trainer::resume`] needs; returns its path.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save_checkpoint(&self, output_dir: impl AsRef<Path>) -> Result<PathBuf> {
        self.run.save(output_dir.as_ref(), self.memories(), false)
    }

    /// Writes the model as a checkpoint folder that `from_pretrained` and transformers open, with `training_args.json`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save_model(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.run.model.save_pretrained(&folder)?;
        self.run.arguments.save(folder.as_ref().join(json::FILE))
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> usize {
        self.run.total_steps
    }

    /// The model in training.
    pub fn model(&self) -> &CausalLm {
        &self.run.model
    }

    /// All steps so far.
    pub fn history(&self) -> &[StepReport] {
        &self.run.history
    }

    /// Logs and totals, as `trainer_state.json` of a checkpoint has them.
    pub fn state(&self) -> &TrainerState {
        &self.run.state
    }

    /// The settings.
    pub fn arguments(&self) -> &TrainingArguments {
        &self.run.arguments
    }

    /// What it learns.
    pub fn objective(&self) -> &O {
        &self.objective
    }

    /// What a step on rows of the caller's own needs.
    pub(super) fn parts(&mut self) -> (&mut Run, &O) {
        (&mut self.run, &self.objective)
    }
}
