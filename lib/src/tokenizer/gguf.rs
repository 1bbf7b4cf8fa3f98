//! The metadata of a `.gguf` file → the tokenizer that it holds, as `tokenizer.json` and `tokenizer_config.json` would say it.
//!
//! Two kinds exist among Llamas: byte-level BPE (`gpt2`), with its merges, and sentencepiece's BPE (`llama`), with scores from
//! which the merges follow, as in transformers' conversion. The formats are those of llama.cpp.

use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::gguf_file::Value as Stored;
use serde_json::{Map, Value, json};

use crate::border::gguf::open;
use crate::border::limits::TOKEN_LETTERS;
use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::text::Tokenizer;

/// Types of tokens.
pub(crate) const NORMAL: i64 = 1;
pub(crate) const UNKNOWN: i64 = 2;
pub(crate) const CONTROL: i64 = 3;
pub(crate) const USER_DEFINED: i64 = 4;
pub(crate) const UNUSED: i64 = 5;
pub(crate) const BYTE: i64 = 6;

/// How texts are cut before merges, by llama.cpp's name of the tokenizer: a pattern, and whether digits stand alone before it.
/// `None` is GPT-2's own pattern.
pub(crate) const CUTS: [(&str, Option<&str>, bool); 11] = [
    ("default", None, false),
    ("gpt-2", None, false),
    ("mpt", None, false),
    // GPT-NeoX's tokenizer is called by its younger brother.
    ("olmo", None, false),
    ("phi-2", None, false),
    ("smollm", None, true),
    ("llama-bpe", Some(LLAMA3), false),
    ("llama-v3", Some(LLAMA3), false),
    ("llama3", Some(LLAMA3), false),
    ("qwen2", Some(QWEN2), false),
    ("refact", None, true),
];
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// `tokenizer.json` and `tokenizer_config.json`, as a file of ours has them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Documents {
    /// `tokenizer.json`.
    pub tokenizer: Value,
    /// `tokenizer_config.json`.
    pub configuration: Value,
}

impl Tokenizer {
    /// The tokenizer that a `.gguf` file holds.
    ///
    /// # Errors
    /// When the file is none, holds no tokenizer, or one of a kind that this crate does not know.
    pub fn from_gguf(path: &Path) -> Result<Self> {
        let Documents { tokenizer, configuration } = documents(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::assembled(tokenizer.to_string().as_bytes(), configuration, &Value::Null, folder, path)
    }
}

/// The tokenizer of a `.gguf` file in the words of the two files.
///
/// # Errors
/// [`ErrorKind::Tokenizer`] when the file has no tokenizer that this crate knows; [`ErrorKind::File`] when it cannot be read.
pub fn documents(path: &Path) -> Result<Documents> {
    let refuse = |reason: String| {
        Error::new(ErrorKind::Tokenizer, format!("`{}`: {reason}", path.display()))
            .hint("put the model's tokenizer.json and tokenizer_config.json beside the file")
    };
    let (content, _) = open(path, ErrorKind::Tokenizer)?;
    documents_of(&content.metadata).map_err(refuse)
}

/// The same of metadata; `Err` says what is not known.
pub(crate) fn documents_of(metadata: &HashMap<String, Stored>) -> std::result::Result<Documents, String> {
    Metadata(metadata).documents()
}

struct Metadata<'a>(&'a HashMap<String, Stored>);

impl Metadata<'_> {
    fn get(&self, name: &str) -> Option<&Stored> {
        self.0.get(&format!("tokenizer.{name}"))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| value.to_string().ok()).map(String::as_str)
    }

    fn texts(&self, name: &str) -> Option<Vec<&str>> {
        self.get(name)?.to_vec().ok()?.iter().map(|value| value.to_string().ok().map(String::as_str)).collect()
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(|value| value.to_bool().ok())
    }

    fn documents(&self) -> std::result::Result<Documents, String> {
        let kind = self.text("ggml.model").ok_or("it holds no tokenizer")?;
        let tokens = self.texts("ggml.tokens").ok_or("its tokenizer has no tokens")?;
        let types: Vec<i64> = match self.get("ggml.token_type").and_then(|types| types.to_vec().ok()) {
            Some(types) => types.iter().map(|kind| kind.to_i32().map_or(NORMAL, i64::from)).collect(),
            None => vec![NORMAL; tokens.len()],
        };
        if types.len() != tokens.len() {
            return Err(format!("its token_type has {} values for {} tokens", types.len(), tokens.len()));
        }
        let special = |id: &usize| [UNKNOWN, CONTROL, USER_DEFINED].contains(types.get(*id).unwrap_or(&NORMAL));
        let added = |id: usize| {
            let is_special = types[id] != USER_DEFINED;
            json!({ "id": id, "content": tokens[id], "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": is_special })
        };
        let added: Vec<Value> = (0..tokens.len()).filter(special).map(added).collect();
        let vocabulary: Map<String, Value> = tokens.iter().enumerate().map(|(id, token)| (token.to_string(), id.into())).collect();
        let named =
            |name: &str| self.get(&format!("ggml.{name}_token_id")).and_then(|id| id.to_u32().ok()).and_then(|id| tokens.get(id as usize));
        // Where the file does not say it, llama.cpp begins texts of these kinds.
        let usual = kind == "llama" || self.text("ggml.pre").is_some_and(|name| name.starts_with("llama"));
        let begins = self.flag("ggml.add_bos_token").unwrap_or(usual);
        let mut tokenizer = match kind {
            "gpt2" => self.byte_level(vocabulary)?,
            "llama" => self.sentencepiece(vocabulary, &tokens, &types, named("unknown").copied())?,
            other => return Err(format!("its tokenizer is `{other}`; this crate knows `gpt2` and `llama`")),
        };
        tokenizer["version"] = "1.0".into();
        tokenizer["added_tokens"] = added.into();
        if let (true, Some(first)) = (begins, named("bos")) {
            let id = tokens.iter().position(|token| token == first).unwrap_or(0);
            let first_of =
                |kind: &str| json!([{ "SpecialToken": { "id": first, "type_id": 0 } }, { "Sequence": { "id": kind, "type_id": 0 } }]);
            tokenizer["post_processor"] = json!({
                "type": "TemplateProcessing", "single": first_of("A"), "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
                "special_tokens": { *first: { "id": first, "ids": [id], "tokens": [first] } },
            });
        }
        let mut configuration = Map::new();
        for (name, key) in [("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")] {
            configuration.extend(named(name).map(|token| (key.to_string(), Value::from(*token))));
        }
        configuration.extend(self.flag("ggml.add_eos_token").map(|add| ("add_eos_token".to_string(), add.into())));
        configuration.extend(self.text("chat_template").map(|template| ("chat_template".to_string(), template.into())));
        Ok(Documents { tokenizer, configuration: configuration.into() })
    }

    /// Byte-level BPE.
    fn byte_level(&self, vocabulary: Map<String, Value>) -> std::result::Result<Value, String> {
        let merges = self.texts("ggml.merges").ok_or("its tokenizer has no merges")?;
        let name = self.text("ggml.pre").unwrap_or("default");
        let Some((_, pattern, digits)) = CUTS.iter().find(|(known, ..)| *known == name) else {
            let known: Vec<&str> = CUTS.iter().map(|(known, ..)| *known).collect();
            return Err(format!("its tokenizer cuts texts as `{name}`; this crate knows {}", known.join(", ")));
        };
        let mut steps = Vec::new();
        if *digits {
            steps.push(json!({ "type": "Digits", "individual_digits": true }));
        }
        if let Some(pattern) = pattern {
            steps.push(json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false }));
        }
        steps.push(json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": pattern.is_none() }));
        Ok(json!({
            "normalizer": null, "post_processor": null, "pre_tokenizer": { "type": "Sequence", "pretokenizers": steps },
            "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
            // Llama 3 takes a word that is a token as it is, whatever its merges.
            "model": model(vocabulary, merges.into_iter().map(String::from).collect(), None, *pattern == Some(LLAMA3)),
        }))
    }

    /// BPE of sentencepiece: two tokens may be merged where both exist, those with the highest score first.
    fn sentencepiece(
        &self,
        vocabulary: Map<String, Value>,
        tokens: &[&str],
        types: &[i64],
        unknown: Option<&str>,
    ) -> std::result::Result<Value, String> {
        let scores = self.get("ggml.scores").and_then(|scores| scores.to_vec().ok()).filter(|scores| scores.len() == tokens.len());
        let scores = scores.ok_or("its tokenizer has no scores")?;
        // Each token is looked at once for each of its letters.
        let work: u64 = tokens.iter().map(|token| (token.len() as u64).pow(2)).sum();
        if work > TOKEN_LETTERS {
            return Err(format!("its tokens have too many letters: their squares add up to {work}, and {TOKEN_LETTERS} are allowed"));
        }
        let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, token)| (*token, id)).collect();
        let mut merges: Vec<(f32, usize, usize, String)> = Vec::new();
        for (id, token) in tokens.iter().enumerate().filter(|(id, _)| types[*id] == NORMAL) {
            let score = scores[id].to_f32().unwrap_or(f32::MIN);
            let halves = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
            let mut own: Vec<(usize, usize, &str, &str)> =
                halves.filter_map(|(left, right)| Some((*ids.get(left)?, *ids.get(right)?, left, right))).collect();
            own.sort_by(|a, b| b.cmp(a));
            let merge = |(_, _, left, right): (usize, usize, &str, &str)| {
                (score, left.chars().count(), right.chars().count(), format!("{left} {right}"))
            };
            merges.extend(own.into_iter().map(merge));
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((b.1, b.2).cmp(&(a.1, a.2))));
        let mut normalizers = vec![json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" })];
        let mut decoders = vec![
            json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
            json!({ "type": "ByteFallback" }),
            json!({ "type": "Fuse" }),
        ];
        if self.flag("ggml.add_space_prefix").unwrap_or(true) {
            normalizers.insert(0, json!({ "type": "Prepend", "prepend": "▁" }));
            decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        Ok(json!({
            "normalizer": { "type": "Sequence", "normalizers": normalizers }, "pre_tokenizer": null, "post_processor": null,
            "decoder": { "type": "Sequence", "decoders": decoders },
            "model": model(vocabulary, merges.into_iter().map(|(.., merge)| merge).collect(), unknown, false),
        }))
    }
}

/// The part of `tokenizer.json` that merges; with an unknown token, characters that are none come as bytes.
fn model(vocabulary: Map<String, Value>, merges: Vec<String>, unknown: Option<&str>, ignore_merges: bool) -> Value {
    let falls_back = vocabulary.contains_key("<0x0A>");
    json!({
        "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": unknown.is_some(), "byte_fallback": falls_back, "ignore_merges": ignore_merges, "vocab": vocabulary, "merges": merges,
    })
}
