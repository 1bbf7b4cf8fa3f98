// Rows → layer norm or RMS norm, and back.

// Mean and 1 / √(variance + ε) of a row; without centring the mean is 0.
DEVICE void mean_var(const float *x, int width, int centred, float epsilon, float *shared, float *mean, float *scale) {
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
    mean_var(x, width, i0, f0, shared, &mean, &scale);
    for (int k = threadIdx.x; k < width; k += THREADS) y[k] = (x[k] - mean) * scale * (b[k] + f1) + (i0 ? c[k] : 0.0f);
}

// x, weight, gradient of the result → gradient by x.
KERNEL(norm_grad) {
    __shared__ float shared[THREADS];
    const float *x = a + (long)blockIdx.x * width, *grad = c + (long)blockIdx.x * width;
    float *by_x = out + (long)blockIdx.x * width;
    float mean, scale, sum = 0.0f, product = 0.0f;
    mean_var(x, width, i0, f0, shared, &mean, &scale);
    for (int k = threadIdx.x; k < width; k += THREADS) {
        float own = grad[k] * (b[k] + f1);
        sum += own;
        product += own * (x[k] - mean) * scale;
    }
    sum = together(sum, 0, shared) / width;
    product = together(product, 0, shared) / width;
    if (!i0) sum = 0.0f;
    for (int k = threadIdx.x; k < width; k += THREADS) {
        by_x[k] = scale * (grad[k] * (b[k] + f1) - sum - (x[k] - mean) * scale * product);
    }
}

// x → (rows, 2): mean and scale of each row.
KERNEL(norm_mean_var) {
    __shared__ float shared[THREADS];
    float mean, scale;
    mean_var(a + (long)blockIdx.x * width, width, i0, f0, shared, &mean, &scale);
    if (threadIdx.x == 0) {
        out[2 * blockIdx.x] = mean;
        out[2 * blockIdx.x + 1] = scale;
    }
}

// x, mean and scale of each of its rows, gradient of the result → (2, width): gradients by weight and bias. A thread has a column.
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
