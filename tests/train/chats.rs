//! Conversations that are learnt: the losses of TRL's SFTTrainer, and the chat adapter of the guide in five lines.

use finetuning::*;
use serde_json::Value;

use crate::models::parity::load;
use crate::support::{fresh_folder, json as read};

/// The tokenizer of letters that the fixture was made with.
fn letters(files: &Value) -> Tokenizer {
    let folder = fresh_folder();
    std::fs::create_dir_all(&folder).unwrap();
    for (name, value) in files.as_object().unwrap() {
        std::fs::write(folder.join(name), value.to_string()).unwrap();
    }
    Tokenizer::from_folder(&folder).unwrap()
}

fn conversations(case: &Value) -> Dataset {
    Dataset::from_examples(case["rows"].as_array().unwrap().iter().map(|row| Example::new([("messages", row.clone())])).collect())
}

#[test]
fn three_steps_are_those_of_sfttrainer() {
    let case = &read("masks.json")["sft"];
    let (rows, report) =
        tokenize_with(&conversations(case), &letters(&case["files"]), &TokenizeOptions::new().with_max_length(64)).unwrap();
    assert_eq!((report.trained, report.endless), (6, 0));
    let arguments = TrainingArguments {
        learning_rate: case["learning_rate"].as_f64().unwrap(),
        lr_scheduler_type: Schedule::Constant,
        max_steps: 3,
        optim: Optim::AdamW,
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 1,
        disable_tqdm: true,
        ..Default::default()
    };
    let mut trainer = Trainer::new(&load("tiny-neox"), arguments, rows.clone(), TokenizedDataset::default()).unwrap();
    let steps = case["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    for (index, theirs) in steps.iter().enumerate() {
        let ours = trainer.step_on(&rows.rows()[2 * index..2 * index + 2]).unwrap();
        let number = |field: &str| theirs[field].as_f64().unwrap();
        assert!((ours.loss - number("loss")).abs() <= 1e-5, "step {index}: {} and {theirs}", ours.loss);
        assert!((ours.grad_norm / number("grad_norm") - 1.0).abs() <= 1e-4, "step {index}: {} and {theirs}", ours.grad_norm);
    }
}

#[test]
fn a_chat_adapter_takes_five_lines() -> Result<()> {
    let case = &read("masks.json")["sft"];
    let (tokenizer, base, data) = (letters(&case["files"]), load("tiny-llama"), conversations(case));

    let (rows, report) = tokenize_with(&data, &tokenizer, &TokenizeOptions::new().with_max_length(64))?;
    let model = base.with_lora(&LoraConfig { target_modules: vec!["all-linear".into()], ..Default::default() })?;
    let arguments = TrainingArguments { learning_rate: 1e-2, max_steps: 40, optim: Optim::AdamW, disable_tqdm: true, ..Default::default() };
    Trainer::new(&model, arguments, rows.clone(), TokenizedDataset::default())?.train()?;
    let answer =
        generate_texts(&[tokenizer.apply_chat_template(&[Message::user("a")], true)?], &model, &tokenizer, &GenerationConfig::default())?;

    assert_eq!((report.trained, answer.len()), (6, 1));
    let loss = |model: &CausalLm| evaluate_loss(model, &rows, 4, false).map(|report| report.loss);
    assert!(loss(&model)? < 0.5 * loss(&base)?, "{} {}", loss(&model)?, loss(&base)?);
    Ok(())
}
