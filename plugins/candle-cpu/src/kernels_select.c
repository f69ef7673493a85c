/* Reading and writing at positions that are operands, joining and padding, and random bits. */
#include "elementwise.h"
#include "vector.h"

static const char *const names[] = {"gather", "scatter_add", "index_select", "index_add", "embedding", "take", "write", "narrow_at"};
enum { GATHER, SCATTER_ADD, INDEX_SELECT, INDEX_ADD, EMBEDDING, TAKE, WRITE, NARROW_AT };

/* The positions, contiguous in the order of the index, each checked to be within n; NULL with the failure said. */
static int64_t *positions(const View *index, int64_t n, int op, int *wrong) {
    int64_t count = view_count(index), strides[MAX_DIMS], step = 1;
    *wrong = 0;
    int64_t *at = block_new((size_t)(count + 1) * 8);
    if (at == NULL) return *wrong = no_memory((size_t)count * 8), NULL;
    char *raw = index->dtype == D_I64 ? (char *)at : block_new((size_t)(count + 1) * 8);
    if (raw == NULL) {
        block_free(at);
        return *wrong = no_memory((size_t)count * 8), NULL;
    }
    for (int d = index->ndim - 1; d >= 0; d--) strides[d] = step, step *= index->size[d];
    View dense = {.data = raw, .size = index->size, .stride = strides, .ndim = index->ndim, .dtype = index->dtype};
    view_copy(index, &dense);
    if (raw != (char *)at) {
        find_convert(index->dtype, D_I64)(count, at, raw);
        block_free(raw);
    }
    int64_t low = op == TAKE ? -n : 0;
    for (int64_t i = 0; i < count; i++) {
        if (UNLIKELY(at[i] < low || at[i] >= n)) {
            *wrong = failed("%s was given the index %lld for a dimension of size %lld; indices are from %lld to %lld", names[op],
                            (long long)at[i], (long long)n, (long long)low, (long long)(n - 1));
            block_free(at);
            return NULL;
        }
        if (at[i] < 0) at[i] += n;
    }
    return at;
}

/* a view without one dimension, and from an index of it on */
static View without(const View *v, int dim, int64_t *sizes, int64_t *strides) {
    View y = {.data = v->data, .size = sizes, .stride = strides, .dtype = v->dtype};
    for (int d = 0; d < v->ndim; d++)
        if (d != dim) sizes[y.ndim] = v->size[d], strides[y.ndim++] = v->stride[d];
    return y;
}

/* -- whole slices: index_select and embedding -------------------------------------------------------------------- */

typedef struct {
    View from, to; /* without the dimension that is selected from */
    int64_t step_from, step_to, count, part;
    const int64_t *at;
    int64_t run; /* bytes of a slice that lies in one piece in both, else 0 */
} Slices;

static void slices_tile(void *ctx, int64_t tile, int worker) {
    (void)worker;
    const Slices *s = ctx;
    for (int64_t i = tile * s->part, end = min_i64(s->count, i + s->part); i < end; i++) {
        View from = s->from, to = s->to;
        from.data += s->at[i] * s->step_from, to.data += i * s->step_to;
        if (s->run) memcpy(to.data, from.data, (size_t)s->run);
        else view_copy(&from, &to);
    }
}

/* slices of x along dim to y, whose dimensions from dim on are the index's as one */
static void copy_slices(const View *x, int dim, const View *y, const int64_t *at, int64_t count) {
    int64_t fs[MAX_DIMS], ft[MAX_DIMS], ts[MAX_DIMS], tt[MAX_DIMS];
    int item = dtype_size[x->dtype];
    Slices s = {.from = without(x, dim, fs, ft), .to = without(y, dim, ts, tt), .at = at, .count = count};
    s.step_from = x->stride[dim] * item, s.step_to = y->stride[dim] * item;
    int64_t size = view_count(&s.from) * item;
    s.run = view_contiguous(&s.from) && view_contiguous(&s.to) ? size : 0;
    int64_t tiles = pool_tiles(count, max_i64(1, 131072 / max_i64(size, 1)));
    s.part = (count + tiles - 1) / max_i64(tiles, 1);
    if (count && size) pool_run((count + s.part - 1) / s.part, slices_tile, &s);
}

static int index_select(const Call *call) { /* ints: dim */
    const View *x = call->in[0], *y = call->out[0];
    int dim = (int)call->ints[0], wrong;
    int64_t *at = positions(call->in[1], x->size[dim], INDEX_SELECT, &wrong);
    if (wrong) return wrong;
    copy_slices(x, dim, y, at, view_count(call->in[1]));
    block_free(at);
    return 0;
}

static int embedding(const Call *call) {
    const View *x = call->in[0], *y = call->out[0], *index = call->in[1];
    int wrong;
    int64_t count = view_count(index), sizes[MAX_DIMS + 1], strides[MAX_DIMS + 1];
    int64_t *at = positions(index, x->size[0], EMBEDDING, &wrong);
    if (wrong) return wrong;
    View flat = {.data = y->data, .size = sizes, .stride = strides, .ndim = x->ndim, .dtype = y->dtype};
    sizes[0] = count, strides[0] = 1;
    for (int d = 1; d < x->ndim; d++) {
        sizes[d] = x->size[d], strides[d] = y->stride[index->ndim + d - 1];
        strides[0] *= x->size[d];
    }
    copy_slices(x, 0, &flat, at, count);
    block_free(at);
    return 0;
}

/* -- one position for each element: gather, take, scatter_add ------------------------------------------------------ */

typedef struct {
    const View *x, *y, *src;
    const int64_t *at;
    int dim;
    int64_t part, count;
} Each;

/* The offset of an element of a view: its index there is that in the index's shape, but `at` along dim. */
#define OFFSETS(view, sizes, i, at_, dim_)                                                                                       \
    int64_t offset = 0, rest_ = i;                                                                                               \
    for (int d = sizes->ndim - 1; d >= 0; d--) {                                                                                 \
        int64_t k = rest_ % sizes->size[d];                                                                                      \
        rest_ /= sizes->size[d];                                                                                                 \
        offset += (d == dim_ ? at_ : k) * view->stride[d];                                                                       \
    }

static void move_one(int item, char *to, const char *from) {
    switch (item) {
    case 1: *to = *from; break;
    case 2: memcpy(to, from, 2); break;
    case 4: memcpy(to, from, 4); break;
    case 8: memcpy(to, from, 8); break;
    default: memcpy(to, from, (size_t)item); break;
    }
}

static void gather_tile(void *ctx, int64_t tile, int worker) {
    (void)worker;
    const Each *e = ctx;
    int item = dtype_size[e->x->dtype];
    for (int64_t i = tile * e->part, end = min_i64(e->count, i + e->part); i < end; i++) {
        OFFSETS(e->x, e->y, i, e->at[i], e->dim)
        move_one(item, e->y->data + i * item, e->x->data + offset * item);
    }
}

static int gather(const Call *call) { /* ints: dim */
    Each e = {.x = call->in[0], .y = call->out[0], .dim = (int)call->ints[0]};
    e.count = view_count(e.y);
    int wrong;
    int64_t *at = positions(call->in[1], e.x->size[e.dim], GATHER, &wrong);
    if (wrong) return wrong;
    e.at = at;
    int64_t tiles = pool_tiles(e.count, 8192);
    e.part = (e.count + tiles - 1) / tiles;
    if (e.count) pool_run((e.count + e.part - 1) / e.part, gather_tile, &e);
    block_free(at);
    return 0;
}

/* sums of n elements to n others */
#define ADD(s, T)                                                                                                                \
    static void add_##s(int64_t n, char *y_, const char *x_, int64_t stride, double alpha) {                                     \
        T *y = (T *)y_;                                                                                                          \
        const T *x = (const T *)x_;                                                                                              \
        if (alpha != 1) for (int64_t i = 0; i < n; i++) y[i] += (T)(x[i * stride] * (T)alpha);                                   \
        else if (stride == 1) for (int64_t i = 0; i < n; i++) y[i] += x[i];                                                      \
        else for (int64_t i = 0; i < n; i++) y[i] += x[i * stride];                                                              \
    }
ADD(f32, float)
ADD(f64, double)
ADD(u8, uint8_t)
ADD(u16, uint16_t)
ADD(u32, uint32_t)
ADD(u64, uint64_t)
typedef void (*AddFn)(int64_t, char *, const char *, int64_t, double);
static AddFn add_of(int dtype) {
    if (dtype == D_F32) return add_f32;
    if (dtype == D_F64) return add_f64;
    return dtype_size[dtype] == 1 ? add_u8 : dtype_size[dtype] == 2 ? add_u16 : dtype_size[dtype] == 4 ? add_u32 : add_u64;
}

static int scatter_add(const Call *call) { /* ints: dim */
    const View *x = call->in[0], *index = call->in[1], *src = call->in[2], *y = call->out[0];
    int dim = (int)call->ints[0], wrong, item = dtype_size[y->dtype];
    AddFn add = add_of(y->dtype);
    int64_t *at = positions(index, x->size[dim], SCATTER_ADD, &wrong);
    if (wrong) return wrong;
    view_copy(x, y);
    for (int64_t i = 0, n = view_count(index); i < n; i++) {
        int64_t from = 0, to = 0, rest = i;
        for (int d = index->ndim - 1; d >= 0; d--) {
            int64_t k = rest % index->size[d];
            rest /= index->size[d];
            from += k * src->stride[d];
            to += (d == dim ? at[i] : k) * y->stride[d];
        }
        add(1, y->data + to * item, src->data + from * item, 1, 1);
    }
    block_free(at);
    return 0;
}

typedef struct {
    View source, y; /* without the dimension */
    int64_t step_source, step_y, count, slices, part;
    const int64_t *at;
    double alpha;
    int item;
    AddFn add;
    bool runs;
} Adding;

static void adding_tile(void *ctx, int64_t tile, int worker) { /* a part of every slice, so that no two threads write to one place */
    (void)worker;
    const Adding *a = ctx;
    int64_t begin = tile * a->part, n = min_i64(a->slices - begin, a->part);
    for (int64_t i = 0; i < a->count; i++) {
        char *to = a->y.data + a->at[i] * a->step_y;
        const char *from = a->source.data + i * a->step_source;
        if (a->runs) {
            a->add(n, to + begin * a->item, from + begin * a->item, 1, a->alpha);
            continue;
        }
        for (int64_t j = begin; j < begin + n; j++) {
            int64_t f = 0, t = 0, rest = j;
            for (int d = a->y.ndim - 1; d >= 0; d--) {
                int64_t k = rest % a->y.size[d];
                rest /= a->y.size[d];
                f += k * a->source.stride[d], t += k * a->y.stride[d];
            }
            a->add(1, to + t * a->item, from + f * a->item, 1, a->alpha);
        }
    }
}

static int index_add(const Call *call) { /* ints: dim; floats: alpha */
    const View *x = call->in[0], *y = call->out[0], *source = call->in[2];
    int dim = (int)call->ints[0], wrong;
    int64_t fs[MAX_DIMS], ft[MAX_DIMS], ts[MAX_DIMS], tt[MAX_DIMS];
    int64_t *at = positions(call->in[1], x->size[dim], INDEX_ADD, &wrong);
    if (wrong) return wrong;
    view_copy(x, y);
    Adding a = {.source = without(source, dim, fs, ft), .y = without(y, dim, ts, tt), .at = at, .item = dtype_size[y->dtype]};
    a.alpha = call->floats[0];
    a.add = add_of(y->dtype);
    a.step_source = source->stride[dim] * a.item, a.step_y = y->stride[dim] * a.item;
    a.count = view_count(call->in[1]);
    a.slices = view_count(&a.y);
    a.runs = view_contiguous(&a.source) && view_contiguous(&a.y);
    if (a.count && a.slices) {
        int64_t tiles = a.count * a.slices < 32768 ? 1 : pool_tiles(a.slices, 64);
        a.part = (a.slices + tiles - 1) / tiles;
        pool_run((a.slices + a.part - 1) / a.part, adding_tile, &a);
    }
    block_free(at);
    return 0;
}

/* -- joining, padding, writing a part ------------------------------------------------------------------------------- */

static int cat(const Call *call) { /* ints: dim */
    int dim = (int)call->ints[0];
    View part = *call->out[0];
    int64_t sizes[MAX_DIMS];
    memcpy(sizes, part.size, sizeof(int64_t) * (size_t)part.ndim);
    part.size = sizes;
    for (int i = 0; i < call->nin; i++) {
        const View *x = call->in[i];
        sizes[dim] = x->size[dim];
        if (view_count(x)) view_copy(x, &part);
        part.data += x->size[dim] * part.stride[dim] * dtype_size[part.dtype];
    }
    return 0;
}

static int pad(const Call *call) { /* ints: how many elements go before, per dimension, and the bytes of the element that is written */
    View part = *call->out[0];
    view_fill(&part, call->ints + part.ndim);
    for (int d = 0; d < part.ndim; d++) part.data += call->ints[d] * part.stride[d] * dtype_size[part.dtype];
    part.size = call->in[0]->size;
    view_copy(call->in[0], &part);
    return 0;
}

/* in: x, v; ints: per dimension the size of the part, its start and its step */
static int slice_set(const Call *call) {
    const View *x = call->in[0], *v = call->in[1], *y = call->out[0];
    int64_t sizes[MAX_DIMS], strides[MAX_DIMS], from[MAX_DIMS];
    if (x->data != y->data) view_copy(x, y);
    View part = {.data = y->data, .size = sizes, .stride = strides, .ndim = y->ndim, .dtype = y->dtype};
    int off = y->ndim - v->ndim;
    for (int d = 0; d < y->ndim; d++) {
        const int64_t *a = call->ints + 3 * d;
        sizes[d] = a[0];
        if (a[0] == 0) return 0;
        part.data += a[1] * y->stride[d] * dtype_size[y->dtype];
        strides[d] = a[2] * y->stride[d];
        from[d] = d < off || v->size[d - off] == 1 ? 0 : v->stride[d - off];
    }
    View value = {.data = v->data, .size = sizes, .stride = from, .ndim = y->ndim, .dtype = v->dtype};
    view_copy(&value, &part);
    return 0;
}

/* in: x, src, position; ints: dim */
static int write_at(const Call *call) {
    const View *x = call->in[0], *src = call->in[1], *y = call->out[0];
    int dim = (int)call->ints[0];
    int64_t at;
    if (call->in[2]->dtype == D_I64) at = *(const int64_t *)call->in[2]->data;
    else find_convert(call->in[2]->dtype, D_I64)(1, &at, call->in[2]->data);
    if (at < 0 || at > y->size[dim] - src->size[dim])
        return failed("write was given the position %lld for %lld elements in a dimension of size %lld; it is from 0 to %lld", (long long)at,
                      (long long)src->size[dim], (long long)y->size[dim], (long long)(y->size[dim] - src->size[dim]));
    if (x->data != y->data) view_copy(x, y);
    View part = *y;
    part.size = src->size;
    part.data += at * y->stride[dim] * dtype_size[y->dtype];
    if (view_count(src)) view_copy(src, &part);
    return 0;
}

/* -- Philox4x32-10 --------------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t *y;
    uint64_t seed, offset;
    int64_t n, part;
} Bits;

static void bits_tile(void *ctx, int64_t tile, int worker) {
    (void)worker;
    const Bits *b = ctx;
    for (int64_t block = tile * b->part, end = block + b->part; block < end && block * 4 < b->n; block++) {
        uint64_t at = b->offset + (uint64_t)block;
        uint32_t c0 = (uint32_t)at, c1 = (uint32_t)(at >> 32), c2 = 0, c3 = 0, k0 = (uint32_t)b->seed, k1 = (uint32_t)(b->seed >> 32);
        for (int round = 0; round < 10; round++) {
            uint64_t p = (uint64_t)0xD2511F53u * c0, q = (uint64_t)0xCD9E8D57u * c2;
            c0 = (uint32_t)(q >> 32) ^ c1 ^ k0, c1 = (uint32_t)q, c2 = (uint32_t)(p >> 32) ^ c3 ^ k1, c3 = (uint32_t)p;
            k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
        }
        uint32_t words[4] = {c0, c1, c2, c3};
        memcpy(b->y + block * 4, words, (size_t)min_i64(4, b->n - block * 4) * 4);
    }
}

static int random_bits(const Call *call) {
    const int64_t *state = (const int64_t *)call->in[0]->data;
    Bits b = {.y = (uint32_t *)call->out[0]->data, .seed = (uint64_t)state[0], .n = view_count(call->out[0])};
    b.offset = (uint64_t)state[call->in[0]->stride[0]];
    int64_t blocks = (b.n + 3) / 4, tiles = pool_tiles(blocks, 4096);
    b.part = (blocks + tiles - 1) / tiles;
    if (blocks) pool_run((blocks + b.part - 1) / b.part, bits_tile, &b);
    return 0;
}

const KernelEntry ISA_NAME(table_select)[] = {
    {"index_select", -1, index_select, NULL}, {"embedding", -1, embedding, NULL},   {"gather", -1, gather, NULL},
    {"scatter_add", -1, scatter_add, NULL},   {"index_add", -1, index_add, NULL},   {"cat", -1, cat, NULL},
    {"pad", -1, pad, NULL},                   {"slice_set", -1, slice_set, NULL},   {"write", -1, write_at, NULL},
    {"random_bits", -1, random_bits, NULL},   {NULL, 0, NULL, NULL}};
