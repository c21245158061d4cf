/* SPDX-License-Identifier: Apache-2.0
 *
 * The cloud in a policy: providers with their models and prices, the targets of a route, and the
 * names under which clients may ask for models. What a provider can get wrong alone (its URL, its
 * times) is checked by the cloud client's own sl_cloud_provider_check, so the two cannot differ.
 *
 * Runs on the thread that loads. Nothing is connected and no key is read here.
 */
#include "policy_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define PROVIDER(member) offsetof(struct sl_cloud_provider_config, member)
#define HOUR_MS 3600000.0
#define PROVIDERS_MAX 64

/* ---- providers ---- */

static const struct sl_word kind_words[] = {
    {"openai", SL_CLOUD_KIND_OPENAI},
    {"anthropic", SL_CLOUD_KIND_ANTHROPIC},
    {NULL, 0},
};
static const struct sl_word tls_words[] = {
    {"1.2", SL_CLOUD_TLS_1_2},
    {"1.3", SL_CLOUD_TLS_1_3},
    {NULL, 0},
};

static const struct sl_field timeout_fields[] = {
    {.name = "connect_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(connect_timeout_ms), .min = 1,
     .max = HOUR_MS},
    {.name = "first_token_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(first_token_timeout_ms),
     .min = 1, .max = HOUR_MS},
    {.name = "reasoning_first_token_ms", .kind = SL_FIELD_U32,
     .offset = PROVIDER(reasoning_first_token_timeout_ms), .min = 1, .max = HOUR_MS},
    {.name = "idle_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(idle_timeout_ms), .min = 1,
     .max = HOUR_MS},
    {.name = "total_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(total_timeout_ms), .min = 1,
     .max = HOUR_MS},
    {.name = "whole_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(whole_timeout_ms), .min = 1,
     .max = HOUR_MS},
    {.name = NULL},
};

static const struct sl_field retry_fields[] = {
    {.name = "max", .kind = SL_FIELD_U32, .offset = PROVIDER(retries_max), .max = 10},
    {.name = "backoff_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(backoff_ms), .min = 1,
     .max = HOUR_MS},
    {.name = "backoff_max_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(backoff_max_ms), .min = 1,
     .max = HOUR_MS},
    {.name = "retry_after_max_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(retry_after_max_ms),
     .max = HOUR_MS},
    {.name = "budget_ratio", .kind = SL_FIELD_DOUBLE, .offset = PROVIDER(retry_budget_ratio),
     .max = 10},
    {.name = "budget_burst", .kind = SL_FIELD_DOUBLE, .offset = PROVIDER(retry_budget_burst),
     .max = 1000},
    {.name = NULL},
};

static const struct sl_field breaker_fields[] = {
    {.name = "failures", .kind = SL_FIELD_U32, .offset = PROVIDER(breaker_failures), .min = 1,
     .max = 1000},
    {.name = "failure_ratio", .kind = SL_FIELD_DOUBLE, .offset = PROVIDER(breaker_failure_ratio),
     .min = 0.01, .max = 1},
    {.name = "window_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(breaker_window_ms), .min = 1,
     .max = HOUR_MS},
    {.name = "open_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(breaker_open_ms), .min = 1,
     .max = HOUR_MS},
    {.name = "open_max_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(breaker_open_max_ms),
     .min = 1, .max = HOUR_MS},
    {.name = NULL},
};

static const struct sl_field hedge_fields[] = {
    {.name = "quantile", .kind = SL_FIELD_DOUBLE, .offset = PROVIDER(hedge_quantile), .max = 0.999},
    {.name = "min_ms", .kind = SL_FIELD_U32, .offset = PROVIDER(hedge_min_ms), .max = HOUR_MS},
    {.name = NULL},
};

/* Prices are quoted per million tokens, as vendors publish them. */
struct model_reading {
    struct sl_cloud_model_config config;
    double prompt_usd_per_million, completion_usd_per_million;
};

#define MODEL(member) offsetof(struct model_reading, member)
static const struct sl_field model_fields[] = {
    {.name = "wire_name", .kind = SL_FIELD_EXPANDED, .offset = MODEL(config.wire_name)},
    {.name = "context_tokens", .kind = SL_FIELD_U64, .offset = MODEL(config.context_tokens),
     .max = 1e9},
    {.name = "completion_tokens_default", .kind = SL_FIELD_U64,
     .offset = MODEL(config.completion_tokens_default), .max = 1e9},
    {.name = "prompt_usd_per_million", .kind = SL_FIELD_DOUBLE,
     .offset = MODEL(prompt_usd_per_million), .max = 1e6},
    {.name = "completion_usd_per_million", .kind = SL_FIELD_DOUBLE,
     .offset = MODEL(completion_usd_per_million), .max = 1e6},
    {.name = NULL},
};

struct provider_reading {
    struct sl_cloud_provider_config config; /* first: the tables' offsets are into it */
    const char *model;                      /* the first of the models */
    const struct sl_json_node *models;
};

static enum sl_err remember_models(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                   void *target)
{
    struct provider_reading *reading = target;
    reading->models = node;
    return sl_policy_expect(reader, node, JSON_OBJECT);
}

static const struct sl_field provider_fields[] = {
    {.name = "comment", .kind = SL_FIELD_IGNORED},
    {.name = "kind", .kind = SL_FIELD_WORD, .offset = PROVIDER(kind), .words = kind_words},
    {.name = "base_url", .kind = SL_FIELD_EXPANDED, .offset = PROVIDER(base_url)},
    {.name = "allows_plaintext", .kind = SL_FIELD_BOOL, .offset = PROVIDER(allows_plaintext)},
    {.name = "key_env", .kind = SL_FIELD_STRING, .offset = PROVIDER(key_env)},
    {.name = "key_file", .kind = SL_FIELD_EXPANDED, .offset = PROVIDER(key_file)},
    {.name = "ca_file", .kind = SL_FIELD_EXPANDED, .offset = PROVIDER(ca_file)},
    {.name = "pinned_public_key", .kind = SL_FIELD_EXPANDED, .offset = PROVIDER(pinned_public_key)},
    {.name = "proxy", .kind = SL_FIELD_EXPANDED, .offset = PROVIDER(proxy)},
    {.name = "tls_min", .kind = SL_FIELD_WORD, .offset = PROVIDER(tls_min), .words = tls_words},
    {.name = "http2", .kind = SL_FIELD_BOOL, .offset = PROVIDER(http2)},
    {.name = "timeouts", .kind = SL_FIELD_SECTION, .section = timeout_fields},
    {.name = "prefers_stream", .kind = SL_FIELD_BOOL, .offset = PROVIDER(prefers_stream)},
    {.name = "retries", .kind = SL_FIELD_SECTION, .section = retry_fields},
    {.name = "breaker", .kind = SL_FIELD_SECTION, .section = breaker_fields},
    {.name = "hedge", .kind = SL_FIELD_SECTION, .section = hedge_fields},
    {.name = "takes_prefill", .kind = SL_FIELD_BOOL, .offset = PROVIDER(takes_prefill)},
    {.name = "model", .kind = SL_FIELD_EXPANDED, .offset = offsetof(struct provider_reading, model)},
    {.name = "models", .kind = SL_FIELD_CUSTOM, .read = remember_models},
    {.name = NULL},
};

static const struct sl_cloud_model_config *find_model(const struct sl_cloud_provider_config *config,
                                                      const char *name)
{
    for (size_t i = 0; i < config->model_count; i++)
        if (strcmp(config->models[i].name, name) == 0)
            return &config->models[i];
    return NULL;
}

/* The model of `model` comes first, since the first is the provider's default; where `models`
 * lists it too, its row is moved there. */
static enum sl_err read_models(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               struct provider_reading *reading)
{
    size_t listed = reading->models == NULL ? 0 : json_object_size(reading->models->value);
    struct sl_cloud_model_config *models =
        sl_arena_zalloc(reader->arena, listed + 1, sizeof *models);
    if (models == NULL)
        return sl_policy_no_memory(reader);
    size_t count = 0;
    if (reading->model != NULL)
        models[count++].name = reading->model;
    for (const struct sl_json_node *member =
             listed == 0 ? NULL : sl_json_first(reader->source, reading->models);
         member != NULL; member = sl_json_next(reader->source, member)) {
        struct model_reading model = {.config.name = member->key};
        enum sl_err err = sl_policy_read(reader, member, model_fields, &model);
        if (err != SL_OK)
            return err;
        model.config.usd_per_1k_prompt_tokens = model.prompt_usd_per_million / 1000;
        model.config.usd_per_1k_completion_tokens = model.completion_usd_per_million / 1000;
        bool is_first = reading->model != NULL && strcmp(member->key, reading->model) == 0;
        models[is_first ? 0 : count++] = model.config;
    }
    if (count == 0)
        return sl_json_fail_key(reader->source, node, reader->error,
                                "expected \"model\" or \"models\", found neither");
    reading->config.models = models;
    reading->config.model_count = count;
    return SL_OK;
}

/* What the cloud client found wrong, at the member that it named. */
static enum sl_err refuse_provider(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                   const struct sl_error *found)
{
    const struct sl_json_node *member = sl_json_member(reader->source, node, found->param);
    if (member != NULL)
        return sl_json_fail(reader->source, member, reader->error, "%s", found->message);
    return sl_json_fail_key(reader->source, node, reader->error, "%s", found->message);
}

static enum sl_err read_provider(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                 struct sl_cloud_provider_config *out)
{
    struct provider_reading reading = {0};
    struct sl_error found = {0};
    sl_cloud_provider_defaults(&reading.config);
    reading.config.name = node->key;
    enum sl_err err = sl_policy_read(reader, node, provider_fields, &reading);
    if (err == SL_OK)
        err = read_models(reader, node, &reading);
    if (err == SL_OK && reading.config.base_url == NULL)
        err = sl_json_fail_key(reader->source, node, reader->error,
                               "expected \"base_url\", found none");
    if (err == SL_OK && sl_cloud_provider_check(&reading.config, &found) != SL_OK)
        err = refuse_provider(reader, node, &found);
    *out = reading.config;
    return err;
}

enum sl_err sl_policy_read_providers(struct sl_policy_reader *reader,
                                     const struct sl_json_node *root)
{
    struct sl_policy *policy = reader->policy;
    const struct sl_json_node *node = sl_json_member(reader->source, root, "providers");
    if (node == NULL)
        return SL_OK;
    enum sl_err err = sl_policy_expect(reader, node, JSON_OBJECT);
    if (err != SL_OK)
        return err;
    size_t count = json_object_size(node->value);
    if (count > PROVIDERS_MAX)
        return sl_json_fail(reader->source, node, reader->error,
                            "expected at most %d providers, found %zu", PROVIDERS_MAX, count);
    policy->providers = sl_arena_zalloc(reader->arena, count + 1, sizeof *policy->providers);
    if (policy->providers == NULL)
        return sl_policy_no_memory(reader);
    for (const struct sl_json_node *member = sl_json_first(reader->source, node);
         member != NULL && err == SL_OK; member = sl_json_next(reader->source, member))
        err = read_provider(reader, member, &policy->providers[policy->provider_count++]);
    return err;
}

/* ---- targets ---- */

static const struct sl_cloud_provider_config *find_provider(const struct sl_policy *policy,
                                                            struct sl_slice name)
{
    for (size_t i = 0; i < policy->provider_count; i++)
        if (sl_slice_equal_text(name, policy->providers[i].name))
            return &policy->providers[i];
    return NULL;
}

bool sl_policy_find_target(const struct sl_policy *policy, const char *name,
                           struct sl_cloud_target *out)
{
    const char *slash = strchr(name, '/');
    size_t provider_len = slash == NULL ? strlen(name) : (size_t)(slash - name);
    *out = (struct sl_cloud_target){0};
    out->provider = find_provider(policy, (struct sl_slice){name, provider_len});
    if (out->provider != NULL) {
        out->model = slash == NULL ? out->provider->models[0].name : slash + 1;
        return out->model[0] != '\0';
    }
    for (size_t i = 0; i < policy->provider_count; i++) {
        const struct sl_cloud_model_config *model = find_model(&policy->providers[i], name);
        if (model != NULL) {
            *out = (struct sl_cloud_target){.provider = &policy->providers[i],
                                            .model = model->name};
            return true;
        }
    }
    return false;
}

void sl_policy_default_targets(const struct sl_policy *policy, struct sl_route_cloud *cloud)
{
    cloud->target_count = 0;
    for (size_t i = 0; i < policy->provider_count && i < SL_CLOUD_TARGETS_MAX; i++)
        cloud->targets[cloud->target_count++] = (struct sl_cloud_target){
            .provider = &policy->providers[i],
            .model = policy->providers[i].models[0].name,
        };
}

static enum sl_err refuse_target(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                 const char *what)
{
    const char *known[PROVIDERS_MAX];
    char suggestion[96];
    for (size_t i = 0; i < reader->policy->provider_count; i++)
        known[i] = reader->policy->providers[i].name;
    sl_policy_suggest(json_string_value(node->value), known, reader->policy->provider_count,
                      suggestion, sizeof suggestion);
    return sl_json_fail(reader->source, node, reader->error, "expected %s, found \"%.60s\"%s", what,
                        json_string_value(node->value), suggestion);
}

static enum sl_err read_target_name(struct sl_policy_reader *reader,
                                    const struct sl_json_node *node, struct sl_cloud_target *out)
{
    enum sl_err err = sl_policy_expect(reader, node, JSON_STRING);
    if (err != SL_OK)
        return err;
    if (!sl_policy_find_target(reader->policy, json_string_value(node->value), out))
        return refuse_target(reader, node, "a provider, provider/model or the name of a model");
    return SL_OK;
}

struct target_reading {
    const char *provider, *model;
    uint32_t tier, weight;
};
#define TARGET(member) offsetof(struct target_reading, member)
static const struct sl_field target_fields[] = {
    {.name = "provider", .kind = SL_FIELD_STRING, .offset = TARGET(provider)},
    {.name = "model", .kind = SL_FIELD_EXPANDED, .offset = TARGET(model)},
    {.name = "tier", .kind = SL_FIELD_U32, .offset = TARGET(tier), .max = SL_CLOUD_TARGETS_MAX},
    {.name = "weight", .kind = SL_FIELD_U32, .offset = TARGET(weight), .max = 1000000},
    {.name = NULL},
};

static enum sl_err read_target(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               struct sl_cloud_target *out)
{
    if (!json_is_object(node->value))
        return read_target_name(reader, node, out);
    struct target_reading reading = {0};
    enum sl_err err = sl_policy_read(reader, node, target_fields, &reading);
    if (err != SL_OK)
        return err;
    const struct sl_json_node *name = sl_json_member(reader->source, node, "provider");
    if (name == NULL)
        return sl_json_fail(reader->source, node, reader->error,
                            "expected \"provider\", found none");
    out->provider = find_provider(reader->policy, sl_slice_of(reading.provider));
    if (out->provider == NULL)
        return refuse_target(reader, name, "the name of a provider");
    out->model = reading.model != NULL ? reading.model : out->provider->models[0].name;
    out->tier = reading.tier;
    out->weight = reading.weight;
    return SL_OK;
}

enum sl_err sl_policy_read_targets(struct sl_policy_reader *reader,
                                   const struct sl_json_node *node, void *target)
{
    struct sl_route_cloud *cloud = target;
    enum sl_err err = sl_policy_expect(reader, node, JSON_ARRAY);
    if (err != SL_OK)
        return err;
    if (json_array_size(node->value) > SL_CLOUD_TARGETS_MAX)
        return sl_json_fail(reader->source, node, reader->error,
                            "expected at most %d targets, found %zu", SL_CLOUD_TARGETS_MAX,
                            json_array_size(node->value));
    cloud->target_count = 0;
    for (const struct sl_json_node *item = sl_json_first(reader->source, node);
         item != NULL && err == SL_OK; item = sl_json_next(reader->source, item)) {
        cloud->targets[cloud->target_count] = (struct sl_cloud_target){0};
        err = read_target(reader, item, &cloud->targets[cloud->target_count++]);
    }
    return err;
}

/* ---- model names ---- */

static bool builtin_name(const char *name, enum sl_model_kind *kind)
{
    if (strcmp(name, "auto") == 0)
        *kind = SL_MODEL_AUTO;
    else if (strcmp(name, "local") == 0)
        *kind = SL_MODEL_LOCAL;
    else if (strcmp(name, "cloud") == 0)
        *kind = SL_MODEL_CLOUD;
    else
        return false;
    return true;
}

enum sl_err sl_policy_read_aliases(struct sl_policy_reader *reader,
                                   const struct sl_json_node *root)
{
    struct sl_policy *policy = reader->policy;
    const struct sl_json_node *node = sl_json_member(reader->source, root, "models");
    if (node == NULL)
        return SL_OK;
    enum sl_err err = sl_policy_expect(reader, node, JSON_OBJECT);
    if (err != SL_OK)
        return err;
    policy->aliases =
        sl_arena_zalloc(reader->arena, json_object_size(node->value) + 1, sizeof *policy->aliases);
    if (policy->aliases == NULL)
        return sl_policy_no_memory(reader);
    for (const struct sl_json_node *member = sl_json_first(reader->source, node); member != NULL;
         member = sl_json_next(reader->source, member)) {
        if ((err = sl_policy_expect(reader, member, JSON_STRING)) != SL_OK)
            return err;
        struct sl_alias *alias = &policy->aliases[policy->alias_count++];
        alias->pattern = member->key;
        alias->target = json_string_value(member->value);
        if (builtin_name(alias->target, &alias->kind))
            continue;
        alias->kind = SL_MODEL_TARGET;
        if (!sl_policy_find_target(policy, alias->target, &alias->cloud))
            return refuse_target(reader, member,
                                 "auto, local, cloud, a provider, provider/model or a model");
    }
    return SL_OK;
}

void sl_policy_model(const struct sl_policy *policy, const char *name, const char *local_model,
                     struct sl_model_choice *out)
{
    *out = (struct sl_model_choice){.kind = SL_MODEL_UNKNOWN};
    for (size_t i = 0; i < policy->alias_count; i++) {
        const struct sl_alias *alias = &policy->aliases[i];
        if (sl_pattern_fits(alias->pattern, sl_slice_of(name))) {
            *out = (struct sl_model_choice){
                .kind = alias->kind, .target = alias->cloud, .alias = alias->target};
            return;
        }
    }
    if (name[0] == '\0') /* no model named is the same as auto */
        out->kind = SL_MODEL_AUTO;
    else if (builtin_name(name, &out->kind))
        return;
    else if (local_model != NULL && strcmp(name, local_model) == 0)
        out->kind = SL_MODEL_LOCAL;
    else if (sl_policy_find_target(policy, name, &out->target))
        out->kind = SL_MODEL_TARGET;
}

void sl_policy_model_names(const struct sl_policy *policy, sl_model_name_fn each, void *ctx)
{
    each(ctx, "auto", "sluice");
    each(ctx, "local", "sluice");
    if (policy->cloud_is_enabled && policy->provider_count != 0)
        each(ctx, "cloud", "sluice");
    for (size_t i = 0; i < policy->alias_count; i++)
        if (strpbrk(policy->aliases[i].pattern, "*?") == NULL)
            each(ctx, policy->aliases[i].pattern, "sluice");
    for (size_t i = 0; policy->cloud_is_enabled && i < policy->provider_count; i++) {
        const struct sl_cloud_provider_config *provider = &policy->providers[i];
        for (size_t j = 0; j < provider->model_count; j++) {
            struct sl_model_choice choice;
            sl_policy_model(policy, provider->models[j].name, NULL, &choice);
            if (choice.alias == NULL)
                each(ctx, provider->models[j].name, provider->name);
        }
    }
}
