//! Several adapters of one model: by name, weighted, merged, saved; an adapter knows the model that it was trained on.

use candle_core::{DType, Device};
use finetuning::*;

use crate::models::parity::load;
use crate::support::{
    assert_close, fixture, fresh_folder, ids, json, largest_difference, numbers, refused, tensors, tiny_llama_of, tiny_model, tiny_rows,
    values,
};

fn logits(model: &CausalLm) -> Vec<f32> {
    let case = json("lora/tiny-llama.json");
    let (row, mask) = (ids(&case["input_ids"][0]), numbers(&case["attention_mask"][0]));
    let row: Vec<u32> = row.into_iter().zip(mask).filter(|(_, mask)| *mask > 0.0).map(|(id, _)| id).collect();
    values(&model.forward(&row, 1, false).unwrap())
}

fn place(name: &str) -> std::path::PathBuf {
    fixture(&format!("lora/cases/weighted-{name}"))
}

fn two() -> Adapters {
    let mut adapters = Adapters::new(&load("tiny-llama")).unwrap();
    for name in ["one", "two"] {
        adapters.load(name, place(name)).unwrap();
    }
    adapters
}

#[test]
fn adapters_are_switched_weighted_and_merged_as_pefts() {
    let theirs = tensors("lora/cases.safetensors");
    let mut adapters = two();
    let weights = &json("lora/cases.json")["weights"];
    let parts = ["one", "two"].map(|name| (name, weights[name].as_f64().unwrap()));
    adapters.add_weighted("linear", &parts, Combination::Linear).unwrap();
    adapters.add_weighted("cat", &parts, Combination::Cat).unwrap();
    assert_eq!(adapters.names(), ["one", "two", "linear", "cat"]);
    // Back and forth: to switch leaves no trace.
    for name in ["one", "two", "linear", "cat", "one"] {
        let (model, expected) = (adapters.get(name).unwrap(), values(&theirs[&format!("weighted/{name}")]));
        assert_close(name, &logits(model), &expected, 2e-5, 0.0);
        assert_close(&format!("{name} merged"), &logits(&model.merge_adapter().unwrap()), &expected, 2e-5, 0.0);
    }
    assert_eq!(logits(adapters.base()), logits(&load("tiny-llama")));
    // A sum may be trained on, and is saved as each of the others.
    let folder = fresh_folder();
    adapters.save(&folder).unwrap();
    let mut again = Adapters::new(adapters.base()).unwrap();
    for name in ["one", "cat", "linear"] {
        assert_eq!(logits(again.load(name, folder.join(name)).unwrap()), logits(adapters.get(name).unwrap()), "{name}");
    }
    let alone = again.remove("cat").unwrap();
    refused(again.get("cat"), &["the adapter `cat` does not exist", "`one`, `linear`"]);
    assert!(alone.trainable_parameter_count() > 0);
}

#[test]
fn adapters_are_trained_side_by_side() {
    let base = tiny_model(3);
    let mut adapters = Adapters::new(&base).unwrap();
    for name in ["left", "right"] {
        adapters.add(name, &LoraConfig { target_modules: vec!["dense".into()], ..Default::default() }).unwrap();
    }
    let row = [5, 9, 2, 40];
    let answer = |model: &CausalLm| values(&model.forward(&row, 1, false).unwrap());
    let (start, right) = (answer(&base), answer(adapters.get("right").unwrap()));
    let arguments = TrainingArguments { learning_rate: 1e-2, max_steps: 3, disable_tqdm: true, ..Default::default() };
    Trainer::new(adapters.get("left").unwrap(), arguments, tiny_rows(8), TokenizedDataset::default()).unwrap().train().unwrap();
    assert!(largest_difference(&answer(adapters.get("left").unwrap()), &start) > 1e-3);
    assert_eq!((answer(adapters.get("right").unwrap()), answer(&base)), (right, start));
}

#[test]
fn what_cannot_be_added_is_refused() {
    let mut adapters = two();
    let llama = load("tiny-llama");
    refused(adapters.load("one", place("one")), &["`one` is taken"]);
    refused(adapters.load("../one", place("one")), &["`../one` cannot be the name of a folder"]);
    refused(adapters.add_weighted("x", &[], Combination::Cat), &["no adapters are named"]);
    refused(adapters.add_weighted("x", &[("three", 1.0)], Combination::Cat), &["`three` does not exist", "`one`, `two`"]);
    refused(adapters.add_weighted("x", &[("one", f64::NAN)], Combination::Cat), &["the weight of `one` is NaN"]);
    adapters.add("wide", &LoraConfig { r: 5, target_modules: vec!["v_proj".into()], ..Default::default() }).unwrap();
    refused(
        adapters.add_weighted("x", &[("one", 1.0), ("wide", 1.0)], Combination::Linear),
        &["`model.layers.0.self_attn.v_proj` has the ranks [3, 5]", "Combination::Cat"],
    );
    adapters.load("dora", fixture("lora/cases/dora-llama")).unwrap();
    refused(
        adapters.add_weighted("x", &[("dora", 1.0)], Combination::Cat),
        &["`dora` has more than a low-rank change", "lora_magnitude_vector"],
    );
    refused(Adapters::new(&llama.with_lora(&LoraConfig::default()).unwrap()), &["has an adapter itself"]);
    assert_eq!(adapters.names(), ["one", "two", "wide", "dora"], "what was refused left nothing");
}

#[test]
fn an_adapter_refuses_another_base() {
    for (own, other) in [(tiny_model(7), tiny_model(8)), (tiny_llama_of(64, 7, true), tiny_llama_of(64, 8, true))] {
        let folder = fresh_folder();
        let model = own.with_lora(&LoraConfig { init_lora_weights: LoraInit::Random, ..Default::default() }).unwrap();
        model.save_adapter(&folder).unwrap();
        let row = [5, 9, 2, 40];
        let answer = |model: &CausalLm| values(&model.forward(&row, 1, false).unwrap());
        assert_eq!(answer(&own.load_adapter(&folder).unwrap()), answer(&model));
        refused(other.load_adapter(&folder), &["adapter_model.safetensors", "belongs to another model", "the matrices of"]);
        // The same model in fewer bits is the same model, and a norm tells models apart there.
        let packed = own.quantized(GgmlDType::Q8_0).unwrap();
        packed.load_adapter(&folder).unwrap();
        own.to_dtype(DType::BF16).unwrap().load_adapter(&folder).unwrap();
        let trained = own.deep_clone().unwrap();
        let norm = trained.weights().iter().find(|(name, _)| name.contains("norm")).unwrap().1.clone();
        norm.update(|values| values[0] += 0.1).unwrap();
        let refusal = ["belongs to another model", "norms and biases"];
        refused(trained.load_adapter(&folder), &refusal);
        refused(trained.quantized(GgmlDType::Q4_0).unwrap().load_adapter(&folder), &refusal);
        // An adapter of the packed model goes on the whole one, and not on another.
        let on_packed = fresh_folder();
        packed.with_lora(&LoraConfig::default()).unwrap().save_adapter(&on_packed).unwrap();
        own.load_adapter(&on_packed).unwrap();
        refused(trained.load_adapter(&on_packed), &refusal);
        // Training the model below makes it another one.
        own.weights()[0].1.update(|values| values[0] += 1.0).unwrap();
        refused(own.load_adapter(&folder), &["belongs to another model"]);
    }
    // PEFT's file knows no model: it is taken, with a notice.
    let folder = fresh_folder();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        std::fs::copy(fixture(&format!("lora/tiny-neox/{name}")), folder.join(name)).unwrap();
    }
    load("trajectories/parallel-25").load_adapter(&folder).unwrap();
    assert_eq!(candle_core::safetensors::load(folder.join("adapter_model.safetensors"), &Device::Cpu).unwrap().len(), 4);
}
