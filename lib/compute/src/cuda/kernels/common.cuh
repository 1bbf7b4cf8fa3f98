// What candle composes of many operations, in one kernel each: rows of f32 → rows of f32. In C, but for the words that CUDA adds.
//
// All kernels take the same arguments: up to three inputs, one output, up to eight counts and four numbers; a block has THREADS
// threads. What a kernel reads and writes follows from the counts: operation.rs derives them and all lengths from the same numbers.
// Compiled on the user's machine by NVRTC (launch.rs); by a C compiler in tests, which let the threads take turns.

#ifdef __CUDACC__
#define KERNEL(name) extern "C" __global__ void name(ARGUMENTS)
#define DEVICE __device__ static
#endif
#ifdef __CUDACC_RTC__
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fc00000)
#endif

#define THREADS 256
#define ARGUMENTS                                                                                                                 \
    const float *a, const float *b, const float *c, float *out, int rows, int width, int i0, int i1, int i2, int i3, int i4, int i5, \
        float f0, float f1, float f2, float f3

// Puts one value of each thread together; every thread of the block must call it, and gets the result.
DEVICE float together(float value, int is_max, float *shared) {
    int thread = threadIdx.x;
    shared[thread] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (thread < half) {
            float other = shared[thread + half];
            shared[thread] = is_max ? fmaxf(shared[thread], other) : shared[thread] + other;
        }
        __syncthreads();
    }
    float result = shared[0];
    __syncthreads();
    return result;
}
