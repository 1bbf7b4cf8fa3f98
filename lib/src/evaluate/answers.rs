//! (model, questions with answers) → a report: exact match, token F1, error categories, and how much was forgotten.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

#[cfg(feature = "data-frames")]
use polars::prelude::{Column, DataFrame};
use rayon::prelude::*;

use crate::data::dataset::Dataset;
use crate::display::output::{Show, last_expression, table};
use crate::error::{Error, ErrorKind, Result};
use crate::generate::batch::inference;
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;
use crate::util::interrupt;
use compute::cpu::loss::Targets;

/// Tokens that an answer may read and write in an evaluation, as in the course.
pub const EVALUATION_TOKENS: (usize, usize) = (1000, 100);
/// An answer is too long above this multiple of the target's words.
pub const TOO_LONG: usize = 2;

/// Whether two texts are equal after stripping white space at both ends.
pub fn is_exact_match(a: &str, b: &str) -> bool {
    a.trim() == b.trim()
}

/// The words of a text: lower case, without punctuation.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// The harmonic mean of precision and recall over words (the F1 of SQuAD, Rajpurkar et al. 2016), from 0 to 1.
pub fn token_f1(predicted: &str, target: &str) -> f64 {
    let (predicted, target) = (words(predicted), words(target));
    if predicted.is_empty() || target.is_empty() {
        return f64::from(u8::from(predicted == target));
    }
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in &target {
        *left.entry(word).or_default() += 1;
    }
    let common = predicted
        .iter()
        .filter(|word| left.get_mut(word.as_str()).is_some_and(|count| std::mem::replace(count, count.saturating_sub(1)) > 0))
        .count();
    2.0 * common as f64 / (predicted.len() + target.len()) as f64
}

/// One question with the model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerRow {
    /// The question.
    pub question: String,
    /// What the model said; empty when it failed.
    pub predicted_answer: String,
    /// What the data set says.
    pub target_answer: String,
    /// Whether they are equal ([`is_exact_match`]).
    pub exact_match: bool,
    /// [`token_f1`] of the two.
    pub f1: f64,
    /// Why the model gave no answer, if it failed.
    pub error: Option<String>,
}

/// All answers of an evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnswerReport {
    /// One row a question.
    pub rows: Vec<AnswerRow>,
}

/// The model's answers to the first `n` rows (−1 for all) of a data set with `question` and `answer`.
///
/// A row whose answer fails is recorded with its error and the loop goes on. Rows are answered in parallel.
pub fn evaluate_answers(model: &CausalLm, tokenizer: &Tokenizer, data: &Dataset, n: i64) -> Result<AnswerReport> {
    if n < -1 || n == 0 || data.is_empty() {
        return Err(Error::new(
            ErrorKind::Data,
            format!("n is {n} and the data set has {} rows; n must be -1 (all) or at least 1", data.len()),
        )
        .hint("use n = 10, or -1 for all"));
    }
    let rows = data.head(if n < 0 { data.len() } else { n as usize });
    let (questions, targets) = (rows.column("question")?, rows.column("answer")?);
    let answer = |(question, target): (&String, &String)| {
        interrupt::check("in the evaluation")?;
        let answer = inference(question, model, tokenizer, EVALUATION_TOKENS.0, EVALUATION_TOKENS.1);
        if let Err(error) = &answer
            && error.kind() == ErrorKind::Interrupted
        {
            return Err(error.clone());
        }
        let error = answer.as_ref().err().map(ToString::to_string);
        let predicted_answer = answer.unwrap_or_default().trim().to_string();
        let (exact_match, f1) = (error.is_none() && is_exact_match(&predicted_answer, target), token_f1(&predicted_answer, target));
        Ok(AnswerRow { question: question.clone(), predicted_answer, target_answer: target.clone(), exact_match, f1, error })
    };
    Ok(AnswerReport { rows: questions.par_iter().zip(&targets).map(answer).collect::<Result<_>>()? })
}

impl AnswerReport {
    /// Number of exact matches.
    pub fn exact_matches(&self) -> usize {
        self.rows.iter().filter(|row| row.exact_match).count()
    }

    /// Exact matches as a part of all rows, from 0 to 1.
    pub fn exact_match_rate(&self) -> f64 {
        self.exact_matches() as f64 / self.rows.len().max(1) as f64
    }

    /// Mean of [`token_f1`].
    pub fn mean_f1(&self) -> f64 {
        self.rows.iter().map(|row| row.f1).sum::<f64>() / self.rows.len().max(1) as f64
    }

    /// Rows that gave an error.
    pub fn failures(&self) -> usize {
        self.rows.iter().filter(|row| row.error.is_some()).count()
    }

    /// The answers as a polars table.
    #[cfg(feature = "data-frames")]
    pub fn to_frame(&self) -> Result<DataFrame> {
        let text = |name: &str, value: fn(&AnswerRow) -> &str| Column::new(name.into(), self.rows.iter().map(value).collect::<Vec<_>>());
        let columns = vec![
            text("question", |row| &row.question),
            text("predicted_answer", |row| &row.predicted_answer),
            text("target_answer", |row| &row.target_answer),
            Column::new("exact_match".into(), self.rows.iter().map(|row| row.exact_match).collect::<Vec<_>>()),
            Column::new("f1".into(), self.rows.iter().map(|row| row.f1).collect::<Vec<_>>()),
        ];
        Ok(DataFrame::new(self.rows.len(), columns)?)
    }
}

impl std::fmt::Display for AnswerReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} questions: {} exact matches ({:.1} %), mean token F1 {:.2}",
            self.rows.len(),
            self.exact_matches(),
            100.0 * self.exact_match_rate(),
            self.mean_f1()
        )?;
        if self.failures() > 0 {
            write!(formatter, ", {} failed", self.failures())?;
        }
        Ok(())
    }
}

/// What is wrong with answers, counted: an answer may fall into several categories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorReport {
    /// Rows that were looked at.
    pub rows: usize,
    /// A word that is in no question, target or text of the pretraining corpus, but one or two letters away from one that is.
    pub misspelling: Vec<usize>,
    /// More than [`TOO_LONG`] times the words of the target.
    pub too_long: Vec<usize>,
    /// Three words in a row come three times.
    pub repetitive: Vec<usize>,
}

/// Words that are spelt right: those that the pretraining corpus (`builtin:pretraining`) has at least twice.
fn vocabulary() -> &'static HashSet<String> {
    static WORDS: OnceLock<HashSet<String>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        // Without the corpus the words of the rows remain.
        let texts = crate::data::load::load_dataset("builtin:pretraining").and_then(|data| data.column("text")).unwrap_or_default();
        texts.iter().flat_map(|text| words(text)).for_each(|word| *counts.entry(word).or_default() += 1);
        counts.into_iter().filter(|(_, count)| *count >= 2).map(|(word, _)| word).collect()
    })
}

/// Sorts predictions into the error categories of the course; the lists hold row numbers.
pub fn error_categories(rows: &[AnswerRow]) -> ErrorReport {
    let mut known: HashSet<String> = rows.iter().flat_map(|row| [words(&row.question), words(&row.target_answer)]).flatten().collect();
    known.extend(vocabulary().iter().cloned());
    let mut report = ErrorReport { rows: rows.len(), ..Default::default() };
    for (index, row) in rows.iter().enumerate() {
        let predicted = words(&row.predicted_answer);
        if predicted.iter().any(|word| is_misspelt(word, &known)) {
            report.misspelling.push(index);
        }
        if predicted.len() > TOO_LONG * words(&row.target_answer).len() {
            report.too_long.push(index);
        }
        if is_repetitive(&predicted) {
            report.repetitive.push(index);
        }
    }
    report
}

fn is_misspelt(word: &str, known: &HashSet<String>) -> bool {
    // Short words have too many neighbours, and a plural or a verb's ending is no misspelling.
    if word.chars().count() < 5 || known.contains(word) {
        return false;
    }
    let stem = |word: &str| {
        ["ings", "ing", "ed", "es", "s", "d", "ly"]
            .iter()
            .find_map(|end| word.strip_suffix(end).map(String::from))
            .unwrap_or(word.to_string())
    };
    let own = stem(word);
    let close =
        |other: &String| other.chars().count() >= 5 && other.chars().next() == word.chars().next() && strsim::levenshtein(word, other) <= 2;
    known.iter().any(close) && !known.iter().any(|other| stem(other) == own)
}

fn is_repetitive(words: &[String]) -> bool {
    let mut counts: HashMap<&[String], usize> = HashMap::new();
    words.windows(3).any(|three| {
        let count = counts.entry(three).or_default();
        *count += 1;
        *count >= 3
    })
}

impl Show for ErrorReport {
    fn text(&self) -> String {
        self.table().text
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.table().rich()
    }
}

last_expression!(ErrorReport);

impl ErrorReport {
    fn table(&self) -> crate::display::output::Html {
        let row =
            |name: &str, rows: &Vec<usize>| vec![name.to_string(), rows.len().to_string(), format!("{:?}", &rows[..rows.len().min(8)])];
        table(
            &["category", "answers", "first rows"],
            &[row("misspelling", &self.misspelling), row("too long", &self.too_long), row("repetitive", &self.repetitive)],
        )
    }
}

/// A question with several choices, of which one is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipleChoice {
    /// The question.
    pub question: String,
    /// The choices.
    pub choices: Vec<String>,
    /// The index of the right one.
    pub answer: usize,
}

/// Part of the questions whose right choice has the highest summed log-probability after `Question: …\nAnswer:`: the
/// `acc` of lm-evaluation-harness' zero-shot ARC task.
pub fn multiple_choice_accuracy(model: &CausalLm, tokenizer: &Tokenizer, questions: &[MultipleChoice]) -> Result<f64> {
    let right = questions.par_iter().map(|item| {
        interrupt::check("in the benchmark")?;
        let scores = item
            .choices
            .iter()
            .map(|choice| log_probability(model, tokenizer, &format!("Question: {}\nAnswer:", item.question), &format!(" {choice}")));
        let scores = scores.collect::<Result<Vec<f64>>>()?;
        // The first of equal scores wins, as NumPy's argmax decides.
        let best = (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        Ok(usize::from(best == Some(item.answer)))
    });
    Ok(right.collect::<Result<Vec<usize>>>()?.iter().sum::<usize>() as f64 / questions.len().max(1) as f64)
}

/// Summed log-probability of `completion` after `prompt`, in nats.
pub fn log_probability(model: &CausalLm, tokenizer: &Tokenizer, prompt: &str, completion: &str) -> Result<f64> {
    let start = tokenizer.encode_prompt(prompt)?.len();
    let ids = tokenizer.encode_prompt(&format!("{prompt}{completion}"))?;
    if start == 0 || ids.len() <= start {
        return Err(Error::new(ErrorKind::Tokenizer, format!("prompt {prompt:?} or completion {completion:?} has no tokens"))
            .hint("give both a text"));
    }
    let (inputs, targets) = (&ids[..ids.len() - 1], &ids[1..]);
    let weights: Vec<f32> = (1..ids.len()).map(|position| f32::from(u8::from(position >= start))).collect();
    let targets = Targets { ids: targets, weights: &weights, smoothing: 0.0 };
    Ok(-model.losses(inputs, &[inputs.len()], targets)?.iter().map(|loss| f64::from(*loss)).sum::<f64>())
}

/// The four-choice questions that ship with the course (`data/arc_style.jsonl`), or of another file of that form.
pub fn load_multiple_choice(name: &str) -> Result<Vec<MultipleChoice>> {
    let data = crate::data::load::load_dataset(name)?;
    let item = |(row, example): (usize, &crate::data::example::Example)| {
        let bad = |field: &str| {
            Error::new(ErrorKind::Data, format!("{name}: row {row}: field `{field}` is {}", example.get(field).unwrap_or("missing")))
                .hint("every row needs `question`, `choices` (a list of texts) and `answer` (an index)")
        };
        let choices: Vec<String> = serde_json::from_str(example.field("choices")?).map_err(|_| bad("choices"))?;
        let answer = example.field("answer")?.parse().ok().filter(|answer| *answer < choices.len()).ok_or_else(|| bad("answer"))?;
        Ok(MultipleChoice { question: example.field("question")?.into(), choices, answer })
    };
    data.iter().enumerate().map(item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_match_strips_the_ends_only() {
        assert!(is_exact_match(" a b\n", "a b"));
        assert!(!is_exact_match("a  b", "a b"));
    }

    #[test]
    fn f1_counts_every_word_once() {
        assert_eq!(token_f1("The loss falls.", "the loss falls"), 1.0);
        assert_eq!(token_f1("loss loss", "loss"), 2.0 / 3.0);
        assert_eq!((token_f1("", "loss"), token_f1("", "")), (0.0, 1.0));
    }

    #[test]
    fn categories_are_found() {
        let row = |predicted: &str| AnswerRow {
            question: "What is a tokenizer?".into(),
            predicted_answer: predicted.into(),
            target_answer: "A tokenizer cuts text into tokens.".into(),
            exact_match: false,
            f1: 0.0,
            error: None,
        };
        let long = "A tokenizer cuts text into tokens and then it goes on with many other words that nobody asked for".to_string();
        let report = error_categories(&[
            row("A tokenizer cuts text into tokens."),
            row("A tokeniser cuts text"),
            row(&long),
            row("it cuts text it cuts text it cuts text"),
        ]);
        assert_eq!((report.misspelling, report.too_long, report.repetitive), (vec![1], vec![2], vec![3]));
    }
}
