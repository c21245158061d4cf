/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the read connections: point look-ups for requests, walks for tools. Each call takes a
 * reader, runs one prepared statement and resets it, so no snapshot outlives a call and the WAL can
 * shrink.
 *
 * Threads: any. A reader's mutex is held for one look-up, some 10 µs; a walk takes one row a call.
 */
#include "db_internal.h"

const char *const db_read_sql[READ_STATEMENT_COUNT] = {
#define ROW_COLUMNS                                                                                \
    "e.id, e.key, e.kind, e.created_s, e.expires_s, e.key_id, e.app_tag, e.model_tag,"             \
    " e.made_from_model, e.made_from_template, e.made_from_policy, b.sealed"
    [READ_KEY] = "SELECT " ROW_COLUMNS " FROM entry e JOIN box b ON b.id=e.id WHERE e.key=?1",
    [READ_ID] = "SELECT " ROW_COLUMNS " FROM entry e JOIN box b ON b.id=e.id WHERE e.id=?1",
    [READ_PROBE] = "SELECT id FROM probe WHERE signature=?1 ORDER BY id DESC LIMIT ?2",
    [READ_SIMILAR] = "SELECT e.key, s.key_id, s.sealed FROM similar s JOIN entry e ON e.id=s.id"
                     " WHERE s.id=?1",
    [READ_SIMILAR_AFTER] =
        "SELECT e.key, s.key_id, s.sealed, s.id FROM similar s"
        " JOIN entry e ON e.id=s.id WHERE s.id>?1 AND s.id<=?2 ORDER BY s.id LIMIT 1",
    [READ_SIMILAR_LAST] = "SELECT max(id) FROM similar",
    [READ_NEXT] = "SELECT " ROW_COLUMNS " FROM entry e JOIN box b ON b.id=e.id"
                  " WHERE e.id>?1 AND e.kind=?2 ORDER BY e.id LIMIT 1",
    [READ_CENSUS] = "SELECT kind, count(*), sum(bytes) FROM entry GROUP BY kind",
    [READ_COUNTERS] = "SELECT CAST(name AS INTEGER), value FROM counter",
};

static struct db_reader *reader_lock(struct db *db)
{
    unsigned first = atomic_fetch_add_explicit(&db->next_reader, 1, memory_order_relaxed);
    for (unsigned i = 0; i < DB_READERS; i++) {
        struct db_reader *reader = &db->readers[(first + i) % DB_READERS];
        if (pthread_mutex_trylock(&reader->lock) == 0)
            return reader;
    }
    struct db_reader *reader = &db->readers[first % DB_READERS];
    pthread_mutex_lock(&reader->lock);
    return reader;
}

/* Ends the use of a reader: resets the statement and turns the result code into an outcome. */
static enum db_outcome reader_done(struct db_reader *reader, sqlite3_stmt *statement, int rc,
                                   enum sl_cache_state *state)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    pthread_mutex_unlock(&reader->lock);
    if (rc == SQLITE_ROW || rc == SQLITE_OK)
        return DB_FOUND;
    if (rc == SQLITE_DONE)
        return DB_ABSENT;
    *state = db_state_of(rc);
    return *state == SL_CACHE_OFF_LOCKED ? DB_BUSY : DB_FAILED;
}

/* False where the column is not a blob of exactly `len` bytes. */
static bool column_bytes(sqlite3_stmt *statement, int column, void *out, size_t len)
{
    if (sqlite3_column_bytes(statement, column) != (int)len)
        return false;
    memcpy(out, sqlite3_column_blob(statement, column), len);
    return true;
}

static int column_box(sqlite3_stmt *statement, int column, struct sl_buf *out)
{
    int len = sqlite3_column_bytes(statement, column);
    const void *data = sqlite3_column_blob(statement, column);
    sl_buf_init(out, (size_t)len);
    return data != NULL && sl_buf_append(out, data, (size_t)len) == SL_OK ? SQLITE_ROW
                                                                          : SQLITE_NOMEM;
}

/* The statement stands on a row of ROW_COLUMNS. A row that can't be ours means corruption. */
static int take_row(sqlite3_stmt *statement, struct db_row *row)
{
    struct record_label *label = &row->label;
    int kind = sqlite3_column_int(statement, 2);
    if (!column_bytes(statement, 1, label->key.bytes, sizeof label->key.bytes) || kind < 0 ||
        kind > SL_CACHE_CLOUD || !column_bytes(statement, 6, label->app_tag, KEYRING_TAG_BYTES) ||
        !column_bytes(statement, 7, label->model_tag, KEYRING_TAG_BYTES))
        return SQLITE_CORRUPT;
    for (int i = 0; i < 3; i++)
        if (!column_bytes(statement, 8 + i, label->made_from[i], KEYRING_TAG_BYTES))
            return SQLITE_CORRUPT;
    label->kind = (enum sl_cache_kind)kind;
    label->created_s = sqlite3_column_int64(statement, 3);
    label->expires_s = sqlite3_column_int64(statement, 4);
    row->key_id = (uint32_t)sqlite3_column_int64(statement, 5);
    return column_box(statement, 11, &row->sealed);
}

enum db_outcome db_read_key(struct db *db, const struct sl_cache_key *key, struct db_row *row,
                            enum sl_cache_state *state)
{
    struct db_reader *reader = reader_lock(db);
    sqlite3_stmt *statement = reader->statements[READ_KEY];
    sqlite3_bind_blob(statement, 1, key->bytes, sizeof key->bytes, SQLITE_STATIC);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        rc = take_row(statement, row);
    return reader_done(reader, statement, rc, state);
}

enum db_outcome db_read_id(struct db *db, int64_t id, struct db_row *row,
                           enum sl_cache_state *state)
{
    struct db_reader *reader = reader_lock(db);
    sqlite3_stmt *statement = reader->statements[READ_ID];
    sqlite3_bind_int64(statement, 1, id);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        rc = take_row(statement, row);
    return reader_done(reader, statement, rc, state);
}

enum db_outcome db_read_next(struct db *db, enum sl_cache_kind kind, int64_t *id,
                             struct db_row *row, enum sl_cache_state *state)
{
    struct db_reader *reader = reader_lock(db);
    sqlite3_stmt *statement = reader->statements[READ_NEXT];
    sqlite3_bind_int64(statement, 1, *id);
    sqlite3_bind_int(statement, 2, (int)kind);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *id = sqlite3_column_int64(statement, 0);
        rc = take_row(statement, row);
    }
    return reader_done(reader, statement, rc, state);
}

enum db_outcome db_read_probe(struct db *db, uint64_t signature, int64_t *ids, size_t ids_max,
                              size_t *count, enum sl_cache_state *state)
{
    struct db_reader *reader = reader_lock(db);
    sqlite3_stmt *statement = reader->statements[READ_PROBE];
    *count = 0;
    sqlite3_bind_int64(statement, 1, (int64_t)signature);
    sqlite3_bind_int64(statement, 2, (int64_t)ids_max);
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW && *count < ids_max)
        ids[(*count)++] = sqlite3_column_int64(statement, 0);
    if (rc == SQLITE_DONE && *count > 0)
        rc = SQLITE_ROW;
    return reader_done(reader, statement, rc, state);
}

/* The statement stands on a row of similar words. */
static int take_similar(sqlite3_stmt *statement, struct sl_cache_key *key, uint32_t *key_id,
                        struct sl_buf *sealed)
{
    *key_id = (uint32_t)sqlite3_column_int64(statement, 1);
    return column_bytes(statement, 0, key->bytes, sizeof key->bytes)
               ? column_box(statement, 2, sealed)
               : SQLITE_CORRUPT;
}

enum db_outcome db_read_similar(struct db *db, int64_t id, struct sl_cache_key *key,
                                uint32_t *key_id, struct sl_buf *sealed, enum sl_cache_state *state)
{
    struct db_reader *reader = reader_lock(db);
    sqlite3_stmt *statement = reader->statements[READ_SIMILAR];
    sqlite3_bind_int64(statement, 1, id);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        rc = take_similar(statement, key, key_id, sealed);
    return reader_done(reader, statement, rc, state);
}

enum db_outcome db_last_similar(struct db *db, int64_t *id, enum sl_cache_state *state)
{
    struct db_reader *reader = reader_lock(db);
    sqlite3_stmt *statement = reader->statements[READ_SIMILAR_LAST];
    int rc = sqlite3_step(statement);
    *id = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0; /* NULL reads as 0 */
    return reader_done(reader, statement, rc, state);
}

enum db_outcome db_read_similar_after(struct db *db, int64_t *id, int64_t last,
                                      struct sl_cache_key *key, uint32_t *key_id,
                                      struct sl_buf *sealed, enum sl_cache_state *state)
{
    struct db_reader *reader = reader_lock(db);
    sqlite3_stmt *statement = reader->statements[READ_SIMILAR_AFTER];
    sqlite3_bind_int64(statement, 1, *id);
    sqlite3_bind_int64(statement, 2, last);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *id = sqlite3_column_int64(statement, 3);
        rc = take_similar(statement, key, key_id, sealed);
    }
    return reader_done(reader, statement, rc, state);
}

static int sum_kinds(sqlite3_stmt *statement, struct db_census *census)
{
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        int kind = sqlite3_column_int(statement, 0);
        if (kind == SL_CACHE_LOCAL || kind == SL_CACHE_CLOUD)
            census->entries[kind] = (uint64_t)sqlite3_column_int64(statement, 1);
        census->bytes += (uint64_t)sqlite3_column_int64(statement, 2);
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

enum db_outcome db_read_census(struct db *db, size_t counter_count, struct db_census *census,
                               enum sl_cache_state *state)
{
    struct db_reader *reader = reader_lock(db);
    sqlite3_stmt *counters = reader->statements[READ_COUNTERS];
    memset(census, 0, sizeof *census);
    int rc = sum_kinds(reader->statements[READ_CENSUS], census);
    sqlite3_reset(reader->statements[READ_CENSUS]);
    int counter_rc = SQLITE_DONE;
    while (rc == SQLITE_OK && (counter_rc = sqlite3_step(counters)) == SQLITE_ROW) {
        int64_t name = sqlite3_column_int64(counters, 0);
        if (name >= 0 && (uint64_t)name < counter_count)
            census->counters[name] = (uint64_t)sqlite3_column_int64(counters, 1);
    }
    if (rc == SQLITE_OK && counter_rc != SQLITE_DONE)
        rc = counter_rc;
    return reader_done(reader, counters, rc, state);
}
