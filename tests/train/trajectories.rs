//! Ten steps of Adafactor and AdamW beside PyTorch's: losses, gradient norms, rates and the evaluation.

use finetuning::*;

use crate::models::parity::{load, token_rows};
use crate::support::json;

#[test]
fn ten_steps_are_pytorchs() {
    let case = json("trajectories/losses.json");
    let (rows, eval_rows) = (token_rows(&case["rows"]), token_rows(&case["eval_rows"]));
    let runs = case["runs"].as_array().unwrap();
    for run in runs {
        let name = format!("{} {}", run["model"], run["optimizer"]);
        let model = load(run["model"].as_str().unwrap());
        let arguments = TrainingArguments {
            learning_rate: case["learning_rate"].as_f64().unwrap(),
            max_steps: 10,
            warmup_steps: 2,
            per_device_train_batch_size: 2,
            per_device_eval_batch_size: 2,
            gradient_accumulation_steps: 2,
            optim: if run["optimizer"] == "adafactor" { Optim::Adafactor } else { Optim::AdamW },
            weight_decay: run["weight_decay"].as_f64().unwrap(),
            disable_tqdm: true,
            ..Default::default()
        };
        // The gradient of a key bias that rotary does not turn is noise, which Adafactor's clip spreads: fixtures/README.md.
        let noisy = name.contains("parallel-25") && name.contains("adafactor");
        let (loss_bound, norm_bound) = if noisy { (3e-4, 5e-3) } else { (1e-5, 1e-4) };
        let [train, eval] = [&rows, &eval_rows].map(|rows| TokenizedDataset::from_rows(rows.clone()));
        let mut trainer = Trainer::new(&model, arguments, train, eval).unwrap();
        let near = |what: &str, ours: f64, theirs: f64, bound: f64| {
            assert!((ours - theirs).abs() <= bound, "{name}: {what} {ours}, PyTorch {theirs}");
        };
        let steps = run["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 10);
        near("eval loss before", row_means(&model, &eval_rows), run["eval_loss_at_start"].as_f64().unwrap(), 1e-5);
        let mut rate = 0.0;
        for (index, theirs) in steps.iter().enumerate() {
            let number = |field: &str| theirs[field].as_f64().unwrap();
            let report = trainer.step_on(&rows[4 * index..4 * index + 4]).unwrap();
            near(&format!("step {index} loss"), report.loss, number("loss"), loss_bound);
            near(&format!("step {index} norm"), report.grad_norm / number("grad_norm"), 1.0, norm_bound);
            // The report has the rate after the step, the fixture the one that the step used.
            near(&format!("step {index} rate"), rate, number("learning_rate"), 1e-12);
            rate = report.learning_rate;
        }
        near("eval loss per token", trainer.evaluate().unwrap().loss, run["eval_loss_per_token"].as_f64().unwrap(), loss_bound);
        near("eval loss", row_means(&model, &eval_rows), run["eval_loss"].as_f64().unwrap(), loss_bound);
    }
    assert_eq!(runs.len(), 8, "three configurations of GPT-NeoX and one Llama, two optimizers");
}

/// Trainer's `eval_loss`: the mean of the batches' own means, each as often as the batch has rows.
fn row_means(model: &CausalLm, rows: &[Encoding]) -> f64 {
    let batch = |rows: &[Encoding]| evaluate_loss(model, &TokenizedDataset::from_rows(rows.to_vec()), 2, false).unwrap().loss;
    rows.chunks(2).map(|rows| batch(rows) * rows.len() as f64).sum::<f64>() / rows.len() as f64
}
