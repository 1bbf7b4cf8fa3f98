//! Counts of a coin → how probable chance makes them: the arithmetic of exact tests.

/// The largest p-value that counts as a difference.
pub(crate) const LEVEL: f64 = 0.05;

/// The probability of at most `most` hits in `all` draws, each a hit with `rate`.
pub(crate) fn at_most(most: usize, all: usize, rate: f64) -> f64 {
    if most >= all {
        return 1.0;
    }
    if rate <= 0.0 || rate >= 1.0 {
        return f64::from(u8::from(rate <= 0.0));
    }
    let (hit, miss) = (rate.ln(), (-rate).ln_1p());
    let mut choices = 0.0;
    let mut sum = 0.0;
    for hits in 0..=most {
        if hits > 0 {
            choices += ((all - hits + 1) as f64 / hits as f64).ln();
        }
        sum += (choices + hits as f64 * hit + (all - hits) as f64 * miss).exp();
    }
    f64::min(sum, 1.0)
}

/// How often a fair coin is at least as one-sided as `one` against `other`: the p-value of a sign test, both sides counted.
pub(crate) fn sign_test(one: usize, other: usize) -> f64 {
    f64::min(1.0, 2.0 * at_most(one.min(other), one + other, 0.5))
}

/// The most that the lesser side of `all` may have, so that [`sign_test`] is at most [`LEVEL`]; `None` where even 0 is too much.
pub(crate) fn critical(all: usize) -> Option<usize> {
    let (mut choices, mut sum, mut most) = (0.0, 0.0, None);
    for hits in 0..=all / 2 {
        if hits > 0 {
            choices += ((all - hits + 1) as f64 / hits as f64).ln();
        }
        sum += (choices - all as f64 * std::f64::consts::LN_2).exp();
        if 2.0 * sum > LEVEL {
            break;
        }
        most = Some(hits);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_cases_are_counted_by_hand() {
        // Of 16 rows of four coins, 1 + 4 have at most one head.
        assert!((at_most(1, 4, 0.5) - 5.0 / 16.0).abs() < 1e-15);
        assert!((at_most(0, 3, 0.2) - 0.8f64.powi(3)).abs() < 1e-15);
        assert_eq!((at_most(4, 4, 0.5), at_most(0, 5, 0.0), at_most(3, 5, 1.0)), (1.0, 1.0, 0.0));
        assert!((sign_test(1, 3) - 10.0 / 16.0).abs() < 1e-15);
        assert_eq!((sign_test(2, 2), sign_test(0, 0)), (1.0, 1.0));
        // Six to nothing is the first that chance makes rarer than one time in twenty.
        assert!((sign_test(0, 5) - 0.0625).abs() < 1e-15 && (sign_test(6, 0) - 0.03125).abs() < 1e-15);
        assert_eq!((critical(5), critical(6), critical(8), critical(9)), (None, Some(0), Some(0), Some(1)));
        for all in 0..60 {
            let by_test = (0..=all / 2).filter(|&least| sign_test(least, all - least) <= LEVEL).max();
            assert_eq!(critical(all), by_test, "{all}");
        }
    }
}
