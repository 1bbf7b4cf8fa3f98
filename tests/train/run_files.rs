//! What a run writes besides weights: trainer_state.json as transformers has it, and what callbacks see.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use finetuning::*;
use serde_json::{Value, json};

use crate::support::{fixture, fresh_folder, json, tiny_model, tiny_neox, tiny_rows, values};
use crate::train::options::{arguments, rows};

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

#[test]
fn the_mean_of_an_evaluation_is_the_one_that_is_named() {
    let eval = tiny_rows(5);
    let loss = |data: &[Encoding], size: usize, mean: &str| {
        let own = json!({ "eval_loss_mean": mean, "per_device_eval_batch_size": size });
        let data = TokenizedDataset::from_rows(data.to_vec());
        Trainer::new(&tiny_neox(), TrainingArguments::from_json(&own).unwrap(), tiny_rows(2), data).unwrap().evaluate().unwrap().loss
    };
    let of = |rows: &[Encoding]| loss(rows, 2, "tokens") * rows.len() as f64;
    let batches = eval.rows().chunks(2).map(of).sum::<f64>() / eval.len() as f64;
    assert!((loss(eval.rows(), 2, "batches") - batches).abs() < 1e-9);
    assert!((loss(eval.rows(), 2, "tokens") - loss(eval.rows(), 5, "tokens")).abs() < 1e-6);
    assert!((loss(eval.rows(), 2, "batches") - loss(eval.rows(), 2, "tokens")).abs() > 1e-5);
}

#[test]
fn trainer_state_is_transformers() {
    let (case, theirs, data) = (json("training/trainer_run.json"), json("training/trainer_state.json"), json("trajectories/losses.json"));
    let (folder, eval) = (fresh_folder(), rows(&data["eval_rows"]));
    let own = json!({ "output_dir": folder, "max_steps": 6, "eval_loss_mean": "batches" });
    let arguments = arguments(&case, &[&own, &case["arguments"]]);
    let mut trainer = Trainer::new(&tiny_neox(), arguments, rows(&data["rows"]), eval).unwrap();
    trainer.train().unwrap();
    let ours = read(folder.join("checkpoint-6/trainer_state.json"));
    assert_eq!(ours.as_object().unwrap().keys().collect::<Vec<_>>(), theirs.as_object().unwrap().keys().collect::<Vec<_>>(), "in order");

    let (log, their_log) = (ours["log_history"].as_array().unwrap(), theirs["log_history"].as_array().unwrap());
    assert_eq!(log.len(), their_log.len());
    for (own, theirs) in log.iter().zip(their_log) {
        assert_eq!(keys(own), keys(theirs));
        let step = own["step"].as_u64().unwrap();
        for (name, value) in theirs.as_object().unwrap() {
            let (ours, theirs) = (own[name].as_f64().unwrap(), value.as_f64().unwrap());
            let bound = match name.as_str() {
                "loss" | "eval_loss" => 1e-5,
                "grad_norm" => 1e-4 * theirs,
                "epoch" | "learning_rate" | "step" => 1e-9,
                _ => {
                    assert!(ours > 0.0, "{name} is a time or a speed");
                    continue;
                }
            };
            assert!((ours - theirs).abs() <= bound, "step {step}: {name} {ours} and {theirs}");
        }
    }
    for (name, theirs) in theirs.as_object().unwrap() {
        let ours = &ours[name];
        match name.as_str() {
            "log_history" => {}
            "best_metric" => assert_eq!(ours, &log[4]["eval_loss"]),
            "best_model_checkpoint" => assert_eq!(*ours, json!(folder.join("checkpoint-6"))),
            // They count padding, which we have not, and ids only when told to.
            "total_flos" => {
                let ids = rows(&data["rows"]).rows()[..24].iter().map(|row| row.input_ids.len()).sum();
                assert_eq!(ours.as_f64().unwrap(), tiny_neox().floating_point_ops(ids));
                assert!((0.8..1.0).contains(&(ours.as_f64().unwrap() / theirs.as_f64().unwrap())), "{ours} {theirs}");
            }
            "num_input_tokens_seen" => assert!(ours.as_u64().unwrap() > 0),
            _ => assert!(ours == theirs || ours.as_f64() == theirs.as_f64() && ours.is_number(), "{name}: {ours} and {theirs}"),
        }
    }
    let (last, their_last) = (trainer.state().log_history.last().unwrap(), &case["last_log_entry"]);
    assert_eq!(last.keys().cloned().collect::<Vec<_>>(), keys(their_last));
    assert!((last["train_loss"].as_f64().unwrap() - their_last["train_loss"].as_f64().unwrap()).abs() < 1e-5);
    assert_eq!(TrainingArguments::load(folder.join("training_args.json")).unwrap(), *trainer.arguments());
    assert_eq!(TrainingArguments::load(folder.join("checkpoint-3/training_args.json")).unwrap(), *trainer.arguments());
    let steps = std::fs::read_to_string(folder.join("checkpoint-3/history.csv")).unwrap();
    assert_eq!(steps.lines().count(), 4, "a header and three steps");
}

/// Writes down what happens, and asks for things at certain steps.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, name: &str, context: &CallbackContext) -> Result<Control> {
        assert_eq!(context.history.len(), context.state.global_step);
        self.0.lock().unwrap().push(format!("{name} {}", context.state.global_step));
        Ok(Control::default())
    }
}

impl TrainerCallback for Notes {
    fn name(&self) -> &'static str {
        "Notes"
    }
    fn on_train_begin(&mut self, context: &CallbackContext) -> Result<Control> {
        self.add("begin", context)
    }
    fn on_step_end(&mut self, context: &CallbackContext) -> Result<Control> {
        let step = context.state.global_step;
        self.add("step", context)?;
        Ok(Control { log: step == 1, evaluate: step == 2, save: step == 3, stop: step == 4 })
    }
    fn on_log(&mut self, context: &CallbackContext) -> Result<Control> {
        self.add("log", context)
    }
    fn on_evaluate(&mut self, context: &CallbackContext) -> Result<Control> {
        self.add("evaluate", context)
    }
    fn on_save(&mut self, context: &CallbackContext) -> Result<Control> {
        assert!(context.arguments.output_dir.join("checkpoint-3/manifest.json").exists());
        self.add("save", context)
    }
    fn on_train_end(&mut self, context: &CallbackContext) -> Result<Control> {
        self.add("end", context)
    }
}

#[test]
fn callbacks_see_and_steer_the_run() {
    let own = TrainingArguments { output_dir: fresh_folder(), max_steps: 9, logging_steps: 50, disable_tqdm: true, ..Default::default() };
    let mut trainer = Trainer::new(&tiny_model(1), own, tiny_rows(8), tiny_rows(2)).unwrap();
    let notes = Notes::default();
    trainer.add_callback(notes.clone());
    assert_eq!(trainer.train().unwrap().global_step, 4);
    let expected = "begin 0, step 1, log 1, step 2, log 2, evaluate 2, step 3, save 3, step 4, log 4, end 4";
    assert_eq!(notes.0.lock().unwrap().join(", "), expected);
}

/// Fails once in each of two places.
#[derive(Debug, Default)]
struct Fails([bool; 2]);

impl TrainerCallback for Fails {
    fn name(&self) -> &'static str {
        "Fails"
    }
    fn on_step_end(&mut self, context: &CallbackContext) -> Result<Control> {
        let now = context.state.global_step == 3 && !std::mem::replace(&mut self.0[0], true);
        if now { Err(Error::new(ErrorKind::Interrupted, "after step 3")) } else { Ok(Control::default()) }
    }
    fn on_evaluate(&mut self, context: &CallbackContext) -> Result<Control> {
        let now = context.state.global_step == 6 && !std::mem::replace(&mut self.0[1], true);
        if now { Err(Error::new(ErrorKind::Interrupted, "in the evaluation of step 6")) } else { Ok(Control::default()) }
    }
}

#[test]
fn nothing_is_skipped_or_done_twice_after_an_error() {
    let train = |fails: bool| {
        let folder = fresh_folder();
        let model = CausalLm::from_folder(&fixture("tiny-neox"), &Device::Cpu).unwrap();
        let own = TrainingArguments {
            output_dir: folder.clone(),
            max_steps: 9,
            logging_steps: 3,
            eval_steps: 3,
            save_steps: 3,
            disable_tqdm: true,
            ..Default::default()
        };
        let mut trainer = Trainer::new(&model, own, tiny_rows(8), tiny_rows(2)).unwrap();
        if fails {
            trainer.add_callback(Fails::default());
            assert!(trainer.train().unwrap_err().to_string().contains("after step 3"));
            assert!(trainer.train().unwrap_err().to_string().contains("of step 6"));
        }
        assert_eq!(trainer.train().unwrap().global_step, 9);
        let logged: Vec<(u64, Option<f64>, Option<f64>)> = trainer
            .state()
            .log_history
            .iter()
            .map(|entry| {
                (entry["step"].as_u64().unwrap(), entry.get("loss").and_then(Value::as_f64), entry.get("eval_loss").and_then(Value::as_f64))
            })
            .collect();
        let saved: Vec<usize> = finetuning::train::checkpoint::store::list(&folder).iter().map(|(step, _)| *step).collect();
        (logged, saved, trainer.state().best_metric, trainer.state().best_global_step)
    };
    assert_eq!(train(true), train(false));
}

#[test]
fn early_stopping_stops_and_survives_a_resume() {
    let folder = fresh_folder();
    // At a rate of 0 no evaluation is better than the first.
    let own = TrainingArguments {
        output_dir: folder.clone(),
        // Too small to change a weight: the evaluations are equal.
        learning_rate: 1e-30,
        max_steps: 40,
        eval_steps: 2,
        save_steps: 2,
        early_stopping_patience: 3,
        disable_tqdm: true,
        ..Default::default()
    };
    let (model, other) = (tiny_model(1), tiny_model(1));
    let mut trainer = Trainer::new(&model, own.clone(), tiny_rows(8), tiny_rows(2)).unwrap();
    assert_eq!(trainer.train().unwrap().global_step, 8, "the first evaluation and three that are not better");
    let state = read(folder.join("checkpoint-6/trainer_state.json"));
    assert_eq!(state["stateful_callbacks"]["EarlyStoppingCallback"]["attributes"]["early_stopping_patience_counter"], 2);
    let resumed = TrainingArguments { overwrite_output_dir: true, ..own.clone() };
    let mut trainer = Trainer::new(&other, resumed, tiny_rows(8), tiny_rows(2)).unwrap();
    trainer.resume(folder.join("checkpoint-6")).unwrap();
    assert_eq!(trainer.train().unwrap().global_step, 8);
    // A model that learns its own rows goes on.
    let own = TrainingArguments { output_dir: fresh_folder(), learning_rate: 1e-2, early_stopping_threshold: 1e-3, max_steps: 12, ..own };
    let mut trainer = Trainer::new(&tiny_model(1), own, tiny_rows(8), tiny_rows(8)).unwrap();
    assert_eq!(trainer.train().unwrap().global_step, 12);
    let none = TrainingArguments { early_stopping_patience: 1, ..Default::default() };
    assert!(none.validate().unwrap_err().to_string().contains("early_stopping_patience"));
}

#[test]
fn strategies_by_epoch() {
    let folder = fresh_folder();
    let own = TrainingArguments {
        output_dir: folder.clone(),
        num_train_epochs: 2.0,
        per_device_train_batch_size: 3,
        logging_strategy: IntervalStrategy::Epoch,
        eval_strategy: IntervalStrategy::Epoch,
        save_strategy: IntervalStrategy::Epoch,
        load_best_model_at_end: true,
        disable_tqdm: true,
        ..Default::default()
    };
    let mut trainer = Trainer::new(&tiny_model(1), own, tiny_rows(8), tiny_rows(2)).unwrap();
    trainer.train().unwrap();
    let steps = |name: &str| {
        trainer
            .state()
            .log_history
            .iter()
            .filter(|entry| entry.contains_key(name))
            .map(|entry| entry["step"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!((steps("loss"), steps("eval_loss")), (vec![3, 6], vec![3, 6]));
    assert_eq!(finetuning::train::checkpoint::store::list(&folder).iter().map(|(step, _)| *step).collect::<Vec<_>>(), [3, 6]);
    assert_eq!(trainer.state().num_train_epochs, 2);
    let mixed =
        TrainingArguments { eval_strategy: IntervalStrategy::Epoch, save_steps: 3, load_best_model_at_end: true, ..Default::default() };
    assert!(mixed.validate().unwrap_err().to_string().contains("eval_strategy and save_strategy are the same"));
}

#[test]
fn sample_answers_change_nothing() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let config = NeoxConfig { max_position_embeddings: 64, rotary_pct: 0.5, ..NeoxConfig::new(50_304, 8, 1, 2) };
    let train = |samples: Option<SampleAnswers>| {
        let model = CausalLm::random(config.clone(), 3, None, &Device::Cpu).unwrap();
        let own = TrainingArguments { max_steps: 5, learning_rate: 1e-2, disable_tqdm: true, ..Default::default() };
        let mut trainer = Trainer::new(&model, own, tiny_rows(8), TokenizedDataset::default()).unwrap();
        samples.into_iter().for_each(|samples| trainer.add_callback(samples));
        trainer.train().unwrap();
        model.weights().iter().flat_map(|(_, var)| values(var.as_tensor())).collect::<Vec<f32>>()
    };
    let samples = SampleAnswers::new(&tokenizer, &["Who?", "What is Mars?"], 2, 4);
    assert!(train(Some(samples.clone())) == train(None));
    let asked: Vec<(usize, String)> = samples.samples().into_iter().map(|sample| (sample.step, sample.prompt)).collect();
    let steps: Vec<usize> = asked.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [0, 0, 2, 2, 4, 4, 5, 5]);
    assert!(samples.text().contains("What is Mars?") && asked[1].1 == "What is Mars?");
}

#[test]
fn meters_count_exactly() {
    let model = CausalLm::random(NeoxConfig::new(50_304, 512, 6, 8), 1, None, &Device::Cpu).unwrap();
    let (layers, width) = (6 * (512 * 1536 + 512 * 512 + 2 * 512 * 2048), 50_304 * 512);
    assert_eq!(finetuning::train::log::meter::multiplying_parameters(&model), (layers + width, layers + width));
    let token = 6.0 * (layers + width) as f64;
    assert_eq!(training_flops(&model, &[1, 100]), 101.0 * token + 12.0 * 6.0 * 512.0 * (1.0 + 100.0 * 100.0));
    // Without gradients of its own a frozen matrix costs two operations less.
    model.weights().iter().for_each(|(_, weight)| weight.set_frozen(true));
    assert_eq!(training_flops(&model, &[1]), 4.0 / 6.0 * token + 12.0 * 6.0 * 512.0);
    let tied = crate::support::tiny_llama(1, true);
    assert_eq!(finetuning::train::log::meter::multiplying_parameters(&tied).0, 96 * 32 + 2 * (32 * 32 * 2 + 2 * 32 * 16 + 3 * 32 * 48));

    let own = TrainingArguments { max_steps: 2, per_device_train_batch_size: 4, disable_tqdm: true, ..Default::default() };
    let tiny = tiny_model(1);
    let mut trainer = Trainer::new(&tiny, own, tiny_rows(8), TokenizedDataset::default()).unwrap();
    let output = trainer.train().unwrap();
    let lengths: Vec<usize> = tiny_rows(8).rows().iter().map(|row| row.input_ids.len() - 1).collect();
    assert!((output.train_flops / training_flops(&tiny, &lengths) - 1.0).abs() < 1e-12);
    assert!(output.peak_memory > 10_000_000 && output.train_flops_per_second > 0.0);
    let curve = LossCurve { history: trainer.history().to_vec(), total_steps: 100_000_000 };
    assert!(["gradient ", "learning rate ", "tokens/s", "h ", " left"].iter().all(|part| curve.text().contains(part)), "{}", curve.text());
}

#[test]
fn numbers_of_a_checkpoint_are_read_to_the_last_bit() {
    let folder = fresh_folder();
    let arguments = |rate: f64| TrainingArguments {
        output_dir: folder.clone(),
        overwrite_output_dir: true,
        learning_rate: rate,
        logging_steps: 1,
        save_steps: 60,
        max_steps: 60,
        disable_tqdm: true,
        ..Default::default()
    };
    let make = |rate| Trainer::new(&tiny_model(1), arguments(rate), tiny_rows(24), TokenizedDataset::default()).unwrap();
    let mut whole = make(3e-4);
    whole.train().unwrap();
    let mut again = make(3e-4);
    again.resume("checkpoint-60").unwrap();
    let (ours, theirs) = (&again.state().log_history, &whole.state().log_history);
    assert_eq!(ours.len(), 60);
    // The last entry, of the end of the run, comes after the checkpoint.
    assert_eq!(ours[..], theirs[..60]);
    let mut rate = 1e-3;
    for case in 0..300 {
        rate *= 0.9876543210987654;
        let settings = TrainingArguments { weight_decay: rate / 3.0, ..arguments(rate) };
        settings.save(folder.join("settings.json")).unwrap();
        assert_eq!(TrainingArguments::load(folder.join("settings.json")).unwrap(), settings, "case {case}");
    }
}
