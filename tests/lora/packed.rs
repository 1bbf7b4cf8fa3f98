//! Adapters on models in few bits: the gradients are those on the unpacked matrices, for all formats and kinds of adapters.

use std::sync::Mutex;

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use finetuning::compute::cpu::gemv::Matrix;
use finetuning::compute::cpu::loss::{Head, Targets};
use finetuning::compute::cpu::packed::{Format, widen};
use finetuning::train::batch::Batch;
use finetuning::*;

use crate::support::{assert_close, fresh_folder, tiny_rows, values};

/// A model whose rows fit the blocks of all formats.
fn base() -> CausalLm {
    let config = LlamaConfig { max_position_embeddings: 64, ..LlamaConfig::new(96, 256, 512, 2, [4, 2]) };
    CausalLm::random(config, 5, None, &Device::Cpu).unwrap()
}

#[test]
fn gradients_on_packed_matrices_are_those_on_unpacked_ones() {
    let all = || LoraConfig { r: 4, target_modules: vec!["all-linear".into()], init_lora_weights: LoraInit::Random, ..Default::default() };
    let rows = tiny_rows(6);
    for dtype in [GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4K] {
        let packed = base().quantized(dtype).unwrap();
        for config in [
            all(),
            LoraConfig { use_dora: true, ..all() },
            LoraConfig { modules_to_save: vec!["lm_head".into(), "norm".into(), "embed_tokens".into()], ..all() },
        ] {
            let model = packed.with_lora(&config).unwrap();
            // The same adapter on the numbers that the packed matrices stand for.
            let folder = fresh_folder();
            model.save_adapter(&folder).unwrap();
            let unpacked = packed.to_dtype(DType::F32).unwrap().load_adapter(&folder).unwrap();
            assert!(model.packed().len() == packed.packed().len() && unpacked.packed().is_empty());
            let batch = Batch::new(&rows.rows().iter().collect::<Vec<_>>(), false, model.config()).unwrap();
            let losses = [&model, &unpacked].map(|model| model.backward(batch.as_train_batch()).unwrap() / batch.num_items());
            assert!((losses[0] - losses[1]).abs() < 1e-5, "{dtype:?}: {losses:?}");
            let trained = |model: &CausalLm| -> Vec<(String, Vec<f32>)> {
                let trained = model.weights().iter().filter(|(_, parameter)| !parameter.is_frozen());
                trained.map(|(name, parameter)| (name.clone(), parameter.gradient().unwrap())).collect()
            };
            let (ours, theirs) = (trained(&model), trained(&unpacked));
            assert!(ours.len() == theirs.len() && ours.iter().all(|(_, gradient)| gradient.iter().any(|g| *g != 0.0)), "{dtype:?}");
            for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
                assert_close(&format!("{dtype:?} {name}"), ours, theirs, 1e-5, 1e-4);
            }
            // What is merged answers as the model with its adapter.
            let row = [3, 1, 4, 1, 5];
            let answer = |model: &CausalLm| values(&model.forward(&row, 1, false).unwrap());
            assert_close("merged", &answer(&model.merge_adapter().unwrap()), &answer(&model), 1e-4, 1e-4);
        }
    }
}

#[test]
fn a_packed_head_is_unpacked_block_by_block() {
    // More words than two blocks of the head have.
    let (width, vocabulary, count) = (32, 2 * 3072 + 40, 12);
    let number = |place: usize| ((place * 7919 % 1009) as f32 - 500.0) / 700.0;
    let weight: Vec<f32> = (0..vocabulary * width).map(number).collect();
    let hidden: Vec<f32> = (0..count * width).map(|place| number(3 * place + 1)).collect();
    let labels: Vec<u32> = (0..count).map(|row| (row * 557) as u32).collect();
    let packed = QTensor::quantize(&Tensor::from_vec(weight, (vocabulary, width), &Device::Cpu).unwrap(), GgmlDType::Q8_0).unwrap();
    let bytes = packed.data().unwrap();
    let mut unpacked = vec![0f32; vocabulary * width];
    widen(Format::Q8, &bytes, &mut unpacked);
    let weights = vec![1f32; count];
    let targets = Targets { labels: &labels, weights: &weights, smoothing: 0.1 };
    let run = |weight: Matrix| {
        let scratch = Mutex::new(Vec::new());
        let head = Head { weight, bias: None, cap: None, width, scratch: &scratch };
        (head.losses(&hidden, targets), head.backward(&hidden, targets, None))
    };
    assert_eq!(run(Matrix::Packed(Format::Q8, &bytes)), run(Matrix::Full(&unpacked)));
}
