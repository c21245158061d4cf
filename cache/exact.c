/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns exact look-ups and puts: front first, then the store. An answer whose box does not open is
 * no answer: a miss, never an error and never somebody else's bytes, since the seal binds the key.
 *
 * Threads: any. Nothing here waits for the writer; the db lock is held shared for one point query.
 */
#include "exact.h"

#include "db.h"
#include "front.h"
#include "shared.h"
#include "similar.h"
#include "writer.h"

#include <stdlib.h>

static struct record *open_row(struct sl_cache *cache, const struct db_row *row)
{
    struct record *record = NULL;
    enum sl_err err =
        record_open(cache->keyring, &row->label, row->key_id, sl_buf_slice(&row->sealed), &record);
    return err == SL_OK ? record : NULL;
}

/* Under no lock but the store's own. */
static struct record *find_in_store(struct sl_cache *cache, const struct sl_cache_key *key)
{
    struct db_row row = {0};
    enum sl_cache_state state = SL_CACHE_ON;
    enum db_outcome outcome = DB_ABSENT;
    pthread_rwlock_rdlock(&cache->db_lock);
    if (cache->db != NULL)
        outcome = db_read_key(cache->db, key, &row, &state);
    pthread_rwlock_unlock(&cache->db_lock);
    if (outcome == DB_FAILED)
        cache_turn_off(cache, state, "reading failed");
    struct record *record = outcome == DB_FOUND ? open_row(cache, &row) : NULL;
    sl_buf_clear(&row.sealed);
    return record;
}

struct record *exact_find(struct sl_cache *cache, const struct sl_cache_key *key)
{
    if (!cache_is_on(cache))
        return NULL;
    struct record *record = front_get(cache->front, key);
    if (record != NULL || cache->writer == NULL)
        return record;
    uint64_t ticket = front_ticket(cache->front, key);
    record = find_in_store(cache, key);
    if (record != NULL)
        front_fill(cache->front, record, ticket);
    return record;
}

/* How many seconds past its use the entry is; at most 0 while it is fresh. */
static int64_t staleness_s(const struct record_label *label, const struct sl_cache_want *want)
{
    int64_t past_end = want->now_s - label->expires_s + 1; /* it ends at the start of expires_s */
    if (want->max_age_s == SL_CACHE_ANY_AGE)
        return past_end;
    int64_t past_age = want->now_s - label->created_s - want->max_age_s;
    return past_age > past_end ? past_age : past_end;
}

enum sl_cache_outcome exact_serve(struct record *record, const struct sl_cache_want *want,
                                  struct sl_cache_entry *entry)
{
    memset(entry, 0, sizeof *entry);
    if (record == NULL)
        return SL_CACHE_MISS;
    int64_t stale_s = staleness_s(&record->label, want);
    if (stale_s > 0 && stale_s > want->stale_max_s) {
        record_release(record);
        return SL_CACHE_MISS;
    }
    record_lend(record, entry);
    return stale_s > 0 ? SL_CACHE_STALE : SL_CACHE_HIT;
}

void exact_count_hit(struct sl_cache *cache, const struct sl_cache_entry *entry,
                     enum cache_counter counter, bool is_repeat)
{
    cache_count(cache, counter, 1);
    if (is_repeat) /* its first look-up was counted as a miss: take that back (modulo 2^64) */
        cache_count(cache, COUNTER_MISSES, UINT64_MAX);
    cache_count(cache, COUNTER_SAVED_PROMPT_TOKENS, entry->meta.prompt_tokens);
    cache_count(cache, COUNTER_SAVED_COMPLETION_TOKENS, entry->meta.completion_tokens);
    cache_count(cache, COUNTER_SAVED_MICROUSD, entry->meta.cost_microusd);
    if (cache->writer != NULL)
        writer_touch(cache->writer, entry->owner);
}

enum sl_cache_outcome sl_cache_get(struct sl_cache *cache, const struct sl_cache_key *key,
                                   const struct sl_cache_want *want, struct sl_cache_entry *entry)
{
    atomic_store_explicit(&cache->now_s, want->now_s, memory_order_relaxed);
    enum sl_cache_outcome outcome = exact_serve(exact_find(cache, key), want, entry);
    if (outcome != SL_CACHE_MISS)
        exact_count_hit(cache, entry, COUNTER_HITS, want->is_repeat);
    else if (!want->is_repeat)
        cache_count(cache, COUNTER_MISSES, 1);
    return outcome;
}

bool sl_cache_has_shared(const struct sl_cache *cache)
{
    return cache_is_on(cache) && shared_is_up(cache->shared);
}

/* What another box paid for becomes this box's own, unless a purge went by meanwhile. */
static void adopt(struct sl_cache *cache, struct record *record, uint64_t ticket)
{
    if (front_ticket(cache->front, &record->label.key) != ticket)
        return;
    front_fill(cache->front, record, ticket);
    if (cache->writer != NULL && !writer_put(cache->writer, record_acquire(record), NULL))
        record_release(record);
}

enum sl_cache_outcome sl_cache_get_shared(struct sl_cache *cache, const struct sl_cache_key *key,
                                          const struct sl_cache_want *want,
                                          struct sl_cache_entry *entry)
{
    uint64_t ticket = front_ticket(cache->front, key);
    struct record *record = sl_cache_has_shared(cache) ? shared_get(cache->shared, key) : NULL;
    if (record != NULL)
        adopt(cache, record, ticket);
    enum sl_cache_outcome outcome = exact_serve(record, want, entry);
    if (outcome != SL_CACHE_MISS)
        exact_count_hit(cache, entry, COUNTER_HITS, true);
    return outcome;
}

/* ---- putting -------------------------------------------------------------------------------- */

static bool drop(struct sl_series *cause)
{
    sl_series_add(cause, 1);
    return false;
}

/* Takes the reference. */
static bool keep(struct sl_cache *cache, struct record *record,
                 const struct sl_cache_similar_text *text)
{
    struct similar_features *features =
        text != NULL && cache->config.has_similar && cache->writer != NULL
            ? similar_features_create(cache->keyring, text)
            : NULL;
    record_acquire(record);
    bool is_kept = cache->writer == NULL || writer_put(cache->writer, record, features);
    if (is_kept) {
        front_put(cache->front, record);
        shared_put(cache->shared, record);
    }
    if (!is_kept || cache->writer == NULL) { /* nobody took them */
        record_release(record);
        free(features);
    }
    record_release(record);
    return is_kept || drop(cache->metrics.dropped_queue);
}

bool sl_cache_put(struct sl_cache *cache, const struct sl_cache_key *key,
                  const struct sl_cache_meta *meta, struct sl_slice body, int64_t now_s,
                  int64_t ttl_s, const struct sl_cache_similar_text *similar)
{
    atomic_store_explicit(&cache->now_s, now_s, memory_order_relaxed);
    if (!cache_is_on(cache))
        return drop(cache->metrics.dropped_off);
    if (body.len > cache->config.body_bytes_max || meta->prompt.len > cache->config.body_bytes_max)
        return drop(cache->metrics.dropped_size);
    int64_t expires_s;
    if (ttl_s <= 0)
        return drop(cache->metrics.dropped_other);
    if (__builtin_add_overflow(now_s, ttl_s, &expires_s))
        expires_s = INT64_MAX;
    struct record *record = record_create(cache->keyring, key, meta, body, now_s, expires_s);
    if (record == NULL)
        return drop(cache->metrics.dropped_other);
    return keep(cache, record, similar);
}
