//! A loss of the caller's own → an objective that trains by it, once its gradient agrees with finite differences.

use std::fmt;

use candle_core::{Device, Tensor, Var};
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::models::decoder::TrainBatch;
use crate::nn::lm_head::each;
use crate::tokenizer::encode::{Encoding, TokenizedDataset};
use crate::train::arguments::check::refuse;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::batch::Batch;
use crate::train::check;
use crate::train::objective::{NextToken, Objective, StepTask};
use crate::train::report::EvalReport;
use crate::train::trainer::Trainer;
use crate::util::interrupt;
use crate::util::rng::Pcg64;

/// Rows of logits that a loss is tried on.
const ROWS: usize = 6;
/// How far a logit is moved to either side: a power of two, so that nothing is rounded.
const STEP: f32 = 1.0 / 64.0;
/// What is moved in each row.
const PARTS: [&str; 3] = ["the logit of the label", "the highest other logit", "a logit between them"];

type Loss = Box<dyn Fn(&Tensor, &Tensor) -> candle_core::Result<Tensor> + Send + Sync>;

/// A function of logits and labels that is learnt in place of the negative log-probability.
pub struct CustomLoss {
    function: Loss,
    /// Its sum on fixed logits, by which a run that goes on sees whether it is the one that it began with.
    fixed: String,
}

impl CustomLoss {
    /// A loss for models of `vocabulary` ids, of logits `(n, vocabulary)` in f32 and labels `(n)` in u32 → a loss of each label
    /// `(n)` in f32, by operations of candle that have a gradient. It sees the labels that are learnt alone, of as many rows as
    /// suits the machine: each loss has to depend on its own logits only. The trainer adds them up and divides by their number.
    ///
    /// It is tried on random logits: its gradient is compared with finite differences.
    ///
    /// # Errors
    /// When the function fails, gives no number for each label, or another gradient than finite differences: the message names
    /// the part of the logits. When a loss depends on the logits of another label.
    pub fn new(
        function: impl Fn(&Tensor, &Tensor) -> candle_core::Result<Tensor> + Send + Sync + 'static,
        vocabulary: usize,
        device: &Device,
    ) -> Result<Self> {
        let fixed = tried(&function, vocabulary, device).map_err(|error| error.at("the loss, before training"))?;
        Ok(Self { function: Box::new(function), fixed: format!("{fixed:.5e}") })
    }
}

impl Objective for CustomLoss {
    type Row = Encoding;

    fn lengths(&self, row: &Encoding) -> Result<Vec<usize>> {
        NextToken.lengths(row)
    }

    fn ids(&self, row: &Encoding) -> Result<Vec<u32>> {
        NextToken.ids(row)
    }

    fn task<'a>(&self, model: &CausalLm, rows: &[&'a Encoding], arguments: &TrainingArguments) -> Result<StepTask<'a>> {
        NextToken.task(model, rows, arguments)
    }

    fn backward(&self, model: &CausalLm, batch: TrainBatch) -> Result<f64> {
        Ok(model.decoder().backward_of(model.backend(), batch, &self.function)?)
    }

    fn evaluate(&self, model: &CausalLm, rows: &[Encoding], arguments: &TrainingArguments) -> Result<EvalReport> {
        let completion_only = arguments.completion_only_loss;
        let rows = check::learnable("the evaluation data set", rows, true, completion_only, model)?;
        let (mut loss, mut count, mut tokens) = (0.0, 0.0, 0.0);
        for (index, part) in rows.chunks(arguments.per_device_eval_batch_size.max(1)).enumerate() {
            interrupt::check(format_args!("in the evaluation, before batch {index}"))?;
            let batch = Batch::new(part, completion_only, model.config())?;
            let (decoder, backend) = (model.decoder(), model.backend());
            let sum = model.pool().run(|| decoder.sum_of(backend, batch.inputs(), batch.lengths(), batch.targets(0.0), &self.function))?;
            let (own, of) = arguments.eval_loss_mean.of(sum, batch.num_items(), part.len());
            (loss, count, tokens) = (loss + own, count + of, tokens + batch.num_items());
        }
        Ok(EvalReport { loss: loss / count.max(1.0), tokens: tokens as usize, ..Default::default() })
    }

    fn settings(&self) -> Option<(&'static str, Value)> {
        Some(("CustomLoss", json!({ "args": { "sum_on_fixed_logits": self.fixed }, "attributes": {} })))
    }
}

impl Trainer<CustomLoss> {
    /// [`Trainer::new`] with a loss of the caller's own in place of the negative log-probability: see [`CustomLoss::new`].
    ///
    /// ```
    /// use finetuning::prelude::*;
    /// use finetuning::Tensor;
    ///
    /// // The focal loss (Lin et al. 2017): (1 − p)² · −log p, which looks away from what is known already.
    /// let focal = |logits: &Tensor, labels: &Tensor| {
    ///     let log_p = (logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)? - logits.log_sum_exp(1)?)?;
    ///     (1.0 - log_p.exp()?)?.sqr()? * log_p.neg()?
    /// };
    /// # let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained("builtin:base")?, AutoTokenizer::from_pretrained("builtin:base")?);
    /// # let rows = tokenize_dataset(&load_dataset("builtin:lab_docs")?.head(4), &tokenizer, 32)?;
    /// # let arguments = TrainingArguments { max_steps: 1, disable_tqdm: true, ..Default::default() };
    /// let mut trainer = Trainer::with_loss(&model, focal, arguments, rows.clone(), rows)?;
    /// trainer.train()?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Trainer::new`] and [`CustomLoss::new`]; when `label_smoothing_factor` is given, which belongs to another loss.
    pub fn with_loss(
        model: &CausalLm,
        loss: impl Fn(&Tensor, &Tensor) -> candle_core::Result<Tensor> + Send + Sync + 'static,
        arguments: TrainingArguments,
        train_dataset: TokenizedDataset,
        eval_dataset: TokenizedDataset,
    ) -> Result<Self> {
        check::arguments(&arguments, model)?;
        if arguments.label_smoothing_factor != 0.0 {
            return Err(refuse("label_smoothing_factor", arguments.label_smoothing_factor, "0 with a loss of your own: smooth in it"));
        }
        let kept = |name: &str, data: TokenizedDataset, needed: bool| -> Result<Vec<Encoding>> {
            let rows = check::learnable(name, data.rows(), needed, arguments.completion_only_loss, model)?;
            Ok(rows.into_iter().cloned().collect())
        };
        let (train, eval) = (kept("train_dataset", train_dataset, true)?, kept("eval_dataset", eval_dataset, arguments.evaluates())?);
        check::weights(model)?;
        let loss = CustomLoss::new(loss, model.config().vocab_size(), model.device())?;
        Self::with_objective(loss, model, arguments, train, eval)
    }
}

impl fmt::Debug for CustomLoss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CustomLoss").field("sum_on_fixed_logits", &self.fixed).finish_non_exhaustive()
    }
}

/// Logits that a loss is tried on, always the same.
struct Trial {
    logits: Vec<f32>,
    labels: Vec<u32>,
    vocabulary: usize,
    device: Device,
}

impl Trial {
    fn new(vocabulary: usize, device: &Device) -> Self {
        let mut random = Pcg64::new(0x6c6f_7373);
        let logits = (0..ROWS * vocabulary).map(|_| (2.0 * random.next_normal()) as f32).collect();
        let labels = (0..ROWS).map(|_| (random.next_f64() * vocabulary as f64) as u32).collect();
        Self { logits, labels, vocabulary, device: device.clone() }
    }

    /// The losses of these logits, and the gradient of their sum where it is asked for.
    fn losses(&self, function: &Function, logits: &[f32], gradient: bool) -> Result<(Vec<f32>, Vec<f32>)> {
        let logits = Var::from_slice(logits, (ROWS, self.vocabulary), &self.device)?;
        let losses = each(function, logits.as_tensor(), &Tensor::from_slice(&self.labels, ROWS, &self.device)?);
        let losses =
            losses.map_err(|error| Error::from(error).hint("give one loss for each label, by operations of candle on the logits"))?;
        let values = losses.to_vec1::<f32>()?;
        if let Some(row) = values.iter().position(|loss| !loss.is_finite()) {
            let message = format!("the loss of random logits is {} in row {row}", values[row]);
            return Err(Error::new(ErrorKind::Training, message).hint("keep logarithms away from 0, and divisors, too"));
        }
        let grads = match gradient.then(|| losses.sum_all()?.backward()).transpose()? {
            Some(store) => store.get(logits.as_tensor()).map(|grad| grad.flatten_all()?.to_vec1::<f32>()).transpose()?,
            None => Some(Vec::new()),
        };
        Ok((values, grads.unwrap_or_else(|| vec![0.0; self.logits.len()])))
    }

    /// The columns of a row that are moved, one for each of [`PARTS`].
    fn columns(&self, row: usize) -> [usize; 3] {
        let own = &self.logits[row * self.vocabulary..][..self.vocabulary];
        let label = self.labels[row] as usize;
        let mut others: Vec<usize> = (0..own.len()).filter(|&column| column != label).collect();
        others.sort_by(|&a, &b| own[b].total_cmp(&own[a]));
        let at = |place: usize| others.get(place.min(others.len().saturating_sub(1))).copied().unwrap_or(label);
        [label, at(0), at(1 + others.len() / 10)]
    }
}

type Function = dyn Fn(&Tensor, &Tensor) -> candle_core::Result<Tensor>;

/// Compares the gradient of a loss with finite differences; gives the sum of its losses.
fn tried(function: &Function, vocabulary: usize, device: &Device) -> Result<f64> {
    let trial = Trial::new(vocabulary, device);
    let (losses, grads) = trial.losses(function, &trial.logits, true)?;
    let mut compared = Vec::new();
    for row in 0..ROWS {
        for (part, column) in trial.columns(row).into_iter().enumerate() {
            let moved = |by: f32| {
                let mut logits = trial.logits.clone();
                logits[row * vocabulary + column] += by;
                trial.losses(function, &logits, false)
            };
            let (up, down) = (moved(STEP)?.0, moved(-STEP)?.0);
            if let Some(other) = (0..ROWS).find(|&other| other != row && (up[other] != losses[other] || down[other] != losses[other])) {
                let message = format!("the loss of row {other} changes with the logits of row {row}: each must depend on its own alone");
                return Err(Error::new(ErrorKind::Training, message)
                    .hint("rows come in groups of any size: leave out means, maxima and sums over dimension 0"));
            }
            let difference = (f64::from(up[row]) - f64::from(down[row])) / (2.0 * f64::from(STEP));
            compared.push((part, row, f64::from(grads[row * vocabulary + column]), difference));
        }
    }
    let largest = compared.iter().map(|(.., grad, difference)| grad.abs().max(difference.abs())).fold(0.0, f64::max);
    let noise = losses.iter().fold(0f32, |most, loss| most.max(loss.abs())) * f32::EPSILON / STEP;
    let differs = |grad: f64, difference: f64| {
        let allowed = 1e-2 * grad.abs().max(difference.abs()) + 2e-3 * largest + 4.0 * f64::from(noise);
        let off = (grad - difference).abs();
        off > allowed || off.is_nan()
    };
    let wrong: Vec<_> = compared.iter().filter(|(_, _, grad, difference)| differs(*grad, *difference)).collect();
    if largest == 0.0 {
        return Err(Error::new(ErrorKind::Training, "the loss does not change with the logits: nothing could be learnt")
            .hint("compute it of the logits that it is given"));
    }
    if wrong.is_empty() {
        return Ok(losses.iter().map(|loss| f64::from(*loss)).sum());
    }
    let told = PARTS.iter().enumerate().filter_map(|(part, name)| {
        let here: Vec<_> = wrong.iter().filter(|(own, ..)| *own == part).collect();
        let (_, row, grad, difference) = here.first()?;
        Some(format!(
            "by {name} it is {grad:.4} in row {row}, finite differences give {difference:.4} ({} of {ROWS} rows differ)",
            here.len()
        ))
    });
    Err(Error::new(ErrorKind::Training, format!("the gradient of the loss is wrong: {}", told.collect::<Vec<_>>().join("; ")))
        .hint("an operation on the way has no gradient, such as detach, argmax, round or a fused softmax, or another one than its own: use others"))
}
