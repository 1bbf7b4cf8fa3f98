//! A kernel and all that it is told → whether three inputs are those that it reads.
//!
//! A kernel reads and writes what its counts say. So nobody chooses them: a [`Call`] comes only from
//! [`crate::cuda::operation`], and what runs one compares the inputs with it first, by [`Call::check`].

use std::fmt;

/// The program that all kernels are in; `kernels.cu` includes the same files in the same order.
pub const SOURCE: &str = concat!(
    include_str!("kernels/common.cuh"),
    include_str!("kernels/norm.cu"),
    include_str!("kernels/attention.cu"),
    include_str!("kernels/activation.cu"),
    include_str!("kernels/loss.cu"),
    include_str!("kernels/update.cu"),
);

/// Threads of a block, as in `common.cuh`.
pub const THREADS: usize = 256;

/// Counts up to here, and the sum of two of them, are an `int` of C.
pub(super) const MOST: usize = i32::MAX as usize / 2;

/// A kernel and all that it is told, but for its three inputs.
#[derive(Debug, Clone)]
pub struct Call {
    kernel: &'static str,
    blocks: usize,
    counts: [usize; 8],
    numbers: [f32; 4],
    inputs: [Option<usize>; 3],
    shape: Vec<usize>,
}

/// Computes a call in place of a GPU, in tests.
pub type Runner = fn(&Call, [&[f32]; 3]) -> Vec<f32>;

/// Why a call does not run: in a word, its inputs are not those that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError(String);

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for CallError {}

impl Call {
    /// A block for each row. Products saturate here, and [`Call::check`] refuses what is that large.
    pub(super) fn by_row(kernel: &'static str, counts: &[usize], numbers: &[f32], inputs: [Option<usize>; 3], shape: &[usize]) -> Self {
        let mut call = Self { kernel, blocks: counts[0], counts: [0; 8], numbers: [0.0; 4], inputs, shape: shape.to_vec() };
        call.counts[..counts.len()].copy_from_slice(counts);
        call.numbers[..numbers.len()].copy_from_slice(numbers);
        call
    }

    /// A thread for each of `count` numbers.
    pub(super) fn by_number(
        kernel: &'static str,
        count: usize,
        more: &[usize],
        numbers: &[f32],
        inputs: [Option<usize>; 3],
        shape: &[usize],
    ) -> Self {
        let counts = [&[count, 1], more].concat();
        Self { blocks: count.div_ceil(THREADS), ..Self::by_row(kernel, &counts, numbers, inputs, shape) }
    }

    /// The same in so many blocks.
    pub(super) fn in_blocks(self, blocks: usize) -> Self {
        Self { blocks, ..self }
    }

    /// The kernel's name in [`SOURCE`].
    pub fn kernel(&self) -> &'static str {
        self.kernel
    }

    /// Blocks of [`THREADS`] threads.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Rows, width and what the kernel calls i0 to i5.
    pub fn counts(&self) -> [usize; 8] {
        self.counts
    }

    /// What the kernel calls f0 to f3.
    pub fn numbers(&self) -> [f32; 4] {
        self.numbers
    }

    /// Dimensions of the output.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Numbers of the output.
    pub fn output(&self) -> usize {
        product(&self.shape)
    }

    /// Whether inputs of so many numbers are those that the kernel reads; one that it does not read may have any length.
    ///
    /// # Errors
    /// When an input is longer or shorter, or a count is more than a kernel's `int` holds.
    pub fn check(&self, lengths: [usize; 3]) -> Result<(), CallError> {
        let counts = self.counts.into_iter().chain([self.blocks]);
        if let Some(count) = counts.into_iter().find(|count| *count > MOST) {
            let fault =
                format!("{count} rows, numbers or blocks are more than the {MOST} of the kernel {}: take a smaller batch", self.kernel);
            return Err(CallError(fault));
        }
        for ((name, needed), length) in ["first", "second", "third"].into_iter().zip(self.inputs).zip(lengths) {
            if let Some(needed) = needed.filter(|needed| *needed != length) {
                let fault = format!("the {name} input of the kernel {} has {length} numbers in place of {needed}", self.kernel);
                return Err(CallError(fault));
            }
        }
        Ok(())
    }

    /// The output, computed by `runner`.
    ///
    /// # Errors
    /// As [`Call::check`], and when the output has not as many numbers as its shape.
    pub fn emulate(&self, runner: Runner, inputs: [&[f32]; 3]) -> Result<Vec<f32>, CallError> {
        self.check(inputs.map(<[f32]>::len))?;
        let out = runner(self, inputs);
        if out.len() != self.output() {
            return Err(CallError(format!("the runner of {} gave {} numbers in place of {}", self.kernel, out.len(), self.output())));
        }
        Ok(out)
    }
}

/// The product of counts; the largest number where it would be larger.
pub(super) fn product(counts: &[usize]) -> usize {
    counts.iter().fold(1, |product, count| product.saturating_mul(*count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_for_nvcc_has_the_same_files_in_the_same_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cuda/");
        let read = |name: &str| std::fs::read_to_string(format!("{folder}{name}")).unwrap();
        let included = |line: &str| line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"')).map(read);
        assert_eq!(read("kernels.cu").lines().filter_map(included).collect::<String>(), SOURCE);
    }
}
