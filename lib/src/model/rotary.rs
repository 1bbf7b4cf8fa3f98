//! Position → rotation of query and key (Su et al. 2021), in the half-split form of GPT-NeoX and Llama.

use serde_json::Value;

/// Cosines and sines of every position: `(positions, half)` each.
#[derive(Debug, Clone)]
pub struct Rotary {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// How Llama 3 stretches the slow frequencies over a longer context: `rope_scaling` of type `llama3`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// How much slower the slowest frequencies turn.
    pub factor: f64,
    /// Wavelengths above `original_positions / low` are stretched whole.
    pub low: f64,
    /// Wavelengths below `original_positions / high` stay.
    pub high: f64,
    /// Positions of the model before it was stretched.
    pub original_positions: f64,
}

impl Stretch {
    /// Reads `rope_scaling` (or `rope_parameters`) of a `config.json`; `Err` names a kind that is not known.
    pub fn from_config(value: &Value) -> Result<Option<Self>, String> {
        let kind = value["rope_type"].as_str().or(value["type"].as_str()).unwrap_or("default");
        let number = |name: &str| value[name].as_f64().ok_or_else(|| format!("rope_scaling has no number `{name}`"));
        match kind {
            "default" => Ok(None),
            "llama3" => Ok(Some(Self {
                factor: number("factor")?,
                low: number("low_freq_factor")?,
                high: number("high_freq_factor")?,
                original_positions: number("original_max_position_embeddings")?,
            })),
            other => Err(format!("rope_scaling is of type `{other}`; this crate knows `default` and `llama3`")),
        }
    }

    fn apply(self, frequency: f64) -> f64 {
        let wavelength = 2.0 * std::f64::consts::PI / frequency;
        let smooth = (self.original_positions / wavelength - self.low) / (self.high - self.low);
        if wavelength < self.original_positions / self.high {
            frequency
        } else if wavelength > self.original_positions / self.low {
            frequency / self.factor
        } else {
            (1.0 - smooth) * frequency / self.factor + smooth * frequency
        }
    }
}

impl Rotary {
    /// The table for `dimensions` rotated dimensions (even) and this many positions; angles are `p · base^(−2i/d)`.
    pub fn new(dimensions: usize, positions: usize, base: f64, stretch: Option<Stretch>) -> Self {
        let half = dimensions / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|i| 1.0 / base.powf(2.0 * i as f64 / dimensions as f64))
            .map(|frequency| stretch.map_or(frequency, |stretch| stretch.apply(frequency)) as f32)
            .collect();
        let angles = (0..positions).flat_map(|position| frequencies.iter().map(move |frequency| position as f32 * frequency));
        let (cos, sin) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        Self { half, cos, sin }
    }

    /// (cos, sin) tables, `(positions, half)` row-major.
    pub fn tables(&self) -> (&[f32], &[f32]) {
        (&self.cos, &self.sin)
    }

    /// Rotated dimensions of a head, halved.
    pub fn half(&self) -> usize {
        self.half
    }

    /// Turns the first dimensions of a head by the angle of `position`; `sign` −1 turns back.
    #[inline(always)]
    pub fn turn(&self, head: &mut [f32], position: usize, sign: f32) {
        let row = position * self.half..(position + 1) * self.half;
        let (first, second) = head[..2 * self.half].split_at_mut(self.half);
        for (((x, y), cos), sin) in first.iter_mut().zip(second).zip(&self.cos[row.clone()]).zip(&self.sin[row]) {
            let sin = sign * sin;
            (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
        }
    }
}
