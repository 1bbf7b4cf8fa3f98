//! Several data sets → one: behind each other, or taking turns, as Python's `datasets` combines them.

use std::collections::HashMap;

use crate::data::dataset::Dataset;
use crate::data::example::{Example, kind_of};
use crate::error::{Error, ErrorKind, Result};
use crate::util::interrupt;
use crate::util::rng::Pcg64;

/// When taking turns ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StoppingStrategy {
    /// As soon as one data set has given its last row: no row comes twice.
    #[default]
    FirstExhausted,
    /// As soon as every data set has given its last row; those that end before begin again.
    AllExhausted,
    /// As soon as every data set has given its last row; those that end before fall silent: every row comes once.
    AllExhaustedWithoutReplacement,
}

/// All rows of the data sets, one behind the other: `concatenate_datasets([&one, &other])`.
///
/// # Errors
/// [`ErrorKind::Data`] when there is no data set, or a column is of one type in one and of another in the next.
pub fn concatenate_datasets<'a>(datasets: impl IntoIterator<Item = &'a Dataset>) -> Result<Dataset> {
    let datasets = some(datasets)?;
    check_types(&datasets)?;
    Ok(Dataset::from_examples(datasets.into_iter().flatten().cloned().collect()))
}

/// Rows of the data sets in turn. Without `probabilities` they take turns in order; with them each row's data set is drawn
/// by chance, as NumPy's `default_rng(seed).choice` draws. The same rows as `datasets.interleave_datasets` for the same seed.
///
/// # Errors
/// [`ErrorKind::Data`] when there is no data set, one of them has no rows and may be drawn, a column is of several types, the
/// probabilities are not one for each data set, below 0 or do not add up to 1, or the end would never come: a data set that
/// has to be used up is never drawn.
pub fn interleave_datasets<'a>(
    datasets: impl IntoIterator<Item = &'a Dataset>,
    probabilities: Option<&[f64]>,
    seed: u64,
    stopping_strategy: StoppingStrategy,
) -> Result<Dataset> {
    let datasets = some(datasets)?;
    let drawn = |index: usize| probabilities.is_none_or(|probabilities| probabilities[index] > 0.0);
    if let Some(probabilities) = probabilities {
        check_probabilities(probabilities, &datasets, stopping_strategy)?;
    }
    if let Some(index) = (0..datasets.len()).find(|&index| datasets[index].is_empty() && drawn(index)) {
        return Err(
            Error::new(ErrorKind::Data, format!("data set {index} (counted from 0) has no rows to take turns with")).hint("leave it out")
        );
    }
    check_types(&datasets)?;
    let lengths: Vec<usize> = datasets.iter().map(|data| data.len()).collect();
    let mut turns: Box<dyn FnMut() -> usize> = match probabilities {
        None => {
            let mut next = (0..lengths.len()).cycle();
            Box::new(move || next.next().unwrap_or_default())
        }
        Some(probabilities) => {
            let mut random = Pcg64::new(seed);
            let ends = cumulative(probabilities);
            Box::new(move || {
                let place = random.next_f64();
                ends.partition_point(|&end| end <= place)
            })
        }
    };
    let in_order = probabilities.is_none();
    let (mut used, mut rows) = (vec![0; lengths.len()], Vec::new());
    loop {
        let done = |index: usize| used[index] >= lengths[index];
        let end = match stopping_strategy {
            // In turn, a round is finished: all data sets have given the same number of rows.
            StoppingStrategy::FirstExhausted if in_order => rows.len() % lengths.len() == 0 && (0..lengths.len()).any(done),
            StoppingStrategy::AllExhausted if in_order => rows.len() % lengths.len() == 0 && (0..lengths.len()).all(done),
            StoppingStrategy::FirstExhausted => (0..lengths.len()).any(|index| drawn(index) && done(index)),
            _ => (0..lengths.len()).all(done),
        };
        if end {
            break;
        }
        let source = turns();
        if used[source] >= lengths[source] && stopping_strategy == StoppingStrategy::AllExhaustedWithoutReplacement {
            continue;
        }
        rows.push(datasets[source].get(used[source] % lengths[source])?.clone());
        used[source] += 1;
        if rows.len() % 100_000 == 0 {
            interrupt::check("while rows took turns")?;
        }
    }
    Ok(Dataset::from_examples(rows))
}

fn some<'a>(datasets: impl IntoIterator<Item = &'a Dataset>) -> Result<Vec<&'a Dataset>> {
    let datasets: Vec<&Dataset> = datasets.into_iter().collect();
    match datasets.is_empty() {
        false => Ok(datasets),
        true => Err(Error::new(ErrorKind::Data, "there is no data set to combine").hint("give at least one: `[&one, &other]`")),
    }
}

/// The sums of the probabilities up to each, the last one 1, as NumPy's `choice` has them.
fn cumulative(probabilities: &[f64]) -> Vec<f64> {
    let sums = probabilities.iter().scan(0.0, |sum, probability| {
        *sum += probability;
        Some(*sum)
    });
    let sums: Vec<f64> = sums.collect();
    let whole = sums.last().copied().unwrap_or(1.0);
    sums.into_iter().map(|sum| sum / whole).collect()
}

fn check_probabilities(probabilities: &[f64], datasets: &[&Dataset], stopping: StoppingStrategy) -> Result<()> {
    let refuse = |what: String, hint: &str| Err(Error::new(ErrorKind::Data, what).hint(hint));
    if probabilities.len() != datasets.len() {
        let what = format!("{} probabilities for {} data sets", probabilities.len(), datasets.len());
        return refuse(what, "give one for each data set, in order");
    }
    let sum: f64 = probabilities.iter().sum();
    if probabilities.iter().any(|probability| !(0.0..=1.0).contains(probability)) || (sum - 1.0).abs() > f64::EPSILON.sqrt() {
        return refuse(
            format!("the probabilities {probabilities:?} add up to {sum}"),
            "give numbers from 0 to 1 that add up to 1, such as [0.7, 0.3]",
        );
    }
    if stopping == StoppingStrategy::FirstExhausted {
        return Ok(());
    }
    if let Some(never) = probabilities.iter().position(|&probability| probability == 0.0) {
        return refuse(
            format!("data set {never} (counted from 0) has to be used up and has probability 0"),
            "leave it out, or stop with StoppingStrategy::FirstExhausted",
        );
    }
    let draws = datasets.iter().zip(probabilities).map(|(data, probability)| data.len() as f64 / probability).fold(0.0, f64::max);
    match draws > MOST_DRAWS {
        true => refuse(
            format!("about {draws:.0} rows would have to be drawn until every data set is used up"),
            "raise the smallest probability",
        ),
        false => Ok(()),
    }
}

/// More draws than this are refused: they would take minutes and more memory than there is.
const MOST_DRAWS: f64 = 1e9;

/// Refuses a column that is of one type in one data set and of another in another.
fn check_types(datasets: &[&Dataset]) -> Result<()> {
    let mut known: HashMap<&str, (&'static str, usize)> = HashMap::new();
    for (index, data) in datasets.iter().enumerate() {
        for (name, value) in data.iter().flat_map(Example::fields).filter(|(_, value)| !value.is_null()) {
            let (kind, before) = *known.entry(name).or_insert((kind_of(value), index));
            if before != index && kind != kind_of(value) {
                let message = format!("column `{name}` is {kind} in data set {before} and {} in data set {index}", kind_of(value));
                return Err(Error::new(ErrorKind::Data, message).hint("make one type of it first (`map`), or rename one of the two"));
            }
        }
    }
    Ok(())
}
