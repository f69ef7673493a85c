/* The driver of elementwise kernels: cuts the result in runs, brings each operand's run into a contiguous block of the dtype that
   is computed with (most are used where they lie), and shares the runs between threads. */
#include "elementwise.h"

#define RUN 1024 /* elements at a time: all blocks together stay in the L1 cache */
#define WIDEST 16

typedef struct {
    const View *view;
    int n; /* dimensions left after merging those that run on */
    int64_t size[MAX_DIMS], stride[MAX_DIMS];
    int item;
    ConvertFn convert;
    int want; /* bytes of an element as it is computed with */
} Operand;

typedef struct {
    const Block *block;
    const Call *call;
    Operand in[3];
    int arity;
    char *out;
    int out_item, made_item;
    ConvertFn out_convert;
    int64_t count, part, row;
    bool direct;
} Job;

/* The strides of an operand, broadcast to the result's sizes, with neighbours merged where one continues the other. */
static void flatten(Operand *o, const View *x, const View *y) {
    int n = 0, off = y->ndim - x->ndim;
    for (int i = 0; i < y->ndim; i++) {
        int64_t size = y->size[i];
        if (size == 1) continue;
        int64_t stride = i < off || x->size[i - off] == 1 ? 0 : x->stride[i - off];
        if (n && o->stride[n - 1] == stride * size) {
            o->size[n - 1] *= size;
            o->stride[n - 1] = stride;
        } else {
            o->size[n] = size;
            o->stride[n++] = stride;
        }
    }
    if (n == 0) o->size[0] = 1, o->stride[0] = 1, n = 1;
    o->n = n;
    o->view = x;
}

#define GATHER(type)                                                                                                             \
    {                                                                                                                            \
        type *to = to_;                                                                                                          \
        const type *from = (const type *)from_;                                                                                  \
        if (stride == 0) {                                                                                                       \
            const type x = *from;                                                                                                \
            for (int64_t i = 0; i < n; i++) to[i] = x;                                                                           \
        } else                                                                                                                   \
            for (int64_t i = 0; i < n; i++) to[i] = from[i * stride];                                                            \
    }                                                                                                                            \
    break

static void gather(int item, int64_t n, void *to_, const void *from_, int64_t stride) {
    switch (item) {
    case 1: GATHER(uint8_t);
    case 2: GATHER(uint16_t);
    case 4: GATHER(uint32_t);
    case 8: GATHER(uint64_t);
    default: GATHER(c128_t);
    }
}

/* The n elements from `at` on, in the result's order, contiguous: where they lie, or in `raw`. */
static const void *fetch(const Operand *o, int64_t at, int64_t n, void *raw) {
    const char *data = o->view->data;
    int last = o->n - 1;
    if (last == 0) {
        if (o->stride[0] == 1) return data + at * o->item;
        gather(o->item, n, raw, data + at * o->stride[0] * o->item, o->stride[0]);
        return raw;
    }
    int64_t index[MAX_DIMS], rest = at;
    for (int d = last; d >= 0; d--) {
        index[d] = rest % o->size[d];
        rest /= o->size[d];
        data += index[d] * o->stride[d] * o->item;
    }
    if (o->stride[last] == 1 && o->size[last] - index[last] >= n) return data;
    char *to = raw;
    for (;;) {
        int64_t run = min_i64(n, o->size[last] - index[last]);
        if (o->stride[last] == 1 && run >= 16) memcpy(to, data, (size_t)(run * o->item));
        else gather(o->item, run, to, data, o->stride[last]);
        n -= run;
        if (n == 0) return raw;
        to += run * o->item;
        data -= index[last] * o->stride[last] * o->item;
        index[last] = 0;
        for (int d = last - 1; d >= 0; d--) {
            data += o->stride[d] * o->item;
            if (++index[d] < o->size[d]) break;
            data -= o->size[d] * o->stride[d] * o->item;
            index[d] = 0;
        }
    }
}

static void work(void *ctx, int64_t tile, int worker) {
    (void)worker;
    const Job *j = ctx;
    int64_t at = tile * j->part, end = min_i64(j->count, at + j->part);
    const Block *block = j->block;
    if (j->direct) {
        const void *in[3] = {NULL, NULL, NULL};
        for (int i = 0; i < j->arity; i++) in[i] = j->in[i].view->data + at * j->in[i].item;
        block->fn(end - at, j->out + at * j->out_item, in[0], in[1], in[2], j->call->floats);
        return;
    }
    _Alignas(64) char raw[3][RUN * WIDEST], ready[3][RUN * WIDEST];
    bool constant[3] = {false, false, false};
    for (int i = 0; i < j->arity; i++) { /* one element everywhere: laid out once */
        const Operand *o = &j->in[i];
        if (o->n == 1 && o->stride[0] == 0) {
            int64_t n = min_i64(RUN, end - at);
            if (o->convert) {
                o->convert(1, raw[i], o->view->data);
                gather(o->want, n, ready[i], raw[i], 0);
            } else {
                gather(o->item, n, ready[i], o->view->data, 0);
            }
            constant[i] = true;
        }
    }
    while (at < end) {
        int64_t n = min_i64(RUN, end - at);
        if (j->row > 1) n = min_i64(n, j->row - at % j->row);
        const void *in[3] = {NULL, NULL, NULL};
        for (int i = 0; i < j->arity; i++) {
            if (constant[i]) {
                in[i] = ready[i];
                continue;
            }
            in[i] = fetch(&j->in[i], at, n, raw[i]);
            if (j->in[i].convert) {
                j->in[i].convert(n, ready[i], in[i]);
                in[i] = ready[i];
            }
        }
        char *out = j->out + at * j->out_item;
        if (block->fn == NULL) {
            if (j->out_convert) j->out_convert(n, out, in[0]);
            else memcpy(out, in[0], (size_t)(n * j->out_item));
        } else if (j->out_convert) {
            block->fn(n, raw[0], in[0], in[1], in[2], j->call->floats);
            j->out_convert(n, out, raw[0]);
        } else {
            block->fn(n, out, in[0], in[1], in[2], j->call->floats);
        }
        at += n;
    }
}

int elementwise_run(const Call *call) {
    const Block *block = call->entry->extra;
    const View *y = call->out[0];
    Job j;
    j.block = block;
    j.call = call;
    j.arity = block->arity;
    j.out = y->data;
    j.out_item = dtype_size[y->dtype];
    j.count = view_count(y);
    j.row = 1;
    j.direct = block->fn != NULL;
    if (j.count == 0) return 0;
    int made = block->out == SAME ? call->entry->dtype : block->out == RAW ? y->dtype : block->out - 1;
    j.out_convert = made == y->dtype ? NULL : find_convert(made, y->dtype);
    if (j.out_convert) j.direct = false;
    for (int i = 0, at = 0; i < block->arity; i++, at++) {
        while (call->in[at] == NULL) at++; /* an operand that was left out, such as a bound of clamp */
        const View *x = call->in[at];
        Operand *o = &j.in[i];
        int want = block->in[i] == SAME ? call->entry->dtype : block->in[i] == RAW ? x->dtype : block->in[i] - 1;
        o->item = dtype_size[x->dtype];
        o->want = dtype_size[want];
        o->convert = want == x->dtype ? NULL : find_convert(x->dtype, want);
        if (want != x->dtype && o->convert == NULL)
            return failed("the cpu device has no conversion from %s to %s", dtype_name(x->dtype), dtype_name(want));
        flatten(o, x, y);
        if (o->convert || o->n > 1 || (o->stride[0] != 1 && j.count > 1)) {
            j.direct = false;
            int64_t inner = o->size[o->n - 1];
            if (o->n > 1 && inner >= 128 && j.row == 1) j.row = inner;
        }
    }
    int64_t least = 65536 / (4 + block->cost);
    int64_t tiles = pool_tiles(j.count, max_i64(least, RUN));
    if (tiles == 1) {
        j.part = j.count;
        work(&j, 0, 0);
        return 0;
    }
    j.part = (((j.count + tiles - 1) / tiles) + 63) & ~(int64_t)63;
    pool_run((j.count + j.part - 1) / j.part, work, &j);
    return 0;
}
