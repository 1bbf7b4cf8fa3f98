//! (rows, part, seed) → the rows for training and for the test, the Python split index for index.

use crate::util::rng::permutation;

/// The indices of (train, test): the first `ceil(test_size · n)` indices of the permutation are the test rows, the rest
/// are the training rows, in that order, as `datasets.train_test_split` does.
pub fn split_indices(n: usize, test_size: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut order = permutation(n, seed);
    let train = order.split_off(((test_size * n as f64).ceil() as usize).min(n));
    (train, order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_takes_the_first_tenth_for_the_test() {
        let (train, test) = split_indices(1400, 0.1, 123);
        assert_eq!((train.len(), test.len()), (1260, 140));
        assert_eq!(test[..3], [602, 1120, 271]);
        let mut all = [train, test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1400).collect::<Vec<_>>());
    }
}
