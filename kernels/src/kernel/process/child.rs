//! The process that evcxr starts → two processes: a supervisor, and the one that loads and runs the cells.
//!
//! The supervisor reads both outputs of the runner byte by byte and writes lines to evcxr: `\x02O` and `\x02E` with
//! escaped text of stdout and stderr, `\x02K{json}` records, and evcxr's own tokens, whole content blocks among them. The end
//! of a cell is reported when both outputs have been read up to it, so nothing of one cell lands in the next. When the
//! runner dies, what it wrote last and the reason are still delivered.

use std::io::{BufRead, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kernel::marks::{Marks, RECORD};
use crate::kernel::messages::screen::{HEIGHT, WIDTH};
use crate::kernel::process::frames::{ControlFrame, Scanner};
use crate::kernel::process::lines::{self, ANSWER, REFUSE, REFUSED, escape, escape_json};
use crate::spawn::{self, Running};
use crate::system::{descriptor, standstill, terminal};

/// Set in the runner, not in the supervisor.
pub const RUNNER: &str = "FINETUNING_RUNNER";

/// How long pieces of standard error are joined at most.
const JOIN: Duration = Duration::from_millis(20);

/// Runs the supervisor in place of the program; its arguments go to the runner.
pub fn supervise() -> ! {
    spawn::obey_tie();
    let marks = Marks::of_environment().unwrap_or_else(|error| {
        eprintln!("cannot tell what the cells print from what the kernel says: {error}");
        std::process::exit(1)
    });
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
    let mut runner = match Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(side)) {
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
        let (sender, scanner) = (sender.clone(), Scanner::new(&marks));
        std::thread::spawn(move || read(stream, pipe, scanner, &sender));
    }
    let (watcher, feeder, pid) = (sender.clone(), sender.clone(), runner.id());
    let instructions = runner.child().stdin.take().expect("piped");
    let questions = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&questions);
    std::thread::spawn(move || feed(instructions, &asked, &feeder));
    std::thread::spawn(move || watch(pid, &watcher));
    std::thread::spawn(move || {
        let status = runner.wait();
        let _ = sender.send((Stream::Out, Event::Exit(status)));
    });
    std::process::exit(write(&lines, &questions))
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
    /// Nobody can tell whether it does.
    Blind,
    /// The runner was sent something.
    Fed,
    Closed,
    Exit(std::io::Result<ExitStatus>),
}

/// Passes on what the runner writes to `write`, as frames.
fn read(stream: Stream, mut pipe: Box<dyn Pipe>, mut scanner: Scanner, sender: &Sender<(Stream, Event)>) {
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

/// Passes on what evcxr sends: answers to a cell's questions, of which so many are open, and instructions.
fn feed(mut runner: ChildStdin, questions: &AtomicUsize, sender: &Sender<(Stream, Event)>) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let _ = sender.send((Stream::Out, Event::Fed));
        let is_answer = questions.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |open| open.checked_sub(1)).is_ok();
        let line = match (is_answer, line == REFUSED) {
            (true, true) => REFUSE.to_string(),
            (true, false) => ANSWER.to_string() + &line,
            (false, _) => line,
        };
        if runner.write_all(format!("{line}\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// Reports again and again whether the cell waits for its standard input, so that a plain `read_line` is answered, that of a
/// program in the foreground too. Only Linux tells what another process waits for.
fn watch(runner: u32, sender: &Sender<(Stream, Event)>) {
    while let Some(waits) = waits(runner) {
        if sender.send((Stream::Out, Event::Waits(waits))).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = sender.send((Stream::Out, Event::Blind));
}

/// Whether a thread of the runner, or of a program that it waits for, reads from the cell's input; none when nobody can tell.
fn waits(runner: u32) -> Option<bool> {
    // Number of the call, and its first argument.
    let read = if cfg!(target_arch = "x86_64") { "0 0x0 " } else { "63 0x0 " };
    let waiting: &[&str] = if cfg!(target_arch = "x86_64") {
        &["0", "7", "23", "45", "61", "202", "232", "247", "270", "271", "281"]
    } else {
        &["22", "63", "72", "73", "95", "98", "207", "260"]
    };
    let call = |process: u32, thread: &str| std::fs::read_to_string(format!("/proc/{process}/task/{thread}/syscall"));
    let main = call(runner, &thread_of_cells(runner)).ok()?;
    let input = |process: u32| std::fs::read_link(format!("/proc/{process}/fd/0")).ok();
    let own = input(runner).filter(|input| input.to_string_lossy().starts_with("pipe:"));
    let reads = |process: u32| {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        threads.filter_map(|thread| call(process, thread.file_name().to_str()?).ok()).any(|call| call.starts_with(read))
    };
    let is_foreground = waiting.contains(&main.split(' ').next().unwrap_or_default());
    let of_programs =
        || is_foreground && spawn::descendants(runner, None).into_iter().any(|program| input(program) == own && reads(program));
    Some(own.is_some() && (reads(runner) || of_programs()))
}

/// The thread that runs cells: the first one, or the one that took its place when it was made to stand still.
fn thread_of_cells(runner: u32) -> String {
    let name = |thread: &str| std::fs::read_to_string(format!("/proc/{runner}/task/{thread}/comm")).unwrap_or_default();
    let first = runner.to_string();
    if name(&first).trim_end() != standstill::NAME {
        return first;
    }
    let threads = std::fs::read_dir(format!("/proc/{runner}/task")).into_iter().flatten().flatten();
    let mut threads = threads.filter_map(|thread| thread.file_name().into_string().ok());
    threads.find(|thread| name(thread).trim_end() == standstill::NEXT).unwrap_or(first)
}

/// Writes lines for evcxr until the runner has ended; returns the exit code.
fn write(events: &Receiver<(Stream, Event)>, questions: &AtomicUsize) -> i32 {
    let mut out = std::io::stdout();
    let ask = |line: &mut dyn FnMut(String), question: String| {
        questions.fetch_add(1, Ordering::SeqCst);
        line(question);
    };
    let mut line = |text: String| {
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            std::process::exit(0)
        }
    };
    // Cells whose end was seen on each output, pipes that are open, and the runner's fate.
    let (mut ends, mut reported, mut open, mut exit) = ([0_u64; 2], 0, 2, None);
    // Whether a cell runs, whether it has asked for the input that it waits for, how often it was seen to wait, and whether
    // it can be seen to.
    let (mut running, mut asked, mut waited, mut blind) = (false, false, 0, false);
    // A question, if the cell waits for the answer.
    let mut question: Option<String> = None;
    while open > 0 || exit.is_none() {
        let event = match exit {
            None => events.recv().ok(),
            // A process that the cell started may hold the pipes open.
            Some(_) => events.recv_timeout(Duration::from_millis(300)).ok(),
        };
        if let Some((Stream::Out, Event::Frame(_) | Event::Closed)) | None = &event
            && let Some(text) = question.take()
        {
            line(lines::OUT.to_string() + &escape(&(text + "\n")));
        }
        match event {
            None => break,
            Some((_, Event::Closed)) => open -= 1,
            Some((_, Event::Exit(status))) => exit = Some(status),
            Some((_, Event::Fed)) => (asked, waited) = (false, 0),
            Some((_, Event::Blind)) => blind = true,
            Some((_, Event::Waits(waits))) => {
                waited = if waits && running { waited + 1 } else { 0 };
                // The second time: an answer may be on its way.
                if waited > 1 && !asked {
                    asked = true;
                    ask(&mut line, question.take().unwrap_or_else(|| "EVCXR_INPUT_REQUEST:".into()));
                }
            }
            // Both are read in the kernel by `output::line`.
            Some((Stream::Out, Event::Frame(ControlFrame::Text(text)))) => line(lines::OUT.to_string() + &escape(&text)),
            Some((Stream::Err, Event::Frame(ControlFrame::Text(text)))) => line(lines::ERR.to_string() + &escape(&text)),
            Some((Stream::Out, Event::Frame(ControlFrame::Question(text)))) if running && blind => {
                asked = true;
                ask(&mut line, text);
            }
            Some((Stream::Out, Event::Frame(ControlFrame::Question(text)))) => question = Some(text),
            Some((Stream::Err, Event::Frame(ControlFrame::Question(text)))) => line(lines::ERR.to_string() + &escape(&(text + "\n"))),
            Some((_, Event::Frame(ControlFrame::Content(kind, content)))) => {
                // Escaped as one line: evcxr looks for its tokens in a content as well.
                line(format!("EVCXR_BEGIN_CONTENT {kind}\n{}\nEVCXR_END_CONTENT", escape(&content)));
            }
            Some((_, Event::Frame(ControlFrame::Token(token)))) => {
                line(token.clone());
                match token.as_str() {
                    "EVCXR_PANIC_NOTIFICATION" => line(lines::PANICKED.into()),
                    "EVCXR_ERROR_OCCURRED" => line(lines::FAILED.into()),
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
                    eprintln!("{RECORD}{record}");
                }
                Ok(record) => line(format!("{RECORD}{}", escape_json(&record))),
                Err(_) => line(lines::OUT.to_string() + &escape(&json)),
            },
        }
    }
    match exit {
        Some(Ok(status)) => {
            // In good order it ends only when evcxr has closed its standard input.
            if running || !status.success() {
                line(format!("{RECORD}{}", json!({ "exit": status.to_string() })));
            }
            status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
        }
        _ => 1,
    }
}
