/* What the cpu device's data are in Python: an Array is a view of a storage that it shares with others. */
#ifndef CANDLE_ARRAY_H
#define CANDLE_ARRAY_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "engine.h"

/* Memory with a count of the arrays that view it.  Only touched with the interpreter's lock held. */
typedef struct Storage {
    int64_t count;
    char *data;
    size_t bytes;
    PyObject *owner; /* who has lent the memory; NULL where it is a block of ours */
    void *foreign;   /* a DLPack tensor to give back */
    bool exported;   /* somebody else may be looking at it: never written over */
} Storage;

typedef struct {
    PyObject_VAR_HEAD
    Storage *storage;
    View view; /* its sizes and strides are in dims */
    int64_t dims[];
} Array;

extern PyTypeObject *ArrayType;

#define ARRAY_CHECK(x) (Py_TYPE(x) == ArrayType)

Storage *storage_new(size_t bytes); /* NULL with MemoryError set */
void storage_release(Storage *s);

/* A contiguous new array.  NULL with MemoryError set, which names the shape and the size. */
Array *array_new(int dtype, int ndim, const int64_t *size);
/* Another view of the same storage; the caller fills in sizes and strides and may move `data`. */
Array *array_view(Array *of, int dtype, int ndim);

/* A kernel with all that one plan has decided of it; the function that Python calls has it as its self. */
#define MAX_RESULTS 4
typedef struct {
    PyObject_HEAD
    Call call; /* without operands and results */
    bool unlocked, into; /* into: the result is written over the first operand */
    int out_dtype[MAX_RESULTS], out_ndim[MAX_RESULTS];
    int64_t *out_size[MAX_RESULTS];
} Kernel;
extern PyTypeObject *KernelType;
PyObject *kernel_raise(void); /* sets the exception that a failed kernel asked for */

/* A movement: how a view is made of an operand. */
typedef struct {
    PyObject_HEAD
    int ndim, source_ndim; /* of the result and of the operand */
    bool reshapes;         /* to `size`; the rest is unused then */
    int64_t *size;         /* the result's sizes */
    int64_t *along;        /* per dimension of the result: a dimension of the operand or -1, a step, another one or -1, a step */
    int64_t *start;        /* per dimension of the operand: the index where the view begins */
} Mover;
extern PyTypeObject *MoverType;
void mover_view(const Mover *m, const View *x, View *y); /* y->size and y->stride have room */
bool view_reshaped(const View *v, int ndim, const int64_t *size, int64_t *stride); /* false where there is no such view */

int array_setup(PyObject *module);
int plan_setup(PyObject *module);
extern PyMethodDef plan_functions[];
extern PyMethodDef array_functions[];
extern PyMethodDef kernel_functions[];
extern PyMethodDef movement_functions[];

/* int64s out of a tuple or list; -1 with an exception set. */
int ints_of(PyObject *sequence, int64_t *into, int most, const char *what);

#endif
