//! Ids → logits, losses and gradients of a model that cells can hold, clone, print and train.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use candle_core::{DType, Device, Tensor, Var};

use crate::error::{Error, ErrorKind, Result};
use crate::models::assemble::assemble;
use crate::models::config::Config;
use crate::models::decoder::{Cache, Decoder, TrainBatch};
use crate::models::labels::Labels;
use crate::nn::backend::Backend;
use crate::nn::check;
use crate::nn::lora::{Applied, LoraConfig};
use crate::nn::parameter::Parameter;
use crate::nn::weights::{Packed, Weights};
use crate::tokenizer::text::Tokenizer;
use crate::util::rng::Pcg64;
use compute::cpu::loss::Targets;
use compute::pool::Pool;

/// Sets of threads that a model keeps for its next pass; passes at once need more, which go with them.
const IDLE_POOLS: usize = 4;

/// A causal language model. A clone shares the weights: training one trains the other.
#[derive(Debug, Clone)]
pub struct CausalLm {
    config: Arc<Config>,
    decoder: Arc<Decoder>,
    device: Device,
    folder: Option<PathBuf>,
    /// What it was loaded by.
    name: Option<String>,
    lora: Option<Arc<Applied>>,
    /// What its scores are called, where it scores sequences and writes no text.
    labels: Option<Arc<Labels>>,
    backend: Backend,
    pool: Arc<Pool>,
}

impl CausalLm {
    /// A model of weights that have the names and shapes of [`Config::parameter_shapes`]; `folder` holds the files of its tokenizer.
    pub(crate) fn new(config: Config, weights: Weights, packed: Packed, device: &Device, folder: Option<PathBuf>) -> Self {
        Self {
            decoder: Arc::new(assemble(&config, weights, packed, None)),
            config: Arc::new(config),
            device: device.clone(),
            folder,
            name: None,
            lora: None,
            labels: None,
            backend: check::backend_of(device),
            pool: Arc::new(Pool::new(IDLE_POOLS)),
        }
    }

    /// A model of these weights, which have the names and shapes of [`Labels::shapes`].
    pub(crate) fn scoring(config: Config, labels: Labels, weights: Weights, device: &Device, folder: Option<PathBuf>) -> Self {
        Self { labels: Some(Arc::new(labels)), ..Self::new(config, weights, Packed::new(), device, folder) }
    }

    /// A model of other weights in the same layers, which have the names and shapes of [`Labels::shapes`]: a row of scores in place
    /// of the output projection.
    pub(crate) fn with_labels(&self, labels: Labels, weights: Weights) -> Self {
        Self { labels: Some(Arc::new(labels)), ..self.assembled(weights, Packed::new(), None) }
    }

    /// What its scores are called; none where it writes text.
    pub(crate) fn labels(&self) -> Option<&Labels> {
        self.labels.as_deref()
    }

    /// Names and shapes of all parameters but those of an adapter, in the order of transformers' `state_dict`.
    pub(crate) fn parameter_shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.labels().map_or_else(|| self.config.parameter_shapes(), |labels| labels.shapes(&self.config))
    }

    /// Refuses a model that scores sequences where one that writes text is needed.
    pub(crate) fn check_writes(&self) -> Result<()> {
        let Some(labels) = self.labels() else { return Ok(()) };
        Err(Error::new(ErrorKind::Model, format!("the model scores sequences by {} labels and writes no text", labels.names().len()))
            .hint("load a language model with `AutoModelForCausalLM::from_pretrained`"))
    }

    /// Logits `(N,V)` of sequences that stand one after the other, dropout off; of a model with labels their scores `(N,labels)`.
    pub(crate) fn logits_of(&self, ids: &[u32], lengths: &[usize]) -> Result<Tensor> {
        self.check_ids(ids)?;
        self.check_lengths(lengths.iter().copied())?;
        Ok(self.pool.run(|| self.decoder.logits(self.backend, ids, lengths, false))?)
    }

    /// The same model, which knows what it was loaded by.
    pub(crate) fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_string()), ..self }
    }

    /// The same model, which has its tokenizer files in `folder`.
    pub(crate) fn within(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_path_buf()), ..self }
    }

    /// A model of the same shape, name and folder from other weights.
    pub(crate) fn assembled(&self, weights: Weights, packed: Packed, lora: Option<Arc<Applied>>) -> Self {
        let decoder = assemble(&self.config, weights, packed, lora.as_deref());
        Self { decoder: Arc::new(decoder), lora, ..self.clone() }
    }

    /// A model with random weights: normal with deviation 0.02, norms 1 (Gemma's: 0, which is the same) and biases 0, as
    /// transformers starts one. `tokenizer` is the one whose files belong into its checkpoints.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a configuration that cannot be computed, or when the device has no memory for the weights.
    pub fn random(config: impl Into<Config>, seed: u64, tokenizer: Option<&Tokenizer>, device: &Device) -> Result<Self> {
        let config = config.into();
        config.family().check().map_err(|reason| {
            Error::new(ErrorKind::Model, format!("the configuration: {reason}")).hint("change the field where the configuration is made")
        })?;
        let weights = random_weights(&config, seed, device)?;
        Ok(Self::new(config, weights, Vec::new(), device, tokenizer.map(|tokenizer| tokenizer.folder().to_path_buf())))
    }

    /// The same model, its weights shared, with operations that compute in another way: [`Backend::composed`] for those of other
    /// devices. A trainer, a cache and a generation made with it compute so, too.
    pub fn with_backend(&self, backend: Backend) -> Self {
        Self { backend, ..self.clone() }
    }

    /// The same model, its weights shared, with products in `dtype` (see [`Backend::autocast`]).
    pub fn autocast(&self, dtype: DType) -> Self {
        self.with_backend(self.backend.autocast(dtype))
    }

    /// How its operations compute.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The threads that its passes run on; what makes several passes one after the other enters them once.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// A copy with weights of its own; an adapter is copied, too.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] when the device has no memory for the copy.
    pub fn deep_clone(&self) -> Result<Self> {
        let mut copies = Vec::new();
        for (name, parameter) in self.weights() {
            copies.push((name.clone(), parameter.deep_clone()?));
        }
        Ok(self.assembled(copies, self.packed().clone(), self.lora.clone()))
    }

    /// What computes: a training step calls it from inside of its own pool.
    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The parameters by name, in the order of transformers; those of an adapter follow, by PEFT's names.
    pub fn weights(&self) -> &Weights {
        &self.decoder.weights
    }

    /// The matrices that are packed (see [`CausalLm::quantized`]), by name.
    pub fn packed(&self) -> &Packed {
        &self.decoder.packed
    }

    /// The adapter's settings, where the model has one.
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_deref().map(|lora| &lora.config)
    }

    /// The adapter's settings as they stand on this model's matrices.
    pub(crate) fn applied(&self) -> Option<&Arc<Applied>> {
        self.lora.as_ref()
    }

    /// The name or folder by which the model can be loaded again.
    pub(crate) fn origin(&self) -> Option<String> {
        self.name.clone().or_else(|| Some(self.folder.as_ref()?.display().to_string()))
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The folder whose tokenizer files belong into its checkpoints.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Logits `(B·T, V)` of ids `(B,T)`, row-major; `training` turns dropout on and records gradients, which a backward
    /// pass adds to the weights' own (see [`crate::nn::parameter::Parameter::gradient`]).
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for ids that do not make `batch` rows, an id that is not below V, or rows longer than the model's positions.
    pub fn forward(&self, ids: &[u32], batch: usize, training: bool) -> Result<Tensor> {
        if batch == 0 || !ids.len().is_multiple_of(batch) {
            return Err(Error::new(ErrorKind::Data, format!("{} ids do not make {batch} rows of one length", ids.len()))
                .hint("give as many ids as batch times length, or call `losses` with the length of each row"));
        }
        let lengths = vec![ids.len() / batch; batch];
        self.check_ids(ids)?;
        self.check_lengths(lengths.iter().copied())?;
        Ok(self.pool.run(|| self.decoder.logits(self.backend, ids, &lengths, training))?)
    }

    /// Logits `(1,V)` of the position after `ids`, which follow those already in the cache.
    ///
    /// # Errors
    /// As [`CausalLm::forward_cached_batch`].
    pub fn forward_cached(&self, ids: &[u32], cache: &mut Cache) -> Result<Tensor> {
        self.forward_cached_batch(&[ids], cache)
    }

    /// Logits `(S,V)` after the new ids of each of S sequences, which follow those already in the cache.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for an id that is not below V, and for sequences that grow beyond the model's positions;
    /// [`ErrorKind::Model`] for fewer sequences than the cache has, or one without a new id.
    pub fn forward_cached_batch(&self, ids: &[&[u32]], cache: &mut Cache) -> Result<Tensor> {
        self.check_writes()?;
        ids.iter().try_for_each(|ids| self.check_ids(ids))?;
        let seen = cache.lengths().iter().copied().chain(std::iter::repeat(0));
        self.check_lengths(ids.iter().zip(seen).map(|(ids, seen)| seen + ids.len()))?;
        Ok(self.pool.run(|| self.decoder.logits_cached(self.backend, ids, cache))?)
    }

    /// Negative log-probability, in nats, of each target of sequences that stand one after the other, dropout off; 0 where the
    /// target's weight is 0. N ids, targets and weights; `lengths` cuts them into sequences.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for counts that differ, an id or a target that counts and is not below V, or sequences longer than the
    /// model's positions.
    pub fn losses(&self, inputs: &[u32], lengths: &[usize], targets: Targets) -> Result<Vec<f32>> {
        self.check_batch(inputs, lengths, targets)?;
        Ok(self.pool.run(|| self.decoder.losses(self.backend, inputs, lengths, targets))?)
    }

    /// Adds the gradients of `Σ weight · loss` to the weights' own; returns that loss.
    ///
    /// # Errors
    /// As [`CausalLm::losses`].
    pub fn backward(&self, batch: TrainBatch) -> Result<f64> {
        self.check_batch(batch.inputs, batch.lengths, batch.targets)?;
        Ok(self.pool.run(|| self.decoder.backward(self.backend, batch))?)
    }

    fn check_batch(&self, inputs: &[u32], lengths: &[usize], targets: Targets) -> Result<()> {
        let counts = [lengths.iter().sum(), targets.labels.len(), targets.weights.len()];
        if counts.iter().any(|&count| count != inputs.len()) {
            let [rows, ids, weights] = counts;
            return Err(Error::new(
                ErrorKind::Data,
                format!(
                    "{} ids, lengths of {rows} in all, {ids} targets and {weights} weights; there must be as many of each",
                    inputs.len()
                ),
            )
            .hint("give each id the target that follows it, and a weight of 0 where there is none"));
        }
        self.check_ids(inputs)?;
        self.check_lengths(lengths.iter().copied())?;
        let counted = targets.labels.iter().zip(targets.weights).filter(|(_, weight)| **weight != 0.0);
        self.check_known(counted.map(|(id, _)| *id), "label")
    }

    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        self.check_known(ids.iter().copied(), "token id")
    }

    fn check_known(&self, mut ids: impl Iterator<Item = u32>, what: &str) -> Result<()> {
        let vocabulary = self.config.vocab_size();
        match ids.find(|&id| id as usize >= vocabulary) {
            None => Ok(()),
            Some(id) => Err(Error::new(ErrorKind::Data, format!("{what} {id} is outside of the model's vocabulary of {vocabulary}"))
                .hint("load tokenizer and model by the same name")),
        }
    }

    fn check_lengths(&self, lengths: impl Iterator<Item = usize>) -> Result<()> {
        let positions = self.config.max_position_embeddings();
        match lengths.enumerate().find(|(_, length)| *length > positions) {
            None => Ok(()),
            Some((index, length)) => {
                let message = format!("sequence {index} has {length} tokens, the model has {positions} positions");
                Err(Error::new(ErrorKind::Data, message)
                    .hint(format!("shorten the text, or keep {positions} of its tokens with `truncate`")))
            }
        }
    }

    /// Names the random numbers of dropout and noise from here on.
    pub fn set_seed(&self, seed: u64) {
        self.decoder.seed.store(seed, Ordering::Relaxed);
    }

    /// What names them next.
    pub(crate) fn seed(&self) -> u64 {
        self.decoder.seed.load(Ordering::Relaxed)
    }

    /// Number of parameters, frozen and packed ones included.
    pub fn parameter_count(&self) -> usize {
        let packed = self.packed().iter().map(|(_, packed)| packed.shape().elem_count()).sum::<usize>();
        self.weights().iter().map(|(_, var)| var.elem_count()).sum::<usize>() + packed
    }

    /// Number of parameters that training changes.
    pub fn trainable_parameter_count(&self) -> usize {
        self.weights().iter().filter(|(_, parameter)| !parameter.is_frozen()).map(|(_, parameter)| parameter.elem_count()).sum()
    }

    /// Number of parameters without the input embedding, as transformers counts them for FLOPs.
    pub fn non_embedding_parameter_count(&self) -> usize {
        self.parameter_count() - self.config().vocab_size() * self.config().hidden_size()
    }

    /// Bytes of the parameters in memory: four each, fewer for packed ones.
    pub fn memory_footprint(&self) -> usize {
        let packed = self.packed().iter().map(|(_, packed)| packed.storage_size_in_bytes()).sum::<usize>();
        self.weights().iter().map(|(_, parameter)| 4 * parameter.elem_count()).sum::<usize>() + packed
    }

    /// Bytes that `get_memory_footprint` of transformers reports, which adds buffers: the causal masks of each layer in
    /// older versions (first), and cached rotary tables besides in later ones (second).
    pub fn transformers_memory_footprint(&self) -> [usize; 2] {
        let config = self.config();
        let (positions, rotary) = (config.max_position_embeddings(), 2 * self.decoder.heads.first().map_or(0, |heads| heads.rotary.half()));
        let mask = positions * positions;
        let scalars = 4 + 4 * rotary / 2;
        let older = config.num_hidden_layers() * (mask + scalars + 4);
        let later = config.num_hidden_layers() * (mask + scalars + 2 * 4 * positions * rotary);
        [self.memory_footprint() + older, self.memory_footprint() + later]
    }

    /// Floating point operations of training on this many tokens: `6 · tokens · non-embedding parameters`, the estimate
    /// of Kaplan et al. 2020 that transformers logs as `total_flos`.
    pub fn floating_point_ops(&self, tokens: usize) -> f64 {
        6.0 * tokens as f64 * self.non_embedding_parameter_count() as f64
    }
}

/// Matrices normal with deviation 0.02, norms as the family starts them, biases 0.
fn random_weights(config: &Config, seed: u64, device: &Device) -> Result<Weights> {
    let (mut random, first_norm) = (Pcg64::new(seed), config.family().first_norm());
    let mut weights = Vec::new();
    for (name, shape) in config.parameter_shapes() {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = match shape.len() {
            1 if name.ends_with("weight") => vec![first_norm; count],
            1 => vec![0.0; count],
            _ => (0..count).map(|_| (0.02 * random.next_normal()) as f32).collect(),
        };
        weights.push((name, Parameter::new(Var::from_vec(values, shape, device)?)));
    }
    Ok(weights)
}

impl fmt::Display for CausalLm {
    /// The model as PyTorch prints one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.family().describe(formatter)?;
        self.lora().map_or(Ok(()), |lora| {
            let (trained, all) = (self.trainable_parameter_count(), self.parameter_count());
            let targets = lora.target_regex.clone().unwrap_or_else(|| lora.target_modules.join(", "));
            let (r, share) = (lora.r, 100.0 * trained as f64 / all as f64);
            write!(formatter, "\nLoRA of rank {r} on {targets}: {trained} of {all} parameters are trainable ({share:.2} %)")
        })
    }
}
