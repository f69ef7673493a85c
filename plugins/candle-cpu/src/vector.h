/* Vectors of the instruction set a file is compiled for (GCC's vector extensions), and conversions to and from half precision. */
#ifndef CANDLE_VECTOR_H
#define CANDLE_VECTOR_H

#include "engine.h"

#if defined(__AVX2__) || defined(__SSE4_1__)
#include <immintrin.h>
#endif
#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define VBYTES 64
#elif defined(__AVX2__)
#define VBYTES 32
#else
#define VBYTES 16
#endif
#define VF (VBYTES / 4) /* floats in a vector */
#define VD (VBYTES / 8) /* doubles in a vector */

typedef float vf __attribute__((vector_size(VBYTES)));
typedef int32_t vi __attribute__((vector_size(VBYTES)));
typedef uint32_t vu __attribute__((vector_size(VBYTES)));
typedef double vd __attribute__((vector_size(VBYTES)));
typedef int64_t vl __attribute__((vector_size(VBYTES)));
/* the same where they lie in memory, at any address */
typedef float vf_mem __attribute__((vector_size(VBYTES), aligned(4), may_alias));
typedef int32_t vi_mem __attribute__((vector_size(VBYTES), aligned(4), may_alias));
typedef double vd_mem __attribute__((vector_size(VBYTES), aligned(8), may_alias));
typedef uint16_t vh __attribute__((vector_size(VBYTES / 2)));
typedef uint16_t vh_mem __attribute__((vector_size(VBYTES / 2), aligned(2), may_alias));

INLINE vf vf_load(const float *p) { return *(const vf_mem *)p; }
INLINE void vf_store(float *p, vf v) { *(vf_mem *)p = v; }
INLINE vd vd_load(const double *p) { return *(const vd_mem *)p; }
INLINE void vd_store(double *p, vd v) { *(vd_mem *)p = v; }
INLINE vf vf_set(float x) { return x - (vf){0}; }
INLINE vi vi_set(int32_t x) { return x - (vi){0}; }
INLINE vd vd_set(double x) { return x - (vd){0}; }

/* lanes of a where mask is all ones, else of b */
INLINE vf vf_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }

INLINE vf vf_fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__ARM_NEON)
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

/* IEEE maximum and minimum where neither is NaN; else unspecified */
INLINE vf vf_max(vf a, vf b) {
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return vf_select(a > b, a, b);
#endif
}
INLINE vf vf_min(vf a, vf b) {
#if defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return vf_select(a < b, a, b);
#endif
}

INLINE float vf_sum(vf v) {
    float t[VF];
    memcpy(t, &v, sizeof t);
    for (int w = VF / 2; w; w /= 2)
        for (int i = 0; i < w; i++) t[i] += t[i + w];
    return t[0];
}
INLINE float vf_hmax(vf v) {
    float t[VF];
    memcpy(t, &v, sizeof t);
    for (int w = VF / 2; w; w /= 2)
        for (int i = 0; i < w; i++) t[i] = t[i] > t[i + w] ? t[i] : t[i + w];
    return t[0];
}

INLINE vf vf_round(vf x) { /* to the nearest integer, ties to even; |x| < 2^22 where there is no instruction */
#if defined(__AVX512F__)
    return (vf)_mm512_roundscale_ps((__m512)x, 8);
#elif defined(__AVX2__)
    return (vf)_mm256_round_ps((__m256)x, 8);
#elif defined(__SSE4_1__)
    return (vf)_mm_round_ps((__m128)x, 8);
#elif defined(__ARM_NEON)
    return (vf)vrndnq_f32((float32x4_t)x);
#else
    const vf magic = vf_set(12582912.0f);
    return (x + magic) - magic;
#endif
}

INLINE vf vf_sqrt(vf x) {
#if defined(__AVX512F__)
    return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
    return (vf)_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE2__)
    return (vf)_mm_sqrt_ps((__m128)x);
#elif defined(__ARM_NEON)
    return (vf)vsqrtq_f32((float32x4_t)x);
#else
    for (int i = 0; i < VF; i++) x[i] = sqrtf(x[i]);
    return x;
#endif
}

/* -- half precision -------------------------------------------------------------------------------------------- */

static inline uint32_t bits_of(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
static inline float of_bits(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }

static inline float f32_of_bf16(bf16_t h) { return of_bits((uint32_t)h << 16); }
static inline bf16_t bf16_of_f32(float x) { /* nearest, ties to even; NaN stays NaN */
    uint32_t u = bits_of(x);
    if ((u & 0x7fffffff) > 0x7f800000) return (bf16_t)((u >> 16) | 0x40);
    return (bf16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

static inline float f32_of_f16(f16_t h) {
#if defined(__F16C__)
    return _cvtsh_ss(h);
#elif defined(__ARM_NEON)
    __fp16 x; memcpy(&x, &h, 2); return (float)x;
#else
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7fff) << 13;
    if (rest >= 0x0f800000) return of_bits(sign | rest | 0x7f800000 | (rest > 0x0f800000 ? 0x400000 : 0));
    return of_bits(sign | bits_of(of_bits(rest) * 0x1p112f));
#endif
}
static inline f16_t f16_of_f32(float x) { /* nearest, ties to even */
#if defined(__F16C__)
    return _cvtss_sh(x, 0);
#elif defined(__ARM_NEON)
    __fp16 y = (__fp16)x; f16_t h; memcpy(&h, &y, 2); return h;
#else
    uint32_t u = bits_of(x), sign = (u >> 16) & 0x8000;
    u &= 0x7fffffff;
    if (u > 0x7f800000) return (f16_t)(sign | 0x7e00 | ((u >> 13) & 0x3ff));
    if (u >= 0x477ff000) return (f16_t)(sign | 0x7c00);
    if (u < 0x38800000) { /* subnormal: the sum rounds */
        float y = of_bits(u) + 0.5f;
        return (f16_t)(sign | (bits_of(y) - 0x3f000000));
    }
    return (f16_t)(sign | ((u + 0xfff + ((u >> 13) & 1) - 0x38000000) >> 13));
#endif
}

/* VF halves at p as floats, and back */
INLINE vf vf_load_bf16(const bf16_t *p) {
    vh h = *(const vh_mem *)p;
    return (vf)(__builtin_convertvector(h, vu) << 16);
}
INLINE void vf_store_bf16(bf16_t *p, vf x) {
#if defined(__AVX512BF16__)
    /* the instruction flushes subnormal operands, so it is not used here */
#endif
    vu u = (vu)x;
    vi nan = (vi)((u & 0x7fffffff) > 0x7f800000);
    vu r = (u + 0x7fff + ((u >> 16) & 1)) >> 16, q = (u >> 16) | 0x40;
    r = (vu)(((vi)q & nan) | ((vi)r & ~nan));
    *(vh_mem *)p = __builtin_convertvector(r, vh);
}
INLINE vf vf_load_f16(const f16_t *p) {
#if defined(__AVX512F__)
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
#elif defined(__F16C__)
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
#elif defined(__ARM_NEON)
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
    vf x;
    for (int i = 0; i < VF; i++) x[i] = f32_of_f16(p[i]);
    return x;
#endif
}
INLINE void vf_store_f16(f16_t *p, vf x) {
#if defined(__AVX512F__)
    _mm256_storeu_si256((void *)p, _mm512_cvtps_ph((__m512)x, 0));
#elif defined(__F16C__)
    _mm_storeu_si128((void *)p, _mm256_cvtps_ph((__m256)x, 0));
#elif defined(__ARM_NEON)
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)x)));
#else
    for (int i = 0; i < VF; i++) p[i] = f16_of_f32(x[i]);
#endif
}

/* The n (at most VF) elements at p, the others 0; and a store of the first n. */
INLINE vf vf_load_part(const float *p, int64_t n) {
    float t[VF] = {0};
    memcpy(t, p, (size_t)n * 4);
    return vf_load(t);
}
INLINE void vf_store_part(float *p, vf v, int64_t n) {
    float t[VF];
    vf_store(t, v);
    memcpy(p, t, (size_t)n * 4);
}

#endif
