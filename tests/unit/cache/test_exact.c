/* SPDX-License-Identifier: Apache-2.0 */
#include "cache_test.h"

#include <sqlite3.h>

START_TEST(a_put_is_seen_at_once_and_after_a_restart)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    assert_get(cache, 1, NULL);
    ck_assert(put_text(cache, 1, "the answer"));
    assert_get(cache, 1, "the answer");
    assert_get(cache, 2, NULL);
    sl_cache_close(cache);
    cache = open_without_front(&place);
    assert_get(cache, 1, "the answer");
    sl_cache_close(cache);
}
END_TEST

START_TEST(everything_that_was_put_comes_back)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_without_front(&place);
    struct sl_cache_key key = key_of(cache, 1);
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD,
                                 .app = SL_SLICE("shop"),
                                 .model = SL_SLICE("gpt"),
                                 .model_digest = sl_cache_digest_of(SL_SLICE("m")),
                                 .template_digest = sl_cache_digest_of(SL_SLICE("t")),
                                 .policy_digest = sl_cache_digest_of(SL_SLICE("p")),
                                 .prompt_tokens = 11,
                                 .completion_tokens = 12,
                                 .cost_microusd = 13,
                                 .prompt = SL_SLICE("{\"messages\":[]}")};
    struct sl_slice body = {"a\0b\xff", 4};
    struct sl_cache_want want = {.now_s = NOW + 5, .max_age_s = SL_CACHE_ANY_AGE};
    struct sl_cache_entry entry;
    ck_assert(sl_cache_put(cache, &key, &meta, body, NOW, 60, NULL));
    flush(cache);
    ck_assert_int_eq(sl_cache_get(cache, &key, &want, &entry), SL_CACHE_HIT);
    ck_assert(sl_slice_equal(entry.body, body));
    ck_assert(sl_slice_equal(entry.meta.prompt, meta.prompt));
    ck_assert(sl_slice_equal(entry.meta.app, meta.app));
    ck_assert(sl_slice_equal(entry.meta.model, meta.model));
    ck_assert_mem_eq(&entry.meta.model_digest, &meta.model_digest, 16);
    ck_assert_mem_eq(&entry.meta.template_digest, &meta.template_digest, 16);
    ck_assert_mem_eq(&entry.meta.policy_digest, &meta.policy_digest, 16);
    ck_assert_uint_eq(entry.meta.prompt_tokens, 11);
    ck_assert_uint_eq(entry.meta.completion_tokens, 12);
    ck_assert_uint_eq(entry.meta.cost_microusd, 13);
    ck_assert_int_eq(entry.created_s, NOW);
    ck_assert_int_eq(entry.expires_s, NOW + 60);
    sl_cache_entry_clear(&entry);
    sl_cache_close(cache);
}
END_TEST

static enum sl_cache_outcome ask(struct sl_cache *cache, int64_t now_s, int64_t max_age_s,
                                 int64_t stale_max_s)
{
    struct sl_cache_key key = key_of(cache, 1);
    struct sl_cache_want want = {
        .now_s = now_s, .max_age_s = max_age_s, .stale_max_s = stale_max_s};
    struct sl_cache_entry entry;
    enum sl_cache_outcome outcome = sl_cache_get(cache, &key, &want, &entry);
    sl_cache_entry_clear(&entry);
    return outcome;
}

START_TEST(age_and_end_decide_between_fresh_stale_and_miss)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    put_text(cache, 1, "x"); /* ends at NOW + 3600 */
    ck_assert_int_eq(ask(cache, NOW + 3599, SL_CACHE_ANY_AGE, 0), SL_CACHE_HIT);
    ck_assert_int_eq(ask(cache, NOW + 3600, SL_CACHE_ANY_AGE, 0), SL_CACHE_MISS);
    ck_assert_int_eq(ask(cache, NOW + 3600, SL_CACHE_ANY_AGE, 10), SL_CACHE_STALE);
    ck_assert_int_eq(ask(cache, NOW + 3620, SL_CACHE_ANY_AGE, 10), SL_CACHE_MISS);
    ck_assert_int_eq(ask(cache, NOW + 30, 30, 0), SL_CACHE_HIT);
    ck_assert_int_eq(ask(cache, NOW + 31, 30, 0), SL_CACHE_MISS);
    ck_assert_int_eq(ask(cache, NOW + 31, 30, 5), SL_CACHE_STALE);
    ck_assert_int_eq(ask(cache, NOW, 0, 0), SL_CACHE_HIT);
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_second_put_replaces_the_first)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    put_text(cache, 1, "old");
    flush(cache);
    put_text(cache, 1, "new and longer");
    assert_get(cache, 1, "new and longer");
    sl_cache_close(cache);
    cache = open_without_front(&place);
    assert_get(cache, 1, "new and longer");
    ck_assert_uint_eq(stats_of(cache).entries, 1);
    sl_cache_close(cache);
}
END_TEST

START_TEST(what_may_not_be_stored_is_dropped)
{
    struct cache_place place = new_place();
    struct sl_cache_config config = config_at(&place);
    config.body_bytes_max = 10;
    struct sl_cache *cache = open_with(&config);
    struct sl_cache_key key = key_of(cache, 3);
    struct sl_cache_meta meta = {.kind = SL_CACHE_LOCAL};
    ck_assert(!put_text(cache, 1, "eleven byte"));
    ck_assert(put_text(cache, 2, "ten bytes."));
    ck_assert(!sl_cache_put(cache, &key, &meta, SL_SLICE("x"), NOW, 0, NULL));
    assert_get(cache, 1, NULL);
    assert_get(cache, 3, NULL);
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_cache_without_a_path_lives_in_memory)
{
    struct sl_cache_config config;
    sl_cache_config_init(&config);
    struct sl_cache *cache = open_with(&config);
    assert_state(cache, "on");
    ck_assert(put_text(cache, 1, "x"));
    assert_get(cache, 1, "x");
    struct sl_cache_filter filter = {.everything = true};
    uint64_t purged;
    ck_assert_int_eq(sl_cache_purge(cache, &filter, &purged, NULL), SL_OK);
    assert_get(cache, 1, NULL);
    sl_cache_close(cache);
}
END_TEST

/* Opens the store with SQLite and changes it as a thief or a broken disk might. */
static void meddle(const struct cache_place *place, const char *sql)
{
    sqlite3 *connection;
    ck_assert_int_eq(sqlite3_open(place->path, &connection), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(connection, sql, NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_changes(connection), 1);
    sqlite3_close(connection);
}

START_TEST(a_row_with_any_column_changed_does_not_open)
{
    static const char *const changes[] = {
        "UPDATE box SET sealed=(SELECT sealed FROM box WHERE id=2) WHERE id=1",
        "UPDATE box SET sealed=substr(sealed, 1, length(sealed) - 1) WHERE id=1",
        "UPDATE entry SET expires_s=expires_s + 1000000 WHERE id=1",
        "UPDATE entry SET created_s=created_s + 1 WHERE id=1",
        "UPDATE entry SET kind=0 WHERE id=1",
        "UPDATE entry SET key_id=2 WHERE id=1",
        "UPDATE entry SET app_tag=model_tag WHERE id=1",
        "UPDATE entry SET model_tag=app_tag WHERE id=1",
        "UPDATE entry SET made_from_model=app_tag WHERE id=1",
        "UPDATE entry SET made_from_template=app_tag WHERE id=1",
        "UPDATE entry SET made_from_policy=app_tag WHERE id=1",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct cache_place place = new_place();
        struct sl_cache *cache = open_at(&place);
        put_text(cache, 1, "one");
        put_text(cache, 2, "two");
        sl_cache_close(cache);
        meddle(&place, changes[i]);
        cache = open_at(&place);
        assert_get(cache, 1, NULL);
        assert_get(cache, 2, "two");
        assert_state(cache, "on");
        sl_cache_close(cache);
    }
}
END_TEST

START_TEST(hits_misses_and_savings_are_counted_over_restarts)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    put_text(cache, 1, "x");
    assert_get(cache, 1, "x");
    assert_get(cache, 1, "x");
    assert_get(cache, 2, NULL);
    sl_cache_close(cache);
    cache = open_at(&place);
    assert_get(cache, 1, "x");
    struct sl_cache_stats stats = stats_of(cache);
    ck_assert_uint_eq(stats.hits, 3);
    ck_assert_uint_eq(stats.misses, 1);
    ck_assert_uint_eq(stats.saved_prompt_tokens, 30);
    ck_assert_uint_eq(stats.saved_completion_tokens, 60);
    ck_assert_uint_eq(stats.saved_microusd, 90);
    ck_assert_uint_eq(stats.entries_cloud, 1);
    ck_assert_uint_eq(stats.entries_local, 0);
    ck_assert_uint_gt(stats.bytes, 0);
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_request_that_hits_under_its_second_key_is_no_miss)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    struct sl_cache_want want = {.now_s = NOW, .max_age_s = SL_CACHE_ANY_AGE};
    struct sl_cache_entry entry;
    put_text(cache, 2, "x");
    for (uint64_t number = 1; number <= 2; number++) {
        struct sl_cache_key key = key_of(cache, number);
        sl_cache_get(cache, &key, &want, &entry);
        sl_cache_entry_clear(&entry);
        want.is_repeat = true;
    }
    struct sl_cache_stats stats = stats_of(cache);
    ck_assert_uint_eq(stats.hits, 1);
    ck_assert_uint_eq(stats.misses, 0);
    sl_cache_close(cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exact");
    TCase *tcase = tcase_create("exact");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_put_is_seen_at_once_and_after_a_restart);
    tcase_add_test(tcase, everything_that_was_put_comes_back);
    tcase_add_test(tcase, age_and_end_decide_between_fresh_stale_and_miss);
    tcase_add_test(tcase, a_second_put_replaces_the_first);
    tcase_add_test(tcase, what_may_not_be_stored_is_dropped);
    tcase_add_test(tcase, a_cache_without_a_path_lives_in_memory);
    tcase_add_test(tcase, a_row_with_any_column_changed_does_not_open);
    tcase_add_test(tcase, hits_misses_and_savings_are_counted_over_restarts);
    tcase_add_test(tcase, a_request_that_hits_under_its_second_key_is_no_miss);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
