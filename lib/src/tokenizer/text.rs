//! Text ↔ token ids, over the `tokenizers` library; padding and truncation on either side.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::Value;
use tokenizers::{PostProcessorWrapper, Tokenizer as Inner};

use crate::border::guard::guarded;
use crate::border::{file, json, limits};
use crate::error::{Error, ErrorKind, Result};

/// A tokenizer with its special ids, as read from `tokenizer.json` and `tokenizer_config.json`. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
    folder: PathBuf,
    configuration: Value,
    special: Vec<(String, String)>,
    eos: u32,
    /// What stands before and after a text.
    around: [Vec<u32>; 2],
    /// Whether an added token counts between blanks only, so that what follows a text changes its last ids.
    whole_words: bool,
}

/// The end-of-sequence token of a tokenizer whose configuration names none.
const END: &str = "<|endoftext|>";

/// The special tokens that a configuration may name.
const SPECIAL: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The side of a row that is cut off or filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The beginning.
    Left,
    /// The end.
    Right,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, if it is there, `tokenizer_config.json` of a checkpoint folder.
    ///
    /// The end-of-sequence token is `eos_token` of the configuration, else `<|endoftext|>`, else `sep_token`; it also pads, as in
    /// the course. Special tokens that the configuration does not name are those of `special_tokens_map.json`, which older
    /// checkpoints have.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when a file cannot be read; [`ErrorKind::Tokenizer`] when it is no tokenizer, or its end-of-sequence token is unknown.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        Self::from_file(&folder.join("tokenizer.json"))
    }

    /// [`Tokenizer::from_folder`] for a `tokenizer.json` of any name.
    ///
    /// # Errors
    /// As [`Tokenizer::from_folder`].
    pub fn from_file(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let bytes = file::read(path, limits::TOKENIZER)?;
        let configuration = optional_json(&folder.join("tokenizer_config.json"))?;
        let older = optional_json(&folder.join("special_tokens_map.json"))?;
        Self::assembled(&bytes, configuration, &older, folder, path)
    }

    /// From the content of `tokenizer.json`, that of the two files beside it, and the `path` to name in errors.
    pub(crate) fn assembled(bytes: &[u8], configuration: Value, older: &Value, folder: &Path, path: &Path) -> Result<Self> {
        guarded(ErrorKind::Tokenizer, format_args!("`{}`", path.display()), || Self::read(bytes, configuration, older, folder, path))
    }

    fn read(bytes: &[u8], configuration: Value, older: &Value, folder: &Path, path: &Path) -> Result<Self> {
        let mut inner = Inner::from_bytes(bytes).map_err(|error| {
            Error::new(ErrorKind::Tokenizer, format!("`{}` is not a tokenizer: {error}", path.display()))
                .hint("fetch the checkpoint again")
                .in_file(path)
                .because(error)
        })?;
        let text = |token: &Value| token.as_str().or(token["content"].as_str()).map(String::from);
        let special: Vec<(String, String)> = SPECIAL
            .iter()
            .filter_map(|&name| Some((name.to_string(), text(&configuration[name]).or_else(|| text(&older[name]))?)))
            .collect();
        let named = |name: &str| special.iter().find(|(own, _)| own == name).map(|(_, token)| token.as_str());
        // An encoder's texts end with a separator.
        let separator = named("sep_token").filter(|_| inner.token_to_id(END).is_none());
        let eos_token = named("eos_token").or(separator).unwrap_or(END);
        let eos = inner.token_to_id(eos_token).ok_or_else(|| {
            Error::new(ErrorKind::Tokenizer, format!("`{}` has no token `{eos_token}`", path.display()))
                .hint("name the end-of-sequence token as `eos_token` in tokenizer_config.json")
        })?;
        // What the file stores of an earlier call: transformers resets both for each.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| refused(error).at(path.display()))?;
        let mut around = around(&inner).map_err(|error| Error::new(ErrorKind::Tokenizer, format!("`{}`: {error}", path.display())))?;
        if around[1].is_empty() && configuration["add_eos_token"] == true {
            around[1].push(eos);
        }
        let whole_words = inner.get_added_tokens_decoder().values().any(|token| token.single_word);
        // What stands around a text is known; beyond that a post-processor only takes blanks off the places of tokens.
        inner.with_post_processor(None::<PostProcessorWrapper>);
        Ok(Self { inner: Arc::new(inner), folder: folder.to_path_buf(), configuration, special, eos, around, whole_words })
    }

    /// The ids of a text, without any special token.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] when the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = guarded(ErrorKind::Tokenizer, "encode", || self.inner.encode_fast(text, false).map_err(refused))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// [`Tokenizer::encode`] with the bytes of the text that each id stands for, and the number of its word.
    pub(crate) fn locate(&self, text: &str) -> Result<tokenizers::Encoding> {
        guarded(ErrorKind::Tokenizer, "encode", || self.inner.encode(text, false).map_err(refused))
    }

    /// The ids of a text that a model goes on from: [`Tokenizer::encode`] after the tokens that the model expects before a
    /// text, such as Llama's `<s>`, unless the text begins with them. With [`Tokenizer::ending`], what `tokenizer(text)` of
    /// transformers gives.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.begin(self.encode(text)?))
    }

    /// Ids behind those that the model expects before a text, unless they begin with them.
    pub(crate) fn begin(&self, ids: Vec<u32>) -> Vec<u32> {
        let before = self.beginning();
        if ids.starts_with(before) { ids } else { [before, &ids].concat() }
    }

    /// The ids that the model expects before a text.
    pub(crate) fn beginning(&self) -> &[u32] {
        &self.around[0]
    }

    /// Whether an added token of this tokenizer counts between blanks only.
    pub(crate) fn has_whole_words(&self) -> bool {
        self.whole_words
    }

    /// The ids that stand after a text in training: what `tokenizer.json` puts there, else the end-of-sequence token where
    /// the configuration says `add_eos_token: true` (which transformers 5 ignores), else nothing.
    pub fn ending(&self) -> &[u32] {
        &self.around[1]
    }

    /// Whether the end-of-sequence token ends every training row.
    pub fn add_eos(&self) -> bool {
        self.around[1].contains(&self.eos)
    }

    /// The ids of each text, on all processors.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_batch(&self, texts: &[impl AsRef<str> + Sync]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|text| self.encode(text.as_ref())).collect()
    }

    /// The text of ids; special tokens are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Tokenizer`] when the tokenizer refuses the ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let decode =
            || self.inner.decode(ids, true).map_err(|error| Error::new(ErrorKind::Tokenizer, format!("decode: {error}")).because(error));
        guarded(ErrorKind::Tokenizer, "decode", decode)
    }

    /// The text of a special token, which [`Tokenizer::decode`] leaves out; `None` for any other id.
    pub(crate) fn special_token(&self, id: u32) -> Option<String> {
        let text = self.inner.id_to_token(id)?;
        self.inner.get_added_vocabulary().is_special_token(&text).then_some(text)
    }

    /// The text of each row of ids.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_batch(&self, rows: &[Vec<u32>]) -> Result<Vec<String>> {
        rows.iter().map(|ids| self.decode(ids)).collect()
    }

    /// The pieces into which a text is cut, each as text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn tokens(&self, text: &str) -> Result<Vec<String>> {
        self.encode(text)?.iter().map(|&id| self.decode(&[id])).collect()
    }

    /// All tokens with their ids, the added ones included.
    pub(crate) fn vocabulary(&self) -> impl Iterator<Item = (String, u32)> {
        self.inner.get_vocab(true).into_iter()
    }

    /// The id of a token, by its text in the vocabulary.
    pub(crate) fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// `tokenizer.json` without what stands around a text.
    pub(crate) fn document(&self) -> Result<Value> {
        let text = self.inner.to_string(false).map_err(|error| Error::new(ErrorKind::Tokenizer, format!("the tokenizer: {error}")))?;
        serde_json::from_str(&text).map_err(|error| Error::new(ErrorKind::Tokenizer, format!("the tokenizer: {error}")).because(error))
    }

    /// Number of different tokens, the added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The id of the end-of-sequence token.
    pub fn eos_id(&self) -> u32 {
        self.eos
    }

    /// The text of the end-of-sequence token.
    pub(crate) fn eos_token(&self) -> &str {
        self.special.iter().find(|(name, _)| name == "eos_token").map_or(END, |(_, token)| token)
    }

    /// The id that fills rows up: the end-of-sequence token, as in the course.
    pub fn pad_id(&self) -> u32 {
        self.eos
    }

    /// The folder whose tokenizer files belong into a checkpoint.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `tokenizer_config.json`; null where there is none.
    pub(crate) fn configuration(&self) -> &Value {
        &self.configuration
    }

    /// The texts of the special tokens by name, such as `bos_token`; those that the checkpoint does not name are left out.
    pub fn special_tokens(&self) -> &[(String, String)] {
        &self.special
    }
}

fn refused(error: tokenizers::Error) -> Error {
    Error::new(ErrorKind::Tokenizer, format!("encode: {error}")).because(error)
}

/// The ids that the post-processor of `tokenizer.json` puts before and after a text.
fn around(inner: &Inner) -> std::result::Result<[Vec<u32>; 2], tokenizers::Error> {
    let encode = |special| inner.encode("a", special).map(|encoding| encoding.get_ids().to_vec());
    let (plain, whole) = (encode(false)?, encode(true)?);
    let start = (!plain.is_empty()).then(|| whole.windows(plain.len()).position(|window| window == plain)).flatten();
    Ok(start.map_or_else(Default::default, |start| [whole[..start].to_vec(), whole[start + plain.len()..].to_vec()]))
}

/// A JSON file; null where there is none.
fn optional_json(path: &Path) -> Result<Value> {
    let value = json::read_if_there(path, limits::TOKENIZER_CONFIGURATION, ErrorKind::Tokenizer, "fetch the checkpoint again")?;
    Ok(value.unwrap_or_default())
}

/// Fills every row up on the right to the length of the longest.
pub fn pad(rows: &[Vec<u32>], pad_id: u32) -> Vec<Vec<u32>> {
    let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
    rows.iter().map(|row| row.iter().copied().chain(std::iter::repeat(pad_id)).take(longest).collect()).collect()
}

/// At most `max_length` ids of a row, cut off on the given side.
pub fn truncate(ids: &[u32], max_length: usize, side: Side) -> Vec<u32> {
    let keep = ids.len().min(max_length);
    match side {
        Side::Left => ids[ids.len() - keep..].to_vec(),
        Side::Right => ids[..keep].to_vec(),
    }
}
