/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate and the bounded buffer of out_stream.h.
 *
 * Invariants, under `lock`: 1. bytes.len <= bytes_max. 2. is_open never goes back. 3. After
 * has_ended nothing is written. 4. `start` counts bytes at the front that were read already.
 */
#include "sluice/out_stream.h"

#include "sluice/clock.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct sl_out {
    pthread_mutex_t lock; /* guards all below but the wake pair */
    pthread_cond_t may_write;
    struct sl_buf bytes;
    size_t start;
    bool is_open;
    bool has_ended;
    bool was_cut;
    bool is_cancelled;
    sl_wake_fn wake;
    void *wake_ctx;
};

struct sl_out *sl_out_create(size_t bytes_max, sl_wake_fn wake, void *wake_ctx)
{
    struct sl_out *out = calloc(1, sizeof *out);
    if (out == NULL)
        return NULL;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&out->may_write, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&out->lock, NULL);
    sl_buf_init(&out->bytes, bytes_max);
    out->wake = wake;
    out->wake_ctx = wake_ctx;
    return out;
}

void sl_out_free(struct sl_out *out)
{
    if (out == NULL)
        return;
    sl_buf_wipe(&out->bytes);
    pthread_cond_destroy(&out->may_write);
    pthread_mutex_destroy(&out->lock);
    free(out);
}

static void out_wake(struct sl_out *out)
{
    if (out->wake != NULL)
        out->wake(out->wake_ctx);
}

/* A client this far behind makes its writer wait: some seconds of text, and little memory. */
#define OUT_HIGH_WATER (128u << 10)

/* Under the lock: drops the bytes that were read, so that the room is there again. */
static void out_compact(struct sl_out *out)
{
    sl_buf_consume(&out->bytes, out->start);
    out->start = 0;
}

static bool out_must_wait(const struct sl_out *out)
{
    return out->is_open && !out->is_cancelled && out->bytes.len - out->start >= OUT_HIGH_WATER;
}

enum sl_err sl_out_write(struct sl_out *out, struct sl_slice bytes, uint64_t deadline_ms)
{
    struct timespec until = sl_deadline_timespec(deadline_ms);
    enum sl_err err = SL_OK;
    bool must_wake = false;
    pthread_mutex_lock(&out->lock);
    assert(!out->has_ended);
    while (err == SL_OK && deadline_ms != 0 && out_must_wait(out))
        if (pthread_cond_timedwait(&out->may_write, &out->lock, &until) == ETIMEDOUT)
            err = SL_ERR_TIMEOUT;
    if (out->is_cancelled)
        err = SL_ERR_CANCELLED;
    if (err == SL_OK) {
        must_wake = out->is_open && out->bytes.len == out->start;
        out_compact(out);
        err = sl_buf_append_slice(&out->bytes, bytes);
    }
    pthread_mutex_unlock(&out->lock);
    if (err == SL_OK && must_wake)
        out_wake(out);
    return err;
}

void sl_out_discard(struct sl_out *out)
{
    pthread_mutex_lock(&out->lock);
    assert(!out->is_open);
    sl_buf_reset(&out->bytes);
    out->start = 0;
    pthread_mutex_unlock(&out->lock);
}

void sl_out_open(struct sl_out *out)
{
    pthread_mutex_lock(&out->lock);
    out->is_open = true;
    pthread_mutex_unlock(&out->lock);
    out_wake(out);
}

bool sl_out_is_open(struct sl_out *out)
{
    pthread_mutex_lock(&out->lock);
    bool is_open = out->is_open;
    pthread_mutex_unlock(&out->lock);
    return is_open;
}

static void out_finish(struct sl_out *out, bool was_cut)
{
    pthread_mutex_lock(&out->lock);
    if (!out->has_ended) {
        out->has_ended = true;
        out->was_cut = was_cut;
    }
    pthread_mutex_unlock(&out->lock);
    out_wake(out);
}

void sl_out_end(struct sl_out *out) { out_finish(out, false); }
void sl_out_abort(struct sl_out *out) { out_finish(out, true); }

enum sl_out_outcome sl_out_read(struct sl_out *out, char *into, size_t size, size_t *len)
{
    enum sl_out_outcome outcome;
    *len = 0;
    pthread_mutex_lock(&out->lock);
    size_t waiting = out->is_open ? out->bytes.len - out->start : 0;
    if (out->is_cancelled) {
        outcome = SL_OUT_CUT;
    } else if (waiting > 0) {
        *len = waiting < size ? waiting : size;
        memcpy(into, out->bytes.data + out->start, *len);
        out->start += *len;
        if (out->start == out->bytes.len) {
            sl_buf_reset(&out->bytes);
            out->start = 0;
        }
        pthread_cond_signal(&out->may_write);
        outcome = SL_OUT_BYTES;
    } else if (out->has_ended) {
        outcome = out->was_cut ? SL_OUT_CUT : SL_OUT_ENDED;
    } else {
        outcome = SL_OUT_WOULD_BLOCK;
    }
    pthread_mutex_unlock(&out->lock);
    return outcome;
}

void sl_out_cancel(struct sl_out *out)
{
    pthread_mutex_lock(&out->lock);
    out->is_cancelled = true;
    pthread_cond_broadcast(&out->may_write);
    pthread_mutex_unlock(&out->lock);
}

bool sl_out_is_cancelled(struct sl_out *out)
{
    pthread_mutex_lock(&out->lock);
    bool is_cancelled = out->is_cancelled;
    pthread_mutex_unlock(&out->lock);
    return is_cancelled;
}
