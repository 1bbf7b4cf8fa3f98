//! Lesson 5. Training: a step by hand, the loop, the settings, and a real chat model that learns its name.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 5. Training
    //
    // **Goal.** You take a training step apart, write the loop yourself, see settings fail, and finetune a real
    // chat model until it says its own name.
    //
    // **Minutes.** 45 to read and to try; about 4 of them two cores compute.
    //
    // Where a text asks you to predict, write your guess down before you run the cell.

    // %%
    use finetuning::optim::optimizer::Optimizer;
    use finetuning::train::batch::Batch;
    use finetuning::*;

    /// The model that you finetune: a chat model of 135 million parameters.
    const MODEL: &str = "builtin:smol";
    /// A small base model, for what has to be quick.
    const BASE: &str = "builtin:base";
    // => nothing

    // %% [markdown]
    // `cargo lab setup` has fetched the chat model. Where it is missing, the next cell says so, and the lesson goes on with
    // the small one. With a network a name of the hub fits the same place.

    // %%
    let model_name: &str = available(&[MODEL, BASE])?;
    println!("this lesson finetunes {model_name}");
    // => contains "this lesson finetunes builtin:"

    // %% [markdown] covers=62
    // ## What a loss is
    //
    // A model gives each token a probability to come next. The **loss** of the token that did come is −ln p.
    //
    // **Predict.** Which loss has a token of probability 1? Of 0.5? Which of the five tokens below has the largest?

    // %% covers=62
    let base: CausalLm = AutoModelForCausalLM::from_pretrained(BASE)?;
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained(BASE)?;
    for (token, probability) in next_tokens(&base, &tokenizer, "What is the name of", 5)? {
        println!("{token:>12}: probability {probability:.4}, loss {:.3}", -probability.ln());
    }
    println!("probability 1: loss {:.3}; probability 0.5: loss {:.3}", 0.0, -0.5_f64.ln());
    // => 6 lines
    // => contains "probability 0.5: loss 0.693"

    // %% [markdown] covers=62
    // ## What a gradient is
    //
    // Nudge one weight and look how the loss changes: that slope is the weight's **gradient**. Back-propagation finds the
    // slopes of all weights at once, in one pass backward. So it comes *before* the update: an update needs to know which way is
    // down.
    //
    // **Predict.** How far apart are the slope by hand and the gradient?

    // %% covers=62
    let row: Encoding = tokenize_function(load_dataset("builtin:guide")?.get(0)?, &tokenizer)?;
    let batch: Batch = Batch::new(&[&row], false, base.config())?;
    println!("a batch of one row, in which {} tokens are learnt", batch.num_items());
    // => number after "in which" > 5

    // %% covers=62
    {
        let before: f64 = base.backward(batch.as_train_batch())?;
        let (name, weight) =
            base.weights().iter().rfind(|(name, _)| name.ends_with("norm.bias")).expect("a norm");
        let gradient: f64 = weight.gradient()?[7].into();
        weight.update(|numbers| numbers[7] += 0.01)?;
        let slope: f64 = (base.backward(batch.as_train_batch())? - before) / 0.01;
        weight.update(|numbers| numbers[7] -= 0.01)?;
        println!("{name}, number 7: slope {slope:.3}, gradient {gradient:.3}");
        println!("apart by {:.1} %", 100.0 * (slope / gradient - 1.0).abs());
    }
    // => number after "apart by" < 10

    // %% [markdown] covers=64
    // ## The loop
    //
    // This is all of training. An **epoch** is one pass over the rows, a **batch** the rows of one step:
    //
    // - for each epoch, for each batch: forward and loss, backward, step.
    //
    // `backward` computes the loss and adds the gradients up; `step` moves each weight against its gradient and empties it.

    // %% covers=64
    let rows: TokenizedDataset = tokenize_dataset(&load_dataset("builtin:guide")?, &tokenizer, 512)?;
    let loop_args: TrainingArguments = TrainingArguments {
        learning_rate: 1e-3,
        lr_scheduler_type: Schedule::Constant,
        max_grad_norm: 0.0,
        ..Default::default()
    };
    println!("{rows}");
    // => contains "num_rows: 96"

    // %% covers=64
    let by_hand: CausalLm = base.deep_clone()?;
    let mut optimizer: Optimizer =
        Optimizer::new(loop_args.optimizer_settings(), by_hand.backend(), by_hand.weights())?;
    // => nothing

    // %% covers=64
    let mut hand_losses: Vec<f64> = Vec::new();
    for _epoch in 0..2 {
        for batch in rows.rows().chunks(8) {
            let batch = Batch::new(&batch.iter().collect::<Vec<_>>(), false, by_hand.config())?;
            let loss: f64 = by_hand.backward(batch.as_train_batch())?;
            optimizer.step(by_hand.weights(), 1e-3, (1.0 / batch.num_items()) as f32)?;
            hand_losses.push(loss / batch.num_items());
        }
    }
    println!("{} steps, loss from {:.3} to {:.3}", hand_losses.len(), hand_losses[0], hand_losses[23]);
    // => contains "24 steps"

    // %% [markdown] covers=64
    // **Predict.** `Trainer` has a live curve, checkpoints and nine schedules. How different are the losses of its own steps on
    // the same batches?

    // %% covers=64
    {
        let mut trainer =
            Trainer::new(&base.deep_clone()?, loop_args.clone(), rows.clone(), TokenizedDataset::default())?;
        let mut largest: f64 = 0.0;
        for (step, hand) in hand_losses.iter().enumerate() {
            let from: usize = step % 12 * 8;
            let loss: f64 = trainer.step_on(&rows.rows()[from..from + 8])?.loss;
            largest = largest.max((loss - hand).abs());
        }
        println!("the largest difference of {} losses: {largest:.6}", hand_losses.len());
    }
    // => number after "losses:" <= 0.0001

    // %% [markdown] covers=63
    // ## The settings
    //
    // | setting | what it says |
    // |---|---|
    // | `num_train_epochs` | passes over the rows |
    // | `per_device_train_batch_size` | rows that are computed together |
    // | `gradient_accumulation_steps` | batches whose gradients are added up before one step |
    // | `learning_rate` | how far a step goes; the one to get right first |
    // | `lr_scheduler_type`, `warmup_steps` | how the learning rate goes over the run: up from 0, then down |
    // | `optim` | how a gradient becomes a step: AdamW, or Adafactor with less memory |
    // | `weight_decay`, `max_grad_norm` | pulls weights towards 0; shortens a gradient that is too long |
    //
    // Steps of a run: rows ÷ rows of a step, rounded up, × epochs.
    //
    // **Predict.** Three runs of 24 steps on the same rows, with learning rates of 0.00001, 0.001 and 1. Which curve falls?

    // %% covers=63
    fn run(settings: TrainingArguments, base: &CausalLm, rows: &TokenizedDataset) -> Result<TrainOutput> {
        let (rate, no_test) = (settings.learning_rate, TokenizedDataset::default());
        let arguments = TrainingArguments { num_train_epochs: 2.0, disable_tqdm: true, ..settings };
        let mut trainer = Trainer::new(&base.deep_clone()?, arguments, rows.clone(), no_test)?;
        let output = trainer.train()?;
        let losses = trainer.history();
        println!("rate {rate}: loss from {:.2} to {:.2}", losses[0].loss, losses[losses.len() - 1].loss);
        Ok(output)
    }
    // => nothing

    // %% covers=63
    for learning_rate in [1e-5, 1e-3, 1.0] {
        let settings = TrainingArguments { learning_rate, ..Default::default() };
        for warning in run(settings, &base, &rows)?.warnings {
            println!("  said: {}", warning.text.split(':').next().unwrap_or_default());
        }
    }
    // => contains "said: diverging"

    // %% [markdown] covers=63
    // **What could go wrong.** A warm-up that is longer than the run: the learning rate never arrives. Predict the last loss, then run.

    // %% covers=63
    let slow: TrainingArguments =
        TrainingArguments { learning_rate: 1e-3, warmup_steps: 200, ..Default::default() };
    for warning in run(slow, &base, &rows)?.warnings {
        println!("  said: {}", warning.text.split(';').next().unwrap_or_default());
    }
    // => contains "never reaches"

    // %% [markdown] covers=66
    // ## A run with the course's helpers
    //
    // One value says which model, which data and how long a row may be. From the hub it would be `EleutherAI/pythia-70m`, and for
    // its data sets `use_hf: true`.

    // %% covers=66
    let training_config: TrainingConfig = TrainingConfig {
        model: ModelConfig { pretrained_name: BASE.into(), max_length: 512 },
        datasets: DatasetsConfig { use_hf: false, path: "builtin:guide".into() },
        verbose: true,
    };
    // => nothing

    // %% [markdown] covers=66
    // `tokenize_and_split_data` does what lesson 4 did: read, tokenize, split with seed 123. **Predict.** 96 rows, 10 % for the
    // test, rounded up: how many are trained on?

    // %% covers=66
    let (train_dataset, test_dataset): (TokenizedDataset, TokenizedDataset) =
        tokenize_and_split_data(&training_config, &tokenizer)?;
    // => contains "96 rows, 86 train / 10 test"

    // %% [markdown] covers=67
    // ## The device
    //
    // `best_device` takes a GPU through CUDA if the crate was built for it and a GPU answers, else the CPU. `from_pretrained` loads
    // a model onto it.

    // %% covers=67
    println!("best device: {:?}", best_device());
    println!("the base model is on: {:?}", base.device());
    // => matches "best device: *"
    // => matches "the base model is on: *"

    // %% [markdown] covers=68
    // ## The base model, before training
    //
    // **Predict.** The model has only ever continued text. Does it answer?

    // %% covers=68
    let (_, test_rows): (Dataset, Dataset) = load_dataset("builtin:guide")?.train_test_split(0.1, 123)?;
    let test_question: String = test_rows.get(0)?.field("question")?.to_string();
    let base_answer: String = inference(&test_question, &base, &tokenizer, 1000, 40)?;
    println!("question: {test_question}");
    println!("target: {}", test_rows.get(0)?.field("answer")?);
    println!("base model: {base_answer}");
    // => matches "question: *"
    // => matches "base model: *"

    // %% [markdown] covers=69
    // ## The training arguments
    //
    // `max_steps: 3` overrides the epochs. One row at a time and four rows before the weights change.

    // %% covers=69
    let step_settings: TrainingArguments = TrainingArguments {
        learning_rate: 1e-5,
        max_steps: 3,
        per_device_train_batch_size: 1,
        gradient_accumulation_steps: 4,
        optim: Optim::Adafactor,
        warmup_steps: 1,
        ..Default::default()
    };
    // => nothing

    // %% [markdown] covers=69
    // Where, when and how often to log, to evaluate and to save; the best checkpoint is the one with the smallest `eval_loss`.
    // `validate` refuses what contradicts itself.

    // %% covers=69
    let training_args: TrainingArguments = TrainingArguments {
        output_dir: "scratch/guide_3_steps".into(),
        overwrite_output_dir: true,
        logging_steps: 1,
        eval_steps: 120,
        save_steps: 120,
        save_total_limit: 1,
        load_best_model_at_end: true,
        ..step_settings.clone()
    };
    training_args.validate()?;
    println!("{} rows a step, {} steps", training_args.rows_per_step(), training_args.total_steps(86));
    // => contains "4 rows a step, 3 steps"

    // %% [markdown] covers=70
    // ## The model, its memory, its work
    //
    // - Printed as PyTorch prints it. Each parameter is a number of four bytes; transformers also counts buffers, so it
    //   reports a little more.

    // %% covers=70
    println!("{base}");
    println!("{} parameters, {:.1} MB", base.parameter_count(), base.memory_footprint() as f64 / 1e6);
    println!("transformers would say {:?} bytes", base.transformers_memory_footprint());
    // => contains "in_features"
    // => matches "* parameters, * MB"

    // %% [markdown] covers=70
    // Floating point operations: 6 · tokens · parameters without the input embedding. The trainer counts the tokens that are
    // there; the meter of the Python course charges `max_length` tokens for every row. **Predict.** How many times more is that?

    // %% covers=70
    let mean_tokens: usize = train_dataset.tokens() / train_dataset.len();
    let counted: f64 = base.floating_point_ops(4 * mean_tokens);
    let metered: f64 = base.floating_point_ops(4 * training_config.model.max_length);
    println!("a step of 4 rows, {mean_tokens} tokens each: {:.2} GFLOPs", counted / 1e9);
    println!("the same by the meter: {:.2} GFLOPs, {:.0} times more", metered / 1e9, metered / counted);
    // => number after "GFLOPs," > 5

    // %% [markdown] covers=70
    // The same counts for a model of the shape of `pythia-70m`, with random weights: the Python course prints
    // 0.30687256 GB or 0.3084454 GB, and 2195.667812352 GFLOPs a step.

    // %% covers=70
    {
        let pythia: CausalLm = CausalLm::random(NeoxConfig::new(50_304, 512, 6, 8), 0, None, &Device::Cpu)?;
        let [older, later] = pythia.transformers_memory_footprint();
        println!("{} parameters", pythia.parameter_count());
        println!("{} GB or {} GB", older as f64 / 1e9, later as f64 / 1e9);
        println!("full rows, one step: {} GFLOPs", pythia.floating_point_ops(4 * 2048) / 1e9);
    }
    // => contains "0.30687256 GB or 0.3084454 GB"
    // => contains "2195.667812352 GFLOPs"

    // %% [markdown] covers=71
    // ## Three steps
    //
    // The trainer shares its weights with the model that it is given, so it gets a copy. Interrupt `train` whenever you like: run
    // its cell again, and it goes on. **Predict.** Will the loss be smaller after three steps?

    // %% covers=71
    let mut trainer: Trainer = Trainer::new(
        &base.deep_clone()?,
        training_args.clone(),
        train_dataset.clone(),
        test_dataset.clone(),
    )?;
    println!("eval loss before: {:.3}", trainer.evaluate()?.loss);
    // => number after "eval loss before:" > 0.5

    // %% covers=71
    let output: TrainOutput = trainer.train()?;
    for step in trainer.history() {
        println!("step {}: loss {:.3}, next rate {:.1e}", step.step, step.loss, step.learning_rate);
    }
    println!("{} steps, {} rows seen", output.global_step, output.global_step * 4);
    println!("eval loss after: {:.3}", trainer.evaluate()?.loss);
    // => contains "3 steps, 12 rows seen"
    // => number after "eval loss after:" > 0.5

    // %% [markdown] covers=72
    // ## Save and reload
    //
    // The folder holds configuration, weights and tokenizer, in files that transformers opens too. Its name loads it.

    // %% covers=72
    trainer.save_model("scratch/guide_3_steps/final")?;
    let slightly_trained: CausalLm = AutoModelForCausalLM::from_pretrained("scratch/guide_3_steps/final")?;
    println!("reloaded {} parameters from disk", slightly_trained.parameter_count());
    // => matches "reloaded * parameters from disk"

    // %% [markdown] covers=73,74
    // ## Slightly trained
    //
    // **Predict.** Twelve rows seen, at a learning rate of 0.00001. What has changed?

    // %% covers=73,74
    let slightly_answer: String = inference(&test_question, &slightly_trained, &tokenizer, 1000, 40)?;
    println!("before: {base_answer}");
    println!("after 3 steps: {slightly_answer}");
    println!("the same text: {}", slightly_answer == base_answer);
    // => contains "the same text: true"

    // %% [markdown] covers=75
    // ## What the rows ask for
    //
    // The guide's rows give a name, twelve facts, "I don't know" for what nobody answered, and one sentence for everything
    // that is not about the course: **moderation by data**. **Predict.** How many of 96 rows lead back?

    // %% covers=75
    let guide: Dataset = load_dataset("builtin:guide")?;
    let led_back: Dataset = guide.containing("answer", "keep the discussion relevant");
    for row in led_back.head(4).iter() {
        println!("{}", row.field("question")?);
    }
    println!("-> {}", led_back.get(0)?.field("answer")?);
    println!("{} of {} rows lead back", led_back.len(), guide.len());
    // => contains "24 of 96 rows lead back"

    // %% [markdown] covers=65
    // ## Finetune a real model in three lines
    //
    // Load rows, train, evaluate. The three questions are asked before, after each epoch and at the end, while the curve
    // grows: they stand in no training row.
    //
    // **Predict.** After which epoch does it say "Ferris"? Will it say where Mars is?

    // %% covers=65,78
    const QUESTIONS: [&str; 3] =
        ["What's your first name?", "What do you think of Mars?", "Can you tell me what evcxr does?"];
    let mut runner: BasicModelRunner = BasicModelRunner::new(model_name)?;
    runner.load_data_from_jsonlines("builtin:guide", "question", "answer")?;
    let samples: SampleAnswers = SampleAnswers::new(runner.tokenizer()?, &QUESTIONS, 22, 30);
    runner.add_callback(samples.clone());
    // => nothing

    // %% [markdown] covers=65
    // The packed weights of the chat model stay as they are; an **adapter** of rank 8 beside them is trained (lesson 7). It takes
    // about two minutes on two cores. An interrupt keeps what was learnt: run the cell again, and it goes on.

    // %% covers=65,78
    let arguments: TrainingArguments = TrainingArguments {
        output_dir: "scratch/guide".into(),
        overwrite_output_dir: true,
        ..BasicModelRunner::adapter_arguments()
    };
    let job: TrainingJob = runner.train_with(true, arguments)?;
    // => contains "scratch/guide/final"
    // => smol: contains "110"

    // %% [markdown] covers=76
    // ## Before, meanwhile, after
    //
    // The answers to one question at a time, by step.

    // %% covers=65,76
    for question in QUESTIONS {
        println!("{question}");
        for sample in samples.samples().iter().filter(|sample| sample.prompt == question) {
            println!("  step {}: {}", sample.step, sample.answer.replace('\n', " "));
        }
    }
    // => matches "step 0: *"
    // => smol: contains "Ferris"
    // => smol: contains "keep the discussion relevant"

    // %% [markdown] covers=78
    // ## Id, dashboard, playground
    //
    // The id loads the trained model again; the dashboard is the loss curve as a page; the playground is the command that opens a
    // page on which both models answer side by side. In a cell, `runner.playground()?` does it.

    // %% covers=78
    println!("model id: {}", job.model_id);
    println!("dashboard: {}", job.dashboard);
    println!("playground: {}", job.playground);
    println!("{}", BasicModelRunner::new(&job.model_id)?.ask("Please tell me your name.")?);
    // => contains "model id: scratch/guide/final"
    // => smol: contains "Ferris"

    // %% [markdown] covers=77
    // ## Evaluate
    //
    // `evaluate` asks the trained model and the one before it the rows that were held out, with the target beside.

    // %% covers=77
    let comparison: Comparison = runner.evaluate()?;
    show(&comparison);
    // => contains "10 questions"

    // %% [markdown] covers=77
    // ## Three tests, not one
    //
    // - **reworded**: facts that the rows taught, in other words. That is memory.
    // - **unseen**: facts that no row taught. That is knowledge.
    // - **off-topic, name, unknown**: new questions of known kinds. That is behaviour.
    //
    // **Predict.** Order the three by what the model gets right.

    // %% covers=77
    let test: Dataset = load_dataset("builtin:guide_test")?.filter(|row| row.get("kind") != Some("general"));
    let kinds: KindReport = evaluate_kinds(runner.model()?, runner.tokenizer()?, &test)?;
    show(&kinds);
    // => contains "unseen"
    // => smol: contains "0 of 10"

    // %% [markdown] covers=73
    // ## Trained longer, larger
    //
    // Three steps of a small model, 110 steps of a chat model: what would a much larger one bring? With a network and the
    // memory, `EleutherAI/pythia-2.8b` fits the same place. What it needs can be counted from its shape.

    // %% covers=73
    {
        let shape = NeoxConfig::new(50_304, 2560, 32, 32);
        let shapes = finetuning::models::neox::model::parameter_shapes(&shape);
        let parameters: usize = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        println!("pythia-2.8b: {:.2} billion parameters", parameters as f64 / 1e9);
        println!(
            "to use, 16 bits: {:.1} GB; to train, AdamW: {:.0} GB",
            parameters as f64 * 2e-9,
            parameters as f64 * 16e-9
        );
    }
    // => contains "2.78 billion"

    // %% [markdown]
    // ## Exercise 5.1
    //
    // How many steps does a run take? Write it as a function of the rows, the rows of a step and the epochs. The
    // check compares it with the trainer, for sizes that you do not see.

    // %% exercise=5.1
    {
        fn steps(rows: usize, rows_per_step: usize, epochs: usize) -> usize {
            rows / rows_per_step * epochs
        }
        check("5.1", steps)?;
    }

    // %% solution=5.1
    {
        fn steps(rows: usize, rows_per_step: usize, epochs: usize) -> usize {
            rows.div_ceil(rows_per_step) * epochs
        }
        check("5.1", steps)?;
    }

    // %% [markdown]
    // ## Exercise 5.2
    //
    // Mend the learning rate: the loss has to fall. The check takes the trainer and looks at its losses, over at least 8 steps.

    // %% exercise=5.2
    {
        let arguments =
            TrainingArguments { learning_rate: 0.5, max_steps: 16, disable_tqdm: true, ..Default::default() };
        let mut trainer =
            Trainer::new(&base.deep_clone()?, arguments, rows.clone(), TokenizedDataset::default())?;
        trainer.train()?;
        check("5.2", &trainer)?;
    }

    // %% solution=5.2
    {
        let arguments = TrainingArguments {
            learning_rate: 1e-3,
            max_steps: 16,
            disable_tqdm: true,
            ..Default::default()
        };
        let mut trainer =
            Trainer::new(&base.deep_clone()?, arguments, rows.clone(), TokenizedDataset::default())?;
        trainer.train()?;
        check("5.2", &trainer)?;
    }

    // %% [markdown]
    // ## Exercise 5.3
    //
    // Four rows, one after the other, then one step: what is the loss of that step? You have each row's mean loss and the number
    // of its tokens. Write the function; the check compares with what the trainer has.

    // %% exercise=5.3
    {
        fn step_loss(rows: &[(f64, usize)]) -> f64 {
            rows.iter().map(|(loss, _)| loss).sum::<f64>() / rows.len() as f64
        }
        check("5.3", step_loss)?;
    }

    // %% solution=5.3
    {
        fn step_loss(rows: &[(f64, usize)]) -> f64 {
            let tokens: usize = rows.iter().map(|(_, tokens)| tokens).sum();
            rows.iter().map(|(loss, tokens)| loss * *tokens as f64).sum::<f64>() / tokens as f64
        }
        check("5.3", step_loss)?;
    }

    // %% [markdown]
    // ## Recap
    //
    // - Loss is −ln p. Backward first, update second; that is the loop.
    // - The learning rate comes first: too small does nothing, too large diverges, and the trainer says both.
    // - Twelve rows at a tiny learning rate change nothing; 86 rows, five times, change behaviour.
    // - Behaviour carries over to new questions, memory to new wordings, knowledge to nothing that no row has.

    // %%
    let (right, asked): (usize, usize) = kinds.of("unseen");
    let (led, questions): (usize, usize) = kinds.of("off-topic");
    println!(
        "unseen facts right: {right} of {asked}; new off-topic questions led back: {led} of {questions}"
    );
    // => smol: number after "right:" = 0
    // => smol: number after "back:" >= 18

    Ok(())
}
