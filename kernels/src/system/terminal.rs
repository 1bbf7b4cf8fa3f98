//! A pseudo-terminal, so that programs that draw only for a person do draw.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The end to read from, and the end for the process; what is written passes as it is.
///
/// # Errors
/// The machine has no free pseudo-terminal.
pub fn open(rows: u16, columns: u16) -> io::Result<(File, OwnedFd)> {
    let (mut ours, mut theirs) = (-1, -1);
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: all pointers are to values of this frame, null where openpty allows it; the size is only read.
    let opened =
        unsafe { libc::openpty(&raw mut ours, &raw mut theirs, std::ptr::null_mut(), std::ptr::null_mut(), (&raw const size).cast_mut()) };
    if opened != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors are new, so each gets its only owner here.
    let (file, end) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    for fd in [file.as_raw_fd(), end.as_raw_fd()] {
        // SAFETY: a call without pointers.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    // SAFETY: a structure of numbers for which zero is a value.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is valid for each call, and the descriptor open.
    let raw = unsafe {
        libc::tcgetattr(end.as_raw_fd(), &raw mut settings) == 0 && {
            libc::cfmakeraw(&raw mut settings);
            libc::tcsetattr(end.as_raw_fd(), libc::TCSANOW, &raw const settings) == 0
        }
    };
    if raw { Ok((file, end)) } else { Err(io::Error::last_os_error()) }
}
