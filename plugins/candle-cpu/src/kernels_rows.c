/* Kernels of whole rows: softmax and its logarithm, layer_norm, rms_norm; halves are computed in float and rounded once. */
#include "elementwise.h"
#include "vmath.h"

#include <stdatomic.h>

enum { SOFTMAX, LOG_SOFTMAX, LAYER_NORM, RMS_NORM };

typedef struct {
    View x, y;             /* the row's dimensions last, merged to one */
    int64_t sizes[2][MAX_DIMS], strides[2][MAX_DIMS];
    int64_t n, rows, part; /* a row's length, how many there are, how many a tile takes */
    int op;
    double eps;
    const void *weight, *bias; /* contiguous, in the dtype that is computed with, or NULL */
    int dtype;
    ConvertFn in_convert, out_convert;
    atomic_bool *starved; /* a tile found no scratch memory */
} Rows;

/* -- one row ------------------------------------------------------------------------------------------------------ */

#define FOR_ROW for (; i + VF <= n; i += VF)
#define TAIL int64_t m = n - i; if (m)

static inline float row_max(int64_t n, const float *x) {
    vf a = vf_set(-INFINITY), b = a;
    int64_t i = 0;
    for (; i + 2 * VF <= n; i += 2 * VF) a = vf_max(vf_load(x + i), a), b = vf_max(vf_load(x + i + VF), b);
    float y = vf_hmax(vf_max(a, b));
    for (; i < n; i++) y = x[i] > y ? x[i] : y;
    return y;
}
static inline double row_sum(int64_t n, const float *x) { /* vectors over runs of 4096, those in double */
    double y = 0;
    for (int64_t k = 0; k < n; k += 4096) {
        int64_t e = min_i64(n, k + 4096), i = k;
        vf a = {0}, b = a, c = a, d = a;
        for (; i + 4 * VF <= e; i += 4 * VF)
            a += vf_load(x + i), b += vf_load(x + i + VF), c += vf_load(x + i + 2 * VF), d += vf_load(x + i + 3 * VF);
        for (; i + VF <= e; i += VF) a += vf_load(x + i);
        y += vf_sum((a + b) + (c + d));
        for (; i < e; i++) y += x[i];
    }
    return y;
}
static inline double row_squares(int64_t n, const float *x, float mean) {
    double y = 0;
    const vf m = vf_set(mean);
    for (int64_t k = 0; k < n; k += 4096) {
        int64_t e = min_i64(n, k + 4096), i = k;
        vf a = {0}, b = a, c = a, d = a;
        for (; i + 4 * VF <= e; i += 4 * VF) {
            vf p = vf_load(x + i) - m, q = vf_load(x + i + VF) - m, r = vf_load(x + i + 2 * VF) - m, s = vf_load(x + i + 3 * VF) - m;
            a = vf_fma(p, p, a), b = vf_fma(q, q, b), c = vf_fma(r, r, c), d = vf_fma(s, s, d);
        }
        for (; i + VF <= e; i += VF) {
            vf p = vf_load(x + i) - m;
            a = vf_fma(p, p, a);
        }
        y += vf_sum((a + b) + (c + d));
        for (; i < e; i++) y += (double)(x[i] - mean) * (x[i] - mean);
    }
    return y;
}

static void row_f32(const Rows *r, const float *x, float *y) {
    int64_t n = r->n, i = 0;
    if (r->op == SOFTMAX || r->op == LOG_SOFTMAX) {
        const vf top = vf_set(row_max(n, x));
        double total = 0;
        vf a = {0};
        for (; i + VF <= n; i += VF) {
            vf e = v_exp(vf_load(x + i) - top);
            if (r->op == SOFTMAX) vf_store(y + i, e);
            a += e;
            if ((i & 4095) == 4096 - VF) total += vf_sum(a), a = (vf){0};
        }
        total += vf_sum(a);
        if (i < n) {
            int64_t m = n - i;
            float last[VF];
            vf_store(last, v_exp(vf_load_part(x + i, m) - top));
            for (int64_t k = 0; k < m; k++) total += last[k];
            if (r->op == SOFTMAX) memcpy(y + i, last, (size_t)m * 4);
        }
        if (r->op == SOFTMAX) {
            const float scale = (float)(1 / total);
            for (i = 0; i < n; i++) y[i] *= scale;
        } else {
            const float head = top[0], shift = (float)log(total);
            for (i = 0; i < n; i++) y[i] = (x[i] - head) - shift;
        }
        return;
    }
    float mean = r->op == LAYER_NORM ? (float)(row_sum(n, x) / (double)n) : 0;
    const float scale = (float)(1 / sqrt(row_squares(n, x, mean) / (double)n + r->eps));
    const float *w = r->weight, *b = r->bias;
    if (w && b) for (; i < n; i++) y[i] = (x[i] - mean) * scale * w[i] + b[i];
    else if (w) for (; i < n; i++) y[i] = (x[i] - mean) * scale * w[i];
    else if (b) for (; i < n; i++) y[i] = (x[i] - mean) * scale + b[i];
    else for (; i < n; i++) y[i] = (x[i] - mean) * scale;
}

/* The sum of x - mean, or of its squares, in eight sums at once over runs of 1024. */
static double moment(int64_t n, const double *x, double mean, bool squared) {
    double y = 0;
    for (int64_t k = 0; k < n; k += 1024) {
        double a[8] = {0};
        int64_t e = min_i64(n, k + 1024);
        for (int64_t i = k; i < e; i += 8)
            for (int64_t j = i; j < min_i64(e, i + 8); j++) a[j - i] += squared ? (x[j] - mean) * (x[j] - mean) : x[j] - mean;
        y += ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7]));
    }
    return y;
}

static void row_f64(const Rows *r, const double *x, double *y) {
    int64_t n = r->n;
    double sum = 0;
    if (r->op == SOFTMAX || r->op == LOG_SOFTMAX) {
        double top = -INFINITY;
        for (int64_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
        for (int64_t i = 0; i < n; i++) {
            double e = exp(x[i] - top);
            if (r->op == SOFTMAX) y[i] = e;
            sum += e;
        }
        if (r->op == SOFTMAX) for (int64_t i = 0; i < n; i++) y[i] /= sum;
        else for (int64_t i = 0; i < n; i++) y[i] = (x[i] - top) - log(sum);
        return;
    }
    double mean = 0;
    if (r->op == LAYER_NORM) {
        mean = moment(n, x, 0, false) / (double)n;
        mean += moment(n, x, mean, false) / (double)n; /* what rounding has lost */
    }
    sum = moment(n, x, mean, true);
    double scale = 1 / sqrt(sum / (double)n + r->eps);
    const double *w = r->weight, *b = r->bias;
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale * (w ? w[i] : 1) + (b ? b[i] : 0);
}

/* -- all rows ----------------------------------------------------------------------------------------------------- */

static void tile(void *ctx, int64_t at, int worker) {
    (void)worker;
    const Rows *r = ctx;
    int item = dtype_size[r->x.dtype], out_item = dtype_size[r->y.dtype], wide = dtype_size[r->dtype];
    char *held = NULL;
    char near[8192];
    if (r->in_convert || r->out_convert) {
        held = r->n * wide * 2 <= (int64_t)sizeof near ? near : block_new((size_t)(r->n * wide * 2));
        if (held == NULL) {
            atomic_store(r->starved, true);
            return;
        }
    }
    for (int64_t row = at * r->part, end = min_i64(r->rows, row + r->part); row < end; row++) {
        int64_t rest = row, from = 0, to = 0;
        for (int d = r->x.ndim - 2; d >= 0; d--) {
            int64_t k = rest % r->x.size[d];
            rest /= r->x.size[d];
            from += k * r->x.stride[d], to += k * r->y.stride[d];
        }
        const void *x = r->x.data + from * item;
        void *y = r->y.data + to * out_item;
        if (r->in_convert) r->in_convert(r->n, held, x), x = held;
        void *made = r->out_convert ? held + r->n * wide : y;
        if (r->dtype == D_F32) row_f32(r, x, made);
        else row_f64(r, x, made);
        if (r->out_convert) r->out_convert(r->n, y, made);
    }
    if (held && held != near) block_free(held);
}

/* `from` with the dimensions from `first` on merged to one; with `dim` moved to the end where first is -1.  false: they do not run on. */
static bool rows_of(View *v, int64_t *sizes, int64_t *strides, const View *from, int first, int dim) {
    *v = (View){.data = from->data, .size = sizes, .stride = strides, .dtype = from->dtype};
    int n = 0;
    if (first < 0) {
        for (int d = 0; d < from->ndim; d++)
            if (d != dim) sizes[n] = from->size[d], strides[n++] = from->stride[d];
        sizes[n] = from->size[dim], strides[n++] = from->stride[dim];
        v->ndim = n;
        return sizes[n - 1] == 1 || strides[n - 1] == 1;
    }
    for (int d = 0; d < first; d++) sizes[n] = from->size[d], strides[n++] = from->stride[d];
    int64_t size = 1, step = 1;
    bool runs = true;
    for (int d = from->ndim - 1; d >= first; d--) {
        if (from->size[d] != 1 && from->stride[d] != step) runs = false;
        size *= from->size[d], step *= from->size[d];
    }
    sizes[n] = size, strides[n++] = 1;
    v->ndim = n;
    return runs;
}

/* a contiguous copy of a view in the order of its dimensions, or NULL */
static void *copied(const View *from, View *to, int64_t *strides) {
    void *held = block_new((size_t)view_count(from) * dtype_size[from->dtype]);
    if (held == NULL) return NULL;
    int64_t step = 1;
    for (int d = from->ndim - 1; d >= 0; d--) strides[d] = step, step *= from->size[d];
    *to = (View){.data = held, .size = from->size, .stride = strides, .ndim = from->ndim, .dtype = from->dtype};
    view_copy(from, to);
    return held;
}

static void *widened(const View *w, int dtype) {
    int64_t strides[MAX_DIMS], n = view_count(w);
    View c;
    void *held = copied(w, &c, strides);
    if (held == NULL || w->dtype == dtype) return held;
    void *made = block_new((size_t)n * dtype_size[dtype]);
    if (made) find_convert(w->dtype, dtype)(n, made, held);
    block_free(held);
    return made;
}

/* ints: op, the first of a row's dimensions or -1, else the only one; floats: eps */
static int rows_run(const Call *call) {
    const View *x = call->in[0], *y = call->out[0];
    atomic_bool starved = false;
    Rows r = {.op = (int)call->ints[0], .eps = call->nfloats ? call->floats[0] : 0, .dtype = call->entry->dtype, .starved = &starved};
    if (view_count(x) == 0) return 0;
    int first = (int)call->ints[1], dim = (int)call->ints[2], wrong = 0;
    void *in_copy = NULL, *out_copy = NULL, *weight = NULL, *bias = NULL;
    View dense, as_given, result;
    int64_t dense_strides[MAX_DIMS], result_strides[MAX_DIMS];
    if (!rows_of(&r.x, r.sizes[0], r.strides[0], x, first, dim)) {
        if (first < 0) as_given = r.x;
        else as_given = *x;
        if ((in_copy = copied(&as_given, &dense, dense_strides)) == NULL) return no_memory((size_t)view_count(x) * 8);
        rows_of(&r.x, r.sizes[0], r.strides[0], &dense, first, first < 0 ? dense.ndim - 1 : dim);
    }
    if (!rows_of(&r.y, r.sizes[1], r.strides[1], y, first, dim)) { /* only where dim is not the last: made dense, then moved */
        result = r.y;
        out_copy = block_new((size_t)view_count(y) * dtype_size[y->dtype]);
        int64_t step = 1;
        for (int d = result.ndim - 1; d >= 0; d--) result_strides[d] = step, step *= result.size[d];
        r.y.data = out_copy, r.y.stride = result_strides;
        if (out_copy == NULL) wrong = no_memory((size_t)view_count(y) * dtype_size[y->dtype]);
    }
    r.n = r.x.size[r.x.ndim - 1];
    r.rows = view_count(x) / r.n;
    if (call->nin > 1 && call->in[1] && (r.weight = weight = widened(call->in[1], r.dtype)) == NULL) wrong = no_memory((size_t)r.n * 8);
    if (call->nin > 2 && call->in[2] && (r.bias = bias = widened(call->in[2], r.dtype)) == NULL) wrong = no_memory((size_t)r.n * 8);
    r.in_convert = x->dtype == r.dtype ? NULL : find_convert(x->dtype, r.dtype);
    r.out_convert = y->dtype == r.dtype ? NULL : find_convert(r.dtype, y->dtype);
    if (!wrong) {
        int64_t tiles = pool_tiles(r.rows, max_i64(1, 8192 / r.n));
        r.part = (r.rows + tiles - 1) / tiles;
        pool_run((r.rows + r.part - 1) / r.part, tile, &r);
        if (atomic_load(&starved)) wrong = no_memory((size_t)(r.n * dtype_size[r.dtype] * 2));
        else if (out_copy) view_copy(&r.y, &result);
    }
    block_free(in_copy), block_free(out_copy), block_free(weight), block_free(bias);
    return wrong;
}

const KernelEntry ISA_NAME(table_rows)[] = {{"rows", D_F32, rows_run, NULL}, {"rows", D_F64, rows_run, NULL}, {NULL, 0, NULL, NULL}};
