//! Adapters of all kinds beside PEFT, by the fixtures of `fixtures/make_adapters.py`: which matrices, ranks, factors, DoRA, biases,
//! whole modules; what is not as it should be is refused.

use candle_core::Device;
use finetuning::models::decoder::TrainBatch;
use finetuning::nn::backend::Backend;
use finetuning::train::batch::Batch;
use finetuning::*;
use serde_json::{Value, json};

use crate::models::parity::{batch, load, token_rows};
use crate::support::{
    assert_close, fixture, fresh_folder, ids, json, largest_difference, numbers, refused, tensors, tiny_llama, tiny_model, tiny_rows,
    values,
};

const PREFIX: &str = "base_model.model.";

fn cases() -> Vec<Value> {
    json("lora/cases.json")["cases"].as_array().unwrap().clone()
}

fn folder(case: &str) -> std::path::PathBuf {
    fixture(&format!("lora/cases/{case}"))
}

/// The first row of a fixture without its padding, and its logits.
fn first_logits(model: &CausalLm, base: &str) -> Vec<f32> {
    let case = json(&format!("lora/{base}.json"));
    let (row, mask) = (ids(&case["input_ids"][0]), numbers(&case["attention_mask"][0]));
    let row: Vec<u32> = row.into_iter().zip(mask).filter(|(_, mask)| *mask > 0.0).map(|(id, _)| id).collect();
    values(&model.forward(&row, 1, false).unwrap())
}

fn constant(rate: f64, steps: i64) -> TrainingArguments {
    TrainingArguments {
        learning_rate: rate,
        max_steps: steps,
        lr_scheduler_type: Schedule::Constant,
        per_device_train_batch_size: 4,
        disable_tqdm: true,
        ..Default::default()
    }
}

/// Gradients of the trained parameters on a fixture's rows, by name.
fn gradients(model: &CausalLm, rows: &Batch, checkpointing: bool) -> Vec<(String, Vec<f32>)> {
    model.backward(TrainBatch { checkpointing, ..rows.as_train_batch() }).unwrap();
    let trained = model.weights().iter().filter(|(_, parameter)| !parameter.is_frozen());
    trained
        .map(|(name, parameter)| {
            let gradient = parameter.gradient().unwrap();
            parameter.take_gradient();
            (name.clone(), gradient.iter().map(|g| g / rows.num_items() as f32).collect())
        })
        .collect()
}

/// The name in the adapter's file.
fn in_file(name: &str) -> String {
    name.replace("model.embed_out.", "model.lm_head.")
}

#[test]
fn every_kind_of_adapter_is_pefts() {
    let theirs = tensors("lora/cases.safetensors");
    for case in cases() {
        let (name, base) = (case["name"].as_str().unwrap(), case["base"].as_str().unwrap());
        let below = load(base);
        let model = below.load_adapter(folder(name)).unwrap();
        assert_eq!(model.trainable_parameter_count() as u64, case["trainable_parameters"].as_u64().unwrap(), "{name}");
        let (ours, expected) = (first_logits(&model, base), values(&theirs[&format!("{name}/logits")]));
        assert_close(&format!("{name} logits"), &ours, &expected, 2e-5, 0.0);
        let merged = model.merge_adapter().unwrap();
        assert_close(&format!("{name} merged"), &first_logits(&merged, base), &expected, 2e-5, 0.0);
        assert!(merged.lora().is_none() && merged.trainable_parameter_count() == below.parameter_count());
        assert_eq!(first_logits(&model.without_adapter(), base), first_logits(&below, base), "{name}: the model below has changed");
        // Other devices compute by candle's operations.
        let composed = model.with_backend(Backend::composed());
        assert_close(&format!("{name} composed"), &first_logits(&composed, base), &expected, 5e-5, 0.0);

        let rows = batch(&json(&format!("lora/{base}.json")), model.config());
        let norms = case["grad_norms"].as_object().unwrap();
        for (kind, model, checkpointing) in [("fused", &model, false), ("checkpointed", &model, true), ("composed", &composed, false)] {
            let gradients = gradients(model, &rows, checkpointing);
            assert_eq!(gradients.len(), norms.len(), "{name}");
            for (parameter, gradient) in gradients {
                let own = gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
                let expected = norms[&in_file(&parameter)].as_f64().unwrap();
                assert!((own - expected).abs() < 1e-5 + 1e-4 * expected, "{name} {kind} {parameter}: {own}, PEFT {expected}");
                if let Some(theirs) = theirs.get(&format!("{name}/grad/{}", in_file(&parameter))) {
                    assert_close(&format!("{name} {kind} {parameter}"), &gradient, &values(theirs), 1e-5, 1e-4);
                }
            }
        }
        assert!(below.weights().iter().all(|(_, parameter)| !parameter.has_gradient()), "{name}");
    }
}

#[test]
fn three_steps_of_every_kind_are_pefts() {
    for case in cases() {
        let (name, base) = (case["name"].as_str().unwrap(), case["base"].as_str().unwrap());
        let (below, rows) = (load(base), token_rows(&json(&format!("lora/{base}.json"))["rows"]));
        let before: Vec<f32> = below.weights().iter().flat_map(|(_, parameter)| values(parameter.as_tensor())).collect();
        let model = below.load_adapter(folder(name)).unwrap();
        let mut trainer =
            Trainer::new(&model, constant(1e-2, 3), TokenizedDataset::from_rows(rows.clone()), TokenizedDataset::default()).unwrap();
        for theirs in case["steps"].as_array().unwrap() {
            let report = trainer.step_on(&rows).unwrap();
            let [loss, norm] = ["loss", "grad_norm"].map(|field| theirs[field].as_f64().unwrap());
            assert!((report.loss - loss).abs() < 2e-5 && (report.grad_norm / norm - 1.0).abs() < 2e-4, "{name}: {report:?}, PEFT {theirs}");
        }
        let after: Vec<f32> = below.weights().iter().flat_map(|(_, parameter)| values(parameter.as_tensor())).collect();
        assert_eq!(before, after, "{name}: the weights below have moved");
        // What was learnt is what is saved and loaded again, by either name of a setting.
        let place = fresh_folder();
        model.save_adapter(&place).unwrap();
        assert_eq!(first_logits(&below.load_adapter(&place).unwrap(), base), first_logits(&model, base), "{name}");
        let [ours, theirs] = [&place, &folder(name)]
            .map(|place| serde_json::from_slice::<Value>(&std::fs::read(place.join("adapter_config.json")).unwrap()).unwrap());
        for (field, value) in ours.as_object().unwrap().iter().filter(|(field, _)| *field != "base_model_name_or_path") {
            // PEFT writes `all-linear` as the list of all names, and one pattern as a text.
            let same = *value == theirs[field] || (name == "all-linear" && field == "target_modules") || json!([theirs[field]]) == *value;
            assert!(same, "{name}: {field} is {value}, PEFT {}", theirs[field]);
        }
        let copy = model.deep_clone().unwrap();
        assert_eq!(first_logits(&copy, base), first_logits(&model, base), "{name}: a copy");
    }
}

#[test]
fn fresh_adapters_begin_as_pefts() {
    for base in [tiny_model(3), tiny_llama(3, true)] {
        let row = [5, 9, 2, 40];
        let start = values(&base.forward(&row, 1, false).unwrap());
        let all = || LoraConfig { target_modules: vec!["all-linear".into()], r: 4, ..Default::default() };
        let of = |config: LoraConfig| base.with_lora(&config).unwrap();
        let now = |model: &CausalLm| values(&model.forward(&row, 1, false).unwrap());
        for config in [
            LoraConfig { init_lora_weights: LoraInit::Gaussian, ..all() },
            LoraConfig { use_dora: true, ..all() },
            LoraConfig { bias: LoraBias::All, modules_to_save: vec!["norm".into()], ..all() },
        ] {
            assert_close(&format!("{config:?}"), &now(&of(config.clone())), &start, 1e-5, 0.0);
        }
        assert!(largest_difference(&now(&of(LoraConfig { init_lora_weights: LoraInit::Random, ..all() })), &start) > 1e-3);
        let a = |init| {
            let model = of(LoraConfig { init_lora_weights: init, ..all() });
            let a: Vec<f32> = model
                .weights()
                .iter()
                .filter(|(name, _)| name.ends_with("lora_A.weight"))
                .flat_map(|(_, p)| values(p.as_tensor()))
                .collect();
            (a.iter().map(|a| a * a).sum::<f32>() / a.len() as f32).sqrt()
        };
        // Deviations: uniform between ∓1 / √inputs has 1 / √(3 · inputs), of 32 to 64 inputs; gaussian 1 / r.
        assert!((0.07..0.11).contains(&a(LoraInit::Kaiming)) && (0.23..0.27).contains(&a(LoraInit::Gaussian)), "{}", a(LoraInit::Gaussian));
    }
}

#[test]
fn dropout_is_of_training_alone_and_named_by_its_seed() {
    for use_dora in [false, true] {
        let base = tiny_llama(3, true);
        let config = LoraConfig { lora_dropout: 0.5, use_dora, init_lora_weights: LoraInit::Random, ..Default::default() };
        let (model, never) = (base.with_lora(&config).unwrap(), base.with_lora(&LoraConfig { lora_dropout: 0.0, ..config }).unwrap());
        let row = [5, 9, 2, 40, 7, 8];
        let answer = |model: &CausalLm, training| values(&model.forward(&row, 1, training).unwrap());
        assert_eq!(answer(&model, false), answer(&never, false), "an answer drops nothing");
        model.set_seed(4);
        let first = answer(&model, true);
        assert!(largest_difference(&first, &answer(&never, false)) > 1e-3);
        model.set_seed(4);
        assert_eq!(answer(&model, true), first);
        assert_ne!(answer(&model, true), first, "the next pass drops others");
        // What is computed again on the way back drops the same, and composed operations do as well.
        let rows = tiny_rows(4);
        let rows = Batch::new(&rows.rows().iter().collect::<Vec<_>>(), false, model.config()).unwrap();
        let composed = model.with_backend(Backend::composed());
        let [whole, again, composed] = [(&model, false), (&model, true), (&composed, false)].map(|(model, checkpointing)| {
            model.set_seed(9);
            gradients(model, &rows, checkpointing)
        });
        for (((name, whole), (_, again)), (_, composed)) in whole.iter().zip(&again).zip(&composed) {
            assert_eq!(whole, again, "{name}");
            assert_close(name, whole, composed, 1e-5, 1e-3);
        }
    }
}

#[test]
fn a_change_of_one_number_changes_the_loss_by_its_gradient() {
    // DoRA's gradient takes the lengths as constants, so plain parameters and biases are looked at beside its magnitudes.
    let base = tiny_model(5);
    let config = LoraConfig { use_dora: true, bias: LoraBias::LoraOnly, target_modules: vec!["dense".into()], ..Default::default() };
    let model = base.with_lora(&config).unwrap();
    let rows = tiny_rows(4);
    let rows = Batch::new(&rows.rows().iter().collect::<Vec<_>>(), false, model.config()).unwrap();
    let loss = || {
        let loss = model.backward(rows.as_train_batch()).unwrap() / rows.num_items();
        model.weights().iter().for_each(|(_, parameter)| drop(parameter.take_gradient()));
        loss
    };
    for (name, gradient) in
        gradients(&model, &rows, false).into_iter().filter(|(name, _)| !name.contains("lora_A") && !name.contains("lora_B"))
    {
        let parameter = model.weights().iter().find(|(own, _)| *own == name).unwrap().1.clone();
        let index = (0..gradient.len()).max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs())).unwrap();
        let moved = |by: f32| {
            parameter.update(|values| values[index] += by).unwrap();
            let loss = loss();
            parameter.update(|values| values[index] -= by).unwrap();
            loss
        };
        let slope = (moved(0.01) - moved(-0.01)) / 0.02;
        assert!((slope - f64::from(gradient[index])).abs() < 1e-4 + 0.02 * slope.abs(), "{name}: {slope}, {}", gradient[index]);
    }
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let base = tiny_llama(3, true);
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let refuse = |config: LoraConfig, parts: &[&str]| refused(base.with_lora(&config), parts);
    let all = || LoraConfig { target_modules: vec!["all-linear".into()], ..Default::default() };
    refuse(
        LoraConfig { r: 33, ..all() },
        &["the rank of `model.layers.0.self_attn.q_proj` is 33", "32 rows and 32 columns", "set r to 32"],
    );
    refuse(LoraConfig { rank_pattern: vec![("k_proj".into(), 0)], ..all() }, &["rank_pattern of `k_proj` is 0", "at least 1"]);
    refuse(LoraConfig { rank_pattern: vec![("wo".into(), 2)], ..all() }, &["rank_pattern names `wo`", "fits none"]);
    refuse(LoraConfig { alpha_pattern: vec![("(".into(), 2.0)], ..all() }, &["alpha_pattern", "regular expression"]);
    refuse(
        LoraConfig { target_regex: Some("q_proj".into()), ..Default::default() },
        &["target_modules names `q_proj`", "this model has `q_proj`"],
    );
    refuse(LoraConfig { target_regex: Some("(".into()), ..Default::default() }, &["target_modules", "regular expression `(`"]);
    refuse(LoraConfig { target_regex: Some(".*".into()), ..all() }, &["target_regex and target_modules are both set"]);
    refuse(LoraConfig { layers_to_transform: Some(vec![0, 2]), ..all() }, &["layers_to_transform has 2", "0 to 1"]);
    refuse(LoraConfig { layers_pattern: names(&["layers"]), ..all() }, &["layers_pattern", "layers_to_transform"]);
    refuse(
        LoraConfig { layers_pattern: names(&["h"]), layers_to_transform: Some(vec![0]), ..all() },
        &["nothing is left", "layers_to_transform"],
    );
    refuse(LoraConfig { exclude_regex: Some(".*".into()), ..all() }, &["nothing is left", "exclude_modules"]);
    refuse(LoraConfig { lora_dropout: 1.0, ..all() }, &["lora_dropout is 1", "below 1"]);
    refuse(LoraConfig { lora_alpha: f64::NAN, ..all() }, &["alpha NaN", "finite"]);
    refuse(LoraConfig { modules_to_save: names(&["wte"]), ..all() }, &["modules_to_save names `wte`", "`embed_tokens`"]);
    refuse(LoraConfig { modules_to_save: names(&["k_proj", "roj"]), ..all() }, &["modules_to_save names `roj`", "changes as well"]);
    refused(
        load("tiny-llama3").with_lora(&LoraConfig { modules_to_save: names(&["embed_tokens"]), ..all() }),
        &["`embed_tokens`", "output projection"],
    );
}

#[test]
fn fields_of_a_file_are_honoured_or_refused_by_name() {
    let base = load("tiny-neox");
    let place = fresh_folder();
    std::fs::copy(fixture("lora/tiny-neox/adapter_model.safetensors"), place.join("adapter_model.safetensors")).unwrap();
    let with = |field: &str, value: Value| {
        let mut config = json("lora/tiny-neox/adapter_config.json");
        config[field] = value;
        std::fs::write(place.join("adapter_config.json"), config.to_string()).unwrap();
        base.load_adapter(&place)
    };
    for (field, value) in [
        ("lora_bias", json!(true)),
        ("trainable_token_indices", json!([1])),
        ("layer_replication", json!([[0, 1]])),
        ("target_parameters", json!(["x"])),
        ("alora_invocation_tokens", json!([5])),
        ("use_qalora", json!(true)),
        ("kasa_config", json!({ "beta": 1.0 })),
        ("a_field_of_next_year", json!(3)),
        ("init_lora_weights", json!("mica")),
        ("peft_type", json!("IA3")),
    ] {
        refused(with(field, value.clone()), &["adapter_config.json", field, "merge_and_unload"]);
    }
    for (field, value) in [
        ("bias", json!("some")),
        ("lora_dropout", json!("0.1")),
        ("rank_pattern", json!({ "dense": "2" })),
        ("layers_to_transform", json!("1")),
        ("modules_to_save", json!([3])),
        ("use_rslora", json!("yes")),
        ("r", json!(-1)),
    ] {
        refused(with(field, value), &["adapter_config.json", field, "must be"]);
    }
    // Each of these says other numbers than the file's tensors.
    refused(with("use_dora", json!(true)), &["lora_magnitude_vector: missing"]);
    refused(with("bias", json!("all")), &["final_layer_norm.bias: missing"]);
    refused(with("rank_pattern", json!({ "query_key_value": 2 })), &["[4, 32], the model needs [2, 32]"]);
    // A pattern that fits nothing means nothing in PEFT, too; dropout is of training.
    with("rank_pattern", json!({ "dense": 2 })).unwrap();
    assert_eq!(with("lora_dropout", json!(0.25)).unwrap().lora().unwrap().lora_dropout, 0.25);
    assert_eq!(with("megatron_core", json!("megatron.core")).unwrap().device().is_cpu(), Device::Cpu.is_cpu());
    let scaled = with("use_rslora", json!(true)).unwrap();
    assert!(scaled.weights().iter().any(|(name, _)| name.starts_with(PREFIX)));
    assert_eq!(scaled.lora().unwrap().scale(), 4.0);
}
