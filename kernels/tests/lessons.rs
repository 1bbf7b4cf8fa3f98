//! Every lesson, run by our kernel from its first cell to its last, as `cargo lab run` does it.

use std::path::Path;
use std::process::Command;

#[test]
fn every_lesson_runs_to_its_end() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks");
    let lessons = notebooks::course::lessons(&folder).unwrap();
    assert_eq!(lessons.len(), 8);
    let output = Command::new(env!("CARGO_BIN_EXE_lab")).arg("run").output().unwrap();
    let (lines, words) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    println!("{lines}");
    assert!(output.status.success(), "{lines}\n{words}");
    for lesson in lessons {
        let cells = lesson.fresh_notebook().unwrap().cells;
        let code = cells.iter().filter(|cell| cell.kind == notebooks::Kind::Code && !cell.source.trim().is_empty()).count();
        let line = lines.lines().find(|line| line.starts_with(&lesson.name)).unwrap_or_else(|| panic!("no line for {}", lesson.name));
        assert!(line.ends_with("  ok") && line.contains(&format!(" {code} cells")), "{line}");
    }
}
