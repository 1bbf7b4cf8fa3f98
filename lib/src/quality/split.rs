//! Rows → (train, test) without leaks: rows that belong together stand on one side.

use crate::data::dataset::{Dataset, check_test_size};
use crate::error::{Error, ErrorKind, Result};
use crate::quality::answers::answers_are_labels;
use crate::quality::near::Near;
use crate::quality::options::QualityOptions;
use crate::quality::rows::Rows;
use crate::util::notice;
use crate::util::rng::permutation;

impl Dataset {
    /// (train, test): no row of the test has its question, its answer, or a nearly equal row in training. Answers that are
    /// labels may stand on both sides. Of the groups, shuffled by `seed`, those go into the test that fit into `test_size` of the
    /// rows; a group that is larger stays in training, which is said aloud. [`Dataset::train_test_split`] splits as the course does.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when one side would have no row.
    pub fn split_by_group(&self, test_size: f64, seed: u64) -> Result<(Self, Self)> {
        self.split_by_group_with(test_size, seed, &QualityOptions::default())
    }

    /// [`Dataset::split_by_group`] with other columns, or another measure of what is nearly the same.
    ///
    /// # Errors
    /// As [`Dataset::split_by_group`]; when an option cannot work.
    pub fn split_by_group_with(&self, test_size: f64, seed: u64, options: &QualityOptions) -> Result<(Self, Self)> {
        options.check()?;
        check_test_size(test_size, self.len())?;
        let groups = groups(&Rows::new(self, options), options);
        let wanted = (test_size * self.len() as f64).ceil() as usize;
        let (mut is_test, mut taken) = (vec![false; self.len()], 0);
        for place in permutation(groups.len(), seed) {
            let group = &groups[place];
            if taken + group.len() <= wanted {
                taken += group.len();
                group.iter().for_each(|&row| is_test[row] = true);
            }
        }
        let largest = groups.iter().map(Vec::len).max().unwrap_or(0);
        if taken == 0 {
            let message =
                format!("each of the {} groups has more than the {wanted} rows of the test; the largest has {largest}", groups.len());
            return Err(Error::new(ErrorKind::Data, message).hint("raise test_size, or near_threshold, or add rows about something else"));
        }
        if largest > wanted {
            notice::warn(format_args!(
                "split_by_group: a group of {largest} rows is larger than the test ({wanted}) and stays in training"
            ));
        }
        if 10 * (wanted - taken) > wanted {
            notice::warn(format_args!("split_by_group: the test has {taken} rows in place of {wanted}; no other group fits"));
        }
        let order = permutation(self.len(), seed);
        let side = |test: bool| order.iter().copied().filter(|&row| is_test[row] == test).collect::<Vec<_>>();
        Ok((self.select(&side(false))?, self.select(&side(true))?))
    }
}

/// Rows that belong together, by their first row.
fn groups(rows: &Rows, options: &QualityOptions) -> Vec<Vec<usize>> {
    let mut near = Near::new(&rows.rows, options).groups;
    let mut join = |places: &Vec<usize>| places[1..].iter().for_each(|&row| near.join(places[0], row));
    rows.by(|row| &row.folded_prompt).values().for_each(&mut join);
    if !answers_are_labels(rows) {
        rows.by(|row| &row.folded_answer).values().for_each(&mut join);
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); rows.rows.len()];
    (0..rows.rows.len()).for_each(|row| groups[near.first(row)].push(row));
    groups.retain(|group| !group.is_empty());
    groups
}
