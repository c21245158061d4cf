/* SPDX-License-Identifier: Apache-2.0
 *
 * The one thread that runs the model: requests wait in a bounded queue, run together in batches
 * (continuous batching: a request joins or leaves between any two steps), and get their tokens as
 * records of their generation.
 *
 *     if (sl_scheduler_start(&config, &scheduler, &error) != SL_OK) ...
 *     if (sl_scheduler_submit(scheduler, generation, &error) != SL_OK) ...
 *     sl_scheduler_stop(scheduler);
 *
 * Threads: submit, call, load and set_threads from any; start and stop from one.
 */
#ifndef SLUICE_ENGINE_SCHEDULER_H
#define SLUICE_ENGINE_SCHEDULER_H

#include "forward.h"
#include "generation.h"
#include "sampler.h"

struct sl_scheduler;

/* All borrowed; used by the scheduler's thread alone until it is stopped. */
struct sl_scheduler_config {
    struct sl_model *model; /* whose weights are rearranged between steps: sl_model_pack_some */
    const struct sl_tokenizer *tokenizer;
    struct sl_kv_cache *cache; /* NULL for an encoder: then only calls run */
    struct sl_forward *forward;
    struct sl_pool *pool;
    struct sl_sampler *sampler; /* NULL for an encoder */
    uint32_t sequences_max;
    uint32_t queue_max;
};

enum sl_err sl_scheduler_start(const struct sl_scheduler_config *config, struct sl_scheduler **out,
                               struct sl_error *error) SL_MUST_CHECK;
/* Ends every request as cancelled and joins the thread. NULL is fine. */
void sl_scheduler_stop(struct sl_scheduler *scheduler);

/* Queues a generation; takes the scheduler's reference. Does not wait. SL_ERR_OVERLOAD where the
 * queue is full, SL_ERR_SHUTDOWN after stop began; the reference is then still the caller's. */
enum sl_err sl_scheduler_submit(struct sl_scheduler *scheduler, struct sl_generation *generation,
                                struct sl_error *error) SL_MUST_CHECK;

/* Runs `fn` on the scheduler's thread between two steps, where it may use model, cache and forward,
 * and waits until it is done. SL_ERR_SHUTDOWN after stop began. */
typedef void sl_scheduler_fn(const struct sl_scheduler_config *config, void *context);
enum sl_err sl_scheduler_call(struct sl_scheduler *scheduler, sl_scheduler_fn *fn, void *context,
                              struct sl_error *error) SL_MUST_CHECK;

void sl_scheduler_set_threads(struct sl_scheduler *scheduler, uint32_t threads);
void sl_scheduler_load(struct sl_scheduler *scheduler, struct sl_engine_load *out);

#endif
