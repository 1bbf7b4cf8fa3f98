//! An interrupt ends the loop, keeps what was learned, and the same call goes on to the same weights.
//!
//! The flag's name is an environment variable of a process, so the run is done by a child: this same program.

use std::path::Path;

use finetuning::*;

use crate::support::{child, fresh_folder, values};

fn arguments(output_dir: &Path) -> TrainingArguments {
    let (output_dir, save_steps) = (output_dir.to_path_buf(), 2);
    TrainingArguments { output_dir, save_steps, max_steps: 6, per_device_train_batch_size: 2, disable_tqdm: true, ..Default::default() }
}

fn runner() -> BasicModelRunner {
    let mut runner = BasicModelRunner::new("builtin:base").unwrap();
    runner.load_data_from_jsonlines("builtin:lab_docs", "question", "answer").unwrap();
    runner
}

/// The child's part; in an ordinary run of the tests it has nothing to do.
#[test]
fn client() {
    let Some(flag) = std::env::var_os("FINETUNING_INTERRUPT") else { return };
    let (flag, folder) = (Path::new(&flag), Path::new(&flag).parent().unwrap());
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
    assert!(error.to_string().contains("of 6; `train` goes on from there"), "{error}");
    std::fs::remove_file(flag).unwrap();
    let rest = runner.train_with(false, arguments(&stopped)).unwrap();
    assert_eq!(rest.output.global_step, 6);

    let weights = |name: &str| AutoModelForCausalLM::from_pretrained(name).unwrap();
    for ((name, a), (_, b)) in weights(&whole.model_id).weights().iter().zip(weights(&rest.model_id).weights()) {
        assert!(values(a.as_tensor()) == values(b.as_tensor()), "{name}");
    }
    println!("the weights are equal");
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_weights() {
    let flag = fresh_folder().join("flag");
    let output = child("train::interrupt::client").env("FINETUNING_INTERRUPT", flag).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("the weights are equal"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
