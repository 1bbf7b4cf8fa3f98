//! A value of a template → JSON as `json.dumps` of Python writes it: the filter `tojson`.

use std::fmt::Write;

use minijinja::ErrorKind as Fault;
use minijinja::value::{Kwargs, Value, ValueKind};

use crate::border::limits::{INDENT, JSON_DEPTH};
use crate::data::example::float_as_python;

/// How `json.dumps` of Python writes.
struct Style {
    indent: Option<usize>,
    item: String,
    key: String,
    ascii: bool,
    sorted: bool,
}

/// `json.dumps(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, transformers' `tojson`.
pub(crate) fn to_json(value: &Value, options: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    if indent.is_some_and(|indent| indent > INDENT) {
        return Err(minijinja::Error::new(Fault::InvalidOperation, format!("tojson: indent is above {INDENT}")));
    }
    let separators: Option<Vec<String>> = options.get("separators")?;
    let [item, key] = match separators.as_deref() {
        Some([item, key]) => [item.clone(), key.clone()],
        Some(_) => return Err(minijinja::Error::new(Fault::InvalidOperation, "tojson: separators are two texts")),
        None => [if indent.is_some() { "," } else { ", " }, ": "].map(String::from),
    };
    let [ascii, sorted] = ["ensure_ascii", "sort_keys"].map(|name| options.get::<Option<bool>>(name));
    let style = Style { indent, item, key, ascii: ascii?.unwrap_or(false), sorted: sorted?.unwrap_or(false) };
    options.assert_all_used()?;
    let mut out = String::new();
    style.write(&mut out, value, 1)?;
    Ok(out)
}

/// A number with a point that is finite.
pub(crate) fn float(value: &Value) -> Option<f64> {
    let is_float = value.kind() == ValueKind::Number && !value.is_integer();
    is_float.then(|| f64::try_from(value.clone()).ok())?.filter(|number| number.is_finite())
}

impl Style {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> std::result::Result<(), minijinja::Error> {
        match value.kind() {
            _ if depth > JSON_DEPTH => return Err(minijinja::Error::new(Fault::InvalidOperation, "tojson: the value is too deep")),
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => match float(value) {
                Some(number) => out.push_str(&float_as_python(number)),
                None => write!(out, "{value}")?,
            },
            ValueKind::String => self.text(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(out, "[]", depth, &items, |out, item| self.write(out, item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                self.list(out, "{}", depth, &keys, |out, key| {
                    self.text(out, &key.to_string());
                    out.push_str(&self.key);
                    self.write(out, &value.get_item(key)?, depth + 1)
                })?;
            }
            kind => return Err(minijinja::Error::new(Fault::InvalidOperation, format!("tojson: {kind} is no JSON value"))),
        }
        Ok(())
    }

    fn list(
        &self,
        out: &mut String,
        brackets: &str,
        depth: usize,
        items: &[Value],
        mut write: impl FnMut(&mut String, &Value) -> std::result::Result<(), minijinja::Error>,
    ) -> std::result::Result<(), minijinja::Error> {
        let (open, close) = brackets.split_at(1);
        let line = |depth: usize| self.indent.map_or_else(String::new, |indent| format!("\n{}", " ".repeat(indent * depth)));
        out.push_str(open);
        for (index, item) in items.iter().enumerate() {
            out.push_str(if index > 0 { &self.item } else { "" });
            out.push_str(&line(depth));
            write(out, item)?;
        }
        out.push_str(&if items.is_empty() { String::new() } else { line(depth - 1) });
        out.push_str(close);
        Ok(())
    }

    fn text(&self, out: &mut String, text: &str) {
        let quoted = serde_json::Value::from(text).to_string();
        for sign in quoted.chars() {
            match self.ascii && !sign.is_ascii() {
                true => sign.encode_utf16(&mut [0; 2]).iter().for_each(|unit| *out += &format!("\\u{unit:04x}")),
                false => out.push(sign),
            }
        }
    }
}
