//! (schedule, step) → the factor of the learning rate, as in transformers' `optimization.py`.

/// How the learning rate changes after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schedule {
    /// Falls in a straight line to 0 at the last step.
    #[default]
    Linear,
    /// Falls along half a cosine to 0 at the last step.
    Cosine,
    /// Stays.
    Constant,
}

impl Schedule {
    /// The factor at a step counted from 0: rises from 0 over `warmup_steps`, then follows the schedule.
    pub fn factor(self, step: usize, warmup_steps: usize, total_steps: usize) -> f64 {
        if step < warmup_steps {
            return step as f64 / warmup_steps.max(1) as f64;
        }
        let rest = total_steps.saturating_sub(warmup_steps).max(1) as f64;
        match self {
            Self::Linear => (total_steps.saturating_sub(step) as f64 / rest).max(0.0),
            Self::Cosine => (0.5 * (1.0 + (std::f64::consts::PI * (step - warmup_steps) as f64 / rest).cos())).max(0.0),
            Self::Constant => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_steps_with_one_of_warm_up_are_the_courses() {
        let factors: Vec<f64> = (0..=3).map(|step| Schedule::Linear.factor(step, 1, 3)).collect();
        assert_eq!(factors, [0.0, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn cosine_is_half_way_in_the_middle() {
        assert!((Schedule::Cosine.factor(6, 2, 10) - 0.5).abs() < 1e-12);
        assert_eq!(Schedule::Constant.factor(9, 2, 10), 1.0);
    }
}
