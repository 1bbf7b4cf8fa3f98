//! What cargo says of a `:dep` line that it cannot follow → one headline, what else it knows, and what to type next.

use crate::kernel::messages::errors::{Failure, Label, remark};

/// The name of such a failure.
const NAME: &str = "DependencyError";

/// How cargo tells what it is doing; none of it is the reason.
const PROGRESS: [&str; 7] = ["Updating ", "Locking ", "Downloading ", "Downloaded ", "Adding ", "Blocking ", "Compiling "];

/// The failure of a `:dep` line at a place.
pub fn failure(line: &str, message: &str, place: Option<&Label>) -> Failure {
    let words = line.trim().strip_prefix(":dep").unwrap_or(line).trim();
    let (name, config) = words.split_once('=').map_or((words, ""), |(name, config)| (name.trim(), config.trim()));
    let mut said = lines(message);
    let headline = match said.iter().position(|line| line.contains("does not have that feature")) {
        // What stands before it is only that nothing was found.
        Some(at) => {
            let reason = said.swap_remove(at);
            said.retain(|line| line.contains("available features"));
            let feature = reason.split_once("with feature `").and_then(|(_, rest)| rest.split('`').next()).unwrap_or_default();
            format!("`{name}` does not have the feature `{feature}`")
        }
        None if said.is_empty() => "cargo gave no reason".into(),
        None => said.remove(0),
    };
    let headline = match headline.as_str() {
        ":dep requires arguments" => "a `:dep` line names a crate".to_string(),
        other => other.trim_end_matches('.').to_string(),
    };
    let mut failure = match place {
        Some(place) => Failure::at(NAME, &headline, place),
        None => Failure::new(NAME, &headline),
    };
    said.iter().for_each(|line| failure.traceback.extend(remark("note", line.trim())));
    failure.traceback.extend(remark("help", &next(name, config, &format!("{headline}\n{}", said.join("\n")))));
    failure
}

/// What cargo says, each line once, without its progress and without places that the user never saw.
fn lines(message: &str) -> Vec<String> {
    let (mut found, mut in_manifest): (Vec<String>, bool) = (Vec::new(), false);
    for line in message.lines() {
        let text = line.trim().trim_start_matches("error: ").trim();
        let names_manifest = text.contains("Cargo.toml") || text.contains("evcxr_dummy_validate_dep") && !text.contains("depends on");
        // The lines of the manifest stand below its name.
        in_manifest = names_manifest && text.starts_with("-->") || in_manifest && text.contains('|');
        let is_noise = in_manifest || names_manifest || text.is_empty() || text == "Caused by:" || text.starts_with("location searched");
        if is_noise || PROGRESS.iter().any(|word| text.starts_with(word)) || is_temporary(text) {
            continue;
        }
        if !found.iter().any(|known| known == text) {
            found.push(text.to_string());
        }
    }
    found
}

/// Whether a line is about the folder where the kernel tried the dependency.
fn is_temporary(line: &str) -> bool {
    line.contains("/finetuning-kernel-")
}

/// What the user can type next.
fn next(name: &str, config: &str, said: &str) -> String {
    let name = if name.is_empty() { "NAME" } else { name };
    let between = |start: &str, end: &str| said.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(found, _)| found.trim());
    if ["failed to fetch", "Could not resolve", "network", "failed to download", "offline"].iter().any(|word| said.contains(word)) {
        return "without a network, crates that were downloaded before can be used: `:offline 1` on a line above it".into();
    }
    if let Some(similar) = between("perhaps you meant:", "\n").or(between("perhaps you meant: ", "`")) {
        return format!("`:dep {similar} = \"*\"`");
    }
    if said.contains("no matching package") {
        return format!("look for it: `!cargo search {name}`, then type `:dep NAME = \"VERSION\"`");
    }
    let candidates = said.split_once("candidate versions found which didn't match:").and_then(|(_, rest)| rest.lines().next());
    if let Some(newest) = candidates.and_then(|all| all.split(',').next()) {
        return format!("`:dep {name} = \"{}\"`", newest.trim());
    }
    if said.contains("available features") || said.contains("does not have the feature") {
        let first = between("available features:", "\n").or(said.split_once("available features:").map(|(_, rest)| rest.trim()));
        let first = first.and_then(|all| all.split(',').next()).unwrap_or_default().trim();
        let features = if first.is_empty() { String::new() } else { format!(", or with one that it has: `features = [\"{first}\"]`") };
        return format!("without it: `:dep {name} = \"*\"`{features}");
    }
    if config.contains("path") || name.starts_with(['.', '/']) {
        return "the folder has to hold the `Cargo.toml` of a library: `:dep NAME = { path = \"FOLDER\" }`".into();
    }
    format!("`:dep {name} = \"VERSION\"`, or `:dep {name} = {{ version = \"VERSION\", features = [\"FEATURE\"] }}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::messages::errors::plain_text;

    #[test]
    fn cargo_is_quoted_once_without_its_own_files_and_with_what_to_type() {
        let text = |line: &str, message: &str| plain_text(&failure(line, message, None).traceback);
        assert_eq!(
            text(
                ":dep zz = \"1\"",
                "    Updating crates.io index\nerror: no matching package named `zz` found\nlocation searched: crates.io index\nno matching package named `zz` found"
            ),
            "DependencyError: no matching package named `zz` found\n  = help: look for it: `!cargo search zz`, then type `:dep NAME = \"VERSION\"`"
        );
        assert_eq!(
            text(
                ":dep serde = \"99\"",
                "error: failed to select a version for the requirement `serde = \"^99\"`\ncandidate versions found which didn't match: 1.0.229, 1.0.228, ...\nlocation searched: crates.io index"
            ),
            "DependencyError: failed to select a version for the requirement `serde = \"^99\"`\n  = note: candidate versions found which didn't match: 1.0.229, 1.0.228, ...\n  = help: `:dep serde = \"1.0.229\"`"
        );
        assert_eq!(
            text(
                ":dep either = { version = \"1\", features = [\"no\"] }",
                "error: failed to select a version for `either`.\nversions that meet the requirements `^1` are: 1.19.0\n\npackage `evcxr_dummy_validate_dep` depends on `either` with feature `no` but `either` does not have that feature.\n available features: default, use_std\n\n\nfailed to select a version for `either` which could resolve this conflict"
            ),
            "DependencyError: `either` does not have the feature `no`\n  = note: available features: default, use_std\n  = help: without it: `:dep either = \"*\"`, or with one that it has: `features = [\"default\"]`"
        );
        assert_eq!(
            text(
                ":dep x = oops",
                "error: string values must be quoted, expected literal string\n  --> Cargo.toml:11:9\n   |\n11 |     x = oops\n   |         ^^^^"
            ),
            "DependencyError: string values must be quoted, expected literal string\n  = help: `:dep x = \"VERSION\"`, or `:dep x = { version = \"VERSION\", features = [\"FEATURE\"] }`"
        );
        let text = text(
            ":dep a = { path = \"/no\" }",
            "error: failed to get `a` as a dependency of package `evcxr_dummy_validate_dep v0.0.1 (/tmp/finetuning-kernel-1-a/ctx)`\n\nCaused by:\n  failed to load source for dependency `a`\n\nCaused by:\n  Unable to update /no\n\nCaused by:\n  failed to read `/no/Cargo.toml`\n\nCaused by:\n  No such file or directory (os error 2)",
        );
        assert_eq!(
            text,
            "DependencyError: failed to load source for dependency `a`\n  = note: Unable to update /no\n  = note: No such file or directory (os error 2)\n  = help: the folder has to hold the `Cargo.toml` of a library: `:dep NAME = { path = \"FOLDER\" }`"
        );
        assert!(
            plain_text(&failure(":dep", ":dep requires arguments", None).traceback)
                .contains("a `:dep` line names a crate\n  = help: `:dep NAME = \"VERSION\"`")
        );
    }
}
