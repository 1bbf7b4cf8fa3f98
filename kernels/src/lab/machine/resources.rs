//! Questions to the machine: free disk space, free ports, writable folders.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::lab::failure::Failure;
use crate::lab::paths::Paths;

/// Free space that a full set-up needs.
pub const DISK_NEEDED: u64 = 3_000_000_000;
/// The port that Jupyter's users know.
pub const DEFAULT_PORT: u16 = 8888;
/// How many ports after the default one are tried.
const PORTS: u16 = 100;

/// Fails when the set-up would not fit into that many free bytes.
pub fn check_disk(free: Option<u64>) -> Result<(), Failure> {
    match free {
        Some(free) if free < DISK_NEEDED => {
            let what = format!("the disk has {:.1} GB free, and the set-up needs {} GB", free as f64 / 1e9, DISK_NEEDED / 1_000_000_000);
            Err(Failure::new(what, "df -h . && cargo clean"))
        }
        _ => Ok(()),
    }
}

/// Makes the `.lab` folder; fails when the repository cannot be written to.
pub fn check_writable(paths: &Paths) -> Result<(), Failure> {
    let written = std::fs::create_dir_all(&paths.lab).and_then(|()| tempfile::tempfile_in(&paths.lab));
    written.map(drop).map_err(|error| {
        Failure::new(
            format!("the repository folder cannot be written to ({error})"),
            "cp -r . ~/finetuning && cd ~/finetuning && cargo lab; or let its owner run `cargo lab setup` for all",
        )
    })
}

/// The bytes of all files below a path; a file with several names counts once.
pub fn size(path: &Path) -> u64 {
    fn below(path: &Path, seen: &mut HashSet<u64>) -> u64 {
        let Ok(about) = std::fs::symlink_metadata(path) else { return 0 };
        if !about.is_dir() {
            return if seen.insert(about.ino()) { about.len() } else { 0 };
        }
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| below(&entry.path(), seen)).sum()
    }
    below(path, &mut HashSet::new())
}

/// Whether a program may listen on a port of this machine.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The first free port from a number on.
pub fn next_free(from: u16) -> Option<u16> {
    (from..=from.saturating_add(PORTS)).find(|&port| is_free(port))
}

/// The port that is asked for, or the first free one.
pub fn choose_port(wanted: Option<u16>) -> Result<u16, Failure> {
    match wanted {
        Some(port) if is_free(port) => Ok(port),
        Some(port) => {
            let other = next_free(port.saturating_add(1)).map_or("cargo lab".to_string(), |free| format!("cargo lab --port {free}"));
            Err(Failure::new(format!("port {port} is taken"), other))
        }
        None => next_free(DEFAULT_PORT).ok_or_else(|| {
            Failure::new(format!("no port from {DEFAULT_PORT} to {} is free", DEFAULT_PORT + PORTS), "cargo lab --port 9999")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{check_disk, choose_port, next_free, size};

    #[test]
    fn a_taken_port_is_refused_by_number_and_passed_over_by_default() {
        let held = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let failure = choose_port(Some(port)).unwrap_err();
        assert_eq!(failure.what, format!("port {port} is taken"));
        assert!(failure.fix.unwrap().starts_with("cargo lab --port "));
        assert_ne!(next_free(port), Some(port));
    }

    #[test]
    fn a_file_with_two_names_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(folder.path().join("deep/a"), [0; 700]).unwrap();
        std::fs::write(folder.path().join("b"), [0; 50]).unwrap();
        std::fs::hard_link(folder.path().join("deep/a"), folder.path().join("c")).unwrap();
        assert_eq!((size(folder.path()), size(&folder.path().join("none"))), (750, 0));
    }

    #[test]
    fn a_full_disk_is_refused() {
        assert!(
            check_disk(Some(2_500_000_000))
                .unwrap_err()
                .to_string()
                .starts_with("error: the disk has 2.5 GB free, and the set-up needs 3 GB\nfix:   df")
        );
        assert!(check_disk(Some(3_500_000_000)).is_ok() && check_disk(None).is_ok());
    }
}
