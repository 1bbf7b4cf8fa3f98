//! A question with two answers, and a judge → which answer is better: asked in both orders, or by the answers' probability.

use std::fmt;

use crate::error::Result;
use crate::evaluate::binomial::{LEVEL, sign_test};
use crate::evaluate::choice::choose;
use crate::evaluate::paired::percent;
use crate::evaluate::verdict::{Verdict, read_verdict};
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;

/// What a judge is asked: it sees the answers as A and B.
pub fn judge_prompt(question: &str, first: &str, second: &str) -> String {
    format!("Question: {question}\nAnswer A: {first}\nAnswer B: {second}\nWhich answer is better, A or B? Reply with the letter only.")
}

/// What a judge said of a pair, asked twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judgement {
    /// With the first answer as A; `None` where the reply is no verdict.
    pub forth: Option<Verdict>,
    /// With the second answer as A, in the order of the first call: [`Verdict::First`] is for the first answer here as well.
    pub back: Option<Verdict>,
}

impl Judgement {
    /// Who wins: an answer that both orders call better, else nobody.
    pub fn verdict(&self) -> Verdict {
        self.forth.filter(|_| self.forth == self.back).unwrap_or(Verdict::Tie)
    }

    /// Whether the judge went with the place of an answer: first for one, then for the other.
    pub fn follows_the_place(&self) -> bool {
        matches!((self.forth, self.back), (Some(Verdict::First), Some(Verdict::Second)) | (Some(Verdict::Second), Some(Verdict::First)))
    }
}

/// Asks a judge twice, with the answers in both orders (Zheng et al. 2023); `ask` is the judge, such as `|prompt| runner.ask(prompt)`.
/// Replies are read by [`read_verdict`]; a small model seldom gives one, but can be made to [`choose`] a letter.
///
/// ```
/// use finetuning::*;
///
/// // A judge that always likes the first.
/// let judgement = judge_pair("2 + 2?", "4", "5", |_| Ok("A".into()))?;
/// assert!(judgement.follows_the_place() && judgement.verdict() == Verdict::Tie);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// Those of `ask`.
pub fn judge_pair(question: &str, first: &str, second: &str, mut ask: impl FnMut(&str) -> Result<String>) -> Result<Judgement> {
    let forth = read_verdict(&ask(&judge_prompt(question, first, second))?);
    let back = read_verdict(&ask(&judge_prompt(question, second, first))?).map(Verdict::swapped);
    Ok(Judgement { forth, back })
}

/// Which of two answers a model itself would rather give, by [`choose`]. No order is involved, so both ways are the same. It measures
/// taste, not truth.
///
/// # Errors
/// Those of [`choose`]; an empty answer is one.
pub fn judge_by_probability(model: &CausalLm, tokenizer: &Tokenizer, question: &str, first: &str, second: &str) -> Result<Judgement> {
    let likes = choose(model, tokenizer, question, &[first, second])?;
    let verdict = match first == second {
        true => Verdict::Tie,
        false if likes == first => Verdict::First,
        false => Verdict::Second,
    };
    Ok(Judgement { forth: Some(verdict), back: Some(verdict) })
}

/// Judgements of many pairs, and what they can show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JudgeReport {
    /// One a pair.
    pub judgements: Vec<Judgement>,
}

impl JudgeReport {
    /// (pairs that the first wins, pairs that the second wins).
    pub fn wins(&self) -> (usize, usize) {
        let count = |verdict| self.judgements.iter().filter(|judgement| judgement.verdict() == verdict).count();
        (count(Verdict::First), count(Verdict::Second))
    }

    /// Pairs in which the judge went with the place of an answer.
    pub fn by_place(&self) -> usize {
        self.judgements.iter().filter(|judgement| judgement.follows_the_place()).count()
    }

    /// Replies in which there was no verdict; each pair has two.
    pub fn unread(&self) -> usize {
        self.judgements.iter().flat_map(|judgement| [judgement.forth, judgement.back]).filter(Option::is_none).count()
    }

    /// How often two equally good models would be at least so far apart, from 0 to 1: a sign test of the wins.
    pub fn p_value(&self) -> f64 {
        let (first, second) = self.wins();
        sign_test(first, second)
    }
}

impl fmt::Display for JudgeReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pairs, (first, second)) = (self.judgements.len(), self.wins());
        write!(
            formatter,
            "{pairs} pairs: in both orders the first is better in {first}, the second in {second}; in {} the ",
            self.by_place()
        )?;
        write!(formatter, "verdict went with the place, {} replies held none; equals differ so much in ", self.unread())?;
        write!(formatter, "{} % of tests, so these pairs ", percent(self.p_value()))?;
        match self.p_value() <= LEVEL {
            true => write!(formatter, "show that this judge prefers the {}", if first > second { "first" } else { "second" }),
            false => formatter.write_str("cannot show which one this judge prefers"),
        }
    }
}
