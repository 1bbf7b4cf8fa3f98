//! The exercises of lesson 6, evaluation: a judge that order does not sway, which error to mend first, the words in common.

use crate::course::exercises::answer::{Given, Kind};
use crate::course::exercises::exercise::{Exercise, Found, called, is_near, unless};
use crate::evaluate::metrics::token_f1;
use crate::evaluate::verdict::Verdict;

/// A fair judge; the first fix; token F1.
pub const EXERCISES: [Exercise; 3] = [
    Exercise {
        number: "6.1",
        hints: ["ask twice", "ask once more with the answers swapped: only what wins in both places wins, everything else is a tie"],
        look: judge,
    },
    Exercise {
        number: "6.2",
        hints: ["often, then harmful", "count × harm, the largest first; between equals the more frequent one"],
        look: first,
    },
    Exercise {
        number: "6.3",
        hints: [
            "multiset",
            "words in small letters; a word counts in common as often as both texts have it; 2 · common ÷ (words of both); of two empty texts it is 1, of one 0",
        ],
        look: overlap,
    },
];

fn judge(given: Given) -> Found {
    let function = given.judged()?;
    let pairs = [("short", "a longer answer"), ("a longer answer", "short"), ("same!", "size."), ("yes", "it depends on the rows")];
    let first = |_: &str, _: &str| Verdict::First;
    let second = |_: &str, _: &str| Verdict::Second;
    let longer = |a: &str, b: &str| match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Greater => Verdict::First,
        std::cmp::Ordering::Less => Verdict::Second,
        std::cmp::Ordering::Equal => Verdict::Tie,
    };
    for (a, b) in pairs {
        let (one, other) = (called(|| function(&first, a, b))?, called(|| function(&second, a, b))?);
        unless(one == Verdict::Tie, "a hidden judge that always says `First` is believed")?;
        unless(other == Verdict::Tie, "a hidden judge that always says `Second` is believed")?;
        let fair = called(|| function(&longer, a, b))?;
        unless(fair == longer(a, b), "of a hidden judge that is fair the verdict is changed")?;
    }
    Ok(None)
}

/// Where, errors with count and harm, and the one to mend first.
type Errors = (&'static str, &'static [(&'static str, usize, usize)], &'static str);

fn first(given: Given) -> Found {
    let function = given.chosen()?;
    let tables: [Errors; 4] = [
        ("where the most frequent error is harmless", &[("spelling", 40, 1), ("invents", 15, 4), ("crash", 1, 5)], "invents"),
        ("where the most harmful error is rare", &[("insults", 1, 10), ("refuses", 12, 3), ("too long", 20, 1)], "refuses"),
        ("where two weigh the same", &[("cut", 6, 4), ("refuses", 8, 3), ("repeats", 2, 2)], "refuses"),
        ("with one error", &[("empty", 3, 2)], "empty"),
    ];
    for (what, table, right) in tables {
        let kinds: Vec<Kind> = table.iter().map(|(name, count, harm)| (name.to_string(), *count, *harm)).collect();
        let name = called(|| function(&kinds))?;
        unless(kinds.iter().any(|(known, ..)| *known == name), format!("in a hidden table {what}, the answer is no name of the table"))?;
        unless(name == right, format!("in a hidden table {what}, another error comes first"))?;
    }
    Ok(None)
}

fn overlap(given: Given) -> Found {
    let function = given.compared()?;
    for (what, one, other) in [
        ("equal texts", "the loss falls", "the loss falls"),
        ("texts with other capitals and marks", "The loss falls.", "the loss falls"),
        ("a word that one text repeats", "loss loss loss", "loss"),
        ("words that both repeat", "to be or not to be", "to be to be or"),
        ("texts in another order", "falls the loss", "the loss falls"),
        ("texts without a common word", "up", "down"),
        ("one empty text", "", "loss"),
        ("two empty texts", "", ""),
    ] {
        let (score, right) = (called(|| function(one, other))?, token_f1(one, other));
        unless(is_near(score, right), format!("for two hidden texts, {what}, the score is another one"))?;
    }
    Ok(None)
}
