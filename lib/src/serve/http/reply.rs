//! Events of an engine → the JSON of OpenAI's completions and chats, whole or chunk by chunk.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::IntoResponse;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::error::{Error, ErrorKind, Result};
use crate::serve::engine::detokenizer::Delta;
use crate::serve::engine::job::{Event, Finish};
use crate::serve::http::fields::Endpoint;
use crate::serve::http::refusal::Refusal;

/// What all parts of one answer share.
#[derive(Debug, Clone)]
pub struct Reply {
    pub endpoint: Endpoint,
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
    /// Texts that are asked for.
    pub count: usize,
    pub prompt_tokens: usize,
    /// Whether the log-probabilities of tokens are sent.
    pub logprobs: bool,
    /// Whether the last chunk of a stream has the number of tokens.
    pub include_usage: bool,
}

/// One text as far as it came.
#[derive(Debug, Clone, Default)]
struct Written {
    text: String,
    logprobs: Vec<Value>,
    finish: Option<Finish>,
    tokens: usize,
}

/// What is left of a stream.
struct Chunks {
    reply: Reply,
    events: UnboundedReceiver<Event>,
    /// Texts that have not ended.
    open: usize,
    /// Tokens of those that have.
    written: usize,
    /// Characters of each text so far.
    characters: Vec<usize>,
    /// What is sent before the next event is waited for.
    ready: VecDeque<String>,
}

impl Chunks {
    /// The next chunk; none behind the last.
    async fn next(&mut self) -> Option<String> {
        if self.ready.is_empty() && self.open > 0 {
            match self.events.recv().await {
                Some(Event::Text { index, delta }) => {
                    self.ready.push_back(self.reply.chunk(index, &delta, self.characters[index]).to_string());
                    self.characters[index] += delta.text.chars().count();
                }
                Some(Event::End { index, finish, written }) => {
                    self.written += written;
                    self.open -= 1;
                    self.ready.push_back(self.reply.last_chunk(index, finish).to_string());
                    if self.open == 0 {
                        self.ready.extend(self.reply.include_usage.then(|| self.reply.usage_chunk(self.written).to_string()));
                        self.ready.push_back("[DONE]".into());
                    }
                }
                Some(Event::Failed(error)) => self.fail(&error),
                None => self.fail(&stopped()),
            }
        }
        self.ready.pop_front()
    }

    fn fail(&mut self, error: &Error) {
        self.open = 0;
        self.ready.push_back(Refusal::fault(error).json().to_string());
    }
}

/// Why a text has no end: its engine is gone.
fn stopped() -> Error {
    Error::new(ErrorKind::Service, "the service was stopped")
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

    /// The whole answer, when all texts have ended.
    pub async fn whole(&self, mut events: UnboundedReceiver<Event>) -> Result<Value> {
        let (mut texts, mut open) = (vec![Written::default(); self.count], self.count);
        while open > 0 {
            match events.recv().await {
                Some(Event::Text { index, delta }) => {
                    texts[index].text.push_str(&delta.text);
                    texts[index].logprobs.extend(delta.logprobs);
                }
                Some(Event::End { index, finish, written }) => {
                    (texts[index].finish, texts[index].tokens) = (Some(finish), written);
                    open -= 1;
                }
                Some(Event::Failed(error)) => return Err(error),
                None => return Err(stopped()),
            }
        }
        let choice = |(index, written): (usize, &Written)| {
            let finish = written.finish.map(Finish::reason);
            let logprobs = self.logprobs.then(|| self.logprobs_json(&written.logprobs, 0));
            match self.endpoint {
                Endpoint::Completion => json!({ "index": index, "text": written.text, "logprobs": logprobs, "finish_reason": finish }),
                Endpoint::Chat => {
                    let message = json!({ "role": "assistant", "content": written.text, "refusal": null });
                    json!({ "index": index, "message": message, "logprobs": logprobs, "finish_reason": finish })
                }
            }
        };
        let mut reply = self.object(texts.iter().enumerate().map(choice).collect::<Vec<Value>>().into(), false);
        reply["usage"] = self.usage(texts.iter().map(|written| written.tokens).sum());
        Ok(reply)
    }

    /// The answer as a stream of chunks, ended by `[DONE]`.
    pub fn stream(self, events: UnboundedReceiver<Event>) -> impl IntoResponse {
        let mut ready = VecDeque::new();
        if self.endpoint == Endpoint::Chat {
            ready.extend((0..self.count).map(|index| self.first_chunk(index).to_string()));
        }
        let chunks = Chunks { open: self.count, written: 0, characters: vec![0; self.count], ready, reply: self, events };
        let stream = unfold(chunks, |mut chunks| async move {
            let next = chunks.next().await?;
            Some((Ok::<_, Infallible>(Sent::default().data(next)), chunks))
        });
        Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
    }

    /// The chunk that begins a text of a chat.
    fn first_chunk(&self, index: usize) -> Value {
        let choice = json!({ "index": index, "delta": { "role": "assistant", "content": "" }, "logprobs": null, "finish_reason": null });
        self.object(json!([choice]), true)
    }

    /// A chunk with more of a text; `before` characters of it were sent.
    fn chunk(&self, index: usize, delta: &Delta, before: usize) -> Value {
        let logprobs = self.logprobs.then(|| self.logprobs_json(&delta.logprobs, before));
        self.object(json!([self.part(index, Some(&delta.text), logprobs, None)]), true)
    }

    /// The chunk that ends a text.
    fn last_chunk(&self, index: usize, finish: Finish) -> Value {
        self.object(json!([self.part(index, None, None, Some(finish.reason()))]), true)
    }

    /// The chunk behind all texts, with the number of tokens.
    fn usage_chunk(&self, written: usize) -> Value {
        let mut chunk = self.object(json!([]), true);
        chunk["usage"] = self.usage(written);
        chunk
    }

    fn part(&self, index: usize, text: Option<&str>, logprobs: Option<Value>, finish: Option<&str>) -> Value {
        match self.endpoint {
            Endpoint::Completion => {
                json!({ "index": index, "text": text.unwrap_or_default(), "logprobs": logprobs, "finish_reason": finish })
            }
            Endpoint::Chat => {
                let delta = text.map_or_else(|| json!({}), |text| json!({ "content": text }));
                json!({ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish })
            }
        }
    }

    /// The log-probabilities of tokens: as a list in a chat, in columns in a completion.
    fn logprobs_json(&self, tokens: &[Value], before: usize) -> Value {
        if self.endpoint == Endpoint::Chat {
            return json!({ "content": tokens, "refusal": null });
        }
        let column = |field: &str| tokens.iter().map(|token| token[field].clone()).collect::<Vec<Value>>();
        let best = |token: &Value| {
            let pairs = token["top_logprobs"].as_array().into_iter().flatten();
            pairs.filter_map(|pair| Some((pair["token"].as_str()?.to_string(), pair["logprob"].clone()))).collect::<serde_json::Map<_, _>>()
        };
        let mut offset = before;
        let offsets = tokens.iter().map(|token| {
            let start = offset;
            offset += token["token"].as_str().map_or(0, |text| text.chars().count());
            start
        });
        let offsets: Vec<usize> = offsets.collect();
        json!({
            "tokens": column("token"), "token_logprobs": column("logprob"), "text_offset": offsets,
            "top_logprobs": tokens.iter().map(best).collect::<Vec<_>>(),
        })
    }
}
