/* SPDX-License-Identifier: Apache-2.0
 *
 * The SQLite store: one write connection and a few read connections.
 */
#ifndef SLUICE_CACHE_DB_H
#define SLUICE_CACHE_DB_H

#include "record.h"

struct db;
struct similar_features;

/* The schema that this build writes. */
#define DB_SCHEMA_VERSION 3

struct db_options {
    const char *path;
    uint32_t check_ms_max;
    const uint8_t *key_check; /* SL_SHA256_BYTES: the store must have been made with this key */
};

/* Opens, migrates and checks the store. SL_CACHE_ON, or why not, with *error filled in. */
enum sl_cache_state db_open(const struct db_options *options, struct db **out,
                            struct sl_error *error);
void db_close(struct db *db);

/* What an integrity check that goes on behind the open has found so far. */
bool db_is_corrupt(struct db *db);

/* The state that a failed call of SQLite means; the extended code decides. */
enum sl_cache_state db_state_of(int sqlite_rc);

/* ---- reading: any thread -------------------------------------------------------------------- */

enum db_outcome {
    DB_FOUND,
    DB_ABSENT,
    DB_BUSY,   /* a passing lock: as good as absent */
    DB_FAILED, /* *state says why */
};

struct db_row {
    struct record_label label;
    uint32_t key_id;
    struct sl_buf sealed; /* cleared by the caller */
};

enum db_outcome db_read_key(struct db *db, const struct sl_cache_key *key, struct db_row *row,
                            enum sl_cache_state *state);
enum db_outcome db_read_id(struct db *db, int64_t id, struct db_row *row,
                           enum sl_cache_state *state);
/* Ids of entries that have the signature, at most `ids_max`. */
enum db_outcome db_read_probe(struct db *db, uint64_t signature, int64_t *ids, size_t ids_max,
                              size_t *count, enum sl_cache_state *state);
/* The sealed words of one entry, with its key. */
enum db_outcome db_read_similar(struct db *db, int64_t id, struct sl_cache_key *key,
                                uint32_t *key_id, struct sl_buf *sealed,
                                enum sl_cache_state *state);
/* The newest similar row's id; 0 where there is none. */
enum db_outcome db_last_similar(struct db *db, int64_t *id, enum sl_cache_state *state);
/* The oldest similar row with an id above `*id` and at most `last`; `*id` is moved to it. */
enum db_outcome db_read_similar_after(struct db *db, int64_t *id, int64_t last,
                                      struct sl_cache_key *key, uint32_t *key_id,
                                      struct sl_buf *sealed, enum sl_cache_state *state);
/* Oldest first: the first entry of `kind` with an id above `*id`, which is moved to it. */
enum db_outcome db_read_next(struct db *db, enum sl_cache_kind kind, int64_t *id,
                             struct db_row *row, enum sl_cache_state *state);
struct db_census {
    uint64_t entries[2]; /* by kind */
    uint64_t bytes;
    uint64_t counters[16];
};
enum db_outcome db_read_census(struct db *db, size_t counter_count, struct db_census *census,
                               enum sl_cache_state *state);

/* ---- writing: the writer thread alone; SQLite's result code, 0 when fine ------------------- */

int db_begin(struct db *db);
int db_commit(struct db *db);
void db_rollback(struct db *db);

/* Sums of the store, kept with every change; exact after a commit or a rollback. */
uint64_t db_entries(const struct db *db);
uint64_t db_bytes(const struct db *db);
/* Another number whenever another process has written; never 0. */
int db_data_version(struct db *db, int64_t *version);
/* Whether another process has written since the last call; the sums are then read anew. */
int db_was_changed(struct db *db, bool *changed);
/* Which body key seals from now on: for other processes, whose data version it changes. */
int db_note_body_key(struct db *db, uint32_t key_id);

struct db_put {
    const struct record_label *label;
    uint32_t key_id;
    struct sl_slice sealed;
    /* May be empty: signatures (8 bytes each, little-endian) and sealed words. */
    struct sl_slice signatures;
    struct sl_slice similar_sealed;
};
int db_put(struct db *db, const struct db_put *put, int64_t *id);
int db_touch(struct db *db, const struct sl_cache_key *key, uint32_t hits, int64_t now_s);
int db_count(struct db *db, size_t counter, uint64_t amount);
/* Each removes at most `entries_max` entries and says how many went. */
int db_evict(struct db *db, size_t entries_max, size_t *removed);
int db_expire(struct db *db, int64_t before_s, size_t entries_max, size_t *removed);

/* NULL or 0: not a condition. */
struct db_filter {
    const struct sl_cache_key *key;
    const uint8_t *app_tag;
    const uint8_t *model_tag;
    const uint8_t *made_from;
    bool has_not_made_from;
    const uint8_t *not_made_from[3]; /* one of these differs from the one that the entry has */
    int64_t created_before_s;
};
int db_purge(struct db *db, const struct db_filter *filter, size_t entries_max, size_t *removed);
int db_purge_everything(struct db *db, size_t *removed);
/* After a purge: gives the pages back and empties the WAL, so that nothing lingers on the disk. */
void db_shrink(struct db *db);

/* For a key rotation: the next row above `*id` that is not sealed with `key_id`, which `*id`
 * becomes; SQLite's SQLITE_DONE (101) when there is none. Boxes, or the sealed words of similar
 * texts. */
#define DB_NO_MORE 101
int db_next_old(struct db *db, bool is_similar, uint32_t key_id, int64_t *id);
int db_reseal(struct db *db, int64_t id, bool is_similar, uint32_t key_id, struct sl_slice sealed);
int db_remove_id(struct db *db, int64_t id);

#endif
