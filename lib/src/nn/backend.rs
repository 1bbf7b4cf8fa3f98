//! Device → how operations compute there: in fused operations on the CPU, in kernels of ours on a GPU, elsewhere composed of
//! candle's own; and the number format of products; and the threads that they run on.

use std::cell::Cell;
use std::thread::LocalKey;

use candle_core::{DType, Device, Tensor};

use compute::cuda::call::Runner;
use compute::pool::Pool;

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

/// Runs `work` on threads that nobody else uses meanwhile, with the switches of this thread: see [`Pool`].
pub fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    static POOL: Pool = Pool::new(4);
    let (composed, runner, products) = (COMPOSED.get(), RUNNER.get(), PRODUCTS.get());
    POOL.run(move || with(&COMPOSED, composed, || with(&RUNNER, runner, || with(&PRODUCTS, products, work))))
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
