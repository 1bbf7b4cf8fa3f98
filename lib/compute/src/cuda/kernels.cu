// All kernels as one program. Rust joins the same files in this order (call.rs), for NVRTC, which reads no files.
#include "kernels/common.cuh"
#include "kernels/norm.cu"
#include "kernels/attention.cu"
#include "kernels/activation.cu"
#include "kernels/loss.cu"
#include "kernels/update.cu"
