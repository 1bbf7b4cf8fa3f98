//! `cargo lab export`: a notebook → a cargo project that prints the same.
//!
//! In: a notebook or the number of a lesson. Out: a folder with `Cargo.toml`, `Cargo.lock` and `src/main.rs`; it appears
//! whole or not at all.

use std::path::{Path, PathBuf};
use std::process::Command;

use notebooks::{Notebook, course};

use crate::kernel::prepare::fresh;
use crate::lab::failure::Failure;
use crate::lab::paths::Paths;
use crate::lab::project::manifest::{self, crate_name, relative};
use crate::lab::project::program::{Program, program};
use crate::spawn;

/// Writes the project of a notebook into `folder`, by default one beside the current place with the notebook's name.
pub fn export(paths: &Paths, notebook: &str, folder: Option<&Path>) -> Result<(), Failure> {
    let file = find(paths, notebook)?;
    let notebook = Notebook::open(&file)?;
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
    let program = program(&title, &notebook.cells, &format!("/{}", relative(&home, &folder).display())).map_err(wrong)?;
    let dependencies = dependencies(paths, &program, &home).map_err(wrong)?;
    write(paths, &program, &manifest::manifest(&name, &dependencies, &home, &folder), &folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    println!("written: {}\nto run it: cargo run --manifest-path {}", folder.display(), folder.join("Cargo.toml").display());
    Ok(())
}

/// A path of a notebook, or a lesson by number or name.
fn find(paths: &Paths, word: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(word);
    if path.extension().is_some_and(|end| end == "ipynb") && path.exists() {
        return Ok(path.to_path_buf());
    }
    let lessons = course::lessons(&paths.notebooks)?;
    let found = course::select(&lessons, &[word.to_string()]).map_err(|what| Failure::new(what, "cargo lab export 1"))?;
    found
        .into_iter()
        .next()
        .map(|lesson| lesson.notebook)
        .ok_or_else(|| Failure::new(format!("there is no notebook {word}"), "cargo lab export 1"))
}

fn uses_companion(program: &Program) -> bool {
    program.text.contains("finetuning")
}

/// What the notebook asks for, and what the kernel gives to every cell.
fn dependencies(paths: &Paths, program: &Program, home: &Path) -> Result<Vec<manifest::Dependency>, String> {
    let mut found = manifest::dependencies(&program.dependencies, home)?;
    let lacks = |found: &[manifest::Dependency], name: &str| !found.iter().any(|(known, _)| known == name);
    if uses_companion(program) && lacks(&found, "finetuning") {
        found.push(manifest::on_folder("finetuning", &paths.root.join("lib")));
    }
    if program.waits && lacks(&found, "tokio") {
        found.push(manifest::on_version("tokio", "1", &["full"]));
    }
    Ok(found)
}

/// Writes the project, whole or not at all.
fn write(paths: &Paths, program: &Program, manifest: &str, folder: &Path) -> std::io::Result<()> {
    let fresh = fresh::beside(folder)?;
    let main = fresh.path().join("src/main.rs");
    std::fs::create_dir(fresh.path().join("src"))?;
    std::fs::write(&main, &program.text)?;
    std::fs::write(fresh.path().join("Cargo.toml"), manifest)?;
    if uses_companion(program) {
        std::fs::copy(paths.root.join("Cargo.lock"), fresh.path().join("Cargo.lock"))?;
    }
    // Indents the program where rustfmt is installed; without it the program is the same.
    spawn::succeeds(Command::new("rustfmt").args(["--edition", "2024"]).arg(&main));
    fresh::place(fresh, folder)
}
