/* SPDX-License-Identifier: Apache-2.0
 *
 * The parser of chat templates in the middle of its work, and the small steps that both of its
 * files take: chat_parser.c reads statements, chat_parse_expression.c expressions. Private to them.
 *
 * Invariants:
 *  1. `err` is set once; after that nothing is consumed and results mean nothing.
 *  2. `depth` bounds the recursion, so a template cannot exhaust the stack here, and the tree that
 *     it makes cannot when it is walked.
 */
#ifndef SLUICE_ENGINE_CHAT_PARSER_H
#define SLUICE_ENGINE_CHAT_PARSER_H

#include "chat_ast.h"

#include <stdio.h>

#define DEPTH_MAX 120

struct parser {
    struct sl_arena *arena;
    const struct sl_chat_token *at;
    unsigned depth;
    enum sl_err err;
    struct sl_error *error;
};

/* Each returns NULL where it failed. */
struct sl_node *sl_parse_expression(struct parser *parser);
/* Without a choice at the top, where `if` means something else. */
struct sl_node *sl_parse_or(struct parser *parser);
/* An expression, or several with commas: a tuple without brackets. */
struct sl_node *sl_parse_tuple(struct parser *parser);
/* After "|"; `value` is NULL at the head of a block's filters. */
struct sl_node *sl_parse_filter(struct parser *parser, struct sl_node *value);
/* After ".". */
struct sl_node *sl_parse_attribute(struct parser *parser, struct sl_node *object);

static inline void *fail(struct parser *parser, enum sl_err err, const char *what)
{
    if (parser->err == SL_OK)
        parser->err = sl_error_set(parser->error, err, "chat template line %u: %s",
                                   parser->at->line, what);
    return NULL;
}

static inline void *expected(struct parser *parser, const char *what)
{
    char message[160];
    struct sl_slice text = parser->at->text;
    snprintf(message, sizeof message, "expected %s before \"%.*s\"", what,
             (int)(text.len < 40 ? text.len : 40), text.len > 0 ? text.data : "");
    return fail(parser, SL_ERR_FORMAT, message);
}

static inline struct sl_node *new_node(struct parser *parser, enum sl_node_kind kind)
{
    struct sl_node *node = sl_arena_zalloc(parser->arena, 1, sizeof *node);
    if (node == NULL)
        return fail(parser, SL_ERR_LIMIT, "the template is too large");
    node->kind = kind;
    node->line = parser->at->line;
    return node;
}

static inline bool is_operator(const struct parser *parser, const char *text)
{
    return parser->at->kind == SL_CHAT_OPERATOR && sl_slice_equal_text(parser->at->text, text);
}

static inline bool is_name(const struct parser *parser, const char *text)
{
    return parser->at->kind == SL_CHAT_NAME && sl_slice_equal_text(parser->at->text, text);
}

static inline bool accept_operator(struct parser *parser, const char *text)
{
    if (parser->err != SL_OK || !is_operator(parser, text))
        return false;
    parser->at++;
    return true;
}

static inline bool accept_name(struct parser *parser, const char *text)
{
    if (parser->err != SL_OK || !is_name(parser, text))
        return false;
    parser->at++;
    return true;
}

static inline void expect_operator(struct parser *parser, const char *text)
{
    if (!accept_operator(parser, text))
        expected(parser, text);
}

static inline struct sl_slice expect_name(struct parser *parser)
{
    if (parser->err != SL_OK || parser->at->kind != SL_CHAT_NAME) {
        expected(parser, "a name");
        return (struct sl_slice){"", 0};
    }
    return parser->at++->text;
}

static inline bool enter(struct parser *parser)
{
    if (++parser->depth > DEPTH_MAX)
        fail(parser, SL_ERR_LIMIT, "nested too deep");
    return parser->err == SL_OK;
}

static inline void leave(struct parser *parser)
{
    parser->depth--;
}

#endif
