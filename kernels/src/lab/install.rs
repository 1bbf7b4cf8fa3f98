//! `cargo lab kernel install | uninstall | list`: the kernel, offered to every Jupyter front end of this machine.
//!
//! In: where to and under which name. Out: a kernelspec folder (`kernel.json` and logos) that starts this program, for
//! JupyterLab, Notebook, VS Code, nbclient, papermill and the console alike. Only specs of this program are replaced or
//! removed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Failure, Places, companion};

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
        Request::Install { to, name, cuda } => install(places, &folder(to.as_deref(), name, cuda)?, cuda),
        Request::Uninstall { from, name, cuda } => uninstall(&folder(from.as_deref(), name, cuda)?),
        Request::List => {
            list(places);
            Ok(())
        }
    }
}

/// A kernelspec that starts this program.
pub fn spec(display_name: &str, cuda: bool) -> Result<Value, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::from(format!("the path of this program: {error}")))?;
    let environment = if cuda { json!({ crate::kernel::warm::CUDA: "1" }) } else { json!({}) };
    Ok(json!({
        "argv": [program, "kernel", "{connection_file}"], "display_name": display_name, "language": "rust", "interrupt_mode": "message",
        "env": environment, "metadata": { OURS: env!("CARGO_PKG_VERSION") },
    }))
}

/// The folder of a spec: in the user's own Jupyter folder, or under a prefix.
fn folder(prefix: Option<&Path>, name: Option<String>, cuda: bool) -> Result<PathBuf, Failure> {
    let data = match prefix {
        Some(prefix) => std::path::absolute(prefix).map_err(|error| format!("{}: {error}", prefix.display()))?.join("share/jupyter"),
        None => user_data()
            .ok_or_else(|| Failure::new("there is no home folder to install into", "cargo lab kernel install --prefix FOLDER"))?,
    };
    Ok(data.join("kernels").join(name.unwrap_or_else(|| if cuda { "rust-cuda" } else { "rust" }.into())))
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

fn install(places: &Places, folder: &Path, cuda: bool) -> Result<(), Failure> {
    if folder.exists() && read(folder).is_none_or(|spec| !is_ours(&spec)) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        return Err(Failure::new(
            format!("{} belongs to another kernel, which stays as it is", folder.display()),
            format!("cargo lab kernel install --name {name}-finetuning"),
        ));
    }
    if cuda {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(crate::kernel::warm::CUDA, "1") };
    }
    companion::build(&places.root)?;
    let content = format!("{:#}\n", spec(if cuda { "Rust (CUDA)" } else { "Rust" }, cuda)?);
    // Whole or not at all: made beside its place, then moved there.
    let fresh = folder.with_extension(format!("new-{}", std::process::id()));
    let written = std::fs::create_dir_all(&fresh)
        .and_then(|()| LOGOS.iter().try_for_each(|(name, bytes)| std::fs::write(fresh.join(name), bytes)))
        .and_then(|()| std::fs::write(fresh.join("kernel.json"), content))
        .and_then(|()| if folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) })
        .and_then(|()| std::fs::rename(&fresh, folder));
    if let Err(error) = written {
        let _ = std::fs::remove_dir_all(&fresh);
        return Err(Failure::new(format!("{}: {error}", folder.display()), "cargo lab kernel install --prefix FOLDER"));
    }
    println!("installed: {}", folder.display());
    Ok(())
}

fn uninstall(folder: &Path) -> Result<(), Failure> {
    match read(folder) {
        Some(spec) if is_ours(&spec) => {
            std::fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            println!("removed: {}", folder.display());
            Ok(())
        }
        Some(_) => {
            Err(Failure::new(format!("{} belongs to another kernel, which stays as it is", folder.display()), "cargo lab kernel list"))
        }
        None => Err(Failure::new(format!("there is no kernel in {}", folder.display()), "cargo lab kernel list")),
    }
}

/// Prints every spec of this program that Jupyter can find, and what it starts.
fn list(places: &Places) {
    let mut data: Vec<PathBuf> = std::env::var_os("JUPYTER_PATH").iter().flat_map(std::env::split_paths).collect();
    data.extend(user_data());
    data.push(places.lab.join("venv/share/jupyter"));
    data.extend(std::env::var_os("VIRTUAL_ENV").map(|folder| PathBuf::from(folder).join("share/jupyter")));
    data.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
    let mut found = 0;
    for folder in data.iter().flat_map(|data| std::fs::read_dir(data.join("kernels"))).flatten().flatten() {
        let Some(spec) = read(&folder.path()).filter(is_ours) else { continue };
        let program = spec["argv"][0].as_str().unwrap_or_default();
        let state = if Path::new(program).exists() { "" } else { "  (its program is gone: cargo lab kernel install)" };
        println!(
            "{:18} {:18} {}{state}",
            folder.file_name().to_string_lossy(),
            spec["display_name"].as_str().unwrap_or_default(),
            folder.path().display()
        );
        found += 1;
    }
    if found == 0 {
        println!("none is installed\nto install one: cargo lab kernel install");
    }
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
}
