/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/file.h"
#include "test_support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;
static char path[512];

static void setup(void)
{
    folder = sl_test_scratch();
    snprintf(path, sizeof path, "%s/table", folder);
}

static void check_holds(const char *wanted)
{
    struct stat about;
    char *text = sl_test_read_file(path, NULL);
    ck_assert_str_eq(text, wanted);
    free(text);
    ck_assert_int_eq(stat(path, &about), 0);
    ck_assert_int_eq(about.st_mode & 0777, 0600);
}

/* Nothing but `count` files that were asked for. */
static void check_file_count(int count)
{
    DIR *entries = opendir(folder);
    int found = 0;
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
        found += entry->d_name[0] != '.';
    closedir(entries);
    ck_assert_int_eq(found, count);
}

START_TEST(a_file_is_made_and_replaced)
{
    struct sl_error error = {0};
    ck_assert_int_eq(sl_file_replace(path, SL_SLICE("first"), &error), SL_OK);
    check_holds("first");
    ck_assert_int_eq(sl_file_replace(path, SL_SLICE("2"), &error), SL_OK);
    check_holds("2");
    check_file_count(1);
}
END_TEST

START_TEST(a_file_that_is_there_is_not_made_again)
{
    struct sl_error error = {0};
    ck_assert_int_eq(sl_file_create(path, SL_SLICE("first"), &error), SL_OK);
    ck_assert_int_eq(sl_file_create(path, SL_SLICE("second"), &error), SL_ERR_CONFLICT);
    check_holds("first");
    check_file_count(1);
}
END_TEST

START_TEST(an_empty_file_is_one_too)
{
    struct sl_error error = {0};
    ck_assert_int_eq(sl_file_create(path, SL_SLICE(""), &error), SL_OK);
    check_holds("");
}
END_TEST

START_TEST(on_a_full_disk_the_old_file_stays_and_nothing_else)
{
    struct sl_error error = {0};
    ck_assert_int_eq(sl_file_replace(path, SL_SLICE("old"), &error), SL_OK);
    sl_test_limit_files(3);
    enum sl_err err = sl_file_replace(path, SL_SLICE("longer"), &error);
    sl_test_limit_files(SIZE_MAX);
    ck_assert_int_eq(err, SL_ERR_IO);
    ck_assert_ptr_nonnull(strstr(error.message, path));
    check_holds("old");
    check_file_count(1);
}
END_TEST

START_TEST(a_folder_that_is_not_there_and_a_path_too_long_are_errors)
{
    struct sl_error error = {0};
    char longer[5000];
    ck_assert_int_eq(sl_file_create("/nonexistent/x", SL_SLICE("x"), &error), SL_ERR_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "/nonexistent/x"));
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_eq(sl_file_create(longer, SL_SLICE("x"), &error), SL_ERR_IO);
}
END_TEST

START_TEST(a_name_without_a_folder_lies_in_the_working_directory)
{
    struct sl_error error = {0};
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_int_eq(sl_file_replace("table", SL_SLICE("here"), &error), SL_OK);
    check_holds("here");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file");
    TCase *tcase = tcase_create("file");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_file_is_made_and_replaced);
    tcase_add_test(tcase, a_file_that_is_there_is_not_made_again);
    tcase_add_test(tcase, an_empty_file_is_one_too);
    tcase_add_test(tcase, on_a_full_disk_the_old_file_stays_and_nothing_else);
    tcase_add_test(tcase, a_folder_that_is_not_there_and_a_path_too_long_are_errors);
    tcase_add_test(tcase, a_name_without_a_folder_lies_in_the_working_directory);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
