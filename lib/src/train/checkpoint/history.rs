//! Step reports ↔ `history.csv`: one line a step, numbers written so that they read back to the last bit.

use std::fmt::Write;

use crate::error::{Error, ErrorKind, Result};
use crate::train::log::curve::StepReport;

const HEADER: &str = "step,epoch,loss,learning_rate,grad_norm,tokens,flops,seconds,optimizer_seconds,eval_loss";

/// The table with its header; a step without an evaluation ends with an empty field.
pub fn to_csv(history: &[StepReport]) -> String {
    let mut text = format!("{HEADER}\n");
    for report in history {
        let StepReport { step, epoch, loss, learning_rate, grad_norm, tokens, flops, seconds, optimizer_seconds, eval_loss } = report;
        let eval = eval_loss.map(|loss| loss.to_string()).unwrap_or_default();
        let _ = writeln!(text, "{step},{epoch},{loss},{learning_rate},{grad_norm},{tokens},{flops},{seconds},{optimizer_seconds},{eval}");
    }
    text
}

/// The step reports of a table.
pub fn from_csv(text: &str) -> Result<Vec<StepReport>> {
    let mut lines = text.lines();
    let damaged = |line: usize, reason: &str| {
        Error::new(ErrorKind::Training, format!("line {line}: {reason}")).hint("resume from another checkpoint of the run")
    };
    if lines.next() != Some(HEADER) {
        return Err(damaged(1, &format!("the columns are not {HEADER}")));
    }
    let report = |(index, line): (usize, &str)| {
        let fields: Vec<&str> = line.split(',').collect();
        let number =
            |place: usize| fields[place].parse::<f64>().map_err(|error| damaged(index + 2, &format!("`{}`: {error}", fields[place])));
        if fields.len() != 10 {
            return Err(damaged(index + 2, &format!("{} fields, not 10", fields.len())));
        }
        Ok(StepReport {
            step: number(0)? as usize,
            epoch: number(1)?,
            loss: number(2)?,
            learning_rate: number(3)?,
            grad_norm: number(4)?,
            tokens: number(5)? as usize,
            flops: number(6)?,
            seconds: number(7)?,
            optimizer_seconds: number(8)?,
            eval_loss: if fields[9].is_empty() { None } else { Some(number(9)?) },
        })
    };
    lines.enumerate().map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_to_the_last_bit() {
        let report = |step: usize| StepReport {
            step,
            epoch: step as f64 / 3.0,
            loss: 1.0 / 49.0 / step as f64,
            learning_rate: 5e-324,
            grad_norm: 0.1 + 0.2,
            tokens: 17,
            flops: 1e18 / 3.0,
            seconds: f64::MIN_POSITIVE,
            optimizer_seconds: 0.0,
            eval_loss: Some(2.0f64.sqrt()).filter(|_| step == 2),
        };
        let history: Vec<StepReport> = (1..4).map(report).collect();
        assert_eq!(from_csv(&to_csv(&history)).unwrap(), history);
        assert!(from_csv(&to_csv(&history).replace("17", "x")).unwrap_err().to_string().contains("line 2: `x`"));
        assert!(from_csv("step\n").is_err());
    }
}
