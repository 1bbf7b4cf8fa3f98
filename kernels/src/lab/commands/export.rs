//! `cargo lab export`: a notebook → a cargo project that prints the same, already built.
//!
//! In: a notebook or the number of a lesson. Out: a folder with `Cargo.toml`, `Cargo.lock`, `README.md`, `src/main.rs` and the files that
//! the cells read; it appears whole or not at all. Then cargo builds it with the companion that set-up has made, in seconds.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use notebooks::{Notebook, course};

use crate::kernel::prepare::companion::{cargo, find as companion, wants_cuda};
use crate::kernel::prepare::fresh;
use crate::lab::failure::Failure;
use crate::lab::machine::companion as made;
use crate::lab::machine::steps::say;
use crate::lab::paths::Paths;
use crate::lab::project::files::{self, Files};
use crate::lab::project::manifest::{self, crate_name};
use crate::lab::project::program::{Program, program};
use crate::lab::project::seed::seed;
use crate::lab::project::served;
use crate::lab::repository::{self, Repository};
use crate::spawn;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub notebook: String,
    pub folder: Option<PathBuf>,
    /// The companion from its folder here, and not from its repository.
    pub path: bool,
    /// Whether to build the project, too.
    pub build: bool,
}

/// Where the files lie that the cells read, in the project.
const FILES: &str = "files";
const MANIFEST: &str = "Cargo.toml";

/// A project before it is written.
struct Project {
    name: String,
    /// The file name of the notebook.
    notebook: String,
    home: PathBuf,
    program: Program,
    files: Files,
    repository: Option<Repository>,
}

/// Writes the project of a notebook into a folder, by default one beside the current place with the notebook's name, and builds it.
pub fn export(paths: &Paths, request: &Request) -> Result<(), Failure> {
    let file = find(paths, &request.notebook)?;
    let cells = Notebook::open(&file)?.cells;
    let name = crate_name(&file);
    let folder = free(request.folder.as_deref().unwrap_or(Path::new(&name)))?;
    let home = file.canonicalize().ok().and_then(|file| file.parent().map(Path::to_path_buf)).unwrap_or_default();
    let notebook = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let wrong = |error: String| Failure::new(format!("{}: {error}", file.display()), "mend the cell, then export again");
    let files = files::named(&cells, &home);
    let title = format!("The notebook `{notebook}` as a program.");
    let program = program(&title, &cells, (!files.taken.is_empty()).then_some(FILES)).map_err(wrong)?;
    let repository = if request.path { None } else { repository::of(&paths.root) };
    let project = Project { name, notebook, home, program, files, repository };
    project.write(paths, &folder).map_err(|error| match error {
        Wrong::Cell(error) => wrong(error),
        Wrong::Disk(error) => format!("{}: {error}", folder.display()).into(),
    })?;
    println!("written: {}", folder.display());
    for left in &project.files.left {
        println!("{} is large and stays where it is: put it into {}", left.display(), folder.join(FILES).display());
    }
    if project.uses_companion() && project.repository.is_none() && !request.path {
        println!("this copy of the companion has no repository that others reach: {MANIFEST} names its folder here");
    }
    if request.build && project.uses_companion() {
        build(paths, &folder)?;
    }
    println!("to run it: cargo run --manifest-path {}", folder.join(MANIFEST).display());
    Ok(())
}

/// The place of the project; refused when something is there.
fn free(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |folder: &Path, error: std::io::Error| format!("{}: {error}", folder.display());
    let folder = std::path::absolute(folder).map_err(|error| failed(folder, error))?;
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        return Err(Failure::new(
            format!("{} is there already, and stays as it is", folder.display()),
            "name another folder behind the notebook",
        ));
    }
    let parent = folder.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
    Ok(parent.canonicalize().map_err(|error| failed(parent, error))?.join(folder.file_name().unwrap_or_default()))
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

/// Why a project is not written.
enum Wrong {
    Cell(String),
    Disk(std::io::Error),
}

impl From<std::io::Error> for Wrong {
    fn from(error: std::io::Error) -> Wrong {
        Wrong::Disk(error)
    }
}

impl Project {
    fn uses_companion(&self) -> bool {
        self.program.text.contains("finetuning")
    }

    /// What the notebook asks for, and what the kernel gives to every cell.
    fn dependencies(&self, companion: manifest::Dependency) -> Result<Vec<manifest::Dependency>, String> {
        let mut found = manifest::dependencies(&self.program.dependencies, &self.home)?;
        let lacks = |found: &[manifest::Dependency], name: &str| !found.iter().any(|(known, _)| known == name);
        if self.uses_companion() && lacks(&found, "finetuning") {
            found.push(companion);
        }
        if self.program.waits && lacks(&found, "tokio") {
            found.push(manifest::on_version("tokio", "1", &["full"]));
        }
        Ok(found)
    }

    /// Writes the project, whole or not at all.
    fn write(&self, paths: &Paths, folder: &Path) -> Result<(), Wrong> {
        let library = paths.root.join("lib");
        let fresh = fresh::beside(folder)?;
        let place = |name: &str| fresh.path().join(name);
        std::fs::create_dir(place("src"))?;
        std::fs::write(place("src/main.rs"), &self.program.text)?;
        std::fs::write(place("README.md"), self.readme())?;
        std::fs::write(place(".gitignore"), "/target\n/.cargo\n")?;
        for file in &self.files.taken {
            let to = place(FILES).join(file);
            std::fs::create_dir_all(to.parent().unwrap_or(fresh.path()))?;
            std::fs::copy(self.home.join(file), to)?;
        }
        let local = self.dependencies(manifest::on_folder("finetuning", &library)).map_err(Wrong::Cell)?;
        let text = |wishes: &[manifest::Dependency], packages: &HashSet<String>| {
            manifest::manifest(&self.name, wishes, packages, &self.home, folder)
        };
        let mut packages = HashSet::new();
        if self.uses_companion() {
            // cargo says what belongs to it, from the folder and without a network.
            std::fs::copy(paths.root.join("Cargo.lock"), place("Cargo.lock"))?;
            std::fs::write(place(MANIFEST), text(&local, &packages))?;
            resolve(fresh.path());
            packages = manifest::locked(&std::fs::read_to_string(place("Cargo.lock"))?);
        }
        match self.repository.as_ref().filter(|_| self.uses_companion()) {
            None => std::fs::write(place(MANIFEST), text(&local, &packages))?,
            Some(Repository { address, commit }) => {
                let wishes = self.dependencies(manifest::on_repository("finetuning", address, commit.as_deref())).map_err(Wrong::Cell)?;
                std::fs::write(place(MANIFEST), text(&wishes, &packages))?;
                std::fs::create_dir(place(".cargo"))?;
                std::fs::write(place(".cargo/config.toml"), manifest::patch(address, "finetuning", &library))?;
            }
        }
        // Indents the program where rustfmt is installed; without it the program is the same.
        spawn::succeeds(Command::new("rustfmt").args(["--edition", "2024"]).arg(place("src/main.rs")));
        Ok(fresh::place(fresh, folder)?)
    }

    /// What to type, for whoever gets the project.
    fn readme(&self) -> String {
        let mut text = format!(
            "# {}\n\nThe notebook `{}` as a program. It prints what the notebook printed.\n\n```sh\ncargo run\n```\n\n\
             From another folder: `cargo run --manifest-path FOLDER/Cargo.toml`. The profile in `Cargo.toml` optimizes as the notebook\n\
             does; `--release` is not needed.\n",
            self.name, self.notebook
        );
        if !self.files.taken.is_empty() {
            text += &format!("\nThe files that the cells read lie in `{FILES}`; what the program writes goes there, too.\n");
        }
        if !self.uses_companion() {
            return text;
        }
        text += "\nModels that the notebook calls `builtin:smol` and `builtin:encoder` have to be in the user's cache: `cargo lab setup` of the\n\
                 course fetches them.\n";
        text += match &self.repository {
            Some(_) => {
                "\nThe companion crate `finetuning` comes from its repository. On the machine of the export, `.cargo/config.toml` takes it from\n\
                 the folder of the course instead, where it is built: leave `.cargo` and `target` behind when you hand the project on. The\n\
                 first build on another machine compiles the companion, about ten minutes on two cores.\n"
            }
            None => {
                "\nThe companion crate `finetuning` is taken from a folder of this machine. To hand the project on, replace its line in\n\
                 `Cargo.toml` by the companion's repository: `finetuning = { git = \"ADDRESS\" }`.\n"
            }
        };
        text
    }
}

/// Makes cargo leave in the lock file what the project needs; without it the first build does.
fn resolve(project: &Path) {
    spawn::succeeds(cargo().args(["metadata", "--format-version=1", "--offline"]).current_dir(project));
}

/// Builds a project with what set-up has built: cargo finds all crates made, and compiles the program alone.
fn build(paths: &Paths, project: &Path) -> Result<(), Failure> {
    let library = companion(&paths.root, wants_cuda())?.library;
    let Some(folder) = library.ancestors().nth(2).filter(|folder| folder.join("libfinetuning.rlib").exists()) else {
        say("the companion is not built here: the first `cargo run` compiles it, about ten minutes on two cores");
        return Ok(());
    };
    made::build(&paths.root, wants_cuda())?;
    let mut cargo = cargo();
    cargo.arg("build").current_dir(project);
    // Where all projects of this user are built in the folder of this one, all is there already.
    let shared = std::env::var_os("CARGO_TARGET_DIR").and_then(|target| Path::new(&target).canonicalize().ok());
    if shared.is_none() || shared != folder.parent().and_then(|target| target.canonicalize().ok()) {
        let lock = std::fs::read_to_string(project.join("Cargo.lock")).unwrap_or_default();
        seed(folder, &project.join("target"), &manifest::fetched(&lock))
            .map_err(|error| Failure::new(format!("{}: {error}", project.join("target").display()), "df -h . && cargo lab doctor"))?;
        cargo.args(["--target-dir", "target"]);
    }
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    cargo.env("RUSTC_WRAPPER", program).env(served::BUILT, folder).env(served::ROOT, &paths.root);
    spawn::run(&mut cargo, "the project is written, but cargo could not build it")
        .map_err(|what| Failure::new(what, format!("cargo run --manifest-path {}", project.join(MANIFEST).display())))
}
