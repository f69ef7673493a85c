// Matrix products C[m,n] = finish(A[m,k] B[k,n]): operands of any strides and element types, alone or in batches.
#ifndef CANDLE_GEMM_H
#define CANDLE_GEMM_H
#include "engine.h"

enum { GEMM_NONE, GEMM_RELU, GEMM_GELU, GEMM_GELU_TANH, GEMM_SILU };

#define GEMM_BATCH 6  // dimensions before the matrices, after merging

typedef struct {
  int type;          // of A and B, a DType
  int out;           // of C: the same, or D_I32 for D_I8
  int64_t m, n, k;
  const void *a, *b;
  void *c;
  int64_t ar, ac, br, bc, cr, cc;  // strides of rows and columns, in elements
  int dims;                     // batch dimensions
  int64_t shape[GEMM_BATCH], as[GEMM_BATCH], bs[GEMM_BATCH], cs[GEMM_BATCH];
  // the epilogue: C = residual + activation(AB + bias)
  const void *bias;  // of C's type, at i * bias_r + j * bias_c
  int64_t bias_r, bias_c;
  int activation;
  const void *residual;  // of C's type, with strides of its own
  int64_t rr, rc, rs[GEMM_BATCH];
  const void *packed;    // B as gemm_pack left it, instead of b
} Gemm;

#define gemm_run ISA_NAME(gemm_run)
#define gemm_packed_size ISA_NAME(gemm_packed_size)
#define gemm_pack ISA_NAME(gemm_pack)

int gemm_run(const Gemm *g, int threads);     // 0, or nonzero where memory is lacking
size_t gemm_packed_size(const Gemm *g);       // how many bytes B takes packed; of real numbers only
void gemm_pack(const Gemm *g, void *to);      // packs b


// The micro-kernels of float, for what packs its operands itself: c[mr, columns] (+)= a[kc][height] b[kc][width], where at most
// `height` rows and columns up to a whole number of vectors are computed
typedef void GemmTile(int64_t kc, const float *a, const float *b, float *c, int64_t ldc, int more);
#define gemm_tile ISA_NAME(gemm_tile)
#define gemm_pack_rows ISA_NAME(gemm_pack_rows)
GemmTile *gemm_tile(int64_t rows, int64_t columns);
// to[kc][height] = from[i * is + k * ks] for i < n; `to` needs 4 elements more
void gemm_pack_rows(int type, float *to, const void *from, int64_t n, int64_t kc, int64_t is, int64_t ks);

// The tile's measures, and how much of k is gone through at a time
#if defined(__AVX512F__)
#define TILE_ROWS 14
#define TILE_VECTORS 2
#elif defined(__ARM_NEON)
#define TILE_ROWS 6
#define TILE_VECTORS 4
#elif defined(__AVX2__)
#define TILE_ROWS 6
#define TILE_VECTORS 2
#else
#define TILE_ROWS 4
#define TILE_VECTORS 2
#endif
#define TILE_DEPTH 384

#endif
