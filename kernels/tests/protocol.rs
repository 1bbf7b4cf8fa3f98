//! The kernel as Jupyter sees it: installed by `cargo lab setup`, tested by Python's own clients.

use std::path::Path;
use std::process::Command;
use std::sync::Once;

/// Runs a file of tests with the lab's Python; returns how many ran, and the lines of those that were skipped.
#[track_caller]
fn run(file: &str) -> (usize, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    static READY: Once = Once::new();
    READY.call_once(|| {
        let setup = Command::new(env!("CARGO_BIN_EXE_lab")).arg("setup").output().unwrap();
        assert!(setup.status.success(), "{}{}", String::from_utf8_lossy(&setup.stdout), String::from_utf8_lossy(&setup.stderr));
    });
    let mut python = Command::new(root.join(".lab/venv/bin/python"));
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(file));
    python.env("FINETUNING_KERNEL_NAME", notebooks::ipynb::KERNEL_NAME).env("FINETUNING_LAB", env!("CARGO_BIN_EXE_lab"));
    python.env("JUPYTER_PLATFORM_DIRS", "1");
    let history = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{file}.{}.history", std::process::id()));
    python.env("FINETUNING_HISTORY", &history);
    // Other kernels of the machine must not be taken for ours.
    for name in ["JUPYTER_PATH", "PYTHONPATH", "PYTHONHOME", "FINETUNING_ROOT"] {
        python.env_remove(name);
    }
    let output = python.output().unwrap();
    let _ = std::fs::remove_file(history);
    let report = String::from_utf8_lossy(&output.stderr);
    println!("{report}");
    assert!(output.status.success(), "{report}");
    let ran = report.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse().ok());
    let skipped = report.lines().filter(|line| line.contains(" ... skipped ")).map(str::to_string).collect();
    (ran.expect("unittest says how many tests it ran"), skipped)
}

#[test]
fn jupyters_own_tests_pass() {
    let (ran, skipped) = run("test_protocol.py");
    assert_eq!(ran, 12);
    // A pager is IPython's `?`; no command of ours asks for one. All other cases apply.
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert!(skipped[0].starts_with("test_pager "), "{skipped:?}");
}

#[test]
fn nothing_on_the_wire_stops_the_kernel() {
    assert_eq!(run("test_wire.py"), (12, vec![]));
}

#[test]
fn every_front_end_runs_an_installed_kernel() {
    assert_eq!(run("test_install.py"), (8, vec![]));
}

#[test]
fn the_book_is_whole_without_a_network() {
    assert_eq!(run("test_book.py"), (2, vec![]));
}
