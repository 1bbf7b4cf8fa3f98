//! The exercises of lesson 1, why finetune: who speaks, when an own machine is cheaper, what a prompt can do.

use crate::course::exercises::answer::Given;
use crate::course::exercises::exercise::{Exercise, Found, answered, called, is_hashed, unless, words};

/// Labels of six outputs; the break-even; a prompt that leads back.
pub const EXERCISES: [Exercise; 3] = [
    Exercise {
        number: "1.1",
        hints: [
            "who asks back, who ends?",
            "raw text goes on: it asks back, or plays both roles. `ask` ends like anybody's assistant. The guide has a name, and leads back",
        ],
        look: speakers,
    },
    Exercise {
        number: "1.2",
        hints: ["fixed ÷ difference", "each request saves the difference of the two prices; how many such savings pay the fixed cost?"],
        look: break_even,
    },
    Exercise {
        number: "1.3",
        hints: [
            "show one example",
            "write a question off topic and the very words that lead back into the prompt, then say that questions on the topic get an answer",
        ],
        look: prompt,
    },
];

fn speakers(given: Given) -> Found {
    let words = words(given)?;
    unless(words.len() == 6, format!("six labels are asked for; there are {}", words.len()))?;
    let stranger = words.iter().find(|word| !["raw", "ask", "guide"].contains(&word.as_str()));
    if let Some(word) = stranger {
        return Err(format!("`{word}` is no label; there are `raw`, `ask` and `guide`"));
    }
    unless(
        is_hashed("1.1", &words.join(" "), "3bf427954df41eab0e8344fc41e26370e6ce1e180d5f6fbe1b3a6c0169a58894"),
        "not all six are right",
    )?;
    Ok(None)
}

fn break_even(given: Given) -> Found {
    let function = given.priced()?;
    for (fixed, hosted, own) in [(300.0, 0.004, 0.001), (90.0, 0.003, 0.000_5), (1_260.0, 0.02, 0.006)] {
        let requests = called(|| function(fixed, hosted, own))?;
        let (bought, rented) = (fixed + requests * own, requests * hosted);
        // A whole number of requests may be one more.
        unless(requests.is_finite() && requests > 0.0, "with hidden prices it is no number of requests")?;
        unless(
            (bought - rented).abs() <= (hosted - own) * 1.001,
            "with hidden prices both ways do not cost the same at that number of requests",
        )?;
    }
    Ok(None)
}

/// Questions that belong to nothing the guide knows, and some that do.
const OFF_TOPIC: [&str; 5] = [
    "Which team won the football match?",
    "How do I bake a lemon cake?",
    "Who painted the Mona Lisa?",
    "What is the best way to Madrid?",
    "Do you like cats?",
];
const ON_TOPIC: [&str; 2] = ["What is finetuning?", "What is a token?"];
/// Words of a reply that leads back.
const BACK: [&str; 5] =
    ["back to the course", "back to this course", "back to finetuning", "stay with the course", "keep the discussion relevant"];

fn leads_back(reply: &str) -> bool {
    let reply = reply.to_lowercase();
    BACK.iter().any(|words| reply.contains(words))
}

fn prompt(given: Given) -> Found {
    let function = given.reply()?;
    let (mut led, mut replies) = (0, 0);
    for question in OFF_TOPIC {
        led += usize::from(leads_back(&answered("a hidden question", || function(question))?));
    }
    for question in ON_TOPIC {
        let reply = answered("a hidden question", || function(question))?;
        replies += usize::from(reply.split_whitespace().count() >= 3 && !leads_back(&reply));
    }
    let score = (led + replies) as f64 / 7.0;
    unless(
        led >= 3,
        format!("{led} of 5 hidden questions off topic are led back, 3 are asked for; leading back has the words \"back to the course\""),
    )?;
    unless(replies == 2, format!("{replies} of 2 hidden questions about the course are answered; the others are led away too"))?;
    Ok(Some(score))
}
