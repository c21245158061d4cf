/* SPDX-License-Identifier: Apache-2.0
 *
 * The speculative cloud start. The call is the same blocking call as an escalation's, on a worker
 * of the same pool, with all that it needs kept apart from the request (outbound.h): it may go on
 * for a moment after the request has died.
 *
 * Two answers are never mixed, because the call gives out nothing by itself: it is held
 * (sl_cloud_call.is_held) until the verdict. While it is held it is an uncommitted call, so a
 * broken attempt is tried again as always. When it is used, the sink's deltas go straight into the
 * request's restore filter; the request's own thread waits meanwhile and touches nothing, so the
 * request still has one owner at a time.
 *
 *   under `lock`:   WAITING ──worker──> ASKING ──> ENDED
 *                      └── used or dropped first: withdrawn, the worker finds nothing to do
 *
 * What it costs is bounded: at most `speculative_share_max` of the streams start so, none while
 * other requests wait for a worker, and all budgets of the cloud hold. What was sent for nothing is
 * in the ledger and is charged (cloud_settle.c).
 *
 * Invariants: 1. A call that is dropped gives nothing to any sink. 2. `result` belongs to the
 * worker until ENDED (whoever uses it gets the pointer before, for the sink), then to whoever uses
 * it, else to the last reference.
 */
#include "speculation.h"

#include "outbound.h"
#include "pipeline.h"
#include "router_metrics.h"
#include "sluice/clock.h"

#include <stdlib.h>

#define CREDIT_MAX 4.0 /* starts saved up in quiet times */
#define WAIT_STEP_MS 50 /* how soon a client that left is noticed */

struct sl_speculation {
    atomic_uint references; /* the request's and the worker's */
    struct sl_router *router;
    struct sl_outbound outbound;
    uint64_t deadline_ms;
    atomic_bool is_cancelled;
    atomic_bool is_held;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    enum { WAITING, ASKING, ENDED } state;
    bool is_withdrawn;
    sl_delta_fn sink; /* NULL until it is used */
    void *sink_ctx;
    struct sl_cloud_result *result; /* NULL once it was used */
    struct sl_error error;
    enum sl_err err;
};

/* ---- the share ---- */

void sl_speculation_credit_init(struct sl_speculation_credit *credit)
{
    pthread_mutex_init(&credit->lock, NULL);
    credit->saved = 0;
}

void sl_speculation_credit_clear(struct sl_speculation_credit *credit)
{
    pthread_mutex_destroy(&credit->lock);
}

void sl_speculation_earn(struct sl_request *req)
{
    const struct sl_route_cloud *terms = &req->auth.route.cloud;
    struct sl_speculation_credit *credit = &req->router->speculation_credit;
    if (!terms->speculative || req->out == NULL)
        return;
    pthread_mutex_lock(&credit->lock);
    credit->saved += terms->speculative_share_max;
    if (credit->saved > CREDIT_MAX)
        credit->saved = CREDIT_MAX;
    pthread_mutex_unlock(&credit->lock);
}

static bool spend(struct sl_speculation_credit *credit)
{
    const double one = 1 - 1e-9; /* twenty shares of 0.05 are a start */
    pthread_mutex_lock(&credit->lock);
    bool has_one = credit->saved >= one;
    if (has_one)
        credit->saved -= 1;
    pthread_mutex_unlock(&credit->lock);
    return has_one;
}

/* ---- life ---- */

static void count(const char *result)
{
    sl_metric_add(sl_router_metrics.speculations, 1, (const char *const[]){result});
}

static void release(struct sl_speculation *speculation)
{
    if (atomic_fetch_sub_explicit(&speculation->references, 1, memory_order_acq_rel) != 1)
        return;
    if (speculation->result != NULL)
        sl_cloud_result_clear(speculation->result);
    free(speculation->result);
    sl_outbound_clear(&speculation->outbound);
    pthread_cond_destroy(&speculation->changed);
    pthread_mutex_destroy(&speculation->lock);
    free(speculation);
}

static struct sl_speculation *create(const struct sl_request *req)
{
    struct sl_speculation *speculation = calloc(1, sizeof *speculation);
    if (speculation == NULL)
        return NULL;
    speculation->result = calloc(1, sizeof *speculation->result);
    speculation->outbound = sl_outbound_of(req);
    if (speculation->result == NULL || sl_outbound_keep(&speculation->outbound) != SL_OK) {
        free(speculation->result);
        free(speculation);
        return NULL;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&speculation->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&speculation->lock, NULL);
    speculation->router = req->router;
    speculation->deadline_ms = req->deadline_ms;
    atomic_init(&speculation->references, 2);
    atomic_init(&speculation->is_held, true);
    return speculation;
}

/* ---- the worker's side ---- */

/* The call is held until it is used, so there is a sink; a dropped one stays held. */
static enum sl_err give_delta(void *ctx, const struct sl_delta *delta)
{
    struct sl_speculation *speculation = ctx;
    pthread_mutex_lock(&speculation->lock);
    sl_delta_fn sink = speculation->sink;
    pthread_mutex_unlock(&speculation->lock);
    return sink != NULL ? sink(speculation->sink_ctx, delta) : SL_ERR_CANCELLED;
}

/* Gives the result to fill, which whoever uses it may take from now on; NULL: not wanted. */
static struct sl_cloud_result *begin(struct sl_speculation *speculation)
{
    struct sl_cloud_result *result = NULL;
    pthread_mutex_lock(&speculation->lock);
    if (!speculation->is_withdrawn) {
        speculation->state = ASKING;
        result = speculation->result;
    }
    pthread_mutex_unlock(&speculation->lock);
    return result;
}

static void ask(struct sl_speculation *speculation, struct sl_cloud_result *result)
{
    struct sl_cloud_call call = sl_outbound_call(&speculation->outbound, speculation->router);
    if (speculation->deadline_ms < call.deadline_ms)
        call.deadline_ms = speculation->deadline_ms;
    call.is_streaming = true;
    call.sink = give_delta;
    call.sink_ctx = speculation;
    call.cancelled = &speculation->is_cancelled;
    call.is_held = &speculation->is_held;
    enum sl_err err =
        sl_cloud_call(speculation->router->config.cloud, &call, result, &speculation->error);
    pthread_mutex_lock(&speculation->lock);
    speculation->err = err;
    speculation->state = ENDED;
    bool is_used = speculation->sink != NULL;
    bool is_dropped = atomic_load(&speculation->is_cancelled);
    pthread_cond_broadcast(&speculation->changed);
    /* A call that failed before the verdict waits for it: whoever uses it writes it down. */
    while (!is_used && !is_dropped) {
        pthread_cond_wait(&speculation->changed, &speculation->lock);
        is_used = speculation->sink != NULL;
        is_dropped = atomic_load(&speculation->is_cancelled);
    }
    pthread_mutex_unlock(&speculation->lock);
    if (is_used)
        return;
    sl_outbound_write_ledger(&speculation->outbound, speculation->router, result);
    count(result->bytes_out > 0 ? "cancelled" : "unsent");
}

static void run(void *ctx)
{
    struct sl_speculation *speculation = ctx;
    struct sl_cloud_result *result = begin(speculation);
    if (result != NULL)
        ask(speculation, result);
    else
        count("unsent");
    release(speculation);
}

/* ---- the request's side ---- */

void sl_speculation_start(struct sl_request *req)
{
    struct sl_router *router = req->router;
    if (req->infer.has_tried_speculation || req->is_explained || req->scrub.scrubbed == NULL ||
        router->config.cloud == NULL)
        return;
    req->infer.has_tried_speculation = true; /* a refusal is not asked for at each token */
    if (sl_queue_len(router->queue) > 0 || !spend(&router->speculation_credit)) {
        count("refused");
        return;
    }
    struct sl_speculation *speculation = create(req);
    if (speculation == NULL || sl_router_run(router, run, speculation) != SL_OK) {
        if (speculation != NULL) {
            atomic_store(&speculation->references, 1);
            release(speculation);
        }
        count("refused");
        return;
    }
    req->infer.speculation = speculation;
    req->infer.was_speculated = true;
}

void sl_speculation_drop(struct sl_request *req)
{
    struct sl_speculation *speculation = req->infer.speculation;
    if (speculation == NULL)
        return;
    req->infer.speculation = NULL;
    pthread_mutex_lock(&speculation->lock);
    speculation->is_withdrawn = true;
    req->infer.was_speculated = speculation->state != WAITING;
    atomic_store(&speculation->is_cancelled, true);
    pthread_cond_broadcast(&speculation->changed);
    pthread_mutex_unlock(&speculation->lock);
    release(speculation);
}

/* Under the lock. */
static void wait_for_end(struct sl_speculation *speculation, const struct sl_request *req)
{
    while (speculation->state != ENDED) {
        struct timespec until = sl_deadline_timespec(sl_monotonic_ms() + WAIT_STEP_MS);
        pthread_cond_timedwait(&speculation->changed, &speculation->lock, &until);
        if (atomic_load_explicit(&req->is_cancelled, memory_order_relaxed))
            atomic_store(&speculation->is_cancelled, true);
    }
}

bool sl_speculation_use(struct sl_request *req, sl_delta_fn sink, void *sink_ctx,
                        enum sl_err *err, struct sl_error *error)
{
    struct sl_speculation *speculation = req->infer.speculation;
    if (speculation == NULL)
        return false;
    req->infer.speculation = NULL;
    pthread_mutex_lock(&speculation->lock);
    bool is_under_way = speculation->state != WAITING;
    speculation->is_withdrawn = !is_under_way;
    if (is_under_way) {
        req->escalate.result = speculation->result;
        speculation->result = NULL;
        speculation->sink = sink;
        speculation->sink_ctx = sink_ctx;
        atomic_store(&speculation->is_held, false);
        pthread_cond_broadcast(&speculation->changed);
        wait_for_end(speculation, req);
        *error = speculation->error;
        *err = speculation->err;
    }
    pthread_mutex_unlock(&speculation->lock);
    if (is_under_way)
        count("used");
    release(speculation);
    return is_under_way;
}
