//! Answers to some prompts and their rewards → sequences with weights, whose gradient makes the better ones of each group likelier.
//!
//! Shao et al. 2024 (DeepSeekMath), with the names of TRL. The advantage of an answer is its reward less the mean of its group, over
//! the deviation. The answers are those of the model as it is, so the ratio of probabilities is 1, nothing is clipped, and the
//! gradient is that of a cross entropy whose tokens weigh as much as the advantage.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};
use crate::tokenizer::encode::Encoding;
use crate::train::batch::TokenWeights;
use crate::train::objective::StepTask;
use crate::train::report::Metrics;

/// What is added to a deviation, as in TRL.
const SMALL: f64 = 1e-4;

/// By what advantages are divided, TRL's `scale_rewards`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ScaleRewards {
    /// The deviation of the rewards of the prompt's answers.
    #[default]
    Group,
    /// The deviation of all rewards of the step.
    Batch,
    /// Nothing (Liu et al. 2025).
    None,
}

/// How the tokens of the answers are averaged, TRL's `loss_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GrpoLoss {
    /// Over all tokens of the step (Yu et al. 2025).
    #[default]
    Dapo,
    /// Over the tokens of each answer, then over the answers (the paper's).
    Grpo,
    /// Over the answers, each token by `max_completion_length` (Liu et al. 2025).
    DrGrpo,
}

/// Answers to a prompt, which the model as it is now has written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rollouts {
    /// The prompt, at least one id.
    pub prompt: Vec<u32>,
    /// The answers, at least one id each.
    pub completions: Vec<Vec<u32>>,
    /// What each of them earns.
    pub rewards: Vec<f64>,
}

/// How rewards become weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weighing {
    pub scale_rewards: ScaleRewards,
    pub loss_type: GrpoLoss,
    pub max_completion_length: usize,
}

impl Weighing {
    /// What there is to learn of answers to some prompts.
    pub fn task(self, groups: &[Rollouts]) -> StepTask<'static> {
        let (advantages, metrics) = self.advantages(groups);
        let answers = groups.iter().flat_map(|group| group.completions.iter().map(|answer| (&group.prompt, answer)));
        let tokens = answers.clone().map(|(_, answer)| answer.len()).sum::<usize>() as f64;
        let count = advantages.len() as f64;
        let (mut loss, mut sequences) = (0.0, Vec::with_capacity(advantages.len()));
        for ((prompt, answer), advantage) in answers.zip(advantages) {
            let length = answer.len() as f64;
            let weight = advantage
                / match self.loss_type {
                    GrpoLoss::Dapo => tokens,
                    GrpoLoss::Grpo => count * length,
                    GrpoLoss::DrGrpo => count * self.max_completion_length as f64,
                };
            loss -= weight * length;
            let row = Encoding { prompt_length: prompt.len(), ..Encoding::from_ids([prompt.as_slice(), answer].concat()) };
            sequences.push((Cow::Owned(row), TokenWeights::completion(weight as f32)));
        }
        StepTask { sequences, loss: Some((loss, 1.0)), metrics }
    }

    /// The advantage of each answer, and what TRL logs.
    fn advantages(self, groups: &[Rollouts]) -> (Vec<f64>, Metrics) {
        let rewards: Vec<f64> = groups.iter().flat_map(|group| &group.rewards).copied().collect();
        let (mean, deviation) = moments(&rewards);
        let mut advantages = Vec::with_capacity(rewards.len());
        let mut even = 0.0;
        for group in groups {
            let (mean, own) = moments(&group.rewards);
            let scale = match self.scale_rewards {
                ScaleRewards::Group => own + SMALL,
                ScaleRewards::Batch => deviation + SMALL,
                ScaleRewards::None => 1.0,
            };
            even += f64::from(u8::from(own.abs() <= 1e-8)) / groups.len() as f64;
            advantages.extend(group.rewards.iter().map(|reward| (reward - mean) / scale));
        }
        let lengths: Vec<f64> = groups.iter().flat_map(|group| group.completions.iter().map(|answer| answer.len() as f64)).collect();
        let numbers =
            [("reward", mean), ("reward_std", deviation), ("frac_reward_zero_std", even), ("completions/mean_length", moments(&lengths).0)];
        (advantages, numbers.into_iter().map(|(name, number)| (name.to_string(), number)).collect())
    }
}

/// Mean and deviation of a sample; 0 of fewer than two numbers.
fn moments(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count.max(1.0);
    let squares = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

/// Refuses a reward that is no number.
///
/// # Errors
/// When it is infinite or NaN; the answer is quoted.
pub(super) fn finite(reward: f64, prompt: &str, answer: &str) -> Result<f64> {
    if reward.is_finite() {
        return Ok(reward);
    }
    let short =
        |text: &str| if text.chars().count() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text.into() };
    let message = format!("the reward is {reward} for the answer {:?} to {:?}; it must be a finite number", short(answer), short(prompt));
    Err(Error::new(ErrorKind::Training, message)
        .hint("look for a division by 0, or give an answer that cannot be judged the lowest reward; weights and checkpoints are as before the step"))
}
