/* SPDX-License-Identifier: Apache-2.0
 *
 * How a request is told to the client: the x-sluice-* headers and the debug object. Reads the
 * sections as they stand; what was not reached is left out.
 */
#include "pipeline.h"
#include "sluice/clock.h"
#include "sluice/crypto.h"

#include <math.h>

static const char *const cache_words[] = {
    [SL_CACHE_STATUS_NONE] = "",       [SL_CACHE_STATUS_HIT] = "hit",
    [SL_CACHE_STATUS_SIMILAR] = "similar", [SL_CACHE_STATUS_MISS] = "miss",
    [SL_CACHE_STATUS_BYPASS] = "bypass",   [SL_CACHE_STATUS_REFRESH] = "refresh",
    [SL_CACHE_STATUS_STALE] = "stale",
};

const char *sl_cache_status_word(enum sl_cache_status status) { return cache_words[status]; }

const char *sl_request_route_word(const struct sl_request *req)
{
    return sl_side_word(req->decide.decision.side);
}

/* Nanoseconds spent in a stage, up to now where it still runs. */
static uint64_t stage_ns(const struct sl_request *req, enum sl_stage stage, uint64_t now)
{
    uint64_t start = req->stage_start_ns[stage];
    if (start == 0)
        return 0;
    uint64_t end = req->stage_end_ns[stage];
    return (end != 0 ? end : now) - start;
}

double sl_request_overhead_ms(const struct sl_request *req)
{
    uint64_t now = sl_monotonic_ns();
    uint64_t models = stage_ns(req, SL_STAGE_INFER, now) + stage_ns(req, SL_STAGE_ESCALATE, now);
    uint64_t total = now - req->started_ns;
    return total > models ? (double)(total - models) / 1e6 : 0;
}

static void describe_score(struct sl_request *req)
{
    const struct sl_decision *decision = &req->decide.decision;
    if (!decision->is_scored || isnan(decision->score.value))
        return;
    sl_request_add_header(req, "x-sluice-confidence", "%.4f", decision->score.value);
    sl_request_add_header(req, "x-sluice-threshold", "%.4f", decision->threshold);
}

static void describe_cache(struct sl_request *req)
{
    enum sl_cache_status status = req->lookup.status;
    if (status == SL_CACHE_STATUS_NONE)
        return;
    sl_request_add_header_text(req, "x-sluice-cache", cache_words[status]);
    if (req->lookup.has_answer)
        sl_request_add_header(req, "Age", "%lld", (long long)req->lookup.age_s);
}

static void describe_personal_data(struct sl_request *req)
{
    struct sl_buf text;
    bool left_the_box = req->decide.decision.side == SL_SIDE_CLOUD || req->escalate.was_called ||
                        req->infer.was_speculated;
    if (!left_the_box || req->scrub.report.masked_count == 0)
        return;
    sl_buf_init(&text, 900);
    if (sl_pii_report_header(req->auth.route.pii_detector, &req->scrub.report, &text) == SL_OK &&
        text.len > 0)
        sl_request_add_header_text(req, "x-sluice-pii", text.data);
    sl_buf_clear(&text);
}

void sl_request_describe(struct sl_request *req)
{
    const struct sl_decision *decision = &req->decide.decision;
    sl_request_add_header_text(req, "x-request-id", req->id);
    if (decision->side != SL_SIDE_NONE) {
        sl_request_add_header_text(req, "x-sluice-route", sl_side_word(decision->side));
        if (req->answer != NULL && req->answer->model[0] != '\0')
            sl_request_add_header_text(req, "x-sluice-model", req->answer->model);
    }
    if (decision->reason != SL_REASON_NONE)
        sl_request_add_header_text(req, "x-sluice-reason", sl_reason_word(decision->reason));
    describe_score(req);
    describe_cache(req);
    describe_personal_data(req);
    if (req->escalate.result != NULL)
        sl_request_add_header(req, "x-sluice-attempts", "%zu", req->escalate.result->attempt_count);
    sl_request_add_header(req, "x-sluice-overhead-ms", "%.1f", sl_request_overhead_ms(req));
}

static json_t *debug_attempts(const struct sl_request *req)
{
    json_t *list = json_array();
    if (req->infer.was_run) {
        const struct sl_model_info *model = sl_engine_info(req->router->config.engine);
        bool is_served = req->decide.decision.side == SL_SIDE_LOCAL;
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:f, s:i, s:i}", "target", "local", "model",
                            model->name, "outcome", is_served ? "served" : "rejected", "ms",
                            (double)stage_ns(req, SL_STAGE_INFER, sl_monotonic_ns()) / 1e6,
                            "prompt_tokens", (int)req->decide.measured.prompt_tokens,
                            "completion_tokens", (int)req->infer.answer_tokens));
    }
    size_t count = req->escalate.result != NULL ? req->escalate.result->attempt_count : 0;
    for (size_t i = 0; i < count; i++) {
        const struct sl_cloud_attempt *attempt = &req->escalate.result->attempts[i];
        json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:I}", "target", attempt->provider, "model",
                      attempt->model, "outcome", sl_cloud_outcome_word(attempt->outcome), "status",
                      attempt->http_status, "ms", (int)attempt->ms, "prompt_tokens",
                      (json_int_t)attempt->prompt_tokens, "completion_tokens",
                      (json_int_t)attempt->completion_tokens));
    }
    return list;
}

static json_t *debug_stages(const struct sl_request *req)
{
    json_t *object = json_object();
    uint64_t now = sl_monotonic_ns();
    for (enum sl_stage stage = SL_STAGE_PARSE; stage < SL_STAGE_COUNT; stage++)
        if (req->stage_start_ns[stage] != 0)
            json_object_set_new(object, sl_stage_name(stage),
                                json_real((double)stage_ns(req, stage, now) / 1e6));
    return object;
}

static json_t *debug_cache(const struct sl_request *req)
{
    json_t *object = json_object();
    const struct sl_lookup_section *lookup = &req->lookup;
    json_object_set_new(object, "status", json_string(cache_words[lookup->status]));
    const struct sl_cache_key *key = lookup->has_cloud_key   ? &lookup->cloud_key
                                     : lookup->has_local_key ? &lookup->local_key
                                                             : NULL;
    if (lookup->has_local_key && req->decide.decision.side != SL_SIDE_CLOUD &&
        !lookup->is_cloud_entry)
        key = &lookup->local_key;
    if (key != NULL) {
        char text[2 * sizeof key->bytes + 1];
        sl_hex_encode(key->bytes, sizeof key->bytes, text);
        json_object_set_new(object, "key", json_string(text));
    }
    if (lookup->match != NULL)
        json_object_set_new(object, "match", json_string(lookup->match));
    return object;
}

json_t *sl_request_debug(const struct sl_request *req)
{
    const struct sl_decision *decision = &req->decide.decision;
    json_t *object = json_object();
    json_object_set_new(object, "route", json_string(sl_side_word(decision->side)));
    json_object_set_new(object, "reason", json_string(sl_reason_word(decision->reason)));
    if (decision->is_scored && !isnan(decision->score.value))
        json_object_set_new(
            object, "confidence",
            json_pack("{s:f, s:s, s:f, s:i}", "score", decision->score.value, "method",
                      sl_score_method_word(decision->score.method), "threshold",
                      decision->threshold, "tokens", (int)decision->score.tokens));
    if (decision->change[0] != '\0')
        json_object_set_new(object, "would_change", json_string(decision->change));
    json_object_set_new(object, "attempts", debug_attempts(req));
    json_object_set_new(object, "cache", debug_cache(req));
    if (req->scrub.is_done)
        json_object_set_new(object, "pii",
                            json_pack("{s:o}", "masked",
                                      sl_pii_report_json(req->auth.route.pii_detector,
                                                         &req->scrub.report)));
    if (req->auth.policy != NULL)
        json_object_set_new(object, "policy",
                            json_sprintf("sha256:%s", sl_policy_digest(req->auth.policy)));
    json_object_set_new(object, "policy_route", json_string(req->auth.route.name != NULL
                                                                ? req->auth.route.name
                                                                : ""));
    json_object_set_new(object, "stages_ms", debug_stages(req));
    return object;
}
