/* The families of kernels: each is a table that a file compiled once per instruction set exports. */
FAMILY(math)
FAMILY(arith)
FAMILY(cast)
FAMILY(reduce)
FAMILY(rows)
FAMILY(select)
FAMILY(products)
FAMILY(conv)
