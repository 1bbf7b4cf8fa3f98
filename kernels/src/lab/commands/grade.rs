//! `cargo lab grade`: folders of learners → who solved which exercise, and what of it does not fit together.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use notebooks::course;

use crate::kernel::prepare::companion::wants_cuda;
use crate::lab::failure::Failure;
use crate::lab::grading::book::{self, Form};
use crate::lab::grading::learner::{self, Learner};
use crate::lab::grading::number::Number;
use crate::lab::grading::rerun::rerun;
use crate::lab::machine::{companion, model};
use crate::lab::paths::Paths;

/// What the help of the command says.
pub const TRUST: &str = "\
A folder is a learner's work folder (progress.json and notebooks), or holds one folder a learner; without one it is your own.

What is trusted: without --run nothing is executed. An exercise counts as solved when progress.json says so and the output of a
notebook's cell shows the check that passed. Both are files that a learner can write by hand, so it tells who worked, not who
cheats; what fits together badly is named. With --run each learner's notebooks are run from top to bottom in the kernel, in a copy
of the folder and with a new progress file, and a mark is what the check says there. A cell that runs for more than twenty minutes
is stopped and named. That runs the learners' code as you: with your
files, your keys and your network. Do it in a container or under an account that has none. A notebook written to deceive can still
write the progress file itself.";

/// Reads the folders, runs the notebooks if asked to, each cell for so many seconds at most, and prints the table; what is wrong goes to standard error.
pub fn grade(paths: &Paths, folders: &[PathBuf], run: Option<u64>, form: Form) -> Result<(), Failure> {
    let mut known: BTreeSet<Number> = BTreeSet::new();
    for lesson in course::lessons(&paths.notebooks)? {
        known.extend(lesson.lesson()?.solutions().into_iter().filter_map(|(number, _)| Number::read(number)));
    }
    let folders = if folders.is_empty() { std::slice::from_ref(&paths.work) } else { folders };
    let found = learner::find(folders).map_err(|what| Failure::new(what, "cargo lab grade <the folder of your learners' folders>"))?;
    let mut learners: Vec<Learner> = found.into_iter().map(|(name, folder)| Learner::read(name, folder, &known)).collect();
    if let Some(seconds) = run {
        if !paths.is_shared() {
            companion::build(&paths.root, wants_cuda())?;
        }
        let program = std::env::current_exe().map_err(|error| format!("the path of this program: {error}"))?;
        for learner in &mut learners {
            let name = learner.name.clone();
            rerun(learner, &program, &model::missing(), Duration::from_secs(seconds), &mut |notebook| {
                eprintln!("running {name}: {notebook}")
            })?;
        }
    }
    print!("{}", book::write(&learners, &known, form));
    for note in learners.iter().flat_map(|learner| &learner.notes) {
        eprintln!("{note}");
    }
    Ok(())
}
