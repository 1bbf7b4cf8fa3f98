//! The environment → who runs this process.

/// Whether the running process is a cell of our kernel, which can draw while the cell runs.
pub fn in_our_kernel() -> bool {
    std::env::var_os("FINETUNING_KERNEL").is_some()
}
