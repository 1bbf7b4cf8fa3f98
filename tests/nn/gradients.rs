//! Every trainable tensor receives a finite, non-zero gradient: the census.

use finetuning::CausalLm;
use finetuning::compute::cpu::loss::Targets;
use finetuning::models::decoder::TrainBatch;

use crate::models::families::FAMILIES;
use crate::models::parity::load;
use crate::support::{tiny_llama, tiny_model};

/// `Σ loss` of every next id of two sequences, and the gradients of all weights by name.
fn gradients(model: &CausalLm, ids: &[u32]) -> (f64, Vec<(String, Vec<f32>)>) {
    let weights = vec![1.0; ids.len()];
    let lengths = [ids.len() / 4, ids.len() - ids.len() / 4];
    let targets = Targets { labels: ids, weights: &weights, smoothing: 0.0 };
    let loss = model.backward(TrainBatch { inputs: ids, lengths: &lengths, targets, checkpointing: false, noise: 0.0 }).unwrap();
    let take = |(name, parameter): &(String, finetuning::nn::parameter::Parameter)| {
        let gradient = parameter.gradient().unwrap();
        assert!(parameter.has_gradient(), "{name}: no gradient");
        parameter.take_gradient();
        (name.clone(), gradient)
    };
    (loss, model.weights().iter().map(take).collect())
}

#[test]
fn every_parameter_receives_a_gradient() {
    let ids: Vec<u32> = (0..40).map(|i| i * 7 % 96).collect();
    let random = [(tiny_model(3), 2 + 2 * 12 + 2), (tiny_llama(3, false), 1 + 2 * 9 + 1 + 1), (tiny_llama(4, true), 1 + 2 * 9 + 1)];
    for (model, parameters) in random.into_iter().chain(FAMILIES.map(|(name, parameters)| (load(name), parameters))) {
        let (_, gradients) = gradients(&model, &ids);
        for (name, gradient) in &gradients {
            assert!(gradient.iter().all(|g| g.is_finite()), "{name}: not finite");
            assert!(gradient.iter().any(|g| g.abs() > 1e-7), "{name}: all zero");
        }
        assert_eq!(gradients.len(), parameters);
    }
}

#[test]
fn gradients_are_finite_differences() {
    let ids: Vec<u32> = (0..12).map(|i| i * 11 % 96).collect();
    let families = ["tiny-phi", "tiny-phi3", "tiny-gemma2", "tiny-gemma3", "tiny-qwen3"].map(load);
    for model in [tiny_model(5), tiny_llama(5, false), tiny_llama(6, true)].into_iter().chain(families) {
        let (_, gradients_by_name) = gradients(&model, &ids);
        for ((name, var), (_, gradient)) in model.weights().iter().zip(gradients_by_name) {
            // Along the gradient itself the loss changes by its squared norm: one direction tests all entries at once.
            let norm: f32 = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            let step = 1e-2 / norm.max(1.0).powf(1.5);
            let start = crate::support::values(var.as_tensor());
            let at = |scale: f32| {
                var.update(|values| values.iter_mut().zip(&start).zip(&gradient).for_each(|((v, s), g)| *v = s + scale * g)).unwrap();
                gradients(&model, &ids).0
            };
            let slope = (at(step) - at(-step)) / (2.0 * f64::from(step));
            at(0.0);
            let expected = f64::from(norm).powi(2);
            assert!((slope - expected).abs() <= 0.02 * expected + 2e-3, "{name}: slope {slope}, gradient says {expected}");
        }
    }
}

#[test]
fn recomputed_activations_give_the_same_gradients() {
    let ids: Vec<u32> = (0..24).map(|i| i * 5 % 96).collect();
    let weights = vec![1.0; 24];
    for model in [tiny_model(8), tiny_llama(8, false), load("tiny-phi"), load("tiny-gemma2")] {
        let run = |checkpointing| {
            model.set_seed(1);
            let targets = Targets { labels: &ids, weights: &weights, smoothing: 0.1 };
            let loss = model.backward(TrainBatch { inputs: &ids, lengths: &[10, 14], targets, checkpointing, noise: 5.0 }).unwrap();
            let gradients: Vec<Vec<f32>> = model.weights().iter().map(|(_, parameter)| parameter.gradient().unwrap()).collect();
            model.weights().iter().for_each(|(_, parameter)| drop(parameter.take_gradient()));
            (loss, gradients)
        };
        let (kept, again) = (run(false), run(true));
        assert_eq!(kept.0, again.0);
        for (kept, again) in kept.1.iter().zip(&again.1) {
            crate::support::assert_close("gradient", again, kept, 1e-6, 1e-5);
        }
    }
}
