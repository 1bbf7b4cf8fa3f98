//! DPO beside PyTorch and TRL, by `fixtures/training/dpo.json`; pairs from a file; what a reference and an adapter do.

use candle_core::Device;
use finetuning::train::preference::objective::{LogProbabilities, log_probabilities};
use finetuning::*;
use serde_json::Value;

use crate::models::parity::load;
use crate::support::{assert_close, fixture, fresh_folder, ids, json, numbers, refused, tiny_llama_of, tiny_model, values};

fn fixture_pairs(case: &Value) -> Vec<PreferencePair> {
    let pair =
        |pair: &Value| PreferencePair { prompt: ids(&pair["prompt"]), chosen: ids(&pair["chosen"]), rejected: ids(&pair["rejected"]) };
    case["pairs"].as_array().unwrap().iter().map(pair).collect()
}

fn config(steps: i64, rate: f64) -> DpoConfig {
    let arguments = TrainingArguments {
        learning_rate: rate,
        lr_scheduler_type: Schedule::Constant,
        max_steps: steps,
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        disable_tqdm: true,
        ..Default::default()
    };
    DpoConfig { arguments, ..Default::default() }
}

#[test]
fn three_steps_are_pytorchs() {
    let file = json("training/dpo.json");
    let pairs = fixture_pairs(&file);
    let cases = file["cases"].as_array().unwrap();
    for case in cases {
        let name = format!("{} {}", case["reference_model"], case["label_smoothing"]);
        let (model, reference) = (load("tiny-neox"), load(case["reference_model"].as_str().unwrap()));
        for (who, model) in [("policy", &model), ("reference", &reference)] {
            let sums = log_probabilities(model, &pairs).unwrap();
            let side = |side: fn(&LogProbabilities) -> f64| sums.iter().map(|sums| side(sums) as f32).collect::<Vec<f32>>();
            assert_close(&format!("{name} {who} chosen"), &side(|sums| sums.chosen), &numbers(&case[who]["chosen"]), 1e-4, 0.0);
            assert_close(&format!("{name} {who} rejected"), &side(|sums| sums.rejected), &numbers(&case[who]["rejected"]), 1e-4, 0.0);
        }
        let smoothing = case["label_smoothing"].as_f64().unwrap();
        let config = DpoConfig { label_smoothing: smoothing, ..config(3, file["learning_rate"].as_f64().unwrap()) };
        assert_eq!(config.beta, file["beta"].as_f64().unwrap());
        let mut trainer = DpoTrainer::new(&model, Some(&reference), config, pairs.clone()).unwrap();
        let steps = case["steps"].as_array().unwrap();
        for (step, theirs) in steps.iter().enumerate() {
            let number = |field: &str| theirs[field].as_f64().unwrap();
            let report = trainer.step_on(&pairs).unwrap();
            assert!((report.preferences.loss - number("loss")).abs() < 2e-5, "{name} step {step}: {report} and {theirs}");
            assert!((report.preferences.rewards_margins - number("margin")).abs() < 2e-5, "{name} step {step}: {report} and {theirs}");
            assert!((report.grad_norm / number("grad_norm") - 1.0).abs() < 1e-4, "{name} step {step}: {report} and {theirs}");
            if step == 0 {
                let mean = |side: &str| f64::from(numbers(&case["rewards"][side]).iter().sum::<f32>()) / pairs.len() as f64;
                assert!((report.preferences.rewards_chosen - mean("chosen")).abs() < 2e-5, "{name}");
                assert!((report.preferences.rewards_rejected - mean("rejected")).abs() < 2e-5, "{name}");
                let right = numbers(&case["margins"]).iter().filter(|margin| **margin > 0.0).count();
                assert_eq!(report.preferences.rewards_accuracies, right as f64 / pairs.len() as f64, "{name}");
            }
        }
        assert_eq!(steps.len(), 3);
    }
    assert_eq!(cases.len(), 4, "two references, with smoothing and without");
}

#[test]
fn preferences_are_learnt_by_an_adapter_from_a_packed_base() {
    let pairs = fixture_pairs(&json("training/dpo.json"));
    for base in [tiny_model(1), tiny_llama_of(64, 1, true)] {
        let packed = base.quantized(GgmlDType::Q8_0).unwrap();
        let model = packed.with_lora(&LoraConfig { target_modules: vec!["all-linear".into()], ..Default::default() }).unwrap();
        let mut trainer = DpoTrainer::new(&model, None, config(30, 1e-2), pairs.clone()).unwrap();
        let start = trainer.evaluate(&pairs).unwrap();
        assert!((start.loss - 2f64.ln()).abs() < 1e-6 && start.rewards_margins.abs() < 1e-5, "a fresh adapter is its reference: {start:?}");
        trainer.train().unwrap();
        let end = trainer.evaluate(&pairs).unwrap();
        assert!(end.loss < 0.3 && end.rewards_accuracies == 1.0, "{end:?}");
        let before = log_probabilities(&packed, &pairs).unwrap();
        assert_eq!(log_probabilities(&model.without_adapter(), &pairs).unwrap(), before, "the base has moved");
    }
}

#[test]
fn the_reference_is_the_model_as_it_was() {
    let pairs = fixture_pairs(&json("training/dpo.json"));
    let trained = tiny_model(2).with_lora(&LoraConfig::default()).unwrap();
    DpoTrainer::new(&trained, None, config(5, 1e-2), pairs.clone()).unwrap().train().unwrap();
    for model in [tiny_model(2), trained] {
        let mut trainer = DpoTrainer::new(&model, None, config(6, 1e-2), pairs.clone()).unwrap();
        let start = trainer.evaluate(&pairs).unwrap();
        assert!(start.rewards_margins.abs() < 1e-6, "{start:?}");
        trainer.train().unwrap();
        assert!(trainer.evaluate(&pairs).unwrap().rewards_margins > 0.1);
    }
}

#[test]
fn steps_in_order_are_steps_on_the_same_pairs() {
    let pairs = fixture_pairs(&json("training/dpo.json"));
    let folder = fresh_folder();
    tiny_model(3).save_pretrained(&folder).unwrap();
    let again = || CausalLm::from_folder(&folder, &Device::Cpu).unwrap();
    let (one, other) = (again(), again());
    let mut by_order = DpoTrainer::new(&one, None, config(4, 1e-3), pairs.clone()).unwrap();
    by_order.train().unwrap();
    let mut by_hand = DpoTrainer::new(&other, None, config(4, 1e-3), pairs.clone()).unwrap();
    for _ in 0..4 {
        by_hand.step_on(&pairs).unwrap();
    }
    // All four pairs are in every step; only their order, and so the rounding of sums, differs.
    for (one, other) in by_order.history().iter().zip(by_hand.history()) {
        assert!((one.preferences.loss - other.preferences.loss).abs() < 1e-4, "{one} {other}");
    }
    let saved = fresh_folder();
    by_order.save_model(&saved).unwrap();
    let loaded = CausalLm::from_folder(&saved, &Device::Cpu).unwrap();
    for ((name, own), (_, stored)) in one.weights().iter().zip(loaded.weights()) {
        assert_eq!(values(own.as_tensor()), values(stored.as_tensor()), "{name}");
    }
}

#[test]
fn pairs_are_read_from_a_file() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let path = fresh_folder().join("pairs.jsonl");
    let line = r#"{"prompt": "Where is it?", "chosen": " On the table.", "rejected": " I do not know, really."}"#;
    std::fs::write(&path, format!("{line}\n{line}\n")).unwrap();
    let data = Dataset::from_jsonl(&path).unwrap();
    let pairs = tokenize_preferences(&data, &tokenizer, 64).unwrap();
    assert_eq!(pairs.len(), 2);
    assert_eq!(tokenizer.decode(&pairs[0].prompt).unwrap(), "Where is it?");
    assert_eq!(tokenizer.decode(&pairs[0].chosen).unwrap(), " On the table.");
    assert_eq!((pairs[0].chosen.last(), pairs[0].rejected.last()), (Some(&tokenizer.eos_id()), Some(&tokenizer.eos_id())));
    let room = pairs[0].prompt.len() + 2;
    let short = tokenize_preferences(&data, &tokenizer, room).unwrap();
    assert_eq!((short[0].chosen.as_slice(), short[0].rejected.len()), (&pairs[0].chosen[..2], 2));

    refused(tokenize_preferences(&data, &tokenizer, 2), &["row 0", "`prompt` has", "together may have 2"]);
    let with = |field: &str, text: &str| {
        let mut example = data.get(0).unwrap().clone();
        example.set(field, text);
        tokenize_preferences(&Dataset::from_examples(vec![example]), &tokenizer, 64)
    };
    refused(with("chosen", ""), &["row 0", "`chosen` is empty"]);
    refused(with("prompt", ""), &["row 0", "`prompt` is empty"]);
    let other = Dataset::from_examples(vec![Example::new([("prompt", "a"), ("chosen", "b")])]);
    refused(tokenize_preferences(&other, &tokenizer, 64), &["row 0", "`rejected` is missing"]);
}

#[test]
fn bad_settings_and_pairs_are_refused() {
    let (model, pairs) = (tiny_model(4), fixture_pairs(&json("training/dpo.json")));
    let with = |config: DpoConfig, pairs: &[PreferencePair]| DpoTrainer::new(&model, None, config, pairs.to_vec());
    refused(with(DpoConfig { beta: 0.0, ..config(1, 1e-3) }, &pairs), &["beta is 0", "above 0"]);
    refused(with(DpoConfig { label_smoothing: 0.5, ..config(1, 1e-3) }, &pairs), &["label_smoothing is 0.5", "below 0.5"]);
    refused(with(config(1, 1e-3), &[]), &["no pairs", "tokenize_preferences"]);
    let changed = |change: fn(&mut PreferencePair)| {
        let mut pairs = pairs.clone();
        change(&mut pairs[2]);
        pairs
    };
    refused(with(config(1, 1e-3), &changed(|pair| pair.chosen[0] = 96)), &["pair 2", "`chosen`", "id 96", "vocabulary of 96"]);
    refused(with(config(1, 1e-3), &changed(|pair| pair.prompt.clear())), &["pair 2", "`prompt` has no ids"]);
    refused(with(config(1, 1e-3), &changed(|pair| pair.rejected = vec![1; 90])), &["pair 2", "64 positions", "max_length of 64"]);
    refused(DpoTrainer::new(&model.quantized(GgmlDType::Q8_0).unwrap(), None, config(1, 1e-3), pairs.clone()), &["frozen", "with_lora"]);
    // NaN weights stop the run before they reach the optimizer.
    let mut trainer = with(config(1, 1e-3), &pairs).unwrap();
    model.weights()[0].1.update(|values| values.fill(f32::NAN)).unwrap();
    refused(trainer.step(), &["step 1", "NaN"]);
    refused(with(config(1, 1e-3), &pairs), &["not all finite"]);
}
