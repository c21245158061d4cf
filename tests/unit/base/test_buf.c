/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/buf.h"
#include "test_support.h"

#include <stdlib.h>

START_TEST(what_would_pass_the_cap_is_refused_whole)
{
    struct sl_buf buf;
    sl_buf_init(&buf, 8);
    ck_assert_int_eq(sl_buf_append_text(&buf, "12345"), SL_OK);
    ck_assert_int_eq(sl_buf_append_text(&buf, "6789"), SL_ERR_LIMIT);
    ck_assert_int_eq(sl_buf_printf(&buf, "%s", "6789"), SL_ERR_LIMIT);
    ck_assert_int_eq(sl_buf_append_json(&buf, SL_SLICE("67")), SL_ERR_LIMIT);
    ck_assert_str_eq(buf.data, "12345");
    ck_assert_int_eq(sl_buf_append_text(&buf, "678"), SL_OK);
    ck_assert_str_eq(buf.data, "12345678");
    ck_assert_int_eq(sl_buf_reserve(&buf, SIZE_MAX), SL_ERR_LIMIT);
    sl_buf_clear(&buf);
}
END_TEST

START_TEST(text_survives_growing_and_consuming)
{
    struct sl_buf buf;
    sl_buf_init(&buf, 100000);
    for (int i = 0; i < 5000; i++)
        ck_assert_int_eq(sl_buf_printf(&buf, "%d,", i % 10), SL_OK);
    ck_assert_uint_eq(buf.len, 10000);
    for (size_t i = 0; i < buf.len; i += 2)
        ck_assert_int_eq(buf.data[i], (char)('0' + i / 2 % 10));
    sl_buf_consume(&buf, 9998);
    ck_assert_str_eq(buf.data, "9,");
    sl_buf_consume(&buf, 50);
    ck_assert_uint_eq(buf.len, 0);
    sl_buf_clear(&buf);
}
END_TEST

START_TEST(json_strings_are_escaped_and_repaired)
{
    static const struct {
        const char *text;
        size_t len;
        const char *json;
    } rows[] = {
        {"plain", 5, "\"plain\""},
        {"", 0, "\"\""},
        {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
        {"\n\r\t\b\f", 5, "\"\\n\\r\\t\\b\\f\""},
        {"\x01\x1f", 2, "\"\\u0001\\u001f\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\xC3\xA9\xF0\x9F\x98\x80", 6, "\"\xC3\xA9\xF0\x9F\x98\x80\""},
        {"\xFFz", 2, "\"\xEF\xBF\xBDz\""},
        {"cut\xE2\x82", 5, "\"cut\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sl_buf buf;
        sl_buf_init(&buf, 100);
        ck_assert_int_eq(sl_buf_append_json(&buf, (struct sl_slice){rows[i].text, rows[i].len}),
                         SL_OK);
        ck_assert_str_eq(buf.data, rows[i].json);
        sl_buf_clear(&buf);
    }
}
END_TEST

START_TEST(taken_memory_belongs_to_the_caller)
{
    struct sl_buf buf;
    size_t len;
    sl_buf_init(&buf, 100);
    ck_assert_ptr_null(sl_buf_take(&buf, &len));
    ck_assert_int_eq(sl_buf_append_text(&buf, "mine"), SL_OK);
    char *text = sl_buf_take(&buf, &len);
    ck_assert_str_eq(text, "mine");
    ck_assert_uint_eq(len, 4);
    ck_assert_uint_eq(buf.len, 0);
    ck_assert_int_eq(sl_buf_append_text(&buf, "again"), SL_OK);
    ck_assert_str_eq(buf.data, "again");
    free(text);
    sl_buf_clear(&buf);
}
END_TEST

START_TEST(clearing_and_wiping_accept_nothing)
{
    struct sl_buf zeroed = {0};
    sl_buf_clear(NULL);
    sl_buf_wipe(NULL);
    sl_buf_wipe(&zeroed);
    sl_buf_reset(&zeroed);
    ck_assert_uint_eq(zeroed.len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buf");
    TCase *tcase = tcase_create("buf");
    tcase_add_test(tcase, what_would_pass_the_cap_is_refused_whole);
    tcase_add_test(tcase, text_survives_growing_and_consuming);
    tcase_add_test(tcase, json_strings_are_escaped_and_repaired);
    tcase_add_test(tcase, taken_memory_belongs_to_the_caller);
    tcase_add_test(tcase, clearing_and_wiping_accept_nothing);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
