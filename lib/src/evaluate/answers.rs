//! A model and questions with answers → what it answers, row by row, and how right that is.

use rayon::prelude::*;

use crate::data::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::metrics::{is_exact_match, token_f1};
use crate::evaluate::report::{AnswerReport, AnswerRow};
use crate::generate::batch::inference;
use crate::models::causal::CausalLm;
use crate::tokenizer::text::Tokenizer;
use crate::util::interrupt;

/// Tokens that an answer may read and write in an evaluation, as in the course.
pub const EVALUATION_TOKENS: (usize, usize) = (1000, 100);

/// The model's answers to the first `n` rows (−1 for all) of a data set with `question` and `answer`.
///
/// A row whose answer fails is recorded with its error and the loop goes on. Rows are answered in parallel.
///
/// # Errors
/// When `n` is neither −1 nor at least 1, the data has no rows or lacks a column, or somebody interrupts.
pub fn evaluate_answers(model: &CausalLm, tokenizer: &Tokenizer, data: &Dataset, n: i64) -> Result<AnswerReport> {
    if n < -1 || n == 0 || data.is_empty() {
        return Err(Error::new(
            ErrorKind::Data,
            format!("n is {n} and the data set has {} rows; n must be -1 (all) or at least 1", data.len()),
        )
        .hint("use n = 10, or -1 for all"));
    }
    let rows = data.head(if n < 0 { data.len() } else { n as usize });
    let (questions, targets) = (rows.column("question")?, rows.column("answer")?);
    let answer = |(question, target): (&String, &String)| {
        interrupt::check("in the evaluation")?;
        let answer = inference(question, model, tokenizer, EVALUATION_TOKENS.0, EVALUATION_TOKENS.1);
        if let Err(error) = &answer
            && error.kind() == ErrorKind::Interrupted
        {
            return Err(error.clone());
        }
        let error = answer.as_ref().err().map(ToString::to_string);
        let predicted_answer = answer.unwrap_or_default().trim().to_string();
        let (exact_match, f1) = (error.is_none() && is_exact_match(&predicted_answer, target), token_f1(&predicted_answer, target));
        Ok(AnswerRow { question: question.clone(), predicted_answer, target_answer: target.clone(), exact_match, f1, error })
    };
    Ok(AnswerReport { rows: questions.par_iter().zip(&targets).map(answer).collect::<Result<_>>()? })
}
