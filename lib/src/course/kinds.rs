//! Test rows with a column `kind` and a model → how many of each kind it gets right: memory, behaviour and knowledge apart.

use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::display::output::{Html, Show, last_expression, table};
use crate::error::Result;
use crate::evaluate::answers::evaluate_answers;
use crate::evaluate::report::{AnswerReport, AnswerRow};
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;

/// A kind, what it measures, and what a right answer has to contain; where that is nothing, it is the target word for word.
const KINDS: [(&str, &str, Option<&str>); 5] = [
    ("reworded", "memory: facts that were taught, in other words", None),
    ("unseen", "knowledge: facts that no row taught", None),
    ("off-topic", "behaviour: new questions led back", Some("keep the discussion relevant")),
    ("name", "behaviour: says its name", Some("Ferris")),
    ("unknown", "behaviour: says that it does not know", Some("I don't know")),
];
/// Any other kind, and rows without one.
const ELSE: &str = "what it knew before: the answer has the target's words";

/// The answers of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindScore {
    /// The kind, as the rows have it.
    pub kind: String,
    /// What it measures.
    pub measures: &'static str,
    /// Right answers.
    pub right: usize,
    /// Questions.
    pub rows: usize,
}

/// The answers to a test, scored by kind; never pooled, for a mean of different things says nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct KindReport {
    /// One score a kind, in the order of the rows.
    pub kinds: Vec<KindScore>,
    /// All answers.
    pub answers: AnswerReport,
}

impl KindReport {
    /// (right, asked) of a kind; (0, 0) where no row has it.
    pub fn of(&self, kind: &str) -> (usize, usize) {
        self.kinds.iter().find(|score| score.kind == kind).map_or((0, 0), |score| (score.right, score.rows))
    }
}

/// Whether an answer is right for a row of this kind, as in `builtin:guide_test`: `reworded` and `unseen` word for word, `off-topic` when
/// it leads back, `name` when it says the name, `unknown` when it says so; any other when it contains the target, in whatever case.
pub fn is_right(kind: &str, row: &AnswerRow) -> bool {
    match KINDS.iter().find(|(name, ..)| *name == kind) {
        Some((.., None)) => row.exact_match,
        Some((.., Some(words))) => row.predicted_answer.contains(words),
        None => contains_words(&row.predicted_answer.to_lowercase(), &row.target_answer.to_lowercase()),
    }
}

/// Whether these words stand in a text, not inside of longer ones.
fn contains_words(text: &str, words: &str) -> bool {
    let inside = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    let alone = |at: usize| !inside(text[..at].chars().next_back()) && !inside(text[at + words.len()..].chars().next());
    text.match_indices(words).any(|(at, _)| alone(at))
}

/// [`evaluate_answers`] to all rows of a test with `question`, `answer` and `kind`, scored by kind with [`is_right`]. Rows without a
/// kind are scored as `general`.
///
/// # Errors
/// As [`evaluate_answers`].
pub fn evaluate_kinds(model: &CausalLm, tokenizer: &Tokenizer, test: &Dataset) -> Result<KindReport> {
    let answers = evaluate_answers(model, tokenizer, test, -1)?;
    let mut kinds: Vec<KindScore> = Vec::new();
    for (example, row) in test.iter().zip(&answers.rows) {
        let kind = example.get("kind").unwrap_or("general");
        let at = kinds.iter().position(|score| score.kind == kind).unwrap_or_else(|| {
            let measures = KINDS.iter().find(|(name, ..)| *name == kind).map_or(ELSE, |(_, measures, _)| measures);
            kinds.push(KindScore { kind: kind.to_string(), measures, right: 0, rows: 0 });
            kinds.len() - 1
        });
        kinds[at].right += usize::from(is_right(kind, row));
        kinds[at].rows += 1;
    }
    Ok(KindReport { kinds, answers })
}

impl KindReport {
    fn table(&self) -> Html {
        let row = |score: &KindScore| vec![score.kind.clone(), format!("{} of {}", score.right, score.rows), score.measures.to_string()];
        table(&["kind", "right", "what it measures"], &self.kinds.iter().map(row).collect::<Vec<_>>())
    }
}

impl std::fmt::Display for KindReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let score = |score: &KindScore| format!("{} {} of {}", score.kind, score.right, score.rows);
        formatter.write_str(&self.kinds.iter().map(score).collect::<Vec<_>>().join(", "))
    }
}

impl Show for KindReport {
    fn text(&self) -> String {
        self.table().text
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        self.table().rich()
    }
}

last_expression!(KindReport);
