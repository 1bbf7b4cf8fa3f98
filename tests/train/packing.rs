//! Rows that share a sequence: the sequences of TRL, and losses that do not change, in every family.

use finetuning::train::batch::Batch;
use finetuning::train::packing::pack;
use finetuning::*;
use serde_json::json;

use crate::models::families::FAMILIES;
use crate::models::parity::load;
use crate::support::{fresh_folder, ids, json as read, refused, rows, tiny_rows, values};

#[test]
fn sequences_are_trls() {
    let bins = &read("masks.json")["bins"];
    // TRL leaves longer rows out of this comparison: it cuts them.
    let lengths: Vec<usize> = ids(&bins["lengths"]).into_iter().map(|length| length as usize).collect();
    let capacity = bins["capacity"].as_u64().unwrap() as usize;
    let (kept, packed): (Vec<usize>, _) = ((0..lengths.len()).filter(|&row| lengths[row] > 0).collect(), bins["bins"].as_array().unwrap());
    let ours = pack(&kept.iter().map(|&row| lengths[row]).collect::<Vec<_>>(), capacity);
    let ours: Vec<Vec<u32>> = ours.iter().map(|rows| rows.iter().map(|&row| kept[row] as u32).collect()).collect();
    assert_eq!(ours, packed.iter().map(ids).collect::<Vec<_>>());
    assert!(ours.iter().all(|rows| rows.iter().map(|&row| lengths[row as usize]).sum::<usize>() <= capacity));
    // A row that is longer than a sequence is one of its own.
    assert_eq!(pack(&[3, 40, 29, 1], 32), [vec![1], vec![2, 0], vec![3]]);
    assert!(pack(&[], 8).is_empty());
}

#[test]
fn a_packed_row_learns_what_it_learns_alone() {
    // Positions that went on, or a word from the row before, would show in the loss and in each gradient.
    let data =
        rows(&(0..5).map(|row| (0..4 + 3 * row % 7).map(|place| (row * 31 + place * 17 + 3) as u32 % 96).collect()).collect::<Vec<_>>());
    for name in FAMILIES.iter().map(|(name, _)| *name).chain(["tiny-neox", "tiny-neox-serial"]) {
        let model = load(name);
        let losses = |rows: &[&Encoding]| {
            let batch = Batch::new(rows, false, model.config()).unwrap();
            model.losses(batch.inputs(), batch.lengths(), batch.targets(0.0)).unwrap()
        };
        let all: Vec<&Encoding> = data.rows().iter().collect();
        let alone: Vec<f32> = all.iter().flat_map(|row| losses(&[row])).collect();
        let packed = losses(&all);
        assert_eq!(alone.len(), packed.len());
        let furthest = alone.iter().zip(&packed).map(|(alone, packed)| (alone - packed).abs()).fold(0.0, f32::max);
        assert!(furthest < 1e-5, "{name}: {furthest}");
        // As one long row it is another loss.
        let joined = Encoding::from_ids(data.rows().iter().flat_map(|row| row.input_ids.clone()).take(30).collect());
        let leaked = losses(&[&joined]);
        let within = all[0].input_ids.len() - 1;
        let second = all[1].input_ids.len() - 1;
        assert!(
            (leaked[within + 1..].iter().zip(&packed[within..][..second])).any(|(leaked, packed)| (leaked - packed).abs() > 1e-2),
            "{name}"
        );
    }
}

#[test]
fn a_packed_step_is_the_step_on_its_rows() {
    let data = tiny_rows(24);
    for name in FAMILIES.iter().map(|(name, _)| *name).chain(["tiny-neox"]) {
        let arguments = |own| {
            let mut all = json!({ "learning_rate": 1e-3, "max_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1,
                "train_sampling_strategy": "sequential", "disable_tqdm": true });
            all.as_object_mut().unwrap().extend::<serde_json::Map<_, _>>(own);
            TrainingArguments::from_json(&all).unwrap()
        };
        let packing = json!({ "packing": true, "max_length": 40 }).as_object().unwrap().clone();
        let (packed, plain) = (load(name), load(name));
        let mut by_sequence = Trainer::new(&packed, arguments(packing), data.clone(), TokenizedDataset::default()).unwrap();
        let mut by_row = Trainer::new(&plain, arguments(serde_json::Map::new()), data.clone(), TokenizedDataset::default()).unwrap();
        let lengths: Vec<usize> = data.rows().iter().map(|row| row.input_ids.len()).collect();
        let sequences = pack(&lengths, 40);
        assert_eq!(by_sequence.total_steps(), 2);
        for step in 0..2 {
            let rows: Vec<Encoding> = sequences[2 * step..2 * step + 2].iter().flatten().map(|&row| data.rows()[row].clone()).collect();
            let (ours, theirs) = (by_sequence.step().unwrap().clone(), by_row.step_on(&rows).unwrap().clone());
            assert_eq!(ours.tokens, theirs.tokens);
            assert!((ours.loss - theirs.loss).abs() < 1e-6, "{name}: {} {}", ours.loss, theirs.loss);
            assert!((ours.grad_norm / theirs.grad_norm - 1.0).abs() < 1e-4, "{name}: {} {}", ours.grad_norm, theirs.grad_norm);
        }
        assert_eq!(values(packed.weights()[0].1.as_tensor()).len(), values(plain.weights()[0].1.as_tensor()).len());
    }
    // An epoch has fewer steps, and each row once.
    let arguments =
        TrainingArguments { packing: true, max_length: Some(40), num_train_epochs: 1.0, disable_tqdm: true, ..Default::default() };
    let mut trainer = Trainer::new(&load("tiny-neox"), arguments, data.clone(), TokenizedDataset::default()).unwrap();
    let steps = pack(&data.rows().iter().map(|row| row.input_ids.len()).collect::<Vec<_>>(), 40)
        .len()
        .div_ceil(trainer.arguments().rows_per_step());
    trainer.train().unwrap();
    assert_eq!((trainer.history().len(), trainer.history().iter().map(|step| step.tokens).sum::<usize>()), (steps, data.tokens()));
}

#[test]
fn what_packing_cannot_do_is_refused_by_name() {
    refused(
        TrainingArguments::from_json(&json!({ "packing": true, "packing_strategy": "wrapped" })),
        &["packing_strategy", "wrapped", "bfd"],
    );
    assert!(TrainingArguments::from_json(&json!({ "packing": true, "packing_strategy": "bfd" })).is_ok());
    refused(TrainingArguments { packing: true, max_length: Some(0), ..Default::default() }.validate(), &["max_length", "at least 1"]);
    refused(TrainingArguments { max_length: Some(9), ..Default::default() }.validate(), &["max_length", "without packing"]);
}

#[test]
fn a_packed_run_goes_on_to_the_same_bits() {
    let (folder, data) = (fresh_folder(), tiny_rows(40));
    let trainer = || {
        let arguments = TrainingArguments {
            packing: true,
            max_length: Some(24),
            max_steps: 6,
            per_device_train_batch_size: 2,
            learning_rate: 1e-3,
            disable_tqdm: true,
            output_dir: folder.clone(),
            ..Default::default()
        };
        Trainer::new(&load("tiny-neox"), arguments, data.clone(), TokenizedDataset::default()).unwrap()
    };
    let (mut whole, mut again) = (trainer(), trainer());
    (0..3).for_each(|_| drop(whole.step().unwrap().clone()));
    let checkpoint = whole.save_checkpoint(&folder).unwrap();
    again.resume(checkpoint).unwrap();
    for step in 3..6 {
        let (one, other) = (whole.step().unwrap().clone(), again.step().unwrap().clone());
        assert_eq!((one.loss, one.grad_norm, one.tokens), (other.loss, other.grad_norm, other.tokens), "step {step}");
    }
}

#[test]
fn pairs_are_packed_with_both_answers() {
    let ids = |from: u32, count: u32| (from..from + count).collect::<Vec<u32>>();
    let pairs: Vec<PreferencePair> =
        (0..6).map(|row| PreferencePair { prompt: ids(row, 3), chosen: ids(20 + row, 2), rejected: ids(40 + row, 3) }).collect();
    let arguments = TrainingArguments {
        packing: true,
        max_length: Some(24),
        num_train_epochs: 1.0,
        per_device_train_batch_size: 1,
        gradient_accumulation_steps: 1,
        disable_tqdm: true,
        ..Default::default()
    };
    let mut trainer = DpoTrainer::new(&load("tiny-neox"), None, DpoConfig { arguments, ..Default::default() }, pairs.clone()).unwrap();
    trainer.train().unwrap();
    // A pair has 11 ids, so two are in a sequence.
    assert_eq!(trainer.history().len(), 3);
}
