//! `model.safetensors` ↔ named trainable tensors; every missing name and wrong shape is reported at once.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor, Var};
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::border::{file, guard, json, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::nn::parameter::Parameter;
use crate::nn::weights::{Packed, Weights};
use crate::util::names::quoted;
use crate::util::notice;
use crate::util::write::write_whole;
use compute::cpu::packed::{Format, widen};

pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// The weights of a checkpoint folder: `model.safetensors`, or the shards that its index names. All as f32; or, with a
/// format, the matrices packed in it and the rest as f32, frozen.
///
/// # Errors
/// [`ErrorKind::File`] for a file that cannot be read; [`ErrorKind::Model`] for files that are cut off or a pickle, for missing
/// shards, and for names and shapes that are not those of `shapes`, all at once.
pub fn load(folder: &Path, shapes: &[(String, Vec<usize>)], format: Option<GgmlDType>, device: &Device) -> Result<(Weights, Packed)> {
    let mut stored = HashMap::new();
    for path in files(folder)? {
        stored.extend(Stored::all(&path)?);
    }
    let mut wrong = Vec::new();
    let (mut weights, mut packed) = (Vec::with_capacity(shapes.len()), Vec::new());
    for (name, shape) in shapes {
        // transformers 5 writes the output matrix under the name that its other models use.
        let tensor = stored.get(name).or_else(|| stored.get("lm_head.weight").filter(|_| name == "embed_out.weight"));
        match (tensor, format) {
            (Some(tensor), _) if tensor.shape != *shape => {
                wrong.push(format!("{name}: shape {:?}, config.json says {shape:?}", tensor.shape));
            }
            (Some(tensor), Some(format)) if shape.len() == 2 => packed.push((name.clone(), Arc::new(tensor.packed(format, device)?))),
            (Some(tensor), _) => {
                let parameter = Parameter::new(Var::from_vec(tensor.values()?, shape.as_slice(), device)?);
                parameter.set_frozen(format.is_some());
                weights.push((name.clone(), parameter));
            }
            (None, _) => wrong.push(format!("{name}: missing")),
        }
    }
    if wrong.is_empty() {
        let unused = unused(stored.keys(), shapes);
        if !unused.is_empty() {
            let (folder, count) = (folder.display(), unused.len());
            let first: Vec<String> = unused.into_iter().take(5).collect();
            notice::warn(format_args!(
                "`{folder}`: {count} tensors have no place in the model of config.json and are not used: {}",
                quoted(&first)
            ));
        }
        return Ok((weights, packed));
    }
    Err(Error::new(ErrorKind::Model, format!("`{}`: weights and config.json disagree:\n  {}", folder.display(), wrong.join("\n  ")))
        .hint("fetch the checkpoint again; both files must come from the same model"))
}

/// The stored tensors that the model has no place for, sorted; without those that it makes itself or never asks for: masks,
/// places and rotary angles of older files, the second copy of a shared matrix, the pooler of a sentence encoder.
fn unused<'a>(stored: impl Iterator<Item = &'a String>, shapes: &[(String, Vec<usize>)]) -> Vec<String> {
    const MADE: [&str; 8] = [
        "lm_head.weight",
        "embed_out.weight",
        "rotary_emb.inv_freq",
        "attention.bias",
        "attention.masked_bias",
        "embeddings.position_ids",
        "pooler.dense.weight",
        "pooler.dense.bias",
    ];
    let known: HashSet<&str> = shapes.iter().map(|(name, _)| name.as_str()).collect();
    let is_unused = |name: &&String| !known.contains(name.as_str()) && !MADE.iter().any(|end| name.ends_with(end));
    let mut names: Vec<String> = stored.filter(is_unused).cloned().collect();
    names.sort_unstable();
    names
}

/// Where a tensor stands in a safetensors file.
struct Stored {
    path: Arc<Path>,
    dtype: Dtype,
    shape: Vec<usize>,
    start: u64,
    bytes: usize,
}

impl Stored {
    /// All tensors of a file by name, from its header alone.
    fn all(path: &Path) -> Result<HashMap<String, Self>> {
        let mut file = file::open(path)?;
        let length = file.metadata().map_err(|error| Error::file(path, error))?.len();
        let refuse = |reason: String| {
            Error::new(ErrorKind::Model, format!("`{}` ({length} bytes) is not a whole safetensors file: {reason}", path.display()))
                .hint("the file is cut off or damaged: delete it and fetch or train the checkpoint again")
                .in_file(path)
        };
        let mut count = [0u8; 8];
        file.read_exact(&mut count).map_err(|error| refuse(error.to_string()).because(error))?;
        let count = u64::from_le_bytes(count);
        if count > length - 8 || count > limits::SAFETENSORS_HEADER.bytes {
            return Err(refuse(format!("its header would have {count} bytes; {} are allowed", limits::SAFETENSORS_HEADER.bytes)));
        }
        let mut header = vec![0u8; count as usize];
        file.read_exact(&mut header).map_err(|error| refuse(error.to_string()).because(error))?;
        let parsed = || serde_json::from_slice(&header).map_err(|error| refuse(error.to_string()).because(error));
        let header: Metadata = guard::guarded(ErrorKind::Model, format_args!("`{}`", path.display()), parsed)?;
        let path: Arc<Path> = path.into();
        let mut all = HashMap::new();
        for (name, tensor) in header.tensors() {
            let (start, end) = tensor.data_offsets;
            if tensor.shape.len() > limits::RANK {
                return Err(refuse(format!("`{name}` has {} dimensions; {} are allowed", tensor.shape.len(), limits::RANK)));
            }
            if (end as u64) > length - 8 - count {
                return Err(refuse(format!("`{name}` would end behind the file")));
            }
            let start_in_file = 8 + count + start as u64;
            all.insert(
                name,
                Self { path: path.clone(), dtype: tensor.dtype, shape: tensor.shape.clone(), start: start_in_file, bytes: end - start },
            );
        }
        Ok(all)
    }

    /// Fills `out` from the file, on all threads. Reading into memory of our own, unlike mapping the file, stays correct
    /// when another program changes or cuts the file.
    fn read(&self, out: &mut [u8]) -> Result<()> {
        const SPAN: usize = 8 << 20;
        let read = |(index, out): (usize, &mut [u8])| {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.start + (index * SPAN) as u64))?;
            file.read_exact(out)
        };
        out.par_chunks_mut(SPAN).enumerate().try_for_each(read).map_err(|error| Error::file(&self.path, error))
    }

    fn raw(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0u8; self.bytes];
        self.read(&mut bytes)?;
        Ok(bytes)
    }

    /// The packed format that has the same bytes.
    fn format(&self) -> Option<GgmlDType> {
        match self.dtype {
            Dtype::F32 => Some(GgmlDType::F32),
            Dtype::F16 => Some(GgmlDType::F16),
            Dtype::BF16 => Some(GgmlDType::BF16),
            _ => None,
        }
    }

    /// The numbers as f32.
    fn values(&self) -> Result<Vec<f32>> {
        match self.format() {
            Some(GgmlDType::F32) => {
                let mut values = vec![0f32; self.bytes / 4];
                self.read(bytemuck::cast_slice_mut(&mut values))?;
                Ok(values)
            }
            Some(GgmlDType::F16) => self.widened(Format::F16),
            Some(GgmlDType::BF16) => self.widened(Format::Bf16),
            _ => {
                let tensor = Tensor::from_raw_buffer(&self.raw()?, DType::try_from(self.dtype)?, &self.shape, &Device::Cpu)?;
                Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
            }
        }
    }

    fn widened(&self, format: Format) -> Result<Vec<f32>> {
        let mut values = vec![0f32; self.bytes / 2];
        widen(format, &self.raw()?, &mut values);
        Ok(values)
    }

    fn packed(&self, format: GgmlDType, device: &Device) -> Result<QTensor> {
        if self.format() == Some(format) {
            return Ok(qtensor_from_ggml(format, &self.raw()?, self.shape.clone(), device)?);
        }
        Ok(QTensor::quantize_onto(&Tensor::from_vec(self.values()?, self.shape.as_slice(), &Device::Cpu)?, format, device)?)
    }
}

/// The weight files of a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (index, whole) = (folder.join(INDEX), folder.join("model.safetensors"));
    let Some(value) = json::read_if_there::<serde_json::Value>(&index, limits::INDEX, ErrorKind::Model, "fetch the checkpoint again")?
    else {
        let pickle = |name: &str| name.starts_with("pytorch_model") && name.ends_with(".bin");
        let mut names =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        return match names.find(|name| pickle(name) && !whole.exists()) {
            Some(name) => Err(Error::new(
                ErrorKind::Model,
                format!("`{}` has its weights in `{name}`, a Python pickle, which runs code when it is read; this crate reads safetensors", folder.display()),
            )
            .hint(format!(
                "convert it once with Python: `from transformers import AutoModelForCausalLM as A; f = \"{}\"; A.from_pretrained(f).save_pretrained(f)`",
                folder.display()
            ))),
            None => Ok(vec![whole]),
        };
    };
    let mut names: Vec<&str> =
        value["weight_map"].as_object().into_iter().flat_map(|map| map.values()).filter_map(|name| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let absent: Vec<String> = names.iter().filter(|name| !folder.join(name).is_file()).map(|name| name.to_string()).collect();
    if !absent.is_empty() {
        let message = format!(
            "`{}`: {} of {} shards that `{INDEX}` names are missing: {}",
            folder.display(),
            absent.len(),
            names.len(),
            quoted(&absent)
        );
        return Err(Error::new(ErrorKind::Model, message).hint("fetch these files into the folder"));
    }
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

/// The files that an index names, as far as they stand in the folder; none where there is no index.
pub(crate) fn shards(folder: &Path) -> Vec<PathBuf> {
    if !folder.join(INDEX).is_file() {
        return Vec::new();
    }
    let is_shard = |path: &PathBuf| {
        let is_file = path.extension().is_some_and(|extension| extension == "safetensors");
        is_file && path.parent() == Some(folder) && path.file_name() != Some("model.safetensors".as_ref())
    };
    files(folder).unwrap_or_default().into_iter().filter(is_shard).collect()
}

/// Removes the index and the shards that it names from a folder whose weights have been written as one file: they would be loaded
/// in its place. The index goes first, so that whatever stops this, the folder is whole.
///
/// # Errors
/// [`ErrorKind::File`] for a file that cannot be removed.
pub fn remove_shards(folder: &Path) -> Result<()> {
    let (index, shards) = (folder.join(INDEX), shards(folder));
    if !index.is_file() {
        return Ok(());
    }
    for path in std::iter::once(index).chain(shards) {
        std::fs::remove_file(&path).map_err(|error| Error::file(&path, error))?;
    }
    Ok(())
}

/// Writes a file in a number format; an older file stays whole when writing fails.
///
/// # Errors
/// [`ErrorKind::File`] when it cannot be written.
pub fn save(path: &Path, weights: &Weights, dtype: DType) -> Result<()> {
    save_described(path, weights, dtype, HashMap::new())
}

/// [`save`] with words about the file in its header.
///
/// # Errors
/// As [`save`].
pub fn save_described(path: &Path, weights: &Weights, dtype: DType, words: HashMap<String, String>) -> Result<()> {
    write_whole(path, &serialized(weights, dtype, path, words)?)
}

/// The bytes of a file in a number format, with words about it in its header; `path` is named in errors.
pub(crate) fn serialized(weights: &Weights, dtype: DType, path: &Path, mut words: HashMap<String, String>) -> Result<Vec<u8>> {
    let mut tensors = Vec::with_capacity(weights.len());
    for (name, var) in weights {
        tensors.push((name.clone(), var.as_tensor().to_dtype(dtype)?.to_device(&Device::Cpu)?));
    }
    words.insert("format".to_string(), "pt".to_string());
    safetensors::serialize(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)), Some(words))
        .map_err(|error| Error::new(ErrorKind::Model, format!("`{}`: {error}", path.display())).in_file(path).because(error))
}
