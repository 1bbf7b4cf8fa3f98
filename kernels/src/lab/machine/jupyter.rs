//! An environment with JupyterLab → a server of it on the lessons, that answers.
//!
//! Nothing outside the repository is written: kernelspec and settings lie in `.lab/venv`, Jupyter's own files in `.lab/jupyter`; a user
//! who shares somebody else's repository has these in a `.lab` of their own.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use notebooks::ipynb::{KERNEL_DISPLAY_NAME, KERNEL_NAME};
use serde_json::{Value, json};

use crate::lab::failure::Failure;
use crate::lab::machine::{kernelspec, papermill, python};
use crate::lab::paths::Paths;
use crate::spawn::{self, Running};
use crate::system::machine;

/// How long JupyterLab may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long JupyterLab may take to end its kernels.
pub const END_LIMIT: Duration = Duration::from_secs(15);

/// The folder of our kernelspec.
pub fn kernelspec_folder(paths: &Paths) -> PathBuf {
    paths.lab.join("venv/share/jupyter/kernels").join(KERNEL_NAME)
}

/// No news, no update checks, no extension manager: JupyterLab works the same without a network.
pub fn settings() -> Value {
    json!({
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false},
        "@jupyterlab/extensionmanager-extension:plugin": {"enabled": false},
    })
}

pub fn settings_file(paths: &Paths) -> PathBuf {
    paths.lab.join("venv/share/jupyter/lab/settings/overrides.json")
}

/// Whether kernelspec, settings and papermill's package are there and as they should be.
pub fn is_installed(paths: &Paths) -> bool {
    let set = std::fs::read_to_string(settings_file(paths)).is_ok_and(|text| serde_json::from_str::<Value>(&text).ok() == Some(settings()));
    set && kernelspec::is_written(&kernelspec_folder(paths), KERNEL_DISPLAY_NAME, false) && papermill::is_written(&paths.lab.join("venv"))
}

/// Whether Jupyter knows our kernel, as whoever set it up wrote it.
pub fn is_offered(paths: &Paths) -> bool {
    kernelspec::read(&kernelspec_folder(paths)).is_some_and(|spec| kernelspec::is_ours(&spec))
}

/// Jupyter's own files lie in a folder of ours.
pub fn own_folders(command: &mut Command, paths: &Paths) {
    let own = paths.own.join("jupyter");
    for (variable, folder) in [
        ("JUPYTER_CONFIG_DIR", "config"),
        ("JUPYTER_DATA_DIR", "data"),
        ("JUPYTER_RUNTIME_DIR", "runtime"),
        ("JUPYTERLAB_SETTINGS_DIR", "settings"),
        ("JUPYTERLAB_WORKSPACES_DIR", "workspaces"),
    ] {
        command.env(variable, own.join(folder));
    }
}

/// Where its words go.
pub fn log(paths: &Paths) -> PathBuf {
    paths.own.join("jupyter.log")
}

/// The address at which a server that listens there is reached from this machine.
pub fn reached_at(listens: SocketAddr) -> SocketAddr {
    if listens.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listens.port()) } else { listens }
}

/// Starts JupyterLab at an address with this page and waits until it answers.
pub fn start(paths: &Paths, listens: SocketAddr, page: &str, browser: bool, token: &str) -> Result<Running, Failure> {
    let log = log(paths);
    let failed = |error: std::io::Error| Failure::from(format!("{}: {error}", log.display()));
    let mut command = Command::new(python::venv_python(paths));
    command.args(["-m", "jupyterlab", "--ServerApp.port_retries=0", "--ServerApp.answer_yes=True"]);
    command
        .arg(format!("--ServerApp.ip={}", listens.ip()))
        .arg(format!("--ServerApp.port={}", listens.port()))
        .arg(format!("--LabApp.default_url={}", page));
    command.arg("--ServerApp.root_dir").arg(&paths.work);
    command.args([
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]);
    command.arg("--KernelSpecManager.ensure_native_kernel=False").arg(format!("--KernelSpecManager.allowed_kernelspecs={KERNEL_NAME}"));
    command.arg(format!("--MultiKernelManager.default_kernel_name={KERNEL_NAME}"));
    if !browser {
        command.arg("--no-browser");
    }
    if machine::user() == 0 {
        command.arg("--allow-root");
    }
    own_folders(&mut command, paths);
    // Where a solved exercise is noted.
    command.env("FINETUNING_WORK", std::path::absolute(&paths.work).unwrap_or_else(|_| paths.work.clone()));
    paths.tell(&mut command);
    // In the environment, where other users of the machine do not see it; in a process group of its own, so that Ctrl-C
    // comes from here alone.
    command.env("JUPYTER_TOKEN", token).env_remove("JUPYTER_PATH");
    python::own_packages_only(&mut command);
    let server = Running::start_group(spawn::log_into(command.current_dir(&paths.work), &log).map_err(failed)?);
    let mut server = server.map_err(|error| Failure::new(format!("JupyterLab did not start: {error}"), "rm -rf .lab/venv && cargo lab"))?;
    let begin = Instant::now();
    while !answers(reached_at(listens), token) {
        if server.ended().is_some() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            return Err(Failure::new(
                format!("JupyterLab ended at once: {last}"),
                format!("less '{}'; rm -rf .lab/venv && cargo lab makes it anew", log.display()),
            ));
        }
        if begin.elapsed() > START_LIMIT {
            server.end(END_LIMIT);
            return Err(Failure::new("JupyterLab does not answer", format!("less '{}', then: cargo lab", log.display())));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(server)
}

/// Whether the server answers its user.
fn answers(address: SocketAddr, token: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let request = format!("GET /api/status HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: token {token}\r\n\r\n");
    let mut head = [0; 12];
    stream.write_all(request.as_bytes()).and_then(|()| stream.read_exact(&mut head)).is_ok() && head.ends_with(b" 200")
}
