// What matrix products need of vectors beyond vector.h: groups of four, unaligned kinds, tails.
#ifndef CANDLE_GEMM_VEC_H
#define CANDLE_GEMM_VEC_H
#include "vector.h"

#define INL static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

typedef uint32_t vu_mem __attribute__((vector_size(VBYTES), aligned(4), may_alias));
typedef uint64_t vul __attribute__((vector_size(VBYTES)));
typedef uint64_t vul_mem __attribute__((vector_size(VBYTES), aligned(8), may_alias));
typedef float f4 __attribute__((vector_size(16)));
typedef float f4u __attribute__((vector_size(16), aligned(4), may_alias));
typedef double d4 __attribute__((vector_size(32)));
typedef double d4u __attribute__((vector_size(32), aligned(8), may_alias));
typedef uint64_t l4 __attribute__((vector_size(32)));
typedef uint64_t l4u __attribute__((vector_size(32), aligned(8), may_alias));
typedef uint16_t h4 __attribute__((vector_size(8)));
typedef uint16_t h4u __attribute__((vector_size(8), aligned(2), may_alias));
typedef uint32_t u4 __attribute__((vector_size(16)));
typedef uint32_t u4u __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t u4h __attribute__((vector_size(16), aligned(2), may_alias));
typedef uint32_t u4b __attribute__((vector_size(16), aligned(1), may_alias));

INL vd vd_fma(vd a, vd b, vd c) {
#if defined(__AVX512F__)
  return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
  return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__ARM_NEON) && defined(__aarch64__)
  return (vd)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
  return a * b + c;
#endif
}
// The sum of a vector's elements, by halves in registers
INL float vf_total(vf x) {
  union { vf v; f4 p[VBYTES / 16]; } u = {x};
  f4 s = u.p[0];
  UNROLL for (int i = 1; i < VBYTES / 16; i++) s += u.p[i];
  return (s[0] + s[2]) + (s[1] + s[3]);
}
#endif
