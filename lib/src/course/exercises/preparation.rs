//! The exercises of lesson 4, data preparation: what is learnt of a conversation, planted faults, answers that are too frequent.

use std::collections::HashMap;

use crate::course::exercises::answer::{Given, Turn};
use crate::course::exercises::exercise::{Exercise, Found, answered, called, is_hashed, unless};
use crate::data::dataset::Dataset;
use crate::data::example::Example;

/// Labels of a conversation; faults by row; a balanced copy.
pub const EXERCISES: [Exercise; 3] = [
    Exercise {
        number: "4.1",
        hints: [
            "what does the model write?",
            "the assistant's ids are their own labels, its end token too; all others, padding as well, are −100, and nothing is left out",
        ],
        look: mask,
    },
    Exercise {
        number: "4.2",
        hints: [
            "empty, double, cut, mojibake",
            "three of each kind: no text at one side, the same row again (count the later one), an answer that stops in the middle, letters like Ã",
        ],
        look: faults,
    },
    Exercise {
        number: "4.3",
        hints: [
            "no answer above a quarter",
            "a quarter of the rows that are left, not of those there were: leave one row out, count again, until it holds",
        ],
        look: balance,
    },
];

fn mask(given: Given) -> Found {
    let function = given.masked()?;
    let turn = |role: &str, ids: &[u32]| (role.to_string(), ids.to_vec());
    let chats: [(&str, Vec<Turn>); 4] = [
        ("a question and its answer", vec![turn("user", &[5, 6, 7]), turn("assistant", &[8, 9, 2])]),
        (
            "two answers",
            vec![
                turn("system", &[3]),
                turn("user", &[5, 6]),
                turn("assistant", &[9, 2]),
                turn("user", &[7]),
                turn("assistant", &[4, 8, 2]),
            ],
        ),
        ("padding", vec![turn("user", &[5]), turn("assistant", &[6, 2]), turn("padding", &[0, 0, 0])]),
        ("an empty turn", vec![turn("user", &[]), turn("assistant", &[6, 2])]),
    ];
    for (what, turns) in chats {
        let labels = called(|| function(&turns))?;
        let places: usize = turns.iter().map(|(_, ids)| ids.len()).sum();
        unless(labels.len() == places, format!("a hidden conversation with {what} has {places} ids and gets {} labels", labels.len()))?;
        let mut place = 0;
        for (role, ids) in turns {
            for id in ids {
                let label = labels[place];
                place += 1;
                match role.as_str() {
                    "assistant" => unless(
                        label == i64::from(id),
                        format!("in a hidden conversation with {what}, something that the assistant writes is not learnt as it is"),
                    )?,
                    _ => unless(
                        label == -100,
                        format!("in a hidden conversation with {what}, something is learnt that the assistant does not write"),
                    )?,
                }
            }
        }
    }
    Ok(None)
}

fn faults(given: Given) -> Found {
    let mut rows: Vec<i64> = given.numbers()?.into_iter().map(|number| number as i64).collect();
    rows.sort();
    rows.dedup();
    unless(rows.iter().all(|row| (0..40).contains(row)), "rows are counted from 0; the last one is 39")?;
    unless(rows.len() == 12, format!("twelve rows are spoilt; {} different ones were given", rows.len()))?;
    let text = rows.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
    unless(
        is_hashed("4.2", &text, "da3cae2ff66a40c60ccb6a21bd8681f7b746766e7034555ab436af1c80b38f9b"),
        "at least one of the twelve rows is sound",
    )?;
    Ok(None)
}

/// Rows with these answers, so many of each, in turns.
fn skewed(answers: &[(&str, usize)], others: usize) -> Dataset {
    let frequent = answers.iter().flat_map(|(answer, count)| (0..*count).map(move |row| (format!("{answer} {row}?"), answer.to_string())));
    let rare = (0..others).map(|row| (format!("question {row}?"), format!("answer {row}")));
    let mut rows: Vec<(String, String)> = frequent.chain(rare).collect();
    rows.sort_by_key(|(question, _)| question.bytes().map(u32::from).sum::<u32>() % 17);
    Dataset::from_examples(rows.into_iter().map(|(question, answer)| Example::new([("question", question), ("answer", answer)])).collect())
}

fn balance(given: Given) -> Found {
    let function = given.balanced()?;
    let count = |rows: &Dataset| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        rows.iter().for_each(|row| *counts.entry(row.get("answer").unwrap_or_default().to_string()).or_default() += 1);
        counts
    };
    for (what, rows) in [
        ("one frequent answer", skewed(&[("I do not know.", 20)], 30)),
        ("two frequent answers", skewed(&[("No.", 30), ("Yes.", 30)], 40)),
        ("no frequent answer", skewed(&[("Yes.", 3)], 20)),
    ] {
        let kept = answered(&format!("hidden rows with {what}"), || function(&rows))?;
        let (before, after) = (count(&rows), count(&kept));
        let own = kept.iter().all(|row| rows.iter().any(|other| other == row));
        unless(own, format!("of hidden rows with {what} the result holds a row that was not there"))?;
        unless(kept.iter().enumerate().all(|(place, row)| kept.iter().take(place).all(|other| other != row)), "a row is there twice")?;
        let lost = before.iter().any(|(answer, count)| count * 4 <= rows.len() && after.get(answer) != Some(count));
        unless(!lost, format!("of hidden rows with {what} the result has lost rows whose answer is not frequent"))?;
        unless(
            before.keys().all(|answer| after.contains_key(answer)),
            format!("of hidden rows with {what} an answer has gone altogether"),
        )?;
        let most = after.values().max().copied().unwrap_or_default();
        unless(
            most * 4 <= kept.len(),
            format!("of hidden rows with {what} one answer still has {:.0} %", 100.0 * most as f64 / kept.len() as f64),
        )?;
    }
    Ok(None)
}
