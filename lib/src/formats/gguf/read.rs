//! A `.gguf` file → its shape and weights, packed as they are stored.
//!
//! The format is that of ggml and llama.cpp, whose converter renames the tensors of transformers and moves some rows: they are
//! put back into the order of transformers, which costs nothing, since a row is a run of bytes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::{Device, Var};

use crate::border::gguf::{first_line, open};
use crate::border::guard::guarded;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::gguf::config;
use crate::formats::gguf::layout::{FACTORS, is_distance, row_order, stored_name};
use crate::models::config::Config;
use crate::nn::parameter::Parameter;
use crate::nn::weights::{Packed, Weights};
use crate::util::names::quoted;

/// The file that a name means: itself, the `chosen` one of its folder, or the only `.gguf` of a folder without a `config.json`.
pub fn file(name: &str, folder: &Path, chosen: Option<&str>) -> Result<Option<PathBuf>> {
    if let Some(file) = chosen {
        return Ok(Some(folder.join(file)));
    }
    let is_gguf = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let named = Path::new(name);
    if is_gguf(named) && named.is_file() {
        return Ok(Some(named.to_path_buf()));
    }
    if folder.join("config.json").is_file() {
        return Ok(None);
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_gguf(path)).collect();
    files.sort();
    if files.len() > 1 {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(Error::new(ErrorKind::Name, format!("`{name}` holds {} models: {}", names.len(), quoted(&names)))
            .hint(format!("name one of them, such as `{}`, or set `gguf_file` of HubOptions", names[0])));
    }
    Ok(files.pop())
}

/// The shape and the weights, all of them frozen.
pub fn read(path: &Path, device: &Device) -> Result<(Config, Weights, Packed)> {
    guarded(ErrorKind::Model, format_args!("`{}`", path.display()), || read_whole(path, device))
}

fn read_whole(path: &Path, device: &Device) -> Result<(Config, Weights, Packed)> {
    let refuse = |reason: String| Error::new(ErrorKind::Model, format!("`{}`: {reason}", path.display())).in_file(path);
    let damaged = |error: candle_core::Error| {
        let reason = first_line(&error);
        refuse(format!("not a whole GGUF file: {reason}")).hint("fetch the file again").because(Error::from(error))
    };
    let (content, mut reader) = open(path, ErrorKind::Model)?;
    let factors = FACTORS.iter().take(2).find(|name| content.tensor_infos.contains_key(**name));
    let factors = factors.map(|name| content.tensor(&mut reader, name, &Device::Cpu)?.dequantize(&Device::Cpu)?.to_vec1());
    let config = config::config(&content, factors.transpose().map_err(damaged)?)
        .map_err(|reason| refuse(reason).hint("use a GGUF file of another model, or this model's safetensors"))?;
    let (mut weights, mut packed, mut wrong, mut used) = (Vec::new(), Vec::new(), Vec::new(), HashSet::from(FACTORS.map(String::from)));
    for (name, shape) in config.parameter_shapes() {
        let stored = stored_name(&config, &name);
        let found = content.tensor_infos.get(&stored).map(|info| info.shape.dims().to_vec());
        if found.as_ref() != Some(&shape) {
            let found = found.map_or("missing".into(), |found| format!("shape {found:?}, its metadata say {shape:?}"));
            wrong.push(format!("{stored}: {found}"));
            continue;
        }
        let tensor = content.tensor(&mut reader, &stored, device).map_err(damaged)?;
        // The rows as transformers has them.
        let tensor = match row_order(&config, &name) {
            Some(from) => reordered(&tensor, device, from)?,
            None => tensor,
        };
        if shape.len() == 2 {
            packed.push((name, Arc::new(tensor)));
        } else {
            let values = tensor.dequantize(device)?;
            let values = if is_distance(&config, &name) { (values - 1.0)? } else { values };
            let parameter = Parameter::new(Var::from_tensor(&values)?);
            parameter.set_frozen(true);
            weights.push((name, parameter));
        }
        used.insert(stored);
    }
    // A tensor that the family does not have would change the answers.
    let mut others: Vec<&String> = content.tensor_infos.keys().filter(|name| wrong.is_empty() && !used.contains(*name)).collect();
    others.sort_unstable();
    wrong.extend(others.into_iter().map(|name| format!("{name}: not a part of this family")));
    match wrong.is_empty() {
        true => Ok((config, weights, packed)),
        false => Err(refuse(format!("tensors and metadata disagree:\n  {}", wrong.join("\n  ")))
            .hint("fetch the file again, or use this model's safetensors")),
    }
}

/// The tensor with row `from(i)` in place `i`.
fn reordered(tensor: &QTensor, device: &Device, from: impl Fn(usize) -> usize) -> Result<QTensor> {
    let (data, rows) = (tensor.data()?, tensor.shape().dims()[0]);
    let row = data.len() / rows;
    let moved: Vec<u8> = (0..rows).flat_map(|index| &data[from(index) * row..][..row]).copied().collect();
    Ok(qtensor_from_ggml(tensor.dtype(), &moved, tensor.shape().dims().to_vec(), device)?)
}
