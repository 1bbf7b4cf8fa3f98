//! A row of any shape → the turns of a chat: what is asked and what is answered.

use serde_json::{Map, Value};

use crate::data::conversation::{check, with_system};
use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::data::message::Message;
use crate::data::shape::{Content, Shape};
use crate::error::{Error, ErrorKind, Result};
use crate::util::names::quoted;
use crate::util::notice;

/// Columns of a conversation that stay columns.
const BESIDE: [&str; 3] = ["tools", "functions", "parallel_tool_calls"];

impl Dataset {
    /// The rows as conversations, in one column `messages` that a chat model is trained on: what is read becomes the user's turn,
    /// what is learnt the assistant's, a column `system` the system message. An `instruction` and its `input` are one turn, a
    /// paragraph each, without the frame of the Alpaca project, which a chat template replaces; blanks at the ends of texts, by
    /// which they were joined, go. Conversations keep their turns, those of ShareGPT's form in the usual names. Other columns stay
    /// behind `messages`; which, is said aloud.
    ///
    /// ```
    /// use finetuning::{Dataset, Example};
    ///
    /// let rows = Dataset::from_examples(vec![Example::new([("question", "Who?"), ("answer", "Ada."), ("page", "7")])]);
    /// let chats = rows.to_messages()?;
    /// assert_eq!(chats.columns(), ["messages", "page"]);
    /// assert_eq!(chats.get(0)?.value("messages").unwrap()[1]["content"], "Ada.");
    /// # Ok::<(), finetuning::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Data`] with the row: when [`Shape::of`] or [`Shape::read`] refuses it, nothing is asked or answered, or it is a
    /// text that is learnt whole or a preference pair.
    pub fn to_messages(&self) -> Result<Self> {
        let chats = conversations(self)?;
        let kept: Vec<String> = chats.columns().into_iter().filter(|name| name != "messages").collect();
        if !kept.is_empty() {
            notice::info(format_args!("columns kept beside `messages`: {}", quoted(&kept)));
        }
        Ok(chats)
    }
}

/// [`Dataset::to_messages`] without a word.
pub(crate) fn conversations(data: &Dataset) -> Result<Dataset> {
    let row = |(row, example): (usize, &Example)| conversation(example).map_err(|error| error.at(format_args!("row {row}")).in_row(row));
    Ok(Dataset::from_examples(data.iter().enumerate().map(row).collect::<Result<_>>()?))
}

fn conversation(example: &Example) -> Result<Example> {
    let (shape, messages) = dialogue(example)?;
    // A null `messages`, as a union of tables leaves it, would take the place of the turns.
    let kept = |name: &str| BESIDE.contains(&name) || (!["system", "messages"].contains(&name) && !shape.reads(name));
    let beside = example.fields().iter().filter(|(name, _)| kept(name)).cloned();
    let turns = messages.into_iter().map(Message::into_value).collect();
    Ok(Example::new([("messages".to_string(), Value::Array(turns))].into_iter().chain(beside)))
}

/// The turns of a row, and what it was taken for.
///
/// # Errors
/// As [`Dataset::to_messages`], without the row.
pub(crate) fn dialogue(example: &Example) -> Result<(Shape, Vec<Message>)> {
    let mut row = example.clone();
    row.remove("system");
    let shape = Shape::of(&row)?;
    let messages = match shape.read(&row)? {
        Content::Chat { messages, .. } => messages,
        Content::Completion { completion, .. } if shape != Shape::Text => {
            let asked = question(shape, &row)?;
            for (said, who) in [(asked.as_str(), "asked"), (&completion, "answered")] {
                if said.trim().is_empty() {
                    return Err(Error::new(ErrorKind::Data, format!("nothing is {who}: the row is {shape}, and a text of it is empty"))
                        .hint("write the text, or leave the row out: `quality_report` finds such rows"));
                }
            }
            vec![Message::user(asked.trim()), Message::assistant(completion.trim())]
        }
        Content::Completion { .. } => {
            return Err(Error::new(ErrorKind::Data, "a text that is learnt whole asks nothing, so it is no conversation")
                .hint("name the columns question and answer (`rename_column`), or make rows of documents by `Sections::read`"));
        }
        Content::Preference { .. } | Content::PreferenceChat { .. } => {
            return Err(Error::new(ErrorKind::Data, "a preference pair has two answers, a conversation one")
                .hint("to learn the better one alone: `remove_columns(&[\"rejected\"])`, `rename_column(\"chosen\", \"completion\")`"));
        }
    };
    let messages = with_system(example, messages)?;
    check(&messages)?;
    Ok((shape, messages))
}

/// What a person would say to have the answer of a row of texts.
fn question(shape: Shape, row: &Example) -> Result<String> {
    let asked = row.text(shape.columns()[0])?;
    let input = match (shape, row.value("input")) {
        (Shape::InstructionOutput, Some(value)) if !value.is_null() => row.text("input")?,
        _ => "".into(),
    };
    Ok(if input.trim().is_empty() { asked.into_owned() } else { format!("{}\n\n{}", asked.trim(), input.trim()) })
}

impl Message {
    /// The turn as a file has it.
    fn into_value(self) -> Value {
        let own = [("role".to_string(), self.role.into()), ("content".to_string(), self.content.into())];
        Value::Object(own.into_iter().chain(self.more).collect::<Map<String, Value>>())
    }
}
