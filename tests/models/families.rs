//! Llama and its relatives against transformers, by the fixtures of `fixtures/make_training.py` and
//! `fixtures/make_models.py`.

use candle_core::Device;
use finetuning::nn::rotary::{RopeScaling, Rotary};
use finetuning::*;
use serde_json::{Value, json};

use crate::models::parity::{check_gradients, check_greedy, check_logits, load};
use crate::support::{assert_close, fixture, fresh_folder, ids, json, numbers, refused, tensors, tiny_rows, values};

/// The checkpoints, and the tensors that their files hold: tied weights are stored once, Phi has a bias of the logits.
pub const FAMILIES: [(&str, usize); 11] = [
    ("tiny-llama", 21),
    ("tiny-llama3", 20),
    ("tiny-qwen2", 26),
    ("tiny-mistral", 21),
    ("tiny-qwen3", 25),
    ("tiny-phi", 33),
    ("tiny-phi3", 15),
    ("tiny-phi3-long", 15),
    ("tiny-gemma", 20),
    ("tiny-gemma2", 24),
    ("tiny-gemma3", 41),
];

#[test]
fn logits_are_transformers() {
    FAMILIES.iter().for_each(|(name, _)| check_logits(name));
}

#[test]
fn losses_and_gradients_are_transformers() {
    for (name, _) in FAMILIES {
        assert_eq!(check_gradients(name), load(name).weights().len(), "{name}: one case with all gradients");
    }
}

#[test]
fn greedy_text_is_transformers() {
    FAMILIES.iter().for_each(|(name, _)| check_greedy(name));
}

#[test]
fn names_and_sizes_are_transformers() {
    for (name, tensors_in_file) in FAMILIES {
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
    for (name, _) in FAMILIES {
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
        let ids = generate_until(&model, &prompt, prompt.len() + 16, &stop, GenerationConfig::default()).unwrap();
        let end = text.iter().position(|id| *id == text[4]).unwrap();
        assert_eq!(ids[prompt.len()..], text[..=end]);
    }
}

#[test]
fn positions_of_neox_are_stretched_as_its_config_says() {
    let run = |model: &CausalLm| values(&model.forward(&[5, 17, 42, 7], 1, false).unwrap());
    let [same, slower] =
        [1.0, 2.0].map(|factor| changed("tiny-neox", json!({"rope_scaling": {"type": "linear", "factor": factor}})).unwrap());
    let folder = fresh_folder();
    slower.save_pretrained(&folder).unwrap();
    assert_eq!(run(&same), run(&load("tiny-neox")));
    assert_ne!(run(&slower), run(&same));
    assert_eq!(run(&CausalLm::from_folder(&folder, &Device::Cpu).unwrap()), run(&slower));
    // At half the speed every second position stands where each one stood.
    let angles = |scaling: Option<&RopeScaling>| Rotary::new(8, 1e4, scaling).angles(9);
    let (plain, half) = (angles(None), angles(Some(&RopeScaling::Linear(2.0))));
    for position in 0..4 {
        let [near, far] = [plain.rows(position, 1), half.rows(2 * position, 1)];
        assert_close("cosines", far.0, near.0, 1e-6, 0.0);
        assert_close("sines", far.1, near.1, 1e-6, 0.0);
    }
}

#[test]
fn a_list_of_end_tokens_of_neox_is_kept() {
    let (model, folder) = (changed("tiny-neox", json!({"eos_token_id": [0, 7]})).unwrap(), fresh_folder());
    assert_eq!(model.config().eos_token_ids(), [0, 7]);
    model.save_pretrained(&folder).unwrap();
    assert_eq!(CausalLm::from_folder(&folder, &Device::Cpu).unwrap().config().eos_token_ids(), [0, 7]);
}

#[test]
fn a_shape_that_cannot_be_computed_is_refused() {
    let neox = NeoxConfig { rotary_pct: 2.0, ..NeoxConfig::new(96, 32, 1, 4) };
    let llama = LlamaConfig::new(96, 32, 48, 1, [4, 3]);
    for (config, part) in [(Config::from(neox), "rotary_pct 2"), (llama.into(), "num_key_value_heads 3")] {
        refused(CausalLm::random(config, 1, None, &Device::Cpu), &["the configuration", part]);
    }
}

/// A checkpoint of the fixtures with other fields in its `config.json`.
fn changed(name: &str, fields: Value) -> Result<CausalLm> {
    let folder = fresh_folder();
    let mut config = json(&format!("{name}/config.json"));
    fields.as_object().unwrap().iter().for_each(|(field, value)| config[field] = value.clone());
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::copy(fixture(&format!("{name}/model.safetensors")), folder.join("model.safetensors")).unwrap();
    CausalLm::from_folder(&folder, &Device::Cpu)
}

#[test]
fn a_sliding_window_is_transformers_and_stays_in_the_file() {
    let case = json("tiny-mistral/sliding.json");
    let (model, again) = (changed("tiny-mistral", json!({"sliding_window": case["sliding_window"]})).unwrap(), fresh_folder());
    let (row, theirs) = (ids(&case["input_ids"]), numbers(&case["logits"]));
    let logits = values(&model.forward(&row, 1, false).unwrap());
    assert_close("sliding", &logits[logits.len() - theirs.len()..], &theirs, 1e-4, 0.0);
    assert_eq!(model.config().max_position_embeddings(), 64);
    model.save_pretrained(&again).unwrap();
    let written: Value = serde_json::from_slice(&std::fs::read(again.join("config.json")).unwrap()).unwrap();
    assert_eq!((&written["sliding_window"], &written["max_position_embeddings"]), (&6.into(), &64.into()));
    // Qwen2 slides from max_window_layers on, and only if it is switched on; without the field, Mistral has 4096.
    let off = changed("tiny-qwen2", json!({"sliding_window": 6, "max_window_layers": 0})).unwrap();
    let on = changed("tiny-qwen2", json!({"sliding_window": 6, "max_window_layers": 0, "use_sliding_window": true})).unwrap();
    let late = changed("tiny-qwen2", json!({"sliding_window": 6, "max_window_layers": 2, "use_sliding_window": true})).unwrap();
    let run = |model: &CausalLm| values(&model.forward(&row, 1, false).unwrap());
    assert_eq!(run(&off), run(&load("tiny-qwen2")));
    assert_eq!(run(&late), run(&off));
    assert_ne!(run(&on), run(&off));
}

#[test]
fn a_long_rope_holds_within_its_original_positions() {
    assert_eq!(load("tiny-phi3-long").config().max_position_embeddings(), 32);
    let short = json!({"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}});
    refused(changed("tiny-phi3-long", short), &["1 numbers in short_factor", "need 4"]);
}

#[test]
fn what_would_change_the_numbers_is_refused() {
    let known =
        ["`bert`", "`gpt_neox`", "`llama`", "`mistral`", "`qwen2`", "`qwen3`", "`phi`", "`phi3`", "`gemma`", "`gemma2`", "`gemma3_text`"];
    refused(changed("tiny-llama", json!({"model_type": "bert"})), &known);
    let refusals = [
        ("tiny-llama", json!({"rope_scaling": {"type": "yarn", "factor": 4.0}, "rope_parameters": null}), ["`yarn`", "`longrope`"]),
        ("tiny-llama", json!({"quantization_config": {"quant_method": "gptq"}}), ["`gptq`", "quantized()"]),
        ("tiny-llama", json!({"attention_dropout": 0.1}), ["attention_dropout is 0.1", "config.json"]),
        ("tiny-llama", json!({"hidden_act": "relu"}), ["`relu`", "`silu`"]),
        ("tiny-llama", json!({"num_hidden_layers": 10_000_000}), ["num_hidden_layers is 10000000", "1 to 4096"]),
        ("tiny-neox", json!({"vocab_size": 0}), ["vocab_size is 0", "1 to 16777216"]),
        ("tiny-neox", json!({"attention_dropout": 0.1}), ["attention_dropout", "0.1"]),
        ("tiny-neox", json!({"rotary_pct": 1.5, "rope_parameters": null}), ["rotary_pct 1.5", "8 dimensions"]),
        ("tiny-neox", json!({"rope_scaling": {"type": "yarn", "factor": 4.0}}), ["`yarn`", "`linear`"]),
        ("tiny-phi", json!({"qk_layernorm": true}), ["qk_layernorm", "true"]),
        ("tiny-phi", json!({"hidden_act": "silu"}), ["`silu`", "`gelu_new`"]),
        ("tiny-phi", json!({"rope_scaling": {"type": "linear", "factor": 2.0}}), ["`linear`", "`default`"]),
        ("tiny-phi", json!({"partial_rotary_factor": 1.5}), ["partial_rotary_factor 1.5", "8 dimensions"]),
        ("tiny-phi3", json!({"resid_pdrop": 0.1}), ["resid_pdrop is 0.1", "config.json"]),
        ("tiny-gemma2", json!({"hidden_activation": "gelu"}), ["`gelu`", "`gelu_pytorch_tanh`"]),
        ("tiny-gemma2", json!({"use_bidirectional_attention": true}), ["use_bidirectional_attention", "causal"]),
        ("tiny-gemma2", json!({"layer_types": ["full_attention", "chunked_attention"]}), ["`chunked_attention`", "`sliding_attention`"]),
        ("tiny-gemma2", json!({"layer_types": ["full_attention"]}), ["layer_types", "2 layers"]),
        ("tiny-gemma2", json!({"sliding_window": 0}), ["sliding_window is 0", "at least 1"]),
    ];
    for (name, fields, parts) in refusals {
        refused(changed(name, fields), &parts);
    }
}

#[test]
fn random_families_start_as_transformers_starts_them() {
    // Gemma's norms start at 0, all others at 1: both leave the rows as they are.
    for (name, start) in [("tiny-gemma2", 0.0), ("tiny-qwen3", 1.0)] {
        let model = CausalLm::random(load(name).config().clone(), 1, None, &Device::Cpu).unwrap();
        let norms = model.weights().iter().filter(|(name, _)| name.contains("norm"));
        assert!(norms.clone().count() > 4 && norms.clone().all(|(_, norm)| values(norm.as_tensor()).iter().all(|w| *w == start)), "{name}");
    }
}

#[test]
fn families_are_printed_as_pytorch_prints_them() {
    for (name, parts) in [
        (
            "tiny-phi",
            [
                "PhiForCausalLM(",
                "(fc1): Linear(in_features=16, out_features=24, bias=True)",
                "(lm_head): Linear(in_features=16, out_features=96, bias=True)",
            ],
        ),
        (
            "tiny-phi3",
            [
                "Phi3ForCausalLM(",
                "(qkv_proj): Linear(in_features=16, out_features=32, bias=False)",
                "(gate_up_proj): Linear(in_features=16, out_features=48, bias=False)",
            ],
        ),
        (
            "tiny-gemma3",
            [
                "Gemma3ForCausalLM(",
                "(q_norm): Gemma3RMSNorm((8,), eps=1e-6)",
                "(post_feedforward_layernorm): Gemma3RMSNorm((16,), eps=1e-6)",
            ],
        ),
    ] {
        let text = load(name).to_string();
        parts.iter().for_each(|part| assert!(text.contains(part), "{part} is not in {text}"));
    }
}

#[test]
fn together_is_one_by_one() {
    // Prompts shorter and longer than the windows, through the cache.
    let prompts: Vec<Vec<u32>> = vec![vec![5, 17, 42], (0..14).map(|i| 1 + i * 13 % 95).collect(), vec![9]];
    let config = GenerationConfig { max_new_tokens: 12, ..Default::default() };
    for (name, _) in FAMILIES {
        let model = load(name);
        let run = |prompts: &[Vec<u32>]| generate_batch(&model, prompts, &config, None, |_, _| Ok(())).unwrap();
        let together = run(&prompts);
        for (prompt, together) in prompts.iter().zip(together) {
            assert_eq!(run(std::slice::from_ref(prompt))[0].ids, together.ids, "{name}");
        }
    }
}

#[test]
fn an_adapter_trains_and_merges_in_every_family() {
    let everywhere = LoraConfig { target_modules: vec!["all-linear".into()], ..Default::default() };
    for (name, _) in FAMILIES {
        let base = load(name);
        assert!(base.with_lora(&LoraConfig::default()).unwrap().trainable_parameter_count() > 0, "{name}");
        let model = base.with_lora(&everywhere).unwrap();
        let arguments = TrainingArguments { learning_rate: 1e-2, max_steps: 4, disable_tqdm: true, ..Default::default() };
        let mut trainer = Trainer::new(&model, arguments, tiny_rows(8), TokenizedDataset::default()).unwrap();
        let losses: Vec<f64> = (0..4).map(|_| trainer.step_on(tiny_rows(8).rows()).unwrap().loss).collect();
        assert!(losses[3] < losses[0], "{name}: {losses:?}");
        let run = |model: &CausalLm| values(&model.forward(&[5, 17, 42, 7, 3, 9, 11, 2], 1, false).unwrap());
        assert_close(name, &run(&model.merge_adapter().unwrap()), &run(&model), 1e-4, 1e-5);
        assert_ne!(run(&model), run(&base), "{name}");
    }
}
