/* One message becomes one row of columns, or is left: NULL and 0 mean "left for the exact path", not "wrong".

   Messages of one producer have their keys in one order: behind each field stands the one that followed it in
   the last message, and it is compared first. Any key that stands twice in an object leaves the message. */

#ifndef DRIFTD_SCAN_ROW_H
#define DRIFTD_SCAN_ROW_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scan_names.h"
#include "scan_number.h"
#include "scan_text.h"

/* What a field of the plan holds; monitor/decode/scan.py has the same names. */
enum {
    NUMBER,  /* numbers[slot]: a finite number, true and false as 1 and 0; NaN where null or absent */
    TEXT,    /* codes[slot]: a string, an integer, true or false; -1 where null or absent */
    TARGET,  /* TEXT of codes[slot], and the value in numbers[slot]; -2 for a fraction, which Python writes */
    ID,      /* ids: the hash of a string or an integer */
    TIME,    /* times[slot]: ms or ISO 8601; NO_TIME where null or absent */
    STATUS,  /* flags[slot]: 1 unless "ok", true, below 400, null or absent */
    SECTION, /* an object with fields of its own, section number `slot`; null and absent are empty */
    OTHER    /* leaves the message unless null */
};

#define NO_TIME INT64_MIN
#define FRACTION (-2)
#define UNKNOWN_KEYS 32
#define ID_LIMIT 512
#define TEXT_LIMIT 1000 /* bytes: never more characters than the exact path allows */

typedef struct {
    Text key;
    int kind, slot, section, required;
    int next;      /* the field that followed in the last message, -1 for none */
    int64_t stamp; /* the row that has set it */
} Field;

typedef struct {
    Field *fields;
    int field_count, section_count, holders; /* holders: fields that own a cell of the output */
    int *first;                              /* of each section: the field that came first in the last message */
    int *slots;                              /* (section, key) -> field: a hash table */
    uint64_t mask;
    const uint64_t *powers;
    int depth_limit;
    /* the outputs of this batch, one stretch of `rows` for each slot */
    double *numbers;
    int32_t *codes;
    int64_t *times;
    uint8_t *flags;
    uint64_t *ids;
    Names *names;
    int64_t rows;
    /* this row */
    int64_t row, stamp, done;
    const char *end;
    char *scratch; /* for strings with escapes; room for all of this message's */
    char **pages;
    int page_count;
} Plan;

static inline const char *space(const char *p) {
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') p++;
    return p;
}

static inline const char *word(const char *p, const char *text) {
    while (*text)
        if (*p++ != *text++) return NULL;
    return p;
}

/* A string whose opening quote is before p, without escapes: *text may point into the message or into scratch. */
static inline const char *read_string(Plan *plan, const char *p, Text *text) {
    int escaped;
    const char *end = string_end(p, &escaped);
    if (end == NULL) return NULL;
    text->at = p;
    text->length = end - p;
    if (escaped) {
        if (plan->scratch == NULL) { /* a page for this message, freed when the batch ends */
            char *page = malloc((size_t)(plan->end - p) + 1);
            char **pages = realloc(plan->pages, sizeof(char *) * ((size_t)plan->page_count + 1));
            if (pages != NULL) plan->pages = pages;
            if (page == NULL || pages == NULL) {
                free(page);
                return NULL;
            }
            plan->pages[plan->page_count++] = plan->scratch = page;
        }
        text->at = plan->scratch;
        text->length = unescape(p, end, plan->scratch);
        if (text->length < 0) return NULL;
        plan->scratch += text->length;
    }
    return end + 1;
}

static int stands_twice(Text *keys, int count, Text key) {
    for (int i = 0; i < count; i++)
        if (keys[i].length == key.length && memcmp(keys[i].at, key.at, (size_t)key.length) == 0) return 1;
    return 0;
}

/* Pass over a value that nobody wants; it must still be JSON. */
static const char *skip(Plan *plan, const char *p, int depth) {
    Number number;
    Text text;
    if (*p == '"') return read_string(plan, p + 1, &text);
    if (*p == 't') return word(p, "true");
    if (*p == 'f') return word(p, "false");
    if (*p == 'n') return word(p, "null");
    if (*p != '{' && *p != '[') return read_number(p, plan->powers, &number);
    if (++depth > plan->depth_limit) return NULL;
    int is_object = *p == '{', count = 0;
    char close = is_object ? '}' : ']';
    Text keys[UNKNOWN_KEYS];
    p = space(p + 1);
    if (*p == close) return p + 1;
    for (;;) {
        if (is_object) {
            if (*p != '"' || count == UNKNOWN_KEYS) return NULL;
            if ((p = read_string(plan, p + 1, &keys[count])) == NULL) return NULL;
            if (stands_twice(keys, count, keys[count])) return NULL;
            count++;
            p = space(p);
            if (*p != ':') return NULL;
            p = space(p + 1);
        }
        if ((p = skip(plan, p, depth)) == NULL) return NULL;
        p = space(p);
        if (*p == close) return p + 1;
        if (*p != ',') return NULL;
        p = space(p + 1);
    }
}

static int find_field(const Plan *plan, int section, Text key) {
    uint64_t at = (mix(key) + (uint64_t)section * 0x9E3779B9) & plan->mask;
    for (;; at = (at + 1) & plan->mask) {
        int f = plan->slots[at];
        if (f < 0) return -1;
        const Field *field = &plan->fields[f];
        if (field->section == section && field->key.length == key.length &&
            memcmp(field->key.at, key.at, (size_t)key.length) == 0)
            return f;
    }
}

static const char *read_object(Plan *plan, const char *p, int section, int depth);

static inline int64_t cell(const Plan *plan, int slot) { return (int64_t)slot * plan->rows + plan->row; }

/* Texts as JSON writes them: integers and booleans too. Returns what follows, *number where it was a number. */
static inline const char *read_scalar(Plan *plan, const char *p, Text *text, Number *number, int *is_number) {
    *is_number = 0;
    if (*p == '"') return read_string(plan, p + 1, text);
    const char *start = p;
    if (*p == 't' || *p == 'f') {
        p = *p == 't' ? word(p, "true") : word(p, "false");
    } else {
        p = read_number(p, plan->powers, number);
        if (p == NULL || number->is_whole < 0) return NULL;
        *is_number = 1;
    }
    if (p == NULL) return NULL;
    text->at = start;
    text->length = p - start;
    return p;
}

static inline const char *read_value(Plan *plan, const char *p, Field *field, int depth) {
    Number number = {0.0, 0, 0};
    Text text;
    int is_number;
    if (*p == 'n') {
        field->stamp = plan->stamp - 1; /* as if absent; but it has been here: see twice below */
        return field->required ? NULL : word(p, "null");
    }
    switch (field->kind) {
        case NUMBER:
            if (*p == 't' || *p == 'f') {
                number.value = *p == 't';
                p = *p == 't' ? word(p, "true") : word(p, "false");
            } else {
                p = read_number(p, plan->powers, &number);
            }
            plan->numbers[cell(plan, field->slot)] = number.value;
            break;
        case TEXT:
        case TARGET:
            p = read_scalar(plan, p, &text, &number, &is_number);
            if (p == NULL || text.length > TEXT_LIMIT) return NULL;
            if (is_number && !number.is_whole) {
                if (field->kind == TEXT) return NULL;
                plan->codes[cell(plan, field->slot)] = FRACTION;
            } else {
                int32_t code = names_number(&plan->names[field->slot], text);
                if (code < 0) return NULL;
                plan->codes[cell(plan, field->slot)] = code;
            }
            if (field->kind == TARGET) plan->numbers[cell(plan, 0)] = is_number ? number.value : NAN;
            break;
        case ID:
            p = read_scalar(plan, p, &text, &number, &is_number);
            if (p == NULL || text.length < 1 || text.length > ID_LIMIT) return NULL;
            if (p[-1] != '"' && !(is_number && number.is_whole)) return NULL; /* true, false, a fraction */
            hash_id(text, plan->ids + 2 * plan->row);
            break;
        case TIME: {
            int64_t ms;
            if (*p == '"') {
                p = read_string(plan, p + 1, &text);
                if (p == NULL || !iso_ms(text, &ms)) return NULL;
            } else {
                p = read_number(p, plan->powers, &number);
                if (p == NULL || number.is_whole != 1) return NULL;
                ms = number.whole;
            }
            plan->times[cell(plan, field->slot)] = ms;
            break;
        }
        case STATUS:
            if (*p == 't' || *p == 'f') {
                plan->flags[cell(plan, field->slot)] = *p == 'f';
                p = *p == 't' ? word(p, "true") : word(p, "false");
            } else if (*p == '"') {
                p = read_string(plan, p + 1, &text);
                plan->flags[cell(plan, field->slot)] = p != NULL && !(text.length == 2 && memcmp(text.at, "ok", 2) == 0);
            } else {
                p = read_number(p, plan->powers, &number);
                if (p == NULL || number.is_whole != 1) return NULL;
                plan->flags[cell(plan, field->slot)] = number.whole >= 400;
            }
            break;
        case SECTION:
            return *p == '{' ? read_object(plan, p + 1, field->slot, depth + 1) : NULL;
        default: return NULL;
    }
    plan->done++;
    return p;
}

/* An object whose brace is before p; what follows it. */
static const char *read_object(Plan *plan, const char *p, int section, int depth) {
    Text unknown[UNKNOWN_KEYS], key;
    int unknown_count = 0, escaped;
    int *guess = &plan->first[section];
    if (depth > plan->depth_limit) return NULL;
    p = space(p);
    if (*p == '}') return p + 1;
    for (;;) {
        if (*p++ != '"') return NULL;
        int f = *guess;
        if (f >= 0) {
            const Text *wanted = &plan->fields[f].key;
            if (plan->end - p > wanted->length && p[wanted->length] == '"' && memcmp(p, wanted->at, (size_t)wanted->length) == 0)
                p += wanted->length + 1;
            else
                f = -1;
        }
        if (f < 0) {
            const char *end = string_end(p, &escaped);
            if (end == NULL || escaped) return NULL;
            key.at = p;
            key.length = end - p;
            p = end + 1;
            f = find_field(plan, section, key);
            if (f >= 0) {
                *guess = f;
            } else {
                if (unknown_count == UNKNOWN_KEYS || stands_twice(unknown, unknown_count, key)) return NULL;
                unknown[unknown_count++] = key;
            }
        }
        p = space(p);
        if (*p != ':') return NULL;
        p = space(p + 1);
        if (f < 0) {
            p = skip(plan, p, depth);
        } else {
            Field *field = &plan->fields[f];
            if (field->stamp >= plan->stamp - 1) return NULL; /* it stands twice */
            field->stamp = plan->stamp;
            p = read_value(plan, p, field, depth);
            guess = &field->next;
        }
        if (p == NULL) return NULL;
        p = space(p);
        if (*p == '}') return p + 1;
        if (*p != ',') return NULL;
        p = space(p + 1);
    }
}

/* Cells of fields that this row does not have. Returns 0 where one is required. */
static int fill_absent(Plan *plan) {
    for (int f = 0; f < plan->field_count; f++) {
        const Field *field = &plan->fields[f];
        if (field->stamp == plan->stamp) continue;
        if (field->required) return 0;
        switch (field->kind) {
            case NUMBER: plan->numbers[cell(plan, field->slot)] = NAN; break;
            case TEXT: plan->codes[cell(plan, field->slot)] = -1; break;
            case TIME: plan->times[cell(plan, field->slot)] = NO_TIME; break;
            case STATUS: plan->flags[cell(plan, field->slot)] = 0; break;
            default: break;
        }
    }
    return 1;
}

/* Whether the message became row `row`. data ends with a NUL behind its `length` bytes. */
static int read_row(Plan *plan, const char *data, int64_t length, int64_t row) {
    plan->row = row;
    plan->stamp += 2; /* stamp: set in this row; stamp - 1: null in this row */
    plan->done = 0;
    plan->end = data + length;
    plan->scratch = NULL;
    const char *p = space(data);
    if (*p != '{') return 0;
    p = read_object(plan, p + 1, 0, 1);
    if (p == NULL || space(p) != plan->end) return 0;
    return plan->done == plan->holders || fill_absent(plan);
}

#endif
