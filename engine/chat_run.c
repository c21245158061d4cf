/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs statements: output, conditions, loops, assignments, macros, captured blocks.
 *
 * Scopes are Jinja's: a loop's body is a new scope in every round, so what it sets is gone in the
 * next (namespaces are the way around); a condition is none; a macro sees what is around its
 * definition and not what is around its call.
 */
#include "chat_interp.h"

static bool set_name(struct sl_interp *interp, struct sl_slice name, struct sl_value value)
{
    if (!sl_interp_step(interp, 1 + interp->scope->names->count / 8))
        return false;
    if (sl_dict_set(interp->arena, interp->scope->names, sl_value_text(name), value))
        return true;
    sl_interp_memory(interp);
    return false;
}

/* A fresh scope inside `parent` in the caller's memory. */
static bool open_scope(struct sl_interp *interp, struct sl_scope *scope, struct sl_scope *parent)
{
    scope->parent = parent;
    scope->names = sl_dict_create(interp->arena);
    if (scope->names != NULL)
        return true;
    sl_interp_memory(interp);
    return false;
}

/* ---- capturing ---- */

void sl_interp_capture_begin(struct sl_interp *interp, struct sl_buf *buf, struct sl_buf **outer)
{
    sl_buf_init(buf, interp->capture_bytes_max);
    *outer = interp->out;
    interp->out = buf;
}

struct sl_value sl_interp_capture_end(struct sl_interp *interp, struct sl_buf *buf,
                                      struct sl_buf *outer)
{
    struct sl_value text = sl_value_text(SL_SLICE(""));
    interp->out = outer;
    if (interp->err == SL_OK && buf->len > 0)
        text = sl_text_copy(interp, sl_buf_slice(buf));
    sl_buf_wipe(buf);
    return text;
}

/* ---- assignment ---- */

static void assign_attribute(struct sl_interp *interp, const struct sl_node *target,
                             struct sl_value value)
{
    struct sl_value object = sl_interp_eval(interp, target->a);
    if (interp->err != SL_OK)
        return;
    if (object.type != SL_VALUE_NAMESPACE)
        sl_interp_fail(interp, SL_ERR_INVALID,
                       "cannot assign attribute on non-namespace object");
    else if (!sl_dict_set(interp->arena, object.dict, sl_value_text(target->name), value))
        sl_interp_memory(interp);
}

static void assign_tuple(struct sl_interp *interp, const struct sl_node *target,
                         struct sl_value value)
{
    struct sl_list *items = sl_interp_items(interp, value);
    if (items == NULL)
        return;
    size_t index = 0;
    for (const struct sl_node *at = target->list; at != NULL; at = at->next, index++)
        if (index < items->count)
            sl_interp_assign(interp, at, items->items[index]);
    if (index != items->count)
        sl_interp_fail(interp, SL_ERR_INVALID, "%zu values for %zu names", items->count, index);
}

void sl_interp_assign(struct sl_interp *interp, const struct sl_node *target,
                      struct sl_value value)
{
    if (interp->err != SL_OK)
        return;
    if (target->kind == SL_NODE_NAME)
        set_name(interp, target->name, value);
    else if (target->kind == SL_NODE_ATTRIBUTE)
        assign_attribute(interp, target, value);
    else
        assign_tuple(interp, target, value);
}

/* ---- loops ---- */

/* The items for which the condition of the loop holds; all where it has none. */
static struct sl_list *select_items(struct sl_interp *interp, const struct sl_node *node,
                                    struct sl_scope *around, struct sl_value iterable)
{
    struct sl_list *items = sl_interp_items(interp, iterable);
    if (items == NULL || node->c == NULL)
        return items;
    struct sl_list *kept = sl_list_create(interp->arena, 0);
    struct sl_scope scope;
    for (size_t i = 0; kept != NULL && i < items->count; i++) {
        if (!open_scope(interp, &scope, around))
            return NULL;
        interp->scope = &scope;
        sl_interp_assign(interp, node->a, items->items[i]);
        bool is_wanted =
            interp->err == SL_OK && sl_value_is_true(sl_interp_eval(interp, node->c));
        if (interp->err != SL_OK)
            return NULL;
        if (is_wanted && !sl_list_add(interp->arena, kept, items->items[i]))
            kept = NULL;
    }
    if (kept == NULL)
        sl_interp_memory(interp);
    return kept;
}

/* The scope lies in the arena: a macro that the body defines may outlive the round. */
static void run_round(struct sl_interp *interp, const struct sl_node *node,
                      struct sl_scope *around, struct sl_loop *loop)
{
    struct sl_scope *scope = sl_arena_alloc(interp->arena, sizeof *scope);
    if (scope == NULL) {
        sl_interp_memory(interp);
        return;
    }
    if (!open_scope(interp, scope, around))
        return;
    interp->scope = scope;
    if (set_name(interp, SL_SLICE("loop"),
                 (struct sl_value){.type = SL_VALUE_LOOP, .loop = loop}))
        sl_interp_assign(interp, node->a, loop->items->items[loop->index]);
    sl_interp_run(interp, node->body);
}

void sl_interp_loop(struct sl_interp *interp, const struct sl_node *node, struct sl_scope *scope,
                    struct sl_value iterable, unsigned depth)
{
    struct sl_scope *outer = interp->scope;
    struct sl_list *items = select_items(interp, node, scope, iterable);
    struct sl_loop *loop = sl_arena_zalloc(interp->arena, 1, sizeof *loop);
    if (loop == NULL)
        sl_interp_memory(interp);
    if (interp->err != SL_OK)
        return;
    *loop = (struct sl_loop){.items = items, .depth = depth, .node = node, .scope = scope};
    for (; loop->index < items->count && interp->err == SL_OK; loop->index++) {
        run_round(interp, node, scope, loop);
        enum sl_flow flow = interp->flow;
        interp->flow = SL_FLOW_NEXT;
        if (flow == SL_FLOW_BREAK)
            break;
    }
    interp->scope = scope;
    if (items->count == 0 && interp->err == SL_OK)
        sl_interp_run(interp, node->other);
    interp->scope = outer;
}

static void run_for(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value iterable = sl_interp_eval(interp, node->b);
    if (interp->err == SL_OK)
        sl_interp_loop(interp, node, interp->scope, iterable, 0);
}

/* ---- macros ---- */

/* Arguments that no parameter takes, for `varargs` and `kwargs`. */
static bool set_rest(struct sl_interp *interp, const struct sl_callable *macro,
                     const struct sl_arguments *arguments, size_t parameter_count)
{
    struct sl_list *varargs = sl_list_create(interp->arena, 0);
    struct sl_dict *kwargs = sl_dict_create(interp->arena);
    bool fits = varargs != NULL && kwargs != NULL;
    if (fits)
        varargs->is_tuple = true;
    for (size_t i = parameter_count; fits && i < arguments->positional->count; i++)
        fits = sl_list_add(interp->arena, varargs, arguments->positional->items[i]);
    for (size_t i = 0; fits && i < arguments->named->count; i++) {
        const struct sl_pair *pair = &arguments->named->pairs[i];
        const struct sl_node *at = macro->node->list;
        while (at != NULL && !sl_slice_equal(at->name, pair->key.text))
            at = at->next;
        if (at != NULL)
            continue;
        fits = sl_slice_equal_text(pair->key.text, "caller")
                   ? set_name(interp, SL_SLICE("caller"), pair->value)
                   : sl_dict_set(interp->arena, kwargs, pair->key, pair->value);
    }
    if (!fits) {
        sl_interp_memory(interp);
        return false;
    }
    return set_name(interp, SL_SLICE("varargs"), sl_value_list(varargs)) &&
           set_name(interp, SL_SLICE("kwargs"), sl_value_dict(kwargs));
}

static void set_parameters(struct sl_interp *interp, const struct sl_callable *macro,
                           const struct sl_arguments *arguments)
{
    size_t index = 0;
    for (const struct sl_node *at = macro->node->list; at != NULL; at = at->next, index++) {
        const struct sl_value *given = index < arguments->positional->count
                                           ? &arguments->positional->items[index]
                                           : sl_dict_get_text(arguments->named, at->name);
        struct sl_value value = sl_value_undefined(at->name);
        if (given != NULL)
            value = *given;
        else if (at->a != NULL)
            value = sl_interp_eval(interp, at->a);
        if (interp->err != SL_OK || !set_name(interp, at->name, value))
            return;
    }
    set_rest(interp, macro, arguments, index);
}

struct sl_value sl_interp_call_macro(struct sl_interp *interp, const struct sl_callable *macro,
                                     const struct sl_arguments *arguments)
{
    struct sl_scope *outer_scope = interp->scope;
    struct sl_scope *scope = sl_arena_alloc(interp->arena, sizeof *scope);
    if (scope == NULL)
        return sl_interp_memory(interp);
    if (!open_scope(interp, scope, macro->scope))
        return sl_value_none();
    struct sl_buf buf;
    struct sl_buf *outer;
    interp->scope = scope;
    sl_interp_capture_begin(interp, &buf, &outer);
    set_parameters(interp, macro, arguments);
    sl_interp_run(interp, macro->node->body);
    interp->flow = SL_FLOW_NEXT;
    interp->scope = outer_scope;
    return sl_interp_capture_end(interp, &buf, outer);
}

static struct sl_value make_macro(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_callable *macro = sl_arena_zalloc(interp->arena, 1, sizeof *macro);
    if (macro == NULL)
        return sl_interp_memory(interp);
    *macro = (struct sl_callable){
        .kind = SL_CALL_MACRO, .name = node->name, .node = node, .scope = interp->scope};
    return (struct sl_value){.type = SL_VALUE_CALLABLE, .callable = macro};
}

static void write_value(struct sl_interp *interp, struct sl_value value)
{
    if (interp->err != SL_OK)
        return;
    enum sl_err err = sl_value_write(value, interp->out);
    if (err != SL_OK)
        sl_interp_fail(interp, err, "the prompt is longer than allowed");
}

/* {% call f(x) %}body{% endcall %}: f gets the body as the macro `caller`. */
static void run_call_block(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value callee = sl_interp_eval(interp, node->a->a);
    struct sl_arguments arguments;
    if (interp->err != SL_OK || !sl_interp_arguments(interp, node->a->list, &arguments))
        return;
    struct sl_value caller = make_macro(interp, node);
    if (interp->err != SL_OK)
        return;
    if (!sl_dict_set(interp->arena, arguments.named, sl_value_text(SL_SLICE("caller")), caller)) {
        sl_interp_memory(interp);
        return;
    }
    write_value(interp, sl_interp_call(interp, callee, &arguments));
}

/* ---- blocks ---- */

/* Statements in a scope of their own. */
static void run_scoped(struct sl_interp *interp, const struct sl_node *body)
{
    struct sl_scope *outer = interp->scope;
    struct sl_scope *scope = sl_arena_alloc(interp->arena, sizeof *scope);
    if (scope == NULL) {
        sl_interp_memory(interp);
        return;
    }
    if (!open_scope(interp, scope, outer))
        return;
    interp->scope = scope;
    sl_interp_run(interp, body);
    interp->scope = outer;
}

static struct sl_value captured_body(struct sl_interp *interp, const struct sl_node *body)
{
    struct sl_buf buf;
    struct sl_buf *outer;
    sl_interp_capture_begin(interp, &buf, &outer);
    run_scoped(interp, body);
    return sl_interp_capture_end(interp, &buf, outer);
}

/* The filters of a block, innermost first; the innermost has no value of its own. */
static struct sl_value apply_filters(struct sl_interp *interp, const struct sl_node *filter,
                                     struct sl_value value)
{
    struct sl_arguments arguments;
    if (filter == NULL || interp->err != SL_OK)
        return value;
    value = apply_filters(interp, filter->a, value);
    if (interp->err != SL_OK || !sl_interp_arguments(interp, filter->list, &arguments))
        return value;
    return sl_interp_filter(interp, filter->name, value, &arguments);
}

static void run_with(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_scope *outer = interp->scope;
    struct sl_scope *scope = sl_arena_alloc(interp->arena, sizeof *scope);
    if (scope == NULL) {
        sl_interp_memory(interp);
        return;
    }
    if (!open_scope(interp, scope, outer))
        return;
    for (const struct sl_node *set = node->list; set != NULL && interp->err == SL_OK;
         set = set->next) {
        interp->scope = outer;
        struct sl_value value = sl_interp_eval(interp, set->b);
        interp->scope = scope;
        sl_interp_assign(interp, set->a, value);
    }
    interp->scope = scope;
    sl_interp_run(interp, node->body);
    interp->scope = outer;
}

static void run_if(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value condition = sl_interp_eval(interp, node->a);
    if (interp->err == SL_OK)
        sl_interp_run(interp, sl_value_is_true(condition) ? node->body : node->other);
}

static void run_statement(struct sl_interp *interp, const struct sl_node *node)
{
    struct sl_value value;
    switch (node->kind) {
    case SL_NODE_TEXT:
        write_value(interp, node->literal);
        break;
    case SL_NODE_OUTPUT:
        write_value(interp, sl_interp_eval(interp, node->a));
        break;
    case SL_NODE_IF:
        run_if(interp, node);
        break;
    case SL_NODE_FOR:
        run_for(interp, node);
        break;
    case SL_NODE_SET:
        value = sl_interp_eval(interp, node->b);
        sl_interp_assign(interp, node->a, value);
        break;
    case SL_NODE_SET_BLOCK:
        value = apply_filters(interp, node->b, captured_body(interp, node->body));
        sl_interp_assign(interp, node->a, value);
        break;
    case SL_NODE_MACRO:
        set_name(interp, node->name, make_macro(interp, node));
        break;
    case SL_NODE_CALL_BLOCK:
        run_call_block(interp, node);
        break;
    case SL_NODE_FILTER_BLOCK:
        write_value(interp, apply_filters(interp, node->b, captured_body(interp, node->body)));
        break;
    case SL_NODE_WITH:
        run_with(interp, node);
        break;
    case SL_NODE_SCOPE:
        run_scoped(interp, node->body);
        break;
    case SL_NODE_DO:
        sl_interp_eval(interp, node->a);
        break;
    default:
        interp->flow = node->kind == SL_NODE_BREAK ? SL_FLOW_BREAK : SL_FLOW_CONTINUE;
        break;
    }
}

void sl_interp_run(struct sl_interp *interp, const struct sl_node *body)
{
    if (++interp->depth > SL_CHAT_DEPTH_MAX)
        sl_interp_fail(interp, SL_ERR_LIMIT, "nested too deep");
    for (; body != NULL && interp->flow == SL_FLOW_NEXT && sl_interp_step(interp, 1);
         body = body->next) {
        interp->line = body->line;
        run_statement(interp, body);
    }
    interp->depth--;
}
