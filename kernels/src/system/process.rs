//! Numbers of processes → signals to them, and what this process asks for itself.

/// The signal that interrupts waiting; without a handler it is ignored.
const WAKE: i32 = libc::SIGURG;

/// Sends a signal; whether there was a process to take it.
fn signal(process: i32, signal: i32) -> bool {
    // SAFETY: a call without pointers.
    unsafe { libc::kill(process, signal) == 0 }
}

/// Ends a process at once.
pub fn kill(process: u32) {
    signal(process as i32, libc::SIGKILL);
}

/// Ends all processes of the group that `leader` leads at once.
pub fn kill_group(leader: u32) {
    signal(-(leader as i32), libc::SIGKILL);
}

/// Tells a process that the user wants it to stop, as Ctrl-C does.
pub fn interrupt(process: u32) {
    signal(process as i32, libc::SIGINT);
}

/// Asks a process to end.
pub fn terminate(process: u32) {
    signal(process as i32, libc::SIGTERM);
}

/// Whether a process exists.
pub fn exists(process: u32) -> bool {
    signal(process as i32, 0)
}

/// The process that started this one, or took its place.
pub fn parent() -> u32 {
    // SAFETY: a call without arguments that cannot fail.
    unsafe { libc::getppid() as u32 }
}

/// Asks the system to end this process when the thread that started it ends. The parent may be process 1 of a container,
/// so it is known by its number: a process with another parent ends now.
pub fn end_with_parent(expected: Option<u32>) {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a call without pointers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if expected.is_some_and(|expected| expected != parent()) {
            std::process::exit(0);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = expected;
}

/// Takes variables out of this process's environment, so that programs it starts do not see them.
pub fn forget_variables(names: &[&str]) {
    for name in names {
        // SAFETY: called first of all, while this is the only thread.
        unsafe { std::env::remove_var(name) };
    }
}

/// Makes every thread of a process that waits in a system call look again, if it obeys.
pub fn wake(process: u32) {
    #[cfg(target_os = "linux")]
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        if let Some(id) = thread.file_name().to_str().and_then(|id| id.parse::<libc::pid_t>().ok()) {
            // SAFETY: a call without pointers.
            unsafe { libc::syscall(libc::SYS_tgkill, process as libc::pid_t, id, WAKE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    signal(process as i32, WAKE);
}

/// Lets [`wake`] interrupt a system call of this process, and nothing more.
pub fn obey_wake() {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: a structure of numbers for which zero is a value, with a handler that does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(WAKE, &raw const action, std::ptr::null_mut());
    }
}
