//! Texts → pairs that are nearly the same: MinHash signatures in bands find candidates, the shingles themselves decide.
//!
//! The work grows with the rows, not with their square: of each bucket at most [`BUCKET`] rows are candidates, and of a row's
//! candidates at most [`COMPARED`] are compared shingle by shingle. Rows that were in more crowded company are counted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use rayon::prelude::*;
use txtfp::tokenize::TokenStream;
use txtfp::{
    CanonicalizerBuilder, CaseFold, Fingerprinter, MinHashFingerprinter, MinHashSig, Normalization, ShingleTokenizer, Tokenizer,
    WordTokenizer, jaccard,
};

use crate::quality::options::{QualityOptions, Shingles};
use crate::quality::rows::Row;

/// Hashes of a signature.
const HASHES: usize = 128;
/// Rows of a bucket that are candidates for others.
const BUCKET: usize = 16;
/// Candidates of a row that are compared in full.
const COMPARED: usize = 32;
/// Share of the pairs exactly at the threshold that the bands may miss.
const MISSED: f64 = 0.01;

type Signature = MinHashSig<HASHES>;

/// Rows that belong together, by union and find.
#[derive(Debug, Clone)]
pub(crate) struct Groups(Vec<usize>);

impl Groups {
    /// Each row alone.
    pub fn new(rows: usize) -> Self {
        Self((0..rows).collect())
    }

    /// The first row of a row's group.
    pub fn first(&mut self, mut row: usize) -> usize {
        while self.0[row] != row {
            self.0[row] = self.0[self.0[row]];
            row = self.0[row];
        }
        row
    }

    /// Makes one group of two.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        self.0[a.max(b)] = a.min(b);
    }
}

/// The rows of a data set that are nearly the same, and an index in which others can be looked up.
#[derive(Debug)]
pub(crate) struct Near {
    /// (earlier row, later row, share of common shingles), each compared in full.
    pub pairs: Vec<(usize, usize, f64)>,
    /// Rows that such pairs, or equal texts, connect.
    pub groups: Groups,
    /// How often two signatures or two sets of shingles were compared.
    pub comparisons: usize,
    /// Rows that had more candidates than were compared.
    pub crowded: usize,
    shingles: Shingles,
    threshold: f64,
    /// Hashes of a band.
    band: usize,
    /// (row, text, signature).
    entries: Vec<(usize, String, Signature)>,
    /// For each band: its hash → places in `entries`, and whether there were more.
    buckets: Vec<HashMap<u64, (Vec<u32>, bool)>>,
}

impl Near {
    /// Compares rows with each other. Of rows that are the same only the first is looked at.
    pub fn new(rows: &[Row], options: &QualityOptions) -> Self {
        let QualityOptions { near_threshold: threshold, shingles, .. } = *options;
        let band = band(threshold);
        let mut near = Self {
            pairs: Vec::new(),
            groups: Groups::new(rows.len()),
            comparisons: 0,
            crowded: 0,
            shingles,
            threshold,
            band,
            entries: Vec::new(),
            buckets: vec![HashMap::new(); HASHES / band],
        };
        let mut first: HashMap<&str, usize> = HashMap::new();
        let mut distinct = Vec::new();
        for (index, row) in rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            match first.get(row.same.as_str()) {
                Some(&earlier) => near.groups.join(earlier, index),
                None => {
                    first.insert(&row.same, index);
                    distinct.push(index);
                }
            }
        }
        let signed = |row: usize| {
            let text = rows[row].folded();
            signature(&text, shingles).map(|signature| (row, text, signature))
        };
        let entries: Vec<_> = distinct.into_par_iter().filter_map(signed).collect();
        for (row, text, signature) in entries {
            let own = hashes(&text, shingles);
            for candidate in near.candidates(&signature) {
                let other = near.entries[candidate].0;
                if near.groups.first(other) == near.groups.first(row) {
                    continue;
                }
                if let Some(similarity) = near.compare(candidate, &own) {
                    near.pairs.push((other, row, similarity));
                    near.groups.join(other, row);
                }
            }
            near.insert(row, text, signature);
        }
        near
    }

    /// The row that is most like a text of elsewhere, if one is nearly the same.
    pub fn nearest(&mut self, text: &str) -> Option<(usize, f64)> {
        let (signature, own) = (signature(text, self.shingles)?, hashes(text, self.shingles));
        let candidates = self.candidates(&signature);
        let compared = candidates.into_iter().filter_map(|place| Some((self.entries[place].0, self.compare(place, &own)?)));
        compared.max_by(|(a_row, a), (b_row, b)| a.total_cmp(b).then(b_row.cmp(a_row)))
    }

    /// Places whose signature is near enough, the nearest first.
    fn candidates(&mut self, signature: &Signature) -> Vec<usize> {
        let mut found: Vec<u32> = Vec::new();
        let mut crowded = false;
        for (bucket, key) in self.buckets.iter().zip(keys(signature, self.band)) {
            if let Some((places, more)) = bucket.get(&key) {
                found.extend(places);
                crowded |= more;
            }
        }
        found.sort_unstable();
        found.dedup();
        self.comparisons += found.len();
        // Four standard deviations of the estimate below the threshold.
        let least = self.threshold - 4.0 * (self.threshold * (1.0 - self.threshold) / HASHES as f64).sqrt();
        let estimate = |place: u32| (f64::from(jaccard(&self.entries[place as usize].2, signature)), place as usize);
        let mut near: Vec<(f64, usize)> = found.into_iter().map(estimate).filter(|(estimate, _)| *estimate >= least).collect();
        near.sort_by(|(a, a_place), (b, b_place)| b.total_cmp(a).then(a_place.cmp(b_place)));
        self.crowded += usize::from(crowded && !near.is_empty() || near.len() > COMPARED);
        near.into_iter().take(COMPARED).map(|(_, place)| place).collect()
    }

    /// The share of common shingles with the entry at a place, if it reaches the threshold.
    fn compare(&mut self, place: usize, own: &[u64]) -> Option<f64> {
        self.comparisons += 1;
        let similarity = common(own, &hashes(&self.entries[place].1, self.shingles));
        (similarity >= self.threshold).then_some(similarity)
    }

    fn insert(&mut self, row: usize, text: String, signature: Signature) {
        let place = self.entries.len() as u32;
        for (bucket, key) in self.buckets.iter_mut().zip(keys(&signature, self.band)) {
            let (places, more) = bucket.entry(key).or_default();
            if places.len() < BUCKET { places.push(place) } else { *more = true }
        }
        self.entries.push((row, text, signature));
    }
}

/// The most hashes a band that still find all but [`MISSED`] of the pairs at the threshold: with `r` hashes a band, `1 − tʳ` is
/// the chance that a band differs.
fn band(threshold: f64) -> usize {
    let missed = |hashes: usize| (1.0 - threshold.powi(hashes as i32)).powi((HASHES / hashes) as i32);
    (1..=32).rev().find(|&hashes| missed(hashes) <= MISSED).unwrap_or(1)
}

fn keys(signature: &Signature, band: usize) -> impl Iterator<Item = u64> {
    signature.hashes.chunks_exact(band).map(|band| {
        let mut hasher = DefaultHasher::new();
        band.hash(&mut hasher);
        hasher.finish()
    })
}

/// None for a text without shingles.
fn signature(text: &str, shingles: Shingles) -> Option<Signature> {
    // The text is folded already.
    let as_is = CanonicalizerBuilder {
        normalization: Normalization::None,
        case_fold: CaseFold::None,
        strip_bidi: false,
        strip_format: false,
        ..Default::default()
    };
    MinHashFingerprinter::<_, HASHES>::new(as_is.build(), shingles).fingerprint(text).ok()
}

/// The distinct shingles of a text, as sorted hashes.
fn hashes(text: &str, shingles: Shingles) -> Vec<u64> {
    let mut hashes = Vec::new();
    shingles.for_each_token(text, &mut |shingle| {
        let mut hasher = DefaultHasher::new();
        shingle.hash(&mut hasher);
        hashes.push(hasher.finish());
    });
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Jaccard's index of two sorted lists: what both have, as a share of what either has.
fn common(a: &[u64], b: &[u64]) -> f64 {
    let (mut left, mut right, mut both) = (0, 0, 0);
    while left < a.len() && right < b.len() {
        match a[left].cmp(&b[right]) {
            std::cmp::Ordering::Less => left += 1,
            std::cmp::Ordering::Greater => right += 1,
            std::cmp::Ordering::Equal => (left, right, both) = (left + 1, right + 1, both + 1),
        }
    }
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}

impl Tokenizer for Shingles {
    fn tokens<'a>(&'a self, input: &'a str) -> TokenStream<'a> {
        let mut all = Vec::new();
        self.for_each_token(input, &mut |shingle| all.push(shingle.to_string()));
        TokenStream::Owned(Box::new(all.into_iter()))
    }

    fn name(&self) -> Cow<'static, str> {
        Cow::Owned(format!("{self:?}"))
    }

    fn for_each_token(&self, input: &str, take: &mut dyn FnMut(&str)) {
        match *self {
            Self::Words(size) => ShingleTokenizer { k: size, inner: WordTokenizer }.for_each_token(input, take),
            Self::Characters(size) => {
                let starts: Vec<usize> = input.char_indices().map(|(start, _)| start).chain([input.len()]).collect();
                match starts.len() - 1 {
                    0 => {}
                    characters if characters < size => take(input),
                    characters => (0..=characters - size).for_each(|first| take(&input[starts[first]..starts[first + size]])),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shingles_are_counted_by_hand() {
        let of = |text: &str, shingles: Shingles| {
            let mut all = Vec::new();
            shingles.for_each_token(text, &mut |shingle| all.push(shingle.to_string()));
            all
        };
        assert_eq!(of("añbc", Shingles::Characters(3)), ["añb", "ñbc"]);
        assert_eq!((of("ab", Shingles::Characters(3)), of("", Shingles::Characters(3))), (vec!["ab".to_string()], vec![]));
        assert_eq!(of("a b c", Shingles::Words(2)), ["a b", "b c"]);
        // {abc, bcd, cde} and {bcd, cde, def}: two of four.
        let pair = ["abcde", "bcdef"].map(|text| hashes(text, Shingles::Characters(3)));
        assert_eq!(common(&pair[0], &pair[1]), 0.5);
    }

    #[test]
    fn bands_miss_less_than_one_in_a_hundred() {
        assert_eq!((band(0.8), band(0.5), band(1.0)), (6, 3, 32));
    }
}
