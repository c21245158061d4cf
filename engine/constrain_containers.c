/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays and objects of a JSON Schema. Counts are unrolled: an array of at most n items is n nodes
 * long. The properties of an object are two chains from the last to the first, one where no member
 * was written yet and one where a comma must come.
 */
#include "constrain_compiler.h"

#include <stdlib.h>

/* ---- arrays ---- */

/* The items after the first `count`, of which at least `min` and at most `max` are left. The
 * separator is written before each but the very first. */
static uint32_t repeat_items(struct compiler *compiler, uint32_t item_rule, size_t min, size_t max,
                             bool is_bounded, uint32_t end)
{
    struct sl_grammar *grammar = compiler->grammar;
    uint32_t entry = end;
    if (!is_bounded) {
        uint32_t loop = sl_grammar_loop(grammar);
        uint32_t item = sl_grammar_call(grammar, item_rule, sl_schema_space(compiler, loop));
        uint32_t comma = sl_grammar_byte(grammar, ',', sl_schema_space(compiler, item));
        sl_grammar_close(grammar, loop, comma, end);
        entry = loop;
        max = min;
    }
    for (size_t i = max; i > 0; i--) {
        uint32_t item = sl_grammar_call(grammar, item_rule, sl_schema_space(compiler, entry));
        uint32_t comma = sl_grammar_byte(grammar, ',', sl_schema_space(compiler, item));
        entry = i > min ? sl_grammar_split(grammar, comma, end) : comma;
    }
    return entry;
}

static uint32_t item_rule(struct compiler *compiler, const json_t *items, const struct path *path)
{
    if (items == NULL || json_is_true(items))
        return compiler->value;
    uint32_t rule = sl_grammar_rule(compiler->grammar);
    struct path at = {path, "items", path != NULL ? path->depth + 1 : 1};
    uint32_t start = sl_schema_node(compiler, items, &at, SL_GRAMMAR_END);
    sl_grammar_define(compiler->grammar, rule, start);
    return rule;
}

/* Items in fixed places first; all of them are written. */
static uint32_t compile_tuple(struct compiler *compiler, const json_t *prefix,
                              const struct path *path, uint32_t entry)
{
    struct path at = {path, "prefixItems", path != NULL ? path->depth + 1 : 1};
    for (size_t i = json_array_size(prefix); i-- > 0 && compiler->err == SL_OK;) {
        uint32_t after = sl_schema_space(compiler, entry);
        entry = sl_schema_node(compiler, json_array_get(prefix, i), &at, after);
        if (i > 0)
            entry = sl_grammar_byte(compiler->grammar, ',', sl_schema_space(compiler, entry));
    }
    return entry;
}

uint32_t sl_schema_array(struct compiler *compiler, const json_t *schema, const struct path *path,
                         uint32_t next)
{
    struct sl_grammar *grammar = compiler->grammar;
    const json_t *prefix = json_object_get(schema, "prefixItems");
    const json_t *items = json_object_get(schema, "items");
    const json_t *max_value = json_object_get(schema, "maxItems");
    json_int_t min = json_integer_value(json_object_get(schema, "minItems"));
    json_int_t max = max_value != NULL ? json_integer_value(max_value) : ITEMS_MAX;
    json_int_t fixed = (json_int_t)json_array_size(prefix);
    bool has_more = !json_is_false(items) && (prefix == NULL || items != NULL);
    if (min < 0 || max < min || min > ITEMS_MAX || max > ITEMS_MAX || fixed > ITEMS_MAX)
        return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, path,
                              "minItems and maxItems: expected 0 to %d, in order", ITEMS_MAX);
    if (fixed > 0 && (max < fixed || (min > fixed && !has_more)))
        return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, path,
                              "prefixItems and the counts do not agree");
    uint32_t end = sl_grammar_byte(grammar, ']', next);
    uint32_t entry;
    if (!has_more) {
        if (min > fixed)
            return sl_schema_fail(compiler, SL_ERR_INVALID, path, "minItems without items");
        entry = fixed > 0 ? compile_tuple(compiler, prefix, path, end) : end;
    } else {
        uint32_t rule = item_rule(compiler, items, path);
        size_t used = fixed > 0 ? (size_t)fixed : 1; /* the first item has no separator */
        size_t left_min = (size_t)min > used ? (size_t)min - used : 0;
        size_t left_max = (size_t)max > used ? (size_t)max - used : 0;
        uint32_t more = repeat_items(compiler, rule, left_min, left_max, max_value != NULL, end);
        uint32_t first = sl_grammar_call(grammar, rule, sl_schema_space(compiler, more));
        if (fixed > 0)
            entry = compile_tuple(compiler, prefix, path, more);
        else if (max == 0)
            entry = end;
        else
            entry = min > 0 ? first : sl_grammar_split(grammar, first, end);
    }
    return sl_grammar_byte(grammar, '[', sl_schema_space(compiler, entry));
}

/* ---- objects ---- */

static bool is_required(const json_t *schema, const char *name)
{
    const json_t *required = json_object_get(schema, "required");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *item = json_string_value(json_array_get(required, i));
        if (item != NULL && strcmp(item, name) == 0)
            return true;
    }
    return false;
}

uint32_t sl_schema_member(struct compiler *compiler, const char *name, const json_t *schema,
                          const struct path *path, uint32_t next)
{
    json_t *string = json_string(name);
    char *quoted = string != NULL ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    uint32_t entry = SL_GRAMMAR_END;
    if (quoted == NULL) {
        sl_schema_fail(compiler, SL_ERR_INVALID, path, "a name cannot be written");
    } else {
        uint32_t value = sl_schema_space(compiler, sl_schema_node(compiler, schema, path, next));
        uint32_t colon = sl_schema_space(compiler, sl_grammar_byte(compiler->grammar, ':', value));
        entry = sl_grammar_text(compiler->grammar, sl_slice_of(quoted), colon);
    }
    free(quoted);
    json_decref(string);
    return entry;
}

/* A key that is none of `names` (quoted, sorted, agreeing in `depth` bytes): it must leave their
 * spellings at an ASCII character. Returns NONE where it cannot. */
static uint32_t other_key(struct compiler *compiler, char **names, size_t low, size_t high,
                          size_t depth, uint32_t next)
{
    struct sl_grammar *grammar = compiler->grammar;
    struct sl_byte_set leaving = {0};
    sl_byte_set_add(&leaving, 0x20, 0x7E);
    sl_byte_set_remove(&leaving, '"');
    sl_byte_set_remove(&leaving, '\\');
    uint32_t entry = NONE;
    bool is_name = false;
    while (low < high && grammar->err == SL_OK) {
        char byte = names[low][depth];
        size_t end = low;
        while (end < high && names[end][depth] == byte)
            end++;
        sl_byte_set_remove(&leaving, (uint8_t)byte);
        if (byte == '"') {
            is_name = true;
        } else {
            uint32_t rest = other_key(compiler, names, low, end, depth + 1, next);
            uint32_t node = sl_grammar_byte(grammar, byte, rest);
            entry = entry == NONE ? node : sl_grammar_split(grammar, node, entry);
        }
        low = end;
    }
    uint32_t rest = sl_grammar_string(grammar, 0, SL_GRAMMAR_UNBOUNDED, next);
    uint32_t node = sl_grammar_set(grammar, &leaving, rest);
    entry = entry == NONE ? node : sl_grammar_split(grammar, node, entry);
    if (!is_name && depth > 1)
        entry = sl_grammar_split(grammar, sl_grammar_byte(grammar, '"', next), entry);
    return entry;
}

static uint32_t other_member(struct compiler *compiler, const json_t *properties,
                             uint32_t value_rule, const struct path *path, uint32_t next)
{
    size_t size = json_object_size(properties);
    char **names = calloc(size + 1, sizeof *names);
    size_t count = 0;
    uint32_t entry = SL_GRAMMAR_END;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)properties, name, value)
    {
        json_t *string = json_string(name);
        if (names != NULL && string != NULL)
            names[count] = json_dumps(string, JSON_ENCODE_ANY);
        json_decref(string);
        if (names == NULL || names[count] == NULL)
            sl_schema_fail(compiler, SL_ERR_MEMORY, path, "out of memory");
        else
            count++;
    }
    if (compiler->err == SL_OK) {
        uint32_t call = sl_grammar_call(compiler->grammar, value_rule, next);
        uint32_t after = sl_schema_space(compiler, call);
        uint32_t colon = sl_schema_space(compiler, sl_grammar_byte(compiler->grammar, ':', after));
        qsort(names, count, sizeof *names, sl_schema_compare);
        uint32_t key = other_key(compiler, names, 0, count, 1, colon);
        entry = sl_grammar_byte(compiler->grammar, '"', key);
    }
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return entry;
}

/* The rule for values of properties that have no name in the schema; NONE where there may be
 * none. */
static uint32_t additional_rule(struct compiler *compiler, const json_t *schema,
                                const struct path *path)
{
    const json_t *additional = json_object_get(schema, "additionalProperties");
    bool has_names = json_object_size(json_object_get(schema, "properties")) > 0;
    if (json_is_false(additional) || (additional == NULL && has_names))
        return NONE;
    if (additional == NULL || json_is_true(additional))
        return compiler->value;
    uint32_t rule = sl_grammar_rule(compiler->grammar);
    struct path at = {path, "additionalProperties", path != NULL ? path->depth + 1 : 1};
    uint32_t start = sl_schema_node(compiler, additional, &at, SL_GRAMMAR_END);
    sl_grammar_define(compiler->grammar, rule, start);
    return rule;
}

/* Two chains over the properties from the last to the first: `first` where no member was written
 * yet, `after` where one was and a comma must come before the next. */
struct chains {
    uint32_t first;
    uint32_t after;
};

static struct chains additional_chains(struct compiler *compiler, const json_t *schema,
                                       uint32_t rule, const struct path *path, uint32_t end)
{
    struct sl_grammar *grammar = compiler->grammar;
    uint32_t loop = sl_grammar_loop(grammar);
    uint32_t member_end = sl_schema_space(compiler, loop);
    uint32_t member =
        other_member(compiler, json_object_get(schema, "properties"), rule, path, member_end);
    uint32_t comma = sl_grammar_byte(grammar, ',', sl_schema_space(compiler, member));
    sl_grammar_close(grammar, loop, comma, end);
    return (struct chains){sl_grammar_split(grammar, member, end), loop};
}

static struct chains property_chains(struct compiler *compiler, const char *name,
                                     const json_t *property, bool required, const struct path *path,
                                     struct chains rest)
{
    struct sl_grammar *grammar = compiler->grammar;
    struct path at = {path, name, path != NULL ? path->depth + 1 : 1};
    uint32_t rule = sl_grammar_rule(grammar);
    sl_grammar_define(grammar, rule,
                      sl_schema_member(compiler, name, property, &at, SL_GRAMMAR_END));
    uint32_t member = sl_grammar_call(grammar, rule, sl_schema_space(compiler, rest.after));
    uint32_t comma = sl_grammar_byte(grammar, ',', sl_schema_space(compiler, member));
    if (required)
        return (struct chains){member, comma};
    return (struct chains){sl_grammar_split(grammar, member, rest.first),
                           sl_grammar_split(grammar, comma, rest.after)};
}

static bool check_required(struct compiler *compiler, const json_t *schema, const struct path *path)
{
    const json_t *required = json_object_get(schema, "required");
    const json_t *properties = json_object_get(schema, "properties");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name == NULL || json_object_get(properties, name) == NULL) {
            struct path at = {path, "required", path != NULL ? path->depth + 1 : 1};
            sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, &at, "names what is not in properties");
            return false;
        }
    }
    return true;
}

uint32_t sl_schema_object(struct compiler *compiler, const json_t *schema, const struct path *path,
                          uint32_t next)
{
    struct sl_grammar *grammar = compiler->grammar;
    const json_t *properties = json_object_get(schema, "properties");
    size_t count = json_object_size(properties);
    uint32_t additional = additional_rule(compiler, schema, path);
    if (compiler->err != SL_OK || !check_required(compiler, schema, path))
        return SL_GRAMMAR_END;
    if (count == 0 && additional == compiler->value)
        return sl_grammar_call(grammar, compiler->object, next);
    if (count > CHOICES_MAX)
        return sl_schema_fail(compiler, SL_ERR_LIMIT, path, "more than %d properties", CHOICES_MAX);
    const char **names = calloc(count + 1, sizeof *names);
    if (names == NULL)
        return sl_schema_fail(compiler, SL_ERR_MEMORY, path, "out of memory");
    size_t at = 0;
    const char *name;
    json_t *property;
    json_object_foreach((json_t *)properties, name, property) names[at++] = name;
    uint32_t end = sl_grammar_byte(grammar, '}', next);
    struct chains chains = {end, end};
    if (additional != NONE)
        chains = additional_chains(compiler, schema, additional, path, end);
    while (at-- > 0 && compiler->err == SL_OK)
        chains = property_chains(compiler, names[at], json_object_get(properties, names[at]),
                                 is_required(schema, names[at]), path, chains);
    free(names);
    return sl_grammar_byte(grammar, '{', sl_schema_space(compiler, chains.first));
}
