/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a word is a word: a Bloom filter over 74,000 English words, names and brands, 120 KB.
 *
 * The verifier of similar prompts takes a difference of one letter as a typo only where one of the
 * two spellings is no word: "from" and "form", "email" and "gmail" are two words and never match. A
 * false "known" (0.2 %) makes it refuse, so the filter errs on the safe side.
 *
 * Immutable; any thread.
 */
#include "words/known_words.h"

#include <stdint.h>

#include "words/known_words.inc"

bool known_words_has(struct sl_slice word)
{
    const uint64_t bit_count = 8 * sizeof known_words_bits;
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a, as generate.py has it */
    for (size_t i = 0; i < word.len; i++)
        hash = (hash ^ (uint8_t)word.data[i]) * 0x100000001B3u;
    uint64_t first = hash & 0xFFFFFFFFu;
    uint64_t step = hash >> 32 | 1;
    for (uint64_t i = 0; i < KNOWN_WORDS_HASHES; i++) {
        uint64_t bit = (first + i * step) % bit_count;
        if ((known_words_bits[bit / 64] >> bit % 64 & 1) == 0)
            return false;
    }
    return true;
}
