//! A small crate in the companion's place: a type, a static, a live display and a loop that polls the interrupt flag.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static MADE: AtomicUsize = AtomicUsize::new(0);

pub struct Counter {
    value: usize,
}

#[derive(Debug)]
pub struct Interrupted;

pub type Result<T, E = Interrupted> = std::result::Result<T, E>;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted in the test loop")
    }
}

impl Counter {
    pub fn new() -> Counter {
        MADE.fetch_add(1, Ordering::SeqCst);
        Counter { value: 0 }
    }

    pub fn next(&mut self) -> Result<usize> {
        self.value += 1;
        Ok(self.value)
    }

    pub fn made() -> usize {
        MADE.load(Ordering::SeqCst)
    }
}

/// Says something to the kernel, as the companion does.
pub fn record(json: &str) {
    let secrets = std::fs::read_to_string(std::env::var("FINETUNING_MARKS").expect("the kernel sets it")).expect("the kernel wrote it");
    println!("\x02K{}{json}", secrets.split(' ').next().unwrap());
}

/// Displays itself as the libraries of evcxr do.
pub struct Figure;

impl Figure {
    pub fn evcxr_display(&self) {
        println!("EVCXR_BEGIN_CONTENT text/html\n<svg/>\nEVCXR_END_CONTENT");
    }
}

/// Shows a display, waits until a file exists, then updates it.
pub fn live(file: &str) {
    record("{\"display\":{\"id\":\"live\",\"data\":{\"text/plain\":\"waiting\"}}}");
    while !Path::new(file).exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    record("{\"update\":{\"id\":\"live\",\"data\":{\"text/html\":\"<b>seen</b>\"}}}");
    record("{\"clear\":{\"wait\":true}}");
}

/// Opens a comm.
pub fn open_comm() {
    record("{\"comm_open\":{\"id\":\"c1\",\"target\":\"slider\",\"data\":{\"min\":0}}}");
}

/// Opens a comm with the parts that few messages have.
pub fn open_comm_with_buffers() {
    record("{\"comm_open\":{\"id\":\"c2\",\"target\":\"slider\",\"metadata\":{\"version\":2},\"buffers\":[\"AP8=\"]}}");
}

/// Registers a target that the front end may open comms to.
pub fn register_target() {
    record("{\"comm_target\":{\"id\":\"t1\",\"target\":\"chat\"}}");
}

/// Lets the target go.
pub fn end_target() {
    record("{\"comm_target_end\":{\"id\":\"t1\"}}");
}

/// Waits for a message on a comm.
pub fn receive(id: &str) -> String {
    let file = Path::new(&std::env::var("FINETUNING_COMMS").expect("the kernel sets it")).join(format!("{id}.jsonl"));
    loop {
        match std::fs::read_to_string(&file) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Waits for a message on the comm and answers it.
pub fn converse() -> String {
    let line = receive("c1");
    record("{\"comm_msg\":{\"id\":\"c1\",\"data\":{\"seen\":true}}}");
    line
}

/// Runs until the user interrupts.
pub fn until_interrupted() -> Result<()> {
    assert_eq!(std::env::var("FINETUNING_KERNEL").as_deref(), Ok("1"));
    let flag = std::env::var("FINETUNING_INTERRUPT").expect("the kernel sets it");
    while !Path::new(&flag).exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Interrupted)
}

/// Leaves a sign of life, takes longer over one step than the kernel waits for a cell without one, then sees the flag.
pub fn slow_step() -> Result<()> {
    std::fs::write(std::env::var("FINETUNING_HEARTBEAT").expect("the kernel sets it"), "").expect("a folder that can be written");
    std::thread::sleep(Duration::from_secs(6));
    until_interrupted()
}
