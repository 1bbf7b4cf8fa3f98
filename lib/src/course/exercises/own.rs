//! The exercises of lesson 8, your own data in an afternoon: rows that are fit, a model that is better, a card that says so.

use std::collections::HashSet;

use crate::course::exercises::answer::Given;
use crate::course::exercises::exercise::{Exercise, Found, unless};
use crate::quality::options::QualityOptions;
use crate::quality::report::quality_report;

/// Thirty own rows; both scores; the card.
pub const EXERCISES: [Exercise; 3] = [
    Exercise {
        number: "8.1",
        hints: ["see report", "`show(&quality_report(&rows, None, &QualityOptions::default())?)` names each row and what to do with it"],
        look: rows,
    },
    Exercise {
        number: "8.2",
        hints: ["read 5 misses", "what do they have in common? Write ten rows of that kind, in other words than the test, and train again"],
        look: better,
    },
    Exercise {
        number: "8.3",
        hints: [
            "limits?",
            "base model, licence, how many rows of what, the score with the number of test rows, and what it must not be used for",
        ],
        look: card,
    },
];

fn rows(given: Given) -> Found {
    let rows = given.rows()?;
    unless(rows.len() >= 30, format!("30 rows are asked for; there are {}", rows.len()))?;
    let different: HashSet<String> = rows.iter().map(|row| row.to_string().to_lowercase()).collect();
    unless(different.len() >= 30, format!("30 different rows are asked for; there are {}", different.len()))?;
    let report = quality_report(&rows, None, &QualityOptions::default()).map_err(|error| error.to_string())?;
    let worst = report.findings.iter().find(|finding| finding.severity >= crate::quality::finding::Severity::Error);
    match worst {
        None => Ok(Some(rows.len() as f64)),
        Some(finding) => Err(format!("the quality report is not clean: {} ({} rows)", finding.kind.name(), finding.rows.len())),
    }
}

fn better(given: Given) -> Found {
    let scores = given.scores()?;
    let (before, after) = (&scores.before, &scores.after);
    let questions = |rows: &[crate::evaluate::report::AnswerRow]| rows.iter().map(|row| row.question.clone()).collect::<Vec<_>>();
    unless(questions(&before.rows) == questions(&after.rows), "the two models were not asked the same questions")?;
    unless(after.rows.len() >= 5, format!("the test has {} questions; 5 are the least", after.rows.len()))?;
    let gain = (after.exact_match_rate() - before.exact_match_rate(), after.mean_f1() - before.mean_f1());
    unless(gain.0 > 0.0 || gain.0 == 0.0 && gain.1 > 0.02, format!("before: {before}; after: {after}; the second has to be better"))?;
    Ok(Some(after.mean_f1()))
}

/// What a card has to say: in words, and how it may be written.
const FIELDS: [(&str, &[&str]); 5] = [
    ("the base model", &["base_model", "base model"]),
    ("the licence", &["license", "licence"]),
    ("the rows that it was trained on", &["rows", "data"]),
    ("how well it does, and on how many questions", &["score", "exact", "evaluat", "f1"]),
    ("its limits", &["limit", "not for", "must not", "cannot"]),
];

fn card(given: Given) -> Found {
    let card = given.text()?.to_lowercase();
    unless(
        card.split_whitespace().count() >= 30,
        format!("a card of {} words says too little; 30 are the least", card.split_whitespace().count()),
    )?;
    for (what, words) in FIELDS {
        unless(words.iter().any(|word| card.contains(word)), format!("the card does not say {what}"))?;
    }
    unless(card.chars().any(|letter| letter.is_ascii_digit()), "the card has no number: neither rows nor a score")?;
    Ok(None)
}
