//! An adapter ↔ PEFT's folder: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::{Value, json};

use crate::border::{file, json, limits, tensors};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::safetensors;
use crate::models::causal::CausalLm;
use crate::nn::lora::{LoraConfig, is_adapter};
use crate::nn::weights::Weights;
use crate::util::names::beginning;
use crate::util::notice;
use crate::util::write::write_whole;

/// The settings' file.
pub(crate) const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const AGAIN: &str = "save the adapter again, or fetch it again";

/// The model that the adapter of a folder belongs to.
pub(crate) fn base_name(folder: &Path) -> Result<String> {
    let name = read_config(folder)?.base_model_name_or_path;
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

/// Reads `adapter_config.json`; what this crate cannot compute is refused.
fn read_config(folder: &Path) -> Result<LoraConfig> {
    let path = folder.join(CONFIG);
    let refuse = |reason: String| Error::new(ErrorKind::Model, format!("`{}`: {reason}", path.display())).in_file(&path);
    let value: Value = json::read(&path, limits::CONFIGURATION, ErrorKind::Model, AGAIN)?;
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text == "none",
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    // The value of each must be absent, false, empty or "none".
    let unknown = [
        "use_dora",
        "bias",
        "lora_bias",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "layers_to_transform",
        "layer_replication",
        "exclude_modules",
        "fan_in_fan_out",
        "target_parameters",
        "trainable_token_indices",
        "alora_invocation_tokens",
        "use_qalora",
    ];
    // The base was changed when such an adapter was made; on the base that is there it would say something else.
    let changes_base =
        |start: &str| ["pissa", "olora", "corda", "loftq", "lora_ga"].iter().any(|name| start.to_lowercase().starts_with(name));
    let start = value["init_lora_weights"].as_str().filter(|start| changes_base(start));
    let found = unknown.iter().filter(|field| !empty(&value[**field])).map(|field| format!("{field} = {}", beginning(&value[*field])));
    let found: Vec<String> = found.chain(start.map(|start| format!("init_lora_weights = {start}, which changes the base"))).collect();
    if value["peft_type"] != "LORA" || !found.is_empty() {
        return Err(refuse(format!(
            "peft_type is {}{}{}",
            beginning(&value["peft_type"]),
            if found.is_empty() { "" } else { " with " },
            found.join(", ")
        ))
        .hint("this crate reads plain LoRA; merge the adapter in PEFT (`merge_and_unload`) and load the whole model"));
    }
    let targets = match &value["target_modules"] {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(names) => names.iter().map(|name| name.as_str().map(String::from)).collect(),
        _ => None,
    };
    let targets = targets.filter(|names| !names.is_empty() && names.iter().all(|name| !name.is_empty())).ok_or_else(|| {
        refuse(format!("target_modules is {}; it must be a name or a list of names", beginning(&value["target_modules"])))
            .hint("write the names of the layers that the adapter changes, such as [\"q_proj\", \"v_proj\"]")
    })?;
    let (Some(r), Some(lora_alpha)) = (value["r"].as_u64(), value["lora_alpha"].as_f64()) else {
        return Err(refuse(format!(
            "r is {} and lora_alpha {}; both must be numbers",
            beginning(&value["r"]),
            beginning(&value["lora_alpha"])
        ))
        .hint(AGAIN));
    };
    Ok(LoraConfig {
        r: r as usize,
        lora_alpha,
        target_modules: targets,
        use_rslora: value["use_rslora"].as_bool().unwrap_or(false),
        base_model_name_or_path: value["base_model_name_or_path"].as_str().unwrap_or_default().to_string(),
        ..Default::default()
    })
}

fn config_value(config: &LoraConfig) -> Value {
    let mut targets = config.target_modules.clone();
    targets.sort();
    // One word for all layers is a text in PEFT, not a list.
    let targets = if targets == ["all-linear"] { json!("all-linear") } else { json!(targets) };
    let whole = config.lora_alpha.fract() == 0.0;
    json!({
        "alpha_pattern": {}, "base_model_name_or_path": config.base_model_name_or_path, "bias": "none", "fan_in_fan_out": false,
        "inference_mode": true, "init_lora_weights": true, "layers_pattern": null, "layers_to_transform": null,
        "lora_alpha": if whole { json!(config.lora_alpha as i64) } else { json!(config.lora_alpha) }, "lora_dropout": 0.0,
        "modules_to_save": null, "peft_type": "LORA", "r": config.r, "rank_pattern": {}, "revision": null, "target_modules": targets,
        "task_type": "CAUSAL_LM", "use_dora": false, "use_rslora": config.use_rslora,
    })
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
        safetensors::save(&folder.join(WEIGHTS), &self.adapter_weights(), dtype)?;
        write_whole(&folder.join(CONFIG), format!("{:#}\n", config_value(config)).as_bytes())
    }

    /// A model with the adapter of a folder, written by PEFT or [`CausalLm::save_adapter`], on these weights, which are shared
    /// and frozen. The adapter can be trained on. `lora_dropout` of the file is not used.
    ///
    /// # Errors
    /// [`ErrorKind::File`] for a file that cannot be read; [`ErrorKind::Model`] for another method than plain LoRA, and for tensors that
    /// are not those of this model.
    pub fn load_adapter(&self, folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = read_config(folder)?;
        let at_config = |error: Error| error.at(folder.join(CONFIG).display()).in_file(folder.join(CONFIG));
        // What the settings ask memory for, the file must hold: a number takes 2 bytes there at least.
        let (needed, path) = (self.adapter_size(&config).map_err(at_config)?, folder.join(WEIGHTS));
        let there = file::open(&path)?.metadata().map_err(|error| Error::file(&path, error))?.len();
        if there < needed.saturating_mul(2) {
            let message = format!("`{}` has {there} bytes; with r {} it would hold {needed} numbers", path.display(), config.r);
            return Err(Error::new(ErrorKind::Model, message).hint(AGAIN).in_file(path));
        }
        let model = self.with_lora(&config).map_err(at_config)?;
        model.read_adapter(folder)?;
        let (theirs, ours) = (&config.base_model_name_or_path, self.origin().unwrap_or_default());
        let place = |name: &str| std::fs::canonicalize(name).unwrap_or_else(|_| name.into());
        // Two models of one shape take the same adapter, which fits one of them.
        if !theirs.is_empty() && !ours.is_empty() && place(theirs) != place(&ours) {
            notice::warn(format_args!(
                "the adapter `{}` was trained on `{theirs}`, and is put on `{ours}`: unless both are the same model, what it learnt is lost",
                folder.display()
            ));
        }
        Ok(model)
    }

    /// Takes over the adapter of a folder, in place.
    pub(crate) fn read_adapter(&self, folder: &Path) -> Result<()> {
        let (config, own) = (read_config(folder)?, self.lora().cloned().unwrap_or_default());
        if (config.r, config.scale()) != (own.r, own.scale()) {
            let [theirs, ours] = [&config, &own].map(|config| format!("r {} and a scale of {}", config.r, config.scale()));
            return Err(Error::new(ErrorKind::Model, format!("`{}` says {theirs}, the model has {ours}", folder.join(CONFIG).display()))
                .hint("give with_lora() the settings that wrote the folder, or use load_adapter()"));
        }
        let path = folder.join(WEIGHTS);
        let own = self.adapter_weights();
        let numbers = own.iter().map(|(_, parameter)| parameter.elem_count() as u64).sum();
        let hint = "the file is cut off or damaged: save the adapter again, or fetch it again";
        let tensors = tensors::read(&path, "an adapter of this model", numbers, ErrorKind::Model, hint)?;
        let wrong = differences(&own, &tensors);
        if !wrong.is_empty() {
            return Err(Error::new(ErrorKind::Model, format!("`{}` does not fit the model:\n  {}", path.display(), wrong.join("\n  ")))
                .hint("load the adapter on the model that it was trained on, with the adapter_config.json beside it"));
        }
        for (name, parameter) in &own {
            parameter.set(&tensors[name].to_dtype(DType::F32)?.to_device(self.device())?)?;
        }
        Ok(())
    }
}

/// Everything that is missing, unexpected or of another shape.
fn differences(own: &Weights, tensors: &HashMap<String, Tensor>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, parameter) in own {
        match tensors.get(name) {
            None => wrong.push(format!("{name}: missing")),
            Some(tensor) if tensor.dims() != parameter.dims() => {
                wrong.push(format!("{name}: shape {:?}, the model needs {:?}", tensor.dims(), parameter.dims()));
            }
            Some(_) => {}
        }
    }
    let mut unexpected: Vec<&String> = tensors.keys().filter(|name| !own.iter().any(|(own, _)| own == *name)).collect();
    unexpected.sort();
    wrong.extend(unexpected.iter().map(|name| format!("{name}: unexpected")));
    wrong
}
