//! A text and a model → the tokens that may come next, with their probabilities.

use crate::error::{Error, ErrorKind, Result};
use crate::generate::batch::check_prompt;
use crate::generate::sampler::{check_logits, rows, softmax};
use crate::models::causal::CausalLm;
use crate::models::decoder::Cache;
use crate::tokenizer::text::Tokenizer;

/// The `n` most probable tokens after a text, each with its probability, the most probable first: the bars of one step of a
/// generation. The text is read as it is ([`Tokenizer::prompt`] makes that of a chat); a special token has its name, such as
/// `<|im_end|>`. With `n` of the vocabulary's size the probabilities make 1.
///
/// # Errors
/// When `n` is 0, the text has no tokens or too many, or the model gives no numbers.
pub fn next_tokens(model: &CausalLm, tokenizer: &Tokenizer, text: &str, n: usize) -> Result<Vec<(String, f64)>> {
    if n == 0 {
        return Err(Error::new(ErrorKind::Model, "n is 0; it must be at least 1").hint("10 make a good picture"));
    }
    let ids = tokenizer.encode_prompt(text)?;
    // One token more than the text has to have room.
    check_prompt(model, &ids, model.config().max_position_embeddings())?;
    let logits = rows(&model.forward_cached(&ids, &mut Cache::new())?)?.swap_remove(0);
    check_logits(&logits)?;
    let probabilities = softmax(&logits);
    let mut order: Vec<u32> = (0..probabilities.len() as u32).collect();
    order.sort_by(|&a, &b| probabilities[b as usize].total_cmp(&probabilities[a as usize]).then(a.cmp(&b)));
    let named = |id: u32| Ok((tokenizer.special_token(id).map_or_else(|| tokenizer.decode(&[id]), Ok)?, probabilities[id as usize]));
    order.into_iter().take(n).map(named).collect()
}
