//! Lesson 2. Where finetuning fits in: a model from random weights to sentences, and rows of any shape → the text that it reads.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 2. Where finetuning fits in
    //
    // *45 minutes, of which about 3 are computing.*
    //
    // **Goal.** You have seen a model learn to write from nothing, you know what pretraining leaves behind and what
    // finetuning adds, and you can turn rows of any shape into the text that a model reads.
    //
    // Where it says **Predict**, say your answer before you run the cell. A wrong guess is what you remember.

    // %% id=start
    use finetuning::*;

    /// The real model. With a network, any name of the hub can stand here.
    const MODEL: &str = "builtin:smol";
    /// A small base model that this course trained: it continues text, and no more.
    const BASE: &str = "builtin:base";
    // => nothing

    // %% [markdown]
    // ## From nothing
    //
    // - A model is a shape and many numbers, its weights. In the beginning the numbers are random.
    // - The tokenizer exists already: it knows 1,024 pieces of text, but not how they follow each other.
    //
    // **Predict.** A model with random weights continues "One morning". Words, letters, or nothing?

    // %% id=say
    fn say(model: &CausalLm, tokenizer: &Tokenizer, start: &str) -> Result<String> {
        let (max_new_tokens, temperature) = (24, 0.7);
        let drawn =
            GenerationConfig { do_sample: true, temperature, max_new_tokens, seed: 3, ..Default::default() };
        Ok(generate_texts(&[start], model, tokenizer, &drawn)?[0].replace('\n', " / "))
    }
    // => nothing

    // %% id=random covers=12
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained(BASE)?;
    let shape: NeoxConfig =
        NeoxConfig { max_position_embeddings: 512, ..NeoxConfig::new(tokenizer.vocab_size(), 128, 4, 4) };
    let model: CausalLm = CausalLm::random(shape, 1, Some(&tokenizer), &best_device())?;
    println!("{} parameters", model.parameter_count());
    println!("One morning{}", say(&model, &tokenizer, "One morning")?);
    // => contains "1055488 parameters"
    // => contains "One morning"

    // %% [markdown]
    // A salad of pieces: zero knowledge, not even of what a word is. Now the text to learn from: `builtin:stories`, small
    // stories, questions and talks, written by rules. All of it is one long stream of tokens, cut into rows of 192.

    // %% id=blocks
    let stories: Dataset = load_dataset("builtin:stories")?;
    let blocks: TokenizedDataset = tokenize_blocks(&stories, &tokenizer, 192)?;
    let (reading, held_out): (TokenizedDataset, TokenizedDataset) = blocks.train_test_split(0.02, 123)?;
    println!("{} texts, {} rows to read, {} held out", stories.len(), reading.len(), held_out.len());
    // => contains "1840 texts"

    // %% [markdown]
    // How wrong is the model before it has read anything? The **loss** is −ln of the probability that it gave to the token
    // that came. One of 1,024 tokens by pure chance: ln 1,024 = 6.93.

    // %% id=before
    let arguments: TrainingArguments = TrainingArguments {
        max_steps: 500,
        learning_rate: 3e-3,
        warmup_steps: 20,
        weight_decay: 0.01,
        ..Default::default()
    };
    let mut trainer: Trainer = Trainer::new(&model, arguments, reading, held_out)?;
    println!("loss {:.2}, by chance {:.2}", trainer.evaluate()?.loss, 1024f64.ln());
    // => number after "loss" = 6.95 +- 0.1

    // %% [markdown]
    // **Predict.** It takes 500 steps, each on 8 rows. At which step does it write words, and at which one a whole sentence?
    // The cell takes one to two minutes; a line comes as soon as it is written.

    // %% id=training covers=12,14
    let started: std::time::Instant = std::time::Instant::now();
    for stop in [0, 10, 30, 60, 120, 250, 500] {
        while trainer.history().len() < stop {
            trainer.step()?;
        }
        println!("step {stop:3}: One morning{}", say(&model, &tokenizer, "One morning")?);
    }
    let seconds: f64 = started.elapsed().as_secs_f64();
    // => 7 lines
    // => contains "step 500: One morning"

    // %% id=after
    show(&plot_loss(trainer.history()));
    println!("loss {:.2}", trainer.evaluate()?.loss);
    // => picture
    // => number after "loss" < 1.5

    // %% [markdown]
    // First signs and blanks, since they are frequent; then words; then words in an order that makes sentences. Nobody told
    // the model what a word is. The sense of a story comes last: more steps, and a larger model.
    //
    // ## Nobody marked an answer
    //
    // Where does it learn from, if no human wrote "right" or "wrong"? From the next token: each text is its own label,
    // moved by one place. That is **self-supervised** learning: it needs text, and no labels.

    // %% id=shifted covers=13
    let ids: Vec<u32> = tokenizer.encode("the dog sits down.")?;
    for place in 1..ids.len() {
        let (read, next) = (tokenizer.decode(&ids[..place])?, tokenizer.decode(&ids[place..place + 1])?);
        println!("reads {read:?}, must predict {next:?}");
    }
    // => contains "reads \"the\", must predict \" dog\""
    // => matches "*the dog sits down*, must predict \".\""

    // %% [markdown]
    // `builtin:base` is the same recipe after 3,000 steps. Its guesses as bars.
    //
    // **Predict.** In the stories a dog that hears "sit" sits down, runs away, looks at the sky, or barks. Which bars do you
    // expect?

    // %% id=bars covers=13
    let base: CausalLm = AutoModelForCausalLM::from_pretrained(BASE)?;
    let heard: String = [
        "Ana has a dog. The dog is little and very quick.",
        "It likes to run near the river. When Ana says \"sit\", the dog",
    ]
    .join(" ");
    let mut bars: Vec<Vec<String>> = Vec::new();
    for (token, probability) in next_tokens(&base, &tokenizer, &heard, 5)? {
        let bar: String = "█".repeat((40.0 * probability).round() as usize);
        bars.push(vec![format!("{token:?}"), format!("{:.1} %", 100.0 * probability), bar]);
    }
    show(&table(&["next token", "probability", ""], &bars));
    // => table of 5 rows
    // => contains "\" run\""
    // => contains "\" look\""

    // %% [markdown]
    // ## What pretraining leaves behind
    //
    // Language, as you saw, comes from little text. Knowledge needs much. `builtin:smol` has read two trillion tokens.
    //
    // **Predict.** How probable is " Paris" after "The capital of France is", and how probable " Berlin", for each of the two?

    // %% id=smol
    let smol: BasicModelRunner = BasicModelRunner::new(MODEL).or_else(|missing| {
        println!("{missing}\nThe lesson goes on with {BASE}, which knows much less.");
        BasicModelRunner::new(BASE)
    })?;
    println!("{} parameters", smol.model()?.parameter_count());
    // => smol: contains "134515008 parameters"
    // => contains "parameters"

    // %% id=capitals covers=14
    fn capital(name: &str, model: &CausalLm, tokenizer: &Tokenizer) -> Result<()> {
        let asked = "The capital of France is";
        let percent = |city| Ok::<f64, Error>(100.0 * log_probability(model, tokenizer, asked, city)?.exp());
        let guess = next_tokens(model, tokenizer, asked, 1)?[0].0.clone();
        let (paris, berlin) = (percent(" Paris")?, percent(" Berlin")?);
        println!("{name}: Paris {paris:.2} %, Berlin {berlin:.2} %, guess {guess:?}");
        Ok(())
    }
    capital("base", &base, &tokenizer)?;
    capital("the real model", smol.model()?, smol.tokenizer()?)?;
    // => number after "base: Paris" < 0.01
    // => smol: number after "real model: Paris" = 73 +- 10

    // %% [markdown]
    // The real model is rather certain of Paris. The small one has never read either name, though its sentences are sound.
    //
    // ## The data of pretraining
    //
    // Such data is large, so it is **streamed**: rows come one at a time, and you stop when you want. Here are the first five,
    // each cut after 120 letters.

    // %% id=stream covers=15
    let mut top: Vec<Example> = Vec::new();
    for row in stream_dataset("builtin:stories")?.take(5) {
        let start: String = row?.field("text")?.chars().take(120).collect();
        top.push(Example::new([("text", start)]));
    }
    let pretraining_top: Dataset = Dataset::from_examples(top);
    println!("{pretraining_top}");
    show(&pretraining_top);
    // => contains "rows: 5"
    // => table of 5 rows

    // %% [markdown]
    // - One column, `text`; no question, no answer.
    // - The same call streams a corpus of the hub by its name. *The Pile* (825 GiB of books, code, papers, web pages) was
    //   collected in the open by EleutherAI; what large firms' models have read is their secret.
    //
    // What does it cost? Training takes about 6 operations per parameter and token. How fast were you just now?

    // %% id=cost covers=15
    let flops: f64 = trainer.history().iter().map(|step| step.flops).sum();
    let yours: f64 = flops / seconds;
    let smols: f64 = 6.0 * 134.5e6 * 2e12;
    println!("you: {:.0} billion operations a second", yours / 1e9);
    println!("the real model took {smols:.1e} operations");
    println!("on this machine: {:.0} years", smols / yours / 3.156e7);
    // => contains "the real model took 1.6e21 operations"
    // => number after "on this machine:" > 50

    // %% [markdown]
    // Therefore you begin from a model that somebody else has pretrained.
    //
    // ## A base model alone
    //
    // **Predict.** You write "My parcel did not come." to a base model that has read many talks. Does it help you?

    // %% id=alone covers=16
    let talk: &'static str = "Customer: My parcel did not come.\nAgent:";
    println!("base, asked: {}\n", say(&base, &tokenizer, "What's your first name?")?);
    println!("base, in a talk: {}\n", inference(talk, &base, &tokenizer, 200, 80)?);
    println!("the real model: {}", smol.ask("My parcel did not come. What can I do?")?);
    // => contains "base, in a talk"
    // => contains "Customer:"

    // %% [markdown]
    // It goes on. Asked for its name it asks back; as a customer's text it writes both speakers, and no parcel is sent. A base model is not useful
    // alone. Three stages make an assistant, and each begins from the one before:
    //
    // ```text
    // random weights ─ pretraining ─▶ base ─ finetuning on pairs ─▶ instruct ─ preferences ─▶ chat model
    //                  all kinds of          question → answer          which of two
    //                  text                                             answers is better
    //                                              │
    //                                              └─ finetuning again, on your rows ─▶ your model
    // ```

    // %% [markdown]
    // ## How little finetuning needs
    //
    // **Predict.** `builtin:guide` has the rows of an assistant for this course. How many times more text does a model read
    // before such a finetuning than in it?

    // %% id=ratio covers=17
    let guide: Dataset = load_dataset("builtin:guide")?;
    let guide_tokens: usize = tokenize_dataset(&guide, &tokenizer, 512)?.tokens();
    let story_tokens: usize = 500 * 8 * 192;
    println!("{} rows, {guide_tokens} tokens", guide.len());
    println!("this lesson's model: {:.0} times", story_tokens as f64 / guide_tokens as f64);
    println!("the real model: about {:.0} million times", 2e12 / guide_tokens as f64 / 1e6);
    // => contains "96 rows"
    // => number after "this lesson's model:" > 50
    // => number after "the real model: about" > 100

    // %% [markdown]
    // The first ratio is that of a toy. The second one is why finetuning is cheap: the language is there already.

    // %% [markdown]
    // ## One loss, any rows, any weights
    //
    // Finetuning is the same step as pretraining: predict the next token, change the weights. You choose two things:
    //
    // - the **rows**: text without labels (self-supervised again), or pairs that somebody wrote;
    // - the **weights**: all of them, or a small adapter beside them (LoRA, lesson 7).
    //
    // **Predict.** In which of the four does the loss fall?

    // %% id=fall
    fn fall(what: &str, model: &CausalLm, rows: &TokenizedDataset, rate: f64) -> Result<()> {
        let arguments = TrainingArguments { max_steps: 40, learning_rate: rate, ..Default::default() };
        let mut trainer = Trainer::new(model, arguments, rows.clone(), rows.clone())?;
        let before = trainer.evaluate()?.loss;
        while trainer.history().len() < 40 {
            trainer.step()?;
        }
        println!("{what}: loss {before:.2} → {:.2}", trainer.evaluate()?.loss);
        Ok(())
    }
    // => nothing

    // %% id=four covers=18
    let card: String = std::fs::read_to_string("data/README.md").expect("the card of the data ships");
    let prose: Dataset = Dataset::from_examples(vec![Example::new([("text", card)])]);
    let text_rows: TokenizedDataset = tokenize_blocks(&prose, &tokenizer, 96)?;
    let pair_rows: TokenizedDataset = tokenize_dataset(&guide, &tokenizer, 512)?;
    let adapter: LoraConfig = LoraConfig::default();
    fall("text, all weights", &base.deep_clone()?, &text_rows, 1e-3)?;
    fall("text, an adapter", &base.deep_clone()?.with_lora(&adapter)?, &text_rows, 1e-2)?;
    fall("pairs, all weights", &base.deep_clone()?, &pair_rows, 1e-3)?;
    fall("pairs, an adapter", &base.deep_clone()?.with_lora(&adapter)?, &pair_rows, 1e-2)?;
    // => matches "text, all weights: loss * → *"
    // => matches "text, an adapter: loss * → *"
    // => matches "pairs, all weights: loss * → *"
    // => matches "pairs, an adapter: loss * → *"

    // %% [markdown]
    // In all four. The loss begins above 6.93, chance: this model is sure of its stories, and wrong about anything else.
    // And a finetuned model can be finetuned again: here on the messages of a shop, then on the guide.
    //
    // **Predict.** After the second one, what has become of the first?

    // %% id=again covers=16
    let desk: Dataset = load_dataset("builtin:desk")?;
    let desk_rows: TokenizedDataset = tokenize_dataset(&desk, &tokenizer, 512)?;
    let again: CausalLm = base.deep_clone()?;
    fall("first the desk", &again, &desk_rows, 1e-3)?;
    fall("then the guide", &again, &pair_rows, 1e-3)?;
    fall("and the desk once more", &again, &desk_rows, 1e-3)?;
    // => matches "first the desk: loss * → *"
    // => matches "then the guide: loss * → *"

    // %% [markdown]
    // Compare the end of the first line with the beginning of the third: the guide has cost a part of the desk. What is not
    // in the rows fades; lesson 6 measures it.

    // %% [markdown]
    // ## Behaviour and knowledge
    //
    // `builtin:guide` is the real model with an adapter that learnt nine of ten of those rows (lesson 5 makes one). Its test has
    // questions that no row had: taught facts in other words, facts that were never taught, and other topics, to be led back.
    //
    // **Predict.** Which kind goes best, and which worst?

    // %% id=only
    fn only(test: &Dataset, kind: &str, rows: usize) -> Dataset {
        test.filter(|row| row.get("kind") == Some(kind)).head(rows)
    }
    // => nothing

    // %% id=behaviour covers=19
    let test: Dataset = load_dataset("builtin:guide_test")?;
    let asked: Dataset = concatenate_datasets([
        &only(&test, "reworded", 12),
        &only(&test, "unseen", 10),
        &only(&test, "off-topic", 8),
    ])?;
    match BasicModelRunner::new("builtin:guide") {
        Ok(guide) => println!("{}", evaluate_kinds(guide.model()?, guide.tokenizer()?, &asked)?),
        Err(missing) => println!("{missing}"),
    }
    // => smol: number after "reworded" >= 8
    // => smol: number after "unseen" <= 2
    // => smol: number after "off-topic" >= 5

    // %% [markdown]
    // Behaviour carries over to topics that no row had. Knowledge is what the rows said, in whatever words; a fact that was
    // never taught is invented. And what the model believed before can be corrected:

    // %% id=corrected covers=19
    println!("before: {}\n", smol.ask("What does cargo lab do?")?);
    match BasicModelRunner::new("builtin:guide") {
        Ok(guide) => println!("after: {}", guide.ask("What does cargo lab do?")?),
        Err(missing) => println!("{missing}"),
    }
    // => contains "before:"
    // => smol: contains "after: The command cargo lab"

    // %% [markdown]
    // ## What finetuning is for
    //
    // | task | text in → text out | example |
    // |---|---|---|
    // | extraction, reading | long → short | keywords, topic, routing |
    // | expansion, writing | short → long | e-mail, code, chat |
    // | an agent's step | state → an action | which tool, with which input |
    //
    // **Predict.** For which of these does the real model, without any finetuning, give what a program could use?

    // %% id=tasks covers=20
    let message: &'static str = "\"Hello, my lamp of order 4117 came broken. Please send a new one. Mia\"";
    let tasks: [String; 4] = [
        "List three keywords of this message, and nothing else:",
        "Name the topic of this message in one word:",
        "Which department must read this message, Sales or Repairs? One word:",
        "Say which tool is needed, search(order) or refund(order), for this message:",
    ]
    .map(|task| format!("{task} {message}"));
    for (task, answer) in tasks.iter().zip(smol.ask_batch(&tasks)?) {
        println!("{task}\n→ {answer}\n");
    }
    // => contains "→"

    // %% [markdown]
    // None of the four, though each answer is fluent. `builtin:desk` is the same model with an adapter for one task
    // (order, item, problem, name), learnt from the 150 messages of `builtin:support`.

    // %% id=desk covers=20
    match BasicModelRunner::new("builtin:desk") {
        Ok(reader) => println!("{}", reader.ask(message.trim_matches('"'))?),
        Err(missing) => println!("{missing}"),
    }
    // => smol: contains "order=4117"

    // %% [markdown]
    // ## Bad, good, better
    //
    // Before rows are written, somebody must know what a better answer is. **Predict**: rank these three replies to "My parcel
    // did not come. Order 4117, Mia". Which would you want as a customer, and why?
    //
    // 1. I'm sorry for your loss. It is a difficult time, and I am here to help you through it.
    // 2. I am sorry that your parcel has not come. Please contact our service.
    // 3. Order 4117 is lost on its way, Mia. A new one leaves today and is with you by Friday.
    //
    // The first misreads the message. The second is polite and changes nothing. The third has the order, an action, a date.
    // Write down such a list for your task, bad, good, better, before you train.

    // %% id=replies covers=20,21
    println!("{}", smol.ask("Reply as a shop to this customer: My parcel did not come. Order 4117, Mia")?);
    // => smol: lacks "Friday"

    // %% [markdown]
    // ## Your first finetuning, in five steps
    //
    // 1. **Prompt** a large model with tasks that you care about.
    // 2. **Find** one that it does *ok*: not badly, not well.
    // 3. **Pick** that one task.
    // 4. **Collect** about 1,000 pairs of input and output, each better than the model's "ok".
    // 5. **Finetune** a small model on them, and compare.
    //
    // Fill in the card below for a task of yours; lesson 8 begins from it.

    // %% id=card covers=22
    let my_card: Vec<(&'static str, &'static str)> = vec![
        ("task", "which order, item and problem is a message about?"),
        ("the model's ok", "names the item, forgets the number"),
        ("better", "order=4117; item=lamp; problem=broken; name=Mia"),
        ("where pairs come from", "old messages of the shop"),
    ];
    for (line, text) in &my_card {
        println!("{line:22} {text}");
    }
    // => 4 lines
    // => contains "order=4117; item=lamp"

    // %% [markdown]
    // ## Finetuning data
    //
    // The second half of this lesson is by hand. One row is one question with its answer, a JSON object a line (`.jsonl`).
    // As a table of the library `polars`:

    // %% id=frame covers=23
    let data: Dataset = Dataset::from_jsonl("data/guide.jsonl")?;
    println!("{data}");
    let frame: polars::prelude::DataFrame = data.to_frame()?;
    println!("(rows, columns) = {:?}", frame.shape());
    show(&frame.head(Some(5)));
    // => contains "(rows, columns) = (96, 2)"
    // => table of 5 rows

    // %% [markdown]
    // A model reads one text, not columns. The simplest way is to put the answer behind the question. Look at the place where
    // the two meet: there is nothing between them.

    // %% id=joined covers=24
    let row: Example = data.get(0)?.clone();
    let text: String = row.field("question")?.to_string() + row.field("answer")?;
    println!("{text}");
    // => contains "?P"

    // %% [markdown]
    // Data sets name their columns in different ways. The function looks which columns are there.

    // %% id=branches covers=25
    fn joined(example: &Example) -> Result<String> {
        let pairs = [("question", "answer"), ("instruction", "response"), ("input", "output")];
        for (prompt, completion) in pairs {
            if let (Some(prompt), Some(completion)) = (example.get(prompt), example.get(completion)) {
                return Ok(prompt.to_string() + completion);
            }
        }
        Ok(example.field("text")?.to_string())
    }
    // => nothing

    // %% [markdown]
    // One example of each shape. `concatenate` is the crate's own function: do both agree? And what about columns that neither
    // knows?

    // %% id=shapes covers=25
    let shapes: Vec<Example> = vec![
        Example::new([("question", "What is a token?"), ("answer", "A piece of text.")]),
        Example::new([("instruction", "Name a color."), ("response", "Green.")]),
        Example::new([("input", "2 + 2"), ("output", "4")]),
        Example::new([("text", "The cat sits on the mat.")]),
    ];
    for shape in &shapes {
        println!("{:?} → the same: {}", shape.names(), joined(shape)? == concatenate(shape)?);
    }
    let strange: Example = Example::new([("ask", "Hi"), ("reply", "Hello")]);
    println!("{}", concatenate(&strange).expect_err("it has no known columns"));
    // => matches "*question*answer* → the same: true"
    // => lacks "false"
    // => contains "hint"

    // %% [markdown]
    // ## A template
    //
    // A template marks where the question ends and the answer begins. Text in braces is the name of a column.

    // %% id=template covers=26
    println!("{QUESTION_ANSWER_TEMPLATE}\n-----");
    println!("{}", PromptTemplate::question_answer().format(&row)?);
    // => contains "### Question:\n{question}\n\n### Answer:\n{answer}"

    // %% [markdown]
    // The second one ends after `### Answer:`. This is how a model is asked: it goes on where the text ends.

    // %% id=question covers=27
    println!("{QUESTION_TEMPLATE}\n-----");
    println!("{}", PromptTemplate::question().format(&row)?);
    // => contains "### Answer:"
    // => lacks "{answer}"

    // %% [markdown]
    // All rows in two forms: `text_only` holds question and answer in one text; `question_answer` keeps them apart, so that it
    // is known where the prompt ends.

    // %% id=lists covers=28
    let mut text_only: Vec<Example> = Vec::new();
    let mut question_answer: Vec<Example> = Vec::new();
    for row in &data {
        let text: String = PromptTemplate::question_answer().format(row)?;
        let prompt: String = PromptTemplate::question().format(row)?;
        text_only.push(Example::new([("text", text)]));
        question_answer.push(Example::new([("question", prompt.as_str()), ("answer", row.field("answer")?)]));
    }
    println!("{}\n{}", text_only[0], question_answer[0]);
    // => contains "### Question:"

    // %% [markdown]
    // Write both, and read again: is it what was written? Files of a lesson go into the folder `scratch`.

    // %% id=write covers=29
    std::fs::create_dir_all("scratch").expect("the folder of the notebook is writable");
    let processed: Dataset = Dataset::from_examples(question_answer.clone());
    Dataset::from_examples(text_only.clone()).to_jsonl("scratch/guide_text_only.jsonl")?;
    processed.to_jsonl("scratch/guide_processed.jsonl")?;
    let read_again: Dataset = Dataset::from_jsonl("scratch/guide_processed.jsonl")?;
    println!("{read_again}\nthe same rows: {}", read_again == processed);
    // => contains "the same rows: true"

    // %% [markdown]
    // What could go wrong: a line that is no JSON. The error names it; a row is never lost in silence.

    // %% id=broken covers=29
    std::fs::write("scratch/broken.jsonl", "{\"question\": \"Hi\"}\n{\"question\": \n")
        .expect("scratch exists");
    println!("{}", Dataset::from_jsonl("scratch/broken.jsonl").expect_err("its second line is broken"));
    // => contains "broken.jsonl:2"

    // %% [markdown]
    // `load_dataset` takes a name in place of a path: `builtin:`, or that of a data set of the hub. Without a network the second
    // call says so.

    // %% id=hub covers=30
    println!("the same rows: {}", load_dataset("builtin:guide")? == data);
    match load_dataset("lamini/lamini_docs") {
        Ok(rows) => println!("from the hub: {rows}"),
        Err(error) => println!("from the hub: not now\n{error}"),
    }
    // => contains "the same rows: true"
    // => contains "from the hub:"

    // %% [markdown]
    // ## Exercise 2.1
    //
    // Six texts of one training run, at the steps 0, 10, 30, 60, 120 and 500, in another order (`/` is a new line). Put the
    // letters into the order of the steps. Where you doubt, ask the trained model how surprised it is:
    // `log_probability(&base, &tokenizer, start, rest)?`, divided by the number of tokens.
    //
    // | | text |
    // |---|---|
    // | A | After school near does is a. / is.I ball on a he Good?" wanted the there day. a a morning. |
    // | B | In the evening. Noah had his sister came, butter. So he helped the farmer build another one cold day, he said |
    // | C | After school kitten brought Oneave n field&cheock box for nkereddaltHave two When far |
    // | D | In the evening, and went there. Ben has many friend. / A kite again. / Leo asked his aunt took |
    // | E | In the evening, she could not sleep. She heard a noise from the farm. He took a lamp and went outside. It was |
    // | F | After school. / What's your lamp and sat. / What and. So down. / Agent: Good. "Because is |

    // %% exercise=2.1
    {
        let order: &str = "ABCDEF";
        check("2.1", order)?;
    }

    // %% solution=2.1
    {
        let order: &str = "CAFDBE";
        check("2.1", order)?;
    }

    // %% [markdown]
    // ## Exercise 2.2
    //
    // Rows from elsewhere have the columns `prompt` and `completion`. Teach `joined` that shape too. The check gives your
    // function rows that you do not see: all five shapes, rows with more columns than needed, and one with none of them.

    // %% exercise=2.2
    {
        fn joined(row: &Example) -> Result<String> {
            let pairs = [("question", "answer"), ("instruction", "response"), ("input", "output")];
            for (prompt, completion) in pairs {
                if let (Some(prompt), Some(completion)) = (row.get(prompt), row.get(completion)) {
                    return Ok(prompt.to_string() + completion);
                }
            }
            Ok(row.field("text")?.to_string())
        }
        check("2.2", joined)?;
    }

    // %% solution=2.2
    {
        fn joined(row: &Example) -> Result<String> {
            let pairs = ["question answer", "instruction response", "input output", "prompt completion"];
            for (prompt, completion) in pairs.iter().filter_map(|pair| pair.split_once(' ')) {
                if let (Some(prompt), Some(completion)) = (row.get(prompt), row.get(completion)) {
                    return Ok(prompt.to_string() + completion);
                }
            }
            Ok(row.field("text")?.to_string())
        }
        check("2.2", joined)?;
    }

    // %% [markdown]
    // ## Exercise 2.3
    //
    // Write the *better* reply to this customer, as a row would hold it: "Where is my parcel? Order 4117. Mia". The check looks
    // for the order, for something that the shop does, and for at most 30 words.

    // %% exercise=2.3
    {
        let reply: &str = "We are sorry. Please wait.";
        check("2.3", reply)?;
    }

    // %% solution=2.3
    {
        let reply: &str =
            "Order 4117 was lost on its way, Mia. We send it again today; it arrives by Friday.";
        check("2.3", reply)?;
    }

    // %% [markdown]
    // ## What you saw
    //
    // - Pretraining: from random weights, by the next token, on text without labels. It leaves language, and knowledge where the
    //   text is large. It costs centuries of your machine, so somebody else does it.
    // - Finetuning: the same loss on few rows of your own, text or pairs, all weights or an adapter; and again, if you want.
    // - A row becomes one text by its columns and a template; the answer's place must be known.

    // %% id=recap
    println!("loss at the start {:.2}", trainer.history()[0].loss);
    println!("loss after 500 steps {:.2}", trainer.evaluate()?.loss);
    println!("rows written {}", read_again.len());
    // => number after "loss at the start" = 6.95 +- 0.1
    // => number after "loss after 500 steps" < 1.5
    // => number after "rows written" = 96 +- 0

    Ok(())
}
