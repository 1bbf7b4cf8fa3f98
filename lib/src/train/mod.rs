//! Rows → a trained model.
//!
//! On the data's path: [`sampler`] says which rows a step takes ([`packing`] which share a sequence), [`objective`] makes [`batch`]es of them, [`step`] is the one
//! training step of every objective, [`run`] what it changes, [`report`] what it says, and [`trainer`] the loop around it with
//! logs, evaluations and checkpoints. [`custom_loss`] trains by a loss of the caller's own, [`preference`] by
//! answers that are better or worse (DPO, ORPO, KTO), [`grpo`] by rewards of its own
//! answers; [`score`] is for a model that scores texts: their class, or a reward. Beside it: [`arguments`] are the settings,
//! [`check`] refuses what cannot work, [`forecast`] tells before a run what it needs, [`evaluation`] is the loss on [`held_out`] rows,
//! [`callback`] code of the caller's own,
//! [`checkpoint`] a run on disk, [`log`] what people look at meanwhile, [`watch`]
//! says what goes wrong.
//!
//! Imports: compute, data, display, error, models, nn, optim, tokenizer, util, border.

pub mod arguments;
pub mod batch;
pub mod callback;
pub mod check;
pub mod checkpoint;
pub mod custom_loss;
pub mod evaluation;
pub mod forecast;
pub mod grpo;
pub mod held_out;
pub mod log;
pub mod objective;
pub mod packing;
pub mod preference;
pub mod report;
pub mod run;
pub mod sampler;
pub mod score;
pub mod step;
pub mod trainer;
pub mod watch;
