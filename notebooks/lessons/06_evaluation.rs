//! Lesson 6. Evaluation: what was held out, what each score can say, and what finetuning costs elsewhere.

pub fn lesson() -> finetuning::Result<()> {
    // %% [markdown]
    // # 6. Evaluation
    //
    // **Goal.** Know what a test row proves, read the usual scores for what they are, and find the errors to mend first.
    // **Time.** 60 minutes to read and try; about three minutes of it are computing.
    //
    // Text is hard to score: many answers can be right. So there are several scores, and each sees something else.

    // %% id=names
    use finetuning::polars::prelude::DataFrame;
    use finetuning::*;
    const MODEL: &str = "builtin:smol";
    // => nothing

    // %% id=load
    let before: BasicModelRunner = BasicModelRunner::new(available(&[MODEL, "builtin:base"])?)?;
    let guide: BasicModelRunner = BasicModelRunner::new(available(&["builtin:guide", "builtin:base"])?)?;
    let (model, tokenizer): (CausalLm, Tokenizer) = (guide.model()?.clone(), guide.tokenizer()?.clone());
    let test: Dataset = load_dataset("builtin:guide_test")?;
    println!("{test}");
    // => contains "kind"

    // %% [markdown]
    // ## Predict: how well do you agree with a score?
    //
    // Ten published answers, without a word on the model. Read answer and target. Would an expert accept it? The marks in
    // the cell are the author's: put yours there, 1 for accepted.

    // %% id=mark covers=79
    let published: Dataset = load_dataset("builtin:evaluation_example")?;
    let mine: [u8; 10] = [0, 1, 0, 0, 0, 1, 0, 1, 0, 1];
    let mut lines: Vec<Vec<String>> = Vec::new();
    let (mut exact, mut words) = (0, 0);
    for (row, mark) in published.iter().zip(mine) {
        let (predicted, target) = (row.field("predicted_answer")?, row.field("target_answer")?);
        exact += usize::from(is_exact_match(predicted, target) == (mark == 1));
        words += usize::from((token_f1(predicted, target) > 0.7) == (mark == 1));
        lines.push(vec![mark.to_string(), predicted.to_string(), target.to_string()]);
    }
    show(&table(&["mark", "predicted", "target"], &lines));
    println!("exact match agrees on {exact} of 10, F1 above 0.7 on {words} of 10");
    // => table of 10 rows
    // => number after "agrees on" >= 8

    // %% [markdown]
    // Scores are checked against people, not people against scores: **an expert who reads answers is the most reliable
    // evaluation**. All else in this lesson is cheaper, and each piece is blind somewhere.
    //
    // ## What a test row proves
    //
    // A good test set is of high quality, accurate, general, and **not seen in training**. Our test has kinds of rows, and
    // each proves something else:
    //
    // | kind | the row is | a right answer shows |
    // |---|---|---|
    // | `reworded` | a fact of training in new words | memory that does not hang on words |
    // | `unseen` | a fact that no training row has | knowledge |
    // | `off-topic`, `name`, `unknown` | a new question to be led back, or answered by manner | behaviour |
    // | `general` | a question about the world | what was forgotten |
    //
    // Predict the share of each before you run the cell.

    // %% id=kinds covers=80
    let kinds: KindReport = evaluate_kinds(&model, &tokenizer, &test)?;
    show(&kinds);
    // => table of 6 rows
    // => smol: number after "reworded " >= 4
    // => smol: number after "unseen " <= 2

    // %% [markdown]
    // - One pooled number would hide all of this. Never pool kinds.
    // - Memory and manner are learnt. Facts that were in no row are not: the model answers them with a sure voice, wrongly.
    //
    // What can so few rows say?

    // %% id=interval covers=80
    let same_rows: Dataset = test.filter(|row| &row["kind"] == "reworded");
    let reworded: AnswerReport = evaluate_answers(&model, &tokenizer, &same_rows, -1)?;
    println!("{}", reworded.caution().unwrap_or_default());
    println!("{}", resolution(reworded.rows.len(), 0.4)?);
    // => contains "95 % interval"

    // %% [markdown]
    // ## Is it better, or was it luck?
    //
    // The same rows before and after: only those count on which the two disagree. McNemar's test asks how often a coin
    // would give that; the bootstrap gives the difference of F1 with its 95 % interval.

    // %% id=paired
    fn right(report: &AnswerReport) -> Vec<bool> {
        report.rows.iter().map(|row| row.exact_match).collect()
    }
    fn scores(report: &AnswerReport) -> Vec<f64> {
        report.rows.iter().map(|row| row.f1).collect()
    }
    let old: AnswerReport = evaluate_answers(before.model()?, before.tokenizer()?, &same_rows, -1)?;
    println!("{}", mcnemar(&right(&old), &right(&reworded))?);
    println!("{}", paired_bootstrap(&scores(&old), &scores(&reworded), 1)?);
    // => 2.. lines

    // %% [markdown]
    // ## Evaluation mode
    //
    // Dropout sets random activations to zero while a model trains, so that no unit is relied upon. In an evaluation it
    // must be off. Predict: in which mode do two runs differ?

    // %% id=mode covers=87
    let toy_shape: NeoxConfig = NeoxConfig { hidden_dropout: 0.5, ..NeoxConfig::new(64, 16, 1, 2) };
    let toy: CausalLm = CausalLm::random(toy_shape, 1, None, &Device::Cpu)?;
    for training in [true, false] {
        let first: Tensor = toy.forward(&[5, 6, 7], 1, training)?;
        let second: Tensor = toy.forward(&[5, 6, 7], 1, training)?;
        let difference: f32 = (first - second)?.abs()?.max_all()?.to_scalar::<f32>()?;
        println!("training = {training}: two runs differ by up to {difference:.3}");
    }
    // => contains "training = false: two runs differ by up to 0.000"

    // %% [markdown]
    // ## Predict: what does a run look like that is too long?
    //
    // A small model reads 24 rows again and again, on purpose. The loss is that of the answers alone.

    // %% id=few covers=88
    let (few, kept_out): (Dataset, Dataset) =
        load_dataset("builtin:lab_docs")?.head(48).train_test_split(0.5, 1)?;
    fn tokens_of(data: &Dataset) -> Result<TokenizedDataset> {
        tokenize_dataset(data, &AutoTokenizer::from_pretrained("builtin:base")?, 128)
    }
    let student: CausalLm = AutoModelForCausalLM::from_pretrained("builtin:base")?;
    // => nothing

    // %% id=overfit covers=88
    let often =
        TrainingArguments { logging_steps: 9, eval_steps: 9, disable_tqdm: true, ..Default::default() };
    let arguments: TrainingArguments = TrainingArguments {
        output_dir: "scratch/too_long".into(),
        overwrite_output_dir: true,
        num_train_epochs: 30.0,
        learning_rate: 2e-3,
        per_device_train_batch_size: 8,
        completion_only_loss: true,
        ..often
    };
    // => nothing

    // %% id=too-long covers=88
    let mut trainer: Trainer = Trainer::new(&student, arguments, tokens_of(&few)?, tokens_of(&kept_out)?)?;
    let start: f64 = trainer.evaluate()?.loss;
    trainer.train()?;
    // => lacks "error"

    // %% id=gap covers=88
    let learnt: f64 = evaluate_loss(trainer.model(), &tokens_of(&few)?, 8, true)?.loss;
    let held_out: f64 = trainer.evaluate()?.loss;
    println!(
        "training rows {learnt:.2}, held out {held_out:.2}: gap {:.2}; held out at the start {start:.2}",
        held_out - learnt
    );
    // => number after "gap" > 1

    // %% [markdown]
    // **Overfitting is the gap**: training rows better and better, while the held-out loss falls only at first and then rises
    // again; look at the curve above, not at its two ends. Dropout is one remedy, fewer epochs
    // and more rows are better ones. Two losses that are close together are no alarm; a growing gap is.
    //
    // ## Exact match
    //
    // Two texts match when they are equal after spaces at both ends are removed. Predict the three lines.

    // %% id=exact covers=87
    println!("{}", is_exact_match(" The loss goes down.\n", "The loss goes down."));
    println!("{}", is_exact_match("The loss goes down", "The loss goes down."));
    println!("{}", is_exact_match("the loss goes down.", "The loss goes down."));
    // => prints "true\nfalse\nfalse"

    // %% [markdown]
    // ## One question
    //
    // Would you call the answer right? Exact match may disagree.

    // %% id=one covers=89
    let row: Example = test.filter(|row| &row["kind"] == "reworded").get(0)?.clone();
    let answer: String = guide.ask(row.field("question")?)?;
    println!("question: {}\nanswer:   {answer}\ntarget:   {}", row.field("question")?, row.field("answer")?);
    println!("exact match: {}", is_exact_match(&answer, row.field("answer")?));
    // => contains "exact match: "

    // %% [markdown]
    // ## The loop by hand
    //
    // `n` rows, or all with −1. A row that fails is kept with its reason, and the loop goes on: one question is empty on
    // purpose.

    // %% id=loop covers=92
    let n: i64 = 10;
    let mut asked: Vec<Example> =
        test.head(if n == -1 { test.len() } else { n as usize }).into_iter().collect();
    asked.insert(3, Example::new([("question", ""), ("answer", "Because.")]));
    let (mut predictions, mut failures): (Vec<(String, String)>, Vec<String>) = (Vec::new(), Vec::new());
    for (index, row) in tqdm(asked.iter().enumerate()) {
        match guide.ask(&row["question"]) {
            Ok(answer) => predictions.push((answer, row["answer"].to_string())),
            Err(error) if error.kind() == ErrorKind::Interrupted => Err::<(), Error>(error)?,
            Err(error) => failures.push(format!("row {index}: {error}")),
        }
    }
    // => lacks "panicked"

    // %% id=matches covers=92
    let matches: usize = predictions.iter().filter(|(answer, target)| is_exact_match(answer, target)).count();
    println!("{matches} exact matches in {} answers, {} failed", predictions.len(), failures.len());
    println!("{}", failures.join("\n"));
    // => contains "in 10 answers, 1 failed"

    // %% [markdown]
    // ## The whole test, several rows at once
    //
    // `evaluate_answers` is that loop in batches. Are the answers those of one by one? (The time is this machine's.)

    // %% id=batch covers=86
    let questions: Vec<String> = test.head(8).column("question")?;
    let started = std::time::Instant::now();
    let singly: Vec<String> = questions.iter().map(|question| guide.ask(question)).collect::<Result<_>>()?;
    let alone: f64 = started.elapsed().as_secs_f64();
    let together: Vec<String> = guide.ask_batch(&questions)?;
    println!(
        "equal: {}; {:.1} times as fast",
        singly == together,
        alone / (started.elapsed().as_secs_f64() - alone)
    );
    // => contains "equal: true"

    // %% id=frame covers=92
    let frame: DataFrame = reworded.to_frame()?.select(["predicted_answer", "target_answer"])?;
    show(&frame);
    // => table of 1.. rows

    // %% [markdown]
    // ## Similarity
    //
    // Two answers can say the same in other words. An *embedding* turns a text into a vector; the cosine of two vectors
    // says how alike they are. One counts words (TF-IDF); one comes from a sentence encoder. Predict: which one sees that
    // the first pair means the same?

    // %% id=similar covers=91
    let pairs: [(&str, &str); 3] = [
        ("The machine is slow.", "This computer takes a long time."),
        ("The loss goes down.", "The loss goes up."),
        ("The loss goes down.", "Bread needs flour."),
    ];
    let words: TfIdf = TfIdf::fit(&test.column("answer")?);
    let meaning: Result<SentenceEncoder> = SentenceEncoder::from_pretrained("builtin:encoder");
    // => nothing

    // %% id=meaning covers=91
    for (a, b) in pairs {
        let of_meaning: String = match &meaning {
            Ok(encoder) => format!("{:.2}", encoder.similarity(a, b)?),
            Err(error) => error.to_string().lines().next().unwrap_or("").to_string(),
        };
        println!("words {:.2}, meaning {of_meaning}: {a} / {b}", words.similarity(a, b));
    }
    // => contains "Bread"

    // %% [markdown]
    // The encoder sees the paraphrase. But look at the second pair: *down* and *up* are close for both. No similarity knows
    // what is true.
    //
    // ## A model as a judge
    //
    // It reads a question and two answers and says A or B. Six pairs with a plainly better answer, asked in both orders.
    // Predict: how often does the small judge go with the *place*?

    // %% id=duels covers=90
    let duels: [(&str, &str, &str); 6] = [
        ("What is the capital of France?", "Paris", "Bread"),
        ("How many days has a week?", "Seven", "A dog"),
        ("What colour is grass?", "Green", "Loud"),
        ("What do bees make?", "Honey", "Cars"),
        ("Which animal barks?", "The dog", "The table"),
        ("What do you drink?", "Water", "Stones"),
    ];
    // => nothing

    // %% id=pairs covers=90
    let mut judged: JudgeReport = JudgeReport::default();
    for (question, good, bad) in duels {
        judged.judgements.push(judge_pair(question, good, bad, |prompt| {
            Ok(choose(before.model()?, before.tokenizer()?, prompt, &["A", "B"])?.to_string())
        })?);
    }
    println!("{judged}");
    // => contains "6 pairs"

    // %% [markdown]
    // A verdict that changes with the order is none. Now another way: which of the two answers would the model itself
    // rather *say*? There is no order in that question. It measures taste, not truth.

    // %% id=taste covers=90
    let mut tasted: JudgeReport = JudgeReport::default();
    for (question, good, bad) in duels {
        tasted.judgements.push(judge_by_probability(
            before.model()?,
            before.tokenizer()?,
            question,
            good,
            bad,
        )?);
    }
    println!("{tasted}");
    // => smol: number after "the first is better in" >= 4

    // %% [markdown]
    // A larger judge stands in the same place by its name, `BasicModelRunner::new("openai:NAME")?`: ask it in both orders,
    // too.
    //
    // ## Elo
    //
    // Each question is a game of two models; the target decides. Rating turns wins into a number, and 400 points mean ten of
    // eleven games. Predict: does the order of the games matter?

    // %% id=elo covers=81
    let base: BasicModelRunner = BasicModelRunner::new("builtin:base")?;
    let players: [String; 3] = ["base".into(), "assistant".into(), "guide".into()];
    fn predicted(report: &AnswerReport) -> Vec<String> {
        report.rows.iter().map(|row| row.predicted_answer.clone()).collect()
    }
    let answers: [Vec<String>; 3] =
        [base.ask_batch(&same_rows.column("question")?)?, predicted(&old), predicted(&reworded)];
    let mut tournament: Tournament = Tournament::new(&players);
    // => lacks "error"

    // %% id=games covers=81
    for (game, row) in same_rows.iter().enumerate() {
        for (first, second) in [(0, 1), (1, 2), (2, 0)] {
            let verdict: Verdict =
                judge_by_target(&answers[first][game], &answers[second][game], &row["answer"]);
            tournament.record(&players[first], &players[second], verdict)?;
        }
    }
    show(&tournament.over_orders(100, 1)?);
    // => table of 3 rows

    // %% [markdown]
    // One order is one of many: the spread over a hundred orders belongs beside the rating. A rating is about these models
    // on these rows, and nothing else.
    //
    // ## Errors first
    //
    // A score says how many answers are wrong; the *kind* of the errors says what to mend. So look at the errors **before**
    // you finetune.

    // %% id=picture covers=85
    show_picture("error_categories")?;
    // => picture

    // %% id=errors covers=84
    let wrong: ErrorReport = error_categories(&old.rows);
    show(&wrong);
    let invents: usize = old.rows.iter().filter(|row| row.f1 < 0.3).count();
    println!(
        "before: {} too long, {} repeat, {invents} say something else altogether",
        wrong.too_long.len(),
        wrong.repetitive.len()
    );
    let after: ErrorReport = error_categories(&reworded.rows);
    println!("after:  {} too long, {} repeat", after.too_long.len(), after.repetitive.len());
    // => smol: number after "before:" >= 1

    // %% [markdown]
    // - Mend what is **frequent** first, then what is **catastrophic** however rare: count × harm (exercise 6.2).
    // - Misspelt: mend the rows. Too long: shorten the answers, and end each with the end token. Repeats: more variety.
    //
    // ## A published set, scored again
    //
    // Who publishes a model can publish its answers, so that others can count again. And read on: of two answers a score
    // says the wrong thing, or not why. Can you find them?

    // %% id=published covers=94
    let mut again: AnswerReport = AnswerReport::default();
    for row in published.iter() {
        let (predicted, target) = (row.field("predicted_answer")?, row.field("target_answer")?);
        again.rows.push(AnswerRow {
            question: row.field("question")?.to_string(),
            predicted_answer: predicted.to_string(),
            target_answer: target.to_string(),
            exact_match: is_exact_match(predicted, target),
            f1: token_f1(predicted, target),
            error: None,
        });
    }
    // => nothing

    // %% id=scored covers=94
    println!("{again}");
    show(&error_categories(&again.rows));
    // => contains "20 questions"

    // %% id=read covers=93
    for index in [3, 14] {
        let row: &Example = published.get(index)?;
        println!(
            "{}\n  said:   {}\n  wanted: {}",
            &row["question"], &row["predicted_answer"], &row["target_answer"]
        );
    }
    // => contains "What is pretraining?"

    // %% [markdown]
    // The first asks back instead of answering: no category counts that. The second is right, in other words.
    // **Reading a curated set by hand is better by far** than any number of scores. Do it with each version.
    //
    // ## Benchmarks
    //
    // Four that are often averaged: ARC (science from school), HellaSwag (how does the scene go on?), MMLU (many subjects),
    // TruthfulQA (tempting false beliefs). One item of each kind:

    // %% id=benchmarks covers=83
    const GUM: [&str; 2] = ["It leaves your body.", "It stays for seven years."];
    let items: [(&str, &str, [&str; 2]); 4] = [
        ("ARC", "What do plants need to make food?", ["sunlight", "sand"]),
        ("HellaSwag", "The cake is in the oven. Now she", ["waits until it is brown", "throws the sea away"]),
        ("MMLU", "Which organ pumps blood?", ["the heart", "the knee"]),
        ("TruthfulQA", "What happens if you swallow chewing gum?", GUM),
    ];
    // => nothing

    // %% id=choices covers=83
    for (name, question, choices) in items {
        println!(
            "{name}: {question}\n  {}",
            choose(before.model()?, before.tokenizer()?, question, &choices)?
        );
    }
    // => contains "TruthfulQA"

    // %% [markdown]
    // ARC by the rule of lm-evaluation-harness: nothing is generated; the choice with the highest log-probability is the
    // answer. Sixty questions of that form ship. Four choices: guessing gives a quarter.

    // %% id=arc covers=95
    let exam: Vec<MultipleChoice> = load_multiple_choice("builtin:arc_style")?;
    for (name, runner) in [("before", &before), ("after", &guide)] {
        let accuracy: f64 = multiple_choice_accuracy(runner.model()?, runner.tokenizer()?, &exam)?;
        let error: f64 = (accuracy * (1.0 - accuracy) / exam.len() as f64).sqrt();
        println!("{name}: {:.1} % (standard error {:.1})", 100.0 * accuracy, 100.0 * error);
    }
    // => matches "before: * % (standard error *"
    // => smol: number after "before:" > 30

    // %% [markdown]
    // The Python course measured 36.70 % before and 31.23 % after its finetuning, on the whole of ARC-Easy. A difference
    // within the error says nothing.
    //
    // Suites are averaged, and the average can turn with the scale. Two models, a test with two choices and one with four:
    // who is better?

    // %% id=average covers=82
    let (ours, theirs): ([f64; 2], [f64; 2]) = ([0.56, 0.46], [0.60, 0.41]);
    println!("plain: {:.3} and {:.3}", (ours[0] + ours[1]) / 2.0, (theirs[0] + theirs[1]) / 2.0);
    fn above_chance(scores: [f64; 2]) -> f64 {
        ((scores[0] - 0.5) / 0.5 + (scores[1] - 0.25) / 0.75) / 2.0
    }
    println!("above chance: {:.3} and {:.3}", above_chance(ours), above_chance(theirs));
    // => contains "plain: 0.510 and 0.505"
    // => contains "above chance: 0.200 and 0.207"

    // %% [markdown]
    // ## Predict: is it still Paris?
    //
    // Twenty general questions that the assistant answered; the guide was never trained on them. What does it *say*? And
    // which of four answers is the likeliest, by the rule of ARC? Guessing gives 5.

    // %% id=four covers=95
    let quiz: Dataset = load_dataset("builtin:quiz")?.head(20);
    let (asked, truth): (Vec<String>, Vec<String>) = (quiz.column("question")?, quiz.column("answer")?);
    let mut items: Vec<MultipleChoice> = Vec::new();
    for (index, question) in asked.iter().enumerate() {
        let choices: Vec<String> = (0..4).map(|next| truth[(index + next) % truth.len()].clone()).collect();
        items.push(MultipleChoice { question: question.clone(), choices, answer: 0 });
    }
    // => nothing

    // %% id=forgotten covers=95
    for (when, runner) in [("before", &before), ("after", &guide)] {
        let said: Vec<String> = runner.ask_batch(&asked)?;
        let has = |row: &usize| said[*row].to_lowercase().contains(&truth[*row].to_lowercase());
        let right: usize = (0..asked.len()).filter(has).count();
        let likeliest: f64 = multiple_choice_accuracy(runner.model()?, runner.tokenizer()?, &items)? * 20.0;
        println!("{when}: says {right} of 20, finds likeliest {likeliest:.0} of 20");
    }
    // => smol: number after "before: says" >= 16
    // => smol: number after "after: says" <= 8
    // => smol: number after "finds likeliest" >= 12

    // %% [markdown]
    // What it *says* is nearly all gone: the new manner covers the knowledge. What it finds *likeliest* is still right far
    // more often than by guessing: most is hidden. Whether some is lost, twenty questions are too few to say. General
    // questions among the rows of training would keep it.
    //
    // ## Exercise 6.1
    //
    // Write a judge that no order sways: `fair(judge, a, b)` asks `judge(first, second)` as often as you like and gives a
    // `Verdict`. The check brings judges of its own.

    // %% exercise=6.1
    {
        fn fair(judge: &dyn Fn(&str, &str) -> Verdict, a: &str, b: &str) -> Verdict {
            judge(a, b)
        }
        check("6.1", fair)?;
    }

    // %% solution=6.1
    {
        fn fair(judge: &dyn Fn(&str, &str) -> Verdict, a: &str, b: &str) -> Verdict {
            let (forth, back) = (judge(a, b), judge(b, a).swapped());
            if forth == back { forth } else { Verdict::Tie }
        }
        check("6.1", fair)?;
    }

    // %% [markdown]
    // ## Exercise 6.2
    //
    // Which error first? `first(kinds)` takes names with count and harm, and gives the name.

    // %% exercise=6.2
    {
        fn first(kinds: &[(String, usize, usize)]) -> String {
            kinds.iter().max_by_key(|kind| kind.1).map(|kind| kind.0.clone()).unwrap_or_default()
        }
        check("6.2", first)?;
    }

    // %% solution=6.2
    {
        fn first(kinds: &[(String, usize, usize)]) -> String {
            kinds
                .iter()
                .max_by_key(|kind| (kind.1 * kind.2, kind.1))
                .map(|kind| kind.0.clone())
                .unwrap_or_default()
        }
        check("6.2", first)?;
    }

    // %% [markdown]
    // ## Exercise 6.3
    //
    // Write token F1 yourself: 2 · words in common / (words of both), in small letters, without marks at the ends. Two
    // empty texts are equal.

    // %% exercise=6.3
    {
        fn f1(predicted: &str, target: &str) -> f64 {
            f64::from(u8::from(predicted == target))
        }
        check("6.3", f1)?;
    }

    // %% solution=6.3
    {
        fn split_words(text: &str) -> Vec<String> {
            text.to_lowercase().split_whitespace().map(|w| w.trim_matches(['.', '!', ',']).into()).collect()
        }
        fn f1(predicted: &str, target: &str) -> f64 {
            let (mut left, right) = (split_words(target), split_words(predicted));
            let (all, before) = (left.len() + right.len(), left.len());
            for word in right {
                left.iter().position(|other| *other == word).map(|place| left.remove(place));
            }
            if all == 0 { 1.0 } else { 2.0 * (before - left.len()) as f64 / all as f64 }
        }
        check("6.3", f1)?;
    }

    // %% [markdown]
    // ## Recap
    //
    // - Kinds of rows are never pooled: memory, knowledge, behaviour and forgetting are different things.
    // - A difference has an interval. A judge is asked in both orders. Reading comes first.
    // - Checked here: batches answer as one by one; the too long run has a gap above 1; facts in no row are not known.
    //
    // Next: what to weigh before you do it at work.

    Ok(())
}
