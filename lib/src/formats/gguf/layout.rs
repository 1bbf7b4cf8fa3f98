//! A tensor of transformers → its name and the order of its rows in a `.gguf` file: what llama.cpp's converter renames and moves.

use crate::models::config::Config;

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
pub(crate) const FACTORS: [&str; 3] = ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"];

/// The name of a tensor in the file.
pub(crate) fn stored_name(config: &Config, name: &str) -> String {
    let has_outer_norms = matches!(config, Config::Llama(config) if config.has_outer_norms());
    let names = OUTER_NORMS.iter().filter(|_| has_outer_norms).chain(&NAMES);
    names.fold(name.to_string(), |name, (ours, theirs)| name.replace(ours, theirs))
}

/// Whether the file holds the factors of a norm whose weights are distances from 1 here: the converter adds what Gemma adds.
pub(crate) fn is_distance(config: &Config, name: &str) -> bool {
    matches!(config, Config::Llama(config) if config.is_gemma()) && name.ends_with("norm.weight")
}

/// The place of a row in a file.
pub(crate) type RowOrder = Box<dyn Fn(usize) -> usize>;

/// The place in the file of each row of transformers; none where the order is the same.
pub(crate) fn row_order(config: &Config, name: &str) -> Option<RowOrder> {
    match config {
        // A head's rotated dimensions stand pair by pair there, half by half here.
        Config::Llama(config) if ["llama", "mistral"].contains(&config.model_type.as_str()) => {
            let size = config.head_size();
            ["q_proj", "k_proj"].iter().any(|part| name.contains(part)).then(|| {
                Box::new(move |row: usize| {
                    let (head, half, pair) = (row / size, row % size / (size / 2), row % (size / 2));
                    head * size + 2 * pair + half
                }) as RowOrder
            })
        }
        // Queries of all heads, then keys, then values there; query, key and value of each head here.
        Config::Neox(config) if name.contains("query_key_value") => {
            let (size, width) = (config.head_size(), config.hidden_size);
            Some(Box::new(move |row: usize| {
                let (head, part, place) = (row / (3 * size), row / size % 3, row % size);
                part * width + head * size + place
            }))
        }
        _ => None,
    }
}
