/* SPDX-License-Identifier: Apache-2.0
 *
 * The `pii` section of a route: what may leave the box. Rules start from the detector's defaults
 * (or those of `defaults.pii`), and are compiled while the policy loads, so that a bad pattern
 * refuses the policy instead of failing requests.
 *
 * Runs on the thread that loads. The compiled detectors belong to the policy and are immutable.
 */
#include "policy_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define RULES(member) offsetof(struct sl_pii_rules, member)
#define STABLE_KEY_BYTES_MIN 16 /* what sl_pii_rules asks for */

/* ---- actions of kinds ---- */

static enum sl_err refuse_action(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                 bool allows_off)
{
    const char *known[SL_PII_ACTION_COUNT + 1];
    char list[128] = "", found[80], suggestion[64] = "";
    size_t len = 0, count = 0;
    for (int action = 0; action < SL_PII_ACTION_COUNT; action++)
        known[count++] = sl_pii_action_word((enum sl_pii_action)action);
    if (allows_off)
        known[count++] = "off";
    for (size_t i = 0; i < count && len < sizeof list; i++)
        len += (size_t)snprintf(list + len, sizeof list - len, "%s%s", i == 0 ? "" : ", ",
                                known[i]);
    sl_json_describe(node, found, sizeof found);
    if (json_is_string(node->value))
        sl_policy_suggest(json_string_value(node->value), known, count, suggestion,
                          sizeof suggestion);
    return sl_json_fail(reader->source, node, reader->error, "expected one of %s, found %s%s", list,
                        found, suggestion);
}

static enum sl_err read_action(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               void *action)
{
    if (!json_is_string(node->value) ||
        !sl_pii_action_parse(sl_slice_of(json_string_value(node->value)), action))
        return refuse_action(reader, node, false);
    return SL_OK;
}

/* "off", an action, or {"action", "threshold", "keep_last"}; naming a kind switches it on. */
static enum sl_err read_type_rule(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                  struct sl_pii_type_rule *rule)
{
    static const struct sl_field fields[] = {
        {.name = "action", .kind = SL_FIELD_CUSTOM,
         .offset = offsetof(struct sl_pii_type_rule, action), .read = read_action},
        {.name = "threshold", .kind = SL_FIELD_DOUBLE,
         .offset = offsetof(struct sl_pii_type_rule, threshold), .max = 1},
        {.name = "keep_last", .kind = SL_FIELD_U32,
         .offset = offsetof(struct sl_pii_type_rule, keep_last), .min = 1, .max = 16},
        {.name = NULL},
    };
    rule->is_on = true;
    if (json_is_object(node->value))
        return sl_policy_read(reader, node, fields, rule);
    const char *word = json_string_value(node->value);
    if (word != NULL && strcmp(word, "off") == 0)
        rule->is_on = false;
    else if (word == NULL || !sl_pii_action_parse(sl_slice_of(word), &rule->action))
        return refuse_action(reader, node, true);
    return SL_OK;
}

static enum sl_err read_types(struct sl_policy_reader *reader, const struct sl_json_node *node,
                              void *target)
{
    struct sl_pii_rules *rules = target;
    enum sl_err err = sl_policy_expect(reader, node, JSON_OBJECT);
    for (const struct sl_json_node *member = err == SL_OK ? sl_json_first(reader->source, node) : NULL;
         member != NULL && err == SL_OK; member = sl_json_next(reader->source, member)) {
        enum sl_pii_type type;
        if (sl_pii_type_parse(sl_slice_of(member->key), &type)) {
            err = read_type_rule(reader, member, &rules->types[type]);
            continue;
        }
        const char *known[SL_PII_TYPE_COUNT];
        char suggestion[96];
        for (int i = 0; i < SL_PII_TYPE_COUNT; i++)
            known[i] = sl_pii_type_word((enum sl_pii_type)i);
        sl_policy_suggest(member->key, known, SL_PII_TYPE_COUNT, suggestion, sizeof suggestion);
        err = sl_json_fail_key(reader->source, member, reader->error,
                               "unknown kind of personal data%s", suggestion);
    }
    return err;
}

/* ---- the operator's own ---- */

static enum sl_err read_patterns(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                 void *target)
{
    static const struct sl_field fields[] = {
        {.name = "name", .kind = SL_FIELD_STRING, .offset = offsetof(struct sl_pii_pattern, name)},
        {.name = "regex", .kind = SL_FIELD_STRING,
         .offset = offsetof(struct sl_pii_pattern, regex)},
        {.name = "action", .kind = SL_FIELD_CUSTOM,
         .offset = offsetof(struct sl_pii_pattern, action), .read = read_action},
        {.name = "caseless", .kind = SL_FIELD_BOOL,
         .offset = offsetof(struct sl_pii_pattern, is_caseless)},
        {.name = NULL},
    };
    struct sl_pii_rules *rules = target;
    enum sl_err err = sl_policy_expect(reader, node, JSON_ARRAY);
    if (err != SL_OK)
        return err;
    struct sl_pii_pattern *patterns =
        sl_arena_zalloc(reader->arena, json_array_size(node->value) + 1, sizeof *patterns);
    if (patterns == NULL)
        return sl_policy_no_memory(reader);
    rules->patterns = patterns;
    rules->pattern_count = 0;
    for (const struct sl_json_node *item = sl_json_first(reader->source, node); item != NULL;
         item = sl_json_next(reader->source, item)) {
        struct sl_pii_pattern *pattern = &patterns[rules->pattern_count++];
        if ((err = sl_policy_read(reader, item, fields, pattern)) != SL_OK)
            return err;
        if (pattern->name == NULL || pattern->regex == NULL)
            return sl_json_fail(reader->source, item, reader->error, "expected \"%s\", found none",
                                pattern->name == NULL ? "name" : "regex");
    }
    return SL_OK;
}

struct list_reading {
    struct sl_pii_word_list list;
};

static enum sl_err read_list_words(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                   void *target)
{
    struct list_reading *reading = target;
    return sl_policy_read_strings(reader, node, &reading->list.words, &reading->list.word_count);
}

static enum sl_err read_word_lists(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                   void *target)
{
    static const struct sl_field fields[] = {
        {.name = "name", .kind = SL_FIELD_STRING, .offset = offsetof(struct list_reading, list.name)},
        {.name = "words", .kind = SL_FIELD_CUSTOM, .read = read_list_words},
        {.name = "action", .kind = SL_FIELD_CUSTOM,
         .offset = offsetof(struct list_reading, list.action), .read = read_action},
        {.name = NULL},
    };
    struct sl_pii_rules *rules = target;
    enum sl_err err = sl_policy_expect(reader, node, JSON_ARRAY);
    if (err != SL_OK)
        return err;
    struct sl_pii_word_list *lists =
        sl_arena_zalloc(reader->arena, json_array_size(node->value) + 1, sizeof *lists);
    if (lists == NULL)
        return sl_policy_no_memory(reader);
    rules->word_lists = lists;
    rules->word_list_count = 0;
    for (const struct sl_json_node *item = sl_json_first(reader->source, node); item != NULL;
         item = sl_json_next(reader->source, item)) {
        struct list_reading reading = {0};
        if ((err = sl_policy_read(reader, item, fields, &reading)) != SL_OK)
            return err;
        if (reading.list.name == NULL || reading.list.word_count == 0)
            return sl_json_fail(reader->source, item, reader->error, "expected \"%s\", found none",
                                reading.list.name == NULL ? "name" : "words");
        lists[rules->word_list_count++] = reading.list;
    }
    return SL_OK;
}

static enum sl_err read_regions(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                void *target)
{
    struct sl_pii_rules *rules = target;
    return sl_policy_read_strings(reader, node, &rules->phone_regions, &rules->phone_region_count);
}

static enum sl_err read_allowed(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                void *target)
{
    struct sl_pii_rules *rules = target;
    return sl_policy_read_strings(reader, node, &rules->allowed_values,
                                  &rules->allowed_value_count);
}

/* The key itself never stands in a policy, only the variable that holds it. */
static enum sl_err read_stable_key(struct sl_policy_reader *reader, const struct sl_json_node *node,
                                   void *target)
{
    struct sl_pii_rules *rules = target;
    enum sl_err err = sl_policy_expect(reader, node, JSON_STRING);
    if (err != SL_OK)
        return err;
    const char *key = getenv(json_string_value(node->value));
    if (key == NULL || strlen(key) < STABLE_KEY_BYTES_MIN)
        return sl_json_fail(reader->source, node, reader->error,
                            "expected the environment variable to hold at least %d bytes",
                            STABLE_KEY_BYTES_MIN);
    const char *copy = sl_arena_dup(reader->arena, sl_slice_of(key));
    if (copy == NULL)
        return sl_policy_no_memory(reader);
    rules->stable_key = sl_slice_of(copy);
    return SL_OK;
}

static const struct sl_field pii_fields[] = {
    {.name = "comment", .kind = SL_FIELD_IGNORED},
    {.name = "default", .kind = SL_FIELD_IGNORED}, /* read before the others: see read_default */
    {.name = "types", .kind = SL_FIELD_CUSTOM, .read = read_types},
    {.name = "phone_regions", .kind = SL_FIELD_CUSTOM, .read = read_regions},
    {.name = "patterns", .kind = SL_FIELD_CUSTOM, .read = read_patterns},
    {.name = "word_lists", .kind = SL_FIELD_CUSTOM, .read = read_word_lists},
    {.name = "allowed_values", .kind = SL_FIELD_CUSTOM, .read = read_allowed},
    {.name = "stable_key_env", .kind = SL_FIELD_CUSTOM, .read = read_stable_key},
    {.name = "note", .kind = SL_FIELD_STRING, .offset = RULES(note)},
    {.name = NULL},
};

/* `default`: one action for every kind that is on, or "off" for none; `types` then refine it,
 * wherever the two stand in the file. */
static enum sl_err read_default(struct sl_policy_reader *reader, const struct sl_json_node *pii,
                                struct sl_pii_rules *rules)
{
    const struct sl_json_node *node = sl_json_member(reader->source, pii, "default");
    if (node == NULL)
        return SL_OK;
    struct sl_pii_type_rule wanted = {0};
    enum sl_err err = json_is_object(node->value) ? refuse_action(reader, node, true)
                                                  : read_type_rule(reader, node, &wanted);
    if (err != SL_OK)
        return err;
    if (!wanted.is_on)
        sl_pii_rules_disable_all(rules);
    for (int i = 0; wanted.is_on && i < SL_PII_TYPE_COUNT; i++)
        rules->types[i].action = wanted.action;
    return SL_OK;
}

/* ---- compiling ---- */

/* Finds the member that the detector named, as `pii.patterns[2].regex`. */
static const struct sl_json_node *blamed_node(const struct sl_policy_reader *reader,
                                              const struct sl_json_node *node, const char *param)
{
    static const char prefix[] = "pii.";
    char name[64];
    if (node == NULL || strncmp(param, prefix, sizeof prefix - 1) != 0)
        return node;
    const char *at = param + sizeof prefix - 1;
    while (*at != '\0') {
        const struct sl_json_node *next = NULL;
        if (*at == '[') {
            unsigned long index = strtoul(at + 1, NULL, 10);
            at += strcspn(at, "]");
            at += *at == ']';
            next = json_is_array(node->value) ? sl_json_first(reader->source, node) : NULL;
            while (next != NULL && next->index != index)
                next = sl_json_next(reader->source, next);
        } else {
            at += *at == '.';
            size_t len = strcspn(at, ".[");
            snprintf(name, sizeof name, "%.*s", (int)len, at);
            at += len;
            next = sl_json_member(reader->source, node, name);
        }
        if (next == NULL)
            return node;
        node = next;
    }
    return node;
}

static enum sl_err compile(struct sl_policy_reader *reader, const struct sl_json_node *node,
                           struct sl_route *route)
{
    struct sl_policy *policy = reader->policy;
    struct sl_pii_detector **grown =
        realloc(policy->detectors, (policy->detector_count + 1) * sizeof(struct sl_pii_detector *));
    if (grown == NULL)
        return sl_policy_no_memory(reader);
    policy->detectors = grown;
    struct sl_pii_detector *detector = NULL;
    struct sl_error found = {0};
    enum sl_err err = sl_pii_detector_create(route->pii_rules, &detector, &found);
    if (err != SL_OK) {
        const struct sl_json_node *blamed = blamed_node(reader, node, found.param);
        if (blamed == NULL)
            return sl_error_set(reader->error, err, "%s: %s", sl_json_source_name(reader->source),
                                found.message);
        return sl_json_fail(reader->source, blamed, reader->error, "%s", found.message);
    }
    policy->detectors[policy->detector_count++] = detector;
    route->pii_detector = detector;
    return SL_OK;
}

enum sl_err sl_policy_read_pii(struct sl_policy_reader *reader, const struct sl_json_node *node,
                               struct sl_route *route)
{
    struct sl_pii_rules *rules = sl_arena_alloc(reader->arena, sizeof *rules);
    if (rules == NULL)
        return sl_policy_no_memory(reader);
    if (route->pii_rules != NULL)
        *rules = *route->pii_rules;
    else
        sl_pii_rules_init(rules);
    route->pii_rules = rules;
    enum sl_err err = SL_OK;
    if (node != NULL) {
        err = sl_policy_expect(reader, node, JSON_OBJECT);
        if (err == SL_OK)
            err = read_default(reader, node, rules);
        if (err == SL_OK)
            err = sl_policy_read(reader, node, pii_fields, rules);
    }
    return err == SL_OK ? compile(reader, node, route) : err;
}
