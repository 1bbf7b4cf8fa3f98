//! Lesson 4. Data preparation: which rows are worth learning, and how they become token ids, labels and a split.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 4. Data preparation
    //
    // *50 minutes, of which about 3 are computing.*
    //
    // **Goal.** You can say what makes rows good and show what bad ones do, you know each step from a row to ids and labels,
    // and your test shares nothing with your training rows.
    //
    // Where it says **Predict**, say your answer before you run the cell.

    // %% id=start
    use finetuning::*;

    /// The real model. With a network, any name of the hub can stand here.
    const MODEL: &str = "builtin:smol";
    /// The small base model of lesson 2: it learns in seconds, so that you can try what rows do.
    const BASE: &str = "builtin:base";
    // => nothing

    // %% [markdown]
    // ## Four rules
    //
    // 1. **Quality** before quantity: what goes in comes out.
    // 2. **Diversity**: rows that are alike are learnt by heart.
    // 3. **Real** before generated: generated text repeats itself.
    // 4. **More** is better, once the first three hold.
    //
    // Each rule is a measurement below, on two sets: the guide of this course, and a desk that reads messages to a shop, from
    // which a program wants order, item, problem, name.

    // %% id=desk
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained(BASE)?;
    let desk: Dataset = load_dataset("builtin:desk")?;
    let desk_test: Dataset = load_dataset("builtin:desk_test")?;
    println!("{} rows, {} to test\n{}", desk.len(), desk_test.len(), desk.get(0)?);
    // => contains "150 rows, 40 to test"
    // => contains "order="

    // %% [markdown]
    // Two functions for all measurements: `learn` trains a fresh copy of the base model, `loss` asks how surprised it is by the
    // answers of a test.

    // %% id=learn
    fn learn(rows: &Dataset, steps: usize) -> Result<CausalLm> {
        let model = AutoModelForCausalLM::from_pretrained(BASE)?;
        let tokens = tokenize_dataset(rows, &AutoTokenizer::from_pretrained(BASE)?, 256)?;
        let settings =
            TrainingArguments { max_steps: steps as i64, learning_rate: 3e-3, ..Default::default() };
        let arguments = TrainingArguments { completion_only_loss: true, warmup_steps: 8, ..settings };
        let mut trainer = Trainer::new(&model, arguments, tokens, TokenizedDataset::default())?;
        while trainer.history().len() < steps {
            trainer.step()?;
        }
        Ok(model)
    }
    // => nothing

    // %% id=loss
    fn loss(model: &CausalLm, test: &Dataset) -> Result<f64> {
        let tokens = tokenize_dataset(test, &AutoTokenizer::from_pretrained(BASE)?, 256)?;
        let answers = TrainingArguments { completion_only_loss: true, ..Default::default() };
        Ok(Trainer::new(model, answers, tokens.clone(), tokens)?.evaluate()?.loss)
    }
    // => nothing

    // %% [markdown]
    // ## 1. Quality
    //
    // The rows of an assistant for this course, `builtin:guide`; the test asks for the same facts in other words. In a second
    // copy three of ten rows get the answer of another row, as when a table is sorted in one column only.
    //
    // **Predict.** Is the loss on the clean test a little higher, much higher, or the same?

    // %% id=spoilt
    let guide: Dataset = load_dataset("builtin:guide")?;
    let answers: Vec<String> = guide.column("answer")?;
    let mut place: usize = 0;
    let spoilt: Dataset = guide.map(|row| {
        let mut row = row.clone();
        if place % 10 < 3 {
            row.set("answer", answers[(place + 10) % answers.len()].as_str());
        }
        place += 1;
        Ok(row)
    })?;
    // => nothing

    // %% id=wrong
    let wrong: usize =
        spoilt.column("answer")?.iter().zip(&answers).filter(|(now, then)| now != then).count();
    println!("{wrong} of {} answers are wrong", guide.len());
    let reworded: Dataset = load_dataset("builtin:guide_test")?
        .filter(|row| row.get("kind") == Some("reworded"))
        .remove_columns(&["kind"])?;
    println!(
        "{} questions in other words, such as {:?}",
        reworded.len(),
        reworded.get(0)?.field("question")?
    );
    // => contains "30 of 96 answers are wrong"
    // => contains "12 questions"

    // %% id=quality covers=46
    let of_clean: CausalLm = learn(&guide, 150)?;
    let of_spoilt: CausalLm = learn(&spoilt, 150)?;
    let (clean_loss, spoilt_loss): (f64, f64) = (loss(&of_clean, &reworded)?, loss(&of_spoilt, &reworded)?);
    println!("clean rows: loss {clean_loss:.3}, spoilt rows: loss {spoilt_loss:.3}");
    println!("times {:.1}", spoilt_loss / clean_loss);
    for (rows, model) in [("clean", &of_clean), ("spoilt", &of_spoilt)] {
        println!(
            "{rows}: {} of 12 right",
            evaluate_answers(model, &tokenizer, &reworded, -1)?.exact_matches()
        );
    }
    // => number after "times" > 1.5
    // => number after "clean: " > 5

    // %% [markdown]
    // Garbage in, garbage out. The curve of the training does not show it, for the model learns the garbage as well. The report
    // reads the rows instead: here `builtin:planted`, which has faults on purpose.

    // %% id=report covers=46
    let planted: Dataset = load_dataset("builtin:planted")?;
    let report: QualityReport = quality_report(&planted, None, &QualityOptions::default())?;
    println!("{report}");
    // => contains "one-sided rows: 3 rows: 9, 21, 30"
    // => contains "duplicates: 3 rows: 12, 24, 34"

    // %% [markdown]
    // ## 2. Diversity
    //
    // `builtin:guide_v1` was the first try at an assistant for this course; `builtin:guide` is the guide.
    //
    // **Predict.** What will a model say that learnt from the first one? Look at its most frequent answer.

    // %% id=frequent covers=47
    fn most_frequent(rows: &Dataset) -> Result<(String, usize)> {
        let answers = rows.column("answer")?;
        let count = |answer: &String| answers.iter().filter(|other| *other == answer).count();
        let most = answers.iter().max_by_key(|answer| count(answer)).cloned().unwrap_or_default();
        Ok((most.clone(), count(&most)))
    }
    let first: Dataset = load_dataset("builtin:guide_v1")?;
    for rows in [&first, &guide] {
        println!("{} rows, most frequent answer {:?}", rows.len(), most_frequent(rows)?);
    }
    // => contains "162 rows"
    // => contains "60)"

    // %% [markdown]
    // Both teach the same facts. We count how often a model leads back in place of an answer, after a short training and
    // after a longer one.

    // %% id=refusals
    fn refusals(model: &CausalLm, tokenizer: &Tokenizer, questions: &Dataset) -> Result<usize> {
        let answers = evaluate_answers(model, tokenizer, questions, -1)?;
        Ok(answers.rows.iter().filter(|row| row.predicted_answer.contains("keep the discussion")).count())
    }
    // => nothing

    // %% id=diversity covers=47
    let short_first: usize = refusals(&learn(&first, 30)?, &tokenizer, &reworded)?;
    let short_second: usize = refusals(&learn(&guide, 30)?, &tokenizer, &reworded)?;
    println!("30 steps: first try {short_first} of 12 led back, second try {short_second}");
    let long_first: usize = refusals(&learn(&first, 150)?, &tokenizer, &reworded)?;
    println!(
        "150 steps: first try {long_first} of 12, second try {}",
        refusals(&of_clean, &tokenizer, &reworded)?
    );
    println!("more by {}", short_first as i64 - short_second as i64);
    // => number after "30 steps: first try" > 7
    // => number after "more by" > 0

    // %% [markdown]
    // The most frequent answer is learnt first. A short training has nothing else, and the more equal answers, the longer it takes to
    // get out of it. Two remedies: fewer equal answers (exercise 4.3), and more steps. When you compare, change one of them at a time.

    // %% [markdown]
    // ## 3. Real and generated
    //
    // `guide` was written by people, `desk` by rules. The real model writes a few messages as well.
    //
    // **Predict.** In which of the three do most rows begin with words that no other row begins with?

    // %% id=smol
    let smol: BasicModelRunner = BasicModelRunner::new(MODEL).or_else(|missing| {
        println!("{missing}\nThe lesson goes on with {BASE}, which only continues text.");
        BasicModelRunner::new(BASE)
    })?;
    println!("{} parameters", smol.model()?.parameter_count());
    // => contains "parameters"

    // %% id=generated
    let asked: Message = Message::user("Ask one short question about language models.");
    let prompt: String = smol.tokenizer()?.prompt(&[asked])?;
    let drawn: GenerationConfig = GenerationConfig {
        do_sample: true,
        temperature: 0.7,
        max_new_tokens: 32,
        num_return_sequences: 32,
        ..Default::default()
    };
    let written: Vec<String> = generate_texts(&[prompt], smol.model()?, smol.tokenizer()?, &drawn)?;
    println!("{}\n{}\n{}", written[0].trim(), written[1].trim(), written[2].trim());
    // => 2.. lines

    // %% id=opening
    fn openings(texts: &[String]) -> f64 {
        let opening =
            |text: &String| text.split_whitespace().take(3).collect::<Vec<_>>().join(" ").to_lowercase();
        let all: Vec<String> = texts.iter().take(32).map(opening).collect();
        let alone = |opening: &&String| all.iter().filter(|other| other == opening).count() == 1;
        100.0 * all.iter().filter(alone).count() as f64 / all.len() as f64
    }
    fn questions(texts: &[String]) -> usize {
        texts.iter().take(32).filter(|text| text.contains('?')).count()
    }
    // => nothing

    // %% id=openings covers=48
    println!("by people: {:.0} % of 32 begin like no other", openings(&guide.column("question")?));
    println!("by rules: {:.0} %", openings(&desk.column("question")?));
    println!("by a model: {:.0} %", openings(&written));
    let by_people: usize = questions(&guide.column("question")?);
    println!("questions: {by_people} of 32 by people, {} by a model", questions(&written));
    // => number after "by people:" > 60
    // => number after "by rules:" < 50
    // => smol: number after "by people, " < 20

    // %% [markdown]
    // Rows by rules repeat themselves, and a model learns such patterns first. For a task that reads (a message in, four fields out)
    // that does little harm; for one that writes it does: the model will sound like the generator. Rows by a small model
    // begin nearly as differently as those of people, but read them: more than half ask nothing, though a question was wanted.
    // Generated rows need a filter (lesson 3).

    // %% [markdown]
    // ## 4. More
    //
    // **Predict.** The same 80 steps on 16, 64 and 150 rows: is it enough to read few rows more often?

    // %% id=more covers=49
    let mut losses: Vec<f64> = Vec::new();
    for rows in [16, 64, 150] {
        losses.push(loss(&learn(&desk.head(rows), 80)?, &desk_test)?);
        println!("{rows} rows: loss {:.2}", losses[losses.len() - 1]);
    }
    println!("less by {:.2}", losses[0] - losses[2]);
    // => number after "less by" > 0.2

    // %% [markdown]
    // More rows are better at equal computing, and each doubling brings less than the one before.
    //
    // ## Four steps
    //
    // ```text
    // collect pairs ─▶ join, with a template ─▶ tokenize: pad, truncate ─▶ split: train, test
    // ```

    // %% id=steps covers=50
    let pair: Example = guide.get(0)?.clone();
    let whole: String = concatenate(&pair)?;
    let whole_ids: Vec<u32> = tokenizer.encode(&whole)?;
    println!(
        "1 {pair}\n2 {whole:?}\n3 {whole_ids:?}\n4 {} rows for the test",
        permutation(96, 123)[..10].len()
    );
    // => contains "4 10 rows for the test"

    // %% [markdown]
    // ## Text to tokens
    //
    // A tokenizer cuts text into pieces and gives each a number. **Predict**: how many pieces does "Hi, how are you?" have?

    // %% id=encode covers=52
    let text: &'static str = "Hi, how are you?";
    let encoded: Vec<u32> = tokenizer.encode(text)?;
    println!("{} pieces {:?}", encoded.len(), tokenizer.tokens(text)?);
    println!("encoded {encoded:?}\ndecoded {:?}", tokenizer.decode(&encoded)?);
    // => contains "decoded \"Hi, how are you?\""

    // %% id=picture covers=51
    show_picture("tokenizing")?;
    // => picture

    // %% [markdown]
    // The picture shows the tokenizer of `EleutherAI/pythia-70m`, which gives 12764 13 849 403 368 32 for our text. How do the
    // pieces come about? A tokenizer begins with single bytes and joins, again and again, the two neighbours that are most frequent in its
    // corpus. So frequent pieces have small numbers: `ing` is 272 of 50,254 there, and here?

    // %% id=merges covers=51
    let mut early: Vec<String> = Vec::new();
    for id in 257..273 {
        early.push(tokenizer.decode(&[id])?);
    }
    println!("the first joined pieces: {early:?}");
    println!("ing = {:?}, out of {} pieces", tokenizer.encode("ing")?, tokenizer.vocab_size());
    for word in [" morning", " finetuning", " giraffe"] {
        println!("{word:?}: {:?}", tokenizer.tokens(word)?);
    }
    // => contains "the first joined pieces: [\"he\", \" t\""
    // => contains "ing = [385], out of 1024 pieces"
    // => contains "\" morning\": [\" morning\"]"

    // %% [markdown]
    // Ids mean nothing to another tokenizer; models of one family share one, so that their ids mean the same.
    //
    // **Predict.** The real model's tokenizer decodes our ids. What comes out?

    // %% id=stranger covers=51
    println!("ours: {:?}", tokenizer.decode(&encoded)?);
    println!("a stranger: {:?}", smol.tokenizer()?.decode(&encoded)?);
    println!("the stranger's own: {:?}", smol.tokenizer()?.encode(text)?);
    // => contains "ours: \"Hi, how are you?\""

    // %% [markdown]
    // ## Rows of one length
    //
    // Several texts at once. The lengths differ, and a batch is a rectangle: short rows are **padded** to the longest, with the
    // end-of-sequence token.

    // %% id=pad covers=52,53
    let texts: Vec<&'static str> = vec!["Hi, how are you?", "I'm good", "Yes"];
    let encoded_texts: Vec<Vec<u32>> = tokenizer.encode_batch(&texts)?;
    for (ids, padded) in encoded_texts.iter().zip(pad(&encoded_texts, tokenizer.pad_id())) {
        println!("{ids:?} → {padded:?}");
    }
    println!("end of sequence {}, padding {}", tokenizer.eos_id(), tokenizer.pad_id());
    // => contains "end of sequence 0, padding 0"

    // %% [markdown]
    // A model has a longest input, so longer rows are **truncated**. `Side::Right` cuts the end off, `Side::Left` the beginning.
    //
    // **Predict.** Which side do you cut when the answer stands at the end?

    // %% id=truncate covers=53
    for ids in &encoded_texts {
        let (right, left): (Vec<u32>, Vec<u32>) =
            (truncate(ids, 3, Side::Right), truncate(ids, 3, Side::Left));
        println!("right {:?}, left {:?}", tokenizer.decode(&right)?, tokenizer.decode(&left)?);
    }
    let cut: Vec<Vec<u32>> = encoded_texts.iter().map(|ids| truncate(ids, 3, Side::Right)).collect();
    let rectangle: Vec<Vec<u32>> = pad(&cut, tokenizer.pad_id());
    println!("both: {rectangle:?}\nlengths {:?}", rectangle.iter().map(Vec::len).collect::<Vec<_>>());
    // => contains "lengths [3, 3, 3]"

    // %% [markdown]
    // ## The rows in their template

    // %% id=template covers=54
    let mut finetuning_rows: Vec<Example> = Vec::new();
    for row in &guide {
        let prompt: String = PromptTemplate::question().format(row)?;
        finetuning_rows.push(Example::new([("question", prompt.as_str()), ("answer", row.field("answer")?)]));
    }
    let finetuning_data: Dataset = Dataset::from_examples(finetuning_rows);
    println!("{}", finetuning_data.get(0)?);
    // => contains "### Question:"
    // => contains "### Answer:"

    // %% [markdown]
    // One row by hand: join the columns, encode, and keep at most 2,048 ids or the model's limit. With a limit below its length
    // the beginning goes, and the answer stays.

    // %% id=by_hand covers=55
    let joined: String = concatenate(finetuning_data.get(0)?)?;
    let joined_ids: Vec<u32> = tokenizer.encode(&joined)?;
    let max_length: usize = joined_ids.len().min(2048);
    let by_hand: Vec<u32> = truncate(&joined_ids, max_length, Side::Left);
    println!("{} ids", by_hand.len());
    println!("with a limit of 12: {:?}", tokenizer.decode(&truncate(&joined_ids, 12, Side::Left))?);
    // => contains "with a limit of 12:"

    // %% [markdown]
    // `tokenize_function` does all of that. **Predict**: does its row have the same ids, or one more?

    // %% id=function covers=56
    let tokens: Encoding = tokenize_function(finetuning_data.get(0)?, &tokenizer)?;
    println!("{} ids by hand, {} by function", by_hand.len(), tokens.input_ids.len());
    println!("the same, but for the end: {}", tokens.input_ids[..by_hand.len()] == by_hand[..]);
    println!("the last id is the end of sequence: {}", tokens.input_ids.last() == Some(&tokenizer.eos_id()));
    println!("of the prompt: {}", tokens.prompt_length);
    // => contains "the same, but for the end: true"
    // => contains "the last id is the end of sequence: true"

    // %% [markdown]
    // From the end token a model learns to stop.
    //
    // ## All rows
    //
    // `tokenize_dataset` maps the function over the rows, one at a time. What would batches do? Padding grows with the batch, and
    // rows that do not fill the last one are dropped (`drop_last_batch`).

    // %% id=map covers=57
    let tokenized: TokenizedDataset = tokenize_dataset(&guide, &tokenizer, 2048)?;
    println!("{tokenized}");
    for size in [1, 8, 36] {
        let mut padding: usize = 0;
        for batch in tokenized.rows().chunks_exact(size) {
            let rows: Vec<Vec<u32>> = batch.iter().map(|row| row.input_ids.clone()).collect();
            padding += pad(&rows, 0).iter().flatten().count() - rows.iter().flatten().count();
        }
        println!("batches of {size}: {padding} ids of padding, {} rows dropped", tokenized.len() % size);
    }
    // => contains "num_rows: 96"
    // => contains "batches of 1: 0 ids of padding, 0 rows dropped"
    // => contains "24 rows dropped"

    // %% [markdown]
    // ## Labels
    //
    // `labels` are what the model learns to predict: the ids themselves, moved by one inside of the model. A label of **−100** is
    // not learnt. The prompt is given, so it need not be learnt, and neither is padding.
    //
    // **Predict.** Is the end token learnt or not?

    // %% id=labels covers=58
    let options: TokenizeOptions = TokenizeOptions::new();
    let (masked, told): (TokenizedDataset, TokenizeReport) = tokenize_with(&guide, &tokenizer, &options)?;
    let labels: Vec<i32> = masked.get(0)?.labels.iter().map(|&label| label as i32).collect();
    println!("{labels:?}\n{told}");
    show(&guide.detect()?.preview(&tokenizer)?);
    // => contains "-100, -100"
    // => contains "<|endoftext|>"
    // => table of 2 rows

    // %% [markdown]
    // A conversation has more parts. Only what the assistant writes is learnt, with the sign that ends its turn: here by the chat
    // template of the real model.

    // %% id=chat covers=58
    std::fs::create_dir_all("scratch").expect("the folder of the notebook is writable");
    let turns =
        r#"{"messages": [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello."}]}"#;
    std::fs::write("scratch/chat.jsonl", turns).expect("scratch exists");
    let chat: Dataset = load_dataset("scratch/chat.jsonl")?;
    match chat.detect()?.preview(smol.tokenizer()?) {
        Ok(preview) => show(&preview),
        Err(error) => println!("{error}"),
    }
    // => smol: contains "Hello.<|im_end|>"

    // %% [markdown]
    // ## Split
    //
    // A tenth is held out, shuffled with seed 123. The order is that of NumPy's `default_rng(123).permutation(n)`, so a split in
    // Python has the same rows.

    // %% id=split covers=59
    println!("1,400 rows: {:?}", &permutation(1400, 123)[..5]);
    let (train, test): (Dataset, Dataset) = guide.train_test_split(0.1, 123)?;
    println!("train {}, test {}", train.len(), test.len());
    println!(
        "row 0 of the test is row {}: {}",
        permutation(96, 123)[0],
        test.get(0)? == guide.get(permutation(96, 123)[0])?
    );
    // => contains "1,400 rows: [602, 1120, 271, 634, 548]"
    // => contains "train 86, test 10"
    // => lacks "false"

    // %% [markdown]
    // **Predict.** The guide has each fact in four wordings. How many of the test's answers stand in the training rows?

    // %% id=leak covers=59
    fn shared(train: &Dataset, test: &Dataset) -> Result<usize> {
        let known = train.column("answer")?;
        Ok(test.column("answer")?.iter().filter(|answer| known.contains(answer)).count())
    }
    let (by_fact, unseen): (Dataset, Dataset) = guide.split_by_group(0.1, 123)?;
    println!("shuffled: {} of {} answers are known", shared(&train, &test)?, test.len());
    println!("by fact: {} of {}", shared(&by_fact, &unseen)?, unseen.len());
    // => contains "by fact: 0 of"

    // %% [markdown]
    // Neither is wrong; they measure different things. Other words for a known fact measure memory; a fact that is held out whole
    // measures knowledge. Know which one you have.

    // %% [markdown]
    // ## Data sets to try
    //
    // These ship. On the hub, the course that this one follows made three for fun: `lamini/taylor_swift`, `lamini/bts` and
    // `lamini/open_llms`; `load_dataset` takes such a name in the same place. Read a data set's card first: who wrote the rows, and what does
    // the licence allow?

    // %% id=sets covers=60
    for name in ["guide", "desk", "support", "instructions", "stories", "planted"] {
        println!("builtin:{name}: {}", load_dataset(&format!("builtin:{name}"))?);
    }
    match load_dataset("lamini/taylor_swift") {
        Ok(rows) => println!("from the hub: {rows}"),
        Err(error) => println!("from the hub: not now\n{error}"),
    }
    // => contains "builtin:support"
    // => contains "from the hub:"

    // %% [markdown]
    // ## Give your data to others
    //
    // `push_to_hub` publishes rows under your name, with a card. It needs a token with the right to write (`HF_TOKEN`). Here it asks a hub at
    // an address where none is, so that nothing leaves this machine; without the line `endpoint` it is the real hub.

    // %% id=push covers=61
    let nowhere: HubOptions = HubOptions {
        endpoint: Some("http://127.0.0.1:9".into()),
        token: Some("none".into()),
        ..Default::default()
    };
    let push: PushOptions = PushOptions { private: true, hub: nowhere, ..Default::default() };
    println!("{}", guide.push_to_hub("YOUR_NAME/guide", &push).expect_err("no hub is there"));
    // => contains "127.0.0.1:9"

    // %% [markdown]
    // ## Exercise 4.1
    //
    // Mask a conversation. Your function gets its turns, each with a role (`system`, `user`, `assistant`, `padding`) and its ids,
    // and returns one label for each id: the id itself where something is learnt, −100 elsewhere. The end token of a turn belongs to the
    // turn. The check asks with conversations that you do not see.

    // %% exercise=4.1
    {
        fn labels(turns: &[(String, Vec<u32>)]) -> Vec<i64> {
            let ids = turns.iter().flat_map(|(_, ids)| ids);
            ids.map(|&id| i64::from(id)).collect()
        }
        check("4.1", labels)?;
    }

    // %% solution=4.1
    {
        fn labels(turns: &[(String, Vec<u32>)]) -> Vec<i64> {
            let label = |role: &str, id: u32| if role == "assistant" { i64::from(id) } else { -100 };
            turns.iter().flat_map(|(role, ids)| ids.iter().map(move |&id| label(role, id))).collect()
        }
        check("4.1", labels)?;
    }

    // %% [markdown]
    // ## Exercise 4.2
    //
    // Twelve of the 40 rows of `builtin:planted` are spoilt: three are empty at a side, three stand there twice (the later one counts), three
    // have an answer that is cut, three have letters of a wrong encoding. Find their numbers, counted from 0. Print the rows, use the report
    // above, or write a filter.

    // %% exercise=4.2
    {
        let rows: Vec<usize> = vec![0];
        check("4.2", rows)?;
    }

    // %% solution=4.2
    {
        let rows: Vec<usize> = vec![3, 6, 9, 12, 15, 17, 21, 24, 27, 30, 34, 38];
        check("4.2", rows)?;
    }

    // %% [markdown]
    // ## Exercise 4.3
    //
    // Rebalance the first try of the guide: return rows of which no answer has more than a quarter. Keep as many as you can.

    // %% exercise=4.3
    {
        fn balanced(rows: &Dataset) -> Result<Dataset> {
            Ok(rows.clone())
        }
        check("4.3", balanced)?;
    }

    // %% solution=4.3
    {
        fn balanced(rows: &Dataset) -> Result<Dataset> {
            let mut kept: Vec<Example> = rows.iter().cloned().collect();
            let most = |kept: &[Example], row: &Example| {
                kept.iter().filter(|other| other["answer"] == row["answer"]).count()
            };
            while let Some(place) = kept.iter().rposition(|row| 4 * most(&kept, row) > kept.len()) {
                kept.remove(place);
            }
            Ok(Dataset::from_examples(kept))
        }
        check("4.3", balanced)?;
    }

    // %% [markdown]
    // ## What you saw
    //
    // - Wrong answers are learnt like right ones; too many equal answers become *the* answer; generated rows repeat themselves; more
    //   rows are better at equal computing.
    // - A row: join, template, ids, a limit, the end token, labels with −100 on what is given.
    // - A split by fact shares nothing.

    // %% id=recap
    println!("spoilt rows: loss × {:.1}", spoilt_loss / clean_loss);
    println!("shared answers by fact: {}", shared(&by_fact, &unseen)?);
    println!("ids of the first row: {}", tokens.input_ids.len());
    // => number after "spoilt rows: loss ×" > 1.5
    // => number after "shared answers by fact:" = 0 +- 0

    Ok(())
}
