/* The distinct strings of one column, numbered in order of first appearance: a hash table that forgets each batch. */

#ifndef DRIFTD_SCAN_NAMES_H
#define DRIFTD_SCAN_NAMES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scan_text.h"

typedef struct {
    int32_t *slots; /* numbers, -1 where free; a power of two of them, at most half filled */
    uint64_t mask;
    Text *names;
    uint64_t *hashes;
    int32_t count, room;
} Names;

static inline uint64_t mix(Text text) {
    uint64_t h = (uint64_t)text.length * 0x9E3779B97F4A7C15ULL;
    const char *p = text.at;
    int64_t left = text.length;
    for (; left >= 8; left -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = (h ^ word) * 0xFF51AFD7ED558CCDULL;
        h ^= h >> 32;
    }
    for (; left > 0; left--, p++) h = (h ^ (unsigned char)*p) * 0xC4CEB9FE1A85EC53ULL;
    return h ^ h >> 29;
}

static int names_grow(Names *n) {
    int32_t room = n->room ? n->room * 2 : 64;
    uint64_t slots = (uint64_t)room * 2;
    Text *names = realloc(n->names, sizeof(Text) * (size_t)room);
    if (names == NULL) return 0;
    n->names = names;
    uint64_t *hashes = realloc(n->hashes, sizeof(uint64_t) * (size_t)room);
    if (hashes == NULL) return 0;
    n->hashes = hashes;
    int32_t *table = malloc(sizeof(int32_t) * slots);
    if (table == NULL) return 0;
    free(n->slots);
    n->slots = table;
    n->mask = slots - 1;
    n->room = room;
    for (uint64_t i = 0; i < slots; i++) table[i] = -1;
    for (int32_t i = 0; i < n->count; i++) {
        uint64_t at = n->hashes[i] & n->mask;
        while (table[at] >= 0) at = (at + 1) & n->mask;
        table[at] = i;
    }
    return 1;
}

/* Begin a batch: no names. Keeps a small table, gives a great one back. */
static void names_clear(Names *n) {
    if (n->room > 4096) {
        free(n->slots);
        free(n->names);
        free(n->hashes);
        memset(n, 0, sizeof *n);
    }
    n->count = 0;
    if (n->slots != NULL) memset(n->slots, 0xFF, sizeof(int32_t) * (n->mask + 1));
}

static void names_free(Names *n) {
    free(n->slots);
    free(n->names);
    free(n->hashes);
    memset(n, 0, sizeof *n);
}

/* The number of a name; text must stay where it is until the batch ends. -1 without memory. */
static inline int32_t names_number(Names *n, Text text) {
    if (n->count == n->room && !names_grow(n)) return -1;
    uint64_t hash = mix(text), at = hash & n->mask;
    for (;; at = (at + 1) & n->mask) {
        int32_t i = n->slots[at];
        if (i < 0) break;
        if (n->hashes[i] == hash && n->names[i].length == text.length &&
            memcmp(n->names[i].at, text.at, (size_t)text.length) == 0)
            return i;
    }
    n->names[n->count] = text;
    n->hashes[n->count] = hash;
    n->slots[at] = n->count;
    return n->count++;
}

#endif
