/* Plans: the steps of a graph run by one call without the interpreter's lock, in one block of memory laid out ahead by lifetimes. */
#include "array.h"

enum { INPUT, CONSTANT, OWN, RESULT, VIEW };
enum { RUN, MOVE, RESHAPE, SAME };

typedef struct {
    int kind, dtype, ndim;
    int64_t *size;  /* not of inputs */
    int64_t *stride; /* row-major, of OWN and RESULT */
    int64_t offset; /* in the arena: of OWN, and of what a reshape that finds no view copies to; -1: none */
    int root;       /* of a view: whose storage it shares, or -1 where that is known only when running */
    PyObject *constant;
} Slot;

typedef struct {
    int kind, nin, nout;
    const PyObject *what; /* the kernel or the movement */
    int *slots;           /* in, then out; -1: an operand left out */
} Step;

typedef struct {
    PyObject_HEAD
    int nslots, nsteps, ninputs, noutputs, most; /* most: operands of a step */
    Slot *slots;
    Step *steps;
    int *outputs;
    int64_t arena, dims; /* bytes of memory, and sizes of all views */
    PyObject *kept;      /* what the steps and constants point to */
} Plan;

static PyTypeObject *PlanType;

static void plan_dealloc(PyObject *self) {
    Plan *p = (Plan *)self;
    for (int i = 0; p->slots && i < p->nslots; i++) PyMem_Free(p->slots[i].size);
    for (int i = 0; p->steps && i < p->nsteps; i++) PyMem_Free(p->steps[i].slots);
    PyMem_Free(p->slots);
    PyMem_Free(p->steps);
    PyMem_Free(p->outputs);
    Py_XDECREF(p->kept);
    PyObject_Free(self);
    Py_DECREF((PyObject *)PlanType);
}

static int run_steps(const Plan *p, View *views, char *arena, const View **in, View **out) {
    for (int i = 0; i < p->nsteps; i++) {
        const Step *s = &p->steps[i];
        View *y = &views[s->slots[s->nin]];
        if (s->kind == RUN) {
            const Kernel *k = (const Kernel *)s->what;
            for (int j = 0; j < s->nin; j++) in[j] = s->slots[j] < 0 ? NULL : &views[s->slots[j]];
            for (int j = 0; j < s->nout; j++) out[j] = &views[s->slots[s->nin + j]];
            Call call = k->call;
            call.in = in;
            call.out = out;
            call.nin = s->nin;
            int wrong = call.entry->run(&call);
            if (wrong) return wrong;
            continue;
        }
        const View *x = &views[s->slots[0]];
        const Slot *slot = &p->slots[s->slots[1]];
        if (s->kind == MOVE) {
            mover_view((const Mover *)s->what, x, y);
        } else if (s->kind == SAME) {
            y->data = x->data, y->dtype = x->dtype, y->ndim = x->ndim;
            memcpy(y->size, x->size, sizeof(int64_t) * (size_t)x->ndim);
            memcpy(y->stride, x->stride, sizeof(int64_t) * (size_t)x->ndim);
        } else if (slot->kind == RESULT || !view_reshaped(x, slot->ndim, slot->size, y->stride)) {
            /* a copy in the operand's own shape, read in the other one */
            int64_t strides[MAX_DIMS], step = 1;
            for (int d = x->ndim - 1; d >= 0; d--) strides[d] = step, step *= x->size[d];
            if (slot->kind != RESULT) y->data = arena + slot->offset;
            View copy = {.data = y->data, .size = x->size, .stride = strides, .ndim = x->ndim, .dtype = x->dtype};
            view_copy(x, &copy);
            step = 1;
            for (int d = slot->ndim - 1; d >= 0; d--) y->stride[d] = step, step *= slot->size[d];
            y->dtype = x->dtype;
        } else {
            y->data = x->data, y->dtype = x->dtype;
        }
    }
    return 0;
}

/* plan(*inputs) -> a tuple of its outputs */
static PyObject *plan_call(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Plan *p = (Plan *)self;
    if (nargs != p->ninputs) return PyErr_Format(PyExc_TypeError, "the plan takes %d inputs but was given %zd", p->ninputs, nargs);
    for (int i = 0; i < nargs; i++)
        if (!ARRAY_CHECK(args[i])) return PyErr_Format(PyExc_TypeError, "input %d of the plan is no array of the cpu device", i);
    size_t heads = sizeof(View) * (size_t)p->nslots, dims = sizeof(int64_t) * (size_t)p->dims;
    size_t lists = sizeof(void *) * (size_t)(p->most + MAX_RESULTS), holders = sizeof(Array *) * (size_t)p->nslots;
    char *block = block_new(heads + dims + lists + holders + (size_t)p->arena + 64);
    if (block == NULL)
        return PyErr_Format(PyExc_MemoryError, "a plan wants %zu bytes for its intermediate values; %zu MB are in use", (size_t)p->arena,
                            block_in_use() >> 20);
    char *arena = block;
    View *views = (View *)(arena + ((p->arena + 63) & ~(int64_t)63));
    int64_t *room = (int64_t *)(views + p->nslots);
    const View **in = (const View **)(room + p->dims);
    View **out = (View **)(in + p->most);
    Array **made = (Array **)(out + MAX_RESULTS);
    memset(made, 0, holders);
    PyObject *result = NULL;
    int at = 0;
    for (int i = 0; i < p->nslots; i++) {
        const Slot *s = &p->slots[i];
        if (s->kind == INPUT) {
            views[i] = ((Array *)args[at++])->view;
        } else if (s->kind == CONSTANT) {
            views[i] = ((Array *)s->constant)->view;
        } else if (s->kind == RESULT) {
            if ((made[i] = array_new(s->dtype, s->ndim, s->size)) == NULL) goto done;
            views[i] = made[i]->view;
        } else if (s->kind == OWN) {
            views[i] = (View){.data = arena + s->offset, .size = s->size, .stride = s->stride, .ndim = s->ndim, .dtype = s->dtype};
        } else {
            views[i] = (View){.size = s->size, .stride = room + s->ndim, .ndim = s->ndim, .dtype = s->dtype};
            views[i].size = memcpy(room, s->size, sizeof(int64_t) * (size_t)s->ndim);
            room += 2 * s->ndim;
        }
    }
    PyThreadState *state = PyEval_SaveThread();
    int wrong = run_steps(p, views, arena, in, out);
    PyEval_RestoreThread(state);
    if (wrong) {
        kernel_raise();
        goto done;
    }
    result = PyTuple_New(p->noutputs);
    for (int i = 0; result && i < p->noutputs; i++) {
        int o = p->outputs[i];
        const Slot *s = &p->slots[o];
        PyObject *y = NULL;
        if (s->kind == RESULT) {
            y = (PyObject *)made[o];
            Py_INCREF(y);
        } else {
            int root = s->kind == VIEW ? s->root : o, k = 0;
            Array *from;
            if (p->slots[root].kind == INPUT) {
                for (int j = 0; j < root; j++) k += p->slots[j].kind == INPUT;
                from = (Array *)args[k];
            } else {
                from = p->slots[root].kind == CONSTANT ? (Array *)p->slots[root].constant : made[root];
            }
            Array *v = array_view(from, views[o].dtype, views[o].ndim);
            if (v) {
                v->view.data = views[o].data;
                memcpy(v->view.size, views[o].size, sizeof(int64_t) * (size_t)views[o].ndim);
                memcpy(v->view.stride, views[o].stride, sizeof(int64_t) * (size_t)views[o].ndim);
            }
            y = (PyObject *)v;
        }
        if (y == NULL || PyTuple_SetItem(result, i, y) < 0) Py_CLEAR(result);
    }
done:
    for (int i = 0; i < p->nslots; i++) Py_XDECREF((PyObject *)made[i]);
    block_free(block);
    return result;
}

static PyMethodDef call_def = {"plan", (PyCFunction)(void (*)(void))plan_call, METH_FASTCALL, NULL};

/* kind(function): 0 a kernel, 1 a view, 2 a reshape, 3 its operand itself; -1 where it is none of the engine's */
static PyObject *kind_of(PyObject *module, PyObject *function) {
    (void)module;
    int kind = -1;
    if (PyCFunction_Check(function)) {
        PyObject *self = PyCFunction_GetSelf(function);
        if (self && Py_TYPE(self) == KernelType) kind = ((Kernel *)self)->into ? -1 : RUN;
        else if (self && Py_TYPE(self) == MoverType) kind = ((Mover *)self)->reshapes ? RESHAPE : MOVE;
        else if (self == module) kind = SAME; /* `same` is the module's only function that is used as a kernel */
    }
    return PyLong_FromLong(kind);
}

/* plan(slots, steps, outputs, arena) -> a function.
   slots: (kind, dtype, shape, offset, root, constant or None); steps: (kind, function, slots in, slots out), in order. */
static PyObject *plan_new(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *slots, *steps, *outputs;
    long long arena;
    if (!PyArg_ParseTuple(args, "O!O!OL", &PyList_Type, &slots, &PyList_Type, &steps, &outputs, &arena)) return NULL;
    Plan *p = PyObject_Malloc(sizeof *p);
    if (p == NULL) return PyErr_NoMemory();
    memset((char *)p + sizeof(PyObject), 0, sizeof *p - sizeof(PyObject));
    PyObject_Init((PyObject *)p, PlanType);
    p->arena = arena;
    p->nslots = (int)PyList_Size(slots), p->nsteps = (int)PyList_Size(steps), p->noutputs = (int)PySequence_Size(outputs);
    p->slots = PyMem_Calloc((size_t)p->nslots + 1, sizeof *p->slots);
    p->steps = PyMem_Calloc((size_t)p->nsteps + 1, sizeof *p->steps);
    p->outputs = PyMem_Calloc((size_t)p->noutputs + 1, sizeof *p->outputs);
    p->kept = PyTuple_Pack(2, slots, steps);
    if (!p->slots || !p->steps || !p->outputs || !p->kept) {
        PyErr_NoMemory();
        goto wrong;
    }
    int64_t numbers[4096];
    for (int i = 0; i < p->nslots; i++) {
        Slot *s = &p->slots[i];
        PyObject *shape, *constant;
        long long offset;
        if (!PyArg_ParseTuple(PyList_GetItem(slots, i), "iiOLiO", &s->kind, &s->dtype, &shape, &offset, &s->root, &constant)) goto wrong;
        if ((s->ndim = ints_of(shape, numbers, MAX_DIMS, "a shape")) < 0) goto wrong;
        if ((s->size = PyMem_Malloc(sizeof(int64_t) * (size_t)(2 * s->ndim + 1))) == NULL) {
            PyErr_NoMemory();
            goto wrong;
        }
        memcpy(s->size, numbers, sizeof(int64_t) * (size_t)s->ndim);
        s->stride = s->size + s->ndim;
        int64_t step = 1;
        for (int d = s->ndim - 1; d >= 0; d--) s->stride[d] = step, step *= s->size[d] ? s->size[d] : 1;
        s->offset = offset;
        s->constant = constant;
        p->ninputs += s->kind == INPUT;
        if (s->kind == VIEW) p->dims += 2 * s->ndim;
        if (s->kind == CONSTANT && !ARRAY_CHECK(constant)) {
            PyErr_SetString(PyExc_TypeError, "a plan's constants are arrays of the cpu device");
            goto wrong;
        }
    }
    for (int i = 0; i < p->nsteps; i++) {
        Step *s = &p->steps[i];
        PyObject *function, *in, *out;
        if (!PyArg_ParseTuple(PyList_GetItem(steps, i), "iOOO", &s->kind, &function, &in, &out)) goto wrong;
        int nin = ints_of(in, numbers, 4000, "a step"), nout = nin < 0 ? -1 : ints_of(out, numbers + nin, MAX_RESULTS, "a step");
        if (nout < 0) goto wrong;
        for (int j = 0; j < nin + nout; j++)
            if (numbers[j] < (j < nin ? -1 : 0) || numbers[j] >= p->nslots) {
                PyErr_SetString(PyExc_ValueError, "a step names a slot that the plan has not");
                goto wrong;
            }
        if ((s->slots = PyMem_Malloc(sizeof(int) * (size_t)(nin + nout + 1))) == NULL) {
            PyErr_NoMemory();
            goto wrong;
        }
        for (int j = 0; j < nin + nout; j++) s->slots[j] = (int)numbers[j];
        s->nin = nin, s->nout = nout;
        s->what = PyCFunction_GetSelf(function);
        if (nin > p->most) p->most = nin;
    }
    if (ints_of(outputs, numbers, 4096, "a plan's outputs") < 0) goto wrong;
    for (int i = 0; i < p->noutputs; i++) p->outputs[i] = (int)numbers[i];
    PyObject *function = PyCFunction_NewEx(&call_def, (PyObject *)p, NULL);
    Py_DECREF((PyObject *)p);
    return function;
wrong:
    Py_DECREF((PyObject *)p);
    return NULL;
}

PyMethodDef plan_functions[] = {{"plan", plan_new, METH_VARARGS, NULL}, {"kind", kind_of, METH_O, NULL}, {NULL, NULL, 0, NULL}};

static PyType_Slot type_slots[] = {{Py_tp_dealloc, plan_dealloc}, {0, NULL}};
static PyType_Spec spec = {"candle_cpu._engine.Plan", sizeof(Plan), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, type_slots};

int plan_setup(PyObject *module) {
    (void)module;
    PlanType = (PyTypeObject *)PyType_FromSpec(&spec);
    return PlanType == NULL ? -1 : 0;
}
