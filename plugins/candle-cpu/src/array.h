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

int array_setup(PyObject *module);
extern PyMethodDef array_functions[];
extern PyMethodDef kernel_functions[];
extern PyMethodDef movement_functions[];

/* int64s out of a tuple or list; -1 with an exception set. */
int ints_of(PyObject *sequence, int64_t *into, int most, const char *what);

#endif
