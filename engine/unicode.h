/* SPDX-License-Identifier: Apache-2.0
 *
 * What tokenizers ask about a code point: its general category in one bit set, its simple lower
 * case, and the first code point of its canonical decomposition. Over utf8proc; the white-space set
 * and the Han ranges are small tables of our own, because both follow the reference tokenizers and
 * not a Unicode property.
 *
 * Threads: pure functions.
 */
#ifndef SLUICE_ENGINE_UNICODE_H
#define SLUICE_ENGINE_UNICODE_H

#include <stdint.h>

enum sl_unicode_flag {
    SL_UNICODE_LETTER = 1 << 0,      /* L* */
    SL_UNICODE_NUMBER = 1 << 1,      /* N* */
    SL_UNICODE_PUNCTUATION = 1 << 2, /* P* */
    SL_UNICODE_SYMBOL = 1 << 3,      /* S* */
    SL_UNICODE_MARK = 1 << 4,        /* M* */
    SL_UNICODE_SPACE = 1 << 5,       /* White_Space */
    SL_UNICODE_CONTROL = 1 << 6,     /* Cc, Cf, Co, Cs */
    SL_UNICODE_HAN = 1 << 7          /* CJK ideographs, as the Kimi tokenizer draws the line */
};
#define SL_UNICODE_FLAG_BITS 8

/* Any value; code points that are not assigned have no flag. */
uint32_t sl_unicode_flags(uint32_t codepoint);
/* Simple lower case mapping (UnicodeData.txt). */
uint32_t sl_unicode_lower(uint32_t codepoint);
/* The first code point of the canonical decomposition; itself where there is none. */
uint32_t sl_unicode_base(uint32_t codepoint);

#endif
