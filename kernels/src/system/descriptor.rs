//! Numbers of open files of this process → what the standard library does not do with them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Turns this process's standard error aside: whatever is written to it from now on is read from the first file; the second
/// is where it went before.
///
/// # Errors
/// No descriptors are left.
pub fn divert_stderr() -> io::Result<(File, File)> {
    let (reader, writer) = io::pipe()?;
    let real = io::stderr().as_fd().try_clone_to_owned()?;
    // SAFETY: both descriptors are open and stay so for the call; 2 is nobody's alone, so nobody's ownership is broken.
    if unsafe { libc::dup2(writer.as_raw_fd(), 2) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((OwnedFd::from(reader).into(), real.into()))
}

/// Whether reading would not wait, after so many milliseconds at most.
pub fn is_readable(file: BorrowedFd<'_>, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid pollfd, and its number says one.
    unsafe { libc::poll(&raw mut poll, 1, milliseconds) != 0 }
}

/// From now on, reading fails when there are no bytes, instead of waiting for some.
pub fn never_wait(file: BorrowedFd<'_>) {
    let fd = file.as_raw_fd();
    // SAFETY: calls without pointers on a descriptor that is open.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        if flags >= 0 {
            libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
        }
    }
}

/// Makes the file this process's standard input, which programs that it starts have as well.
pub fn read_from(file: BorrowedFd<'_>) {
    // SAFETY: a call without pointers; the descriptor is open, and 0 is nobody's alone, so nobody's ownership is broken.
    unsafe {
        libc::dup2(file.as_raw_fd(), 0);
    }
}

/// A second descriptor, with a number that programs do not use by themselves, closed in programs that are started.
///
/// # Errors
/// No descriptors are left.
pub fn keep(file: BorrowedFd<'_>) -> io::Result<File> {
    // SAFETY: a call without pointers.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100) } {
        // SAFETY: the descriptor is new, so this file is its only owner.
        kept @ 0.. => Ok(unsafe { File::from_raw_fd(kept) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One of this process's standard outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    Output = 1,
    Error = 2,
}

/// Opens a standard output again that was closed: it goes where `kept` goes.
pub fn reopen(output: Standard, kept: &File) {
    let number = output as i32;
    // SAFETY: calls without pointers; a descriptor that is closed has no owner, and one that is open is left alone.
    unsafe {
        if libc::fcntl(number, libc::F_GETFD) < 0 {
            libc::dup2(kept.as_raw_fd(), number);
        }
    }
}
