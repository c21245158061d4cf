/* SPDX-License-Identifier: Apache-2.0
 *
 * The character classes of the scanner: one table, one load per byte. Immutable; any thread.
 */
#include "pii/detect.h"

#define D (PII_DIGIT | PII_HEX | PII_TRIGGER)
#define UX (PII_UPPER | PII_HEX)
#define LX (PII_LOWER | PII_HEX)

const uint8_t pii_class[256] = {
    ['\t'] = PII_BLANK,
    ['\n'] = PII_BLANK,
    ['\r'] = PII_BLANK,
    [' '] = PII_BLANK,
    ['%'] = PII_LOCAL,
    ['+'] = PII_LOCAL,
    ['-'] = PII_LOCAL,
    ['_'] = PII_LOCAL,
    [':'] = PII_TRIGGER,
    ['='] = PII_TRIGGER,
    ['"'] = PII_TRIGGER,
    ['\''] = PII_TRIGGER,
    ['`'] = PII_TRIGGER,
    ['@'] = PII_TRIGGER,
    ['0'] = D,
    ['1'] = D,
    ['2'] = D,
    ['3'] = D,
    ['4'] = D,
    ['5'] = D,
    ['6'] = D,
    ['7'] = D,
    ['8'] = D,
    ['9'] = D,
    ['A'] = UX,
    ['B'] = UX,
    ['C'] = UX,
    ['D'] = UX,
    ['E'] = UX,
    ['F'] = UX,
    ['G' ... 'Z'] = PII_UPPER,
    ['a'] = LX,
    ['b'] = LX,
    ['c'] = LX,
    ['d'] = LX,
    ['e'] = LX,
    ['f'] = LX,
    ['g' ... 'z'] = PII_LOWER,
    [0x80 ... 0xFF] = PII_HIGH,
};

bool pii_word_at(const struct pii_scan *scan, size_t at, const char *word)
{
    for (size_t i = 0; word[i] != '\0'; i++) {
        if (at + i >= scan->len || pii_lower(scan->text[at + i]) != (unsigned char)word[i])
            return false;
    }
    return true;
}
