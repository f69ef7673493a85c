// Forgets what gemm_core.h was included with.
#undef T
#undef P
#undef V
#undef PV
#undef VU
#undef VL
#undef T4
#undef T4U
#undef FMA
#undef GROUP
#undef X
#undef X_IS_FLOAT
#undef NR
#undef FEW
#undef PREPACKED
#undef KERNEL
