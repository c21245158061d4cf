/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the cloud leg: what a `struct sl_cloud` is made of, the table of outcomes, and the
 * metrics. cloud.c owns the life, cloud_call.c the loop over targets, cloud_race.c one run of a
 * target, cloud_settle.c what is written down about it, cloud_attempt.c one exchange.
 */
#ifndef SLUICE_CLOUD_PRIVATE_H
#define SLUICE_CLOUD_PRIVATE_H

#include "cost.h"
#include "provider_state.h"
#include "sluice/cloud.h"
#include "sluice/metric.h"
#include "transfer.h"

struct sl_cloud {
    bool is_disabled;            /* by SLUICE_NO_CLOUD: hub is NULL */
    struct sl_transfer_hub *hub; /* NULL: no connection is possible */
    struct sl_provider_states *states;
    struct sl_cost *cost;
    char user_agent[64];
    uint32_t streams_max;
    atomic_uint streams;
    atomic_bool is_stopping;

    struct sl_metric *attempts;    /* {provider, outcome} */
    struct sl_metric *egress;      /* {provider} */
    struct sl_metric *cost_usd;    /* {model} */
    struct sl_metric *tokens;      /* gen_ai_client_token_usage */
    struct sl_metric *first_token; /* {provider} */
    struct sl_series *inflight;
};

/* When is the same target asked again? */
enum sl_retry_rule {
    SL_RETRY_NEVER,
    SL_RETRY_IF_ALONE, /* only where no other target is left */
    SL_RETRY_YES
};

/* What an outcome means for the call, the breaker and the network state: one row each. */
struct sl_outcome_rule {
    const char *word;
    enum sl_retry_rule retry;
    bool may_fall_back;     /* another target may do better */
    bool is_provider_fault; /* counts against the breaker */
    bool says_nothing;      /* about the provider: neither for nor against */
    enum { SL_REACH_UNKNOWN, SL_REACH_YES, SL_REACH_NO } reach;
    enum sl_err err; /* for the client, where it was the last word */
};
const struct sl_outcome_rule *sl_outcome_rule(enum sl_cloud_outcome outcome);

#endif
