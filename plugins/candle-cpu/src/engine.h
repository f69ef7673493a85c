/* The engine's internal contract: tensor views, dtypes, kernel calls, the kernel tables, threads and memory. */
#ifndef CANDLE_ENGINE_H
#define CANDLE_ENGINE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* -- dtypes ---------------------------------------------------------------------------------------------------
   From OPAQUE on they are the dtypes of one byte that only move (float8, int4 and so on, block-quantised data), in an
   order that candle_cpu/dtypes.py decides. */

typedef enum {
    D_BOOL, D_U8, D_U16, D_U32, D_U64, D_I8, D_I16, D_I32, D_I64, D_F16, D_BF16, D_F32, D_F64, D_C64, D_C128, D_OPAQUE,
    D_COUNT = D_OPAQUE + 80
} DType;

extern uint16_t dtype_size[D_COUNT]; /* the OPAQUE ones are defined as they are met */
const char *dtype_name(int dtype);

typedef uint16_t f16_t;  /* the bits of an IEEE half */
typedef uint16_t bf16_t; /* the upper half of the bits of a float */
typedef struct { float re, im; } c64_t;
typedef struct { double re, im; } c128_t;

/* -- views ----------------------------------------------------------------------------------------------------
   Strides count elements and may be negative or 0; `data` is the element at index 0.  `size` and `stride` have `ndim`
   entries, in the order of the dimensions. */

#define MAX_DIMS 64

typedef struct {
    char *data;
    int64_t *size, *stride;
    int32_t ndim;
    int32_t dtype;
} View;

static inline int64_t view_count(const View *v) {
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++) n *= v->size[i];
    return n;
}

static inline bool view_contiguous(const View *v) {
    int64_t step = 1;
    for (int i = v->ndim - 1; i >= 0; i--) {
        if (v->size[i] == 1) continue;
        if (v->size[i] == 0) return true;
        if (v->stride[i] != step) return false;
        step *= v->size[i];
    }
    return true;
}

/* -- kernel calls ---------------------------------------------------------------------------------------------
   A kernel reads the views `in` (NULL where an optional operand was left out), writes the views `out`, which are
   allocated, contiguous and do not overlap the operands, and returns 0, or what `failed` returns.  It is called without the interpreter's
   lock where its work is not tiny, possibly by several threads at once: it keeps no state.
   Attributes arrive as the flat lists that the op's builder (candle_cpu/kernels) laid out. */

typedef struct KernelEntry KernelEntry;

typedef struct {
    const View *const *in;
    View *const *out;
    const int64_t *ints;
    const double *floats;
    int32_t nin, nout, nints, nfloats;
    const KernelEntry *entry; /* the row of the table it was found in */
} Call;

typedef int (*RunFn)(const Call *call);

/* Keeps the message, as printf would write it, for the exception (IndexError) that the caller raises; returns nonzero. */
int failed(const char *format, ...);
/* Says that `bytes` could not be had; the caller raises MemoryError. */
int no_memory(size_t bytes);

/* -- kernel tables --------------------------------------------------------------------------------------------
   A source file that holds kernels is compiled once per instruction set, with -DISA=name, and exports one table:
       const KernelEntry ISA_NAME(table_gemm)[] = {{"matmul", D_F32, matmul_f32}, ..., {0}};
   Its family is listed in families.h.  `find_kernel` looks in the tables of the instruction set that was chosen at load. */

struct KernelEntry {
    const char *name;
    int32_t dtype; /* of the operand that the kernel is chosen by; -1: any */
    RunFn run;
    const void *extra; /* what the family needs besides */
};

#define ISA_PASTE_(name, isa) name##_##isa
#define ISA_PASTE(name, isa) ISA_PASTE_(name, isa)
#define ISA_NAME(name) ISA_PASTE(name, ISA)

const KernelEntry *find_kernel(const char *name, int dtype);

/* The instruction set in use, and what of it kernels that are compiled once may ask. */
int isa_choose(const char *forced, char *message, size_t length); /* 0, or -1 with a message */
const char *isa_current(void);
int isa_list(const char **names, bool *supported, int most); /* those compiled in, worst first; returns how many */

/* -- threads --------------------------------------------------------------------------------------------------
   Runs fn(ctx, tile, worker) for every tile from 0 to tiles-1, shared dynamically between the workers (0 to pool_size()-1; the
   caller is one).  Tiles should take 20 us or more.  Within a tile, pool_run runs in the same thread, as worker 0 to the tile's
   own scratch: do not nest where scratch is indexed by worker. */

void pool_run(int64_t tiles, void (*fn)(void *ctx, int64_t tile, int worker), void *ctx);
int pool_size(void);
void pool_resize(int threads); /* how many there are to be at first is said by candle_cpu/threads.py */
#define POOL_MAX 256

/* How many tiles to cut `n` units of work in, so that none is smaller than `least` and there are a few for each thread. */
static inline int64_t pool_tiles(int64_t n, int64_t least) {
    int threads = pool_size();
    if (threads == 1 || n < 2 * least) return 1;
    int64_t most = n / least, want = (int64_t)threads * 4;
    return most < want ? most : want;
}

/* -- memory ---------------------------------------------------------------------------------------------------
   Blocks aligned to 64 bytes, from a cache of freed ones; large ones are staggered, so that operands do not lie a multiple of
   4096 bytes apart.  NULL where there is none.  Any thread may call these, with or without the interpreter's lock. */

void *block_new(size_t bytes);
void block_free(void *block);
size_t block_in_use(void);
size_t block_peak(void);
size_t block_cached(void);
void block_trim(void); /* give the cache back to the system */
void block_reset_peak(void);

/* Copies elements between views of the same sizes and dtype, whatever their strides; `view_fill` writes one element everywhere. */
void view_copy(const View *from, const View *to);
void view_fill(const View *to, const void *element);

#if defined(__GNUC__)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#else
#define LIKELY(x) (x)
#define UNLIKELY(x) (x)
#define INLINE static inline
#define NOINLINE
#endif

static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }

#endif
