//! Trainings that a test kills, interrupts or measures.

use std::path::Path;

use finetuning::*;
use support::killed;

use crate::flag;

/// Trains into a folder, from the newest checkpoint there on; an error is printed and is exit code 3.
pub fn train(folder: &Path) {
    println!("training begins");
    match killed::trainer(killed::arguments(folder)).train() {
        Ok(output) => println!("trained {} steps", output.global_step),
        Err(error) => {
            println!("{error}");
            std::process::exit(3);
        }
    }
}

fn arguments(output_dir: &Path) -> TrainingArguments {
    let (output_dir, save_steps) = (output_dir.to_path_buf(), 2);
    TrainingArguments { output_dir, save_steps, max_steps: 6, per_device_train_batch_size: 2, disable_tqdm: true, ..Default::default() }
}

fn runner() -> BasicModelRunner {
    let mut runner = BasicModelRunner::new("builtin:base").unwrap();
    runner.load_data_from_jsonlines("builtin:lab_docs", "question", "answer").unwrap();
    runner
}

/// Interrupts a training in its middle and goes on: the weights are those of one that nobody interrupts.
pub fn interrupt() {
    let flag = flag();
    let (flag, folder) = (flag.as_path(), flag.parent().unwrap());
    let whole = runner().train_with(false, arguments(&folder.join("whole"))).unwrap();

    let mut runner = runner();
    let stopped = folder.join("stopped");
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stopped.join("checkpoint-2").exists() {
                std::thread::yield_now();
            }
            std::fs::write(flag, "").unwrap();
        });
        runner.train_with(false, arguments(&stopped)).unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.to_string().contains("`train` goes on from the"), "{error}");
    std::fs::remove_file(flag).unwrap();
    let rest = runner.train_with(false, arguments(&stopped)).unwrap();
    assert_eq!(rest.output.global_step, 6);

    let weights = |name: &str| AutoModelForCausalLM::from_pretrained(name).unwrap();
    for ((name, a), (_, b)) in weights(&whole.model_id).weights().iter().zip(weights(&rest.model_id).weights()) {
        assert!(support::values(a.as_tensor()) == support::values(b.as_tensor()), "{name}");
    }
    println!("the weights are equal");
}

/// How far the memory of this process rises in two steps, and what was estimated.
pub fn measure_memory(checkpointing: bool) {
    let config = NeoxConfig { max_position_embeddings: 512, ..NeoxConfig::new(96, 64, 24, 4) };
    let model = CausalLm::random(config, 1, None, &Device::Cpu).unwrap();
    let rows = support::rows(&vec![(0..512).map(|id| id % 96).collect(); 4]);
    let settings = TrainingArguments {
        learning_rate: 3e-3,
        max_steps: 2,
        per_device_train_batch_size: 2,
        gradient_checkpointing: checkpointing,
        disable_tqdm: true,
        ..Default::default()
    };
    let mut trainer = Trainer::new(&model, settings, rows, TokenizedDataset::default()).unwrap();
    let before = finetuning::util::memory::peak_memory();
    trainer.train().unwrap();
    let grown = finetuning::util::memory::peak_memory() - before;
    println!("grown {grown} needed {}", finetuning::train::check::needed_bytes(&model, 511, checkpointing, 0));
}
