//! Rows of every usual shape → what is learnt of them; what a data set is taken for; templates beside Python's.

use std::fs;

use finetuning::*;
use serde_json::{Value, json};

use crate::support::{fixture, fresh_folder, json as file, refused};

/// A row of these fields.
pub fn row(fields: Value) -> Example {
    Example::new(fields.as_object().unwrap().clone())
}

/// Rows of these fields.
pub fn data(rows: Value) -> Dataset {
    Dataset::from_examples(rows.as_array().unwrap().iter().cloned().map(row).collect())
}

/// What a row teaches as JSON: prompt and completion, or turns as (role, content) and the tools.
pub fn taught(fields: Value) -> Result<Value> {
    let example = row(fields);
    let shape = Shape::of(&example)?;
    Ok(match shape.read(&example)? {
        Content::Completion { prompt, completion } => json!([prompt, completion]),
        Content::Chat { messages, tools } => json!({ "messages": messages, "tools": tools }),
        Content::Preference { prompt, chosen, rejected } => json!([prompt, chosen, rejected]),
        Content::PreferenceChat { prompt, chosen, rejected, tools } => json!([prompt, chosen, rejected, tools]),
        _ => unreachable!(),
    })
}

/// A conversation of one question and one answer.
fn turns() -> Value {
    json!([{ "role": "user", "content": "Why?" }, { "role": "assistant", "content": "So." }])
}

#[test]
fn texts_of_every_shape() {
    for (fields, expected) in [
        (json!({ "question": "q", "answer": "a", "category": "c" }), json!(["q", "a"])),
        (json!({ "instruction": "q", "response": "a", "context": "" }), json!(["q", "a"])),
        (json!({ "input": "q", "output": 4 }), json!(["q", "4"])),
        (json!({ "prompt": "q", "completion": "a" }), json!(["q", "a"])),
        (json!({ "text": "t" }), json!(["", "t"])),
        // The first of the list where there are several, and one that is null is none.
        (json!({ "text": "t", "answer": "a", "question": "q" }), json!(["q", "a"])),
        (json!({ "question": "q", "answer": null, "text": "t" }), json!(["", "t"])),
        (json!({ "prompt": "[1, 2] is", "completion": "[{a list}" }), json!(["[1, 2] is", "[{a list}"])),
    ] {
        assert_eq!(taught(fields.clone()).unwrap(), expected, "{fields}");
    }
}

#[test]
fn an_alpaca_row_is_its_template_and_its_output() {
    let with = json!({ "instruction": "Add {x}.", "input": "2 2", "output": "4", "text": "whole" });
    let example = row(with.clone());
    assert_eq!(taught(with).unwrap(), json!([PromptTemplate::instruction_with_input().format(&example).unwrap(), "4"]));
    let prompt = PromptTemplate::instruction_with_input().format(&example).unwrap();
    assert!(prompt.starts_with("Below is an instruction that describes a task, paired with an input") && prompt.ends_with("### Response:"));
    assert!(prompt.contains("### Instruction:\nAdd {x}.\n\n### Input:\n2 2\n"));
    for without in [json!({ "instruction": "Go", "output": "4" }), json!({ "instruction": "Go", "input": "", "output": "4" })] {
        let prompt = PromptTemplate::instruction().format(&row(without.clone())).unwrap();
        assert_eq!(taught(without).unwrap(), json!([prompt, "4"]));
    }
    // The course's own way, by name: input and output alone.
    let course = Shape::InputOutput.read(&example).unwrap();
    assert_eq!(course, Content::Completion { prompt: "2 2".into(), completion: "4".into() });
}

#[test]
fn columns_that_are_written_otherwise_or_left_out_are_named() {
    for (fields, parts) in [
        (json!({ "Question ": "q", "answer": "a" }), vec!["no known columns", "rename_column(\"Question \", \"question\")"]),
        (json!({ "\u{feff}question": "q", "ANSWER": "a" }), vec!["\"question\")", "rename_column(\"ANSWER\", \"answer\")"]),
        (json!({ "query": "q", "reply": "a" }), vec!["rename_column(\"query\", \"prompt\")", "rename_column(\"reply\", \"completion\")"]),
        (
            json!({ "prompt": "q", "response": "a" }),
            vec!["if `prompt` is what the model reads", "rename_column(\"response\", \"completion\")"],
        ),
        (json!({ "a": 1 }), vec!["no known columns", "question and answer"]),
        (json!({ "instruction": "i", "Input": "x", "output": "o" }), vec!["`Input` would be left out", "`input`"]),
        (json!({ "chosen": "a", "rejected": "b", "Prompt": "p" }), vec!["`Prompt` would be left out"]),
        (json!({ "instruction": "i", "context": "c", "response": "r" }), vec!["`context` would be left out", "PromptTemplate"]),
        (json!({ "instruction": "i", "input": "c", "response": "r" }), vec!["`input` would be left out", "`output`"]),
        (json!({ "question": "i", "context": "c", "answer": "r" }), vec!["`context` would be left out", "Shape::QuestionAnswer"]),
        (json!({ "prompt": "q", "completion": "bad", "label": false }), vec!["`label` would be left out", "`filter`"]),
        (json!({ "messages": turns(), "chat_template_kwargs": { "enable_thinking": false } }), vec!["`chat_template_kwargs`"]),
        (json!({ "question": "q", "choices": ["a", "b"], "answer": 1 }), vec!["`choices` would be left out"]),
        (json!({ "question": "q", "chosen": "a", "rejected": "b" }), vec!["`question` would be left out", "`prompt`"]),
        (json!({ "prompt": "q", "system": "s", "chosen": "a", "rejected": "b" }), vec!["`system` would be left out"]),
        (json!({ "system": "s", "question": "q", "answer": "a" }), vec!["`system` would be left out"]),
        (json!({ "system_prompt": "s", "messages": turns() }), vec!["`system_prompt` would be left out", "rename it to `system`"]),
        (json!({ "text": turns().to_string() }), vec!["`text` holds messages as JSON", "rename_column(\"text\", \"messages\")"]),
        (json!({ "question": turns()[0].to_string(), "answer": "a" }), vec!["`question` holds messages as JSON"]),
        (json!({ "prompt": "q", "completion": "{'role': 'assistant', 'content': 'a'}" }), vec!["column `completion`", "as Python prints"]),
        (json!({ "dialog": turns() }), vec!["rename_column(\"dialog\", \"messages\")"]),
        // A part of the prompt by another name, beside columns that would do without it.
        (json!({ "prompt": "p", "input": "i", "output": "o" }), vec!["`prompt` would be left out", "PromptTemplate"]),
        (json!({ "question": "q", "input": "i", "output": "o" }), vec!["`question` would be left out"]),
        (json!({ "instruction": "i", "inputs": "x", "output": "o" }), vec!["`inputs` would be left out"]),
        (json!({ "instruction": "i", "question": "q", "answer": "a" }), vec!["`instruction` would be left out"]),
        (json!({}), vec!["no known columns: the example has none"]),
        (json!({ "question": null, "answer": "a" }), vec!["`question` is null"]),
        (json!({ "question": ["q"], "answer": "a" }), vec!["`question` is a list"]),
    ] {
        refused(taught(fields), &parts);
    }
    let named = row(json!({ "instruction": "i", "context": "c", "response": "r" }));
    assert!(Shape::InstructionResponse.read(&named).is_ok());
}

#[test]
fn conversations_of_every_file() {
    let plain = json!({ "messages": turns(), "tools": null });
    let shared = json!([{ "from": "human", "value": "Why?" }, { "from": "gpt", "value": "So." }]);
    for fields in [
        json!({ "messages": turns() }),
        json!({ "conversations": turns() }),
        json!({ "conversations": shared.clone() }),
        json!({ "messages": turns().to_string(), "prompt": "Why?", "tools": [] }),
        json!({ "conversations": format!("\n {shared}") }),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Why?" }] }, { "role": "assistant", "content": "So." }] }),
    ] {
        assert_eq!(taught(fields.clone()).unwrap(), plain, "{fields}");
    }
    let with_system = taught(json!({ "conversations": shared, "system": "Be short." })).unwrap();
    assert_eq!(with_system["messages"][0], json!({ "role": "system", "content": "Be short." }));
    // Messages as prompt and completion: what was said before is not learnt.
    let before = taught(json!({
        "prompt": [{ "role": "user", "content": "1" }, { "role": "assistant", "content": "2" }, { "role": "user", "content": "3" }],
        "completion": [{ "role": "assistant", "content": "4" }]
    }));
    let weights: Vec<Value> = before.unwrap()["messages"].as_array().unwrap().iter().map(|turn| turn["weight"].clone()).collect();
    assert_eq!(json!(weights), json!([null, 0, null, null]));
}

#[test]
fn turns_of_a_table_are_the_turns_that_went_in() {
    // A table of polars has no objects: it holds them as JSON.
    let rows = data(json!([{ "messages": turns() }, { "messages": [turns()[0], { "role": "assistant", "content": "é \"\n" }] }]));
    let back = Dataset::from_frame(&rows.to_frame().unwrap()).unwrap();
    assert_ne!(back, rows);
    let read =
        |data: &Dataset| data.iter().map(|row| taught(Value::Object(row.fields().iter().cloned().collect())).unwrap()).collect::<Vec<_>>();
    assert_eq!(read(&back), read(&rows));
    refused(taught(json!({ "messages": ["Why?", "So."] })), &["message 0", "an object, not a text"]);
}

#[test]
fn tools_and_weights_of_openai() {
    let function = json!({ "name": "add", "parameters": {} });
    let call = json!([{ "id": "1", "type": "function", "function": { "name": "add", "arguments": "{\"a\": 1}" } }]);
    let messages = json!([
        { "role": "user", "content": "1 + 1?" },
        { "role": "assistant", "content": null, "tool_calls": call, "weight": 0 },
        { "role": "tool", "tool_call_id": "1", "content": "2" },
        { "role": "assistant", "content": "Two.", "weight": 1 },
    ]);
    let tools = json!([{ "type": "function", "function": function }]);
    let read = taught(json!({ "messages": messages, "tools": tools, "parallel_tool_calls": false })).unwrap();
    assert_eq!(read["messages"][1]["tool_calls"][0]["function"]["arguments"], json!({ "a": 1 }));
    assert_eq!((&read["messages"][1]["weight"], &read["messages"][1]["content"], &read["tools"]), (&json!(0), &json!(""), &tools));
    for own in [json!({ "functions": [function] }), json!({ "tools": tools.to_string() })] {
        let mut fields = own.as_object().unwrap().clone();
        fields.insert("messages".into(), turns());
        assert_eq!(taught(Value::Object(fields)).unwrap()["tools"], tools);
    }
    // The former spelling, and ShareGPT's.
    let old = json!([
        { "role": "user", "content": "1 + 1?" },
        { "role": "assistant", "content": null, "function_call": { "name": "add", "arguments": "{\"a\": 1}" } },
        { "role": "function", "name": "add", "content": "2" },
        { "role": "assistant", "content": "Two." },
    ]);
    let shared = json!([
        { "from": "human", "value": "1 + 1?" },
        { "from": "function_call", "value": "{\"name\": \"add\", \"arguments\": {\"a\": 1}}" },
        { "from": "observation", "value": "2" },
        { "from": "gpt", "value": "Two." },
    ]);
    let [old, shared] = [("messages", old), ("conversations", shared)].map(|(name, turns)| taught(json!({ (name): turns })).unwrap());
    assert_eq!(old["messages"][1], shared["messages"][1]);
    assert_eq!(old["messages"][1]["tool_calls"][0]["function"], json!({ "name": "add", "arguments": { "a": 1 } }));
    assert_eq!((&old["messages"][2]["role"], &shared["messages"][2]["role"]), (&json!("tool"), &json!("tool")));
}

#[test]
fn conversations_of_which_nothing_is_learnt_are_named() {
    let (user, assistant) = (json!({ "role": "user", "content": "u" }), json!({ "role": "assistant", "content": "a" }));
    let empty = json!({ "role": "assistant", "content": " \n" });
    let weight = |weight: Value| json!({ "role": "assistant", "content": "a", "weight": weight });
    let calls = json!({ "role": "assistant", "content": "", "tool_calls": [{ "name": "f" }, { "name": "g" }] });
    for (messages, parts) in [
        (json!([]), vec!["no message"]),
        (json!([user]), vec!["no turn of the assistant"]),
        (json!([user, user, assistant]), vec!["message 1: `user` follows `user`"]),
        (json!([user, assistant, assistant]), vec!["message 2: `assistant` follows `assistant`"]),
        (json!([user, empty]), vec!["message 1: the assistant says nothing"]),
        (json!([user, { "role": "tool", "content": "2" }, assistant]), vec!["message 1: `tool` follows `user`"]),
        (json!([user, weight(json!(0))]), vec!["weight 0"]),
        (json!([user, weight(json!(0.5))]), vec!["message 1", "`weight` is 0.5", "0 or 1"]),
        (json!([user, { "role": "bot", "content": "a" }]), vec!["message 1", "\"bot\"", "`assistant`"]),
        (json!([user, { "from": "alien", "value": "a" }]), vec!["\"alien\"", "`human`"]),
        (json!([user, { "role": "assistant" }]), vec!["no `content`"]),
        (json!([user, { "from": "gpt" }]), vec!["no `value`"]),
        (json!([user, { "role": "assistant", "content": [{ "type": "image_url" }] }]), vec!["no text"]),
        (
            json!([user, { "role": "assistant", "content": "", "tool_calls": [{ "function": { "name": "f", "arguments": "{a: 1}" } }] }]),
            vec!["no JSON", "{a: 1}"],
        ),
        (json!("hello"), vec!["messages are a list, not a text"]),
        (json!("[{'role': 'user', 'content': 'u'}]"), vec!["as Python prints them", "json.dumps"]),
        (json!({ "role": "user" }), vec!["messages are a list, not an object"]),
    ] {
        refused(taught(json!({ "messages": messages })), &[&["column `messages`"], parts.as_slice()].concat());
    }
    refused(taught(json!({ "messages": [user, calls], "parallel_tool_calls": false })), &["message 1 calls several tools"]);
    refused(taught(json!({ "messages": turns(), "parallel_tool_calls": "no" })), &["not true or false"]);
    refused(taught(json!({ "messages": turns(), "tools": "search" })), &["`tools` is no list"]);
    refused(taught(json!({ "messages": turns(), "tools": [{}], "functions": [{}] })), &["`tools` and `functions`"]);
    refused(taught(json!({ "prompt": "u", "completion": [assistant] })), &["`completion` holds messages, `prompt` is a text"]);
    refused(taught(json!({ "prompt": [user], "completion": "a" })), &["`prompt` holds messages, `completion` is a text"]);
}

#[test]
fn a_data_set_says_what_it_was_taken_for() {
    let rows = data(json!([
        { "question": "Why?", "answer": "So.", "text": "t", "topic": 1 },
        { "question": "Why?", "answer": null, "text": "t" },
        { "question": "When?", "answer": "Now.", "text": "t" },
        { "question": "Who?", "answer": ["I"] },
    ]));
    let detected = rows.detect().unwrap();
    assert_eq!((detected.shape, detected.rows, &detected.others), (Shape::QuestionAnswer, 4, &vec![Shape::Text]));
    assert_eq!(detected.left_out, ["text", "topic"]);
    let misfits: Vec<usize> = detected.misfits.iter().map(|(row, _)| *row).collect();
    assert_eq!(misfits, [1, 3]);
    let text = detected.to_string();
    for part in [
        "4 rows: read as question and answer (`question`, `answer`)",
        "row 1 does not fit",
        "row 3 does not fit: column `answer` is a list",
        "not read: `text`, `topic`",
        "name `Shape::Text`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let named = rows.read_as(Shape::Text).unwrap();
    assert_eq!((named.shape, named.misfits.len()), (Shape::Text, 1));
    refused(rows.read_as(Shape::Messages), &["row 0", "`messages`"]);
    refused(Dataset::default().detect(), &["no rows"]);
    refused(data(json!([{ "x": 1 }])).detect(), &["no known columns"]);

    let tokenizer = chat_tokenizer();
    let preview = detected.preview(&tokenizer).unwrap();
    assert_eq!(preview.pieces, [("read", "Why?".to_string()), ("learnt", "So.<|endoftext|>".to_string())]);
    assert_eq!((preview.row, preview.tokens), (0, tokenizer.encode("Why?So.").unwrap().len() + 1));
    let more = json!([turns()[0], turns()[1], turns()[0], { "role": "assistant", "content": "No.", "weight": 0 }]);
    let chat = data(json!([{ "messages": [] }, { "messages": more }])).detect().unwrap().preview(&tokenizer).unwrap();
    let expected = [("read", "<user>Why?<end>\n<assistant>"), ("learnt", "So.<end>\n"), ("read", "<user>Why?<end>\n<assistant>No.<end>\n")];
    assert_eq!((chat.row, chat.pieces), (1, expected.map(|(what, text)| (what, text.to_string())).to_vec()));
}

#[test]
fn a_file_of_a_spreadsheet_holds_conversations() {
    let path = fresh_folder().join("chats.csv");
    let cell = |value: &Value| format!("\"{}\"", value.to_string().replace('"', "\"\""));
    fs::write(&path, format!("id,messages\n1,{}\n2,{}\n3,\"[]\"\n", cell(&turns()), cell(&json!([turns()[0]])))).unwrap();
    let detected = load_dataset(path.to_str().unwrap()).unwrap().detect().unwrap();
    let misfits: Vec<usize> = detected.misfits.iter().map(|(row, _)| *row).collect();
    assert_eq!((detected.shape, misfits, detected.left_out.as_slice()), (Shape::Messages, vec![1, 2], ["id".to_string()].as_slice()));
    fs::write(&path, "question, answer\nWhy?,So.\n").unwrap();
    refused(load_dataset(path.to_str().unwrap()).unwrap().detect(), &["rename_column(\" answer\", \"answer\")"]);
    let alpaca = path.with_file_name("alpaca.json");
    fs::write(&alpaca, json!([{ "instruction": "Go", "input": "", "output": "Gone" }]).to_string()).unwrap();
    assert_eq!(load_dataset(alpaca.to_str().unwrap()).unwrap().detect().unwrap().shape, Shape::InstructionOutput);
}

#[test]
fn the_data_of_the_course_is_taken_for_what_it_is() {
    for (name, shape) in [("lab_docs", Shape::QuestionAnswer), ("instructions", Shape::InstructionOutput), ("stories", Shape::Text)] {
        let detected = load_dataset(&format!("builtin:{name}")).unwrap().detect().unwrap();
        assert_eq!((detected.shape, detected.misfits.len()), (shape, 0), "{name}: {detected}");
    }
    // An index into `choices` is no answer to learn.
    refused(load_dataset("builtin:arc_style").unwrap().detect(), &["`choices` would be left out"]);
}

#[test]
fn templates_are_formats_of_python() {
    let file = file("datasets.json");
    let fields = row(file["fields"].clone());
    let cases = file["templates"].as_array().unwrap();
    assert!(cases.iter().any(|case| case["text"].is_null()) && cases.len() > 10);
    for case in cases {
        let template = case["template"].as_str().unwrap();
        let ours = PromptTemplate::parse(template).and_then(|template| template.format(&fields));
        assert_eq!(ours.as_ref().ok().map(String::as_str), case["text"].as_str(), "{template}");
    }
    for (template, parts) in [
        ("ab\ncd {x", vec!["line 2, column 4", "not closed"]),
        ("a }", vec!["line 1, column 3", "closes nothing"]),
        ("{\"a\": \"{question}\"}", vec!["line 1, column 1", "begins no name", "`{{`"]),
        ("é {}", vec!["line 1, column 3", "names no field"]),
    ] {
        refused(PromptTemplate::parse(template), &parts);
        refused(PromptTemplate::new(template).format(&fields), &parts);
        refused(PromptTemplate::new(template).placeholders(), &parts);
    }
}

#[test]
fn places_of_a_template_are_checked_before_rows_are_made() {
    let rows =
        data(json!([{ "question": "q", "my topic": 1 }, { "question": null, "my topic": 2 }, { "question": ["q"], "my topic": 3.5 }]));
    let template = PromptTemplate::new("{my topic}: {my topic}");
    assert_eq!(template.placeholders().unwrap(), ["my topic"]);
    template.check(&rows).unwrap();
    assert_eq!(template.format(rows.get(2).unwrap()).unwrap(), "3.5: 3.5");
    refused(PromptTemplate::new("{qestion}").check(&rows), &["`{qestion}`", "no column", "the nearest are `question`"]);
    let error = PromptTemplate::question().check(&rows).unwrap_err();
    assert_eq!(error.row(), Some(1));
    assert!(error.to_string().contains("no text in 2 rows (1, 2); it is null in row 1"), "{error}");
}

/// The fixtures' tokenizer with a template of ChatML's form.
pub fn chat_tokenizer() -> Tokenizer {
    tokenizer_with(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
    )
}

/// The fixtures' tokenizer with this template.
pub fn tokenizer_with(template: &str) -> Tokenizer {
    let folder = fresh_folder();
    fs::copy(fixture("neox-tokenizer").join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    fs::write(folder.join("chat_template.jinja"), template).unwrap();
    fs::write(folder.join("tokenizer_config.json"), "{\"eos_token\": \"<|endoftext|>\"}").unwrap();
    Tokenizer::from_folder(&folder).unwrap()
}

#[test]
fn a_turn_says_one_text_and_one_field_says_that_it_is_not_learnt() {
    let asked = json!({ "from": "human", "value": "u" });
    let of = |turn: Value| taught(json!({ "messages": [asked, turn] }));
    // A union of tables fills the fields of the other form with null.
    let plain = json!({ "role": "assistant", "content": "a" });
    for turn in [
        json!({ "from": "gpt", "value": "a", "role": null, "content": null }),
        json!({ "from": null, "value": null, "role": "assistant", "content": "a" }),
        json!({ "from": "gpt", "value": "a", "content": "a" }),
        json!({ "role": "assistant", "content": [{ "type": "text", "text": "a" }] }),
    ] {
        assert_eq!(of(turn).unwrap()["messages"][1], plain);
    }
    for (turn, parts) in [
        (
            json!({ "from": "gpt", "value": "RIGHT", "content": "WRONG" }),
            vec!["message 1", "`value` is \"RIGHT\"", "`content` is \"WRONG\""],
        ),
        (json!({ "role": "assistant", "content": "RIGHT", "value": "WRONG" }), vec!["message 1", "`content`", "`value`", "keep one"]),
        (
            json!({ "role": "assistant", "content": "a", "from": "human" }),
            vec!["message 1", "`role` is \"assistant\"", "`from` is \"human\""],
        ),
        (json!({ "role": "assistant", "content": [{ "type": "thinking", "text": "hm" }, "a"] }), vec!["message 1", "\"thinking\""]),
        (json!({ "role": "assistant", "content": "a", "masked": "yes" }), vec!["message 1", "`masked` is \"yes\"", "0 or 1"]),
        (json!({ "role": "assistant", "content": "a", "weight": 1, "masked": true }), vec!["`weight` says true, `masked` says true"]),
    ] {
        refused(of(turn), &parts);
    }
    for (name, value, learnt) in [
        ("masked", true, false),
        ("masked", false, true),
        ("trainable", false, false),
        ("trainable", true, true),
        ("is_train", false, false),
    ] {
        let turn = json!({ "role": "assistant", "content": "a", name: value });
        let rows = data(json!([{ "messages": [asked, turn, asked, plain] }]));
        let ids = |rows: &Dataset| tokenize_with(rows, &chat_tokenizer(), &TokenizeOptions::default()).unwrap().1.learnt;
        let weight = json!({ "role": "assistant", "content": "a", "weight": u8::from(learnt) });
        assert_eq!(ids(&rows), ids(&data(json!([{ "messages": [asked, weight, asked, plain] }]))), "{name}: {value}");
        let silent = taught(json!({ "messages": [asked, turn] }));
        assert_eq!(silent.is_ok(), learnt, "{name}: {value}");
    }
}
