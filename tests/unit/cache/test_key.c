/* SPDX-License-Identifier: Apache-2.0 */
#include "cache_test.h"

#include <jansson.h>

static struct sl_cache_key json_key(struct sl_cache *cache, const char *text)
{
    struct sl_cache_key_builder builder;
    struct sl_cache_key key;
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    ck_assert_msg(value != NULL, "the test's JSON is broken: %s", text);
    sl_cache_key_start(&builder, cache);
    ck_assert_int_eq(sl_cache_key_add_json(&builder, 7, value), SL_OK);
    sl_cache_key_finish(&builder, SL_CACHE_LOCAL, &key);
    json_decref(value);
    return key;
}

static bool same_key(struct sl_cache_key a, struct sl_cache_key b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

START_TEST(order_of_members_and_white_space_do_not_count)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    struct sl_cache_key key = json_key(cache, "{\"a\":[1,{\"x\":true,\"y\":null}],\"b\":\"t\"}");
    ck_assert(
        same_key(key, json_key(cache, "{ \"b\" : \"t\",\n\"a\":[1.0, {\"y\":null,\"x\":true}]}")));
    sl_cache_close(cache);
}
END_TEST

START_TEST(any_other_change_of_a_value_is_another_key)
{
    static const char *const mutations[] = {"{\"a\":[1,{\"x\":true,\"y\":null}],\"b\":\"T\"}",
                                            "{\"a\":[1,{\"x\":true,\"y\":null}]}",
                                            "{\"a\":[{\"x\":true,\"y\":null},1],\"b\":\"t\"}",
                                            "{\"a\":[1,{\"x\":false,\"y\":null}],\"b\":\"t\"}",
                                            "{\"a\":[1,{\"x\":true,\"y\":0}],\"b\":\"t\"}",
                                            "{\"a\":[1.5,{\"x\":true,\"y\":null}],\"b\":\"t\"}",
                                            "{\"a\":[\"1\",{\"x\":true,\"y\":null}],\"b\":\"t\"}",
                                            "{\"a\":[1,[\"x\",true]],\"b\":\"t\"}",
                                            "{\"a\":[1,{\"x\":true}],\"y\":null,\"b\":\"t\"}",
                                            "{\"a\":[-1,{\"x\":true,\"y\":null}],\"b\":\"t\"}",
                                            "{\"a\":[1,{\"x\":true,\"y\":null}],\"c\":\"t\"}",
                                            "[]",
                                            "{}",
                                            "null",
                                            "0",
                                            "\"\"",
                                            "false"};
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    size_t count = sizeof mutations / sizeof mutations[0];
    struct sl_cache_key keys[32];
    keys[0] = json_key(cache, "{\"a\":[1,{\"x\":true,\"y\":null}],\"b\":\"t\"}");
    for (size_t i = 0; i < count; i++) {
        keys[i + 1] = json_key(cache, mutations[i]);
        for (size_t k = 0; k <= i; k++)
            ck_assert_msg(!same_key(keys[k], keys[i + 1]), "mutations %zu and %zu agree", k, i + 1);
    }
    sl_cache_close(cache);
}
END_TEST

START_TEST(fields_can_not_flow_into_each_other)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    struct sl_cache_key keys[5];
    struct sl_cache_key_builder builder;
    static const char *const split[4][2] = {{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}};
    for (int i = 0; i < 4; i++) {
        sl_cache_key_start(&builder, cache);
        sl_cache_key_add(&builder, 1, sl_slice_of(split[i][0]));
        sl_cache_key_add(&builder, 2, sl_slice_of(split[i][1]));
        sl_cache_key_finish(&builder, SL_CACHE_LOCAL, &keys[i]);
    }
    sl_cache_key_start(&builder, cache);
    sl_cache_key_add(&builder, 2, SL_SLICE("ab"));
    sl_cache_key_add(&builder, 1, SL_SLICE("c"));
    sl_cache_key_finish(&builder, SL_CACHE_LOCAL, &keys[4]);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < i; k++)
            ck_assert(!same_key(keys[i], keys[k]));
    sl_cache_close(cache);
}
END_TEST

START_TEST(the_kinds_have_different_keys_and_finishing_changes_nothing)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    struct sl_cache_key_builder builder;
    struct sl_cache_key local;
    struct sl_cache_key cloud;
    struct sl_cache_key again;
    sl_cache_key_start(&builder, cache);
    sl_cache_key_add(&builder, 1, SL_SLICE("what is the time"));
    sl_cache_key_finish(&builder, SL_CACHE_LOCAL, &local);
    sl_cache_key_finish(&builder, SL_CACHE_CLOUD, &cloud);
    sl_cache_key_finish(&builder, SL_CACHE_LOCAL, &again);
    ck_assert(!same_key(local, cloud));
    ck_assert(same_key(local, again));
    sl_cache_close(cache);
}
END_TEST

START_TEST(boxes_with_one_key_file_build_the_same_keys_and_others_do_not)
{
    struct cache_place place = new_place();
    struct cache_place other = new_place();
    struct sl_cache *cache = open_at(&place);
    struct sl_cache_key first = key_of(cache, 1);
    sl_cache_close(cache);
    cache = open_at(&place);
    ck_assert(same_key(first, key_of(cache, 1)));
    sl_cache_close(cache);
    cache = open_at(&other);
    ck_assert(!same_key(first, key_of(cache, 1)));
    sl_cache_close(cache);
}
END_TEST

START_TEST(numbers_have_one_form)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    ck_assert(same_key(json_key(cache, "[0.0, -0.0, 1e2]"), json_key(cache, "[0, 0, 100]")));
    ck_assert(!same_key(json_key(cache, "9007199254740993"), json_key(cache, "9007199254740992")));
    ck_assert(!same_key(json_key(cache, "1e300"), json_key(cache, "1e299")));
    struct sl_cache_key_builder plus;
    struct sl_cache_key_builder minus;
    struct sl_cache_key plus_key;
    struct sl_cache_key minus_key;
    sl_cache_key_start(&plus, cache);
    minus = plus;
    sl_cache_key_add_double(&plus, 1, 0.0);
    sl_cache_key_add_double(&minus, 1, -0.0);
    sl_cache_key_finish(&plus, SL_CACHE_LOCAL, &plus_key);
    sl_cache_key_finish(&minus, SL_CACHE_LOCAL, &minus_key);
    ck_assert(same_key(plus_key, minus_key));
    sl_cache_close(cache);
}
END_TEST

START_TEST(what_is_nested_too_deep_or_too_wide_is_refused)
{
    struct cache_place place = new_place();
    struct sl_cache *cache = open_at(&place);
    struct sl_cache_key_builder builder;
    json_t *deep = json_array();
    for (int i = 0; i < 70; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    json_t *wide = json_object();
    for (int i = 0; i < 257; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%d", i);
        json_object_set_new(wide, name, json_null());
    }
    sl_cache_key_start(&builder, cache);
    ck_assert_int_eq(sl_cache_key_add_json(&builder, 1, deep), SL_ERR_LIMIT);
    ck_assert_int_eq(sl_cache_key_add_json(&builder, 1, wide), SL_ERR_LIMIT);
    json_object_del(wide, "k0");
    ck_assert_int_eq(sl_cache_key_add_json(&builder, 1, wide), SL_OK);
    json_decref(deep);
    json_decref(wide);
    sl_cache_close(cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key");
    TCase *tcase = tcase_create("key");
    tcase_add_test(tcase, order_of_members_and_white_space_do_not_count);
    tcase_add_test(tcase, any_other_change_of_a_value_is_another_key);
    tcase_add_test(tcase, fields_can_not_flow_into_each_other);
    tcase_add_test(tcase, the_kinds_have_different_keys_and_finishing_changes_nothing);
    tcase_add_test(tcase, boxes_with_one_key_file_build_the_same_keys_and_others_do_not);
    tcase_add_test(tcase, numbers_have_one_form);
    tcase_add_test(tcase, what_is_nested_too_deep_or_too_wide_is_refused);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
