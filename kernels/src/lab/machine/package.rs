//! A folder that is set up → the parts of a package that works on another machine with the same compiler: this program, the companion
//! with the types of its crates, their sources for type inference, the tree.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::kernel::prepare::companion::{self, NAME, cargo};
use crate::kernel::prepare::package::{Compiler, NOTE, Package, Source};
use crate::kernel::prepare::{analysis, unpack};
use crate::lab::failure::Failure;
use crate::lab::machine::archive::Part;
use crate::lab::machine::companion as made;
use crate::lab::machine::steps::{Done, step};
use crate::lab::paths::Paths;
use crate::spawn;

/// Where a package has its build, in its tree.
const BUILD: &str = "target/debug";

/// The build of a package in a folder of an archive; the companion is built first.
///
/// # Errors
/// Something cannot be built, or this program is a package itself.
pub fn build(paths: &Paths, folder: &str) -> Result<(Vec<Part>, Compiler), Failure> {
    let mut built = None;
    step("companion crate", || {
        let (parts, _) = built.insert(parts(paths, folder)?);
        Ok(Done::Made(format!("{} parts", parts.len())))
    })?;
    built.ok_or_else(|| Failure::from("the companion crate was not built".to_string()))
}

fn parts(paths: &Paths, folder: &str) -> Result<(Vec<Part>, Compiler), Failure> {
    if Package::own().is_some() {
        return Err(Failure::new(
            "this program belongs to a package and cannot make another",
            "clone the repository, then: cargo lab setup",
        ));
    }
    made::build(&paths.root, false)?;
    let found = companion::find(&paths.root, false)?;
    let target = found.library.ancestors().nth(3).unwrap_or(&paths.root);
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let place = |name: &str| format!("{folder}{BUILD}/{name}");
    let mut parts = vec![Part::file(place("lab"), program), Part::file(place(&format!("companion/{NAME}")), &found.library)];
    for file in types(&paths.root, target)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        parts.push(Part::file(place(&format!("deps/{name}")), &file));
    }
    let mut crates = Vec::new();
    for source in analysis::crates(&paths.root).unwrap_or_default() {
        let home = source.source.ancestors().find(|folder| folder.join("Cargo.toml").exists()).unwrap_or(&source.source).to_path_buf();
        let own = format!("crates/{}", source.name);
        for file in files(&home.join("src")) {
            parts.push(Part::file(place(&format!("{own}/{}", file.strip_prefix(&home).unwrap_or(&file).display())), &file));
        }
        let root = source.source.strip_prefix(&home).unwrap_or(&source.source);
        crates.push(Source { source: Path::new(&own).join(root), ..source.clone() });
    }
    let compiler = Compiler::installed()?;
    let note = Package { root: "../..".into(), compiler: compiler.clone(), crates };
    parts.push(Part::text(place(NOTE), serde_json::to_vec_pretty(&note).map_err(|error| error.to_string())?));
    Ok((parts, compiler))
}

/// The files in which rustc finds the types of the crates that the companion is made of, and their macros. Their code is in the library.
fn types(root: &Path, target: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut cargo = cargo();
    cargo.args(["build", "--lib", "--package", "finetuning", "--offline", "--message-format=json", "--target-dir"]).arg(target);
    let text = spawn::output(cargo.current_dir(root), "cargo does not say what the companion is made of")?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let names = messages.flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    let mut files: Vec<PathBuf> = names.filter_map(|name| name.as_str().map(PathBuf::from)).filter(|file| is_read_by_rustc(file)).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn is_read_by_rustc(file: &Path) -> bool {
    file.extension().is_some_and(|end| ["rmeta", "so", "dylib"].iter().any(|known| end == *known))
}

/// The tree of the repository: what git follows, else all but what is made. `only` says which.
pub fn tree(paths: &Paths, folder: &str, only: &dyn Fn(&str) -> bool) -> Vec<Part> {
    let listed = spawn::output(Command::new("git").arg("-C").arg(&paths.root).args(["ls-files", "-z"]), "git").unwrap_or_default();
    let mut names: Vec<String> = listed.split('\0').filter(|name| !name.is_empty()).map(str::to_string).collect();
    if names.is_empty() {
        let all = files(&paths.root).into_iter().filter_map(|file| Some(file.strip_prefix(&paths.root).ok()?.to_str()?.to_string()));
        names = all.filter(|name| !["target/", ".lab/", ".git/", "work/"].iter().any(|made| name.starts_with(made))).collect();
    }
    let files = names.iter().filter(|name| only(name)).map(|name| (name, paths.root.join(name)));
    files.filter(|(_, path)| path.is_file()).map(|(name, path)| Part::file(format!("{folder}{name}"), path)).collect()
}

/// All files below a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// What a tree is known by: a checksum of its lock file and the version.
pub fn version(paths: &Paths) -> String {
    let lock = std::fs::read(paths.root.join("Cargo.lock")).unwrap_or_default();
    format!("{}+{:08x}", env!("CARGO_PKG_VERSION"), unpack::checksum(&lock))
}
