/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory front: recently used records by key, least recently used out first.
 */
#ifndef SLUICE_CACHE_FRONT_H
#define SLUICE_CACHE_FRONT_H

#include "record.h"

struct front;

/* `bytes_max` 0: holds nothing. NULL when out of memory. */
struct front *front_create(uint64_t bytes_max);
void front_free(struct front *front);

/* A reference, or NULL. */
struct record *front_get(struct front *front, const struct sl_cache_key *key);
/* Keeps a reference of its own; takes the place of an older record of the same key. */
void front_put(struct front *front, struct record *record);

/* A reader that goes to the disk takes the ticket first and hands it in with what it read: the
 * record is kept only if nothing of its shard was put or removed meanwhile. So a slow reader never
 * brings back what a purge or a newer answer took away. */
uint64_t front_ticket(struct front *front, const struct sl_cache_key *key);
void front_fill(struct front *front, struct record *record, uint64_t ticket);

typedef bool front_match_fn(const struct record *record, const void *context);
/* Removes what matches; NULL removes all. */
void front_remove(struct front *front, front_match_fn *match, const void *context);
uint64_t front_bytes(struct front *front);

#endif
