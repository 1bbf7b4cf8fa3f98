//! A seed → the numbers and orders that NumPy draws from it: the one random generator of this crate. Splits, the order of
//! batches, new weights and sampled tokens all come from it, so that a seed means the same everywhere.
//!
//! Follows NumPy: `SeedSequence` (bit_generator.pyx), `PCG64` XSL-RR (pcg64.h), `Generator.permutation` (Fisher–Yates
//! from the back with masked rejection, `random_interval` of distributions.c).

/// `numpy.random.default_rng(seed).permutation(n)`.
pub fn permutation(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut random = Pcg64::new(seed);
    for last in (1..n).rev() {
        order.swap(last, random.interval(last as u64) as usize);
    }
    order
}

/// NumPy's PCG64 generator, seeded as `default_rng(seed)`.
#[derive(Debug, Clone)]
pub struct Pcg64 {
    state: u128,
    increment: u128,
    spare: Option<u32>,
}

const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

impl Pcg64 {
    /// The generator of `default_rng(seed)`.
    pub fn new(seed: u64) -> Self {
        let words = seed_words(seed);
        let wide = |high: u64, low: u64| (u128::from(high) << 64) | u128::from(low);
        let increment = (wide(words[2], words[3]) << 1) | 1;
        let mut generator = Self { state: 0, increment, spare: None };
        generator.advance();
        generator.state = generator.state.wrapping_add(wide(words[0], words[1]));
        generator.advance();
        generator
    }

    fn advance(&mut self) {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(self.increment);
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.advance();
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        folded.rotate_right((self.state >> 122) as u32)
    }

    /// The next 32 random bits: the low half of a word first, then its high half.
    pub fn next_u32(&mut self) -> u32 {
        if let Some(high) = self.spare.take() {
            return high;
        }
        let word = self.next_u64();
        self.spare = Some((word >> 32) as u32);
        word as u32
    }

    /// A uniform number in `[0, 1)` with 53 random bits.
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A standard normal number (Box–Muller; not NumPy's ziggurat).
    pub fn next_normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.next_f64()).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.next_f64()).cos()
    }

    /// A uniform index below `count`: `Generator.integers(0, count)` (Lemire's multiplication, as NumPy draws it in 32 bits). 0 for a
    /// `count` of 0 or 1.
    pub fn below(&mut self, count: usize) -> usize {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count < 2 {
            return 0;
        }
        loop {
            let wide = u64::from(self.next_u32()) * u64::from(count);
            // What would come more often than the rest is drawn again.
            if wide as u32 >= count || wide as u32 >= count.wrapping_neg() % count {
                return (wide >> 32) as usize;
            }
        }
    }

    /// A uniform integer in `0..=max` by masked rejection.
    fn interval(&mut self, max: u64) -> u64 {
        if max == 0 {
            return 0;
        }
        let mask = u64::MAX >> max.leading_zeros();
        loop {
            let value = if max <= u64::from(u32::MAX) { u64::from(self.next_u32()) } else { self.next_u64() } & mask;
            if value <= max {
                return value;
            }
        }
    }
}

/// `SeedSequence(seed).generate_state(4, uint64)` with its pool of four 32-bit words.
fn seed_words(seed: u64) -> [u64; 4] {
    const INIT_A: u32 = 0x43b0_d7e5;
    const MULT_A: u32 = 0x931e_8875;
    const INIT_B: u32 = 0x8b51_f9dd;
    const MULT_B: u32 = 0x58f3_8ded;
    let mut constant = INIT_A;
    let mut hash = |value: u32| {
        let value = value ^ constant;
        constant = constant.wrapping_mul(MULT_A);
        let value = value.wrapping_mul(constant);
        value ^ (value >> 16)
    };
    let mix = |x: u32, y: u32| {
        let mixed = x.wrapping_mul(0xca01_f9dd).wrapping_sub(y.wrapping_mul(0x4973_f715));
        mixed ^ (mixed >> 16)
    };
    let entropy = [seed as u32, (seed >> 32) as u32, 0, 0];
    let mut pool = entropy.map(&mut hash);
    for source in 0..4 {
        for target in 0..4 {
            if source != target {
                pool[target] = mix(pool[target], hash(pool[source]));
            }
        }
    }
    let mut constant = INIT_B;
    let mut words = [0u32; 8];
    for (index, word) in words.iter_mut().enumerate() {
        let value = pool[index % 4] ^ constant;
        constant = constant.wrapping_mul(MULT_B);
        let value = value.wrapping_mul(constant);
        *word = value ^ (value >> 16);
    }
    std::array::from_fn(|index| u64::from(words[2 * index]) | (u64::from(words[2 * index + 1]) << 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutation_is_numpys() {
        let order = permutation(1400, 123);
        assert_eq!(order[..12], [602, 1120, 271, 634, 548, 739, 1156, 651, 693, 120, 288, 264]);
    }

    #[test]
    fn uniform_numbers_are_numpys() {
        // numpy.random.default_rng(42).random(3)
        let mut random = Pcg64::new(42);
        assert_eq!([(); 3].map(|()| random.next_f64()), [0.773_956_048_555_963_3, 0.438_878_439_752_052_3, 0.858_597_919_911_382_5]);
    }
}
