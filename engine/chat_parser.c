/* SPDX-License-Identifier: Apache-2.0
 *
 * From tokens to the tree. Precedence, from loose to tight, as in Jinja: choice (a if b else c),
 * or, and, not, comparisons, + -, ~, * / // %, unary - +, **, and around a primary its postfixes
 * (.name, [item], (call)) and then filters and tests.
 *
 * Invariant: `depth` bounds the recursion, so a template cannot exhaust the stack here, and the
 * tree that it makes cannot when it is walked.
 */
#include "chat_ast.h"

#include <stdio.h>

#define DEPTH_MAX 120

struct parser {
    struct sl_arena *arena;
    const struct sl_chat_token *at;
    unsigned depth;
    enum sl_err err; /* set once; parsing goes on as little as possible */
    struct sl_error *error;
};

static struct sl_node *parse_expression(struct parser *parser);
static struct sl_node *parse_unary(struct parser *parser, bool with_filters);
static struct sl_node *parse_body(struct parser *parser, const char *const *ends);

/* ---- small steps ---- */

static void *fail(struct parser *parser, enum sl_err err, const char *what)
{
    if (parser->err == SL_OK)
        parser->err = sl_error_set(parser->error, err, "chat template line %u: %s",
                                   parser->at->line, what);
    return NULL;
}

static void *expected(struct parser *parser, const char *what)
{
    char message[160];
    struct sl_slice text = parser->at->text;
    snprintf(message, sizeof message, "expected %s before \"%.*s\"", what,
             (int)(text.len < 40 ? text.len : 40), text.len > 0 ? text.data : "");
    return fail(parser, SL_ERR_FORMAT, message);
}

static struct sl_node *new_node(struct parser *parser, enum sl_node_kind kind)
{
    struct sl_node *node = sl_arena_zalloc(parser->arena, 1, sizeof *node);
    if (node == NULL)
        return fail(parser, SL_ERR_LIMIT, "the template is too large");
    node->kind = kind;
    node->line = parser->at->line;
    return node;
}

static bool is_operator(const struct parser *parser, const char *text)
{
    return parser->at->kind == SL_CHAT_OPERATOR && sl_slice_equal_text(parser->at->text, text);
}

static bool is_name(const struct parser *parser, const char *text)
{
    return parser->at->kind == SL_CHAT_NAME && sl_slice_equal_text(parser->at->text, text);
}

static bool accept_operator(struct parser *parser, const char *text)
{
    if (parser->err != SL_OK || !is_operator(parser, text))
        return false;
    parser->at++;
    return true;
}

static bool accept_name(struct parser *parser, const char *text)
{
    if (parser->err != SL_OK || !is_name(parser, text))
        return false;
    parser->at++;
    return true;
}

static void expect_operator(struct parser *parser, const char *text)
{
    if (!accept_operator(parser, text))
        expected(parser, text);
}

static struct sl_slice expect_name(struct parser *parser)
{
    if (parser->err != SL_OK || parser->at->kind != SL_CHAT_NAME) {
        expected(parser, "a name");
        return (struct sl_slice){"", 0};
    }
    return parser->at++->text;
}

static bool enter(struct parser *parser)
{
    if (++parser->depth > DEPTH_MAX)
        fail(parser, SL_ERR_LIMIT, "nested too deep");
    return parser->err == SL_OK;
}

static void leave(struct parser *parser)
{
    parser->depth--;
}

/* ---- expressions ---- */

static struct sl_node *name_or_literal(struct parser *parser)
{
    static const struct {
        const char *name;
        struct sl_value value;
    } constants[] = {
        {"true", {.type = SL_VALUE_BOOL, .boolean = true}},
        {"True", {.type = SL_VALUE_BOOL, .boolean = true}},
        {"false", {.type = SL_VALUE_BOOL}},
        {"False", {.type = SL_VALUE_BOOL}},
        {"none", {.type = SL_VALUE_NONE}},
        {"None", {.type = SL_VALUE_NONE}},
    };
    struct sl_node *node = new_node(parser, SL_NODE_NAME);
    if (node == NULL)
        return NULL;
    node->name = parser->at++->text;
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (sl_slice_equal_text(node->name, constants[i].name)) {
            node->kind = SL_NODE_LITERAL;
            node->literal = constants[i].value;
        }
    }
    return node;
}

/* Neighbouring strings are one. */
static struct sl_node *string_literal(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_LITERAL);
    if (node == NULL)
        return NULL;
    node->literal = parser->at++->value;
    while (parser->at->kind == SL_CHAT_STRING) {
        struct sl_slice left = node->literal.text;
        struct sl_slice right = parser->at++->value.text;
        char *joined = sl_arena_alloc(parser->arena, left.len + right.len + 1);
        if (joined == NULL)
            return fail(parser, SL_ERR_LIMIT, "the template is too large");
        memcpy(joined, left.data, left.len);
        memcpy(joined + left.len, right.data, right.len);
        node->literal.text = (struct sl_slice){joined, left.len + right.len};
    }
    return node;
}

/* Items up to `close`, which is consumed. A comma may follow the last. */
static void parse_items(struct parser *parser, struct sl_node *node, const char *close)
{
    struct sl_node **last = &node->list;
    while (parser->err == SL_OK && !accept_operator(parser, close)) {
        if (node->list != NULL)
            expect_operator(parser, ",");
        if (node->list != NULL && accept_operator(parser, close))
            return;
        *last = parse_expression(parser);
        if (*last != NULL)
            last = &(*last)->next;
    }
}

static struct sl_node *parse_dict(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_DICT);
    if (node == NULL)
        return NULL;
    struct sl_node **last = &node->list;
    while (parser->err == SL_OK && !accept_operator(parser, "}")) {
        if (node->list != NULL)
            expect_operator(parser, ",");
        if (node->list != NULL && accept_operator(parser, "}"))
            break;
        struct sl_node *key = parse_expression(parser);
        expect_operator(parser, ":");
        struct sl_node *value = parse_expression(parser);
        if (parser->err != SL_OK)
            break;
        *last = key;
        key->next = value;
        last = &value->next;
    }
    return node;
}

/* After "(": an expression in brackets, or a tuple where there is a comma or nothing. */
static struct sl_node *parse_brackets(struct parser *parser)
{
    struct sl_node *tuple = new_node(parser, SL_NODE_TUPLE);
    if (tuple == NULL || accept_operator(parser, ")"))
        return tuple;
    struct sl_node *first = parse_expression(parser);
    if (first == NULL || accept_operator(parser, ")"))
        return first;
    struct sl_node **last = &first->next;
    tuple->list = first;
    while (parser->err == SL_OK && !accept_operator(parser, ")")) {
        expect_operator(parser, ",");
        if (accept_operator(parser, ")"))
            break;
        *last = parse_expression(parser);
        if (*last != NULL)
            last = &(*last)->next;
    }
    return tuple;
}

static struct sl_node *parse_primary(struct parser *parser)
{
    if (parser->err != SL_OK)
        return NULL;
    struct sl_node *node;
    switch (parser->at->kind) {
    case SL_CHAT_NAME:
        return name_or_literal(parser);
    case SL_CHAT_STRING:
        return string_literal(parser);
    case SL_CHAT_NUMBER:
        node = new_node(parser, SL_NODE_LITERAL);
        if (node != NULL)
            node->literal = parser->at++->value;
        return node;
    default:
        break;
    }
    if (accept_operator(parser, "("))
        return parse_brackets(parser);
    if (accept_operator(parser, "{"))
        return parse_dict(parser);
    if (!accept_operator(parser, "["))
        return expected(parser, "an expression");
    node = new_node(parser, SL_NODE_LIST);
    if (node != NULL)
        parse_items(parser, node, "]");
    return node;
}

/* After "(": positional and keyword arguments. */
static void parse_arguments(struct parser *parser, struct sl_node *call)
{
    struct sl_node **last = &call->list;
    while (parser->err == SL_OK && !accept_operator(parser, ")")) {
        if (call->list != NULL)
            expect_operator(parser, ",");
        if (call->list != NULL && accept_operator(parser, ")"))
            return;
        if (is_operator(parser, "*") || is_operator(parser, "**")) {
            fail(parser, SL_ERR_UNSUPPORTED, "unpacked arguments (*, **) are not supported");
            return;
        }
        bool is_keyword = parser->at->kind == SL_CHAT_NAME &&
                          parser->at[1].kind == SL_CHAT_OPERATOR &&
                          sl_slice_equal_text(parser->at[1].text, "=");
        struct sl_node *argument;
        if (is_keyword) {
            argument = new_node(parser, SL_NODE_KEYWORD);
            if (argument == NULL)
                return;
            argument->name = parser->at->text;
            parser->at += 2;
            argument->a = parse_expression(parser);
        } else {
            argument = parse_expression(parser);
        }
        *last = argument;
        if (argument != NULL)
            last = &argument->next;
    }
}

/* After "[": an item or a slice. */
static struct sl_node *parse_subscript(struct parser *parser, struct sl_node *object)
{
    struct sl_node *node = new_node(parser, SL_NODE_ITEM);
    if (node == NULL)
        return NULL;
    node->a = object;
    if (!is_operator(parser, ":"))
        node->b = parse_expression(parser);
    if (accept_operator(parser, ":")) {
        node->kind = SL_NODE_SLICE;
        if (!is_operator(parser, ":") && !is_operator(parser, "]"))
            node->c = parse_expression(parser);
        if (accept_operator(parser, ":") && !is_operator(parser, "]"))
            node->d = parse_expression(parser);
    } else if (accept_operator(parser, ",")) {
        return fail(parser, SL_ERR_UNSUPPORTED, "subscripts with a comma are not supported");
    }
    expect_operator(parser, "]");
    return node;
}

static struct sl_node *parse_attribute(struct parser *parser, struct sl_node *object)
{
    if (parser->at->kind == SL_CHAT_NUMBER && parser->at->value.type == SL_VALUE_INT) {
        struct sl_node *item = new_node(parser, SL_NODE_ITEM);
        if (item == NULL)
            return NULL;
        item->a = object;
        item->b = parse_primary(parser);
        return item;
    }
    struct sl_node *node = new_node(parser, SL_NODE_ATTRIBUTE);
    if (node == NULL)
        return NULL;
    node->a = object;
    node->name = expect_name(parser);
    return node;
}

static struct sl_node *parse_call(struct parser *parser, struct sl_node *callee)
{
    struct sl_node *node = new_node(parser, SL_NODE_CALL);
    if (node == NULL)
        return NULL;
    node->a = callee;
    parse_arguments(parser, node);
    return node;
}

/* Chains make the tree deep without recursing here, so they count too. */
static struct sl_node *parse_postfix(struct parser *parser, struct sl_node *node)
{
    unsigned links = 0;
    while (node != NULL && parser->err == SL_OK) {
        if (accept_operator(parser, "."))
            node = parse_attribute(parser, node);
        else if (accept_operator(parser, "["))
            node = parse_subscript(parser, node);
        else if (accept_operator(parser, "("))
            node = parse_call(parser, node);
        else
            break;
        if (++links > DEPTH_MAX)
            return fail(parser, SL_ERR_LIMIT, "too long a chain");
    }
    return node;
}

static struct sl_node *parse_filter(struct parser *parser, struct sl_node *value)
{
    struct sl_node *node = new_node(parser, SL_NODE_FILTER);
    if (node == NULL)
        return NULL;
    node->a = value;
    node->name = expect_name(parser);
    if (accept_operator(parser, "("))
        parse_arguments(parser, node);
    return node;
}

/* May the token begin the argument of a test that has no brackets (`is divisibleby 3`)? */
static bool begins_argument(const struct parser *parser)
{
    static const char *const words[] = {"else", "or", "and", "if", "is", "in", "not"};
    if (parser->at->kind == SL_CHAT_STRING || parser->at->kind == SL_CHAT_NUMBER)
        return true;
    if (parser->at->kind == SL_CHAT_OPERATOR)
        return is_operator(parser, "[") || is_operator(parser, "{");
    if (parser->at->kind != SL_CHAT_NAME)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (is_name(parser, words[i]))
            return false;
    return true;
}

static struct sl_node *parse_test(struct parser *parser, struct sl_node *value)
{
    struct sl_node *node = new_node(parser, SL_NODE_TEST);
    if (node == NULL)
        return NULL;
    node->a = value;
    node->is_negated = accept_name(parser, "not");
    node->name = expect_name(parser);
    if (accept_operator(parser, "("))
        parse_arguments(parser, node);
    else if (begins_argument(parser))
        node->list = parse_postfix(parser, parse_primary(parser));
    return node;
}

static struct sl_node *parse_filters(struct parser *parser, struct sl_node *node)
{
    unsigned links = 0;
    while (node != NULL && parser->err == SL_OK) {
        if (accept_operator(parser, "|"))
            node = parse_filter(parser, node);
        else if (accept_name(parser, "is"))
            node = parse_test(parser, node);
        else if (accept_operator(parser, "("))
            node = parse_call(parser, node);
        else
            break;
        if (++links > DEPTH_MAX)
            return fail(parser, SL_ERR_LIMIT, "too long a chain");
    }
    return node;
}

static struct sl_node *binary(struct parser *parser, enum sl_node_kind kind, enum sl_operator op,
                              struct sl_node *left, struct sl_node *right)
{
    struct sl_node *node = new_node(parser, kind);
    if (node == NULL)
        return NULL;
    node->op = op;
    node->a = left;
    node->b = right;
    return node;
}

static struct sl_node *parse_unary(struct parser *parser, bool with_filters)
{
    if (!enter(parser))
        return NULL;
    struct sl_node *node;
    bool is_minus = accept_operator(parser, "-");
    if (is_minus || accept_operator(parser, "+")) {
        node = new_node(parser, is_minus ? SL_NODE_NEGATE : SL_NODE_PLUS);
        if (node != NULL)
            node->a = parse_unary(parser, false);
    } else {
        node = parse_primary(parser);
    }
    node = parse_postfix(parser, node);
    if (with_filters)
        node = parse_filters(parser, node);
    leave(parser);
    return node;
}

/* The levels of left-associative operators, loose to tight. */
struct level {
    const char *text;
    enum sl_operator op;
};
#define LEVELS 4
static const struct level levels[LEVELS][5] = {
    {{"+", SL_OP_ADD}, {"-", SL_OP_SUBTRACT}, {NULL, 0}},
    {{"~", SL_OP_CONCAT}, {NULL, 0}},
    {{"*", SL_OP_MULTIPLY}, {"/", SL_OP_DIVIDE}, {"//", SL_OP_FLOOR}, {"%", SL_OP_MODULO},
     {NULL, 0}},
    {{"**", SL_OP_POWER}, {NULL, 0}},
};

static bool accept_level(struct parser *parser, unsigned index, enum sl_operator *op)
{
    for (const struct level *level = levels[index]; level->text != NULL; level++) {
        if (accept_operator(parser, level->text)) {
            *op = level->op;
            return true;
        }
    }
    return false;
}

static struct sl_node *parse_level(struct parser *parser, unsigned index)
{
    if (index == LEVELS)
        return parse_unary(parser, true);
    struct sl_node *node = parse_level(parser, index + 1);
    enum sl_operator op;
    unsigned links = 0;
    while (node != NULL && accept_level(parser, index, &op)) {
        node = binary(parser, SL_NODE_BINARY, op, node, parse_level(parser, index + 1));
        if (++links > 4 * DEPTH_MAX) /* a long text may be put together from many parts */
            return fail(parser, SL_ERR_LIMIT, "too long a chain");
    }
    return node;
}

static bool accept_comparison(struct parser *parser, enum sl_operator *op)
{
    static const struct level comparisons[] = {
        {"==", SL_OP_EQUAL}, {"!=", SL_OP_NOT_EQUAL}, {"<=", SL_OP_LESS_EQUAL},
        {">=", SL_OP_MORE_EQUAL}, {"<", SL_OP_LESS}, {">", SL_OP_MORE},
    };
    for (size_t i = 0; i < sizeof comparisons / sizeof comparisons[0]; i++) {
        if (accept_operator(parser, comparisons[i].text)) {
            *op = comparisons[i].op;
            return true;
        }
    }
    if (accept_name(parser, "in")) {
        *op = SL_OP_IN;
        return true;
    }
    bool is_not_in = is_name(parser, "not") && parser->at[1].kind == SL_CHAT_NAME &&
                     sl_slice_equal_text(parser->at[1].text, "in");
    if (parser->err != SL_OK || !is_not_in)
        return false;
    parser->at += 2;
    *op = SL_OP_NOT_IN;
    return true;
}

static struct sl_node *parse_comparison(struct parser *parser)
{
    struct sl_node *first = parse_level(parser, 0);
    struct sl_node *compare = NULL;
    struct sl_node **last = NULL;
    enum sl_operator op;
    while (first != NULL && accept_comparison(parser, &op)) {
        if (compare == NULL) {
            compare = new_node(parser, SL_NODE_COMPARE);
            if (compare == NULL)
                return NULL;
            compare->a = first;
            last = &compare->list;
        }
        struct sl_node *operand = new_node(parser, SL_NODE_OPERAND);
        if (operand == NULL)
            return NULL;
        operand->op = op;
        operand->a = parse_level(parser, 0);
        *last = operand;
        last = &operand->next;
    }
    return compare != NULL ? compare : first;
}

static struct sl_node *parse_not(struct parser *parser)
{
    if (!accept_name(parser, "not"))
        return parse_comparison(parser);
    struct sl_node *node = enter(parser) ? new_node(parser, SL_NODE_NOT) : NULL;
    if (node != NULL)
        node->a = parse_not(parser);
    leave(parser);
    return node;
}

static struct sl_node *parse_and(struct parser *parser)
{
    struct sl_node *node = parse_not(parser);
    unsigned links = 0;
    while (node != NULL && accept_name(parser, "and")) {
        node = binary(parser, SL_NODE_AND, 0, node, parse_not(parser));
        if (++links > DEPTH_MAX)
            return fail(parser, SL_ERR_LIMIT, "too long a chain");
    }
    return node;
}

static struct sl_node *parse_or(struct parser *parser)
{
    struct sl_node *node = parse_and(parser);
    unsigned links = 0;
    while (node != NULL && accept_name(parser, "or")) {
        node = binary(parser, SL_NODE_OR, 0, node, parse_and(parser));
        if (++links > DEPTH_MAX)
            return fail(parser, SL_ERR_LIMIT, "too long a chain");
    }
    return node;
}

static struct sl_node *parse_expression(struct parser *parser)
{
    if (parser->err != SL_OK || !enter(parser))
        return NULL;
    struct sl_node *node = parse_or(parser);
    unsigned links = 0;
    while (node != NULL && accept_name(parser, "if")) {
        struct sl_node *choice = new_node(parser, SL_NODE_CHOICE);
        if (choice == NULL)
            break;
        choice->b = node;
        choice->a = parse_or(parser);
        if (accept_name(parser, "else"))
            choice->c = parse_expression(parser);
        node = choice;
        if (++links > DEPTH_MAX)
            fail(parser, SL_ERR_LIMIT, "too long a chain");
    }
    leave(parser);
    return parser->err == SL_OK ? node : NULL;
}

/* An expression, or several with commas: a tuple without brackets. */
static struct sl_node *parse_tuple(struct parser *parser)
{
    struct sl_node *first = parse_expression(parser);
    if (first == NULL || !is_operator(parser, ","))
        return first;
    struct sl_node *tuple = new_node(parser, SL_NODE_TUPLE);
    if (tuple == NULL)
        return NULL;
    tuple->list = first;
    struct sl_node **last = &first->next;
    while (accept_operator(parser, ",")) {
        if (parser->at->kind == SL_CHAT_BLOCK_END || parser->at->kind == SL_CHAT_OUTPUT_END)
            break;
        *last = parse_expression(parser);
        if (*last == NULL)
            return NULL;
        last = &(*last)->next;
    }
    return tuple;
}

/* ---- statements ---- */

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
    return accept_operator(parser, ".") ? parse_attribute(parser, node) : node;
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
    node->a = parse_tuple(parser);
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
    node->b = parse_or(parser); /* not a choice: `if` begins the condition */
    if (is_operator(parser, ",")) {
        struct sl_node *tuple = new_node(parser, SL_NODE_TUPLE);
        if (tuple == NULL || node->b == NULL)
            return NULL;
        tuple->list = node->b;
        struct sl_node **last = &node->b->next;
        while (accept_operator(parser, ",") && (*last = parse_or(parser)) != NULL)
            last = &(*last)->next;
        node->b = tuple;
    }
    if (accept_name(parser, "if"))
        node->c = parse_expression(parser);
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
    struct sl_node *node = parse_filter(parser, NULL);
    unsigned links = 0;
    while (node != NULL && accept_operator(parser, "|") && ++links < DEPTH_MAX)
        node = parse_filter(parser, node);
    return node;
}

static struct sl_node *parse_set(struct parser *parser)
{
    struct sl_node *node = new_node(parser, SL_NODE_SET);
    if (node == NULL)
        return NULL;
    node->a = parse_target(parser);
    if (accept_operator(parser, "=")) {
        node->b = parse_tuple(parser);
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
            parameter->a = parse_expression(parser);
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
    node->a = parse_expression(parser);
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
        set->b = parse_expression(parser);
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
        node->a = parse_expression(parser);
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
    node->a = parse_tuple(parser);
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
