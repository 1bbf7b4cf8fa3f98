//! Position → rotation of query and key (Su et al. 2021), in the half-split form of GPT-NeoX and Llama.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// The angles by which heads turn with their positions.
#[derive(Debug)]
pub struct Rotary {
    /// Of a position's step.
    frequencies: Vec<f32>,
    /// Factor of cosines and sines.
    size: f32,
    /// Those of the positions that were asked for until now.
    known: Mutex<Arc<Angles>>,
}

/// Cosines and sines of the first positions: `(positions, half)` each.
#[derive(Debug, Default)]
pub struct Angles {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// How positions are stretched over a longer context: `rope_scaling` of a `config.json`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// All frequencies turn slower by this factor: `linear`.
    Linear(f64),
    /// The slow frequencies turn slower: `llama3`.
    Llama3 {
        /// How much slower the slowest frequencies turn.
        factor: f64,
        /// Wavelengths above `original_positions / low` are stretched whole.
        low: f64,
        /// Wavelengths below `original_positions / high` stay.
        high: f64,
        /// Positions of the model before it was stretched.
        original_positions: f64,
    },
    /// Each frequency has its factor: `longrope` (Ding et al. 2024) with the factors for texts within the original positions.
    Long {
        /// How much slower each frequency turns.
        factors: Vec<f64>,
        /// Factor of query and key.
        attention: f64,
        /// Positions up to which these factors hold; beyond them a model has others, which this crate does not use.
        original_positions: usize,
    },
}

impl RopeScaling {
    /// Reads `rope_scaling` (or `rope_parameters`) of a `config.json`; `Err` names a kind that is not known.
    ///
    /// # Errors
    /// A kind that is not known, or a number that is missing, by its name.
    pub fn from_config(rope: &Value, config: &Value) -> Result<Option<Self>, String> {
        let kind = rope["rope_type"].as_str().or(rope["type"].as_str()).unwrap_or("default");
        let number = |name: &str| rope[name].as_f64().ok_or_else(|| format!("rope_scaling has no number `{name}`"));
        match kind {
            "default" => Ok(None),
            "linear" => Ok(Some(Self::Linear(number("factor")?))),
            "llama3" => Ok(Some(Self::Llama3 {
                factor: number("factor")?,
                low: number("low_freq_factor")?,
                high: number("high_freq_factor")?,
                original_positions: number("original_max_position_embeddings")?,
            })),
            "longrope" | "su" => {
                let factors = rope["short_factor"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
                let original =
                    config["original_max_position_embeddings"].as_f64().map_or_else(|| number("original_max_position_embeddings"), Ok)?;
                let longer = config["max_position_embeddings"].as_f64().unwrap_or(original) / original;
                let stretched = rope["factor"].as_f64().unwrap_or(longer);
                let usual = if stretched > 1.0 { (1.0 + stretched.ln() / original.ln()).sqrt() } else { 1.0 };
                let attention = rope["attention_factor"].as_f64().unwrap_or(usual);
                Ok(Some(Self::Long { factors, attention, original_positions: original as usize }))
            }
            other => Err(format!("rope_scaling is of type `{other}`; this crate knows `default`, `linear`, `llama3` and `longrope`")),
        }
    }

    /// The positions that may be computed, where the stretch bounds them.
    pub fn positions(&self) -> Option<usize> {
        match self {
            Self::Long { original_positions, .. } => Some(*original_positions),
            _ => None,
        }
    }

    /// Why this many rotated dimensions cannot be stretched so.
    pub fn misfit(&self, dimensions: usize) -> Option<String> {
        match self {
            Self::Long { factors, .. } if factors.len() != dimensions / 2 => Some(format!(
                "rope_scaling has {} numbers in short_factor; {dimensions} rotary dimensions need {}",
                factors.len(),
                dimensions / 2
            )),
            _ => None,
        }
    }

    /// The stretched form of the frequency with this index.
    pub(crate) fn apply(&self, index: usize, frequency: f64) -> f64 {
        let (factor, low, high, original_positions) = match self {
            Self::Linear(factor) => return frequency / factor,
            Self::Long { factors, .. } => return frequency / factors[index],
            Self::Llama3 { factor, low, high, original_positions } => (factor, low, high, original_positions),
        };
        let wavelength = 2.0 * std::f64::consts::PI / frequency;
        let smooth = (original_positions / wavelength - low) / (high - low);
        if wavelength < original_positions / high {
            frequency
        } else if wavelength > original_positions / low {
            frequency / factor
        } else {
            (1.0 - smooth) * frequency / factor + smooth * frequency
        }
    }
}

impl Rotary {
    /// Angles `p · base^(−2i/d)` of `dimensions` rotated dimensions (d, even).
    pub fn new(dimensions: usize, base: f64, scaling: Option<&RopeScaling>) -> Self {
        let frequencies: Vec<f32> = (0..dimensions / 2)
            .map(|i| (i, 1.0 / base.powf(2.0 * i as f64 / dimensions as f64)))
            .map(|(i, frequency)| scaling.map_or(frequency, |scaling| scaling.apply(i, frequency)) as f32)
            .collect();
        let size = match scaling {
            Some(RopeScaling::Long { attention, .. }) => *attention as f32,
            _ => 1.0,
        };
        Self { frequencies, size, known: Mutex::default() }
    }

    /// All that the angles depend on: the frequencies, and the factor of cosines and sines.
    pub(crate) fn turns(&self) -> (&[f32], f32) {
        (&self.frequencies, self.size)
    }

    /// Rotated dimensions of a head, halved.
    pub fn half(&self) -> usize {
        self.frequencies.len()
    }

    /// Those of `positions` positions at least. What was computed once is kept.
    pub fn angles(&self, positions: usize) -> Arc<Angles> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.cos.len() < positions * self.half() {
            // A text that grows by one position a time asks seldom.
            *known = Arc::new(self.first(positions.next_power_of_two()));
        }
        known.clone()
    }

    fn first(&self, positions: usize) -> Angles {
        let angles = (0..positions).flat_map(|position| self.frequencies.iter().map(move |frequency| position as f32 * frequency));
        let (cos, sin) = angles.map(|angle| (angle.cos() * self.size, angle.sin() * self.size)).unzip();
        Angles { half: self.half(), cos, sin }
    }
}

impl Angles {
    /// Cosines and sines of `count` positions from `start` on, `(count, half)` row-major.
    ///
    /// # Panics
    /// For positions that were not asked for.
    pub fn rows(&self, start: usize, count: usize) -> (&[f32], &[f32]) {
        let range = start * self.half..(start + count) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
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
