/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for shared_redis.c where Sluice is built without hiredis: there is no second level, and
 * a configuration that asks for one is refused with the reason.
 */
#include "shared.h"

enum sl_err shared_open(struct sl_cache *cache, const char *url, struct shared **out,
                        struct sl_error *error)
{
    (void)cache;
    (void)url;
    *out = NULL;
    return sl_error_set(error, SL_ERR_UNSUPPORTED,
                        "this build has no second cache level (hiredis was missing)");
}

void shared_close(struct shared *shared)
{
    (void)shared;
}

bool shared_is_up(const struct shared *shared)
{
    (void)shared;
    return false;
}

void shared_put(struct shared *shared, struct record *record)
{
    (void)shared;
    (void)record;
}

struct record *shared_get(struct shared *shared, const struct sl_cache_key *key)
{
    (void)shared;
    (void)key;
    return NULL;
}

void shared_purge(struct shared *shared, const struct filter_tags *tags)
{
    (void)shared;
    (void)tags;
}
