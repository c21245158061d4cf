/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 decoding by the table of well-formed sequences (Unicode 15, table 3-7). Pure functions.
 */
#include "sluice/utf8.h"

#include <string.h>

/* Sequence length by lead byte, 0 where none can start. */
static size_t lead_len(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2)
        return 0;
    if (lead < 0xE0)
        return 2;
    if (lead < 0xF0)
        return 3;
    return lead < 0xF5 ? 4 : 0;
}

/* May `second` follow `lead`? Refuses overlong forms, surrogates and what is past U+10FFFF. */
static bool second_is_valid(unsigned char lead, unsigned char second)
{
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    return second >= low && second <= high;
}

/* How many bytes of the sequence at `text` are well formed so far; `need` gets its full length. */
static size_t valid_prefix(const char *text, size_t len, size_t *need)
{
    unsigned char lead = (unsigned char)text[0];
    *need = lead_len(lead);
    if (*need == 0)
        return 0;
    size_t have = 1;
    while (have < *need && have < len) {
        unsigned char next = (unsigned char)text[have];
        bool is_valid = have == 1 ? second_is_valid(lead, next) : (next & 0xC0) == 0x80;
        if (!is_valid)
            return 0;
        have++;
    }
    return have;
}

size_t sl_utf8_sequence_len(const char *text, size_t len)
{
    if (len == 0)
        return 0;
    size_t need;
    return valid_prefix(text, len, &need) == need ? need : 0;
}

size_t sl_utf8_decode(const char *text, size_t len, uint32_t *codepoint)
{
    size_t need = sl_utf8_sequence_len(text, len);
    const unsigned char *byte = (const unsigned char *)text;
    switch (need) {
    case 1:
        *codepoint = byte[0];
        return 1;
    case 2:
        *codepoint = (byte[0] & 0x1Fu) << 6 | (byte[1] & 0x3Fu);
        return 2;
    case 3:
        *codepoint = (byte[0] & 0x0Fu) << 12 | (byte[1] & 0x3Fu) << 6 | (byte[2] & 0x3Fu);
        return 3;
    case 4:
        *codepoint = (byte[0] & 0x07u) << 18 | (byte[1] & 0x3Fu) << 12 | (byte[2] & 0x3Fu) << 6 |
                     (byte[3] & 0x3Fu);
        return 4;
    default:
        *codepoint = 0xFFFD;
        return len > 0 ? 1 : 0;
    }
}

size_t sl_utf8_encode(uint32_t codepoint, char out[4])
{
    if (codepoint < 0x80) {
        out[0] = (char)codepoint;
        return 1;
    }
    if (codepoint < 0x800) {
        out[0] = (char)(0xC0 | codepoint >> 6);
        out[1] = (char)(0x80 | (codepoint & 0x3F));
        return 2;
    }
    if (codepoint < 0x10000) {
        out[0] = (char)(0xE0 | codepoint >> 12);
        out[1] = (char)(0x80 | (codepoint >> 6 & 0x3F));
        out[2] = (char)(0x80 | (codepoint & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | codepoint >> 18);
    out[1] = (char)(0x80 | (codepoint >> 12 & 0x3F));
    out[2] = (char)(0x80 | (codepoint >> 6 & 0x3F));
    out[3] = (char)(0x80 | (codepoint & 0x3F));
    return 4;
}

bool sl_utf8_is_valid(const char *text, size_t len)
{
    size_t pos = 0;
    while (pos < len) {
        if (pos + 8 <= len) { /* eight ASCII bytes at once: most text is */
            uint64_t word;
            memcpy(&word, text + pos, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                pos += 8;
                continue;
            }
        }
        size_t sequence = sl_utf8_sequence_len(text + pos, len - pos);
        if (sequence == 0)
            return false;
        pos += sequence;
    }
    return true;
}

size_t sl_utf8_complete_prefix(const char *text, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        const char *start = text + len - back;
        if (((unsigned char)*start & 0xC0) == 0x80)
            continue;
        size_t need;
        size_t have = valid_prefix(start, back, &need);
        return have == back && have < need ? len - back : len;
    }
    return len;
}
