/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/clock.h"
#include "test_support.h"

START_TEST(the_monotonic_clock_never_goes_back_and_its_units_agree)
{
    uint64_t before_ns = sl_monotonic_ns();
    uint64_t ms = sl_monotonic_ms();
    uint64_t after_ns = sl_monotonic_ns();
    ck_assert_uint_le(before_ns, after_ns);
    ck_assert_uint_le(before_ns / 1000000, ms);
    ck_assert_uint_le(ms, after_ns / 1000000);
}
END_TEST

START_TEST(wall_time_is_of_this_era_and_its_units_agree)
{
    int64_t seconds = sl_wall_seconds();
    int64_t ms = sl_wall_ms();
    ck_assert_int_gt(seconds, 1700000000); /* November 2023: before this was written */
    ck_assert_int_ge(ms / 1000, seconds);
    ck_assert_int_le(ms / 1000, seconds + 5);
}
END_TEST

START_TEST(deadlines_become_timespecs_without_overflow)
{
    struct timespec at = sl_deadline_timespec(1234567);
    ck_assert_int_eq(at.tv_sec, 1234);
    ck_assert_int_eq(at.tv_nsec, 567000000);
    at = sl_deadline_timespec(SL_DEADLINE_NEVER);
    ck_assert_int_gt(at.tv_sec, 3000000000);
    ck_assert(at.tv_nsec >= 0 && at.tv_nsec < 1000000000);
}
END_TEST

START_TEST(what_is_left_of_a_deadline_is_never_negative)
{
    ck_assert_uint_eq(sl_deadline_left_ms(100, 40), 60);
    ck_assert_uint_eq(sl_deadline_left_ms(100, 100), 0);
    ck_assert_uint_eq(sl_deadline_left_ms(100, 500), 0);
    ck_assert_uint_eq(sl_deadline_left_ms(SL_DEADLINE_NEVER, 5), UINT64_MAX - 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *tcase = tcase_create("clock");
    tcase_add_test(tcase, the_monotonic_clock_never_goes_back_and_its_units_agree);
    tcase_add_test(tcase, wall_time_is_of_this_era_and_its_units_agree);
    tcase_add_test(tcase, deadlines_become_timespecs_without_overflow);
    tcase_add_test(tcase, what_is_left_of_a_deadline_is_never_negative);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
