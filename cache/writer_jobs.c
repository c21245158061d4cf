/* SPDX-License-Identifier: Apache-2.0
 *
 * What callers wait for: flush, purge, key rotation. A job is an item of the writer's queue, so it
 * sees every put that was made before it. It lies on its caller's stack; the caller waits until the
 * writer has finished it, which it always does (invariant 3 of writer.c), at worst after the
 * transaction in hand.
 *
 * Threads: writer_flush, writer_purge, writer_rotate on callers; the rest on the writer.
 */
#include "writer.h"

#include "db.h"
#include "front.h"
#include "shared.h"
#include "similar.h"
#include "writer_internal.h"

#include "sluice/clock.h"

#include <stdlib.h>

#define PURGE_PER_COMMIT 4096 /* a WAL of some 10 MB at most */
#define RESEAL_PER_COMMIT 512
#define PUSH_RETRY_MS 10 /* while the queue is full; it drains within one commit */

struct job {
    struct writer_item item; /* first: the queue holds this */
    enum sl_err (*run)(struct writer *writer, struct job *job);
    const struct sl_cache_filter *filter;
    uint64_t purged;
    struct sl_error error;
    enum sl_err err;
    pthread_mutex_t lock; /* guards is_done */
    pthread_cond_t done;
    bool is_done;
};

static enum sl_err store_failed(struct writer *writer, int rc, struct job *job)
{
    db_rollback(writer->db);
    writer_fail(writer, rc);
    writer_close_store(writer);
    return sl_error_set(&job->error, SL_ERR_IO, "the cache's store failed and was turned off (%s)",
                        sl_cache_state_name(sl_cache_state(writer->cache)));
}

/* ---- flush and purge ------------------------------------------------------------------------ */

/* The puts before it were committed when the group ended. */
static enum sl_err run_flush(struct writer *writer, struct job *job)
{
    int rc = writer_begin(writer);
    if (rc == DB_FINE)
        rc = writer_commit(writer); /* the counters */
    return rc == DB_FINE ? SL_OK : store_failed(writer, rc, job);
}

static bool match_record(const struct record *record, const void *context)
{
    return filter_matches(context, &record->label);
}

static int purge_some(struct writer *writer, const struct filter_tags *tags, size_t *removed)
{
    const struct sl_cache_filter *filter = tags->filter;
    struct db_filter where = {
        .key = filter->key,
        .app_tag = filter->app.len > 0 ? tags->app_tag : NULL,
        .model_tag = filter->model.len > 0 ? tags->model_tag : NULL,
        .made_from = filter->made_from != NULL ? tags->made_from : NULL,
        .created_before_s = filter->created_before_s,
    };
    where.has_not_made_from = filter->not_made_from != NULL;
    for (size_t i = 0; i < 3 && where.has_not_made_from; i++)
        if (filter_tag_is_set(tags->not_made_from[i]))
            where.not_made_from[i] = tags->not_made_from[i];
    *removed = 0;
    int rc = writer_begin(writer);
    if (rc == DB_FINE)
        rc = filter->everything ? db_purge_everything(writer->db, removed)
                                : db_purge(writer->db, &where, PURGE_PER_COMMIT, removed);
    return rc == DB_FINE ? writer_commit(writer) : rc;
}

static enum sl_err run_purge(struct writer *writer, struct job *job)
{
    struct filter_tags tags;
    size_t removed = 0;
    filter_tags_init(&tags, writer->cache->keyring, job->filter);
    front_remove(writer->cache->front, match_record, &tags); /* tickets from before are void */
    do {
        int rc = purge_some(writer, &tags, &removed);
        if (rc != DB_FINE)
            return store_failed(writer, rc, job);
        job->purged += removed;
    } while (removed == PURGE_PER_COMMIT && !job->filter->everything);
    front_remove(writer->cache->front, match_record, &tags); /* what was read meanwhile */
    writer_reload_vectors(writer);
    if (job->filter->not_made_from == NULL)
        shared_purge(writer->cache->shared, &tags);
    sl_series_add(writer->cache->metrics.evicted_purged, (double)job->purged);
    db_shrink(writer->db);
    return SL_OK;
}

/* ---- key rotation --------------------------------------------------------------------------- */

/* A row that was not there any more, or whose read failed in passing, is left as it is. */
static bool is_read(enum db_outcome outcome, enum sl_cache_state state, int *rc)
{
    *rc = outcome == DB_FAILED && state != SL_CACHE_ON ? DB_READ_FAILED : DB_FINE;
    return outcome == DB_FOUND;
}

/* Opens a box with the key it has and seals it with the new one. One that does not open is of no
 * use to anybody: it goes. The row is read through a reader: it was committed before this
 * transaction. */
static int reseal_entry(struct writer *writer, int64_t id, uint32_t key_id)
{
    struct keyring *keyring = writer->cache->keyring;
    struct db_row row = {0};
    struct record *record = NULL;
    enum sl_cache_state state = SL_CACHE_ON;
    size_t len = 0;
    uint8_t *sealed = NULL;
    int rc;
    if (is_read(db_read_id(writer->db, id, &row, &state), state, &rc)) {
        if (record_open(keyring, &row.label, row.key_id, sl_buf_slice(&row.sealed), &record) ==
            SL_OK)
            sealed = record_seal(keyring, record, key_id, &len);
        rc = sealed != NULL ? db_reseal(writer->db, id, false, key_id,
                                        (struct sl_slice){(const char *)sealed, len})
                            : db_remove_id(writer->db, id);
    }
    record_release(record);
    sl_buf_clear(&row.sealed);
    free(sealed);
    return rc;
}

static int reseal_words(struct writer *writer, int64_t id, uint32_t key_id)
{
    struct keyring *keyring = writer->cache->keyring;
    struct sl_cache_key key;
    struct sl_buf sealed = {0};
    enum sl_cache_state state = SL_CACHE_ON;
    uint32_t old_id = 0;
    size_t words_len = 0;
    size_t len = 0;
    uint8_t *words = NULL;
    uint8_t *fresh = NULL;
    int rc;
    if (is_read(db_read_similar(writer->db, id, &key, &old_id, &sealed, &state), state, &rc)) {
        words = similar_open(keyring, &key, old_id, sl_buf_slice(&sealed), &words_len);
        if (words != NULL)
            fresh = similar_seal(keyring, &key, key_id,
                                 (struct sl_slice){(const char *)words, words_len}, &len);
        rc = fresh != NULL ? db_reseal(writer->db, id, true, key_id,
                                       (struct sl_slice){(const char *)fresh, len})
                           : db_remove_id(writer->db, id);
    }
    free(words);
    free(fresh);
    sl_buf_clear(&sealed);
    return rc;
}

/* One transaction; *is_done when no old row is left of this sort. */
static int reseal_some(struct writer *writer, bool is_similar, int64_t *cursor, bool *is_done)
{
    int rc = writer_begin(writer); /* before the key is asked for, which it may change */
    uint32_t key_id = keyring_body_id(writer->cache->keyring);
    *is_done = false;
    for (size_t i = 0; i < RESEAL_PER_COMMIT && rc == DB_FINE && !*is_done; i++) {
        rc = db_next_old(writer->db, is_similar, key_id, cursor);
        if (rc == DB_NO_MORE) {
            *is_done = true;
            rc = DB_FINE;
        } else if (rc == DB_FINE) {
            rc = is_similar ? reseal_words(writer, *cursor, key_id)
                            : reseal_entry(writer, *cursor, key_id);
        }
    }
    return rc == DB_FINE ? writer_commit(writer) : rc;
}

/* Rows of this sort; cut off by a failure. */
static int reseal_rows(struct writer *writer, bool is_similar)
{
    int64_t cursor = INT64_MIN;
    bool is_done = false;
    int rc = DB_FINE;
    while (rc == DB_FINE && !is_done)
        rc = reseal_some(writer, is_similar, &cursor, &is_done);
    return rc;
}

/* Where another process has rotated once more meanwhile, the old keys are its to forget. */
static int forget_old(struct writer *writer, uint32_t key_id, enum sl_err *err,
                      struct sl_error *error)
{
    struct keyring *keyring = writer->cache->keyring;
    int rc = writer_begin(writer);
    if (rc != DB_FINE)
        return rc;
    keyring_reload(keyring);
    if (keyring_body_id(keyring) == key_id && keyring_has_old(keyring))
        *err = keyring_forget_old(keyring, error);
    return writer_commit(writer);
}

enum sl_err writer_reseal_all(struct writer *writer, struct sl_error *error)
{
    enum sl_err err = SL_OK;
    uint32_t key_id = keyring_body_id(writer->cache->keyring);
    int rc = reseal_rows(writer, false);
    if (rc == DB_FINE)
        rc = reseal_rows(writer, true);
    if (rc == DB_FINE)
        rc = forget_old(writer, key_id, &err, error);
    if (rc != DB_FINE) {
        db_rollback(writer->db);
        writer_fail(writer, rc);
        return sl_error_set(error, SL_ERR_IO, "sealing anew stopped; the next start goes on");
    }
    db_shrink(writer->db);
    return err;
}

/* The file changes inside a transaction, so that of two processes that rotate the second one sees
 * what the first one did; and the store says so, so that whoever seals next looks at the file. */
static enum sl_err run_rotate(struct writer *writer, struct job *job)
{
    struct keyring *keyring = writer->cache->keyring;
    int rc = writer_begin(writer);
    if (rc != DB_FINE)
        return store_failed(writer, rc, job);
    keyring_reload(keyring);
    enum sl_err err = keyring_rotate(keyring, &job->error);
    if (err != SL_OK) {
        db_rollback(writer->db);
        return err;
    }
    rc = db_note_body_key(writer->db, keyring_body_id(keyring));
    if (rc == DB_FINE)
        rc = writer_commit(writer);
    return rc == DB_FINE ? writer_reseal_all(writer, &job->error) : store_failed(writer, rc, job);
}

/* ---- jobs ----------------------------------------------------------------------------------- */

void writer_run_job(struct writer *writer, struct writer_item *item)
{
    struct job *job = (struct job *)(void *)item;
    job->err = writer->db != NULL
                   ? job->run(writer, job)
                   : sl_error_set(&job->error, SL_ERR_IO, "the cache is off (%s)",
                                  sl_cache_state_name(sl_cache_state(writer->cache)));
    pthread_mutex_lock(&job->lock);
    job->is_done = true;
    pthread_cond_signal(&job->done);
    pthread_mutex_unlock(&job->lock);
}

static void push_job(struct writer *writer, struct job *job)
{
    while (sl_queue_push(writer->queue, &job->item) == SL_QUEUE_FULL) {
        struct timespec pause = {.tv_nsec = PUSH_RETRY_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
}

static enum sl_err run_and_wait(struct writer *writer, struct job *job, struct sl_error *error)
{
    job->item.kind = WRITER_JOB;
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->done, NULL);
    push_job(writer, job);
    pthread_mutex_lock(&job->lock);
    while (!job->is_done)
        pthread_cond_wait(&job->done, &job->lock);
    pthread_mutex_unlock(&job->lock);
    pthread_mutex_destroy(&job->lock);
    pthread_cond_destroy(&job->done);
    if (job->err != SL_OK && error != NULL)
        *error = job->error;
    return job->err;
}

enum sl_err writer_flush(struct writer *writer, struct sl_error *error)
{
    struct job job = {.run = run_flush};
    return run_and_wait(writer, &job, error);
}

enum sl_err writer_purge(struct writer *writer, const struct sl_cache_filter *filter,
                         uint64_t *purged, struct sl_error *error)
{
    struct job job = {.run = run_purge, .filter = filter};
    enum sl_err err = run_and_wait(writer, &job, error);
    *purged = job.purged;
    return err;
}

enum sl_err writer_rotate(struct writer *writer, struct sl_error *error)
{
    struct job job = {.run = run_rotate};
    return run_and_wait(writer, &job, error);
}
