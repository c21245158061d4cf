/* SPDX-License-Identifier: Apache-2.0
 *
 * The measures, on cases that can be worked out by hand, and against known tables.
 */
#include "eval.h"
#include "eval_figures.h"
#include "eval_kinds.h"

#include "test_support.h"

#include <math.h>
#include <stdlib.h>

static struct sl_eval_row row(double score, bool is_right)
{
    return (struct sl_eval_row){.score = score, .weight = 1, .is_right = is_right};
}

/* right, wrong, right, wrong by falling score */
static size_t four(struct sl_eval_row *rows)
{
    rows[0] = row(0.2, false);
    rows[1] = row(0.9, true);
    rows[2] = row(0.7, false);
    rows[3] = row(0.5, true);
    sl_eval_sort(rows, 4);
    return 4;
}

START_TEST(auroc_counts_pairs_and_halves_ties)
{
    struct sl_eval_row rows[4];
    size_t count = four(rows);
    ck_assert_double_eq_tol(sl_eval_auroc(rows, count, false), 0.75, 1e-12);
    for (size_t i = 0; i < count; i++)
        rows[i].score = 0.5;
    ck_assert_double_eq_tol(sl_eval_auroc(rows, count, false), 0.5, 1e-12);
    ck_assert(isnan(sl_eval_auroc(rows, 1, false))); /* one side only */
}
END_TEST

START_TEST(weights_count_as_copies_of_a_row)
{
    struct sl_eval_row copied[] = {row(0.9, true), row(0.6, false), row(0.6, false), row(0.5, true),
                                   row(0.1, false)};
    struct sl_eval_row weighted[] = {row(0.9, true), row(0.6, false), row(0.5, true),
                                     row(0.1, false)};
    weighted[1].weight = 2;
    ck_assert_double_eq_tol(sl_eval_auroc(copied, 5, false), sl_eval_auroc(weighted, 4, false),
                            1e-12);
    ck_assert_double_eq_tol(sl_eval_apgr(copied, 5), sl_eval_apgr(weighted, 4), 1e-12);
    ck_assert_double_eq_tol(sl_eval_ece(copied, 5, false), sl_eval_ece(weighted, 4, false), 1e-12);
    ck_assert_double_eq_tol(sl_eval_coverage(copied, 5, 0.5, NULL),
                            sl_eval_coverage(weighted, 4, 0.5, NULL), 1e-12);
}
END_TEST

/* 300 rows whose score is true: right as often as it says. */
static void true_rows(struct sl_eval_row *rows, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double score = 0.5 + 0.5 * (double)(seed >> 40) / (double)(1 << 24);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        rows[i] = row(score, (double)(seed >> 40) / (double)(1 << 24) < score);
    }
    sl_eval_sort(rows, count);
}

START_TEST(a_true_score_has_the_ece_of_chance_and_less_with_more_rows)
{
    static struct sl_eval_row rows[4800];
    double ece = 0, chance = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        true_rows(rows, 300, seed * 77);
        ece += sl_eval_ece(rows, 300, false) / 50;
        chance += sl_eval_ece_chance(rows, 300, 50, seed) / 50;
    }
    ck_assert_double_eq_tol(ece, chance, 0.005);
    ck_assert(chance > 0.03 && chance < 0.08);
    true_rows(rows, 4800, 5); /* sixteen times the rows: a quarter */
    ck_assert_double_eq_tol(sl_eval_ece_chance(rows, 4800, 200, 1), chance / 4, 0.003);
    ck_assert_double_eq(sl_eval_ece_chance(rows, 4800, 20, 1),
                        sl_eval_ece_chance(rows, 4800, 20, 1));
    ck_assert(isnan(sl_eval_ece_chance(rows, 0, 20, 1)));
}
END_TEST

START_TEST(reliability_has_count_confidence_and_accuracy_of_each_bin)
{
    struct sl_eval_row rows[] = {row(0.99, true), row(0.95, false), row(0.5, true), row(1, true)};
    const uint32_t kinds[] = {1, 1, 0, 1};
    struct sl_eval_row own[4];
    struct sl_kind_figures figures;
    ck_assert_uint_eq(sl_eval_of_kind(rows, kinds, 4, 1, own), 3);
    sl_kind_figures_measure(own, 3, 0, &figures);
    const struct sl_eval_bin *last = &figures.bins[SL_EVAL_BINS - 1];
    ck_assert_uint_eq(figures.rows, 3);
    ck_assert_uint_eq(last->rows, 3); /* 1 is in the last bin */
    ck_assert_double_eq_tol(last->score / last->weight, 0.98, 1e-12);
    ck_assert_double_eq_tol(last->right / last->weight, 2.0 / 3, 1e-12);
    ck_assert_double_eq_tol(figures.accuracy, 2.0 / 3, 1e-12);
    ck_assert_double_eq_tol(figures.ece, 0.98 - 2.0 / 3, 1e-12);
    json_t *json = sl_kind_figures_json("k", &figures);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "bins")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(json, "name")), "k");
    json_decref(json);
    ck_assert_uint_eq(sl_eval_of_kind(rows, kinds, 4, 2, own), 0);
    sl_kind_figures_measure(own, 0, 0, &figures);
    ck_assert(isnan(figures.ece));
}
END_TEST

START_TEST(aurc_is_the_mean_risk_over_coverages)
{
    struct sl_eval_row rows[4];
    size_t count = four(rows);
    /* risks at 1..4 kept: 0, 1/2, 1/3, 1/2 */
    ck_assert_double_eq_tol(sl_eval_aurc(rows, count), (0 + 0.5 + 1.0 / 3 + 0.5) / 4, 1e-12);
    double oracle = sl_eval_aurc_oracle(rows, count);
    ck_assert_double_eq_tol(oracle, 0.5 + 0.5 * log(0.5), 1e-12);
}
END_TEST

START_TEST(coverage_is_the_largest_share_that_holds_the_risk)
{
    struct sl_eval_row rows[4];
    size_t count = four(rows);
    double threshold;
    ck_assert_double_eq_tol(sl_eval_coverage(rows, count, 0, &threshold), 0.25, 1e-12);
    ck_assert_double_eq(threshold, 0.9);
    ck_assert_double_eq_tol(sl_eval_coverage(rows, count, 0.34, &threshold), 0.75, 1e-12);
    ck_assert_double_eq(threshold, 0.5);
    ck_assert_double_eq_tol(sl_eval_coverage(rows, count, 0.5, NULL), 1, 1e-12);
    rows[0].is_right = false;
    ck_assert_double_eq(sl_eval_coverage(rows, count, 0.1, &threshold), 0);
    ck_assert_double_gt(threshold, 1);
}
END_TEST

START_TEST(tied_scores_are_kept_together)
{
    struct sl_eval_row rows[] = {row(0.9, true), row(0.5, true), row(0.5, false)};
    double threshold;
    /* Keeping one of the tied two would look free of errors. */
    ck_assert_double_eq_tol(sl_eval_coverage(rows, 3, 0, &threshold), 1.0 / 3, 1e-12);
    ck_assert_double_eq(threshold, 0.9);
}
END_TEST

START_TEST(routing_curves_reach_from_chance_to_the_oracle)
{
    struct sl_eval_row rows[] = {row(0.9, true), row(0.8, true), row(0.7, true), row(0.1, false)};
    /* The one error goes first: the curve rises in the first quarter and stays. */
    ck_assert_double_eq_tol(sl_eval_apgr(rows, 4), 1 - 0.25 / 2, 1e-12);
    ck_assert_double_eq_tol(sl_eval_cpt(rows, 4, 0.8), 0.2, 1e-12);
    for (int i = 0; i < 4; i++)
        rows[i].score = 0.5;
    ck_assert_double_eq_tol(sl_eval_apgr(rows, 4), 0.5, 1e-12);
    ck_assert_double_eq_tol(sl_eval_cpt(rows, 4, 0.8), 0.8, 1e-12);
}
END_TEST

START_TEST(calibration_error_is_zero_where_shares_match_scores)
{
    struct sl_eval_row rows[10];
    for (int i = 0; i < 10; i++)
        rows[i] = row(0.7, i < 7);
    ck_assert_double_eq_tol(sl_eval_ece(rows, 10, false), 0, 1e-12);
    for (int i = 0; i < 10; i++)
        rows[i].score = 0.9;
    ck_assert_double_eq_tol(sl_eval_ece(rows, 10, false), 0.2, 1e-12);
    ck_assert_double_eq_tol(sl_eval_brier(rows, 10), 0.7 * 0.01 + 0.3 * 0.81, 1e-12);
}
END_TEST

START_TEST(foreign_rows_are_counted_at_95_per_cent_of_the_others)
{
    struct sl_eval_row rows[120];
    for (int i = 0; i < 100; i++)
        rows[i] = row(1 - i / 200.0, true); /* 1 down to 0.505 */
    for (int i = 0; i < 20; i++) {
        rows[100 + i] = row(i < 5 ? 0.6 : 0.1, false);
        rows[100 + i].is_foreign = true;
    }
    sl_eval_sort(rows, 120);
    ck_assert_double_eq_tol(sl_eval_fpr95(rows, 120), 0.25, 1e-12);
    ck_assert_double_eq_tol(sl_eval_auroc(rows, 120, true), 1 - 5.0 * 19 / 2000, 0.003);
}
END_TEST

START_TEST(the_exact_bound_matches_published_values)
{
    /* Zero errors: 1 - delta^(1/n). With errors: two-sided 95 % tables of Clopper and Pearson. */
    ck_assert_double_eq_tol(sl_eval_upper_bound(0, 117, 0.1), 1 - pow(0.1, 1.0 / 117), 1e-9);
    ck_assert_double_eq_tol(sl_eval_upper_bound(1, 10, 0.025), 0.44502, 5e-6);
    ck_assert_double_eq_tol(sl_eval_upper_bound(10, 100, 0.025), 0.17622, 5e-6);
    ck_assert_double_eq_tol(sl_eval_upper_bound(50, 1000, 0.025), 0.06539, 5e-5);
    ck_assert_double_eq(sl_eval_upper_bound(5, 5, 0.1), 1);
    ck_assert_double_eq(sl_eval_upper_bound(0, 0, 0.1), 1);
}
END_TEST

START_TEST(rows_needed_agree_with_the_bound)
{
    ck_assert_uint_eq(sl_eval_rows_needed(0.02, 0.1, 0), 114);
    ck_assert_uint_eq(sl_eval_rows_needed(0.05, 0.1, 0), 45);
    size_t needed = sl_eval_rows_needed(0.02, 0.1, 0.01);
    ck_assert_double_le(sl_eval_upper_bound(0.01 * (double)needed, (double)needed, 0.1), 0.02);
    ck_assert_double_gt(
        sl_eval_upper_bound(0.01 * (double)(needed - 5), (double)(needed - 5), 0.1), 0.02);
    ck_assert_uint_eq(sl_eval_rows_needed(0.02, 0.1, 0.02), 0);
}
END_TEST

START_TEST(figures_repeat_and_their_intervals_hold_the_value)
{
    enum { COUNT = 400 };
    struct sl_eval_row rows[COUNT];
    struct sl_figures first, second;
    for (int i = 0; i < COUNT; i++) {
        rows[i] = row((i * 37 % COUNT) / (double)COUNT, (i * 37 % COUNT) > (i * 13 % 200));
        rows[i].is_foreign = i % 10 == 0;
    }
    sl_figures_measure(rows, COUNT, 0.6, 200, 7, &first);
    sl_figures_measure(rows, COUNT, 0.6, 200, 7, &second);
    ck_assert_mem_eq(&first, &second, sizeof first);
    for (int i = 0; i < SL_FIGURE_COUNT; i++) {
        ck_assert(!isnan(first.value[i]));
        ck_assert_double_le(first.low[i], first.high[i]);
    }
    int figure = SL_FIGURE_AUROC;
    ck_assert_double_lt(first.low[figure], first.value[figure]);
    ck_assert_double_gt(first.high[figure], first.value[figure]);
    ck_assert_double_eq_tol(first.value[SL_FIGURE_ESCALATED],
                            1 - sl_eval_kept(rows, COUNT, 0.6, NULL), 1e-12);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("eval");
    TCase *tcase = tcase_create("eval");
    tcase_add_test(tcase, auroc_counts_pairs_and_halves_ties);
    tcase_add_test(tcase, weights_count_as_copies_of_a_row);
    tcase_add_test(tcase, a_true_score_has_the_ece_of_chance_and_less_with_more_rows);
    tcase_add_test(tcase, reliability_has_count_confidence_and_accuracy_of_each_bin);
    tcase_add_test(tcase, aurc_is_the_mean_risk_over_coverages);
    tcase_add_test(tcase, coverage_is_the_largest_share_that_holds_the_risk);
    tcase_add_test(tcase, tied_scores_are_kept_together);
    tcase_add_test(tcase, routing_curves_reach_from_chance_to_the_oracle);
    tcase_add_test(tcase, calibration_error_is_zero_where_shares_match_scores);
    tcase_add_test(tcase, foreign_rows_are_counted_at_95_per_cent_of_the_others);
    tcase_add_test(tcase, the_exact_bound_matches_published_values);
    tcase_add_test(tcase, rows_needed_agree_with_the_bound);
    tcase_add_test(tcase, figures_repeat_and_their_intervals_hold_the_value);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
