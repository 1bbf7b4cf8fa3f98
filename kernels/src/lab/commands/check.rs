//! `cargo lab check`: lesson files and notebooks → whether they agree; and what the lessons do not promise or cover yet.

use notebooks::cells::EXERCISE_LINES;
use notebooks::coverage::Coverage;
use notebooks::numbers::Numbers;
use notebooks::{Kind, Lesson, Part, course};

use crate::lab::failure::Failure;
use crate::lab::paths::Paths;

/// Says which notebooks are not up to date, and with `contracts` what is missing in the lessons.
pub fn check(paths: &Paths, contracts: bool) -> Result<(), Failure> {
    up_to_date(paths)?;
    if contracts { promises(paths) } else { Ok(()) }
}

/// Says which cells promise nothing, which are too long, and what of the course no cell covers.
fn promises(paths: &Paths) -> Result<(), Failure> {
    let (mut lessons, mut found): (Vec<(String, Lesson)>, Vec<String>) = (Vec::new(), Vec::new());
    let stated = Numbers::open(&paths.notebooks)?;
    for file in course::lessons(&paths.notebooks)? {
        let lesson = file.lesson()?;
        let wrong = file.read_notebook()?.map(|notebook| stated.wrong(&file.number.to_string(), &notebook, &paths.notebooks));
        found.extend(silent(&lesson).into_iter().chain(wrong.unwrap_or_default()).map(|what| format!("{}, {what}", file.name)));
        lessons.push((file.name, lesson));
    }
    let list = Coverage::open(&paths.notebooks)?;
    let missing = list.missing(&lessons)?;
    found.iter().for_each(|what| println!("{what}"));
    missing.iter().for_each(|(number, what)| println!("no cell covers {number}: {what}"));
    if found.is_empty() && missing.is_empty() {
        return Ok(());
    }
    let what = format!(
        "{} cells promise nothing, are too long or state what nothing shows, {} of {} items have no cell",
        found.len(),
        missing.len(),
        list.count()
    );
    Err(Failure::new(what, "write `// => contains \"…\"` at the end of a cell, ` covers=1,2` behind its `// %%`; then: cargo lab build"))
}

/// The code cells without a contract, and those that are longer than a learner reads at a glance, by their lines.
fn silent(lesson: &Lesson) -> Vec<String> {
    let cells = lesson.cells.iter().filter(|cell| cell.kind == Kind::Code && cell.part == Part::Lesson && !cell.source.trim().is_empty());
    let mut found = Vec::new();
    for cell in cells {
        if cell.contracts.is_empty() {
            found.push(format!("line {}: no contract", cell.line));
        }
        let lines = cell.source.lines().count();
        if lines > EXERCISE_LINES {
            found.push(format!("line {}: {lines} lines, a learner's cell has {EXERCISE_LINES} at most", cell.line));
        }
    }
    found
}

/// Says which notebooks are not up to date.
fn up_to_date(paths: &Paths) -> Result<(), Failure> {
    let lessons = course::lessons(&paths.notebooks)?;
    let (mut stale, mut run) = (Vec::new(), Vec::new());
    for lesson in &lessons {
        let number = lesson.number.to_string();
        let state = match lesson.stale()? {
            Some(why) => {
                stale.push(number);
                why
            }
            None => match lesson.read_notebook()?.map(|notebook| notebook.missing_outputs()).unwrap_or_default().first() {
                Some(why) => {
                    run.push(number);
                    why.clone()
                }
                None => "up to date".into(),
            },
        };
        println!("{:32} {state}", lesson.name);
    }
    let modules = std::fs::read_to_string(paths.notebooks.join("lessons/all.rs")).unwrap_or_default();
    let listed = modules == course::modules(&lessons);
    if !listed {
        println!("{:32} does not list the lessons of the folder", "lessons/all.rs");
    }
    let command = |verb: &str, numbers: &[String], end: &str| format!("cargo lab {verb} {}{end}", numbers.join(" ")).trim_end().to_string();
    let count = stale.len() + run.len();
    let fix = match (stale.is_empty(), run.is_empty()) {
        (true, true) if listed => return Ok(()),
        (true, true) => "cargo lab build".into(),
        (false, true) => command("build", &stale, ""),
        (true, false) => command("run", &run, " --write"),
        (false, false) => format!("{} && {}", command("build", &stale, ""), command("run", &run, " --write")),
    };
    let what = if count == 0 {
        "lessons/all.rs is not up to date".into()
    } else {
        format!("{count} of {} notebooks are not up to date", lessons.len())
    };
    Err(Failure::new(what, fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_without_a_promise_and_long_ones_are_named() {
        let long = "    f();\n".repeat(13);
        let text = format!(
            "fn lesson() {{\n    // %%\n    f();\n    // => nothing\n\n    // %%\n{long}    // %% [markdown]\n    // Why?\n\n    // %% exercise=1.1\n    {{\n        f();\n    }}\n\n    // %% solution=1.1\n    {{\n        f();\n    }}\n    Ok(())\n}}\n"
        );
        let lesson = Lesson::split(&text).unwrap();
        assert_eq!(silent(&lesson), ["line 6: no contract", "line 6: 13 lines, a learner's cell has 12 at most"]);
    }
}
