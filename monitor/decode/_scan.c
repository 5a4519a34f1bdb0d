/* Messages of JSON straight to columns, in one pass, without the interpreter's lock.

       Scanner(sections, fields, powers, depth_limit).scan(values, first, end, ...) -> names of rows first to end

   It reads what is plain, and leaves every message that is not to the exact path (monitor/decode/rows.py): it never
   takes one that the exact path would refuse, and never reads another value. monitor/decode/scan.py is the only
   caller, and the Python side of the plan; tests/test_decode_scan.py holds both paths together. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "scan_row.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "hashes of ids are made of little-endian words"
#endif

#define AHEAD 2 /* messages that are fetched into the cache meanwhile */

typedef struct {
    PyObject_HEAD
    Plan plan;
    char *keys; /* the bytes that fields' keys point to */
    uint64_t *powers;
    int counts[5]; /* numbers, codes, times, flags; names has as many as codes */
    int busy;
} Scanner;

static void free_pages(Plan *plan) {
    for (int i = 0; i < plan->page_count; i++) free(plan->pages[i]);
    free(plan->pages);
    plan->pages = NULL;
    plan->page_count = 0;
}

static void scanner_dealloc(PyObject *self) {
    Scanner *s = (Scanner *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (s->plan.names != NULL)
        for (int i = 0; i < s->counts[1]; i++) names_free(&s->plan.names[i]);
    free(s->plan.names);
    free(s->plan.fields);
    free(s->plan.first);
    free(s->plan.slots);
    free(s->keys);
    free(s->powers);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Which output a kind of field has a cell in: an index into counts, -1 for none. */
static int output_of(int kind) {
    return kind == NUMBER ? 0 : kind == TEXT || kind == TARGET ? 1 : kind == TIME ? 2 : kind == STATUS ? 3 : -1;
}

/* Takes over one (section, key, kind, slot, required). Returns 0 with an error set. */
static int add_field(Scanner *s, PyObject *item, int at, char **keys) {
    Field *field = &s->plan.fields[at];
    const char *key;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(item, "iy#iip", &field->section, &key, &length, &field->kind, &field->slot, &field->required))
        return 0;
    if (field->section < 0 || field->section >= s->plan.section_count || field->kind < 0 || field->kind > OTHER ||
        field->slot < 0 || (field->kind == SECTION && field->slot >= s->plan.section_count)) {
        PyErr_SetString(PyExc_ValueError, "a field of the plan is out of range");
        return 0;
    }
    memcpy(*keys, key, (size_t)length);
    field->key.at = *keys;
    field->key.length = length;
    *keys += length;
    field->next = -1;
    field->stamp = -2;
    int output = output_of(field->kind);
    if (output >= 0 && field->slot >= s->counts[output]) s->counts[output] = field->slot + 1;
    if (field->kind == TARGET && s->counts[0] < 1) s->counts[0] = 1;
    s->plan.holders += field->kind != SECTION && field->kind != OTHER;
    if (find_field(&s->plan, field->section, field->key) >= 0) {
        PyErr_SetString(PyExc_ValueError, "a key stands twice in the plan");
        return 0;
    }
    uint64_t slot = (mix(field->key) + (uint64_t)field->section * 0x9E3779B9) & s->plan.mask;
    while (s->plan.slots[slot] >= 0) slot = (slot + 1) & s->plan.mask;
    s->plan.slots[slot] = at;
    return 1;
}

static PyObject *scanner_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    int sections, depth;
    PyObject *fields;
    const char *powers;
    Py_ssize_t power_bytes;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "iO!y#i", &sections, &PyTuple_Type, &fields, &powers, &power_bytes, &depth)) return NULL;
    Py_ssize_t count = PyTuple_Size(fields);
    if (sections < 1 || sections > 1000 || count > 1000000 || power_bytes != POWER_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a plan of this size is not possible");
        return NULL;
    }
    size_t key_bytes = 1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GetItem(fields, i), *key = PyTuple_Check(item) ? PyTuple_GetItem(item, 1) : NULL;
        if (key == NULL || !PyBytes_Check(key)) {
            PyErr_SetString(PyExc_TypeError, "a field is (section, key, kind, slot, required)");
            return NULL;
        }
        key_bytes += (size_t)PyBytes_Size(key);
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Scanner *s = (Scanner *)allocate(type, 0);
    if (s == NULL) return NULL;
    uint64_t slots = 16;
    while (slots < 4 * (uint64_t)count) slots *= 2;
    s->plan.section_count = sections;
    s->plan.field_count = (int)count;
    s->plan.depth_limit = depth;
    s->plan.mask = slots - 1;
    s->plan.fields = calloc((size_t)count + 1, sizeof(Field));
    s->plan.first = malloc(sizeof(int) * (size_t)sections);
    s->plan.slots = malloc(sizeof(int) * slots);
    s->keys = malloc(key_bytes);
    s->powers = malloc(POWER_BYTES);
    if (!s->plan.fields || !s->plan.first || !s->plan.slots || !s->keys || !s->powers) {
        Py_DECREF(s);
        return PyErr_NoMemory();
    }
    memcpy(s->powers, powers, POWER_BYTES);
    s->plan.powers = s->powers;
    for (int i = 0; i < sections; i++) s->plan.first[i] = -1;
    for (uint64_t i = 0; i < slots; i++) s->plan.slots[i] = -1;
    char *keys = s->keys;
    for (Py_ssize_t i = 0; i < count; i++)
        if (!add_field(s, PyTuple_GetItem(fields, i), (int)i, &keys)) {
            Py_DECREF(s);
            return NULL;
        }
    s->plan.names = calloc((size_t)s->counts[1] + 1, sizeof(Names));
    if (s->plan.names == NULL) {
        Py_DECREF(s);
        return PyErr_NoMemory();
    }
    return (PyObject *)s;
}

/* A writable buffer of exactly `bytes`, or NULL with an error set. */
static void *writable(PyObject *object, Py_buffer *view, int64_t bytes) {
    if (PyObject_GetBuffer(object, view, PyBUF_WRITABLE) < 0) return NULL;
    if (view->len != bytes) {
        PyErr_Format(PyExc_ValueError, "a buffer of %zd bytes, expected %lld", view->len, (long long)bytes);
        PyBuffer_Release(view);
        return NULL;
    }
    return view->buf;
}

static PyObject *name_lists(Scanner *s) {
    PyObject *out = PyList_New(s->counts[1]);
    for (int i = 0; out != NULL && i < s->counts[1]; i++) {
        const Names *names = &s->plan.names[i];
        PyObject *list = PyList_New(names->count);
        for (int32_t j = 0; list != NULL && j < names->count; j++) {
            PyObject *text = PyUnicode_FromStringAndSize(names->names[j].at, names->names[j].length);
            if (text == NULL || PyList_SetItem(list, j, text) < 0) Py_CLEAR(list);
        }
        if (list == NULL || PyList_SetItem(out, i, list) < 0) Py_CLEAR(out);
    }
    return out;
}

/* scan(values, first, end, message_bytes, numbers, codes, times, flags, ids, taken) -> [names of codes' slot 0, of slot 1, ...] */
static PyObject *scanner_scan(PyObject *self, PyObject *args) {
    Scanner *s = (Scanner *)self;
    PyObject *list, *outputs[6];
    Py_ssize_t limit, first, end;
    if (!PyArg_ParseTuple(args, "O!nnnOOOOOO", &PyList_Type, &list, &first, &end, &limit, &outputs[0], &outputs[1], &outputs[2],
                          &outputs[3], &outputs[4], &outputs[5]))
        return NULL;
    if (s->busy) {
        PyErr_SetString(PyExc_RuntimeError, "one scanner, one thread");
        return NULL;
    }
    Py_ssize_t rows = PyList_Size(list);
    if (first < 0 || end < first || end > rows) {
        PyErr_SetString(PyExc_ValueError, "rows out of range");
        return NULL;
    }
    PyObject *values = PyList_GetSlice(list, first, end); /* holds the messages, whatever happens to the list */
    if (values == NULL) return NULL;
    int64_t sizes[6] = {8 * s->counts[0] * rows, 4 * s->counts[1] * rows, 8 * s->counts[2] * rows, s->counts[3] * rows, 16 * rows, rows};
    Py_buffer views[6];
    void *at[6];
    int held = 0;
    PyObject *result = NULL;
    Text *messages = malloc(sizeof(Text) * (size_t)(end - first + 1));
    if (messages == NULL) PyErr_NoMemory();
    for (; messages != NULL && held < 6; held++)
        if ((at[held] = writable(outputs[held], &views[held], sizes[held])) == NULL) break;
    if (held == 6) {
        Plan *plan = &s->plan;
        uint8_t *taken = at[5];
        plan->numbers = at[0];
        plan->codes = at[1];
        plan->times = at[2];
        plan->flags = at[3];
        plan->ids = at[4];
        plan->rows = rows;
        for (int i = 0; i < s->counts[1]; i++) names_clear(&plan->names[i]);
        for (Py_ssize_t i = 0; i < end - first; i++) {
            PyObject *value = PyList_GetItem(values, i);
            messages[i].at = PyBytes_Check(value) ? PyBytes_AsString(value) : NULL;
            messages[i].length = messages[i].at != NULL ? PyBytes_Size(value) : 0;
        }
        s->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = first; i < end; i++) {
            const Text *m = &messages[i - first];
            if (i + AHEAD < end)
                for (int line = 0; line < 8; line++) __builtin_prefetch(m[AHEAD].at + 64 * line);
            taken[i] = (uint8_t)(m->at != NULL && m->length <= limit && read_row(plan, m->at, m->length, i));
        }
        Py_END_ALLOW_THREADS
        s->busy = 0;
        result = name_lists(s);
        free_pages(plan);
    }
    for (int i = 0; i < held; i++) PyBuffer_Release(&views[i]);
    free(messages);
    Py_DECREF(values);
    return result;
}

static PyMethodDef METHODS[] = {
    {"scan", scanner_scan, METH_VARARGS, "Read messages into buffers; returns the names of each text slot."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot SLOTS[] = {
    {Py_tp_new, scanner_new},
    {Py_tp_dealloc, scanner_dealloc},
    {Py_tp_methods, METHODS},
    {Py_tp_doc, "Scanner(sections, fields, powers, depth_limit): see the top of _scan.c."},
    {0, NULL},
};

static PyType_Spec SPEC = {"monitor.decode._scan.Scanner", sizeof(Scanner), 0, Py_TPFLAGS_DEFAULT, SLOTS};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "monitor.decode._scan", NULL, -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__scan(void) {
    make_kinds();
    PyObject *module = PyModule_Create(&MODULE);
    if (module == NULL) return NULL;
    PyObject *type = PyType_FromSpec(&SPEC);
    if (type == NULL || PyModule_AddObjectRef(module, "Scanner", type) < 0) Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
