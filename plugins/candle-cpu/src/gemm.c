/* Matrix products: a plain blocked loop, right for every dtype and stride. */
#include "vector.h"

/* matmul: in a[..., m, k], b[..., k, n]; out[..., m, n], the leading axes broadcast */
#define MATMUL(name, type, wide, LOAD, STORE)                                                                                    \
    typedef struct {                                                                                                             \
        const View *a, *b, *y;                                                                                                   \
    } Args_##name;                                                                                                               \
    static void tile_##name(void *ctx, int64_t row, int worker) {                                                                \
        (void)worker;                                                                                                            \
        const Args_##name *p = ctx;                                                                                              \
        const View *a = p->a, *b = p->b, *y = p->y;                                                                              \
        int nd = y->ndim;                                                                                                        \
        int64_t m = y->size[nd - 2], n = y->size[nd - 1], k = a->size[a->ndim - 1];                                              \
        int64_t i = row % m, rest = row / m, ao = 0, bo = 0;                                                                     \
        for (int d = nd - 3; d >= 0; d--) {                                                                                      \
            int64_t at = rest % y->size[d];                                                                                      \
            rest /= y->size[d];                                                                                                  \
            int da = d - nd + a->ndim, db = d - nd + b->ndim;                                                                    \
            if (da >= 0 && a->size[da] > 1) ao += at * a->stride[da];                                                            \
            if (db >= 0 && b->size[db] > 1) bo += at * b->stride[db];                                                            \
        }                                                                                                                        \
        int64_t ak = a->stride[a->ndim - 1], bk = b->stride[b->ndim - 2], bn = b->stride[b->ndim - 1];                           \
        const type *pa = (const type *)a->data + ao + i * a->stride[a->ndim - 2], *pb = (const type *)b->data + bo;              \
        type *py = (type *)y->data + row * n;                                                                                    \
        wide acc[64];                                                                                                            \
        for (int64_t j0 = 0; j0 < n; j0 += 64) {                                                                                 \
            int64_t w = min_i64(64, n - j0);                                                                                     \
            memset(acc, 0, sizeof acc);                                                                                          \
            for (int64_t l = 0; l < k; l++) {                                                                                    \
                wide x = (wide)LOAD(pa[l * ak]);                                                                                 \
                const type *q = pb + l * bk + j0 * bn;                                                                           \
                if (bn == 1) for (int64_t j = 0; j < w; j++) acc[j] += x * (wide)LOAD(q[j]);                                     \
                else for (int64_t j = 0; j < w; j++) acc[j] += x * (wide)LOAD(q[j * bn]);                                        \
            }                                                                                                                    \
            for (int64_t j = 0; j < w; j++) py[j0 + j] = (type)STORE(acc[j]);                                                    \
        }                                                                                                                        \
    }                                                                                                                            \
    static int matmul_##name(const Call *call) {                                                                                 \
        Args_##name args = {call->in[0], call->in[1], call->out[0]};                                                             \
        int64_t rows = view_count(args.y);                                                                                       \
        if (rows == 0) return 0;                                                                                                 \
        pool_run(rows / args.y->size[args.y->ndim - 1], tile_##name, &args);                                                     \
        return 0;                                                                                                                \
    }
#define PLAIN(x) (x)
MATMUL(f32, float, float, PLAIN, PLAIN)
MATMUL(f64, double, double, PLAIN, PLAIN)
MATMUL(f16, f16_t, float, f32_of_f16, f16_of_f32)
MATMUL(bf16, bf16_t, float, f32_of_bf16, bf16_of_f32)
MATMUL(i8, int8_t, uint8_t, PLAIN, PLAIN)
MATMUL(i16, int16_t, uint32_t, PLAIN, PLAIN)
MATMUL(i32, int32_t, uint32_t, PLAIN, PLAIN)
MATMUL(i64, int64_t, uint64_t, PLAIN, PLAIN)
MATMUL(u8, uint8_t, uint8_t, PLAIN, PLAIN)
MATMUL(u16, uint16_t, uint32_t, PLAIN, PLAIN)
MATMUL(u32, uint32_t, uint32_t, PLAIN, PLAIN)
MATMUL(u64, uint64_t, uint64_t, PLAIN, PLAIN)

const KernelEntry ISA_NAME(table_gemm)[] = {
    {"matmul", D_F32, matmul_f32, NULL},   {"matmul", D_F64, matmul_f64, NULL}, {"matmul", D_F16, matmul_f16, NULL},
    {"matmul", D_BF16, matmul_bf16, NULL}, {"matmul", D_I8, matmul_i8, NULL},   {"matmul", D_I16, matmul_i16, NULL},
    {"matmul", D_I32, matmul_i32, NULL},   {"matmul", D_I64, matmul_i64, NULL}, {"matmul", D_U8, matmul_u8, NULL},
    {"matmul", D_U16, matmul_u16, NULL},   {"matmul", D_U32, matmul_u32, NULL}, {"matmul", D_U64, matmul_u64, NULL},
    {NULL, 0, NULL, NULL}};
