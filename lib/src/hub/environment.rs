//! The environment → what a caller's [`HubOptions`] leave out, by the rules of Python's `huggingface_hub`.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `HF_HOME` | folder of the token and the cache | `$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface` |
//! | `HF_HUB_CACHE` | the cache | `<HF_HOME>/hub` |
//! | `HF_TOKEN`, `HF_TOKEN_PATH` | the access token, or its file | `<HF_HOME>/token` |
//! | `HF_ENDPOINT` | the hub | `https://huggingface.co` |
//! | `HF_HUB_OFFLINE` | `1`: the cache only | `0` |
//! | `HF_HUB_DOWNLOAD_TIMEOUT` | seconds without a byte until the hub counts as silent | 10 |

use std::path::PathBuf;
use std::time::Duration;

use crate::border::file::read_text;
use crate::border::limits::NOTE;
use crate::error::{Error, ErrorKind, Result};
use crate::hub::options::HubOptions;

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable's path, `~` for the home folder.
fn path(name: &str) -> Option<PathBuf> {
    let value = variable(name)?;
    Some(match value.strip_prefix("~/") {
        Some(rest) => home().join(rest),
        None => PathBuf::from(value),
    })
}

fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("."))
}

/// The folder of token and cache.
fn hf_home() -> PathBuf {
    let cache = || path("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache"));
    path("HF_HOME").unwrap_or_else(|| cache().join("huggingface"))
}

impl HubOptions {
    /// Whether the network must not be used.
    pub(crate) fn offline(&self) -> bool {
        let yes = |value: String| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str());
        self.local_files_only || variable("HF_HUB_OFFLINE").is_some_and(yes)
    }

    /// The cache's folder.
    pub(crate) fn cache(&self) -> PathBuf {
        let from_environment = || path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        self.cache_dir.clone().or_else(from_environment).unwrap_or_else(|| hf_home().join("hub"))
    }

    /// The hub's address without a slash at its end.
    pub(crate) fn address(&self) -> Result<String> {
        let given = self.endpoint.clone().or_else(|| variable("HF_ENDPOINT"));
        let address = given.unwrap_or_else(|| "https://huggingface.co".to_string());
        let address = address.trim_end_matches('/');
        if address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).is_some_and(|host| !host.is_empty()) {
            return Ok(address.to_string());
        }
        Err(Error::new(ErrorKind::Name, format!("the hub's address `{address}` must begin with https:// or http://"))
            .hint("correct HF_ENDPOINT, or unset it for https://huggingface.co"))
    }

    /// The token, if there is one.
    pub(crate) fn access_token(&self) -> Result<Option<String>> {
        let file = || read_text(&path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home().join("token")), NOTE).ok();
        let token = self.token.clone().or_else(|| variable("HF_TOKEN")).or_else(file).map(|token| token.trim().to_string());
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        if token.chars().all(|c| c.is_ascii_graphic()) {
            return Ok(Some(token));
        }
        Err(Error::new(ErrorKind::Name, "the access token holds a blank or a character that no token has")
            .hint("copy the token again from https://huggingface.co/settings/tokens into HF_TOKEN"))
    }

    /// How long the hub may say nothing.
    pub(crate) fn patience(&self) -> Duration {
        let seconds = variable("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
        self.timeout.unwrap_or(Duration::from_secs(seconds.unwrap_or(10)))
    }
}
