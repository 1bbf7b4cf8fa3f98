//! `cargo lab setup`: a fresh copy of the repository → everything ready for the lessons.

use std::path::PathBuf;
use std::process::Command;

use notebooks::course;
use notebooks::ipynb::KERNEL_DISPLAY_NAME;

use crate::kernel::prepare::companion::wants_cuda;
use crate::kernel::prepare::unpack::checksum;
use crate::lab::failure::Failure;
use crate::lab::machine::copies::{self, Copy};
use crate::lab::machine::steps::{Done, say, step};
use crate::lab::machine::turn::Turn;
use crate::lab::machine::{companion, jupyter, kernelspec, model, papermill, python, resources};
use crate::lab::paths::Paths;
use crate::spawn;

/// Sets everything up; `again` asks once more for the models that an earlier set-up could not fetch.
pub fn setup(paths: &Paths, again: bool) -> Result<(), Failure> {
    if paths.is_shared() {
        return join(paths);
    }
    resources::check_writable(paths)?;
    let _turn = Turn::wait(&paths.lab);
    // What may be missing on the machine comes before what takes long.
    step("Python environment", || python::prepare(paths))?;
    for model in model::fetched() {
        step(&model.title, || model.fetch(&python::venv_python(paths), again))?;
    }
    step("companion crate", || companion::build(&paths.root, wants_cuda()))?;
    step("kernel and settings", || configure(paths))?;
    step("outputs of the lessons", || trust(paths))?;
    step("your copies of the lessons", || copy(paths))
}

/// What is left to do for a user of a repository that its owner has set up and that only the owner can write to.
///
/// # Errors
/// It is not set up.
fn join(paths: &Paths) -> Result<(), Failure> {
    let missing = match () {
        () if !jupyter::is_offered(paths) => return resources::check_writable(paths),
        () if !companion::is_built(&paths.root) => Some("its companion crate is not built"),
        () if !python::is_fresh(paths) => Some("its Python does not run for you"),
        () => None,
    };
    if let Some(missing) = missing {
        let what = format!("{} is another user's, and {missing}", paths.root.display());
        return Err(Failure::new(what, "ask its owner for `cargo lab setup` with a Rust and a Python that all users may read"));
    }
    std::fs::create_dir_all(&paths.own).map_err(|error| copies::unwritable(&paths.own, &error))?;
    println!("ok  {} is shared and set up; yours is {}", paths.root.display(), paths.work.display());
    step("outputs of the lessons", || trust(paths))?;
    step("your copies of the lessons", || copy(paths))
}

/// The reader's copies follow the lessons; those that the reader changed stay, and are named.
fn copy(paths: &Paths) -> Result<Done, Failure> {
    let copies = copies::refresh(paths)?;
    let names =
        |what: Copy| -> Vec<&str> { copies.iter().filter(|(_, copy)| *copy == what).map(|(lesson, _)| lesson.name.as_str()).collect() };
    let (made, kept) = (names(Copy::Made), names(Copy::Kept));
    for name in &kept {
        say(&format!("{name} has changed, and so has your copy, which stays; to have the new one beside it: cargo lab reset {name}"));
    }
    for name in names(Copy::Unreadable) {
        say(&format!(
            "your copy of {name} is no notebook any more and stays as it is; to have the lesson beside it: cargo lab reset {name}"
        ));
    }
    Ok(if made.is_empty() { Done::Fresh } else { Done::Made(format!("{} made in {}", made.len(), paths.work.display())) })
}

fn configure(paths: &Paths) -> Result<Done, Failure> {
    if jupyter::is_installed(paths) {
        return Ok(Done::Fresh);
    }
    kernelspec::write(&jupyter::kernelspec_folder(paths), KERNEL_DISPLAY_NAME, false)?;
    papermill::write(&paths.lab.join("venv"))?;
    let path = jupyter::settings_file(paths);
    let write = std::fs::create_dir_all(path.parent().expect("a file in a folder"))
        .and_then(|()| std::fs::write(&path, format!("{:#}\n", jupyter::settings())));
    write.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Done::Made("installed".into()))
}

/// Signs the lessons as they are, so that JupyterLab shows their pictures before a cell was run.
///
/// # Errors
/// None: unsigned, a lesson shows the text twins of its pictures until it is run.
fn trust(paths: &Paths) -> Result<Done, Failure> {
    let lessons: Vec<PathBuf> =
        course::lessons(&paths.notebooks)?.into_iter().map(|lesson| lesson.notebook).filter(|file| file.exists()).collect();
    let bytes: Vec<u8> = lessons.iter().flat_map(|file| std::fs::read(file).unwrap_or_default()).collect();
    let (stamp, text) = (paths.own.join("jupyter/signed.stamp"), format!("{:08x}", checksum(&bytes)));
    if std::fs::read_to_string(&stamp).is_ok_and(|old| old == text) {
        return Ok(Done::Fresh);
    }
    let mut command = Command::new(python::venv_python(paths));
    command.args(["-m", "jupyter", "trust"]).args(&lessons);
    jupyter::own_folders(&mut command, paths);
    python::own_packages_only(&mut command);
    if !spawn::succeeds(&mut command) {
        return Ok(Done::Made("not signed".into()));
    }
    let _ = std::fs::write(&stamp, text);
    Ok(Done::Made("signed".into()))
}
