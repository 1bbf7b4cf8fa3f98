//! Classifiers and reward models beside transformers and TRL, by `fixtures/training/objectives.json`: scores, steps, files, refusals.

use std::collections::BTreeMap;

use finetuning::*;
use serde_json::Value;

use crate::models::parity::load;
use crate::support::{assert_close, fixture, fresh_folder, ids, json, numbers, refused, tiny_model, values};
use crate::train::objectives::{arguments, pairs, steps};

/// A classifier on a model of the fixtures, with the fixture's scores.
fn classifier(base: &str, labels: &[&str], score: &Value) -> SequenceClassifier {
    let model = SequenceClassifier::new(&load(base), labels, 0).unwrap();
    let (_, own) = model.model().weights().iter().find(|(name, _)| name == "score.weight").unwrap();
    own.set(&Tensor::from_vec(numbers(score), own.shape(), &Device::Cpu).unwrap()).unwrap();
    model
}

fn texts(file: &Value) -> Vec<Vec<u32>> {
    file["classification"]["texts"].as_array().unwrap().iter().map(ids).collect()
}

/// Labelled texts of the fixture.
fn labelled(file: &Value) -> Vec<LabelledText> {
    let labels = ids(&file["classification"]["labels"]);
    texts(file).into_iter().zip(labels).map(|(ids, label)| LabelledText { ids, label: label as usize }).collect()
}

fn assert_scores(model: &SequenceClassifier, texts: &[Vec<u32>], theirs: &Value) {
    assert_close("scores", &model.scores(texts).unwrap().concat(), &numbers(theirs), 2e-5, 1e-5);
}

#[test]
fn scores_are_those_of_transformers() {
    let file = json("training/objectives.json");
    let (case, texts) = (&file["classification"], texts(&file));
    let model = classifier("tiny-neox", &["no", "maybe", "yes"], &case["score"]);
    assert_scores(&model, &texts, &case["scores"]);
    assert_scores(&classifier("tiny-llama3", &["a", "b", "c"], &case["llama"]["score"]), &texts, &case["llama"]["scores"]);
    // One text at a time, and with more of the id that pads behind it.
    let padded: Vec<Vec<u32>> = texts.iter().map(|ids| [ids.as_slice(), &[0, 0]].concat()).collect();
    assert_scores(&model, &padded, &case["scores"]);
    let alone: Vec<f32> = texts.iter().flat_map(|ids| model.scores(std::slice::from_ref(ids)).unwrap().concat()).collect();
    assert_close("alone", &alone, &numbers(&case["scores"]), 2e-5, 1e-5);
    for row in model.probabilities(&texts).unwrap() {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
    }
}

#[test]
fn files_are_those_of_transformers() {
    let file = json("training/objectives.json");
    for (base, case) in [("tiny-neox", &file["classification"]), ("tiny-llama3", &file["classification"]["llama"])] {
        let names: Vec<String> = (0..3).map(|id| case["config"]["id2label"][id.to_string()].as_str().unwrap().to_string()).collect();
        let labels: Vec<&str> = names.iter().map(String::as_str).collect();
        let (model, folder) = (classifier(base, &labels, &case["score"]), fresh_folder());
        model.save_pretrained(&folder).unwrap();
        let shapes = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let shapes: BTreeMap<&String, Value> = shapes.iter().map(|(name, tensor)| (name, tensor.dims().into())).collect();
        let theirs: BTreeMap<&String, Value> =
            case["tensors"].as_object().unwrap().iter().map(|(name, dims)| (name, dims.clone())).collect();
        assert_eq!(shapes, theirs, "{base}");
        let config: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        for name in ["architectures", "id2label", "label2id"] {
            assert_eq!(config[name], case["config"][name], "{base}: {name}");
        }
        let name = folder.to_str().unwrap();
        let again = AutoModelForSequenceClassification::from_pretrained(name, &[]).unwrap();
        assert_eq!(again.labels(), names);
        assert_eq!(again.scores(&texts(&file)).unwrap(), model.scores(&texts(&file)).unwrap());
        refused(AutoModelForSequenceClassification::from_pretrained(name, &["x"]), &["has the labels", "[\"x\"]"]);
        refused(AutoModelForCausalLM::from_pretrained(name), &["3 labels", "writes no text"]);
    }
}

#[test]
fn classes_are_learnt_as_by_transformers() {
    let file = json("training/objectives.json");
    let case = &file["classification"];
    let model = classifier("tiny-neox", &["no", "maybe", "yes"], &case["score"]);
    let own = TrainingArguments { gradient_accumulation_steps: 1, eval_steps: 3, ..arguments(&file, 4) };
    let mut trainer = ClassificationTrainer::new(&model, own, labelled(&file), labelled(&file)).unwrap();
    let before = trainer.evaluate().unwrap();
    assert!((before.loss - case["steps"][0]["loss"].as_f64().unwrap()).abs() < 2e-5, "{before:?}");
    steps("classification", &case["steps"], || trainer.step().unwrap().clone());
    let after = trainer.evaluate().unwrap();
    let likeliest = |row: Vec<f32>| (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let found = model.scores(&texts(&file)).unwrap().into_iter().map(likeliest);
    let right = found.zip(labelled(&file)).filter(|(found, row)| *found == row.label).count();
    assert_eq!(after.metrics["accuracy"], right as f64 / 4.0);
    assert!(after.loss < before.loss);
}

#[test]
fn rewards_are_learnt_as_by_trl() {
    let file = json("training/objectives.json");
    let cases = file["reward"]["cases"].as_array().unwrap();
    for case in cases {
        let model = classifier("tiny-neox", &["reward"], &file["reward"]["score"]);
        let center_rewards_coefficient = case["center_rewards_coefficient"].as_f64();
        let config = RewardConfig { center_rewards_coefficient, arguments: arguments(&file, 2) };
        let mut trainer = RewardTrainer::new(&model, config, pairs(&file), pairs(&file)).unwrap();
        steps(&format!("reward {center_rewards_coefficient:?}"), &case["steps"], || trainer.step().unwrap().clone());
        let report = trainer.evaluate().unwrap();
        assert_eq!(report.metrics["accuracy"], 1.0);
    }
    assert_eq!(cases.len(), 2);
}

#[test]
fn labels_are_read_from_a_file() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let labels = ["bad".to_string(), "good".to_string()];
    let path = fresh_folder().join("texts.jsonl");
    let lines = "{\"text\": \"It works.\", \"label\": \"good\"}\n{\"text\": \"It does not.\", \"label\": 0}";
    std::fs::write(&path, lines).unwrap();
    let data = Dataset::from_jsonl(&path).unwrap();
    let rows = tokenize_labelled(&data, &tokenizer, &labels, 64).unwrap();
    assert_eq!(rows.iter().map(|row| row.label).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(tokenizer.decode(&rows[0].ids).unwrap(), "It works.");
    assert_eq!(tokenize_labelled(&data, &tokenizer, &labels, 2).unwrap()[1].ids, rows[1].ids[..2]);
    let with = |name: &str, value: Value| {
        let mut example = data.get(1).unwrap().clone();
        example.set(name, value);
        tokenize_labelled(&Dataset::from_examples(vec![data.get(0).unwrap().clone(), example]), &tokenizer, &labels, 64)
    };
    refused(with("label", 2.into()), &["row 1", "`label` is 2", "[\"bad\", \"good\"]"]);
    refused(with("label", "fine".into()), &["row 1", "`label` is \"fine\""]);
    refused(with("label", Value::Null), &["row 1", "`label` is missing"]);
    refused(with("text", "".into()), &["row 1", "`text` is empty"]);
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let file = json("training/objectives.json");
    let (base, own) = (tiny_model(3), || arguments(&file, 2));
    refused(SequenceClassifier::new(&base, &[], 0), &["0 labels"]);
    refused(SequenceClassifier::new(&base, &["a", "a"], 0), &["`a` is given twice"]);
    refused(SequenceClassifier::new(&base.with_lora(&LoraConfig::default()).unwrap(), &["a"], 0), &["merge_adapter"]);
    let (reward, classes) = (SequenceClassifier::new(&base, &["r"], 0).unwrap(), SequenceClassifier::new(&base, &["a", "b"], 0).unwrap());
    refused(classes.model().with_lora(&LoraConfig::default()), &["2 labels", "writes no text"]);
    refused(classes.model().quantized(GgmlDType::Q8_0), &["2 labels", "writes no text"]);
    refused(classes.scores(&[vec![1], Vec::new()]), &["sequence 1 has no ids"]);
    refused(classes.scores(&[vec![96]]), &["96"]);
    let classify = |model: &SequenceClassifier, rows: Vec<LabelledText>| ClassificationTrainer::new(model, own(), rows, Vec::new());
    refused(classify(&reward, labelled(&file)), &["1 labels", "RewardTrainer"]);
    refused(classify(&classes, labelled(&file)), &["text 1: the label is 2", "labels 0 to 1"]);
    refused(classify(&classes, Vec::new()), &["no texts to train on"]);
    refused(classify(&classes, vec![LabelledText { ids: vec![3, 96], label: 0 }]), &["text 0: token id 96", "vocabulary of 96"]);
    refused(classify(&classes, vec![LabelledText { ids: vec![3; 65], label: 0 }]), &["text 0: 65 tokens", "64 positions"]);
    classify(&classes, vec![LabelledText { ids: vec![3; 64], label: 0 }]).unwrap();
    let rewarded = |model: &SequenceClassifier, config: RewardConfig| RewardTrainer::new(model, config, pairs(&file), Vec::new());
    refused(rewarded(&classes, RewardConfig { arguments: own(), ..Default::default() }), &["2 labels", "a reward is one"]);
    let config = RewardConfig { center_rewards_coefficient: Some(f64::NAN), arguments: own() };
    refused(rewarded(&reward, config), &["center_rewards_coefficient is NaN", "at least 0"]);
    // The layers are shared, the output projection of the base is as it was.
    let before = values(base.weights().last().unwrap().1.as_tensor());
    let config = RewardConfig { arguments: TrainingArguments { max_steps: 2, ..own() }, ..Default::default() };
    rewarded(&reward, config).unwrap().train().unwrap();
    assert_eq!(before, values(base.weights().last().unwrap().1.as_tensor()));
}
