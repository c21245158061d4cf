/* SPDX-License-Identifier: Apache-2.0 */
#include "fair_share.h"
#include "sampler.h"
#include "sampler_cut.h"
#include "speculate.h"
#include "stop_match.h"
#include "test_support.h"

#include <math.h>
#include <stdlib.h>

#define VOCAB 1237 /* no multiple of any vector length */
#define DRAWS 6000

static float logits[VOCAB];

/* Reproducible numbers in [-1, 1). */
static float noise(uint32_t idx)
{
    uint64_t z = (idx + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 31)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (float)((double)(z >> 11) * 0x1p-52 - 1);
}

static void fill(float scale)
{
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        logits[idx] = scale * noise(idx);
}

static double probability(uint32_t token, double temperature)
{
    double sum = 0;
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        sum += exp((double)logits[idx] / temperature);
    return exp((double)logits[token] / temperature) / sum;
}

START_TEST(the_summary_is_what_double_precision_finds)
{
    fill(8);
    double sum = 0;
    double entropy = 0;
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        sum += exp((double)logits[idx]);
    float best = -INFINITY;
    float second = -INFINITY;
    for (uint32_t idx = 0; idx < VOCAB; idx++) {
        const double p = exp((double)logits[idx]) / sum;
        entropy -= p * log(p);
        if (logits[idx] > best) {
            second = best;
            best = logits[idx];
        } else if (logits[idx] > second) {
            second = logits[idx];
        }
    }
    struct sl_logit_summary summary;
    sl_logit_summarize(logits, VOCAB, &summary);
    ck_assert_float_eq_tol(summary.log_sum, (float)log(sum), 1e-5f);
    ck_assert_float_eq_tol(summary.entropy, (float)entropy, 1e-4f);
    ck_assert(summary.best_logit == best);
    ck_assert(summary.second_logit == second);
    ck_assert(logits[summary.best] == best);
    const struct sl_token_stats stats = sl_logit_stats(&summary, logits[7]);
    ck_assert_float_eq_tol(stats.logprob, (float)log(probability(7, 1)), 1e-4f);
    ck_assert_float_eq_tol(stats.margin, best - second, 1e-6f);
}
END_TEST

START_TEST(alternatives_are_the_best_tokens_in_order)
{
    fill(3);
    logits[100] = 9;
    logits[50] = 9; /* a tie: the lower id comes first */
    logits[1236] = 10;
    struct sl_token_alternative top[5];
    struct sl_logit_summary summary;
    sl_logit_summarize(logits, VOCAB, &summary);
    sl_logit_alternatives(logits, VOCAB, summary.log_sum, top, 5);
    ck_assert_int_eq(top[0].token, 1236);
    ck_assert_int_eq(top[1].token, 50);
    ck_assert_int_eq(top[2].token, 100);
    ck_assert(top[3].logprob >= top[4].logprob);
    ck_assert_float_eq_tol(top[0].logprob, (float)log(probability(1236, 1)), 1e-4f);
}
END_TEST

START_TEST(alternatives_beyond_the_vocabulary_are_marked)
{
    struct sl_token_alternative top[3];
    const float two[] = {1, 2};
    sl_logit_alternatives(two, 2, 0, top, 3);
    ck_assert_int_eq(top[0].token, 1);
    ck_assert_int_eq(top[1].token, 0);
    ck_assert_int_eq(top[2].token, -1);
}
END_TEST

/* Draws often; returns the share of each token in `share`. */
static void draw(const struct sl_sampler_params *params, double *share)
{
    struct sl_sampler *sampler = sl_sampler_create(VOCAB);
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        share[idx] = 0;
    for (uint32_t step = 0; step < DRAWS; step++)
        share[sl_sampler_choose(sampler, params, logits, step)] += 1.0 / DRAWS;
    sl_sampler_free(sampler);
}

/* Five standard deviations of a share. */
static double spread(double p)
{
    return 5 * sqrt(p * (1 - p) / DRAWS) + 1e-9;
}

START_TEST(shares_of_draws_follow_the_temperature)
{
    fill(4);
    static double share[VOCAB];
    const struct sl_sampler_params params = {.temperature = 0.7f, .seed = 3};
    draw(&params, share);
    for (uint32_t idx = 0; idx < VOCAB; idx++) {
        const double p = probability(idx, 0.7);
        ck_assert_double_eq_tol(share[idx], p, spread(p) + 1e-4);
    }
}
END_TEST

static int by_logit(const void *a, const void *b)
{
    const float left = logits[*(const int32_t *)a];
    const float right = logits[*(const int32_t *)b];
    return left < right ? 1 : left > right ? -1 : 0;
}

static void order_tokens(int32_t *order)
{
    for (int32_t idx = 0; idx < VOCAB; idx++)
        order[idx] = idx;
    qsort(order, VOCAB, sizeof *order, by_logit);
}

START_TEST(top_k_draws_from_the_k_best_in_their_proportion)
{
    fill(4);
    static double share[VOCAB];
    static int32_t order[VOCAB];
    const struct sl_sampler_params params = {.temperature = 1, .top_k = 17, .seed = 5};
    draw(&params, share);
    order_tokens(order);
    double kept = 0;
    for (uint32_t rank = 0; rank < 17; rank++)
        kept += probability((uint32_t)order[rank], 1);
    for (uint32_t rank = 0; rank < VOCAB; rank++) {
        const double p = rank < 17 ? probability((uint32_t)order[rank], 1) / kept : 0;
        ck_assert_double_eq_tol(share[order[rank]], p, spread(p));
    }
}
END_TEST

START_TEST(top_p_keeps_the_smallest_set_that_reaches_it)
{
    fill(6);
    static double share[VOCAB];
    static int32_t order[VOCAB];
    const struct sl_sampler_params params = {.temperature = 1, .top_p = 0.6f, .seed = 5};
    draw(&params, share);
    order_tokens(order);
    double mass = 0;
    uint32_t kept = 0;
    while (mass < 0.6)
        mass += probability((uint32_t)order[kept++], 1);
    for (uint32_t rank = 0; rank < VOCAB; rank++) {
        const double p = rank < kept ? probability((uint32_t)order[rank], 1) / mass : 0;
        ck_assert_double_eq_tol(share[order[rank]], p, spread(p));
    }
}
END_TEST

START_TEST(min_p_drops_what_is_far_from_the_best)
{
    fill(4);
    static double share[VOCAB];
    static int32_t order[VOCAB];
    const struct sl_sampler_params params = {.temperature = 1, .min_p = 0.5f, .seed = 9};
    draw(&params, share);
    order_tokens(order);
    const double best = probability((uint32_t)order[0], 1);
    for (uint32_t rank = 0; rank < VOCAB; rank++)
        if (probability((uint32_t)order[rank], 1) < 0.499 * best)
            ck_assert(share[order[rank]] == 0);
    ck_assert(share[order[0]] > 0);
    ck_assert(share[order[1]] > 0 || probability((uint32_t)order[1], 1) < 0.5 * best);
}
END_TEST

/* ---- cuts, against all tokens sorted ---- */

static int better_first(const void *left, const void *right)
{
    const int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    if (logits[a] != logits[b])
        return logits[a] > logits[b] ? -1 : 1;
    return a < b ? -1 : 1;
}

static int lower_id_first(const void *left, const void *right)
{
    return *(const int32_t *)left < *(const int32_t *)right ? -1 : 1;
}

static double mass_at(int32_t token, float best, float scale)
{
    return exp((double)((logits[token] - best) * scale));
}

/* Writes what the rules leave, by id; returns how many. The mass that top-p asks for is met to
 * within `slack`: then `*doubtful` is the count with one more token. */
static size_t cut_sorted(const struct sl_cut_rules *rules, double slack, int32_t *out,
                         size_t *doubtful)
{
    for (int32_t idx = 0; idx < VOCAB; idx++)
        out[idx] = idx;
    qsort(out, VOCAB, sizeof *out, better_first);
    const float best = logits[out[0]];
    size_t count = rules->top_k > 0 && rules->top_k < VOCAB ? rules->top_k : VOCAB;
    double total = 0, mass = 0;
    for (size_t idx = 0; idx < count; idx++)
        total += mass_at(out[idx], best, rules->scale);
    size_t kept = 0;
    while (kept < count && (rules->top_p >= 1 || mass < rules->top_p * total))
        mass += mass_at(out[kept++], best, rules->scale);
    const bool is_close = rules->top_p < 1 && kept > 1 && fabs(mass - rules->top_p * total) < slack;
    while (kept > 1 && rules->min_p > 0 &&
           (logits[out[kept - 1]] - best) * rules->scale < logf(rules->min_p))
        kept--;
    while (kept > 1 && logits[out[kept - 1]] == -INFINITY)
        kept--;
    *doubtful = is_close ? kept + 1 : kept;
    qsort(out, kept, sizeof *out, lower_id_first);
    return kept;
}

static void check_cut(struct sl_cut *cut, const struct sl_cut_rules *rules, const char *what)
{
    static int32_t expected[VOCAB];
    const struct sl_cut_token *tokens;
    float best = -INFINITY;
    for (size_t idx = 0; idx < VOCAB; idx++)
        best = logits[idx] > best ? logits[idx] : best;
    size_t doubtful;
    const size_t wanted = cut_sorted(rules, 1e-4, expected, &doubtful);
    const size_t count = sl_cut_tokens(cut, logits, best, rules, &tokens);
    ck_assert_msg(count == wanted || count == doubtful,
                  "%s: k %u, p %g, min-p %g: %zu left, not %zu", what, rules->top_k,
                  rules->top_p, (double)rules->min_p, count, wanted);
    for (size_t idx = 0; idx < count && count == wanted; idx++)
        ck_assert_msg(tokens[idx].token == expected[idx], "%s: k %u, p %g: token %d, not %d", what,
                      rules->top_k, rules->top_p, tokens[idx].token, expected[idx]);
}

static void check_cuts(struct sl_cut *cut, const char *what)
{
    static const uint32_t ks[] = {0, 1, 2, 7, 19, 20, 40, 400, VOCAB, VOCAB + 5};
    static const double ps[] = {1, 0.999, 0.95, 0.9, 0.5, 0.05, 1e-9};
    static const float min_ps[] = {0, 0.02f, 0.5f, 1};
    for (size_t k = 0; k < sizeof ks / sizeof *ks; k++)
        for (size_t p = 0; p < sizeof ps / sizeof *ps; p++)
            for (size_t m = 0; m < sizeof min_ps / sizeof *min_ps; m++)
                for (float scale = 0.3f; scale < 3; scale += 1.3f) {
                    const struct sl_cut_rules rules = {scale, ks[k], ps[p], min_ps[m]};
                    check_cut(cut, &rules, what);
                }
}

START_TEST(cuts_leave_what_sorting_would)
{
    struct sl_cut *cut = sl_cut_create(VOCAB);
    ck_assert_ptr_nonnull(cut);
    fill(6);
    check_cuts(cut, "spread");
    fill(0.01f);
    check_cuts(cut, "flat");
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        logits[idx] = roundf(4 * noise(idx)); /* nine values: many equals */
    check_cuts(cut, "equals");
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        logits[idx] = (float)idx * 0.01f;
    check_cuts(cut, "rising");
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        logits[idx] = idx % 97 == 3 ? 5 * noise(idx) : -INFINITY;
    check_cuts(cut, "masked");
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        logits[idx] = idx == 700 ? 9 : -INFINITY;
    check_cuts(cut, "one");
    sl_cut_free(cut);
}
END_TEST

START_TEST(temperature_zero_takes_the_best_and_the_lower_id_of_equals)
{
    fill(1);
    logits[30] = 5;
    logits[20] = 5;
    struct sl_sampler *sampler = sl_sampler_create(VOCAB);
    const struct sl_sampler_params params = {.temperature = 0};
    ck_assert_int_eq(sl_sampler_choose(sampler, &params, logits, 0), 20);
    sl_sampler_free(sampler);
}
END_TEST

START_TEST(a_draw_depends_on_seed_and_position_only)
{
    fill(3);
    struct sl_sampler *sampler = sl_sampler_create(VOCAB);
    const struct sl_sampler_params one = {.temperature = 1, .seed = 1};
    const struct sl_sampler_params two = {.temperature = 1, .seed = 2};
    uint32_t equal = 0;
    for (uint32_t position = 0; position < 100; position++) {
        const int32_t first = sl_sampler_choose(sampler, &one, logits, position);
        equal += first == sl_sampler_choose(sampler, &two, logits, position);
        ck_assert_int_eq(first, sl_sampler_choose(sampler, &one, logits, position));
    }
    ck_assert_uint_lt(equal, 20);
    sl_sampler_free(sampler);
}
END_TEST

START_TEST(masked_tokens_are_never_drawn)
{
    fill(2);
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        if (idx != 11 && idx != 900)
            logits[idx] = -INFINITY;
    static double share[VOCAB];
    const struct sl_sampler_params all = {.temperature = 1};
    draw(&all, share);
    ck_assert_double_eq_tol(share[11] + share[900], 1, 1e-9);
    const struct sl_sampler_params cut = {.temperature = 2, .top_k = 50, .top_p = 0.99f};
    draw(&cut, share);
    ck_assert_double_eq_tol(share[11] + share[900], 1, 1e-9);
}
END_TEST

START_TEST(logits_of_a_broken_model_do_not_crash)
{
    struct sl_sampler *sampler = sl_sampler_create(VOCAB);
    const struct sl_sampler_params params = {.temperature = 1, .top_p = 0.9f};
    for (uint32_t idx = 0; idx < VOCAB; idx++)
        logits[idx] = NAN;
    struct sl_logit_summary summary;
    sl_logit_summarize(logits, VOCAB, &summary);
    ck_assert(!isfinite(summary.log_sum));
    const int32_t token = sl_sampler_choose(sampler, &params, logits, 0);
    ck_assert_int_ge(token, 0);
    ck_assert_int_lt(token, VOCAB);
    sl_sampler_free(sampler);
}
END_TEST

START_TEST(penalties_and_bias_leave_the_raw_logits_alone)
{
    fill(1);
    logits[3] = 2;
    logits[4] = -2;
    logits[5] = 1;
    struct sl_sampler *sampler = sl_sampler_create(VOCAB);
    const struct sl_logit_bias bias[] = {{6, 100}, {-1, 5}, {VOCAB, 5}};
    const struct sl_sampler_params params = {.repetition_penalty = 2,
                                             .presence_penalty = 0.5f,
                                             .frequency_penalty = 0.25f,
                                             .bias = bias,
                                             .bias_count = 3};
    const int32_t history[] = {3, 4, 5, 5, 5}; /* 3 and 4 in the prompt */
    const float *edited = sl_sampler_edit(sampler, &params, logits, history, 2, 5);
    ck_assert_ptr_ne(edited, logits);
    ck_assert_float_eq_tol(edited[3], 1, 1e-6f);
    ck_assert_float_eq_tol(edited[4], -4, 1e-6f);
    ck_assert_float_eq_tol(edited[5], 0.5f - 0.5f - 0.75f, 1e-6f);
    ck_assert_float_eq_tol(edited[6], logits[6] + 100, 1e-4f);
    ck_assert(logits[3] == 2.0f);
    const struct sl_sampler_params none = {.temperature = 1, .repetition_penalty = 1};
    ck_assert_ptr_eq(sl_sampler_edit(sampler, &none, logits, history, 2, 5), logits);
    sl_sampler_free(sampler);
}
END_TEST

START_TEST(a_prior_is_added_to_a_copy_and_bias_on_top_of_it)
{
    fill(1);
    struct sl_sampler *sampler = sl_sampler_create(VOCAB);
    const struct sl_logit_bias prior[] = {{7, -3}, {8, -1}, {7, -0.5f}, {VOCAB, 9}, {-1, 9}};
    const struct sl_logit_bias bias[] = {{7, 10}};
    const struct sl_sampler_params params = {
        .prior = prior, .prior_count = 5, .bias = bias, .bias_count = 1};
    const float before = logits[7];
    float *work = sl_sampler_begin(sampler, &params, logits, false);
    ck_assert_ptr_ne(work, logits);
    ck_assert_float_eq_tol(work[7], before - 3.5f, 1e-5f);
    ck_assert_float_eq_tol(work[8], logits[8] - 1, 1e-5f);
    ck_assert(logits[7] == before);
    ck_assert_float_eq_tol(sl_sampler_prior(sampler, &params, 7), -3.5f, 1e-6f);
    ck_assert_float_eq(sl_sampler_prior(sampler, &params, VOCAB), 0);
    float *edited = sl_sampler_edit(sampler, &params, work, NULL, 0, 0);
    ck_assert_float_eq_tol(edited[7], before + 6.5f, 1e-5f);
    ck_assert_float_eq_tol(edited[8], logits[8] - 1, 1e-5f);
    const struct sl_sampler_params none = {.temperature = 1};
    ck_assert_ptr_eq(sl_sampler_begin(sampler, &none, logits, false), logits);
    ck_assert_ptr_ne(sl_sampler_begin(sampler, &none, logits, true), logits);
    sl_sampler_free(sampler);
}
END_TEST

/* ---- stop strings ---- */

START_TEST(a_stop_string_is_found_however_it_is_cut)
{
    const struct sl_slice stops[] = {SL_SLICE("</answer>"), SL_SLICE("END")};
    const char text[] = "so </answ and </answer> END";
    for (size_t cut = 0; cut < 22; cut++) {
        struct sl_stop_match *match = sl_stop_match_create(stops, 2);
        bool found = sl_stop_match_feed(match, (struct sl_slice){text, cut});
        for (size_t at = cut; !found; at++)
            found = sl_stop_match_feed(match, (struct sl_slice){text + at, 1});
        ck_assert_uint_eq(sl_stop_match_released(match), strlen("so </answ and "));
        sl_stop_match_free(match);
    }
}
END_TEST

START_TEST(only_a_possible_beginning_is_held_back)
{
    const struct sl_slice stops[] = {SL_SLICE("aab")};
    struct sl_stop_match *match = sl_stop_match_create(stops, 1);
    ck_assert(!sl_stop_match_feed(match, SL_SLICE("xa")));
    ck_assert_uint_eq(sl_stop_match_released(match), 1);
    ck_assert(!sl_stop_match_feed(match, SL_SLICE("aa")));
    ck_assert_uint_eq(sl_stop_match_released(match), 2);
    ck_assert(!sl_stop_match_feed(match, SL_SLICE("c")));
    ck_assert_uint_eq(sl_stop_match_released(match), 5);
    ck_assert(sl_stop_match_feed(match, SL_SLICE("aaab")));
    ck_assert_uint_eq(sl_stop_match_released(match), 6);
    sl_stop_match_free(match);
}
END_TEST

START_TEST(empty_stop_strings_stop_nothing)
{
    const struct sl_slice stops[] = {SL_SLICE("")};
    struct sl_stop_match *match = sl_stop_match_create(stops, 1);
    ck_assert(!sl_stop_match_feed(match, SL_SLICE("abc")));
    ck_assert_uint_eq(sl_stop_match_released(match), 3);
    sl_stop_match_free(match);
}
END_TEST

/* ---- guesses, turns ---- */

START_TEST(a_guess_is_what_followed_the_same_tokens_last)
{
    const int32_t ids[] = {1, 2, 3, 9, 9, 1, 2, 3, 7, 8, 4, 1, 2, 3};
    int32_t draft[SL_DRAFT_MAX];
    ck_assert_uint_eq(sl_speculate_draft(ids, 14, 4, draft), 4);
    ck_assert_int_eq(draft[0], 7);
    ck_assert_int_eq(draft[1], 8);
    ck_assert_int_eq(draft[2], 4);
    ck_assert_int_eq(draft[3], 1);
    ck_assert_uint_eq(sl_speculate_draft(ids, 5, 4, draft), 0);
    ck_assert_uint_eq(sl_speculate_draft(ids, 2, 4, draft), 0);
    ck_assert_uint_eq(sl_speculate_draft(ids, 14, 0, draft), 0);
}
END_TEST

START_TEST(an_app_that_was_away_has_not_saved_up)
{
    struct sl_fair_share share = {0};
    sl_fair_share_enter(&share, 1);
    sl_fair_share_charge(&share, 1, 1000);
    sl_fair_share_enter(&share, 2);
    ck_assert_uint_eq(sl_fair_share_service(&share, 2), 1000);
    sl_fair_share_charge(&share, 2, 10);
    sl_fair_share_charge(&share, 1, 500);
    ck_assert_uint_lt(sl_fair_share_service(&share, 2), sl_fair_share_service(&share, 1));
    sl_fair_share_leave(&share, 2);
    sl_fair_share_leave(&share, 1);
    sl_fair_share_enter(&share, 3);
    ck_assert_uint_ge(sl_fair_share_service(&share, 3), 1010);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sampler");
    TCase *tcase = tcase_create("sampler");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_summary_is_what_double_precision_finds);
    tcase_add_test(tcase, alternatives_are_the_best_tokens_in_order);
    tcase_add_test(tcase, alternatives_beyond_the_vocabulary_are_marked);
    tcase_add_test(tcase, shares_of_draws_follow_the_temperature);
    tcase_add_test(tcase, top_k_draws_from_the_k_best_in_their_proportion);
    tcase_add_test(tcase, top_p_keeps_the_smallest_set_that_reaches_it);
    tcase_add_test(tcase, min_p_drops_what_is_far_from_the_best);
    tcase_add_test(tcase, cuts_leave_what_sorting_would);
    tcase_add_test(tcase, temperature_zero_takes_the_best_and_the_lower_id_of_equals);
    tcase_add_test(tcase, a_draw_depends_on_seed_and_position_only);
    tcase_add_test(tcase, masked_tokens_are_never_drawn);
    tcase_add_test(tcase, logits_of_a_broken_model_do_not_crash);
    tcase_add_test(tcase, penalties_and_bias_leave_the_raw_logits_alone);
    tcase_add_test(tcase, a_prior_is_added_to_a_copy_and_bias_on_top_of_it);
    tcase_add_test(tcase, a_stop_string_is_found_however_it_is_cut);
    tcase_add_test(tcase, only_a_possible_beginning_is_held_back);
    tcase_add_test(tcase, empty_stop_strings_stop_nothing);
    tcase_add_test(tcase, a_guess_is_what_followed_the_same_tokens_last);
    tcase_add_test(tcase, an_app_that_was_away_has_not_saved_up);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
