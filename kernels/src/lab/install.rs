//! `cargo lab kernel install | uninstall | list`: the kernel, offered to every Jupyter front end of this machine.
//!
//! In: where to and under which name. Out: a kernelspec folder (`kernel.json` and logos) that starts this program, for
//! JupyterLab, Notebook, VS Code, nbclient, papermill and the console alike. Only specs of this program are replaced or
//! removed.

use std::path::{Path, PathBuf};

use notebooks::ipynb::{KERNEL_DISPLAY_NAME, KERNEL_NAME};
use serde_json::{Value, json};

use super::{Failure, Places, companion};
use crate::kernel::RUSTC_FOLDER;
use crate::kernel::warm;

const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-32x32.png", include_bytes!("../../assets/logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("../../assets/logo-64x64.png")),
    ("logo-svg.svg", include_bytes!("../../assets/logo-svg.svg")),
];
/// The field of a spec's metadata by which it is known as ours.
const OURS: &str = "finetuning";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Install { to: Option<PathBuf>, name: Option<String>, cuda: bool },
    Uninstall { from: Option<PathBuf>, name: Option<String>, cuda: bool },
    List,
}

/// Whether the word after `kernel` is one of these commands, not a connection file.
pub fn is_command(word: &str) -> bool {
    ["install", "uninstall", "list", "--help", "-h"].contains(&word)
}

/// The words after `kernel`; `None` asks for help.
pub fn parse(words: &[String]) -> Result<Option<Request>, Failure> {
    let wrong = |word: &str| Failure::new(format!("`{word}` is not understood here"), "cargo lab --help");
    let Some((command, rest)) = words.split_first() else {
        return Err(Failure::new("kernel wants to know what to do", "cargo lab kernel install"));
    };
    let (mut prefix, mut name, mut cuda, mut rest) = (None, None, false, rest.iter());
    while let Some(word) = rest.next() {
        let mut value = |what: &str| rest.next().cloned().ok_or_else(|| Failure::new(format!("{word} wants {what}"), "cargo lab --help"));
        match (word.as_str(), command.as_str()) {
            ("--help" | "-h", _) => return Ok(None),
            ("--user", "install" | "uninstall") => prefix = None,
            ("--prefix", "install" | "uninstall") => prefix = Some(PathBuf::from(value("a folder, such as that of a Python environment")?)),
            ("--name", "install" | "uninstall") => name = Some(valid_name(value("a name")?)?),
            ("--cuda", "install" | "uninstall") => cuda = true,
            (word, _) => return Err(wrong(word)),
        }
    }
    match command.as_str() {
        "install" => Ok(Some(Request::Install { to: prefix, name, cuda })),
        "uninstall" => Ok(Some(Request::Uninstall { from: prefix, name, cuda })),
        "list" => Ok(Some(Request::List)),
        "--help" | "-h" => Ok(None),
        other => Err(wrong(other)),
    }
}

/// Jupyter allows letters, digits, `-`, `.` and `_` in the name of a kernel.
fn valid_name(name: String) -> Result<String, Failure> {
    let valid = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
    match !name.is_empty() && name != "." && name != ".." && name.chars().all(valid) {
        true => Ok(name),
        false => Err(Failure::new(
            format!("{name:?} cannot name a kernel: only letters, digits, - . and _"),
            "cargo lab kernel install --name rust",
        )),
    }
}

/// Does what is asked for.
pub(super) fn run(places: &Places, request: Request) -> Result<(), Failure> {
    match request {
        Request::Install { to, name, cuda } => {
            let (kernels, offers) = (kernels_folder(to.as_deref())?, offers(name, cuda));
            check_places(&kernels, &offers)?;
            if cuda {
                // SAFETY: no other thread runs yet.
                unsafe { std::env::set_var(warm::CUDA, "1") };
            }
            companion::build(&places.root)?;
            for (name, display_name) in &offers {
                let folder = kernels.join(name);
                write(&folder, display_name, cuda)?;
                println!("installed: {}", folder.display());
            }
        }
        Request::Uninstall { from, name, cuda } => {
            for folder in remove(&kernels_folder(from.as_deref())?, &offers(name, cuda))? {
                println!("removed: {}", folder.display());
            }
        }
        Request::List => {
            let found = found(&data_folders(places));
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

/// A kernelspec that starts this program.
///
/// Front ends that no terminal started may lack the folder of rustc and cargo on PATH: the spec names it.
fn spec(display_name: &str, cuda: bool) -> Result<Value, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::from(format!("the path of this program: {error}")))?;
    let mut environment = serde_json::Map::new();
    if let Some(folder) = rust_folder() {
        environment.insert(RUSTC_FOLDER.into(), folder.to_string_lossy().into());
    }
    if cuda {
        environment.insert(warm::CUDA.into(), "1".into());
    }
    Ok(json!({
        "argv": [program, "kernel", "{connection_file}"], "display_name": display_name, "language": "rust", "interrupt_mode": "message",
        "env": environment, "metadata": { OURS: env!("CARGO_PKG_VERSION") },
    }))
}

/// The first folder of PATH with a rustc in it.
fn rust_folder() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.is_absolute() && folder.join("rustc").is_file())
}

/// Writes a spec and its logos, whole or not at all: made beside its place, then moved there.
pub(super) fn write(folder: &Path, display_name: &str, cuda: bool) -> Result<(), Failure> {
    let content = format!("{:#}\n", spec(display_name, cuda)?);
    let mut fresh = folder.as_os_str().to_owned();
    fresh.push(format!(".new-{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let written = std::fs::create_dir_all(&fresh)
        .and_then(|()| LOGOS.iter().try_for_each(|(name, bytes)| std::fs::write(fresh.join(name), bytes)))
        .and_then(|()| std::fs::write(fresh.join("kernel.json"), content))
        .and_then(|()| if folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) })
        .and_then(|()| std::fs::rename(&fresh, folder));
    written.map_err(|error| {
        let _ = std::fs::remove_dir_all(&fresh);
        Failure::new(format!("{}: {error}", folder.display()), "cargo lab kernel install --prefix FOLDER")
    })
}

/// Whether a spec and its logos are there and as `write` would make them.
pub(super) fn is_written(folder: &Path, display_name: &str, cuda: bool) -> bool {
    spec(display_name, cuda).is_ok_and(|spec| read(folder) == Some(spec))
        && LOGOS.iter().all(|(name, bytes)| std::fs::read(folder.join(name)).is_ok_and(|found| found == *bytes))
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

/// Refuses places that hold something else, before anything is written or removed.
fn check_places(kernels: &Path, offers: &[(String, &str)]) -> Result<(), Failure> {
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
fn data_folders(places: &Places) -> Vec<PathBuf> {
    let mut data: Vec<PathBuf> = std::env::var_os("JUPYTER_PATH").iter().flat_map(std::env::split_paths).collect();
    data.extend(user_data());
    data.push(places.lab.join("venv/share/jupyter"));
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

fn read(folder: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(folder.join("kernel.json")).ok()?).ok()
}

fn is_ours(spec: &Value) -> bool {
    spec["metadata"][OURS].is_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Option<Request>, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        parse(&words).map_err(|failure| failure.to_string())
    }

    #[test]
    fn every_command_is_understood() {
        assert_eq!(words("install --user"), Ok(Some(Request::Install { to: None, name: None, cuda: false })));
        let to = Some("/opt/py".into());
        assert_eq!(
            words("install --prefix /opt/py --name r.1 --cuda"),
            Ok(Some(Request::Install { to, name: Some("r.1".into()), cuda: true }))
        );
        assert_eq!(words("uninstall --name x"), Ok(Some(Request::Uninstall { from: None, name: Some("x".into()), cuda: false })));
        assert_eq!(words("list"), Ok(Some(Request::List)));
        assert_eq!(words("install --help"), Ok(None));
        for line in ["install --name ../x", "install --name", "install --prefix", "list --user", "instal", ""] {
            assert!(words(line).unwrap_err().contains("fix:   cargo lab"), "{line}");
        }
    }
    /// A folder, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("finetuning-install-{}-{name}", std::process::id()));
            std::fs::create_dir_all(folder.join("share/jupyter/kernels")).unwrap();
            Folder(folder)
        }

        fn kernels(&self) -> PathBuf {
            kernels_folder(Some(&self.0)).ok().unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_name_that_lessons_ask_for_is_offered() {
        let asked = notebooks::ipynb::metadata()["kernelspec"].clone();
        let offers = offers(None, false);
        assert_eq!(offers, [("rust".into(), "Rust"), ("rust-finetuning".into(), "Rust (finetuning)")]);
        assert!(offers.iter().any(|(name, shown)| asked["name"] == name.as_str() && asked["display_name"] == *shown));
    }

    #[test]
    fn a_spec_has_logos_the_folder_of_rustc_and_for_cuda_its_switch() {
        let folder = Folder::new("spec");
        for cuda in [false, true] {
            for (name, shown) in offers(None, cuda) {
                let place = folder.kernels().join(&name);
                assert!(!is_written(&place, shown, cuda));
                write(&place, shown, cuda).ok().unwrap();
                assert!(is_written(&place, shown, cuda));
                let spec = read(&place).unwrap();
                let rust = Path::new(spec["env"][RUSTC_FOLDER].as_str().unwrap());
                assert!(rust.is_absolute() && rust.join("rustc").exists(), "{}", rust.display());
                assert_eq!(spec["env"][warm::CUDA], if cuda { json!("1") } else { Value::Null });
                assert_eq!(spec["display_name"], shown);
                std::fs::remove_file(place.join(LOGOS[0].0)).unwrap();
                assert!(!is_written(&place, shown, cuda), "a logo is missing");
            }
        }
        let lines = found(&[folder.0.join("share/jupyter"), "/no-such".into()]);
        let starts: Vec<&str> = lines.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(starts, ["rust", "rust-cuda", "rust-finetuning"], "{lines:?}");
        assert!(lines[1].contains("Rust (CUDA)") && lines[1].ends_with("share/jupyter/kernels/rust-cuda"), "{lines:?}");
        assert_eq!(remove(&folder.kernels(), &offers(None, true)).ok().unwrap(), [folder.kernels().join("rust-cuda")]);
        assert_eq!(remove(&folder.kernels(), &offers(None, false)).ok().unwrap().len(), 2);
        let words = remove(&folder.kernels(), &offers(None, false)).unwrap_err().to_string();
        assert!(words.starts_with("error: there is no kernel in ") && words.ends_with("fix:   cargo lab kernel list"), "{words}");
        assert_eq!(std::fs::read_dir(folder.kernels()).unwrap().count(), 0, "nothing half written is left");
    }

    #[test]
    fn another_kernel_is_neither_replaced_nor_removed() {
        let folder = Folder::new("foreign");
        let theirs = folder.kernels().join("rust");
        std::fs::create_dir_all(&theirs).unwrap();
        for content in ["{\"argv\": [\"evcxr_jupyter\"], \"metadata\": {}}", "no JSON"] {
            std::fs::write(theirs.join("kernel.json"), content).unwrap();
            let words = check_places(&folder.kernels(), &offers(None, false)).unwrap_err().to_string();
            assert!(words.contains("belongs to another kernel") && words.ends_with("install --name rust-finetuning"), "{words}");
            assert!(remove(&folder.kernels(), &offers(None, false)).is_err());
            assert!(found(&[folder.0.join("share/jupyter")]).is_empty());
            assert_eq!(std::fs::read_to_string(theirs.join("kernel.json")).unwrap(), content);
        }
        // A folder without a spec, or a link to nowhere, is not ours either.
        let link = folder.kernels().join("link");
        std::os::unix::fs::symlink("/no-such", &link).unwrap();
        assert!(check_places(&folder.kernels(), &offers(Some("link".into()), false)).is_err());
        // Ours beside it goes, theirs stays.
        write(&folder.kernels().join(KERNEL_NAME), KERNEL_DISPLAY_NAME, false).ok().unwrap();
        assert_eq!(remove(&folder.kernels(), &offers(None, false)).ok().unwrap(), [folder.kernels().join(KERNEL_NAME)]);
        assert!(theirs.exists());
    }
}
