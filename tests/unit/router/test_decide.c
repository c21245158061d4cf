/* SPDX-License-Identifier: Apache-2.0
 *
 * The decision, case by case, and properties over many random inputs.
 */
#include "sluice/decision.h"

#include "test_support.h"

#include <math.h>
#include <stdlib.h>

static const struct sl_cloud_provider_config provider = {.name = "p"};

/* A request that the box may answer, and a cloud that would take it. */
static struct sl_measurements fine(void)
{
    return (struct sl_measurements){
        .prompt_tokens = 40,
        .local_is_ready = true,
        .local_has_room = true,
        .local_window = 1024,
        .local_features = SL_FEATURE_JSON | SL_FEATURE_SCHEMA | SL_FEATURE_LOGPROBS,
        .cloud_is_possible = true,
        .cloud_is_available = true,
        .local = {.score = {.value = (double)NAN}},
    };
}

static struct sl_route plain(void)
{
    return (struct sl_route){
        .name = "r",
        .mode = SL_MODE_AUTO,
        .threshold = 0.6,
        .context_tokens_max = 512,
        .context_counts_output = true,
        .sticky = true,
        .local = {.is_enabled = true,
                  .structured_allowed = true,
                  .prompt_score_min = 0.25,
                  .memory_available_min = 0.02,
                  .temperature_max_c = 100},
        .cloud = {.is_enabled = true,
                  .targets = {{.provider = &provider, .model = "m"}},
                  .target_count = 1,
                  .speculative_margin = 0.1},
        .stream = {.hold_tokens = 24, .hold_ms = 800},
    };
}

static void answered(struct sl_measurements *m, double score)
{
    m->local.status = SL_LOCAL_COMPLETE;
    m->local.score =
        (struct sl_score){.value = score, .method = SL_SCORE_MEAN_PROBABILITY, .tokens = 10};
}

#define expect(d, wanted_side, wanted_reason)                                                      \
    do {                                                                                           \
        ck_assert_str_eq(sl_side_word((d).side), sl_side_word(wanted_side));                       \
        ck_assert_str_eq(sl_reason_word((d).reason), sl_reason_word(wanted_reason));               \
    } while (0)

START_TEST(the_words_of_reasons_are_those_of_the_contract)
{
    static const char *const words[] = {
        "confident",     "cached",        "low_confidence", "context_length",
        "unsupported_feature", "schema_invalid", "empty_output",   "local_error",
        "local_timeout", "local_overload", "device_pressure", "forced",
        "policy",        "pii_keep_local", "cloud_unavailable", "offline",
        "stale"};
    ck_assert_uint_eq(SL_REASON_COUNT - 1, sizeof words / sizeof *words);
    for (int i = 1; i < SL_REASON_COUNT; i++)
        ck_assert_str_eq(sl_reason_word((enum sl_reason)i), words[i - 1]);
}
END_TEST

START_TEST(a_fitting_request_is_generated_first_and_judged_by_its_score)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    struct sl_decision d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_LOCAL, SL_REASON_NONE);
    ck_assert(!d.is_final);
    ck_assert(d.may_escalate);
    answered(&m, 0.6);
    d = sl_decide_after(&m, &route);
    expect(d, SL_SIDE_LOCAL, SL_REASON_CONFIDENT);
    ck_assert(d.is_final && d.is_scored);
    answered(&m, 0.5999);
    d = sl_decide_after(&m, &route);
    expect(d, SL_SIDE_CLOUD, SL_REASON_LOW_CONFIDENCE);
    ck_assert_str_eq(d.change, "a threshold of at most 0.5999, instead of 0.6000");
}
END_TEST

START_TEST(a_missing_score_is_never_confident)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.local.status = SL_LOCAL_COMPLETE;
    route.threshold = 0;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_LOW_CONFIDENCE);
}
END_TEST

START_TEST(hard_checks_come_before_the_score)
{
    struct sl_route route = plain();
    struct sl_measurements m = fine();
    answered(&m, 0.99);
    m.local.is_empty = true;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_EMPTY_OUTPUT);
    m.local.is_empty = false;
    m.local.is_loop = true;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_EMPTY_OUTPUT);
    m.local.is_loop = false;
    m.local.is_broken = true;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_SCHEMA_INVALID);
    m.local.is_broken = false;
    m.local.status = SL_LOCAL_LENGTH;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_EMPTY_OUTPUT);
    m.local.status = SL_LOCAL_TIMEOUT;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_LOCAL_TIMEOUT);
    m.local.status = SL_LOCAL_OVERLOAD;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_LOCAL_OVERLOAD);
    m.local.status = SL_LOCAL_ERROR;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_LOCAL_ERROR);
}
END_TEST

START_TEST(context_counts_prompt_and_wanted_output)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.prompt_tokens = 512;
    expect(sl_decide_before(&m, &route), SL_SIDE_LOCAL, SL_REASON_NONE);
    m.prompt_tokens = 513;
    expect(sl_decide_before(&m, &route), SL_SIDE_CLOUD, SL_REASON_CONTEXT_LENGTH);
    m.prompt_tokens = 400;
    m.output_tokens = 113;
    struct sl_decision d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_CLOUD, SL_REASON_CONTEXT_LENGTH);
    ck_assert_str_eq(d.change, "513 tokens against a limit of 512: a shorter request, or a higher "
                               "context_tokens_max");
    route.context_counts_output = false;
    expect(sl_decide_before(&m, &route), SL_SIDE_LOCAL, SL_REASON_NONE);
    /* The model's own window is no matter of policy. */
    route.context_tokens_max = 0;
    m.output_tokens = 625;
    expect(sl_decide_before(&m, &route), SL_SIDE_CLOUD, SL_REASON_CONTEXT_LENGTH);
    m.mode = SL_MODE_LOCAL_ONLY;
    d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_NONE, SL_REASON_CONTEXT_LENGTH);
    ck_assert_int_eq(d.error, SL_ERR_CONTEXT_LENGTH);
}
END_TEST

START_TEST(a_policy_limit_gives_way_where_there_is_no_cloud_and_a_window_does_not)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.prompt_tokens = 600;
    m.device.network = SL_NETWORK_OFFLINE;
    struct sl_decision d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_LOCAL, SL_REASON_OFFLINE);
    ck_assert(!d.is_final);
    m.prompt_tokens = 2000;
    d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_NONE, SL_REASON_OFFLINE);
    ck_assert_int_eq(d.error, SL_ERR_ROUTE_UNAVAILABLE);
}
END_TEST

START_TEST(features_that_the_box_lacks_escalate_or_fail_clearly)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.features = SL_FEATURE_IMAGES | SL_FEATURE_CHOICES | SL_FEATURE_LOGPROBS;
    struct sl_decision d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_CLOUD, SL_REASON_UNSUPPORTED_FEATURE);
    ck_assert_str_eq(d.change, "the request without images, n");
    route.cloud.is_enabled = false;
    d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_NONE, SL_REASON_UNSUPPORTED_FEATURE);
    ck_assert_int_eq(d.error, SL_ERR_UNSUPPORTED);
    /* Tools need the route's leave besides the model's ability. */
    route = plain();
    m.features = SL_FEATURE_TOOLS;
    m.local_features |= SL_FEATURE_TOOLS;
    expect(sl_decide_before(&m, &route), SL_SIDE_CLOUD, SL_REASON_UNSUPPORTED_FEATURE);
    route.local.tools_allowed = true;
    expect(sl_decide_before(&m, &route), SL_SIDE_LOCAL, SL_REASON_NONE);
}
END_TEST

START_TEST(forced_modes_are_kept_and_contradictions_are_refused)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.mode = SL_MODE_CLOUD_ONLY;
    struct sl_decision d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_CLOUD, SL_REASON_FORCED);
    ck_assert(d.is_final);
    m.cloud_is_available = false;
    d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_NONE, SL_REASON_CLOUD_UNAVAILABLE); /* never a silent switch */
    ck_assert_int_eq(d.error, SL_ERR_ROUTE_UNAVAILABLE);
    m = fine();
    m.mode = SL_MODE_LOCAL_ONLY;
    answered(&m, 0.01);
    expect(sl_decide_after(&m, &route), SL_SIDE_LOCAL, SL_REASON_FORCED);
    route.mode = SL_MODE_CLOUD_ONLY;
    d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_NONE, SL_REASON_POLICY);
    ck_assert_int_eq(d.error, SL_ERR_FORBIDDEN);
    m.mode = SL_MODE_UNSET;
    expect(sl_decide_before(&m, &route), SL_SIDE_CLOUD, SL_REASON_POLICY);
}
END_TEST

START_TEST(preferences_choose_a_side_and_fall_back_to_the_other)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    route.mode = SL_MODE_PREFER_CLOUD;
    expect(sl_decide_before(&m, &route), SL_SIDE_CLOUD, SL_REASON_POLICY);
    m.cloud_is_available = false;
    expect(sl_decide_before(&m, &route), SL_SIDE_LOCAL, SL_REASON_CLOUD_UNAVAILABLE);
    route.cloud.unavailable = SL_UNAVAILABLE_ERROR;
    expect(sl_decide_before(&m, &route), SL_SIDE_NONE, SL_REASON_CLOUD_UNAVAILABLE);
    m = fine();
    route = plain();
    route.mode = SL_MODE_PREFER_LOCAL;
    answered(&m, 0.1);
    expect(sl_decide_after(&m, &route), SL_SIDE_LOCAL, SL_REASON_POLICY);
    m.local.is_empty = true;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_EMPTY_OUTPUT);
}
END_TEST

START_TEST(personal_data_closes_the_way_out)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.egress = SL_EGRESS_BLOCK;
    ck_assert_int_eq(sl_decide_before(&m, &route).error, SL_ERR_PII_BLOCKED);
    m.egress = SL_EGRESS_KEEP_LOCAL;
    ck_assert(!sl_decide_before(&m, &route).may_escalate);
    answered(&m, 0.2);
    expect(sl_decide_after(&m, &route), SL_SIDE_LOCAL, SL_REASON_PII_KEEP_LOCAL);
    answered(&m, 0.9);
    expect(sl_decide_after(&m, &route), SL_SIDE_LOCAL, SL_REASON_CONFIDENT);
    m.prompt_tokens = 5000;
    ck_assert_int_eq(sl_decide_before(&m, &route).error, SL_ERR_PII_BLOCKED);
    m = fine();
    m.mode = SL_MODE_CLOUD_ONLY;
    m.egress = SL_EGRESS_FAILED; /* a detector that fails closes the way, it does not open it */
    struct sl_decision d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_NONE, SL_REASON_PII_KEEP_LOCAL);
    ck_assert_int_eq(d.error, SL_ERR_PII_DETECTOR);
}
END_TEST

START_TEST(sessions_stay_where_they_began)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.session_side = SL_SIDE_CLOUD;
    expect(sl_decide_before(&m, &route), SL_SIDE_CLOUD, SL_REASON_POLICY);
    m.session_side = SL_SIDE_LOCAL;
    answered(&m, 0.3);
    expect(sl_decide_after(&m, &route), SL_SIDE_LOCAL, SL_REASON_POLICY);
    route.sticky = false;
    expect(sl_decide_after(&m, &route), SL_SIDE_CLOUD, SL_REASON_LOW_CONFIDENCE);
}
END_TEST

START_TEST(pressure_and_foreign_prompts_escalate_before_a_token_is_made)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.device.has_temperature = true;
    m.device.temperature_c = 101;
    expect(sl_decide_before(&m, &route), SL_SIDE_CLOUD, SL_REASON_DEVICE_PRESSURE);
    m.device.has_temperature = false;
    m.device.has_memory = true;
    m.device.memory_available_share = 0.01;
    expect(sl_decide_before(&m, &route), SL_SIDE_CLOUD, SL_REASON_DEVICE_PRESSURE);
    m = fine();
    m.prompt_score = (struct sl_score){.value = 0.2, .method = SL_SCORE_PROMPT};
    struct sl_decision d = sl_decide_before(&m, &route);
    expect(d, SL_SIDE_CLOUD, SL_REASON_LOW_CONFIDENCE);
    ck_assert_str_eq(d.change, "a prompt_score_min of at most 0.2000, instead of 0.2500");
    route.threshold = 0.15; /* takes less sure answers, so less sure prompts too */
    expect(sl_decide_before(&m, &route), SL_SIDE_LOCAL, SL_REASON_NONE);
    route = plain();
    m.prompt_score.value = 0.25;
    expect(sl_decide_before(&m, &route), SL_SIDE_LOCAL, SL_REASON_NONE);
    m.local_has_room = false;
    expect(sl_decide_before(&m, &route), SL_SIDE_CLOUD, SL_REASON_LOCAL_OVERLOAD);
}
END_TEST

START_TEST(a_risk_without_a_calibration_is_never_confident)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    route.risk = 0.02;
    answered(&m, 1);
    struct sl_decision d = sl_decide_after(&m, &route);
    expect(d, SL_SIDE_CLOUD, SL_REASON_LOW_CONFIDENCE);
    ck_assert_str_eq(d.change, "a calibration that certifies the risk of this route");
    m.has_risk_threshold = true;
    m.risk_threshold = 0.97;
    expect(sl_decide_after(&m, &route), SL_SIDE_LOCAL, SL_REASON_CONFIDENT);
    ck_assert_double_eq(sl_decide_after(&m, &route).threshold, 0.97);
}
END_TEST

START_TEST(a_spent_budget_leaves_the_box_and_says_policy)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.cloud_budget_is_spent = true;
    answered(&m, 0.3);
    expect(sl_decide_after(&m, &route), SL_SIDE_LOCAL, SL_REASON_POLICY);
}
END_TEST

START_TEST(a_failed_cloud_gives_back_what_the_box_has)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    answered(&m, 0.3);
    struct sl_decision first = sl_decide_after(&m, &route);
    expect(sl_decide_fallback(&m, &route, &first), SL_SIDE_LOCAL, SL_REASON_CLOUD_UNAVAILABLE);
    m.local.is_empty = true; /* nothing to give */
    struct sl_decision d = sl_decide_fallback(&m, &route, &first);
    expect(d, SL_SIDE_NONE, SL_REASON_CLOUD_UNAVAILABLE);
    ck_assert_int_eq(d.error, SL_ERR_ROUTE_UNAVAILABLE);
    /* Escalated before generation: the box may still make one, and then keeps it. */
    m = fine();
    m.prompt_tokens = 700;
    first = sl_decide_before(&m, &route);
    d = sl_decide_fallback(&m, &route, &first);
    expect(d, SL_SIDE_LOCAL, SL_REASON_CLOUD_UNAVAILABLE);
    ck_assert(!d.is_final);
    m.cloud_failed = true;
    answered(&m, 0.1);
    expect(sl_decide_after(&m, &route), SL_SIDE_LOCAL, SL_REASON_CLOUD_UNAVAILABLE);
    route.cloud.unavailable = SL_UNAVAILABLE_ERROR;
    expect(sl_decide_fallback(&m, &route, &first), SL_SIDE_NONE, SL_REASON_CLOUD_UNAVAILABLE);
    m = fine();
    m.mode = SL_MODE_CLOUD_ONLY;
    route = plain();
    first = sl_decide_before(&m, &route);
    expect(sl_decide_fallback(&m, &route, &first), SL_SIDE_NONE, SL_REASON_CLOUD_UNAVAILABLE);
}
END_TEST

static enum sl_stream_verdict stream(const struct sl_route *route, const struct sl_decision *before,
                                     uint32_t tokens, uint64_t held_ms, double score, double best)
{
    struct sl_stream_progress progress = {
        .tokens = tokens,
        .held_ms = held_ms,
        .score = {.value = score, .method = SL_SCORE_MEAN_PROBABILITY, .tokens = tokens},
        .score_best = best,
    };
    return sl_decide_stream(&progress, before, route);
}

START_TEST(a_stream_holds_then_commits_or_escalates_for_good)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    struct sl_decision before = sl_decide_before(&m, &route);
    ck_assert_int_eq(stream(&route, &before, 5, 100, 0.9, 0.99), SL_STREAM_HOLD);
    ck_assert_int_eq(stream(&route, &before, 24, 100, 0.9, 0.9), SL_STREAM_COMMIT);
    ck_assert_int_eq(stream(&route, &before, 5, 800, 0.9, 0.99), SL_STREAM_COMMIT);
    ck_assert_int_eq(stream(&route, &before, 24, 100, 0.59, 0.7), SL_STREAM_ESCALATE);
    ck_assert_int_eq(stream(&route, &before, 3, 10, 0.1, 0.5999), SL_STREAM_ESCALATE); /* hopeless */
    ck_assert_int_eq(stream(&route, &before, 8, 10, 0.55, 0.8), SL_STREAM_HOLD);
    route.cloud.speculative = true;
    ck_assert_int_eq(stream(&route, &before, 8, 10, 0.55, 0.8), SL_STREAM_SPECULATE);
    ck_assert_int_eq(stream(&route, &before, 3, 10, 0.55, 0.8), SL_STREAM_HOLD);
    ck_assert_int_eq(stream(&route, &before, 8, 10, 0.3, 0.8), SL_STREAM_HOLD);
}
END_TEST

START_TEST(a_stream_with_nowhere_to_go_is_released_at_once)
{
    struct sl_measurements m = fine();
    struct sl_route route = plain();
    m.mode = SL_MODE_LOCAL_ONLY;
    struct sl_decision before = sl_decide_before(&m, &route);
    ck_assert_int_eq(stream(&route, &before, 1, 0, 0.1, 0.1), SL_STREAM_COMMIT);
    m.mode = SL_MODE_UNSET;
    m.device.network = SL_NETWORK_OFFLINE;
    before = sl_decide_before(&m, &route);
    ck_assert_int_eq(stream(&route, &before, 1, 0, 0.1, 0.1), SL_STREAM_COMMIT);
}
END_TEST

/* ---- properties ---- */

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

static bool coin(void) { return random_below(2) != 0; }

static void randomise(struct sl_measurements *m, struct sl_route *route)
{
    *m = fine();
    *route = plain();
    m->mode = (enum sl_mode)random_below(6);
    route->mode = (enum sl_mode)(1 + random_below(5));
    m->features = random_below(4) == 0 ? 1u << random_below(SL_FEATURE_COUNT) : 0;
    m->prompt_tokens = random_below(1400);
    m->output_tokens = coin() ? random_below(600) : 0;
    m->session_side = (enum sl_side)random_below(3);
    m->egress = random_below(3) == 0 ? (enum sl_egress)random_below(4) : SL_EGRESS_CLEAR;
    m->local_is_ready = random_below(6) != 0;
    m->local_has_room = random_below(6) != 0;
    m->cloud_is_possible = random_below(5) != 0;
    m->cloud_is_available = random_below(4) != 0;
    m->cloud_budget_is_spent = random_below(6) == 0;
    m->device.network = (enum sl_network)random_below(4);
    route->cloud.is_enabled = random_below(6) != 0;
    route->local.is_enabled = random_below(8) != 0;
    route->cloud.unavailable = (enum sl_unavailable)random_below(2);
    m->local.status = (enum sl_local_status)random_below(8);
    m->local.is_empty = random_below(8) == 0;
    m->local.is_broken = random_below(8) == 0;
    m->local.score.value = random_below(1001) / 1000.0;
    m->local.score.method = random_below(6) ? SL_SCORE_CALIBRATED : SL_SCORE_NONE;
}

static void check_decision(const struct sl_decision *d, const struct sl_measurements *m,
                           const struct sl_route *route)
{
    ck_assert(d->side == SL_SIDE_NONE ? d->error != SL_OK : d->error == SL_OK);
    ck_assert(d->reason != SL_REASON_NONE || (d->side == SL_SIDE_LOCAL && !d->is_final));
    ck_assert(d->reason == SL_REASON_NONE || d->change[0] != '\0');
    bool leaves = d->side == SL_SIDE_CLOUD || d->may_escalate;
    ck_assert(!leaves || (m->egress == SL_EGRESS_CLEAR && m->cloud_is_possible &&
                          route->cloud.is_enabled && m->device.network != SL_NETWORK_OFFLINE &&
                          !m->cloud_budget_is_spent));
    ck_assert(d->side != SL_SIDE_CLOUD ||
              (m->mode != SL_MODE_LOCAL_ONLY && route->mode != SL_MODE_LOCAL_ONLY));
    ck_assert(d->side != SL_SIDE_LOCAL || (m->mode != SL_MODE_CLOUD_ONLY &&
                                           route->mode != SL_MODE_CLOUD_ONLY));
    ck_assert(d->reason != SL_REASON_CONFIDENT || m->local.score.method != SL_SCORE_NONE);
    json_t *json;
    ck_assert_int_eq(sl_decision_explain(d, m, route, &json), SL_OK);
    ck_assert_str_eq(json_string_value(json_object_get(json, "side")), sl_side_word(d->side));
    ck_assert_str_eq(json_string_value(json_object_get(json, "reason")), sl_reason_word(d->reason));
    json_decref(json);
}

START_TEST(no_input_breaks_the_rules_of_the_way_out)
{
    struct sl_measurements m;
    struct sl_route route;
    for (int i = 0; i < 3000; i++) {
        randomise(&m, &route);
        struct sl_decision d = sl_decide_before(&m, &route);
        check_decision(&d, &m, &route);
        if (d.side == SL_SIDE_LOCAL) {
            ck_assert(!d.is_final);
            d = sl_decide_after(&m, &route);
            check_decision(&d, &m, &route);
            ck_assert(d.is_final);
        }
        if (d.side == SL_SIDE_CLOUD) {
            d = sl_decide_fallback(&m, &route, &d);
            ck_assert(d.side == SL_SIDE_LOCAL || d.side == SL_SIDE_NONE);
        }
    }
}
END_TEST

START_TEST(raising_the_threshold_never_lowers_what_escalates)
{
    struct sl_measurements m;
    struct sl_route route;
    for (int i = 0; i < 300; i++) {
        bool was_cloud = false;
        randomise(&m, &route);
        for (int step = 0; step <= 20; step++) {
            route.threshold = step / 20.0;
            bool is_cloud = sl_decide_after(&m, &route).side == SL_SIDE_CLOUD;
            ck_assert(is_cloud || !was_cloud);
            was_cloud = is_cloud;
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decide");
    TCase *tcase = tcase_create("decide");
    tcase_add_test(tcase, the_words_of_reasons_are_those_of_the_contract);
    tcase_add_test(tcase, a_fitting_request_is_generated_first_and_judged_by_its_score);
    tcase_add_test(tcase, a_missing_score_is_never_confident);
    tcase_add_test(tcase, hard_checks_come_before_the_score);
    tcase_add_test(tcase, context_counts_prompt_and_wanted_output);
    tcase_add_test(tcase, a_policy_limit_gives_way_where_there_is_no_cloud_and_a_window_does_not);
    tcase_add_test(tcase, features_that_the_box_lacks_escalate_or_fail_clearly);
    tcase_add_test(tcase, forced_modes_are_kept_and_contradictions_are_refused);
    tcase_add_test(tcase, preferences_choose_a_side_and_fall_back_to_the_other);
    tcase_add_test(tcase, personal_data_closes_the_way_out);
    tcase_add_test(tcase, sessions_stay_where_they_began);
    tcase_add_test(tcase, pressure_and_foreign_prompts_escalate_before_a_token_is_made);
    tcase_add_test(tcase, a_risk_without_a_calibration_is_never_confident);
    tcase_add_test(tcase, a_spent_budget_leaves_the_box_and_says_policy);
    tcase_add_test(tcase, a_failed_cloud_gives_back_what_the_box_has);
    tcase_add_test(tcase, a_stream_holds_then_commits_or_escalates_for_good);
    tcase_add_test(tcase, a_stream_with_nowhere_to_go_is_released_at_once);
    tcase_add_test(tcase, no_input_breaks_the_rules_of_the_way_out);
    tcase_add_test(tcase, raising_the_threshold_never_lowers_what_escalates);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
