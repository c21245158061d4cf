/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: the speculative cloud start. While the local answer of a held stream is being
 * made and its score is close to the threshold, the cloud is asked already; what it says is held
 * back until the local answer is decided on.
 *
 *                      local answer recovers
 *     start ──> ASKING ─────────────────────> dropped: cancelled at the provider, nothing was used
 *                 │
 *                 └── local answer given up ─> used: what came is given out at once, then the rest
 *
 * Threads: the request's owner starts, uses or drops; a worker asks. See speculation.c.
 */
#ifndef SLUICE_ROUTER_SPECULATION_H
#define SLUICE_ROUTER_SPECULATION_H

#include "sluice/request.h"

#include <pthread.h>

struct sl_speculation;

/* How much of `cloud.speculative_share_max` is unused. */
struct sl_speculation_credit {
    pthread_mutex_t lock;
    double saved; /* starts that may be made now */
};
void sl_speculation_credit_init(struct sl_speculation_credit *credit);
void sl_speculation_credit_clear(struct sl_speculation_credit *credit);

/* A stream on a route with `speculative` is about to be generated: earns its share of a start. */
void sl_speculation_earn(struct sl_request *req);
/* Starts asking, once a request, where the share and the workers allow it. */
void sl_speculation_start(struct sl_request *req);
/* The local answer stands, or the request ends: gives up what was started. Never waits. */
void sl_speculation_drop(struct sl_request *req);

/* The cloud is chosen. False: nothing is under way, ask yourself. True: the call has ended with
 * *err; escalate.result is its result, and was while it went on; `sink` was given its deltas from
 * the first on, in order, by another thread, while this one waited. */
bool sl_speculation_use(struct sl_request *req, sl_delta_fn sink, void *sink_ctx,
                        enum sl_err *err, struct sl_error *error);

#endif
