//! Before a run: a plan that the run then keeps, and a learning rate that a short run on a copy finds.

use finetuning::*;

use crate::support::{refused, tiny_model, tiny_rows};

fn weights(model: &CausalLm) -> Vec<f32> {
    let flat = |weight: &finetuning::nn::parameter::Parameter| weight.detached().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    model.weights().iter().flat_map(|(_, weight)| flat(weight)).collect()
}

#[test]
fn the_run_keeps_its_plan_and_the_plan_changes_nothing() {
    let own = |packing| TrainingArguments {
        max_steps: 7,
        learning_rate: 1e-2,
        eval_steps: 3,
        packing,
        max_length: packing.then_some(64),
        disable_tqdm: true,
        ..Default::default()
    };
    for arguments in [own(false), own(true)] {
        let model = tiny_model(1);
        let before = weights(&model);
        let plan = plan(&model, &arguments, &tiny_rows(20), &tiny_rows(3)).unwrap();
        assert_eq!(weights(&model), before, "bit for bit");
        let mut trainer = Trainer::new(&model, arguments, tiny_rows(20), tiny_rows(3)).unwrap();
        trainer.train().unwrap();
        let tokens: Vec<usize> = trainer.history().iter().map(|step| step.tokens).collect();
        assert_eq!((plan.rows, plan.steps, plan.tokens), (20, trainer.total_steps(), tokens.iter().sum()));
        assert_eq!(Some(&plan.largest_step), tokens.iter().max());
        assert!(plan.seconds.is_some_and(|seconds| seconds > 0.0) && plan.memory > 0 && plan.advice.is_none(), "{plan}");
        let text = plan.to_string();
        assert!(
            text.starts_with("7 steps of 8 rows: ") && text.contains(" in the largest step\n") && text.ends_with(" on this machine"),
            "{text}"
        );
    }
    let none = TokenizedDataset::default();
    refused(plan(&tiny_model(1), &TrainingArguments::default(), &none, &none), &["train_dataset", "no rows"]);
}

#[test]
fn a_rate_is_found_on_a_copy() {
    let model = tiny_model(1);
    let before = weights(&model);
    let arguments = TrainingArguments { disable_tqdm: true, warmup_steps: 5, max_steps: 20, ..Default::default() };
    let found = find_learning_rate(&model, &arguments, &tiny_rows(24)).unwrap();
    assert_eq!(weights(&model), before, "bit for bit");
    assert!(found.rates.len() > 20 && found.rates[0] == 1e-7 && found.rates.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
    let rate = found.suggestion.unwrap();
    assert!((1e-6..1.0).contains(&rate), "{rate}");
    // With it a run learns more than with one a thousand times smaller.
    let trained = |learning_rate| {
        let own = TrainingArguments { learning_rate, ..arguments.clone() };
        let mut trainer = Trainer::new(&tiny_model(1), own, tiny_rows(24), tiny_rows(3)).unwrap();
        trainer.train().unwrap();
        trainer.history().last().unwrap().loss
    };
    assert!(trained(rate) < trained(rate / 1000.0), "{rate}");
}

#[test]
fn a_range_that_is_none_is_refused() {
    let find = |start, end, num_steps| {
        let finder = LearningRateFinder { start, end, num_steps };
        finder.find(&tiny_model(1), &TrainingArguments::default(), &tiny_rows(8))
    };
    for (start, end, steps) in [(0.0, 1.0, 50), (1.0, 1e-3, 50), (1e-5, f64::INFINITY, 50), (f64::NAN, 1.0, 50), (1e-5, 1.0, 3)] {
        refused(find(start, end, steps), &["no range to try", "LearningRateFinder::default()"]);
    }
}
