//! A `!` line of a cell → a program of the shell; its output is shown as it comes, its failure is the cell's.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use jupyter_protocol::messaging::Header;

use crate::kernel::messages::errors::Failure;
use crate::kernel::process::frames::open_character;
use crate::kernel::shared::Shared;
use crate::spawn::Running;

/// How long output is waited for that a program left running in the background may still hold.
const DRAIN: Duration = Duration::from_millis(300);

/// Runs a line by `sh` until it ends or the user interrupts, which ends its whole process group.
///
/// # Errors
/// The program could not start, failed, or was interrupted.
pub fn run(line: &str, shared: &Shared, parent: Option<&Header>) -> Result<(), Failure> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        Running::start_group(&mut command).map_err(|error| Failure::new("ShellError", &format!("cannot run sh for `{line}`: {error}")))?;
    shared.interrupt.outside(Some(child.id()));
    let (done, readers) = channel::<()>();
    let pipes: [(&'static str, Box<dyn Read + Send>); 2] = [
        ("stdout", Box::new(child.child().stdout.take().expect("piped"))),
        ("stderr", Box::new(child.child().stderr.take().expect("piped"))),
    ];
    for (name, mut pipe) in pipes {
        let (iopub, parent, done) = (shared.iopub.clone(), parent.cloned(), done.clone());
        std::thread::spawn(move || {
            read(&mut pipe, |text| iopub.stream(name, text, parent.as_ref()));
            drop(done);
        });
    }
    drop(done);
    let status = child.wait();
    shared.interrupt.outside(None);
    // Both readers have ended when nobody can send any more.
    let _ = readers.recv_timeout(DRAIN);
    if shared.interrupt.is_requested() {
        return Err(Failure::new("KeyboardInterrupt", &format!("`{line}` was stopped; nothing was lost")));
    }
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(
            "ShellError",
            &match status.code() {
                Some(code) => format!("`{line}` ended with exit code {code}"),
                None => format!("`{line}` was ended by signal {}", status.signal().unwrap_or_default()),
            },
        )),
        Err(error) => Err(Failure::new("ShellError", &format!("`{line}` was lost: {error}"))),
    }
}

/// Passes on bytes as text as soon as they come; a character in two pieces is put together.
fn read(pipe: &mut impl Read, mut show: impl FnMut(String)) {
    let (mut buffer, mut open) = (vec![0; 1 << 15], Vec::new());
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        open.extend_from_slice(&buffer[..count]);
        let end = open.len() - open_character(&open);
        show(String::from_utf8_lossy(&open[..end]).into_owned());
        open.drain(..end);
    }
    show(String::from_utf8_lossy(&open).into_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_in_two_pieces_is_one_and_a_broken_one_is_marked() {
        struct Pieces(Vec<&'static [u8]>);
        impl Read for Pieces {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let piece = if self.0.is_empty() { &[][..] } else { self.0.remove(0) };
                buffer[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
        let mut shown = String::new();
        read(&mut Pieces(vec![b"a\xc3", b"\xa9\xff b", b"\xe2\x82"]), |text| shown += &text);
        assert_eq!(shown, "aé\u{fffd} b\u{fffd}");
    }
}
