//! A thread that waits, or computes in the code of a cell → the same thread, standing still for ever, where that is safe.
//!
//! std repeats what a signal interrupts, and nothing may unwind out of a handler. So the handler does not return: what the
//! thread has borrowed, and others borrow of it, lives on. It looks where the signal came, since a thread that stands still
//! inside of the allocator or the standard library would keep their locks.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, Ordering};
use std::time::Duration;

/// The thread that runs a cell; 0 between cells.
static RUNS: AtomicI32 = AtomicI32::new(0);
static STATE: AtomicU8 = AtomicU8::new(LEFT_ALONE);
const LEFT_ALONE: u8 = 0;
const WANTED: u8 = 1;
const STILL: u8 = 2;
/// Where the code of the cells is.
static CODE: AtomicPtr<Vec<Range<usize>>> = AtomicPtr::new(std::ptr::null_mut());

/// How often the thread is asked, and how long it then has.
const TRIES: usize = 200;
const TURN: Duration = Duration::from_millis(5);

/// The name of a thread that stands still.
pub const NAME: &str = "stopped cell";
/// The name of one that runs the next cells in its place.
pub const NEXT: &str = "cells";

/// A cell begins on this thread.
pub fn begin() {
    obey();
    RUNS.store(this_thread(), Ordering::SeqCst);
}

/// The cell has ended.
pub fn end() {
    RUNS.store(0, Ordering::SeqCst);
}

/// Whether a cell runs.
pub fn is_running() -> bool {
    RUNS.load(Ordering::SeqCst) != 0
}

/// Makes the thread that runs a cell stand still; whether it does, which it then does for ever. `cells` is the folder of their
/// libraries.
pub fn order(cells: &Path) -> bool {
    let thread = RUNS.load(Ordering::SeqCst);
    if thread == 0 || !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return false;
    }
    // A handler may still read the last list.
    CODE.store(Box::leak(Box::new(code_below(cells))), Ordering::SeqCst);
    STATE.store(WANTED, Ordering::SeqCst);
    for _ in 0..TRIES {
        ask(thread);
        std::thread::sleep(TURN);
        if STATE.load(Ordering::SeqCst) == STILL || RUNS.load(Ordering::SeqCst) != thread {
            break;
        }
    }
    let is_still = STATE.compare_exchange(WANTED, LEFT_ALONE, Ordering::SeqCst, Ordering::SeqCst).is_err();
    if is_still {
        end();
    }
    is_still
}

/// The addresses of the code of all libraries below a folder.
fn code_below(folder: &Path) -> Vec<Range<usize>> {
    let folder = folder.to_string_lossy();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let code = |line: &str| {
        let mut words = line.splitn(6, ' ');
        let (addresses, rights, path) = (words.next()?, words.next()?, words.nth(3)?.trim());
        let (start, end) = addresses.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        (rights.contains('x') && path.starts_with(&*folder)).then_some(range)
    };
    maps.lines().filter_map(code).collect()
}

#[cfg(target_os = "linux")]
fn this_thread() -> i32 {
    // SAFETY: a call without arguments that cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

#[cfg(not(target_os = "linux"))]
fn this_thread() -> i32 {
    1
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn ask(_: i32) {}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn obey() {}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use x86_64::{ask, obey};

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod x86_64 {
    use super::{CODE, NAME, Ordering, RUNS, STATE, STILL, WANTED, this_thread};

    /// No library asks for this one.
    fn signal() -> i32 {
        libc::SIGRTMIN() + 9
    }

    /// Sends the signal to the thread.
    pub fn ask(thread: i32) {
        // SAFETY: calls without pointers.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal()) };
    }

    /// Lets the signal reach [`handler`].
    pub fn obey() {
        // SAFETY: a structure of numbers for which zero is a value, with a handler of the form that `SA_SIGINFO` asks for.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(signal(), &raw const action, std::ptr::null_mut());
        }
    }

    /// Only calls what may be called at any moment: no lock, no memory.
    extern "C" fn handler(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        if RUNS.load(Ordering::SeqCst) != this_thread() || STATE.load(Ordering::SeqCst) != WANTED {
            return;
        }
        // SAFETY: the system hands a `ucontext_t` to a handler with `SA_SIGINFO`, and the list was stored before the state.
        let (registers, code) = unsafe { (&(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs, CODE.load(Ordering::SeqCst).as_ref()) };
        let at = registers[libc::REG_RIP as usize] as usize;
        let computes = code.is_some_and(|code| code.iter().any(|range| range.contains(&at)));
        if !(computes || waits(registers, at)) {
            return;
        }
        if STATE.compare_exchange(WANTED, STILL, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return;
        }
        let mut name = [0_u8; 16];
        name[..NAME.len()].copy_from_slice(NAME.as_bytes());
        // SAFETY: the name ends with a zero, the set is a structure of numbers that `sigfillset` fills.
        unsafe {
            libc::prctl(libc::PR_SET_NAME, name.as_ptr());
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
            loop {
                libc::pause();
            }
        }
    }

    /// Whether the signal has interrupted a call of the system that waited, but for one on standard output or error, whose
    /// locks this thread then has.
    fn waits(registers: &[libc::greg_t; 23], at: usize) -> bool {
        let first = registers[libc::REG_RDI as usize];
        let interrupted = registers[libc::REG_RAX as usize] == -i64::from(libc::EINTR);
        // The two bytes before the place are on its page.
        interrupted && ![1, 2].contains(&first) && at % 4096 >= 2 && {
            // SAFETY: code that this thread runs can be read, and these bytes are on the page of what comes next.
            let before = unsafe { std::ptr::read_unaligned((at - 2) as *const [u8; 2]) };
            before == [0x0f, 0x05]
        }
    }
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// Whether a thread that does this can be made to stand still.
    fn can_stop(work: impl FnOnce() + Send + 'static, folder: &str) -> bool {
        let _turn = ONE_AT_A_TIME.lock().unwrap();
        let (tell, begun) = channel();
        std::thread::spawn(move || {
            begin();
            tell.send(()).unwrap();
            work();
            end();
        });
        begun.recv().unwrap();
        let is_still = order(Path::new(folder));
        end();
        is_still
    }

    #[test]
    fn who_waits_or_computes_where_it_is_allowed_stands_still_for_ever() {
        let (sender, receiver) = channel::<u8>();
        let waits = sender.clone();
        assert!(can_stop(move || drop((receiver.recv(), waits)), "/no such folder"));
        assert!(sender.send(1).is_ok(), "the receiver of the thread lives on");
        assert!(can_stop(
            || loop {
                std::hint::spin_loop()
            },
            "/"
        ));
        assert!(!is_running());
    }

    #[test]
    fn who_computes_elsewhere_or_has_ended_is_left_alone() {
        let spin = || {
            let start = std::time::Instant::now();
            while start.elapsed() < TURN * TRIES as u32 * 2 {}
        };
        assert!(!can_stop(spin, "/no such folder"));
        assert!(!can_stop(|| {}, "/no such folder"));
    }

    #[test]
    fn the_code_of_this_program_is_found() {
        let program = std::env::current_exe().unwrap();
        let here = the_code_of_this_program_is_found as *const () as usize;
        assert!(code_below(program.parent().unwrap()).iter().any(|range| range.contains(&here)));
        assert!(code_below(Path::new("/no such folder")).is_empty());
    }
}
