//! A model and questions with answers → what it answers, row by row, and how right that is.

use rayon::prelude::*;

use crate::data::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::metrics::{is_exact_match, token_f1};
use crate::evaluate::question::Question;
use crate::evaluate::report::{AnswerReport, AnswerRow};
use crate::generate::ask::complete_each;
use crate::generate::batch::inference;
use crate::generate::config::GenerationConfig;
use crate::models::causal::CausalLm;
use crate::tokenizer::encode::each_row;
use crate::tokenizer::text::Tokenizer;
use crate::util::interrupt;

/// Tokens that an answer may read and write in an evaluation, as in the course.
pub const EVALUATION_TOKENS: (usize, usize) = (1000, 100);

/// The model's answers to the first `n` rows (−1 for all) of a data set of any shape that is learnt
/// ([`Shape`](crate::data::shape::Shape)) and asks something. A model with a chat template is asked by it, for at most 100 tokens:
/// the last turn of the assistant that is learnt is the target, and what stands before it, with the row's tools, is the conversation
/// (rows of texts as [`Dataset::to_messages`] turns them). Any other is asked by [`inference`] of the row's prompt as it stands.
///
/// A row whose answer fails is recorded with its error and the loop goes on. Rows are answered several at once.
///
/// # Errors
/// When `n` is neither −1 nor at least 1, the data has no rows or a row cannot be asked: a text that is learnt whole, a preference
/// pair, a column that would be left out, as in training; when somebody interrupts.
pub fn evaluate_answers(model: &CausalLm, tokenizer: &Tokenizer, data: &Dataset, n: i64) -> Result<AnswerReport> {
    if n < -1 || n == 0 || data.is_empty() {
        return Err(Error::new(
            ErrorKind::Data,
            format!("n is {n} and the data set has {} rows; n must be -1 (all) or at least 1", data.len()),
        )
        .hint("use n = 10, or -1 for all"));
    }
    let rows = data.head(if n < 0 { data.len() } else { n as usize });
    let questions = each_row(&rows, |row| Question::of(row, tokenizer))?;
    let (read, write) = EVALUATION_TOKENS;
    let answers: Vec<Result<String>> = match tokenizer.brings_chat_template() {
        true => {
            let config = GenerationConfig { max_new_tokens: write, ..Default::default() };
            complete_each(questions.iter().map(|question| tokenizer.encode_asked(&question.prompt)).collect(), model, tokenizer, &config)
        }
        false => {
            let answer = |question: &Question| {
                interrupt::check("in the evaluation")?;
                inference(&question.prompt, model, tokenizer, read, write)
            };
            questions.par_iter().map(answer).collect()
        }
    };
    let row = |(question, answer): (Question, Result<String>)| {
        let Question { shown: question, target: target_answer, .. } = question;
        if let Err(error) = &answer
            && error.kind() == ErrorKind::Interrupted
        {
            return Err(error.clone());
        }
        let error = answer.as_ref().err().map(ToString::to_string);
        let predicted_answer = answer.unwrap_or_default().trim().to_string();
        let (exact_match, f1) =
            (error.is_none() && is_exact_match(&predicted_answer, &target_answer), token_f1(&predicted_answer, &target_answer));
        Ok(AnswerRow { question, predicted_answer, target_answer, exact_match, f1, error })
    };
    Ok(AnswerReport { rows: questions.into_iter().zip(answers).map(row).collect::<Result<_>>()? })
}
