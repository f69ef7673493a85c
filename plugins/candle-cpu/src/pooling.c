// Pooling of x[batch, channels, *sizes], up to three spatial dimensions, in f32, f16 and bf16: a channel at a time, its windows'
// elements read as rows of a padded image.
#include "image.h"

typedef struct {
  Image m;
  Window w;
  const View *y, *at;
  int64_t out[3], taps;
  bool largest, with_margins;
  int64_t before[3], after[3], divisor;
  int lacking;
} Pool;

static void put_row(int type, char *y, const float *from, int64_t n) {
  if (type == D_F32) memcpy(y, from, (size_t)n * 4);
  else if (type == D_F16) for (int64_t i = 0; i < n; i++) ((f16_t *)y)[i] = f16_of_f32(from[i]);
  else for (int64_t i = 0; i < n; i++) ((bf16_t *)y)[i] = bf16_of_f32(from[i]);
}

// How many elements of window `at` count in the mean, along one dimension
static int64_t counted(const Pool *p, int i, int64_t at) {
  int64_t n = 0;
  for (int64_t k = 0; k < p->w.kernel[i]; k++) {
    int64_t place = at * p->w.stride[i] - p->before[i] + k * p->w.dilation[i];
    n += p->with_margins ? place < p->m.in[i] + p->after[i] : place >= 0 && place < p->m.in[i];
  }
  return n;
}

static void pool_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  Pool *p = ctx;
  const Image *m = &p->m;
  const int type = p->y->dtype;
  int64_t channels = m->x->size[1], b = tile / channels, c = tile % channels;
  int64_t row = (p->out[2] + VF - 1) / VF * VF;
  int64_t *offset = block_new((size_t)p->taps * 8 + (size_t)(m->channel + 2 * VF + 2 * row) * 4);
  if (offset == NULL) {
    p->lacking = 1;
    return;
  }
  float *image = (float *)(offset + p->taps), *line = image + m->channel + 2 * VF, *share = line + row;
  image_fill(m, b, c, image);
  for (int64_t q = m->channel; q < m->channel + 2 * VF; q++) image[q] = 0;
  int64_t t = 0;
  for (int64_t z = 0; z < p->w.kernel[0]; z++)
    for (int64_t y = 0; y < p->w.kernel[1]; y++)
      for (int64_t x = 0; x < p->w.kernel[2]; x++) {
        int64_t at = x * p->w.dilation[2];
        offset[t++] = z * p->w.dilation[0] * m->plane + y * p->w.dilation[1] * m->line + at % m->phases * m->row + at / m->phases;
      }
  if (!p->largest)
    for (int64_t x = 0; x < p->out[2]; x++) share[x] = (float)counted(p, 2, x);
  char *to = p->y->data + tile * volume(p->out) * dtype_size[type];
  for (int64_t z = 0; z < p->out[0]; z++)
    for (int64_t y = 0; y < p->out[1]; y++, to += p->out[2] * dtype_size[type]) {
      const float *from = image + z * p->w.stride[0] * m->plane + y * p->w.stride[1] * m->line;
      for (int64_t x = 0; x < row; x += VF) {
        vf s = vf_set(p->largest ? -INFINITY : 0.0f);
        if (p->largest)
          for (t = 0; t < p->taps; t++) {
            vf v = vf_load(from + offset[t] + x);
            s = vf_select((v > s) | (v != v), v, s);
          }
        else
          for (t = 0; t < p->taps; t++) s += vf_load(from + offset[t] + x);
        vf_store(line + x, s);
      }
      if (!p->largest) {
        if (p->divisor) {
          for (int64_t x = 0; x < p->out[2]; x++) line[x] /= (float)p->divisor;
        } else {
          float high = (float)(counted(p, 0, z) * counted(p, 1, y));
          for (int64_t x = 0; x < p->out[2]; x++) line[x] /= high * share[x];
        }
      }
      put_row(type, to, line, p->out[2]);
    }
  block_free(offset);
}

// The largest of each window and its place among the spatial dimensions of x, flattened; of equal ones the first, and NaN above all
static void places_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  Pool *p = ctx;
  const View *x = p->m.x;
  const int type = x->dtype;
  const int64_t *in = p->m.in, *step = p->m.step;
  int64_t channels = x->size[1], from = tile / channels * x->stride[0] + tile % channels * x->stride[1];
  int64_t *places = (int64_t *)p->at->data + tile * volume(p->out), j = 0;
  char *to = p->y->data + tile * volume(p->out) * dtype_size[type];
  for (int64_t z = 0; z < p->out[0]; z++)
    for (int64_t y = 0; y < p->out[1]; y++)
      for (int64_t q = 0; q < p->out[2]; q++, j++) {
        float best = -INFINITY;
        int64_t found = -1;
        for (int64_t a = 0; a < p->w.kernel[0]; a++) {
          int64_t iz = z * p->w.stride[0] - p->before[0] + a * p->w.dilation[0];
          if (iz < 0 || iz >= in[0]) continue;
          for (int64_t b = 0; b < p->w.kernel[1]; b++) {
            int64_t iy = y * p->w.stride[1] - p->before[1] + b * p->w.dilation[1];
            if (iy < 0 || iy >= in[1]) continue;
            for (int64_t c = 0; c < p->w.kernel[2]; c++) {
              int64_t ix = q * p->w.stride[2] - p->before[2] + c * p->w.dilation[2];
              if (ix < 0 || ix >= in[2]) continue;
              float v = element(type, x->data, from + iz * step[0] + iy * step[1] + ix * step[2]);
              if (found < 0 || v > best || v != v) best = v > best || v != v || found < 0 ? v : best, found = (iz * in[1] + iy) * in[2] + ix;
            }
          }
        }
        places[j] = found;
        put_row(type, to + j * dtype_size[type], &best, 1);
      }
}

// ints: those of a window (one group), then for each dimension the margin before and after, then whether margins count and the divisor
static int pooled(const Call *call, bool largest) {
  const View *x = call->in[0];
  const int n = x->ndim - 2;
  Pool p = {.w = window_of(call, n), .y = call->out[0], .largest = largest, .at = call->nout > 1 ? call->out[1] : NULL};
  if (view_count(p.y) == 0) return 0;
  sizes_of(p.y, p.out);
  const int64_t *margins = call->ints + 1 + 4 * n;
  for (int i = 0; i < n; i++) p.before[3 - n + i] = margins[2 * i], p.after[3 - n + i] = margins[2 * i + 1];
  if (!largest) p.with_margins = margins[2 * n], p.divisor = margins[2 * n + 1];
  int64_t size[3];
  for (int i = 0; i < 3; i++) size[i] = (p.out[i] - 1) * p.w.stride[i] + p.w.dilation[i] * (p.w.kernel[i] - 1) + 1;
  image_layout(&p.m, x, p.before, size, p.w.stride[2]);
  p.m.margin = largest ? -INFINITY : 0;
  p.taps = volume(p.w.kernel);
  int64_t tiles = x->size[0] * x->size[1];
  void (*tile)(void *, int64_t, int) = p.at ? places_tile : pool_tile;
  if (tiles * volume(p.out) * p.taps < 32768)
    for (int64_t t = 0; t < tiles; t++) tile(&p, t, 0);
  else
    pool_run(tiles, tile, &p);
  return p.lacking ? no_memory((size_t)p.m.channel * 4) : 0;
}
static int max_pool(const Call *call) { return pooled(call, true); }
static int avg_pool(const Call *call) { return pooled(call, false); }

#define HALVES(name, run) {name, D_F32, run, NULL}, {name, D_F16, run, NULL}, {name, D_BF16, run, NULL}
const KernelEntry ISA_NAME(table_pooling)[] = {HALVES("max_pool", max_pool), HALVES("max_pool_with_indices", max_pool),
                                               HALVES("avg_pool", avg_pool), {NULL, 0, NULL, NULL}};
