/* SPDX-License-Identifier: Apache-2.0
 *
 * How often and how soon to try again. The budget keeps an outage from being multiplied: each call
 * earns its provider a fraction of a retry, a retry costs a whole one, so in the long run retries
 * are at most that fraction of the calls. The wait is "full jitter" (Brooker, Exponential Backoff
 * And Jitter, AWS Architecture Blog, 2015): callers that failed together do not come back together.
 *
 * Example: ratio 0.2, burst 10. A quiet provider has 10 saved. It goes down; the next 10 retries
 * are allowed, and from then on one in five calls may retry once.
 */
#ifndef SLUICE_RETRY_BUDGET_H
#define SLUICE_RETRY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct sl_retry_budget {
    double saved;
    bool is_started; /* a zeroed budget starts full */
};

void sl_retry_budget_earn(struct sl_retry_budget *budget, double ratio, double burst);
/* Takes one retry; false where less than one is saved. */
bool sl_retry_budget_spend(struct sl_retry_budget *budget, double burst);

/* Wait before retry number `retry_idx` (0 is the first): uniform in
 * [0, min(max_ms, base_ms * 2^retry_idx)], picked by `random`, a uniform 32-bit number. */
uint32_t sl_backoff_ms(uint32_t base_ms, uint32_t max_ms, uint32_t retry_idx, uint32_t random);

#endif
