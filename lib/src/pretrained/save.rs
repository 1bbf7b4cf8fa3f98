//! A model → a checkpoint folder that transformers opens, and the weights of a folder → a model.

use std::path::Path;

use candle_core::DType;

use crate::border::{file, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{gguf, safetensors, shards};
use crate::lora::peft;
use crate::models::causal::CausalLm;
use crate::models::classifier::SequenceClassifier;
use crate::tokenizer::gguf::{Documents, documents};
use crate::util::write::write_whole;

/// What a checkpoint has beside its weights and their shape.
const BESIDE: [&str; 5] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json"];

/// Bytes of a file of weights.
const MAX_SHARD_SIZE: u64 = 50_000_000_000;

impl SequenceClassifier {
    /// [`CausalLm::save_pretrained`]: with `score.weight` in place of the output projection, which transformers opens as
    /// `AutoModelForSequenceClassification`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save_pretrained(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.model().save_pretrained(folder)
    }
}

impl CausalLm {
    /// Writes a checkpoint that transformers opens: `config.json`, `model.safetensors` (f32) and the tokenizer files. A model
    /// with an adapter writes the adapter alone, as PEFT does (see [`CausalLm::save_adapter`]); to write the whole,
    /// `model.merge_adapter()?.save_pretrained(folder)`.
    ///
    /// What else is loaded from the folder, shards of an earlier model or an adapter, is removed.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when the folder cannot be written.
    pub fn save_pretrained(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.save_pretrained_as(folder, DType::F32)
    }

    /// [`CausalLm::save_pretrained`] in another number format (F32, F16 or BF16).
    ///
    /// # Errors
    /// As [`CausalLm::save_pretrained`].
    pub fn save_pretrained_as(&self, folder: impl AsRef<Path>, dtype: DType) -> Result<()> {
        self.save_pretrained_in_shards(folder, dtype, MAX_SHARD_SIZE)
    }

    /// [`CausalLm::save_pretrained_as`] with weights in files of `max_shard_size` bytes at most, and their index, as transformers cuts
    /// and names them: `model-00001-of-00003.safetensors`. Otherwise the bound is 50 GB, as in transformers 5.
    ///
    /// # Errors
    /// As [`CausalLm::save_pretrained`]; 0 bytes are refused.
    pub fn save_pretrained_in_shards(&self, folder: impl AsRef<Path>, dtype: DType, max_shard_size: u64) -> Result<()> {
        let folder = folder.as_ref();
        if max_shard_size == 0 {
            return Err(Error::new(ErrorKind::Model, "max_shard_size is 0; it must be at least 1 byte")
                .hint("transformers' usual size is 50_000_000_000"));
        }
        std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
        if let Some(source) = self.folder().filter(|source| *source != folder) {
            for name in BESIDE {
                if let Some(bytes) = file::read_if_there(&source.join(name), limits::TOKENIZER)? {
                    write_whole(&folder.join(name), &bytes)?;
                }
            }
            if let (false, Ok(Some(path))) = (source.join("tokenizer.json").is_file(), gguf::read::file("", source, None)) {
                let Documents { tokenizer, configuration } = documents(&path)?;
                write_whole(&folder.join("tokenizer.json"), tokenizer.to_string().as_bytes())?;
                write_whole(&folder.join("tokenizer_config.json"), format!("{configuration:#}\n").as_bytes())?;
            }
        }
        if self.lora().is_some() {
            return self.write_adapter(folder, dtype);
        }
        shards::save(folder, &self.full_weights()?, dtype, max_shard_size)?;
        let dtype = match dtype {
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            _ => "float32",
        };
        let config = self.config().to_value(dtype);
        let config = match self.labels() {
            Some(labels) => labels.to_value(config),
            None => config,
        };
        let json = format!("{config:#}\n");
        write_whole(&folder.join("config.json"), json.as_bytes())?;
        peft::remove_adapter(folder)
    }

    /// Takes over the weights of a checkpoint folder, in place; with an adapter, those of the adapter.
    ///
    /// # Errors
    /// [`ErrorKind::File`] for a file that cannot be read; [`ErrorKind::Model`] for a packed model, and for weights that are not those of
    /// this model.
    pub fn load_weights(&self, folder: &Path) -> Result<()> {
        if self.lora().is_some() {
            return self.read_adapter(folder);
        }
        if !self.packed().is_empty() {
            return Err(Error::new(ErrorKind::Model, "a packed model takes no other weights over")
                .hint("load the checkpoint with `AutoModelForCausalLM::from_pretrained` and call `quantized` on it"));
        }
        let (loaded, _) = safetensors::load(folder, &self.parameter_shapes(), None, self.device())?;
        for ((_, own), (_, new)) in self.weights().iter().zip(&loaded) {
            own.set(new.as_tensor())?;
        }
        Ok(())
    }
}
