//! What to look for in rows, with the limits that count.

use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::text::Tokenizer;

/// The pieces of a text by which two texts are compared: they are as alike as the share of pieces that they have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shingles {
    /// So many characters in a row: right for short texts, and for languages without blanks.
    Characters(usize),
    /// So many words in a row: right for documents.
    Words(usize),
}

/// Settings of a quality report; the defaults suit questions and answers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct QualityOptions {
    /// The columns of prompt and answer. Default none: by the shape of the rows ([`Shape`](crate::data::shape::Shape)).
    pub columns: Option<(String, String)>,
    /// The column whose values should be balanced. Default none: the answers, where they look like labels.
    pub label_column: Option<String>,
    /// The share of common shingles (Jaccard) from which two rows count as nearly the same, above 0 and up to 1. Default 0.8.
    pub near_threshold: f64,
    /// What is compared. Default five characters.
    pub shingles: Shingles,
    /// The languages that belong here, by ISO 639-3 (`eng`, `deu`). Default none: the one that most rows have.
    pub languages: Vec<String>,
    /// The tokenizer and the longest row that is trained, in ids. Default none: lengths are not looked at.
    pub max_length: Option<(Tokenizer, usize)>,
}

impl Default for QualityOptions {
    fn default() -> Self {
        Self {
            columns: None,
            label_column: None,
            near_threshold: 0.8,
            shingles: Shingles::Characters(5),
            languages: Vec::new(),
            max_length: None,
        }
    }
}

impl QualityOptions {
    /// Reads prompt and answer from these columns.
    pub fn with_columns(self, prompt: impl Into<String>, answer: impl Into<String>) -> Self {
        Self { columns: Some((prompt.into(), answer.into())), ..self }
    }

    /// Looks whether the values of this column are balanced.
    pub fn with_label_column(self, column: impl Into<String>) -> Self {
        Self { label_column: Some(column.into()), ..self }
    }

    /// Counts rows as nearly the same from this share of common shingles on.
    pub fn with_near_threshold(self, near_threshold: f64) -> Self {
        Self { near_threshold, ..self }
    }

    /// Compares other pieces of the texts.
    pub fn with_shingles(self, shingles: Shingles) -> Self {
        Self { shingles, ..self }
    }

    /// Names the languages that belong here, by ISO 639-3.
    pub fn with_languages(self, languages: &[&str]) -> Self {
        Self { languages: languages.iter().map(ToString::to_string).collect(), ..self }
    }

    /// Finds rows of more than `max_length` ids.
    pub fn with_max_length(self, tokenizer: &Tokenizer, max_length: usize) -> Self {
        Self { max_length: Some((tokenizer.clone(), max_length)), ..self }
    }

    /// Refuses settings that cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |what: String, hint: &str| Err(Error::new(ErrorKind::Data, format!("QualityOptions: {what}")).hint(hint));
        if !(self.near_threshold > 0.0 && self.near_threshold <= 1.0) {
            return refuse(format!("near_threshold is {}; it must be above 0 and at most 1", self.near_threshold), "use 0.8");
        }
        let (Shingles::Characters(size) | Shingles::Words(size)) = self.shingles;
        if !(1..=50).contains(&size) {
            return refuse(format!("shingles have {size} parts; they must have 1 to 50"), "use Shingles::Characters(5)");
        }
        if let Some(code) = self.languages.iter().find(|code| whatlang::Lang::from_code(code.as_str()).is_none()) {
            return refuse(format!("language `{code}` is not known"), "write the three letters of ISO 639-3: eng, deu, fra, spa");
        }
        match self.max_length {
            Some((_, 0)) => refuse("max_length is 0; it must be at least 1".into(), "use the model's max_position_embeddings"),
            _ => Ok(()),
        }
    }
}
