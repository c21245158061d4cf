/* SPDX-License-Identifier: Apache-2.0
 *
 * One exchange with one target, seen from the caller's thread: bytes in, deltas out, until it is
 * over with an outcome. Knows deadlines of its own, nothing of retries and fallbacks.
 *
 *     sl_attempt_start(&attempt, &plan, now);
 *     while (!attempt.is_over) {
 *         sl_transfer_inbox_wait(inbox, min(sl_attempt_wake_at_ms(&attempt), ...));
 *         sl_attempt_pump(&attempt, now);
 *     }
 *     sl_attempt_clear(&attempt);
 *
 *              first content          commit              every choice ended
 *     WAITING ---------------> HOLDING -------> FORWARDING ----------------> over: SERVED
 *        |                        |                 |
 *        +------------------------+-----------------+----------------------> over: what went wrong
 *
 * A held attempt keeps its answer to itself; the commit gives what is held to the sink and moves
 * the answer into the call's result; from then on each delta goes to both.
 */
#ifndef SLUICE_CLOUD_ATTEMPT_H
#define SLUICE_CLOUD_ATTEMPT_H

#include "cloud_private.h"
#include "provider.h"

/* How a stream that broke after its commit is continued. */
enum sl_resume_mode {
    SL_RESUME_NONE,
    SL_RESUME_PREFILL, /* the provider goes on from the text that was sent */
    SL_RESUME_VERIFY   /* a fresh answer, whose beginning must equal what was sent */
};

struct sl_attempt_plan {
    struct sl_cloud *cloud;
    const struct sl_cloud_call *call;
    const struct sl_cloud_target *target;
    struct sl_transfer_inbox *inbox;
    struct sl_cloud_result *result; /* gets the record, and the answer at the commit */
    enum sl_resume_mode resume;
    bool avoids_stream; /* the provider has refused to stream */
    bool is_probe;
    bool is_hedge;
};

struct sl_attempt {
    struct sl_attempt_plan plan;
    struct sl_cloud_attempt *record; /* in plan.result; NULL past SL_CLOUD_ATTEMPTS_MAX */
    struct sl_transfer *transfer;
    struct sl_sse_parser sse;
    struct sl_provider_reader reader;
    struct sl_buf bytes;  /* taken from the transfer, being read */
    struct sl_buf whole;  /* an unstreamed answer or an error body, as far as it came */
    struct sl_answer own; /* HOLDING: the answer so far */
    bool is_wire_streaming;
    bool asks_reasoning;
    bool is_forwarding;
    bool waits_for_release; /* whole, and the call is held */
    enum { SL_BODY_UNKNOWN, SL_BODY_EVENTS, SL_BODY_WHOLE } body_form;

    struct sl_buf sent;   /* resume: the text that the client has */
    size_t sent_matched;  /* VERIFY: how much of it the new answer has repeated */
    enum sl_err sink_err; /* what the call's sink returned, where it ended the attempt */

    uint64_t started_at_ms;
    uint64_t connected_at_ms;
    uint64_t first_content_at_ms; /* 0: none yet */
    uint64_t progress_at_ms;      /* the last bytes */
    uint64_t finished_at_ms;      /* every choice ended; 0: not yet */

    bool is_over;
    enum sl_cloud_outcome outcome;
    struct sl_provider_failure failure;
    struct sl_error error;            /* for the operator and, as a rule, the client */
    struct sl_transfer_status status; /* the last one seen */
};

/* What the policy says about the target's model; NULL where it is not listed. */
const struct sl_cloud_model_config *sl_target_model(const struct sl_cloud_target *target);

/* Builds the request and starts the exchange. A failure to start is an outcome like any other. */
void sl_attempt_start(struct sl_attempt *attempt, const struct sl_attempt_plan *plan,
                      uint64_t now_ms);
/* Reads what has come, checks the deadlines. */
void sl_attempt_pump(struct sl_attempt *attempt, uint64_t now_ms);
/* Until when nothing needs to be done unless bytes come. */
uint64_t sl_attempt_wake_at_ms(const struct sl_attempt *attempt);
/* Enough content is there for the client to be shown some. */
bool sl_attempt_may_commit(const struct sl_attempt *attempt);
/* Gives what is held to the sink and the result; what comes is forwarded from here on. Ends the
 * attempt where the sink says so. */
void sl_attempt_commit(struct sl_attempt *attempt);
/* Ends it from outside: lost the race, cancelled. */
void sl_attempt_end(struct sl_attempt *attempt, enum sl_cloud_outcome outcome, uint64_t now_ms);
void sl_attempt_clear(struct sl_attempt *attempt);

#endif
