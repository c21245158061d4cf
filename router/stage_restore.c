/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 8, restore: placeholders become the values of this request's own vault. A stream was
 * restored while it came and is only brought to its end; a whole answer, from the cloud or from the
 * cache, passes the same filter here.
 */
#include "escalate.h"
#include "pipeline.h"
#include "restore_filter.h"
#include "router_metrics.h"

enum sl_step sl_stage_restore(struct sl_request *req)
{
    struct sl_restore_section *restore = &req->restore;
    bool was_streamed = req->escalate.has_answer && req->out != NULL;
    enum sl_err err = SL_OK;
    if (!was_streamed) {
        const struct sl_answer *scrubbed =
            req->escalate.has_answer ? &req->escalate.result->answer : &req->lookup.answer;
        if (restore->filter == NULL)
            err = sl_escalate_make_filter(req);
        req->answer = &restore->answer;
        if (err == SL_OK)
            err = sl_answer_replay(scrubbed, sl_restore_filter_delta, restore->filter);
    }
    if (err == SL_OK)
        err = sl_restore_filter_finish(restore->filter, &restore->stats);
    if (err != SL_OK)
        return sl_request_fail(req, err, NULL);
    sl_series_add(sl_router_metrics.restored, (double)restore->stats.restored);
    sl_series_add(sl_router_metrics.unresolved, (double)restore->stats.unresolved);
    req->decide.is_final = true;
    return SL_STEP_NEXT;
}
