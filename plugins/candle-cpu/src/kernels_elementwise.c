/* Elementwise kernels. */
#include "vector.h"

const KernelEntry ISA_NAME(table_elementwise)[] = {{NULL, 0, NULL, NULL}};
