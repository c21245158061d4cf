/* SPDX-License-Identifier: Apache-2.0
 *
 * One rendering: its scopes, its budget, and the functions by which the files chat_*.c evaluate the
 * tree together. Private to them.
 *
 *   chat_run.c         statements, loops, macros
 *   chat_expression.c  expressions, attributes, items, slices, comparisons
 *   chat_operators.c   arithmetic, joining, repeating
 *   chat_call.c        calls: global functions, macros, methods of texts and dictionaries
 *   chat_filters.c     | filters, and chat_filters_list.c for those over sequences
 *   chat_tests.c       is tests
 *
 * Invariants:
 *  1. `err` is set at most once; after that evaluation unwinds: every function returns at once and
 *     what it returned means nothing.
 *  2. Each node evaluated and each item made counts one step; `steps_left` never goes below 0.
 *  3. `depth` bounds the C stack: expressions, statements and macro calls together.
 */
#ifndef SLUICE_ENGINE_CHAT_INTERP_H
#define SLUICE_ENGINE_CHAT_INTERP_H

#include "chat_ast.h"
#include "chat_template.h"

#define SL_CHAT_DEPTH_MAX 800

struct sl_scope {
    struct sl_scope *parent; /* NULL: the globals */
    struct sl_dict *names;
};

/* The state of a `for`, which the template sees as `loop`. */
struct sl_loop {
    const struct sl_list *items;
    size_t index;
    unsigned depth;
    const struct sl_node *node; /* for loop(...) */
    struct sl_scope *scope;     /* around the loop */
    struct sl_value last_seen;  /* for loop.changed(...) */
    bool has_seen;
};

enum sl_callable_kind {
    SL_CALL_FUNCTION, /* a global one, by name */
    SL_CALL_METHOD,   /* `name` of `receiver` */
    SL_CALL_MACRO,    /* `node` in `scope` */
    SL_CALL_CYCLER,   /* `receiver` is the list, `count` the position */
    SL_CALL_JOINER    /* `receiver` is the separator, `count` the calls so far */
};

struct sl_callable {
    enum sl_callable_kind kind;
    struct sl_slice name;
    struct sl_value receiver;
    const struct sl_node *node;
    struct sl_scope *scope;
    size_t count;
};

enum sl_flow { SL_FLOW_NEXT, SL_FLOW_BREAK, SL_FLOW_CONTINUE };

struct sl_interp {
    struct sl_arena *arena;
    struct sl_buf *out;
    size_t capture_bytes_max;
    uint64_t steps_left;
    unsigned depth;
    uint32_t line; /* of the node now evaluated */
    const struct tm *now;
    struct sl_scope *scope;
    struct sl_scope globals;
    enum sl_flow flow;
    enum sl_err err;
    struct sl_error *error;
};

/* Arguments of a call, filter or test after evaluation. */
struct sl_arguments {
    struct sl_list *positional;
    struct sl_dict *named;
};

/* Sets the error with the line in front, unless there is one. Returns undefined. */
struct sl_value sl_interp_fail(struct sl_interp *interp, enum sl_err err, const char *format, ...)
    SL_PRINTF(3, 4);
struct sl_value sl_interp_memory(struct sl_interp *interp);
/* The error of using something that is not there. */
struct sl_value sl_interp_undefined(struct sl_interp *interp, struct sl_value value);
/* Appends, as one step. */
bool sl_interp_add(struct sl_interp *interp, struct sl_list *list, struct sl_value value);
/* Takes `count` steps; false when the budget is used up or there was an error. */
bool sl_interp_step(struct sl_interp *interp, uint64_t count);

/* chat_run.c */
void sl_interp_run(struct sl_interp *interp, const struct sl_node *body);
void sl_interp_assign(struct sl_interp *interp, const struct sl_node *target,
                      struct sl_value value);
struct sl_value sl_interp_call_macro(struct sl_interp *interp, const struct sl_callable *macro,
                                     const struct sl_arguments *arguments);
void sl_interp_loop(struct sl_interp *interp, const struct sl_node *node, struct sl_scope *scope,
                    struct sl_value iterable, unsigned depth);
/* Output goes into a text of its own between the two. `buf` is the caller's. */
void sl_interp_capture_begin(struct sl_interp *interp, struct sl_buf *buf, struct sl_buf **outer);
struct sl_value sl_interp_capture_end(struct sl_interp *interp, struct sl_buf *buf,
                                      struct sl_buf *outer);

/* chat_expression.c */
struct sl_value sl_interp_eval(struct sl_interp *interp, const struct sl_node *node);
struct sl_value sl_interp_attribute(struct sl_interp *interp, struct sl_value object,
                                    struct sl_slice name);
struct sl_value sl_interp_item(struct sl_interp *interp, struct sl_value object,
                               struct sl_value key);
bool sl_interp_contains(struct sl_interp *interp, struct sl_value container,
                        struct sl_value item);
struct sl_value sl_interp_binary(struct sl_interp *interp, enum sl_operator op,
                                 struct sl_value a, struct sl_value b);
/* The items of anything that can be iterated over; an error for the rest. */
struct sl_list *sl_interp_items(struct sl_interp *interp, struct sl_value value);
/* str(value) in the arena. */
struct sl_slice sl_interp_text(struct sl_interp *interp, struct sl_value value);
/* Evaluates the arguments in `list`. */
bool sl_interp_arguments(struct sl_interp *interp, const struct sl_node *list,
                         struct sl_arguments *out);

/* chat_call.c */
struct sl_value sl_interp_call(struct sl_interp *interp, struct sl_value callee,
                               const struct sl_arguments *arguments);
bool sl_interp_has_function(struct sl_slice name);
/* Is `name` a method of this value's type? */
bool sl_interp_has_method(struct sl_value receiver, struct sl_slice name);
struct sl_value sl_interp_method(struct sl_interp *interp, struct sl_value receiver,
                                 struct sl_slice name, const struct sl_arguments *arguments);

/* chat_filters.c and chat_tests.c */
struct sl_value sl_interp_filter(struct sl_interp *interp, struct sl_slice name,
                                 struct sl_value value, const struct sl_arguments *arguments);
bool sl_interp_test(struct sl_interp *interp, struct sl_slice name, struct sl_value value,
                    const struct sl_arguments *arguments);
bool sl_interp_has_filter(struct sl_slice name);
bool sl_interp_has_test(struct sl_slice name);

/* Argument `index`, or named `name`; NULL where it was not given. */
const struct sl_value *sl_argument(const struct sl_arguments *arguments, size_t index,
                                   const char *name);

/* chat_strings.c: texts as sequences of characters, with Python's names. Results lie in the arena
 * or are parts of the input. */
size_t sl_text_length(struct sl_slice text);
struct sl_slice sl_text_strip(struct sl_slice text, const struct sl_slice *characters, bool left,
                              bool right);
struct sl_value sl_text_map(struct sl_interp *interp, struct sl_slice text, const char *how);
struct sl_value sl_text_replace(struct sl_interp *interp, struct sl_slice text,
                                struct sl_slice from, struct sl_slice to, int64_t count_max);
struct sl_value sl_text_split(struct sl_interp *interp, struct sl_slice text,
                              const struct sl_slice *separator, int64_t count_max);
struct sl_value sl_text_rsplit(struct sl_interp *interp, struct sl_slice text,
                               const struct sl_slice *separator, int64_t count_max);
struct sl_value sl_text_splitlines(struct sl_interp *interp, struct sl_slice text);
struct sl_value sl_text_join(struct sl_interp *interp, struct sl_slice separator,
                             struct sl_value items);
/* Byte offset of the first (or last) occurrence, or -1. */
int64_t sl_text_find(struct sl_slice text, struct sl_slice part, bool from_end);
struct sl_value sl_text_slice(struct sl_interp *interp, struct sl_slice text, int64_t start,
                              int64_t stop, int64_t step);
struct sl_value sl_text_copy(struct sl_interp *interp, struct sl_slice text);

#endif
