//! What of a conversation is learnt, beside transformers and TRL: `fixtures/make_masks.py`.

use std::collections::BTreeSet;

use finetuning::tokenizer::encode::IGNORE_INDEX;
use finetuning::*;
use serde_json::{Value, json};

use crate::support::{fixture, fresh_folder, ids, json as read};

/// The tokenizer of GPT-NeoX with the special tokens of the templates, and a template.
pub fn with_template(masks: &Value, configuration: &Value) -> Tokenizer {
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(fixture("neox-tokenizer/tokenizer.json")).unwrap()).unwrap();
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    for (content, id) in masks["special"].as_object().unwrap() {
        added.push(json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}));
    }
    let folder = fresh_folder();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), configuration.to_string()).unwrap();
    Tokenizer::from_folder(&folder).unwrap()
}

fn chat(messages: &Value, tools: &Value) -> Dataset {
    Dataset::from_examples(vec![Example::new([("messages", messages.clone()), ("tools", tools.clone())])])
}

/// 1 where an id is learnt.
fn mask(row: &Encoding) -> String {
    row.labels.iter().map(|&label| if label == IGNORE_INDEX { '0' } else { '1' }).collect()
}

#[test]
fn masks_are_transformers_and_trls() {
    let masks = read("masks.json");
    let cases = masks["cases"].as_array().unwrap();
    let (mut equal, mut refusals, mut ways) = (0, 0, BTreeSet::new());
    for (name, configuration) in masks["templates"].as_object().unwrap() {
        let tokenizer = with_template(&masks, configuration);
        for case in cases.iter().filter(|case| case["template"] == *name) {
            let conversation = case["conversation"].as_str().unwrap();
            let place = format!("{name}, {conversation}, {}", case["way"]);
            let tools = if conversation == "tools" { masks["tools"].clone() } else { Value::Null };
            let data = chat(&masks["conversations"][conversation], &tools);
            let made = tokenize_with(&data, &tokenizer, &TokenizeOptions::default());
            if case["refused"].is_string() {
                assert!(made.is_err(), "{place}: refused by Python: {}", case["refused"]);
                refusals += 1;
                continue;
            }
            let (rows, _) = made.unwrap_or_else(|error| panic!("{place}: {error}"));
            let row = rows.get(0).unwrap();
            assert_eq!(row.input_ids, ids(&case["ids"]), "{place}");
            assert_eq!(mask(row), case["mask"].as_str().unwrap(), "{place}");
            ways.insert(case["way"].as_str().unwrap());
            equal += 1;
        }
    }
    assert_eq!(ways.len(), 3, "{ways:?}");
    assert_eq!((equal, refusals), (240, 12));
}

#[test]
fn another_version_of_a_known_template_is_said() {
    let masks = read("masks.json");
    let data = chat(&masks["conversations"]["one"], &Value::Null);
    for (name, title, from, to) in [
        ("glm4", "GLM 4", "<|user|>\n{{ visible_text(m.content) }}", "<|user|>\n{{ visible_text(m['content']) }}"),
        ("gpt-oss", "gpt-oss", "{%- set last_tool_call.name = none %}\n        {%- endif %}", "{%- endif %}"),
        ("muse-glimmer", "Muse Glimmer", "{%- if message.get('reasoning_content') -%}", "{%- if message.reasoning_content -%}"),
    ] {
        let mut configuration = masks["templates"][name].clone();
        let report = |configuration: &Value| {
            let (_, report) = tokenize_with(&data, &with_template(&masks, configuration), &TokenizeOptions::default()).unwrap();
            report
        };
        assert_eq!(report(&configuration).unmarked, None, "{name}");
        let template = configuration["chat_template"].as_str().unwrap();
        assert_eq!(template.matches(from).count(), 1, "{name}");
        configuration["chat_template"] = template.replace(from, to).into();
        assert_eq!(report(&configuration).unmarked.as_deref(), Some(title), "{name}");
    }
    // Of rows that are no conversations nothing is said.
    let plain = Dataset::from_examples(vec![Example::new([("question", "Why?"), ("answer", " So.")])]);
    for name in ["glm4", "qwen3"] {
        let tokenizer = with_template(&masks, &masks["templates"][name]);
        let (_, report) = tokenize_with(&plain, &tokenizer, &TokenizeOptions::default()).unwrap();
        assert!(!report.keeps_reasoning && report.unmarked.is_none(), "{name}");
        let (_, report) = tokenize_with(&data, &tokenizer, &TokenizeOptions::default()).unwrap();
        assert_eq!(report.keeps_reasoning, name == "qwen3");
    }
}
