//! Prompts → answers of a model behind an OpenAI-compatible service, over HTTP.
//!
//! The service is any that speaks OpenAI's chat or text completions: OpenAI itself, vLLM, llama.cpp, Ollama, this
//! project's own server. Prompts are asked several at once and answered in their order; each has its own result. What
//! passes by itself (429, 5xx, a cut connection, silence) is asked again, a bounded number of times.
//!
//! The key is read from `OPENAI_API_KEY` alone.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::data::message::Message;
use crate::error::{ErrorKind, Result};
use crate::generate::config::GenerationConfig;
use crate::hosted::client::{Endpoint, Service, refusal};
use crate::util::notice;
use crate::util::{interrupt, panic};

/// The service that is asked when nothing else is named.
const OPENAI: &str = "https://api.openai.com/v1";
/// The wait before the first repetition; it doubles each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// A service that asks for a longer wait than this (`Retry-After`) is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a hosted model is, and how patient its runner is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedConfig {
    /// The address up to and with its `/v1`. Default `OPENAI_BASE_URL`, else OpenAI's.
    pub base_url: String,
    /// The kind of request. Default chat.
    pub endpoint: Endpoint,
    /// The longest that one request may take. Default 60 s.
    pub timeout: Duration,
    /// How often a request that failed by what passes is sent again. Default 3.
    pub max_retries: usize,
    /// The most requests at once. Default 8.
    pub concurrency: usize,
}

impl Default for HostedConfig {
    fn default() -> Self {
        let named = std::env::var("OPENAI_BASE_URL").ok().filter(|url| !url.trim().is_empty());
        Self {
            base_url: named.unwrap_or_else(|| OPENAI.into()),
            endpoint: Endpoint::Chat,
            timeout: Duration::from_secs(60),
            max_retries: 3,
            concurrency: 8,
        }
    }
}

/// A model of a service. A clone asks the same service.
#[derive(Clone)]
pub struct Hosted {
    model: String,
    config: HostedConfig,
    service: Service,
    /// Settings that the service said it does not take.
    refused: Arc<Mutex<Vec<String>>>,
    waiting: Arc<Waiting>,
}

impl fmt::Debug for Hosted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Hosted").field("model", &self.model).field("config", &self.config).finish_non_exhaustive()
    }
}

impl Hosted {
    /// The model `model` of the service at `config.base_url`; nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, `concurrency` or `timeout` is 0, or `OPENAI_API_KEY` holds what no key can hold.
    pub fn new(model: &str, config: HostedConfig) -> Result<Self> {
        if model.trim().is_empty() || config.concurrency == 0 || config.timeout.is_zero() {
            let given = format!("model {model:?}, concurrency {}, timeout {:?}", config.concurrency, config.timeout);
            return Err(refusal(format!("HostedConfig: {given}; there must be a name, and at least one request of some time"))
                .hint("name the model as the service does, and leave the other fields to `..Default::default()`"));
        }
        let service = Service::new(&config.base_url, config.timeout)?;
        Ok(Self {
            model: model.into(),
            config: HostedConfig { base_url: service.base_url().into(), ..config },
            service,
            refused: Arc::default(),
            waiting: Waiting::start()?,
        })
    }

    /// The name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The answers to prompts, each a user's message, or with [`Endpoint::Completions`] a text to go on with. They come in the order
    /// of the prompts. One that fails leaves the others as they are; an interrupt ends those that are not there yet.
    pub fn ask(&self, prompts: &[String], generation: &GenerationConfig) -> Vec<Result<String>> {
        self.ask_messages(&prompts.iter().map(|prompt| vec![Message::user(prompt)]).collect::<Vec<_>>(), generation)
    }

    /// [`Hosted::ask`] of whole conversations; with [`Endpoint::Completions`] their contents, a paragraph each.
    pub fn ask_messages(&self, conversations: &[Vec<Message>], generation: &GenerationConfig) -> Vec<Result<String>> {
        let prompt = |messages: &Vec<Message>| match self.config.endpoint {
            Endpoint::Chat => json!(messages),
            Endpoint::Completions => {
                json!(messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n"))
            }
        };
        self.send(self.config.endpoint, conversations.iter().map(prompt).collect(), generation)
    }

    /// What follows each text, whatever the endpoint of the configuration: asked at `/completions`, which not every service has.
    /// Order and failures are those of [`Hosted::ask`].
    pub fn complete(&self, texts: &[String], generation: &GenerationConfig) -> Vec<Result<String>> {
        self.send(Endpoint::Completions, texts.iter().map(|text| json!(text)).collect(), generation)
    }

    /// Asks several prompts, each a list of messages or a text, as the endpoint takes them.
    fn send(&self, endpoint: Endpoint, prompts: Vec<Value>, generation: &GenerationConfig) -> Vec<Result<String>> {
        let body = match self.settings(generation) {
            Ok(body) => Arc::new(body),
            Err(error) => return prompts.iter().map(|_| Err(error.clone())).collect(),
        };
        let (sender, answers) = channel();
        let (own, count) = (self.clone(), prompts.len());
        panic::watch();
        let asking = self.waiting.spawn(stream::iter(prompts.into_iter().enumerate()).for_each_concurrent(
            self.config.concurrency,
            move |(row, prompt)| {
                let (own, body, sender) = (own.clone(), Arc::clone(&body), sender.clone());
                async move { drop(sender.send((row, survived(own.answer(endpoint, prompt, &body)).await))) }
            },
        ));
        let mut done: Vec<Option<Result<String>>> = vec![None; count];
        let mut missing = refusal("the request ended without an answer");
        loop {
            match answers.recv_timeout(Duration::from_millis(50)) {
                Ok((row, answer)) => done[row] = Some(answer),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let have = done.iter().flatten().count();
            if let Err(error) = interrupt::check(format_args!("after {have} of {count} answers")) {
                asking.inspect(JoinHandle::abort);
                missing = error;
                break;
            }
        }
        // What came while the interrupt was looked for.
        for (row, answer) in answers.try_iter() {
            done[row] = Some(answer);
        }
        done.into_iter().map(|answer| answer.unwrap_or_else(|| Err(missing.clone()))).collect()
    }

    /// The part of a request that all prompts share.
    fn settings(&self, generation: &GenerationConfig) -> Result<Value> {
        generation.validate()?;
        let plain = GenerationConfig::default();
        let local = [
            ("top_k", generation.top_k as f64, generation.top_k == plain.top_k || generation.top_k == 0 || !generation.do_sample),
            ("min_p", generation.min_p, generation.min_p == plain.min_p),
            ("repetition_penalty", generation.repetition_penalty, generation.repetition_penalty == plain.repetition_penalty),
            ("no_repeat_ngram_size", generation.no_repeat_ngram_size as f64, generation.no_repeat_ngram_size == 0),
            ("num_beams", generation.num_beams as f64, generation.num_beams == 1),
            ("num_return_sequences", generation.num_return_sequences as f64, generation.num_return_sequences == 1),
            ("min_new_tokens", generation.min_new_tokens as f64, generation.min_new_tokens == 0),
        ];
        if let Some((field, value, _)) = local.iter().find(|(_, _, usual)| !usual) {
            return Err(refusal(format!(
                "{field} is {value}; a hosted model takes max_new_tokens, do_sample, temperature, top_p, stop_strings and seed"
            ))
            .hint(format!("leave `{field}` to `..Default::default()`, or use a local model")));
        }
        let mut body = json!({ "model": self.model, "max_tokens": generation.max_new_tokens });
        body["temperature"] = json!(if generation.do_sample { generation.temperature } else { 0.0 });
        if generation.do_sample {
            body["seed"] = json!(generation.seed);
            if generation.top_p < 1.0 {
                body["top_p"] = json!(generation.top_p);
            }
        }
        if !generation.stop_strings.is_empty() {
            body["stop"] = json!(generation.stop_strings);
        }
        Ok(body)
    }

    /// Asks until there is an answer, a lasting failure, or no patience left.
    async fn answer(&self, endpoint: Endpoint, prompt: Value, body: &Value) -> Result<String> {
        let empty = |text: &Value| text.as_str().is_none_or(str::is_empty);
        if prompt.as_array().map_or_else(|| empty(&prompt), |messages| messages.iter().all(|message| empty(&message["content"]))) {
            return Err(refusal("the prompt is empty").hint("give a text"));
        }
        let mut body = body.clone();
        body[match endpoint {
            Endpoint::Chat => "messages",
            Endpoint::Completions => "prompt",
        }] = prompt;
        let (mut pause, mut attempt) = (FIRST_PAUSE, 0);
        loop {
            let failure = match self.service.send(endpoint, &self.without_refused(&body)).await {
                Ok(text) => return Ok(text),
                Err(failure) => failure,
            };
            if let Some(setting) = &failure.setting
                && self.refuse(setting)
            {
                continue;
            }
            attempt += 1;
            let wait = failure.wait.unwrap_or(pause);
            if !failure.passing || attempt > self.config.max_retries || wait > PATIENCE {
                let times = if attempt > 1 { format!(" ({attempt} attempts)") } else { String::new() };
                let place = format!("`{}` at {}{times}", self.model, self.config.base_url);
                return Err(failure.error.at(place));
            }
            tokio::time::sleep(wait).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Remembers a setting that can be left out; false when it was left out already or must be there.
    fn refuse(&self, setting: &str) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let new = ["max_tokens", "temperature", "top_p", "seed"].contains(&setting) && !refused.iter().any(|old| old == setting);
        if new {
            notice::warn(format_args!("`{}` does not take `{setting}`; it is asked without", self.model));
            refused.push(setting.into());
        }
        new
    }

    /// The request in the words that this service takes; newer models call the limit `max_completion_tokens`.
    fn without_refused(&self, body: &Value) -> Value {
        let (mut body, refused) = (body.clone(), self.refused.lock().unwrap_or_else(PoisonError::into_inner));
        for setting in refused.iter() {
            let old = body.as_object_mut().and_then(|body| body.shift_remove(setting));
            if let (Some(limit), "max_tokens") = (old, setting.as_str()) {
                body["max_completion_tokens"] = limit;
            }
        }
        body
    }
}

/// The thread on which the requests of a model and of its clones wait; it ends with the last of them.
struct Waiting(Option<Runtime>);

impl Waiting {
    fn start() -> Result<Arc<Self>> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("hosted").enable_all().build();
        let runtime = runtime.map_err(|error| refusal(format!("no thread for requests can be started: {error}")).because(error))?;
        Ok(Arc::new(Self(Some(runtime))))
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Option<JoinHandle<()>> {
        self.0.as_ref().map(|runtime| runtime.spawn(work))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Waits for nothing, so that a clone may be dropped anywhere.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// An answer, or the panic that came in its place.
async fn survived(answer: impl Future<Output = Result<String>>) -> Result<String> {
    let answer = AssertUnwindSafe(answer).catch_unwind().await;
    answer.unwrap_or_else(|payload| Err(panic::error(ErrorKind::Service, payload.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_request_is_its_rows_error_with_message_and_place() {
        panic::watch();
        let waiting = Waiting::start().unwrap();
        let (sender, answers) = channel();
        waiting.spawn(async move { drop(sender.send(survived(async { panic!("an answer of {} bytes", -1) }).await)) });
        let text = answers.recv().unwrap().unwrap_err().to_string();
        assert!(text.contains("an answer of -1 bytes (") && text.contains("model.rs:"), "{text}");
    }
}
