/* Functions of a vector of floats.  Errors, against the exact value, in units of the last place (found by tests/test_vmath.py):
   exp 1.1, log 1.0, tanh 1.7, erf 1.1, sigmoid 2.6, log1p 2.5, expm1 3.5; sin and cos 1.1 below 8192 (beyond, they are computed in
   double precision).  Coefficients of exp, log, tanh, sin and cos: S. Moshier, Cephes; of erf: N. Juffa (2010). */
#ifndef CANDLE_VMATH_H
#define CANDLE_VMATH_H

#include "vector.h"

INLINE vf v_abs(vf x) { return (vf)((vu)x & 0x7fffffff); }
INLINE vf v_copysign(vf x, vf s) { return (vf)(((vu)x & 0x7fffffff) | ((vu)s & 0x80000000u)); }

INLINE vf v_exp(vf x) {
    vf t = vf_min(vf_max(x, vf_set(-104.0f)), vf_set(89.0f));
    vf n = vf_round(t * 1.44269504088896341f);
    vf r = vf_fma(n, vf_set(-0.693359375f), t);
    r = vf_fma(n, vf_set(2.12194440e-4f), r);
    vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    vf y = vf_fma(p, r * r, r) + 1.0f;
#if defined(__AVX512F__)
    y = (vf)_mm512_scalef_ps((__m512)y, (__m512)n);
#else
    vi k = __builtin_convertvector(n, vi), half = k >> 1; /* in two steps, for subnormal results */
    y = y * (vf)((half + 127) << 23) * (vf)((k - half + 127) << 23);
#endif
    return vf_select(x != x, x, y);
}

INLINE vf v_log(vf x) {
    vi small = x < 1.17549435e-38f;
    vf z = vf_select(small, x * 8388608.0f, x);
    vi bits = (vi)z, e = (bits >> 23) - 126;
    vf m = (vf)((bits & 0x007fffff) | 0x3f000000); /* [0.5, 1) */
    vi low = m < 0.707106781186547524f;
    e = e + low - (small & 23);
    m = m + (vf)((vi)m & low) - 1.0f;
    vf f = __builtin_convertvector(e, vf), q = m * m;
    vf p = vf_set(7.0376836292e-2f);
    p = vf_fma(p, m, vf_set(-1.1514610310e-1f));
    p = vf_fma(p, m, vf_set(1.1676998740e-1f));
    p = vf_fma(p, m, vf_set(-1.2420140846e-1f));
    p = vf_fma(p, m, vf_set(1.4249322787e-1f));
    p = vf_fma(p, m, vf_set(-1.6668057665e-1f));
    p = vf_fma(p, m, vf_set(2.0000714765e-1f));
    p = vf_fma(p, m, vf_set(-2.4999993993e-1f));
    p = vf_fma(p, m, vf_set(3.3333331174e-1f));
    vf y = p * m * q;
    y = vf_fma(f, vf_set(-2.12194440e-4f), y);
    y = vf_fma(q, vf_set(-0.5f), y);
    y = vf_fma(f, vf_set(0.693359375f), m + y);
    y = vf_select(x == 0.0f, vf_set(-INFINITY), y);
    y = vf_select(x == INFINITY, x, y);
    return vf_select(x >= 0.0f, y, vf_set(NAN));
}

INLINE vf v_log1p(vf x) { /* Kahan's correction of what 1 + x rounds away */
    vf w = 1.0f + x;
    vf y = v_log(w) * (x / (w - 1.0f));
    y = vf_select(w == 1.0f, x, y);
    return vf_select(w == INFINITY, w, y);
}
INLINE vf v_expm1(vf x) {
    vf w = v_exp(x), d = w - 1.0f;
    vf y = d * (x / v_log(w));
    y = vf_select(w == 1.0f, x, y);
    y = vf_select(d == -1.0f, d, y);
    y = vf_select(v_abs(x) > 1.0f, d, y);
    return vf_select(w == INFINITY, w, y);
}

INLINE vf v_tanh(vf x) {
    vf a = v_abs(x), z = x * x;
    vf p = vf_set(-5.70498872745e-3f);
    p = vf_fma(p, z, vf_set(2.06390887954e-2f));
    p = vf_fma(p, z, vf_set(-5.37397155531e-2f));
    p = vf_fma(p, z, vf_set(1.33314422036e-1f));
    p = vf_fma(p, z, vf_set(-3.33332819422e-1f));
    vf near = v_copysign(vf_fma(p * z, x, x), x); /* the sum loses the sign of a zero */
    vf far = v_copysign(1.0f - 2.0f / (v_exp(a + a) + 1.0f), x);
    return vf_select(a < 0.625f, near, far);
}

INLINE vf v_sigmoid(vf x) {
    vf e = v_exp(-v_abs(x)), d = 1.0f / (1.0f + e);
    return vf_select(x < 0.0f, e * d, d);
}

INLINE vf v_erf(vf x) {
    vf t = v_abs(x), s = x * x;
    vf u = vf_min(t, vf_set(10.0f)), v = u * u;
    vf r = vf_fma(vf_set(-1.72853470e-5f), u, vf_set(3.83197126e-4f));
    vf w = vf_fma(vf_set(-3.88396438e-3f), u, vf_set(2.42546219e-2f));
    r = vf_fma(r, v, w);
    r = vf_fma(r, u, vf_set(-1.06777877e-1f));
    r = vf_fma(r, u, vf_set(-6.34846687e-1f));
    r = vf_fma(r, u, vf_set(-1.28717512e-1f));
    r = vf_fma(r, u, -u);
    vf far = v_copysign(1.0f - v_exp(r), x);
    vf p = vf_set(-5.96761703e-4f);
    p = vf_fma(p, s, vf_set(4.99119423e-3f));
    p = vf_fma(p, s, vf_set(-2.67681349e-2f));
    p = vf_fma(p, s, vf_set(1.12819925e-1f));
    p = vf_fma(p, s, vf_set(-3.76125336e-1f));
    p = vf_fma(p, s, vf_set(1.28379166e-1f));
    vf near = vf_fma(p, x, x);
    return vf_select(t > 0.927734375f, far, vf_select(x != x, x, near));
}

/* sin where which is 0, cos where it is 1 */
INLINE vf v_circular(vf x, int which) {
    vf a = v_abs(x);
    vf n = vf_round(x * 0.636619772367581343f);
#if defined(__FMA__) || defined(__ARM_NEON)
    vf r = vf_fma(n, vf_set(-1.5707963705062866f), x);
    r = vf_fma(n, vf_set(4.371139000186241e-08f), r);
    r = vf_fma(n, vf_set(1.7151245100059374e-15f), r);
#else
    vf r = x - n * 1.5703125f;
    r = r - n * 4.837512969970703125e-4f;
    r = r - n * 7.54978995489188e-8f;
#endif
    vf z = r * r;
    vf s = vf_set(-1.9515295891e-4f);
    s = vf_fma(s, z, vf_set(8.3321608736e-3f));
    s = vf_fma(s, z, vf_set(-1.6666654611e-1f));
    s = vf_fma(s * z, r, r);
    vf c = vf_set(2.443315711809948e-5f);
    c = vf_fma(c, z, vf_set(-1.388731625493765e-3f));
    c = vf_fma(c, z, vf_set(4.166664568298827e-2f));
    c = vf_fma(c * z, z, vf_fma(z, vf_set(-0.5f), vf_set(1.0f)));
    vi q = __builtin_convertvector(vf_select(a < 1e9f, n, vf_set(0.0f)), vi) + which;
    vf y = vf_select((q & 1) != 0, c, s);
    y = (vf)((vi)y ^ ((q & 2) << 30));
    vi far = a >= 8192.0f;
    bool any = false;
    for (int i = 0; i < VF; i++) any |= far[i] != 0;
    if (UNLIKELY(any))
        for (int i = 0; i < VF; i++)
            if (far[i]) y[i] = (float)(which ? cos((double)x[i]) : sin((double)x[i]));
    return vf_select(x != x, x, vf_select((x == 0.0f) & (vi_set(which) == 0), x, y));
}

INLINE vf v_floor(vf x) {
#if defined(__AVX512F__)
    return (vf)_mm512_roundscale_ps((__m512)x, 9);
#elif defined(__AVX2__)
    return (vf)_mm256_round_ps((__m256)x, 9);
#elif defined(__SSE4_1__)
    return (vf)_mm_round_ps((__m128)x, 9);
#else
    for (int i = 0; i < VF; i++) x[i] = floorf(x[i]);
    return x;
#endif
}

INLINE vf v_gelu(vf x) {
    vf h = 0.5f * x;
    vf y = vf_fma(h, v_erf(x * 0.70710678118654752f), h);
    return vf_select(x < -13.0f, x * 0.0f, y);
}
INLINE vf v_gelu_tanh(vf x) {
    vf u = 0.79788456080286536f * vf_fma(x * x * x, vf_set(0.044715f), x), h = 0.5f * x;
    return vf_fma(h, v_tanh(u), h);
}

#endif
