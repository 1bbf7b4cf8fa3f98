//! LoRA beside PEFT, by the fixtures of `fixtures/make_training.py`; what an adapter shares, freezes, saves and merges.

use candle_core::Device;
use finetuning::models::decoder::TrainBatch;
use finetuning::train::batch::Batch;
use finetuning::*;
use serde_json::Value;

use crate::models::parity::{batch, load, real, token_rows};
use crate::support::{
    assert_close, fixture, fresh_folder, ids, json, largest_difference, numbers, refused, tensors, tiny_llama, tiny_llama_of, tiny_model,
    tiny_rows, values,
};

const MODELS: [&str; 2] = ["tiny-neox", "tiny-llama"];
const PREFIX: &str = "base_model.model.";

fn logits(model: &CausalLm, case: &Value) -> Vec<f32> {
    let rows = case["input_ids"].as_array().unwrap().len();
    real(&values(&model.forward(&ids(&case["input_ids"]), rows, false).unwrap()), &numbers(&case["attention_mask"]))
}

fn weights(model: &CausalLm) -> Vec<f32> {
    model.weights().iter().flat_map(|(_, parameter)| values(parameter.as_tensor())).collect()
}

fn arguments(steps: i64) -> TrainingArguments {
    TrainingArguments { learning_rate: 1e-2, max_steps: steps, per_device_train_batch_size: 4, disable_tqdm: true, ..Default::default() }
}

fn trainer(model: &CausalLm, arguments: TrainingArguments) -> Trainer {
    Trainer::new(model, arguments, tiny_rows(12), TokenizedDataset::default()).unwrap()
}

#[test]
fn logits_merge_and_gradients_are_pefts() {
    for name in MODELS {
        let (case, theirs) = (json(&format!("lora/{name}.json")), tensors(&format!("lora/{name}.safetensors")));
        let (base, mask) = (load(name), numbers(&case["attention_mask"]));
        let model = base.load_adapter(fixture(&format!("lora/{name}"))).unwrap();
        assert_eq!(model.trainable_parameter_count() as u64, case["trainable_parameters"].as_u64().unwrap());
        let (ours, expected) = (logits(&model, &case), real(&values(&theirs["logits"]), &mask));
        assert_close(&format!("{name} logits"), &ours, &expected, 2e-5, 0.0);
        assert!(largest_difference(&ours, &logits(&base, &case)) > 0.1, "{name}: the adapter changes nothing");
        let merged = model.merge_adapter().unwrap();
        assert_close(&format!("{name} merged and adapter"), &logits(&merged, &case), &ours, 1e-5, 0.0);
        assert_close(&format!("{name} merged"), &logits(&merged, &case), &real(&values(&theirs["merged_logits"]), &mask), 2e-5, 0.0);
        let changed = merged.weights().iter().filter_map(|(name, own)| Some((name, own, theirs.get(&format!("merged/{name}"))?)));
        let changed = changed.map(|(name, own, theirs)| assert_close(name, &values(own.as_tensor()), &values(theirs), 1e-6, 0.0)).count();
        assert_eq!(changed, if name == "tiny-neox" { 2 } else { 4 });

        let batch = batch(&case, model.config());
        let loss = model.backward(batch.as_train_batch()).unwrap() / batch.num_items();
        assert_close(&format!("{name} loss"), &[loss as f32], &numbers(&case["loss"]), 1e-5, 0.0);
        let mut compared = 0;
        for (parameter, own) in model.weights() {
            let Some(theirs) = theirs.get(&format!("grad/{parameter}")) else {
                assert!(!own.has_gradient(), "{parameter} is frozen");
                continue;
            };
            let ours: Vec<f32> = own.gradient().unwrap().iter().map(|slope| slope / batch.num_items() as f32).collect();
            assert_close(parameter, &ours, &values(theirs), 1e-5, 0.0);
            compared += 1;
        }
        assert_eq!(compared, 2 * changed);
    }
}

#[test]
fn three_steps_are_pefts() {
    for name in MODELS {
        let (case, theirs) = (json(&format!("lora/{name}.json")), tensors(&format!("lora/{name}.safetensors")));
        let (run, rows) = (&case["training"], token_rows(&case["rows"]));
        let model = load(name).load_adapter(fixture(&format!("lora/{name}"))).unwrap();
        let below = weights(&model.without_adapter());
        let arguments = TrainingArguments {
            learning_rate: run["learning_rate"].as_f64().unwrap(),
            lr_scheduler_type: Schedule::Constant,
            weight_decay: run["weight_decay"].as_f64().unwrap(),
            per_device_train_batch_size: 2,
            per_device_eval_batch_size: 2,
            gradient_accumulation_steps: 2,
            ..arguments(3)
        };
        let eval = token_rows(&json("trajectories/losses.json")["eval_rows"]);
        let [train, eval] = [rows.clone(), eval].map(TokenizedDataset::from_rows);
        let mut trainer = Trainer::new(&model, arguments, train, eval).unwrap();
        for theirs in run["steps"].as_array().unwrap() {
            let report = trainer.step_on(&rows).unwrap();
            assert!((report.loss - theirs["loss"].as_f64().unwrap()).abs() < 1e-5, "{name}: {report:?}, PEFT {theirs}");
            assert!((report.grad_norm / theirs["grad_norm"].as_f64().unwrap() - 1.0).abs() < 1e-4, "{name}: {report:?}, PEFT {theirs}");
        }
        let loss = trainer.evaluate().unwrap().loss;
        assert!((loss - run["eval_loss_per_token"].as_f64().unwrap()).abs() < 1e-5, "{name}: {loss}");
        let adapter: Vec<_> = model.weights().iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        for (parameter, own) in &adapter {
            assert_close(parameter, &values(own.as_tensor()), &values(&theirs[&format!("after/{parameter}")]), 5e-5, 0.0);
        }
        assert_eq!(adapter.len(), theirs.keys().filter(|name| name.starts_with("after/")).count());
        assert_eq!(weights(&model.without_adapter()), below, "{name}: the weights below have moved");
    }
}

#[test]
fn every_adapter_tensor_learns_and_nothing_else() {
    for base in [tiny_model(3), tiny_llama(3, true)] {
        let everywhere = LoraConfig { r: 2, target_modules: vec!["all-linear".into()], ..Default::default() };
        let model = base.with_lora(&everywhere).unwrap();
        let before = weights(&base);
        let rows = tiny_rows(4);
        let row_ids = [5, 9, 2, 40];
        let start = values(&base.forward(&row_ids, 1, false).unwrap());
        assert_eq!(values(&model.forward(&row_ids, 1, false).unwrap()), start, "B is 0: a fresh adapter changes nothing");
        let batch = Batch::new(&rows.rows().iter().collect::<Vec<_>>(), false, model.config()).unwrap();
        // B moves in the first step; from then on A has a gradient, too.
        for (step, checkpointing) in [(0, false), (1, false), (1, true)] {
            model.backward(TrainBatch { checkpointing, ..batch.as_train_batch() }).unwrap();
            for (name, parameter) in model.weights() {
                assert_eq!(parameter.is_frozen(), !name.starts_with(PREFIX), "{name}");
                assert_eq!(parameter.has_gradient(), name.starts_with(PREFIX), "{name}, step {step}");
                let gradient = parameter.gradient().unwrap();
                let learns = name.starts_with(PREFIX) && (step > 0 || name.contains("lora_B"));
                assert_eq!(gradient.iter().any(|slope| slope.abs() > 1e-9), learns, "{name}, step {step}");
                parameter.take_gradient();
            }
            if step == 0 {
                trainer(&model, arguments(1)).step_on(rows.rows()).unwrap();
            }
        }
        assert_eq!(weights(&base), before, "the weights below have moved");
        // Freezing them for the adapter has not frozen them for the model alone.
        assert_eq!(base.trainable_parameter_count(), base.parameter_count());
        base.backward(batch.as_train_batch()).unwrap();
        assert!(base.weights().iter().all(|(_, parameter)| parameter.has_gradient()));
        assert!(model.weights().iter().all(|(_, parameter)| !parameter.has_gradient()));
        base.weights().iter().for_each(|(_, parameter)| drop(parameter.take_gradient()));
        let mut whole = trainer(&base, arguments(1));
        whole.step_on(rows.rows()).unwrap();
        assert!(largest_difference(&weights(&base), &before) > 1e-3, "the model alone can be trained");
    }
}

#[test]
fn a_saved_adapter_is_loaded() {
    let (folder, base_folder) = (fresh_folder(), fresh_folder());
    tiny_model(4).save_pretrained(&base_folder).unwrap();
    let base = AutoModelForCausalLM::from_pretrained(base_folder.to_str().unwrap()).unwrap();
    let model = base.with_lora(&LoraConfig { r: 4, target_modules: vec!["dense".into()], ..Default::default() }).unwrap();
    let mut trainer = trainer(&model, arguments(3));
    trainer.train().unwrap();
    trainer.save_model(&folder).unwrap();
    let size = |path: &std::path::Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&folder.join("adapter_model.safetensors")) < size(&base_folder.join("model.safetensors")) / 4);
    assert!(!folder.join("model.safetensors").exists());
    let expected = values(&model.forward(&[3, 1, 4], 1, false).unwrap());
    assert_ne!(expected, values(&base.forward(&[3, 1, 4], 1, false).unwrap()));
    for again in [base.load_adapter(&folder).unwrap(), AutoModelForCausalLM::from_pretrained(folder.to_str().unwrap()).unwrap()] {
        assert_eq!(values(&again.forward(&[3, 1, 4], 1, false).unwrap()), expected);
        assert_eq!(again.lora().map(|lora| (lora.r, lora.lora_alpha)), Some((4, 8.0)));
    }
    // Merged, it is a checkpoint like any other, and a model of its own.
    let whole = fresh_folder();
    let merged = model.merge_adapter().unwrap();
    merged.save_pretrained(&whole).unwrap();
    let again = AutoModelForCausalLM::from_pretrained(whole.to_str().unwrap()).unwrap();
    assert_eq!(weights(&again), weights(&merged));
    assert_eq!((merged.lora(), merged.trainable_parameter_count()), (None, base.parameter_count()));
    assert_close("merged", &values(&again.forward(&[3, 1, 4], 1, false).unwrap()), &expected, 1e-5, 0.0);
    // Saved beside an adapter it takes its place.
    let beside = fresh_folder();
    model.save_pretrained(&beside).unwrap();
    merged.save_pretrained(&beside).unwrap();
    assert_eq!(weights(&AutoModelForCausalLM::from_pretrained(beside.to_str().unwrap()).unwrap()), weights(&merged));
    // The file's fields are PEFT's.
    let ours: Value = serde_json::from_slice(&std::fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
    let theirs = json("lora/tiny-neox/adapter_config.json");
    for (field, value) in ours.as_object().unwrap() {
        assert!(theirs.get(field).is_some(), "{field} is no field of PEFT");
        assert!(["base_model_name_or_path", "target_modules"].contains(&field.as_str()) || *value == theirs[field], "{field}: {value}");
    }
    assert_eq!(ours["base_model_name_or_path"], base_folder.to_str().unwrap());
}

#[test]
fn a_resumed_adapter_is_an_uninterrupted_one() {
    let base = tiny_llama(5, false);
    let lora = LoraConfig { r: 4, lora_alpha: 16.0, ..Default::default() };
    let whole = base.with_lora(&lora).unwrap();
    trainer(&whole, arguments(8)).train().unwrap();
    let folder = fresh_folder();
    let half = base.with_lora(&lora).unwrap();
    let mut first = trainer(&half, TrainingArguments { output_dir: folder.clone(), ..arguments(8) });
    for _ in 0..4 {
        first.step().unwrap();
    }
    let checkpoint = first.save_checkpoint(&folder).unwrap();
    assert!(checkpoint.join("adapter_model.safetensors").exists() && !checkpoint.join("model.safetensors").exists());
    let resumed = base.with_lora(&LoraConfig { seed: 7, ..lora.clone() }).unwrap();
    let mut second = trainer(&resumed, arguments(8));
    second.resume(&checkpoint).unwrap();
    second.train().unwrap();
    assert_eq!(weights(&resumed), weights(&whole));
    let other = base.with_lora(&LoraConfig { lora_alpha: 8.0, ..lora }).unwrap();
    refused(trainer(&other, arguments(8)).resume(&checkpoint), &["adapter_config.json", "r 4 and a scale of 4", "r 4 and a scale of 2"]);
}

#[test]
fn copies_of_an_adapter_are_apart() {
    let model = tiny_model(6).with_lora(&LoraConfig::default()).unwrap();
    let (copy, before) = (model.deep_clone().unwrap(), weights(&model));
    trainer(&copy, arguments(2)).train().unwrap();
    assert_eq!(weights(&model), before);
    assert!(largest_difference(&weights(&copy), &before) > 1e-3);
    assert_eq!(copy.trainable_parameter_count(), model.trainable_parameter_count());
    let other = tiny_model(6).with_lora(&LoraConfig { seed: 1, ..Default::default() }).unwrap();
    let first_values = |model: &CausalLm| values(model.weights().last().map(|_| &model.weights()[model.weights().len() - 2].1).unwrap());
    assert_ne!(first_values(&other), first_values(&model), "another seed, another A");
    let bound = 1.0 / 32f32.sqrt();
    assert!(first_values(&model).iter().all(|a| a.abs() <= bound) && first_values(&model).iter().any(|a| a.abs() > 0.8 * bound));
}

#[test]
fn bad_adapters_are_refused() {
    let base = tiny_model(7);
    let targets = |names: &[&str]| LoraConfig { target_modules: names.iter().map(|name| name.to_string()).collect(), ..Default::default() };
    let parts = ["`q_proj`, `embed_out`;", "`query_key_value`, `dense`, `dense_h_to_4h`, `dense_4h_to_h`, `all-linear`"];
    refused(base.with_lora(&targets(&["q_proj", "dense", "embed_out"])), &parts);
    refused(base.with_lora(&LoraConfig { r: 0, ..Default::default() }), &["r is 0", "at least 1"]);
    let model = base.with_lora(&targets(&["attention.dense"])).unwrap();
    assert_eq!(model.lora().unwrap().target_modules, ["attention.dense"]);
    refused(model.with_lora(&LoraConfig::default()), &["already has an adapter", "merge_adapter"]);
    refused(base.merge_adapter(), &["no adapter"]);
    refused(base.save_adapter(fresh_folder()), &["no adapter"]);
    refused(base.load_adapter("nowhere"), &["nowhere/adapter_config.json"]);
    refused(
        Trainer::new(&model.without_adapter(), arguments(1), tiny_rows(2), TokenizedDataset::default()),
        &["parameters of the model are frozen", "with_lora"],
    );

    // Missing, misshapen and unexpected tensors are named together.
    let folder = fresh_folder();
    model.save_adapter(&folder).unwrap();
    let path = folder.join("adapter_model.safetensors");
    let mut stored = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let name = |layer: usize, which: &str| format!("{PREFIX}gpt_neox.layers.{layer}.attention.dense.lora_{which}.weight");
    let a = stored.remove(&name(0, "A")).unwrap();
    stored.insert(name(5, "A"), a.clone());
    stored.insert(name(1, "B"), a);
    candle_core::safetensors::save(&stored, &path).unwrap();
    let parts = [
        "layers.0.attention.dense.lora_A.weight: missing",
        "layers.5.attention.dense.lora_A.weight: unexpected",
        "[8, 32], the model needs [32, 8]",
    ];
    refused(base.load_adapter(&folder), &parts);
    std::fs::write(&path, b"half").unwrap();
    refused(base.load_adapter(&folder), &["adapter_model.safetensors", "4 bytes"]);

    refused(load("tiny-llama").load_adapter(fixture("lora/tiny-neox")), &["adapter_config.json", "`query_key_value`", "`q_proj`"]);
    // An adapter for which the base was changed fits no base that anybody has; a start of the adapter alone does not matter.
    std::fs::copy(fixture("lora/tiny-neox/adapter_model.safetensors"), &path).unwrap();
    let mut config = json("lora/tiny-neox/adapter_config.json");
    for (start, changes) in [
        (serde_json::json!("pissa"), true),
        ("pissa_niter_16".into(), true),
        ("olora".into(), true),
        ("corda".into(), true),
        ("loftq".into(), true),
        ("gaussian".into(), false),
        ("eva".into(), false),
        (false.into(), false),
    ] {
        config["init_lora_weights"] = start.clone();
        std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
        match changes {
            true => {
                refused(base.load_adapter(&folder), &["init_lora_weights", start.as_str().unwrap(), "changes the base", "merge_and_unload"])
            }
            false => drop(base.load_adapter(&folder).unwrap()),
        }
    }
}

#[test]
fn a_packed_model_learns_by_its_adapter() {
    for base in [tiny_model(8), tiny_llama_of(64, 8, true)] {
        for (dtype, share, bound) in [(GgmlDType::Q8_0, 0.27, 0.06), (GgmlDType::Q4_0, 0.27, 1.0)] {
            let packed = base.quantized(dtype).unwrap();
            assert_eq!(packed.parameter_count(), base.parameter_count());
            let blocks: usize = packed.packed().iter().map(|(_, matrix)| 4 * matrix.shape().elem_count()).sum();
            let saved = base.memory_footprint() - packed.memory_footprint();
            assert!(saved as f64 > (1.0 - share) * blocks as f64, "{dtype:?}: {saved} of {blocks} bytes saved");
            let row_ids: Vec<u32> = (0..20).map(|i| i * 13 % 96).collect();
            let exact = values(&base.forward(&row_ids, 1, false).unwrap());
            let own = largest_difference(&values(&packed.forward(&row_ids, 1, false).unwrap()), &exact);
            assert!(own > 0.0 && own < bound * exact.iter().fold(0f32, |top, x| top.max(x.abs())), "{dtype:?}: {own}");

            let everywhere = LoraConfig { target_modules: vec!["all-linear".into()], ..Default::default() };
            let model = packed.with_lora(&everywhere).unwrap();
            let mut trainer = trainer(&model, TrainingArguments { lr_scheduler_type: Schedule::Constant, ..arguments(30) });
            trainer.train().unwrap();
            let losses: Vec<f64> = trainer.history().iter().map(|report| report.loss).collect();
            assert!(losses[27..].iter().sum::<f64>() < 0.8 * losses[..3].iter().sum::<f64>(), "{dtype:?}: {losses:?}");
            // The same gradients as on the unpacked matrices.
            let folder = fresh_folder();
            model.save_adapter(&folder).unwrap();
            let unpacked = packed.with_lora(&everywhere).unwrap().merge_adapter().unwrap().load_adapter(&folder).unwrap();
            let rows = tiny_rows(4);
            let batch = Batch::new(&rows.rows().iter().collect::<Vec<_>>(), false, model.config()).unwrap();
            let losses = [&model, &unpacked].map(|model| model.backward(batch.as_train_batch()).unwrap());
            assert!((losses[0] - losses[1]).abs() < 1e-3, "{losses:?}");
            for ((name, own), (_, other)) in model
                .weights()
                .iter()
                .filter(|(name, _)| name.starts_with(PREFIX))
                .zip(unpacked.weights().iter().filter(|(name, _)| name.starts_with(PREFIX)))
            {
                assert_close(name, &own.gradient().unwrap(), &other.gradient().unwrap(), 1e-5, 1e-4);
            }
            // Merged, it answers as with the adapter, and its files are those of a whole model.
            let merged = model.merge_adapter().unwrap();
            let with_adapter = values(&model.forward(&row_ids, 1, false).unwrap());
            assert_close("merged", &values(&merged.forward(&row_ids, 1, false).unwrap()), &with_adapter, 1e-4, 1e-5);
            assert_eq!(merged.trainable_parameter_count(), base.parameter_count());
            packed.save_pretrained(&folder).unwrap();
            assert_eq!(tensors_in(&folder), base.weights().len());
        }
    }
    let narrow =
        CausalLm::random(NeoxConfig { max_position_embeddings: 64, ..NeoxConfig::new(96, 40, 1, 4) }, 1, None, &Device::Cpu).unwrap();
    refused(narrow.quantized(GgmlDType::Q8_0), &["rows of 40 numbers", "blocks of 32"]);
    let with = tiny_model(1).with_lora(&LoraConfig::default()).unwrap();
    refused(with.quantized(GgmlDType::Q8_0), &["quantized()", "with_lora()"]);
    let packed = tiny_model(1).quantized(GgmlDType::Q8_0).unwrap();
    refused(Trainer::new(&packed, arguments(1), tiny_rows(2), TokenizedDataset::default()), &["frozen", "with_lora"]);
    refused(packed.load_weights(&fixture("tiny-neox")), &["packed"]);
}

fn tensors_in(folder: &std::path::Path) -> usize {
    candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap().len()
}

#[test]
fn meters_count_packed_and_frozen_matrices() {
    use finetuning::train::log::meter::multiplying_parameters;
    let base = tiny_model(9);
    let (all, _) = multiplying_parameters(&base);
    let packed = base.quantized(GgmlDType::Q8_0).unwrap();
    assert_eq!(multiplying_parameters(&packed), (all, 0));
    let lora = LoraConfig { r: 4, ..Default::default() };
    let trained = 2 * 4 * (32 + 96);
    for model in [packed.with_lora(&lora).unwrap(), base.with_lora(&lora).unwrap()] {
        assert_eq!(multiplying_parameters(&model), (all + trained, trained));
    }
}
