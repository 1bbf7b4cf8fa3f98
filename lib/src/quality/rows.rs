//! An example → its two sides, and the forms of them by which rows are compared.

use std::collections::HashMap;

use rayon::prelude::*;
use serde_json::Value;
use txtfp::{CanonicalizerBuilder, CaseFold, Normalization};

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::data::message::{Message, is_weight};
use crate::data::shape::{Content, Shape};
use crate::quality::options::QualityOptions;

/// A row as the checks see it.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// What the model reads; for a conversation all before the last answer.
    pub prompt: String,
    /// What it learns to say.
    pub answer: String,
    /// Whether the columns have two sides, so that an empty prompt is a gap.
    pub two_sided: bool,
    /// The prompt in lower case, NFKC, with single blanks.
    pub folded_prompt: String,
    /// The answer in that form.
    pub folded_answer: String,
    /// Whether it is a pair of answers that are the same.
    pub equal_pair: bool,
    /// Why the row could not be read; all its texts count as the answer then.
    pub problem: Option<String>,
    /// Equal for two rows of which the same is read and learnt: all texts with their capitals and indents, who speaks, what tools
    /// there are and are called, and which turns are learnt.
    pub same: String,
}

impl Row {
    fn new(prompt: String, answer: String, two_sided: bool) -> Self {
        let (folded_prompt, folded_answer) = (fold(&prompt), fold(&answer));
        let same = [&prompt, &answer].map(|text| plain(text)).join("\0");
        Self { prompt, answer, two_sided, folded_prompt, folded_answer, equal_pair: false, problem: None, same }
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.folded_prompt.is_empty() && self.folded_answer.is_empty()
    }

    /// Whether one of two sides has no text.
    pub fn is_one_sided(&self) -> bool {
        !self.is_empty() && self.two_sided && (self.folded_prompt.is_empty() || self.folded_answer.is_empty())
    }

    /// Both sides in one text, as near duplicates are compared.
    pub fn folded(&self) -> String {
        if self.folded_prompt.is_empty() { self.folded_answer.clone() } else { format!("{}\n{}", self.folded_prompt, self.folded_answer) }
    }
}

/// The rows of a data set, and whether some had columns of no known shape.
#[derive(Debug)]
pub(crate) struct Rows {
    pub rows: Vec<Row>,
    /// Rows whose columns have no known shape: all their texts count as the answer.
    pub unknown: Vec<usize>,
}

impl Rows {
    pub fn new(data: &Dataset, options: &QualityOptions) -> Self {
        let usual = data.iter().find_map(|example| Shape::of(example).ok());
        let examples: Vec<&Example> = data.iter().collect();
        let read: Vec<(Row, bool)> = examples.into_par_iter().map(|example| read(example, usual, options)).collect();
        let unknown = read.iter().enumerate().filter(|(_, (_, known))| !known).map(|(row, _)| row).collect();
        Self { rows: read.into_iter().map(|(row, _)| row).collect(), unknown }
    }

    /// Rows by a form of them, in order; empty forms are left out.
    pub fn by<'a>(&'a self, form: impl Fn(&'a Row) -> &'a str) -> HashMap<&'a str, Vec<usize>> {
        let mut rows: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, row) in self.rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            match form(row) {
                "" => {}
                form => rows.entry(form).or_default().push(index),
            }
        }
        rows
    }
}

/// A row, and whether its columns are known.
fn read(example: &Example, usual: Option<Shape>, options: &QualityOptions) -> (Row, bool) {
    if let Some((prompt, answer)) = &options.columns {
        return (Row::new(text(example, prompt), text(example, answer), true), true);
    }
    // Without the words of a template, which all rows have in common.
    if example.value("instruction").is_some() && example.value("output").is_some() {
        return (columns(example, &["instruction", "input", "output"]), true);
    }
    let Some(shape) = Shape::of(example).ok().or(usual) else { return (whole(example), false) };
    let read = shape.read(example);
    if let Ok(Content::Completion { prompt, completion }) = read {
        return (Row::new(prompt.into_owned(), completion.into_owned(), shape.columns().len() > 1), true);
    }
    if let Ok(Content::Chat { messages, tools }) = read {
        return (conversation(&messages, &tools), true);
    }
    let error = match read {
        Ok(pair) => return (preference(&pair, example), true),
        Err(error) => error,
    };
    // What lacks a column is read as far as it goes: the gap is what the report is to find.
    if shape.columns().iter().all(|column| example.value(column).is_none_or(Value::is_null) || example.text(column).is_ok()) {
        return (columns(example, shape.columns()), true);
    }
    let turns = example.value("messages").and_then(|messages| Message::list(messages).ok());
    let row = turns.map_or_else(|| whole(example), |turns| conversation(&turns, &Value::Null));
    let problem = (!row.is_one_sided()).then(|| error.message().to_string());
    (Row { problem, ..row }, true)
}

/// A pair with its better answer.
fn preference(pair: &Content, example: &Example) -> Row {
    let said = |turns: &[Message]| turns.iter().map(|turn| turn.content.as_str()).collect::<Vec<_>>().join("\n");
    let (prompt, chosen, same) = match pair {
        Content::Preference { prompt, chosen, rejected } => {
            (prompt.to_string(), chosen.to_string(), [prompt, chosen, rejected].map(|text| plain(text)).join("\0"))
        }
        Content::PreferenceChat { prompt, chosen, rejected, tools } => {
            (said(prompt), said(chosen), [marks(prompt), marks(chosen), marks(rejected), exact(tools).to_string()].join("\0"))
        }
        _ => return whole(example),
    };
    let two_sided = !prompt.is_empty();
    Row { equal_pair: pair.is_equal_pair(), same, ..Row::new(prompt, chosen, two_sided) }
}

/// The last column as the answer, those before it as the prompt.
fn columns(example: &Example, names: &[&str]) -> Row {
    let mut texts: Vec<String> = names.iter().map(|column| text(example, column)).collect();
    let same = texts.iter().map(|text| plain(text)).collect::<Vec<_>>().join("\0");
    let answer = texts.pop().unwrap_or_default();
    Row { same, ..Row::new(texts.join("\n").trim().to_string(), answer, names.len() > 1) }
}

/// All texts of a row as one.
fn whole(example: &Example) -> Row {
    let mut all = Vec::new();
    texts(example, |_, text| all.push(text));
    Row::new(String::new(), all.join("\n"), false)
}

fn text(example: &Example, column: &str) -> String {
    example.text(column).map(|text| text.into_owned()).unwrap_or_default()
}

/// All before the last answer of a conversation, and that answer; a call of a tool is one.
fn conversation(messages: &[Message], tools: &Value) -> Row {
    let last = messages.iter().rposition(|message| message.role == "assistant").unwrap_or(messages.len());
    let prompt: Vec<&str> = messages[..last].iter().map(|message| message.content.as_str()).collect();
    let answer = messages.get(last).map_or(String::new(), |message| match message.more.get("tool_calls") {
        Some(calls) if message.content.is_empty() && !calls.is_null() => calls.to_string(),
        _ => message.content.clone(),
    });
    Row { same: format!("{}\0{}", marks(messages), exact(tools)), ..Row::new(prompt.join("\n"), answer, true) }
}

/// All that a template reads of turns, and which of them are learnt, in whatever field that stands.
fn marks(messages: &[Message]) -> String {
    let mark = |turn: &Message| {
        // What cannot be read as learnt or not is told by its fields.
        let learnt = turn.role != "assistant" || turn.is_learnt().unwrap_or(true);
        let more = turn.more.iter().filter(|(name, value)| !value.is_null() && *name != "id" && !is_weight(name));
        let more: Vec<String> = more.map(|(name, value)| format!("{name}={}", exact(value))).collect();
        format!("{}\u{1}{learnt}\u{1}{}\u{1}{}", turn.role, plain(&turn.content), more.join("\u{1}"))
    };
    messages.iter().map(mark).collect::<Vec<_>>().join("\u{2}")
}

/// A value with its texts in the form in which they are compared.
fn exact(value: &Value) -> Value {
    match value {
        Value::String(text) => plain(text).into(),
        Value::Array(items) => items.iter().map(exact).collect(),
        Value::Object(fields) => Value::Object(fields.iter().map(|(name, value)| (name.clone(), exact(value))).collect()),
        other => other.clone(),
    }
}

/// Lower case, NFKC, no invisible characters, single blanks.
pub(crate) fn fold(text: &str) -> String {
    let folded = txtfp::canonicalize(text);
    let mut words = folded.split_whitespace();
    let mut joined = words.next().unwrap_or_default().to_string();
    for word in words {
        joined.push(' ');
        joined.push_str(word);
    }
    joined
}

/// NFC, no invisible characters, single blanks inside of lines, no white space at their ends: capitals and indents stay, that of
/// the first line where others follow it.
fn plain(text: &str) -> String {
    let form = CanonicalizerBuilder { normalization: Normalization::Nfc, case_fold: CaseFold::None, ..Default::default() };
    let text = form.build().canonicalize(text);
    let line = |line: &str| {
        let indent = &line[..line.len() - line.trim_start().len()];
        format!("{indent}{}", line.split_whitespace().collect::<Vec<_>>().join(" ")).trim_end().to_string()
    };
    let text = text.trim_end();
    let first = text.find(|letter: char| !letter.is_whitespace()).unwrap_or(text.len());
    let indent = if text[first..].contains('\n') { text[..first].rfind('\n').map_or(0, |end| end + 1) } else { first };
    text[indent..].lines().map(line).collect::<Vec<_>>().join("\n")
}

/// All texts of a row, each with the field that it stands in: those of messages too, their roles and other names left out.
pub(crate) fn texts<'a>(example: &'a Example, mut take: impl FnMut(&str, &'a str)) {
    for (name, value) in example.fields() {
        visit(name, value, &mut take);
    }
}

fn visit<'a>(place: &str, value: &'a Value, take: &mut impl FnMut(&str, &'a str)) {
    match value {
        Value::String(text) => take(place, text),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| visit(&format!("{place}[{index}]"), item, take)),
        Value::Object(fields) => {
            let said = fields.iter().filter(|(name, _)| !NAMES.contains(&name.as_str()));
            said.for_each(|(name, value)| visit(&format!("{place}.{name}"), value, take));
        }
        _ => {}
    }
}

/// Fields of messages that are no text of anybody.
pub(crate) const NAMES: [&str; 5] = ["role", "from", "type", "id", "tool_call_id"];
