//! A model, an adapter or a data set → a repository of the hub with a card of what is known about it.

use std::fs::Permissions;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::data::jsonl;
use crate::error::{Error, Result};
use crate::hub::card::Card;
use crate::hub::push::{PushOptions, push};
use crate::hub::trouble::RepoKind;
use crate::models::causal::CausalLm;
use crate::util::write::write_whole;

/// How large a file of rows becomes before another is begun.
const LARGEST_PART: usize = 256 << 20;

/// A new folder under a name that nobody can guess, which its owner alone may open; it goes when it is dropped.
fn staging() -> Result<TempDir> {
    let made = tempfile::Builder::new().prefix("finetuning-push-").permissions(Permissions::from_mode(0o700)).tempdir();
    made.map_err(|error| Error::file(&std::env::temp_dir(), error).hint("TMPDIR names another folder"))
}

/// A name that the hub can follow, rather than a folder or a `builtin:` name.
fn hub_name(name: &str) -> Option<&str> {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains([':', '\\', ' ']);
    (name.split('/').count() == 2 && name.split('/').all(plain) && !Path::new(name).exists()).then_some(name)
}

impl CausalLm {
    /// Publishes the model with its tokenizer, or its adapter alone, as `owner/name`; a card with what is known about it is
    /// written where the repository has none. Returns the commit's page, such as
    /// `https://huggingface.co/owner/name/commit/…`.
    ///
    /// # Errors
    /// As [`CausalLm::save_pretrained`]; without a token that may write; when the hub cannot be asked or refuses. An
    /// interrupt leaves the repository as it was.
    pub fn push_to_hub(&self, name: &str, options: &PushOptions) -> Result<String> {
        let staging = staging()?;
        self.save_pretrained(staging.path())?;
        write_whole(&staging.path().join("README.md"), self.card(name, options).markdown().as_bytes())?;
        let message = if self.lora().is_some() { "Upload adapter" } else { "Upload model" };
        push(name, RepoKind::Model, staging.path(), message, options)
    }

    fn card(&self, name: &str, options: &PushOptions) -> Card {
        let config = self.config();
        let base = match self.lora() {
            Some(lora) => Some(lora.base_model_name_or_path.clone()),
            None => self.origin(),
        };
        let base = base.as_deref().and_then(hub_name).filter(|base| *base != name);
        let adapter = self.lora();
        let library = if adapter.is_some() { "peft" } else { "transformers" };
        let card = Card::new(name.rsplit('/').next().unwrap_or(name)).fact("license", options.license.as_deref());
        let card = card.fact("base_model", base).fact("library_name", Some(library)).fact("pipeline_tag", Some("text-generation"));
        let kind = config.to_value("float32")["model_type"].as_str().unwrap_or("unknown").to_string();
        let shape = format!(
            "A causal language model of type `{kind}` with {} parameters: {} layers of width {}, {} tokens, {} positions.",
            self.parameter_count(),
            config.num_hidden_layers(),
            config.hidden_size(),
            config.vocab_size(),
            config.max_position_embeddings()
        );
        let card = match adapter {
            None => card.paragraph(&shape),
            Some(lora) => card.list("tags", &["lora"]).paragraph(&format!(
                "A LoRA adapter of rank {} (alpha {}) on {} with {} parameters for a model of type `{kind}`.",
                lora.r,
                lora.lora_alpha,
                lora.target_modules.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
                self.trainable_parameter_count()
            )),
        };
        card.paragraph(&format!("```rust\nlet model = AutoModelForCausalLM::from_pretrained(\"{name}\")?;\n```"))
    }
}

impl Dataset {
    /// Publishes the rows as JSON lines of the data set `owner/name`, in one file or, above 256 MiB, in several; a card is
    /// written where the repository has none. Returns the commit's page.
    ///
    /// # Errors
    /// As [`CausalLm::push_to_hub`].
    pub fn push_to_hub(&self, name: &str, options: &PushOptions) -> Result<String> {
        let staging = staging()?;
        let folder = staging.path().join("data");
        std::fs::create_dir(&folder).map_err(|error| Error::file(&folder, error))?;
        let sizes: Vec<usize> = self.iter().map(jsonl::length).collect();
        let parts = parts(&sizes, LARGEST_PART);
        let files: Vec<String> = match parts.len() {
            0 | 1 => vec!["train.jsonl".to_string()],
            count => (0..count).map(|part| format!("train-{part:05}-of-{count:05}.jsonl")).collect(),
        };
        let rows: Vec<&Example> = self.iter().collect();
        for (number, file) in files.iter().enumerate() {
            let part = parts.get(number).cloned().unwrap_or_default();
            jsonl::write(&folder.join(file), rows[part].iter().copied())?;
        }
        let path = if files.len() == 1 { "data/train.jsonl" } else { "data/train-*.jsonl" };
        let columns: Vec<String> = self.columns().iter().map(|column| format!("`{column}`")).collect();
        let size = match self.len() {
            0..1_000 => "n<1K",
            1_000..10_000 => "1K<n<10K",
            10_000..100_000 => "10K<n<100K",
            100_000..1_000_000 => "100K<n<1M",
            1_000_000..10_000_000 => "1M<n<10M",
            _ => "10M<n<100M",
        };
        let matter = format!("configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: {path}\n");
        let card = Card::new(name.rsplit('/').next().unwrap_or(name)).fact("license", options.license.as_deref());
        let card = card.list("size_categories", &[size]).yaml(&matter);
        let card = card.paragraph(&format!("{} rows with the fields {}.", self.len(), columns.join(", ")));
        let card = card.paragraph(&format!("```rust\nlet data = load_dataset(\"{name}\")?;\n```"));
        write_whole(&staging.path().join("README.md"), card.markdown().as_bytes())?;
        push(name, RepoKind::Dataset, staging.path(), "Upload data set", options)
    }
}

/// Rows one after the other, cut so that no part is larger than `most` unless one row is.
fn parts(sizes: &[usize], most: usize) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut size) = (Vec::new(), 0, 0);
    for (row, length) in sizes.iter().enumerate() {
        if row > start && size + length > most {
            parts.push(start..row);
            (start, size) = (row, 0);
        }
        size += length;
    }
    if start < sizes.len() {
        parts.push(start..sizes.len());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_all_rows_in_order() {
        assert_eq!(parts(&[3, 3, 3, 9, 1], 6), [0..2, 2..3, 3..4, 4..5]);
        assert_eq!(parts(&[1, 1], 6).len(), 1);
        assert!(parts(&[], 6).is_empty());
    }
}
