//! The exercises of lesson 5, training: how many steps, a rate that works, one step from several rows.

use crate::course::exercises::answer::Given;
use crate::course::exercises::exercise::{Exercise, Found, called, is_near, unless};
use crate::train::arguments::settings::TrainingArguments;

/// Steps of a run; a curve that falls; a mean over tokens.
pub const EXERCISES: [Exercise; 3] = [
    Exercise {
        number: "5.1",
        hints: [
            "round up",
            "the last rows of an epoch are a step too, however few they are: `rows.div_ceil(rows_per_step)`, then the epochs",
        ],
        look: steps,
    },
    Exercise {
        number: "5.2",
        hints: [
            "÷ 10",
            "a loss that rises or is no number has too large a rate, one that stays too small a rate; load the model again before each try, and divide by ten until it falls",
        ],
        look: rate,
    },
    Exercise {
        number: "5.3",
        hints: [
            "mean over tokens, not rows",
            "a row's loss is a mean over its own tokens: make it a sum again, add all sums, and divide by all tokens",
        ],
        look: accumulate,
    },
];

fn steps(given: Given) -> Found {
    let function = given.counted()?;
    for (rows, rows_per_step, epochs) in [(96, 8, 1), (94, 8, 5), (10, 4, 1), (3, 16, 2), (1546, 4, 3)] {
        let arguments =
            TrainingArguments { per_device_train_batch_size: rows_per_step, num_train_epochs: epochs as f64, ..Default::default() };
        let right = arguments.total_steps(rows);
        let steps = called(|| function(rows, rows_per_step, epochs))?;
        let what = if rows % rows_per_step == 0 { "where the rows fill each step" } else { "where some rows are left over" };
        unless(steps == right, format!("{what}, the trainer takes another number of steps"))?;
    }
    Ok(None)
}

fn rate(given: Given) -> Found {
    let losses = given.numbers()?;
    unless(losses.len() >= 8, format!("the run has {} steps; with fewer than 8 a curve says nothing", losses.len()))?;
    unless(losses.iter().all(|loss| loss.is_finite()), "the loss is no number any more: the run has diverged")?;
    let part = losses.len() / 4;
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (start, end) = (mean(&losses[..part]), mean(&losses[losses.len() - part..]));
    unless(end < start, format!("the loss ends at {end:.2} and began at {start:.2}: it has to fall"))?;
    unless(end < 0.95 * start, format!("the loss goes from {start:.2} to {end:.2}, which is hardly a fall"))?;
    Ok(Some(start - end))
}

fn accumulate(given: Given) -> Found {
    let function = given.averaged()?;
    let batches: [(&str, &[(f64, usize)]); 4] = [
        ("rows of equal length", &[(1.0, 8), (2.0, 8), (3.0, 8), (6.0, 8)]),
        ("rows of different length", &[(1.0, 90), (4.0, 10), (2.0, 50), (0.5, 2)]),
        ("one row", &[(2.5, 7)]),
        ("a row without a token to learn", &[(0.0, 0), (3.0, 5), (1.0, 15), (2.0, 20)]),
    ];
    for (what, rows) in batches {
        let tokens: usize = rows.iter().map(|(_, tokens)| tokens).sum();
        let right = rows.iter().map(|(loss, tokens)| loss * *tokens as f64).sum::<f64>() / tokens as f64;
        let loss = called(|| function(rows))?;
        unless(is_near(loss, right), format!("for a hidden step of {what} it is not the loss that the trainer has"))?;
    }
    Ok(None)
}
