/* SPDX-License-Identifier: Apache-2.0
 *
 * What the decision adds to a request: matching a policy of 50 routes, resolving it, deciding before
 * and after, and the score of 64 tokens with a calibration. The budget is 50 µs. Prints nanoseconds,
 * the best of five runs.
 */
#include "calibration.h"

#include "sluice/clock.h"
#include "sluice/decision.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 2000
#define TOKENS 64

static const struct sl_policy *make_policy(void)
{
    struct sl_buf text;
    struct sl_error error = {0};
    const struct sl_policy *policy;
    sl_buf_init(&text, 1 << 20);
    enum sl_err err = sl_buf_append_text(&text, "{\"routes\": [");
    for (int i = 0; i < 50 && err == SL_OK; i++)
        err = sl_buf_printf(&text, "{\"match\": {\"app\": \"team-%d-*\", \"header\": {\"x-t\": \"%d\"}}},",
                            i, i);
    if (err == SL_OK)
        err = sl_buf_append_text(&text, "{\"when\": [{\"if\": {\"temperature_above\": 80}, \"set\": "
                                        "{\"threshold\": 0.7}}]}]}");
    if (err == SL_OK)
        err = sl_policy_load_text("bench", sl_buf_slice(&text), &policy, &error);
    sl_buf_clear(&text);
    if (err == SL_OK)
        return policy;
    fprintf(stderr, "%s\n", error.message);
    exit(1);
}

static double one_request(const struct sl_policy *policy, const struct sl_calibration *calibration)
{
    struct sl_route_query query = {.app = SL_SLICE("team-49"), .model = SL_SLICE("auto"),
                                   .path = SL_SLICE("/v1/chat/completions")};
    struct sl_device_state device = {.has_temperature = true, .temperature_c = 85};
    struct sl_measurements m = {.prompt_tokens = 60, .local_is_ready = true,
                                .local_has_room = true, .local_window = 2048,
                                .device = device};
    struct sl_route route;
    sl_route_resolve(sl_policy_match(policy, &query), &device, &route);
    struct sl_decision decision = sl_decide_before(&m, &route);
    struct sl_features features;
    sl_features_init(&features);
    for (int i = 0; i < TOKENS; i++)
        sl_features_token(&features, &(struct sl_token_stats){.logprob = -0.01F * (float)(i % 7),
                                                              .entropy = 0.1F, .margin = 3});
    m.local.status = SL_LOCAL_COMPLETE;
    m.local.score = sl_confidence_score(&features, calibration);
    decision = sl_decide_after(&m, &route);
    return decision.score.value;
}

int main(void)
{
    struct sl_calibration calibration = {
        .answer = {.count = 3,
                   .ids = {SL_F_LOGPROB_MEAN, SL_F_LOGPROB_Q10, SL_F_ENTROPY_MAX},
                   .weights = {1, 1, -1},
                   .deviations = {1, 1, 1}}};
    const struct sl_policy *policy = make_policy();
    double best = INFINITY, sum = 0;
    for (int run = 0; run < 5; run++) {
        uint64_t start_ns = sl_monotonic_ns();
        for (int i = 0; i < ROUNDS; i++)
            sum += one_request(policy, &calibration);
        best = fmin(best, (double)(sl_monotonic_ns() - start_ns) / ROUNDS);
    }
    printf("decision: %.0f ns a request (match of 50 routes, resolve, before, %d tokens, score, "
           "after); check %.3f\n", best, TOKENS, sum / ROUNDS / 5);
    sl_policy_release(policy);
    return best <= 50000 ? 0 : 1;
}
