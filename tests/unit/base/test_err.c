/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/checked.h"
#include "sluice/err.h"
#include "sluice/utf8.h"
#include "test_support.h"

#include <string.h>

START_TEST(every_error_has_a_status_a_type_a_code_and_a_sentence)
{
    for (int code = 0; code < SL_ERR_COUNT; code++) {
        int status = sl_err_http_status((enum sl_err)code);
        ck_assert(code == SL_OK ? status == 200 : status >= 400 && status <= 599);
        ck_assert_ptr_nonnull(sl_err_type((enum sl_err)code));
        ck_assert_uint_gt(strlen(sl_err_sentence((enum sl_err)code)), 0);
        for (int other = 0; other < code; other++)
            ck_assert_str_ne(sl_err_code((enum sl_err)code), sl_err_code((enum sl_err)other));
    }
}
END_TEST

START_TEST(only_what_another_try_may_mend_is_retryable)
{
    ck_assert(sl_err_is_retryable(SL_ERR_RATE_LIMIT));
    ck_assert(sl_err_is_retryable(SL_ERR_OVERLOAD));
    ck_assert(!sl_err_is_retryable(SL_ERR_INVALID));
    ck_assert(!sl_err_is_retryable(SL_ERR_UPSTREAM_CREDENTIALS));
    ck_assert(!sl_err_is_retryable(SL_ERR_PII_BLOCKED));
}
END_TEST

START_TEST(an_error_carries_code_field_and_message)
{
    struct sl_error error = {0};
    ck_assert_int_eq(sl_error_set_param(&error, SL_ERR_INVALID, "messages[0]", "is %d", 7),
                     SL_ERR_INVALID);
    ck_assert_int_eq(error.code, SL_ERR_INVALID);
    ck_assert_str_eq(error.param, "messages[0]");
    ck_assert_str_eq(error.message, "is 7");
    ck_assert_int_eq(sl_error_set(&error, SL_ERR_TIMEOUT, NULL), SL_ERR_TIMEOUT);
    ck_assert_str_eq(error.message, sl_err_sentence(SL_ERR_TIMEOUT));
    ck_assert_str_eq(error.param, "");
    ck_assert_int_eq(sl_error_set(NULL, SL_ERR_IO, "%s", "x"), SL_ERR_IO);
    ck_assert_int_eq(sl_error_set_param(NULL, SL_ERR_IO, "a", "%s", "x"), SL_ERR_IO);
}
END_TEST

START_TEST(a_message_that_is_too_long_is_cut_between_characters)
{
    char text[SL_ERROR_MESSAGE_MAX + 16];
    for (size_t shift = 0; shift < 4; shift++) {
        struct sl_error error = {0};
        memset(text, 'x', sizeof text);
        for (size_t at = shift; at + 4 < sizeof text; at += 4)
            memcpy(text + at, "\xF0\x9F\x98\x80", 4);
        text[sizeof text - 5] = '\0';
        sl_error_set(&error, SL_ERR_IO, "%s", text);
        size_t len = strlen(error.message);
        ck_assert_uint_lt(len, SL_ERROR_MESSAGE_MAX);
        ck_assert_uint_ge(len, SL_ERROR_MESSAGE_MAX - 4);
        ck_assert(sl_utf8_is_valid(error.message, len));
    }
}
END_TEST

START_TEST(sums_and_products_that_do_not_fit_are_refused_and_change_nothing)
{
    size_t size = 77;
    uint64_t number = 77;
    ck_assert(!sl_size_add(SIZE_MAX, 1, &size) && !sl_size_mul(SIZE_MAX / 2, 3, &size));
    ck_assert(!sl_u64_add(UINT64_MAX, 1, &number) && !sl_u64_mul(UINT64_MAX, 2, &number));
    ck_assert(size == 77 && number == 77);
    ck_assert(sl_size_add(SIZE_MAX - 1, 1, &size) && size == SIZE_MAX);
    ck_assert(sl_size_mul(0, SIZE_MAX, &size) && size == 0);
    ck_assert(sl_u64_mul(UINT64_MAX, 1, &number) && number == UINT64_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("err");
    TCase *tcase = tcase_create("err");
    tcase_add_test(tcase, every_error_has_a_status_a_type_a_code_and_a_sentence);
    tcase_add_test(tcase, only_what_another_try_may_mend_is_retryable);
    tcase_add_test(tcase, an_error_carries_code_field_and_message);
    tcase_add_test(tcase, a_message_that_is_too_long_is_cut_between_characters);
    tcase_add_test(tcase, sums_and_products_that_do_not_fit_are_refused_and_change_nothing);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
