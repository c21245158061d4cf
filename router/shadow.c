/* SPDX-License-Identifier: Apache-2.0
 *
 * Shadow mode: how often would the cloud have said the same? The only way to learn that about
 * answers that nobody escalated.
 *
 *   death of a request -> picked? -> queue of QUEUE_MAX -> shadow thread: ask, restore, compare
 *                            |            | full: dropped            |            |
 *                            no                                   ledger     metric, row
 *
 * It costs the client nothing: a request is offered when it dies, which is after its client has the
 * last byte; asking is on a thread of its own, one call at a time, so that whoever is slow is only
 * asked less often. It leaves the box as an escalation does: the scrubbed form that the request
 * already had, through budgets, breakers and retry budgets, with a line in the ledger whose request
 * id ends in "/shadow".
 *
 * Rows for the next calibration rest on the disk, so they are kept only where the same text might
 * rest there as a cached answer: the route's cache takes cloud answers and the request did not say
 * no-store. Where something was masked there is no row: it would ask the model what it was never
 * asked. Nor is there one where the messages are not all that was asked (tools, a schema).
 *
 * Invariants: 1. An offer never waits and asks nobody. 2. What the policy in force now forbids is
 * not sent, whatever the policy said when it was picked. 3. A job owns all that it uses.
 */
#include "shadow.h"

#include "agreement.h"
#include "outbound.h"
#include "pipeline.h"
#include "restore_filter.h"
#include "router_metrics.h"
#include "shadow_rows.h"
#include "sluice/clock.h"
#include "sluice/crypto.h"
#include "sluice/log.h"

#include <stdio.h>
#include <stdlib.h>

#define QUEUE_MAX 16                 /* more would be asked long after they were answered */
#define REQUEST_BYTES_MAX (64u << 10) /* times QUEUE_MAX is what waiting jobs may hold */
#define THREAD_STACK_BYTES (512u << 10)
#define ID_BYTES_MAX 160

struct sl_shadow {
    struct sl_router *router;
    struct sl_queue *queue; /* of struct shadow_job */
    pthread_t thread;
    bool has_thread;
    atomic_bool is_stopping;
    struct sl_shadow_rows *rows; /* NULL: no data folder */
    bool is_write_failing;       /* said once */
};

struct shadow_job {
    struct sl_outbound outbound;
    char id[ID_BYTES_MAX];
    struct sl_vault *vault;
    struct sl_answer local;
    struct sl_score score;
    json_t *chat; /* taken from the request: nothing of it is shared with the dying one */
    bool keeps_row;
};

static void job_free(struct shadow_job *job)
{
    if (job == NULL)
        return;
    sl_outbound_clear(&job->outbound);
    sl_vault_free(job->vault);
    sl_answer_clear(&job->local);
    json_decref(job->chat);
    free(job);
}

/* ---- picking ---- */

static bool was_accepted(const struct sl_request *req)
{
    const struct sl_decision *decision = &req->decide.decision;
    return decision->side == SL_SIDE_LOCAL && decision->reason == SL_REASON_CONFIDENT &&
           req->error.code == SL_OK && req->answer == &req->infer.answer &&
           sl_answer_is_complete(&req->infer.answer);
}

static bool is_picked(const struct sl_request *req)
{
    double share = req->auth.route.cloud.shadow_share;
    if (!(share > 0) || req->is_explained || !was_accepted(req) || req->scrub.scrubbed == NULL ||
        req->decide.measured.egress != SL_EGRESS_CLEAR || req->parse.cache.no_store ||
        req->input.body.len > REQUEST_BYTES_MAX ||
        atomic_load_explicit(&req->is_cancelled, memory_order_relaxed))
        return false;
    uint32_t random;
    sl_random_bytes(&random, sizeof random);
    return (double)random < share * 4294967296.0;
}

static bool may_keep_row(const struct sl_request *req)
{
    const struct sl_route_cache *cache = &req->auth.route.cache;
    return cache->is_enabled && cache->cloud_answers && req->scrub.report.masked_count == 0 &&
           (req->parse.features & ~(uint32_t)SL_FEATURE_LOGPROBS) == 0;
}

static struct shadow_job *job_of(struct sl_request *req)
{
    struct shadow_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return NULL;
    snprintf(job->id, sizeof job->id, "%s/shadow", req->id);
    job->outbound = sl_outbound_of(req);
    job->outbound.request_id = job->id;
    if (sl_outbound_keep(&job->outbound) != SL_OK) {
        free(job);
        return NULL;
    }
    job->keeps_row = may_keep_row(req);
    job->score = req->decide.decision.score;
    job->chat = req->parse.chat;
    req->parse.chat = NULL;
    sl_scrubbed_release(req->scrub.scrubbed); /* shares its values with the chat */
    req->scrub.scrubbed = NULL;
    job->vault = req->scrub.vault;
    req->scrub.vault = NULL;
    job->local = req->infer.answer;
    sl_answer_init(&req->infer.answer, job->local.text_bytes_max);
    return job;
}

static void count(const char *result)
{
    sl_metric_add(sl_router_metrics.shadows, 1, (const char *const[]){result});
}

void sl_shadow_offer(struct sl_shadow *shadow, struct sl_request *req)
{
    if (shadow == NULL || !is_picked(req))
        return;
    struct shadow_job *job = sl_queue_len(shadow->queue) < QUEUE_MAX ? job_of(req) : NULL;
    if (job == NULL || sl_queue_push(shadow->queue, job) != SL_QUEUE_DONE) {
        job_free(job);
        count("dropped");
    }
}

/* ---- comparing ---- */

static enum sl_err take_delta(void *ctx, const struct sl_delta *delta)
{
    return sl_answer_add(ctx, delta, NULL);
}

/* The cloud's answer with the values in it, as the client would have got it. */
static enum sl_err restore(const struct shadow_job *job, const struct sl_answer *scrubbed,
                           struct sl_answer *out)
{
    struct sl_restore_stats stats = {0};
    struct sl_restore_filter *filter = sl_restore_filter_create(job->vault, take_delta, out);
    enum sl_err err = filter != NULL ? SL_OK : SL_ERR_MEMORY;
    if (err == SL_OK)
        err = sl_answer_replay(scrubbed, sl_restore_filter_delta, filter);
    if (err == SL_OK)
        err = sl_restore_filter_finish(filter, &stats);
    sl_restore_filter_free(filter);
    return err;
}

static json_t *row_of(const struct shadow_job *job, const struct sl_cloud_result *result,
                      bool agrees)
{
    struct sl_slice text = sl_buf_slice(&result->answer.choices[0].content);
    json_t *answer = sl_text_json(text); /* an object is judged by its value */
    if (answer == NULL)
        answer = json_stringn(text.data != NULL ? text.data : "", text.len);
    return json_pack("{s:s, s:I, s:O, s:o, s:b, s:f, s:s, s:s}", "id", job->id, "time_ms",
                     (json_int_t)sl_wall_ms(), "messages",
                     json_object_get(job->chat, "messages"), "answer", answer,
                     "agrees", agrees, "score", job->score.value, "model", result->model, "policy",
                     sl_policy_digest(job->outbound.policy));
}

static void keep_row(struct sl_shadow *shadow, const struct shadow_job *job,
                     const struct sl_cloud_result *result, bool agrees)
{
    bool is_text = result->answer.choice_count == 1 && result->answer.choices[0].content.len > 0;
    if (shadow->rows == NULL || !job->keeps_row || !is_text)
        return;
    struct sl_error error = {0};
    json_t *row = row_of(job, result, agrees);
    enum sl_err err = row != NULL ? sl_shadow_rows_append(shadow->rows, row, &error)
                                  : sl_error_set(&error, SL_ERR_MEMORY, NULL);
    if (err != SL_OK && !shadow->is_write_failing)
        SL_LOG_WARN("shadow", "a row for the next calibration is lost: %s", error.message);
    shadow->is_write_failing = err != SL_OK;
    json_decref(row);
}

/* ---- asking ---- */

/* Is the policy that the request was answered under still the one in force? */
static bool is_still_allowed(const struct sl_shadow *shadow, const struct shadow_job *job)
{
    const struct sl_router_config *config = &shadow->router->config;
    const struct sl_policy *now = sl_policy_store_acquire(config->policies);
    bool is_same = strcmp(sl_policy_digest(now), sl_policy_digest(job->outbound.policy)) == 0;
    sl_policy_release(now);
    return is_same && sl_cloud_network_state(config->cloud) != SL_NETWORK_OFFLINE;
}

static void settle(struct sl_shadow *shadow, const struct shadow_job *job,
                   const struct sl_cloud_result *result)
{
    struct sl_answer restored;
    sl_answer_init(&restored, shadow->router->config.answer_bytes_max);
    if (restore(job, &result->answer, &restored) == SL_OK) {
        bool agrees = sl_answer_agrees(&job->local, &restored);
        count(agrees ? "agreed" : "differed");
        keep_row(shadow, job, result, agrees);
    } else {
        count("failed");
    }
    sl_answer_clear(&restored);
}

static void ask(struct sl_shadow *shadow, const struct shadow_job *job)
{
    struct sl_error error = {0};
    struct sl_cloud_result *result = calloc(1, sizeof *result);
    if (result == NULL || !is_still_allowed(shadow, job)) {
        free(result);
        count("dropped");
        return;
    }
    struct sl_cloud_call call = sl_outbound_call(&job->outbound, shadow->router);
    call.cancelled = &shadow->is_stopping;
    enum sl_err err = sl_cloud_call(shadow->router->config.cloud, &call, result, &error);
    sl_outbound_write_ledger(&job->outbound, shadow->router, result);
    if (err == SL_OK)
        settle(shadow, job, result);
    else
        count(result->is_budget_spent ? "dropped" : "failed");
    sl_cloud_result_clear(result);
    free(result);
}

static void *shadow_main(void *arg)
{
    struct sl_shadow *shadow = arg;
    void *item;
    while (sl_queue_pop(shadow->queue, SL_DEADLINE_NEVER, &item) == SL_QUEUE_DONE) {
        if (!atomic_load(&shadow->is_stopping))
            ask(shadow, item);
        job_free(item);
    }
    return NULL;
}

/* ---- life ---- */

enum sl_err sl_shadow_start(struct sl_router *router, struct sl_shadow **out,
                            struct sl_error *error)
{
    struct sl_shadow *shadow = calloc(1, sizeof *shadow);
    *out = NULL;
    if (shadow == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    shadow->router = router;
    shadow->queue = sl_queue_create(QUEUE_MAX);
    if (router->config.shadow_rows_path != NULL)
        shadow->rows = sl_shadow_rows_create(router->config.shadow_rows_path);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    bool has_rows = shadow->rows != NULL || router->config.shadow_rows_path == NULL;
    shadow->has_thread = shadow->queue != NULL && has_rows &&
                         pthread_create(&shadow->thread, &attr, shadow_main, shadow) == 0;
    pthread_attr_destroy(&attr);
    if (!shadow->has_thread) {
        sl_shadow_stop(shadow);
        return sl_error_set(error, SL_ERR_MEMORY, "cannot start the shadow thread");
    }
    *out = shadow;
    return SL_OK;
}

void sl_shadow_stop(struct sl_shadow *shadow)
{
    if (shadow == NULL)
        return;
    atomic_store(&shadow->is_stopping, true);
    if (shadow->queue != NULL)
        sl_queue_close(shadow->queue);
    if (shadow->has_thread)
        pthread_join(shadow->thread, NULL);
    sl_queue_free(shadow->queue);
    sl_shadow_rows_free(shadow->rows);
    free(shadow);
}
