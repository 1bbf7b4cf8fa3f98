//! (model, arguments, rows) → a learning rate that suits them: a short run whose rate grows from step to step.
//!
//! The test of Smith 2015 ("Cyclical learning rates for training neural networks"), with the range, the smoothing, the end and
//! the choice ("valley") of fastai's `lr_find`.

use serde_json::Value;

use crate::display::output::{Show, last_expression};
use crate::display::picture::{BLUE, BOTTOM, CHART, DARK, GREY, LEFT, ORANGE, Picture, RIGHT, Shape, ValueAxis};
use crate::display::progress::tqdm;
use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::optim::schedule::Schedule;
use crate::tokenizer::encode::TokenizedDataset;
use crate::train::arguments::settings::TrainingArguments;
use crate::train::trainer::Trainer;

/// The smoothed loss keeps this part of its past (fastai's `beta`).
const KEPT: f64 = 0.98;
/// The test ends where the smoothed loss is this many times its best.
const DIVERGED: f64 = 4.0;
/// Last losses that say nothing: they are on their way up.
const LAST: usize = 5;

/// Rates to try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRateFinder {
    /// The first rate. Default 1e-7.
    pub start: f64,
    /// The rate that the step after the last would have. Default 10.
    pub end: f64,
    /// Steps from the first to the last. Default 100.
    pub num_steps: usize,
}

impl Default for LearningRateFinder {
    fn default() -> Self {
        Self { start: 1e-7, end: 10.0, num_steps: 100 }
    }
}

/// What the test saw.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LearningRates {
    /// The rate of each step that was taken.
    pub rates: Vec<f64>,
    /// The smoothed loss of each.
    pub losses: Vec<f64>,
    /// The rate to begin with, halfway down the longest fall; none where the loss never fell.
    pub suggestion: Option<f64>,
}

/// Finds a learning rate for a run of these arguments: a hundred steps on a copy of the model, each with a higher rate. The model
/// stays as it is, and nothing is written.
///
/// # Errors
/// When the run could not start ([`Trainer::new`]), memory does not suffice for the copy, or after an interrupt.
pub fn find_learning_rate(model: &CausalLm, arguments: &TrainingArguments, train_dataset: &TokenizedDataset) -> Result<LearningRates> {
    LearningRateFinder::default().find(model, arguments, train_dataset)
}

impl LearningRateFinder {
    /// [`find_learning_rate`] with a range and a number of steps of your own.
    ///
    /// # Errors
    /// As that; and when the range is none or has fewer than ten steps.
    pub fn find(&self, model: &CausalLm, arguments: &TrainingArguments, train_dataset: &TokenizedDataset) -> Result<LearningRates> {
        let &Self { start, end, num_steps } = self;
        if !(start > 0.0 && start < end && end.is_finite() && num_steps >= 10) {
            let message = format!("rates from {start} to {end} in {num_steps} steps are no range to try");
            return Err(Error::new(ErrorKind::Training, message)
                .hint("give a start above 0, an end above it, and 10 steps or more: LearningRateFinder::default()"));
        }
        let constant = Schedule::Constant;
        let alone =
            TrainingArguments { learning_rate: start, lr_scheduler_type: constant, max_steps: num_steps as i64, ..arguments.alone() };
        let mut trainer = Trainer::new(&model.deep_clone()?, alone, train_dataset.clone(), TokenizedDataset::default())?;
        let (mut found, mut smooth, mut best) = (LearningRates { rates: Vec::new(), losses: Vec::new(), suggestion: None }, 0.0, f64::MAX);
        for step in tqdm(0..num_steps) {
            let rate = start * (end / start).powf(step as f64 / num_steps as f64);
            trainer.parts().0.arguments.learning_rate = rate;
            let loss = match trainer.step() {
                Ok(report) => report.loss,
                // The weights have left the numbers: there is nothing above this rate.
                Err(error) if error.kind() == ErrorKind::Training && step > 0 => break,
                Err(error) => return Err(error),
            };
            smooth = KEPT * smooth + (1.0 - KEPT) * loss;
            let mean = smooth / (1.0 - KEPT.powi(step as i32 + 1));
            found.rates.push(rate);
            found.losses.push(mean);
            best = best.min(mean);
            if mean > DIVERGED * best {
                break;
            }
        }
        let end = found.losses.len().saturating_sub(LAST);
        let first = (num_steps / 10).min(end);
        found.suggestion = valley(&found.rates[first..end], &found.losses[first..end]);
        Ok(found)
    }
}

/// The rate halfway down the longest run of falling losses, others may stand between them; none where there is no fall.
fn valley(rates: &[f64], losses: &[f64]) -> Option<f64> {
    let mut falls = vec![1; losses.len()];
    let (mut before_first, mut last) = (0, 0);
    for end in 1..losses.len() {
        for before in 0..end {
            if losses[end] < losses[before] && falls[end] < falls[before] + 1 {
                falls[end] = falls[before] + 1;
            }
            if falls[last] < falls[end] {
                last = end;
                before_first = last as i64 - falls[last];
            }
        }
    }
    let third = (last as i64 - before_first) as f64 / 3.0;
    let place = (before_first + third as i64 + (third / 2.0) as i64).max(0) as usize;
    (last > 0).then(|| rates[place])
}

/// Below the line of words.
const TOP: f64 = 42.0;

impl LearningRates {
    /// What it found, in a line.
    fn headline(&self) -> String {
        let (Some(first), Some(last)) = (self.rates.first(), self.rates.last()) else { return "no rate was tried".into() };
        let tried = format!("{} rates from {first:.0e} to {last:.0e}", self.rates.len());
        match self.suggestion {
            Some(rate) => format!("learning rate {rate:.1e} ({tried})"),
            None => format!("the loss fell at none of {tried}"),
        }
    }

    /// The smoothed loss over the rates, which stand in powers of ten.
    pub fn svg(&self) -> String {
        self.picture().svg()
    }

    fn picture(&self) -> Picture {
        let mut shapes = vec![Shape::words(16.0, 22.0, 0.0, self.headline(), DARK)];
        if let (Some(&first), Some(&last), true) = (self.rates.first(), self.rates.last(), self.rates.len() > 1) {
            let best = self.losses.iter().copied().fold(f64::MAX, f64::min);
            // What has diverged would press the rest flat.
            let top = self.losses.iter().copied().filter(|loss| *loss < 2.0 * best).fold(best, f64::max).max(best + 1e-6);
            let axis = ValueAxis::new(best, top, TOP);
            let x = |rate: f64| LEFT + (RIGHT - LEFT) * (rate / first).ln() / (last / first).ln();
            let y = |loss: f64| axis.y(loss).clamp(TOP, BOTTOM);
            shapes.extend(axis.shapes());
            for power in first.log10().ceil() as i32..=last.log10().floor() as i32 {
                shapes.push(Shape::words(x(10f64.powi(power)), BOTTOM + 16.0, 0.5, format!("1e{power}"), GREY));
            }
            let points = self.rates.iter().zip(&self.losses).map(|(&rate, &loss)| (x(rate), y(loss))).collect();
            shapes.push(Shape::Line { points, colour: ORANGE, width: 2.0 });
            if let Some(rate) = self.suggestion {
                shapes.push(Shape::Line { points: vec![(x(rate), TOP), (x(rate), BOTTOM)], colour: BLUE, width: 1.0 });
                shapes.push(Shape::words(x(rate) + 4.0, TOP + 10.0, 0.0, format!("{rate:.1e}"), BLUE));
            }
            shapes.push(Shape::words(LEFT, BOTTOM + 32.0, 0.0, "smoothed loss", ORANGE));
            shapes.push(Shape::words(RIGHT, BOTTOM + 32.0, 1.0, "learning rate", GREY));
        }
        Picture { label: self.headline(), size: CHART, shapes }
    }
}

impl Show for LearningRates {
    fn text(&self) -> String {
        self.headline()
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        self.picture().forms()
    }
}

last_expression!(LearningRates);

#[cfg(test)]
mod tests {
    use super::*;

    /// The choices are those of fastai 2.8's `valley` on the same numbers.
    #[test]
    fn the_choice_is_halfway_down_the_longest_fall() {
        let rates: Vec<f64> = (0..12).map(f64::from).collect();
        assert_eq!(valley(&rates, &[5.0, 5.1, 5.0, 4.8, 4.5, 4.0, 3.2, 3.0, 3.1, 3.6, 6.0, 9.0]), Some(3.0));
        assert_eq!(valley(&rates, &[5.0, 5.1, 5.2, 4.8, 4.5, 4.6, 4.55, 4.0, 3.2, 3.0, 3.1, 3.6]), Some(5.0));
        assert_eq!(valley(&rates[..4], &[4.0, 3.0, 2.0, 1.0]), Some(0.0));
        assert_eq!(valley(&rates[..3], &[1.0, 2.0, 3.0]), None);
        assert_eq!((valley(&[], &[]), valley(&[1.0], &[1.0])), (None, None));
    }

    #[test]
    fn the_picture_says_what_was_found() {
        let rates: Vec<f64> = (0..50).map(|step| 1e-7 * 1.4f64.powi(step)).collect();
        let losses = (0..50).map(|step| if step < 40 { 4.0 - 0.05 * f64::from(step) } else { 9.0 }).collect();
        let found = LearningRates { rates, losses, suggestion: Some(1e-3) };
        assert!(found.text().starts_with("learning rate 1.0e-3 (50 rates from 1e-7 to "), "{}", found.text());
        let svg = found.svg();
        assert!(["1e-7", "1e-4", "smoothed loss", "1.0e-3"].iter().all(|part| svg.contains(part)), "{svg}");
        let none = LearningRates { rates: vec![], losses: vec![], suggestion: None };
        assert!(none.svg().contains("no rate was tried"));
    }
}
