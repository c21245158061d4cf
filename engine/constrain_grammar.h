/* SPDX-License-Identifier: Apache-2.0
 *
 * The grammar that a constraint is compiled to: rules that call each other, each a small automaton
 * over bytes. Private to the files constrain*.c.
 *
 * Nodes are built from the end: every function takes the node that comes next and returns the node
 * to enter by. Node 0 ends a rule.
 *
 *   BYTE, SET   consume one byte, go to `next`
 *   STRING      consumes the inside of a JSON string and its closing quote, goes to `next`; counts
 *               characters between `min` and `max` (one node instead of one for each character)
 *   SPLIT       goes to `next` or `other` without consuming
 *   CALL        runs the rule `other`, then goes to `next`
 */
#ifndef SLUICE_ENGINE_CONSTRAIN_GRAMMAR_H
#define SLUICE_ENGINE_CONSTRAIN_GRAMMAR_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum sl_grammar_kind {
    SL_GRAMMAR_RETURN,
    SL_GRAMMAR_BYTE,
    SL_GRAMMAR_SET,
    SL_GRAMMAR_STRING,
    SL_GRAMMAR_SPLIT,
    SL_GRAMMAR_CALL
};

#define SL_GRAMMAR_END 0u /* the node that ends a rule */
#define SL_GRAMMAR_UNBOUNDED 0xFFFFFFu

struct sl_byte_set {
    uint64_t bits[4];
};

struct sl_grammar_node {
    uint8_t kind;       /* enum sl_grammar_kind */
    uint8_t byte;       /* BYTE */
    bool is_wrapper;    /* text around a tool call, which a control token may spell */
    bool is_loop;       /* SPLIT: its ways may lead back here without consuming */
    uint32_t next;
    uint32_t other;     /* SPLIT: the second way; CALL: the rule; SET: index of the set */
    uint32_t min;       /* STRING: characters */
    uint32_t max;
};

struct sl_grammar_rule {
    uint32_t start;
    bool is_defined;
    struct sl_byte_set follow; /* bytes that can come after it, filled by sl_grammar_finish */
};

struct sl_grammar {
    struct sl_grammar_node *nodes;
    uint32_t node_count;
    uint32_t node_capacity;
    struct sl_byte_set *sets;
    uint32_t set_count;
    uint32_t set_capacity;
    struct sl_grammar_rule *rules;
    uint32_t rule_count;
    uint32_t rule_capacity;
    uint32_t *node_rules; /* the rule of each node, filled by sl_grammar_finish */
    bool is_wrapping;     /* new nodes are wrapper nodes */
    enum sl_err err;      /* SL_ERR_LIMIT or SL_ERR_MEMORY, set once */
};

#define SL_GRAMMAR_NODES_MAX 400000u
#define SL_GRAMMAR_RULES_MAX 20000u

void sl_grammar_init(struct sl_grammar *grammar);
void sl_grammar_clear(struct sl_grammar *grammar);

static inline bool sl_byte_set_has(const struct sl_byte_set *set, uint8_t byte)
{
    return (set->bits[byte / 64] >> (byte % 64) & 1) != 0;
}

static inline void sl_byte_set_add(struct sl_byte_set *set, uint8_t first, uint8_t last)
{
    for (unsigned byte = first; byte <= last; byte++)
        set->bits[byte / 64] |= (uint64_t)1 << (byte % 64);
}

static inline void sl_byte_set_remove(struct sl_byte_set *set, uint8_t byte)
{
    set->bits[byte / 64] &= ~((uint64_t)1 << (byte % 64));
}

/* A rule without a body yet: to be called before it is known (recursion). */
uint32_t sl_grammar_rule(struct sl_grammar *grammar);
void sl_grammar_define(struct sl_grammar *grammar, uint32_t rule, uint32_t start);

uint32_t sl_grammar_byte(struct sl_grammar *grammar, char byte, uint32_t next);
uint32_t sl_grammar_text(struct sl_grammar *grammar, struct sl_slice text, uint32_t next);
uint32_t sl_grammar_set(struct sl_grammar *grammar, const struct sl_byte_set *set, uint32_t next);
/* The rest of a string after its opening quote. */
uint32_t sl_grammar_string(struct sl_grammar *grammar, uint32_t min, uint32_t max, uint32_t next);
uint32_t sl_grammar_split(struct sl_grammar *grammar, uint32_t a, uint32_t b);
uint32_t sl_grammar_call(struct sl_grammar *grammar, uint32_t rule, uint32_t next);
/* A SPLIT whose ways are set later, for loops. */
uint32_t sl_grammar_loop(struct sl_grammar *grammar);
void sl_grammar_close(struct sl_grammar *grammar, uint32_t loop, uint32_t body, uint32_t exit);
/* Between min and max digits. */
uint32_t sl_grammar_digits(struct sl_grammar *grammar, unsigned min, unsigned max, uint32_t next);

/* Fills what matching needs. Errors: SL_ERR_UNSUPPORTED for a rule that begins with itself (no text
 * could be matched), SL_ERR_LIMIT, SL_ERR_MEMORY. */
enum sl_err sl_grammar_finish(struct sl_grammar *grammar, struct sl_error *error) SL_MUST_CHECK;

/* constrain_pattern.c: the inside of a JSON string whose value matches `pattern` anywhere (as JSON
 * Schema has it: anchor with ^ and $), with its closing quote. Errors: SL_ERR_UNSUPPORTED. */
enum sl_err sl_grammar_pattern(struct sl_grammar *grammar, struct sl_slice pattern, uint32_t next,
                               uint32_t *out) SL_MUST_CHECK;
/* The pattern of a JSON Schema format; data NULL where it is not known. */
struct sl_slice sl_grammar_format(struct sl_slice name);

#endif
