//! A property of every objective: whatever stops a run, and wherever, what comes out is the same to the last bit.

use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::path::Path;

use finetuning::train::objective::Objective;
use finetuning::util::rng::Pcg64;
use finetuning::*;
use serde_json::Value;

use crate::evaluate::probable::words;
use crate::support::{fresh_folder, tiny_model, tiny_rows, values};
use crate::train::custom_loss::focal;
use crate::train::grpo::{config, even, prompts};
use crate::train::preference_runs::pairs;

/// Fails at one moment of the run: after so many calls of any kind.
#[derive(Debug)]
struct Fails(usize);

impl Fails {
    fn count(&mut self) -> Result<Control> {
        self.0 = self.0.wrapping_sub(1);
        if self.0 == 0 { Err(Error::new(ErrorKind::Interrupted, "here")) } else { Ok(Control::default()) }
    }
}

impl TrainerCallback for Fails {
    fn name(&self) -> &'static str {
        "Fails"
    }
    fn on_step_end(&mut self, _: &CallbackContext) -> Result<Control> {
        self.count()
    }
    fn on_log(&mut self, _: &CallbackContext) -> Result<Control> {
        self.count()
    }
    fn on_evaluate(&mut self, _: &CallbackContext) -> Result<Control> {
        self.count()
    }
    fn on_save(&mut self, _: &CallbackContext) -> Result<Control> {
        self.count()
    }
}

fn arguments(folder: &Path, save_steps: usize) -> TrainingArguments {
    TrainingArguments {
        output_dir: folder.to_path_buf(),
        resume_from_checkpoint: Some("latest".into()),
        learning_rate: 3e-3,
        max_steps: 7,
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        logging_steps: 2,
        eval_steps: 3,
        save_steps,
        disable_tqdm: true,
        ..Default::default()
    }
}

/// What must not depend on a stop: reports without their times, logs (which a file of JSON may change in the last bit), weights.
fn result<O: Objective>(trainer: &Trainer<O>) -> (Vec<StepReport>, Vec<String>, Vec<u32>) {
    let timeless = |report: &StepReport| {
        let mut report = report.clone();
        (report.seconds, report.optimizer_seconds) = (0.0, 0.0);
        report
    };
    let entry = |entry: &BTreeMap<String, Value>| {
        let kept = entry.iter().filter(|(name, _)| !name.contains("runtime") && !name.contains("per_second"));
        kept.map(|(name, value)| format!("{name} {:.12e}, ", value.as_f64().unwrap())).collect::<String>()
    };
    let weights = trainer.model().weights().iter().flat_map(|(_, weight)| values(weight.as_tensor()));
    let logs = trainer.state().log_history.iter().map(entry).collect();
    (trainer.history().iter().map(timeless).collect(), logs, weights.map(f32::to_bits).collect())
}

/// Stops runs at random moments, by an error in a callback, after which the same trainer goes on or another one with the newest
/// checkpoint: what was done since then is done again.
fn any_interruption<O: Objective, T: DerefMut<Target = Trainer<O>>>(name: &str, make: impl Fn(TrainingArguments) -> T) {
    let mut whole = make(arguments(&fresh_folder(), 1));
    whole.train().unwrap();
    let whole = result(&whole);
    assert!(whole.0.windows(2).all(|pair| pair[0].grad_norm != pair[1].grad_norm), "{name} learns something: {:?}", whole.0);
    let (mut stops, mut lost) = (0, 0);
    for seed in 0..8 {
        let mut random = Pcg64::new(seed);
        let mut below = |limit: usize| (random.next_f64() * limit as f64) as usize;
        let (folder, save_steps) = (fresh_folder(), [1, 2, 3][below(3)]);
        let ended = loop {
            let mut trainer = make(arguments(&folder, save_steps));
            trainer.add_callback(Fails(1 + below(9)));
            let mut ended = trainer.train();
            if ended.is_err() && below(2) == 0 {
                ended = trainer.train();
                stops += 1;
            }
            match ended {
                Ok(_) => break trainer,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "{name}: {error}"),
            }
            (stops, lost) = (stops + 1, lost + 1);
        };
        let result = result(&ended);
        assert_eq!(result.0, whole.0, "{name}, seed {seed}");
        assert_eq!(result.1, whole.1, "{name}, seed {seed}");
        assert!(result.2 == whole.2, "{name}, seed {seed}: the weights differ");
    }
    assert!(stops > 8 && lost > 4, "{name}: only {stops} stops, {lost} of which lost the trainer");
}

/// [`pairs`] as single answers, good and bad in turn.
fn answers(count: usize, seed: usize) -> Vec<UnpairedPreference> {
    let answer = |(index, pair): (usize, PreferencePair)| {
        let label = index % 3 != 1;
        UnpairedPreference { prompt: pair.prompt, completion: if label { pair.chosen } else { pair.rejected }, label }
    };
    pairs(count, seed).into_iter().enumerate().map(answer).collect()
}

#[test]
fn next_token() {
    let make = |arguments| Box::new(Trainer::new(&tiny_model(3), arguments, tiny_rows(10), tiny_rows(3)).unwrap());
    any_interruption("next token", make);
}

#[test]
fn a_loss_of_ones_own() {
    let make = |arguments| Box::new(Trainer::with_loss(&tiny_model(3), focal, arguments, tiny_rows(10), tiny_rows(3)).unwrap());
    any_interruption("focal", make);
}

#[test]
fn dpo() {
    let loss_type = || vec![DpoLoss::Sigmoid, DpoLoss::Hinge, DpoLoss::Ipo, DpoLoss::Robust, DpoLoss::Sft];
    any_interruption("dpo", |arguments| {
        let weights = Some(vec![1.0, 0.3, 0.01, 0.5, 0.2]);
        let config = DpoConfig {
            label_smoothing: 0.1,
            loss_type: loss_type(),
            loss_weights: weights,
            rpo_alpha: Some(0.3),
            arguments,
            ..Default::default()
        };
        DpoTrainer::with_eval(&tiny_model(3), None, config, pairs(10, 1), pairs(3, 50)).unwrap()
    });
}

#[test]
fn orpo() {
    any_interruption("orpo", |arguments| {
        OrpoTrainer::with_eval(&tiny_model(3), OrpoConfig { arguments, ..Default::default() }, pairs(10, 1), pairs(3, 50)).unwrap()
    });
}

#[test]
fn kto() {
    any_interruption("kto", |arguments| {
        // In a random order the answers that one is compared with change from epoch to epoch.
        let config = KtoConfig { arguments, undesirable_weight: 1.3, ..Default::default() };
        KtoTrainer::with_eval(&tiny_model(3), None, config, answers(10, 1), answers(3, 50)).unwrap()
    });
}

#[test]
fn classification() {
    let texts = |count: usize, seed: usize| {
        let text = |(index, pair): (usize, PreferencePair)| LabelledText { ids: [pair.prompt, pair.chosen].concat(), label: index % 3 };
        pairs(count, seed).into_iter().enumerate().map(text).collect::<Vec<_>>()
    };
    any_interruption("classification", |arguments| {
        let model = SequenceClassifier::new(&tiny_model(3), &["a", "b", "c"], 7).unwrap();
        ClassificationTrainer::new(&model, arguments, texts(10, 1), texts(3, 50)).unwrap()
    });
}

#[test]
fn reward() {
    any_interruption("reward", |arguments| {
        let model = SequenceClassifier::new(&tiny_model(3), &["reward"], 7).unwrap();
        let config = RewardConfig { center_rewards_coefficient: Some(0.01), arguments };
        RewardTrainer::new(&model, config, pairs(10, 1), pairs(3, 50)).unwrap()
    });
}

#[test]
fn grpo() {
    any_interruption("grpo", |arguments| {
        GrpoTrainer::new(&tiny_model(3), &words(), even, config(arguments), &prompts(10, 1), &prompts(3, 50)).unwrap()
    });
}
