// Matrix products: which way a product goes, and the ways of float and double, half precision widened.
#include "gemm.h"
#include "gemm_vec.h"
#include "vmath.h"


INL int64_t SIZE(int type) {  // a switch, so that it folds where the type is known
  switch (type) {
    case D_I8: case D_U8: return 1;
    case D_F16: case D_BF16: case D_I16: case D_U16: return 2;
    case D_F32: case D_I32: case D_U32: return 4;
    case D_C128: return 16;
    default: return 8;
  }
}
INL int EPILOGUE(const Gemm *g) { return g->bias || g->activation || g->residual; }

#ifndef ROWS_MAX
#define ROWS_MAX 16  // products with more rows are packed
#endif
#define PANELS 4     // B's panels in one piece of packing

#define MR TILE_ROWS
#define NV TILE_VECTORS
#define KC TILE_DEPTH
#ifndef MC
#define MC (224 / MR * MR)
#endif

// -- the epilogue of a tile -----------------------------------------------------------------------

INL vf activated(int kind, vf x) {
  switch (kind) {
    case GEMM_RELU: return vf_select((x > 0) | (x != x), x, (vf){0});
    case GEMM_GELU: return v_gelu(x);
    case GEMM_GELU_TANH: return v_gelu_tanh(x);
    case GEMM_SILU: return x * v_sigmoid(x);
    default: return x;
  }
}
static void activate_f(int kind, float *x, int64_t n) {
  int64_t i = 0;
  for (; i + VF <= n; i += VF) vf_store(x + i, activated(kind, vf_load(x + i)));
  if (i < n) vf_store_part(x + i, activated(kind, vf_load_part(x + i, n - i)), n - i);
}
static void activate_d(int kind, double *x, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    switch (kind) {
      case GEMM_RELU: x[i] = x[i] > 0 || x[i] != x[i] ? x[i] : 0; break;
      case GEMM_GELU: x[i] = 0.5 * x[i] * (1 + erf(x[i] * 0.70710678118654752)); break;
      case GEMM_GELU_TANH: x[i] = 0.5 * x[i] * (1 + tanh(0.79788456080286536 * (x[i] + 0.044715 * x[i] * x[i] * x[i]))); break;
      case GEMM_SILU: x[i] = x[i] / (1 + exp(-x[i])); break;
    }
}
static void narrow(int type, uint16_t *to, int64_t step, const float *from, int64_t n) {
  int64_t j = 0;
  if (type == D_F16) {
    if (step == 1)
      for (; j + VF <= n; j += VF) vf_store_f16(to + j, vf_load(from + j));
    for (; j < n; j++) to[j * step] = f16_of_f32(from[j]);
  } else {
    if (step == 1)
      for (; j + VF <= n; j += VF) vf_store_bf16(to + j, vf_load(from + j));
    for (; j < n; j++) to[j * step] = bf16_of_f32(from[j]);
  }
}
// row[n] += what lies at p, of type `out`, `step` apart
#define PLUS(T, load)                                                                            \
  if (SIZE(g->out) == sizeof(T) && step == 1)                                                    \
    for (int64_t j = 0; j < nr; j++) row[j] += ((const T *)p)[at + j];                           \
  else                                                                                           \
    for (int64_t j = 0; j < nr; j++) row[j] += load(g->out, p, at + j * step);
#define FINISH(T, X_)                                                                                                   \
  static void C4(finish, X_)(const Gemm *g, T *c, int64_t ldc, int64_t i0, int64_t j0, int64_t mr, int64_t nr) {          \
    for (int64_t i = 0; i < mr; i++) {                                                                                  \
      T *row = c + i * ldc;                                                                                             \
      if (g->bias) {                                                                                                    \
        const void *p = g->bias;                                                                                        \
        const int64_t step = g->bias_c, at = (i0 + i) * g->bias_r + j0 * step;                                          \
        PLUS(T, C4(load, X_))                                                                                           \
      }                                                                                                                 \
      if (g->activation) C4(activate, X_)(g->activation, row, nr);                                                      \
      if (g->residual) {                                                                                                \
        const void *p = g->residual;                                                                                    \
        const int64_t step = g->rc, at = (i0 + i) * g->rr + j0 * step;                                                  \
        PLUS(T, C4(load, X_))                                                                                           \
      }                                                                                                                 \
      char *q = (char *)g->c + ((i0 + i) * g->cr + j0 * g->cc) * SIZE(g->out);                                          \
      if (SIZE(g->out) == 2)                                                                                            \
        narrow(g->out, (uint16_t *)q, g->cc, (const float *)(const void *)row, nr);                                     \
      else if (g->cc == 1)                                                                                              \
        memcpy(q, row, (size_t)nr * sizeof(T));                                                                         \
      else                                                                                                              \
        for (int64_t j = 0; j < nr; j++) ((T *)q)[j * g->cc] = row[j];                                                  \
    }                                                                                                                   \
  }
#define FINISH_INTEGER(T, name)                                                                                          \
  static void name(const Gemm *g, T *c, int64_t ldc, int64_t i0, int64_t j0, int64_t mr, int64_t nr) {                                  \
    for (int64_t i = 0; i < mr; i++) {                                                                                      \
      const T *p = c + i * ldc;                                                                                          \
      char *q = (char *)g->c + ((i0 + i) * g->cr + j0 * g->cc) * SIZE(g->out);                                           \
      switch (SIZE(g->out)) {                                                                                            \
        case 1: for (int64_t j = 0; j < nr; j++) ((uint8_t *)q)[j * g->cc] = (uint8_t)p[j]; break;                          \
        case 2: for (int64_t j = 0; j < nr; j++) ((uint16_t *)q)[j * g->cc] = (uint16_t)p[j]; break;                        \
        case 4: for (int64_t j = 0; j < nr; j++) ((uint32_t *)q)[j * g->cc] = (uint32_t)p[j]; break;                        \
        default: for (int64_t j = 0; j < nr; j++) ((uint64_t *)q)[j * g->cc] = (uint64_t)p[j];                              \
      }                                                                                                                  \
    }                                                                                                                    \
  }
#define COMPENSATED 0

// -- float, and half precision widened ----------------------------------------------------------------
#define T float
#define P float
#define V vf
#define PV vf
#define VU vf_mem
#define VL VF
#define T4 f4
#define T4U f4u
#define FMA vf_fma
#define GROUP 1
#define X _f
#define FEW 0
#define PREPACKED 1
#define X_IS_FLOAT 1
static float load_f(int type, const void *p, int64_t i);
static void finish_f(const Gemm *g, float *c, int64_t ldc, int64_t i0, int64_t j0, int64_t mr, int64_t nr);
#include "gemm_core.h"
#include "gemm_skinny.h"
FINISH(float, _f)
GemmTile *gemm_tile(int64_t rows, int64_t columns) { return KERNEL(rows, (columns + VL - 1) / VL); }
void gemm_pack_rows(int type, float *to, const void *from, int64_t n, int64_t kc, int64_t is, int64_t ks) {
  pack_rows_f(type, to, from, n, kc, is, ks);
}
#include "gemm_undef.h"

// -- double -------------------------------------------------------------------------------------------
#define T double
#define P double
#define V vd
#define PV vd
#define VU vd_mem
#define VL VD
#define T4 d4
#define T4U d4u
#define FMA vd_fma
#define GROUP 1
#define X _d
#define FEW 0
#define PREPACKED 1
#define X_IS_FLOAT 0
static double load_d(int type, const void *p, int64_t i);
static void finish_d(const Gemm *g, double *c, int64_t ldc, int64_t i0, int64_t j0, int64_t mr, int64_t nr);
#include "gemm_core.h"
#include "gemm_skinny.h"
FINISH(double, _d)
#include "gemm_undef.h"

// -- whole numbers of 32 and 64 bits, modulo 2^32 and 2^64 ----------------------------------------------
#define T uint32_t
#define P uint32_t
#define V vu
#define PV vu
#define VU vu_mem
#define VL VF
#define T4 u4
#define T4U u4u
#define FMA(a, b, c) ((a) * (b) + (c))
#define GROUP 1
#define X _u
#define FEW 1
#define PREPACKED 0
#define X_IS_FLOAT 0
static void finish_u(const Gemm *g, uint32_t *c, int64_t ldc, int64_t i0, int64_t j0, int64_t mr, int64_t nr);
#include "gemm_core.h"
FINISH_INTEGER(uint32_t, finish_u)
#include "gemm_undef.h"

#define T uint64_t
#define P uint64_t
#define V vul
#define PV vul
#define VU vul_mem
#define VL VD
#define T4 l4
#define T4U l4u
#define FMA(a, b, c) ((a) * (b) + (c))
#define GROUP 1
#define X _l
#define FEW 1
#define PREPACKED 0
#define X_IS_FLOAT 0
static void finish_l(const Gemm *g, uint64_t *c, int64_t ldc, int64_t i0, int64_t j0, int64_t mr, int64_t nr);
#include "gemm_core.h"
FINISH_INTEGER(uint64_t, finish_l)
#include "gemm_undef.h"

// -- pairs: whole numbers of 8 and 16 bits, and bfloat16 where there is an instruction for it ---------------

INL uint32_t half_of(int type, const void *p, int64_t i) {
  switch (type) {
    case D_I8: return (uint16_t)((const int8_t *)p)[i];
    case D_U8: return ((const uint8_t *)p)[i];
    default: return ((const uint16_t *)p)[i];
  }
}
// to[kc / 2][width], the halves of a word from neighbours along k
INL void pack_pairs(int type, const int width, uint32_t *to, const void *from, int64_t n, int64_t kc, int64_t is, int64_t ks) {
  const int wide = type != D_I8 && type != D_U8;
  const uint16_t *h = from;
  int64_t k = 0;
  if (wide && ks == 1) {
    const int groups = (width + 3) / 4;
    for (; k + 8 <= kc; k += 8)
      for (int g = groups - 1; g >= 0; g--) {
        u4 r[4];
        UNROLL for (int q = 0; q < 4; q++) {
          int64_t i = g * 4 + q;
          r[q] = i < n ? (u4)(*(const u4h *)(h + i * is + k)) : (u4){0};
        }
        u4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
        u4 c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
        uint32_t *p = to + k / 2 * width + g * 4;
        u4 out[4] = {__builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
                     __builtin_shufflevector(c, d, 0, 1, 4, 5), __builtin_shufflevector(c, d, 2, 3, 6, 7)};
        if (width % 4 == 0 || g < groups - 1)
          UNROLL for (int q = 0; q < 4; q++) *(u4u *)(p + q * width) = out[q];
        else
          UNROLL for (int q = 0; q < 4; q++) memcpy(p + q * width, &out[q], (size_t)(width % 4) * 4);
      }
  } else if (wide && is == 1 && n == width && width % VF == 0) {
    for (; k + 2 <= kc; k += 2)
      UNROLL for (int i = 0; i < width; i += VF) {
        vu lo = __builtin_convertvector(*(const vh_mem *)(h + k * ks + i), vu), hi = __builtin_convertvector(*(const vh_mem *)(h + (k + 1) * ks + i), vu);
        *(vu_mem *)(to + k / 2 * width + i) = lo | hi << 16;
      }
  }
  for (; k < kc; k += 2)
    for (int i = 0; i < width; i++)
      to[k / 2 * width + i] = i >= n ? 0 : half_of(type, from, i * is + k * ks) | (k + 1 < kc ? half_of(type, from, i * is + (k + 1) * ks) << 16 : 0);
}
#define PACK_PAIRS(name, width)                                                                                \
  static void name(int type, uint32_t *to, const void *from, int64_t n, int64_t kc, int64_t is, int64_t ks) {              \
    switch (type) {                                                                                            \
      case D_I8: pack_pairs(D_I8, width, to, from, n, kc, is, ks); break;                                \
      case D_U8: pack_pairs(D_U8, width, to, from, n, kc, is, ks); break;                                \
      default: pack_pairs(D_I16, width, to, from, n, kc, is, ks);                                           \
    }                                                                                                          \
  }
PACK_PAIRS(pack_pair_rows, MR)
PACK_PAIRS(pack_pair_columns, NV * VF)

INL vu pairs_fma(vu a, vu b, vu c) {
#if defined(__AVX512VNNI__)
  return (vu)_mm512_dpwssd_epi32((__m512i)c, (__m512i)a, (__m512i)b);
#elif defined(__AVX512BW__)
  return c + (vu)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return c + (vu)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return c + (vu)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
  vi x = (vi)a, y = (vi)b;
  return c + (vu)((x << 16 >> 16) * (y << 16 >> 16)) + (vu)((x >> 16) * (y >> 16));
#endif
}
#define T uint32_t
#define P uint32_t
#define V vu
#define PV vu
#define VU vu_mem
#define VL VF
#define FMA pairs_fma
#define GROUP 2
#define X _s
#define FEW 1
#define PREPACKED 0
#define X_IS_FLOAT 0
#define finish_s finish_u
#define pack_rows_s pack_pair_rows
#define pack_columns_s pack_pair_columns
#include "gemm_core.h"
#include "gemm_undef.h"

#if defined(__AVX512BF16__)
#define HAVE_BF16 1
INL vf bf16_fma(vu a, vu b, vf c) { return (vf)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b); }
#define T float
#define P uint32_t
#define V vf
#define PV vu
#define VU vf_mem
#define VL VF
#define FMA bf16_fma
#define GROUP 2
#define X _b
#define FEW 0
#define PREPACKED 1
#define X_IS_FLOAT 1
#define finish_b finish_f
#define pack_rows_b pack_pair_rows
#define pack_columns_b pack_pair_columns
#include "gemm_core.h"
#include "gemm_undef.h"
#endif

// -- quads: int8 where there is an instruction for it; on x86 its left side is unsigned, so A is raised by 128 -----
#if defined(__AVX512VNNI__) || defined(__ARM_FEATURE_DOTPROD)
#define HAVE_QUADS 1
#undef COMPENSATED
#if defined(__AVX512VNNI__)
#define COMPENSATED 1
#define RAISED 0x80808080u
INL vu quads_fma(vu a, vu b, vu c) { return (vu)_mm512_dpbusd_epi32((__m512i)c, (__m512i)a, (__m512i)b); }
#else
#define COMPENSATED 0
#define RAISED 0u
INL vu quads_fma(vu a, vu b, vu c) { return (vu)vdotq_s32((int32x4_t)c, (int8x16_t)a, (int8x16_t)b); }
#endif
INL void pack_quads(const int width, uint32_t flip, uint32_t *to, const int8_t *from, int64_t n, int64_t kc, int64_t is, int64_t ks) {
  int64_t k = 0;
  if (ks == 1) {
    const int groups = (width + 3) / 4;
    for (; k + 16 <= kc; k += 16)
      for (int g = groups - 1; g >= 0; g--) {
        u4 r[4];
        UNROLL for (int q = 0; q < 4; q++) {
          int64_t i = g * 4 + q;
          r[q] = i < n ? (u4)(*(const u4b *)(from + i * is + k)) ^ flip : (u4){0};
        }
        u4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
        u4 c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
        uint32_t *p = to + k / 4 * width + g * 4;
        u4 out[4] = {__builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
                     __builtin_shufflevector(c, d, 0, 1, 4, 5), __builtin_shufflevector(c, d, 2, 3, 6, 7)};
        if (width % 4 == 0 || g < groups - 1)
          UNROLL for (int q = 0; q < 4; q++) *(u4u *)(p + q * width) = out[q];
        else
          UNROLL for (int q = 0; q < 4; q++) memcpy(p + q * width, &out[q], (size_t)(width % 4) * 4);
      }
  } else if (is == 1 && n == width && width % VF == 0) {
    for (; k + 4 <= kc; k += 4)
      UNROLL for (int i = 0; i < width; i += VF) {
        vu x = {0};
        UNROLL for (int q = 0; q < 4; q++) {
          typedef uint8_t vb __attribute__((vector_size(VBYTES / 4), aligned(1)));
          x |= __builtin_convertvector(*(const vb *)(from + (k + q) * ks + i), vu) << (8 * q);
        }
        *(vu_mem *)(to + k / 4 * width + i) = x ^ flip;
      }
  }
  for (; k < kc; k += 4)
    for (int i = 0; i < width; i++) {
      uint32_t x = 0;
      for (int q = 0; q < 4 && k + q < kc && i < n; q++) x |= (uint32_t)((uint8_t)from[i * is + (k + q) * ks] ^ (flip & 0x80)) << (8 * q);
      to[k / 4 * width + i] = x;
    }
}
static void pack_rows_q(int type, uint32_t *to, const void *from, int64_t n, int64_t kc, int64_t is, int64_t ks) {
  (void)type;
  pack_quads(MR, RAISED, to, from, n, kc, is, ks);
}
static void pack_columns_q(int type, uint32_t *to, const void *from, int64_t n, int64_t kc, int64_t is, int64_t ks) {
  (void)type;
  const int64_t width = NV * VF, kq = (kc + 3) / 4;
  pack_quads(NV * VF, 0, to, from, n, kc, is, ks);
#if COMPENSATED
  vu sum[NV] = {{0}}, raise = (vu){0} + RAISED;
  for (int64_t k = 0; k < kq; k++)
    UNROLL for (int j = 0; j < NV; j++) sum[j] = quads_fma(raise, *(const vu_mem *)(to + k * width + j * VF), sum[j]);
  UNROLL for (int j = 0; j < NV; j++) *(vu_mem *)(to + kq * width + j * VF) = -sum[j];
#else
  (void)width, (void)kq;
#endif
}
#define T uint32_t
#define P uint32_t
#define V vu
#define PV vu
#define VU vu_mem
#define VL VF
#define FMA quads_fma
#define GROUP 4
#define X _q
#define FEW 0
#define PREPACKED 0
#define X_IS_FLOAT 0
#define finish_q finish_u
#include "gemm_core.h"
#include "gemm_undef.h"
#endif

// -- which way ------------------------------------------------------------------------------------------

static void transpose(Gemm *g) {
#define SWAP(t, a, b) { t s_ = a; a = b; b = s_; }
  SWAP(int64_t, g->m, g->n)
  SWAP(const void *, g->a, g->b)
  SWAP(int64_t, g->ar, g->bc)
  SWAP(int64_t, g->ac, g->br)
  SWAP(int64_t, g->cr, g->cc)
  SWAP(int64_t, g->bias_r, g->bias_c)
  SWAP(int64_t, g->rr, g->rc)
  for (int i = 0; i < g->dims; i++) SWAP(int64_t, g->as[i], g->bs[i])
}

static int blocked(const Gemm *g, int threads) {
  switch (g->type) {
    case D_F64: return blocked_d(g, threads);
    case D_I8:
#if HAVE_QUADS
      return blocked_q(g, threads);
#endif
    case D_U8: case D_I16: case D_U16: return blocked_s(g, threads);
    case D_I32: case D_U32: return blocked_u(g, threads);
    case D_I64: case D_U64: return blocked_l(g, threads);
#if HAVE_BF16
    case D_BF16: return blocked_b(g, threads);
#endif
    default: return blocked_f(g, threads);
  }
}

INL const void *at(const void *p, int64_t i, int type) { return p ? (const char *)p + i * SIZE(type) : 0; }

#define WIDE 4096  // columns of B in one slab

static int complex_product(const Gemm *g, int threads);

// One product
static int product(const Gemm *given, int threads) {
  Gemm g = *given;
  if (!g.m || !g.n) return 0;
  if (g.type == D_C64 || g.type == D_C128) return complex_product(&g, threads);
  if (!g.k) {  // the epilogue of zeros: one step of k with nothing in it
    static const char zeros[16] = {0};
    g.a = g.b = zeros, g.packed = 0;
    g.ar = g.ac = g.br = g.bc = 0, g.k = 1;
  }
  if (!g.packed) {
    int turned = g.cc != 1 && (g.cr == 1 || g.n == 1);
    if (g.m > ROWS_MAX && g.n <= ROWS_MAX)
      turned = 1;
    else if (g.n > ROWS_MAX && g.m <= ROWS_MAX)
      turned = 0;
    if (turned) transpose(&g);
    if (g.m <= ROWS_MAX && (g.bc == 1 || g.br == 1)) {
      if (g.type == D_F64) return skinny_d(&g, threads);
      if (g.type == D_F32 || g.type == D_F16 || g.type == D_BF16) return skinny_f(&g, threads);
    }
  }
  if (g.n <= WIDE || g.packed || g.m <= MC) return blocked(&g, threads);
  int64_t parts = (g.n + WIDE - 1) / WIDE, step = (g.n / parts + 63) / 64 * 64;
  for (int64_t j = 0; j < g.n; j += step) {
    Gemm part = g;
    part.n = g.n - j < step ? g.n - j : step;
    part.b = at(g.b, j * g.bc, g.type), part.c = (void *)at(g.c, j * g.cc, g.out);
    part.bias = at(g.bias, j * g.bias_c, g.out), part.residual = at(g.residual, j * g.rc, g.out);
    if (blocked(&part, threads)) return -1;
  }
  return 0;
}

// (a + ib)(c + id) in real numbers: rows [a b] times [[c d], [-d c]] give [ac - bd, ad + bc]
static int complex_product(const Gemm *g, int threads) {
  const int wide = g->type == D_C128;
  const int64_t size = wide ? 8 : 4, k = g->k, m = g->m, n = g->n;
  char *room = block_new((size_t)(2 * m * k + 4 * k * n + 2 * m * n + 1) * (size_t)size);
  if (!room) return -1;
  char *a = room, *b = a + 2 * m * k * size, *c = b + 4 * k * n * size;
#define FILL(R)                                                                                                      \
  for (int64_t i = 0; i < m; i++)                                                                                       \
    for (int64_t q = 0; q < k; q++)                                                                                     \
      for (int s = 0; s < 2; s++) ((R *)a)[(i * k + q) * 2 + s] = ((const R *)g->a)[(i * g->ar + q * g->ac) * 2 + s];\
  for (int64_t q = 0; q < k; q++)                                                                                       \
    for (int64_t j = 0; j < n; j++) {                                                                                   \
      const R *from = (const R *)g->b + (q * g->br + j * g->bc) * 2;                                                 \
      R *to = (R *)b + q * 4 * n + j * 2;                                                                            \
      to[0] = from[0], to[1] = from[1], to[2 * n] = -from[1], to[2 * n + 1] = from[0];                               \
    }
#define STORE(R)                                                                                                     \
  for (int64_t i = 0; i < m; i++)                                                                                       \
    for (int64_t j = 0; j < n; j++)                                                                                     \
      for (int s = 0; s < 2; s++) ((R *)g->c)[(i * g->cr + j * g->cc) * 2 + s] = ((R *)c)[(i * n + j) * 2 + s];
  if (wide) {
    FILL(double)
  } else {
    FILL(float)
  }
  int real = wide ? D_F64 : D_F32;
  Gemm r = {.type = real, .out = real, .m = m, .n = 2 * n, .k = 2 * k, .a = a, .b = b, .c = c,
            .ar = 2 * k, .ac = 1, .br = 2 * n, .bc = 1, .cr = 2 * n, .cc = 1};
  int failed = product(&r, threads);
  if (!failed) {
    if (wide) {
      STORE(double)
    } else {
      STORE(float)
    }
  }
  block_free(room);
  return failed;
}

typedef struct {
  const Gemm *g;
  int64_t count, step;
  int failed;
} Batch;

static Gemm one_of(const Gemm *g, int64_t index) {
  Gemm one = *g;
  int64_t a = 0, b = 0, c = 0, r = 0;
  for (int d = g->dims - 1; d >= 0; d--) {
    int64_t i = index % g->shape[d];
    index /= g->shape[d];
    a += i * g->as[d], b += i * g->bs[d], c += i * g->cs[d], r += i * g->rs[d];
  }
  one.dims = 0;
  one.a = at(g->a, a, g->type), one.b = at(g->b, b, g->type), one.c = (void *)at(g->c, c, g->out);
  one.residual = at(g->residual, r, g->out);
  return one;
}
static void run_batch(void *ctx, int64_t tile, int worker) {
  Batch *p = ctx;
  (void)worker;
  for (int64_t i = tile * p->step; i < (tile + 1) * p->step && i < p->count; i++) {
    Gemm one = one_of(p->g, i);
    if (product(&one, 1)) p->failed = 1;
  }
}

// Drop dimensions of one, join those that follow on each other; rows take in a dimension that B does not have
static void merge(Gemm *g) {
  int d = 0;
  for (int i = 0; i < g->dims; i++) {
    if (g->shape[i] == 1) continue;
    if (d && g->as[d - 1] == g->shape[i] * g->as[i] && g->bs[d - 1] == g->shape[i] * g->bs[i] &&
        g->cs[d - 1] == g->shape[i] * g->cs[i] && (!g->residual || g->rs[d - 1] == g->shape[i] * g->rs[i])) {
      g->shape[d - 1] *= g->shape[i];
      g->as[d - 1] = g->as[i], g->bs[d - 1] = g->bs[i], g->cs[d - 1] = g->cs[i], g->rs[d - 1] = g->rs[i];
      continue;
    }
    g->shape[d] = g->shape[i], g->as[d] = g->as[i], g->bs[d] = g->bs[i], g->cs[d] = g->cs[i], g->rs[d] = g->rs[i];
    d++;
  }
  g->dims = d;
  while (g->dims) {
    int last = g->dims - 1;
    if (g->m == 1) g->ar = g->as[last], g->cr = g->cs[last], g->rr = g->rs[last];
    if (g->bs[last] || (g->bias && g->bias_r)) break;
    if (g->m > 1 && (g->as[last] != g->m * g->ar || g->cs[last] != g->m * g->cr || (g->residual && g->rs[last] != g->m * g->rr))) break;
    g->m *= g->shape[last];
    g->dims--;
  }
}

int gemm_run(const Gemm *given, int threads) {
  Gemm g = *given;
  merge(&g);
  if (!g.dims) return product(&g, threads);
  Batch b = {.g = &g, .count = 1};
  for (int i = 0; i < g.dims; i++) b.count *= g.shape[i];
  double work = 2.0 * (double)g.m * (double)g.n * (double)(g.k + 1);
  if (threads == 1 || (b.count < threads * 4 && work > 4e6)) {
    for (int64_t i = 0; i < b.count; i++) {
      Gemm one = one_of(&g, i);
      if (product(&one, threads)) return -1;
    }
    return 0;
  }
  b.step = (int64_t)(5e5 / work) + 1;
  int64_t tiles = (b.count + b.step - 1) / b.step;
  if (tiles == 1)
    run_batch(&b, 0, 0);
  else
    pool_run(tiles, run_batch, &b);
  return b.failed ? -1 : 0;
}

#define EACH(g, call)                                                                                   \
  switch ((g)->type) {                                                                                  \
    case D_F64: return call(_d);                                                                     \
    case D_BF16: return BF16(call);                                                                  \
    default: return call(_f);                                                                           \
  }
#if HAVE_BF16
#define BF16(call) call(_b)
#else
#define BF16(call) call(_f)
#endif

// How many bytes B takes packed, for products of real numbers
size_t gemm_packed_size(const Gemm *g) {
#define CALL(x) C4(packed_size, x)(g->k, g->n)
  EACH(g, CALL)
#undef CALL
}
void gemm_pack(const Gemm *g, void *to) {
#define CALL(x) C4(pack_all, x)(g, to)
  EACH(g, CALL)
#undef CALL
}
