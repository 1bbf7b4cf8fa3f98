//! Two ways of computing the same thing agree: cached and uncached, one batch and eight, resumed and uninterrupted.

use finetuning::models::decoder::Cache;
use finetuning::*;

use crate::process::harness;
use crate::support::{assert_close, fresh_folder, tiny_model, tiny_rows, values};

fn arguments(batch: usize, accumulation: usize, steps: i64) -> TrainingArguments {
    TrainingArguments {
        learning_rate: 3e-3,
        max_steps: steps,
        per_device_train_batch_size: batch,
        gradient_accumulation_steps: accumulation,
        disable_tqdm: true,
        ..Default::default()
    }
}

fn weights(model: &CausalLm) -> Vec<f32> {
    model.weights().iter().flat_map(|(_, var)| values(var.as_tensor())).collect()
}

/// The weights after training a fresh tiny model.
fn trained(arguments: TrainingArguments) -> Vec<f32> {
    let model = seeded_model();
    Trainer::new(&model, arguments, tiny_rows(24), TokenizedDataset::default()).unwrap().train().unwrap();
    weights(&model)
}

/// The same model each time (its noise is not seeded): saved once, loaded often.
fn seeded_model() -> CausalLm {
    static START: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    let folder = START.get_or_init(|| {
        let folder = fresh_folder();
        tiny_model(7).save_pretrained(&folder).unwrap();
        folder
    });
    CausalLm::from_folder(folder, &Device::Cpu).unwrap()
}

#[test]
fn cached_is_uncached() {
    let model = tiny_model(1);
    let ids: Vec<u32> = (0..20).map(|i| i * 13 % 96).collect();
    let all = values(&model.forward(&ids, 1, false).unwrap());
    let mut cache = Cache::new();
    // Seven ids at once, then one at a time.
    for (start, end) in std::iter::once((0, 7)).chain((7..20).map(|i| (i, i + 1))) {
        let last = values(&model.forward_cached(&ids[start..end], &mut cache).unwrap());
        assert_close(&format!("position {}", end - 1), &last, &all[(end - 1) * 96..end * 96], 1e-5, 1e-5);
    }
}

#[test]
fn padding_adds_nothing() {
    let model = tiny_model(2);
    let rows = tiny_rows(6);
    let one_by_one = evaluate_loss(&model, &rows, 1, false).unwrap();
    let together = evaluate_loss(&model, &rows, 6, false).unwrap();
    assert_eq!(one_by_one.tokens, together.tokens);
    assert!((one_by_one.loss - together.loss).abs() < 1e-5, "{one_by_one:?} {together:?}");
}

#[test]
fn eight_rows_once_are_one_row_eight_times() {
    let (large, small) = (trained(arguments(8, 1, 6)), trained(arguments(1, 8, 6)));
    let differences: Vec<f32> = large.iter().zip(&small).map(|(a, b)| (a - b).abs()).collect();
    let mean = differences.iter().sum::<f32>() / differences.len() as f32;
    let largest = differences.iter().fold(0f32, |a, b| a.max(*b));
    // Entries whose true gradient is 0 are noise divided by its own size: they may move, all others may not.
    assert!(mean < 2e-5 && largest < 2e-2, "mean {mean:e}, largest {largest:e}");
}

#[test]
fn resumed_is_uninterrupted() {
    let folder = fresh_folder();
    let whole = trained(arguments(4, 2, 10));
    let with_checkpoints = TrainingArguments { output_dir: folder.clone(), save_steps: 4, save_total_limit: 1, ..arguments(4, 2, 10) };
    let model = seeded_model();
    let mut trainer = Trainer::new(&model, with_checkpoints.clone(), tiny_rows(24), TokenizedDataset::default()).unwrap();
    for _ in 0..4 {
        trainer.step().unwrap();
    }
    let half = trainer.save_checkpoint(&folder).unwrap();
    let other = tiny_model(99);
    let arguments = TrainingArguments { overwrite_output_dir: true, ..with_checkpoints };
    let mut resumed = Trainer::new(&other, arguments, tiny_rows(24), TokenizedDataset::default()).unwrap();
    resumed.resume(&half).unwrap();
    let output = resumed.train().unwrap();
    assert_eq!(output.global_step, 10);
    assert!(weights(&other) == whole, "the weights differ after resuming");
}

#[test]
fn saved_is_loaded() {
    let folder = fresh_folder();
    let model = tiny_model(4);
    model.save_pretrained(&folder).unwrap();
    let again = AutoModelForCausalLM::from_pretrained(&folder.display().to_string()).unwrap();
    assert!(weights(&again) == weights(&model));
    assert_eq!(again.config(), model.config());
}

#[test]
fn best_model_at_end_and_save_limit_are_kept() {
    let folder = fresh_folder();
    let model = seeded_model();
    // Rows by heart make the model worse on others.
    let settings = TrainingArguments {
        output_dir: folder.clone(),
        eval_steps: 10,
        save_steps: 10,
        save_total_limit: 1,
        load_best_model_at_end: true,
        ..TrainingArguments { learning_rate: 1e-2, ..arguments(4, 1, 40) }
    };
    let others = crate::support::rows(&[vec![90, 3, 77, 1, 52, 8], vec![11, 64, 2, 95, 40]]);
    let mut trainer = Trainer::new(&model, settings, tiny_rows(6), others).unwrap();
    trainer.train().unwrap();
    let losses: Vec<(usize, f64)> = trainer.history().iter().filter_map(|report| Some((report.step, report.eval_loss?))).collect();
    let best = losses.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(best.0 < 40, "the model must have become worse: {losses:?}");
    assert!((trainer.evaluate().unwrap().loss - best.1).abs() < 1e-6);
    let kept: Vec<usize> = finetuning::train::checkpoint::store::list(&folder).iter().map(|(step, _)| *step).collect();
    assert_eq!(kept, [best.0, 40]);
}

#[test]
fn a_batch_is_learnt_by_heart() {
    let model = seeded_model();
    let settings = TrainingArguments { learning_rate: 1e-2, ..arguments(6, 1, 150) };
    let mut trainer = Trainer::new(&model, settings, tiny_rows(6), TokenizedDataset::default()).unwrap();
    trainer.train().unwrap();
    let (first, last) = (trainer.history()[0].loss, trainer.history()[149].loss);
    assert!(last < 0.3 * first, "from {first} to {last}");
}

#[test]
fn a_fresh_model_knows_nothing() {
    let model =
        CausalLm::random(NeoxConfig { max_position_embeddings: 64, ..NeoxConfig::new(96, 32, 2, 4) }, 1, None, &Device::Cpu).unwrap();
    let loss = evaluate_loss(&model, &tiny_rows(20), 4, false).unwrap().loss;
    assert!((loss - 96f64.ln()).abs() < 0.1, "{loss} is not ln 96");
}

#[test]
fn gradient_checkpointing_saves_memory_and_the_estimate_is_near() {
    let measure = |checkpointing: bool| {
        let output = harness("measure-memory").arg(checkpointing.to_string()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = |name: &str| text.split_whitespace().skip_while(|word| *word != name).nth(1).unwrap().parse::<f64>().unwrap();
        (number("grown"), number("needed"))
    };
    let ((plain, needed), (saving, _)) = (measure(false), measure(true));
    assert!(saving < 0.5 * plain, "{saving} bytes with, {plain} without");
    assert!((0.5..1.2).contains(&(needed / plain)), "estimated {needed}, measured {plain}");
}
