// What candle composes of many operations, in one kernel each: rows of f32 → rows of f32. In C, but for the words that CUDA adds.
//
// All kernels take the same arguments: up to three inputs, one output, up to eight counts and four numbers; a block has THREADS
// threads. Compiled on the user's machine by NVRTC (cuda.rs); by a C compiler in tests, which let the threads take turns.

#ifdef __CUDACC__
#define KERNEL(name) extern "C" __global__ void name(ARGUMENTS)
#define DEVICE __device__ static
#endif
#ifdef __CUDACC_RTC__
#define INFINITY __int_as_float(0x7f800000)
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

// Mean and 1 / √(variance + ε) of a row; without centring the mean is 0.
DEVICE void moments(const float *x, int width, int centred, float epsilon, float *shared, float *mean, float *scale) {
    float sum = 0.0f;
    for (int k = threadIdx.x; k < width; k += THREADS) sum += x[k];
    *mean = centred ? together(sum, 0, shared) / width : 0.0f;
    float squares = 0.0f;
    for (int k = threadIdx.x; k < width; k += THREADS) squares += (x[k] - *mean) * (x[k] - *mean);
    *scale = 1.0f / sqrtf(together(squares, 0, shared) / width + epsilon);
}

// x (rows, width), weight, bias → layer norm, or RMS norm where i0 is 0. f0: epsilon, f1: added to the weight.
KERNEL(norm_rows) {
    __shared__ float shared[THREADS];
    const float *x = a + (long)blockIdx.x * width;
    float *y = out + (long)blockIdx.x * width;
    float mean, scale;
    moments(x, width, i0, f0, shared, &mean, &scale);
    for (int k = threadIdx.x; k < width; k += THREADS) y[k] = (x[k] - mean) * scale * (b[k] + f1) + (i0 ? c[k] : 0.0f);
}

// x, weight, gradient of the result → gradient by x.
KERNEL(norm_grad) {
    __shared__ float shared[THREADS];
    const float *x = a + (long)blockIdx.x * width, *grad = c + (long)blockIdx.x * width;
    float *slope = out + (long)blockIdx.x * width;
    float mean, scale, sum = 0.0f, product = 0.0f;
    moments(x, width, i0, f0, shared, &mean, &scale);
    for (int k = threadIdx.x; k < width; k += THREADS) {
        float own = grad[k] * (b[k] + f1);
        sum += own;
        product += own * (x[k] - mean) * scale;
    }
    sum = together(sum, 0, shared) / width;
    product = together(product, 0, shared) / width;
    if (!i0) sum = 0.0f;
    for (int k = threadIdx.x; k < width; k += THREADS) {
        slope[k] = scale * (grad[k] * (b[k] + f1) - sum - (x[k] - mean) * scale * product);
    }
}

// x → (rows, 2): mean and scale of each row.
KERNEL(norm_moments) {
    __shared__ float shared[THREADS];
    float mean, scale;
    moments(a + (long)blockIdx.x * width, width, i0, f0, shared, &mean, &scale);
    if (threadIdx.x == 0) {
        out[2 * blockIdx.x] = mean;
        out[2 * blockIdx.x + 1] = scale;
    }
}

// x, the moments of its rows, gradient of the result → (2, width): gradients by weight and bias. A thread has a column.
KERNEL(norm_affine) {
    int k = blockIdx.x * THREADS + threadIdx.x;
    if (k >= width) return;
    float by_weight = 0.0f, by_bias = 0.0f;
    for (long row = 0; row < rows; row++) {
        float grad = c[row * width + k];
        by_weight += grad * (a[row * width + k] - b[2 * row]) * b[2 * row + 1];
        by_bias += grad;
    }
    out[k] = by_weight;
    out[width + k] = by_bias;
}

// Where element `d` of a head stands in a row of qkv. i0: heads, i1: groups, i2: size; i4: interleaved.
DEVICE int column(int part, int d, int heads, int groups, int size, int interleaved) {
    int kind = part < heads ? 0 : part < heads + groups ? 1 : 2;
    int index = part - (kind == 0 ? 0 : kind == 1 ? heads : heads + groups);
    return (interleaved ? 3 * index + kind : part) * size + d;
}

// qkv (rows, width), cosines and sines (positions, half) → queries, keys, values (heads + 2 groups, rows, size), turned by their
// positions. i3: half of the turned dimensions, i5: position of the first row. A block has a position.
KERNEL(heads) {
    int t = blockIdx.x;
    const float *row = a + (long)t * width, *cosines = b + (long)(i5 + t) * i3, *sines = c + (long)(i5 + t) * i3;
    for (int k = threadIdx.x; k < width; k += THREADS) {
        int part = k / i2, d = k % i2;
        float x = row[column(part, d, i0, i1, i2, i4)];
        if (part < i0 + i1 && d < 2 * i3) {
            int angle = d < i3 ? d : d - i3;
            float other = row[column(part, d < i3 ? d + i3 : d - i3, i0, i1, i2, i4)];
            x = x * cosines[angle] + (d < i3 ? -other : other) * sines[angle];
        }
        out[((long)part * rows + t) * i2 + d] = x;
    }
}

// The gradient of the result of `heads` → the gradient by qkv.
KERNEL(heads_grad) {
    int t = blockIdx.x;
    const float *cosines = b + (long)(i5 + t) * i3, *sines = c + (long)(i5 + t) * i3;
    for (int k = threadIdx.x; k < width; k += THREADS) {
        int part = k / i2, d = k % i2;
        const float *grad = a + ((long)part * rows + t) * i2;
        float x = grad[d];
        if (part < i0 + i1 && d < 2 * i3) {
            int angle = d < i3 ? d : d - i3;
            float other = grad[d < i3 ? d + i3 : d - i3];
            x = x * cosines[angle] + (d < i3 ? other : -other) * sines[angle];
        }
        out[(long)t * width + column(part, d, i0, i1, i2, i4)] = x;
    }
}

// A product of query and key → its score. f0: scale, f1: cap, 0 for none.
DEVICE float score(float x, float scale, float cap) {
    return cap > 0.0f ? cap * tanhf(x * scale / cap) : x * scale;
}

// Products (heads · queries, keys) → probabilities. i0: queries, i1: position of the first, i2: keys that a query sees, 0 for all.
KERNEL(softmax) {
    __shared__ float shared[THREADS];
    const float *x = a + (long)blockIdx.x * width;
    float *y = out + (long)blockIdx.x * width;
    int position = i1 + blockIdx.x % i0;
    int first = i2 > 0 && position + 1 > i2 ? position + 1 - i2 : 0;
    float top = -INFINITY, sum = 0.0f;
    for (int k = first + threadIdx.x; k <= position; k += THREADS) top = fmaxf(top, score(x[k], f0, f1));
    top = together(top, 1, shared);
    for (int k = first + threadIdx.x; k <= position; k += THREADS) sum += expf(score(x[k], f0, f1) - top);
    sum = together(sum, 0, shared);
    for (int k = threadIdx.x; k < width; k += THREADS) {
        y[k] = k >= first && k <= position ? expf(score(x[k], f0, f1) - top) / sum : 0.0f;
    }
}

// Products, probabilities, gradient by the probabilities → gradient by the products.
KERNEL(softmax_grad) {
    __shared__ float shared[THREADS];
    const float *x = a + (long)blockIdx.x * width, *p = b + (long)blockIdx.x * width, *grad = c + (long)blockIdx.x * width;
    float *slope = out + (long)blockIdx.x * width;
    float average = 0.0f;
    for (int k = threadIdx.x; k < width; k += THREADS) average += p[k] * grad[k];
    average = together(average, 0, shared);
    for (int k = threadIdx.x; k < width; k += THREADS) {
        float bend = f1 > 0.0f ? tanhf(x[k] * f0 / f1) : 0.0f;
        slope[k] = p[k] * (grad[k] - average) * f0 * (1.0f - bend * bend);
    }
}

// x · Φ(x), Φ the normal distribution function. rows: how many numbers.
KERNEL(gelu) {
    int k = blockIdx.x * THREADS + threadIdx.x;
    if (k < rows) out[k] = a[k] * 0.5f * (1.0f + erff(a[k] * 0.70710678f));
}

// x, gradient of the result → gradient by x.
KERNEL(gelu_grad) {
    int k = blockIdx.x * THREADS + threadIdx.x;
    if (k < rows) {
        float x = a[k];
        out[k] = b[k] * (0.5f * (1.0f + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x));
    }
}

// σ(rate · (x + cube · x³)).
DEVICE float gate(float x, float rate, float cube) {
    return 1.0f / (1.0f + expf(-rate * (x + cube * x * x * x)));
}

// activation(gate) · up, or the activation alone where i0 is 0. f0: rate, f1: cube.
KERNEL(gated) {
    int k = blockIdx.x * THREADS + threadIdx.x;
    if (k < rows) out[k] = a[k] * gate(a[k], f0, f1) * (i0 ? b[k] : 1.0f);
}

// gate, up, gradient of the result → (2, rows): gradients by gate and up.
KERNEL(gated_grad) {
    int k = blockIdx.x * THREADS + threadIdx.x;
    if (k < rows) {
        float x = a[k], s = gate(x, f0, f1);
        float slope = s * (1.0f + x * f0 * (1.0f + 3.0f * f1 * x * x) * (1.0f - s));
        out[k] = c[k] * slope * (i0 ? b[k] : 1.0f);
        out[rows + k] = c[k] * x * s;
    }
}

// The logarithm of the sum of exponentials of a row, and the mean of the row.
DEVICE float log_sum(const float *x, int width, float *shared, float *mean) {
    float top = -INFINITY, sum = 0.0f, plain = 0.0f;
    for (int k = threadIdx.x; k < width; k += THREADS) top = fmaxf(top, x[k]);
    top = together(top, 1, shared);
    for (int k = threadIdx.x; k < width; k += THREADS) {
        sum += expf(x[k] - top);
        plain += x[k];
    }
    sum = together(sum, 0, shared);
    *mean = together(plain, 0, shared) / width;
    return top + logf(sum);
}

// Logits (rows, width), targets (rows) → losses (rows). f0: label smoothing.
KERNEL(losses) {
    __shared__ float shared[THREADS];
    const float *x = a + (long)blockIdx.x * width;
    float mean, sum = log_sum(x, width, shared, &mean);
    if (threadIdx.x == 0) {
        out[blockIdx.x] = (1.0f - f0) * (sum - x[(int)b[blockIdx.x]]) + f0 * (sum - mean);
    }
}

// Logits, targets, gradient by the losses (rows) → gradient by the logits.
KERNEL(losses_grad) {
    __shared__ float shared[THREADS];
    const float *x = a + (long)blockIdx.x * width;
    float *slope = out + (long)blockIdx.x * width;
    float mean, sum = log_sum(x, width, shared, &mean), weight = c[blockIdx.x];
    int target = (int)b[blockIdx.x];
    for (int k = threadIdx.x; k < width; k += THREADS) {
        slope[k] = weight * (expf(x[k] - sum) - f0 / width - (k == target ? 1.0f - f0 : 0.0f));
    }
}

// Gradient (rows), both moments (2, rows) → both moments after AdamW's step. f0: scale, f1: 1 − β₁, f2: β₂, f3: 1 − β₂.
KERNEL(adamw_moments) {
    int k = blockIdx.x * THREADS + threadIdx.x;
    if (k < rows) {
        float g = a[k] * f0;
        out[k] = b[k] + (g - b[k]) * f1;
        out[rows + k] = b[rows + k] * f2 + g * g * f3;
    }
}

// Values (rows), both moments (2, rows) → values. f0: what decay keeps, f1: step, f2: factor of the root, f3: epsilon.
KERNEL(adamw_values) {
    int k = blockIdx.x * THREADS + threadIdx.x;
    if (k < rows) out[k] = a[k] * f0 - f1 * b[k] / (sqrtf(b[rows + k]) * f2 + f3);
}

// Gradient (rows, width) → (rows): each row's mean of (f0 · g)² + f1.
KERNEL(square_rows) {
    __shared__ float shared[THREADS];
    const float *g = a + (long)blockIdx.x * width;
    float sum = 0.0f;
    for (int k = threadIdx.x; k < width; k += THREADS) sum += f0 * g[k] * f0 * g[k] + f1;
    sum = together(sum, 0, shared);
    if (threadIdx.x == 0) out[blockIdx.x] = sum / width;
}

// Gradient (rows, width) → (groups, width): each column's sum of (f0 · g)² + f1 over i0 rows. A thread has a column of a group.
KERNEL(square_columns) {
    int across = (width + THREADS - 1) / THREADS, group = blockIdx.x / across;
    int k = blockIdx.x % across * THREADS + threadIdx.x;
    if (k >= width) return;
    float sum = 0.0f;
    for (long row = (long)group * i0; row < rows && row < (long)(group + 1) * i0; row++) {
        sum += f0 * a[row * width + k] * f0 * a[row * width + k] + f1;
    }
    out[(long)group * width + k] = sum;
}

// Gradient (rows, width), factors of rows and of columns → (rows): each row's mean square of f0 · g · row · column.
KERNEL(update_rows) {
    __shared__ float shared[THREADS];
    const float *g = a + (long)blockIdx.x * width;
    float sum = 0.0f, factor = f0 * b[blockIdx.x];
    for (int k = threadIdx.x; k < width; k += THREADS) sum += factor * g[k] * c[k] * factor * g[k] * c[k];
    sum = together(sum, 0, shared);
    if (threadIdx.x == 0) out[blockIdx.x] = sum / width;
}

// Values and gradient (rows, width), factors of rows and then of columns → values. f0: what decay keeps, f1: rate · scale.
KERNEL(adafactor_values) {
    long start = (long)blockIdx.x * width;
    for (int k = threadIdx.x; k < width; k += THREADS) out[start + k] = a[start + k] * f0 - f1 * b[start + k] * c[blockIdx.x] * c[rows + k];
}
