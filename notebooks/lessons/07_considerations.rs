//! Lesson 7. Considerations: nine steps, model size, memory, low-rank adapters, and where to go next.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 7. Considerations
    //
    // - How to go about a task of your own, in nine steps.
    // - How large a model has to be, and what it needs in memory.
    // - How to train few parameters in place of all.

    // %% [markdown]
    // ## Nine steps
    //
    // 1. Choose one task. Write down what goes in and what comes out.
    // 2. Collect examples of it: inputs and outputs (lesson 4).
    // 3. If there are too few, generate more, with templates or with a large model, and read them.
    // 4. Finetune a small model first (lesson 5).
    // 5. Vary the amount of data: how much better does more data make it?
    // 6. Evaluate: what works, what fails (lesson 6)?
    // 7. Collect more examples of what fails, and finetune again.
    // 8. Make the task harder.
    // 9. Take a larger model, if the task needs it.

    // %%
    use finetuning::*;

    // %%
    show_picture("finetuning_approach")?;

    // %% [markdown]
    // ## Tasks that read and tasks that write
    //
    // - Reading: much text in, little out. Examples: classify, extract, choose. A small model may do.
    // - Writing: little text in, much out. Examples: answer, chat, write code. Each token can go wrong, so
    //   that a larger model is needed.
    // - A harder task, or several tasks in one model, also need a larger one.

    // %% [markdown]
    // ## Both kinds, measured
    //
    // - Reading here: choose one of four answers to a science question. Nobody finetuned for it.
    // - Writing here: answer test questions of our own data, scored by token F1.
    // - Compare the columns. What did finetuning change, and what did size change?

    // %%
    let exam: Vec<MultipleChoice> = load_multiple_choice("builtin:arc_style")?;
    let (_, test): (Dataset, Dataset) = load_dataset("builtin:lab_docs")?.train_test_split(0.1, 123)?;
    for name in ["builtin:base", "builtin:tuned", "builtin:large"] {
        let model: CausalLm = AutoModelForCausalLM::from_pretrained(name)?;
        let tokenizer: Tokenizer = AutoTokenizer::from_pretrained(name)?;
        let reads: f64 = multiple_choice_accuracy(&model, &tokenizer, &exam)?;
        let writes: f64 = evaluate_answers(&model, &tokenizer, &test, 20)?.mean_f1();
        println!("{name:13} {:>9} parameters: reads {reads:.2}, writes {writes:.2}", model.parameter_count());
    }

    // %% [markdown]
    // ## Memory
    //
    // - Using a model: its weights, with 2 bytes a parameter (16-bit numbers) or 4 (32-bit).
    // - Training with AdamW in 32 bits: weight 4, gradient 4, mean 4, square 4: together 16 bytes a
    //   parameter.
    // - Training with Adafactor: weight 4, gradient 4, and a state that is much smaller, as the next cells
    //   show.
    // - Activations and the key/value cache come on top. They grow with rows and tokens.

    // %%
    /// The memory of a number of parameters, as text.
    fn memory(parameters: f64, bytes_per_parameter: f64) -> String {
        let gigabytes = parameters * bytes_per_parameter / 1e9;
        if gigabytes < 1.0 { format!("{:.0} MB", gigabytes * 1e3) } else { format!("{gigabytes:.1} GB") }
    }
    println!("{}", memory(7e9, 2.0));

    // %% [markdown]
    // ## The state of Adafactor
    //
    // - AdamW keeps two numbers for each parameter.
    // - Adafactor keeps one number for each row and each column of a matrix, and one for each entry of a
    //   vector.
    // - Count both from the shapes of our model.

    // %%
    let base: CausalLm = AutoModelForCausalLM::from_pretrained("builtin:base")?;
    let mut adafactor_state: usize = 0;
    for (_, weight) in base.weights() {
        adafactor_state += weight.dims().iter().sum::<usize>();
    }
    let parameters: usize = base.parameter_count();
    let adafactor_bytes: f64 = 8.0 + 4.0 * adafactor_state as f64 / parameters as f64;
    println!("AdamW's state:     {} numbers", 2 * parameters);
    println!("Adafactor's state: {adafactor_state} numbers");
    println!("Adafactor: {adafactor_bytes:.3} bytes a parameter");

    // %% [markdown]
    // ## Memory by model size
    //
    // The first line is our model. For larger models Adafactor needs a little less than the figure here,
    // because their matrices are larger.

    // %%
    let mut sizes: Vec<Vec<String>> = Vec::new();
    for size in [parameters as f64, 70e6, 1e9, 7e9, 13e9, 70e9] {
        let mut line: Vec<String> = vec![format!("{:.0} M", size / 1e6)];
        for bytes in [2.0, 4.0, 16.0, adafactor_bytes] {
            line.push(memory(size, bytes));
        }
        sizes.push(line);
    }
    show(&table(&["parameters", "use, 16 bits", "use, 32 bits", "train, AdamW", "train, Adafactor"], &sizes));

    // %% [markdown]
    // ## The largest model for a memory
    //
    // The same arithmetic the other way round. It is an upper bound: activations need room too.

    // %%
    let mut devices: Vec<Vec<String>> = Vec::new();
    for gigabytes in [8.0, 16.0, 24.0, 48.0, 80.0] {
        let mut line: Vec<String> = vec![format!("{gigabytes} GB")];
        for bytes in [2.0, 16.0, adafactor_bytes] {
            line.push(format!("{:.1} billion", gigabytes / bytes));
        }
        devices.push(line);
    }
    show(&table(&["memory", "use, 16 bits", "train, AdamW", "train, Adafactor"], &devices));

    // %% [markdown]
    // ## Low-rank adapters (LoRA)
    //
    // - The trained weights stay as they are. Beside a matrix W (out × in) come two thin ones: B (out × r)
    //   and A (r × in). The layer computes with W + B·A.
    // - Only A and B are trained: r · (out + in) parameters in place of out · in. r is the rank.
    // - Look at the matrices of the first layer, with rank 8.

    // %%
    /// The parameters of an adapter of rank `rank` for a matrix of this shape.
    fn adapter_parameters(shape: &[usize], rank: usize) -> usize {
        rank * shape.iter().sum::<usize>()
    }
    for (name, weight) in base.weights() {
        let shape: &[usize] = weight.dims();
        if name.contains(".layers.0.") && shape.len() == 2 {
            println!("{name} {shape:?}: {} -> {}", weight.elem_count(), adapter_parameters(shape, 8));
        }
    }

    // %% [markdown]
    // ## The whole model, by rank
    //
    // Adapters for all matrices of all layers; embedding and output stay without. Look at the share of
    // parameters that is trained, and at how it grows with the rank.

    // %%
    for rank in [1, 2, 4, 8, 16] {
        let mut trained: usize = 0;
        for (name, weight) in base.weights() {
            if name.contains(".layers.") && weight.dims().len() == 2 {
                trained += adapter_parameters(weight.dims(), rank);
            }
        }
        let share: f64 = 100.0 * trained as f64 / parameters as f64;
        println!("rank {rank:2}: {trained:7} of {parameters} parameters, {share:.1} %");
    }

    // %% [markdown]
    // ## A larger model, by rank
    //
    // - The shape of `pythia-6.9b`, without its weights: names and shapes are enough to count.
    // - Adapters are small beside wide matrices, so that the share falls when models grow.

    // %%
    let wide: NeoxConfig = NeoxConfig::new(50_432, 4096, 32, 32);
    let mut wide_parameters: usize = 0;
    let mut wide_adapter: usize = 0;
    for (name, shape) in finetuning::models::neox::model::parameter_shapes(&wide) {
        wide_parameters += shape.iter().product::<usize>();
        if name.contains(".layers.") && shape.len() == 2 {
            wide_adapter += adapter_parameters(&shape, 8);
        }
    }
    println!("{wide_parameters} parameters, {wide_adapter} in adapters of rank 8");

    // %% [markdown]
    // ## What that saves
    //
    // - Frozen weights need no gradient and no state, and 16-bit numbers are enough for them.
    // - The adapters are trained with AdamW, with 16 bytes a parameter.
    // - A finetuned model on disk is the adapter alone: many tasks can share one base model.

    // %%
    println!("all parameters, AdamW:   {}", memory(wide_parameters as f64, 16.0));
    println!("frozen weights, 16 bits: {}", memory(wide_parameters as f64, 2.0));
    println!("adapters, AdamW:         {}", memory(wide_adapter as f64, 16.0));
    println!("adapters on disk:        {}", memory(wide_adapter as f64, 2.0));

    // %% [markdown]
    // ## Train an adapter
    //
    // - `with_lora` gives a model that shares the weights of `base`, frozen, and has an adapter beside each
    //   matrix of its blocks. B starts at 0, so that it answers like `base`.
    // - The data has facts that the model has never seen, hence the rank of 32: a change of style needs less.
    // - The trainer is that of lesson 5. Look at how many parameters it trains, and at its rate, which is higher
    //   than for a whole model.

    // %%
    let lora: LoraConfig = LoraConfig {
        r: 32,
        lora_alpha: 32.0,
        target_modules: vec!["all-linear".to_string()],
        ..Default::default()
    };
    let adapted: CausalLm = base.with_lora(&lora)?;
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained("builtin:base")?;
    let rows: TokenizedDataset = tokenize_dataset(&load_dataset("builtin:lab_docs")?, &tokenizer, 512)?;
    let (train_rows, test_rows): (TokenizedDataset, TokenizedDataset) = rows.train_test_split(0.1, 123)?;
    let arguments: TrainingArguments = TrainingArguments {
        output_dir: "scratch/adapter".into(),
        optim: Optim::AdamW,
        learning_rate: 1e-2,
        num_train_epochs: 4.0,
        warmup_steps: 20,
        per_device_train_batch_size: 8,
        group_by_length: true,
        completion_only_loss: true,
        ..Default::default()
    };
    let mut trainer: Trainer = Trainer::new(&adapted, arguments, train_rows, test_rows)?;
    println!("{} of {} parameters", adapted.trainable_parameter_count(), adapted.parameter_count());
    println!("{}", trainer.train()?);

    // %% [markdown]
    // ## What it learned
    //
    // - The same twenty questions as above. The weights of `base` have not changed: the adapter alone makes the
    //   difference.
    // - Compare with `builtin:tuned` above, all of whose parameters were trained.

    // %%
    println!("base:         writes {:.2}", evaluate_answers(&base, &tokenizer, &test, 20)?.mean_f1());
    println!("with adapter: writes {:.2}", evaluate_answers(&adapted, &tokenizer, &test, 20)?.mean_f1());

    // %% [markdown]
    // ## Save and load
    //
    // - `save_adapter` writes the two files that PEFT writes; `PeftModel.from_pretrained` in Python opens them.
    // - `load_adapter` puts them on the same base model. Compare the sizes.

    // %%
    adapted.save_adapter("scratch/adapter/saved")?;
    let adapter_file: u64 = std::fs::metadata("scratch/adapter/saved/adapter_model.safetensors")?.len();
    println!(
        "adapter: {adapter_file} bytes; the whole model in the same numbers: {} bytes",
        base.memory_footprint()
    );
    let loaded: CausalLm = base.load_adapter("scratch/adapter/saved")?;
    let question: &str = "What happens if I use the wrong tokenizer?";
    let ids: Vec<u32> = tokenizer.encode(question)?;
    let beside: Tensor = loaded.forward(&ids, 1, false)?;

    // %% [markdown]
    // ## Merge
    //
    // - After training, B·A can be added to W. Then an answer costs no more than before.
    // - The cell computes the logits of a question both ways. The difference is rounding.

    // %%
    let merged: CausalLm = adapted.merge_adapter()?;
    let difference: f32 =
        (&beside - merged.forward(&ids, 1, false)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
    println!(
        "largest logit {}, largest difference {difference}",
        beside.abs()?.max_all()?.to_scalar::<f32>()?
    );
    println!("{}", inference(question, &merged, &tokenizer, 100, 60)?);

    // %% [markdown]
    // ## Fewer bits below the adapter
    //
    // - Frozen weights need not be exact: `quantized` packs the matrices into 8 or 4 bits a number.
    // - An adapter on a packed model trains in the same way (QLoRA). Compare memory and answers.

    // %%
    for dtype in [GgmlDType::Q8_0, GgmlDType::Q4_0] {
        let packed: CausalLm = merged.quantized(dtype)?;
        let writes: f64 = evaluate_answers(&packed, &tokenizer, &test, 20)?.mean_f1();
        println!(
            "{dtype:?}: {} bytes in place of {}, writes {writes:.2}",
            packed.memory_footprint(),
            merged.memory_footprint()
        );
    }

    // %% [markdown]
    // ## Predict a number
    //
    // A matrix has 1024 rows and 4096 columns. How many parameters has its adapter of rank 4? Write your
    // number in place of the 0 and run the cell.

    // %%
    let my_prediction: usize = 0;
    match my_prediction == adapter_parameters(&[1024, 4096], 4) {
        true => println!("right: {my_prediction} in place of {}", 1024 * 4096),
        false => println!("not {my_prediction}: B is 1024 × 4 and A is 4 × 4096"),
    }

    // %% [markdown]
    // ## Where to go next
    //
    // - Your own data: a .jsonl file with `question` and `answer`, and the three lines of lesson 5.
    // - A larger model of the same family from the hub: `EleutherAI/pythia-70m`, then its larger siblings.
    // - Your own program: every cell of the lessons is plain Rust; add the crate `finetuning` to a project.
    // - `cargo lab run 5` runs lesson 5 without a browser, for a machine without a screen.
    // - Data from preferences: rows with `prompt`, `chosen` and `rejected`, `tokenize_preferences` and a
    //   `DpoTrainer`.

    // %% [markdown]
    // ## Exercises
    //
    // 1. Predict the parameters of the adapter in the cell above. From which rank on has it more than the
    //    matrix?
    // 2. Add a model size of your choice and a row for a memory of your choice to the two tables.
    // 3. Step 5: write half of the training rows with `Dataset::head` and `to_jsonl` to `scratch/half.jsonl`
    //    and finetune on that file as in lesson 5. Compare `evaluate_answers` on `test` with that of
    //    `builtin:tuned`.

    Ok(())
}
