// Products with at most ROWS_MAX rows: B is read once where it lies, each worker a range of its columns.
// Included once per working type, after gemm_core.h.

#define KB 8       // rows of B gone through together, where its rows are contiguous: more would meet in the same cache sets
#define AHEAD 512  // bytes fetched ahead

// -- B's rows contiguous: c[m, nv * VL] += x[kc][m] b[kc, nv * VL] ------------------------------------

INL void N(across)(int type, const int m, const int nv, int64_t kc, const T *x, const char *b, int64_t br, T *c, int64_t ldc, int first) {
  V acc[8][8];
  UNROLL for (int i = 0; i < m; i++)
    UNROLL for (int j = 0; j < nv; j++) acc[i][j] = first ? (V){0} : (V)(*(const VU *)(c + i * ldc + j * VL));
  const int64_t size = SIZE(type), line = nv * VL * size;
  for (int64_t k = 0; k < kc; k++, b += br, x += m) {
    UNROLL for (int64_t q = 0; q < line; q += 64) __builtin_prefetch(b + AHEAD + q);
    V y[8];
    UNROLL for (int j = 0; j < nv; j++) y[j] = N(loadv)(type, b, j * VL);
    UNROLL for (int i = 0; i < m; i++) {
      V v = x[i] - (V){0};
      UNROLL for (int j = 0; j < nv; j++) acc[i][j] = FMA(v, y[j], acc[i][j]);
    }
  }
  UNROLL for (int i = 0; i < m; i++)
    UNROLL for (int j = 0; j < nv; j++) *(VU *)(c + i * ldc + j * VL) = acc[i][j];
}

// columns j0.. of B for a number of rows known to the compiler; c[m][ldc] with ldc a multiple of VL
INL void N(strip)(int type, const int m, const int nv, int64_t k, const T *x, const char *b, int64_t br, int64_t n, T *c, int64_t ldc) {
  const int64_t size = SIZE(type);
  for (int64_t k0 = 0; k0 < k; k0 += KB) {
    int64_t kc = k - k0 < KB ? k - k0 : KB, j = 0;
    for (; j + nv * VL <= n; j += nv * VL) N(across)(type, m, nv, kc, x + k0 * m, b + k0 * br + j * size, br, c + j, ldc, k0 == 0);
    for (; j + VL <= n; j += VL) N(across)(type, m, 1, kc, x + k0 * m, b + k0 * br + j * size, br, c + j, ldc, k0 == 0);
    if (j < n) {
      T rest[KB * VL];
      for (int64_t q = 0; q < kc; q++)
        for (int64_t s = 0; s < VL; s++) rest[q * VL + s] = j + s < n ? N(load)(type, b + (k0 + q) * br, j + s) : 0;
      N(across)(X_IS_FLOAT ? D_F32 : D_F64, m, 1, kc, x + k0 * m, (const char *)rest, VL * (int64_t)sizeof(T), c + j, ldc, k0 == 0);
    }
  }
}

// -- B's columns contiguous: c[mt, nt] = x[mt, k] . w[nt, k] -----------------------------------------

INL void N(dots)(int type, const int mt, const int nt, int64_t k, const T *x, int64_t xs, const char *w, int64_t ws, T *c, int64_t ldc) {
  V acc[8][8];
  const int64_t size = SIZE(type);
  UNROLL for (int i = 0; i < mt; i++)
    UNROLL for (int j = 0; j < nt; j++) acc[i][j] = (V){0};
  int64_t at = 0;
  for (; at + VL <= k; at += VL) {
    V y[8];
    UNROLL for (int j = 0; j < nt; j++) y[j] = N(loadv)(type, w + j * ws, at);
    if (mt <= 2)
      UNROLL for (int j = 0; j < nt; j++) __builtin_prefetch(w + j * ws + at * size + 512);
    UNROLL for (int i = 0; i < mt; i++) {
      V v = *(const VU *)(x + i * xs + at);
      UNROLL for (int j = 0; j < nt; j++) acc[i][j] = FMA(v, y[j], acc[i][j]);
    }
  }
  if (at < k) {  // x has zeros up to the next multiple of VL
    V y[8];
    UNROLL for (int j = 0; j < nt; j++) {
      y[j] = (V){0};
      for (int64_t s = 0; s < k - at; s++) y[j][s] = N(load)(type, w + j * ws, at + s);
    }
    UNROLL for (int i = 0; i < mt; i++) {
      V v = *(const VU *)(x + i * xs + at);
      UNROLL for (int j = 0; j < nt; j++) acc[i][j] = FMA(v, y[j], acc[i][j]);
    }
  }
  UNROLL for (int i = 0; i < mt; i++)
    UNROLL for (int j = 0; j < nt; j++) {
      T s = 0;
      V a = acc[i][j];
#if X_IS_FLOAT
      s = vf_total(a);
#else
      for (int q = 0; q < VL; q++) s += a[q];
#endif
      c[i * ldc + j] = s;
    }
}
INL void N(dot_strip)(int type, const int mt, const int nt, int64_t k, const T *x, int64_t xs, const char *w, int64_t ws, int64_t n, T *c, int64_t ldc) {
  int64_t j = 0;
  for (; j + nt <= n; j += nt) N(dots)(type, mt, nt, k, x, xs, w + j * ws, ws, c + j, ldc);
  for (; j < n; j++) N(dots)(type, mt, 1, k, x, xs, w + j * ws, ws, c + j, ldc);
}

// -- by rows ------------------------------------------------------------------------------------------

#if VBYTES == 64 || defined(__ARM_NEON)
#define STRIP(s, t)                                                                                                    \
  switch (m) {                                                                                                         \
    case 1: s(t, 1, 8); break; case 2: s(t, 2, 8); break; case 3: s(t, 3, 8); break; case 4: s(t, 4, 6); break;        \
    case 5: s(t, 5, 4); break; case 6: s(t, 6, 4); break; case 7: s(t, 7, 3); break; default: s(t, 8, 3);              \
  }
#define DOTS(s, t)                                                                                                     \
  switch (m) {                                                                                                         \
    case 1: s(t, 1, 8); break; case 2: s(t, 2, 4); break; case 3: s(t, 3, 4); break; case 4: s(t, 4, 4); break;        \
    case 5: s(t, 5, 4); break; case 6: s(t, 6, 4); break; case 7: s(t, 7, 3); break; default: s(t, 8, 3);              \
  }
#define ROWS_ONCE 8
#else
#define STRIP(s, t)                                                                                                    \
  switch (m) {                                                                                                         \
    case 1: s(t, 1, 8); break; case 2: s(t, 2, 6); break; case 3: s(t, 3, 4); break; default: s(t, 4, 3);              \
  }
#define DOTS(s, t)                                                                                                     \
  switch (m) {                                                                                                         \
    case 1: s(t, 1, 6); break; case 2: s(t, 2, 4); break; case 3: s(t, 3, 4); break; default: s(t, 4, 2);              \
  }
#define ROWS_ONCE 4
#endif

#define CALL_STRIP(t, m, nv) N(strip)(t, m, nv, k, x, b, br, n, c, ldc)
#define CALL_DOTS(t, m, nt) N(dot_strip)(t, m, nt, k, x, xs, b, bc, n, c, ldc)
#if X_IS_FLOAT
#define SKINNY(type, KIND, call)                                       \
  switch (type) {                                                      \
    case D_F16: { KIND(call, D_F16) } break;                     \
    case D_BF16: { KIND(call, D_BF16) } break;                   \
    default: { KIND(call, D_F32) }                                  \
  }
#else
#define SKINNY(type, KIND, call) KIND(call, D_F64)
#endif
static void N(strip_of)(int type, int64_t m, int64_t k, const T *x, const char *b, int64_t br, int64_t n, T *c, int64_t ldc) {
  (void)type;
  SKINNY(type, STRIP, CALL_STRIP)
}
static void N(dots_of)(int type, int64_t m, int64_t k, const T *x, int64_t xs, const char *b, int64_t bc, int64_t n, T *c, int64_t ldc) {
  (void)type;
  SKINNY(type, DOTS, CALL_DOTS)
}
#undef STRIP
#undef DOTS
#undef CALL_STRIP
#undef CALL_DOTS
#undef SKINNY

typedef struct {
  const Gemm *g;
  const T *x;   // the rows, widened: [m][xs], or for contiguous rows of B [k][m] in groups of ROWS_ONCE
  int64_t xs, nc;  // columns in a tile
  int failed;
} N(Rows);

static void N(run_rows)(void *ctx, int64_t tile, int worker) {
  const N(Rows) *p = ctx;
  const Gemm *g = p->g;
  (void)worker;
  int64_t size = SIZE(g->type), j0 = tile * p->nc, n = g->n - j0 < p->nc ? g->n - j0 : p->nc, ldc = (n + VL - 1) / VL * VL;
  T *c = block_new((size_t)(g->m * ldc) * sizeof(T));
  if (!c) {
    ((N(Rows) *)p)->failed = 1;
    return;
  }
  const char *b = (const char *)g->b + j0 * g->bc * size;
  int dot = g->br == 1 && g->bc != 1;
  // the rows go through B in groups; several columns at a time, so that a later group finds them in the cache
  int64_t step = !dot || g->m <= ROWS_ONCE ? n : 24;
  for (int64_t j = 0; j < n; j += step) {
    int64_t nj = n - j < step ? n - j : step;
    for (int64_t i = 0; i < g->m;) {
      int64_t left = g->m - i, m = left <= ROWS_ONCE ? left : left < 2 * ROWS_ONCE ? (left + 1) / 2 : ROWS_ONCE;
      if (dot)
        N(dots_of)(g->type, m, g->k, p->x + i * p->xs, p->xs, b + j * g->bc * size, g->bc * size, nj, c + i * ldc + j, ldc);
      else
        N(strip_of)(g->type, m, g->k, p->x + i * g->k, b, g->br * size, n, c + i * ldc, ldc);
      i += m;
    }
  }
  N(finish)(g, c, ldc, 0, j0, g->m, n);
  block_free(c);
}

static int N(skinny)(const Gemm *g, int threads) {
  N(Rows) p = {.g = g};
  int dot = g->br == 1 && g->bc != 1;
  p.xs = dot ? (g->k + VL - 1) / VL * VL + (g->k % 1024 == 0 ? 32 : 0) : g->k;
  T *x = block_new((size_t)(g->m * p.xs + 64) * sizeof(T));
  if (!x) return -1;
  if (dot) {
    for (int64_t i = 0; i < g->m; i++) {
      const char *from = (const char *)g->a + i * g->ar * (int64_t)SIZE(g->type);
      for (int64_t k = 0; k < g->k; k++) x[i * p.xs + k] = N(load)(g->type, from, k * g->ac);
      for (int64_t k = g->k; k < p.xs; k++) x[i * p.xs + k] = 0;
    }
  } else {
    for (int64_t i = 0; i < g->m;) {
      int64_t left = g->m - i, m = left <= ROWS_ONCE ? left : left < 2 * ROWS_ONCE ? (left + 1) / 2 : ROWS_ONCE;
      for (int64_t k = 0; k < g->k; k++)
        for (int64_t r = 0; r < m; r++) x[i * g->k + k * m + r] = N(load)(g->type, g->a, (i + r) * g->ar + k * g->ac);
      i += m;
    }
  }
  p.x = x;
  int64_t least = 65536 / (g->k * (int64_t)SIZE(g->type)) + 1;  // a tile is worth a hand-over
  least = (least + 63) / 64 * 64;
  // long rows are read as streams: few tiles, as long as the sums stay in the second-level cache
  int64_t share = threads == 1 ? 1 : dot ? threads * 4L : threads * 2L, most = dot ? 4096 : 65536 / g->m;
  int64_t nc = (g->n / share + 63) / 64 * 64;
  if (nc < least) nc = least;
  if (nc > most) nc = (most + 63) / 64 * 64;
  p.nc = nc;
  int64_t tiles = (g->n + nc - 1) / nc;
  if (threads > 1 && tiles > 1)
    pool_run(tiles, N(run_rows), &p);
  else
    for (int64_t t = 0; t < tiles; t++) N(run_rows)(&p, t, 0);
  block_free(x);
  return p.failed ? -1 : 0;
}
#undef ROWS_ONCE
#undef KB
#undef AHEAD
