//! A name → a tokenizer or a model: `builtin:`, a folder, a file, or a repository of the hub.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device};

use crate::error::{Error, ErrorKind, Result};
use crate::formats::{gguf, safetensors};
use crate::hub::options::HubOptions;
use crate::lora::peft;
use crate::lora::settings::CONFIG;
use crate::models::causal::CausalLm;
use crate::models::classifier::SequenceClassifier;
use crate::models::config::Config;
use crate::models::labels::Labels;
use crate::models::quantize::packed_format;
use crate::nn::device::best_device;
use crate::source::resolve;
use crate::tokenizer::text::Tokenizer;

/// Loads tokenizers by name, like its namesake in transformers.
#[derive(Debug)]
pub struct AutoTokenizer;

impl AutoTokenizer {
    /// The tokenizer of a `builtin:` name, a folder, a hub repository, a `tokenizer.json`, or a `.gguf` file without a
    /// `tokenizer.json` beside it. A folder with an adapter alone has that of the model that the adapter belongs to.
    ///
    /// # Errors
    /// As [`AutoTokenizer::from_pretrained_with`].
    pub fn from_pretrained(name: &str) -> Result<Tokenizer> {
        Self::from_pretrained_with(name, &HubOptions::default())
    }

    /// [`AutoTokenizer::from_pretrained`] with a revision, a token, or another cache.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] where there is none by this name, or the hub cannot be asked; [`ErrorKind::Tokenizer`] for files that
    /// hold no tokenizer, or one of an unknown kind; [`ErrorKind::File`], [`ErrorKind::Interrupted`].
    pub fn from_pretrained_with(name: &str, options: &HubOptions) -> Result<Tokenizer> {
        let file = Path::new(name);
        if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) && file.is_file() {
            return Tokenizer::from_file(file);
        }
        let mut folder = resolve::tokenizer_folder(name, options)?;
        if folder.join(CONFIG).is_file() && !folder.join("tokenizer.json").is_file() {
            let (base, options) = below(&folder, options)?;
            folder = resolve::tokenizer_folder(&base, &options).map_err(|error| needs(name, error))?;
        }
        match gguf::read::file(name, &folder, options.gguf_file.as_deref())?.filter(|_| !folder.join("tokenizer.json").is_file()) {
            Some(path) => Tokenizer::from_gguf(&path),
            None => Tokenizer::from_folder(&folder),
        }
    }
}

/// Loads models by name, like its namesake in transformers.
#[derive(Debug)]
pub struct AutoModelForCausalLM;

impl AutoModelForCausalLM {
    /// The model of a `builtin:` name, a folder, a `.gguf` file or a hub repository, on [`best_device`]. A folder with an adapter
    /// gives the model that its `adapter_config.json` names, with the adapter on it. The weights are f32; those of a `.gguf` file stay
    /// packed as they are (see [`CausalLm::quantized`]).
    ///
    /// # Errors
    /// As [`AutoModelForCausalLM::from_pretrained_with`].
    pub fn from_pretrained(name: &str) -> Result<CausalLm> {
        Self::from_pretrained_with(name, &HubOptions::default())
    }

    /// [`AutoModelForCausalLM::from_pretrained`] with a revision, a token, or another cache. The model below an adapter comes
    /// with the same options, from its `main`.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] where there is none by this name, or the hub cannot be asked; [`ErrorKind::Model`] for files that are damaged,
    /// or of a kind that this crate does not compute; [`ErrorKind::File`], [`ErrorKind::Interrupted`].
    pub fn from_pretrained_with(name: &str, options: &HubOptions) -> Result<CausalLm> {
        Self::load(name, None, options)
    }

    /// [`AutoModelForCausalLM::from_pretrained`] with the matrices in a number format of 16 bits, F16 or BF16: transformers'
    /// `from_pretrained(name, dtype=...)`, for generation with half the memory and about twice the speed (see [`CausalLm::to_dtype`]).
    /// F32 unpacks the weights of a `.gguf` file, so that they can be trained.
    ///
    /// # Errors
    /// As [`AutoModelForCausalLM::from_pretrained_with`], and [`ErrorKind::Model`] for other formats.
    pub fn from_pretrained_as(name: &str, dtype: DType) -> Result<CausalLm> {
        Self::load(name, Some(dtype), &HubOptions::default())
    }

    fn load(name: &str, dtype: Option<DType>, options: &HubOptions) -> Result<CausalLm> {
        let folder = resolve::model_folder(name, options)?;
        if !folder.join(CONFIG).is_file() {
            return Self::load_plain(name, &folder, dtype, options);
        }
        let (base, options) = below(&folder, options)?;
        let below = resolve::model_folder(&base, &options).map_err(|error| needs(name, error))?;
        if below.join(CONFIG).is_file() {
            let message = format!("the adapter `{name}` names `{base}` as the model below it, which is an adapter itself");
            return Err(Error::new(ErrorKind::Model, message).hint("name a whole model as base_model_name_or_path in adapter_config.json"));
        }
        Self::load_plain(&base, &below, dtype, &options)?.load_adapter(folder)
    }

    /// The model of a folder without an adapter.
    fn load_plain(name: &str, folder: &Path, dtype: Option<DType>, options: &HubOptions) -> Result<CausalLm> {
        let (format, device) = (dtype.map(packed_format).transpose()?.flatten(), best_device());
        let model = match gguf::read::file(name, folder, options.gguf_file.as_deref())? {
            Some(path) => {
                let (config, weights, packed) = gguf::read::read(&path, &device)?;
                let model = CausalLm::new(config, weights, packed, &device, Some(folder.to_path_buf()));
                dtype.map_or(Ok(model.clone()), |dtype| model.to_dtype(dtype))?
            }
            None => CausalLm::read(folder, format, &device)?,
        };
        model.check_writes().map_err(|error| error.at(format_args!("`{name}`")))?;
        Ok(model.named(name))
    }
}

/// Loads classifiers and reward models by name, like its namesake in transformers.
#[derive(Debug)]
pub struct AutoModelForSequenceClassification;

impl AutoModelForSequenceClassification {
    /// The classifier of a folder or a hub repository, on [`best_device`]. A language model becomes one with these labels (see
    /// [`SequenceClassifier::new`], seed 0), a classifier keeps its own, which may be left out: `&[]`. One label makes a reward model.
    ///
    /// # Errors
    /// As [`AutoModelForCausalLM::from_pretrained_with`]; [`ErrorKind::Model`] for labels that are not those of the classifier.
    pub fn from_pretrained(name: &str, labels: &[&str]) -> Result<SequenceClassifier> {
        let folder = resolve::model_folder(name, &HubOptions::default())?;
        if folder.join(CONFIG).is_file() || !folder.join("config.json").is_file() || Labels::from_folder(&folder)?.is_none() {
            return SequenceClassifier::new(&AutoModelForCausalLM::from_pretrained(name)?, labels, 0);
        }
        let model = CausalLm::read(&folder, None, &best_device())?.named(name);
        let own = model.labels().map_or(&[][..], Labels::names);
        if !labels.is_empty() && !own.iter().eq(labels) {
            return Err(Error::new(ErrorKind::Model, format!("`{name}` has the labels {own:?}, {labels:?} are given"))
                .hint("give &[] for the labels of the checkpoint, or load the language model that it was made of"));
        }
        SequenceClassifier::loaded(model).ok_or_else(|| Error::new(ErrorKind::Model, format!("`{name}` has no labels")))
    }
}

/// The model that the adapter of a folder belongs to, and how it is looked for: from its `main`.
fn below(folder: &Path, options: &HubOptions) -> Result<(String, HubOptions)> {
    Ok((peft::base_name(folder)?, HubOptions { revision: HubOptions::default().revision, ..options.clone() }))
}

/// What is wrong with the model below an adapter, said of the adapter.
fn needs(name: &str, error: Error) -> Error {
    error.at(format_args!("`{name}` is an adapter and needs the model below it"))
}

impl CausalLm {
    /// Reads `config.json` and the weights of a checkpoint folder.
    ///
    /// # Errors
    /// [`ErrorKind::File`] for a file that cannot be read; [`ErrorKind::Model`] for files that are damaged or do not fit each other.
    pub fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        Self::read(folder, None, device)
    }

    fn read(folder: &Path, format: Option<GgmlDType>, device: &Device) -> Result<Self> {
        let config = Config::from_folder(folder)?;
        if let Some(labels) = Labels::from_folder(folder)? {
            let (weights, _) = safetensors::load(folder, &labels.shapes(&config), None, device)?;
            return Ok(Self::scoring(config, labels, weights, device, Some(folder.to_path_buf())));
        }
        let (weights, packed) = safetensors::load(folder, &config.parameter_shapes(), format, device)?;
        Ok(Self::new(config, weights, packed, device, Some(folder.to_path_buf())))
    }
}
