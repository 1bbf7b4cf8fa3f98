//! Scores of two models on the same rows → the interval in which the difference of their means lies: a paired bootstrap.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::paired::check_pairs;
use crate::util::rng::Pcg64;

/// How often the rows are drawn again: SciPy's default.
pub const RESAMPLES: usize = 9_999;
/// The part of the drawn differences below and above the interval.
const TAIL: f64 = 0.025;

/// How much higher the second model scores than the first.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PairedDifference {
    /// Number of rows.
    pub rows: usize,
    /// Mean of the second's scores less mean of the first's.
    pub difference: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
}

/// The difference of two models' mean scores (second − first), such as [`token_f1`](crate::evaluate::metrics::token_f1) row by row,
/// with its 95 % interval: rows are drawn again with replacement [`RESAMPLES`] times, each with both its scores (Efron 1979). The
/// interval is that of SciPy's `bootstrap(…, paired=True, method="percentile")` with `default_rng(seed)`.
///
/// # Errors
/// [`ErrorKind::Data`] for lists of different lengths, without a row, or with a score that is no finite number.
pub fn paired_bootstrap(first: &[f64], second: &[f64], seed: u64) -> Result<PairedDifference> {
    check_pairs(first.len(), second.len())?;
    let rows = first.len();
    if let Some(row) = (0..rows).find(|&row| !first[row].is_finite() || !second[row].is_finite()) {
        return Err(Error::new(
            ErrorKind::Data,
            format!("row {row}: the scores are {} and {}, not finite numbers", first[row], second[row]),
        )
        .hint("leave the row out of both lists, or score it 0"));
    }
    let mean = |rows: &mut dyn Iterator<Item = usize>, scores: &[f64]| rows.map(|row| scores[row]).sum::<f64>() / first.len() as f64;
    let difference = |drawn: &[usize]| mean(&mut drawn.iter().copied(), second) - mean(&mut drawn.iter().copied(), first);
    let (mut random, mut drawn) = (Pcg64::new(seed), vec![0; rows]);
    let mut differences: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            drawn.iter_mut().for_each(|row| *row = random.below(rows));
            difference(&drawn)
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    Ok(PairedDifference {
        rows,
        difference: difference(&(0..rows).collect::<Vec<_>>()),
        low: quantile(&differences, TAIL),
        high: quantile(&differences, 1.0 - TAIL),
    })
}

/// The quantile of sorted values, between two of them as NumPy's `percentile`.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let (below, rest) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + rest * (sorted[above] - sorted[below])
}

impl PairedDifference {
    /// Whether the interval leaves 0 out.
    pub fn is_shown(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

impl fmt::Display for PairedDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, difference, low, high } = self;
        write!(formatter, "{rows} rows: the second scores {difference:+.3}; on other rows of this kind the difference lies between ")?;
        write!(formatter, "{low:+.3} and {high:+.3} (95 % interval), so these rows ")?;
        match (self.is_shown(), *difference > 0.0) {
            (true, true) => formatter.write_str("show that the second is better"),
            (true, false) => formatter.write_str("show that the first is better"),
            (false, _) => formatter.write_str("cannot show which is better"),
        }
    }
}
