/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of the template language: making, comparing and converting them. How they are shown is
 * chat_show.c's.
 */
#include "chat_value.h"

#include <math.h>

#define NESTING_MAX 100 /* of lists and dictionaries that are compared */
/* Values compared in one go: nested lists that share parts have exponentially many. Past it they
 * count as different. */
#define COMPARISONS_MAX 1000000

const char *sl_value_type_name(struct sl_value value)
{
    static const char *const names[] = {
        [SL_VALUE_UNDEFINED] = "undefined", [SL_VALUE_NONE] = "None",
        [SL_VALUE_BOOL] = "bool",           [SL_VALUE_INT] = "int",
        [SL_VALUE_FLOAT] = "float",         [SL_VALUE_TEXT] = "str",
        [SL_VALUE_LIST] = "list",           [SL_VALUE_DICT] = "dict",
        [SL_VALUE_NAMESPACE] = "namespace", [SL_VALUE_CALLABLE] = "function",
        [SL_VALUE_LOOP] = "loop",
    };
    return names[value.type];
}

bool sl_value_is_true(struct sl_value value)
{
    switch (value.type) {
    case SL_VALUE_UNDEFINED:
    case SL_VALUE_NONE:
        return false;
    case SL_VALUE_BOOL:
        return value.boolean;
    case SL_VALUE_INT:
        return value.integer != 0;
    case SL_VALUE_FLOAT:
        return value.number != 0;
    case SL_VALUE_TEXT:
        return value.text.len > 0;
    case SL_VALUE_LIST:
        return value.list->count > 0;
    case SL_VALUE_DICT:
        return value.dict->count > 0;
    default:
        return true;
    }
}

double sl_value_as_float(struct sl_value value)
{
    switch (value.type) {
    case SL_VALUE_BOOL:
        return value.boolean;
    case SL_VALUE_INT:
        return (double)value.integer;
    case SL_VALUE_FLOAT:
        return value.number;
    default:
        return 0;
    }
}

bool sl_value_as_int(struct sl_value value, int64_t *out)
{
    if (value.type == SL_VALUE_BOOL)
        *out = value.boolean;
    else if (value.type == SL_VALUE_INT)
        *out = value.integer;
    else if (value.type == SL_VALUE_FLOAT && fabs(value.number) < 9e18 &&
             value.number == trunc(value.number))
        *out = (int64_t)value.number;
    else
        return false;
    return true;
}

static bool equal_at(struct sl_value a, struct sl_value b, int depth, unsigned *left);

static bool lists_equal(const struct sl_list *a, const struct sl_list *b, int depth,
                        unsigned *left)
{
    if (a->count != b->count || a->is_tuple != b->is_tuple)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!equal_at(a->items[i], b->items[i], depth, left))
            return false;
    return true;
}

static bool dicts_equal(const struct sl_dict *a, const struct sl_dict *b, int depth,
                        unsigned *left)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct sl_value *other = sl_dict_get(b, a->pairs[i].key);
        if (other == NULL || !equal_at(a->pairs[i].value, *other, depth, left))
            return false;
    }
    return true;
}

static bool numbers_equal(struct sl_value a, struct sl_value b)
{
    int64_t left;
    int64_t right;
    if (sl_value_as_int(a, &left) && sl_value_as_int(b, &right))
        return left == right;
    return sl_value_as_float(a) == sl_value_as_float(b);
}

static bool equal_at(struct sl_value a, struct sl_value b, int depth, unsigned *left)
{
    if (depth > NESTING_MAX || *left == 0)
        return false;
    --*left;
    if (sl_value_is_number(a) && sl_value_is_number(b))
        return numbers_equal(a, b);
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case SL_VALUE_TEXT:
        return sl_slice_equal(a.text, b.text);
    case SL_VALUE_LIST:
        return a.list == b.list || lists_equal(a.list, b.list, depth + 1, left);
    case SL_VALUE_DICT:
        return a.dict == b.dict || dicts_equal(a.dict, b.dict, depth + 1, left);
    case SL_VALUE_NAMESPACE:
        return a.dict == b.dict;
    case SL_VALUE_CALLABLE:
        return a.callable == b.callable;
    case SL_VALUE_LOOP:
        return a.loop == b.loop;
    default: /* none is none, undefined is undefined */
        return true;
    }
}

bool sl_value_equal(struct sl_value a, struct sl_value b)
{
    unsigned left = COMPARISONS_MAX;
    return equal_at(a, b, 0, &left);
}

static int compare_texts(struct sl_slice a, struct sl_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0; /* UTF-8 sorts as code points do */
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static bool compare_at(struct sl_value a, struct sl_value b, int depth, unsigned *left, int *order)
{
    if (*left == 0)
        return false;
    --*left;
    if (sl_value_is_number(a) && sl_value_is_number(b)) {
        double x = sl_value_as_float(a);
        double y = sl_value_as_float(b);
        *order = (x > y) - (x < y);
        return true;
    }
    if (a.type != b.type || depth > NESTING_MAX)
        return false;
    if (a.type == SL_VALUE_TEXT) {
        *order = compare_texts(a.text, b.text);
        return true;
    }
    if (a.type != SL_VALUE_LIST)
        return false;
    for (size_t i = 0; i < a.list->count && i < b.list->count; i++) {
        if (!compare_at(a.list->items[i], b.list->items[i], depth + 1, left, order))
            return false;
        if (*order != 0)
            return true;
    }
    *order = (a.list->count > b.list->count) - (a.list->count < b.list->count);
    return true;
}

bool sl_value_compare(struct sl_value a, struct sl_value b, int *order)
{
    unsigned left = COMPARISONS_MAX;
    return compare_at(a, b, 0, &left, order);
}

/* ---- lists and dictionaries ---- */

/* A larger copy of an array; the old one stays in the arena, at most as much again. */
static void *grow(struct sl_arena *arena, const void *items, size_t count, size_t *capacity,
                  size_t size)
{
    size_t wanted = *capacity == 0 ? 4 : *capacity * 2;
    void *grown = sl_arena_alloc(arena, wanted * size);
    if (grown == NULL)
        return NULL;
    if (count > 0)
        memcpy(grown, items, count * size);
    *capacity = wanted;
    return grown;
}

struct sl_list *sl_list_create(struct sl_arena *arena, size_t capacity)
{
    struct sl_list *list = sl_arena_zalloc(arena, 1, sizeof *list);
    if (list == NULL || capacity == 0)
        return list;
    list->items = sl_arena_zalloc(arena, capacity, sizeof *list->items);
    list->capacity = capacity;
    return list->items != NULL ? list : NULL;
}

bool sl_list_add(struct sl_arena *arena, struct sl_list *list, struct sl_value value)
{
    if (list->count == list->capacity) {
        struct sl_value *grown =
            grow(arena, list->items, list->count, &list->capacity, sizeof *grown);
        if (grown == NULL)
            return false;
        list->items = grown;
    }
    list->items[list->count++] = value;
    return true;
}

struct sl_dict *sl_dict_create(struct sl_arena *arena)
{
    return sl_arena_zalloc(arena, 1, sizeof(struct sl_dict));
}

const struct sl_value *sl_dict_get(const struct sl_dict *dict, struct sl_value key)
{
    for (size_t i = 0; i < dict->count; i++)
        if (sl_value_equal(dict->pairs[i].key, key))
            return &dict->pairs[i].value;
    return NULL;
}

const struct sl_value *sl_dict_get_text(const struct sl_dict *dict, struct sl_slice key)
{
    for (size_t i = 0; i < dict->count; i++)
        if (dict->pairs[i].key.type == SL_VALUE_TEXT &&
            sl_slice_equal(dict->pairs[i].key.text, key))
            return &dict->pairs[i].value;
    return NULL;
}

static bool dict_add(struct sl_arena *arena, struct sl_dict *dict, struct sl_pair pair)
{
    if (dict->count == dict->capacity) {
        struct sl_pair *grown =
            grow(arena, dict->pairs, dict->count, &dict->capacity, sizeof *grown);
        if (grown == NULL)
            return false;
        dict->pairs = grown;
    }
    dict->pairs[dict->count++] = pair;
    return true;
}

bool sl_dict_set(struct sl_arena *arena, struct sl_dict *dict, struct sl_value key,
                 struct sl_value value)
{
    for (size_t i = 0; i < dict->count; i++) {
        if (sl_value_equal(dict->pairs[i].key, key)) {
            dict->pairs[i].value = value;
            return true;
        }
    }
    return dict_add(arena, dict, (struct sl_pair){key, value});
}

/* ---- JSON in ---- */

static bool list_from_json(struct sl_arena *arena, const json_t *json, struct sl_value *out)
{
    struct sl_list *list = sl_list_create(arena, json_array_size(json));
    if (list == NULL)
        return false;
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)json, i, item) {
        struct sl_value value;
        if (!sl_value_from_json(arena, item, &value) || !sl_list_add(arena, list, value))
            return false;
    }
    *out = sl_value_list(list);
    return true;
}

/* Keys of a JSON object are distinct already. */
static bool dict_from_json(struct sl_arena *arena, const json_t *json, struct sl_value *out)
{
    struct sl_dict *dict = sl_dict_create(arena);
    if (dict == NULL)
        return false;
    for (void *at = json_object_iter((json_t *)json); at != NULL;
         at = json_object_iter_next((json_t *)json, at)) {
        struct sl_slice key = {json_object_iter_key(at), json_object_iter_key_len(at)};
        struct sl_pair pair = {.key = sl_value_text(key)};
        if (!sl_value_from_json(arena, json_object_iter_value(at), &pair.value) ||
            !dict_add(arena, dict, pair))
            return false;
    }
    *out = sl_value_dict(dict);
    return true;
}

/* jansson bounds the nesting of what it parsed. */
bool sl_value_from_json(struct sl_arena *arena, const json_t *json, struct sl_value *out)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return dict_from_json(arena, json, out);
    case JSON_ARRAY:
        return list_from_json(arena, json, out);
    case JSON_STRING:
        *out = sl_value_text(
            (struct sl_slice){json_string_value(json), json_string_length(json)});
        return true;
    case JSON_INTEGER:
        *out = sl_value_int(json_integer_value(json));
        return true;
    case JSON_REAL:
        *out = sl_value_float(json_real_value(json));
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = sl_value_bool(json_is_true(json));
        return true;
    default:
        *out = sl_value_none();
        return true;
    }
}
