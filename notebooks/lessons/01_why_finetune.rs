//! Lesson 1. Why finetune: a base model and its finetuned twin, side by side.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 1. Why finetune
    //
    // - Ask a base model and its finetuned twin the same things, and compare what comes back.
    // - Compare prompting with finetuning.
    // - Run a cell with Shift+Enter. The cells build on each other, so run them from top to bottom.

    // %% [markdown]
    // ## Two models
    //
    // - `builtin:base` was pretrained: it has read text and learned to predict the next token.
    // - `builtin:tuned` is the same model, trained further on questions and answers about this project.
    // - Both ship with the project and need no network. For a model from the hub, change the name to
    //   `EleutherAI/pythia-70m`.

    // %%
    use finetuning::*;

    // %%
    let base: BasicModelRunner = BasicModelRunner::new("builtin:base")?;
    let tuned: BasicModelRunner = BasicModelRunner::new("builtin:tuned")?;
    println!("base:  {} parameters", base.model()?.parameter_count());
    println!("tuned: {} parameters", tuned.model()?.parameter_count());

    // %% [markdown]
    // ## Ask the base model
    //
    // - Read what comes back. Is it an answer?
    // - In the pages that the model has read, one question is often followed by the next. Does it go on like
    //   that?

    // %%
    println!("{}", base.ask("What's your first name?")?);

    // %% [markdown]
    // An instruction. Does the model do what it says, or does it go on with the text?

    // %%
    println!("{}", base.ask("Tell me how to train my dog to sit")?);

    // %% [markdown]
    // A question about an opinion: look whether the model gives one.

    // %%
    println!("{}", base.ask("What do you think of Mars?")?);

    // %% [markdown]
    // ## Free text
    //
    // - Here, going on is the right thing to do. Does the text that follows fit?
    // - A base model of a few million parameters knows few facts. Do not expect true ones.

    // %%
    println!("{}", base.ask("The taste of bacon is")?);

    // %% [markdown]
    // ## A dialogue
    //
    // - The prompt is a talk between an agent and a customer. It is the agent's turn.
    // - Look who speaks in the output. Nothing has taught a base model to say one thing and stop.

    // %%
    let dialogue: String = [
        "Agent: I am here to help you with your order.",
        "Customer: My parcel did not come.",
        "Agent: I am sorry to hear that. What did you order?",
        "Customer: A blanket.",
        "Agent:",
    ]
    .join("\n");
    println!("{dialogue} {}", base.ask(&dialogue)?);

    // %% [markdown]
    // ## Side by side
    //
    // A small function asks both models and makes a table. `table` is text in a terminal and HTML in a
    // notebook.

    // %%
    fn side_by_side(prompts: &[String], base: &BasicModelRunner, tuned: &BasicModelRunner) -> Result<Html> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for prompt in prompts {
            rows.push(vec![prompt.clone(), base.ask(prompt)?, tuned.ask(prompt)?]);
        }
        Ok(table(&["prompt", "base model", "finetuned model"], &rows))
    }

    // %% [markdown]
    // The prompts from above once more, now with the finetuned model beside. Look at two things in its
    // column:
    //
    // - Are the outputs shorter? Do they end like a sentence?
    // - None of the prompts is about this project. What does the model say to them? We come back to that
    //   in lesson 5.

    // %%
    let prompts: Vec<String> = vec![
        "What's your first name?".to_string(),
        "Tell me how to train my dog to sit".to_string(),
        "What do you think of Mars?".to_string(),
        "The taste of bacon is".to_string(),
        dialogue.clone(),
    ];
    show(&side_by_side(&prompts, &base, &tuned)?);

    // %% [markdown]
    // ## Questions about the project
    //
    // - The finetuning data has questions and answers about this project. A part of the rows was held out:
    //   no model was trained on them.
    // - Ask both models held-out questions. Then compare with the answers of the data set.

    // %%
    let data: Dataset = load_dataset("builtin:lab_docs")?;
    let (_, held_out): (Dataset, Dataset) = data.train_test_split(0.1, 123)?;
    let questions: Vec<String> = held_out.head(5).column("question")?;
    show(&side_by_side(&questions, &base, &tuned)?);
    show(&held_out.head(5));

    // %% [markdown]
    // ## Can a prompt do the same?
    //
    // - Prompting means: leave the weights as they are and write a better prompt.
    // - The prompt below shows one question with its answer, then asks. A large model often picks up the
    //   pattern. Look whether the base model does.

    // %%
    let few_shot: String = [
        PromptTemplate::question_answer().format(data.get(0)?)?,
        PromptTemplate::question().format(held_out.get(3)?)?,
    ]
    .join("\n\n");
    println!("{few_shot}\n--- the base model goes on:\n{}", base.ask(&few_shot)?);

    // %% [markdown]
    // - In finetuning, the examples change the weights. There may be far more of them than fit into a
    //   prompt.
    // - The picture sets both against each other.

    // %%
    show_picture("prompting_vs_finetuning")?;

    // %% [markdown]
    // ## What finetuning is good for
    //
    // - **Performance**: knowledge of one domain, fewer made-up answers.
    // - **Privacy**: the data and the model can stay on your own machine.
    // - **Cost**: a small model that knows one task can stand in for a large one. Each request costs less,
    //   and you decide about the machine.
    // - **Reliability**: the same style every time, moderation of what is off topic, a model that changes
    //   only when you change it.
    //
    // The next cells look at three of them.

    // %% [markdown]
    // ## Cost: size and time
    //
    // `builtin:large` is a larger model, finetuned on the same rows. Compare parameters and seconds for one
    // answer.

    // %%
    for name in ["builtin:tuned", "builtin:large"] {
        let runner = BasicModelRunner::new(name)?;
        let started = std::time::Instant::now();
        let answer = runner.ask(&questions[3])?;
        let seconds = started.elapsed().as_secs_f64();
        println!("{name}: {} parameters, {seconds:.2} s", runner.model()?.parameter_count());
        println!("  {answer}");
    }

    // %% [markdown]
    // ## Reliability: other words, the same answer
    //
    // The data set asks for each fact in several ways. Does the finetuned model give the same answer to all
    // of them? Compare the lines with the answer of the data set, which is printed first.

    // %%
    let fact: String = data.get(0)?.field("answer")?.to_string();
    println!("data set: {fact}\n");
    for row in &data.containing("answer", &fact).head(6) {
        println!("{}\n  {}", &row["question"], tuned.ask(&row["question"])?);
    }

    // %% [markdown]
    // ## Reliability: the same question twice
    //
    // The model always takes the most probable token here (greedy decoding). Is the answer the same twice?

    // %%
    println!("{}", tuned.ask(&questions[3])? == tuned.ask(&questions[3])?);

    // %% [markdown]
    // ## Performance: what it does not know
    //
    // - Finetuning on one domain does not make a model wise. Here are questions that are about computing,
    //   but in no row of the data.
    // - Are the answers right? A small model can sound certain and still be wrong. So we measure it, in
    //   lesson 6.

    // %%
    for question in ["Who wrote the first compiler?", "How many bits are in a byte?"] {
        println!("{question}\n  {}", tuned.ask(question)?);
    }

    // %% [markdown]
    // ## Predict a number
    //
    // The base model is asked the five held-out questions. How many of its five outputs contain a question
    // mark? Look at the table above, write your number, and run the cell.

    // %%
    let my_prediction: usize = 0;
    {
        let outputs: Vec<String> = base.ask_batch(&questions)?;
        let measured: usize = outputs.iter().filter(|output| output.contains('?')).count();
        match my_prediction == measured {
            true => println!("right: {measured}"),
            false => println!("not {my_prediction}: read the column of the base model again"),
        }
    }

    // %% [markdown]
    // ## Exercises
    //
    // 1. Predict the number in the cell above. Then do the same for the finetuned model.
    // 2. Ask both models a question of your own about this project, and one about the weather.
    // 3. Put three examples instead of one into `few_shot`. Does the base model answer now?

    Ok(())
}
