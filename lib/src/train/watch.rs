//! The steps of a run so far → what goes wrong with it: each thing is said once, aloud, while there is time to stop.

use crate::optim::schedule::{RatePlan, Schedule};
use crate::train::report::StepReport;
use crate::util::notice;

/// Steps in a row without a gradient after which the run says so.
const STILL: usize = 5;
/// Evaluations in a row that have to rise.
const RISES: usize = 3;
/// The part by which the loss of the last pass has to lie below that of the first.
const LEARNT: f64 = 0.01;

/// What may go wrong in a run that goes on; what ends it is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WarningKind {
    /// The warm-up is longer than the run: the rate never reaches `learning_rate`.
    WarmupOnly,
    /// The gradient is 0: the model cannot learn.
    NoGradient,
    /// The loss stays above its start.
    Diverging,
    /// The evaluation's loss rises while that of training falls.
    Overfitting,
    /// The evaluation's loss is no number.
    NotFinite,
    /// The loss of the last pass over the rows is that of the first: nothing was learnt.
    Unchanged,
    /// The run goes on with other rows than it began with.
    OtherRows,
}

/// One thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrainingWarning {
    /// What.
    pub kind: WarningKind,
    /// Steps that were taken when it was seen.
    pub step: usize,
    /// What happened, and what to do.
    pub text: String,
}

impl std::fmt::Display for TrainingWarning {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "warning: {}", self.text)
    }
}

/// Looks at a run after each step.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    warnings: Vec<TrainingWarning>,
}

impl Watch {
    /// What was said so far.
    pub fn warnings(&self) -> &[TrainingWarning] {
        &self.warnings
    }

    /// Before the first step.
    pub fn begin(&mut self, plan: &RatePlan) {
        let RatePlan { schedule, learning_rate, warmup_steps, total_steps, .. } = *plan;
        if schedule != Schedule::Constant && warmup_steps >= total_steps {
            let end = plan.rate(total_steps.saturating_sub(1));
            let text = format!(
                "the warm-up of {warmup_steps} steps is as long as the run of {total_steps}: the rate ends at {end:.1e} and never reaches {learning_rate:.1e}; set warmup_steps: {}, or train for longer",
                total_steps / 10
            );
            self.say(WarningKind::WarmupOnly, 0, text);
        }
    }

    /// When the run goes on after `step` steps with as many rows as before, and others.
    pub fn other_rows(&mut self, step: usize) {
        let text = format!(
            "train_dataset holds other rows, or in another order, than those with which the checkpoint of step {step} was written; load the same rows with the same tokenizer, or begin a new run"
        );
        self.say(WarningKind::OtherRows, step, text);
    }

    /// After a step of a run of so many.
    pub fn step(&mut self, history: &[StepReport], total_steps: usize) {
        let step = history.len();
        if step >= STILL && history[step - STILL..].iter().all(|report| report.grad_norm == 0.0) {
            let text = format!(
                "the gradient is 0 since step {}: the model cannot learn from these rows; look whether labels are left and weights are not frozen",
                step + 1 - STILL
            );
            self.say(WarningKind::NoGradient, step, text);
        }
        // With rewards, a loss is noise around 0: those tell more.
        let has_reward = history[step - 1].metrics.contains_key("reward");
        if let Some((start, steps)) = above_start(history, total_steps).filter(|_| !has_reward) {
            let now = history[step - 1].loss;
            let text = format!(
                "diverging: the loss was {start:.4} at the start, is {now:.4} at step {step} and was above its start for {steps} steps; stop, lower learning_rate or raise warmup_steps, and begin again"
            );
            self.say(WarningKind::Diverging, step, text);
        }
    }

    /// After a step with an evaluation.
    pub fn evaluated(&mut self, history: &[StepReport]) {
        let step = history.len();
        if history.last().and_then(|report| report.eval_loss).is_some_and(|loss| !loss.is_finite()) {
            let text = format!("the evaluation after step {step} gives no finite loss; stop, lower learning_rate, and begin again");
            self.say(WarningKind::NotFinite, step, text);
        }
        if let Some(Overfit { best, best_step, now, before, after }) = overfit(history) {
            let text = format!(
                "overfitting: eval_loss rose {RISES} times in a row, from {best:.4} (step {best_step}) to {now:.4} (step {step}), while the training loss fell from {before:.4} to {after:.4}; keep the best model (load_best_model_at_end), stop early (early_stopping_patience), train for fewer epochs or on more rows"
            );
            self.say(WarningKind::Overfitting, step, text);
        }
    }

    /// After the last step of a run with so many steps a pass.
    pub fn end(&mut self, history: &[StepReport], steps_per_epoch: usize) {
        let (step, epochs) = (history.len(), history.len() / steps_per_epoch.max(1));
        // Other objectives say more than a loss of what they change.
        if epochs < 2 || !history[step - 1].metrics.is_empty() {
            return;
        }
        let mean = |epoch: usize| {
            let steps = &history[epoch * steps_per_epoch..(epoch + 1) * steps_per_epoch];
            steps.iter().map(|report| report.loss).sum::<f64>() / steps.len() as f64
        };
        let (first, last) = (mean(0), mean(epochs - 1));
        // Why was said, where the gradient is 0.
        let known = self.warnings.iter().any(|warning| warning.kind == WarningKind::NoGradient);
        if !known && (first - last).abs() < LEARNT * first {
            let text = format!(
                "nothing was learnt: the training loss is {first:.4} in the first pass over the rows and {last:.4} in the last; raise learning_rate, or look whether the rows are known already"
            );
            self.say(WarningKind::Unchanged, step, text);
        }
    }

    fn say(&mut self, kind: WarningKind, step: usize, text: String) {
        if self.warnings.iter().all(|warning| warning.kind != kind) {
            let warning = TrainingWarning { kind, step, text };
            notice::warn(&warning);
            self.warnings.push(warning);
        }
    }
}

/// (loss at the start, steps in a row above it), when those are many: a tenth of the run, 5 to 20. Above is a tenth over the
/// first three losses, or twice the first, which an explosion leaves behind at once.
fn above_start(history: &[StepReport], total_steps: usize) -> Option<(f64, usize)> {
    let many = (total_steps / 10).clamp(5, 20);
    let (first, rest) = history.split_at_checked(3)?;
    let recent = &rest[rest.len().checked_sub(many)?..];
    let least = recent.iter().map(|report| report.loss).fold(f64::INFINITY, f64::min);
    let highest = first.iter().map(|report| report.loss).fold(0.0, f64::max);
    (least > 1.1 * highest || least > 2.0 * first[0].loss).then_some((first[0].loss, many))
}

/// Losses of evaluations (the best, now) and of training around the same times.
struct Overfit {
    best: f64,
    best_step: usize,
    now: f64,
    before: f64,
    after: f64,
}

fn overfit(history: &[StepReport]) -> Option<Overfit> {
    let evaluations: Vec<(usize, f64)> = history.iter().filter_map(|report| Some((report.step, report.eval_loss?))).collect();
    let last = evaluations.len().checked_sub(RISES + 1)?;
    let rises = evaluations[last..].windows(2).all(|pair| pair[1].1 > pair[0].1);
    let place = (0..evaluations.len()).min_by(|&a, &b| evaluations[a].1.total_cmp(&evaluations[b].1))?;
    let ((best_step, best), (now_step, now)) = (evaluations[place], evaluations[evaluations.len() - 1]);
    // The mean loss of the steps that led to an evaluation.
    let mean = |place: usize, step: usize| {
        let from = place.checked_sub(1).map_or(0, |place| evaluations[place].0);
        let steps = history.iter().filter(|report| (from + 1..=step).contains(&report.step)).map(|report| report.loss);
        steps.clone().sum::<f64>() / steps.count().max(1) as f64
    };
    let (before, after) = (mean(place, best_step), mean(evaluations.len() - 1, now_step));
    (rises && after < before).then_some(Overfit { best, best_step, now, before, after })
}
