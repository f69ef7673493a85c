/* Memory: blocks aligned to 64 bytes from a cache of freed ones, staggered where they are large. */
#include "engine.h"
#include <stdatomic.h>
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if !defined(__wasm__)
#include <sched.h>
#endif

#define ALIGN 64
#define HUGE_PAGE ((size_t)2 << 20)
#define CLASSES 192 /* four sizes for each power of two */
#define KEEP ((size_t)256 << 20) /* freed bytes kept beyond as many as are in use */

typedef struct Block {
    struct Block *next;
    void *raw;     /* what the system gave */
    size_t bytes;  /* usable */
    uint32_t class;
} Block;
_Static_assert(sizeof(Block) <= ALIGN, "a block's head takes one line");

static Block *freed[CLASSES];
static size_t in_use, peak, cached;
static unsigned turn;
static atomic_flag lock = ATOMIC_FLAG_INIT;

static void take(void) {
    for (int spins = 0; atomic_flag_test_and_set_explicit(&lock, memory_order_acquire); spins++) {
#if !defined(__wasm__)
        if (spins > 100) sched_yield();
#endif
    }
}
static void leave(void) { atomic_flag_clear_explicit(&lock, memory_order_release); }

static unsigned class_of(size_t bytes, size_t *rounded) {
    if (bytes <= 64) return *rounded = 64, 0;
    unsigned top = 63 - (unsigned)__builtin_clzll((unsigned long long)bytes - 1); /* 2^top < bytes <= 2^(top+1), or equal */
    size_t step = (size_t)1 << (top - 2);
    size_t up = (bytes + step - 1) / step;
    *rounded = up * step;
    return (top - 6) * 4 + (unsigned)(up - 4);
}

static Block *from_system(size_t bytes) {
    size_t extra = ALIGN, align = ALIGN;
    if (bytes >= 16384) extra += (size_t)(turn++ * 5 % 16) * 256; /* else two operands' lines meet in the store buffer */
    if (bytes >= 2 * HUGE_PAGE) align = HUGE_PAGE;
    size_t total = bytes + extra;
    if (total < bytes) return NULL;
    total = (total + align - 1) / align * align;
    void *raw = aligned_alloc(align, total);
    if (raw == NULL) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (align == HUGE_PAGE) madvise(raw, total, MADV_HUGEPAGE);
#endif
    Block *b = (Block *)((char *)raw + extra - ALIGN);
    b->raw = raw;
    b->bytes = bytes;
    return b;
}

static void trim_locked(size_t most) {
    for (int c = CLASSES - 1; c >= 0 && cached > most; c--)
        while (freed[c] && cached > most) {
            Block *b = freed[c];
            freed[c] = b->next;
            cached -= b->bytes;
            free(b->raw);
        }
}

void *block_new(size_t bytes) {
    if (bytes > (size_t)1 << 46) return NULL;
    size_t rounded;
    unsigned class = class_of(bytes, &rounded);
    take();
    Block *b = freed[class];
    if (b) {
        freed[class] = b->next;
        cached -= b->bytes;
    } else {
        b = from_system(rounded);
        if (b == NULL && cached) {
            trim_locked(0);
            b = from_system(rounded);
        }
        if (b == NULL) {
            leave();
            return NULL;
        }
        b->class = class;
    }
    in_use += b->bytes;
    if (in_use > peak) peak = in_use;
    leave();
    return (char *)b + ALIGN;
}

void block_free(void *block) {
    if (block == NULL) return;
    Block *b = (Block *)((char *)block - ALIGN);
    take();
    in_use -= b->bytes;
    b->next = freed[b->class];
    freed[b->class] = b;
    cached += b->bytes;
    if (UNLIKELY(cached > KEEP + in_use)) trim_locked(KEEP / 2 + in_use);
    leave();
}

void block_trim(void) { take(), trim_locked(0), leave(); }
size_t block_in_use(void) { return in_use; }
size_t block_peak(void) { return peak; }
size_t block_cached(void) { return cached; }
void block_reset_peak(void) { take(), peak = in_use, leave(); }
