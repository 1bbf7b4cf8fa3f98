//! Named weights → `model.safetensors`, or above a size several files and their index, as transformers names and cuts them.

use std::collections::{BTreeMap, HashMap};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use candle_core::DType;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::formats::safetensors::{INDEX, remove_shards, serialized, shards};
use crate::nn::weights::Weights;
use crate::util::interrupt;
use crate::util::write::write_whole;

/// The file of all weights.
const WHOLE: &str = "model.safetensors";

/// Writes the weights in files of `most` bytes at most; a tensor that is larger has a file of its own. What is loaded from the folder
/// afterwards is these weights alone. One file's bytes are in memory at a time.
///
/// # Errors
/// [`crate::ErrorKind::File`] when the folder cannot be written, and an interrupt: then the folder is as it was.
pub fn save(folder: &Path, weights: &Weights, dtype: DType, most: u64) -> Result<()> {
    let sizes: Vec<u64> = weights.iter().map(|(_, parameter)| (parameter.elem_count() * dtype.size_in_bytes()) as u64).collect();
    let parts = parts(&sizes, most);
    if parts.len() < 2 {
        write_whole(&folder.join(WHOLE), &serialized(weights, dtype, folder, HashMap::new())?)?;
        return remove_shards(folder);
    }
    // All aside first: a disk that fills up changes nothing.
    let (mut files, mut places) = (Vec::new(), BTreeMap::new());
    for (number, part) in parts.iter().enumerate() {
        interrupt::check(format_args!("after {number} of {} files of weights", parts.len()))?;
        let name = format!("model-{:05}-of-{:05}.safetensors", number + 1, parts.len());
        let own: Weights = part.iter().map(|&index| weights[index].clone()).collect();
        files.push((write(folder, &name, &serialized(&own, dtype, folder, HashMap::new())?)?, name.clone()));
        places.extend(own.into_iter().map(|(tensor, _)| (tensor, name.clone())));
    }
    let count: usize = weights.iter().map(|(_, parameter)| parameter.elem_count()).sum();
    let index = json!({ "metadata": { "total_parameters": count, "total_size": sizes.iter().sum::<u64>() }, "weight_map": places });
    let index = write(folder, INDEX, format!("{index:#}\n").as_bytes())?;
    let remove = |path: &Path| match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(path, error)),
        _ => Ok(()),
    };
    // An older index would name files of both models; without one the folder is none.
    let (old, was) = (shards(folder), folder.join(INDEX));
    remove(&was)?;
    for path in old.iter().filter(|path| !files.iter().any(|(_, name)| path.ends_with(name))) {
        remove(path)?;
    }
    let keep = |file: NamedTempFile, name: &str| {
        let path = folder.join(name);
        file.persist(&path).map(drop).map_err(|failed| Error::file(&path, failed.error))
    };
    files.into_iter().try_for_each(|(file, name)| keep(file, &name))?;
    keep(index, INDEX)?;
    remove(&folder.join(WHOLE))
}

/// A whole file under a name that nothing has; it goes when it is dropped.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<NamedTempFile> {
    let write = || {
        let mut builder = tempfile::Builder::new();
        // What the user's mask leaves of it, as for any file.
        let permissions = std::fs::metadata(folder.join(name)).map_or(Permissions::from_mode(0o666), |old| old.permissions());
        let mut file = builder.prefix(&format!(".{name}.")).suffix(".partial").permissions(permissions).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error: std::io::Error| Error::file(&folder.join(name), error))
}

/// Numbers of the tensors of each file, in the order of `split_state_dict_into_shards_factory` of huggingface_hub.
fn parts(sizes: &[u64], most: u64) -> Vec<Vec<usize>> {
    let (mut parts, mut current, mut size) = (Vec::new(), Vec::new(), 0);
    for (index, &own) in sizes.iter().enumerate() {
        if own > most {
            parts.push(vec![index]);
            continue;
        }
        if size + own > most {
            parts.push(std::mem::take(&mut current));
            size = 0;
        }
        current.push(index);
        size += own;
    }
    if !current.is_empty() {
        parts.push(current);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lists are those that huggingface_hub 2.4.0 gives.
    #[test]
    fn files_are_cut_as_by_huggingface_hub() {
        assert_eq!(parts(&[6, 6, 2, 6, 2, 2], 10), [vec![0], vec![1, 2], vec![3, 4, 5]]);
        assert_eq!(parts(&[3, 20, 3, 5], 10), [vec![1], vec![0, 2], vec![3]]);
        assert_eq!(parts(&[3, 3], 10), [vec![0, 1]]);
        assert!(parts(&[], 10).is_empty());
    }
}
