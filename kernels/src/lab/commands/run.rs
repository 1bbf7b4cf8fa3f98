//! `cargo lab run`: notebooks → every cell run in our kernel, from top to bottom, without a browser.
//!
//! A line per lesson (and in a log one each half minute that says which cell runs), and one for each cell that failed or broke a
//! contract; of an exercise, its own cell has to fail by its check and the solution has to pass. With `--write`, the outputs go into the notebook.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notebooks::{Lesson, Notebook, course};
use serde_json::Value;

use crate::kernel::prepare::companion::wants_cuda;
use crate::lab::client::pass::{self, Fault, Pass};
use crate::lab::failure::Failure;
use crate::lab::machine::{companion, model};
use crate::lab::paths::Paths;

/// How often a log that nobody looks at says which cell runs.
const IN_A_LOG: Duration = Duration::from_secs(30);

/// A notebook to run.
struct Job {
    name: String,
    file: PathBuf,
    notebook: Notebook,
    /// What it was made of; none for a notebook that is no lesson.
    lesson: Option<Lesson>,
}

/// Runs the lessons that are asked for.
pub fn run(paths: &Paths, words: &[String], write: bool) -> Result<(), Failure> {
    let jobs = jobs(paths, words)?;
    // Asked before the build, which may replace this program: then its path has another name.
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    if !paths.is_shared() {
        companion::build(&paths.root, wants_cuda())?;
    }
    let (mut failures, missing) = (Vec::new(), model::missing());
    for mut job in jobs {
        let live = std::io::stderr().is_terminal();
        // Of a lesson in the repository nothing is a learner's progress.
        let work = job.lesson.as_ref().map(|_| tempfile::tempdir()).transpose().map_err(|error| format!("a temporary folder: {error}"))?;
        let solutions = job.lesson.as_ref().map(Lesson::solutions).unwrap_or_default();
        let solutions: Vec<(String, String)> = solutions.into_iter().map(|(number, code)| (number.into(), code.into())).collect();
        let pass = Pass {
            program: &program,
            folder: folder_of(&job.file),
            work: work.as_ref().map(|work| work.path().to_path_buf()),
            goes_on: false,
            limit: None,
            missing: &missing,
            solutions: &solutions,
        };
        let mut said = Instant::now();
        let report = pass::run(&mut job.notebook, &pass, &mut |cell, of| {
            if live {
                eprint!("\r{:32} cell {cell} of {of} ", job.name);
                let _ = std::io::stderr().flush();
            } else if said.elapsed() >= IN_A_LOG {
                eprintln!("{:32} cell {cell} of {of}", job.name);
                said = Instant::now();
            }
        })?;
        if live {
            eprint!("\r{:60}\r", "");
        }
        let end = match (report.faults.is_empty(), &report.skipped) {
            (false, _) => "failed".to_string(),
            (true, Some((place, name))) => {
                format!("skipped from cell {place} on: it needs builtin:{name}, which `cargo lab setup` fetches")
            }
            (true, None) => "ok".to_string(),
        };
        println!("{:32} {:3} cells {:7.1} s  {end}", job.name, report.cells, report.seconds);
        for (number, name) in &report.untried {
            println!("    exercise {number} is not tried: it needs builtin:{name}, which `cargo lab setup` fetches");
        }
        for fault in &report.faults {
            println!("    {}", told(fault, job.lesson.as_ref()).replace('\n', "\n    "));
        }
        if !report.faults.is_empty() {
            failures.push(job.name.clone());
        }
        if write && report.skipped.is_none() {
            hide_paths(&mut job.notebook, paths);
            job.notebook.save(&job.file).map_err(|error| format!("{}: {error}", job.file.display()))?;
        }
    }
    match failures.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(format!("{} failed", failures.join(", ")), format!("cargo lab run {first}"))),
    }
}

/// A fault with its cell, and with its line in the lesson's source.
fn told(fault: &Fault, lesson: Option<&Lesson>) -> String {
    let cell = lesson.and_then(|lesson| lesson.learner().get(fault.place - 1).map(|(_, cell)| (*cell).clone()));
    let line = cell.map(|cell| fault.contract.map_or(cell.line, |index| cell.contract_line(index)));
    let line = line.map_or(String::new(), |line| format!(", line {line}"));
    format!("cell {}{line}: {}", fault.place, fault.why)
}

/// Lessons as their sources say, whether or not the notebook is up to date; other paths as the notebooks they are.
fn jobs(paths: &Paths, words: &[String]) -> Result<Vec<Job>, Failure> {
    let lessons = course::lessons(&paths.notebooks)?;
    let lesson_jobs = |words: &[String]| -> Result<Vec<Job>, Failure> {
        let selected = course::select(&lessons, words).map_err(|what| Failure::new(what, "cargo lab run 1"))?;
        selected
            .into_iter()
            .map(|lesson| {
                Ok(Job { notebook: lesson.fresh_notebook()?, lesson: Some(lesson.lesson()?), name: lesson.name, file: lesson.notebook })
            })
            .collect()
    };
    if words.is_empty() {
        return lesson_jobs(&[]);
    }
    let mut jobs = Vec::new();
    for word in words {
        let path = Path::new(word);
        let ours = |file: &PathBuf| lessons.iter().any(|lesson| lesson.notebook.canonicalize().is_ok_and(|own| own == *file));
        let other = path.canonicalize().ok().filter(|file| path.extension().is_some_and(|end| end == "ipynb") && !ours(file));
        let Some(file) = other else {
            jobs.extend(lesson_jobs(std::slice::from_ref(word))?);
            continue;
        };
        let notebook = Notebook::open(path)?;
        jobs.push(Job { name: word.clone(), file, notebook, lesson: None });
    }
    Ok(jobs)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

/// Takes the folders of this machine out of the outputs: paths become relative to the notebooks.
fn hide_paths(notebook: &mut Notebook, paths: &Paths) {
    let folder = |path: &Path| path.display().to_string();
    let mut names = vec![
        (format!("{}/", folder(&paths.notebooks)), String::new()),
        (folder(&paths.notebooks), ".".into()),
        (folder(&paths.root), "..".into()),
    ];
    names.extend(std::env::var("HOME").ok().filter(|home| home.len() > 1).map(|home| (home, "~".to_string())));
    for output in notebook.cells.iter_mut().flat_map(|cell| &mut cell.outputs) {
        replace(output, &names);
    }
}

fn replace(value: &mut Value, names: &[(String, String)]) {
    match value {
        Value::String(text) => {
            for (name, short) in names.iter().filter(|(name, _)| !name.is_empty()) {
                if text.contains(name.as_str()) {
                    *text = text.replace(name.as_str(), short);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, names)),
        Value::Object(entries) => entries.values_mut().for_each(|item| replace(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Fault, Lesson, replace, told};

    #[test]
    fn folders_of_the_machine_leave_the_outputs() {
        let names = [("/home/a/repo/notebooks/".to_string(), String::new()), ("/home/a/repo".to_string(), "..".to_string())];
        let mut output = json!({"text": "saved /home/a/repo/notebooks/runs/1, read /home/a/repo/lib"});
        replace(&mut output, &names);
        assert_eq!(output, json!({"text": "saved runs/1, read ../lib"}));
    }

    #[test]
    fn a_fault_is_told_with_cell_and_line() {
        let text = "fn lesson() {\n    // %%\n    f();\n    // => picture\n    // => nothing\n    Ok(())\n}\n";
        let lesson = Lesson::split(text).unwrap();
        let told = |contract| told(&Fault { place: 1, contract, why: "why".into() }, Some(&lesson));
        assert_eq!((told(None), told(Some(1))), ("cell 1, line 2: why".to_string(), "cell 1, line 5: why".to_string()));
        assert_eq!(super::told(&Fault { place: 3, contract: Some(0), why: "why".into() }, None), "cell 3: why");
    }
}
