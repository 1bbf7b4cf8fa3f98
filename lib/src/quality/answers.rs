//! Rows → what their answers are like as a whole: repeated, out of balance, too short or long, no answers at all.

use std::collections::HashSet;

use crate::data::dataset::Dataset;
use crate::data::example::cell;
use crate::error::{Error, ErrorKind, Result};
use crate::quality::finding::{Finding, FindingKind, Part};
use crate::quality::options::QualityOptions;
use crate::quality::rows::{Row, Rows};
use crate::quality::sensitive::mask_sensitive;
use crate::util::names::quoted;

/// Labels are so few, and so short, in characters.
const LABELS: (usize, usize) = (20, 50);
/// A rare label has less than this share of the most frequent one.
const RARE: f64 = 0.1;
/// A repeated answer has at least so many rows, and this share of all.
const REPEATED: (usize, f64) = (3, 0.05);
/// How an answer begins that is none.
const REFUSALS: [&str; 12] = [
    "as an ai language model",
    "as a language model",
    "as an ai,",
    "i'm sorry, but i can",
    "i’m sorry, but i can",
    "i am sorry, but i can",
    "sorry, but i can't",
    "i cannot assist",
    "i can't assist",
    "i'm unable to",
    "i cannot fulfill",
    "i can't help with that",
];
/// What stands where an answer should come.
const PLACEHOLDERS: [&str; 17] = [
    "todo",
    "fixme",
    "tbd",
    "n/a",
    "na",
    "null",
    "none",
    "nan",
    "undefined",
    "...",
    "…",
    "xxx",
    "asdf",
    "placeholder",
    "lorem ipsum",
    "insert answer here",
    "your answer here",
];

/// Everything about the answers of one part.
///
/// # Errors
/// When the column of labels does not exist.
pub(crate) fn answers(data: &Dataset, rows: &Rows, part: Part, options: &QualityOptions) -> Result<Vec<Finding>> {
    let are_labels = answers_are_labels(rows);
    let with = |kind, is: &dyn Fn(&Row) -> bool| {
        let found = rows.rows.iter().enumerate().filter(|(_, row)| is(row)).map(|(index, _)| index);
        Finding::new(kind, part, found.collect()).some()
    };
    let refused = with(FindingKind::Placeholder, &|row| is_no_answer(&row.folded_answer, are_labels));
    let echoed = with(FindingKind::PromptInAnswer, &|row| {
        row.folded_prompt.chars().count() >= 12 && row.folded_answer.starts_with(&row.folded_prompt)
    });
    let [short, long] = if are_labels { [None, None] } else { lengths(rows, part) };
    let repeated = if are_labels { None } else { repeated(rows, part) };
    Ok([imbalance(data, rows, part, options)?, repeated, refused, echoed, short, long].into_iter().flatten().collect())
}

/// Whether the answers are labels: few different ones, all short, each of many rows.
pub(crate) fn answers_are_labels(rows: &Rows) -> bool {
    let answers = rows.by(|row| &row.folded_answer);
    let many = answers.len() * 5 <= rows.rows.len();
    answers.len() <= LABELS.0 && many && answers.keys().all(|answer| answer.chars().count() <= LABELS.1)
}

fn is_no_answer(answer: &str, are_labels: bool) -> bool {
    let bare = answer.trim_matches(|c: char| "[]<>(){}\"' .!".contains(c));
    let placeholder = PLACEHOLDERS.contains(&answer) || PLACEHOLDERS.contains(&bare) || answer.contains("lorem ipsum");
    // The place of a template that nothing has filled.
    let open = answer.starts_with('{') && answer.ends_with('}') && !answer.contains([':', ' ', '"']);
    REFUSALS.iter().any(|start| answer.starts_with(start)) || !are_labels && !answer.is_empty() && (placeholder || open)
}

/// Labels of which some are rare, or of which there is one only.
fn imbalance(data: &Dataset, rows: &Rows, part: Part, options: &QualityOptions) -> Result<Option<Finding>> {
    let labels: Vec<String> = match &options.label_column {
        Some(column) => {
            if !data.is_empty() && data.iter().all(|example| example.value(column).is_none()) {
                let message = format!("label column `{column}` does not exist; the data set has {}", quoted(&data.columns()));
                return Err(Error::new(ErrorKind::Data, message).hint("name one of those columns"));
            }
            data.iter().map(|example| example.value(column).map_or(String::new(), cell)).collect()
        }
        None if answers_are_labels(rows) => rows.rows.iter().map(|row| row.folded_answer.clone()).collect(),
        None => return Ok(None),
    };
    let mut counts: Vec<(&str, usize)> = Vec::new();
    let mut sorted: Vec<&str> = labels.iter().map(String::as_str).filter(|label| !label.is_empty()).collect();
    sorted.sort_unstable();
    for label in sorted {
        match counts.last_mut() {
            Some((last, count)) if *last == label => *count += 1,
            _ => counts.push((label, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let Some(&(_, most)) = counts.first() else { return Ok(None) };
    let rare: HashSet<&str> = counts.iter().filter(|(_, count)| (*count as f64) < RARE * most as f64).map(|(label, _)| *label).collect();
    let one = counts.len() == 1 && most > 1;
    if rare.is_empty() && !one {
        return Ok(None);
    }
    let found = (0..labels.len()).filter(|&row| one || rare.contains(labels[row].as_str())).collect();
    let detail = counts.iter().take(20).map(|(label, count)| format!("{:?} {count}", shown(label, 30))).collect::<Vec<_>>().join(", ");
    Ok(Finding::new(FindingKind::Imbalance, part, found).saying(detail).some())
}

/// Answers that many rows share, the most frequent first.
fn repeated(rows: &Rows, part: Part) -> Option<Finding> {
    let enough = |places: &Vec<usize>| places.len() >= REPEATED.0 && places.len() as f64 >= REPEATED.1 * rows.rows.len() as f64;
    let mut often: Vec<Vec<usize>> = rows.by(|row| &row.folded_answer).into_values().filter(enough).collect();
    often.sort_by_key(|places| (std::cmp::Reverse(places.len()), places[0]));
    let line = |places: &Vec<usize>| format!("{} × {:?}", places.len(), shown(&rows.rows[places[0]].answer, 60));
    let detail = often.iter().take(5).map(line).collect::<Vec<_>>().join("; ");
    let mut found: Vec<usize> = often.into_iter().flatten().collect();
    found.sort_unstable();
    Finding::new(FindingKind::RepeatedAnswer, part, found).saying(detail).some()
}

/// Answers that are far from the middle one in length.
fn lengths(rows: &Rows, part: Part) -> [Option<Finding>; 2] {
    let lengths: Vec<usize> = rows.rows.iter().map(|row| row.answer.trim().chars().count()).collect();
    let mut sorted: Vec<usize> = lengths.iter().copied().filter(|length| *length > 0).collect();
    sorted.sort_unstable();
    let Some(&middle) = sorted.get(sorted.len() / 2) else { return [None, None] };
    let with = |kind, is: &dyn Fn(usize) -> bool| {
        let found = (0..lengths.len()).filter(|&row| lengths[row] > 0 && is(lengths[row])).collect();
        Finding::new(kind, part, found).saying(format!("half of the answers have {middle} characters or less")).some()
    };
    [
        with(FindingKind::ShortAnswer, &|length| length < 10 && 10 * length <= middle),
        with(FindingKind::LongAnswer, &|length| length >= 500 && length >= 10 * middle),
    ]
}

/// The beginning of a text, safe to show.
pub(crate) fn shown(text: &str, characters: usize) -> String {
    let text = mask_sensitive(text);
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
