//! The runner on models of this machine: answers row by row, data from three places, what a training leaves behind.

use finetuning::polars::prelude::{Column, DataFrame};
use finetuning::*;

use crate::support::{fresh_folder, refused, root};

#[test]
fn a_batch_of_questions_gets_the_answers_of_single_ones() {
    let runner = BasicModelRunner::new("builtin:base").unwrap();
    let prompts: Vec<String> = (0..35).map(|row| format!("What is {row} in a tokenizer?")).collect();
    let together = runner.ask_batch(&prompts).unwrap();
    for row in [0, 7, 31, 32, 34] {
        assert_eq!(together[row], runner.ask(&prompts[row]).unwrap(), "row {row}");
    }
    let (model, tokenizer) = (runner.model().unwrap(), runner.tokenizer().unwrap());
    // The helper counts the prompt's tokens, too.
    let room = tokenizer.encode(&prompts[0]).unwrap().len() + 100;
    assert_eq!(together[0], inference(&prompts[0], model, tokenizer, 1000, room).unwrap().trim());
}

#[test]
fn a_prompt_that_fails_leaves_the_others() {
    let runner = BasicModelRunner::new("builtin:base").unwrap();
    let long = "What is a token? ".repeat(2000);
    let prompts = ["What is a tokenizer?", "", "How do I save a model?", &long];
    let rows = runner.try_ask_batch(&prompts);
    for row in [0, 2] {
        assert_eq!(*rows[row].as_ref().unwrap(), runner.ask(prompts[row]).unwrap());
    }
    assert!(rows[1].as_ref().unwrap_err().to_string().contains("the prompt has no tokens"));
    let error = rows[3].as_ref().unwrap_err().to_string();
    assert!(error.contains("prompt and answer together may have") && error.contains("shorten the text"), "{error}");
    let all = runner.ask_batch(&prompts).unwrap_err().to_string();
    assert!(all.starts_with("2 of 4 prompts failed\nrow 1: ") && all.contains("\nrow 3: ") && all.contains("try_ask_batch"), "{all}");
    assert_eq!(runner.ask_batch(&[""; 0]).unwrap(), Vec::<String>::new());
}

#[test]
fn settings_of_the_runner_are_those_of_generate() {
    let plain = BasicModelRunner::new("builtin:base").unwrap();
    let whole = plain.ask("What is a tokenizer?").unwrap();
    let short = plain.with_generation(GenerationConfig { max_new_tokens: 3, ..Default::default() });
    let start = short.ask("What is a tokenizer?").unwrap();
    assert!(whole.starts_with(&start) && start.len() < whole.len() && !start.is_empty(), "{start:?} of {whole:?}");
    let wrong = short.with_generation(GenerationConfig { top_p: 2.0, ..Default::default() });
    assert!(wrong.ask("a").unwrap_err().to_string().contains("top_p is 2"));
    let several = wrong.with_generation(GenerationConfig { do_sample: true, num_return_sequences: 2, ..Default::default() });
    assert!(several.ask("a").unwrap_err().to_string().contains("one answer to a prompt"));
}

/// The weights of a run of one step on these data.
fn trained(runner: &mut BasicModelRunner, is_public: bool) -> TrainingJob {
    let output_dir = fresh_folder().join("run");
    let arguments =
        TrainingArguments { output_dir, max_steps: 1, warmup_steps: 0, disable_tqdm: true, ..BasicModelRunner::default_arguments() };
    runner.train_with(is_public, arguments).unwrap()
}

#[test]
fn few_rows_of_your_own_are_learnt_with_settings_that_suit_them() {
    // A tiny model of any weights, with a tokenizer: what is chosen depends on the number of rows alone.
    let folder = fresh_folder();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(root().join("notebooks/models/base").join(name), folder.join(name)).unwrap();
    }
    let base = AutoModelForCausalLM::from_pretrained("builtin:base").unwrap();
    let config = LlamaConfig { max_position_embeddings: 64, ..LlamaConfig::new(base.config().vocab_size(), 16, 32, 1, [2, 1]) };
    CausalLm::random(config, 1, None, &Device::Cpu).unwrap().save_pretrained(&folder).unwrap();
    let rows = load_dataset("builtin:lab_docs").unwrap().head(20);
    let mut runner = BasicModelRunner::new(&folder.display().to_string()).unwrap();
    runner.load_data(&rows, "question", "answer").unwrap();
    let job = runner.train(false).unwrap();
    let arguments = TrainingArguments::load(format!("{}/training_args.json", job.model_id)).unwrap();
    let output_dir = arguments.output_dir.clone();
    std::fs::remove_dir_all(&output_dir).unwrap();
    // 18 rows: 3 steps a pass; with 6 passes the rate would never leave its warm-up of 20 steps.
    assert_eq!(TrainingArguments { output_dir: output_dir.clone(), ..BasicModelRunner::default_arguments() }.suited(18, 2), arguments);
    assert_eq!((job.output.global_step, arguments.warmup_steps, arguments.eval_steps), (42, 4, 8));
    assert!(job.output.warnings.iter().all(|warning| warning.step > 0), "{:?}", job.output.warnings);
    let text = runner.evaluate().unwrap().text();
    assert!(text.contains("2 rows: a result can only be 0, 50 or 100 %"), "{text}");
}

#[test]
fn a_file_a_table_and_a_data_set_are_the_same_data() {
    let lab_docs = load_dataset("builtin:lab_docs").unwrap();
    let renamed = lab_docs.rename_column("question", "ask").unwrap().rename_column("answer", "say").unwrap();
    let mut answers = Vec::new();
    for way in 0..3 {
        let mut runner = BasicModelRunner::new("builtin:base").unwrap();
        match way {
            0 => runner.load_data_from_jsonlines("builtin:lab_docs", "question", "answer").unwrap(),
            1 => runner.load_data_from_dataframe(&renamed.to_frame().unwrap(), "ask", "say").unwrap(),
            _ => runner.load_data(&renamed, "ask", "say").unwrap(),
        }
        answers.push(std::fs::read(format!("{}/model.safetensors", trained(&mut runner, true).model_id)).unwrap());
    }
    assert!(answers[0] == answers[1] && answers[1] == answers[2]);
}

#[test]
fn a_table_keeps_its_values_and_names_its_gaps() {
    let column = |name: &str, texts: [Option<&str>; 2]| Column::new(name.into(), texts);
    let number = Column::new("number".into(), [0.1234567891, 2.0]);
    let frame = DataFrame::new(2, vec![column("ask", [Some("a \"b\""), Some("c")]), column("say", [Some("d"), None]), number]).unwrap();
    let data = Dataset::from_frame(&frame).unwrap();
    assert_eq!(data.get(0).unwrap().to_string(), r#"{"ask": "a \"b\"", "say": "d", "number": 0.1234567891}"#);
    let mut runner = BasicModelRunner::new("builtin:base").unwrap();
    refused(runner.load_data_from_dataframe(&frame, "ask", "say"), &["the table: row 1: column `say` is null", "`ask`, `say`, `number`"]);
    refused(runner.load_data_from_dataframe(&frame, "ask", "tell"), &["row 0: column `tell`", "`say`"]);
    refused(runner.load_data_from_dataframe(&frame.head(Some(0)), "ask", "say"), &["no rows"]);
    refused(runner.train(true), &["no data is loaded", "load_data_from_jsonlines"]);
    refused(runner.evaluate(), &["no data is loaded"]);
}

#[test]
fn a_job_says_what_the_model_is_and_who_may_have_it() {
    let mut runner = BasicModelRunner::new("builtin:base").unwrap();
    runner.load_data_from_jsonlines("builtin:lab_docs", "question", "answer").unwrap();
    for (is_public, word) in [(true, "**Public.**"), (false, "**Private.**")] {
        let job = trained(&mut runner, is_public);
        let card = std::fs::read_to_string(format!("{}/README.md", job.model_id)).unwrap();
        assert!(card.contains(word) && card.contains(r#"base_model: "builtin:base""#) && card.contains("global_step=1,"), "{card}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            let folder = std::path::Path::new(&job.model_id);
            assert_eq!(mode(folder), if is_public { mode(folder.parent().unwrap()) } else { 0o700 });
        }
        let text = job.text();
        for line in ["model id: ", "dashboard: ", "playground: "] {
            assert!(text.contains(line), "{text}");
        }
        assert!(std::fs::read_to_string(&job.dashboard).unwrap().contains("<svg"));
        let again = BasicModelRunner::new(&job.model_id).unwrap();
        assert_eq!(again.ask("What is a tokenizer?").unwrap(), runner.ask("What is a tokenizer?").unwrap());
    }
}
