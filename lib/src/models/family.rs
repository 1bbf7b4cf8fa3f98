//! What a family of models says of itself: sizes, parameters, layers. Each configuration implements it beside its layers.

use std::fmt;

use serde_json::Value;

use crate::models::decoder::Decoder;
use crate::nn::weights::Weights;

/// A configuration of a family.
pub trait Family {
    /// Words of the vocabulary, V.
    fn vocab_size(&self) -> usize;
    /// Width of the residual stream, C.
    fn hidden_size(&self) -> usize;
    /// Blocks, L.
    fn num_hidden_layers(&self) -> usize;
    /// Longest sequence that is computed, in tokens.
    fn max_position_embeddings(&self) -> usize;
    /// Dimensions of all heads of a layer together, H·D.
    fn attention_width(&self) -> usize;
    /// Whether the output projection is the embedding.
    fn tie_word_embeddings(&self) -> bool;
    /// `eos_token_id` of the `config.json`: a number, a list or null.
    fn eos_token_id(&self) -> Value;
    /// The `config.json`.
    fn to_value(&self) -> Value;
    /// The name of the input embedding.
    fn embedding_name(&self) -> &'static str {
        "model.embed_tokens.weight"
    }
    /// The name of the output projection, where it is not the embedding.
    fn head_name(&self) -> &'static str {
        "lm_head.weight"
    }
    /// Refuses what cannot be computed.
    ///
    /// # Errors
    /// What is wrong, with the field and its value.
    fn check(&self) -> Result<(), String>;
    /// What the weights of norms start with, so that a norm only normalises.
    fn first_norm(&self) -> f32 {
        1.0
    }
    /// The matrices that PEFT adapts where nobody chooses, by the end of their name.
    fn lora_targets(&self) -> &'static [&'static str];
    /// Names and shapes of all parameters, in the order of transformers' `state_dict`.
    fn parameter_shapes(&self) -> Vec<(String, Vec<usize>)>;
    /// A model of these weights, which have those names and shapes.
    fn decoder(&self, weights: Weights) -> Decoder;
    /// The model as PyTorch prints one.
    ///
    /// # Errors
    /// The formatter's.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}
