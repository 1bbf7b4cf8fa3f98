//! The exercises of lesson 7, considerations: how large an adapter is, what fits a laptop, which tasks only read.

use crate::course::exercises::answer::Given;
use crate::course::exercises::exercise::{Exercise, Found, called, is_hashed, unless, words};

/// Parameters of an adapter; a model for 16 GB; tasks that read.
pub const EXERCISES: [Exercise; 3] = [
    Exercise {
        number: "7.1",
        hints: ["B and A", "A has rank × inputs numbers, B has outputs × rank; the matrix that they stand beside counts for nothing"],
        look: adapter,
    },
    Exercise {
        number: "7.2",
        hints: [
            "16 bytes",
            "a weight, its gradient and two numbers of AdamW are 16 bytes a parameter: how often do they fit into 16 GB? Answer in parameters",
        ],
        look: laptop,
    },
    Exercise {
        number: "7.3",
        hints: [
            "shorter out than in",
            "reading is done when a few words come out of many; who writes more than was given has to invent it",
        ],
        look: readers,
    },
];

fn adapter(given: Given) -> Found {
    let function = given.counted()?;
    for (inputs, outputs, rank) in [(576, 576, 16), (576, 1536, 16), (1536, 576, 8), (4096, 4096, 1)] {
        let what = if inputs == outputs { "a square matrix" } else { "a matrix with other outputs than inputs" };
        let count = called(|| function(inputs, outputs, rank))?;
        unless(count == rank * (inputs + outputs), format!("for {what} of hidden sizes the adapter has another number of parameters"))?;
    }
    Ok(None)
}

fn laptop(given: Given) -> Found {
    let parameters = given.number()?;
    unless(parameters.is_finite() && parameters > 0.0, "it is no number of parameters")?;
    unless(parameters >= 1e6, "that is less than a million: the answer is in parameters, not in billions of them")?;
    unless(parameters <= 1.08e9, "its weights, gradients and optimizer do not fit into 16 GB")?;
    unless(parameters >= 0.8e9, "it fits, but a larger one does too")?;
    Ok(None)
}

fn readers(given: Given) -> Found {
    let mut words = words(given)?;
    words.sort();
    words.dedup();
    let tasks = ["code", "e-mail", "keywords", "routing", "story", "topic"];
    if let Some(word) = words.iter().find(|word| !tasks.contains(&word.as_str())) {
        return Err(format!("`{word}` is none of the tasks: {}", tasks.join(", ")));
    }
    unless(
        is_hashed("7.3", &words.join(" "), "8445ec7a8b27f58a88a08e00af14da2dbe806c9fd292d657dcc2c25fe2947ea0"),
        "one task at least reads and is missing, or writes and is there",
    )?;
    Ok(None)
}
