/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 5, infer: the local model answers while its confidence is measured, unless the decision
 * can be made without it: a forced side, a context over the limit, a feature the model lacks. The
 * first stage that may block; a follower of an equal request waits here for its answer.
 */
#include "infer.h"
#include "lookup.h"
#include "measure.h"
#include "pipeline.h"

/* Where a decision that needs no (more) local tokens sends the walk. */
static enum sl_step follow(struct sl_request *req, const struct sl_decision *decision)
{
    req->decide.decision = *decision;
    if (decision->side == SL_SIDE_CLOUD)
        return SL_STEP_TO_ESCALATE;
    return sl_request_fail(req, decision->error, "%s", decision->change);
}

enum sl_step sl_stage_infer(struct sl_request *req)
{
    struct sl_measurements *m = &req->decide.measured;
    struct sl_error error = {0};
    enum sl_step step = sl_lookup_follow(req);
    if (step != SL_STEP_NEXT)
        return step;
    sl_measure_again(req);
    struct sl_decision decision = sl_decide_before(m, &req->auth.route);
    if (decision.side != SL_SIDE_LOCAL)
        return follow(req, &decision);
    enum sl_err err = sl_infer_prepare(req, &error);
    if (err != SL_OK)
        return sl_request_fail(req, err, "%s", error.message);
    decision = sl_decide_before(m, &req->auth.route);
    if (decision.side != SL_SIDE_LOCAL)
        return follow(req, &decision);
    err = sl_infer_run(req, true, &error);
    return err == SL_OK ? SL_STEP_NEXT : sl_request_fail(req, err, "%s", error.message);
}
