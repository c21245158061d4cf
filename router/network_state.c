/* SPDX-License-Identifier: Apache-2.0
 *
 * The network state of network_state.h. Guarded by its owner. OFFLINE does not fade with time: a
 * box without a network makes no attempts that could say otherwise, so a probe or a call must.
 */
#include "network_state.h"

#define OFFLINE_IN_A_ROW 3       /* one is a hiccup, two may be one provider's two addresses */
#define DEGRADED_WINDOW_MS 60000 /* older trouble says little about now */
#define DEGRADED_SHARE 0.25

void sl_network_note(struct sl_network_history *network, bool reached, uint64_t now_ms)
{
    size_t idx = (network->head + network->count) % SL_NETWORK_OUTCOMES_MAX;
    if (network->count == SL_NETWORK_OUTCOMES_MAX)
        network->head = (network->head + 1) % SL_NETWORK_OUTCOMES_MAX;
    else
        network->count++;
    network->outcomes[idx].at_ms = now_ms;
    network->outcomes[idx].reached = reached;
    network->unreached_in_a_row = reached ? 0 : network->unreached_in_a_row + 1;
}

enum sl_network sl_network_judge(const struct sl_network_history *network, uint64_t now_ms)
{
    if (network->unreached_in_a_row >= OFFLINE_IN_A_ROW)
        return SL_NETWORK_OFFLINE;
    uint32_t seen = 0;
    uint32_t unreached = 0;
    for (size_t i = 0; i < network->count; i++) {
        size_t idx = (network->head + i) % SL_NETWORK_OUTCOMES_MAX;
        if (network->outcomes[idx].at_ms + DEGRADED_WINDOW_MS < now_ms)
            continue;
        seen++;
        unreached += !network->outcomes[idx].reached;
    }
    return unreached > 0 && unreached >= DEGRADED_SHARE * seen ? SL_NETWORK_DEGRADED
                                                               : SL_NETWORK_ONLINE;
}
