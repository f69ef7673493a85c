/* Reductions over any dimensions of an operand of any layout.  Sums of floats are blocked: runs in vectors, runs together in double. */
#include "elementwise.h"
#include "vector.h"

enum { SUM, PROD, MAX, MIN, MEAN };
#define RUN 1024
#define COLUMNS 512

typedef struct {
    int64_t size, stride;
} Axis;

typedef struct {
    const View *x;
    View *y;
    int op;
    Axis kept[MAX_DIMS], gone[MAX_DIMS]; /* merged where they run on; outermost first */
    int nkept, ngone, item;
    ConvertFn in_convert, out_convert;
    bool columns;                  /* the operand runs on along the last kept dimension */
    int64_t outs, terms;           /* results, and elements that each is made of */
    int64_t parts, part;           /* the first reduced dimension is cut in parts, of so many indices */
    int64_t block, blocks_per_row; /* results to a tile */
    char *partial;                 /* parts x outs, where there are several */
} Reduce;

static int append(Axis *axes, int n, int64_t size, int64_t stride) {
    if (size == 1) return n;
    if (n && axes[n - 1].stride == stride * size) {
        axes[n - 1].size *= size;
        axes[n - 1].stride = stride;
        return n;
    }
    axes[n] = (Axis){size, stride};
    return n + 1;
}

static int64_t offset_of(const Axis *axes, int n, int64_t index) {
    int64_t at = 0;
    for (int d = n - 1; d >= 0; d--) {
        at += index % axes[d].size * axes[d].stride;
        index /= axes[d].size;
    }
    return at;
}

/* ints: for each dimension 1 where it is reduced */
static void lay_out(Reduce *r, const Call *call) {
    r->x = call->in[0];
    r->y = call->out[0];
    r->nkept = r->ngone = 0;
    r->outs = r->terms = 1;
    for (int d = 0; d < r->x->ndim; d++) {
        int64_t size = r->x->size[d], stride = r->x->stride[d];
        if (call->ints[d]) {
            r->ngone = append(r->gone, r->ngone, size, stride);
            r->terms *= size;
        } else {
            r->nkept = append(r->kept, r->nkept, size, stride);
            r->outs *= size;
        }
    }
    if (r->ngone == 0 || r->terms == 0) r->ngone = 1, r->gone[0] = (Axis){r->terms ? 1 : 0, 1};
    r->item = dtype_size[r->x->dtype];
    int64_t last_kept = r->nkept ? r->kept[r->nkept - 1].stride : INT64_MAX, last_gone = r->gone[r->ngone - 1].stride;
    if (last_kept < 0) last_kept = -last_kept;
    if (last_gone < 0) last_gone = -last_gone;
    r->columns = r->nkept && last_kept == 1 && (last_gone != 1) && r->kept[r->nkept - 1].stride == 1;
    int64_t row = r->columns ? r->kept[r->nkept - 1].size : r->outs;
    r->block = r->columns ? min_i64(row, COLUMNS) : max_i64(1, min_i64(64, 32768 / max_i64(r->terms, 1)));
    r->blocks_per_row = (row + r->block - 1) / max_i64(r->block, 1);
    r->parts = 1;
    r->part = r->gone[0].size;
    int64_t tiles = (r->columns ? r->outs / max_i64(row, 1) : 1) * r->blocks_per_row;
    if (tiles < 2 * pool_size() && r->terms * r->outs > 65536 && pool_size() > 1) {
        int64_t wanted = min_i64(4 * pool_size(), r->gone[0].size);
        wanted = min_i64(wanted, r->terms * r->outs / 32768);
        if (wanted > 1) {
            r->part = (r->gone[0].size + wanted - 1) / wanted;
            r->parts = (r->gone[0].size + r->part - 1) / r->part;
        }
    }
}

/* Steps through all but the last of the reduced dimensions within [begin, end) of the first. */
typedef struct {
    const Axis *axes;
    int n;
    int64_t begin, end, at[MAX_DIMS], offset;
} Walk;

static void walk_start(Walk *w, const Axis *axes, int n, int64_t begin, int64_t end) {
    w->axes = axes, w->n = n, w->begin = begin, w->end = end;
    memset(w->at, 0, sizeof(int64_t) * (size_t)n);
    w->offset = n ? begin * axes[0].stride : 0;
    if (n) w->at[0] = begin;
}
static bool walk_next(Walk *w) {
    for (int d = w->n - 1; d >= 0; d--) {
        w->offset += w->axes[d].stride;
        int64_t end = d == 0 ? w->end : w->axes[d].size;
        if (++w->at[d] < end) return true;
        int64_t begin = d == 0 ? w->begin : 0;
        w->offset -= (end - begin) * w->axes[d].stride;
        w->at[d] = begin;
    }
    return false;
}

static void gather(int item, int64_t n, void *to_, const char *from, int64_t stride) {
    char *to = to_;
    switch (item) {
    case 1: for (int64_t i = 0; i < n; i++) to[i] = from[i * stride]; break;
    case 2: for (int64_t i = 0; i < n; i++) ((uint16_t *)to)[i] = ((const uint16_t *)from)[i * stride]; break;
    case 4: for (int64_t i = 0; i < n; i++) ((uint32_t *)to)[i] = ((const uint32_t *)from)[i * stride]; break;
    default: for (int64_t i = 0; i < n; i++) ((uint64_t *)to)[i] = ((const uint64_t *)from)[i * stride]; break;
    }
}

/* n elements at a stride as contiguous ones of the dtype that is computed with */
static inline const void *run_of(const Reduce *r, const char *data, int64_t stride, int64_t n, void *raw, void *ready) {
    if (stride != 1) {
        gather(r->item, n, raw, data, stride);
        data = raw;
    }
    if (r->in_convert == NULL) return data;
    r->in_convert(n, ready, data);
    return ready;
}

#define NUMBER_MAX(x, z) ((x) > (z) || (x) != (x) ? (x) : (z))
#define NUMBER_MIN(x, z) ((x) < (z) || (x) != (x) ? (x) : (z))

/* W: what is computed in; A: what runs are brought together in */
#define REDUCTION(s, W, A, LOW, HIGH, ONE_RUN)                                                                                   \
    static inline A first_##s(int op) { return op == PROD ? (A)1 : op == MAX ? (A)LOW : op == MIN ? (A)HIGH : (A)0; }            \
    static inline A join_##s(int op, A x, A z) {                                                                                 \
        return op == PROD ? x * z : op == MAX ? NUMBER_MAX(x, z) : op == MIN ? NUMBER_MIN(x, z) : x + z;                         \
    }                                                                                                                            \
    static A run_##s(int op, int64_t n, const W *x) {                                                                            \
        ONE_RUN;                                                                                                                 \
        A y = first_##s(op);                                                                                                     \
        switch (op) {                                                                                                            \
        case PROD: for (int64_t i = 0; i < n; i++) y *= x[i]; break;                                                             \
        case MAX: for (int64_t i = 0; i < n; i++) y = NUMBER_MAX((A)x[i], y); break;                                             \
        case MIN: for (int64_t i = 0; i < n; i++) y = NUMBER_MIN((A)x[i], y); break;                                             \
        default: for (int64_t i = 0; i < n; i++) y += x[i]; break;                                                               \
        }                                                                                                                        \
        return y;                                                                                                                \
    }                                                                                                                            \
    static void accumulate_##s(int op, int64_t n, W *restrict y, const W *restrict x) {                                          \
        switch (op) {                                                                                                            \
        case PROD: for (int64_t i = 0; i < n; i++) y[i] *= x[i]; break;                                                          \
        case MAX: for (int64_t i = 0; i < n; i++) y[i] = NUMBER_MAX(x[i], y[i]); break;                                          \
        case MIN: for (int64_t i = 0; i < n; i++) y[i] = NUMBER_MIN(x[i], y[i]); break;                                          \
        default: for (int64_t i = 0; i < n; i++) y[i] += x[i]; break;                                                            \
        }                                                                                                                        \
    }                                                                                                                            \
    static void give_##s(const Reduce *r, int64_t at, int64_t n, const A *made) {                                                \
        W last[COLUMNS];                                                                                                         \
        for (int64_t i = 0; i < n; i++) last[i] = (W)(r->op == MEAN ? made[i] / (A)r->terms : made[i]);                          \
        char *to = r->y->data + at * dtype_size[r->y->dtype];                                                                    \
        if (r->out_convert) r->out_convert(n, to, last);                                                                         \
        else memcpy(to, last, (size_t)n * sizeof(W));                                                                            \
    }                                                                                                                            \
    static void tile_##s(void *ctx, int64_t tile, int worker) {                                                                  \
        (void)worker;                                                                                                            \
        const Reduce *r = ctx;                                                                                                   \
        int op = r->op;                                                                                                          \
        int64_t p = tile % r->parts, rest = tile / r->parts;                                                                     \
        int64_t begin = p * r->part, end = min_i64(r->gone[0].size, begin + r->part);                                            \
        _Alignas(64) char raw[RUN * 8];                                                                                          \
        _Alignas(64) W ready[RUN];                                                                                               \
        A made[COLUMNS];                                                                                                         \
        int64_t at, n;                                                                                                           \
        if (r->columns) {                                                                                                        \
            int64_t row = rest / r->blocks_per_row, col = rest % r->blocks_per_row * r->block, width = r->kept[r->nkept - 1].size; \
            n = min_i64(r->block, width - col);                                                                                  \
            at = row * width + col;                                                                                              \
            const char *base = r->x->data + (offset_of(r->kept, r->nkept - 1, row) + col) * r->item;                             \
            _Alignas(64) W acc[COLUMNS];                                                                                         \
            for (int64_t i = 0; i < n; i++) made[i] = first_##s(op);                                                             \
            int64_t held = 0;                                                                                                    \
            Walk w;                                                                                                              \
            walk_start(&w, r->gone, r->ngone, begin, end);                                                                       \
            if (begin < end) do {                                                                                                \
                const W *x = run_of(r, base + w.offset * r->item, 1, n, raw, ready);                                             \
                if (held == 0) memcpy(acc, x, (size_t)n * sizeof(W));                                                            \
                else accumulate_##s(op, n, acc, x);                                                                              \
                if (++held == 64) {                                                                                              \
                    for (int64_t i = 0; i < n; i++) made[i] = join_##s(op, made[i], (A)acc[i]);                                  \
                    held = 0;                                                                                                    \
                }                                                                                                                \
            } while (walk_next(&w));                                                                                             \
            if (held) for (int64_t i = 0; i < n; i++) made[i] = join_##s(op, made[i], (A)acc[i]);                                \
        } else {                                                                                                                 \
            at = rest * r->block;                                                                                                \
            n = min_i64(r->block, r->outs - at);                                                                                 \
            int last = r->ngone - 1;                                                                                             \
            int64_t stride = r->gone[last].stride, from = last == 0 ? begin : 0, to = last == 0 ? end : r->gone[last].size;      \
            for (int64_t i = 0; i < n; i++) {                                                                                    \
                const char *base = r->x->data + offset_of(r->kept, r->nkept, at + i) * r->item;                                  \
                A y = first_##s(op);                                                                                             \
                Walk w;                                                                                                          \
                walk_start(&w, r->gone, last, begin, end);                                                                       \
                if (begin < end) do {                                                                                            \
                    for (int64_t k = from; k < to; k += RUN) {                                                                   \
                        int64_t m = min_i64(RUN, to - k);                                                                        \
                        const W *x = run_of(r, base + (w.offset + k * stride) * r->item, stride, m, raw, ready);                 \
                        y = join_##s(op, y, run_##s(op, m, x));                                                                  \
                    }                                                                                                            \
                } while (last && walk_next(&w));                                                                                 \
                made[i] = y;                                                                                                     \
            }                                                                                                                    \
        }                                                                                                                        \
        if (r->parts > 1) memcpy((A *)r->partial + p * r->outs + at, made, (size_t)n * sizeof(A));                               \
        else give_##s(r, at, n, made);                                                                                           \
    }                                                                                                                            \
    static int reduce_##s(const Call *call) {                                                                                    \
        Reduce r;                                                                                                                \
        lay_out(&r, call);                                                                                                       \
        if (r.outs == 0) return 0;                                                                                               \
        r.op = (int)call->ints[r.x->ndim];                                                                                       \
        r.in_convert = r.x->dtype == call->entry->dtype ? NULL : find_convert(r.x->dtype, call->entry->dtype);                   \
        r.out_convert = r.y->dtype == call->entry->dtype ? NULL : find_convert(call->entry->dtype, r.y->dtype);                  \
        if (r.parts > 1 && (r.partial = block_new((size_t)(r.parts * r.outs) * sizeof(A))) == NULL)                              \
            return no_memory((size_t)(r.parts * r.outs) * sizeof(A));                                                            \
        int64_t rows = r.columns ? r.outs / r.kept[r.nkept - 1].size : 1;                                                        \
        int64_t tiles = rows * r.blocks_per_row * r.parts;                                                                       \
        if (r.outs * r.terms < 16384) for (int64_t t = 0; t < tiles; t++) tile_##s(&r, t, 0);                                    \
        else pool_run(tiles, tile_##s, &r);                                                                                      \
        if (r.parts > 1) {                                                                                                       \
            A *sums = (A *)r.partial;                                                                                            \
            for (int64_t p = 1; p < r.parts; p++)                                                                                \
                for (int64_t i = 0; i < r.outs; i++) sums[i] = join_##s(r.op, sums[i], sums[p * r.outs + i]);                    \
            for (int64_t i = 0; i < r.outs; i += COLUMNS) give_##s(&r, i, min_i64(COLUMNS, r.outs - i), sums + i);               \
            block_free(r.partial);                                                                                               \
        }                                                                                                                        \
        return 0;                                                                                                                \
    }

/* four vectors at once; NaN of a maximum is found by comparing */
static inline double vector_run(int op, int64_t n, const float *x) {
    int64_t i = 0;
    if (op == SUM || op == MEAN) {
        vf a = {0}, b = a, c = a, d = a;
        for (; i + 4 * VF <= n; i += 4 * VF) {
            a += vf_load(x + i), b += vf_load(x + i + VF), c += vf_load(x + i + 2 * VF), d += vf_load(x + i + 3 * VF);
        }
        double y = vf_sum((a + b) + (c + d));
        for (; i + VF <= n; i += VF) y += vf_sum(vf_load(x + i));
        for (; i < n; i++) y += x[i];
        return y;
    }
    vf a = vf_set(x[0]), b = a, c = a, d = a;
    vi odd = {0};
    if (op == MAX)
        for (; i + 4 * VF <= n; i += 4 * VF) {
            vf p = vf_load(x + i), q = vf_load(x + i + VF), s = vf_load(x + i + 2 * VF), t = vf_load(x + i + 3 * VF);
            odd |= (p != p) | (q != q) | (s != s) | (t != t);
            a = vf_max(a, p), b = vf_max(b, q), c = vf_max(c, s), d = vf_max(d, t);
        }
    else
        for (; i + 4 * VF <= n; i += 4 * VF) {
            vf p = vf_load(x + i), q = vf_load(x + i + VF), s = vf_load(x + i + 2 * VF), t = vf_load(x + i + 3 * VF);
            odd |= (p != p) | (q != q) | (s != s) | (t != t);
            a = vf_min(a, p), b = vf_min(b, q), c = vf_min(c, s), d = vf_min(d, t);
        }
    for (int k = 0; k < VF; k++)
        if (odd[k]) return NAN;
    double y = x[0];
    if (op == MAX) {
        a = vf_max(vf_max(a, b), vf_max(c, d));
        if (i) y = vf_hmax(a);
        for (; i < n; i++) y = NUMBER_MAX((double)x[i], y);
    } else {
        a = vf_min(vf_min(a, b), vf_min(c, d));
        if (i) y = -vf_hmax(-a);
        for (; i < n; i++) y = NUMBER_MIN((double)x[i], y);
    }
    return y;
}
static inline double pair_run(int64_t n, const double *x) {
    vd a = {0}, b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 4 * VD <= n; i += 4 * VD)
        a += vd_load(x + i), b += vd_load(x + i + VD), c += vd_load(x + i + 2 * VD), d += vd_load(x + i + 3 * VD);
    a = (a + b) + (c + d);
    double y = 0;
    for (int k = 0; k < VD; k++) y += a[k];
    for (; i < n; i++) y += x[i];
    return y;
}

REDUCTION(f32, float, double, -INFINITY, INFINITY, if (op != PROD && n > 0) return vector_run(op, n, x))
REDUCTION(f64, double, double, -INFINITY, INFINITY, if (op == SUM || op == MEAN) return pair_run(n, x))
REDUCTION(i64, int64_t, int64_t, INT64_MIN, INT64_MAX, (void)0)
REDUCTION(u64, uint64_t, uint64_t, 0, UINT64_MAX, (void)0)
REDUCTION(b8, uint8_t, uint8_t, 0, 1, (void)0)

/* -- where the largest or smallest lies: the first of equals, the first NaN before all --------------------------- */

#define BETTER(x, best, sign) ((sign) > 0 ? (x) > (best) : (x) < (best))
#define ARG(s, W)                                                                                                                \
    static void arg_tile_##s(void *ctx, int64_t tile, int worker) {                                                              \
        (void)worker;                                                                                                            \
        const Reduce *r = ctx;                                                                                                   \
        _Alignas(64) char raw[RUN * 8];                                                                                          \
        _Alignas(64) W ready[RUN];                                                                                               \
        bool most = r->op == MAX;                                                                                                \
        int64_t *out = (int64_t *)r->y->data;                                                                                    \
        if (r->columns) {                                                                                                        \
            int64_t row = tile / r->blocks_per_row, col = tile % r->blocks_per_row * r->block, width = r->kept[r->nkept - 1].size; \
            int64_t n = min_i64(r->block, width - col), index = 0;                                                               \
            const char *base = r->x->data + (offset_of(r->kept, r->nkept - 1, row) + col) * r->item;                             \
            W best[COLUMNS];                                                                                                     \
            int64_t *where = out + row * width + col;                                                                            \
            Walk w;                                                                                                              \
            walk_start(&w, r->gone, r->ngone, 0, r->gone[0].size);                                                               \
            do {                                                                                                                 \
                const W *x = run_of(r, base + w.offset * r->item, 1, n, raw, ready);                                             \
                if (index == 0) {                                                                                                \
                    memcpy(best, x, (size_t)n * sizeof(W));                                                                      \
                    memset(where, 0, (size_t)n * 8);                                                                             \
                } else if (most) {                                                                                               \
                    for (int64_t i = 0; i < n; i++) {                                                                            \
                        bool b = (x[i] > best[i]) | ((x[i] != x[i]) & (best[i] == best[i]));                                     \
                        best[i] = b ? x[i] : best[i], where[i] = b ? index : where[i];                                           \
                    }                                                                                                            \
                } else {                                                                                                         \
                    for (int64_t i = 0; i < n; i++) {                                                                            \
                        bool b = (x[i] < best[i]) | ((x[i] != x[i]) & (best[i] == best[i]));                                     \
                        best[i] = b ? x[i] : best[i], where[i] = b ? index : where[i];                                           \
                    }                                                                                                            \
                }                                                                                                                \
                index++;                                                                                                         \
            } while (walk_next(&w));                                                                                             \
            return;                                                                                                              \
        }                                                                                                                        \
        int64_t at = tile * r->block, n = min_i64(r->block, r->outs - at);                                                       \
        int last = r->ngone - 1;                                                                                                 \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            const char *base = r->x->data + offset_of(r->kept, r->nkept, at + i) * r->item;                                      \
            W best = 0;                                                                                                          \
            int64_t where = -1, index = 0;                                                                                       \
            Walk w;                                                                                                              \
            walk_start(&w, r->gone, last, 0, r->gone[0].size);                                                                   \
            do {                                                                                                                 \
                for (int64_t k = 0; k < r->gone[last].size; k += RUN) {                                                          \
                    int64_t m = min_i64(RUN, r->gone[last].size - k), stride = r->gone[last].stride;                             \
                    const W *x = run_of(r, base + (w.offset + k * stride) * r->item, stride, m, raw, ready);                     \
                    W top = (W)run_##s(r->op, m, x);                                                                             \
                    if (where < 0 || (most ? top > best : top < best) || (top != top && best == best)) {                         \
                        int64_t j = 0;                                                                                           \
                        while (x[j] != top && (top == top || x[j] == x[j])) j++;                                                 \
                        best = top, where = index + j;                                                                           \
                    }                                                                                                            \
                    index += m;                                                                                                  \
                }                                                                                                                \
            } while (last && walk_next(&w));                                                                                     \
            out[at + i] = where;                                                                                                 \
        }                                                                                                                        \
    }                                                                                                                            \
    static int arg_##s(const Call *call) {                                                                                       \
        Reduce r;                                                                                                                \
        lay_out(&r, call);                                                                                                       \
        if (r.outs == 0) return 0;                                                                                               \
        r.parts = 1;                                                                                                             \
        r.op = (int)call->ints[r.x->ndim];                                                                                       \
        r.in_convert = r.x->dtype == call->entry->dtype ? NULL : find_convert(r.x->dtype, call->entry->dtype);                   \
        int64_t rows = r.columns ? r.outs / r.kept[r.nkept - 1].size : 1;                                                        \
        pool_run(rows * r.blocks_per_row, arg_tile_##s, &r);                                                                     \
        return 0;                                                                                                                \
    }
ARG(f32, float)
ARG(f64, double)
ARG(i64, int64_t)
ARG(u64, uint64_t)
ARG(b8, uint8_t)

/* -- running sums and products along one dimension; ints: the dimension, the op ----------------------------------- */

typedef struct {
    const View *x;
    View *y;
    int dim, op;
    int64_t inner, n, part;
    ConvertFn in_convert, out_convert;
} Scan;

#define SCAN(s, W, A)                                                                                                            \
    static void scan_tile_##s(void *ctx, int64_t tile, int worker) {                                                             \
        (void)worker;                                                                                                            \
        const Scan *c = ctx;                                                                                                     \
        int64_t blocks = (c->inner + c->part - 1) / c->part, outer = tile / blocks, col = tile % blocks * c->part;               \
        int64_t width = min_i64(c->part, c->inner - col), offset = 0, rest = outer;                                              \
        for (int d = c->dim - 1; d >= 0; d--) offset += rest % c->x->size[d] * c->x->stride[d], rest /= c->x->size[d];           \
        int item = dtype_size[c->x->dtype], out_item = dtype_size[c->y->dtype];                                                  \
        for (int64_t i = 0; i < width; i++) {                                                                                    \
            int64_t at = offset, left = col + i;                                                                                 \
            for (int d = c->x->ndim - 1; d > c->dim; d--) at += left % c->x->size[d] * c->x->stride[d], left /= c->x->size[d];   \
            const char *from = c->x->data + at * item;                                                                           \
            char *to = c->y->data + (outer * c->n * c->inner + col + i) * out_item;                                              \
            A y = c->op == PROD ? 1 : 0;                                                                                         \
            for (int64_t k = 0; k < c->n; k++) {                                                                                 \
                W x, z;                                                                                                          \
                if (c->in_convert) c->in_convert(1, &x, from + k * c->x->stride[c->dim] * item);                                 \
                else x = *(const W *)(from + k * c->x->stride[c->dim] * item);                                                   \
                y = c->op == PROD ? y * x : y + x;                                                                               \
                z = (W)y;                                                                                                        \
                if (c->out_convert) c->out_convert(1, to + k * c->inner * out_item, &z);                                         \
                else *(W *)(to + k * c->inner * out_item) = z;                                                                   \
            }                                                                                                                    \
        }                                                                                                                        \
    }                                                                                                                            \
    static int scan_##s(const Call *call) {                                                                                      \
        Scan c = {.x = call->in[0], .y = call->out[0], .dim = (int)call->ints[0], .op = (int)call->ints[1], .inner = 1, .n = 1}; \
        int64_t outer = 1;                                                                                                       \
        for (int d = 0; d < c.x->ndim; d++) {                                                                                    \
            if (d < c.dim) outer *= c.x->size[d];                                                                                \
            else if (d == c.dim) c.n = c.x->size[d];                                                                             \
            else c.inner *= c.x->size[d];                                                                                        \
        }                                                                                                                        \
        if (outer * c.inner * c.n == 0) return 0;                                                                                \
        c.in_convert = c.x->dtype == call->entry->dtype ? NULL : find_convert(c.x->dtype, call->entry->dtype);                   \
        c.out_convert = c.y->dtype == call->entry->dtype ? NULL : find_convert(call->entry->dtype, c.y->dtype);                  \
        c.part = max_i64(1, min_i64(c.inner, 16384 / c.n + 1));                                                                  \
        int64_t tiles = outer * ((c.inner + c.part - 1) / c.part);                                                               \
        if (outer * c.inner * c.n < 16384) for (int64_t t = 0; t < tiles; t++) scan_tile_##s(&c, t, 0);                          \
        else pool_run(tiles, scan_tile_##s, &c);                                                                                 \
        return 0;                                                                                                                \
    }
SCAN(f32, float, double)
SCAN(f64, double, double)
SCAN(i64, int64_t, uint64_t)

#define ROWS(s, d) {"reduce", d, reduce_##s, NULL}, {"arg", d, arg_##s, NULL}
const KernelEntry ISA_NAME(table_reduce)[] = {ROWS(f32, D_F32), ROWS(f64, D_F64), ROWS(i64, D_I64), ROWS(u64, D_U64), ROWS(b8, D_BOOL),
                                              {"scan", D_F32, scan_f32, NULL}, {"scan", D_F64, scan_f64, NULL},
                                              {"scan", D_I64, scan_i64, NULL}, {NULL, 0, NULL, NULL}};
