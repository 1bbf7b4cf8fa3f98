//! Which optimizer, and its numbers: what [`crate::optim::optimizer`] is made of.

use candle_core::DType;
use serde::{Deserialize, Serialize};

/// Which optimizer updates the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Optim {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019), as `torch.optim.AdamW`.
    #[default]
    #[serde(rename = "adamw_torch_fused", alias = "adamw_torch")]
    AdamW,
    /// Adafactor (Shazeer & Stern 2018) with a fixed learning rate: no parameter scaling, no relative step.
    #[serde(rename = "adafactor")]
    Adafactor,
}

/// What an optimizer may be told; the defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptimizerSettings {
    /// Which one.
    pub kind: Optim,
    /// Decoupled weight decay of matrices; vectors (biases, norms) are not decayed. Default 0.
    pub weight_decay: f64,
    /// AdamW's decay of the mean and of the mean square. Default 0.9 and 0.999.
    pub betas: (f64, f64),
    /// AdamW's addend of the denominator. Default 1e-8.
    pub epsilon: f64,
    /// The number format of products, of which F16 needs a loss scale. Default F32.
    pub product_type: DType,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self { kind: Optim::AdamW, weight_decay: 0.0, betas: (0.9, 0.999), epsilon: 1e-8, product_type: DType::F32 }
    }
}
