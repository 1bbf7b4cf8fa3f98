//! `cargo lab clean`: what cargo and set-up made → free disk space. Nothing of the reader's goes.

use std::path::{Path, PathBuf};

use crate::kernel::prepare::companion::{self, wants_cuda};
use crate::lab::failure::Failure;
use crate::lab::machine::resources::size;
use crate::lab::paths::Paths;

/// What set-up makes in `.lab`, by the beginning of its names; JupyterLab's settings and the history of cells are the reader's.
const MADE: [&str; 8] = ["analysis-", "book", "jupyter.log", "pip.log", "requirements.txt", "std-src-", "support-", "venv"];

/// Removes builds and environment, or only says what would go. The reader's copies, what their cells wrote, the history and fetched
/// models stay.
///
/// # Errors
/// A folder cannot be removed.
pub fn clean(paths: &Paths, dry: bool) -> Result<(), Failure> {
    if paths.is_shared() {
        let what = format!("{} belongs to another user, and others work in it", paths.root.display());
        return Err(Failure::new(what, "its owner can type: cargo lab clean"));
    }
    let mut freed = 0;
    for path in made(paths)? {
        let bytes = size(&path);
        println!("{:9.1} MB  {}", bytes as f64 / 1e6, path.display());
        if !dry {
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(|error| Failure::new(format!("{}: {error}", path.display()), "close JupyterLab, then: cargo lab clean"))?;
        }
        freed += bytes;
    }
    let gigabytes = freed as f64 / 1e9;
    match dry {
        true => println!("{gigabytes:.1} GB would be freed; your copies in {} and fetched models stay", paths.work.display()),
        false => println!(
            "{gigabytes:.1} GB freed. The next `cargo lab` makes it all again, which needs the network and takes as long as the first."
        ),
    }
    Ok(())
}

/// The folder of cargo's builds that this program lies in, and what set-up made.
fn made(paths: &Paths) -> Result<Vec<PathBuf>, Failure> {
    let library = companion::find(&paths.root, wants_cuda())?.library;
    // TARGET/PROFILE/companion/LIBRARY
    let target = library.ancestors().nth(3).filter(|folder| is_of_cargo(folder)).map(Path::to_path_buf);
    let own = std::fs::read_dir(&paths.lab).into_iter().flatten().flatten();
    let own = own.filter(|entry| entry.file_name().to_str().is_some_and(|name| MADE.iter().any(|start| name.starts_with(start))));
    let mut made: Vec<PathBuf> = target.into_iter().chain(own.map(|entry| entry.path())).collect();
    made.sort();
    Ok(made)
}

/// Whether cargo marked a folder as one that may be removed.
fn is_of_cargo(folder: &Path) -> bool {
    folder.join("CACHEDIR.TAG").is_file()
}
