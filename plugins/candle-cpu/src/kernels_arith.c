/* Arithmetic, comparisons, logic and bits of every dtype, as loops that the compiler makes vectors of. */
#include "elementwise.h"
#include "vector.h"

#define HEADER(name, s)                                                                                                          \
    static void name##_##s(int64_t n, void *y_, const void *a_, const void *b_, const void *c_, const double *p)
#define UNUSED (void)b_, (void)c_, (void)p
#define EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

#define UNARY(name, s, T, R, F)                                                                                                  \
    HEADER(name, s) {                                                                                                            \
        UNUSED;                                                                                                                  \
        R *y = y_;                                                                                                               \
        const T *a = a_;                                                                                                         \
        EACH {                                                                                                                   \
            const T x = a[i];                                                                                                    \
            y[i] = (R)(F);                                                                                                       \
        }                                                                                                                        \
    }
#define BINARY(name, s, T, R, F)                                                                                                 \
    HEADER(name, s) {                                                                                                            \
        UNUSED;                                                                                                                  \
        R *y = y_;                                                                                                               \
        const T *a = a_, *b = b_;                                                                                                \
        EACH {                                                                                                                   \
            const T x = a[i], z = b[i];                                                                                          \
            y[i] = (R)(F);                                                                                                       \
        }                                                                                                                        \
    }
#define TERNARY(name, s, T, R, F)                                                                                                \
    HEADER(name, s) {                                                                                                            \
        UNUSED;                                                                                                                  \
        R *y = y_;                                                                                                               \
        const T *a = a_, *b = b_, *c = c_;                                                                                       \
        EACH {                                                                                                                   \
            const T x = a[i], z = b[i], w = c[i];                                                                                \
            y[i] = (R)(F);                                                                                                       \
        }                                                                                                                        \
    }

/* suffix, type, an unsigned type in which sums wrap (for floats: itself) */
#define SIGNED(M, ...) M(i8, int8_t, uint8_t, __VA_ARGS__) M(i16, int16_t, uint16_t, __VA_ARGS__) M(i32, int32_t, uint32_t, __VA_ARGS__) M(i64, int64_t, uint64_t, __VA_ARGS__)
#define UNSIGNED(M, ...) M(u8, uint8_t, uint8_t, __VA_ARGS__) M(u16, uint16_t, uint16_t, __VA_ARGS__) M(u32, uint32_t, uint32_t, __VA_ARGS__) M(u64, uint64_t, uint64_t, __VA_ARGS__)
#define FLOATING(M, ...) M(f32, float, float, __VA_ARGS__) M(f64, double, double, __VA_ARGS__)
#define LOGICAL(M, ...) M(b8, uint8_t, uint8_t, __VA_ARGS__)
#define WHOLE(M, ...) SIGNED(M, __VA_ARGS__) UNSIGNED(M, __VA_ARGS__)
#define REAL(M, ...) WHOLE(M, __VA_ARGS__) FLOATING(M, __VA_ARGS__)

#define DEF_NEG(s, T, U, ...) UNARY(neg, s, T, T, (U)0 - (U)x)
#define DEF_ADD(s, T, U, ...) BINARY(add, s, T, T, (U)((U)x + (U)z))
#define DEF_SUB(s, T, U, ...) BINARY(sub, s, T, T, (U)((U)x - (U)z))
#define DEF_MUL(s, T, U, ...) BINARY(mul, s, T, T, (U)((U)x * (U)z))
WHOLE(DEF_NEG)
UNARY(neg, f32, float, float, -x)
UNARY(neg, f64, double, double, -x)
REAL(DEF_ADD)
REAL(DEF_SUB)
SIGNED(DEF_MUL) FLOATING(DEF_MUL)
UNSIGNED(DEF_MUL)
BINARY(add, b8, uint8_t, uint8_t, x | z)
BINARY(mul, b8, uint8_t, uint8_t, x & z)
BINARY(div, f32, float, float, x / z)
BINARY(div, f64, double, double, x / z)
UNARY(reciprocal, f32, float, float, 1 / x)
UNARY(reciprocal, f64, double, double, 1 / x)
UNARY(square, f32, float, float, x *x)
UNARY(square, f64, double, double, x *x)

#define DEF_ABS_S(s, T, U, ...) UNARY(abs, s, T, T, x < 0 ? (U)0 - (U)x : (U)x)
#define DEF_SIGN(s, T, U, ...) UNARY(sign, s, T, T, (x > 0) - (x < 0))
SIGNED(DEF_ABS_S)
UNARY(abs, f32, float, float, fabsf(x))
UNARY(abs, f64, double, double, fabs(x))
REAL(DEF_SIGN)

/* floats: NaN where either is NaN; fmax and fmin: the other */
#define DEF_MAX(s, T, U, ...)                                                                                                    \
    BINARY(maximum, s, T, T, x > z ? x : z)                                                                                      \
    BINARY(minimum, s, T, T, x < z ? x : z)                                                                                      \
    TERNARY(clamp, s, T, T, (x > z ? x : z) < w ? (x > z ? x : z) : w)
#define DEF_MAX_F(s, T, U, ...)                                                                                                  \
    BINARY(maximum, s, T, T, (x > z) | (x != x) ? x : z)                                                                         \
    BINARY(minimum, s, T, T, (x < z) | (x != x) ? x : z)                                                                         \
    BINARY(fmax, s, T, T, (x >= z) | (z != z) ? x : z)                                                                           \
    BINARY(fmin, s, T, T, (x <= z) | (z != z) ? x : z)                                                                           \
    TERNARY(clamp, s, T, T, ((x > z) | (x != x) ? x : z) < w || ((x > z) | (x != x) ? x : z) != ((x > z) | (x != x) ? x : z)     \
                                ? ((x > z) | (x != x) ? x : z)                                                                   \
                                : w)
WHOLE(DEF_MAX)
LOGICAL(DEF_MAX)
FLOATING(DEF_MAX_F)
#define DEF_RELU(s, T, U, ...) UNARY(relu, s, T, T, x > 0 ? x : 0)
WHOLE(DEF_RELU)
UNARY(relu, f32, float, float, (x > 0) | (x != x) ? x : 0)
UNARY(relu, f64, double, double, (x > 0) | (x != x) ? x : 0)

/* division with remainders: x / 0 is 0 for whole numbers, as is its remainder */
#define DEF_DIVIDE_U(s, T, U, ...)                                                                                               \
    BINARY(floor_divide, s, T, T, z ? x / z : 0)                                                                                 \
    BINARY(trunc_divide, s, T, T, z ? x / z : 0)                                                                                 \
    BINARY(remainder, s, T, T, z ? x % z : 0)                                                                                    \
    BINARY(fmod, s, T, T, z ? x % z : 0)
#define DEF_DIVIDE_S(s, T, U, ...)                                                                                               \
    static inline T floor_of_##s(T x, T z) {                                                                                     \
        if (z == 0) return 0;                                                                                                    \
        if (z == -1) return (T)((U)0 - (U)x);                                                                                    \
        T q = (T)(x / z);                                                                                                        \
        return (T)(q - ((x % z != 0) & ((x < 0) != (z < 0))));                                                                   \
    }                                                                                                                            \
    static inline T rest_of_##s(T x, T z) {                                                                                      \
        if (z == 0 || z == -1) return 0;                                                                                         \
        T r = (T)(x % z);                                                                                                        \
        return (T)(r != 0 && (r < 0) != (z < 0) ? r + z : r);                                                                    \
    }                                                                                                                            \
    BINARY(floor_divide, s, T, T, floor_of_##s(x, z))                                                                            \
    BINARY(trunc_divide, s, T, T, z == 0 ? 0 : z == -1 ? (T)((U)0 - (U)x) : x / z)                                               \
    BINARY(remainder, s, T, T, rest_of_##s(x, z))                                                                                \
    BINARY(fmod, s, T, T, z == 0 || z == -1 ? 0 : x % z)
UNSIGNED(DEF_DIVIDE_U)
SIGNED(DEF_DIVIDE_S)
/* floats: as Python's and NumPy's floor division does, which keeps a - remainder an exact multiple */
#define DEF_DIVIDE_F(s, T, FMOD, FLOOR, TRUNC, COPYSIGN)                                                                         \
    static inline T rest_of_##s(T x, T z) {                                                                                      \
        T r = FMOD(x, z);                                                                                                        \
        if (z == 0) return r;                                                                                                    \
        if (r != 0) return (r < 0) != (z < 0) ? r + z : r;                                                                       \
        return COPYSIGN(0, z);                                                                                                   \
    }                                                                                                                            \
    static inline T floor_of_##s(T x, T z) {                                                                                     \
        if (z == 0) return x / z;                                                                                                \
        T r = FMOD(x, z), q = (x - r) / z;                                                                                       \
        if (r != 0 && (r < 0) != (z < 0)) q -= 1;                                                                                \
        if (q == 0) return COPYSIGN(0, x / z);                                                                                   \
        T whole = FLOOR(q);                                                                                                      \
        return q - whole > (T)0.5 ? whole + 1 : whole;                                                                           \
    }                                                                                                                            \
    BINARY(floor_divide, s, T, T, floor_of_##s(x, z))                                                                            \
    BINARY(trunc_divide, s, T, T, TRUNC(x / z))                                                                                  \
    BINARY(remainder, s, T, T, rest_of_##s(x, z))                                                                                \
    BINARY(fmod, s, T, T, FMOD(x, z))
DEF_DIVIDE_F(f32, float, fmodf, floorf, truncf, copysignf)
DEF_DIVIDE_F(f64, double, fmod, floor, trunc, copysign)

/* powers: of whole numbers by squaring, to a negative exponent 0 unless the base is 1 or -1 */
#define DEF_POW(s, T, U, ...)                                                                                                    \
    static inline T power_##s(T x, T z) {                                                                                        \
        if ((T)-1 < 0 && z < 0) return x == 1 ? 1 : (T)-1 < 0 && x == (T)-1 ? (z & 1 ? x : 1) : 0;                               \
        uint64_t base = (uint64_t)x, y = 1;                                                                                      \
        for (uint64_t e = (uint64_t)z; e; e >>= 1, base *= base)                                                                 \
            if (e & 1) y *= base;                                                                                                \
        return (T)y;                                                                                                             \
    }                                                                                                                            \
    BINARY(pow, s, T, T, power_##s(x, z))
WHOLE(DEF_POW)
HEADER(pow, f32) {
    UNUSED;
    float *y = y_;
    const float *a = a_, *b = b_;
    bool same = true;
    for (int64_t i = 1; i < n; i++) same &= b[i] == b[0];
    if (n && same && b[0] == 2) EACH y[i] = a[i] * a[i];
    else if (n && same && b[0] == 3) EACH y[i] = a[i] * a[i] * a[i];
    else if (n && same && b[0] == 1) EACH y[i] = a[i];
    else if (n && same && b[0] == -1) EACH y[i] = 1 / a[i];
    else EACH y[i] = powf(a[i], b[i]);
}
HEADER(pow, f64) {
    UNUSED;
    double *y = y_;
    const double *a = a_, *b = b_;
    EACH y[i] = b[i] == 2 ? a[i] * a[i] : pow(a[i], b[i]);
}
BINARY(atan2, f32, float, float, atan2f(x, z))
BINARY(atan2, f64, double, double, atan2(x, z))
BINARY(hypot, f32, float, float, hypotf(x, z))
BINARY(hypot, f64, double, double, hypot(x, z))
BINARY(copysign, f32, float, float, copysignf(x, z))
BINARY(copysign, f64, double, double, copysign(x, z))
BINARY(nextafter, f32, float, float, nextafterf(x, z))
BINARY(nextafter, f64, double, double, nextafter(x, z))
static inline double logadd(double x, double z) {
    if (x == z) return x + 0.69314718055994530942;
    double high = x > z ? x : z, low = x > z ? z : x;
    return x != x || z != z ? x + z : high + log1p(exp(low - high));
}
static inline double logadd2(double x, double z) {
    if (x == z) return x + 1;
    double high = x > z ? x : z, low = x > z ? z : x;
    return x != x || z != z ? x + z : high + log1p(exp2(low - high)) * 1.44269504088896340736;
}
BINARY(logaddexp, f32, float, float, logadd(x, z))
BINARY(logaddexp, f64, double, double, logadd(x, z))
BINARY(logaddexp2, f32, float, float, logadd2(x, z))
BINARY(logaddexp2, f64, double, double, logadd2(x, z))

#define DEF_GCD(s, T, U, ...)                                                                                                    \
    static inline U gcd_of_##s(T x, T z) {                                                                                       \
        U a = x < 0 ? (U)((U)0 - (U)x) : (U)x, b = z < 0 ? (U)((U)0 - (U)z) : (U)z;                                              \
        while (b) {                                                                                                              \
            U r = (U)(a % b);                                                                                                    \
            a = b, b = r;                                                                                                        \
        }                                                                                                                        \
        return a;                                                                                                                \
    }                                                                                                                            \
    static inline T lcm_of_##s(T x, T z) {                                                                                       \
        U g = gcd_of_##s(x, z);                                                                                                  \
        U a = x < 0 ? (U)((U)0 - (U)x) : (U)x, b = z < 0 ? (U)((U)0 - (U)z) : (U)z;                                              \
        return g ? (T)(U)(a / g * b) : 0;                                                                                        \
    }                                                                                                                            \
    BINARY(gcd, s, T, T, gcd_of_##s(x, z))                                                                                       \
    BINARY(lcm, s, T, T, lcm_of_##s(x, z))
WHOLE(DEF_GCD)

#define DEF_COMPARE(s, T, U, ...)                                                                                                \
    BINARY(eq, s, T, uint8_t, x == z)                                                                                            \
    BINARY(ne, s, T, uint8_t, x != z)                                                                                            \
    BINARY(lt, s, T, uint8_t, x < z)                                                                                             \
    BINARY(le, s, T, uint8_t, x <= z)                                                                                             \
    BINARY(gt, s, T, uint8_t, x > z)                                                                                             \
    BINARY(ge, s, T, uint8_t, x >= z)
REAL(DEF_COMPARE)
#define DEF_COMPARE_C(s, T)                                                                                                      \
    BINARY(eq, s, T, uint8_t, (x.re == z.re) & (x.im == z.im))                                                                   \
    BINARY(ne, s, T, uint8_t, (x.re != z.re) | (x.im != z.im))
DEF_COMPARE_C(c64, c64_t)
DEF_COMPARE_C(c128, c128_t)

#define DEF_COMPLEX(s, T, R)                                                                                                     \
    HEADER(add, s) { UNUSED; T *y = y_; const T *a = a_, *b = b_; EACH y[i] = (T){a[i].re + b[i].re, a[i].im + b[i].im}; }       \
    HEADER(sub, s) { UNUSED; T *y = y_; const T *a = a_, *b = b_; EACH y[i] = (T){a[i].re - b[i].re, a[i].im - b[i].im}; }       \
    HEADER(mul, s) {                                                                                                             \
        UNUSED;                                                                                                                  \
        T *y = y_;                                                                                                               \
        const T *a = a_, *b = b_;                                                                                                \
        EACH y[i] = (T){a[i].re * b[i].re - a[i].im * b[i].im, a[i].re * b[i].im + a[i].im * b[i].re};                           \
    }                                                                                                                            \
    HEADER(neg, s) { UNUSED; T *y = y_; const T *a = a_; EACH y[i] = (T){-a[i].re, -a[i].im}; }                                  \
    HEADER(conj_physical, s) { UNUSED; T *y = y_; const T *a = a_; EACH y[i] = (T){a[i].re, -a[i].im}; }                         \
    HEADER(real, s) { UNUSED; R *y = y_; const T *a = a_; EACH y[i] = a[i].re; }                                                 \
    HEADER(imag, s) { UNUSED; R *y = y_; const T *a = a_; EACH y[i] = a[i].im; }                                                 \
    HEADER(complex, s) { UNUSED; T *y = y_; const R *a = a_, *b = b_; EACH y[i] = (T){a[i], b[i]}; }
DEF_COMPLEX(c64, c64_t, float)
DEF_COMPLEX(c128, c128_t, double)

#define DEF_TEST(s, T)                                                                                                           \
    UNARY(isnan, s, T, uint8_t, x != x)                                                                                          \
    UNARY(isinf, s, T, uint8_t, (x == (T)INFINITY) | (x == -(T)INFINITY))                                                        \
    UNARY(isfinite, s, T, uint8_t, (x < (T)INFINITY) & (x > -(T)INFINITY))                                                       \
    UNARY(signbit, s, T, uint8_t, signbit(x) != 0)
DEF_TEST(f32, float)
DEF_TEST(f64, double)

UNARY(logical_not, b8, uint8_t, uint8_t, !x)
BINARY(logical_and, b8, uint8_t, uint8_t, x & z)
BINARY(logical_or, b8, uint8_t, uint8_t, x | z)
BINARY(logical_xor, b8, uint8_t, uint8_t, x ^ z)

#define DEF_BITS(s, T, U, ...)                                                                                                   \
    BINARY(and, s, U, U, x & z) BINARY(or, s, U, U, x | z) BINARY(xor, s, U, U, x ^ z) UNARY(not, s, U, U, ~x)                   \
    BINARY(left, s, U, U, z < 8 * sizeof(U) ? (U)(x << z) : 0)
UNSIGNED(DEF_BITS)
#define DEF_RIGHT_U(s, T, U, ...) BINARY(right, s, T, T, z < (T)(8 * sizeof(T)) ? (T)(x >> z) : 0)
#define DEF_RIGHT_S(s, T, U, ...) BINARY(right, s, T, T, (U)z < 8 * sizeof(T) ? x >> z : x < 0 ? -1 : 0)
UNSIGNED(DEF_RIGHT_U)
SIGNED(DEF_RIGHT_S)

/* where: the bits of one or the other, by the size of an element */
#define DEF_WHERE(s, T, ...)                                                                                                     \
    HEADER(where, s) {                                                                                                           \
        (void)p;                                                                                                                 \
        T *y = y_;                                                                                                               \
        const uint8_t *a = a_;                                                                                                   \
        const T *b = b_, *c = c_;                                                                                                \
        EACH y[i] = a[i] ? b[i] : c[i];                                                                                          \
    }
DEF_WHERE(u8, uint8_t)
DEF_WHERE(u16, uint16_t)
DEF_WHERE(u32, uint32_t)
DEF_WHERE(u64, uint64_t)
DEF_WHERE(c128, c128_t)

HEADER(addcmul, f32) {
    float *y = y_;
    const float *a = a_, *b = b_, *c = c_;
    const float v = (float)p[0];
    EACH y[i] = a[i] + v * (b[i] * c[i]);
}
HEADER(addcdiv, f32) {
    float *y = y_;
    const float *a = a_, *b = b_, *c = c_;
    const float v = (float)p[0];
    EACH y[i] = a[i] + v * (b[i] / c[i]);
}

#define BOOLEAN (D_BOOL + 1)
#define R1(name, s, dtype) {#name, dtype, elementwise_run, &(const Block){name##_##s, 1, 0, {SAME}, SAME}},
#define R2(name, s, dtype) {#name, dtype, elementwise_run, &(const Block){name##_##s, 2, 0, {SAME, SAME}, SAME}},
#define R2C(name, s, dtype, cost) {#name, dtype, elementwise_run, &(const Block){name##_##s, 2, cost, {SAME, SAME}, SAME}},
#define R3(name, s, dtype) {#name, dtype, elementwise_run, &(const Block){name##_##s, 3, 0, {SAME, SAME, SAME}, SAME}},
#define T1(name, s, dtype) {#name, dtype, elementwise_run, &(const Block){name##_##s, 1, 0, {SAME}, BOOLEAN}},
#define T2(name, s, dtype) {#name, dtype, elementwise_run, &(const Block){name##_##s, 2, 0, {SAME, SAME}, BOOLEAN}},
#define NAMED2(name, fn, s, dtype) {name, dtype, elementwise_run, &(const Block){fn##_##s, 2, 0, {SAME, SAME}, SAME}},
#define NAMED1(name, fn, s, dtype) {name, dtype, elementwise_run, &(const Block){fn##_##s, 1, 0, {SAME}, SAME}},

#define COMMON(s, d)                                                                                                             \
    R1(neg, s, d) R2(add, s, d) R2(sub, s, d) R2(mul, s, d) R1(sign, s, d) R3(clamp, s, d) R2(maximum, s, d) R2(minimum, s, d) R1(relu, s, d)    \
    R2C(floor_divide, s, d, 20) R2C(trunc_divide, s, d, 10) R2C(remainder, s, d, 20) R2C(fmod, s, d, 20) R2C(pow, s, d, 40)      \
    T2(eq, s, d) T2(ne, s, d) T2(lt, s, d) T2(le, s, d) T2(gt, s, d) T2(ge, s, d)
#define BITS(s, u, d)                                                                                                            \
    NAMED2("bitwise_and", and, u, d) NAMED2("bitwise_or", or, u, d) NAMED2("bitwise_xor", xor, u, d)                             \
    NAMED1("bitwise_not", not, u, d) NAMED2("bitwise_left_shift", left, u, d) NAMED2("bitwise_right_shift", right, s, d)         \
    R2C(gcd, s, d, 60) R2C(lcm, s, d, 60) NAMED2("fmax", maximum, s, d) NAMED2("fmin", minimum, s, d)
#define FLOATS(s, d)                                                                                                             \
    R1(abs, s, d) R2(div, s, d) R1(reciprocal, s, d) R1(square, s, d) R2(fmax, s, d) R2(fmin, s, d)              \
    R2C(atan2, s, d, 80) R2C(hypot, s, d, 30) R2(copysign, s, d) R2(nextafter, s, d) R2C(logaddexp, s, d, 100)                   \
    R2C(logaddexp2, s, d, 100) T1(isnan, s, d) T1(isinf, s, d) T1(isfinite, s, d) T1(signbit, s, d)
#define COMPLEX_ROWS(s, d, part)                                                                                                 \
    R1(neg, s, d) R2(add, s, d) R2(sub, s, d) R2(mul, s, d) R1(conj_physical, s, d) T2(eq, s, d) T2(ne, s, d)                    \
    {"real", d, elementwise_run, &(const Block){real_##s, 1, 0, {SAME}, part + 1}},                                              \
    {"imag", d, elementwise_run, &(const Block){imag_##s, 1, 0, {SAME}, part + 1}},                                              \
    {"complex", part, elementwise_run, &(const Block){complex_##s, 2, 0, {SAME, SAME}, d + 1}},
#define WHERE(s, d) {"where", d, elementwise_run, &(const Block){where_##s, 3, 0, {BOOLEAN, RAW, RAW}, RAW}},

const KernelEntry ISA_NAME(table_arith)[] = {
    COMMON(f32, D_F32) FLOATS(f32, D_F32) R3(addcmul, f32, D_F32) R3(addcdiv, f32, D_F32)
    COMMON(f64, D_F64) FLOATS(f64, D_F64)
    COMMON(i8, D_I8) BITS(i8, u8, D_I8) R1(abs, i8, D_I8)
    COMMON(i16, D_I16) BITS(i16, u16, D_I16) R1(abs, i16, D_I16)
    COMMON(i32, D_I32) BITS(i32, u32, D_I32) R1(abs, i32, D_I32)
    COMMON(i64, D_I64) BITS(i64, u64, D_I64) R1(abs, i64, D_I64)
    COMMON(u8, D_U8) BITS(u8, u8, D_U8)
    COMMON(u16, D_U16) BITS(u16, u16, D_U16)
    COMMON(u32, D_U32) BITS(u32, u32, D_U32)
    COMMON(u64, D_U64) BITS(u64, u64, D_U64)
    R2(add, b8, D_BOOL) R2(mul, b8, D_BOOL) R2(maximum, b8, D_BOOL) R2(minimum, b8, D_BOOL)
    NAMED2("fmax", maximum, b8, D_BOOL) NAMED2("fmin", minimum, b8, D_BOOL)
    T2(eq, u8, D_BOOL) T2(ne, u8, D_BOOL) T2(lt, u8, D_BOOL) T2(le, u8, D_BOOL) T2(gt, u8, D_BOOL) T2(ge, u8, D_BOOL)
    T1(logical_not, b8, D_BOOL) T2(logical_and, b8, D_BOOL) T2(logical_or, b8, D_BOOL) T2(logical_xor, b8, D_BOOL)
    NAMED2("bitwise_and", logical_and, b8, D_BOOL) NAMED2("bitwise_or", logical_or, b8, D_BOOL)
    NAMED2("bitwise_xor", logical_xor, b8, D_BOOL) NAMED1("bitwise_not", logical_not, b8, D_BOOL)
    COMPLEX_ROWS(c64, D_C64, D_F32) COMPLEX_ROWS(c128, D_C128, D_F64)
    WHERE(u8, D_U8) WHERE(u16, D_U16) WHERE(u32, D_U32) WHERE(u64, D_U64) WHERE(c128, D_C128)
    {NULL, 0, NULL, NULL}};
