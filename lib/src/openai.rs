//! A request to an OpenAI-compatible service → the text of its answer, or why there is none.
//!
//! The key is read from `OPENAI_API_KEY` alone. It is sent to the named address and nowhere else: it is in no message, no
//! `Debug` and no file.

use std::time::Duration;

use serde_json::Value;
use ureq::tls::{RootCerts, TlsConfig};

use crate::error::{Error, ErrorKind, Result, quoted};

/// An answer longer than this many bytes is refused.
const LARGEST: u64 = 16 << 20;

/// The two requests that OpenAI-compatible services know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    endpoint: Endpoint,
    timeout: Duration,
    key: Option<String>,
    agent: ureq::Agent,
}

impl Service {
    /// The service at `base_url`; nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, or `OPENAI_API_KEY` holds what no key can hold.
    pub fn new(base_url: &str, endpoint: Endpoint, timeout: Duration) -> Result<Self> {
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
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // The key goes to the named address only.
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The certificates that the machine trusts, its owner's own among them.
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .proxy(if here { None } else { ureq::Proxy::try_from_env() })
            .build()
            .into();
        Ok(Self { base_url, endpoint, timeout, key, agent })
    }

    /// The address up to and with its `/v1`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// One request.
    pub fn send(&self, body: &Value) -> std::result::Result<String, Failure> {
        self.exchange(body).map_err(|failure| self.without_key(failure))
    }

    fn exchange(&self, body: &Value) -> std::result::Result<String, Failure> {
        let path = match self.endpoint {
            Endpoint::Chat => "chat/completions",
            Endpoint::Completions => "completions",
        };
        let mut request = self.agent.post(format!("{}/{path}", self.base_url));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let mut response = request.send_json(body).map_err(|error| self.unreached(&error))?;
        let wait = response.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.trim().parse().ok());
        let wait = wait.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
        let status = response.status().as_u16();
        let text =
            response.body_mut().with_config().limit(LARGEST).lossy_utf8(true).read_to_string().map_err(|error| self.unreached(&error))?;
        if (200..300).contains(&status) { self.read(&text) } else { Err(Failure { wait, ..self.status(status, &text) }) }
    }

    /// The text of a successful answer.
    fn read(&self, text: &str) -> std::result::Result<String, Failure> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let error = refusal(format!("the answer is no JSON: {error}; it begins with {:?}", self.beginning(text)));
            Failure::lasting(error.hint("check that the address ends where the service's `/v1` ends"))
        })?;
        let choice = &value["choices"][0];
        let answer = match self.endpoint {
            Endpoint::Chat => &choice["message"]["content"],
            Endpoint::Completions => &choice["text"],
        };
        answer.as_str().map(String::from).ok_or_else(|| {
            let reason = choice["finish_reason"].as_str().map_or_else(|| self.beginning(text), |reason| format!("finish_reason {reason}"));
            Failure::lasting(
                refusal(format!("the answer holds no text: {reason}")).hint("ask in other words, or check the kind of endpoint"),
            )
        })
    }

    /// What a status that is no success means.
    fn status(&self, status: u16, text: &str) -> Failure {
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
                let there = self.models().map_or_else(String::new, |names| format!("; it has {}", quoted(&names)));
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

    /// No status came at all.
    fn unreached(&self, error: &ureq::Error) -> Failure {
        let hint = "start the service, or name another with OPENAI_BASE_URL or `base_url`";
        match error {
            ureq::Error::Timeout(_) => {
                let error = refusal(format!("no answer within {:?}", self.timeout));
                Failure::passing(error.hint("raise `timeout` of HostedConfig, or ask for fewer tokens"))
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Failure::passing(refusal("no service answers at this address: connection refused").hint(hint))
            }
            // What rustls says of a certificate comes as an error of reading.
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                let error = refusal(format!("no safe connection to this address: {error}"));
                Failure::lasting(error.hint("check the address; SSL_CERT_FILE names a file with certificates of your own network"))
            }
            ureq::Error::HostNotFound
            | ureq::Error::BadUri(_)
            | ureq::Error::Tls(_)
            | ureq::Error::Rustls(_)
            | ureq::Error::BodyExceedsLimit(_) => Failure::lasting(refusal(format!("no service at this address: {error}")).hint(hint)),
            _ => Failure::passing(refusal(format!("the connection broke: {error}")).hint(hint)),
        }
    }

    /// The names of the service's models, where it says them.
    fn models(&self) -> Option<Vec<String>> {
        let mut request = self.agent.get(format!("{}/models", self.base_url));
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let value: Value = request.call().ok()?.body_mut().with_config().limit(LARGEST).read_json().ok()?;
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

pub(crate) fn refusal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Service, message)
}
