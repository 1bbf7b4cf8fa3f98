//! A model and its tokenizer, or an adapter → a `.gguf` file that llama.cpp and Ollama open, and a `Modelfile` beside it.

use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::gguf_file::Value as Stored;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};

use crate::error::{Error, ErrorKind, Result};
use crate::formats::gguf::layout::{is_distance, row_order, stored_name};
use crate::formats::gguf::metadata::{Description, describe};
use crate::formats::gguf::mix::GgufFormat;
use crate::formats::gguf::write::{Planned, write};
use crate::generate::config::end_ids;
use crate::models::causal::CausalLm;
use crate::models::config::Config;
use crate::nn::lora::tensor_name;
use crate::nn::packed::dequantize;
use crate::nn::parameter::Parameter;
use crate::pretrained::modelfile::{adapter_modelfile, modelfile};
use crate::tokenizer::text::Tokenizer;
use crate::util::write::write_whole;

/// The version of ggml's blocks.
const BLOCKS: u32 = 2;

/// Where the numbers of a tensor are.
enum Numbers<'a> {
    Full(&'a Parameter),
    Packed(&'a QTensor),
    Factors(&'a [f32]),
}

impl CausalLm {
    /// Writes the model with its tokenizer, its chat template and the ids that end a text as one `.gguf` file, which llama.cpp, Ollama and
    /// [`crate::AutoModelForCausalLM`] open, and a `Modelfile` beside it: `ollama create NAME -f Modelfile`. In `F32` the model is read
    /// again bit by bit; the smaller formats are mixed as `llama-quantize` mixes them. One tensor at a time is in memory besides
    /// the model. In a file of Mistral or Qwen a text is as long as the sliding window at most, since llama.cpp has none there.
    ///
    /// ```
    /// use finetuning::*;
    ///
    /// let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained("builtin:base")?, AutoTokenizer::from_pretrained("builtin:base")?);
    /// let folder = std::env::temp_dir().join(format!("gguf-{}", std::process::id()));
    /// std::fs::create_dir_all(&folder)?;
    /// model.save_gguf(folder.join("base.gguf"), &tokenizer, GgufFormat::Q8_0)?;
    /// let again = AutoModelForCausalLM::from_pretrained(&folder.join("base.gguf").display().to_string())?;
    /// assert_eq!(again.parameter_count(), model.parameter_count());
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a model with an adapter, or of a shape that llama.cpp's family does not have; [`ErrorKind::Tokenizer`] for a
    /// tokenizer that the format cannot hold; [`ErrorKind::File`] when a file cannot be written: then nothing of it stays, and an older one
    /// is whole.
    pub fn save_gguf(&self, path: impl AsRef<Path>, tokenizer: &Tokenizer, format: GgufFormat) -> Result<()> {
        let path = path.as_ref();
        if self.lora().is_some() {
            return Err(Error::new(ErrorKind::Model, "the model has an adapter; save_gguf() writes a model without one")
                .hint("call merge_adapter()? first, or write the adapter alone with save_adapter_gguf()"));
        }
        let description = self.description()?;
        let ends = end_ids(self, tokenizer)?;
        let known = self.config().vocab_size() as u32;
        let ends: Vec<u32> = ends.into_iter().filter(|id| *id < known).collect();
        let mut metadata = description.metadata;
        metadata.push(("general.file_type".into(), Stored::U32(format.file_type())));
        if format.is_quantized() {
            metadata.push(("general.quantization_version".into(), Stored::U32(BLOCKS)));
        }
        metadata.extend(tokenizer.gguf_metadata(self.config().vocab_size(), &ends)?);
        let weights: HashMap<&str, &Parameter> = self.weights().iter().map(|(name, parameter)| (name.as_str(), parameter)).collect();
        let packed: HashMap<&str, &QTensor> = self.packed().iter().map(|(name, matrix)| (name.as_str(), matrix.as_ref())).collect();
        let (mut tensors, mut sources) = (Vec::new(), Vec::new());
        for (name, shape) in self.config().parameter_shapes() {
            let numbers = match (weights.get(name.as_str()), packed.get(name.as_str())) {
                (Some(parameter), _) => Numbers::Full(parameter),
                (None, Some(matrix)) => Numbers::Packed(matrix),
                (None, None) => return Err(Error::new(ErrorKind::Model, format!("the model has no `{name}`"))),
            };
            let stored = stored_name(self.config(), &name);
            tensors.push(Planned { dtype: format.of_tensor(self.config(), &stored, &shape), name: stored, shape });
            sources.push((name, numbers));
        }
        for (name, factors) in &description.factors {
            tensors.push(Planned { name: name.to_string(), shape: vec![factors.len()], dtype: GgmlDType::F32 });
            sources.push((name.to_string(), Numbers::Factors(factors)));
        }
        write(path, &metadata, &tensors, |number| bytes(self.config(), &sources[number], &tensors[number]))?;
        beside(path, &modelfile(path, tokenizer, &ends))
    }

    /// Writes the adapter alone as a `.gguf` file, for `llama-cli --lora` and Ollama's `ADAPTER`, and a `Modelfile` beside it, in which `base`
    /// stands behind `FROM`: the file of the model below, such as `./base.gguf`, or Ollama's name of it. The numbers are f32.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for a model without an adapter, or of a family that llama.cpp does not have; [`ErrorKind::File`] when a file
    /// cannot be written.
    pub fn save_adapter_gguf(&self, path: impl AsRef<Path>, base: &str) -> Result<()> {
        let path = path.as_ref();
        let Some(lora) = self.lora() else {
            return Err(Error::new(ErrorKind::Model, "the model has no adapter to save").hint("use `save_gguf`, or `with_lora` first"));
        };
        let Description { architecture, .. } = self.description()?;
        let entry = |name: &str, value: Stored| (name.to_string(), value);
        // llama.cpp divides by the rank, whatever the settings divide by.
        let alpha = lora.scale() * lora.r as f64;
        let metadata = [
            entry("general.architecture", Stored::String(architecture.into())),
            entry("general.type", Stored::String("adapter".into())),
            entry("general.file_type", Stored::U32(GgufFormat::F32.file_type())),
            entry("adapter.type", Stored::String("lora".into())),
            entry("adapter.lora.alpha", Stored::F32(alpha as f32)),
        ];
        let find = |name: &str| self.weights().iter().find(|(own, _)| own == name).map(|(_, parameter)| parameter);
        let (mut tensors, mut sources) = (Vec::new(), Vec::new());
        for (name, _) in self.config().parameter_shapes() {
            let module = name.trim_end_matches(".weight");
            let (Some(a), Some(b)) = (find(&tensor_name(module, "A")), find(&tensor_name(module, "B"))) else { continue };
            let stored = stored_name(self.config(), &name);
            // The rows of B are those of the matrix; those of A are nobody's.
            for (which, parameter, rows_of) in [("a", a, String::new()), ("b", b, name.clone())] {
                tensors.push(Planned { name: format!("{stored}.lora_{which}"), shape: parameter.dims().to_vec(), dtype: GgmlDType::F32 });
                sources.push((rows_of, Numbers::Full(parameter)));
            }
        }
        write(path, &metadata, &tensors, |number| bytes(self.config(), &sources[number], &tensors[number]))?;
        beside(path, &adapter_modelfile(path, base))
    }

    fn description(&self) -> Result<Description> {
        describe(self.config()).map_err(|reason| {
            Error::new(ErrorKind::Model, format!("the model does not fit into a GGUF file: {reason}"))
                .hint("use `save_pretrained`, whose folder transformers and this crate open")
        })
    }
}

/// Writes the `Modelfile` of a file into its folder.
fn beside(path: &Path, text: &str) -> Result<()> {
    write_whole(&path.with_file_name("Modelfile"), text.as_bytes())
}

/// The numbers of a tensor as the file has them.
fn bytes(config: &Config, (name, numbers): &(String, Numbers), planned: &Planned) -> Result<Vec<u8>> {
    let mut values: Vec<f32> = match numbers {
        Numbers::Packed(matrix) if matrix.dtype() == planned.dtype => {
            return Ok(placed(config, name, matrix.data()?.into_owned(), planned));
        }
        Numbers::Packed(matrix) => dequantize(matrix)?,
        Numbers::Factors(factors) => factors.to_vec(),
        Numbers::Full(parameter) => parameter.detached().to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?,
    };
    if is_distance(config, name) {
        values.iter_mut().for_each(|value| *value += 1.0);
    }
    let bytes = match planned.dtype {
        GgmlDType::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        dtype => QTensor::quantize(&Tensor::from_vec(values, planned.shape.as_slice(), &Device::Cpu)?, dtype)?.data()?.into_owned(),
    };
    Ok(placed(config, name, bytes, planned))
}

/// Rows in the order of the file.
fn placed(config: &Config, name: &str, bytes: Vec<u8>, planned: &Planned) -> Vec<u8> {
    let Some(place) = row_order(config, name) else { return bytes };
    let row = bytes.len() / planned.shape[0];
    let mut moved = vec![0; bytes.len()];
    for (index, own) in bytes.chunks_exact(row).enumerate() {
        moved[place(index) * row..][..row].copy_from_slice(own);
    }
    moved
}
