//! Variables whose type nobody wrote: what the companion returns is named by the kernel, so that a later cell has it.

use std::process::Command;

use notebooks::{Lesson, Notebook};

const CELLS: &str = r#"fn types() {
    // %%
    use finetuning::*;

    // %%
    fn row(row: usize) -> Example {
        Example::new([("question", format!("Where is room {row}?")), ("answer", format!("On floor {}.", row % 7))])
    }
    let rows = Dataset::from_examples((0..20).map(row).collect());
    let guess = rows.detect()?;
    let report = quality_report(&rows, None, &QualityOptions::default())?;
    let mended = report.repair();
    let (train, test) = rows.split_by_group(0.2, 123)?;
    // => lacks "error"

    // %%
    std::fs::create_dir_all("pages").unwrap();
    std::fs::write("pages/a.md", "\u{23} Doors\n\nEach door of the house opens to the inside, and has a key.").unwrap();
    let tokenizer = AutoTokenizer::from_pretrained("builtin:base")?;
    let sections = Sections::read("pages", &SectionOptions::default(), &tokenizer)?;
    let mut runner = BasicModelRunner::new("builtin:base")?;
    let answers = evaluate_answers(runner.model()?, &tokenizer, &test, 2)?;
    let kinds = error_categories(&answers.rows);
    let one_test = mcnemar(&[true, false, true], &[true, true, true])?;
    let table = rows.to_frame()?;
    let service = runner.playground()?;

    // %%
    runner.load_rows(&train)?;
    let comparison = runner.evaluate()?;

    // %%
    println!("{} {} {} {}", guess.rows, report.findings.len(), mended.data.len(), train.len() + test.len());
    println!("{} {} {} {}", sections.to_dataset().len(), answers.rows.len(), kinds.rows, comparison.base.rows.len());
    println!("{} {}", table.height(), one_test.p_value > 0.0);
    service.stop();
    // => matches "20 * * 20"
    // => contains "20 true"

    Ok(())
}
"#;

#[test]
fn what_the_companion_returns_needs_no_annotation() {
    let folder = tempfile::tempdir().unwrap();
    Notebook::from_lesson(&Lesson::split(CELLS).unwrap()).save(&folder.path().join("types.ipynb")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lab")).args(["run", "types.ipynb"]).current_dir(folder.path()).output().unwrap();
    let (lines, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{lines}\n{words}");
}
