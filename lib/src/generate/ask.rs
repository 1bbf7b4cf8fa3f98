//! Conversations and a model → what the assistant says next: asked in the model's own chat template, where it has one.

use crate::data::message::Message;
use crate::error::Result;
use crate::generate::batch::{check_prompt, generate_texts};
use crate::generate::config::GenerationConfig;
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;

/// Texts that a model continues at once.
const BATCH: usize = 32;

/// The answers to several conversations in their order: [`generate_texts`] of [`Tokenizer::prompt`]. An answer ends where its turn
/// does, too, by the template's own token for that ([`Tokenizer::turn_end`]).
///
/// # Errors
/// Those of [`Tokenizer::prompt`] and [`generate_texts`].
pub fn ask_texts(
    conversations: &[impl AsRef<[Message]>],
    model: &CausalLm,
    tokenizer: &Tokenizer,
    config: &GenerationConfig,
) -> Result<Vec<String>> {
    let prompts = conversations.iter().map(|messages| tokenizer.prompt(messages.as_ref())).collect::<Result<Vec<_>>>()?;
    generate_texts(&prompts, model, tokenizer, &config.clone().with_turn_end(tokenizer))
}

/// What follows each text, 32 at once, up to the end of a text or of a turn; a text that cannot be continued leaves the others as
/// they are.
pub(crate) fn complete_each(
    texts: Vec<Result<String>>,
    model: &CausalLm,
    tokenizer: &Tokenizer,
    config: &GenerationConfig,
) -> Vec<Result<String>> {
    let (room, config) = (model.config().max_position_embeddings(), config.clone().with_turn_end(tokenizer));
    let check = |text: Result<String>| {
        let text = text?;
        check_prompt(model, &tokenizer.encode_prompt(&text)?, room).map(|()| text)
    };
    let checked: Vec<Result<String>> = texts.into_iter().map(check).collect();
    let good: Vec<&String> = checked.iter().flatten().collect();
    let together = |texts: &[&String]| match generate_texts(texts, model, tokenizer, &config) {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); texts.len()],
    };
    let mut answers = good.chunks(BATCH).flat_map(together).collect::<Vec<_>>().into_iter();
    let answer = |text: &Result<String>| match text {
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
