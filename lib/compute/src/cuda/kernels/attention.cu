// Rows of queries, keys and values → heads, products → probabilities, and back.

// Where element `d` of a head stands in a row of qkv. i0: heads, i1: groups, i2: size; i4: interleaved.
DEVICE int column(int part, int d, int heads, int groups, int size, int interleaved) {
    int kind = part < heads ? 0 : part < heads + groups ? 1 : 2;
    int index = part - (kind == 0 ? 0 : kind == 1 ? heads : heads + groups);
    return (interleaved ? 3 * index + kind : part) * size + d;
}

// qkv (rows, width), cosines and sines of the rows' positions (rows, half) → queries, keys, values (heads + 2 groups, rows, size),
// turned by their positions. i3: half of the turned dimensions. A block has a position.
KERNEL(heads) {
    int t = blockIdx.x;
    const float *row = a + (long)t * width, *cosines = b + (long)t * i3, *sines = c + (long)t * i3;
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
    const float *cosines = b + (long)t * i3, *sines = c + (long)t * i3;
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
    float *by_score = out + (long)blockIdx.x * width;
    float average = 0.0f;
    for (int k = threadIdx.x; k < width; k += THREADS) average += p[k] * grad[k];
    average = together(average, 0, shared);
    for (int k = threadIdx.x; k < width; k += THREADS) {
        float bend = f1 > 0.0f ? tanhf(x[k] * f0 / f1) : 0.0f;
        by_score[k] = p[k] * (grad[k] - average) * f0 * (1.0f - bend * bend);
    }
}
