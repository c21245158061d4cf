/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: the router's state, and the stages that it owns.
 */
#ifndef SLUICE_ROUTER_PIPELINE_H
#define SLUICE_ROUTER_PIPELINE_H

#include "sluice/queue.h"
#include "sluice/router.h"
#include "speculation.h"

#include <pthread.h>

struct sl_control;
struct sl_sessions;
struct sl_shadow;

#define SL_WORKERS_MAX 256 /* a worker is a thread with a small stack; more is a typing error */

struct sl_router {
    struct sl_router_config config;
    struct sl_device_reader *device;
    struct sl_sessions *sessions; /* which side a conversation stays on */
    struct sl_control *control;   /* the control thread */
    struct sl_shadow *shadow;     /* NULL: no cloud */
    struct sl_label_prior *label_prior; /* NULL: no model, or no calibration */
    struct sl_speculation_credit speculation_credit;
    struct sl_queue *queue;       /* of struct walk_job */
    pthread_t workers[SL_WORKERS_MAX];
    uint32_t worker_count;
    atomic_uint inflight;
    pthread_mutex_t requests_lock; /* guards the list, not the requests in it */
    struct sl_request *requests;
};

/* The list of live requests: so that shutting down can cancel them. */
void sl_requests_enter(struct sl_router *router, struct sl_request *req);
void sl_requests_leave(struct sl_router *router, struct sl_request *req);
void sl_requests_cancel_all(struct sl_router *router);

enum sl_step sl_stage_scrub(struct sl_request *req);
enum sl_step sl_stage_lookup(struct sl_request *req);
enum sl_step sl_stage_infer(struct sl_request *req);
enum sl_step sl_stage_decide(struct sl_request *req);
enum sl_step sl_stage_escalate(struct sl_request *req);
enum sl_step sl_stage_restore(struct sl_request *req);
enum sl_step sl_stage_store(struct sl_request *req);

#endif
