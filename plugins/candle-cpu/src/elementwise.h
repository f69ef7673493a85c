/* What elementwise kernels are made of: functions over short contiguous runs, which one driver calls for operands of any layout. */
#ifndef CANDLE_ELEMENTWISE_H
#define CANDLE_ELEMENTWISE_H

#include "engine.h"

/* n elements of y from those of a, b and c (as many as the op has), all contiguous; y may be one of them.  p: the op's numbers. */
typedef void (*BlockFn)(int64_t n, void *y, const void *a, const void *b, const void *c, const double *p);

enum { SAME = 0, RAW = 100 }; /* of the kernel's dtype; of whatever dtype of the same size */

typedef struct {
    BlockFn fn;
    uint8_t arity;
    uint8_t cost;  /* about how many cycles an element takes beyond loading and storing it, in quarters */
    uint8_t in[3]; /* what an operand is taken as: SAME, RAW, or a dtype plus one */
    uint8_t out;   /* the same of the result */
} Block;

int elementwise_run(const Call *call);

/* From one dtype to another, n contiguous elements. */
typedef void (*ConvertFn)(int64_t n, void *to, const void *from);
typedef struct {
    uint8_t from, to;
    ConvertFn fn;
} Convert;
ConvertFn find_convert(int from, int to);

#endif
