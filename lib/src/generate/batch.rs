//! Prompts → texts: `inference` of the course, batches and streams, all through the one loop of `decode`.

use std::io::Write;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::generate::beams::beam_search;
use crate::generate::config::GenerationConfig;
use crate::generate::decode::Batch;
use crate::generate::sampler::SampledToken;
use crate::generate::sequence::{ActiveSequence, Generation};
use crate::generate::stream::{StoppedStreamer, TextStreamer};
use crate::models::causal::CausalLm;
use crate::tokenizer::text::{Side, Tokenizer, truncate};
use crate::util::interrupt;

/// The model's answer to a text, the course's way: the first `max_input_tokens` tokens of the text are read,
/// `max_output_tokens` bounds prompt and answer together, decoding skips special tokens and leaves the prompt out.
///
/// # Errors
/// When the prompt alone fills `max_output_tokens`, as transformers refuses it.
pub fn inference(text: &str, model: &CausalLm, tokenizer: &Tokenizer, max_input_tokens: usize, max_output_tokens: usize) -> Result<String> {
    let prompt = truncate(&tokenizer.encode_prompt(text)?, max_input_tokens, Side::Right);
    let config = GenerationConfig::default().with_end_ids(model, tokenizer)?;
    let ids = generate_until(model, &prompt, max_output_tokens, &[], config)?;
    // Decoded with its prompt, since some tokenizers leave the space at the beginning of a text out.
    let (before, whole) = (tokenizer.decode(&prompt)?, tokenizer.decode(&ids)?);
    match whole.strip_prefix(&before) {
        Some(answer) => Ok(answer.to_string()),
        None => tokenizer.decode(&ids[prompt.len()..]),
    }
}

/// The ids of prompt and continuation: at most `max_length` together, ended by `eos` (which is kept). `config` says how the
/// tokens are chosen; `GenerationConfig::default()` takes the most probable ones.
///
/// # Errors
/// Those of [`generate_batch`], and a prompt that fills `max_length`.
pub fn generate(model: &CausalLm, prompt: &[u32], max_length: usize, eos: u32, config: impl Into<GenerationConfig>) -> Result<Vec<u32>> {
    generate_until(model, prompt, max_length, &[eos], config)
}

/// [`generate`] with several ids that end a text, as Llama 3 has them.
///
/// # Errors
/// Those of [`generate`].
pub fn generate_until(
    model: &CausalLm,
    prompt: &[u32],
    max_length: usize,
    stop: &[u32],
    config: impl Into<GenerationConfig>,
) -> Result<Vec<u32>> {
    check_prompt(model, prompt, max_length)?;
    let mut config = GenerationConfig { max_new_tokens: max_length - prompt.len(), ..config.into() };
    config.eos_token_id.extend(stop);
    let texts = model.pool().run(|| write(model, &[prompt.to_vec()], &config, None, false, |_, _| Ok(())))?;
    Ok([prompt, &texts[0].ids].concat())
}

/// Continues several prompts of any lengths at once; each gets what it would get alone, `num_return_sequences` rows that
/// follow each other. `tokenizer` is needed for stop strings only. `on_token` is told (row, new id) as it comes, of beams
/// nothing; its error ends the loop.
///
/// # Errors
/// When a prompt is empty, has an id that the model does not know, or leaves no room for a token; when a setting cannot work
/// ([`GenerationConfig::validate`]), or the model gives no numbers.
pub fn generate_batch(
    model: &CausalLm,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    tokenizer: Option<&Tokenizer>,
    on_token: impl FnMut(usize, u32) -> Result<()> + Send,
) -> Result<Vec<Generation>> {
    model.pool().run(|| write(model, prompts, config, tokenizer, true, on_token))
}

/// What the loop knows of a text besides its ids.
struct Row {
    index: usize,
    /// What looks for stop strings.
    stop: Option<StoppedStreamer>,
}

fn write(
    model: &CausalLm,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    tokenizer: Option<&Tokenizer>,
    logprobs: bool,
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
    if tokenizer.is_none() && !config.stop_strings.is_empty() {
        let message = format!("GenerationConfig: stop_strings are {:?}, and there is no tokenizer to look for them", config.stop_strings);
        return Err(Error::new(ErrorKind::Model, message).hint("give `generate_batch` Some(&tokenizer), or ids as `eos_token_id`"));
    }
    let config = Arc::new(config.clone());
    let (copies, mut batch) = (config.num_return_sequences, Batch::new(logprobs));
    for (index, prompt) in prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, copies)).enumerate() {
        let stop = tokenizer.filter(|_| !config.stop_strings.is_empty());
        let stop = stop.map(|tokenizer| StoppedStreamer::new(tokenizer, &config.stop_strings));
        let seed = config.seed.wrapping_add((index % copies) as u64);
        batch.push(ActiveSequence::new(prompt.clone(), &config, seed, room), Row { index, stop });
    }
    let mut texts = vec![Generation::default(); batch.len()];
    while batch.len() > 0 {
        interrupt::check(format_args!("after {} of at most {} tokens", batch.written(), config.max_new_tokens))?;
        let reads = batch.plan(usize::MAX);
        let emit = |sequence: &mut ActiveSequence, row: &mut Row, token: Result<SampledToken>, _: &[f32]| {
            let token = token?;
            let goes_on = sequence.write(token);
            on_token(row.index, token.id)?;
            let Some(stop) = &mut row.stop else { return Ok(goes_on) };
            stop.push(token.id)?;
            if stop.found() {
                sequence.stop();
            }
            Ok(goes_on && !stop.found())
        };
        for (sequence, row) in batch.step(model, &reads, emit)? {
            texts[row.index] = sequence.into_generation();
        }
    }
    Ok(texts)
}

/// The texts that follow several prompts, without special tokens. The model's own end ids end a text, too: those of its
/// `config.json`, its `generation_config.json` and its tokenizer.
///
/// # Errors
/// Those of [`generate_batch`].
pub fn generate_texts(
    prompts: &[impl AsRef<str>],
    model: &CausalLm,
    tokenizer: &Tokenizer,
    config: &GenerationConfig,
) -> Result<Vec<String>> {
    let ids = prompts.iter().map(|prompt| tokenizer.encode_prompt(prompt.as_ref())).collect::<Result<Vec<_>>>()?;
    continue_texts(&ids, model, tokenizer, config)
}

/// [`generate_texts`] of prompts that are ids already.
pub(crate) fn continue_texts(ids: &[Vec<u32>], model: &CausalLm, tokenizer: &Tokenizer, config: &GenerationConfig) -> Result<Vec<String>> {
    let config = config.clone().with_end_ids(model, tokenizer)?;
    let texts = model.pool().run(|| write(model, ids, &config, Some(tokenizer), false, |_, _| Ok(())))?;
    texts.iter().map(|generation| tokenizer.decode(&generation.ids)).collect()
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
    let config = config.clone().with_end_ids(model, tokenizer)?;
    let (mut streamer, mut whole) = (TextStreamer::new(tokenizer), String::new());
    let mut out = std::io::stdout();
    let mut print = |text: &str| {
        whole.push_str(text);
        // A closed pipe means that nobody is left to read.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    };
    let prompt = tokenizer.encode_prompt(prompt)?;
    let on_token = |_, id| {
        print(&streamer.push(id)?);
        Ok(())
    };
    model.pool().run(|| write(model, &[prompt], &config, Some(tokenizer), false, on_token))?;
    print(&streamer.end()?);
    println!();
    Ok(whole)
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
