//! The same checkpoint in candle-transformers' Llama and in ours → the same logits: a second reference, in Rust.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama, LlamaConfig};

use crate::models::parity::load;
use crate::support::{assert_close, fixture};

#[test]
fn logits_are_candle_transformers() {
    // Llama 3 scales its angles beyond 256 positions.
    for (name, lengths) in [("tiny-llama", [1, 7, 40]), ("tiny-llama3", [1, 7, 400])] {
        let folder = fixture(name);
        let config: LlamaConfig = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
        let config = config.into_config(false);
        let weights = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let theirs = Llama::load(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu), &config).unwrap();
        let ours = load(name);
        for length in lengths {
            let ids: Vec<u32> = (0..length as u32).map(|place| (place * 31 + 5) % 96).collect();
            let input = Tensor::new(&ids[..], &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let mut cache = Cache::new(false, DType::F32, &config, &Device::Cpu).unwrap();
            // candle-transformers gives the last position alone.
            let expected: Vec<f32> = theirs.forward(&input, 0, &mut cache).unwrap().squeeze(0).unwrap().to_vec1().unwrap();
            let logits: Vec<f32> = ours.forward(&ids, 1, false).unwrap().get(length - 1).unwrap().to_vec1().unwrap();
            assert_close(&format!("{name}, {length} ids"), &logits, &expected, 1e-5, 1e-5);
        }
    }
}
