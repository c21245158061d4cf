/* SPDX-License-Identifier: Apache-2.0
 *
 * A ring guarded by one mutex. Contention is low: items are whole requests.
 *
 * Invariants, under `lock`: 1. len <= items_max. 2. Items live at head .. head + len - 1, modulo.
 */
#include "sluice/queue.h"

#include "sluice/checked.h"
#include "sluice/clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct sl_queue {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t may_pop;
    size_t items_max;
    size_t head;
    size_t len;
    bool is_closed;
    void *items[];
};

struct sl_queue *sl_queue_create(size_t items_max)
{
    size_t size;
    assert(items_max > 0);
    if (!sl_size_mul(items_max, sizeof(void *), &size) ||
        !sl_size_add(size, sizeof(struct sl_queue), &size))
        return NULL;
    struct sl_queue *queue = calloc(1, size);
    if (queue == NULL)
        return NULL;
    queue->items_max = items_max;
    pthread_mutex_init(&queue->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->may_pop, &attr);
    pthread_condattr_destroy(&attr);
    return queue;
}

void sl_queue_free(struct sl_queue *queue)
{
    if (queue == NULL)
        return;
    pthread_cond_destroy(&queue->may_pop);
    pthread_mutex_destroy(&queue->lock);
    free(queue);
}

enum sl_queue_outcome sl_queue_push(struct sl_queue *queue, void *item)
{
    enum sl_queue_outcome outcome = SL_QUEUE_DONE;
    pthread_mutex_lock(&queue->lock);
    if (queue->is_closed) {
        outcome = SL_QUEUE_CLOSED;
    } else if (queue->len == queue->items_max) {
        outcome = SL_QUEUE_FULL;
    } else {
        queue->items[(queue->head + queue->len) % queue->items_max] = item;
        queue->len++;
        pthread_cond_signal(&queue->may_pop);
    }
    pthread_mutex_unlock(&queue->lock);
    return outcome;
}

enum sl_queue_outcome sl_queue_pop(struct sl_queue *queue, uint64_t deadline_ms, void **item)
{
    struct timespec until = sl_deadline_timespec(deadline_ms);
    enum sl_queue_outcome outcome = SL_QUEUE_DONE;
    pthread_mutex_lock(&queue->lock);
    while (queue->len == 0 && !queue->is_closed && outcome == SL_QUEUE_DONE)
        if (pthread_cond_timedwait(&queue->may_pop, &queue->lock, &until) == ETIMEDOUT)
            outcome = SL_QUEUE_TIMEOUT;
    if (queue->len > 0) {
        *item = queue->items[queue->head];
        queue->head = (queue->head + 1) % queue->items_max;
        queue->len--;
        outcome = SL_QUEUE_DONE;
    } else if (queue->is_closed) {
        outcome = SL_QUEUE_CLOSED;
    }
    pthread_mutex_unlock(&queue->lock);
    return outcome;
}

void sl_queue_close(struct sl_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->is_closed = true;
    pthread_cond_broadcast(&queue->may_pop);
    pthread_mutex_unlock(&queue->lock);
}

size_t sl_queue_len(struct sl_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t len = queue->len;
    pthread_mutex_unlock(&queue->lock);
    return len;
}
