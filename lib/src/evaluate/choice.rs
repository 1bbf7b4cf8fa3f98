//! A model and questions with choices → how often the right one is the most probable: a benchmark of the ARC kind.

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::data::example::Example;
use crate::data::load::load_dataset;
use crate::data::message::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;
use crate::util::interrupt;
use compute::cpu::loss::Targets;

/// A question with several choices, of which one is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipleChoice {
    /// The question.
    pub question: String,
    /// The choices.
    pub choices: Vec<String>,
    /// The index of the right one.
    pub answer: usize,
}

/// Part of the questions whose right choice has the highest summed log-probability after `Question: …\nAnswer:`: the
/// `acc` of lm-evaluation-harness' zero-shot ARC task. 0 for no questions.
///
/// # Errors
/// Those of [`log_probability`], and an interrupt.
pub fn multiple_choice_accuracy(model: &CausalLm, tokenizer: &Tokenizer, questions: &[MultipleChoice]) -> Result<f64> {
    let right = questions.par_iter().map(|item| {
        interrupt::check("in the benchmark")?;
        let scores = item
            .choices
            .iter()
            .map(|choice| log_probability(model, tokenizer, &format!("Question: {}\nAnswer:", item.question), &format!(" {choice}")));
        let scores = scores.collect::<Result<Vec<f64>>>()?;
        // The first of equal scores wins, as NumPy's argmax decides.
        let best = (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        Ok(usize::from(best == Some(item.answer)))
    });
    Ok(right.collect::<Result<Vec<usize>>>()?.iter().sum::<usize>() as f64 / questions.len().max(1) as f64)
}

/// The choice that a model would rather say to a question, asked as [`ask_texts`](crate::generate::ask::ask_texts) asks: the one with
/// the highest log-probability per byte, so that a long one is not worse for its length (`acc_norm` of lm-evaluation-harness). Of
/// equal ones the first. It always decides, where a small model that is asked for a letter writes about something else.
///
/// # Errors
/// When there is no choice, or an empty one; those of [`Tokenizer::prompt`] and [`log_probability`].
pub fn choose<'a>(model: &CausalLm, tokenizer: &Tokenizer, question: &str, choices: &[&'a str]) -> Result<&'a str> {
    let prompt = tokenizer.prompt(&[Message::user(question)])?;
    let mut best: Option<(&str, f64)> = None;
    for (index, &choice) in choices.iter().enumerate() {
        if choice.trim().is_empty() {
            return Err(Error::new(ErrorKind::Data, format!("choice {index} is empty, and nothing has no probability"))
                .hint("count an empty answer as lost, or leave the question out"));
        }
        let score = log_probability(model, tokenizer, &prompt, choice)? / choice.len() as f64;
        if best.is_none_or(|(_, highest)| score > highest) {
            best = Some((choice, score));
        }
    }
    let none = || Error::new(ErrorKind::Data, "there is no choice").hint("give at least one");
    best.map(|(choice, _)| choice).ok_or_else(none)
}

/// Summed log-probability of `completion` after `prompt`, in nats. White space at the prompt's end counts as the completion's
/// beginning, and the completion's ids are those of both texts together behind as many as the prompt has alone: as
/// lm-evaluation-harness encodes a pair.
///
/// # Errors
/// When one of the two has no tokens, or both are too long for the model.
pub fn log_probability(model: &CausalLm, tokenizer: &Tokenizer, prompt: &str, completion: &str) -> Result<f64> {
    let start = tokenizer.encode_prompt(prompt.trim_end())?.len();
    let ids = tokenizer.encode_prompt(&format!("{prompt}{completion}"))?;
    if start == 0 || ids.len() <= start {
        return Err(Error::new(ErrorKind::Tokenizer, format!("prompt {prompt:?} or completion {completion:?} has no tokens"))
            .hint("give both a text"));
    }
    let (inputs, targets) = (&ids[..ids.len() - 1], &ids[1..]);
    let weights: Vec<f32> = (1..ids.len()).map(|position| f32::from(u8::from(position >= start))).collect();
    let targets = Targets { labels: targets, weights: &weights, smoothing: 0.0 };
    Ok(-model.losses(inputs, &[inputs.len()], targets)?.iter().map(|loss| f64::from(*loss)).sum::<f64>())
}

/// The four-choice questions that ship with the course (`data/arc_style.jsonl`), or of another file of that form.
///
/// # Errors
/// When the file cannot be read, or a row lacks a field or has one of another form.
pub fn load_multiple_choice(name: &str) -> Result<Vec<MultipleChoice>> {
    let data = load_dataset(name)?;
    let item = |(row, example): (usize, &Example)| {
        let bad = |field: &str| {
            Error::new(
                ErrorKind::Data,
                format!("{name}: row {row}: field `{field}` is {}", example.value(field).map_or("missing".into(), Value::to_string)),
            )
            .hint("every row needs `question`, `choices` (a list of texts) and `answer` (an index)")
        };
        let choices: Vec<String> = example.value("choices").and_then(|list| Vec::deserialize(list).ok()).ok_or_else(|| bad("choices"))?;
        let answer = example
            .value("answer")
            .and_then(|answer| usize::deserialize(answer).ok())
            .filter(|answer| *answer < choices.len())
            .ok_or_else(|| bad("answer"))?;
        Ok(MultipleChoice { question: example.field("question")?.into(), choices, answer })
    };
    data.iter().enumerate().map(item).collect()
}
