//! Lesson 5. Training: a run of three steps by hand, what it costs, and a whole finetuning in three lines.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 5. Training
    //
    // - First, a training run by hand: configuration, data, arguments, three steps, save, reload.
    // - Then, what three steps change, and what many steps change.
    // - At the end, the whole finetuning again, in three lines.

    // %% [markdown]
    // ## The configuration
    //
    // - One value says which model, which data and how long a row may be.
    // - For a model from the hub write `EleutherAI/pythia-70m` and a `max_length` of 2048. For a data set
    //   from the hub set `use_hf` to true and give its name as `path`.

    // %%
    use finetuning::*;

    // %%
    let training_config: TrainingConfig = TrainingConfig {
        model: ModelConfig { pretrained_name: "builtin:base".into(), max_length: 512 },
        datasets: DatasetsConfig { use_hf: false, path: "builtin:lab_docs".into() },
        verbose: true,
    };
    println!("{training_config:#?}");

    // %% [markdown]
    // ## The data
    //
    // - `tokenize_and_split_data` does what lesson 4 did step by step: read, tokenize, split.
    // - Look at the printed sizes. The test rows are never trained on.

    // %%
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained(&training_config.model.pretrained_name)?;
    let (train_dataset, test_dataset): (TokenizedDataset, TokenizedDataset) =
        tokenize_and_split_data(&training_config, &tokenizer)?;
    println!("train: {train_dataset}");
    println!("test:  {test_dataset}");

    // %% [markdown]
    // The same split of the texts, so that you can read the rows. The permutation is the same one.

    // %%
    let (train_rows, test_rows): (Dataset, Dataset) =
        load_dataset(&training_config.datasets.path)?.train_test_split(0.1, 123)?;
    println!("train: {train_rows}");
    println!("test:  {test_rows}");

    // %% [markdown]
    // ## The device
    //
    // - `best_device` takes a GPU through CUDA if the crate was built for it and a GPU answers, else the CPU.
    // - `from_pretrained` loads the model onto that device.

    // %%
    let device: Device = best_device();
    let base_model: CausalLm = AutoModelForCausalLM::from_pretrained(&training_config.model.pretrained_name)?;
    println!("best device: {device:?}");
    println!("the model is on: {:?}", base_model.device());

    // %% [markdown]
    // ## The base model, before training
    //
    // - The question comes from the test rows.
    // - Read the answer of the model and the target answer. The model continues the text; it does not answer.

    // %%
    let test_question: String = test_rows.get(3)?.field("question")?.to_string();
    let target_answer: String = test_rows.get(3)?.field("answer")?.to_string();
    println!("question: {test_question}");
    println!("target:   {target_answer}\n");
    println!("base model: {}", inference(&test_question, &base_model, &tokenizer, 1000, 100)?);

    // %% [markdown]
    // ## The training arguments
    //
    // - `max_steps: 3` overrides the epochs; −1 would use them.
    // - One row at a time, and four rows before the weights change: `gradient_accumulation_steps: 4`.
    // - Adafactor uses less memory than AdamW. Here it works with the learning rate that you give.
    // - Evaluation and checkpoints come every 120 steps and after the last one, so this short run has one of each.

    // %%
    let output_dir: String = "scratch/lab_docs_3_steps".into();
    let step_settings: TrainingArguments = TrainingArguments {
        learning_rate: 1e-5,
        num_train_epochs: 1.0,
        max_steps: 3,
        per_device_train_batch_size: 1,
        gradient_accumulation_steps: 4,
        optim: Optim::Adafactor,
        lr_scheduler_type: Schedule::Linear,
        warmup_steps: 1,
        max_grad_norm: 1.0,
        ..Default::default()
    };

    // %% [markdown]
    // - The rest says where, when and how often to log, to evaluate and to save.
    // - The best checkpoint is the one with the smallest `eval_loss`.

    // %%
    let training_args: TrainingArguments = TrainingArguments {
        output_dir: output_dir.clone().into(),
        overwrite_output_dir: true,
        disable_tqdm: false,
        logging_steps: 1,
        eval_steps: 120,
        per_device_eval_batch_size: 1,
        save_steps: 120,
        save_total_limit: 1,
        gradient_checkpointing: false,
        load_best_model_at_end: true,
        metric_for_best_model: "eval_loss".into(),
        greater_is_better: false,
        ..step_settings.clone()
    };

    // %% [markdown]
    // `validate` refuses arguments that contradict each other and names the field to change.

    // %%
    training_args.validate()?;
    println!("{training_args:#?}");

    // %% [markdown]
    // ## The model
    //
    // - Printed as PyTorch prints it: embedding, layers with attention and feed-forward part, output.
    // - Compare `in_features` and `out_features` with `hidden_size`.

    // %%
    println!("{base_model}");
    println!("{} parameters", base_model.parameter_count());

    // %% [markdown]
    // ## The memory footprint
    //
    // - Each parameter is a number of four bytes.
    // - The transformers library also counts buffers that are no parameters: the causal mask of each layer
    //   and, in later versions, tables of rotary angles. So it reports more, and a different number by
    //   version.

    // %%
    {
        let [older, later] = base_model.transformers_memory_footprint();
        println!("parameters alone:      {:.6} GB", base_model.memory_footprint() as f64 / 1e9);
        println!("transformers, older:   {:.6} GB", older as f64 / 1e9);
        println!("transformers, later:   {:.6} GB", later as f64 / 1e9);
    }

    // %% [markdown]
    // ## The floating point operations, counted in two ways
    //
    // - Both ways use one formula: 6 · tokens · parameters without the input embedding.
    // - The trainer counts the tokens that are really there.
    // - The meter of the Python course charges a full row of `max_length` tokens for every row.
    // - Our rows are much shorter than that, so the meter says much more.

    // %%
    let rows_per_step: usize =
        training_args.per_device_train_batch_size * training_args.gradient_accumulation_steps;
    let mean_tokens: usize = train_dataset.tokens() / train_dataset.len();
    let full_row: usize = training_config.model.max_length;
    let counted: f64 = base_model.floating_point_ops(mean_tokens * rows_per_step);
    let metered: f64 = base_model.floating_point_ops(full_row * rows_per_step);
    println!("tokens in a row: {mean_tokens} on average, {full_row} for the meter");
    println!("a step of {rows_per_step} rows, tokens that are there: {:.3} GFLOPs", counted / 1e9);
    println!("a step of {rows_per_step} rows, full rows:             {:.3} GFLOPs", metered / 1e9);

    // %% [markdown]
    // The same counts for a model of the shape of `pythia-70m`, with random weights and no download.
    //
    // - The Python course prints 0.30687256 GB or 0.3084454 GB and 2195.667812352 GFLOPs a step.
    // - Its trainer logs 262933364736 operations for the 981 tokens of three steps. Compare the cell's
    //   output.

    // %%
    {
        let shape: NeoxConfig = NeoxConfig::new(50_304, 512, 6, 8);
        let pythia: CausalLm = CausalLm::random(shape, 0, None, &Device::Cpu)?;
        let [older, later] = pythia.transformers_memory_footprint();
        println!("{} parameters", pythia.parameter_count());
        println!("{} GB or {} GB", older as f64 / 1e9, later as f64 / 1e9);
        println!("full rows, one step: {} GFLOPs", pythia.floating_point_ops(4 * 2048) / 1e9);
        println!("981 tokens: {} operations", pythia.floating_point_ops(981));
    }

    // %% [markdown]
    // ## The trainer
    //
    // - It checks arguments and rows before anything is computed.
    // - It shares the weights with `base_model`: training changes that variable too.
    // - It has a cell of its own: a cell that fails or is interrupted loses the variables that it defines.

    // %%
    let mut trainer: Trainer =
        Trainer::new(&base_model, training_args.clone(), train_dataset.clone(), test_dataset.clone())?;
    println!("{} steps", trainer.total_steps());

    // %% [markdown]
    // ## Three steps
    //
    // If you interrupt `train`, run its cell again: it goes on after the last step.

    // %%
    let output: TrainOutput = trainer.train()?;
    println!("{output}");

    // %% [markdown]
    // - The loss is the mean over the tokens of a step. Four rows differ from the next four, so it goes up
    //   and down.
    // - The learning rate is the one after the step. With one step of warm-up the first update had the rate
    //   0.

    // %%
    for step in trainer.history() {
        println!(
            "step {}: loss {:.4}, learning rate {:.1e}, gradient norm {:.2}, {} tokens",
            step.step, step.loss, step.learning_rate, step.grad_norm, step.tokens,
        );
    }
    println!("counted: {:.3} GFLOPs", output.total_flos / 1e9);
    println!("metered: {:.3} GFLOPs", metered * output.global_step as f64 / 1e9);

    // %% [markdown]
    // The loss on the test rows. Perplexity is e to the power of the loss.

    // %%
    let evaluation: EvalReport = trainer.evaluate()?;
    println!("eval loss {:.4}, perplexity {:.1}", evaluation.loss, evaluation.perplexity());

    // %% [markdown]
    // ## Save
    //
    // The folder `final` holds configuration, weights and tokenizer, in files that transformers opens too.

    // %%
    let save_dir: String = format!("{output_dir}/final");
    trainer.save_model(&save_dir)?;
    if let Ok(entries) = std::fs::read_dir(&save_dir) {
        for entry in entries.flatten() {
            println!("{}: {} bytes", entry.path().display(), entry.metadata().map_or(0, |data| data.len()));
        }
    }

    // %% [markdown]
    // ## Reload from disk only
    //
    // A name that is a folder with a checkpoint is read from that folder; no network is asked.

    // %%
    let slightly_trained: CausalLm = AutoModelForCausalLM::from_pretrained(&save_dir)?;
    let slightly_trained_tokenizer: Tokenizer = AutoTokenizer::from_pretrained(&save_dir)?;
    println!("loaded {} parameters from {save_dir}", slightly_trained.parameter_count());

    // %% [markdown]
    // ## Slightly trained
    //
    // Compare with the answer of the base model above. Three steps with a small learning rate change little.

    // %%
    let slightly: String =
        inference(&test_question, &slightly_trained, &slightly_trained_tokenizer, 1000, 100)?;
    println!("question: {test_question}");
    println!("target:   {target_answer}\n");
    println!("after 3 steps: {slightly}");

    // %% [markdown]
    // ## Trained for longer
    //
    // `builtin:tuned` is the same base model after many steps on the same training rows.

    // %%
    let tuned_model: CausalLm = AutoModelForCausalLM::from_pretrained("builtin:tuned")?;
    println!("target: {target_answer}\n");
    println!("tuned:  {}", inference(&test_question, &tuned_model, &tokenizer, 1000, 100)?);

    // %% [markdown]
    // ## A larger model, trained for longer
    //
    // `builtin:large` has more parameters and was trained on the same rows. It comes with its own tokenizer
    // files.

    // %%
    let large_model: CausalLm = AutoModelForCausalLM::from_pretrained("builtin:large")?;
    let large_tokenizer: Tokenizer = AutoTokenizer::from_pretrained("builtin:large")?;
    println!("{} parameters, tuned has {}\n", large_model.parameter_count(), tuned_model.parameter_count());
    println!("target: {target_answer}\n");
    println!("large:  {}", inference(&test_question, &large_model, &large_tokenizer, 1000, 100)?);

    // %% [markdown]
    // ## Moderation by data
    //
    // - A finetuned model can learn to stay with its subject.
    // - Some training rows ask about something else. Their answer leads back. Count them and read some of
    //   their questions.

    // %%
    let off_topic: Dataset = train_rows.containing("answer", "keep the discussion relevant to");
    for (index, row) in off_topic.head(20).iter().enumerate() {
        println!("{index}: {}", row.field("question")?);
    }
    for row in off_topic.head(1).iter() {
        println!("\nanswer: {}", row.field("answer")?);
    }
    println!("{} of {} training rows", off_topic.len(), train_rows.len());

    // %% [markdown]
    // ## Ask about Mars
    //
    // - `base_model` was changed by the three steps, so the base model is loaded again.
    // - Look at what the base model says and at what the finetuned model says.

    // %%
    let fresh_base_model: CausalLm = AutoModelForCausalLM::from_pretrained("builtin:base")?;
    let mars: String = "What do you think of Mars?".into();
    println!("base:\n{}\n", inference(&mars, &fresh_base_model, &tokenizer, 1000, 100)?);
    println!("finetuned:\n{}", inference(&mars, &tuned_model, &tokenizer, 1000, 100)?);

    // %% [markdown]
    // ## Finetune in three lines
    //
    // - Load the data, train, evaluate: all the steps above, behind one value.
    // - The model and its data come first, in a cell of their own.

    // %%
    let mut runner: BasicModelRunner = BasicModelRunner::new("builtin:base")?;
    runner.load_data_from_jsonlines("builtin:lab_docs", "question", "answer")?;

    // %% [markdown]
    // - `runner.train(true)?` would do, and write its folder beside this notebook. `train_with` takes your
    //   own arguments; these are the same ones, with a folder under `scratch`.
    // - `completion_only_loss: true` counts the loss of the answers alone. The three steps above, like the
    //   Python course, learned the questions too.
    // - Watch the curve. The line above it says how many seconds are left. An interrupt keeps what was
    //   learned: run the cell again, and it goes on.
    // - `true` makes the model public: its card says so. With `false` only you can read its folder. Nothing is
    //   uploaded; `push_to_hub` does that.

    // %%
    let runner_args: TrainingArguments = TrainingArguments {
        output_dir: "scratch/lab_docs_finetuned".into(),
        overwrite_output_dir: true,
        num_train_epochs: 6.0,
        learning_rate: 1.5e-3,
        warmup_steps: 20,
        group_by_length: true,
        completion_only_loss: true,
        ..Default::default()
    };
    let job: TrainingJob = runner.train_with(true, runner_args)?;

    // %% [markdown]
    // Training returns a model id, a dashboard (the loss curve as a page) and a playground: the command that
    // opens a page where the base model and yours answer side by side while they write. In a cell,
    // `let page: Server = runner.playground()?;` opens it, and `page` as a last line shows its address. Use the
    // model id as a name:

    // %%
    println!("model id:   {}", job.model_id);
    println!("dashboard:  {}", job.dashboard);
    println!("playground: {}\n", job.playground);
    println!("{}", BasicModelRunner::new(&job.model_id)?.ask(&mars)?);

    // %% [markdown]
    // `evaluate` asks the trained model and the base model all test questions and shows ten of them side by
    // side. The last lines give the scores of both.

    // %%
    let comparison: Comparison = runner.evaluate()?;
    show(&comparison);

    // %% [markdown]
    // ## Predict a number
    //
    // How many steps has one epoch with the arguments of this lesson, one row at a time and four rows a step?
    // Write your number in place of the 0 and run the cell. The number of training rows is printed above.

    // %%
    let my_prediction: usize = 0;
    {
        let one_epoch = TrainingArguments { max_steps: -1, ..training_args.clone() };
        let counter = Trainer::new(&base_model, one_epoch, train_dataset.clone(), test_dataset.clone())?;
        match my_prediction == counter.total_steps() {
            true => println!("right: {my_prediction} steps"),
            false => println!("not {my_prediction}: training rows / rows of a step, rounded up"),
        }
    }

    // %% [markdown]
    // ## Exercises
    //
    // 1. Predict the number of steps in the cell above. Then predict it for a batch size of 16 and no
    //    accumulation.
    // 2. Train by hand with `max_steps: 30` and `learning_rate: 1e-3`. Load the base model again before. How
    //    does the answer to the test question change?
    // 3. Ask the finetuned model three questions that are off topic and in no training row. How many does it
    //    lead back?

    Ok(())
}
