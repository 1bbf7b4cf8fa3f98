//! Questions to models with a chat template: `ask` goes through it, `complete` past it, training learns what is asked.

use finetuning::*;
use serde_json::{Value, json};

use crate::process::harness;
use crate::support::chat::{TEMPLATE, chat_model};
use crate::support::{fresh_folder, refused, skipped};

fn runner() -> BasicModelRunner {
    BasicModelRunner::new(&chat_model().display().to_string()).unwrap()
}

#[test]
fn asking_is_completing_the_chat_template() {
    let runner = runner().with_generation(GenerationConfig { max_new_tokens: 12, ..Default::default() });
    let tokenizer = runner.tokenizer().unwrap();
    let texts = |messages: &[Message]| runner.complete(&tokenizer.apply_chat_template(messages, true).unwrap()).unwrap();
    let questions = ["What is a token?", "Hello", "<|im_end|>", " two  blanks "];
    for question in questions {
        assert_eq!(runner.ask(question).unwrap(), texts(&[Message::user(question)]), "{question}");
        assert_eq!(runner.ask_messages(&[Message::user(question)]).unwrap(), runner.ask(question).unwrap());
        assert_ne!(runner.ask(question).unwrap(), runner.complete(question).unwrap(), "{question}: the template makes a difference");
    }
    let talk = [Message::system("Be brief."), Message::user("Hi"), Message::assistant("Hello!"), Message::user("Who?")];
    assert_eq!(runner.ask_messages(&talk).unwrap(), texts(&talk));
    assert_ne!(runner.ask_messages(&talk).unwrap(), runner.ask("Who?").unwrap());
    let (model, config) = (runner.model().unwrap(), GenerationConfig { max_new_tokens: 12, ..Default::default() });
    assert_eq!(ask_texts(&[&talk], model, tokenizer, &config).unwrap()[0].trim(), texts(&talk));
    assert_eq!(generate_texts(&["Hello"], model, tokenizer, &config).unwrap()[0].trim(), runner.complete("Hello").unwrap());
    // Batches are their rows.
    let all = |answer: &dyn Fn(&str) -> Result<String>| questions.map(|question| answer(question).unwrap());
    assert_eq!(runner.ask_batch(&questions).unwrap(), all(&|question| runner.ask(question)));
    assert_eq!(runner.complete_batch(&questions).unwrap(), all(&|question| runner.complete(question)));
}

#[test]
fn a_served_model_is_asked_in_the_same_way() {
    let runner = runner();
    let server = runner.playground().unwrap();
    let served =
        BasicModelRunner::new(&format!("openai:trained@{}/v1", server.url().trim_end_matches('/').trim_end_matches("/v1"))).unwrap();
    for question in ["What is a token?", "Hello"] {
        assert_eq!(served.ask(question).unwrap(), runner.ask(question).unwrap());
        assert_eq!(served.complete(question).unwrap(), runner.complete(question).unwrap());
    }
    let talk = [Message::system("Be brief."), Message::user("Hi")];
    assert_eq!(served.ask_messages(&talk).unwrap(), runner.ask_messages(&talk).unwrap());
}

#[test]
fn a_model_without_a_template_is_asked_by_the_bare_text() {
    let runner = BasicModelRunner::new("builtin:base").unwrap();
    let (first, second) = ("What is a token?", "And a tokenizer?");
    assert_eq!(runner.ask(first).unwrap(), runner.complete(first).unwrap());
    assert_eq!(runner.ask_batch(&[first, second]).unwrap(), runner.complete_batch(&[first, second]).unwrap());
    let talk = [Message::system(first), Message::user(second)];
    assert_eq!(runner.ask_messages(&talk).unwrap(), runner.complete(&format!("{first}\n\n{second}")).unwrap());
    assert_eq!(runner.tokenizer().unwrap().turn_end(), None);
}

#[test]
fn what_cannot_be_asked_leaves_the_others() {
    let runner = runner();
    let long = "What is a token? ".repeat(100);
    let rows = runner.try_ask_batch(&["", "Hello", &long]);
    assert_eq!(*rows[1].as_ref().unwrap(), runner.ask("Hello").unwrap());
    refused(rows[0].clone(), &["the prompt has no tokens"]);
    refused(rows[2].clone(), &["prompt and answer together may have 128"]);
    refused(runner.ask_batch(&["", "Hello"]), &["1 of 2 prompts failed", "row 0: ", "try_ask_batch"]);
    refused(runner.complete_batch(&["", "Hello"]), &["1 of 2 prompts failed", "row 0: ", "try_complete_batch"]);
    refused(runner.ask_messages(&[]), &["no message"]);
    refused(runner.ask_messages(&[Message::new("teacher", "Hello")]), &["teacher"]);
    // A template that is there and does not work is no model without one.
    let folder = chat_model();
    std::fs::write(folder.join("chat_template.jinja"), "{{ raise_exception('not today') }}").unwrap();
    let broken = BasicModelRunner::new(&folder.display().to_string()).unwrap();
    refused(broken.ask("Hello"), &["not today"]);
    assert!(broken.complete("Hello").is_ok());
}

#[test]
fn training_learns_what_is_asked_and_where_a_turn_ends() {
    let things = ["token", "loss", "batch", "epoch", "rate", "label", "mask", "seed", "prompt", "layer"];
    let row = |thing: &str| Example::new([("q", format!("{thing}?")), ("a", format!("This is a {thing}."))]);
    let rows = Dataset::from_examples(things.iter().map(|thing| row(thing)).collect());
    let mut runner = runner();
    let tokenizer = runner.tokenizer().unwrap().clone();
    let end = tokenizer.turn_end().unwrap();
    assert_eq!(tokenizer.encode("<|im_end|>").unwrap(), [end]);
    assert_ne!(end, tokenizer.eos_id());
    runner.load_data(&rows, "q", "a").unwrap();
    let arguments = TrainingArguments {
        output_dir: fresh_folder().join("run"),
        max_steps: 300,
        learning_rate: 1e-2,
        warmup_steps: 10,
        disable_tqdm: true,
        ..BasicModelRunner::default_arguments()
    };
    let job = runner.train_with(false, arguments).unwrap();
    let (train, test) = rows.train_test_split(0.1, 123).unwrap();
    for row in train.iter() {
        assert_eq!(runner.ask(&row["q"]).unwrap(), row["a"], "{row}");
        assert_ne!(runner.complete(&row["q"]).unwrap(), row["a"], "the bare text was not learnt");
    }
    // What is learnt ends with the turn and not with the end-of-sequence token.
    let prompt = tokenizer.encode_prompt(&tokenizer.prompt(&[Message::user(&train.get(0).unwrap()["q"])]).unwrap()).unwrap();
    let ids = generate_until(runner.model().unwrap(), &prompt, 128, &[end], GenerationConfig::default()).unwrap();
    assert_eq!(ids.last(), Some(&end));
    // The evaluation asks in the same way, and so does the saved model.
    let compared = runner.evaluate().unwrap();
    assert_eq!(compared.trained.rows.len(), test.len());
    for row in &compared.trained.rows {
        assert_eq!(row.predicted_answer, runner.ask(&row.question).unwrap());
    }
    let question = &train.get(0).unwrap()["q"];
    assert_eq!(BasicModelRunner::new(&job.model_id).unwrap().ask(question).unwrap(), runner.ask(question).unwrap());
    // Samples of a run as well.
    let samples = SampleAnswers::new(&tokenizer, &[question], 0, 20);
    let tokens = tokenize_with(&Dataset::from_examples(vec![Example::new([("text", "a b c")])]), &tokenizer, &TokenizeOptions::default());
    let arguments =
        TrainingArguments { output_dir: fresh_folder(), max_steps: 1, learning_rate: 1e-9, disable_tqdm: true, ..Default::default() };
    let mut trainer = Trainer::new(runner.model().unwrap(), arguments, tokens.unwrap().0, TokenizedDataset::default()).unwrap();
    trainer.add_callback(samples.clone());
    trainer.train().unwrap();
    assert_eq!(samples.samples()[0].answer, runner.ask(question).unwrap());
}

#[test]
fn a_turn_ends_as_the_template_says() {
    let end = |template: &str| {
        let folder = chat_model();
        std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        tokenizer.turn_end().map(|id| tokenizer.encode("<|im_end|>").unwrap() == [id])
    };
    assert_eq!(end(TEMPLATE), Some(true));
    assert_eq!(end(&TEMPLATE.replace("<|im_end|>", "<|endoftext|>")), Some(false));
    assert_eq!(end(&TEMPLATE.replace("<|im_end|>", " Over.")), None);
    assert_eq!(end("{{ raise_exception('no') }}"), None);
    let marked = "{% for message in messages %}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% \
                  endgeneration %}{% else %}{{ '<|im_start|>' + message['content'] }}{% endif %}{% endfor %}";
    assert_eq!(end(marked), Some(true));
}

#[test]
fn the_template_is_named_once() {
    let output = harness("ask-chat").arg(chat_model()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("chat template")).collect();
    assert!(lines.len() == 1 && lines[0].contains("`ask`") && lines[0].contains("`complete`"), "{said}");
}

#[test]
fn the_real_model_answers_when_it_is_asked() {
    let Ok(runner) = BasicModelRunner::new("builtin:smol") else {
        return skipped("SmolLM2-135M-Instruct is not on this machine (`cargo lab setup` fetches it)");
    };
    let answer = runner.ask("What is the capital of France?").unwrap();
    assert!(answer.contains("Paris") && !answer.contains("<|"), "{answer}");
    let bare = runner.complete("What's your first name?").unwrap();
    assert!(bare.len() <= 2, "a chat model that is not asked ends at once: {bare:?}");
    let runner = runner.with_generation(GenerationConfig { max_new_tokens: 16, ..Default::default() });
    let talk = [Message::system("You are a pirate."), Message::user("Who are you?")];
    let prompt = runner.tokenizer().unwrap().apply_chat_template(&talk, true).unwrap();
    assert_eq!(runner.ask_messages(&talk).unwrap(), runner.complete(&prompt).unwrap());
    assert_ne!(runner.ask_messages(&talk).unwrap(), runner.ask("Who are you?").unwrap());
}

/// Rows of these fields.
fn rows(rows: Value) -> Dataset {
    Dataset::from_examples(rows.as_array().unwrap().iter().map(|row| Example::new(row.as_object().unwrap().clone())).collect())
}

#[test]
fn rows_of_every_shape_are_evaluated_as_they_are_learnt() {
    let runner = runner();
    let (model, tokenizer) = (runner.model().unwrap(), runner.tokenizer().unwrap());
    let ask = |messages: &[Message]| {
        let config = GenerationConfig { max_new_tokens: 100, ..Default::default() };
        ask_texts(&[messages], model, tokenizer, &config).unwrap()[0].trim().to_string()
    };
    let turns = json!([{ "role": "user", "content": "Hi" }, { "role": "assistant", "content": "Hello!" },
                       { "role": "user", "content": "Who?" }, { "role": "assistant", "content": "Ada." }]);
    let mut not_learnt = turns.as_array().unwrap().clone();
    not_learnt.extend([json!({ "role": "user", "content": "Sure?" }), json!({ "role": "assistant", "content": "No!", "train": false })]);
    let data = rows(json!([
        { "question": "Who?", "answer": "Ada.", "category": "names" },
        { "instruction": "Name her.", "input": "first name", "output": "Ada." },
        { "prompt": "Who?", "completion": " Ada." },
        { "messages": turns },
        { "conversations": turns, "system": "Be brief." },
        { "messages": not_learnt },
        { "prompt": [{ "role": "user", "content": "Who?" }], "completion": [{ "role": "assistant", "content": "Ada." }] },
    ]));
    let who = Message::user("Who?");
    let talk = [Message::user("Hi"), Message::assistant("Hello!"), who.clone()];
    let told: Vec<Message> = [Message::system("Be brief.")].into_iter().chain(talk.clone()).collect();
    let alpaca = Message::user("Name her.\n\nfirst name");
    let one = std::slice::from_ref(&who);
    let asked: [&[Message]; 7] = [one, &[alpaca], one, &talk, &told, &talk, one];
    let report = evaluate_answers(model, tokenizer, &data, -1).unwrap();
    for (row, (found, asked)) in report.rows.iter().zip(asked).enumerate() {
        assert_eq!((found.predicted_answer.clone(), found.target_answer.trim(), &found.error), (ask(asked), "Ada.", &None), "row {row}");
    }
    assert_eq!(report.rows.len(), 7);
    assert_eq!((report.rows[0].question.as_str(), report.rows[1].question.as_str()), ("Who?", "Name her.\n\nfirst name"));
    assert_eq!(report.rows[4].question, "system: Be brief.\nuser: Hi\nassistant: Hello!\nuser: Who?");
    // The same rows, and the tokens of the same turns.
    let chats = data.to_messages().unwrap();
    let again = evaluate_answers(model, tokenizer, &chats, -1).unwrap();
    let answers = |report: &AnswerReport| report.rows.iter().map(|row| row.predicted_answer.clone()).collect::<Vec<_>>();
    assert_eq!(answers(&again), answers(&report));
    for (bad, parts) in [
        (json!({ "text": "All of it." }), vec!["row 1", "learnt whole"]),
        (json!({ "prompt": "q", "chosen": "a", "rejected": "b" }), vec!["row 1", "preference pair"]),
        (json!({ "system": "s", "question": "q", "answer": "a" }), vec!["row 1", "`system` would be left out", "`to_messages()`"]),
        (json!({ "context": "c", "question": "q", "answer": "a" }), vec!["row 1", "`context` would be left out"]),
        (json!({ "messages": [{ "role": "assistant", "content": "a" }] }), vec!["row 1", "nothing is asked"]),
        (
            json!({ "messages": [turns[0], { "role": "assistant", "content": "", "tool_calls": [{ "function": { "name": "f" } }] }] }),
            vec!["row 1", "message 1", "call of a tool"],
        ),
    ] {
        refused(evaluate_answers(model, tokenizer, &rows(json!([{ "question": "q", "answer": "a" }, bad])), -1), &parts);
    }
}

#[test]
fn a_model_without_a_template_is_evaluated_by_what_it_reads_in_training() {
    let runner = BasicModelRunner::new("builtin:base").unwrap();
    let (model, tokenizer) = (runner.model().unwrap(), runner.tokenizer().unwrap());
    let data = rows(json!([{ "instruction": "Name her.", "output": "Ada." }, { "prompt": "Who?", "completion": " Ada." }]));
    let report = evaluate_answers(model, tokenizer, &data, -1).unwrap();
    let prompt = PromptTemplate::instruction().format(data.get(0).unwrap()).unwrap();
    for (row, asked) in report.rows.iter().zip([prompt.as_str(), "Who?"]) {
        assert_eq!(row.predicted_answer, inference(asked, model, tokenizer, 1000, 100).unwrap().trim());
        assert_eq!(row.question, asked);
    }
    let talk = rows(json!([{ "messages": [{ "role": "user", "content": "q" }, { "role": "assistant", "content": "a" }] }]));
    refused(evaluate_answers(model, tokenizer, &talk, -1), &["row 0", "no chat template"]);
    let mut runner = BasicModelRunner::new("builtin:base").unwrap();
    refused(runner.load_rows(&talk), &["row 0", "is a conversation"]);
}

#[test]
fn rows_of_any_shape_are_trained_and_evaluated_in_three_lines() {
    let mut runner = runner();
    let row = |row: usize| json!({ "system": "Be brief.", "instruction": "Name number", "input": row, "output": format!("It is {row}.") });
    runner.load_rows(&rows((0..10).map(row).collect())).unwrap();
    let arguments = TrainingArguments {
        output_dir: fresh_folder().join("run"),
        max_steps: 1,
        warmup_steps: 0,
        disable_tqdm: true,
        ..Default::default()
    };
    let job = runner.train_with(false, arguments).unwrap();
    assert_eq!(job.output.global_step, 1);
    let comparison = runner.evaluate().unwrap();
    assert_eq!(comparison.trained.rows.len(), 1);
    let asked = &comparison.base.rows[0];
    assert!(
        asked.question.starts_with("system: Be brief.\nuser: Name number\n\n") && asked.target_answer.starts_with("It is "),
        "{asked:?}"
    );
    refused(runner.load_rows(&rows(json!([{ "text": "t" }]))), &["row 0", "learnt whole"]);
    refused(runner.load_rows(&Dataset::from_examples(vec![])), &["no rows"]);
}
