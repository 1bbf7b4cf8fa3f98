//! Step reports ↔ `history.csv`: one line a step, numbers written so that they read back to the last bit.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::error::{Error, ErrorKind, Result};
use crate::train::report::{Metrics, StepReport};

const HEADER: &str = "step,epoch,loss,learning_rate,grad_norm,tokens,flops,seconds,optimizer_seconds,eval_loss";
/// Columns of the header; an objective's metrics follow by name.
const COLUMNS: usize = 10;

/// The table with its header; an evaluation or a metric that a step does not have is an empty field.
pub fn to_csv(history: &[StepReport]) -> String {
    let names: BTreeSet<&String> = history.iter().flat_map(|report| report.metrics.keys()).collect();
    let mut text = HEADER.to_string();
    names.iter().for_each(|name| text.extend([",", name.as_str()]));
    text.push('\n');
    let field = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    for report in history {
        let StepReport { step, epoch, loss, learning_rate, grad_norm, tokens, flops, seconds, optimizer_seconds, eval_loss, metrics } =
            report;
        let eval = field(*eval_loss);
        let _ = write!(text, "{step},{epoch},{loss},{learning_rate},{grad_norm},{tokens},{flops},{seconds},{optimizer_seconds},{eval}");
        names.iter().for_each(|name| text.extend([",", field(metrics.get(*name).copied()).as_str()]));
        text.push('\n');
    }
    text
}

/// The step reports of a table.
///
/// # Errors
/// When the columns are others, or a field is no number; the line is named.
pub fn from_csv(text: &str) -> Result<Vec<StepReport>> {
    let mut lines = text.lines();
    let damaged = |line: usize, reason: &str| {
        Error::new(ErrorKind::Training, format!("line {line}: {reason}")).hint("resume from another checkpoint of the run")
    };
    let header = lines.next().unwrap_or_default();
    let names: Vec<&str> = match header.strip_prefix(HEADER) {
        Some("") => Vec::new(),
        Some(more) if more.starts_with(',') => more[1..].split(',').collect(),
        _ => return Err(damaged(1, &format!("the columns are not {HEADER}"))),
    };
    let report = |(index, line): (usize, &str)| {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |place: usize| {
            fields[place].parse::<f64>().map_err(|error| damaged(index + 2, &format!("`{}`: {error}", fields[place])).because(error))
        };
        let optional = |place: usize| if fields[place].is_empty() { Ok(None) } else { number(place).map(Some) };
        if fields.len() != COLUMNS + names.len() {
            return Err(damaged(index + 2, &format!("{} fields, not {}", fields.len(), COLUMNS + names.len())));
        }
        if number(0)? != (index + 1) as f64 {
            return Err(damaged(index + 2, &format!("step {} where step {} is due", fields[0], index + 1)));
        }
        let mut metrics = Metrics::new();
        for (place, name) in names.iter().enumerate() {
            metrics.extend(optional(COLUMNS + place)?.map(|value| (name.to_string(), value)));
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
            eval_loss: optional(9)?,
            metrics,
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
            eval_loss: (step == 2).then_some(2.0f64.sqrt()),
            ..Default::default()
        };
        let history: Vec<StepReport> = (1..4).map(report).collect();
        assert_eq!(from_csv(&to_csv(&history)).unwrap(), history);
        let mut with_metrics = history.clone();
        with_metrics[1].metrics = [("rewards/chosen".to_string(), 1.0 / 3.0), ("rewards/margins".to_string(), f64::MIN_POSITIVE)].into();
        assert_eq!(from_csv(&to_csv(&with_metrics)).unwrap(), with_metrics);
        assert!(from_csv(&to_csv(&history).replace("17", "x")).unwrap_err().to_string().contains("line 2: `x`"));
        assert!(from_csv("step\n").is_err());
    }
}
