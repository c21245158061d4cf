/* SPDX-License-Identifier: Apache-2.0
 *
 * The router: takes a request through its ten stages. See request.h for the object that walks and
 * pipeline.c for the table.
 *
 *     struct sl_router *router;
 *     if (sl_router_create(&config, &router, &error) != SL_OK) ...
 *     if (sl_router_start(router, &error) != SL_OK) ...
 *     struct sl_request *req = sl_request_create(router, &sl_wire_openai, wake, connection);
 *     ... fill req->input ...
 *     if (sl_router_walk(router, req) == SL_WALK_DONE)  // answered on this thread
 *         send(req);                                    // else wake() comes later
 *     sl_router_close(router, deadline_ms);
 *
 * Threads: `sl_router_walk` is called on a listener's thread and never blocks there.
 */
#ifndef SLUICE_ROUTER_H
#define SLUICE_ROUTER_H

#include "sluice/request.h"

/* The three stages that belong to the gateway. */
struct sl_edge_stages {
    void *ctx; /* the gateway's own; its stages find it through sl_router_get_config() */
    enum sl_step (*parse)(struct sl_request *req);
    enum sl_step (*authenticate)(struct sl_request *req);
    enum sl_step (*respond)(struct sl_request *req);
    /* Sends the head of a stream: called once by whoever opens the gate, before it opens. */
    void (*respond_head)(struct sl_request *req);
    /* At death: the access line. */
    void (*at_death)(const struct sl_request *req);
};

struct sl_router_config {
    struct sl_engine *engine;             /* borrowed; NULL: no local model */
    const struct sl_calibration *calibration; /* borrowed; NULL: geometric mean */
    struct sl_cache *cache;               /* borrowed; NULL: no cache */
    struct sl_cloud *cloud;               /* borrowed; NULL: no cloud */
    struct sl_policy_store *policies;     /* borrowed */
    struct sl_pii_ledger *ledger;         /* borrowed; NULL: none */
    const char *shadow_rows_path;         /* borrowed: where shadow mode keeps rows for calibrate,
                                           * the key beside it; NULL: nowhere */
    struct sl_edge_stages edge;
    uint32_t workers;       /* 0: 8 */
    uint32_t queue_max;     /* requests waiting for a worker; 0: 256 */
    uint32_t deadline_ms;   /* of a request as a whole; 0: 120 000 */
    size_t request_bytes_max; /* arena cap of one request; 0: 8 MiB */
    size_t answer_bytes_max;  /* cap of an answer's text; 0: 4 MiB */
};

enum sl_walk { SL_WALK_DONE, SL_WALK_MOVED };

/* Workers that wait, and one look at the machine; a router that is only created does nothing of its
 * own accord, as a command wants that explains a request beside a running gateway. Errors:
 * SL_ERR_MEMORY. */
enum sl_err sl_router_create(const struct sl_router_config *config, struct sl_router **out,
                             struct sl_error *error) SL_MUST_CHECK;
/* Starts what acts by itself: the control thread (the state of the device, answers of another policy
 * out of the cache, probes of the cloud) and shadow mode. Once, before the first request. Errors:
 * SL_ERR_MEMORY: close it all the same. */
enum sl_err sl_router_start(struct sl_router *router, struct sl_error *error) SL_MUST_CHECK;
/* Stops taking work, lets what runs finish until the monotonic deadline, then cancels it. */
void sl_router_close(struct sl_router *router, uint64_t drain_deadline_ms);

/* Runs stages on the calling thread until one may block, then moves the request to a worker. */
enum sl_walk sl_router_walk(struct sl_router *router, struct sl_request *req);

/* Runs `job(ctx)` on a worker: for calls that block and are no chat (embeddings, admin).
 * SL_ERR_OVERLOAD where the queue is full. */
enum sl_err sl_router_run(struct sl_router *router, void (*job)(void *ctx), void *ctx) SL_MUST_CHECK;

/* The last reading of the machine. Any thread; a short lock. */
void sl_router_device_state(const struct sl_router *router, struct sl_device_state *out);
uint32_t sl_router_inflight(const struct sl_router *router);
const struct sl_router_config *sl_router_get_config(const struct sl_router *router);

/* What would happen to this request and why, without sending or storing anything: runs its stages
 * from parse to decide (the local model included, since its score is part of the answer) and gives
 * the object that `sluice policy explain` and POST /admin/v1/route:explain print. Blocking: on a
 * worker. `req` has its input and has not walked; it must not walk afterwards. */
enum sl_err sl_router_explain(struct sl_router *router, struct sl_request *req, json_t **out,
                              struct sl_error *error) SL_MUST_CHECK;

#endif
