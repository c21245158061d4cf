/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside one call: what cloud_call.c (which target, when), cloud_race.c (one run of a target) and
 * cloud_settle.c (what is written down about it) share.
 */
#ifndef SLUICE_CLOUD_CALL_H
#define SLUICE_CLOUD_CALL_H

#include "cloud_attempt.h"

#define SL_CALL_WAIT_STEP_MS 50 /* how fast a client that left is noticed */
#define SL_CALL_ATTEMPTS_MAX 12 /* past it something is wrong that asking does not mend */

struct sl_call {
    struct sl_cloud *cloud;
    const struct sl_cloud_call *ask;
    struct sl_cloud_result *result;
    struct sl_transfer_inbox *inbox;
    uint64_t started_at_ms;

    const struct sl_cloud_target *order[SL_CLOUD_TARGETS_MAX];
    size_t order_count;
    size_t position;  /* in `order`: the target being asked */
    uint32_t retries; /* of this target so far */
    size_t attempts;

    bool has_context_floor; /* a model's context was too short: */
    uint64_t context_floor; /* only larger ones than this are asked */
    enum sl_resume_mode resume;
    bool avoids_stream; /* of the current target */

    /* The last word, for the client. */
    bool has_last;
    enum sl_cloud_outcome last_outcome;
    bool is_all_rate_limited;
    char reason[SL_PROVIDER_REASON_MAX];
    struct sl_error last_error;
    uint32_t retry_after_ms;
    uint64_t again_at_ms; /* the earliest time a breaker or cool-down lets someone be asked */
};

/* ---- cloud_call.c ---- */

bool sl_call_is_ended(const struct sl_call *call); /* cancelled, or the cloud leg stops */
/* Where targets after the current one can be asked now, the first of them; else NULL. */
const struct sl_cloud_target *sl_call_other_target(const struct sl_call *call, uint64_t now_ms);

/* ---- cloud_race.c ---- */

/* One run of a target: an attempt, and its hedge. */
struct sl_race {
    struct sl_attempt attempts[2];
    size_t count;
    size_t winner; /* the attempt that counts at the end */
    uint64_t hedge_at_ms;
};

/* Asks the current target until it is over. The attempts must be cleared afterwards. */
void sl_race_run(struct sl_call *call, struct sl_race *race, bool is_probe);

/* ---- cloud_settle.c ---- */

/* Tells breaker, network state and metrics what became of an attempt. */
void sl_call_note_attempt(struct sl_call *call, const struct sl_attempt *attempt, uint64_t now_ms);
/* The answer, its names and its price. */
void sl_call_settle_served(struct sl_call *call, const struct sl_attempt *attempt);
/* Keeps what the client may be told if nothing better follows. */
void sl_call_remember_failure(struct sl_call *call, const struct sl_attempt *attempt);

#endif
