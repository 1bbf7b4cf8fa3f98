//! The JSON of a completion or a chat → prompts as ids, settings and form of the answer, and jobs of them for the engine.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::data::message::Message;
use crate::generate::batch::check_prompt;
use crate::generate::config::{GenerationConfig, end_ids};
use crate::serve::config::ServedModel;
use crate::serve::engine::batcher::Engine;
use crate::serve::engine::detokenizer::Detokenizer;
use crate::serve::engine::job::{Event, Job};
use crate::serve::http::fields::{Endpoint, Fields};
use crate::serve::http::refusal::Refusal;
use crate::serve::http::reply::Reply;
use crate::serve::http::service::{Service, seconds};

/// What a client asks for.
#[derive(Debug)]
pub struct Ask {
    pub endpoint: Endpoint,
    pub prompts: Vec<Vec<u32>>,
    /// Texts for each prompt.
    pub copies: usize,
    /// With the end ids of model and tokenizer, without stop strings.
    pub config: GenerationConfig,
    pub stops: Vec<String>,
    /// Most probable tokens that are named beside each token, where log-probabilities are wanted.
    pub top: Option<usize>,
    pub stream: bool,
    /// Whether the last chunk of a stream has the number of tokens.
    pub include_usage: bool,
}

/// OpenAI's default of `max_tokens` of a completion; a chat goes on to the limit.
const COMPLETION_TOKENS: usize = 16;
/// Texts that one request may ask for.
const MOST_TEXTS: usize = 64;
/// Log-probabilities beside each token, at most: OpenAI's own limit.
const MOST_TOP: usize = 20;

impl Ask {
    /// Reads a request for `served`; no answer gets more than `limit` tokens.
    pub fn read(endpoint: Endpoint, body: &Map<String, Value>, served: &ServedModel, limit: usize) -> Result<Self, Refusal> {
        let fields = Fields(body);
        fields.check_names(endpoint)?;
        let config = generation(&fields, endpoint, served, limit)?;
        let copies = fields.integer("n", 1, MOST_TEXTS as u64)?.unwrap_or(1) as usize;
        let prompts = match endpoint {
            Endpoint::Completion => prompts(&fields, served)?,
            Endpoint::Chat => vec![conversation(&fields, served)?],
        };
        if prompts.is_empty() || prompts.len() * copies > MOST_TEXTS {
            let message =
                format!("asks for {} texts ({} prompts, n {copies}); it must be 1 to {MOST_TEXTS}", prompts.len() * copies, prompts.len());
            return Err(Refusal::field("n", message));
        }
        let field = if endpoint == Endpoint::Chat { "messages" } else { "prompt" };
        let room = served.model.config().max_position_embeddings();
        for prompt in &prompts {
            check_prompt(&served.model, prompt, room).map_err(|error| {
                let refusal = Refusal::of(&error, field);
                if prompt.len() >= room { refusal.code("context_length_exceeded") } else { refusal }
            })?;
        }
        let top = match endpoint {
            Endpoint::Completion => fields.integer("logprobs", 0, MOST_TOP as u64)?.map(|top| top as usize),
            Endpoint::Chat => {
                let top = fields.integer("top_logprobs", 0, MOST_TOP as u64)?;
                let wanted = fields.boolean("logprobs")?.unwrap_or(false);
                if top.is_some() && !wanted {
                    return Err(Refusal::field("top_logprobs", "is for log-probabilities; send `logprobs`: true with it"));
                }
                wanted.then_some(top.unwrap_or(0) as usize)
            }
        };
        let stream = fields.boolean("stream")?.unwrap_or(false);
        Ok(Self { endpoint, prompts, copies, config, stops: fields.stops()?, top, stream, include_usage: fields.include_usage(stream)? })
    }

    /// Gives the texts of the request to the engine, all or none; they come back as events, to be put into the reply.
    pub fn submit(&self, service: &Service, engine: &Engine, started: Instant) -> Result<(Reply, UnboundedReceiver<Event>), Refusal> {
        let count = self.prompts.len() * self.copies;
        let permits = engine.permits.take(count).ok_or_else(|| {
            let message = format!("`{}` is busy: {} texts are being written or wait", engine.served.name, engine.permits.taken());
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, message).code("rate_limit_exceeded").retry_after(1)
        })?;
        let (events, receiver) = unbounded_channel();
        let config = Arc::new(self.config.clone());
        for (index, permit) in permits.into_iter().enumerate() {
            let job = Job {
                index,
                prompt: self.prompts[index / self.copies].clone(),
                config: config.clone(),
                seed: self.config.seed.wrapping_add((index % self.copies) as u64),
                detokenizer: Detokenizer::new(&engine.served.tokenizer, &self.stops, self.top),
                events: events.clone(),
                started,
                _permit: permit,
            };
            engine.enqueue(job).map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        }
        let prompt_tokens = self.prompts.iter().map(Vec::len).sum();
        service.metrics.read(prompt_tokens);
        let reply = Reply {
            endpoint: self.endpoint,
            id: service.new_id(if self.endpoint == Endpoint::Chat { "chatcmpl" } else { "cmpl" }),
            created: seconds(SystemTime::now()),
            model: engine.served.name.clone(),
            count,
            prompt_tokens,
            logprobs: self.top.is_some(),
            include_usage: self.include_usage,
        };
        Ok((reply, receiver))
    }
}

/// How the texts are written.
fn generation(fields: &Fields, endpoint: Endpoint, served: &ServedModel, limit: usize) -> Result<GenerationConfig, Refusal> {
    let most = fields.integer("max_completion_tokens", 1, u64::MAX)?.or(fields.integer("max_tokens", 1, u64::MAX)?);
    let usual = if endpoint == Endpoint::Chat { limit } else { COMPLETION_TOKENS };
    // What the request leaves open the checkpoint's own settings say, as in vLLM; without them OpenAI's defaults hold.
    let own = served.model.generation_config().map_err(|error| Refusal::fault(&error))?;
    let own = if own.do_sample { own } else { GenerationConfig { top_k: 0, ..own } };
    let temperature = fields.number("temperature", 0.0, 2.0)?.unwrap_or(own.temperature);
    let max_new_tokens = most.map_or(usual, |most| usize::try_from(most).unwrap_or(usize::MAX)).min(limit);
    let do_sample = temperature > 0.0;
    let (top_k, top_p) = (fields.integer("top_k", 0, u64::from(u32::MAX))?, fields.number("top_p", 0.0, 1.0)?);
    let min_p = fields.number("min_p", 0.0, 1.0)?;
    let mut eos_token_id = end_ids(&served.model, &served.tokenizer).map_err(|error| Refusal::fault(&error))?;
    eos_token_id.extend(fields.stop_token_ids()?);
    eos_token_id.extend(served.tokenizer.turn_end().filter(|_| endpoint == Endpoint::Chat));
    // Temperature 0 is OpenAI's word for greedy, whatever else is said about drawing.
    let config = GenerationConfig {
        max_new_tokens,
        min_new_tokens: fields.integer("min_tokens", 0, max_new_tokens as u64)?.unwrap_or(0) as usize,
        do_sample,
        temperature: if do_sample { temperature } else { 1.0 },
        top_k: if do_sample { top_k.map_or(own.top_k, |top_k| top_k as usize) } else { 0 },
        top_p: if do_sample { top_p.unwrap_or(own.top_p) } else { 1.0 },
        min_p: if do_sample { min_p.unwrap_or(own.min_p) } else { 0.0 },
        repetition_penalty: fields.number("repetition_penalty", 0.01, 100.0)?.unwrap_or(own.repetition_penalty),
        no_repeat_ngram_size: fields.integer("no_repeat_ngram_size", 0, 1 << 20)?.map_or(own.no_repeat_ngram_size, |size| size as usize),
        eos_token_id,
        seed: fields.integer("seed", 0, u64::MAX)?.unwrap_or_else(any_seed),
        ..Default::default()
    };
    match config.invalid() {
        Some((field, message)) => Err(Refusal::about(field, message)),
        None => Ok(config),
    }
}

/// A text, a list of texts, ids, or a list of lists of ids.
fn prompts(fields: &Fields, served: &ServedModel) -> Result<Vec<Vec<u32>>, Refusal> {
    let wrong = || Refusal::field("prompt", "must be a text, a list of texts, a list of token ids, or a list of such lists");
    let encode = |text: &str| served.tokenizer.encode_prompt(text).map_err(|error| Refusal::of(&error, "prompt"));
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong);
    match fields.get("prompt").ok_or_else(|| Refusal::field("prompt", "is missing"))? {
        Value::String(text) => Ok(vec![encode(text)?]),
        Value::Array(list) if list.first().is_some_and(Value::is_number) => Ok(vec![list.iter().map(id).collect::<Result<_, _>>()?]),
        Value::Array(list) => list
            .iter()
            .map(|prompt| match prompt {
                Value::String(text) => encode(text),
                Value::Array(ids) => ids.iter().map(id).collect(),
                _ => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}

/// The conversation in the model's format; a model without a chat template reads the bare texts, one paragraph each.
fn conversation(fields: &Fields, served: &ServedModel) -> Result<Vec<u32>, Refusal> {
    let list = fields.get("messages").and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| Refusal::field("messages", "must be a list of at least one message"))?;
    let messages = list.iter().enumerate().map(|(index, value)| message(index, value)).collect::<Result<Vec<_>, _>>()?;
    let tokenizer = &served.tokenizer;
    let text = tokenizer.prompt(&messages).map_err(|error| {
        let text = error.to_string().replace(&tokenizer.folder().display().to_string(), &served.name);
        Refusal::field("messages", format!("cannot be put into the model's format: {text}"))
    })?;
    tokenizer.encode_asked(&text).map_err(|error| Refusal::of(&error, "messages"))
}

fn message(index: usize, value: &Value) -> Result<Message, Refusal> {
    let wrong = |what: &str| Refusal::field(&format!("messages[{index}]"), what);
    let role = value["role"].as_str().ok_or_else(|| wrong("has no `role`"))?;
    let content = match &value["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let text = |part: &Value| part["text"].as_str().filter(|_| part["type"] == "text").map(String::from);
            parts
                .iter()
                .map(text)
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| wrong("has parts that are no text; this model reads text alone"))?
                .concat()
        }
        _ => return Err(wrong("has no text as `content`")),
    };
    Ok(Message::new(role, content))
}

/// A seed that differs from request to request.
fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}
