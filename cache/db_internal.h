/* SPDX-License-Identifier: Apache-2.0
 *
 * What db.c, db_read.c and db_write.c share. The only files that see <sqlite3.h>.
 */
#ifndef SLUICE_CACHE_DB_INTERNAL_H
#define SLUICE_CACHE_DB_INTERNAL_H

#include "db.h"

#include <pthread.h>
#include <sqlite3.h>

#define DB_READERS 4 /* threads that miss the front at once; a fifth waits some 20 µs */

enum read_statement {
    READ_KEY,
    READ_ID,
    READ_PROBE,
    READ_SIMILAR,
    READ_SIMILAR_AFTER,
    READ_SIMILAR_LAST,
    READ_NEXT,
    READ_CENSUS,
    READ_COUNTERS,
    READ_STATEMENT_COUNT
};

enum write_statement {
    WRITE_BEGIN,
    WRITE_COMMIT,
    WRITE_FIND,
    WRITE_BYTES,
    WRITE_INSERT,
    WRITE_UPDATE,
    WRITE_BOX,
    WRITE_SIMILAR,
    WRITE_PROBE,
    WRITE_TOUCH,
    WRITE_COUNT,
    WRITE_SUMS,
    WRITE_STORED_SUMS,
    WRITE_STORE_SUMS,
    WRITE_DATA_VERSION,
    WRITE_BODY_KEY,
    WRITE_PICK_RANK,
    WRITE_PICK_EXPIRED,
    WRITE_PICK_FILTER,
    WRITE_SIGNATURES,
    WRITE_REMOVE_PROBE,
    WRITE_REMOVE_SIMILAR,
    WRITE_REMOVE_BOX,
    WRITE_REMOVE_ENTRY,
    WRITE_OLD_BOX,
    WRITE_OLD_SIMILAR,
    WRITE_RESEAL_ENTRY,
    WRITE_RESEAL_BOX,
    WRITE_RESEAL_SIMILAR,
    WRITE_STATEMENT_COUNT
};
extern const char *const db_write_sql[WRITE_STATEMENT_COUNT];
extern const char *const db_read_sql[READ_STATEMENT_COUNT];

struct db_reader {
    pthread_mutex_t lock; /* guards the connection and its statements */
    sqlite3 *connection;
    sqlite3_stmt *statements[READ_STATEMENT_COUNT];
};

/* The integrity check, on a thread of its own: SQLite's check can't be bounded in time (up to 3.41
 * it asks no progress handler), so open waits a while and then lets it finish behind. */
struct db_checker {
    pthread_t thread;
    bool has_thread;
    sqlite3 *connection;
    pthread_mutex_t lock; /* guards is_done and rc */
    pthread_cond_t done;
    bool is_done;
    int rc; /* SQLITE_OK: sound */
};

struct db {
    sqlite3 *connection; /* the writer's */
    sqlite3_stmt *statements[WRITE_STATEMENT_COUNT];
    struct db_reader readers[DB_READERS];
    atomic_uint next_reader;
    uint64_t entries; /* sums as of the open transaction */
    uint64_t bytes;
    uint64_t committed_entries;
    uint64_t committed_bytes;
    int64_t data_version;
    char *path;
    struct db_checker checker;
};

/* Reads the sums that the last commit left, or counts where there are none yet. */
int db_load_sums(struct db *db);

#endif
