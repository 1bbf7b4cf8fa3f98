//! Rows of every shape as the conversations that a chat model learns.

use finetuning::*;
use serde_json::{Value, json};

use super::shapes::data;
use crate::support::refused;

/// The only row of these fields as a conversation, as JSON.
fn turned(fields: Value) -> Result<Value> {
    let rows = data(json!([fields])).to_messages()?;
    Ok(Value::Object(rows.get(0)?.fields().iter().cloned().collect()))
}

fn chat(turns: &[(&str, &str)]) -> Value {
    turns.iter().map(|(role, content)| json!({ "role": role, "content": content })).collect()
}

#[test]
fn rows_of_every_shape_become_conversations() {
    let plain = chat(&[("user", "Why?"), ("assistant", "So.")]);
    let told = chat(&[("system", "Be brief."), ("user", "Why?"), ("assistant", "So.")]);
    for (fields, messages) in [
        (json!({ "question": "Why?", "answer": " So.\n" }), &plain),
        (json!({ "instruction": "Why?", "response": "So." }), &plain),
        (json!({ "instruction": "Why?", "input": "", "output": "So." }), &plain),
        (json!({ "input": "Why?", "output": "So." }), &plain),
        (json!({ "prompt": "Why?", "completion": " So." }), &plain),
        (json!({ "messages": plain.clone() }), &plain),
        (json!({ "conversations": [{ "from": "human", "value": "Why?" }, { "from": "gpt", "value": "So." }] }), &plain),
        (json!({ "prompt": [plain[0]], "completion": [plain[1]] }), &plain),
        // The column `system` is the system message of any of them.
        (json!({ "system": "Be brief.", "question": "Why?", "answer": "So." }), &told),
        (json!({ "question": "Why?", "answer": "So.", "system": null }), &plain),
        (json!({ "system": "Be brief.", "conversations": plain.clone() }), &told),
        (json!({ "system": "Be brief.", "prompt": [plain[0]], "completion": [plain[1]] }), &told),
    ] {
        assert_eq!(turned(fields.clone()).unwrap(), json!({ "messages": messages }), "{fields}");
        // A conversation is its own.
        assert_eq!(turned(json!({ "messages": messages })).unwrap(), json!({ "messages": messages }), "{fields}");
    }
    let alpaca = turned(json!({ "instruction": "Add.", "input": "2 2\n", "output": 4 })).unwrap();
    assert_eq!(alpaca["messages"], chat(&[("user", "Add.\n\n2 2"), ("assistant", "4")]));
}

#[test]
fn what_else_a_row_has_stays() {
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let kept = turned(json!({ "id": 7, "question": "Why?", "answer": "So.", "tags": ["a"], "tools": tools })).unwrap();
    assert_eq!(kept.as_object().unwrap().keys().collect::<Vec<_>>(), ["messages", "id", "tags", "tools"]);
    assert_eq!((&kept["id"], &kept["tags"], &kept["tools"]), (&json!(7), &json!(["a"]), &tools));
    // A column `messages` that is null, as a union of tables leaves it, takes the place of no turn.
    let shared = json!([{ "from": "human", "value": "Why?" }, { "from": "gpt", "value": "So." }]);
    for own in [json!({ "question": "Why?", "answer": "So.", "messages": null }), json!({ "conversations": shared, "messages": null })] {
        assert_eq!(turned(own).unwrap(), json!({ "messages": chat(&[("user", "Why?"), ("assistant", "So.")]) }));
    }
    // What was read before is not learnt of prompts that are turns, whatever the file said of it.
    let before = json!([chat(&[("user", "1")])[0], { "role": "assistant", "content": "2", "train": true }, chat(&[("user", "3")])[0]]);
    let kept = turned(json!({ "prompt": before, "completion": chat(&[("assistant", "4")]) })).unwrap();
    assert_eq!(kept["messages"][1], json!({ "role": "assistant", "content": "2", "weight": 0 }));
}

#[test]
fn what_is_no_conversation_is_refused_by_row() {
    let good = json!({ "question": "Why?", "answer": "So." });
    for (bad, parts) in [
        (json!({ "text": "All of it." }), vec!["row 1", "learnt whole", "rename_column"]),
        (json!({ "prompt": "q", "chosen": "a", "rejected": "b" }), vec!["row 1", "preference pair", "`remove_columns(&[\"rejected\"])`"]),
        (json!({ "question": " ", "answer": "a" }), vec!["row 1", "nothing is asked"]),
        (json!({ "question": "q", "answer": "" }), vec!["row 1", "nothing is answered"]),
        (json!({ "question": "q", "answer": null }), vec!["row 1", "`answer` is null"]),
        (json!({ "question": "q", "context": "c", "answer": "a" }), vec!["row 1", "`context` would be left out"]),
        (json!({ "system_prompt": "s", "question": "q", "answer": "a" }), vec!["row 1", "`system_prompt` would be left out"]),
        (
            json!({ "system": "s", "messages": chat(&[("system", "t"), ("user", "q"), ("assistant", "a")]) }),
            vec!["row 1", "another system"],
        ),
        (json!({ "messages": chat(&[("user", "q")]) }), vec!["row 1", "no turn of the assistant"]),
    ] {
        refused(data(json!([good, bad])).to_messages(), &parts);
    }
    // Where the column `system` would be left out, it is said what takes it.
    let row = data(json!([{ "system": "s", "question": "q", "answer": "a" }]));
    refused(Shape::of(row.get(0).unwrap()), &["`system` would be left out", "`to_messages()`"]);
}
