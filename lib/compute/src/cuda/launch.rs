//! A call and its three inputs on a GPU → the output there: the kernels are compiled by NVRTC when the first is called.

use std::sync::OnceLock;

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::{CudaFunction, DriverError, LaunchArgs, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::{CudaDevice, cudarc};
use candle_core::{CudaStorage, Layout};

use crate::cuda::call::{Call, SOURCE, THREADS};

/// The output of a call on the device of its inputs, which stand there without gaps.
///
/// # Errors
/// When an input has gaps, another type than f32, another device or another length than the call's; when NVRTC is missing or the
/// device has no memory.
pub fn run(call: &Call, inputs: [(&CudaStorage, &Layout); 3]) -> candle_core::Result<CudaStorage> {
    let device = inputs[0].0.device().clone();
    call.check(inputs.map(|(_, layout)| layout.shape().elem_count())).map_err(candle_core::Error::wrap)?;
    let kernel = kernel(&device, call.kernel())?;
    let mut views = Vec::new();
    for (storage, layout) in inputs {
        if !storage.device().same_device(&device) {
            candle_core::bail!("the inputs of {} are on two devices", call.kernel());
        }
        let Some((start, end)) = layout.contiguous_offsets() else { candle_core::bail!("an input of {} has gaps", call.kernel()) };
        views.push(storage.as_cuda_slice::<f32>()?.slice(start..end));
    }
    let (counts, numbers) = (call.counts().map(|count| count as i32), call.numbers());
    let mut out = device.alloc_zeros::<f32>(call.output())?;
    let stream = device.cuda_stream();
    let mut builder = stream.launch_builder(&kernel);
    for input in &views {
        builder.arg(input);
    }
    builder.arg(&mut out);
    for count in &counts {
        builder.arg(count);
    }
    for number in &numbers {
        builder.arg(number);
    }
    if call.blocks() > 0 {
        launch(&mut builder, call.blocks() as u32).map_err(candle_core::Error::wrap)?;
    }
    Ok(CudaStorage::wrap_cuda_slice(out, device))
}

fn kernel(device: &CudaDevice, name: &str) -> candle_core::Result<CudaFunction> {
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

/// Starts a kernel in so many blocks.
fn launch(builder: &mut LaunchArgs, blocks: u32) -> Result<(), DriverError> {
    let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS as u32, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: `run`, which alone calls this, has given the sixteen arguments that all kernels of `SOURCE` take. What they read and
    // write follows from the counts; `operation.rs` derives the lengths of inputs and output from the same numbers, and `check` has
    // compared the inputs with them, as the slices of candle's storage have compared the layouts.
    unsafe { builder.launch(config) }.map(drop)
}
