//! This machine → what it can do at best: matrix products and memory, measured when asked.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::cpu::gemm::{Matrix, Threads, matmul};
use crate::cpu::isa::vectorised;
use crate::cpu::rows::sum;

/// Speed that the products of a transformer's layer reach on all threads, in floating point operations a second: the peak
/// that training is compared with. The best shape's median run; takes about `patience` for each of five shapes.
pub fn product_speed(patience: Duration) -> f64 {
    let shapes = [(512, 512, 1536), (512, 512, 2048), (512, 2048, 512), (512, 512, 8192), (1024, 1024, 1024)];
    let speed = |(rows, inner, columns): (usize, usize, usize)| {
        let (a, b) = (vec![0.5f32; rows * inner], vec![0.25f32; inner * columns]);
        let mut out = vec![0f32; rows * columns];
        let seconds = typical(patience, || matmul(&mut out, Matrix::new(&a, inner), Matrix::new(&b, inner).t(), false, Threads::All));
        2.0 * (rows * inner * columns) as f64 / seconds
    };
    shapes.into_iter().map(speed).fold(0.0, f64::max)
}

/// Speed of `x += y` over arrays far larger than the caches, on all threads, in bytes a second (12 an element).
pub fn memory_speed(patience: Duration) -> f64 {
    vectorised! {
        fn part(x: &mut [f32], y: &[f32]) {
            for (x, y) in x.iter_mut().zip(y) {
                *x += y;
            }
        }
    }
    const COUNT: usize = 64 << 20;
    let (mut x, y) = (vec![1f32; COUNT], vec![1f32; COUNT]);
    let seconds = typical(patience, || x.par_chunks_mut(1 << 16).zip(y.par_chunks(1 << 16)).for_each(|(x, y)| part(x, y)));
    12.0 * COUNT as f64 / seconds
}

/// Speed of adding up an array far larger than the caches, on all threads, in bytes a second: what decoding is compared with.
pub fn read_speed(patience: Duration) -> f64 {
    vectorised! {
        fn part(x: &[f32]) -> f64 {
            x.chunks(1 << 12).map(|x| f64::from(sum(x))).sum()
        }
    }
    const COUNT: usize = 64 << 20;
    let x = vec![1f32; COUNT];
    let seconds = typical(patience, || {
        std::hint::black_box(x.par_chunks(1 << 18).map(part).sum::<f64>());
    });
    4.0 * COUNT as f64 / seconds
}

/// Seconds of the median of as many runs as fit, three at least after one to warm up.
fn typical(patience: Duration, mut run: impl FnMut()) -> f64 {
    run();
    let (start, mut seconds) = (Instant::now(), Vec::new());
    while seconds.len() < 3 || start.elapsed() < patience {
        let before = Instant::now();
        run();
        seconds.push(before.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
