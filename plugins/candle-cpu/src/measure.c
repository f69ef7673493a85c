/* What the machine can do at most: multiply-adds from registers, and reading memory.  For benchmarks. */
#include "vector.h"

typedef struct {
    int64_t rounds;
    const char *data;
    int64_t bytes, step;
    float sum[POOL_MAX][16];
} Measure;

#define SUMS 12

static void multiply_tile(void *ctx, int64_t tile, int worker) {
    Measure *m = ctx;
    (void)worker;
    vf s[SUMS], x = vf_set(0.999f), y = vf_set(1e-6f);
    _Pragma("GCC unroll 12") for (int i = 0; i < SUMS; i++) s[i] = vf_set((float)(i + tile));
    for (int64_t r = 0; r < m->rounds; r++) {
        _Pragma("GCC unroll 12") for (int i = 0; i < SUMS; i++) s[i] = vf_fma(s[i], x, y);
        __asm__ volatile("" ::: "memory");
    }
    _Pragma("GCC unroll 12") for (int i = 1; i < SUMS; i++) s[0] += s[i];
    m->sum[tile % POOL_MAX][0] = vf_sum(s[0]);
}
/* -> float64[1]: the operations done, by all threads together */
static int multiply_adds(const Call *call) {
    Measure m = {.rounds = call->ints[0]};
    int tiles = pool_size();
    pool_run(tiles, multiply_tile, &m);
    *(double *)call->out[0]->data = (double)m.rounds * SUMS * VF * 2 * tiles + (m.sum[0][0] == 12345.0f);
    return 0;
}

static void read_tile(void *ctx, int64_t tile, int worker) {
    (void)worker;
    Measure *m = ctx;
    const char *p = m->data + tile * m->step, *end = m->data + min_i64(m->bytes, (tile + 1) * m->step);
    vi a = {0}, b = {0}, c = {0}, d = {0};
    for (; p + 4 * VBYTES <= end; p += 4 * VBYTES) {
        __builtin_prefetch(p + 2048);
        if (VBYTES > 16) __builtin_prefetch(p + 2048 + 2 * VBYTES);
        if (VBYTES > 32) __builtin_prefetch(p + 2048 + VBYTES), __builtin_prefetch(p + 2048 + 3 * VBYTES);
        a ^= *(const vi_mem *)p, b ^= *(const vi_mem *)(p + VBYTES);
        c ^= *(const vi_mem *)(p + 2 * VBYTES), d ^= *(const vi_mem *)(p + 3 * VBYTES);
    }
    a ^= b ^ c ^ d;
    m->sum[tile % POOL_MAX][0] = (float)a[0];
}
/* x -> float64[1]: the bytes read */
static int reads(const Call *call) {
    const View *x = call->in[0];
    Measure m = {.data = x->data, .bytes = view_count(x) * dtype_size[x->dtype]};
    m.step = (int64_t)1 << 20;
    pool_run((m.bytes + m.step - 1) / m.step, read_tile, &m);
    *(double *)call->out[0]->data = (double)m.bytes + (m.sum[0][0] == 12345.0f);
    return 0;
}

const KernelEntry ISA_NAME(table_measure)[] = {{"multiply_adds", -1, multiply_adds, NULL}, {"reads", -1, reads, NULL}, {NULL, 0, NULL, NULL}};
