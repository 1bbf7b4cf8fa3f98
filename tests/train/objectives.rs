//! All objectives beside PyTorch and TRL, by `fixtures/training/objectives.json`; what they refuse; what a reader adds to an evaluation.

use finetuning::train::checkpoint::{manifest, store};
use finetuning::*;
use serde_json::Value;

use crate::models::parity::load;
use crate::support::{fixture, fresh_folder, ids, json, refused, tiny_model};

/// The pairs of the fixture.
pub fn pairs(file: &Value) -> Vec<PreferencePair> {
    let pair =
        |pair: &Value| PreferencePair { prompt: ids(&pair["prompt"]), chosen: ids(&pair["chosen"]), rejected: ids(&pair["rejected"]) };
    file["pairs"].as_array().unwrap().iter().map(pair).collect()
}

/// The single answers of the fixture.
pub fn answers(file: &Value) -> Vec<UnpairedPreference> {
    let answer = |row: &Value| UnpairedPreference {
        prompt: ids(&row["prompt"]),
        completion: ids(&row["completion"]),
        label: row["label"].as_bool().unwrap(),
    };
    file["rows"].as_array().unwrap().iter().map(answer).collect()
}

/// The fixture's arguments, with micro-batches of `size`.
pub fn arguments(file: &Value, size: usize) -> TrainingArguments {
    TrainingArguments {
        learning_rate: file["learning_rate"].as_f64().unwrap(),
        lr_scheduler_type: Schedule::Constant,
        max_steps: 3,
        per_device_train_batch_size: size,
        gradient_accumulation_steps: 2,
        train_sampling_strategy: SamplingStrategy::Sequential,
        disable_tqdm: true,
        ..Default::default()
    }
}

/// Compares loss, norm and all metrics of the fixture's steps.
pub fn steps(name: &str, theirs: &Value, mut take: impl FnMut() -> StepReport) {
    let theirs = theirs.as_array().unwrap();
    for (index, theirs) in theirs.iter().enumerate() {
        let ours = take();
        for (field, value) in theirs.as_object().unwrap() {
            let value = value.as_f64().unwrap();
            let (own, allowed) = match field.as_str() {
                "loss" => (ours.loss, 2e-5),
                "grad_norm" => (ours.grad_norm, 1e-4 * value),
                _ => (ours.metrics[field], 2e-5),
            };
            assert!((own - value).abs() <= allowed * value.abs().max(1.0), "{name}, step {index}: {field} is {own}, theirs {value}");
        }
    }
    assert_eq!(theirs.len(), 3, "{name}");
}

fn losses(names: &Value) -> Vec<DpoLoss> {
    let all = [DpoLoss::Sigmoid, DpoLoss::Hinge, DpoLoss::Ipo, DpoLoss::Robust, DpoLoss::Sft];
    names.as_array().unwrap().iter().map(|name| *all.iter().find(|kind| kind.name() == name.as_str().unwrap()).unwrap()).collect()
}

#[test]
fn the_losses_of_dpo_are_trls() {
    let file = json("training/objectives.json");
    let (pairs, cases) = (pairs(&file), file["dpo"].as_array().unwrap());
    for case in cases {
        let (model, reference) = (load("tiny-neox"), load(file["reference"].as_str().unwrap()));
        let config = DpoConfig {
            beta: case["beta"].as_f64().unwrap(),
            label_smoothing: case["label_smoothing"].as_f64().unwrap_or(0.0),
            loss_type: losses(&case["loss_type"]),
            loss_weights: case["loss_weights"].as_array().map(|weights| weights.iter().map(|weight| weight.as_f64().unwrap()).collect()),
            rpo_alpha: case["rpo_alpha"].as_f64(),
            arguments: arguments(&file, 2),
        };
        let mut trainer = DpoTrainer::new(&model, Some(&reference), config, pairs.clone()).unwrap();
        steps(&case.to_string(), &case["steps"], || Trainer::step(&mut trainer).unwrap().clone());
    }
    assert_eq!(cases.len(), 6);
}

#[test]
fn orpo_is_trls() {
    let file = json("training/objectives.json");
    let config = OrpoConfig { beta: file["orpo"]["beta"].as_f64().unwrap(), arguments: arguments(&file, 2) };
    let model = load("tiny-neox");
    let mut trainer = OrpoTrainer::new(&model, config, pairs(&file)).unwrap();
    steps("orpo", &file["orpo"]["steps"], || trainer.step().unwrap().clone());
}

#[test]
fn kto_is_trls() {
    let file = json("training/objectives.json");
    let cases = file["kto"].as_array().unwrap();
    for case in cases {
        let (model, reference) = (load("tiny-neox"), load(file["reference"].as_str().unwrap()));
        let number = |name: &str| case[name].as_f64().unwrap();
        let config = KtoConfig {
            loss_type: if case["loss_type"] == "kto" { KtoLoss::Kto } else { KtoLoss::ApoZeroUnpaired },
            beta: number("beta"),
            desirable_weight: number("desirable_weight"),
            undesirable_weight: number("undesirable_weight"),
            arguments: arguments(&file, 3),
        };
        assert_eq!(case["loss_type"], config.loss_type.name());
        let mut trainer = KtoTrainer::new(&model, Some(&reference), config, answers(&file)).unwrap();
        steps(&case.to_string(), &case["steps"], || trainer.step().unwrap().clone());
    }
    assert_eq!(cases.len(), 2);
}

#[test]
fn single_answers_are_read_from_a_file() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let path = fresh_folder().join("answers.jsonl");
    let lines = r#"{"prompt": "Where is it?", "completion": " On the table.", "label": true}
{"prompt": "Where is it?", "completion": " I do not know.", "label": false}"#;
    std::fs::write(&path, lines).unwrap();
    let data = Dataset::from_jsonl(&path).unwrap();
    let rows = tokenize_unpaired(&data, &tokenizer, 64).unwrap();
    assert_eq!(rows.iter().map(|row| row.label).collect::<Vec<_>>(), [true, false]);
    // The same ids as of a pair.
    let pair = Example::new([("prompt", "Where is it?"), ("chosen", " On the table."), ("rejected", " I do not know.")]);
    let pair = tokenize_preference(&pair, &tokenizer, 64).unwrap();
    assert_eq!((&rows[0].prompt, &rows[0].completion, &rows[1].completion), (&pair.prompt, &pair.chosen, &pair.rejected));
    let with = |name: &str, value: Value| {
        let mut example = data.get(1).unwrap().clone();
        example.set(name, value);
        tokenize_unpaired(&Dataset::from_examples(vec![data.get(0).unwrap().clone(), example]), &tokenizer, 64)
    };
    refused(with("label", "good".into()), &["row 1", "`label` is \"good\"", "true or false"]);
    refused(with("label", Value::Null), &["row 1", "`label` is missing"]);
    refused(with("completion", "".into()), &["row 1", "`completion` is empty"]);
    refused(with("prompt", "".into()), &["row 1", "`prompt` is empty"]);
}

#[test]
fn what_cannot_work_is_refused_and_checkpoints_stay() {
    let file = json("training/objectives.json");
    let (model, pairs, folder) = (tiny_model(3), pairs(&file), fresh_folder());
    let own = || TrainingArguments { output_dir: folder.clone(), save_steps: 1, overwrite_output_dir: true, ..arguments(&file, 2) };
    let dpo = |change: &dyn Fn(&mut DpoConfig)| {
        let mut config = DpoConfig { arguments: own(), ..Default::default() };
        change(&mut config);
        DpoTrainer::new(&model, None, config, pairs.clone())
    };
    dpo(&|_| ()).unwrap().train().unwrap();
    let whole = || {
        let list = store::list(&folder);
        list.iter().for_each(|(_, path)| manifest::verify(path).unwrap());
        list.iter().map(|(step, _)| *step).collect::<Vec<_>>()
    };
    assert_eq!(whole(), [1, 2, 3]);
    refused(dpo(&|config| config.loss_type.clear()), &["loss_type is empty", "DpoLoss::Sigmoid"]);
    refused(dpo(&|config| config.loss_weights = Some(vec![1.0, 0.5])), &["loss_weights is [1.0, 0.5]", "one number for each", "sigmoid"]);
    refused(dpo(&|config| config.loss_weights = Some(vec![f64::NAN])), &["loss_weights is [NaN]", "above 0"]);
    refused(dpo(&|config| config.rpo_alpha = Some(-1.0)), &["rpo_alpha is -1", "at least 0"]);
    let smoothed = |config: &mut DpoConfig| (config.loss_type, config.label_smoothing) = (vec![DpoLoss::Hinge, DpoLoss::Sft], 0.1);
    refused(dpo(&smoothed), &["label_smoothing is 0.1", "hinge", "only sigmoid and robust"]);
    let other =
        CausalLm::random(NeoxConfig { max_position_embeddings: 64, ..NeoxConfig::new(128, 32, 2, 4) }, 1, None, &Device::Cpu).unwrap();
    let config = DpoConfig { arguments: own(), ..Default::default() };
    refused(DpoTrainer::new(&model, Some(&other), config, pairs.clone()), &["vocabulary of 96", "reference one of 128"]);
    let kto = |change: &dyn Fn(&mut KtoConfig)| {
        let mut config = KtoConfig { arguments: own(), ..Default::default() };
        change(&mut config);
        KtoTrainer::new(&model, Some(&other), config, answers(&file))
    };
    refused(kto(&|_| ()), &["vocabulary of 96", "reference one of 128"]);
    refused(kto(&|config| config.arguments.per_device_train_batch_size = 1), &["per_device_train_batch_size is 1", "ApoZeroUnpaired"]);
    refused(kto(&|config| config.undesirable_weight = 0.0), &["undesirable_weight is 0", "above 0"]);
    let orpo = |beta: f64, pairs: Vec<PreferencePair>| OrpoTrainer::new(&model, OrpoConfig { beta, arguments: own() }, pairs);
    refused(orpo(-0.1, pairs.clone()), &["OrpoConfig: beta is -0.1", "above 0"]);
    refused(orpo(0.1, Vec::new()), &["no pairs"]);
    assert_eq!(whole(), [1, 2, 3], "what was refused has touched nothing");
}

#[test]
fn metrics_of_the_reader_are_logged_with_each_evaluation() {
    let file = json("training/objectives.json");
    let model = tiny_model(3);
    let config = OrpoConfig { arguments: TrainingArguments { eval_steps: 3, ..arguments(&file, 2) }, ..Default::default() };
    let mut trainer = OrpoTrainer::with_eval(&model, config, pairs(&file), pairs(&file)).unwrap();
    trainer.set_compute_metrics(|context| {
        let margin = context.report.metrics["rewards/margins"];
        Ok([("rows".to_string(), context.rows.len() as f64), ("margin_twice".to_string(), 2.0 * margin)].into())
    });
    trainer.train().unwrap();
    let log = &trainer.state().log_history;
    let number = |name: &str| log.iter().find_map(|entry| entry.get(name)?.as_f64()).unwrap();
    assert_eq!(number("eval_rows"), 4.0);
    assert_eq!(number("eval_margin_twice"), 2.0 * number("eval_rewards/margins"));
    trainer.set_compute_metrics(|_| Ok([("loss".to_string(), 0.0)].into()));
    refused(trainer.evaluate(), &["compute_metrics", "`loss`"]);
}
