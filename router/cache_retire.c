/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns the moment when stored answers lose their ground: the start of a box (its model file may
 * have been replaced meanwhile) and a new policy. The keys of the look-up hold the model and the
 * terms that shape an answer, so most of what is purged here could not be found any more; this
 * takes it from the disk, and with it what an operator wanted gone by changing the rules.
 *
 * Cost: an edit of the policy, were it of a comment, empties the cache of what the old one made.
 * Per route would be finer and need a canonical form of a route's terms; an operator who edits
 * comments in production is rarer than one who must be sure that old answers are gone.
 *
 * Threads: the control thread.
 */
#include "cache_retire.h"

#include "sluice/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct sl_cache_origin sl_cache_origin_of(const struct sl_engine *engine,
                                          const struct sl_policy *policy)
{
    struct sl_cache_origin origin = {.policy =
                                         sl_cache_digest_of(sl_slice_of(sl_policy_digest(policy)))};
    if (engine != NULL) {
        const struct sl_model_info *model = sl_engine_info(engine);
        origin.model = sl_cache_digest_of(
            (struct sl_slice){(const char *)model->digest, sizeof model->digest});
        origin.chat_template = sl_cache_digest_of(
            (struct sl_slice){(const char *)model->template_digest, sizeof model->template_digest});
    }
    return origin;
}

void sl_cache_retire(struct sl_cache *cache, const struct sl_engine *engine,
                     const struct sl_policy *policy, char last_policy[SL_RETIRE_DIGEST_BYTES])
{
    const char *digest = sl_policy_digest(policy);
    struct sl_error error = {0};
    uint64_t purged = 0;
    if (cache == NULL || sl_cache_state(cache) != SL_CACHE_ON || strcmp(digest, last_policy) == 0)
        return;
    struct sl_cache_origin origin = sl_cache_origin_of(engine, policy);
    if (sl_cache_purge(cache, &(struct sl_cache_filter){.not_made_from = &origin}, &purged,
                       &error) != SL_OK) {
        SL_LOG_WARN("cache", "answers of another model or policy are still stored: %s",
                    error.message);
        return;
    }
    snprintf(last_policy, SL_RETIRE_DIGEST_BYTES, "%s", digest);
    if (purged > 0)
        SL_LOG_INFO("cache", "%" PRIu64 " answers of another model or policy were removed", purged);
}
