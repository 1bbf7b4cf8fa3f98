//! Two texts → how well one answers for the other: exact match and token F1.

use std::collections::HashMap;

/// Whether two texts are equal after stripping white space at both ends.
pub fn is_exact_match(a: &str, b: &str) -> bool {
    a.trim() == b.trim()
}

/// The words of a text: lower case, without punctuation.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// The harmonic mean of precision and recall over words (the F1 of SQuAD, Rajpurkar et al. 2016), from 0 to 1.
pub fn token_f1(predicted: &str, target: &str) -> f64 {
    let (predicted, target) = (words(predicted), words(target));
    if predicted.is_empty() || target.is_empty() {
        return f64::from(u8::from(predicted == target));
    }
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in &target {
        *left.entry(word).or_default() += 1;
    }
    let common = predicted
        .iter()
        .filter(|word| left.get_mut(word.as_str()).is_some_and(|count| std::mem::replace(count, count.saturating_sub(1)) > 0))
        .count();
    2.0 * common as f64 / (predicted.len() + target.len()) as f64
}

/// The 95 % interval of a rate of which `hits` of `all` are seen (Wilson 1927), from 0 to 1.
pub fn wilson_interval(hits: usize, all: usize) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, rate) = (all as f64, hits as f64 / all as f64);
    let middle = rate + Z * Z / (2.0 * n);
    let half = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_match_strips_the_ends_only() {
        assert!(is_exact_match(" a b\n", "a b"));
        assert!(!is_exact_match("a  b", "a b"));
    }

    #[test]
    fn f1_counts_every_word_once() {
        assert_eq!(token_f1("The loss falls.", "the loss falls"), 1.0);
        assert_eq!(token_f1("loss loss", "loss"), 2.0 / 3.0);
        assert_eq!((token_f1("", "loss"), token_f1("", "")), (0.0, 1.0));
    }
}
