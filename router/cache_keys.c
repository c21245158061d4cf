/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys under which answers are stored: every field that can change an answer, and nothing that
 * cannot. The local key hashes the original request with what the box would answer it with; the
 * cloud key hashes the scrubbed form that the cloud saw with the targets it may go to. Pure
 * functions of the request; any thread.
 */
#include "cache_keys.h"

#include "pipeline.h"

#include <stdlib.h>
#include <string.h>

/* Bump when a field is added or the meaning of one changes: old entries then are never found. */
#define KEY_VERSION 1

#define KEY_MEMBERS_MAX 64 /* top-level members of a body; requests with more are not cached */

enum key_tag {
    TAG_VERSION = 1,
    TAG_TENANT,
    TAG_MEMBER_NAME,
    TAG_MEMBER_VALUE,
    TAG_MODEL_DIGEST,
    TAG_TEMPLATE_DIGEST,
    TAG_MODE,
    TAG_THRESHOLD,
    TAG_LOCAL_TEMPERATURE,
    TAG_LOCAL_OUTPUT_MAX,
    TAG_TARGET_PROVIDER,
    TAG_TARGET_MODEL,
    TAG_CHOICE,
    TAG_SCOPE,
    TAG_MESSAGE_ROLE,
    TAG_MESSAGE
};

/* Members that say how an answer travels or who asks, not what it says. `model` is replaced by
 * what it means: the local model's digest, or the targets. */
static bool is_beside_the_point(const char *name)
{
    static const char *const names[] = {"stream",   "stream_options",    "user",
                                        "metadata", "store",             "service_tier",
                                        "model",    "safety_identifier", "prompt_cache_key"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The messages, with every user text left out: what a similar request must have in common. */
static enum sl_err add_messages_scope(struct sl_cache_key_builder *builder, const json_t *messages)
{
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < json_array_size(messages) && err == SL_OK; i++) {
        const json_t *message = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        bool is_user = role != NULL && strcmp(role, "user") == 0;
        sl_cache_key_add_u64(builder, TAG_MESSAGE_ROLE, is_user);
        if (!is_user)
            err = sl_cache_key_add_json(builder, TAG_MESSAGE, message);
        else if (json_object_size(message) > 2) /* more than role and content */
            err = SL_ERR_LIMIT;
    }
    return err;
}

static enum sl_err add_body(struct sl_cache_key_builder *builder, const json_t *body, bool is_scope)
{
    const char *names[KEY_MEMBERS_MAX];
    size_t count = 0;
    json_t *object = (json_t *)(size_t)(const void *)body; /* jansson's iterators are not const */
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        if (is_beside_the_point(json_object_iter_key(at)))
            continue;
        if (count == KEY_MEMBERS_MAX)
            return SL_ERR_LIMIT;
        names[count++] = json_object_iter_key(at);
    }
    qsort(names, count, sizeof names[0], compare_names);
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < count && err == SL_OK; i++) {
        const json_t *value = json_object_get(body, names[i]);
        sl_cache_key_add(builder, TAG_MEMBER_NAME, sl_slice_of(names[i]));
        err = is_scope && strcmp(names[i], "messages") == 0
                  ? add_messages_scope(builder, value)
                  : sl_cache_key_add_json(builder, TAG_MEMBER_VALUE, value);
    }
    return err;
}

static void start(struct sl_cache_key_builder *builder, const struct sl_request *req, bool is_scope)
{
    sl_cache_key_start(builder, req->router->config.cache);
    sl_cache_key_add_u64(builder, TAG_VERSION, KEY_VERSION);
    sl_cache_key_add_u64(builder, TAG_SCOPE, is_scope);
    const char *tenant = req->auth.route.cache.is_shared ? req->auth.route.name : req->auth.app;
    sl_cache_key_add_u64(builder, TAG_TENANT, req->auth.route.cache.is_shared);
    sl_cache_key_add(builder, TAG_TENANT, sl_slice_of(tenant));
}

static bool local_key(const struct sl_request *req, bool is_scope, struct sl_cache_key *key)
{
    const struct sl_router_config *config = &req->router->config;
    const struct sl_route *route = &req->auth.route;
    if (config->engine == NULL)
        return false;
    const struct sl_model_info *model = sl_engine_info(config->engine);
    struct sl_cache_key_builder builder;
    start(&builder, req, is_scope);
    sl_cache_key_add(&builder, TAG_MODEL_DIGEST,
                     (struct sl_slice){(const char *)model->digest, sizeof model->digest});
    sl_cache_key_add(&builder, TAG_TEMPLATE_DIGEST,
                     (struct sl_slice){(const char *)model->template_digest,
                                       sizeof model->template_digest});
    /* An answer that was good enough under yesterday's policy need not be under today's. */
    sl_cache_key_add_u64(&builder, TAG_MODE, req->decide.measured.mode);
    sl_cache_key_add_u64(&builder, TAG_MODE, route->mode);
    sl_cache_key_add_double(&builder, TAG_THRESHOLD,
                            sl_decide_threshold(&req->decide.measured, route));
    sl_cache_key_add_double(&builder, TAG_LOCAL_TEMPERATURE, (double)route->local.temperature);
    sl_cache_key_add_u64(&builder, TAG_LOCAL_OUTPUT_MAX, route->local.output_tokens_max);
    if (add_body(&builder, req->parse.chat, is_scope) != SL_OK)
        return false;
    sl_cache_key_finish(&builder, SL_CACHE_LOCAL, key);
    return true;
}

static void add_target(struct sl_cache_key_builder *builder, const struct sl_cloud_target *target)
{
    sl_cache_key_add(builder, TAG_TARGET_PROVIDER, sl_slice_of(target->provider->name));
    sl_cache_key_add(builder, TAG_TARGET_MODEL, sl_slice_of(target->model));
}

static bool cloud_key(const struct sl_request *req, bool is_scope, struct sl_cache_key *key)
{
    const struct sl_auth_section *auth = &req->auth;
    if (req->scrub.scrubbed == NULL)
        return false;
    struct sl_cache_key_builder builder;
    start(&builder, req, is_scope);
    if (auth->choice.kind == SL_MODEL_TARGET) {
        add_target(&builder, &auth->choice.target);
    } else {
        for (size_t i = 0; i < auth->route.cloud.target_count; i++)
            add_target(&builder, &auth->route.cloud.targets[i]);
        /* A target without a model of its own passes the client's name on. */
        sl_cache_key_add(&builder, TAG_CHOICE, req->parse.model);
    }
    if (add_body(&builder, sl_scrubbed_body(req->scrub.scrubbed), is_scope) != SL_OK)
        return false;
    sl_cache_key_finish(&builder, SL_CACHE_CLOUD, key);
    return true;
}

bool sl_local_cache_key(const struct sl_request *req, struct sl_cache_key *key)
{
    return local_key(req, false, key);
}

bool sl_cloud_cache_key(const struct sl_request *req, struct sl_cache_key *key)
{
    return cloud_key(req, false, key);
}

bool sl_cache_scope_key(const struct sl_request *req, bool is_cloud, struct sl_cache_key *key)
{
    return is_cloud ? cloud_key(req, true, key) : local_key(req, true, key);
}
