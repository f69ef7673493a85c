/* Functions of one float32: vectors of the instruction set, tails padded; and of one float64, by the C library. */
#include "elementwise.h"
#include "vmath.h"

/* y = F(x), x a vector */
#define VECTOR1(name, F)                                                                                                         \
    static void name##_f32(int64_t n, void *y_, const void *a_, const void *b_, const void *c_, const double *p) {               \
        (void)b_, (void)c_, (void)p;                                                                                             \
        float *y = y_;                                                                                                           \
        const float *a = a_;                                                                                                     \
        int64_t i = 0;                                                                                                           \
        for (; i + VF <= n; i += VF) {                                                                                           \
            vf x = vf_load(a + i);                                                                                               \
            vf_store(y + i, F);                                                                                                  \
        }                                                                                                                        \
        if (i < n) {                                                                                                             \
            vf x = vf_load_part(a + i, n - i);                                                                                   \
            vf_store_part(y + i, F, n - i);                                                                                      \
        }                                                                                                                        \
    }
#define SCALAR1(name, suffix, type, F)                                                                                           \
    static void name##_##suffix(int64_t n, void *y_, const void *a_, const void *b_, const void *c_, const double *p) {          \
        (void)b_, (void)c_, (void)p;                                                                                             \
        type *y = y_;                                                                                                            \
        const type *a = a_;                                                                                                      \
        for (int64_t i = 0; i < n; i++) {                                                                                        \
            type x = a[i];                                                                                                       \
            y[i] = (type)(F);                                                                                                    \
        }                                                                                                                        \
    }
#define P(k) vf_set((float)p[k])

VECTOR1(exp, v_exp(x))
VECTOR1(log, v_log(x))
VECTOR1(tanh, v_tanh(x))
VECTOR1(sigmoid, v_sigmoid(x))
VECTOR1(erf, v_erf(x))
VECTOR1(sin, v_circular(x, 0))
VECTOR1(cos, v_circular(x, 1))
VECTOR1(log1p, v_log1p(x))
VECTOR1(expm1, v_expm1(x))
VECTOR1(sqrt, vf_sqrt(x))
VECTOR1(rsqrt, 1.0f / vf_sqrt(x))
VECTOR1(floor, v_floor(x))
VECTOR1(gelu, v_gelu(x))
VECTOR1(gelu_tanh, v_gelu_tanh(x))
VECTOR1(silu, x *v_sigmoid(x))
VECTOR1(mish, x *v_tanh(vf_max(x, vf_set(0.0f)) + v_log1p(v_exp(-v_abs(x)))))
VECTOR1(softplus, vf_select(x * P(0) > P(1), x, (vf_max(x * P(0), vf_set(0.0f)) + v_log1p(v_exp(-v_abs(x * P(0))))) / P(0)))
VECTOR1(logsigmoid, vf_min(x, vf_set(0.0f)) - v_log1p(v_exp(-v_abs(x))))
VECTOR1(elu, vf_select(x > 0.0f, x, P(0) * v_expm1(vf_min(vf_set(0.0f), x)))) /* NaN second: it is the second that is kept */
VECTOR1(leaky_relu, vf_select(x > 0.0f, x, x *P(0)))
VECTOR1(hardsigmoid, vf_min(vf_set(6.0f), vf_max(vf_set(0.0f), x + 3.0f)) / 6.0f)
VECTOR1(hardswish, x *(vf_min(vf_max(x + 3.0f, vf_set(0.0f)), vf_set(6.0f)) / 6.0f))
VECTOR1(affine, x *P(0) + P(1))
SCALAR1(exp2, f32, float, exp2f(x))
SCALAR1(log2, f32, float, log2f(x))
SCALAR1(log10, f32, float, log10f(x))
SCALAR1(tan, f32, float, tanf(x))
SCALAR1(asin, f32, float, asinf(x))
SCALAR1(acos, f32, float, acosf(x))
SCALAR1(atan, f32, float, atanf(x))
SCALAR1(sinh, f32, float, sinhf(x))
SCALAR1(cosh, f32, float, coshf(x))
SCALAR1(asinh, f32, float, asinhf(x))
SCALAR1(acosh, f32, float, acoshf(x))
SCALAR1(atanh, f32, float, atanhf(x))
SCALAR1(erfc, f32, float, erfcf(x))
SCALAR1(ceil, f32, float, ceilf(x))
SCALAR1(trunc, f32, float, truncf(x))
SCALAR1(round, f32, float, rintf(x))

SCALAR1(exp, f64, double, exp(x))
SCALAR1(log, f64, double, log(x))
SCALAR1(tanh, f64, double, tanh(x))
SCALAR1(sigmoid, f64, double, 1 / (1 + exp(-x)))
SCALAR1(erf, f64, double, erf(x))
SCALAR1(sin, f64, double, sin(x))
SCALAR1(cos, f64, double, cos(x))
SCALAR1(log1p, f64, double, log1p(x))
SCALAR1(expm1, f64, double, expm1(x))
SCALAR1(sqrt, f64, double, sqrt(x))
SCALAR1(rsqrt, f64, double, 1 / sqrt(x))
SCALAR1(floor, f64, double, floor(x))
SCALAR1(gelu, f64, double, 0.5 * x * erfc(-x * 0.70710678118654752440))
SCALAR1(gelu_tanh, f64, double, 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))))
SCALAR1(silu, f64, double, x / (1 + exp(-x)))
SCALAR1(mish, f64, double, x *tanh((x > 0 ? x : 0) + log1p(exp(-fabs(x)))))
SCALAR1(softplus, f64, double, x *p[0] > p[1] ? x : ((x * p[0] > 0 ? x * p[0] : 0) + log1p(exp(-fabs(x * p[0])))) / p[0])
SCALAR1(logsigmoid, f64, double, (x < 0 ? x : 0) - log1p(exp(-fabs(x))))
SCALAR1(elu, f64, double, x > 0 ? x : p[0] * expm1(x))
SCALAR1(leaky_relu, f64, double, x > 0 ? x : x *p[0])
SCALAR1(affine, f64, double, x *p[0] + p[1])
SCALAR1(exp2, f64, double, exp2(x))
SCALAR1(log2, f64, double, log2(x))
SCALAR1(log10, f64, double, log10(x))
SCALAR1(tan, f64, double, tan(x))
SCALAR1(asin, f64, double, asin(x))
SCALAR1(acos, f64, double, acos(x))
SCALAR1(atan, f64, double, atan(x))
SCALAR1(sinh, f64, double, sinh(x))
SCALAR1(cosh, f64, double, cosh(x))
SCALAR1(asinh, f64, double, asinh(x))
SCALAR1(acosh, f64, double, acosh(x))
SCALAR1(atanh, f64, double, atanh(x))
SCALAR1(erfc, f64, double, erfc(x))
SCALAR1(ceil, f64, double, ceil(x))
SCALAR1(trunc, f64, double, trunc(x))
SCALAR1(round, f64, double, rint(x))

#define ROW(name, suffix, dtype, cost) {#name, dtype, elementwise_run, &(const Block){name##_##suffix, 1, cost, {0, 0, 0}, 0}}
#define BOTH(name, cost) ROW(name, f32, D_F32, cost), ROW(name, f64, D_F64, (cost) < 20 ? (cost) : 80)

const KernelEntry ISA_NAME(table_math)[] = {
    BOTH(exp, 8),      BOTH(log, 8),    BOTH(tanh, 12),   BOTH(sigmoid, 10), BOTH(erf, 12),  BOTH(sin, 12),   BOTH(cos, 12),
    BOTH(log1p, 12),   BOTH(expm1, 20), BOTH(sqrt, 4),    BOTH(rsqrt, 6),    BOTH(floor, 0), BOTH(ceil, 0),   BOTH(trunc, 0),
    BOTH(round, 0),    BOTH(gelu, 14),  BOTH(gelu_tanh, 14), BOTH(silu, 10), BOTH(mish, 30), BOTH(softplus, 24), BOTH(logsigmoid, 24),
    BOTH(elu, 20),     BOTH(leaky_relu, 0), BOTH(affine, 0), BOTH(exp2, 40), BOTH(log2, 40), BOTH(log10, 40), BOTH(tan, 60),
    BOTH(asin, 60),    BOTH(acos, 60),  BOTH(atan, 60),   BOTH(sinh, 60),    BOTH(cosh, 60), BOTH(asinh, 80), BOTH(acosh, 80),
    BOTH(atanh, 80),   BOTH(erfc, 80),  ROW(hardsigmoid, f32, D_F32, 2),     ROW(hardswish, f32, D_F32, 2),
    {NULL, 0, NULL, NULL}};
