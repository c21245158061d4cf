/* SPDX-License-Identifier: Apache-2.0
 *
 * Expressions of chat templates. Precedence, from loose to tight, as in Jinja: choice (a if b else
 * c), or, and, not, comparisons, + -, ~, * / // %, **, unary + and -, and around a primary its
 * postfixes (.name, [item], (call)) and then filters and tests.
 */
#include "chat_parser.h"

static struct sl_node *parse_unary(struct parser *parser, bool with_filters);

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
        *last = sl_parse_expression(parser);
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
        struct sl_node *key = sl_parse_expression(parser);
        expect_operator(parser, ":");
        struct sl_node *value = sl_parse_expression(parser);
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
    struct sl_node *first = sl_parse_expression(parser);
    if (first == NULL || accept_operator(parser, ")"))
        return first;
    struct sl_node **last = &first->next;
    tuple->list = first;
    while (parser->err == SL_OK && !accept_operator(parser, ")")) {
        expect_operator(parser, ",");
        if (accept_operator(parser, ")"))
            break;
        *last = sl_parse_expression(parser);
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
            argument->a = sl_parse_expression(parser);
        } else {
            argument = sl_parse_expression(parser);
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
        node->b = sl_parse_expression(parser);
    if (accept_operator(parser, ":")) {
        node->kind = SL_NODE_SLICE;
        if (!is_operator(parser, ":") && !is_operator(parser, "]"))
            node->c = sl_parse_expression(parser);
        if (accept_operator(parser, ":") && !is_operator(parser, "]"))
            node->d = sl_parse_expression(parser);
    } else if (accept_operator(parser, ",")) {
        return fail(parser, SL_ERR_UNSUPPORTED, "subscripts with a comma are not supported");
    }
    expect_operator(parser, "]");
    return node;
}

struct sl_node *sl_parse_attribute(struct parser *parser, struct sl_node *object)
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
            node = sl_parse_attribute(parser, node);
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

struct sl_node *sl_parse_filter(struct parser *parser, struct sl_node *value)
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
            node = sl_parse_filter(parser, node);
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

struct sl_node *sl_parse_or(struct parser *parser)
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

struct sl_node *sl_parse_expression(struct parser *parser)
{
    if (parser->err != SL_OK || !enter(parser))
        return NULL;
    struct sl_node *node = sl_parse_or(parser);
    unsigned links = 0;
    while (node != NULL && accept_name(parser, "if")) {
        struct sl_node *choice = new_node(parser, SL_NODE_CHOICE);
        if (choice == NULL)
            break;
        choice->b = node;
        choice->a = sl_parse_or(parser);
        if (accept_name(parser, "else"))
            choice->c = sl_parse_expression(parser);
        node = choice;
        if (++links > DEPTH_MAX)
            fail(parser, SL_ERR_LIMIT, "too long a chain");
    }
    leave(parser);
    return parser->err == SL_OK ? node : NULL;
}

struct sl_node *sl_parse_tuple(struct parser *parser)
{
    struct sl_node *first = sl_parse_expression(parser);
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
        *last = sl_parse_expression(parser);
        if (*last == NULL)
            return NULL;
        last = &(*last)->next;
    }
    return tuple;
}
