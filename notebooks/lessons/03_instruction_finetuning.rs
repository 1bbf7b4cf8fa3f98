//! Lesson 3. Instruction finetuning: instructions, prompt templates, and models with and without finetuning.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 3. Instruction finetuning
    //
    // - Instruction finetuning teaches a base model to do what a text asks for: chat models come from it.
    // - Its data are instructions with good responses. They come from people, from documents such as
    //   questions and answers of a manual, or from another model.
    // - First look at such data, then compare models with and without finetuning.

    // %% [markdown]
    // ## Instruction data
    //
    // - The set has the columns of the Alpaca project: `instruction`, `input`, `output`.
    // - Stream five rows. Look at `input`: in some rows it is empty.

    // %%
    use finetuning::*;

    // %%
    let top: Vec<Example> =
        stream_dataset("builtin:instructions")?.take(5).collect::<Result<Vec<Example>>>()?;
    for row in &top {
        println!("{row}");
    }
    show(&Dataset::from_examples(top.clone()));

    // %% [markdown]
    // ## Two templates
    //
    // One for rows with an input, one for rows without. Both end with `### Response:`, where the model goes
    // on.

    // %%
    println!("{INSTRUCTION_INPUT_TEMPLATE}");
    println!("\n=====\n");
    println!("{INSTRUCTION_TEMPLATE}");

    // %% [markdown]
    // ## Hydrate the templates
    //
    // To hydrate a template is to fill it with the fields of a row. An empty `input` selects the shorter one.

    // %%
    fn hydrate(row: &Example) -> Result<Example> {
        let template = match row.field("input")?.is_empty() {
            true => PromptTemplate::instruction(),
            false => PromptTemplate::instruction_with_input(),
        };
        Ok(Example::new([("input", template.format(row)?), ("output", row.field("output")?.to_string())]))
    }

    // %% [markdown]
    // - Each row becomes a prompt (`input`) and a response (`output`).
    // - Read the printed row from top to bottom, as a model reads it.

    // %%
    let mut processed: Vec<Example> = Vec::new();
    for row in stream_dataset("builtin:instructions")? {
        processed.push(hydrate(&row?)?);
    }
    println!("{} rows", processed.len());
    println!("{} {}", processed[0].field("input")?, processed[0].field("output")?);

    // %% [markdown]
    // A row with an input, for comparison. How many lines with `###` does it have?

    // %%
    let with_input: Dataset = Dataset::from_examples(processed.clone()).containing("input", "### Input:");
    println!("{} of {} rows have an input\n", with_input.len(), processed.len());
    println!("{} {}", with_input.get(0)?.field("input")?, with_input.get(0)?.field("output")?);

    // %% [markdown]
    // ## Why hydrate first
    //
    // - A row with `input` and `output` alone would lose its instruction. The Python course reads its raw rows so; here that is
    //   asked for by name, as the shape `InputOutput`.
    // - `concatenate` takes a raw row for one of the Alpaca project and hydrates it itself. Compare the three printed texts.

    // %%
    for row in load_dataset("builtin:instructions")?.iter().filter(|row| !row["input"].is_empty()).take(1) {
        println!("as in the Python course: {:?}\n", Shape::InputOutput.read(row)?);
        println!("raw:      {:?}\n", concatenate(row)?);
        println!("hydrated: {:?}", concatenate(&hydrate(row)?)?);
    }

    // %% [markdown]
    // ## Save
    //
    // One JSON object a line, as in lesson 2. Read the file again to see that it is complete.

    // %%
    std::fs::create_dir_all("scratch").expect("the folder of the notebook is writable");
    Dataset::from_examples(processed.clone()).to_jsonl("scratch/instructions_processed.jsonl")?;
    let read_again: Dataset = Dataset::from_jsonl("scratch/instructions_processed.jsonl")?;
    println!("{read_again}");

    // %% [markdown]
    // ## Compare models: not finetuned
    //
    // - `BasicModelRunner` takes a name and gives something to ask.
    // - First the base model. It has seen no pair of instruction and response.

    // %%
    let not_finetuned: BasicModelRunner = BasicModelRunner::new("builtin:base")?;
    println!("{}", not_finetuned.ask("Tell me how to train my dog to sit")?);

    // %% [markdown]
    // ## Compare models: finetuned
    //
    // - `builtin:tuned` is the base model after finetuning on questions and answers about this project.
    // - A dog is off topic for it. What does it say, and does it stop?

    // %%
    let finetuned: BasicModelRunner = BasicModelRunner::new("builtin:tuned")?;
    println!("{}", finetuned.ask("Tell me how to train my dog to sit")?);

    // %% [markdown]
    // `builtin:large` has more parameters and was finetuned on the same rows.

    // %%
    let large: BasicModelRunner = BasicModelRunner::new("builtin:large")?;
    println!("{}", large.ask("Tell me how to train my dog to sit")?);

    // %% [markdown]
    // ## Compare models: a hosted model
    //
    // - A hosted model runs on another machine: your prompt leaves yours, and each request may cost something.
    // - Here that machine is your own. The cell starts this course's service, which speaks the protocol of the
    //   large providers, on a port that only this computer can reach. It needs no network and no key.

    // %%
    let service: Server = serve("builtin:large")?;
    println!("served: {}", service.models().join(", "));

    // %% [markdown]
    // - The runner is the one that you know, and so is every call. Only the name is new.
    // - With a key, the same line asks a chat model of many billion parameters: put `OPENAI_API_KEY` into the
    //   shell that starts the notebook, and write `BasicModelRunner::new("openai:gpt-4o-mini")?`.
    // - The key is read from there alone. No cell shows it and no file holds it.

    // %%
    let hosted: BasicModelRunner = BasicModelRunner::new(&format!("openai:builtin:large@{}", service.url()))?;
    println!("{}", hosted.ask("Tell me how to train my dog to sit")?);

    // %% [markdown]
    // A service can be away, refuse, or be slow. A prompt that fails leaves the others as they are: look at the
    // second one.

    // %%
    for answer in hosted.try_ask_batch(&["What is finetuning?", "", "What does cargo lab do?"]) {
        match answer {
            Ok(text) => println!("{text}"),
            Err(error) => println!("failed: {error}"),
        }
    }

    // %% [markdown]
    // The service has a page, too: `cargo lab serve` in a terminal opens the course's models on it, where base
    // and finetuned model answer side by side while they write.

    // %% [markdown]
    // ## All of them, side by side
    //
    // Three prompts, four columns; the last one came over the network protocol, from the model before it. Look at each row: who answers, who goes on, who sends you back to the
    // topic?

    // %%
    let prompts: Vec<String> = vec![
        "What does cargo lab do?".to_string(),
        "What is finetuning?".to_string(),
        "What do you think of Mars?".to_string(),
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for prompt in &prompts {
        let (base, tuned) = (not_finetuned.ask(prompt)?, finetuned.ask(prompt)?);
        rows.push(vec![prompt.clone(), base, tuned, large.ask(prompt)?, hosted.ask(prompt)?]);
    }
    show(&table(&["prompt", "base", "tuned", "large", "hosted"], &rows));

    // %% [markdown]
    // ## The prompt must have the form of the training data
    //
    // - `builtin:tuned` was trained on plain questions, without a template.
    // - Ask the same question in both forms. Is the answer to the second one as good?

    // %%
    let question: Example = Example::new([("instruction", "What does cargo lab do?")]);
    println!("plain:    {}", finetuned.ask(question.field("instruction")?)?);
    println!("template: {}", finetuned.ask(&PromptTemplate::instruction().format(&question)?)?);

    // %% [markdown]
    // ## The small base model and its twin, by hand
    //
    // - `inference` is what `ask` uses inside: a text, a model, a tokenizer and two limits.
    // - Tokenizer and model are loaded by the same name. From the hub, that would be `EleutherAI/pythia-70m`.

    // %%
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained("builtin:base")?;
    let base_model: CausalLm = AutoModelForCausalLM::from_pretrained("builtin:base")?;
    let tuned_model: CausalLm = AutoModelForCausalLM::from_pretrained("builtin:tuned")?;
    let max_input_tokens: usize = 1000;
    let max_output_tokens: usize = 100;

    // %% [markdown]
    // A row of the test split: neither model was trained on it.

    // %%
    let (_, test_rows): (Dataset, Dataset) = load_dataset("builtin:lab_docs")?.train_test_split(0.1, 123)?;
    let test_sample: Example = test_rows.get(3)?.clone();
    println!("{test_sample}");

    // %% [markdown]
    // The base model. Read what comes back: is it an answer to the question?

    // %%
    let test_question: String = test_sample.field("question")?.to_string();
    println!("{}", inference(&test_question, &base_model, &tokenizer, max_input_tokens, max_output_tokens)?);

    // %% [markdown]
    // The finetuned twin. Compare it with the answer of the row.

    // %%
    println!("{}", inference(&test_question, &tuned_model, &tokenizer, max_input_tokens, max_output_tokens)?);
    println!("\ntarget: {}", test_sample.field("answer")?);

    // %% [markdown]
    // ## Inside `inference`
    //
    // - Three steps: text to ids, ids to more ids, ids to text.
    // - Look at the lengths: the output holds the prompt. So its text is cut off the front.

    // %%
    let ids: Vec<u32> = truncate(&tokenizer.encode(&test_question)?, max_input_tokens, Side::Right);
    let output: Vec<u32> =
        generate(&tuned_model, &ids, max_output_tokens, tokenizer.eos_id(), GenerationConfig::default())?;
    let decoded: String = tokenizer.decode(&output)?;
    println!("{} ids of the prompt, {} ids of the output", ids.len(), output.len());
    println!("whole text: {decoded}");
    println!("the answer: {}", decoded.chars().skip(test_question.chars().count()).collect::<String>());

    // %% [markdown]
    // - `generate` stops at the limit or at the end-of-sequence token. Look at the last id.
    // - `decode` leaves special tokens out, so the end token is not in the text.

    // %%
    println!("last id: {:?}, end of sequence: {}", output.last(), tokenizer.eos_id());

    // %% [markdown]
    // ## The output limit
    //
    // `max_output_tokens` bounds the prompt and the answer together. With a smaller limit the answer breaks
    // off.

    // %%
    let small_limit: usize = ids.len() + 4;
    println!("{}", inference(&test_question, &tuned_model, &tokenizer, max_input_tokens, small_limit)?);

    // %% [markdown]
    // When the prompt alone fills the limit, there is no room for an answer. That is an error.

    // %%
    if let Err(error) = inference(&test_question, &tuned_model, &tokenizer, max_input_tokens, ids.len()) {
        println!("{error}");
    }

    // %% [markdown]
    // ## The input limit
    //
    // - `max_input_tokens` keeps the first tokens of the prompt. This is what the model reads with a limit
    //   of three.
    // - A question without its end is another question. Keep the limit large.
    // - `inference` leaves the prompt that was read out of the answer, and nothing else.

    // %%
    println!("{:?}", tokenizer.decode(&truncate(&ids, 3, Side::Right))?);

    // %% [markdown]
    // ## Predict a number
    //
    // How many tokens can an answer to `test_question` have when `max_output_tokens` is 100? The number of
    // prompt tokens is printed above. The cell counts them, with a model that never stops by itself.

    // %%
    let my_prediction: usize = 0;
    {
        let never: u32 = u32::MAX;
        let measured: usize =
            generate(&base_model, &ids, 100, never, GenerationConfig::default())?.len() - ids.len();
        match my_prediction == measured {
            true => println!("right: {measured}"),
            false => println!("not {my_prediction}: prompt and answer share the limit"),
        }
    }

    // %% [markdown]
    // ## Exercises
    //
    // 1. Predict the number in the cell above. Then predict it for another test question.
    // 2. Write a row with `instruction`, `input` and `output` of your own and hydrate it.
    // 3. Ask `finetuned` the same question in three ways: with a question mark, without one, and in capital
    //    letters. Which form does it know?

    Ok(())
}
