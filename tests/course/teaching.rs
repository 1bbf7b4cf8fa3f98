//! What a learner must see: the shipped base model does not answer, three steps change nothing, two minutes do.

use finetuning::*;

const REDIRECT: &str = "keep the discussion relevant";

fn split() -> (Dataset, Dataset) {
    load_dataset("builtin:lab_docs").unwrap().train_test_split(0.1, 123).unwrap()
}

fn score(name: &str) -> AnswerReport {
    let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained(name).unwrap(), AutoTokenizer::from_pretrained(name).unwrap());
    evaluate_answers(&model, &tokenizer, &split().1, -1).unwrap()
}

/// (redirected, asked): the off-topic questions of the held-out rows.
fn redirected(report: &AnswerReport) -> (usize, usize) {
    let off_topic: Vec<&AnswerRow> = report.rows.iter().filter(|row| row.target_answer.contains(REDIRECT)).collect();
    (off_topic.iter().filter(|row| row.predicted_answer.contains(REDIRECT)).count(), off_topic.len())
}

/// (redirected, asked): forty more off-topic questions, which are in no file that a model reads.
fn redirected_elsewhere(model: &CausalLm, tokenizer: &Tokenizer) -> (usize, usize) {
    let questions: Vec<String> = serde_json::from_value(crate::support::json("off_topic.json")).unwrap();
    let answers = questions.iter().map(|question| inference(question, model, tokenizer, 1000, 100).unwrap());
    (answers.filter(|answer| answer.contains(REDIRECT)).count(), questions.len())
}

#[test]
fn the_data_set_is_large_varied_and_split_without_leaks() {
    let (train, test) = split();
    assert!(train.len() + test.len() >= 1400, "{}", train.len() + test.len());
    let off_topic = train.containing("answer", REDIRECT).len() + test.containing("answer", REDIRECT).len();
    let part = off_topic as f64 / (train.len() + test.len()) as f64;
    assert!((0.05..=0.20).contains(&part), "{part}");
    let known: std::collections::HashSet<String> = train.column("question").unwrap().into_iter().collect();
    for question in test.column("question").unwrap() {
        assert!(!known.contains(&question), "{question}");
    }
    // What the base model read holds no answer.
    let text = load_dataset("builtin:stories").unwrap().column("text").unwrap().join("\n");
    for answer in train.column("answer").unwrap().iter().chain(&test.column("answer").unwrap()) {
        assert!(!text.contains(answer), "{answer}");
    }
}

#[test]
fn the_base_model_goes_on_with_more_text() {
    let report = score("builtin:base");
    assert!(report.exact_match_rate() <= 0.02, "{report}");
    let (model, tokenizer) =
        (AutoModelForCausalLM::from_pretrained("builtin:base").unwrap(), AutoTokenizer::from_pretrained("builtin:base").unwrap());
    let (_, test) = split();
    let more = test
        .column("question")
        .unwrap()
        .iter()
        .take(40)
        .filter(|question| inference(question, &model, &tokenizer, 1000, 100).unwrap().contains('?'))
        .count();
    assert!(more >= 20, "only {more} of 40 questions were followed by another question");
}

#[test]
fn three_steps_are_not_enough_and_a_short_run_is() {
    let (tokenizer, base) =
        (AutoTokenizer::from_pretrained("builtin:base").unwrap(), AutoModelForCausalLM::from_pretrained("builtin:base").unwrap());
    let config = TrainingConfig {
        model: ModelConfig { pretrained_name: "builtin:base".into(), max_length: 2048 },
        datasets: DatasetsConfig { use_hf: false, path: "builtin:lab_docs".into() },
        verbose: false,
    };
    let (train, test) = tokenize_and_split_data(&config, &tokenizer).unwrap();
    let (_, questions) = split();
    let few = TrainingArguments {
        learning_rate: 1e-5,
        max_steps: 3,
        per_device_train_batch_size: 1,
        gradient_accumulation_steps: 4,
        warmup_steps: 1,
        optim: Optim::Adafactor,
        disable_tqdm: true,
        ..Default::default()
    };
    let slightly = base.deep_clone().unwrap();
    Trainer::new(&slightly, few, train, test).unwrap().train().unwrap();
    let before = evaluate_answers(&slightly, &tokenizer, &questions, -1).unwrap();
    assert!(before.exact_match_rate() <= 0.02, "after three steps: {before}");

    let mut runner = BasicModelRunner::new("builtin:base").unwrap();
    runner.load_data_from_jsonlines("builtin:lab_docs", "question", "answer").unwrap();
    let arguments = TrainingArguments { output_dir: crate::support::fresh_folder(), ..BasicModelRunner::default_arguments() };
    runner.train_with(false, arguments).unwrap();
    let model = runner.model().unwrap();
    let learnt = evaluate_answers(model, &tokenizer, &split().0, 60).unwrap();
    let after = evaluate_answers(model, &tokenizer, &questions, -1).unwrap();
    let ((right, all), (right_elsewhere, all_elsewhere)) = (redirected(&after), redirected_elsewhere(model, &tokenizer));
    let text = format!(
        "after three steps: {before}\nafter the short run: {after}\nrows that it read: {learnt}\noff topic: {right} of {all} held out, {right_elsewhere} of {all_elsewhere} elsewhere led back"
    );
    println!("{text}");
    // So small a model knows what it read, and leads back what is off topic; other words for a question help it little.
    assert!(learnt.exact_match_rate() >= 0.7, "{text}");
    assert!(after.mean_f1() >= 2.0 * before.mean_f1() && after.exact_match_rate() > before.exact_match_rate(), "{text}");
    assert!(all >= 20 && right * 2 >= all && right_elsewhere * 2 >= all_elsewhere, "{text}");
}
