/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathers what the parts say about themselves.
 */
#include "status.h"

#include "sluice/clock.h"

static json_t *model_status(struct sl_edge *edge)
{
    if (edge->engine == NULL)
        return json_null();
    const struct sl_model_info *info = sl_engine_info(edge->engine);
    struct sl_engine_load load;
    sl_engine_load(edge->engine, &load);
    return json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:I, s:f}", "name", info->name,
                     "architecture", info->architecture, "quantization", info->quantization,
                     "weights", (json_int_t)info->parameters, "context_tokens",
                     (int)info->context_tokens, "running", (int)load.running, "waiting",
                     (int)load.waiting, "kv_bytes", (json_int_t)load.kv_bytes,
                     "tokens_per_second", load.tokens_per_second);
}

static json_t *cache_status(struct sl_edge *edge)
{
    struct sl_cache_stats stats;
    struct sl_error error = {0};
    if (edge->cache == NULL)
        return json_null();
    const char *state = sl_cache_state_name(sl_cache_state(edge->cache));
    if (sl_cache_stats(edge->cache, &stats, &error) != SL_OK)
        return json_pack("{s:s}", "state", state);
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "state", state, "entries",
                     (json_int_t)stats.entries, "bytes", (json_int_t)stats.bytes, "hits",
                     (json_int_t)stats.hits, "similar_hits", (json_int_t)stats.similar_hits,
                     "misses", (json_int_t)stats.misses, "saved_tokens",
                     (json_int_t)(stats.saved_prompt_tokens + stats.saved_completion_tokens),
                     "saved_usd", (double)stats.saved_microusd / 1e6);
}

static json_t *cloud_status(struct sl_edge *edge, const struct sl_policy *policy)
{
    if (edge->cloud == NULL)
        return json_null();
    json_t *providers = json_array();
    for (size_t i = 0; i < sl_policy_provider_count(policy); i++) {
        const char *name = sl_policy_providers(policy)[i].name;
        enum sl_breaker_state state = sl_cloud_breaker_state(edge->cloud, name);
        json_array_append_new(providers, json_pack("{s:s, s:s}", "name", name, "breaker",
                                                   sl_breaker_state_word(state)));
    }
    struct sl_cloud_spending spent = sl_cloud_spending(edge->cloud, NULL);
    return json_pack("{s:b, s:s, s:s*, s:f, s:f, s:o}", "disabled",
                     sl_cloud_is_disabled(edge->cloud) || !sl_policy_cloud_is_enabled(policy),
                     "network", sl_network_word(sl_cloud_network_state(edge->cloud)), "label",
                     edge->cloud_label[0] != '\0' ? edge->cloud_label : NULL, "spent_today_usd",
                     spent.day_usd, "spent_month_usd", spent.month_usd, "providers", providers);
}

json_t *sl_status_json(struct sl_edge *edge)
{
    const struct sl_policy *policy = sl_policy_store_acquire(edge->policies);
    struct sl_device_state device;
    sl_router_device_state(edge->router, &device);
    const char *path = sl_policy_path(policy);
    json_t *status = json_pack(
        "{s:s, s:I, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:{s:s, s:s*, s:i}}", "version",
        SLUICE_VERSION, "uptime_seconds",
        (json_int_t)((sl_monotonic_ms() - edge->started_ms) / 1000), "inflight",
        (int)sl_router_inflight(edge->router), "connections",
        edge->server != NULL ? (int)sl_http_server_connections(edge->server) : 0, "api_keys",
        (int)sl_keys_count(edge->keys), "model", model_status(edge), "cache", cache_status(edge),
        "cloud", cloud_status(edge, policy), "device", sl_device_state_json(&device), "policy",
        "digest", sl_policy_digest(policy), "path", path, "routes",
        (int)sl_policy_route_count(policy));
    sl_policy_release(policy);
    return status;
}
