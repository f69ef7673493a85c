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

#endif
