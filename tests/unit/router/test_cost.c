/* SPDX-License-Identifier: Apache-2.0
 *
 * Spending: days, months, apps, the file.
 */
#include "cost.h"
#include "test_support.h"

#include <stdlib.h>
#include <unistd.h>

#define DAY 86400
#define NOV_29 1795910400 /* 2026-11-29 00:00 UTC */

static struct sl_cost *open_in(const char *folder)
{
    struct sl_cost *cost;
    struct sl_error error = {0};
    ck_assert_msg(sl_cost_open(folder, &cost, &error) == SL_OK, "%s", error.message);
    return cost;
}

static void check_spending(struct sl_cost *cost, const char *app, int64_t at, double day,
                           double month)
{
    struct sl_cloud_spending spending = sl_cost_spending(cost, app, at);
    ck_assert_double_eq_tol(spending.day_usd, day, 1e-9);
    ck_assert_double_eq_tol(spending.month_usd, month, 1e-9);
}

START_TEST(days_and_months_begin_at_zero)
{
    struct sl_cost *cost = open_in(NULL);
    sl_cost_charge(cost, "a", 1, NOV_29 + DAY - 1);
    check_spending(cost, "a", NOV_29 + DAY - 1, 1, 1);
    check_spending(cost, "a", NOV_29 + DAY, 0, 1); /* 30 November */
    sl_cost_charge(cost, "a", 2, NOV_29 + DAY);
    check_spending(cost, "a", NOV_29 + DAY, 2, 3);
    check_spending(cost, "a", NOV_29 + 2 * DAY, 0, 0); /* 1 December */
    sl_cost_charge(cost, "a", 4, NOV_29 + 2 * DAY);
    check_spending(cost, "a", NOV_29 + 2 * DAY, 4, 4);
    sl_cost_close(cost);
}
END_TEST

START_TEST(apps_are_counted_apart_and_together)
{
    struct sl_cost *cost = open_in(NULL);
    sl_cost_charge(cost, "a", 1, NOV_29);
    sl_cost_charge(cost, "b", 2, NOV_29);
    sl_cost_charge(cost, NULL, 4, NOV_29);
    check_spending(cost, "a", NOV_29, 1, 1);
    check_spending(cost, "b", NOV_29, 2, 2);
    check_spending(cost, NULL, NOV_29, 7, 7);
    check_spending(cost, "unknown", NOV_29, 0, 0);
    sl_cost_close(cost);
}
END_TEST

START_TEST(each_limit_holds)
{
    struct sl_cost *cost = open_in(NULL);
    sl_cost_charge(cost, "a", 1, NOV_29);
    ck_assert(sl_cost_allows(cost, "a", &(struct sl_cloud_budget){0}, NOV_29));
    ck_assert(sl_cost_allows(cost, "a", &(struct sl_cloud_budget){.app_daily_usd = 1.01}, NOV_29));
    ck_assert(!sl_cost_allows(cost, "a", &(struct sl_cloud_budget){.app_daily_usd = 1}, NOV_29));
    ck_assert(
        !sl_cost_allows(cost, "a", &(struct sl_cloud_budget){.app_monthly_usd = 1}, NOV_29 + DAY));
    ck_assert(
        sl_cost_allows(cost, "a", &(struct sl_cloud_budget){.app_daily_usd = 1}, NOV_29 + DAY));
    ck_assert(sl_cost_allows(cost, "b", &(struct sl_cloud_budget){.app_daily_usd = 1}, NOV_29));
    ck_assert(!sl_cost_allows(cost, "b", &(struct sl_cloud_budget){.global_daily_usd = 1}, NOV_29));
    ck_assert(
        !sl_cost_allows(cost, NULL, &(struct sl_cloud_budget){.global_monthly_usd = 0.5}, NOV_29));
    sl_cost_close(cost);
}
END_TEST

START_TEST(what_was_spent_is_known_after_a_restart)
{
    const char *folder = sl_test_scratch();
    struct sl_cost *cost = open_in(folder);
    sl_cost_charge(cost, "an app \"with\" quotes", 1.25, NOV_29);
    sl_cost_close(cost);
    cost = open_in(folder);
    check_spending(cost, "an app \"with\" quotes", NOV_29, 1.25, 1.25);
    check_spending(cost, NULL, NOV_29, 1.25, 1.25);
    sl_cost_close(cost);
}
END_TEST

static const char *const broken_files[] = {"",
                                           "{",
                                           "[]",
                                           "{\"version\":2,\"accounts\":[]}",
                                           "{\"version\":1,\"accounts\":[{\"app\":7}]}",
                                           "{\"version\":1,\"accounts\":[{\"app\":\"\",\"day\":"
                                           "\"yesterday\"}]}"};

START_TEST(a_damaged_file_is_set_aside)
{
    char path[256], aside[256];
    const char *folder = sl_test_scratch();
    snprintf(path, sizeof path, "%s/cloud_spend.json", folder);
    snprintf(aside, sizeof aside, "%s.broken", path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(broken_files[_i], file);
    fclose(file);
    struct sl_cost *cost = open_in(folder);
    check_spending(cost, NULL, NOV_29, 0, 0);
    ck_assert_int_eq(access(aside, F_OK), 0);
    sl_cost_charge(cost, "a", 1, NOV_29);
    sl_cost_close(cost);
    cost = open_in(folder);
    check_spending(cost, NULL, NOV_29, 1, 1);
    sl_cost_close(cost);
}
END_TEST

START_TEST(nonsense_amounts_are_not_charged)
{
    struct sl_cost *cost = open_in(NULL);
    sl_cost_charge(cost, "a", -5, NOV_29);
    sl_cost_charge(cost, "a", 0.0 / 0.0, NOV_29);
    check_spending(cost, NULL, NOV_29, 0, 0);
    sl_cost_close(cost);
}
END_TEST

START_TEST(too_many_apps_are_still_in_the_sum)
{
    struct sl_cost *cost = open_in(NULL);
    for (int i = 0; i < 1100; i++) {
        char app[32];
        snprintf(app, sizeof app, "app-%d", i);
        sl_cost_charge(cost, app, 1, NOV_29);
    }
    check_spending(cost, NULL, NOV_29, 1100, 1100);
    check_spending(cost, "app-3", NOV_29, 1, 1);
    sl_cost_close(cost);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cost");
    TCase *tcase = tcase_create("cost");
    tcase_add_test(tcase, days_and_months_begin_at_zero);
    tcase_add_test(tcase, apps_are_counted_apart_and_together);
    tcase_add_test(tcase, each_limit_holds);
    tcase_add_test(tcase, what_was_spent_is_known_after_a_restart);
    tcase_add_loop_test(tcase, a_damaged_file_is_set_aside, 0,
                        (int)(sizeof broken_files / sizeof broken_files[0]));
    tcase_add_test(tcase, nonsense_amounts_are_not_charged);
    tcase_add_test(tcase, too_many_apps_are_still_in_the_sum);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
