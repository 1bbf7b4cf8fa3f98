//! A pseudo-terminal for the standard error of the cells, so that programs that draw only for a person do draw.

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};

use super::screen::{HEIGHT, WIDTH};

/// The end to read from, and the end for the process; what is written passes as it is.
pub fn open() -> std::io::Result<(File, OwnedFd)> {
    let (mut ours, mut theirs) = (-1, -1);
    let size = libc::winsize { ws_row: HEIGHT as u16, ws_col: WIDTH as u16, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: all pointers are to values of this frame, null where openpty allows it; each descriptor gets one owner.
    unsafe {
        if libc::openpty(&raw mut ours, &raw mut theirs, std::ptr::null_mut(), std::ptr::null_mut(), (&raw const size).cast_mut()) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let (file, end) = (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs));
        for fd in [ours, theirs] {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        let mut settings: libc::termios = std::mem::zeroed();
        if libc::tcgetattr(theirs, &raw mut settings) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        libc::cfmakeraw(&raw mut settings);
        if libc::tcsetattr(theirs, libc::TCSANOW, &raw const settings) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok((file, end))
    }
}
