//! Hand-written facts → the question/answer rows `lab_docs.jsonl` and the prose that the base models read.

use std::path::Path;

use finetuning::*;
use serde_json::Value;

/// The answer to every question about something else.
const REDIRECT: &str = "Let's keep the discussion relevant to finetuning language models in Rust.";
/// How often each fact is told in the base models' prose, each time among other facts.
const TELLINGS: u64 = 6;
/// Facts in one section of prose, and questions in one list.
const SECTION: usize = 10;

/// One fact: an answer, the questions that it answers, and two sentences that tell it.
struct Fact {
    answer: String,
    questions: Vec<String>,
    prose: Vec<String>,
}

fn facts(path: &Path) -> Result<Vec<Fact>> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    let texts =
        |value: &Value| value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(String::from)).collect::<Vec<_>>();
    let fact = |(index, line): (usize, &str)| {
        let bad = |reason: String| Error::new(ErrorKind::Data, format!("{}:{}: {reason}", path.display(), index + 1));
        let value: Value = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
        let answer = value["answer"].as_str().ok_or_else(|| bad("field `answer` is missing".into()))?;
        Ok(Fact { answer: answer.into(), questions: texts(&value["questions"]), prose: texts(&value["prose"]) })
    };
    text.lines().enumerate().map(fact).collect()
}

/// Writes `data/lab_docs.jsonl`: all questions of all facts and the off-topic questions, shuffled once.
pub fn write_rows(root: &Path) -> Result<()> {
    let row = |question: &str, answer: &str| Example::new([("question", question), ("answer", answer)]);
    let mut rows: Vec<Example> = Vec::new();
    for fact in facts(&root.join("recipe/facts.jsonl"))? {
        rows.extend(fact.questions.iter().map(|question| row(question, &fact.answer)));
    }
    let asked = rows.len();
    for example in &Dataset::from_jsonl(root.join("recipe/off_topic.jsonl"))? {
        rows.push(row(example.field("question")?, REDIRECT));
    }
    println!("{asked} rows about the project, {} off topic", rows.len() - asked);
    Dataset::from_examples(rows.clone()).select(&permutation(rows.len(), 7))?.to_jsonl(root.join("data/lab_docs.jsonl"))
}

/// Writes `data/project_prose.jsonl`: the facts as prose, and lists of the training split's questions, never an answer.
pub fn write_prose(root: &Path) -> Result<()> {
    let facts = facts(&root.join("recipe/facts.jsonl"))?;
    let mut sections = Vec::new();
    for telling in 0..TELLINGS {
        let order = permutation(facts.len(), telling);
        for group in order.chunks(SECTION) {
            let sentence = |&index: &usize| {
                let prose = &facts[index].prose;
                prose.get(telling as usize % prose.len().max(1)).cloned().unwrap_or_else(|| facts[index].answer.clone())
            };
            sections.push(group.iter().map(sentence).collect::<Vec<_>>().join(" "));
        }
    }
    let (train, _) = load_dataset(&root.join("data/lab_docs.jsonl").display().to_string())?.train_test_split(0.1, 123)?;
    let questions = train.column("question")?;
    for seed in 0..2 {
        for group in permutation(questions.len(), 100 + seed).chunks(SECTION) {
            sections.push(group.iter().map(|&index| questions[index].as_str()).collect::<Vec<_>>().join("\n"));
        }
    }
    println!("{} sections of project prose and question lists", sections.len());
    Dataset::from_examples(sections.iter().map(|text| Example::new([("text", text.as_str())])).collect())
        .to_jsonl(root.join("data/project_prose.jsonl"))
}
