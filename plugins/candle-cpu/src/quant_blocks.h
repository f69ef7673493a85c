// GGML's blocks as the kernels see them: groups of 32 quants as bytes, with the scales and offsets of a unit of 8 groups.
// A weight is scale * (quant - zero) + low.  Layouts: ggml-common.h in https://github.com/ggml-org/ggml; K kinds:
// https://github.com/ggml-org/llama.cpp/pull/1684; MXFP4: OCP's microscaling formats 1.0.
#ifndef CANDLE_QUANT_BLOCKS_H
#define CANDLE_QUANT_BLOCKS_H
#include "gemm_vec.h"

typedef enum { Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1, IQ4_NL, MXFP4, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_K, IQ4_XS, KINDS } Kind;

typedef uint8_t b16 __attribute__((vector_size(16)));
typedef uint8_t b16u __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint8_t b32 __attribute__((vector_size(32)));
typedef uint8_t b32u __attribute__((vector_size(32), aligned(1), may_alias));
typedef uint64_t q32 __attribute__((vector_size(32)));
typedef int32_t i8 __attribute__((vector_size(32)));  // eight sums
typedef int32_t i8u __attribute__((vector_size(32), aligned(4), may_alias));
typedef float f8 __attribute__((vector_size(32)));
typedef float f8u __attribute__((vector_size(32), aligned(4), may_alias));

INL int block_bytes(Kind k) {
  static const short bytes[KINDS] = {18, 20, 22, 24, 34, 36, 18, 17, 84, 110, 144, 176, 210, 292, 136};
  return bytes[k];
}
INL bool superblock(Kind k) { return k >= Q2_K; }                               // 256 quants to a block, else 32
INL int unit_bytes(Kind k) { return superblock(k) ? block_bytes(k) : 8 * block_bytes(k); }
INL bool halved(Kind k) { return k == Q2_K || k == Q3_K || k == Q6_K; }        // a scale for each 16
INL bool lifted(Kind k) { return k == Q4_1 || k == Q5_1 || k == Q2_K || k == Q4_K || k == Q5_K; }  // has lows
INL bool wide_range(Kind k) { return k == Q8_0 || k == Q8_1 || k == Q8_K || k == IQ4_NL || k == IQ4_XS || k == MXFP4; }
INL int zero_of(Kind k) {  // of quants in 0..255
  switch (k) {
    case Q4_0: return 8;
    case Q5_0: return 16;
    case Q3_K: return 4;
    case Q6_K: return 32;
    default: return wide_range(k) ? 128 : 0;
  }
}

INL float half_at(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return f32_of_f16(h);
}
typedef uint16_t h8 __attribute__((vector_size(16)));
// Eight halves `step` bytes apart, put together in a register
INL h8 halves8(const uint8_t *p, int step) {
  uint16_t h[8];
  UNROLL for (int i = 0; i < 8; i++) memcpy(h + i, p + i * step, 2);
  return (h8){h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]};
}
INL b32 bytes32(const uint8_t *p) { return *(const b32u *)p; }
// 16 bytes as 32 nibbles: the low ones, then the high ones
INL b32 nibbles(const uint8_t *p) {
  b16 v = *(const b16u *)p;
  b32 both = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return (b32)((q32)both >> (q32){0, 0, 4, 4}) & 15;
}
INL b32 shifted(b32 v, int bits, int mask) { return (b32)((q32)v >> (uint64_t)bits) & (uint8_t)mask; }

static const uint8_t table_nl[32] __attribute__((aligned(32))) = {
  1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241, 1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
static const uint8_t table_fp4[32] __attribute__((aligned(32))) = {
  128, 129, 130, 131, 132, 134, 136, 140, 128, 127, 126, 125, 124, 122, 120, 116, 128, 129, 130, 131, 132, 134, 136, 140, 128, 127, 126, 125, 124, 122, 120, 116};
INL b32 looked_up(const uint8_t *table, b32 at) {
#if defined(__AVX2__)
  return (b32)_mm256_shuffle_epi8(_mm256_load_si256((const void *)table), (__m256i)at);
#elif defined(__SSSE3__)
  union { b32 v; __m128i h[2]; } u = {at};
  __m128i t = _mm_load_si128((const void *)table);
  u.h[0] = _mm_shuffle_epi8(t, u.h[0]), u.h[1] = _mm_shuffle_epi8(t, u.h[1]);
  return u.v;
#elif defined(__ARM_NEON) && defined(__aarch64__)
  union { b32 v; uint8x16_t h[2]; } u = {at};
  uint8x16_t t = vld1q_u8(table);
  u.h[0] = vqtbl1q_u8(t, u.h[0]), u.h[1] = vqtbl1q_u8(t, u.h[1]);
  return u.v;
#else
  b32 y;
  for (int i = 0; i < 32; i++) y[i] = table[at[i]];
  return y;
#endif
}
// 16 in each byte whose bit of the four bytes at p is set
INL b32 sixteens(const uint8_t *p) {
#if defined(__AVX512VL__) && defined(__AVX512BW__)
  uint32_t bits;
  memcpy(&bits, p, 4);
  return (b32)_mm256_maskz_set1_epi8(bits, 16);
#else
  b32 v = {p[0], p[0], p[0], p[0], p[0], p[0], p[0], p[0], p[1], p[1], p[1], p[1], p[1], p[1], p[1], p[1],
           p[2], p[2], p[2], p[2], p[2], p[2], p[2], p[2], p[3], p[3], p[3], p[3], p[3], p[3], p[3], p[3]};
  const b32 bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return (b32)((v & bit) == bit) & 16;
#endif
}

// The 32 quants of group s (0 to 7) of the unit at p, in 0..255
INL b32 quants(Kind k, const uint8_t *p, int s) {
  const uint8_t *b = superblock(k) ? p : p + s * block_bytes(k);
  switch (k) {
    case Q4_0: return nibbles(b + 2);
    case Q4_1: return nibbles(b + 4);
    case Q5_0: return nibbles(b + 6) | sixteens(b + 2);
    case Q5_1: return nibbles(b + 8) | sixteens(b + 4);
    case Q8_0: return bytes32(b + 2) ^ 128;
    case Q8_1: return bytes32(b + 4) ^ 128;
    case IQ4_NL: return looked_up(table_nl, nibbles(b + 2));
    case MXFP4: return looked_up(table_fp4, nibbles(b + 1));
    case Q2_K: return shifted(bytes32(b + 16 + s / 4 * 32), 2 * (s & 3), 3);
    case Q3_K: {
      b32 low = shifted(bytes32(b + 32 + s / 4 * 32), 2 * (s & 3), 3), high = shifted(bytes32(b), s, 1);
      return low | (b32)((q32)high << 2);
    }
    case Q4_K: return shifted(bytes32(b + 16 + s / 2 * 32), 4 * (s & 1), 15);
    case Q5_K: {
      b32 high = shifted(bytes32(b + 16), s, 1);
      return shifted(bytes32(b + 48 + s / 2 * 32), 4 * (s & 1), 15) | (b32)((q32)high << 4);
    }
    case Q6_K: {
      int n = s / 4, r = s & 3;
      b32 high = shifted(bytes32(b + 128 + 32 * n), 2 * r, 3);
      return shifted(bytes32(b + 64 * n + 32 * (r & 1)), 4 * (r / 2), 15) | (b32)((q32)high << 4);
    }
    case Q8_K: return bytes32(b + 4 + 32 * s) ^ 128;
    default: return looked_up(table_nl, nibbles(b + 8 + 16 * s));
  }
}

// to[16] = d times signed bytes
INL void times16(float *to, float d, b16 v) {
#if defined(__AVX2__)
  _mm256_storeu_ps(to, _mm256_mul_ps(_mm256_set1_ps(d), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32((__m128i)v))));
  _mm256_storeu_ps(to + 8, _mm256_mul_ps(_mm256_set1_ps(d), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128((__m128i)v, 8)))));
#else
  for (int i = 0; i < 16; i++) to[i] = d * (float)(int8_t)v[i];
#endif
}

// The scales, and lows, of a unit: 8, or 16 of a halved kind; of its first n groups only
INL void scales_of(Kind k, const uint8_t *p, int n, float *scale, float *low) {
  const int bytes = block_bytes(k);
  switch (k) {
    case Q4_0: case Q5_0: case Q8_0: case Q8_1: case IQ4_NL: case Q4_1: case Q5_1:
      if (n == 8) {
        h8 h = halves8(p, bytes);
#if defined(__F16C__)
        _mm256_storeu_ps(scale, _mm256_cvtph_ps((__m128i)h));
#else
        for (int i = 0; i < 8; i++) scale[i] = f32_of_f16(h[i]);
#endif
        if (lifted(k)) {
          h = halves8(p + 2, bytes);
#if defined(__F16C__)
          _mm256_storeu_ps(low, _mm256_cvtph_ps((__m128i)h));
#else
          for (int i = 0; i < 8; i++) low[i] = f32_of_f16(h[i]);
#endif
        }
      } else {
        for (int i = 0; i < n; i++) {
          scale[i] = half_at(p + i * bytes);
          if (lifted(k)) low[i] = half_at(p + i * bytes + 2);
        }
        for (int i = n; i < 8; i++) scale[i] = low[i] = 0;
      }
      return;
    case MXFP4:
      if (n == 8) {
#define POWER(i) (p[(i) * bytes] < 2 ? 0x00200000u << p[(i) * bytes] : (uint32_t)(p[(i) * bytes] - 1) << 23)
        *(f8u *)scale = (f8)(i8){(int)POWER(0), (int)POWER(1), (int)POWER(2), (int)POWER(3), (int)POWER(4), (int)POWER(5), (int)POWER(6), (int)POWER(7)};
#undef POWER
      } else {
        for (int i = 0; i < 8; i++) {
          uint32_t e = i < n ? p[i * bytes] : 0;
          scale[i] = i < n ? of_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23) : 0;
        }
      }
      return;
    case Q2_K: {
      float d = half_at(p + 80), m = half_at(p + 82);
      b16 v = *(const b16u *)p;
      times16(scale, d, v & 15), times16(low, -m, v >> 4);
      return;
    }
    case Q3_K: {
      float d = half_at(p + 108);
      uint32_t a, b, c;
      memcpy(&a, p + 96, 4), memcpy(&b, p + 100, 4), memcpy(&c, p + 104, 4);
      u4 four = (u4){a, b, a >> 4, b >> 4} & 0x0f0f0f0f, two = ((u4){c, c, c, c} >> (u4){0, 2, 4, 6}) & 0x03030303;
      times16(scale, d, (b16)(four | two << 4) - 32);
      return;
    }
    case Q4_K: case Q5_K: {
      float d = half_at(p), m = half_at(p + 2);
      uint32_t a, b, c;
      memcpy(&a, p + 4, 4), memcpy(&b, p + 8, 4), memcpy(&c, p + 12, 4);
      uint32_t s[2] = {a & 0x3f3f3f3f, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)};
      uint32_t o[2] = {b & 0x3f3f3f3f, (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)};
#if defined(__AVX2__)
      __m256 sc = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)s)));
      __m256 of = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)o)));
      _mm256_storeu_ps(scale, _mm256_mul_ps(_mm256_set1_ps(d), sc));
      _mm256_storeu_ps(low, _mm256_mul_ps(_mm256_set1_ps(-m), of));
#else
      for (int i = 0; i < 8; i++) {
        scale[i] = d * (float)(s[i / 4] >> (8 * (i & 3)) & 63);
        low[i] = -(m * (float)(o[i / 4] >> (8 * (i & 3)) & 63));
      }
#endif
      return;
    }
    case Q6_K: {
      float d = half_at(p + 208);
      times16(scale, d, *(const b16u *)(p + 192));
      return;
    }
    case Q8_K: {
      float d;
      memcpy(&d, p, 4);
      for (int i = 0; i < 8; i++) scale[i] = d;
      return;
    }
    default: {  // IQ4_XS
      float d = half_at(p);
      uint16_t high;
      memcpy(&high, p + 2, 2);
      uint32_t l;
      memcpy(&l, p + 4, 4);
      i8 four = ((i8){(int)l, (int)l, (int)l, (int)l, (int)l, (int)l, (int)l, (int)l} >> (i8){0, 4, 8, 12, 16, 20, 24, 28}) & 15;
      i8 two = ((i8){high, high, high, high, high, high, high, high} >> (i8){0, 2, 4, 6, 8, 10, 12, 14}) & 3;
      *(f8u *)scale = __builtin_convertvector((four | two << 4) - 32, f8) * d;
    }
  }
}
#endif
