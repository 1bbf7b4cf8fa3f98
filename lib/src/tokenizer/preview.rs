//! What a data set was taken for → one row as the model will read it, and what of it is learnt.

use std::fmt;

use crate::data::detect::Detected;
use crate::data::shape::Content;
use crate::display::output::{Html, Show, last_expression, table};
use crate::error::{Error, ErrorKind, Result};
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
    /// The first row that fits as the model will read it: conversations through the chat template of this tokenizer.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when no row fits; [`ErrorKind::Tokenizer`] when a conversation has no template or is refused by it.
    pub fn preview(&self, tokenizer: &Tokenizer) -> Result<Preview> {
        let Some((row, example)) = self.first() else {
            return Err(Error::new(ErrorKind::Data, "no row fits, so there is none to show").hint("print what was detected: it says why"));
        };
        let pieces = match self.shape.read(example)? {
            Content::Completion { prompt, completion } => vec![("read", prompt.into_owned()), ("learnt", completion.into_owned())],
            Content::Chat { messages, .. } => {
                vec![("the assistant's turns are learnt", tokenizer.apply_chat_template(&messages, false)?)]
            }
            Content::Preference { prompt, chosen, rejected } => {
                vec![("read", prompt.into_owned()), ("preferred", chosen.into_owned()), ("not preferred", rejected.into_owned())]
            }
            Content::PreferenceChat { prompt, chosen, rejected, .. } => {
                let whole = |answer: &[_]| tokenizer.apply_chat_template(&[prompt.as_slice(), answer].concat(), false);
                vec![("preferred", whole(&chosen)?), ("not preferred", whole(&rejected)?)]
            }
        };
        let pieces: Vec<(&'static str, String)> = pieces.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        let whole: String = pieces.iter().map(|(_, text)| text.as_str()).collect();
        Ok(Preview { row, pieces, tokens: tokenizer.encode_prompt(&whole)?.len() })
    }
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
