// Convolution, its transpose and the gradient of its weight, in f32, f16 and bf16: products whose operand of windows is
// never written down, but packed from a padded image tile by tile.
// x[batch, channels, *sizes], weight[out, channels / groups, *kernel], y[batch, out, *positions]; up to three spatial dimensions.
#include "gemm.h"
#include "gemm_vec.h"
#include "image.h"

#define WIDTH ((int64_t)TILE_VECTORS * VF)  // columns of a panel
#define PANELS 4                            // panels in a tile of the result
#define COLUMNS (PANELS * WIDTH)
#define ROWS (TILE_ROWS * 16)  // most rows in a tile

typedef struct {
  const Image *m;
  int64_t first, channels;
  float *to;
} Filling;
static void fill_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  const Filling *f = ctx;
  image_fill(f->m, f->first + tile / f->channels, tile % f->channels, f->to + tile * f->m->channel);
}
// images first.. of x, all their channels
static void images_fill(const Image *m, int64_t first, int64_t count, float *to, bool alone) {
  Filling f = {m, first, m->x->size[1], to};
  int64_t tiles = count * f.channels;
  if (alone || m->channel * tiles < 16384)
    for (int64_t t = 0; t < tiles; t++) fill_tile(&f, t, 0);
  else
    pool_run(tiles, fill_tile, &f);
}

// -- runs of positions -------------------------------------------------------------------------------

typedef struct {
  int64_t from, to;  // where in the image, and in the result
  int32_t at, n;     // where in the panel, how many
} Run;

typedef struct {
  const float *image;
  int64_t images, image_step, group_step;  // images that are done together
  int64_t size[3], step[3];                // positions, and what is between them in the image
  const int64_t *offset;                   // of the k elements of a window, within a group
  int64_t k, groups, rows;                 // rows: results of a group
  const float *weights;                    // packed, [group][slab][rows / TILE_ROWS][kc][TILE_ROWS]
  bool exact;                              // nothing may be read behind a run
  char *y;
  int type;
  int64_t y_image, y_row, y_step[3];
  const View *bias;
  int64_t tile_rows, row_tiles, column_tiles;
  int lacking;
} Product;

// The runs of a panel's columns j.. (n of them); returns how many
static int runs_of(const Product *p, int64_t j, int64_t n, Run *runs) {
  int count = 0;
  int64_t at = 0;
  int64_t x = j % p->size[2], rest = j / p->size[2];
  int64_t y = rest % p->size[1];
  rest /= p->size[1];
  int64_t z = rest % p->size[0], image = rest / p->size[0];
  while (at < n) {
    int64_t len = min_i64(n - at, p->size[2] - x);
    runs[count++] = (Run){image * p->image_step + z * p->step[0] + y * p->step[1] + x * p->step[2],
                          image * p->y_image + z * p->y_step[0] + y * p->y_step[1] + x * p->y_step[2], (int32_t)at, (int32_t)len};
    at += len;
    x = 0;
    if (++y == p->size[1]) {
      y = 0;
      if (++z == p->size[0]) z = 0, image++;
    }
  }
  return count;
}

// to[k][WIDTH]; a run is copied in whole vectors: what is too much is overwritten by the next
static void pack_windows(const Product *p, const float *image, const int64_t *offset, int64_t kc, const Run *runs, int count, float *to) {
  if (p->exact) {
    for (int64_t k = 0; k < kc; k++, to += WIDTH)
      for (int r = 0; r < count; r++) memcpy(to + runs[r].at, image + offset[k] + runs[r].from, (size_t)runs[r].n * 4);
    return;
  }
  if (count == 1 && runs[0].n == WIDTH) {
    for (int64_t k = 0; k < kc; k++, to += WIDTH)
      UNROLL for (int i = 0; i < WIDTH; i += VF) vf_store(to + i, vf_load(image + offset[k] + runs[0].from + i));
    return;
  }
  for (int64_t k = 0; k < kc; k++, to += WIDTH)
    for (int r = 0; r < count; r++) {
      const float *from = image + offset[k] + runs[r].from;
      float *at = to + runs[r].at;
      for (int i = 0; i < runs[r].n; i += VF) vf_store(at + i, vf_load(from + i));
    }
}

static void store_run(int type, char *y, int64_t step, const float *from, int64_t n, float bias) {
  if (type == D_F32) {
    float *to = (float *)y;
    if (step == 1)
      for (int64_t i = 0; i < n; i++) to[i] = from[i] + bias;
    else
      for (int64_t i = 0; i < n; i++) to[i * step] = from[i] + bias;
  } else if (type == D_F16) {
    for (int64_t i = 0; i < n; i++) ((f16_t *)y)[i * step] = f16_of_f32(from[i] + bias);
  } else {
    for (int64_t i = 0; i < n; i++) ((bf16_t *)y)[i * step] = bf16_of_f32(from[i] + bias);
  }
}

static void product_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  Product *p = ctx;
  int64_t columns = p->images * p->size[0] * p->size[1] * p->size[2];
  int64_t j0 = tile % p->column_tiles * COLUMNS, rest = tile / p->column_tiles;
  int64_t i0 = rest % p->row_tiles * p->tile_rows, group = rest / p->row_tiles;
  int64_t nj = min_i64(columns - j0, COLUMNS), ni = min_i64(p->rows - i0, p->tile_rows);
  int64_t panels = (nj + WIDTH - 1) / WIDTH, depth = min_i64(p->k, TILE_DEPTH);
  float *part = block_new((size_t)(ni * COLUMNS + panels * (depth * WIDTH + 2 * VF)) * 4);
  if (part == NULL) {
    p->lacking = 1;
    return;
  }
  float *b = part + ni * COLUMNS;
  Run runs[PANELS][WIDTH];
  int count[PANELS];
  for (int64_t q = 0; q < panels; q++) count[q] = runs_of(p, j0 + q * WIDTH, min_i64(nj - q * WIDTH, WIDTH), runs[q]);
  const float *image = p->image + group * p->group_step;
  int64_t height = (p->rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
  if (p->k == 0) memset(part, 0, (size_t)(ni * COLUMNS) * 4);
  for (int64_t k0 = 0; k0 < p->k; k0 += TILE_DEPTH) {
    int64_t kc = min_i64(p->k - k0, TILE_DEPTH), span = kc * WIDTH + 2 * VF;
    for (int64_t q = 0; q < panels; q++) pack_windows(p, image, p->offset + k0, kc, runs[q], count[q], b + q * span);
    const float *a = p->weights + group * height * p->k + height * k0 + i0 * kc;
    for (int64_t i = 0; i < ni; i += TILE_ROWS) {
      int64_t rows = min_i64(ni - i, TILE_ROWS);
      for (int64_t q = 0; q < panels; q++)
        gemm_tile(rows, min_i64(nj - q * WIDTH, WIDTH))(kc, a + i * kc, b + q * span, part + i * COLUMNS + q * WIDTH, COLUMNS, k0 > 0);
    }
  }
  const int64_t item = dtype_size[p->type];
  for (int64_t i = 0; i < ni; i++) {
    int64_t row = group * p->rows + i0 + i;
    float bias = p->bias ? element(p->type, p->bias->data, row * p->bias->stride[0]) : 0;
    for (int64_t q = 0; q < panels; q++)
      for (int r = 0; r < count[q]; r++)
        store_run(p->type, p->y + (row * p->y_row + runs[q][r].to) * item, p->y_step[2], part + i * COLUMNS + q * WIDTH + runs[q][r].at,
                  runs[q][r].n, bias);
  }
  block_free(part);
}

static void product_run(Product *p, bool alone) {
  int64_t columns = p->images * p->size[0] * p->size[1] * p->size[2];
  p->column_tiles = (columns + COLUMNS - 1) / COLUMNS;
  int64_t tiles = p->column_tiles * p->groups, high = (p->rows + ROWS - 1) / ROWS;
  int threads = alone ? 1 : pool_size();
  if (threads > 1 && tiles * high < threads * 4) {  // rather lower tiles than idle threads
    high = (threads * 4 + tiles - 1) / tiles;
    int64_t most = (p->rows + 3 * TILE_ROWS - 1) / (3 * TILE_ROWS);
    if (high > most) high = most;
  }
  p->tile_rows = ((p->rows + high - 1) / high + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
  p->row_tiles = (p->rows + p->tile_rows - 1) / p->tile_rows;
  tiles *= p->row_tiles;
  if (threads == 1)
    for (int64_t t = 0; t < tiles; t++) product_tile(p, t, 0);
  else
    pool_run(tiles, product_tile, p);
}

// -- weights -----------------------------------------------------------------------------------------

typedef struct {
  int type;
  const char *from;
  int64_t group_step, row_step, rows, k;  // from[group][row][k], k side by side
  float *to;
} Weights;

static void weights_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  const Weights *w = ctx;
  int64_t panels = (w->rows + TILE_ROWS - 1) / TILE_ROWS, group = tile / panels, i = tile % panels * TILE_ROWS;
  int64_t n = min_i64(w->rows - i, TILE_ROWS), height = panels * TILE_ROWS;
  const char *from = w->from + (group * w->group_step + i * w->row_step) * dtype_size[w->type];
  float room[TILE_ROWS * TILE_DEPTH + 8];  // packing writes a little too much, and the next panel may be done already
  for (int64_t k0 = 0; k0 < w->k; k0 += TILE_DEPTH) {
    int64_t kc = min_i64(w->k - k0, TILE_DEPTH);
    gemm_pack_rows(w->type, room, from + k0 * dtype_size[w->type], n, kc, w->row_step, 1);
    memcpy(w->to + group * height * w->k + height * k0 + i * kc, room, (size_t)(TILE_ROWS * kc) * 4);
  }
}
static float *weights_packed(int type, const void *from, int64_t groups, int64_t rows, int64_t k, int64_t group_step) {
  int64_t panels = (rows + TILE_ROWS - 1) / TILE_ROWS;
  Weights w = {type, from, group_step, k, rows, k, block_new((size_t)(groups * panels * TILE_ROWS * k + 16) * 4)};
  if (w.to == NULL) return NULL;
  if (groups * rows * k < 32768)
    for (int64_t t = 0; t < groups * panels; t++) weights_tile(&w, t, 0);
  else
    pool_run(groups * panels, weights_tile, &w);
  return w.to;
}

// contiguous elements of a view, in its own dtype: itself or a copy, which is to be freed
static int dense(const View *v, const char **data, void **owned) {
  *owned = NULL;
  *data = v->data;
  if (view_contiguous(v)) return 0;
  int64_t count = view_count(v), stride[MAX_DIMS], step = 1;
  for (int i = v->ndim - 1; i >= 0; i--) stride[i] = step, step *= v->size[i];
  char *copy = block_new((size_t)count * dtype_size[v->dtype] + 64);
  if (copy == NULL) return -1;
  View to = {copy, v->size, stride, v->ndim, v->dtype};
  view_copy(v, &to);
  *owned = copy, *data = copy;
  return 0;
}

// -- one channel to a group --------------------------------------------------------------------------

typedef struct {
  const Image *m;
  const float *image;  // [channels]...
  Window w;
  const char *weight;
  const View *bias, *y;
  int64_t b, out[3], each;
  int lacking;
} Depthwise;

static void depthwise_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  Depthwise *p = ctx;
  const Image *m = p->m;
  int64_t channels = m->x->size[1], b = p->b + tile / channels, c = tile % channels;
  const int type = p->y->dtype;
  int64_t taps = volume(p->w.kernel), row = (p->out[2] + VF - 1) / VF * VF;
  float *room = block_new((size_t)(m->channel + 2 * VF + row + taps) * 4 + (size_t)taps * 8);
  if (room == NULL) {
    p->lacking = 1;
    return;
  }
  float *image = room, *line = image + m->channel + 2 * VF, *weight = line + row;
  int64_t *offset = (int64_t *)(((uintptr_t)(weight + taps) + 7) & ~(uintptr_t)7);
  image_fill(m, b, c, image);
  int64_t t = 0;
  for (int64_t z = 0; z < p->w.kernel[0]; z++)
    for (int64_t y = 0; y < p->w.kernel[1]; y++)
      for (int64_t x = 0; x < p->w.kernel[2]; x++) {
        int64_t at = x * p->w.dilation[2];
        offset[t++] = z * p->w.dilation[0] * m->plane + y * p->w.dilation[1] * m->line + at % m->phases * m->row + at / m->phases;
      }
  for (int64_t e = 0; e < p->each; e++) {
    int64_t o = c * p->each + e;
    for (t = 0; t < taps; t++) weight[t] = element(type, p->weight, o * taps + t);
    float bias = p->bias ? element(type, p->bias->data, o * p->bias->stride[0]) : 0;
    char *to = p->y->data + ((b * channels * p->each + o) * volume(p->out)) * dtype_size[type];
    for (int64_t z = 0; z < p->out[0]; z++)
      for (int64_t y = 0; y < p->out[1]; y++, to += p->out[2] * dtype_size[type]) {
        const float *from = image + z * p->w.stride[0] * m->plane + y * p->w.stride[1] * m->line;
        int64_t x = 0;
        for (; x + 4 * VF <= row; x += 4 * VF) {
          vf s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
          for (t = 0; t < taps; t++) {
            vf v = vf_set(weight[t]);
            const float *q = from + offset[t] + x;
            s0 = vf_fma(v, vf_load(q), s0), s1 = vf_fma(v, vf_load(q + VF), s1);
            s2 = vf_fma(v, vf_load(q + 2 * VF), s2), s3 = vf_fma(v, vf_load(q + 3 * VF), s3);
          }
          vf_store(line + x, s0), vf_store(line + x + VF, s1), vf_store(line + x + 2 * VF, s2), vf_store(line + x + 3 * VF, s3);
        }
        for (; x < row; x += VF) {
          vf s = {0};
          for (t = 0; t < taps; t++) s = vf_fma(vf_set(weight[t]), vf_load(from + offset[t] + x), s);
          vf_store(line + x, s);
        }
        store_run(type, to, 1, line, p->out[2], bias);
      }
  }
  block_free(room);
}

// -- convolution -------------------------------------------------------------------------------------

static int conv_groups(const View *x, const char *weight, const View *bias, const View *y, const Window *w, const int64_t *out) {
  int64_t batch = x->size[0], channels = x->size[1], groups = w->groups, each = channels / groups, taps = volume(w->kernel);
  int64_t size[3], k = each * taps, rows = y->size[1] / groups;
  for (int i = 0; i < 3; i++) size[i] = (out[i] - 1) * w->stride[i] + w->dilation[i] * (w->kernel[i] - 1) + 1;
  Image m;
  image_layout(&m, x, w->lo, size, w->stride[2]);
  if (each == 1) {
    Depthwise d = {.m = &m, .w = *w, .weight = weight, .bias = bias, .y = y, .each = rows};
    memcpy(d.out, out, sizeof d.out);
    if (batch * channels * volume(out) * taps < 32768)
      for (int64_t t = 0; t < batch * channels; t++) depthwise_tile(&d, t, 0);
    else
      pool_run(batch * channels, depthwise_tile, &d);
    return d.lacking ? no_memory((size_t)m.channel * 4) : 0;
  }
  // a product of matrices where windows are single elements that lie as they are wanted
  int64_t step = 1;
  bool plain = taps == 1 && x->dtype == D_F32 && volume(w->stride) == 1 && size[0] == m.in[0] && size[1] == m.in[1] &&
               size[2] == m.in[2] && w->lo[0] + w->lo[1] + w->lo[2] == 0;
  for (int i = 2; i >= 0 && plain; i--) {
    if (m.in[i] > 1 && m.step[i] != step) plain = false;
    step *= m.in[i];
  }
  if (plain) m.channel = x->stride[1];
  Product p = {.groups = groups, .k = k, .rows = rows, .bias = bias, .type = y->dtype, .exact = plain, .y = y->data};
  p.group_step = each * m.channel;
  p.image_step = plain ? x->stride[0] : channels * m.channel;
  p.y_image = y->size[1] * volume(out), p.y_row = volume(out);
  p.size[0] = out[0], p.size[1] = out[1], p.size[2] = out[2];
  p.step[0] = w->stride[0] * m.plane, p.step[1] = w->stride[1] * m.line, p.step[2] = 1;
  p.y_step[0] = out[1] * out[2], p.y_step[1] = out[2], p.y_step[2] = 1;
  if (plain) p.size[0] = p.size[1] = 1, p.size[2] = volume(out);
  float *weights = weights_packed(y->dtype, weight, groups, rows, k, rows * k);
  int64_t *offset = block_new((size_t)k * 8 + 8);
  // so many images at a time as fill a tile's columns, and the cache at most
  int64_t together = (4 * COLUMNS + volume(out) - 1) / volume(out), room = ((int64_t)4 << 20) / (channels * m.channel + 1);
  if (together > room) together = room;
  together = together < 1 ? 1 : together > batch ? batch : together;
  if (plain && together == 1) together = batch;  // nothing is copied
  float *images = plain ? NULL : block_new((size_t)(together * channels * m.channel + 4 * VF) * 4);
  int wrong = weights == NULL || offset == NULL || (!plain && images == NULL);
  if (!wrong) {
    int64_t at = 0;
    for (int64_t c = 0; c < each; c++)
      for (int64_t z = 0; z < w->kernel[0]; z++)
        for (int64_t y_ = 0; y_ < w->kernel[1]; y_++)
          for (int64_t x_ = 0; x_ < w->kernel[2]; x_++) {
            int64_t q = x_ * w->dilation[2];
            offset[at++] = c * m.channel + z * w->dilation[0] * m.plane + y_ * w->dilation[1] * m.line + q % m.phases * m.row + q / m.phases;
          }
    p.offset = offset, p.weights = weights;
    for (int64_t b = 0; b < batch && !p.lacking; b += together) {
      p.images = min_i64(batch - b, together);
      p.image = plain ? (const float *)x->data + b * x->stride[0] : images;
      if (!plain) images_fill(&m, b, p.images, images, false);
      p.y = y->data + b * p.y_image * dtype_size[y->dtype];
      product_run(&p, false);
    }
    wrong = p.lacking;
  }
  block_free(weights), block_free(offset), block_free(images);
  return wrong ? no_memory((size_t)(rows * k + channels * m.channel) * 4) : 0;
}

// x, weight, bias or nothing -> y
static int conv(const Call *call) {
  const View *x = call->in[0], *weight = call->in[1], *bias = call->in[2], *y = call->out[0];
  Window w = window_of(call, x->ndim - 2);
  int64_t out[3];
  sizes_of(y, out);
  if (view_count(y) == 0) return 0;
  if (x->size[1] == 0) {
    int64_t run = volume(out);
    float zero[64] = {0};
    for (int64_t i = 0; i < y->size[0] * y->size[1]; i++)
      for (int64_t j = 0; j < run; j += 64)
        store_run(y->dtype, y->data + (i * run + j) * dtype_size[y->dtype], 1, zero, min_i64(64, run - j),
                  bias ? element(y->dtype, bias->data, i % y->size[1] * bias->stride[0]) : 0);
    return 0;
  }
  const char *data;
  void *owned;
  if (dense(weight, &data, &owned)) return no_memory((size_t)view_count(weight) * 4);
  int wrong = conv_groups(x, data, bias, y, &w, out);
  block_free(owned);
  return wrong;
}

// -- transposed convolution: one convolution for each place within a stride ----------------------------
// x[batch, channels, *positions], weight[channels, out / groups, *kernel] -> y[batch, out, *sizes]

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

static int conv_transpose(const Call *call) {
  const View *x = call->in[0], *weight = call->in[1], *bias = call->in[2], *y = call->out[0];
  Window w = window_of(call, x->ndim - 2);
  int64_t out[3], in[3];
  sizes_of(y, out), sizes_of(x, in);
  if (view_count(y) == 0) return 0;
  int64_t batch = x->size[0], channels = x->size[1], groups = w.groups, each = channels / groups, rows = y->size[1] / groups;
  // element o of y is element o + lo of the uncropped result, and gets x[i] weight[k] where i * stride + k * dilation is that
  int64_t lo[3], size[3], least[3], taps = volume(w.kernel);
  for (int i = 0; i < 3; i++) {
    least[i] = floor_div(w.lo[i] - w.dilation[i] * (w.kernel[i] - 1), w.stride[i]);
    int64_t most = floor_div(out[i] - 1 + w.lo[i], w.stride[i]);
    lo[i] = least[i] < 0 ? -least[i] : 0;
    size[i] = max_i64(in[i], most + 1) + lo[i];
  }
  Image m;
  image_layout(&m, x, lo, size, 1);
  const char *data;
  void *owned;
  if (dense(weight, &data, &owned)) return no_memory((size_t)view_count(weight) * 4);
  int64_t together = (4 * COLUMNS * volume(w.stride) + volume(out) - 1) / volume(out), room = ((int64_t)4 << 20) / (channels * m.channel + 1);
  if (together > room) together = room;
  together = together < 1 ? 1 : together > batch ? batch : together;
  float *images = block_new((size_t)(together * channels * m.channel + 4 * VF) * 4);
  float *matrix = block_new((size_t)(y->size[1] * each * taps + 16) * 4);
  int64_t *offset = block_new((size_t)(each * taps + 1) * 8);
  int wrong = images == NULL || matrix == NULL || offset == NULL;
  for (int64_t b = 0; b < batch && !wrong; b += together) {
    int64_t count = min_i64(batch - b, together);
    images_fill(&m, b, count, images, false);
    for (int64_t phase = 0; phase < volume(w.stride) && !wrong; phase++) {
      int64_t ph[3] = {phase / (w.stride[1] * w.stride[2]), phase / w.stride[2] % w.stride[1], phase % w.stride[2]}, found[3], begin[3];
      int64_t tap[3][64], at[3][64], n[3], k = 0;
      bool none = false;
      for (int i = 0; i < 3; i++) {
        found[i] = out[i] > ph[i] ? (out[i] - ph[i] + w.stride[i] - 1) / w.stride[i] : 0;
        begin[i] = ph[i];
        n[i] = 0;
        for (int64_t t = 0; t < w.kernel[i] && n[i] < 64; t++) {
          int64_t f = ph[i] + w.lo[i] - t * w.dilation[i];
          if (f - floor_div(f, w.stride[i]) * w.stride[i]) continue;
          tap[i][n[i]] = t, at[i][n[i]++] = floor_div(f, w.stride[i]) + lo[i];
        }
        if (!found[i]) none = true;
      }
      if (none) continue;
      int64_t parts = n[0] * n[1] * n[2];
      Product p = {.image = images, .images = count, .image_step = channels * m.channel, .group_step = each * m.channel, .groups = groups,
                   .rows = rows, .type = y->dtype, .bias = bias, .k = each * parts, .offset = offset};
      for (int i = 0; i < 3; i++) p.size[i] = found[i];
      p.step[0] = m.plane, p.step[1] = m.line, p.step[2] = 1;
      p.y_image = y->size[1] * volume(out), p.y_row = volume(out);
      p.y_step[0] = w.stride[0] * out[1] * out[2], p.y_step[1] = w.stride[1] * out[2], p.y_step[2] = w.stride[2];
      p.y = y->data + (b * p.y_image + (begin[0] * out[1] + begin[1]) * out[2] + begin[2]) * dtype_size[y->dtype];
      for (int64_t c = 0; c < each; c++)
        for (int64_t z = 0; z < n[0]; z++)
          for (int64_t v = 0; v < n[1]; v++)
            for (int64_t u = 0; u < n[2]; u++, k++) {
              offset[k] = c * m.channel + at[0][z] * m.plane + at[1][v] * m.line + at[2][u];
              int64_t from = (tap[0][z] * w.kernel[1] + tap[1][v]) * w.kernel[2] + tap[2][u];
              for (int64_t g = 0; g < groups; g++)
                for (int64_t o = 0; o < rows; o++)
                  matrix[(g * rows + o) * p.k + k] = element(y->dtype, data, ((g * each + c) * rows + o) * taps + from);
            }
      float *weights = weights_packed(D_F32, matrix, groups, rows, p.k, rows * p.k);
      p.weights = weights;
      if (weights == NULL)
        wrong = 1;
      else
        product_run(&p, false);
      wrong |= p.lacking;
      block_free(weights);
    }
  }
  block_free(images), block_free(matrix), block_free(offset), block_free(owned);
  return wrong ? no_memory((size_t)(together * channels * m.channel) * 4) : 0;
}

// -- the gradient of the weight ------------------------------------------------------------------------
// x[batch, channels, *sizes], g[batch, out, *positions] -> y[out, channels / groups, *kernel]

typedef struct {
  Product p;           // the runs of positions, and offsets of the columns
  const float *g;      // [images][out][positions]
  float *sums;         // [splits][out][columns of the result]
  int64_t columns, column_tiles, splits, first;
  int lacking;
} Gradient;

// to[n][WIDTH], transposed: column j is the run at image + offset[j]
static void pack_run(const float *image, const int64_t *offset, int64_t columns, int64_t n, float *to) {
  for (int64_t j = 0; j < WIDTH; j += 4) {
    const float *q[4];
    for (int i = 0; i < 4; i++) q[i] = image + offset[min_i64(j + i, columns - 1)];
    int64_t k = 0;
    for (; k + 4 <= n; k += 4) {
      f4 r0 = *(const f4u *)(q[0] + k), r1 = *(const f4u *)(q[1] + k), r2 = *(const f4u *)(q[2] + k), r3 = *(const f4u *)(q[3] + k);
      f4 a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
      f4 c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7), d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
      *(f4u *)(to + k * WIDTH + j) = __builtin_shufflevector(a, b, 0, 1, 4, 5);
      *(f4u *)(to + (k + 1) * WIDTH + j) = __builtin_shufflevector(a, b, 2, 3, 6, 7);
      *(f4u *)(to + (k + 2) * WIDTH + j) = __builtin_shufflevector(c, d, 0, 1, 4, 5);
      *(f4u *)(to + (k + 3) * WIDTH + j) = __builtin_shufflevector(c, d, 2, 3, 6, 7);
    }
    for (; k < n; k++)
      for (int i = 0; i < 4; i++) to[k * WIDTH + j + i] = q[i][k];
  }
}

static void gradient_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  Gradient *w = ctx;
  const Product *p = &w->p;
  int64_t j0 = tile % w->column_tiles * COLUMNS, rest = tile / w->column_tiles;
  int64_t i0 = rest % p->row_tiles * p->tile_rows;
  rest /= p->row_tiles;
  int64_t group = rest % p->groups, split = rest / p->groups;
  int64_t nj = min_i64(w->columns - j0, COLUMNS), ni = min_i64(p->rows - i0, p->tile_rows);
  int64_t panels = (nj + WIDTH - 1) / WIDTH, positions = volume(p->size), wide = w->column_tiles * COLUMNS;
  float *room = block_new((size_t)((ni + TILE_ROWS) * TILE_DEPTH + panels * TILE_DEPTH * WIDTH + 64) * 4);
  Run *runs = block_new(TILE_DEPTH * sizeof *runs);
  if (room == NULL || runs == NULL) {
    w->lacking = 1;
    block_free(room), block_free(runs);
    return;
  }
  float *b = room + (ni + TILE_ROWS) * TILE_DEPTH + 16;
  float *sums = w->sums + ((split * p->groups + group) * p->rows + i0) * wide + j0;
  int64_t from = p->images * split / w->splits, end = p->images * (split + 1) / w->splits;
  int more = w->first == 0 ? 0 : 1;
  for (int64_t image = from; image < end; image++)
    for (int64_t k0 = 0; k0 < positions; k0 += TILE_DEPTH) {
      int64_t kc = min_i64(positions - k0, TILE_DEPTH);
      int count = runs_of(p, image * positions + k0, kc, runs);
      const float *g = w->g + ((image * p->groups + group) * p->rows + i0) * positions + k0;
      for (int64_t i = 0; i < ni; i += TILE_ROWS) gemm_pack_rows(D_F32, room + i * kc, g + i * positions, min_i64(ni - i, TILE_ROWS), kc, positions, 1);
      for (int64_t q = 0; q < panels; q++)
        for (int r = 0; r < count; r++)
          pack_run(p->image + group * p->group_step + runs[r].from, p->offset + j0 + q * WIDTH, min_i64(nj - q * WIDTH, WIDTH), runs[r].n,
                   b + q * kc * WIDTH + runs[r].at * WIDTH);
      for (int64_t i = 0; i < ni; i += TILE_ROWS)
        for (int64_t q = 0; q < panels; q++)
          gemm_tile(min_i64(ni - i, TILE_ROWS), WIDTH)(kc, room + i * kc, b + q * kc * WIDTH, sums + i * wide + q * WIDTH, wide, more);
      more = 1;
    }
  if (!more)
    for (int64_t i = 0; i < ni; i++) memset(sums + i * wide, 0, (size_t)(panels * WIDTH) * 4);
  block_free(room), block_free(runs);
}

static int conv_weight(const Call *call) {
  const View *x = call->in[0], *g = call->in[1], *y = call->out[0];
  Window w = window_of(call, x->ndim - 2);
  int64_t out[3], size[3];
  sizes_of(g, out);
  int64_t batch = x->size[0], channels = x->size[1], groups = w.groups, each = channels / groups, rows = g->size[1] / groups;
  int64_t taps = volume(w.kernel), columns = each * taps;
  if (view_count(y) == 0) return 0;
  if (batch == 0) {
    memset(y->data, 0, (size_t)view_count(y) * dtype_size[y->dtype]);
    return 0;
  }
  for (int i = 0; i < 3; i++) size[i] = (out[i] - 1) * w.stride[i] + w.dilation[i] * (w.kernel[i] - 1) + 1;
  Image m, mg;
  image_layout(&m, x, w.lo, size, w.stride[2]);
  const int64_t none[3] = {0, 0, 0};
  image_layout(&mg, g, none, out, 1);
  int64_t together = ((int64_t)8 << 20) / (channels * m.channel + g->size[1] * mg.channel + 1);
  together = together < 1 ? 1 : together > batch ? batch : together;
  Gradient d = {.columns = columns, .column_tiles = (columns + COLUMNS - 1) / COLUMNS, .splits = 1};
  Product *p = &d.p;
  p->groups = groups, p->rows = rows, p->group_step = each * m.channel, p->image_step = channels * m.channel;
  for (int i = 0; i < 3; i++) p->size[i] = out[i];
  p->step[0] = w.stride[0] * m.plane, p->step[1] = w.stride[1] * m.line, p->step[2] = 1;
  int threads = pool_size();
  int64_t high = (rows + ROWS - 1) / ROWS, tiles = d.column_tiles * groups;
  if (threads > 1 && tiles * high < threads * 3) {
    int64_t most = (rows + 3 * TILE_ROWS - 1) / (3 * TILE_ROWS);
    high = min_i64((threads * 3 + tiles - 1) / tiles, most);
    if (tiles * high < threads * 2) d.splits = min_i64((threads * 3 + tiles * high - 1) / (tiles * high), together);
  }
  p->tile_rows = ((rows + high - 1) / high + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
  p->row_tiles = (rows + p->tile_rows - 1) / p->tile_rows;
  int64_t wide = d.column_tiles * COLUMNS;
  float *images = block_new((size_t)(together * channels * m.channel + 4 * VF) * 4);
  float *gs = block_new((size_t)(together * g->size[1] * mg.channel + 4 * VF) * 4);
  d.sums = block_new((size_t)(d.splits * groups * rows * wide) * 4);
  int64_t *offset = block_new((size_t)(columns + 1) * 8);
  int wrong = images == NULL || gs == NULL || d.sums == NULL || offset == NULL;
  if (!wrong) {
    int64_t at = 0;
    for (int64_t c = 0; c < each; c++)
      for (int64_t z = 0; z < w.kernel[0]; z++)
        for (int64_t v = 0; v < w.kernel[1]; v++)
          for (int64_t u = 0; u < w.kernel[2]; u++) {
            int64_t q = u * w.dilation[2];
            offset[at++] = c * m.channel + z * w.dilation[0] * m.plane + v * w.dilation[1] * m.line + q % m.phases * m.row + q / m.phases;
          }
    p->offset = offset, p->image = images, d.g = gs;
    for (int64_t b = 0; b < batch; b += together) {
      p->images = min_i64(batch - b, together);
      images_fill(&m, b, p->images, images, false);
      images_fill(&mg, b, p->images, gs, false);
      d.first = b;
      pool_run(d.column_tiles * p->row_tiles * groups * d.splits, gradient_tile, &d);
    }
    wrong = d.lacking;
    for (int64_t i = 0; i < groups * rows && !wrong; i++) {
      float *sum = d.sums + i * wide;
      for (int64_t s = 1; s < d.splits; s++)
        for (int64_t j = 0; j < columns; j++) sum[j] += d.sums[(s * groups * rows + i) * wide + j];
      store_run(y->dtype, y->data + i * columns * dtype_size[y->dtype], 1, sum, columns, 0);
    }
  }
  block_free(images), block_free(gs), block_free(d.sums), block_free(offset);
  return wrong ? no_memory((size_t)(together * channels * m.channel) * 4) : 0;
}

#define HALVES(name) {#name, D_F32, name, NULL}, {#name, D_F16, name, NULL}, {#name, D_BF16, name, NULL}
const KernelEntry ISA_NAME(table_conv)[] = {HALVES(conv), HALVES(conv_transpose), HALVES(conv_weight), {NULL, 0, NULL, NULL}};
