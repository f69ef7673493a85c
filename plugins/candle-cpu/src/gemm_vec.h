// Vectors as wide as the instruction set has them, and conversions of half precision, in GCC's vector extensions.
#ifndef CANDLE_GEMM_VEC_H
#define CANDLE_GEMM_VEC_H
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define INL static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

#if defined(__AVX512F__)
#define VBYTES 64
#elif defined(__AVX__)
#define VBYTES 32
#else
#define VBYTES 16
#endif

typedef float vf __attribute__((vector_size(VBYTES)));
typedef float vfu __attribute__((vector_size(VBYTES), aligned(4)));
typedef double vd __attribute__((vector_size(VBYTES)));
typedef double vdu __attribute__((vector_size(VBYTES), aligned(8)));
typedef int32_t vi __attribute__((vector_size(VBYTES)));
typedef uint32_t vu __attribute__((vector_size(VBYTES)));
typedef uint16_t vh __attribute__((vector_size(VBYTES / 2)));
typedef uint16_t vhu __attribute__((vector_size(VBYTES / 2), aligned(2)));
typedef float f4 __attribute__((vector_size(16)));
typedef float f4u __attribute__((vector_size(16), aligned(4)));
typedef double d4 __attribute__((vector_size(32)));
typedef double d4u __attribute__((vector_size(32), aligned(8)));
typedef uint16_t h4 __attribute__((vector_size(8)));
typedef uint16_t h4u __attribute__((vector_size(8), aligned(2)));
typedef uint32_t u4 __attribute__((vector_size(16)));
typedef uint32_t vuu __attribute__((vector_size(VBYTES), aligned(4)));
typedef uint64_t vl __attribute__((vector_size(VBYTES)));
typedef uint64_t vlu __attribute__((vector_size(VBYTES), aligned(8)));
typedef uint32_t u4u __attribute__((vector_size(16), aligned(4)));
typedef uint32_t u4h __attribute__((vector_size(16), aligned(2)));
typedef uint32_t u4b __attribute__((vector_size(16), aligned(1)));
typedef uint64_t l4 __attribute__((vector_size(32)));
typedef uint64_t l4u __attribute__((vector_size(32), aligned(8)));
#define VF ((long)(VBYTES / 4))
#define VD ((long)(VBYTES / 8))

INL vf vf_load(const float *p) { return *(const vfu *)p; }
INL void vf_store(float *p, vf x) { *(vfu *)p = x; }
INL vf vf_splat(float x) { return x - (vf){0}; }
INL vd vd_splat(double x) { return x - (vd){0}; }

#if defined(__AVX512F__)
INL vf vf_fma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INL vd vd_fma(vd a, vd b, vd c) { return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
INL vf vf_load_n(const float *p, long n) { return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INL void vf_store_n(float *p, vf x, long n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x); }
#else
#if defined(__FMA__)
INL vf vf_fma(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INL vd vd_fma(vd a, vd b, vd c) { return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
#elif defined(__ARM_NEON)
INL vf vf_fma(vf a, vf b, vf c) { return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
INL vd vd_fma(vd a, vd b, vd c) { return (vd)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
#else
INL vf vf_fma(vf a, vf b, vf c) { return a * b + c; }
INL vd vd_fma(vd a, vd b, vd c) { return a * b + c; }
#endif
INL vf vf_load_n(const float *p, long n) {
  vf x = {0};
  memcpy(&x, p, (size_t)n * 4);
  return x;
}
INL void vf_store_n(float *p, vf x, long n) { memcpy(p, &x, (size_t)n * 4); }
#endif

INL float vf_sum(vf x) {
  union { vf v; f4 p[VBYTES / 16]; } u = {x};
  f4 s = u.p[0];
  UNROLL for (int i = 1; i < VBYTES / 16; i++) s += u.p[i];
  return (s[0] + s[2]) + (s[1] + s[3]);
}

// -- half precision ---------------------------------------------------------------------------------

INL float f32_of_bf16(uint16_t h) {
  union { uint32_t u; float f; } o = {(uint32_t)h << 16};
  return o.f;
}
INL uint16_t bf16_of_f32(float f) {  // to the nearest, ties to even; NaN stays NaN
  union { float f; uint32_t u; } o = {f};
  if ((o.u & 0x7fffffff) > 0x7f800000) return (uint16_t)(o.u >> 16 | 0x40);
  return (uint16_t)((o.u + 0x7fff + (o.u >> 16 & 1)) >> 16);
}
INL float f32_of_f16(uint16_t h) {
#if defined(__F16C__)
  return _cvtsh_ss(h);
#elif defined(__ARM_NEON)
  __fp16 x;
  memcpy(&x, &h, 2);
  return x;
#else
  union { uint32_t u; float f; } o = {(uint32_t)(h & 0x7fff) << 13}, scale = {(254 - 15) << 23};
  o.f *= scale.f;
  if (o.f >= 65536.0f) o.u |= 255u << 23;
  o.u |= (uint32_t)(h & 0x8000) << 16;
  return o.f;
#endif
}
INL uint16_t f16_of_f32(float f) {
#if defined(__F16C__)
  return _cvtss_sh(f, 0);
#elif defined(__ARM_NEON)
  __fp16 x = (__fp16)f;
  uint16_t h;
  memcpy(&h, &x, 2);
  return h;
#else
  union { float f; uint32_t u; } o = {f}, magic = {.u = 126u << 23};
  uint32_t sign = o.u & 0x80000000u, h;
  o.u ^= sign;
  if (o.u >= 143u << 23) {
    h = o.u > 255u << 23 ? 0x7e00 : 0x7c00;
  } else if (o.u < 113u << 23) {
    o.f += magic.f;
    h = o.u - magic.u;
  } else {
    h = (o.u + ((uint32_t)(15 - 127) << 23) + 0xfff + (o.u >> 13 & 1)) >> 13;
  }
  return (uint16_t)(h | sign >> 16);
#endif
}

INL vf vf_of_bf16(const uint16_t *p) {
#if defined(__AVX512F__)
  return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)p)), 16);
#elif defined(__AVX2__)
  return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16);
#else
  vh h = *(const vhu *)p;
  return (vf)(__builtin_convertvector(h, vu) << 16);
#endif
}
INL vf vf_of_f16(const uint16_t *p) {
#if defined(__AVX512F__)
  return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
#elif defined(__F16C__)
  return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
#elif defined(__ARM_NEON)
  return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
  vu h = __builtin_convertvector(*(const vhu *)p, vu);
  vf scale = (vf)((vu){0} + ((254u - 15) << 23)), x = (vf)((h & 0x7fff) << 13) * scale;
  vu big = (vu)(x >= 65536.0f) & (255u << 23);
  return (vf)((vu)x | big | (h & 0x8000) << 16);
#endif
}
INL void f16_store(uint16_t *p, vf x) {
#if defined(__AVX512F__)
  _mm256_storeu_si256((void *)p, _mm512_cvtps_ph((__m512)x, 0));
#elif defined(__F16C__)
  _mm_storeu_si128((void *)p, _mm256_cvtps_ph((__m256)x, 0));
#else
  UNROLL for (int i = 0; i < VF; i++) p[i] = f16_of_f32(x[i]);
#endif
}
INL void bf16_store(uint16_t *p, vf x) {
  vu u = (vu)x, nan = (vu)((u & 0x7fffffff) > 0x7f800000u);
  vu r = (u + 0x7fff + (u >> 16 & 1)) >> 16;
  r = (nan & (u >> 16 | 0x40)) | (~nan & r);
#if defined(__AVX512F__)
  _mm256_storeu_si256((void *)p, _mm512_cvtepi32_epi16((__m512i)r));
#else
  vh h = __builtin_convertvector(r, vh);
  *(vhu *)p = h;
#endif
}
#endif
