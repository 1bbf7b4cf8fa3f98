//! Freed memory of this process → kept for the next pass, or given back to the system. A choice for the whole process, so one of
//! the program: a library does not call it.

/// Keeps memory that is given back in the process, so that the next training pass need not ask the system for it again
/// page by page; or, at the end of a run, gives back what is free. Only the GNU allocator knows how; elsewhere nothing happens.
pub fn keep_memory(keep: bool) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt and malloc_trim take plain numbers, may be called from any thread at any time, and change only when
    // the allocator returns free memory to the system.
    unsafe {
        const USUAL: libc::c_int = 32 << 20;
        libc::mallopt(libc::M_MMAP_THRESHOLD, if keep { 1 << 30 } else { USUAL });
        libc::mallopt(libc::M_TOP_PAD, if keep { 64 << 20 } else { 128 << 10 });
        libc::mallopt(libc::M_TRIM_THRESHOLD, if keep { libc::c_int::MAX } else { USUAL });
        if !keep {
            libc::malloc_trim(0);
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = keep;
}
