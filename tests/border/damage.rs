//! Each kind of damage that has ended a process, or filled its memory: one file of it, and what is said now.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{Content, Value as Stored, write as write_gguf};
use finetuning::data::stream::ExampleStream;
use finetuning::train::checkpoint::{manifest, store};
use finetuning::*;
use serde_json::{Value, json};

use crate::support::{fixture, fresh_folder, refused, tiny_model, tiny_rows};

/// A folder with these files of a fixture, and a JSON file of it changed.
fn changed(from: &str, files: &[&str], name: &str, change: impl Fn(&mut Value)) -> PathBuf {
    let folder = fresh_folder();
    for file in files {
        std::fs::copy(fixture(from).join(file), folder.join(file)).unwrap();
    }
    let mut value: Value = serde_json::from_slice(&std::fs::read(fixture(from).join(name)).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(folder.join(name), value.to_string()).unwrap();
    folder
}

fn configured(family: &str, field: &str, value: Value) -> Result<Config> {
    Config::from_folder(&changed(family, &[], "config.json", |config| config[field] = value.clone()))
}

#[test]
fn configurations_beyond_every_model() {
    for (family, field, value, words) in [
        ("tiny-neox", "rotary_pct", json!(1.5), &["rotary_pct 1.5"][..]),
        ("tiny-llama", "num_hidden_layers", json!(10_000_000), &["num_hidden_layers is 10000000", "4096"]),
        ("tiny-llama", "vocab_size", json!(1u64 << 60), &["vocab_size"]),
        ("tiny-llama", "hidden_size", json!(0), &["hidden_size is 0"]),
        ("tiny-phi", "num_attention_heads", json!(-1), &["num_attention_heads is -1"]),
        ("tiny-llama", "rope_theta", json!(0), &["rope_theta is 0", "above 0"]),
        ("tiny-llama", "rms_norm_eps", json!(-1e-6), &["rms_norm_eps"]),
        ("tiny-gemma2", "query_pre_attn_scalar", json!(0), &["query_pre_attn_scalar is 0"]),
        ("tiny-gemma2", "attn_logit_softcapping", json!(0.0), &["attn_logit_softcapping is 0"]),
    ] {
        refused(configured(family, field, value), words);
    }
    for text in ["[]", "1", "null", "\"gpt_neox\"", "[\"model_type\"]"] {
        let folder = fresh_folder();
        std::fs::write(folder.join("config.json"), text).unwrap();
        refused(Config::from_folder(&folder), &["model_type is `absent`"]);
    }
}

#[test]
fn positions_cost_what_is_computed() {
    let config = LlamaConfig { max_position_embeddings: 10_000_000, ..LlamaConfig::new(32, 16, 16, 1, [2, 1]) };
    let before = finetuning::util::memory::peak_memory();
    let model = CausalLm::random(config, 1, None, &Device::Cpu).unwrap();
    model.forward(&[1, 2, 3], 1, false).unwrap();
    // The angles of all positions would be 640 MB.
    assert!(finetuning::util::memory::peak_memory() - before < 300 << 20);
}

/// A `.gguf` file of a fixture with one entry of its metadata changed.
fn with_entry(key: &str, value: Stored) -> PathBuf {
    let mut file = std::fs::File::open(fixture("gguf/models/llama.gguf")).unwrap();
    let content = Content::read(&mut file).unwrap();
    let mut metadata = content.metadata.clone();
    metadata.insert(key.into(), value);
    let tensor = |name: &String| (name.clone(), content.tensor(&mut file.try_clone().unwrap(), name, &Device::Cpu).unwrap());
    let tensors: HashMap<_, _> = content.tensor_infos.keys().map(tensor).collect();
    let path = fresh_folder().join("model.gguf");
    let metadata: Vec<(&str, &Stored)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    write_gguf(&mut std::fs::File::create(&path).unwrap(), &metadata, &tensors).unwrap();
    path
}

/// A file of one text entry and one tensor, by hand: what no writer writes.
fn by_hand(entries: &[u8], entry_count: u64, tensors: &[u8], tensor_count: u64) -> PathBuf {
    let path = fresh_folder().join("model.gguf");
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(tensor_count.to_le_bytes());
    bytes.extend(entry_count.to_le_bytes());
    bytes.extend(entries);
    bytes.extend(tensors);
    bytes.extend([0; 256]);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn named(name: &str) -> Vec<u8> {
    [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat()
}

#[test]
fn gguf_files_that_declare_too_much() {
    let load = |path: &Path| AutoModelForCausalLM::from_pretrained(&path.display().to_string());
    assert!(load(&with_entry("general.alignment", Stored::U32(32))).is_ok());
    for alignment in [0u32, 3, 1 << 31] {
        refused(load(&with_entry("general.alignment", Stored::U32(alignment))), &["general.alignment", "power of two"]);
    }
    refused(load(&with_entry("general.alignment", Stored::U8(0))), &["general.alignment"]);
    let tensor = |dims: &[u64]| {
        let dims: Vec<u8> = dims.iter().flat_map(|dim| dim.to_le_bytes()).collect();
        [named("a"), (dims.len() as u32 / 8).to_le_bytes().to_vec(), dims, vec![0; 12]].concat()
    };
    refused(load(&by_hand(&[], 0, &tensor(&[1 << 60]), 1)), &["numbers of a tensor"]);
    refused(load(&by_hand(&[], 0, &tensor(&[1 << 32, 1 << 32]), 1)), &["numbers of a tensor"]);
    refused(load(&by_hand(&[], 0, &tensor(&[1; 5]), 1)), &["5 dimensions"]);
    refused(load(&by_hand(&[], 0, &[], u64::MAX)), &["tensors; 1048576"]);
    refused(load(&by_hand(&[], 1 << 40, &[], 0)), &["entries of metadata"]);
    // A list of bytes takes 32 bytes for each in memory.
    let list = |kind: u32, count: u64| {
        [named("a"), 9u32.to_le_bytes().to_vec(), kind.to_le_bytes().to_vec(), count.to_le_bytes().to_vec()].concat()
    };
    refused(load(&by_hand(&list(0, 1 << 29), 1, &[], 0)), &["values in lists"]);
    refused(load(&by_hand(&list(8, 1 << 22), 1, &[], 0)), &["fill whole buffer"]);
    let deep: Vec<u8> = (0..6).flat_map(|_| [9u32.to_le_bytes().to_vec(), 1u64.to_le_bytes().to_vec()].concat()).collect();
    refused(load(&by_hand(&[named("a"), 9u32.to_le_bytes().to_vec(), deep].concat(), 1, &[], 0)), &["lists inside"]);
    // Fewer types than tokens.
    let short = with_entry("tokenizer.ggml.token_type", Stored::Array(vec![Stored::I32(1)]));
    let tokenizer = |path: &Path| AutoTokenizer::from_pretrained(&path.display().to_string());
    refused(tokenizer(&short), &["tokenizer"]);
    let mut file = std::fs::File::open(fixture("gguf/spm.gguf")).unwrap();
    let mut metadata = Content::read(&mut file).unwrap().metadata;
    metadata.insert("tokenizer.ggml.token_type".into(), Stored::Array(vec![Stored::I32(1)]));
    let metadata: Vec<(&str, &Stored)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    write_gguf(&mut std::fs::File::create(&short).unwrap(), &metadata, &[]).unwrap();
    refused(tokenizer(&short), &["token_type"]);
}

#[test]
fn adapters_that_would_fill_the_memory() {
    let base = CausalLm::from_folder(&fixture("tiny-llama"), &Device::Cpu).unwrap();
    let files = ["adapter_model.safetensors"];
    let adapter = |change: &dyn Fn(&mut Value)| changed("lora/tiny-llama", &files, "adapter_config.json", change);
    refused(base.load_adapter(adapter(&|config| config["r"] = json!(1u64 << 31))), &["r is 2147483648"]);
    // 65,536 rows for each matrix of the model, and a file of 4,608 bytes.
    refused(base.load_adapter(adapter(&|config| config["r"] = json!(65_536))), &["4608 bytes", "r 65536"]);
    refused(base.load_adapter(adapter(&|config| config["target_modules"] = json!("all-linear"))), &["4608 bytes"]);
    let own = adapter(&|_| {});
    let mut config: Value = serde_json::from_slice(&std::fs::read(own.join("adapter_config.json")).unwrap()).unwrap();
    config["base_model_name_or_path"] = own.display().to_string().into();
    std::fs::write(own.join("adapter_config.json"), config.to_string()).unwrap();
    refused(AutoModelForCausalLM::from_pretrained(&own.display().to_string()), &["an adapter itself"]);
}

#[test]
fn parquet_files_with_one_other_byte() {
    let bytes = std::fs::read(fixture("parquet/train-00000-of-00002.parquet")).unwrap();
    let path = fresh_folder().join("rows.parquet");
    let (mut whole, mut refused) = (0, 0);
    for place in 0..bytes.len() {
        for value in [0xff, bytes[place] ^ 1] {
            let mut other = bytes.clone();
            other[place] = value;
            std::fs::write(&path, &other).unwrap();
            match ExampleStream::open(&path).and_then(|rows| rows.take(1000).collect::<Result<Vec<_>>>()) {
                Ok(_) => whole += 1,
                Err(error) => {
                    assert!(error.to_string().contains("rows.parquet") && error.to_string().contains("hint: "), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(whole > 100 && refused > 100, "{whole} {refused}");
    // The head of the first page is a list of 2⁶² numbers.
    let mut other = bytes.clone();
    other[4..15].copy_from_slice(b"\x19\xf7\xff\xff\xff\xff\xff\xff\xff\xff\x3f");
    std::fs::write(&path, &other).unwrap();
    crate::support::refused(ExampleStream::open(&path), &["rows.parquet", "the head of a page is damaged"]);
    // A page that unpacks into a gigabyte: of the four bytes between two marks the second number.
    let whole_file = bytes.clone();
    let mut other = bytes;
    let head = [b"\x15\x04\x15".as_slice(), b"\x80\x80\x80\x80\x08"].concat();
    other[4..4 + head.len()].copy_from_slice(&head);
    std::fs::write(&path, &other).unwrap();
    crate::support::refused(ExampleStream::open(&path), &["rows.parquet", "268435456 are allowed"]);
    // A dictionary of 2³⁰ words in a page of some bytes: a library would make room for all of them.
    let mut other = whole_file;
    let mark = other.windows(2).position(|pair| pair == b"\x4c\x15").unwrap();
    other.splice(mark + 2..mark + 3, *b"\x80\x80\x80\x80\x08");
    std::fs::write(&path, &other).unwrap();
    crate::support::refused(ExampleStream::open(&path), &["rows.parquet", "a dictionary declares 1073741824 words"]);
}

#[test]
fn a_checkpoint_names_its_own_files_alone() {
    let folder = fresh_folder();
    let arguments = TrainingArguments { output_dir: folder.clone(), max_steps: 1, save_steps: 1, disable_tqdm: true, ..Default::default() };
    let made = |settings: &TrainingArguments| Trainer::new(&tiny_model(1), settings.clone(), tiny_rows(2), TokenizedDataset::default());
    made(&arguments).unwrap().train().unwrap();
    let elsewhere = TrainingArguments { output_dir: fresh_folder(), ..arguments };
    let trainer = || made(&elsewhere).unwrap();
    let checkpoint = store::list(&folder).pop().unwrap().1;
    let whole = std::fs::read_to_string(checkpoint.join(manifest::FILE)).unwrap();
    for name in ["/dev/zero", "../../../etc/passwd", "a/b", "..", ""] {
        let mut value: Value = serde_json::from_str(&whole).unwrap();
        value["files"][name] = json!({ "bytes": 1, "crc32c": 1 });
        std::fs::write(checkpoint.join(manifest::FILE), value.to_string()).unwrap();
        refused(manifest::verify(&checkpoint), &["manifest.json", "is no file of the checkpoint"]);
    }
    std::fs::write(checkpoint.join(manifest::FILE), &whole).unwrap();
    // Steps that do not follow each other are of no run.
    let history = std::fs::read_to_string(checkpoint.join("history.csv")).unwrap();
    let fitting = || {
        std::fs::remove_file(checkpoint.join(manifest::FILE)).unwrap();
        manifest::write(&checkpoint, 1, 2, 0).unwrap();
    };
    for (from, to) in [("\n1,", "\n7,"), ("\n1,", "\n18446744073709551615,")] {
        std::fs::write(checkpoint.join("history.csv"), history.replace(from, to)).unwrap();
        fitting();
        refused(trainer().resume(&checkpoint), &["history.csv", "step"]);
    }
    std::fs::write(checkpoint.join("history.csv"), history).unwrap();
    fitting();
    trainer().resume(&checkpoint).unwrap();
}

/// A folder with the small tokenizer of the course, its `tokenizer.json` changed.
fn tokenizer(change: impl Fn(&mut Value)) -> Result<Tokenizer> {
    let base = crate::support::root().join("notebooks/models/base");
    let folder = fresh_folder();
    let mut value: Value = serde_json::from_slice(&std::fs::read(base.join("tokenizer.json")).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(folder.join("tokenizer.json"), value.to_string()).unwrap();
    std::fs::copy(base.join("tokenizer_config.json"), folder.join("tokenizer_config.json")).unwrap();
    Tokenizer::from_folder(&folder)
}

#[test]
fn tokenizers_whose_library_panics() {
    let uses = |tokenizer: Tokenizer| {
        let ids = tokenizer.encode_prompt("How do I list the devices? é 日本")?;
        tokenizer.decode(&ids)
    };
    assert!(tokenizer(|_| {}).and_then(uses).is_ok());
    // Settings of one library that its own code cannot keep: an error or a text, and no panic.
    let truncation = json!({ "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 7 });
    let _ = tokenizer(|value| value["truncation"] = truncation.clone()).and_then(uses);
    let padding = json!({ "strategy": { "Fixed": 1u64 << 40 }, "direction": "Right", "pad_to_multiple_of": 0, "pad_id": 0, "pad_type_id": 0, "pad_token": "a" });
    let _ = tokenizer(|value| value["padding"] = padding.clone()).and_then(uses);
    let _ = tokenizer(|value| value["decoder"] = json!({ "type": "WordPiece", "prefix": "é", "cleanup": true })).and_then(uses);
    let _ = tokenizer(|value| value["decoder"] = json!({ "type": "Strip", "content": "é", "start": 1u64 << 40, "stop": 9 })).and_then(uses);
    let charsmap = json!({ "type": "Precompiled", "precompiled_charsmap": "AAAAAAEB" });
    let _ = tokenizer(|value| value["normalizer"] = charsmap.clone()).and_then(uses);
}

#[test]
fn templates_that_would_end_the_process() {
    let base = crate::support::root().join("notebooks/models/base");
    let folder = fresh_folder();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(base.join(name), folder.join(name)).unwrap();
    }
    let tokenizer = Tokenizer::from_folder(&folder).unwrap();
    let render = |template: &str| {
        std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
        tokenizer.apply_chat_template(&[Message::user("hello")], true)
    };
    assert_eq!(render("{{ messages[0].content }}").unwrap(), "hello");
    refused(render("{{ messages | tojson(indent=2000000000) }}"), &["indent"]);
    refused(render(&format!("{{{{ {}true }}}}", "not ".repeat(100_000))), &["operators"]);
    refused(render(&format!("{{{{ {}1 }}}}", "-".repeat(100_000))), &["operators"]);
    refused(render(&format!("{{{{ 1{} }}}}", "+1".repeat(100_000))), &["operators"]);
    refused(render(&format!("{{{{ messages{} }}}}", ".x".repeat(100_000))), &["operators"]);
    refused(render(&format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(50_000))), &["elif"]);
    refused(render(&"x".repeat(2 << 20)), &["1048576"]);
    // A list in a list in a list: dropped and printed level by level.
    let deep = |end: &str| {
        format!("{{%- set ns = namespace(x=[]) -%}}{{%- for i in range(90000) -%}}{{%- set ns.x = [ns.x] -%}}{{%- endfor -%}}{end}")
    };
    assert_eq!(render(&deep("done")).unwrap(), "done");
    let _ = render(&deep("{{ ns.x }}"));
    refused(render(&deep("{{ ns.x | tojson }}")), &["tojson"]);
    // A namespace that holds itself, by its name or by another one.
    for text in [
        "{% set ns = namespace(x=1) %}{% set ns.x = [ns] %}{{ ns.x }}",
        "{% set q = namespace(x=1) %}{% set r = q %}{% set r.x = [q] %}{{ q }}",
        "{% set ns = namespace(x=1) %}{% macro m(a) %}{{ a }}{% endmacro %}{% set ns.x = 2 %}{{ m(ns) }}",
        "{% set ns = namespace(x=1) %}{% for ns in [ns] %}{% set ns.x = 1 %}{% endfor %}",
    ] {
        refused(render(text), &["line 1", "as a value"]);
    }
    let usual = "{% set ns = namespace(x='ns', y=1) %}{%- for m in messages %}{% set ns.x = ns.x ~ m.ns %}{% endfor %}{{ ns.x }}";
    assert_eq!(render(usual).unwrap(), "ns");
    refused(render("{%- macro m() -%}{{ m() }}{%- endmacro -%}{{ m() }}"), &["recursion"]);
    refused(render("{%- set ns = namespace(x='a') -%}{%- for i in range(100) -%}{%- set ns.x = ns.x ~ ns.x -%}{%- endfor -%}"), &["fuel"]);
    refused(render("{%- for i in range(9000) -%}{%- for j in range(9000) -%}{{ 'x' * 1000 }}{%- endfor -%}{%- endfor -%}"), &["fuel"]);
}

#[test]
fn halves_that_are_no_number_stay_none() {
    use finetuning::compute::cpu::packed::{Format, dequantize};
    let bits: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let mut ours = vec![0f32; 1 << 16];
    dequantize(Format::F16, &bits, &mut ours);
    let theirs = Tensor::from_raw_buffer(&bits, DType::F16, &[1 << 16], &Device::Cpu).unwrap();
    let theirs: Vec<f32> = theirs.to_dtype(DType::F32).unwrap().to_vec1().unwrap();
    for (bits, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{bits:#06x}: {ours} {theirs}");
    }
    assert!(ours[0x7c00] == f32::INFINITY && ours[0xfc00] == f32::NEG_INFINITY && ours[0x7e00].is_nan());
}

#[test]
fn a_header_may_not_be_as_long_as_it_likes() {
    let folder = fresh_folder();
    std::fs::copy(fixture("tiny-llama/config.json"), folder.join("config.json")).unwrap();
    let mut file = std::fs::File::create(folder.join("model.safetensors")).unwrap();
    file.write_all(&(1u64 << 40).to_le_bytes()).unwrap();
    file.set_len(1 << 41).unwrap();
    refused(CausalLm::from_folder(&folder, &Device::Cpu), &["its header would have 1099511627776 bytes"]);
}
