/* SPDX-License-Identifier: Apache-2.0
 *
 * The terms on which a request leaves, as outbound.h has them. Any thread.
 */
#include "outbound.h"

#include "measure.h"
#include "pipeline.h"
#include "sluice/clock.h"
#include "sluice/log.h"

#define KEPT_BYTES_MAX (64u << 10) /* a route, a report and some names */
_Static_assert(sizeof(struct sl_route) + sizeof(struct sl_pii_report) < KEPT_BYTES_MAX / 2,
               "what is kept would not fit, and no call could outlive its request");

struct sl_outbound sl_outbound_of(const struct sl_request *req)
{
    struct sl_outbound outbound = {
        .scrubbed = req->scrub.scrubbed,
        .policy = req->auth.policy,
        .route = &req->auth.route,
        .report = &req->scrub.report,
        .app = req->auth.app,
        .request_id = req->id,
        .traceparent = req->parse.traceparent.len > 0 ? req->parse.traceparent.data : NULL};
    outbound.target_count = sl_measure_targets(req, outbound.targets);
    return outbound;
}

static const void *keep_bytes(struct sl_arena *arena, const void *bytes, size_t size)
{
    void *copy = sl_arena_alloc(arena, size);
    return copy != NULL ? memcpy(copy, bytes, size) : NULL;
}

static const char *keep_text(struct sl_arena *arena, const char *text)
{
    return text != NULL ? sl_arena_dup(arena, sl_slice_of(text)) : NULL;
}

enum sl_err sl_outbound_keep(struct sl_outbound *outbound)
{
    struct sl_outbound kept = *outbound;
    kept.arena = sl_arena_create(KEPT_BYTES_MAX);
    if (kept.arena == NULL)
        return SL_ERR_MEMORY;
    kept.route = keep_bytes(kept.arena, outbound->route, sizeof *kept.route);
    kept.report = keep_bytes(kept.arena, outbound->report, sizeof *kept.report);
    kept.app = keep_text(kept.arena, outbound->app);
    kept.request_id = keep_text(kept.arena, outbound->request_id);
    kept.traceparent = keep_text(kept.arena, outbound->traceparent);
    bool has_all = kept.route != NULL && kept.report != NULL && kept.app != NULL &&
                   kept.request_id != NULL &&
                   (kept.traceparent != NULL) == (outbound->traceparent != NULL);
    for (size_t i = 0; i < kept.target_count; i++) {
        /* The client's own word for a model lives in its request. */
        kept.targets[i].model = keep_text(kept.arena, outbound->targets[i].model);
        has_all &= kept.targets[i].model != NULL;
    }
    if (!has_all) {
        sl_arena_free(kept.arena);
        return SL_ERR_MEMORY;
    }
    kept.scrubbed = sl_scrubbed_acquire(outbound->scrubbed);
    kept.policy = sl_policy_acquire(outbound->policy);
    *outbound = kept;
    return SL_OK;
}

void sl_outbound_clear(struct sl_outbound *outbound)
{
    if (outbound->arena != NULL) {
        sl_scrubbed_release(outbound->scrubbed);
        sl_policy_release(outbound->policy);
        sl_arena_free(outbound->arena);
    }
    *outbound = (struct sl_outbound){0};
}

struct sl_cloud_call sl_outbound_call(const struct sl_outbound *outbound,
                                      const struct sl_router *router)
{
    const struct sl_route_cloud *terms = &outbound->route->cloud;
    return (struct sl_cloud_call){
        .body = outbound->scrubbed,
        .targets = outbound->targets,
        .target_count = outbound->target_count,
        .deadline_ms =
            terms->deadline_ms > 0 ? sl_monotonic_ms() + terms->deadline_ms : SL_DEADLINE_NEVER,
        .stream_hold_tokens = terms->stream_hold_tokens == SL_HOLD_ALL ? SIZE_MAX
                                                                       : terms->stream_hold_tokens,
        .resumes = terms->resumes,
        .answer_bytes_max = router->config.answer_bytes_max,
        .app = outbound->app,
        .budget = outbound->route->budget,
        .traceparent = outbound->traceparent};
}

void sl_outbound_write_ledger(const struct sl_outbound *outbound, const struct sl_router *router,
                              const struct sl_cloud_result *result)
{
    struct sl_pii_ledger *ledger = router->config.ledger;
    if (ledger == NULL || result->bytes_out == 0)
        return;
    const struct sl_cloud_attempt *last = &result->attempts[result->attempt_count - 1];
    bool is_answered = result->provider[0] != '\0';
    struct sl_error error = {0};
    struct sl_pii_ledger_entry entry = {
        .time_ms = sl_wall_ms(),
        .request_id = sl_slice_of(outbound->request_id),
        .app = sl_slice_of(outbound->app),
        .provider = sl_slice_of(is_answered ? result->provider : last->provider),
        .model = sl_slice_of(is_answered ? result->model : last->model),
        .policy_hash = sl_slice_of(sl_policy_digest(outbound->policy)),
        .bytes = result->bytes_out,
        .report = outbound->report};
    if (sl_pii_ledger_append(ledger, outbound->route->pii_detector, &entry, &error) != SL_OK)
        SL_LOG_ERROR("ledger", "what left the box could not be written down: %s", error.message);
}
