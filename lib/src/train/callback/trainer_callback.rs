//! A moment of a run → what should happen next: `TrainerCallback` of transformers.

use serde_json::Value;

use crate::error::Result;
use crate::models::causal::CausalLm;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::checkpoint::state::TrainerState;
use crate::train::report::StepReport;

/// What a callback may look at. The newest log or evaluation is the last of `state.log_history`.
#[derive(Debug, Clone, Copy)]
pub struct CallbackContext<'a> {
    /// Where the run stands.
    pub state: &'a TrainerState,
    /// The settings.
    pub arguments: &'a TrainingArguments,
    /// The model in training.
    pub model: &'a CausalLm,
    /// All steps so far.
    pub history: &'a [StepReport],
}

/// The former name of [`CallbackContext`].
#[deprecated(since = "0.1.0", note = "it is called `CallbackContext`")]
pub type Moment<'a> = CallbackContext<'a>;

/// What a callback asks for; what several ask for is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Control {
    /// End the training after this step.
    pub stop: bool,
    /// Log now. Read after `on_step_end` only, like the next two.
    pub log: bool,
    /// Evaluate now.
    pub evaluate: bool,
    /// Write a checkpoint now.
    pub save: bool,
}

impl std::ops::BitOrAssign for Control {
    fn bitor_assign(&mut self, other: Self) {
        self.stop |= other.stop;
        self.log |= other.log;
        self.evaluate |= other.evaluate;
        self.save |= other.save;
    }
}

/// Code of your own that runs while a model trains; an error ends the training as an interrupt would.
pub trait TrainerCallback: std::fmt::Debug + Send {
    /// The name under which `trainer_state.json` keeps [`TrainerCallback::memory`].
    fn name(&self) -> &'static str;

    /// Before the first step of a call of `train`.
    ///
    /// # Errors
    /// When it does; `train` then ends with that error, and goes on from there when it is called again.
    fn on_train_begin(&mut self, _context: &CallbackContext) -> Result<Control> {
        Ok(Control::default())
    }

    /// After every step.
    ///
    /// # Errors
    /// When it does; `train` then ends with that error, and goes on from there when it is called again.
    fn on_step_end(&mut self, _context: &CallbackContext) -> Result<Control> {
        Ok(Control::default())
    }

    /// After every log, those of evaluations too.
    ///
    /// # Errors
    /// When it does; `train` then ends with that error, and goes on from there when it is called again.
    fn on_log(&mut self, _context: &CallbackContext) -> Result<Control> {
        Ok(Control::default())
    }

    /// After every evaluation, before it may become the best one.
    ///
    /// # Errors
    /// When it does; `train` then ends with that error, and goes on from there when it is called again.
    fn on_evaluate(&mut self, _context: &CallbackContext) -> Result<Control> {
        Ok(Control::default())
    }

    /// After every checkpoint.
    ///
    /// # Errors
    /// When it does; `train` then ends with that error, and goes on from there when it is called again.
    fn on_save(&mut self, _context: &CallbackContext) -> Result<Control> {
        Ok(Control::default())
    }

    /// After the last step.
    ///
    /// # Errors
    /// When it does; `train` then ends with that error, and goes on from there when it is called again.
    fn on_train_end(&mut self, _context: &CallbackContext) -> Result<Control> {
        Ok(Control::default())
    }

    /// What has to outlive a kill −9: written into every checkpoint.
    fn state(&self) -> Option<Value> {
        #[expect(deprecated, reason = "the old name stays for one version")]
        self.memory()
    }

    /// Takes over what [`TrainerCallback::state`] gave when the checkpoint was written.
    fn load_state(&mut self, state: &Value) {
        #[expect(deprecated, reason = "the old name stays for one version")]
        self.remember(state);
    }

    /// The former name of [`TrainerCallback::state`].
    #[deprecated(since = "0.1.0", note = "it is called `state`")]
    fn memory(&self) -> Option<Value> {
        None
    }

    /// The former name of [`TrainerCallback::load_state`].
    #[deprecated(since = "0.1.0", note = "it is called `load_state`")]
    fn remember(&mut self, _memory: &Value) {}
}
