//! `cargo lab kernel install | uninstall | list`: the kernel, offered to every Jupyter front end of this machine.
//!
//! In: where to and under which name. Out: a kernelspec folder (`kernel.json` and logos) that starts this program, for
//! JupyterLab, Notebook, VS Code, nbclient, papermill and the console alike, and a package by which papermill can write
//! parameters in Rust. Only specs of this program are replaced or removed.

use std::path::{Path, PathBuf};

use notebooks::ipynb::{KERNEL_DISPLAY_NAME, KERNEL_NAME};

use crate::kernel::prepare::companion::wants_cuda;
use crate::lab::failure::Failure;
use crate::lab::machine::companion;
use crate::lab::machine::kernelspec::{self, is_ours, read};
use crate::lab::machine::papermill;
use crate::lab::paths::Paths;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Install { to: Option<PathBuf>, name: Option<String>, cuda: bool },
    Uninstall { from: Option<PathBuf>, name: Option<String>, cuda: bool },
    List,
}

/// Jupyter allows letters, digits, `-`, `.` and `_` in the name of a kernel.
///
/// # Errors
/// What is wrong with the name.
pub fn valid_name(name: &str) -> Result<String, String> {
    let valid = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
    match !name.is_empty() && name != "." && name != ".." && name.chars().all(valid) {
        true => Ok(name.to_string()),
        false => Err(format!("{name:?} cannot name a kernel: only letters, digits, - . and _")),
    }
}

/// Does what is asked for.
pub fn run(paths: &Paths, request: Request) -> Result<(), Failure> {
    match request {
        Request::Install { to, name, cuda } => {
            let (kernels, offers) = (kernels_folder(to.as_deref())?, offers(name, cuda));
            check_folders(&kernels, &offers)?;
            companion::build(&paths.root, cuda || wants_cuda())?;
            for (name, display_name) in &offers {
                let folder = kernels.join(name);
                kernelspec::write(&folder, display_name, cuda)?;
                println!("installed: {}", folder.display());
            }
            for prefix in pythons(to.as_deref()) {
                papermill::write(&prefix)?.iter().for_each(|module| println!("installed: {} (for papermill)", module.display()));
            }
        }
        Request::Uninstall { from, name, cuda } => {
            let kernels = kernels_folder(from.as_deref())?;
            for folder in remove(&kernels, &offers(name, cuda))? {
                println!("removed: {}", folder.display());
            }
            // One that stays needs it.
            if found(&[kernels.parent().unwrap_or(&kernels).into()]).is_empty() {
                for module in pythons(from.as_deref()).iter().flat_map(|prefix| papermill::remove(prefix)) {
                    println!("removed: {}", module.display());
                }
            }
        }
        Request::List => {
            let found = found(&data_folders(paths));
            found.iter().for_each(|line| println!("{line}"));
            if found.is_empty() {
                println!("none is installed\nto install one: cargo lab kernel install");
            }
        }
    }
    Ok(())
}

/// The names and display names of a kernel: what Rust notebooks ask for, and what the lessons ask for.
fn offers(name: Option<String>, cuda: bool) -> Vec<(String, &'static str)> {
    match (name, cuda) {
        (Some(name), _) if name == KERNEL_NAME => vec![(name, KERNEL_DISPLAY_NAME)],
        (Some(name), false) => vec![(name, "Rust")],
        (name, true) => vec![(name.unwrap_or_else(|| "rust-cuda".into()), "Rust (CUDA)")],
        (None, false) => vec![("rust".into(), "Rust"), (KERNEL_NAME.into(), KERNEL_DISPLAY_NAME)],
    }
}

/// The folder of all specs: in the user's own Jupyter folder, or under a prefix.
fn kernels_folder(prefix: Option<&Path>) -> Result<PathBuf, Failure> {
    let data = match prefix {
        Some(prefix) => std::path::absolute(prefix).map_err(|error| format!("{}: {error}", prefix.display()))?.join("share/jupyter"),
        None => user_data()
            .ok_or_else(|| Failure::new("there is no home folder to install into", "cargo lab kernel install --prefix FOLDER"))?,
    };
    Ok(data.join("kernels"))
}

/// Where the Pythons live whose papermill is to know Rust: under the prefix, or that of this user and that of the terminal.
fn pythons(prefix: Option<&Path>) -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    match prefix {
        Some(prefix) => vec![prefix.into()],
        None => [variable("HOME").map(|home| home.join(".local")), variable("VIRTUAL_ENV")].into_iter().flatten().collect(),
    }
}

/// Jupyter's data folder of this user, as jupyter_core finds it.
fn user_data() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("JUPYTER_DATA_DIR") {
        return Some(folder);
    }
    let home = variable("HOME")?;
    Some(match cfg!(target_os = "macos") {
        true => home.join("Library/Jupyter"),
        false => variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")).join("jupyter"),
    })
}

/// Refuses folders that hold something else, before anything is written or removed.
fn check_folders(kernels: &Path, offers: &[(String, &str)]) -> Result<(), Failure> {
    for (name, shown) in offers {
        let folder = kernels.join(name);
        let other = if name == "rust" { KERNEL_NAME.to_string() } else { format!("{name}-2") };
        let cuda = if shown.contains("CUDA") { " --cuda" } else { "" };
        if folder.symlink_metadata().is_ok() && read(&folder).is_none_or(|spec| !is_ours(&spec)) {
            return Err(Failure::new(
                format!("{} belongs to another kernel, which stays as it is", folder.display()),
                format!("cargo lab kernel install{cuda} --name {other}"),
            ));
        }
    }
    Ok(())
}

/// Removes those that are there, and says which.
fn remove(kernels: &Path, offers: &[(String, &str)]) -> Result<Vec<PathBuf>, Failure> {
    let there = || offers.iter().map(|(name, _)| kernels.join(name)).filter(|folder| folder.symlink_metadata().is_ok());
    let ours: Vec<PathBuf> = there().filter(|folder| read(folder).is_some_and(|spec| is_ours(&spec))).collect();
    if ours.is_empty() {
        let what = match there().next() {
            Some(folder) => format!("{} belongs to another kernel, which stays as it is", folder.display()),
            None => format!("there is no kernel in {}", kernels.join(&offers[0].0).display()),
        };
        return Err(Failure::new(what, "cargo lab kernel list"));
    }
    for folder in &ours {
        std::fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(ours)
}

/// Where Jupyter looks for specs, and this repository's own environment.
fn data_folders(paths: &Paths) -> Vec<PathBuf> {
    let mut data: Vec<PathBuf> = std::env::var_os("JUPYTER_PATH").iter().flat_map(std::env::split_paths).collect();
    data.extend(user_data());
    data.push(paths.lab.join("venv/share/jupyter"));
    data.extend(std::env::var_os("VIRTUAL_ENV").map(|folder| PathBuf::from(folder).join("share/jupyter")));
    data.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
    data
}

/// A line for every spec of this program: its name, the name that is shown, its folder.
fn found(data: &[PathBuf]) -> Vec<String> {
    let mut lines = Vec::new();
    for folder in data.iter().flat_map(|data| std::fs::read_dir(data.join("kernels"))).flatten().flatten() {
        let Some(spec) = read(&folder.path()).filter(is_ours) else { continue };
        let program = spec["argv"][0].as_str().unwrap_or_default();
        let state = if Path::new(program).exists() { "" } else { "  (its program is gone: cargo lab kernel install)" };
        let (name, shown) = (folder.file_name(), spec["display_name"].as_str().unwrap_or_default());
        lines.push(format!("{:18} {shown:18} {}{state}", name.to_string_lossy(), folder.path().display()));
    }
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;
    use crate::kernel::prepare::companion::CUDA;
    use crate::kernel::prepare::path::RUSTC_FOLDER;
    use crate::lab::machine::kernelspec::{LOGOS, is_written, write};

    /// A folder in which kernels are installed.
    fn prefix() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let kernels = kernels_folder(Some(folder.path())).ok().unwrap();
        std::fs::create_dir_all(&kernels).unwrap();
        (folder, kernels)
    }

    #[test]
    fn the_name_that_lessons_ask_for_is_offered() {
        let asked = notebooks::Notebook::new(Vec::new()).metadata["kernelspec"].clone();
        let offers = offers(None, false);
        assert_eq!(offers, [("rust".into(), "Rust"), ("rust-finetuning".into(), "Rust (finetuning)")]);
        assert!(offers.iter().any(|(name, shown)| asked["name"] == name.as_str() && asked["display_name"] == *shown));
    }

    #[test]
    fn a_spec_has_logos_the_folder_of_rustc_and_for_cuda_its_switch() {
        let (folder, kernels) = prefix();
        for cuda in [false, true] {
            for (name, shown) in offers(None, cuda) {
                let place = kernels.join(&name);
                assert!(!is_written(&place, shown, cuda));
                write(&place, shown, cuda).ok().unwrap();
                assert!(is_written(&place, shown, cuda));
                let spec = read(&place).unwrap();
                let rust = Path::new(spec["env"][RUSTC_FOLDER].as_str().unwrap());
                assert!(rust.is_absolute() && rust.join("rustc").exists(), "{}", rust.display());
                assert_eq!(spec["env"][CUDA], if cuda { json!("1") } else { Value::Null });
                assert_eq!(spec["display_name"], shown);
                std::fs::remove_file(place.join(LOGOS[0].0)).unwrap();
                assert!(!is_written(&place, shown, cuda), "a logo is missing");
            }
        }
        let lines = found(&[folder.path().join("share/jupyter"), "/no-such".into()]);
        let starts: Vec<&str> = lines.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(starts, ["rust", "rust-cuda", "rust-finetuning"], "{lines:?}");
        assert!(lines[1].contains("Rust (CUDA)") && lines[1].ends_with("share/jupyter/kernels/rust-cuda"), "{lines:?}");
        assert_eq!(remove(&kernels, &offers(None, true)).ok().unwrap(), [kernels.join("rust-cuda")]);
        assert_eq!(remove(&kernels, &offers(None, false)).ok().unwrap().len(), 2);
        let words = remove(&kernels, &offers(None, false)).unwrap_err().to_string();
        assert!(words.starts_with("error: there is no kernel in ") && words.ends_with("fix:   cargo lab kernel list"), "{words}");
        assert_eq!(std::fs::read_dir(kernels).unwrap().count(), 0, "nothing half written is left");
    }

    #[test]
    fn another_kernel_is_neither_replaced_nor_removed() {
        let (folder, kernels) = prefix();
        let theirs = kernels.join("rust");
        std::fs::create_dir_all(&theirs).unwrap();
        for content in ["{\"argv\": [\"evcxr_jupyter\"], \"metadata\": {}}", "no JSON"] {
            std::fs::write(theirs.join("kernel.json"), content).unwrap();
            let words = check_folders(&kernels, &offers(None, false)).unwrap_err().to_string();
            assert!(words.contains("belongs to another kernel") && words.ends_with("install --name rust-finetuning"), "{words}");
            assert!(remove(&kernels, &offers(None, false)).is_err());
            assert!(found(&[folder.path().join("share/jupyter")]).is_empty());
            assert_eq!(std::fs::read_to_string(theirs.join("kernel.json")).unwrap(), content);
        }
        // A folder without a spec, or a link to nowhere, is not ours either.
        let link = kernels.join("link");
        std::os::unix::fs::symlink("/no-such", &link).unwrap();
        assert!(check_folders(&kernels, &offers(Some("link".into()), false)).is_err());
        // Ours beside it goes, theirs stays.
        write(&kernels.join(KERNEL_NAME), KERNEL_DISPLAY_NAME, false).ok().unwrap();
        assert_eq!(remove(&kernels, &offers(None, false)).ok().unwrap(), [kernels.join(KERNEL_NAME)]);
        assert!(theirs.exists());
    }
}
