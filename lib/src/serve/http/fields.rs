//! The JSON object of a request → its fields, each checked by kind and range; or which field is wrong, and how.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::border::json;
use crate::serve::http::refusal::Refusal;
use crate::util::names::near;

/// The two requests for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Completion,
    Chat,
}

impl Endpoint {
    /// Its name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completion => "completions",
            Self::Chat => "chat",
        }
    }
}

const SHARED: [&str; 18] = [
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
    "stop_token_ids",
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

/// The fields of a request; null is as good as none.
pub struct Fields<'a>(pub &'a Map<String, Value>);

impl Fields<'_> {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Refuses a field that is none, and one whose effect would be missed.
    pub fn check_names(&self, endpoint: Endpoint) -> Result<(), Refusal> {
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

    pub fn number(&self, name: &str, low: f64, high: f64) -> Result<Option<f64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64().filter(|number| (low..=high).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(Refusal::field(name, format!("is {value}; it must be a number from {low} to {high}"))),
        }
    }

    pub fn integer(&self, name: &str, low: u64, high: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_u64().filter(|number| (low..=high).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(Refusal::field(name, format!("is {value}; it must be a whole number from {low} to {high}"))),
        }
    }

    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(value) => Err(Refusal::field(name, format!("is {value}; it must be true or false"))),
        }
    }

    pub fn stops(&self) -> Result<Vec<String>, Refusal> {
        let wrong = || Refusal::field("stop", "must be a text or a list of at most 16 texts, none of them empty");
        let texts = match self.get("stop") {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(list)) => list.iter().map(|text| text.as_str().map(String::from)).collect::<Option<_>>().ok_or_else(wrong)?,
            Some(_) => return Err(wrong()),
        };
        if texts.len() > 16 || texts.iter().any(String::is_empty) { Err(wrong()) } else { Ok(texts) }
    }

    /// Ids that end a text, besides the model's own.
    pub fn stop_token_ids(&self) -> Result<Vec<u32>, Refusal> {
        let wrong = || Refusal::field("stop_token_ids", "must be a list of token ids");
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(wrong);
        match self.get("stop_token_ids") {
            None => Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(id).collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// Whether the last chunk of a stream tells the number of tokens: the only option that a stream has.
    pub fn include_usage(&self, stream: bool) -> Result<bool, Refusal> {
        let wrong = |what: String| Refusal::field("stream_options", what);
        let Some(options) = self.get("stream_options") else { return Ok(false) };
        let options = options.as_object().ok_or_else(|| wrong(format!("is {options}; it must be an object")))?;
        if !stream {
            return Err(wrong("is for streams; send `stream`: true with it".into()));
        }
        // Obfuscation pads chunks against who listens between; this service speaks with this computer or behind a proxy.
        if let Some(name) = options.keys().find(|name| !["include_usage", "include_obfuscation"].contains(&name.as_str())) {
            return Err(wrong(format!("has a field `{name}`; it may have `include_usage`")).code("unknown_parameter"));
        }
        match options.get("include_usage") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(value) => Err(wrong(format!("has {value} as `include_usage`; it must be true or false"))),
        }
    }
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

/// The request's object and the model that it names.
pub fn object(bytes: &[u8]) -> Result<(Map<String, Value>, String), Refusal> {
    let wrong = |what: String| Refusal::new(StatusCode::BAD_REQUEST, what);
    let value: Value = json::value(bytes).map_err(|error| wrong(format!("the body is not valid JSON: {error}")))?;
    let Value::Object(body) = value else { return Err(wrong("the body must be a JSON object".into())) };
    match body.get("model") {
        Some(Value::String(name)) => {
            let name = name.clone();
            Ok((body, name))
        }
        _ => Err(Refusal::field("model", "must be the name of a model; GET /v1/models lists them")),
    }
}
