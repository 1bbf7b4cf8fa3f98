//! The exercises of lesson 2, where finetuning fits in: what training teaches first, columns to text, what a better reply is.

use crate::course::exercises::answer::Given;
use crate::course::exercises::exercise::{Exercise, Found, answered, called, is_hashed, unless, words};
use crate::data::example::Example;

/// Samples by step; rows of any columns; a better reply.
pub const EXERCISES: [Exercise; 3] = [
    Exercise {
        number: "2.1",
        hints: [
            "words before grammar",
            "first the most frequent bytes, then pieces of words, then words, then who does what; look for the first whole sentence, and sort around it",
        ],
        look: order,
    },
    Exercise {
        number: "2.2",
        hints: [
            "first match wins",
            "ask for `question` and `answer` first, `text` last, and put the new branch between; `row.get(name)` is none where a column is missing, `row.field(name)?` is an error that names it",
        ],
        look: joined,
    },
    Exercise {
        number: "2.3",
        hints: ["what happens next?", "name the order, say the one thing that you do now, and stop: comfort alone moves no parcel"],
        look: better,
    },
];

fn order(given: Given) -> Found {
    let mut words = words(given)?;
    if let [one] = words.as_slice() {
        words = one.chars().map(String::from).collect();
    }
    let mut sorted = words.clone();
    sorted.sort();
    unless(sorted == ["a", "b", "c", "d", "e", "f"], "the six samples A to F are asked for, each once")?;
    unless(
        is_hashed("2.1", &words.join(" "), "62b255bac28cde7828acf449b1572c2e740b034335fd5a2276ebfbe100ff0e98"),
        "two samples at least stand in the wrong order",
    )?;
    Ok(None)
}

/// What a row is called, its fields, and what it becomes.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);

fn joined(given: Given) -> Found {
    let function = given.joined()?;
    let rows: [Row; 7] = [
        ("`question` and `answer`", &[("question", "Why? "), ("answer", "So.")], "Why? So."),
        ("`instruction` and `response`", &[("instruction", "Say it. "), ("response", "It.")], "Say it. It."),
        ("`input` and `output`", &[("input", "1 + 1 = "), ("output", "2")], "1 + 1 = 2"),
        ("`prompt` and `completion`", &[("completion", " lazy dog"), ("prompt", "over the")], "over the lazy dog"),
        ("`text` alone", &[("text", "All of it.")], "All of it."),
        ("`text` beside `question` and `answer`", &[("text", "t"), ("answer", "A"), ("question", "Q")], "QA"),
        ("`text` beside `prompt` and `completion`", &[("text", "t"), ("prompt", "P"), ("completion", "C")], "PC"),
    ];
    for (columns, fields, right) in rows {
        let row = Example::new(fields.iter().copied());
        let text = answered(&format!("a hidden row with {columns}"), || function(&row))?;
        unless(text == right, format!("a hidden row with {columns} does not become the text that it should"))?;
    }
    let stranger = called(|| function(&Example::new([("title", "nothing to learn")])))?;
    unless(stranger.is_err(), "a row with none of these columns has to be an error, not a text")?;
    Ok(None)
}

/// Beginnings of words by which a reply does something.
const ACTIONS: [&str; 14] =
    ["send", "sent", "ship", "replac", "refund", "deliver", "arriv", "ask", "call", "check", "trac", "reach", "credit", "order a"];

fn better(given: Given) -> Found {
    let reply = given.text()?;
    let words = reply.split_whitespace().count();
    let small = reply.to_lowercase();
    unless(words > 0, "the reply is empty")?;
    unless(words <= 30, format!("the reply has {words} words; 30 are allowed"))?;
    unless(small.contains("4117"), "the customer does not see which order you mean: 4117")?;
    unless(!small.contains("sorry for your loss"), "nobody died: that is what the bad reply says")?;
    let acts = small.split(|c: char| !c.is_alphanumeric()).any(|word| ACTIONS.iter().any(|action| word.starts_with(action)));
    unless(acts, "the reply does not say what you do about it")?;
    Ok(None)
}
