/* Numbers of JSON: strict grammar, correctly rounded, no locale.

   Up to 19 digits. Where the digits and the power of ten are doubles without error one division or
   multiplication is right (Clinger 1990); else the product with a 128-bit power of ten is, but for rare cases
   that are handed back (Lemire 2021, "Number parsing at a gigabyte per second"). */

#ifndef DRIFTD_SCAN_NUMBER_H
#define DRIFTD_SCAN_NUMBER_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "doubles are evaluated with more digits than they hold: the exact path is used instead"
#endif

#define POWER_FIRST (-348) /* 10**POWER_FIRST is the first row of the table of powers */
#define POWER_LAST 347
#define POWER_BYTES ((POWER_LAST - POWER_FIRST + 1) * 16)

typedef struct {
    double value;
    int64_t whole; /* where is_whole */
    int is_whole;  /* written without point and exponent, and fits */
} Number;

static const double TENS[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static inline void multiply(uint64_t a, uint64_t b, uint64_t *high, uint64_t *low) {
    unsigned __int128 product = (unsigned __int128)a * b;
    *high = (uint64_t)(product >> 64);
    *low = (uint64_t)product;
}

/* digits * 10**power. powers: for each power the low and the high half of 128 bits, rounded down.
   Returns 0 where the result is not certain, is infinite or subnormal. */
static int scaled(uint64_t digits, int power, const uint64_t *powers, double *out) {
    if (power < POWER_FIRST || power > POWER_LAST) return 0;
    const uint64_t *row = powers + 2 * (power - POWER_FIRST);
    int zeros = __builtin_clzll(digits);
    uint64_t high, low, more, least;
    digits <<= zeros;
    int64_t exponent = ((217706 * (int64_t)power) >> 16) + 64 + 1023 - zeros; /* 217706 / 2**16: log2(10) */
    multiply(digits, row[1], &high, &low);
    if ((high & 0x1FF) == 0x1FF && low + digits < digits) {
        multiply(digits, row[0], &more, &least);
        uint64_t sum = low + more;
        if (sum < low) high++;
        if ((high & 0x1FF) == 0x1FF && sum + 1 == 0 && least + digits < digits) return 0;
        low = sum;
    }
    uint64_t top = high >> 63;
    uint64_t mantissa = high >> (top + 9);
    exponent -= (int64_t)(1 ^ top);
    if (low == 0 && (high & 0x1FF) == 0 && (mantissa & 3) == 1) return 0; /* half way between two */
    mantissa += mantissa & 1;
    mantissa >>= 1;
    if (mantissa >> 53) {
        mantissa >>= 1;
        exponent++;
    }
    if (exponent < 1 || exponent > 2046) return 0;
    uint64_t bits = ((uint64_t)exponent << 52) | (mantissa & ((1ULL << 52) - 1));
    memcpy(out, &bits, 8);
    return 1;
}

/* digits / 10**places where `scaled` is not certain (the quotient is a double, or half way between two): by long
   division. digits are over 2**53, places 1 to 19. Returns 0 for others. */
static int divided(uint64_t digits, int places, double *out) {
    if (places < 1 || places > 19 || digits <= (1ULL << 53)) return 0;
    uint64_t divisor = 1;
    for (int i = 0; i < places; i++) divisor *= 10;
    unsigned __int128 whole = (unsigned __int128)digits << 64, quotient = whole / divisor, rest = whole % divisor;
    uint64_t top = (uint64_t)(quotient >> 64);
    int length = top ? 128 - __builtin_clzll(top) : 64 - __builtin_clzll((uint64_t)quotient); /* at least 54 bits */
    int drop = length - 53;
    uint64_t mantissa = (uint64_t)(quotient >> drop);
    unsigned __int128 below = quotient & (((unsigned __int128)1 << drop) - 1), half = (unsigned __int128)1 << (drop - 1);
    if (below > half || (below == half && (rest != 0 || (mantissa & 1)))) mantissa++;
    *out = ldexp((double)mantissa, drop - 64);
    return 1;
}

static inline int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* Reads a number at p. Returns what follows it, or NULL where it is no number or not for this path.
   The bytes end with a NUL, so that looking one ahead is always allowed. */
static inline const char *read_number(const char *p, const uint64_t *powers, Number *out) {
    int negative = *p == '-', power = 0, count = 0;
    uint64_t digits = 0;
    p += negative;
    const char *first = p;
    while (is_digit(*p)) digits = digits * 10 + (uint64_t)(*p++ - '0');
    count = (int)(p - first);
    if (count == 0 || count > 19 || (*first == '0' && count > 1)) return NULL;
    out->is_whole = 1;
    if (*p == '.') {
        const char *point = ++p;
        if (digits == 0) { /* zeros behind the point are no digits yet */
            while (*p == '0') p++;
            count = 0;
        }
        const char *from = p;
        while (is_digit(*p)) digits = digits * 10 + (uint64_t)(*p++ - '0');
        count += (int)(p - from);
        power = (int)(point - p);
        if (p == point || count > 19 || power < -400) return NULL;
        out->is_whole = 0;
    }
    if (*p == 'e' || *p == 'E') {
        int below, size = 0;
        p++;
        below = *p == '-';
        if (*p == '-' || *p == '+') p++;
        const char *from = p;
        while (is_digit(*p) && p - from < 5) size = size * 10 + (*p++ - '0');
        if (p == from || p - from > 4) return NULL;
        power += below ? -size : size;
        out->is_whole = 0;
    }
    while (power < 0 && digits > (1ULL << 53) && digits % 10 == 0) { /* 1767225600000000.0 */
        digits /= 10;
        power++;
    }
    double value;
    if (digits == 0) {
        if (negative && out->is_whole) return NULL; /* -0 is an integer to one reader and a float to another */
        value = 0.0;
    } else if (power == 0) {
        value = (double)digits;
    } else if (digits <= (1ULL << 53) && power >= -22 && power <= 22) {
        value = power < 0 ? (double)digits / TENS[-power] : (double)digits * TENS[power];
    } else if (!scaled(digits, power, powers, &value) && !divided(digits, -power, &value)) {
        return NULL;
    }
    out->value = negative ? -value : value;
    if (out->is_whole) {
        if (count > 18) out->is_whole = -1; /* a whole number, but too great for an int64 */
        out->whole = negative ? -(int64_t)digits : (int64_t)digits;
    }
    return p;
}

#endif
