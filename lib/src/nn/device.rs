//! This machine → the device that models compute on.

use std::path::Path;
use std::sync::Once;

use candle_core::Device;

use crate::util::notice;

/// Where Linux says that an NVIDIA driver runs.
const NVIDIA_DRIVER: &str = "/proc/driver/nvidia/version";

/// CUDA when the crate was built with the feature `cuda` and a GPU answers, else the CPU. Once in a process a line on stderr
/// says why a GPU is not used, where one is expected: the feature is on, or the machine has an NVIDIA driver.
pub fn best_device() -> Device {
    static SAID: Once = Once::new();
    let reason = match Device::cuda_if_available(0) {
        Ok(device) if device.is_cuda() => return device,
        Ok(_) if Path::new(NVIDIA_DRIVER).exists() => "the crate was built without the feature `cuda`".to_string(),
        Ok(_) => return Device::Cpu,
        Err(error) => format!("CUDA says: {}", error.to_string().lines().next().unwrap_or_default()),
    };
    SAID.call_once(|| notice::warn(format_args!("no GPU is used, the CPU computes: {reason}")));
    Device::Cpu
}
