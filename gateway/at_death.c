/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a request: what it used is charged to its key, it is counted, and its access line is
 * written. Runs on the thread that let go of it last.
 */
#include "edge.h"

#include "metrics.h"
#include "sluice/clock.h"

void sl_edge_at_death(const struct sl_request *req)
{
    struct sl_edge *edge = sl_edge_of(req);
    const struct sl_edge_request *own = req->edge;
    if (req->is_explained)
        return; /* nothing happened */
    if (own != NULL && own->has_limits && req->answer != NULL && req->answer->usage.is_known)
        sl_rate_limits_charge(edge->limits, own->key_id,
                              req->answer->usage.prompt_tokens +
                                  req->answer->usage.completion_tokens,
                              sl_monotonic_ns());
    sl_metrics_request(req);
    if (edge->access_log != NULL)
        sl_access_log_write(edge->access_log, req);
}
