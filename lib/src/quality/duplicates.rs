//! Rows → those that are there twice, those that contradict each other, and those that stand in training and test.

use std::collections::HashSet;

use crate::quality::answers::answers_are_labels;
use crate::quality::finding::{Finding, FindingKind, Part, Place};
use crate::quality::near::Near;
use crate::quality::rows::{Row, Rows};

/// Duplicates and contradictions of one part.
pub(crate) fn within(rows: &Rows, part: Part, near: &Near) -> Vec<Finding> {
    let as_row = |row: usize, first: usize| Place { row, text: format!("as row {first}") };
    let mut same = Vec::new();
    for places in rows.by(|row| &row.same).into_values() {
        same.extend(places[1..].iter().map(|&row| as_row(row, places[0])));
    }
    let (mut contradicting, mut questions) = (Vec::new(), 0);
    for places in rows.by(|row| &row.folded_prompt).into_values() {
        let answers: HashSet<&str> = places.iter().map(|&row| essence(&rows.rows[row])).filter(|answer| !answer.is_empty()).collect();
        if answers.len() > 1 {
            questions += 1;
            let first = places[0];
            contradicting.extend(places.iter().map(|&row| Place { row, text: format!("question of row {first}") }));
        }
    }
    let near = near.pairs.iter().map(|&(first, row, share)| Place { row, text: format!("as row {first}, {:.0} %", 100.0 * share) });
    let near = Finding::at(FindingKind::NearDuplicate, part, near.collect());
    let count = near.rows.len();
    [
        Finding::at(FindingKind::ExactDuplicate, part, same).some(),
        Finding::at(FindingKind::Contradiction, part, contradicting).saying(format!("{questions} questions")).some(),
        near.saying(format!("{count} rows are nearly an earlier one")).some(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// An answer without what two writers do differently.
fn essence(row: &Row) -> &str {
    match row.folded_answer.trim_matches(|c: char| !c.is_alphanumeric()) {
        "" => &row.folded_answer,
        words => words,
    }
}

/// The rows of the test that training has as well.
pub(crate) fn overlap(train: &Rows, test: &Rows, near: &mut Near) -> Vec<Finding> {
    let (same, prompts) = (train.by(|row| &row.same), train.by(|row| &row.folded_prompt));
    let answers = train.by(|row| &row.folded_answer);
    let labels = answers_are_labels(train);
    let (mut exact, mut nearly, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    for (index, row) in test.rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
        let place = |text: String| Place { row: index, text };
        if let Some(rows) = same.get(row.same.as_str()) {
            exact.push(place(format!("is training row {}", rows[0])));
        } else if let Some(rows) = prompts.get(row.folded_prompt.as_str()) {
            exact.push(place(format!("asks as training row {}", rows[0])));
        } else if let Some((row, share)) = near.nearest(&row.folded()) {
            nearly.push(place(format!("as training row {row}, {:.0} %", 100.0 * share)));
        }
        if row.two_sided
            && !labels
            && let Some(rows) = answers.get(row.folded_answer.as_str())
        {
            answered.push(place(format!("answer of training row {}", rows[0])));
        }
    }
    let of_all = |count: usize| format!("{count} of {} test rows", test.rows.len());
    [(FindingKind::TestRowInTraining, exact), (FindingKind::TestRowNearTraining, nearly), (FindingKind::TestAnswerInTraining, answered)]
        .into_iter()
        .filter_map(|(kind, places)| {
            let count = places.len();
            Finding::at(kind, Part::Test, places).saying(of_all(count)).some()
        })
        .collect()
}
