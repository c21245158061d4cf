/* SPDX-License-Identifier: Apache-2.0
 *
 * From a JSON Schema to a grammar. Owns the meaning of keywords. A keyword that cannot be enforced
 * is refused with its path: an answer that only looks checked would be worse than none.
 *
 * Three choices, each a smaller set than the schema allows and so never a wrong answer:
 *  - properties come in the order of the schema;
 *  - an object that names properties and does not say more gets no others;
 *  - white space is at most one space, or a newline and an indent.
 */
#include "constrain_compiler.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STRING_MAX 1000000u
#define INDENT_MAX 16

/* ---- errors ---- */

static void write_path(const struct path *path, char *out, size_t size)
{
    if (path == NULL) {
        snprintf(out, size, "schema");
        return;
    }
    write_path(path->parent, out, size);
    size_t len = strlen(out);
    snprintf(out + len, size - len, ".%s", path->name);
}

uint32_t sl_schema_fail(struct compiler *compiler, enum sl_err err, const struct path *path,
                        const char *format, ...)
{
    char where[96];
    char what[160];
    va_list args;
    if (compiler->err != SL_OK)
        return SL_GRAMMAR_END;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    write_path(path, where, sizeof where);
    compiler->err = sl_error_set_param(compiler->error, err, where, "%s: %s", where, what);
    return SL_GRAMMAR_END;
}

/* ---- JSON in general ---- */

uint32_t sl_schema_space(struct compiler *compiler, uint32_t next)
{
    return sl_grammar_call(compiler->grammar, compiler->space, next);
}

static uint32_t text(struct compiler *compiler, const char *literal, uint32_t next)
{
    return sl_grammar_text(compiler->grammar, sl_slice_of(literal), next);
}

static uint32_t define_space(struct compiler *compiler)
{
    struct sl_grammar *grammar = compiler->grammar;
    uint32_t rule = sl_grammar_rule(grammar);
    uint32_t indent = SL_GRAMMAR_END;
    for (int i = 0; i < INDENT_MAX; i++)
        indent = sl_grammar_split(grammar, sl_grammar_byte(grammar, ' ', indent), SL_GRAMMAR_END);
    uint32_t newline = sl_grammar_byte(grammar, '\n', indent);
    uint32_t one = sl_grammar_byte(grammar, ' ', SL_GRAMMAR_END);
    uint32_t some = sl_grammar_split(grammar, one, newline);
    sl_grammar_define(grammar, rule, sl_grammar_split(grammar, some, SL_GRAMMAR_END));
    return rule;
}

/* key : value, where `key` enters the key after its opening quote. */
static uint32_t free_member(struct compiler *compiler, uint32_t value_rule, uint32_t next)
{
    struct sl_grammar *grammar = compiler->grammar;
    uint32_t value = sl_schema_space(compiler, sl_grammar_call(grammar, value_rule, next));
    uint32_t colon = sl_schema_space(compiler, sl_grammar_byte(grammar, ':', value));
    uint32_t key = sl_grammar_string(grammar, 0, SL_GRAMMAR_UNBOUNDED, colon);
    return sl_grammar_byte(grammar, '"', key);
}

static void define_object(struct compiler *compiler)
{
    struct sl_grammar *grammar = compiler->grammar;
    uint32_t end = sl_grammar_byte(grammar, '}', SL_GRAMMAR_END);
    uint32_t loop = sl_grammar_loop(grammar);
    uint32_t after = sl_schema_space(compiler, loop);
    uint32_t member = free_member(compiler, compiler->value, after);
    uint32_t comma = sl_grammar_byte(grammar, ',', sl_schema_space(compiler, member));
    sl_grammar_close(grammar, loop, comma, end);
    uint32_t inside = sl_schema_space(compiler, sl_grammar_split(grammar, member, end));
    sl_grammar_define(grammar, compiler->object, sl_grammar_byte(grammar, '{', inside));
}

static void define_array(struct compiler *compiler)
{
    struct sl_grammar *grammar = compiler->grammar;
    uint32_t end = sl_grammar_byte(grammar, ']', SL_GRAMMAR_END);
    uint32_t loop = sl_grammar_loop(grammar);
    uint32_t item = sl_grammar_call(grammar, compiler->value, sl_schema_space(compiler, loop));
    uint32_t comma = sl_grammar_byte(grammar, ',', sl_schema_space(compiler, item));
    sl_grammar_close(grammar, loop, comma, end);
    uint32_t inside = sl_schema_space(compiler, sl_grammar_split(grammar, item, end));
    sl_grammar_define(grammar, compiler->array, sl_grammar_byte(grammar, '[', inside));
}

static uint32_t any_string(struct compiler *compiler, uint32_t next)
{
    uint32_t inside = sl_grammar_string(compiler->grammar, 0, SL_GRAMMAR_UNBOUNDED, next);
    return sl_grammar_byte(compiler->grammar, '"', inside);
}

static uint32_t boolean(struct compiler *compiler, uint32_t next)
{
    return sl_grammar_split(compiler->grammar, text(compiler, "true", next),
                            text(compiler, "false", next));
}

static void define_value(struct compiler *compiler)
{
    static const struct sl_number_bounds none = {0};
    struct sl_grammar *grammar = compiler->grammar;
    uint32_t entry = text(compiler, "null", SL_GRAMMAR_END);
    entry = sl_grammar_split(grammar, boolean(compiler, SL_GRAMMAR_END), entry);
    entry =
        sl_grammar_split(grammar, sl_grammar_number(grammar, &none, true, SL_GRAMMAR_END), entry);
    entry = sl_grammar_split(grammar, any_string(compiler, SL_GRAMMAR_END), entry);
    entry =
        sl_grammar_split(grammar, sl_grammar_call(grammar, compiler->array, SL_GRAMMAR_END), entry);
    entry = sl_grammar_split(grammar, sl_grammar_call(grammar, compiler->object, SL_GRAMMAR_END),
                             entry);
    sl_grammar_define(grammar, compiler->value, entry);
}

static void define_json(struct compiler *compiler)
{
    compiler->space = define_space(compiler);
    compiler->value = sl_grammar_rule(compiler->grammar);
    compiler->object = sl_grammar_rule(compiler->grammar);
    compiler->array = sl_grammar_rule(compiler->grammar);
    define_object(compiler);
    define_array(compiler);
    define_value(compiler);
}

/* ---- enum and const ---- */

int sl_schema_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The sorted texts in [low, high), which agree in `depth` bytes: one node a distinct byte. */
static uint32_t literal_tree(struct compiler *compiler, char **texts, size_t low, size_t high,
                             size_t depth, uint32_t next)
{
    struct sl_grammar *grammar = compiler->grammar;
    uint32_t entry = NONE;
    while (low < high && texts[low][depth] == '\0') {
        entry = next;
        low++;
    }
    while (low < high && grammar->err == SL_OK) {
        char byte = texts[low][depth];
        size_t end = low;
        while (end < high && texts[end][depth] == byte)
            end++;
        uint32_t rest = literal_tree(compiler, texts, low, end, depth + 1, next);
        uint32_t node = sl_grammar_byte(grammar, byte, rest);
        entry = entry == NONE ? node : sl_grammar_split(grammar, node, entry);
        low = end;
    }
    return entry == NONE ? next : entry;
}

static bool has_type(const json_t *type, const json_t *value);

/* One of the values, written compactly. Those of another type than the schema's are none. */
static uint32_t compile_values(struct compiler *compiler, const json_t *values, const json_t *type,
                               const struct path *path, uint32_t next)
{
    size_t count = 0;
    size_t size = json_array_size(values);
    if (size == 0 || size > CHOICES_MAX)
        return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, path, "%zu values, expected 1 to %d",
                              size, CHOICES_MAX);
    char **texts = calloc(size, sizeof *texts);
    uint32_t entry = SL_GRAMMAR_END;
    for (size_t i = 0; texts != NULL && i < size; i++) {
        const json_t *value = json_array_get(values, i);
        if (type != NULL && !has_type(type, value))
            continue;
        texts[count] = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        bool is_too_long = texts[count] != NULL && strlen(texts[count]) > 2000;
        count += texts[count] != NULL;
        if (is_too_long)
            sl_schema_fail(compiler, SL_ERR_LIMIT, path, "a value is longer than 2000 bytes");
    }
    if (texts == NULL)
        sl_schema_fail(compiler, SL_ERR_MEMORY, path, "out of memory");
    else if (count == 0)
        sl_schema_fail(compiler, SL_ERR_INVALID, path, "no value is of the type");
    if (compiler->err == SL_OK) {
        qsort(texts, count, sizeof *texts, sl_schema_compare);
        entry = literal_tree(compiler, texts, 0, count, 0, next);
    }
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
    return entry;
}

/* ---- strings ---- */

static uint32_t compile_string(struct compiler *compiler, const json_t *schema,
                               const struct path *path, uint32_t next)
{
    const json_t *pattern = json_object_get(schema, "pattern");
    const json_t *format = json_object_get(schema, "format");
    json_int_t min = json_integer_value(json_object_get(schema, "minLength"));
    const json_t *max_value = json_object_get(schema, "maxLength");
    json_int_t max = max_value != NULL ? json_integer_value(max_value) : SL_GRAMMAR_UNBOUNDED;
    bool has_length = min > 0 || max_value != NULL;
    struct sl_slice source = {json_string_value(pattern), json_string_length(pattern)};
    if (min < 0 || max < min || (max_value != NULL && max > STRING_MAX) || min > STRING_MAX)
        return sl_schema_fail(compiler, SL_ERR_INVALID, path,
                              "minLength and maxLength: expected 0 to %u", STRING_MAX);
    if (format != NULL) {
        struct path at = {path, "format", path != NULL ? path->depth + 1 : 1};
        source = sl_grammar_format(
            (struct sl_slice){json_string_value(format), json_string_length(format)});
        if (source.data == NULL || pattern != NULL)
            return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, &at,
                                  "this format cannot be enforced");
    }
    if (source.data == NULL) {
        uint32_t inside = sl_grammar_string(compiler->grammar, (uint32_t)min, (uint32_t)max, next);
        return sl_grammar_byte(compiler->grammar, '"', inside);
    }
    struct path at = {path, pattern != NULL ? "pattern" : "format",
                      path != NULL ? path->depth + 1 : 1};
    uint32_t inside;
    if (has_length)
        return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, &at, "not together with a length");
    enum sl_err err = sl_grammar_pattern(compiler->grammar, source, next, &inside);
    if (err != SL_OK)
        return sl_schema_fail(compiler, err, &at, "this pattern cannot be enforced");
    return sl_grammar_byte(compiler->grammar, '"', inside);
}

/* ---- numbers ---- */

static uint32_t compile_number(struct compiler *compiler, const json_t *schema, bool is_integer,
                               const struct path *path, uint32_t next)
{
    const json_t *min = json_object_get(schema, "minimum");
    const json_t *max = json_object_get(schema, "maximum");
    const json_t *open_min = json_object_get(schema, "exclusiveMinimum");
    const json_t *open_max = json_object_get(schema, "exclusiveMaximum");
    if ((min != NULL && open_min != NULL) || (max != NULL && open_max != NULL))
        return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, path, "two bounds on one side");
    struct sl_number_bounds bounds = {
        .has_min = min != NULL || open_min != NULL,
        .has_max = max != NULL || open_max != NULL,
        .min = json_number_value(min != NULL ? min : open_min),
        .max = json_number_value(max != NULL ? max : open_max),
        .is_min_open = open_min != NULL,
        .is_max_open = open_max != NULL,
    };
    uint32_t entry = sl_grammar_number(compiler->grammar, &bounds, !is_integer, next);
    return entry != NONE ? entry
                         : sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, path,
                                          "no whole number lies between the bounds");
}

/* ---- references ---- */

/* #, #/$defs/name, #/definitions/name, #/properties/a/items ...; NULL where it leads nowhere. */
static const json_t *resolve(const json_t *root, const char *reference)
{
    if (reference[0] != '#')
        return NULL;
    const json_t *at = root;
    reference++;
    while (*reference == '/' && at != NULL) {
        char name[256];
        size_t len = 0;
        for (reference++; *reference != '\0' && *reference != '/'; reference++) {
            char c = *reference;
            if (c == '~' && (reference[1] == '0' || reference[1] == '1'))
                c = *++reference == '0' ? '~' : '/';
            if (len < sizeof name - 1)
                name[len++] = c;
        }
        name[len] = '\0';
        at = json_is_array(at) ? json_array_get(at, (size_t)strtoul(name, NULL, 10))
                               : json_object_get(at, name);
    }
    return *reference == '\0' ? at : NULL;
}

/* The rule of a schema that is pointed to; made once, and before its body, so that it may point to
 * itself. */
static uint32_t rule_of(struct compiler *compiler, const json_t *schema, const struct path *path)
{
    for (size_t i = 0; i < compiler->known_count; i++)
        if (compiler->known[i].schema == schema)
            return compiler->known[i].rule;
    if (compiler->known_count == compiler->known_capacity) {
        size_t capacity = compiler->known_capacity == 0 ? 16 : compiler->known_capacity * 2;
        struct known *grown = realloc(compiler->known, capacity * sizeof *grown);
        if (grown == NULL)
            return sl_schema_fail(compiler, SL_ERR_MEMORY, path, "out of memory");
        compiler->known = grown;
        compiler->known_capacity = capacity;
    }
    uint32_t rule = sl_grammar_rule(compiler->grammar);
    compiler->known[compiler->known_count++] = (struct known){schema, rule};
    uint32_t start = sl_schema_node(compiler, schema, path, SL_GRAMMAR_END);
    sl_grammar_define(compiler->grammar, rule, start);
    return rule;
}

static uint32_t compile_reference(struct compiler *compiler, const char *reference,
                                  const struct path *path, uint32_t next)
{
    struct path at = {path, "$ref", path != NULL ? path->depth + 1 : 1};
    const json_t *target = resolve(compiler->root, reference);
    if (target == NULL)
        return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, &at,
                              "points to nothing in this schema");
    uint32_t rule = rule_of(compiler, target, &at);
    return sl_grammar_call(compiler->grammar, rule, next);
}

/* ---- keywords and types ---- */

static bool has_type_name(const char *type, const json_t *value)
{
    if (strcmp(type, "integer") == 0)
        return json_is_integer(value);
    if (strcmp(type, "number") == 0)
        return json_is_number(value);
    if (strcmp(type, "string") == 0)
        return json_is_string(value);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value);
    if (strcmp(type, "null") == 0)
        return json_is_null(value);
    if (strcmp(type, "array") == 0)
        return json_is_array(value);
    return strcmp(type, "object") == 0 && json_is_object(value);
}

static bool has_type(const json_t *type, const json_t *value)
{
    if (json_is_string(type))
        return has_type_name(json_string_value(type), value);
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *name = json_string_value(json_array_get(type, i));
        if (name != NULL && has_type_name(name, value))
            return true;
    }
    return false;
}

/* What each keyword must be; kinds that only describe are not looked at. */
enum keyword_kind {
    DESCRIBES,
    IS_NUMBER,
    IS_COUNT,
    IS_TEXT,
    IS_LIST,
    IS_SCHEMA,
    IS_OBJECT,
    IS_ANY
};

static const struct {
    const char *name;
    enum keyword_kind kind;
} keywords[] = {
    {"type", IS_ANY},
    {"enum", IS_LIST},
    {"const", IS_ANY},
    {"anyOf", IS_LIST},
    {"oneOf", IS_LIST},
    {"allOf", IS_LIST},
    {"$ref", IS_TEXT},
    {"$defs", IS_OBJECT},
    {"definitions", IS_OBJECT},
    {"properties", IS_OBJECT},
    {"required", IS_LIST},
    {"additionalProperties", IS_SCHEMA},
    {"items", IS_SCHEMA},
    {"prefixItems", IS_LIST},
    {"minItems", IS_COUNT},
    {"maxItems", IS_COUNT},
    {"minLength", IS_COUNT},
    {"maxLength", IS_COUNT},
    {"pattern", IS_TEXT},
    {"format", IS_TEXT},
    {"minimum", IS_NUMBER},
    {"maximum", IS_NUMBER},
    {"exclusiveMinimum", IS_NUMBER},
    {"exclusiveMaximum", IS_NUMBER},
    {"title", DESCRIBES},
    {"description", DESCRIBES},
    {"default", DESCRIBES},
    {"example", DESCRIBES},
    {"examples", DESCRIBES},
    {"$schema", DESCRIBES},
    {"$id", DESCRIBES},
    {"$comment", DESCRIBES},
    {"deprecated", DESCRIBES},
    {"readOnly", DESCRIBES},
    {"writeOnly", DESCRIBES},
};

static bool is_of_kind(const json_t *value, enum keyword_kind kind)
{
    switch (kind) {
    case IS_NUMBER:
        return json_is_number(value);
    case IS_COUNT:
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case IS_TEXT:
        return json_is_string(value);
    case IS_LIST:
        return json_is_array(value);
    case IS_SCHEMA:
        return json_is_object(value) || json_is_boolean(value);
    case IS_OBJECT:
        return json_is_object(value);
    default:
        return true;
    }
}

static void check_keyword(struct compiler *compiler, const char *name, const json_t *value,
                          const struct path *path)
{
    struct path at = {path, name, path != NULL ? path->depth + 1 : 1};
    if (strcmp(name, "uniqueItems") == 0 && json_is_false(value))
        return;
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (strcmp(name, keywords[i].name) != 0)
            continue;
        if (!is_of_kind(value, keywords[i].kind))
            sl_schema_fail(compiler, SL_ERR_INVALID, &at, "this keyword has another type of value");
        return;
    }
    sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, &at, "this keyword cannot be enforced");
}

/* Keywords that restrict and cannot be joined with `except` (anyOf, $ref, ...). */
static bool stands_alone(const json_t *schema, const char *except)
{
    static const char *const harmless[] = {"$defs", "definitions", NULL};
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        const char *name = keywords[i].name;
        bool is_harmless = keywords[i].kind == DESCRIBES || strcmp(name, except) == 0;
        for (const char *const *at = harmless; *at != NULL; at++)
            is_harmless = is_harmless || strcmp(name, *at) == 0;
        if (!is_harmless && json_object_get(schema, name) != NULL)
            return false;
    }
    return true;
}

static uint32_t compile_choice(struct compiler *compiler, const json_t *choices, const char *name,
                               const struct path *path, uint32_t next)
{
    struct path at = {path, name, path != NULL ? path->depth + 1 : 1};
    size_t count = json_array_size(choices);
    uint32_t entry = NONE;
    if (count == 0 || count > CHOICES_MAX)
        return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, &at, "%zu choices, expected 1 to %d",
                              count, CHOICES_MAX);
    for (size_t i = 0; i < count && compiler->err == SL_OK; i++) {
        uint32_t node = sl_schema_node(compiler, json_array_get(choices, i), &at, next);
        entry = entry == NONE ? node : sl_grammar_split(compiler->grammar, node, entry);
    }
    return entry;
}

static uint32_t compile_type(struct compiler *compiler, const json_t *schema, const char *type,
                             const struct path *path, uint32_t next)
{
    if (strcmp(type, "object") == 0)
        return sl_schema_object(compiler, schema, path, next);
    if (strcmp(type, "array") == 0)
        return sl_schema_array(compiler, schema, path, next);
    if (strcmp(type, "string") == 0)
        return compile_string(compiler, schema, path, next);
    if (strcmp(type, "number") == 0)
        return compile_number(compiler, schema, false, path, next);
    if (strcmp(type, "integer") == 0)
        return compile_number(compiler, schema, true, path, next);
    if (strcmp(type, "boolean") == 0)
        return boolean(compiler, next);
    if (strcmp(type, "null") == 0)
        return text(compiler, "null", next);
    struct path at = {path, "type", path != NULL ? path->depth + 1 : 1};
    return sl_schema_fail(compiler, SL_ERR_INVALID, &at, "not a type of JSON");
}

/* A schema without `type`: by the keywords that it has. */
static const char *implied_type(const json_t *schema)
{
    static const char *const hints[][2] = {
        {"properties", "object"},
        {"required", "object"},
        {"additionalProperties", "object"},
        {"items", "array"},
        {"prefixItems", "array"},
        {"minItems", "array"},
        {"maxItems", "array"},
        {"pattern", "string"},
        {"format", "string"},
        {"minLength", "string"},
        {"maxLength", "string"},
        {"minimum", "number"},
        {"maximum", "number"},
        {"exclusiveMinimum", "number"},
        {"exclusiveMaximum", "number"},
    };
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (json_object_get(schema, hints[i][0]) != NULL)
            return hints[i][1];
    return NULL;
}

static uint32_t compile_types(struct compiler *compiler, const json_t *schema,
                              const struct path *path, uint32_t next)
{
    const json_t *type = json_object_get(schema, "type");
    uint32_t entry = NONE;
    if (type == NULL) {
        const char *implied = implied_type(schema);
        return implied != NULL ? compile_type(compiler, schema, implied, path, next)
                               : sl_grammar_call(compiler->grammar, compiler->value, next);
    }
    if (json_is_string(type))
        return compile_type(compiler, schema, json_string_value(type), path, next);
    for (size_t i = 0; i < json_array_size(type) && compiler->err == SL_OK; i++) {
        const char *name = json_string_value(json_array_get(type, i));
        uint32_t node = compile_type(compiler, schema, name != NULL ? name : "", path, next);
        entry = entry == NONE ? node : sl_grammar_split(compiler->grammar, node, entry);
    }
    return entry != NONE
               ? entry
               : sl_schema_fail(compiler, SL_ERR_INVALID, path, "type: expected a name or names");
}

static uint32_t compile_const(struct compiler *compiler, const json_t *schema,
                              const struct path *path, uint32_t next)
{
    json_t *one = json_array();
    if (one == NULL || json_array_append(one, json_object_get(schema, "const")) != 0)
        sl_schema_fail(compiler, SL_ERR_MEMORY, path, "out of memory");
    uint32_t entry =
        compiler->err == SL_OK
            ? compile_values(compiler, one, json_object_get(schema, "type"), path, next)
            : SL_GRAMMAR_END;
    json_decref(one);
    return entry;
}

/* A schema that is an object: one of the forms that take it over whole, or its types. */
static uint32_t compile_keywords(struct compiler *compiler, const json_t *schema,
                                 const struct path *path, uint32_t next)
{
    static const char *const takers[] = {"$ref", "anyOf", "oneOf", "allOf"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key, value) check_keyword(compiler, key, value, path);
    if (compiler->err != SL_OK)
        return SL_GRAMMAR_END;
    for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++) {
        const json_t *taker = json_object_get(schema, takers[i]);
        struct path at = {path, takers[i], path != NULL ? path->depth + 1 : 1};
        if (taker == NULL)
            continue;
        if (!stands_alone(schema, takers[i]))
            return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, &at,
                                  "not together with other keywords");
        if (json_is_string(taker))
            return compile_reference(compiler, json_string_value(taker), path, next);
        if (strcmp(takers[i], "allOf") == 0 && json_array_size(taker) != 1)
            return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, &at, "only with one schema");
        return compile_choice(compiler, taker, takers[i], path, next);
    }
    const json_t *values = json_object_get(schema, "enum");
    if (values != NULL)
        return compile_values(compiler, values, json_object_get(schema, "type"), path, next);
    if (json_object_get(schema, "const") != NULL)
        return compile_const(compiler, schema, path, next);
    return compile_types(compiler, schema, path, next);
}

uint32_t sl_schema_node(struct compiler *compiler, const json_t *schema, const struct path *path,
                        uint32_t next)
{
    if (compiler->err != SL_OK || compiler->grammar->err != SL_OK)
        return SL_GRAMMAR_END;
    if (path != NULL && path->depth > DEPTH_MAX)
        return sl_schema_fail(compiler, SL_ERR_LIMIT, path, "nested deeper than %d", DEPTH_MAX);
    if (json_is_true(schema))
        return sl_grammar_call(compiler->grammar, compiler->value, next);
    if (!json_is_object(schema))
        return sl_schema_fail(compiler, SL_ERR_UNSUPPORTED, path, "expected an object or true");
    return compile_keywords(compiler, schema, path, next);
}

/* ---- entry points ---- */

static enum sl_err finish(struct compiler *compiler)
{
    free(compiler->known);
    if (compiler->err != SL_OK)
        return compiler->err;
    return sl_grammar_finish(compiler->grammar, compiler->error);
}

enum sl_err sl_schema_any_object(struct sl_grammar *grammar, uint32_t *root, struct sl_error *error)
{
    struct compiler compiler = {.grammar = grammar, .error = error};
    define_json(&compiler);
    *root = compiler.object;
    return finish(&compiler);
}

enum sl_err sl_schema_compile(struct sl_grammar *grammar, const json_t *schema, uint32_t *root,
                              struct sl_error *error)
{
    struct compiler compiler = {.grammar = grammar, .root = schema, .error = error};
    define_json(&compiler);
    *root = rule_of(&compiler, schema, NULL);
    return finish(&compiler);
}

/* {"name": "...", "arguments": {...}} for one tool. */
static uint32_t tool_call(struct compiler *compiler, const json_t *tool, const char *key,
                          uint32_t next)
{
    struct path at = {NULL, "tools", 1};
    const json_t *function = json_object_get(tool, "function");
    if (function == NULL)
        function = tool;
    const char *name = json_string_value(json_object_get(function, "name"));
    json_t *parameters = json_object_get(function, "parameters");
    if (name == NULL)
        return sl_schema_fail(compiler, SL_ERR_INVALID, &at, "a tool has no function.name");
    json_t *no_parameters = json_pack("{s:s, s:b}", "type", "object", "additionalProperties", 0);
    json_t *constant = json_pack("{s:s}", "const", name);
    if (no_parameters == NULL || constant == NULL)
        sl_schema_fail(compiler, SL_ERR_MEMORY, &at, "out of memory");
    struct path inside = {&at, name, 2};
    compiler->root = parameters != NULL ? parameters : no_parameters; /* of #/... */
    uint32_t end = sl_schema_space(compiler, sl_grammar_byte(compiler->grammar, '}', next));
    uint32_t arguments = sl_schema_member(compiler, key, compiler->root, &inside, end);
    uint32_t comma = sl_grammar_byte(compiler->grammar, ',', sl_schema_space(compiler, arguments));
    uint32_t after = sl_schema_space(compiler, comma);
    uint32_t entry = sl_schema_member(compiler, "name", constant, &inside, after);
    json_decref(no_parameters);
    json_decref(constant);
    return sl_grammar_byte(compiler->grammar, '{', sl_schema_space(compiler, entry));
}

static const struct {
    const char *before;
    const char *after;
    const char *key;
} forms[] = {
    [SL_TOOL_FORM_NONE] = {"", "", "arguments"},
    [SL_TOOL_FORM_HERMES] = {"<tool_call>\n", "\n</tool_call>", "arguments"},
    [SL_TOOL_FORM_LLAMA3] = {"", "", "parameters"},
    [SL_TOOL_FORM_MISTRAL] = {"[TOOL_CALLS][", "]", "arguments"},
    [SL_TOOL_FORM_PLAIN] = {"", "", "arguments"},
};

enum sl_err sl_schema_tool_call(struct sl_grammar *grammar, const json_t *tools,
                                enum sl_tool_form form, uint32_t *root, struct sl_error *error)
{
    struct compiler compiler = {.grammar = grammar, .error = error};
    struct path at = {NULL, "tools", 1};
    size_t count = json_array_size(tools);
    define_json(&compiler);
    *root = sl_grammar_rule(grammar);
    grammar->is_wrapping = true;
    uint32_t after = text(&compiler, forms[form].after, SL_GRAMMAR_END);
    grammar->is_wrapping = false;
    uint32_t entry = NONE;
    if (count == 0 || count > CHOICES_MAX)
        sl_schema_fail(&compiler, SL_ERR_INVALID, &at, "%zu tools, expected 1 to %d", count,
                       CHOICES_MAX);
    for (size_t i = 0; i < count && compiler.err == SL_OK; i++) {
        uint32_t node = tool_call(&compiler, json_array_get(tools, i), forms[form].key, after);
        entry = entry == NONE ? node : sl_grammar_split(grammar, node, entry);
    }
    grammar->is_wrapping = true;
    sl_grammar_define(grammar, *root, text(&compiler, forms[form].before, entry));
    grammar->is_wrapping = false;
    return finish(&compiler);
}
