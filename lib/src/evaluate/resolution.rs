//! A number of test rows → the smallest difference between two models that it can show.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::binomial::{at_most, critical};

/// How often a difference has to show to be called likely.
const POWER: f64 = 0.8;
/// Rows of the largest test that is worked out.
const MOST: usize = 10_000;

/// What so many rows can show of two models, right or wrong, by McNemar's exact test at 5 %.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Resolution {
    /// Number of rows.
    pub rows: usize,
    /// The part of the rows on which the two models disagree, from 0 to 1.
    pub disagreement: f64,
    /// The least difference that can show at all: 6 rows that one model alone gets right and none the other way, as a part of all;
    /// `None` below 6 rows.
    pub least: Option<f64>,
    /// The difference that shows in 80 of 100 such tests; `None` where none does, even if every disagreement is on one side.
    pub likely: Option<f64>,
}

/// The smallest differences that `rows` rows can show of two models that disagree on a part of them (`disagreement`, from 0 to 1;
/// 0.2 to 0.4 are usual before and after a finetuning). The rule: the difference of the two rates has to be so large that
/// [`mcnemar`](crate::evaluate::paired::mcnemar) gives at most 5 %, in 80 of 100 tests of that size. Computed exactly, over all
/// numbers of disagreements and all their divisions.
///
/// # Errors
/// [`ErrorKind::Data`] for 0 rows or more than 10,000, and a disagreement that is no share.
pub fn resolution(rows: usize, disagreement: f64) -> Result<Resolution> {
    if !((1..=MOST).contains(&rows) && disagreement > 0.0 && disagreement <= 1.0) {
        let given = format!("rows is {rows} and disagreement {disagreement}");
        return Err(Error::new(ErrorKind::Data, format!("{given}; rows must be 1 to {MOST}, disagreement above 0 and at most 1"))
            .hint("count the rows that one of the two models alone gets right: their part of all is the disagreement"));
    }
    let counts = disagreements(rows, disagreement);
    let shows = |difference: f64| power(&counts, (disagreement + difference) / (2.0 * disagreement));
    let likely = (shows(disagreement) >= POWER).then(|| {
        let (mut low, mut high) = (0.0, disagreement);
        for _ in 0..30 {
            let middle = (low + high) / 2.0;
            if shows(middle) >= POWER { high = middle } else { low = middle }
        }
        high
    });
    let least = (0..=rows).find(|&one_sided| critical(one_sided).is_some()).map(|one_sided| one_sided as f64 / rows as f64);
    Ok(Resolution { rows, disagreement, least, likely })
}

/// Each number of disagreements that chance makes at all, the most that its lesser side may have for the test to show a difference,
/// and its probability.
fn disagreements(rows: usize, disagreement: f64) -> Vec<(usize, usize, f64)> {
    let (mean, deviation) = (rows as f64 * disagreement, (rows as f64 * disagreement * (1.0 - disagreement)).sqrt());
    let near = |count: &usize| (*count as f64 - mean).abs() <= 9.0 * deviation + 1.0;
    let mut below = 0.0;
    let probable = (0..=rows).filter(near).map(|count| {
        let up_to = at_most(count, rows, disagreement);
        (count, up_to - std::mem::replace(&mut below, up_to))
    });
    probable.filter_map(|(count, probability)| Some((count, critical(count)?, probability))).collect()
}

/// How often the exact test shows a difference where `better` of the disagreements are on one side.
fn power(counts: &[(usize, usize, f64)], better: f64) -> f64 {
    let shows = |count: usize, least: usize| at_most(least, count, better) + at_most(least, count, 1.0 - better);
    counts.iter().map(|&(count, least, probability)| probability * shows(count, least)).sum()
}

impl fmt::Display for Resolution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = |share: f64| format!("{:.0} points", (100.0 * share).ceil());
        write!(formatter, "{} rows ", self.rows)?;
        match self.least {
            None => return formatter.write_str("can show no difference between two models: 6 that one alone gets right are the least"),
            Some(least) => write!(formatter, "show a difference between two models from {} on, if it is all on one side; ", points(least))?,
        }
        write!(formatter, "of models that disagree on {:.0} % of them, ", 100.0 * self.disagreement)?;
        match self.likely {
            Some(likely) => write!(formatter, "one of {} shows in 80 of 100 tests, a smaller one rather not", points(likely)),
            None => formatter.write_str("no difference shows in 80 of 100 tests: take more rows"),
        }
    }
}
