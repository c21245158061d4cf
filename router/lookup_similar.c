/* SPDX-License-Identifier: Apache-2.0
 *
 * Which requests may be answered with the answer to a similar one: a single user turn of text, with
 * no tools and no conversation that could change its meaning. The last user message is the text
 * that may vary; everything else is the scope, which must be equal. The cache's verifier decides,
 * and refuses by default.
 *
 * Look-up by meaning (policy: `similar` "semantic") is for requests that would go to a cloud before
 * the box has answered: forced there, or by the mode of the route. There the local model spends
 * half a millisecond on the question what is asked, and may save a paid call. For what the box
 * answers itself it would save nothing, and where the box answered without confidence it has no
 * meaning that could be trusted. A box that runs an embedding model instead, which answers nothing,
 * looks for close texts with it at the same place.
 */
#include "cache_keys.h"
#include "lookup.h"
#include "lookup_meaning.h"
#include "measure.h"
#include "pipeline.h"

#include "sluice/clock.h"

#include <stdio.h>
#include <string.h>

/* A box so busy that it needs longer for a few tokens should rather let the cloud answer. */
#define MEANING_MS_MAX 250

static bool is_single_turn(const json_t *chat)
{
    const json_t *messages = json_object_get(chat, "messages");
    size_t users = 0;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        if (role == NULL || !json_is_string(json_object_get(message, "content")))
            return false;
        bool is_user = strcmp(role, "user") == 0;
        if (!is_user && strcmp(role, "system") != 0 && strcmp(role, "developer") != 0)
            return false;
        users += is_user;
    }
    return users == 1 && json_object_get(chat, "tools") == NULL;
}

static void add_vector(const struct sl_request *req, struct sl_cache_similar_text *out)
{
    if (req->lookup.vector == NULL)
        return;
    const struct sl_model_info *model = sl_engine_info(req->router->config.engine);
    out->vector = req->lookup.vector;
    out->vector_len = model->embedding_size;
    out->vector_model =
        sl_cache_digest_of((struct sl_slice){(const char *)model->digest, sizeof model->digest});
}

bool sl_lookup_similar_text(const struct sl_request *req, bool is_cloud,
                            struct sl_cache_similar_text *out)
{
    if (req->auth.route.cache.similar == SL_CACHE_SIMILAR_OFF)
        return false;
    const json_t *chat =
        is_cloud ? sl_scrubbed_body(req->scrub.scrubbed) : (const json_t *)req->parse.chat;
    *out = (struct sl_cache_similar_text){.text = {NULL, 0}};
    if (!is_single_turn(req->parse.chat) || !sl_cache_scope_key(req, is_cloud, &out->scope))
        return false;
    out->text = sl_last_user_text(chat);
    if (is_cloud) {
        out->meaning = sl_slice_of(req->lookup.meaning);
        add_vector(req, out);
    }
    return out->text.len > 0;
}

static bool get_similar(struct sl_request *req, bool is_cloud, const struct sl_cache_want *want)
{
    struct sl_cache_similar_text text;
    struct sl_cache_entry entry;
    enum sl_cache_match match = SL_CACHE_MATCH_NONE;
    if (!sl_lookup_similar_text(req, is_cloud, &text))
        return false;
    if (sl_cache_similar(req->router->config.cache, &text, want, &entry, &match) == SL_CACHE_MISS)
        return false;
    req->lookup.match = sl_cache_match_name(match);
    return sl_lookup_take(req, &entry, is_cloud);
}

bool sl_lookup_similar(struct sl_request *req, const struct sl_cache_want *want)
{
    if (req->lookup.has_local_key && get_similar(req, false, want))
        return true;
    return req->lookup.has_cloud_key && get_similar(req, true, want);
}

/* ---- by meaning ---- */

static bool goes_to_cloud(struct sl_request *req)
{
    sl_measure_again(req);
    return sl_decide_before(&req->decide.measured, &req->auth.route).side == SL_SIDE_CLOUD;
}

static struct sl_meaning_model model_of(const struct sl_request *req)
{
    const struct sl_router *router = req->router;
    return (struct sl_meaning_model){.engine = router->config.engine,
                                     .calibration = router->config.calibration,
                                     .prior = router->label_prior};
}

/* The intent of the text that the cloud would see, where the model is sure of it. */
static bool read_meaning(struct sl_request *req, const struct sl_meaning_model *model)
{
    struct sl_cache_similar_text text;
    struct sl_meaning meaning;
    uint64_t deadline_ms = sl_monotonic_ms() + MEANING_MS_MAX;
    if (deadline_ms > req->deadline_ms)
        deadline_ms = req->deadline_ms;
    if (!sl_lookup_similar_text(req, true, &text) ||
        !sl_meaning_read(model, text.text, deadline_ms, &meaning) ||
        meaning.confidence < req->auth.route.cache.similar_threshold)
        return false;
    snprintf(req->lookup.meaning, sizeof req->lookup.meaning, "%s", meaning.intent);
    return true;
}

/* Only a model that is made for it: what a decoder's last layer says of a text is poor, and a
 * second pass through it dear. */
static bool can_embed(const struct sl_engine *engine)
{
    const struct sl_model_info *model = engine != NULL ? sl_engine_info(engine) : NULL;
    return model != NULL && model->can_embed && !model->can_generate;
}

/* The embedding of the text that the cloud would see. */
static bool read_vector(struct sl_request *req)
{
    struct sl_engine *engine = req->router->config.engine;
    struct sl_cache_similar_text text;
    uint32_t tokens;
    if (!sl_lookup_similar_text(req, true, &text))
        return false;
    float *vector =
        sl_arena_alloc(req->arena, sl_engine_info(engine)->embedding_size * sizeof *vector);
    if (vector == NULL || sl_engine_embed(engine, text.text, vector, &tokens, NULL) != SL_OK)
        return false;
    req->lookup.vector = vector;
    return true;
}

bool sl_lookup_meaning(struct sl_request *req, const struct sl_cache_want *want)
{
    const struct sl_meaning_model model = model_of(req);
    const struct sl_lookup_section *lookup = &req->lookup;
    bool may_look = lookup->status == SL_CACHE_STATUS_MISS;
    bool may_store = may_look || lookup->status == SL_CACHE_STATUS_REFRESH;
    if (req->auth.route.cache.similar != SL_CACHE_SIMILAR_SEMANTIC || !lookup->has_cloud_key ||
        !may_store || !(sl_meaning_is_ready(&model) || can_embed(model.engine)) ||
        !goes_to_cloud(req))
        return false;
    bool is_read = can_embed(model.engine) ? read_vector(req) : read_meaning(req, &model);
    return is_read && may_look && get_similar(req, true, want);
}
