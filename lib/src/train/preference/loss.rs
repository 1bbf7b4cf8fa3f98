//! What two models say of a pair of answers → its loss, and the derivatives by the two log probabilities: the losses of DPO.
//!
//! A margin is `β · ((log p − log p_ref)(chosen) − (log p − log p_ref)(rejected))`, with `log p` the sum over an answer's ids.

use serde_json::{Value, json};

/// A loss of a pair, by TRL's name in `loss_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DpoLoss {
    /// `−log σ(margin)` (Rafailov et al. 2023). With `label_smoothing` ε it is cDPO, `−(1 − ε) log σ(margin) − ε log σ(−margin)`,
    /// as in the authors' code; TRL's ignores it.
    Sigmoid,
    /// `max(0, 1 − margin)` (Zhao et al. 2023, SLiC).
    Hinge,
    /// `(d − 1 / 2β)²`, d the difference of the mean log ratios of a token (Azar et al. 2024; the mean is TRL's).
    Ipo,
    /// `(−(1 − ε) log σ(margin) + ε log σ(−margin)) / (1 − 2ε)` with `label_smoothing` ε (Chowdhury et al. 2024).
    Robust,
    /// The mean negative log probability of a chosen token of the micro-batch, as TRL takes it.
    Sft,
}

impl DpoLoss {
    /// TRL's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sigmoid => "sigmoid",
            Self::Hinge => "hinge",
            Self::Ipo => "ipo",
            Self::Robust => "robust",
            Self::Sft => "sft",
        }
    }

    /// Whether `label_smoothing` changes it.
    pub fn smooths(self) -> bool {
        matches!(self, Self::Sigmoid | Self::Robust)
    }
}

/// A weighted sum of losses of a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct PairLoss {
    /// How strongly the model is held to its reference, above 0.
    pub beta: f64,
    /// Share of the pairs that may be the wrong way round, 0 to below 0.5.
    pub label_smoothing: f64,
    /// The losses and their weights.
    pub losses: Vec<(DpoLoss, f64)>,
    /// Weight of the mean negative log probability of a chosen token, pair by pair (Pang et al. 2024); 0 adds none.
    pub rpo_alpha: f64,
}

/// What the losses of a pair depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairTerms {
    /// `log p` of the chosen answer.
    pub log_p: f64,
    /// `log p − log p_ref` of the chosen and of the rejected answer.
    pub ratios: [f64; 2],
    /// Ids of both answers.
    pub lengths: [f64; 2],
    /// Pairs over chosen tokens of the micro-batch.
    pub share: f64,
}

impl PairLoss {
    /// `β · (difference of the ratios)`.
    pub(crate) fn margin(&self, ratios: [f64; 2]) -> f64 {
        self.beta * (ratios[0] - ratios[1])
    }

    /// The loss, and its derivatives by the chosen and the rejected answer's `log p`.
    pub(crate) fn of(&self, terms: PairTerms) -> (f64, [f64; 2]) {
        let (mut loss, mut grads) = (0.0, [0.0; 2]);
        for &(kind, weight) in &self.losses {
            let (own, [chosen, rejected]) = self.one(kind, terms);
            loss += weight * own;
            grads = [grads[0] + weight * chosen, grads[1] + weight * rejected];
        }
        if self.rpo_alpha > 0.0 {
            loss -= self.rpo_alpha * terms.log_p / terms.lengths[0];
            grads[0] -= self.rpo_alpha / terms.lengths[0];
        }
        (loss, grads)
    }

    fn one(&self, kind: DpoLoss, terms: PairTerms) -> (f64, [f64; 2]) {
        let (margin, smoothing) = (self.margin(terms.ratios), self.label_smoothing);
        let by_margin = |loss: f64, grad: f64| (loss, [grad * self.beta, -(grad * self.beta)]);
        let (right, wrong) = (softplus(-margin), softplus(margin));
        match kind {
            DpoLoss::Sigmoid => {
                by_margin((1.0 - smoothing) * right + smoothing * wrong, smoothing * sigmoid(margin) - (1.0 - smoothing) * sigmoid(-margin))
            }
            DpoLoss::Robust => {
                let scale = 1.0 - 2.0 * smoothing;
                by_margin(
                    ((1.0 - smoothing) * right - smoothing * wrong) / scale,
                    (-(1.0 - smoothing) * sigmoid(-margin) - smoothing * sigmoid(margin)) / scale,
                )
            }
            DpoLoss::Hinge => by_margin((1.0 - margin).max(0.0), if margin < 1.0 { -1.0 } else { 0.0 }),
            DpoLoss::Ipo => {
                let [chosen, rejected] = terms.lengths;
                let off = terms.ratios[0] / chosen - terms.ratios[1] / rejected - 1.0 / (2.0 * self.beta);
                (off * off, [2.0 * off / chosen, -2.0 * off / rejected])
            }
            DpoLoss::Sft => (-terms.log_p * terms.share, [-terms.share, 0.0]),
        }
    }

    /// The settings, which a checkpoint keeps.
    pub(crate) fn settings(&self) -> Value {
        let (names, weights): (Vec<&str>, Vec<f64>) = self.losses.iter().map(|(kind, weight)| (kind.name(), *weight)).unzip();
        let Self { beta, label_smoothing, rpo_alpha, .. } = self;
        json!({ "beta": beta, "label_smoothing": label_smoothing, "loss_type": names, "loss_weights": weights, "rpo_alpha": rpo_alpha })
    }
}

/// `log(1 + e^x) = −log σ(−x)`, without overflow.
pub(crate) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + e^−x)`.
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
