//! Models → `.gguf` files: read again bit by bit, mixed as llama.cpp mixes, and answered by llama.cpp itself as by us
//! (`fixtures/make_gguf_export.py`); checkpoints in shards; a disk that is full.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use finetuning::*;
use sha2::{Digest, Sha256};

use crate::models::families;
use crate::models::parity::load;
use crate::support::exported::{FAMILIES, FORMATS, adapted, case, export, family, greedy, letters, wide};
use crate::support::{fixture, fresh_folder, ids, json, refused, tiny_llama_of, tiny_model, values};

fn logits(model: &CausalLm, ids: &[u32]) -> Vec<f32> {
    values(&model.forward(ids, 1, false).unwrap())
}

fn bits(model: &CausalLm, ids: &[u32]) -> Vec<u32> {
    logits(model, ids).into_iter().map(f32::to_bits).collect()
}

fn read(path: &Path) -> CausalLm {
    AutoModelForCausalLM::from_pretrained_as(&path.display().to_string(), DType::F32).unwrap()
}

fn content(path: &Path) -> Content {
    Content::read(&mut std::fs::File::open(path).unwrap()).unwrap()
}

fn hash(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_family_is_read_again_bit_by_bit() {
    let path = fresh_folder().join("model.gguf");
    let text: Vec<u32> = (0..20).map(|id| id * 7 % 32).collect();
    let check = |name: &str, model: &CausalLm, tokenizer: &Tokenizer, text: &[u32]| {
        model.save_gguf(&path, tokenizer, GgufFormat::F32).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(bits(&read(&path), text), bits(model, text), "{name}");
    };
    let tokenizer = letters(32);
    FAMILIES.iter().for_each(|name| check(name, &family(name), &tokenizer, &text));
    let tokenizer = letters(96);
    for (name, _) in families::FAMILIES.iter().filter(|(name, _)| !["tiny-gemma2", "tiny-gemma3"].contains(name)) {
        // A sliding window is the end of a text in a file of llama.cpp's `llama` and `qwen3`.
        let model = load(name);
        let room = if *name == "tiny-qwen3" { 6 } else { 20 };
        check(name, &model, &tokenizer, &text[..room]);
        assert_eq!(read(&path).config().max_position_embeddings() >= 20, room == 20, "{name}");
    }
    for name in ["tiny-neox", "tiny-neox-serial"] {
        check(name, &load(name), &tokenizer, &text);
    }
}

#[test]
fn what_a_file_of_llama_cpp_would_say_otherwise_is_refused() {
    let (path, tokenizer) = (fresh_folder().join("model.gguf"), letters(96));
    let refuse = |model: &CausalLm, words: &[&str]| {
        refused(model.save_gguf(&path, &tokenizer, GgufFormat::F32), &[words, &["does not fit into a GGUF file"]].concat());
        assert!(!path.exists());
    };
    // Their scores are divided by the root of 12, and llama.cpp's by that of a head's 8.
    refuse(&load("tiny-gemma2"), &["`gemma2`", "scores"]);
    refuse(&load("tiny-gemma3"), &["`gemma3`", "scores"]);
    let Config::Llama(config) = load("tiny-llama3").config().clone() else { panic!("a Llama") };
    let mut value = serde_json::to_value(&config).unwrap();
    value["model_type"] = "qwen2".into();
    let stretched = CausalLm::random(Config::from_value(value).unwrap(), 1, None, &Device::Cpu).unwrap();
    refuse(&stretched, &["Llama3", "`qwen2`"]);
    let mut value = serde_json::to_value(&config).unwrap();
    value["rms_norm_eps"] = serde_json::json!(1.000000000001e-5);
    refuse(&CausalLm::random(Config::from_value(value).unwrap(), 1, None, &Device::Cpu).unwrap(), &["rms_norm_eps 0.00001 in place of"]);
    refused(adapted(&wide()).save_gguf(&path, &letters(32), GgufFormat::F32), &["adapter", "merge_adapter"]);
    refused(wide().save_adapter_gguf(&path, "base"), &["no adapter"]);
    refused(wide().save_gguf(&path, &tokenizer, GgufFormat::F32), &["has the id", "32 embeddings"]);
    assert!(!path.exists() && !path.with_file_name("Modelfile").exists());
}

#[test]
fn formats_are_the_packed_model() {
    let (path, tokenizer, text) = (fresh_folder().join("model.gguf"), letters(96), [53, 86, 47, 7, 55, 64, 8]);
    let name = path.display().to_string();
    for model in [tiny_llama_of(64, 5, true), tiny_llama_of(64, 6, false)] {
        let twins = [
            (GgufFormat::F16, model.to_dtype(DType::F16).unwrap()),
            (GgufFormat::BF16, model.to_dtype(DType::BF16).unwrap()),
            (GgufFormat::Q8_0, model.quantized(GgmlDType::Q8_0).unwrap()),
        ];
        for (format, twin) in twins {
            model.save_gguf(&path, &tokenizer, format).unwrap();
            assert_eq!(bits(&AutoModelForCausalLM::from_pretrained(&name).unwrap(), &text), bits(&twin, &text), "{format:?}");
            let once = hash(&path);
            // What is packed so is written as it is.
            twin.save_gguf(&path, &tokenizer, format).unwrap();
            assert_eq!(hash(&path), once, "{format:?}");
        }
    }
    // Each matrix of a mixture is what its own format makes of it, rows that do not fit are in the next.
    let (model, tokenizer) = (wide(), letters(32));
    for format in [GgufFormat::Q4_0, GgufFormat::Q4KM] {
        model.save_gguf(&path, &tokenizer, format).unwrap();
        let again = AutoModelForCausalLM::from_pretrained(&name).unwrap();
        let weights: HashMap<&str, Tensor> = model.weights().iter().map(|(name, own)| (name.as_str(), own.detached())).collect();
        let mut found: HashMap<GgmlDType, usize> = HashMap::new();
        for (name, packed) in again.packed() {
            let own = QTensor::quantize(&weights[name.as_str()], packed.dtype()).unwrap();
            assert_eq!(own.data().unwrap(), packed.data().unwrap(), "{format:?} {name}");
            *found.entry(packed.dtype()).or_default() += 1;
        }
        assert_eq!(again.packed().len(), 2 + 8 * 7);
        match format {
            // Six of eight layers: 0, 3, 6, 7 have more bits in values and down.
            GgufFormat::Q4KM => assert_eq!((found[&GgmlDType::Q6K], found[&GgmlDType::Q4K]), (1 + 2 * 4, 1 + 8 * 7 - 2 * 4)),
            _ => assert_eq!((found[&GgmlDType::Q6K], found[&GgmlDType::Q4_0]), (1, 1 + 8 * 7)),
        }
    }
}

/// llama.cpp's greedy ids after the same files, the adapters on their models, ids of texts and ends of texts.
#[test]
fn llama_cpp_opens_the_files_and_writes_the_same() {
    let (folder, cases) = (fresh_folder(), json("gguf_export.json"));
    let models = export(&folder);
    assert_eq!(models.len(), FAMILIES.len() + FORMATS.len() + 4);
    for (name, model) in models {
        let case = case(&cases, &name);
        let is_adapter = name.ends_with(".adapter");
        let path = folder.join(if is_adapter { name.clone() } else { format!("{name}.gguf") });
        assert_eq!(hash(&path), case["sha256"], "{name}: another file than llama.cpp has read; run make_gguf_export.py");
        let (prompt, expected) = (ids(&case["prompt"]), ids(&case["ids"]));
        if is_adapter {
            assert_eq!(greedy(&model, &prompt, expected.len()), expected, "{name}");
            continue;
        }
        let own = AutoModelForCausalLM::from_pretrained(&path.display().to_string()).unwrap();
        assert_eq!(greedy(&own, &prompt, expected.len()), expected, "{name}");
        let mut ends = own.config().eos_token_ids();
        ends.sort_unstable();
        assert_eq!(ends, ids(&case["ends"]), "{name}");
        for (text, theirs) in cases["texts"].as_array().unwrap().iter().zip(case["texts"].as_array().into_iter().flatten()) {
            let tokenizer = AutoTokenizer::from_pretrained(&path.display().to_string()).unwrap();
            assert_eq!(tokenizer.encode(text.as_str().unwrap()).unwrap(), ids(theirs), "{name}: {text}");
        }
    }
}

#[test]
fn tokenizers_are_read_again() {
    let path = fresh_folder().join("model.gguf");
    let name = path.display().to_string();
    let texts = json("gguf/ids.json")["texts"].clone();
    let sources = [
        Tokenizer::from_gguf(&fixture("gguf/bpe.gguf")).unwrap(),
        Tokenizer::from_gguf(&fixture("gguf/spm.gguf")).unwrap(),
        AutoTokenizer::from_pretrained("builtin:base").unwrap(),
        Tokenizer::from_file(&fixture("neox-tokenizer/tokenizer.json")).unwrap(),
    ];
    for tokenizer in sources {
        // Rows of the embedding without a token, as real checkpoints have them.
        let rows = tokenizer.vocab_size() + 5;
        let config = LlamaConfig { max_position_embeddings: 64, ..LlamaConfig::new(rows, 4, 4, 1, [1, 1]) };
        CausalLm::random(config, 1, None, &Device::Cpu).unwrap().save_gguf(&path, &tokenizer, GgufFormat::F32).unwrap();
        let again = AutoTokenizer::from_pretrained(&name).unwrap();
        for text in texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).chain(["<s>a</s>", "<|endoftext|>x"]) {
            assert_eq!(again.encode_prompt(text).unwrap(), tokenizer.encode_prompt(text).unwrap(), "{text:?}");
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(again.decode(&ids).unwrap(), tokenizer.decode(&ids).unwrap());
        }
        assert_eq!((again.eos_id(), again.has_chat_template()), (tokenizer.eos_id(), tokenizer.has_chat_template()));
        assert_eq!(again.vocab_size(), rows);
    }
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let folder = fresh_folder();
        let source = letters(32);
        let mut document = serde_json::from_str(&std::fs::read_to_string(tokenizer_file(&source)).unwrap()).unwrap();
        change(&mut document);
        std::fs::write(folder.join("tokenizer.json"), document.to_string()).unwrap();
        std::fs::write(folder.join("tokenizer_config.json"), "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}").unwrap();
        wide().save_gguf(&path, &Tokenizer::from_folder(&folder).unwrap(), GgufFormat::F32)
    };
    changed(&|_| {}).unwrap();
    refused(changed(&|document| document["pre_tokenizer"]["add_prefix_space"] = true.into()), &["cuts texts by", "save_pretrained"]);
    refused(changed(&|document| document["normalizer"] = serde_json::json!({ "type": "Lowercase" })), &["normalizer", "Lowercase"]);
    refused(
        changed(&|document| {
            document["model"] = serde_json::json!({ "type": "WordLevel", "vocab": document["model"]["vocab"], "unk_token": "a" })
        }),
        &["WordLevel", "BPE"],
    );
}

/// The file that a tokenizer of [`letters`] was read from.
fn tokenizer_file(tokenizer: &Tokenizer) -> std::path::PathBuf {
    let model = CausalLm::random(LlamaConfig::new(32, 4, 4, 1, [1, 1]), 1, Some(tokenizer), &Device::Cpu).unwrap();
    let folder = fresh_folder();
    model.save_pretrained(&folder).unwrap();
    folder.join("tokenizer.json")
}

#[test]
fn a_modelfile_says_what_ollama_needs() {
    let folder = fresh_folder();
    let written = |template: &str| {
        let tokenizer = letters(32);
        let config = serde_json::json!({ "bos_token": "<s>", "eos_token": "</s>", "chat_template": template });
        let source = tokenizer_file(&tokenizer);
        std::fs::write(source.with_file_name("tokenizer_config.json"), config.to_string()).unwrap();
        let tokenizer = Tokenizer::from_folder(source.parent().unwrap()).unwrap();
        wide().save_gguf(folder.join("wide.gguf"), &tokenizer, GgufFormat::F32).unwrap();
        let stored = content(&folder.join("wide.gguf")).metadata["tokenizer.chat_template"].to_string().unwrap().clone();
        assert_eq!(stored, template);
        std::fs::read_to_string(folder.join("Modelfile")).unwrap()
    };
    let chatml = "{{ bos_token }}{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}{% for m in messages %}\
                  {{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    assert_eq!(
        written(chatml),
        "# ollama create NAME -f Modelfile\nFROM ./wide.gguf\nTEMPLATE \"\"\"{{- range .Messages }}<|im_start|>{{ .Role }}\n\
         {{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n\"\"\"\nSYSTEM \"\"\"Be kind.\"\"\"\nPARAMETER stop \"</s>\"\nPARAMETER stop \"<|im_end|>\"\n"
    );
    let gemma = "{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else m.role %}{{ '<start_of_turn>' + role + '\n' + m.content + '<end_of_turn>\n' }}\
                 {% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}";
    assert!(written(gemma).contains("{{ if eq .Role \"assistant\" }}model{{ else }}{{ .Role }}{{ end }}\n{{ .Content }}<end_of_turn>"));
    let other = written("{% for m in messages %}{{ m.content }}{% endfor %}");
    assert!(other.contains("# TEMPLATE is left out") && !other.contains("\nTEMPLATE"), "{other}");
    wide().save_gguf(folder.join("wide.gguf"), &letters(32), GgufFormat::F32).unwrap();
    assert!(std::fs::read_to_string(folder.join("Modelfile")).unwrap().contains("TEMPLATE \"\"\"{{ .Prompt }}\"\"\""));
    let adapter = adapted(&wide());
    adapter.save_adapter_gguf(folder.join("adapter.gguf"), "./wide.gguf").unwrap();
    let text = std::fs::read_to_string(folder.join("Modelfile")).unwrap();
    assert!(text.ends_with("FROM ./wide.gguf\nADAPTER ./adapter.gguf\n"), "{text}");
    let adapter_file = content(&folder.join("adapter.gguf"));
    // The scale of these settings is alpha / √r; llama.cpp divides by r.
    assert!(matches!(adapter_file.metadata["adapter.lora.alpha"], Value::F32(alpha) if alpha == 12.0));
    assert_eq!(adapter_file.tensor_infos.len(), 2 * 8 * 7);
    assert_eq!(adapter_file.tensor_infos["blk.0.attn_q.weight.lora_a"].shape.dims(), [4, 256]);
    assert_eq!(adapter_file.tensor_infos["blk.0.attn_k.weight.lora_b"].shape.dims(), [128, 4]);
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    for (what, old, name) in [
        ("gguf", None, "model.gguf"),
        ("gguf", Some("model.gguf"), "model.gguf"),
        ("adapter", None, "adapter.gguf"),
        ("whole", Some("model.safetensors"), "model.safetensors"),
        ("shards", Some("model.safetensors"), "model-00001-of-"),
        ("extended", None, "model.safetensors"),
    ] {
        let folder = fresh_folder();
        if let Some(old) = old {
            std::fs::write(folder.join(old), "whole").unwrap();
        }
        // As many blocks of 512 bytes as stop the writing in the middle of the weights.
        let blocks = if what == "adapter" { 100 } else { 1000 };
        let harness = crate::process::harness("save");
        let output = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh", &blocks.to_string()])
            .arg(harness.get_program())
            .args(["save", what, folder.to_str().unwrap()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(3), "{what}: {text}");
        for part in [name, "File too large", "hint: ", "disk space"] {
            assert!(text.contains(part), "{what}: `{part}` is not in: {text}");
        }
        let left = files(&folder);
        assert!(left.iter().all(|name| !name.ends_with(".partial") && !name.starts_with("model-0") && name != "new"), "{what}: {left:?}");
        assert_eq!(left.iter().any(|own| own.starts_with(name)), old == Some(name), "{what}: {left:?}");
        if let Some(old) = old {
            assert_eq!(std::fs::read_to_string(folder.join(old)).unwrap(), "whole", "{what}");
        }
    }
}

#[test]
fn shards_are_transformers_and_replace_what_was_there() {
    let (folder, model, text) = (fresh_folder(), tiny_model(3), [5, 17, 42, 3]);
    let again = || AutoModelForCausalLM::from_pretrained(&folder.display().to_string()).unwrap();
    tiny_model(4).save_pretrained(&folder).unwrap();
    model.save_pretrained_in_shards(&folder, DType::F32, 30_000).unwrap();
    let shards = |files: Vec<String>| files.into_iter().filter(|name| name.contains("safetensors")).collect::<Vec<String>>();
    let first = shards(files(&folder));
    assert_eq!(first.last().unwrap(), "model.safetensors.index.json");
    let count = first.len() - 1;
    assert!(count > 2 && first[0] == format!("model-00001-of-{count:05}.safetensors"), "{first:?}");
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("model.safetensors.index.json")).unwrap()).unwrap();
    assert_eq!(index["metadata"]["total_parameters"], model.parameter_count());
    assert_eq!(index["metadata"]["total_size"], 4 * model.parameter_count());
    assert_eq!(index["weight_map"].as_object().unwrap().len(), model.weights().len());
    let sizes = first
        .iter()
        .filter(|name| name.ends_with(".safetensors"))
        .map(|name| candle_core::safetensors::load(folder.join(name), &Device::Cpu).unwrap());
    sizes
        .for_each(|tensors| assert!(tensors.values().map(|tensor| 4 * tensor.elem_count()).sum::<usize>() <= 30_000 || tensors.len() == 1));
    assert_eq!(bits(&again(), &text), bits(&model, &text));
    // Other sizes, then one file: nothing of the former stays.
    tiny_model(5).save_pretrained_in_shards(&folder, DType::F32, 60_000).unwrap();
    assert_eq!(bits(&again(), &text), bits(&tiny_model(5), &text));
    assert!(shards(files(&folder)).len() < first.len());
    model.save_pretrained(&folder).unwrap();
    assert_eq!((shards(files(&folder)), bits(&again(), &text)), (vec!["model.safetensors".to_string()], bits(&model, &text)));
    refused(model.save_pretrained_in_shards(&folder, DType::F32, 0), &["max_shard_size is 0"]);
}
