/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include "rate_limit.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sl_error error;
static char path[512];

static void setup(void) { snprintf(path, sizeof path, "%s/keys.json", sl_test_scratch()); }

static struct sl_keys *open_keys(void)
{
    struct sl_keys *keys = NULL;
    ck_assert_msg(sl_keys_open(path, &keys, &error) == SL_OK, "%s", error.message);
    return keys;
}

static void add(struct sl_keys *keys, const char *name, char text[SL_KEY_TEXT_BYTES])
{
    struct sl_key_terms terms = {.requests_per_minute = 3};
    snprintf(terms.name, sizeof terms.name, "%s", name);
    ck_assert_msg(sl_keys_add(keys, &terms, text, &error) == SL_OK, "%s", error.message);
}

START_TEST(a_new_key_is_found_and_its_text_is_stored_nowhere)
{
    struct sl_keys *keys = open_keys();
    char text[SL_KEY_TEXT_BYTES];
    struct sl_key_terms terms;
    ck_assert_uint_eq(sl_keys_count(keys), 0);
    add(keys, "phone", text);
    ck_assert(sl_keys_find(keys, sl_slice_of(text), &terms));
    ck_assert_str_eq(terms.name, "phone");
    ck_assert_uint_eq(terms.requests_per_minute, 3);
    char *file = sl_test_read_file(path, NULL);
    ck_assert_ptr_null(strstr(file, text));
    ck_assert_ptr_null(strstr(file, text + 10));
    free(file);
    struct stat stamp;
    ck_assert_int_eq(stat(path, &stamp), 0);
    ck_assert_uint_eq(stamp.st_mode & 0777, 0600);
    sl_keys_close(keys);
}
END_TEST

START_TEST(a_key_that_differs_in_one_character_is_not_found)
{
    struct sl_keys *keys = open_keys();
    char text[SL_KEY_TEXT_BYTES];
    struct sl_key_terms terms;
    add(keys, "phone", text);
    text[strlen(text) - 1] ^= 1;
    ck_assert(!sl_keys_find(keys, sl_slice_of(text), &terms));
    ck_assert(!sl_keys_find(keys, (struct sl_slice){text, 0}, &terms));
    sl_keys_close(keys);
}
END_TEST

START_TEST(a_revoked_key_stops_working_in_a_process_that_runs)
{
    struct sl_keys *gateway = open_keys();
    struct sl_keys *tool = open_keys();
    char text[SL_KEY_TEXT_BYTES];
    struct sl_key_terms terms;
    add(tool, "phone", text);
    ck_assert(!sl_keys_find(gateway, sl_slice_of(text), &terms));
    sl_keys_reload_if_changed(gateway);
    ck_assert(sl_keys_find(gateway, sl_slice_of(text), &terms));
    ck_assert_int_eq(sl_keys_revoke(tool, "phone", &error), SL_OK);
    sl_keys_reload_if_changed(gateway);
    ck_assert(!sl_keys_find(gateway, sl_slice_of(text), &terms));
    ck_assert_int_eq(sl_keys_revoke(tool, "phone", &error), SL_ERR_NOT_FOUND);
    sl_keys_close(tool);
    sl_keys_close(gateway);
}
END_TEST

START_TEST(a_name_is_given_once)
{
    struct sl_keys *keys = open_keys();
    char text[SL_KEY_TEXT_BYTES];
    struct sl_key_terms terms = {.name = "phone"};
    add(keys, "phone", text);
    ck_assert_int_eq(sl_keys_add(keys, &terms, text, &error), SL_ERR_INVALID);
    struct sl_key_terms empty = {0};
    ck_assert_int_eq(sl_keys_add(keys, &empty, text, &error), SL_ERR_INVALID);
    struct sl_key_terms broken = {.name = "a\nb"};
    ck_assert_int_eq(sl_keys_add(keys, &broken, text, &error), SL_ERR_INVALID);
    ck_assert_uint_eq(sl_keys_count(keys), 1);
    sl_keys_close(keys);
}
END_TEST

START_TEST(a_file_that_others_may_read_is_refused)
{
    struct sl_keys *keys = open_keys();
    char text[SL_KEY_TEXT_BYTES];
    add(keys, "phone", text);
    sl_keys_close(keys);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(sl_keys_open(path, &keys, &error), SL_ERR_FORBIDDEN);
}
END_TEST

START_TEST(a_broken_file_leaves_the_old_keys_in_force)
{
    struct sl_keys *keys = open_keys();
    char text[SL_KEY_TEXT_BYTES];
    struct sl_key_terms terms;
    add(keys, "phone", text);
    FILE *file = fopen(path, "w");
    fputs("{\"keys\": [{\"id\": 1}]}", file);
    fclose(file);
    sl_keys_reload_if_changed(keys);
    ck_assert(sl_keys_find(keys, sl_slice_of(text), &terms));
    struct sl_keys *fresh;
    ck_assert_int_eq(sl_keys_open(path, &fresh, &error), SL_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(error.message, "keys[0].id"));
    sl_keys_close(keys);
}
END_TEST

/* ---- rate limits: time is a parameter ---- */

#define SECOND 1000000000ull

START_TEST(requests_past_the_limit_wait_for_the_next_token_of_the_bucket)
{
    struct sl_rate_limits *limits = sl_rate_limits_create();
    struct sl_key_terms terms = {.id = "k1", .requests_per_minute = 3};
    struct sl_rate_state state;
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert(sl_rate_limits_take(limits, &terms, SECOND, &state));
        ck_assert_uint_eq(state.requests_remaining, 2 - i);
    }
    ck_assert(!sl_rate_limits_take(limits, &terms, SECOND, &state));
    ck_assert(!state.is_tokens);
    ck_assert_uint_ge(state.retry_after_ms, 19999);
    ck_assert_uint_le(state.retry_after_ms, 20001);
    ck_assert(!sl_rate_limits_take(limits, &terms, 20 * SECOND, &state));
    ck_assert(sl_rate_limits_take(limits, &terms, 22 * SECOND, &state));
    sl_rate_limits_free(limits);
}
END_TEST

START_TEST(tokens_are_charged_afterwards_and_hold_the_next_request_back)
{
    struct sl_rate_limits *limits = sl_rate_limits_create();
    struct sl_key_terms terms = {.id = "k1", .tokens_per_minute = 600};
    struct sl_rate_state state;
    ck_assert(sl_rate_limits_take(limits, &terms, SECOND, &state));
    sl_rate_limits_charge(limits, "k1", 1200, SECOND);
    ck_assert(!sl_rate_limits_take(limits, &terms, SECOND, &state));
    ck_assert(state.is_tokens);
    ck_assert_uint_eq(state.tokens_remaining, 0);
    ck_assert_uint_ge(state.retry_after_ms, 60000);
    ck_assert(sl_rate_limits_take(limits, &terms, 62 * SECOND, &state));
    sl_rate_limits_charge(limits, "unknown", 5, SECOND);
    sl_rate_limits_free(limits);
}
END_TEST

START_TEST(one_key_does_not_spend_anothers_limit)
{
    struct sl_rate_limits *limits = sl_rate_limits_create();
    struct sl_key_terms one = {.id = "k1", .requests_per_minute = 1};
    struct sl_key_terms two = {.id = "k2", .requests_per_minute = 1};
    struct sl_key_terms free_key = {.id = "k3"};
    struct sl_rate_state state;
    ck_assert(sl_rate_limits_take(limits, &one, SECOND, &state));
    ck_assert(!sl_rate_limits_take(limits, &one, SECOND, &state));
    ck_assert(sl_rate_limits_take(limits, &two, SECOND, &state));
    for (int i = 0; i < 100; i++)
        ck_assert(sl_rate_limits_take(limits, &free_key, SECOND, &state));
    ck_assert_uint_eq(state.requests_limit, 0);
    sl_rate_limits_free(limits);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keys");
    TCase *tcase = tcase_create("keys");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_new_key_is_found_and_its_text_is_stored_nowhere);
    tcase_add_test(tcase, a_key_that_differs_in_one_character_is_not_found);
    tcase_add_test(tcase, a_revoked_key_stops_working_in_a_process_that_runs);
    tcase_add_test(tcase, a_name_is_given_once);
    tcase_add_test(tcase, a_file_that_others_may_read_is_refused);
    tcase_add_test(tcase, a_broken_file_leaves_the_old_keys_in_force);
    tcase_add_test(tcase, requests_past_the_limit_wait_for_the_next_token_of_the_bucket);
    tcase_add_test(tcase, tokens_are_charged_afterwards_and_hold_the_next_request_back);
    tcase_add_test(tcase, one_key_does_not_spend_anothers_limit);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
