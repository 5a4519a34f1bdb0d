/* One pass over a column: what detectors/adaptive.py, numeric.py and moments.py do for each value, in C.

       adaptive(values, shift, keys, counts, out_keys, out_counts) -> (filled, shift, *tally)
       grid(values, edges, by_bits, first, drop, origin, scale, base, single, crowded, counts, sums) -> tally
       tally: (missing, below, above, n, mean, m2, low, high); below and above count infinities

   Counts are the same as those of the numpy versions beside which they are tested; sums to the last few bits. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 4096   /* values that stay in the first-level cache between passes */
#define CAP 1024     /* as in detectors/adaptive.py */
#define CROWD 4096   /* distinct keys held before the resolution is lowered */
#define SLOT_BITS 13 /* twice CROWD */
#define SLOTS (1 << SLOT_BITS)
#define BUCKETS 8192 /* as in detectors/buckets.py */
#define SIGN INT64_C(0x7FFFFFFFFFFFFFFF)

typedef struct {
    int64_t missing, below, above, n;
    double mean, m2, low, high;
} Tally;

static PyObject *tally_tuple(const Tally *t) {
    return Py_BuildValue("LLLLdddd", (long long)t->missing, (long long)t->below, (long long)t->above, (long long)t->n, t->mean,
                         t->m2, t->low, t->high);
}

/* Integers in the order of the floats; both zeros get one key. */
static inline int64_t key_of(double value) {
    int64_t bits;
    value += 0.0;
    memcpy(&bits, &value, 8);
    return bits < 0 ? bits ^ SIGN : bits;
}

/* The finite ones of n values: the values themselves where all are, else a copy in `room`. Adds to n, mean, ... */
static const double *finite_piece(const double *values, int64_t *n, double *room, Tally *t) {
    double sums[8] = {0}, lows[8], highs[8];
    for (int j = 0; j < 8; j++) {
        lows[j] = INFINITY;
        highs[j] = -INFINITY;
    }
    int64_t count = *n, i = 0;
    for (; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; j++) {
            double v = values[i + j];
            sums[j] += v;
            lows[j] = v < lows[j] ? v : lows[j];
            highs[j] = v > highs[j] ? v : highs[j];
        }
    for (; i < count; i++) {
        sums[0] += values[i];
        lows[0] = values[i] < lows[0] ? values[i] : lows[0];
        highs[0] = values[i] > highs[0] ? values[i] : highs[0];
    }
    double sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    if (!isfinite(sum)) {
        int64_t kept = 0;
        for (i = 0; i < count; i++) {
            double v = values[i];
            if (isfinite(v)) room[kept++] = v;
            else if (isnan(v)) t->missing++;
            else if (v < 0) t->below++;
            else t->above++;
        }
        if (kept < count) {
            *n = kept;
            return finite_piece(room, n, room, t);
        }
        sum = 0.0; /* all finite, their sum is not: the mean may be */
        for (i = 0; i < count; i++) sum += values[i] / (double)count;
        sum *= (double)count;
    }
    if (count == 0) return values;
    double mean = sum / (double)count, low = INFINITY, high = -INFINITY;
    if (!isfinite(mean)) {
        mean = 0.0;
        for (i = 0; i < count; i++) mean += values[i] / (double)count;
    }
    double squares[8] = {0};
    for (i = 0; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; j++) {
            double off = values[i + j] - mean;
            squares[j] += off * off;
        }
    for (; i < count; i++) squares[0] += (values[i] - mean) * (values[i] - mean);
    double m2 = ((squares[0] + squares[1]) + (squares[2] + squares[3])) + ((squares[4] + squares[5]) + (squares[6] + squares[7]));
    for (int j = 0; j < 8; j++) {
        low = lows[j] < low ? lows[j] : low;
        high = highs[j] > high ? highs[j] : high;
    }
    /* Chan, Golub, LeVeque 1979, as in detectors/moments.py */
    int64_t all = t->n + count;
    double delta = mean - t->mean, share = (double)count / (double)all;
    t->mean += delta * share;
    t->m2 += m2 + delta * delta * (double)t->n * share;
    t->n = all;
    t->low = low < t->low ? low : t->low;
    t->high = high > t->high ? high : t->high;
    return values;
}

/* adaptive cells */

typedef struct {
    int64_t key, count;
} Cell;

typedef struct {
    Cell cells[CROWD];
    uint16_t slots[SLOTS]; /* index of a cell and one; 0 is free */
    double room[PIECE];
    int filled, shift;
} Cells;

static Cells *spare; /* one is kept for the next call; touched only under the interpreter's lock */

static inline uint32_t slot_of(int64_t key) { return (uint32_t)(((uint64_t)key * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - SLOT_BITS)); }

/* The cell of a key, made with count 0 where it was not there. The caller sees to room. */
static inline Cell *cell_of(Cells *c, int64_t key) {
    uint32_t at = slot_of(key);
    for (;; at = (at + 1) & (SLOTS - 1)) {
        int i = c->slots[at];
        if (i == 0) break;
        if (c->cells[i - 1].key == key) return &c->cells[i - 1];
    }
    Cell *cell = &c->cells[c->filled++];
    c->slots[at] = (uint16_t)c->filled;
    cell->key = key;
    cell->count = 0;
    return cell;
}

static int distinct_at(Cells *c, int drop) {
    memset(c->slots, 0, sizeof c->slots);
    int distinct = 0;
    for (int i = 0; i < c->filled; i++) {
        int64_t key = c->cells[i].key >> drop;
        uint32_t at = slot_of(key);
        while (c->slots[at] != 0 && c->cells[c->slots[at] - 1].key >> drop != key) at = (at + 1) & (SLOTS - 1);
        if (c->slots[at] == 0) {
            c->slots[at] = (uint16_t)(i + 1);
            distinct++;
        }
    }
    return distinct;
}

/* Drop the fewest bits for which at most CAP keys remain. */
static void squeeze(Cells *c) {
    int64_t low = c->cells[0].key, high = low;
    for (int i = 1; i < c->filled; i++) {
        low = c->cells[i].key < low ? c->cells[i].key : low;
        high = c->cells[i].key > high ? c->cells[i].key : high;
    }
    uint64_t span = (uint64_t)high - (uint64_t)low;
    int few = 1, enough = 1, step = 1;
    while (span >> enough >= CAP - 1) enough++; /* so few prefixes lie in the span; mostly not many bits too many */
    while (enough - step >= 1 && distinct_at(c, enough - step) <= CAP) {
        enough -= step;
        step *= 2;
    }
    few = enough - step >= 1 ? enough - step + 1 : 1;
    while (few < enough) {
        int middle = (few + enough) / 2;
        if (distinct_at(c, middle) <= CAP) enough = middle;
        else few = middle + 1;
    }
    memset(c->slots, 0, sizeof c->slots);
    int before = c->filled;
    c->filled = 0;
    c->shift += enough;
    for (int i = 0; i < before; i++) { /* a cell is written at or before the one that is read */
        Cell old = c->cells[i];
        cell_of(c, old.key >> enough)->count += old.count;
    }
}

static int by_key(const void *a, const void *b) {
    int64_t x = ((const Cell *)a)->key, y = ((const Cell *)b)->key;
    return (x > y) - (x < y);
}

static void fill_cells(Cells *c, const double *values, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int64_t key = key_of(values[i]);
        if (c->filled == CROWD) squeeze(c);
        cell_of(c, key >> c->shift)->count++;
    }
}

typedef struct {
    Py_buffer view;
    int held;
} Held;

/* A buffer of `size` bytes an element, NULL with an error set. *count: its elements. */
static void *buffer(PyObject *object, Held *held, Py_ssize_t size, int flags, Py_ssize_t *count) {
    if (PyObject_GetBuffer(object, &held->view, flags) < 0) return NULL;
    held->held = 1;
    if (held->view.len % size != 0) {
        PyErr_SetString(PyExc_ValueError, "a buffer does not hold whole elements");
        return NULL;
    }
    *count = held->view.len / size;
    return held->view.buf;
}

static void release(Held *held, int n) {
    for (int i = 0; i < n; i++)
        if (held[i].held) PyBuffer_Release(&held[i].view);
}

static PyObject *adaptive(PyObject *self, PyObject *args) {
    PyObject *objects[5], *result = NULL;
    int shift;
    Py_ssize_t n[5];
    void *at[5];
    Held held[5] = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OiOOOO", &objects[0], &shift, &objects[1], &objects[2], &objects[3], &objects[4])) return NULL;
    Cells *c = spare != NULL ? spare : malloc(sizeof(Cells));
    spare = NULL;
    if (c == NULL) return PyErr_NoMemory();
    for (int i = 0; i < 5; i++)
        if ((at[i] = buffer(objects[i], &held[i], 8, i >= 3 ? PyBUF_WRITABLE : PyBUF_SIMPLE, &n[i])) == NULL) goto done;
    if (n[1] != n[2] || n[1] > CAP || n[3] != CAP || n[4] != CAP || shift < 0 || shift > 63) {
        PyErr_SetString(PyExc_ValueError, "cells of the wrong size");
        goto done;
    }
    const double *values = at[0];
    const int64_t *keys = at[1], *counts = at[2];
    int64_t *out_keys = at[3], *out_counts = at[4];
    Tally tally = {0, 0, 0, 0, 0.0, 0.0, INFINITY, -INFINITY};
    int known = (int)n[1];
    Py_BEGIN_ALLOW_THREADS
    memset(c->slots, 0, sizeof c->slots);
    c->filled = 0;
    c->shift = shift;
    for (int i = 0; i < known; i++) cell_of(c, keys[i])->count = counts[i];
    for (Py_ssize_t from = 0; from < n[0]; from += PIECE) {
        int64_t count = n[0] - from < PIECE ? n[0] - from : PIECE;
        const double *piece = finite_piece(values + from, &count, c->room, &tally);
        fill_cells(c, piece, count);
    }
    if (c->filled > CAP) squeeze(c);
    if (c->shift != shift) known = 0;
    qsort(c->cells + known, (size_t)(c->filled - known), sizeof(Cell), by_key);
    for (int i = 0, old = 0, new = known; i < c->filled; i++) { /* those known before are in order already */
        int first = new == c->filled || (old < known && c->cells[old].key < c->cells[new].key);
        const Cell *cell = &c->cells[first && known ? old++ : new++];
        out_keys[i] = cell->key;
        out_counts[i] = cell->count;
    }
    Py_END_ALLOW_THREADS
    PyObject *inner = tally_tuple(&tally);
    if (inner != NULL) result = Py_BuildValue("iiN", c->filled, c->shift, inner);
done:
    release(held, 5);
    free(spare);
    spare = c;
    return result;
}

/* cells of a grid */

static PyObject *grid(PyObject *self, PyObject *args) {
    static const Py_ssize_t SIZES[7] = {8, 8, 4, 8, 1, 8, 8};
    PyObject *objects[7], *result = NULL;
    int by_bits, drop;
    long long first; /* by_bits: the prefix of the first bucket, and how many low bits to drop */
    double origin, scale;
    Py_ssize_t n[7];
    void *at[7];
    Held held[7] = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OOpLiddOOOOO", &objects[0], &objects[1], &by_bits, &first, &drop, &origin, &scale,
                          &objects[2], &objects[3],
                          &objects[4], &objects[5], &objects[6]))
        return NULL;
    double *room = malloc(sizeof(double) * PIECE);
    if (room == NULL) return PyErr_NoMemory();
    for (int i = 0; i < 7; i++)
        if ((at[i] = buffer(objects[i], &held[i], SIZES[i], i >= 5 ? PyBUF_WRITABLE : PyBUF_SIMPLE, &n[i])) == NULL) goto done;
    if (n[2] != BUCKETS || n[3] != BUCKETS || n[4] != BUCKETS || n[5] != n[1] + 1 || n[6] != n[1] + 1) {
        PyErr_SetString(PyExc_ValueError, "a table of the wrong size");
        goto done;
    }
    const double *values = at[0], *edges = at[1], *single = at[3];
    const int32_t *base = at[2];
    const uint8_t *crowded = at[4];
    int64_t *counts = at[5];
    double *sums = at[6];
    Tally tally = {0, 0, 0, 0, 0.0, 0.0, INFINITY, -INFINITY};
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t from = 0; from < n[0]; from += PIECE) {
        int64_t count = n[0] - from < PIECE ? n[0] - from : PIECE;
        const double *piece = finite_piece(values + from, &count, room, &tally);
        for (int64_t i = 0; i < count; i++) {
            double v = piece[i];
            int64_t bucket;
            if (by_bits) {
                bucket = (key_of(v) >> drop) - first;
                bucket = bucket < 0 ? 0 : bucket > BUCKETS - 1 ? BUCKETS - 1 : bucket;
            } else {
                double place = (v - origin) * scale;
                bucket = place < 0.0 ? 0 : place > BUCKETS - 1.0 ? BUCKETS - 1 : (int64_t)place;
            }
            int64_t cell = base[bucket] + (v >= single[bucket]);
            if (crowded[bucket]) { /* several edges: how many are at or below v */
                int64_t low = 0, high = n[1];
                while (low < high) {
                    int64_t middle = (low + high) / 2;
                    if (edges[middle] <= v) low = middle + 1;
                    else high = middle;
                }
                cell = low;
            }
            counts[cell]++;
            sums[cell] += v;
        }
    }
    Py_END_ALLOW_THREADS
    result = tally_tuple(&tally);
done:
    release(held, 7);
    free(room);
    return result;
}

static PyMethodDef METHODS[] = {
    {"adaptive", adaptive, METH_VARARGS, "See the top of _kernels.c."},
    {"grid", grid, METH_VARARGS, "See the top of _kernels.c."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "detectors._kernels", NULL, -1, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&MODULE); }
