//! An example with `chosen` and `rejected` answers → ids of a pair of answers, of which one is preferred.

use crate::data::dataset::Dataset;
use crate::data::detect;
use crate::data::example::Example;
use crate::data::message::Message;
use crate::data::shape::{Content, Shape};
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::chat::ChatOptions;
use crate::tokenizer::encode::{Encoding, common_prefix};
use crate::tokenizer::text::Tokenizer;
use crate::util::names::rows_by_number;
use crate::util::notice::warn;

/// A prompt with a better and a worse answer, as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreferencePair {
    /// The prompt, at least one id.
    pub prompt: Vec<u32>,
    /// The answer that is preferred.
    pub chosen: Vec<u32>,
    /// The other one.
    pub rejected: Vec<u32>,
}

impl PreferencePair {
    /// The rows that a model reads: the prompt with the chosen answer, and with the rejected one.
    pub fn rows(&self) -> [Encoding; 2] {
        [&self.chosen, &self.rejected].map(|answer| {
            let input_ids = [self.prompt.as_slice(), answer].concat();
            Encoding { attention_mask: vec![1; input_ids.len()], labels: input_ids.clone(), input_ids, prompt_length: self.prompt.len() }
        })
    }

    /// Ids of both rows.
    pub fn tokens(&self) -> usize {
        2 * self.prompt.len() + self.chosen.len() + self.rejected.len()
    }
}

/// The pair of an example: both answers end with the end-of-sequence token, as in TRL, and a row of more than `max_length`
/// ids is cut at its end. Prompt and answers are texts, or messages that go through the chat template, which then ends them;
/// without a prompt it is what both answers begin with.
///
/// # Errors
/// When a column is missing, the prompt or an answer is empty, both answers are the same, also after the cut, or the prompt
/// leaves no room for an answer.
pub fn tokenize_preference(example: &Example, tokenizer: &Tokenizer, max_length: usize) -> Result<PreferencePair> {
    pair(example, tokenizer, max_length)?.map(|made| made.pair).ok_or_else(equal)
}

fn equal() -> Error {
    Error::new(ErrorKind::Data, "`chosen` and `rejected` are the same for the model: nothing can be learnt of such a pair")
        .hint("leave the row out, or raise max_length where the answers differ at their ends only")
}

/// A pair, and what one may not expect of it.
struct Made {
    pair: PreferencePair,
    /// Whether the end of its prompt was cut off at the seam.
    at_seam: bool,
    /// Whether the end of an answer was cut off at the limit.
    cut: bool,
}

/// A pair; `None` where both answers are the same.
///
/// As in TRL the prompt and both whole texts are encoded, and the answers begin where the ids part: a token that reaches over
/// the seam belongs to the answer.
fn pair(example: &Example, tokenizer: &Tokenizer, max_length: usize) -> Result<Option<Made>> {
    Shape::Preference.check_columns(example)?;
    let content = Shape::Preference.read(example)?;
    if content.is_equal_pair() {
        return Ok(None);
    }
    let Answers { prompt, mut answers, at_seam, cut } = answers(texts(content, tokenizer)?, tokenizer, max_length)?;
    let [rejected, chosen] = [answers.pop().unwrap_or_default(), answers.pop().unwrap_or_default()];
    Ok((chosen != rejected).then_some(Made { pair: PreferencePair { prompt, chosen, rejected }, at_seam, cut }))
}

/// A prompt, and what may follow it, as ids.
pub(super) struct Answers {
    pub prompt: Vec<u32>,
    /// Each with its end, at least one id unless its text is empty.
    pub answers: Vec<Vec<u32>>,
    /// Whether the end of the prompt was cut off at the seam.
    pub at_seam: bool,
    /// Whether the end of an answer was cut off at the limit.
    pub cut: bool,
}

/// The ids of texts: see [`pair`].
pub(super) fn answers(texts: Texts, tokenizer: &Tokenizer, max_length: usize) -> Result<Answers> {
    let Texts { prompt, wholes, ended } = texts;
    // A chat template writes itself what the model expects before a text.
    let read = |text: &str| if ended { tokenizer.encode(text) } else { tokenizer.encode_prompt(text) };
    let mut prompt = read(&prompt)?;
    let encode = |text: &String| -> Result<Vec<u32>> {
        let mut ids = read(text)?;
        if !ended && ids.last() != Some(&tokenizer.eos_id()) {
            ids.push(tokenizer.eos_id());
        }
        Ok(ids)
    };
    let wholes = wholes.iter().map(encode).collect::<Result<Vec<_>>>()?;
    let seam = wholes.iter().map(|whole| common_prefix(&prompt, whole)).min().unwrap_or(0);
    let (at_seam, cut) = (seam < prompt.len(), wholes.iter().any(|whole| whole.len() > max_length));
    prompt.truncate(seam);
    if prompt.is_empty() {
        return Err(Error::new(ErrorKind::Data, "`prompt` is empty; the first id of an answer is predicted from the prompt")
            .hint("give every row a prompt of at least one character"));
    }
    if prompt.len() >= max_length {
        let message = format!("`prompt` has {} tokens; prompt and answer together may have {max_length}", prompt.len());
        return Err(
            Error::new(ErrorKind::Data, message).hint("shorten the prompt, or raise max_length up to the model's max_position_embeddings")
        );
    }
    let answers = wholes.iter().map(|ids| ids[seam..ids.len().min(max_length)].to_vec()).collect();
    Ok(Answers { prompt, answers, at_seam, cut })
}

/// What the model reads.
pub(super) struct Texts {
    pub prompt: String,
    /// The prompt with each answer: of a pair with the chosen and the rejected one.
    pub wholes: Vec<String>,
    /// The answers end as the chat template ends them.
    pub ended: bool,
}

pub(super) fn texts(content: Content<'_>, tokenizer: &Tokenizer) -> Result<Texts> {
    let (prompt, answers, options) = match content {
        Content::Preference { prompt, chosen, rejected } => {
            for (name, answer) in [("chosen", &chosen), ("rejected", &rejected)] {
                if answer.is_empty() {
                    return Err(Error::new(ErrorKind::Data, format!("`{name}` is empty")).hint("remove the row, or write the answer"));
                }
            }
            let wholes = [chosen, rejected].map(|answer| format!("{prompt}{answer}")).into();
            return Ok(Texts { prompt: prompt.into_owned(), wholes, ended: false });
        }
        Content::PreferenceChat { prompt, chosen, rejected, tools } => (prompt, [chosen, rejected], ChatOptions::new().with_tools(tools)),
        _ => return Err(Error::new(ErrorKind::Data, "the row is no pair").hint("name its columns prompt, chosen and rejected")),
    };
    if prompt.is_empty() {
        return Err(Error::new(ErrorKind::Data, "the pair has no turn before the answers, so there is nothing to answer")
            .hint("write `prompt` as a list of messages, or the same turns at the beginning of `chosen` and `rejected`"));
    }
    let text = |turns: &[Message], options: &ChatOptions| tokenizer.apply_chat_template_with(turns, options);
    let [chosen, rejected] = answers.map(|answer| text(&[prompt.as_slice(), &answer].concat(), &options));
    let wholes = vec![chosen?, rejected?];
    Ok(Texts { prompt: text(&prompt, &options.with_generation_prompt(true))?, wholes, ended: true })
}

/// Every row of a data set through [`tokenize_preference`]; an error names the row. Rows whose answers are the same teach
/// nothing: they are left out and counted aloud. Columns that are not read are said aloud, too.
///
/// # Errors
/// As [`tokenize_preference`], and when all answers are the same.
pub fn tokenize_preferences(data: &Dataset, tokenizer: &Tokenizer, max_length: usize) -> Result<Vec<PreferencePair>> {
    detect::say(data);
    let (mut pairs, mut same, mut at_seam, mut cut) = (Vec::with_capacity(data.len()), Vec::new(), Vec::new(), Vec::new());
    for (row, example) in data.iter().enumerate() {
        match pair(example, tokenizer, max_length).map_err(|error| error.at(format_args!("row {row}")).in_row(row))? {
            Some(made) => {
                pairs.push(made.pair);
                at_seam.extend(made.at_seam.then_some(row));
                cut.extend(made.cut.then_some(row));
            }
            None => same.push(row),
        }
    }
    if pairs.is_empty() && !same.is_empty() {
        return Err(equal().at("all rows"));
    }
    if !same.is_empty() {
        warn(format!("{} left out: `chosen` and `rejected` are the same for the model", rows_by_number(&same)));
    }
    if !at_seam.is_empty() {
        warn(format!("{}: the prompt's last token reaches into the answer, which begins with it", rows_by_number(&at_seam)));
    }
    if !cut.is_empty() {
        warn(format!("{}: longer than max_length ({max_length}), so that an answer is cut at its end", rows_by_number(&cut)));
    }
    Ok(pairs)
}
