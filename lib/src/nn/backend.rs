//! Device → how operations compute there: in fused operations on the CPU, in kernels of ours on a GPU, elsewhere composed of
//! candle's own; and the number format of products; and the threads that they run on.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::thread::LocalKey;

use candle_core::{DType, Device, Tensor};
use rayon::{BroadcastContext, ThreadPool, ThreadPoolBuilder};

use compute::cuda::call::Runner;

thread_local! {
    static COMPOSED: Cell<bool> = const { Cell::new(false) };
    static RUNNER: Cell<Option<Runner>> = const { Cell::new(None) };
    static PRODUCTS: Cell<DType> = const { Cell::new(DType::F32) };
}

/// Runs `work` on this thread with candle's own operations in place of the fused ones: what other devices compute, on the
/// CPU. To compare the two, or to look for a fault; it takes several times as long.
pub fn composed<T>(work: impl FnOnce() -> T) -> T {
    with(&COMPOSED, true, || with(&RUNNER, None, work))
}

/// Runs `work` on this thread with the products of composed operations in `dtype`, F32, BF16 or F16; weights, norms,
/// probabilities, losses and gradients of weights stay in f32: `torch.autocast`. Fused operations compute in f32 all the same.
pub fn autocast<T>(dtype: DType, work: impl FnOnce() -> T) -> T {
    with(&PRODUCTS, dtype, work)
}

/// Runs `work` on a thread of a pool that nobody else uses meanwhile, with the switches of this thread. From outside of a pool
/// each parallel operation has to wake another thread and wait for it; inside, there is one such turn for all of `work`. A pool
/// of its own, since a thread that waits in a shared one may begin with the work of another caller, and wait for a lock that
/// it holds itself. And always on its first thread: the allocator keeps what was freed for the thread that used it, so that
/// steps which change places would hold the memory of a step once for each thread.
pub fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    static IDLE: Mutex<Vec<ThreadPool>> = Mutex::new(Vec::new());
    if rayon::current_thread_index().is_some() {
        return work();
    }
    let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = idle().pop();
    let Some(pool) = taken.or_else(|| ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build().ok()) else {
        return work();
    };
    let (composed, runner, products) = (COMPOSED.get(), RUNNER.get(), PRODUCTS.get());
    let work = Mutex::new(Some(move || with(&COMPOSED, composed, || with(&RUNNER, runner, || with(&PRODUCTS, products, work)))));
    let on_first = |worker: BroadcastContext| {
        let work = if worker.index() == 0 { work.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None };
        work.map(|work| work())
    };
    let result = pool.broadcast(on_first).into_iter().flatten().next();
    idle().push(pool);
    result.expect("a pool has a first thread, and it did the work or panicked")
}

/// Runs `work` on this thread as on a GPU, with tensors on the CPU and a runner for the kernels: to test them without one.
pub fn emulated<T>(runner: Runner, work: impl FnOnce() -> T) -> T {
    composed(|| with(&RUNNER, Some(runner), work))
}

/// What computes kernels of tensors on the CPU.
pub(crate) fn runner() -> Option<Runner> {
    RUNNER.get()
}

/// Whether the kernels of `kernels.cu` compute on this device.
pub fn has_kernels(device: &Device) -> bool {
    match device {
        Device::Cpu => RUNNER.get().is_some(),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => !COMPOSED.get() && compute::cuda::launch::is_approved(),
        _ => false,
    }
}

/// Whether the fused operations compute on this device.
pub fn is_fused(device: &Device) -> bool {
    device.is_cpu() && !COMPOSED.get()
}

/// `a · b` of the last two axes in the format of [`autocast`], given back in f32.
pub fn product(a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
    match PRODUCTS.get() {
        DType::F32 => a.matmul(b),
        dtype => a.to_dtype(dtype)?.matmul(&b.to_dtype(dtype)?)?.to_dtype(DType::F32),
    }
}

/// Sets a switch while `work` runs, and back even if it panics.
fn with<S: Copy + 'static, T>(switch: &'static LocalKey<Cell<S>>, value: S, work: impl FnOnce() -> T) -> T {
    struct Back<S: Copy + 'static>(&'static LocalKey<Cell<S>>, S);
    impl<S: Copy + 'static> Drop for Back<S> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _back = Back(switch, switch.replace(value));
    work()
}

#[cfg(test)]
mod tests {
    use super::in_pool;

    #[test]
    fn calls_one_after_the_other_are_on_one_thread_and_have_the_others() {
        let first = in_pool(|| std::thread::current().id());
        for _ in 0..200 {
            let (this, other) = in_pool(|| rayon::join(|| std::thread::current().id(), rayon::current_num_threads));
            assert_eq!((this, other), (first, rayon::current_num_threads()));
        }
    }
}
