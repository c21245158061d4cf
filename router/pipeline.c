/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk: one table of stages and one loop. The loop starts on the listener's thread and stays
 * there while stages don't block, so a cache hit costs no thread switch. At the first stage that may
 * block the request moves to a worker, where stages are plain blocking code. Stage names in metrics,
 * log and debug object come from this table. Adding a stage is a row here, a file, a section in
 * request.h and a unit test.
 *
 * Invariants: 1. The walk only goes forward. 2. A request that moved has one more reference, the
 * worker's. 3. `respond` always runs, whatever happened before. 4. wake is called exactly once for
 * the end of a walk that moved (and before it by the gate of a stream).
 */
#include "pipeline.h"

#include "control.h"
#include "label_prior.h"
#include "router_metrics.h"
#include "sessions.h"
#include "shadow.h"
#include "sluice/clock.h"
#include "sluice/log.h"

#include <assert.h>
#include <stdlib.h>

#define WORKERS_DEFAULT 8      /* blocking calls at once on a small box */
#define QUEUE_DEFAULT 256      /* requests that may wait for a worker */
#define DEADLINE_DEFAULT_MS 120000
#define REQUEST_BYTES_DEFAULT (8u << 20)
#define ANSWER_BYTES_DEFAULT (4u << 20)
#define WORKER_STACK_BYTES (512u << 10) /* answers and results live on the heap; this is ample */

typedef enum sl_step (*stage_fn)(struct sl_request *req);

static const struct stage_row {
    const char *name;
    stage_fn run; /* NULL: the gateway's, from the configuration */
    bool may_block;
} stages[SL_STAGE_COUNT] = {
    [SL_STAGE_PARSE] = {"parse", NULL, false},
    [SL_STAGE_AUTHENTICATE] = {"authenticate", NULL, false},
    [SL_STAGE_SCRUB] = {"scrub", sl_stage_scrub, false},
    [SL_STAGE_LOOKUP] = {"lookup", sl_stage_lookup, false},
    [SL_STAGE_INFER] = {"infer", sl_stage_infer, true},
    [SL_STAGE_DECIDE] = {"decide", sl_stage_decide, false},
    [SL_STAGE_ESCALATE] = {"escalate", sl_stage_escalate, true},
    [SL_STAGE_RESTORE] = {"restore", sl_stage_restore, false},
    [SL_STAGE_STORE] = {"store", sl_stage_store, false},
    [SL_STAGE_RESPOND] = {"respond", NULL, false},
};

const char *sl_stage_name(enum sl_stage stage) { return stages[stage].name; }

/* What waits for a worker: a request to walk on with, or a job that is no request. */
struct walk_job {
    struct sl_request *req;
    void (*run)(void *ctx);
    void *ctx;
};

static enum sl_step run_stage(struct sl_request *req, enum sl_stage stage)
{
    const struct sl_edge_stages *edge = &req->router->config.edge;
    switch (stage) {
    case SL_STAGE_PARSE:
        return edge->parse(req);
    case SL_STAGE_AUTHENTICATE:
        return edge->authenticate(req);
    case SL_STAGE_RESPOND:
        return edge->respond(req);
    default:
        return stages[stage].run(req);
    }
}

static enum sl_stage step_target(enum sl_step step, enum sl_stage from)
{
    switch (step) {
    case SL_STEP_NEXT:
        return from + 1;
    case SL_STEP_TO_ESCALATE:
        return SL_STAGE_ESCALATE;
    case SL_STEP_TO_RESTORE:
        return SL_STAGE_RESTORE;
    case SL_STEP_TO_STORE:
        return SL_STAGE_STORE;
    case SL_STEP_TO_RESPOND:
    case SL_STEP_FAIL:
        break;
    }
    return SL_STAGE_RESPOND;
}

/* A client that left or a deadline that passed ends the walk between two stages. */
static bool must_stop(struct sl_request *req, enum sl_stage stage)
{
    if (stage == SL_STAGE_RESPOND)
        return false;
    if (atomic_load_explicit(&req->is_cancelled, memory_order_relaxed)) {
        sl_request_fail(req, SL_ERR_CANCELLED, NULL);
        return true;
    }
    if (stages[stage].may_block && sl_monotonic_ms() >= req->deadline_ms) {
        sl_request_fail(req, SL_ERR_TIMEOUT, "the request's deadline passed before stage %s",
                        stages[stage].name);
        return true;
    }
    return false;
}

/* Runs stages from req->stage on. Returns the stage to go on with on a worker, or SL_STAGE_COUNT
 * when the walk is done. */
static enum sl_stage walk(struct sl_request *req, bool may_block)
{
    enum sl_stage stage = req->stage;
    uint64_t now = sl_monotonic_ns();
    while (stage < SL_STAGE_COUNT) {
        if (must_stop(req, stage))
            stage = SL_STAGE_RESPOND;
        if (stages[stage].may_block && !may_block)
            return stage;
        req->stage = stage;
        req->stage_start_ns[stage] = now;
        enum sl_step step = run_stage(req, stage);
        now = sl_monotonic_ns();
        req->stage_end_ns[stage] = now;
        sl_series_observe(sl_router_metrics.stage_seconds[stage],
                          (double)(now - req->stage_start_ns[stage]) * 1e-9);
        enum sl_stage next = step_target(step, stage);
        if (stage == SL_STAGE_RESPOND)
            next = SL_STAGE_COUNT;
        assert(next > stage);
        stage = next;
    }
    return SL_STAGE_COUNT;
}

static enum sl_err push_job(struct sl_router *router, const struct walk_job *job)
{
    struct walk_job *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return SL_ERR_MEMORY;
    *copy = *job;
    switch (sl_queue_push(router->queue, copy)) {
    case SL_QUEUE_DONE:
        return SL_OK;
    case SL_QUEUE_CLOSED:
        free(copy);
        return SL_ERR_SHUTDOWN;
    case SL_QUEUE_FULL:
    case SL_QUEUE_TIMEOUT:
        break;
    }
    free(copy);
    return SL_ERR_OVERLOAD;
}

enum sl_walk sl_router_walk(struct sl_router *router, struct sl_request *req)
{
    enum sl_stage stage = walk(req, false);
    if (stage == SL_STAGE_COUNT)
        return SL_WALK_DONE;
    req->stage = stage;
    req->queued_ns = sl_monotonic_ns();
    sl_request_acquire(req);
    enum sl_err err = push_job(router, &(struct walk_job){.req = req});
    if (err == SL_OK)
        return SL_WALK_MOVED;
    sl_request_release(req);
    sl_request_fail(req, err, err == SL_ERR_OVERLOAD ? "all workers are busy and the queue is full"
                                                     : NULL);
    req->stage = SL_STAGE_RESPOND;
    walk(req, false);
    return SL_WALK_DONE;
}

enum sl_err sl_router_run(struct sl_router *router, void (*job)(void *ctx), void *ctx)
{
    return push_job(router, &(struct walk_job){.run = job, .ctx = ctx});
}

static void run_job(struct walk_job *job)
{
    if (job->req == NULL) {
        job->run(job->ctx);
        return;
    }
    struct sl_request *req = job->req;
    double waited = (double)(sl_monotonic_ns() - req->queued_ns) * 1e-9;
    sl_series_observe(sl_router_metrics.queue_wait, waited);
    walk(req, true);
    req->wake(req->wake_ctx);
    sl_request_release(req);
}

static void *worker_main(void *arg)
{
    struct sl_router *router = arg;
    void *item;
    while (sl_queue_pop(router->queue, SL_DEADLINE_NEVER, &item) == SL_QUEUE_DONE) {
        run_job(item);
        free(item);
    }
    return NULL;
}

static enum sl_err start_workers(struct sl_router *router, struct sl_error *error)
{
    pthread_attr_t attr;
    enum sl_err err = SL_OK;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
    while (router->worker_count < router->config.workers && err == SL_OK) {
        if (pthread_create(&router->workers[router->worker_count], &attr, worker_main, router) == 0)
            router->worker_count++;
        else
            err = sl_error_set(error, SL_ERR_MEMORY, "cannot start worker %u of %u",
                               router->worker_count + 1, router->config.workers);
    }
    pthread_attr_destroy(&attr);
    return err;
}

static void fill_defaults(struct sl_router_config *config)
{
    if (config->workers == 0)
        config->workers = WORKERS_DEFAULT;
    if (config->workers > SL_WORKERS_MAX)
        config->workers = SL_WORKERS_MAX;
    if (config->queue_max == 0)
        config->queue_max = QUEUE_DEFAULT;
    if (config->deadline_ms == 0)
        config->deadline_ms = DEADLINE_DEFAULT_MS;
    if (config->request_bytes_max == 0)
        config->request_bytes_max = REQUEST_BYTES_DEFAULT;
    if (config->answer_bytes_max == 0)
        config->answer_bytes_max = ANSWER_BYTES_DEFAULT;
}

static bool has_cloud(const struct sl_router *router)
{
    return router->config.cloud != NULL && !sl_cloud_is_disabled(router->config.cloud);
}

enum sl_err sl_router_create(const struct sl_router_config *config, struct sl_router **out,
                             struct sl_error *error)
{
    struct sl_router *router = calloc(1, sizeof *router);
    if (router == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    router->config = *config;
    fill_defaults(&router->config);
    pthread_mutex_init(&router->requests_lock, NULL);
    sl_speculation_credit_init(&router->speculation_credit);
    sl_router_metrics_register();
    router->queue = sl_queue_create(router->config.queue_max);
    router->sessions = sl_sessions_create();
    router->device = sl_device_reader_create(NULL);
    bool has_memory =
        router->queue != NULL && router->sessions != NULL && router->device != NULL &&
        (router->config.engine == NULL ||
         sl_label_prior_create(router->config.engine, router->config.calibration,
                               &router->label_prior) == SL_OK);
    enum sl_err err = has_memory ? start_workers(router, error)
                                 : sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err != SL_OK) {
        sl_router_close(router, 0);
        return err;
    }
    sl_device_reader_read(router->device, sl_monotonic_ms(), NULL);
    *out = router;
    return SL_OK;
}

enum sl_err sl_router_start(struct sl_router *router, struct sl_error *error)
{
    enum sl_err err = sl_control_start(router, &router->control, error);
    if (err == SL_OK && has_cloud(router))
        err = sl_shadow_start(router, &router->shadow, error);
    return err;
}

/* Waits until nothing is in flight, or the deadline. */
static void drain(struct sl_router *router, uint64_t deadline_ms)
{
    const struct timespec tick = {.tv_nsec = 5 * 1000 * 1000};
    while (atomic_load(&router->inflight) > 0 && sl_monotonic_ms() < deadline_ms)
        nanosleep(&tick, NULL);
}

void sl_router_close(struct sl_router *router, uint64_t drain_deadline_ms)
{
    if (router == NULL)
        return;
    sl_control_stop(router->control);
    if (router->queue != NULL) {
        drain(router, drain_deadline_ms);
        sl_requests_cancel_all(router);
        sl_queue_close(router->queue);
    }
    for (uint32_t i = 0; i < router->worker_count; i++)
        pthread_join(router->workers[i], NULL);
    sl_shadow_stop(router->shadow);
    sl_queue_free(router->queue);
    sl_sessions_free(router->sessions);
    sl_label_prior_free(router->label_prior);
    sl_device_reader_free(router->device);
    sl_speculation_credit_clear(&router->speculation_credit);
    pthread_mutex_destroy(&router->requests_lock);
    free(router);
}

void sl_router_device_state(const struct sl_router *router, struct sl_device_state *out)
{
    sl_device_reader_state(router->device, out);
}

uint32_t sl_router_inflight(const struct sl_router *router)
{
    return atomic_load(&((struct sl_router *)(size_t)(const void *)router)->inflight);
}

const struct sl_router_config *sl_router_get_config(const struct sl_router *router)
{
    return &router->config;
}
