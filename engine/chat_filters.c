/* SPDX-License-Identifier: Apache-2.0
 *
 * Jinja's filters, one function each behind one table; those over sequences are
 * chat_filters_list.c's. `tojson` is transformers' own: json.dumps without ASCII or HTML escapes.
 *
 * Left out, since no prompt needs them and a template with one is refused when it is compiled:
 * filesizeformat, pprint, random, striptags, urlize, wordwrap, xmlattr.
 */
#include "chat_filters.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

/* ---- texts ---- */

static struct sl_value filter_upper(struct sl_interp *interp, struct sl_value value,
                                    const struct sl_arguments *arguments)
{
    (void)arguments;
    return sl_text_map(interp, sl_interp_text(interp, value), "upper");
}

static struct sl_value filter_lower(struct sl_interp *interp, struct sl_value value,
                                    const struct sl_arguments *arguments)
{
    (void)arguments;
    return sl_text_map(interp, sl_interp_text(interp, value), "lower");
}

static struct sl_value filter_capitalize(struct sl_interp *interp, struct sl_value value,
                                         const struct sl_arguments *arguments)
{
    (void)arguments;
    return sl_text_map(interp, sl_interp_text(interp, value), "capitalize");
}

/* Words begin after white space, hyphens and opening brackets only. */
static struct sl_value filter_title(struct sl_interp *interp, struct sl_value value,
                                    const struct sl_arguments *arguments)
{
    (void)arguments;
    struct sl_value lower = sl_text_map(interp, sl_interp_text(interp, value), "lower");
    struct sl_value upper = sl_text_map(interp, sl_interp_text(interp, value), "upper");
    if (interp->err != SL_OK || lower.text.len != upper.text.len)
        return lower;
    struct sl_value title = sl_text_copy(interp, lower.text);
    if (interp->err != SL_OK)
        return title;
    char *text = (char *)(uintptr_t)title.text.data; /* ours, just made */
    for (size_t i = 0; i < title.text.len; i++)
        if (i == 0 || strchr("-({[< \t\n\r\f\v", text[i - 1]) != NULL)
            for (size_t j = i; j == i || (j < title.text.len && (text[j] & 0xC0) == 0x80); j++)
                text[j] = upper.text.data[j];
    return title;
}

static struct sl_value filter_trim(struct sl_interp *interp, struct sl_value value,
                                   const struct sl_arguments *arguments)
{
    const struct sl_value *given = sl_argument(arguments, 0, "chars");
    bool has_set = given != NULL && given->type == SL_VALUE_TEXT;
    struct sl_slice text = sl_interp_text(interp, value);
    return sl_value_text(sl_text_strip(text, has_set ? &given->text : NULL, true, true));
}

static struct sl_value filter_replace(struct sl_interp *interp, struct sl_value value,
                                      const struct sl_arguments *arguments)
{
    struct sl_slice from = text_argument(interp, arguments, 0, "old", SL_SLICE(""));
    struct sl_slice to = text_argument(interp, arguments, 1, "new", SL_SLICE(""));
    struct sl_slice text = sl_interp_text(interp, value);
    if (interp->err != SL_OK)
        return sl_value_none();
    return sl_text_replace(interp, text, from, to, int_argument(arguments, 2, "count", -1));
}

static struct sl_value filter_string(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    (void)arguments;
    return sl_value_text(sl_interp_text(interp, value));
}

static struct sl_value filter_same(struct sl_interp *interp, struct sl_value value,
                                   const struct sl_arguments *arguments)
{
    (void)interp;
    (void)arguments;
    return value;
}

static enum sl_err append_indent(struct sl_buf *buf, struct sl_slice unit, int64_t width)
{
    enum sl_err err = SL_OK;
    for (int64_t i = 0; i < width && err == SL_OK; i++)
        err = sl_buf_append_slice(buf, unit);
    return err;
}

static struct sl_value filter_indent(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    const struct sl_value *given = sl_argument(arguments, 0, "width");
    bool is_text = given != NULL && given->type == SL_VALUE_TEXT;
    struct sl_slice unit = is_text ? given->text : SL_SLICE(" ");
    int64_t width = is_text ? 1 : int_argument(arguments, 0, "width", 4);
    bool indents_first = flag_argument(arguments, 1, "first", false);
    bool indents_blank = flag_argument(arguments, 2, "blank", false);
    struct sl_slice text = sl_interp_text(interp, value);
    struct sl_buf buf;
    struct sl_buf *outer;
    sl_interp_capture_begin(interp, &buf, &outer);
    bool is_first = true;
    enum sl_err err = SL_OK;
    while ((text.len > 0 || is_first) && err == SL_OK && sl_interp_step(interp, 1)) {
        const char *newline = text.len > 0 ? memchr(text.data, '\n', text.len) : NULL;
        size_t len = newline != NULL ? (size_t)(newline - text.data) : text.len;
        if (is_first ? indents_first : len > 0 || indents_blank)
            err = append_indent(&buf, unit, width);
        size_t used = len + (newline != NULL);
        if (err == SL_OK)
            err = sl_buf_append(&buf, text.data, used);
        text = (struct sl_slice){text.data + used, text.len - used};
        is_first = false;
    }
    if (err != SL_OK)
        sl_interp_fail(interp, err, "a text is too long");
    return sl_interp_capture_end(interp, &buf, outer);
}

static struct sl_value filter_wordcount(struct sl_interp *interp, struct sl_value value,
                                        const struct sl_arguments *arguments)
{
    (void)arguments;
    struct sl_value words = sl_text_split(interp, sl_interp_text(interp, value), NULL, -1);
    return words.type == SL_VALUE_LIST ? sl_value_int((int64_t)words.list->count) : words;
}

/* Longer texts end with `end`; whole words unless `killwords`; `leeway` characters are let be. */
static struct sl_value filter_truncate(struct sl_interp *interp, struct sl_value value,
                                       const struct sl_arguments *arguments)
{
    int64_t length = int_argument(arguments, 0, "length", 255);
    bool kills_words = flag_argument(arguments, 1, "killwords", false);
    struct sl_slice end = text_argument(interp, arguments, 2, "end", SL_SLICE("..."));
    int64_t leeway = int_argument(arguments, 3, "leeway", 5);
    struct sl_slice text = sl_interp_text(interp, value);
    int64_t kept = length - (int64_t)sl_text_length(end);
    if (interp->err != SL_OK || kept < 0 || (int64_t)sl_text_length(text) <= length + leeway)
        return sl_value_text(text);
    struct sl_value head = sl_text_slice(interp, text, 0, kept, 1);
    if (interp->err != SL_OK)
        return head;
    int64_t space = sl_text_find(head.text, SL_SLICE(" "), true);
    if (!kills_words && space >= 0)
        head.text.len = (size_t)space;
    return sl_interp_binary(interp, SL_OP_CONCAT, head, sl_value_text(end));
}

static struct sl_value filter_center(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    struct sl_value text = sl_value_text(sl_interp_text(interp, value));
    return interp->err == SL_OK ? sl_interp_method(interp, text, SL_SLICE("center"), arguments)
                                : text;
}

static struct sl_value filter_format(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    arguments->positional->is_tuple = true;
    return sl_interp_binary(interp, SL_OP_MODULO, sl_value_text(sl_interp_text(interp, value)),
                            sl_value_list(arguments->positional));
}

static struct sl_value filter_escape(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    static const struct {
        struct sl_slice from;
        struct sl_slice to;
    } pairs[] = {
        {{"&", 1}, {"&amp;", 5}},   {{"<", 1}, {"&lt;", 4}},   {{">", 1}, {"&gt;", 4}},
        {{"\"", 1}, {"&#34;", 5}}, {{"'", 1}, {"&#39;", 5}},
    };
    (void)arguments;
    struct sl_value text = sl_value_text(sl_interp_text(interp, value));
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && interp->err == SL_OK; i++)
        text = sl_text_replace(interp, text.text, pairs[i].from, pairs[i].to, -1);
    return text;
}

static struct sl_value filter_urlencode(struct sl_interp *interp, struct sl_value value,
                                        const struct sl_arguments *arguments)
{
    (void)arguments;
    struct sl_slice text = sl_interp_text(interp, value);
    struct sl_buf buf;
    struct sl_buf *outer;
    enum sl_err err = SL_OK;
    sl_interp_capture_begin(interp, &buf, &outer);
    for (size_t i = 0; i < text.len && err == SL_OK; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool is_safe = isalnum(c) || strchr("_.-~/", c) != NULL;
        err = is_safe && c != '\0' ? sl_buf_append_char(&buf, (char)c)
                                   : sl_buf_printf(&buf, "%%%02X", (unsigned)c);
    }
    if (err != SL_OK)
        sl_interp_fail(interp, err, "a text is too long");
    return sl_interp_capture_end(interp, &buf, outer);
}

/* ---- JSON ---- */

static struct sl_value filter_tojson(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    const struct sl_value *separators = sl_argument(arguments, 2, "separators");
    const struct sl_value *indent = sl_argument(arguments, 1, "indent");
    struct sl_json_style style = {.indent = -1};
    int64_t width;
    /* transformers: tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False);
     * the first positional argument of the filter is ensure_ascii. Templates that pass one mean
     * the indent of Jinja's own filter. */
    if (indent == NULL && arguments->positional->count == 1)
        indent = &arguments->positional->items[0];
    if (indent != NULL && indent->type != SL_VALUE_BOOL && sl_value_as_int(*indent, &width))
        style.indent = (int)(width < 0 ? 0 : width > 64 ? 64 : width);
    style.sort_keys = flag_argument(arguments, 3, "sort_keys", false);
    if (separators != NULL && separators->type == SL_VALUE_LIST && separators->list->count == 2) {
        style.has_separators = true;
        style.item_separator = sl_interp_text(interp, separators->list->items[0]);
        style.key_separator = sl_interp_text(interp, separators->list->items[1]);
    }
    struct sl_buf buf;
    struct sl_buf *outer;
    sl_interp_capture_begin(interp, &buf, &outer);
    enum sl_err err = sl_value_write_json(value, &style, &buf);
    if (err == SL_ERR_INVALID)
        sl_interp_fail(interp, err, "'%s' is not JSON serializable", sl_value_type_name(value));
    else if (err != SL_OK)
        sl_interp_fail(interp, err, "a text is too long or nested too deep");
    return sl_interp_capture_end(interp, &buf, outer);
}

/* ---- numbers ---- */

static struct sl_value filter_int(struct sl_interp *interp, struct sl_value value,
                                  const struct sl_arguments *arguments)
{
    int64_t integer;
    int64_t otherwise = int_argument(arguments, 0, "default", 0);
    int64_t base = int_argument(arguments, 1, "base", 10);
    if (value.type == SL_VALUE_FLOAT)
        return fabs(value.number) < 9e18 ? sl_value_int((int64_t)value.number)
                                         : sl_value_int(otherwise);
    if (sl_value_as_int(value, &integer))
        return sl_value_int(integer);
    if (value.type != SL_VALUE_TEXT || base < 2 || base > 36)
        return sl_value_int(otherwise);
    struct sl_slice text = sl_text_strip(value.text, NULL, true, true);
    char *copy = sl_arena_dup(interp->arena, text);
    if (copy == NULL)
        return sl_interp_memory(interp);
    char *end;
    long long parsed = strtoll(copy, &end, (int)base);
    if (end == copy + text.len && text.len > 0)
        return sl_value_int(parsed);
    double number = strtod(copy, &end);
    bool is_number = end == copy + text.len && text.len > 0 && fabs(number) < 9e18;
    return sl_value_int(is_number ? (int64_t)number : otherwise);
}

static struct sl_value filter_float(struct sl_interp *interp, struct sl_value value,
                                    const struct sl_arguments *arguments)
{
    const struct sl_value *given = sl_argument(arguments, 0, "default");
    double otherwise = given != NULL ? sl_value_as_float(*given) : 0;
    if (sl_value_is_number(value))
        return sl_value_float(sl_value_as_float(value));
    if (value.type != SL_VALUE_TEXT)
        return sl_value_float(otherwise);
    struct sl_slice text = sl_text_strip(value.text, NULL, true, true);
    char *copy = sl_arena_dup(interp->arena, text);
    if (copy == NULL)
        return sl_interp_memory(interp);
    char *end;
    double number = strtod(copy, &end);
    return sl_value_float(end == copy + text.len && text.len > 0 ? number : otherwise);
}

static struct sl_value filter_abs(struct sl_interp *interp, struct sl_value value,
                                  const struct sl_arguments *arguments)
{
    (void)arguments;
    if (value.type == SL_VALUE_FLOAT)
        return sl_value_float(fabs(value.number));
    int64_t integer;
    if (!sl_value_as_int(value, &integer) || integer == INT64_MIN)
        return sl_interp_fail(interp, SL_ERR_INVALID, "abs: not a number");
    return sl_value_int(integer < 0 ? -integer : integer);
}

static struct sl_value filter_round(struct sl_interp *interp, struct sl_value value,
                                    const struct sl_arguments *arguments)
{
    int64_t precision = int_argument(arguments, 0, "precision", 0);
    struct sl_slice method = text_argument(interp, arguments, 1, "method", SL_SLICE("common"));
    if (!sl_value_is_number(value))
        return sl_interp_fail(interp, SL_ERR_INVALID, "round: not a number");
    double scale = pow(10, (double)precision);
    double scaled = sl_value_as_float(value) * scale;
    if (sl_slice_equal_text(method, "ceil"))
        scaled = ceil(scaled);
    else if (sl_slice_equal_text(method, "floor"))
        scaled = floor(scaled);
    else
        scaled = rint(scaled); /* halves to even, as Python */
    return sl_value_float(scaled / scale);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    filter_fn *apply;
} filters[] = {
    {"abs", filter_abs},             {"attr", sl_filter_attr},
    {"batch", sl_filter_batch},         {"capitalize", filter_capitalize},
    {"center", filter_center},       {"count", sl_filter_length},
    {"d", sl_filter_default},           {"default", sl_filter_default},
    {"dictsort", sl_filter_dictsort},   {"e", filter_escape},
    {"escape", filter_escape},       {"first", sl_filter_first},
    {"float", filter_float},         {"forceescape", filter_escape},
    {"format", filter_format},       {"groupby", sl_filter_groupby},
    {"indent", filter_indent},       {"int", filter_int},
    {"items", sl_filter_items},         {"join", sl_filter_join},
    {"last", sl_filter_last},           {"length", sl_filter_length},
    {"list", sl_filter_list},           {"lower", filter_lower},
    {"map", sl_filter_map},             {"max", sl_filter_max},
    {"min", sl_filter_min},             {"reject", sl_filter_reject},
    {"rejectattr", sl_filter_rejectattr}, {"replace", filter_replace},
    {"reverse", sl_filter_reverse},     {"round", filter_round},
    {"safe", filter_same},           {"select", sl_filter_select},
    {"selectattr", sl_filter_selectattr}, {"slice", sl_filter_slice},
    {"sort", sl_filter_sort},           {"string", filter_string},
    {"sum", sl_filter_sum},             {"title", filter_title},
    {"tojson", filter_tojson},       {"trim", filter_trim},
    {"truncate", filter_truncate},   {"unique", sl_filter_unique},
    {"upper", filter_upper},         {"urlencode", filter_urlencode},
    {"wordcount", filter_wordcount},
};

static filter_fn *find_filter(struct sl_slice name)
{
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (sl_slice_equal_text(name, filters[i].name))
            return filters[i].apply;
    return NULL;
}

bool sl_interp_has_filter(struct sl_slice name)
{
    return find_filter(name) != NULL;
}

struct sl_value sl_interp_filter(struct sl_interp *interp, struct sl_slice name,
                                 struct sl_value value, const struct sl_arguments *arguments)
{
    filter_fn *filter = find_filter(name);
    if (filter == NULL)
        return sl_interp_fail(interp, SL_ERR_UNSUPPORTED, "No filter named '%.*s'.",
                              (int)(name.len < 60 ? name.len : 60), name.data);
    if (++interp->depth > SL_CHAT_DEPTH_MAX) /* map('map', 'map', ...) */
        sl_interp_fail(interp, SL_ERR_LIMIT, "nested too deep");
    struct sl_value result =
        sl_interp_step(interp, 1) ? filter(interp, value, arguments) : sl_value_none();
    interp->depth--;
    return result;
}
