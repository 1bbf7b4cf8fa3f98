//! Kernels of `kernels.cu` on a GPU: compiled there by NVRTC when the first is called, and started.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{CudaFunction, DriverError, LaunchArgs, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::{CudaDevice, cudarc};
use candle_core::{CudaStorage, Layout};

use crate::cuda::call::{Call, THREADS};

type Answer<T> = candle_core::Result<T>;

const SOURCE: &str = include_str!("kernels.cu");

/// The output of a call on the device of its inputs, which stand there without gaps.
pub fn run(call: &Call, inputs: [(&CudaStorage, &Layout); 3]) -> Answer<CudaStorage> {
    let device = inputs[0].0.device().clone();
    let kernel = kernel(&device, call.kernel)?;
    let mut views = Vec::new();
    for (storage, layout) in inputs {
        let Some((start, end)) = layout.contiguous_offsets() else { candle_core::bail!("an input of {} has gaps", call.kernel) };
        views.push(storage.as_cuda_slice::<f32>()?.slice(start..end));
    }
    if let Some(count) = call.counts.iter().find(|count| **count > i32::MAX as usize / 2) {
        candle_core::bail!("{count} rows or numbers are more than the kernel {} counts: take a smaller batch", call.kernel);
    }
    let counts = call.counts.map(|count| count as i32);
    let mut out = device.alloc_zeros::<f32>(call.shape.iter().product())?;
    let stream = device.cuda_stream();
    let mut builder = stream.launch_builder(&kernel);
    for input in &views {
        builder.arg(input);
    }
    builder.arg(&mut out);
    for count in &counts {
        builder.arg(count);
    }
    for number in &call.numbers {
        builder.arg(number);
    }
    launch(&mut builder, (call.blocks as u32, THREADS as u32)).map_err(candle_core::Error::wrap)?;
    Ok(CudaStorage::wrap_cuda_slice(out, device))
}

fn kernel(device: &CudaDevice, name: &str) -> Answer<CudaFunction> {
    static COMPILED: OnceLock<Result<String, String>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| match cudarc::nvrtc::compile_ptx(SOURCE) {
        Ok(program) => Ok(program.to_src()),
        Err(error) => Err(format!("NVRTC cannot compile kernels.cu: {error}")),
    });
    match compiled {
        Ok(program) => Ok(device.get_or_load_custom_func(name, "finetuning", program)?.into_cuda_function()),
        Err(error) => candle_core::bail!("{error}"),
    }
}

/// Starts a kernel of `kernels.cu` in blocks of `threads`.
fn launch(builder: &mut LaunchArgs, (blocks, threads): (u32, u32)) -> Result<(), DriverError> {
    let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: `cuda.rs`, which alone calls this, has given the sixteen arguments that all kernels of `kernels.cu` take; which numbers
    // they read and write follows from the counts, which `gpu.rs` takes from the shapes of the same tensors.
    unsafe { builder.launch(config) }.map(drop)
}
