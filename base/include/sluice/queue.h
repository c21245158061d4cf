/* SPDX-License-Identifier: Apache-2.0
 *
 * A bounded first-in first-out queue of pointers, for handing ownership between threads: many
 * producers, many consumers. A full queue refuses at once; nobody waits to get in.
 *
 *     if (sl_queue_push(queue, job) != SL_QUEUE_DONE) reply_overloaded(job);
 *     ...
 *     while (sl_queue_pop(queue, SL_DEADLINE_NEVER, &item) == SL_QUEUE_DONE) work(item);
 *
 * Ownership: an item belongs to the queue between a push that returned SL_QUEUE_DONE and its pop.
 */
#ifndef SLUICE_QUEUE_H
#define SLUICE_QUEUE_H

#include "sluice/err.h"

#include <stdint.h>

struct sl_queue;

enum sl_queue_outcome {
    SL_QUEUE_DONE,
    SL_QUEUE_FULL,    /* push only */
    SL_QUEUE_TIMEOUT, /* pop only */
    SL_QUEUE_CLOSED,  /* push: closed; pop: closed and empty */
};

struct sl_queue *sl_queue_create(size_t items_max);
/* The queue must be empty or its items not owned: it does not know how to free them. */
void sl_queue_free(struct sl_queue *queue);

enum sl_queue_outcome sl_queue_push(struct sl_queue *queue, void *item) SL_MUST_CHECK;
/* Waits until an item, the monotonic deadline or the close. */
enum sl_queue_outcome sl_queue_pop(struct sl_queue *queue, uint64_t deadline_ms,
                                   void **item) SL_MUST_CHECK;
/* No more pushes; pops drain what is left. Wakes every waiter. */
void sl_queue_close(struct sl_queue *queue);
size_t sl_queue_len(struct sl_queue *queue);

#endif
