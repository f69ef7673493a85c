/* Movement as free views: functions that give another Array over the same storage. */
#include "array.h"

PyTypeObject *MoverType;

static void mover_dealloc(PyObject *self) {
    Mover *m = (Mover *)self;
    PyMem_Free(m->size);
    PyObject_Free(self);
    Py_DECREF((PyObject *)MoverType);
}

static Array *operand(PyObject *const *args, Py_ssize_t nargs) {
    if (nargs >= 2 && ARRAY_CHECK(args[1])) return (Array *)args[1];
    PyErr_SetString(PyExc_TypeError, "a movement takes (out, array of the cpu device)");
    return NULL;
}

void mover_view(const Mover *m, const View *x, View *y) {
    int64_t at = 0;
    for (int d = 0; d < m->source_ndim; d++) at += m->start[d] * x->stride[d];
    y->dtype = x->dtype;
    y->ndim = m->ndim;
    y->data = x->data + at * dtype_size[x->dtype];
    for (int i = 0; i < m->ndim; i++) {
        const int64_t *from = m->along + 4 * i;
        y->size[i] = m->size[i];
        y->stride[i] = (from[0] < 0 ? 0 : from[1] * x->stride[from[0]]) + (from[2] < 0 ? 0 : from[3] * x->stride[from[2]]);
    }
}

static PyObject *strided_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    (void)names;
    const Mover *m = (const Mover *)self;
    Array *x = operand(args, nargs);
    if (x == NULL) return NULL;
    if (x->view.ndim != m->source_ndim)
        return PyErr_Format(PyExc_ValueError, "the view takes %d dimensions but was given %d", m->source_ndim, x->view.ndim);
    Array *y = array_view(x, x->view.dtype, m->ndim);
    if (y == NULL) return NULL;
    mover_view(m, &x->view, &y->view);
    return (PyObject *)y;
}

/* The strides of a view in another shape, if it has any: runs of dimensions without gaps are cut anew. */
bool view_reshaped(const View *v, int ndim, const int64_t *size, int64_t *stride) {
    int64_t run_size[MAX_DIMS], run_stride[MAX_DIMS];
    int runs = 0;
    for (int i = 0; i < v->ndim; i++) {
        if (v->size[i] == 1) continue;
        if (runs && run_stride[runs - 1] == v->stride[i] * v->size[i]) {
            run_size[runs - 1] *= v->size[i];
            run_stride[runs - 1] = v->stride[i];
        } else {
            run_size[runs] = v->size[i];
            run_stride[runs++] = v->stride[i];
        }
    }
    int at = ndim - 1;
    for (int r = runs - 1; r >= 0; r--) {
        int64_t left = run_size[r], step = run_stride[r];
        while (left > 1) {
            while (at >= 0 && size[at] == 1) stride[at--] = 0;
            if (at < 0 || left % size[at] != 0) return false;
            stride[at] = step;
            step *= size[at];
            left /= size[at--];
        }
    }
    while (at >= 0) stride[at--] = 0;
    return true;
}

static PyObject *contiguous_of(Array *x) {
    Array *y = array_new(x->view.dtype, x->view.ndim, x->view.size);
    if (y == NULL) return NULL;
    if (view_count(&x->view) > 32768) {
        PyThreadState *state = PyEval_SaveThread();
        view_copy(&x->view, &y->view);
        PyEval_RestoreThread(state);
    } else {
        view_copy(&x->view, &y->view);
    }
    return (PyObject *)y;
}

static PyObject *reshape_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    (void)names;
    const Mover *m = (const Mover *)self;
    Array *x = operand(args, nargs);
    if (x == NULL) return NULL;
    Array *y = array_view(x, x->view.dtype, m->ndim);
    if (y == NULL) return NULL;
    memcpy(y->view.size, m->size, sizeof(int64_t) * (size_t)m->ndim);
    if (view_count(&x->view) == 0) {
        memset(y->view.stride, 0, sizeof(int64_t) * (size_t)m->ndim);
        return (PyObject *)y;
    }
    if (view_reshaped(&x->view, m->ndim, m->size, y->view.stride)) return (PyObject *)y;
    Py_DECREF(y);
    Array *copy = (Array *)contiguous_of(x);
    if (copy == NULL) return NULL;
    y = array_view(copy, copy->view.dtype, m->ndim);
    if (y != NULL) {
        int64_t step = 1;
        for (int i = m->ndim - 1; i >= 0; i--) y->view.size[i] = m->size[i], y->view.stride[i] = step, step *= m->size[i];
    }
    Py_DECREF(copy);
    return (PyObject *)y;
}

static PyObject *same_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names) {
    (void)self, (void)names;
    Array *x = operand(args, nargs);
    if (x == NULL) return NULL;
    Py_INCREF((PyObject *)x);
    return (PyObject *)x;
}

static PyMethodDef strided_def = {"strided", (PyCFunction)(void (*)(void))strided_call, METH_FASTCALL | METH_KEYWORDS, NULL};
static PyMethodDef reshape_def = {"reshape", (PyCFunction)(void (*)(void))reshape_call, METH_FASTCALL | METH_KEYWORDS, NULL};

/* size, along and start as lists; either of the last two empty for a reshape */
static PyObject *mover_new(PyMethodDef *def, PyObject *size, PyObject *along, PyObject *start) {
    int64_t sizes[MAX_DIMS], starts[MAX_DIMS], alongs[4 * MAX_DIMS];
    int n = ints_of(size, sizes, MAX_DIMS, "a shape"), na = 0, ns = 0;
    if (n < 0) return NULL;
    if (along && ((na = ints_of(along, alongs, 4 * MAX_DIMS, "strided")) < 0 || (ns = ints_of(start, starts, MAX_DIMS, "strided")) < 0))
        return NULL;
    bool fits = along == NULL || na == 4 * n;
    for (int i = 0; fits && i < na; i += 2) fits = alongs[i] < ns;
    if (!fits) return PyErr_Format(PyExc_ValueError, "strided takes four numbers for each dimension of the result");
    Mover *m = PyObject_Malloc(sizeof *m);
    if (m == NULL) return PyErr_NoMemory();
    m->size = PyMem_Malloc(sizeof(int64_t) * (size_t)(n + na + ns + 1));
    if (m->size == NULL) {
        PyObject_Free(m);
        return PyErr_NoMemory();
    }
    PyObject_Init((PyObject *)m, MoverType);
    m->ndim = n, m->source_ndim = ns, m->reshapes = along == NULL;
    m->along = m->size + n, m->start = m->along + na;
    memcpy(m->size, sizes, sizeof(int64_t) * (size_t)n);
    memcpy(m->along, alongs, sizeof(int64_t) * (size_t)na);
    memcpy(m->start, starts, sizeof(int64_t) * (size_t)ns);
    PyObject *function = PyCFunction_NewEx(def, (PyObject *)m, NULL);
    Py_DECREF(m);
    return function;
}

/* strided(size, along, start) -> a function that gives such a view */
static PyObject *strided(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *size, *along, *start;
    if (!PyArg_ParseTuple(args, "OOO", &size, &along, &start)) return NULL;
    return mover_new(&strided_def, size, along, start);
}
/* reshaper(size) -> a function that gives a view in another shape, or of a copy where there is none */
static PyObject *reshaper(PyObject *module, PyObject *size) {
    (void)module;
    return mover_new(&reshape_def, size, NULL, NULL);
}
/* contiguous(array): a copy of it in row-major order; always a copy */
static PyObject *contiguous(PyObject *module, PyObject *x) {
    (void)module;
    if (!ARRAY_CHECK(x)) return PyErr_Format(PyExc_TypeError, "contiguous takes an array of the cpu device");
    return contiguous_of((Array *)x);
}
/* retyped(array, dtype): the same bytes as another dtype of the same size */
static PyObject *retyped(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    (void)module;
    if (nargs != 2 || !ARRAY_CHECK(args[0])) return PyErr_Format(PyExc_TypeError, "retyped takes (array of the cpu device, dtype)");
    Array *x = (Array *)args[0];
    long dtype = PyLong_AsLong(args[1]);
    if (dtype < 0 || dtype >= D_COUNT || dtype_size[dtype] != dtype_size[x->view.dtype])
        return PyErr_Format(PyExc_ValueError, "retyped takes a dtype of the same size");
    Array *y = array_view(x, (int)dtype, x->view.ndim);
    if (y) memcpy(y->dims, x->dims, sizeof(int64_t) * 2 * (size_t)x->view.ndim);
    return (PyObject *)y;
}

PyMethodDef movement_functions[] = {
    {"strided", strided, METH_VARARGS, NULL},
    {"reshaper", reshaper, METH_O, NULL},
    {"same", (PyCFunction)(void (*)(void))same_call, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"contiguous", contiguous, METH_O, NULL},
    {"retyped", (PyCFunction)(void (*)(void))retyped, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {{Py_tp_dealloc, mover_dealloc}, {0, NULL}};
static PyType_Spec spec = {"candle_cpu._engine.Mover", sizeof(Mover), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

int movement_setup(void);
int movement_setup(void) {
    MoverType = (PyTypeObject *)PyType_FromSpec(&spec);
    return MoverType == NULL ? -1 : 0;
}
