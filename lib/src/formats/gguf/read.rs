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
use crate::models::config::Config;
use crate::nn::parameter::Parameter;
use crate::nn::weights::{Packed, Weights};
use crate::util::names::quoted;

/// Parts of names: transformers', llama.cpp's.
const NAMES: [(&str, &str); 29] = [
    ("model.layers.", "blk."),
    ("model.embed_tokens.", "token_embd."),
    ("model.norm.", "output_norm."),
    ("lm_head.", "output."),
    ("self_attn.q_proj.", "attn_q."),
    ("self_attn.k_proj.", "attn_k."),
    ("self_attn.v_proj.", "attn_v."),
    ("self_attn.o_proj.", "attn_output."),
    ("self_attn.q_norm.", "attn_q_norm."),
    ("self_attn.k_norm.", "attn_k_norm."),
    ("mlp.gate_proj.", "ffn_gate."),
    ("mlp.up_proj.", "ffn_up."),
    ("mlp.down_proj.", "ffn_down."),
    // Phi and Phi-3.
    ("self_attn.qkv_proj.", "attn_qkv."),
    ("self_attn.dense.", "attn_output."),
    ("mlp.gate_up_proj.", "ffn_up."),
    ("mlp.fc1.", "ffn_up."),
    ("mlp.fc2.", "ffn_down."),
    ("model.final_layernorm.", "output_norm."),
    // GPT-NeoX.
    ("gpt_neox.layers.", "blk."),
    ("gpt_neox.embed_in.", "token_embd."),
    ("gpt_neox.final_layer_norm.", "output_norm."),
    ("embed_out.", "output."),
    ("attention.query_key_value.", "attn_qkv."),
    ("attention.dense.", "attn_output."),
    ("mlp.dense_h_to_4h.", "ffn_up."),
    ("mlp.dense_4h_to_h.", "ffn_down."),
    // The norms of all.
    (".input_layernorm.", ".attn_norm."),
    (".post_attention_layernorm.", ".ffn_norm."),
];

/// The same where each half of a block is normalised before and after: Gemma 2 and 3. They go first.
const OUTER_NORMS: [(&str, &str); 3] = [
    (".post_attention_layernorm.", ".post_attention_norm."),
    (".pre_feedforward_layernorm.", ".ffn_norm."),
    (".post_feedforward_layernorm.", ".post_ffw_norm."),
];

/// Tensors of factors of the rotary frequencies: Llama 3's, Phi-3's. The last is for texts beyond the positions that we compute.
const FACTORS: [&str; 3] = ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"];

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
        let tensor = in_our_order(&config, &name, tensor, device)?;
        if shape.len() == 2 {
            packed.push((name, Arc::new(tensor)));
        } else {
            let values = tensor.dequantize(device)?;
            // The converter adds what the model adds: there Gemma's norms are factors, here distances from 1.
            let is_distance = matches!(&config, Config::Llama(config) if config.is_gemma()) && name.ends_with("norm.weight");
            let parameter = Parameter::new(Var::from_tensor(&if is_distance { (values - 1.0)? } else { values })?);
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

fn stored_name(config: &Config, name: &str) -> String {
    let has_outer_norms = matches!(config, Config::Llama(config) if config.has_outer_norms());
    let names = OUTER_NORMS.iter().filter(|_| has_outer_norms).chain(&NAMES);
    names.fold(name.to_string(), |name, (ours, theirs)| name.replace(ours, theirs))
}

/// The rows as transformers has them.
fn in_our_order(config: &Config, name: &str, tensor: QTensor, device: &Device) -> Result<QTensor> {
    match config {
        // A head's rotated dimensions stand pair by pair there, half by half here.
        Config::Llama(config) if config.model_type == "llama" => {
            if !["q_proj", "k_proj"].iter().any(|part| name.contains(part)) {
                return Ok(tensor);
            }
            let size = config.head_size();
            reordered(&tensor, device, |row| {
                let (head, half, pair) = (row / size, row % size / (size / 2), row % (size / 2));
                head * size + 2 * pair + half
            })
        }
        // Queries of all heads, then keys, then values there; query, key and value of each head here.
        Config::Neox(config) if name.contains("query_key_value") => {
            let size = config.head_size();
            reordered(&tensor, device, |row| {
                let (head, part, place) = (row / (3 * size), row / size % 3, row % size);
                part * config.hidden_size + head * size + place
            })
        }
        _ => Ok(tensor),
    }
}

/// The tensor with row `from(i)` in place `i`.
fn reordered(tensor: &QTensor, device: &Device, from: impl Fn(usize) -> usize) -> Result<QTensor> {
    let (data, rows) = (tensor.data()?, tensor.shape().dims()[0]);
    let row = data.len() / rows;
    let moved: Vec<u8> = (0..rows).flat_map(|index| &data[from(index) * row..][..row]).copied().collect();
    Ok(qtensor_from_ggml(tensor.dtype(), &moved, tensor.shape().dims().to_vec(), device)?)
}
