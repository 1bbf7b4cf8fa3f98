//! Lesson 8. Your own data in an afternoon: a folder of files in; checked rows, an evaluated adapter, a card and a service out.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 8. Your own data in an afternoon
    //
    // **Goal.** A folder of a small shop goes in: a table, chats, pages of a web site. Out comes a model that answers for the shop, with
    // numbers that say how well, a card that says for what, and a service that others can ask.
    //
    // *45 minutes, of which about 3 are computing.*
    //
    // For your own folder: its path goes into the second cell, and then you change what is the shop's, the names of files and columns
    // and the rows that are left out. The steps stay.
    // Where it says **Predict**, say your answer before you run the cell.

    // %% id=start
    use finetuning::*;

    /// The real model. With a network, any chat model of the hub can stand here.
    const MODEL: &str = "builtin:smol";
    // => nothing

    // %% id=folder covers=32
    let folder: std::path::PathBuf = source::builtin::root().join("data/shop");
    for name in ["faq.csv", "chats.jsonl", "pages/rental.md", "pages/workshop.md"] {
        println!("{name}: {} bytes", std::fs::metadata(folder.join(name)).map_or(0, |file| file.len()));
    }
    // => 4 lines
    // => number after "faq.csv: " > 1000

    // %% [markdown]
    // ## The table
    //
    // **Predict.** Its columns are `ask`, `reply` and `topic`. Will training know what to do with them?

    // %% id=table
    let faq: Dataset = load_dataset(&folder.join("faq.csv").display().to_string())?;
    println!("{faq}");
    if let Err(error) = faq.detect() {
        println!("{error}");
    }
    // => contains "rename_column"

    // %% [markdown]
    // It does not guess what a column means: an error here costs a second, a wrong guess an afternoon. Two names, and the guess is shown
    // before anything is trained. Look at what is *not* read.

    // %% id=guess
    let faq: Dataset = faq.rename_column("ask", "question")?.rename_column("reply", "answer")?;
    let guess: Detected = faq.detect()?;
    show(&guess);
    // => contains "question and answer"
    // => contains "topic"

    // %% [markdown] covers=46,47
    // ## What is wrong with the rows
    //
    // **Predict.** 27 rows that a person typed over two years: how many of them would you train on?
    //
    // Two prices for one helmet, an answer that is missing, signs that another program broke, a question twice, a person's address:
    // a model learns each of them as faithfully as the rest.

    // %% id=report covers=46
    let report: QualityReport = quality_report(&faq, None, &QualityOptions::default())?;
    println!("{report}");
    // => contains "27 rows"

    // %% [markdown]
    // `repair` does what is safe and lists it. What needs a person it leaves: no program knows which price is right, or whether
    // Mira wants to be in a model. You do: the helmet is free, and no address goes into a model.

    // %% id=repair
    let mended: Repaired = report.repair();
    show(&mended);
    let faq: Dataset = mended.data.filter(|row| {
        let answer: &str = row.get("answer").unwrap_or_default();
        !answer.contains("costs 2 euros a day") && find_sensitive(answer).is_empty()
    });
    println!("{} rows are left", faq.len());
    // => contains "rows are left"

    // %% [markdown] covers=32
    // ## The chats
    //
    // The shop's chat tool writes who speaks as `from` and what is said as `value`.
    //
    // **Predict.** One of the nine has a fault. Which could it be?

    // %% id=chats
    let chats: Dataset = load_dataset(&folder.join("chats.jsonl").display().to_string())?;
    let guess: Detected = chats.detect()?;
    println!("{guess}");
    let bad: Vec<usize> = guess.misfits.iter().map(|(row, _)| *row).collect();
    let good: Vec<usize> = (0..chats.len()).filter(|row| !bad.contains(row)).collect();
    let chats: Dataset = chats.select(&good)?;
    // => contains "9 rows: read as conversations"
    // => contains "row 6 does not fit"

    // %% [markdown] covers=33
    // ## The pages
    //
    // Each heading asks, the section below answers. A heading is no question, so a template makes one of it; a note of two words is
    // no answer and is counted.

    // %% id=pages
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained(MODEL)?;
    let sections: Sections = Sections::read(folder.join("pages"), &SectionOptions::default(), &tokenizer)?;
    let pages: Dataset = sections.to_rows_with(&PromptTemplate::new("What about {heading}?"))?;
    println!("{} rows, {} too short; the first:", pages.len(), sections.too_short);
    println!("{}", pages.get(0)?);
    // => smol: contains "7 rows, 1 too short"
    // => smol: contains "What about Age of riders?"

    // %% [markdown]
    // ## One data set
    //
    // A chat model learns conversations. `to_messages` makes one of any row, and says which other columns it keeps.

    // %% id=together
    let mut parts: Vec<Dataset> = Vec::new();
    for rows in [&faq, &chats, &pages] {
        parts.push(rows.to_messages()?.select_columns(&["messages"])?);
    }
    let rows: Dataset = concatenate_datasets(&parts)?;
    println!("{} + {} + {} = {} conversations", parts[0].len(), parts[1].len(), parts[2].len(), rows.len());
    // => smol: matches "* + 8 + 7 = * conversations"

    // %% id=preview covers=22
    println!("{}", rows.detect()?.preview(&tokenizer)?);
    // => smol: contains "[learnt]"
    // => smol: contains "<|im_end|>"

    // %% [markdown] covers=80
    // ## The split
    //
    // Rows that ask the same in other words stay on one side: what the test asks was never answered in training.
    //
    // **Predict.** A handful of test rows. Which scores can come out, and how sure can you be of one?

    // %% id=split covers=80
    let (train, test): (Dataset, Dataset) = rows.split_by_group(0.2, 7)?;
    println!("{} rows to learn, {} to test", train.len(), test.len());
    println!("{}", resolution(test.len(), 0.5)?);
    // => smol: matches "* rows to learn, * to test"

    // %% [markdown]
    // ## Before
    //
    // The base model answers first, and its answers are kept: without them nobody knows what the training did.
    //
    // **Predict.** What will it say of a shop that it has never heard of?

    // %% id=before
    let base: CausalLm = AutoModelForCausalLM::from_pretrained(MODEL)?;
    let before: AnswerReport = evaluate_answers(&base, &tokenizer, &test, -1)?;
    for row in before.rows.iter().take(3) {
        println!("{}\n  wanted: {}\n  came:   {}\n", row.question, row.target_answer, row.predicted_answer);
    }
    println!("{before}");
    // => smol: contains "0 exact matches"

    // %% [markdown]
    // ## The settings
    //
    // Settings that suit 1,500 rows do not suit 30: the learning rate would still be warming up when the rows are over. `suited` changes what has
    // to change and says so in one line. Read the line.

    // %% id=settings covers=22
    let arguments: TrainingArguments = TrainingArguments {
        output_dir: "scratch/shop".into(),
        overwrite_output_dir: true,
        num_train_epochs: 4.0,
        learning_rate: 2.4e-3,
        logging_steps: 10,
        ..BasicModelRunner::adapter_arguments()
    };
    let first: TrainingArguments = arguments.clone().suited(train.len(), test.len());
    println!("{} steps at a rate of {:.1e}", first.total_steps(train.len()), first.learning_rate);
    // => smol: matches "* steps at a rate of *"

    // %% [markdown] covers=36
    // ## The first round
    //
    // The weights of `builtin:smol` are packed and stay as they are; an adapter of rank 8 learns. The second cell takes a minute or two.

    // %% id=train
    let lora: LoraConfig = LoraConfig {
        r: 8,
        lora_alpha: 16.0,
        target_modules: vec!["all-linear".into()],
        ..Default::default()
    };
    let model: CausalLm = base.with_lora(&lora)?;
    // => smol: nothing

    // %% id=round
    let options: TokenizeOptions = TokenizeOptions::new();
    let (train_tokens, _) = tokenize_with(&train, &tokenizer, &options)?;
    let (test_tokens, _) = tokenize_with(&test, &tokenizer, &options)?;
    let mut trainer: Trainer = Trainer::new(&model, first, train_tokens, test_tokens.clone())?;
    let output: TrainOutput = trainer.train()?;
    println!("{output}");
    // => smol: contains "loss"

    // %% id=after covers=84
    let after: AnswerReport = evaluate_answers(&model, &tokenizer, &test, -1)?;
    for row in &after.rows {
        println!("{}\n  wanted: {}\n  came:   {}\n", row.question, row.target_answer, row.predicted_answer);
    }
    println!("{after}\n{}", after.caution().unwrap_or_default());
    // => smol: contains "95 % interval"

    // %% [markdown] covers=84
    // **What could go wrong.** The answers sound like the shop now, short and with a price, and the facts in them are invented: no row told
    // the model these. More epochs would not help, as the warning says; rows would. That is what reading the misses is for.
    //
    // ## Thirty-two more rows
    //
    // Eight facts were missed: here are four wordings of each, none as the test asks. From now on the test is no longer unseen: whoever
    // wrote the rows had read it. For a number that you publish, keep a second test that nobody reads.

    // %% id=more covers=36
    let more: Dataset = load_dataset(&folder.join("more.jsonl").display().to_string())?;
    let leak: QualityReport = quality_report(&more.to_messages()?, Some(&test), &QualityOptions::default())?;
    println!("{leak}");
    let train: Dataset = concatenate_datasets([&train, &more.to_messages()?])?;
    println!("{} rows to learn", train.len());
    // => smol: contains "rows to learn"

    // %% [markdown]
    // **Predict.** How many of the eight does it say word for word now? The cell takes two minutes.

    // %% id=again covers=36
    let model: CausalLm = base.with_lora(&lora)?;
    let second: TrainingArguments = arguments.suited(train.len(), test.len());
    let (train_tokens, _) = tokenize_with(&train, &tokenizer, &options)?;
    let mut trainer: Trainer = Trainer::new(&model, second, train_tokens, test_tokens)?;
    println!("{}", trainer.train()?);
    let again: AnswerReport = evaluate_answers(&model, &tokenizer, &test, -1)?;
    // => smol: contains "loss"

    // %% id=rounds covers=36
    let mut rounds: Vec<Vec<String>> = Vec::new();
    for (name, report) in [("before", &before), ("first round", &after), ("32 more rows", &again)] {
        rounds.push(vec![
            name.into(),
            report.exact_matches().to_string(),
            format!("{:.2}", report.mean_f1()),
        ]);
    }
    show(&table(&["", "exact", "F1"], &rounds));
    // => smol: table of 3 rows

    // %% [markdown]
    // The second round made no more steps than the first. What changed are the rows: a fact that stands in four wordings comes back when it
    // is asked in a fifth. Lesson 6 calls that memory: of what no row tells, the model still knows nothing.

    // %% id=answers
    let mut cards: Vec<SideBySide> = Vec::new();
    for (old, new) in before.rows.iter().zip(&again.rows).take(4) {
        let card: SideBySide = SideBySide::new(&old.question).with_target(&old.target_answer);
        let card: SideBySide = card.with_answer("before", &old.predicted_answer);
        cards.push(card.with_answer("after", &new.predicted_answer));
    }
    show(&side_by_side(&cards));
    // => smol: contains "before"

    // %% [markdown] covers=78
    // ## Keep it
    //
    // The adapter is a folder of a few megabytes: its base is named inside. The card beside it is for the person who finds it in a year.

    // %% id=card covers=78
    model.save_adapter("scratch/shop/adapter")?;
    let scores: String = format!(
        "{} of {} test questions exact, F1 {:.2}",
        again.exact_matches(),
        again.rows.len(),
        again.mean_f1()
    );
    // => smol: nothing

    // %% id=text
    let card: String = format!(
        "---\nbase_model: {MODEL}\nlicense: mit\n---\n# Harbour Cycles\n\nAn adapter that answers short questions about one shop, \
         trained on {} rows of its own table, chats and pages.\n\nScore: {scores}; the test had been read when 32 of the rows were \
         written.\n\nLimits: prices are of this year. Asked for what no row tells, it invents. Not for bookings.\n",
        train.len()
    );
    std::fs::write("scratch/shop/adapter/README.md", &card).expect("the folder is writable");
    println!("{card}");
    // => smol: contains "Limits:"

    // %% [markdown]
    // ## Serve it
    //
    // Any program that speaks OpenAI's protocol can ask it now, on this computer alone.

    // %% id=serve
    let served: ServedModel = ServedModel::new("harbour", &model, &tokenizer);
    let service: Server = Server::start(vec![served], ServeConfig::default())?;
    println!("harbour at {}", service.url());
    let client: BasicModelRunner = BasicModelRunner::new(&format!("openai:harbour@{}", service.url()))?;
    println!("{}", client.ask("Do you rent helmets?")?);
    service.stop();
    // => smol: contains "harbour at http://127.0.0.1:"

    // %% [markdown] covers=61
    // ## Give it away
    //
    // `push_to_hub` sends adapter, tokenizer and a card to a hub: `HF_ENDPOINT` names the hub, `HF_TOKEN` your right to write. Here
    // the name is that of a hub that does not answer: the cell says so, and nothing leaves this computer.

    // %% id=push covers=61
    let hub: HubOptions = HubOptions {
        endpoint: Some("http://127.0.0.1:9".into()),
        token: Some("none".into()),
        ..Default::default()
    };
    match model.push_to_hub("you/harbour-cycles", &PushOptions { private: true, hub, ..Default::default() }) {
        Ok(page) => println!("{page}"),
        Err(error) => println!("{error}"),
    }
    // => smol: contains "127.0.0.1:9"

    // %% [markdown]
    // ## Exercise 8.1
    //
    // Bring at least 30 different rows of your own: from your folder, or write them. Hand in a `Dataset` whose quality report has no
    // error. The check looks at the number of rows, at copies, and at the report.

    // %% exercise=8.1
    {
        let rows: Dataset = load_dataset(&folder.join("faq.csv").display().to_string())?;
        check("8.1", rows)?;
    }

    // %% solution=8.1
    {
        fn lock(row: usize) -> Example {
            let answer = format!("Lock {row} lies {} metres up the river.", 350 + 120 * row);
            Example::new([
                ("question", format!("How far is lock number {row} from the bridge?")),
                ("answer", answer),
            ])
        }
        let rows: Dataset = Dataset::from_examples((1..32).map(lock).collect());
        check("8.1", rows)?;
    }

    // %% [markdown]
    // ## Exercise 8.2
    //
    // Show that your model beats the base model on your own test: hand in `(before, after)`, two `AnswerReport`s of the same five or more
    // questions. The check compares exact matches, then F1.

    // %% exercise=8.2
    {
        check("8.2", (before.clone(), before.clone()))?;
    }

    // %% solution=8.2
    {
        check("8.2", (before.clone(), again.clone()))?;
    }

    // %% [markdown]
    // ## Exercise 8.3
    //
    // Write the card of your model as a text: its base, the licence, what rows it was trained on and how many, the score with the number of
    // test questions, its limits. At least 30 words.

    // %% exercise=8.3
    {
        check("8.3", "A model for my shop. It is good.")?;
    }

    // %% solution=8.3
    {
        check("8.3", card.as_str())?;
    }

    // %% [markdown]
    // ## What you saw
    //
    // - The folder decides: names of columns, a missing answer, two prices for one thing are found before training, in seconds.
    // - A handful of test rows shows a large difference and no small one; the report says so beside the number.
    // - Training gave the tone at once. Facts came with rows that tell them, each in several wordings: most of the test is right now,
    //   word for word. The next rows are yours.
    // - The same cells run on your folder: change the path and the names.

    // %% id=recap
    println!("rows to learn {}, to test {}", train.len(), test.len());
    println!("exact before {}, after {}", before.exact_matches(), again.exact_matches());
    println!("F1 before {:.2}, after {:.2}", before.mean_f1(), again.mean_f1());
    // => smol: number after "exact before" = 0 +- 0
    // => smol: number after "exact before 0, after" >= 4

    Ok(())
}
