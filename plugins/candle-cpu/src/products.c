// The kernels of matmul and linear over the engine's views.
#include "gemm.h"

static int64_t stride_of(const View *v, int dim) { return dim < 0 || v->size[dim] == 1 ? 0 : v->stride[dim]; }

static int run(Gemm *g, const View *a, const View *b, const View *y, int lead) {
    if (!view_count(y)) return 0;
    // the leading dimensions, joined where they are too many
    int64_t shape[MAX_DIMS], as[MAX_DIMS], bs[MAX_DIMS], cs[MAX_DIMS];
    int d = 0;
    for (int i = 0; i < lead; i++) {
        if (y->size[i] == 1) continue;
        int64_t sa = stride_of(a, i - lead + a->ndim - 2), sb = b->ndim < 2 ? 0 : stride_of(b, i - lead + b->ndim - 2), sc = y->stride[i];
        int64_t n = y->size[i];
        if (d && as[d - 1] == n * sa && bs[d - 1] == n * sb && cs[d - 1] == n * sc) {
            shape[d - 1] *= n, as[d - 1] = sa, bs[d - 1] = sb, cs[d - 1] = sc;
            continue;
        }
        shape[d] = n, as[d] = sa, bs[d] = sb, cs[d] = sc;
        d++;
    }
    int inner = d < GEMM_BATCH ? d : GEMM_BATCH, outer = d - inner;
    g->dims = inner;
    for (int i = 0; i < inner; i++) g->shape[i] = shape[outer + i], g->as[i] = as[outer + i], g->bs[i] = bs[outer + i], g->cs[i] = cs[outer + i];
    int64_t at[MAX_DIMS] = {0};
    const char *a0 = g->a, *b0 = g->b;
    char *c0 = g->c;
    for (;;) {
        if (gemm_run(g, pool_size())) return no_memory((size_t)(g->k * g->n) * dtype_size[g->type]);
        int i = outer - 1;
        for (; i >= 0 && ++at[i] == shape[i]; i--) at[i] = 0;
        if (i < 0) return 0;
        int64_t ao = 0, bo = 0, co = 0;
        for (i = 0; i < outer; i++) ao += at[i] * as[i], bo += at[i] * bs[i], co += at[i] * cs[i];
        int64_t size = dtype_size[g->type];
        g->a = a0 + ao * size, g->b = b0 + bo * size, g->c = c0 + co * dtype_size[g->out];
    }
}

// a[..., m, k], b[..., k, n] -> y[..., m, n], the leading axes broadcast
static int matmul(const Call *call) {
    const View *a = call->in[0], *b = call->in[1], *y = call->out[0];
    int na = a->ndim, nb = b->ndim, ny = y->ndim;
    Gemm g = {.type = a->dtype, .out = y->dtype, .m = y->size[ny - 2], .n = y->size[ny - 1], .k = a->size[na - 1], .a = a->data,
              .b = b->data, .c = y->data, .ar = a->stride[na - 2], .ac = a->stride[na - 1], .br = b->stride[nb - 2],
              .bc = b->stride[nb - 1], .cr = y->stride[ny - 2], .cc = 1};
    return run(&g, a, b, y, ny - 2);
}

// x[..., k], weight[n, k], bias[n] or nothing -> y[..., n]
static int linear(const Call *call) {
    const View *x = call->in[0], *w = call->in[1], *bias = call->nin > 2 ? call->in[2] : NULL, *y = call->out[0];
    int nx = x->ndim, ny = y->ndim;
    Gemm g = {.type = x->dtype, .out = y->dtype, .m = nx > 1 ? x->size[nx - 2] : 1, .n = y->size[ny - 1], .k = x->size[nx - 1],
              .a = x->data, .b = w->data, .c = y->data, .ar = nx > 1 ? x->stride[nx - 2] : 0, .ac = x->stride[nx - 1],
              .br = w->stride[1], .bc = w->stride[0], .cr = ny > 1 ? y->stride[ny - 2] : 0, .cc = 1};
    if (bias) g.bias = bias->data, g.bias_c = bias->ndim ? bias->stride[0] : 0;
    View matrix = *w;
    return run(&g, x, &matrix, y, nx > 2 ? nx - 2 : 0);
}

#define ALL_NUMBERS(name)                                                                                                     \
    {#name, D_F32, name, NULL}, {#name, D_F64, name, NULL}, {#name, D_F16, name, NULL}, {#name, D_BF16, name, NULL},          \
    {#name, D_I8, name, NULL}, {#name, D_U8, name, NULL}, {#name, D_I16, name, NULL}, {#name, D_U16, name, NULL},             \
    {#name, D_I32, name, NULL}, {#name, D_U32, name, NULL}, {#name, D_I64, name, NULL}, {#name, D_U64, name, NULL},           \
    {#name, D_C64, name, NULL}, {#name, D_C128, name, NULL}
#define FLOATS(name)                                                                                                          \
    {#name, D_F32, name, NULL}, {#name, D_F64, name, NULL}, {#name, D_F16, name, NULL}, {#name, D_BF16, name, NULL}

const KernelEntry ISA_NAME(table_products)[] = {ALL_NUMBERS(matmul), FLOATS(linear), {NULL, 0, NULL, NULL}};
