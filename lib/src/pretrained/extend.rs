//! A model, its tokenizer, new special tokens and a chat template → a checkpoint folder that has all of them: how a base model
//! becomes one that can learn to chat.

use std::path::Path;

use candle_core::{DType, Tensor, Var};
use serde_json::{Value, json};

use crate::border::{json as border_json, limits};
use crate::data::message::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::gguf::read::file as gguf_file;
use crate::models::causal::CausalLm;
use crate::models::config::Config;
use crate::nn::parameter::Parameter;
use crate::tokenizer::gguf::documents;
use crate::tokenizer::text::Tokenizer;
use crate::util::write::write_whole;

const GENERATION: &str = "generation_config.json";
const AGAIN: &str = "fetch the checkpoint again";

/// What a tokenizer gets besides what it has.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SpecialTokens {
    /// New special tokens, such as `<|im_start|>`; those that are there already stay as they are. Default none.
    pub tokens: Vec<String>,
    /// Which token ends a text from now on; an own one, or one of `tokens`. Default: as before.
    pub eos_token: Option<String>,
    /// The chat template, in Jinja's words. Default: as before.
    pub chat_template: Option<String>,
}

impl SpecialTokens {
    /// Nothing new.
    pub fn new() -> Self {
        Self::default()
    }

    /// ChatML (`<|im_start|>role … <|im_end|>`), whose turns and texts end with `<|im_end|>`: what TRL's `clone_chat_template` and
    /// `setup_chat_format` give a base model.
    pub fn chatml() -> Self {
        let template = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}\
                        {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        Self::new().with_tokens(&["<|im_start|>", "<|im_end|>"]).with_eos_token("<|im_end|>").with_chat_template(template)
    }

    /// With more [`SpecialTokens::tokens`].
    pub fn with_tokens(mut self, tokens: &[impl AsRef<str>]) -> Self {
        self.tokens.extend(tokens.iter().map(|token| token.as_ref().to_string()));
        self
    }

    /// With another [`SpecialTokens::eos_token`].
    pub fn with_eos_token(mut self, token: impl Into<String>) -> Self {
        self.eos_token = Some(token.into());
        self
    }

    /// With another [`SpecialTokens::chat_template`].
    pub fn with_chat_template(mut self, template: impl Into<String>) -> Self {
        self.chat_template = Some(template.into());
        self
    }
}

impl CausalLm {
    /// Writes this model into a folder with a tokenizer that has more special tokens, embeddings for them, and a chat template, and
    /// returns both as they are loaded from there. New rows of the embedding and of the output projection are the mean of the old ones,
    /// as in transformers (Hewitt 2021), so that no new token is likelier than the others. Ids and rows of old tokens stay.
    ///
    /// ```
    /// use finetuning::*;
    ///
    /// let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained("builtin:base")?, AutoTokenizer::from_pretrained("builtin:base")?);
    /// let folder = std::env::temp_dir().join(format!("chatml-{}", std::process::id()));
    /// let (model, tokenizer) = model.extended(&tokenizer, &SpecialTokens::chatml(), &folder)?;
    /// assert_eq!(tokenizer.apply_chat_template(&[Message::user("Hi")], true)?, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    /// assert!(tokenizer.vocab_size() <= model.config().vocab_size());
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a model that is packed or has an adapter; [`ErrorKind::Tokenizer`] for an empty token, an end of texts that the
    /// tokenizer does not have, and a template that fails on a question and an answer; [`ErrorKind::File`] when the folder cannot be
    /// written, or holds something already.
    pub fn extended(&self, tokenizer: &Tokenizer, added: &SpecialTokens, folder: impl AsRef<Path>) -> Result<(Self, Tokenizer)> {
        let folder = folder.as_ref();
        if self.lora().is_some() || !self.packed().is_empty() {
            return Err(Error::new(
                ErrorKind::Model,
                "the model is packed or has an adapter; extended() takes one whose embeddings can change",
            )
            .hint("call merge_adapter()?, or to_dtype(DType::F32)?, first"));
        }
        if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::new(ErrorKind::File, format!("`{}` is not empty", folder.display()))
                .hint("name a new folder")
                .in_file(folder));
        }
        let (mut document, mut configuration) = files(tokenizer)?;
        let wrong = |what: String| Error::new(ErrorKind::Tokenizer, what);
        let mut rows = tokenizer.vocabulary().map(|(_, id)| id as usize + 1).max().unwrap_or(0);
        let mut list = document["added_tokens"].as_array().cloned().unwrap_or_default();
        for token in &added.tokens {
            if token.is_empty() {
                return Err(wrong("a new token is empty".into()).hint("name it, such as \"<|im_end|>\""));
            }
            if let Some(id) = tokenizer.id_of(token) {
                if !list.iter().any(|known| known["id"] == id) {
                    return Err(wrong(format!("`{token}` is an ordinary token with the id {id}")).hint("choose a name that no text has"));
                }
            } else if !list.iter().any(|known| known["content"] == token.as_str()) {
                list.push(json!({ "id": rows, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true }));
                rows += 1;
            }
        }
        let is_known = |token: &str| tokenizer.id_of(token).is_some() || added.tokens.iter().any(|own| own == token);
        if let Some(token) = &added.eos_token {
            if !is_known(token) {
                return Err(wrong(format!("the tokenizer has no token `{token}` to end texts with")).hint("name it among `tokens`, too"));
            }
            configuration["eos_token"] = token.as_str().into();
        }
        document["added_tokens"] = list.clone().into();
        if let Some(template) = &added.chat_template {
            configuration["chat_template"] = template.as_str().into();
        }
        // Tried before anything is written.
        let text = document.to_string();
        let tried = Tokenizer::assembled(text.as_bytes(), configuration.clone(), &Value::Null, folder, folder)?;
        let misplaced =
            list.iter().find(|token| token["content"].as_str().and_then(|name| tried.id_of(name)).map(u64::from) != token["id"].as_u64());
        if let Some(token) = misplaced {
            return Err(wrong(format!("{} cannot have the id {}: the tokenizer's ids have gaps", token["content"], token["id"]))
                .hint("add the tokens with transformers"));
        }
        if added.chat_template.is_some() {
            tried.apply_chat_template(&[Message::user("One?"), Message::assistant("Two.")], false)?;
        }
        let end = added.eos_token.as_ref().map(|_| tried.eos_id());
        let model = self.resized(rows.max(self.config().vocab_size()), end)?;
        let generation = self.folder().map(|source| source.join(GENERATION));
        let generation = generation.map(|path| border_json::read_if_there::<Value>(&path, limits::CONFIGURATION, ErrorKind::Model, AGAIN));
        let generation = generation.transpose()?.flatten();
        std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
        let written = || {
            write_whole(&folder.join("tokenizer.json"), text.as_bytes())?;
            write_whole(&folder.join("tokenizer_config.json"), format!("{configuration:#}\n").as_bytes())?;
            if let Some(mut generation) = generation.filter(Value::is_object) {
                if let Some(end) = end {
                    generation["eos_token_id"] = end.into();
                }
                write_whole(&folder.join(GENERATION), format!("{generation:#}\n").as_bytes())?;
            }
            model.within(folder).save_pretrained(folder)?;
            Ok((Self::from_folder(folder, self.device())?, Tokenizer::from_folder(folder)?))
        };
        // The folder is new: what a full disk left of it goes.
        written().inspect_err(|_: &Error| drop(std::fs::remove_dir_all(folder)))
    }

    /// The same model with `rows` words, of which the new ones are the mean of the old, and another end of texts.
    fn resized(&self, rows: usize, end: Option<u32>) -> Result<Self> {
        let mut value = self.config().to_value("float32");
        value["vocab_size"] = rows.into();
        if let Some(end) = end {
            value["eos_token_id"] = end.into();
        }
        let config = Config::from_value(value).map_err(|reason| Error::new(ErrorKind::Model, format!("with {rows} words: {reason}")))?;
        let mut weights = Vec::new();
        for ((name, parameter), (_, shape)) in self.full_weights()?.into_iter().zip(config.parameter_shapes()) {
            let own = parameter.detached();
            let grown = match shape[0].checked_sub(own.dims()[0]) {
                Some(more @ 1..) => {
                    let mean = own.mean_keepdim(0)?;
                    let new: Vec<usize> = std::iter::once(more).chain(shape[1..].iter().copied()).collect();
                    Tensor::cat(&[own, mean.broadcast_as(new)?.contiguous()?], 0)?
                }
                _ => own.copy()?,
            };
            weights.push((name, Parameter::new(Var::from_tensor(&grown.to_dtype(DType::F32)?)?)));
        }
        Ok(Self::new(config, weights, Vec::new(), self.device(), self.folder().map(Path::to_path_buf)))
    }
}

/// `tokenizer.json` and `tokenizer_config.json` of a tokenizer, as its folder has them.
fn files(tokenizer: &Tokenizer) -> Result<(Value, Value)> {
    let folder = tokenizer.folder();
    let whole: Option<Value> = border_json::read_if_there(&folder.join("tokenizer.json"), limits::TOKENIZER, ErrorKind::Tokenizer, AGAIN)?;
    let (document, mut configuration) = match whole {
        Some(document) => (document, tokenizer.configuration().clone()),
        None => match gguf_file("", folder, None)? {
            Some(path) => {
                let documents = documents(&path)?;
                (documents.tokenizer, documents.configuration)
            }
            None => return Err(Error::new(ErrorKind::Tokenizer, format!("`{}` has no tokenizer.json", folder.display())).hint(AGAIN)),
        },
    };
    if !configuration.is_object() {
        configuration = json!({});
    }
    // Those of an older file, and a template of its own, are taken over.
    for (name, token) in tokenizer.special_tokens() {
        configuration[name.as_str()] = token.as_str().into();
    }
    if let Some(template) = tokenizer.brings_chat_template().then(|| tokenizer.chat_template(false).ok()).flatten() {
        configuration["chat_template"] = template.into();
    }
    Ok((document, configuration))
}
