//! Bad input: a clear error with place, allowed values and the next step; never a panic, nothing overwritten.

use finetuning::compute::cpu::loss::Targets;
use finetuning::models::decoder::{Cache, TrainBatch};
use finetuning::nn::backend::Backend;
use finetuning::*;

use crate::support::{fixture, fresh_folder, refused, tiny_model, tiny_rows};

#[test]
fn missing_file() {
    refused(load_dataset("nowhere/data.jsonl"), &["nowhere/data.jsonl", "No such file"]);
    refused(BasicModelRunner::new("nowhere/model/x"), &["`nowhere/model/x`", "builtin:base"]);
}

#[test]
fn wrong_column() {
    let data = Dataset::from_examples(vec![Example::new([("prompt", "a"), ("reply", "b")])]);
    refused(data.column("question"), &["`question`", "row 0", "`prompt`, `reply`"]);
    refused(data.get(0).unwrap().field("answer"), &["`answer`", "`prompt`, `reply`"]);
    refused(PromptTemplate::question().format(data.get(0).unwrap()), &["`question`", "`prompt`, `reply`"]);
}

#[test]
fn malformed_line_17() {
    let path = fresh_folder().join("data.jsonl");
    let mut lines: Vec<String> = (0..20).map(|i| format!("{{\"question\": \"q{i}\", \"answer\": \"a{i}\"}}")).collect();
    lines[16] = "{\"question\": \"q16\", \"answer\"".into();
    std::fs::write(&path, lines.join("\n")).unwrap();
    refused(Dataset::from_jsonl(&path), &["data.jsonl:17", "not valid JSON"]);
    let mut stream = ExampleStream::open(&path).unwrap();
    assert_eq!(stream.by_ref().take(16).filter(|row| row.is_ok()).count(), 16);
    refused(stream.next().unwrap(), &["data.jsonl:17"]);
    assert!(stream.next().is_none(), "a broken stream ends");
    lines[16] = "[1, 2]".into();
    std::fs::write(&path, lines.join("\n")).unwrap();
    refused(Dataset::from_jsonl(&path), &["data.jsonl:17", "a list"]);
}

#[test]
fn empty_data_set() {
    let path = fresh_folder().join("empty.jsonl");
    std::fs::write(&path, "\n\n").unwrap();
    refused(Dataset::from_jsonl(&path), &["empty.jsonl", "no rows"]);
    refused(
        Trainer::new(&tiny_model(1), TrainingArguments::default(), TokenizedDataset::default(), tiny_rows(2)),
        &["train_dataset", "no rows"],
    );
    refused(tiny_rows(1).train_test_split(0.1, 123), &["1 rows"]);
}

#[test]
fn unknown_model_name() {
    refused(AutoModelForCausalLM::from_pretrained("builtin:bsae"), &["`builtin:bsae`", "`builtin:base`"]);
    refused(AutoTokenizer::from_pretrained("no such model"), &["`no such model`", "owner/name"]);
    let folder = fresh_folder();
    refused(AutoModelForCausalLM::from_pretrained(&folder.display().to_string()), &["config.json is missing"]);
}

#[test]
fn checkpoint_cut_in_half() {
    let folder = fresh_folder();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("tiny-neox").join(name), folder.join(name)).unwrap();
    }
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    std::fs::write(folder.join("model.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
    refused(CausalLm::from_folder(&folder, &Device::Cpu), &["model.safetensors", "bytes", "not a whole"]);
    std::fs::write(folder.join("config.json"), "{\"model_type\": \"bert\"}").unwrap();
    refused(CausalLm::from_folder(&folder, &Device::Cpu), &["`bert`", "`gpt_neox`"]);
}

#[test]
fn max_length_zero() {
    let tokenizer = Tokenizer::from_folder(&fixture("neox-tokenizer")).unwrap();
    let example = Example::new([("text", "some text")]);
    refused(tokenize_with_length(&example, &tokenizer, 0), &["max_length is 0", "at least 1"]);
    refused(generate(&tiny_model(1), &[1, 2, 3], 0, 0, GenerationConfig::default()), &["3 tokens"]);
    refused(generate(&tiny_model(1), &[], 10, 0, GenerationConfig::default()), &["no tokens"]);
}

#[test]
fn arguments_that_cannot_work() {
    let refuse =
        |arguments: TrainingArguments, parts: &[&str]| refused(Trainer::new(&tiny_model(1), arguments, tiny_rows(4), tiny_rows(2)), parts);
    refuse(TrainingArguments { per_device_train_batch_size: 0, ..Default::default() }, &["per_device_train_batch_size is 0"]);
    refuse(TrainingArguments { learning_rate: f64::NAN, ..Default::default() }, &["learning_rate is NaN"]);
    refuse(TrainingArguments { max_steps: 0, ..Default::default() }, &["max_steps is 0"]);
    refuse(
        TrainingArguments { load_best_model_at_end: true, eval_steps: 3, save_steps: 4, ..Default::default() },
        &["save_steps 4", "eval_steps 3"],
    );
}

#[test]
fn nothing_is_overwritten() {
    let folder = fresh_folder();
    let arguments = TrainingArguments { output_dir: folder.clone(), save_steps: 1, max_steps: 1, disable_tqdm: true, ..Default::default() };
    let make = || Trainer::new(&tiny_model(1), arguments.clone(), tiny_rows(4), tiny_rows(2));
    make().unwrap().train().unwrap();
    let before = std::fs::read(folder.join("checkpoint-1/model.safetensors")).unwrap();
    refused(make(), &["already holds checkpoints"]);
    assert!(std::fs::read(folder.join("checkpoint-1/model.safetensors")).unwrap() == before);
    // A data set whose writing fails leaves the old file as it is.
    let path = folder.join("rows.jsonl");
    let data = Dataset::from_examples(vec![Example::new([("text", "a")])]);
    data.to_jsonl(&path).unwrap();
    refused(data.to_jsonl(folder.join("no/such/folder.jsonl")), &["no/such"]);
    assert_eq!(Dataset::from_jsonl(&path).unwrap(), data);
}

#[test]
fn a_loss_that_explodes_stops_the_run() {
    let arguments = TrainingArguments { learning_rate: 1e30, max_steps: 20, max_grad_norm: 0.0, disable_tqdm: true, ..Default::default() };
    let mut trainer = Trainer::new(&tiny_model(1), arguments, tiny_rows(8), TokenizedDataset::default()).unwrap();
    refused(trainer.train(), &["the loss is", "step"]);
}

#[test]
fn ids_of_another_tokenizer() {
    let row = Encoding { input_ids: vec![5, 96], attention_mask: vec![1, 1], labels: vec![5, 96], prompt_length: 0 };
    refused(
        Trainer::new(&tiny_model(1), TrainingArguments::default(), TokenizedDataset::from_rows(vec![row]), TokenizedDataset::default()),
        &["row 0", "96"],
    );
}

#[test]
fn weights_that_are_no_numbers() {
    let model = tiny_model(1);
    for (index, bad) in [(3, f32::NAN), (5, f32::INFINITY)] {
        let weight = &model.weights()[index].1;
        weight.update(|values| values[values.len() - 1] = bad).unwrap();
    }
    let names = [model.weights()[3].0.as_str(), model.weights()[5].0.as_str(), "2 of", "not all finite"];
    refused(Trainer::new(&model, TrainingArguments::default(), tiny_rows(4), TokenizedDataset::default()), &names);
    // The first step names the gradients when a weight breaks later.
    let model = tiny_model(1);
    let arguments = TrainingArguments { disable_tqdm: true, ..Default::default() };
    let mut trainer = Trainer::new(&model, arguments, tiny_rows(4), TokenizedDataset::default()).unwrap();
    model.weights()[1].1.update(|values| values[0] = f32::NAN).unwrap();
    refused(trainer.step(), &["step 1", "gradients that are not finite", model.weights()[1].0.as_str()]);
}

#[test]
fn a_row_longer_than_the_positions() {
    let long = crate::support::rows(&[vec![1; 10], vec![1; 66]]);
    let parts = ["row 1", "66 tokens", "64 positions", "max_length to 64"];
    refused(Trainer::new(&tiny_model(1), TrainingArguments::default(), long.clone(), TokenizedDataset::default()), &parts);
    refused(evaluate_loss(&tiny_model(1), &long, 1, false), &parts);
}

#[test]
fn what_a_model_cannot_read_is_refused_by_the_model() {
    let model = tiny_model(1);
    let long = [&["sequence 0", "65 tokens", "64 positions"][..], &["truncate"]].concat();
    let unknown = ["token id 96", "vocabulary of 96"];
    refused(model.forward(&[1; 65], 1, false), &long);
    refused(model.forward(&[1, 96], 1, false), &unknown);
    refused(model.forward(&[1; 5], 2, false), &["5 ids", "2 rows"]);
    let mut cache = Cache::new();
    model.forward_cached(&[1; 60], &mut cache).unwrap();
    refused(model.forward_cached(&[1; 5], &mut cache), &long);
    refused(model.forward_cached(&[96], &mut cache), &unknown);
    model.forward_cached(&[1; 4], &mut cache).unwrap();
    let losses = |inputs: &[u32], lengths: &[usize], ids: &[u32], weights: &[f32]| {
        let targets = Targets { labels: ids, weights, smoothing: 0.0 };
        let batch = TrainBatch { inputs, lengths, targets, checkpointing: false, noise: 0.0 };
        (model.losses(inputs, lengths, targets), model.backward(batch))
    };
    for (inputs, lengths, ids, weights, parts) in [
        (&[1; 70][..], &[5, 65][..], &[1; 70][..], &[1.0; 70][..], &["sequence 1", "65 tokens", "64 positions"][..]),
        (&[1, 96], &[2], &[1, 1], &[1.0; 2], &unknown),
        (&[1, 2], &[2], &[1, 96], &[1.0; 2], &["label 96", "vocabulary of 96"]),
        (&[1, 2], &[3], &[1, 1], &[1.0; 2], &["2 ids", "lengths of 3"]),
        (&[1, 2], &[2], &[1], &[1.0; 2], &["2 ids", "1 targets"]),
    ] {
        let (loss, gradient) = losses(inputs, lengths, ids, weights);
        refused(loss, parts);
        refused(gradient, parts);
    }
    // A label that does not count may be any number, on every backend.
    for backend in [Backend::fused(), Backend::composed()] {
        let model = model.with_backend(backend);
        let of = |label| model.losses(&[1, 2], &[2], Targets { labels: &[1, label], weights: &[1.0, 0.0], smoothing: 0.0 }).unwrap();
        assert_eq!(of(u32::MAX), of(3));
    }
}

#[test]
fn an_adapter_below_an_adapter_is_refused() {
    let folder = fresh_folder();
    let config = std::fs::read_to_string(fixture("lora/tiny-neox/adapter_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["base_model_name_or_path"] = folder.display().to_string().into();
    std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    refused(
        AutoModelForCausalLM::from_pretrained(&folder.display().to_string()),
        &["names", "an adapter itself", "base_model_name_or_path"],
    );
}

#[test]
fn a_tokenizer_file_is_a_name_of_it() {
    let file = fixture("neox-tokenizer/tokenizer.json");
    let tokenizer = AutoTokenizer::from_pretrained(&file.display().to_string()).unwrap();
    let folder = AutoTokenizer::from_pretrained(&fixture("neox-tokenizer").display().to_string()).unwrap();
    assert_eq!(tokenizer.encode("What is a model?").unwrap(), folder.encode("What is a model?").unwrap());
}

#[test]
fn a_batch_that_does_not_fit_in_memory() {
    use finetuning::train::check::{check_memory, needed_bytes};
    use finetuning::util::memory::available_memory;
    let config = NeoxConfig { max_position_embeddings: 64, ..NeoxConfig::new(96, 32, 96, 4) };
    let model = CausalLm::random(config, 1, None, &Device::Cpu).unwrap();
    let of_a_row = |checkpointing| needed_bytes(&model, 64, checkpointing, 0) - needed_bytes(&model, 0, checkpointing, 0);
    let row = of_a_row(false);
    let rows = tiny_rows_of(65, 2 * available_memory() / row);
    // Means need a micro-batch in one piece; by tokens it is cut, so any size fits.
    let arguments = |accumulation| TrainingArguments { accumulation, per_device_train_batch_size: rows.len(), ..Default::default() };
    let means = Trainer::new(&model, arguments(Accumulation::Means), rows.clone(), TokenizedDataset::default());
    refused(means, &["tokens needs at least", "GB more than the", "per_device_train_batch_size", "gradient_checkpointing"]);
    Trainer::new(&model, arguments(Accumulation::Tokens), rows.clone(), TokenizedDataset::default()).unwrap();
    refused(check_memory(3_000_000_000, 1_000_000_000, 7), &["of 7 tokens", "3.0 GB, 2.0 GB more than the 1.0 GB"]);
    check_memory(5, 5, 7).unwrap();
    assert!(of_a_row(true) < row / 10, "checkpointing saves memory");
}

fn tiny_rows_of(length: usize, count: usize) -> TokenizedDataset {
    let row = Encoding { input_ids: vec![1; length], attention_mask: vec![1; length], labels: vec![1; length], prompt_length: 0 };
    TokenizedDataset::from_rows(vec![row; count])
}

#[test]
fn numbers_at_the_end_of_their_types_are_no_fault() {
    let new = |arguments: TrainingArguments| {
        let suited = arguments.clone().suited(10, 2);
        let _ = (arguments.total_steps(10), arguments.steps_per_epoch(10), suited.rate_plan(suited.total_steps(10)));
        Trainer::new(
            &tiny_model(1),
            TrainingArguments { output_dir: fresh_folder(), disable_tqdm: true, ..arguments },
            tiny_rows(4),
            tiny_rows(2),
        )
    };
    let huge = usize::MAX / 2;
    for arguments in [
        TrainingArguments { per_device_train_batch_size: huge, gradient_accumulation_steps: 8, max_steps: 1, ..Default::default() },
        TrainingArguments { per_device_train_batch_size: huge, group_by_length: true, max_steps: 1, ..Default::default() },
        TrainingArguments { per_device_train_batch_size: huge, packing: true, max_steps: 1, ..Default::default() },
        TrainingArguments { logging_steps: usize::MAX, eval_steps: usize::MAX, save_steps: usize::MAX, max_steps: 1, ..Default::default() },
        TrainingArguments {
            lr_scheduler_type: Schedule::WarmupStableDecay,
            lr_scheduler_kwargs: SchedulerKwargs { num_decay_steps: Some(usize::MAX), ..Default::default() },
            max_steps: 3,
            ..Default::default()
        },
    ] {
        let mut trainer = new(arguments).unwrap();
        trainer.step().unwrap();
    }
    assert_eq!(new(TrainingArguments { num_train_epochs: 1e300, ..Default::default() }).unwrap().total_steps(), usize::MAX);
    refused(new(TrainingArguments { per_device_train_batch_size: 0, ..Default::default() }), &["per_device_train_batch_size is 0"]);
    // A run of any length whose rate is never above 0 is refused at once.
    refused(new(TrainingArguments { learning_rate: 0.0, max_steps: i64::MAX, ..Default::default() }), &["learning rate is 0 at each"]);
    refused(
        new(TrainingArguments { learning_rate: 5e-324, warmup_steps: huge, max_steps: i64::MAX, ..Default::default() }),
        &["learning rate is 0"],
    );
}

#[test]
fn a_rate_below_zero_is_no_rate() {
    let refuse = |kind, kwargs: SchedulerKwargs, parts: &[&str]| {
        let arguments = TrainingArguments { lr_scheduler_type: kind, lr_scheduler_kwargs: kwargs, ..Default::default() };
        refused(arguments.validate(), parts);
    };
    let none = SchedulerKwargs::default();
    refuse(Schedule::CosineWithMinLr, SchedulerKwargs { min_lr: Some(-1.0), ..none }, &["lr_scheduler_kwargs.min_lr is -1", "at least 0"]);
    refuse(Schedule::CosineWithMinLr, SchedulerKwargs { min_lr: Some(1.0), ..none }, &["min_lr is 1", "at most learning_rate"]);
    refuse(Schedule::CosineWithMinLr, SchedulerKwargs { min_lr_rate: Some(1.5), ..none }, &["min_lr_rate is 1.5"]);
    refuse(Schedule::Polynomial, SchedulerKwargs { lr_end: Some(-1e-5), ..none }, &["lr_end is -0.00001"]);
    refuse(Schedule::Polynomial, SchedulerKwargs { power: Some(f64::NAN), ..none }, &["power is NaN"]);
    refuse(Schedule::Cosine, SchedulerKwargs { num_cycles: Some(f64::INFINITY), ..none }, &["num_cycles is inf"]);
    refuse(Schedule::InverseSqrt, SchedulerKwargs { timescale: Some(0.0), ..none }, &["timescale is 0"]);
}

#[test]
fn an_output_folder_has_a_name() {
    let own = |save_steps, report_to: &[&str]| TrainingArguments {
        output_dir: "".into(),
        save_steps,
        report_to: report_to.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    refused(own(1, &[]).validate(), &["output_dir is empty", "the name of a folder"]);
    refused(own(0, &["tensorboard"]).validate(), &["output_dir is empty"]);
    own(0, &[]).validate().unwrap();
}

#[test]
fn more_arguments_that_cannot_work() {
    let refuse = |arguments: TrainingArguments, parts: &[&str]| refused(arguments.validate(), parts);
    refuse(TrainingArguments { bf16: true, fp16: true, ..Default::default() }, &["fp16 is true", "one format"]);
    refuse(TrainingArguments { adam_beta2: 1.0, ..Default::default() }, &["adam_beta2 is 1", "below 1"]);
    refuse(TrainingArguments { label_smoothing_factor: -0.1, ..Default::default() }, &["label_smoothing_factor is -0.1"]);
    refuse(TrainingArguments { warmup_ratio: f64::NAN, ..Default::default() }, &["warmup_ratio is NaN"]);
    refuse(TrainingArguments { report_to: vec!["wandb".into()], ..Default::default() }, &["report_to is `wandb`", "`tensorboard`"]);
    refuse(TrainingArguments { lr_scheduler_type: Schedule::CosineWithMinLr, ..Default::default() }, &["without min_lr or min_lr_rate"]);
    refuse(TrainingArguments { metric_for_best_model: "accuracy".into(), ..Default::default() }, &["metric_for_best_model is accuracy"]);
    refuse(
        TrainingArguments { group_by_length: true, train_sampling_strategy: SamplingStrategy::Sequential, ..Default::default() },
        &["group_by_length"],
    );
}
