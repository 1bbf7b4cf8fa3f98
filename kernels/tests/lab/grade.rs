//! `lab grade` from the outside: a class of folders → the table, what is named, what a run decides.

use std::path::PathBuf;
use std::process::Output;

use crate::notebook::{CHECK, Folder, notebook};

/// A learner whose notebook checks 1.1 with a value, and whose progress file says this.
fn learner(folder: &Folder, name: &str, value: u32, shown: bool, progress: &str) -> PathBuf {
    let home = folder.join(format!("class/{name}"));
    std::fs::create_dir_all(&home).unwrap();
    let mut own = notebook(&["use finetuning::check;", "let x: u32 = \"broken\";", &format!("check(\"1.1\", {value})?;")]);
    if shown {
        own.cells[2].outputs =
            vec![serde_json::json!({"output_type": "stream", "name": "stdout", "text": "1.1 is solved (1 of 24 exercises)\n"})];
    }
    own.save(&home.join("01_test.ipynb")).unwrap();
    std::fs::write(home.join("progress.json"), progress).unwrap();
    home
}

/// The lesson of a course with so many exercises, each solved by 7.
fn lesson(folder: &Folder, exercises: u32) {
    std::fs::create_dir_all(folder.join("notebooks/lessons")).unwrap();
    let block = |number: u32, value: u32| format!("    {{\n        check(\"1.{number}\", {value})?;\n    }}\n\n");
    let cells = |number| {
        let (open, solved) = (block(number, 0), block(number, 7));
        format!("    // %% [markdown]\n    // How many?\n\n    // %% exercise=1.{number}\n{open}    // %% solution=1.{number}\n{solved}")
    };
    let text = (1..=exercises).map(cells).collect::<String>();
    std::fs::write(folder.join("notebooks/lessons/01_test.rs"), format!("fn lesson() {{\n{text}    Ok(())\n}}\n")).unwrap();
}

fn grade(folder: &Folder, words: &[&str]) -> Output {
    let words = [&["grade"], words].concat();
    folder.command(&words).env("FINETUNING_ROOT", folder.path()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_cell_without_end_is_stopped_and_named_and_the_cells_after_it_run() {
    let folder = Folder::new(CHECK);
    lesson(&folder, 1);
    let home = learner(&folder, "eve", 7, false, "{\"exercises\": {\"1.1\": {\"tries\": 1, \"solved\": false}}}");
    let own = notebook(&["loop { print!(\"\"); std::thread::yield_now() }", "use finetuning::check;", "check(\"1.1\", 7)?;"]);
    own.save(&home.join("01_test.ipynb")).unwrap();
    let ran = grade(&folder, &["class", "--run=40", "--csv"]);
    assert_eq!(text(&ran.stdout), "learner,1.1,solved\neve,solved,1\n", "{ran:?}");
    assert!(text(&ran.stderr).contains("eve: 01_test.ipynb, cell 1: it did not end within 40 s and was stopped\n"), "{ran:?}");
}

#[test]
fn a_class_is_read_and_a_run_finds_who_claims() {
    let folder = Folder::new(CHECK);
    lesson(&folder, 2);
    let solved = "{\"exercises\": {\"1.1\": {\"tries\": 2, \"solved\": true}}}";
    let home = learner(&folder, "ann", 7, true, solved);
    learner(&folder, "bob", 3, false, solved);
    learner(&folder, "cy", 7, false, "{\"exercises\": {\"1.1\": {\"tries\": 3, \"solved\": false}}}");
    learner(&folder, "dan", 0, true, "{");

    let read = grade(&folder, &["class", "--csv"]);
    assert!(read.status.success(), "{read:?}");
    assert_eq!(text(&read.stdout), "learner,1.1,1.2,solved\nann,solved,,1\nbob,claimed,,0\ncy,tried 3,,0\ndan,claimed,,0\n");
    let notes = text(&read.stderr);
    for note in [
        "bob: 1.1 is solved in progress.json, but no notebook shows the run that solved it\n",
        "dan: progress.json cannot be read: EOF",
        "dan: a notebook shows that 1.1 is solved, but progress.json does not\n",
    ] {
        assert!(notes.contains(note), "{notes}");
    }
    let before = std::fs::read(home.join("01_test.ipynb")).unwrap();
    let ran = grade(&folder, &["class", "--run", "--csv"]);
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(text(&ran.stdout), "learner,1.1,1.2,solved\nann,solved,,1\nbob,claimed,,0\ncy,solved,,1\ndan,claimed,,0\n");
    assert!(text(&ran.stderr).contains("bob: 1.1 is said to be solved, but a run of the notebooks does not solve it\n"), "{ran:?}");
    assert_eq!(std::fs::read(home.join("01_test.ipynb")).unwrap(), before, "the learner's folder stays as it is");
    assert_eq!(std::fs::read_to_string(home.join("progress.json")).unwrap(), solved);

    let one = grade(&folder, &["class/ann", "--markdown"]);
    assert_eq!(text(&one.stdout), "| learner | 1.1 | 1.2 | solved |\n|---|---|---|---|\n| ann | ✓ |  | 1 of 2 |\n");
    let none = grade(&folder, &["notebooks"]);
    assert!(!none.status.success() && text(&none.stderr).contains("neither progress.json nor a notebook"), "{none:?}");
}
