//! A folder under git → the address at which others get the same, without anybody's password.

use std::path::Path;
use std::process::Command;

use crate::spawn;

/// Where a folder comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// As cargo writes it.
    pub address: String,
    /// The commit that is checked out, if the repository has it.
    pub commit: Option<String>,
}

/// The repository that a folder was cloned from; none when it was copied, or cloned from a folder of this machine.
pub fn of(root: &Path) -> Option<Repository> {
    let git = |words: &[&str]| {
        let text = spawn::output(Command::new("git").arg("-C").arg(root).args(words), "git").ok()?;
        Some(text.trim().to_string()).filter(|text| !text.is_empty())
    };
    // A folder inside of somebody else's repository is no clone.
    git(&["rev-parse", "--show-prefix"]).is_none().then_some(())?;
    let address = public(&git(&["remote", "get-url", "origin"])?)?;
    let commit = git(&["rev-parse", "HEAD"]).filter(|_| git(&["branch", "--remotes", "--contains", "HEAD"]).is_some());
    Some(Repository { address, commit })
}

/// An address as cargo writes it; none for a folder of this machine.
fn public(address: &str) -> Option<String> {
    if let Some((kind, rest)) = address.split_once("://") {
        let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
        let server = match server.rsplit_once('@') {
            // A name that ssh needs; whatever stands there for the web may be a password.
            Some((name, host)) if kind == "ssh" => format!("{}@{host}", name.split(':').next().unwrap_or_default()),
            Some((_, host)) => host.to_string(),
            None => server.to_string(),
        };
        return (kind != "file").then(|| format!("{kind}://{server}/{path}"));
    }
    // `name@host:path`, as ssh writes it.
    let (server, path) = address.split_once(':').filter(|(server, _)| !server.contains('/'))?;
    Some(format!("ssh://{server}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_for_others_and_without_a_password() {
        for (given, expected) in [
            ("https://example.org/a/b.git", Some("https://example.org/a/b.git")),
            ("https://me:secret@example.org/a/b.git", Some("https://example.org/a/b.git")),
            ("ssh://git:secret@example.org:22/a", Some("ssh://git@example.org:22/a")),
            ("git@example.org:a/b.git", Some("ssh://git@example.org/a/b.git")),
            ("/home/me/b", None),
            ("../b:c", None),
            ("file:///home/me/b", None),
        ] {
            assert_eq!(public(given).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn a_commit_that_was_not_pushed_is_not_named() {
        let folder = tempfile::tempdir().unwrap();
        let git = |words: &[&str]| {
            let name = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
            assert!(spawn::succeeds(Command::new("git").arg("-C").arg(folder.path()).args(name).args(words)), "{words:?}");
        };
        git(&["init", "-q"]);
        assert_eq!(of(folder.path()), None);
        git(&["commit", "-q", "--allow-empty", "-m", "a"]);
        git(&["remote", "add", "origin", "https://example.org/a.git"]);
        let found = of(folder.path()).unwrap();
        assert_eq!((found.address.as_str(), found.commit), ("https://example.org/a.git", None));
        git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
        assert_eq!(of(folder.path()).unwrap().commit.map(|commit| commit.len()), Some(40));
        std::fs::create_dir(folder.path().join("below")).unwrap();
        assert_eq!(of(&folder.path().join("below")), None);
    }
}
