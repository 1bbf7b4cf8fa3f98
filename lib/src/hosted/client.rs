//! A request to an OpenAI-compatible service → the text of its answer, or why there is none.
//!
//! The key is read from `OPENAI_API_KEY` alone. It is sent to the named address and nowhere else: it is in no message, no
//! `Debug` and no file.

use std::fmt;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use http_body_util::{LengthLimitError, Limited};
use reqwest::header::{AUTHORIZATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Body, Response};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;

/// An answer longer than this many bytes is refused.
const LARGEST: usize = 16 << 20;

/// The two requests that OpenAI-compatible services know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/chat/completions`: the prompt is a user's message, put into the model's chat template by the service.
    #[default]
    Chat,
    /// `/completions`: the prompt is text that the model continues, for base models.
    Completions,
}

/// Why a request failed.
pub(crate) struct Failure {
    /// What to tell.
    pub error: Error,
    /// Whether the same request may succeed later.
    pub passing: bool,
    /// How long the service asks to wait.
    pub wait: Option<Duration>,
    /// The setting that the service does not take.
    pub setting: Option<String>,
}

impl Failure {
    fn lasting(error: Error) -> Self {
        Self { error, passing: false, wait: None, setting: None }
    }

    fn passing(error: Error) -> Self {
        Self { passing: true, ..Self::lasting(error) }
    }
}

/// An address with its key.
#[derive(Clone)]
pub(crate) struct Service {
    base_url: String,
    timeout: Duration,
    key: Option<String>,
    client: Client<OpenAIConfig>,
}

impl Service {
    /// The service at `base_url`; nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, or `OPENAI_API_KEY` holds what no key can hold.
    pub fn new(base_url: &str, timeout: Duration) -> Result<Self> {
        let base_url = base_url.trim().trim_end_matches('/').to_string();
        let host = base_url.strip_prefix("http://").or_else(|| base_url.strip_prefix("https://"));
        let plain = |host: &str| !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic() && !"@?#".contains(c));
        if !host.is_some_and(plain) {
            let shown = if base_url.contains('@') { "the address" } else { base_url.as_str() };
            return Err(refusal(format!("{shown} is no address of a service; one looks like `http://127.0.0.1:8000/v1`"))
                .hint("set OPENAI_BASE_URL or `base_url`; a key belongs into OPENAI_API_KEY, not into the address"));
        }
        let key = std::env::var("OPENAI_API_KEY").ok().map(|key| key.trim().to_string()).filter(|key| !key.is_empty());
        if key.as_ref().is_some_and(|key| !key.chars().all(|c| c.is_ascii_graphic())) {
            return Err(refusal("OPENAI_API_KEY holds a space, a line break or a letter that no key has")
                .hint("set it again, without quotation marks and line breaks"));
        }
        let here = ["127.", "localhost", "[::1]"].iter().any(|start| host.unwrap_or_default().starts_with(start));
        // Who has chosen another provider of cryptography keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The key goes to the named address only.
        let http = reqwest::Client::builder().timeout(timeout).redirect(Policy::none());
        let http = if here { http.no_proxy() } else { http };
        let http = http.build().map_err(|error| refusal(format!("no client can be made: {}", chain(&error))).because(error))?;
        let config = OpenAIConfig::new().with_api_base(&base_url).with_api_key(key.clone().unwrap_or_default());
        let has_key = key.is_some();
        let service = tower::service_fn(move |request| exchange(http.clone(), has_key, request));
        let client = Client::with_config(config).with_http_service(service);
        Ok(Self { base_url, timeout, key, client })
    }

    /// The address up to and with its `/v1`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// One request.
    pub async fn send(&self, endpoint: Endpoint, body: &Value) -> std::result::Result<String, Failure> {
        let answer = match endpoint {
            Endpoint::Chat => self.client.chat().create_byot(body).await,
            Endpoint::Completions => self.client.completions().create_byot(body).await,
        };
        let answer = match answer {
            Ok(answer) => self.read(endpoint, &answer),
            Err(error) => Err(self.failure(error).await),
        };
        answer.map_err(|failure| self.without_key(failure))
    }

    /// The text of a successful answer.
    fn read(&self, endpoint: Endpoint, answer: &Value) -> std::result::Result<String, Failure> {
        let choice = &answer["choices"][0];
        let text = match endpoint {
            Endpoint::Chat => &choice["message"]["content"],
            Endpoint::Completions => &choice["text"],
        };
        text.as_str().map(String::from).ok_or_else(|| {
            let whole = || self.beginning(&answer.to_string());
            let reason = choice["finish_reason"].as_str().map_or_else(whole, |reason| format!("finish_reason {reason}"));
            Failure::lasting(
                refusal(format!("the answer holds no text: {reason}")).hint("ask in other words, or check the kind of endpoint"),
            )
        })
    }

    /// Why there is no answer.
    async fn failure(&self, error: OpenAIError) -> Failure {
        match error {
            OpenAIError::Boxed(error) => match error.downcast::<Refused>() {
                Ok(refused) => Failure { wait: refused.wait, ..self.status(refused.status, &refused.text).await },
                Err(error) => Failure::lasting(refusal(error.to_string()).because(error)),
            },
            OpenAIError::Reqwest(source) => {
                let failure = self.unreached(&source);
                Failure { error: failure.error.because(source), ..failure }
            }
            OpenAIError::JSONDeserialize(source, text) => {
                let error = refusal(format!("the answer is no JSON: {source}; it begins with {:?}", self.beginning(&text)));
                Failure::lasting(error.hint("check that the address ends where the service's `/v1` ends").because(source))
            }
            error => Failure::lasting(refusal(error.to_string()).because(error)),
        }
    }

    /// What a status that is no success means.
    async fn status(&self, status: u16, text: &str) -> Failure {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let error = &value["error"];
        let said = error["message"].as_str().or_else(|| value["message"].as_str()).or_else(|| error.as_str());
        let said = said.map_or_else(|| self.beginning(text), String::from);
        let code = error["code"].as_str().unwrap_or_default();
        match status {
            401 | 403 => {
                let key =
                    if self.key.is_some() { "refuses the key of OPENAI_API_KEY" } else { "asks for a key, and OPENAI_API_KEY is not set" };
                let error = refusal(format!("the service {key} (status {status}): {said}"));
                Failure::lasting(error.hint("type `export OPENAI_API_KEY=…` in the shell that starts the notebook, then start it again"))
            }
            404 => {
                let there = self.models().await.map_or_else(String::new, |names| format!("; it has {}", quoted(&names)));
                Failure::lasting(
                    refusal(format!("the service does not know the model, or the address (status 404): {said}{there}"))
                        .hint("name a model of the service, and check that the address ends with its `/v1`"),
                )
            }
            // A quota that is used up does not come back by waiting.
            429 if code == "insufficient_quota" => Failure::lasting(
                refusal(format!("the quota is used up (status 429): {said}")).hint("look at the plan of the account behind the key"),
            ),
            408 | 425 | 429 | 500.. => {
                Failure::passing(refusal(format!("status {status}: {said}")).hint("ask again later, or with a smaller `concurrency`"))
            }
            _ => {
                let setting = error["param"].as_str().filter(|_| matches!(code, "unsupported_parameter" | "unsupported_value"));
                let failure = Failure::lasting(refusal(format!("status {status}: {said}")).hint("change what the service names"));
                Failure { setting: setting.map(String::from), ..failure }
            }
        }
    }

    /// No status came at all, or no whole answer.
    fn unreached(&self, error: &reqwest::Error) -> Failure {
        let hint = "start the service, or name another with OPENAI_BASE_URL or `base_url`";
        let words = chain(error);
        let io = causes(error).find_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
        if error.is_timeout() {
            let error = refusal(format!("no answer within {:?}", self.timeout));
            Failure::passing(error.hint("raise `timeout` of HostedConfig, or ask for fewer tokens"))
        } else if causes(error).any(|cause| cause.is::<LengthLimitError>()) {
            Failure::lasting(refusal(format!("the answer is longer than {} MiB", LARGEST >> 20)).hint("ask for fewer tokens"))
        } else if causes(error).any(|cause| cause.is::<rustls::Error>()) || io == Some(std::io::ErrorKind::InvalidData) {
            let error = refusal(format!("no safe connection to this address: {words}"));
            Failure::lasting(error.hint("check the address; SSL_CERT_FILE names a file with certificates of your own network"))
        } else if io == Some(std::io::ErrorKind::ConnectionRefused) {
            Failure::passing(refusal("no service answers at this address: connection refused").hint(hint))
        } else if error.is_builder() || words.contains("dns error") {
            Failure::lasting(refusal(format!("no service at this address: {words}")).hint(hint))
        } else {
            Failure::passing(refusal(format!("the connection broke: {words}")).hint(hint))
        }
    }

    /// The names of the service's models, where it says them.
    async fn models(&self) -> Option<Vec<String>> {
        let value: Value = self.client.models().list_byot().await.ok()?;
        let names: Vec<String> =
            value["data"].as_array()?.iter().filter_map(|model| Some(model["id"].as_str()?.to_string())).take(20).collect();
        (!names.is_empty()).then_some(names)
    }

    /// The first characters of a text, for messages; the key is taken out before the text is cut.
    fn beginning(&self, text: &str) -> String {
        let text = self.key.as_ref().map_or_else(|| text.to_string(), |key| text.replace(key, "…"));
        text.trim().chars().take(120).collect()
    }

    /// The failure, should the service have repeated the key in its words.
    fn without_key(&self, failure: Failure) -> Failure {
        match &self.key {
            Some(key) => Failure { error: failure.error.without(key), ..failure },
            None => failure,
        }
    }
}

/// A status that is no success, with the words of the service.
#[derive(Debug)]
struct Refused {
    status: u16,
    wait: Option<Duration>,
    text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "status {}: {}", self.status, self.text)
    }
}

impl std::error::Error for Refused {}

/// One exchange over HTTP, with what the client library's own leaves out: no header for a key that is not there, a bound on the
/// answer, and the wait that the service asks for.
async fn exchange(http: reqwest::Client, has_key: bool, request: HttpRequestFactory) -> std::result::Result<Response, OpenAIError> {
    let mut request = request.build().await?;
    if !has_key {
        request.headers_mut().remove(AUTHORIZATION);
    }
    let response = http.execute(request).await?;
    if response.status().is_success() {
        return Ok(limited(response));
    }
    let wait = response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
    let wait = wait.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
    let (status, text) = (response.status().as_u16(), limited(response).text().await?);
    Err(OpenAIError::Boxed(Box::new(Refused { status, wait, text })))
}

/// The response, which fails where its body becomes longer than [`LARGEST`].
fn limited(response: Response) -> Response {
    let (parts, body) = http::Response::from(response).into_parts();
    http::Response::from_parts(parts, Body::wrap(Limited::new(body, LARGEST))).into()
}

/// An error and what caused it, the outermost first.
fn causes<'a>(error: &'a (dyn std::error::Error + 'static)) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The words of the innermost causes; the outermost ones only name the address.
fn chain(error: &reqwest::Error) -> String {
    let words: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
    if words.is_empty() { error.to_string() } else { words.join(": ") }
}

pub(crate) fn refusal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Service, message)
}
