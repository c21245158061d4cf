/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered about providers between calls, by name, so that it outlives a policy reload: a
 * breaker and recent latencies per model, a retry budget and the key per provider, and the network
 * state of them all. One lock inside; time is a parameter.
 */
#ifndef SLUICE_PROVIDER_STATE_H
#define SLUICE_PROVIDER_STATE_H

#include "breaker.h"
#include "network_state.h"
#include "sluice/buf.h"

struct sl_provider_states;

struct sl_provider_states *sl_provider_states_create(void);
void sl_provider_states_free(struct sl_provider_states *states);

/* ---- May this target be asked now? ---- */

struct sl_provider_admission {
    enum sl_breaker_verdict verdict;
    bool is_cooling;      /* REFUSE because of a Retry-After, not of the breaker */
    uint64_t again_at_ms; /* REFUSE: when asking may be allowed; 0: unknown */
};
/* `ignores_cooling`: the caller has waited as long as it was told to. */
struct sl_provider_admission sl_provider_states_admit(struct sl_provider_states *states,
                                                      const struct sl_cloud_provider_config *config,
                                                      const char *model, bool ignores_cooling,
                                                      uint64_t now_ms);
/* The same question without taking the probe's place. */
bool sl_provider_states_would_admit(struct sl_provider_states *states,
                                    const struct sl_cloud_provider_config *config,
                                    const char *model, uint64_t now_ms);

/* ---- What became of it ---- */

struct sl_provider_note {
    bool says_nothing; /* cancelled: only the probe's place is given back */
    bool failed;       /* counts against the breaker */
    bool was_probe;
    bool is_network_outcome; /* whether the network was reached is known */
    bool reached;
    uint32_t first_token_ms; /* 0: none */
    uint32_t cool_ms;        /* Retry-After; 0: none */
};
void sl_provider_states_note(struct sl_provider_states *states,
                             const struct sl_cloud_provider_config *config, const char *model,
                             const struct sl_provider_note *note, uint64_t now_ms);
void sl_provider_states_note_network(struct sl_provider_states *states, bool reached,
                                     uint64_t now_ms);

/* ---- Retries and hedges ---- */

void sl_provider_states_earn_retry(struct sl_provider_states *states,
                                   const struct sl_cloud_provider_config *config);
bool sl_provider_states_spend_retry(struct sl_provider_states *states,
                                    const struct sl_cloud_provider_config *config);
/* After how long a second attempt is worth it; UINT32_MAX: never (hedging off, too little seen). */
uint32_t sl_provider_states_hedge_after_ms(struct sl_provider_states *states,
                                           const struct sl_cloud_provider_config *config,
                                           const char *model);

/* ---- The key ---- */

/* Appends the provider's key to *out (the caller wipes it); nothing where none is configured.
 * Errors: SL_ERR_UPSTREAM_CREDENTIALS where the variable is unset or empty or the file cannot be
 * read; the message names the source, never the key. */
enum sl_err sl_provider_states_key(struct sl_provider_states *states,
                                   const struct sl_cloud_provider_config *config,
                                   struct sl_buf *out, struct sl_error *error) SL_MUST_CHECK;

/* ---- For people ---- */

enum sl_breaker_state sl_provider_states_breaker(struct sl_provider_states *states,
                                                 const char *name);
enum sl_network sl_provider_states_network(struct sl_provider_states *states, uint64_t now_ms);

#endif
