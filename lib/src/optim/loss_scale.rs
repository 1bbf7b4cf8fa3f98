//! The factor that keeps small gradients above zero where products are f16.

use candle_core::DType;

/// What the loss is multiplied by before the backward pass in f16: `torch.amp.GradScaler`, with its numbers. A step whose
/// gradients overflow is computed again with half the factor, where PyTorch leaves the step out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScale {
    /// The factor; 1 where no format needs one.
    pub factor: f32,
    /// Steps since it last changed.
    pub good: u32,
}

impl LossScale {
    const FIRST: f32 = 65536.0;
    const PATIENCE: u32 = 2000;

    /// The first factor for products in `dtype`.
    pub fn new(dtype: DType) -> Self {
        Self { factor: if dtype == DType::F16 { Self::FIRST } else { 1.0 }, good: 0 }
    }

    /// After a step whose gradients were finite.
    pub fn grow(&mut self, dtype: DType) {
        if dtype == DType::F16 {
            self.good += 1;
            if self.good == Self::PATIENCE {
                *self = Self { factor: 2.0 * self.factor, good: 0 };
            }
        }
    }

    /// After gradients that were not finite; false when no smaller factor can help.
    pub fn shrink(&mut self) -> bool {
        let smaller = self.factor > 1.0;
        if smaller {
            *self = Self { factor: self.factor / 2.0, good: 0 };
        }
        smaller
    }
}
