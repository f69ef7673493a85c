/* The families of kernels: each is a table that a file compiled once per instruction set exports. */
FAMILY(elementwise)
FAMILY(products)
FAMILY(conv)
