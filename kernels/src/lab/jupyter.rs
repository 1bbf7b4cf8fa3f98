//! Everything ready → JupyterLab on the lessons, until Ctrl-C.
//!
//! Nothing outside the repository is written: kernelspec and settings lie in `.lab/venv`, Jupyter's own files in `.lab/jupyter`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use notebooks::course;
use notebooks::ipynb::{KERNEL_DISPLAY_NAME, KERNEL_NAME};
use serde_json::{Value, json};

use super::steps::{Done, step};
use super::{Failure, Places, client, companion, install, python, system};
use crate::kernel::unpack::checksum;

/// How long JupyterLab may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long JupyterLab may take to end its kernels.
const END_LIMIT: Duration = Duration::from_secs(15);

/// Sets everything up, opens JupyterLab and waits for its end.
pub fn open(places: &Places, port: Option<u16>, browser: bool) -> Result<(), Failure> {
    let port = system::choose_port(port)?;
    setup(places)?;
    let token = client::random_hex()?;
    let mut server = None;
    step("JupyterLab", || {
        server = Some(start(places, port, browser, &token)?);
        Ok(Done::Made("started".into()))
    })?;
    println!("\n    {}?token={token}\n\nCtrl-C ends it. Its log is .lab/jupyter.log.", address(places, port));
    wait(server.expect("it was started"))
}

/// Sets everything up.
pub fn setup(places: &Places) -> Result<(), Failure> {
    system::check_writable(places)?;
    // What may be missing on the machine comes before what takes long.
    step("Python environment", || python::prepare(places))?;
    step("companion crate", || companion::build(&places.root))?;
    step("kernel and settings", || configure(places))?;
    step("outputs of the lessons", || trust(places))
}

/// The page that opens first: the first lesson.
fn page(places: &Places) -> String {
    let first = course::lessons(&places.notebooks).unwrap_or_default().into_iter().find(|lesson| lesson.notebook.exists());
    first.map_or("/lab".into(), |lesson| format!("/lab/tree/{}.ipynb", lesson.name))
}

fn address(places: &Places, port: u16) -> String {
    format!("http://127.0.0.1:{port}{}", page(places))
}

/// The folder of our kernelspec.
fn kernelspec_folder(places: &Places) -> PathBuf {
    places.lab.join("venv/share/jupyter/kernels").join(KERNEL_NAME)
}

/// No news, no update checks, no extension manager: JupyterLab works the same without a network.
fn settings() -> Value {
    json!({
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false},
        "@jupyterlab/extensionmanager-extension:plugin": {"enabled": false},
    })
}

fn settings_file(places: &Places) -> PathBuf {
    places.lab.join("venv/share/jupyter/lab/settings/overrides.json")
}

/// Whether kernelspec and settings are there and as they should be.
pub fn is_installed(places: &Places) -> bool {
    let set =
        std::fs::read_to_string(settings_file(places)).is_ok_and(|text| serde_json::from_str::<Value>(&text).ok() == Some(settings()));
    set && install::is_written(&kernelspec_folder(places), KERNEL_DISPLAY_NAME, false)
}

fn configure(places: &Places) -> Result<Done, Failure> {
    if is_installed(places) {
        return Ok(Done::Fresh);
    }
    install::write(&kernelspec_folder(places), KERNEL_DISPLAY_NAME, false)?;
    let path = settings_file(places);
    let write = std::fs::create_dir_all(path.parent().expect("a file in a folder"))
        .and_then(|()| std::fs::write(&path, format!("{:#}\n", settings())));
    write.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Done::Made("installed".into()))
}

/// Signs the lessons as they are, so that JupyterLab shows their pictures before a cell was run.
///
/// # Errors
/// None: unsigned, a lesson shows the text twins of its pictures until it is run.
fn trust(places: &Places) -> Result<Done, Failure> {
    let lessons: Vec<PathBuf> =
        course::lessons(&places.notebooks)?.into_iter().map(|lesson| lesson.notebook).filter(|file| file.exists()).collect();
    let bytes: Vec<u8> = lessons.iter().flat_map(|file| std::fs::read(file).unwrap_or_default()).collect();
    let (stamp, text) = (places.lab.join("jupyter/signed.stamp"), format!("{:08x}", checksum(&bytes)));
    if std::fs::read_to_string(&stamp).is_ok_and(|old| old == text) {
        return Ok(Done::Fresh);
    }
    let mut command = Command::new(python::venv_python(places));
    command.args(["-m", "jupyter", "trust"]).args(&lessons).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    own_folders(&mut command, places);
    python::own_packages_only(&mut command);
    if !command.status().is_ok_and(|status| status.success()) {
        return Ok(Done::Made("not signed".into()));
    }
    let _ = std::fs::write(&stamp, text);
    Ok(Done::Made("signed".into()))
}

/// Jupyter's own files lie in `.lab/jupyter`.
fn own_folders(command: &mut Command, places: &Places) {
    let own = places.lab.join("jupyter");
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

/// Starts JupyterLab and waits until it answers.
fn start(places: &Places, port: u16, browser: bool, token: &str) -> Result<Child, Failure> {
    use std::os::unix::process::CommandExt;
    let log = places.lab.join("jupyter.log");
    let failed = |error: std::io::Error| Failure::from(format!("{}: {error}", log.display()));
    let file = std::fs::File::create(&log).map_err(failed)?;
    let mut command = Command::new(python::venv_python(places));
    command.args(["-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", "--ServerApp.answer_yes=True"]);
    command.arg(format!("--ServerApp.port={port}")).arg(format!("--LabApp.default_url={}", page(places)));
    command.arg("--ServerApp.root_dir").arg(&places.notebooks);
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
    // SAFETY: a call without arguments.
    if unsafe { libc::geteuid() } == 0 {
        command.arg("--allow-root");
    }
    own_folders(&mut command, places);
    // In the environment, where other users of the machine do not see it; in a process group of its own, so that Ctrl-C
    // comes from here alone.
    command.env("JUPYTER_TOKEN", token).env_remove("JUPYTER_PATH").process_group(0);
    python::own_packages_only(&mut command);
    let server = command.current_dir(&places.notebooks).stdin(Stdio::null()).stdout(file.try_clone().map_err(failed)?).stderr(file).spawn();
    let mut server = server.map_err(|error| Failure::new(format!("JupyterLab did not start: {error}"), "rm -rf .lab/venv && cargo lab"))?;
    let begin = Instant::now();
    while !answers(port, token) {
        if let Ok(Some(_)) = server.try_wait() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            return Err(Failure::new(
                format!("JupyterLab ended at once: {last}"),
                "read .lab/jupyter.log; rm -rf .lab/venv && cargo lab makes it anew",
            ));
        }
        if begin.elapsed() > START_LIMIT {
            end(&mut server);
            return Err(Failure::new("JupyterLab does not answer", "read .lab/jupyter.log, then: cargo lab"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(server)
}

/// Whether the server answers its user.
fn answers(port: u16, token: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let request = format!("GET /api/status HTTP/1.0\r\nHost: 127.0.0.1\r\nAuthorization: token {token}\r\n\r\n");
    let mut head = [0; 12];
    stream.write_all(request.as_bytes()).and_then(|()| stream.read_exact(&mut head)).is_ok() && head.ends_with(b" 200")
}

/// Waits until the server ends, or ends it when this program is told to.
fn wait(mut server: Child) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let asked = runtime.block_on(async {
        let mut kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(|kind| signal(kind).ok());
        let [interrupt, terminate, hangup] = &mut kinds;
        loop {
            tokio::select! {
                () = heard(interrupt) => return None,
                () = heard(terminate) => return None,
                () = heard(hangup) => return None,
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    if let Ok(Some(status)) = server.try_wait() {
                        return Some(status);
                    }
                }
            }
        }
    });
    match asked {
        // Shut down from its own menu.
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Failure::new(format!("JupyterLab ended ({status})"), "read .lab/jupyter.log, then: cargo lab")),
        None => {
            println!("\nending JupyterLab and its kernels");
            end(&mut server);
            Ok(())
        }
    }
}

async fn heard(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Asks the server to end, and ends it when it does not.
fn end(server: &mut Child) {
    // SAFETY: a call without pointers; the child is ours and not yet waited for.
    unsafe { libc::kill(server.id() as i32, libc::SIGTERM) };
    let begin = Instant::now();
    while begin.elapsed() < END_LIMIT {
        if !matches!(server.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = server.kill();
    let _ = server.wait();
}
