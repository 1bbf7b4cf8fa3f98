//! Text → text: `inference` of the course, over a key/value cache.

use candle_core::DType;
use candle_transformers::generation::{LogitsProcessor, Sampling};

use crate::error::{Error, ErrorKind, Result};
use crate::interrupt;
use crate::model::causal::CausalLm;
use crate::model::decoder::Cache;
use crate::tokenizer::text::{Side, Tokenizer, truncate};

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Decoding {
    /// Always the most probable token.
    #[default]
    Greedy,
    /// Drawn from the `top_k` most probable ones at a temperature (above 0), with a seed.
    Sample {
        /// Divides the logits: below 1 is more certain, above 1 more varied.
        temperature: f64,
        /// How many tokens are drawn from.
        top_k: usize,
        /// The same seed gives the same text.
        seed: u64,
    },
}

/// The model's answer to a text, the course's way: the first `max_input_tokens` tokens of the text are read,
/// `max_output_tokens` bounds prompt and answer together, decoding skips special tokens and the prompt is cut off.
///
/// # Errors
/// When the prompt alone fills `max_output_tokens`, as transformers refuses it.
pub fn inference(text: &str, model: &CausalLm, tokenizer: &Tokenizer, max_input_tokens: usize, max_output_tokens: usize) -> Result<String> {
    let prompt = truncate(&tokenizer.encode(text)?, max_input_tokens, Side::Right);
    let mut stop = model.config().eos_token_ids();
    stop.push(tokenizer.eos_id());
    let ids = generate_until(model, &prompt, max_output_tokens, &stop, Decoding::Greedy)?;
    let generated = tokenizer.decode(&ids)?;
    Ok(generated.chars().skip(text.chars().count()).collect())
}

/// The ids of prompt and continuation: at most `max_length` together, ended by `eos` (which is kept).
pub fn generate(model: &CausalLm, prompt: &[u32], max_length: usize, eos: u32, decoding: Decoding) -> Result<Vec<u32>> {
    generate_until(model, prompt, max_length, &[eos], decoding)
}

/// [`generate`] with several ids that end a text, as Llama 3 has them.
pub fn generate_until(model: &CausalLm, prompt: &[u32], max_length: usize, stop: &[u32], decoding: Decoding) -> Result<Vec<u32>> {
    let room = model.config().max_position_embeddings();
    let vocabulary = model.config().vocab_size();
    if prompt.is_empty() {
        return Err(Error::new(ErrorKind::Tokenizer, "the prompt has no tokens").hint("give a text, and max_input_tokens of at least 1"));
    }
    if prompt.len() >= max_length.min(room) {
        return Err(Error::new(
            ErrorKind::Tokenizer,
            format!("the prompt has {} tokens; prompt and answer together may have {}", prompt.len(), max_length.min(room)),
        )
        .hint(format!("raise max_output_tokens (up to {room}) or lower max_input_tokens")));
    }
    if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocabulary) {
        return Err(Error::new(ErrorKind::Tokenizer, format!("token id {id} is outside of the model's vocabulary of {vocabulary}"))
            .hint("load tokenizer and model by the same name"));
    }
    let (seed, sampling) = match decoding {
        Decoding::Greedy => (0, Sampling::ArgMax),
        Decoding::Sample { temperature, top_k, seed } if temperature > 0.0 && top_k > 0 => {
            (seed, Sampling::TopK { k: top_k.min(vocabulary), temperature })
        }
        Decoding::Sample { temperature, top_k, .. } => {
            return Err(Error::new(ErrorKind::Model, format!("temperature {temperature} and top_k {top_k} must both be above 0"))
                .hint("use Decoding::Greedy"));
        }
    };
    let mut processor = LogitsProcessor::from_sampling(seed, sampling);
    let mut ids = prompt.to_vec();
    let mut cache = Cache::new();
    let mut fresh = 0;
    while ids.len() < max_length.min(room) {
        interrupt::check(format_args!("after {} of at most {max_length} tokens", ids.len()))?;
        let logits = model.forward_cached(&ids[fresh..], &mut cache)?;
        fresh = ids.len();
        let next = processor.sample(&logits.squeeze(0)?.to_dtype(DType::F32)?)?;
        ids.push(next);
        if stop.contains(&next) {
            break;
        }
    }
    Ok(ids)
}
