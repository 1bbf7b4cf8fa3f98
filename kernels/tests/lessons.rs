//! Every lesson, run by our kernel from its first cell to its last, as `cargo lab run` does it.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `cargo lab run` of some lessons; while the cells of one are compiled, those of another compute.
fn run(numbers: [&str; 4]) -> Child {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.arg("run").args(numbers).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn every_lesson_runs_to_its_end() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks");
    let lessons = notebooks::course::lessons(&folder).unwrap();
    assert_eq!(lessons.len(), 8);
    let outputs = [run(["1", "3", "5", "7"]), run(["2", "4", "6", "8"])].map(|lab| lab.wait_with_output().unwrap());
    let lines: String = outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout)).collect();
    let words: String = outputs.iter().map(|output| String::from_utf8_lossy(&output.stderr)).collect();
    println!("{lines}");
    assert!(outputs.iter().all(|output| output.status.success()), "{lines}\n{words}");
    for lesson in lessons {
        let cells = lesson.fresh_notebook().unwrap().cells;
        let code = cells.iter().filter(|cell| cell.kind == notebooks::Kind::Code && !cell.source.trim().is_empty()).count();
        let line = lines.lines().find(|line| line.starts_with(&lesson.name)).unwrap_or_else(|| panic!("no line for {}", lesson.name));
        assert!(line.ends_with("  ok") && line.contains(&format!(" {code} cells")), "{line}");
    }
}
