//! An adapter ↔ PEFT's folder: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Tensor};

use crate::border::{file, tensors};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::safetensors;
use crate::lora::settings::{self, AGAIN, CONFIG};
use crate::lora::targets::NEOX_HEAD;
use crate::models::causal::CausalLm;
use crate::nn::lora::{LoraConfig, is_adapter};
use crate::nn::weights::Weights;
use crate::util::write::write_whole;

const WEIGHTS: &str = "adapter_model.safetensors";

/// The model that the adapter of a folder belongs to.
pub(crate) fn base_name(folder: &Path) -> Result<String> {
    let name = settings::read(folder)?.base_model_name_or_path;
    if name.is_empty() {
        return Err(Error::new(ErrorKind::Model, format!("`{}` names no base_model_name_or_path", folder.join(CONFIG).display()))
            .hint("load the model below by its name and call `load_adapter` on it"));
    }
    Ok(name)
}

/// Removes the files of an adapter from a folder that holds a whole model now: they would be loaded in its place.
pub(crate) fn remove_adapter(folder: &Path) -> Result<()> {
    for path in [CONFIG, WEIGHTS].map(|name| folder.join(name)) {
        if path.is_file() {
            std::fs::remove_file(&path).map_err(|error| Error::file(&path, error))?;
        }
    }
    Ok(())
}

/// The names of tensors in the file of an adapter for those of this model's: GPT-NeoX's output projection has two.
fn in_file(name: &str) -> String {
    name.replace(&format!("base_model.model.{}.", NEOX_HEAD[0]), &format!("base_model.model.{}.", NEOX_HEAD[1]))
}

impl CausalLm {
    /// The parameters of the adapter, by PEFT's names.
    fn adapter_weights(&self) -> Weights {
        self.weights().iter().filter(|(name, _)| is_adapter(name)).cloned().collect()
    }

    /// Writes the adapter as PEFT does: `adapter_config.json` and `adapter_model.safetensors` (f32), which
    /// `PeftModel.from_pretrained(base, folder)` opens.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a model without an adapter; [`ErrorKind::File`] when the folder cannot be written.
    pub fn save_adapter(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.save_adapter_as(folder, DType::F32)
    }

    /// [`CausalLm::save_adapter`] in another number format (F32, F16 or BF16).
    ///
    /// # Errors
    /// As [`CausalLm::save_adapter`].
    pub fn save_adapter_as(&self, folder: impl AsRef<Path>, dtype: DType) -> Result<()> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
        self.write_adapter(folder, dtype)
    }

    pub(crate) fn write_adapter(&self, folder: &Path, dtype: DType) -> Result<()> {
        let Some(config) = self.lora() else {
            return Err(
                Error::new(ErrorKind::Model, "the model has no adapter to save").hint("use `save_pretrained`, or `with_lora` first")
            );
        };
        let weights: Weights = self.adapter_weights().into_iter().map(|(name, parameter)| (in_file(&name), parameter)).collect();
        safetensors::save_described(&folder.join(WEIGHTS), &weights, dtype, self.fingerprint()?.words())?;
        write_whole(&folder.join(CONFIG), format!("{:#}\n", settings::value(config)).as_bytes())
    }

    /// A model with the adapter of a folder, written by PEFT or [`CausalLm::save_adapter`], on these weights, which are shared
    /// and frozen. The adapter can be trained on.
    ///
    /// # Errors
    /// [`ErrorKind::File`] for a file that cannot be read; [`ErrorKind::Model`] for another method than LoRA and DoRA, for tensors that
    /// are not those of this model, and for an adapter that this crate wrote on another model. PEFT's files do not know their model.
    pub fn load_adapter(&self, folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = settings::read(folder)?;
        let at_config = |error: Error| error.at(folder.join(CONFIG).display()).in_file(folder.join(CONFIG));
        // What the settings ask memory for, the file must hold: a number takes 2 bytes there at least.
        let (needed, path) = (self.adapter_size(&config).map_err(at_config)?, folder.join(WEIGHTS));
        let there = file::open(&path)?.metadata().map_err(|error| Error::file(&path, error))?.len();
        if there < needed.saturating_mul(2) {
            let message = format!("`{}` has {there} bytes; with r {} it would hold {needed} numbers", path.display(), config.r);
            return Err(Error::new(ErrorKind::Model, message).hint(AGAIN).in_file(path));
        }
        let config = self.completed(&config);
        let model = self.targets(&config).and_then(|targets| self.adapted(config, &targets)).map_err(at_config)?;
        model.read_adapter(folder)?;
        Ok(model)
    }

    /// Takes over the adapter of a folder, in place.
    pub(crate) fn read_adapter(&self, folder: &Path) -> Result<()> {
        let (config, own) = (settings::read(folder)?, self.lora().cloned().unwrap_or_default());
        let read = |config: &LoraConfig| {
            let LoraConfig { rank_pattern, alpha_pattern, use_dora, .. } = config.clone();
            (config.r, config.scale(), rank_pattern, alpha_pattern, use_dora)
        };
        if read(&config) != read(&own) {
            let say = |config: &LoraConfig| {
                let patterns = config.rank_pattern.len() + config.alpha_pattern.len();
                let dora = if config.use_dora { ", with DoRA" } else { "" };
                format!("r {} and a scale of {}, {patterns} patterns{dora}", config.r, config.scale())
            };
            let message = format!("`{}` says {}, the model has {}", folder.join(CONFIG).display(), say(&config), say(&own));
            return Err(
                Error::new(ErrorKind::Model, message).hint("give with_lora() the settings that wrote the folder, or use load_adapter()")
            );
        }
        let path = folder.join(WEIGHTS);
        let own = self.adapter_weights();
        let numbers = own.iter().map(|(_, parameter)| parameter.elem_count() as u64).sum();
        let hint = "the file is cut off or damaged: save the adapter again, or fetch it again";
        let (tensors, words) = tensors::read_described(&path, "an adapter of this model", numbers, ErrorKind::Model, hint)?;
        let tensors: HashMap<String, Tensor> = tensors.into_iter().map(|(name, tensor)| (in_file(&name), tensor)).collect();
        let wrong = differences(&own, &tensors);
        if !wrong.is_empty() {
            return Err(Error::new(ErrorKind::Model, format!("`{}` does not fit the model:\n  {}", path.display(), wrong.join("\n  ")))
                .hint("load the adapter on the model that it was trained on, with the adapter_config.json beside it"));
        }
        self.check_base(&path, &config.base_model_name_or_path, &words)?;
        for (name, parameter) in &own {
            parameter.set(&tensors[&in_file(name)].to_dtype(DType::F32)?.to_device(self.device())?)?;
        }
        Ok(())
    }
}

/// Everything that is missing, unexpected or of another shape.
fn differences(own: &Weights, tensors: &HashMap<String, Tensor>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, parameter) in own {
        match tensors.get(&in_file(name)) {
            None => wrong.push(format!("{name}: missing")),
            Some(tensor) if tensor.dims() != parameter.dims() => {
                wrong.push(format!("{name}: shape {:?}, the model needs {:?}", tensor.dims(), parameter.dims()));
            }
            Some(_) => {}
        }
    }
    let mut unexpected: Vec<&String> = tensors.keys().filter(|name| !own.iter().any(|(own, _)| in_file(own) == **name)).collect();
    unexpected.sort();
    wrong.extend(unexpected.iter().map(|name| format!("{name}: unexpected")));
    wrong
}
