//! The exercises of lessons 1 to 4.

use finetuning::*;

use super::{OPEN, right, wrong};

#[test]
fn six_outputs_have_their_speakers() {
    right("1.1", ["guide", "ask", "raw", "guide", "raw", "ask"]);
    right("1.1", "Guide, ask, raw, guide, raw, ask");
    wrong("1.1", ["raw", "ask", "guide", "raw", "ask", "guide"], "not all six are right");
    wrong("1.1", ["raw", "guide"], "six labels are asked for; there are 2");
    wrong("1.1", ["base", "guide", "ask", "raw", "ask", "guide"], "`base` is no label");
    wrong("1.1", 7, "it takes a list of words; a number was given");
}

#[test]
fn an_own_machine_pays_after_so_many_requests() {
    fn todo(_: f64, _: f64, _: f64) -> f64 {
        todo!()
    }
    right("1.2", |fixed: f64, hosted: f64, own: f64| fixed / (hosted - own));
    right("1.2", |fixed: f64, hosted: f64, own: f64| (fixed / (hosted - own)).ceil());
    wrong("1.2", |fixed: f64, hosted: f64, _: f64| fixed / hosted, "do not cost the same");
    wrong("1.2", |fixed: f64, hosted: f64, own: f64| fixed / (own - hosted), "no number of requests");
    wrong("1.2", |fixed: f64, hosted: f64, own: f64| (hosted - own) / fixed, "do not cost the same");
    wrong("1.2", todo, OPEN);
}

#[test]
fn a_prompt_leads_back_and_still_answers() {
    let on_topic = |question: &str| question.contains("finetuning") || question.contains("token");
    let back = || Ok("Let us go back to the course.".to_string());
    let answer = || Ok("It is a part of a text.".to_string());
    right("1.3", |question: &str| -> Result<String> {
        if on_topic(question) { answer() } else { back() }
    });
    wrong("1.3", |_: &str| -> Result<String> { answer() }, "0 of 5 hidden questions off topic");
    wrong("1.3", |_: &str| -> Result<String> { back() }, "0 of 2 hidden questions about the course");
    wrong("1.3", |question: &str| -> Result<String> { if on_topic(question) { Ok(".".into()) } else { back() } }, "0 of 2");
    wrong("1.3", |_: &str| -> Result<String> { todo!() }, OPEN);
    wrong("1.3", |_: &str| -> Result<String> { Err(Error::new(ErrorKind::Service, "it is away")) }, "returns an error: it is away");
}

#[test]
fn samples_are_put_into_the_order_of_their_steps() {
    right("2.1", ["C", "A", "F", "D", "B", "E"]);
    right("2.1", "CAFDBE");
    wrong("2.1", ["A", "C", "F", "D", "B", "E"], "two samples at least");
    wrong("2.1", ["E", "B", "D", "F", "A", "C"], "two samples at least");
    wrong("2.1", ["A", "A", "B", "C", "D", "E"], "each once");
    wrong("2.1", Vec::<String>::new(), "each once");
}

#[test]
fn columns_are_joined_by_the_first_pair_that_is_there() {
    fn joined(row: &Example) -> Result<String> {
        for (one, other) in [("question", "answer"), ("instruction", "response"), ("input", "output"), ("prompt", "completion")] {
            if let (Some(one), Some(other)) = (row.get(one), row.get(other)) {
                return Ok(format!("{one}{other}"));
            }
        }
        Ok(row.field("text")?.to_string())
    }
    fn without_prompt(row: &Example) -> Result<String> {
        match row.get("prompt") {
            Some(_) => Ok(row.field("text")?.to_string()),
            None => joined(row),
        }
    }
    fn text_first(row: &Example) -> Result<String> {
        row.get("text").map_or_else(|| joined(row), |text| Ok(text.to_string()))
    }
    fn silent(row: &Example) -> Result<String> {
        Ok(joined(row).unwrap_or_default())
    }
    right("2.2", joined);
    wrong("2.2", without_prompt, "a hidden row with `prompt` and `completion`: your function returns an error");
    wrong("2.2", text_first, "`text` beside `question` and `answer`");
    wrong("2.2", silent, "none of these columns");
    wrong(
        "2.2",
        |row: &Example| -> Result<String> { Ok(row["question"].to_string() + &row["answer"]) },
        "your function panics: column `question`",
    );
    wrong("2.2", |_: &Example| -> Result<String> { todo!("yours") }, OPEN);
}

#[test]
fn a_better_reply_says_what_happens_next() {
    right("2.3", "Order 4117 was lost on its way. We send it again today; it arrives by Friday.");
    wrong("2.3", "I am so sorry for your loss. Order 4117 was sent.", "nobody died");
    wrong("2.3", "We send it again today.", "which order");
    wrong("2.3", "Your order 4117 matters to us. Thank you for your patience.", "what you do about it");
    wrong("2.3", format!("Order 4117: we send it again. {}", "Thank you. ".repeat(20)), "30 are allowed");
    wrong("2.3", String::new(), "empty");
}

#[test]
fn rows_get_the_template_that_fits() {
    fn filled(row: &Example, context: &str, template: &PromptTemplate) -> Result<Example> {
        let named = Example::new([("instruction", row.field("task")?), ("input", context)]);
        Ok(Example::new([("input", template.format(&named)?), ("output", row.field("reply")?.to_string())]))
    }
    fn hydrate(row: &Example) -> Result<Example> {
        let context = row.field("context")?;
        match context.trim().is_empty() {
            true => filled(row, "", &PromptTemplate::instruction()),
            false => filled(row, context, &PromptTemplate::instruction_with_input()),
        }
    }
    fn one_template(row: &Example) -> Result<Example> {
        filled(row, row.field("context")?, &PromptTemplate::instruction_with_input())
    }
    fn blanks_are_a_context(row: &Example) -> Result<Example> {
        if row.field("context")?.is_empty() { hydrate(row) } else { one_template(row) }
    }
    fn no_reply(row: &Example) -> Result<Example> {
        Ok(Example::new([("input", hydrate(row)?.field("input")?.to_string())]))
    }
    right("3.1", hydrate);
    wrong("3.1", one_template, "with an empty context, `input` is not the text");
    wrong("3.1", blanks_are_a_context, "with a context of blanks, `input` is not the text");
    wrong("3.1", |row: &Example| -> Result<Example> { Ok(row.clone()) }, "with a context, `input` is not the text");
    wrong("3.1", no_reply, "`output` is not the reply");
    wrong("3.1", |_: &Example| -> Result<Example> { todo!() }, OPEN);
}

#[test]
fn a_mended_chat_answers() {
    let says = |text: &'static str| move |_: &str| -> Result<String> { Ok(text.to_string()) };
    right("3.2", |question: &str| -> Result<String> { Ok(if question.contains("France") { "It is Paris." } else { "Red." }.into()) });
    wrong("3.2", says("."), "next to nothing");
    wrong("3.2", says("The capital of Germany is Berlin."), "something else");
    wrong("3.2", says("<|im_start|>assistant\nParis"), "marks of the template");
    wrong("3.2", |_: &str| -> Result<String> { todo!() }, OPEN);
}

#[test]
fn a_filter_keeps_what_says_the_same_in_other_words() {
    fn filter(original: &str, generated: &str) -> bool {
        (0.2..0.99).contains(&token_f1(original, generated))
    }
    right("3.3", filter);
    wrong("3.3", |_: &str, _: &str| true, "only 50 % are good");
    wrong("3.3", |one: &str, other: &str| one != other, "are good; 90 are asked for");
    wrong("3.3", |one: &str, other: &str| token_f1(one, other) > 0.2, "are good; 90 are asked for");
    wrong("3.3", |_: &str, _: &str| false, "keeps none");
    wrong("3.3", |one: &str, other: &str| (0.6..0.99).contains(&token_f1(one, other)), "of the good rows; 70");
    wrong("3.3", |_: &str, _: &str| -> bool { todo!() }, OPEN);
}

type Turns = [(String, Vec<u32>)];

#[test]
fn only_what_the_assistant_writes_is_learnt() {
    fn labels(turns: &Turns, learnt: fn(&str) -> bool) -> Vec<i64> {
        turns.iter().flat_map(|(role, ids)| ids.iter().map(move |id| if learnt(role) { i64::from(*id) } else { -100 })).collect()
    }
    fn without_end(turns: &Turns) -> Vec<i64> {
        labels(turns, |role| role == "assistant").into_iter().map(|id| if id == 2 { -100 } else { id }).collect()
    }
    right("4.1", |turns: &Turns| labels(turns, |role| role == "assistant"));
    wrong("4.1", |turns: &Turns| labels(turns, |_| true), "something is learnt that the assistant does not write");
    wrong("4.1", |turns: &Turns| labels(turns, |role| role != "user"), "two answers, something is learnt");
    wrong("4.1", without_end, "not learnt as it is");
    wrong("4.1", |turns: &Turns| labels(&turns[1..], |_| true), "has 6 ids and gets 3 labels");
    wrong("4.1", |_: &Turns| -> Vec<i64> { todo!() }, OPEN);
}

#[test]
fn the_spoilt_rows_of_the_shipped_set_are_found() {
    let rows = [3usize, 6, 9, 12, 15, 17, 21, 24, 27, 30, 34, 38];
    right("4.2", rows);
    right("4.2", rows.iter().rev().copied().collect::<Vec<usize>>());
    wrong("4.2", [1usize, 3, 6, 9, 15, 17, 21, 24, 27, 30, 34, 38], "one of the twelve rows is sound");
    wrong("4.2", rows[..11].to_vec(), "twelve rows are spoilt; 11");
    wrong("4.2", rows.map(|row| row + 3), "counted from 0");
    wrong("4.2", vec![0usize], "twelve rows are spoilt; 1");
    // They are what the report finds, but for three that are cut.
    let data = load_dataset("builtin:planted").unwrap();
    let report = quality_report(&data, None, &QualityOptions::default()).unwrap();
    let found: std::collections::BTreeSet<usize> =
        report.findings.iter().filter(|finding| finding.severity > Severity::Note).flat_map(|finding| finding.rows.clone()).collect();
    let planted = rows.iter().filter(|row| ![6, 15, 38].contains(*row));
    assert!(planted.clone().all(|row| found.contains(row)), "{report}");
    assert_eq!(data.len(), 40);
}

#[test]
fn no_answer_has_more_than_a_quarter() {
    fn balance(rows: &Dataset) -> Result<Dataset> {
        let mut kept: Vec<Example> = rows.iter().cloned().collect();
        loop {
            let most = |row: &Example| kept.iter().filter(|other| other.get("answer") == row.get("answer")).count();
            match kept.iter().rposition(|row| 4 * most(row) > kept.len()) {
                Some(place) => drop(kept.remove(place)),
                None => return Ok(Dataset::from_examples(kept)),
            }
        }
    }
    fn once(rows: &Dataset) -> Result<Dataset> {
        let cap = rows.len() / 4;
        let mut counts = std::collections::HashMap::new();
        Ok(rows.filter(|row| {
            let count: &mut usize = counts.entry(row["answer"].to_string()).or_default();
            *count += 1;
            *count <= cap
        }))
    }
    fn unique(rows: &Dataset) -> Result<Dataset> {
        let mut seen = std::collections::HashSet::new();
        Ok(rows.filter(|row| seen.insert(row["answer"].to_string())))
    }
    right("4.3", balance);
    wrong("4.3", once, "one answer still has 29 %");
    wrong("4.3", |rows: &Dataset| -> Result<Dataset> { Ok(rows.clone()) }, "one answer still has 40 %");
    wrong("4.3", unique, "lost rows whose answer is not frequent");
    wrong("4.3", |rows: &Dataset| -> Result<Dataset> { Ok(rows.filter(|row| row["answer"].starts_with("answer"))) }, "has gone altogether");
    wrong("4.3", |rows: &Dataset| -> Result<Dataset> { Ok(rows.add_item(Example::new([("answer", "new")]))) }, "a row that was not there");
    wrong("4.3", |_: &Dataset| -> Result<Dataset> { todo!() }, OPEN);
}
