// One kernel of lib/compute/src/cuda/kernels on a CPU: the threads of a block take turns from barrier to barrier, block after block.
// In: name, blocks, eight counts, four numbers, lengths of three inputs and of the output; the inputs as f32 on stdin.
// Out: the output as f32 on stdout; 3 when some threads of a block end while others wait at a barrier. Behind each input and the
// output lies memory that nobody may touch, so that a kernel that leaves them ends the process.
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define KERNEL(name) static void name(ARGUMENTS)
#define DEVICE static
#define __shared__ static
#define STACK (64 * 1024)
static struct { int x; } threadIdx, blockIdx;
static ucontext_t begun, threads[256];
static jmp_buf turn, places[256];
static enum { NEW, WAITS, ENDED } states[256];
static char stacks[256][STACK];
static void __syncthreads(void) {
    states[threadIdx.x] = WAITS;
    if (!_setjmp(places[threadIdx.x])) _longjmp(turn, 1);
}

#include "kernels.cu"

static void (*kernel)(ARGUMENTS);
static float *in[3], *result;
static int n[8];
static float f[4];

static void thread(void) {
    kernel(in[0], in[1], in[2], result, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], f[0], f[1], f[2], f[3]);
    states[threadIdx.x] = ENDED;
    _longjmp(turn, 1);
}

// Lets the thread whose turn it is go on to its next barrier or its end, which jump to `turn`.
static void go_on(void) {
    int k = threadIdx.x;
    if (states[k] == WAITS) _longjmp(places[k], 1);
    getcontext(&threads[k]);
    threads[k].uc_stack.ss_sp = stacks[k];
    threads[k].uc_stack.ss_size = STACK;
    makecontext(&threads[k], thread, 0);
    swapcontext(&begun, &threads[k]);
}

#define ENTRY(name) { #name, name }
static const struct { const char *name; void (*kernel)(ARGUMENTS); } known[] = {
    ENTRY(norm_rows), ENTRY(norm_grad), ENTRY(norm_mean_var), ENTRY(norm_affine), ENTRY(heads), ENTRY(heads_grad), ENTRY(softmax),
    ENTRY(softmax_grad), ENTRY(gelu), ENTRY(gelu_grad), ENTRY(gated), ENTRY(gated_grad), ENTRY(losses), ENTRY(losses_grad),
    ENTRY(adamw_moments), ENTRY(adamw_values), ENTRY(square_rows), ENTRY(square_columns), ENTRY(update_rows), ENTRY(adafactor_values),
};

static int waiting, blocks, length;

static float *guarded(size_t count) {
    size_t page = sysconf(_SC_PAGESIZE), bytes = count * sizeof(float), whole = (bytes + page - 1) / page * page;
    char *start = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + whole, page, PROT_NONE)) exit(5);
    return (float *)(start + whole - bytes);
}

int main(int count, char **words) {
    if (count != 19) return 1;
    for (unsigned k = 0; k < sizeof known / sizeof *known; k++) {
        if (!strcmp(known[k].name, words[1])) kernel = known[k].kernel;
    }
    if (!kernel) return 2;
    blocks = atoi(words[2]);
    length = atoi(words[18]);
    for (int k = 0; k < 8; k++) n[k] = atoi(words[3 + k]);
    for (int k = 0; k < 4; k++) f[k] = atof(words[11 + k]);
    for (int k = 0; k < 3; k++) {
        size_t own = atoi(words[15 + k]);
        in[k] = guarded(own);
        if (fread(in[k], sizeof(float), own, stdin) != own) return 4;
    }
    result = guarded(length);
    for (int k = 0; k < length; k++) result[k] = NAN; // what a kernel forgets to write is seen
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
        for (int k = 0; k < THREADS; k++) states[k] = NEW;
        for (waiting = THREADS; waiting;) {
            waiting = 0;
            for (threadIdx.x = 0; threadIdx.x < THREADS; threadIdx.x++) {
                if (!_setjmp(turn)) go_on();
                waiting += states[threadIdx.x] == WAITS;
            }
            if (waiting && waiting != THREADS) return 3;
        }
    }
    return fwrite(result, sizeof(float), length, stdout) != (size_t)length;
}
