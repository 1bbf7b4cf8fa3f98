//! An example → the text that a model learns, and its two halves, by the columns of the row.

use std::borrow::Cow;

use crate::data::example::Example;
use crate::data::shape::{Content, Shape};
use crate::error::{Error, ErrorKind, Result};

/// The text of an example by its columns (see [`Shape::of`]): prompt and completion without a separator, as the course's
/// `tokenize_function` joins them.
///
/// # Errors
/// [`ErrorKind::Data`] when the example has the columns of no shape, or is a conversation or a pair of answers.
pub fn concatenate(example: &Example) -> Result<String> {
    prompt_and_completion(example).map(|(prompt, completion)| prompt.into_owned() + &completion)
}

/// The two halves of [`concatenate`]; an example with only `text` has an empty prompt.
///
/// # Errors
/// As [`concatenate`].
pub fn prompt_and_completion(example: &Example) -> Result<(Cow<'_, str>, Cow<'_, str>)> {
    match Shape::of(example)?.read(example)? {
        Content::Completion { prompt, completion } => Ok((prompt, completion)),
        Content::Chat { .. } => Err(Error::new(ErrorKind::Data, "the row is a conversation, which a chat template joins")
            .hint("use `tokenize_dataset`, or `Tokenizer::apply_chat_template`")),
        _ => Err(Error::new(ErrorKind::Data, "the row is a preference pair, which is two texts")
            .hint("use `tokenize_preferences`, or learn the chosen answers alone: `remove_columns` and `rename_column`")),
    }
}
