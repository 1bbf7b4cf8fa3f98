//! Texts → vectors whose cosine says how alike their meanings are: a sentence encoder (Reimers & Gurevych 2019).

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::border::{json, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::bert::{Bert, BertConfig};
use crate::hub::options::HubOptions;
use crate::nn::device::best_device;
use crate::source::resolve::model_folder;
use crate::tokenizer::text::{Side, Tokenizer, truncate};
use crate::util::interrupt;

/// Texts that are computed at once.
const BATCH: usize = 32;

/// A BERT whose mean hidden state stands for a text, such as `builtin:encoder` (all-MiniLM-L6-v2, 384 numbers a text). A clone shares
/// the weights.
#[derive(Debug, Clone)]
pub struct SentenceEncoder {
    bert: Arc<Bert>,
    tokenizer: Tokenizer,
    /// Ids of a text at most; the rest of a longer one is not read.
    longest: usize,
}

impl SentenceEncoder {
    /// The encoder of a `builtin:` name, a folder or a hub repository with a BERT that pools by the mean; on
    /// [`best_device`].
    ///
    /// # Errors
    /// [`ErrorKind::Name`] where there is none by this name, or it is not fetched yet; [`ErrorKind::Model`] for another kind of
    /// model, or damaged files; [`ErrorKind::Tokenizer`], [`ErrorKind::File`].
    pub fn from_pretrained(name: &str) -> Result<Self> {
        let folder = model_folder(name, &HubOptions::default())?;
        let config = BertConfig::from_folder(&folder)?;
        check_pooling(&folder)?;
        let tokenizer = Tokenizer::from_folder(&folder)?;
        let settings = optional(&folder.join("sentence_bert_config.json"))?;
        let longest = settings["max_seq_length"].as_u64().and_then(|length| usize::try_from(length).ok());
        let around = tokenizer.beginning().len() + tokenizer.ending().len();
        let longest = longest.unwrap_or(usize::MAX).min(config.max_position_embeddings);
        if longest <= around {
            return Err(Error::new(ErrorKind::Model, format!("`{name}` reads {longest} tokens, {around} of which stand around a text"))
                .hint("use `builtin:encoder`"));
        }
        Ok(Self { bert: Arc::new(Bert::from_folder(&folder, &config, &best_device())?), tokenizer, longest })
    }

    /// A vector for each text, `(texts, C)` on the CPU: the mean of its hidden states, of length 1. Of a long text the first
    /// tokens are read (256 of `builtin:encoder`).
    ///
    /// # Errors
    /// [`ErrorKind::Data`] without a text, [`ErrorKind::Tokenizer`] for one that the tokenizer refuses; [`ErrorKind::Interrupted`].
    pub fn encode(&self, texts: &[impl AsRef<str> + Sync]) -> Result<Tensor> {
        if texts.is_empty() {
            return Err(Error::new(ErrorKind::Data, "there is no text to encode").hint("give at least one"));
        }
        let (before, behind) = (self.tokenizer.beginning(), self.tokenizer.ending());
        let inside = self.longest - before.len() - behind.len();
        let whole = |ids: Vec<u32>| [before, &truncate(&ids, inside, Side::Right), behind].concat();
        let rows: Vec<Vec<u32>> = self.tokenizer.encode_batch(texts)?.into_iter().map(whole).collect();
        let mut vectors = Vec::with_capacity(rows.len());
        for (batch, rows) in rows.chunks(BATCH).enumerate() {
            interrupt::check(format_args!("after {} of {} texts", batch * BATCH, texts.len()))?;
            let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
            let (states, mut start) = (self.bert.forward(&rows)?.to_device(&Device::Cpu)?, 0);
            for row in rows {
                let mean = states.narrow(0, start, row.len())?.mean(0)?;
                let length = mean.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
                vectors.push((mean / f64::from(length.max(1e-12)))?);
                start += row.len();
            }
        }
        Ok(Tensor::stack(&vectors, 0)?)
    }

    /// How alike a text's meaning is to that of each of others: the cosine of their vectors, from −1 to 1.
    ///
    /// # Errors
    /// As [`SentenceEncoder::encode`].
    pub fn similarities(&self, text: &str, others: &[impl AsRef<str>]) -> Result<Vec<f64>> {
        let texts: Vec<&str> = [text].into_iter().chain(others.iter().map(AsRef::as_ref)).collect();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let vectors: Vec<Vec<f32>> = self.encode(&texts)?.to_vec2()?;
        let cosine = |other: &Vec<f32>| vectors[0].iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        Ok(vectors[1..].iter().map(cosine).collect())
    }

    /// How alike the meanings of two texts are, as [`TfIdf::similarity`](crate::evaluate::similarity::TfIdf::similarity) says it of
    /// their words: the cosine of their vectors, from −1 to 1.
    ///
    /// # Errors
    /// As [`SentenceEncoder::encode`].
    pub fn similarity(&self, a: &str, b: &str) -> Result<f64> {
        Ok(self.similarities(a, &[b])?[0])
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        self.bert.device()
    }
}

/// A JSON file; null where there is none.
fn optional(path: &Path) -> Result<Value> {
    let value = json::read_if_there(path, limits::CONFIGURATION, ErrorKind::Model, "fetch the checkpoint again")?;
    Ok(value.unwrap_or_default())
}

/// Refuses an encoder that says that it pools in another way.
fn check_pooling(folder: &Path) -> Result<()> {
    let path = folder.join("1_Pooling/config.json");
    let pooling = optional(&path)?;
    if pooling.is_null() || pooling["pooling_mode_mean_tokens"] == true {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Model, format!("`{}` does not pool by the mean of tokens", path.display()))
        .in_file(&path)
        .hint("use an encoder that does, such as `builtin:encoder`"))
}
