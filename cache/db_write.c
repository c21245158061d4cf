/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns every change of the store. Eviction, expiry and purge pick ids through an index and remove
 * entry by entry; nothing walks the table but a purge, which an operator asked for.
 *
 * What is least valuable: rank = last use in seconds + one hour for every doubling of the hits. An
 * answer that was asked for 64 times outlives a burst of one-off answers by six hours, and still
 * goes when nobody wants it any more. LRU with a frequency bonus in one sorted number, after LRFU
 * (Lee et al. 2001), needs one index and no ageing pass.
 *
 * Threads: the writer alone.
 *
 * Invariants: 1. entries and bytes are the sums over the table `entry` as the open transaction sees
 * it. 2. An id has a row in `box` exactly when it has one in `entry`; rows in `similar` and `probe`
 * only then.
 */
#include "db_internal.h"

#define RANK_BONUS_S 3600 /* for each doubling of the hits */
/* What a row costs beside its box: columns, two index entries, B-tree overhead, rounded. */
#define ROW_BYTES 320
#define PROBE_BYTES 28

const char *const db_write_sql[WRITE_STATEMENT_COUNT] = {
    [WRITE_BEGIN] = "BEGIN IMMEDIATE",
    [WRITE_COMMIT] = "COMMIT",
    [WRITE_FIND] = "SELECT id, bytes, hits FROM entry WHERE key=?1",
    [WRITE_BYTES] = "SELECT bytes FROM entry WHERE id=?1",
    [WRITE_INSERT] =
        "INSERT INTO entry (key, kind, created_s, expires_s, rank, hits, bytes, key_id,"
        " app_tag, model_tag, made_from_model, made_from_template, made_from_policy)"
        " VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [WRITE_UPDATE] = "UPDATE entry SET kind=?2, created_s=?3, expires_s=?4, rank=?5, bytes=?6,"
                     " key_id=?7, app_tag=?8, model_tag=?9, made_from_model=?10,"
                     " made_from_template=?11, made_from_policy=?12 WHERE key=?1",
    [WRITE_BOX] = "INSERT OR REPLACE INTO box VALUES (?1, ?2)",
    [WRITE_SIMILAR] = "INSERT INTO similar VALUES (?1, ?2, ?3, ?4)",
    [WRITE_PROBE] = "INSERT OR IGNORE INTO probe VALUES (?1, ?2)",
    [WRITE_TOUCH] = "UPDATE entry SET hits=hits+?2, rank=max(rank, ?3) WHERE id=?1",
    [WRITE_COUNT] = "INSERT INTO counter VALUES (?1, ?2)"
                    " ON CONFLICT (name) DO UPDATE SET value=value+excluded.value",
    [WRITE_SUMS] = "SELECT count(*), coalesce(sum(bytes), 0) FROM entry",
    [WRITE_STORED_SUMS] = "SELECT (SELECT value FROM setting WHERE name='entries'),"
                          " (SELECT value FROM setting WHERE name='bytes')",
    [WRITE_STORE_SUMS] = "INSERT OR REPLACE INTO setting VALUES ('entries', ?1), ('bytes', ?2)",
    [WRITE_DATA_VERSION] = "PRAGMA data_version",
    [WRITE_BODY_KEY] = "INSERT OR REPLACE INTO setting VALUES ('body_key', ?1)",
    [WRITE_PICK_RANK] = "SELECT id, bytes FROM entry ORDER BY rank LIMIT 1",
    [WRITE_PICK_EXPIRED] = "SELECT id, bytes FROM entry WHERE expires_s<?1 ORDER BY expires_s"
                           " LIMIT 1",
    [WRITE_PICK_FILTER] = "SELECT id, bytes FROM entry WHERE id>?6 AND (?1 IS NULL OR key=?1)"
                          " AND (?2 IS NULL OR app_tag=?2) AND (?3 IS NULL OR model_tag=?3)"
                          " AND (?4 IS NULL OR ?4 IN (made_from_model, made_from_template,"
                          " made_from_policy)) AND (?5 IS NULL OR created_s<?5)"
                          /* NOT IN a list with NULL, which is no condition, is never true. */
                          " AND (NOT ?10 OR made_from_model NOT IN (?7, zeroblob(16))"
                          " OR made_from_template NOT IN (?8, zeroblob(16))"
                          " OR made_from_policy NOT IN (?9, zeroblob(16)))"
                          " ORDER BY id LIMIT 1",
    [WRITE_SIGNATURES] = "SELECT signatures FROM similar WHERE id=?1",
    [WRITE_REMOVE_PROBE] = "DELETE FROM probe WHERE signature=?1 AND id=?2",
    [WRITE_REMOVE_SIMILAR] = "DELETE FROM similar WHERE id=?1",
    [WRITE_REMOVE_BOX] = "DELETE FROM box WHERE id=?1",
    [WRITE_REMOVE_ENTRY] = "DELETE FROM entry WHERE id=?1",
    [WRITE_OLD_BOX] = "SELECT id FROM entry WHERE id>?2 AND key_id<>?1 ORDER BY id"
                      " LIMIT 1",
    [WRITE_OLD_SIMILAR] = "SELECT id FROM similar WHERE id>?2 AND key_id<>?1"
                          " ORDER BY id LIMIT 1",
    [WRITE_RESEAL_ENTRY] = "UPDATE entry SET key_id=?2 WHERE id=?1",
    [WRITE_RESEAL_BOX] = "UPDATE box SET sealed=?2 WHERE id=?1",
    [WRITE_RESEAL_SIMILAR] = "UPDATE similar SET key_id=?3, sealed=?2 WHERE id=?1",
};

/* Runs a statement that gives no rows. */
static int run(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);
    sqlite3_reset(statement);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int run_with_id(struct db *db, enum write_statement which, int64_t id)
{
    sqlite3_bind_int64(db->statements[which], 1, id);
    return run(db->statements[which]);
}

/* ---- transactions and sums ------------------------------------------------------------------ */

/* Another process may have written since: the sums in the file are the truth. */
int db_begin(struct db *db)
{
    int rc = run(db->statements[WRITE_BEGIN]);
    return rc == SQLITE_OK ? db_load_sums(db) : rc;
}

static int store_sums(struct db *db)
{
    sqlite3_stmt *statement = db->statements[WRITE_STORE_SUMS];
    if (db->entries == db->committed_entries && db->bytes == db->committed_bytes)
        return SQLITE_OK;
    sqlite3_bind_int64(statement, 1, (int64_t)db->entries);
    sqlite3_bind_int64(statement, 2, (int64_t)db->bytes);
    return run(statement);
}

int db_commit(struct db *db)
{
    int rc = store_sums(db);
    if (rc == SQLITE_OK)
        rc = run(db->statements[WRITE_COMMIT]);
    if (rc == SQLITE_OK) {
        db->committed_entries = db->entries;
        db->committed_bytes = db->bytes;
    }
    return rc;
}

void db_rollback(struct db *db)
{
    if (!sqlite3_get_autocommit(db->connection))
        sqlite3_exec(db->connection, "ROLLBACK", NULL, NULL, NULL);
    db->entries = db->committed_entries;
    db->bytes = db->committed_bytes;
}

uint64_t db_entries(const struct db *db)
{
    return db->entries;
}
uint64_t db_bytes(const struct db *db)
{
    return db->bytes;
}

/* Two numbers of one row; SQLITE_DONE where they are not there. */
static int read_sums(struct db *db, enum write_statement which)
{
    sqlite3_stmt *statement = db->statements[which];
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        bool is_there = sqlite3_column_type(statement, 0) == SQLITE_INTEGER &&
                        sqlite3_column_type(statement, 1) == SQLITE_INTEGER;
        db->entries = db->committed_entries = (uint64_t)sqlite3_column_int64(statement, 0);
        db->bytes = db->committed_bytes = (uint64_t)sqlite3_column_int64(statement, 1);
        rc = is_there ? SQLITE_OK : SQLITE_DONE;
    }
    sqlite3_reset(statement);
    return rc;
}

/* Counting took 100 ms for 100,000 entries, most of a start; so every commit leaves the sums. */
int db_load_sums(struct db *db)
{
    int rc = read_sums(db, WRITE_STORED_SUMS);
    return rc == SQLITE_DONE ? read_sums(db, WRITE_SUMS) : rc;
}

int db_data_version(struct db *db, int64_t *version)
{
    sqlite3_stmt *statement = db->statements[WRITE_DATA_VERSION];
    int rc = sqlite3_step(statement);
    *version = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int db_was_changed(struct db *db, bool *changed)
{
    int64_t version;
    int rc = db_data_version(db, &version);
    *changed = rc == SQLITE_OK && db->data_version != 0 && version != db->data_version;
    if (rc == SQLITE_OK)
        db->data_version = version;
    return *changed ? db_load_sums(db) : rc;
}

int db_note_body_key(struct db *db, uint32_t key_id)
{
    return run_with_id(db, WRITE_BODY_KEY, key_id);
}

/* ---- removing ------------------------------------------------------------------------------- */

static uint64_t signature_at(const uint8_t *bytes)
{
    uint64_t signature = 0;
    for (unsigned i = 0; i < 8; i++)
        signature |= (uint64_t)bytes[i] << (8 * i);
    return signature;
}

static int remove_similar(struct db *db, int64_t id)
{
    sqlite3_stmt *find = db->statements[WRITE_SIGNATURES];
    sqlite3_stmt *probe = db->statements[WRITE_REMOVE_PROBE];
    sqlite3_bind_int64(find, 1, id);
    int rc = sqlite3_step(find);
    bool is_there = rc == SQLITE_ROW;
    if (is_there) {
        const uint8_t *signatures = sqlite3_column_blob(find, 0);
        int len = sqlite3_column_bytes(find, 0);
        rc = SQLITE_OK;
        for (int at = 0; at + 8 <= len && rc == SQLITE_OK; at += 8) {
            sqlite3_bind_int64(probe, 1, (int64_t)signature_at(signatures + at));
            sqlite3_bind_int64(probe, 2, id);
            rc = run(probe);
        }
    }
    sqlite3_reset(find);
    if (!is_there)
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
    return rc == SQLITE_OK ? run_with_id(db, WRITE_REMOVE_SIMILAR, id) : rc;
}

static int remove_entry(struct db *db, int64_t id, uint64_t bytes)
{
    int rc = remove_similar(db, id);
    if (rc == SQLITE_OK)
        rc = run_with_id(db, WRITE_REMOVE_BOX, id);
    if (rc == SQLITE_OK)
        rc = run_with_id(db, WRITE_REMOVE_ENTRY, id);
    if (rc == SQLITE_OK) {
        db->entries--;
        db->bytes -= bytes;
    }
    return rc;
}

int db_remove_id(struct db *db, int64_t id)
{
    sqlite3_stmt *statement = db->statements[WRITE_BYTES];
    sqlite3_bind_int64(statement, 1, id);
    int rc = sqlite3_step(statement);
    uint64_t bytes = (uint64_t)sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    if (rc == SQLITE_ROW)
        return remove_entry(db, id, bytes);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Removes what the bound statement picks, one at a time. `cursor` > 0 is the parameter that makes
 * the pick go on behind the last id instead of starting over. */
static int remove_picked(struct db *db, enum write_statement pick, int cursor, size_t entries_max,
                         size_t *removed)
{
    sqlite3_stmt *statement = db->statements[pick];
    int rc = SQLITE_OK;
    *removed = 0;
    while (*removed < entries_max && rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        int64_t id = sqlite3_column_int64(statement, 0);
        uint64_t bytes = (uint64_t)sqlite3_column_int64(statement, 1);
        sqlite3_reset(statement);
        if (rc == SQLITE_DONE)
            return SQLITE_OK;
        if (rc == SQLITE_ROW)
            rc = remove_entry(db, id, bytes);
        if (rc == SQLITE_OK) {
            (*removed)++;
            if (cursor > 0)
                sqlite3_bind_int64(statement, cursor, id);
        }
    }
    return rc;
}

int db_evict(struct db *db, size_t entries_max, size_t *removed)
{
    return remove_picked(db, WRITE_PICK_RANK, 0, entries_max, removed);
}

int db_expire(struct db *db, int64_t before_s, size_t entries_max, size_t *removed)
{
    sqlite3_bind_int64(db->statements[WRITE_PICK_EXPIRED], 1, before_s);
    return remove_picked(db, WRITE_PICK_EXPIRED, 0, entries_max, removed);
}

static void bind_tag(sqlite3_stmt *statement, int parameter, const uint8_t *tag)
{
    if (tag != NULL)
        sqlite3_bind_blob(statement, parameter, tag, KEYRING_TAG_BYTES, SQLITE_STATIC);
}

int db_purge(struct db *db, const struct db_filter *filter, size_t entries_max, size_t *removed)
{
    sqlite3_stmt *statement = db->statements[WRITE_PICK_FILTER];
    sqlite3_clear_bindings(statement);
    if (filter->key != NULL)
        sqlite3_bind_blob(statement, 1, filter->key->bytes, sizeof filter->key->bytes,
                          SQLITE_STATIC);
    bind_tag(statement, 2, filter->app_tag);
    bind_tag(statement, 3, filter->model_tag);
    bind_tag(statement, 4, filter->made_from);
    if (filter->created_before_s != 0)
        sqlite3_bind_int64(statement, 5, filter->created_before_s);
    sqlite3_bind_int64(statement, 6, INT64_MIN);
    for (int i = 0; i < 3; i++)
        bind_tag(statement, 7 + i, filter->not_made_from[i]);
    sqlite3_bind_int(statement, 10, filter->has_not_made_from);
    return remove_picked(db, WRITE_PICK_FILTER, 6, entries_max, removed);
}

int db_purge_everything(struct db *db, size_t *removed)
{
    *removed = (size_t)db->entries;
    int rc = sqlite3_exec(db->connection,
                          "DELETE FROM probe; DELETE FROM similar; DELETE FROM box;"
                          " DELETE FROM entry",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        db->entries = db->bytes = 0;
    return rc;
}

/* Best effort: a reader in the way only means that the file stays as large until the next time. */
void db_shrink(struct db *db)
{
    sqlite3_exec(db->connection, "PRAGMA incremental_vacuum", NULL, NULL, NULL);
    sqlite3_wal_checkpoint_v2(db->connection, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

/* ---- putting -------------------------------------------------------------------------------- */

static int64_t rank_of(int64_t used_s, uint64_t hits)
{
    int64_t doublings = 0;
    for (uint64_t left = hits; left > 0 && doublings < 20; left >>= 1)
        doublings++;
    return used_s + RANK_BONUS_S * doublings;
}

/* The entry's id, size and hits, or id 0. */
static int find(struct db *db, const struct sl_cache_key *key, int64_t *id, uint64_t *bytes,
                uint64_t *hits)
{
    sqlite3_stmt *statement = db->statements[WRITE_FIND];
    sqlite3_bind_blob(statement, 1, key->bytes, sizeof key->bytes, SQLITE_STATIC);
    int rc = sqlite3_step(statement);
    *id = 0;
    *bytes = *hits = 0;
    if (rc == SQLITE_ROW) {
        *id = sqlite3_column_int64(statement, 0);
        *bytes = (uint64_t)sqlite3_column_int64(statement, 1);
        *hits = (uint64_t)sqlite3_column_int64(statement, 2);
    }
    sqlite3_reset(statement);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int put_entry(struct db *db, const struct db_put *put, bool is_new, uint64_t bytes,
                     uint64_t hits)
{
    const struct record_label *label = put->label;
    sqlite3_stmt *statement = db->statements[is_new ? WRITE_INSERT : WRITE_UPDATE];
    sqlite3_bind_blob(statement, 1, label->key.bytes, sizeof label->key.bytes, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, (int)label->kind);
    sqlite3_bind_int64(statement, 3, label->created_s);
    sqlite3_bind_int64(statement, 4, label->expires_s);
    sqlite3_bind_int64(statement, 5, rank_of(label->created_s, hits));
    sqlite3_bind_int64(statement, 6, (int64_t)bytes);
    sqlite3_bind_int64(statement, 7, put->key_id);
    bind_tag(statement, 8, label->app_tag);
    bind_tag(statement, 9, label->model_tag);
    for (int i = 0; i < 3; i++)
        bind_tag(statement, 10 + i, label->made_from[i]);
    return run(statement);
}

static int put_box(struct db *db, int64_t id, struct sl_slice sealed)
{
    sqlite3_stmt *statement = db->statements[WRITE_BOX];
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_blob64(statement, 2, sealed.data, sealed.len, SQLITE_STATIC);
    return run(statement);
}

static int put_similar(struct db *db, int64_t id, const struct db_put *put)
{
    sqlite3_stmt *statement = db->statements[WRITE_SIMILAR];
    sqlite3_stmt *probe = db->statements[WRITE_PROBE];
    const uint8_t *signatures = (const uint8_t *)put->signatures.data;
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_int64(statement, 2, put->key_id);
    sqlite3_bind_blob64(statement, 3, signatures, put->signatures.len, SQLITE_STATIC);
    sqlite3_bind_blob64(statement, 4, put->similar_sealed.data, put->similar_sealed.len,
                        SQLITE_STATIC);
    int rc = run(statement);
    for (size_t at = 0; at + 8 <= put->signatures.len && rc == SQLITE_OK; at += 8) {
        sqlite3_bind_int64(probe, 1, (int64_t)signature_at(signatures + at));
        sqlite3_bind_int64(probe, 2, id);
        rc = run(probe);
    }
    return rc;
}

int db_put(struct db *db, const struct db_put *put, int64_t *put_id)
{
    int64_t id;
    uint64_t old_bytes;
    uint64_t hits;
    uint64_t bytes = ROW_BYTES + put->sealed.len + put->similar_sealed.len +
                     put->signatures.len / 8 * PROBE_BYTES;
    int rc = find(db, &put->label->key, &id, &old_bytes, &hits);
    bool is_new = id == 0;
    if (rc == SQLITE_OK)
        rc = put_entry(db, put, is_new, bytes, hits);
    if (rc == SQLITE_OK && is_new)
        id = sqlite3_last_insert_rowid(db->connection);
    else if (rc == SQLITE_OK)
        rc = remove_similar(db, id);
    if (rc == SQLITE_OK)
        rc = put_box(db, id, put->sealed);
    if (rc == SQLITE_OK && put->signatures.len > 0)
        rc = put_similar(db, id, put);
    if (rc == SQLITE_OK) {
        db->entries += is_new;
        db->bytes = db->bytes - old_bytes + bytes;
    }
    *put_id = id;
    return rc;
}

int db_touch(struct db *db, const struct sl_cache_key *key, uint32_t hits, int64_t now_s)
{
    int64_t id;
    uint64_t bytes;
    uint64_t old_hits;
    int rc = find(db, key, &id, &bytes, &old_hits);
    if (rc != SQLITE_OK || id == 0)
        return rc;
    sqlite3_stmt *statement = db->statements[WRITE_TOUCH];
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_int64(statement, 2, hits);
    sqlite3_bind_int64(statement, 3, rank_of(now_s, old_hits + hits));
    return run(statement);
}

int db_count(struct db *db, size_t counter, uint64_t amount)
{
    char name[24];
    sqlite3_stmt *statement = db->statements[WRITE_COUNT];
    sqlite3_snprintf(sizeof name, name, "%llu", (unsigned long long)counter);
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (int64_t)amount);
    int rc = run(statement);
    sqlite3_clear_bindings(statement);
    return rc;
}

/* ---- key rotation --------------------------------------------------------------------------- */

_Static_assert(DB_NO_MORE == SQLITE_DONE, "db.h repeats SQLite's code");

int db_next_old(struct db *db, bool is_similar, uint32_t key_id, int64_t *id)
{
    sqlite3_stmt *statement = db->statements[is_similar ? WRITE_OLD_SIMILAR : WRITE_OLD_BOX];
    sqlite3_bind_int64(statement, 1, key_id);
    sqlite3_bind_int64(statement, 2, *id);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *id = sqlite3_column_int64(statement, 0);
        rc = SQLITE_OK;
    }
    sqlite3_reset(statement);
    return rc;
}

int db_reseal(struct db *db, int64_t id, bool is_similar, uint32_t key_id, struct sl_slice sealed)
{
    sqlite3_stmt *statement = db->statements[is_similar ? WRITE_RESEAL_SIMILAR : WRITE_RESEAL_BOX];
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_blob64(statement, 2, sealed.data, sealed.len, SQLITE_STATIC);
    if (is_similar)
        sqlite3_bind_int64(statement, 3, key_id);
    int rc = run(statement);
    sqlite3_clear_bindings(statement);
    if (rc != SQLITE_OK || is_similar)
        return rc;
    sqlite3_stmt *entry = db->statements[WRITE_RESEAL_ENTRY];
    sqlite3_bind_int64(entry, 1, id);
    sqlite3_bind_int64(entry, 2, key_id);
    return run(entry);
}
