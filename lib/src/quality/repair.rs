//! A report → a mended copy of its rows, with a list of what changed; the rows themselves stay as they are.

use std::collections::HashSet;

use serde_json::Value;

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::display::output::{Html, Show, last_expression, preview};
use crate::quality::encoding::mend;
use crate::quality::near::Near;
use crate::quality::report::QualityReport;
use crate::quality::rows::{NAMES, Row, Rows};
use crate::quality::sensitive::mask_sensitive;

/// What is mended. The default does what loses nothing: texts are mended, and empty, one-sided and repeated rows left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RepairOptions {
    /// Leave out all but the first of rows that are nearly the same. Default false.
    pub drop_near_duplicates: bool,
    /// Write `[EMAIL]`, `[SECRET]` and their like in place of secrets and personal data. Default false.
    pub mask_sensitive_data: bool,
}

impl RepairOptions {
    /// Leaves out near duplicates, too.
    pub fn with_near_duplicates_dropped(self) -> Self {
        Self { drop_near_duplicates: true, ..self }
    }

    /// Masks secrets and personal data, too.
    pub fn with_sensitive_data_masked(self) -> Self {
        Self { mask_sensitive_data: true, ..self }
    }
}

/// One thing that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The row of the data set before, counted from 0.
    pub row: usize,
    /// What was done.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A mended copy.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Repaired {
    /// The rows that are left, in order.
    pub data: Dataset,
    /// What changed, by rows.
    pub changes: Vec<Change>,
}

/// A row to leave out: its place, why, and the place of the row that it is like.
type Out = (usize, &'static str, Option<usize>);

impl QualityReport {
    /// The rows for training, mended as far as it is safe, and what changed. To mend a test, make a report of it alone.
    pub fn repair(&self) -> Repaired {
        self.repair_with(RepairOptions::default())
    }

    /// [`QualityReport::repair`] that also does what the options ask for.
    pub fn repair_with(&self, repair: RepairOptions) -> Repaired {
        let mut changes = Vec::new();
        // (its number before, the row).
        let mut rows: Vec<(usize, Example)> = Vec::with_capacity(self.data.len());
        for (row, example) in self.data.iter().enumerate() {
            let mut done: Vec<(String, &str)> = Vec::new();
            let fields = example.fields().iter().map(|(name, value)| {
                let mut value = value.clone();
                mend_value(name, &mut value, repair.mask_sensitive_data, &mut done);
                (name.clone(), value)
            });
            rows.push((row, Example::new(fields.collect::<Vec<_>>())));
            changes.extend(done.into_iter().map(|(field, why)| Change { row, what: format!("`{field}` was mended"), why: why.into() }));
        }
        self.leave_out(&mut rows, &mut changes, gaps);
        self.leave_out(&mut rows, &mut changes, repeats);
        // Again until none is left: without crowds the search sees more.
        while repair.drop_near_duplicates && self.leave_out(&mut rows, &mut changes, |rows| self.near_repeats(rows)) {}
        changes.sort_by_key(|change| change.row);
        Repaired { data: Dataset::from_examples(rows.into_iter().map(|(_, row)| row).collect()), changes }
    }

    /// Leaves out what is chosen; false when that is nothing.
    fn leave_out(&self, rows: &mut Vec<(usize, Example)>, changes: &mut Vec<Change>, choose: impl Fn(&Rows) -> Vec<Out>) -> bool {
        let data = Dataset::from_examples(rows.iter().map(|(_, row)| row.clone()).collect());
        let out = choose(&Rows::new(&data, &self.options));
        for (place, why, like) in &out {
            let like = like.map_or(String::new(), |like| format!(" row {}", rows[like].0));
            changes.push(Change { row: rows[*place].0, what: "left out".into(), why: format!("{why}{like}") });
        }
        let places: HashSet<usize> = out.into_iter().map(|(place, ..)| place).collect();
        let mut place = 0..;
        rows.retain(|_| !place.next().is_some_and(|place| places.contains(&place)));
        !places.is_empty()
    }

    fn near_repeats(&self, rows: &Rows) -> Vec<Out> {
        let mut near = Near::new(&rows.rows, &self.options);
        let all = (0..rows.rows.len()).map(|row| (row, near.groups.first(row)));
        all.filter(|(row, first)| row != first).map(|(row, first)| (row, "nearly the same as", Some(first))).collect()
    }
}

fn gaps(rows: &Rows) -> Vec<Out> {
    let gap = |(place, row): (usize, &Row)| match (row.is_empty(), row.is_one_sided()) {
        (true, _) => Some((place, "it has no text", None)),
        (_, true) => Some((place, "one of its two sides has no text", None)),
        _ => None,
    };
    rows.rows.iter().enumerate().filter_map(gap).collect()
}

fn repeats(rows: &Rows) -> Vec<Out> {
    let later = |places: Vec<usize>| places[1..].iter().map(|&place| (place, "the same as", Some(places[0]))).collect::<Vec<_>>();
    rows.by(|row| &row.same).into_values().flat_map(later).collect()
}

/// Mends all texts of a value; what was done goes into `done`, with the field.
fn mend_value(place: &str, value: &mut Value, mask: bool, done: &mut Vec<(String, &'static str)>) {
    match value {
        Value::String(text) => {
            let (mut mended, what) = mend(text);
            done.extend(what.into_iter().map(|what| (place.to_string(), what)));
            if mask {
                let masked = mask_all(&mended);
                if masked != mended {
                    done.push((place.to_string(), "secrets and personal data are masked"));
                    mended = masked;
                }
            }
            *text = mended;
        }
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(index, item)| mend_value(&format!("{place}[{index}]"), item, mask, done));
        }
        Value::Object(fields) => {
            let said = fields.iter_mut().filter(|(name, _)| !NAMES.contains(&name.as_str()));
            said.for_each(|(name, value)| mend_value(&format!("{place}.{name}"), value, mask, done));
        }
        _ => {}
    }
}

/// Masks until nothing is left to mask: what a mask stands beside may be read anew.
fn mask_all(text: &str) -> String {
    let (mut before, mut masked) = (String::new(), mask_sensitive(text));
    while masked != before {
        before = std::mem::take(&mut masked);
        masked = mask_sensitive(&before);
    }
    masked
}

impl Repaired {
    fn table(&self) -> Html {
        let names = ["row", "what", "why"].map(String::from);
        let mut shown = preview(&names, self.changes.len(), |index| {
            let Change { row, what, why } = &self.changes[index];
            vec![row.to_string(), what.clone(), why.clone()]
        });
        let left = format!("{} changes, {} rows are left", self.changes.len(), self.data.len());
        shown.html.push_str(&format!("<p>{left}</p>"));
        shown.text.push_str(&format!("\n{left}"));
        shown
    }
}

impl Show for Repaired {
    fn text(&self) -> String {
        self.table().text
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        self.table().rich()
    }
}

last_expression!(Repaired);
