//! How a run ends and goes on: the last step is evaluated and saved; what cannot be resumed says why; the newest run is `latest`.

use std::path::Path;

use finetuning::train::checkpoint::store;
use finetuning::*;

use crate::support::{fresh_folder, refused, tiny_model, tiny_rows};

fn arguments(output_dir: &Path, max_steps: i64) -> TrainingArguments {
    TrainingArguments { output_dir: output_dir.to_path_buf(), max_steps, learning_rate: 1e-3, disable_tqdm: true, ..Default::default() }
}

fn trainer(arguments: TrainingArguments) -> Trainer {
    Trainer::new(&tiny_model(1), arguments, tiny_rows(24), tiny_rows(3)).unwrap()
}

fn saved(folder: &Path) -> Vec<usize> {
    store::list(folder).iter().map(|(step, _)| *step).collect()
}

fn evaluated(trainer: &Trainer) -> Vec<usize> {
    trainer.history().iter().filter(|step| step.eval_loss.is_some()).map(|step| step.step).collect()
}

#[test]
fn the_last_step_is_evaluated_and_saved() {
    // As transformers' DefaultFlowCallback does, by steps and, at the end of a cut epoch, by epochs.
    let folder = fresh_folder();
    let mut run = trainer(TrainingArguments { eval_steps: 3, save_steps: 2, ..arguments(&folder, 5) });
    run.train().unwrap();
    assert_eq!((saved(&folder), evaluated(&run)), (vec![2, 4, 5], vec![3, 5]));
    // Three epoch steps of eight rows; the run ends in the second epoch.
    let folder = fresh_folder();
    let by = IntervalStrategy::Epoch;
    let own = TrainingArguments { eval_strategy: by, save_strategy: by, logging_strategy: by, ..arguments(&folder, 4) };
    let mut run = trainer(own);
    run.train().unwrap();
    assert_eq!((saved(&folder), evaluated(&run)), (vec![3, 4], vec![3, 4]));
    // Nothing is evaluated or saved unless the run does that at all.
    let folder = fresh_folder();
    let mut run = trainer(arguments(&folder, 3));
    run.train().unwrap();
    assert_eq!((saved(&folder), evaluated(&run)), (vec![], vec![]));
}

#[test]
fn a_run_shorter_than_its_interval_has_a_best_model() {
    let folder = fresh_folder();
    let own = TrainingArguments { eval_steps: 120, save_steps: 120, load_best_model_at_end: true, ..arguments(&folder, 3) };
    let mut run = trainer(own);
    run.train().unwrap();
    assert_eq!(run.state().best_model_checkpoint, Some(folder.join("checkpoint-3").display().to_string()));
    assert_eq!(run.state().best_global_step, Some(3));
}

#[test]
fn what_cannot_be_resumed_says_why() {
    let folder = fresh_folder();
    let own = || TrainingArguments { save_steps: 2, overwrite_output_dir: true, ..arguments(&folder, 4) };
    trainer(own()).train().unwrap();
    let mut run = trainer(own());
    refused(run.resume("no/such/checkpoint"), &["`no/such/checkpoint` does not exist", "holds `checkpoint-2`, `checkpoint-4`"]);
    refused(trainer(TrainingArguments { output_dir: fresh_folder(), ..own() }).resume("checkpoint-9"), &["holds no checkpoint"]);
    let theirs = folder.join("checkpoint-8");
    std::fs::create_dir(&theirs).unwrap();
    for name in ["optimizer.pt", "trainer_state.json", "model.safetensors"] {
        std::fs::write(theirs.join(name), "{}").unwrap();
    }
    refused(run.resume(&theirs), &["checkpoint-8", "checkpoint of transformers", "from_pretrained"]);
    std::fs::remove_dir_all(&theirs).unwrap();
    // A name inside the output folder is enough.
    run.resume("checkpoint-2").unwrap();
    assert_eq!(run.history().len(), 2);
    let mut run = trainer(TrainingArguments { resume_from_checkpoint: Some("checkpoint-4".into()), ..own() });
    assert_eq!(run.train().unwrap().global_step, 4);
}

#[test]
fn latest_is_of_the_run_that_began_last() {
    let folder = fresh_folder();
    let own = |steps| TrainingArguments { save_steps: 2, overwrite_output_dir: true, ..arguments(&folder, steps) };
    trainer(own(8)).train().unwrap();
    // Another run in the same folder, which has not come as far.
    let mut other = trainer(TrainingArguments { learning_rate: 2e-3, ..own(4) });
    other.train().unwrap();
    assert_eq!(saved(&folder), [2, 4, 6, 8]);
    let mut resumed = trainer(TrainingArguments { learning_rate: 2e-3, ..own(6) });
    assert_eq!(resumed.resume_latest().unwrap(), Some(folder.join("checkpoint-4")));
    let losses = |run: &Trainer| run.history().iter().map(|step| step.loss).collect::<Vec<f64>>();
    assert_eq!(losses(&resumed), losses(&other));
    // What it saves belongs to the run that it went on with.
    resumed.train().unwrap();
    assert_eq!(trainer(own(6)).resume_latest().unwrap(), Some(folder.join("checkpoint-6")));
}
