// The packed, blocked product in one working type T (float or double), as Goto and van de Geijn describe it
// (https://doi.org/10.1145/1356052.1356053): B's slab [KC, n] in panels of NR columns, A's block [MC, KC] in panels of MR rows.
// Included once per kind of product, with these defined: T, the type of C's sums, and V, VU, VL, a vector of it, the same
// unaligned, its length; P and PV, an element of a panel and a vector of it, which holds GROUP neighbours along k;
// FMA(x, y, sum); X, the suffix of names.  With COMPENSATED, a last row of B's panels is what the sums begin with.

#define NR (NV * VL)
#ifndef N
#define C4(a, b) a##b
#define C3(a, b) C4(a, b)
#define N(name) C3(name, X)
#endif

// -- the micro-kernel: c[mr, nv * VL] (+)= a[kc][MR] b[kc][NR] --------------------------------------

INL void N(tile)(const int mr, const int nv, int64_t kc, const P *a, const P *b, T *c, int64_t ldc, int more) {
  V acc[MR][NV];
#if COMPENSATED
  const P *init = b + kc * NR;
  UNROLL for (int i = 0; i < mr; i++)
    UNROLL for (int j = 0; j < nv; j++) acc[i][j] = *(const VU *)(init + j * VL);
#else
  UNROLL for (int i = 0; i < mr; i++)
    UNROLL for (int j = 0; j < nv; j++) acc[i][j] = (V){0};
#endif
  UNROLL for (int i = 0; i < mr; i++) __builtin_prefetch(c + i * ldc, 1), __builtin_prefetch(c + i * ldc + NR - 1, 1);
#define STEP(u)                                                                                    \
  {                                                                                                \
    PV y[NV];                                                                                      \
    UNROLL for (int j = 0; j < nv; j++) memcpy(&y[j], b + (u) * NR + j * VL, sizeof(PV));          \
    UNROLL for (int i = 0; i < mr; i++) {                                                          \
      PV x = a[(u) * MR + i] - (PV){0};                                                            \
      UNROLL for (int j = 0; j < nv; j++) acc[i][j] = FMA(x, y[j], acc[i][j]);                     \
    }                                                                                              \
  }
#define AHEAD_(u) UNROLL for (int64_t q = 0; q < NR * (int64_t)sizeof(P); q += 64) __builtin_prefetch((const char *)(b + (16 + (u)) * NR) + q);
  int64_t k = kc;
  for (; k >= 4; k -= 4) {
    AHEAD_(0) AHEAD_(1) AHEAD_(2) AHEAD_(3)
    STEP(0) STEP(1) STEP(2) STEP(3)
    a += 4 * MR, b += 4 * NR;
  }
  for (; k > 0; k--) {
    STEP(0)
    a += MR, b += NR;
  }
#undef STEP
#undef AHEAD_
  UNROLL for (int i = 0; i < mr; i++)
    UNROLL for (int j = 0; j < nv; j++) {
      VU *p = (VU *)(c + i * ldc + j * VL);
      *p = more ? (V)(*p) + acc[i][j] : acc[i][j];
    }
}
typedef void N(kernel)(int64_t kc, const P *a, const P *b, T *c, int64_t ldc, int more);
#if FEW  // kinds seldom met have the full tile only
static void N(whole)(int64_t kc, const P *a, const P *b, T *c, int64_t ldc, int more) { N(tile)(MR, NV, kc, a, b, c, ldc, more); }
#define KERNEL(m, n) N(whole)
#else
#define ROW(m, n)                                                                                               \
  static __attribute__((noinline)) void N(tile_##m##_##n)(int64_t kc, const P *a, const P *b, T *c, int64_t ldc, int more) { \
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
#define KERNEL(m, n) N(tiles)[(m) - 1][(n) - 1]
#undef ROW
#undef COLUMNS
#undef ROW_IF_WIDE
#undef NAMES
#endif

#if GROUP == 1
// -- packing: to[k][width] = from[i * is + k * ks], i < n <= width ------------------------------------

INL T N(load)(int type, const void *p, int64_t i) {
  if (type == D_F16) return (T)f32_of_f16(((const uint16_t *)p)[i]);
  if (type == D_BF16) return (T)f32_of_bf16(((const uint16_t *)p)[i]);
  return ((const T *)p)[i];
}
INL T4 N(load4)(int type, const void *p, int64_t i) {
  if (type == D_BF16) {
    u4 u = __builtin_convertvector(*(const h4u *)((const uint16_t *)p + i), u4) << 16;
    return __builtin_convertvector((f4)u, T4);
  }
  if (type == D_F16) {
    const uint16_t *h = (const uint16_t *)p + i;
    f4 x = {f32_of_f16(h[0]), f32_of_f16(h[1]), f32_of_f16(h[2]), f32_of_f16(h[3])};
#if defined(__F16C__)
    x = (f4)_mm_cvtph_ps(_mm_loadl_epi64((const void *)h));
#endif
    return __builtin_convertvector(x, T4);
  }
  return *(const T4U *)((const T *)p + i);
}
INL V N(loadv)(int type, const void *p, int64_t i) {
#if X_IS_FLOAT
  if (type == D_F16) return vf_load_f16((const uint16_t *)p + i);
  if (type == D_BF16) return vf_load_bf16((const uint16_t *)p + i);
#endif
  (void)type;
  return *(const VU *)((const T *)p + i);
}

// width is a constant; the buffer has 4 elements more than kc * width
INL void N(pack_as)(int type, const int width, T *to, const void *from, int64_t n, int64_t kc, int64_t is, int64_t ks) {
  if (is == 1 && n == width) {
    for (int64_t k = 0; k < kc; k++, to += width) {
      int i = 0;
      UNROLL for (; i + VL <= width; i += VL) *(VU *)(to + i) = N(loadv)(type, from, k * ks + i);
      UNROLL for (; i + 4 <= width; i += 4) *(T4U *)(to + i) = N(load4)(type, from, k * ks + i);
      UNROLL for (; i < width; i++) to[i] = N(load)(type, from, k * ks + i);
    }
    return;
  }
  if (ks == 1) {  // four by four, transposed; the last group of rows runs over into what is written next
    int64_t k = 0;
    const int groups = (width + 3) / 4;
    for (; k + 4 <= kc; k += 4)
      for (int g = groups - 1; g >= 0; g--) {
        int64_t i0 = g * 4, last = n - 1;
        if (i0 > last) {
          if (width % 4 == 0 || g < groups - 1)
            UNROLL for (int q = 0; q < 4; q++) *(T4U *)(to + (k + q) * width + i0) = (T4){0};
          else
            for (int q = 0; q < 4; q++)
              for (int64_t i = i0; i < width; i++) to[(k + q) * width + i] = 0;
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
  for (int64_t k = 0; k < kc; k++, to += width) {
    int64_t i = 0;
    if (is == 1)
      for (; i + 4 <= n; i += 4) *(T4U *)(to + i) = N(load4)(type, from, k * ks + i);
    for (; i < n; i++) to[i] = N(load)(type, from, i * is + k * ks);
    for (; i < width; i++) to[i] = 0;
  }
}
#if X_IS_FLOAT
#define EACH_TYPE(call)                     \
  switch (type) {                           \
    case D_F16: call(D_F16); break;   \
    case D_BF16: call(D_BF16); break; \
    default: call(D_F32);                \
  }
#else
#define EACH_TYPE(call) call(D_F64);  // any type as wide as T
#endif
static void N(pack_rows)(int type, T *to, const void *from, int64_t n, int64_t kc, int64_t is, int64_t ks) {
  (void)type;
#define CALL(t) N(pack_as)(t, MR, to, from, n, kc, is, ks)
  EACH_TYPE(CALL)
#undef CALL
}
static void N(pack_columns)(int type, T *to, const void *from, int64_t n, int64_t kc, int64_t is, int64_t ks) {
  (void)type;
#define CALL(t) N(pack_as)(t, NR, to, from, n, kc, is, ks)
  EACH_TYPE(CALL)
#undef CALL
}
#undef EACH_TYPE
#endif

#define KQ(kc) (((kc) + GROUP - 1) / GROUP)
#define PANEL(kc) ((KQ(kc) + COMPENSATED) * NR)  // elements of a panel of B

// -- one block of C ---------------------------------------------------------------------------------

typedef struct {
  const Gemm *g;
  T *part;          // where sums over earlier slabs lie, [m, n] with strides pr, pc
  int64_t pr, pc;
  const P *slab;    // B's panels, [n / NR][kc][NR]
  P *pack;          // the same, while it is made
  int64_t k0, kc;      // the slab
  const P *rows_packed;  // A's rows, if one block holds them all; then B's panels are packed where they are used
  int64_t mc, nc;      // a tile of C
  int64_t rows, columns;  // how many tiles
  int failed;          // memory was lacking
} N(Plan);

static void N(pack_block)(const N(Plan) * p, int64_t i0, int64_t mb, P *a) {
  const Gemm *g = p->g;
  int64_t size = SIZE(g->type);
  const char *from = (const char *)g->a + (i0 * g->ar + p->k0 * g->ac) * size;
  for (int64_t i = 0; i < mb; i += MR)
    N(pack_rows)(g->type, a + i * KQ(p->kc), from + i * g->ar * size, mb - i < MR ? mb - i : MR, p->kc, g->ar, g->ac);
}
static void N(pack_panel)(const N(Plan) * p, int64_t j, P *to) {
  const Gemm *g = p->g;
  int64_t nr = g->n - j < NR ? g->n - j : NR;
  N(pack_columns)(g->type, to, (const char *)g->b + (p->k0 * g->br + j * g->bc) * SIZE(g->type), nr, p->kc, g->bc, g->br);
}

// Rows i0.., columns j0.. of C, in panels; `a` is room for the packed rows
static void N(block)(const N(Plan) * p, int64_t i0, int64_t mb, int64_t j0, int64_t nb, P *a) {
  const Gemm *g = p->g;
  int64_t kc = p->kc, last = p->k0 + kc == g->k, more = p->k0 > 0;
  P *panel = 0;
  if (p->rows_packed) {
    panel = p->slab ? 0 : a;
    a = (P *)p->rows_packed;
  } else {
    N(pack_block)(p, i0, mb, a);
  }
  // a bias alone is what the sums begin with
  const int biased = g->bias && SIZE(g->out) == sizeof(T) && !g->activation && !g->residual;
  int direct = p->pc == 1 && (biased || !last || (SIZE(g->out) == sizeof(T) && !EPILOGUE(g)));
  for (int64_t j = j0; j < j0 + nb; j += NR) {
    int64_t nr = g->n - j < NR ? g->n - j : NR;
    const P *b = panel ? panel : p->slab + j / NR * PANEL(kc);
    if (panel) N(pack_panel)(p, j, panel);
    for (int64_t i = 0; i < mb; i += MR) {
      int64_t mr = mb - i < MR ? mb - i : MR;
      const int nv = (int)((nr + VL - 1) / VL);
      (void)nv;
      if (direct && (FEW ? nr == NR && mr == MR : nr % VL == 0)) {
        T *c = p->part + (i0 + i) * p->pr + j;
        if (biased && !more)
          for (int64_t r = 0; r < mr; r++) {
            const T *bias = (const T *)g->bias + (i0 + i + r) * g->bias_r + j * g->bias_c;
            if (g->bias_c == 1)
              for (int64_t s = 0; s < nr; s += VL) *(VU *)(c + r * p->pr + s) = *(const VU *)(bias + s);
            else
              for (int64_t s = 0; s < nr; s++) c[r * p->pr + s] = bias[s * g->bias_c];
          }
        KERNEL(mr, nv)(KQ(kc), a + i * KQ(kc), b, c, p->pr, more || biased);
        continue;
      }
      T c[MR * NR] __attribute__((aligned(64)));
      KERNEL(mr, nv)(KQ(kc), a + i * KQ(kc), b, c, NR, 0);
      T *old = p->part + (i0 + i) * p->pr + j * p->pc;
      if (more)
        for (int64_t r = 0; r < mr; r++)
          for (int64_t s = 0; s < nr; s++) c[r * NR + s] += old[r * p->pr + s * p->pc];
      if (last)
        N(finish)(g, c, NR, i0 + i, j, mr, nr);
      else
        for (int64_t r = 0; r < mr; r++)
          for (int64_t s = 0; s < nr; s++) old[r * p->pr + s * p->pc] = c[r * NR + s];
    }
  }
}

static void N(run_tile)(void *ctx, int64_t tile, int worker) {
  const N(Plan) *p = ctx;
  (void)worker;
  int64_t i0 = tile % p->rows * p->mc, j0 = tile / p->rows * p->nc;
  int64_t mb = p->g->m - i0 < p->mc ? p->g->m - i0 : p->mc, nb = p->g->n - j0 < p->nc ? p->g->n - j0 : p->nc;
  P *a = block_new((size_t)(p->rows_packed ? PANEL(p->kc) : (p->mc + MR) * KQ(p->kc)) * sizeof(P) + 256);
  if (a)
    N(block)(p, i0, mb, j0, nb, a);
  else
    ((N(Plan) *)p)->failed = 1;
  block_free(a);
}
static void N(run_pack)(void *ctx, int64_t tile, int worker) {
  const N(Plan) *p = ctx;
  (void)worker;
  int64_t first = tile * PANELS, end = first + PANELS;
  for (int64_t q = first; q < end && q * NR < p->g->n; q++) N(pack_panel)(p, q * NR, p->pack + q * PANEL(p->kc));
}

// A product of columns that a slab holds, on at most `threads` workers; 0, or -1 where memory is lacking
static int N(blocked)(const Gemm *g, int threads) {
  N(Plan) p = {.g = g, .part = (T *)g->c, .pr = g->cr, .pc = g->cc};
  int64_t slabs = (g->k + KC - 1) / KC, kc = (g->k + slabs - 1) / slabs;
  kc = (kc + 3) / 4 * 4;
  if (g->packed) kc = KC;
  int64_t wide = (g->n + NR - 1) / NR * NR;
  T *part = 0;
  P *rows = 0;
  if (slabs > 1 && SIZE(g->out) != sizeof(T)) {
    part = p.part = block_new((size_t)(g->m * wide) * sizeof(T));
    if (!part) return -1;
    p.pr = wide, p.pc = 1;
  }
  // tiles: as high as the second-level cache lets them be, and enough for all workers
  int64_t mc = MC, blocks = (g->m + mc - 1) / mc;
  mc = ((g->m + blocks - 1) / blocks + MR - 1) / MR * MR;
  int64_t nc = wide;
  if (threads > 1) {
    int64_t want = threads * 3;
    int64_t split = (want + blocks - 1) / blocks;
    if (split > 1) nc = ((wide / NR + split - 1) / split) * NR;
    if (nc < 4 * NR && blocks > 1) {  // rather fewer rows than narrow tiles
      nc = wide < 4 * NR ? wide : 4 * NR;
      int64_t columns = (wide + nc - 1) / nc, high = (want + columns - 1) / columns;
      mc = ((g->m + high - 1) / high + MR - 1) / MR * MR;
      if (mc > MC) mc = MC;
    }
  }
  p.mc = mc, p.nc = nc;
  p.rows = (g->m + mc - 1) / mc, p.columns = (g->n + nc - 1) / nc;
  if (p.rows == 1)
    p.rows_packed = rows = block_new((size_t)((p.mc + MR) * KQ(kc)) * sizeof(P) + 256);
  else if (!g->packed)
    p.pack = block_new((size_t)(wide / NR * PANEL(kc)) * sizeof(P) + 256);
  if (!rows && !p.pack && (p.rows == 1 || !g->packed)) p.failed = 1;
  for (p.k0 = 0; p.k0 < g->k && !p.failed; p.k0 += p.kc) {
    p.kc = g->k - p.k0 < kc ? g->k - p.k0 : kc;
    if (g->packed) {
      p.slab = (const P *)g->packed + p.k0 / KC * (wide / NR * PANEL(KC));
    } else if (!rows) {
      int64_t packs = (wide / NR + PANELS - 1) / PANELS;
      if (threads > 1 && packs > 1)
        pool_run(packs, N(run_pack), &p);
      else
        for (int64_t t = 0; t < packs; t++) N(run_pack)(&p, t, 0);
      p.slab = p.pack;
    }
    if (rows) N(pack_block)(&p, 0, g->m, rows);
    if (threads > 1 && p.rows * p.columns > 1)
      pool_run(p.rows * p.columns, N(run_tile), &p);
    else
      for (int64_t t = 0; t < p.rows * p.columns; t++) N(run_tile)(&p, t, 0);
  }
  block_free(part), block_free(rows), block_free(p.pack);
  return p.failed ? -1 : 0;
}

#if PREPACKED
// -- B packed once --------------------------------------------------------------------------------------

static size_t N(packed_size)(int64_t k, int64_t n) {
  int64_t whole = k / KC, rest = k % KC;
  return (size_t)((n + NR - 1) / NR * (whole * PANEL(KC) + (rest ? PANEL(rest) : 0))) * sizeof(P);
}
static void N(pack_all)(const Gemm *g, P *to) {
  N(Plan) p = {.g = g};
  for (p.k0 = 0; p.k0 < g->k; p.k0 += KC) {
    p.kc = g->k - p.k0 < KC ? g->k - p.k0 : KC;
    for (int64_t j = 0; j < g->n; j += NR, to += PANEL(p.kc)) N(pack_panel)(&p, j, to);
  }
}
#endif
#undef KQ
#undef PANEL
