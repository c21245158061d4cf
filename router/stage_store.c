/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 9, store: a finished answer goes into the cache, one of the cloud in its scrubbed form, and
 * to the equal requests that wait for it. Incomplete and failed answers are never stored, nor is a
 * local one that was only served because nothing better could be had. Never blocks: the cache's
 * writer has a queue of its own.
 */
#include "cache_retire.h"
#include "lookup.h"
#include "pipeline.h"
#include "sessions.h"
#include "sluice/clock.h"
#include "sluice/log.h"

#include <stdlib.h>
#include <string.h>

/* May a local answer with this reason be given to the next one who asks? */
static bool is_worth_storing(enum sl_reason reason)
{
    return reason == SL_REASON_CONFIDENT || reason == SL_REASON_FORCED ||
           reason == SL_REASON_POLICY || reason == SL_REASON_PII_KEEP_LOCAL;
}

static int64_t ttl_of(const struct sl_request *req)
{
    const struct sl_route_cache *rules = &req->auth.route.cache;
    int64_t asked = req->parse.cache.ttl_s;
    if (asked < 0)
        return (int64_t)rules->ttl_s;
    return asked < (int64_t)rules->ttl_max_s ? asked : (int64_t)rules->ttl_max_s;
}

static struct sl_cache_meta meta_of(const struct sl_request *req, const struct sl_answer *answer,
                                    enum sl_cache_kind kind)
{
    const struct sl_router_config *config = &req->router->config;
    struct sl_cache_origin origin =
        sl_cache_origin_of(kind == SL_CACHE_LOCAL ? config->engine : NULL, req->auth.policy);
    struct sl_cache_meta meta = {.kind = kind,
                                 .app = sl_slice_of(req->auth.app),
                                 .model = sl_slice_of(answer->model),
                                 .model_digest = origin.model,
                                 .template_digest = origin.chat_template,
                                 .policy_digest = origin.policy,
                                 .prompt_tokens = (uint32_t)answer->usage.prompt_tokens,
                                 .completion_tokens = (uint32_t)answer->usage.completion_tokens};
    if (kind == SL_CACHE_CLOUD && req->escalate.result->cost_usd > 0)
        meta.cost_microusd = (uint64_t)(req->escalate.result->cost_usd * 1e6);
    return meta;
}

/* An answer that a policy of the past allowed would be purged with it, and must not come after. */
static bool is_in_force(const struct sl_request *req)
{
    const struct sl_policy *now = sl_policy_store_acquire(req->router->config.policies);
    bool is_same = strcmp(sl_policy_digest(now), sl_policy_digest(req->auth.policy)) == 0;
    sl_policy_release(now);
    return is_same;
}

static void put(struct sl_request *req, const struct sl_answer *answer, enum sl_cache_kind kind)
{
    struct sl_lookup_section *lookup = &req->lookup;
    struct sl_cache *cache = req->router->config.cache;
    const struct sl_cache_key *key =
        kind == SL_CACHE_LOCAL ? &lookup->local_key : &lookup->cloud_key;
    bool has_key = kind == SL_CACHE_LOCAL ? lookup->has_local_key : lookup->has_cloud_key;
    struct sl_buf body;
    sl_buf_init(&body, 4 * req->router->config.answer_bytes_max);
    if (sl_answer_encode(answer, false, &body) == SL_OK) {
        struct sl_cache_meta meta = meta_of(req, answer, kind);
        char *prompt = kind == SL_CACHE_CLOUD
                           ? json_dumps(sl_scrubbed_body(req->scrub.scrubbed), JSON_COMPACT)
                           : NULL;
        meta.prompt = sl_slice_of(prompt);
        if (has_key && is_in_force(req)) {
            struct sl_cache_similar_text similar;
            bool is_similar = sl_lookup_similar_text(req, kind == SL_CACHE_CLOUD, &similar);
            req->store.is_stored =
                sl_cache_put(cache, key, &meta, sl_buf_slice(&body), sl_wall_seconds(), ttl_of(req),
                             is_similar ? &similar : NULL);
        }
        if (lookup->flight != NULL && lookup->role == SL_CACHE_LEADER)
            sl_cache_flight_publish(lookup->flight, &meta, sl_buf_slice(&body), sl_wall_seconds());
        free(prompt);
    }
    sl_buf_wipe(&body);
}

enum sl_step sl_stage_store(struct sl_request *req)
{
    enum sl_side side = req->decide.decision.side;
    sl_sessions_note(req->router->sessions, req);
    bool may_store = req->router->config.cache != NULL &&
                     (req->lookup.has_local_key || req->lookup.has_cloud_key);
    if (!may_store)
        return SL_STEP_NEXT;
    if (side == SL_SIDE_LOCAL && is_worth_storing(req->decide.decision.reason) &&
        sl_answer_is_complete(&req->infer.answer))
        put(req, &req->infer.answer, SL_CACHE_LOCAL);
    else if (side == SL_SIDE_CLOUD && req->escalate.has_answer &&
             sl_answer_is_complete(&req->escalate.result->answer))
        put(req, &req->escalate.result->answer, SL_CACHE_CLOUD);
    return SL_STEP_NEXT;
}
