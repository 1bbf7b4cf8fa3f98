//! Questions to the machine and its memory: free disk space, the user, memory that is given back.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What can be done on the file system of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Free bytes.
    pub free: u64,
    /// Whether programs and libraries can be loaded from it.
    pub executes: bool,
}

/// Free bytes of the file system of a folder; `None` when the system does not say.
pub fn free_disk(folder: &Path) -> Option<u64> {
    place(folder).map(|place| place.free)
}

/// What can be done in a folder; `None` when the system does not say.
pub fn place(folder: &Path) -> Option<Place> {
    let path = CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: the structure is plain numbers, for which zero is a value.
    let mut numbers: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero byte, and both pointers are valid for the call.
    let result = unsafe { libc::statvfs(path.as_ptr(), &raw mut numbers) };
    #[cfg(target_os = "linux")]
    let executes = numbers.f_flag & libc::ST_NOEXEC == 0;
    #[cfg(not(target_os = "linux"))]
    let executes = true;
    // The width of the two fields differs between systems.
    #[allow(clippy::unnecessary_cast)]
    (result == 0).then(|| Place { free: numbers.f_bavail as u64 * numbers.f_frsize as u64, executes })
}

/// The number of the user that this process acts for; 0 is the superuser.
pub fn user() -> u32 {
    // SAFETY: a call without arguments that cannot fail.
    unsafe { libc::geteuid() }
}

/// Returns freed memory to the system, where the C library can.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: a call without pointers.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Keeps memory that is freed in the process, so that the next pass of a training need not ask the system for it again page by
/// page; [`give_back_memory`] still returns it. Where the C library can.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: calls without pointers, which change only when the allocator returns free memory to the system.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_space_of_a_folder_is_known() {
        assert!(free_disk(&std::env::temp_dir()).unwrap() > 0);
        assert_eq!(free_disk(Path::new("/no such folder")), None);
    }
}
