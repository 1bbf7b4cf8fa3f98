//! Short seeded trainings of the builtin model and a random one → every loss and norm as hexadecimal bits: `cargo run --example losses`.
//!
//! A change that only moves code leaves each line as it was: run it before and after on the same machine and compare with
//! `diff`. Machines with other instructions round otherwise.

use finetuning::*;

fn main() -> Result<()> {
    let (train, test) = load_dataset("builtin:lab_docs")?.train_test_split(0.1, 123)?;
    let tokenizer = AutoTokenizer::from_pretrained("builtin:base")?;
    let (train, test) = (tokenize_dataset(&train, &tokenizer, 512)?, tokenize_dataset(&test, &tokenizer, 512)?);
    let common = || TrainingArguments {
        output_dir: std::env::temp_dir().join("finetuning-losses"),
        learning_rate: 1e-3,
        warmup_steps: 2,
        max_steps: 8,
        per_device_train_batch_size: 4,
        logging_steps: 100,
        disable_tqdm: true,
        ..Default::default()
    };
    let runs = [
        ("AdamW", TrainingArguments { weight_decay: 0.1, ..common() }),
        ("Adafactor, accumulated", TrainingArguments { optim: Optim::Adafactor, gradient_accumulation_steps: 2, ..common() }),
        ("means of micro-batches", TrainingArguments { accumulation: Accumulation::Means, gradient_accumulation_steps: 2, ..common() }),
        ("completion only, smoothed", TrainingArguments { completion_only_loss: true, label_smoothing_factor: 0.1, ..common() }),
        (
            "noise, checkpointing, packing",
            TrainingArguments { neftune_noise_alpha: Some(5.0), gradient_checkpointing: true, packing: true, ..common() },
        ),
    ];
    for (name, arguments) in runs {
        run(name, &AutoModelForCausalLM::from_pretrained("builtin:base")?, arguments, [&train, &test])?;
    }
    let adapted = AutoModelForCausalLM::from_pretrained("builtin:base")?.with_lora(&LoraConfig::default())?;
    run("LoRA", &adapted, common(), [&train, &test])?;
    let llama = LlamaConfig { max_position_embeddings: 512, ..LlamaConfig::new(3072, 64, 96, 2, [4, 2]) };
    run("Llama", &CausalLm::random(llama, 7, None, &Device::Cpu)?, common(), [&train, &test])?;
    answers()
}

fn bits(numbers: &[f64]) -> String {
    numbers.iter().map(|number| format!("{:016x}", number.to_bits())).collect::<Vec<_>>().join(" ")
}

/// A line for each step: loss, norm of the gradient, rate; then one for the loss of the test rows.
fn run(name: &str, model: &CausalLm, arguments: TrainingArguments, [train, test]: [&TokenizedDataset; 2]) -> Result<()> {
    let mut trainer = Trainer::new(model, arguments, train.clone(), test.clone())?;
    trainer.train()?;
    for report in trainer.history() {
        println!("{name}, step {}: {}", report.step, bits(&[report.loss, report.grad_norm, report.learning_rate]));
    }
    println!("{name}, test rows: {}", bits(&[trainer.evaluate()?.loss]));
    Ok(())
}

/// What the builtin model answers: one word that changes is a changed number.
fn answers() -> Result<()> {
    let runner = BasicModelRunner::new("builtin:base")?;
    for answer in runner.ask_batch(&["What is finetuning in short?", "How do I save a model?", "Who painted the Mona Lisa?"])? {
        println!("{answer}");
    }
    Ok(())
}
