/* SPDX-License-Identifier: Apache-2.0
 *
 * Evaluates expressions with Jinja's and Python's meaning: an attribute that is not there is
 * undefined and shows as nothing, but using something undefined further is an error; `a.b` and
 * `a['b']` look for an item and a method in different order.
 */
#include "chat_interp.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- errors and budget ---- */

struct sl_value sl_interp_fail(struct sl_interp *interp, enum sl_err err, const char *format, ...)
{
    if (interp->err == SL_OK) {
        char what[256];
        va_list args;
        va_start(args, format);
        vsnprintf(what, sizeof what, format, args);
        va_end(args);
        interp->err = sl_error_set(interp->error, err, "chat template line %u: %s", interp->line,
                                   what);
    }
    return sl_value_undefined(SL_SLICE(""));
}

struct sl_value sl_interp_memory(struct sl_interp *interp)
{
    return sl_interp_fail(interp, SL_ERR_LIMIT, "needs more memory than a template may use");
}

bool sl_interp_step(struct sl_interp *interp, uint64_t count)
{
    if (interp->err != SL_OK)
        return false;
    if (interp->steps_left < count) {
        interp->steps_left = 0;
        sl_interp_fail(interp, SL_ERR_LIMIT, "takes more steps than a template may");
        return false;
    }
    interp->steps_left -= count;
    return true;
}

/* Names of the template, cut to a length that fits a message. Values are never shown: they are the
 * user's. */
#define NAME_ARG(name) (int)((name).len < 60 ? (name).len : 60), (name).data

struct sl_value sl_interp_undefined(struct sl_interp *interp, struct sl_value value)
{
    return sl_interp_fail(interp, SL_ERR_INVALID, "'%.*s' is undefined", NAME_ARG(value.text));
}

/* ---- sequences ---- */

struct sl_slice sl_interp_text(struct sl_interp *interp, struct sl_value value)
{
    if (value.type == SL_VALUE_TEXT)
        return value.text;
    struct sl_buf buf;
    struct sl_buf *outer;
    sl_interp_capture_begin(interp, &buf, &outer);
    enum sl_err err = sl_value_write(value, &buf);
    if (err != SL_OK)
        sl_interp_fail(interp, err, "a text is too long");
    struct sl_value text = sl_interp_capture_end(interp, &buf, outer);
    return text.type == SL_VALUE_TEXT ? text.text : (struct sl_slice){"", 0};
}

bool sl_interp_add(struct sl_interp *interp, struct sl_list *list, struct sl_value value)
{
    if (!sl_interp_step(interp, 1))
        return false;
    if (sl_list_add(interp->arena, list, value))
        return true;
    sl_interp_memory(interp);
    return false;
}

static struct sl_list *characters(struct sl_interp *interp, struct sl_slice text)
{
    struct sl_list *list = sl_list_create(interp->arena, sl_text_length(text));
    for (size_t at = 0; list != NULL && at < text.len;) {
        size_t len = 1;
        while (at + len < text.len && ((unsigned char)text.data[at + len] & 0xC0) == 0x80)
            len++;
        if (!sl_interp_add(interp, list, sl_value_text((struct sl_slice){text.data + at, len})))
            return NULL;
        at += len;
    }
    if (list == NULL)
        sl_interp_memory(interp);
    return list;
}

static struct sl_list *keys(struct sl_interp *interp, const struct sl_dict *dict)
{
    struct sl_list *list = sl_list_create(interp->arena, dict->count);
    if (list == NULL)
        sl_interp_memory(interp);
    for (size_t i = 0; list != NULL && i < dict->count; i++)
        if (!sl_interp_add(interp, list, dict->pairs[i].key))
            return NULL;
    return list;
}

struct sl_list *sl_interp_items(struct sl_interp *interp, struct sl_value value)
{
    struct sl_list *list;
    switch (value.type) {
    case SL_VALUE_LIST:
        return value.list;
    case SL_VALUE_DICT:
        return keys(interp, value.dict);
    case SL_VALUE_TEXT:
        return characters(interp, value.text);
    case SL_VALUE_UNDEFINED:
        list = sl_list_create(interp->arena, 0);
        if (list == NULL)
            sl_interp_memory(interp);
        return list;
    default:
        sl_interp_fail(interp, SL_ERR_INVALID, "'%s' is not iterable", sl_value_type_name(value));
        return NULL;
    }
}

bool sl_interp_contains(struct sl_interp *interp, struct sl_value container, struct sl_value item)
{
    switch (container.type) {
    case SL_VALUE_TEXT:
        if (item.type == SL_VALUE_TEXT)
            return sl_interp_step(interp, container.text.len / 64) &&
                   sl_text_find(container.text, item.text, false) >= 0;
        sl_interp_fail(interp, SL_ERR_INVALID, "'in <string>' requires a string, not %s",
                       sl_value_type_name(item));
        return false;
    case SL_VALUE_DICT:
        return sl_interp_step(interp, container.dict->count) &&
               sl_dict_get(container.dict, item) != NULL;
    case SL_VALUE_LIST:
        for (size_t i = 0; i < container.list->count && sl_interp_step(interp, 1); i++)
            if (sl_value_equal(container.list->items[i], item))
                return true;
        return false;
    case SL_VALUE_UNDEFINED:
        return false;
    default:
        sl_interp_fail(interp, SL_ERR_INVALID, "'%s' is not a container",
                       sl_value_type_name(container));
        return false;
    }
}

/* ---- attributes and items ---- */

static struct sl_value neighbour(const struct sl_loop *loop, size_t index, const char *name)
{
    return index < loop->items->count ? loop->items->items[index]
                                      : sl_value_undefined(sl_slice_of(name));
}

static struct sl_value bind_method(struct sl_interp *interp, struct sl_value receiver,
                                   struct sl_slice name)
{
    struct sl_callable *method = sl_arena_zalloc(interp->arena, 1, sizeof *method);
    if (method == NULL)
        return sl_interp_memory(interp);
    *method = (struct sl_callable){.kind = SL_CALL_METHOD, .name = name, .receiver = receiver};
    return (struct sl_value){.type = SL_VALUE_CALLABLE, .callable = method};
}

static struct sl_value loop_attribute(struct sl_interp *interp, struct sl_value value,
                                      struct sl_slice name)
{
    const struct sl_loop *loop = value.loop;
    size_t count = loop->items->count;
    if (sl_slice_equal_text(name, "index"))
        return sl_value_int((int64_t)loop->index + 1);
    if (sl_slice_equal_text(name, "index0"))
        return sl_value_int((int64_t)loop->index);
    if (sl_slice_equal_text(name, "revindex"))
        return sl_value_int((int64_t)(count - loop->index));
    if (sl_slice_equal_text(name, "revindex0"))
        return sl_value_int((int64_t)(count - loop->index) - 1);
    if (sl_slice_equal_text(name, "first"))
        return sl_value_bool(loop->index == 0);
    if (sl_slice_equal_text(name, "last"))
        return sl_value_bool(loop->index + 1 == count);
    if (sl_slice_equal_text(name, "length"))
        return sl_value_int((int64_t)count);
    if (sl_slice_equal_text(name, "previtem"))
        return neighbour(loop, loop->index - 1, "previtem");
    if (sl_slice_equal_text(name, "nextitem"))
        return neighbour(loop, loop->index + 1, "nextitem");
    if (sl_slice_equal_text(name, "depth"))
        return sl_value_int(loop->depth + 1);
    if (sl_slice_equal_text(name, "depth0"))
        return sl_value_int(loop->depth);
    return sl_interp_has_method(value, name) ? bind_method(interp, value, name)
                                             : sl_value_undefined(name);
}

struct sl_value sl_interp_attribute(struct sl_interp *interp, struct sl_value object,
                                    struct sl_slice name)
{
    const struct sl_value *found = NULL;
    switch (object.type) {
    case SL_VALUE_UNDEFINED:
        return sl_interp_undefined(interp, object);
    case SL_VALUE_LOOP:
        return loop_attribute(interp, object, name);
    case SL_VALUE_NAMESPACE:
        found = sl_dict_get_text(object.dict, name);
        break;
    case SL_VALUE_DICT:
        if (!sl_interp_has_method(object, name))
            found = sl_dict_get_text(object.dict, name);
        break;
    case SL_VALUE_LIST:
        if (object.list->is_group && sl_slice_equal_text(name, "grouper"))
            found = &object.list->items[0];
        if (object.list->is_group && sl_slice_equal_text(name, "list"))
            found = &object.list->items[1];
        break;
    case SL_VALUE_CALLABLE:
        if (object.callable->kind == SL_CALL_MACRO && sl_slice_equal_text(name, "name"))
            return sl_value_text(object.callable->name);
        break;
    default:
        break;
    }
    if (found != NULL)
        return *found;
    return sl_interp_has_method(object, name) ? bind_method(interp, object, name)
                                              : sl_value_undefined(name);
}

static struct sl_value list_item(struct sl_interp *interp, const struct sl_list *list,
                                 struct sl_value key)
{
    int64_t index;
    if (key.type == SL_VALUE_FLOAT || !sl_value_as_int(key, &index))
        return sl_value_undefined(sl_interp_text(interp, key));
    if (index < 0)
        index += (int64_t)list->count;
    if (index < 0 || index >= (int64_t)list->count)
        return sl_value_undefined(SL_SLICE("list item"));
    return list->items[index];
}

static struct sl_value text_item(struct sl_interp *interp, struct sl_slice text,
                                 struct sl_value key)
{
    int64_t index;
    int64_t length = (int64_t)sl_text_length(text);
    if (key.type == SL_VALUE_FLOAT || !sl_value_as_int(key, &index))
        return sl_value_undefined(SL_SLICE("string item"));
    if (index < 0)
        index += length;
    if (index < 0 || index >= length)
        return sl_value_undefined(SL_SLICE("string item"));
    return sl_text_slice(interp, text, index, index + 1, 1);
}

/* a[key]: an item first, then what a.key would be. */
struct sl_value sl_interp_item(struct sl_interp *interp, struct sl_value object,
                               struct sl_value key)
{
    const struct sl_value *found = NULL;
    if (object.type == SL_VALUE_UNDEFINED)
        return sl_interp_undefined(interp, object);
    if (object.type == SL_VALUE_LIST && key.type != SL_VALUE_TEXT)
        return list_item(interp, object.list, key);
    if (object.type == SL_VALUE_TEXT && key.type != SL_VALUE_TEXT)
        return text_item(interp, object.text, key);
    if (object.type == SL_VALUE_DICT)
        found = sl_dict_get(object.dict, key);
    if (found != NULL)
        return *found;
    if (key.type == SL_VALUE_TEXT)
        return sl_interp_attribute(interp, object, key.text);
    return sl_value_undefined(sl_interp_text(interp, key));
}

/* ---- slices ---- */

/* Python's clamping of one bound. */
static int64_t clamp_bound(int64_t bound, int64_t length, int64_t step)
{
    if (bound < 0) {
        bound += length;
        if (bound < 0)
            return step < 0 ? -1 : 0;
    }
    if (bound >= length)
        return step < 0 ? length - 1 : length;
    return bound;
}

static bool eval_bound(struct sl_interp *interp, const struct sl_node *node, int64_t *out,
                       bool *is_given)
{
    *is_given = false;
    if (node == NULL)
        return true;
    struct sl_value value = sl_interp_eval(interp, node);
    if (interp->err != SL_OK || value.type == SL_VALUE_NONE)
        return interp->err == SL_OK;
    *is_given = true;
    if (value.type != SL_VALUE_FLOAT && sl_value_as_int(value, out))
        return true;
    sl_interp_fail(interp, SL_ERR_INVALID, "slice indices must be integers");
    return false;
}

static struct sl_value list_slice(struct sl_interp *interp, const struct sl_list *from,
                                  int64_t start, int64_t stop, int64_t step)
{
    struct sl_list *list = sl_list_create(interp->arena, 0);
    if (list == NULL)
        return sl_interp_memory(interp);
    list->is_tuple = from->is_tuple;
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
        if (!sl_interp_add(interp, list, from->items[i]))
            break;
    return sl_value_list(list);
}

static struct sl_value eval_slice(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value object = sl_interp_eval(interp, node->a);
    int64_t start = 0;
    int64_t stop = 0;
    int64_t step = 1;
    bool has_start;
    bool has_stop;
    bool has_step;
    if (interp->err != SL_OK || !eval_bound(interp, node->b, &start, &has_start) ||
        !eval_bound(interp, node->c, &stop, &has_stop) ||
        !eval_bound(interp, node->d, &step, &has_step))
        return object;
    if (object.type == SL_VALUE_UNDEFINED)
        return sl_interp_undefined(interp, object);
    if (object.type != SL_VALUE_LIST && object.type != SL_VALUE_TEXT)
        return sl_interp_fail(interp, SL_ERR_INVALID, "'%s' cannot be sliced",
                              sl_value_type_name(object));
    if (step == 0)
        return sl_interp_fail(interp, SL_ERR_INVALID, "slice step cannot be zero");
    bool is_list = object.type == SL_VALUE_LIST;
    int64_t length = (int64_t)(is_list ? object.list->count : sl_text_length(object.text));
    if (step > length + 1 || step < -length - 1)
        step = step < 0 ? -length - 1 : length + 1; /* the same items, and no overflow */
    start = has_start ? clamp_bound(start, length, step) : step < 0 ? length - 1 : 0;
    stop = has_stop ? clamp_bound(stop, length, step) : step < 0 ? -1 : length;
    return is_list ? list_slice(interp, object.list, start, stop, step)
                   : sl_text_slice(interp, object.text, start, stop, step);
}

/* ---- comparisons ---- */

static bool compare(struct sl_interp *interp, enum sl_operator op, struct sl_value a,
                    struct sl_value b)
{
    int order;
    switch (op) {
    case SL_OP_EQUAL:
        return sl_value_equal(a, b);
    case SL_OP_NOT_EQUAL:
        return !sl_value_equal(a, b);
    case SL_OP_IN:
        return sl_interp_contains(interp, b, a);
    case SL_OP_NOT_IN:
        return !sl_interp_contains(interp, b, a);
    default:
        break;
    }
    if (!sl_value_compare(a, b, &order)) {
        sl_interp_fail(interp, SL_ERR_INVALID, "'%s' and '%s' cannot be ordered",
                       sl_value_type_name(a), sl_value_type_name(b));
        return false;
    }
    if (op == SL_OP_LESS)
        return order < 0;
    if (op == SL_OP_LESS_EQUAL)
        return order <= 0;
    return op == SL_OP_MORE ? order > 0 : order >= 0;
}

/* a < b < c holds when each neighbouring pair does; b is evaluated once. */
static struct sl_value eval_compare(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value left = sl_interp_eval(interp, node->a);
    for (const struct sl_node *at = node->list; at != NULL && interp->err == SL_OK;
         at = at->next) {
        struct sl_value right = sl_interp_eval(interp, at->a);
        if (interp->err != SL_OK || !compare(interp, at->op, left, right))
            return sl_value_bool(false);
        left = right;
    }
    return sl_value_bool(true);
}

static struct sl_value eval_sign(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value value = sl_interp_eval(interp, node->a);
    if (interp->err != SL_OK)
        return value;
    if (!sl_value_is_number(value))
        return sl_interp_fail(interp, SL_ERR_INVALID, "bad operand type for a sign: '%s'",
                              sl_value_type_name(value));
    return sl_interp_binary(interp,
                            node->kind == SL_NODE_NEGATE ? SL_OP_SUBTRACT : SL_OP_ADD,
                            sl_value_int(0), value);
}

/* ---- literals with parts ---- */

static struct sl_value eval_list(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_list *list = sl_list_create(interp->arena, 0);
    if (list == NULL)
        return sl_interp_memory(interp);
    list->is_tuple = node->kind == SL_NODE_TUPLE;
    for (const struct sl_node *at = node->list; at != NULL; at = at->next) {
        struct sl_value value = sl_interp_eval(interp, at);
        if (interp->err != SL_OK || !sl_interp_add(interp, list, value))
            break;
    }
    return sl_value_list(list);
}

static struct sl_value eval_dict(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_dict *dict = sl_dict_create(interp->arena);
    if (dict == NULL)
        return sl_interp_memory(interp);
    for (const struct sl_node *at = node->list; at != NULL; at = at->next->next) {
        struct sl_value key = sl_interp_eval(interp, at);
        struct sl_value value = sl_interp_eval(interp, at->next);
        if (!sl_interp_step(interp, 1 + dict->count))
            break;
        if (key.type == SL_VALUE_DICT || (key.type == SL_VALUE_LIST && !key.list->is_tuple))
            return sl_interp_fail(interp, SL_ERR_INVALID, "unhashable type: '%s'",
                                  sl_value_type_name(key));
        if (!sl_dict_set(interp->arena, dict, key, value))
            return sl_interp_memory(interp);
    }
    return sl_value_dict(dict);
}

/* ---- names, calls ---- */

static struct sl_value eval_name(struct sl_interp *interp, struct sl_slice name)
{
    for (const struct sl_scope *scope = interp->scope; scope != NULL; scope = scope->parent) {
        if (!sl_interp_step(interp, scope->names->count / 8))
            return sl_value_none();
        const struct sl_value *found = sl_dict_get_text(scope->names, name);
        if (found != NULL)
            return *found;
    }
    if (!sl_interp_has_function(name))
        return sl_value_undefined(name);
    struct sl_callable *function = sl_arena_zalloc(interp->arena, 1, sizeof *function);
    if (function == NULL)
        return sl_interp_memory(interp);
    *function = (struct sl_callable){.kind = SL_CALL_FUNCTION, .name = name};
    return (struct sl_value){.type = SL_VALUE_CALLABLE, .callable = function};
}

bool sl_interp_arguments(struct sl_interp *interp, const struct sl_node *list,
                         struct sl_arguments *out)
{
    out->positional = sl_list_create(interp->arena, 0);
    out->named = sl_dict_create(interp->arena);
    if (out->positional == NULL || out->named == NULL) {
        sl_interp_memory(interp);
        return false;
    }
    for (; list != NULL; list = list->next) {
        bool is_named = list->kind == SL_NODE_KEYWORD;
        struct sl_value value = sl_interp_eval(interp, is_named ? list->a : list);
        if (interp->err != SL_OK)
            return false;
        bool fits = is_named ? sl_dict_set(interp->arena, out->named, sl_value_text(list->name),
                                           value)
                             : sl_list_add(interp->arena, out->positional, value);
        if (!fits) {
            sl_interp_memory(interp);
            return false;
        }
    }
    return true;
}

const struct sl_value *sl_argument(const struct sl_arguments *arguments, size_t index,
                                   const char *name)
{
    if (index < arguments->positional->count)
        return &arguments->positional->items[index];
    return name != NULL ? sl_dict_get_text(arguments->named, sl_slice_of(name)) : NULL;
}

static struct sl_value eval_call(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value callee = sl_interp_eval(interp, node->a);
    struct sl_arguments arguments;
    if (interp->err != SL_OK || !sl_interp_arguments(interp, node->list, &arguments))
        return callee;
    interp->line = node->line;
    return sl_interp_call(interp, callee, &arguments);
}

static struct sl_value eval_filter(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value value = sl_interp_eval(interp, node->a);
    struct sl_arguments arguments;
    if (interp->err != SL_OK || !sl_interp_arguments(interp, node->list, &arguments))
        return value;
    interp->line = node->line;
    return sl_interp_filter(interp, node->name, value, &arguments);
}

static struct sl_value eval_test(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value value = sl_interp_eval(interp, node->a);
    struct sl_arguments arguments;
    if (interp->err != SL_OK || !sl_interp_arguments(interp, node->list, &arguments))
        return value;
    interp->line = node->line;
    return sl_value_bool(sl_interp_test(interp, node->name, value, &arguments) !=
                         node->is_negated);
}

static struct sl_value eval_choice(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value condition = sl_interp_eval(interp, node->a);
    if (sl_value_is_true(condition))
        return sl_interp_eval(interp, node->b);
    return node->c != NULL ? sl_interp_eval(interp, node->c)
                           : sl_value_undefined(SL_SLICE("inline if without else"));
}

static struct sl_value eval_pair(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value left = sl_interp_eval(interp, node->a);
    if (interp->err != SL_OK)
        return left;
    if (node->kind == SL_NODE_AND)
        return sl_value_is_true(left) ? sl_interp_eval(interp, node->b) : left;
    if (node->kind == SL_NODE_OR)
        return sl_value_is_true(left) ? left : sl_interp_eval(interp, node->b);
    struct sl_value right = sl_interp_eval(interp, node->b);
    if (interp->err != SL_OK)
        return right;
    interp->line = node->line;
    if (node->kind != SL_NODE_ITEM)
        return sl_interp_binary(interp, node->op, left, right);
    struct sl_value item = sl_interp_item(interp, left, right);
    /* A key that was computed may be the user's text, which no message shows. */
    if (item.type == SL_VALUE_UNDEFINED && node->b->kind != SL_NODE_LITERAL)
        item.text = SL_SLICE("item");
    return item;
}

static struct sl_value eval_node(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value value;
    switch (node->kind) {
    case SL_NODE_LITERAL:
        return node->literal;
    case SL_NODE_NAME:
        return eval_name(interp, node->name);
    case SL_NODE_LIST:
    case SL_NODE_TUPLE:
        return eval_list(interp, node);
    case SL_NODE_DICT:
        return eval_dict(interp, node);
    case SL_NODE_ATTRIBUTE:
        value = sl_interp_eval(interp, node->a);
        interp->line = node->line;
        return interp->err == SL_OK ? sl_interp_attribute(interp, value, node->name) : value;
    case SL_NODE_SLICE:
        return eval_slice(interp, node);
    case SL_NODE_CALL:
        return eval_call(interp, node);
    case SL_NODE_FILTER:
        return eval_filter(interp, node);
    case SL_NODE_TEST:
        return eval_test(interp, node);
    case SL_NODE_NOT:
        return sl_value_bool(!sl_value_is_true(sl_interp_eval(interp, node->a)));
    case SL_NODE_NEGATE:
    case SL_NODE_PLUS:
        return eval_sign(interp, node);
    case SL_NODE_COMPARE:
        return eval_compare(interp, node);
    case SL_NODE_CHOICE:
        return eval_choice(interp, node);
    default:
        return eval_pair(interp, node);
    }
}

struct sl_value sl_interp_eval(struct sl_interp *interp, const struct sl_node *node)
{
    if (!sl_interp_step(interp, 1))
        return sl_value_none();
    interp->line = node->line;
    if (++interp->depth > SL_CHAT_DEPTH_MAX)
        sl_interp_fail(interp, SL_ERR_LIMIT, "nested too deep");
    struct sl_value value =
        interp->err == SL_OK ? eval_node(interp, node) : sl_value_none();
    interp->depth--;
    return value;
}
