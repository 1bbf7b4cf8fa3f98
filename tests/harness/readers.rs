//! The name of a kind of file → how it is read, and the small files that its inputs are made of.

use std::path::{Path, PathBuf};

use finetuning::data::stream::ExampleStream;
use finetuning::train::checkpoint::{manifest, store};
use finetuning::*;
use serde_json::{Value, json};
use support::mutation::Seed;
use support::{fixture, json as document, tiny_model, tiny_rows};

/// Reads the file of that name, which lies in the folder.
type Read = dyn FnMut(&str) -> Result<()>;

/// A reader with its corpus.
pub struct Reader {
    /// What inputs are made of.
    pub corpus: Vec<Seed>,
    /// Words that are put into texts.
    pub words: &'static [&'static str],
    /// How one is read.
    pub read: Box<Read>,
    /// Puts the file of that name back as it was.
    pub restore: Box<dyn Fn(&str)>,
}

/// The reader of a kind of file, which reads from `folder`.
pub fn reader(kind: &str, folder: &Path) -> Reader {
    let folder = folder.to_path_buf();
    match kind {
        "config" => config(folder),
        "tokenizer" => tokenizer(folder),
        "template" => template(folder),
        "gguf" => gguf(folder),
        "safetensors" => safetensors(folder),
        "parquet" => parquet(folder),
        "rows" => rows(folder),
        "adapter" => adapter(folder),
        "checkpoint" => checkpoint(folder),
        other => panic!("there is no reader `{other}`"),
    }
}

impl Reader {
    fn new(corpus: Vec<Seed>, read: impl FnMut(&str) -> Result<()> + 'static) -> Self {
        Self { corpus, words: &[], read: Box::new(read), restore: Box::new(|_| {}) }
    }

    /// Files of the folder that stay the same, each but the one that is changed at the moment.
    fn restoring(self, folder: PathBuf, files: Vec<(String, Vec<u8>)>) -> Self {
        let restore = move |name: &str| {
            let old = files.iter().find(|(own, _)| own == name);
            match old {
                Some((_, bytes)) => std::fs::write(folder.join(name), bytes).unwrap(),
                None => drop(std::fs::remove_file(folder.join(name))),
            }
        };
        Self { restore: Box::new(restore), ..self }
    }
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

/// What a model answers to a few ids, where it has such words.
fn answer(model: &CausalLm) -> Result<()> {
    let ids: Vec<u32> = [1, 2, 3].into_iter().filter(|id| (*id as usize) < model.config().vocab_size()).collect();
    if !ids.is_empty() && model.config().max_position_embeddings() >= ids.len() {
        model.forward(&ids, 1, false)?;
    }
    let _ = format!("{model:?}").len() + model.config().to_value("float32").to_string().len();
    Ok(())
}

fn config(folder: PathBuf) -> Reader {
    let names = ["neox", "llama", "llama3", "mistral", "qwen2", "qwen3", "phi", "phi3", "phi3-long", "gemma", "gemma2", "gemma3"];
    let mut corpus: Vec<Seed> = names.iter().map(|name| Seed::new("config.json", bytes(&format!("tiny-{name}/config.json")))).collect();
    corpus.push(Seed::new("generation_config.json", br#"{"eos_token_id": [0, 2], "bos_token_id": 1, "do_sample": false}"#));
    corpus.push(Seed::new("training_args.json", bytes("training/training_arguments.json")));
    let whole = vec![("config.json".to_string(), bytes("tiny-phi3/config.json"))];
    std::fs::write(folder.join("config.json"), &whole[0].1).unwrap();
    tokenizer_files(&folder);
    let (tokenizer, model) = (Tokenizer::from_folder(&folder).unwrap(), tiny_model(1));
    let place = folder.clone();
    let read = move |name: &str| match name {
        "training_args.json" => TrainingArguments::load(folder.join(name)).map(drop),
        "generation_config.json" => inference("hello", &model, &tokenizer, 4, 1).map(drop),
        _ => {
            let config = Config::from_folder(&folder)?;
            let size: usize = config.parameter_shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
            if size > 100_000 {
                return Ok(());
            }
            answer(&CausalLm::random(config, 1, None, &Device::Cpu)?)
        }
    };
    Reader::new(corpus, read).restoring(place, whole)
}

/// Small tokenizers of every kind: byte-level BPE, BPE of sentencepiece, unigrams and word pieces.
fn tokenizers() -> Vec<Value> {
    let letters = |first: &[&str]| -> Vec<String> {
        first.iter().map(|word| word.to_string()).chain("abcdefghijklmnopqrstuvwxyzĠ▁0123456789".chars().map(String::from)).collect()
    };
    let vocab = |first: &[&str]| -> Value {
        letters(first)
            .into_iter()
            .chain(["he".into(), "ll".into()])
            .enumerate()
            .map(|(id, word)| (word, json!(id)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let end = json!([{ "id": 0, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true }]);
    let bpe = |unknown: Value, fallback: bool| {
        json!({ "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": fallback, "ignore_merges": false, "vocab": vocab(&["<|endoftext|>"]), "merges": ["h e", "l l"] })
    };
    let whole = |normalizer: Value, cut: Value, process: Value, decoder: Value, model: Value| {
        json!({ "version": "1.0", "truncation": null, "padding": null, "added_tokens": end, "normalizer": normalizer, "pre_tokenizer": cut,
            "post_processor": process, "decoder": decoder, "model": model })
    };
    let level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let single = json!({ "type": "TemplateProcessing", "single": [{ "SpecialToken": { "id": "<|endoftext|>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
        "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
        "special_tokens": { "<|endoftext|>": { "id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"] } } });
    let split = json!({ "type": "Sequence", "pretokenizers": [{ "type": "Digits", "individual_digits": true },
        { "type": "Split", "pattern": { "Regex": "\\p{L}+|\\s+(?!\\S)|[^a]" }, "behavior": "Isolated", "invert": false }, level] });
    let strip = json!({ "type": "Sequence", "decoders": [{ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }, { "type": "ByteFallback" },
        { "type": "Fuse" }, { "type": "Strip", "content": " ", "start": 1, "stop": 0 }] });
    let prepend = json!({ "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }, { "type": "Replace", "pattern": { "String": " " }, "content": "▁" }] });
    let scores: Vec<Value> =
        letters(&["<|endoftext|>", "<unk>"]).into_iter().enumerate().map(|(id, word)| json!([word, -(id as f64)])).collect();
    let space = json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true });
    let bert =
        json!({ "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true });
    let pieces = json!({ "type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": vocab(&["<|endoftext|>", "<unk>", "##a", "##l", "##o"]) });
    let mut cut = whole(
        json!({ "type": "NFKC" }),
        space.clone(),
        single.clone(),
        space,
        json!({ "type": "Unigram", "unk_id": 1, "byte_fallback": false, "vocab": scores }),
    );
    cut["truncation"] = json!({ "direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 2 });
    cut["padding"] = json!({ "strategy": { "Fixed": 6 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>" });
    vec![
        whole(Value::Null, level.clone(), single.clone(), level.clone(), bpe(Value::Null, false)),
        whole(json!({ "type": "NFC" }), split, Value::Null, level, bpe(Value::Null, false)),
        whole(prepend, Value::Null, single.clone(), strip, bpe(json!("<|endoftext|>"), true)),
        cut,
        whole(bert, json!({ "type": "BertPreTokenizer" }), single, json!({ "type": "WordPiece", "prefix": "##", "cleanup": true }), pieces),
    ]
}

fn tokenizer_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let configuration = json!({ "eos_token": "<|endoftext|>", "add_eos_token": false, "chat_template": "{{ messages[0]['content'] }}" });
    let files = [
        ("tokenizer.json", tokenizers()[0].to_string()),
        ("tokenizer_config.json", configuration.to_string()),
        ("special_tokens_map.json", json!({ "bos_token": { "content": "h" } }).to_string()),
    ];
    let files = files.map(|(name, text)| (name.to_string(), text.into_bytes()));
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
    files.into()
}

fn tokenizer(folder: PathBuf) -> Reader {
    let files = tokenizer_files(&folder);
    let mut corpus: Vec<Seed> = tokenizers().iter().map(|value| Seed::new("tokenizer.json", value.to_string())).collect();
    corpus.extend(files[1..].iter().map(|(name, bytes)| Seed::new(name.as_str(), bytes.clone())));
    let place = folder.clone();
    let read = move |_: &str| {
        let tokenizer = Tokenizer::from_folder(&folder)?;
        let ids = tokenizer.encode_prompt("hello  World 12 é\n<|endoftext|>x")?;
        tokenizer.decode(&ids)?;
        tokenizer.decode(&[0, 1, 5, u32::MAX])?;
        tokenizer.tokens("he llo")?;
        if tokenizer.has_chat_template() {
            tokenizer.apply_chat_template(&[Message::user("hello")], true)?;
        }
        Ok(())
    };
    Reader::new(corpus, read).restoring(place, files)
}

fn template(folder: PathBuf) -> Reader {
    tokenizer_files(&folder);
    let templates = document("chat.json")["templates"].clone();
    let texts = templates.as_object().unwrap().values().filter_map(|template| template["chat_template"].as_str());
    let mut corpus: Vec<Seed> = texts.map(|text| Seed::new("chat_template.jinja", text)).collect();
    let own = [
        "{%- set ns = namespace(x=[]) -%}{%- for i in range(40) -%}{%- set ns.x = [ns.x] -%}{%- endfor -%}{{ ns.x }}{{ ns.x | tojson }}",
        "{%- macro m(n) -%}{%- if n > 0 -%}{{ m(n - 1) }}{%- endif -%}{%- endmacro -%}{{ m(20) }}",
        "{%- for m in messages recursive -%}{{ m.content | tojson(indent=2, separators=(',', ':')) }}{{ m['role'] * 3 }}{%- endfor -%}",
        "{{ (messages | map(attribute='content') | join(', ')).split(',')[0][1:] | upper | replace('a', 'bb') | trim }}{{ 'x' ~ 1 + 2 * -3 }}",
        "{{ strftime_now('%d %b') }}{% generation %}a{% endgeneration %}{{ none }}{{ not true }}{{ [1, 2] + [3] }}{{ {'a': 1} | tojson }}",
    ];
    corpus.extend(own.map(|text| Seed::new("chat_template.jinja", text)));
    let words: &[&str] = &[
        "{{ ",
        " }}",
        "{% ",
        " %}",
        "not ",
        "-",
        "(",
        "[",
        "{",
        "+1",
        " ~ x",
        ".x",
        "[0]",
        " | tojson(indent=2000000000)",
        " * 1000000",
        "range(1000000000)",
        "{% for i in range(100000) %}",
        "{% endfor %}",
        "{% if x %}",
        "{% elif x %}",
        "{% else %}",
        "{% endif %}",
        "{% set ns.x = [ns.x] %}",
        "{% set ns.x = ns.x ~ ns.x %}",
        "{% macro m() %}",
        "{% endmacro %}",
        "{{ m() }}",
        "{{ loop(messages) }}",
        " if x else ",
        " and ",
        " is defined",
        "'",
        "\"",
        "\\",
        "{#",
        "#}",
        "%}",
        "}}",
    ];
    let tokenizer = Tokenizer::from_folder(&folder).unwrap();
    let conversation = [Message::system("Be short."), Message::user("Hello"), Message::assistant("Hi"), Message::user("a, b")];
    let read = move |_: &str| tokenizer.apply_chat_template(&conversation, true).map(drop);
    Reader { words, ..Reader::new(corpus, read) }
}

fn gguf(folder: PathBuf) -> Reader {
    let names = ["models/llama", "models/gptneox", "models/gemma2", "models/phi3-long", "spm", "bpe"];
    let corpus = names.iter().map(|name| Seed::new("model.gguf", bytes(&format!("gguf/{name}.gguf")))).collect();
    let read = move |name: &str| {
        let name = folder.join(name).display().to_string();
        // Each reads the whole file in its own way.
        let tokenizer =
            AutoTokenizer::from_pretrained(&name).and_then(|tokenizer| tokenizer.decode(&tokenizer.encode("hello world")?).map(drop));
        let model = AutoModelForCausalLM::from_pretrained(&name).and_then(|model| answer(&model));
        // Some files hold the one alone, some the other.
        if tokenizer.is_ok() != model.is_ok() {
            faults_first([tokenizer, model]).or_else(caught_alone)
        } else {
            faults_first([tokenizer, model])
        }
    };
    Reader::new(corpus, read)
}

/// An error only where it is a panic that was caught.
fn caught_alone(error: Error) -> Result<()> {
    if error.to_string().contains("the program has a fault") { Err(error) } else { Ok(()) }
}

/// Of several results the one that tells most: a panic that was caught, else an error.
fn faults_first<const N: usize>(results: [Result<()>; N]) -> Result<()> {
    let mut errors: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
    errors.sort_by_key(|error| !error.to_string().contains("the program has a fault"));
    errors.into_iter().next().map_or(Ok(()), Err)
}

fn safetensors(folder: PathBuf) -> Reader {
    std::fs::copy(fixture("tiny-phi3/config.json"), folder.join("config.json")).unwrap();
    std::fs::copy(fixture("tiny-phi3/model.safetensors"), folder.join("part.safetensors")).unwrap();
    let weights = bytes("tiny-phi3/model.safetensors");
    let names = CausalLm::from_folder(&fixture("tiny-phi3"), &Device::Cpu).unwrap();
    let map: serde_json::Map<String, Value> = names.weights().iter().map(|(name, _)| (name.clone(), json!("part.safetensors"))).collect();
    let index = json!({ "metadata": { "total_size": 1 }, "weight_map": map }).to_string();
    // Four of five inputs change the weights.
    let mut corpus: Vec<Seed> = (0..4).map(|_| Seed::new("model.safetensors", weights.clone())).collect();
    corpus.push(Seed::new("model.safetensors.index.json", index));
    let place = folder.clone();
    let read = move |_: &str| answer(&CausalLm::from_folder(&folder, &Device::Cpu)?);
    Reader::new(corpus, read).restoring(place, Vec::new())
}

fn parquet(folder: PathBuf) -> Reader {
    let names = ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"];
    let corpus = names.iter().map(|name| Seed::new("rows.parquet", bytes(&format!("parquet/{name}.parquet")))).collect();
    Reader::new(corpus, move |name: &str| some_rows(&folder.join(name)))
}

/// Reads the first rows of a file: one may declare any number of them.
fn some_rows(path: &Path) -> Result<()> {
    ExampleStream::open(path)?.take(1000).try_for_each(|row| row.map(drop))
}

fn rows(folder: PathBuf) -> Reader {
    let lines = "{\"question\": \"What is it?\", \"answer\": \"A \\u00e9 test\", \"n\": 12345678901234567890, \"list\": [1, {\"a\": null}], \"x\": 1.5e3}\n\n{\"question\": \"b\", \"answer\": \"c\"}\n";
    let list = "[{\"question\": \"a\", \"answer\": \"b\"}, {\"question\": \"c\", \"answer\": null}]";
    let table = "question,answer,n\n\"a, \"\"b\"\"\",c,1\nd,\"e\nf\",\n";
    let chat = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\", \"weight\": 0}]}\n";
    let files = [
        ("rows.jsonl", lines),
        ("rows.jsonl", chat),
        ("rows.json", list),
        ("rows.csv", table),
        ("rows.tsv", "question\tanswer\na\tb\n"),
        ("rows.txt", "one\n\ntwo\n"),
    ];
    // Three lines, packed by gzip and by Zstandard.
    let gzip: &[u8] =
        b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xabV*,M-.\xc9\xcc\xcfS\xb2RPJT\xd2\x01\x12y\xc5\xe5\xa9E n\x92R-W5\xc5\n\0\xba\x8ac\x01c\0\0\0";
    let zstandard: &[u8] = b"\x28\xb5\x2f\xfd\x20\x63\x4d\x01\0\x14\x02{\"question\": \"a\", \"answer\": \"b\"}\n\x01\0\x39\x91\xd4\x13";
    let mut corpus: Vec<Seed> = files.map(|(name, text)| Seed::new(name, text)).into();
    corpus.extend([("rows.jsonl.gz", gzip), ("rows.jsonl.zst", zstandard)].map(|(name, bytes)| Seed::new(name, bytes)));
    Reader::new(corpus, move |name: &str| some_rows(&folder.join(name)))
}

fn adapter(folder: PathBuf) -> Reader {
    let names = ["adapter_config.json", "adapter_model.safetensors"];
    let files: Vec<(String, Vec<u8>)> = names.iter().map(|name| (name.to_string(), bytes(&format!("lora/tiny-llama/{name}")))).collect();
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
    let mut corpus: Vec<Seed> = files.iter().map(|(name, bytes)| Seed::new(name.as_str(), bytes.clone())).collect();
    let mut own: Value = serde_json::from_slice(&files[0].1).unwrap();
    own["base_model_name_or_path"] = folder.display().to_string().into();
    corpus.push(Seed::new(names[0], own.to_string()));
    own["base_model_name_or_path"] = fixture("tiny-llama").display().to_string().into();
    corpus.push(Seed::new(names[0], own.to_string()));
    let cases = ["patterns", "all-linear", "modules-llama", "dora-llama"];
    corpus.extend(cases.map(|case| Seed::new(names[0], bytes(&format!("lora/cases/{case}/adapter_config.json")))));
    let base = CausalLm::from_folder(&fixture("tiny-llama"), &Device::Cpu).unwrap();
    let place = folder.clone();
    let read = move |_: &str| {
        let direct = base.load_adapter(&folder).and_then(|model| answer(&model));
        let named = AutoModelForCausalLM::from_pretrained(&folder.display().to_string()).and_then(|model| answer(&model));
        faults_first([direct, named])
    };
    Reader::new(corpus, read).restoring(place, files)
}

fn checkpoint(folder: PathBuf) -> Reader {
    let output = folder.join("run");
    let arguments = TrainingArguments {
        output_dir: output.clone(),
        max_steps: 2,
        save_steps: 2,
        logging_steps: 1,
        per_device_train_batch_size: 1,
        disable_tqdm: true,
        ..Default::default()
    };
    let model =
        CausalLm::random(NeoxConfig { max_position_embeddings: 16, ..NeoxConfig::new(96, 16, 1, 2) }, 1, None, &Device::Cpu).unwrap();
    let trainer = |steps: i64| {
        let settings = TrainingArguments { max_steps: steps, save_steps: 100, output_dir: folder.join("own"), ..arguments.clone() };
        Trainer::new(&model, settings, tiny_rows(2), TokenizedDataset::default())
    };
    let mut first = Trainer::new(&model, arguments.clone(), tiny_rows(2), TokenizedDataset::default()).unwrap();
    first.train().unwrap();
    let whole = store::list(&output).pop().unwrap().1;
    let names: Vec<String> =
        std::fs::read_dir(&whole).unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let files: Vec<(String, Vec<u8>)> =
        names.into_iter().map(|name| (format!("run/checkpoint-2/{name}"), std::fs::read(whole.join(&name)).unwrap())).collect();
    let corpus = files.iter().map(|(name, bytes)| Seed::new(name.as_str(), bytes.clone())).collect();
    let mut resumed = trainer(3).unwrap();
    let (own, place) = (files.clone(), folder.clone());
    let read = move |name: &str| {
        // Every other input has a manifest that fits it, as one has that was made on purpose.
        let changed = std::fs::read(folder.join(name)).unwrap();
        if !name.ends_with(manifest::FILE) && changed.len().is_multiple_of(2) {
            std::fs::remove_file(whole.join(manifest::FILE)).unwrap();
            manifest::write(&whole, 1, 2, 0)?;
        }
        let result = resumed.resume(&whole);
        let manifest = own.iter().find(|(name, _)| name.ends_with(manifest::FILE)).unwrap();
        std::fs::write(whole.join(manifest::FILE), &manifest.1).unwrap();
        result?;
        resumed.step().map(drop)
    };
    Reader::new(corpus, read).restoring(place, files)
}
