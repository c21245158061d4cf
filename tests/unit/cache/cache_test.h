/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of cache/ share: a cache in a scratch folder, keys by number, short puts and gets.
 */
#ifndef SLUICE_CACHE_TEST_H
#define SLUICE_CACHE_TEST_H

#include "sluice/cache.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOW 1000000 /* seconds: the tests' idea of now */

struct cache_place {
    char folder[64];
    char path[96];
    char key_path[96];
};

static inline struct cache_place place_in(const char *folder)
{
    struct cache_place place;
    snprintf(place.folder, sizeof place.folder, "%s", folder);
    snprintf(place.path, sizeof place.path, "%s/cache.db", folder);
    snprintf(place.key_path, sizeof place.key_path, "%s/cache.key", folder);
    return place;
}

static inline struct cache_place new_place(void)
{
    return place_in(sl_test_scratch());
}

static inline struct sl_cache_config config_at(const struct cache_place *place)
{
    struct sl_cache_config config;
    sl_cache_config_init(&config);
    config.path = place->path;
    config.key_path = place->key_path;
    config.commit_ms = 1;
    return config;
}

static inline struct sl_cache *open_with(const struct sl_cache_config *config)
{
    struct sl_cache *cache = NULL;
    struct sl_error error = {0};
    ck_assert_msg(sl_cache_open(config, &cache, &error) == SL_OK, "%s", error.message);
    return cache;
}

static inline struct sl_cache *open_at(const struct cache_place *place)
{
    struct sl_cache_config config = config_at(place);
    return open_with(&config);
}

/* Nothing is served from memory: every get reads the store. */
static inline struct sl_cache *open_without_front(const struct cache_place *place)
{
    struct sl_cache_config config = config_at(place);
    config.memory_bytes_max = 0;
    return open_with(&config);
}

static inline void assert_state(const struct sl_cache *cache, const char *name)
{
    ck_assert_str_eq(sl_cache_state_name(sl_cache_state(cache)), name);
}

static inline struct sl_cache_key key_of(struct sl_cache *cache, uint64_t number)
{
    struct sl_cache_key_builder builder;
    struct sl_cache_key key;
    sl_cache_key_start(&builder, cache);
    sl_cache_key_add_u64(&builder, 1, number);
    sl_cache_key_finish(&builder, SL_CACHE_CLOUD, &key);
    return key;
}

static inline bool put_text(struct sl_cache *cache, uint64_t number, const char *body)
{
    struct sl_cache_key key = key_of(cache, number);
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD,
                                 .app = SL_SLICE("app"),
                                 .model = SL_SLICE("model"),
                                 .prompt_tokens = 10,
                                 .completion_tokens = 20,
                                 .cost_microusd = 30};
    return sl_cache_put(cache, &key, &meta, sl_slice_of(body), NOW, 3600, NULL);
}

static inline void flush(struct sl_cache *cache)
{
    struct sl_error error = {0};
    ck_assert_msg(sl_cache_flush(cache, &error) == SL_OK, "%s", error.message);
}

static inline enum sl_cache_outcome get_at(struct sl_cache *cache, uint64_t number, int64_t now_s,
                                           struct sl_cache_entry *entry)
{
    struct sl_cache_key key = key_of(cache, number);
    struct sl_cache_want want = {.now_s = now_s, .max_age_s = SL_CACHE_ANY_AGE};
    return sl_cache_get(cache, &key, &want, entry);
}

/* NULL: a miss is expected. */
static inline void assert_get(struct sl_cache *cache, uint64_t number, const char *body)
{
    struct sl_cache_entry entry;
    enum sl_cache_outcome outcome = get_at(cache, number, NOW, &entry);
    ck_assert_int_eq(outcome, body != NULL ? SL_CACHE_HIT : SL_CACHE_MISS);
    if (body != NULL)
        ck_assert_msg(sl_slice_equal_text(entry.body, body), "another body came back");
    sl_cache_entry_clear(&entry);
}

static inline struct sl_cache_stats stats_of(struct sl_cache *cache)
{
    struct sl_cache_stats stats;
    struct sl_error error = {0};
    ck_assert_msg(sl_cache_stats(cache, &stats, &error) == SL_OK, "%s", error.message);
    return stats;
}

#endif
