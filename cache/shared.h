/* SPDX-License-Identifier: Apache-2.0
 *
 * The second level in Redis or Valkey: the same sealed boxes under the same keys.
 */
#ifndef SLUICE_CACHE_SHARED_H
#define SLUICE_CACHE_SHARED_H

#include "cache_state.h"
#include "record.h"

struct filter_tags;
struct shared;

/* Parses the URL and starts the thread that writes; connects later. SL_ERR_INVALID: not a URL that
 * is understood; SL_ERR_UNSUPPORTED: built without hiredis. */
enum sl_err shared_open(struct sl_cache *cache, const char *url, struct shared **out,
                        struct sl_error *error) SL_MUST_CHECK;
void shared_close(struct shared *shared);

/* False while the server is known to be away. NULL: false. */
bool shared_is_up(const struct shared *shared);
/* Never blocks; keeps a reference of its own. NULL is fine. */
void shared_put(struct shared *shared, struct record *record);
/* Blocking, up to the timeout. A record or NULL. */
struct record *shared_get(struct shared *shared, const struct sl_cache_key *key);
/* Blocking: removes what matches from the server, as far as it can be reached. NULL is fine. */
void shared_purge(struct shared *shared, const struct filter_tags *tags);

#endif
