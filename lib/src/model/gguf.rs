//! A `.gguf` file of the Llama family → its shape and weights, packed as they are stored.
//!
//! The format is that of ggml and llama.cpp. There a head's rotated dimensions stand pair by pair, in transformers half by half:
//! the rows of query and key are put back into the order of transformers, which costs nothing, since a row is a run of bytes.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{Device, Var};
use serde_json::json;

use crate::error::{Error, ErrorKind, Result, quoted};
use crate::model::config::{Config, LlamaConfig};
use crate::model::llama::parameter_shapes;
use crate::model::parameter::Parameter;
use crate::model::weights::{Packed, Weights};

/// Parts of names: transformers', llama.cpp's.
const NAMES: [(&str, &str); 12] = [
    ("model.embed_tokens.", "token_embd."),
    ("model.norm.", "output_norm."),
    ("lm_head.", "output."),
    ("self_attn.q_proj.", "attn_q."),
    ("self_attn.k_proj.", "attn_k."),
    ("self_attn.v_proj.", "attn_v."),
    ("self_attn.o_proj.", "attn_output."),
    ("mlp.gate_proj.", "ffn_gate."),
    ("mlp.up_proj.", "ffn_up."),
    ("mlp.down_proj.", "ffn_down."),
    ("input_layernorm.", "attn_norm."),
    ("post_attention_layernorm.", "ffn_norm."),
];

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
    let refuse = |reason: String| Error::new(ErrorKind::Model, format!("`{}`: {reason}", path.display()));
    let damaged = |error: candle_core::Error| {
        refuse(format!("not a whole GGUF file: {}", error.to_string().lines().next().unwrap_or_default())).hint("fetch the file again")
    };
    let mut reader = BufReader::new(File::open(path).map_err(|error| Error::file(path, error))?);
    let content = Content::read(&mut reader).map_err(damaged)?;
    let config = shape(&content).map_err(|reason| {
        refuse(reason)
            .hint("this crate reads GGUF files of Llama-like models without stretched positions; use the model's safetensors instead")
    })?;
    let (mut weights, mut packed, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (name, shape) in parameter_shapes(&config) {
        let stored = stored_name(&name);
        let found = content.tensor_infos.get(&stored).map(|info| info.shape.dims().to_vec());
        if found.as_ref() != Some(&shape) {
            let found = found.map_or("missing".into(), |found| format!("shape {found:?}, its metadata say {shape:?}"));
            wrong.push(format!("{stored}: {found}"));
            continue;
        }
        let tensor = content.tensor(&mut reader, &stored, device).map_err(damaged)?;
        let turned = [("q_proj", config.num_attention_heads), ("k_proj", config.groups())];
        let tensor = match turned.iter().find(|(part, _)| name.contains(part)) {
            Some((_, heads)) => halves(&tensor, *heads, device)?,
            None => tensor,
        };
        if shape.len() == 2 {
            packed.push((name, Arc::new(tensor)));
        } else {
            let parameter = Parameter::new(Var::from_tensor(&tensor.dequantize(device)?)?);
            parameter.set_frozen(true);
            weights.push((name, parameter));
        }
    }
    match wrong.is_empty() {
        true => Ok((Config::Llama(config), weights, packed)),
        false => Err(refuse(format!("tensors and metadata disagree:\n  {}", wrong.join("\n  "))).hint("fetch the file again")),
    }
}

fn stored_name(name: &str) -> String {
    let name = name.replace("model.layers.", "blk.");
    match NAMES.iter().find(|(ours, _)| name.contains(ours)) {
        Some((ours, theirs)) => name.replace(ours, theirs),
        None => name,
    }
}

/// The shape that the metadata tell; `Err` says what is not known.
fn shape(content: &Content) -> std::result::Result<LlamaConfig, String> {
    let get = |key: &str| content.metadata.get(key);
    let family = get("general.architecture").and_then(|value| value.to_string().ok()).map_or("absent", String::as_str);
    if family != "llama" {
        return Err(format!("general.architecture is `{family}`; this crate knows `llama`"));
    }
    if content.tensor_infos.contains_key("rope_freqs.weight") || get("llama.rope.scaling.type").is_some() {
        return Err("its rotary positions are stretched".into());
    }
    let number = |key: &str| {
        let value = get(&format!("llama.{key}"));
        value.and_then(integer).ok_or_else(|| format!("llama.{key} is missing from its metadata"))
    };
    let float = |key: &str, default: f32| get(&format!("llama.{key}")).and_then(|value| value.to_f32().ok()).unwrap_or(default);
    let words = content.tensor_infos.get("token_embd.weight").and_then(|info| info.shape.dims().first().copied());
    let (width, heads) = (number("embedding_length")?, number("attention.head_count")?);
    // Written as text, an f32 is the number that its author meant: 1e-5 and not 9.999999747378752e-6.
    let exact = |value: f32| value.to_string().parse::<f64>().unwrap_or(f64::from(value));
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": words, "hidden_size": width,
        "intermediate_size": number("feed_forward_length")?, "num_hidden_layers": number("block_count")?, "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv").unwrap_or(heads),
        "head_dim": number("attention.key_length").unwrap_or(width / heads.max(1)),
        "max_position_embeddings": number("context_length")?, "rms_norm_eps": exact(float("attention.layer_norm_rms_epsilon", 1e-5)),
        "rope_theta": exact(float("rope.freq_base", 10_000.0)), "tie_word_embeddings": !content.tensor_infos.contains_key("output.weight"),
        "bos_token_id": get("tokenizer.ggml.bos_token_id").and_then(integer), "eos_token_id": get("tokenizer.ggml.eos_token_id").and_then(integer),
    });
    LlamaConfig::from_value(config)
}

fn integer(value: &Value) -> Option<u64> {
    value.to_u64().ok().or_else(|| value.to_i64().ok().and_then(|number| u64::try_from(number).ok()))
}

/// Rows pair by pair → half by half, head by head.
fn halves(tensor: &QTensor, heads: usize, device: &Device) -> Result<QTensor> {
    let (data, rows) = (tensor.data()?, tensor.shape().dims()[0]);
    let (row, size) = (data.len() / rows, rows / heads);
    let mut turned = Vec::with_capacity(data.len());
    for index in 0..rows {
        let (head, half, pair) = (index / size, index % size / (size / 2), index % (size / 2));
        turned.extend_from_slice(&data[(head * size + 2 * pair + half) * row..][..row]);
    }
    Ok(qtensor_from_ggml(tensor.dtype(), &turned, tensor.shape().dims().to_vec(), device)?)
}
