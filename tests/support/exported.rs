//! A folder → `.gguf` files of small models of every family and format in it, and adapters, with what they were written from: the
//! files that `fixtures/make_gguf_export.py` gives to llama.cpp.

use std::path::Path;

use candle_core::Device;
use finetuning::*;
use serde_json::{Map, Value, json};

use crate::{fixture, fresh_folder, noisy, noisy_where};

/// Families as `fixtures/gguf/models` has them.
pub const FAMILIES: [&str; 14] = [
    "llama",
    "llama-bias",
    "llama3",
    "llama-linear",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3",
    "phi2",
    "phi3",
    "phi3-long",
    "gptneox",
    "gptneox-serial",
];

/// Formats of a model whose rows are wide enough for all of them.
pub const FORMATS: [GgufFormat; 6] =
    [GgufFormat::F32, GgufFormat::F16, GgufFormat::BF16, GgufFormat::Q8_0, GgufFormat::Q4_0, GgufFormat::Q4KM];

/// A tokenizer of `size` tokens: `<s>` (1), which begins each text, `</s>` (2), and letters.
pub fn letters(size: u32) -> Tokenizer {
    let folder = fresh_folder();
    let mut vocabulary = Map::from_iter([("<s>".to_string(), json!(1)), ("</s>".to_string(), json!(2)), ("ab".to_string(), json!(0))]);
    vocabulary.extend((3..size).map(|id| (char::from_u32(94 + id).unwrap_or('~').to_string(), json!(id))));
    let added = |id: u32, token: &str| json!({ "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true });
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [added(1, "<s>"), added(2, "</s>")], "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "post_processor": { "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [1], "tokens": ["<s>"] } } },
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": ["a b"] },
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), json!({ "bos_token": "<s>", "eos_token": "</s>" }).to_string()).unwrap();
    Tokenizer::from_folder(&folder).unwrap()
}

/// A Llama whose rows fill blocks of 256 numbers.
pub fn wide() -> CausalLm {
    let config = LlamaConfig { max_position_embeddings: 64, rms_norm_eps: 1e-5, ..LlamaConfig::new(32, 256, 256, 8, [4, 2]) };
    noisy(CausalLm::random(config, 3, None, &Device::Cpu).unwrap(), 3)
}

/// One of [`FAMILIES`], its numbers as f32.
pub fn family(name: &str) -> CausalLm {
    AutoModelForCausalLM::from_pretrained_as(&fixture(&format!("gguf/models/{name}.gguf")).display().to_string(), DType::F32).unwrap()
}

/// A model with an adapter on all matrices that changes what it says.
pub fn adapted(model: &CausalLm) -> CausalLm {
    let lora = LoraConfig { r: 4, lora_alpha: 6.0, use_rslora: true, target_modules: vec!["all-linear".into()], ..Default::default() };
    noisy_where(model.with_lora(&lora).unwrap(), 5, |name| name.contains("lora_B"))
}

/// Writes all files; the names without `.gguf` and the models in memory.
pub fn export(folder: &Path) -> Vec<(String, CausalLm)> {
    let (mut models, tokenizer) = (Vec::new(), letters(32));
    let write = |name: &str, model: &CausalLm, tokenizer: &Tokenizer, format: GgufFormat| {
        model.save_gguf(folder.join(format!("{name}.gguf")), tokenizer, format).unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    for name in FAMILIES {
        let model = family(name);
        write(name, &model, &tokenizer, GgufFormat::F32);
        models.push((name.to_string(), model));
    }
    let wide = wide();
    for format in FORMATS {
        let name = format!("wide-{}", format.name());
        write(&name, &wide, &tokenizer, format);
        models.push((name, wide.clone()));
    }
    let base = AutoModelForCausalLM::from_pretrained("builtin:base").unwrap();
    write("base", &base, &AutoTokenizer::from_pretrained("builtin:base").unwrap(), GgufFormat::F32);
    models.push(("base".into(), base));
    let sentences = Tokenizer::from_gguf(&fixture("gguf/spm.gguf")).unwrap();
    let config = LlamaConfig { max_position_embeddings: 64, ..LlamaConfig::new(sentences.vocab_size() + 4, 16, 24, 1, [2, 1]) };
    let spm = noisy(CausalLm::random(config, 4, None, &Device::Cpu).unwrap(), 4);
    write("spm", &spm, &sentences, GgufFormat::F32);
    models.push(("spm".into(), spm));
    for name in ["llama", "gptneox"] {
        let model = adapted(&family(name));
        model.save_adapter_gguf(folder.join(format!("{name}.adapter")), &format!("./{name}.gguf")).unwrap();
        models.push((format!("{name}.adapter"), model));
    }
    models
}

/// The ids that follow a prompt greedily, whatever ends a text.
pub fn greedy(model: &CausalLm, prompt: &[u32], count: usize) -> Vec<u32> {
    let config = GenerationConfig { max_new_tokens: count, ..Default::default() };
    generate_batch(model, &[prompt.to_vec()], &config, None, |_, _| Ok(())).unwrap().remove(0).ids
}

/// What llama.cpp made of a file.
pub fn case<'a>(cases: &'a Value, name: &str) -> &'a Value {
    let case = &cases[name];
    assert!(case.is_object(), "gguf_export.json has no `{name}`: run make_gguf_export.py");
    case
}
