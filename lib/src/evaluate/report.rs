//! Questions, predictions and targets → the table of an evaluation and its scores, and what so few rows cannot say.

#[cfg(feature = "data-frames")]
use polars::prelude::{Column, DataFrame};

#[cfg(feature = "data-frames")]
use crate::error::Result;
use crate::evaluate::metrics::wilson_interval;

/// One question with the model's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerRow {
    /// The question.
    pub question: String,
    /// What the model said; empty when it failed.
    pub predicted_answer: String,
    /// What the data set says.
    pub target_answer: String,
    /// Whether they are equal ([`is_exact_match`](crate::evaluate::metrics::is_exact_match)).
    pub exact_match: bool,
    /// [`token_f1`](crate::evaluate::metrics::token_f1) of the two.
    pub f1: f64,
    /// Why the model gave no answer, if it failed.
    pub error: Option<String>,
}

/// All answers of an evaluation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnswerReport {
    /// One row a question.
    pub rows: Vec<AnswerRow>,
}

impl AnswerReport {
    /// Number of exact matches.
    pub fn exact_matches(&self) -> usize {
        self.rows.iter().filter(|row| row.exact_match).count()
    }

    /// Exact matches as a part of all rows, from 0 to 1.
    pub fn exact_match_rate(&self) -> f64 {
        self.exact_matches() as f64 / self.rows.len().max(1) as f64
    }

    /// The 95 % interval of the exact matches' rate (Wilson), from 0 to 1: where the rate over very many rows would lie.
    pub fn exact_match_interval(&self) -> (f64, f64) {
        wilson_interval(self.exact_matches(), self.rows.len())
    }

    /// What so small a test cannot say; none from 100 rows on.
    pub fn caution(&self) -> Option<String> {
        let rows = self.rows.len();
        if rows == 0 || rows >= 100 {
            return None;
        }
        let percent = |share: f64| format!("{:.0}", 100.0 * share);
        let steps: Vec<String> = (0..=rows).map(|hits| percent(hits as f64 / rows as f64)).collect();
        let can = match steps.split_last() {
            Some((last, rest)) if rows <= 5 => format!("a result can only be {} or {last} %", rest.join(", ")),
            _ => format!("one row is {} %", percent(1.0 / rows as f64)),
        };
        let (low, high) = self.exact_match_interval();
        let counted = if rows == 1 { "1 row".into() } else { format!("{rows} rows") };
        Some(format!("{counted}: {can}; on very many rows it would lie between {} and {} % (95 % interval)", percent(low), percent(high)))
    }

    /// Mean of [`token_f1`](crate::evaluate::metrics::token_f1).
    pub fn mean_f1(&self) -> f64 {
        self.rows.iter().map(|row| row.f1).sum::<f64>() / self.rows.len().max(1) as f64
    }

    /// Rows that gave an error.
    pub fn failures(&self) -> usize {
        self.rows.iter().filter(|row| row.error.is_some()).count()
    }

    /// The answers as a polars table.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] when polars refuses a column.
    #[cfg(feature = "data-frames")]
    pub fn to_frame(&self) -> Result<DataFrame> {
        let text = |name: &str, value: fn(&AnswerRow) -> &str| Column::new(name.into(), self.rows.iter().map(value).collect::<Vec<_>>());
        let columns = vec![
            text("question", |row| &row.question),
            text("predicted_answer", |row| &row.predicted_answer),
            text("target_answer", |row| &row.target_answer),
            Column::new("exact_match".into(), self.rows.iter().map(|row| row.exact_match).collect::<Vec<_>>()),
            Column::new("f1".into(), self.rows.iter().map(|row| row.f1).collect::<Vec<_>>()),
        ];
        Ok(DataFrame::new(self.rows.len(), columns)?)
    }
}

impl std::fmt::Display for AnswerReport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} questions: {} exact matches ({:.1} %), mean token F1 {:.2}",
            self.rows.len(),
            self.exact_matches(),
            100.0 * self.exact_match_rate(),
            self.mean_f1()
        )?;
        if self.failures() > 0 {
            write!(formatter, ", {} failed", self.failures())?;
        }
        Ok(())
    }
}
