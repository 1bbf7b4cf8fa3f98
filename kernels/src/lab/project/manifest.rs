//! What a notebook's `:dep` lines ask for, and where it lies → the manifest of its project.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

/// The workspace's own manifest: its profile makes the program as fast as the cells.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// The companion's crates that compute; the workspace compiles them as its own.
const COMPANION: [&str; 2] = ["finetuning", "finetuning-compute"];

/// A crate and how it is asked for: a version, or a table as in a manifest.
pub type Dependency = (String, Value);

/// Reads `:dep` lines, each a name and what stood behind it; a folder of a crate, as in `:dep .` and `:dep /path`, is looked
/// into for the name. `home` is the notebook's folder. Of two for the same crate, the later one counts.
///
/// # Errors
/// A line that is no TOML, or a folder that names no package.
pub fn dependencies(lines: &[(String, String)], home: &Path) -> Result<Vec<Dependency>, String> {
    let mut found: Vec<Dependency> = Vec::new();
    for (name, wish) in lines {
        let (name, wish) = match name.starts_with(['.', '/']) {
            true => (package_name(&home.join(name).join("Cargo.toml"))?, table([("path", name.as_str().into())])),
            false => {
                let value: Value = wish.parse().map_err(|error| format!(":dep {name} = {wish}: {error}"))?;
                (name.clone(), value.decorated("", ""))
            }
        };
        found.retain(|(known, _)| *known != name);
        found.push((name, wish));
    }
    Ok(found)
}

/// A dependency on a crate in a folder.
pub fn on_folder(name: &str, folder: &Path) -> Dependency {
    (name.into(), table([("path", folder.to_string_lossy().into_owned().into())]))
}

/// A dependency on a crate in a repository, at a commit if one is known.
pub fn on_repository(name: &str, address: &str, commit: Option<&str>) -> Dependency {
    let mut wish = table([("git", address.into())]);
    if let (Some(table), Some(commit)) = (wish.as_inline_table_mut(), commit) {
        table.insert("rev", commit.into());
    }
    (name.into(), wish)
}

/// cargo's settings for this machine alone: the crate of a repository is taken from a folder.
pub fn patch(address: &str, name: &str, folder: &Path) -> String {
    let mut settings = DocumentMut::new();
    let mut crates = Table::new();
    crates.insert(name, Item::Value(on_folder(name, folder).1));
    let mut addresses = Table::new();
    addresses.set_implicit(true);
    addresses.insert(address, Item::Table(crates));
    settings.insert("patch", Item::Table(addresses));
    settings.to_string()
}

/// The names of all packages in a lock file.
pub fn locked(lock: &str) -> HashSet<String> {
    packages(lock, false)
}

/// The names of those that come from elsewhere: they are the same in every project.
pub fn fetched(lock: &str) -> HashSet<String> {
    packages(lock, true)
}

fn packages(lock: &str, fetched: bool) -> HashSet<String> {
    let lock: DocumentMut = lock.parse().unwrap_or_default();
    let packages = lock.get("package").and_then(Item::as_array_of_tables).into_iter().flatten();
    packages
        .filter(|package| !fetched || package.contains_key("source"))
        .filter_map(|package| Some(package.get("name")?.as_str()?.to_string()))
        .collect()
}

/// The level at which the workspace compiles its own crates, the companion among them.
pub fn workspace_level() -> i64 {
    let workspace: DocumentMut = WORKSPACE.parse().expect("cargo has read it");
    workspace["profile"]["dev"]["opt-level"].as_integer().unwrap_or(2)
}

/// The workspace's profile for a project with these packages: what it says of others goes, and the companion, which is no member here,
/// is compiled as there.
fn profile(packages: &HashSet<String>) -> DocumentMut {
    let mut profile: DocumentMut = WORKSPACE.parse().expect("cargo has read it");
    profile.retain(|key, _| key == "profile");
    let level = workspace_level();
    if let Some(of) = profile["profile"]["dev"]["package"].as_table_mut() {
        of.retain(|name, _| name == "*" || packages.contains(name));
        for name in COMPANION.into_iter().filter(|name| packages.contains(*name)) {
            let mut table = Table::new();
            table.insert("opt-level", Item::Value(level.into()));
            of.insert(name, Item::Table(table));
        }
        // The remarks of the workspace speak of its other crates.
        of.iter_mut().for_each(|(_, item)| {
            if let Some(table) = item.as_table_mut() {
                table.decor_mut().set_prefix("");
            }
        });
    }
    profile
}

/// A dependency on a version with features.
pub fn on_version(name: &str, version: &str, features: &[&str]) -> Dependency {
    (name.into(), table([("version", version.into()), ("features", features.iter().copied().collect::<Array>().into())]))
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let mut table = InlineTable::new();
    for (key, value) in entries {
        table.insert(key, value);
    }
    table.into()
}

/// The name of the package of a manifest.
fn package_name(manifest: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let manifest_of = text.parse::<DocumentMut>().map_err(|error| format!("{}: {error}", manifest.display()))?;
    let name = manifest_of.get("package").and_then(|package| package.get("name")).and_then(Item::as_str);
    name.map(String::from).ok_or_else(|| format!("{}: it names no package", manifest.display()))
}

/// The text of the manifest of a project in `folder`, of a notebook in `home`; both absolute and without links. `packages` are all that
/// cargo builds for it, as far as they are known.
pub fn manifest(name: &str, dependencies: &[Dependency], packages: &HashSet<String>, home: &Path, folder: &Path) -> String {
    let mut manifest = DocumentMut::new();
    let mut package = Table::new();
    for (key, value) in [("name", Value::from(name)), ("version", "0.1.0".into()), ("edition", "2024".into()), ("publish", false.into())] {
        package.insert(key, Item::Value(value));
    }
    manifest.insert("package", Item::Table(package));
    let mut crates = Table::new();
    for (name, wish) in dependencies {
        crates.insert(name, Item::Value(seen_from(wish, home, folder)));
    }
    manifest.insert("dependencies", Item::Table(crates));
    let mut workspace = Table::new();
    workspace.decor_mut().set_prefix("\n# A project of its own, wherever it lies.\n");
    manifest.insert("workspace", Item::Table(workspace));
    format!("{manifest}{}", profile(packages))
}

/// A wish whose path, which the notebook gives from its own folder, is seen from the project's.
fn seen_from(wish: &Value, home: &Path, folder: &Path) -> Value {
    let mut wish = wish.clone();
    let path = wish.as_inline_table_mut().and_then(|table| table.get_mut("path"));
    if let Some((path, text)) = path.and_then(|path| path.as_str().map(String::from).map(|text| (path, text))) {
        let target = home.join(text);
        let target = target.canonicalize().unwrap_or(target);
        *path = Value::from(relative(&target, folder).to_string_lossy().into_owned()).decorated(" ", "");
    }
    wish
}

/// The way from one folder to another; both absolute and without links.
pub fn relative(target: &Path, from: &Path) -> PathBuf {
    let (target, from): (Vec<Component>, Vec<Component>) = (target.components().collect(), from.components().collect());
    let same = target.iter().zip(&from).take_while(|(a, b)| a == b).count();
    from[same..].iter().map(|_| Component::ParentDir).chain(target[same..].iter().copied()).collect()
}

/// A name that cargo allows.
pub fn crate_name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = stem.chars().map(|char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '_' }).collect();
    let name = name.trim_matches(['_', '-']).to_string();
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => name,
        _ => format!("notebook_{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Value {
        text.parse().unwrap()
    }

    #[test]
    fn paths_are_seen_from_the_project() {
        assert_eq!(relative(Path::new("/a/b/lib"), Path::new("/a/c/x")), Path::new("../../b/lib"));
        assert_eq!(relative(Path::new("/a"), Path::new("/a/x")), Path::new(".."));
        let seen = |text: &str| seen_from(&wish(text), Path::new("/nb"), Path::new("/x")).to_string();
        assert_eq!(seen("{ path = \"/no-such/lib\", features = [] }"), "{ path = \"../no-such/lib\", features = [] }");
        assert_eq!(seen("{path='/no-such/lib'}"), "{path= \"../no-such/lib\"}");
        for text in ["\"1\"", "{ version = \"1\", features = [\"path\"] }", "{ git = \"https://x\", branch = \"path = '/y'\" }"] {
            assert_eq!(seen(text), text);
        }
    }

    #[test]
    fn what_a_manifest_quotes_comes_back_as_it_was() {
        // Rust's own quotes are not TOML's: `{:?}` writes \u{200b}, and a quoted name ends at its first quote.
        for folder in ["/no-such/a\"b", "/no-such/a\\b", "/no-such/a\u{200b}b", "/no-such/it's", "/no-such/é\tü"] {
            let text = format!("{{ path = {} }}", Value::from(folder));
            let found = dependencies(&[("odd".into(), text)], Path::new("/nb")).unwrap();
            let written = manifest(
                "x",
                &[found, vec![on_folder("own", Path::new(folder))]].concat(),
                &HashSet::new(),
                Path::new("/nb"),
                Path::new("/x"),
            );
            let read: DocumentMut = written.parse().unwrap_or_else(|error| panic!("{error}\n{written}"));
            for name in ["odd", "own"] {
                let path = read["dependencies"][name]["path"].as_str().unwrap();
                assert_eq!(Path::new("/x").join(path), Path::new("/x/..").join(&folder[1..]), "{written}");
            }
            assert_eq!(read["profile"]["dev"]["opt-level"].as_integer(), Some(2));
            assert_eq!(read["package"]["name"].as_str(), Some("x"));
            assert!(read["workspace"].is_table() && !written.contains("members"));
        }
        let error = dependencies(&[("odd".into(), "{ path = \"a }".into())], Path::new("/nb")).unwrap_err();
        assert!(error.starts_with(":dep odd = { path = \"a }: "), "{error}");
    }

    #[test]
    fn the_companion_is_compiled_as_in_the_workspace_and_no_other_crate_is_named() {
        let packages = HashSet::from(["finetuning", "finetuning-compute", "half"].map(String::from));
        let text = manifest("x", &[], &packages, Path::new("/nb"), Path::new("/x"));
        let read: DocumentMut = text.parse().unwrap();
        let of = &read["profile"]["dev"]["package"];
        let levels: Vec<_> = of.as_table().unwrap().iter().map(|(name, item)| (name, item["opt-level"].as_integer().unwrap())).collect();
        assert_eq!(levels, [("*", 1), ("half", 3), ("finetuning", 2), ("finetuning-compute", 2)], "{text}");
        assert!(!text.contains("rust-analyzer"), "{text}");
    }

    #[test]
    fn a_repository_is_named_in_the_manifest_and_its_folder_in_the_settings_alone() {
        let address = "https://example.org/a b.git";
        let (name, wish) = on_repository("finetuning", address, Some("0123"));
        let field = |key: &str| wish.as_inline_table().and_then(|table| table.get(key)).and_then(Value::as_str);
        assert_eq!((name.as_str(), field("git"), field("rev")), ("finetuning", Some(address), Some("0123")));
        let settings: DocumentMut = patch(address, "finetuning", Path::new("/r/lib")).parse().unwrap();
        assert_eq!(settings["patch"][address]["finetuning"]["path"].as_str(), Some("/r/lib"));
    }

    #[test]
    fn a_folder_is_a_dependency_by_the_name_of_its_package() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let lines = [("finetuning-kernel", "\"1\""), (".", "\"*\""), ("serde", "\"1\"")].map(|(name, wish)| (name.into(), wish.into()));
        let found = dependencies(&lines, root).unwrap();
        let texts: Vec<(&str, String)> = found.iter().map(|(name, wish)| (name.as_str(), wish.to_string())).collect();
        assert_eq!(texts, [("finetuning-kernel", "{ path = \".\" }".into()), ("serde", "\"1\"".into())]);
        let error = dependencies(&[("/no-such".into(), String::new())], root).unwrap_err();
        assert!(error.starts_with("/no-such/Cargo.toml: "), "{error}");
        let error = dependencies(&[("..".into(), String::new())], root).unwrap_err();
        assert!(error.ends_with("it names no package"), "{error}");
    }

    #[test]
    fn names_are_those_that_cargo_allows() {
        assert_eq!(crate_name(Path::new("a/05_training.ipynb")), "notebook_05_training");
        assert_eq!(crate_name(Path::new("Über x.ipynb")), "ber_x");
    }
}
