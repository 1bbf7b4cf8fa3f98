//! A loss of the reader's own: beside PyTorch and the crate's own loss, on each backend, and what is said of one that is wrong.

use finetuning::nn::backend::Backend;
use finetuning::*;

use crate::models::parity::load;
use crate::support::{assert_close, json, refused, tiny_model, tiny_rows};
use crate::train::objectives::pairs;

type Candle<T> = std::result::Result<T, candle_core::Error>;

fn log_p(logits: &Tensor, labels: &Tensor) -> Candle<Tensor> {
    logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)? - logits.log_sum_exp(1)?
}

/// The focal loss, `(1 − p)² · −log p`.
pub fn focal(logits: &Tensor, labels: &Tensor) -> Candle<Tensor> {
    let log_p = log_p(logits, labels)?;
    (1.0 - log_p.exp()?)?.sqr()? * log_p.neg()?
}

fn arguments(steps: i64) -> TrainingArguments {
    TrainingArguments {
        learning_rate: 1e-3,
        lr_scheduler_type: Schedule::Constant,
        max_steps: steps,
        per_device_train_batch_size: 4,
        train_sampling_strategy: SamplingStrategy::Sequential,
        disable_tqdm: true,
        ..Default::default()
    }
}

#[test]
fn the_focal_loss_is_pytorchs() {
    let file = json("training/objectives.json");
    let rows = pairs(&file).into_iter().map(|pair| Encoding::from_ids([pair.prompt, pair.chosen].concat())).collect();
    let model = load("tiny-neox");
    let data = TokenizedDataset::from_rows(rows);
    let mut trainer = Trainer::with_loss(&model, focal, arguments(3), data.clone(), data).unwrap();
    for theirs in file["focal"].as_array().unwrap() {
        let before = trainer.evaluate().unwrap().loss;
        let report = trainer.step().unwrap();
        let (loss, norm) = (theirs["loss"].as_f64().unwrap(), theirs["grad_norm"].as_f64().unwrap());
        assert!((report.loss - loss).abs() < 2e-5 && (before - loss).abs() < 2e-5, "{report:?}, evaluated {before}, theirs {theirs}");
        assert!((report.grad_norm / norm - 1.0).abs() < 1e-4, "{report:?}, theirs {theirs}");
    }
}

#[test]
fn the_plain_loss_written_by_hand_has_the_same_gradients() {
    let plain = |logits: &Tensor, labels: &Tensor| log_p(logits, labels)?.neg();
    for backend in [Backend::fused(), Backend::composed()] {
        let losses = |own: bool| {
            let model = tiny_model(5).with_backend(backend);
            let mut arguments = TrainingArguments { completion_only_loss: true, gradient_checkpointing: own, ..arguments(4) };
            arguments.neftune_noise_alpha = Some(3.0);
            let prompted = |count: usize| {
                let rows = tiny_rows(count).into_rows().into_iter();
                TokenizedDataset::from_rows(rows.map(|row| Encoding { prompt_length: 2, ..row }).collect())
            };
            let numbers = |report: &StepReport| [report.loss as f32, report.grad_norm as f32];
            if own {
                let mut trainer = Trainer::with_loss(&model, plain, arguments, prompted(12), prompted(2)).unwrap();
                trainer.train().unwrap();
                trainer.history().iter().flat_map(numbers).collect::<Vec<f32>>()
            } else {
                let mut trainer = Trainer::new(&model, arguments, prompted(12), prompted(2)).unwrap();
                trainer.train().unwrap();
                trainer.history().iter().flat_map(numbers).collect::<Vec<f32>>()
            }
        };
        assert_close(&format!("{backend:?}"), &losses(true), &losses(false), 2e-5, 1e-5);
    }
}

#[test]
fn a_bound_of_the_logits_has_its_gradient() {
    let plain = |logits: &Tensor, labels: &Tensor| log_p(logits, labels)?.neg();
    // Gemma 2 bounds its logits.
    let gradients = |own: bool| {
        let model = load("tiny-gemma2");
        let row = Encoding::from_ids(vec![5, 9, 2, 7, 30, 11]);
        let data = TokenizedDataset::from_rows(vec![row]);
        if own {
            let mut trainer = Trainer::with_loss(&model, plain, arguments(1), data.clone(), data).unwrap();
            trainer.step().unwrap().grad_norm as f32
        } else {
            let mut trainer = Trainer::new(&model, arguments(1), data.clone(), data).unwrap();
            trainer.step().unwrap().grad_norm as f32
        }
    };
    assert_close("norm", &[gradients(true)], &[gradients(false)], 0.0, 1e-4);
}

#[test]
fn a_loss_that_is_wrong_is_refused_with_the_part_that_is() {
    let with = |loss: fn(&Tensor, &Tensor) -> Candle<Tensor>| {
        Trainer::with_loss(&tiny_model(3), loss, arguments(1), tiny_rows(4), tiny_rows(1)).map(drop)
    };
    with(focal).unwrap();
    // The label's logit alone has a gradient, or all others.
    refused(
        with(|logits, labels| logits.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?.neg()? + logits.detach().log_sum_exp(1)?),
        &["the gradient of the loss is wrong: by", "by the highest other logit it is 0.0000", "finite differences give", "detach"],
    );
    let label = |logits: &Tensor, labels: &Tensor| logits.log_sum_exp(1)? - logits.detach().gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
    let error = with(label).unwrap_err().to_string();
    assert!(error.contains("by the logit of the label") && !error.contains("highest other"), "{error}");
    refused(with(|logits, labels| log_p(&logits.detach(), labels)?.neg()), &["the gradient of the loss is wrong", "(6 of 6 rows differ)"]);
    refused(with(|logits, labels| log_p(logits, labels)?.neg()?.mean_all()), &["shape []", "each of the 6 labels", "no mean"]);
    let centred = |logits: &Tensor, labels: &Tensor| {
        let losses = log_p(logits, labels)?.neg()?;
        losses.broadcast_sub(&losses.mean_all()?)
    };
    refused(with(centred), &["the loss of row 1 changes with the logits of row 0", "dimension 0"]);
    refused(with(|logits, labels| log_p(logits, labels)?.log()), &["the loss of random logits is NaN"]);
    refused(with(|_, labels| labels.to_dtype(DType::F32)), &["does not change with the logits"]);
    let smoothed = TrainingArguments { label_smoothing_factor: 0.1, ..arguments(1) };
    refused(Trainer::with_loss(&tiny_model(3), focal, smoothed, tiny_rows(4), tiny_rows(1)), &["label_smoothing_factor is 0.1"]);
}
