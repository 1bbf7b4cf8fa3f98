//! Two texts → how alike they are: the cosine of their TF-IDF vectors, a small stand-in for an embedding model.

use std::collections::{BTreeMap, BTreeSet};

use crate::evaluate::metrics::words;

/// Word weights learnt from a collection of texts: rare words say more than common ones.
#[derive(Debug, Clone, Default)]
pub struct TfIdf {
    texts: usize,
    counts: BTreeMap<String, usize>,
}

impl TfIdf {
    /// Learns how many of the texts contain each word.
    pub fn fit(texts: &[impl AsRef<str>]) -> Self {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for text in texts {
            for word in words(text.as_ref()).into_iter().collect::<BTreeSet<_>>() {
                *counts.entry(word).or_default() += 1;
            }
        }
        Self { texts: texts.len(), counts }
    }

    /// The smoothed inverse document frequency, `ln((1 + n) / (1 + count)) + 1`, as scikit-learn's.
    fn weight(&self, word: &str) -> f64 {
        let count = self.counts.get(word).copied().unwrap_or(0);
        ((1 + self.texts) as f64 / (1 + count) as f64).ln() + 1.0
    }

    fn vector(&self, text: &str) -> BTreeMap<String, f64> {
        let mut vector: BTreeMap<String, f64> = BTreeMap::new();
        for word in words(text) {
            *vector.entry(word).or_default() += 1.0;
        }
        vector.iter_mut().for_each(|(word, count)| *count *= self.weight(word));
        vector
    }

    /// Cosine of the two texts' vectors: 1 for the same words, 0 for no common word.
    pub fn similarity(&self, a: &str, b: &str) -> f64 {
        let (a, b) = (self.vector(a), self.vector(b));
        let norm = |vector: &BTreeMap<String, f64>| vector.values().map(|x| x * x).sum::<f64>().sqrt();
        let dot: f64 = a.iter().filter_map(|(word, x)| b.get(word).map(|y| x * y)).sum();
        if dot == 0.0 { 0.0 } else { dot / (norm(&a) * norm(&b)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_strangers_zero() {
        let model = TfIdf::fit(&["the loss falls", "the model learns", "the data grows"]);
        assert!((model.similarity("the loss falls", "falls the loss") - 1.0).abs() < 1e-12);
        assert_eq!(model.similarity("loss", "model"), 0.0);
        // A shared rare word counts more than a shared common one.
        assert!(model.similarity("loss data", "loss model") > model.similarity("the data", "the model"));
    }
}
