/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: what a call to the cloud needs of a request, so that the three ways out
 * (escalation, its speculative start, shadow mode) ask on the same terms and are written down in
 * the same ledger.
 *
 *     struct sl_outbound outbound = sl_outbound_of(req);     // borrows from the request
 *     if (sl_outbound_keep(&outbound) != SL_OK) ...          // may now outlive it
 *     struct sl_cloud_call call = sl_outbound_call(&outbound, router);
 *     ... sl_cloud_call(...) ...
 *     sl_outbound_write_ledger(&outbound, router, &result);
 *     sl_outbound_clear(&outbound);
 *
 * Threads: one owner at a time.
 */
#ifndef SLUICE_ROUTER_OUTBOUND_H
#define SLUICE_ROUTER_OUTBOUND_H

#include "sluice/request.h"

struct sl_outbound {
    struct sl_arena *arena; /* NULL: everything below is the request's */
    struct sl_scrubbed *scrubbed;
    const struct sl_policy *policy;
    const struct sl_route *route;
    const struct sl_pii_report *report;
    const char *app, *request_id;
    const char *traceparent; /* NULL: none */
    struct sl_cloud_target targets[SL_CLOUD_TARGETS_MAX];
    size_t target_count;
};

/* Of a request that was scrubbed. Borrows. */
struct sl_outbound sl_outbound_of(const struct sl_request *req);
/* Makes *outbound own what it borrowed. On an error it is as before. SL_ERR_MEMORY. */
enum sl_err sl_outbound_keep(struct sl_outbound *outbound) SL_MUST_CHECK;
void sl_outbound_clear(struct sl_outbound *outbound); /* one that borrows, or zeroed, is fine */

/* A call on these terms, to be completed: is_streaming, sink, cancelled, a nearer deadline. Borrows
 * from *outbound. */
struct sl_cloud_call sl_outbound_call(const struct sl_outbound *outbound,
                                      const struct sl_router *router);
/* One line where something was sent; none else. */
void sl_outbound_write_ledger(const struct sl_outbound *outbound, const struct sl_router *router,
                              const struct sl_cloud_result *result);

#endif
