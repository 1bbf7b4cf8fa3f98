//! The exercises of lessons 5 to 8.

use finetuning::*;

use super::{OPEN, right, wrong};

#[test]
fn steps_are_rounded_up_in_each_epoch() {
    fn steps(rows: usize, rows_per_step: usize, epochs: usize) -> usize {
        rows.div_ceil(rows_per_step) * epochs
    }
    right("5.1", steps);
    wrong("5.1", |rows: usize, per_step: usize, epochs: usize| rows / per_step * epochs, "where some rows are left over");
    wrong("5.1", |rows: usize, per_step: usize, _: usize| rows.div_ceil(per_step), "where some rows are left over");
    wrong("5.1", |rows: usize, _: usize, epochs: usize| rows * epochs, "where the rows fill each step");
    wrong("5.1", |_: usize, _: usize, _: usize| 1 / std::hint::black_box(0usize), "your function panics: attempt to divide by zero");
    wrong("5.1", |_: usize, _: usize, _: usize| -> usize { todo!() }, OPEN);
}

#[test]
fn a_mended_rate_makes_the_loss_fall() {
    let curve = |end: f64| (0..20).map(|step| 3.0 + (end - 3.0) * f64::from(step) / 19.0).collect::<Vec<f64>>();
    right("5.2", curve(1.0));
    wrong("5.2", curve(376.0), "it has to fall");
    wrong("5.2", curve(f64::NAN), "diverged");
    wrong("5.2", curve(2.95), "hardly a fall");
    wrong("5.2", vec![3.0, 1.0], "fewer than 8");
    wrong("5.2", 1e-3, "it takes a list of numbers; a number was given");
}

#[test]
fn several_rows_are_one_mean_over_their_tokens() {
    type Rows = [(f64, usize)];
    fn tokens(rows: &Rows) -> f64 {
        rows.iter().map(|(_, tokens)| *tokens as f64).sum()
    }
    right("5.3", |rows: &Rows| rows.iter().map(|(loss, tokens)| loss * *tokens as f64).sum::<f64>() / tokens(rows));
    wrong("5.3", |rows: &Rows| rows.iter().map(|(loss, _)| loss).sum::<f64>() / rows.len() as f64, "rows of different length");
    wrong("5.3", |rows: &Rows| rows.iter().map(|(loss, _)| loss).sum::<f64>(), "rows of equal length");
    wrong("5.3", |rows: &Rows| rows.iter().map(|(loss, tokens)| loss * *tokens as f64).sum::<f64>(), "rows of equal length");
    wrong("5.3", |_: &Rows| -> f64 { todo!() }, OPEN);
}

type Judge<'a> = &'a dyn Fn(&str, &str) -> Verdict;

#[test]
fn a_judge_is_asked_in_both_orders() {
    fn fair(judge: &dyn Fn(&str, &str) -> Verdict, a: &str, b: &str) -> Verdict {
        let (one, other) = (judge(a, b), judge(b, a).swapped());
        if one == other { one } else { Verdict::Tie }
    }
    right("6.1", fair);
    fn once(judge: Judge, a: &str, b: &str) -> Verdict {
        judge(a, b)
    }
    fn not_swapped(judge: Judge, a: &str, b: &str) -> Verdict {
        if judge(a, b) == judge(b, a) { judge(a, b) } else { Verdict::Tie }
    }
    fn never(_: Judge, _: &str, _: &str) -> Verdict {
        Verdict::Tie
    }
    fn open(_: Judge, _: &str, _: &str) -> Verdict {
        todo!()
    }
    wrong("6.1", once, "always says `First` is believed");
    wrong("6.1", not_swapped, "always says `First` is believed");
    wrong("6.1", never, "the verdict is changed");
    wrong("6.1", open, OPEN);
}

type Kinds = [(String, usize, usize)];

#[test]
fn the_first_fix_is_frequent_and_harmful() {
    fn by(kinds: &Kinds, weight: fn(&(String, usize, usize)) -> (usize, usize)) -> String {
        kinds.iter().max_by_key(|kind| weight(kind)).map(|(name, ..)| name.clone()).unwrap_or_default()
    }
    right("6.2", |kinds: &Kinds| by(kinds, |(_, count, harm)| (count * harm, *count)));
    wrong("6.2", |kinds: &Kinds| by(kinds, |(_, count, _)| (*count, 0)), "where the most frequent error is harmless, another error");
    wrong("6.2", |kinds: &Kinds| by(kinds, |(_, _, harm)| (*harm, 0)), "another error comes first");
    wrong("6.2", |kinds: &Kinds| by(kinds, |(_, count, harm)| (count * harm, *harm)), "where two weigh the same");
    wrong("6.2", |_: &Kinds| "none".to_string(), "no name of the table");
    wrong("6.2", |_: &Kinds| -> String { todo!() }, OPEN);
}

#[test]
fn words_in_common_are_counted_as_often_as_both_have_them() {
    fn words(text: &str) -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    }
    fn f1(one: &str, other: &str) -> f64 {
        let (one, mut other) = (words(one), words(other));
        if one.is_empty() || other.is_empty() {
            return f64::from(u8::from(one == other));
        }
        let all = (one.len() + other.len()) as f64;
        let common = one.iter().filter(|word| other.iter().position(|own| own == *word).map(|place| other.remove(place)).is_some()).count();
        2.0 * common as f64 / all
    }
    fn set(one: &str, other: &str) -> f64 {
        let (one, other) = (words(one), words(other));
        2.0 * one.iter().filter(|word| other.contains(word)).count() as f64 / (one.len() + other.len()) as f64
    }
    right("6.3", f1);
    right("6.3", token_f1);
    wrong("6.3", set, "a word that one text repeats");
    wrong("6.3", |one: &str, other: &str| f64::from(u8::from(one == other)), "other capitals");
    wrong("6.3", |one: &str, other: &str| if one.is_empty() { 1.0 } else { f1(one, other) }, "one empty text");
    wrong("6.3", |_: &str, _: &str| -> f64 { todo!() }, OPEN);
}

#[test]
fn an_adapter_has_two_thin_matrices() {
    right("7.1", |inputs: usize, outputs: usize, rank: usize| rank * (inputs + outputs));
    wrong("7.1", |inputs: usize, outputs: usize, _: usize| inputs * outputs, "a square matrix");
    wrong("7.1", |inputs: usize, _: usize, rank: usize| 2 * rank * inputs, "other outputs than inputs");
    wrong("7.1", |inputs: usize, outputs: usize, rank: usize| inputs * outputs + rank * (inputs + outputs), "a square matrix");
    wrong("7.1", |_: usize, _: usize, _: usize| -> usize { todo!() }, OPEN);
}

#[test]
fn a_laptop_trains_a_billion_parameters() {
    right("7.2", 1_000_000_000usize);
    right("7.2", 16e9 / 16.0);
    wrong("7.2", 4_000_000_000usize, "do not fit");
    wrong("7.2", 1.0, "in parameters, not in billions");
    wrong("7.2", 135e6, "a larger one does too");
    wrong("7.2", f64::NAN, "no number of parameters");
}

#[test]
fn tasks_that_read_give_less_than_they_take() {
    right("7.3", ["topic", "keywords", "routing"]);
    right("7.3", "Keywords, Routing, Topic");
    wrong("7.3", ["keywords", "routing", "topic", "code"], "one task at least");
    wrong("7.3", ["keywords"], "one task at least");
    wrong("7.3", ["story", "e-mail", "code"], "one task at least");
    wrong("7.3", ["chat"], "`chat` is none of the tasks");
}

#[test]
fn own_rows_are_enough_and_fit() {
    let own = load_dataset("builtin:instructions").unwrap().head(30);
    right("8.1", &own);
    wrong("8.1", own.head(29), "there are 29");
    let copies = concatenate_datasets(&[own.head(20), own.head(20)]).unwrap();
    wrong("8.1", copies, "30 different rows are asked for; there are 20");
    wrong("8.1", own.add_item(Example::new([("instruction", "Why?"), ("output", "")])), "the quality report is not clean");
    wrong("8.1", "rows.jsonl", "it takes a data set; a text was given");
}

#[test]
fn a_finetuned_model_has_to_be_better_on_the_same_questions() {
    let report = |right: usize, all: usize| {
        let row = |row: usize| AnswerRow {
            question: format!("question {row}"),
            predicted_answer: String::new(),
            target_answer: String::new(),
            exact_match: row < right,
            f1: f64::from(u8::from(row < right)),
            error: None,
        };
        AnswerReport { rows: (0..all).map(row).collect() }
    };
    right("8.2", (report(1, 6), report(4, 6)));
    wrong("8.2", (report(4, 6), report(1, 6)), "the second has to be better");
    wrong("8.2", (report(2, 6), report(2, 6)), "the second has to be better");
    wrong("8.2", (report(0, 2), report(2, 2)), "5 are the least");
    wrong("8.2", (report(0, 6), report(6, 7)), "not asked the same questions");
}

#[test]
fn a_card_says_what_a_reader_has_to_know() {
    let card = "---\nbase_model: builtin:smol\nlicense: apache-2.0\n---\n# Desk\n\nFinetuned on 150 rows of messages to a shop. Exact match 15 of 20 on \
        a test with items that training never saw. Limits: it knows English alone, and must not decide about refunds.";
    right("8.3", card);
    wrong("8.3", card.replace("base_model: builtin:smol", "A model"), "does not say the base model");
    wrong("8.3", card.replace("license", "made by"), "does not say the licence");
    wrong(
        "8.3",
        card.split("Limits").next().unwrap().to_string() + "It works well for all who come to us with any message.",
        "does not say its limits",
    );
    wrong("8.3", "My model.", "30 are the least");
}
