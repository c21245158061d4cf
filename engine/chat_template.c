/* SPDX-License-Identifier: Apache-2.0
 *
 * A chat template from compiling to rendering. Owns the arena of the tree, the globals of one
 * rendering and its budget; how a template is read is chat_lexer.c's and chat_parser.c's, how it is
 * run chat_run.c's and chat_expression.c's.
 *
 * Why an interpreter and not a list of known templates: files come with templates that nobody has
 * seen, and a form that is nearly right makes a model quietly worse.
 */
#include "chat_template.h"

#include "chat_ast.h"
#include "chat_interp.h"

#include <stdlib.h>

#define TEXT_BYTES_MAX ((size_t)1 << 20)
#define TREE_BYTES_MAX ((size_t)64 << 20)
#define STEPS_DEFAULT 4000000u
#define MEMORY_DEFAULT ((size_t)64 << 20)

struct sl_chat_template {
    struct sl_arena *arena;
    struct sl_slice text; /* newlines are "\n" */
    struct sl_node *body;
};

/* ---- compiling ---- */

static bool copy_text(struct sl_chat_template *template, struct sl_slice text)
{
    char *copy = sl_arena_alloc(template->arena, text.len + 1);
    if (copy == NULL)
        return false;
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\r' && i + 1 < text.len && text.data[i + 1] == '\n')
            continue;
        copy[len++] = text.data[i] == '\r' ? '\n' : text.data[i];
    }
    template->text = (struct sl_slice){copy, len};
    return true;
}

/* Calls `visit` for each node of the list and below, until one returns false. */
typedef bool visit_fn(const struct sl_node *node, void *context);

static bool visit_all(const struct sl_node *node, visit_fn *visit, void *context)
{
    for (; node != NULL; node = node->next)
        if (!visit(node, context) || !visit_all(node->a, visit, context) ||
            !visit_all(node->b, visit, context) || !visit_all(node->c, visit, context) ||
            !visit_all(node->d, visit, context) || !visit_all(node->list, visit, context) ||
            !visit_all(node->body, visit, context) || !visit_all(node->other, visit, context))
            return false;
    return true;
}

/* Unknown filters and tests are found before a request meets them. */
static bool check_names(const struct sl_node *node, void *context)
{
    bool is_known = true;
    if (node->kind == SL_NODE_FILTER)
        is_known = sl_interp_has_filter(node->name);
    else if (node->kind == SL_NODE_TEST)
        is_known = sl_interp_has_test(node->name);
    if (!is_known)
        sl_error_set(context, SL_ERR_UNSUPPORTED, "chat template line %u: no %s named '%.*s'",
                     node->line, node->kind == SL_NODE_FILTER ? "filter" : "test",
                     (int)(node->name.len < 60 ? node->name.len : 60), node->name.data);
    return is_known;
}

static enum sl_err parse(struct sl_chat_template *template, struct sl_error *error)
{
    struct sl_chat_tokens tokens = {0};
    struct sl_error local = {0};
    if (error == NULL)
        error = &local;
    enum sl_err err = sl_chat_lex(template->arena, template->text, &tokens, error);
    if (err == SL_OK)
        err = sl_chat_parse(template->arena, &tokens, &template->body, error);
    if (err == SL_OK && !visit_all(template->body, check_names, error))
        err = SL_ERR_UNSUPPORTED;
    free(tokens.items);
    return err;
}

enum sl_err sl_chat_template_compile(struct sl_slice text, struct sl_chat_template **out,
                                     struct sl_error *error)
{
    if (text.len > TEXT_BYTES_MAX)
        return sl_error_set(error, SL_ERR_LIMIT, "chat template of %zu bytes, at most %zu",
                            text.len, TEXT_BYTES_MAX);
    struct sl_chat_template *template = calloc(1, sizeof *template);
    if (template == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    template->arena = sl_arena_create(TREE_BYTES_MAX);
    enum sl_err err = SL_ERR_MEMORY;
    if (template->arena != NULL && copy_text(template, text))
        err = parse(template, error);
    else
        sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err != SL_OK) {
        sl_chat_template_free(template);
        return err;
    }
    *out = template;
    return SL_OK;
}

void sl_chat_template_free(struct sl_chat_template *template)
{
    if (template == NULL)
        return;
    sl_arena_free(template->arena);
    free(template);
}

/* ---- rendering ---- */

static bool set_global(struct sl_interp *interp, const char *name, struct sl_value value)
{
    return sl_dict_set(interp->arena, interp->globals.names, sl_value_text(sl_slice_of(name)),
                       value);
}

static bool set_json(struct sl_interp *interp, const char *name, const json_t *json)
{
    struct sl_value value;
    return sl_value_from_json(interp->arena, json, &value) && set_global(interp, name, value);
}

/* transformers passes `tools` and `documents` always, none where there are none. */
static bool set_globals(struct sl_interp *interp, const struct sl_chat_input *input)
{
    interp->globals.names = sl_dict_create(interp->arena);
    if (interp->globals.names == NULL || !set_json(interp, "messages", input->messages))
        return false;
    bool fits = input->tools != NULL ? set_json(interp, "tools", input->tools)
                                     : set_global(interp, "tools", sl_value_none());
    fits = fits && set_global(interp, "documents", sl_value_none());
    fits = fits && set_global(interp, "add_generation_prompt",
                              sl_value_bool(input->add_generation_prompt));
    if (fits && input->bos_token.data != NULL)
        fits = set_global(interp, "bos_token", sl_value_text(input->bos_token));
    if (fits && input->eos_token.data != NULL)
        fits = set_global(interp, "eos_token", sl_value_text(input->eos_token));
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)input->extra, name, value)
        fits = fits && set_json(interp, name, value);
    return fits;
}

/* What the template sets lies in a scope of its own above the globals. */
static enum sl_err run(struct sl_interp *interp, const struct sl_chat_template *template,
                       const struct sl_chat_input *input)
{
    struct sl_scope scope = {.parent = &interp->globals};
    scope.names = sl_dict_create(interp->arena);
    if (scope.names == NULL || !set_globals(interp, input)) {
        sl_interp_memory(interp);
        return interp->err;
    }
    interp->scope = &scope;
    sl_interp_run(interp, template->body);
    return interp->err;
}

enum sl_err sl_chat_template_render(const struct sl_chat_template *template,
                                    const struct sl_chat_input *input, struct sl_buf *out,
                                    struct sl_error *error)
{
    struct tm local = {0};
    time_t now = time(NULL);
    size_t memory = input->limits.memory_bytes != 0 ? input->limits.memory_bytes : MEMORY_DEFAULT;
    struct sl_interp interp = {
        .arena = sl_arena_create_wiped(memory),
        .out = out,
        .capture_bytes_max = memory,
        .steps_left = input->limits.steps_max != 0 ? input->limits.steps_max : STEPS_DEFAULT,
        .now = input->now != NULL ? input->now : localtime_r(&now, &local),
        .error = error,
    };
    if (interp.arena == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    enum sl_err err = run(&interp, template, input);
    sl_arena_free(interp.arena);
    return err;
}

/* ---- what is known about a template ---- */

static bool is_other_name(const struct sl_node *node, void *context)
{
    return node->kind != SL_NODE_NAME || !sl_slice_equal_text(node->name, context);
}

bool sl_chat_template_reads(const struct sl_chat_template *template, const char *name)
{
    return !visit_all(template->body, is_other_name, (void *)(uintptr_t)name);
}

static bool writes(const struct sl_chat_template *template, const char *text)
{
    return memmem(template->text.data, template->text.len, text, strlen(text)) != NULL;
}

enum sl_tool_form sl_chat_template_tool_form(const struct sl_chat_template *template)
{
    if (!sl_chat_template_reads(template, "tools"))
        return SL_TOOL_FORM_NONE;
    if (writes(template, "<tool_call>") && writes(template, "arguments"))
        return SL_TOOL_FORM_HERMES;
    if (writes(template, "[TOOL_CALLS]"))
        return SL_TOOL_FORM_MISTRAL;
    if (writes(template, "\"parameters\"") || writes(template, "'parameters'"))
        return SL_TOOL_FORM_LLAMA3;
    return SL_TOOL_FORM_PLAIN;
}
