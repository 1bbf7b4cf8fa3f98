//! An interrupt request → the running cell stops, as gently as it allows.
//!
//! While a cell compiles, rustc is killed and nothing is lost; so is a program of a `!` line. While the cell runs, a flag
//! file asks the companion's loops to return an error, which keeps every variable; a little later the programs that the cell
//! has started are ended, so that it does not wait for them. [`GIVING_UP`] before a cell has had its [`PATIENCE`], or at a
//! second request, its thread is made to stand still for ever where that is safe, and only what it has taken is lost. The last
//! resort, or a third request, is to kill the process that holds the variables. Loops that look at the flag leave a sign of life in a second file,
//! and a cell with a fresh one is given [`PATIENCE_WITH_HEARTBEAT`].

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::spawn;
use crate::system::process;

/// Names the flag file, in the environment of the cells.
pub const FLAG: &str = "FINETUNING_INTERRUPT";
/// What stands in it when the cell is to be given up.
pub const GIVE_UP: &[u8] = b"give up";

/// How long a running cell may take to notice the flag.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long giving a cell up may take.
const GIVING_UP: Duration = Duration::from_millis(2000);

/// After how long the programs of a running cell are told to stop, and ended.
const PROGRAMS_TOLD: Duration = Duration::from_millis(300);
const PROGRAMS_ENDED: Duration = Duration::from_millis(1500);

/// The same for a cell that looks at the flag, but slowly: a step of a training run may take long.
const PATIENCE_WITH_HEARTBEAT: Duration = Duration::from_secs(30);
/// A further press of the key so soon after the first is the same wish.
const SAME_PRESS: Duration = Duration::from_secs(1);

/// The interrupt switch, shared by the control channel and the engine.
pub struct Interrupt {
    flag: PathBuf,
    heartbeat: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    cell: u64,
    /// When the user first asked to stop.
    asked: Option<Instant>,
    /// When the user asked again.
    again: Option<Instant>,
    /// Whether the user asked once more.
    insists: bool,
    killed: bool,
    /// Whether programs of the cell were told to stop.
    stopped_programs: bool,
    /// The processes of the cells when this one began.
    before: Vec<u32>,
    /// The process group of a `!` line.
    outside: Option<u32>,
    child: Option<Arc<Mutex<Child>>>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Compiling,
    Running,
}

impl State {
    /// The process that runs the cells.
    fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|child| child.lock().expect("no panic while it is held").id())
    }
}

/// What a finished cell went through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the user asked to stop.
    pub interrupted: bool,
    /// Whether that killed the process and its variables.
    pub killed: bool,
    /// Whether programs that the cell had started were ended.
    pub stopped_programs: bool,
}

impl Interrupt {
    /// A switch whose flag is the file `flag`, with the sign of life of the cells beside it.
    pub fn new(flag: PathBuf) -> Arc<Interrupt> {
        let heartbeat = flag.with_extension("heartbeat");
        Arc::new(Interrupt { flag, heartbeat, state: Mutex::default() })
    }

    /// The flag file, for the environment of the cells.
    pub fn flag(&self) -> &Path {
        &self.flag
    }

    /// The file whose time of change is the last sign of life, for the environment of the cells.
    pub fn heartbeat(&self) -> &Path {
        &self.heartbeat
    }

    /// Names the process that runs the cells.
    pub fn attach(&self, child: Arc<Mutex<Child>>) {
        self.lock().child = Some(child);
    }

    /// A cell starts to compile.
    pub fn begin(&self) {
        let mut state = self.lock();
        let _ = std::fs::remove_file(&self.flag);
        let _ = std::fs::remove_file(&self.heartbeat);
        let before = state.pid().map(|child| spawn::descendants(child, None)).unwrap_or_default();
        *state = State { phase: Phase::Compiling, cell: state.cell + 1, child: state.child.take(), before, ..State::default() };
    }

    /// The compiled cell starts to run.
    pub fn running(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Compiling {
            state.phase = Phase::Running;
        }
    }

    /// A part of the cell has run, and the next one starts to compile.
    pub fn compiling(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Compiling;
        }
    }

    /// A program of a `!` line starts, the leader of a process group, or ends.
    pub fn outside(&self, group: Option<u32>) {
        self.lock().outside = group;
    }

    /// Whether the user has asked to stop the cell.
    pub fn is_requested(&self) -> bool {
        self.lock().asked.is_some()
    }

    /// When to ask [`Interrupt::is_waited_for`] after a request: a cell without a sign of life is gone by then.
    pub const NOTICE: Duration = PATIENCE.saturating_add(Duration::from_millis(400));

    /// Whether a running cell was asked to stop some time ago and is given more time.
    pub fn is_waited_for(&self) -> bool {
        let state = self.lock();
        state.phase == Phase::Running && !state.killed && state.asked.is_some_and(|asked| asked.elapsed() > PATIENCE)
    }

    /// The cell is over.
    pub fn end(&self) -> Outcome {
        let mut state = self.lock();
        let _ = std::fs::remove_file(&self.flag);
        state.phase = Phase::Idle;
        Outcome { interrupted: state.asked.is_some(), killed: state.killed, stopped_programs: state.stopped_programs }
    }

    /// The user asks to stop; without a cell nothing happens.
    pub fn request(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            return;
        }
        let first = state.asked.is_none();
        let asked = *state.asked.get_or_insert_with(Instant::now);
        if state.again.is_some_and(|again| again.elapsed() > SAME_PRESS) {
            state.insists = true;
        } else if asked.elapsed() > SAME_PRESS {
            state.again.get_or_insert_with(Instant::now);
        }
        // The word to give the cell up stays.
        let written = std::fs::OpenOptions::new().append(true).create(true).open(&self.flag);
        if let Err(error) = written {
            eprintln!("cannot write the interrupt flag {}: {error}", self.flag.display());
        }
        let cell = state.cell;
        drop(state);
        if first {
            let this = Arc::clone(self);
            std::thread::spawn(move || this.watch(cell, asked));
        }
    }

    /// Follows an interrupted cell to its end.
    fn watch(&self, cell: u64, asked: Instant) {
        loop {
            let mut state = self.lock();
            if state.cell != cell || state.phase == Phase::Idle {
                return;
            }
            let child = state.pid();
            match (state.phase, state.outside) {
                (_, Some(group)) => process::kill_group(group),
                (Phase::Running, None) if state.insists || self.time_left(&state, asked).is_zero() => {
                    state.killed = true;
                    child.into_iter().for_each(process::kill_group);
                    return;
                }
                (Phase::Running, None) if asked.elapsed() > PROGRAMS_TOLD => {
                    if self.time_left(&state, asked) < GIVING_UP {
                        // Read by `runner::watch`.
                        let _ = std::fs::write(&self.flag, GIVE_UP);
                    }
                    let end = if asked.elapsed() > PROGRAMS_ENDED { process::kill } else { process::interrupt };
                    let all = child.map(|child| spawn::descendants(child, None)).unwrap_or_default();
                    let own: Vec<u32> = all.into_iter().filter(|process| !state.before.contains(process)).collect();
                    state.stopped_programs |= !own.is_empty();
                    own.into_iter().for_each(end);
                }
                (Phase::Compiling, None) => spawn::descendants(std::process::id(), child).into_iter().for_each(process::kill),
                _ => {}
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// How long a running cell still has.
    fn time_left(&self, state: &State, asked: Instant) -> Duration {
        let beat = std::fs::metadata(&self.heartbeat).and_then(|file| file.modified()).ok();
        let fresh = beat.is_some_and(|beat| beat.elapsed().unwrap_or_default() < PATIENCE_WITH_HEARTBEAT);
        let patience = if fresh { PATIENCE_WITH_HEARTBEAT } else { PATIENCE };
        let left = patience.saturating_sub(asked.elapsed());
        state.again.map_or(left, |again| left.min(GIVING_UP.saturating_sub(again.elapsed())))
    }

    /// Ends the process of the cells, at shutdown.
    pub fn kill_child(&self) {
        let state = self.lock();
        let (child, outside) = (state.child.clone(), state.outside);
        drop(state);
        let child = child.and_then(|child| child.try_lock().ok().map(|child| child.id()));
        outside.into_iter().chain(child).for_each(process::kill_group);
        spawn::descendants(std::process::id(), None).into_iter().for_each(process::kill);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_interrupt_leaves_no_flag() {
        let home = tempfile::tempdir().unwrap();
        let flag = home.path().join("interrupt");
        let interrupt = Interrupt::new(flag.clone());
        interrupt.request();
        assert!(!flag.exists());
        interrupt.begin();
        interrupt.running();
        interrupt.request();
        assert!(flag.exists());
        assert!(interrupt.end() == Outcome { interrupted: true, killed: false, stopped_programs: false });
        assert!(!flag.exists());
        interrupt.begin();
        assert!(interrupt.end() == Outcome { interrupted: false, killed: false, stopped_programs: false });
    }

    #[test]
    fn a_sign_of_life_buys_time() {
        let home = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new(home.path().join("interrupt"));
        let (mut state, now) = (State::default(), Instant::now());
        let out = |seconds| interrupt.time_left(&State::default(), now.checked_sub(Duration::from_secs(seconds)).unwrap()).is_zero();
        assert_eq!((out(3), out(5)), (false, true));
        let file = std::fs::File::create(interrupt.heartbeat()).unwrap();
        assert_eq!((out(5), out(29), out(31)), (false, false, true));
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
        assert!(out(5));
        // A second request leaves no more than it takes to give the cell up.
        state.again = Some(now);
        assert!((GIVING_UP / 2..=GIVING_UP).contains(&interrupt.time_left(&state, now)));
        state.again = now.checked_sub(GIVING_UP);
        assert!(interrupt.time_left(&state, now).is_zero());
        interrupt.begin();
        assert!(!interrupt.heartbeat().exists());
    }

    #[test]
    fn a_double_press_is_one_request() {
        let home = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new(home.path().join("interrupt"));
        interrupt.begin();
        interrupt.running();
        interrupt.request();
        interrupt.request();
        assert!(interrupt.lock().again.is_none());
        interrupt.lock().asked = Instant::now().checked_sub(SAME_PRESS * 2);
        interrupt.request();
        interrupt.request();
        assert!(interrupt.lock().again.is_some() && !interrupt.lock().insists);
        interrupt.lock().again = Instant::now().checked_sub(SAME_PRESS * 2);
        interrupt.request();
        assert!(interrupt.lock().insists);
        interrupt.end();
    }

    #[test]
    fn descendants_are_found_and_can_be_spared() {
        let child = spawn::Running::start(std::process::Command::new("sleep").arg("60")).unwrap();
        assert!(spawn::descendants(std::process::id(), None).contains(&child.id()));
        assert!(!spawn::descendants(std::process::id(), Some(child.id())).contains(&child.id()));
        process::kill(child.id());
        assert!(!child.wait().unwrap().success());
    }
}
