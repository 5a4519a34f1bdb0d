/* Strings of JSON, and what is read from them: UTF-8, escapes, times of ISO 8601, hashes of event ids. */

#ifndef DRIFTD_SCAN_TEXT_H
#define DRIFTD_SCAN_TEXT_H

#include <stdint.h>
#include <string.h>

typedef struct {
    const char *at;
    int64_t length;
} Text;

enum { PLAIN, QUOTE, ESCAPE, CONTROL, HIGH };

static unsigned char KIND[256]; /* filled by make_kinds */

static void make_kinds(void) {
    for (int i = 0; i < 256; i++) KIND[i] = i < 0x20 ? CONTROL : i >= 0x80 ? HIGH : PLAIN;
    KIND['"'] = QUOTE;
    KIND['\\'] = ESCAPE;
}

/* Whether these bytes are UTF-8 as Unicode defines it: nothing overlong, no surrogates. */
static int is_utf8(const unsigned char *p, const unsigned char *end) {
    while (p < end) {
        unsigned char c = *p;
        int more;
        if (c < 0x80) {
            p++;
            continue;
        }
        if (c >= 0xC2 && c <= 0xDF) more = 1;
        else if (c >= 0xE0 && c <= 0xEF) more = 2;
        else if (c >= 0xF0 && c <= 0xF4) more = 3;
        else return 0;
        if (end - p <= more) return 0;
        for (int i = 1; i <= more; i++)
            if ((p[i] & 0xC0) != 0x80) return 0;
        if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F)) return 0;
        if ((c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F)) return 0;
        p += more + 1;
    }
    return 1;
}

/* The closing quote of a string that opened before p, NULL where there is none. *escaped: it holds a backslash. */
static inline const char *string_end(const char *p, int *escaped) {
    const char *start = p;
    int high = 0;
    *escaped = 0;
    for (;;) {
        switch (KIND[(unsigned char)*p]) {
            case PLAIN: p++; break;
            case QUOTE:
                if (high && !is_utf8((const unsigned char *)start, (const unsigned char *)p)) return NULL;
                return p;
            case ESCAPE:
                *escaped = 1;
                if (p[1] == 0) return NULL;
                if (KIND[(unsigned char)p[1]] == HIGH) return NULL;
                p += 2;
                break;
            case HIGH:
                high = 1;
                p++;
                break;
            default: return NULL; /* a control character, or the end of the message */
        }
    }
}

static int hex4(const char *p) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Replaces escapes of [p, end) into out, which has room for as many bytes. Returns the length, -1 where an
   escape is wrong, is NUL or half of a surrogate pair. */
static int64_t unescape(const char *p, const char *end, char *out) {
    char *to = out;
    while (p < end) {
        if (*p != '\\') {
            *to++ = *p++;
            continue;
        }
        char c = p[1];
        p += 2;
        switch (c) {
            case '"': case '\\': case '/': *to++ = c; continue;
            case 'b': *to++ = '\b'; continue;
            case 'f': *to++ = '\f'; continue;
            case 'n': *to++ = '\n'; continue;
            case 'r': *to++ = '\r'; continue;
            case 't': *to++ = '\t'; continue;
            case 'u': break;
            default: return -1;
        }
        if (end - p < 4) return -1;
        int code = hex4(p);
        p += 4;
        if (code <= 0 || (code >= 0xDC00 && code <= 0xDFFF)) return -1;
        if (code >= 0xD800 && code <= 0xDBFF) {
            if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
            int second = hex4(p + 2);
            if (second < 0xDC00 || second > 0xDFFF) return -1;
            code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
            p += 6;
        }
        if (code < 0x80) {
            *to++ = (char)code;
        } else if (code < 0x800) {
            *to++ = (char)(0xC0 | code >> 6);
            *to++ = (char)(0x80 | (code & 0x3F));
        } else if (code < 0x10000) {
            *to++ = (char)(0xE0 | code >> 12);
            *to++ = (char)(0x80 | (code >> 6 & 0x3F));
            *to++ = (char)(0x80 | (code & 0x3F));
        } else {
            *to++ = (char)(0xF0 | code >> 18);
            *to++ = (char)(0x80 | (code >> 12 & 0x3F));
            *to++ = (char)(0x80 | (code >> 6 & 0x3F));
            *to++ = (char)(0x80 | (code & 0x3F));
        }
    }
    return to - out;
}

static inline int two(const char *p) {
    return (unsigned char)(p[0] - '0') < 10 && (unsigned char)(p[1] - '0') < 10 ? (p[0] - '0') * 10 + (p[1] - '0') : -1;
}

/* Milliseconds since 1970 of YYYY-MM-DD[T ]hh:mm:ss[.f to .ffffff][Z or +hh:mm or -hh:mm], UTC without a zone.
   Returns 0 for any other form, also where Python would read it. */
static int iso_ms(Text text, int64_t *out) {
    static const unsigned char DAYS[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *p = text.at, *end = p + text.length;
    if (text.length < 19 || p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != ' ') || p[13] != ':' || p[16] != ':') return 0;
    int century = two(p), year = two(p + 2), month = two(p + 5), day = two(p + 8);
    int hour = two(p + 11), minute = two(p + 14), second = two(p + 17);
    if (century < 0 || year < 0 || month < 1 || month > 12 || day < 1) return 0;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return 0;
    year += 100 * century;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1 || day > DAYS[month] + (leap && month == 2)) return 0;
    p += 19;
    int millis = 0, shift = 0;
    if (p < end && *p == '.') {
        int digits = 0;
        for (p++; p < end && (unsigned char)(*p - '0') < 10; p++, digits++)
            if (digits < 3) millis = millis * 10 + (*p - '0');
        if (digits < 1 || digits > 6) return 0;
        for (; digits < 3; digits++) millis *= 10;
    }
    if (p < end) {
        if (*p == 'Z' && end - p == 1) {
            shift = 0;
        } else if ((*p == '+' || *p == '-') && end - p == 6 && p[3] == ':') {
            int hours = two(p + 1), minutes = two(p + 4);
            if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return 0;
            shift = (*p == '-' ? -1 : 1) * (hours * 60 + minutes);
        } else {
            return 0;
        }
    }
    /* days since 1970 of the proleptic Gregorian calendar, years beginning in March */
    int64_t y = year - (month <= 2);
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    *out = ((days * 24 + hour) * 60 + minute - shift) * 60000 + second * 1000 + millis;
    return 1;
}

static inline uint64_t rotate29(uint64_t x) { return x << 29 | x >> 35; }

/* The hash of monitor/decode/ids.py. */
static void hash_id(Text text, uint64_t out[2]) {
    static const uint64_t LANES[2][3] = {
        {0x9E3779B97F4A7C15ULL, 0xBF58476D1CE4E5B9ULL, 0x94D049BB133111EBULL},
        {0xC2B2AE3D27D4EB4FULL, 0xFF51AFD7ED558CCDULL, 0xC4CEB9FE1A85EC53ULL},
    };
    uint64_t length = (uint64_t)text.length;
    uint64_t state[2] = {LANES[0][0] ^ length * LANES[0][1], LANES[1][0] ^ length * LANES[1][1]};
    for (uint64_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        uint64_t left = length - at;
        memcpy(&word, text.at + at, left < 8 ? left : 8);
        for (int lane = 0; lane < 2; lane++) {
            uint64_t mixed = word * LANES[lane][1];
            mixed ^= mixed >> 32;
            state[lane] = rotate29((state[lane] ^ mixed) * LANES[lane][2]);
        }
    }
    for (int lane = 0; lane < 2; lane++) {
        uint64_t x = state[lane];
        x = (x ^ x >> 30) * LANES[lane][1];
        x = (x ^ x >> 27) * LANES[lane][2];
        out[lane] = x ^ x >> 31;
    }
}

#endif
