// The packed, blocked product in one working type T (float or double), as Goto and van de Geijn describe it
// (https://doi.org/10.1145/1356052.1356053): B's slab [KC, n] in panels of NR columns, A's block [MC, KC] in panels of MR rows.
// Included once per type, with T, V (a vector of T), VU (the same, unaligned), VL, FMA and the suffix of the names, X, defined.

#define NR (NV * VL)
#define C4(a, b) a##b
#define C3(a, b) C4(a, b)
#define N(name) C3(name, X)

// -- the micro-kernel: c[mr, nv * VL] (+)= a[kc][MR] b[kc][NR] --------------------------------------

INL void N(tile)(const int mr, const int nv, long kc, const T *a, const T *b, T *c, long ldc, int more) {
  V acc[MR][NV];
  UNROLL for (int i = 0; i < mr; i++)
    UNROLL for (int j = 0; j < nv; j++) acc[i][j] = (V){0};
  for (int i = 0; i < mr; i++) __builtin_prefetch(c + i * ldc, 1), __builtin_prefetch(c + i * ldc + NR - 1, 1);
#define STEP(u)                                                                                  \
  {                                                                                              \
    V y[NV];                                                                                     \
    UNROLL for (int j = 0; j < nv; j++) y[j] = *(const VU *)(b + (u) * NR + j * VL);             \
    UNROLL for (int i = 0; i < mr; i++) {                                                        \
      V x = a[(u) * MR + i] - (V){0};                                                            \
      UNROLL for (int j = 0; j < nv; j++) acc[i][j] = FMA(x, y[j], acc[i][j]);                   \
    }                                                                                            \
  }
  long k = kc;
  for (; k >= 4; k -= 4) {
    __builtin_prefetch(b + 16 * NR), __builtin_prefetch(b + 17 * NR), __builtin_prefetch(b + 18 * NR), __builtin_prefetch(b + 19 * NR);
    if (NR * sizeof(T) > 64)
      __builtin_prefetch(b + 16 * NR + VL), __builtin_prefetch(b + 17 * NR + VL), __builtin_prefetch(b + 18 * NR + VL), __builtin_prefetch(b + 19 * NR + VL);
    STEP(0) STEP(1) STEP(2) STEP(3)
    a += 4 * MR, b += 4 * NR;
  }
  for (; k > 0; k--) {
    STEP(0)
    a += MR, b += NR;
  }
#undef STEP
  if (more) {
    UNROLL for (int i = 0; i < mr; i++)
      UNROLL for (int j = 0; j < nv; j++) {
        VU *p = (VU *)(c + i * ldc + j * VL);
        *p = *p + acc[i][j];
      }
  } else {
    UNROLL for (int i = 0; i < mr; i++)
      UNROLL for (int j = 0; j < nv; j++) *(VU *)(c + i * ldc + j * VL) = acc[i][j];
  }
}
typedef void N(kernel)(long kc, const T *a, const T *b, T *c, long ldc, int more);
#define ROW(m, n)                                                                                               \
  static __attribute__((noinline)) void N(tile_##m##_##n)(long kc, const T *a, const T *b, T *c, long ldc, int more) { \
    N(tile)(m, n, kc, a, b, c, ldc, more);                                                                      \
  }
#define COLUMNS(m) ROW(m, 1) ROW(m, 2) ROW_IF_WIDE(m, 3) ROW_IF_WIDE(m, 4)
#if NV > 2
#define ROW_IF_WIDE(m, n) ROW(m, n)
#define NAMES(m) {N(tile_##m##_1), N(tile_##m##_2), N(tile_##m##_3), N(tile_##m##_4)},
#else
#define ROW_IF_WIDE(m, n)
#define NAMES(m) {N(tile_##m##_1), N(tile_##m##_2)},
#endif
COLUMNS(1) COLUMNS(2) COLUMNS(3) COLUMNS(4)
#if MR > 4
COLUMNS(5) COLUMNS(6)
#endif
#if MR > 6
COLUMNS(7) COLUMNS(8) COLUMNS(9) COLUMNS(10) COLUMNS(11) COLUMNS(12) COLUMNS(13) COLUMNS(14)
#endif
static N(kernel) *const N(tiles)[MR][NV] = {
  NAMES(1) NAMES(2) NAMES(3) NAMES(4)
#if MR > 4
  NAMES(5) NAMES(6)
#endif
#if MR > 6
  NAMES(7) NAMES(8) NAMES(9) NAMES(10) NAMES(11) NAMES(12) NAMES(13) NAMES(14)
#endif
};
#undef ROW
#undef COLUMNS
#undef ROW_IF_WIDE
#undef NAMES

// -- packing: to[k][width] = from[i * is + k * ks], i < n <= width ------------------------------------

INL T N(load)(int type, const void *p, long i) {
  if (type == GEMM_F16) return (T)f32_of_f16(((const uint16_t *)p)[i]);
  if (type == GEMM_BF16) return (T)f32_of_bf16(((const uint16_t *)p)[i]);
  return ((const T *)p)[i];
}
INL T4 N(load4)(int type, const void *p, long i) {
  if (type == GEMM_BF16) {
    u4 u = __builtin_convertvector(*(const h4u *)((const uint16_t *)p + i), u4) << 16;
    return __builtin_convertvector((f4)u, T4);
  }
  if (type == GEMM_F16) {
    const uint16_t *h = (const uint16_t *)p + i;
    f4 x = {f32_of_f16(h[0]), f32_of_f16(h[1]), f32_of_f16(h[2]), f32_of_f16(h[3])};
#if defined(__F16C__)
    x = (f4)_mm_cvtph_ps(_mm_loadl_epi64((const void *)h));
#endif
    return __builtin_convertvector(x, T4);
  }
  return *(const T4U *)((const T *)p + i);
}
INL V N(loadv)(int type, const void *p, long i) {
#if X_IS_FLOAT
  if (type == GEMM_F16) return vf_of_f16((const uint16_t *)p + i);
  if (type == GEMM_BF16) return vf_of_bf16((const uint16_t *)p + i);
#endif
  (void)type;
  return *(const VU *)((const T *)p + i);
}

// width is a constant; the buffer has 4 elements more than kc * width
INL void N(pack_as)(int type, const int width, T *to, const void *from, long n, long kc, long is, long ks) {
  if (is == 1 && n == width) {
    for (long k = 0; k < kc; k++, to += width) {
      int i = 0;
      UNROLL for (; i + VL <= width; i += VL) *(VU *)(to + i) = N(loadv)(type, from, k * ks + i);
      UNROLL for (; i + 4 <= width; i += 4) *(T4U *)(to + i) = N(load4)(type, from, k * ks + i);
      UNROLL for (; i < width; i++) to[i] = N(load)(type, from, k * ks + i);
    }
    return;
  }
  if (ks == 1) {  // four by four, transposed; the last group of rows runs over into what is written next
    long k = 0;
    const int groups = (width + 3) / 4;
    for (; k + 4 <= kc; k += 4)
      for (int g = groups - 1; g >= 0; g--) {
        long i0 = g * 4, last = n - 1;
        if (i0 > last) {
          if (width % 4 == 0 || g < groups - 1)
            UNROLL for (int q = 0; q < 4; q++) *(T4U *)(to + (k + q) * width + i0) = (T4){0};
          else
            for (int q = 0; q < 4; q++)
              for (long i = i0; i < width; i++) to[(k + q) * width + i] = 0;
          continue;
        }
        T4 r0 = N(load4)(type, from, i0 * is + k), r1 = N(load4)(type, from, (i0 + 1 <= last ? i0 + 1 : last) * is + k),
           r2 = N(load4)(type, from, (i0 + 2 <= last ? i0 + 2 : last) * is + k),
           r3 = N(load4)(type, from, (i0 + 3 <= last ? i0 + 3 : last) * is + k);
        T4 a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5);
        T4 c = __builtin_shufflevector(r0, r1, 2, 6, 3, 7), d = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
        T *p = to + k * width + i0;
        *(T4U *)p = __builtin_shufflevector(a, b, 0, 1, 4, 5);
        *(T4U *)(p + width) = __builtin_shufflevector(a, b, 2, 3, 6, 7);
        *(T4U *)(p + 2 * width) = __builtin_shufflevector(c, d, 0, 1, 4, 5);
        *(T4U *)(p + 3 * width) = __builtin_shufflevector(c, d, 2, 3, 6, 7);
      }
    for (; k < kc; k++)
      for (int i = 0; i < width; i++) to[k * width + i] = i < n ? N(load)(type, from, i * is + k) : 0;
    return;
  }
  for (long k = 0; k < kc; k++, to += width) {
    long i = 0;
    if (is == 1)
      for (; i + 4 <= n; i += 4) *(T4U *)(to + i) = N(load4)(type, from, k * ks + i);
    for (; i < n; i++) to[i] = N(load)(type, from, i * is + k * ks);
    for (; i < width; i++) to[i] = 0;
  }
}
#if X_IS_FLOAT
#define EACH_TYPE(call)                     \
  switch (type) {                           \
    case GEMM_F16: call(GEMM_F16); break;   \
    case GEMM_BF16: call(GEMM_BF16); break; \
    default: call(GEMM_F32);                \
  }
#else
#define EACH_TYPE(call) call(GEMM_F64);
#endif
static void N(pack_rows)(int type, T *to, const void *from, long n, long kc, long is, long ks) {
#define CALL(t) N(pack_as)(t, MR, to, from, n, kc, is, ks)
  EACH_TYPE(CALL)
#undef CALL
}
static void N(pack_columns)(int type, T *to, const void *from, long n, long kc, long is, long ks) {
#define CALL(t) N(pack_as)(t, NR, to, from, n, kc, is, ks)
  EACH_TYPE(CALL)
#undef CALL
}

// -- one block of C ---------------------------------------------------------------------------------

typedef struct {
  const Gemm *g;
  T *part;          // where sums over earlier slabs lie, [m, n] with strides pr, pc
  long pr, pc;
  const T *slab;    // B's panels, [n / NR][kc][NR]
  T *pack;          // the same, while it is made
  long k0, kc;      // the slab
  long mc, nc;      // a tile of C
  long rows, columns;  // how many tiles
} N(Plan);

// Rows i0.., columns j0.. of C, in panels; `a` is room for the packed rows
static void N(block)(const N(Plan) * p, long i0, long mb, long j0, long nb, T *a) {
  const Gemm *g = p->g;
  size_t size = SIZE(g->type);
  const char *from = (const char *)g->a + (i0 * g->ar + p->k0 * g->ac) * (long)size;
  long kc = p->kc, last = p->k0 + kc == g->k, more = p->k0 > 0;
  for (long i = 0; i < mb; i += MR)
    N(pack_rows)(g->type, a + i * kc, from + i * g->ar * (long)size, mb - i < MR ? mb - i : MR, kc, g->ar, g->ac);
  int direct = p->pc == 1 && !(last && (p->part != g->c || EPILOGUE(g)));
  for (long j = j0; j < j0 + nb; j += NR) {
    long nr = g->n - j < NR ? g->n - j : NR;
    const T *b = p->slab + j * kc;
    for (long i = 0; i < mb; i += MR) {
      long mr = mb - i < MR ? mb - i : MR;
      int nv = (int)((nr + VL - 1) / VL);
      if (direct && nr % VL == 0) {
        N(tiles)[mr - 1][nv - 1](kc, a + i * kc, b, p->part + (i0 + i) * p->pr + j, p->pr, (int)more);
        continue;
      }
      T c[MR * NR] __attribute__((aligned(64)));
      N(tiles)[mr - 1][nv - 1](kc, a + i * kc, b, c, NR, 0);
      T *old = p->part + (i0 + i) * p->pr + j * p->pc;
      if (more)
        for (long r = 0; r < mr; r++)
          for (long s = 0; s < nr; s++) c[r * NR + s] += old[r * p->pr + s * p->pc];
      if (last)
        N(finish)(g, c, NR, i0 + i, j, mr, nr);
      else
        for (long r = 0; r < mr; r++)
          for (long s = 0; s < nr; s++) old[r * p->pr + s * p->pc] = c[r * NR + s];
    }
  }
}

static void N(run_tile)(void *ctx, long tile, int worker) {
  const N(Plan) *p = ctx;
  (void)worker;
  long i0 = tile % p->rows * p->mc, j0 = tile / p->rows * p->nc;
  long mb = p->g->m - i0 < p->mc ? p->g->m - i0 : p->mc, nb = p->g->n - j0 < p->nc ? p->g->n - j0 : p->nc;
  T *a = scratch(0, (size_t)((p->mc + MR) * p->kc + 64) * sizeof(T));
  if (a) N(block)(p, i0, mb, j0, nb, a);
}
static void N(run_pack)(void *ctx, long tile, int worker) {
  const N(Plan) *p = ctx;
  const Gemm *g = p->g;
  (void)worker;
  long size = SIZE(g->type);
  long first = tile * PANELS, end = first + PANELS;
  for (long q = first; q < end && q * NR < g->n; q++) {
    long j = q * NR, nr = g->n - j < NR ? g->n - j : NR;
    N(pack_columns)(g->type, p->pack + j * p->kc, (const char *)g->b + (p->k0 * g->br + j * g->bc) * size, nr, p->kc, g->bc, g->br);
  }
}

// The whole product, on at most `threads` workers; 0, or -1 where memory is lacking
static int N(blocked)(const Gemm *g, int threads) {
  N(Plan) p = {.g = g, .part = (T *)g->c, .pr = g->cr, .pc = g->cc};
  long slabs = (g->k + KC - 1) / KC, kc = (g->k + slabs - 1) / slabs;
  kc = (kc + 3) / 4 * 4;
  if (g->packed) kc = KC;
  long wide = (g->n + NR - 1) / NR * NR;
  if (slabs > 1 && SIZE(g->out) != sizeof(T)) {
    p.part = scratch(2, (size_t)(g->m * wide) * sizeof(T));
    if (!p.part) return -1;
    p.pr = wide, p.pc = 1;
  }
  // tiles: as high as the second-level cache lets them be, and enough for all workers
  long mc = MC, blocks = (g->m + mc - 1) / mc;
  mc = ((g->m + blocks - 1) / blocks + MR - 1) / MR * MR;
  long nc = wide;
  if (threads > 1) {
    long want = threads * 3;
    long split = (want + blocks - 1) / blocks;
    if (split > 1) nc = ((wide / NR + split - 1) / split) * NR;
    if (nc < 4 * NR && g->m >= 4 * MR) {  // rather fewer rows than narrow tiles
      nc = wide < 4 * NR ? wide : 4 * NR;
      long columns = (wide + nc - 1) / nc, high = (want + columns - 1) / columns;
      mc = ((g->m + high - 1) / high + MR - 1) / MR * MR;
      if (mc > MC) mc = MC;
    }
  }
  p.mc = mc, p.nc = nc;
  p.rows = (g->m + mc - 1) / mc, p.columns = (g->n + nc - 1) / nc;
  if (!g->packed) {
    p.pack = scratch(1, (size_t)(wide * kc + 64) * sizeof(T));
    if (!p.pack) return -1;
  }
  for (p.k0 = 0; p.k0 < g->k; p.k0 += p.kc) {
    p.kc = g->k - p.k0 < kc ? g->k - p.k0 : kc;
    if (g->packed) {
      p.slab = (const T *)g->packed + p.k0 * wide;
    } else {
      long packs = (wide / NR + PANELS - 1) / PANELS;
      if (threads > 1 && packs > 1)
        pool_run(packs, N(run_pack), &p);
      else
        for (long t = 0; t < packs; t++) N(run_pack)(&p, t, 0);
      p.slab = p.pack;
    }
    if (threads > 1 && p.rows * p.columns > 1)
      pool_run(p.rows * p.columns, N(run_tile), &p);
    else
      for (long t = 0; t < p.rows * p.columns; t++) N(run_tile)(&p, t, 0);
  }
  return 0;
}
#undef NR
