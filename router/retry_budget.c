/* SPDX-License-Identifier: Apache-2.0
 *
 * The retry budget and the backoff of retry_budget.h. Guarded by its owner; no clock.
 */
#include "retry_budget.h"

static void start(struct sl_retry_budget *budget, double burst)
{
    if (!budget->is_started)
        budget->saved = burst;
    budget->is_started = true;
}

void sl_retry_budget_earn(struct sl_retry_budget *budget, double ratio, double burst)
{
    start(budget, burst);
    budget->saved += ratio;
    if (budget->saved > burst)
        budget->saved = burst;
}

bool sl_retry_budget_spend(struct sl_retry_budget *budget, double burst)
{
    start(budget, burst);
    if (budget->saved < 1)
        return false;
    budget->saved -= 1;
    return true;
}

uint32_t sl_backoff_ms(uint32_t base_ms, uint32_t max_ms, uint32_t retry_idx, uint32_t random)
{
    uint64_t ceiling = retry_idx < 32 ? (uint64_t)base_ms << retry_idx : max_ms;
    if (ceiling > max_ms)
        ceiling = max_ms;
    return (uint32_t)(((ceiling + 1) * random) >> 32);
}
