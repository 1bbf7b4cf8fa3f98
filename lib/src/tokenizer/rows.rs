//! Examples of any shape → training tokens, and a report of what became of each row.

use std::fmt;

use serde_json::Value as Json;

use crate::data::dataset::Dataset;
use crate::data::detect;
use crate::data::message::Message;
use crate::data::shape::{Content, Shape};
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::encode::{CUT, Encoding, IGNORE_INDEX, Joined, MERGED, TokenizedDataset, check_length, each_row, join, some_rows};
use crate::tokenizer::options::{EndToken, TokenizeOptions};
use crate::tokenizer::text::{Side, Tokenizer};
use crate::tokenizer::turns::{TurnTemplate, Turns, last_said};
use crate::util::notice;

/// What became of the rows of a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenizeReport {
    /// Rows of the data set.
    pub rows: usize,
    /// Rows that are learnt.
    pub trained: usize,
    /// Their ids.
    pub tokens: usize,
    /// Ids of completions and of the assistant's turns among them.
    pub learnt: usize,
    /// Rows without text, by index; they are left out.
    pub empty: Vec<usize>,
    /// Rows with nothing to predict, by index; they are left out.
    pub silent: Vec<usize>,
    /// Conversations whose last turn alone is too long, or of which no turn of the assistant is left, by index; they are left out.
    pub too_long: Vec<usize>,
    /// Rows that were cut, by index.
    pub truncated: Vec<usize>,
    /// Rows in which the end of the prompt and the beginning of the completion are one token, by index.
    pub merged: Vec<usize>,
    /// Rows that got an end-of-sequence token, which the tokenizer would not have added.
    pub ended: usize,
    /// Conversations whose last learnt id is no special token: the model is not taught to stop.
    pub endless: usize,
    /// Conversations with calls of tools that the chat template does not write, so that they are not learnt, by index.
    pub unwritten: Vec<usize>,
    /// Whether a template that leaves reasoning out of earlier turns was changed to keep it.
    pub keeps_reasoning: bool,
    /// The published chat template, such as that of GLM 4, of which this is another version: what TRL would count as said is not
    /// known of it.
    pub unmarked: Option<String>,
}

/// A row, and what was done to it.
#[derive(Default)]
struct Row {
    encoding: Encoding,
    chat: bool,
    empty: bool,
    too_long: bool,
    truncated: bool,
    merged: bool,
    ended: bool,
    endless: bool,
    unwritten: bool,
}

/// Every row of a data set as training tokens, in order, on all processors: answers to prompts, texts, and conversations, for
/// which the checkpoint's chat template is used. Rows that teach nothing are left out. The report says what became of the rows;
/// what one may not expect of it is said aloud, too.
///
/// # Errors
/// When `max_length` is 0, a row has no known columns, or a template refuses a conversation, with the row; when no row is left.
pub fn tokenize_with(data: &Dataset, tokenizer: &Tokenizer, options: &TokenizeOptions) -> Result<(TokenizedDataset, TokenizeReport)> {
    check_length(options.max_length)?;
    if options.shape.is_none() {
        detect::say(data);
    }
    let template = tokenizer.chat_template(false).map(|template| TurnTemplate::new(&template, options.assistant_only));
    let of_tools = tokenizer.chat_template(true).map(|template| TurnTemplate::new(&template, options.assistant_only));
    let plain = template.as_ref().ok().and_then(|template| Turns::new(tokenizer, template, &Json::Null).ok());
    let rows = each_row(data, |example| match options.shape.map_or_else(|| Shape::of(example), Ok)?.read(example)? {
        Content::Completion { prompt, completion } => completion_row(tokenizer, options, &prompt, &completion),
        Content::Chat { messages, tools } => match (&plain, tools.is_null()) {
            (Some(turns), true) => chat_row(tokenizer, options, turns, &messages),
            // Tools are a row's own; and what is wrong with the template is said again.
            (_, without) => {
                let template = if without { &template } else { &of_tools };
                let template = template.as_ref().map_err(Clone::clone)?;
                chat_row(tokenizer, options, &Turns::new(tokenizer, template, &tools)?, &messages)
            }
        },
        _ => Err(Error::new(ErrorKind::Data, "the row is a preference pair, which is two texts")
            .hint("use `tokenize_preferences`, or learn the chosen answers alone: `remove_columns` and `rename_column`")),
    })?;
    let chats = rows.iter().any(|row| row.chat);
    let (rows, mut report) = sorted(rows)?;
    if let Some(template) = template.ok().filter(|_| chats) {
        (report.keeps_reasoning, report.unmarked) = (template.keeps_reasoning, template.unmarked.map(String::from));
    }
    if rows.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("no row is left to learn: {report}"))
            .hint("give rows an answer behind the prompt, or raise max_length so that it is not cut off"));
    }
    report.warnings().into_iter().for_each(notice::warn);
    Ok((TokenizedDataset::from_rows(rows), report))
}

fn completion_row(tokenizer: &Tokenizer, options: &TokenizeOptions, prompt: &str, completion: &str) -> Result<Row> {
    if completion.is_empty() {
        return Ok(Row { empty: prompt.is_empty(), ..Default::default() });
    }
    let Joined { mut ids, prompt_length, merged } = join(tokenizer, prompt, completion)?;
    let ended = options.end_token == EndToken::WhereNeeded
        && !completion.ends_with(tokenizer.eos_token())
        && !tokenizer.ending().contains(&tokenizer.eos_id());
    ids.extend(ended.then(|| tokenizer.eos_id()));
    // A text that brings its end token gets no second one.
    if options.end_token == EndToken::AsTokenizer || ids.last() != Some(&tokenizer.eos_id()) {
        ids.extend_from_slice(tokenizer.ending());
    }
    let mut row = Encoding { prompt_length, ..Encoding::from_ids(ids) };
    if options.completion_only {
        row.labels[..prompt_length].fill(IGNORE_INDEX);
    }
    let row = cut(row, options, tokenizer);
    // A cut on the right takes the end token off again.
    let ended = ended && !(row.truncated && options.truncation_side == Side::Right);
    Ok(Row { merged, ended, ..row })
}

/// A row of at most so many ids.
fn cut(row: Encoding, options: &TokenizeOptions, tokenizer: &Tokenizer) -> Row {
    let kept = if row.input_ids.starts_with(tokenizer.beginning()) { tokenizer.beginning().len() } else { 0 };
    let truncated = row.input_ids.len() > options.max_length;
    Row { encoding: row.cut(options.max_length, options.truncation_side, kept), truncated, ..Default::default() }
}

fn chat_row(tokenizer: &Tokenizer, options: &TokenizeOptions, turns: &Turns<'_>, messages: &[Message]) -> Result<Row> {
    let mut row = match options.keep_whole_turns && turns.length(messages)? > options.max_length {
        true => whole_turns(options, turns, messages)?,
        false => cut(turns.encode(messages, options.assistant_only)?, options, tokenizer),
    };
    row.chat = true;
    row.unwritten = !turns.unwritten(messages, options.assistant_only)?.is_empty();
    let last = last_said(tokenizer, &row.encoding);
    row.endless = last.is_some_and(|id| tokenizer.special_token(id).is_none());
    row.too_long |= row.truncated && last.is_none();
    Ok(row)
}

/// A long conversation without its oldest turns; what stands before the first question stays.
fn whole_turns(options: &TokenizeOptions, turns: &Turns<'_>, messages: &[Message]) -> Result<Row> {
    let asks = |message: &Message| message.role == "user";
    let start = messages.iter().position(asks).unwrap_or(messages.len());
    let (lead, rest) = messages.split_at(start);
    let questions: Vec<usize> = rest.iter().enumerate().filter(|(_, message)| asks(message)).map(|(index, _)| index).skip(1).collect();
    let from = |question: usize| [lead, &rest[question..]].concat();
    // The later it begins, the shorter it is: halves are enough to find the longest that fits.
    let (mut start, mut end) = (0, questions.len());
    while start < end {
        let middle = start + (end - start) / 2;
        match turns.length(&from(questions[middle]))? > options.max_length {
            true => start = middle + 1,
            false => end = middle,
        }
    }
    match questions.get(start) {
        Some(&question) => {
            Ok(Row { encoding: turns.encode(&from(question), options.assistant_only)?, truncated: true, ..Default::default() })
        }
        None => Ok(Row { too_long: true, ..Default::default() }),
    }
}

/// The rows that teach something, and the report of all.
fn sorted(rows: Vec<Row>) -> Result<(Vec<Encoding>, TokenizeReport)> {
    let mut report = TokenizeReport { rows: rows.len(), ..Default::default() };
    let mut left = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let encoding = row.encoding;
        let learnt = encoding.predictions(true)?;
        match () {
            () if row.empty => report.empty.push(index),
            () if row.too_long => report.too_long.push(index),
            () if learnt == 0 => report.silent.push(index),
            () => {
                report.trained += 1;
                report.tokens += encoding.input_ids.len();
                report.learnt += learnt;
                report.truncated.extend(row.truncated.then_some(index));
                report.merged.extend(row.merged.then_some(index));
                report.ended += usize::from(row.ended);
                report.endless += usize::from(row.endless);
                report.unwritten.extend(row.unwritten.then_some(index));
                left.push(encoding);
            }
        }
    }
    Ok((left, report))
}

impl TokenizeReport {
    /// Rows that were left out.
    pub fn dropped(&self) -> usize {
        self.rows - self.trained
    }

    /// What one may not expect, a line each.
    fn warnings(&self) -> Vec<String> {
        let rows = |indices: &[usize], what: &str| some_rows(indices, self.rows, what);
        let lines = [
            rows(&self.empty, "have no text and are left out"),
            rows(&self.silent, "have nothing to predict (a prompt alone, or one token) and are left out"),
            rows(&self.too_long, "are too long for max_length in their last turn and are left out"),
            rows(&self.truncated, CUT),
            rows(&self.merged, MERGED),
            rows(&self.unwritten, "call tools, of which the chat template writes nothing: the calls are not learnt"),
            (self.ended > 0).then(|| {
                format!("{} rows got an end-of-sequence token, so that the model learns to stop (EndToken::AsTokenizer: none)", self.ended)
            }),
            (self.endless > 0).then(|| {
                format!("{} conversations do not teach the model to stop: no special token ends what the assistant says", self.endless)
            }),
            self.keeps_reasoning.then(|| "the chat template leaves reasoning out of earlier turns; it was kept in all, as in TRL".into()),
            self.unmarked.as_ref().map(|name| {
                format!(
                    "the chat template is another version of that of {name}, in which TRL counts headers or signs of the next speaker as said:                      compare what is learnt (`Detected::preview`), or put {{% generation %}} and {{% endgeneration %}} around it in                      chat_template.jinja"
                )
            }),
        ];
        lines.into_iter().flatten().collect()
    }
}

impl fmt::Display for TokenizeReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} of {} rows, {} tokens, {} of them learnt; left out: {} empty, {} with nothing to predict, {} too long; {} truncated, {} with a \
             merged seam, {} with an end token added",
            self.trained,
            self.rows,
            self.tokens,
            self.learnt,
            self.empty.len(),
            self.silent.len(),
            self.too_long.len(),
            self.truncated.len(),
            self.merged.len(),
            self.ended
        )
    }
}
