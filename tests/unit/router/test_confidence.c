/* SPDX-License-Identifier: Apache-2.0
 *
 * Features and scores: what they are, that nothing missing counts as confident, and that the bound
 * of a running score is never below what the score becomes.
 */
#include "calibration.h"
#include "feature_vector.h"

#include "test_support.h"

#include <math.h>
#include <stdlib.h>

static void add(struct sl_features *features, float logprob)
{
    sl_features_token(features, &(struct sl_token_stats){
                                    .logprob = logprob, .entropy = 0.5F, .margin = 2});
}

/* A calibration over three features, made by hand. */
static struct sl_calibration hand_made(void)
{
    return (struct sl_calibration){
        .answer = {.count = 3,
                   .ids = {SL_F_LOGPROB_MEAN, SL_F_LOGPROB_MIN, SL_F_ENTROPY_MAX},
                   .weights = {2, 1, -1},
                   .means = {-0.5, -1, 0.5},
                   .deviations = {0.5, 1, 0.5},
                   .bias = 0.5},
    };
}

START_TEST(without_a_calibration_the_score_is_the_geometric_mean)
{
    struct sl_features features;
    sl_features_init(&features);
    add(&features, logf(0.9F));
    add(&features, logf(0.4F));
    struct sl_score score = sl_confidence_score(&features, NULL);
    ck_assert_int_eq(score.method, SL_SCORE_MEAN_PROBABILITY);
    ck_assert_uint_eq(score.tokens, 2);
    ck_assert_double_eq_tol(score.value, sqrt(0.9 * 0.4), 1e-6);
}
END_TEST

START_TEST(nothing_and_nonsense_have_no_score)
{
    struct sl_features features;
    sl_features_init(&features);
    ck_assert_int_eq(sl_confidence_score(&features, NULL).method, SL_SCORE_NONE);
    ck_assert(isnan(sl_confidence_score(&features, NULL).value));
    static const float broken[] = {NAN, INFINITY, 0.5F, -INFINITY};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        sl_features_init(&features);
        add(&features, -0.1F);
        add(&features, broken[i]);
        add(&features, -0.1F);
        ck_assert_int_eq(sl_confidence_score(&features, NULL).method, SL_SCORE_NONE);
        ck_assert_double_eq(sl_confidence_best(&features, NULL, 10), 0);
    }
}
END_TEST

START_TEST(a_calibration_that_uses_what_is_missing_gives_no_score)
{
    struct sl_calibration calibration = hand_made();
    struct sl_features features;
    sl_features_init(&features);
    add(&features, -0.1F);
    ck_assert_int_eq(sl_confidence_score(&features, &calibration).method, SL_SCORE_CALIBRATED);
    calibration.answer.ids[0] = SL_F_PROMPT_LOGPROB; /* the engine told nothing of the prompt */
    ck_assert_int_eq(sl_confidence_score(&features, &calibration).method, SL_SCORE_NONE);
    ck_assert_int_eq(sl_confidence_prompt_score(&features, &calibration).method, SL_SCORE_NONE);
}
END_TEST

START_TEST(the_vector_has_the_statistics_of_the_tokens)
{
    struct sl_features features;
    double vector[SL_FEATURE_IDS];
    sl_features_init(&features);
    for (int i = 1; i <= 11; i++) /* -0.1 … -1.1 */
        add(&features, -0.1F * (float)i);
    sl_features_vector(&features, vector);
    ck_assert_double_eq_tol(vector[SL_F_LOGPROB_MEAN], -0.6, 1e-6);
    ck_assert_double_eq_tol(vector[SL_F_LOGPROB_MIN], -1.1, 1e-6);
    ck_assert_double_eq_tol(vector[SL_F_LOGPROB_Q10], -1.0, 1e-6);
    ck_assert_double_eq_tol(vector[SL_F_LOGPROB_Q25], -0.85, 1e-6);
    ck_assert_double_eq_tol(vector[SL_F_LOGPROB_FIRST], -0.1, 1e-6);
    ck_assert_double_eq_tol(vector[SL_F_LOGPROB_WINDOW], -0.75, 1e-6); /* of -0.4 … -1.1 */
    ck_assert(isnan(vector[SL_F_PROMPT_LOGPROB]) && isnan(vector[SL_F_GATE_LOGIT]));
    ck_assert_double_eq(vector[SL_F_TRUNCATED], 0);
}
END_TEST

START_TEST(long_answers_keep_bounded_samples_and_even_quantiles)
{
    struct sl_features features;
    double vector[SL_FEATURE_IDS];
    sl_features_init(&features);
    for (int i = 0; i < 5000; i++)
        add(&features, -(float)(i * 7919 % 1000) / 1000);
    sl_features_vector(&features, vector);
    ck_assert_uint_le(features.sample_count, SL_FEATURE_SAMPLES_MAX);
    ck_assert_uint_ge(features.sample_count, SL_FEATURE_SAMPLES_MAX / 2);
    ck_assert_double_eq_tol(vector[SL_F_LOGPROB_Q10], -0.9, 0.05);
    ck_assert_double_eq_tol(vector[SL_F_LOGPROB_MEAN], -0.4995, 1e-3);
}
END_TEST

START_TEST(the_best_that_can_still_be_is_never_below_what_comes)
{
    struct sl_calibration calibration = hand_made();
    uint64_t random = 3;
    for (int run = 0; run < 300; run++) {
        struct sl_features features;
        double best_plain = 1, best_calibrated = 1;
        sl_features_init(&features);
        for (uint32_t i = 0; i < 24; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            float logprob = -(float)(random >> 40) / (float)(1 << 24) * (run % 3 == 0 ? 5 : 0.5F);
            sl_features_token(&features,
                              &(struct sl_token_stats){.logprob = logprob,
                                                       .entropy = (float)(random >> 60) / 4,
                                                       .margin = (float)(random >> 58) / 8});
            double plain = sl_confidence_score(&features, NULL).value;
            double calibrated = sl_confidence_score(&features, &calibration).value;
            ck_assert_double_le(plain, best_plain + 1e-12);
            ck_assert_double_le(calibrated, best_calibrated + 1e-12);
            best_plain = fmin(best_plain, sl_confidence_best(&features, NULL, 23 - i));
            best_calibrated =
                fmin(best_calibrated, sl_confidence_best(&features, &calibration, 23 - i));
        }
        ck_assert_double_le(sl_confidence_score(&features, NULL).value, best_plain + 1e-12);
    }
}
END_TEST

START_TEST(the_choice_of_the_label_is_kept_and_else_the_least_sure_one)
{
    struct sl_features features;
    double vector[SL_FEATURE_IDS], low[SL_FEATURE_IDS], high[SL_FEATURE_IDS];
    const struct sl_token_stats sure = {.logprob = -0.01F, .entropy = 0.05F, .margin = 5};
    const struct sl_token_stats label = {.logprob = -0.5F, .entropy = 0.9F, .margin = 0.7F};
    const struct sl_token_stats slot = {.logprob = -1.5F, .entropy = 2, .margin = 0.1F};
    const struct sl_token_stats forced = {.logprob = 0, .entropy = 0, .margin = INFINITY};
    sl_features_init(&features);
    sl_features_vector(&features, vector);
    ck_assert(isnan(vector[SL_F_CHOICE_LOGPROB]));
    add(&features, -0.1F);
    sl_features_choice(&features, &forced, false);
    add(&features, -0.1F);
    sl_features_choice(&features, &slot, false);
    sl_features_vector(&features, vector);
    ck_assert_double_eq_tol(vector[SL_F_CHOICE_LOGPROB], -1.5, 1e-6);
    ck_assert_double_eq_tol(vector[SL_F_CHOICE_MARGIN], 0.1, 1e-6);
    sl_features_bounds(&features, 5, low, high); /* a label may still come: anything goes */
    ck_assert_double_eq(high[SL_F_CHOICE_LOGPROB], 0);
    sl_features_choice(&features, &label, true);
    sl_features_choice(&features, &slot, false);
    sl_features_choice(&features, &sure, true);
    sl_features_vector(&features, vector);
    ck_assert_double_eq_tol(vector[SL_F_CHOICE_LOGPROB], -0.5, 1e-6);
    ck_assert_double_eq_tol(vector[SL_F_CHOICE_ENTROPY], 0.9, 1e-6);
    sl_features_bounds(&features, 5, low, high);
    ck_assert_double_eq(high[SL_F_CHOICE_LOGPROB], low[SL_F_CHOICE_LOGPROB]);
    ck_assert(!features.is_broken);
    sl_features_choice(&features, &(struct sl_token_stats){.logprob = NAN}, false);
    ck_assert(features.is_broken);
}
END_TEST

START_TEST(a_token_drawn_against_the_odds_is_as_uncertain_as_it_was_surprising)
{
    struct sl_features features;
    double vector[SL_FEATURE_IDS];
    const struct sl_token_stats drawn = {.logprob = -6, .entropy = 0.1F, .margin = 4};
    sl_features_init(&features);
    sl_features_token(&features, &drawn);
    sl_features_choice(&features, &drawn, true);
    sl_features_vector(&features, vector);
    ck_assert_double_eq_tol(vector[SL_F_ENTROPY_MAX], 6, 1e-6);
    ck_assert_double_eq_tol(vector[SL_F_CHOICE_ENTROPY], 6, 1e-6);
    ck_assert_double_lt(vector[SL_F_MARGIN_MIN], 0);
    ck_assert_double_lt(vector[SL_F_CHOICE_MARGIN], 0);
}
END_TEST

START_TEST(names_of_features_are_read_back)
{
    for (int id = 0; id < SL_FEATURE_IDS; id++) {
        enum sl_feature_id found;
        ck_assert(sl_feature_id_parse(sl_feature_id_word((enum sl_feature_id)id), &found));
        ck_assert_int_eq(found, id);
    }
    enum sl_feature_id found;
    ck_assert(!sl_feature_id_parse("logprob", &found));
    ck_assert(sl_feature_id_is_early(SL_F_GATE_ENTROPY));
    ck_assert(!sl_feature_id_is_early(SL_F_LOGPROB_MEAN));
}
END_TEST

START_TEST(loops_are_found_at_the_end_of_a_text_only)
{
    ck_assert(sl_text_is_loop(SL_SLICE("I think I think I think I think I think "), 4));
    ck_assert(sl_text_is_loop(SL_SLICE("Fine.\n========================"), 4));
    ck_assert(sl_text_is_loop(SL_SLICE("x the cat sat on a mat. the cat sat on a mat. the cat sat on "
                                       "a mat. the cat sat on a mat."), 4));
    ck_assert(!sl_text_is_loop(SL_SLICE("ha ha ha ha"), 4)); /* short: an answer */
    ck_assert(!sl_text_is_loop(SL_SLICE("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"), 4));
    ck_assert(!sl_text_is_loop(SL_SLICE("I think I think I think I think I think so, yes."), 4));
    ck_assert(!sl_text_is_loop(SL_SLICE(""), 4));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("confidence");
    TCase *tcase = tcase_create("confidence");
    tcase_add_test(tcase, without_a_calibration_the_score_is_the_geometric_mean);
    tcase_add_test(tcase, nothing_and_nonsense_have_no_score);
    tcase_add_test(tcase, a_calibration_that_uses_what_is_missing_gives_no_score);
    tcase_add_test(tcase, the_vector_has_the_statistics_of_the_tokens);
    tcase_add_test(tcase, long_answers_keep_bounded_samples_and_even_quantiles);
    tcase_add_test(tcase, the_best_that_can_still_be_is_never_below_what_comes);
    tcase_add_test(tcase, the_choice_of_the_label_is_kept_and_else_the_least_sure_one);
    tcase_add_test(tcase, a_token_drawn_against_the_odds_is_as_uncertain_as_it_was_surprising);
    tcase_add_test(tcase, names_of_features_are_read_back);
    tcase_add_test(tcase, loops_are_found_at_the_end_of_a_text_only);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
