//! Lesson 7. Considerations: how many rows, how large a model, how much memory, and what an adapter saves.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 7. Considerations
    //
    // **Goal.** For a task of your own you can say how many rows, how large a model and how much memory it needs, and you
    // have measured each of the three.
    //
    // **Minutes.** 40 to read and to try; about 3 of them two cores compute.

    // %%
    use finetuning::*;

    /// The chat model of lesson 5.
    const MODEL: &str = "builtin:smol";
    /// A small base model, for what has to be quick.
    const BASE: &str = "builtin:base";
    // => nothing

    // %% [markdown] covers=96
    // ## Nine steps
    //
    // The way from an idea to a model, as a picture. **Predict.** Which step comes back after the evaluation?

    // %% covers=96
    show_picture("finetuning_approach")?;
    // => picture

    // %% [markdown] covers=97
    // ## Notes to the nine steps
    //
    // 1. One task. Write down what goes in and what comes out (lesson 2, from "ok" to "better").
    // 2. Collect examples: inputs and outputs (lesson 4).
    // 3. Too few? Make more from a prompt, with templates or a large model, and read them (lesson 3).
    // 4. Finetune a *small* model first: it shows in minutes whether the rows teach the task. 135 million parameters here.
    // 5. Vary the amount of data: the slope says whether more rows or a larger model is next. The next cells do that.
    // 6. Evaluate: what works, what fails (lesson 6).
    // 7. Collect more of what fails, and finetune again.
    // 8. Make the task harder.
    // 9. A larger model for the harder task: below, with error bars.

    // %% [markdown] covers=97
    // ## The task: a shop's desk
    //
    // In: a customer's message. Out: order, item, problem and name, for a program to read. The test's items and names stand in no
    // training row. **Predict.** What does the chat model answer before training?

    // %% covers=97
    let model_name: &str = available(&[MODEL, BASE])?;
    let test: Dataset = load_dataset("builtin:desk_test")?.head(20);
    {
        let untuned: BasicModelRunner = BasicModelRunner::new(model_name)?;
        let before: AnswerReport = evaluate_answers(untuned.model()?, untuned.tokenizer()?, &test, 4)?;
        for row in before.rows.iter().take(2) {
            println!("{}\n  wanted: {}", row.question, row.target_answer);
            println!("  model:  {}", row.predicted_answer.replace('\n', " "));
        }
        println!("{} of 4 right", before.exact_matches());
    }
    // => contains "0 of 4 right"

    // %% [markdown] covers=97,98
    // ## How many rows?
    //
    // **Predict.** Adapters from 16, 64 and 150 rows: how many of 20 messages come out right in all four fields? Which field is
    // the hardest: order, item, problem or name?

    // %% covers=97
    /// The answers of an adapter from the first rows of the desk, two passes over them.
    fn desk_from(rows: usize, name: &str, test: &Dataset) -> Result<AnswerReport> {
        let mut runner = BasicModelRunner::new(name)?;
        runner.load_data(&load_dataset("builtin:support")?.head(rows), "question", "answer")?;
        let usual = TrainingArguments {
            output_dir: format!("scratch/desk_{rows}").into(),
            overwrite_output_dir: true,
            ..BasicModelRunner::adapter_arguments()
        };
        runner.train_with(true, TrainingArguments { num_train_epochs: 2.0, warmup_steps: 4, ..usual })?;
        evaluate_answers(runner.model()?, runner.tokenizer()?, test, -1)
    }
    // => nothing

    // %% covers=97
    /// How many of the answers have each field right: order, item, problem, name; and all four.
    fn fields(report: &AnswerReport) -> Vec<usize> {
        let right = |field: usize, row: &&AnswerRow| {
            let part = |text: &str| text.split("; ").nth(field).map(str::to_string);
            part(&row.predicted_answer) == part(&row.target_answer)
        };
        let mut counts: Vec<usize> =
            (0..4).map(|field| report.rows.iter().filter(|row| right(field, row)).count()).collect();
        counts.push(report.exact_matches());
        counts
    }
    // => nothing

    // %% covers=97
    let mut counts: Vec<Vec<usize>> = Vec::new();
    for rows in [16, 64] {
        counts.push(fields(&desk_from(rows, model_name, &test)?));
    }
    // => contains "scratch/desk_64/final"

    // %% [markdown] covers=97
    // The adapter from all 150 rows ships, as `builtin:desk`; it had five passes, and a warm-up to match. Of each of the three a
    // tenth of the rows was not trained on: they give the evaluation loss.

    // %% covers=97,98
    let desk_name: &str = available(&["builtin:desk", BASE])?;
    {
        let desk: BasicModelRunner = BasicModelRunner::new(desk_name)?;
        counts.push(fields(&evaluate_answers(desk.model()?, desk.tokenizer()?, &test, -1)?));
    }
    let mut lines: Vec<Vec<String>> = Vec::new();
    for (rows, right) in ["16", "64", "150"].iter().zip(&counts) {
        lines.push(std::iter::once(rows.to_string()).chain(right.iter().map(usize::to_string)).collect());
    }
    show(&table(&["rows", "order", "item", "problem", "name", "all four, of 20"], &lines));
    // => table of 3 rows

    // %% [markdown] covers=98
    // Order and name are copied, and come first. The problem has to be judged, and needs rows. The item stays the hardest: a word that no
    // row has must be spelt. The more of an answer counts, the more can be wrong: **reading** (much in, a word out) has few places to go
    // wrong, **writing** (little in, much out) has one at each token.

    // %% covers=98
    println!(
        "from 64 rows, the order right: {} of 20; all four fields right: {} of 20",
        counts[1][0], counts[1][4]
    );
    println!("from 16 rows: {} of 20; from 150 rows: {} of 20", counts[0][4], counts[2][4]);
    // => smol: number after "150 rows:" >= 14

    // %% [markdown] covers=98
    // ## Writing, looked at
    //
    // Ask the untuned chat model to *write* the reply to three customers. **Predict.** In how many replies stand both the order
    // number and the item? Then read them: a score of words says nothing of what is promised in between.

    // %% covers=98
    let prompts: Vec<String> = test.column("question")?[..3]
        .iter()
        .map(|question| format!("Write a short reply to this customer: {question}"))
        .collect();
    for (reply, answer) in
        BasicModelRunner::new(model_name)?.ask_batch(&prompts)?.iter().zip(test.column("answer")?)
    {
        let parts: Vec<&str> = answer.split(['=', ';']).collect();
        let (order, item) = (reply.contains(parts[1]), reply.contains(parts[3]));
        println!("{reply}\n  order said: {order}, item said: {item}\n");
    }
    // => matches "order said: *, item said: *"

    // %% [markdown] covers=98
    // ## How large a model?
    //
    // A harder task: choose one of four answers to a science question. Nobody finetuned for it. **Predict.** Chance is 15 of 60.
    // How many does the base model of one million parameters get, how many the chat model with more than a hundred times as many?

    // %% covers=98
    let exam: Vec<MultipleChoice> = load_multiple_choice("builtin:arc_style")?;
    let base: CausalLm = AutoModelForCausalLM::from_pretrained(BASE)?;
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained(BASE)?;
    println!("{} questions", exam.len());
    // => contains "60 questions"

    // %% covers=98
    for name in [BASE, model_name] {
        let runner = BasicModelRunner::new(name)?;
        let right =
            (60.0 * multiple_choice_accuracy(runner.model()?, runner.tokenizer()?, &exam)?).round() as usize;
        let (low, high) = finetuning::evaluate::metrics::wilson_interval(right, 60);
        let size = runner.model()?.parameter_count();
        println!(
            "{name}: {size} parameters, {right} of 60, between {:.0} and {:.0} %",
            100.0 * low,
            100.0 * high
        );
    }
    // => 2 lines
    // => smol: number after "134515008 parameters," > 15

    // %% [markdown] covers=98
    // Two intervals that do not touch are a difference; two that overlap may be chance (lesson 6). A larger model of the hub fits
    // the same place: compare it on *your* test before you pay for it.

    // %% [markdown]
    // ## Memory
    //
    // - To use: 2 bytes a parameter (16 bits), 4 (32 bits), about half a byte packed into 4 bits.
    // - To train all with AdamW in 32 bits: weight 4, gradient 4, mean 4, square 4 = **16 bytes**.
    //
    // **Predict.** A model of 7 billion parameters: how many GB to use in 16 bits, how many to train?

    // %%
    let mut sizes: Vec<Vec<String>> = Vec::new();
    for (name, parameters) in [
        ("the base model", base.parameter_count() as f64),
        ("smol", 134.5e6),
        ("7 billion", 7e9),
        ("70 billion", 70e9),
    ] {
        let mut line: Vec<String> = vec![name.to_string()];
        line.extend([0.5, 2.0, 16.0].map(|bytes| format!("{:.3} GB", parameters * bytes / 1e9)));
        sizes.push(line);
    }
    show(&table(&["model", "use, 4 bits", "use, 16 bits", "train all, AdamW"], &sizes));
    // => table of 4 rows
    // => contains "112.000 GB"

    // %% [markdown]
    // ## Adapters
    //
    // Beside a frozen matrix W (out × in) stand two thin ones, B (out × r) and A (r × in); the layer computes with W + B·A. Only A
    // and B are trained. **Predict.** Rank 8 beside all matrices of the chat model: what share of its parameters is that?

    // %%
    {
        let desk: CausalLm = AutoModelForCausalLM::from_pretrained(desk_name)?;
        let (trained, all) = (desk.trainable_parameter_count(), desk.parameter_count());
        println!("trained: {trained} of {all} parameters");
        println!(
            "AdamW for the adapter: {:.0} MB; for all: {:.0} MB",
            trained as f64 * 16e-6,
            all as f64 * 16e-6
        );
    }
    // => matches "trained: * of * parameters"
    // => smol: contains "trained: 2442240 of"

    // %% [markdown]
    // The weights below were never unpacked: 4 bits a number, frozen, with an adapter in 32 bits beside them. That is **QLoRA**, and
    // it is what you have trained in lesson 5 and above.

    // %%
    {
        let packed: CausalLm = AutoModelForCausalLM::from_pretrained(model_name)?;
        println!("in memory: {:.0} MB", packed.memory_footprint() as f64 / 1e6);
        println!("the same in 32 bits: {:.0} MB", packed.parameter_count() as f64 * 4e-6);
    }
    // => smol: number after "in memory:" < 200

    // %% [markdown]
    // ## Merge
    //
    // After training B·A can be added to W: an answer then costs what it did before. **Predict.** How far apart are the two models'
    // logits?

    // %%
    let lora: LoraConfig = LoraConfig {
        r: 8,
        lora_alpha: 16.0,
        target_modules: vec!["all-linear".into()],
        ..Default::default()
    };
    let adapted: CausalLm = base.with_lora(&lora)?;
    let rows: TokenizedDataset = tokenize_dataset(&load_dataset("builtin:guide")?, &tokenizer, 512)?;
    // => nothing

    // %%
    let steps: TrainingArguments =
        TrainingArguments { learning_rate: 5e-3, max_steps: 24, disable_tqdm: true, ..Default::default() };
    let merged: CausalLm = {
        let mut trainer = Trainer::new(&adapted, steps.clone(), rows.clone(), TokenizedDataset::default())?;
        trainer.train()?;
        adapted.merge_adapter()?
    };
    // => contains "'loss'"

    // %%
    {
        let ids: Vec<u32> = tokenizer.encode("What does cargo lab do?")?;
        let beside: Tensor = adapted.forward(&ids, 1, false)?;
        let difference: f32 =
            (&beside - merged.forward(&ids, 1, false)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
        let untrained: f32 =
            (&beside - base.forward(&ids, 1, false)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
        println!("adapter against merged: {difference:.6}; against the model below: {untrained:.2}");
    }
    // => number after "merged:" < 0.001
    // => number after "below:" > 0.1

    // %% [markdown]
    // ## Preferences
    //
    // After rows that show an answer come pairs that say which of two is better: a chosen one and a rejected one. **Predict.** 60
    // pairs, three passes: in what share of them does the model then rate the chosen answer higher?

    // %%
    let guide: Dataset = load_dataset("builtin:guide")?.head(60);
    let answers: Vec<String> = guide.column("answer")?;
    /// The next answer that says something else.
    fn other(answers: &[String], row: usize) -> &String {
        answers.iter().cycle().skip(row).find(|answer| **answer != answers[row]).expect("another")
    }
    println!("chosen:   {}\nrejected: {}", answers[0], other(&answers, 0));
    // => 2 lines

    // %%
    let mut asked: Vec<Example> = Vec::new();
    for (row, example) in guide.iter().enumerate() {
        let (chosen, rejected) = (&answers[row], other(&answers, row));
        let prompt: &str = example.field("question")?;
        asked.push(Example::new([("prompt", prompt), ("chosen", chosen), ("rejected", rejected)]));
    }
    let pairs: Vec<PreferencePair> = tokenize_preferences(&Dataset::from_examples(asked), &tokenizer, 512)?;
    println!("{} pairs", pairs.len());
    // => contains "60 pairs"

    // %%
    let arguments: TrainingArguments = TrainingArguments {
        learning_rate: 1e-4,
        num_train_epochs: 3.0,
        disable_tqdm: true,
        ..Default::default()
    };
    let config: DpoConfig = DpoConfig { arguments, ..Default::default() };
    // => nothing

    // %%
    let mut preferring: DpoTrainer = DpoTrainer::new(&base.deep_clone()?, None, config, pairs.clone())?;
    preferring.train()?;
    let preferences = preferring.evaluate(&pairs)?;
    println!("chosen above rejected: {:.0} % of the pairs", 100.0 * preferences.rewards_accuracies);
    // => number after "rejected:" >= 75

    // %% [markdown]
    // ## Exercise 7.1
    //
    // How many parameters has the adapter of one matrix? Write it as a function of inputs, outputs and rank; the check asks for
    // hidden sizes.

    // %% exercise=7.1
    {
        fn adapter(inputs: usize, outputs: usize, rank: usize) -> usize {
            inputs * outputs * rank
        }
        check("7.1", adapter)?;
    }

    // %% solution=7.1
    {
        fn adapter(inputs: usize, outputs: usize, rank: usize) -> usize {
            rank * (inputs + outputs)
        }
        check("7.1", adapter)?;
    }

    // %% [markdown]
    // ## Exercise 7.2
    //
    // A laptop has 16 GB. What is the largest model that AdamW can train whole in it, in F32, nothing else counted? Give the number of
    // parameters.

    // %% exercise=7.2
    {
        let parameters: f64 = 16e9;
        check("7.2", parameters)?;
    }

    // %% solution=7.2
    {
        let parameters: f64 = 16e9 / 16.0;
        check("7.2", parameters)?;
    }

    // %% [markdown]
    // ## Exercise 7.3
    //
    // Six tasks: `code`, `e-mail`, `keywords`, `routing`, `story`, `topic`. Which of them read? Give a list of the words.

    // %% exercise=7.3
    {
        check("7.3", vec!["code", "topic"])?;
    }

    // %% solution=7.3
    {
        check("7.3", vec!["keywords", "routing", "topic"])?;
    }

    // %% [markdown]
    // ## Recap, and where to go next
    //
    // - Rows first: the table above has your slope. Then the size, with an interval.
    // - 16 bytes a parameter to train all; an adapter needs them for its own parameters alone.
    // - Lesson 5's three lines take your own file; `cargo lab run 5` runs a lesson without a screen.

    // %%
    println!("rows 16, 64, 150: {}, {}, {} of 20 right", counts[0][4], counts[1][4], counts[2][4]);
    // => matches "rows 16, 64, 150: *, *, * of 20 right"

    Ok(())
}
