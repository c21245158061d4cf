/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel pool: a few persistent threads that split one operation. The caller's thread is
 * worker 0, so a pool of one runs everything inline and owns no thread.
 *
 *     struct sl_pool *pool = sl_pool_create(4);
 *     sl_pool_for(pool, rows, 16, rows_work, &ctx);  // rows_work(ctx, begin, end, worker), chunks
 *     sl_pool_free(pool);
 *
 * Between operations workers spin for some microseconds, since a step of a model is hundreds of
 * short operations, and then sleep: an idle pool uses no CPU.
 *
 * Threads: one thread at a time calls for and set_threads; these return when all is done.
 */
#ifndef SLUICE_ENGINE_THREAD_POOL_H
#define SLUICE_ENGINE_THREAD_POOL_H

#include <stdint.h>

#define SL_POOL_THREADS_MAX 64

struct sl_pool;

/* Handles [begin, end); `worker` indexes per-worker scratch. */
typedef void sl_pool_range_fn(void *ctx, uint32_t begin, uint32_t end, uint32_t worker);

/* `threads` in all, the caller's included; 0 means one for each core that this process may use,
 * more than SL_POOL_THREADS_MAX is cut. NULL when out of memory or threads. */
struct sl_pool *sl_pool_create(uint32_t threads);
/* Joins the workers. NULL is fine. */
void sl_pool_free(struct sl_pool *pool);

/* How many workers the next operation has. Raising it past what was created before starts threads;
 * where that fails the count stays as near as it got. Returns the count in force. */
uint32_t sl_pool_set_threads(struct sl_pool *pool, uint32_t threads);
uint32_t sl_pool_threads(const struct sl_pool *pool);

/* Calls fn on chunks of [0, count), each a multiple of `grain` long but the last. Each worker has
 * an equal, connected share; who is done helps the others, so that one that the system held up does
 * not stall the rest. */
void sl_pool_for(struct sl_pool *pool, uint32_t count, uint32_t grain, sl_pool_range_fn *fn,
                 void *ctx);

#endif
