/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns between apps: each has a counter of the service it got, and the app with the smallest
 * counter is next (Sheng et al. 2024, "Fairness in Serving Large Language Models", section 4). An
 * app that was away does not save up: its counter is lifted to the smallest one of those present.
 *
 * Threads: guarded by the owner's mutex. Nothing allocates.
 */
#ifndef SLUICE_ENGINE_FAIR_SHARE_H
#define SLUICE_ENGINE_FAIR_SHARE_H

#include <stdint.h>

/* Entries; apps whose ids are equal modulo this number share their turns. A fixed table cannot be
 * made to grow by made-up ids. */
#define SL_FAIR_SHARE_APPS 256

struct sl_fair_app {
    uint64_t service;
    uint32_t present; /* requests waiting or running */
};

/* Zeroed is empty. */
struct sl_fair_share {
    uint64_t floor; /* the smallest counter of those present, when last asked */
    struct sl_fair_app apps[SL_FAIR_SHARE_APPS];
};

/* A request of the app came, or went. */
void sl_fair_share_enter(struct sl_fair_share *share, uint32_t id);
void sl_fair_share_leave(struct sl_fair_share *share, uint32_t id);
void sl_fair_share_charge(struct sl_fair_share *share, uint32_t id, uint64_t service);
/* The counter of an app: less means sooner. */
uint64_t sl_fair_share_service(const struct sl_fair_share *share, uint32_t id);

#endif
