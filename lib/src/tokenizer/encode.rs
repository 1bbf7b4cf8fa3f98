//! Examples → training tokens: `tokenize_function` of the course, over one row or a whole data set.

use rayon::prelude::*;

use crate::data::dataset::{Dataset, check_test_size};
use crate::data::detect;
use crate::data::example::Example;
use crate::data::split::split_indices;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::template::prompt_and_completion;
use crate::tokenizer::text::{Side, Tokenizer};
use crate::util::notice;

/// Rows longer than this are cut, as in the course.
pub const MAX_LENGTH: usize = 2048;

/// The label of a place that is not learnt: PyTorch's `ignore_index` of −100, in the 32 bits of an id. No vocabulary reaches it.
pub const IGNORE_INDEX: u32 = -100i32 as u32;

/// One tokenized row; the first three have one length.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoding {
    /// The ids of prompt and completion.
    pub input_ids: Vec<u32>,
    /// 1 for every id that counts, 0 for padding, which stands on one side or on both.
    pub attention_mask: Vec<u32>,
    /// What the model learns to predict: the ids themselves; the model shifts them by one. [`IGNORE_INDEX`] is not learnt.
    pub labels: Vec<u32>,
    /// How many of the ids belong to the prompt, padding before it included.
    pub prompt_length: usize,
}

/// The former name of [`Encoding`].
#[deprecated(since = "0.1.0", note = "it is called `Encoding`")]
pub type Tokens = Encoding;

impl Encoding {
    /// A row that is learnt whole: labels are the ids, nothing is padded, no id belongs to a prompt.
    pub fn from_ids(ids: Vec<u32>) -> Self {
        Self { attention_mask: vec![1; ids.len()], labels: ids.clone(), input_ids: ids, prompt_length: 0 }
    }

    /// The same row with other labels, as PyTorch writes them: −100 is not learnt.
    ///
    /// # Errors
    /// When there are not as many labels as ids, or one is negative and not −100.
    pub fn with_labels(self, labels: &[i64]) -> Result<Self> {
        let label = |(place, &label): (usize, &i64)| match label {
            -100 => Ok(IGNORE_INDEX),
            label => u32::try_from(label).map_err(|_| bad_label(place, label, "0 or more")),
        };
        let row = Self { labels: labels.iter().enumerate().map(label).collect::<Result<_>>()?, ..self };
        row.check_lengths().map(|()| row)
    }

    /// The places of the ids that are no padding.
    ///
    /// # Errors
    /// When the mask has another length than the ids, another number than 0 and 1, or a 0 between ones.
    pub fn real(&self) -> Result<std::ops::Range<usize>> {
        self.check_lengths()?;
        if let Some(place) = self.attention_mask.iter().position(|&mask| mask > 1) {
            let what = format!("attention_mask at position {place} is {}; it must be 0 or 1", self.attention_mask[place]);
            return Err(Error::new(ErrorKind::Data, what).hint("write 1 for each id that is read, 0 for padding"));
        }
        let start = self.attention_mask.iter().position(|&mask| mask == 1).unwrap_or(self.attention_mask.len());
        let end = self.attention_mask.iter().rposition(|&mask| mask == 1).map_or(start, |last| last + 1);
        match self.attention_mask[start..end].iter().position(|&mask| mask != 1) {
            Some(hole) => Err(Error::new(
                ErrorKind::Data,
                format!("attention_mask at position {} is {}, between ones", start + hole, self.attention_mask[start + hole]),
            )
            .hint("a mask is 0 at padding only, on one side; to read an id and not learn it, give it the label −100")),
            None => Ok(start..end),
        }
    }

    /// Whether the id at a place is learnt, given those before it; `completion_only` leaves the prompt's out.
    pub fn is_learnt(&self, place: usize, completion_only: bool) -> bool {
        self.labels[place] != IGNORE_INDEX && !(completion_only && place < self.prompt_length)
    }

    /// Tokens that the loss predicts: 0 for a row of one token, of a prompt alone, or with every label −100.
    ///
    /// # Errors
    /// As [`Encoding::real`].
    pub fn predictions(&self, completion_only: bool) -> Result<usize> {
        Ok(self.real()?.skip(1).filter(|&place| self.is_learnt(place, completion_only)).count())
    }

    /// Refuses a row that a model of `vocabulary` ids and `positions` places cannot read or learn.
    ///
    /// # Errors
    /// When labels or mask have another length than the ids, an id or a label is no id of the vocabulary (labels may be
    /// [`IGNORE_INDEX`]), or more places are read than the model has.
    pub fn check(&self, vocabulary: usize, positions: usize) -> Result<()> {
        let real = self.real()?;
        if let Some(place) = self.input_ids.iter().position(|&id| id as usize >= vocabulary) {
            return Err(Error::new(
                ErrorKind::Data,
                format!("token id {} at position {place} is outside of the model's vocabulary of {vocabulary}", self.input_ids[place]),
            )
            .hint("load tokenizer and model by the same name"));
        }
        if let Some(place) = self.labels.iter().position(|&label| label != IGNORE_INDEX && label as usize >= vocabulary) {
            let label = i64::from(self.labels[place]);
            // What an i32 of PyTorch would have been.
            let label = if label > i64::from(i32::MAX) { label - (1 << 32) } else { label };
            return Err(bad_label(place, label, &format!("below the model's vocabulary of {vocabulary}")));
        }
        if real.len() > positions + 1 {
            return Err(Error::new(ErrorKind::Data, format!("{} tokens, the model has {positions} positions", real.len()))
                .hint(format!("set model.max_length to {positions} in the training_config")));
        }
        Ok(())
    }

    /// At most `max_length` places, cut off on a side; on the left the first `kept` stay, as the tokens before a text do in
    /// Python.
    pub(crate) fn cut(mut self, max_length: usize, side: Side, kept: usize) -> Self {
        let over = self.input_ids.len().saturating_sub(max_length);
        let start = match side {
            Side::Left if kept < max_length => kept,
            Side::Left => 0,
            Side::Right => max_length.min(self.input_ids.len()),
        };
        for list in [&mut self.input_ids, &mut self.attention_mask, &mut self.labels] {
            list.drain(start..start + over);
        }
        let behind = self.prompt_length.saturating_sub(start);
        self.prompt_length = self.prompt_length.min(start) + behind.saturating_sub(over);
        self
    }

    fn check_lengths(&self) -> Result<()> {
        for (name, length) in [("labels", self.labels.len()), ("attention_mask", self.attention_mask.len())] {
            if length != self.input_ids.len() {
                return Err(Error::new(ErrorKind::Data, format!("{name} has a length of {length}, input_ids of {}", self.input_ids.len()))
                    .hint(format!("give {name} one number for each id")));
            }
        }
        Ok(())
    }
}

fn bad_label(place: usize, label: i64, allowed: &str) -> Error {
    Error::new(ErrorKind::Data, format!("the label at position {place} is {label}; it must be {allowed}, or −100 where nothing is learnt"))
        .hint("labels are ids of the model's own tokenizer; load tokenizer and model by the same name")
}

/// Tokenized rows, ready for the trainer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenizedDataset {
    rows: Vec<Encoding>,
}

/// The tokens of one example: the columns joined, at most [`MAX_LENGTH`] ids, cut on the left.
///
/// # Errors
/// As [`tokenize_with_length`].
pub fn tokenize_function(example: &Example, tokenizer: &Tokenizer) -> Result<Encoding> {
    tokenize_with_length(example, tokenizer, MAX_LENGTH)
}

/// [`tokenize_function`] with another maximal length, in ids. A row without text has no ids, as in Python. The tokens that
/// stand before a text, such as Llama's `<s>`, stay in front of what a cut leaves.
///
/// # Errors
/// When `max_length` is 0, or the example has no known columns.
pub fn tokenize_with_length(example: &Example, tokenizer: &Tokenizer, max_length: usize) -> Result<Encoding> {
    encode_row(example, tokenizer, max_length).map(|made| made.row)
}

/// A row of [`tokenize_with_length`].
struct Made {
    row: Encoding,
    /// Whether it has no text.
    empty: bool,
    /// Whether the seam is inside of a token.
    merged: bool,
    /// Whether its prompt waits for an answer that is empty.
    unanswered: bool,
    /// Whether it was longer than the limit.
    cut: bool,
}

/// [`tokenize_with_length`], and what one may not expect of the row.
fn encode_row(example: &Example, tokenizer: &Tokenizer, max_length: usize) -> Result<Made> {
    check_length(max_length)?;
    let (prompt, completion) = prompt_and_completion(example)?;
    let Joined { mut ids, prompt_length, merged } = join(tokenizer, &prompt, &completion)?;
    ids.extend_from_slice(tokenizer.ending());
    let (cut, unanswered) = (ids.len() > max_length, completion.is_empty() && !prompt.is_empty());
    let row = Encoding { prompt_length, ..Encoding::from_ids(ids) };
    let row = row.cut(max_length, Side::Left, tokenizer.beginning().len());
    Ok(Made { row, empty: prompt.is_empty() && completion.is_empty(), merged, unanswered, cut })
}

/// Refuses a length that leaves nothing.
pub(crate) fn check_length(max_length: usize) -> Result<()> {
    match max_length {
        0 => Err(Error::new(ErrorKind::Tokenizer, "max_length is 0; it must be at least 1")
            .hint("use 2048, or the model's max_position_embeddings")),
        _ => Ok(()),
    }
}

/// A prompt and its completion as one row of ids.
#[derive(Debug)]
pub(crate) struct Joined {
    /// What the model expects before a text, and both texts.
    pub ids: Vec<u32>,
    /// Ids before the completion's first.
    pub prompt_length: usize,
    /// Whether the prompt's own ids go on otherwise: the end of it and the completion's beginning are one token.
    pub merged: bool,
}

/// The ids of prompt and completion together. The completion begins where they leave the ids of the prompt alone, as in TRL: a
/// token that holds the end of the prompt and the beginning of the completion is learnt.
///
/// # Errors
/// As [`Tokenizer::encode`].
pub(crate) fn join(tokenizer: &Tokenizer, prompt: &str, completion: &str) -> Result<Joined> {
    if prompt.is_empty() {
        let ids = tokenizer.encode_prompt(completion)?;
        return Ok(Joined { prompt_length: tokenizer.beginning().len(), ids, merged: false });
    }
    let whole = tokenizer.locate(&[prompt, completion].concat())?;
    let ids = tokenizer.begin(whole.get_ids().to_vec());
    let added = ids.len() - whole.len();
    let begun = |place: &usize| added > 0 || *place >= tokenizer.beginning().len();
    if let Some(place) = seam(&whole, prompt, completion).filter(begun).filter(|_| !tokenizer.has_whole_words()) {
        return Ok(Joined { prompt_length: added + place, ids, merged: false });
    }
    let alone = tokenizer.encode_prompt(prompt)?;
    let prompt_length = common_prefix(&alone, &ids);
    Ok(Joined { ids, merged: prompt_length < alone.len(), prompt_length })
}

/// How many tokens the prompt has, where that shows without encoding it alone: a word ends with it, between letters, digits and
/// signs of punctuation. White space on either side may be cut otherwise at the end of a text.
fn seam(whole: &tokenizers::Encoding, prompt: &str, completion: &str) -> Option<usize> {
    let plain = |sign: Option<char>| sign.is_some_and(|sign| !sign.is_whitespace() && !sign.is_control());
    if !plain(prompt.chars().next_back()) || completion.chars().next().is_some_and(|first| !first.is_ascii()) {
        return None;
    }
    let place = whole.get_offsets().partition_point(|&(_, end)| end <= prompt.len());
    let (before, after) = (place.checked_sub(1)?, place);
    let (words, offsets) = (whole.get_word_ids(), whole.get_offsets());
    let ends = offsets[before].1 == prompt.len() && offsets.get(after).is_none_or(|&(start, _)| start == prompt.len());
    let apart = words.get(after).is_none_or(|next| next.is_some() && words[before].is_some() && *next != words[before]);
    (ends && apart).then_some(place)
}

/// How many ids two rows begin with alike.
pub(crate) fn common_prefix(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Every row of a data set through [`tokenize_with_length`], in order, on all processors; an error names the row. A row without
/// text stays as one without ids: the trainer leaves them out. How many there are is said aloud, and how many have an empty answer,
/// were cut, or have the seam between prompt and completion inside of a token.
///
/// # Errors
/// As [`tokenize_with_length`].
pub fn tokenize_dataset(data: &Dataset, tokenizer: &Tokenizer, max_length: usize) -> Result<TokenizedDataset> {
    detect::say(data);
    let rows = each_row(data, |example| encode_row(example, tokenizer, max_length))?;
    let say = |what: &str, is: fn(&Made) -> bool| {
        let found: Vec<usize> = (0..rows.len()).filter(|&row| is(&rows[row])).collect();
        some_rows(&found, rows.len(), what).into_iter().for_each(notice::warn);
    };
    say("have no text and teach nothing", |made| made.empty);
    say("have an empty answer: their prompt alone is learnt, unless completion_only_loss is set", |made| made.unanswered);
    say(CUT, |made| made.cut);
    say(MERGED, |made| made.merged);
    Ok(TokenizedDataset { rows: rows.into_iter().map(|made| made.row).collect() })
}

/// What is said of some of all rows; nothing where there are none.
pub(crate) fn some_rows(found: &[usize], all: usize, what: &str) -> Option<String> {
    let first = found.first()?;
    Some(format!("{} of {all} rows {what}; the first is row {first}", found.len()))
}

/// What is said of rows of which a part is missing.
pub(crate) const CUT: &str = "are longer than max_length and were cut";

/// What is said of rows whose seam is inside of a token.
pub(crate) const MERGED: &str = "have a token that holds the end of the prompt and the beginning of the completion; it counts as the \
                                 completion's. To ask as was learnt, end prompts where a token ends, as at a line break";

/// A function of each example, in order, on all processors; the error of the first row that has one names it.
pub(crate) fn each_row<T: Send>(data: &Dataset, of: impl Fn(&Example) -> Result<T> + Sync) -> Result<Vec<T>> {
    let examples: Vec<&Example> = data.iter().collect();
    let rows: Vec<Result<T>> = examples.par_iter().map(|example| of(example)).collect();
    rows.into_iter().enumerate().map(|(row, done)| done.map_err(|error| error.at(format_args!("row {row}")).in_row(row))).collect()
}

impl TokenizedDataset {
    /// A data set of these rows.
    pub fn from_rows(rows: Vec<Encoding>) -> Self {
        Self { rows }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row at `index`, counted from 0.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn get(&self, index: usize) -> Result<&Encoding> {
        self.rows.get(index).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("row {index} does not exist; the data set has {} rows, counted from 0", self.len()))
                .hint("choose a smaller index")
        })
    }

    /// The rows in order.
    pub fn rows(&self) -> &[Encoding] {
        &self.rows
    }

    /// The rows, given away.
    pub fn into_rows(self) -> Vec<Encoding> {
        self.rows
    }

    /// Number of ids in all rows.
    pub fn tokens(&self) -> usize {
        self.rows.iter().map(|row| row.input_ids.len()).sum()
    }

    /// (train, test), split as [`Dataset::train_test_split`] splits the texts.
    ///
    /// # Errors
    /// When a side would be empty.
    pub fn train_test_split(&self, test_size: f64, seed: u64) -> Result<(Self, Self)> {
        check_test_size(test_size, self.len())?;
        let (train, test) = split_indices(self.len(), test_size, seed);
        let select = |indices: &[usize]| Self { rows: indices.iter().map(|&index| self.rows[index].clone()).collect() };
        Ok((select(&train), select(&test)))
    }
}

impl std::fmt::Display for TokenizedDataset {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "Dataset {{ features: [input_ids, attention_mask, labels], num_rows: {}, tokens: {} }}",
            self.len(),
            self.tokens()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_ends_a_word_is_not_encoded_twice() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/neox-tokenizer");
        let tokenizer = Tokenizer::from_folder(std::path::Path::new(folder)).unwrap();
        let seam = |prompt: &str, completion: &str| seam(&tokenizer.locate(&[prompt, completion].concat()).unwrap(), prompt, completion);
        assert_eq!(seam("What is it?", "It is."), Some(4));
        assert_eq!(seam("What is it", " not?"), Some(3));
        assert_eq!([seam("x = ", "4"), seam("un", "believable"), seam("Say\n", "\nno"), seam("a", "\u{301}")], [None; 4]);
    }
}
