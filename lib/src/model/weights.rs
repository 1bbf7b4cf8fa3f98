//! `model.safetensors` ↔ named trainable tensors; every missing name and wrong shape is reported at once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor, Var};

use crate::data::jsonl::write_whole;
use crate::data::split::Pcg64;
use crate::error::{Error, ErrorKind, Result};
use crate::model::parameter::Parameter;

/// Parameters by name, in the order of the model.
pub type Weights = Vec<(String, Parameter)>;

/// Matrices of few bits by name.
pub type Packed = Vec<(String, Arc<QTensor>)>;

/// Finds parameters by name; the names have been checked when the weights were loaded.
pub fn named(weights: &Weights) -> impl Fn(&str) -> Parameter + use<> {
    let by_name: HashMap<String, Parameter> = weights.iter().cloned().collect();
    move |name| by_name[name].clone()
}

/// The weights of a checkpoint folder as f32: `model.safetensors`, or the shards that its index names.
pub fn load(folder: &Path, shapes: &[(String, Vec<usize>)], device: &Device) -> Result<Weights> {
    let mut tensors = HashMap::new();
    for path in files(folder)? {
        let bytes = std::fs::read(&path).map_err(|error| Error::file(&path, error))?;
        let loaded = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|error| {
            let message = format!("`{}` ({} bytes) is not a whole safetensors file: {error}", path.display(), bytes.len());
            Error::new(ErrorKind::Model, message).hint("the file is cut off or damaged: delete it and fetch or train the checkpoint again")
        })?;
        tensors.extend(loaded);
    }
    let mut wrong = Vec::new();
    let mut weights = Vec::with_capacity(shapes.len());
    for (name, shape) in shapes {
        // transformers 5 writes the output matrix under the name that its other models use.
        let stored = tensors.get(name).or_else(|| tensors.get("lm_head.weight").filter(|_| name == "embed_out.weight"));
        match stored {
            Some(tensor) if tensor.dims() == shape => {
                let tensor = tensor.to_dtype(DType::F32)?.to_device(device)?;
                weights.push((name.clone(), Parameter::new(Var::from_tensor(&tensor)?)));
            }
            Some(tensor) => wrong.push(format!("{name}: shape {:?}, config.json says {shape:?}", tensor.dims())),
            None => wrong.push(format!("{name}: missing")),
        }
    }
    if wrong.is_empty() {
        return Ok(weights);
    }
    Err(Error::new(ErrorKind::Model, format!("`{}`: weights and config.json disagree:\n  {}", folder.display(), wrong.join("\n  ")))
        .hint("fetch the checkpoint again; both files must come from the same model"))
}

/// The weight files of a folder.
fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let index = folder.join("model.safetensors.index.json");
    let Ok(bytes) = std::fs::read(&index) else { return Ok(vec![folder.join("model.safetensors")]) };
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| Error::new(ErrorKind::Model, format!("`{}`: {error}", index.display())).hint("fetch the checkpoint again"))?;
    let mut names: Vec<&str> =
        value["weight_map"].as_object().into_iter().flat_map(|map| map.values()).filter_map(|name| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// Random weights: matrices normal with deviation 0.02, norm weights 1, biases 0.
pub fn random(shapes: &[(String, Vec<usize>)], seed: u64, device: &Device) -> Result<Weights> {
    let mut random = Pcg64::new(seed);
    let mut weights = Vec::with_capacity(shapes.len());
    for (name, shape) in shapes {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = match shape.len() {
            1 if name.ends_with("weight") => vec![1.0; count],
            1 => vec![0.0; count],
            _ => (0..count).map(|_| (0.02 * random.next_normal()) as f32).collect(),
        };
        let tensor = Tensor::from_vec(values, shape.as_slice(), device)?;
        weights.push((name.clone(), Parameter::new(Var::from_tensor(&tensor)?)));
    }
    Ok(weights)
}

/// Writes `model.safetensors` in a number format; an older file stays whole when writing fails.
pub fn save(path: &Path, weights: &Weights, dtype: DType) -> Result<()> {
    let mut tensors = Vec::with_capacity(weights.len());
    for (name, var) in weights {
        tensors.push((name.clone(), var.as_tensor().to_dtype(dtype)?.to_device(&Device::Cpu)?));
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)), Some(metadata))
        .map_err(|error| Error::new(ErrorKind::Model, format!("`{}`: {error}", path.display())))?;
    write_whole(path, &bytes)
}
