/* SPDX-License-Identifier: Apache-2.0
 *
 * What the owner of the data asks for: purge, flush, statistics, export, key rotation. Blocking.
 *
 * Threads: any thread that may wait.
 */
#include "cache_state.h"

#include "db.h"
#include "front.h"
#include "writer.h"

_Static_assert(COUNTER_COUNT <= 16, "struct db_census holds them");

static enum sl_err off(const struct sl_cache *cache, struct sl_error *error)
{
    return sl_error_set(error, SL_ERR_IO, "the cache is off (%s)",
                        sl_cache_state_name(sl_cache_state(cache)));
}

static bool match_record(const struct record *record, const void *context)
{
    return filter_matches(context, &record->label);
}

enum sl_err sl_cache_purge(struct sl_cache *cache, const struct sl_cache_filter *filter,
                           uint64_t *purged, struct sl_error *error)
{
    *purged = 0;
    if (!filter->everything && filter->key == NULL && filter->app.len == 0 &&
        filter->model.len == 0 && filter->made_from == NULL && filter->not_made_from == NULL &&
        filter->created_before_s == 0)
        return SL_OK;
    if (cache->writer != NULL)
        return writer_purge(cache->writer, filter, purged, error);
    struct filter_tags tags;
    filter_tags_init(&tags, cache->keyring, filter);
    front_remove(cache->front, match_record, &tags);
    return cache_is_on(cache) ? SL_OK : off(cache, error);
}

enum sl_err sl_cache_flush(struct sl_cache *cache, struct sl_error *error)
{
    if (cache->writer != NULL)
        return writer_flush(cache->writer, error);
    return cache_is_on(cache) ? SL_OK : off(cache, error);
}

enum sl_err sl_cache_rotate_key(struct sl_cache *cache, struct sl_error *error)
{
    return cache->writer != NULL ? writer_rotate(cache->writer, error) : off(cache, error);
}

/* ---- statistics ----------------------------------------------------------------------------- */

static enum sl_err read_census(struct sl_cache *cache, struct db_census *census,
                               struct sl_error *error)
{
    enum sl_cache_state state = SL_CACHE_ON;
    enum db_outcome outcome = DB_FAILED;
    pthread_rwlock_rdlock(&cache->db_lock);
    if (cache->db != NULL)
        outcome = db_read_census(cache->db, COUNTER_COUNT, census, &state);
    pthread_rwlock_unlock(&cache->db_lock);
    if (outcome != DB_FAILED)
        return SL_OK;
    cache_turn_off(cache, state, "reading failed");
    return off(cache, error);
}

enum sl_err sl_cache_stats(struct sl_cache *cache, struct sl_cache_stats *stats,
                           struct sl_error *error)
{
    struct db_census census = {0};
    *stats = (struct sl_cache_stats){.state = sl_cache_state(cache),
                                     .memory_bytes = front_bytes(cache->front)};
    if (cache->writer == NULL) {
        for (size_t i = 0; i < COUNTER_COUNT; i++)
            census.counters[i] = atomic_load(&cache->counters[i]);
    } else {
        enum sl_err err = writer_flush(cache->writer, error); /* brings the counters to the disk */
        if (err == SL_OK)
            err = read_census(cache, &census, error);
        if (err != SL_OK)
            return err;
    }
    stats->entries_local = census.entries[SL_CACHE_LOCAL];
    stats->entries_cloud = census.entries[SL_CACHE_CLOUD];
    stats->entries = stats->entries_local + stats->entries_cloud;
    stats->bytes = census.bytes;
    stats->hits = census.counters[COUNTER_HITS];
    stats->similar_hits = census.counters[COUNTER_SIMILAR_HITS];
    int64_t misses = (int64_t)census.counters[COUNTER_MISSES]; /* a repeat took back too many */
    stats->misses = misses > 0 ? (uint64_t)misses : 0;
    stats->saved_prompt_tokens = census.counters[COUNTER_SAVED_PROMPT_TOKENS];
    stats->saved_completion_tokens = census.counters[COUNTER_SAVED_COMPLETION_TOKENS];
    stats->saved_microusd = census.counters[COUNTER_SAVED_MICROUSD];
    stats->evicted = census.counters[COUNTER_EVICTED];
    stats->expired = census.counters[COUNTER_EXPIRED];
    return SL_OK;
}

/* ---- export --------------------------------------------------------------------------------- */

/* Shows one row; a box that does not open is passed over. False: the visitor has enough. */
static bool show_row(struct sl_cache *cache, const struct db_row *row, sl_cache_visit_fn *visit,
                     void *context)
{
    struct record *record = NULL;
    if (record_open(cache->keyring, &row->label, row->key_id, sl_buf_slice(&row->sealed),
                    &record) != SL_OK)
        return true;
    struct sl_cache_entry entry;
    record_lend(record, &entry);
    bool go_on = visit(&entry, context);
    sl_cache_entry_clear(&entry);
    return go_on;
}

/* One row a time, so that a slow visitor keeps no snapshot open and the WAL can shrink. */
enum sl_err sl_cache_export(struct sl_cache *cache, enum sl_cache_kind kind,
                            sl_cache_visit_fn *visit, void *context, struct sl_error *error)
{
    int64_t id = INT64_MIN;
    if (cache->writer == NULL)
        return SL_OK;
    for (;;) {
        struct db_row row = {0};
        enum sl_cache_state state = SL_CACHE_ON;
        enum db_outcome outcome = DB_FAILED;
        pthread_rwlock_rdlock(&cache->db_lock);
        if (cache->db != NULL)
            outcome = db_read_next(cache->db, kind, &id, &row, &state);
        pthread_rwlock_unlock(&cache->db_lock);
        bool go_on = outcome == DB_FOUND && show_row(cache, &row, visit, context);
        sl_buf_clear(&row.sealed);
        if (outcome == DB_FAILED) {
            cache_turn_off(cache, state, "reading failed");
            return off(cache, error);
        }
        if (!go_on)
            return SL_OK;
    }
}
