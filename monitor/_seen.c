/* The walk through the hash table of monitor/dedup.py, row by row in log order, without the interpreter's lock.

       add(keys, expires, ids, row_expires, clock, duplicate) -> ids that are new in the table

   keys and expires are the table (a power of two of slots, key 0 is free), changed in place; so is duplicate. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdint.h>

#define AHEAD 16 /* rows whose slots are fetched into the cache meanwhile */

static PyObject *add(PyObject *self, PyObject *args) {
    PyObject *objects[6], *result = NULL;
    Py_buffer views[6];
    int held = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOOOOO", &objects[0], &objects[1], &objects[2], &objects[3], &objects[4], &objects[5])) return NULL;
    for (; held < 6; held++)
        if (PyObject_GetBuffer(objects[held], &views[held], held < 2 || held == 5 ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0) goto done;
    Py_ssize_t rows = views[5].len, slots = views[0].len / 8;
    if (slots < 1 || (slots & (slots - 1)) != 0 || views[1].len != views[0].len || views[2].len != 8 * rows ||
        views[3].len != 8 * rows || views[4].len != 8 * rows) {
        PyErr_SetString(PyExc_ValueError, "a table or rows of the wrong size");
        goto done;
    }
    uint64_t *keys = views[0].buf, mask = (uint64_t)slots - 1;
    int64_t *expires = views[1].buf;
    const uint64_t *ids = views[2].buf;
    const int64_t *row_expires = views[3].buf, *clock = views[4].buf;
    uint8_t *duplicate = views[5].buf;
    int64_t fresh = 0;
    int full = 0;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < rows; i++) {
        if (i + AHEAD < rows) {
            __builtin_prefetch(&keys[ids[i + AHEAD] & mask]);
            __builtin_prefetch(&expires[ids[i + AHEAD] & mask]);
        }
        uint64_t id = ids[i] == 0 ? 1 : ids[i], at = id & mask;
        int64_t tries = 0;
        while (keys[at] != 0 && keys[at] != id && tries++ < slots) at = (at + 1) & mask;
        if (keys[at] == 0) {
            keys[at] = id;
            expires[at] = row_expires[i];
            duplicate[i] = 0;
            fresh++;
        } else if (keys[at] != id) {
            full = 1;
            break;
        } else if (expires[at] > clock[i]) {
            duplicate[i] = 1;
        } else {
            expires[at] = row_expires[i];
            duplicate[i] = 0;
        }
    }
    Py_END_ALLOW_THREADS
    if (full) PyErr_SetString(PyExc_ValueError, "the table has no free slot");
    else result = PyLong_FromLongLong(fresh);
done:
    for (int i = 0; i < held; i++) PyBuffer_Release(&views[i]);
    return result;
}

static PyMethodDef METHODS[] = {
    {"add", add, METH_VARARGS, "See the top of _seen.c."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "monitor._seen", NULL, -1, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__seen(void) { return PyModule_Create(&MODULE); }
