// Matrix products C[m,n] = finish(A[m,k] B[k,n]): operands of any strides and element types, alone or in batches.
#ifndef CANDLE_GEMM_H
#define CANDLE_GEMM_H
#include <stddef.h>
#include <stdint.h>

enum { GEMM_F32, GEMM_F64, GEMM_F16, GEMM_BF16, GEMM_I8, GEMM_U8, GEMM_I16, GEMM_U16, GEMM_I32, GEMM_U32, GEMM_I64, GEMM_U64,
       GEMM_C64, GEMM_C128 };
enum { GEMM_NONE, GEMM_RELU, GEMM_GELU, GEMM_GELU_TANH, GEMM_SILU };

#define GEMM_BATCH 6  // dimensions before the matrices, after merging

typedef struct {
  int type;          // of A, B and C
  int out;           // of C, where it differs: GEMM_I32 for int8 operands; else equal to type
  long m, n, k;
  const void *a, *b;
  void *c;
  long ar, ac, br, bc, cr, cc;  // strides of rows and columns, in elements
  int dims;                     // batch dimensions
  long shape[GEMM_BATCH], as[GEMM_BATCH], bs[GEMM_BATCH], cs[GEMM_BATCH];
  // the epilogue: C = residual + activation(AB + bias)
  const void *bias;  // of C's type, at i * bias_r + j * bias_c
  long bias_r, bias_c;
  int activation;
  const void *residual;  // of C's type, with strides of its own
  long rr, rc, rs[GEMM_BATCH];
  const void *packed;    // B as gemm_pack left it, instead of b
} Gemm;

#endif
