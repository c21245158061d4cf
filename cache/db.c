/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns opening the store: connections, schema version and migrations, the integrity check, and what
 * an error of SQLite means for the cache. Reading is in db_read.c, writing in db_write.c.
 *
 * WAL, so that readers never wait for the writer. synchronous=FULL: a commit that was reported is
 * on the disk; the writer thread alone pays for the fsync, once for a group. No mmap: a truncated
 * file would be a SIGBUS instead of an error. application_id tells a store of ours from anything
 * else, user_version is the schema version; both lie in the file's header.
 *
 * Threads: open and close are the writer's (or start-up's). The checker is a thread of its own that
 * only reads.
 */
#include "db_internal.h"

#include "sluice/clock.h"
#include "sluice/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define DB_APPLICATION_ID 0x534C4361 /* "SLCa" */
#define WAIT_MS 5000 /* once running: a purge from the command line; only the writer waits */
#define BUSY_MS 250  /* another process's short transaction; a lock is longer */

static const char *const migrations[] = {
#include "migrations.inc"
};
_Static_assert(sizeof migrations / sizeof migrations[0] == DB_SCHEMA_VERSION,
               "every schema version has its migration");

enum sl_cache_state db_state_of(int rc)
{
    switch (rc & 0xFF) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return SL_CACHE_ON;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_CONSTRAINT: /* no statement of ours breaks one on a sound store */
    case SQLITE_MISMATCH:
    case SQLITE_ERROR: /* a table or column that must be there is not */
        return SL_CACHE_OFF_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return SL_CACHE_OFF_LOCKED;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return SL_CACHE_OFF_READ_ONLY;
    case SQLITE_FULL:
        return SL_CACHE_OFF_FULL;
    default:
        return SL_CACHE_OFF_IO;
    }
}

/* A failed call on `connection` as state and sentence. Never cites SQL with values: there are none
 * in ours. */
static enum sl_cache_state failed(sqlite3 *connection, int rc, const char *path,
                                  struct sl_error *error)
{
    enum sl_cache_state state = db_state_of(rc);
    const char *why = sqlite3_errstr(rc);
    if ((rc & 0xFF) == SQLITE_CANTOPEN && connection != NULL) {
        int system_errno = sqlite3_system_errno(connection);
        if (system_errno == EACCES || system_errno == EROFS || system_errno == EPERM)
            state = SL_CACHE_OFF_READ_ONLY;
        if (system_errno != 0)
            why = strerror(system_errno);
    }
    sl_error_set(error, SL_ERR_IO, "%s: %s", path, why);
    return state;
}

static int execute(sqlite3 *connection, const char *sql)
{
    return sqlite3_exec(connection, sql, NULL, NULL, NULL);
}

static int read_number(sqlite3 *connection, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(connection, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(statement, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return rc;
}

/* ---- schema -------------------------------------------------------------------------------- */

static int migrate_one(sqlite3 *connection, int64_t version)
{
    char pragma[64];
    int rc = execute(connection, migrations[version]);
    sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA user_version=%lld", (long long)version + 1);
    return rc == SQLITE_OK ? execute(connection, pragma) : rc;
}

/* Inside a transaction: from `version` to the newest, or nothing. */
static int migrate(sqlite3 *connection, int64_t version)
{
    char pragma[64];
    int rc = SQLITE_OK;
    if (version == 0) {
        sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA application_id=%d", DB_APPLICATION_ID);
        rc = execute(connection, pragma);
    }
    while (rc == SQLITE_OK && version < DB_SCHEMA_VERSION)
        rc = migrate_one(connection, version++);
    return rc;
}

/* Stores the key check of a new store; tells whether it is this key's. */
static int check_key(sqlite3 *connection, const uint8_t *check, bool *is_ours)
{
    sqlite3_stmt *statement = NULL;
    *is_ours = false;
    int rc = sqlite3_prepare_v2(
        connection, "INSERT OR IGNORE INTO setting VALUES ('key_check', ?1)", -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_blob(statement, 1, check, SL_SHA256_BYTES, SQLITE_STATIC);
        rc = sqlite3_step(statement);
    }
    sqlite3_finalize(statement);
    if (rc != SQLITE_DONE)
        return rc;
    rc = sqlite3_prepare_v2(connection, "SELECT value FROM setting WHERE name='key_check'", -1,
                            &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *is_ours = sqlite3_column_bytes(statement, 0) == SL_SHA256_BYTES &&
                   memcmp(sqlite3_column_blob(statement, 0), check, SL_SHA256_BYTES) == 0;
        rc = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return rc;
}

/* Under BEGIN IMMEDIATE, so that two processes that start at once migrate one after the other. */
static enum sl_cache_state settle_schema(sqlite3 *connection, const struct db_options *options,
                                         struct sl_error *error)
{
    int64_t version = 0;
    int64_t application = 0;
    int64_t tables = 0;
    bool is_ours = false;
    int rc = execute(connection, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
        rc = read_number(connection, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK)
        rc = read_number(connection, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK)
        rc = read_number(connection, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc != SQLITE_OK)
        return failed(connection, rc, options->path, error);
    if (application != DB_APPLICATION_ID && (tables > 0 || version != 0)) {
        sl_error_set(error, SL_ERR_FORMAT, "%s: a database, but not a cache of Sluice",
                     options->path);
        return SL_CACHE_OFF_CORRUPT;
    }
    if (version > DB_SCHEMA_VERSION) {
        sl_error_set(error, SL_ERR_FORMAT, "%s: schema version %lld, this build knows up to %d",
                     options->path, (long long)version, DB_SCHEMA_VERSION);
        return SL_CACHE_OFF_VERSION;
    }
    rc = migrate(connection, version);
    if (rc == SQLITE_OK)
        rc = check_key(connection, options->key_check, &is_ours);
    if (rc == SQLITE_OK && !is_ours) {
        sl_error_set(error, SL_ERR_INTEGRITY, "%s: made with another key file", options->path);
        return SL_CACHE_OFF_KEY;
    }
    if (rc == SQLITE_OK)
        rc = execute(connection, "COMMIT");
    return rc == SQLITE_OK ? SL_CACHE_ON : failed(connection, rc, options->path, error);
}

/* ---- integrity check ------------------------------------------------------------------------ */

/* SQLITE_OK: sound. SQLITE_CORRUPT: not. SQLITE_INTERRUPT: the cache was closed meanwhile. */
static int quick_check(sqlite3 *connection)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(connection, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const char *word = (const char *)sqlite3_column_text(statement, 0);
        rc = word != NULL && strcmp(word, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
    }
    sqlite3_finalize(statement);
    return rc;
}

static void *checker_main(void *context)
{
    struct db_checker *checker = context;
    uint64_t start_ms = sl_monotonic_ms();
    int rc = quick_check(checker->connection);
    SL_LOG_DEBUG("cache", "integrity check ended after %llu ms (%s)",
                 (unsigned long long)(sl_monotonic_ms() - start_ms), sqlite3_errstr(rc));
    pthread_mutex_lock(&checker->lock);
    checker->is_done = true;
    checker->rc = rc;
    pthread_cond_signal(&checker->done);
    pthread_mutex_unlock(&checker->lock);
    return NULL;
}

bool db_is_corrupt(struct db *db)
{
    pthread_mutex_lock(&db->checker.lock);
    bool is_corrupt = db->checker.is_done && db_state_of(db->checker.rc) == SL_CACHE_OFF_CORRUPT;
    pthread_mutex_unlock(&db->checker.lock);
    return is_corrupt;
}

static void checker_init(struct db_checker *checker)
{
    pthread_condattr_t attributes;
    pthread_mutex_init(&checker->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&checker->done, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void checker_clear(struct db_checker *checker)
{
    if (checker->has_thread) {
        sqlite3_interrupt(checker->connection);
        pthread_join(checker->thread, NULL);
    }
    sqlite3_close(checker->connection);
    pthread_cond_destroy(&checker->done);
    pthread_mutex_destroy(&checker->lock);
}

/* Waits for the verdict until the deadline; without one the store serves, since every box proves
 * itself when it is opened, and the writer asks db_is_corrupt from time to time. */
static int await_check(struct db_checker *checker, uint64_t deadline_ms)
{
    struct timespec until = sl_deadline_timespec(deadline_ms);
    pthread_mutex_lock(&checker->lock);
    while (!checker->is_done && pthread_cond_timedwait(&checker->done, &checker->lock, &until) == 0)
        ;
    int rc = checker->is_done ? checker->rc : SQLITE_OK;
    pthread_mutex_unlock(&checker->lock);
    return rc;
}

static enum sl_cache_state check(struct db *db, const struct db_options *options,
                                 struct sl_error *error)
{
    struct db_checker *checker = &db->checker;
    uint64_t deadline_ms = sl_monotonic_ms() + options->check_ms_max;
    int rc = sqlite3_open_v2(db->path, &checker->connection,
                             SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        checker->has_thread = pthread_create(&checker->thread, NULL, checker_main, checker) == 0;
        rc = checker->has_thread ? await_check(checker, deadline_ms)
                                 : quick_check(checker->connection);
    }
    return rc == SQLITE_OK ? SL_CACHE_ON : failed(db->connection, rc, options->path, error);
}

/* ---- open and close ------------------------------------------------------------------------- */

static int prepare_all(sqlite3 *connection, const char *const *sql, sqlite3_stmt **statements,
                       size_t count)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(connection, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &statements[i],
                                NULL);
    return rc;
}

static int open_reader(struct db *db, struct db_reader *reader)
{
    int rc = sqlite3_open_v2(db->path, &reader->connection,
                             SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_extended_result_codes(reader->connection, 1);
    sqlite3_busy_timeout(reader->connection, 5); /* only recovery of a WAL makes a reader wait */
    return prepare_all(reader->connection, db_read_sql, reader->statements, READ_STATEMENT_COUNT);
}

/* A new file starts with mode 0600, which the WAL inherits; an operator's mode is left alone. */
static void create_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

static int open_writer(struct db *db)
{
    create_private(db->path);
    int rc =
        sqlite3_open_v2(db->path, &db->connection,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_extended_result_codes(db->connection, 1);
    sqlite3_busy_timeout(db->connection, BUSY_MS);
    rc = execute(db->connection, "PRAGMA auto_vacuum=INCREMENTAL;" /* before the first table */
                                 "PRAGMA journal_mode=WAL;"
                                 "PRAGMA synchronous=FULL;"
                                 "PRAGMA secure_delete=FAST;"
                                 "PRAGMA journal_size_limit=16777216;"
                                 "PRAGMA trusted_schema=OFF;"
                                 "PRAGMA cell_size_check=ON");
    if (rc == SQLITE_OK && sqlite3_db_readonly(db->connection, "main") == 1)
        rc = SQLITE_READONLY;
    return rc;
}

static enum sl_cache_state open_all(struct db *db, const struct db_options *options,
                                    struct sl_error *error)
{
    int rc = open_writer(db);
    if (rc != SQLITE_OK)
        return failed(db->connection, rc, options->path, error);
    enum sl_cache_state state = settle_schema(db->connection, options, error);
    if (state == SL_CACHE_ON)
        state = check(db, options, error);
    if (state != SL_CACHE_ON)
        return state;
    rc = prepare_all(db->connection, db_write_sql, db->statements, WRITE_STATEMENT_COUNT);
    if (rc == SQLITE_OK)
        rc = db_load_sums(db);
    bool ignored; /* the first call only takes note of the version */
    if (rc == SQLITE_OK)
        rc = db_was_changed(db, &ignored);
    if (rc != SQLITE_OK)
        return failed(db->connection, rc, options->path, error);
    sqlite3_busy_timeout(db->connection, WAIT_MS);
    for (size_t i = 0; i < DB_READERS && rc == SQLITE_OK; i++) {
        rc = open_reader(db, &db->readers[i]);
        if (rc != SQLITE_OK)
            return failed(db->readers[i].connection, rc, options->path, error);
    }
    return SL_CACHE_ON;
}

enum sl_cache_state db_open(const struct db_options *options, struct db **out,
                            struct sl_error *error)
{
    struct db *db = calloc(1, sizeof *db);
    *out = NULL;
    if (db == NULL || (db->path = strdup(options->path)) == NULL) {
        free(db);
        sl_error_set(error, SL_ERR_MEMORY, NULL);
        return SL_CACHE_OFF_IO;
    }
    checker_init(&db->checker);
    for (size_t i = 0; i < DB_READERS; i++)
        pthread_mutex_init(&db->readers[i].lock, NULL);
    enum sl_cache_state state = open_all(db, options, error);
    if (state != SL_CACHE_ON) {
        db_close(db);
        return state;
    }
    *out = db;
    return SL_CACHE_ON;
}

void db_close(struct db *db)
{
    if (db == NULL)
        return;
    checker_clear(&db->checker);
    for (size_t i = 0; i < DB_READERS; i++) {
        for (size_t k = 0; k < READ_STATEMENT_COUNT; k++)
            sqlite3_finalize(db->readers[i].statements[k]);
        sqlite3_close(db->readers[i].connection);
        pthread_mutex_destroy(&db->readers[i].lock);
    }
    for (size_t k = 0; k < WRITE_STATEMENT_COUNT; k++)
        sqlite3_finalize(db->statements[k]);
    sqlite3_close(db->connection);
    free(db->path);
    free(db);
}
