//! What a row may hold: labels of −100, padding on either side, nothing to predict; and what is refused, with its place.

use finetuning::train::batch::Batch;
use finetuning::*;

use crate::support::{refused, rows, tiny_llama, tiny_model, tiny_rows, values};

fn arguments() -> TrainingArguments {
    TrainingArguments {
        learning_rate: 3e-3,
        max_steps: 4,
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        disable_tqdm: true,
        ..Default::default()
    }
}

/// Losses, norms and weights, to the last bit, of four steps of a small model on rows.
fn trained(data: TokenizedDataset, arguments: TrainingArguments) -> (Vec<(f64, f64)>, Vec<f32>) {
    let model = tiny_model(5);
    let mut trainer = Trainer::new(&model, arguments, data, TokenizedDataset::default()).unwrap();
    trainer.train().unwrap();
    let history = trainer.history().iter().map(|step| (step.loss, step.grad_norm)).collect();
    (history, model.weights().iter().flat_map(|(_, var)| values(var.as_tensor())).collect())
}

fn changed(change: impl Fn(Encoding) -> Encoding) -> TokenizedDataset {
    TokenizedDataset::from_rows(tiny_rows(12).into_rows().into_iter().map(change).collect())
}

/// A row with `left` and `right` ids of padding.
fn padded(row: Encoding, left: usize, right: usize) -> Encoding {
    let around = |inner: Vec<u32>, fill: u32| [vec![fill; left], inner, vec![fill; right]].concat();
    Encoding {
        input_ids: around(row.input_ids, 7),
        attention_mask: around(row.attention_mask, 0),
        labels: around(row.labels, 7),
        prompt_length: if row.prompt_length > 0 { left + row.prompt_length } else { 0 },
    }
}

#[test]
fn the_side_of_padding_changes_nothing() {
    let prompts = |row: Encoding| Encoding { prompt_length: 2, ..row };
    for completion_only_loss in [false, true] {
        let with = |left: usize, right: usize| changed(move |row| padded(prompts(row), left, right));
        let own = || TrainingArguments { completion_only_loss, ..arguments() };
        let plain = trained(with(0, 0), own());
        for (left, right) in [(3, 0), (0, 3), (2, 5)] {
            assert!(trained(with(left, right), own()) == plain, "{left} ids of padding before, {right} after");
            for model in [tiny_model(2), tiny_llama(2, true)] {
                let loss = |data: &TokenizedDataset| evaluate_loss(&model, data, 3, completion_only_loss).unwrap();
                assert_eq!(loss(&with(left, right)), loss(&with(0, 0)));
            }
        }
    }
}

#[test]
fn a_label_of_minus_100_is_skipped() {
    let masked = |row: Encoding| {
        let labels: Vec<i64> = row.labels.iter().enumerate().map(|(place, &id)| if place < 3 { -100 } else { i64::from(id) }).collect();
        row.with_labels(&labels).unwrap()
    };
    let prompts = |row: Encoding| Encoding { prompt_length: 3, ..row };
    let only = TrainingArguments { completion_only_loss: true, ..arguments() };
    assert!(trained(changed(masked), arguments()) == trained(changed(prompts), only), "skipped and of a prompt");
    assert!(trained(changed(masked), arguments()) != trained(changed(|row| row), arguments()));
    // Skipped in the middle: the two parts of the loss add up.
    let (model, ids) = (tiny_model(1), vec![5, 9, 2, 40, 8, 77]);
    let loss = |labels: &[i64]| {
        let row = Encoding::from_ids(ids.clone()).with_labels(labels).unwrap();
        let report = evaluate_loss(&model, &TokenizedDataset::from_rows(vec![row]), 1, false).unwrap();
        (report.loss * report.tokens as f64, report.tokens)
    };
    let (whole, one, other) = (loss(&[5, 9, 2, 40, 8, 77]), loss(&[-100, 9, -100, 40, -100, 77]), loss(&[5, -100, 2, -100, 8, -100]));
    assert_eq!((whole.1, one.1, other.1), (5, 3, 2));
    assert!((whole.0 - one.0 - other.0).abs() < 1e-6, "{whole:?} {one:?} {other:?}");
}

#[test]
fn labels_that_are_no_ids_are_refused() {
    let model = tiny_model(1);
    let mut rows = tiny_rows(4).into_rows();
    rows[2].labels[3] = 96;
    let data = TokenizedDataset::from_rows(rows.clone());
    let parts = ["row 2", "label at position 3 is 96", "vocabulary of 96", "−100"];
    refused(Trainer::new(&model, arguments(), data.clone(), TokenizedDataset::default()), &parts);
    refused(evaluate_loss(&model, &data, 2, false), &parts);
    refused(Batch::new(&rows.iter().collect::<Vec<_>>(), false, model.config()), &parts);
    let mut trainer = Trainer::new(&model, arguments(), tiny_rows(4), TokenizedDataset::default()).unwrap();
    refused(trainer.step_on(&rows), &parts);
    assert!(trainer.history().is_empty());
    // −1 of a 32-bit label.
    rows[2].labels[3] = -1i32 as u32;
    refused(trainer.step_on(&rows), &["row 2", "label at position 3 is -1", "vocabulary of 96"]);
    refused(Encoding::from_ids(vec![1, 2, 3]).with_labels(&[1, 2, -5]), &["label at position 2 is -5", "0 or more, or −100"]);
    rows[2] = Encoding::from_ids(vec![4, 96, 5]);
    refused(trainer.step_on(&rows), &["row 2", "token id 96 at position 1", "vocabulary of 96"]);
}

#[test]
fn lengths_that_differ_are_refused() {
    let model = tiny_model(1);
    let refuse = |row: Encoding, parts: &[&str]| {
        let data = TokenizedDataset::from_rows(vec![Encoding::from_ids(vec![3, 4, 5]), row.clone()]);
        refused(Trainer::new(&model, arguments(), data.clone(), TokenizedDataset::default()), parts);
        refused(evaluate_loss(&model, &data, 1, false), parts);
        let mut trainer = Trainer::new(&model, arguments(), tiny_rows(4), TokenizedDataset::default()).unwrap();
        refused(trainer.step_on(data.rows()), parts);
    };
    let row = Encoding::from_ids(vec![1, 2, 3, 4]);
    refuse(Encoding { labels: vec![1, 2], ..row.clone() }, &["row 1", "labels has a length of 2", "input_ids of 4"]);
    refuse(Encoding { attention_mask: vec![1; 6], ..row.clone() }, &["row 1", "attention_mask has a length of 6", "input_ids of 4"]);
    refuse(Encoding { attention_mask: vec![1, 0, 1, 1], ..row.clone() }, &["row 1", "position 1 is 0", "between ones"]);
    for (mask, place) in [(vec![1, 2, 1, 1], "position 1 is 2"), (vec![2; 4], "position 0 is 2"), (vec![1, 1, 0, 9], "position 3 is 9")] {
        refuse(Encoding { attention_mask: mask, ..row.clone() }, &["row 1", place, "must be 0 or 1"]);
    }
    refused(row.with_labels(&[1]), &["labels has a length of 1", "input_ids of 4"]);
    let long = Encoding::from_ids(vec![1; 66]);
    refuse(padded(long, 3, 0), &["row 1", "66 tokens", "64 positions"]);
}

#[test]
fn rows_with_nothing_to_predict_are_left_out() {
    let empty = || {
        let skipped = Encoding::from_ids(vec![5, 6, 7]).with_labels(&[5, -100, -100]).unwrap();
        let prompt = Encoding { prompt_length: 3, ..Encoding::from_ids(vec![5, 6, 7]) };
        [Encoding::from_ids(vec![9]), skipped, prompt, padded(Encoding::from_ids(vec![8]), 2, 2)]
    };
    let only = || TrainingArguments { completion_only_loss: true, ..arguments() };
    let with: Vec<Encoding> =
        tiny_rows(12).into_rows().into_iter().zip(empty().into_iter().cycle()).flat_map(|(row, empty)| [empty, row]).collect();
    let with = TokenizedDataset::from_rows(with);
    assert!(trained(with.clone(), only()) == trained(tiny_rows(12), only()), "rows that teach nothing change nothing");
    let model = tiny_model(1);
    let [ours, theirs] = [&with, &tiny_rows(12)].map(|data| evaluate_loss(&model, data, 4, true).unwrap());
    assert_eq!(ours, theirs);
    // The prompt alone teaches, where prompts are learnt.
    let mut trainer = Trainer::new(&model, arguments(), TokenizedDataset::from_rows(empty().into()), TokenizedDataset::default()).unwrap();
    assert_eq!(trainer.step().unwrap().tokens, 3);
    let none = TokenizedDataset::from_rows(empty().into());
    let parts = ["train_dataset", "none of its 4 rows", "prompt alone"];
    refused(Trainer::new(&model, only(), none.clone(), TokenizedDataset::default()), &parts);
    refused(evaluate_loss(&model, &none, 2, true), &["the evaluation data set", "none of its 4 rows"]);
    let evaluates = TrainingArguments { eval_steps: 1, ..only() };
    refused(Trainer::new(&model, evaluates, tiny_rows(4), none.clone()), &["eval_dataset", "none of its 4 rows"]);
    let mut trainer = Trainer::new(&model, only(), tiny_rows(4), TokenizedDataset::default()).unwrap();
    refused(trainer.step_on(none.rows()), &["the 4 rows of the step have nothing to predict"]);
    refused(trainer.step_on(rows(&[]).rows()), &["the 0 rows"]);
}
