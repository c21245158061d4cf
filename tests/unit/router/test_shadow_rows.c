/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of shadow mode: sealed on the disk, read as labelled rows, useless without their key.
 */
#include "shadow_rows.h"

#include "labelled.h"
#include "test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[600], key[600];

static void setup(void)
{
    const char *folder = sl_test_scratch();
    snprintf(path, sizeof path, "%s/shadow.jsonl", folder);
    snprintf(key, sizeof key, "%s/shadow.key", folder);
    unlink(path);
    unlink(key);
}

static enum sl_err append(struct sl_shadow_rows *rows, const char *text, json_t *answer)
{
    struct sl_error error = {0};
    json_t *row = json_pack("{s:[{s:s, s:s}], s:o}", "messages", "role", "user", "content", text,
                            "answer", answer);
    enum sl_err err = sl_shadow_rows_append(rows, row, &error);
    json_decref(row);
    return err;
}

static void write_two(void)
{
    struct sl_shadow_rows *rows = sl_shadow_rows_create(path);
    ck_assert_int_eq(append(rows, "first question", json_string("Plain.")), SL_OK);
    sl_shadow_rows_free(rows);
    rows = sl_shadow_rows_create(path); /* another run of the gateway */
    ck_assert_int_eq(append(rows, "second question", json_pack("{s:i}", "n", 1)), SL_OK);
    sl_shadow_rows_free(rows);
}

START_TEST(rows_come_back_as_labelled_rows)
{
    struct sl_labelled set;
    struct sl_error error = {0};
    write_two();
    ck_assert_msg(sl_labelled_read(path, "", 0, &set, &error) == SL_OK, "%s", error.message);
    ck_assert_uint_eq(set.count, 2);
    ck_assert(sl_slice_equal_text(set.rows[0].text, "first question"));
    ck_assert(sl_labelled_is_right(&set.rows[0], SL_SLICE("plain")));
    ck_assert(!sl_labelled_is_right(&set.rows[0], SL_SLICE("other")));
    ck_assert(sl_labelled_is_right(&set.rows[1], SL_SLICE("{ \"n\": 1 }")));
    sl_labelled_clear(&set);
}
END_TEST

START_TEST(the_file_says_nothing_by_itself)
{
    struct stat about;
    write_two();
    char *text = sl_test_read_file(path, NULL);
    ck_assert_ptr_null(strstr(text, "question"));
    ck_assert_ptr_null(strstr(text, "7175657374696f6e")); /* the same in hex */
    free(text);
    ck_assert_int_eq(stat(path, &about), 0);
    ck_assert_int_eq(about.st_mode & 0777, 0600);
    ck_assert_int_eq(stat(key, &about), 0);
    ck_assert_int_eq(about.st_mode & 0777, 0600);
}
END_TEST

static void check_unreadable(void)
{
    struct sl_labelled set;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_labelled_read(path, "", 0, &set, &error), SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "shadow.key"));
}

START_TEST(without_the_key_or_changed_by_a_bit_a_row_is_refused)
{
    size_t len;
    write_two();
    char *text = sl_test_read_file(path, &len);
    text[40] = text[40] == '0' ? '1' : '0';
    FILE *out = fopen(path, "w");
    ck_assert_uint_eq(fwrite(text, 1, len, out), len);
    fclose(out);
    free(text);
    check_unreadable();
    setup();
    write_two();
    unlink(key);
    check_unreadable();
}
END_TEST

START_TEST(a_key_file_that_is_none_is_an_error_and_is_kept)
{
    FILE *out = fopen(key, "w");
    fputs("not a key\n", out);
    fclose(out);
    chmod(key, 0600);
    struct sl_shadow_rows *rows = sl_shadow_rows_create(path);
    ck_assert_int_eq(append(rows, "question", json_string("x")), SL_ERR_INTEGRITY);
    ck_assert_int_ne(access(path, F_OK), 0);
    sl_shadow_rows_free(rows);
}
END_TEST

START_TEST(a_row_longer_than_readers_take_is_refused)
{
    char *text = malloc(SL_LABELLED_LINE_MAX);
    memset(text, 'x', SL_LABELLED_LINE_MAX);
    text[SL_LABELLED_LINE_MAX / 2] = '\0';
    struct sl_shadow_rows *rows = sl_shadow_rows_create(path);
    ck_assert_int_eq(append(rows, text, json_string("x")), SL_ERR_LIMIT);
    text[SL_LABELLED_LINE_MAX / 2 - 1000] = '\0';
    ck_assert_int_eq(append(rows, text, json_string("x")), SL_OK);
    sl_shadow_rows_free(rows);
    struct sl_labelled set;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_labelled_read(path, "", 0, &set, &error), SL_OK);
    ck_assert_uint_eq(set.count, 1);
    sl_labelled_clear(&set);
    free(text);
}
END_TEST

START_TEST(a_full_file_makes_room)
{
    char old[620];
    struct stat about;
    write_two();
    ck_assert_int_eq(truncate(path, SL_SHADOW_FILE_MAX), 0);
    struct sl_shadow_rows *rows = sl_shadow_rows_create(path);
    ck_assert_int_eq(append(rows, "third", json_string("x")), SL_OK);
    sl_shadow_rows_free(rows);
    snprintf(old, sizeof old, "%s.old", path);
    ck_assert_int_eq(stat(old, &about), 0);
    ck_assert_int_eq(stat(path, &about), 0);
    ck_assert_int_lt(about.st_size, 4096);
    unlink(old);
}
END_TEST

static void check_texts(const char *const *texts, size_t count)
{
    struct sl_labelled set;
    struct sl_error error = {0};
    ck_assert_msg(sl_labelled_read(path, "", 0, &set, &error) == SL_OK, "%s", error.message);
    ck_assert_uint_eq(set.count, count);
    for (size_t i = 0; i < count; i++)
        ck_assert(sl_slice_equal_text(set.rows[i].text, texts[i]));
    sl_labelled_clear(&set);
}

static off_t size_of_file(void)
{
    struct stat about;
    ck_assert_int_eq(stat(path, &about), 0);
    return about.st_size;
}

START_TEST(a_line_that_a_crash_cut_does_not_spoil_the_rows_after_it)
{
    const char *const texts[] = {"first question", "third question"};
    write_two();
    ck_assert_int_eq(truncate(path, size_of_file() - 10), 0);
    struct sl_shadow_rows *rows = sl_shadow_rows_create(path);
    ck_assert_int_eq(append(rows, "third question", json_string("x")), SL_OK);
    sl_shadow_rows_free(rows);
    check_texts(texts, 2);
}
END_TEST

static void *append_many(void *arg)
{
    struct sl_shadow_rows *rows = sl_shadow_rows_create(path);
    enum sl_err err = SL_OK;
    for (int i = 0; i < 50 && err == SL_OK; i++)
        err = append(rows, arg, json_string("x"));
    sl_shadow_rows_free(rows);
    return err == SL_OK ? arg : NULL;
}

START_TEST(two_gateways_on_one_folder_do_not_write_over_each_other)
{
    struct sl_labelled set;
    struct sl_error error = {0};
    pthread_t threads[2];
    void *result;
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, append_many, i == 0 ? "one" : "two"), 0);
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(threads[i], &result), 0);
        ck_assert_ptr_nonnull(result);
    }
    ck_assert_msg(sl_labelled_read(path, "", 0, &set, &error) == SL_OK, "%s", error.message);
    ck_assert_uint_eq(set.count, 100);
    sl_labelled_clear(&set);
}
END_TEST

START_TEST(a_row_that_a_full_disk_cut_leaves_nothing_behind)
{
    const char *const texts[] = {"first question", "second question", "third question"};
    write_two();
    off_t size = size_of_file();
    struct sl_shadow_rows *rows = sl_shadow_rows_create(path);
    sl_test_limit_files((size_t)size + 50);
    enum sl_err err = append(rows, "lost question", json_string("x"));
    sl_test_limit_files(SIZE_MAX);
    ck_assert_int_eq(err, SL_ERR_IO);
    ck_assert_int_eq(size_of_file(), size);
    ck_assert_int_eq(append(rows, "third question", json_string("x")), SL_OK);
    sl_shadow_rows_free(rows);
    check_texts(texts, 3);
}
END_TEST

START_TEST(a_key_that_cannot_be_written_whole_is_not_there_at_all)
{
    struct sl_shadow_rows *rows = sl_shadow_rows_create(path);
    sl_test_limit_files(10);
    enum sl_err err = append(rows, "lost question", json_string("x"));
    sl_test_limit_files(SIZE_MAX);
    ck_assert_int_eq(err, SL_ERR_IO);
    ck_assert_int_ne(access(key, F_OK), 0);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(append(rows, "first question", json_string("x")), SL_OK);
    sl_shadow_rows_free(rows);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shadow_rows");
    TCase *tcase = tcase_create("shadow_rows");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, rows_come_back_as_labelled_rows);
    tcase_add_test(tcase, the_file_says_nothing_by_itself);
    tcase_add_test(tcase, without_the_key_or_changed_by_a_bit_a_row_is_refused);
    tcase_add_test(tcase, a_key_file_that_is_none_is_an_error_and_is_kept);
    tcase_add_test(tcase, a_row_longer_than_readers_take_is_refused);
    tcase_add_test(tcase, a_full_file_makes_room);
    tcase_add_test(tcase, a_line_that_a_crash_cut_does_not_spoil_the_rows_after_it);
    tcase_add_test(tcase, two_gateways_on_one_folder_do_not_write_over_each_other);
    tcase_add_test(tcase, a_row_that_a_full_disk_cut_leaves_nothing_behind);
    tcase_add_test(tcase, a_key_that_cannot_be_written_whole_is_not_there_at_all);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
