//! Events of an engine → the JSON of OpenAI's completions and chats, whole or chunk by chunk.

use serde_json::{Value, json};

use crate::serve::engine::batcher::Finish;
use crate::serve::engine::tokens::Piece;
use crate::serve::http::request::Endpoint;

/// What all parts of one answer share.
#[derive(Debug, Clone)]
pub struct Reply {
    pub endpoint: Endpoint,
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
    pub prompt_tokens: usize,
}

/// One text as far as it came.
#[derive(Debug, Clone, Default)]
pub struct Written {
    pub text: String,
    pub log_probabilities: Vec<Value>,
    pub finish: Option<Finish>,
    pub tokens: usize,
}

impl Finish {
    fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

impl Reply {
    fn object(&self, choices: Value, chunk: bool) -> Value {
        let object = match (self.endpoint, chunk) {
            (Endpoint::Completion, _) => "text_completion",
            (Endpoint::Chat, false) => "chat.completion",
            (Endpoint::Chat, true) => "chat.completion.chunk",
        };
        json!({ "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices })
    }

    fn usage(&self, written: usize) -> Value {
        json!({ "prompt_tokens": self.prompt_tokens, "completion_tokens": written, "total_tokens": self.prompt_tokens + written })
    }

    /// The whole answer.
    pub fn whole(&self, texts: &[Written], told: bool) -> Value {
        let choice = |(index, written): (usize, &Written)| {
            let finish = written.finish.map(Finish::word);
            let told = told.then(|| self.log_probabilities(&written.log_probabilities, 0));
            match self.endpoint {
                Endpoint::Completion => json!({ "index": index, "text": written.text, "logprobs": told, "finish_reason": finish }),
                Endpoint::Chat => {
                    let message = json!({ "role": "assistant", "content": written.text, "refusal": null });
                    json!({ "index": index, "message": message, "logprobs": told, "finish_reason": finish })
                }
            }
        };
        let mut reply = self.object(texts.iter().enumerate().map(choice).collect::<Vec<Value>>().into(), false);
        reply["usage"] = self.usage(texts.iter().map(|written| written.tokens).sum());
        reply
    }

    /// The chunk that begins a text of a chat.
    pub fn first_chunk(&self, index: usize) -> Value {
        let choice = json!({ "index": index, "delta": { "role": "assistant", "content": "" }, "logprobs": null, "finish_reason": null });
        self.object(json!([choice]), true)
    }

    /// A chunk with more of a text; `before` characters of it were told.
    pub fn chunk(&self, index: usize, piece: &Piece, told: bool, before: usize) -> Value {
        let told = told.then(|| self.log_probabilities(&piece.log_probabilities, before));
        self.object(json!([self.part(index, Some(&piece.text), told, None)]), true)
    }

    /// The chunk that ends a text.
    pub fn last_chunk(&self, index: usize, finish: Finish) -> Value {
        self.object(json!([self.part(index, None, None, Some(finish.word()))]), true)
    }

    /// The chunk behind all texts, with the number of tokens.
    pub fn usage_chunk(&self, written: usize) -> Value {
        let mut chunk = self.object(json!([]), true);
        chunk["usage"] = self.usage(written);
        chunk
    }

    fn part(&self, index: usize, text: Option<&str>, told: Option<Value>, finish: Option<&str>) -> Value {
        match self.endpoint {
            Endpoint::Completion => json!({ "index": index, "text": text.unwrap_or_default(), "logprobs": told, "finish_reason": finish }),
            Endpoint::Chat => {
                let delta = text.map_or_else(|| json!({}), |text| json!({ "content": text }));
                json!({ "index": index, "delta": delta, "logprobs": told, "finish_reason": finish })
            }
        }
    }

    /// What is told of tokens: as a list in a chat, in columns in a completion.
    fn log_probabilities(&self, told: &[Value], before: usize) -> Value {
        if self.endpoint == Endpoint::Chat {
            return json!({ "content": told, "refusal": null });
        }
        let column = |field: &str| told.iter().map(|token| token[field].clone()).collect::<Vec<Value>>();
        let best = |token: &Value| {
            let pairs = token["top_logprobs"].as_array().into_iter().flatten();
            pairs.filter_map(|pair| Some((pair["token"].as_str()?.to_string(), pair["logprob"].clone()))).collect::<serde_json::Map<_, _>>()
        };
        let mut offset = before;
        let offsets = told.iter().map(|token| {
            let start = offset;
            offset += token["token"].as_str().map_or(0, |text| text.chars().count());
            start
        });
        let offsets: Vec<usize> = offsets.collect();
        json!({
            "tokens": column("token"), "token_logprobs": column("logprob"), "text_offset": offsets,
            "top_logprobs": told.iter().map(best).collect::<Vec<_>>(),
        })
    }
}
