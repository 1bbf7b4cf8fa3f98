//! The metadata of a `.gguf` file → the ids that end a text, as llama.cpp finds them: by their entries, and by their names.

use std::collections::{BTreeSet, HashMap};

use candle_core::quantized::gguf_file::Value;

/// The entries that name an id. llama.cpp writes the last two for an end of turn and of message.
pub(crate) const ENTRIES: [&str; 3] = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// The tokens that end a text wherever they stand in a vocabulary: those of `llama-vocab.cpp`.
const NAMES: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// A whole number of any width.
pub(crate) fn integer(value: &Value) -> Option<u64> {
    value.to_u64().ok().or_else(|| value.to_i64().ok().and_then(|number| u64::try_from(number).ok()))
}

/// The ids, ascending, but for the first: the file's own end of a text.
pub(crate) fn end_ids(metadata: &HashMap<String, Value>) -> Vec<u64> {
    let named = ENTRIES.iter().filter_map(|entry| integer(metadata.get(*entry)?));
    let mut ids: Vec<u64> = named.collect();
    let none = Vec::new();
    let tokens = metadata.get("tokenizer.ggml.tokens").and_then(|tokens| tokens.to_vec().ok()).unwrap_or(&none);
    let texts = tokens.iter().enumerate().filter_map(|(id, token)| Some((token.to_string().ok()?.as_str(), id as u64)));
    let known: HashMap<&str, u64> = texts.filter(|(text, _)| NAMES.contains(text)).collect();
    let mut more: BTreeSet<u64> = known.values().copied().collect();
    // What ends a message of a tool's caller there ends a channel alone.
    let has = |names: &[&str]| names.iter().all(|name| known.contains_key(name));
    if has(&["<|return|>", "<|call|>"]) || has(&["<|calls|>", "<|flush|>"]) {
        more.remove(known.get("<|end|>").unwrap_or(&u64::MAX));
    }
    // There it is an ordinary token.
    if has(&["<|tool_response>"]) {
        more.remove(known.get("</s>").unwrap_or(&u64::MAX));
    }
    more.retain(|id| !ids.contains(id));
    ids.extend(more);
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(tokens: &[&str], entries: &[(&str, u32)]) -> Vec<u64> {
        let tokens = Value::Array(tokens.iter().map(|token| Value::String(token.to_string())).collect());
        let entries = entries.iter().map(|(name, id)| (format!("tokenizer.ggml.{name}_token_id"), Value::U32(*id)));
        end_ids(&entries.chain([("tokenizer.ggml.tokens".to_string(), tokens)]).collect())
    }

    #[test]
    fn ids_are_named_by_entries_and_by_tokens() {
        assert_eq!(ends(&["a", "<|eot_id|>", "b", "<|end_of_text|>"], &[("eos", 3)]), [3, 1]);
        assert_eq!(ends(&["a", "b", "c"], &[("eos", 2), ("eot", 0), ("eom", 2)]), [2, 0]);
        assert_eq!(ends(&["a", "<end_of_turn>"], &[]), [1]);
        assert_eq!(ends(&["<|end|>", "<|return|>", "<|call|>"], &[("eos", 1)]), [1, 2]);
        assert_eq!(ends(&["<|end|>", "<|return|>"], &[("eos", 1)]), [1, 0]);
        assert!(ends(&["a"], &[]).is_empty());
    }
}
