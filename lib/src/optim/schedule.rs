//! (schedule, its settings, step) → the learning rate, as in transformers' `optimization.py`.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate changes; the names and meanings of transformers' `SchedulerType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// After the warm-up in a straight line to 0 at the last step.
    #[default]
    Linear,
    /// After the warm-up along half a cosine to 0 at the last step (`num_cycles`, default 0.5, counts whole ones).
    Cosine,
    /// `num_cycles` (default 1) times from the full rate to 0 along half a cosine.
    CosineWithRestarts,
    /// As `Linear`, along a curve of `power` (default 1) to `lr_end` (default 1e-7).
    Polynomial,
    /// The same rate at every step: there is no warm-up.
    Constant,
    /// The same rate at every step after the warm-up.
    ConstantWithWarmup,
    /// After the warm-up with the inverse root of the step, shifted by `timescale` (default: the warm-up's steps, or 10,000).
    InverseSqrt,
    /// As `Cosine`, to `min_lr` or to `min_lr_rate` times the full rate; one of them has to be given.
    CosineWithMinLr,
    /// Stays after the warm-up, then falls along half a cosine over the last `num_decay_steps`, which have to be given.
    WarmupStableDecay,
}

/// Numbers that only some schedules read; unset ones have the schedule's default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerKwargs {
    /// Waves of a cosine; default 0.5, and 1 with restarts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_cycles: Option<f64>,
    /// Exponent of `Polynomial`; default 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    /// Last rate of `Polynomial`; default 1e-7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_end: Option<f64>,
    /// Steps of `InverseSqrt`; default the warm-up's steps, or 10,000 without a warm-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timescale: Option<f64>,
    /// Smallest rate of `CosineWithMinLr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr: Option<f64>,
    /// The same as a part of the full rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_lr_rate: Option<f64>,
    /// Steps of the fall of `WarmupStableDecay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_decay_steps: Option<usize>,
}

/// The learning rate of every step of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatePlan {
    /// How it changes.
    pub schedule: Schedule,
    /// The schedule's numbers.
    pub kwargs: SchedulerKwargs,
    /// The highest rate.
    pub learning_rate: f64,
    /// Steps over which it rises from 0.
    pub warmup_steps: usize,
    /// Steps of the run.
    pub total_steps: usize,
}

impl RatePlan {
    /// The learning rate of a step counted from 0.
    pub fn rate(&self, step: usize) -> f64 {
        self.learning_rate * self.factor(step)
    }

    /// The part of the highest rate that a step counted from 0 takes.
    pub fn factor(&self, step: usize) -> f64 {
        let Self { schedule, kwargs, learning_rate, warmup_steps, total_steps } = *self;
        if schedule == Schedule::Constant {
            return 1.0;
        }
        if step < warmup_steps {
            return step as f64 / warmup_steps as f64;
        }
        let rest = total_steps.saturating_sub(warmup_steps).max(1) as f64;
        let progress = (step - warmup_steps) as f64 / rest;
        let wave = |cycles: f64, progress: f64| (0.5 * (1.0 + (PI * 2.0 * cycles * progress).cos())).max(0.0);
        match schedule {
            Schedule::Linear => (total_steps.saturating_sub(step) as f64 / rest).max(0.0),
            Schedule::Cosine => wave(kwargs.num_cycles.unwrap_or(0.5), progress),
            Schedule::CosineWithRestarts if progress >= 1.0 => 0.0,
            Schedule::CosineWithRestarts => wave(0.5, (kwargs.num_cycles.unwrap_or(1.0) * progress) % 1.0),
            Schedule::Polynomial => {
                let end = kwargs.lr_end.unwrap_or(1e-7) / learning_rate;
                (1.0 - end) * (1.0 - progress.min(1.0)).powf(kwargs.power.unwrap_or(1.0)) + end
            }
            Schedule::Constant | Schedule::ConstantWithWarmup => 1.0,
            Schedule::InverseSqrt => {
                let own = if warmup_steps > 0 { warmup_steps as f64 } else { 10_000.0 };
                let scale = kwargs.timescale.unwrap_or(own);
                (scale / (step as f64 + scale - warmup_steps as f64)).sqrt()
            }
            Schedule::CosineWithMinLr => {
                let least = kwargs.min_lr_rate.or(kwargs.min_lr.map(|rate| rate / learning_rate)).unwrap_or(0.0);
                wave(kwargs.num_cycles.unwrap_or(0.5), progress) * (1.0 - least) + least
            }
            Schedule::WarmupStableDecay => {
                let decay = kwargs.num_decay_steps.unwrap_or(0);
                match step.saturating_add(decay).checked_sub(total_steps.max(warmup_steps.saturating_add(decay))) {
                    Some(fallen) if fallen >= decay => 0.0,
                    Some(fallen) => wave(kwargs.num_cycles.unwrap_or(0.5), fallen as f64 / decay as f64),
                    None => 1.0,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_steps_with_one_of_warm_up_are_the_courses() {
        let (schedule, kwargs) = (Schedule::Linear, SchedulerKwargs::default());
        let plan = RatePlan { schedule, kwargs, learning_rate: 1.0, warmup_steps: 1, total_steps: 3 };
        let factors: Vec<f64> = (0..=3).map(|step| plan.factor(step)).collect();
        assert_eq!(factors, [0.0, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn a_stable_rate_decays_at_the_end_only() {
        let kwargs = SchedulerKwargs { num_decay_steps: Some(4), ..Default::default() };
        let plan = RatePlan { schedule: Schedule::WarmupStableDecay, kwargs, learning_rate: 1.0, warmup_steps: 2, total_steps: 10 };
        let factors: Vec<f64> = [1, 2, 6, 8, 10, 11].iter().map(|&step| (plan.factor(step) * 1e6).round() / 1e6).collect();
        assert_eq!(factors, [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]);
    }
}
