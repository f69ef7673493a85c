/* The extension module: functions for memory, kernels, movement, threads and the instruction set. */
#include "array.h"
#include "elementwise.h"

int kernel_setup(PyObject *module);
int movement_setup(void);

static PyObject *set_threads(PyObject *module, PyObject *n) {
    (void)module;
    long threads = PyLong_AsLong(n);
    if (threads == -1 && PyErr_Occurred()) return NULL;
    if (threads < 1 || threads > POOL_MAX)
        return PyErr_Format(PyExc_ValueError, "the number of threads is from 1 to %d but %ld was given", POOL_MAX, threads);
    Py_BEGIN_ALLOW_THREADS
    pool_resize((int)threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}
static PyObject *get_threads(PyObject *module, PyObject *_) {
    (void)module, (void)_;
    return PyLong_FromLong(pool_size());
}
/* choose(name): use an instruction set, the best for an empty name; raises ValueError for one that is unknown or unsupported */
static PyObject *choose(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    char text[400];
    if (!PyArg_ParseTuple(args, "s", &name)) return NULL;
    if (isa_choose(name, text, sizeof text) != 0) return PyErr_Format(PyExc_ValueError, "%s", text);
    return PyUnicode_FromString(isa_current());
}
static PyObject *current(PyObject *module, PyObject *_) {
    (void)module, (void)_;
    return PyUnicode_FromString(isa_current());
}
/* instruction_sets(): those compiled in, worst first, and whether this machine has them */
static PyObject *instruction_sets(PyObject *module, PyObject *_) {
    (void)module, (void)_;
    const char *names[16];
    bool supported[16];
    int n = isa_list(names, supported, 16);
    PyObject *found = PyDict_New();
    for (int i = 0; found && i < n; i++)
        if (PyDict_SetItemString(found, names[i], supported[i] ? Py_True : Py_False) < 0) Py_CLEAR(found);
    return found;
}

static PyObject *can_convert(PyObject *module, PyObject *args) {
    (void)module;
    int from, to;
    if (!PyArg_ParseTuple(args, "ii", &from, &to)) return NULL;
    return PyBool_FromLong(from >= 0 && to >= 0 && find_convert(from, to) != NULL);
}

static PyMethodDef functions[] = {{"set_threads", set_threads, METH_O, NULL},
                                  {"get_threads", get_threads, METH_NOARGS, NULL},
                                  {"can_convert", can_convert, METH_VARARGS, NULL},
                                  {"choose", choose, METH_VARARGS, NULL},
                                  {"current", current, METH_NOARGS, NULL},
                                  {"instruction_sets", instruction_sets, METH_NOARGS, NULL},
                                  {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "candle_cpu._engine", "The C engine.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__engine(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    if (array_setup(module) < 0 || kernel_setup(module) < 0 || movement_setup() < 0 || plan_setup(module) < 0 || PyModule_AddFunctions(module, functions) < 0 ||
        PyModule_AddFunctions(module, array_functions) < 0 || PyModule_AddFunctions(module, kernel_functions) < 0 ||
        PyModule_AddFunctions(module, movement_functions) < 0 || PyModule_AddFunctions(module, plan_functions) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    PyObject *names = PyTuple_New(D_OPAQUE);
    for (int i = 0; names && i < D_OPAQUE; i++) PyTuple_SetItem(names, i, PyUnicode_FromString(dtype_name(i)));
    if (names == NULL || PyModule_AddObject(module, "DTYPES", names) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
