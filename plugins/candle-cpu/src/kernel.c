/* Kernels as Python calls them: what one plan has decided, made a function that allocates its results and computes. */
#include "array.h"
#include <stdarg.h>
#include <stdio.h>

/* -- messages out of kernels ----------------------------------------------------------------------------------- */

static _Thread_local char message[256];
static _Thread_local bool memory_wanted;

int failed(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    memory_wanted = false;
    return 1;
}

int no_memory(size_t bytes) {
    failed("the cpu device cannot allocate %zu bytes of scratch memory; %zu MB are in use", bytes, block_in_use() >> 20);
    memory_wanted = true;
    return 1;
}

/* -- the object ------------------------------------------------------------------------------------------------ */

#define FEW 8

PyTypeObject *KernelType;

static void kernel_dealloc(PyObject *self) {
    Kernel *k = (Kernel *)self;
    for (int i = 0; i < MAX_RESULTS; i++) PyMem_Free(k->out_size[i]);
    PyMem_Free((void *)k->call.ints);
    PyMem_Free((void *)k->call.floats);
    PyObject_Free(self);
    Py_DECREF((PyObject *)KernelType);
}

static PyObject *index_error; /* what is raised for an index out of range */
PyObject *kernel_raise(void) {
    return PyErr_Format(memory_wanted ? PyExc_MemoryError : index_error ? index_error : PyExc_IndexError, "%s", message);
}
static PyObject *set_index_error(PyObject *module, PyObject *type) {
    (void)module;
    Py_INCREF(type);
    Py_XDECREF(index_error);
    index_error = type;
    Py_RETURN_NONE;
}

/* kernel(out, *operands, **attrs): everything but the operands was decided when it was made. */
static PyObject *kernel_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    (void)names;
    Kernel *k = (Kernel *)self;
    int nin = (int)nargs - 1;
    if (nin != k->call.nin && k->call.nin >= 0)
        return PyErr_Format(PyExc_TypeError, "the kernel takes %d operands but was given %d", k->call.nin, nin);
    const View *few[FEW], **in = few;
    View *out[MAX_RESULTS];
    Array *made[MAX_RESULTS] = {NULL};
    PyObject *result = NULL;
    if (nin > FEW && (in = PyMem_Malloc(sizeof *in * (size_t)nin)) == NULL) return PyErr_NoMemory();
    for (int i = 0; i < nin; i++) {
        PyObject *x = args[i + 1];
        if (LIKELY(ARRAY_CHECK(x))) in[i] = &((Array *)x)->view;
        else if (x == Py_None) in[i] = NULL;
        else {
            PyErr_Format(PyExc_TypeError, "the kernel takes arrays of the cpu device but operand %d is another object", i);
            goto done;
        }
    }
    int nout = k->call.nout;
    for (int i = 0; i < nout; i++) {
        if (k->into) {
            Py_INCREF(args[1]);
            made[i] = (Array *)args[1];
        } else {
            made[i] = array_new(k->out_dtype[i], k->out_ndim[i], k->out_size[i]);
        }
        if (made[i] == NULL) goto done;
        out[i] = &made[i]->view;
    }
    Call call = k->call;
    call.in = in;
    call.out = out;
    call.nin = nin;
    int wrong;
    if (k->unlocked) {
        PyThreadState *state = PyEval_SaveThread();
        wrong = call.entry->run(&call);
        PyEval_RestoreThread(state);
    } else {
        wrong = call.entry->run(&call);
    }
    if (UNLIKELY(wrong)) {
        kernel_raise();
    } else if (nout == 1) {
        result = (PyObject *)made[0];
        made[0] = NULL;
    } else if ((result = PyTuple_New(nout)) != NULL) {
        for (int i = 0; i < nout; i++) PyTuple_SetItem(result, i, (PyObject *)made[i]), made[i] = NULL;
    }
done:
    for (int i = 0; i < MAX_RESULTS; i++) Py_XDECREF((PyObject *)made[i]);
    if (in != few) PyMem_Free(in);
    return result;
}

static PyMethodDef call_def = {"kernel", (PyCFunction)(void (*)(void))kernel_call, METH_FASTCALL | METH_KEYWORDS, NULL};

/* kernel(name, dtype, results, operands, ints, floats, unlocked) -> a function, or None where the tables have none.
   `results` are (shape, dtype) pairs; `operands` is their number, -1 for any; `unlocked`: the interpreter's lock is released. */
static PyObject *kernel_new(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    int dtype, operands, unlocked;
    PyObject *results, *ints, *floats;
    if (!PyArg_ParseTuple(args, "siOiOOp", &name, &dtype, &results, &operands, &ints, &floats, &unlocked)) return NULL;
    const KernelEntry *entry = find_kernel(name, dtype);
    if (entry == NULL) Py_RETURN_NONE;
    Py_ssize_t nout = PySequence_Size(results), ni = PySequence_Size(ints), nf = PySequence_Size(floats);
    if (nout < 0 || ni < 0 || nf < 0) return NULL;
    if (nout > MAX_RESULTS) return PyErr_Format(PyExc_ValueError, "a kernel has at most %d results", MAX_RESULTS);
    Kernel *k = PyObject_Malloc(sizeof *k);
    if (k == NULL) return PyErr_NoMemory();
    memset((char *)k + sizeof(PyObject), 0, sizeof *k - sizeof(PyObject));
    PyObject_Init((PyObject *)k, KernelType);
    k->unlocked = unlocked;
    k->call.entry = entry;
    k->call.nin = operands;
    k->call.nout = (int)nout;
    k->call.nints = (int)ni;
    k->call.nfloats = (int)nf;
    int64_t *kept_ints = PyMem_Malloc(sizeof *kept_ints * (size_t)(ni + 1));
    double *kept_floats = PyMem_Malloc(sizeof *kept_floats * (size_t)(nf + 1));
    k->call.ints = kept_ints;
    k->call.floats = kept_floats;
    if (kept_ints == NULL || kept_floats == NULL) {
        PyErr_NoMemory();
        goto wrong;
    }
    if (ints_of(ints, kept_ints, (int)ni, "a kernel's list") < 0) goto wrong;
    for (Py_ssize_t i = 0; i < nf; i++) {
        PyObject *v = PySequence_GetItem(floats, i);
        if (v == NULL) goto wrong;
        kept_floats[i] = PyFloat_AsDouble(v);
        Py_DECREF(v);
        if (PyErr_Occurred()) goto wrong;
    }
    for (Py_ssize_t i = 0; i < nout; i++) {
        int64_t size[MAX_DIMS];
        PyObject *pair = PySequence_GetItem(results, i), *shape;
        if (pair == NULL || !PyArg_ParseTuple(pair, "Oi", &shape, &k->out_dtype[i]) ||
            (k->out_ndim[i] = ints_of(shape, size, MAX_DIMS, "a shape")) < 0) {
            Py_XDECREF(pair);
            goto wrong;
        }
        k->out_size[i] = PyMem_Malloc(sizeof(int64_t) * (size_t)(k->out_ndim[i] + 1));
        if (k->out_size[i]) memcpy(k->out_size[i], size, sizeof(int64_t) * (size_t)k->out_ndim[i]);
        Py_DECREF(pair);
        if (k->out_size[i] == NULL || k->out_dtype[i] < 0 || k->out_dtype[i] >= D_COUNT) {
            PyErr_SetString(PyExc_ValueError, "a kernel's results are (shape, dtype)");
            goto wrong;
        }
    }
    PyObject *function = PyCFunction_NewEx(&call_def, (PyObject *)k, NULL);
    Py_DECREF(k);
    return function;
wrong:
    Py_DECREF(k);
    return NULL;
}

/* into(kernel): a function that writes the kernel's result over its first operand.  The kernel must be made for that. */
static PyObject *kernel_into(PyObject *module, PyObject *function) {
    (void)module;
    Kernel *from = PyCFunction_Check(function) ? (Kernel *)PyCFunction_GetSelf(function) : NULL;
    if (from == NULL || Py_TYPE((PyObject *)from) != KernelType) return PyErr_Format(PyExc_TypeError, "into takes a kernel of the engine");
    Kernel *k = PyObject_Malloc(sizeof *k);
    if (k == NULL) return PyErr_NoMemory();
    memcpy((char *)k + sizeof(PyObject), (char *)from + sizeof(PyObject), sizeof *k - sizeof(PyObject));
    PyObject_Init((PyObject *)k, KernelType);
    k->into = true;
    size_t ints = sizeof(int64_t) * (size_t)(k->call.nints + 1), floats = sizeof(double) * (size_t)(k->call.nfloats + 1);
    k->call.ints = memcpy(PyMem_Malloc(ints), from->call.ints, ints);
    k->call.floats = memcpy(PyMem_Malloc(floats), from->call.floats, floats);
    memset(k->out_size, 0, sizeof k->out_size);
    PyObject *made = PyCFunction_NewEx(&call_def, (PyObject *)k, NULL);
    Py_DECREF(k);
    return made;
}

static PyObject *has_kernel(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    int dtype;
    if (!PyArg_ParseTuple(args, "si", &name, &dtype)) return NULL;
    return PyBool_FromLong(find_kernel(name, dtype) != NULL);
}

PyMethodDef kernel_functions[] = {{"kernel", kernel_new, METH_VARARGS, NULL},
                                  {"has_kernel", has_kernel, METH_VARARGS, NULL},
                                  {"set_index_error", set_index_error, METH_O, NULL},
                                  {"into", kernel_into, METH_O, NULL},
                                  {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, kernel_dealloc}, {0, NULL}};
static PyType_Spec spec = {"candle_cpu._engine.Kernel", sizeof(Kernel), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

int kernel_setup(PyObject *module);
int kernel_setup(PyObject *module) {
    (void)module;
    KernelType = (PyTypeObject *)PyType_FromSpec(&spec);
    return KernelType == NULL ? -1 : 0;
}
