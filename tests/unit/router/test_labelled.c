/* SPDX-License-Identifier: Apache-2.0
 *
 * Labelled rows: which belong to a part, and which answers are right.
 */
#include "labelled.h"

#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>

static const char *file_with(const char *name, const char *text)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", sl_test_scratch(), name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    return path;
}

static size_t rows_of(const char *path, const char *split)
{
    struct sl_labelled set;
    struct sl_error error = {0};
    ck_assert_msg(sl_labelled_read(path, split, 0, &set, &error) == SL_OK, "%s", error.message);
    size_t count = set.count;
    sl_labelled_clear(&set);
    return count;
}

START_TEST(parts_are_those_of_the_file_or_made)
{
    char text[20000] = "";
    const char *path = file_with("named.jsonl", "{\"text\":\"a\",\"split\":\"train\"}\n"
                                                "{\"text\":\"b\",\"split\":\"val\"}\n"
                                                "\n{\"text\":\"c\",\"split\":\"test\"}\n");
    ck_assert_uint_eq(rows_of(path, "train"), 1);
    ck_assert_uint_eq(rows_of(path, "val"), 1);
    ck_assert_uint_eq(rows_of(path, "held"), 1);
    ck_assert_uint_eq(rows_of(path, ""), 3);
    path = file_with("test.jsonl", "{\"text\":\"c\",\"split\":\"test\"}\n");
    ck_assert_uint_eq(rows_of(path, "held"), 1);
    ck_assert_uint_eq(rows_of(path, "train"), 0);
    for (int i = 0; i < 200; i++)
        snprintf(text + strlen(text), 80, "{\"id\":\"snips-train-%d\",\"text\":\"t\",\"split\":\"train\"}\n",
                 i);
    path = file_with("train.jsonl", text);
    size_t val = rows_of(path, "val");
    ck_assert_uint_eq(val + rows_of(path, "train"), 200);
    ck_assert_uint_gt(val, 5);
    ck_assert_uint_lt(val, 45);
    text[0] = '\0';
    for (int i = 0; i < 200; i++)
        snprintf(text + strlen(text), 80, "{\"id\":\"%d\",\"text\":\"t\"}\n", i);
    path = file_with("none.jsonl", text);
    val = rows_of(path, "val");
    ck_assert_uint_eq(val + rows_of(path, "train"), 200);
    ck_assert_uint_gt(val, 60);
    ck_assert_uint_eq(rows_of(path, "held"), 200);
}
END_TEST

START_TEST(broken_lines_are_named_and_their_text_is_not)
{
    struct sl_labelled set;
    struct sl_error error = {0};
    const char *path = file_with("x.jsonl", "{\"text\":\"a\"}\n{\"text\": secret}\n");
    ck_assert_int_eq(sl_labelled_read(path, "", 0, &set, &error), SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "x.jsonl:2: expected one JSON object"));
    ck_assert_ptr_null(strstr(error.message, "secret"));
    path = file_with("y.jsonl", "{\"label\":\"a\"}\n");
    ck_assert_int_eq(sl_labelled_read(path, "", 0, &set, &error), SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "y.jsonl:1: expected \"text\""));
    ck_assert_int_eq(sl_labelled_read("/nonexistent", "", 0, &set, &error), SL_ERR_IO);
}
END_TEST

static void judge(const char *row, const char *answer, bool wanted)
{
    struct sl_labelled set;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_labelled_read(file_with("r.jsonl", row), "", 0, &set, &error), SL_OK);
    ck_assert_msg(sl_labelled_is_right(&set.rows[0], sl_slice_of(answer)) == wanted, "%s / %s", row,
                  answer);
    sl_labelled_clear(&set);
}

START_TEST(answers_are_judged_by_what_the_row_wants)
{
    judge("{\"task\":\"intent\",\"text\":\"t\",\"label\":\"a_b\"}",
          "{\"intent\":\"a_b\",\"slots\":{\"x\":\"y\"}}", true);
    judge("{\"task\":\"intent\",\"text\":\"t\",\"label\":\"a_b\"}", "{\"intent\":\"a\"}", false);
    judge("{\"text\":\"t\",\"label\":\"a_b\"}", " a_b.\n", true);
    judge("{\"task\":\"intent\",\"text\":\"t\",\"label\":\"oos\",\"oos\":true}",
          "{\"intent\":\"oos\"}", false); /* nothing is right */
    judge("{\"task\":\"escalate\",\"text\":\"t\",\"answer\":\"72\"}", "72", false);
    judge("{\"text\":\"t\",\"answer\":\"72\",\"escalate\":true}", "72", false);
    judge("{\"task\":\"sentiment\",\"text\":\"t\",\"label\":\"positive\"}",
          "{\"sentiment\":\"positive\"}", true);
    judge("{\"text\":\"t\",\"answers\":[\"New York\",\"NYC\"]}", "new  york", true);
    judge("{\"text\":\"t\",\"answers\":[\"New York\",\"NYC\"]}", "newyork", false);
    judge("{\"text\":\"t\",\"answer\":{\"a\":[1,2]}}", "{ \"a\": [1, 2] }", true);
    judge("{\"text\":\"t\",\"answer\":{\"a\":[1,2]}}", "{\"a\": [2, 1]}", false);
    judge("{\"text\":\"t\"}", "", false);
    judge("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
          "\"u\"}],\"answer\":\"x\"}", "X", true);
}
END_TEST

START_TEST(slots_are_counted_by_name_and_exact_value)
{
    struct sl_labelled set;
    struct sl_error error = {0};
    size_t counts[3] = {0};
    const char *path = file_with(
        "s.jsonl", "{\"task\":\"intent\",\"text\":\"t\",\"label\":\"a\",\"slots\":[{\"slot\":\"city\","
                   "\"value\":\"Paris\"},{\"slot\":\"time\",\"value\":\"noon\"}]}\n");
    ck_assert_int_eq(sl_labelled_read(path, "", 0, &set, &error), SL_OK);
    sl_labelled_count_slots(&set.rows[0],
                            SL_SLICE("{\"slots\":{\"city\":\"paris\",\"time\":\"one\",\"x\":\"y\"}}"),
                            counts);
    ck_assert_uint_eq(counts[0], 1);
    ck_assert_uint_eq(counts[1], 2);
    ck_assert_uint_eq(counts[2], 1);
    sl_labelled_count_slots(&set.rows[0], SL_SLICE("nonsense"), counts);
    ck_assert_uint_eq(counts[2], 3);
    sl_labelled_clear(&set);
}
END_TEST

START_TEST(labels_are_sorted_once_each_and_make_a_schema)
{
    struct sl_labelled set;
    struct sl_error error = {0};
    const char *path = file_with("l.jsonl", "{\"text\":\"1\",\"label\":\"b\"}\n"
                                            "{\"text\":\"2\",\"label\":\"a\"}\n"
                                            "{\"text\":\"3\",\"label\":\"b\"}\n"
                                            "{\"text\":\"4\",\"label\":\"oos\",\"oos\":true}\n");
    ck_assert_int_eq(sl_labelled_read(path, "", 0, &set, &error), SL_OK);
    ck_assert_uint_eq(set.label_count, 2);
    ck_assert_str_eq(set.labels[0], "a");
    ck_assert_uint_eq(set.rows[0].label_idx, 1);
    ck_assert_uint_eq(set.rows[3].label_idx, UINT32_MAX);
    json_t *schema = sl_labelled_schema(&set, SL_TASK_INTENT);
    json_t *labels = json_object_get(
        json_object_get(json_object_get(schema, "properties"), "intent"), "enum");
    ck_assert_uint_eq(json_array_size(labels), 2);
    json_decref(schema);
    ck_assert_ptr_null(sl_labelled_schema(&set, SL_TASK_ANSWER));
    json_t *messages = sl_labelled_messages(&set.rows[0]);
    ck_assert_uint_eq(json_array_size(messages), 1);
    json_decref(messages);
    sl_labelled_clear(&set);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("labelled");
    TCase *tcase = tcase_create("labelled");
    tcase_add_test(tcase, parts_are_those_of_the_file_or_made);
    tcase_add_test(tcase, broken_lines_are_named_and_their_text_is_not);
    tcase_add_test(tcase, answers_are_judged_by_what_the_row_wants);
    tcase_add_test(tcase, slots_are_counted_by_name_and_exact_value);
    tcase_add_test(tcase, labels_are_sorted_once_each_and_make_a_schema);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
