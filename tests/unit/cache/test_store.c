/* SPDX-License-Identifier: Apache-2.0
 *
 * The store as a whole: bounds, expiry, migrations, what the disk tells, and many threads at once.
 */
#include "cache_test.h"

#include "db.h"
#include "keyring.h"

#include <pthread.h>
#include <sqlite3.h>

#define BODY_1K                                                                                    \
    "............................................................................................" \
    "...."                                                                                         \
    "............................................................................................" \
    "...."                                                                                         \
    "............................................................................................" \
    "...."                                                                                         \
    "............................................................................................" \
    "...."

static void put_at(struct sl_cache *cache, uint64_t number, int64_t now_s, int64_t ttl_s)
{
    struct sl_cache_key key = key_of(cache, number);
    struct sl_cache_meta meta = {.kind = SL_CACHE_LOCAL};
    ck_assert(sl_cache_put(cache, &key, &meta, SL_SLICE(BODY_1K), now_s, ttl_s, NULL));
}

static bool is_there(struct sl_cache *cache, uint64_t number, int64_t now_s)
{
    struct sl_cache_entry entry;
    bool is_hit = get_at(cache, number, now_s, &entry) == SL_CACHE_HIT;
    sl_cache_entry_clear(&entry);
    return is_hit;
}

START_TEST(bytes_and_entries_stay_within_their_bounds)
{
    struct cache_place place = new_place();
    struct sl_cache_config config = config_at(&place);
    config.memory_bytes_max = 0;
    config.bytes_max = 100 * 1000;
    struct sl_cache *cache = open_with(&config);
    for (uint64_t i = 0; i < 1000; i++)
        put_at(cache, i, NOW + (int64_t)i, 100000);
    struct sl_cache_stats stats = stats_of(cache);
    ck_assert_uint_le(stats.bytes, config.bytes_max);
    ck_assert_uint_gt(stats.bytes, config.bytes_max - 2000);
    ck_assert_uint_eq(stats.evicted, 1000 - stats.entries);
    ck_assert(is_there(cache, 999, NOW + 1000) && !is_there(cache, 0, NOW + 1000));
    sl_cache_close(cache);
    config.entries_max = 10;
    cache = open_with(&config);
    put_at(cache, 2000, NOW + 2000, 100000);
    ck_assert_uint_eq(stats_of(cache).entries, 10);
    ck_assert(is_there(cache, 2000, NOW + 2000));
    sl_cache_close(cache);
}
END_TEST

START_TEST(what_is_asked_for_often_outlives_what_is_newer)
{
    struct cache_place place = new_place();
    struct sl_cache_config config = config_at(&place);
    config.entries_max = 50;
    struct sl_cache *cache = open_with(&config);
    put_at(cache, 0, NOW, 1000000);
    for (int i = 0; i < 100; i++)
        ck_assert(is_there(cache, 0, NOW));
    flush(cache);
    for (uint64_t i = 1; i <= 200; i++)
        put_at(cache, i, NOW + (int64_t)i, 1000000);
    flush(cache);
    sl_cache_close(cache);
    cache = open_without_front(&place);
    ck_assert(is_there(cache, 0, NOW));
    ck_assert(is_there(cache, 200, NOW));
    ck_assert(!is_there(cache, 1, NOW));
    sl_cache_close(cache);
}
END_TEST

START_TEST(expired_entries_leave_after_their_stale_time)
{
    struct cache_place place = new_place();
    struct sl_cache_config config = config_at(&place);
    config.stale_keep_s = 100;
    struct sl_cache *cache = open_with(&config);
    for (uint64_t i = 0; i < 200; i++)
        put_at(cache, i, NOW, 10);
    put_at(cache, 500, NOW, 1000);
    flush(cache);
    ck_assert_uint_eq(stats_of(cache).entries, 201);
    ck_assert(!is_there(cache, 0, NOW + 105)); /* tells the writer the time */
    ck_assert_uint_eq(stats_of(cache).entries, 201);
    ck_assert(!is_there(cache, 0, NOW + 111));
    for (int i = 0; i < 5; i++)
        flush(cache); /* 64 a commit */
    struct sl_cache_stats stats = stats_of(cache);
    ck_assert_uint_eq(stats.entries, 1);
    ck_assert_uint_eq(stats.expired, 200);
    sl_cache_close(cache);
}
END_TEST

/* ---- migrations ---------------------------------------------------------------------------- */

static int64_t number_from(sqlite3 *connection, const char *sql)
{
    sqlite3_stmt *statement;
    ck_assert_int_eq(sqlite3_prepare_v2(connection, sql, -1, &statement, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

/* Takes a store of today back to what version 1 was (no similar index) or version 2 (words in a
 * format that is not read any more). */
static void make_version(const char *path, int version)
{
    static const char *const sql[] = {
        NULL, "DROP TABLE probe; DROP TABLE similar; PRAGMA user_version=1",
        "UPDATE probe SET signature=signature+1; PRAGMA user_version=2"};
    sqlite3 *connection;
    ck_assert_int_eq(sqlite3_open(path, &connection), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(connection, sql[version], NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(connection);
}

static void put_similar(struct sl_cache *cache, uint64_t number, const char *body,
                        const struct sl_cache_similar_text *text)
{
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD};
    struct sl_cache_key key = key_of(cache, number);
    ck_assert(sl_cache_put(cache, &key, &meta, sl_slice_of(body), NOW, 60, text));
    flush(cache);
}

START_TEST(a_store_of_every_earlier_version_is_brought_up_to_date)
{
    for (int version = 0; version < DB_SCHEMA_VERSION; version++) {
        struct cache_place place = new_place();
        struct sl_cache *cache;
        struct sl_cache_similar_text text = {.text = SL_SLICE("is this found")};
        if (version > 0) { /* 0: no file, or an empty one */
            cache = open_at(&place);
            text.scope = key_of(cache, 4);
            put_similar(cache, 1, "kept", &text);
            sl_cache_close(cache);
            make_version(place.path, version);
        }
        cache = open_without_front(&place);
        assert_state(cache, "on");
        assert_get(cache, 1, version > 0 ? "kept" : NULL);
        text.scope = key_of(cache, 5);
        struct sl_cache_want want = {.now_s = NOW, .max_age_s = SL_CACHE_ANY_AGE};
        struct sl_cache_entry entry;
        put_similar(cache, 2, "yes", &text);
        ck_assert_int_eq(sl_cache_similar(cache, &text, &want, &entry, NULL), SL_CACHE_HIT);
        sl_cache_entry_clear(&entry);
        sl_cache_close(cache);
        sqlite3 *connection;
        sqlite3_open(place.path, &connection);
        ck_assert_int_eq(number_from(connection, "PRAGMA user_version"), DB_SCHEMA_VERSION);
        sqlite3_close(connection);
    }
}
END_TEST

START_TEST(a_migration_that_fails_leaves_the_old_version_whole)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    put_text(cache, 1, "kept");
    sl_cache_close(cache);
    make_version(place.path, 1);
    sqlite3 *connection; /* in the way of the migration's second table */
    sqlite3_open(place.path, &connection);
    sqlite3_exec(connection, "CREATE TABLE probe (x)", NULL, NULL, NULL);
    sqlite3_close(connection);
    cache = open_at(&place);
    assert_state(cache, "corrupt");
    sl_cache_close(cache);
    sqlite3_open(place.path, &connection);
    ck_assert_int_eq(number_from(connection, "PRAGMA user_version"), 1);
    ck_assert_int_eq(number_from(connection, "SELECT count(*) FROM entry"), 1);
    ck_assert_int_eq(
        number_from(connection, "SELECT count(*) FROM sqlite_schema WHERE name='similar'"), 0);
    sqlite3_close(connection);
}
END_TEST

/* ---- privacy ------------------------------------------------------------------------------- */

static bool contains(const char *path, const char *needle)
{
    if (access(path, R_OK) != 0)
        return false;
    size_t len;
    char *text = sl_test_read_file(path, &len);
    bool is_found = memmem(text, len, needle, strlen(needle)) != NULL;
    free(text);
    return is_found;
}

START_TEST(the_disk_holds_none_of_the_planted_values)
{
    static const char *const planted[] = {
        "Rumpelstiltskin", "rumpelstiltskin", "planted-answer",  "planted-prompt",
        "planted-app",     "planted-model",   "planted-meaning", "straw"};
    static const char *const files[] = {"cache.db", "cache.db-wal", "cache.db-shm", "cache.key"};
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    struct sl_cache_key_builder builder;
    struct sl_cache_key key;
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD,
                                 .app = SL_SLICE("planted-app"),
                                 .model = SL_SLICE("planted-model"),
                                 .model_digest = sl_cache_digest_of(SL_SLICE("planted-model")),
                                 .prompt = SL_SLICE("planted-prompt")};
    struct sl_cache_similar_text text = {.scope = key_of(cache, 1),
                                         .text = SL_SLICE("Ask Rumpelstiltskin about straw"),
                                         .meaning = SL_SLICE("planted-meaning")};
    sl_cache_key_start(&builder, cache);
    sl_cache_key_add(&builder, 1, text.text);
    sl_cache_key_finish(&builder, SL_CACHE_CLOUD, &key);
    ck_assert(sl_cache_put(cache, &key, &meta, SL_SLICE("planted-answer"), NOW, 60, &text));
    flush(cache);
    for (int round = 0; round < 2; round++) {
        for (size_t f = 0; f < sizeof files / sizeof files[0]; f++)
            for (size_t p = 0; p < sizeof planted / sizeof planted[0]; p++) {
                char path[128];
                snprintf(path, sizeof path, "%s/%s", place.folder, files[f]);
                ck_assert_msg(!contains(path, planted[p]), "%s holds %s", files[f], planted[p]);
            }
        if (round == 0)
            sl_cache_close(cache);
    }
    ck_assert(contains(place.path, "SQLite format 3")); /* the search itself works */
}
END_TEST

START_TEST(the_store_and_its_key_are_readable_by_their_owner_only)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    char command[256];
    snprintf(command, sizeof command, "test -z \"$(find %s -type f -perm /077)\"", place.folder);
    ck_assert_int_eq(system(command), 0);
    sl_cache_close(cache);
}
END_TEST

/* ---- threads ------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 400

static void *hammer(void *context)
{
    struct sl_cache *cache = context;
    char body[32];
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sl_cache_entry entry;
        uint64_t number = i % 50;
        snprintf(body, sizeof body, "answer %u", (unsigned)number);
        put_text(cache, number, body); /* a full queue may drop it */
        if (get_at(cache, (i * 7) % 50, NOW, &entry) == SL_CACHE_HIT) {
            char expected[32];
            snprintf(expected, sizeof expected, "answer %u", i * 7 % 50);
            if (!sl_slice_equal_text(entry.body, expected))
                abort();
        }
        sl_cache_entry_clear(&entry);
        if (i % 100 == 99) {
            uint64_t purged;
            struct sl_cache_key key = key_of(cache, number);
            struct sl_cache_filter filter = {.key = &key};
            if (sl_cache_purge(cache, &filter, &purged, NULL) != SL_OK)
                abort();
        }
    }
    return NULL;
}

START_TEST(many_threads_put_get_and_purge_at_once)
{
    struct cache_place place = new_place();
    struct sl_cache_config config = config_at(&place);
    config.memory_bytes_max = 64 * 1024; /* small: evicts all the time */
    struct sl_cache *cache = open_with(&config);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, hammer, cache);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_state(cache, "on");
    ck_assert_uint_le(stats_of(cache).entries, 50);
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_slow_disk_never_makes_the_queue_eat_the_memory)
{
    struct cache_place place = new_place();
    struct sl_cache_config config = config_at(&place);
    config.commit_ms = 2000; /* the writer gathers all the while */
    struct sl_cache *cache = open_with(&config);
    size_t len = 1u << 20;
    char *body = calloc(1, len);
    struct sl_cache_meta meta = {.kind = SL_CACHE_LOCAL};
    unsigned kept = 0;
    for (uint64_t i = 0; i < 100; i++) {
        struct sl_cache_key key = key_of(cache, i);
        kept += sl_cache_put(cache, &key, &meta, (struct sl_slice){body, len}, NOW, 60, NULL);
    }
    ck_assert_uint_gt(kept, 20);
    ck_assert_uint_lt(kept, 33); /* 32 MiB */
    flush(cache);
    struct sl_cache_key key = key_of(cache, 999);
    ck_assert(sl_cache_put(cache, &key, &meta, (struct sl_slice){body, len}, NOW, 60, NULL));
    sl_cache_close(cache);
    free(body);
}
END_TEST

START_TEST(two_first_starts_at_once_share_one_key_file)
{
    struct cache_place place = new_place();
    struct keyring *rings[2];
    uint8_t checks[2][SL_SHA256_BYTES];
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(keyring_open(place.key_path, &rings[i], NULL), SL_OK);
        keyring_check(rings[i], checks[i]);
    }
    ck_assert_mem_eq(checks[0], checks[1], SL_SHA256_BYTES);
    for (int i = 0; i < 2; i++)
        keyring_free(rings[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *tcase = tcase_create("store");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, bytes_and_entries_stay_within_their_bounds);
    tcase_add_test(tcase, what_is_asked_for_often_outlives_what_is_newer);
    tcase_add_test(tcase, expired_entries_leave_after_their_stale_time);
    tcase_add_test(tcase, a_store_of_every_earlier_version_is_brought_up_to_date);
    tcase_add_test(tcase, a_migration_that_fails_leaves_the_old_version_whole);
    tcase_add_test(tcase, the_disk_holds_none_of_the_planted_values);
    tcase_add_test(tcase, the_store_and_its_key_are_readable_by_their_owner_only);
    tcase_add_test(tcase, many_threads_put_get_and_purge_at_once);
    tcase_add_test(tcase, two_first_starts_at_once_share_one_key_file);
    tcase_add_test(tcase, a_slow_disk_never_makes_the_queue_eat_the_memory);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
