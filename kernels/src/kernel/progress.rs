//! evcxr's `Compiling …` lines on this process's standard error → the cell that waits for them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::FromRawFd;
use std::sync::Arc;

use super::Shared;

/// From now on, lines on standard error that tell of a build go to the running cell; all others pass.
pub fn start(shared: &Arc<Shared>) {
    let mut ends = [0; 2];
    // SAFETY: the calls take a valid array and descriptors of this process; each File owns a descriptor of its own.
    let (reader, mut real) = unsafe {
        let real = libc::dup(2);
        if real < 0 || libc::pipe(ends.as_mut_ptr()) != 0 || libc::dup2(ends[1], 2) < 0 {
            return;
        }
        libc::close(ends[1]);
        for fd in [real, ends[0]] {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        (File::from_raw_fd(ends[0]), File::from_raw_fd(real))
    };
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let running = super::lock(&shared.running).clone();
            match running.filter(|_| line.trim_start().starts_with("Compiling ")) {
                Some(header) => shared.iopub.stream("stderr", format!("{}\n", line.trim()), Some(&header)),
                None => {
                    let _ = writeln!(real, "{line}");
                }
            }
        }
    });
}
