//! GRPO beside TRL on answers that are given, by `fixtures/training/objectives.json`; on answers of its own: what is learnt, and a bad reward.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use finetuning::train::checkpoint::{manifest, store};
use finetuning::*;
use serde_json::Value;

use crate::evaluate::probable::words;
use crate::models::parity::load;
use crate::support::{fresh_folder, ids, json, refused, tiny_model, values};
use crate::train::objectives::{arguments, steps};

/// Prompts of two words each.
pub fn prompts(count: usize, seed: usize) -> Dataset {
    let row = |index: usize| Example::new([("prompt", format!("w{} w{}", 1 + (index * 7 + seed) % 90, 1 + (index * 11 + seed) % 90))]);
    Dataset::from_examples((0..count).map(row).collect())
}

/// Words with an even number, as a share.
pub fn even(_: &Example, answer: &str) -> f64 {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let even = words.iter().filter(|word| word[1..].parse::<usize>().is_ok_and(|number| number % 2 == 0)).count();
    even as f64 / words.len().max(1) as f64
}

/// Few short answers to each prompt.
pub fn config(arguments: TrainingArguments) -> GrpoConfig {
    GrpoConfig { num_generations: 4, max_completion_length: 6, arguments, ..Default::default() }
}

#[test]
fn steps_on_given_answers_are_trls() {
    let file = json("training/objectives.json");
    let cases = file["grpo"]["cases"].as_array().unwrap();
    let group = |group: &Value| Rollouts {
        prompt: ids(&group["prompt"]),
        completions: group["completions"].as_array().unwrap().iter().map(ids).collect(),
        rewards: group["rewards"].as_array().unwrap().iter().map(|reward| reward.as_f64().unwrap()).collect(),
    };
    let groups: Vec<Rollouts> = file["grpo"]["groups"].as_array().unwrap().iter().map(group).collect();
    for case in cases {
        let name = |field: &str| case[field].as_str().unwrap();
        let config = GrpoConfig {
            max_completion_length: file["grpo"]["max_completion_length"].as_u64().unwrap() as usize,
            loss_type: match name("loss_type") {
                "dapo" => GrpoLoss::Dapo,
                "grpo" => GrpoLoss::Grpo,
                _ => GrpoLoss::DrGrpo,
            },
            scale_rewards: match name("scale_rewards") {
                "group" => ScaleRewards::Group,
                "batch" => ScaleRewards::Batch,
                _ => ScaleRewards::None,
            },
            arguments: arguments(&file, 2),
            ..Default::default()
        };
        let model = load("tiny-neox");
        let mut trainer = GrpoTrainer::new(&model, &words(), even, config, &prompts(2, 1), &Dataset::from_examples(Vec::new())).unwrap();
        steps(&case.to_string(), &case["steps"], || trainer.step_on(&groups).unwrap().clone());
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn a_reward_is_learnt() {
    let model = tiny_model(3);
    let own = TrainingArguments {
        learning_rate: 1e-2,
        lr_scheduler_type: Schedule::Constant,
        max_steps: 25,
        per_device_train_batch_size: 4,
        disable_tqdm: true,
        ..Default::default()
    };
    let mut trainer = GrpoTrainer::new(&model, &words(), even, config(own), &prompts(8, 1), &prompts(8, 1)).unwrap();
    let before = trainer.evaluate().unwrap();
    let output = trainer.train().unwrap();
    assert!(output.warnings.is_empty(), "a loss around 0 is no sign of anything: {output}");
    let after = trainer.evaluate().unwrap();
    assert!(after.metrics["reward"] > before.metrics["reward"] + 0.2, "{before:?} {after:?}");
    assert_eq!(after.loss, -after.metrics["reward"]);
    let first = &trainer.history()[0].metrics;
    assert!(first["reward_std"] > 0.0 && first["completions/mean_length"] > 1.0 && first["frac_reward_zero_std"] < 1.0, "{first:?}");
}

#[test]
fn a_reward_that_is_no_number_ends_the_run_and_the_last_checkpoint_stays() {
    let (folder, model, calls) = (fresh_folder(), tiny_model(3), Arc::new(AtomicUsize::new(0)));
    let own = TrainingArguments {
        output_dir: folder.clone(),
        learning_rate: 1e-3,
        max_steps: 6,
        per_device_train_batch_size: 2,
        save_steps: 1,
        disable_tqdm: true,
        ..Default::default()
    };
    // Four answers to each of two prompts: the 30th is one of the fourth step.
    let counted = calls.clone();
    let reward = move |row: &Example, answer: &str| match counted.fetch_add(1, Ordering::Relaxed) {
        30 => f64::NAN,
        _ => even(row, answer),
    };
    let mut trainer = GrpoTrainer::new(&model, &words(), reward, config(own), &prompts(8, 1), &prompts(1, 1)).unwrap();
    refused(trainer.train(), &["the reward is NaN", "the answer \"w", "to \"w", "finite number", "as before the step"]);
    assert_eq!(trainer.history().len(), 3);
    let saved = store::list(&folder);
    assert_eq!(saved.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 2, 3]);
    manifest::verify(&saved[2].1).unwrap();
    let kept = CausalLm::from_folder(&saved[2].1, &Device::Cpu).unwrap();
    for ((name, own), (_, stored)) in model.weights().iter().zip(kept.weights()) {
        assert_eq!(values(own.as_tensor()), values(stored.as_tensor()), "{name}");
    }
    // The reward is mended, and the run goes on.
    trainer.train().unwrap();
    assert_eq!(trainer.history().len(), 6);
}

#[test]
fn what_cannot_work_is_refused() {
    let (model, none) = (tiny_model(3), Dataset::from_examples(Vec::new()));
    let own = || TrainingArguments { max_steps: 1, disable_tqdm: true, ..Default::default() };
    let with = |config: GrpoConfig, data: &Dataset| GrpoTrainer::new(&model, &words(), even, config, data, &none);
    refused(with(GrpoConfig { num_generations: 1, ..config(own()) }, &prompts(2, 1)), &["num_generations is 1", "at least 2"]);
    refused(with(GrpoConfig { max_completion_length: 0, ..config(own()) }, &prompts(2, 1)), &["max_completion_length is 0"]);
    refused(with(GrpoConfig { top_p: f64::NAN, ..config(own()) }, &prompts(2, 1)), &["top_p is NaN"]);
    refused(with(config(own()), &none), &["no prompts to train on"]);
    refused(with(config(TrainingArguments { eval_steps: 1, ..own() }), &prompts(2, 1)), &["no prompts to evaluate"]);
    let row = |name: &str, text: String| Dataset::from_examples(vec![Example::new([(name, text)])]);
    refused(with(config(own()), &row("question", "w1".into())), &["row 0", "`prompt` is missing"]);
    refused(with(config(own()), &row("prompt", String::new())), &["row 0", "no tokens"]);
    refused(with(config(own()), &row("prompt", vec!["w1"; 64].join(" "))), &["row 0", "64 tokens"]);
    let classes = SequenceClassifier::new(&model, &["a", "b"], 0).unwrap();
    refused(GrpoTrainer::new(classes.model(), &words(), even, config(own()), &prompts(2, 1), &none), &["writes no text"]);
    let mut trainer = with(config(own()), &prompts(2, 1)).unwrap();
    refused(trainer.step_on(&[]), &["at least one prompt"]);
    let group = Rollouts { prompt: vec![1], completions: vec![vec![2], vec![3]], rewards: vec![1.0, f64::INFINITY] };
    refused(trainer.step_on(std::slice::from_ref(&group)), &["the reward is inf"]);
    refused(trainer.step_on(&[Rollouts { rewards: vec![1.0], ..group }]), &["2 completions and 1 rewards"]);
}
