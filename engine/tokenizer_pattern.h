/* SPDX-License-Identifier: Apache-2.0
 *
 * The small regular-expression language in which pre-tokenizers are published, enough of it and no
 * more. A pattern splits a text into its matches and what lies between them.
 *
 *     struct sl_pattern *pattern;
 *     if (sl_pattern_compile("\\p{N}{1,3}| ?\\p{L}+", &pattern, &error) != SL_OK) ...
 *     if (sl_pattern_split(pattern, chars, 0, count, &ends) != SL_OK) ...
 *
 * Language: alternatives (leftmost first), classes with ranges, \p{L} \p{N} \p{P} \p{S} \p{M}
 * \p{Han}, \s \S \d, `[...--...]` (set difference; the right side ends the class), ? * + {m,n},
 * (?:...) (?=...) (?!...) \b $. Groups are atomic and their repetition possessive: no published
 * pattern needs to go back into a group, and so matching never takes exponential time or deep
 * recursion.
 *
 * Text is an array of characters made by sl_pattern_char. Threads: a pattern is immutable.
 */
#ifndef SLUICE_ENGINE_TOKENIZER_PATTERN_H
#define SLUICE_ENGINE_TOKENIZER_PATTERN_H

#include "sluice/err.h"

#include <stddef.h>
#include <stdint.h>

struct sl_pattern;

/* A code point and its Unicode flags in one word. White space outside ASCII reads as a vertical tab,
 * as in the reference implementation: no class that lists characters contains it, \s does. */
uint32_t sl_pattern_char(uint32_t codepoint);

/* A growing array of positions. */
struct sl_positions {
    uint32_t *at;
    size_t count;
    size_t capacity;
};

/* Patterns are ours: a wrong one is SL_ERR_INTERNAL. */
enum sl_err sl_pattern_compile(const char *text, struct sl_pattern **out,
                               struct sl_error *error) SL_MUST_CHECK;
void sl_pattern_free(struct sl_pattern *pattern);

/* Splits chars[begin, end) and appends the end of each piece; the last one is `end`. Empty pieces
 * are left out. Nothing outside the range is looked at. */
enum sl_err sl_pattern_split(const struct sl_pattern *pattern, const uint32_t *chars,
                             uint32_t begin, uint32_t end,
                             struct sl_positions *pieces) SL_MUST_CHECK;

#endif
