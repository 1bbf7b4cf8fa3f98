// Numbers → GELU or a gated activation, and back.

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
        float bend = s * (1.0f + x * f0 * (1.0f + 3.0f * f1 * x * x) * (1.0f - s));
        out[k] = c[k] * bend * (i0 ? b[k] : 1.0f);
        out[rows + k] = c[k] * x * s;
    }
}
