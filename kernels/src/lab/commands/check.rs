//! `cargo lab check`: lesson files and notebooks → whether they agree.

use notebooks::course;

use crate::lab::failure::Failure;
use crate::lab::paths::Paths;

/// Says which notebooks are not up to date.
pub fn check(paths: &Paths) -> Result<(), Failure> {
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
