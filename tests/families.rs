//! Llama and its relatives against transformers, by the fixtures of `fixtures/make_training.py`.

use candle_core::Device;
use finetuning::*;
use serde_json::Value;

use crate::parity::{check_gradients, check_greedy, check_logits, load};
use crate::support::{fresh_folder, json, tensors, values};

const MODELS: [&str; 4] = ["tiny-llama", "tiny-llama3", "tiny-qwen2", "tiny-mistral"];

#[test]
fn logits_are_transformers() {
    MODELS.iter().for_each(|name| check_logits(name));
}

#[test]
fn losses_and_gradients_are_transformers() {
    for name in MODELS {
        assert_eq!(check_gradients(name), load(name).weights().len(), "{name}: one case with all gradients");
    }
}

#[test]
fn greedy_text_is_transformers() {
    MODELS.iter().for_each(|name| check_greedy(name));
}

#[test]
fn names_and_sizes_are_transformers() {
    // Tied weights are stored once; Qwen2 has biases at query, key and value.
    for (name, tensors_in_file) in [("tiny-llama", 21), ("tiny-llama3", 20), ("tiny-qwen2", 26), ("tiny-mistral", 21)] {
        let (model, stored) = (load(name), tensors(&format!("{name}/model.safetensors")));
        let mut names: Vec<&str> = model.weights().iter().map(|(name, _)| name.as_str()).collect();
        let mut theirs: Vec<&str> = stored.keys().map(String::as_str).collect();
        names.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(names, theirs);
        assert_eq!(names.len(), tensors_in_file, "{name}");
        assert_eq!(model.parameter_count(), stored.values().map(|tensor| tensor.elem_count()).sum::<usize>());
    }
}

#[test]
fn a_saved_family_keeps_its_fields() {
    for name in MODELS {
        let (folder, model) = (fresh_folder(), load(name));
        model.save_pretrained(&folder).unwrap();
        let written: Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
        for (field, theirs) in json(&format!("{name}/config.json")).as_object().unwrap().iter().filter(|(_, value)| !value.is_null()) {
            let ours = &written[if field == "dtype" { "torch_dtype" } else { field }];
            assert_eq!(ours, theirs, "{name}: {field}");
        }
        let again = CausalLm::from_folder(&folder, &Device::Cpu).unwrap();
        assert_eq!(again.config(), model.config(), "{name}");
        let (ids, stored) = ([5, 17, 42, 7], tensors(&format!("{name}/model.safetensors")));
        assert_eq!(values(&again.forward(&ids, 1, false).unwrap()), values(&model.forward(&ids, 1, false).unwrap()), "{name}");
        for (parameter, value) in again.weights() {
            assert_eq!(values(value.as_tensor()), values(&stored[parameter]), "{name}: {parameter}");
        }
    }
}

#[test]
fn every_end_token_ends_a_text() {
    assert_eq!(load("tiny-llama3").config().eos_token_ids(), [2, 3]);
    assert_eq!(load("tiny-llama").config().eos_token_ids(), [2]);
    assert_eq!(load("tiny-neox").config().eos_token_ids(), [0]);
    // The greedy text of the fixture, stopped at each of its tokens in turn: the last of the list counts as the first does.
    let greedy = &json("tiny-llama3/forward.json")["greedy"];
    let (prompt, text) = (crate::support::ids(&greedy["prompt"]), crate::support::ids(&greedy["continuation"]));
    let model = load("tiny-llama3");
    for stop in [[text[4], u32::MAX], [u32::MAX, text[4]]] {
        let ids = generate_until(&model, &prompt, prompt.len() + 16, &stop, Decoding::Greedy).unwrap();
        let end = text.iter().position(|id| *id == text[4]).unwrap();
        assert_eq!(ids[prompt.len()..], text[..=end]);
    }
}

#[test]
fn a_sliding_window_bounds_rows_and_stays_in_the_file() {
    for (name, switched, expected) in [("tiny-mistral", true, 16), ("tiny-qwen2", false, 64), ("tiny-qwen2", true, 16)] {
        let (folder, again) = (fresh_folder(), fresh_folder());
        let mut config = json(&format!("{name}/config.json"));
        config["sliding_window"] = 16.into();
        config["use_sliding_window"] = switched.into();
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        std::fs::copy(crate::support::fixture(&format!("{name}/model.safetensors")), folder.join("model.safetensors")).unwrap();
        let model = CausalLm::from_folder(&folder, &Device::Cpu).unwrap();
        assert_eq!(model.config().max_position_embeddings(), expected, "{name}");
        model.save_pretrained(&again).unwrap();
        let written: Value = serde_json::from_slice(&std::fs::read(again.join("config.json")).unwrap()).unwrap();
        assert_eq!((&written["sliding_window"], &written["max_position_embeddings"]), (&16.into(), &64.into()), "{name}");
    }
}
