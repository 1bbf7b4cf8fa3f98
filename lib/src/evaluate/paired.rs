//! Which rows two models got right → whether one is better: McNemar's exact test.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::binomial::{LEVEL, sign_test};

/// Two models on the same rows: how often each was right alone, and whether chance explains that.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PairedTest {
    /// Rows that both got right.
    pub both: usize,
    /// Rows that the first alone got right.
    pub first_only: usize,
    /// Rows that the second alone got right.
    pub second_only: usize,
    /// Rows that neither got right.
    pub neither: usize,
    /// How often two equally good models would be at least so far apart, from 0 to 1.
    pub p_value: f64,
}

/// McNemar's exact test (McNemar 1947) of two models on the same rows, right or wrong: only rows on which they disagree count, and
/// between equals each of those is a coin's toss. Both sides are counted, as in statsmodels' `mcnemar(exact=True)`.
///
/// ```
/// use finetuning::*;
///
/// let before = [true, false, false, false, false, false, false, true];
/// let after = [true, true, true, true, true, true, false, false];
/// let test = mcnemar(&before, &after)?;
/// assert_eq!((test.second_only, test.first_only), (5, 1));
/// println!("{test}");
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Data`] for lists of different lengths, or without a row.
pub fn mcnemar(first: &[bool], second: &[bool]) -> Result<PairedTest> {
    check_pairs(first.len(), second.len())?;
    let count = |of: (bool, bool)| first.iter().zip(second).filter(|(first, second)| (**first, **second) == of).count();
    let (first_only, second_only) = (count((true, false)), count((false, true)));
    Ok(PairedTest {
        both: count((true, true)),
        first_only,
        second_only,
        neither: count((false, false)),
        p_value: sign_test(first_only, second_only),
    })
}

/// Refuses lists that are no pairs.
pub(crate) fn check_pairs(first: usize, second: usize) -> Result<()> {
    if first != second || first == 0 {
        return Err(Error::new(
            ErrorKind::Data,
            format!("the first has {first} rows and the second {second}; they must be the same rows, at least 1"),
        )
        .hint("score both models on one test set, in one order"));
    }
    Ok(())
}

impl PairedTest {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.both + self.first_only + self.second_only + self.neither
    }
}

impl fmt::Display for PairedTest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, first, second) = (self.rows(), self.first_only, self.second_only);
        write!(formatter, "{rows} rows: the first alone is right on {first}, the second alone on {second}; equals differ so much in ")?;
        write!(formatter, "{} % of tests, so these rows ", percent(self.p_value))?;
        match self.p_value <= LEVEL {
            true => write!(formatter, "show that the {} is better", if first > second { "first" } else { "second" }),
            false => formatter.write_str("cannot show which is better"),
        }
    }
}

/// A share in percent, with a digit more where it is small.
pub(crate) fn percent(share: f64) -> String {
    match 100.0 * share {
        small if small < 0.1 => "less than 0.1".into(),
        small if small < 10.0 => format!("{small:.1}"),
        large => format!("{large:.0}"),
    }
}
