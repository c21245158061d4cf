/* SPDX-License-Identifier: Apache-2.0
 *
 * The bounded stream of bytes from the thread that produces an answer to the listener that sends
 * it. In front of it stands a gate: until `sl_out_open` nothing can be read, and what was written
 * can still be thrown away; afterwards every byte is on its way to the client and final.
 *
 *        write        open          write          end
 *     HELD ──────▶ HELD ──────▶ FLOWING ──────▶ FLOWING ──────▶ ENDED
 *       └─ discard ─▶ HELD                └─ abort ─▶ ENDED (cut: no clean end was sent)
 *
 * Threads: one writer, one reader; `sl_out_cancel` from any thread. The wake function is called
 * without a lock held, on the writer's thread, when bytes or the end can be read.
 */
#ifndef SLUICE_OUT_STREAM_H
#define SLUICE_OUT_STREAM_H

#include "sluice/buf.h"
#include "sluice/err.h"

#include <stdint.h>

struct sl_out;

typedef void (*sl_wake_fn)(void *ctx);

enum sl_out_outcome {
    SL_OUT_BYTES,       /* some were read */
    SL_OUT_WOULD_BLOCK, /* none now; the wake function will be called */
    SL_OUT_ENDED,       /* a clean end and all was read */
    SL_OUT_CUT          /* aborted or cancelled */
};

/* `bytes_max` bounds what is held or waits for the client. NULL when out of memory. */
struct sl_out *sl_out_create(size_t bytes_max, sl_wake_fn wake, void *wake_ctx);
void sl_out_free(struct sl_out *out);

/* Writer. Where much waits for a slow client already, waits until there is room or the monotonic
 * deadline; 0: never waits (a writer on the reader's own thread). Errors: SL_ERR_CANCELLED,
 * SL_ERR_TIMEOUT (a client that does not read), SL_ERR_LIMIT (bytes_max), SL_ERR_MEMORY. */
enum sl_err sl_out_write(struct sl_out *out, struct sl_slice bytes,
                         uint64_t deadline_ms) SL_MUST_CHECK;
/* Writer. Throws away what is held; only before open. */
void sl_out_discard(struct sl_out *out);
/* Writer. From here on bytes flow. */
void sl_out_open(struct sl_out *out);
bool sl_out_is_open(struct sl_out *out);
/* Writer. No more bytes: cleanly, or cut. */
void sl_out_end(struct sl_out *out);
void sl_out_abort(struct sl_out *out);

/* Reader. Never blocks. *len gets how many bytes were copied into `into`. */
enum sl_out_outcome sl_out_read(struct sl_out *out, char *into, size_t size, size_t *len);
/* Any thread: the client went away. Wakes a waiting writer. */
void sl_out_cancel(struct sl_out *out);
bool sl_out_is_cancelled(struct sl_out *out);

#endif
