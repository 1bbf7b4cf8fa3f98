//! Training arguments against transformers: names and defaults, what each changes in four steps, all schedules, the file.

use finetuning::train::batch::{Batch, TokenWeights};
use finetuning::*;
use serde_json::{Value, json};

use crate::models::parity::token_rows;
use crate::support::{fresh_folder, json, tiny_neox, tiny_rows, values};

/// Rows of a fixture of training: label −100 is not learnt.
pub fn rows(list: &Value) -> TokenizedDataset {
    TokenizedDataset::from_rows(token_rows(list))
}

/// The fixtures' arguments, in their order of rows, with some of their own.
pub fn arguments(case: &Value, own: &[&Value]) -> TrainingArguments {
    let mut all = json!({
        "learning_rate": case["learning_rate"], "per_device_train_batch_size": case["per_device_batch_size"],
        "per_device_eval_batch_size": case["per_device_batch_size"], "gradient_accumulation_steps": case["gradient_accumulation_steps"],
        "max_steps": case["max_steps"], "train_sampling_strategy": "sequential", "disable_tqdm": true,
    });
    for (name, value) in own.iter().flat_map(|own| own.as_object().unwrap()) {
        all[name] = value.clone();
    }
    TrainingArguments::from_json(&all).unwrap()
}

#[test]
fn options_are_transformers() {
    let (case, data) = (json("training/options.json"), json("trajectories/losses.json"));
    let (train, eval) = (rows(&data["rows"]), rows(&data["eval_rows"]));
    for run in case["runs"].as_array().unwrap() {
        let name = run["name"].as_str().unwrap();
        // `warmup_steps` below 1 is a part of all steps there; the fixture's own number is what it comes to.
        let own = &run["arguments"];
        let warmup = if own["warmup_steps"].is_null() { json!({ "warmup_steps": run["warmup_steps"] }) } else { json!({}) };
        let arguments = arguments(&case, &[&warmup, own]);
        assert_eq!(arguments.rate_plan(4).warmup_steps as u64, run["warmup_steps"].as_u64().unwrap(), "{name}");
        let mut trainer = Trainer::new(&tiny_neox(), arguments, train.clone(), eval.clone()).unwrap();
        for (step, theirs) in run["steps"].as_array().unwrap().iter().enumerate() {
            let rate = trainer.arguments().rate_plan(4).rate(step);
            let report = trainer.step().unwrap();
            let number = |field: &str| theirs[field].as_f64().unwrap();
            assert!((rate - number("learning_rate")).abs() < 1e-9, "{name} step {step}: rate {rate}");
            assert!((report.loss - number("loss")).abs() < 1e-5, "{name} step {step}: loss {} and {}", report.loss, number("loss"));
            let norm = report.grad_norm / number("grad_norm") - 1.0;
            assert!(norm.abs() < 1e-4, "{name} step {step}: norm {} and {}", report.grad_norm, number("grad_norm"));
        }
        let (ours, theirs) = (trainer.evaluate().unwrap().loss, run["eval_loss_per_token"].as_f64().unwrap());
        assert!((ours - theirs).abs() < 1e-5, "{name}: evaluation {ours} and {theirs}");
    }
    assert_eq!(case["runs"].as_array().unwrap().len(), 8);
}

#[test]
fn schedules_are_transformers() {
    let case = json("training/schedules.json");
    let mut kinds = Vec::new();
    for one in case["schedules"].as_array().unwrap() {
        let own = json!({ "lr_scheduler_type": one["lr_scheduler_type"], "lr_scheduler_kwargs": one["lr_scheduler_kwargs"], "warmup_steps": case["warmup_steps"], "learning_rate": case["learning_rate"] });
        let arguments = TrainingArguments::from_json(&own).unwrap();
        arguments.validate().unwrap();
        let plan = arguments.rate_plan(20);
        let theirs = one["factors"].as_array().unwrap().iter().chain([&one["after_last"]]);
        for (step, theirs) in theirs.enumerate() {
            let (ours, theirs) = (plan.factor(step), theirs.as_f64().unwrap());
            assert!((ours - theirs).abs() < 1e-7, "{own} step {step}: {ours} and {theirs}");
        }
        kinds.push(arguments.lr_scheduler_type);
    }
    kinds.dedup();
    assert_eq!(kinds.len(), 9, "every schedule of the enum");
}

#[test]
fn names_and_defaults_are_transformers() {
    let theirs = json("training/training_arguments.json");
    let ours = TrainingArguments::default().to_json();
    let number = |value: &Value| value.as_f64();
    // Ours, theirs, and why they differ.
    let other_default = [
        ("output_dir", json!("trainer_output"), "the fixture had to name one"),
        ("logging_steps", json!(10), "lessons are short: 500 steps would log nothing"),
        ("disable_tqdm", json!(false), "the fixture was made without a terminal; their default there is true"),
        ("eval_strategy", json!("steps"), "eval_steps 0 says never; a number of steps is enough to turn it on"),
        ("eval_steps", json!(0), "0 stands for their null"),
        ("save_steps", json!(0), "nothing is written unless it was asked for"),
        ("save_total_limit", json!(0), "0 stands for their null"),
        ("lr_scheduler_kwargs", json!({}), "no settings, their null"),
        ("metric_for_best_model", json!("eval_loss"), "the only metric there is; theirs is null until load_best_model_at_end"),
        ("greater_is_better", json!(false), "smaller is better; theirs is null until load_best_model_at_end"),
    ];
    let not_theirs = [
        ("overwrite_output_dir", "dropped by transformers 5, kept by the course"),
        ("warmup_ratio", "transformers 5 writes it into warmup_steps"),
        ("group_by_length", "transformers 5 writes it into train_sampling_strategy"),
        ("accumulation", "transformers always counts tokens since 4.46"),
        ("eval_loss_mean", "transformers' is always that of batches"),
        ("packing", "of TRL's SFTConfig"),
        ("packing_strategy", "of TRL's SFTConfig"),
        ("max_length", "of TRL's SFTConfig"),
        ("completion_only_loss", "of TRL's SFTConfig"),
        ("early_stopping_patience", "of EarlyStoppingCallback"),
        ("early_stopping_threshold", "of EarlyStoppingCallback"),
    ];
    let mut excused = 0;
    for (name, value) in ours.as_object().unwrap() {
        match theirs.get(name) {
            None => assert!(not_theirs.iter().any(|(own, _)| own == name), "{name} is no name of transformers"),
            Some(default) if default == value || number(default).is_some() && number(default) == number(value) => {}
            Some(default) => {
                let reason = other_default.iter().find(|(own, ours, _)| own == name && ours == value);
                assert!(reason.is_some(), "{name} is {value}, in transformers {default}");
                excused += 1;
            }
        }
    }
    assert_eq!(excused, other_default.len(), "an excuse that is not needed");
    assert!(not_theirs.iter().all(|(name, _)| ours.get(name).is_some() && theirs.get(name).is_none()));
    assert!(ours.as_object().unwrap().len() > 45);
}

#[test]
fn arguments_come_back_from_their_file() {
    let path = fresh_folder().join("training_args.json");
    let arguments = TrainingArguments {
        output_dir: "some/run".into(),
        resume_from_checkpoint: Some("latest".into()),
        learning_rate: 1.0 / 3.0,
        lr_scheduler_type: Schedule::CosineWithMinLr,
        lr_scheduler_kwargs: SchedulerKwargs { min_lr_rate: Some(0.1), ..Default::default() },
        optim: Optim::Adafactor,
        accumulation: Accumulation::Means,
        eval_strategy: IntervalStrategy::Epoch,
        train_sampling_strategy: SamplingStrategy::GroupByLength,
        neftune_noise_alpha: Some(5.0),
        data_seed: Some(u64::MAX),
        report_to: vec!["tensorboard".into()],
        ..Default::default()
    };
    arguments.save(&path).unwrap();
    assert_eq!(TrainingArguments::load(&path).unwrap(), arguments);
    assert_eq!(TrainingArguments::from_json(&json!({})).unwrap(), TrainingArguments::default());
    let refused = |value: Value, parts: &[&str]| {
        let text = TrainingArguments::from_json(&value).unwrap_err().to_string();
        assert!(parts.iter().chain(&["hint: "]).all(|part| text.contains(part)), "{parts:?}: {text}");
    };
    refused(json!({ "learning_rat": 1e-3 }), &["`learning_rat`", "nearest names are `learning_rate`"]);
    refused(json!({ "wamrup_step": 1 }), &["`wamrup_step`", "`warmup_steps`"]);
    refused(json!({ "max_steps": "three" }), &["max_steps is \"three\"", "-1"]);
    refused(json!({ "lr_scheduler_type": "cosin" }), &["lr_scheduler_type", "`cosine`"]);
    refused(json!([1]), &["an array"]);
    std::fs::write(&path, "{\n\"seed\": 1,\n").unwrap();
    let text = TrainingArguments::load(&path).unwrap_err().to_string();
    assert!(text.contains("training_args.json") && text.contains("line 3"), "{text}");
}

#[test]
fn a_file_of_transformers_is_read() {
    let theirs = json("training/training_arguments.json");
    let ours = TrainingArguments::from_json(&theirs).unwrap();
    let expected = TrainingArguments {
        output_dir: "x".into(),
        logging_steps: 500,
        disable_tqdm: true,
        eval_strategy: IntervalStrategy::No,
        save_steps: 500,
        ..Default::default()
    };
    assert_eq!(ours, expected);
    let path = fresh_folder().join("training_args.json");
    std::fs::write(&path, theirs.to_string()).unwrap();
    assert_eq!(TrainingArguments::load(&path).unwrap(), expected);
    // What is set and has no meaning here is named, a typing error is refused all the same.
    let own = json!({ "dataloader_drop_last": true, "deepspeed": null, "do_train": false, "fsdp": [], "hub_token": "secret", "seed": 7 });
    assert_eq!(TrainingArguments::unused_names(&own), ["dataloader_drop_last", "hub_token"]);
    assert_eq!(TrainingArguments::from_json(&own).unwrap(), TrainingArguments { seed: 7, ..Default::default() });
    let text = TrainingArguments::from_json(&json!({ "dataloader_droplast": true })).unwrap_err().to_string();
    assert!(text.contains("has no `dataloader_droplast`"), "{text}");
}

#[test]
fn evaluations_by_steps_take_the_steps_of_logs() {
    let read = |value: Value| TrainingArguments::from_json(&value).unwrap();
    let steps = read(json!({ "eval_strategy": "steps", "logging_steps": 5 }));
    assert!(steps.evaluates() && steps.eval_steps == 5);
    assert_eq!(read(json!({ "eval_strategy": "steps", "eval_steps": null })).eval_steps, 10, "the default of logging_steps");
    assert_eq!(read(json!({ "eval_strategy": "steps", "eval_steps": 3, "logging_steps": 5 })).eval_steps, 3);
    assert!(!read(json!({ "logging_steps": 5 })).evaluates());
    // What was written means the same when it is read.
    assert!(!read(TrainingArguments::default().to_json()).evaluates());
    let text = TrainingArguments::from_json(&json!({ "lr_scheduler_kwargs": { "min_lr_rat": 0.1 } })).unwrap_err().to_string();
    assert!(text.contains("min_lr_rat") && text.contains("`min_lr_rate`"), "{text}");
}

/// Losses of some steps of a fresh tiny model, and its weights afterwards.
fn run(own: Value) -> (Vec<f64>, Vec<f32>) {
    let mut all = json!({ "learning_rate": 1e-3, "max_steps": 4, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "disable_tqdm": true });
    own.as_object().unwrap().iter().for_each(|(name, value)| all[name] = value.clone());
    let model = tiny_neox();
    let mut trainer = Trainer::new(&model, TrainingArguments::from_json(&all).unwrap(), tiny_rows(24), tiny_rows(3)).unwrap();
    trainer.train().unwrap();
    (
        trainer.history().iter().map(|step| step.loss).collect(),
        model.weights().iter().flat_map(|(_, var)| values(var.as_tensor())).collect(),
    )
}

#[test]
fn packing_changes_no_loss() {
    // A step of 840 ids: two pieces of 512, or one of up to 2,048.
    let run = |own: Value| {
        let mut all = json!({ "learning_rate": 1e-3, "max_steps": 3, "per_device_train_batch_size": 60, "gradient_accumulation_steps": 2, "disable_tqdm": true });
        own.as_object().unwrap().iter().for_each(|(name, value)| all[name] = value.clone());
        let model = CausalLm::random(NeoxConfig::new(96, 32, 2, 4), 1, None, &Device::Cpu).unwrap();
        let mut trainer = Trainer::new(&model, TrainingArguments::from_json(&all).unwrap(), tiny_rows(120), tiny_rows(3)).unwrap();
        trainer.train().unwrap();
        trainer.history().iter().map(|step| step.loss).collect::<Vec<f64>>()
    };
    let (plain, packed) = (run(json!({})), run(json!({ "packing": true })));
    // One row at a time is the farthest from packing.
    let alone = run(json!({ "per_device_train_batch_size": 1, "gradient_accumulation_steps": 120 }));
    for ((plain, packed), alone) in plain.iter().zip(&packed).zip(&alone) {
        assert!((plain - packed).abs() < 1e-5 && (alone - packed).abs() < 1e-5, "{plain} {packed} {alone}");
    }
    // Noise is drawn anew in every pass, so it shows that the passes were others.
    assert_ne!(run(json!({ "neftune_noise_alpha": 5 })), run(json!({ "neftune_noise_alpha": 5, "packing": true })));
    let data = tiny_rows(60);
    let config = NeoxConfig::new(96, 32, 2, 4).into();
    let pieces = |tokens| Batch::group(data.rows().iter().map(|row| (row, TokenWeights::even(false))), &config, tokens).unwrap().len();
    assert!(pieces(512) < pieces(64), "longer pieces are fewer passes");
    let means = TrainingArguments { packing: true, accumulation: Accumulation::Means, ..Default::default() };
    assert!(means.validate().unwrap_err().to_string().contains("packing is true with accumulation Means"));
}

#[test]
fn every_option_reaches_the_training() {
    let plain = run(json!({}));
    let differs = |own: Value| assert!(run(own.clone()) != plain, "{own} changes nothing");
    differs(json!({ "neftune_noise_alpha": 5 }));
    differs(json!({ "label_smoothing_factor": 0.1 }));
    differs(json!({ "warmup_ratio": 0.3 }));
    differs(json!({ "adam_beta1": 0.5 }));
    differs(json!({ "data_seed": 7 }));
    differs(json!({ "train_sampling_strategy": "sequential" }));
    differs(json!({ "lr_scheduler_type": "constant_with_warmup" }));
    let same = |own: Value| assert!(run(own.clone()) == plain, "{own} changes the training");
    // No dropout here: `seed` then only gives the order, which `data_seed` fixes.
    same(json!({ "seed": 7, "data_seed": 42 }));
    same(json!({ "gradient_checkpointing": true }));
    assert!(run(json!({ "neftune_noise_alpha": 5 })) == run(json!({ "neftune_noise_alpha": 5 })), "noise has a seed");
}
