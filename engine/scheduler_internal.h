/* SPDX-License-Identifier: Apache-2.0
 *
 * What scheduler.c (who runs) and step.c (one step of those who run) share. All of it belongs to
 * the scheduler's thread but what the mutex guards.
 */
#ifndef SLUICE_ENGINE_SCHEDULER_INTERNAL_H
#define SLUICE_ENGINE_SCHEDULER_INTERNAL_H

#include "fair_share.h"
#include "scheduler.h"

#include <pthread.h>
#include <stdatomic.h>

/* A call waiting for the scheduler's thread; lives on its caller's stack. */
struct sl_scheduler_call {
    struct sl_scheduler_call *next;
    sl_scheduler_fn *fn;
    void *context;
    bool is_done;
    bool was_run;
};

struct sl_scheduler {
    struct sl_scheduler_config config;
    pthread_t thread;

    /* Guarded by the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t work;      /* for the scheduler's thread: something came */
    pthread_cond_t call_done; /* for callers of sl_scheduler_call */
    bool is_stopping;
    struct sl_generation **waiting; /* (queue_max), in order of arrival */
    uint32_t waiting_count;
    struct sl_scheduler_call *calls;
    uint64_t arrivals;
    struct sl_fair_share fair;
    uint32_t running_shown; /* copies for sl_scheduler_load */
    uint64_t kv_bytes_shown;
    double tokens_per_second;

    atomic_uint threads_wanted; /* 0: leave */

    /* The thread's own. */
    struct sl_generation **running; /* (sequences_max) */
    uint32_t running_count;
    struct sl_span *spans;             /* (sequences_max) */
    struct sl_generation **span_owner; /* (sequences_max) */
    uint32_t span_count;
    bool is_packing;          /* weights are still being rearranged */
    uint64_t window_begin_ns; /* of the measurement of tokens_per_second */
    uint64_t window_tokens;
};

/* Service of one generated token, in prefill tokens: reading a prompt is matrix times matrix, which
 * a CPU does about this much faster a token. */
#define SL_SERVICE_GENERATED 6

/* One forward pass for the running requests, and what follows from its logits. */
void sl_scheduler_step(struct sl_scheduler *scheduler);
/* Ends a running request: its pages, its place, its last event. */
void sl_scheduler_finish(struct sl_scheduler *scheduler, struct sl_generation *generation,
                         enum sl_finish finish);
void sl_scheduler_charge(struct sl_scheduler *scheduler, const struct sl_generation *generation,
                         uint64_t service);

#endif
