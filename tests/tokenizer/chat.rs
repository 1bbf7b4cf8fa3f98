//! Chat templates against transformers, by the fixture of `fixtures/make_chat.py`, and what a bad one says.

use std::path::PathBuf;

use finetuning::*;
use serde_json::{Value, json};

use crate::support::{fresh_folder, ids, json as fixture, refused};

/// A tokenizer folder with this configuration; its only word is the end token.
fn folder(configuration: &Value) -> PathBuf {
    let folder = fresh_folder();
    let end = configuration["eos_token"].as_str().unwrap_or("<|endoftext|>");
    let token =
        json!({"id": 0, "content": end, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let model = json!({"type": "WordLevel", "vocab": {end: 0}, "unk_token": end});
    let tokenizer = json!({"version": "1.0", "added_tokens": [token], "model": model});
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), configuration.to_string()).unwrap();
    folder
}

fn tokenizer(configuration: &Value) -> Tokenizer {
    Tokenizer::from_folder(&folder(configuration)).unwrap()
}

fn with_template(template: &str) -> Tokenizer {
    tokenizer(&json!({"chat_template": template}))
}

#[test]
fn texts_are_transformers() {
    let fixture = fixture("chat.json");
    let (mut rendered, mut refusals) = (0, 0);
    for case in fixture["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let messages: Vec<Message> =
            serde_json::from_value(fixture["conversations"][case["conversation"].as_str().unwrap()].clone()).unwrap();
        let ours = tokenizer(&fixture["templates"][name]).apply_chat_template(&messages, case["add_generation_prompt"] == true);
        let place = format!("{name}, {}, {}", case["conversation"], case["add_generation_prompt"]);
        match case["rendered"].as_str() {
            Some(theirs) => {
                assert_eq!(ours.unwrap_or_else(|error| panic!("{place}: {error}")), theirs, "{place}");
                rendered += 1;
            }
            None => {
                refused(ours, &[case["refused"].as_str().unwrap(), "line "]);
                refusals += 1;
            }
        }
    }
    assert_eq!((rendered, refusals), (230, 50));
}

#[test]
fn the_template_is_where_transformers_looks() {
    let chat = [Message::user("hi")];
    let named =
        json!({"chat_template": [{"name": "rag", "template": "R"}, {"name": "default", "template": "D {{ messages[0].content }}"}]});
    assert_eq!(tokenizer(&named).apply_chat_template(&chat, false).unwrap(), "D hi");
    // A file of its own goes first.
    let folder = folder(&named);
    std::fs::write(folder.join("chat_template.jinja"), "F {{ bos_token }}{{ eos_token }}").unwrap();
    std::fs::write(folder.join("special_tokens_map.json"), json!({"bos_token": {"content": "<s>"}, "eos_token": "</s>"}).to_string())
        .unwrap();
    refused(Tokenizer::from_folder(&folder), &["no token `</s>`"]);
    std::fs::write(folder.join("special_tokens_map.json"), json!({"bos_token": {"content": "<s>"}}).to_string()).unwrap();
    let tokenizer = Tokenizer::from_folder(&folder).unwrap();
    assert_eq!(tokenizer.apply_chat_template(&chat, false).unwrap(), "F <s>");
}

#[test]
fn the_clock_is_asked_in_pythons_words() {
    let text = with_template("{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d') }}")
        .apply_chat_template(&[Message::user("")], false)
        .unwrap();
    let (day, date) = text.split_once('|').unwrap();
    assert_eq!((day.len(), date.len()), (11, 10), "{text}");
    assert!(day.starts_with(&date[8..]) && day.ends_with(&date[..4]), "{text}");
    refused(with_template("{{ strftime_now('%Q!') }}").apply_chat_template(&[Message::user("")], false), &["%Q!", "line 1"]);
}

#[test]
fn what_cannot_be_rendered_is_refused() {
    let chat = [Message::user("hi")];
    refused(tokenizer(&json!({})).apply_chat_template(&chat, true), &["no chat template", "chat_template.jinja"]);
    let rag = json!({"chat_template": [{"name": "rag", "template": "R"}]});
    refused(tokenizer(&rag).apply_chat_template(&chat, true), &["`rag`", "none `default`"]);
    refused(with_template("x").apply_chat_template(&[], true), &["no message"]);
    refused(
        with_template("x").apply_chat_template(&[Message::user("a"), Message::new("usr", "b")], true),
        &["message 1", "`usr`", "`assistant`"],
    );
    refused(with_template("\n\n{% if %}").apply_chat_template(&chat, true), &["line 3", "syntax error"]);
    refused(with_template("a\n{{ messages[0].content.nothing() }}").apply_chat_template(&chat, true), &["line 2", "nothing"]);
    refused(with_template("a\n{{ raise_exception('no, thanks') }}").apply_chat_template(&chat, true), &["line 2: no, thanks"]);
    // A template that never ends is stopped.
    let endless = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}";
    refused(with_template(endless).apply_chat_template(&chat, true), &["fuel"]);
    let folder = folder(&json!({}));
    std::fs::write(folder.join("tokenizer_config.json"), "{\"eos_token\": ").unwrap();
    refused(Tokenizer::from_folder(&folder), &["tokenizer_config.json", "not valid JSON"]);
}

#[test]
fn what_stands_around_a_text_is_transformers() {
    let fixture = fixture("chat.json");
    let conversation: Vec<Message> = serde_json::from_value(fixture["conversations"]["greeting"].clone()).unwrap();
    for case in fixture["around"].as_array().unwrap() {
        let folder = fresh_folder();
        for (name, value) in case["files"].as_object().unwrap() {
            std::fs::write(folder.join(name), value.to_string()).unwrap();
        }
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        for (text, theirs) in case["texts"].as_array().unwrap().iter().zip(case["ids"].as_array().unwrap()) {
            let prompt = tokenizer.encode_prompt(text.as_str().unwrap()).unwrap();
            let mut theirs = ids(theirs);
            // Ours ends a row where the configuration asks for it; transformers 5 asks tokenizer.json alone.
            if case["files"]["tokenizer_config.json"]["add_eos_token"] == true && theirs.last() != Some(&2) {
                theirs.push(2);
            }
            assert_eq!([&prompt, tokenizer.ending()].concat(), theirs, "{text}, {}", case["files"]);
            let row = tokenize_function(&Example::new([("text", text.as_str().unwrap())]), &tokenizer);
            assert!(theirs.is_empty() || row.unwrap().input_ids == theirs);
        }
        // A conversation brings its begin-of-sequence token, and gets no second one.
        let text = tokenizer.apply_chat_template(&conversation, true).unwrap();
        assert_eq!(tokenizer.encode(&text).unwrap(), ids(&case["chat"]));
        assert_eq!(tokenizer.encode_prompt(&text).unwrap(), ids(&case["chat"]));
    }
}
