/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as grammars. Without bounds: JSON's form with a bounded count of digits, so that a model
 * cannot write digits for ever. With bounds: the decimal spellings of a range of whole numbers,
 * built digit by digit; where fractions are allowed, a fraction after every whole part for which
 * the number stays inside. A number between the bound and the next whole number is not offered: a
 * smaller choice, never a wrong answer.
 */
#include "constrain_schema.h"

#include <math.h>
#include <stdio.h>

#define DIGITS_MAX 15u /* every whole number of so many digits is exact in a double */
#define WHOLE_MAX 999999999999999ull
#define NONE UINT32_MAX

static uint32_t either(struct sl_grammar *grammar, uint32_t a, uint32_t b)
{
    if (a == NONE || b == NONE)
        return a == NONE ? b : a;
    return sl_grammar_split(grammar, a, b);
}

/* "." and digits, or nothing. */
static uint32_t optional_fraction(struct sl_grammar *grammar, uint32_t next)
{
    uint32_t digits = sl_grammar_digits(grammar, 1, DIGITS_MAX, next);
    return sl_grammar_split(grammar, sl_grammar_byte(grammar, '.', digits), next);
}

static uint32_t optional_exponent(struct sl_grammar *grammar, uint32_t next)
{
    struct sl_byte_set e = {0};
    struct sl_byte_set sign = {0};
    sl_byte_set_add(&e, 'e', 'e');
    sl_byte_set_add(&e, 'E', 'E');
    sl_byte_set_add(&sign, '+', '+');
    sl_byte_set_add(&sign, '-', '-');
    uint32_t digits = sl_grammar_digits(grammar, 1, 2, next);
    uint32_t signed_digits = sl_grammar_split(grammar, sl_grammar_set(grammar, &sign, digits),
                                              digits);
    return sl_grammar_split(grammar, sl_grammar_set(grammar, &e, signed_digits), next);
}

static uint32_t unbounded(struct sl_grammar *grammar, bool has_fraction, uint32_t next)
{
    struct sl_byte_set nonzero = {0};
    sl_byte_set_add(&nonzero, '1', '9');
    uint32_t rest = next;
    if (has_fraction)
        rest = optional_fraction(grammar, optional_exponent(grammar, next));
    uint32_t more = sl_grammar_digits(grammar, 0, DIGITS_MAX - 1, rest);
    uint32_t whole = sl_grammar_split(grammar, sl_grammar_byte(grammar, '0', rest),
                                      sl_grammar_set(grammar, &nonzero, more));
    return sl_grammar_split(grammar, sl_grammar_byte(grammar, '-', whole), whole);
}

/* Digits from position `at` of numbers between low and high, which have the same length. */
static uint32_t digit_range(struct sl_grammar *grammar, const char *low, const char *high,
                            unsigned at, unsigned len, bool on_low, bool on_high, uint32_t next)
{
    if (at == len)
        return next;
    if (!on_low && !on_high)
        return sl_grammar_digits(grammar, len - at, len - at, next);
    char first = on_low ? low[at] : '0';
    char last = on_high ? high[at] : '9';
    if (first == last)
        return sl_grammar_byte(grammar, first,
                               digit_range(grammar, low, high, at + 1, len, on_low, on_high,
                                           next));
    uint32_t entry = sl_grammar_byte(
        grammar, first, digit_range(grammar, low, high, at + 1, len, on_low, false, next));
    uint32_t top = sl_grammar_byte(
        grammar, last, digit_range(grammar, low, high, at + 1, len, false, on_high, next));
    entry = either(grammar, entry, top);
    if (last - first < 2)
        return entry;
    struct sl_byte_set middle = {0};
    sl_byte_set_add(&middle, (uint8_t)(first + 1), (uint8_t)(last - 1));
    uint32_t rest = sl_grammar_digits(grammar, len - at - 1, len - at - 1, next);
    return either(grammar, entry, sl_grammar_set(grammar, &middle, rest));
}

/* The spellings of low to high, by their number of digits. NONE for an empty range. */
static uint32_t whole_range(struct sl_grammar *grammar, uint64_t low, uint64_t high, uint32_t next)
{
    uint32_t entry = NONE;
    uint64_t least = 0;      /* with `len` digits */
    uint64_t beyond = 10;
    for (unsigned len = 1; len <= DIGITS_MAX; len++) {
        uint64_t from = low > least ? low : least;
        uint64_t to = high < beyond - 1 ? high : beyond - 1;
        if (from <= to) {
            char low_text[24];
            char high_text[24];
            snprintf(low_text, sizeof low_text, "%llu", (unsigned long long)from);
            snprintf(high_text, sizeof high_text, "%llu", (unsigned long long)to);
            entry = either(grammar, entry, digit_range(grammar, low_text, high_text, 0, len, true,
                                                       true, next));
        }
        least = beyond;
        beyond *= 10;
    }
    return entry;
}

/* Magnitudes from low to high: with fractions, all whole parts but the last may have one. */
static uint32_t magnitudes(struct sl_grammar *grammar, uint64_t low, uint64_t high,
                           bool has_fraction, uint32_t next)
{
    if (low > high)
        return NONE;
    if (!has_fraction || low == high)
        return whole_range(grammar, low, high, next);
    uint32_t inner = whole_range(grammar, low, high - 1, optional_fraction(grammar, next));
    return either(grammar, inner, whole_range(grammar, high, high, next));
}

/* A bound as a magnitude, clamped to what has DIGITS_MAX digits. */
static uint64_t magnitude(double value)
{
    return value >= (double)WHOLE_MAX ? WHOLE_MAX : (uint64_t)value;
}

uint32_t sl_grammar_number(struct sl_grammar *grammar, const struct sl_number_bounds *bounds,
                           bool has_fraction, uint32_t next)
{
    if (!bounds->has_min && !bounds->has_max)
        return unbounded(grammar, has_fraction, next);
    double min = bounds->has_min ? ceil(bounds->min) : -(double)WHOLE_MAX;
    double max = bounds->has_max ? floor(bounds->max) : (double)WHOLE_MAX;
    if (bounds->has_min && bounds->is_min_open && min == bounds->min)
        min += 1;
    if (bounds->has_max && bounds->is_max_open && max == bounds->max)
        max -= 1;
    if (isnan(min) || isnan(max) || min > max || fabs(min) > (double)WHOLE_MAX * 10 ||
        fabs(max) > (double)WHOLE_MAX * 10)
        return NONE;
    uint32_t entry = NONE;
    if (max >= 0)
        entry = magnitudes(grammar, min > 0 ? magnitude(min) : 0, magnitude(max), has_fraction,
                           next);
    if (min < 0) {
        uint64_t low = max < 0 ? magnitude(-max) : has_fraction ? 0 : 1;
        uint32_t negative = magnitudes(grammar, low, magnitude(-min), has_fraction, next);
        if (negative != NONE)
            entry = either(grammar, entry, sl_grammar_byte(grammar, '-', negative));
    }
    return entry;
}
