/* Arrays and storages as Python sees them: making, wrapping, viewing, exporting. */
#include "array.h"
#include <stdio.h>
#include <stdlib.h>

PyTypeObject *ArrayType;

static const char *const formats[D_OPAQUE] = {"?", "B", "H", "I", "Q", "b", "h", "i", "q", "e", "H", "f", "d", "Zf", "Zd"};
static char opaque_formats[D_COUNT - D_OPAQUE][8];
static int opaque_count;
static const char *const codes[D_OPAQUE] = {"|b1", "|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4",
                                            "<i8", "<f2", "<V2", "<f4", "<f8", "<c8", "<c16"};

/* -- storages -------------------------------------------------------------------------------------------------- */

#define HEAD 64 /* a storage of ours lies before its data, in the same block */
_Static_assert(sizeof(Storage) <= HEAD, "a storage takes one line");

Storage *storage_new(size_t bytes) {
    Storage *s = bytes < ((size_t)1 << 46) ? block_new(bytes + HEAD) : NULL;
    if (s == NULL) {
        PyErr_Format(PyExc_MemoryError, "the cpu device cannot allocate %zu bytes (%zu are in use, %zu cached)", bytes, block_in_use(),
                     block_cached());
        return NULL;
    }
    *s = (Storage){.count = 1, .data = (char *)s + HEAD, .bytes = bytes};
    return s;
}

static Storage *storage_of(PyObject *owner, char *data, size_t bytes) {
    Storage *s = block_new(sizeof *s);
    if (s == NULL) return (Storage *)PyErr_NoMemory();
    Py_INCREF(owner);
    *s = (Storage){.count = 1, .data = data, .bytes = bytes, .owner = owner, .exported = true};
    return s;
}

void storage_release(Storage *s) {
    if (--s->count > 0) return;
    PyObject *owner = s->owner;
    block_free(s);
    Py_XDECREF(owner);
}

/* -- arrays ---------------------------------------------------------------------------------------------------- */

#define SPARE_DIMS 4 /* small arrays have room for so many dimensions and are kept for the next */
#define SPARES 128
static Array *spares[SPARES];
static int spare_count;

static Array *array_blank(int ndim) {
    Array *a;
    if (ndim <= SPARE_DIMS && spare_count > 0) {
        a = spares[--spare_count];
        PyObject_Init((PyObject *)a, ArrayType);
    } else {
        int room = ndim <= SPARE_DIMS ? SPARE_DIMS : ndim;
        a = PyObject_Malloc(sizeof(Array) + (size_t)room * 2 * sizeof(int64_t));
        if (a == NULL) return (Array *)PyErr_NoMemory();
        PyObject_Init((PyObject *)a, ArrayType);
    }
    a->storage = NULL;
    a->view.ndim = ndim;
    a->view.size = a->dims;
    a->view.stride = a->dims + ndim;
    return a;
}

static void array_dealloc(PyObject *self) {
    Array *a = (Array *)self;
    if (a->storage) storage_release(a->storage);
    if (a->view.ndim <= SPARE_DIMS && spare_count < SPARES) spares[spare_count++] = a;
    else PyObject_Free(a);
    Py_DECREF((PyObject *)ArrayType);
}

static void shape_text(char *text, size_t room, int ndim, const int64_t *size) {
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < ndim && at + 24 < room; i++) at += (size_t)snprintf(text + at, room - at, i ? ",%lld" : "%lld", (long long)size[i]);
}

static Array *too_large(int dtype, int ndim, const int64_t *size) {
    char text[256];
    double bytes = dtype_size[dtype];
    for (int i = 0; i < ndim; i++) bytes *= (double)size[i];
    shape_text(text, sizeof text, ndim, size);
    char amount[64];
    snprintf(amount, sizeof amount, bytes < 1e6 ? "%.0f bytes" : "%.3g GB", bytes < 1e6 ? bytes : bytes / 1e9);
    PyErr_Format(PyExc_MemoryError,
                 "the cpu device cannot allocate %s[%s], which takes %s; %zu MB are in use and %zu MB cached: "
                 "free tensors, use smaller batches or a smaller dtype",
                 dtype_name(dtype), text, amount, block_in_use() >> 20, block_cached() >> 20);
    return NULL;
}

Array *array_new(int dtype, int ndim, const int64_t *size) {
    Array *a = array_blank(ndim);
    if (a == NULL) return NULL;
    int64_t count = 1;
    bool wide = false;
    for (int i = ndim - 1; i >= 0; i--) {
        a->view.size[i] = size[i];
        a->view.stride[i] = count;
        if (size[i] > 1) wide |= __builtin_mul_overflow(count, size[i], &count);
        else if (size[i] == 0) count = 0;
        if (count == 0) wide = false; /* whatever the others are */
    }
    a->view.dtype = dtype;
    int64_t bytes;
    wide |= __builtin_mul_overflow(count, (int64_t)dtype_size[dtype], &bytes);
    if (wide || (a->storage = block_new((size_t)bytes + HEAD)) == NULL) {
        Py_DECREF(a);
        return too_large(dtype, ndim, size);
    }
    *a->storage = (Storage){.count = 1, .data = (char *)a->storage + HEAD, .bytes = (size_t)bytes};
    a->view.data = a->storage->data;
    return a;
}

Array *array_view(Array *of, int dtype, int ndim) {
    Array *a = array_blank(ndim);
    if (a == NULL) return NULL;
    a->storage = of->storage;
    a->storage->count++;
    a->view.data = of->view.data;
    a->view.dtype = dtype;
    return a;
}

/* -- attributes ------------------------------------------------------------------------------------------------ */

static PyObject *tuple_of(int n, const int64_t *values, int64_t times) {
    PyObject *t = PyTuple_New(n);
    for (int i = 0; t && i < n; i++) {
        PyObject *v = PyLong_FromLongLong(values[i] * times);
        if (v == NULL || PyTuple_SetItem(t, i, v) < 0) Py_CLEAR(t);
    }
    return t;
}

static PyObject *get_shape(PyObject *self, void *_) { return tuple_of(((Array *)self)->view.ndim, ((Array *)self)->view.size, 1); }
static PyObject *get_strides(PyObject *self, void *_) {
    Array *a = (Array *)self;
    return tuple_of(a->view.ndim, a->view.stride, dtype_size[a->view.dtype]);
}
static PyObject *get_dtype(PyObject *self, void *_) { return PyLong_FromLong(((Array *)self)->view.dtype); }
static PyObject *get_address(PyObject *self, void *_) { return PyLong_FromVoidPtr(((Array *)self)->view.data); }
static PyObject *get_offset(PyObject *self, void *_) {
    Array *a = (Array *)self;
    return PyLong_FromLongLong(a->view.data - a->storage->data);
}
static PyObject *get_owner(PyObject *self, void *_) {
    PyObject *owner = ((Array *)self)->storage->owner;
    if (owner == NULL) owner = Py_None;
    Py_INCREF(owner);
    return owner;
}
static PyObject *get_contiguous(PyObject *self, void *_) { return PyBool_FromLong(view_contiguous(&((Array *)self)->view)); }
static PyObject *get_nbytes(PyObject *self, void *_) {
    Array *a = (Array *)self;
    return PyLong_FromLongLong(view_count(&a->view) * dtype_size[a->view.dtype]);
}
static PyObject *get_interface(PyObject *self, void *_) {
    Array *a = (Array *)self;
    a->storage->exported = true;
    PyObject *shape = get_shape(self, NULL), *strides = get_strides(self, NULL);
    if (shape == NULL || strides == NULL) {
        Py_XDECREF(shape);
        Py_XDECREF(strides);
        return NULL;
    }
    return Py_BuildValue("{s:N,s:N,s:s,s:(Ni),s:i}", "shape", shape, "strides", strides, "typestr", a->view.dtype < D_OPAQUE ? codes[a->view.dtype] : "|V1", "data",
                         PyLong_FromVoidPtr(a->view.data), 1, "version", 3);
}

/* -- the buffer protocol --------------------------------------------------------------------------------------- */

static int get_buffer(PyObject *self, Py_buffer *buffer, int flags) {
    Array *a = (Array *)self;
    const View *v = &a->view;
    buffer->obj = NULL;
    if (flags & PyBUF_WRITABLE) {
        PyErr_SetString(PyExc_BufferError, "a tensor's memory is read-only; copy it to change it");
        return -1;
    }
    bool plain = view_contiguous(v);
    if (!plain && (flags & PyBUF_STRIDES) != PyBUF_STRIDES) {
        PyErr_SetString(PyExc_BufferError, "the array is not contiguous and the consumer does not take strides");
        return -1;
    }
    int64_t *dims = PyMem_Malloc(sizeof(int64_t) * (size_t)(2 * v->ndim + 1));
    if (dims == NULL) return PyErr_NoMemory(), -1;
    int item = dtype_size[v->dtype];
    for (int i = 0; i < v->ndim; i++) dims[i] = v->size[i], dims[v->ndim + i] = v->stride[i] * item;
    a->storage->exported = true;
    *buffer = (Py_buffer){.buf = v->data, .len = view_count(v) * item, .itemsize = item, .readonly = 1, .ndim = v->ndim, .internal = dims};
    buffer->format = (flags & PyBUF_FORMAT) ? (char *)(v->dtype < D_OPAQUE ? formats[v->dtype] : opaque_formats[v->dtype - D_OPAQUE]) : NULL;
    buffer->shape = (flags & PyBUF_ND) ? (Py_ssize_t *)dims : NULL;
    buffer->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? (Py_ssize_t *)dims + v->ndim : NULL;
    if (!(flags & PyBUF_ND)) buffer->ndim = 1;
    Py_INCREF(self);
    buffer->obj = self;
    return 0;
}

static void release_buffer(PyObject *self, Py_buffer *buffer) {
    (void)self;
    PyMem_Free(buffer->internal);
}

static PyObject *array_repr(PyObject *self) {
    Array *a = (Array *)self;
    char text[256];
    shape_text(text, sizeof text, a->view.ndim, a->view.size);
    return PyUnicode_FromFormat("<cpu array %s[%s]%s>", dtype_name(a->view.dtype), text, view_contiguous(&a->view) ? "" : ", a view");
}

/* -- functions of the module ----------------------------------------------------------------------------------- */

int ints_of(PyObject *sequence, int64_t *into, int most, const char *what) {
    Py_ssize_t n = PySequence_Size(sequence);
    if (n < 0) return -1;
    if (n > most) {
        PyErr_Format(PyExc_ValueError, "%s takes at most %d numbers but was given %zd", what, most, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *v = PySequence_GetItem(sequence, i);
        if (v == NULL) return -1;
        into[i] = PyLong_AsLongLong(v);
        Py_DECREF(v);
        if (into[i] == -1 && PyErr_Occurred()) return -1;
    }
    return (int)n;
}

static bool dtype_known(long dtype) {
    if (dtype >= 0 && dtype < D_COUNT) return true;
    PyErr_Format(PyExc_ValueError, "there is no dtype of number %ld", dtype);
    return false;
}

/* wrap(object, dtype): an Array over the memory of a NumPy array (anything with the buffer protocol), which is kept alive and must not
   change.  Raises ValueError where its items have another size than the dtype, or its strides are no multiples of that. */
static PyObject *wrap(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    if (nargs != 2) return PyErr_Format(PyExc_TypeError, "wrap takes (object, dtype)");
    long dtype = PyLong_AsLong(args[1]);
    Py_buffer b;
    if ((dtype == -1 && PyErr_Occurred()) || !dtype_known(dtype) || PyObject_GetBuffer(args[0], &b, PyBUF_STRIDES) < 0) return NULL;
    int item = dtype_size[dtype];
    Array *a = NULL;
    bool fits = b.itemsize == item && b.ndim <= MAX_DIMS && (dtype >= D_OPAQUE || (uintptr_t)b.buf % (uintptr_t)(item > 8 ? 8 : item) == 0);
    for (int i = 0; fits && i < b.ndim; i++) fits = b.strides[i] % item == 0 || b.shape[i] <= 1;
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "the array's items or strides do not suit its dtype");
    } else if ((a = array_blank(b.ndim)) != NULL) {
        a->view.dtype = (int32_t)dtype;
        a->view.data = b.buf;
        for (int i = 0; i < b.ndim; i++) a->view.size[i] = b.shape[i], a->view.stride[i] = b.shape[i] <= 1 ? 0 : b.strides[i] / item;
        a->storage = storage_of(args[0], b.buf, (size_t)b.len);
        if (a->storage == NULL) Py_CLEAR(a);
    }
    PyBuffer_Release(&b);
    return (PyObject *)a;
}

static PyObject *empty(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    int64_t size[MAX_DIMS];
    if (nargs != 2) return PyErr_Format(PyExc_TypeError, "empty takes (shape, dtype)");
    long dtype = PyLong_AsLong(args[1]);
    int n = ints_of(args[0], size, MAX_DIMS, "a shape");
    if (n < 0 || (dtype == -1 && PyErr_Occurred()) || !dtype_known(dtype)) return NULL;
    return (PyObject *)array_new((int)dtype, n, size);
}

/* define(bytes): the number of one more dtype that only moves */
static PyObject *define(PyObject *module, PyObject *n) {
    (void)module;
    long bytes = PyLong_AsLong(n);
    if (bytes == -1 && PyErr_Occurred()) return NULL;
    if (bytes < 1 || bytes > 4096 || opaque_count >= D_COUNT - D_OPAQUE)
        return PyErr_Format(PyExc_ValueError, "the engine takes at most %d dtypes more, of 1 to 4096 bytes", D_COUNT - D_OPAQUE);
    dtype_size[D_OPAQUE + opaque_count] = (uint16_t)bytes;
    if (bytes == 1) strcpy(opaque_formats[opaque_count], "B");
    else snprintf(opaque_formats[opaque_count], 8, "%lds", bytes);
    return PyLong_FromLong(D_OPAQUE + opaque_count++);
}

static PyObject *memory(PyObject *module, PyObject *_) {
    (void)module, (void)_;
    return Py_BuildValue("{s:n,s:n,s:n}", "in_use", (Py_ssize_t)block_in_use(), "peak", (Py_ssize_t)block_peak(), "cached",
                         (Py_ssize_t)block_cached());
}
static PyObject *trim(PyObject *module, PyObject *_) {
    (void)module, (void)_;
    block_trim();
    Py_RETURN_NONE;
}
static PyObject *reset_peak(PyObject *module, PyObject *_) {
    (void)module, (void)_;
    block_reset_peak();
    Py_RETURN_NONE;
}
/* holders(array): how many arrays share its storage, or 0 where somebody outside may be looking at it */
static PyObject *holders(PyObject *module, PyObject *x) {
    (void)module;
    if (!ARRAY_CHECK(x)) return PyErr_Format(PyExc_TypeError, "holders takes an array of the cpu device");
    Storage *s = ((Array *)x)->storage;
    return PyLong_FromLongLong(s->exported || s->owner ? 0 : s->count);
}

PyMethodDef array_functions[] = {{"wrap", (PyCFunction)(void (*)(void))wrap, METH_FASTCALL, NULL},
                                 {"empty", (PyCFunction)(void (*)(void))empty, METH_FASTCALL, NULL},
                                 {"define", define, METH_O, NULL},
                                 {"memory", memory, METH_NOARGS, NULL},
                                 {"trim", trim, METH_NOARGS, NULL},
                                 {"reset_peak", reset_peak, METH_NOARGS, NULL},
                                 {"holders", holders, METH_O, NULL},
                                 {NULL, NULL, 0, NULL}};

static PyGetSetDef getset[] = {{"shape", get_shape, NULL, "the sizes of its dimensions", NULL},
                               {"strides", get_strides, NULL, "bytes from one index to the next, per dimension", NULL},
                               {"dtype", get_dtype, NULL, "the engine's number of its dtype", NULL},
                               {"address", get_address, NULL, "where its first element lies", NULL},
                               {"offset", get_offset, NULL, "bytes from the start of its storage", NULL},
                               {"owner", get_owner, NULL, "who has lent the memory, or None", NULL},
                               {"contiguous", get_contiguous, NULL, "whether its elements lie in order without gaps", NULL},
                               {"nbytes", get_nbytes, NULL, "bytes of its elements", NULL},
                               {"__array_interface__", get_interface, NULL, "NumPy's description, read-only", NULL},
                               {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, array_dealloc}, {Py_tp_repr, array_repr},
                              {Py_tp_getset, getset},         {Py_bf_getbuffer, get_buffer},
                              {Py_bf_releasebuffer, release_buffer},
                              {Py_tp_doc, "A view of memory on the cpu device."},
                              {0, NULL}};
static PyType_Spec spec = {"candle_cpu._engine.Array", sizeof(Array), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

int array_setup(PyObject *module) {
    ArrayType = (PyTypeObject *)PyType_FromSpec(&spec);
    if (ArrayType == NULL) return -1;
    return PyModule_AddObjectRef(module, "Array", (PyObject *)ArrayType);
}
