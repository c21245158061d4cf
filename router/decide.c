/* SPDX-License-Identifier: Apache-2.0
 *
 * The decision of decision.h. Two questions are asked of each side, in fixed order: what stands
 * against the box (`local_obstacle`, `answer_fault`), and what stands against the cloud
 * (`cloud_state`). The mode says which side is asked first and what happens when both say no.
 *
 *                        cloud open            cloud closed for now     cloud impossible
 *   box fine             the box               the box                  the box
 *   soft obstacle        the cloud             the box, labelled        the box, labelled
 *   hard obstacle        the cloud             503                      the obstacle's own error
 *
 * "Closed for now" is a breaker, a lost network or a spent budget; "impossible" is the policy, a
 * request that forbids it, or personal data that must stay.
 *
 * Pure: no clock, no global, no allocation. Any thread.
 */
#include "sluice/decision.h"

#include <math.h>
#include <stdio.h>

#define THRESHOLD_NEVER 2.0    /* above any score: nothing is confident */
#define SPECULATE_TOKENS_MIN 4 /* before that a score says little */

/* ---- words ---- */

const char *sl_reason_word(enum sl_reason reason)
{
    static const char *const words[] = {
        "",
#define X(symbol, word, meaning) word,
        SL_REASONS(X)
#undef X
    };
    return reason < SL_REASON_COUNT ? words[reason] : "";
}

const char *sl_reason_meaning(enum sl_reason reason)
{
    static const char *const meanings[] = {
        "",
#define X(symbol, word, meaning) meaning,
        SL_REASONS(X)
#undef X
    };
    return reason < SL_REASON_COUNT ? meanings[reason] : "";
}

const char *sl_side_word(enum sl_side side)
{
    static const char *const words[] = {"none", "local", "cloud", "cache"};
    return words[side];
}

const char *sl_feature_word(enum sl_feature feature)
{
    static const char *const words[SL_FEATURE_COUNT] = {
        "images", "audio",    "files",     "tools",      "n",       "json_object",
        "json_schema", "logprobs", "reasoning", "prediction", "template"};
    for (unsigned i = 0; i < SL_FEATURE_COUNT; i++)
        if ((unsigned)feature == 1u << i)
            return words[i];
    return "";
}

/* ---- the cloud ---- */

enum cloud_state {
    CLOUD_OPEN,
    CLOUD_CLOSED,    /* could answer another time */
    CLOUD_IMPOSSIBLE /* may not answer this request at all */
};

struct cloud_view {
    enum cloud_state state;
    enum sl_reason reason; /* why not open */
    enum sl_err error;     /* what a client gets who needed it */
};

static struct cloud_view view_cloud(const struct sl_measurements *m, const struct sl_route *route,
                                    enum sl_mode mode)
{
    if (m->egress == SL_EGRESS_FAILED)
        return (struct cloud_view){CLOUD_CLOSED, SL_REASON_PII_KEEP_LOCAL, SL_ERR_PII_DETECTOR};
    if (m->egress != SL_EGRESS_CLEAR)
        return (struct cloud_view){CLOUD_IMPOSSIBLE, SL_REASON_PII_KEEP_LOCAL, SL_ERR_PII_BLOCKED};
    if (mode == SL_MODE_LOCAL_ONLY)
        return (struct cloud_view){
            CLOUD_IMPOSSIBLE,
            m->mode == SL_MODE_LOCAL_ONLY ? SL_REASON_FORCED : SL_REASON_POLICY,
            SL_ERR_ROUTE_UNAVAILABLE};
    if (!route->cloud.is_enabled)
        return (struct cloud_view){CLOUD_IMPOSSIBLE, SL_REASON_POLICY, SL_ERR_ROUTE_UNAVAILABLE};
    if (!m->cloud_is_possible || route->cloud.target_count == 0)
        return (struct cloud_view){CLOUD_IMPOSSIBLE, SL_REASON_CLOUD_UNAVAILABLE,
                                   SL_ERR_ROUTE_UNAVAILABLE};
    if (m->device.network == SL_NETWORK_OFFLINE)
        return (struct cloud_view){CLOUD_CLOSED, SL_REASON_OFFLINE, SL_ERR_ROUTE_UNAVAILABLE};
    if (m->cloud_failed || !m->cloud_is_available)
        return (struct cloud_view){CLOUD_CLOSED, SL_REASON_CLOUD_UNAVAILABLE,
                                   SL_ERR_ROUTE_UNAVAILABLE};
    if (m->cloud_budget_is_spent)
        return (struct cloud_view){CLOUD_CLOSED, SL_REASON_POLICY, SL_ERR_ROUTE_UNAVAILABLE};
    return (struct cloud_view){CLOUD_OPEN, SL_REASON_NONE, SL_OK};
}

/* ---- the box, before ---- */

struct obstacle {
    enum sl_reason reason; /* NONE: nothing stands against the box */
    bool is_hard;
    enum sl_err error; /* of a hard one, where there is no cloud */
};

static uint32_t missing_features(const struct sl_measurements *m, const struct sl_route *route)
{
    uint32_t has = m->local_features;
    if (!route->local.tools_allowed)
        has &= ~(uint32_t)SL_FEATURE_TOOLS;
    if (!route->local.structured_allowed)
        has &= ~(uint32_t)(SL_FEATURE_JSON | SL_FEATURE_SCHEMA);
    return m->features & ~has;
}

static bool is_over_window(const struct sl_measurements *m)
{
    uint64_t wanted = m->output_tokens == 0 ? 1 : m->output_tokens;
    return m->local_window != 0 && m->prompt_tokens + wanted > m->local_window;
}

static uint64_t counted_tokens(const struct sl_measurements *m, const struct sl_route *route)
{
    return (uint64_t)m->prompt_tokens + (route->context_counts_output ? m->output_tokens : 0);
}

static bool is_pressed(const struct sl_measurements *m, const struct sl_route *route)
{
    const struct sl_route_local *local = &route->local;
    const struct sl_device_state *device = &m->device;
    return (device->has_memory && device->memory_available_share < local->memory_available_min) ||
           (device->has_temperature && local->temperature_max_c > 0 &&
            device->temperature_c > local->temperature_max_c) ||
           (device->has_load && local->load_max > 0 && device->load_share > local->load_max);
}

/* A route that takes less sure answers takes less sure prompts too. */
static double prompt_score_wanted(const struct sl_measurements *m, const struct sl_route *route)
{
    return fmin(route->local.prompt_score_min, sl_decide_threshold(m, route));
}

static bool prompt_is_foreign(const struct sl_measurements *m, const struct sl_route *route)
{
    return m->prompt_score.method != SL_SCORE_NONE &&
           m->prompt_score.value < prompt_score_wanted(m, route);
}

static struct obstacle local_obstacle(const struct sl_measurements *m, const struct sl_route *route,
                                      enum sl_mode mode)
{
    if (!route->local.is_enabled)
        return (struct obstacle){SL_REASON_POLICY, true, SL_ERR_ROUTE_UNAVAILABLE};
    if (!m->local_is_ready)
        return (struct obstacle){SL_REASON_LOCAL_ERROR, true, SL_ERR_ROUTE_UNAVAILABLE};
    if (missing_features(m, route) != 0)
        return (struct obstacle){SL_REASON_UNSUPPORTED_FEATURE, true, SL_ERR_UNSUPPORTED};
    if (is_over_window(m))
        return (struct obstacle){SL_REASON_CONTEXT_LENGTH, true, SL_ERR_CONTEXT_LENGTH};
    if (!m->local_has_room)
        return (struct obstacle){SL_REASON_LOCAL_OVERLOAD, true, SL_ERR_OVERLOAD};
    if (route->context_tokens_max != 0 && counted_tokens(m, route) > route->context_tokens_max)
        return (struct obstacle){SL_REASON_CONTEXT_LENGTH, false, SL_OK};
    if (is_pressed(m, route))
        return (struct obstacle){SL_REASON_DEVICE_PRESSURE, false, SL_OK};
    if (mode == SL_MODE_AUTO && prompt_is_foreign(m, route))
        return (struct obstacle){SL_REASON_LOW_CONFIDENCE, false, SL_OK};
    return (struct obstacle){0};
}

/* ---- the box, after ---- */

/* What is wrong with how local generation went, short of the score. */
static struct obstacle answer_fault(const struct sl_local_outcome *local)
{
    switch (local->status) {
    case SL_LOCAL_TIMEOUT:
        return (struct obstacle){SL_REASON_LOCAL_TIMEOUT, true, SL_ERR_TIMEOUT};
    case SL_LOCAL_OVERLOAD:
        return (struct obstacle){SL_REASON_LOCAL_OVERLOAD, true, SL_ERR_OVERLOAD};
    case SL_LOCAL_CONTEXT:
        return (struct obstacle){SL_REASON_CONTEXT_LENGTH, true, SL_ERR_CONTEXT_LENGTH};
    case SL_LOCAL_UNSUPPORTED:
        return (struct obstacle){SL_REASON_UNSUPPORTED_FEATURE, true, SL_ERR_UNSUPPORTED};
    case SL_LOCAL_NOT_RUN:
    case SL_LOCAL_ERROR:
        return (struct obstacle){SL_REASON_LOCAL_ERROR, true, SL_ERR_INTERNAL};
    case SL_LOCAL_COMPLETE:
    case SL_LOCAL_LENGTH:
        break;
    }
    if (local->is_empty || local->is_loop)
        return (struct obstacle){SL_REASON_EMPTY_OUTPUT, false, SL_OK};
    if (local->is_broken)
        return (struct obstacle){SL_REASON_SCHEMA_INVALID, false, SL_OK};
    if (local->status == SL_LOCAL_LENGTH)
        return (struct obstacle){SL_REASON_EMPTY_OUTPUT, false, SL_OK};
    return (struct obstacle){0};
}

/* Nobody should be given this as an answer while a better one may be had by asking again. */
static bool is_unusable(const struct sl_local_outcome *local)
{
    return local->is_empty || local->is_loop || local->is_broken;
}

double sl_decide_threshold(const struct sl_measurements *m, const struct sl_route *route)
{
    if (route->risk <= 0)
        return route->threshold;
    return m->has_risk_threshold ? m->risk_threshold : THRESHOLD_NEVER;
}

static bool is_confident(const struct sl_score *score, double threshold)
{
    return score->method != SL_SCORE_NONE && score->value >= threshold;
}

/* ---- what would have changed it ---- */

static void say_context(const struct sl_measurements *m, const struct sl_route *route, char *out,
                        size_t size)
{
    if (is_over_window(m))
        snprintf(out, size, "%u prompt and %u output tokens need a model with a longer context "
                 "than %u", m->prompt_tokens, m->output_tokens, m->local_window);
    else
        snprintf(out, size, "%llu tokens against a limit of %u: a shorter request, or a higher "
                 "context_tokens_max", (unsigned long long)counted_tokens(m, route),
                 route->context_tokens_max);
}

static void say_features(uint32_t missing, char *out, size_t size)
{
    size_t len = (size_t)snprintf(out, size, "the request without ");
    const char *separator = "";
    for (unsigned i = 0; i < SL_FEATURE_COUNT && len < size; i++) {
        if ((missing & 1u << i) == 0)
            continue;
        len += (size_t)snprintf(out + len, size - len, "%s%s", separator,
                                sl_feature_word((enum sl_feature)(1u << i)));
        separator = ", ";
    }
}

static void say_score(const struct sl_decision *d, char *out, size_t size)
{
    if (d->score.method == SL_SCORE_NONE)
        snprintf(out, size, "a score: the answer could not be scored, which is never confident");
    else if (d->threshold > 1)
        snprintf(out, size, "a calibration that certifies the risk of this route");
    else if (d->score.value >= d->threshold)
        snprintf(out, size, "a threshold above %.4f", d->score.value);
    else
        snprintf(out, size, "a threshold of at most %.4f, instead of %.4f", d->score.value,
                 d->threshold);
}

static void say_change(struct sl_decision *d, const struct sl_measurements *m,
                       const struct sl_route *route)
{
    char *out = d->change;
    size_t size = sizeof d->change;
    switch (d->reason) {
    case SL_REASON_CONFIDENT:
        say_score(d, out, size);
        break;
    case SL_REASON_LOW_CONFIDENCE:
        if (!d->is_scored && prompt_is_foreign(m, route))
            snprintf(out, size, "a prompt_score_min of at most %.4f, instead of %.4f",
                     m->prompt_score.value, prompt_score_wanted(m, route));
        else
            say_score(d, out, size);
        break;
    case SL_REASON_CONTEXT_LENGTH:
        say_context(m, route, out, size);
        break;
    case SL_REASON_UNSUPPORTED_FEATURE:
        say_features(d->missing, out, size);
        break;
    case SL_REASON_SCHEMA_INVALID:
        snprintf(out, size, "a local answer in the form that was asked for");
        break;
    case SL_REASON_EMPTY_OUTPUT:
        snprintf(out, size, "a local answer that ends by itself, not empty and not a loop");
        break;
    case SL_REASON_LOCAL_ERROR:
        snprintf(out, size, "a local model that is loaded and works");
        break;
    case SL_REASON_LOCAL_TIMEOUT:
        snprintf(out, size, "more time than local.timeout_ms %u", route->local.timeout_ms);
        break;
    case SL_REASON_LOCAL_OVERLOAD:
        snprintf(out, size, "fewer requests at the same time");
        break;
    case SL_REASON_DEVICE_PRESSURE:
        snprintf(out, size, "more free memory, less heat or less load on the box");
        break;
    case SL_REASON_FORCED:
        snprintf(out, size, "another x-sluice-mode or model name in the request");
        break;
    case SL_REASON_POLICY:
        snprintf(out, size, "another mode, budget or session on route %.60s", route->name);
        break;
    case SL_REASON_PII_KEEP_LOCAL:
        snprintf(out, size, "%s", m->egress == SL_EGRESS_FAILED
                                      ? "a detector of personal data that works"
                                      : "no personal data of a kind that must stay on the box");
        break;
    case SL_REASON_CLOUD_UNAVAILABLE:
        snprintf(out, size, "a cloud provider that answers");
        break;
    case SL_REASON_OFFLINE:
        snprintf(out, size, "a network");
        break;
    case SL_REASON_CACHED:
    case SL_REASON_STALE:
        snprintf(out, size, "Cache-Control: no-cache");
        break;
    case SL_REASON_NONE:
    case SL_REASON_COUNT:
        break;
    }
}

/* ---- building a decision ---- */

/* The mode in force, after narrowing, session and nothing else. false: they contradict. */
static bool mode_in_force(const struct sl_measurements *m, const struct sl_route *route,
                          enum sl_mode *mode)
{
    bool fits = sl_mode_narrow(route->mode, m->mode, mode);
    bool is_open = *mode == SL_MODE_AUTO || *mode == SL_MODE_PREFER_LOCAL ||
                   *mode == SL_MODE_PREFER_CLOUD;
    if (fits && is_open && route->sticky && m->session_side == SL_SIDE_LOCAL)
        *mode = SL_MODE_PREFER_LOCAL;
    if (fits && is_open && route->sticky && m->session_side == SL_SIDE_CLOUD)
        *mode = SL_MODE_PREFER_CLOUD;
    return fits;
}

/* Why a side was taken that was not chosen by its score. */
static enum sl_reason mode_reason(const struct sl_measurements *m, enum sl_mode mode)
{
    return m->mode == mode ? SL_REASON_FORCED : SL_REASON_POLICY;
}

static struct sl_decision start(const struct sl_measurements *m, const struct sl_route *route,
                                enum sl_mode mode)
{
    return (struct sl_decision){
        .mode = mode,
        .threshold = sl_decide_threshold(m, route),
        .score = {.value = (double)NAN},
        .missing = missing_features(m, route),
    };
}

static struct sl_decision choose(struct sl_decision d, enum sl_side side, enum sl_reason reason,
                                 bool is_final, const struct sl_measurements *m,
                                 const struct sl_route *route)
{
    d.side = side;
    d.reason = reason;
    d.is_final = is_final;
    say_change(&d, m, route);
    return d;
}

static struct sl_decision refuse(struct sl_decision d, enum sl_reason reason, enum sl_err error,
                                 const struct sl_measurements *m, const struct sl_route *route)
{
    d.error = error;
    return choose(d, SL_SIDE_NONE, reason, true, m, route);
}

/* Both sides said no. */
static struct sl_decision refuse_both(struct sl_decision d, const struct obstacle *obstacle,
                                      const struct cloud_view *cloud,
                                      const struct sl_measurements *m,
                                      const struct sl_route *route)
{
    bool is_about_data = cloud->reason == SL_REASON_PII_KEEP_LOCAL;
    if (cloud->state == CLOUD_CLOSED || is_about_data)
        return refuse(d, cloud->reason, cloud->error, m, route);
    return refuse(d, obstacle->reason, obstacle->error, m, route);
}

/* ---- before ---- */

static struct sl_decision before_cloud_first(struct sl_decision d, const struct cloud_view *cloud,
                                             const struct sl_measurements *m,
                                             const struct sl_route *route)
{
    if (cloud->state == CLOUD_OPEN)
        return choose(d, SL_SIDE_CLOUD, mode_reason(m, d.mode), true, m, route);
    if (d.mode == SL_MODE_CLOUD_ONLY || route->cloud.unavailable == SL_UNAVAILABLE_ERROR)
        return refuse(d, cloud->reason, cloud->error, m, route);
    struct obstacle obstacle = local_obstacle(m, route, d.mode);
    if (obstacle.is_hard)
        return refuse_both(d, &obstacle, cloud, m, route);
    return choose(d, SL_SIDE_LOCAL, cloud->reason, false, m, route);
}

static struct sl_decision before_local_first(struct sl_decision d, const struct cloud_view *cloud,
                                             const struct sl_measurements *m,
                                             const struct sl_route *route)
{
    struct obstacle obstacle = local_obstacle(m, route, d.mode);
    if (obstacle.reason == SL_REASON_NONE) {
        enum sl_reason reason =
            d.mode == SL_MODE_AUTO ? SL_REASON_NONE : mode_reason(m, d.mode);
        return choose(d, SL_SIDE_LOCAL, reason, false, m, route);
    }
    if (cloud->state == CLOUD_OPEN)
        return choose(d, SL_SIDE_CLOUD, obstacle.reason, true, m, route);
    if (obstacle.is_hard)
        return refuse_both(d, &obstacle, cloud, m, route);
    if (cloud->state == CLOUD_CLOSED && route->cloud.unavailable == SL_UNAVAILABLE_ERROR)
        return refuse(d, cloud->reason, cloud->error, m, route);
    return choose(d, SL_SIDE_LOCAL, cloud->reason, false, m, route);
}

struct sl_decision sl_decide_before(const struct sl_measurements *m, const struct sl_route *route)
{
    enum sl_mode mode;
    bool fits = mode_in_force(m, route, &mode);
    struct sl_decision d = start(m, route, mode);
    if (!fits)
        return refuse(d, SL_REASON_POLICY, SL_ERR_FORBIDDEN, m, route);
    if (m->egress == SL_EGRESS_BLOCK)
        return refuse(d, SL_REASON_PII_KEEP_LOCAL, SL_ERR_PII_BLOCKED, m, route);
    struct cloud_view cloud = view_cloud(m, route, mode);
    d.may_escalate = cloud.state == CLOUD_OPEN;
    if (mode == SL_MODE_CLOUD_ONLY || mode == SL_MODE_PREFER_CLOUD)
        return before_cloud_first(d, &cloud, m, route);
    return before_local_first(d, &cloud, m, route);
}

/* ---- after ---- */

/* The local answer is there and is not good enough, and the cloud is not open. */
static struct sl_decision after_without_cloud(struct sl_decision d, enum sl_reason fault,
                                              const struct cloud_view *cloud,
                                              const struct sl_measurements *m,
                                              const struct sl_route *route)
{
    bool may_come_back = cloud->state == CLOUD_CLOSED;
    if (may_come_back &&
        (route->cloud.unavailable == SL_UNAVAILABLE_ERROR || is_unusable(&m->local)))
        return refuse(d, cloud->reason, cloud->error, m, route);
    bool is_forced = d.mode == SL_MODE_LOCAL_ONLY;
    /* A client that forced the box learns what is wrong with the answer it gets. */
    bool names_fault = is_forced && fault != SL_REASON_LOW_CONFIDENCE;
    return choose(d, SL_SIDE_LOCAL, names_fault ? fault : cloud->reason, true, m, route);
}

struct sl_decision sl_decide_after(const struct sl_measurements *m, const struct sl_route *route)
{
    enum sl_mode mode;
    bool fits = mode_in_force(m, route, &mode);
    struct sl_decision d = start(m, route, mode);
    if (!fits)
        return refuse(d, SL_REASON_POLICY, SL_ERR_FORBIDDEN, m, route);
    struct cloud_view cloud = view_cloud(m, route, mode);
    struct obstacle fault = answer_fault(&m->local);
    d.score = m->local.score;
    d.is_scored = d.score.method != SL_SCORE_NONE;
    d.may_escalate = cloud.state == CLOUD_OPEN && mode != SL_MODE_LOCAL_ONLY;
    if (fault.is_hard && cloud.state != CLOUD_OPEN)
        return refuse_both(d, &fault, &cloud, m, route);
    bool is_good = is_confident(&d.score, d.threshold);
    if (fault.reason == SL_REASON_NONE && mode == SL_MODE_LOCAL_ONLY)
        return choose(d, SL_SIDE_LOCAL, cloud.reason, true, m, route);
    if (fault.reason == SL_REASON_NONE && is_good)
        return choose(d, SL_SIDE_LOCAL, SL_REASON_CONFIDENT, true, m, route);
    if (fault.reason == SL_REASON_NONE && mode == SL_MODE_PREFER_LOCAL)
        return choose(d, SL_SIDE_LOCAL, mode_reason(m, mode), true, m, route);
    enum sl_reason reason =
        fault.reason == SL_REASON_NONE ? SL_REASON_LOW_CONFIDENCE : fault.reason;
    if (cloud.state == CLOUD_OPEN)
        return choose(d, SL_SIDE_CLOUD, reason, true, m, route);
    return after_without_cloud(d, reason, &cloud, m, route);
}

/* ---- after the cloud failed ---- */

struct sl_decision sl_decide_fallback(const struct sl_measurements *m, const struct sl_route *route,
                                      const struct sl_decision *first)
{
    struct sl_measurements failed = *m;
    failed.cloud_failed = true;
    struct sl_decision d = *first;
    struct cloud_view cloud = view_cloud(&failed, route, d.mode);
    d.may_escalate = false;
    if (cloud.state == CLOUD_OPEN || cloud.reason == SL_REASON_NONE)
        cloud = (struct cloud_view){CLOUD_CLOSED, SL_REASON_CLOUD_UNAVAILABLE,
                                    SL_ERR_ROUTE_UNAVAILABLE};
    if (d.mode == SL_MODE_CLOUD_ONLY || route->cloud.unavailable == SL_UNAVAILABLE_ERROR)
        return refuse(d, cloud.reason, cloud.error, m, route);
    if (m->local.status == SL_LOCAL_NOT_RUN) {
        struct obstacle obstacle = local_obstacle(m, route, SL_MODE_PREFER_LOCAL);
        if (obstacle.is_hard)
            return refuse(d, cloud.reason, cloud.error, m, route);
        return choose(d, SL_SIDE_LOCAL, cloud.reason, false, m, route);
    }
    if (answer_fault(&m->local).is_hard || is_unusable(&m->local))
        return refuse(d, cloud.reason, cloud.error, m, route);
    return choose(d, SL_SIDE_LOCAL, cloud.reason, true, m, route);
}

/* ---- streams ---- */

enum sl_stream_verdict sl_decide_stream(const struct sl_stream_progress *progress,
                                        const struct sl_decision *before,
                                        const struct sl_route *route)
{
    bool score_rules = before->mode == SL_MODE_AUTO;
    bool is_last_resort =
        !before->may_escalate && route->cloud.unavailable == SL_UNAVAILABLE_LOCAL;
    if (before->mode == SL_MODE_LOCAL_ONLY || is_last_resort)
        return SL_STREAM_COMMIT;
    if (progress->is_loop)
        return SL_STREAM_ESCALATE;
    if (score_rules && progress->score_best < before->threshold)
        return SL_STREAM_ESCALATE;
    bool is_due = progress->tokens >= route->stream.hold_tokens ||
                  progress->held_ms >= route->stream.hold_ms;
    if (is_due) {
        bool is_good = !score_rules || is_confident(&progress->score, before->threshold);
        return is_good ? SL_STREAM_COMMIT : SL_STREAM_ESCALATE;
    }
    bool is_close = progress->score.method != SL_SCORE_NONE &&
                    fabs(progress->score.value - before->threshold) <=
                        route->cloud.speculative_margin;
    if (route->cloud.speculative && score_rules && is_close && before->may_escalate &&
        progress->tokens >= SPECULATE_TOKENS_MIN)
        return SL_STREAM_SPECULATE;
    return SL_STREAM_HOLD;
}
