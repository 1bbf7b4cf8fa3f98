//! Lesson 2. Where finetuning fits in: pretraining data, finetuning data, and the text that a model reads.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 2. Where finetuning fits in
    //
    // A language model is made in two stages, and both predict the next token:
    //
    // 1. **Pretraining**: from random weights, on a lot of text of all kinds. The result is a base model.
    // 2. **Finetuning**: from the base model, on little text of one kind. The result is a finetuned model.
    //
    // The stages differ in their data. This lesson looks at both kinds.

    // %% [markdown]
    // ## Pretraining data
    //
    // - Such data is large, so we stream it: rows are read one at a time, and we stop after five.
    // - Look at how different the rows are. Nobody has marked what is a question and what is an answer.

    // %%
    use finetuning::*;

    // %%
    for row in stream_dataset("builtin:pretraining")?.take(5) {
        let start: String = row?.field("text")?.chars().take(300).collect();
        println!("{start}\n-----");
    }

    // %% [markdown]
    // - The same five rows as a table. There is one column, `text`.
    // - This corpus is small and comes with the project. Corpora of large models come from the web and are
    //   far larger; you would stream them in the same way, with the name of a hub data set.

    // %%
    let first_rows: Vec<Example> =
        stream_dataset("builtin:pretraining")?.take(5).collect::<Result<Vec<Example>>>()?;
    let pretraining_top: Dataset = Dataset::from_examples(first_rows);
    println!("{pretraining_top}");
    show(&pretraining_top);

    // %% [markdown]
    // ## Finetuning data
    //
    // - One row is one question with its answer. The file has one JSON object a line (`.jsonl`).
    // - Here it is read by its path. `load_dataset("builtin:lab_docs")` finds the same file by its name.

    // %%
    let data: Dataset = Dataset::from_jsonl("data/lab_docs.jsonl")?;
    println!("{data}");
    println!("{}", data.get(0)?);

    // %% [markdown]
    // The rows as a DataFrame of the library `polars`, as you would look at any table. Compare its shape
    // with the line above.

    // %%
    let frame: polars::prelude::DataFrame = data.to_frame()?;
    println!("(rows, columns) = {:?}", frame.shape());
    show(&frame.head(Some(5)));

    // %% [markdown]
    // ## How much text is that?
    //
    // Count rows and characters of both data sets. Look at the ratio: finetuning needs far less text.

    // %%
    let mut pretraining_size: usize = 0;
    for row in stream_dataset("builtin:pretraining")? {
        pretraining_size += row?.field("text")?.chars().count();
    }
    let mut finetuning_size: usize = 0;
    for row in &data {
        finetuning_size += concatenate(row)?.chars().count();
    }
    println!("pretraining: {pretraining_size} characters, finetuning: {finetuning_size} characters");
    println!("ratio: {:.0}", pretraining_size as f64 / finetuning_size as f64);

    // %% [markdown]
    // ## From two columns to one text
    //
    // A model reads one text, not columns. The simplest way is to put the answer behind the question. Look
    // at the place where the two meet: there is nothing between them.

    // %%
    let row: Example = data.get(0)?.clone();
    let text: String = row.field("question")?.to_string() + row.field("answer")?;
    println!("{text}");

    // %% [markdown]
    // ## Other columns
    //
    // - Data sets name their columns in different ways. The four shapes below are common.
    // - The function looks which columns are there and joins them.

    // %%
    fn joined(example: &Example) -> Result<String> {
        let pairs = [("question", "answer"), ("instruction", "response"), ("input", "output")];
        for (prompt, completion) in pairs {
            if let (Some(prompt), Some(completion)) = (example.get(prompt), example.get(completion)) {
                return Ok(prompt.to_string() + completion);
            }
        }
        Ok(example.field("text")?.to_string())
    }

    // %% [markdown]
    // - One example of each shape goes through the function.
    // - The crate has the same function under the name `concatenate`. Look whether both agree.

    // %%
    let shapes: Vec<Example> = vec![
        Example::new([("question", "What is a token?"), ("answer", "A piece of text.")]),
        Example::new([("instruction", "Name a color."), ("response", "Green.")]),
        Example::new([("input", "2 + 2"), ("output", "4")]),
        Example::new([("text", "The cat sits on the mat.")]),
    ];
    for shape in &shapes {
        let text: String = joined(shape)?;
        println!("{:?} → {text:?}, the same: {}", shape.names(), text == concatenate(shape)?);
    }

    // %% [markdown]
    // What if none of the columns is there? Then `concatenate` gives an error. Read it: it says what was
    // found and what to do.

    // %%
    if let Err(error) = concatenate(&Example::new([("prompt", "Hi"), ("reply", "Hello")])) {
        println!("{error}");
    }

    // %% [markdown]
    // ## A template
    //
    // - A template marks where the question ends and where the answer begins.
    // - Text in braces is the name of a column.

    // %%
    println!("{QUESTION_ANSWER_TEMPLATE}");

    // %% [markdown]
    // `format` fills the template from a row. This is the text of a training row with question and answer.

    // %%
    println!("{}", PromptTemplate::question_answer().format(&row)?);

    // %% [markdown]
    // The second template ends after `### Answer:`. This is how a model is asked: it goes on where the text
    // ends.

    // %%
    println!("{QUESTION_TEMPLATE}\n-----");
    println!("{}", PromptTemplate::question().format(&row)?);

    // %% [markdown]
    // ## All rows, in two forms
    //
    // - `text_only`: question and answer in one text.
    // - `question_answer`: the prompt in one column, the answer in another. This form knows where the
    //   prompt ends.

    // %%
    let mut text_only: Vec<Example> = Vec::new();
    let mut question_answer: Vec<Example> = Vec::new();
    for row in &data {
        let text: String = PromptTemplate::question_answer().format(row)?;
        text_only.push(Example::new([("text", text)]));
        let prompt: String = PromptTemplate::question().format(row)?;
        let answer: String = row.field("answer")?.to_string();
        question_answer.push(Example::new([("question", prompt), ("answer", answer)]));
    }
    println!("{}\n{}", text_only[0], question_answer[0]);

    // %% [markdown]
    // ## Write and read again
    //
    // - Files of a lesson go into the folder `scratch`.
    // - Read the files again. Are they what was written?

    // %%
    std::fs::create_dir_all("scratch").expect("the folder of the notebook is writable");
    Dataset::from_examples(text_only.clone()).to_jsonl("scratch/lab_docs_text_only.jsonl")?;
    Dataset::from_examples(question_answer.clone()).to_jsonl("scratch/lab_docs_processed.jsonl")?;

    let read_again: Dataset = Dataset::from_jsonl("scratch/lab_docs_processed.jsonl")?;
    println!("{read_again}");
    println!("the same rows: {}", read_again == Dataset::from_examples(question_answer.clone()));

    // %% [markdown]
    // A file is text, so you can read it without any tool. Each line is one row; a line break inside a text
    // is written as `\n`.

    // %%
    let file: String = std::fs::read_to_string("scratch/lab_docs_processed.jsonl").expect("written above");
    for line in file.lines().take(2) {
        println!("{line}");
    }

    // %% [markdown]
    // A line that is not valid JSON is an error with the number of the line. A row is never lost in silence.

    // %%
    let two_lines: String = "{\"question\": \"Hi\"}\n{\"question\": \n".to_string();
    std::fs::write("scratch/broken.jsonl", &two_lines).expect("scratch exists");
    if let Err(error) = Dataset::from_jsonl("scratch/broken.jsonl") {
        println!("{error}");
    }

    // %% [markdown]
    // ## The same data set by its name
    //
    // `load_dataset` takes a name in place of a path. Compare: it is the same data.

    // %%
    let by_name: Dataset = load_dataset("builtin:lab_docs")?;
    println!("the same rows: {}", by_name == data);

    // %% [markdown]
    // From the hub it is the same call with the name of a data set. It needs a network, so it is not a cell:
    //
    // ```rust
    // let data: Dataset = load_dataset("owner/name")?;
    // ```
    //
    // - The first `.jsonl` file of the data set is fetched once and then kept in the local cache.
    // - A private data set needs the variable `HF_TOKEN`. With `HF_HUB_OFFLINE=1` only the cache is read.

    // %% [markdown]
    // ## Predict a number
    //
    // How many characters does the template `QUESTION_ANSWER_TEMPLATE` add to the plain question and answer?
    // Count a line break as one character.

    // %%
    let my_prediction: usize = 0;
    let with_template: usize = PromptTemplate::question_answer().format(&row)?.chars().count();
    let added: usize = with_template - concatenate(&row)?.chars().count();
    match my_prediction == added {
        true => println!("right: {added} characters in each row"),
        false => println!("not {my_prediction}: count all that is not inside the braces, line breaks too"),
    }

    // %% [markdown]
    // ## Exercises
    //
    // 1. Predict the number in the cell above. Is it the same for every row? Check it with a loop.
    // 2. Write a template of your own with `PromptTemplate::new("Q: {question} A: {answer}")` and format a
    //    row.
    // 3. Stream ten rows of the pretraining data in place of five. Which of them look like question lists,
    //    and what will a base model learn from them?

    Ok(())
}
