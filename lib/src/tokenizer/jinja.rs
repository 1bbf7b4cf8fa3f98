//! A chat template and values → text, as transformers' Jinja environment renders it, and where the assistant speaks in it.
//!
//! A template is Jinja with transformers' additions: `raise_exception`, `strftime_now`, `tojson` without HTML escapes, `break` and
//! `continue`, and `{% generation %}`, which renders what it encloses and marks it as the assistant's.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, ErrorKind as Fault, UndefinedBehavior, escape_formatter};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::Value as Json;

use crate::border::stack::on_deep_stack;
use crate::border::{limits, template};
use crate::data::example::float_as_python;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::tojson::{float, to_json};

/// What stands around the assistant's words while they are looked for: no characters of any text, by Unicode's own rule.
pub(crate) const MARKS: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

/// A chat template that can be rendered often.
#[derive(Debug)]
pub(crate) struct Jinja<'a> {
    environment: Environment<'a>,
    marks: bool,
}

impl<'a> Jinja<'a> {
    /// Reads what [`readable`] made of a template; with `marks`, [`MARKS`] stand around what its generation blocks enclose.
    ///
    /// # Errors
    /// When it is no Jinja, with the line.
    pub fn new(source: &'a str, marks: bool) -> Result<Self> {
        template::check(source)?;
        on_deep_stack(ErrorKind::Tokenizer, || {
            let mut environment = environment(marks).map_err(|fault| refused(&fault))?;
            environment.add_template(NAME, source).map_err(|fault| refused(&fault))?;
            Ok(Self { environment, marks })
        })
    }

    /// The text that the template makes of values, and the bytes of it that its generation blocks enclosed, where they are
    /// marked.
    ///
    /// # Errors
    /// When the template fails or refuses the values, with the line.
    pub fn render(&self, values: Value) -> Result<(String, Vec<Range<usize>>)> {
        let text = on_deep_stack(ErrorKind::Tokenizer, || {
            let template = self.environment.get_template(NAME);
            template.and_then(|template| template.render(values)).map_err(|fault| refused(&fault))
        })?;
        Ok(if self.marks { without_marks(&text) } else { (text, Vec::new()) })
    }
}

const NAME: &str = "chat template";

/// A text without [`MARKS`], and what stood between them.
fn without_marks(marked: &str) -> (String, Vec<Range<usize>>) {
    let (mut text, mut spans, mut start) = (String::with_capacity(marked.len()), Vec::new(), 0);
    for sign in marked.chars() {
        match sign {
            sign if sign == MARKS[0] => start = text.len(),
            sign if sign == MARKS[1] => spans.push(start..text.len()),
            sign => text.push(sign),
        }
    }
    (text, spans)
}

/// Whether a template says by `{% generation %}` what the assistant speaks.
pub(crate) fn marks_generation(template: &str) -> bool {
    tags(template).any(|tag| word(tag) == "generation")
}

/// What stands between `{%` and `%}`.
fn tags(template: &str) -> impl Iterator<Item = &str> {
    template.split("{%").skip(1).filter_map(|rest| Some(rest.split_once("%}")?.0))
}

/// A tag without what strips white space.
fn word(tag: &str) -> &str {
    tag.trim_matches(|sign: char| sign.is_whitespace() || sign == '-' || sign == '+')
}

/// A template in the language that is known here: a generation block is a filter with names of its own; signs that strip white
/// space stay at its outer and its inner side.
pub(crate) fn readable(template: &str) -> Cow<'_, str> {
    if !marks_generation(template) {
        return Cow::Borrowed(template);
    }
    let (mut out, mut rest) = (String::with_capacity(template.len()), template);
    while let Some((before, after)) = rest.split_once("{%")
        && let Some((tag, after)) = after.split_once("%}")
    {
        let sign = |at: Option<char>| at.filter(|sign| matches!(sign, '-' | '+')).map_or(String::new(), String::from);
        let (left, right) = (sign(tag.chars().next()), sign(tag.chars().next_back()));
        let lines = "\n".repeat(tag.matches('\n').count());
        out.push_str(before);
        out.push_str(&match word(tag) {
            "generation" => format!("{{%{left} filter generation{lines} %}}{{% with {right}%}}"),
            "endgeneration" => format!("{{%{left} endwith{lines} %}}{{% endfilter {right}%}}"),
            _ => format!("{{%{tag}%}}"),
        });
        rest = after;
    }
    Cow::Owned(out + rest)
}

/// transformers' environment.
fn environment<'a>(marks: bool) -> std::result::Result<Environment<'a>, minijinja::Error> {
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
        _ => match float(value) {
            Some(number) => Ok(out.write_str(&float_as_python(number))?),
            None => escape_formatter(out, state, value),
        },
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
    // In Python nothing can be walked over, but what is not there can.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_filter("generation", move |text: String| match marks {
        true => format!("{}{text}{}", MARKS[0], MARKS[1]),
        false => text,
    });
    Ok(environment)
}

/// A value of JSON as one of a template.
pub(crate) fn from_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::from(number),
            (_, Some(number), _) => Value::from(number),
            (.., number) => Value::from(number),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(fields) => Value::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), from_json(value)))),
    }
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
