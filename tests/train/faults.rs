//! No run is lost: kill −9 at any moment, damaged checkpoints, a full disk, two processes on one folder, done for real.
//!
//! What has to die is a process of its own, `harness train`.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use finetuning::train::checkpoint::store;
use finetuning::util::lock::FolderLock;
use finetuning::*;

use crate::process::harness;
use crate::support::killed::{arguments, trainer};
use crate::support::{fresh_folder, skipped, tiny_model, tiny_rows, values};

/// What must not depend on kills: losses, norms, evaluations and weights, to the last bit.
fn result(trainer: &Trainer) -> (Vec<String>, Vec<f32>) {
    let step = |step: &StepReport| format!("{} {} {} {:?}", step.step, step.loss, step.grad_norm, step.eval_loss);
    let weights = trainer.model().weights().iter().flat_map(|(_, var)| values(var.as_tensor())).collect();
    (trainer.history().iter().map(step).collect(), weights)
}

fn client_on(folder: &Path) -> Command {
    let mut client = harness("train");
    client.arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
    client
}

fn newest(folder: &Path) -> usize {
    store::list(folder).last().map_or(0, |(step, _)| *step)
}

/// Waits for something that a child does; false when the child has ended first.
fn wait(child: &mut Child, ready: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !ready() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the child does nothing");
    }
    true
}

#[test]
fn kill_9_loses_nothing() {
    let (folder, whole) = (fresh_folder(), fresh_folder());
    let mut uninterrupted = trainer(arguments(&whole));
    uninterrupted.train().unwrap();

    let (mut kills, mut in_a_save) = (0, 0);
    for round in 0..8u64 {
        let mut child = client_on(&folder).spawn().unwrap();
        let start = newest(&folder);
        // Two checkpoints further, some kills while a file is being written, others anywhere.
        let partial = || {
            let hidden = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().ends_with(".partial");
            std::fs::read_dir(&folder).unwrap().flatten().any(hidden)
        };
        let mut alive = wait(&mut child, || newest(&folder) >= start + 2);
        if round % 2 == 0 {
            alive = alive && wait(&mut child, partial);
            std::thread::sleep(Duration::from_micros(300 * round));
        } else {
            std::thread::sleep(Duration::from_micros(1700 * round));
        }
        if alive && child.try_wait().unwrap().is_none() {
            kills += 1;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        in_a_save += usize::from(partial());
        // Whatever the moment: every folder that looks like a checkpoint is a whole one.
        for (_, path) in store::list(&folder) {
            finetuning::train::checkpoint::manifest::verify(&path).unwrap();
        }
    }
    assert!(kills >= 4, "only {kills} kills met a running child");
    let mut resumed = trainer(arguments(&folder));
    let from = resumed.resume_latest().unwrap();
    assert!(from.is_some() && resumed.history().len() >= 8);
    resumed.train().unwrap();
    println!("{kills} kills, {in_a_save} of them in a save; went on from step {}", newest(&folder));
    let (ours, theirs) = (result(&resumed), result(&uninterrupted));
    assert_eq!(ours.0, theirs.0);
    assert!(ours.1 == theirs.1, "the weights differ");
    assert_eq!(resumed.state().log_history.len(), uninterrupted.state().log_history.len());
    assert!(!std::fs::read_dir(&folder).unwrap().flatten().any(|entry| entry.file_name().to_string_lossy().contains(".partial")));
}

/// A run of 4 steps with checkpoints 2 and 4.
fn short_run() -> (std::path::PathBuf, TrainingArguments) {
    let folder = fresh_folder();
    let arguments = TrainingArguments { max_steps: 4, ..arguments(&folder) };
    trainer(arguments.clone()).train().unwrap();
    (folder, arguments)
}

#[test]
fn damaged_checkpoints_are_named_and_skipped() {
    let (folder, arguments) = short_run();
    let newest = folder.join("checkpoint-4");
    let names: Vec<_> = std::fs::read_dir(&newest).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(names.len() >= 7, "{names:?}");
    for path in names {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        // Cut in the middle, a flipped bit, gone.
        for damage in [Some(bytes[..bytes.len() / 2].to_vec()), Some(flipped), None] {
            match damage {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let mut other = trainer(arguments.clone());
            let before = result(&other);
            let error = other.resume(&newest).unwrap_err().to_string();
            assert!(error.contains(&name) || name == "manifest.json", "{name}: {error}");
            assert!(error.contains("checkpoint-4") && error.contains("hint: resume from another checkpoint"), "{error}");
            assert!(result(&other) == before, "{name}: something was taken over");
            assert_eq!(other.resume_latest().unwrap(), Some(folder.join("checkpoint-2")));
            assert_eq!(other.history().len(), 2);
        }
        std::fs::write(&path, bytes).unwrap();
    }
    trainer(arguments.clone()).resume(&newest).unwrap();
    for step in [2, 4] {
        std::fs::write(folder.join(format!("checkpoint-{step}/model.safetensors")), "").unwrap();
    }
    let error = trainer(arguments).train().unwrap_err().to_string();
    assert!(error.contains("no checkpoint of the run is whole") && error.contains("0 bytes"), "{error}");
}

#[test]
fn what_a_kill_leaves_is_put_in_order() {
    let (folder, arguments) = short_run();
    // Killed between the two renames of a save over an old checkpoint, in a write, and in a removal.
    std::fs::rename(folder.join("checkpoint-4"), folder.join(".checkpoint-4.old")).unwrap();
    for name in [".checkpoint-6.partial", ".checkpoint-1.removed"] {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("model.safetensors"), "half").unwrap();
    }
    assert_eq!(trainer(arguments).resume_latest().unwrap(), Some(folder.join("checkpoint-4")));
    let hidden: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".checkpoint"))
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn a_full_disk_leaves_earlier_checkpoints_alone() {
    let (folder, arguments) = short_run();
    let before = std::fs::read(folder.join("checkpoint-4/model.safetensors")).unwrap();
    // A limit on the size of files makes the kernel refuse to write on, as a full disk does, in the middle of the file.
    let blocks = before.len() / 512 / 2;
    let client = client_on(&folder);
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh", &blocks.to_string()])
        .arg(client.get_program())
        .args(client.get_args())
        .env("FINETUNING_TEST_RUN", &folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    for part in ["checkpoint-6 was not written, earlier checkpoints are untouched", "model.safetensors", "hint: ", "disk space"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert_eq!(newest(&folder), 4);
    assert!(std::fs::read(folder.join("checkpoint-4/model.safetensors")).unwrap() == before);
    assert!(!folder.join(".checkpoint-6.partial").exists(), "the space is given back");
    // With room again the run goes on.
    let mut resumed = trainer(TrainingArguments { max_steps: 6, ..arguments });
    assert_eq!(resumed.train().unwrap().global_step, 6);
    assert_eq!(resumed.history().len(), 6);
}

/// The same on a file system of its own that fills up, where this system lets a user mount one.
#[test]
fn a_small_disk_fills_up() {
    let (disk, kept) = (fresh_folder(), fresh_folder());
    let (folder, _) = short_run();
    let checkpoint: u64 =
        std::fs::read_dir(folder.join("checkpoint-4")).unwrap().flatten().map(|file| file.metadata().unwrap().len()).sum();
    let script = "mount -t tmpfs -o size=$1k tmpfs \"$2\" || exit 77\nshift; disk=$1; kept=$2; shift; shift\n\"$@\"; code=$?; cp -a \"$disk/.\" \"$kept\"; exit $code";
    let client = client_on(&disk);
    let output = Command::new("unshare")
        .args(["-Urm", "sh", "-c", script, "sh", &(checkpoint * 5 / 2 / 1024).to_string()])
        .args([&disk, &kept])
        .arg(client.get_program())
        .args(client.get_args())
        .output();
    let Ok(output) = output.inspect_err(|error| skipped(format_args!("no `unshare`: {error}"))) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains("training begins") {
        return skipped(format_args!("no mount: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("checkpoint-6 was not written") && text.contains("No space left on device"), "{text}");
    assert_eq!(store::list(&kept).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 4]);
    store::list(&kept).iter().for_each(|(_, path)| finetuning::train::checkpoint::manifest::verify(path).unwrap());
}

#[test]
fn a_run_that_has_nothing_to_train_says_so() {
    let (folder, _) = short_run();
    let text = || String::from_utf8_lossy(&client_on(&folder).stdout(Stdio::piped()).output().unwrap().stdout).into_owned();
    let first = text();
    assert!(first.contains("resume: this run has 40 steps in all, that of the checkpoint has 4"), "{first}");
    assert!(first.contains("trained 40 steps") && !first.contains("nothing to train"), "{first}");
    let second = text();
    assert!(second.contains("nothing to train: 40 of 40 steps are taken"), "{second}");
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let (folder, arguments) = short_run();
    let first = FolderLock::take(&folder).unwrap();
    let output = client_on(&folder).stdout(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains(&format!("in use by the training of process {}", std::process::id())), "{text}");
    assert_eq!(newest(&folder), 4);
    drop(first);
    // A process that is killed gives its right back.
    let mut child = client_on(&folder).spawn().unwrap();
    assert!(wait(&mut child, || newest(&folder) >= 6));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(trainer(arguments).resume_latest().unwrap().is_some());
}

#[test]
fn another_models_checkpoint_is_refused() {
    let (folder, arguments) = short_run();
    let model = tiny_model(1);
    let weights = |model: &CausalLm| model.weights().iter().flat_map(|(_, var)| values(var.as_tensor())).collect::<Vec<f32>>();
    let before = weights(&model);
    let mut other = Trainer::new(&model, arguments, tiny_rows(24), tiny_rows(4)).unwrap();
    let error = other.resume(folder.join("checkpoint-4")).unwrap_err().to_string();
    assert!(error.contains("the optimizer state has no fitting"), "{error}");
    assert!(weights(&model) == before && other.history().is_empty());
}

#[test]
fn a_loss_that_is_no_number_keeps_the_checkpoints() {
    let (folder, arguments) = short_run();
    let exploding = TrainingArguments { learning_rate: 1e30, max_grad_norm: 0.0, max_steps: 20, ..arguments };
    let error = trainer(exploding).train().unwrap_err().to_string();
    assert!(error.contains("the loss is") && error.contains("hint: lower learning_rate"), "{error}");
    assert!(newest(&folder) >= 4);
    for (_, path) in store::list(&folder) {
        finetuning::train::checkpoint::manifest::verify(&path).unwrap();
        CausalLm::from_folder(&path, &Device::Cpu).unwrap();
    }
}
