/* SPDX-License-Identifier: Apache-2.0
 *
 * The breaker, the retry budget, the backoff and the network state, with time as a number.
 */
#include "breaker.h"
#include "network_state.h"
#include "retry_budget.h"
#include "test_support.h"

static const struct sl_breaker_settings settings = {
    .failures = 5, .failure_ratio = 0.5, .window_ms = 30000, .open_ms = 5000, .open_max_ms = 20000};

/* A breaker that opened at `at_ms`. */
static struct sl_breaker opened(uint64_t at_ms)
{
    struct sl_breaker breaker = {0};
    for (int i = 0; i < 5; i++)
        sl_breaker_note(&breaker, &settings, true, false, at_ms);
    ck_assert_int_eq(breaker.state, SL_BREAKER_OPEN);
    return breaker;
}

START_TEST(four_failures_leave_it_closed_and_the_fifth_opens_it)
{
    struct sl_breaker breaker = {0};
    for (uint64_t i = 0; i < 4; i++) {
        ck_assert_int_eq(sl_breaker_ask(&breaker, &settings, i), SL_BREAKER_ALLOW);
        sl_breaker_note(&breaker, &settings, true, false, i);
    }
    ck_assert_int_eq(breaker.state, SL_BREAKER_CLOSED);
    sl_breaker_note(&breaker, &settings, true, false, 4);
    ck_assert_int_eq(breaker.state, SL_BREAKER_OPEN);
    ck_assert_int_eq(sl_breaker_ask(&breaker, &settings, 5), SL_BREAKER_REFUSE);
    ck_assert_uint_eq(sl_breaker_probe_at_ms(&breaker), 5004);
}
END_TEST

START_TEST(failures_among_many_successes_do_not_open_it)
{
    struct sl_breaker breaker = {0};
    for (uint64_t i = 0; i < 40; i++)
        sl_breaker_note(&breaker, &settings, i % 5 == 0, false, i);
    ck_assert_int_eq(breaker.state, SL_BREAKER_CLOSED);
}
END_TEST

START_TEST(old_failures_are_forgotten)
{
    struct sl_breaker breaker = {0};
    for (int i = 0; i < 4; i++)
        sl_breaker_note(&breaker, &settings, true, false, 0);
    sl_breaker_note(&breaker, &settings, true, false, 30001);
    ck_assert_int_eq(breaker.state, SL_BREAKER_CLOSED);
}
END_TEST

START_TEST(one_probe_goes_at_a_time_and_its_success_closes)
{
    struct sl_breaker breaker = opened(1000);
    ck_assert_int_eq(sl_breaker_ask(&breaker, &settings, 5999), SL_BREAKER_REFUSE);
    ck_assert_int_eq(sl_breaker_ask(&breaker, &settings, 6000), SL_BREAKER_PROBE);
    ck_assert_int_eq(breaker.state, SL_BREAKER_HALF_OPEN);
    ck_assert_int_eq(sl_breaker_ask(&breaker, &settings, 6001), SL_BREAKER_REFUSE);
    sl_breaker_note(&breaker, &settings, false, true, 6100);
    ck_assert_int_eq(breaker.state, SL_BREAKER_CLOSED);
    /* It starts clean: four failures are not enough again. */
    for (int i = 0; i < 4; i++)
        sl_breaker_note(&breaker, &settings, true, false, 6200);
    ck_assert_int_eq(breaker.state, SL_BREAKER_CLOSED);
}
END_TEST

START_TEST(a_failed_probe_doubles_the_wait_up_to_a_limit)
{
    static const uint64_t waits_ms[] = {5000, 10000, 20000, 20000};
    struct sl_breaker breaker = opened(0);
    uint64_t now_ms = 0;
    for (size_t i = 0; i < sizeof waits_ms / sizeof waits_ms[0]; i++) {
        ck_assert_uint_eq(sl_breaker_probe_at_ms(&breaker), now_ms + waits_ms[i]);
        now_ms += waits_ms[i];
        ck_assert_int_eq(sl_breaker_ask(&breaker, &settings, now_ms), SL_BREAKER_PROBE);
        sl_breaker_note(&breaker, &settings, true, true, now_ms);
        ck_assert_int_eq(breaker.state, SL_BREAKER_OPEN);
    }
}
END_TEST

START_TEST(a_probe_that_told_nothing_lets_the_next_one_go)
{
    struct sl_breaker breaker = opened(0);
    ck_assert_int_eq(sl_breaker_ask(&breaker, &settings, 5000), SL_BREAKER_PROBE);
    sl_breaker_abandon_probe(&breaker);
    ck_assert_int_eq(sl_breaker_ask(&breaker, &settings, 5001), SL_BREAKER_PROBE);
}
END_TEST

START_TEST(what_comes_late_from_before_the_opening_changes_nothing)
{
    struct sl_breaker breaker = opened(0);
    sl_breaker_note(&breaker, &settings, false, false, 100);
    ck_assert_int_eq(breaker.state, SL_BREAKER_OPEN);
    sl_breaker_ask(&breaker, &settings, 5000);
    sl_breaker_note(&breaker, &settings, true, false, 5001);
    ck_assert_int_eq(breaker.state, SL_BREAKER_HALF_OPEN);
}
END_TEST

START_TEST(a_long_outage_costs_few_probes)
{
    struct sl_breaker breaker = opened(0);
    int probes = 0;
    for (uint64_t now_ms = 0; now_ms < 60000; now_ms += 10)
        if (sl_breaker_ask(&breaker, &settings, now_ms) == SL_BREAKER_PROBE) {
            probes++;
            sl_breaker_note(&breaker, &settings, true, true, now_ms);
        }
    ck_assert_int_le(probes, 4);
    /* Healthy from 60 s on: back within 30 s. */
    uint64_t now_ms = 60000;
    while (sl_breaker_ask(&breaker, &settings, now_ms) != SL_BREAKER_PROBE)
        now_ms += 10;
    ck_assert_uint_le(now_ms, 90000);
}
END_TEST

/* ---- Retries ---- */

START_TEST(an_outage_is_not_multiplied)
{
    struct sl_retry_budget budget = {0};
    int retries = 0;
    for (int call = 0; call < 1000; call++) {
        sl_retry_budget_earn(&budget, 0.2, 10);
        for (int i = 0; i < 2; i++)
            retries += sl_retry_budget_spend(&budget, 10);
    }
    ck_assert_int_le(retries, 10 + 200);
    ck_assert_int_ge(retries, 200);
}
END_TEST

START_TEST(savings_stop_at_the_burst)
{
    struct sl_retry_budget budget = {0};
    int retries = 0;
    for (int call = 0; call < 1000; call++)
        sl_retry_budget_earn(&budget, 0.2, 3);
    while (sl_retry_budget_spend(&budget, 3))
        retries++;
    ck_assert_int_eq(retries, 3);
}
END_TEST

START_TEST(the_backoff_is_spread_over_a_doubling_range)
{
    ck_assert_uint_eq(sl_backoff_ms(500, 8000, 0, 0), 0);
    ck_assert_uint_eq(sl_backoff_ms(500, 8000, 0, UINT32_MAX), 500);
    ck_assert_uint_eq(sl_backoff_ms(500, 8000, 1, UINT32_MAX), 1000);
    ck_assert_uint_eq(sl_backoff_ms(500, 8000, 1, UINT32_MAX / 2), 500);
    ck_assert_uint_eq(sl_backoff_ms(500, 8000, 4, UINT32_MAX), 8000);
    ck_assert_uint_eq(sl_backoff_ms(500, 8000, 40, UINT32_MAX), 8000);
    ck_assert_uint_eq(sl_backoff_ms(UINT32_MAX, UINT32_MAX, 31, UINT32_MAX), UINT32_MAX);
}
END_TEST

/* ---- Network ---- */

START_TEST(three_in_a_row_are_offline_and_one_success_ends_it)
{
    struct sl_network_history network = {0};
    ck_assert_int_eq(sl_network_judge(&network, 0), SL_NETWORK_ONLINE);
    sl_network_note(&network, false, 1);
    ck_assert_int_eq(sl_network_judge(&network, 1), SL_NETWORK_DEGRADED);
    sl_network_note(&network, false, 2);
    sl_network_note(&network, false, 3);
    ck_assert_int_eq(sl_network_judge(&network, 3), SL_NETWORK_OFFLINE);
    /* It does not fade by itself: nobody has reached anything. */
    ck_assert_int_eq(sl_network_judge(&network, 3600000), SL_NETWORK_OFFLINE);
    sl_network_note(&network, true, 3600001);
    ck_assert_int_eq(sl_network_judge(&network, 3600001), SL_NETWORK_ONLINE);
}
END_TEST

START_TEST(some_failures_are_degraded_for_a_minute)
{
    struct sl_network_history network = {0};
    for (uint64_t i = 0; i < 8; i++)
        sl_network_note(&network, i % 3 != 0, i);
    ck_assert_int_eq(sl_network_judge(&network, 10), SL_NETWORK_DEGRADED);
    ck_assert_int_eq(sl_network_judge(&network, 60100), SL_NETWORK_ONLINE);
    for (uint64_t i = 0; i < 40; i++)
        sl_network_note(&network, true, 100 + i);
    ck_assert_int_eq(sl_network_judge(&network, 200), SL_NETWORK_ONLINE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("breaker");
    TCase *tcase = tcase_create("breaker");
    tcase_add_test(tcase, four_failures_leave_it_closed_and_the_fifth_opens_it);
    tcase_add_test(tcase, failures_among_many_successes_do_not_open_it);
    tcase_add_test(tcase, old_failures_are_forgotten);
    tcase_add_test(tcase, one_probe_goes_at_a_time_and_its_success_closes);
    tcase_add_test(tcase, a_failed_probe_doubles_the_wait_up_to_a_limit);
    tcase_add_test(tcase, a_probe_that_told_nothing_lets_the_next_one_go);
    tcase_add_test(tcase, what_comes_late_from_before_the_opening_changes_nothing);
    tcase_add_test(tcase, a_long_outage_costs_few_probes);
    tcase_add_test(tcase, an_outage_is_not_multiplied);
    tcase_add_test(tcase, savings_stop_at_the_burst);
    tcase_add_test(tcase, the_backoff_is_spread_over_a_doubling_range);
    tcase_add_test(tcase, three_in_a_row_are_offline_and_one_success_ends_it);
    tcase_add_test(tcase, some_failures_are_degraded_for_a_minute);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
