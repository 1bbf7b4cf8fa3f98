//! `cargo lab build` and `cargo lab check`: lesson files → notebooks, and whether they agree.

use notebooks::course;

use super::{Failure, Places};

/// Makes the notebooks of lessons; outputs of unchanged cells stay.
pub fn build(places: &Places, words: &[String]) -> Result<(), Failure> {
    let lessons = course::lessons(&places.notebooks)?;
    for lesson in course::select(&lessons, words)? {
        let changed = lesson.write_notebook(&lesson.fresh_notebook()?)?;
        println!("{:32} {}", lesson.name, if changed { "written" } else { "up to date" });
    }
    if course::write_modules(&places.notebooks, &lessons)? {
        println!("{:32} written", "lessons/all.rs");
    }
    Ok(())
}

/// Says which notebooks are not up to date.
pub fn check(places: &Places) -> Result<(), Failure> {
    let lessons = course::lessons(&places.notebooks)?;
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
    let modules = std::fs::read_to_string(places.notebooks.join("lessons/all.rs")).unwrap_or_default();
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
