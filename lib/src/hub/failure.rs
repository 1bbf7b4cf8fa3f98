//! What the hub or the network refused → an error that says what was asked for, why there is none, and what to do.

use std::fmt;

use ureq::http::HeaderMap;

use crate::error::{Error, ErrorKind};
use crate::hub::trouble::{RepoRef, TransportError};

fn name_error(place: &RepoRef, message: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Name, format!("{place}: {message}"))
}

/// The hub answered, and the answer is no.
pub(crate) fn refused(status: u16, headers: &HeaderMap, body: &str, place: &RepoRef, token: bool) -> Error {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = header("x-error-code").unwrap_or_default();
    let said = header("x-error-message").unwrap_or(body).trim();
    let said: String = said.chars().take(300).filter(|c| !c.is_control()).collect();
    let (RepoRef { name, revision, .. }, page) = (place, place.page());
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
pub(crate) fn retries_exhausted(trouble: &TransportError, place: &RepoRef, attempts: u32) -> Error {
    let endpoint = &place.endpoint;
    let times = if attempts == 1 { "at the first attempt".to_string() } else { format!("{attempts} times") };
    match trouble {
        TransportError::Busy(429, Some(wait)) => {
            name_error(place, format_args!("the hub has had too many requests (429) and asks to wait {} s", wait.as_secs()))
                .hint("run this again after that time; with HF_TOKEN the limit is higher")
        }
        TransportError::Busy(429, None) => name_error(place, format_args!("the hub has had too many requests (429), {times}"))
            .hint("wait some minutes and run this again; with HF_TOKEN the limit is higher"),
        TransportError::Busy(status, _) => name_error(place, format_args!("{endpoint} failed {times} ({status})"))
            .hint("the fault is the hub's: run this again later; what was fetched is kept"),
        TransportError::Cut(reason) => name_error(place, format_args!("the connection to {endpoint} was cut {times}: {reason}"))
            .hint("run this again: what was fetched is kept, and it goes on from there"),
        TransportError::Silent(time) => name_error(place, format_args!("{endpoint} said nothing for {:?}, {times}", time))
            .hint("run this again: it goes on from there; HF_HUB_DOWNLOAD_TIMEOUT=60 waits longer (seconds)"),
        TransportError::Unreachable(reason) if reason.contains("certificate") => {
            name_error(place, format_args!("there is no safe connection to {endpoint}: {reason}"))
                .hint("check HF_ENDPOINT; SSL_CERT_FILE names a file with certificates of your own network")
        }
        TransportError::Unreachable(reason) => name_error(place, format_args!("{endpoint} could not be reached: {reason}"))
            .hint("check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 uses what is in the cache; `builtin:` names need no network"),
    }
}

/// The server spoke another language.
pub(crate) fn no_json(place: &RepoRef, error: serde_json::Error) -> Error {
    name_error(place, format_args!("the answer is not the hub's JSON: {error}"))
        .hint(format!("check that HF_ENDPOINT ({}) is a hub", place.endpoint))
        .because(error)
}

/// The answer lacks something that the hub's protocol promises.
pub(crate) fn lacks(place: &RepoRef, what: &str) -> Error {
    name_error(place, format_args!("the answer has no {what}")).hint(format!("check that HF_ENDPOINT ({}) is a hub", place.endpoint))
}

/// The server sends more than any hub does.
pub(crate) fn too_long(place: &RepoRef, limit: u64) -> Error {
    name_error(place, format_args!("the answer has more than {limit} bytes, which no listing has"))
        .hint(format!("check that HF_ENDPOINT ({}) is a hub", place.endpoint))
}

/// Redirects that do not end.
pub(crate) fn circle(place: &RepoRef, url: &str) -> Error {
    name_error(place, format_args!("more than ten redirects, the last to {url}"))
        .hint(format!("check that HF_ENDPOINT ({}) is a hub", place.endpoint))
}
