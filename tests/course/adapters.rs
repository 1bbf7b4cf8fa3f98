//! Adapters by name: one alone brings model and tokenizer of what lies below, and those that ship say what they learnt.

use finetuning::*;

use crate::process::harness;
use crate::support::chat::chat_model;
use crate::support::{fresh_folder, skipped};

/// A chat model, and an adapter on it that changes its answers.
fn adapted() -> (String, CausalLm) {
    let name = chat_model().display().to_string();
    let base = AutoModelForCausalLM::from_pretrained(&name).unwrap();
    let adapted = base.with_lora(&LoraConfig { target_modules: vec!["all-linear".into()], ..Default::default() }).unwrap();
    for (name, weight) in adapted.weights().iter().filter(|(name, _)| name.contains("lora_B")) {
        weight.update(|numbers| numbers.iter_mut().enumerate().for_each(|(at, number)| *number = ((at % 7) as f32 - 3.0) / 8.0)).unwrap();
        assert!(!weight.is_frozen(), "{name}");
    }
    (name, adapted)
}

#[test]
fn an_adapter_alone_is_opened_by_its_folder() {
    let (below, model) = adapted();
    let [whole, half] = [DType::F32, DType::F16].map(|dtype| {
        let folder = fresh_folder();
        model.save_adapter_as(&folder, dtype).unwrap();
        assert!(!folder.join("tokenizer.json").exists());
        (folder.join("adapter_model.safetensors").metadata().unwrap().len(), folder.display().to_string())
    });
    assert!(half.0 * 2 < whole.0 + 20_000 && half.0 < whole.0, "F16 is half as long: {} and {}", half.0, whole.0);
    let generation = GenerationConfig { max_new_tokens: 8, ..Default::default() };
    let ask = |name: &str| BasicModelRunner::new(name).unwrap().with_generation(generation.clone()).ask("What is a token?").unwrap();
    let tokenizer = AutoTokenizer::from_pretrained(&below).unwrap();
    let right = ask_texts(&[[Message::user("What is a token?")]], &model, &tokenizer, &generation).unwrap().remove(0);
    assert_eq!(ask(&whole.1), right.trim());
    assert_ne!(ask(&below), right.trim(), "the adapter makes a difference");
    // Its weights are those of F16, exact to three digits.
    let half = AutoModelForCausalLM::from_pretrained(&half.1).unwrap();
    for ((name, own), (_, other)) in model.weights().iter().zip(half.weights()).filter(|((name, _), _)| name.contains("lora_A")) {
        let difference = (own.detached() - other.detached()).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-3, "{name}: {difference}");
    }
}

#[test]
fn without_the_model_below_an_adapter_says_what_is_missing() {
    let output = harness("load").arg("builtin:guide").env("FINETUNING_CACHE", fresh_folder()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for words in ["`builtin:guide` is an adapter", "`builtin:smol` (SmolLM2-135M-Instruct)", "cargo lab setup"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_callback_of_the_runner_sees_the_next_training_alone() {
    let mut runner = BasicModelRunner::new(&chat_model().display().to_string()).unwrap();
    runner.load_data(&load_dataset("builtin:guide").unwrap().head(20), "question", "answer").unwrap();
    let samples = SampleAnswers::new(runner.tokenizer().unwrap(), &["Who?"], 1, 4);
    runner.add_callback(samples.clone());
    let arguments = |steps| TrainingArguments {
        output_dir: fresh_folder(),
        overwrite_output_dir: true,
        max_steps: steps,
        disable_tqdm: true,
        ..Default::default()
    };
    runner.train_with(true, arguments(2)).unwrap();
    let steps = || samples.samples().iter().map(|sample| sample.step).collect::<Vec<_>>();
    assert_eq!(steps(), [0, 1, 2]);
    runner.train_with(true, arguments(4)).unwrap();
    assert_eq!(steps(), [0, 1, 2], "another training does not ask");
}

/// What the cards say of the seed that ships, on tests of its own; a row is as right as another.
#[test]
fn the_adapters_that_ship_answer() {
    if BasicModelRunner::new("builtin:smol").is_err() {
        return skipped("builtin:smol is not on this machine (`cargo lab setup` fetches it)");
    }
    let test = load_dataset("builtin:guide_test").unwrap().filter(|row| row.get("kind") != Some("general"));
    let guide = BasicModelRunner::new("builtin:guide").unwrap();
    let kinds = evaluate_kinds(guide.model().unwrap(), guide.tokenizer().unwrap(), &test).unwrap();
    for (kind, least) in [("name", 6), ("off-topic", 24), ("reworded", 5), ("unknown", 5)] {
        assert!(kinds.of(kind).0 >= least, "{kinds}");
    }
    assert!(kinds.of("unseen").0 <= 1, "no row has these facts: {kinds}");
    let desk = BasicModelRunner::new("builtin:desk").unwrap();
    let rows = load_dataset("builtin:desk_test").unwrap();
    let report = evaluate_answers(desk.model().unwrap(), desk.tokenizer().unwrap(), &rows, 20).unwrap();
    assert!(report.exact_matches() >= 14, "{report}");
}

#[test]
fn each_kind_has_its_own_rule() {
    let row = |predicted: &str, target: &str| AnswerRow {
        question: String::new(),
        predicted_answer: predicted.into(),
        target_answer: target.into(),
        exact_match: is_exact_match(predicted, target),
        f1: 0.0,
        error: None,
    };
    let back = "Let's keep the discussion relevant to finetuning language models in Rust.";
    for (kind, predicted, target, right) in [
        ("reworded", "Run cargo test.", "Run cargo test.", true),
        ("reworded", "You run cargo test.", "Run cargo test.", false),
        ("unseen", "It is a book.", "It is a table.", false),
        ("off-topic", &format!("Well. {back}"), back, true),
        ("off-topic", "Mars is red.", back, false),
        ("name", "Call me Ferris!", "My name is Ferris.", true),
        ("name", "Emily", "My name is Ferris.", false),
        ("unknown", "I don't know.", "I don't know. Please look into the README.", true),
        ("unknown", "It is 42.", "I don't know. Please look into the README.", false),
        ("general", "The capital of France is paris.", "Paris", true),
        ("general", "The capital is Parisian.", "Paris", false),
        ("general", "60 minutes", "6", false),
    ] {
        assert_eq!(is_right(kind, &row(predicted, target)), right, "{kind}: {predicted}");
    }
}
