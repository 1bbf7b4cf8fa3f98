//! A tokenizer → the metadata of a `.gguf` file, refused where they would not hold it: the inverse of [`crate::tokenizer::gguf`].

use candle_core::quantized::gguf_file::Value as Stored;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::gguf::{BYTE, CONTROL, CUTS, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, documents_of};
use crate::tokenizer::text::Tokenizer;
use crate::util::names::quoted;
use crate::util::notice;

/// The names of cuts that llama.cpp's converter writes.
const WRITTEN: [&str; 4] = ["gpt-2", "smollm", "llama-bpe", "qwen2"];

/// What a token without a merge weighs: less than any other.
const ALONE: f32 = -1e6;

/// What is known of a tokenizer's kind.
enum Kind {
    /// Byte-level BPE; how llama.cpp calls its cuts.
    ByteLevel(&'static str),
    /// sentencepiece's BPE; whether a space goes before a text.
    SentencePiece(bool),
}

impl Tokenizer {
    /// The entries `tokenizer.…` of a file whose model has `rows` embeddings; `end_ids` end its texts besides the tokenizer's own.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] for a tokenizer of a kind that llama.cpp, or this crate's reader of its files, does not have, and for ids
    /// without an embedding.
    pub(crate) fn gguf_metadata(&self, rows: usize, end_ids: &[u32]) -> Result<Vec<(String, Stored)>> {
        let refuse = |reason: String| {
            Error::new(
                ErrorKind::Tokenizer,
                format!("the tokenizer of `{}` does not fit into a GGUF file: {reason}", self.folder().display()),
            )
        };
        let document = self.document()?;
        let entries = self.entries(&document, rows, end_ids);
        let entries =
            entries.map_err(|reason| refuse(reason).hint("save the model with `save_pretrained`, and convert it with llama.cpp"))?;
        // What is read again must be the same merges.
        let read = documents_of(&entries.iter().cloned().collect()).map_err(refuse)?;
        if merges(&read.tokenizer["model"]) != merges(&document["model"]) {
            return Err(refuse("its merges do not follow from scores of its tokens, as sentencepiece's do".into())
                .hint("save the model with `save_pretrained`"));
        }
        Ok(entries)
    }

    fn entries(&self, document: &Value, rows: usize, end_ids: &[u32]) -> std::result::Result<Vec<(String, Stored)>, String> {
        let kind = kind(document)?;
        let added = document["added_tokens"].as_array().cloned().unwrap_or_default();
        let mut tokens: Vec<Option<String>> = vec![None; rows];
        for (token, id) in self.vocabulary() {
            match tokens.get_mut(id as usize) {
                Some(place) => *place = Some(token),
                None => return Err(format!("`{token}` has the id {id}, and the model has {rows} embeddings")),
            }
        }
        let is_byte = |token: &str| token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        let mut types: Vec<i64> = tokens.iter().map(|token| if token.is_some() { NORMAL } else { UNUSED }).collect();
        if matches!(kind, Kind::SentencePiece(_)) {
            let bytes = tokens.iter().enumerate().filter(|(_, token)| token.as_deref().is_some_and(is_byte));
            bytes.for_each(|(id, _)| types[id] = BYTE);
        }
        let mut sided = Vec::new();
        for token in &added {
            let Some(id) = token["id"].as_u64().filter(|id| *id < rows as u64) else { continue };
            types[id as usize] = if token["special"] == true { CONTROL } else { USER_DEFINED };
            if ["lstrip", "rstrip", "single_word"].iter().any(|side| token[*side] == true) {
                sided.extend(token["content"].as_str().map(String::from));
            }
        }
        if !sided.is_empty() {
            notice::warn(format_args!(
                "a GGUF file does not say that {} take the blanks beside them, as this tokenizer does: llama.cpp keeps these blanks",
                quoted(&sided)
            ));
        }
        let unknown = document["model"]["unk_token"].as_str().and_then(|token| self.id_of(token));
        let unknown = unknown.filter(|_| matches!(kind, Kind::SentencePiece(_)));
        if let Some(id) = unknown {
            types[id as usize] = UNKNOWN;
        }
        let names: Vec<String> = tokens.into_iter().enumerate().map(|(id, token)| token.unwrap_or_else(|| format!("[PAD{id}]"))).collect();
        let mut entries = Entries(Vec::new());
        match kind {
            Kind::ByteLevel(cuts) => {
                entries.add("ggml.model", text("gpt2"));
                entries.add("ggml.pre", text(cuts));
                let merges = merges(&document["model"]).ok_or("a half of a merge has a blank")?;
                entries.add("ggml.merges", Stored::Array(merges.into_iter().map(Stored::String).collect()));
            }
            Kind::SentencePiece(before) => {
                entries.add("ggml.model", text("llama"));
                entries.add("ggml.pre", text("default"));
                entries.add("ggml.add_space_prefix", Stored::Bool(before));
                let scores = scores(&document["model"], &names).ok_or("a half of a merge has a blank")?;
                entries.add("ggml.scores", Stored::Array(scores.into_iter().map(Stored::F32).collect()));
            }
        }
        entries.add("ggml.tokens", Stored::Array(names.into_iter().map(Stored::String).collect()));
        entries.add("ggml.token_type", Stored::Array(types.into_iter().map(|kind| Stored::I32(kind as i32)).collect()));
        self.add_ids(&mut entries, unknown, end_ids)?;
        if let Some(template) = self.brings_chat_template().then(|| self.chat_template(false).ok()).flatten() {
            entries.add("chat_template", Stored::String(template));
        }
        Ok(entries.0)
    }

    /// The ids with a meaning, and what stands around a text.
    fn add_ids(&self, entries: &mut Entries, unknown: Option<u32>, end_ids: &[u32]) -> std::result::Result<(), String> {
        let named = |name: &str| self.special_tokens().iter().find(|(own, _)| own == name).and_then(|(_, token)| self.id_of(token));
        let (begin, before) = (named("bos_token"), self.beginning());
        let begin = begin.or(match before {
            [id] => Some(*id),
            _ => None,
        });
        if !before.is_empty() && Some(before) != begin.as_ref().map(std::slice::from_ref) {
            return Err(format!("it puts the ids {before:?} before a text; a GGUF file has bos_token alone there"));
        }
        let mut ends: Vec<u32> = end_ids.iter().copied().filter(|id| *id != self.eos_id()).collect();
        ends.dedup();
        let ids = [("bos", begin), ("eos", Some(self.eos_id())), ("unknown", unknown), ("padding", named("pad_token"))];
        let ids = ids.into_iter().chain([("eot", ends.first().copied()), ("eom", ends.get(1).copied())]);
        for (name, id) in ids.filter_map(|(name, id)| Some((name, id?))) {
            entries.add(&format!("ggml.{name}_token_id"), Stored::U32(id));
        }
        if ends.len() > 2 {
            notice::warn(format_args!(
                "a GGUF file names three ids that end a text; these end none there, unless by their names: {:?}",
                &ends[2..]
            ));
        }
        entries.add("ggml.add_bos_token", Stored::Bool(!before.is_empty()));
        // What ends a text in training would end a prompt there.
        entries.add("ggml.add_eos_token", Stored::Bool(false));
        Ok(())
    }
}

struct Entries(Vec<(String, Stored)>);

impl Entries {
    fn add(&mut self, name: &str, value: Stored) {
        self.0.push((format!("tokenizer.{name}"), value));
    }
}

fn text(text: &str) -> Stored {
    Stored::String(text.into())
}

/// Merges as texts with a blank between the halves; none where a half has one itself.
fn merges(model: &Value) -> Option<Vec<String>> {
    let whole = |merge: &Value| match merge {
        Value::String(merge) => Some(merge.clone()),
        Value::Array(halves) => {
            let halves: Vec<&str> = halves.iter().filter_map(Value::as_str).collect();
            halves.iter().all(|half| !half.contains(' ')).then(|| halves.join(" "))
        }
        _ => None,
    };
    model["merges"].as_array()?.iter().map(whole).collect()
}

/// A token weighs as much as the first merge that makes it is early.
fn scores(model: &Value, names: &[String]) -> Option<Vec<f32>> {
    let mut first = std::collections::HashMap::new();
    for (rank, merge) in merges(model)?.into_iter().enumerate() {
        first.entry(merge.replacen(' ', "", 1)).or_insert(rank);
    }
    Some(names.iter().enumerate().map(|(id, name)| first.get(name).map_or(ALONE - id as f32, |rank| -(*rank as f32))).collect())
}

fn kind(document: &Value) -> std::result::Result<Kind, String> {
    let model = &document["model"];
    if model["type"] != "BPE" {
        return Err(format!("its model is {}; llama.cpp reads BPE", model["type"]));
    }
    for field in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
        if !model[field].is_null() && model[field] != "" {
            return Err(format!("its {field} is {}", model[field]));
        }
    }
    let steps = list(&document["pre_tokenizer"], "pretokenizers");
    match steps.iter().any(|step| step["type"] == "ByteLevel") {
        true => byte_level(document, &steps).map(Kind::ByteLevel),
        false => sentencepiece(document, &steps).map(Kind::SentencePiece),
    }
}

/// The members of a sequence, or the one that stands alone.
fn list(value: &Value, members: &str) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        _ if value["type"] == "Sequence" => value[members].as_array().cloned().unwrap_or_default(),
        _ => vec![value.clone()],
    }
}

fn byte_level(document: &Value, steps: &[Value]) -> std::result::Result<&'static str, String> {
    let normalizers = list(&document["normalizer"], "normalizers");
    match normalizers.iter().find(|normalizer| normalizer["type"] != "NFC") {
        Some(other) => return Err(format!("its normalizer is {}", other["type"])),
        None if !normalizers.is_empty() => notice::warn(
            "a GGUF file does not say that this tokenizer puts texts into the form NFC: llama.cpp reads other forms as they are",
        ),
        None => {}
    }
    let mut cut = (None, false);
    for (number, step) in steps.iter().enumerate() {
        let is_last = number + 1 == steps.len();
        match (step["type"].as_str(), step["pattern"]["Regex"].as_str()) {
            (Some("Digits"), _) if step["individual_digits"] == true && cut == (None, false) && !is_last => cut.1 = true,
            (Some("Split"), Some(pattern)) if step["behavior"] == "Isolated" && step["invert"] != true && cut.0.is_none() && !is_last => {
                cut.0 = Some(pattern);
            }
            (Some("ByteLevel"), _) if step["add_prefix_space"] != true && (step["use_regex"] != false) == cut.0.is_none() && is_last => {}
            _ => return Err(format!("it cuts texts by {step}")),
        }
    }
    let known = CUTS.iter().find(|(name, pattern, digits)| WRITTEN.contains(name) && (*pattern, *digits) == cut).map(|(name, ..)| *name);
    let known = known.ok_or_else(|| format!("it cuts texts by {steps:?}; this crate writes {}", WRITTEN.join(", ")))?;
    if (known == "llama-bpe") != (document["model"]["ignore_merges"] == true) {
        return Err(format!("its ignore_merges is {}, which `{known}` of llama.cpp is not", document["model"]["ignore_merges"]));
    }
    Ok(known)
}

fn sentencepiece(document: &Value, steps: &[Value]) -> std::result::Result<bool, String> {
    if document["model"]["byte_fallback"] != true {
        return Err("it is neither a byte-level BPE nor falls back to bytes".into());
    }
    let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let prepend = json!({ "type": "Prepend", "prepend": "▁" });
    let normalizers = list(&document["normalizer"], "normalizers");
    let scheme = |step: &Value| step["prepend_scheme"].as_str().map(String::from);
    match (normalizers.as_slice(), steps) {
        ([first, second], []) if *first == prepend && *second == replace => Ok(true),
        ([only], [] | [_]) if *only == replace && steps.iter().all(|step| step["type"] == "Split" && step["pattern"]["String"] == " ") => {
            Ok(false)
        }
        ([], [step]) if step["type"] == "Metaspace" && step["replacement"] == "▁" && step["split"] != true => {
            Ok(scheme(step).as_deref() != Some("never"))
        }
        _ => Err(format!("it cuts texts by {} after {}", document["pre_tokenizer"], document["normalizer"])),
    }
}
