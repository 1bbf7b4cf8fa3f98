//! The exercises of lesson 3, instruction finetuning: a template for each row, a chat that is read as it was trained, a filter.

use crate::course::exercises::answer::Given;
use crate::course::exercises::exercise::{Exercise, Found, answered, called, unless};
use crate::data::example::Example;
use crate::data::template::PromptTemplate;

/// Templates by row; a chat that answers; generated rows worth keeping.
pub const EXERCISES: [Exercise; 3] = [
    Exercise {
        number: "3.1",
        hints: [
            "only blanks?",
            "`row.field(\"context\")?.trim().is_empty()` chooses between `PromptTemplate::instruction()` and `::instruction_with_input()`; both fill `instruction` and `input`, so a row with these names comes first",
        ],
        look: hydrate,
    },
    Exercise {
        number: "3.2",
        hints: [
            "what did training read?",
            "the model was trained on conversations inside of its chat template; raw text is none, and ends at once. Which call goes through the template?",
        ],
        look: chat,
    },
    Exercise {
        number: "3.3",
        hints: [
            "same words, or none",
            "a copy has all words in common with its original, a stranger none; `token_f1` says how many. What lies between is worth keeping",
        ],
        look: filter,
    },
];

fn hydrate(given: Given) -> Found {
    let function = given.hydrated()?;
    let rows = [
        ("with a context", "Name the capital.", "France", "Paris"),
        ("with an empty context", "Name a colour.", "", "Blue"),
        ("with a context of blanks", "Name a number.", " \t", "Seven"),
        ("with braces in its text", "Explain {x} in {{y}}.", "fn f() { {0} }", "A {place}."),
    ];
    for (what, task, context, reply) in rows {
        let named = Example::new([("instruction", task), ("input", context)]);
        let template = if context.trim().is_empty() { PromptTemplate::instruction() } else { PromptTemplate::instruction_with_input() };
        let right = template.format(&named).map_err(|error| error.to_string())?;
        let row = Example::new([("task", task), ("context", context), ("reply", reply)]);
        let made = answered(&format!("a hidden row {what}"), || function(&row))?;
        unless(made.get("input") == Some(&right), format!("of a hidden row {what}, `input` is not the text that the model shall read"))?;
        unless(made.get("output") == Some(reply), format!("of a hidden row {what}, `output` is not the reply of the row"))?;
    }
    Ok(None)
}

fn chat(given: Given) -> Found {
    let function = given.reply()?;
    for (question, needed) in [("What is the capital of France?", "paris"), ("Name one colour of the rainbow.", "")] {
        let reply = answered("a hidden question", || function(question))?;
        let says = reply.chars().filter(|letter| letter.is_alphabetic()).count() >= 3;
        unless(says, "to a hidden question the model still says next to nothing")?;
        unless(!reply.contains("<|"), "the reply holds marks of the template, which are no text")?;
        unless(reply.to_lowercase().contains(needed), "to a question about a capital the model says something else")?;
    }
    Ok(None)
}

/// An original, what a model made of it, and whether that is worth keeping.
const PAIRS: [(&str, &str, bool); 20] = [
    ("What is the capital of France?", "Name the capital city of France.", true),
    ("How do I save a model?", "Which call can save my model?", true),
    ("Write a poem about rain.", "Please write four lines about the rain.", true),
    ("What does a tokenizer do?", "Tell me what the tokenizer is there to do.", true),
    ("Give three tips for sleeping well.", "How can I sleep well? Three tips, please.", true),
    ("Translate the sentence into German.", "Say this sentence in German, please translate it.", true),
    ("Why is the sky blue?", "Explain why we see a blue sky.", true),
    ("Summarise the text in one line.", "Write one line that sums up the text.", true),
    ("How long does a training take?", "How many minutes will the training take?", true),
    ("Which file holds the weights?", "Where are the weights, in which file?", true),
    ("What is the capital of France?", "What is the capital of France?", false),
    ("How do I save a model?", "how do i save a model", false),
    ("Write a poem about rain.", "Write a poem, about rain!", false),
    ("Why is the sky blue?", "Why is the sky blue ?", false),
    ("Which file holds the weights?", "WHICH FILE HOLDS THE WEIGHTS?", false),
    ("What does a tokenizer do?", "My favourite fruit: apples.", false),
    ("Give three tips for sleeping well.", "The train leaves at noon.", false),
    ("Translate the sentence into German.", "Who won yesterday?", false),
    ("Summarise the text in one line.", "Cats purr because they can.", false),
    ("How long does a training take?", "Paint it red.", false),
];

fn filter(given: Given) -> Found {
    let function = given.kept()?;
    let (mut kept, mut good) = (0, 0);
    for (original, generated, fit) in PAIRS {
        let keeps = called(|| function(original, generated))?;
        kept += usize::from(keeps);
        good += usize::from(keeps && fit);
    }
    let all = PAIRS.iter().filter(|(.., fit)| *fit).count();
    unless(kept > 0, "of 20 hidden rows the filter keeps none")?;
    unless(
        good * 10 >= kept * 9,
        format!("of the hidden rows that the filter keeps, only {:.0} % are good; 90 are asked for", 100.0 * good as f64 / kept as f64),
    )?;
    unless(
        good * 10 >= all * 7,
        format!("the filter keeps only {:.0} % of the good rows; 70 are asked for", 100.0 * good as f64 / all as f64),
    )?;
    Ok(Some(good as f64 / all as f64))
}
