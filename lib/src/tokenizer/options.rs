//! How a data set is tokenized: lengths, shape, end token, and what of a conversation is learnt.

use crate::data::shape::Shape;
use crate::tokenizer::encode::MAX_LENGTH;
use crate::tokenizer::text::Side;

/// Settings of [`tokenize_with`](crate::tokenizer::rows::tokenize_with).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TokenizeOptions {
    /// Ids of a row at most. Default [`MAX_LENGTH`].
    pub max_length: usize,
    /// The side on which a longer row is cut. Default left; the tokens before a text stay in front.
    pub truncation_side: Side,
    /// What the columns mean. Default none: each row's own say it ([`Shape::of`]).
    pub shape: Option<Shape>,
    /// Whether an answer ends with the end-of-sequence token. Default where needed.
    pub end_token: EndToken,
    /// Learn the completion and not the prompt. Default true, as in TRL.
    pub completion_only: bool,
    /// Learn of a conversation what the assistant says, and nothing else. Default true.
    pub assistant_only: bool,
    /// Cut a long conversation by whole turns, the oldest first; what the system says stays, and a row whose last turn is too long
    /// is left out. Default true; false cuts it as any text.
    pub keep_whole_turns: bool,
}

/// Whether an answer ends with the end-of-sequence token, by which a model learns to stop. Conversations end as their template
/// says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EndToken {
    /// Added where neither the text nor the tokenizer ends with it, as in TRL.
    #[default]
    WhereNeeded,
    /// As the tokenizer does with any text, as in the course.
    AsTokenizer,
}

impl Default for TokenizeOptions {
    fn default() -> Self {
        Self {
            max_length: MAX_LENGTH,
            truncation_side: Side::Left,
            shape: None,
            end_token: EndToken::default(),
            completion_only: true,
            assistant_only: true,
            keep_whole_turns: true,
        }
    }
}

impl TokenizeOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another [`TokenizeOptions::max_length`].
    pub fn with_max_length(self, max_length: usize) -> Self {
        Self { max_length, ..self }
    }

    /// With another [`TokenizeOptions::truncation_side`].
    pub fn with_truncation_side(self, truncation_side: Side) -> Self {
        Self { truncation_side, ..self }
    }

    /// With a [`TokenizeOptions::shape`] for all rows.
    pub fn with_shape(self, shape: Shape) -> Self {
        Self { shape: Some(shape), ..self }
    }

    /// With another [`TokenizeOptions::end_token`].
    pub fn with_end_token(self, end_token: EndToken) -> Self {
        Self { end_token, ..self }
    }

    /// With another [`TokenizeOptions::completion_only`].
    pub fn with_completion_only(self, completion_only: bool) -> Self {
        Self { completion_only, ..self }
    }

    /// With another [`TokenizeOptions::assistant_only`].
    pub fn with_assistant_only(self, assistant_only: bool) -> Self {
        Self { assistant_only, ..self }
    }

    /// With another [`TokenizeOptions::keep_whole_turns`].
    pub fn with_whole_turns(self, keep_whole_turns: bool) -> Self {
        Self { keep_whole_turns, ..self }
    }
}
