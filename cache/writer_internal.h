/* SPDX-License-Identifier: Apache-2.0
 *
 * What writer.c and writer_jobs.c share.
 */
#ifndef SLUICE_CACHE_WRITER_INTERNAL_H
#define SLUICE_CACHE_WRITER_INTERNAL_H

#include "cache_state.h"
#include "record.h"

#include "sluice/queue.h"

#define DB_FINE 0
#define DB_NO_MEMORY 7    /* SQLITE_NOMEM */
#define DB_READ_FAILED 10 /* SQLITE_IOERR */

struct similar_features;

enum writer_item_kind { WRITER_PUT, WRITER_TOUCH, WRITER_JOB };

struct writer_item {
    enum writer_item_kind kind;
    struct record *record;
    struct similar_features *features;
};

struct writer {
    struct sl_cache *cache;
    struct sl_queue *queue; /* of struct writer_item */
    size_t puts_max;
    atomic_size_t queued_bytes; /* of the records of puts in the queue or the group */
    pthread_t thread;
    struct db *db; /* the same as cache->db, which others may only read under the lock */
    struct writer_item **group;
    size_t group_count;
    int64_t vectors_after; /* embeddings of newer entries are still to be loaded */
    int64_t vectors_last;  /* the newest when loading began: later ones are filed by puts */
    bool is_loading;       /* embeddings */
    int64_t *group_ids;    /* of the group's puts, for their embeddings */
    bool is_behind;        /* more to expire or evict than one group may */
    uint64_t retry_ms;
    uint64_t noticed_ms;
    int64_t keys_version; /* of the store's data when the key file was last read */
    uint64_t counters_written[COUNTER_COUNT];
    uint64_t counters_pending[COUNTER_COUNT]; /* in the open transaction */
};

/* Begins a transaction. Keys that another process has rotated meanwhile are taken up here, so that
 * nothing is sealed with one that is forgotten. Roll back where it fails. */
int writer_begin(struct writer *writer);
/* Ends the open transaction: expiry, bounds, counters, COMMIT. Rolls back where it fails. */
int writer_commit(struct writer *writer);
void writer_fail(struct writer *writer, int rc);
void writer_close_store(struct writer *writer);
/* Seals what is still under an old body key anew and forgets that key. */
enum sl_err writer_reseal_all(struct writer *writer, struct sl_error *error) SL_MUST_CHECK;
/* Empties the index of embeddings and fills it again from the store, bit by bit. */
void writer_reload_vectors(struct writer *writer);
/* Runs a job and tells its waiter. */
void writer_run_job(struct writer *writer, struct writer_item *item);

#endif
