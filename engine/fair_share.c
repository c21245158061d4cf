/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the counters of fair_share.h. A small table looked through once a request that comes or
 * goes.
 */
#include "fair_share.h"

static struct sl_fair_app *entry_of(struct sl_fair_share *share, uint32_t id)
{
    return &share->apps[id % SL_FAIR_SHARE_APPS];
}

/* The smallest counter of apps that are present; where none is, the last one known. */
static uint64_t smallest_present(const struct sl_fair_share *share)
{
    uint64_t smallest = UINT64_MAX;
    for (uint32_t idx = 0; idx < SL_FAIR_SHARE_APPS; idx++)
        if (share->apps[idx].present > 0 && share->apps[idx].service < smallest)
            smallest = share->apps[idx].service;
    return smallest != UINT64_MAX ? smallest : share->floor;
}

void sl_fair_share_enter(struct sl_fair_share *share, uint32_t id)
{
    struct sl_fair_app *app = entry_of(share, id);
    share->floor = smallest_present(share);
    if (app->present == 0 && app->service < share->floor)
        app->service = share->floor;
    app->present++;
}

void sl_fair_share_leave(struct sl_fair_share *share, uint32_t id)
{
    share->floor = smallest_present(share);
    entry_of(share, id)->present--;
}

void sl_fair_share_charge(struct sl_fair_share *share, uint32_t id, uint64_t service)
{
    entry_of(share, id)->service += service;
}

uint64_t sl_fair_share_service(const struct sl_fair_share *share, uint32_t id)
{
    return share->apps[id % SL_FAIR_SHARE_APPS].service;
}
