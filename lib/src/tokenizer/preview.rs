//! What a data set was taken for → one row as the model will read it, and what of it is learnt.

use std::fmt;

use crate::data::dataset::Dataset;
use crate::data::detect::Detected;
use crate::data::shape::Content;
use crate::display::output::{Html, Show, last_expression, table};
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::chat::ChatOptions;
use crate::tokenizer::encode::{Encoding, IGNORE_INDEX};
use crate::tokenizer::options::TokenizeOptions;
use crate::tokenizer::rows::tokenize_with;
use crate::tokenizer::text::Tokenizer;

/// A row as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preview {
    /// Its number in the data set.
    pub row: usize,
    /// Pieces of text with what they are: `read`, `learnt`, `preferred`, `not preferred`.
    pub pieces: Vec<(&'static str, String)>,
    /// Ids of all pieces together.
    pub tokens: usize,
}

impl Detected {
    /// The first row that fits as the model will read it, from its training tokens: what it reads, what it learns to write, the
    /// end token; conversations through the chat template of this tokenizer.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when no row fits or the row has nothing to learn; [`ErrorKind::Tokenizer`] when a conversation has no
    /// template or is refused by it.
    pub fn preview(&self, tokenizer: &Tokenizer) -> Result<Preview> {
        let Some((row, example)) = self.first() else {
            return Err(Error::new(ErrorKind::Data, "no row fits, so there is none to show").hint("print what was detected: it says why"));
        };
        let pieces = match self.shape.read(example)? {
            Content::Preference { prompt, chosen, rejected } => {
                vec![("read", prompt.into_owned()), ("preferred", chosen.into_owned()), ("not preferred", rejected.into_owned())]
            }
            Content::PreferenceChat { prompt, chosen, rejected, tools } => {
                let options = ChatOptions::new().with_tools(tools);
                let whole = |answer: &[_]| tokenizer.apply_chat_template_with(&[prompt.as_slice(), answer].concat(), &options);
                vec![("preferred", whole(&chosen)?), ("not preferred", whole(&rejected)?)]
            }
            _ => {
                let (data, options) = (Dataset::from_examples(vec![example.clone()]), TokenizeOptions::new().with_shape(self.shape));
                let (rows, _) =
                    tokenize_with(&data, tokenizer, &options).map_err(|error| error.at(format_args!("row {row}")).in_row(row))?;
                let encoding = rows.get(0)?;
                return Ok(Preview { row, pieces: pieces(encoding, tokenizer)?, tokens: encoding.input_ids.len() });
            }
        };
        let pieces: Vec<(&'static str, String)> = pieces.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        let whole: String = pieces.iter().map(|(_, text)| text.as_str()).collect();
        Ok(Preview { row, pieces, tokens: tokenizer.encode_prompt(&whole)?.len() })
    }
}

/// The text of a row cut where learning begins and ends, special tokens written out.
fn pieces(row: &Encoding, tokenizer: &Tokenizer) -> Result<Vec<(&'static str, String)>> {
    let labelled: Vec<(u32, bool)> = row.input_ids.iter().zip(&row.labels).map(|(&id, &label)| (id, label != IGNORE_INDEX)).collect();
    let text = |run: &[(u32, bool)]| -> Result<String> {
        let parts = run.chunk_by(|one, next| tokenizer.special_token(one.0).is_none() && tokenizer.special_token(next.0).is_none());
        let part = |part: &[(u32, bool)]| match tokenizer.special_token(part[0].0) {
            Some(token) => Ok(token),
            None => tokenizer.decode(&part.iter().map(|(id, _)| *id).collect::<Vec<_>>()),
        };
        parts.map(part).collect()
    };
    let runs = labelled.chunk_by(|one, next| one.1 == next.1);
    runs.map(|run| Ok((if run[0].1 { "learnt" } else { "read" }, text(run)?))).collect()
}

impl Preview {
    fn html(&self) -> Html {
        let rows: Vec<Vec<String>> = self.pieces.iter().map(|(what, text)| vec![what.to_string(), text.clone()]).collect();
        table(&["", &format!("row {} · {} tokens", self.row, self.tokens)], &rows)
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "row {}, {} tokens", self.row, self.tokens)?;
        self.pieces.iter().try_for_each(|(what, text)| write!(formatter, "\n[{what}]\n{text}"))
    }
}

impl Show for Preview {
    fn text(&self) -> String {
        self.to_string()
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.html().rich()
    }
}

last_expression!(Preview);
