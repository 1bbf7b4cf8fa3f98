//! `cargo lab`: everything ready → JupyterLab on the lessons, until Ctrl-C.

use std::time::Duration;

use notebooks::course;

use crate::lab::client::kernel;
use crate::lab::commands::setup;
use crate::lab::failure::Failure;
use crate::lab::machine::steps::{Done, step};
use crate::lab::machine::{jupyter, resources};
use crate::lab::paths::Paths;
use crate::spawn::Running;

/// Sets everything up, opens JupyterLab and waits for its end.
pub fn open(paths: &Paths, port: Option<u16>, browser: bool) -> Result<(), Failure> {
    let port = resources::choose_port(port)?;
    setup::setup(paths, false)?;
    let token = kernel::random_hex()?;
    let mut server = None;
    step("JupyterLab", || {
        server = Some(jupyter::start(paths, port, &page(paths), browser, &token)?);
        Ok(Done::Made("started".into()))
    })?;
    println!("\n    {}?token={token}\n\nCtrl-C ends it. Its log is .lab/jupyter.log.", address(paths, port));
    wait(server.expect("it was started"))
}

/// The page that opens first: the first lesson.
fn page(paths: &Paths) -> String {
    let first = course::lessons(&paths.notebooks).unwrap_or_default().into_iter().find(|lesson| lesson.notebook.exists());
    first.map_or("/lab".into(), |lesson| format!("/lab/tree/{}.ipynb", lesson.name))
}

fn address(paths: &Paths, port: u16) -> String {
    format!("http://127.0.0.1:{port}{}", page(paths))
}

/// Waits until the server ends, or ends it when this program is told to.
fn wait(mut server: Running) -> Result<(), Failure> {
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
                    if let Some(status) = server.ended() {
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
            server.end(jupyter::END_LIMIT);
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
