//! A notebook → all its cells run in a new kernel, from top to bottom, with their outputs in it; and what came of exercises and
//! contracts.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use notebooks::{Kind, Notebook, NotebookCell};
use serde_json::Value;

use crate::lab::client::kernel::{CellError, Execution, Kernel};
use crate::lab::client::outputs::Outputs;

/// Where the companion's `check` keeps what is solved.
pub const WORK: &str = "FINETUNING_WORK";
/// The real model's name, behind `builtin:`.
const SMOL: &str = "smol";

/// How a notebook is run.
pub struct Pass<'a> {
    /// This program, which is also the kernel.
    pub program: &'a Path,
    /// Where the cells read and write.
    pub folder: &'a Path,
    /// The folder of the progress file; none for what the environment says.
    pub work: Option<PathBuf>,
    /// Whether cells after one that fails are run too.
    pub goes_on: bool,
    /// How long a cell may take before it is stopped.
    pub limit: Option<Duration>,
    /// The names, behind `builtin:`, of models that set-up fetches and that are not on this machine.
    pub missing: &'a [String],
    /// The code that solves each exercise: it is run behind the exercise's own cell, which then has to fail by its check.
    pub solutions: &'a [(String, String)],
}

/// What came of a notebook.
#[derive(Debug, Default)]
pub struct Report {
    /// Cells that ran.
    pub cells: usize,
    /// What is not as it should be, in the order of the cells.
    pub faults: Vec<Fault>,
    /// The cells that were stopped at the limit.
    pub too_long: Vec<usize>,
    /// The cell at which the run stopped since a model is not here, and the model's name.
    pub skipped: Option<(usize, String)>,
    /// Exercises whose solutions fail since a model is not here: number and name.
    pub untried: Vec<(String, String)>,
    pub seconds: f64,
}

/// Something that is not as it should be: the cell's place among all, counted from 1, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub place: usize,
    /// The contract that is broken, by its index in the cell; none where the cell itself failed.
    pub contract: Option<usize>,
    pub why: String,
}

impl Report {
    fn fault(&mut self, place: usize, why: impl Into<String>) {
        self.faults.push(Fault { place: place + 1, contract: None, why: why.into() });
    }
}

/// Runs all cells of a notebook in a new kernel and puts their outputs into it. It stops after the first cell that fails and
/// should not, unless told to go on; an exercise may fail, and so may a cell that promises to.
///
/// # Errors
/// The kernel does not start. A kernel that ends in a cell is a fault of that cell.
pub fn run(notebook: &mut Notebook, pass: &Pass, progress: &mut dyn FnMut(usize, usize)) -> Result<Report, String> {
    let start = Instant::now();
    let work = pass.work.as_ref().map(|folder| (WORK, folder.as_os_str()));
    let mut kernel = Kernel::start(pass.program, pass.folder, work.as_slice())?;
    if let Some(limit) = pass.limit {
        kernel.limit(limit);
    }
    let of = notebook.cells.len();
    let is_code = |cell: &NotebookCell| cell.kind == Kind::Code && !cell.source.trim().is_empty();
    let code: Vec<usize> = (0..of).filter(|&place| is_code(&notebook.cells[place])).collect();
    for cell in notebook.cells.iter_mut().filter(|cell| cell.kind == Kind::Code) {
        cell.outputs.clear();
        cell.execution_count = None;
    }
    let (mut report, mut done): (Report, Vec<(usize, Outputs)>) = (Report::default(), Vec::new());
    for place in code {
        progress(place + 1, of);
        let source = notebook.cells[place].source.clone();
        let ran = cell(&mut kernel, &source, &mut done);
        report.cells += 1;
        let (execution, outputs) = match ran {
            Ok(ran) => ran,
            Err(why) => {
                report.fault(place, why);
                break;
            }
        };
        let Execution { count, error, too_long } = execution;
        if too_long {
            report.too_long.push(place + 1);
        }
        let own = &mut notebook.cells[place];
        let solution = own.exercise().and_then(|number| pass.solutions.iter().find(|(own, _)| own == number));
        if let Some((number, solution)) = solution {
            // It is left to the learner, so nothing of it stays in the notebook.
            if let Err(why) = exercise(&mut kernel, number, solution, error.as_ref(), &mut done) {
                match pass.missing.iter().find(|name| solution.contains(&format!("builtin:{name}"))) {
                    Some(name) => report.untried.push((number.clone(), name.clone())),
                    None => report.fault(place, why),
                }
            }
            continue;
        }
        own.execution_count = count;
        let failed = error.filter(|_| own.exercise().is_none() && !own.is_to_fail());
        done.push((place, outputs));
        let Some(error) = failed else { continue };
        if let Some(name) = needed(&notebook.cells[place], pass.missing) {
            report.skipped = Some((place + 1, name.clone()));
            break;
        }
        report.fault(place, words(&error));
        if !pass.goes_on {
            break;
        }
    }
    for (place, outputs) in done {
        notebook.cells[place].outputs = outputs.values();
    }
    let stopped = report.skipped.as_ref().map(|(place, _)| *place);
    let smol = !pass.missing.iter().any(|name| name == SMOL);
    let ran = |place: usize| notebook.cells[place].execution_count.is_some() && stopped != Some(place + 1);
    for place in (0..of).filter(|&place| ran(place)) {
        report.faults.extend(broken(place, &notebook.cells[place], smol));
    }
    report.faults.sort_by_key(|fault| (fault.place, fault.contract));
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// The contracts that a cell which ran does not keep.
fn broken(place: usize, cell: &NotebookCell, smol: bool) -> Vec<Fault> {
    let contracts = cell.contracts();
    let asked = contracts.iter().enumerate().filter(|(_, (_, contract))| smol || !contract.smol);
    let fault = |(index, (text, contract)): (usize, &(String, notebooks::contract::Contract))| {
        let came = contract.check(&cell.outputs).err()?;
        Some(Fault { place: place + 1, contract: Some(index), why: format!("promised: {text}\ncame:     {came}") })
    };
    asked.filter_map(fault).collect()
}

/// The model without which a cell cannot run, of those that are missing.
fn needed<'a>(cell: &NotebookCell, missing: &'a [String]) -> Option<&'a String> {
    let promised = cell.contracts().iter().any(|(_, contract)| contract.smol);
    missing.iter().find(|name| cell.source.contains(&format!("builtin:{name}")) || promised && *name == SMOL)
}

/// One piece of code → how it ended, and its outputs; updates of earlier displays go to those.
fn cell(kernel: &mut Kernel, source: &str, done: &mut [(usize, Outputs)]) -> Result<(Execution, Outputs), String> {
    let mut outputs = Outputs::default();
    let execution = kernel.execute_with(source, &mut |message| {
        outputs.add(&message.kind, &message.content);
        if message.kind == "update_display_data" {
            done.iter_mut().for_each(|(_, earlier)| earlier.update(&message.content));
        }
        None
    })?;
    Ok((execution, outputs))
}

/// Whether an exercise's own cell fails by its check, with a hint, and its solution passes.
fn exercise(
    kernel: &mut Kernel,
    number: &str,
    solution: &str,
    unsolved: Option<&CellError>,
    done: &mut [(usize, Outputs)],
) -> Result<(), String> {
    let wrong = |what: &str| format!("exercise {number}: {what}");
    match unsolved {
        None => return Err(wrong("its cell passes before it is solved")),
        Some(error) if !(error.value.starts_with(&format!("{number} is not solved")) && error.value.contains("\nhint: ")) => {
            return Err(wrong(&format!("its cell does not end with the hint of its check, but with {}", words(error))));
        }
        Some(_) => {}
    }
    let (execution, outputs) = cell(kernel, solution, done)?;
    if let Some(error) = execution.error {
        return Err(wrong(&format!("its solution fails: {}", words(&error))));
    }
    match is_solved(number, &outputs.values()) {
        true => Ok(()),
        false => Err(wrong(&format!("its solution does not call `check({number:?}, …)?`"))),
    }
}

/// Whether these outputs hold the line of a check that passed.
pub fn is_solved(number: &str, outputs: &[Value]) -> bool {
    notebooks::contract::text_of(outputs).lines().any(|line| line.starts_with(&format!("{number} is solved")))
}

fn words(error: &CellError) -> String {
    plain(&format!("{}: {}", error.name, error.value))
}

/// A text without the colour codes of a terminal.
fn plain(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_string();
    first + &pieces.map(|piece| piece.split_once('m').map_or(piece, |(_, rest)| rest)).collect::<String>()
}

#[cfg(test)]
mod tests {
    use notebooks::Lesson;
    use serde_json::json;

    use super::*;

    #[test]
    fn colours_leave_the_text() {
        assert_eq!(plain("a \u{1b}[31mred\u{1b}[0m word"), "a red word");
    }

    #[test]
    fn broken_contracts_are_named_and_those_of_the_real_model_wait_for_it() {
        let text = "fn lesson() {\n    // %%\n    f();\n    // => contains \"a\"\n    // => smol: contains \"b\"\n    // => contains \"c\"\n    Ok(())\n}\n";
        let mut cell = Notebook::from_lesson(&Lesson::split(text).unwrap()).cells.remove(0);
        cell.outputs = vec![json!({"output_type": "stream", "name": "stdout", "text": "a"})];
        let named = |smol| broken(4, &cell, smol).into_iter().map(|fault| (fault.place, fault.contract)).collect::<Vec<_>>();
        assert_eq!((named(false), named(true)), (vec![(5, Some(2))], vec![(5, Some(1)), (5, Some(2))]));
        assert_eq!(broken(4, &cell, false)[0].why, "promised: contains \"c\"\ncame:     `a`");
        let missing = ["other".to_string(), "smol".into()];
        assert_eq!((needed(&cell, &missing), needed(&cell, &missing[..1])), (Some(&missing[1]), None));
        assert_eq!(needed(&NotebookCell::new(Kind::Code, "", "load(\"builtin:other\")"), &missing), Some(&missing[0]));
    }

    #[test]
    fn a_line_of_the_check_says_what_is_solved() {
        let outputs = [json!({"output_type": "stream", "name": "stdout", "text": "loss 1\n2.1 is solved (1 of 24)\n"})];
        assert!(is_solved("2.1", &outputs) && !is_solved("2.10", &outputs) && !is_solved("1", &outputs));
    }
}
