//! Ids → hidden rows → logits, losses and gradients: what all families of models share.
//!
//! A batch is a list of sequences of any lengths, one after the other, N ids in all: nothing is padded. Activations are
//! `(N, C)`; V words.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{D, Device, Result, Tensor};

use crate::nn::activation;
use crate::nn::attention::cache::KvCache;
use crate::nn::attention::call::{attention, attention_cached};
use crate::nn::attention::shape::{AttentionShape, Columns};
use crate::nn::backend::Backend;
use crate::nn::linear::{Embedding, Linear};
use crate::nn::lm_head::{LmHead, LogitLoss, at_leaf};
use crate::nn::norm::Norm;
use crate::nn::parameter::pass_ids;
use crate::nn::rotary::Rotary;
use crate::nn::tape::{Pass, Segment};
use crate::nn::weights::{Packed, Weights};
use compute::cpu::activation::scramble;
use compute::cpu::attention::Scores;
use compute::cpu::loss::Targets;

/// Attention of one layer: query, key and value columns → context.
pub type Attend<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;
/// Dropout of one place in one pass.
pub type Drop<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

/// One layer of a family.
pub trait Block: std::fmt::Debug + Send + Sync {
    /// `(N,C)` → `(N,C)`.
    ///
    /// # Errors
    /// candle's, where the shapes do not fit.
    fn forward(&self, pass: &Pass, x: &Tensor, attend: Attend, drop: Drop) -> Result<Tensor>;
    /// The linear layers by the last part of their name, for adapters and packed weights.
    fn linears(&mut self) -> Vec<(&'static str, &mut Linear)>;
}

/// How the heads of a layer are laid out, and what they see.
#[derive(Debug, Clone)]
pub struct AttentionConfig {
    /// Heads of queries, H.
    pub heads: usize,
    /// Heads of keys and values, G.
    pub kv_heads: usize,
    /// Dimensions of a head, D.
    pub size: usize,
    /// Where they stand in a row.
    pub columns: Columns,
    /// The angles of all positions.
    pub rotary: Arc<Rotary>,
    /// What a query makes of the keys.
    pub scores: Scores,
}

/// A language model: embedding, blocks, norm, output projection.
#[derive(Debug)]
pub struct Decoder {
    /// All parameters by name, in the order of transformers.
    pub weights: Weights,
    /// The matrices that are packed, by name; they are not among the parameters.
    pub packed: Packed,
    /// Ids → rows.
    pub embedding: Embedding,
    /// Factor of these rows: √C in Gemma, else 1.
    pub embedding_scale: f64,
    /// The layers.
    pub blocks: Vec<Box<dyn Block>>,
    /// After the last layer.
    pub norm: Norm,
    /// The output projection.
    pub head: LmHead,
    /// The attention's shape, layer by layer.
    pub heads: Vec<AttentionConfig>,
    /// Rate of dropout in the layers, in training.
    pub dropout: f64,
    /// Rate of dropout of the embedding, in training.
    pub embedding_dropout: f64,
    /// Names the random numbers of the next training pass.
    pub seed: AtomicU64,
}

/// What each layer has seen of some sequences, so that a new position costs one row and not the whole text again.
#[derive(Debug, Default)]
pub struct Cache {
    layers: Vec<Arc<Mutex<Vec<KvCache>>>>,
    /// Positions of each sequence.
    lengths: Vec<usize>,
}

impl Cache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many positions of each sequence were seen.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Keeps these sequences, in this order; one may be named twice, and goes on in two ways. What is named once is moved, not
    /// copied.
    pub fn keep(&mut self, sequences: &[usize]) {
        if sequences.iter().copied().eq(0..self.lengths.len()) {
            return;
        }
        for layer in &self.layers {
            let mut caches = layer.lock().unwrap_or_else(PoisonError::into_inner);
            let mut uses = vec![0usize; caches.len()];
            sequences.iter().for_each(|&sequence| uses[sequence] += 1);
            let mut next = |sequence: usize| {
                uses[sequence] -= 1;
                if uses[sequence] == 0 { std::mem::take(&mut caches[sequence]) } else { caches[sequence].clone() }
            };
            let kept = sequences.iter().map(|&sequence| next(sequence)).collect();
            *caches = kept;
        }
        self.lengths = sequences.iter().map(|&sequence| self.lengths[sequence]).collect();
    }
}

/// A training step's view of a batch.
#[derive(Debug, Clone, Copy)]
pub struct TrainBatch<'a> {
    /// N ids.
    pub inputs: &'a [u32],
    /// How many of them each sequence has.
    pub lengths: &'a [usize],
    /// What each position should predict.
    pub targets: Targets<'a>,
    /// Keep only the blocks' inputs and compute the rest again in the backward pass (Chen et al. 2016).
    pub checkpointing: bool,
    /// Strength of the noise on the embeddings (NEFTune, Jain et al. 2023); 0 adds none.
    pub noise: f64,
}

impl Decoder {
    fn device(&self) -> &Device {
        self.norm.weight.device()
    }

    /// The attention's shape in layer `index` for sequences of these lengths.
    fn shape(&self, index: usize, lengths: &Arc<[usize]>) -> AttentionShape {
        let AttentionConfig { heads, kv_heads, size, columns, rotary, scores } = self.heads[index].clone();
        AttentionShape { lengths: lengths.clone(), heads, kv_heads, head_size: size, columns, rotary, scores }
    }

    /// The embedded rows of `ids`, `(N,C)`.
    fn embed(&self, pass: &Pass, ids: &[u32], training: bool) -> Result<Tensor> {
        let rows = self.embedding.forward(pass, ids, training)?;
        if self.embedding_scale == 1.0 { Ok(rows) } else { pass.scaled(&rows, self.embedding_scale) }
    }

    /// The rows that the output projection reads, `(N,C)`; `training` lets candle record gradients, and drops.
    fn hidden(&self, pass: &Pass, ids: &[u32], lengths: &[usize], training: bool) -> Result<Tensor> {
        let lengths = lengths.into();
        let seed = training.then(|| self.seed.fetch_add(1, Ordering::Relaxed));
        let mut x = self.drop(pass, &self.embed(pass, ids, training)?, self.embedding_dropout, seed, 0)?;
        for index in 0..self.blocks.len() {
            x = self.block(pass, index, &x, &lengths, seed)?;
        }
        self.norm.forward(pass, &x)
    }

    fn block(&self, pass: &Pass, index: usize, x: &Tensor, lengths: &Arc<[usize]>, seed: Option<u64>) -> Result<Tensor> {
        pass.set_seed(seed);
        let place = std::cell::Cell::new(1 + 16 * index as u64);
        let drop = |x: &Tensor| self.drop(pass, x, self.dropout, seed, place.replace(place.get() + 1));
        self.blocks[index].forward(pass, x, &|qkv| attention(pass, qkv, &self.shape(index, lengths)), &drop)
    }

    fn drop(&self, pass: &Pass, x: &Tensor, rate: f64, seed: Option<u64>, place: u64) -> Result<Tensor> {
        match seed {
            Some(seed) => activation::dropout(pass, x, rate, scramble(scramble(seed).wrapping_add(place))),
            None => Ok(x.clone()),
        }
    }

    /// Logits `(N,V)`; `training` lets candle record gradients, and drops.
    ///
    /// # Errors
    /// For an id that is not below V.
    pub fn logits(&self, backend: Backend, ids: &[u32], lengths: &[usize], training: bool) -> Result<Tensor> {
        let pass = Pass::new(backend);
        if training {
            self.pass_ids()?;
        }
        self.head.logits(&pass, &self.hidden(&pass, ids, lengths, training)?)
    }

    fn pass_ids(&self) -> Result<()> {
        pass_ids(self.weights.iter().map(|(_, parameter)| parameter))
    }

    /// Logits `(S,V)` after the last of some new ids of each of S sequences, which follow those in the cache; a sequence
    /// behind the cache's last is a new one.
    ///
    /// # Errors
    /// For an id that is not below V, for fewer sequences than the cache has, and for one without a new id.
    pub fn logits_cached(&self, backend: Backend, ids: &[&[u32]], cache: &mut Cache) -> Result<Tensor> {
        let lengths: Arc<[usize]> = ids.iter().map(|ids| ids.len()).collect();
        if lengths.contains(&0) || lengths.len() < cache.lengths.len() {
            candle_core::bail!(
                "{} sequences with {lengths:?} new ids after {} of the cache: each needs one",
                ids.len(),
                cache.lengths.len()
            );
        }
        cache.lengths.resize(lengths.len(), 0);
        cache.lengths.iter_mut().zip(lengths.iter()).for_each(|(seen, new)| *seen += new);
        let pass = Pass::new(backend);
        cache.layers.resize_with(self.blocks.len(), Default::default);
        let mut x = self.embed(&pass, &ids.concat(), false)?;
        for (index, (block, caches)) in self.blocks.iter().zip(&cache.layers).enumerate() {
            let shape = self.shape(index, &lengths);
            x = block.forward(&pass, &x, &|qkv| attention_cached(&pass, qkv, &shape, caches), &|x| Ok(x.clone()))?;
        }
        let hidden = self.norm.forward(&pass, &x)?;
        let mut ends = Vec::with_capacity(lengths.len());
        let mut end = 0u32;
        for length in lengths.iter() {
            end += *length as u32;
            ends.push(end - 1);
        }
        self.head.logits(&pass, &hidden.index_select(&Tensor::from_vec(ends, lengths.len(), self.device())?, 0)?)
    }

    /// Negative log-probability of each target; 0 where its weight is 0.
    ///
    /// # Errors
    /// For an id that is not below V.
    pub fn losses(&self, backend: Backend, ids: &[u32], lengths: &[usize], targets: Targets) -> Result<Vec<f32>> {
        let pass = Pass::new(backend);
        self.head.losses(&pass, &self.hidden(&pass, ids, lengths, false)?, targets)
    }

    /// `Σ weight · loss` of a loss of the caller's own.
    ///
    /// # Errors
    /// For an id that is not below V, and what the loss says.
    pub fn sum_of(&self, backend: Backend, ids: &[u32], lengths: &[usize], targets: Targets, loss: LogitLoss) -> Result<f64> {
        let pass = Pass::new(backend);
        self.head.sum_of(&pass, &self.hidden(&pass, ids, lengths, false)?, targets, loss)
    }

    /// Adds the gradients of `Σ weight · loss` to all parameters that are not frozen; returns that loss.
    ///
    /// # Errors
    /// For an id that is not below V, and for a family whose layers have an operation without a backward pass.
    pub fn backward(&self, backend: Backend, batch: TrainBatch) -> Result<f64> {
        self.backward_through(backend, batch, |end| self.head.backward(end, batch.targets, |store| self.collect(store)))
    }

    /// [`Decoder::backward`] with a loss of the caller's own, which is a function of logits.
    ///
    /// # Errors
    /// As [`Decoder::backward`], and what the loss says.
    pub fn backward_of(&self, backend: Backend, batch: TrainBatch, loss: LogitLoss) -> Result<f64> {
        self.backward_through(backend, batch, |end| self.head.backward_of(end, batch.targets, loss, |store| self.collect(store)))
    }

    /// From the ids to the hidden rows, through `head`, which gives a loss and its gradient by these rows, and all the way back.
    fn backward_through(&self, backend: Backend, batch: TrainBatch, head: impl FnOnce(Segment) -> Result<(f64, Tensor)>) -> Result<f64> {
        if !backend.is_fused() {
            self.pass_ids()?;
        }
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let lengths = batch.lengths.into();
        let embedding = Segment::start(backend, |pass| {
            let embedded = self.noisy(pass, &self.embed(pass, batch.inputs, true)?, batch, seed)?;
            self.drop(pass, &embedded, self.embedding_dropout, Some(seed), 0)
        })?;
        let layers = 0..self.blocks.len();
        // What is computed again on the way back begins with these.
        let mut inputs = vec![embedding.output().detach()];
        if batch.checkpointing {
            for index in layers.clone() {
                inputs.push(self.block(&Pass::new(backend), index, &inputs[index], &lengths, Some(seed))?.detach());
            }
        }
        let last = inputs.pop().unwrap_or_else(|| embedding.output().detach());
        let end = Segment::of(backend, &last, |pass, x| {
            let mut y = x.clone();
            for index in layers.filter(|_| !batch.checkpointing) {
                y = self.block(pass, index, &y, &lengths, Some(seed))?;
            }
            self.norm.forward(pass, &y)
        })?;
        drop(last);
        let (loss, mut grad) = head(end)?;
        while let Some(input) = inputs.pop() {
            let block = Segment::of(backend, &input, |pass, x| self.block(pass, inputs.len(), x, &lengths, Some(seed)))?;
            grad = at_leaf(block.back(&grad, |store| self.collect(store))?)?;
        }
        embedding.back(&grad, |store| self.collect(store))?;
        Ok(loss)
    }

    /// Adds what candle's backward pass found of the weights to the parameters.
    fn collect(&self, store: &GradStore) -> Result<()> {
        for (_, parameter) in &self.weights {
            if let Some(grad) = store.get(parameter.as_tensor()) {
                parameter.accumulate_tensor(grad)?;
            }
        }
        Ok(())
    }

    /// Uniform noise of `noise / √(length · C)` on each sequence's embeddings.
    fn noisy(&self, pass: &Pass, embedded: &Tensor, batch: TrainBatch, seed: u64) -> Result<Tensor> {
        if batch.noise <= 0.0 {
            return Ok(embedded.clone());
        }
        let width = embedded.dim(D::Minus1)?;
        let mut noise = Vec::with_capacity(embedded.elem_count());
        for length in batch.lengths {
            let strength = batch.noise / ((length * width) as f64).sqrt();
            for _ in 0..length * width {
                let random = scramble(scramble(seed ^ 0x6e65_6674).wrapping_add(noise.len() as u64)) as f64 / u64::MAX as f64;
                noise.push((strength * (2.0 * random - 1.0)) as f32);
            }
        }
        pass.shifted(embedded, &Tensor::from_vec(noise, embedded.shape(), embedded.device())?)
    }
}
