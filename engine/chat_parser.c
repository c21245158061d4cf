/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements of chat templates, from tokens to the tree. Expressions are
 * chat_parse_expression.c's.
 */
#include "chat_parser.h"

static struct sl_node *parse_body(struct parser *parser, const char *const *ends);

static void expect_block_end(struct parser *parser)
{
    if (parser->err != SL_OK)
        return;
    if (parser->at->kind != SL_CHAT_BLOCK_END)
        expected(parser, "%}");
    else
        parser->at++;
}

/* What is assigned to: a name, a name's attribute (of a namespace), or several names. */
static struct sl_node *parse_one_target(struct parser *parser)
{
    if (accept_operator(parser, "(")) {
        struct sl_node *tuple = new_node(parser, SL_NODE_TUPLE);
        struct sl_node **last = tuple != NULL ? &tuple->list : NULL;
        while (parser->err == SL_OK && !accept_operator(parser, ")")) {
            if (!enter(parser))
                return NULL;
            *last = parse_one_target(parser);
            leave(parser);
            if (*last != NULL)
                last = &(*last)->next;
            if (!is_operator(parser, ")"))
                expect_operator(parser, ",");
        }
        return tuple;
    }
    struct sl_node *node = new_node(parser, SL_NODE_NAME);
    if (node == NULL)
        return NULL;
    node->name = expect_name(parser);
    return accept_operator(parser, ".") ? sl_parse_attribute(parser, node) : node;
}

static struct sl_node *parse_target(struct parser *parser)
{
    struct sl_node *first = parse_one_target(parser);
    if (first == NULL || !is_operator(parser, ","))
        return first;
    struct sl_node *tuple = new_node(parser, SL_NODE_TUPLE);
    if (tuple == NULL)
        return NULL;
    tuple->list = first;
    struct sl_node **last = &first->next;
    while (accept_operator(parser, ",")) {
        if (!is_operator(parser, "(") &&
            (parser->at->kind != SL_CHAT_NAME || is_name(parser, "in")))
            break;
        *last = parse_one_target(parser);
        if (*last == NULL)
            return NULL;
        last = &(*last)->next;
    }
    return tuple;
}

/* After the opening tag: the statements up to one of `ends`, whose name is consumed. */
static bool accept_end(struct parser *parser, const char *const *ends, const char **which)
{
    for (; *ends != NULL; ends++) {
        if (accept_name(parser, *ends)) {
            *which = *ends;
            return true;
        }
    }
    return false;
}

/* The body up to `end`, closing tag consumed. */
static struct sl_node *parse_block(struct parser *parser, const char *end)
{
    const char *const ends[] = {end, NULL};
    const char *which;
    expect_block_end(parser);
    struct sl_node *body = parse_body(parser, ends);
    if (parser->err == SL_OK && !accept_end(parser, ends, &which))
        expected(parser, end);
    return body;
}

/* After "if" or "elif". */
static struct sl_node *parse_if(struct parser *parser)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct sl_node *node = enter(parser) ? new_node(parser, SL_NODE_IF) : NULL;
    if (node == NULL)
        return NULL;
    node->a = sl_parse_tuple(parser);
    expect_block_end(parser);
    node->body = parse_body(parser, ends);
    const char *which = NULL;
    if (parser->err == SL_OK && !accept_end(parser, ends, &which))
        return expected(parser, "endif");
    if (which == ends[0])
        node->other = parse_if(parser); /* its endif is this one's too */
    else if (which == ends[1])
        node->other = parse_block(parser, "endif");
    leave(parser);
    return node;
}

static struct sl_node *parse_for(struct parser *parser)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    struct sl_node *node = new_node(parser, SL_NODE_FOR);
    if (node == NULL)
        return NULL;
    node->a = parse_target(parser);
    if (!accept_name(parser, "in"))
        return expected(parser, "in");
    node->b = sl_parse_or(parser); /* not a choice: `if` begins the condition */
    if (is_operator(parser, ",")) {
        struct sl_node *tuple = new_node(parser, SL_NODE_TUPLE);
        if (tuple == NULL || node->b == NULL)
            return NULL;
        tuple->list = node->b;
        struct sl_node **last = &node->b->next;
        while (accept_operator(parser, ",") && (*last = sl_parse_or(parser)) != NULL)
            last = &(*last)->next;
        node->b = tuple;
    }
    if (accept_name(parser, "if"))
        node->c = sl_parse_expression(parser);
    node->is_recursive = accept_name(parser, "recursive");
    expect_block_end(parser);
    node->body = parse_body(parser, ends);
    const char *which = NULL;
    if (parser->err == SL_OK && !accept_end(parser, ends, &which))
        return expected(parser, "endfor");
    if (which == ends[0])
        node->other = parse_block(parser, "endfor");
    return node;
}

/* Filters after "|" in a tag that has a body; the innermost has no value of its own. */
static struct sl_node *parse_filter_chain(struct parser *parser)
{
    struct sl_node *node = sl_parse_filter(parser, NULL);
    unsigned links = 0;
    while (node != NULL && accept_operator(parser, "|") && ++links < DEPTH_MAX)
        node = sl_parse_filter(parser, node);
    return node;
}

static struct sl_node *parse_set(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_SET);
    if (node == NULL)
        return NULL;
    node->a = parse_target(parser);
    if (accept_operator(parser, "=")) {
        node->b = sl_parse_tuple(parser);
        return node;
    }
    node->kind = SL_NODE_SET_BLOCK;
    if (accept_operator(parser, "|"))
        node->b = parse_filter_chain(parser);
    node->body = parse_block(parser, "endset");
    return node;
}

/* After "(". */
static struct sl_node *parse_parameters(struct parser *parser)
{
    struct sl_node *first = NULL;
    struct sl_node **last = &first;
    while (parser->err == SL_OK && !accept_operator(parser, ")")) {
        if (first != NULL)
            expect_operator(parser, ",");
        if (first != NULL && accept_operator(parser, ")"))
            break;
        struct sl_node *parameter = new_node(parser, SL_NODE_PARAMETER);
        if (parameter == NULL)
            return NULL;
        parameter->name = expect_name(parser);
        if (accept_operator(parser, "="))
            parameter->a = sl_parse_expression(parser);
        *last = parameter;
        last = &parameter->next;
    }
    return first;
}

static struct sl_node *parse_macro(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_MACRO);
    if (node == NULL)
        return NULL;
    node->name = expect_name(parser);
    expect_operator(parser, "(");
    node->list = parse_parameters(parser);
    node->body = parse_block(parser, "endmacro");
    return node;
}

static struct sl_node *parse_call_block(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_CALL_BLOCK);
    if (node == NULL)
        return NULL;
    if (accept_operator(parser, "("))
        node->list = parse_parameters(parser);
    node->a = sl_parse_expression(parser);
    if (node->a != NULL && node->a->kind != SL_NODE_CALL)
        return fail(parser, SL_ERR_FORMAT, "{% call %} needs a call");
    node->body = parse_block(parser, "endcall");
    return node;
}

static struct sl_node *parse_filter_block(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_FILTER_BLOCK);
    if (node == NULL)
        return NULL;
    node->b = parse_filter_chain(parser);
    node->body = parse_block(parser, "endfilter");
    return node;
}

static struct sl_node *parse_with(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_WITH);
    if (node == NULL)
        return NULL;
    struct sl_node **last = &node->list;
    while (parser->err == SL_OK && parser->at->kind != SL_CHAT_BLOCK_END) {
        if (node->list != NULL)
            expect_operator(parser, ",");
        struct sl_node *set = new_node(parser, SL_NODE_SET);
        if (set == NULL)
            return NULL;
        set->a = parse_one_target(parser);
        expect_operator(parser, "=");
        set->b = sl_parse_expression(parser);
        *last = set;
        last = &set->next;
    }
    node->body = parse_block(parser, "endwith");
    return node;
}

static struct sl_node *parse_scope(struct parser *parser, const char *end)
{
    struct sl_node *node = new_node(parser, SL_NODE_SCOPE);
    if (node == NULL)
        return NULL;
    while (parser->at->kind == SL_CHAT_NAME) /* the block's name, scoped, required */
        parser->at++;
    node->body = parse_block(parser, end);
    if (parser->at->kind == SL_CHAT_NAME)
        parser->at++;
    return node;
}

static struct sl_node *parse_simple(struct parser *parser, enum sl_node_kind kind)
{
    struct sl_node *node = new_node(parser, kind);
    if (node != NULL && kind == SL_NODE_DO)
        node->a = sl_parse_expression(parser);
    return node;
}

/* After "{%", up to but without the last "%}". */
static struct sl_node *parse_statement(struct parser *parser)
{
    if (accept_name(parser, "if"))
        return parse_if(parser);
    if (accept_name(parser, "for"))
        return parse_for(parser);
    if (accept_name(parser, "set"))
        return parse_set(parser);
    if (accept_name(parser, "macro"))
        return parse_macro(parser);
    if (accept_name(parser, "call"))
        return parse_call_block(parser);
    if (accept_name(parser, "filter"))
        return parse_filter_block(parser);
    if (accept_name(parser, "with"))
        return parse_with(parser);
    if (accept_name(parser, "generation"))
        return parse_scope(parser, "endgeneration");
    if (accept_name(parser, "block"))
        return parse_scope(parser, "endblock");
    if (accept_name(parser, "do"))
        return parse_simple(parser, SL_NODE_DO);
    if (accept_name(parser, "break"))
        return parse_simple(parser, SL_NODE_BREAK);
    if (accept_name(parser, "continue"))
        return parse_simple(parser, SL_NODE_CONTINUE);
    if (is_name(parser, "include") || is_name(parser, "import") || is_name(parser, "from") ||
        is_name(parser, "extends"))
        return fail(parser, SL_ERR_UNSUPPORTED, "templates cannot load other templates");
    return expected(parser, "a statement");
}

static struct sl_node *parse_output(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_OUTPUT);
    if (node == NULL)
        return NULL;
    node->a = sl_parse_tuple(parser);
    if (parser->err == SL_OK && parser->at->kind != SL_CHAT_OUTPUT_END)
        return expected(parser, "}}");
    if (parser->err == SL_OK)
        parser->at++;
    return node;
}

static struct sl_node *parse_text(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_TEXT);
    if (node != NULL)
        node->literal = sl_value_text(parser->at++->text);
    return node;
}

static bool is_end(const struct parser *parser, const char *const *ends)
{
    for (; *ends != NULL; ends++)
        if (is_name(parser, *ends))
            return true;
    return false;
}

/* One piece of a body. Sets *has_ended at a tag of `ends` (its "{%" is consumed) and at the end. */
static struct sl_node *parse_piece(struct parser *parser, const char *const *ends, bool *has_ended)
{
    struct sl_node *node;
    switch (parser->at->kind) {
    case SL_CHAT_TEXT:
        return parse_text(parser);
    case SL_CHAT_OUTPUT_BEGIN:
        parser->at++;
        return parse_output(parser);
    case SL_CHAT_BLOCK_BEGIN:
        parser->at++;
        *has_ended = is_end(parser, ends);
        if (*has_ended)
            return NULL;
        node = parse_statement(parser);
        expect_block_end(parser);
        return node;
    default:
        *has_ended = true;
        return NULL;
    }
}

static struct sl_node *parse_body(struct parser *parser, const char *const *ends)
{
    struct sl_node *first = NULL;
    struct sl_node **last = &first;
    bool has_ended = false;
    if (!enter(parser))
        return NULL;
    while (parser->err == SL_OK && !has_ended) {
        *last = parse_piece(parser, ends, &has_ended);
        if (*last != NULL)
            last = &(*last)->next;
    }
    leave(parser);
    return first;
}

enum sl_err sl_chat_parse(struct sl_arena *arena, const struct sl_chat_tokens *tokens,
                          struct sl_node **out, struct sl_error *error)
{
    static const char *const none[] = {NULL};
    struct parser parser = {arena, tokens->items, 0, SL_OK, error};
    *out = parse_body(&parser, none);
    return parser.err;
}
