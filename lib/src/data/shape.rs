//! A row's columns → what a model learns of it: an answer to a prompt, a conversation, or a choice between two answers.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::data::conversation::{self, column, is_conversation, messages, tools, with_system};
use crate::data::example::{Example, kind_of};
use crate::data::message::Message;
use crate::data::pair::{self, Pair};
use crate::data::template::PromptTemplate;
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;

/// What the columns of a row mean. A row with the columns of several is taken for the first of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// `chosen` and `rejected`, with or without `prompt`: texts or messages, as TRL reads them.
    Preference,
    /// `messages`: turns with `role` and `content`, OpenAI's `weight`, `tools`, `functions` and `parallel_tool_calls`.
    Messages,
    /// `conversations`: ShareGPT's turns with `from` and `value`, or turns as in `messages`.
    Conversations,
    /// `prompt` and `completion`: texts joined as they are, or messages.
    PromptCompletion,
    /// `question` and `answer`, joined as they are.
    QuestionAnswer,
    /// `instruction` and `response`, joined as they are.
    InstructionResponse,
    /// `instruction` and `output`, with or without `input`: the template of the Alpaca project, then the output.
    InstructionOutput,
    /// `input` and `output`, joined as they are. The course reads rows with an instruction so, too, and leaves it out: this
    /// shape, given by name, does the same.
    InputOutput,
    /// `text`, learnt whole.
    Text,
}

/// What a row teaches.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// A prompt, which may be empty, and the text that follows it, which is learnt.
    Completion {
        /// What the model reads.
        prompt: Cow<'a, str>,
        /// What it should write.
        completion: Cow<'a, str>,
    },
    /// A conversation, in which the assistant's turns are learnt, but those of weight 0.
    Chat {
        /// The turns in order.
        messages: Vec<Message>,
        /// The tools that the assistant may call, as the template reads them; null where there are none.
        tools: Value,
    },
    /// Two texts after a prompt, of which the first is preferred.
    Preference {
        /// What the model reads; empty where the texts have no beginning in common.
        prompt: Cow<'a, str>,
        /// The better answer.
        chosen: Cow<'a, str>,
        /// The other one.
        rejected: Cow<'a, str>,
    },
    /// Two ways to go on in a conversation, of which the first is preferred.
    PreferenceChat {
        /// The turns before.
        prompt: Vec<Message>,
        /// The better turns.
        chosen: Vec<Message>,
        /// The others.
        rejected: Vec<Message>,
        /// The tools that the assistant may call; null where there are none.
        tools: Value,
    },
}

impl Content<'_> {
    /// Whether this is a pair of answers that are the same but for blanks at their ends: nothing can be learnt of it.
    pub fn is_equal_pair(&self) -> bool {
        let said = |messages: &[Message]| -> Vec<(String, String, serde_json::Map<String, Value>)> {
            messages.iter().map(|turn| (turn.role.clone(), turn.content.trim().to_string(), turn.more.clone())).collect()
        };
        match self {
            Self::Preference { chosen, rejected, .. } => chosen.trim() == rejected.trim(),
            Self::PreferenceChat { chosen, rejected, .. } => said(chosen) == said(rejected),
            _ => false,
        }
    }
}

impl Shape {
    /// All shapes, in the order in which they are looked for.
    pub const ALL: [Self; 9] = [
        Self::Preference,
        Self::Messages,
        Self::Conversations,
        Self::PromptCompletion,
        Self::QuestionAnswer,
        Self::InstructionResponse,
        Self::InstructionOutput,
        Self::InputOutput,
        Self::Text,
    ];

    /// What a row is taken for by its columns: the first of [`Shape::ALL`] whose columns it has and that are not null.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when it has the columns of no shape, a column that is written otherwise (`Question `), or one that
    /// changes what is to be learnt and would be left out (`context`); [`Shape::read`] of a shape that is named reads the row.
    pub fn of(example: &Example) -> Result<Self> {
        let fits = |shape: &Self, has: fn(&Value) -> bool| shape.columns().iter().all(|name| example.value(name).is_some_and(has));
        let found = Self::ALL.into_iter().find(|shape| fits(shape, |value| !value.is_null()));
        let shape = found.or_else(|| Self::ALL.into_iter().find(|shape| fits(shape, |_| true))).ok_or_else(|| unknown(example))?;
        shape.check_columns(example)?;
        Ok(shape)
    }

    /// Refuses a row of which something that matters would be left out.
    pub(crate) fn check_columns(self, example: &Example) -> Result<()> {
        if let Some((given, name)) = self.all_columns().find_map(|name| Some((written_otherwise(example, name)?, name))) {
            return Err(Error::new(ErrorKind::Data, format!("column `{given}` would be left out: it is not called `{name}`"))
                .hint(format!("`rename_column({given:?}, {name:?})`, or `remove_columns` if it is another thing")));
        }
        if let Some(name) = self.left_out(example) {
            return Err(Error::new(ErrorKind::Data, format!("column `{name}` would be left out when the row is read as {self}"))
                .hint(format!("{}; to leave it out, `remove_columns(&[{name:?}])` or name Shape::{self:?}", self.advice(name))));
        }
        Ok(())
    }

    /// The columns that a row of this shape must have.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Preference => &["chosen", "rejected"],
            Self::Messages => &["messages"],
            Self::Conversations => &["conversations"],
            Self::PromptCompletion => &["prompt", "completion"],
            Self::QuestionAnswer => &["question", "answer"],
            Self::InstructionResponse => &["instruction", "response"],
            Self::InstructionOutput => &["instruction", "output"],
            Self::InputOutput => &["input", "output"],
            Self::Text => &["text"],
        }
    }

    /// The columns that are read where a row has them.
    pub fn optional_columns(self) -> &'static [&'static str] {
        match self {
            Self::Preference => &["prompt", "tools", "functions", "parallel_tool_calls"],
            Self::Messages | Self::Conversations => &["system", "tools", "functions", "parallel_tool_calls"],
            Self::PromptCompletion => &["tools", "functions", "parallel_tool_calls"],
            Self::InstructionOutput => &["input"],
            _ => &[],
        }
    }

    /// Whether a column of this name is read.
    pub(crate) fn reads(self, name: &str) -> bool {
        self.all_columns().any(|column| column == name)
    }

    /// The same for a row: single turns to choose from are the end of a conversation in another column.
    pub(crate) fn reads_of(self, row: &Example, name: &str) -> bool {
        let given = |name: &str| row.value(name).filter(|value| !value.is_null());
        let turns = self == Self::Preference && given("prompt").is_none() && given("chosen").is_some_and(Value::is_object);
        self.reads(name) || (turns && ["conversations", "messages"].contains(&name))
    }

    fn all_columns(self) -> impl Iterator<Item = &'static str> {
        self.columns().iter().chain(self.optional_columns()).copied()
    }

    /// A column with something in it that the shape does not read and that changes what is to be learnt.
    fn left_out(self, example: &Example) -> Option<&'static str> {
        let names: &[&str] = match self {
            Self::Preference if example.value("prompt").is_none() => &PROMPTS,
            Self::Preference => &PROMPTS[..3],
            Self::Messages | Self::Conversations => &["system_prompt", "chat_template_kwargs"],
            Self::PromptCompletion => &["system", "system_prompt", "label", "chat_template_kwargs"],
            Self::QuestionAnswer => &["system", "system_prompt", "context", "choices", "options", "instruction", "prompt", "input"],
            Self::InstructionResponse => &["system", "system_prompt", "context", "input", "inputs", "prompt", "question", "history"],
            Self::InstructionOutput => &["system", "system_prompt", "context", "history", "inputs", "prompt", "question"],
            Self::InputOutput => &["system", "system_prompt", "context", "instructions", "prompt", "question", "query", "history"],
            Self::Text => &[],
        };
        let filled = |name: &&&str| match example.value(name) {
            None | Some(Value::Null) => false,
            // Of numbers and texts with this name nothing is known; true and false are the two sides of unpaired preferences.
            Some(value) if **name == "label" => value.is_boolean(),
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            Some(_) => true,
        };
        names.iter().find(filled).copied()
    }

    /// What to do with a column that would be left out.
    fn advice(self, name: &str) -> &'static str {
        match (self, name) {
            (_, "label") => {
                "the rows are good and bad answers: give them to a KtoTrainer with `tokenize_unpaired`, or keep the good ones with `filter`"
            }
            (_, "chat_template_kwargs") => "this crate does not hand them to the template",
            (Self::Messages | Self::Conversations, "system_prompt") => "rename it to `system`",
            (Self::Preference, "system" | "system_prompt") => "make it the first of the messages in `prompt`",
            (Self::Preference, "question" | "instruction" | "query" | "input") => "rename it to `prompt`",
            (_, "system") => "`to_messages()` makes it the system message of a chat",
            (Self::InstructionResponse, "input") => "rename `response` to `output` for the template of the Alpaca project",
            _ => "make one prompt of the columns with a `PromptTemplate` and `map`",
        }
    }

    /// Reads a row as one of this shape.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when a column is missing or of another type, and for a conversation whose turns cannot be learnt:
    /// no turn of the assistant, an empty one, two of one speaker in a row.
    pub fn read(self, example: &Example) -> Result<Content<'_>> {
        let columns = self.columns();
        Ok(match self {
            Self::Preference => match pair::read(example)? {
                Pair::Texts([prompt, chosen, rejected]) => Content::Preference { prompt, chosen, rejected },
                Pair::Turns([prompt, chosen, rejected], tools) => Content::PreferenceChat { prompt, chosen, rejected, tools },
            },
            Self::Messages | Self::Conversations => {
                let messages = with_system(example, column(example, columns[0])?)?;
                conversation::check(&messages).map_err(|error| error.at(format_args!("column `{}`", columns[0])))?;
                Content::Chat { tools: tools(example, &messages)?, messages }
            }
            Self::PromptCompletion => prompt_completion(example)?,
            Self::QuestionAnswer | Self::InstructionResponse | Self::InputOutput => {
                Content::Completion { prompt: plain(example, columns[0])?, completion: plain(example, columns[1])? }
            }
            Self::InstructionOutput => {
                let input = match example.value("input") {
                    None | Some(Value::Null) => Cow::Borrowed(""),
                    Some(_) => example.text("input")?,
                };
                let template = if input.is_empty() { PromptTemplate::instruction() } else { PromptTemplate::instruction_with_input() };
                Content::Completion { prompt: Cow::Owned(template.format(example)?), completion: plain(example, "output")? }
            }
            Self::Text => Content::Completion { prompt: Cow::Borrowed(""), completion: plain(example, "text")? },
        })
    }
}

impl fmt::Display for Shape {
    /// What it is in words.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Preference => "pairs of a chosen and a rejected answer",
            Self::Messages => "conversations in `messages`",
            Self::Conversations => "conversations in `conversations`",
            Self::PromptCompletion => "prompt and completion",
            Self::QuestionAnswer => "question and answer",
            Self::InstructionResponse => "instruction and response",
            Self::InstructionOutput => "instruction, input and output in the template of the Alpaca project",
            Self::InputOutput => "input and output",
            Self::Text => "texts that are learnt whole",
        })
    }
}

/// A text, and not a list of messages that was written as one, which would be learnt as JSON.
fn plain<'a>(example: &'a Example, name: &str) -> Result<Cow<'a, str>> {
    let text = example.text(name)?;
    let found = example.value(name).filter(|value| value.is_string()).map(messages).transpose();
    match found.map_err(|error| error.at(format_args!("column `{name}`")))?.flatten() {
        None => Ok(text),
        Some(_) => Err(Error::new(ErrorKind::Data, format!("column `{name}` holds messages as JSON, which is no text to learn"))
            .hint(format!("`rename_column({name:?}, \"messages\")`, and take the other columns out"))),
    }
}

/// Two texts, or two lists of messages of which the second is learnt.
fn prompt_completion(example: &Example) -> Result<Content<'_>> {
    let value = |name: &str| example.value(name).unwrap_or(&Value::Null);
    let turns = |name: &str| match value(name) {
        Value::Array(_) | Value::String(_) => messages(value(name)).map_err(|error| error.at(format_args!("column `{name}`"))),
        _ => Ok(None),
    };
    match (turns("prompt")?, turns("completion")?) {
        (None, None) => Ok(Content::Completion { prompt: example.text("prompt")?, completion: example.text("completion")? }),
        (Some(prompt), Some(completion)) => {
            conversation::check(&completion).map_err(|error| error.at("column `completion`"))?;
            // What was said before is read, not learnt.
            let read = prompt.into_iter().map(|turn| if turn.role == "assistant" { turn.silent() } else { turn });
            let messages: Vec<Message> = read.chain(completion).collect();
            conversation::check(&messages).map_err(|error| error.at("`prompt` and `completion`"))?;
            Ok(Content::Chat { tools: tools(example, &messages)?, messages })
        }
        (prompt, _) => {
            let [list, text] = if prompt.is_some() { ["prompt", "completion"] } else { ["completion", "prompt"] };
            Err(Error::new(ErrorKind::Data, format!("column `{list}` holds messages, `{text}` is {}", kind_of(value(text))))
                .hint("write both as texts or both as lists of messages"))
        }
    }
}

/// A column of the row that is this name but for case and blanks, while the name itself is missing.
fn written_otherwise<'a>(example: &'a Example, name: &str) -> Option<&'a str> {
    let plain = |given: &str| given.trim_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}').eq_ignore_ascii_case(name);
    let mut names = example.fields().iter().map(|(given, _)| given.as_str());
    names.clone().all(|given| given != name).then(|| names.find(|given| plain(given)))?
}

/// Columns beside a preference pair that are a part of its prompt; without `prompt` all of them.
const PROMPTS: [&str; 7] = ["chat_template_kwargs", "system", "system_prompt", "question", "instruction", "query", "input"];

/// Names that others give to what the model reads, and to what it writes.
const READ: [&str; 9] = ["prompt", "question", "instruction", "input", "query", "problem", "user", "human", "source"];
const WRITTEN: [&str; 10] = ["completion", "answer", "response", "output", "reply", "solution", "assistant", "target", "chosen", "gpt"];

/// The error for a row of no shape, with the nearest way out.
fn unknown(example: &Example) -> Error {
    let names = if example.fields().is_empty() { "none".to_string() } else { quoted(&example.names()) };
    let error = Error::new(ErrorKind::Data, format!("no known columns: the example has {names}"));
    let rename = |from: &str, to: &str| format!("`rename_column({from:?}, {to:?})`");
    let known = Shape::ALL.iter().flat_map(|shape| shape.columns());
    let otherwise: Vec<String> = known.filter_map(|name| Some(rename(written_otherwise(example, name)?, name))).collect();
    if !otherwise.is_empty() {
        let mut otherwise = otherwise;
        otherwise.dedup();
        return error.hint(format!("names count to the letter: {}", otherwise.join(", ")));
    }
    if let Some((name, _)) = example.fields().iter().find(|(_, value)| is_conversation(value)) {
        return error.hint(format!("if `{name}` holds the turns of a conversation: {}", rename(name, "messages")));
    }
    let named = |names: &'static [&'static str]| names.iter().copied().find(|name| example.value(name).is_some());
    if let (Some(read), Some(written)) = (named(&READ), named(&WRITTEN)) {
        let pairs = [(read, "prompt"), (written, "completion")];
        let renames: Vec<String> = pairs.iter().filter(|(from, to)| from != to).map(|(from, to)| rename(from, to)).collect();
        return error.hint(format!("if `{read}` is what the model reads and `{written}` what it writes: {}", renames.join(", ")));
    }
    error.hint(
        "name them question and answer, instruction and response, instruction and output, input and output, prompt and completion, \
         messages, conversations, text, or chosen and rejected (`Dataset::rename_column`)",
    )
}
