//! The run that `tests/train/faults.rs` kills, in a process of its own, and compares with one that nobody kills.

use std::path::Path;

use finetuning::*;

use crate::{tiny_neox, tiny_rows};

/// Steps of the whole run.
const STEPS: usize = 40;

/// Checkpoints every other step, evaluations every fourth, noise; goes on from the newest whole checkpoint.
pub fn arguments(output_dir: &Path) -> TrainingArguments {
    TrainingArguments {
        output_dir: output_dir.to_path_buf(),
        resume_from_checkpoint: Some("latest".into()),
        learning_rate: 1e-3,
        max_steps: STEPS as i64,
        per_device_train_batch_size: 3,
        neftune_noise_alpha: Some(1.0),
        eval_steps: 4,
        save_steps: 2,
        save_total_limit: 2,
        disable_tqdm: true,
        ..Default::default()
    }
}

/// A trainer on few rows.
pub fn trainer(arguments: TrainingArguments) -> Trainer {
    Trainer::new(&tiny_neox(), arguments, tiny_rows(24), tiny_rows(4)).unwrap()
}
