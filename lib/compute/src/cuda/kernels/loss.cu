// Logits and the ids that they should have predicted → losses, and back.

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

// Logits (rows, width), ids (rows) → losses (rows): 0 for an id below 0, not a number for one that has no logit. f0: label smoothing.
KERNEL(losses) {
    __shared__ float shared[THREADS];
    const float *x = a + (long)blockIdx.x * width;
    float mean, sum = log_sum(x, width, shared, &mean), id = b[blockIdx.x];
    if (threadIdx.x == 0) {
        // Nothing is read with an id before it is compared: also one that is not a number fails both comparisons.
        out[blockIdx.x] = id < 0.0f ? 0.0f : id < width ? (1.0f - f0) * (sum - x[(int)id]) + f0 * (sum - mean) : NAN;
    }
}

// Logits, ids, gradient by the losses (rows) → gradient by the logits.
KERNEL(losses_grad) {
    __shared__ float shared[THREADS];
    const float *x = a + (long)blockIdx.x * width;
    float *by_x = out + (long)blockIdx.x * width;
    float mean, sum = log_sum(x, width, shared, &mean), id = b[blockIdx.x], weight = id < 0.0f ? 0.0f : c[blockIdx.x];
    if (!(id < width)) weight = NAN;
    for (int k = threadIdx.x; k < width; k += THREADS) {
        by_x[k] = weight * (expf(x[k] - sum) - f0 / width - (k == id ? 1.0f - f0 : 0.0f));
    }
}
