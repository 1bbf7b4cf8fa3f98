//! Hand-written facts and off-topic questions → the question/answer rows `lab_docs.jsonl`.

use std::path::Path;

use finetuning::*;

/// The answer to every question about something else.
const REDIRECT: &str = "Let's keep the discussion relevant to finetuning language models in Rust.";

/// Writes `data/lab_docs.jsonl`: all questions of all facts and the off-topic questions, shuffled once.
pub fn write_rows(root: &Path) -> Result<()> {
    let row = |question: &str, answer: &str| Example::new([("question", question), ("answer", answer)]);
    let mut rows: Vec<Example> = Vec::new();
    for fact in &Dataset::from_jsonl(root.join("recipe/facts.jsonl"))? {
        let answer = fact.field("answer")?;
        let questions = fact.value("questions").and_then(|value| value.as_array()).into_iter().flatten();
        rows.extend(questions.filter_map(|question| Some(row(question.as_str()?, answer))));
    }
    let asked = rows.len();
    for example in &Dataset::from_jsonl(root.join("recipe/off_topic.jsonl"))? {
        rows.push(row(example.field("question")?, REDIRECT));
    }
    println!("{asked} rows about the project, {} off topic", rows.len() - asked);
    Dataset::from_examples(rows.clone()).select(&permutation(rows.len(), 7))?.to_jsonl(root.join("data/lab_docs.jsonl"))
}
