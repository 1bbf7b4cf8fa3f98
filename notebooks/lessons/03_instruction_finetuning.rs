//! Lesson 3. Instruction finetuning: rows that instruct, where they come from, and what models make of them.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 3. Instruction finetuning
    //
    // **Goal.** Know the kinds of instruction data, make rows of your own from documents and from a model, fill the two
    // templates, and see why a model must be asked as it was trained.
    // **Time.** 50 minutes to read and try; about one minute of it is computing.
    //
    // Instruction finetuning teaches a model to do what a text asks for. It gave chat models their interface. Its data
    // are instructions with good responses.

    // %% id=names
    use finetuning::*;
    const MODEL: &str = "builtin:smol";
    // => nothing

    // %% id=load
    let base: BasicModelRunner = BasicModelRunner::new("builtin:base")?;
    let assistant: BasicModelRunner = BasicModelRunner::new(available(&[MODEL, "builtin:base"])?)?;
    let guide: BasicModelRunner = BasicModelRunner::new(available(&["builtin:guide", "builtin:base"])?)?;
    println!("{} parameters", assistant.model()?.parameter_count());
    // => matches "* parameters"

    // %% [markdown]
    // ## Predict: which of these can it do?
    //
    // One instruction of each kind that people finetune for: reasoning, routing, a copilot, a chat, an agent's step.
    // Which of the five will a model of 135 million parameters do well?

    // %% id=kinds covers=31
    let kinds: [(&str, &str); 5] = [
        ("reasoning", "Tom has 3 apples and buys 4. He eats 2. How many are left? Think step by step."),
        ("routing", "Choose one word, billing or shipping, for this message: \"My parcel did not come.\""),
        ("copilot", "Complete this Rust function: fn square(x: i32) -> i32 {"),
        ("chat", "Hello! I would like to learn how to cook. Where do I start?"),
        ("agent", "You can call search(text) or mail(name). Which call finds the price of a lamp?"),
    ];
    for (kind, instruction) in kinds {
        println!("{kind}: {}\n", assistant.ask(instruction)?);
    }
    // => contains "agent: "

    // %% [markdown]
    // Chat works, and most of the rest does not. Each of these kinds is a data set that somebody collected. Which one do
    // you need?
    //
    // ## Where rows come from
    //
    // Perhaps you have them already: a list of questions, talks of the support, a channel of your team. Other columns, the
    // same rows.

    // %% id=sources covers=32
    let faq: Example = Example::new([("question", "When do you open?"), ("answer", "At nine.")]);
    let support: Example =
        Example::new([("prompt", "My lamp flickers."), ("completion", "Please turn the bulb once.")]);
    let slack: Example =
        Example::new([("instruction", "how do i get a badge?"), ("response", "Ask Mira at the desk.")]);
    let mut texts: Vec<Vec<String>> = Vec::new();
    for (source, row) in [("FAQ", faq), ("support", support), ("chat export", slack)] {
        texts.push(vec![source.to_string(), concatenate(&row)?]);
    }
    show(&table(&["source", "one text"], &texts));
    // => table of 3 rows

    // %% [markdown]
    // ## Predict: how many rows are in a document?
    //
    // No questions at hand? A document has headings, and a template turns each section into a row. Here are the course's
    // own recipes: twenty tasks, each with a few words. Look at the last column: each row says where it came from.

    // %% id=documents covers=33
    let recipes = finetuning::source::builtin::root().join("recipes.md");
    let sections: Sections =
        Sections::read(&recipes, &SectionOptions::default().with_min_words(4), assistant.tokenizer()?)?;
    let ask_how = PromptTemplate::new("How do I do this: {heading}?");
    let rows: Dataset = sections.to_rows_with(&ask_how)?;
    println!("{} rows of {} sections", rows.len(), sections.sections.len());
    show(&rows.skip(1).head(4).select_columns(&["question", "source_file", "line"])?);
    // => number after "" >= 15
    // => table of 4 rows

    // %% [markdown]
    // ## Predict: usable?
    //
    // A model can write rows, too: Alpaca's 52,000 were written by GPT-3.5 from 175 of people. Let our assistant say
    // questions in other words, shown how by three examples.

    // %% id=seeds covers=34
    let seeds: [&str; 6] = [
        "How do I save a model?",
        "What does a tokenizer do?",
        "Why is my loss so high?",
        "How long does training take?",
        "Where are the weights stored?",
        "Which optimizer should I use?",
    ];
    // => nothing

    // %% id=shown covers=34
    let mut shown: Vec<Message> = vec![Message::system("You say questions in other words.")];
    for (question, other) in [
        ("When do you open?", "At what time does the shop open?"),
        ("What is the price?", "How much does it cost?"),
        ("How can I reach you?", "What is the best way to contact you?"),
    ] {
        shown.push(Message::user(format!("In other words: {question}")));
        shown.push(Message::assistant(other));
    }
    // => nothing

    // %% id=generate covers=34
    let cool = GenerationConfig { do_sample: true, temperature: 0.3, ..Default::default() };
    let drawn = GenerationConfig { max_new_tokens: 20, seed: 4, ..cool };
    let asked: Vec<Vec<Message>> = seeds
        .iter()
        .map(|seed| [shown.clone(), vec![Message::user(format!("In other words: {seed}"))]].concat())
        .collect();
    let written: Vec<String> = ask_texts(&asked, assistant.model()?, assistant.tokenizer()?, &drawn)?;
    for (seed, reply) in seeds.iter().zip(&written) {
        println!("{seed} → {}", reply.lines().next().unwrap_or(""));
    }
    // => 6 lines

    // %% [markdown]
    // Keep what lies between a copy and another question. `token_f1` counts the words in common: 1 is a copy, near 0 a
    // stranger.

    // %% id=filter covers=34
    let mut kept: Vec<String> = Vec::new();
    for (seed, reply) in seeds.iter().zip(&written) {
        let line: &str = reply.lines().next().unwrap_or("");
        let common: f64 = token_f1(seed, line);
        println!("{common:.2}  {line}");
        if (0.3..0.9).contains(&common) {
            kept.push(line.to_string());
        }
    }
    println!("{} of {} kept", kept.len(), seeds.len());
    // => matches "* of 6 kept"

    // %% [markdown]
    // - A small model rewords some questions and spoils others, so a filter is a must. Whole new questions from a paragraph
    //   it cannot write: a large model can. With a key, `BasicModelRunner::new("openai:NAME")?` writes them in this cell.
    // - What a model wrote may not always be used: read the licence of the model first.
    //
    // ## The Alpaca data
    //
    // With a network: `stream_dataset("tatsu-lab/alpaca")?`. The rows that ship have the same three columns. Stream five
    // and look at `input`: in some rows it is empty.

    // %% id=stream covers=37
    let top: Vec<Example> =
        stream_dataset("builtin:instructions")?.take(5).collect::<Result<Vec<Example>>>()?;
    show(&Dataset::from_examples(top));
    // => table of 5 rows

    // %% [markdown]
    // ## Two templates
    //
    // One for rows with an input, one for rows without. Both end with `### Response:`, where the model goes on.

    // %% id=templates covers=38
    println!("{INSTRUCTION_INPUT_TEMPLATE}");
    println!("\n=====\n");
    println!("{INSTRUCTION_TEMPLATE}");
    // => contains "### Input:"
    // => contains "### Response:"

    // %% [markdown]
    // ## Hydrate
    //
    // To hydrate a template is to fill it with the fields of a row. An empty `input` selects the shorter one.

    // %% id=hydrate covers=39
    fn hydrated(row: &Example) -> Result<Example> {
        let template = match row.field("input")?.is_empty() {
            true => PromptTemplate::instruction(),
            false => PromptTemplate::instruction_with_input(),
        };
        Ok(Example::new([("input", template.format(row)?), ("output", row.field("output")?.to_string())]))
    }
    // => nothing

    // %% id=hydrate-all covers=39
    let mut processed: Vec<Example> = Vec::new();
    for row in stream_dataset("builtin:instructions")? {
        processed.push(hydrated(&row?)?);
    }
    println!("{} rows", processed.len());
    println!("{} {}", processed[0].field("input")?, processed[0].field("output")?);
    // => contains "120 rows"
    // => contains "### Response:"

    // %% [markdown]
    // What could go wrong: a row that is read by `input` and `output` alone loses its instruction. The Python course reads its
    // raw rows so; here it is asked for by name. `concatenate` hydrates a raw row by itself.

    // %% id=lost covers=39
    for row in load_dataset("builtin:instructions")?.iter().filter(|row| !row["input"].is_empty()).take(1) {
        println!("instruction: {}", &row["instruction"]);
        println!("lost it: {:?}", Shape::InputOutput.read(row)?);
        println!("has it:  {:?}", concatenate(row)?);
    }
    // => contains "has it:"

    // %% id=save covers=40
    std::fs::create_dir_all("scratch").expect("the folder of the notebook is writable");
    Dataset::from_examples(processed.clone()).to_jsonl("scratch/alpaca_processed.jsonl")?;
    let read_again: Dataset = Dataset::from_jsonl("scratch/alpaca_processed.jsonl")?;
    println!("{read_again}; equal: {}", read_again.get(0)? == &processed[0]);
    // => contains "equal: true"

    // %% [markdown]
    // The processed set is on the hub as `lamini/alpaca`. The cell takes it from this machine's cache; without
    // `local_files_only` it would ask the hub. Where it is not there, the file that you just wrote takes its place.

    // %% id=hub covers=41
    let offline = DataOptions::new().with_hub(HubOptions { local_files_only: true, ..Default::default() });
    match load_dataset_with("lamini/alpaca", &offline) {
        Ok(dataset) => println!("from the hub: {dataset}"),
        Err(_) => println!("lamini/alpaca is not in the cache"),
    }
    println!("the twin: {}", load_dataset("scratch/alpaca_processed.jsonl")?);
    // => contains "the twin: "

    // %% [markdown]
    // ## Predict: three models and a dog
    //
    // One is not finetuned, one is, and one is hosted: a service gives its answers. Here that service is this machine's
    // own, so no key is needed and no prompt leaves.

    // %% id=hosted covers=42
    let served: &str = available(&[MODEL, "builtin:base"])?;
    let service: Server = serve(served)?;
    let hosted: BasicModelRunner = BasicModelRunner::new(&format!("openai:{served}@{}", service.url()))?;
    println!("{}", service.models().join(", "));
    // => contains "builtin:"

    // %% id=dog covers=42
    let dog: &str = "Tell me how to train my dog to sit";
    let card = SideBySide::new(dog).with_answer("not finetuned", base.ask(dog)?);
    let card = card.with_answer("finetuned", assistant.ask(dog)?).with_answer("hosted", hosted.ask(dog)?);
    show(&side_by_side(&[card]));
    // => contains "not finetuned"

    // %% [markdown]
    // - The base goes on as one of its texts would. The assistant gives advice: read whether it is good.
    // - The hosted one is the assistant behind a service, so its answer is the same.
    // - With a key, put `OPENAI_API_KEY` into the shell that starts the notebook and write
    //   `BasicModelRunner::new("openai:gpt-4o-mini")?`. The key is read from there alone: no cell shows it.
    //
    // A service can refuse or be away. A prompt that fails leaves the others as they are: look at the second one.

    // %% id=failures
    for answer in hosted.try_ask_batch(&["What is a dog?", "", "What is a cat?"]) {
        match answer {
            Ok(text) => println!("{}", text.lines().next().unwrap_or("")),
            Err(error) => println!("failed: {error}"),
        }
    }
    // => contains "failed: "

    // %% [markdown]
    // ## Predict: which form does the assistant know?
    //
    // The same question in three forms: the template it was trained with, the bare text, and this course's question
    // template. In which forms does it answer?

    // %% id=forms covers=38
    let what: Example = Example::new([("question", "What is the capital of France?")]);
    let form: String = PromptTemplate::question().format(&what)?;
    println!("its own:  {:?}", assistant.ask(&what["question"])?);
    println!("bare:     {:?}", assistant.complete(&what["question"])?);
    println!("template: {:?}", assistant.complete(&form)?);
    // => contains "template: "
    // => smol: contains "its own:  \"The capital of France is Paris.\""

    // %% [markdown]
    // A model must be asked in the form of its training data: the right text in another form gives nothing, or more than was
    // asked. Most first prototypes have this fault.
    //
    // ## Temperature, live
    //
    // `stream_text` prints as the model writes. At 0 it takes the likeliest token, at 0.7 it varies, at 1.5 it grows wild.

    // %% id=temperature
    let turn: String = assistant.tokenizer()?.prompt(&[Message::user("Tell me one thing about the sea.")])?;
    for temperature in [0.0, 0.7, 1.5] {
        let own = GenerationConfig { max_new_tokens: 30, ..Default::default() };
        let hot = GenerationConfig { do_sample: true, temperature, ..own.clone() };
        let config = if temperature == 0.0 { own } else { hot };
        print!("{temperature}: ");
        stream_text(&turn, assistant.model()?, assistant.tokenizer()?, &config)?;
        println!("\n");
    }
    // => contains "1.5: "

    // %% [markdown]
    // ## Predict: not in the rows, and yet right?
    //
    // Instruction data do not hold everything that a model is asked later. Do the guide's rows name France, do they define
    // a function? Search them, then ask the guide, and the assistant that it was made of.

    // %% id=untaught covers=35
    let taught: Dataset = load_dataset("builtin:guide")?;
    for word in ["France", "def "] {
        let rows = taught.filter(|row| row.to_string().contains(word)).len();
        println!("{rows} of {} rows have {word:?}", taught.len());
    }
    for question in ["What is the capital of France?", "Write a Python function that doubles a number."] {
        println!("{question}\nguide: {}\nassistant: {}\n", guide.ask(question)?, assistant.ask(question)?);
    }
    // => contains "0 of 96 rows have"
    // => smol: contains "guide: Let's keep"
    // => smol: contains "Paris"
    // => smol: contains "def "

    // %% [markdown]
    // The guide leads back what none of its rows asks: a few rows change a manner everywhere. The knowledge came with
    // pretraining, and the assistant still shows it.
    //
    // ## By hand: tokenizer and model
    //
    // `inference` is the course's helper: text, model, tokenizer and two limits. From the hub, the name would be
    // `EleutherAI/pythia-70m`.

    // %% id=by-hand covers=43
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained("builtin:base")?;
    let model: CausalLm = AutoModelForCausalLM::from_pretrained("builtin:base")?;
    let text: &str = "The cat went to the";
    println!("{}", inference(text, &model, &tokenizer, 1000, 40)?);
    // => 1.. lines

    // %% [markdown]
    // ## Inside `inference`
    //
    // Text to ids, ids to more ids, ids to text. The output holds the prompt, so the prompt is cut off the front. `decode`
    // skips special tokens: the end token is not in the text.

    // %% id=inside covers=44
    let ids: Vec<u32> = truncate(&tokenizer.encode(text)?, 1000, Side::Right);
    let output: Vec<u32> = generate(&model, &ids, 40, tokenizer.eos_id(), GenerationConfig::default())?;
    let whole: String = tokenizer.decode(&output)?;
    println!("{} ids in, {} ids out", ids.len(), output.len());
    println!("{whole}");
    println!("the answer alone: {}", whole.chars().skip(text.chars().count()).collect::<String>());
    // => matches "* ids in, * ids out"

    // %% [markdown]
    // - `max_output_tokens` bounds the prompt **and** the answer: here 40 together.
    // - `max_input_tokens` keeps the *first* tokens of a long prompt. A question without its end is another question.
    // - A prompt that fills the limit leaves no room, and that is an error.

    // %% id=limits covers=44
    println!("{:?}", tokenizer.decode(&truncate(&ids, 3, Side::Right))?);
    if let Err(error) = inference(text, &model, &tokenizer, 1000, ids.len()) {
        println!("{error}");
    }
    // => 2.. lines

    // %% [markdown]
    // ## Predict: a test row
    //
    // A row that the guide was never trained on: a fact in new words. The assistant first, then its finetuned twin.

    // %% id=test-row covers=45
    let test: Dataset = load_dataset("builtin:guide_test")?.filter(|row| &row["kind"] == "reworded");
    let mut cards: Vec<SideBySide> = Vec::new();
    for row in test.head(3).iter() {
        let card = SideBySide::new(&row["question"]).with_target(&row["answer"]);
        let card = card.with_answer("assistant", assistant.ask(&row["question"])?);
        cards.push(card.with_answer("guide", guide.ask(&row["question"])?));
    }
    show(&side_by_side(&cards));
    // => contains "guide"

    // %% [markdown]
    // ## The cycle
    //
    // Prepare rows, train, evaluate, and prepare again. The guide's first version had 162 rows, 60 of which led back: it
    // led *everything* back. Its second has fewer rows and better ones. Compare the shares of the most frequent answer.

    // %% id=cycle covers=36
    for name in ["builtin:guide_v1", "builtin:guide"] {
        let answers: Vec<String> = load_dataset(name)?.column("answer")?;
        let most: usize =
            answers.iter().map(|one| answers.iter().filter(|other| *other == one).count()).max().unwrap_or(0);
        println!("{name}: {} rows, {most} with one answer", answers.len());
    }
    let right: AnswerReport = evaluate_answers(guide.model()?, guide.tokenizer()?, &test, -1)?;
    println!("the second version, on new wordings: {right}");
    // => contains "builtin:guide: "
    // => smol: number after "questions:" >= 3

    // %% [markdown]
    // ## Exercise 3.1
    //
    // A colleague's rows have other columns: `task`, `context` and `reply`. Where there was nothing to add, somebody typed a blank into
    // `context`. Write `hydrate(row)`: a row with `input` (the filled template) and `output`. The check tries rows that you do not see.

    // %% exercise=3.1
    {
        fn hydrate(row: &Example) -> Result<Example> {
            let named = Example::new([("instruction", row.field("task")?), ("input", row.field("context")?)]);
            let filled = PromptTemplate::instruction_with_input().format(&named)?;
            Ok(Example::new([("input", filled), ("output", row.field("reply")?.to_string())]))
        }
        check("3.1", hydrate)?;
    }

    // %% solution=3.1
    {
        fn hydrate(row: &Example) -> Result<Example> {
            let context = row.field("context")?.trim();
            let named = Example::new([("instruction", row.field("task")?), ("input", context)]);
            let filled = match context.is_empty() {
                true => PromptTemplate::instruction().format(&named)?,
                false => PromptTemplate::instruction_with_input().format(&named)?,
            };
            Ok(Example::new([("input", filled), ("output", row.field("reply")?.to_string())]))
        }
        check("3.1", hydrate)?;
    }

    // %% [markdown]
    // ## Exercise 3.2
    //
    // This chat says next to nothing. Mend it; it needs the real model. The check takes a function from a question to a reply, and asks two
    // questions of its own.

    // %% exercise=3.2
    {
        let runner: BasicModelRunner = BasicModelRunner::new(available(&["builtin:smol", "builtin:base"])?)?;
        check("3.2", move |question: &str| -> Result<String> { runner.complete(question) })?;
    }

    // %% solution=3.2
    {
        let runner: BasicModelRunner = BasicModelRunner::new(available(&["builtin:smol", "builtin:base"])?)?;
        check("3.2", move |question: &str| -> Result<String> { runner.ask(question) })?;
    }

    // %% [markdown]
    // ## Exercise 3.3
    //
    // Write a filter for generated rows, `keeps(original, generated)`: no copies, no strangers. On 20 hidden pairs at least
    // 90 % of what it keeps must be good, and it must keep 70 % of what is good.

    // %% exercise=3.3
    {
        fn keeps(original: &str, generated: &str) -> bool {
            original != generated
        }
        check("3.3", keeps)?;
    }

    // %% solution=3.3
    {
        fn keeps(original: &str, generated: &str) -> bool {
            (0.2..0.95).contains(&token_f1(original, generated))
        }
        check("3.3", keeps)?;
    }

    // %% [markdown]
    // ## Recap
    //
    // - Rows come from people, documents and models. Each row keeps where it came from; generated rows pass a filter.
    // - Templates make one text of a row. A model is asked in the form that it was trained in.
    // - Checked here: 120 rows hydrated and read back equal; the guide leads back a question that none of its rows has.
    //
    // Next: how rows become tokens, and which rows deserve it.

    Ok(())
}
