//! Texts one behind the other → rows of one length: `group_texts` of the Python examples, as a base model reads.

use crate::data::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::encode::{Encoding, TokenizedDataset, each_row};
use crate::tokenizer::text::Tokenizer;

/// The column `text` of all rows as one stream of ids, cut into blocks of `block_size`; what is left at the end is dropped. Between two
/// texts stands what the tokenizer puts around each: where it ends none, the end-of-sequence token. Every id of a block is learnt but
/// its first.
///
/// # Errors
/// When `block_size` is below 2, a row has no `text`, or all of them together do not fill one block.
pub fn tokenize_blocks(data: &Dataset, tokenizer: &Tokenizer, block_size: usize) -> Result<TokenizedDataset> {
    if block_size < 2 {
        return Err(Error::new(
            ErrorKind::Tokenizer,
            format!("block_size is {block_size}: a block needs a token and a next one to predict"),
        )
        .hint("use 128, or up to the model's max_position_embeddings"));
    }
    let eos = [tokenizer.eos_id()];
    let end = if tokenizer.ending().is_empty() { &eos[..] } else { tokenizer.ending() };
    let texts = each_row(data, |example| Ok([tokenizer.encode_prompt(&example.text("text")?)?.as_slice(), end].concat()))?;
    let ids = texts.concat();
    let blocks: Vec<Encoding> = ids.chunks_exact(block_size).map(|block| Encoding::from_ids(block.to_vec())).collect();
    if blocks.is_empty() {
        return Err(Error::new(
            ErrorKind::Tokenizer,
            format!("{} rows have {} tokens together, fewer than one block of {block_size}", data.len(), ids.len()),
        )
        .hint("give more text, or a smaller block_size"));
    }
    Ok(TokenizedDataset::from_rows(blocks))
}
