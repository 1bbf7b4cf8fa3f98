//! Ids → hidden rows → logits, losses and gradients: what all families of models share.
//!
//! A batch is a list of sequences of any lengths, one after the other, N ids in all: nothing is padded. Activations are
//! `(N, C)`; V words.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{D, Device, Tensor};

use crate::formats::safetensors::{Packed, Weights};
use crate::nn::activation;
use crate::nn::attention::composed;
use crate::nn::attention::fused::{AttentionShape, Columns, LayerCache, attention, attention_cached};
use crate::nn::backend::is_fused;
use crate::nn::linear::{Embedding, Linear, Weight};
use crate::nn::norm::Norm;
use crate::nn::parameter::{Parameter, with_values};
use crate::nn::rotary::Rotary;
use crate::nn::tape::{self, Recording};
use compute::cpu::activation::scramble;
use compute::cpu::attention::Scores;
use compute::cpu::loss::{Head, Targets};

type Answer<T> = candle_core::Result<T>;
/// Attention of one layer: query, key and value columns → context.
pub type Attend<'a> = &'a dyn Fn(&Tensor) -> Answer<Tensor>;
/// Dropout of one place in one pass.
pub type Drop<'a> = &'a dyn Fn(&Tensor) -> Answer<Tensor>;

/// One layer of a family.
pub trait Block: std::fmt::Debug + Send + Sync {
    /// `(N,C)` → `(N,C)`.
    fn forward(&self, x: &Tensor, attend: Attend, drop: Drop) -> Answer<Tensor>;
    /// The linear layers by the last part of their name, for adapters and packed weights.
    fn linears(&mut self) -> Vec<(&'static str, &mut Linear)>;
}

/// How the heads of a layer are laid out, and what they see.
#[derive(Debug, Clone)]
pub struct Heads {
    /// Heads of queries, H.
    pub heads: usize,
    /// Heads of keys and values, G.
    pub groups: usize,
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
    /// The output projection `(V,C)`; may be the embedding's weight.
    pub head: Weight,
    /// Added to the logits `(V)`.
    pub head_bias: Option<Parameter>,
    /// Bound of a logit: `cap · tanh(logit / cap)`.
    pub logit_cap: Option<f32>,
    /// The attention's shape, layer by layer.
    pub heads: Vec<Heads>,
    /// Rate of dropout in the layers, in training.
    pub dropout: f64,
    /// Rate of dropout of the embedding, in training.
    pub embedding_dropout: f64,
    /// Names the random numbers of the next training pass.
    pub seed: AtomicU64,
    /// Memory for logits.
    pub scratch: Mutex<Vec<f32>>,
}

/// What each layer has seen of some sequences, so that a new position costs one row and not the whole text again.
#[derive(Debug, Default)]
pub struct Cache {
    layers: Vec<Arc<Mutex<Vec<LayerCache>>>>,
    sequences: usize,
}

impl Cache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps these sequences, in this order; one may be named twice, and goes on in two ways. What is named once is moved, not
    /// copied.
    pub fn keep(&mut self, sequences: &[usize]) {
        if sequences.iter().copied().eq(0..self.sequences) {
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
        self.sequences = sequences.len();
    }
}

/// A training step's view of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
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
        let Heads { heads, groups, size, columns, rotary, scores } = self.heads[index].clone();
        AttentionShape { lengths: lengths.clone(), heads, groups, head_size: size, columns, rotary, scores }
    }

    /// The embedded rows of `ids`, `(N,C)`.
    fn embed(&self, ids: &[u32], training: bool) -> Answer<Tensor> {
        let rows = self.embedding.forward(ids, training)?;
        if self.embedding_scale == 1.0 { Ok(rows) } else { tape::scaled(&rows, self.embedding_scale) }
    }

    /// The rows that the output projection reads, `(N,C)`; `training` records gradients and drops.
    pub fn hidden(&self, ids: &[u32], lengths: &[usize], training: bool) -> Answer<Tensor> {
        let lengths = lengths.into();
        let seed = training.then(|| self.seed.fetch_add(1, Ordering::Relaxed));
        let mut x = self.drop(&self.embed(ids, training)?, self.embedding_dropout, seed, 0)?;
        for index in 0..self.blocks.len() {
            x = self.block(index, &x, &lengths, seed)?;
        }
        self.norm.forward(&x)
    }

    fn block(&self, index: usize, x: &Tensor, lengths: &Arc<[usize]>, seed: Option<u64>) -> Answer<Tensor> {
        let place = std::cell::Cell::new(1 + 16 * index as u64);
        let drop = |x: &Tensor| self.drop(x, self.dropout, seed, place.replace(place.get() + 1));
        self.blocks[index].forward(x, &|qkv| attention(qkv, &self.shape(index, lengths)), &drop)
    }

    fn drop(&self, x: &Tensor, rate: f64, seed: Option<u64>, place: u64) -> Answer<Tensor> {
        match seed {
            Some(seed) => activation::dropout(x, rate, scramble(scramble(seed).wrapping_add(place))),
            None => Ok(x.clone()),
        }
    }

    /// Logits `(N,V)`.
    pub fn logits(&self, ids: &[u32], lengths: &[usize], training: bool) -> Answer<Tensor> {
        self.project(&self.hidden(ids, lengths, training)?)
    }

    fn project(&self, hidden: &Tensor) -> Answer<Tensor> {
        let logits = Linear { weight: self.head.clone(), bias: self.head_bias.clone(), adapter: None }.forward(hidden)?;
        match self.logit_cap.map(f64::from) {
            Some(cap) => (logits / cap)?.tanh()? * cap,
            None => Ok(logits),
        }
    }

    /// Logits `(S,V)` after the last of some new ids of each of S sequences, which follow those in the cache; a sequence
    /// behind the cache's last is a new one.
    pub fn logits_cached(&self, ids: &[&[u32]], cache: &mut Cache) -> Answer<Tensor> {
        let lengths: Arc<[usize]> = ids.iter().map(|ids| ids.len()).collect();
        if lengths.contains(&0) || lengths.len() < cache.sequences {
            candle_core::bail!("{} sequences with {lengths:?} new ids after {} of the cache: each needs one", ids.len(), cache.sequences);
        }
        cache.sequences = lengths.len();
        cache.layers.resize_with(self.blocks.len(), Default::default);
        let mut x = self.embed(&ids.concat(), false)?;
        for (index, (block, caches)) in self.blocks.iter().zip(&cache.layers).enumerate() {
            let shape = self.shape(index, &lengths);
            x = block.forward(&x, &|qkv| attention_cached(qkv, &shape, caches), &|x| Ok(x.clone()))?;
        }
        let hidden = self.norm.forward(&x)?;
        let mut ends = Vec::with_capacity(lengths.len());
        let mut end = 0u32;
        for length in lengths.iter() {
            end += *length as u32;
            ends.push(end - 1);
        }
        self.project(&hidden.index_select(&Tensor::from_vec(ends, lengths.len(), self.device())?, 0)?)
    }

    /// Negative log-probability of each target; 0 where its weight is 0.
    pub fn losses(&self, ids: &[u32], lengths: &[usize], targets: Targets) -> Answer<Vec<f32>> {
        let hidden = self.hidden(ids, lengths, false)?;
        if is_fused(hidden.device()) {
            return with_values(&hidden, |hidden| self.with_head(|head| head.losses(hidden, targets)))?;
        }
        let losses = composed::losses(&self.project(&hidden)?, targets)?.to_vec1::<f32>()?;
        Ok(losses.iter().zip(targets.weights).map(|(loss, weight)| if *weight == 0.0 { 0.0 } else { *loss }).collect())
    }

    /// Adds the gradients of `Σ weight · loss` to all parameters that are not frozen; returns that loss.
    pub fn backward(&self, lesson: Lesson) -> Answer<f64> {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let lengths = lesson.lengths.into();
        let embedding = Recording::start(self.device(), || {
            let embedded = self.noisy(&self.embed(lesson.inputs, true)?, lesson, seed)?;
            self.drop(&embedded, self.embedding_dropout, Some(seed), 0)
        })?;
        let layers = 0..self.blocks.len();
        // What is computed again on the way back begins with these.
        let mut inputs = vec![embedding.output().detach()];
        if lesson.checkpointing {
            for index in layers.clone() {
                inputs.push(self.block(index, &inputs[index], &lengths, Some(seed))?.detach());
            }
        }
        let last = inputs.pop().unwrap_or_else(|| embedding.output().detach());
        let end = Recording::of(&last, |x| {
            let mut y = x.clone();
            for index in layers.filter(|_| !lesson.checkpointing) {
                y = self.block(index, &y, &lengths, Some(seed))?;
            }
            self.norm.forward(&y)
        })?;
        drop(last);
        let (loss, mut slope) = self.loss_backward(end, lesson.targets)?;
        while let Some(input) = inputs.pop() {
            let block = Recording::of(&input, |x| self.block(inputs.len(), x, &lengths, Some(seed)))?;
            slope = at_leaf(block.back(&slope, |store| self.collect(store))?)?;
        }
        embedding.back(&slope, |store| self.collect(store))?;
        Ok(loss)
    }

    /// The loss of the hidden rows that a recording gave, and the gradient of its leaf.
    fn loss_backward(&self, recording: Recording, targets: Targets) -> Answer<(f64, Tensor)> {
        let hidden = recording.output().clone();
        if !is_fused(hidden.device()) {
            let logits = self.project(&hidden)?;
            let weights = Tensor::from_slice(targets.weights, targets.weights.len(), hidden.device())?;
            let loss = composed::losses(&logits, targets)?.mul(&weights)?.sum_all()?;
            let value = f64::from(loss.to_scalar::<f32>()?);
            return Ok((value, at_leaf(recording.back_from(&loss, |store| self.collect(store))?)?));
        }
        let (loss, slope, bias_slope) = with_values(&hidden, |hidden| {
            self.with_head(|head| {
                let mut result = None;
                match self.head.parameter().filter(|parameter| !parameter.is_frozen()) {
                    None => result = Some(head.backward(hidden, targets, None)),
                    Some(parameter) => parameter.accumulate(|sum, add| result = Some(head.backward(hidden, targets, Some((sum, add))))),
                }
                result.unwrap_or_default()
            })
        })??;
        if let Some(bias) = &self.head_bias {
            bias.accumulate(|sum, add| sum.iter_mut().zip(&bias_slope).for_each(|(sum, own)| *sum = if add { *sum + own } else { *own }));
        }
        let slope = Tensor::from_vec(slope, hidden.shape(), hidden.device())?;
        drop(hidden);
        Ok((loss, at_leaf(recording.back(&slope, |store| self.collect(store))?)?))
    }

    /// Adds what candle's backward pass found of the weights to the parameters.
    fn collect(&self, store: &GradStore) -> Answer<()> {
        for (_, parameter) in &self.weights {
            if let Some(slope) = store.get(parameter.as_tensor()) {
                parameter.accumulate_tensor(slope)?;
            }
        }
        Ok(())
    }

    fn with_head<T>(&self, work: impl FnOnce(Head) -> T) -> Answer<T> {
        let (width, cap, scratch) = (self.head.dims()[1], self.logit_cap, &self.scratch);
        with_values(&self.head.tensor(&Device::Cpu)?, |weight| match &self.head_bias {
            Some(bias) => with_values(bias, |bias| work(Head { weight, bias: Some(bias), cap, width, scratch })),
            None => Ok(work(Head { weight, bias: None, cap, width, scratch })),
        })?
    }

    /// Uniform noise of `noise / √(length · C)` on each sequence's embeddings.
    fn noisy(&self, embedded: &Tensor, lesson: Lesson, seed: u64) -> Answer<Tensor> {
        if lesson.noise <= 0.0 {
            return Ok(embedded.clone());
        }
        let width = embedded.dim(D::Minus1)?;
        let mut noise = Vec::with_capacity(embedded.elem_count());
        for length in lesson.lengths {
            let strength = lesson.noise / ((length * width) as f64).sqrt();
            for _ in 0..length * width {
                let random = scramble(scramble(seed ^ 0x6e65_6674).wrapping_add(noise.len() as u64)) as f64 / u64::MAX as f64;
                noise.push((strength * (2.0 * random - 1.0)) as f32);
            }
        }
        tape::shifted(embedded, &Tensor::from_vec(noise, embedded.shape(), embedded.device())?)
    }
}

fn at_leaf(slope: Option<Tensor>) -> Answer<Tensor> {
    match slope {
        Some(slope) => Ok(slope),
        None => candle_core::bail!("an operation of the model has no backward pass"),
    }
}
