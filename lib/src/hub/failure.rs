//! What the hub or the network refused → an error that says what was asked for, why there is none, and what to do.

use std::fmt;

use ureq::http::HeaderMap;

use hf_hub::{Repo, RepoType};

use crate::error::{Error, ErrorKind};
use crate::hub::client::Trouble;

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
pub(crate) struct Place {
    pub(crate) endpoint: String,
    pub(crate) name: String,
    pub(crate) kind: RepoKind,
    pub(crate) revision: String,
    /// A file of it.
    pub(crate) file: Option<String>,
    /// What happens, as in `while fetching config.json`.
    pub(crate) verb: &'static str,
}

impl Place {
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

impl fmt::Display for Place {
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

fn name_error(place: &Place, message: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Name, format!("{place}: {message}"))
}

/// The hub answered, and the answer is no.
pub(crate) fn refused(status: u16, headers: &HeaderMap, body: &str, place: &Place, token: bool) -> Error {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = header("x-error-code").unwrap_or_default();
    let said = header("x-error-message").unwrap_or(body).trim();
    let said: String = said.chars().take(300).filter(|c| !c.is_control()).collect();
    let (Place { name, revision, .. }, page) = (place, place.page());
    let kind = place.kind.noun();
    match (status, code) {
        (_, "GatedRepo") if token => name_error(place, format_args!("the {kind} is gated and your token has no access to it ({status})"))
            .hint(format!("accept the licence at {page} with the account of your token, then run this again")),
        (_, "GatedRepo") => name_error(place, format_args!("the {kind} is gated and no token was given ({status})"))
            .hint(format!("accept the licence at {page}, make a token at {}/settings/tokens and set HF_TOKEN", place.endpoint)),
        (_, "RevisionNotFound") => name_error(place, format_args!("the {kind} has no revision `{revision}`"))
            .hint(format!("choose one of {page}/refs; the default is `main`")),
        (_, "EntryNotFound") => {
            name_error(place, format_args!("there is no such file at revision `{revision}`")).hint(format!("see {page}/tree/{revision}"))
        }
        (404, _) | (401, "RepoNotFound") | (401, "") if !token || status == 404 => {
            let message = match status {
                404 => format!("the {kind} `{name}` does not exist on the hub (404)"),
                _ => format!("the {kind} `{name}` does not exist on the hub, or is private and no token was given (401)"),
            };
            Error::new(ErrorKind::Name, message).hint(format!(
                "check the name at {page}; a private repository needs HF_TOKEN ({}/settings/tokens); `builtin:` names need no network",
                place.endpoint
            ))
        }
        (401, _) => name_error(place, format_args!("the hub does not accept the token (401): {said}"))
            .hint(format!("make a new one at {}/settings/tokens and set HF_TOKEN", place.endpoint)),
        (403, _) => name_error(place, format_args!("the token may not do that (403): {said}"))
            .hint(format!("give the token the right at {}/settings/tokens, or ask the owner of {page}", place.endpoint)),
        _ => name_error(place, format_args!("the hub refused it ({status}): {said}")).hint(format!("see {page}")),
    }
}

/// The attempts are used up, or there is no use in another.
pub(crate) fn gave_up(trouble: &Trouble, place: &Place, attempts: u32) -> Error {
    let endpoint = &place.endpoint;
    let times = if attempts == 1 { "at the first attempt".to_string() } else { format!("{attempts} times") };
    match trouble {
        Trouble::Busy(429, Some(wait)) => {
            name_error(place, format_args!("the hub has had too many requests (429) and asks to wait {} s", wait.as_secs()))
                .hint("run this again after that time; with HF_TOKEN the limit is higher")
        }
        Trouble::Busy(429, None) => name_error(place, format_args!("the hub has had too many requests (429), {times}"))
            .hint("wait some minutes and run this again; with HF_TOKEN the limit is higher"),
        Trouble::Busy(status, _) => name_error(place, format_args!("{endpoint} failed {times} ({status})"))
            .hint("the fault is the hub's: run this again later; what was fetched is kept"),
        Trouble::Cut(reason) => name_error(place, format_args!("the connection to {endpoint} was cut {times}: {reason}"))
            .hint("run this again: what was fetched is kept, and it goes on from there"),
        Trouble::Silent(time) => name_error(place, format_args!("{endpoint} said nothing for {:?}, {times}", time))
            .hint("run this again: it goes on from there; HF_HUB_DOWNLOAD_TIMEOUT=60 waits longer (seconds)"),
        Trouble::Unreachable(reason) if reason.contains("certificate") => {
            name_error(place, format_args!("there is no safe connection to {endpoint}: {reason}"))
                .hint("check HF_ENDPOINT; SSL_CERT_FILE names a file with certificates of your own network")
        }
        Trouble::Unreachable(reason) => name_error(place, format_args!("{endpoint} could not be reached: {reason}"))
            .hint("check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 uses what is in the cache; `builtin:` names need no network"),
    }
}

/// The server spoke another language.
pub(crate) fn no_json(place: &Place, error: &serde_json::Error) -> Error {
    name_error(place, format_args!("the answer is not the hub's JSON: {error}"))
        .hint(format!("check that HF_ENDPOINT ({}) is a hub", place.endpoint))
}

/// The answer lacks something that the hub's protocol promises.
pub(crate) fn lacks(place: &Place, what: &str) -> Error {
    name_error(place, format_args!("the answer has no {what}")).hint(format!("check that HF_ENDPOINT ({}) is a hub", place.endpoint))
}

/// Redirects that do not end.
pub(crate) fn circle(place: &Place, url: &str) -> Error {
    name_error(place, format_args!("more than ten redirects, the last to {url}"))
        .hint(format!("check that HF_ENDPOINT ({}) is a hub", place.endpoint))
}
