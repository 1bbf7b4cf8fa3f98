//! What is served, where, and to whom.

use std::path::PathBuf;

use candle_core::DType;

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::pretrained::auto::{AutoModelForCausalLM, AutoTokenizer};
use crate::tokenizer::text::Tokenizer;

/// The environment variable that holds the key of the service.
pub const API_KEY: &str = "FINETUNING_API_KEY";

/// The fewest letters of a key where other computers can try keys.
const SHORTEST_KEY: usize = 8;

/// Where a service listens and what it allows.
#[derive(Clone)]
pub struct ServeConfig {
    /// The address that it listens on. Default `127.0.0.1`, which this computer alone can reach; any other needs a key.
    pub host: String,
    /// The port; 0 takes a free one. Default 0.
    pub port: u16,
    /// What a client has to send as `Authorization: Bearer …`. Default the content of `FINETUNING_API_KEY`, else none.
    pub api_key: Option<String>,
    /// Texts that one model writes at once. Default 32.
    pub max_batch: usize,
    /// Texts of one model that may wait for their turn; a request for more is refused with 429. Default 128.
    pub max_waiting: usize,
    /// Most tokens of an answer, whatever the client asks for. Default 4096; the model's context ends an answer, too.
    pub max_tokens: usize,
    /// Most bytes of a request. Default 1 MiB.
    pub max_body: usize,
    /// Output folders of trainers whose loss the page shows, also while they train. Default none.
    pub runs: Vec<PathBuf>,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 0,
            api_key: std::env::var(API_KEY).ok().map(|key| key.trim().to_string()).filter(|key| !key.is_empty()),
            max_batch: 32,
            max_waiting: 128,
            max_tokens: 4096,
            max_body: 1 << 20,
            runs: Vec::new(),
        }
    }
}

impl std::fmt::Debug for ServeConfig {
    /// Without the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.api_key.as_ref().map(|_| "…");
        formatter
            .debug_struct("ServeConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("api_key", &key)
            .field("max_batch", &self.max_batch)
            .field("max_waiting", &self.max_waiting)
            .field("max_tokens", &self.max_tokens)
            .field("max_body", &self.max_body)
            .field("runs", &self.runs)
            .finish()
    }
}

impl ServeConfig {
    /// Refuses what cannot work or would open the models to everybody.
    ///
    /// # Errors
    /// When a limit is 0, the key cannot be sent or is short, or there is none where other computers can ask.
    pub fn validate(&self) -> Result<()> {
        let limits = [("max_batch", self.max_batch), ("max_tokens", self.max_tokens), ("max_body", self.max_body)];
        if let Some((field, _)) = limits.iter().find(|(_, value)| *value == 0) {
            return Err(Error::new(ErrorKind::Service, format!("ServeConfig: {field} is 0; it must be at least 1"))
                .hint(format!("leave `{field}` to `..Default::default()`")));
        }
        if self.api_key.as_ref().is_some_and(|key| key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic())) {
            return Err(Error::new(ErrorKind::Service, "the key is empty, or holds a space or a letter that no key may have")
                .hint(format!("set {API_KEY} again, without quotation marks and line breaks")));
        }
        if self.api_key.as_ref().is_some_and(|key| key.len() < SHORTEST_KEY) && !self.is_loopback() {
            let message = format!("`{}` can be reached from other computers, and the key has fewer than {SHORTEST_KEY} letters", self.host);
            return Err(Error::new(ErrorKind::Service, message).hint(format!("set {API_KEY} to a long random text")));
        }
        if self.api_key.is_none() && !self.is_loopback() {
            let message = format!("`{}` can be reached from other computers, and there is no key", self.host);
            return Err(
                Error::new(ErrorKind::Service, message).hint(format!("set {API_KEY} to a long random text, or leave `host` at 127.0.0.1"))
            );
        }
        Ok(())
    }

    /// Whether this computer alone can reach the service.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// A model under the name that clients ask for.
#[derive(Debug, Clone)]
pub struct ServedModel {
    /// What clients send as `model`.
    pub name: String,
    /// The model; training it meanwhile changes the answers.
    pub model: CausalLm,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

impl ServedModel {
    /// A model that is loaded already.
    pub fn new(name: impl Into<String>, model: &CausalLm, tokenizer: &Tokenizer) -> Self {
        Self { name: name.into(), model: model.clone(), tokenizer: tokenizer.clone() }
    }

    /// The model of a `builtin:` name, a folder or a hub repository, under that name.
    ///
    /// # Errors
    /// When no model has this name, or it cannot be read.
    pub fn load(name: &str) -> Result<Self> {
        Ok(Self::new(name, &AutoModelForCausalLM::from_pretrained(name)?, &AutoTokenizer::from_pretrained(name)?))
    }

    /// [`ServedModel::load`] with the matrices in F16 or BF16: half the memory, and more tokens a second.
    ///
    /// # Errors
    /// As [`ServedModel::load`].
    pub fn load_as(name: &str, dtype: DType) -> Result<Self> {
        Ok(Self::new(name, &AutoModelForCausalLM::from_pretrained_as(name, dtype)?, &AutoTokenizer::from_pretrained(name)?))
    }
}
