// Images with margins as convolution and pooling read them, in float; the attributes of their calls.
#ifndef CANDLE_IMAGE_H
#define CANDLE_IMAGE_H
#include "vector.h"

INLINE float element(int type, const void *p, int64_t i) {
  switch (type) {
    case D_F16: return f32_of_f16(((const f16_t *)p)[i]);
    case D_BF16: return f32_of_bf16(((const bf16_t *)p)[i]);
    default: return ((const float *)p)[i];
  }
}

// -- padded images -----------------------------------------------------------------------------------
// [channel][z][y][phase][x]: the margins are there, and elements `phases` apart along x lie side by side

typedef struct {
  const View *x;
  int64_t in[3], step[3];  // sizes and strides of x
  int64_t lo[3], size[3];  // margins before, sizes with margins
  int64_t phases, row;     // elements of a row of one phase
  int64_t line, plane, channel;
  float margin;            // what margins hold
} Image;

static inline void image_layout(Image *m, const View *x, const int64_t *lo, const int64_t *size, int64_t phases) {
  int n = x->ndim - 2;
  m->x = x, m->phases = phases, m->margin = 0;
  for (int i = 0; i < 3; i++) {
    int d = i - (3 - n);
    m->in[i] = d < 0 ? 1 : x->size[2 + d], m->step[i] = d < 0 ? 0 : x->stride[2 + d];
    m->lo[i] = lo[i], m->size[i] = size[i];
  }
  m->row = (size[2] + phases - 1) / phases;
  m->line = m->row * phases, m->plane = m->line * size[1], m->channel = m->plane * size[0];
}
static inline void image_row(const Image *m, const char *from, float *to) {
  const int type = m->x->dtype;
  const int64_t step = m->step[2];
  for (int64_t p = 0; p < m->phases; p++, to += m->row) {
    // to[q] = from[q * phases + p - lo], where that is within
    int64_t first = (m->lo[2] - p + m->phases - 1) / m->phases, end = (m->lo[2] + m->in[2] - p + m->phases - 1) / m->phases;
    if (first < 0) first = 0;
    if (end > m->row) end = m->row;
    if (end < first) end = first;
    for (int64_t q = 0; q < first; q++) to[q] = m->margin;
    for (int64_t q = end; q < m->row; q++) to[q] = m->margin;
    int64_t at = (first * m->phases + p - m->lo[2]) * step, by = m->phases * step;
    if (type == D_F32 && by == 1)
      memcpy(to + first, (const float *)from + at, (size_t)(end - first) * 4);
    else if (type == D_F32 && by == 2)  // a stride that the compiler knows it can shuffle
      for (int64_t q = 0; q < end - first; q++) to[first + q] = ((const float *)from)[at + q * 2];
    else if (type == D_F32)
      for (int64_t q = first; q < end; q++) to[q] = ((const float *)from)[at + (q - first) * by];
    else
      for (int64_t q = first; q < end; q++) to[q] = element(type, from, at + (q - first) * by);
  }
}
static inline void image_fill(const Image *m, int64_t b, int64_t c, float *to) {
  const int64_t item = dtype_size[m->x->dtype];
  const char *from = m->x->data + (b * m->x->stride[0] + c * m->x->stride[1]) * item;
  for (int64_t z = 0; z < m->size[0]; z++)
    for (int64_t y = 0; y < m->size[1]; y++, to += m->line) {
      int64_t iz = z - m->lo[0], iy = y - m->lo[1];
      if (iz < 0 || iz >= m->in[0] || iy < 0 || iy >= m->in[1])
        for (int64_t q = 0; q < m->line; q++) to[q] = m->margin;
      else
        image_row(m, from + (iz * m->step[0] + iy * m->step[1]) * item, to);
    }
}
// -- the shape of a call -----------------------------------------------------------------------------

typedef struct {
  int n;
  int64_t kernel[3], stride[3], lo[3], dilation[3];
  int64_t groups;
} Window;

// ints: groups, then kernel, stride, margins before and dilation of each dimension
static inline Window window_of(const Call *call, int n) {
  Window w = {.n = n, .groups = call->ints[0], .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
  for (int i = 0; i < n; i++) {
    const int64_t *v = call->ints + 1 + 4 * i;
    int d = 3 - n + i;
    w.kernel[d] = v[0], w.stride[d] = v[1], w.lo[d] = v[2], w.dilation[d] = v[3];
  }
  return w;
}
static inline void sizes_of(const View *v, int64_t *size) {
  int n = v->ndim - 2;
  for (int i = 0; i < 3; i++) size[i] = i < 3 - n ? 1 : v->size[2 + i - (3 - n)];
}
static inline int64_t volume(const int64_t *size) { return size[0] * size[1] * size[2]; }

#endif
