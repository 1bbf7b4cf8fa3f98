//! (model, arguments, training rows, test rows) → a trained model: the loop of transformers' `Trainer`.
//!
//! [`crate::train::step`] is one turn of it; here are its logs, evaluations and checkpoints, and how it goes on after a stop.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::display::output::{LiveDisplay, in_our_kernel};
use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::optim::optimizer::Optimizer;
use crate::tokenizer::encode::TokenizedDataset;
use crate::train::arguments::json;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::callback::{Control, EarlyStopping, Moment, TrainerCallback};
use crate::train::checkpoint::manifest;
use crate::train::checkpoint::state::TrainerState;
use crate::train::checkpoint::store::{self, Contents};
use crate::train::evaluation::{self, EvalReport};
use crate::train::log::curve::{LossCurve, StepReport};
use crate::train::log::meter::TrainOutput;
use crate::train::log::tensorboard::TensorBoard;
use crate::util::interrupt;
use crate::util::lock::FolderLock;
use crate::util::memory::available_memory;

/// Trains a model in place. After an interrupt or an error, `train` goes on where it stopped.
#[derive(Debug)]
pub struct Trainer {
    pub(super) model: CausalLm,
    pub(super) arguments: TrainingArguments,
    pub(super) train_rows: TokenizedDataset,
    eval_rows: TokenizedDataset,
    pub(super) optimizer: Optimizer,
    pub(super) history: Vec<StepReport>,
    pub(super) state: TrainerState,
    callbacks: Vec<Box<dyn TrainerCallback>>,
    /// What is still to do after the last step: an interrupt may come before it.
    pending: Option<Control>,
    /// When the state was last written into the output folder.
    stated: Instant,
    /// The row order of one epoch, made when it is first needed.
    pub(super) order: (usize, Vec<usize>),
}

impl Trainer {
    /// A trainer that shares the model's weights with the caller's variable.
    pub fn new(
        model: &CausalLm,
        arguments: TrainingArguments,
        train_dataset: TokenizedDataset,
        eval_dataset: TokenizedDataset,
    ) -> Result<Self> {
        arguments.validate()?;
        arguments.check_backend(model.backend())?;
        model.check_trainable()?;
        for (name, rows, needed) in [("train_dataset", &train_dataset, true), ("eval_dataset", &eval_dataset, arguments.evaluates())] {
            evaluation::check_rows(name, rows, needed, model)?;
        }
        evaluation::check_weights(model)?;
        let fresh = !arguments.overwrite_output_dir && arguments.resume_from_checkpoint.is_none();
        if fresh && arguments.saves() && !store::list(&arguments.output_dir).is_empty() {
            return Err(Error::new(ErrorKind::Training, format!("`{}` already holds checkpoints", arguments.output_dir.display())).hint(
                "choose another output_dir, set overwrite_output_dir: true, or go on with resume_from_checkpoint: Some(\"latest\".into())",
            ));
        }
        let optimizer = Optimizer::new(arguments.optimizer_settings(), model.backend(), model.weights())?;
        let state = TrainerState::new(&arguments, 1, 1);
        let mut trainer = Self {
            model: model.clone(),
            arguments,
            train_rows: train_dataset,
            eval_rows: eval_dataset,
            optimizer,
            history: Vec::new(),
            state,
            callbacks: Vec::new(),
            pending: None,
            stated: Instant::now(),
            order: (usize::MAX, Vec::new()),
        };
        trainer.state = trainer.first_state();
        trainer.check_memory()?;
        if trainer.arguments.early_stopping_patience > 0 {
            let (patience, threshold) = (trainer.arguments.early_stopping_patience, trainer.arguments.early_stopping_threshold);
            trainer.add_callback(EarlyStopping::new(patience, threshold));
        }
        if trainer.arguments.report_to.iter().any(|name| name == "tensorboard") {
            trainer.add_callback(TensorBoard::default());
        }
        Ok(trainer)
    }

    /// Adds a callback behind those that are there.
    pub fn add_callback(&mut self, callback: impl TrainerCallback + 'static) {
        self.callbacks.push(Box::new(callback));
    }

    fn check_memory(&self) -> Result<()> {
        if !self.model.device().is_cpu() {
            return Ok(());
        }
        let (tokens, bytes) = (self.largest_piece(), self.optimizer.bytes());
        let needed = evaluation::needed_bytes(&self.model, tokens, self.arguments.gradient_checkpointing, bytes);
        evaluation::check_memory(needed, available_memory(), tokens)
    }

    fn first_state(&self) -> TrainerState {
        TrainerState::new(&self.arguments, self.total_steps(), self.steps_per_epoch())
    }

    /// Trains to the last step, with a live loss curve in our kernel and log lines elsewhere.
    ///
    /// A run that writes checkpoints has its output folder to itself meanwhile.
    pub fn train(&mut self) -> Result<TrainOutput> {
        let output = self.arguments.output_dir.clone();
        let _lock = self.arguments.saves().then(|| FolderLock::take(&output)).transpose()?;
        if self.history.is_empty() {
            match self.arguments.resume_from_checkpoint.clone() {
                Some(name) if name == Path::new("latest") => drop(self.resume_newest()?),
                Some(folder) => self.resume(folder)?,
                None => {}
            }
        }
        if self.arguments.saves() {
            store::tidy(&output)?;
            self.arguments.save(output.join(json::FILE))?;
        }
        let live = in_our_kernel() && !self.arguments.disable_tqdm;
        self.train_on(self.total_steps(), live)
    }

    fn train_on(&mut self, total_steps: usize, live: bool) -> Result<TrainOutput> {
        let mut display = LiveDisplay::new();
        let mut drawn = Instant::now() - Duration::from_secs(1);
        let mut stop = self.tell(|callback, moment| callback.on_train_begin(moment))?.stop;
        loop {
            let control = match self.pending {
                Some(control) => control,
                None if stop || self.history.len() >= total_steps => break,
                None => {
                    interrupt::check(format_args!("after step {} of {total_steps}; `train` goes on from there", self.history.len()))?;
                    self.step()?;
                    self.pending = Some(Control::default());
                    let control = self.tell(|callback, moment| callback.on_step_end(moment))?;
                    self.pending = Some(control);
                    control
                }
            };
            stop |= self.after_step(control, live)?.stop;
            self.pending = None;
            if live && drawn.elapsed() > Duration::from_millis(250) {
                display.update(&LossCurve { history: self.history.clone(), total_steps });
                drawn = Instant::now();
            }
        }
        if live {
            display.update(&LossCurve { history: self.history.clone(), total_steps });
        }
        let output = TrainOutput::new(&self.history, &self.model);
        self.log_end(&output)?;
        self.tell(|callback, moment| callback.on_train_end(moment))?;
        if let (true, Some(folder)) = (self.arguments.load_best_model_at_end, &self.state.best_model_checkpoint) {
            let folder = Path::new(folder);
            manifest::verify(folder)?;
            self.model.load_weights(folder)?;
            println!("best model: {} with eval_loss {:.4}", folder.display(), self.saved_loss().unwrap_or(f64::NAN));
        }
        Ok(output)
    }

    /// Asks all callbacks; what they want is joined.
    fn tell(&mut self, ask: impl Fn(&mut dyn TrainerCallback, &Moment) -> Result<Control>) -> Result<Control> {
        let moment = Moment { state: &self.state, arguments: &self.arguments, model: &self.model, history: &self.history };
        let mut control = Control::default();
        for callback in &mut self.callbacks {
            control |= ask(callback.as_mut(), &moment)?;
        }
        Ok(control)
    }

    /// Logs, evaluates and saves when it is time, or when a callback asks for it.
    fn after_step(&mut self, asked: Control, live: bool) -> Result<Control> {
        let (step, epoch, arguments) = (self.history.len(), self.steps_per_epoch(), &self.arguments);
        let log = asked.log || step == 1 && arguments.logging_first_step;
        let log = log || arguments.logging_strategy.due(step, arguments.logging_steps, epoch);
        let evaluate = asked.evaluate || arguments.eval_strategy.due(step, arguments.eval_steps, epoch);
        let save = asked.save || arguments.save_strategy.due(step, arguments.save_steps, epoch);
        let mut control = asked;
        let used = self.arguments.rate_plan(self.total_steps()).rate(step - 1);
        if log && self.state.log_steps(&self.history, used).is_some() {
            if !live {
                self.print_log();
            }
            control |= self.tell(|callback, moment| callback.on_log(moment))?;
        }
        if evaluate && self.history[step - 1].eval_loss.is_none() {
            let before = Instant::now();
            let report = self.evaluate()?;
            self.history[step - 1].eval_loss = Some(report.loss);
            let (rows, size) = (self.eval_rows.len(), self.arguments.per_device_eval_batch_size);
            self.state.log_evaluation(&report, rows, size, before.elapsed().as_secs_f64());
            if !live {
                println!("{{'eval_loss': {:.4}, 'epoch': {:.2}}}", report.loss, self.state.epoch);
            }
            let logged = self.tell(|callback, moment| callback.on_log(moment));
            let evaluated = self.tell(|callback, moment| callback.on_evaluate(moment));
            // Before an error of a callback ends the call: the evaluation is not done again.
            self.state.remember_best(report.loss);
            control |= logged?;
            control |= evaluated?;
        }
        if save {
            self.save_and_prune(control.stop)?;
            control |= self.tell(|callback, moment| callback.on_save(moment))?;
        }
        if (log || evaluate) && self.stated.elapsed() > Duration::from_secs(1) {
            self.state_aloud()?;
        }
        Ok(control)
    }

    /// Writes the state into the output folder, where a dashboard reads how the run goes.
    fn state_aloud(&mut self) -> Result<()> {
        self.stated = Instant::now();
        if self.arguments.saves() { self.state.save(&self.arguments.output_dir) } else { Ok(()) }
    }

    fn print_log(&self) {
        let logged = self.state.log_history.last().and_then(|entry| entry["loss"].as_f64());
        if let (Some(last), Some(loss)) = (self.history.last(), logged) {
            // The rate after the step, as the course prints it; the file has the one that was used.
            println!(
                "{{'loss': {loss:.4}, 'grad_norm': {:.4}, 'learning_rate': {:.3e}, 'epoch': {:.2}}}",
                last.grad_norm, last.learning_rate, last.epoch
            );
        }
    }

    fn log_end(&mut self, output: &TrainOutput) -> Result<()> {
        let a_second = |count: usize| count as f64 / output.train_runtime.max(1e-9);
        self.state.log(json!({
            "train_runtime": output.train_runtime, "train_samples_per_second": a_second(output.global_step * self.rows_per_step()),
            "train_steps_per_second": a_second(output.global_step), "total_flos": output.total_flos, "train_loss": output.training_loss,
        }));
        self.state_aloud()?;
        self.tell(|callback, moment| callback.on_log(moment)).map(drop)
    }

    fn save_and_prune(&mut self, stop: bool) -> Result<()> {
        let (output, step) = (self.arguments.output_dir.clone(), self.history.len());
        let folder = output.join(format!("checkpoint-{step}"));
        let best = self.saved_loss();
        if self.history[step - 1].eval_loss.is_some_and(|loss| loss.is_finite() && best.is_none_or(|best| loss < best)) {
            self.state.best_model_checkpoint = Some(folder.display().to_string());
        }
        self.write_checkpoint(&output, stop)?;
        let best = self.state.best_model_checkpoint.as_ref().map(PathBuf::from);
        store::prune(&output, self.arguments.save_total_limit, step, best.as_deref())
    }

    /// Loss of the best checkpoint.
    fn saved_loss(&self) -> Option<f64> {
        let step = self.state.best_model_checkpoint.as_ref()?.rsplit_once('-')?.1.parse::<usize>().ok()?;
        self.history.get(step.checked_sub(1)?)?.eval_loss
    }

    fn write_checkpoint(&self, output: &Path, stop: bool) -> Result<PathBuf> {
        let mut state = self.state.clone();
        let stop = stop || self.history.len() >= self.total_steps();
        let args = json!({ "should_epoch_stop": false, "should_evaluate": false, "should_log": false, "should_save": true, "should_training_stop": stop });
        state.stateful_callbacks.insert("TrainerControl".into(), json!({ "args": args, "attributes": {} }));
        for callback in &self.callbacks {
            if let Some(memory) = callback.memory() {
                state.stateful_callbacks.insert(callback.name().into(), memory);
            }
        }
        let Self { model, optimizer, history, arguments, .. } = self;
        store::save(output, Contents { model, optimizer, history, state: &state, arguments })
    }

    /// Loss over all evaluation rows, dropout off.
    pub fn evaluate(&self) -> Result<EvalReport> {
        let TrainingArguments { per_device_eval_batch_size, completion_only_loss, label_smoothing_factor, .. } = self.arguments;
        let model = self.model.autocast(self.arguments.product_type());
        evaluation::smoothed_loss(&model, &self.eval_rows, per_device_eval_batch_size, completion_only_loss, label_smoothing_factor)
    }

    /// Takes over a checkpoint of an earlier run with the same arguments; `train` then goes on as if never stopped.
    ///
    /// A damaged checkpoint is refused with the name of the file, and nothing changes.
    pub fn resume(&mut self, folder: impl AsRef<Path>) -> Result<()> {
        let loaded = store::load(folder.as_ref(), &self.model, &mut self.optimizer)?;
        let (ours, theirs) = (self.arguments.to_json(), loaded.arguments.to_json());
        let free = ["output_dir", "overwrite_output_dir", "resume_from_checkpoint", "disable_tqdm", "report_to", "save_total_limit"];
        for (name, value) in ours.as_object().into_iter().flatten().filter(|(name, _)| !free.contains(&name.as_str())) {
            if *value != theirs[name] {
                println!("resume: {name} is {value}; the checkpoint was written with {}", theirs[name]);
            }
        }
        (self.history, self.pending) = (loaded.history, None);
        self.state = self.first_state();
        self.state.log_history = loaded.state.log_history;
        self.count();
        let output = self.arguments.output_dir.clone();
        let saved = |step: usize| output.join(format!("checkpoint-{step}"));
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
        for callback in &mut self.callbacks {
            if let Some(memory) = loaded.state.stateful_callbacks.get(callback.name()) {
                callback.remember(memory);
            }
        }
        Ok(())
    }

    /// [`Trainer::resume`] from the newest whole checkpoint in `output_dir`; returns it, or none where there is none.
    /// Damaged ones are named and skipped.
    pub fn resume_latest(&mut self) -> Result<Option<PathBuf>> {
        let _lock = FolderLock::take(&self.arguments.output_dir)?;
        self.resume_newest()
    }

    fn resume_newest(&mut self) -> Result<Option<PathBuf>> {
        store::tidy(&self.arguments.output_dir)?;
        let mut damaged = None;
        for (_, folder) in store::list(&self.arguments.output_dir).into_iter().rev() {
            match manifest::verify(&folder) {
                Ok(()) => return self.resume(&folder).map(|()| Some(folder)),
                Err(error) => println!("skipped: {}", damaged.insert(error)),
            }
        }
        damaged.map_or(Ok(None), |error| Err(error.at("no checkpoint of the run is whole")))
    }

    /// Writes `checkpoint-<step>` with everything that [`Trainer::resume`] needs; returns its path.
    pub fn save_checkpoint(&self, output_dir: impl AsRef<Path>) -> Result<PathBuf> {
        self.write_checkpoint(output_dir.as_ref(), false)
    }

    /// Writes the model as a checkpoint folder that `from_pretrained` and transformers open, with `training_args.json`.
    pub fn save_model(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.model.save_pretrained(&folder)?;
        self.arguments.save(folder.as_ref().join(json::FILE))
    }

    /// The model in training.
    pub fn model(&self) -> &CausalLm {
        &self.model
    }

    /// All steps so far.
    pub fn history(&self) -> &[StepReport] {
        &self.history
    }

    /// Logs and totals, as `trainer_state.json` of a checkpoint has them.
    pub fn state(&self) -> &TrainerState {
        &self.state
    }

    /// The settings.
    pub fn arguments(&self) -> &TrainingArguments {
        &self.arguments
    }
}

#[cfg(feature = "plot")]
/// Shows the loss of a run (see [`crate::train::log::curve::plot_loss`]).
pub fn show_loss(history: &[StepReport]) {
    crate::display::output::show(&crate::train::log::curve::plot_loss(history));
}
