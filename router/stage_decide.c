/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 6, decide: what the local answer is worth. The judgement itself is the pure function in
 * decide.c; a stream that was committed, or given up, brings its decision along.
 */
#include "pipeline.h"
#include "router_metrics.h"

#include <math.h>

static void observe_score(const struct sl_decision *decision)
{
    if (decision->is_scored && !isnan(decision->score.value))
        sl_series_observe(sl_router_metrics.confidence, decision->score.value);
}

enum sl_step sl_stage_decide(struct sl_request *req)
{
    struct sl_decide_section *decide = &req->decide;
    bool was_decided = decide->is_final || decide->decision.side == SL_SIDE_CLOUD;
    if (!was_decided)
        decide->decision = sl_decide_after(&decide->measured, &req->auth.route);
    observe_score(&decide->decision);
    switch (decide->decision.side) {
    case SL_SIDE_LOCAL:
        sl_speculation_drop(req);
        decide->is_final = true;
        req->answer = &req->infer.answer;
        return SL_STEP_TO_STORE;
    case SL_SIDE_CLOUD:
        req->answer = NULL;
        sl_request_discard_stream(req);
        return SL_STEP_NEXT;
    case SL_SIDE_NONE:
    case SL_SIDE_CACHE:
        break;
    }
    req->answer = NULL;
    sl_speculation_drop(req);
    return sl_request_fail(req, decide->decision.error, "%s", decide->decision.change);
}
