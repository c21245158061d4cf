/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns opening and closing the cache and its state: on, or off and why. Leaves to others: look-ups
 * and puts (exact.c), similar texts (similar.c), the owner's calls (admin.c), the store (db*.c,
 * writer*.c).
 *
 * Threads: the state is one atomic; everything else here is set before other threads see it.
 */
#include "cache_state.h"

#include "flight.h"
#include "front.h"
#include "keyring.h"
#include "shared.h"
#include "vectors.h"
#include "writer.h"

#include "sluice/log.h"
#include "sluice/secret.h"

#include <stdlib.h>

void sl_cache_config_init(struct sl_cache_config *config)
{
    *config = (struct sl_cache_config){
        .bytes_max = 256ull << 20, /* some 100,000 chat answers */
        .entries_max = 200000,
        .memory_bytes_max = 32ull << 20,
        .body_bytes_max = 1u << 20,
        .queue_max = 4096,
        .commit_ms = 20,    /* long enough to share an fsync, short enough to lose little */
        .check_ms_max = 20, /* a start must not wait for a large store */
        .stale_keep_s = 24 * 3600,
        .retry_s = 30,
        .has_similar = true,
        .vectors_max = 100000,
        .redis_timeout_ms = 50,
    };
}

const char *sl_cache_state_name(enum sl_cache_state state)
{
    static const char *const names[SL_CACHE_STATE_COUNT] = {
        "on", "corrupt", "locked", "read_only", "full", "io_error", "key", "version"};
    return names[state];
}

enum sl_cache_state sl_cache_state(const struct sl_cache *cache)
{
    return atomic_load_explicit(&cache->state, memory_order_acquire);
}

/* The first reason stands: what fails after it is its consequence. */
void cache_turn_off(struct sl_cache *cache, enum sl_cache_state state, const char *why)
{
    int expected = SL_CACHE_ON;
    if (state == SL_CACHE_ON)
        return;
    if (atomic_compare_exchange_strong(&cache->state, &expected, (int)state)) {
        SL_LOG_ERROR("cache", "turned off (%s): %s; requests go on without it",
                     sl_cache_state_name(state), why);
        sl_series_set(cache->metrics.enabled, 0);
    }
}

void cache_turn_on(struct sl_cache *cache)
{
    int before = atomic_exchange(&cache->state, SL_CACHE_ON);
    sl_series_set(cache->metrics.enabled, 1);
    if (before != SL_CACHE_ON)
        SL_LOG_INFO("cache", "turned on again (was off: %s)",
                    sl_cache_state_name((enum sl_cache_state)before));
}

static void register_metrics(struct cache_metrics *metrics)
{
    static const char *const cause[] = {"cause", NULL};
    struct sl_metric *evicted = sl_metric_counter("sluice_cache_evictions_total",
                                                  "Entries that left the cache, by cause.", cause);
    struct sl_metric *dropped = sl_metric_counter("sluice_cache_dropped_total",
                                                  "Answers that were not stored, by cause.", cause);
    metrics->enabled = sl_metric_series(
        sl_metric_gauge("sluice_cache_enabled", "1 while the cache is in use.", NULL), NULL);
    metrics->entries = sl_metric_series(
        sl_metric_gauge("sluice_cache_entries", "Entries in the store.", NULL), NULL);
    metrics->bytes = sl_metric_series(
        sl_metric_gauge("sluice_cache_bytes", "Bytes of the entries in the store.", NULL), NULL);
    metrics->evicted_bytes = sl_metric_series(evicted, (const char *const[]){"bytes"});
    metrics->evicted_entries = sl_metric_series(evicted, (const char *const[]){"entries"});
    metrics->evicted_expired = sl_metric_series(evicted, (const char *const[]){"expired"});
    metrics->evicted_purged = sl_metric_series(evicted, (const char *const[]){"purged"});
    metrics->dropped_off = sl_metric_series(dropped, (const char *const[]){"off"});
    metrics->dropped_queue = sl_metric_series(dropped, (const char *const[]){"queue_full"});
    metrics->dropped_size = sl_metric_series(dropped, (const char *const[]){"too_large"});
    metrics->dropped_other = sl_metric_series(dropped, (const char *const[]){"other"});
    metrics->commit_seconds = sl_metric_series(
        sl_metric_histogram("sluice_cache_commit_seconds", "Time of a group commit.", NULL,
                            sl_metric_seconds_bounds, sl_metric_seconds_bound_count),
        NULL);
}

/* The strings of the caller's configuration become ours. False when out of memory. */
static bool keep_config(struct sl_cache *cache, const struct sl_cache_config *config)
{
    cache->config = *config;
    cache->config.path = config->path != NULL ? strdup(config->path) : NULL;
    cache->config.key_path = config->key_path != NULL ? strdup(config->key_path) : NULL;
    cache->config.redis_url = NULL; /* may hold a password: the second level keeps what it needs */
    return (config->path == NULL || cache->config.path != NULL) &&
           (config->key_path == NULL || cache->config.key_path != NULL);
}

/* A key file that can't be used turns the store off for good; keys are then built with random keys,
 * so that single flight and the stages work as ever. */
static enum sl_err open_keys(struct sl_cache *cache, struct sl_error *error)
{
    struct sl_error why = {0};
    enum sl_err err = keyring_open(cache->config.key_path, &cache->keyring, &why);
    if (err == SL_OK)
        return SL_OK;
    cache_turn_off(cache, SL_CACHE_OFF_KEY, why.message);
    return keyring_open(NULL, &cache->keyring, error);
}

static enum sl_err open_parts(struct sl_cache *cache, const struct sl_cache_config *config,
                              struct sl_error *error)
{
    enum sl_err err = open_keys(cache, error);
    if (err != SL_OK)
        return err;
    cache->front = front_create(config->memory_bytes_max);
    cache->flights = flights_create();
    if (cache->front == NULL || cache->flights == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    cache->vectors = vectors_create(config->vectors_max);
    if (cache->vectors == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (config->path != NULL && cache_is_on(cache) && (cache->writer = writer_start(cache)) == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (config->redis_url != NULL && sl_cache_state(cache) != SL_CACHE_OFF_KEY)
        return shared_open(cache, config->redis_url, &cache->shared, error);
    return SL_OK;
}

enum sl_err sl_cache_open(const struct sl_cache_config *config, struct sl_cache **out,
                          struct sl_error *error)
{
    *out = NULL;
    if (config->path != NULL && config->key_path == NULL)
        return sl_error_set(error, SL_ERR_INVALID, "a cache on disk needs a key file");
    struct sl_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    pthread_rwlock_init(&cache->db_lock, NULL);
    register_metrics(&cache->metrics);
    sl_series_set(cache->metrics.enabled, 1);
    enum sl_err err = keep_config(cache, config) ? open_parts(cache, config, error)
                                                 : sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err != SL_OK) {
        sl_cache_close(cache);
        return err;
    }
    *out = cache;
    return SL_OK;
}

void sl_cache_close(struct sl_cache *cache)
{
    if (cache == NULL)
        return;
    shared_close(cache->shared);
    writer_stop(cache->writer);
    front_free(cache->front);
    flights_free(cache->flights);
    vectors_free(cache->vectors);
    keyring_free(cache->keyring);
    pthread_rwlock_destroy(&cache->db_lock);
    free((char *)(uintptr_t)cache->config.path);
    free((char *)(uintptr_t)cache->config.key_path);
    free(cache);
}
