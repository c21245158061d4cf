/* SPDX-License-Identifier: Apache-2.0
 *
 * Matching bytes against a grammar: the set of places where the text so far may stand. Private to
 * constrain*.c.
 *
 * A place is a node that consumes next, the frames of the rules that are open around it, and for a
 * STRING node how far it is. Frames form a tree that grows towards its leaves; equal frames are one
 * (found by a hash), so places can be compared.
 *
 * Invariants:
 *  1. A frame's parent has a smaller index; popping frames from the end never leaves a dangling
 *     one, so a search that goes deeper and comes back releases what it made.
 *  2. All memory is taken when the matcher is made. What does not fit is not followed: some text
 *     that the grammar has is then refused, never the reverse.
 */
#ifndef SLUICE_ENGINE_CONSTRAIN_MATCH_H
#define SLUICE_ENGINE_CONSTRAIN_MATCH_H

#include "constrain_grammar.h"

/* Frames that are no call: at ROOT the end of a rule is the end of the text; at LOCAL it is the
 * end of what can be known without the context. */
#define SL_FRAME_ROOT 0u
#define SL_FRAME_LOCAL 1u
#define SL_FRAME_FIRST 2u

struct sl_place {
    uint32_t node;  /* SL_GRAMMAR_END: the frame is ROOT or LOCAL */
    uint32_t frame;
    uint32_t inner; /* STRING: state in the low byte, characters so far above */
};

struct sl_frame {
    uint32_t back;   /* node after the call */
    uint32_t parent;
    uint32_t chain;  /* next in the hash bucket */
    uint32_t depth;
};

struct sl_matcher {
    const struct sl_grammar *grammar;
    struct sl_frame *frames;
    uint32_t frame_count;
    uint32_t *buckets;
    struct sl_place *places; /* a stack of sets */
    uint32_t place_count;
    uint32_t *numbers; /* of frames, while they are compacted */
};

/* A run of places in the matcher's stack. */
struct sl_place_set {
    uint32_t begin;
    uint32_t count;
};

bool sl_matcher_init(struct sl_matcher *matcher, const struct sl_grammar *grammar);
void sl_matcher_clear(struct sl_matcher *matcher);

/* The places at the beginning of a rule, on top of the stack. */
struct sl_place_set sl_matcher_start(struct sl_matcher *matcher, uint32_t rule);
/* One place alone, on top of the stack. */
struct sl_place_set sl_matcher_single(struct sl_matcher *matcher, struct sl_place place);
/* The places after one more byte, on top of the stack; an empty set where it does not fit. */
struct sl_place_set sl_matcher_advance(struct sl_matcher *matcher, struct sl_place_set from,
                                       uint8_t byte);
/* The same for a text; stops at an empty set. Only the last set stays on the stack. */
struct sl_place_set sl_matcher_advance_text(struct sl_matcher *matcher, struct sl_place_set from,
                                            struct sl_slice text);
/* Does the set hold the end of a rule in `frame` (ROOT or LOCAL)? */
bool sl_matcher_has_end(const struct sl_matcher *matcher, struct sl_place_set set, uint32_t frame);

/* A mark of both stacks, to come back to. */
struct sl_matcher_mark {
    uint32_t frame_count;
    uint32_t place_count;
};
struct sl_matcher_mark sl_matcher_mark(const struct sl_matcher *matcher);
void sl_matcher_release(struct sl_matcher *matcher, struct sl_matcher_mark mark);
/* Keeps `set` alone, moved to the bottom, and the frames that it needs. */
struct sl_place_set sl_matcher_keep(struct sl_matcher *matcher, struct sl_place_set set);

#endif
