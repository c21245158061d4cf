/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether the world can be reached, judged from real outcomes and probes of all providers. A 500 is
 * a reachable world; only what never got an HTTP response counts against it. Time is a parameter.
 *
 *     ONLINE    nothing unreachable lately, or too little to say
 *     DEGRADED  a quarter or more of the last attempts got nowhere
 *     OFFLINE   the last three got nowhere, and nothing was reached since
 */
#ifndef SLUICE_NETWORK_STATE_H
#define SLUICE_NETWORK_STATE_H

#include "sluice/cloud.h"

#define SL_NETWORK_OUTCOMES_MAX 16

struct sl_network_history {
    struct {
        uint64_t at_ms;
        bool reached;
    } outcomes[SL_NETWORK_OUTCOMES_MAX]; /* a ring */
    size_t head;
    size_t count;
    uint32_t unreached_in_a_row;
};

void sl_network_note(struct sl_network_history *network, bool reached, uint64_t now_ms);
enum sl_network sl_network_judge(const struct sl_network_history *network, uint64_t now_ms);

#endif
