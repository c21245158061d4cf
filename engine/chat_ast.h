/* SPDX-License-Identifier: Apache-2.0
 *
 * The syntax tree of a chat template, and how a text becomes one: chat_lexer.c makes tokens,
 * chat_parser.c the tree. Private to the files chat_*.c.
 *
 * Everything lies in the template's arena and never changes after compiling.
 */
#ifndef SLUICE_ENGINE_CHAT_AST_H
#define SLUICE_ENGINE_CHAT_AST_H

#include "chat_value.h"
#include "sluice/err.h"

/* ---- tokens ---- */

enum sl_chat_token_kind {
    SL_CHAT_TEXT,         /* template data */
    SL_CHAT_OUTPUT_BEGIN, /* {{ */
    SL_CHAT_OUTPUT_END,
    SL_CHAT_BLOCK_BEGIN, /* {% */
    SL_CHAT_BLOCK_END,
    SL_CHAT_NAME,
    SL_CHAT_STRING, /* value.text is unescaped */
    SL_CHAT_NUMBER,
    SL_CHAT_OPERATOR, /* text is the operator */
    SL_CHAT_EOF
};

struct sl_chat_token {
    enum sl_chat_token_kind kind;
    uint32_t line;
    struct sl_slice text;
    struct sl_value value; /* STRING, NUMBER */
};

struct sl_chat_tokens {
    struct sl_chat_token *items;
    size_t count;
    size_t capacity;
};

/* `text` must outlive the tokens. Ends with SL_CHAT_EOF. */
enum sl_err sl_chat_lex(struct sl_arena *arena, struct sl_slice text,
                        struct sl_chat_tokens *tokens, struct sl_error *error) SL_MUST_CHECK;

/* ---- the tree ---- */

enum sl_node_kind {
    /* expressions: what a, b, c and list are */
    SL_NODE_LITERAL,
    SL_NODE_NAME,
    SL_NODE_LIST,  /* list: items */
    SL_NODE_TUPLE, /* list: items */
    SL_NODE_DICT,  /* list: key, value, key, value, ... */
    SL_NODE_ATTRIBUTE, /* a.name */
    SL_NODE_ITEM,      /* a[b] */
    SL_NODE_SLICE,     /* a[b:c:d] */
    SL_NODE_CALL,      /* a(list) */
    SL_NODE_KEYWORD,   /* name=a, among arguments */
    SL_NODE_FILTER,    /* a | name(list); a is NULL at the head of a filter block */
    SL_NODE_TEST,      /* a is name(list) */
    SL_NODE_NOT,
    SL_NODE_NEGATE,
    SL_NODE_PLUS,
    SL_NODE_BINARY,  /* a op b */
    SL_NODE_AND,
    SL_NODE_OR,
    SL_NODE_COMPARE, /* a, then list of SL_NODE_OPERAND */
    SL_NODE_OPERAND, /* op a */
    SL_NODE_CHOICE,  /* b if a else c */
    /* statements */
    SL_NODE_TEXT,
    SL_NODE_OUTPUT,      /* a */
    SL_NODE_IF,          /* a: condition, body, other */
    SL_NODE_FOR,         /* a: target, b: iterable, c: condition, body, other, is_recursive */
    SL_NODE_SET,         /* a: target, b: value */
    SL_NODE_SET_BLOCK,   /* a: target, b: filters, body */
    SL_NODE_MACRO,       /* name, list of SL_NODE_PARAMETER, body */
    SL_NODE_PARAMETER,   /* name, a: default */
    SL_NODE_CALL_BLOCK,  /* a: call, list of SL_NODE_PARAMETER, body */
    SL_NODE_FILTER_BLOCK, /* b: filters, body */
    SL_NODE_WITH,        /* list of SL_NODE_SET, body */
    SL_NODE_SCOPE,       /* body: block, generation */
    SL_NODE_DO,          /* a */
    SL_NODE_BREAK,
    SL_NODE_CONTINUE
};

enum sl_operator {
    SL_OP_ADD, SL_OP_SUBTRACT, SL_OP_MULTIPLY, SL_OP_DIVIDE, SL_OP_FLOOR, SL_OP_MODULO,
    SL_OP_POWER, SL_OP_CONCAT,
    SL_OP_EQUAL, SL_OP_NOT_EQUAL, SL_OP_LESS, SL_OP_LESS_EQUAL, SL_OP_MORE, SL_OP_MORE_EQUAL,
    SL_OP_IN, SL_OP_NOT_IN
};

struct sl_node {
    enum sl_node_kind kind;
    enum sl_operator op;
    uint32_t line;
    bool is_negated;   /* TEST: `is not` */
    bool is_recursive; /* FOR */
    struct sl_slice name;
    struct sl_value literal; /* LITERAL; TEXT */
    struct sl_node *a;
    struct sl_node *b;
    struct sl_node *c;
    struct sl_node *d;
    struct sl_node *list;
    struct sl_node *body;
    struct sl_node *other;
    struct sl_node *next; /* in the list that holds this node */
};

/* Errors: SL_ERR_FORMAT and SL_ERR_UNSUPPORTED with the line, SL_ERR_LIMIT, SL_ERR_MEMORY. */
enum sl_err sl_chat_parse(struct sl_arena *arena, const struct sl_chat_tokens *tokens,
                          struct sl_node **out, struct sl_error *error) SL_MUST_CHECK;

#endif
