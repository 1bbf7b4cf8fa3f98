//! A configuration and named weights → a decoder: packed matrices and adapters take their places by their names.

use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::models::labels::SCORE;
use crate::nn::linear::Weight;
use crate::nn::lm_head::LmHead;
use crate::nn::lora::{Adapter, module_name, tensor_name};
use crate::nn::weights::{Packed, Weights};

/// A model of these weights, with scores in place of the output projection where they are among them. Packed matrices stand in place of parameters, and a layer with parameters of an adapter gets it,
/// times `scale`.
pub(crate) fn assemble(config: &Config, weights: Weights, packed: Packed, scale: f64) -> Decoder {
    let mut named = weights.clone();
    if let Some((_, first)) = weights.first() {
        // Holds the place until the layers are there.
        named.extend(packed.iter().map(|(name, _)| (name.clone(), first.clone())));
        if weights.iter().any(|(name, _)| name == SCORE) {
            let there = |name: &str| weights.iter().any(|(own, _)| own == name);
            let head = config.parameter_shapes().into_iter().filter(|(name, _)| !there(name));
            named.extend(head.map(|(name, _)| (name, first.clone())));
        }
    }
    let names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
    let mut decoder = config.family().decoder(named);
    let parameter = |name: &str| weights.iter().find(|(own, _)| own == name).map(|(_, parameter)| parameter.clone());
    for (index, block) in decoder.blocks.iter_mut().enumerate() {
        for (last, linear) in block.linears() {
            let Some(module) = module_name(&names, index, last) else { continue };
            let weight = format!("{module}.weight");
            if let Some((_, packed)) = packed.iter().find(|(name, _)| *name == weight) {
                linear.weight = Weight::Packed(packed.clone());
            }
            if let (Some(a), Some(b)) = (parameter(&tensor_name(module, "A")), parameter(&tensor_name(module, "B"))) {
                linear.adapter = Some(Adapter { a, b, scale });
            }
        }
    }
    let matrix = |name: &str| packed.iter().find(|(own, _)| own == name).map(|(_, matrix)| Weight::Packed(matrix.clone()));
    if let Some(weight) = matrix(config.embedding_name()) {
        decoder.embedding.weight = weight;
    }
    if let Some(weight) = matrix(config.head_name()) {
        decoder.head.weight = weight;
    }
    if let Some(score) = parameter(SCORE) {
        decoder.head = LmHead::new(Weight::Full(score), None, None);
    }
    decoder.weights = weights;
    decoder.packed = packed;
    decoder
}
