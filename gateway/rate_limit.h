/* SPDX-License-Identifier: Apache-2.0
 *
 * Rate limits per API key: two token buckets, requests and model tokens, each refilled evenly over a
 * minute. A request costs one of the first when it comes, and what it used of the second when it
 * ended: what an answer will cost is not known before, so a bucket may go below zero and the next
 * request waits until it is above again.
 *
 *     struct sl_rate_state state;
 *     if (!sl_rate_limits_take(limits, &terms, now_ns, &state)) ... 429, state.retry_after_ms
 *     sl_rate_limits_charge(limits, terms.id, tokens, now_ns);
 *
 * Time is a parameter. Threads: any.
 */
#ifndef SLUICE_GATEWAY_RATE_LIMIT_H
#define SLUICE_GATEWAY_RATE_LIMIT_H

#include "keys.h"

struct sl_rate_limits;

/* For the x-ratelimit-* headers. A limit of 0 is none. */
struct sl_rate_state {
    uint32_t requests_limit, requests_remaining;
    uint32_t tokens_limit, tokens_remaining;
    uint64_t requests_reset_ms; /* until the bucket is full again */
    uint64_t tokens_reset_ms;
    uint64_t retry_after_ms; /* of a refusal */
    bool is_tokens;          /* the refusal's reason; false: requests */
};

struct sl_rate_limits *sl_rate_limits_create(void); /* NULL: out of memory */
void sl_rate_limits_free(struct sl_rate_limits *limits);
/* True where the request may go on. */
bool sl_rate_limits_take(struct sl_rate_limits *limits, const struct sl_key_terms *terms,
                         uint64_t now_ns, struct sl_rate_state *state);
void sl_rate_limits_charge(struct sl_rate_limits *limits, const char *key_id, uint64_t tokens,
                           uint64_t now_ns);

#endif
