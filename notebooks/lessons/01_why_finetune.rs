//! Lesson 1. Why finetune: a base model, an assistant and a guide answer the same questions.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 1. Why finetune
    //
    // **Goal.** See what finetuning changes in a model, what a prompt alone can do, and what neither gives you.
    // **Time.** 45 minutes to read and try; about one minute of it is computing.
    //
    // - Three models answer the same questions. The *base* only goes on with text. The *assistant* was finetuned to
    //   follow instructions. The *guide* is the assistant, finetuned again on a hundred rows about this course.
    // - Where a heading says **predict**, write down what you expect. Then run the cell with Shift+Enter.
    // - The cells build on each other: run them from top to bottom.

    // %% id=names
    use finetuning::*;
    const MODEL: &str = "builtin:smol";
    // => nothing

    // %% [markdown]
    // - `MODEL` is SmolLM2-135M-Instruct, which `cargo lab setup` fetched once. With a network, the name of any chat model
    //   of the hub can stand there.
    // - `available` takes the first name that is on this machine. Without the real model the lesson goes on with the small
    //   base, and says so.

    // %% id=load
    let base: BasicModelRunner = BasicModelRunner::new("builtin:base")?;
    let assistant: BasicModelRunner = BasicModelRunner::new(available(&[MODEL, "builtin:base"])?)?;
    let guide: BasicModelRunner = BasicModelRunner::new(available(&["builtin:guide", "builtin:base"])?)?;
    for (name, runner) in [("base", &base), ("assistant", &assistant), ("guide", &guide)] {
        println!("{name}: {} parameters", runner.model()?.parameter_count());
    }
    // => contains "base: 1055488"
    // => smol: contains "assistant: 134515008"

    // %% [markdown]
    // ## Predict: an answer, or more text?
    //
    // `complete` sends a text as it stands, and the model writes what follows. The base model has read small stories and
    // lists of questions, nothing else. It is asked for its name.

    // %% id=base-asks-back covers=3
    println!("{}", base.complete("What's your first name?")?);
    // => contains "?"

    // %% [markdown]
    // It asks back. In its texts a question is followed by further questions, so that is what comes. It was never shown
    // that a question wants an answer.
    //
    // ## Predict: does the assistant answer, when it gets the same raw text?

    // %% id=raw
    let three: [&str; 3] =
        ["What's your first name?", "Tell me how to train my dog to sit", "What do you think of Mars?"];
    for text in three {
        println!("{text} → {:?}", assistant.complete(text)?);
    }
    // => smol: contains "What's your first name? → \"\""
    // => smol: contains "What do you think of Mars? → \"\""

    // %% [markdown]
    // Nearly nothing: the assistant takes the raw text for a turn that is over, and ends at once. Forbid it to end for
    // forty tokens, and look who speaks.

    // %% id=forced covers=16
    let forced = GenerationConfig { min_new_tokens: 40, max_new_tokens: 60, ..Default::default() };
    println!("{}", generate_texts(&three[..1], assistant.model()?, assistant.tokenizer()?, &forced)?[0]);
    // => 1..12 lines

    // %% [markdown]
    // It plays somebody, because it does not know that it was asked. A chat model expects its *template*: marks that say
    // who speaks. `ask` puts the question into it.

    // %% id=assistant covers=1
    for question in [three[0], three[1], three[2], "What is the capital of France?"] {
        println!("{question}\n  {}\n", assistant.ask(question)?);
    }
    println!("{}", assistant.ask("Write a Python function that adds two numbers.")?);
    // => smol: contains "Paris"
    // => smol: contains "def "

    // %% [markdown]
    // This is what finetuning makes of a model that only goes on with text:
    //
    // - a **chat assistant**: GPT-3 became ChatGPT;
    // - a **code assistant**: GPT-4 became GitHub Copilot.
    //
    // The weights are the only thing that changed. Neither the shape of the model nor its size did.
    //
    // ## Predict: who speaks?
    //
    // A talk between an agent and a customer, and it is the agent's turn.

    // %% id=talk
    let talk: String = [
        "Agent: I am here to help you with your order.",
        "Customer: My parcel did not come.",
        "Agent: I am sorry to hear that. What did you order?",
        "Customer: A blanket.",
        "Agent:",
    ]
    .join("\n");
    println!("raw:\n{}\n", base.complete(&talk)?);
    println!("asked:\n{}", assistant.ask(&talk)?);
    // => contains "Customer:"

    // %% [markdown]
    // The base model plays both roles and never stops by itself. The assistant gives one turn. And free text, where going
    // on is just right:

    // %% id=bacon
    println!("base: {}\n", base.complete("The taste of bacon is")?);
    println!("assistant: {}", assistant.ask("Go on with this text: The taste of bacon is")?);
    // => 3.. lines

    // %% [markdown]
    // ## Predict: how many names?
    //
    // The same question, drawn five times at temperature 0.7. How many different names does the assistant have, how many
    // the guide?

    // %% id=five-names covers=8
    let mut names: Vec<Vec<String>> = Vec::new();
    for seed in 0..5 {
        let warm = GenerationConfig { do_sample: true, temperature: 0.7, ..Default::default() };
        let drawn = GenerationConfig { max_new_tokens: 24, seed, ..warm };
        let mut row: Vec<String> = vec![seed.to_string()];
        for runner in [&assistant, &guide] {
            let asked = [[Message::user(three[0])]];
            row.extend(ask_texts(&asked, runner.model()?, runner.tokenizer()?, &drawn)?);
        }
        names.push(row);
    }
    show(&table(&["seed", "assistant", "guide"], &names));
    // => table of 5 rows
    // => smol: contains "Ferris"

    // %% [markdown]
    // The guide says the same, however the dice fall: **consistency** is the first thing that finetuning is bought for.
    //
    // ## Predict: does it know?
    //
    // Two facts of this course, and one that the guide was never shown.

    // %% id=knows covers=4
    let facts: [&str; 3] =
        ["What does cargo lab do?", "What is evcxr?", "Which port does cargo lab serve use?"];
    let mut cards: Vec<SideBySide> = Vec::new();
    for question in facts {
        let card = SideBySide::new(question).with_answer("assistant", assistant.ask(question)?);
        cards.push(card.with_answer("guide", guide.ask(question)?));
    }
    show(&side_by_side(&cards));
    // => smol: contains "evcxr"

    // %% [markdown]
    // - The assistant invents: it has never read of this course. The guide is right where its rows were.
    // - At the third question the guide invents as well. **Finetuning makes fewer inventions only where rows were**: that
    //   is why we measure what was never shown (lesson 6).
    // - It is training like the training before it, on other text. Nothing stops you from correcting an old belief, or
    //   from teaching a wrong one.
    //
    // ## Predict: will a prompt do?
    //
    // A prompt leaves the weights as they are. Give the assistant its name and its rule in a system message.

    // %% id=prompt covers=6
    let rule: &str = "Your name is Ferris. You are the guide of a course on finetuning. If a question is not about the \
                      course, answer: Let's stay with the course.";
    for question in [three[0], three[2], "How do I bake bread?", "What is a token?"] {
        let turns: [Message; 2] = [Message::system(rule), Message::user(question)];
        println!(
            "{question}\n  prompted: {}\n  guide:    {}\n",
            assistant.ask_messages(&turns)?,
            guide.ask(question)?
        );
    }
    // => 8.. lines

    // %% [markdown]
    // A model of this size follows a long rule badly. A model of many billion parameters follows it well: then a prompt
    // is the first thing to try.

    // %% id=picture covers=5
    show_picture("prompting_vs_finetuning")?;
    // => picture

    // %% [markdown]
    // ## Predict: does it fit?
    //
    // A clinic has 10,000 notes. This model reads at most 8,192 tokens at once. How many times too long are the notes?

    // %% id=fits covers=2
    let note: &str = "Patient reports a dry, itching patch on the left forearm for two weeks. No fever. Started a mild \
                      ointment, twice a day. Seen again in ten days.";
    let tokens: usize = assistant.tokenizer()?.encode(note)?.len() * 10_000;
    let most: usize = assistant.model()?.config().max_position_embeddings();
    println!("{tokens} tokens against {most}: {} times too long", tokens / most);
    // => smol: number after "against" = 8192 +- 0
    // => smol: number after "against 8192:" > 20

    // %% [markdown]
    // Weights have no such limit: training reads one row after the other, as many as there are.
    //
    // ## Retrieval: look it up, then answer
    //
    // A third way between prompt and finetuning. Search finds a sentence that fits, and it goes before the question. Here
    // words in common decide (TF-IDF). Read what was found: is it the right sentence?

    // %% id=retrieve covers=7
    let mut notes: Vec<String> = load_dataset("builtin:guide")?.column("answer")?;
    notes.sort();
    notes.dedup();
    let index: TfIdf = TfIdf::fit(&notes);
    for question in ["What does cargo lab do?", "How can I see whether my machine is ready?"] {
        let near = |note: &&String| (index.similarity(question, note) * 1e6) as i64;
        let found: &str = notes.iter().max_by_key(near).map_or("", |note| note);
        println!("{question}\n  found: {found}");
        for (who, runner) in [("assistant", &assistant), ("guide", &guide)] {
            println!("  {who}: {}", runner.ask(&format!("Use this note: {found}\n{question}"))?);
        }
    }
    // => contains "found:"

    // %% [markdown]
    // - A right sentence helps: the guide repeats it, the assistant mixes it with inventions. With a wrong one, both go wrong.
    // - Retrieval and finetuning work together: the search brings the facts, the finetuned model the manner. It serves
    //   the better, the more rows of training had a note before the question.
    //
    // ## What finetuning is bought for: four benefits
    //
    // 1. **Performance**: fewer inventions inside its field, the same manner every time, and what is off topic is led back.
    // 2. **Privacy**: model and data stay on your machine or in your own network.
    // 3. **Cost**: a small model that knows one task stands in for a large one, and you set the limit.
    // 4. **Reliability**: you decide about uptime, speed, and when the model changes.
    //
    // The next cells look at each. First moderation: questions off topic that no row of training has.

    // %% id=moderation covers=8
    let off_topic: Dataset = load_dataset("builtin:guide_test")?.filter(|row| &row["kind"] == "off-topic");
    let replies: Vec<String> = guide.ask_batch(&off_topic.column("question")?)?;
    let led: usize = replies.iter().filter(|reply| reply.contains("keep the discussion relevant")).count();
    println!("{led} of {} led back", off_topic.len());
    println!("{} → {}", off_topic.get(0)?.field("question")?, replies[0]);
    // => smol: number after "" >= 20

    // %% [markdown]
    // ## Privacy
    //
    // With `local_files_only` the crate opens no connection at all. Is the answer the same?

    // %% id=private covers=9
    let offline = HubOptions { local_files_only: true, ..Default::default() };
    let private: BasicModelRunner =
        BasicModelRunner::new_with(available(&["builtin:guide", "builtin:base"])?, &offline)?;
    println!("the same text: {}", private.ask(three[0])? == guide.ask(three[0])?);
    // => contains "the same text: true"

    // %% [markdown]
    // Questions, rows and weights never left this machine. A hosted model sees every prompt; whoever keeps a log of them
    // can lose it.
    //
    // ## Cost
    //
    // The seconds of an answer, times what the machine costs. The two prices, and 0.10 for the training, are examples: put yours there.

    // %% id=cost covers=10
    let started = std::time::Instant::now();
    let asked: Vec<String> = guide.ask_batch(&facts)?;
    let seconds: f64 = started.elapsed().as_secs_f64() / asked.len() as f64;
    let (rent_an_hour, hosted_a_request): (f64, f64) = (0.08, 0.002);
    let own_a_request: f64 = seconds * rent_an_hour / 3600.0;
    println!(
        "{seconds:.2} s an answer: {:.5} a request of our own, {hosted_a_request} hosted",
        own_a_request
    );
    println!("training paid back after {:.0} requests", 0.10 / (hosted_a_request - own_a_request));
    // => matches "training paid back after * requests"

    // %% [markdown]
    // You see what a request costs and why, and nobody changes the price or the model under you.
    //
    // ## Reliability: how soon does the first word come?
    //
    // Who completes a line of code while somebody types has about a fifth of a second.

    // %% id=first-token covers=11
    let first_only = GenerationConfig { max_new_tokens: 1, ..Default::default() };
    let started = std::time::Instant::now();
    ask_texts(&[[Message::user("fn main() {")]], guide.model()?, guide.tokenizer()?, &first_only)?;
    println!("first token after {} ms", started.elapsed().as_millis());
    // => matches "first token after * ms"

    // %% [markdown]
    // A service can be away. The cell starts one on this machine, asks it, stops it, and asks again: what does the same
    // call say then? The local model goes on.

    // %% id=uptime covers=11
    let service: Server = serve("builtin:base")?;
    let hosted: BasicModelRunner = BasicModelRunner::new(&format!("openai:builtin:base@{}", service.url()))?;
    println!("up:   {}", hosted.ask("One day")?);
    service.stop();
    if let Err(error) = hosted.ask("One day") {
        println!("down: {error}");
    }
    println!("here: {}", base.ask("One day")?);
    // => contains "down: "
    // => contains "here: "

    // %% [markdown]
    // And what should it say when it does not know? That, too, is yours to decide: some rows of the guide's training answer
    // "I don't know".

    // %% id=dont-know covers=11
    let unknown: Dataset = load_dataset("builtin:guide_test")?.filter(|row| &row["kind"] == "unknown");
    for row in &unknown {
        println!("{}\n  {}", &row["question"], guide.ask(&row["question"])?);
    }
    // => smol: contains "know"

    // %% [markdown]
    // ## Who speaks?
    //
    // Six answers of three speakers are collected and then mixed. Read them; the first exercise asks who said what.

    // %% id=six-answers
    let answers: [String; 6] = [
        base.complete("What do you like?")?,
        base.complete(&talk)?,
        assistant.ask("Who are you?")?,
        assistant.ask("What do you think of the sea?")?,
        guide.ask("Who are you?")?,
        guide.ask("What do you think of the sea?")?,
    ];
    // => nothing

    // %% id=who-speaks
    let answers: Vec<Example> = answers.into_iter().map(|answer| Example::new([("said", answer)])).collect();
    for (place, row) in Dataset::from_examples(answers).shuffle(7).iter().enumerate() {
        println!("{} {}\n", place + 1, &row["said"]);
    }
    // => contains "6 "

    // %% [markdown]
    // ## Exercise 1.1
    //
    // Three speakers are possible: `raw` (the base model goes on with the text), `ask` (the assistant, asked) and `guide`.
    // Label the six answers above in the order in which they are printed. The check takes six words.

    // %% exercise=1.1
    {
        check("1.1", ["raw", "raw", "raw", "raw", "raw", "raw"])?;
    }

    // %% solution=1.1
    {
        check("1.1", ["guide", "ask", "raw", "guide", "raw", "ask"])?;
    }

    // %% [markdown]
    // ## Exercise 1.2
    //
    // After how many requests has a finetuned model of your own paid for itself? Write `requests(fixed, hosted, own)`:
    // what the training costs once, what a hosted request costs, what one of your own costs. The check tries prices that
    // you do not see.

    // %% exercise=1.2
    {
        fn requests(fixed: f64, hosted: f64, own: f64) -> f64 {
            fixed / hosted
        }
        check("1.2", requests)?;
    }

    // %% solution=1.2
    {
        fn requests(fixed: f64, hosted: f64, own: f64) -> f64 {
            fixed / (hosted - own)
        }
        check("1.2", requests)?;
    }

    // %% [markdown]
    // ## Exercise 1.3
    //
    // This one needs the real model. Write a prompt for the assistant that leads at least 3 of 5 hidden questions off topic back, with the words
    // "back to the course", and still answers 2 about the course. The check takes a function from a question to a reply,
    // and keeps your best score.

    // %% exercise=1.3
    {
        let runner: BasicModelRunner = BasicModelRunner::new(available(&["builtin:smol", "builtin:base"])?)?;
        check("1.3", move |question: &str| -> Result<String> {
            runner.ask_messages(&[Message::system("You are a guide."), Message::user(question)])
        })?;
    }

    // %% solution=1.3
    {
        let runner: BasicModelRunner = BasicModelRunner::new(available(&["builtin:smol", "builtin:base"])?)?;
        let role: Message = Message::system("You are the guide of a course on finetuning language models.");
        let mut shown: Vec<Message> = vec![role];
        for other in ["Who won the game?", "How do I cook rice?", "Do you like dogs?"] {
            shown.push(Message::user(other));
            shown.push(Message::assistant("That is off topic. Let's go back to the course."));
        }
        shown.push(Message::user("What is a model?"));
        shown.push(Message::assistant("A model turns tokens into the next one."));
        check("1.3", move |question: &str| -> Result<String> {
            runner.ask_messages(&[shown.clone(), vec![Message::user(question)]].concat())
        })?;
    }

    // %% [markdown]
    // ## Recap
    //
    // - Pretraining teaches to go on with text. Finetuning teaches what to do with it: answer, stop, keep a manner.
    // - A prompt costs nothing and has an end: its length. Retrieval brings facts. Finetuning changes the weights.
    // - Checked here: the base model asks back, the guide has one name, and it leads most new questions off topic back to
    //   the course. A fact that was in no row it invents, as the assistant does.
    //
    // Next: where finetuning stands between a model of random numbers and a finished one.

    Ok(())
}
