//! Text that comes token by token = the text of all tokens, and what stands before the first stop string.

use finetuning::*;
use serde_json::json;

use crate::support::fresh_folder;

/// Numbers below `limit` in a fixed order.
fn numbers(count: usize, limit: u64, seed: u64) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 33) % limit) as u32
    };
    (0..count).map(|_| next()).collect()
}

/// A tokenizer as Llama's: words with a mark for the space before them, bytes where a character is no piece.
fn llama_like() -> Tokenizer {
    let mut vocabulary = serde_json::Map::new();
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    for piece in ["<|endoftext|>".to_string()].into_iter().chain(bytes).chain(["▁a", "▁b", "a", "b", "▁", "ß"].map(String::from)) {
        vocabulary.insert(piece, vocabulary.len().into());
    }
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "added_tokens": [{"id": 0, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": true, "byte_fallback": true, "vocab": vocabulary, "merges": []},
    });
    let folder = fresh_folder();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    Tokenizer::from_folder(&folder).unwrap()
}

#[test]
fn a_stream_of_any_tokens_is_their_text() {
    let check = |tokenizer: &Tokenizer, ids: &[u32], place: &str| {
        let mut streamer = TextStreamer::new(tokenizer);
        let mut text: String = ids.iter().map(|&id| streamer.push(id).unwrap()).collect();
        text.push_str(&streamer.end().unwrap());
        assert_eq!(text, tokenizer.decode(ids).unwrap(), "{place}");
    };
    let byte_level = AutoTokenizer::from_pretrained("builtin:base").unwrap();
    for seed in 0..40 {
        // Few different tokens, so that bytes meet that form characters, and many; whole characters or none.
        let limit = [300, byte_level.vocab_size() as u64][seed % 2];
        check(&byte_level, &numbers(300, limit, seed as u64), &format!("byte level, seed {seed}"));
    }
    let with_fallback = llama_like();
    for seed in 0..40 {
        let pieces = ["a", " b", "ß", "漢", "🙂", " é", "\n"];
        let text: String = numbers(100, pieces.len() as u64, seed).iter().map(|&piece| pieces[piece as usize]).chain(["a"]).collect();
        let mut ids = with_fallback.encode(&text).unwrap();
        assert!(ids.len() > 150);
        // The first bytes of a character that does not come.
        ids.extend(&with_fallback.encode("🙂").unwrap()[..2]);
        check(&with_fallback, &ids, &format!("byte fallback, seed {seed}"));
    }
}

#[test]
fn a_text_ends_before_its_first_stop_string() {
    let stops = ["ab", "bcb", "", "aac"].map(String::from);
    let mut found = 0;
    for seed in 0..200 {
        let text: String = numbers(12, 3, seed).iter().map(|&c| ['a', 'b', 'c'][c as usize]).collect();
        let size = 1 + seed as usize % 4;
        let (mut strings, mut given, mut seen) = (StopStrings::new(&stops), String::new(), String::new());
        for piece in text.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap()) {
            let first = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| seen.find(stop.as_str())).min();
            assert_eq!(strings.found(), first.is_some(), "{text}");
            if let Some(first) = first {
                assert_eq!(given, seen[..first], "{text}");
                found += 1;
                break;
            }
            seen.push_str(piece);
            given.push_str(&strings.push(piece));
            assert!(seen.starts_with(&given));
            let held = &seen[given.len()..];
            assert!(strings.found() || stops.iter().any(|stop| stop.starts_with(held)), "{held} is held back in {text}");
        }
        if !strings.found() {
            assert_eq!(given + &strings.end(), text);
        }
    }
    assert!((20..180).contains(&found), "{found} texts had a stop string");
}
