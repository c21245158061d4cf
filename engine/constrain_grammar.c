/* SPDX-License-Identifier: Apache-2.0
 *
 * Building grammars, and the facts about them that matching needs: which bytes can follow a rule,
 * and that no rule begins with itself.
 */
#include "constrain_grammar.h"

#include <stdlib.h>

void sl_grammar_init(struct sl_grammar *grammar)
{
    *grammar = (struct sl_grammar){0};
    /* Node 0, the end of a rule; entered in the table like all others. */
    grammar->nodes = calloc(64, sizeof *grammar->nodes);
    grammar->node_capacity = grammar->nodes != NULL ? 64 : 0;
    grammar->node_count = grammar->nodes != NULL;
    grammar->err = grammar->nodes != NULL ? SL_OK : SL_ERR_MEMORY;
}

void sl_grammar_clear(struct sl_grammar *grammar)
{
    free(grammar->nodes);
    free(grammar->sets);
    free(grammar->rules);
    free(grammar->node_rules);
    *grammar = (struct sl_grammar){0};
}

static bool has_room(struct sl_grammar *grammar, void **items, uint32_t count, uint32_t *capacity,
                     uint32_t max, size_t size)
{
    if (grammar->err != SL_OK)
        return false;
    if (count < *capacity)
        return true;
    uint32_t wanted = *capacity == 0 ? 16 : *capacity * 2;
    void *grown = count < max ? realloc(*items, wanted * size) : NULL;
    if (grown == NULL) {
        grammar->err = count < max ? SL_ERR_MEMORY : SL_ERR_LIMIT;
        return false;
    }
    *items = grown;
    *capacity = wanted;
    return true;
}

static uint32_t add_node(struct sl_grammar *grammar, struct sl_grammar_node node)
{
    void *nodes = grammar->nodes;
    bool fits = has_room(grammar, &nodes, grammar->node_count, &grammar->node_capacity,
                         SL_GRAMMAR_NODES_MAX, sizeof node);
    grammar->nodes = nodes;
    if (!fits)
        return SL_GRAMMAR_END;
    node.is_wrapper = grammar->is_wrapping;
    grammar->nodes[grammar->node_count] = node;
    return grammar->node_count++;
}

uint32_t sl_grammar_rule(struct sl_grammar *grammar)
{
    void *rules = grammar->rules;
    bool fits = has_room(grammar, &rules, grammar->rule_count, &grammar->rule_capacity,
                         SL_GRAMMAR_RULES_MAX, sizeof *grammar->rules);
    grammar->rules = rules;
    if (!fits)
        return 0;
    grammar->rules[grammar->rule_count] = (struct sl_grammar_rule){0};
    return grammar->rule_count++;
}

void sl_grammar_define(struct sl_grammar *grammar, uint32_t rule, uint32_t start)
{
    if (grammar->err != SL_OK)
        return;
    grammar->rules[rule].start = start;
    grammar->rules[rule].is_defined = true;
}

uint32_t sl_grammar_byte(struct sl_grammar *grammar, char byte, uint32_t next)
{
    return add_node(grammar, (struct sl_grammar_node){
                                 .kind = SL_GRAMMAR_BYTE, .byte = (uint8_t)byte, .next = next});
}

uint32_t sl_grammar_text(struct sl_grammar *grammar, struct sl_slice text, uint32_t next)
{
    for (size_t i = text.len; i-- > 0;)
        next = sl_grammar_byte(grammar, text.data[i], next);
    return next;
}

uint32_t sl_grammar_set(struct sl_grammar *grammar, const struct sl_byte_set *set, uint32_t next)
{
    void *sets = grammar->sets;
    uint32_t index = 0;
    while (index < grammar->set_count && memcmp(&grammar->sets[index], set, sizeof *set) != 0)
        index++;
    if (index == grammar->set_count) {
        bool fits = has_room(grammar, &sets, grammar->set_count, &grammar->set_capacity,
                             SL_GRAMMAR_NODES_MAX, sizeof *set);
        grammar->sets = sets;
        if (!fits)
            return SL_GRAMMAR_END;
        grammar->sets[grammar->set_count++] = *set;
    }
    return add_node(grammar, (struct sl_grammar_node){
                                 .kind = SL_GRAMMAR_SET, .other = index, .next = next});
}

uint32_t sl_grammar_string(struct sl_grammar *grammar, uint32_t min, uint32_t max, uint32_t next)
{
    return add_node(grammar, (struct sl_grammar_node){
                                 .kind = SL_GRAMMAR_STRING, .min = min, .max = max, .next = next});
}

uint32_t sl_grammar_split(struct sl_grammar *grammar, uint32_t a, uint32_t b)
{
    return add_node(grammar,
                    (struct sl_grammar_node){.kind = SL_GRAMMAR_SPLIT, .next = a, .other = b});
}

uint32_t sl_grammar_call(struct sl_grammar *grammar, uint32_t rule, uint32_t next)
{
    return add_node(grammar,
                    (struct sl_grammar_node){.kind = SL_GRAMMAR_CALL, .next = next, .other = rule});
}

uint32_t sl_grammar_loop(struct sl_grammar *grammar)
{
    uint32_t loop = sl_grammar_split(grammar, SL_GRAMMAR_END, SL_GRAMMAR_END);
    if (grammar->err == SL_OK)
        grammar->nodes[loop].is_loop = true;
    return loop;
}

void sl_grammar_close(struct sl_grammar *grammar, uint32_t loop, uint32_t body, uint32_t exit)
{
    if (grammar->err != SL_OK)
        return;
    grammar->nodes[loop].next = body;
    grammar->nodes[loop].other = exit;
}

uint32_t sl_grammar_digits(struct sl_grammar *grammar, unsigned min, unsigned max, uint32_t next)
{
    struct sl_byte_set digits = {0};
    sl_byte_set_add(&digits, '0', '9');
    uint32_t entry = next;
    for (unsigned i = max; i > 0; i--) {
        entry = sl_grammar_set(grammar, &digits, entry);
        if (i > min)
            entry = sl_grammar_split(grammar, entry, next);
    }
    return entry;
}

/* ---- finishing ---- */

/* Which node belongs to which rule, by a walk from each start. `stack` has room for all nodes. */
static void mark_nodes(struct sl_grammar *grammar, uint32_t rule, uint32_t *stack)
{
    uint32_t count = 0;
    stack[count++] = grammar->rules[rule].start;
    while (count > 0) {
        uint32_t index = stack[--count];
        const struct sl_grammar_node *node = &grammar->nodes[index];
        if (index == SL_GRAMMAR_END || grammar->node_rules[index] != UINT32_MAX)
            continue;
        grammar->node_rules[index] = rule;
        stack[count++] = node->next;
        if (node->kind == SL_GRAMMAR_SPLIT)
            stack[count++] = node->other;
    }
}

/* One round of a fixed point over "what can begin at this node": its bytes, and whether it can
 * come to the end of its rule without any. */
struct firsts {
    struct sl_byte_set *bytes;
    bool *is_empty; /* by node */
};

static bool join(struct sl_byte_set *to, const struct sl_byte_set *from)
{
    bool has_changed = false;
    for (int i = 0; i < 4; i++) {
        has_changed = has_changed || (from->bits[i] & ~to->bits[i]) != 0;
        to->bits[i] |= from->bits[i];
    }
    return has_changed;
}

static bool join_node(const struct firsts *firsts, uint32_t to, uint32_t from)
{
    bool has_changed = join(&firsts->bytes[to], &firsts->bytes[from]);
    if (firsts->is_empty[from] && !firsts->is_empty[to]) {
        firsts->is_empty[to] = true;
        has_changed = true;
    }
    return has_changed;
}

static bool update_first(const struct sl_grammar *grammar, const struct firsts *firsts,
                         uint32_t index)
{
    const struct sl_grammar_node *node = &grammar->nodes[index];
    struct sl_byte_set own = {0};
    switch (node->kind) {
    case SL_GRAMMAR_BYTE:
        sl_byte_set_add(&own, node->byte, node->byte);
        return join(&firsts->bytes[index], &own);
    case SL_GRAMMAR_SET:
        return join(&firsts->bytes[index], &grammar->sets[node->other]);
    case SL_GRAMMAR_STRING:
        sl_byte_set_add(&own, 0x20, 0xFF);
        return join(&firsts->bytes[index], &own);
    case SL_GRAMMAR_SPLIT: {
        bool first = join_node(firsts, index, node->next);
        return join_node(firsts, index, node->other) || first;
    }
    case SL_GRAMMAR_CALL: {
        uint32_t start = grammar->rules[node->other].start;
        bool changed = join(&firsts->bytes[index], &firsts->bytes[start]);
        return (firsts->is_empty[start] && join_node(firsts, index, node->next)) || changed;
    }
    default:
        return false;
    }
}

/* Children were built before their parents, except around loops and calls: few rounds. */
static void compute_firsts(const struct sl_grammar *grammar, const struct firsts *firsts)
{
    bool has_changed = true;
    firsts->is_empty[SL_GRAMMAR_END] = true;
    while (has_changed) {
        has_changed = false;
        for (uint32_t i = 1; i < grammar->node_count; i++)
            has_changed = update_first(grammar, firsts, i) || has_changed;
    }
}

static void compute_follows(struct sl_grammar *grammar, const struct firsts *firsts)
{
    bool has_changed = true;
    while (has_changed) {
        has_changed = false;
        for (uint32_t i = 1; i < grammar->node_count; i++) {
            const struct sl_grammar_node *node = &grammar->nodes[i];
            if (node->kind != SL_GRAMMAR_CALL || grammar->node_rules[i] == UINT32_MAX)
                continue;
            struct sl_byte_set *follow = &grammar->rules[node->other].follow;
            has_changed = join(follow, &firsts->bytes[node->next]) || has_changed;
            if (firsts->is_empty[node->next])
                has_changed =
                    join(follow, &grammar->rules[grammar->node_rules[i]].follow) || has_changed;
        }
    }
}

/* Rules that can be entered from `rule` before any byte: depth first, `colour` 1 on the way and 2
 * when done. Meeting 1 again is a rule that begins with itself. */
static bool begins_with_itself(const struct sl_grammar *grammar, const struct firsts *firsts,
                               uint32_t rule, uint8_t *colour, unsigned depth);

static bool node_begins(const struct sl_grammar *grammar, const struct firsts *firsts,
                        uint32_t index, uint8_t *colour, unsigned depth)
{
    const struct sl_grammar_node *node = &grammar->nodes[index];
    while (node->kind == SL_GRAMMAR_SPLIT) { /* long chains go by `other` */
        if (depth > 400)
            return !node->is_loop;
        if (node_begins(grammar, firsts, node->next, colour, depth + 1))
            return true;
        node = &grammar->nodes[node->other];
    }
    if (node->kind != SL_GRAMMAR_CALL)
        return false;
    if (begins_with_itself(grammar, firsts, node->other, colour, depth + 1))
        return true;
    return firsts->is_empty[grammar->rules[node->other].start] &&
           node_begins(grammar, firsts, node->next, colour, depth + 1);
}

static bool begins_with_itself(const struct sl_grammar *grammar, const struct firsts *firsts,
                               uint32_t rule, uint8_t *colour, unsigned depth)
{
    if (colour[rule] != 0)
        return colour[rule] == 1;
    if (depth > 400) /* far above any schema that is meant */
        return true;
    colour[rule] = 1;
    bool is_so = node_begins(grammar, firsts, grammar->rules[rule].start, colour, depth);
    colour[rule] = 2;
    return is_so;
}

static enum sl_err check_rules(const struct sl_grammar *grammar, const struct firsts *firsts,
                               uint8_t *colour, struct sl_error *error)
{
    for (uint32_t rule = 0; rule < grammar->rule_count; rule++) {
        if (!grammar->rules[rule].is_defined)
            return sl_error_set(error, SL_ERR_INTERNAL, "schema: a rule has no body");
        if (begins_with_itself(grammar, firsts, rule, colour, 0))
            return sl_error_set(error, SL_ERR_UNSUPPORTED,
                                "schema: a $ref leads back to itself without a value between");
    }
    return SL_OK;
}

enum sl_err sl_grammar_finish(struct sl_grammar *grammar, struct sl_error *error)
{
    if (grammar->err == SL_ERR_LIMIT)
        return sl_error_set(error, SL_ERR_LIMIT, "schema: too large");
    if (grammar->err != SL_OK)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    size_t count = grammar->node_count;
    struct firsts firsts = {calloc(count, sizeof *firsts.bytes), calloc(count, 1)};
    uint32_t *stack = malloc((2 * count + 2) * sizeof *stack);
    uint8_t *colour = calloc(grammar->rule_count + 1u, 1);
    grammar->node_rules = malloc(count * sizeof *grammar->node_rules);
    enum sl_err err = SL_ERR_MEMORY;
    if (firsts.bytes == NULL || firsts.is_empty == NULL || stack == NULL || colour == NULL ||
        grammar->node_rules == NULL) {
        sl_error_set(error, SL_ERR_MEMORY, NULL);
        goto out;
    }
    memset(grammar->node_rules, 0xFF, count * sizeof *grammar->node_rules);
    for (uint32_t rule = 0; rule < grammar->rule_count; rule++)
        mark_nodes(grammar, rule, stack);
    compute_firsts(grammar, &firsts);
    compute_follows(grammar, &firsts);
    err = check_rules(grammar, &firsts, colour, error);
out:
    free(firsts.bytes);
    free(firsts.is_empty);
    free(stack);
    free(colour);
    return err;
}
