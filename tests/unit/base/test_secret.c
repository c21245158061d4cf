/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/secret.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *write_secret(const char *text, size_t len, mode_t mode)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/secret", sl_test_scratch());
    FILE *file = fopen(path, "w");
    ck_assert_uint_eq(fwrite(text, 1, len, file), len);
    fclose(file);
    ck_assert_int_eq(chmod(path, mode), 0);
    return path;
}

START_TEST(a_file_is_read_without_its_last_line_end)
{
    struct sl_secret *secret;
    const char *path = write_secret("sk-1\n\n", 6, 0600);
    ck_assert_int_eq(sl_secret_from_file(path, true, &secret, NULL), SL_OK);
    ck_assert(sl_slice_equal_text(sl_secret_reveal(secret), "sk-1\n"));
    sl_secret_free(secret);
    sl_secret_free(NULL);
}
END_TEST

START_TEST(a_file_that_others_may_read_is_refused_where_that_matters)
{
    struct sl_secret *secret;
    struct sl_error error = {0};
    const char *path = write_secret("sk-1", 4, 0640);
    ck_assert_int_eq(sl_secret_from_file(path, true, &secret, &error), SL_ERR_FORBIDDEN);
    ck_assert_ptr_null(strstr(error.message, "sk-1"));
    ck_assert_int_eq(sl_secret_from_file(path, false, &secret, &error), SL_OK);
    sl_secret_free(secret);
}
END_TEST

START_TEST(a_file_that_is_absent_or_too_long_is_an_error_that_says_so)
{
    struct sl_secret *secret;
    struct sl_error error = {0};
    size_t len = 64 * 1024 + 1;
    char *text = calloc(1, len);
    ck_assert_int_eq(sl_secret_from_file("/nowhere/at/all", true, &secret, &error), SL_ERR_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "/nowhere/at/all"));
    const char *path = write_secret(text, len, 0600);
    ck_assert_int_eq(sl_secret_from_file(path, true, &secret, &error), SL_ERR_LIMIT);
    path = write_secret(text, len - 1, 0600);
    ck_assert_int_eq(sl_secret_from_file(path, true, &secret, &error), SL_OK);
    sl_secret_free(secret);
    free(text);
}
END_TEST

START_TEST(comparing_sees_every_difference)
{
    char a[33] = {0};
    char b[33] = {0};
    ck_assert(sl_equal_constant_time(a, 33, b, 33));
    for (size_t at = 0; at < 33; at++)
        for (int bit = 0; bit < 8; bit++) {
            b[at] = (char)(1 << bit);
            ck_assert(!sl_equal_constant_time(a, 33, b, 33));
            b[at] = 0;
        }
    ck_assert(!sl_equal_constant_time(a, 33, b, 32));
    ck_assert(sl_equal_constant_time("", 0, "", 0));
}
END_TEST

START_TEST(wiping_overwrites)
{
    char text[8] = "private";
    sl_wipe(text, sizeof text);
    for (size_t i = 0; i < sizeof text; i++)
        ck_assert_int_eq(text[i], 0);
    sl_wipe(NULL, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("secret");
    TCase *tcase = tcase_create("secret");
    tcase_add_test(tcase, a_file_is_read_without_its_last_line_end);
    tcase_add_test(tcase, a_file_that_others_may_read_is_refused_where_that_matters);
    tcase_add_test(tcase, a_file_that_is_absent_or_too_long_is_an_error_that_says_so);
    tcase_add_test(tcase, comparing_sees_every_difference);
    tcase_add_test(tcase, wiping_overwrites);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
