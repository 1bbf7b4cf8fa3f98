//! The JSON of a completion or a chat → prompts as ids, settings and form of the answer; or what is wrong with which field.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::generate::batch::check_prompt;
use crate::generate::config::GenerationConfig;
use crate::serve::config::ServedModel;
use crate::serve::http::refusal::Refusal;
use crate::tokenizer::chat::Message;
use crate::util::names::near;

/// The two requests for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Completion,
    Chat,
}

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
    /// Most probable tokens that are told beside each token, where log-probabilities are wanted.
    pub top: Option<usize>,
    pub stream: bool,
    /// Whether the last chunk of a stream tells the number of tokens.
    pub include_usage: bool,
}

/// OpenAI's default of `max_tokens` of a completion; a chat goes on to the limit.
const COMPLETION_TOKENS: usize = 16;
/// Texts that one request may ask for.
const MOST_TEXTS: usize = 64;
/// Log-probabilities beside each token, at most: OpenAI's own limit.
const MOST_TOP: usize = 20;

const SHARED: [&str; 17] = [
    "model",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "min_tokens",
    "n",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "logprobs",
    "user",
    "metadata",
];
const OF_COMPLETION: [&str; 1] = ["prompt"];
const OF_CHAT: [&str; 3] = ["messages", "max_completion_tokens", "top_logprobs"];
/// What changes no answer here.
const IGNORED: [&str; 5] = ["store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"];
/// Fields of OpenAI that a small model of ours does not have, with the values that ask for nothing.
const ABSENT: [&str; 13] = [
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
    "logit_bias",
    "presence_penalty",
    "frequency_penalty",
    "best_of",
    "suffix",
    "echo",
    "modalities",
    "audio",
];

impl Ask {
    /// Reads a request for `served`; no answer gets more than `limit` tokens.
    pub fn read(endpoint: Endpoint, body: &Map<String, Value>, served: &ServedModel, limit: usize) -> Result<Self, Refusal> {
        let fields = Fields(body);
        fields.check_names(endpoint)?;
        let config = fields.generation(endpoint, served, limit)?;
        let copies = fields.integer("n", 1, MOST_TEXTS as u64)?.unwrap_or(1) as usize;
        let prompts = match endpoint {
            Endpoint::Completion => fields.prompts(served)?,
            Endpoint::Chat => vec![fields.conversation(served)?],
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
                let top = fields.integer("top_logprobs", 0, MOST_TOP as u64)?.unwrap_or(0) as usize;
                fields.boolean("logprobs")?.unwrap_or(false).then_some(top)
            }
        };
        let options = body.get("stream_options").and_then(|options| options.get("include_usage"));
        Ok(Self {
            endpoint,
            prompts,
            copies,
            config,
            stops: fields.stops()?,
            top,
            stream: fields.boolean("stream")?.unwrap_or(false),
            include_usage: options == Some(&Value::Bool(true)),
        })
    }
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Refuses a field that is none, and one whose effect would be missed.
    fn check_names(&self, endpoint: Endpoint) -> Result<(), Refusal> {
        let own: &[&str] = if endpoint == Endpoint::Chat { &OF_CHAT } else { &OF_COMPLETION };
        for (name, value) in self.0.iter().filter(|(_, value)| !value.is_null()) {
            let name = name.as_str();
            if ABSENT.contains(&name) && !asks_for_nothing(name, value) {
                return Err(Refusal::field(name, "is not supported by this service; leave it out").code("unsupported_parameter"));
            }
            let known = [&SHARED[..], own, &IGNORED, &ABSENT].iter().any(|names| names.contains(&name));
            if !known {
                let names: Vec<String> = SHARED.iter().chain(own).map(ToString::to_string).collect();
                let message = format!("is no field of this request; the nearest are {}", near(name, &names));
                return Err(Refusal::field(name, message).code("unknown_parameter"));
            }
        }
        Ok(())
    }

    fn number(&self, name: &str, low: f64, high: f64) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64().filter(|number| (low..=high).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(Refusal::field(name, format!("is {value}; it must be a number from {low} to {high}"))),
        }
    }

    fn integer(&self, name: &str, low: u64, high: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_u64().filter(|number| (low..=high).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(Refusal::field(name, format!("is {value}; it must be a whole number from {low} to {high}"))),
        }
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(value) => Err(Refusal::field(name, format!("is {value}; it must be true or false"))),
        }
    }

    fn stops(&self) -> Result<Vec<String>, Refusal> {
        let wrong = || Refusal::field("stop", "must be a text or a list of at most 16 texts, none of them empty");
        let texts = match self.get("stop") {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(list)) => list.iter().map(|text| text.as_str().map(String::from)).collect::<Option<_>>().ok_or_else(wrong)?,
            Some(_) => return Err(wrong()),
        };
        if texts.len() > 16 || texts.iter().any(String::is_empty) { Err(wrong()) } else { Ok(texts) }
    }

    fn generation(&self, endpoint: Endpoint, served: &ServedModel, limit: usize) -> Result<GenerationConfig, Refusal> {
        let most = self.integer("max_completion_tokens", 1, u64::MAX)?.or(self.integer("max_tokens", 1, u64::MAX)?);
        let usual = if endpoint == Endpoint::Chat { limit } else { COMPLETION_TOKENS };
        let temperature = self.number("temperature", 0.0, 2.0)?.unwrap_or(1.0);
        let max_new_tokens = most.map_or(usual, |most| usize::try_from(most).unwrap_or(usize::MAX)).min(limit);
        let mut eos_token_id = served.model.config().eos_token_ids();
        eos_token_id.push(served.tokenizer.eos_id());
        let config = GenerationConfig {
            max_new_tokens,
            min_new_tokens: self.integer("min_tokens", 0, max_new_tokens as u64)?.unwrap_or(0) as usize,
            do_sample: temperature > 0.0,
            temperature: if temperature > 0.0 { temperature } else { 1.0 },
            top_k: self.integer("top_k", 0, u64::from(u32::MAX))?.unwrap_or(0) as usize,
            top_p: self.number("top_p", 0.0, 1.0)?.unwrap_or(1.0),
            min_p: self.number("min_p", 0.0, 1.0)?.unwrap_or(0.0),
            repetition_penalty: self.number("repetition_penalty", 0.01, 100.0)?.unwrap_or(1.0),
            no_repeat_ngram_size: self.integer("no_repeat_ngram_size", 0, 1 << 20)?.unwrap_or(0) as usize,
            eos_token_id,
            seed: self.integer("seed", 0, u64::MAX)?.unwrap_or_else(any_seed),
            ..Default::default()
        };
        config.validate().map_err(|error| Refusal::of(&error, "temperature"))?;
        Ok(config)
    }

    /// A text, a list of texts, ids, or a list of lists of ids.
    fn prompts(&self, served: &ServedModel) -> Result<Vec<Vec<u32>>, Refusal> {
        let wrong = || Refusal::field("prompt", "must be a text, a list of texts, a list of token ids, or a list of such lists");
        let encode = |text: &str| served.tokenizer.encode_prompt(text).map_err(|error| Refusal::of(&error, "prompt"));
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong);
        match self.get("prompt").ok_or_else(|| Refusal::field("prompt", "is missing"))? {
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
    fn conversation(&self, served: &ServedModel) -> Result<Vec<u32>, Refusal> {
        let list = self.get("messages").and_then(Value::as_array).filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| Refusal::field("messages", "must be a list of at least one message"))?;
        let messages = list.iter().enumerate().map(|(index, value)| message(index, value)).collect::<Result<Vec<_>, _>>()?;
        let tokenizer = &served.tokenizer;
        let text = match tokenizer.brings_chat_template() {
            true => tokenizer.apply_chat_template(&messages, true).map_err(|error| {
                let text = error.to_string().replace(&tokenizer.folder().display().to_string(), &served.name);
                Refusal::field("messages", format!("cannot be put into the model's format: {text}"))
            })?,
            false => messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n"),
        };
        tokenizer.encode_prompt(&text).map_err(|error| Refusal::of(&error, "messages"))
    }
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

/// Whether a field that we do not have is given its neutral value.
fn asks_for_nothing(name: &str, value: &Value) -> bool {
    match name {
        "presence_penalty" | "frequency_penalty" => value.as_f64() == Some(0.0),
        "best_of" => value.as_u64() == Some(1),
        "echo" => *value == Value::Bool(false),
        "tool_choice" | "function_call" => *value == "none" || *value == "auto",
        "response_format" => value["type"] == "text",
        "modalities" => value.as_array().is_some_and(|list| list.iter().all(|kind| *kind == "text")),
        _ => value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty) || *value == "",
    }
}

/// A seed that differs from request to request.
fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// The request's object and the model that it names.
pub fn object(bytes: &[u8]) -> Result<(Map<String, Value>, String), Refusal> {
    let wrong = |what: String| Refusal::new(StatusCode::BAD_REQUEST, what);
    let value: Value = serde_json::from_slice(bytes).map_err(|error| wrong(format!("the body is not valid JSON: {error}")))?;
    let Value::Object(body) = value else { return Err(wrong("the body must be a JSON object".into())) };
    match body.get("model") {
        Some(Value::String(name)) => {
            let name = name.clone();
            Ok((body, name))
        }
        _ => Err(Refusal::field("model", "must be the name of a model; GET /v1/models lists them")),
    }
}
