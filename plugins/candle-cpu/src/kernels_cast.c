/* Conversions between all real dtypes, and the casts that are made of them. */
#include "elementwise.h"
#include "vector.h"

#define LOAD(x) (x)
#define CONVERT(from, F, to, T, EXPR)                                                                                            \
    static void from##_to_##to(int64_t n, void *to_, const void *from_) {                                                        \
        T *y = to_;                                                                                                              \
        const F *a = from_;                                                                                                      \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                                                                   \
            const F x = a[i];                                                                                                    \
            y[i] = EXPR;                                                                                                         \
        }                                                                                                                        \
    }

/* a double rounded to odd, so that rounding it again to a half is as if it were rounded once */
static inline float f32_to_odd(double x) {
    float y = (float)x;
    if ((double)y != x && x == x && !isinf(y)) {
        uint32_t u = bits_of(y);
        if (!(u & 1)) {
            bool away = fabs((double)y) > fabs(x);
            u += away ? -1u : 1u;
            y = of_bits(u);
        }
    }
    return y;
}

/* floats to whole numbers: towards zero; out of range, as NumPy does here: by way of the next wider signed integer */
#define TO_ALL(from, F, X)                                                                                                       \
    CONVERT(from, F, b8, uint8_t, (X) != 0)                                                                                    \
    CONVERT(from, F, u8, uint8_t, (uint8_t)(SMALL(X)))                                                                           \
    CONVERT(from, F, u16, uint16_t, (uint16_t)(SMALL(X)))                                                                        \
    CONVERT(from, F, u32, uint32_t, (uint32_t)(WIDE(X)))                                                                         \
    CONVERT(from, F, u64, uint64_t, (uint64_t)(X))                                                                               \
    CONVERT(from, F, i8, int8_t, (int8_t)(SMALL(X)))                                                                             \
    CONVERT(from, F, i16, int16_t, (int16_t)(SMALL(X)))                                                                          \
    CONVERT(from, F, i32, int32_t, (int32_t)(X))                                                                                 \
    CONVERT(from, F, i64, int64_t, (int64_t)(X))                                                                                 \
    CONVERT(from, F, f64, double, (double)(X))

#define SMALL(x) (x)
#define WIDE(x) (x)
#define WHOLE_TO_HALF(from, F)                                                                                                   \
    CONVERT(from, F, f32, float, (float)x)                                                                                       \
    CONVERT(from, F, f16, f16_t, f16_of_f32((float)x))                                                                           \
    CONVERT(from, F, bf16, bf16_t, bf16_of_f32((float)x))
TO_ALL(b8, uint8_t, x) WHOLE_TO_HALF(b8, uint8_t)
TO_ALL(u8, uint8_t, x) WHOLE_TO_HALF(u8, uint8_t)
TO_ALL(u16, uint16_t, x) WHOLE_TO_HALF(u16, uint16_t)
TO_ALL(u32, uint32_t, x) WHOLE_TO_HALF(u32, uint32_t)
TO_ALL(u64, uint64_t, x) WHOLE_TO_HALF(u64, uint64_t)
TO_ALL(i8, int8_t, x) WHOLE_TO_HALF(i8, int8_t)
TO_ALL(i16, int16_t, x) WHOLE_TO_HALF(i16, int16_t)
TO_ALL(i32, int32_t, x) WHOLE_TO_HALF(i32, int32_t)
TO_ALL(i64, int64_t, x) WHOLE_TO_HALF(i64, int64_t)
#undef SMALL
#undef WIDE
#define SMALL(x) ((int32_t)(x))
#define WIDE(x) ((int64_t)(x))
TO_ALL(f32, float, x)
TO_ALL(f64, double, x)
CONVERT(f64, double, f32, float, (float)x)
CONVERT(f64, double, f16, f16_t, f16_of_f32(f32_to_odd(x)))
CONVERT(f64, double, bf16, bf16_t, bf16_of_f32(f32_to_odd(x)))
TO_ALL(f16, f16_t, f32_of_f16(x))
TO_ALL(bf16, bf16_t, f32_of_bf16(x))
CONVERT(f16, f16_t, bf16, bf16_t, bf16_of_f32(f32_of_f16(x)))
CONVERT(bf16, bf16_t, f16, f16_t, f16_of_f32(f32_of_bf16(x)))

#define HALVES(name)                                                                                                             \
    static void name##_to_f32(int64_t n, void *to, const void *from) {                                                           \
        float *y = to;                                                                                                           \
        const name##_t *a = from;                                                                                                \
        int64_t i = 0;                                                                                                           \
        for (; i + VF <= n; i += VF) vf_store(y + i, vf_load_##name(a + i));                                                     \
        for (; i < n; i++) y[i] = f32_of_##name(a[i]);                                                                           \
    }                                                                                                                            \
    static void f32_to_##name(int64_t n, void *to, const void *from) {                                                           \
        name##_t *y = to;                                                                                                        \
        const float *a = from;                                                                                                   \
        int64_t i = 0;                                                                                                           \
        for (; i + VF <= n; i += VF) vf_store_##name(y + i, vf_load(a + i));                                                     \
        for (; i < n; i++) y[i] = name##_of_f32(a[i]);                                                                           \
    }
HALVES(f16)
HALVES(bf16)

/* complex numbers: real ones get no imaginary part, and lose it */
CONVERT(c64, c64_t, c128, c128_t, ((c128_t){x.re, x.im}))
CONVERT(c128, c128_t, c64, c64_t, ((c64_t){(float)x.re, (float)x.im}))
CONVERT(c64, c64_t, f32, float, x.re)
CONVERT(c128, c128_t, f64, double, x.re)
CONVERT(c64, c64_t, b8, uint8_t, (x.re != 0) | (x.im != 0))
CONVERT(c128, c128_t, b8, uint8_t, (x.re != 0) | (x.im != 0))
CONVERT(f32, float, c64, c64_t, ((c64_t){x, 0}))
CONVERT(f64, double, c128, c128_t, ((c128_t){x, 0}))

#define OF(from, d)                                                                                                              \
    {d, D_BOOL, from##_to_b8}, {d, D_U8, from##_to_u8}, {d, D_U16, from##_to_u16}, {d, D_U32, from##_to_u32},                  \
        {d, D_U64, from##_to_u64}, {d, D_I8, from##_to_i8}, {d, D_I16, from##_to_i16}, {d, D_I32, from##_to_i32},                \
        {d, D_I64, from##_to_i64}, {d, D_F64, from##_to_f64}
#define OF_HALVES(from, d) {d, D_F16, from##_to_f16}, {d, D_BF16, from##_to_bf16}

static const Convert converts[] = {
    OF(b8, D_BOOL), OF_HALVES(b8, D_BOOL), {D_BOOL, D_F32, b8_to_f32}, OF(u8, D_U8), OF_HALVES(u8, D_U8), {D_U8, D_F32, u8_to_f32},
    OF(u16, D_U16), OF_HALVES(u16, D_U16), {D_U16, D_F32, u16_to_f32}, OF(u32, D_U32), OF_HALVES(u32, D_U32), {D_U32, D_F32, u32_to_f32},
    OF(u64, D_U64), OF_HALVES(u64, D_U64), {D_U64, D_F32, u64_to_f32}, OF(i8, D_I8), OF_HALVES(i8, D_I8), {D_I8, D_F32, i8_to_f32},
    OF(i16, D_I16), OF_HALVES(i16, D_I16), {D_I16, D_F32, i16_to_f32}, OF(i32, D_I32), OF_HALVES(i32, D_I32), {D_I32, D_F32, i32_to_f32},
    OF(i64, D_I64), OF_HALVES(i64, D_I64), {D_I64, D_F32, i64_to_f32}, OF(f32, D_F32), OF_HALVES(f32, D_F32), OF(f64, D_F64),
    OF_HALVES(f64, D_F64), {D_F64, D_F32, f64_to_f32}, OF(f16, D_F16), {D_F16, D_F32, f16_to_f32}, {D_F16, D_BF16, f16_to_bf16},
    OF(bf16, D_BF16), {D_BF16, D_F32, bf16_to_f32}, {D_BF16, D_F16, bf16_to_f16}, {D_C64, D_C128, c64_to_c128},
    {D_C128, D_C64, c128_to_c64}, {D_C64, D_F32, c64_to_f32}, {D_C128, D_F64, c128_to_f64}, {D_C64, D_BOOL, c64_to_b8},
    {D_C128, D_BOOL, c128_to_b8}, {D_F32, D_C64, f32_to_c64}, {D_F64, D_C128, f64_to_c128}, {0, 0, NULL}};

/* A cast is the computing of nothing: the driver converts to the result's dtype. */
#define CAST(d) {"cast", d, elementwise_run, &(const Block){NULL, 1, 2, {SAME}, SAME}},
const KernelEntry ISA_NAME(table_cast)[] = {
    {"convert", -1, NULL, converts}, CAST(D_BOOL) CAST(D_U8) CAST(D_U16) CAST(D_U32) CAST(D_U64) CAST(D_I8) CAST(D_I16) CAST(D_I32)
    CAST(D_I64) CAST(D_F16) CAST(D_BF16) CAST(D_F32) CAST(D_F64) CAST(D_C64) CAST(D_C128) {NULL, 0, NULL, NULL}};
