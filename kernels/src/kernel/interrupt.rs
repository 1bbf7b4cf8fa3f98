//! An interrupt request → the running cell stops, as gently as it allows.
//!
//! While a cell compiles, rustc is killed and nothing is lost. While it runs, a flag file asks the companion's loops to
//! return an error, which keeps every variable; a cell that has not ended [`PATIENCE`] later, or a second request, kills
//! the process that holds the variables.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a running cell may take to notice the flag.
const PATIENCE: Duration = Duration::from_secs(4);

/// The interrupt switch, shared by the control channel and the engine.
pub struct Interrupt {
    flag: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    cell: u64,
    requests: u32,
    killed: bool,
    child: Option<Arc<Mutex<Child>>>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Compiling,
    Running,
}

/// What a finished cell went through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the user asked to stop.
    pub interrupted: bool,
    /// Whether that killed the process and its variables.
    pub killed: bool,
}

impl Interrupt {
    /// A switch whose flag is the file `flag`.
    pub fn new(flag: PathBuf) -> Arc<Interrupt> {
        Arc::new(Interrupt { flag, state: Mutex::default() })
    }

    /// The flag file, for the environment of the cells.
    pub fn flag(&self) -> &Path {
        &self.flag
    }

    /// Names the process that runs the cells.
    pub fn attach(&self, child: Arc<Mutex<Child>>) {
        self.lock().child = Some(child);
    }

    /// A cell starts to compile.
    pub fn begin(&self) {
        let mut state = self.lock();
        let _ = std::fs::remove_file(&self.flag);
        *state = State { phase: Phase::Compiling, cell: state.cell + 1, child: state.child.take(), ..State::default() };
    }

    /// The compiled cell starts to run.
    pub fn running(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Compiling {
            state.phase = Phase::Running;
        }
    }

    /// The cell is over.
    pub fn end(&self) -> Outcome {
        let mut state = self.lock();
        let _ = std::fs::remove_file(&self.flag);
        state.phase = Phase::Idle;
        Outcome { interrupted: state.requests > 0, killed: state.killed }
    }

    /// The user asks to stop; without a cell nothing happens.
    pub fn request(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            return;
        }
        state.requests += 1;
        if let Err(error) = std::fs::write(&self.flag, b"") {
            eprintln!("cannot write the interrupt flag {}: {error}", self.flag.display());
        }
        let (cell, first) = (state.cell, state.requests == 1);
        drop(state);
        if first {
            let this = Arc::clone(self);
            std::thread::spawn(move || this.watch(cell));
        }
    }

    /// Follows an interrupted cell to its end.
    fn watch(&self, cell: u64) {
        let asked = Instant::now();
        loop {
            let mut state = self.lock();
            if state.cell != cell || state.phase == Phase::Idle {
                return;
            }
            let child = state.child.as_ref().map(|child| child.lock().expect("no panic while it is held").id());
            match state.phase {
                Phase::Running if state.requests > 1 || asked.elapsed() > PATIENCE => {
                    state.killed = true;
                    kill_group(child);
                    return;
                }
                Phase::Compiling => descendants(child).into_iter().for_each(kill),
                _ => {}
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the process of the cells, at shutdown.
    pub fn kill_child(&self) {
        let child = self.lock().child.clone();
        kill_group(child.and_then(|child| child.try_lock().ok().map(|child| child.id())));
        descendants(None).into_iter().for_each(kill);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }
}

fn kill(pid: u32) {
    // SAFETY: a call without pointers.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
}

/// Kills the process group that `leader` leads, as the supervisor does.
fn kill_group(leader: Option<u32>) {
    if let Some(pid) = leader {
        // SAFETY: a call without pointers.
        unsafe { libc::kill(-(pid as i32), libc::SIGKILL) };
    }
}

/// All processes that this one started, directly or not, except `spared` and its own.
fn descendants(spared: Option<u32>) -> Vec<u32> {
    let list = parents_from_proc().unwrap_or_else(|| {
        let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output();
        String::from_utf8_lossy(&output.map(|output| output.stdout).unwrap_or_default()).into_owned()
    });
    let pairs: Vec<(u32, u32)> = list
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
        .collect();
    let mut found = vec![std::process::id()];
    let mut index = 0;
    while index < found.len() {
        let parent = found[index];
        found.extend(pairs.iter().filter(|pair| pair.1 == parent && Some(pair.0) != spared).map(|pair| pair.0));
        index += 1;
    }
    found.split_off(1)
}

/// `pid ppid` lines from /proc; none where there is no /proc.
fn parents_from_proc() -> Option<String> {
    let mut lines = String::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in parentheses may hold blanks and parentheses.
        if let (Some(pid), Some((_, rest))) = (entry.file_name().to_str(), stat.rsplit_once(") ")) {
            lines += &format!("{pid} {}\n", rest.split(' ').nth(1).unwrap_or("0"));
        }
    }
    (!lines.is_empty()).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_interrupt_leaves_no_flag() {
        let flag = std::env::temp_dir().join(format!("finetuning-interrupt-test-{}", std::process::id()));
        let interrupt = Interrupt::new(flag.clone());
        interrupt.request();
        assert!(!flag.exists());
        interrupt.begin();
        interrupt.running();
        interrupt.request();
        assert!(flag.exists());
        assert!(interrupt.end() == Outcome { interrupted: true, killed: false });
        assert!(!flag.exists());
        interrupt.begin();
        assert!(interrupt.end() == Outcome { interrupted: false, killed: false });
    }

    #[test]
    fn descendants_are_found_and_can_be_spared() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(descendants(None).contains(&child.id()));
        assert!(!descendants(Some(child.id())).contains(&child.id()));
        kill(child.id());
        assert!(!child.wait().unwrap().success());
    }
}
