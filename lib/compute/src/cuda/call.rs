//! A kernel of `kernels.cu` and all that it is told.

/// Threads of a block, as in `kernels.cu`.
pub const THREADS: usize = 256;

/// A kernel and all that it is told, but for its three inputs.
#[derive(Debug, Clone)]
pub struct Call {
    pub kernel: &'static str,
    /// Blocks of [`THREADS`] threads.
    pub blocks: usize,
    /// Rows, width and what the kernel calls i0 to i5.
    pub counts: [usize; 8],
    /// f0 to f3.
    pub numbers: [f32; 4],
    /// Dimensions of the output.
    pub shape: Vec<usize>,
}

/// Computes a call in place of a GPU.
pub type Runner = fn(&Call, [&[f32]; 3]) -> Vec<f32>;

impl Call {
    /// A block for each row.
    pub fn new(kernel: &'static str, (rows, width): (usize, usize), more: &[usize], numbers: &[f32], shape: &[usize]) -> Self {
        let mut call = Self { kernel, blocks: rows, counts: [0; 8], numbers: [0.0; 4], shape: shape.to_vec() };
        call.counts[..2].copy_from_slice(&[rows, width]);
        call.counts[2..2 + more.len()].copy_from_slice(more);
        call.numbers[..numbers.len()].copy_from_slice(numbers);
        call
    }

    /// The same with a thread for each of so many numbers.
    pub fn over(self, numbers: usize) -> Self {
        Self { blocks: numbers.div_ceil(THREADS), ..self }
    }
}
