/* SPDX-License-Identifier: Apache-2.0
 *
 * The fit of a kind's map, on rows whose truth the test made.
 */
#include "calibrate_kinds.h"

#include "test_support.h"

#include <math.h>
#include <stdlib.h>

static uint64_t random_state;

static double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) / (double)(1ull << 53);
}

/* Rows whose shared score is spread over (-3, 5) in logits, and right with P = sigmoid(slope * logit +
 * shift). */
static struct sl_kind_row *made_rows(size_t count, double slope, double shift, uint64_t seed)
{
    struct sl_kind_row *rows = calloc(count, sizeof *rows);
    random_state = seed * 7919 + 13;
    for (size_t i = 0; i < count; i++) {
        double logit = -3 + 8 * uniform();
        rows[i] = (struct sl_kind_row){
            .logit = logit,
            .weight = 1,
            .fold = (uint32_t)(i % SL_KIND_FOLDS),
            .is_right = uniform() < 1 / (1 + exp(-(slope * logit + shift)))};
    }
    return rows;
}

START_TEST(the_map_that_made_the_rows_is_found)
{
    static const double truths[][2] = {{0.5, 0.4}, {1, 0}, {1.6, -0.8}, {0.3, 1.5}};
    for (size_t i = 0; i < sizeof truths / sizeof *truths; i++) {
        struct sl_kind_row *rows = made_rows(8000, truths[i][0], truths[i][1], i + 1);
        struct sl_kind_map map;
        ck_assert(sl_fit_kind_map(rows, 8000, SL_KIND_FOLDS, &map));
        ck_assert_double_eq_tol(map.slope, truths[i][0], 0.08);
        ck_assert_double_eq_tol(map.shift, truths[i][1], 0.12);
        free(rows);
    }
}
END_TEST

START_TEST(few_rows_stay_near_the_shared_score_and_more_leave_it)
{
    double distance[3];
    const size_t counts[3] = {10, 80, 2000};
    for (int i = 0; i < 3; i++) {
        distance[i] = 0;
        for (uint64_t seed = 1; seed <= 20; seed++) { /* the mean of many draws */
            struct sl_kind_row *rows = made_rows(counts[i], 0.3, 1.5, seed);
            struct sl_kind_map map;
            ck_assert(sl_fit_kind_map(rows, counts[i], SL_KIND_FOLDS, &map));
            distance[i] += hypot(map.slope - 1, map.shift) / 20;
            free(rows);
        }
    }
    ck_assert_double_lt(distance[0], 0.5 * distance[2]);
    ck_assert_double_lt(distance[0], distance[1]);
    ck_assert_double_lt(distance[1], distance[2]);
    ck_assert_double_eq_tol(distance[2], hypot(0.7, 1.5), 0.15);
}
END_TEST

START_TEST(rows_that_are_all_right_or_all_wrong_give_a_finite_map)
{
    struct sl_kind_map map;
    for (int right = 0; right <= 1; right++) {
        struct sl_kind_row *rows = made_rows(200, 1, 0, 5);
        for (int i = 0; i < 200; i++)
            rows[i].is_right = right;
        ck_assert(sl_fit_kind_map(rows, 200, SL_KIND_FOLDS, &map));
        ck_assert(map.slope >= 0 && map.slope <= SL_KIND_SLOPE_MAX);
        ck_assert(right ? map.shift > 0 : map.shift < 0);
        free(rows);
    }
}
END_TEST

START_TEST(where_surer_is_more_often_wrong_only_the_share_of_right_ones_is_kept)
{
    struct sl_kind_row *rows = made_rows(4000, -1, 1, 3);
    struct sl_kind_map map;
    double right = 0;
    for (int i = 0; i < 4000; i++)
        right += rows[i].is_right / 4000.0;
    ck_assert(sl_fit_kind_map(rows, 4000, SL_KIND_FOLDS, &map));
    ck_assert_double_eq(map.slope, 0);
    ck_assert_double_eq_tol(1 / (1 + exp(-map.shift)), right, 0.01);
    free(rows);
}
END_TEST

START_TEST(a_gain_is_told_only_where_unseen_rows_show_one)
{
    struct sl_kind_map map;
    double gain;
    struct sl_kind_row *rows = made_rows(600, 0.4, 0.3, 9);
    ck_assert(sl_fit_kind(rows, 600, &map, &gain));
    ck_assert_double_gt(gain, 0.02);
    free(rows);
    double sum = 0;
    for (uint64_t seed = 0; seed < 40; seed++) { /* the shared score is true: nothing to gain */
        rows = made_rows(100, 1, 0, seed + 100);
        ck_assert(sl_fit_kind(rows, 100, &map, &gain));
        sum += gain / 40;
        free(rows);
    }
    ck_assert_double_lt(sum, 0.002);
}
END_TEST

START_TEST(a_rows_weight_counts_as_so_many_rows)
{
    struct sl_kind_row *rows = made_rows(100, 0.5, 0.4, 4), *twice = calloc(200, sizeof *twice);
    struct sl_kind_map weighted, doubled;
    for (int i = 0; i < 100; i++) {
        twice[2 * i] = twice[2 * i + 1] = rows[i];
        rows[i].weight = 2;
    }
    ck_assert(sl_fit_kind_map(rows, 100, SL_KIND_FOLDS, &weighted));
    ck_assert(sl_fit_kind_map(twice, 200, SL_KIND_FOLDS, &doubled));
    ck_assert_double_eq_tol(weighted.slope, doubled.slope, 1e-6);
    ck_assert_double_eq_tol(weighted.shift, doubled.shift, 1e-6);
    free(rows);
    free(twice);
}
END_TEST

START_TEST(nonsense_is_refused)
{
    struct sl_kind_row *rows = made_rows(100, 1, 0, 2);
    struct sl_kind_map map;
    double gain;
    ck_assert(!sl_fit_kind_map(rows, 0, SL_KIND_FOLDS, &map));
    ck_assert(!sl_fit_kind(rows, SL_KIND_ROWS_MIN - 1, &map, &gain));
    rows[3].logit = (double)NAN;
    ck_assert(!sl_fit_kind_map(rows, 100, SL_KIND_FOLDS, &map));
    rows[3].logit = (double)INFINITY;
    ck_assert(!sl_fit_kind(rows, 100, &map, &gain));
    rows[3].logit = 0;
    rows[7].weight = 0;
    ck_assert(!sl_fit_kind_map(rows, 100, SL_KIND_FOLDS, &map));
    rows[7].weight = (double)NAN;
    ck_assert(!sl_fit_kind_map(rows, 100, SL_KIND_FOLDS, &map));
    rows[7].weight = 1;
    for (int i = 10; i < 100; i++)
        rows[i].is_foreign = true; /* ten rows of its own do not make a kind */
    ck_assert(!sl_fit_kind(rows, 100, &map, &gain));
    free(rows);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fit of kinds");
    TCase *tcase = tcase_create("fit of kinds");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_map_that_made_the_rows_is_found);
    tcase_add_test(tcase, few_rows_stay_near_the_shared_score_and_more_leave_it);
    tcase_add_test(tcase, rows_that_are_all_right_or_all_wrong_give_a_finite_map);
    tcase_add_test(tcase, where_surer_is_more_often_wrong_only_the_share_of_right_ones_is_kept);
    tcase_add_test(tcase, a_gain_is_told_only_where_unseen_rows_show_one);
    tcase_add_test(tcase, a_rows_weight_counts_as_so_many_rows);
    tcase_add_test(tcase, nonsense_is_refused);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
