/* SPDX-License-Identifier: Apache-2.0
 *
 * Constraints and their states. Owns which tokens a state allows; the grammar is
 * constrain_schema.c's, how bytes move through it constrain_match.c's.
 *
 * A mask is computed place by place. Most of the answer depends on the place's rule alone and not
 * on what was opened around it: tokens that stay inside the rule. Those are found once by walking
 * the trie of the vocabulary, and kept. Tokens that go past the end of the rule ("}, of a string)
 * are few; they are kept as a list and tried each time with the real context.
 *
 * Threads: a constraint is shared; its findings are guarded by a mutex. A state has one owner.
 */
#include "constrain.h"

#include "constrain_match.h"
#include "constrain_schema.h"
#include "constrain_vocab.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SLOTS 8192u
#define FINDINGS_BYTES_MAX ((size_t)32 << 20)

/* A branch of the trie at which the rule of a place has ended. */
struct leaving {
    uint32_t node;  /* of the trie */
    uint32_t depth; /* bytes before it */
};

/* What was found out about a place without its context. */
struct finding {
    uint32_t node;
    uint32_t inner;
    const struct sl_trie *trie;
    uint64_t *inside; /* bit set of tokens that stay inside the rule */
    struct leaving *leaving;
    uint32_t leaving_count;
    struct finding *next;
};

struct sl_constraint {
    atomic_uint references;
    struct sl_grammar grammar;
    uint32_t root;
    pthread_mutex_t mutex; /* guards all below */
    const struct sl_constraint_vocab *vocab;
    struct finding *slots[SLOTS];
    size_t findings_bytes;
};

struct sl_constraint_state {
    struct sl_constraint *constraint;
    const struct sl_constraint_vocab *vocab;
    struct sl_matcher matcher;
    struct sl_place_set places; /* at the bottom of the matcher's stack */
    bool has_ended;
    uint64_t *allowed;          /* bit set of the mask being computed */
    struct finding scratch;     /* room for one finding of any size */
};

static size_t words_of(const struct sl_constraint_vocab *vocab)
{
    return ((size_t)vocab->size + 63) / 64;
}

static void set_bit(uint64_t *bits, int32_t token)
{
    bits[token / 64] |= (uint64_t)1 << (token % 64);
}

static void clear_bit(uint64_t *bits, int32_t token)
{
    bits[token / 64] &= ~((uint64_t)1 << (token % 64));
}

static bool has_bit(const uint64_t *bits, int32_t token)
{
    return (bits[token / 64] >> (token % 64) & 1) != 0;
}

/* ---- constraints ---- */

static enum sl_err build(struct sl_constraint *constraint, enum sl_format_kind kind,
                         const json_t *schema, enum sl_tool_form form, struct sl_error *error)
{
    switch (kind) {
    case SL_FORMAT_JSON_OBJECT:
        return sl_schema_any_object(&constraint->grammar, &constraint->root, error);
    case SL_FORMAT_JSON_SCHEMA:
        return sl_schema_compile(&constraint->grammar, schema, &constraint->root, error);
    case SL_FORMAT_TOOL_CALL:
        return sl_schema_tool_call(&constraint->grammar, schema, form, &constraint->root, error);
    default:
        return sl_error_set(error, SL_ERR_INVALID, "text has no constraint");
    }
}

enum sl_err sl_constraint_compile(enum sl_format_kind kind, const json_t *schema,
                                  enum sl_tool_form form, struct sl_constraint **out,
                                  struct sl_error *error)
{
    struct sl_constraint *constraint = calloc(1, sizeof *constraint);
    if (constraint == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (pthread_mutex_init(&constraint->mutex, NULL) != 0) {
        free(constraint);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    atomic_init(&constraint->references, 1);
    sl_grammar_init(&constraint->grammar);
    enum sl_err err = build(constraint, kind, schema, form, error);
    if (err != SL_OK) {
        sl_constraint_release(constraint);
        return err;
    }
    *out = constraint;
    return SL_OK;
}

struct sl_constraint *sl_constraint_acquire(struct sl_constraint *constraint)
{
    atomic_fetch_add(&constraint->references, 1);
    return constraint;
}

static void free_finding(struct finding *finding)
{
    free(finding->inside);
    free(finding->leaving);
    free(finding);
}

void sl_constraint_release(struct sl_constraint *constraint)
{
    if (constraint == NULL || atomic_fetch_sub(&constraint->references, 1) != 1)
        return;
    for (unsigned i = 0; i < SLOTS; i++) {
        while (constraint->slots[i] != NULL) {
            struct finding *next = constraint->slots[i]->next;
            free_finding(constraint->slots[i]);
            constraint->slots[i] = next;
        }
    }
    sl_grammar_clear(&constraint->grammar);
    pthread_mutex_destroy(&constraint->mutex);
    free(constraint);
}

/* ---- states ---- */

static bool claim_vocab(struct sl_constraint *constraint, const struct sl_constraint_vocab *vocab)
{
    pthread_mutex_lock(&constraint->mutex);
    if (constraint->vocab == NULL)
        constraint->vocab = vocab;
    bool is_same = constraint->vocab == vocab;
    pthread_mutex_unlock(&constraint->mutex);
    return is_same;
}

enum sl_err sl_constraint_state_create(struct sl_constraint *constraint,
                                       const struct sl_constraint_vocab *vocab,
                                       struct sl_constraint_state **out, struct sl_error *error)
{
    if (!claim_vocab(constraint, vocab))
        return sl_error_set(error, SL_ERR_INVALID, "a constraint belongs to one vocabulary");
    struct sl_constraint_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    state->constraint = sl_constraint_acquire(constraint);
    state->vocab = vocab;
    state->allowed = calloc(words_of(vocab), sizeof *state->allowed);
    state->scratch.inside = calloc(words_of(vocab), sizeof *state->scratch.inside);
    state->scratch.leaving = calloc(vocab->size, sizeof *state->scratch.leaving);
    if (!sl_matcher_init(&state->matcher, &constraint->grammar) || state->allowed == NULL ||
        state->scratch.inside == NULL || state->scratch.leaving == NULL) {
        sl_constraint_state_free(state);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    state->places = sl_matcher_start(&state->matcher, constraint->root);
    *out = state;
    return SL_OK;
}

void sl_constraint_state_free(struct sl_constraint_state *state)
{
    if (state == NULL)
        return;
    sl_matcher_clear(&state->matcher);
    free(state->allowed);
    free(state->scratch.inside);
    free(state->scratch.leaving);
    sl_constraint_release(state->constraint);
    free(state);
}

/* ---- findings ---- */

/* The walk of the trie from one place. With `leaving` it stops where the rule of the place ends. */
struct walk {
    struct sl_constraint_state *state;
    const struct sl_trie *trie;
    const struct sl_byte_set *follow; /* what can come after the place's rule */
    uint64_t *allowed;
    struct finding *finding; /* NULL: the context is real, nothing is left */
};

static void walk_children(struct walk *walk, uint32_t begin, uint32_t end, uint32_t depth,
                          struct sl_place_set places);

/* One node and what is below it. */
static void walk_node(struct walk *walk, uint32_t index, uint32_t depth,
                      struct sl_place_set places)
{
    struct sl_matcher *matcher = &walk->state->matcher;
    const struct sl_trie_node *node = &walk->trie->nodes[index];
    struct sl_matcher_mark mark = sl_matcher_mark(matcher);
    struct sl_place_set next = sl_matcher_advance(matcher, places, node->byte);
    if (next.count > 0 && node->token != SL_TOKEN_NONE)
        set_bit(walk->allowed, node->token);
    if (next.count > 0)
        walk_children(walk, index + 1, node->end, depth + 1, next);
    sl_matcher_release(matcher, mark);
}

/* Depth is bounded by the length of tokens. A branch has a token of its own, so there are at most
 * as many as tokens. */
static void walk_children(struct walk *walk, uint32_t begin, uint32_t end, uint32_t depth,
                          struct sl_place_set places)
{
    struct finding *finding = walk->finding;
    bool leaves = finding != NULL &&
                  sl_matcher_has_end(&walk->state->matcher, places, SL_FRAME_LOCAL);
    for (uint32_t i = begin; i < end; i = walk->trie->nodes[i].end) {
        if (leaves && sl_byte_set_has(walk->follow, walk->trie->nodes[i].byte))
            finding->leaving[finding->leaving_count++] = (struct leaving){i, depth};
        else
            walk_node(walk, i, depth, places);
    }
}

/* Inside a string the plain tokens fit as far as characters are left. */
static void add_plain(struct walk *walk, uint32_t characters_left)
{
    const struct sl_constraint_vocab *vocab = walk->state->vocab;
    for (uint32_t id = 0; id < vocab->size; id++) {
        uint8_t count = vocab->plain_characters[id];
        if (count != 0 && count <= characters_left)
            set_bit(walk->allowed, (int32_t)id);
    }
}

static void find_out(struct sl_constraint_state *state, struct sl_place place,
                     struct finding *finding)
{
    const struct sl_grammar *grammar = &state->constraint->grammar;
    const struct sl_grammar_node *node = &grammar->nodes[place.node];
    struct walk walk = {state, &state->vocab->all,
                        &grammar->rules[grammar->node_rules[place.node]].follow, finding->inside,
                        finding};
    finding->node = place.node;
    finding->inner = place.inner;
    finding->leaving_count = 0;
    memset(finding->inside, 0, words_of(state->vocab) * sizeof *finding->inside);
    if (node->kind == SL_GRAMMAR_STRING && (place.inner & 0xFF) == 0) {
        bool is_bounded = node->max != SL_GRAMMAR_UNBOUNDED;
        walk.trie = &state->vocab->special;
        add_plain(&walk, is_bounded ? node->max - (place.inner >> 8) : UINT32_MAX);
    }
    struct sl_matcher_mark mark = sl_matcher_mark(&state->matcher);
    place.frame = SL_FRAME_LOCAL;
    struct sl_place_set start = sl_matcher_single(&state->matcher, place);
    finding->trie = walk.trie;
    walk_children(&walk, 0, walk.trie->count, 0, start);
    sl_matcher_release(&state->matcher, mark);
}

static struct finding **slot_of(struct sl_constraint *constraint, struct sl_place place)
{
    uint64_t key = ((uint64_t)place.node << 32 | place.inner) * 0x9E3779B97F4A7C15u;
    return &constraint->slots[(key >> 40) % SLOTS];
}

/* Findings are never changed or removed while the constraint lives. */
static const struct finding *look_up(struct sl_constraint *constraint, struct sl_place place)
{
    pthread_mutex_lock(&constraint->mutex);
    const struct finding *finding = *slot_of(constraint, place);
    while (finding != NULL && (finding->node != place.node || finding->inner != place.inner))
        finding = finding->next;
    pthread_mutex_unlock(&constraint->mutex);
    return finding;
}

/* Keeps a copy while there is room; without it the place is only found out again. */
static void keep(struct sl_constraint_state *state, const struct finding *found)
{
    struct sl_constraint *constraint = state->constraint;
    size_t inside_bytes = words_of(state->vocab) * sizeof *found->inside;
    size_t leaving_bytes = found->leaving_count * sizeof *found->leaving;
    size_t bytes = sizeof *found + inside_bytes + leaving_bytes;
    struct finding *copy = calloc(1, sizeof *copy);
    if (copy == NULL)
        return;
    *copy = *found;
    copy->inside = malloc(inside_bytes);
    copy->leaving = malloc(leaving_bytes + 1);
    pthread_mutex_lock(&constraint->mutex);
    bool has_room = copy->inside != NULL && copy->leaving != NULL &&
                    constraint->findings_bytes + bytes <= FINDINGS_BYTES_MAX;
    if (has_room) {
        struct finding **slot =
            slot_of(constraint, (struct sl_place){.node = found->node, .inner = found->inner});
        memcpy(copy->inside, found->inside, inside_bytes);
        memcpy(copy->leaving, found->leaving, leaving_bytes);
        copy->next = *slot;
        *slot = copy;
        constraint->findings_bytes += bytes;
    }
    pthread_mutex_unlock(&constraint->mutex);
    if (!has_room)
        free_finding(copy);
}

static const struct finding *finding_of(struct sl_constraint_state *state, struct sl_place place)
{
    const struct finding *finding = look_up(state->constraint, place);
    if (finding != NULL)
        return finding;
    find_out(state, place, &state->scratch);
    keep(state, &state->scratch);
    return &state->scratch;
}

/* ---- masks ---- */

static bool fits(struct sl_constraint_state *state, struct sl_place place, struct sl_slice piece)
{
    struct sl_matcher *matcher = &state->matcher;
    struct sl_matcher_mark mark = sl_matcher_mark(matcher);
    struct sl_place_set set = sl_matcher_single(matcher, place);
    bool is_fit = sl_matcher_advance_text(matcher, set, piece).count > 0;
    sl_matcher_release(matcher, mark);
    return is_fit;
}

/* The tokens of a branch, with the real context. The bytes before it are those of any of them. */
static void allow_branch(struct sl_constraint_state *state, struct sl_place place,
                         const struct sl_trie *trie, struct leaving branch)
{
    struct walk walk = {state, trie, NULL, state->allowed, NULL};
    struct sl_matcher *matcher = &state->matcher;
    struct sl_matcher_mark mark = sl_matcher_mark(matcher);
    uint32_t first = branch.node;
    while (trie->nodes[first].token == SL_TOKEN_NONE)
        first++;
    struct sl_slice prefix =
        sl_tokenizer_piece(state->vocab->tokenizer, trie->nodes[first].token);
    prefix.len = branch.depth;
    struct sl_place_set set = sl_matcher_single(matcher, place);
    set = sl_matcher_advance_text(matcher, set, prefix);
    walk_node(&walk, branch.node, branch.depth, set);
    sl_matcher_release(matcher, mark);
}

static void allow_place(struct sl_constraint_state *state, struct sl_place place)
{
    const struct finding *finding = finding_of(state, place);
    for (size_t i = 0; i < words_of(state->vocab); i++)
        state->allowed[i] |= finding->inside[i];
    for (uint32_t i = 0; i < finding->leaving_count; i++)
        allow_branch(state, place, finding->trie, finding->leaving[i]);
}

/* A control token may spell what stands around a tool call, and nothing else. */
static bool wrapper_fits(struct sl_constraint_state *state, int32_t token)
{
    const struct sl_grammar *grammar = &state->constraint->grammar;
    struct sl_slice piece = sl_tokenizer_piece(state->vocab->tokenizer, token);
    for (uint32_t i = 0; i < state->places.count; i++) {
        struct sl_place place = state->matcher.places[i];
        if (grammar->nodes[place.node].is_wrapper && fits(state, place, piece))
            return true;
    }
    return false;
}

static void allow_all(struct sl_constraint_state *state)
{
    const struct sl_constraint_vocab *vocab = state->vocab;
    memset(state->allowed, 0, words_of(vocab) * sizeof *state->allowed);
    for (uint32_t i = 0; i < state->places.count && !state->has_ended; i++)
        if (state->matcher.places[i].node != SL_GRAMMAR_END)
            allow_place(state, state->matcher.places[i]);
    for (uint32_t i = 0; i < vocab->twin_count; i++)
        if (has_bit(state->allowed, vocab->twins[i].like))
            set_bit(state->allowed, vocab->twins[i].token);
    for (uint32_t i = 0; i < vocab->wrapper_count && !state->has_ended; i++)
        if (wrapper_fits(state, vocab->wrappers[i]))
            set_bit(state->allowed, vocab->wrappers[i]);
    for (uint32_t i = 0; i < vocab->end_count; i++)
        if (sl_constraint_is_complete(state))
            set_bit(state->allowed, vocab->ends[i]);
        else
            clear_bit(state->allowed, vocab->ends[i]);
}

void sl_constraint_mask(struct sl_constraint_state *state, float *logits)
{
    uint32_t size = state->vocab->size;
    allow_all(state);
    for (uint32_t base = 0; base < size; base += 64) {
        uint64_t denied = ~state->allowed[base / 64];
        uint32_t end = size - base < 64 ? size - base : 64;
        for (uint32_t i = 0; i < end && denied != 0; i++, denied >>= 1)
            if ((denied & 1) != 0)
                logits[base + i] = -INFINITY;
    }
}

/* ---- moving on ---- */

static bool is_wrapper_token(const struct sl_constraint_vocab *vocab, int32_t token)
{
    for (uint32_t i = 0; i < vocab->wrapper_count; i++)
        if (vocab->wrappers[i] == token)
            return true;
    return false;
}

bool sl_constraint_accept_bytes(struct sl_constraint_state *state, struct sl_slice bytes)
{
    struct sl_matcher_mark mark = sl_matcher_mark(&state->matcher);
    if (state->has_ended)
        return false;
    if (bytes.len == 0)
        return true;
    struct sl_place_set next = sl_matcher_advance_text(&state->matcher, state->places, bytes);
    if (next.count == 0) {
        sl_matcher_release(&state->matcher, mark);
        return false;
    }
    state->places = sl_matcher_keep(&state->matcher, next);
    return true;
}

bool sl_constraint_accept(struct sl_constraint_state *state, int32_t token)
{
    const struct sl_constraint_vocab *vocab = state->vocab;
    if (sl_tokenizer_is_end(vocab->tokenizer, token)) {
        if (!sl_constraint_is_complete(state))
            return false;
        state->has_ended = true;
        return true;
    }
    struct sl_slice piece = sl_tokenizer_piece(vocab->tokenizer, token);
    bool is_wrapper = is_wrapper_token(vocab, token);
    if (sl_tokenizer_is_control(vocab->tokenizer, token) && !is_wrapper)
        return false;
    if (piece.len == 0 || (is_wrapper && !wrapper_fits(state, token)))
        return false;
    return sl_constraint_accept_bytes(state, piece);
}

bool sl_constraint_is_complete(const struct sl_constraint_state *state)
{
    return state->has_ended ||
           sl_matcher_has_end(&state->matcher, state->places, SL_FRAME_ROOT);
}

bool sl_constraint_is_finished(const struct sl_constraint_state *state)
{
    if (state->has_ended)
        return true;
    for (uint32_t i = 0; i < state->places.count; i++)
        if (state->matcher.places[state->places.begin + i].node != SL_GRAMMAR_END)
            return false;
    return state->places.count > 0;
}
