/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of the template language, with the semantics of Python where Jinja inherits them: truth,
 * equality, order, str(), repr() and JSON. Private to the files chat_*.c.
 *
 * Ownership: everything a rendering makes lives in its arena and dies with it; text of the messages
 * and of the template is borrowed. Values are copied as words; lists and dictionaries are shared,
 * as in Python.
 *
 * Functions that make something return false, or a NULL, when the arena is at its cap.
 */
#ifndef SLUICE_ENGINE_CHAT_VALUE_H
#define SLUICE_ENGINE_CHAT_VALUE_H

#include "sluice/arena.h"
#include "sluice/buf.h"
#include "sluice/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum sl_value_type {
    SL_VALUE_UNDEFINED, /* text: the name that was not found, for messages */
    SL_VALUE_NONE,
    SL_VALUE_BOOL,
    SL_VALUE_INT,
    SL_VALUE_FLOAT,
    SL_VALUE_TEXT,
    SL_VALUE_LIST, /* and tuple */
    SL_VALUE_DICT,
    SL_VALUE_NAMESPACE, /* the one thing that a template can change */
    SL_VALUE_CALLABLE,
    SL_VALUE_LOOP
};

struct sl_list;
struct sl_dict;
struct sl_callable;
struct sl_loop;

struct sl_value {
    enum sl_value_type type;
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct sl_slice text;
        struct sl_list *list;
        struct sl_dict *dict; /* DICT and NAMESPACE */
        struct sl_callable *callable;
        struct sl_loop *loop;
    };
};

struct sl_list {
    struct sl_value *items;
    size_t count;
    size_t capacity;
    bool is_tuple;
    bool is_group; /* of groupby: a tuple whose items have names, `grouper` and `list` */
};

struct sl_pair {
    struct sl_value key;
    struct sl_value value;
};

/* In order of insertion. Look-up is linear: templates meet small objects. */
struct sl_dict {
    struct sl_pair *pairs;
    size_t count;
    size_t capacity;
};

static inline struct sl_value sl_value_none(void)
{
    return (struct sl_value){.type = SL_VALUE_NONE};
}

static inline struct sl_value sl_value_undefined(struct sl_slice name)
{
    return (struct sl_value){.type = SL_VALUE_UNDEFINED, .text = name};
}

static inline struct sl_value sl_value_bool(bool boolean)
{
    return (struct sl_value){.type = SL_VALUE_BOOL, .boolean = boolean};
}

static inline struct sl_value sl_value_int(int64_t integer)
{
    return (struct sl_value){.type = SL_VALUE_INT, .integer = integer};
}

static inline struct sl_value sl_value_float(double number)
{
    return (struct sl_value){.type = SL_VALUE_FLOAT, .number = number};
}

static inline struct sl_value sl_value_text(struct sl_slice text)
{
    return (struct sl_value){.type = SL_VALUE_TEXT, .text = text};
}

static inline struct sl_value sl_value_list(struct sl_list *list)
{
    return (struct sl_value){.type = SL_VALUE_LIST, .list = list};
}

static inline struct sl_value sl_value_dict(struct sl_dict *dict)
{
    return (struct sl_value){.type = SL_VALUE_DICT, .dict = dict};
}

static inline bool sl_value_is_number(struct sl_value value)
{
    return value.type == SL_VALUE_INT || value.type == SL_VALUE_FLOAT ||
           value.type == SL_VALUE_BOOL;
}

/* Python's name of the type, for messages. */
const char *sl_value_type_name(struct sl_value value);
bool sl_value_is_true(struct sl_value value);
bool sl_value_equal(struct sl_value a, struct sl_value b);
/* Numbers with numbers, texts with texts, lists with lists. False where there is no order. */
bool sl_value_compare(struct sl_value a, struct sl_value b, int *order);
/* An int, a bool, or a float without fraction as integer. */
bool sl_value_as_int(struct sl_value value, int64_t *out);
double sl_value_as_float(struct sl_value value);

struct sl_list *sl_list_create(struct sl_arena *arena, size_t capacity);
bool sl_list_add(struct sl_arena *arena, struct sl_list *list, struct sl_value value);
struct sl_dict *sl_dict_create(struct sl_arena *arena);
const struct sl_value *sl_dict_get(const struct sl_dict *dict, struct sl_value key);
const struct sl_value *sl_dict_get_text(const struct sl_dict *dict, struct sl_slice key);
bool sl_dict_set(struct sl_arena *arena, struct sl_dict *dict, struct sl_value key,
                 struct sl_value value);

/* Borrows texts of the JSON. */
bool sl_value_from_json(struct sl_arena *arena, const json_t *json, struct sl_value *out);

/* str(): what {{ value }} shows. Errors: of the buffer; SL_ERR_LIMIT for nesting over 100. */
enum sl_err sl_value_write(struct sl_value value, struct sl_buf *out) SL_MUST_CHECK;
/* repr(): inside lists and dictionaries. */
enum sl_err sl_value_write_repr(struct sl_value value, struct sl_buf *out) SL_MUST_CHECK;

/* json.dumps with ensure_ascii=False. indent < 0: on one line. SL_ERR_INVALID for values that JSON
 * does not have. */
struct sl_json_style {
    int indent;
    bool sort_keys;
    bool has_separators;
    struct sl_slice item_separator;
    struct sl_slice key_separator;
};
enum sl_err sl_value_write_json(struct sl_value value, const struct sl_json_style *style,
                                struct sl_buf *out) SL_MUST_CHECK;

#endif
