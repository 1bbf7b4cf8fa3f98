//! A model → what says which one it is, and whether the adapter of a file was made on it.
//!
//! Two checksums stand in the header of `adapter_model.safetensors`, where PEFT does not look: one over norms and biases, which stay as
//! they are when matrices are packed, and one over the matrices of a model that is not packed.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Device;
use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::nn::lora::is_adapter;
use crate::nn::parameter::{Parameter, with_values};
use crate::util::notice;
use compute::cpu::activation::scramble;

/// The words of the header.
const VECTORS: &str = "finetuning.base_vectors";
const MATRICES: &str = "finetuning.base_matrices";

/// What says which model it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Of norms and biases.
    vectors: String,
    /// Of matrices, where none is packed.
    matrices: Option<String>,
}

/// A checksum of a parameter: not against who wants to be mistaken, but against mistakes.
fn checksum(name: &str, parameter: &Parameter) -> Result<u64> {
    let seed = name.bytes().fold(0u64, |sum, byte| scramble(sum ^ u64::from(byte)));
    let values = parameter.detached().to_device(&Device::Cpu)?.contiguous()?;
    // Chains side by side, so that long matrices take all threads.
    let chunk = |(index, values): (usize, &[f32])| {
        let start = scramble(seed.wrapping_add(index as u64));
        values.iter().fold(start, |sum, value| scramble(sum ^ u64::from(value.to_bits())))
    };
    let sums = with_values(&values, |values| values.par_chunks(1 << 16).enumerate().map(chunk).collect::<Vec<u64>>())?;
    Ok(sums.into_iter().fold(seed, |sum, part| scramble(sum ^ part)))
}

impl CausalLm {
    /// What says which model stands below the adapter.
    pub(crate) fn fingerprint(&self) -> Result<Fingerprint> {
        let (mut vectors, mut matrices) = (0u64, 0u64);
        for (name, parameter) in self.weights().iter().filter(|(name, _)| !is_adapter(name)) {
            let sum = if parameter.rank() == 1 { &mut vectors } else { &mut matrices };
            *sum = scramble(*sum ^ checksum(name, parameter)?);
        }
        let text = |sum: u64| format!("{sum:016x}");
        Ok(Fingerprint { vectors: text(vectors), matrices: self.packed().is_empty().then(|| text(matrices)) })
    }

    /// Refuses an adapter that was made on another model; one that does not know is taken, with a notice.
    pub(crate) fn check_base(&self, path: &Path, name: &str, words: &HashMap<String, String>) -> Result<()> {
        let origin = self.origin().unwrap_or_default();
        let Some(theirs) = Fingerprint::of(words) else {
            // The model that the file names is the one, as far as anybody knows.
            let place = |name: &str| std::fs::canonicalize(name).unwrap_or_else(|_| name.into());
            if name.is_empty() || place(name) != place(&origin) {
                let ours = if origin.is_empty() { "this model" } else { &origin };
                let theirs = if name.is_empty() { "a model that it does not name" } else { name };
                notice::warn(format_args!(
                    "the adapter `{}` was trained on `{theirs}`, and is put on `{ours}`. Its file knows no checksum of the weights below it (PEFT \
                     writes none): unless both are the same model, what it learnt is lost",
                    path.parent().unwrap_or(path).display()
                ));
            }
            return Ok(());
        };
        let ours = self.fingerprint()?;
        let differ = match (&ours.matrices, &theirs.matrices) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        };
        if ours.vectors == theirs.vectors && !differ {
            return Ok(());
        }
        let what = if differ { "matrices" } else { "norms and biases" };
        let (named, this) = (if name.is_empty() { "another model" } else { name }, if origin.is_empty() { "this model" } else { &origin });
        let message = format!(
            "`{}` belongs to another model: it was trained on `{named}`, and the {what} of `{this}` are not those it was trained on",
            path.display()
        );
        Err(Error::new(ErrorKind::Model, message)
            .hint("load the model that it was trained on, by the same name, or train an adapter on this one")
            .in_file(path))
    }
}

impl Fingerprint {
    /// The words for a header.
    pub(crate) fn words(self) -> HashMap<String, String> {
        let matrices = self.matrices.map(|sum| (MATRICES.to_string(), sum));
        std::iter::once((VECTORS.to_string(), self.vectors)).chain(matrices).collect()
    }

    fn of(words: &HashMap<String, String>) -> Option<Self> {
        Some(Self { vectors: words.get(VECTORS)?.clone(), matrices: words.get(MATRICES).cloned() })
    }
}
