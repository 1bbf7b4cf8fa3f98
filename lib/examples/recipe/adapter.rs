//! Rows of the guide or the desk and `builtin:smol` → the adapter that ships, and its card with the scores of every seed.
//!
//! The training is that of lesson 5: `BasicModelRunner` with its own settings for packed weights.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use finetuning::*;

/// The seed whose adapter ships.
pub const SHIPPED: u64 = 42;
/// The card's line of the model before training.
const UNTRAINED: &str = "untrained";
/// The model below.
const MODEL: &str = "builtin:smol";

/// One of the two adapters.
struct Task {
    rows: &'static str,
    test: &'static str,
    about: &'static str,
}

fn task(name: &str) -> Result<Task> {
    let (rows, test, about) = match name {
        "guide" => ("builtin:guide", "builtin:guide_test", "answers questions about this course by the name of Ferris"),
        "desk" => ("builtin:support", "builtin:desk_test", "turns a customer's message into order, item, problem and name"),
        other => return Err(Error::new(ErrorKind::Name, format!("adapter `{other}` does not exist; there are `guide` and `desk`"))),
    };
    Ok(Task { rows, test, about })
}

/// Right answers of a model by kind; the desk's rows are of one kind, right word for word.
fn scores(runner: &BasicModelRunner, task: &Task) -> Result<BTreeMap<String, String>> {
    let (model, tokenizer) = (runner.model()?, runner.tokenizer()?);
    let mut scores = BTreeMap::new();
    for (name, test) in [("test", task.test), ("quiz", "builtin:quiz")] {
        let report = evaluate_kinds(model, tokenizer, &load_dataset(test)?)?;
        for score in &report.kinds {
            let (kind, right) = match (name, score.kind.as_str()) {
                ("quiz", _) => ("quiz".to_string(), score.right),
                ("test", "general") if task.test == "builtin:desk_test" => ("exact".to_string(), report.answers.exact_matches()),
                (_, kind) => (kind.to_string(), score.right),
            };
            scores.insert(kind, format!("{right} of {}", score.rows));
        }
        for row in &report.answers.rows {
            println!("{} → {} | {}", row.question, row.predicted_answer, row.target_answer);
        }
    }
    Ok(scores)
}

/// Trains with one seed, scores, and writes adapter (of the seed that ships) and card into `models`.
pub fn train(name: &str, seed: u64, root: &Path) -> Result<()> {
    let (task, folder) = (task(name)?, root.join("models").join(name));
    let (mut runner, mut lines) = (BasicModelRunner::new(MODEL)?, lines(&folder));
    if !lines.contains_key(UNTRAINED) {
        lines.insert(UNTRAINED.into(), scores(&runner, &task)?.into_values().collect());
    }
    runner.load_data_from_jsonlines(task.rows, "question", "answer")?;
    let output_dir = super::scratch(&format!("{name}-{seed}"));
    let arguments = TrainingArguments { output_dir, overwrite_output_dir: true, seed, ..BasicModelRunner::adapter_arguments() };
    let started = Instant::now();
    let job = runner.train_with(true, arguments)?;
    let seconds = started.elapsed().as_secs_f64();
    let after = scores(&runner, &task)?;
    println!("seed {seed}, {seconds:.0} s: {after:?}");
    if seed == SHIPPED {
        runner.model()?.save_adapter_as(&folder, DType::F16)?;
    }
    let kinds: Vec<String> = after.keys().cloned().collect();
    lines.insert(seed.to_string(), after.into_values().collect());
    let path = folder.join("README.md");
    let card = card(name, &task, &kinds, &lines, job.output.global_step);
    std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, card)).map_err(|error| Error::file(&path, error))
}

/// The scores of the card that is there, by seed; a run adds its own.
fn lines(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let card = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let cells = |line: &str| Some(line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(String::from).collect::<Vec<_>>());
    let known = |cells: &Vec<String>| cells[0] == UNTRAINED || cells[0].parse::<u64>().is_ok();
    card.lines().filter_map(cells).filter(known).map(|mut cells| (cells.remove(0), cells)).collect()
}

fn card(name: &str, task: &Task, kinds: &[String], lines: &BTreeMap<String, Vec<String>>, steps: usize) -> String {
    let Task { rows, test, about } = task;
    let scores: Vec<String> = lines.iter().rev().map(|(seed, scores)| format!("| {seed} | {} |", scores.join(" | "))).collect();
    format!(
        "---\nbase_model: {MODEL}\nlibrary_name: peft\nlicense: apache-2.0\npipeline_tag: text-generation\n---\n\n# {name}\n\n\
         An adapter (LoRA, rank 8, F16) on SmolLM2-135M-Instruct that {about}.\n\
         `BasicModelRunner::new(\"builtin:{name}\")` puts it on `{MODEL}`.\n\n\
         Made by `cargo run --example recipe -- adapter {name} [seed]`: {steps} steps on 90 % of `{rows}`, as in lesson 5.\n\
         Right answers to `{test}`, of which no row is trained on, and to `builtin:quiz`, questions that were chosen because the\n\
         untrained model answers them; each kind by the rule of `is_right`. Seed {SHIPPED} ships.\n\n| seed | {} |\n|---|{}\n{}\n",
        kinds.join(" | "),
        "---:|".repeat(kinds.len()),
        scores.join("\n"),
    )
}
