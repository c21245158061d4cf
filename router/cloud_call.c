/* SPDX-License-Identifier: Apache-2.0
 *
 * One call: which target is asked, when it is asked again, who is asked instead, and what the
 * client gets. The table of outcomes (cloud.c) says what each outcome allows; this file is the
 * loop.
 *
 *     order targets -> admit (breaker, cool-down) -> run (one attempt, or two where hedged)
 *          ^                                            |
 *          |   next target / same target after a wait   | not served, nothing sent yet
 *          +--------------------------------------------+
 *                                                       | not served, sent: resume or fail
 *                                                       v
 *
 * Runs on the caller's thread. Invariants: 1. Once the sink was given something, only that
 * attempt's deltas, or those of an attempt that provably continues them, reach it. 2. No wait is
 * longer than SL_CALL_WAIT_STEP_MS without a look at `cancelled`. 3. A call makes at most
 * SL_CALL_ATTEMPTS_MAX attempts, whatever the settings say.
 */
#include "cloud_call.h"

#include "retry_budget.h"
#include "sluice/clock.h"
#include "sluice/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Order ---- */

static uint32_t random_u32(void)
{
    uint32_t value;
    sl_random_bytes(&value, sizeof value);
    return value;
}

/* Moves a target of [first, end), picked by weight, to `first`. */
static void pick_by_weight(const struct sl_cloud_target **order, size_t first, size_t end)
{
    uint64_t sum = 0;
    for (size_t i = first; i < end; i++)
        sum += order[i]->weight;
    if (sum == 0)
        return;
    uint64_t pick = (sum * random_u32()) >> 32;
    size_t chosen = first;
    while (pick >= order[chosen]->weight)
        pick -= order[chosen++]->weight;
    const struct sl_cloud_target *target = order[chosen];
    memmove(&order[first + 1], &order[first], (chosen - first) * sizeof order[0]);
    order[first] = target;
}

static void order_targets(struct sl_call *call)
{
    /* Insertion by tier keeps the order given within a tier. */
    for (size_t i = 0; i < call->ask->target_count && i < SL_CLOUD_TARGETS_MAX; i++) {
        size_t at = call->order_count++;
        for (; at > 0 && call->order[at - 1]->tier > call->ask->targets[i].tier; at--)
            call->order[at] = call->order[at - 1];
        call->order[at] = &call->ask->targets[i];
    }
    for (size_t i = 0; i < call->order_count; i++) {
        size_t end = i + 1;
        while (end < call->order_count && call->order[end]->tier == call->order[i]->tier)
            end++;
        pick_by_weight(call->order, i, end);
    }
}

static uint64_t context_of(const struct sl_cloud_target *target)
{
    const struct sl_cloud_model_config *model = sl_target_model(target);
    return model != NULL ? model->context_tokens : 0;
}

static bool is_large_enough(const struct sl_call *call, const struct sl_cloud_target *target)
{
    return !call->has_context_floor || context_of(target) > call->context_floor;
}

const struct sl_cloud_target *sl_call_other_target(const struct sl_call *call, uint64_t now_ms)
{
    for (size_t i = call->position + 1; i < call->order_count; i++)
        if (is_large_enough(call, call->order[i]) &&
            sl_provider_states_would_admit(call->cloud->states, call->order[i]->provider,
                                           call->order[i]->model, now_ms))
            return call->order[i];
    return NULL;
}

/* ---- Waiting ---- */

static bool is_cancelled(const struct sl_call *call)
{
    return call->ask->cancelled != NULL &&
           atomic_load_explicit(call->ask->cancelled, memory_order_relaxed);
}

static bool is_stopping(const struct sl_call *call)
{
    return atomic_load_explicit(&call->cloud->is_stopping, memory_order_relaxed);
}

bool sl_call_is_ended(const struct sl_call *call)
{
    return is_cancelled(call) || is_stopping(call);
}

/* False where the call ended meanwhile. */
static bool wait_until(struct sl_call *call, uint64_t until_ms)
{
    for (;;) {
        uint64_t now_ms = sl_monotonic_ms();
        if (sl_call_is_ended(call))
            return false;
        if (now_ms >= until_ms)
            return true;
        uint64_t step = now_ms + SL_CALL_WAIT_STEP_MS;
        sl_transfer_inbox_wait(call->inbox, step < until_ms ? step : until_ms);
    }
}

/* ---- What next ---- */

enum next_step { NEXT_SERVED, NEXT_FAIL, NEXT_SAME_TARGET, NEXT_OTHER_TARGET };

static uint32_t retries_allowed(const struct sl_attempt *attempt, bool has_fallback)
{
    const struct sl_cloud_provider_config *config = attempt->plan.target->provider;
    uint32_t most = config->retries_max;
    switch (sl_outcome_rule(attempt->outcome)->retry) {
    case SL_RETRY_NEVER:
        return 0;
    case SL_RETRY_IF_ALONE:
        return has_fallback || most == 0 ? 0 : 1;
    case SL_RETRY_YES:
        break;
    }
    /* Who is throttled gains little by insisting. */
    if (attempt->outcome == SL_CLOUD_RATE_LIMITED && has_fallback && most > 1)
        return 1;
    return most;
}

static uint64_t backoff_ms(const struct sl_call *call, const struct sl_attempt *attempt)
{
    const struct sl_cloud_provider_config *config = attempt->plan.target->provider;
    uint64_t jitter_ms =
        sl_backoff_ms(config->backoff_ms, config->backoff_max_ms, call->retries, random_u32());
    /* A throttle counts requests in a window of time, so here a lucky draw of nothing is no luck.
     */
    if (attempt->outcome == SL_CLOUD_RATE_LIMITED)
        jitter_ms += 2 * (uint64_t)sl_backoff_ms(config->backoff_ms, config->backoff_max_ms,
                                                 call->retries, UINT32_MAX);
    return jitter_ms;
}

/* How long to wait before the same target is asked again; false where it is not asked again. */
static bool retry_wait_ms(struct sl_call *call, const struct sl_attempt *attempt, bool has_fallback,
                          uint64_t now_ms, uint64_t *wait_ms)
{
    const struct sl_cloud_provider_config *config = attempt->plan.target->provider;
    if (call->retries >= retries_allowed(attempt, has_fallback) || attempt->status.forbids_retry ||
        attempt->failure.forbids_retry || attempt->plan.is_probe || attempt->plan.is_hedge)
        return false;
    *wait_ms = backoff_ms(call, attempt);
    if (attempt->status.has_retry_after) {
        *wait_ms = attempt->status.retry_after_ms;
        if (has_fallback && *wait_ms > config->retry_after_max_ms)
            return false;
    }
    return now_ms + *wait_ms < call->ask->deadline_ms &&
           sl_provider_states_spend_retry(call->cloud->states, config);
}

/* A broken stream can be continued where all that was sent is the text of one choice. */
static bool can_resume(const struct sl_call *call)
{
    const struct sl_answer *answer = &call->result->answer;
    const struct sl_choice *choice = &answer->choices[0];
    return call->ask->resumes && answer->choice_count == 1 && choice->content.len > 0 &&
           choice->tool_call_count == 0 && choice->refusal.len == 0 && choice->logprobs == NULL &&
           choice->finish_reason == SL_FINISH_REASON_NONE;
}

static enum next_step step_after_commit(struct sl_call *call, const struct sl_attempt *attempt)
{
    if (!can_resume(call) || !sl_outcome_rule(attempt->outcome)->may_fall_back)
        return NEXT_FAIL;
    if (attempt->outcome == SL_CLOUD_PREFILL_REJECTED) {
        call->resume = SL_RESUME_VERIFY;
        return NEXT_SAME_TARGET;
    }
    return NEXT_OTHER_TARGET;
}

/* Some models are only served in one piece; the client gets its stream from that piece. */
static bool refuses_to_stream(const struct sl_call *call, const struct sl_attempt *attempt)
{
    return attempt->outcome == SL_CLOUD_REJECTED && attempt->is_wire_streaming &&
           !call->avoids_stream && strcasestr(attempt->failure.reason, "stream") != NULL;
}

static enum next_step step_after(struct sl_call *call, const struct sl_attempt *attempt)
{
    const struct sl_outcome_rule *rule = sl_outcome_rule(attempt->outcome);
    uint64_t now_ms = sl_monotonic_ms();
    if (attempt->outcome == SL_CLOUD_SERVED)
        return NEXT_SERVED;
    if (now_ms >= call->ask->deadline_ms || call->attempts >= SL_CALL_ATTEMPTS_MAX)
        return NEXT_FAIL;
    if (call->result->is_committed)
        return step_after_commit(call, attempt);
    if (attempt->outcome == SL_CLOUD_CONTEXT_LENGTH) {
        call->has_context_floor = true;
        call->context_floor = context_of(attempt->plan.target);
        return NEXT_OTHER_TARGET;
    }
    if (refuses_to_stream(call, attempt)) {
        call->avoids_stream = true;
        return NEXT_SAME_TARGET;
    }
    uint64_t wait_ms;
    if (retry_wait_ms(call, attempt, sl_call_other_target(call, now_ms) != NULL, now_ms, &wait_ms))
        return wait_until(call, now_ms + wait_ms) ? NEXT_SAME_TARGET : NEXT_FAIL;
    return rule->may_fall_back ? NEXT_OTHER_TARGET : NEXT_FAIL;
}

/* ---- The loop ---- */

/* Asks the current target once. */
static enum next_step ask_current(struct sl_call *call, bool is_probe)
{
    struct sl_race *race = calloc(1, sizeof *race);
    if (race == NULL)
        return NEXT_FAIL;
    sl_race_run(call, race, is_probe);
    struct sl_attempt *attempt = &race->attempts[race->winner];
    if (attempt->outcome == SL_CLOUD_SERVED)
        sl_call_settle_served(call, attempt);
    else
        sl_call_remember_failure(call, attempt);
    if (attempt->first_content_at_ms > 0 && call->result->first_token_ms == 0)
        call->result->first_token_ms =
            (uint32_t)(attempt->first_content_at_ms - call->started_at_ms) + 1;
    enum next_step step = step_after(call, attempt);
    for (size_t i = 0; i < race->count; i++)
        sl_attempt_clear(&race->attempts[i]);
    free(race);
    return step;
}

/* Whether the target at `position` may be asked; remembers when it may be where not. Where nobody
 * else is left, a short cool-down (somebody's Retry-After) is waited for. */
static bool admit(struct sl_call *call, bool *is_probe)
{
    const struct sl_cloud_target *target = call->order[call->position];
    if (!is_large_enough(call, target))
        return false;
    uint64_t now_ms = sl_monotonic_ms();
    uint64_t patience_ms = now_ms + target->provider->retry_after_max_ms;
    if (patience_ms > call->ask->deadline_ms)
        patience_ms = call->ask->deadline_ms;
    struct sl_provider_admission admission = sl_provider_states_admit(
        call->cloud->states, target->provider, target->model, call->retries > 0, now_ms);
    if (admission.is_cooling && admission.again_at_ms < patience_ms &&
        sl_call_other_target(call, now_ms) == NULL && wait_until(call, admission.again_at_ms))
        admission = sl_provider_states_admit(call->cloud->states, target->provider, target->model,
                                             true, sl_monotonic_ms());
    *is_probe = admission.verdict == SL_BREAKER_PROBE;
    if (admission.verdict != SL_BREAKER_REFUSE)
        return true;
    if (admission.again_at_ms > 0 &&
        (call->again_at_ms == 0 || admission.again_at_ms < call->again_at_ms))
        call->again_at_ms = admission.again_at_ms;
    return false;
}

static enum next_step ask_target(struct sl_call *call)
{
    enum next_step step = NEXT_SAME_TARGET;
    call->retries = 0;
    call->avoids_stream = false;
    if (call->result->is_committed) {
        const struct sl_cloud_provider_config *config = call->order[call->position]->provider;
        call->resume = config->takes_prefill ? SL_RESUME_PREFILL : SL_RESUME_VERIFY;
        call->result->is_resumed = true;
    }
    while (step == NEXT_SAME_TARGET) {
        bool is_probe;
        if (!admit(call, &is_probe))
            return NEXT_OTHER_TARGET;
        if (call->retries == 0)
            sl_provider_states_earn_retry(call->cloud->states,
                                          call->order[call->position]->provider);
        step = ask_current(call, is_probe);
        call->retries++;
    }
    return step;
}

static enum next_step ask_all(struct sl_call *call)
{
    enum next_step step = NEXT_OTHER_TARGET;
    for (; call->position < call->order_count && step == NEXT_OTHER_TARGET; call->position++)
        step = ask_target(call);
    /* A stream that broke at the last target may still be continued by one asked before. */
    if (step == NEXT_OTHER_TARGET && call->result->is_committed && can_resume(call) &&
        !call->result->is_resumed) {
        call->position = 0;
        step = ask_target(call);
    }
    return step;
}

/* ---- The result ---- */

static enum sl_err refuse_unasked(struct sl_call *call, struct sl_error *error)
{
    uint64_t now_ms = sl_monotonic_ms();
    if (call->order_count == 0)
        return sl_error_set(error, SL_ERR_ROUTE_UNAVAILABLE, "this route has no cloud provider");
    if (call->again_at_ms > now_ms)
        call->result->retry_after_ms = (uint32_t)(call->again_at_ms - now_ms);
    return sl_error_set(error, SL_ERR_ROUTE_UNAVAILABLE,
                        "every cloud provider of this route is failing; none was asked");
}

static enum sl_err fail(struct sl_call *call, struct sl_error *error)
{
    if (is_stopping(call))
        return sl_error_set(error, SL_ERR_SHUTDOWN, NULL);
    if (is_cancelled(call))
        return sl_error_set(error, SL_ERR_CANCELLED, NULL);
    if (!call->has_last)
        return refuse_unasked(call, error);
    call->result->retry_after_ms = call->retry_after_ms;
    enum sl_err err = sl_outcome_rule(call->last_outcome)->err;
    if (call->last_outcome == SL_CLOUD_CANCELLED && call->last_error.code != SL_OK)
        return sl_error_set(error, call->last_error.code, NULL); /* the sink's own word */
    if (err == SL_ERR_RATE_LIMIT && !call->is_all_rate_limited)
        err = SL_ERR_UPSTREAM;
    if (call->reason[0] != '\0')
        return sl_error_set(error, err, "%s", call->reason);
    if (err == SL_ERR_UNSUPPORTED && call->last_error.message[0] != '\0')
        return sl_error_set(error, err, "%s", call->last_error.message);
    return sl_error_set(error, err, "%s: %s", sl_err_sentence(err),
                        sl_cloud_outcome_word(call->last_outcome));
}

/* What forbids the call before anything is sent. */
static enum sl_err admit_call(struct sl_cloud *cloud, const struct sl_cloud_call *ask,
                              struct sl_cloud_result *result, struct sl_error *error)
{
    if (cloud->hub == NULL)
        return sl_error_set(error, SL_ERR_ROUTE_UNAVAILABLE, "cloud connections are turned off");
    if (atomic_load(&cloud->is_stopping))
        return sl_error_set(error, SL_ERR_SHUTDOWN, NULL);
    if (!sl_cost_allows(cloud->cost, ask->app, &ask->budget, sl_wall_seconds())) {
        result->is_budget_spent = true;
        return sl_error_set(error, SL_ERR_ROUTE_UNAVAILABLE, "the cost budget is used up");
    }
    return SL_OK;
}

enum sl_err sl_cloud_call(struct sl_cloud *cloud, const struct sl_cloud_call *ask,
                          struct sl_cloud_result *result, struct sl_error *error)
{
    memset(result, 0, sizeof *result);
    sl_answer_init(&result->answer, 0);
    enum sl_err err = admit_call(cloud, ask, result, error);
    if (err != SL_OK)
        return err;
    if (atomic_fetch_add(&cloud->streams, 1) >= cloud->streams_max) {
        atomic_fetch_sub(&cloud->streams, 1);
        return sl_error_set(error, SL_ERR_OVERLOAD, "%u calls to the cloud are running",
                            cloud->streams_max);
    }
    sl_series_add(cloud->inflight, 1);
    struct sl_call call = {.cloud = cloud,
                           .ask = ask,
                           .result = result,
                           .started_at_ms = sl_monotonic_ms(),
                           .inbox = sl_transfer_inbox_create()};
    if (call.inbox == NULL) {
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    } else {
        order_targets(&call);
        err = ask_all(&call) == NEXT_SERVED ? SL_OK : fail(&call, error);
    }
    sl_transfer_inbox_release(call.inbox);
    sl_series_add(cloud->inflight, -1);
    atomic_fetch_sub(&cloud->streams, 1);
    return err;
}

void sl_cloud_result_clear(struct sl_cloud_result *result)
{
    sl_answer_clear(&result->answer);
}
