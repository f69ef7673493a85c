// Products with block-quantised weights, and their values.  x[m, k] is quantised to 8 bits by blocks of the weight's size, as GGML
// does; sums of products are whole numbers within a group of 32 (or 16), floats between groups.
// With few rows of x the weight is read once, row by row, where it lies; with more, panels of its rows are unpacked to bytes
// that all rows of x share.
#include "quant_blocks.h"

#define LANES VF  // rows of the weight in a panel
#define BESIDE 8    // rows of x that are multiplied together
#define FEW_ROWS 4  // up to so many rows of x (twice as many for superblocks), the weight is not unpacked

// Instruction sets without a product of unsigned and signed bytes that cannot saturate take quants of a wide range with their sign
#if defined(__AVX512VNNI__) || !defined(__SSSE3__)
#define SIGNED(k) false
#else
#define SIGNED(k) wide_range(k)
#endif
INL int zero_for(Kind k) { return SIGNED(k) ? 0 : zero_of(k); }

// -- sums of four products of bytes ---------------------------------------------------------------------

// sum + w . x by fours: w in 0..255, or signed; x in -127..127
INL i8 dot8(bool is_signed, i8 sum, b32 w, b32 x) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
  (void)is_signed;
  return (i8)_mm256_dpbusd_epi32((__m256i)sum, (__m256i)w, (__m256i)x);
#elif defined(__AVX2__)
  __m256i a = (__m256i)w, b = (__m256i)x;
  if (is_signed) b = _mm256_sign_epi8(b, a), a = _mm256_abs_epi8(a);
  return sum + (i8)_mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1));
#elif defined(__SSSE3__)
  union { b32 v; __m128i h[2]; } a = {w}, b = {x};
  union { i8 v; __m128i h[2]; } s = {sum};
  for (int i = 0; i < 2; i++) {
    if (is_signed) b.h[i] = _mm_sign_epi8(b.h[i], a.h[i]), a.h[i] = _mm_abs_epi8(a.h[i]);
    s.h[i] = _mm_add_epi32(s.h[i], _mm_madd_epi16(_mm_maddubs_epi16(a.h[i], b.h[i]), _mm_set1_epi16(1)));
  }
  return s.v;
#else
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 4; j++) sum[i] += (int32_t)(is_signed ? (int8_t)w[4 * i + j] : w[4 * i + j]) * (int8_t)x[4 * i + j];
  return sum;
#endif
}
INL vi dot_panel(bool is_signed, vi sum, vu w, vu x) {
#if defined(__AVX512VNNI__)
  (void)is_signed;
  return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
#elif defined(__AVX512BW__)
  __m512i a = (__m512i)w, b = (__m512i)x;
  if (is_signed) {
    b = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), _mm512_setzero_si512(), b);
    a = _mm512_abs_epi8(a);
  }
  return sum + (vi)_mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1));
#elif defined(__AVX2__)
  return (vi)dot8(is_signed, (i8)sum, (b32)w, (b32)x);
#elif defined(__SSSE3__)
  __m128i a = (__m128i)w, b = (__m128i)x;
  if (is_signed) b = _mm_sign_epi8(b, a), a = _mm_abs_epi8(a);
  return sum + (vi)_mm_madd_epi16(_mm_maddubs_epi16(a, b), _mm_set1_epi16(1));
#else
  for (int j = 0; j < 4; j++) {
    vi p = is_signed ? (vi)(w << (24 - 8 * j)) >> 24 : (vi)(w >> (8 * j) & 255), q = (vi)(x << (24 - 8 * j)) >> 24;
    sum += p * q;
  }
  return sum;
#endif
}

INL f8 f8_fma(f8 a, f8 b, f8 c) {
#if defined(__FMA__)
  return (f8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}
INL float f8_total(f8 x) {
  f4 lo = __builtin_shufflevector(x, x, 0, 1, 2, 3), s = lo + __builtin_shufflevector(x, x, 4, 5, 6, 7);
  return (s[0] + s[2]) + (s[1] + s[3]);
}

// -- x in 8 bits -----------------------------------------------------------------------------------------

// Of a row, each group of 32: quants, scale, the sums that a zero and a low multiply
typedef struct {
  int64_t k, groups, halves;  // halves: scales in a group, 1 or 2
  int8_t *q;                  // [m][k], or for panels [m / BESIDE][k / 4][BESIDE][4]
  float *scale;               // [m][groups], or [m / BESIDE][groups][BESIDE]
  float *sum;                 // scale times the sum: [m][groups * halves], or [m / BESIDE][groups * halves][BESIDE]
  int32_t *start;             // what sums of products begin with: [m][groups][8], or [m / BESIDE][groups * halves][BESIDE]
} Bytes;

static void to_bytes(Kind k, const Bytes *b, const float *x, int64_t row, bool panels) {
  const int64_t span = superblock(k) ? 256 : 32, half = 32 / b->halves;
  const int zero = zero_for(k);
  for (int64_t k0 = 0; k0 < b->k; k0 += span) {
    vf most = {0};
    for (int64_t i = 0; i < span; i += VF) {
      vf v = vf_load(x + k0 + i);
      most = vf_max(most, (vf)((vu)v & 0x7fffffff));
    }
    float top = vf_hmax(most), d = top / 127, inverse = d > 0 ? 127 / top : 0;
    if (!(inverse < 3.4e38f)) inverse = d = 0;  // next to nothing
    int8_t q[256];
    for (int64_t i = 0; i < span; i += VF) {
      vi v = __builtin_convertvector(vf_round(vf_load(x + k0 + i) * inverse), vi);
      UNROLL for (int j = 0; j < VF; j++) q[i + j] = (int8_t)v[j];
    }
    for (int64_t g = k0 / 32; g < (k0 + span) / 32; g++) {
      const int8_t *from = q + g * 32 - k0;
      int64_t block = row / BESIDE, beside = row % BESIDE;
      if (panels) {
        b->scale[(block * b->groups + g) * BESIDE + beside] = d;
        for (int64_t i = 0; i < 32; i += 4) memcpy(b->q + ((block * b->k + g * 32 + i) * BESIDE) + beside * 4, from + i, 4);
      } else {
        b->scale[row * b->groups + g] = d;
        memcpy(b->q + row * b->k + g * 32, from, 32);
        if (zero) memset(b->start + (row * b->groups + g) * 8, 0, 32);
      }
      for (int64_t h = 0; h < b->halves; h++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < half; i++) sum += from[h * half + i];
        if (panels) {
          int64_t at = (block * b->groups * b->halves + g * b->halves + h) * BESIDE + beside;
          b->sum[at] = d * (float)sum, b->start[at] = -zero * sum;
        } else {
          b->sum[row * b->groups * b->halves + g * b->halves + h] = d * (float)sum;
          if (zero) b->start[(row * b->groups + g) * 8 + h * 4] = -zero * sum;
        }
      }
    }
  }
}

typedef struct {
  Kind kind;
  const View *x, *bias, *y;
  const uint8_t *w;
  int64_t m, n, k, row_bytes, step;  // step: rows of the weight in a tile
  Bytes b;
  const float *floats;  // x in float, where it is not
  bool panels;
  int lacking;
} Job;

static void widen(const View *x, int64_t row, int64_t k, float *to) {
  int64_t at = 0, rest = row;
  for (int d = x->ndim - 2; d >= 0; d--) at += rest % x->size[d] * x->stride[d], rest /= x->size[d];
  const int64_t step = x->stride[x->ndim - 1];
  switch (x->dtype) {
    case D_F16:
      for (int64_t i = 0; i < k; i++) to[i] = f32_of_f16(((const f16_t *)x->data)[at + i * step]);
      break;
    case D_BF16:
      for (int64_t i = 0; i < k; i++) to[i] = f32_of_bf16(((const bf16_t *)x->data)[at + i * step]);
      break;
    default:
      if (step == 1) memcpy(to, (const float *)x->data + at, (size_t)k * 4);
      else for (int64_t i = 0; i < k; i++) to[i] = ((const float *)x->data)[at + i * step];
  }
}
static void bytes_tile(void *ctx, int64_t row, int worker) {
  (void)worker;
  Job *p = ctx;
  float *room = block_new((size_t)p->k * 4);
  if (room == NULL) {
    p->lacking = 1;
    return;
  }
  if (row < p->m) {
    widen(p->x, row, p->k, room);
  } else {
    memset(room, 0, (size_t)p->k * 4);  // beside the last row
  }
  to_bytes(p->kind, &p->b, room, row, p->panels);
  block_free(room);
}

static void put(const Job *p, int64_t i, int64_t j, float v) {
  int64_t at = i * p->n + j;
  if (p->bias) {
    int64_t from = p->bias->ndim ? j * p->bias->stride[0] : 0;
    switch (p->y->dtype) {
      case D_F16: v += f32_of_f16(((const f16_t *)p->bias->data)[from]); break;
      case D_BF16: v += f32_of_bf16(((const bf16_t *)p->bias->data)[from]); break;
      default: v += ((const float *)p->bias->data)[from];
    }
  }
  switch (p->y->dtype) {
    case D_F16: ((f16_t *)p->y->data)[at] = f16_of_f32(v); break;
    case D_BF16: ((bf16_t *)p->y->data)[at] = bf16_of_f32(v); break;
    default: ((float *)p->y->data)[at] = v;
  }
}

// -- few rows of x -----------------------------------------------------------------------------------------

// A unit of 8 groups, or those left of a row, with m rows of x from row i0 on
INL void unit_of(Kind k, const int m, const bool full, const Bytes *b, int64_t i0, int64_t g0, const uint8_t *w, f8 *sum, f8 *odd) {
  const bool is_signed = SIGNED(k);
  const int zero = zero_for(k);
  const int n = full ? 8 : (int)(b->groups - g0);
  float scale[16], low[16];
  scales_of(k, w, n, scale, low);
  UNROLL for (int q = 0; q < unit_bytes(k); q += 64) __builtin_prefetch(w + q + 1024);
  if (lifted(k))
    UNROLL for (int i = 0; i < m; i++) {
      const float *sums = b->sum + (i0 + i) * b->groups * b->halves + g0 * b->halves;
      if (full) {
        sum[i] = f8_fma(*(const f8u *)low, *(const f8u *)sums, sum[i]);
        if (halved(k)) sum[i] = f8_fma(*(const f8u *)(low + 8), *(const f8u *)(sums + 8), sum[i]);
      } else {
        for (int s = 0; s < n; s++) sum[i][0] += low[s] * sums[s];
      }
    }
  float both[4][16];
  UNROLL for (int i = 0; i < m; i++) {
    const float *d = b->scale + (i0 + i) * b->groups + g0;
    if (halved(k)) {
      *(f8u *)both[i] = *(const f8u *)scale * d[0], *(f8u *)(both[i] + 8) = *(const f8u *)(scale + 8) * d[0];
    } else if (full) {
      *(f8u *)both[i] = *(const f8u *)scale * *(const f8u *)d;
    } else {
      for (int s = 0; s < n; s++) both[i][s] = scale[s] * d[s];
    }
  }
#define GROUP_(s)                                                                                              \
  {                                                                                                            \
    b32 q = quants(k, w, s);                                                                                  \
    if (is_signed) q ^= 128;                                                                                  \
    UNROLL for (int i = 0; i < m; i++) {                                                                      \
      i8 start = {0};                                                                                         \
      if (zero) start = *(const i8u *)(b->start + ((i0 + i) * b->groups + g0 + (s)) * 8);                     \
      i8 t = dot8(is_signed, start, q, *(const b32u *)(b->q + (i0 + i) * b->k + (g0 + (s)) * 32));            \
      f8 d;                                                                                                   \
      if (halved(k)) {                                                                                        \
        float u = both[i][2 * (s)], v = both[i][2 * (s) + 1];                                                 \
        d = (f8){u, u, u, u, v, v, v, v};                                                                     \
  } else {                                                                                                 \
        d = both[i][s] - (f8){0};                                                                             \
  }                                                                                                        \
      if ((s) & 1) odd[i] = f8_fma(__builtin_convertvector(t, f8), d, odd[i]);                                \
      else sum[i] = f8_fma(__builtin_convertvector(t, f8), d, sum[i]);                                        \
    }                                                                                                         \
  }
  if (full) {  // shifts and places are constants
    UNROLL for (int s = 0; s < 8; s++) GROUP_(s)
  } else {
    for (int s = 0; s < n; s++) GROUP_(s)
  }
}
// rows of the weight
INL void rows_of(Kind k, const int m, const Job *p, int64_t i0, int64_t j0, int64_t end) {
  const Bytes *b = &p->b;
  for (int64_t j = j0; j < end; j++) {
    const uint8_t *w = p->w + j * p->row_bytes;
    f8 sum[4], odd[4];  // two chains, so that one sum need not wait for the other
    UNROLL for (int i = 0; i < m; i++) sum[i] = odd[i] = (f8){0};
    int64_t g0 = 0;
    for (; g0 + 8 <= b->groups; g0 += 8, w += unit_bytes(k)) unit_of(k, m, true, b, i0, g0, w, sum, odd);
    if (!superblock(k) && g0 < b->groups) unit_of(k, m, false, b, i0, g0, w, sum, odd);
    UNROLL for (int i = 0; i < m; i++) put(p, i0 + i, j, f8_total(sum[i] + odd[i]));
  }
}

// -- more rows of x: panels ----------------------------------------------------------------------------------

// LANES rows of the weight as bytes [k / 4][LANES][4], scales and lows [groups * halves][LANES]
INL void unpack(Kind k, const Job *p, int64_t j0, uint32_t *q, float *scale, float *low) {
  const int64_t groups = p->b.groups, halves = p->b.halves;
  for (int64_t r = 0; r < LANES; r += 4) {
    const uint8_t *w[4];
    for (int i = 0; i < 4; i++) w[i] = p->w + min_i64(j0 + r + i, p->n - 1) * p->row_bytes;
    for (int64_t g0 = 0; g0 < groups; g0 += 8) {
      const int n = superblock(k) || groups - g0 >= 8 ? 8 : (int)(groups - g0);
      float s[4][16] = {{0}}, l[4][16] = {{0}};
      for (int i = 0; i < 4; i++) scales_of(k, w[i], n, s[i], l[i]);
      for (int64_t h = 0; h < n * halves; h++)
        for (int i = 0; i < 4; i++) {
          scale[(g0 * halves + h) * LANES + r + i] = s[i][h];
          if (lifted(k)) low[(g0 * halves + h) * LANES + r + i] = l[i][h];
        }
#define GROUP_Q(t)                                                                                               \
  {                                                                                                              \
    union { b32 v; u4 h[2]; } v[4];                                                                              \
    for (int i = 0; i < 4; i++) {                                                                                \
      v[i].v = quants(k, w[i], t);                                                                               \
      if (SIGNED(k)) v[i].v ^= 128;                                                                              \
    }                                                                                                            \
    uint32_t *to = q + (g0 + (t)) * 8 * LANES + r;                                                               \
    for (int h = 0; h < 2; h++) {                                                                                \
      u4 r0 = v[0].h[h], r1 = v[1].h[h], r2 = v[2].h[h], r3 = v[3].h[h];                                         \
      u4 a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);       \
      u4 c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7), d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);       \
      *(u4u *)(to + (4 * h) * LANES) = __builtin_shufflevector(a, b, 0, 1, 4, 5);                                \
      *(u4u *)(to + (4 * h + 1) * LANES) = __builtin_shufflevector(a, b, 2, 3, 6, 7);                            \
      *(u4u *)(to + (4 * h + 2) * LANES) = __builtin_shufflevector(c, d, 0, 1, 4, 5);                            \
      *(u4u *)(to + (4 * h + 3) * LANES) = __builtin_shufflevector(c, d, 2, 3, 6, 7);                            \
    }                                                                                                            \
  }
      if (superblock(k)) {
        UNROLL for (int t = 0; t < 8; t++) GROUP_Q(t)
      } else {
        for (int t = 0; t < n; t++) GROUP_Q(t)
      }
      for (int i = 0; i < 4; i++) w[i] += unit_bytes(k);
    }
  }
}

// sums[rows][LANES] of BESIDE rows of x and a panel; quads of a scale: 8, or 4 of a halved kind
INL void panel(const bool is_signed, const bool has_low, const int quads, const int rows, int64_t scales, const uint32_t *q, const float *scale, const float *low,
               const int8_t *x, const float *xs, const float *sums, const int32_t *start, float *out) {
  vf total[BESIDE];
  UNROLL for (int i = 0; i < rows; i++) total[i] = (vf){0};
  for (int64_t g = 0; g < scales; g++) {
    vi t[BESIDE];
    UNROLL for (int i = 0; i < rows; i++) t[i] = start[i] - (vi){0};
    UNROLL for (int c = 0; c < quads; c++) {
      vu w = *(const vu_mem *)(q + c * LANES);
      UNROLL for (int i = 0; i < rows; i++) {
        uint32_t v;
        memcpy(&v, x + (c * BESIDE + i) * 4, 4);
        t[i] = dot_panel(is_signed, t[i], w, v - (vu){0});
      }
    }
    vf s = vf_load(scale);
    UNROLL for (int i = 0; i < rows; i++) total[i] = vf_fma(__builtin_convertvector(t[i], vf), s * xs[i], total[i]);
    if (has_low) {
      vf l = vf_load(low);
      UNROLL for (int i = 0; i < rows; i++) total[i] = vf_fma(l, vf_set(sums[i]), total[i]);
      low += LANES;
    }
    q += quads * LANES, x += quads * BESIDE * 4, scale += LANES, start += BESIDE, sums += BESIDE;
    if (quads == 8 || (g & 1)) xs += BESIDE;
  }
  UNROLL for (int i = 0; i < rows; i++) vf_store(out + i * LANES, total[i]);
}
#define PANEL(name, is_signed, has_low, quads)                                                                                     \
  static void name(int64_t scales, const uint32_t *q, const float *scale, const float *low, const int8_t *x, const float *xs,       \
                   const float *sums, const int32_t *start, float *out) {                                                           \
    panel(is_signed, has_low, quads, BESIDE, scales, q, scale, low, x, xs, sums, start, out);                                       \
  }
PANEL(panel_plain, false, false, 8)
PANEL(panel_signed, true, false, 8)
PANEL(panel_low, false, true, 8)
PANEL(panel_half, false, false, 4)
PANEL(panel_half_low, false, true, 4)

static void unpack_any(const Job *p, int64_t j0, uint32_t *q, float *scale, float *low);

static void panel_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  Job *p = ctx;
  const Bytes *b = &p->b;
  const int64_t scales = b->groups * b->halves;
  uint32_t *q = block_new((size_t)(p->k * LANES + 2 * scales * LANES * 4));
  if (q == NULL) {
    p->lacking = 1;
    return;
  }
  float *scale = (float *)(q + p->k / 4 * LANES), *low = scale + scales * LANES;
  for (int64_t j = tile * p->step; j < min_i64((tile + 1) * p->step, p->n); j += LANES) {
    unpack_any(p, j, q, scale, low);
    for (int64_t i = 0; i < p->m; i += BESIDE) {
      float out[BESIDE * LANES] __attribute__((aligned(64)));
      int64_t block = i / BESIDE;
      const int8_t *x = b->q + block * b->k * BESIDE;
      const float *xs = b->scale + block * b->groups * BESIDE, *sums = b->sum + block * scales * BESIDE;
      const int32_t *start = b->start + block * scales * BESIDE;
      if (halved(p->kind))
        (lifted(p->kind) ? panel_half_low : panel_half)(scales, q, scale, low, x, xs, sums, start, out);
      else
        (lifted(p->kind) ? panel_low : SIGNED(p->kind) ? panel_signed : panel_plain)(scales, q, scale, low, x, xs, sums, start, out);
      int64_t nj = min_i64(LANES, p->n - j);
      for (int64_t r = 0; r < min_i64(BESIDE, p->m - i); r++) {
        if (p->y->dtype == D_F32 && !p->bias)
          memcpy((float *)p->y->data + (i + r) * p->n + j, out + r * LANES, (size_t)nj * 4);
        else
          for (int64_t c = 0; c < nj; c++) put(p, i + r, j + c, out[r * LANES + c]);
      }
    }
  }
  block_free(q);
}

// -- by kinds ------------------------------------------------------------------------------------------------

#define EACH_KIND(kind)                                                                                             \
  switch (kind) {                                                                                                   \
    ONE(Q4_0) ONE(Q4_1) ONE(Q5_0) ONE(Q5_1) ONE(Q8_0) ONE(Q8_1) ONE(IQ4_NL) ONE(MXFP4) ONE(Q2_K) ONE(Q3_K) ONE(Q4_K) \
    ONE(Q5_K) ONE(Q6_K) ONE(Q8_K) default: CASE(IQ4_XS)                                                             \
  }
#define ONE(k) case k: CASE(k) break;

static void rows_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  Job *p = ctx;
  int64_t j0 = tile * p->step, end = min_i64(j0 + p->step, p->n);
  for (int64_t i = 0; i < p->m;) {
    int64_t left = p->m - i, m = left >= 4 ? 4 : left >= 2 ? 2 : 1;
#define CASE(k)                                   \
  if (m == 1) rows_of(k, 1, p, i, j0, end);       \
  else if (m == 2) rows_of(k, 2, p, i, j0, end);  \
  else rows_of(k, 4, p, i, j0, end);
    EACH_KIND(p->kind)
#undef CASE
    i += m;
  }
}
static void unpack_any(const Job *p, int64_t j0, uint32_t *q, float *scale, float *low) {
#define CASE(k) unpack(k, p, j0, q, scale, low);
  EACH_KIND(p->kind)
#undef CASE
}

// x[..., k], weight[n, k / block] of blocks, bias[n] or nothing -> y[..., n]
static int quantized_linear(const Call *call) {
  const View *x = call->in[0], *w = call->in[1], *y = call->out[0];
  const Kind kind = (Kind)(intptr_t)call->entry->extra;
  Job p = {.kind = kind, .x = x, .bias = call->in[2], .y = y, .n = w->size[0], .k = x->size[x->ndim - 1]};
  if (view_count(y) == 0) return 0;
  p.m = view_count(y) / p.n;
  if (p.k == 0) {
    for (int64_t i = 0; i < p.m; i++)
      for (int64_t j = 0; j < p.n; j++) put(&p, i, j, 0);
    return 0;
  }
  p.row_bytes = p.k / (superblock(kind) ? 256 : 32) * block_bytes(kind);
  // rows of blocks that follow each other
  void *owned = NULL;
  p.w = (const uint8_t *)w->data;
  int64_t blocks = w->size[1];
  if (w->stride[1] != 1 && blocks > 1) {
    owned = block_new((size_t)(p.n * p.row_bytes));
    if (owned == NULL) return no_memory((size_t)(p.n * p.row_bytes));
    int64_t stride[2] = {blocks, 1};
    View to = {owned, w->size, stride, 2, w->dtype};
    view_copy(w, &to);
    p.w = owned;
  } else if (p.n > 1) {
    p.row_bytes = w->stride[0] * block_bytes(kind);
  }
  p.panels = p.m > (superblock(kind) ? 2 * FEW_ROWS : FEW_ROWS);
  int64_t rows = p.panels ? (p.m + BESIDE - 1) / BESIDE * BESIDE : p.m;
  Bytes *b = &p.b;
  b->k = p.k, b->groups = p.k / 32, b->halves = halved(kind) ? 2 : 1;
  int64_t scales = b->groups * b->halves;
  char *room = block_new((size_t)(rows * (p.k + b->groups * 4 + scales * 4 + (p.panels ? scales * 4 : b->groups * 32))) + 256);
  if (room == NULL) {
    block_free(owned);
    return no_memory((size_t)(rows * p.k * 2));
  }
  b->start = (int32_t *)room;
  b->scale = (float *)(room + rows * (p.panels ? scales * 4 : b->groups * 32));
  b->sum = b->scale + rows * b->groups;
  b->q = (int8_t *)(b->sum + rows * scales);
  if (rows * p.k < 65536)
    for (int64_t i = 0; i < rows; i++) bytes_tile(&p, i, 0);
  else
    pool_run(rows, bytes_tile, &p);
  if (!p.lacking) {
    int64_t least = p.panels ? 32768 / (p.m * p.k / 64 + 1) + 1 : 32768 / (p.k / 2) + 1, unit = p.panels ? LANES : 4;
    int64_t tiles = pool_tiles((p.n + unit - 1) / unit, (least + unit - 1) / unit);
    if (p.panels && pool_size() > 1) tiles = max_i64(tiles, min_i64((p.n + LANES - 1) / LANES, tiles * 4));
    p.step = ((p.n + tiles - 1) / tiles + unit - 1) / unit * unit;
    pool_run((p.n + p.step - 1) / p.step, p.panels ? panel_tile : rows_tile, &p);
  }
  block_free(room), block_free(owned);
  return p.lacking ? no_memory((size_t)(p.k * LANES)) : 0;
}

// -- values --------------------------------------------------------------------------------------------------

INL void values_of(Kind k, const uint8_t *w, int64_t groups, float *to) {
  for (int64_t g0 = 0; g0 < groups; g0 += 8, w += unit_bytes(k)) {
    const int n = superblock(k) || groups - g0 >= 8 ? 8 : (int)(groups - g0);
    float scale[16], low[16];
    scales_of(k, w, n, scale, low);
    for (int s = 0; s < n; s++, to += 32) {
      b32 q = quants(k, w, s);
      UNROLL for (int i = 0; i < 32; i++) {
        int at = halved(k) ? 2 * s + i / 16 : s;
        float v = scale[at] * (float)((int)q[i] - zero_of(k));
        to[i] = lifted(k) ? v + low[at] : v;
      }
    }
  }
}
typedef struct {
  Kind kind;
  const uint8_t *w;
  int64_t blocks, step;
  const View *y;
  // for rows at ids
  const View *ids;
  int64_t row_blocks, rows, row_step;
  int64_t wrong;
  bool outside;
} Values;

static void values_any(Kind kind, const uint8_t *w, int64_t groups, float *to) {
#define CASE(k) values_of(k, w, groups, to);
  EACH_KIND(kind)
#undef CASE
}
static void values_to(const Values *v, const uint8_t *w, int64_t blocks, int64_t at) {
  const int64_t block = superblock(v->kind) ? 256 : 32, bytes = block_bytes(v->kind);
  if (v->y->dtype == D_F32) {
    values_any(v->kind, w, blocks * block / 32, (float *)v->y->data + at);
    return;
  }
  float room[2048];
  for (int64_t b = 0; b < blocks; b += 2048 / block) {
    int64_t n = min_i64(2048 / block, blocks - b) * block;
    values_any(v->kind, w + b * bytes, n / 32, room);
    for (int64_t i = 0; i < n; i++) {
      int64_t to = at + b * block + i;
      switch (v->y->dtype) {
        case D_F16: ((f16_t *)v->y->data)[to] = f16_of_f32(room[i]); break;
        case D_BF16: ((bf16_t *)v->y->data)[to] = bf16_of_f32(room[i]); break;
        default: ((double *)v->y->data)[to] = (double)room[i];
      }
    }
  }
}
static void values_tile(void *ctx, int64_t tile, int worker) {
  (void)worker;
  const Values *v = ctx;
  const int64_t block = superblock(v->kind) ? 256 : 32, b0 = tile * v->step;
  values_to(v, v->w + b0 * block_bytes(v->kind), min_i64(v->step, v->blocks - b0), b0 * block);
}
// blocks[...] -> y[..., elements]
static int dequantize(const Call *call) {
  const View *x = call->in[0];
  Values v = {.kind = (Kind)(intptr_t)call->entry->extra, .w = (const uint8_t *)x->data, .blocks = view_count(x), .y = call->out[0]};
  if (v.blocks == 0) return 0;
  void *owned = NULL;
  if (!view_contiguous(x)) {
    int64_t stride[MAX_DIMS], step = 1;
    for (int i = x->ndim - 1; i >= 0; i--) stride[i] = step, step *= x->size[i];
    owned = block_new((size_t)(v.blocks * block_bytes(v.kind)));
    if (owned == NULL) return no_memory((size_t)(v.blocks * block_bytes(v.kind)));
    View to = {owned, x->size, stride, x->ndim, x->dtype};
    view_copy(x, &to);
    v.w = owned;
  }
  int64_t unit = superblock(v.kind) ? 1 : 8, tiles = pool_tiles(v.blocks / unit + 1, 64);
  v.step = ((v.blocks + tiles - 1) / tiles + unit - 1) / unit * unit;
  pool_run((v.blocks + v.step - 1) / v.step, values_tile, &v);
  block_free(owned);
  return 0;
}

static int64_t id_at(const View *ids, int64_t i) {
  int64_t at = 0;
  for (int d = ids->ndim - 1; d >= 0; d--) at += i % ids->size[d] * ids->stride[d], i /= ids->size[d];
  switch (ids->dtype) {
    case D_U8: return ((const uint8_t *)ids->data)[at];
    case D_U16: return ((const uint16_t *)ids->data)[at];
    case D_U32: return ((const uint32_t *)ids->data)[at];
    case D_I8: return ((const int8_t *)ids->data)[at];
    case D_I16: return ((const int16_t *)ids->data)[at];
    case D_I32: return ((const int32_t *)ids->data)[at];
    default: return ((const int64_t *)ids->data)[at];
  }
}
// weight[rows, k / block] of blocks, ids of any shape -> y[..., k]
static int quantized_embedding(const Call *call) {
  const View *w = call->in[0], *ids = call->in[1];
  const Kind kind = (Kind)(intptr_t)call->entry->extra;
  Values v = {.kind = kind, .y = call->out[0]};
  const int64_t count = view_count(ids), blocks = w->size[1], k = blocks * (superblock(kind) ? 256 : 32);
  uint8_t *row = block_new((size_t)(blocks * block_bytes(kind)) + 1);
  if (row == NULL) return no_memory((size_t)(blocks * block_bytes(kind)));
  int wrong = 0;
  for (int64_t i = 0; i < count && !wrong; i++) {
    int64_t id = id_at(ids, i);
    if (id < 0 || id >= w->size[0]) {
      wrong = failed("embedding takes ids from 0 to %lld but was given %lld", (long long)w->size[0] - 1, (long long)id);
      break;
    }
    const uint8_t *from = (const uint8_t *)w->data + id * w->stride[0] * block_bytes(kind);
    if (w->stride[1] != 1 && blocks > 1) {
      for (int64_t b = 0; b < blocks; b++) memcpy(row + b * block_bytes(kind), from + b * w->stride[1] * block_bytes(kind), (size_t)block_bytes(kind));
      from = row;
    }
    values_to(&v, from, blocks, i * k);
  }
  block_free(row);
  return wrong;
}

#define ROWS_(name, kind)                                                                                                          \
  {"quantized_linear." #name, D_F32, quantized_linear, (const void *)kind}, {"quantized_linear." #name, D_F16, quantized_linear, (const void *)kind}, \
    {"quantized_linear." #name, D_BF16, quantized_linear, (const void *)kind}, {"dequantize." #name, -1, dequantize, (const void *)kind},             \
    {"quantized_embedding." #name, -1, quantized_embedding, (const void *)kind}
const KernelEntry ISA_NAME(table_quant)[] = {
  ROWS_(q4_0, Q4_0), ROWS_(q4_1, Q4_1), ROWS_(q5_0, Q5_0), ROWS_(q5_1, Q5_1), ROWS_(q8_0, Q8_0), ROWS_(q8_1, Q8_1), ROWS_(iq4_nl, IQ4_NL),
  ROWS_(mxfp4, MXFP4), ROWS_(q2_k, Q2_K), ROWS_(q3_k, Q3_K), ROWS_(q4_k, Q4_K), ROWS_(q5_k, Q5_K), ROWS_(q6_k, Q6_K), ROWS_(q8_k, Q8_K),
  ROWS_(iq4_xs, IQ4_XS), {NULL, 0, NULL, NULL}};
