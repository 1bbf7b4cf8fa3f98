//! What was asked for at the hub, and why there was no answer.

use std::fmt;
use std::time::Duration;

use hf_hub::{Repo, RepoType};

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RepoKind {
    /// A model, or an adapter.
    Model,
    /// A data set.
    Dataset,
}

impl RepoKind {
    /// How it is called in messages.
    pub(crate) fn noun(self) -> &'static str {
        if self == RepoKind::Model { "model" } else { "data set" }
    }

    /// How it is called in addresses and folders.
    pub(crate) fn plural(self) -> &'static str {
        if self == RepoKind::Model { "models" } else { "datasets" }
    }
}

/// What was asked for, and where.
#[derive(Debug, Clone)]
pub(crate) struct RepoRef {
    pub(crate) endpoint: String,
    pub(crate) name: String,
    pub(crate) kind: RepoKind,
    pub(crate) revision: String,
    /// A file of it.
    pub(crate) file: Option<String>,
    /// What happens, as in `while fetching config.json`.
    pub(crate) verb: &'static str,
}

impl RepoRef {
    /// The same repository with a file of it.
    pub(crate) fn file(&self, file: &str) -> Self {
        Self { file: Some(file.to_string()), ..self.clone() }
    }

    /// For the message of an interrupt.
    pub(crate) fn doing(&self) -> String {
        match &self.file {
            Some(file) => format!("while {} {file} of `{}`", self.verb, self.name),
            None => format!("while {} `{}`", self.verb, self.name),
        }
    }

    /// The repository at its revision, as `hf_hub` names it.
    pub(crate) fn repo(&self) -> Repo {
        let kind = if self.kind == RepoKind::Model { RepoType::Model } else { RepoType::Dataset };
        Repo::with_revision(self.name.clone(), kind, self.revision.clone())
    }

    /// `datasets/` or nothing.
    pub(crate) fn prefix(&self) -> &'static str {
        if self.kind == RepoKind::Model { "" } else { "datasets/" }
    }

    /// The page of the repository.
    pub(crate) fn page(&self) -> String {
        format!("{}/{}{}", self.endpoint, self.prefix(), self.name)
    }

    /// The address below which the hub answers about it.
    pub(crate) fn api(&self) -> String {
        format!("{}/api/{}/{}", self.endpoint, self.kind.plural(), self.name)
    }

    /// The revision as part of an address.
    pub(crate) fn url_revision(&self) -> String {
        escape(&self.revision).replace('/', "%2F")
    }
}

impl fmt::Display for RepoRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`", self.name)?;
        self.file.as_ref().map_or(Ok(()), |file| write!(formatter, ": {file}"))
    }
}

/// A path or revision with all bytes escaped that an address cannot hold.
pub(crate) fn escape(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Why there was no answer; all but the last are worth another attempt.
#[derive(Debug, Clone)]
pub(crate) enum TransportError {
    /// A status of 429 or 5xx, with the wait that the hub asks for.
    Busy(u16, Option<Duration>),
    /// The connection ended.
    Cut(String),
    /// Nothing came for so long.
    Silent(Duration),
    /// There is no connection.
    Unreachable(String),
}
