/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON with comments, and the positions that messages are made of.
 */
#include "json_source.h"

#include "test_support.h"

#include <stdlib.h>

static struct sl_json_source *parse(const char *text)
{
    struct sl_json_source *source;
    struct sl_error error = {0};
    ck_assert_msg(sl_json_source_parse("f.json", sl_slice_of(text), &source, &error) == SL_OK,
                  "%s", error.message);
    return source;
}

static void refuses(const char *text, const char *message)
{
    struct sl_json_source *source;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_json_source_parse("f.json", sl_slice_of(text), &source, &error),
                     SL_ERR_JSON);
    ck_assert_ptr_null(source);
    ck_assert_msg(strstr(error.message, message) != NULL, "\"%s\" lacks \"%s\"", error.message,
                  message);
}

START_TEST(comments_and_trailing_commas_are_read_over)
{
    struct sl_json_source *source =
        parse("// first\n{ /* in */ \"a\": [1, 2,], // end\n \"b\": {\"c\": null,},\n}\n// last");
    const struct sl_json_node *root = sl_json_source_root(source);
    json_t *wanted = json_pack("{s:[i,i], s:{s:n}}", "a", 1, 2, "b", "c");
    ck_assert(json_equal(root->value, wanted));
    json_decref(wanted);
    sl_json_source_free(source);
}
END_TEST

START_TEST(every_value_knows_its_line_and_column)
{
    struct sl_json_source *source = parse("{\n  \"a\": true,\n\t\"list\": [1,\n   {\"x\": true}]\n}");
    const struct sl_json_node *root = sl_json_source_root(source);
    const struct sl_json_node *a = sl_json_member(source, root, "a");
    const struct sl_json_node *list = sl_json_member(source, root, "list");
    const struct sl_json_node *second = sl_json_next(source, sl_json_first(source, list));
    const struct sl_json_node *x = sl_json_member(source, second, "x");
    ck_assert_uint_eq(a->line, 2);
    ck_assert_uint_eq(a->column, 8);
    ck_assert_uint_eq(a->key_column, 3);
    ck_assert_uint_eq(list->line, 3);
    ck_assert_uint_eq(list->column, 10);
    ck_assert_uint_eq(second->line, 4);
    ck_assert_uint_eq(second->column, 4);
    ck_assert_uint_eq(x->column, 10); /* though jansson has one `true` for both */
    sl_json_source_free(source);
}
END_TEST

START_TEST(a_path_names_indexes_and_quotes_unusual_names)
{
    struct sl_json_source *source = parse("{\"m\": {\"gpt-4.1\": [0, {\"x-y\": 1}]}}");
    const struct sl_json_node *node = sl_json_source_root(source);
    char path[96];
    sl_json_path(source, node, path, sizeof path);
    ck_assert_str_eq(path, "");
    node = sl_json_member(source, sl_json_member(source, node, "m"), "gpt-4.1");
    node = sl_json_member(source, sl_json_next(source, sl_json_first(source, node)), "x-y");
    sl_json_path(source, node, path, sizeof path);
    ck_assert_str_eq(path, "m[\"gpt-4.1\"][1].x-y");
    char short_path[5];
    sl_json_path(source, node, short_path, sizeof short_path);
    ck_assert_str_eq(short_path, "m[\"g");
    sl_json_source_free(source);
}
END_TEST

START_TEST(a_failure_names_file_line_column_and_field)
{
    struct sl_json_source *source = parse("{\n \"routes\": [{\"threshold\": \"high\"}]}");
    const struct sl_json_node *list =
        sl_json_member(source, sl_json_source_root(source), "routes");
    const struct sl_json_node *node =
        sl_json_member(source, sl_json_first(source, list), "threshold");
    struct sl_error error = {0};
    char found[32];
    sl_json_describe(node, found, sizeof found);
    ck_assert_int_eq(sl_json_fail(source, node, &error, "expected a number, found %s", found),
                     SL_ERR_INVALID);
    ck_assert_str_eq(error.message,
                     "f.json:2:27: routes[0].threshold: expected a number, found \"high\"");
    ck_assert_str_eq(error.param, "routes[0].threshold");
    sl_json_source_free(source);
}
END_TEST

START_TEST(broken_texts_are_refused_where_they_break)
{
    refuses("", "f.json:1:1: expected a value, found the end of the file");
    refuses("{\"a\": 1 \"b\": 2}", "f.json:1:9: expected ',' or '}'");
    refuses("{\"a\" 1}", "f.json:1:6: expected ':'");
    refuses("[1,,2]", "f.json:1:4: expected a value, found ','");
    refuses("[1\n\n 2]", "f.json:3:2: expected ',' or ']'");
    refuses("{\"a\":1,\n \"a\":2}", "f.json:2:2: \"a\" is given twice");
    refuses("/* x", "f.json:1:1: this comment has no end");
    refuses("\"a\nb\"", "expected a closing quote");
    refuses("\"\\q\"", "after a backslash");
    refuses("\"\\u0000\"", "other than NUL");
    refuses("\"\\ud800x\"", "half a pair");
    refuses("\"\xff\"", "valid UTF-8");
    refuses("01", "expected a number");
    refuses("1.", "expected a number");
    refuses("1e999", "a number that fits");
    refuses("99999999999999999999", "a number that fits");
    refuses("nul", "expected a value");
    refuses("1 2", "the end of the file after the value");
    refuses("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "32 levels");
}
END_TEST

START_TEST(escapes_and_numbers_have_their_values)
{
    struct sl_json_source *source =
        parse("[\"a\\n\\u00e9\\ud83d\\ude00\\/\", -12, 0, 1.5e2, \"\", 9223372036854775807]");
    json_t *wanted = json_pack("[s, i, i, f, s, I]", "a\n\xc3\xa9\xf0\x9f\x98\x80/", -12, 0, 150.0,
                               "", (json_int_t)INT64_MAX);
    ck_assert(json_equal(sl_json_source_root(source)->value, wanted));
    json_decref(wanted);
    sl_json_source_free(source);
}
END_TEST

START_TEST(a_byte_order_mark_does_not_move_columns)
{
    struct sl_json_source *source = parse("\xef\xbb\xbf{\"a\": 1}");
    ck_assert_uint_eq(sl_json_source_root(source)->column, 1);
    sl_json_source_free(source);
}
END_TEST

START_TEST(a_text_over_the_cap_is_refused)
{
    struct sl_json_source *source;
    struct sl_error error = {0};
    char *big = malloc(SL_JSON_SOURCE_BYTES_MAX + 1);
    memset(big, ' ', SL_JSON_SOURCE_BYTES_MAX + 1);
    struct sl_slice text = {big, SL_JSON_SOURCE_BYTES_MAX + 1};
    ck_assert_int_eq(sl_json_source_parse("f.json", text, &source, &error), SL_ERR_LIMIT);
    free(big);
}
END_TEST

START_TEST(a_missing_file_is_an_error_with_its_name)
{
    struct sl_json_source *source;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_json_source_load("/nonexistent/p.json", &source, &error), SL_ERR_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "/nonexistent/p.json: "));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_source");
    TCase *tcase = tcase_create("json_source");
    tcase_add_test(tcase, comments_and_trailing_commas_are_read_over);
    tcase_add_test(tcase, every_value_knows_its_line_and_column);
    tcase_add_test(tcase, a_path_names_indexes_and_quotes_unusual_names);
    tcase_add_test(tcase, a_failure_names_file_line_column_and_field);
    tcase_add_test(tcase, broken_texts_are_refused_where_they_break);
    tcase_add_test(tcase, escapes_and_numbers_have_their_values);
    tcase_add_test(tcase, a_byte_order_mark_does_not_move_columns);
    tcase_add_test(tcase, a_text_over_the_cap_is_refused);
    tcase_add_test(tcase, a_missing_file_is_an_error_with_its_name);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
