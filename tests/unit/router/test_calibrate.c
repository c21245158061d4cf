/* SPDX-License-Identifier: Apache-2.0
 *
 * The fit, on rows whose truth is known because the test made them, and the promise of a certified
 * risk over many draws.
 */
#include "calibrate.h"

#include "test_support.h"

#include <math.h>
#include <stdlib.h>

static uint64_t random_state;

static double uniform(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) / (double)(1ull << 53);
}

static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

/* P(right) = sigmoid(1.5 + 2 a - b): `a` in the mean log-probability, `b` in the prompt's, and a
 * third feature that says nothing. */
static struct sl_fit_row made_row(uint64_t key)
{
    struct sl_fit_row row = {.weight = 1, .key = key};
    double a = normal(), b = normal();
    for (int id = 0; id < SL_FEATURE_IDS; id++)
        row.vector[id] = (double)NAN;
    row.vector[SL_F_LOGPROB_MEAN] = -2 + 0.5 * a;
    row.vector[SL_F_PROMPT_LOGPROB] = -4 + 3 * b;
    row.vector[SL_F_ENTROPY_MAX] = normal();
    row.is_right = uniform() < 1 / (1 + exp(-(1.5 + 2 * a - b)));
    return row;
}

static struct sl_fit_row *made_rows(size_t count, uint64_t seed)
{
    struct sl_fit_row *rows = calloc(count, sizeof *rows);
    random_state = seed * 7919 + 13;
    for (size_t i = 0; i < count; i++)
        rows[i] = made_row(i);
    return rows;
}

START_TEST(the_weights_that_made_the_rows_are_found)
{
    struct sl_fit_row *rows = made_rows(6000, 1);
    const struct sl_fit_row **pointers = calloc(6000, sizeof *pointers);
    struct sl_linear_score score;
    for (int i = 0; i < 6000; i++)
        pointers[i] = &rows[i];
    ck_assert(sl_fit_logistic(pointers, 6000,
                              (enum sl_feature_id[]){SL_F_LOGPROB_MEAN, SL_F_PROMPT_LOGPROB}, 2, 1,
                              &score));
    ck_assert_double_eq_tol(score.weights[0], 2, 0.2);
    ck_assert_double_eq_tol(score.weights[1], -1, 0.15);
    ck_assert_double_eq_tol(score.bias, 1.5, 0.15);
    ck_assert_double_eq_tol(score.means[0], -2, 0.05);
    ck_assert_double_eq_tol(score.deviations[1], 3, 0.1);
    free(pointers);
    free(rows);
}
END_TEST

static struct sl_eval_row *score_rows(const struct sl_linear_score *score,
                                      const struct sl_fit_row *rows, size_t count)
{
    struct sl_eval_row *scored = calloc(count, sizeof *scored);
    for (size_t i = 0; i < count; i++)
        scored[i] = (struct sl_eval_row){
            .score = sl_linear_map(score, sl_linear_raw(score, rows[i].vector)),
            .weight = 1,
            .is_right = rows[i].is_right};
    sl_eval_sort(scored, count);
    return scored;
}

START_TEST(a_fit_keeps_what_helps_and_is_calibrated_on_new_rows)
{
    struct sl_fit_row *rows = made_rows(5000, 2), *fresh = made_rows(5000, 3);
    const double risks[] = {0.05};
    struct sl_fit_options options = {.delta = 0.1, .risks = risks, .risk_count = 1};
    struct sl_calibration calibration = {0};
    struct sl_error error = {0};
    ck_assert_int_eq(sl_fit(rows, 5000, &options, &calibration, &error), SL_OK);
    ck_assert_uint_eq(calibration.answer.count, 2); /* and not the one that says nothing */
    ck_assert_int_eq(calibration.answer.ids[0], SL_F_LOGPROB_MEAN);
    ck_assert_int_eq(calibration.answer.ids[1], SL_F_PROMPT_LOGPROB);
    ck_assert_uint_gt(calibration.answer.knot_count, 2);
    ck_assert_uint_eq(calibration.prompt.count, 1); /* what is known before the first token */
    struct sl_eval_row *scored = score_rows(&calibration.answer, fresh, 5000);
    ck_assert_double_le(sl_eval_ece(scored, 5000, false), 0.03);
    ck_assert_double_gt(sl_eval_auroc(scored, 5000, false), 0.85);
    free(scored);
    free(rows);
    free(fresh);
}
END_TEST

START_TEST(few_rows_get_a_sigmoid_and_too_few_are_refused)
{
    struct sl_fit_row *rows = made_rows(600, 4);
    struct sl_fit_options options = {.delta = 0.1};
    struct sl_calibration calibration = {0};
    struct sl_error error = {0};
    ck_assert_int_eq(sl_fit(rows, 600, &options, &calibration, &error), SL_OK);
    ck_assert_uint_eq(calibration.answer.knot_count, 0);
    memset(&calibration, 0, sizeof calibration);
    ck_assert_int_eq(sl_fit(rows, 40, &options, &calibration, &error), SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "at least 60 are needed"));
    for (int i = 0; i < 600; i++)
        rows[i].is_right = true;
    ck_assert_int_eq(sl_fit(rows, 600, &options, &calibration, &error), SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, " right and 0 wrong"));
    free(rows);
}
END_TEST

/* Rows of three kinds: the first as made; in the second who is right follows the
 * features only half as strongly; of the third there are too few. */
static struct sl_fit_row *rows_of_kinds(size_t count, uint64_t seed)
{
    struct sl_fit_row *rows = made_rows(count, seed);
    for (size_t i = 0; i < count; i++) {
        double a = (rows[i].vector[SL_F_LOGPROB_MEAN] + 2) / 0.5;
        double b = (rows[i].vector[SL_F_PROMPT_LOGPROB] + 4) / 3;
        rows[i].kind = i % 200 == 7 ? 3 : i % 5 == 0 ? 2 : 1;
        if (rows[i].kind == 2)
            rows[i].is_right = uniform() < 1 / (1 + exp(-0.4 * (1.5 + 2 * a - b)));
    }
    return rows;
}

static double ece_of_kind(const struct sl_calibration *calibration, const struct sl_fit_row *rows,
                          size_t count, uint32_t kind, bool by_kind)
{
    struct sl_eval_row *scored = calloc(count, sizeof *scored);
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (rows[i].kind == kind)
            scored[used++] = (struct sl_eval_row){
                .score = sl_calibration_score(calibration, by_kind ? kind : SL_KIND_SHARED,
                                              rows[i].vector),
                .weight = 1,
                .is_right = rows[i].is_right};
    sl_eval_sort(scored, used);
    double ece = sl_eval_ece(scored, used, false);
    free(scored);
    return ece;
}

START_TEST(a_kind_that_is_surer_than_right_gets_a_map_of_its_own)
{
    struct sl_fit_row *rows = rows_of_kinds(3000, 21), *fresh = rows_of_kinds(20000, 22);
    struct sl_fit_options options = {.delta = 0.1};
    struct sl_calibration calibration = {0};
    struct sl_error error = {0};
    uint32_t kind;
    for (char name[] = "a"; name[0] <= 'c'; name[0]++)
        ck_assert_int_eq(sl_kinds_add(&calibration.kinds, name, false,
                                      (const char *[]){name, "z"}, 2, &kind), SL_OK);
    ck_assert_msg(sl_fit(rows, 3000, &options, &calibration, &error) == SL_OK, "%s", error.message);
    const struct sl_kind *few = &calibration.kinds.items[2], *unsure = &calibration.kinds.items[1];
    ck_assert(sl_kind_map_is_shared(&few->answer)); /* some eight rows that fit */
    ck_assert_double_lt(unsure->answer.slope, 0.8);
    ck_assert(unsure->rows > 200 && unsure->right < unsure->rows);
    double shared = ece_of_kind(&calibration, fresh, 20000, 2, false);
    double own = ece_of_kind(&calibration, fresh, 20000, 2, true);
    ck_assert_double_gt(shared, 0.06);
    ck_assert_double_lt(own, 0.04);
    ck_assert_double_lt(ece_of_kind(&calibration, fresh, 20000, 1, true), 0.03);
    sl_kinds_clear(&calibration.kinds);
    free(rows);
    free(fresh);
}
END_TEST

START_TEST(kinds_are_added_to_a_calibration_that_has_not_seen_their_rows)
{
    struct sl_fit_row *rows = made_rows(3000, 31), *own = rows_of_kinds(1000, 32);
    struct sl_fit_row *fresh = rows_of_kinds(20000, 33);
    const double risks[] = {0.05, 0.2};
    struct sl_fit_options options = {.delta = 0.1, .risks = risks, .risk_count = 2};
    struct sl_calibration calibration = {0};
    struct sl_error error = {0};
    uint32_t kind;
    size_t used = 0;
    ck_assert_int_eq(sl_fit(rows, 3000, &options, &calibration, &error), SL_OK);
    ck_assert_uint_eq(calibration.risk_count, 2);
    struct sl_linear_score answer = calibration.answer;
    ck_assert_int_eq(sl_kinds_add(&calibration.kinds, "a", false, (const char *[]){"a", "z"}, 2,
                                  &kind), SL_OK);
    ck_assert_int_eq(sl_kinds_add(&calibration.kinds, "b", false, (const char *[]){"b", "z"}, 2,
                                  &kind), SL_OK);
    calibration.kinds.items[0].answer = (struct sl_kind_map){0.9, 0.1}; /* fitted before */
    for (size_t i = 0; i < 1000; i++) /* 200 rows of the second kind */
        if (own[i].kind == 2)
            own[used++] = own[i];
    ck_assert_msg(sl_fit_add(own, used, &options, &calibration, &error) == SL_OK, "%s",
                  error.message);
    ck_assert_mem_eq(&calibration.answer, &answer, sizeof answer);
    ck_assert_double_eq(calibration.kinds.items[0].answer.slope, 0.9);
    ck_assert_double_lt(calibration.kinds.items[1].answer.slope, 0.8);
    ck_assert_double_lt(ece_of_kind(&calibration, fresh, 20000, 2, true),
                        0.6 * ece_of_kind(&calibration, fresh, 20000, 2, false));
    ck_assert_int_eq(sl_fit_add(own, 30, &options, &calibration, &error), SL_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "at least 20"));
    sl_kinds_clear(&calibration.kinds);
    free(rows);
    free(own);
    free(fresh);
}
END_TEST

/* `count` rows that all score 0.9, of which some are wrong. */
static void sure_rows(struct sl_fit_row *rows, size_t count, size_t wrong)
{
    for (size_t i = 0; i < count; i++) {
        rows[i] = (struct sl_fit_row){.weight = 1, .key = i};
        rows[i].is_right = true;
    }
    for (size_t i = 0; i < count && wrong > 0; i++)
        if (!sl_fit_is_fitting(&rows[i], 0)) {
            rows[i].is_right = false;
            wrong--;
        }
}

START_TEST(a_certified_risk_stays_only_where_added_rows_bear_it_out)
{
    static struct sl_fit_row rows[600];
    struct sl_certificate certificates[3];
    struct sl_fit_options options = {.delta = 0.1, .certificates = certificates};
    struct sl_error error = {0};
    struct sl_calibration made = {
        .answer = {.count = 1, .ids = {SL_F_TOKENS_LOG}, .weights = {1}, .deviations = {1},
                   .bias = 2.2},
        .risks = {{.risk = 0.02, .threshold = 0.8}, {.risk = 0.1, .threshold = 0.5},
                  {.risk = 0.02, .threshold = 0.99}},
        .risk_count = 3};
    struct sl_calibration calibration = made;
    sure_rows(rows, 600, 0);
    ck_assert_int_eq(sl_fit_bear_out(rows, 600, &options, &calibration, &error), SL_OK);
    ck_assert_uint_eq(calibration.risk_count, 2); /* nothing is answered at 0.99 */
    ck_assert(certificates[0].holds && certificates[1].holds && !certificates[2].holds);
    calibration = made;
    sure_rows(rows, 600, 15); /* some 5 % of those that measure */
    ck_assert_int_eq(sl_fit_bear_out(rows, 600, &options, &calibration, &error), SL_OK);
    ck_assert_uint_eq(calibration.risk_count, 1);
    ck_assert_double_eq(calibration.risks[0].risk, 0.1);
    ck_assert_uint_eq(certificates[0].rows_missing, 0); /* the errors are too many */
    calibration = made;
    sure_rows(rows, 40, 0);
    ck_assert_int_eq(sl_fit_bear_out(rows, 40, &options, &calibration, &error), SL_OK);
    ck_assert(!certificates[0].holds && certificates[0].rows_missing > 80);
}
END_TEST

START_TEST(the_same_rows_give_the_same_fit)
{
    struct sl_fit_row *rows = made_rows(2500, 5);
    const double risks[] = {0.05, 0.1};
    struct sl_fit_options options = {.delta = 0.1, .risks = risks, .risk_count = 2};
    struct sl_calibration first = {0}, second = {0};
    struct sl_error error = {0};
    ck_assert_int_eq(sl_fit(rows, 2500, &options, &first, &error), SL_OK);
    ck_assert_int_eq(sl_fit(rows, 2500, &options, &second, &error), SL_OK);
    ck_assert_mem_eq(&first.answer, &second.answer, sizeof first.answer);
    ck_assert_mem_eq(first.risks, second.risks, sizeof first.risks);
    free(rows);
}
END_TEST

START_TEST(isotonic_steps_rise_and_follow_the_rows)
{
    enum { COUNT = 2000 };
    double scores[COUNT], weights[COUNT];
    double knots_x[SL_CALIBRATION_KNOTS_MAX], knots_y[SL_CALIBRATION_KNOTS_MAX];
    bool right[COUNT];
    random_state = 9;
    for (int i = 0; i < COUNT; i++) {
        scores[i] = i / (double)COUNT;
        weights[i] = 1;
        right[i] = uniform() < scores[i] * scores[i]; /* over-confident by a square */
    }
    size_t count = sl_fit_isotonic(scores, weights, right, COUNT, knots_x, knots_y);
    ck_assert_uint_gt(count, 5);
    for (size_t i = 1; i < count; i++) {
        ck_assert_double_ge(knots_x[i], knots_x[i - 1]);
        ck_assert_double_ge(knots_y[i], knots_y[i - 1]);
        ck_assert_double_eq_tol(knots_y[i], knots_x[i] * knots_x[i], 0.12);
    }
    ck_assert_double_eq(knots_y[count - 1], 1);
}
END_TEST

/* Draws rows whose score is the true probability, certifies, and asks whether the true risk above
 * the certified threshold keeps the promise. */
static bool promise_holds(uint64_t seed, bool *certified)
{
    enum { COUNT = 1200, GRID = 200 };
    static struct sl_eval_row rows[COUNT];
    double grid[GRID];
    random_state = seed * 104729 + 7;
    for (int i = 0; i < COUNT; i++) {
        double p = 1 - 0.35 * pow(uniform(), 3);
        rows[i] = (struct sl_eval_row){.score = p, .weight = 1, .is_right = uniform() < p};
    }
    for (int i = 0; i < GRID; i++)
        grid[i] = 1 - 0.35 * pow((i + 1) / (double)GRID, 3);
    sl_eval_sort(rows, COUNT);
    struct sl_certificate certificate = sl_fit_certify(rows, COUNT, grid, GRID, 0.05, 0.1);
    *certified = certificate.holds;
    if (!certificate.holds)
        return true;
    /* With u the cube root of (1 - threshold) / 0.35, the mean of 0.35 v^3 over v < u. */
    double u = cbrt((1 - certificate.risk.threshold) / 0.35);
    return 0.35 * u * u * u / 4 <= 0.05;
}

START_TEST(a_certified_risk_is_broken_no_more_often_than_promised)
{
    int broken = 0, certified_count = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        bool certified;
        broken += !promise_holds(seed, &certified);
        certified_count += certified;
    }
    ck_assert_int_gt(certified_count, 290); /* it does certify, most of the time */
    ck_assert_int_le(broken, 45); /* 10 % of 300, and three standard deviations */
}
END_TEST

START_TEST(what_cannot_be_certified_says_how_many_rows_are_missing)
{
    struct sl_eval_row rows[80];
    const double grid[] = {0.9, 0.5};
    for (int i = 0; i < 80; i++)
        rows[i] = (struct sl_eval_row){.score = 0.95, .weight = 1, .is_right = true};
    struct sl_certificate certificate = sl_fit_certify(rows, 80, grid, 2, 0.02, 0.1);
    ck_assert(!certificate.holds);
    ck_assert_uint_eq(certificate.rows_missing, 114 - 80);
    ck_assert_double_gt(certificate.risk.threshold, 1);
    /* Errors that are too many are not mended by rows. */
    static struct sl_eval_row many[2000];
    for (int i = 0; i < 2000; i++)
        many[i] = (struct sl_eval_row){.score = 0.95, .weight = 1, .is_right = i % 10 != 0};
    certificate = sl_fit_certify(many, 2000, grid, 2, 0.02, 0.1);
    ck_assert(!certificate.holds);
    ck_assert_uint_eq(certificate.rows_missing, 0);
    ck_assert_double_eq_tol(certificate.best_error, 0.1, 1e-9);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calibrate");
    TCase *tcase = tcase_create("calibrate");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_weights_that_made_the_rows_are_found);
    tcase_add_test(tcase, a_fit_keeps_what_helps_and_is_calibrated_on_new_rows);
    tcase_add_test(tcase, few_rows_get_a_sigmoid_and_too_few_are_refused);
    tcase_add_test(tcase, a_kind_that_is_surer_than_right_gets_a_map_of_its_own);
    tcase_add_test(tcase, kinds_are_added_to_a_calibration_that_has_not_seen_their_rows);
    tcase_add_test(tcase, a_certified_risk_stays_only_where_added_rows_bear_it_out);
    tcase_add_test(tcase, the_same_rows_give_the_same_fit);
    tcase_add_test(tcase, isotonic_steps_rise_and_follow_the_rows);
    tcase_add_test(tcase, a_certified_risk_is_broken_no_more_often_than_promised);
    tcase_add_test(tcase, what_cannot_be_certified_says_how_many_rows_are_missing);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
