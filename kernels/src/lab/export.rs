//! `cargo lab export`: a notebook → a cargo project that prints the same.
//!
//! In: a notebook or the number of a lesson. Out: a folder with `Cargo.toml`, `Cargo.lock` and `src/main.rs`; it appears
//! whole or not at all.

use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use notebooks::{Notebook, course};

use super::program::{Program, program};
use super::{Failure, Places};

/// The workspace's own manifest: its profile makes the program as fast as the cells.
const MANIFEST: &str = include_str!("../../../Cargo.toml");

/// Writes the project of a notebook into `folder`, by default one beside the current place with the notebook's name.
pub fn export(places: &Places, notebook: &str, folder: Option<&Path>) -> Result<(), Failure> {
    let file = find(places, notebook)?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let notebook = Notebook::read(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let name = crate_name(&file);
    let folder = match folder {
        Some(folder) => folder.to_path_buf(),
        None => PathBuf::from(&name),
    };
    let folder = std::path::absolute(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        return Err(Failure::new(
            format!("{} is there already, and stays as it is", folder.display()),
            "name another folder behind the notebook",
        ));
    }
    let home = file.canonicalize().ok().and_then(|file| file.parent().map(Path::to_path_buf)).unwrap_or_default();
    let parent = folder.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    let folder =
        parent.canonicalize().map_err(|error| format!("{}: {error}", parent.display()))?.join(folder.file_name().unwrap_or_default());
    let title = format!("The notebook `{}` as a program.", file.file_name().unwrap_or_default().to_string_lossy());
    let wrong = |error: String| Failure::new(format!("{}: {error}", file.display()), "mend the cell, then export again");
    let mut program = program(&title, &notebook.cells, &format!("/{}", relative(&home, &folder).display())).map_err(wrong)?;
    program.dependencies = named(program.dependencies, &home).map_err(wrong)?;
    let manifest = manifest(places, &name, &program, &home, &folder);
    let fresh = folder.with_extension(format!("new-{}", std::process::id()));
    let written = std::fs::create_dir_all(fresh.join("src"))
        .and_then(|()| std::fs::write(fresh.join("src/main.rs"), &program.text))
        .and_then(|()| std::fs::write(fresh.join("Cargo.toml"), manifest))
        .and_then(|()| {
            if uses_companion(&program) {
                std::fs::copy(places.root.join("Cargo.lock"), fresh.join("Cargo.lock")).map(drop)
            } else {
                Ok(())
            }
        })
        .map(|()| format_source(&fresh.join("src/main.rs")))
        .and_then(|()| std::fs::rename(&fresh, &folder));
    if let Err(error) = written {
        let _ = std::fs::remove_dir_all(&fresh);
        return Err(format!("{}: {error}", folder.display()).into());
    }
    println!("written: {}\nto run it: cargo run --manifest-path {}", folder.display(), folder.join("Cargo.toml").display());
    Ok(())
}

/// A path of a notebook, or a lesson by number or name.
fn find(places: &Places, word: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(word);
    if path.extension().is_some_and(|end| end == "ipynb") && path.exists() {
        return Ok(path.to_path_buf());
    }
    let lessons = course::lessons(&places.notebooks)?;
    let found = course::select(&lessons, &[word.to_string()]).map_err(|what| Failure::new(what, "cargo lab export 1"))?;
    found
        .into_iter()
        .next()
        .map(|lesson| lesson.notebook)
        .ok_or_else(|| Failure::new(format!("there is no notebook {word}"), "cargo lab export 1"))
}

/// A name that cargo allows.
fn crate_name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = stem.chars().map(|char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '_' }).collect();
    let name = name.trim_matches(['_', '-']).to_string();
    match name.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => name,
        _ => format!("notebook_{name}"),
    }
}

fn uses_companion(program: &Program) -> bool {
    program.text.contains("finetuning")
}

fn manifest(places: &Places, name: &str, program: &Program, home: &Path, folder: &Path) -> String {
    let mut dependencies = program.dependencies.clone();
    // Every cell of our kernel may use the companion.
    if uses_companion(program) && !dependencies.iter().any(|(name, _)| name == "finetuning") {
        dependencies.push(("finetuning".into(), format!("{{ path = {:?} }}", places.root.join("lib"))));
    }
    if program.waits && !dependencies.iter().any(|(name, _)| name == "tokio") {
        dependencies.push(("tokio".into(), "{ version = \"1\", features = [\"full\"] }".into()));
    }
    let lines: String = dependencies.iter().map(|(name, wish)| format!("{name} = {}\n", with_path(wish, home, folder))).collect();
    let profile = MANIFEST.find("[profile.").map_or("", |start| &MANIFEST[start..]);
    format!(
        "[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n[dependencies]\n{lines}\n\
        # A project of its own, wherever it lies.\n[workspace]\n\n{profile}"
    )
}

/// The dependencies with names: a folder of a crate, as in `:dep .` and `:dep /path`, is looked into.
fn named(dependencies: Vec<(String, String)>, home: &Path) -> Result<Vec<(String, String)>, String> {
    let mut named: Vec<(String, String)> = Vec::new();
    for (name, wish) in dependencies {
        let (name, wish) = match name.starts_with(['.', '/']) {
            true => (package_name(&home.join(&name).join("Cargo.toml"))?, format!("{{ path = {name:?} }}")),
            false => (name, wish),
        };
        named.retain(|(known, _)| *known != name);
        named.push((name, wish));
    }
    Ok(named)
}

/// The name of the package of a manifest.
fn package_name(manifest: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let lines = text.lines().map(str::trim).skip_while(|line| *line != "[package]").skip(1).take_while(|line| !line.starts_with('['));
    let value = |line: &str| Some(line.strip_prefix("name")?.trim_start().strip_prefix('=')?.trim_start().to_string());
    let name = lines.filter_map(value).find_map(|value| value.split(['"', '\'']).nth(1).map(str::to_string));
    name.ok_or_else(|| format!("{}: it names no package", manifest.display()))
}

/// The path in `{ path = "…" }`, which the notebook gives from its own folder, from the project's.
fn with_path(wish: &str, home: &Path, folder: &Path) -> String {
    let key = |(place, word): (usize, &str)| wish[place + word.len()..].trim_start().starts_with('=').then_some(place);
    let Some(start) = wish.match_indices("path").find_map(key) else { return wish.to_string() };
    let Some(quote) = wish[start..].find(['"', '\'']).map(|place| start + place) else { return wish.to_string() };
    let Some((path, after)) = wish[quote + 1..].split_once(&wish[quote..=quote]) else { return wish.to_string() };
    let before = &wish[..quote];
    let target = home.join(path);
    let target = target.canonicalize().unwrap_or(target);
    format!("{before}{:?}{after}", relative(&target, folder))
}

/// The way from one folder to another; both absolute and without links.
fn relative(target: &Path, from: &Path) -> PathBuf {
    let (target, from): (Vec<Component>, Vec<Component>) = (target.components().collect(), from.components().collect());
    let same = target.iter().zip(&from).take_while(|(a, b)| a == b).count();
    from[same..].iter().map(|_| Component::ParentDir).chain(target[same..].iter().copied()).collect()
}

/// Indents the program where rustfmt is installed; without it the program is the same.
fn format_source(file: &Path) {
    let _ = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_project() {
        assert_eq!(relative(Path::new("/a/b/lib"), Path::new("/a/c/x")), Path::new("../../b/lib"));
        assert_eq!(relative(Path::new("/a"), Path::new("/a/x")), Path::new(".."));
        let moved = with_path("{ path = \"/no-such/lib\", features = [] }", Path::new("/nb"), Path::new("/x"));
        assert_eq!(moved, "{ path = \"../no-such/lib\", features = [] }");
        let moved = with_path("{path='/no-such/lib'}", Path::new("/nb"), Path::new("/x"));
        assert_eq!(moved, "{path=\"../no-such/lib\"}");
        for wish in ["\"1\"", "{ version = \"1\", features = [\"path\"] }"] {
            assert_eq!(with_path(wish, Path::new("/nb"), Path::new("/x")), wish);
        }
    }

    #[test]
    fn a_folder_is_a_dependency_by_the_name_of_its_package() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let wishes = [("finetuning-kernel", "\"1\""), (".", "\"*\""), ("serde", "\"1\"")].map(|(name, wish)| (name.into(), wish.into()));
        let found = named(wishes.to_vec(), root).unwrap();
        assert_eq!(found, [("finetuning-kernel".into(), "{ path = \".\" }".into()), wishes[2].clone()]);
        let error = named(vec![("/no-such".into(), String::new())], root).unwrap_err();
        assert!(error.starts_with("/no-such/Cargo.toml: "), "{error}");
        let error = named(vec![("..".into(), String::new())], root).unwrap_err();
        assert!(error.ends_with("it names no package"), "{error}");
    }

    #[test]
    fn names_are_those_that_cargo_allows() {
        assert_eq!(crate_name(Path::new("a/05_training.ipynb")), "notebook_05_training");
        assert_eq!(crate_name(Path::new("Über x.ipynb")), "ber_x");
    }
}
