//! The process that evcxr starts → two processes: a supervisor, and the one that loads and runs the cells.
//!
//! The supervisor reads both outputs of the runner byte by byte and writes lines to evcxr: `\x02O` and `\x02E` with
//! escaped text of stdout and stderr, `\x02K{json}` records, and evcxr's own tokens. The end of a cell is reported when
//! both outputs have been read up to it, so nothing of one cell lands in the next. When the runner dies, what it wrote
//! last and the reason are still delivered.

use std::io::{BufRead, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kernel::messages::screen::{HEIGHT, WIDTH};
use crate::kernel::process::frames::{self, ControlFrame, REFUSED, Scanner, escape};
use crate::spawn::{self, Running};
use crate::system::{descriptor, process, terminal};

/// Set in the runner, not in the supervisor.
pub const RUNNER: &str = "FINETUNING_RUNNER";

/// How long pieces of standard error are joined at most.
const JOIN: Duration = Duration::from_millis(20);

/// Runs the supervisor in place of the program; its arguments go to the runner.
pub fn supervise() -> ! {
    spawn::obey_tie();
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.args(std::env::args_os().skip(1)).env_remove("EVCXR_IS_RUNTIME").env(RUNNER, "1");
    spawn::tie(&mut command);
    // Some servers have none, and programs would then draw without colours.
    command.env("TERM", std::env::var("TERM").unwrap_or_else(|_| "xterm-256color".into()));
    command.env("RUST_BACKTRACE", std::env::var("FINETUNING_BACKTRACE").unwrap_or_else(|_| "0".into()));
    // A machine without free pseudo-terminals gets a pipe.
    let (err, side) = match terminal::open(HEIGHT as u16, WIDTH as u16) {
        Ok((ours, theirs)) => (Some(ours), Stdio::from(theirs)),
        Err(_) => (None, Stdio::piped()),
    };
    let (reader, input) = match std::io::pipe().and_then(|(reader, writer)| Ok(((reader.try_clone()?, reader), writer))) {
        Ok(((ours, theirs), writer)) => {
            command.stdin(theirs);
            (ours, writer)
        }
        Err(error) => {
            eprintln!("cannot make a pipe to the process for the cells: {error}");
            std::process::exit(1)
        }
    };
    let mut runner = match Running::start(command.stdout(Stdio::piped()).stderr(side)) {
        Ok(runner) => runner,
        Err(error) => {
            eprintln!("cannot start the process for the cells: {error}");
            std::process::exit(1)
        }
    };
    // It still owns the other end of the terminal, which would never be closed.
    drop(command);
    let (sender, lines) = channel();
    let out = runner.child().stdout.take().expect("piped");
    let err: Box<dyn Pipe> = match err {
        Some(terminal) => Box::new(terminal),
        None => Box::new(runner.child().stderr.take().expect("piped")),
    };
    for (stream, pipe) in [(Stream::Out, Box::new(out) as Box<dyn Pipe>), (Stream::Err, err)] {
        let sender = sender.clone();
        std::thread::spawn(move || read(stream, pipe, &sender));
    }
    let (watcher, feeder, pid) = (sender.clone(), sender.clone(), runner.id());
    std::thread::spawn(move || feed(input, &reader, pid, &feeder));
    std::thread::spawn(move || watch(pid, &watcher));
    std::thread::spawn(move || {
        let status = runner.wait();
        let _ = sender.send((Stream::Out, Event::Exit(status)));
    });
    std::process::exit(write(&lines))
}

trait Pipe: Read + AsFd + Send {}
impl<T: Read + AsFd + Send> Pipe for T {}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Out,
    Err,
}

enum Event {
    Frame(ControlFrame),
    /// Whether the runner waits for its standard input.
    Waits(bool),
    /// The runner was sent something.
    Fed,
    Closed,
    Exit(std::io::Result<ExitStatus>),
}

/// Passes on what the runner writes to `write`, as frames.
fn read(stream: Stream, mut pipe: Box<dyn Pipe>, sender: &Sender<(Stream, Event)>) {
    let mut scanner = Scanner::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let found = if scanner.patience().is_some_and(|patience| !descriptor::is_readable(pipe.as_fd(), patience)) {
            scanner.give_up()
        } else {
            match pipe.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    let count = if stream == Stream::Err { read_on(&mut pipe, &mut buffer, count) } else { count };
                    scanner.push(&buffer[..count])
                }
            }
        };
        for frame in found {
            let _ = sender.send((stream, Event::Frame(frame)));
        }
    }
    for frame in scanner.give_up() {
        let _ = sender.send((stream, Event::Frame(frame)));
    }
    let _ = sender.send((stream, Event::Closed));
}

/// Waits a moment for the rest of an unfinished line: standard error is written piece by piece, and half a frame of a
/// progress bar is none.
fn read_on(pipe: &mut Box<dyn Pipe>, buffer: &mut [u8], mut count: usize) -> usize {
    let start = Instant::now();
    while buffer[count - 1] != b'\n' && count < buffer.len() && start.elapsed() < JOIN && descriptor::is_readable(pipe.as_fd(), 3) {
        match pipe.read(&mut buffer[count..]) {
            Ok(more @ 1..) => count += more,
            // The next read finds the same.
            _ => break,
        }
    }
    count
}

/// Passes on what evcxr sends: instructions, and the answers to a cell's questions.
fn feed(mut runner: PipeWriter, reader: &PipeReader, pid: u32, sender: &Sender<(Stream, Event)>) {
    let (mut input, mut line) = (std::io::stdin().lock(), Vec::new());
    while let Ok(1..) = input.read_until(b'\n', &mut line) {
        let _ = sender.send((Stream::Out, Event::Fed));
        if line.trim_ascii_end() == REFUSED.as_bytes() {
            // From now on, reading in the cell fails instead of waiting; the runner waits again after the cell.
            descriptor::wait_for_input(reader.as_fd(), false);
            process::wake(pid);
        } else if runner.write_all(&line).is_err() {
            return;
        }
        line.clear();
    }
}

/// Reports again and again whether the runner waits for its standard input, so that a plain `read_line` in a cell is
/// answered. Only Linux tells what another process waits for.
fn watch(runner: u32, sender: &Sender<(Stream, Event)>) {
    let read = if cfg!(target_arch = "x86_64") { "0 0x0 " } else { "63 0x0 " };
    while let Ok(call) = std::fs::read_to_string(format!("/proc/{runner}/syscall")) {
        if sender.send((Stream::Out, Event::Waits(call.starts_with(read)))).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Writes lines for evcxr until the runner has ended; returns the exit code.
fn write(events: &Receiver<(Stream, Event)>) -> i32 {
    let mut out = std::io::stdout();
    let mut line = |text: String| {
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            std::process::exit(0)
        }
    };
    // Cells whose end was seen on each output, pipes that are open, and the runner's fate.
    let (mut ends, mut reported, mut open, mut exit) = ([0_u64; 2], 0, 2, None);
    // Whether a cell runs, whether it has asked for the input that it waits for, and how often it was seen to wait.
    let (mut running, mut asked, mut waited) = (false, false, 0);
    while open > 0 || exit.is_none() {
        let event = match exit {
            None => events.recv().ok(),
            // A process that the cell started may hold the pipes open.
            Some(_) => events.recv_timeout(Duration::from_millis(300)).ok(),
        };
        match event {
            None => break,
            Some((_, Event::Closed)) => open -= 1,
            Some((_, Event::Exit(status))) => exit = Some(status),
            Some((_, Event::Fed)) => (asked, waited) = (false, 0),
            Some((_, Event::Waits(waits))) => {
                waited = if waits && running { waited + 1 } else { 0 };
                // The second time: a cell that has just ended waits as well, for the next one.
                if waited > 1 && !asked {
                    asked = true;
                    line("EVCXR_INPUT_REQUEST:".into());
                }
            }
            // Both are read in the kernel by `output::line`.
            Some((Stream::Out, Event::Frame(ControlFrame::Text(text)))) => line(frames::OUT.to_string() + &escape(&text)),
            Some((Stream::Err, Event::Frame(ControlFrame::Text(text)))) => line(frames::ERR.to_string() + &escape(&text)),
            Some((_, Event::Frame(ControlFrame::Token(token)))) => {
                line(token.clone());
                asked |= token.starts_with("EVCXR_INPUT_REQUEST");
                match token.as_str() {
                    "EVCXR_PANIC_NOTIFICATION" => line(frames::PANICKED.into()),
                    "EVCXR_ERROR_OCCURRED" => line(frames::FAILED.into()),
                    _ => {}
                }
            }
            Some((stream, Event::Frame(ControlFrame::Record(json)))) => match serde_json::from_str::<Value>(&json) {
                Ok(record) if record.get("done").is_some() => {
                    ends[stream as usize] += 1;
                    if ends[0] > reported && ends[1] > reported {
                        reported += 1;
                        running = false;
                        line("EVCXR_EXECUTION_COMPLETE".into());
                    }
                }
                // On the other channel: evcxr runs a cell before anyone reads this one, and waits until it is read.
                Ok(record) if record.get("run").is_some() => {
                    (running, asked, waited) = (true, false, 0);
                    eprintln!("{}{record}", frames::RECORD);
                }
                Ok(record) => line(format!("{}{record}", frames::RECORD)),
                Err(_) => line(frames::OUT.to_string() + &escape(&json)),
            },
        }
    }
    match exit {
        Some(Ok(status)) => {
            // In good order it ends only when evcxr has closed its standard input.
            if running || !status.success() {
                line(format!("{}{}", frames::RECORD, json!({ "exit": status.to_string() })));
            }
            status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
        }
        _ => 1,
    }
}
