//! Examples → training tokens: `tokenize_function` of the course, over one row or a whole data set.

use crate::data::dataset::{Dataset, check_test_size};
use crate::data::example::Example;
use crate::data::split::split_indices;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::template::prompt_and_completion;
use crate::tokenizer::text::{Side, Tokenizer, truncate};

/// Rows longer than this are cut, as in the course.
pub const MAX_LENGTH: usize = 2048;

/// One tokenized row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The ids of prompt and completion.
    pub input_ids: Vec<u32>,
    /// 1 for every id that counts, 0 for padding.
    pub attention_mask: Vec<u32>,
    /// What the model learns to predict: the ids themselves; the model shifts them by one.
    pub labels: Vec<u32>,
    /// How many of the ids belong to the prompt.
    pub prompt_length: usize,
}

/// Tokenized rows, ready for the trainer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenizedDataset {
    rows: Vec<Tokens>,
}

/// The tokens of one example: the columns joined, at most [`MAX_LENGTH`] ids, cut on the left.
pub fn tokenize_function(example: &Example, tokenizer: &Tokenizer) -> Result<Tokens> {
    tokenize_with_length(example, tokenizer, MAX_LENGTH)
}

/// [`tokenize_function`] with another maximal length.
pub fn tokenize_with_length(example: &Example, tokenizer: &Tokenizer, max_length: usize) -> Result<Tokens> {
    if max_length == 0 {
        return Err(Error::new(ErrorKind::Tokenizer, "max_length is 0; it must be at least 1")
            .hint("use 2048, or the model's max_position_embeddings"));
    }
    let (prompt, completion) = prompt_and_completion(example)?;
    let mut ids = tokenizer.encode_prompt(&(prompt.to_string() + completion))?;
    ids.extend_from_slice(tokenizer.ending());
    if ids.is_empty() {
        return Err(Error::new(ErrorKind::Data, format!("the example has no text: {example}")).hint("remove the empty row"));
    }
    let cut = ids.len().saturating_sub(max_length);
    let input_ids = truncate(&ids, max_length, Side::Left);
    let prompt_length = tokenizer.encode_prompt(prompt)?.len().saturating_sub(cut).min(input_ids.len());
    Ok(Tokens { attention_mask: vec![1; input_ids.len()], labels: input_ids.clone(), input_ids, prompt_length })
}

/// Every row of a data set through [`tokenize_with_length`]; an error names the row.
pub fn tokenize_dataset(data: &Dataset, tokenizer: &Tokenizer, max_length: usize) -> Result<TokenizedDataset> {
    let mut rows = Vec::with_capacity(data.len());
    for (row, example) in data.iter().enumerate() {
        let tokens = tokenize_with_length(example, tokenizer, max_length);
        rows.push(tokens.map_err(|error| error.at(format_args!("row {row}")))?);
    }
    Ok(TokenizedDataset { rows })
}

impl TokenizedDataset {
    /// A data set of these rows.
    pub fn from_rows(rows: Vec<Tokens>) -> Self {
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
    pub fn get(&self, index: usize) -> Result<&Tokens> {
        self.rows.get(index).ok_or_else(|| {
            Error::new(ErrorKind::Data, format!("row {index} does not exist; the data set has {} rows, counted from 0", self.len()))
                .hint("choose a smaller index")
        })
    }

    /// The rows in order.
    pub fn rows(&self) -> &[Tokens] {
        &self.rows
    }

    /// Number of ids in all rows.
    pub fn tokens(&self) -> usize {
        self.rows.iter().map(|row| row.input_ids.len()).sum()
    }

    /// (train, test), split as [`Dataset::train_test_split`] splits the texts.
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
