//! Ids → logits, losses and gradients: a family's [`neox`], [`llama`] or [`phi`] page on the fused operations, behind one
//! [`decoder`]; [`causal`] is the model that lessons hold.

pub mod activations;
pub mod adapter;
pub mod attend;
pub mod attention;
pub mod backend;
pub mod call;
pub mod causal;
pub mod composed;
pub mod config;
#[cfg(feature = "cuda")]
mod cuda;
pub mod decoder;
mod gguf;
mod gguf_config;
pub mod gpu;
pub mod gpu_check;
pub mod head;
pub mod kernels;
pub mod linear;
pub mod llama;
pub mod llama_config;
pub mod machine;
pub(crate) mod matmul;
pub mod neox;
pub mod neox_config;
pub mod norm;
pub mod ops;
pub(crate) mod packed;
pub mod parameter;
pub mod peft;
pub mod phi;
pub mod phi_config;
mod quantize;
pub mod rotary;
pub(crate) mod simd;
pub(crate) mod tape;
pub(crate) mod thin;
pub(crate) mod tile;
pub mod weights;
pub(crate) mod wide;
