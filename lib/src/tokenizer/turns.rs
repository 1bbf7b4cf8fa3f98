//! A conversation → ids of which the assistant's are learnt: masks as transformers' and TRL's.
//!
//! A template says by `{% generation %}` what the assistant speaks. Where it does not, a turn begins behind the text that asks for
//! it (`add_generation_prompt`) and ends where the conversation up to it ends, if the whole begins with both. TRL writes the same
//! into copies of templates that it knows, and refuses others. Where it counts headers and stop signs otherwise,
//! [`crate::tokenizer::published`] has its marks (but those of DiffusionGemma, which no model here reads).

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value as Json;

use crate::data::message::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::chat::{ChatOptions, check};
use crate::tokenizer::encode::{Encoding, IGNORE_INDEX};
use crate::tokenizer::jinja::{Jinja, MARKS, marks_generation, readable};
use crate::tokenizer::published::{Marks, marks};
use crate::tokenizer::text::Tokenizer;

/// Where Qwen3 and its successors leave the reasoning out of earlier turns. TRL keeps it everywhere, since it is learnt.
const FORGETS: [&str; 2] = ["loop.index0 > ns.last_query_index", "loop.last or (not loop.last and reasoning_content)"];
/// How their text that asks for a turn may begin the reasoning, which TRL counts as said.
const REASONING: [&str; 2] = ["<think>\n\n</think>\n\n", "<think>\n"];
/// The template of Qwen2.5, in which TRL counts the line break behind `assistant` as said.
const BREAK_IS_SAID: &str = r#"(message.role == "assistant" and not message.tool_calls)"#;

/// The text of a chat template, made ready for [`Turns`].
#[derive(Debug)]
pub(crate) struct TurnTemplate {
    source: String,
    generation: bool,
    break_is_said: bool,
    /// Whether the template was changed so that reasoning stays in earlier turns.
    pub keeps_reasoning: bool,
    /// The published template of which this is another version than the one whose marks are known.
    pub unmarked: Option<&'static str>,
}

impl TurnTemplate {
    /// For masks of the assistant's turns, or for conversations that are learnt whole.
    pub fn new(template: &str, assistant_only: bool) -> Self {
        let found = if assistant_only && !marks_generation(template) { marks(template) } else { Marks::Unknown };
        let template = if let Marks::Written(marked) = &found { marked } else { template };
        let generation = marks_generation(template);
        let forgets = assistant_only && !generation && template.contains(FORGETS[0]);
        let template = match forgets {
            true => Cow::Owned(FORGETS.iter().fold(template.to_string(), |template, condition| template.replace(condition, "true"))),
            false => Cow::Borrowed(template),
        };
        Self {
            generation: assistant_only && generation,
            break_is_said: template.contains(BREAK_IS_SAID),
            keeps_reasoning: forgets,
            unmarked: if let Marks::Otherwise(name) = found { Some(name) } else { None },
            source: readable(&template).into_owned(),
        }
    }
}

/// Conversations → ids, by one template.
#[derive(Debug)]
pub(crate) struct Turns<'a> {
    tokenizer: &'a Tokenizer,
    template: &'a TurnTemplate,
    jinja: Jinja<'a>,
    options: ChatOptions,
}

impl<'a> Turns<'a> {
    /// For conversations with these tools.
    ///
    /// # Errors
    /// When the template is no Jinja.
    pub fn new(tokenizer: &'a Tokenizer, template: &'a TurnTemplate, tools: &Json) -> Result<Self> {
        let jinja = Jinja::new(&template.source, template.generation).map_err(|error| tokenizer.in_template(error))?;
        Ok(Self { tokenizer, template, jinja, options: ChatOptions::new().with_tools(tools.clone()) })
    }

    /// The ids of a conversation; only the assistant's are learnt, or all. A message with `weight: 0` is not learnt.
    ///
    /// # Errors
    /// When the template fails or refuses the conversation, or does not show what the assistant says.
    pub fn encode(&self, messages: &[Message], assistant_only: bool) -> Result<Encoding> {
        check(messages)?;
        if self.template.generation && messages.iter().any(|message| message.content.contains(MARKS)) {
            return Err(Error::new(ErrorKind::Data, "a message holds U+FDD0 or U+FDD1, which are no characters").hint("remove them"));
        }
        let (text, marked) = self.render(messages, false)?;
        let located = self.tokenizer.locate(&text)?;
        let mut row = Encoding::from_ids(located.get_ids().to_vec());
        if !assistant_only {
            return Ok(row);
        }
        let spans = match self.template.generation {
            true => weighted(messages, marked)?,
            false => self.spans(messages, &text)?,
        };
        let mut learnt = vec![false; row.input_ids.len()];
        for span in spans {
            // A token that the span begins or ends in is the assistant's, as in transformers.
            let first = located.get_offsets().iter().position(|&(_, end)| end > span.start);
            let last = located.get_offsets().iter().rposition(|&(start, _)| start < span.end);
            if let (Some(first), Some(last)) = (first, last)
                && !span.is_empty()
            {
                learnt[first..=last].fill(true);
            }
        }
        row.prompt_length = learnt.iter().position(|learnt| *learnt).unwrap_or(learnt.len());
        row.labels.iter_mut().zip(&learnt).filter(|(_, learnt)| !**learnt).for_each(|(label, _)| *label = IGNORE_INDEX);
        Ok(row)
    }

    /// How many ids a conversation has, for which nobody has to look who says what.
    ///
    /// # Errors
    /// When the template fails or refuses the conversation.
    pub fn length(&self, messages: &[Message]) -> Result<usize> {
        check(messages)?;
        let (text, _) = self.render(messages, false)?;
        Ok(self.tokenizer.encode(&text)?.len())
    }

    /// The turns of whose tool calls the template writes nothing, by index: the text is the same without them.
    ///
    /// # Errors
    /// When the template refuses the conversation, or nothing else of it would be learnt.
    pub fn unwritten(&self, messages: &[Message], assistant_only: bool) -> Result<Vec<usize>> {
        let calls: Vec<usize> = (0..messages.len()).filter(|&index| messages[index].calls_tools()).collect();
        if calls.is_empty() {
            return Ok(calls);
        }
        let (whole, _) = self.render(messages, false)?;
        let without = |index: usize| {
            let mut others = messages.to_vec();
            others[index].more.shift_remove("tool_calls");
            self.render(&others, false).is_ok_and(|(text, _)| text == whole)
        };
        let unwritten: Vec<usize> = calls.into_iter().filter(|&index| without(index)).collect();
        let says = |(index, turn): (usize, &Message)| !unwritten.contains(&index) || !turn.content.trim().is_empty();
        let mut learnt = messages.iter().enumerate().filter(|(_, turn)| turn.role == "assistant" && !is_silent(turn));
        match unwritten.first() {
            Some(index) if assistant_only && !learnt.any(says) => {
                let message = format!("message {index}: the chat template writes nothing of its tool call, and nothing else is learnt");
                let hint = "put a template that writes `tool_calls` beside tokenizer.json as chat_template.jinja, or leave the row out";
                Err(self.tokenizer.in_template(Error::new(ErrorKind::Tokenizer, message).hint(hint)))
            }
            _ => Ok(unwritten),
        }
    }

    fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<(String, Vec<Range<usize>>)> {
        let options = ChatOptions { add_generation_prompt, ..self.options.clone() };
        let values = self.tokenizer.template_values(messages, &options)?;
        self.jinja.render(values).map_err(|error| self.tokenizer.in_template(error))
    }

    /// The bytes of the whole text that the assistant says, by the texts of the conversations that end before and behind it.
    fn spans(&self, messages: &[Message], whole: &str) -> Result<Vec<Range<usize>>> {
        let mut spans = Vec::new();
        for (index, message) in messages.iter().enumerate().filter(|(_, message)| message.role == "assistant") {
            let (Some(start), Some(end)) = (self.start(messages, index, whole), self.end(messages, index, whole)?) else {
                return Err(hidden(index));
            };
            if end < start {
                return Err(hidden(index));
            }
            if !is_silent(message) {
                spans.push(start..end);
            }
        }
        Ok(spans)
    }

    /// Where the turn at `index` begins in the whole text: behind what asks for it.
    fn start(&self, messages: &[Message], index: usize, whole: &str) -> Option<usize> {
        let (asked, _) = self.render(&messages[..index], true).ok()?;
        let begun = REASONING.iter().filter(|_| self.template.keeps_reasoning).find_map(|begun| asked.strip_suffix(begun));
        let asked = begun.unwrap_or(&asked);
        let said = usize::from(self.template.break_is_said && asked.ends_with('\n'));
        whole.starts_with(asked).then_some(asked.len() - said)
    }

    /// Where the turn at `index` ends in the whole text. A template may close a conversation with the end-of-sequence token.
    fn end(&self, messages: &[Message], index: usize, whole: &str) -> Result<Option<usize>> {
        if index + 1 == messages.len() {
            return Ok(Some(whole.len()));
        }
        let (until, _) = self.render(&messages[..=index], false)?;
        let open = until.strip_suffix(self.tokenizer.eos_token());
        Ok([Some(until.as_str()), open].into_iter().flatten().find(|until| whole.starts_with(until)).map(str::len))
    }
}

impl Tokenizer {
    /// The id by which the chat template ends what the assistant says, such as that of `<|im_end|>`: it ends an answer beside the
    /// end-of-sequence token. `None` without a template that works, and where it ends a turn with plain text.
    pub fn turn_end(&self) -> Option<u32> {
        let template = TurnTemplate::new(&self.chat_template(false).ok()?, true);
        let turns = Turns::new(self, &template, &Json::Null).ok()?;
        let row = turns.encode(&[Message::user("a"), Message::assistant("b")], true).ok()?;
        last_said(self, &row).filter(|&id| self.special_token(id).is_some())
    }
}

/// The last learnt id of a row that is no white space.
pub(crate) fn last_said(tokenizer: &Tokenizer, row: &Encoding) -> Option<u32> {
    let is_blank = |id: u32| tokenizer.special_token(id).is_none() && tokenizer.decode(&[id]).is_ok_and(|text| text.trim().is_empty());
    row.labels.iter().rev().copied().find(|&label| label != IGNORE_INDEX && !is_blank(label))
}

/// Whether a message of the assistant is not learnt: OpenAI's `weight: 0`, `train: false`, `loss: false`.
fn is_silent(message: &Message) -> bool {
    // What says neither was refused with its row.
    message.is_learnt().is_ok_and(|learnt| !learnt)
}

/// Of what generation blocks enclosed, what is learnt.
fn weighted(messages: &[Message], marked: Vec<Range<usize>>) -> Result<Vec<Range<usize>>> {
    let answers: Vec<&Message> = messages.iter().filter(|message| message.role == "assistant").collect();
    if !answers.iter().any(|message| is_silent(message)) {
        return Ok(marked);
    }
    if answers.len() != marked.len() {
        let message = format!("the template marks {} places for {} turns of the assistant", marked.len(), answers.len());
        return Err(Error::new(ErrorKind::Tokenizer, message).hint("`weight: 0` needs a template that marks each turn once"));
    }
    Ok(marked.into_iter().zip(answers).filter(|(_, message)| !is_silent(message)).map(|(span, _)| span).collect())
}

fn hidden(index: usize) -> Error {
    let message = format!("message {index}: the chat template writes what stands around this turn otherwise when other turns follow");
    Error::new(ErrorKind::Tokenizer, format!("{message}, so what the assistant says cannot be found")).hint(
        "put {% generation %} and {% endgeneration %} around the assistant's words in chat_template.jinja, or learn whole conversations \
         (assistant_only: false)",
    )
}
