//! A configuration and named weights → a decoder: packed matrices and adapters take their places by their names.

use std::collections::HashMap;

use crate::models::config::Config;
use crate::models::decoder::Decoder;
use crate::models::labels::SCORE;
use crate::nn::linear::Weight;
use crate::nn::lm_head::LmHead;
use crate::nn::lora::{Adapter, Applied, copy_name, magnitude_name, module_name, tensor_name};
use crate::nn::parameter::Parameter;
use crate::nn::weights::{Packed, Weights};

/// Linear layers of a block at most, to number them.
const LAYERS: usize = 64;

/// A model of these weights, with scores in place of the output projection where they are among them. Packed matrices stand in place of parameters, a layer with parameters of an adapter gets it, and what
/// the adapter trains as a copy stands in place of what it was copied from.
pub(crate) fn assemble(config: &Config, weights: Weights, packed: Packed, lora: Option<&Applied>) -> Decoder {
    let by_name: HashMap<&str, &Parameter> = weights.iter().map(|(name, parameter)| (name.as_str(), parameter)).collect();
    let find = |name: String| by_name.get(name.as_str()).map(|parameter| (*parameter).clone());
    let copy = |name: &str| find(copy_name(name, true)).or_else(|| find(copy_name(name, false)));
    let mut named: Weights = weights.iter().map(|(name, own)| (name.clone(), copy(name).unwrap_or_else(|| own.clone()))).collect();
    if let Some((_, first)) = weights.first() {
        // Holds the place until the layers are there.
        named.extend(packed.iter().map(|(name, _)| (name.clone(), copy(name).unwrap_or_else(|| first.clone()))));
        if weights.iter().any(|(name, _)| name == SCORE) {
            let there = |name: &str| weights.iter().any(|(own, _)| own == name);
            let head = config.parameter_shapes().into_iter().filter(|(name, _)| !there(name));
            named.extend(head.map(|(name, _)| (name, first.clone())));
        }
    }
    let names: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
    let mut decoder = config.family().decoder(named);
    let matrix = |name: &str| {
        let found = packed.iter().find(|(own, _)| own == name).filter(|_| copy(name).is_none());
        found.map(|(_, matrix)| Weight::Packed(matrix.clone()))
    };
    for (index, block) in decoder.blocks.iter_mut().enumerate() {
        for (number, (last, linear)) in block.linears().into_iter().enumerate() {
            let Some(module) = module_name(&names, index, last) else { continue };
            if let Some(weight) = matrix(&format!("{module}.weight")) {
                linear.weight = weight;
            }
            if let (Some(lora), Some(a), Some(b)) = (lora, find(tensor_name(module, "A")), find(tensor_name(module, "B"))) {
                linear.adapter = Some(Adapter {
                    a,
                    b,
                    scale: lora.scales.get(module).copied().unwrap_or_else(|| lora.config.scale()),
                    magnitude: find(magnitude_name(module)),
                    dropout: lora.config.lora_dropout,
                    place: (LAYERS * index + number) as u64,
                });
            }
        }
    }
    if let Some(weight) = matrix(config.embedding_name()) {
        decoder.embedding.weight = weight;
    }
    if let Some(weight) = matrix(config.head_name()) {
        decoder.head.weight = weight;
    }
    if let Some(score) = copy(SCORE).or_else(|| find(SCORE.into())) {
        decoder.head = LmHead::new(Weight::Full(score), None, None);
    }
    decoder.weights = weights;
    decoder.packed = packed;
    decoder
}
