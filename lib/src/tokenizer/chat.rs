//! Messages → the text that a chat model reads: the checkpoint's chat template, rendered as transformers renders it.
//!
//! A template is Jinja (`chat_template` of `tokenizer_config.json`, or `chat_template.jinja`) with transformers' additions:
//! `raise_exception`, `strftime_now`, `tojson` without HTML escapes, `break` and `continue`, and `{% generation %}`, which
//! renders what it encloses.

use std::fmt::Write;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, ErrorKind as Fault, UndefinedBehavior, context, escape_formatter};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::border::stack::on_deep_stack;
use crate::border::{file, limits, template};
use crate::data::message::{Message, ROLES};
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::text::Tokenizer;
use crate::util::names::quoted;

/// A turn as a template reads it: `role`, `content`, and the other fields of its row.
fn turn(message: &Message) -> Value {
    let own = [("role", Value::from(message.role.as_str())), ("content", Value::from(message.content.as_str()))];
    let more = message.more.iter().map(|(name, value)| (name.as_str(), from_json(value)));
    Value::from_pairs(own.into_iter().chain(more))
}

/// A value of JSON as one of a template.
fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(truth) => Value::from(*truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::from(number),
            (_, Some(number), _) => Value::from(number),
            (.., number) => Value::from(number),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        serde_json::Value::Object(fields) => Value::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), from_json(value)))),
    }
}

impl Tokenizer {
    /// The text of a conversation in the model's own format; `add_generation_prompt` ends it where the assistant speaks next.
    /// The text holds the special tokens that the template writes; [`Tokenizer::encode`] and [`Tokenizer::encode_prompt`] read
    /// them as such and add no second begin-of-sequence token.
    ///
    /// Equal to `tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=…)` of transformers.
    ///
    /// # Errors
    /// When the checkpoint has no template, a role is none of [`ROLES`], there is no message, or the template fails or
    /// refuses the conversation; then with the line of the template.
    pub fn apply_chat_template(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let template = self.chat_template()?;
        if messages.is_empty() {
            return Err(Error::new(ErrorKind::Tokenizer, "the conversation has no message")
                .hint("give at least one, such as `Message::user(\"Hello\")`"));
        }
        for (index, message) in messages.iter().enumerate() {
            if !ROLES.contains(&message.role.as_str()) {
                let known = quoted(&ROLES.map(String::from));
                return Err(Error::new(ErrorKind::Tokenizer, format!("message {index}: role `{}` is none of {known}", message.role))
                    .hint("use `Message::system`, `Message::user` or `Message::assistant`"));
            }
        }
        let own =
            context! { messages => messages.iter().map(turn).collect::<Vec<_>>(), add_generation_prompt, tools => (), documents => () };
        let special = self.special_tokens().iter().map(|(name, token)| (name.as_str(), token.as_str()));
        let values = context! { ..own, ..Value::from_pairs(special) };
        let rendered = template::check(&template)
            .and_then(|()| on_deep_stack(ErrorKind::Tokenizer, || render(&template, values).map_err(|fault| refused(&fault))));
        rendered.map_err(|error| error.at(format_args!("chat template of `{}`", self.folder().display())))
    }

    /// Whether the checkpoint brings a chat template.
    pub fn has_chat_template(&self) -> bool {
        self.chat_template().is_ok()
    }

    /// Whether there is any template, also one that cannot be chosen or does not work.
    #[cfg(feature = "serve")]
    pub(crate) fn brings_chat_template(&self) -> bool {
        self.folder().join("chat_template.jinja").exists() || !self.configuration()["chat_template"].is_null()
    }

    /// The template: of `chat_template.jinja`, else of `tokenizer_config.json`, there the one named `default` of several.
    fn chat_template(&self) -> Result<String> {
        let own = &self.configuration()["chat_template"];
        if let Some(bytes) = file::read_if_there(&self.folder().join("chat_template.jinja"), limits::TEMPLATE)? {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        let named = own.as_array().into_iter().flatten();
        let default = named.clone().find(|template| template["name"] == "default").map(|template| &template["template"]);
        if let Some(template) = own.as_str().or(default.and_then(|template| template.as_str())) {
            return Ok(template.to_string());
        }
        let place = self.folder().display();
        let names: Vec<String> = named.filter_map(|template| template["name"].as_str()).map(String::from).collect();
        Err(match names.is_empty() {
            true => Error::new(ErrorKind::Tokenizer, format!("the tokenizer of `{place}` has no chat template")).hint(
                "use an instruct or chat model, write your own as chat_template.jinja beside tokenizer.json, or ask with a plain prompt",
            ),
            false => {
                Error::new(ErrorKind::Tokenizer, format!("the tokenizer of `{place}` has templates {}, none `default`", quoted(&names)))
                    .hint("write the one to use as chat_template.jinja beside tokenizer.json")
            }
        })
    }
}

/// Renders a template in transformers' environment.
fn render(template: &str, values: Value) -> std::result::Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(limits::TEMPLATE_STEPS));
    environment.set_unknown_method_callback(|state, value, method, arguments| match (value.as_str(), method) {
        (Some(text), "title") => Ok(Value::from(title(text))),
        _ => unknown_method_callback(state, value, method, arguments),
    });
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Bool | ValueKind::None => Ok(out.write_str(python_word(value))?),
        _ => escape_formatter(out, state, value),
    });
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", |message: String| -> std::result::Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(Fault::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| -> std::result::Result<String, minijinja::Error> {
        let mut text = String::new();
        match write!(text, "{}", chrono::Local::now().format(&format)) {
            Ok(()) => Ok(text),
            Err(_) => Err(minijinja::Error::new(Fault::InvalidOperation, format!("strftime_now: `{format}` is no format of a time"))),
        }
    });
    environment.template_from_str(&without_generation(template))?.render(values)
}

/// What a template says when it fails.
fn refused(fault: &minijinja::Error) -> Error {
    let line = fault.line().map_or_else(String::new, |line| format!("line {line}: "));
    let detail = match (fault.kind(), fault.detail()) {
        (Fault::InvalidOperation, Some(detail)) => detail.to_string(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    Error::new(ErrorKind::Tokenizer, format!("{line}{detail}"))
        .hint("change the messages as the template asks; a template that is at fault can be replaced by a chat_template.jinja")
}

/// How Python prints a truth value or none.
fn python_word(value: &Value) -> &'static str {
    match (value.is_none(), value.is_true()) {
        (true, _) => "None",
        (_, true) => "True",
        (_, false) => "False",
    }
}

/// `str.title` of Python: a letter after none is large, all others are small.
fn title(text: &str) -> String {
    let (mut out, mut inside) = (String::with_capacity(text.len()), false);
    for sign in text.chars() {
        match inside {
            true => out.extend(sign.to_lowercase()),
            false => out.extend(sign.to_uppercase()),
        }
        inside = sign.is_alphabetic();
    }
    out
}

/// Replaces `{% generation %}` and `{% endgeneration %}`, which only mark what the assistant said, by a block that renders
/// what it encloses; signs that strip white space stay.
fn without_generation(template: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(template.len()), template);
    while let Some((before, tag, after)) = rest.split_once("{%").and_then(|(before, rest)| {
        let (tag, after) = rest.split_once("%}")?;
        Some((before, tag, after))
    }) {
        let word = tag.trim_matches(|sign: char| sign.is_whitespace() || sign == '-' || sign == '+');
        let tag = match word {
            "generation" => tag.replace("generation", "with"),
            "endgeneration" => tag.replace("endgeneration", "endwith"),
            _ => tag.to_string(),
        };
        out.extend([before, "{%", &tag, "%}"]);
        rest = after;
    }
    out + rest
}

/// How `json.dumps` of Python writes.
struct Style {
    indent: Option<usize>,
    item: String,
    key: String,
    ascii: bool,
    sorted: bool,
}

/// `json.dumps(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, transformers' `tojson`.
fn to_json(value: &Value, options: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    if indent.is_some_and(|indent| indent > limits::INDENT) {
        return Err(minijinja::Error::new(Fault::InvalidOperation, format!("tojson: indent is above {}", limits::INDENT)));
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

impl Style {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> std::result::Result<(), minijinja::Error> {
        match value.kind() {
            _ if depth > limits::JSON_DEPTH => return Err(minijinja::Error::new(Fault::InvalidOperation, "tojson: the value is too deep")),
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => write!(out, "{value}")?,
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
