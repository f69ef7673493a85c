/* Which instruction set to use: the best that the machine has, or the one that is asked for; and the look-up of its kernels. */
#include "elementwise.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint16_t dtype_size[D_COUNT] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16, [D_OPAQUE ... D_COUNT - 1] = 1};

static const char *const names[] = {"bool",  "uint8",   "uint16",   "uint32",  "uint64",  "int8",      "int16",     "int32",
                                    "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};
const char *dtype_name(int dtype) { return dtype >= 0 && dtype < D_OPAQUE ? names[dtype] : "opaque"; }

#define FAMILY(name)                                                                                                             \
    extern const KernelEntry ISA_PASTE(table_##name, ISA_OF)[];
#if defined(__x86_64__)
#define ISA_OF v2
#include "families.h"
#undef ISA_OF
#define ISA_OF avx2
#include "families.h"
#undef ISA_OF
#define ISA_OF avx512
#include "families.h"
#undef ISA_OF
#define ISA_OF avx512vnni
#include "families.h"
#undef ISA_OF
#elif defined(__aarch64__)
#define ISA_OF neon
#include "families.h"
#undef ISA_OF
#else
#define ISA_OF generic
#include "families.h"
#undef ISA_OF
#endif
#undef FAMILY

typedef struct {
    const char *name;
    const KernelEntry *const *tables;
    bool (*supported)(void);
} Isa;

#define FAMILY(name) ISA_PASTE(table_##name, ISA_OF),
#if defined(__x86_64__)
static bool has_v2(void) { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); }
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}
static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
static bool has_avx512vnni(void) {
    return has_avx512() && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
}
#define ISA_OF v2
static const KernelEntry *const tables_v2[] = {
#include "families.h"
    NULL};
#undef ISA_OF
#define ISA_OF avx2
static const KernelEntry *const tables_avx2[] = {
#include "families.h"
    NULL};
#undef ISA_OF
#define ISA_OF avx512
static const KernelEntry *const tables_avx512[] = {
#include "families.h"
    NULL};
#undef ISA_OF
#define ISA_OF avx512vnni
static const KernelEntry *const tables_avx512vnni[] = {
#include "families.h"
    NULL};
static const Isa isas[] = {{"v2", tables_v2, has_v2},
                           {"avx2", tables_avx2, has_avx2},
                           {"avx512", tables_avx512, has_avx512},
                           {"avx512vnni", tables_avx512vnni, has_avx512vnni}};
#else
static bool has_always(void) { return true; }
#if defined(__aarch64__)
#define ISA_OF neon
#define ISA_TEXT "neon"
#else
#define ISA_OF generic
#define ISA_TEXT "generic"
#endif
static const KernelEntry *const tables_only[] = {
#include "families.h"
    NULL};
static const Isa isas[] = {{ISA_TEXT, tables_only, has_always}};
#endif

#define ISAS ((int)(sizeof isas / sizeof *isas))
static const Isa *chosen;
static ConvertFn conversions[D_OPAQUE][D_OPAQUE];

ConvertFn find_convert(int from, int to) { return from < D_OPAQUE && to < D_OPAQUE ? conversions[from][to] : NULL; }

static void choose(const Isa *isa) {
    chosen = isa;
    for (const Convert *c = find_kernel("convert", 0)->extra; c->fn; c++) conversions[c->from][c->to] = c->fn;
}

int isa_list(const char **found, bool *supported, int most) {
    for (int i = 0; i < ISAS && i < most; i++) found[i] = isas[i].name, supported[i] = isas[i].supported();
    return ISAS;
}

int isa_choose(const char *forced, char *message, size_t length) {
    if (forced == NULL || *forced == 0) {
        for (int i = ISAS - 1; i >= 0 && chosen == NULL; i--)
            if (isas[i].supported()) choose(&isas[i]);
        if (chosen != NULL) return 0;
        snprintf(message, length, "the cpu device needs a processor with SSE4.2 (x86-64-v2) and this one has none");
        return -1;
    }
    const Isa *wanted = NULL;
    char have[200] = "", known[200] = "";
    for (int i = 0; i < ISAS; i++) {
        if (strcmp(isas[i].name, forced) == 0) wanted = &isas[i];
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", isas[i].name);
        if (isas[i].supported()) snprintf(have + strlen(have), sizeof have - strlen(have), "%s%s", *have ? ", " : "", isas[i].name);
    }
    if (wanted == NULL) {
        snprintf(message, length, "CANDLE_CPU_ISA is one of %s but '%s' was given; unset it for the best that the machine has", known,
                 forced);
        return -1;
    }
    if (!wanted->supported()) {
        snprintf(message, length, "CANDLE_CPU_ISA asks for '%s' but this processor has only %s; unset it or choose one of these", forced,
                 have);
        return -1;
    }
    choose(wanted);
    return 0;
}

const char *isa_current(void) { return chosen ? chosen->name : ""; }

const KernelEntry *find_kernel(const char *name, int dtype) {
    if (chosen == NULL) return NULL;
    for (const KernelEntry *const *table = chosen->tables; *table; table++)
        for (const KernelEntry *e = *table; e->name; e++)
            if ((e->dtype == dtype || e->dtype == -1) && strcmp(e->name, name) == 0) return e;
    return NULL;
}
