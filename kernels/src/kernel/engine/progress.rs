//! evcxr's `Compiling …` lines on this process's standard error → the cell that waits for them.

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;

use crate::kernel::lock::lock;
use crate::kernel::shared::Shared;
use crate::system::descriptor;

/// From now on, lines on standard error that tell of a build go to the running cell; all others pass.
pub fn start(shared: &Arc<Shared>) {
    let Ok((reader, mut real)) = descriptor::divert_stderr() else { return };
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            let running = lock(&shared.running).clone();
            match running.filter(|_| line.trim_start().starts_with("Compiling ")) {
                Some(header) => shared.iopub.stream("stderr", format!("{}\n", line.trim()), Some(&header)),
                None => {
                    let _ = writeln!(real, "{line}");
                }
            }
        }
    });
}
