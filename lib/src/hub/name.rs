//! A name that a user gave → whether it can be a repository of the hub.

use crate::error::{Error, ErrorKind, Result};

/// An error that says what else could be meant, unless `name` can be a repository's.
pub(crate) fn check_repository(name: &str, what: &str, others: &str) -> Result<()> {
    let parts: Vec<&str> = name.split('/').collect();
    let plain =
        |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) && !part.starts_with('.');
    if parts.len() <= 2 && parts.iter().all(plain) && (parts.len() == 2 || what == "data set") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Name, format!("`{name}` is no known {what}"))
        .hint(format!("use {others}, or a hub name such as `owner/name`")))
}
