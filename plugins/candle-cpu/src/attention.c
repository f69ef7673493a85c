/* Attention in one pass over blocks of keys: scores, running softmax and weighted values of a block of queries stay in the cache.
   M. Milakov, N. Gimelshein (2018); T. Dao et al. (2022).  Queries of all heads that share keys are rows of one block. */
#include "elementwise.h"
#include "vmath.h"
#include <stdatomic.h>
#include <stdlib.h>

#define NR (2 * VF) /* keys, or numbers of a value, that the micro-kernel takes at once */
#if defined(__AVX512F__)
#define ROWS_MOST 12
#else
#define ROWS_MOST 4
#endif
#define QUERIES 48
#define KEYS 128
#define FEW 4 /* up to so many rows keys are read where they lie, once */

typedef struct {
    const View *q, *k, *v, *y, *mask;
    const float *alibi;
    int64_t batch, heads, groups, shared, n, m, d, e, epad, mpad, rows, offset, window;
    double scale, softcap;
    bool causal;
    float *kt, *vp; /* keys packed in panels of NR, values in rows of epad; vp NULL: values are used where they lie */
    int64_t blocks; /* of queries */
    atomic_bool *starved; /* a tile found no scratch memory */
} Attention;

static inline float number(int dtype, const char *p) {
    switch (dtype) {
    case D_F16: { f16_t h; memcpy(&h, p, 2); return f32_of_f16(h); }
    case D_BF16: { bf16_t h; memcpy(&h, p, 2); return f32_of_bf16(h); }
    case D_F64: { double x; memcpy(&x, p, 8); return (float)x; }
    default: { float x; memcpy(&x, p, 4); return x; }
    }
}
static inline vf vector(int dtype, const char *p) {
    return dtype == D_F32 ? vf_load((const float *)p) : dtype == D_F16 ? vf_load_f16((const f16_t *)p) : vf_load_bf16((const bf16_t *)p);
}

/* n numbers at a stride as floats, times a factor */
static void floats_of(const View *x, const char *p, int64_t stride, int64_t n, float factor, float *to) {
    int item = dtype_size[x->dtype];
    int64_t i = 0;
    if (stride == 1) for (; i + VF <= n; i += VF) vf_store(to + i, vector(x->dtype, p + i * item) * factor);
    for (; i < n; i++) to[i] = number(x->dtype, p + i * stride * item) * factor;
}

/* where the row of a head begins: the leading dimensions counted by `batch` */
static const char *row_at(const View *x, int64_t batch, int64_t head, int64_t row) {
    int nd = x->ndim;
    int64_t at = row * x->stride[nd - 2] + head * x->stride[nd - 3];
    for (int i = nd - 4; i >= 0; i--) at += batch % x->size[i] * x->stride[i], batch /= x->size[i];
    return x->data + at * dtype_size[x->dtype];
}

/* c[mr][NR] = (or +=) a[mr][k] b[k][NR]; lda, ldb and ldc count floats */
INLINE void micro(const int mr, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    vf s[ROWS_MOST][2];
    for (int i = 0; i < mr; i++) s[i][0] = s[i][1] = (vf){0};
    for (int64_t l = 0; l < k; l++) {
        const vf x = vf_load(b + l * ldb), z = vf_load(b + l * ldb + VF);
        for (int i = 0; i < mr; i++) {
            const vf w = vf_set(a[i * lda + l]);
            s[i][0] = vf_fma(w, x, s[i][0]);
            s[i][1] = vf_fma(w, z, s[i][1]);
        }
    }
    for (int i = 0; i < mr; i++) {
        float *to = c + i * ldc;
        if (add) s[i][0] += vf_load(to), s[i][1] += vf_load(to + VF);
        vf_store(to, s[i][0]), vf_store(to + VF, s[i][1]);
    }
}
static void product(int64_t rows, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc, bool add) {
    int64_t i = 0;
#if ROWS_MOST == 12
    for (; i + 12 <= rows; i += 12) micro(12, k, a + i * lda, lda, b, ldb, c + i * ldc, ldc, add);
#endif
    for (; i + 4 <= rows; i += 4) micro(4, k, a + i * lda, lda, b, ldb, c + i * ldc, ldc, add);
    for (; i < rows; i++) micro(1, k, a + i * lda, lda, b, ldb, c + i * ldc, ldc, add);
}

/* -- packing ------------------------------------------------------------------------------------------------------ */

static void pack_tile(void *ctx, int64_t tile, int worker) {
    (void)worker;
    const Attention *t = ctx;
    int64_t panels = t->mpad / NR, panel = tile % panels, group = tile / panels % t->groups, batch = tile / panels / t->groups;
    int64_t first = panel * NR, count = min_i64(NR, t->m - first);
    float *kt = t->kt + ((batch * t->groups + group) * t->mpad + first) * t->d;
    float row[1024];
    for (int64_t j = 0; j < NR; j++) {
        if (j >= count) {
            for (int64_t l = 0; l < t->d; l++) kt[l * NR + j] = 0;
            continue;
        }
        const char *from = row_at(t->k, batch, group, first + j);
        int64_t step = t->k->stride[t->k->ndim - 1];
        for (int64_t l0 = 0; l0 < t->d; l0 += 1024) {
            int64_t w = min_i64(1024, t->d - l0);
            floats_of(t->k, from + l0 * step * dtype_size[t->k->dtype], step, w, 1, row);
            for (int64_t l = 0; l < w; l++) kt[(l0 + l) * NR + j] = row[l];
        }
    }
    if (t->vp)
        for (int64_t j = 0; j < count; j++) {
            float *to = t->vp + ((batch * t->groups + group) * t->m + first + j) * t->epad;
            floats_of(t->v, row_at(t->v, batch, group, first + j), t->v->stride[t->v->ndim - 1], t->e, 1, to);
            memset(to + t->e, 0, (size_t)(t->epad - t->e) * 4);
        }
}

/* -- scores of one query against a block of keys, with all that is added to and hidden from them --------------------- */

static void adjust(const Attention *t, int64_t batch, int64_t head, int64_t i, int64_t first, int64_t count, float *s) {
    if (t->softcap > 0) {
        const vf cap = vf_set((float)t->softcap);
        int64_t j = 0;
        for (; j + VF <= count; j += VF) vf_store(s + j, v_tanh(vf_load(s + j) / cap) * cap);
        for (; j < count; j++) s[j] = tanhf(s[j] / cap[0]) * cap[0];
    }
    int64_t at = i + t->offset;
    if (t->alibi)
        for (int64_t j = 0; j < count; j++) s[j] -= t->alibi[head] * (float)llabs(at - first - j);
    if (t->mask) {
        const View *mask = t->mask;
        int nd = mask->ndim;
        int64_t o = 0, b = batch;
        int64_t step = nd && mask->size[nd - 1] > 1 ? mask->stride[nd - 1] : 0;
        if (nd > 1 && mask->size[nd - 2] > 1) o += i * mask->stride[nd - 2];
        if (nd > 2 && mask->size[nd - 3] > 1) o += head * mask->stride[nd - 3];
        for (int k = 0; k < t->y->ndim - 3; k++) { /* the leading dimensions of the result, the last first */
            int64_t size = t->y->size[t->y->ndim - 4 - k], index = b % size;
            b /= size;
            if (nd - 4 - k >= 0 && mask->size[nd - 4 - k] > 1) o += index * mask->stride[nd - 4 - k];
        }
        int item = dtype_size[mask->dtype];
        const char *p = mask->data + (o + first * step) * item;
        if (mask->dtype == D_BOOL) for (int64_t j = 0; j < count; j++) s[j] = p[j * step] ? s[j] : -INFINITY;
        else for (int64_t j = 0; j < count; j++) s[j] += number(mask->dtype, p + j * step * item);
    }
    if (t->causal) for (int64_t j = max_i64(0, at - first + 1); j < count; j++) s[j] = -INFINITY;
    if (t->window > 0) {
        for (int64_t j = 0, end = min_i64(count, at - t->window - first + 1); j < end; j++) s[j] = -INFINITY;
        for (int64_t j = max_i64(0, at + t->window - first); j < count; j++) s[j] = -INFINITY;
    }
}

/* From scores to weights in place, with the running largest and sum of a row; what is summed so far is to be multiplied by the result. */
static float weigh(float *s, int64_t count, float *top, float *total) {
    vf a = vf_set(-INFINITY);
    int64_t j = 0;
    for (; j + VF <= count; j += VF) a = vf_max(vf_load(s + j), a);
    float most = vf_hmax(a);
    bool odd = false;
    for (; j < count; j++) most = s[j] > most ? s[j] : most;
    most = most > *top ? most : *top;
    if (most == -INFINITY) {
        for (j = 0; j < count; j++) odd |= s[j] != s[j];
        for (j = 0; j < count; j++) s[j] = odd ? NAN : 0;
        if (odd) *total = NAN;
        return 1;
    }
    const vf shift = vf_set(most);
    vf sum = {0};
    for (j = 0; j + VF <= count; j += VF) {
        vf p = v_exp(vf_load(s + j) - shift);
        vf_store(s + j, p);
        sum += p;
    }
    float more = vf_sum(sum);
    if (j < count) {
        float last[VF];
        vf_store(last, v_exp(vf_load_part(s + j, count - j) - shift));
        for (int64_t k = 0; j + k < count; k++) s[j + k] = last[k], more += last[k];
    }
    float factor = *top == -INFINITY ? 0 : expf(*top - most);
    *top = most;
    *total = *total * factor + more;
    return factor;
}

static void give(const Attention *t, int64_t batch, int64_t head, int64_t i, const float *o, float total) {
    int item = dtype_size[t->y->dtype];
    char *to = t->y->data + (((batch * t->heads + head) * t->n + i) * t->e) * item;
    const float scale = total == 0 ? 0 : 1 / total;
    for (int64_t l = 0; l < t->e; l++) {
        float x = o[l] * scale;
        if (t->y->dtype == D_F32) ((float *)to)[l] = x;
        else if (t->y->dtype == D_F16) ((f16_t *)to)[l] = f16_of_f32(x);
        else ((bf16_t *)to)[l] = bf16_of_f32(x);
    }
}

/* the keys that some of the queries from `low` to `high` see */
static void seen(const Attention *t, int64_t low, int64_t high, int64_t *first, int64_t *end) {
    *first = 0, *end = t->m;
    if (t->causal) *end = min_i64(*end, high + t->offset + 1);
    if (t->window > 0) {
        *first = max_i64(0, low + t->offset - t->window + 1);
        *end = min_i64(*end, high + t->offset + t->window);
    }
    if (*end < *first) *end = *first;
}

static void many_tile(void *ctx, int64_t tile, int worker) {
    (void)worker;
    const Attention *t = ctx;
    int64_t block = tile % t->blocks, group = tile / t->blocks % t->groups, batch = tile / t->blocks / t->groups;
    int64_t r0 = block * QUERIES, rows = min_i64(QUERIES, t->rows - r0);
    float *q = block_new((size_t)(QUERIES * (t->d + KEYS + t->epad)) * 4), *s = q + QUERIES * t->d, *o = s + QUERIES * KEYS;
    if (q == NULL) {
        atomic_store(t->starved, true);
        return;
    }
    float top[QUERIES], total[QUERIES];
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (int64_t r = 0; r < rows; r++) {
        int64_t head = group * t->shared + (r0 + r) / t->n, i = (r0 + r) % t->n;
        low = min_i64(low, i), high = max_i64(high, i);
        floats_of(t->q, row_at(t->q, batch, head, i), t->q->stride[t->q->ndim - 1], t->d, (float)t->scale, q + r * t->d);
        top[r] = -INFINITY, total[r] = 0;
    }
    memset(o, 0, (size_t)(rows * t->epad) * 4);
    int64_t first, end;
    seen(t, low, high, &first, &end);
    first = first / NR * NR;
    const float *kt = t->kt + (batch * t->groups + group) * t->mpad * t->d;
    const float *v = t->vp ? t->vp + (batch * t->groups + group) * t->m * t->epad : (const float *)row_at(t->v, batch, group, 0);
    int64_t ldv = t->vp ? t->epad : t->v->stride[t->v->ndim - 2];
    for (int64_t k0 = first; k0 < end; k0 += KEYS) {
        int64_t count = min_i64(KEYS, end - k0);
        for (int64_t j = 0; j < count; j += NR) product(rows, t->d, q, t->d, kt + (k0 + j) * t->d, NR, s + j, KEYS, false);
        for (int64_t r = 0; r < rows; r++) {
            adjust(t, batch, group * t->shared + (r0 + r) / t->n, (r0 + r) % t->n, k0, count, s + r * KEYS);
            float factor = weigh(s + r * KEYS, count, &top[r], &total[r]);
            if (factor != 1) {
                float *to = o + r * t->epad;
                for (int64_t l = 0; l < t->epad; l++) to[l] *= factor;
            }
        }
        for (int64_t l = 0; l < t->epad; l += NR) product(rows, count, s, KEYS, v + k0 * ldv + l, ldv, o + l, t->epad, true);
    }
    for (int64_t r = 0; r < rows; r++)
        give(t, batch, group * t->shared + (r0 + r) / t->n, (r0 + r) % t->n, o + r * t->epad, total[r]);
    block_free(q);
}

/* -- few rows: decoding.  Every key and every value is read once, where it lies. ---------------------------------------- */

#define DECODE(s_, T, LOADV, LOAD)                                                                                               \
    static void few_##s_(const Attention *t, int64_t batch, int64_t group, float *q, float *o, float *s) {                       \
        float top[FEW], total[FEW];                                                                                              \
        int64_t low = INT64_MAX, high = INT64_MIN, first, end, rows = t->rows, d = t->d, e = t->e;                               \
        for (int64_t r = 0; r < rows; r++) {                                                                                     \
            int64_t i = r % t->n;                                                                                                \
            low = min_i64(low, i), high = max_i64(high, i);                                                                      \
            floats_of(t->q, row_at(t->q, batch, group * t->shared + r / t->n, i), t->q->stride[t->q->ndim - 1], d, (float)t->scale,   \
                      q + r * d);                                                                                                \
            top[r] = -INFINITY, total[r] = 0;                                                                                    \
        }                                                                                                                        \
        memset(o, 0, (size_t)(rows * t->epad) * 4);                                                                              \
        seen(t, low, high, &first, &end);                                                                                        \
        int64_t kstep = t->k->stride[t->k->ndim - 2], vstep = t->v->stride[t->v->ndim - 2];                                      \
        for (int64_t k0 = first; k0 < end; k0 += KEYS) {                                                                         \
            int64_t count = min_i64(KEYS, end - k0);                                                                             \
            const T *k = (const T *)row_at(t->k, batch, group, k0), *v = (const T *)row_at(t->v, batch, group, k0);              \
            for (int64_t j = 0; j < count; j++) {                                                                                \
                const T *key = k + j * kstep;                                                                                    \
                __builtin_prefetch(key + 8 * kstep);                                                                             \
                for (int64_t r = 0; r < rows; r++) {                                                                             \
                    const float *a = q + r * d;                                                                                  \
                    vf x = {0}, z = x;                                                                                           \
                    int64_t l = 0;                                                                                               \
                    for (; l + 2 * VF <= d; l += 2 * VF) {                                                                       \
                        x = vf_fma(vf_load(a + l), LOADV(key + l), x);                                                           \
                        z = vf_fma(vf_load(a + l + VF), LOADV(key + l + VF), z);                                                 \
                    }                                                                                                            \
                    for (; l + VF <= d; l += VF) x = vf_fma(vf_load(a + l), LOADV(key + l), x);                                  \
                    float y = vf_sum(x + z);                                                                                     \
                    for (; l < d; l++) y += a[l] * LOAD(key[l]);                                                                 \
                    s[r * KEYS + j] = y;                                                                                         \
                }                                                                                                                \
            }                                                                                                                    \
            for (int64_t r = 0; r < rows; r++) {                                                                                 \
                adjust(t, batch, group * t->shared + r / t->n, r % t->n, k0, count, s + r * KEYS);                               \
                float factor = weigh(s + r * KEYS, count, &top[r], &total[r]), *to = o + r * t->epad;                            \
                if (factor != 1) for (int64_t l = 0; l < t->epad; l++) to[l] *= factor;                                          \
                int64_t l = 0;                                                                                                   \
                for (; l + 4 * VF <= e; l += 4 * VF) {                                                                           \
                    vf x = vf_load(to + l), y = vf_load(to + l + VF), z = vf_load(to + l + 2 * VF), w = vf_load(to + l + 3 * VF); \
                    for (int64_t j = 0; j < count; j++) {                                                                        \
                        const vf p = vf_set(s[r * KEYS + j]);                                                                    \
                        const T *value = v + j * vstep + l;                                                                      \
                        x = vf_fma(p, LOADV(value), x), y = vf_fma(p, LOADV(value + VF), y);                                     \
                        z = vf_fma(p, LOADV(value + 2 * VF), z), w = vf_fma(p, LOADV(value + 3 * VF), w);                        \
                    }                                                                                                            \
                    vf_store(to + l, x), vf_store(to + l + VF, y), vf_store(to + l + 2 * VF, z), vf_store(to + l + 3 * VF, w);   \
                }                                                                                                                \
                for (; l < e; l++)                                                                                               \
                    for (int64_t j = 0; j < count; j++) to[l] += s[r * KEYS + j] * LOAD(v[j * vstep + l]);                       \
            }                                                                                                                    \
        }                                                                                                                        \
        for (int64_t r = 0; r < rows; r++) give(t, batch, group * t->shared + r / t->n, r % t->n, o + r * t->epad, total[r]);    \
    }
#define PLAIN(x) (x)
DECODE(f32, float, vf_load, PLAIN)
DECODE(f16, f16_t, vf_load_f16, f32_of_f16)
DECODE(bf16, bf16_t, vf_load_bf16, f32_of_bf16)

static void few_tile(void *ctx, int64_t tile, int worker) {
    (void)worker;
    const Attention *t = ctx;
    int64_t group = tile % t->groups, batch = tile / t->groups;
    float *q = block_new((size_t)(FEW * (t->d + KEYS + t->epad)) * 4);
    if (q == NULL) {
        atomic_store(t->starved, true);
        return;
    }
    float *s = q + FEW * t->d, *o = s + FEW * KEYS;
    if (t->k->dtype == D_F32) few_f32(t, batch, group, q, o, s);
    else if (t->k->dtype == D_F16) few_f16(t, batch, group, q, o, s);
    else few_bf16(t, batch, group, q, o, s);
    block_free(q);
}

/* in: q, k, v, mask or none, alibi or none; ints: causal, window or 0, offset; floats: scale, softcap or 0 */
static int attention(const Call *call) {
    const View *q = call->in[0], *k = call->in[1], *v = call->in[2];
    atomic_bool starved = false;
    Attention t = {.q = q, .k = k, .v = v, .y = call->out[0], .mask = call->in[3], .starved = &starved};
    int nd = q->ndim;
    t.causal = call->ints[0] != 0, t.window = call->ints[1], t.offset = call->ints[2];
    t.scale = call->floats[0], t.softcap = call->floats[1];
    t.heads = q->size[nd - 3], t.n = q->size[nd - 2], t.d = q->size[nd - 1];
    t.groups = k->size[nd - 3], t.m = k->size[nd - 2], t.e = v->size[nd - 1];
    if (view_count(t.y) == 0) return 0;
    t.batch = view_count(q) / max_i64(t.heads * t.n * t.d, 1);
    t.shared = t.heads / t.groups;
    t.rows = t.shared * t.n;
    t.epad = (t.e + NR - 1) / NR * NR;
    t.mpad = (t.m + NR - 1) / NR * NR;
    float *slopes = NULL;
    int wrong = 0;
    if (call->in[4]) {
        if ((slopes = block_new((size_t)t.heads * 4)) == NULL) return no_memory((size_t)t.heads * 4);
        floats_of(call->in[4], call->in[4]->data, call->in[4]->stride[0], t.heads, 1, slopes);
        t.alibi = slopes;
    }
    bool rows_run = (t.d == 1 || k->stride[nd - 1] == 1) && (t.e == 1 || v->stride[nd - 1] == 1);
    if (t.rows <= FEW && rows_run) {
        if (t.batch * t.groups * t.m * (t.d + t.e) * t.rows < 16384)
            for (int64_t i = 0; i < t.batch * t.groups; i++) few_tile(&t, i, 0);
        else pool_run(t.batch * t.groups, few_tile, &t);
        block_free(slopes);
        return atomic_load(&starved) ? no_memory((size_t)(FEW * (t.d + KEYS + t.epad)) * 4) : 0;
    }
    bool in_place = v->dtype == D_F32 && t.e == t.epad && v->stride[nd - 1] == 1;
    size_t keys = (size_t)(t.batch * t.groups * t.mpad * t.d + NR) * 4, values = (size_t)(t.batch * t.groups * t.m * t.epad + NR) * 4;
    t.kt = block_new(keys);
    t.vp = in_place ? NULL : block_new(values);
    if (t.kt == NULL || (!in_place && t.vp == NULL)) {
        wrong = no_memory(keys + values);
    } else {
        t.blocks = (t.rows + QUERIES - 1) / QUERIES;
        pool_run(t.batch * t.groups * (t.mpad / NR), pack_tile, &t);
        pool_run(t.batch * t.groups * t.blocks, many_tile, &t);
    }
    block_free(t.kt), block_free(t.vp), block_free(slopes);
    if (atomic_load(&starved)) wrong = no_memory((size_t)(QUERIES * (t.d + KEYS + t.epad)) * 4);
    return wrong;
}

const KernelEntry ISA_NAME(table_attention)[] = {
    {"attention", D_F32, attention, NULL}, {"attention", D_F16, attention, NULL}, {"attention", D_BF16, attention, NULL}, {NULL, 0, NULL, NULL}};
