/* SPDX-License-Identifier: Apache-2.0
 *
 * A policy's life, and what is asked of one: which route rules a request, and which terms it has in
 * the state that the device is in. Reading the file is in policy_read.c and the parts named there.
 *
 * Invariants: 1. Nothing but the reference count changes after loading. 2. The last route takes
 * everything, so matching always ends. 3. Routes, providers, rules and strings live as long as the
 * policy and no longer: who keeps one keeps a reference.
 *
 * Threads: any.
 */
#include "policy_internal.h"

#include "sluice/crypto.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES_MAX (64u << 20) /* thousands of routes with rules of their own */

/* ---- patterns ---- */

bool sl_pattern_fits(const char *pattern, struct sl_slice text)
{
    size_t at = 0, star_at = 0;
    const char *star = NULL;
    while (at < text.len) {
        if (*pattern == '*') {
            star = pattern++;
            star_at = at;
        } else if (*pattern == '?' || *pattern == text.data[at]) {
            pattern += *pattern != '\0';
            at++;
            if (pattern[-1] == '\0') /* a NUL in the text fits nothing */
                return false;
        } else if (star != NULL) { /* let the last star take one character more */
            pattern = star + 1;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool sl_patterns_fit(const struct sl_patterns *patterns, struct sl_slice text)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (sl_pattern_fits(patterns->items[i], text))
            return true;
    return patterns->count == 0;
}

static bool headers_fit(const struct sl_route_match *match, const struct sl_route_query *query)
{
    for (size_t i = 0; i < match->header_count; i++) {
        struct sl_slice value = {NULL, 0};
        if (query->header != NULL)
            value = query->header(query->header_ctx, match->headers[i].name);
        if (value.data == NULL || !sl_patterns_fit(&match->headers[i].values, value))
            return false;
    }
    return true;
}

const struct sl_route *sl_policy_match(const struct sl_policy *policy,
                                       const struct sl_route_query *query)
{
    const struct sl_route *route = policy->routes;
    for (;; route++) {
        const struct sl_route_match *match = route->match;
        if (match == NULL)
            return route;
        if (sl_patterns_fit(&match->apps, query->app) &&
            sl_patterns_fit(&match->models, query->model) &&
            sl_patterns_fit(&match->paths, query->path) && headers_fit(match, query))
            return route;
    }
}

size_t sl_route_resolve(const struct sl_route *route, const struct sl_device_state *device,
                        struct sl_route *out)
{
    size_t applied = 0;
    *out = *route;
    for (size_t i = 0; device != NULL && i < route->when_count; i++) {
        const struct sl_route_when *when = &route->whens[i];
        if (!sl_condition_holds(&when->condition, device))
            continue;
        for (size_t j = 0; j < when->patch_count; j++) {
            const struct sl_patch *patch = &when->patches[j];
            memcpy((char *)out + patch->offset, patch->bytes, patch->size);
        }
        applied++;
    }
    return applied;
}

/* ---- modes ---- */

bool sl_mode_narrow(enum sl_mode route, enum sl_mode request, enum sl_mode *out)
{
    if (route == SL_MODE_UNSET)
        route = SL_MODE_AUTO;
    bool route_is_final = route == SL_MODE_LOCAL_ONLY || route == SL_MODE_CLOUD_ONLY;
    bool contradicts = (route == SL_MODE_LOCAL_ONLY && request == SL_MODE_CLOUD_ONLY) ||
                       (route == SL_MODE_CLOUD_ONLY && request == SL_MODE_LOCAL_ONLY);
    *out = route_is_final || request == SL_MODE_UNSET ? route : request;
    return !contradicts;
}

/* ---- the top of the file ---- */

struct top {
    bool cloud_is_enabled;
    uint32_t version;
    double daily_usd, monthly_usd;
};
#define TOP(member) offsetof(struct top, member)

static const struct sl_field top_cloud_fields[] = {
    {.name = "enabled", .kind = SL_FIELD_BOOL, .offset = TOP(cloud_is_enabled)},
    {.name = NULL},
};
static const struct sl_field top_budget_fields[] = {
    {.name = "daily_usd", .kind = SL_FIELD_DOUBLE, .offset = TOP(daily_usd), .max = 1e9},
    {.name = "monthly_usd", .kind = SL_FIELD_DOUBLE, .offset = TOP(monthly_usd), .max = 1e9},
    {.name = NULL},
};
/* The lists are read after the scalars, in the order in which they need each other. */
static const struct sl_field top_fields[] = {
    {.name = "$schema", .kind = SL_FIELD_IGNORED},
    {.name = "comment", .kind = SL_FIELD_IGNORED},
    {.name = "version", .kind = SL_FIELD_U32, .offset = TOP(version), .min = 1, .max = 1},
    {.name = "cloud", .kind = SL_FIELD_SECTION, .section = top_cloud_fields},
    {.name = "budget", .kind = SL_FIELD_SECTION, .section = top_budget_fields},
    {.name = "providers", .kind = SL_FIELD_IGNORED},
    {.name = "models", .kind = SL_FIELD_IGNORED},
    {.name = "defaults", .kind = SL_FIELD_IGNORED},
    {.name = "routes", .kind = SL_FIELD_IGNORED},
    {.name = NULL},
};

static enum sl_err read_policy(struct sl_policy *policy, struct sl_error *error)
{
    struct sl_policy_reader reader = {
        .policy = policy, .source = policy->source, .arena = policy->arena, .error = error};
    const struct sl_json_node *root = sl_json_source_root(policy->source);
    struct top top = {.cloud_is_enabled = true};
    enum sl_err err = sl_policy_read(&reader, root, top_fields, &top);
    policy->cloud_is_enabled = top.cloud_is_enabled;
    policy->global_daily_usd = top.daily_usd;
    policy->global_monthly_usd = top.monthly_usd;
    if (err == SL_OK)
        err = sl_policy_read_providers(&reader, root);
    if (err == SL_OK)
        err = sl_policy_read_aliases(&reader, root);
    if (err == SL_OK)
        err = sl_policy_read_routes(&reader, root);
    for (size_t i = 0; err == SL_OK && !policy->cloud_is_enabled && i < policy->route_count; i++)
        policy->routes[i].cloud.is_enabled = false;
    return err;
}

/* ---- life ---- */

static void policy_free(struct sl_policy *policy)
{
    for (size_t i = 0; i < policy->detector_count; i++)
        sl_pii_detector_free(policy->detectors[i]);
    free(policy->detectors);
    sl_arena_free(policy->arena);
    sl_json_source_free(policy->source);
    free(policy);
}

/* Takes `source`. */
static enum sl_err policy_create(struct sl_json_source *source, const struct sl_policy **out,
                                 struct sl_error *error)
{
    struct sl_policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL) {
        sl_json_source_free(source);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    atomic_init(&policy->references, 1);
    policy->source = source;
    policy->arena = sl_arena_create(ARENA_BYTES_MAX);
    uint8_t digest[SL_SHA256_BYTES];
    struct sl_slice text = sl_json_source_text(source);
    sl_sha256(text.data, text.len, digest);
    sl_hex_encode(digest, sizeof digest, policy->digest);
    enum sl_err err = policy->arena == NULL ? sl_error_set(error, SL_ERR_MEMORY, NULL)
                                            : read_policy(policy, error);
    if (err != SL_OK) {
        policy_free(policy);
        return err;
    }
    *out = policy;
    return SL_OK;
}

enum sl_err sl_policy_load(const char *path, const struct sl_policy **out, struct sl_error *error)
{
    struct sl_json_source *source;
    *out = NULL;
    enum sl_err err = sl_json_source_load(path, &source, error);
    /* A broken policy is one kind of failure for whoever loads it. */
    if (err == SL_ERR_JSON)
        return error != NULL ? (error->code = SL_ERR_INVALID) : SL_ERR_INVALID;
    return err == SL_OK ? policy_create(source, out, error) : err;
}

enum sl_err sl_policy_load_text(const char *name, struct sl_slice text,
                                const struct sl_policy **out, struct sl_error *error)
{
    struct sl_json_source *source;
    *out = NULL;
    enum sl_err err = sl_json_source_parse(name, text, &source, error);
    if (err == SL_ERR_JSON)
        return error != NULL ? (error->code = SL_ERR_INVALID) : SL_ERR_INVALID;
    return err == SL_OK ? policy_create(source, out, error) : err;
}

enum sl_err sl_policy_default(const struct sl_policy **out, struct sl_error *error)
{
    return sl_policy_load_text("(built-in policy)", sl_policy_default_text(), out, error);
}

/* The count is the one part of a policy that is not constant. */
static atomic_uint *references_of(const struct sl_policy *policy)
{
    return &((struct sl_policy *)(size_t)(const void *)policy)->references;
}

const struct sl_policy *sl_policy_acquire(const struct sl_policy *policy)
{
    atomic_fetch_add_explicit(references_of(policy), 1, memory_order_relaxed);
    return policy;
}

void sl_policy_release(const struct sl_policy *policy)
{
    if (policy == NULL)
        return;
    unsigned before = atomic_fetch_sub_explicit(references_of(policy), 1, memory_order_acq_rel);
    assert(before != 0);
    if (before == 1)
        policy_free((struct sl_policy *)(size_t)(const void *)policy);
}

/* ---- reading ---- */

const char *sl_policy_digest(const struct sl_policy *policy) { return policy->digest; }

const char *sl_policy_path(const struct sl_policy *policy)
{
    return sl_json_source_name(policy->source);
}

size_t sl_policy_route_count(const struct sl_policy *policy) { return policy->route_count; }

const struct sl_route *sl_policy_route(const struct sl_policy *policy, size_t idx)
{
    assert(idx < policy->route_count);
    return &policy->routes[idx];
}

size_t sl_policy_provider_count(const struct sl_policy *policy) { return policy->provider_count; }

const struct sl_cloud_provider_config *sl_policy_providers(const struct sl_policy *policy)
{
    return policy->providers;
}

bool sl_policy_cloud_is_enabled(const struct sl_policy *policy)
{
    return policy->cloud_is_enabled;
}

static json_t *targets_json(const struct sl_route_cloud *cloud)
{
    json_t *list = json_array();
    for (size_t i = 0; i < cloud->target_count; i++) {
        const struct sl_cloud_target *target = &cloud->targets[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:i, s:i}", "provider",
                                              target->provider->name, "model", target->model,
                                              "tier", (int)target->tier, "weight",
                                              (int)target->weight));
    }
    return list;
}

json_t *sl_route_json(const struct sl_route *route)
{
    static const char *const similar[] = {"off", "lexical", "semantic"};
    const struct sl_route_local *local = &route->local;
    const struct sl_route_cloud *cloud = &route->cloud;
    const struct sl_route_cache *cache = &route->cache;
    json_t *object = json_pack(
        "{s:s, s:s, s:i, s:b, s:{s:b, s:i, s:i, s:b, s:b, s:f}, s:{s:b, s:o, s:s, s:i, s:b, s:f},"
        " s:{s:i, s:i}, s:{s:b, s:s, s:b, s:I, s:I}}",
        "name", route->name, "mode", sl_mode_word(route->mode), "context_tokens_max",
        (int)route->context_tokens_max, "sticky", route->sticky, "local", "enabled",
        local->is_enabled, "output_tokens_max", (int)local->output_tokens_max, "timeout_ms",
        (int)local->timeout_ms, "tools", local->tools_allowed, "structured",
        local->structured_allowed, "prompt_score_min", local->prompt_score_min, "cloud", "enabled",
        cloud->is_enabled, "targets", targets_json(cloud), "unavailable",
        cloud->unavailable == SL_UNAVAILABLE_LOCAL ? "local" : "error", "deadline_ms",
        (int)cloud->deadline_ms, "speculative", cloud->speculative, "shadow_share",
        cloud->shadow_share, "stream", "hold_tokens", (int)route->stream.hold_tokens, "hold_ms",
        (int)route->stream.hold_ms, "cache", "enabled", cache->is_enabled, "similar",
        similar[cache->similar], "shared", cache->is_shared, "ttl_s", (json_int_t)cache->ttl_s,
        "stale_if_error_s", (json_int_t)cache->stale_if_error_s);
    if (object == NULL)
        return NULL;
    if (route->risk > 0)
        json_object_set_new(object, "risk", json_real(route->risk));
    else
        json_object_set_new(object, "threshold", json_real(route->threshold));
    return object;
}
