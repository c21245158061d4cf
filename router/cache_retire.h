/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: stored answers die with the model, the template or the policy they came from.
 */
#ifndef SLUICE_ROUTER_CACHE_RETIRE_H
#define SLUICE_ROUTER_CACHE_RETIRE_H

#include "sluice/cache.h"
#include "sluice/engine.h"
#include "sluice/policy.h"

/* What entries are labelled with. `engine` may be NULL. The first call after opening a large model
 * may wait for its digest (sl_engine_info). */
struct sl_cache_origin sl_cache_origin_of(const struct sl_engine *engine,
                                          const struct sl_policy *policy);

/* Purges what another model, template or policy made, where the policy is not the one of the last
 * call. `last_policy` is the caller's memory of that, zeroed at first. Blocking: for the control
 * thread. A store that is off is tried again at the next call. */
#define SL_RETIRE_DIGEST_BYTES 65
void sl_cache_retire(struct sl_cache *cache, const struct sl_engine *engine,
                     const struct sl_policy *policy, char last_policy[SL_RETIRE_DIGEST_BYTES]);

#endif
