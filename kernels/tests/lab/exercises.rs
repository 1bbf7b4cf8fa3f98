//! `lab build` and `lab run` on a lesson with an exercise and contracts: what is cut out, what is asked of both states, what is named.

use std::process::Output;

use crate::notebook::{CHECK, Folder, read};

const LESSON: &str = "pub fn lesson() -> finetuning::Result<()> {
    // %% covers=2
    use finetuning::check;
    println!(\"4 rows\");
    // => contains \"rows\"
    // => number after \"\" = 4

    // %% [markdown]
    // How many?

    // %% exercise=1.1
    {
        check(\"1.1\", 0)?;
    }

    // %% solution=1.1
    {
        check(\"1.1\", 7)?;
    }

    // %%
    Err::<(), String>(\"the service is away\".into())?;
    // => error \"away\"

    // %%
    println!(\"the end\");
    // => prints \"the end\"
    Ok(())
}
";

/// A repository in the folder with this lesson.
fn write(folder: &Folder, lesson: &str) {
    std::fs::create_dir_all(folder.join("notebooks/lessons")).unwrap();
    std::fs::write(folder.join("notebooks/lessons/01_test.rs"), lesson).unwrap();
}

fn lab(folder: &Folder, words: &[&str]) -> Output {
    folder.command(words).env("FINETUNING_ROOT", folder.path()).output().unwrap()
}

fn lines(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_lesson_is_built_in_both_states_and_both_are_run() {
    let folder = Folder::new(CHECK);
    write(&folder, LESSON);
    let built = lab(&folder, &["build"]);
    assert!(built.status.success(), "{}", lines(&built));
    let (learner, solved) = (read(&folder.join("notebooks/01_test.ipynb")), read(&folder.join("notebooks/solutions/01_test.ipynb")));
    assert_eq!((learner.cells[2].source.as_str(), solved.cells[2].source.as_str()), ("check(\"1.1\", 0)?;", "check(\"1.1\", 7)?;"));
    assert!(!learner.write().contains("=> contains") && learner.write().contains("contains \\\"rows\\\""));

    let output = lab(&folder, &["run", "--write"]);
    assert!(output.status.success(), "{}", lines(&output));
    let cells = read(&folder.join("notebooks/01_test.ipynb")).cells;
    assert!(cells[2].outputs.is_empty() && cells[2].execution_count.is_none(), "an exercise is left to the learner");
    assert_eq!(cells[3].outputs[0]["output_type"], "error");
    assert_eq!(cells[4].outputs[0]["text"], "the end\n");
    assert!(!folder.join("notebooks/progress.json").exists(), "the run of a lesson is nobody's progress");
    assert!(lab(&folder, &["check"]).status.success());

    for (from, to, named) in [
        ("= 4", "= 5", "    cell 1, line 6: promised: number after \"\" = 5\n    came:     4\n"),
        ("\"1.1\", 0", "\"1.1\", 8", "    cell 3, line 11: exercise 1.1: its cell passes before it is solved\n"),
        ("\"1.1\", 7", "\"1.1\", 5", "    cell 3, line 11: exercise 1.1: its solution fails: Error: 1.1 is not solved yet: too small\n"),
        (
            "check(\"1.1\", 0)?;",
            "let _: u32 = todo!();",
            "    cell 3, line 11: exercise 1.1: its cell does not end with the hint of its check, but with Panic: not yet",
        ),
        (
            "Err::<(), String>(\"the service is away\".into())?;",
            "println!(\"here\");",
            "    cell 4, line 23: promised: error \"away\"\n    came:     the cell did not fail\n",
        ),
    ] {
        write(&folder, &LESSON.replace(from, to));
        let output = lab(&folder, &["run"]);
        assert!(!output.status.success() && lines(&output).contains(named), "{to}: {}", lines(&output));
    }
}

#[test]
fn a_learner_s_own_copy_goes_on_behind_an_exercise_and_notes_its_progress() {
    let folder = Folder::new(CHECK);
    write(&folder, LESSON);
    assert!(lab(&folder, &["build"]).status.success());
    std::fs::create_dir(folder.join("work")).unwrap();
    std::fs::copy(folder.join("notebooks/01_test.ipynb"), folder.join("work/01_test.ipynb")).unwrap();
    let output = lab(&folder, &["run", "work/01_test.ipynb", "--write"]);
    assert!(output.status.success(), "{}", lines(&output));
    let cells = read(&folder.join("work/01_test.ipynb")).cells;
    assert_eq!(cells[2].outputs[0]["evalue"], "1.1 is not solved yet: too small\nhint: more");
    assert_eq!(cells[4].outputs[0]["text"], "the end\n");
    assert!(std::fs::read_to_string(folder.join("work/progress.json")).unwrap().contains("\"solved\": false"));
}
