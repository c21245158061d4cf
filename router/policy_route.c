/* SPDX-License-Identifier: Apache-2.0
 *
 * Routes: the tables of their fields with names and ranges, the defaults, what they match, and the
 * `when` blocks that change them with the state of the device.
 *
 * A `when` block is read by the same tables as the route, onto a scratch copy; every scalar that is
 * written is noted as a patch (offset, bytes), and resolving a route applies the patches of the
 * blocks that hold. So whatever a route can say, a block can say, with the same checks.
 *
 * Runs on the thread that loads; conditions are pure and run anywhere.
 */
#include "policy_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_MS 86400000.0
#define TOKENS_MAX 1048576.0 /* longer contexts than any model's of today */
#define PATCHES_MAX 64       /* fields of one `when` block: as many as a route has */
#define ROUTES_MAX 4096

#define ROUTE(member) offsetof(struct sl_route, member)
#define LOCAL(member) offsetof(struct sl_route_local, member)
#define CLOUD(member) offsetof(struct sl_route_cloud, member)
#define STREAM(member) offsetof(struct sl_route_stream, member)
#define CACHE(member) offsetof(struct sl_route_cache, member)
#define BUDGET(member) offsetof(struct sl_cloud_budget, member)

/* ---- words ---- */

static const struct sl_word mode_words[] = {
    {"auto", SL_MODE_AUTO},
    {"prefer-local", SL_MODE_PREFER_LOCAL},
    {"prefer-cloud", SL_MODE_PREFER_CLOUD},
    {"local-only", SL_MODE_LOCAL_ONLY},
    {"cloud-only", SL_MODE_CLOUD_ONLY},
    {NULL, 0},
};
static const struct sl_word unavailable_words[] = {
    {"local", SL_UNAVAILABLE_LOCAL},
    {"error", SL_UNAVAILABLE_ERROR},
    {NULL, 0},
};
static const struct sl_word similar_words[] = {
    {"off", SL_CACHE_SIMILAR_OFF},
    {"lexical", SL_CACHE_SIMILAR_LEXICAL},
    {"semantic", SL_CACHE_SIMILAR_SEMANTIC},
    {NULL, 0},
};

const char *sl_mode_word(enum sl_mode mode)
{
    for (const struct sl_word *word = mode_words; word->word != NULL; word++)
        if (word->value == (int)mode)
            return word->word;
    return "";
}

bool sl_mode_parse(struct sl_slice text, enum sl_mode *out)
{
    for (const struct sl_word *word = mode_words; word->word != NULL; word++) {
        if (sl_slice_equal_nocase(text, sl_slice_of(word->word))) {
            *out = (enum sl_mode)word->value;
            return true;
        }
    }
    return false;
}

/* ---- the tables ---- */

static const struct sl_field local_fields[] = {
    {.name = "enabled", .kind = SL_FIELD_BOOL, .offset = LOCAL(is_enabled)},
    {.name = "model", .kind = SL_FIELD_STRING, .offset = LOCAL(model), .is_fixed = true},
    {.name = "output_tokens_max", .kind = SL_FIELD_U32, .offset = LOCAL(output_tokens_max),
     .min = 1, .max = TOKENS_MAX},
    {.name = "temperature", .kind = SL_FIELD_FLOAT, .offset = LOCAL(temperature), .max = 2},
    {.name = "timeout_ms", .kind = SL_FIELD_U32, .offset = LOCAL(timeout_ms), .min = 1,
     .max = DAY_MS},
    {.name = "threads", .kind = SL_FIELD_U32, .offset = LOCAL(threads), .max = 1024},
    {.name = "memory_available_min", .kind = SL_FIELD_DOUBLE, .offset = LOCAL(memory_available_min),
     .max = 1},
    {.name = "temperature_max_c", .kind = SL_FIELD_DOUBLE, .offset = LOCAL(temperature_max_c),
     .max = 200},
    {.name = "load_max", .kind = SL_FIELD_DOUBLE, .offset = LOCAL(load_max), .max = 1000},
    {.name = "tools", .kind = SL_FIELD_BOOL, .offset = LOCAL(tools_allowed)},
    {.name = "structured", .kind = SL_FIELD_BOOL, .offset = LOCAL(structured_allowed)},
    {.name = "prompt_score_min", .kind = SL_FIELD_DOUBLE, .offset = LOCAL(prompt_score_min),
     .max = 1},
    {.name = "repetition_max", .kind = SL_FIELD_U32, .offset = LOCAL(repetition_max), .min = 2,
     .max = 1000},
    {.name = NULL},
};

static const struct sl_field cloud_fields[] = {
    {.name = "enabled", .kind = SL_FIELD_BOOL, .offset = CLOUD(is_enabled)},
    {.name = "targets", .kind = SL_FIELD_CUSTOM, .read = sl_policy_read_targets},
    {.name = "unavailable", .kind = SL_FIELD_WORD, .offset = CLOUD(unavailable),
     .words = unavailable_words},
    {.name = "stream_hold_tokens", .kind = SL_FIELD_TOKENS, .offset = CLOUD(stream_hold_tokens),
     .max = TOKENS_MAX},
    {.name = "resume", .kind = SL_FIELD_BOOL, .offset = CLOUD(resumes)},
    {.name = "deadline_ms", .kind = SL_FIELD_U32, .offset = CLOUD(deadline_ms), .min = 1,
     .max = DAY_MS},
    {.name = "speculative", .kind = SL_FIELD_BOOL, .offset = CLOUD(speculative)},
    {.name = "speculative_margin", .kind = SL_FIELD_DOUBLE, .offset = CLOUD(speculative_margin),
     .max = 1},
    {.name = "speculative_share_max", .kind = SL_FIELD_DOUBLE,
     .offset = CLOUD(speculative_share_max), .max = 1},
    {.name = "system_note", .kind = SL_FIELD_STRING, .offset = CLOUD(system_note)},
    {.name = "shadow_share", .kind = SL_FIELD_DOUBLE, .offset = CLOUD(shadow_share), .max = 1},
    {.name = NULL},
};

static const struct sl_field stream_fields[] = {
    {.name = "hold_tokens", .kind = SL_FIELD_U32, .offset = STREAM(hold_tokens), .min = 1,
     .max = TOKENS_MAX},
    {.name = "hold_ms", .kind = SL_FIELD_U32, .offset = STREAM(hold_ms), .min = 1, .max = DAY_MS},
    {.name = NULL},
};

static const struct sl_field cache_fields[] = {
    {.name = "enabled", .kind = SL_FIELD_BOOL, .offset = CACHE(is_enabled)},
    {.name = "local_answers", .kind = SL_FIELD_BOOL, .offset = CACHE(local_answers)},
    {.name = "cloud_answers", .kind = SL_FIELD_BOOL, .offset = CACHE(cloud_answers)},
    {.name = "similar", .kind = SL_FIELD_WORD, .offset = CACHE(similar), .words = similar_words},
    {.name = "similar_threshold", .kind = SL_FIELD_DOUBLE, .offset = CACHE(similar_threshold),
     .min = 0.5, .max = 1},
    {.name = "shared", .kind = SL_FIELD_BOOL, .offset = CACHE(is_shared)},
    {.name = "ttl_s", .kind = SL_FIELD_U64, .offset = CACHE(ttl_s), .max = 1e9},
    {.name = "ttl_max_s", .kind = SL_FIELD_U64, .offset = CACHE(ttl_max_s), .max = 1e9},
    {.name = "stale_if_error_s", .kind = SL_FIELD_U64, .offset = CACHE(stale_if_error_s),
     .max = 1e9},
    {.name = "temperature_max", .kind = SL_FIELD_DOUBLE, .offset = CACHE(temperature_max),
     .max = 2},
    {.name = NULL},
};

static const struct sl_field budget_fields[] = {
    {.name = "daily_usd", .kind = SL_FIELD_DOUBLE, .offset = BUDGET(app_daily_usd), .max = 1e9},
    {.name = "monthly_usd", .kind = SL_FIELD_DOUBLE, .offset = BUDGET(app_monthly_usd), .max = 1e9},
    {.name = NULL},
};

static enum sl_err read_pii(struct sl_policy_reader *reader, const struct sl_json_node *node,
                            void *route)
{
    return sl_policy_read_pii(reader, node, route);
}

static enum sl_err read_match(struct sl_policy_reader *reader, const struct sl_json_node *node,
                              void *route);
static enum sl_err read_whens(struct sl_policy_reader *reader, const struct sl_json_node *node,
                              void *route);

/* What `defaults`, a route and the `set` of a `when` block may say. */
#define TERMS                                                                                      \
    {.name = "comment", .kind = SL_FIELD_IGNORED},                                                 \
    {.name = "mode", .kind = SL_FIELD_WORD, .offset = ROUTE(mode), .words = mode_words},           \
    {.name = "threshold", .kind = SL_FIELD_DOUBLE, .offset = ROUTE(threshold), .max = 1},          \
    {.name = "risk", .kind = SL_FIELD_DOUBLE, .offset = ROUTE(risk), .min = 0.0001, .max = 0.5},   \
    {.name = "context_tokens_max", .kind = SL_FIELD_U32, .offset = ROUTE(context_tokens_max),      \
     .max = TOKENS_MAX},                                                                           \
    {.name = "context_counts_output", .kind = SL_FIELD_BOOL,                                       \
     .offset = ROUTE(context_counts_output)},                                                      \
    {.name = "deadline_ms", .kind = SL_FIELD_U32, .offset = ROUTE(deadline_ms), .min = 1,          \
     .max = DAY_MS},                                                                               \
    {.name = "sticky", .kind = SL_FIELD_BOOL, .offset = ROUTE(sticky)},                            \
    {.name = "local", .kind = SL_FIELD_SECTION, .offset = ROUTE(local), .section = local_fields},  \
    {.name = "cloud", .kind = SL_FIELD_SECTION, .offset = ROUTE(cloud), .section = cloud_fields},  \
    {.name = "stream", .kind = SL_FIELD_SECTION, .offset = ROUTE(stream),                          \
     .section = stream_fields},                                                                    \
    {.name = "cache", .kind = SL_FIELD_SECTION, .offset = ROUTE(cache), .section = cache_fields},  \
    {.name = "budget", .kind = SL_FIELD_SECTION, .offset = ROUTE(budget),                          \
     .section = budget_fields},                                                                    \
    {.name = "pii", .kind = SL_FIELD_CUSTOM, .read = read_pii}

static const struct sl_field terms_fields[] = {TERMS, {.name = NULL}};

static const struct sl_field route_fields[] = {
    {.name = "name", .kind = SL_FIELD_STRING, .offset = ROUTE(name), .is_fixed = true},
    {.name = "match", .kind = SL_FIELD_CUSTOM, .read = read_match},
    TERMS,
    {.name = "when", .kind = SL_FIELD_CUSTOM, .read = read_whens},
    {.name = NULL},
};

void sl_policy_route_defaults(struct sl_route *route)
{
    *route = (struct sl_route){
        .name = "default",
        .mode = SL_MODE_AUTO,
        .threshold = 0.6,
        .context_tokens_max = 512,
        .context_counts_output = true,
        .deadline_ms = 120000,
        .sticky = true,
        .local = {.is_enabled = true,
                  .model = "",
                  .output_tokens_max = 256,
                  .timeout_ms = 10000,
                  .memory_available_min = 0.02,
                  .temperature_max_c = 100,
                  .structured_allowed = true,
                  .prompt_score_min = 0.25,
                  .repetition_max = 4},
        .cloud = {.is_enabled = true,
                  .unavailable = SL_UNAVAILABLE_LOCAL,
                  .deadline_ms = 60000,
                  .speculative_margin = 0.1,
                  .speculative_share_max = 0.05,
                  .system_note = ""},
        .stream = {.hold_tokens = 24, .hold_ms = 800},
        .cache = {.is_enabled = true,
                  .local_answers = true,
                  .cloud_answers = true,
                  .similar_threshold = 0.95,
                  .ttl_s = 86400,
                  .ttl_max_s = 604800,
                  .temperature_max = 0.3},
    };
}

/* Reads terms over what the route has. A threshold takes the place of an inherited risk. */
static enum sl_err read_terms(struct sl_policy_reader *reader, const struct sl_json_node *node,
                              const struct sl_field *fields, struct sl_route *route)
{
    enum sl_err err = sl_policy_read(reader, node, fields, route);
    if (err != SL_OK)
        return err;
    const struct sl_json_node *threshold = sl_json_member(reader->source, node, "threshold");
    const struct sl_json_node *risk = sl_json_member(reader->source, node, "risk");
    if (threshold == NULL)
        return SL_OK;
    if (risk != NULL)
        return sl_json_fail_key(reader->source, risk, reader->error,
                                "expected either a threshold or a risk, found both");
    route->risk = 0;
    return sl_policy_note(reader, threshold, &route->risk, sizeof route->risk);
}

/* ---- match ---- */

static enum sl_err read_header_matches(struct sl_policy_reader *reader,
                                       const struct sl_json_node *node,
                                       struct sl_route_match *match)
{
    enum sl_err err = sl_policy_expect(reader, node, JSON_OBJECT);
    if (err != SL_OK)
        return err;
    match->headers = sl_arena_zalloc(reader->arena, json_object_size(node->value) + 1,
                                     sizeof *match->headers);
    if (match->headers == NULL)
        return sl_policy_no_memory(reader);
    for (const struct sl_json_node *member = sl_json_first(reader->source, node); member != NULL;
         member = sl_json_next(reader->source, member)) {
        struct sl_header_match *header = &match->headers[match->header_count++];
        char *name = sl_arena_dup(reader->arena, sl_slice_of(member->key));
        if (name == NULL)
            return sl_policy_no_memory(reader);
        for (char *at = name; *at != '\0'; at++)
            *at = (char)tolower((unsigned char)*at);
        header->name = name;
        if ((err = sl_policy_read_patterns(reader, member, &header->values)) != SL_OK)
            return err;
    }
    return SL_OK;
}

static enum sl_err read_headers_field(struct sl_policy_reader *reader,
                                      const struct sl_json_node *node, void *match)
{
    return read_header_matches(reader, node, match);
}

static enum sl_err read_patterns_field(struct sl_policy_reader *reader,
                                       const struct sl_json_node *node, void *patterns)
{
    return sl_policy_read_patterns(reader, node, patterns);
}

static const struct sl_field match_fields[] = {
    {.name = "app", .kind = SL_FIELD_CUSTOM, .offset = offsetof(struct sl_route_match, apps),
     .read = read_patterns_field},
    {.name = "model", .kind = SL_FIELD_CUSTOM, .offset = offsetof(struct sl_route_match, models),
     .read = read_patterns_field},
    {.name = "path", .kind = SL_FIELD_CUSTOM, .offset = offsetof(struct sl_route_match, paths),
     .read = read_patterns_field},
    {.name = "header", .kind = SL_FIELD_CUSTOM, .read = read_headers_field},
    {.name = NULL},
};

static enum sl_err read_match(struct sl_policy_reader *reader, const struct sl_json_node *node,
                              void *target)
{
    struct sl_route *route = target;
    struct sl_route_match *match = sl_arena_zalloc(reader->arena, 1, sizeof *match);
    if (match == NULL)
        return sl_policy_no_memory(reader);
    enum sl_err err = sl_policy_read(reader, node, match_fields, match);
    bool is_catch_all = match->apps.count == 0 && match->models.count == 0 &&
                        match->paths.count == 0 && match->header_count == 0;
    route->match = is_catch_all ? NULL : match;
    return err;
}

/* ---- when ---- */

static const struct sl_word network_words[] = {
    {"online", SL_NETWORK_ONLINE},
    {"degraded", SL_NETWORK_DEGRADED},
    {"offline", SL_NETWORK_OFFLINE},
    {"unknown", SL_NETWORK_UNKNOWN},
    {NULL, 0},
};

/* One word or a list of them. */
static enum sl_err read_networks(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                 void *condition_networks)
{
    static const struct sl_field one[] = {
        {.name = "network", .kind = SL_FIELD_WORD, .words = network_words}, {.name = NULL}};
    unsigned *bits = condition_networks;
    const struct sl_json_node *item = node;
    if (json_is_array(node->value))
        item = sl_json_first(reader->source, node);
    for (; item != NULL; item = item == node ? NULL : sl_json_next(reader->source, item)) {
        int value = 0;
        enum sl_err err = sl_policy_read_one(reader, item, one, &value);
        if (err != SL_OK)
            return err;
        *bits |= 1u << value;
    }
    return SL_OK;
}

static enum sl_err read_on_battery(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                   void *target)
{
    static const struct sl_field one[] = {{.name = "on_battery", .kind = SL_FIELD_BOOL},
                                          {.name = NULL}};
    struct sl_condition *condition = target;
    condition->asks_on_battery = true;
    return sl_policy_read_one(reader, node, one, &condition->on_battery);
}

#define CONDITION(member) offsetof(struct sl_condition, member)
static const struct sl_field condition_fields[] = {
    {.name = "network", .kind = SL_FIELD_CUSTOM, .offset = CONDITION(networks),
     .read = read_networks},
    {.name = "on_battery", .kind = SL_FIELD_CUSTOM, .read = read_on_battery},
    {.name = "battery_below", .kind = SL_FIELD_DOUBLE, .offset = CONDITION(battery_below),
     .max = 1},
    {.name = "temperature_above", .kind = SL_FIELD_DOUBLE, .offset = CONDITION(temperature_above),
     .max = 200},
    {.name = "memory_available_below", .kind = SL_FIELD_DOUBLE,
     .offset = CONDITION(memory_available_below), .max = 1},
    {.name = "load_above", .kind = SL_FIELD_DOUBLE, .offset = CONDITION(load_above), .max = 1000},
    {.name = "cpu_pressure_above", .kind = SL_FIELD_DOUBLE, .offset = CONDITION(cpu_pressure_above),
     .max = 100},
    {.name = "memory_pressure_above", .kind = SL_FIELD_DOUBLE,
     .offset = CONDITION(memory_pressure_above), .max = 100},
    {.name = NULL},
};

struct when_reading {
    struct sl_route_when *when;
    struct sl_route *scratch;
    bool has_condition, has_set;
};

static enum sl_err read_condition(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                  void *target)
{
    struct when_reading *reading = target;
    reading->when->condition = (struct sl_condition){
        .battery_below = NAN,
        .temperature_above = NAN,
        .memory_available_below = NAN,
        .load_above = NAN,
        .cpu_pressure_above = NAN,
        .memory_pressure_above = NAN,
    };
    reading->has_condition = true;
    if (json_is_object(node->value) && json_object_size(node->value) == 0)
        return sl_json_fail(reader->source, node, reader->error,
                            "expected at least one condition, found none");
    return sl_policy_read(reader, node, condition_fields, &reading->when->condition);
}

static enum sl_err read_set(struct sl_policy_reader *reader, const struct sl_json_node *node,
                            void *target)
{
    struct when_reading *reading = target;
    struct sl_patch patches[PATCHES_MAX];
    reading->has_set = true;
    reader->patches = patches;
    reader->patch_count = 0;
    reader->patch_max = PATCHES_MAX;
    reader->patch_base = reading->scratch;
    enum sl_err err = read_terms(reader, node, terms_fields, reading->scratch);
    size_t count = reader->patch_count;
    reader->patches = NULL;
    reader->patch_base = NULL;
    if (err != SL_OK)
        return err;
    reading->when->patches = sl_arena_alloc(reader->arena, (count + 1) * sizeof *patches);
    if (reading->when->patches == NULL)
        return sl_policy_no_memory(reader);
    memcpy(reading->when->patches, patches, count * sizeof *patches);
    reading->when->patch_count = count;
    return SL_OK;
}

static const struct sl_field when_fields[] = {
    {.name = "comment", .kind = SL_FIELD_IGNORED},
    {.name = "if", .kind = SL_FIELD_CUSTOM, .read = read_condition},
    {.name = "set", .kind = SL_FIELD_CUSTOM, .read = read_set},
    {.name = NULL},
};

static enum sl_err read_whens(struct sl_policy_reader *reader, const struct sl_json_node *node,
                              void *target)
{
    struct sl_route *route = target;
    enum sl_err err = sl_policy_expect(reader, node, JSON_ARRAY);
    if (err != SL_OK)
        return err;
    struct sl_route_when *whens =
        sl_arena_zalloc(reader->arena, json_array_size(node->value) + 1, sizeof *whens);
    if (whens == NULL)
        return sl_policy_no_memory(reader);
    route->whens = whens;
    for (const struct sl_json_node *item = sl_json_first(reader->source, node); item != NULL;
         item = sl_json_next(reader->source, item)) {
        struct sl_route scratch = *route;
        struct when_reading reading = {.when = &whens[route->when_count++], .scratch = &scratch};
        if ((err = sl_policy_read(reader, item, when_fields, &reading)) != SL_OK)
            return err;
        if (!reading.has_condition || !reading.has_set)
            return sl_json_fail(reader->source, item, reader->error, "expected \"%s\", found none",
                                reading.has_condition ? "set" : "if");
    }
    return SL_OK;
}

bool sl_condition_holds(const struct sl_condition *condition, const struct sl_device_state *device)
{
    const struct sl_condition *c = condition;
    if (c->networks != 0 && (c->networks & 1u << device->network) == 0)
        return false;
    if (c->asks_on_battery && !(device->has_battery && device->is_on_battery == c->on_battery))
        return false;
    if (!isnan(c->battery_below) && !(device->has_battery &&
                                      device->battery_share < c->battery_below))
        return false;
    if (!isnan(c->temperature_above) &&
        !(device->has_temperature && device->temperature_c > c->temperature_above))
        return false;
    if (!isnan(c->memory_available_below) &&
        !(device->has_memory && device->memory_available_share < c->memory_available_below))
        return false;
    if (!isnan(c->load_above) && !(device->has_load && device->load_share > c->load_above))
        return false;
    if (!isnan(c->cpu_pressure_above) &&
        !(device->has_pressure && device->cpu_pressure > c->cpu_pressure_above))
        return false;
    return isnan(c->memory_pressure_above) ||
           (device->has_pressure && device->memory_pressure > c->memory_pressure_above);
}

/* ---- routes ---- */

static enum sl_err read_route(struct sl_policy_reader *reader, const struct sl_json_node *node,
                              const struct sl_route *base, struct sl_route *route)
{
    *route = *base;
    route->index = node->index;
    route->name = NULL;
    enum sl_err err = read_terms(reader, node, route_fields, route);
    if (err != SL_OK)
        return err;
    if (route->name == NULL) {
        char name[32];
        snprintf(name, sizeof name, "route-%u", node->index + 1);
        route->name = sl_arena_dup(reader->arena, sl_slice_of(name));
        if (route->name == NULL)
            return sl_policy_no_memory(reader);
    }
    if (route->cache.ttl_s > route->cache.ttl_max_s)
        route->cache.ttl_s = route->cache.ttl_max_s;
    return SL_OK;
}

/* A route after one that takes everything can never rule; that is a mistake worth a refusal. */
static enum sl_err refuse_unreachable(struct sl_policy_reader *reader,
                                      const struct sl_json_node *list)
{
    const struct sl_policy *policy = reader->policy;
    const struct sl_json_node *node = sl_json_first(reader->source, list);
    for (size_t i = 0; i + 1 < policy->route_count && node != NULL; i++) {
        node = sl_json_next(reader->source, node);
        if (policy->routes[i].match == NULL && node != NULL)
            return sl_json_fail(reader->source, node, reader->error,
                                "never reached: routes[%zu] before it has no match and takes "
                                "everything", i);
    }
    return SL_OK;
}

static enum sl_err read_list(struct sl_policy_reader *reader, const struct sl_json_node *list,
                             const struct sl_route *base)
{
    struct sl_policy *policy = reader->policy;
    size_t count = list == NULL ? 0 : json_array_size(list->value);
    if (count > ROUTES_MAX)
        return sl_json_fail(reader->source, list, reader->error,
                            "expected at most %d routes, found %zu", ROUTES_MAX, count);
    policy->routes = sl_arena_zalloc(reader->arena, count + 1, sizeof *policy->routes);
    if (policy->routes == NULL)
        return sl_policy_no_memory(reader);
    const struct sl_json_node *item = list == NULL ? NULL : sl_json_first(reader->source, list);
    for (; item != NULL; item = sl_json_next(reader->source, item)) {
        enum sl_err err = read_route(reader, item, base, &policy->routes[policy->route_count++]);
        if (err != SL_OK)
            return err;
    }
    return list == NULL ? SL_OK : refuse_unreachable(reader, list);
}

static void add_catch_all(struct sl_policy *policy, const struct sl_route *base)
{
    if (policy->route_count > 0 && policy->routes[policy->route_count - 1].match == NULL)
        return;
    struct sl_route *route = &policy->routes[policy->route_count];
    *route = *base;
    route->name = "default";
    route->index = (uint32_t)policy->route_count++;
}

enum sl_err sl_policy_read_routes(struct sl_policy_reader *reader, const struct sl_json_node *root)
{
    const struct sl_json_node *defaults = sl_json_member(reader->source, root, "defaults");
    const struct sl_json_node *list = sl_json_member(reader->source, root, "routes");
    struct sl_route base;
    enum sl_err err = SL_OK;
    sl_policy_route_defaults(&base);
    base.budget.global_daily_usd = reader->policy->global_daily_usd;
    base.budget.global_monthly_usd = reader->policy->global_monthly_usd;
    sl_policy_default_targets(reader->policy, &base.cloud);
    if (defaults == NULL || sl_json_member(reader->source, defaults, "pii") == NULL)
        err = sl_policy_read_pii(reader, NULL, &base);
    if (err == SL_OK && defaults != NULL)
        err = read_terms(reader, defaults, terms_fields, &base);
    if (err == SL_OK && list != NULL)
        err = sl_policy_expect(reader, list, JSON_ARRAY);
    if (err == SL_OK)
        err = read_list(reader, list, &base);
    if (err == SL_OK)
        add_catch_all(reader->policy, &base);
    return err;
}
