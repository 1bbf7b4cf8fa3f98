//! Values of a notebook ↔ JSON the way that Jupyter writes it: texts in lines, sorted keys, one space a level.

use serde_json::Value;

/// A text that a notebook may hold in one piece or in lines.
pub(crate) fn one_piece(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

pub(crate) fn one_piece_value(value: &Value) -> Value {
    match value {
        Value::Array(lines) if lines.iter().all(Value::is_string) => Value::String(one_piece(value)),
        _ => value.clone(),
    }
}

pub(crate) fn in_lines(value: &Value) -> Value {
    match value {
        Value::String(text) => text.split_inclusive('\n').collect(),
        _ => value.clone(),
    }
}

/// Applies `change` to the texts of an output: a stream's text, or each MIME type but JSON.
pub(crate) fn map_texts(output: &Value, change: fn(&Value) -> Value) -> Value {
    let mut output = output.clone();
    if let Some(text) = output.get_mut("text") {
        *text = change(text);
    }
    for (mime, value) in output.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
        if mime != "application/json" && !mime.ends_with("+json") {
            *value = change(value);
        }
    }
    output
}

/// JSON with sorted keys, one value a line, one space a level.
pub(crate) fn pretty(value: &Value, level: usize, text: &mut String) {
    let line = |level: usize, text: &mut String| {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', level));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                line(level + 1, text);
                pretty(item, level + 1, text);
            }
            line(level, text);
            text.push(']');
        }
        Value::Object(entries) if !entries.is_empty() => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (place, (key, item)) in entries.into_iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                line(level + 1, text);
                text.push_str(&Value::String(key.clone()).to_string());
                text.push_str(": ");
                pretty(item, level + 1, text);
            }
            line(level, text);
            text.push('}');
        }
        _ => text.push_str(&value.to_string()),
    }
}
