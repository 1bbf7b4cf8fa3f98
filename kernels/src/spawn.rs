//! A command → a child process: run to its end with its output collected, or kept running until it is to end.
//!
//! The one place that starts programs. A child ends with its owner: [`Running`] ends it when it is dropped, [`tie`] makes a
//! program of this project end with the process that started it.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::system::process;

/// Names the process that shall have started a program of this project.
const PARENT: &str = "FINETUNING_PARENT";

/// Runs a command in silence; its standard output as text.
///
/// # Errors
/// The program cannot be run, or `what` went wrong, with what the program says of it.
pub fn output(command: &mut Command, what: &str) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| not_run(command, &error))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{what} ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

/// Runs a command that shows its output itself.
///
/// # Errors
/// The program cannot be run, or `what` went wrong.
pub fn run(command: &mut Command, what: &str) -> Result<(), String> {
    let status = command.status().map_err(|error| not_run(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("{what} ({status})")) }
}

/// Runs a command whose output nobody needs; whether it succeeded.
pub fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Sends both outputs of a command into a file, which is made anew, and gives it nothing to read.
///
/// # Errors
/// The file cannot be written.
pub fn log_into<'a>(command: &'a mut Command, log: &Path) -> io::Result<&'a mut Command> {
    let file = File::create(log)?;
    Ok(command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file))
}

fn not_run(command: &Command, error: &io::Error) -> String {
    format!("cannot run {}: {error}", command.get_program().display())
}

/// Makes a program of this project end when this process ends; it calls [`obey_tie`].
pub fn tie(command: &mut Command) -> &mut Command {
    command.env(PARENT, std::process::id().to_string())
}

/// In a program that [`tie`] started: ends with its parent from now on, and its own children know nothing of it.
pub fn obey_tie() {
    process::end_with_parent(std::env::var(PARENT).ok().and_then(|parent| parent.parse().ok()));
    process::forget_variables(&[PARENT]);
}

/// All processes that the process `of` started, directly or not, except `spared` and what that one started.
pub fn descendants(of: u32, spared: Option<u32>) -> Vec<u32> {
    let list =
        parents_from_proc().unwrap_or_else(|| output(Command::new("ps").args(["-A", "-o", "pid=,ppid="]), "ps failed").unwrap_or_default());
    let pairs: Vec<(u32, u32)> = list
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
        .collect();
    let mut found = vec![of];
    let mut index = 0;
    while index < found.len() {
        let parent = found[index];
        found.extend(pairs.iter().filter(|pair| pair.1 == parent && Some(pair.0) != spared).map(|pair| pair.0));
        index += 1;
    }
    found.split_off(1)
}

/// `pid ppid` lines from /proc; none where there is no /proc.
fn parents_from_proc() -> Option<String> {
    let mut lines = String::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in parentheses may hold blanks and parentheses.
        if let (Some(pid), Some((_, rest))) = (entry.file_name().to_str(), stat.rsplit_once(") ")) {
            lines += &format!("{pid} {}\n", rest.split(' ').nth(1).unwrap_or("0"));
        }
    }
    (!lines.is_empty()).then_some(lines)
}

/// A child process; it is ended when this is dropped.
pub struct Running {
    child: Child,
    group: bool,
}

impl Running {
    /// Starts a command in the process group of this process: Ctrl-C reaches both.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn start(command: &mut Command) -> io::Result<Running> {
        Ok(Running { child: command.spawn()?, group: false })
    }

    /// Starts a command as the leader of a process group of its own: it ends with all that it has started.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn start_group(command: &mut Command) -> io::Result<Running> {
        Ok(Running { child: command.process_group(0).spawn()?, group: true })
    }

    /// The number of the process, and of its group if it leads one.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How the process ended; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        // The number of a group without a leader may be given to others.
        self.group &= status.is_none();
        status
    }

    /// Waits for the end, which does not end what the process left running.
    ///
    /// # Errors
    /// The process is lost.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        self.group = false;
        self.child.wait()
    }

    /// Waits so long; whether the process has ended.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        while self.ended().is_none() {
            if start.elapsed() >= limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Asks the process to end, and ends it when it has not done so in time.
    pub fn end(mut self, patience: Duration) {
        process::terminate(self.id());
        self.ends_within(patience);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.group {
            process::kill_group(self.id());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_is_collected_and_its_failure_told() {
        let sh = |line: &str| output(Command::new("sh").args(["-c", line]), "the line failed");
        assert_eq!(sh("echo é; echo no >&2"), Ok("é\n".into()));
        assert_eq!(sh("echo why >&2; exit 3"), Err("the line failed (exit status: 3):\nwhy\n".into()));
        assert!(output(&mut Command::new("/no/such"), "x").unwrap_err().starts_with("cannot run /no/such: "));
        assert!(succeeds(&mut Command::new("true")) && !succeeds(&mut Command::new("false")));
    }

    #[test]
    fn a_group_ends_with_all_that_it_started() {
        let mut sh = Command::new("sh");
        let mut group = Running::start_group(sh.args(["-c", "sleep 60 & echo $!; wait"]).stdout(Stdio::piped())).unwrap();
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(group.child().stdout.take().unwrap()), &mut line).unwrap();
        let inner: u32 = line.trim().parse().unwrap();
        assert!(process::exists(inner) && group.ended().is_none());
        drop(group);
        // It is gone as soon as process 1 has looked for it.
        let gone = || std::fs::read_to_string(format!("/proc/{inner}/stat")).map_or(true, |stat| stat.contains(") Z "));
        let start = Instant::now();
        while !gone() && process::exists(inner) {
            assert!(start.elapsed() < Duration::from_secs(10), "process {inner} lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
