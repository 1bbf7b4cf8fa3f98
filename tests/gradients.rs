//! Every trainable tensor receives a finite, non-zero gradient: the census.

use finetuning::model::ops;

use crate::support::{tiny_model, values};

#[test]
fn every_parameter_receives_a_gradient() {
    let model = tiny_model(3);
    let ids: Vec<u32> = (0..40).map(|i| i * 7 % 96).collect();
    let logits = model.forward(&ids, 4, true).unwrap();
    let store = ops::cross_entropy_sum(&logits, &ids, &[1.0; 40]).unwrap().backward().unwrap();
    let mut counted = 0;
    for (name, var) in model.weights() {
        let gradient = values(store.get(var.as_tensor()).unwrap_or_else(|| panic!("{name}: no gradient")));
        assert!(gradient.iter().all(|g| g.is_finite()), "{name}: not finite");
        assert!(gradient.iter().any(|g| g.abs() > 1e-7), "{name}: all zero");
        counted += 1;
    }
    assert_eq!(counted, 2 + 2 * 12 + 2, "embedding, output, two blocks of twelve, final norm");
}

#[test]
fn gradients_are_finite_differences() {
    let model = tiny_model(5);
    let ids: Vec<u32> = (0..12).map(|i| i * 11 % 96).collect();
    let loss = || {
        let logits = model.forward(&ids, 2, true).unwrap();
        ops::cross_entropy_sum(&logits, &ids, &[1.0; 12]).unwrap()
    };
    let store = loss().backward().unwrap();
    for (name, var) in model.weights() {
        let gradient = values(store.get(var.as_tensor()).unwrap());
        // Along the gradient itself the loss changes by its squared norm: one direction tests all entries at once.
        let norm: f32 = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let step = 1e-2f64 / f64::from(norm).max(1.0);
        let direction = store.get(var.as_tensor()).unwrap().clone();
        let start = var.as_tensor().copy().unwrap();
        let at = |scale: f64| {
            var.set(&(&start + (&direction * scale).unwrap()).unwrap()).unwrap();
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        var.set(&start).unwrap();
        let expected = f64::from(norm).powi(2);
        assert!((slope - expected).abs() <= 0.02 * expected + 2e-3, "{name}: slope {slope}, gradient says {expected}");
    }
}
