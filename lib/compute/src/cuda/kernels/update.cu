// Values, gradient and state → what AdamW or Adafactor makes of them.

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
