//! Preference training is the trainer's own loop: checkpoints, evaluations, callbacks, early stopping and logs, to the last bit.

use std::path::Path;

use finetuning::nn::backend::Backend;
use finetuning::train::checkpoint::store;
use finetuning::*;
use serde_json::Value;

use crate::support::{assert_close, fresh_folder, refused, tiny_model, values};

/// Pairs for [`tiny_model`]: all prompts, answers and lengths differ.
pub fn pairs(count: usize, seed: usize) -> Vec<PreferencePair> {
    let ids = |start: usize, length: usize| (0..length).map(|place| ((start * 29 + place * 13 + seed) % 96) as u32).collect();
    let pair = |index: usize| PreferencePair {
        prompt: ids(index, 3 + index % 4),
        chosen: ids(index + 40, 2 + index % 5),
        rejected: ids(index + 70, 4 + index % 3),
    };
    (0..count).map(pair).collect()
}

fn config(output_dir: &Path, own: TrainingArguments) -> DpoConfig {
    let arguments = TrainingArguments {
        output_dir: output_dir.to_path_buf(),
        learning_rate: 3e-3,
        per_device_train_batch_size: 1,
        gradient_accumulation_steps: 2,
        logging_steps: 2,
        disable_tqdm: true,
        ..own
    };
    DpoConfig { arguments, ..Default::default() }
}

fn trainer(model: &CausalLm, config: DpoConfig) -> DpoTrainer {
    DpoTrainer::with_eval(model, None, config, pairs(10, 1), pairs(3, 50)).unwrap()
}

/// What must not depend on a stop: reports without their times, logs (which a file of JSON may change in the last bit), weights.
fn result(trainer: &DpoTrainer) -> (Vec<StepReport>, Vec<String>, Vec<f32>) {
    let timeless = |report: &StepReport| {
        let mut report = report.clone();
        (report.seconds, report.optimizer_seconds) = (0.0, 0.0);
        report
    };
    let entry = |entry: &std::collections::BTreeMap<String, Value>| {
        let kept = entry.iter().filter(|(name, _)| !name.contains("runtime") && !name.contains("per_second"));
        kept.map(|(name, value)| format!("{name} {:.12e}, ", value.as_f64().unwrap())).collect::<String>()
    };
    let history = Trainer::history(trainer).iter().map(timeless).collect();
    let logs = trainer.state().log_history.iter().map(entry).collect();
    (history, logs, trainer.model().weights().iter().flat_map(|(_, var)| values(var.as_tensor())).collect())
}

#[test]
fn resumed_is_uninterrupted() {
    let (whole, cut) = (fresh_folder(), fresh_folder());
    let own = || TrainingArguments { max_steps: 8, eval_steps: 2, save_steps: 3, overwrite_output_dir: true, ..Default::default() };
    let mut uninterrupted = trainer(&tiny_model(3), config(&whole, own()));
    assert_eq!(uninterrupted.train().unwrap().global_step, 8);
    // Five steps are an epoch: after the third, the second epoch brings pairs that this trainer has not asked its reference about.
    let mut resumed = trainer(&tiny_model(3), config(&cut, own()));
    resumed.resume(whole.join("checkpoint-3")).unwrap();
    assert_eq!(resumed.history(), uninterrupted.history()[..3]);
    resumed.train().unwrap();
    let (ours, theirs) = (result(&resumed), result(&uninterrupted));
    assert_eq!(ours.0, theirs.0);
    assert_eq!(ours.1, theirs.1);
    assert!(ours.2 == theirs.2, "the weights differ after resuming");
    let steps: Vec<usize> = store::list(&whole).iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [3, 6, 8], "the last step is saved as well");
}

#[test]
fn logs_have_the_names_of_trl() {
    let folder = fresh_folder();
    let own = TrainingArguments { max_steps: 4, eval_steps: 4, save_steps: 4, report_to: vec!["tensorboard".into()], ..Default::default() };
    let mut run = trainer(&tiny_model(3), config(&folder, own));
    run.train().unwrap();
    let log = &run.state().log_history;
    let names = |entry: &std::collections::BTreeMap<String, Value>| {
        entry.keys().filter(|name| name.contains("rewards/")).cloned().collect::<Vec<_>>()
    };
    let rewards = ["rewards/accuracies", "rewards/chosen", "rewards/margins", "rewards/rejected"];
    assert_eq!(names(&log[0]), rewards);
    assert_eq!(names(&log[2]), rewards.map(|name| format!("eval_{name}")));
    // A log has the means of its two steps, an evaluation those of its pairs.
    let mean = |value: fn(&Preferences) -> f64| run.history()[..2].iter().map(|step| value(&step.preferences)).sum::<f64>() / 2.0;
    assert!((log[0]["rewards/margins"].as_f64().unwrap() - mean(|preferences| preferences.rewards_margins)).abs() < 1e-12);
    assert!((log[0]["loss"].as_f64().unwrap() - mean(|preferences| preferences.loss)).abs() < 1e-12);
    let evaluated = run.evaluate(&pairs(3, 50)).unwrap();
    assert!((log[2]["eval_loss"].as_f64().unwrap() - evaluated.loss).abs() < 1e-6);
    assert!((log[2]["eval_rewards/accuracies"].as_f64().unwrap() - evaluated.rewards_accuracies).abs() < 1e-12);
    let csv = std::fs::read_to_string(folder.join("checkpoint-4/history.csv")).unwrap();
    assert!(csv.lines().next().unwrap().ends_with(&rewards.join(",")), "{csv}");
    let events = std::fs::read_dir(folder.join("runs")).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(std::fs::read_dir(events).unwrap().next().unwrap().unwrap().path()).unwrap();
    for tag in ["train/rewards/chosen", "eval/rewards/margins", "eval/loss"] {
        assert!(bytes.windows(tag.len()).any(|window| window == tag.as_bytes()), "{tag}");
    }
}

/// Fails once after a step.
#[derive(Debug, Default)]
struct Fails(bool);

impl TrainerCallback for Fails {
    fn name(&self) -> &'static str {
        "Fails"
    }
    fn on_step_end(&mut self, context: &CallbackContext) -> Result<Control> {
        let now = context.state.global_step == 3 && !std::mem::replace(&mut self.0, true);
        if now { Err(Error::new(ErrorKind::Interrupted, "after step 3")) } else { Ok(Control::default()) }
    }
}

#[test]
fn an_interrupt_keeps_the_run_and_train_goes_on() {
    let own = || TrainingArguments { max_steps: 6, eval_steps: 3, save_steps: 3, ..Default::default() };
    let mut plain = trainer(&tiny_model(4), config(&fresh_folder(), own()));
    plain.train().unwrap();
    let mut stopped = trainer(&tiny_model(4), config(&fresh_folder(), own()));
    stopped.add_callback(Fails::default());
    assert_eq!(stopped.train().unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(stopped.history().len(), 3);
    stopped.train().unwrap();
    assert!(result(&stopped) == result(&plain), "an interrupt changes nothing");
}

#[test]
fn early_stopping_and_the_best_model() {
    let folder = fresh_folder();
    let own = || TrainingArguments {
        max_steps: 40,
        eval_steps: 2,
        save_steps: 2,
        early_stopping_patience: 3,
        load_best_model_at_end: true,
        ..Default::default()
    };
    // At a rate of 0 no evaluation is better than the first.
    let mut still = config(&folder, own());
    // Too small to change a weight.
    still.arguments.learning_rate = 1e-30;
    assert_eq!(trainer(&tiny_model(3), still).train().unwrap().global_step, 8, "the first evaluation and three that are not better");
    // A high rate learns the training pairs by heart and the others get worse.
    let folder = fresh_folder();
    let mut fast = config(&folder, own());
    (fast.arguments.learning_rate, fast.arguments.early_stopping_patience) = (3e-2, 0);
    let mut run = trainer(&tiny_model(3), fast);
    run.train().unwrap();
    let losses = run.state().log_history.iter().filter_map(|entry| entry.get("eval_loss")?.as_f64());
    let best = losses.fold(f64::INFINITY, f64::min);
    assert!((run.evaluate(&pairs(3, 50)).unwrap().loss - best).abs() < 1e-6, "the best evaluation's weights are back");
    assert_eq!(run.state().best_metric, Some(best));
}

#[test]
fn the_loss_scale_of_f16_serves_preferences_too() {
    let losses = |fp16: bool| {
        let model = tiny_model(3).with_backend(Backend::composed());
        let mut run = trainer(&model, config(&fresh_folder(), TrainingArguments { max_steps: 3, fp16, ..Default::default() }));
        run.train().unwrap();
        run.history().iter().map(|step| step.preferences.loss as f32).collect::<Vec<f32>>()
    };
    let (half, single) = (losses(true), losses(false));
    assert_close("f16 and f32", &half, &single, 2e-2, 0.0);
    assert_ne!(half, single);
}

#[test]
fn arguments_of_another_loss_are_refused() {
    let folder = fresh_folder();
    let refuse = |own: TrainingArguments, parts: &[&str]| {
        refused(DpoTrainer::new(&tiny_model(3), None, config(&folder, own), pairs(4, 1)), parts);
    };
    let base = TrainingArguments::default;
    refuse(TrainingArguments { label_smoothing_factor: 0.1, ..base() }, &["label_smoothing_factor is 0.1", "DpoConfig"]);
    refuse(TrainingArguments { neftune_noise_alpha: Some(5.0), ..base() }, &["neftune_noise_alpha is 5", "DpoTrainer"]);
    refuse(TrainingArguments { accumulation: Accumulation::Means, ..base() }, &["accumulation is Means", "DpoTrainer"]);
    refuse(TrainingArguments { eval_steps: 2, ..base() }, &["no pairs to evaluate", "with_eval"]);
    let bad = vec![PreferencePair { prompt: vec![1], chosen: vec![96], rejected: vec![2] }];
    let evaluates = config(&folder, TrainingArguments { eval_steps: 2, ..base() });
    refused(DpoTrainer::with_eval(&tiny_model(3), None, evaluates, pairs(4, 1), bad), &["evaluation pair 0", "id 96"]);
}
