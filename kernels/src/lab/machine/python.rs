//! A Python of this machine → the environment `.lab/venv` with JupyterLab in it.
//!
//! A stamp, written last, names the Python and the packages; an environment with another stamp is made again.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::failure::Failure;
use crate::lab::machine::resources;
use crate::lab::machine::steps::{Done, say};
use crate::lab::paths::Paths;
use crate::spawn;
use crate::system::machine;

/// The packages, with their exact versions.
const REQUIREMENTS: &str = include_str!("../../../assets/requirements.txt");
/// The packages as files, in `.lab`, where a bundle brought them.
const WHEELS: &str = "wheels";
/// The oldest Python that JupyterLab of that version runs on.
const OLDEST: (u32, u32) = (3, 9);
const INSTALL_PYTHON: &str = if cfg!(target_os = "macos") { "brew install python" } else { "sudo apt install python3 python3-venv" };
const INSTALL_VENV: &str = if cfg!(target_os = "macos") { "brew reinstall python" } else { "sudo apt install python3-venv" };

/// A Python program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    pub program: PathBuf,
    pub version: (u32, u32),
    /// Whether it can make an environment with pip.
    pub venv: bool,
}

/// The Python inside the environment.
pub fn venv_python(paths: &Paths) -> PathBuf {
    paths.lab.join("venv/bin/python")
}

/// The first Python on PATH that is new enough and can make environments; failing that, what is wrong with the best one.
pub fn find() -> Result<Python, Failure> {
    let names =
        ["python3".to_string(), "python".to_string()].into_iter().chain((OLDEST.1..=14).rev().map(|minor| format!("python3.{minor}")));
    let found: Vec<Python> = names.filter_map(|name| ask(Path::new(&name))).collect();
    choose(&found)
}

fn choose(found: &[Python]) -> Result<Python, Failure> {
    let new: Vec<&Python> = found.iter().filter(|python| python.version >= OLDEST).collect();
    if let Some(python) = new.iter().find(|python| python.venv) {
        return Ok((*python).clone());
    }
    let name = |version: (u32, u32)| format!("Python {}.{}", version.0, version.1);
    Err(match (new.first(), found.iter().max_by_key(|python| python.version)) {
        (Some(python), _) => Failure::new(format!("{} has no venv module", name(python.version)), INSTALL_VENV),
        (None, Some(python)) => {
            Failure::new(format!("{} is too old: JupyterLab needs {} or later", name(python.version), name(OLDEST)), INSTALL_PYTHON)
        }
        (None, None) => Failure::new(format!("there is no Python on PATH: JupyterLab needs {} or later", name(OLDEST)), INSTALL_PYTHON),
    })
}

/// Version and abilities of a program; `None` when it is no Python that runs.
fn ask(program: &Path) -> Option<Python> {
    let script = "import sys, importlib.util as u\nprint(sys.version_info[0], sys.version_info[1], int(all(u.find_spec(m) for m in ('venv', 'ensurepip'))), sys.executable)";
    let text = spawn::output(Command::new(program).args(["-c", script]), "no Python").ok()?;
    let mut words = text.trim().splitn(4, ' ');
    let mut number = || words.next()?.parse().ok();
    let (major, minor, venv) = (number()?, number()?, number()?);
    Some(Python { program: words.next()?.into(), version: (major, minor), venv: venv == 1 })
}

/// Whether the environment is there and as it should be.
pub fn is_fresh(paths: &Paths) -> bool {
    let stamp = std::fs::read_to_string(stamp_file(paths)).unwrap_or_default();
    stamp == stamp_text(paths) && spawn::succeeds(Command::new(venv_python(paths)).arg("--version"))
}

fn stamp_file(paths: &Paths) -> PathBuf {
    paths.lab.join("venv.stamp")
}

/// The folder is a part of it: an environment that was moved does not work.
fn stamp_text(paths: &Paths) -> String {
    format!("{}\n{REQUIREMENTS}", paths.lab.display())
}

/// Makes the environment where it is missing or not up to date.
pub fn prepare(paths: &Paths) -> Result<Done, Failure> {
    if is_fresh(paths) {
        return Ok(Done::Fresh);
    }
    let python = find()?;
    resources::check_disk(machine::free_disk(&paths.root))?;
    let venv = paths.lab.join("venv");
    let _ = std::fs::remove_file(stamp_file(paths));
    let log = paths.lab.join("pip.log");
    say(&format!("installing JupyterLab with Python {}.{} in .lab/venv", python.version.0, python.version.1));
    let made = logged(Command::new(&python.program).args(["-m", "venv", "--clear"]).arg(&venv), &log)?;
    if let Err(words) = made {
        let fix = if words.contains("ensurepip") { INSTALL_VENV.to_string() } else { "rm -rf .lab/venv && cargo lab".into() };
        return Err(Failure::new(format!("Python could not make the environment: {}", last_line(&words)), fix));
    }
    let mut pip = pip(paths, "install")?;
    let wheels = paths.lab.join(WHEELS);
    if wheels.is_dir() {
        // Python compiles what it imports when it does; all at once takes as long as the rest.
        pip.args(["--no-compile", "--no-index", "--find-links"]).arg(wheels);
    }
    if let Err(words) = logged(&mut pip, &log)? {
        return Err(pip_failure(&words));
    }
    std::fs::write(stamp_file(paths), stamp_text(paths)).map_err(|error| format!("{}: {error}", stamp_file(paths).display()))?;
    Ok(Done::Made("installed".into()))
}

/// Fetches the packages as files into a folder, for a machine without a network; the version of Python that they are for.
pub fn wheelhouse(paths: &Paths, folder: &Path) -> Result<String, Failure> {
    let mut pip = pip(paths, "download")?;
    pip.arg("--dest").arg(folder);
    if let Err(words) = logged(&mut pip, &paths.lab.join("pip.log"))? {
        return Err(pip_failure(&words));
    }
    let (major, minor) =
        ask(&venv_python(paths)).ok_or_else(|| Failure::new("the environment's Python does not run", "cargo lab setup"))?.version;
    Ok(format!("{major}.{minor}"))
}

/// pip of the environment, on all packages.
fn pip(paths: &Paths, verb: &str) -> Result<Command, Failure> {
    let requirements = paths.lab.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS).map_err(|error| format!("{}: {error}", requirements.display()))?;
    let mut pip = Command::new(venv_python(paths));
    let words =
        ["--disable-pip-version-check", "--no-input", "--prefer-binary", "--retries", "2", "--progress-bar", "off", "--requirement"];
    pip.args(["-m", "pip", verb]).args(words).arg(&requirements);
    Ok(pip)
}

/// Keeps the user's settings for other Pythons away from a command.
pub fn own_packages_only(command: &mut Command) {
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").env("PIP_USER", "0").env("PYTHONNOUSERSITE", "1");
}

/// Runs a command with its output in a file; the inner error is that output.
fn logged(command: &mut Command, log: &Path) -> Result<Result<(), String>, Failure> {
    own_packages_only(command);
    let command = spawn::log_into(command, log).map_err(|error| Failure::from(format!("{}: {error}", log.display())))?;
    let status = command.status().map_err(|error| Failure::from(format!("{}: {error}", command.get_program().display())))?;
    if status.success() { Ok(Ok(())) } else { Ok(Err(String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned())) }
}

/// What pip's output means for the user.
fn pip_failure(output: &str) -> Failure {
    if output.contains("No space left on device") {
        return Failure::new("the disk is full", "free some space, then: cargo lab");
    }
    if is_network_failure(output) {
        return Failure::new(
            "pip did not reach the package index; the first set-up needs the network",
            "connect to the network, then: cargo lab",
        );
    }
    let line = output.lines().rev().find(|line| line.starts_with("ERROR")).unwrap_or_else(|| last_line(output));
    Failure::new(format!("pip could not install JupyterLab: {line}"), "read .lab/pip.log, then: cargo lab")
}

/// Whether pip failed because it did not reach the package index.
pub fn is_network_failure(output: &str) -> bool {
    let words = [
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ProxyError",
        "Failed to establish a new connection",
        "Temporary failure in name resolution",
        "Network is unreachable",
        "No matching distribution found",
        "Could not find a version",
    ];
    words.iter().any(|word| output.contains(word))
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use super::{Python, choose, pip_failure};

    fn python(minor: u32, venv: bool) -> Python {
        Python { program: format!("python3.{minor}").into(), version: (3, minor), venv }
    }

    #[test]
    fn the_first_python_that_can_do_it_is_taken() {
        assert_eq!(choose(&[python(8, true), python(11, false), python(10, true)]).unwrap(), python(10, true));
    }

    #[test]
    fn what_is_wrong_with_python_is_named_with_the_fix() {
        let failures: Vec<String> =
            [vec![], vec![python(8, true)], vec![python(11, false)]].iter().map(|found| choose(found).unwrap_err().to_string()).collect();
        assert!(
            failures[0].starts_with("error: there is no Python on PATH: JupyterLab needs Python 3.9 or later\nfix:   "),
            "{}",
            failures[0]
        );
        assert!(failures[1].starts_with("error: Python 3.8 is too old"), "{}", failures[1]);
        assert!(failures[2].starts_with("error: Python 3.11 has no venv module\nfix:   "), "{}", failures[2]);
    }

    #[test]
    fn a_missing_network_is_told_from_other_failures() {
        assert!(
            pip_failure("WARNING: Retrying after connection broken by 'NewConnectionError(...)'\nERROR: No matching distribution")
                .to_string()
                .contains("network")
        );
        assert!(pip_failure("ERROR: one\nmore").to_string().contains("ERROR: one"));
        assert!(pip_failure("OSError: [Errno 28] No space left on device").to_string().contains("disk is full"));
    }
}
