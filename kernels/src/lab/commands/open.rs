//! `cargo lab`: everything ready → JupyterLab on the lessons, until Ctrl-C.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use notebooks::course;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::lab::client::kernel;
use crate::lab::commands::setup;
use crate::lab::failure::Failure;
use crate::lab::machine::steps::{Done, step};
use crate::lab::machine::{jupyter, resources};
use crate::lab::paths::Paths;
use crate::spawn::Running;

/// Sets everything up, opens JupyterLab at an address of this computer and waits for its end.
pub fn open(paths: &Paths, host: IpAddr, port: Option<u16>, browser: bool) -> Result<(), Failure> {
    let listens = SocketAddr::new(host, resources::choose_port(port)?);
    setup::setup(paths, false)?;
    let token = kernel::random_hex()?;
    // Whoever ends this program while the server starts has it ended, too.
    let ends = Ends::listen()?;
    let mut server = None;
    step("JupyterLab", || {
        server = Some(jupyter::start(paths, listens, &page(paths), browser, &token)?);
        Ok(Done::Made("started".into()))
    })?;
    println!("\n    http://{}{}?token={token}\n", jupyter::reached_at(listens), page(paths));
    if !host.is_loopback() {
        println!("Other computers reach it, too. Whoever has this address with its token can run programs as you.");
    }
    println!("Ctrl-C ends it. Its log is {}.", jupyter::log(paths).display());
    wait(paths, ends, server.expect("it was started"))
}

/// The page that opens first: the first lesson.
fn page(paths: &Paths) -> String {
    let first = course::lessons(&paths.notebooks).unwrap_or_default().into_iter().find(|lesson| lesson.notebook.exists());
    first.map_or("/lab".into(), |lesson| format!("/lab/tree/{}.ipynb", lesson.name))
}

/// The signals that ask this program to end, kept from the moment on at which it listens.
struct Ends {
    runtime: Runtime,
    signals: [Option<Signal>; 3],
}

impl Ends {
    fn listen() -> Result<Ends, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let signals = {
            let _inside = runtime.enter();
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(|kind| signal(kind).ok())
        };
        Ok(Ends { runtime, signals })
    }
}

/// Waits until the server ends, or ends it when this program is told to.
fn wait(paths: &Paths, ends: Ends, mut server: Running) -> Result<(), Failure> {
    let Ends { runtime, signals: [mut interrupt, mut terminate, mut hangup] } = ends;
    let asked = runtime.block_on(async {
        loop {
            tokio::select! {
                () = heard(&mut interrupt) => return None,
                () = heard(&mut terminate) => return None,
                () = heard(&mut hangup) => return None,
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
        Some(status) => {
            Err(Failure::new(format!("JupyterLab ended ({status})"), format!("less '{}', then: cargo lab", jupyter::log(paths).display())))
        }
        None => {
            println!("\nending JupyterLab and its kernels");
            server.end(jupyter::END_LIMIT);
            Ok(())
        }
    }
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
