/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the writer thread: group commit, eviction, expiry, turning a failing store off and trying it
 * again. Leaves to others: SQL (db_write.c), what a purge or a rotation does (writer_jobs.c).
 *
 *        +------------ every retry_s, if the reason can pass -------------+
 *        v                                                                |
 *     OPENING --ok--> ON: pop -> BEGIN -> put, touch ... -> COMMIT --fails--> OFF: pop -> drop
 *
 * A group is what arrives within commit_ms of its first put (TOUCH_MS of its first counted hit), at
 * most GROUP_MAX items. Sealing
 * happens here too, so a request pays for one copy of its answer and nothing else.
 *
 * Threads: one. Producers only push to the bounded queue; blocking callers wait for their job.
 *
 * Invariants: 1. The writer alone touches the store's write side and cache->db. 2. An item is freed
 * exactly once, by the thread that popped it. 3. A job is always finished, with an error if need
 * be.
 */
#include "writer.h"

#include "db.h"
#include "front.h"
#include "similar.h"
#include "vectors.h"
#include "writer_internal.h"

#include "sluice/clock.h"
#include "sluice/log.h"
#include "sluice/queue.h"

#include <stdlib.h>

#define GROUP_MAX 512                /* bounds the WAL that one commit writes: some 2 MB */
#define QUEUED_BYTES_MAX (32u << 20) /* as much as the front holds by default */
#define JOB_ROOM 16                  /* places in the queue that puts leave free */
#define IDLE_MS 1000                 /* how often an idle writer looks after expiry */
#define TOUCH_MS 1000 /* how long counted hits wait: a load of hits alone is one fsync a second */
#define NOTICE_MS 500 /* how often any writer looks whether another process wrote */
#define EXPIRE_PER_GROUP 64
#define EVICT_PER_GROUP                                                                            \
    (GROUP_MAX + 64) /* more than a group can add, so the bound holds after it */

/* ---- items --------------------------------------------------------------------------------- */

static void item_free(struct writer *writer, struct writer_item *item)
{
    if (item->kind == WRITER_PUT)
        atomic_fetch_sub(&writer->queued_bytes, item->record->size);
    record_release(item->record);
    free(item->features);
    free(item);
}

static bool push(struct writer *writer, enum writer_item_kind kind, struct record *record,
                 struct similar_features *features)
{
    struct writer_item *item = malloc(sizeof *item);
    if (item == NULL)
        return false;
    *item = (struct writer_item){.kind = kind, .record = record, .features = features};
    if (sl_queue_len(writer->queue) < writer->puts_max &&
        sl_queue_push(writer->queue, item) == SL_QUEUE_DONE)
        return true;
    free(item);
    return false;
}

/* The queue is bounded in bytes, too: answers may be large and the disk slow. */
bool writer_put(struct writer *writer, struct record *record, struct similar_features *features)
{
    size_t size = record->size; /* the record is the writer's once it is pushed */
    if (atomic_fetch_add(&writer->queued_bytes, size) + size <= QUEUED_BYTES_MAX &&
        push(writer, WRITER_PUT, record, features))
        return true;
    atomic_fetch_sub(&writer->queued_bytes, size);
    return false;
}

/* A record that is hit a thousand times between two commits is queued once. Half the queue is kept
 * for puts: an answer is worth more than a count. */
void writer_touch(struct writer *writer, struct record *record)
{
    atomic_fetch_add_explicit(&record->hits_pending, 1, memory_order_relaxed);
    if (atomic_load_explicit(&record->is_touch_queued, memory_order_relaxed) ||
        sl_queue_len(writer->queue) >= writer->puts_max / 2 ||
        atomic_exchange(&record->is_touch_queued, true))
        return;
    if (push(writer, WRITER_TOUCH, record_acquire(record), NULL))
        return;
    atomic_store(&record->is_touch_queued, false);
    record_release(record);
}

/* ---- one group ------------------------------------------------------------------------------ */

static int write_put(struct writer *writer, const struct writer_item *item, int64_t *id)
{
    struct keyring *keyring = writer->cache->keyring;
    struct db_put put = {.label = &item->record->label, .key_id = keyring_body_id(keyring)};
    uint8_t signatures[8 * SIMILAR_SIGNATURES_MAX];
    uint8_t *words = NULL;
    int rc = DB_NO_MEMORY;
    uint8_t *sealed = record_seal(keyring, item->record, put.key_id, &put.sealed.len);
    put.sealed.data = (const char *)sealed;
    if (item->features != NULL) {
        const struct similar_features *features = item->features;
        words = similar_seal(keyring, &put.label->key, put.key_id,
                             (struct sl_slice){(const char *)features->words, features->words_len},
                             &put.similar_sealed.len);
        put.similar_sealed.data = (const char *)words;
        for (size_t i = 0; i < features->signature_count; i++)
            for (unsigned byte = 0; byte < 8; byte++)
                signatures[8 * i + byte] = (uint8_t)(features->signatures[i] >> (8 * byte));
        put.signatures = (struct sl_slice){(const char *)signatures, 8 * features->signature_count};
    }
    if (sealed != NULL && (item->features == NULL || words != NULL))
        rc = db_put(writer->db, &put, id);
    free(sealed);
    free(words);
    return rc;
}

static int write_item(struct writer *writer, const struct writer_item *item, int64_t *id)
{
    if (item->kind == WRITER_PUT)
        return write_put(writer, item, id);
    struct record *record = item->record;
    atomic_store(&record->is_touch_queued, false);
    uint32_t hits = atomic_exchange(&record->hits_pending, 0);
    return hits > 0
               ? db_touch(writer->db, &record->label.key, hits, atomic_load(&writer->cache->now_s))
               : DB_FINE;
}

static int write_counters(struct writer *writer)
{
    int rc = DB_FINE;
    for (size_t i = 0; i < COUNTER_COUNT && rc == DB_FINE; i++) {
        uint64_t seen = atomic_load(&writer->cache->counters[i]);
        if (seen != writer->counters_written[i])
            rc = db_count(writer->db, i, seen - writer->counters_written[i]);
        writer->counters_pending[i] = seen;
    }
    return rc;
}

static int keep_bounds(struct writer *writer, size_t *evicted, struct sl_series **cause)
{
    const struct sl_cache_config *config = &writer->cache->config;
    int rc = DB_FINE;
    *evicted = 0;
    while (rc == DB_FINE && *evicted < EVICT_PER_GROUP && db_entries(writer->db) > 0) {
        bool is_heavy = db_bytes(writer->db) > config->bytes_max;
        size_t removed;
        if (!is_heavy && db_entries(writer->db) <= config->entries_max)
            break;
        *cause = is_heavy ? writer->cache->metrics.evicted_bytes
                          : writer->cache->metrics.evicted_entries;
        rc = db_evict(writer->db, 1, &removed);
        *evicted += removed;
    }
    return rc;
}

/* Inside a transaction, behind the items: expiry, bounds, counters. */
static int tidy(struct writer *writer)
{
    struct sl_cache *cache = writer->cache;
    size_t expired = 0;
    size_t evicted = 0;
    struct sl_series *cause = NULL;
    int64_t gone_s = atomic_load(&cache->now_s) - (int64_t)cache->config.stale_keep_s;
    int rc = db_expire(writer->db, gone_s, EXPIRE_PER_GROUP, &expired);
    if (rc == DB_FINE)
        rc = keep_bounds(writer, &evicted, &cause);
    if (rc != DB_FINE)
        return rc;
    writer->is_behind = expired == EXPIRE_PER_GROUP || evicted >= EVICT_PER_GROUP;
    cache_count(cache, COUNTER_EXPIRED, expired);
    cache_count(cache, COUNTER_EVICTED, evicted);
    sl_series_add(cache->metrics.evicted_expired, (double)expired);
    sl_series_add(cause, (double)evicted);
    return write_counters(writer);
}

static void publish_sums(struct writer *writer)
{
    sl_series_set(writer->cache->metrics.entries, (double)db_entries(writer->db));
    sl_series_set(writer->cache->metrics.bytes, (double)db_bytes(writer->db));
}

int writer_begin(struct writer *writer)
{
    int64_t version;
    int rc = db_begin(writer->db);
    if (rc == DB_FINE)
        rc = db_data_version(writer->db, &version);
    if (rc == DB_FINE && version != writer->keys_version) {
        keyring_reload(writer->cache->keyring);
        writer->keys_version = version;
    }
    return rc;
}

int writer_commit(struct writer *writer)
{
    uint64_t start_ns = sl_monotonic_ns();
    int rc = tidy(writer);
    if (rc == DB_FINE)
        rc = db_commit(writer->db);
    if (rc != DB_FINE) {
        db_rollback(writer->db);
        return rc;
    }
    memcpy(writer->counters_written, writer->counters_pending, sizeof writer->counters_written);
    sl_series_observe(writer->cache->metrics.commit_seconds,
                      (double)(sl_monotonic_ns() - start_ns) / 1e9);
    publish_sums(writer);
    return DB_FINE;
}

/* ---- the store goes off and on -------------------------------------------------------------- */

static bool may_pass(enum sl_cache_state state)
{
    return state == SL_CACHE_OFF_LOCKED || state == SL_CACHE_OFF_FULL ||
           state == SL_CACHE_OFF_READ_ONLY || state == SL_CACHE_OFF_IO;
}

static void swap_db(struct writer *writer, struct db *db)
{
    pthread_rwlock_wrlock(&writer->cache->db_lock);
    writer->cache->db = db;
    pthread_rwlock_unlock(&writer->cache->db_lock);
    writer->db = db;
}

void writer_close_store(struct writer *writer)
{
    struct db *db = writer->db;
    swap_db(writer, NULL);
    db_close(db);
    front_remove(writer->cache->front, NULL, NULL); /* what comes back on starts from the disk */
    writer->retry_ms = sl_monotonic_ms() + (uint64_t)writer->cache->config.retry_s * 1000;
}

void writer_fail(struct writer *writer, int rc)
{
    cache_turn_off(writer->cache, db_state_of(rc), "writing failed");
}

static void open_store(struct writer *writer)
{
    struct sl_cache *cache = writer->cache;
    uint8_t check[SL_SHA256_BYTES];
    struct sl_error error = {0};
    struct db *db;
    keyring_check(cache->keyring, check);
    struct db_options options = {
        .path = cache->config.path, .check_ms_max = cache->config.check_ms_max, .key_check = check};
    enum sl_cache_state state = db_open(&options, &db, &error);
    if (state != SL_CACHE_ON) {
        cache_turn_off(cache, state, error.message);
        writer->retry_ms = sl_monotonic_ms() + (uint64_t)cache->config.retry_s * 1000;
        return;
    }
    swap_db(writer, db);
    writer->keys_version = 0;
    writer_reload_vectors(writer); /* loading may have been cut off when it went off */
    publish_sums(writer);
    cache_turn_on(cache);
}

/* Between groups: closes a store that a reader or the checker found broken, and tries again one
 * that is off for a reason that may have passed. */
static void look_after_store(struct writer *writer)
{
    struct sl_cache *cache = writer->cache;
    enum sl_cache_state state = sl_cache_state(cache);
    if (state == SL_CACHE_ON && writer->db != NULL && db_is_corrupt(writer->db)) {
        cache_turn_off(cache, SL_CACHE_OFF_CORRUPT, "the integrity check failed");
        state = SL_CACHE_OFF_CORRUPT;
    }
    if (state != SL_CACHE_ON && writer->db != NULL)
        writer_close_store(writer);
    if (may_pass(state) && cache->config.retry_s > 0 && sl_monotonic_ms() >= writer->retry_ms)
        open_store(writer);
}

/* A rotation that a crash interrupted, here or in another process. */
static void finish_rotation(struct writer *writer)
{
    struct sl_error error = {0};
    if (writer_reseal_all(writer, &error) != SL_OK)
        SL_LOG_WARN("cache", "key rotation: %s", error.message);
}

/* Another process (a purge or a key rotation from the command line) changed the store: what the
 * front holds may be gone there. Where it has not finished a rotation, this one does: it may have
 * been killed, and if not they share the work. */
static void notice_others(struct writer *writer)
{
    bool changed = false;
    uint64_t now_ms = sl_monotonic_ms();
    if (writer->db == NULL || now_ms < writer->noticed_ms + NOTICE_MS)
        return;
    writer->noticed_ms = now_ms;
    int rc = db_was_changed(writer->db, &changed);
    if (rc != DB_FINE)
        writer_fail(writer, rc);
    else if (changed) {
        keyring_reload(writer->cache->keyring);
        if (keyring_has_old(writer->cache->keyring))
            finish_rotation(writer);
        front_remove(writer->cache->front, NULL, NULL);
        writer_reload_vectors(writer);
        publish_sums(writer);
    }
}

static void idle(struct writer *writer)
{
    int rc = writer_begin(writer);
    if (rc == DB_FINE)
        rc = writer_commit(writer);
    if (rc != DB_FINE)
        writer_fail(writer, rc);
}

/* ---- embeddings ----------------------------------------------------------------------------- */

void writer_reload_vectors(struct writer *writer)
{
    if (vectors_clear(writer->cache->vectors))
        atomic_store(&writer->cache->wants_vectors, true);
}

static void start_loading(struct writer *writer)
{
    enum sl_cache_state state = SL_CACHE_ON;
    enum db_outcome outcome = db_last_similar(writer->db, &writer->vectors_last, &state);
    writer->vectors_after = INT64_MIN;
    writer->is_loading = outcome == DB_FOUND;
    if (outcome == DB_BUSY)
        atomic_store(&writer->cache->wants_vectors, true);
    else if (outcome == DB_FAILED)
        cache_turn_off(writer->cache, state, "reading the similar index failed");
}

/* A part of what is to be loaded, between two groups. */
static void load_vectors(struct writer *writer)
{
    if (writer->db != NULL && atomic_exchange(&writer->cache->wants_vectors, false))
        start_loading(writer);
    if (writer->is_loading)
        writer->is_loading =
            writer->db != NULL &&
            similar_load_vectors(writer->cache, &writer->vectors_after, writer->vectors_last);
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* When the group must end now that the item is in it: counts can wait, answers not so long. */
static uint64_t group_deadline(const struct writer *writer, const struct writer_item *item,
                               uint64_t deadline_ms)
{
    uint64_t wait_ms = item->kind == WRITER_PUT ? writer->cache->config.commit_ms : TOUCH_MS;
    uint64_t own_ms = sl_monotonic_ms() + wait_ms;
    return own_ms < deadline_ms ? own_ms : deadline_ms;
}

/* Pops until the group is full, its time is over, or a job ends it. */
static void gather(struct writer *writer, struct writer_item *first, struct writer_item **job)
{
    uint64_t deadline_ms = UINT64_MAX;
    struct writer_item *item = first;
    writer->group_count = 0;
    *job = NULL;
    for (;;) {
        if (item->kind == WRITER_JOB) {
            *job = item;
            return;
        }
        writer->group[writer->group_count++] = item;
        deadline_ms = group_deadline(writer, item, deadline_ms);
        void *next;
        if (writer->group_count == GROUP_MAX ||
            sl_queue_pop(writer->queue, deadline_ms, &next) != SL_QUEUE_DONE)
            return;
        item = next;
    }
}

static int write_group(struct writer *writer)
{
    if (writer->group_count == 0)
        return DB_FINE;
    int rc = writer_begin(writer);
    for (size_t i = 0; i < writer->group_count && rc == DB_FINE; i++)
        rc = write_item(writer, writer->group[i], &writer->group_ids[i]);
    if (rc == DB_FINE)
        rc = writer_commit(writer); /* rolls back where it fails */
    else
        db_rollback(writer->db);
    for (size_t i = 0; i < writer->group_count && rc == DB_FINE; i++)
        if (writer->group[i]->kind == WRITER_PUT)
            similar_file_vector(writer->cache, writer->group_ids[i], writer->group[i]->features);
    return rc;
}

static void count_dropped(struct writer *writer)
{
    for (size_t i = 0; i < writer->group_count; i++)
        if (writer->group[i]->kind == WRITER_PUT)
            sl_series_add(writer->cache->metrics.dropped_off, 1);
}

static void process(struct writer *writer, struct writer_item *first)
{
    struct writer_item *job;
    gather(writer, first, &job);
    look_after_store(writer);
    if (writer->db != NULL) {
        int rc = write_group(writer);
        if (rc != DB_FINE) {
            writer_fail(writer, rc);
            count_dropped(writer);
            look_after_store(writer);
        }
    } else {
        count_dropped(writer);
    }
    for (size_t i = 0; i < writer->group_count; i++)
        item_free(writer, writer->group[i]);
    if (job != NULL)
        writer_run_job(writer, job);
}

static void *writer_main(void *context)
{
    struct writer *writer = context;
    if (writer->db != NULL && keyring_has_old(writer->cache->keyring))
        finish_rotation(writer);
    for (;;) {
        void *item;
        load_vectors(writer);
        uint64_t wait_ms = writer->is_behind || writer->is_loading ? 0 : IDLE_MS;
        enum sl_queue_outcome outcome =
            sl_queue_pop(writer->queue, sl_monotonic_ms() + wait_ms, &item);
        if (outcome == SL_QUEUE_CLOSED)
            break;
        if (outcome == SL_QUEUE_DONE) {
            process(writer, item);
            notice_others(writer);
            continue;
        }
        look_after_store(writer);
        writer->is_behind = false;
        if (writer->db != NULL)
            idle(writer);
        notice_others(writer);
    }
    if (writer->db != NULL)
        idle(writer);
    writer->noticed_ms = 0; /* now or never */
    notice_others(writer);
    return NULL;
}

struct writer *writer_start(struct sl_cache *cache)
{
    struct writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return NULL;
    writer->cache = cache;
    writer->puts_max = cache->config.queue_max;
    writer->group = calloc(GROUP_MAX, sizeof(struct writer_item *));
    writer->group_ids = calloc(GROUP_MAX, sizeof *writer->group_ids);
    writer->queue = sl_queue_create((size_t)cache->config.queue_max + JOB_ROOM);
    open_store(writer);
    if (writer->group != NULL && writer->group_ids != NULL && writer->queue != NULL &&
        pthread_create(&writer->thread, NULL, writer_main, writer) == 0)
        return writer;
    writer_close_store(writer);
    sl_queue_free(writer->queue);
    free(writer->group);
    free(writer->group_ids);
    free(writer);
    return NULL;
}

void writer_stop(struct writer *writer)
{
    if (writer == NULL)
        return;
    sl_queue_close(writer->queue);
    pthread_join(writer->thread, NULL);
    writer_close_store(writer);
    sl_queue_free(writer->queue);
    free(writer->group);
    free(writer->group_ids);
    free(writer);
}
