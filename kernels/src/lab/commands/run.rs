//! `cargo lab run`: notebooks → every cell run in our kernel, from top to bottom, without a browser.
//!
//! A line per lesson; with `--write`, the outputs go into the notebook.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use notebooks::course;
use notebooks::{Kind, Notebook};
use serde_json::Value;

use crate::kernel::prepare::companion::wants_cuda;
use crate::lab::client::kernel::Kernel;
use crate::lab::client::outputs::Outputs;
use crate::lab::failure::Failure;
use crate::lab::machine::companion;
use crate::lab::paths::Paths;

/// A notebook to run.
struct Job {
    name: String,
    file: PathBuf,
    notebook: Notebook,
}

/// What came of a notebook: the cells that ran, and the first that failed.
struct Report {
    pub cells: usize,
    pub failed: Option<FailedCell>,
    pub seconds: f64,
}

/// A cell that failed: its place among all cells, counted from 1, and why.
struct FailedCell {
    pub place: usize,
    pub why: String,
}

/// Runs the lessons that are asked for.
pub fn run(paths: &Paths, words: &[String], write: bool) -> Result<(), Failure> {
    let jobs = jobs(paths, words)?;
    companion::build(&paths.root, wants_cuda())?;
    let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
    let mut failures = Vec::new();
    for mut job in jobs {
        let live = std::io::stderr().is_terminal();
        let report = run_notebook(&program, &mut job.notebook, folder_of(&job.file), &mut |cell, of| {
            if live {
                eprint!("\r{:32} cell {cell} of {of} ", job.name);
                let _ = std::io::stderr().flush();
            }
        })?;
        if live {
            eprint!("\r{:60}\r", "");
        }
        let end = if report.failed.is_some() { "failed" } else { "ok" };
        println!("{:32} {:3} cells {:7.1} s  {end}", job.name, report.cells, report.seconds);
        if let Some(FailedCell { place, why }) = report.failed {
            println!("    cell {place}: {}", why.replace('\n', "\n    "));
            failures.push(job.name.clone());
        }
        if write {
            hide_paths(&mut job.notebook, paths);
            job.notebook.save(&job.file).map_err(|error| format!("{}: {error}", job.file.display()))?;
        }
    }
    match failures.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(format!("{} failed", failures.join(", ")), format!("cargo lab run {first}"))),
    }
}

/// Lessons as their sources say, whether or not the notebook is up to date; other paths as the notebooks they are.
fn jobs(paths: &Paths, words: &[String]) -> Result<Vec<Job>, Failure> {
    let lessons = course::lessons(&paths.notebooks)?;
    let lesson_jobs = |words: &[String]| -> Result<Vec<Job>, Failure> {
        let selected = course::select(&lessons, words).map_err(|what| Failure::new(what, "cargo lab run 1"))?;
        selected
            .into_iter()
            .map(|lesson| Ok(Job { notebook: lesson.fresh_notebook()?, name: lesson.name, file: lesson.notebook }))
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
        jobs.push(Job { name: word.clone(), file, notebook });
    }
    Ok(jobs)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

/// Runs all cells of a notebook in a new kernel and puts their outputs into it; stops after the first cell that fails.
///
/// # Errors
/// The kernel does not start. A kernel that ends in a cell is a failed cell.
fn run_notebook(program: &Path, notebook: &mut Notebook, folder: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<Report, String> {
    let start = Instant::now();
    let mut kernel = Kernel::start(program, folder)?;
    let of = notebook.cells.len();
    let code: Vec<usize> =
        (0..of).filter(|&place| notebook.cells[place].kind == Kind::Code && !notebook.cells[place].source.trim().is_empty()).collect();
    for cell in notebook.cells.iter_mut().filter(|cell| cell.kind == Kind::Code) {
        cell.outputs.clear();
        cell.execution_count = None;
    }
    let mut done: Vec<(usize, Outputs)> = Vec::new();
    let mut failed = None;
    for place in code {
        progress(place + 1, of);
        let mut outputs = Outputs::default();
        let result = kernel.execute_with(&notebook.cells[place].source, &mut |message| {
            outputs.add(&message.kind, &message.content);
            if message.kind == "update_display_data" {
                done.iter_mut().for_each(|(_, earlier)| earlier.update(&message.content));
            }
            None
        });
        done.push((place, outputs));
        failed = match result {
            Err(why) => Some(FailedCell { place: place + 1, why }),
            Ok(execution) => {
                notebook.cells[place].execution_count = execution.count;
                execution.error.map(|error| FailedCell { place: place + 1, why: plain(&format!("{}: {}", error.name, error.value)) })
            }
        };
        if failed.is_some() {
            break;
        }
    }
    let cells = done.len();
    for (place, outputs) in done {
        notebook.cells[place].outputs = outputs.values();
    }
    Ok(Report { cells, failed, seconds: start.elapsed().as_secs_f64() })
}

/// A text without the colour codes of a terminal.
fn plain(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_string();
    first + &pieces.map(|piece| piece.split_once('m').map_or(piece, |(_, rest)| rest)).collect::<String>()
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

    use super::{plain, replace};

    #[test]
    fn folders_of_the_machine_leave_the_outputs() {
        let names = [("/home/a/repo/notebooks/".to_string(), String::new()), ("/home/a/repo".to_string(), "..".to_string())];
        let mut output = json!({"text": "saved /home/a/repo/notebooks/runs/1, read /home/a/repo/lib"});
        replace(&mut output, &names);
        assert_eq!(output, json!({"text": "saved runs/1, read ../lib"}));
    }

    #[test]
    fn colours_leave_the_text() {
        assert_eq!(plain("a \u{1b}[31mred\u{1b}[0m word"), "a red word");
    }
}
