/* Copies between views of any strides: dimensions are merged, runs copied whole, transpositions done in blocks. */
#include "engine.h"

typedef struct {
    int n; /* dimensions left after merging, outermost first in the order of `to` */
    int64_t size[MAX_DIMS], to[MAX_DIMS], from[MAX_DIMS];
    char *out;
    const char *in;
    int item;
    int64_t part; /* how much of the first dimension a tile takes */
} Copy;

static void merge(Copy *c, const View *from, const View *to) {
    int n = 0;
    for (int i = 0; i < to->ndim; i++) {
        if (to->size[i] == 1) continue;
        int at = n++;
        int64_t key = to->stride[i] < 0 ? -to->stride[i] : to->stride[i];
        while (at > 0) { /* by falling stride of the result */
            int64_t before = c->to[at - 1] < 0 ? -c->to[at - 1] : c->to[at - 1];
            if (before >= key) break;
            c->size[at] = c->size[at - 1], c->to[at] = c->to[at - 1], c->from[at] = c->from[at - 1];
            at--;
        }
        c->size[at] = to->size[i], c->to[at] = to->stride[i], c->from[at] = from->stride[i];
    }
    int m = 0;
    for (int i = 1; i < n; i++) {
        if (c->to[m] == c->to[i] * c->size[i] && c->from[m] == c->from[i] * c->size[i]) {
            c->size[m] *= c->size[i], c->to[m] = c->to[i], c->from[m] = c->from[i];
        } else {
            m++;
            c->size[m] = c->size[i], c->to[m] = c->to[i], c->from[m] = c->from[i];
        }
    }
    c->n = n ? m + 1 : 0;
}

#define BLOCK 16

/* rows x columns elements; the strides count elements */
#define PLANE(name, type)                                                                                                        \
    static void plane_##name(char *to_, const char *from_, int64_t rows, int64_t cols, int64_t tr, int64_t tc, int64_t fr,        \
                             int64_t fc) {                                                                                       \
        type *to = (type *)to_;                                                                                                  \
        const type *from = (const type *)from_;                                                                                  \
        if (tc == 1 && fc == 1) {                                                                                                \
            for (int64_t r = 0; r < rows; r++) memcpy(to + r * tr, from + r * fr, (size_t)cols * sizeof(type));                   \
        } else if (fc == 0) {                                                                                                    \
            for (int64_t r = 0; r < rows; r++) {                                                                                 \
                const type x = from[r * fr];                                                                                     \
                if (tc == 1) for (int64_t c = 0; c < cols; c++) to[r * tr + c] = x;                                              \
                else for (int64_t c = 0; c < cols; c++) to[r * tr + c * tc] = x;                                                 \
            }                                                                                                                    \
        } else if (tc == 1 && fr == 1) {                                                                                         \
            for (int64_t r0 = 0; r0 < rows; r0 += BLOCK)                                                                         \
                for (int64_t c0 = 0; c0 < cols; c0 += BLOCK) {                                                                   \
                    int64_t r1 = min_i64(rows, r0 + BLOCK), c1 = min_i64(cols, c0 + BLOCK);                                      \
                    for (int64_t r = r0; r < r1; r++)                                                                            \
                        for (int64_t c = c0; c < c1; c++) to[r * tr + c] = from[r + c * fc];                                     \
                }                                                                                                                \
        } else {                                                                                                                 \
            for (int64_t r = 0; r < rows; r++)                                                                                   \
                for (int64_t c = 0; c < cols; c++) to[r * tr + c * tc] = from[r * fr + c * fc];                                  \
        }                                                                                                                        \
    }
PLANE(1, uint8_t)
PLANE(2, uint16_t)
PLANE(4, uint32_t)
PLANE(8, uint64_t)
PLANE(16, c128_t)

static void plane(int item, char *to, const char *from, int64_t rows, int64_t cols, int64_t tr, int64_t tc, int64_t fr, int64_t fc) {
    switch (item) {
    case 1: plane_1(to, from, rows, cols, tr, tc, fr, fc); break;
    case 2: plane_2(to, from, rows, cols, tr, tc, fr, fc); break;
    case 4: plane_4(to, from, rows, cols, tr, tc, fr, fc); break;
    case 8: plane_8(to, from, rows, cols, tr, tc, fr, fc); break;
    case 16: plane_16(to, from, rows, cols, tr, tc, fr, fc); break;
    default:
        for (int64_t r = 0; r < rows; r++)
            if (tc == 1 && fc == 1) memcpy(to + r * tr * item, from + r * fr * item, (size_t)(cols * item));
            else for (int64_t c = 0; c < cols; c++) memcpy(to + (r * tr + c * tc) * item, from + (r * fr + c * fc) * item, (size_t)item);
    }
}

static void copy_tile(void *ctx, int64_t tile, int worker) {
    (void)worker;
    const Copy *c = ctx;
    int64_t begin = tile * c->part, count = min_i64(c->part, c->size[0] - begin);
    if (count <= 0) return;
    char *out = c->out + begin * c->to[0] * c->item;
    const char *in = c->in + begin * c->from[0] * c->item;
    int last = c->n - 1;
    if (last == 0) {
        plane(c->item, out, in, 1, count, 0, c->to[0], 0, c->from[0]);
        return;
    }
    /* the plane: the last dimension, and the one along which the source runs on, else the last but one */
    int row = last - 1;
    if (c->from[last] != 1)
        for (int d = 0; d < last; d++)
            if (c->from[d] == 1) row = d;
    int64_t at[MAX_DIMS] = {0};
    for (;;) {
        plane(c->item, out, in, row == 0 ? count : c->size[row], c->size[last], c->to[row], c->to[last], c->from[row], c->from[last]);
        int d = last - 1;
        for (; d >= 0; d--) {
            if (d == row) continue;
            int64_t n = d == 0 ? count : c->size[d];
            out += c->to[d] * c->item, in += c->from[d] * c->item;
            if (++at[d] < n) break;
            at[d] = 0;
            out -= n * c->to[d] * c->item, in -= n * c->from[d] * c->item;
        }
        if (d < 0) break;
    }
}

void view_copy(const View *from, const View *to) {
    int64_t count = view_count(to);
    if (count == 0) return;
    Copy c;
    c.item = dtype_size[to->dtype];
    c.out = to->data, c.in = from->data;
    merge(&c, from, to);
    if (c.n == 0) {
        memcpy(c.out, c.in, (size_t)c.item);
        return;
    }
    int64_t each = count / c.size[0], least = max_i64(1, (65536 / c.item + each - 1) / each);
    int64_t tiles = pool_tiles(c.size[0], least);
    c.part = (c.size[0] + tiles - 1) / tiles;
    pool_run((c.size[0] + c.part - 1) / c.part, copy_tile, &c);
}

void view_fill(const View *to, const void *element) {
    int64_t zeros[MAX_DIMS] = {0};
    View from = {.data = (char *)element, .size = to->size, .stride = zeros, .ndim = to->ndim, .dtype = to->dtype};
    view_copy(&from, to);
}
