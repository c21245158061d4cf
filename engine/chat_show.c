/* SPDX-License-Identifier: Apache-2.0
 *
 * How values are written: str() and repr() as Python has them, and JSON as json.dumps writes it,
 * since templates put both into prompts and models were trained on exactly that.
 */
#include "chat_value.h"

#include "sluice/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NESTING_MAX 100

/* The shortest digits that read back as the same number; "1.0" keeps its point, large and small
 * ones have an exponent of at least two digits (Python's repr of float). */
static enum sl_err write_float(double number, struct sl_buf *out)
{
    if (isnan(number))
        return sl_buf_append_text(out, "nan");
    if (isinf(number))
        return sl_buf_append_text(out, number < 0 ? "-inf" : "inf");
    char digits[40];
    int precision = 1;
    do
        snprintf(digits, sizeof digits, "%.*e", precision - 1, number);
    while (strtod(digits, NULL) != number && ++precision <= 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16)
        return sl_buf_printf(out, "%.*e", precision - 1, number);
    int decimals = precision - 1 - exponent;
    return sl_buf_printf(out, "%.*f", decimals > 0 ? decimals : 1, number);
}

/* repr of a text: single quotes unless it has some and no double ones. */
static enum sl_err write_quoted(struct sl_slice text, struct sl_buf *out)
{
    bool has_single = text.len > 0 && memchr(text.data, '\'', text.len) != NULL;
    bool has_double = text.len > 0 && memchr(text.data, '"', text.len) != NULL;
    char quote = has_single && !has_double ? '"' : '\'';
    enum sl_err err = sl_buf_append_char(out, quote);
    for (size_t i = 0; i < text.len && err == SL_OK; i++) {
        char c = text.data[i];
        if (c == '\n')
            err = sl_buf_append_text(out, "\\n");
        else if (c == '\r')
            err = sl_buf_append_text(out, "\\r");
        else if (c == '\t')
            err = sl_buf_append_text(out, "\\t");
        else if (c == '\\' || c == quote)
            err = sl_buf_printf(out, "\\%c", c);
        else if ((unsigned char)c < 0x20 || c == 0x7F)
            err = sl_buf_printf(out, "\\x%02x", (unsigned)(unsigned char)c);
        else
            err = sl_buf_append_char(out, c);
    }
    return err == SL_OK ? sl_buf_append_char(out, quote) : err;
}

static enum sl_err write_repr(struct sl_value value, int depth, struct sl_buf *out);

static enum sl_err write_list(const struct sl_list *list, int depth, struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_char(out, list->is_tuple ? '(' : '[');
    for (size_t i = 0; i < list->count && err == SL_OK; i++) {
        if (i > 0)
            err = sl_buf_append_text(out, ", ");
        if (err == SL_OK)
            err = write_repr(list->items[i], depth, out);
    }
    if (err == SL_OK && list->is_tuple && list->count == 1)
        err = sl_buf_append_char(out, ',');
    return err == SL_OK ? sl_buf_append_char(out, list->is_tuple ? ')' : ']') : err;
}

static enum sl_err write_dict(const struct sl_dict *dict, int depth, struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_char(out, '{');
    for (size_t i = 0; i < dict->count && err == SL_OK; i++) {
        if (i > 0)
            err = sl_buf_append_text(out, ", ");
        if (err == SL_OK)
            err = write_repr(dict->pairs[i].key, depth, out);
        if (err == SL_OK)
            err = sl_buf_append_text(out, ": ");
        if (err == SL_OK)
            err = write_repr(dict->pairs[i].value, depth, out);
    }
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

static enum sl_err write_repr(struct sl_value value, int depth, struct sl_buf *out)
{
    if (depth > NESTING_MAX)
        return SL_ERR_LIMIT;
    switch (value.type) {
    case SL_VALUE_UNDEFINED:
        return sl_buf_append_text(out, "Undefined");
    case SL_VALUE_NONE:
        return sl_buf_append_text(out, "None");
    case SL_VALUE_BOOL:
        return sl_buf_append_text(out, value.boolean ? "True" : "False");
    case SL_VALUE_INT:
        return sl_buf_printf(out, "%lld", (long long)value.integer);
    case SL_VALUE_FLOAT:
        return write_float(value.number, out);
    case SL_VALUE_TEXT:
        return write_quoted(value.text, out);
    case SL_VALUE_LIST:
        return write_list(value.list, depth + 1, out);
    case SL_VALUE_DICT:
        return write_dict(value.dict, depth + 1, out);
    case SL_VALUE_NAMESPACE:
        return sl_buf_append_text(out, "<Namespace>");
    default:
        return sl_buf_append_text(out, "<function>");
    }
}

enum sl_err sl_value_write_repr(struct sl_value value, struct sl_buf *out)
{
    return write_repr(value, 0, out);
}

enum sl_err sl_value_write(struct sl_value value, struct sl_buf *out)
{
    if (value.type == SL_VALUE_UNDEFINED)
        return SL_OK;
    if (value.type == SL_VALUE_TEXT)
        return sl_buf_append_slice(out, value.text);
    return write_repr(value, 0, out);
}

/* ---- JSON out ---- */

struct json_writer {
    const struct sl_json_style *style;
    struct sl_buf *out;
};

static enum sl_err write_json(const struct json_writer *writer, struct sl_value value, int depth);

/* As json.dumps: the short escapes, other controls as \u00xx, all else as it is. */
static enum sl_err write_json_text(struct sl_slice text, struct sl_buf *out)
{
    static const char shorts[] = "\"\"\\\\\nn\rr\tt\bb\ff";
    enum sl_err err = sl_buf_append_char(out, '"');
    for (size_t i = 0; i < text.len && err == SL_OK; i++) {
        char c = text.data[i];
        char escape = '\0';
        for (size_t j = 0; j < sizeof shorts - 1; j += 2)
            if (shorts[j] == c)
                escape = shorts[j + 1];
        if (escape != '\0')
            err = sl_buf_printf(out, "\\%c", escape);
        else if ((unsigned char)c < 0x20)
            err = sl_buf_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
        else
            err = sl_buf_append_char(out, c);
    }
    return err == SL_OK ? sl_buf_append_char(out, '"') : err;
}

static enum sl_err new_line(const struct json_writer *writer, int depth)
{
    if (writer->style->indent < 0)
        return SL_OK;
    enum sl_err err = sl_buf_append_char(writer->out, '\n');
    for (int i = 0; i < depth * writer->style->indent && err == SL_OK; i++)
        err = sl_buf_append_char(writer->out, ' ');
    return err;
}

static enum sl_err item_start(const struct json_writer *writer, bool is_first, int depth)
{
    enum sl_err err = SL_OK;
    if (!is_first && writer->style->has_separators)
        err = sl_buf_append_slice(writer->out, writer->style->item_separator);
    else if (!is_first)
        err = sl_buf_append_text(writer->out, writer->style->indent < 0 ? ", " : ",");
    return err == SL_OK ? new_line(writer, depth) : err;
}

static enum sl_err write_json_list(const struct json_writer *writer, const struct sl_list *list,
                                   int depth)
{
    if (list->count == 0)
        return sl_buf_append_text(writer->out, "[]");
    enum sl_err err = sl_buf_append_char(writer->out, '[');
    for (size_t i = 0; i < list->count && err == SL_OK; i++) {
        err = item_start(writer, i == 0, depth);
        if (err == SL_OK)
            err = write_json(writer, list->items[i], depth);
    }
    if (err == SL_OK)
        err = new_line(writer, depth - 1);
    return err == SL_OK ? sl_buf_append_char(writer->out, ']') : err;
}

/* Keys that are no text are written as their JSON in quotes. */
static enum sl_err write_key(const struct json_writer *writer, struct sl_value key)
{
    if (key.type == SL_VALUE_TEXT)
        return write_json_text(key.text, writer->out);
    enum sl_err err = sl_buf_append_char(writer->out, '"');
    if (err == SL_OK)
        err = write_json(writer, key, NESTING_MAX);
    return err == SL_OK ? sl_buf_append_char(writer->out, '"') : err;
}

static enum sl_err write_json_pair(const struct json_writer *writer, const struct sl_pair *pair,
                                   int depth)
{
    enum sl_err err = write_key(writer, pair->key);
    if (err == SL_OK && writer->style->has_separators)
        err = sl_buf_append_slice(writer->out, writer->style->key_separator);
    else if (err == SL_OK)
        err = sl_buf_append_text(writer->out, ": ");
    return err == SL_OK ? write_json(writer, pair->value, depth) : err;
}

/* The index of the pair that comes next in the order of keys after `last` (NULL: the first). */
static size_t next_in_order(const struct sl_dict *dict, const struct sl_value *last)
{
    size_t best = dict->count;
    for (size_t i = 0; i < dict->count; i++) {
        int order;
        if (last != NULL && (!sl_value_compare(dict->pairs[i].key, *last, &order) || order <= 0))
            continue;
        if (best == dict->count ||
            (sl_value_compare(dict->pairs[i].key, dict->pairs[best].key, &order) && order < 0))
            best = i;
    }
    return best;
}

static enum sl_err write_json_dict(const struct json_writer *writer, const struct sl_dict *dict,
                                   int depth)
{
    if (dict->count == 0)
        return sl_buf_append_text(writer->out, "{}");
    const struct sl_value *last = NULL;
    enum sl_err err = sl_buf_append_char(writer->out, '{');
    for (size_t i = 0; i < dict->count && err == SL_OK; i++) {
        size_t index = writer->style->sort_keys ? next_in_order(dict, last) : i;
        if (index == dict->count)
            return SL_ERR_INVALID; /* keys without an order */
        last = &dict->pairs[index].key;
        err = item_start(writer, i == 0, depth);
        if (err == SL_OK)
            err = write_json_pair(writer, &dict->pairs[index], depth);
    }
    if (err == SL_OK)
        err = new_line(writer, depth - 1);
    return err == SL_OK ? sl_buf_append_char(writer->out, '}') : err;
}

static enum sl_err write_json(const struct json_writer *writer, struct sl_value value, int depth)
{
    if (depth > NESTING_MAX)
        return SL_ERR_LIMIT;
    switch (value.type) {
    case SL_VALUE_NONE:
        return sl_buf_append_text(writer->out, "null");
    case SL_VALUE_BOOL:
        return sl_buf_append_text(writer->out, value.boolean ? "true" : "false");
    case SL_VALUE_INT:
        return sl_value_write(value, writer->out);
    case SL_VALUE_FLOAT:
        if (isnan(value.number))
            return sl_buf_append_text(writer->out, "NaN");
        if (isinf(value.number))
            return sl_buf_append_text(writer->out, value.number < 0 ? "-Infinity" : "Infinity");
        return write_float(value.number, writer->out);
    case SL_VALUE_TEXT:
        return write_json_text(value.text, writer->out);
    case SL_VALUE_LIST:
        return write_json_list(writer, value.list, depth + 1);
    case SL_VALUE_DICT:
        return write_json_dict(writer, value.dict, depth + 1);
    default:
        return SL_ERR_INVALID;
    }
}

enum sl_err sl_value_write_json(struct sl_value value, const struct sl_json_style *style,
                                struct sl_buf *out)
{
    struct json_writer writer = {style, out};
    return write_json(&writer, value, 0);
}
