//! Answers of an evaluation → what is wrong with them, sorted into the error categories of the course.

use std::collections::{HashMap, HashSet};

use crate::display::output::{Html, Show, last_expression, table};
use crate::evaluate::metrics::words;
use crate::evaluate::report::AnswerRow;

/// An answer is too long above this multiple of the target's words.
pub const TOO_LONG: usize = 2;
/// Words that are spelt right, one a line: those that the books of the Rust toolchain have at least twice, everyday ones, and
/// those of `builtin:stories`.
const SPELT_RIGHT: &str = include_str!("words.txt");

/// What is wrong with answers, counted: an answer may fall into several categories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ErrorReport {
    /// Rows that were looked at.
    pub rows: usize,
    /// A word that is in no question or target and not in our list of words, but one or two letters away from one that is.
    pub misspelling: Vec<usize>,
    /// More than [`TOO_LONG`] times the words of the target.
    pub too_long: Vec<usize>,
    /// Three words in a row come three times.
    pub repetitive: Vec<usize>,
}

/// Sorts predictions into the error categories of the course; the lists hold row numbers.
pub fn error_categories(rows: &[AnswerRow]) -> ErrorReport {
    let mut known: HashSet<String> = rows.iter().flat_map(|row| [words(&row.question), words(&row.target_answer)]).flatten().collect();
    known.extend(SPELT_RIGHT.lines().map(String::from));
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
    fn table(&self) -> Html {
        let row =
            |name: &str, rows: &Vec<usize>| vec![name.to_string(), rows.len().to_string(), format!("{:?}", &rows[..rows.len().min(8)])];
        table(
            &["category", "answers", "first rows"],
            &[row("misspelling", &self.misspelling), row("too long", &self.too_long), row("repetitive", &self.repetitive)],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_takes_no_word_of_the_stories_for_a_mistake() {
        let list: Vec<&str> = SPELT_RIGHT.lines().collect();
        assert!(list.is_sorted_by(|one, next| one < next) && list.iter().all(|word| words(word) == [*word]));
        let known: HashSet<String> = list.iter().map(ToString::to_string).collect();
        let stories = crate::data::load::load_dataset("builtin:stories").unwrap();
        let all: HashSet<String> = stories.column("text").unwrap().iter().flat_map(|text| words(text)).collect();
        let wrong: Vec<&String> = all.iter().filter(|word| is_misspelt(word, &known)).collect();
        assert!(all.len() > 400 && wrong.is_empty(), "{wrong:?}");
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
