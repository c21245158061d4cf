/* SPDX-License-Identifier: Apache-2.0
 *
 * struct sl_cache and the few calls its parts make on each other. Private to cache/.
 */
#ifndef SLUICE_CACHE_STATE_H
#define SLUICE_CACHE_STATE_H

#include "sluice/cache.h"
#include "sluice/metric.h"

#include <pthread.h>
#include <stdatomic.h>

struct db;
struct flights;
struct front;
struct keyring;
struct shared;
struct vectors;
struct writer;

/* Counted in memory and added to the store with the next commit. */
enum cache_counter {
    COUNTER_HITS,
    COUNTER_SIMILAR_HITS,
    COUNTER_MISSES,
    COUNTER_SAVED_PROMPT_TOKENS,
    COUNTER_SAVED_COMPLETION_TOKENS,
    COUNTER_SAVED_MICROUSD,
    COUNTER_EVICTED,
    COUNTER_EXPIRED,
    COUNTER_COUNT
};

struct cache_metrics {
    struct sl_series *enabled;
    struct sl_series *entries;
    struct sl_series *bytes;
    struct sl_series *evicted_bytes; /* cause="bytes": over bytes_max */
    struct sl_series *evicted_entries;
    struct sl_series *evicted_expired;
    struct sl_series *evicted_purged;
    struct sl_series *dropped_off;
    struct sl_series *dropped_queue;
    struct sl_series *dropped_size;
    struct sl_series *dropped_other;
    struct sl_series *commit_seconds;
};

struct sl_cache {
    struct sl_cache_config config; /* its strings are copies */
    struct keyring *keyring;
    struct front *front;
    struct flights *flights;
    struct vectors *vectors;
    atomic_bool wants_vectors; /* the writer should fill `vectors` from the store */
    struct writer *writer;     /* NULL without a store */
    struct shared *shared;     /* NULL without a second level */
    struct cache_metrics metrics;
    atomic_int state;
    _Atomic int64_t now_s; /* the last time a caller told; the writer's idea of now */
    _Atomic uint64_t counters[COUNTER_COUNT];
    pthread_rwlock_t db_lock; /* guards db: held shared by readers, alone to open or close it */
    struct db *db;            /* NULL while the store is off */
};

/* Turns the cache off and says so once: log and gauge. Any thread. */
void cache_turn_off(struct sl_cache *cache, enum sl_cache_state state, const char *why);
/* The writer's alone: the store works again. */
void cache_turn_on(struct sl_cache *cache);

static inline bool cache_is_on(const struct sl_cache *cache)
{
    return atomic_load_explicit(&cache->state, memory_order_acquire) == SL_CACHE_ON;
}

static inline void cache_count(struct sl_cache *cache, enum cache_counter counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&cache->counters[counter], amount, memory_order_relaxed);
}

#endif
