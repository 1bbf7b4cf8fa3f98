//! Composed = fused: what other devices compute, run on the CPU beside the fused operations, for every family.

use finetuning::compute::cpu::loss::Targets;
use finetuning::models::decoder::{Cache, TrainBatch};
use finetuning::nn::backend::Backend;
use finetuning::optim::loss_scale::LossScale;
use finetuning::*;

use crate::models::families::FAMILIES;
use crate::models::parity::{load, token_rows};
use crate::support::{assert_close, fresh_folder, json, refused, tiny_llama, tiny_model, tiny_rows, values};

/// What ten steps in bf16 may differ by: the two frameworks round at different places, and ours less often.
const BOUND: f64 = 1.5e-2;

pub fn models() -> Vec<(String, CausalLm)> {
    let named = FAMILIES.map(|(name, _)| (name.to_string(), load(name)));
    let random = [("neox", tiny_model(3)), ("llama", tiny_llama(3, false)), ("llama, tied", tiny_llama(4, true))];
    let serial = ["tiny-neox", "tiny-neox-serial"].map(|name| (name.to_string(), load(name)));
    random.map(|(name, model)| (name.to_string(), model)).into_iter().chain(serial).chain(named).collect()
}

pub fn ids(count: u32) -> Vec<u32> {
    (0..count).map(|i| i * 7 % 96).collect()
}

/// The loss and all gradients of two sequences, with everything that a pass may have: smoothing, noise, recomputation.
fn gradients(model: &CausalLm, checkpointing: bool) -> (f64, Vec<Vec<f32>>) {
    let (inputs, weights) = (ids(40), (0..40).map(|i| (i % 3) as f32).collect::<Vec<f32>>());
    let targets = Targets { labels: &inputs, weights: &weights, smoothing: 0.1 };
    model.set_seed(5);
    let loss = model.backward(TrainBatch { inputs: &inputs, lengths: &[10, 30], targets, checkpointing, noise: 5.0 }).unwrap();
    let take = |parameter: &finetuning::nn::parameter::Parameter| {
        assert!(parameter.has_gradient());
        let gradient = parameter.gradient().unwrap();
        parameter.take_gradient();
        gradient
    };
    (loss, model.weights().iter().map(|(_, parameter)| take(parameter)).collect())
}

/// Logits and losses, fused and by another backend.
pub fn compare_logits(backend: Backend) {
    for (name, model) in models() {
        let (inputs, weights, other) = (ids(40), vec![1.0; 40], model.with_backend(backend));
        let logits = |model: &CausalLm| values(&model.forward(&inputs, 2, false).unwrap());
        assert_close(&name, &logits(&other), &logits(&model), 1e-4, 1e-4);
        let targets = Targets { labels: &inputs, weights: &weights, smoothing: 0.1 };
        let losses = |model: &CausalLm| model.losses(&inputs, &[10, 30], targets).unwrap();
        assert_close(&name, &losses(&other), &losses(&model), 1e-4, 1e-4);
    }
}

/// The loss and all gradients, fused and by another backend.
pub fn compare_gradients(checkpointing: &[bool], backend: Backend) {
    for (name, model) in models() {
        let fused = gradients(&model, false);
        for &checkpointing in checkpointing {
            let other = gradients(&model.with_backend(backend), checkpointing);
            assert!((other.0 - fused.0).abs() <= 1e-4 * fused.0, "{name}: loss {} and {}", other.0, fused.0);
            for ((own, fused), (parameter, _)) in other.1.iter().zip(&fused.1).zip(model.weights()) {
                assert_close(&format!("{name} {parameter}"), own, fused, 1e-3, 2e-3);
            }
        }
    }
}

#[test]
fn logits_and_losses_are_the_same() {
    compare_logits(Backend::composed());
}

#[test]
fn every_gradient_is_the_same() {
    compare_gradients(&[false, true], Backend::composed());
}

#[test]
fn a_cache_holds_the_same() {
    for (name, model) in models() {
        // A prompt of each of three sequences, then one or two ids of some of them, one of which goes on in two ways.
        let run = |model: &CausalLm| {
            let (mut cache, row, mut seen) = (Cache::new(), ids(30), Vec::new());
            let mut step = |new: &[&[u32]], keep: &[usize]| {
                seen.extend(values(&model.forward_cached_batch(new, &mut cache).unwrap()));
                cache.keep(keep);
            };
            step(&[&row[..7], &row[..1], &row[3..20]], &[2, 0, 2]);
            step(&[&row[9..10], &row[9..11], &row[4..5], &row[..9]], &[3, 1]);
            step(&[&row[12..13], &row[13..14]], &[0, 1]);
            seen
        };
        assert_close(&name, &run(&model.with_backend(Backend::composed())), &run(&model), 1e-4, 1e-4);
    }
}

#[test]
fn a_sequence_without_new_ids_is_refused() {
    let (model, mut cache) = (tiny_model(1), Cache::new());
    model.forward_cached_batch(&[&[1, 2], &[3]], &mut cache).unwrap();
    for new in [&[&[4][..], &[]][..], &[&[4][..]]] {
        let error = model.forward_cached_batch(new, &mut cache).unwrap_err().to_string();
        assert!(error.contains("each needs one"), "{error}");
    }
}

fn arguments(optim: Optim) -> TrainingArguments {
    TrainingArguments {
        optim,
        learning_rate: 5e-3,
        weight_decay: 0.01,
        max_steps: 4,
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        disable_tqdm: true,
        output_dir: fresh_folder(),
        ..Default::default()
    }
}

/// The losses of four steps, and of the evaluation after them.
pub fn trained(optim: Optim, backend: Backend) -> (Vec<f32>, f32) {
    let model = load("tiny-neox").with_backend(backend);
    let mut trainer = Trainer::new(&model, arguments(optim), tiny_rows(20), tiny_rows(4)).unwrap();
    trainer.train().unwrap();
    let losses: Vec<f32> = trainer.history().iter().map(|step| step.loss as f32).collect();
    (losses, trainer.evaluate().unwrap().loss as f32)
}

#[test]
fn training_is_the_same() {
    for optim in [Optim::AdamW, Optim::Adafactor] {
        let [fused, other] = [Backend::fused(), Backend::composed()].map(|backend| trained(optim, backend));
        assert_close("losses", &other.0, &fused.0, 1e-4, 0.0);
        assert_close("evaluation", &[other.1], &[fused.1], 1e-4, 0.0);
        assert_eq!(fused.0.len(), 4);
    }
}

#[test]
fn ten_steps_in_bf16_are_pytorchs_autocast() {
    let (case, plain) = (json("trajectories/autocast.json"), json("trajectories/losses.json"));
    let rows = token_rows(&plain["rows"]);
    let runs = case["runs"].as_array().unwrap();
    for run in runs {
        let model = load(run["model"].as_str().unwrap()).with_backend(Backend::composed());
        let arguments = TrainingArguments { max_steps: 10, warmup_steps: 2, weight_decay: 0.0, bf16: true, ..arguments(Optim::AdamW) };
        let data = || TokenizedDataset::from_rows(rows.clone());
        let mut trainer = Trainer::new(&model, arguments, data(), data()).unwrap();
        let step = |index: usize| trainer.step_on(&rows[4 * index..4 * index + 4]).unwrap().loss;
        let ours: Vec<f64> = (0..10).map(step).collect();
        let theirs: Vec<f64> = run["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
        for (step, ((ours, theirs), f32)) in ours.iter().zip(&theirs).zip(run["losses_in_f32"].as_array().unwrap()).enumerate() {
            assert!((ours - theirs).abs() <= BOUND, "{} step {step}: {ours}, PyTorch {theirs}", run["model"]);
            assert_ne!((*ours * 1e6).round(), (f32.as_f64().unwrap() * 1e6).round(), "the products were not in bf16");
        }
        assert_eq!(theirs.len(), 10);
    }
    assert_eq!(runs.len(), 4);
}

#[test]
fn f16_halves_its_loss_scale_until_gradients_are_finite_and_resumes_with_it() {
    let folder = fresh_folder();
    let arguments = TrainingArguments {
        fp16: true,
        save_strategy: IntervalStrategy::Steps,
        save_steps: 2,
        output_dir: folder.clone(),
        overwrite_output_dir: true,
        ..arguments(Optim::AdamW)
    };
    let model = || load("tiny-neox").with_backend(Backend::composed());
    let trainer = |arguments| Trainer::new(&model(), arguments, tiny_rows(20), tiny_rows(4)).unwrap();
    let mut whole = trainer(arguments.clone());
    whole.train().unwrap();
    let plain = {
        let arguments = TrainingArguments { fp16: false, output_dir: fresh_folder(), ..arguments.clone() };
        let mut trainer = trainer(arguments);
        trainer.train().unwrap();
        trainer.history().iter().map(|step| step.loss as f32).collect::<Vec<f32>>()
    };
    let losses: Vec<f32> = whole.history().iter().map(|step| step.loss as f32).collect();
    assert_close("f16 and f32", &losses, &plain, 1e-2, 0.0);
    assert_ne!(losses, plain);
    let mut resumed = trainer(arguments.clone());
    resumed.resume(folder.join("checkpoint-2")).unwrap();
    resumed.train().unwrap();
    assert_eq!(losses, resumed.history().iter().map(|step| step.loss as f32).collect::<Vec<f32>>());
    let mut scale = LossScale::new(DType::F16);
    assert!(scale.shrink() && scale.factor == 32768.0);
    (0..2000).for_each(|_| scale.grow(DType::F16));
    assert_eq!(scale, LossScale::new(DType::F16));
    let mut none = LossScale::new(DType::BF16);
    assert!(!none.shrink() && none.factor == 1.0);
}

#[test]
fn formats_of_16_bits_are_refused_on_the_cpu() {
    for field in ["bf16", "fp16"] {
        let mut arguments = arguments(Optim::AdamW);
        if field == "bf16" {
            arguments.bf16 = true
        } else {
            arguments.fp16 = true
        }
        let refusal = Trainer::new(&tiny_model(1), arguments, tiny_rows(4), tiny_rows(4));
        refused(refusal, &[field, "CPU", "cuda"]);
    }
}
