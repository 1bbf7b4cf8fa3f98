//! What ends a text and how a checkpoint asks to be continued: `generation_config.json`, the entries and tokens of `.gguf` files.

use candle_core::quantized::gguf_file::{Content, Value, write};
use finetuning::*;

use crate::serve::client::completion;
use crate::support::exported::{greedy, letters, wide};
use crate::support::{fresh_folder, refused};

#[test]
fn generation_config_is_obeyed_and_saved() {
    let (folder, saved) = (fresh_folder(), fresh_folder());
    AutoModelForCausalLM::from_pretrained("builtin:base").unwrap().save_pretrained(&folder).unwrap();
    let model = AutoModelForCausalLM::from_pretrained(folder.to_str().unwrap()).unwrap();
    assert_eq!(model.generation_config().unwrap(), GenerationConfig::default());
    let path = folder.join("generation_config.json");
    // Qwen2.5's, as it is published.
    let published = r#"{"bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643], "repetition_penalty": 1.1,
        "temperature": 0.7, "top_k": 20, "top_p": 0.8, "transformers_version": "4.37.0"}"#;
    std::fs::write(&path, published).unwrap();
    let expected = GenerationConfig {
        do_sample: true,
        eos_token_id: vec![151645, 151643],
        repetition_penalty: 1.1,
        temperature: 0.7,
        top_k: 20,
        top_p: 0.8,
        ..Default::default()
    };
    assert_eq!(model.generation_config().unwrap(), expected);
    model.save_pretrained(&saved).unwrap();
    assert_eq!(std::fs::read_to_string(saved.join("generation_config.json")).unwrap(), published);
    // As in transformers, what concerns drawing has no effect where nothing is drawn.
    std::fs::write(&path, r#"{"temperature": 0.6, "top_p": 0.9, "max_new_tokens": 7, "num_beams": 2}"#).unwrap();
    assert_eq!(model.generation_config().unwrap(), GenerationConfig { max_new_tokens: 7, num_beams: 2, ..Default::default() });
    for (text, words) in [
        (r#"{"do_sample": true, "temperature": -1}"#, "temperature is -1"),
        (r#"{"top_k": "many"}"#, "\"many\" as `top_k`"),
        (r#"{"max_new_tokens": 2.5}"#, "2.5 as `max_new_tokens`"),
        ("{", "not valid JSON"),
    ] {
        std::fs::write(&path, text).unwrap();
        refused(model.generation_config(), &["generation_config.json", words]);
    }
}

#[test]
fn a_server_draws_as_the_checkpoint_asks_and_the_request_goes_before() {
    let folder = fresh_folder();
    AutoModelForCausalLM::from_pretrained("builtin:base").unwrap().save_pretrained(&folder).unwrap();
    let server = serve(folder.to_str().unwrap()).unwrap();
    let text = |more: serde_json::Value| {
        let more = serde_json::json!({ "seed": 3, "temperature": null })
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .chain(more.as_object().unwrap().clone());
        let answer = completion(&server, "What is finetuning?", 16, more.collect::<serde_json::Map<_, _>>().into()).json();
        answer["choices"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_string()
    };
    let (plain, asked) = (text(serde_json::json!({})), text(serde_json::json!({ "temperature": 0.4, "top_k": 3 })));
    std::fs::write(folder.join("generation_config.json"), r#"{"do_sample": true, "temperature": 0.4, "top_k": 3}"#).unwrap();
    assert_eq!(text(serde_json::json!({})), asked);
    assert_eq!(text(serde_json::json!({ "temperature": 1.0, "top_k": 0 })), plain);
    assert_ne!(asked, plain);
}

/// A file of a model with other metadata.
fn with_entries(entries: &[(&str, Option<Value>)]) -> String {
    let path = fresh_folder().join("model.gguf");
    wide().save_gguf(&path, &letters(32), GgufFormat::Q8_0).unwrap();
    let mut file = std::fs::File::open(&path).unwrap();
    let content = Content::read(&mut file).unwrap();
    let mut metadata = content.metadata.clone();
    for (name, value) in entries {
        match value {
            Some(value) => drop(metadata.insert(name.to_string(), value.clone())),
            None => drop(metadata.remove(*name)),
        }
    }
    let tensors: Vec<_> =
        content.tensor_infos.keys().map(|name| (name.as_str(), content.tensor(&mut file, name, &Device::Cpu).unwrap())).collect();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let changed = path.with_file_name("changed.gguf");
    write(&mut std::fs::File::create(&changed).unwrap(), &metadata, &tensors).unwrap();
    changed.display().to_string()
}

#[test]
fn a_gguf_chat_ends_where_llama_cpp_ends_it() {
    let ends = |name: &str| AutoModelForCausalLM::from_pretrained(name).unwrap().config().eos_token_ids();
    assert_eq!(ends(&with_entries(&[])), [2]);
    assert_eq!(ends(&with_entries(&[("tokenizer.ggml.eot_token_id", Some(Value::U32(9)))])), [2, 9]);
    let tokens = |name: &str| {
        let mut tokens: Vec<Value> = (0..32).map(|id| Value::String(format!("t{id}"))).collect();
        (tokens[1], tokens[2], tokens[7]) = (Value::String("<s>".into()), Value::String("</s>".into()), Value::String(name.into()));
        ("tokenizer.ggml.tokens", Some(Value::Array(tokens)))
    };
    for name in ["<|end|>", "<end_of_turn>", "<|im_end|>", "<|eot_id|>"] {
        let file = with_entries(&[tokens(name), ("tokenizer.ggml.merges", Some(Value::Array(vec![Value::String("t3 t4".into())])))]);
        assert_eq!(ends(&file), [2, 7], "{name}");
    }
    // A text ends there: what the model writes is cut at the first of these ids.
    let name = with_entries(&[]);
    let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained(&name).unwrap(), AutoTokenizer::from_pretrained(&name).unwrap());
    let written = greedy(&model, &tokenizer.encode_prompt("abc").unwrap(), 12);
    let end = written[2];
    let first = written.iter().position(|id| *id == end).unwrap();
    let name = with_entries(&[("tokenizer.ggml.eot_token_id", Some(Value::U32(end)))]);
    let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained(&name).unwrap(), AutoTokenizer::from_pretrained(&name).unwrap());
    let config = GenerationConfig { max_new_tokens: 12, ..Default::default() };
    let short = generate_texts(&["abc"], &model, &tokenizer, &config).unwrap().remove(0);
    assert_eq!(short, tokenizer.decode(&written[..=first]).unwrap());
}

#[test]
fn the_first_token_of_a_llama_3_file_is_its_own() {
    let entries = |pre: &str| [("tokenizer.ggml.pre", Some(Value::String(pre.into()))), ("tokenizer.ggml.add_bos_token", None)];
    for (pre, begins) in [("llama-bpe", true), ("llama3", true), ("gpt-2", false)] {
        let tokenizer = AutoTokenizer::from_pretrained(&with_entries(&entries(pre))).unwrap();
        assert_eq!(tokenizer.encode_prompt("a").unwrap(), if begins { vec![1, 3] } else { vec![3] }, "{pre}");
    }
    // Dimensions that do not turn are no part of the family.
    let name = with_entries(&[("llama.rope.dimension_count", Some(Value::U32(32)))]);
    refused(AutoModelForCausalLM::from_pretrained(&name), &["rope.dimension_count is 32", "64"]);
}

/// transformers puts nothing before a conversation that its template does not write.
#[test]
fn a_chat_has_no_token_that_its_template_does_not_write() {
    let folder = fresh_folder();
    wide().save_pretrained(&folder).unwrap();
    let source = fresh_folder();
    CausalLm::random(LlamaConfig::new(32, 4, 4, 1, [1, 1]), 1, Some(&letters(32)), &Device::Cpu).unwrap().save_pretrained(&source).unwrap();
    std::fs::copy(source.join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let settings = |template: &str| {
        let settings = serde_json::json!({ "bos_token": "<s>", "eos_token": "</s>", "chat_template": template });
        std::fs::write(folder.join("tokenizer_config.json"), settings.to_string()).unwrap();
        let name = folder.to_str().unwrap();
        (AutoModelForCausalLM::from_pretrained(name).unwrap(), AutoTokenizer::from_pretrained(name).unwrap())
    };
    let config = GenerationConfig { max_new_tokens: 8, ..Default::default() };
    for (template, ids) in
        [("{% for m in messages %}{{ m.content }}{% endfor %}", vec![3, 5]), ("{{ bos_token }}{{ messages[0].content }}", vec![1, 3, 5])]
    {
        let (model, tokenizer) = settings(template);
        let answer = ask_texts(&[[Message::user("ac")]], &model, &tokenizer, &config).unwrap().remove(0);
        let with_ends = GenerationConfig { eos_token_id: vec![2], ..config.clone() };
        let expected = generate_batch(&model, &[ids], &with_ends, None, |_, _| Ok(())).unwrap().remove(0).ids;
        assert_eq!(answer, tokenizer.decode(&expected).unwrap(), "{template}");
    }
}
