//! Two texts → how much of one stands in the other: near duplicates, and answers that a text supports.

use std::collections::HashSet;

/// Words that stand in any text and support nothing.
const STOP_WORDS: [&str; 64] = [
    "a", "about", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "do", "does", "each", "for",
    "from", "has", "have", "how", "if", "in", "into", "is", "it", "its", "may", "more", "no", "not", "of", "on", "one", "only", "or",
    "other", "so", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "to", "use", "used", "was",
    "were", "what", "when", "where", "which", "will", "with", "you", "your",
];

/// Words and numbers in lower case; letters of scripts without blanks between words count one by one.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for letter in text.chars().flat_map(char::to_lowercase) {
        let single = ('\u{2e80}'..='\u{9fff}').contains(&letter) || ('\u{ac00}'..='\u{d7af}').contains(&letter);
        match words.last_mut().filter(|_| open && !single) {
            Some(word) if letter.is_alphanumeric() => word.push(letter),
            _ if letter.is_alphanumeric() => words.push(letter.to_string()),
            _ => {}
        }
        open = letter.is_alphanumeric() && !single;
    }
    words
}

/// ROUGE-L of two texts: the F-measure of their longest common subsequence of words, from 0 to 1. Self-instruct takes
/// questions of 0.7 and more for the same.
pub fn rouge_l(one: &str, other: &str) -> f64 {
    rouge_l_of(&words(one), &words(other))
}

pub(crate) fn rouge_l_of(one: &[String], other: &[String]) -> f64 {
    // The lengths of the longest common subsequence up to each word of `other`, a row of the table at a time.
    let mut row = vec![0usize; other.len() + 1];
    for word in one {
        let mut diagonal = 0;
        for (place, own) in other.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if word == own { diagonal + 1 } else { above.max(row[place]) };
            diagonal = above;
        }
    }
    let common = row[other.len()] as f64;
    if common == 0.0 { 0.0 } else { 2.0 * common / (one.len() + other.len()) as f64 }
}

/// How far a text stands behind an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Support {
    /// The part of the answer's words that the text has, from 0 to 1; words such as `the` do not count.
    pub score: f64,
    /// The answer's words and numbers that the text lacks.
    pub missing: Vec<String>,
}

impl Support {
    /// The support of an answer in a text, by words: a plural counts as its singular.
    ///
    /// It compares words, not what they say: a sentence that denies the text in the text's own words is supported.
    pub fn of(answer: &str, text: &str) -> Self {
        let stem = |word: String| word.strip_suffix('s').filter(|stem| stem.len() > 2).map_or(word.clone(), String::from);
        let known: HashSet<String> = words(text).into_iter().map(stem).collect();
        let mut seen = HashSet::new();
        let told = words(answer).into_iter().filter(|word| !STOP_WORDS.contains(&word.as_str())).map(stem);
        let told: Vec<String> = told.filter(|word| seen.insert(word.clone())).collect();
        let missing: Vec<String> = told.iter().filter(|word| !known.contains(*word)).cloned().collect();
        let score = if told.is_empty() { 0.0 } else { 1.0 - missing.len() as f64 / told.len() as f64 };
        Self { score, missing }
    }

    /// Whether the answer has a number that the text has not: the kind of mistake that a reader sees last.
    pub fn invents_number(&self) -> bool {
        self.missing.iter().any(|word| word.chars().all(char::is_numeric))
    }
}
