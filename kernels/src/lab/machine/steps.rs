//! A step with a name → a line with its result and its time.

use std::io::Write;
use std::time::Instant;

use crate::lab::failure::Failure;

/// What a step had to do.
pub enum Done {
    /// It found everything ready.
    Fresh,
    /// It made something, named here.
    Made(String),
}

/// Runs a step and prints its line: `ok  Python environment: up to date  0.1 s`.
pub fn step(name: &str, work: impl FnOnce() -> Result<Done, Failure>) -> Result<(), Failure> {
    let start = Instant::now();
    let done = work()?;
    let what = match &done {
        Done::Fresh => "up to date",
        Done::Made(what) => what,
    };
    println!("ok  {:44} {:6.1} s", format!("{name}: {what}"), start.elapsed().as_secs_f64());
    Ok(())
}

/// Says what takes long, before it does.
pub fn say(text: &str) {
    println!("... {text}");
    let _ = std::io::stdout().flush();
}
