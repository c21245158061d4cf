/* SPDX-License-Identifier: Apache-2.0
 *
 * What exact.c lends to similar.c and shared.c.
 */
#ifndef SLUICE_CACHE_EXACT_H
#define SLUICE_CACHE_EXACT_H

#include "cache_state.h"
#include "record.h"

/* From the front or the disk: a reference, or NULL. */
struct record *exact_find(struct sl_cache *cache, const struct sl_cache_key *key);
/* Judges the record's age and hands it to *entry, or releases it. NULL is a miss. */
enum sl_cache_outcome exact_serve(struct record *record, const struct sl_cache_want *want,
                                  struct sl_cache_entry *entry);
/* Counts a hit: statistics, and the record's rank in the store. `is_repeat`: the request's first
 * look-up missed and was counted. */
void exact_count_hit(struct sl_cache *cache, const struct sl_cache_entry *entry,
                     enum cache_counter counter, bool is_repeat);

#endif
