//! `config.json` of a model that scores sequences ↔ what its scores are called, and the shapes of its weights.
//!
//! Such a model has a matrix `score.weight`, a row a label, in place of its output projection, and scores a sequence by the hidden
//! row of its last token: transformers' `…ForSequenceClassification`.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::border::{json as document, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::models::config::Config;

/// The name of the matrix.
pub const SCORE: &str = "score.weight";
/// The end of the class's name in `architectures`.
const CLASS: &str = "ForSequenceClassification";
/// The only kind of labels that is computed: one of them is right.
const ONE_OF: &str = "single_label_classification";

/// The names of a model's scores: its classes, or one for a reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    /// The id at a sequence's end that is not scored, `pad_token_id` of `config.json`: where it is also the one that ends a text, as
    /// in TRL, the token before is.
    padding: Option<u32>,
}

impl Labels {
    /// Labels by number, of sequences that may end with `padding`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] when there are none, two have one name, or there are more than words of a vocabulary.
    pub fn new(names: Vec<String>, padding: Option<u32>) -> Result<Self> {
        let refuse = |reason: String| Err(Error::new(ErrorKind::Model, reason).hint("name each class once, such as [\"no\", \"yes\"]"));
        if names.is_empty() || names.len() as u64 > limits::VOCABULARY {
            return refuse(format!("{} labels are given; a model scores 1 to {}", names.len(), limits::VOCABULARY));
        }
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => refuse(format!("the label `{}` is given twice", pair[0])),
            None => Ok(Self { names, padding }),
        }
    }

    /// The names by number.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A sequence up to the id that is scored: the last one that is no padding, else the first.
    pub fn unpadded<'a>(&self, ids: &'a [u32]) -> &'a [u32] {
        let last = ids.iter().rposition(|&id| Some(id) != self.padding).unwrap_or(0);
        &ids[..ids.len().min(last + 1)]
    }

    /// The labels of a checkpoint folder; none where its model writes text.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] where `id2label` is damaged, or `problem_type` is another than one of several labels.
    pub fn from_folder(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("config.json");
        let value: Value = document::read(&path, limits::CONFIGURATION, ErrorKind::Model, "fetch the checkpoint again")?;
        if !value["architectures"][0].as_str().is_some_and(|class| class.ends_with(CLASS)) {
            return Ok(None);
        }
        let refuse = |reason: String, hint: &str| Error::new(ErrorKind::Model, format!("`{}`: {reason}", path.display())).hint(hint);
        if let Some(kind) = value["problem_type"].as_str().filter(|kind| *kind != ONE_OF) {
            return Err(refuse(format!("problem_type is `{kind}`; this crate scores `{ONE_OF}` and rewards"), "use another checkpoint"));
        }
        let names = match &value["id2label"] {
            // What transformers does not write out.
            Value::Null => Some(vec!["LABEL_0".to_string(), "LABEL_1".to_string()]),
            Value::Object(names) => (0..names.len()).map(|id| Some(names.get(&id.to_string())?.as_str()?.to_string())).collect(),
            _ => None,
        };
        let Some(names) = names else {
            return Err(refuse("id2label does not name the labels 0, 1, …".into(), "fetch the checkpoint again"));
        };
        Self::new(names, value["pad_token_id"].as_u64().and_then(|id| u32::try_from(id).ok())).map(Some)
    }

    /// Names and shapes of all weights of a model with these labels.
    pub fn shapes(&self, config: &Config) -> Vec<(String, Vec<usize>)> {
        let (head, tied) = (config.family().head_name(), config.tie_word_embeddings());
        let bias = head.replace(".weight", ".bias");
        let kept = |name: &str| (tied || name != head) && name != bias;
        let mut shapes: Vec<_> = config.parameter_shapes().into_iter().filter(|(name, _)| kept(name)).collect();
        shapes.push((SCORE.to_string(), vec![self.names.len(), config.hidden_size()]));
        shapes
    }

    /// The `config.json` of the same model with these labels.
    pub fn to_value(&self, mut config: Value) -> Value {
        let class = config["architectures"][0].as_str().unwrap_or("ForCausalLM").replace("ForCausalLM", CLASS);
        config["architectures"] = json!([class]);
        let by_id = self.names.iter().enumerate().map(|(id, name)| (id.to_string(), name.clone().into()));
        let by_name = self.names.iter().enumerate().map(|(id, name)| (name.clone(), id.into()));
        (config["id2label"], config["label2id"]) = (by_id.collect::<Map<_, Value>>().into(), by_name.collect::<Map<_, Value>>().into());
        config["pad_token_id"] = self.padding.into();
        if self.names.len() > 1 {
            config["problem_type"] = ONE_OF.into();
        }
        config
    }
}
