/* SPDX-License-Identifier: Apache-2.0
 *
 * The metrics of the walk. Series of closed label sets are looked up here, so that the walk only
 * adds. Written once at start; read by every thread.
 */
#include "router_metrics.h"

struct sl_router_metrics sl_router_metrics;

static struct sl_series *seconds(const char *name, const char *help)
{
    return sl_metric_series(sl_metric_histogram(name, help, NULL, sl_metric_seconds_bounds,
                                                sl_metric_seconds_bound_count),
                            NULL);
}

static void register_labelled(struct sl_router_metrics *m)
{
    struct sl_metric *stages = sl_metric_histogram(
        "sluice_stage_seconds", "Time a request spent in a stage.",
        (const char *const[]){"stage", NULL}, sl_metric_seconds_bounds,
        sl_metric_seconds_bound_count);
    for (enum sl_stage stage = SL_STAGE_PARSE; stage < SL_STAGE_COUNT; stage++)
        m->stage_seconds[stage] =
            sl_metric_series(stages, (const char *const[]){sl_stage_name(stage)});
    struct sl_metric *cache =
        sl_metric_counter("sluice_cache_requests_total", "Requests by what the cache did.",
                          (const char *const[]){"result", NULL});
    for (int status = SL_CACHE_STATUS_HIT; status <= SL_CACHE_STATUS_STALE; status++)
        m->cache_requests[status] = sl_metric_series(
            cache, (const char *const[]){sl_cache_status_word((enum sl_cache_status)status)});
    struct sl_metric *restores = sl_metric_counter(
        "sluice_pii_restore_total", "Placeholders in cloud answers, by what became of them.",
        (const char *const[]){"result", NULL});
    m->restored = sl_metric_series(restores, (const char *const[]){"restored"});
    m->unresolved = sl_metric_series(restores, (const char *const[]){"unresolved"});
    m->escalations = sl_metric_counter("sluice_escalations_total", "Requests sent to the cloud.",
                                       (const char *const[]){"reason", NULL});
    m->entities =
        sl_metric_counter("sluice_pii_entities_total", "Personal values found on their way out.",
                          (const char *const[]){"entity", "action", NULL});
    m->speculations =
        sl_metric_counter("sluice_speculations_total",
                          "Streams whose cloud answer was asked for before the decision.",
                          (const char *const[]){"result", NULL});
    m->shadows = sl_metric_counter("sluice_shadow_total",
                                   "Accepted local answers picked to be asked in the cloud too.",
                                   (const char *const[]){"result", NULL});
}

void sl_router_metrics_register(void)
{
    struct sl_router_metrics *m = &sl_router_metrics;
    m->queue_wait = seconds("sluice_queue_wait_seconds", "Wait for a worker.");
    m->stream_hold = seconds("sluice_stream_hold_seconds",
                             "How long local tokens of a stream waited for the decision.");
    m->confidence = sl_metric_series(
        sl_metric_histogram("sluice_confidence_score", "Confidence of local answers.", NULL,
                            sl_metric_score_bounds, sl_metric_score_bound_count),
        NULL);
    m->saved_usd = sl_metric_series(
        sl_metric_counter("sluice_saved_usd_total", "What stored answers would have cost again.",
                          NULL),
        NULL);
    register_labelled(m);
}

void sl_router_metrics_count(const struct sl_request *req)
{
    const struct sl_router_metrics *m = &sl_router_metrics;
    if (req->lookup.status != SL_CACHE_STATUS_NONE)
        sl_series_add(m->cache_requests[req->lookup.status], 1);
    if (req->decide.decision.side == SL_SIDE_CACHE && req->lookup.saved_microusd > 0)
        sl_series_add(m->saved_usd, (double)req->lookup.saved_microusd * 1e-6);
    if (req->respond.is_stream && req->infer.was_run)
        sl_series_observe(m->stream_hold, (double)req->infer.held_ms * 1e-3);
}
