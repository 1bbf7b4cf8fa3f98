//! The course's `training_config` → tokenized training and test rows.

use std::path::Path;

use crate::data::load::load_dataset_with;
use crate::data::options::DataOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::source::builtin::BUILTIN;
use crate::tokenizer::encode::{TokenizedDataset, tokenize_dataset};
use crate::tokenizer::text::Tokenizer;

/// Model, data and verbosity of a training run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingConfig {
    /// The model.
    pub model: ModelConfig,
    /// The data.
    pub datasets: DatasetsConfig,
    /// Print what is loaded.
    pub verbose: bool,
}

/// Which model, and how long its inputs may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// `builtin:base`, a folder or a hub name.
    pub pretrained_name: String,
    /// Longest row in tokens; longer rows are cut on the left.
    pub max_length: usize,
}

/// Which data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetsConfig {
    /// Take `path` as the name of a hub data set; otherwise it is a `builtin:` name, a file or a folder here.
    pub use_hf: bool,
    /// Name or path.
    pub path: String,
}

/// Part of the rows that is held out.
pub const TEST_SIZE: f64 = 0.1;
/// Seed of the split.
pub const SPLIT_SEED: u64 = 123;

/// (train, test): the rows of the data set, tokenized, split 90 : 10 by NumPy's permutation with seed 123.
///
/// # Errors
/// When `use_hf` does not fit the path, the data cannot be loaded, or a row cannot be tokenized.
pub fn tokenize_and_split_data(config: &TrainingConfig, tokenizer: &Tokenizer) -> Result<(TokenizedDataset, TokenizedDataset)> {
    let (path, use_hf) = (&config.datasets.path, config.datasets.use_hf);
    let (builtin, here) = (path.starts_with(BUILTIN), Path::new(path));
    let wrong = |what: &str| {
        Err(Error::new(ErrorKind::Name, format!("datasets.use_hf is {use_hf} but datasets.path is `{path}`, {what}"))
            .hint("use_hf: true needs a hub name such as `owner/name`, false a `builtin:` name, a file or a folder"))
    };
    if use_hf && (builtin || here.is_file()) {
        return wrong(if builtin { "a builtin data set" } else { "a file that is here" });
    }
    if !use_hf && !builtin && !here.exists() && here.extension().is_none() && !path.contains('*') {
        return wrong("and no file or folder here has this name");
    }
    let options = if use_hf { DataOptions::new().hub_only() } else { DataOptions::new().local_only() };
    let data = load_dataset_with(path, options)?;
    let rows = tokenize_dataset(&data, tokenizer, config.model.max_length)?;
    let (train, test) = rows.train_test_split(TEST_SIZE, SPLIT_SEED)?;
    if config.verbose {
        println!("{path}: {} rows, {} train / {} test, {} tokens", rows.len(), train.len(), test.len(), rows.tokens());
    }
    Ok((train, test))
}
