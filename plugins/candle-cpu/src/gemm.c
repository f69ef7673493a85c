// Matrix products: which way a product goes, and the ways of float and double, half precision widened.
#include "gemm.h"
#include "gemm_vec.h"
#include <stdlib.h>
#include <math.h>

#ifdef STANDALONE
#include "stub.h"
#endif

INL long SIZE(int type) {
  switch (type) {
    case GEMM_I8: case GEMM_U8: return 1;
    case GEMM_F16: case GEMM_BF16: case GEMM_I16: case GEMM_U16: return 2;
    case GEMM_F32: case GEMM_I32: case GEMM_U32: return 4;
    case GEMM_C128: return 16;
    default: return 8;
  }
}
INL int EPILOGUE(const Gemm *g) { return g->bias || g->activation || g->residual; }

#define ROWS_MAX 16  // products with more rows are packed
#define PANELS 4     // B's panels in one piece of packing

#if defined(__AVX512F__)
#define MR 14
#define NV 2
#elif defined(__ARM_NEON)
#define MR 6
#define NV 4
#elif defined(__AVX2__)
#define MR 6
#define NV 2
#else
#define MR 4
#define NV 2
#endif
#ifndef KC
#define KC 384
#endif
#ifndef MC
#define MC (224 / MR * MR)
#endif

// -- the epilogue of a tile -----------------------------------------------------------------------

static float activated(int kind, float x) {
  switch (kind) {
    case GEMM_RELU: return x > 0 || x != x ? x : 0;
    case GEMM_GELU: return 0.5f * x * (1 + erff(x * 0.70710678f));
    case GEMM_GELU_TANH: return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case GEMM_SILU: return x / (1 + expf(-x));
    default: return x;
  }
}
#define FINISH(T, name, SCALAR)                                                                                          \
  static void name(const Gemm *g, T *c, long ldc, long i0, long j0, long mr, long nr) {                                  \
    if (EPILOGUE(g))                                                                                                     \
      for (long i = 0; i < mr; i++)                                                                                      \
        for (long j = 0; j < nr; j++) {                                                                                  \
          T x = c[i * ldc + j];                                                                                          \
          if (g->bias) x += SCALAR(g->out, g->bias, (i0 + i) * g->bias_r + (j0 + j) * g->bias_c);                        \
          if (g->activation) x = (T)activated(g->activation, (float)x);                                                  \
          if (g->residual) x += SCALAR(g->out, g->residual, (i0 + i) * g->rr + (j0 + j) * g->rc);                        \
          c[i * ldc + j] = x;                                                                                            \
        }                                                                                                                \
    for (long i = 0; i < mr; i++) {                                                                                      \
      const T *p = c + i * ldc;                                                                                          \
      char *q = (char *)g->c + ((i0 + i) * g->cr + j0 * g->cc) * SIZE(g->out);                                           \
      if (g->out == GEMM_F16)                                                                                            \
        for (long j = 0; j < nr; j++) ((uint16_t *)q)[j * g->cc] = f16_of_f32((float)p[j]);                              \
      else if (g->out == GEMM_BF16)                                                                                      \
        for (long j = 0; j < nr; j++) ((uint16_t *)q)[j * g->cc] = bf16_of_f32((float)p[j]);                             \
      else if (g->cc == 1)                                                                                               \
        memcpy(q, p, (size_t)nr * sizeof(T));                                                                            \
      else                                                                                                               \
        for (long j = 0; j < nr; j++) ((T *)q)[j * g->cc] = p[j];                                                        \
    }                                                                                                                    \
  }

// -- float ------------------------------------------------------------------------------------------
#define T float
#define V vf
#define VU vfu
#define VL VF
#define T4 f4
#define T4U f4u
#define FMA vf_fma
#define X _f
#define X_IS_FLOAT 1
static float load_f(int type, const void *p, long i);
static void finish_f(const Gemm *g, float *c, long ldc, long i0, long j0, long mr, long nr);
#include "gemm_core.h"
#define NR (NV * VL)
#include "gemm_skinny.h"
#undef NR
FINISH(float, finish_f, load_f)
#undef T
#undef V
#undef VU
#undef VL
#undef T4
#undef T4U
#undef FMA
#undef X
#undef X_IS_FLOAT

static void transpose(Gemm *g) {
#define SWAP(t, a, b) { t s_ = a; a = b; b = s_; }
  SWAP(long, g->m, g->n)
  SWAP(const void *, g->a, g->b)
  SWAP(long, g->ar, g->bc)
  SWAP(long, g->ac, g->br)
  SWAP(long, g->cr, g->cc)
  SWAP(long, g->bias_r, g->bias_c)
  SWAP(long, g->rr, g->rc)
  for (int i = 0; i < g->dims; i++) SWAP(long, g->as[i], g->bs[i])
}

int gemm_run(const Gemm *given, int threads) {
  Gemm g = *given;
  if (!g.m || !g.n) return 0;
  if (!g.packed) {
    int wide = g.cc != 1 && (g.cr == 1 || g.n == 1);
    if (g.m > ROWS_MAX && g.n <= ROWS_MAX) wide = 1;
    else if (g.n > ROWS_MAX && g.m <= ROWS_MAX) wide = 0;
    if (wide) transpose(&g);
    if (g.m <= ROWS_MAX && (g.bc == 1 || g.br == 1)) return skinny_f(&g, threads);
  }
  return blocked_f(&g, threads);
}
