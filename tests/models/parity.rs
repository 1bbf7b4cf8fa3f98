//! The model and the optimizers against transformers and PyTorch, by the fixtures of `fixtures/make.py`.

use candle_core::{Device, Tensor, Var};
use finetuning::nn::backend::Backend;
use finetuning::nn::parameter::{Gradient, Parameter};
use finetuning::optim::optimizer::Optimizer;
use finetuning::optim::settings::OptimizerSettings;
use finetuning::train::batch::Batch;
use finetuning::*;
use serde_json::Value;

use crate::support::{assert_close, fixture, fresh_folder, ids, json, numbers, tensors, values};

const MODELS: [&str; 2] = ["tiny-neox", "tiny-neox-serial"];

/// A checkpoint of the fixtures.
pub fn load(name: &str) -> CausalLm {
    CausalLm::from_folder(&fixture(name), &Device::Cpu).unwrap()
}

/// transformers 5, which made the fixtures, calls the output matrix `lm_head`; checkpoints on the hub say `embed_out`.
pub fn in_transformers_5(name: &str) -> &str {
    if name == "embed_out.weight" { "lm_head.weight" } else { name }
}

/// A fixture case as a micro-batch: label −100 and padding are not learnt.
pub fn batch(case: &Value, config: &Config) -> Batch {
    let list = |name: &str| case[name].as_array().unwrap().clone();
    let row = |(input, (mask, labels)): (&Value, (&Value, &Value))| {
        Encoding { attention_mask: ids(mask), ..Encoding::from_ids(ids(input)) }.with_labels(&labels_of(labels)).unwrap()
    };
    let rows: Vec<Encoding> = list("input_ids").iter().zip(list("attention_mask").iter().zip(list("labels").iter())).map(row).collect();
    Batch::new(&rows.iter().collect::<Vec<_>>(), false, config).unwrap()
}

#[test]
fn logits_are_transformers() {
    MODELS.iter().for_each(|name| check_logits(name));
}

#[test]
fn losses_and_gradients_are_transformers() {
    for name in MODELS {
        assert_eq!(check_gradients(name), 2 * load(name).weights().len(), "{name}: two cases with all gradients");
    }
}

#[test]
fn greedy_text_is_transformers() {
    MODELS.iter().for_each(|name| check_greedy(name));
}

/// The logits of all cases of `<name>/forward.json` that have them.
pub fn check_logits(name: &str) {
    let model = load(name);
    for case in json(&format!("{name}/forward.json"))["cases"].as_array().unwrap().iter().filter(|case| case["logits"].is_array()) {
        let rows = case["input_ids"].as_array().unwrap();
        let logits = values(&model.forward(&ids(&case["input_ids"]), rows.len(), false).unwrap());
        let (theirs, mask) = (numbers(&case["logits"]), numbers(&case["attention_mask"]));
        assert_close(&format!("{name} {}", case["name"]), &real(&logits, &mask), &real(&theirs, &mask), 1e-4, 0.0);
    }
}

/// The rows of `(N,V)` that are no padding.
pub fn real(logits: &[f32], mask: &[f32]) -> Vec<f32> {
    let rows = logits.chunks(logits.len() / mask.len()).zip(mask);
    rows.filter(|(_, mask)| **mask > 0.0).flat_map(|(row, _)| row.to_vec()).collect()
}

/// The losses of all cases and the gradients of those that have them; returns how many gradients were compared.
pub fn check_gradients(name: &str) -> usize {
    let (model, grads) = (load(name), tensors(&format!("{name}/grads.safetensors")));
    let mut compared = 0;
    for case in json(&format!("{name}/forward.json"))["cases"].as_array().unwrap() {
        let batch = batch(case, model.config());
        let loss = model.backward(batch.as_train_batch()).unwrap() / batch.num_items();
        let label = case["name"].as_str().unwrap();
        assert_close(&format!("{name} {label} loss"), &[loss as f32], &numbers(&case["loss"]), 1e-5, 0.0);
        for (parameter, var) in model.weights() {
            let ours: Vec<f32> = var.gradient().unwrap().iter().map(|g| g / batch.num_items() as f32).collect();
            var.take_gradient();
            let Some(theirs) = grads.get(&format!("{label}/{}", in_transformers_5(parameter))) else { continue };
            assert_close(&format!("{name} {label} {parameter}"), &ours, &values(theirs), 1e-5, 1e-3);
            compared += 1;
        }
    }
    compared
}

/// Sixteen tokens, each the most probable one.
pub fn check_greedy(name: &str) {
    let greedy = &json(&format!("{name}/forward.json"))["greedy"];
    let (prompt, continuation) = (ids(&greedy["prompt"]), ids(&greedy["continuation"]));
    // No id is the end token, so that the text goes on as long as the fixture's.
    let ours = generate(&load(name), &prompt, prompt.len() + continuation.len(), u32::MAX, GenerationConfig::default()).unwrap();
    assert_eq!(ours[prompt.len()..], continuation, "{name}");
}

#[test]
fn optimizer_steps_are_pytorchs() {
    let case = json("optimizer_steps.json");
    for run in case["runs"].as_array().unwrap().iter().filter(|run| run["weight_decay"] == 0.0 || run["optimizer"] == "adamw") {
        let var = |name: &str, shape: &[usize]| {
            Parameter::new(Var::from_tensor(&Tensor::from_vec(numbers(&case["start"][name]), shape, &Device::Cpu).unwrap()).unwrap())
        };
        let height = case["start"]["matrix"].as_array().unwrap().len();
        let width = numbers(&case["start"]["matrix"]).len() / height;
        let weights = vec![
            ("matrix".to_string(), var("matrix", &[height, width])),
            ("vector".to_string(), var("vector", &[numbers(&case["start"]["vector"]).len()])),
        ];
        let kind = if run["optimizer"] == "adamw" { Optim::AdamW } else { Optim::Adafactor };
        let decay = run["weight_decay"].as_f64().unwrap();
        let mut optimizer =
            Optimizer::new(OptimizerSettings { kind, weight_decay: decay, ..Default::default() }, Backend::fused(), &weights).unwrap();
        let rates = case["learning_rates"].as_array().unwrap();
        for ((gradients, rate), after) in case["gradients"].as_array().unwrap().iter().zip(rates).zip(run["after"].as_array().unwrap()) {
            for (name, parameter) in &weights {
                parameter.put_back(Gradient::Dense(numbers(&gradients[name])));
            }
            optimizer.step(&weights, rate.as_f64().unwrap(), 1.0).unwrap();
            assert_close(&format!("{run:.30} matrix"), &values(weights[0].1.as_tensor()), &numbers(&after["matrix"]), 1e-5, 0.0);
            // The vector is not decayed by ours, as by Trainer; PyTorch alone decays all.
            if decay == 0.0 {
                assert_close("vector", &values(weights[1].1.as_tensor()), &numbers(&after["vector"]), 1e-5, 0.0);
            }
        }
        assert_eq!(optimizer.steps(), 4);
    }
}

/// The rows of `optimizers.json` in the order in which the fixture feeds them, four a step.
pub fn fixture_rows(case: &Value) -> Vec<Encoding> {
    token_rows(&case["rows"])
}

/// Rows of ids and labels; a label of −100 is not learnt.
pub fn token_rows(rows: &Value) -> Vec<Encoding> {
    let row = |row: &Value| Encoding::from_ids(ids(&row["input_ids"])).with_labels(&labels_of(&row["labels"])).unwrap();
    rows.as_array().unwrap().iter().map(row).collect()
}

/// Labels as PyTorch has them: −100 is not learnt.
fn labels_of(labels: &Value) -> Vec<i64> {
    labels.as_array().unwrap().iter().map(|label| label.as_i64().unwrap()).collect()
}

#[test]
fn three_steps_are_transformers() {
    let case = json("optimizers.json");
    let rows = fixture_rows(&case);
    let mut runs = 0;
    for run in case["runs"].as_array().unwrap() {
        let name = run["name"].as_str().unwrap();
        if name == "adamw_decay_all_tokens" {
            continue; // Decays biases and norms, which Trainer and we do not.
        }
        let full_rotary = name.contains("full_rotary");
        let model = if full_rotary { full_rotary_model() } else { load("tiny-neox") };
        let arguments = TrainingArguments {
            learning_rate: 1e-2,
            max_steps: 3,
            per_device_train_batch_size: 1,
            gradient_accumulation_steps: 4,
            warmup_steps: 1,
            optim: if run["optimizer"] == "adafactor" { Optim::Adafactor } else { Optim::AdamW },
            weight_decay: run["weight_decay"].as_f64().unwrap(),
            accumulation: if run["accumulation"] == "means" { Accumulation::Means } else { Accumulation::Tokens },
            disable_tqdm: true,
            ..Default::default()
        };
        let mut trainer = Trainer::new(&model, arguments, TokenizedDataset::from_rows(rows.clone()), TokenizedDataset::default()).unwrap();
        let noisy = run["optimizer"] == "adafactor" && !full_rotary;
        for (step, theirs) in run["steps"].as_array().unwrap().iter().enumerate() {
            let report = trainer.step_on(&rows[4 * step..4 * step + 4]).unwrap();
            let number = |field: &str| theirs[field].as_f64().unwrap();
            let (loss, norm) = if noisy && step == 2 { (1e-3, 1e-2) } else { (1e-5, 1e-4) };
            assert!((report.loss - number("loss")).abs() < loss, "{name} step {step}: loss {} and {}", report.loss, number("loss"));
            assert!(
                (report.grad_norm / number("grad_norm") - 1.0).abs() < norm,
                "{name} step {step}: norm {} and {}",
                report.grad_norm,
                number("grad_norm")
            );
            assert!((report.learning_rate - number("learning_rate_after")).abs() < 1e-12, "{name} step {step}: rate");
        }
        let theirs = tensors(&format!("optimizers/{name}.safetensors"));
        for (parameter, var) in model.weights() {
            let (mut ours, mut theirs) = (values(var.as_tensor()), values(&theirs[in_transformers_5(parameter)]));
            if !full_rotary {
                for index in ids(&case["undetermined"][parameter]) {
                    (ours[index as usize], theirs[index as usize]) = (0.0, 0.0);
                }
            }
            let noise = run["float32_error"][in_transformers_5(parameter)].as_f64().unwrap_or(0.0) as f32;
            assert_close(&format!("{name} {parameter}"), &ours, &theirs, (5.0 * noise).max(5e-6), 0.0);
        }
        runs += 1;
    }
    assert_eq!(runs, 5, "Adafactor by tokens, by means, with full rotary; AdamW with and without decay");
}

/// tiny-neox with every dimension turned, where no gradient is zero by construction.
fn full_rotary_model() -> CausalLm {
    let folder = fresh_folder();
    std::fs::copy(fixture("tiny-neox/model.safetensors"), folder.join("model.safetensors")).unwrap();
    let mut config = json("tiny-neox/config.json");
    config["rotary_pct"] = 1.0.into();
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    CausalLm::from_folder(&folder, &Device::Cpu).unwrap()
}

#[test]
fn pythia_70m_has_its_size() {
    let case = json("pythia70m.json");
    let config = NeoxConfig::new(50_304, 512, 6, 8);
    let shapes = finetuning::models::neox::model::parameter_shapes(&config);
    let names: Vec<&str> = shapes.iter().map(|(name, _)| in_transformers_5(name)).collect();
    let theirs: Vec<&String> = case["tensors"].as_object().unwrap().keys().collect();
    assert_eq!(names, theirs);
    for (name, shape) in &shapes {
        assert_eq!(*shape, numbers(&case["tensors"][in_transformers_5(name)]).iter().map(|&n| n as usize).collect::<Vec<_>>(), "{name}");
    }
    let model = CausalLm::random(config, 1, None, &Device::Cpu).unwrap();
    assert_eq!(model.parameter_count(), 70_426_624);
    assert_eq!(model.memory_footprint() as u64, case["memory_footprint"]["parameters"].as_u64().unwrap());
    assert_eq!(model.transformers_memory_footprint(), [306_872_560, 308_445_400]);
    assert_eq!(model.floating_point_ops(981), 262_933_364_736.0);
    assert_eq!(model.floating_point_ops(4 * 2048), 2_195_667_812_352.0);
}
