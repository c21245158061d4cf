/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 4, look up: is there an answer already? First under the key of the original request (an
 * answer of the box), then under the key of its scrubbed form (an answer of the cloud, which serves
 * whoever asks the same with other names and numbers in it). A miss joins or leads the flight of
 * equal requests that are under way.
 *
 * Does not block: what may (the wait of a follower, the second level, the look-up by meaning) is at
 * the start of stage infer, on a worker.
 */
#include "cache_keys.h"
#include "lookup.h"
#include "pipeline.h"
#include "sluice/clock.h"
#include "sluice/log.h"

#include <stdlib.h>

/* May this request's answer be stored and served again? */
static bool is_cacheable(const struct sl_request *req)
{
    const struct sl_route_cache *rules = &req->auth.route.cache;
    if (req->router->config.cache == NULL || !rules->is_enabled)
        return false;
    return !req->parse.has_temperature ||
           (double)req->parse.sampling.temperature <= rules->temperature_max;
}

/* The mode that the keys depend on: what the request asked within what the route allows. */
static enum sl_mode mode_in_force(const struct sl_request *req)
{
    enum sl_mode mode;
    if (!sl_mode_narrow(req->auth.route.mode, req->decide.measured.mode, &mode))
        return SL_MODE_UNSET;
    return mode;
}

static void make_keys(struct sl_request *req)
{
    struct sl_lookup_section *lookup = &req->lookup;
    enum sl_mode mode = mode_in_force(req);
    const struct sl_route_cache *rules = &req->auth.route.cache;
    bool wants_local = mode != SL_MODE_CLOUD_ONLY && mode != SL_MODE_PREFER_CLOUD;
    if (rules->local_answers && wants_local)
        lookup->has_local_key = sl_local_cache_key(req, &lookup->local_key);
    if (rules->cloud_answers && mode != SL_MODE_LOCAL_ONLY)
        lookup->has_cloud_key = sl_cloud_cache_key(req, &lookup->cloud_key);
}

static bool needs_restoring(const struct sl_request *req, bool is_cloud_entry)
{
    return is_cloud_entry && sl_vault_count(req->scrub.vault) > 0;
}

/* Can the answer be copied to the client as it was stored? Then it is not taken apart. */
static bool is_served_as_stored(const struct sl_request *req, bool is_cloud_entry)
{
    return req->api->takes_held_answers && req->out == NULL &&
           !needs_restoring(req, is_cloud_entry);
}

static enum sl_err read_entry(struct sl_request *req, const struct sl_cache_entry *entry,
                              bool is_cloud_entry, struct sl_error *error)
{
    struct sl_answer *answer = &req->lookup.answer;
    struct sl_usage usage = {.prompt_tokens = entry->meta.prompt_tokens,
                             .completion_tokens = entry->meta.completion_tokens,
                             .is_known = entry->meta.completion_tokens > 0};
    enum sl_err err = sl_answer_hold(answer, entry->body, entry->meta.model, usage);
    if (err == SL_OK && !is_served_as_stored(req, is_cloud_entry))
        err = sl_answer_expand(answer, error);
    return err;
}

bool sl_lookup_take(struct sl_request *req, struct sl_cache_entry *entry, bool is_cloud_entry)
{
    struct sl_lookup_section *lookup = &req->lookup;
    struct sl_error error = {0};
    enum sl_err err = read_entry(req, entry, is_cloud_entry, &error);
    if (err == SL_OK) {
        lookup->has_answer = true;
        lookup->is_cloud_entry = is_cloud_entry;
        lookup->saved_microusd = entry->meta.cost_microusd;
        lookup->age_s = sl_wall_seconds() - entry->created_s;
        if (lookup->age_s < 0)
            lookup->age_s = 0;
    } else {
        SL_LOG_WARN("lookup", "a stored answer is not readable and is passed over: %s",
                    error.message);
        sl_answer_clear(&lookup->answer);
    }
    sl_cache_entry_clear(entry);
    return lookup->has_answer;
}

static struct sl_cache_want want_of(const struct sl_request *req, int64_t stale_max_s)
{
    int64_t max_age = req->parse.cache.max_age_s;
    return (struct sl_cache_want){.now_s = sl_wall_seconds(),
                                  .max_age_s = max_age >= 0 ? max_age : SL_CACHE_ANY_AGE,
                                  .stale_max_s = stale_max_s};
}

typedef enum sl_cache_outcome (*get_fn)(struct sl_cache *cache, const struct sl_cache_key *key,
                                        const struct sl_cache_want *want,
                                        struct sl_cache_entry *entry);

/* Asks for both keys. A request is one hit or one miss, however many keys it has: the second look
 * says that it is a repeat. */
static bool get_by(struct sl_request *req, struct sl_cache_want want, get_fn get)
{
    struct sl_cache *cache = req->router->config.cache;
    struct sl_lookup_section *lookup = &req->lookup;
    struct sl_cache_entry entry;
    if (lookup->has_local_key && get(cache, &lookup->local_key, &want, &entry) != SL_CACHE_MISS)
        return sl_lookup_take(req, &entry, false);
    want.is_repeat |= lookup->has_local_key;
    if (lookup->has_cloud_key && get(cache, &lookup->cloud_key, &want, &entry) != SL_CACHE_MISS)
        return sl_lookup_take(req, &entry, true);
    return false;
}

enum sl_step sl_lookup_serve(struct sl_request *req, enum sl_cache_status status,
                             enum sl_reason reason)
{
    struct sl_lookup_section *lookup = &req->lookup;
    lookup->status = status;
    req->decide.decision = (struct sl_decision){
        .side = SL_SIDE_CACHE, .reason = reason, .is_final = true, .mode = mode_in_force(req)};
    req->decide.is_final = true;
    if (lookup->is_cloud_entry && !is_served_as_stored(req, true))
        return SL_STEP_TO_RESTORE;
    req->answer = &lookup->answer;
    return SL_STEP_TO_RESPOND;
}

bool sl_lookup_stale(struct sl_request *req)
{
    int64_t stale_max_s = (int64_t)req->auth.route.cache.stale_if_error_s;
    if (stale_max_s <= 0 || req->lookup.has_answer)
        return false;
    struct sl_cache_want want = want_of(req, stale_max_s);
    want.max_age_s = SL_CACHE_ANY_AGE;
    return get_by(req, want, sl_cache_get);
}

static void join_flight(struct sl_request *req)
{
    struct sl_lookup_section *lookup = &req->lookup;
    if (!lookup->has_local_key && !lookup->has_cloud_key)
        return;
    const struct sl_cache_key *key =
        lookup->has_local_key ? &lookup->local_key : &lookup->cloud_key;
    lookup->role = sl_cache_flight_begin(req->router->config.cache, key, &lookup->flight);
}

enum sl_step sl_stage_lookup(struct sl_request *req)
{
    struct sl_lookup_section *lookup = &req->lookup;
    const struct sl_cache_control *control = &req->parse.cache;
    if (!is_cacheable(req) || control->no_store) {
        lookup->status = SL_CACHE_STATUS_BYPASS;
    } else {
        make_keys(req);
        lookup->status = control->no_cache ? SL_CACHE_STATUS_REFRESH : SL_CACHE_STATUS_MISS;
        struct sl_cache_want want = want_of(req, 0);
        if (!control->no_cache && get_by(req, want, sl_cache_get))
            return sl_lookup_serve(req, SL_CACHE_STATUS_HIT, SL_REASON_CACHED);
        if (!control->no_cache && sl_lookup_similar(req, &want))
            return sl_lookup_serve(req, SL_CACHE_STATUS_SIMILAR, SL_REASON_CACHED);
    }
    if (control->only_if_cached)
        return sl_request_fail(req, SL_ERR_TIMEOUT, "only-if-cached: no stored answer fits");
    if (lookup->status == SL_CACHE_STATUS_MISS && !req->is_explained)
        join_flight(req);
    return SL_STEP_NEXT;
}

/* Once more before anything is computed: an equal request may have ended between the look-up and
 * now, and the second level (which blocks) may have what another box paid for. */
static bool look_again(struct sl_request *req)
{
    struct sl_cache_want want = want_of(req, 0);
    want.is_repeat = true;
    if (req->lookup.status != SL_CACHE_STATUS_MISS || req->is_explained)
        return false;
    return get_by(req, want, sl_cache_get) ||
           (sl_cache_has_shared(req->router->config.cache) &&
            get_by(req, want, sl_cache_get_shared));
}

enum sl_step sl_lookup_follow(struct sl_request *req)
{
    struct sl_lookup_section *lookup = &req->lookup;
    const uint64_t slice_ms = 50; /* how soon a client that left is noticed */
    while (lookup->flight != NULL && lookup->role == SL_CACHE_FOLLOWER) {
        struct sl_cache_entry entry;
        uint64_t until = sl_monotonic_ms() + slice_ms;
        enum sl_cache_landing landing = sl_cache_flight_wait(lookup->flight, until, &entry);
        if (landing == SL_CACHE_WAIT_TIMEOUT) {
            if (atomic_load(&req->is_cancelled))
                return sl_request_fail(req, SL_ERR_CANCELLED, NULL);
            if (sl_monotonic_ms() >= req->deadline_ms)
                return sl_request_fail(req, SL_ERR_TIMEOUT, NULL);
            continue;
        }
        bool is_cloud_entry = landing == SL_CACHE_LANDED && entry.meta.kind == SL_CACHE_CLOUD;
        bool is_taken = landing == SL_CACHE_LANDED && sl_lookup_take(req, &entry, is_cloud_entry);
        sl_cache_flight_end(lookup->flight, lookup->role);
        lookup->flight = NULL;
        if (is_taken)
            return sl_lookup_serve(req, SL_CACHE_STATUS_HIT, SL_REASON_CACHED);
        if (landing == SL_CACHE_LEADER_GONE)
            join_flight(req);
    }
    if (look_again(req))
        return sl_lookup_serve(req, SL_CACHE_STATUS_HIT, SL_REASON_CACHED);
    struct sl_cache_want want = want_of(req, 0);
    if (sl_lookup_meaning(req, &want))
        return sl_lookup_serve(req, SL_CACHE_STATUS_SIMILAR, SL_REASON_CACHED);
    return SL_STEP_NEXT;
}
