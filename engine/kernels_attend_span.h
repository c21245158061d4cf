/* SPDX-License-Identifier: Apache-2.0
 *
 * Which positions of a tile a query sees, and asking for what comes next: shared by the files that
 * attend tile by tile.
 */
#ifndef SLUICE_ENGINE_KERNELS_ATTEND_SPAN_H
#define SLUICE_ENGINE_KERNELS_ATTEND_SPAN_H

#include "kernels.h"

/* The positions [first, end) of a tile that a query, or any of several, sees. */
struct span {
    uint32_t first, end;
};

/* Of the tile of `count` positions from `start` on. */
static inline struct span visible(const struct sl_attend *attend, uint32_t query, uint32_t start,
                                  uint32_t count)
{
    const uint32_t first = attend->first[query], end = attend->end[query];
    const struct span span = {first > start ? first - start : 0,
                              end > start ? (end - start < count ? end - start : count) : 0};
    return span.first < span.end ? span : (struct span){0, 0};
}

/* The spans of `queries` neighbours, and what encloses them: end 0 where none sees any. */
static inline struct span visible_to_all(const struct sl_attend *attend, uint32_t query,
                                         int queries, uint32_t start, uint32_t count,
                                         struct span *spans)
{
    struct span all = {SL_ATTEND_TILE, 0};
    for (int i = 0; i < queries; i++) {
        spans[i] = visible(attend, query + (uint32_t)i, start, count);
        if (spans[i].end == 0)
            continue;
        all.first = spans[i].first < all.first ? spans[i].first : all.first;
        all.end = spans[i].end > all.end ? spans[i].end : all.end;
    }
    return all;
}

/* Asks for row `position` of the run that is likely to come next. */
static inline __attribute__((always_inline)) void ask_for(const void *next, uint32_t position,
                                                          size_t bytes)
{
    if (next == NULL)
        return;
    for (size_t at = 0; at < bytes; at += 64)
        __builtin_prefetch((const uint8_t *)next + position * bytes + at);
}

static inline bool anyone_sees(const struct sl_attend *attend, uint32_t start, uint32_t count)
{
    for (uint32_t query = 0; query < attend->queries; query++)
        if (visible(attend, query, start, count).end != 0)
            return true;
    return false;
}

#endif
