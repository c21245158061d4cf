/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the search for an earlier occurrence of the last tokens. Plain comparison from the end
 * backwards: some thousand comparisons a step, which is nothing beside a forward pass.
 */
#include "speculate.h"

#include <string.h>

/* Tokens that must occur again. Shorter ones match everywhere and guess badly. */
#define MATCH_TOKENS 3

uint32_t sl_speculate_draft(const int32_t *ids, uint32_t count, uint32_t most, int32_t *draft)
{
    if (count < MATCH_TOKENS + 1)
        return 0;
    const int32_t *last = ids + count - MATCH_TOKENS;
    for (uint32_t at = count - MATCH_TOKENS; at-- > 0;) {
        if (ids[at] != last[0] || memcmp(ids + at, last, MATCH_TOKENS * sizeof *ids) != 0)
            continue;
        const uint32_t follows = at + MATCH_TOKENS;
        const uint32_t known = count - follows;
        const uint32_t len = known < most ? known : most;
        memcpy(draft, ids + follows, len * sizeof *draft);
        return len;
    }
    return 0;
}
