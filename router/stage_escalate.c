/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 7, escalate: the scrubbed form goes to the cloud. Deltas of a stream pass the restore
 * filter and open the gate with the first content. A cloud that fails is not a failed request: the
 * decision is asked what the client gets instead.
 *
 * Blocking; on a worker.
 */
#include "escalate.h"
#include "infer.h"
#include "lookup.h"
#include "outbound.h"
#include "pipeline.h"
#include "restore_filter.h"
#include "router_metrics.h"
#include "sluice/log.h"

#include <stdio.h>
#include <stdlib.h>

/* What comes out of the restore filter: into the answer, and to the client of a stream. */
static enum sl_err take_restored(void *ctx, const struct sl_delta *delta)
{
    struct sl_request *req = ctx;
    enum sl_err err = sl_answer_add(&req->restore.answer, delta, NULL);
    if (err != SL_OK || req->out == NULL)
        return err;
    /* The model's name comes before the first content; headers wait for the content. */
    if (!req->respond.is_stream && req->escalate.was_called && delta->kind != SL_DELTA_MODEL)
        sl_request_open_stream(req);
    return sl_request_stream_delta(req, delta);
}

enum sl_err sl_escalate_make_filter(struct sl_request *req)
{
    req->answer = &req->restore.answer;
    req->restore.filter = sl_restore_filter_create(req->scrub.vault, take_restored, req);
    return req->restore.filter != NULL ? SL_OK : SL_ERR_MEMORY;
}

static enum sl_err ask_now(struct sl_request *req, const struct sl_outbound *outbound,
                           struct sl_error *error)
{
    struct sl_cloud_call call = sl_outbound_call(outbound, req->router);
    if (req->deadline_ms < call.deadline_ms)
        call.deadline_ms = req->deadline_ms;
    call.is_streaming = req->out != NULL;
    call.sink = sl_restore_filter_delta;
    call.sink_ctx = req->restore.filter;
    call.cancelled = &req->is_cancelled;
    req->escalate.result = calloc(1, sizeof *req->escalate.result);
    if (req->escalate.result == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    return sl_cloud_call(req->router->config.cloud, &call, req->escalate.result, error);
}

static enum sl_err call_cloud(struct sl_request *req, struct sl_error *error)
{
    struct sl_escalate_section *escalate = &req->escalate;
    struct sl_outbound outbound = sl_outbound_of(req);
    enum sl_err err;
    if (sl_escalate_make_filter(req) != SL_OK)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    escalate->was_called = true;
    sl_metric_add(sl_router_metrics.escalations, 1,
                  (const char *const[]){sl_reason_word(req->decide.decision.reason)});
    if (!sl_speculation_use(req, sl_restore_filter_delta, req->restore.filter, &err, error))
        err = ask_now(req, &outbound, error);
    escalate->has_answer = err == SL_OK;
    if (escalate->result != NULL)
        sl_outbound_write_ledger(&outbound, req->router, escalate->result);
    return err;
}

/* The local answer after all: the one that is there, or one that is made now. */
static enum sl_step serve_local(struct sl_request *req, const struct sl_decision *decision)
{
    struct sl_error error = {0};
    if (!decision->is_final) {
        enum sl_err err = sl_infer_prepare(req, &error);
        if (err == SL_OK && req->infer.prompt != NULL)
            err = sl_infer_run(req, false, &error);
        if (err != SL_OK)
            return sl_request_fail(req, err, "%s", error.message);
        struct sl_decision after =
            sl_decide_fallback(&req->decide.measured, &req->auth.route, &req->decide.decision);
        if (after.side != SL_SIDE_LOCAL || !after.is_final)
            return SL_STEP_FAIL;
        req->decide.decision = after;
    } else {
        req->decide.decision = *decision;
    }
    req->decide.is_final = true;
    req->answer = &req->infer.answer;
    return SL_STEP_TO_STORE;
}

/* The provider's own reason for a refusal is the client's to read, with its values back in it. */
static enum sl_step pass_on_refusal(struct sl_request *req, const struct sl_error *error)
{
    struct sl_buf reason;
    sl_buf_init(&reason, SL_ERROR_MESSAGE_MAX);
    enum sl_err err = sl_pii_restore_text(req->scrub.vault, SL_RESTORE_TEXT, SL_TOLERATE_NONE,
                                          sl_slice_of(error->message), &reason, NULL, NULL);
    enum sl_step step = sl_request_fail(req, error->code, "%s",
                                        err == SL_OK && reason.len > 0 ? reason.data
                                                                       : error->message);
    sl_buf_wipe(&reason);
    return step;
}

/* No cloud answer. `error` says why; the policy says what the client gets. */
static enum sl_step fall_back(struct sl_request *req, const struct sl_error *error)
{
    req->answer = NULL;
    if (error->code == SL_ERR_UPSTREAM_REJECTED)
        return pass_on_refusal(req, error);
    if (req->respond.is_stream || error->code == SL_ERR_CANCELLED)
        return sl_request_fail(req, error->code, "%s", error->message);
    SL_LOG_WARN("escalate", "request %s got no cloud answer: %s", req->id, sl_err_code(error->code));
    req->decide.measured.cloud_failed = true;
    sl_request_discard_stream(req);
    struct sl_decision decision =
        sl_decide_fallback(&req->decide.measured, &req->auth.route, &req->decide.decision);
    if (decision.side == SL_SIDE_LOCAL) {
        enum sl_step step = serve_local(req, &decision);
        if (step != SL_STEP_FAIL || req->error.code != SL_OK)
            return step;
    }
    if (sl_lookup_stale(req))
        return sl_lookup_serve(req, SL_CACHE_STATUS_STALE, SL_REASON_STALE) == SL_STEP_TO_RESTORE
                   ? SL_STEP_NEXT
                   : SL_STEP_TO_RESPOND;
    req->decide.decision.side = SL_SIDE_NONE;
    return sl_request_fail(req, error->code, "%s", error->message);
}

enum sl_step sl_stage_escalate(struct sl_request *req)
{
    struct sl_error error = {0};
    if (req->decide.measured.egress == SL_EGRESS_FAILED)
        sl_error_set(&error, SL_ERR_PII_DETECTOR, NULL);
    else if (req->scrub.scrubbed == NULL || req->router->config.cloud == NULL)
        sl_error_set(&error, SL_ERR_ROUTE_UNAVAILABLE, "no cloud may be asked for this request");
    else if (call_cloud(req, &error) == SL_OK)
        return SL_STEP_NEXT;
    return fall_back(req, &error);
}
