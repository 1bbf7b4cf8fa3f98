//! This machine → the memory that is free, and that this process has held.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes between two looks at what is free.
const STEP: usize = 64 << 20;
/// Bytes that are left to the rest of the program and of the machine.
const RESERVE: usize = 256 << 20;

/// The highest memory that this process has held, in bytes; 0 where the system does not say.
pub fn peak_memory() -> usize {
    kilobytes("/proc/self/status", "VmHWM:").unwrap_or(0)
}

/// The highest memory that this process holds while some work runs, in bytes, looked at every few milliseconds; 0 where the system
/// does not say.
pub(crate) fn highest_during<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let done = AtomicBool::new(false);
    let held = || kilobytes("/proc/self/status", "VmRSS:").unwrap_or(0);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut highest = held();
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
                highest = highest.max(held());
            }
            highest
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (watch.join().unwrap_or(0), result)
    })
}

/// Memory that this process can still take without swapping and within its limit of addresses (`ulimit -v`), in bytes; 0 where
/// the system does not say.
pub fn available_memory() -> usize {
    let free = kilobytes("/proc/meminfo", "MemAvailable:");
    // 1 and not 0, which says that nothing is known.
    let left = limit_of_addresses().and_then(|limit| Some(limit.saturating_sub(kilobytes("/proc/self/status", "VmSize:")?).max(1)));
    free.into_iter().chain(left).min().unwrap_or(0)
}

/// A line such as `VmSize:  12 kB` of a file of the system, in bytes.
fn kilobytes(file: &str, name: &str) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
}

/// The limit that `ulimit -v` sets, in bytes, where it sets one.
fn limit_of_addresses() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    text.lines().find_map(|line| line.strip_prefix("Max address space"))?.split_whitespace().next()?.parse().ok()
}

/// What is put into memory piece by piece → whether there is room for more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Growth {
    bytes: usize,
    asked: usize,
}

impl Growth {
    /// Counts so many bytes more; false when there is little memory left.
    pub fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes - self.asked < STEP {
            return true;
        }
        self.asked = self.bytes;
        let free = available_memory();
        free == 0 || free > RESERVE
    }

    /// All bytes that were counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
