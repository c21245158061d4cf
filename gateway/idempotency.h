/* SPDX-License-Identifier: Apache-2.0
 *
 * Idempotency-Key: a retry of a request that still runs joins it, a retry of one that ended gets
 * its answer again, and the same key with another body is refused. Kept in memory, bounded by
 * entries and bytes; entries last ten minutes, which outlives any client's retries.
 *
 *     struct sl_idempotency_claim claim = {.scope = credential, .key = key, .body = body, ...};
 *     switch (sl_idempotency_claim(store, &claim, &ticket, &answer)) {
 *     case SL_IDEMPOTENCY_FIRST:  ...walk, then sl_idempotency_settle(ticket, ...);
 *     case SL_IDEMPOTENCY_JOINED: ...wait for wake, then sl_idempotency_result(ticket, &answer);
 *     case SL_IDEMPOTENCY_DONE:   ...send answer;
 *     case SL_IDEMPOTENCY_CONFLICT: 409
 *     case SL_IDEMPOTENCY_OFF: ...walk as if no key was given;
 *     }
 *     sl_idempotency_release(ticket);
 *
 * Threads: any.
 */
#ifndef SLUICE_GATEWAY_IDEMPOTENCY_H
#define SLUICE_GATEWAY_IDEMPOTENCY_H

#include "sluice/buf.h"
#include "sluice/out_stream.h"
#include "sluice/request.h"

struct sl_idempotency;
struct sl_idempotency_ticket;

struct sl_idempotency_claim {
    struct sl_slice scope; /* who asks: keys of different credentials never meet */
    struct sl_slice path;
    struct sl_slice key;
    struct sl_slice body;
    uint64_t now_ms; /* monotonic */
    sl_wake_fn wake; /* of a follower: called when the first one ended, any thread */
    void *wake_ctx;
};

/* A whole answer as it was sent. Borrowed from the ticket. */
struct sl_idempotency_answer {
    int status;
    const struct sl_header *headers;
    size_t header_count;
    struct sl_slice body;
};

enum sl_idempotency_outcome {
    SL_IDEMPOTENCY_FIRST,
    SL_IDEMPOTENCY_JOINED,
    SL_IDEMPOTENCY_DONE,
    SL_IDEMPOTENCY_CONFLICT,
    SL_IDEMPOTENCY_OFF /* out of memory, or too many keys: better twice than not at all */
};

struct sl_idempotency *sl_idempotency_create(size_t entries_max, size_t bytes_max);
void sl_idempotency_free(struct sl_idempotency *store); /* no ticket may be left */

enum sl_idempotency_outcome sl_idempotency_claim(struct sl_idempotency *store,
                                                 const struct sl_idempotency_claim *claim,
                                                 struct sl_idempotency_ticket **ticket);
/* First only: a piece of a stream, as it was sent. */
void sl_idempotency_record(struct sl_idempotency_ticket *ticket, struct sl_slice bytes);
/* First only: the end. `answer` NULL: it failed in a way that a retry should try again, or it was
 * cut; followers then find no result. Its body may be empty where pieces were recorded. */
void sl_idempotency_settle(struct sl_idempotency_ticket *ticket,
                           const struct sl_idempotency_answer *answer);
/* Done, or joined and woken: false where the first one left no answer (ask again as a new one). */
bool sl_idempotency_result(struct sl_idempotency_ticket *ticket,
                           struct sl_idempotency_answer *answer);
/* Joined, not ended yet. */
bool sl_idempotency_is_pending(struct sl_idempotency_ticket *ticket);
/* Every ticket once. A first one that was not settled is settled without an answer. */
void sl_idempotency_release(struct sl_idempotency_ticket *ticket);

#endif
