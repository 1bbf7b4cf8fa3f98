//! Lesson 4. Data preparation: from text to token ids, and from a file to a training and a test split.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 4. Data preparation
    //
    // - Good data is worth more than much data: of high quality, varied, real rather than generated.
    // - The steps: collect pairs, put them into a template or join them, turn text into tokens, split.
    // - This lesson does each step by hand, and then with the function that does it in one go.

    // %% [markdown]
    // ## Text to tokens
    //
    // - A tokenizer cuts text into tokens and gives each a number, its id.
    // - Every model has its own tokenizer. From the hub, the name would be `EleutherAI/pythia-70m`.

    // %%
    use finetuning::*;

    // %%
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained("builtin:base")?;
    println!("{} different tokens", tokenizer.vocab_size());

    // %% [markdown]
    // Encode a text and decode the ids again. Look whether the text comes back as it was.

    // %%
    let text: &'static str = "Hi, how are you?";
    let encoded: Vec<u32> = tokenizer.encode(text)?;
    println!("encoded: {encoded:?}");
    println!("decoded: {:?}", tokenizer.decode(&encoded)?);

    // %% [markdown]
    // - The ids depend on the tokenizer. That of `EleutherAI/pythia-70m` gives 12764 13 849 403 368 32 for
    //   this text.
    // - Ids of one tokenizer mean nothing to a model with another one.

    // %%
    show_picture("tokenizing")?;

    // %% [markdown]
    // - A token is a word, a part of a word or a sign. A space belongs to the token that follows it.
    // - Our tokenizer is smaller than that of the picture. Look at the pieces: which words are whole, and
    //   where does it cut?

    // %%
    for word in ["masking and batching", " finetuning", " training", " a giraffe"] {
        println!("{word:?}: {:?} {:?}", tokenizer.tokens(word)?, tokenizer.encode(word)?);
    }

    // %% [markdown]
    // ## Several texts at once
    //
    // `encode_batch` gives one row of ids for each text. Look at the lengths: they differ.

    // %%
    let texts: Vec<String> = vec!["Hi, how are you?".to_string(), "I'm good".to_string(), "Yes".to_string()];
    let encoded_texts: Vec<Vec<u32>> = tokenizer.encode_batch(&texts)?;
    for ids in &encoded_texts {
        println!("{ids:?}");
    }

    // %% [markdown]
    // ## Padding
    //
    // - A batch is a rectangle, so short rows are filled up to the length of the longest.
    // - There is no token for that in this tokenizer; the end-of-sequence token serves.

    // %%
    println!("end of sequence: {}, padding: {}", tokenizer.eos_id(), tokenizer.pad_id());
    for ids in pad(&encoded_texts, tokenizer.pad_id()) {
        println!("{ids:?}");
    }

    // %% [markdown]
    // ## Truncation
    //
    // - A model has a longest input; longer rows are cut. Here the limit is three tokens.
    // - `Side::Right` cuts the end off: the beginning is kept.

    // %%
    for ids in &encoded_texts {
        println!("{:?}", truncate(ids, 3, Side::Right));
    }

    // %% [markdown]
    // `Side::Left` cuts the beginning off. For a question with its answer this is often better: the answer
    // stands at the end.

    // %%
    for ids in &encoded_texts {
        let cut: Vec<u32> = truncate(ids, 3, Side::Left);
        println!("{cut:?} {:?}", tokenizer.decode(&cut)?);
    }

    // %% [markdown]
    // Both together: cut what is too long, then fill up what is too short. Look at the shape: all rows have
    // the same length.

    // %%
    let cut_rows: Vec<Vec<u32>> = encoded_texts.iter().map(|ids| truncate(ids, 3, Side::Right)).collect();
    for ids in pad(&cut_rows, tokenizer.pad_id()) {
        println!("{ids:?}");
    }

    // %% [markdown]
    // ## The data
    //
    // The rows of lesson 2, and the first of them in the template with `### Question:` and `### Answer:`.

    // %%
    let data: Dataset = load_dataset("builtin:lab_docs")?;
    let row: Example = data.get(0)?.clone();
    println!("{data}\n");
    println!("{}", PromptTemplate::question().format(&row)? + "\n" + row.field("answer")?);

    // %% [markdown]
    // All rows in the template, as in lesson 2.

    // %%
    let mut finetuning_rows: Vec<Example> = Vec::new();
    for row in &data {
        let prompt: String = PromptTemplate::question().format(row)?;
        let answer: String = row.field("answer")?.to_string();
        finetuning_rows.push(Example::new([("question", prompt), ("answer", answer)]));
    }
    let finetuning_data: Dataset = Dataset::from_examples(finetuning_rows);
    println!("{}", finetuning_data.get(0)?);

    // %% [markdown]
    // ## Tokenize one example, by hand
    //
    // - Join the columns and encode.
    // - Then the limit: the length of the row, but at most 2048. Too long a row loses its beginning.

    // %%
    let joined: String = concatenate(finetuning_data.get(0)?)?;
    let joined_ids: Vec<u32> = tokenizer.encode(&joined)?;
    let padded: Vec<Vec<u32>> = pad(&[joined_ids.clone()], tokenizer.pad_id());
    let max_length: usize = padded[0].len().min(2048);
    let by_hand: Vec<u32> = truncate(&padded[0], max_length, Side::Left);
    println!("{joined}\n");
    println!("{} ids: {by_hand:?}", by_hand.len());

    // %% [markdown]
    // A batch of one row has nothing to fill up. With a limit below its length the beginning goes, and the
    // answer stays.

    // %%
    println!("{:?}", tokenizer.decode(&truncate(&joined_ids, 12, Side::Left))?);

    // %% [markdown]
    // ## Tokenize one example, by function
    //
    // - `tokenize_function` does all of that: it chooses the columns, joins, encodes and cuts on the left.
    // - Look at the last id. If the tokenizer says `add_eos_token`, the row ends with the end-of-sequence
    //   token. From it a model learns to stop.

    // %%
    let tokens: Encoding = tokenize_function(finetuning_data.get(0)?, &tokenizer)?;
    println!("{:?}", tokens.input_ids);
    println!("add_eos_token: {}", tokenizer.add_eos());
    println!("by hand, without the end: {}", tokens.input_ids[..by_hand.len()] == by_hand[..]);

    // %% [markdown]
    // - `attention_mask` is 1 where there is text and would be 0 at padding.
    // - `prompt_length` says how many of the ids belong to the prompt.

    // %%
    println!("attention_mask: {:?}", tokens.attention_mask);
    println!("prompt: {} of {} ids", tokens.prompt_length, tokens.input_ids.len());

    // %% [markdown]
    // ## Nothing stands between question and answer
    //
    // - The function joins the columns without a separator. The printed pieces show where the answer begins.
    // - A trained model then expects exactly this form. Ask it as you trained it: plain questions if you
    //   trained on plain questions.

    // %%
    let plain: Encoding = tokenize_function(&row, &tokenizer)?;
    println!("{:?}", tokenizer.tokens(&concatenate(&row)?)?);
    println!("prompt: {:?}", tokenizer.decode(&plain.input_ids[..plain.prompt_length])?);
    println!("answer: {:?}", tokenizer.decode(&plain.input_ids[plain.prompt_length..])?);

    // %% [markdown]
    // ## Labels
    //
    // - `labels` are what the model learns to predict. They are the ids themselves.
    // - The model shifts them by one: at each place it reads a token and predicts the next.

    // %%
    println!("labels are the ids: {}", plain.labels == plain.input_ids);
    for pair in plain.labels.windows(2).take(6) {
        println!("reads {:?}, predicts {:?}", tokenizer.decode(&pair[..1])?, tokenizer.decode(&pair[1..])?);
    }

    // %% [markdown]
    // ## All rows
    //
    // - `tokenize_dataset` maps the function over the data set, one row at a time (a batch size of 1).
    // - 2048 is the limit for a row. Here the plain rows are used, as in lesson 5.

    // %%
    let tokenized: TokenizedDataset = tokenize_dataset(&data, &tokenizer, 2048)?;
    println!("{tokenized}");
    println!("{:?}", tokenized.get(0)?.input_ids);

    // %% [markdown]
    // How long are the rows? The longest one must fit into the model; all beyond would be cut.

    // %%
    let mut lengths: Vec<usize> = tokenized.rows().iter().map(|row| row.input_ids.len()).collect();
    lengths.sort_unstable();
    let mean: f64 = tokenized.tokens() as f64 / tokenized.len() as f64;
    println!("shortest {}, mean {mean:.1}, longest {}", lengths[0], lengths[lengths.len() - 1]);

    // %% [markdown]
    // ## Batch size and the last batch
    //
    // - Padding depends on the batch: with a batch size of 1 there is none. Look how it grows.
    // - If the rows do not divide by the batch size, the last batch is smaller. `drop_last_batch` leaves it
    //   out; with a batch size of 1 no row is ever lost.

    // %%
    for batch_size in [1, 8, 64] {
        let mut padding: usize = 0;
        for batch in tokenized.rows().chunks_exact(batch_size) {
            let rows: Vec<Vec<u32>> = batch.iter().map(|row| row.input_ids.clone()).collect();
            let filled: usize = pad(&rows, tokenizer.pad_id()).iter().map(Vec::len).sum();
            padding += filled - rows.iter().map(Vec::len).sum::<usize>();
        }
        let dropped: usize = tokenized.len() % batch_size;
        println!("batch size {batch_size}: {padding} ids of padding, {dropped} rows dropped");
    }

    // %% [markdown]
    // ## Split
    //
    // - A tenth of the rows is held out for the test, shuffled with seed 123.
    // - The order is that of NumPy's `default_rng(123).permutation(n)`, so a split in Python has the same
    //   rows. For 1,400 rows it begins 602 1120 271.

    // %%
    let (train_tokens, test_tokens): (TokenizedDataset, TokenizedDataset) =
        tokenized.train_test_split(0.1, 123)?;
    println!("train: {train_tokens}");
    println!("test:  {test_tokens}");
    println!("1,400 rows: {:?}", &permutation(1400, 123)[..5]);

    // %% [markdown]
    // The texts split in the same way. The first row of the test split is the row that the permutation names
    // first.

    // %%
    let (train_rows, test_rows): (Dataset, Dataset) = data.train_test_split(0.1, 123)?;
    let first: usize = permutation(data.len(), 123)[0];
    println!("row {first}: {}", data.get(first)?);
    println!("test row 0: {}", test_rows.get(0)?);

    // %% [markdown]
    // ## No row in both
    //
    // A question in both parts would make the test too easy. Look at the count: it should be 0.

    // %%
    let known: Vec<String> = train_rows.column("question")?;
    let asked: Vec<String> = test_rows.column("question")?;
    let leaked: usize = asked.iter().filter(|question| known.contains(question)).count();
    println!("{leaked} of {} test questions are in the training rows", test_rows.len());

    // %% [markdown]
    // Save both parts, so that you can read them and use them elsewhere.

    // %%
    std::fs::create_dir_all("scratch").expect("the folder of the notebook is writable");
    train_rows.to_jsonl("scratch/lab_docs_train.jsonl")?;
    test_rows.to_jsonl("scratch/lab_docs_test.jsonl")?;
    for path in ["scratch/lab_docs_train.jsonl", "scratch/lab_docs_test.jsonl"] {
        println!("{path}: {}", load_dataset(path)?);
    }

    // %% [markdown]
    // ## Data sets to try
    //
    // These ship with the project. Look at the columns: which of them would `tokenize_function` join, and
    // which must you hydrate or rename first?

    // %%
    for name in ["lab_docs", "instructions", "pretraining", "evaluation_example", "arc_style"] {
        println!("builtin:{name}: {}", load_dataset(&format!("builtin:{name}"))?);
    }

    // %% [markdown]
    // - On the hub, any data set with a `.jsonl` file works with `load_dataset("owner/name")?`. Choose one
    //   with the columns of lesson 2, or rename: `data.rename_column("reply", "answer")?`.
    // - Three kinds to look for: questions and answers about one product, texts of one person or one band
    //   in one style, and instructions for many tasks.
    // - Read its card first: who wrote the rows, and what does the licence allow?

    // %% [markdown]
    // ## Give your data to others
    //
    // To push a data set to the hub is an upload with your account. This project does not do it for you. With
    // the command-line tool of the hub it is one line in a terminal:
    //
    // ```sh
    // hf upload YOUR_NAME/YOUR_DATA scratch/lab_docs_train.jsonl train.jsonl --repo-type dataset
    // ```
    //
    // Afterwards `load_dataset("YOUR_NAME/YOUR_DATA")?` reads it on any machine. Do not upload private rows.

    // %% [markdown]
    // ## Predict a number
    //
    // A data set has 1,401 rows and a tenth is held out. How many test rows are there? A part of a row is
    // rounded up.

    // %%
    let my_prediction: usize = 0;
    {
        let rows: Vec<Example> = vec![Example::new([("text", "a row")]); 1401];
        let (_, test) = Dataset::from_examples(rows).train_test_split(0.1, 123)?;
        match my_prediction == test.len() {
            true => println!("right: {my_prediction} test rows"),
            false => println!("not {my_prediction}: a tenth of 1,401, rounded up"),
        }
    }

    // %% [markdown]
    // ## Exercises
    //
    // 1. Predict the number in the cell above. Then predict it for 1,409 rows and for 10.
    // 2. Find a word that our tokenizer cuts into more than four pieces. How do its pieces change when you
    //    put a space in front, or a capital letter?
    // 3. Tokenize `finetuning_data` in place of `data`. How many more ids does the template cost in a row?

    Ok(())
}
