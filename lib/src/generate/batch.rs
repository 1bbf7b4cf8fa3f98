//! Text → text: `inference` of the course, and batches and streams of texts, over a key/value cache.

use std::io::Write;

use candle_core::DType;
use candle_transformers::generation::{LogitsProcessor, Sampling};
use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::generate::beams::beam_search;
use crate::generate::config::{Generation, GenerationConfig, rows};
use crate::generate::sequence::{Choice, Sequence};
use crate::generate::stream::{StopStrings, TextStreamer};
use crate::models::causal::CausalLm;
use crate::models::decoder::Cache;
use crate::tokenizer::text::{Side, Tokenizer, truncate};
use crate::util::interrupt;

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
    let prompt = truncate(&tokenizer.encode_prompt(text)?, max_input_tokens, Side::Right);
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
    check_prompt(model, prompt, max_length)?;
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

/// Continues several prompts of any lengths at once; each gets what it would get alone, `num_return_sequences` rows that
/// follow each other. `tokenizer` is needed for stop strings only. `on_token` is told (row, new id) as it comes, of beams
/// nothing; its error ends the loop.
///
/// # Errors
/// When a prompt is empty, has an id that the model does not know, or leaves no room for a token.
pub fn generate_batch(
    model: &CausalLm,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    tokenizer: Option<&Tokenizer>,
    on_token: impl FnMut(usize, u32) -> Result<()> + Send,
) -> Result<Vec<Generation>> {
    model.pool().run(|| continued(model, prompts, config, tokenizer, on_token))
}

fn continued(
    model: &CausalLm,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    tokenizer: Option<&Tokenizer>,
    mut on_token: impl FnMut(usize, u32) -> Result<()>,
) -> Result<Vec<Generation>> {
    config.validate()?;
    let room = model.config().max_position_embeddings();
    for (index, prompt) in prompts.iter().enumerate() {
        check_prompt(model, prompt, room).map_err(|error| error.at(format_args!("prompt {index}")))?;
    }
    if config.num_beams > 1 {
        let found = prompts.iter().map(|prompt| beam_search(model, prompt, config)).collect::<Result<Vec<_>>>()?;
        return Ok(found.into_iter().flatten().collect());
    }
    let each = config.num_return_sequences;
    let of_prompt =
        |prompt: &Vec<u32>| (0..each).map(|copy| Sequence::new(prompt.clone(), config.seed.wrapping_add(copy as u64))).collect();
    let mut sequences: Vec<Sequence> = prompts.iter().flat_map(|prompt| -> Vec<Sequence> { of_prompt(prompt) }).collect();
    let mut stops: Vec<Option<Stop>> = sequences.iter().map(|_| Stop::new(config, tokenizer)).collect();
    let mut active: Vec<usize> = (0..sequences.len()).collect();
    let mut cache = Cache::new();
    while !active.is_empty() {
        let written = sequences[active[0]].generation().ids.len();
        interrupt::check(format_args!("after {written} of at most {} tokens", config.max_new_tokens))?;
        let new: Vec<&[u32]> = active.iter().map(|&row| sequences[row].fresh(usize::MAX)).collect();
        let read: Vec<usize> = new.iter().map(|new| new.len()).collect();
        let logits = rows(&model.forward_cached_batch(&new, &mut cache)?)?;
        let choose = |(&row, logits): (&usize, Vec<f32>)| sequences[row].choose(&logits, config, true);
        let chosen: Vec<Choice> = active.par_iter().zip(logits).map(choose).collect();
        let mut stay = Vec::new();
        for (place, ((&row, choice), read)) in active.iter().zip(chosen).zip(read).enumerate() {
            let (sequence, id) = (&mut sequences[row], choice.id);
            sequence.read(read);
            let mut goes_on = sequence.write(choice, config, room);
            on_token(row, id)?;
            if let Some(stop) = &mut stops[row]
                && stop.push(id)?
            {
                sequence.stop();
                goes_on = false;
            }
            if goes_on {
                stay.push(place);
            }
        }
        cache.keep(&stay);
        active = stay.iter().map(|&place| active[place]).collect();
    }
    Ok(sequences.into_iter().map(Sequence::into_generation).collect())
}

/// Watches one text for stop strings.
struct Stop {
    streamer: TextStreamer,
    strings: StopStrings,
}

impl Stop {
    fn new(config: &GenerationConfig, tokenizer: Option<&Tokenizer>) -> Option<Self> {
        let tokenizer = tokenizer.filter(|_| !config.stop_strings.is_empty())?;
        Some(Self { streamer: TextStreamer::new(tokenizer), strings: StopStrings::new(&config.stop_strings) })
    }

    /// Whether the text holds a stop string with one more id.
    fn push(&mut self, id: u32) -> Result<bool> {
        self.strings.push(&self.streamer.push(id)?);
        Ok(self.strings.found())
    }
}

/// The texts that follow several prompts, without special tokens.
pub fn generate_texts(
    prompts: &[impl AsRef<str>],
    model: &CausalLm,
    tokenizer: &Tokenizer,
    config: &GenerationConfig,
) -> Result<Vec<String>> {
    let config = with_end(config, model, tokenizer);
    let ids = prompts.iter().map(|prompt| tokenizer.encode_prompt(prompt.as_ref())).collect::<Result<Vec<_>>>()?;
    let done = generate_batch(model, &ids, &config, Some(tokenizer), |_, _| Ok(()))?;
    done.iter().map(|generation| tokenizer.decode(&generation.ids)).collect()
}

/// Writes the text that follows a prompt to standard output as it is generated, and returns it (see [`TextStreamer`]).
///
/// # Errors
/// Those of [`generate_batch`], and a configuration that gives more than one text, or one only at its end (beams).
pub fn stream_text(prompt: &str, model: &CausalLm, tokenizer: &Tokenizer, config: &GenerationConfig) -> Result<String> {
    if config.num_beams > 1 || config.num_return_sequences > 1 {
        let given = format!("num_beams is {} and num_return_sequences is {}", config.num_beams, config.num_return_sequences);
        return Err(Error::new(ErrorKind::Model, format!("{given}; a stream is one text, so both must be 1")).hint("use `generate_texts`"));
    }
    let config = with_end(config, model, tokenizer);
    let (mut streamer, mut whole) = (TextStreamer::new(tokenizer), String::new());
    let mut out = std::io::stdout();
    let mut print = |text: &str| {
        whole.push_str(text);
        // A closed pipe means that nobody is left to read.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    };
    generate_batch(model, &[tokenizer.encode_prompt(prompt)?], &config, Some(tokenizer), |_, id| {
        print(&streamer.push(id)?);
        Ok(())
    })?;
    print(&streamer.end()?);
    println!();
    Ok(whole)
}

/// The end ids of model and tokenizer end a text, too.
fn with_end(config: &GenerationConfig, model: &CausalLm, tokenizer: &Tokenizer) -> GenerationConfig {
    let mut config = config.clone();
    config.eos_token_id.extend(model.config().eos_token_ids());
    config.eos_token_id.push(tokenizer.eos_id());
    config
}

/// Refuses a prompt that the model cannot continue.
pub(crate) fn check_prompt(model: &CausalLm, prompt: &[u32], limit: usize) -> Result<()> {
    let (room, vocabulary) = (model.config().max_position_embeddings(), model.config().vocab_size());
    if prompt.is_empty() {
        return Err(Error::new(ErrorKind::Tokenizer, "the prompt has no tokens").hint("give a text, and max_input_tokens of at least 1"));
    }
    if prompt.len() >= limit.min(room) {
        return Err(Error::new(
            ErrorKind::Tokenizer,
            format!("the prompt has {} tokens; prompt and answer together may have {}", prompt.len(), limit.min(room)),
        )
        .hint(match limit < room {
            true => format!("raise max_output_tokens (up to {room}) or lower max_input_tokens"),
            false => format!("the model reads {room} tokens at most: shorten the text, or keep a part of it with `truncate`"),
        }));
    }
    if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocabulary) {
        return Err(Error::new(ErrorKind::Tokenizer, format!("token id {id} is outside of the model's vocabulary of {vocabulary}"))
            .hint("load tokenizer and model by the same name"));
    }
    Ok(())
}
