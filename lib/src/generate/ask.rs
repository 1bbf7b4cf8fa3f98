//! Conversations and a model → what the assistant says next: asked in the model's own chat template, where it has one.

use crate::data::message::Message;
use crate::error::Result;
use crate::generate::batch::{check_prompt, continue_texts};
use crate::generate::config::GenerationConfig;
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;

/// Texts that a model continues at once.
const BATCH: usize = 32;

/// The answers to several conversations in their order: [`crate::generate_texts`] of [`Tokenizer::prompt`],
/// before which no token stands that the chat template does not write. An answer ends where its turn
/// does, too, by the template's own token for that ([`Tokenizer::turn_end`]).
///
/// # Errors
/// Those of [`Tokenizer::prompt`] and [`crate::generate_texts`].
pub fn ask_texts(
    conversations: &[impl AsRef<[Message]>],
    model: &CausalLm,
    tokenizer: &Tokenizer,
    config: &GenerationConfig,
) -> Result<Vec<String>> {
    let ids = conversations.iter().map(|messages| tokenizer.encode_asked(&tokenizer.prompt(messages.as_ref())?));
    let prompts = ids.collect::<Result<Vec<_>>>()?;
    continue_texts(&prompts, model, tokenizer, &config.clone().with_turn_end(tokenizer))
}

/// What follows each prompt, 32 at once, up to the end of a text or of a turn; a prompt that cannot be continued leaves the others as
/// they are.
pub(crate) fn complete_each(
    prompts: Vec<Result<Vec<u32>>>,
    model: &CausalLm,
    tokenizer: &Tokenizer,
    config: &GenerationConfig,
) -> Vec<Result<String>> {
    let (room, config) = (model.config().max_position_embeddings(), config.clone().with_turn_end(tokenizer));
    let check = |ids: Result<Vec<u32>>| ids.and_then(|ids| check_prompt(model, &ids, room).map(|()| ids));
    let checked: Vec<Result<Vec<u32>>> = prompts.into_iter().map(check).collect();
    let good: Vec<Vec<u32>> = checked.iter().flatten().cloned().collect();
    let together = |ids: &[Vec<u32>]| match continue_texts(ids, model, tokenizer, &config) {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); ids.len()],
    };
    let mut answers = good.chunks(BATCH).flat_map(together).collect::<Vec<_>>().into_iter();
    let answer = |ids: &Result<Vec<u32>>| match ids {
        Ok(_) => answers.next().unwrap_or_else(|| Ok(String::new())),
        Err(error) => Err(error.clone()),
    };
    checked.iter().map(answer).collect()
}

impl GenerationConfig {
    /// The same settings with the id that ends a turn of the assistant besides.
    fn with_turn_end(mut self, tokenizer: &Tokenizer) -> Self {
        self.eos_token_id.extend(tokenizer.turn_end());
        self
    }
}
