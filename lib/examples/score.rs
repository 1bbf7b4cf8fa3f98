//! A model name → its scores on the held-out rows of `builtin:lab_docs`: `cargo run --example score builtin:tuned`.

use finetuning::*;

fn main() -> Result<()> {
    let (_, test) = load_dataset("builtin:lab_docs")?.train_test_split(0.1, 123)?;
    for name in std::env::args().skip(1) {
        let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained(&name)?, AutoTokenizer::from_pretrained(&name)?);
        let report = evaluate_answers(&model, &tokenizer, &test, -1)?;
        let off_topic: Vec<&AnswerRow> =
            report.rows.iter().filter(|row| row.target_answer.contains("keep the discussion relevant")).collect();
        let redirected = off_topic.iter().filter(|row| row.exact_match).count();
        println!("{name}: {report}; {redirected} of {} off-topic questions redirected", off_topic.len());
        // What went wrong says more than what went right.
        for row in report.rows.iter().filter(|row| !row.exact_match) {
            println!("  {}\n    said {}\n    want {}", row.question, row.predicted_answer, row.target_answer);
        }
    }
    Ok(())
}
