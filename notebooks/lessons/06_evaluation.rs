//! Lesson 6. Evaluation: exact match, similarity, judges, a tournament, error categories and a benchmark.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 6. Evaluation
    //
    // - Generated text is hard to score: many different answers can be right. So there are several scores.
    // - In this lesson: exact match, similarity, a model as a judge, a tournament, error categories, a
    //   benchmark.
    // - The test rows are held out: training does not read them. What that proves is checked first.

    // %% [markdown]
    // ## The finetuned model and the test rows
    //
    // The same split as in training: the same test size and the same seed. Another seed would put training
    // rows into the test, and the scores would be too good.

    // %%
    use finetuning::polars::prelude::DataFrame;
    use finetuning::*;

    // %%
    let model: CausalLm = AutoModelForCausalLM::from_pretrained("builtin:tuned")?;
    let tokenizer: Tokenizer = AutoTokenizer::from_pretrained("builtin:tuned")?;
    let (train, test): (Dataset, Dataset) = load_dataset("builtin:lab_docs")?.train_test_split(0.1, 123)?;
    println!("train: {train}");
    println!("test:  {test}");

    // %% [markdown]
    // ## What is held out
    //
    // - Our data asks for each fact in several ways. So the question of a test row is new, but its answer can
    //   stand in a training row.
    // - Look at the count. These scores then say how well the model finds a known answer for a new wording.
    //   They do not say that it answers questions about facts that it never read.

    // %%
    let known: Vec<String> = train.column("answer")?;
    let repeated: usize = test.column("answer")?.iter().filter(|answer| known.contains(answer)).count();
    let asked: Vec<String> = train.column("question")?;
    let same: usize = test.column("question")?.iter().filter(|question| asked.contains(question)).count();
    println!("{repeated} of {} test answers stand in a training row too", test.len());
    println!("{same} of {} test questions do", test.len());

    // %% [markdown]
    // ## Has the model seen the test rows?
    //
    // - The split depends on the number of rows. If rows are added after training, the new test rows are
    //   mostly old training rows, and every score is too good. No error says so.
    // - Compare the losses. A test loss clearly above the training loss is what honest test rows give. Losses
    //   close together are an alarm: train again on the new split.

    // %%
    for (name, rows) in [("train", &train.head(test.len())), ("test", &test)] {
        let tokens: TokenizedDataset = tokenize_dataset(rows, &tokenizer, 512)?;
        println!("{name}: {:.3} loss per token", evaluate_loss(&model, &tokens, 8, false)?.loss);
    }

    // %% [markdown]
    // ## Evaluation mode
    //
    // - Dropout sets random activations to zero while a model trains. In an evaluation it must be off.
    // - Here the mode is an argument of `forward`, and `inference` always has it off.
    // - The toy model has dropout. Run it twice in each mode: only in evaluation mode is there no difference.

    // %%
    let toy_shape: NeoxConfig = NeoxConfig { hidden_dropout: 0.5, ..NeoxConfig::new(64, 16, 1, 2) };
    let toy: CausalLm = CausalLm::random(toy_shape, 1, None, &Device::Cpu)?;
    for training in [true, false] {
        let first: Tensor = toy.forward(&[5, 6, 7], 1, training)?;
        let second: Tensor = toy.forward(&[5, 6, 7], 1, training)?;
        let difference: f32 = (first - second)?.abs()?.max_all()?.to_scalar::<f32>()?;
        println!("training = {training}: two runs differ by up to {difference}");
    }

    // %% [markdown]
    // ## Exact match
    //
    // Two texts match when they are equal after spaces at both ends are removed. Everything else counts.

    // %%
    println!("{}", is_exact_match(" The loss goes down.\n", "The loss goes down."));
    println!("{}", is_exact_match("The loss goes down", "The loss goes down."));
    println!("{}", is_exact_match("the loss goes down.", "The loss goes down."));

    // %% [markdown]
    // ## One question
    //
    // Read the answer and the target. Would you call the answer right? Exact match may disagree.

    // %%
    let row: Example = test.get(3)?.clone();
    let answer: String = inference(row.field("question")?, &model, &tokenizer, 1000, 100)?;
    println!("question: {}", row.field("question")?);
    println!("answer:   {}", answer.trim());
    println!("target:   {}", row.field("answer")?);
    println!("exact match: {}", is_exact_match(&answer, row.field("answer")?));

    // %% [markdown]
    // ## A loop by hand: the questions
    //
    // - `n` is the number of questions, or −1 for all test rows.
    // - One question is too long on purpose: prompt and answer together may have 100 tokens.
    // - The lists are made here, so that an interrupted loop does not lose them.

    // %%
    let n: i64 = 10;
    let count: usize = if n == -1 { test.len() } else { n as usize };
    let mut questions: Vec<Example> = test.head(count).into_iter().collect();
    let endless: String = "Why? ".repeat(200);
    questions.insert(3, Example::new([("question", endless), ("answer", "Because.".to_string())]));
    let mut predictions: Vec<(String, String)> = Vec::new();
    let mut failures: Vec<String> = Vec::new();

    // %% [markdown]
    // ## A loop by hand: the answers
    //
    // - A row that fails is recorded and skipped; the loop goes on.
    // - An interrupt is no failure of the row: it ends the loop.

    // %%
    predictions.clear();
    failures.clear();
    for (index, row) in questions.iter().enumerate() {
        let target: String = row.field("answer")?.to_string();
        match inference(row.field("question")?, &model, &tokenizer, 1000, 100) {
            Ok(answer) => predictions.push((answer.trim().to_string(), target)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err::<(), Error>(error)?,
            Err(error) => failures.push(format!("row {index}: {error}")),
        }
        println!("{}/{}: {} failed", index + 1, questions.len(), failures.len());
    }

    // %% [markdown]
    // The number of exact matches, and the failures with their reasons.

    // %%
    let matches: usize = predictions.iter().filter(|(answer, target)| is_exact_match(answer, target)).count();
    println!("{matches} exact matches in {} answers", predictions.len());
    for failure in &failures {
        println!("{failure}");
    }

    // %% [markdown]
    // ## The whole test set
    //
    // - `evaluate_answers` is that loop over all rows (−1), with several rows at the same time.
    // - Token F1 compares the words of answer and target, whatever their order: from 0 to 1.

    // %%
    let report: AnswerReport = evaluate_answers(&model, &tokenizer, &test, -1)?;
    println!("{report}");
    println!("exact matches: {} of {}", report.exact_matches(), report.rows.len());

    // %% [markdown]
    // ## Predicted and target answers as a table
    //
    // Read the rows. Scores hide what a look at the answers shows at once.

    // %%
    let answers: DataFrame = report.to_frame()?.select(["predicted_answer", "target_answer"])?;
    show(&answers);

    // %% [markdown]
    // ## Similarity
    //
    // - Two answers can say the same in other words. An embedding turns a text into a vector; similar texts
    //   have vectors of a similar direction, which their cosine measures.
    // - Here a vector counts words, and rare words weigh more (TF-IDF). It knows no synonyms; the vectors of
    //   an embedding model do.

    // %%
    let similarity: TfIdf = TfIdf::fit(&train.column("answer")?);
    let mut inexact: Vec<(f64, AnswerRow)> = Vec::new();
    for row in report.rows.iter().filter(|row| !row.exact_match) {
        inexact.push((similarity.similarity(&row.predicted_answer, &row.target_answer), row.clone()));
    }
    inexact.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("{} answers are no exact match", inexact.len());

    // %% [markdown]
    // The most similar of the answers that are no exact match. Which of them would you accept?

    // %%
    {
        let mut lines: Vec<Vec<String>> = Vec::new();
        for (cosine, row) in inexact.iter().take(8) {
            lines.push(vec![format!("{cosine:.2}"), row.predicted_answer.clone(), row.target_answer.clone()]);
        }
        show(&table(&["similarity", "predicted", "target"], &lines));
    }

    // %% [markdown]
    // ## Three models on the same questions
    //
    // The next sections compare models. `base` is not finetuned, `tuned` is, and `large` is a larger
    // finetuned one.

    // %%
    let names: Vec<String> = vec!["builtin:base".into(), "builtin:tuned".into(), "builtin:large".into()];
    let mut reports: Vec<AnswerReport> = Vec::new();
    for name in &names {
        let player: CausalLm = AutoModelForCausalLM::from_pretrained(name)?;
        let its_tokenizer: Tokenizer = AutoTokenizer::from_pretrained(name)?;
        reports.push(evaluate_answers(&player, &its_tokenizer, &test, 40)?);
        println!("{name}: {}", reports[reports.len() - 1]);
    }

    // %% [markdown]
    // ## A model as a judge
    //
    // - A judge reads a question and two answers and says which one is better.
    // - A fair judge gives the same verdict when the answers change places.
    // - Our models are too small to judge: look at how many verdicts are ties or change with the order. The
    //   same cell takes a large model of the GPT-NeoX family by its hub name.

    // %%
    let judge: BasicModelRunner = BasicModelRunner::new("builtin:large")?;
    for row in 0..5 {
        let (a, b) = (&reports[0].rows[row], &reports[1].rows[row]);
        let there: Verdict = judge_by_model(&judge, &a.question, &a.predicted_answer, &b.predicted_answer)?;
        let back: Verdict = judge_by_model(&judge, &a.question, &b.predicted_answer, &a.predicted_answer)?;
        println!("base, then tuned: {there:?}; tuned, then base: {back:?}");
    }

    // %% [markdown]
    // ## A judge that knows the target
    //
    // Where a target exists, it can decide: the answer with the higher token F1 wins, a small difference is a
    // tie.

    // %%
    for row in 0..5 {
        let (a, b) = (&reports[0].rows[row], &reports[1].rows[row]);
        let verdict: Verdict = judge_by_target(&a.predicted_answer, &b.predicted_answer, &a.target_answer);
        println!("base {:.2}, tuned {:.2}: {verdict:?}", a.f1, b.f1);
    }

    // %% [markdown]
    // ## A tournament
    //
    // - Each question is a game between two models. The Elo rating of chess turns wins into numbers.
    // - All start with the same rating. A win against a higher rating moves more than one against a lower
    //   rating.
    // - A difference of 400 points means that ten of eleven games are expected to be won.

    // %%
    let mut tournament: Tournament = Tournament::new(&names);
    for row in 0..reports[0].rows.len() {
        for (first, second) in [(0, 1), (1, 2), (2, 0)] {
            let (a, b) = (&reports[first].rows[row], &reports[second].rows[row]);
            let verdict = judge_by_target(&a.predicted_answer, &b.predicted_answer, &a.target_answer);
            tournament.record(&names[first], &names[second], verdict)?;
        }
    }
    show(&tournament);

    // %% [markdown]
    // ## Error categories
    //
    // - A score says how many answers are wrong. The kind of the errors says what to repair in the data.
    // - Misspelling: correct the rows. Too long: shorten the answers. Repetitive: make the rows more varied,
    //   and make sure that each ends with the end-of-sequence token.

    // %%
    show_picture("error_categories")?;

    // %% [markdown]
    // Before finetuning: the answers of the base model. A row can be in several categories.

    // %%
    let before: ErrorReport = error_categories(&reports[0].rows);
    show(&before);

    // %% [markdown]
    // After finetuning: the same questions, the finetuned model. Compare the counts.

    // %%
    let after: ErrorReport = error_categories(&reports[1].rows);
    show(&after);

    // %% [markdown]
    // - One answer from each category that has one. Is it in the right place?
    // - The rules are simple: a count of words, words that come again, and words one or two letters away from
    //   a word of the questions and targets. A correct word that stands in none of them can be taken for a
    //   misspelling.

    // %%
    for (when, errors, rows) in [("before", &before, &reports[0].rows), ("after", &after, &reports[1].rows)] {
        for (category, found) in [
            ("misspelling", &errors.misspelling),
            ("too long", &errors.too_long),
            ("repetitive", &errors.repetitive),
        ] {
            if let Some(&row) = found.first() {
                println!("{when}, {category}: {}\n", rows[row].predicted_answer);
            }
        }
    }

    // %% [markdown]
    // ## A published evaluation
    //
    // - Who publishes a model can publish its answers too, so that others can count again.
    // - `builtin:evaluation_example` holds questions, predicted answers and targets. First look at some rows.

    // %%
    let published: Dataset = load_dataset("builtin:evaluation_example")?;
    show(&published.head(5));

    // %% [markdown]
    // Score the published answers, without the model that gave them.

    // %%
    let mut published_report: AnswerReport = AnswerReport::default();
    for row in published.iter() {
        let (predicted, target) = (row.field("predicted_answer")?, row.field("target_answer")?);
        published_report.rows.push(AnswerRow {
            question: row.field("question")?.to_string(),
            predicted_answer: predicted.to_string(),
            target_answer: target.to_string(),
            exact_match: is_exact_match(predicted, target),
            f1: token_f1(predicted, target),
            error: None,
        });
    }

    // %% [markdown]
    // - The makers of this sample put 4 misspelled, 4 too long and 3 repetitive answers into it.
    // - Compare the counts. Where they differ, look at the rows: the rules can raise a false alarm, and an
    //   answer can belong to two categories.

    // %%
    println!("{published_report}");
    show(&error_categories(&published_report.rows));

    // %% [markdown]
    // ## Benchmarks
    //
    // - ARC: science questions from school, with several choices.
    // - HellaSwag: which sentence continues a scene of everyday life.
    // - MMLU: questions from many school and university subjects.
    // - TruthfulQA: questions to which common false beliefs are tempting answers.
    //
    // They ask for general knowledge. For your own task, your own test rows say more.

    // %%
    let exam: Vec<MultipleChoice> = load_multiple_choice("builtin:arc_style")?;
    println!("{} questions", exam.len());
    println!("{:#?}", exam[0]);

    // %% [markdown]
    // ## How a choice is scored
    //
    // - Nothing is generated. Each choice gets the log-probability that the model gives to it after the
    //   question.
    // - The choice with the highest one (the closest to 0) is the model's answer.

    // %%
    for (index, choice) in exam[0].choices.iter().enumerate() {
        let prompt: String = format!("Question: {}\nAnswer:", exam[0].question);
        let score: f64 = log_probability(&model, &tokenizer, &prompt, &format!(" {choice}"))?;
        let mark: &str = if index == exam[0].answer { "(right)" } else { "" };
        println!("{score:8.2}  {choice} {mark}");
    }

    // %% [markdown]
    // ## What finetuning forgets
    //
    // - Finetuning on one subject can cost general knowledge. The Python course measured it on ARC-Easy:
    //   36.70 % before, 31.23 % after.
    // - Look at the standard error: with few questions a small difference means nothing.
    // - Four choices: guessing gives a quarter.

    // %%
    for name in ["builtin:base", "builtin:tuned"] {
        let candidate: CausalLm = AutoModelForCausalLM::from_pretrained(name)?;
        let its_tokenizer: Tokenizer = AutoTokenizer::from_pretrained(name)?;
        let accuracy: f64 = multiple_choice_accuracy(&candidate, &its_tokenizer, &exam)?;
        let deviation: f64 = (accuracy * (1.0 - accuracy) / exam.len() as f64).sqrt();
        println!("{name}: {:.1} % (standard error {:.1} %)", 100.0 * accuracy, 100.0 * deviation);
    }

    // %% [markdown]
    // ## Predict a number
    //
    // Token F1 is 2 · common words / (words of the answer + words of the target). What is it for the two
    // texts in the cell? Write your number, with two decimals, in place of the 0.0 and run the cell.

    // %%
    let my_prediction: f64 = 0.0;
    let measured: f64 = token_f1("the loss goes down fast", "the loss goes down");
    match (my_prediction - measured).abs() < 0.01 {
        true => println!("right: {measured:.4}"),
        false => println!("not {my_prediction}: count the words of both texts, and those that they share"),
    }

    // %% [markdown]
    // ## Exercises
    //
    // 1. Predict the token F1 in the cell above. Then change the order of the words: does F1 see it? Does
    //    exact match?
    // 2. Set `n` to −1 in the loop by hand. Is the number of exact matches that of `evaluate_answers`?
    // 3. Find an answer of `report` with a high token F1 that is wrong. Which score would have noticed?

    Ok(())
}
