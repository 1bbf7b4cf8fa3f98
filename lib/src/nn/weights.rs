//! Names ↔ weights: the parameters of a model and its packed matrices, in the order of transformers.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::quantized::QTensor;

use crate::nn::parameter::Parameter;

/// Parameters by name, in the order of the model.
pub type Weights = Vec<(String, Parameter)>;

/// Matrices in formats of 16 bits or fewer, by name.
pub type Packed = Vec<(String, Arc<QTensor>)>;

/// Finds parameters by name; the names have been checked when the weights were loaded.
///
/// # Panics
/// The function that is returned does, for a name that is not among the weights.
pub fn named(weights: &Weights) -> impl Fn(&str) -> Parameter + use<> {
    let by_name: HashMap<String, Parameter> = weights.iter().cloned().collect();
    move |name| by_name[name].clone()
}
