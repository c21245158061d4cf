/* SPDX-License-Identifier: Apache-2.0 */
#include "cache_test.h"

#include <pthread.h>
#include <sys/stat.h>

static void put_made(struct sl_cache *cache, uint64_t number, const char *app, const char *model,
                     const char *policy, int64_t now_s)
{
    struct sl_cache_key key = key_of(cache, number);
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD,
                                 .app = sl_slice_of(app),
                                 .model = sl_slice_of(model),
                                 .policy_digest = sl_cache_digest_of(sl_slice_of(policy)),
                                 .prompt = sl_slice_of(app)};
    ck_assert(sl_cache_put(cache, &key, &meta, sl_slice_of(model), now_s, 3600, NULL));
}

static uint64_t purge(struct sl_cache *cache, const struct sl_cache_filter *filter)
{
    uint64_t purged = 0;
    struct sl_error error = {0};
    ck_assert_msg(sl_cache_purge(cache, filter, &purged, &error) == SL_OK, "%s", error.message);
    return purged;
}

static bool is_there(struct sl_cache *cache, uint64_t number)
{
    struct sl_cache_entry entry;
    bool is_hit = get_at(cache, number, NOW, &entry) == SL_CACHE_HIT;
    sl_cache_entry_clear(&entry);
    return is_hit;
}

/* Both with the front and from the store: a purge must reach the two alike. */
static void each_condition(bool has_front)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = has_front ? open_at(&place) : open_without_front(&place);
    put_made(cache, 1, "shop", "gpt", "old", NOW - 100);
    put_made(cache, 2, "shop", "claude", "new", NOW);
    put_made(cache, 3, "desk", "gpt", "new", NOW);
    put_made(cache, 4, "desk", "llama", "new", NOW - 50);
    put_made(cache, 5, "desk", "llama", "new", NOW);
    struct sl_cache_digest old = sl_cache_digest_of(SL_SLICE("old"));
    struct sl_cache_key key5 = key_of(cache, 5);
    flush(cache);
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.app = {NULL, 0}}), 0);
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.made_from = &old}), 1);
    ck_assert(!is_there(cache, 1) && is_there(cache, 2));
    ck_assert_uint_eq(
        purge(cache, &(struct sl_cache_filter){.app = SL_SLICE("shop"), .model = SL_SLICE("gpt")}),
        0);
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.app = SL_SLICE("shop")}), 1);
    ck_assert(!is_there(cache, 2) && is_there(cache, 3));
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.model = SL_SLICE("gpt")}), 1);
    ck_assert(!is_there(cache, 3) && is_there(cache, 4));
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.created_before_s = NOW}), 1);
    ck_assert(!is_there(cache, 4) && is_there(cache, 5));
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.key = &key5}), 1);
    ck_assert(!is_there(cache, 5));
    sl_cache_close(cache);
}

START_TEST(each_condition_of_a_purge_takes_its_entries_only)
{
    each_condition(true);
    each_condition(false);
}
END_TEST

static void put_from(struct sl_cache *cache, uint64_t number, enum sl_cache_kind kind,
                     const char *model, const char *policy)
{
    struct sl_cache_key key = key_of(cache, number);
    struct sl_cache_meta meta = {.kind = kind,
                                 .policy_digest = sl_cache_digest_of(sl_slice_of(policy))};
    if (kind == SL_CACHE_LOCAL) {
        meta.model_digest = sl_cache_digest_of(sl_slice_of(model));
        meta.template_digest = sl_cache_digest_of(SL_SLICE("template"));
    }
    ck_assert(sl_cache_put(cache, &key, &meta, SL_SLICE("x"), NOW, 3600, NULL));
}

static void past_of_a_box(bool has_front)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = has_front ? open_at(&place) : open_without_front(&place);
    struct sl_cache_origin now = {.model = sl_cache_digest_of(SL_SLICE("new")),
                                  .chat_template = sl_cache_digest_of(SL_SLICE("template")),
                                  .policy = sl_cache_digest_of(SL_SLICE("policy"))};
    put_from(cache, 1, SL_CACHE_LOCAL, "old", "policy");
    put_from(cache, 2, SL_CACHE_LOCAL, "new", "policy");
    put_from(cache, 3, SL_CACHE_CLOUD, NULL, "policy");
    put_from(cache, 4, SL_CACHE_CLOUD, NULL, "policy of yesterday");
    put_text(cache, 5, "made from nothing that is known");
    flush(cache);
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.not_made_from = &now}), 2);
    ck_assert(!is_there(cache, 1) && is_there(cache, 2) && is_there(cache, 3));
    ck_assert(!is_there(cache, 4) && is_there(cache, 5));
    struct sl_cache_origin without_model = {.policy = now.policy}; /* started without a model */
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.not_made_from = &without_model}), 0);
    now.chat_template = sl_cache_digest_of(SL_SLICE("another template"));
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.not_made_from = &now}), 1);
    ck_assert(!is_there(cache, 2) && is_there(cache, 3));
    struct sl_cache_origin unknown = {.policy = {{0}}};
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.not_made_from = &unknown}), 0);
    sl_cache_close(cache);
}

START_TEST(entries_die_with_the_model_template_or_policy_they_came_from)
{
    past_of_a_box(true);
    past_of_a_box(false);
}
END_TEST

START_TEST(a_purge_sees_puts_that_are_not_committed_yet)
{
    struct cache_place place = new_place();
    struct sl_cache_config config = config_at(&place);
    config.commit_ms = 1000;
    struct sl_cache *cache = open_with(&config);
    put_text(cache, 1, "x");
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.everything = true}), 1);
    assert_get(cache, 1, NULL);
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_purge_by_another_process_reaches_the_memory_too)
{
    struct cache_place place = new_place();
    struct sl_cache *gateway = open_at(&place);
    put_text(gateway, 1, "x");
    flush(gateway);
    struct sl_cache *tool = open_at(&place);
    ck_assert_uint_eq(purge(tool, &(struct sl_cache_filter){.everything = true}), 1);
    sl_cache_close(tool);
    for (int i = 0; i < 300 && is_there(gateway, 1); i++)
        usleep(10000); /* the writer looks once a second */
    ck_assert(!is_there(gateway, 1));
    ck_assert_uint_eq(stats_of(gateway).entries, 0);
    sl_cache_close(gateway);
}
END_TEST

static off_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_size : 0;
}

START_TEST(a_purge_gives_the_disk_its_room_back)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    char wal[128];
    char body[4000];
    snprintf(wal, sizeof wal, "%s-wal", place.path);
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    for (uint64_t i = 0; i < 500; i++)
        put_text(cache, i, body);
    flush(cache);
    ck_assert_int_gt(size_of(place.path) + size_of(wal), 2000000);
    ck_assert_uint_eq(purge(cache, &(struct sl_cache_filter){.app = SL_SLICE("app")}), 500);
    ck_assert_int_lt(size_of(place.path), 200000);
    ck_assert_int_eq(size_of(wal), 0);
    sl_cache_close(cache);
}
END_TEST

struct visit {
    unsigned count;
    unsigned stop_at;
    char prompts[256];
};

static bool collect(const struct sl_cache_entry *entry, void *context)
{
    struct visit *visit = context;
    strncat(visit->prompts, entry->meta.prompt.data, entry->meta.prompt.len);
    return ++visit->count != visit->stop_at;
}

START_TEST(an_export_shows_cloud_pairs_oldest_first_and_can_be_ended)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    struct sl_cache_meta local = {.kind = SL_CACHE_LOCAL, .prompt = SL_SLICE("never kept")};
    struct sl_cache_key key = key_of(cache, 9);
    sl_cache_put(cache, &key, &local, SL_SLICE("x"), NOW, 60, NULL);
    put_made(cache, 1, "one", "gpt", "p", NOW);
    put_made(cache, 2, "two", "gpt", "p", NOW);
    put_made(cache, 3, "three", "gpt", "p", NOW);
    flush(cache);
    struct visit all = {0};
    struct visit some = {.stop_at = 2};
    ck_assert_int_eq(sl_cache_export(cache, SL_CACHE_CLOUD, collect, &all, NULL), SL_OK);
    ck_assert_int_eq(sl_cache_export(cache, SL_CACHE_CLOUD, collect, &some, NULL), SL_OK);
    ck_assert_str_eq(all.prompts, "onetwothree");
    ck_assert_str_eq(some.prompts, "onetwo");
    struct visit none = {0};
    ck_assert_int_eq(sl_cache_export(cache, SL_CACHE_LOCAL, collect, &none, NULL), SL_OK);
    ck_assert_uint_eq(none.count, 1);
    ck_assert_str_eq(none.prompts, "");
    sl_cache_close(cache);
}
END_TEST

static unsigned body_keys_in(const char *path)
{
    unsigned count = 0;
    char *text = sl_test_read_file(path, NULL);
    for (const char *at = text; (at = strstr(at, "body ")) != NULL; at += 5)
        count++;
    free(text);
    return count;
}

START_TEST(after_a_rotation_every_answer_opens_under_the_new_key_alone)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_without_front(&place);
    struct sl_cache_similar_text text = {.scope = key_of(cache, 77),
                                         .text = SL_SLICE("what is the weather in york")};
    struct sl_cache_meta meta = {.kind = SL_CACHE_CLOUD};
    struct sl_cache_key key = key_of(cache, 500);
    char body[32];
    for (uint64_t i = 0; i < 500; i++) {
        snprintf(body, sizeof body, "answer %u", (unsigned)i);
        put_text(cache, i, body);
    }
    sl_cache_put(cache, &key, &meta, SL_SLICE("rain"), NOW, 60, &text);
    flush(cache);
    char *before = sl_test_read_file(place.key_path, NULL);
    struct sl_error error = {0};
    ck_assert_msg(sl_cache_rotate_key(cache, &error) == SL_OK, "%s", error.message);
    char *after = sl_test_read_file(place.key_path, NULL);
    ck_assert_str_ne(before, after);
    ck_assert_uint_eq(body_keys_in(place.key_path), 1);
    sl_cache_close(cache);
    cache = open_without_front(&place);
    for (uint64_t i = 0; i < 500; i++) {
        snprintf(body, sizeof body, "answer %u", (unsigned)i);
        assert_get(cache, i, body);
    }
    struct sl_cache_want want = {.now_s = NOW, .max_age_s = SL_CACHE_ANY_AGE};
    struct sl_cache_entry entry;
    ck_assert_int_eq(sl_cache_similar(cache, &text, &want, &entry, NULL), SL_CACHE_HIT);
    sl_cache_entry_clear(&entry);
    sl_cache_close(cache);
    free(before);
    free(after);
}
END_TEST

START_TEST(a_rotation_that_a_crash_cut_short_is_finished_at_the_next_start)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    put_text(cache, 1, "x");
    sl_cache_close(cache);
    char *text = sl_test_read_file(place.key_path, NULL);
    char *body = strstr(text, "body 1 ");
    FILE *file = fopen(place.key_path, "w"); /* as after keyring_rotate and before the first row */
    fprintf(file, "%.*sbody 2 %064x\n%s", (int)(body - text), text, 7, body);
    fclose(file);
    free(text);
    cache = open_without_front(&place);
    for (int i = 0; i < 300 && body_keys_in(place.key_path) > 1; i++)
        usleep(10000);
    ck_assert_uint_eq(body_keys_in(place.key_path), 1);
    assert_get(cache, 1, "x");
    sl_cache_close(cache);
}
END_TEST

START_TEST(a_rotation_by_another_process_is_taken_up)
{
    struct cache_place place = new_place();
    struct sl_cache *gateway = open_without_front(&place);
    put_text(gateway, 1, "x");
    flush(gateway);
    struct sl_cache *tool = open_at(&place);
    ck_assert_int_eq(sl_cache_rotate_key(tool, NULL), SL_OK);
    sl_cache_close(tool);
    for (int i = 0; i < 300 && !is_there(gateway, 1); i++)
        usleep(10000);
    assert_get(gateway, 1, "x");
    struct sl_cache *late_tool = open_at(&place);
    ck_assert_int_eq(sl_cache_rotate_key(late_tool, NULL), SL_OK);
    sl_cache_close(late_tool);
    put_text(gateway, 2, "sealed with the key that the tool has just forgotten");
    flush(gateway);
    ck_assert_uint_eq(body_keys_in(place.key_path), 1);
    sl_cache_close(gateway);
    gateway = open_without_front(&place);
    assert_get(gateway, 1, "x");
    assert_get(gateway, 2, "sealed with the key that the tool has just forgotten");
    put_text(gateway, 2, "sealed with the new key");
    sl_cache_close(gateway);
    gateway = open_without_front(&place);
    assert_get(gateway, 1, "x");
    assert_get(gateway, 2, "sealed with the new key");
    sl_cache_close(gateway);
}
END_TEST

static void rotate_beside(const struct cache_place *place)
{
    struct sl_cache *tool = open_at(place);
    struct sl_error error = {0};
    ck_assert_msg(sl_cache_rotate_key(tool, &error) == SL_OK, "%s", error.message);
    sl_cache_close(tool);
}

#define ROTATIONS 20 /* more than a key file has lines for */

START_TEST(a_gateway_takes_up_any_number_of_rotations)
{
    struct cache_place place = new_place();
    struct sl_cache *gateway = open_without_front(&place);
    for (uint64_t i = 0; i < ROTATIONS; i++) {
        put_text(gateway, i, "x");
        flush(gateway);
        rotate_beside(&place);
    }
    put_text(gateway, ROTATIONS, "x");
    flush(gateway);
    struct sl_cache *other = open_without_front(&place);
    for (uint64_t i = 0; i <= ROTATIONS; i++) {
        assert_get(gateway, i, "x");
        assert_get(other, i, "x");
    }
    sl_cache_close(other);
    sl_cache_close(gateway);
}
END_TEST

START_TEST(a_process_may_rotate_as_often_as_it_likes)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_without_front(&place);
    struct sl_error error = {0};
    put_text(cache, 1, "x");
    for (int i = 0; i < ROTATIONS; i++)
        ck_assert_msg(sl_cache_rotate_key(cache, &error) == SL_OK, "%s", error.message);
    assert_get(cache, 1, "x");
    ck_assert_uint_eq(body_keys_in(place.key_path), 1);
    sl_cache_close(cache);
}
END_TEST

START_TEST(nothing_is_sealed_with_a_key_that_another_process_has_forgotten)
{
    struct cache_place place = new_place();
    struct sl_cache *gateway = open_without_front(&place);
    put_text(gateway, 1, "x");
    flush(gateway);
    rotate_beside(&place);
    put_text(gateway, 2, "y"); /* before the gateway had the time to look around */
    flush(gateway);
    struct sl_cache *other = open_without_front(&place);
    assert_get(other, 1, "x");
    assert_get(other, 2, "y");
    sl_cache_close(other);
    sl_cache_close(gateway);
}
END_TEST

START_TEST(a_rotation_of_an_empty_store_is_noticed_too)
{
    struct cache_place place = new_place();
    struct sl_cache *gateway = open_without_front(&place);
    rotate_beside(&place);
    put_text(gateway, 1, "x");
    flush(gateway);
    struct sl_cache *other = open_without_front(&place);
    assert_get(other, 1, "x");
    sl_cache_close(other);
    sl_cache_close(gateway);
}
END_TEST

struct rotator {
    struct sl_cache *cache;
    struct sl_error error;
};

static void *rotate_many(void *arg)
{
    struct rotator *rotator = arg;
    enum sl_err err = SL_OK;
    for (int i = 0; i < ROTATIONS && err == SL_OK; i++)
        err = sl_cache_rotate_key(rotator->cache, &rotator->error);
    return NULL;
}

/* Caches of one process share no state, so that two threads stand for two processes. They are open
 * before it begins: opening gives up soon where others write. */
START_TEST(two_rotations_at_once_lose_nothing_and_leave_one_key)
{
    struct cache_place place = new_place();
    pthread_t threads[2];
    struct sl_cache *gateway = open_without_front(&place);
    struct rotator rotators[2] = {{.cache = open_at(&place)}, {.cache = open_at(&place)}};
    put_text(gateway, 0, "x");
    flush(gateway);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, rotate_many, &rotators[i]), 0);
    for (uint64_t i = 1; i <= ROTATIONS; i++) {
        put_text(gateway, i, "x");
        flush(gateway);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_msg(rotators[i].error.code == SL_OK, "%s", rotators[i].error.message);
        sl_cache_close(rotators[i].cache);
    }
    sl_cache_close(gateway);
    gateway = open_without_front(&place);
    for (uint64_t i = 0; i <= ROTATIONS; i++)
        assert_get(gateway, i, "x");
    ck_assert_uint_eq(body_keys_in(place.key_path), 1);
    sl_cache_close(gateway);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin");
    TCase *tcase = tcase_create("admin");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_condition_of_a_purge_takes_its_entries_only);
    tcase_add_test(tcase, entries_die_with_the_model_template_or_policy_they_came_from);
    tcase_add_test(tcase, a_purge_sees_puts_that_are_not_committed_yet);
    tcase_add_test(tcase, a_purge_by_another_process_reaches_the_memory_too);
    tcase_add_test(tcase, a_purge_gives_the_disk_its_room_back);
    tcase_add_test(tcase, an_export_shows_cloud_pairs_oldest_first_and_can_be_ended);
    tcase_add_test(tcase, after_a_rotation_every_answer_opens_under_the_new_key_alone);
    tcase_add_test(tcase, a_rotation_that_a_crash_cut_short_is_finished_at_the_next_start);
    tcase_add_test(tcase, a_rotation_by_another_process_is_taken_up);
    tcase_add_test(tcase, a_gateway_takes_up_any_number_of_rotations);
    tcase_add_test(tcase, a_process_may_rotate_as_often_as_it_likes);
    tcase_add_test(tcase, nothing_is_sealed_with_a_key_that_another_process_has_forgotten);
    tcase_add_test(tcase, a_rotation_of_an_empty_store_is_noticed_too);
    tcase_add_test(tcase, two_rotations_at_once_lose_nothing_and_leave_one_key);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
