/* SPDX-License-Identifier: Apache-2.0
 *
 * Jinja's filters, one function each behind one table. `tojson` is transformers' own: json.dumps
 * without ASCII or HTML escapes.
 *
 * Left out, since no prompt needs them and a template with one is refused when it is compiled:
 * filesizeformat, pprint, random, striptags, urlize, wordwrap, xmlattr.
 */
#include "chat_interp.h"

#include "sluice/utf8.h"
#include "unicode.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

typedef struct sl_value filter_fn(struct sl_interp *interp, struct sl_value value,
                                  const struct sl_arguments *arguments);

/* ---- helpers ---- */

static bool flag_argument(const struct sl_arguments *arguments, size_t index, const char *name,
                          bool otherwise)
{
    const struct sl_value *value = sl_argument(arguments, index, name);
    return value != NULL ? sl_value_is_true(*value) : otherwise;
}

static int64_t int_argument(const struct sl_arguments *arguments, size_t index, const char *name,
                            int64_t otherwise)
{
    const struct sl_value *value = sl_argument(arguments, index, name);
    int64_t integer;
    return value != NULL && sl_value_as_int(*value, &integer) ? integer : otherwise;
}

static struct sl_slice text_argument(struct sl_interp *interp, const struct sl_arguments *arguments,
                                     size_t index, const char *name, struct sl_slice otherwise)
{
    const struct sl_value *value = sl_argument(arguments, index, name);
    return value != NULL ? sl_interp_text(interp, *value) : otherwise;
}

static bool add(struct sl_interp *interp, struct sl_list *list, struct sl_value value)
{
    if (!sl_interp_step(interp, 1))
        return false;
    if (sl_list_add(interp->arena, list, value))
        return true;
    sl_interp_memory(interp);
    return false;
}

static struct sl_list *new_list(struct sl_interp *interp)
{
    struct sl_list *list = sl_list_create(interp->arena, 0);
    if (list == NULL)
        sl_interp_memory(interp);
    return list;
}

/* "a.b.0" of a value: what `attribute=` means everywhere. */
static struct sl_value path_of(struct sl_interp *interp, struct sl_value value,
                               struct sl_value path)
{
    if (path.type != SL_VALUE_TEXT)
        return sl_interp_item(interp, value, path);
    struct sl_slice rest = path.text;
    while (interp->err == SL_OK) {
        const char *dot = rest.len > 0 ? memchr(rest.data, '.', rest.len) : NULL;
        struct sl_slice part = {rest.data, dot != NULL ? (size_t)(dot - rest.data) : rest.len};
        bool is_index = part.len > 0 && part.len < 10;
        int64_t index = 0;
        for (size_t i = 0; i < part.len && is_index; i++) {
            is_index = part.data[i] >= '0' && part.data[i] <= '9';
            index = index * 10 + (part.data[i] - '0');
        }
        value = sl_interp_item(interp, value, is_index ? sl_value_int(index) : sl_value_text(part));
        if (dot == NULL)
            return value;
        rest = (struct sl_slice){dot + 1, rest.len - part.len - 1};
    }
    return value;
}

/* Texts compare without case unless asked. */
static struct sl_value fold(struct sl_interp *interp, struct sl_value value, bool keeps_case)
{
    return value.type == SL_VALUE_TEXT && !keeps_case ? sl_text_map(interp, value.text, "lower")
                                                      : value;
}

/* The value by which an item is ordered or told apart. */
static struct sl_value key_of(struct sl_interp *interp, struct sl_value item,
                              const struct sl_value *attribute, bool keeps_case)
{
    if (attribute != NULL && attribute->type != SL_VALUE_NONE)
        item = path_of(interp, item, *attribute);
    return fold(interp, item, keeps_case);
}

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

/* ---- sequences ---- */

static struct sl_value filter_length(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    (void)arguments;
    switch (value.type) {
    case SL_VALUE_TEXT:
        return sl_value_int((int64_t)sl_text_length(value.text));
    case SL_VALUE_LIST:
        return sl_value_int((int64_t)value.list->count);
    case SL_VALUE_DICT:
        return sl_value_int((int64_t)value.dict->count);
    case SL_VALUE_UNDEFINED:
        return sl_value_int(0);
    default:
        return sl_interp_fail(interp, SL_ERR_INVALID, "object of type '%s' has no len()",
                              sl_value_type_name(value));
    }
}

static struct sl_value filter_default(struct sl_interp *interp, struct sl_value value,
                                      const struct sl_arguments *arguments)
{
    (void)interp;
    const struct sl_value *otherwise = sl_argument(arguments, 0, "default_value");
    bool tests_truth = flag_argument(arguments, 1, "boolean", false);
    bool is_missing = value.type == SL_VALUE_UNDEFINED ||
                      (tests_truth && !sl_value_is_true(value));
    if (!is_missing)
        return value;
    return otherwise != NULL ? *otherwise : sl_value_text(SL_SLICE(""));
}

static struct sl_value filter_first(struct sl_interp *interp, struct sl_value value,
                                    const struct sl_arguments *arguments)
{
    (void)arguments;
    struct sl_list *items = sl_interp_items(interp, value);
    if (items == NULL || items->count == 0)
        return sl_value_undefined(SL_SLICE("first item of an empty sequence"));
    return items->items[0];
}

static struct sl_value filter_last(struct sl_interp *interp, struct sl_value value,
                                   const struct sl_arguments *arguments)
{
    (void)arguments;
    struct sl_list *items = sl_interp_items(interp, value);
    if (items == NULL || items->count == 0)
        return sl_value_undefined(SL_SLICE("last item of an empty sequence"));
    return items->items[items->count - 1];
}

static struct sl_value filter_list(struct sl_interp *interp, struct sl_value value,
                                   const struct sl_arguments *arguments)
{
    (void)arguments;
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *list = new_list(interp);
    for (size_t i = 0; items != NULL && list != NULL && i < items->count; i++)
        if (!add(interp, list, items->items[i]))
            break;
    return list != NULL ? sl_value_list(list) : sl_value_none();
}

static struct sl_value filter_reverse(struct sl_interp *interp, struct sl_value value,
                                      const struct sl_arguments *arguments)
{
    (void)arguments;
    if (value.type == SL_VALUE_TEXT)
        return sl_text_slice(interp, value.text, (int64_t)sl_text_length(value.text) - 1, -1, -1);
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *list = new_list(interp);
    for (size_t i = items != NULL ? items->count : 0; list != NULL && i-- > 0;)
        if (!add(interp, list, items->items[i]))
            break;
    return list != NULL ? sl_value_list(list) : sl_value_none();
}

static struct sl_value filter_join(struct sl_interp *interp, struct sl_value value,
                                   const struct sl_arguments *arguments)
{
    struct sl_slice separator = text_argument(interp, arguments, 0, "d", SL_SLICE(""));
    const struct sl_value *attribute = sl_argument(arguments, 1, "attribute");
    if (attribute == NULL)
        return sl_text_join(interp, separator, value);
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *list = new_list(interp);
    for (size_t i = 0; items != NULL && list != NULL && i < items->count; i++)
        if (!add(interp, list, path_of(interp, items->items[i], *attribute)))
            return sl_value_none();
    return list != NULL ? sl_text_join(interp, separator, sl_value_list(list)) : sl_value_none();
}

static struct sl_value filter_items(struct sl_interp *interp, struct sl_value value,
                                    const struct sl_arguments *arguments)
{
    if (value.type == SL_VALUE_UNDEFINED) {
        struct sl_list *none = new_list(interp);
        return none != NULL ? sl_value_list(none) : value;
    }
    if (value.type != SL_VALUE_DICT)
        return sl_interp_fail(interp, SL_ERR_INVALID, "Can only get item pairs from a mapping.");
    return sl_interp_method(interp, value, SL_SLICE("items"), arguments);
}

/* Merge sort: stable, and the comparison may fail on the way. */
static void sort_range(struct sl_interp *interp, struct sl_pair *pairs, struct sl_pair *spare,
                       size_t count, bool is_reversed)
{
    if (count < 2 || !sl_interp_step(interp, count))
        return;
    size_t middle = count / 2;
    sort_range(interp, pairs, spare, middle, is_reversed);
    sort_range(interp, pairs + middle, spare, count - middle, is_reversed);
    size_t left = 0;
    size_t right = middle;
    for (size_t i = 0; i < count && interp->err == SL_OK; i++) {
        int order = 0;
        if (left < middle && right < count &&
            !sl_value_compare(pairs[right].key, pairs[left].key, &order)) {
            sl_interp_fail(interp, SL_ERR_INVALID, "'%s' and '%s' cannot be ordered",
                           sl_value_type_name(pairs[left].key),
                           sl_value_type_name(pairs[right].key));
            return;
        }
        bool takes_right = left == middle || (right < count && (is_reversed ? order > 0 : order < 0));
        spare[i] = takes_right ? pairs[right++] : pairs[left++];
    }
    memcpy(pairs, spare, count * sizeof *pairs);
}

/* The items by their keys, in order. */
static struct sl_value sort_by_key(struct sl_interp *interp, const struct sl_list *items,
                                   const struct sl_value *attribute, bool keeps_case,
                                   bool is_reversed)
{
    struct sl_pair *pairs = sl_arena_alloc(interp->arena, (items->count + 1) * sizeof *pairs);
    struct sl_pair *spare = sl_arena_alloc(interp->arena, (items->count + 1) * sizeof *spare);
    struct sl_list *list = new_list(interp);
    if (pairs == NULL || spare == NULL || list == NULL)
        return sl_interp_memory(interp);
    for (size_t i = 0; i < items->count && interp->err == SL_OK; i++)
        pairs[i] = (struct sl_pair){key_of(interp, items->items[i], attribute, keeps_case),
                                    items->items[i]};
    if (interp->err == SL_OK)
        sort_range(interp, pairs, spare, items->count, is_reversed);
    for (size_t i = 0; i < items->count && interp->err == SL_OK; i++)
        add(interp, list, pairs[i].value);
    return sl_value_list(list);
}

static struct sl_value filter_sort(struct sl_interp *interp, struct sl_value value,
                                   const struct sl_arguments *arguments)
{
    struct sl_list *items = sl_interp_items(interp, value);
    if (items == NULL)
        return value;
    return sort_by_key(interp, items, sl_argument(arguments, 2, "attribute"),
                       flag_argument(arguments, 1, "case_sensitive", false),
                       flag_argument(arguments, 0, "reverse", false));
}

static struct sl_value filter_dictsort(struct sl_interp *interp, struct sl_value value,
                                       const struct sl_arguments *arguments)
{
    struct sl_slice by = text_argument(interp, arguments, 1, "by", SL_SLICE("key"));
    struct sl_value position = sl_value_int(sl_slice_equal_text(by, "value"));
    struct sl_value pairs = filter_items(interp, value, arguments);
    if (interp->err != SL_OK)
        return pairs;
    return sort_by_key(interp, pairs.list, &position,
                       flag_argument(arguments, 0, "case_sensitive", false),
                       flag_argument(arguments, 2, "reverse", false));
}

static struct sl_value filter_unique(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    bool keeps_case = flag_argument(arguments, 0, "case_sensitive", false);
    const struct sl_value *attribute = sl_argument(arguments, 1, "attribute");
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *list = new_list(interp);
    struct sl_list *seen = new_list(interp);
    for (size_t i = 0; items != NULL && list != NULL && seen != NULL && i < items->count; i++) {
        struct sl_value key = key_of(interp, items->items[i], attribute, keeps_case);
        if (interp->err != SL_OK || sl_interp_contains(interp, sl_value_list(seen), key))
            continue;
        if (!add(interp, seen, key) || !add(interp, list, items->items[i]))
            break;
    }
    return list != NULL ? sl_value_list(list) : sl_value_none();
}

/* min and max. */
static struct sl_value extreme(struct sl_interp *interp, struct sl_value value,
                               const struct sl_arguments *arguments, int sign)
{
    bool keeps_case = flag_argument(arguments, 0, "case_sensitive", false);
    const struct sl_value *attribute = sl_argument(arguments, 1, "attribute");
    struct sl_list *items = sl_interp_items(interp, value);
    if (items == NULL || items->count == 0)
        return sl_value_undefined(SL_SLICE("extreme of an empty sequence"));
    size_t best = 0;
    struct sl_value best_key = key_of(interp, items->items[0], attribute, keeps_case);
    for (size_t i = 1; i < items->count && sl_interp_step(interp, 1); i++) {
        int order;
        struct sl_value key = key_of(interp, items->items[i], attribute, keeps_case);
        if (!sl_value_compare(key, best_key, &order))
            return sl_interp_fail(interp, SL_ERR_INVALID, "the items cannot be ordered");
        if (order * sign > 0) {
            best = i;
            best_key = key;
        }
    }
    return items->items[best];
}

static struct sl_value filter_min(struct sl_interp *interp, struct sl_value value,
                                  const struct sl_arguments *arguments)
{
    return extreme(interp, value, arguments, -1);
}

static struct sl_value filter_max(struct sl_interp *interp, struct sl_value value,
                                  const struct sl_arguments *arguments)
{
    return extreme(interp, value, arguments, 1);
}

static struct sl_value filter_sum(struct sl_interp *interp, struct sl_value value,
                                  const struct sl_arguments *arguments)
{
    const struct sl_value *attribute = sl_argument(arguments, 0, "attribute");
    const struct sl_value *start = sl_argument(arguments, 1, "start");
    struct sl_value sum = start != NULL ? *start : sl_value_int(0);
    struct sl_list *items = sl_interp_items(interp, value);
    for (size_t i = 0; items != NULL && i < items->count && sl_interp_step(interp, 1); i++) {
        struct sl_value item = items->items[i];
        if (attribute != NULL && attribute->type != SL_VALUE_NONE)
            item = path_of(interp, item, *attribute);
        sum = sl_interp_binary(interp, SL_OP_ADD, sum, item);
    }
    return sum;
}

/* ---- filters that take filters and tests ---- */

/* The arguments from `first` on, for the filter or test named by the one before. */
static bool rest_of(struct sl_interp *interp, const struct sl_arguments *arguments, size_t first,
                    struct sl_arguments *out)
{
    out->named = arguments->named;
    out->positional = new_list(interp);
    for (size_t i = first; out->positional != NULL && i < arguments->positional->count; i++)
        if (!add(interp, out->positional, arguments->positional->items[i]))
            return false;
    return out->positional != NULL;
}

static struct sl_value map_one(struct sl_interp *interp, struct sl_value item,
                               const struct sl_arguments *arguments,
                               const struct sl_arguments *rest)
{
    const struct sl_value *attribute = sl_dict_get_text(arguments->named, SL_SLICE("attribute"));
    const struct sl_value *otherwise = sl_dict_get_text(arguments->named, SL_SLICE("default"));
    if (attribute == NULL)
        return sl_interp_filter(interp, arguments->positional->items[0].text, item, rest);
    struct sl_value value = path_of(interp, item, *attribute);
    return value.type == SL_VALUE_UNDEFINED && otherwise != NULL ? *otherwise : value;
}

static struct sl_value filter_map(struct sl_interp *interp, struct sl_value value,
                                  const struct sl_arguments *arguments)
{
    struct sl_arguments rest;
    bool has_attribute = sl_dict_get_text(arguments->named, SL_SLICE("attribute")) != NULL;
    const struct sl_value *name = sl_argument(arguments, 0, NULL);
    if (!has_attribute && (name == NULL || name->type != SL_VALUE_TEXT))
        return sl_interp_fail(interp, SL_ERR_INVALID, "map requires a filter argument");
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *list = new_list(interp);
    if (items == NULL || list == NULL || !rest_of(interp, arguments, 1, &rest))
        return sl_value_none();
    for (size_t i = 0; i < items->count; i++) {
        struct sl_value mapped = map_one(interp, items->items[i], arguments, &rest);
        if (interp->err != SL_OK || !add(interp, list, mapped))
            break;
    }
    return sl_value_list(list);
}

/* select, reject, selectattr, rejectattr. */
static struct sl_value choose(struct sl_interp *interp, struct sl_value value,
                              const struct sl_arguments *arguments, bool by_attribute,
                              bool is_wanted)
{
    struct sl_arguments rest;
    size_t test_index = by_attribute ? 1 : 0;
    const struct sl_value *attribute = by_attribute ? sl_argument(arguments, 0, NULL) : NULL;
    const struct sl_value *test = sl_argument(arguments, test_index, NULL);
    if ((by_attribute && attribute == NULL) || (test != NULL && test->type != SL_VALUE_TEXT))
        return sl_interp_fail(interp, SL_ERR_INVALID, "Missing parameter for attribute name");
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *list = new_list(interp);
    if (items == NULL || list == NULL || !rest_of(interp, arguments, test_index + 1, &rest))
        return sl_value_none();
    for (size_t i = 0; i < items->count && interp->err == SL_OK; i++) {
        struct sl_value item = items->items[i];
        struct sl_value tested = by_attribute ? path_of(interp, item, *attribute) : item;
        if (interp->err != SL_OK)
            break;
        bool holds = test != NULL ? sl_interp_test(interp, test->text, tested, &rest)
                                  : sl_value_is_true(tested);
        if (holds == is_wanted && !add(interp, list, item))
            break;
    }
    return sl_value_list(list);
}

static struct sl_value filter_select(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    return choose(interp, value, arguments, false, true);
}

static struct sl_value filter_reject(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    return choose(interp, value, arguments, false, false);
}

static struct sl_value filter_selectattr(struct sl_interp *interp, struct sl_value value,
                                         const struct sl_arguments *arguments)
{
    return choose(interp, value, arguments, true, true);
}

static struct sl_value filter_rejectattr(struct sl_interp *interp, struct sl_value value,
                                         const struct sl_arguments *arguments)
{
    return choose(interp, value, arguments, true, false);
}

static struct sl_value filter_attr(struct sl_interp *interp, struct sl_value value,
                                   const struct sl_arguments *arguments)
{
    struct sl_slice name = text_argument(interp, arguments, 0, "name", SL_SLICE(""));
    if (value.type == SL_VALUE_DICT && !sl_interp_has_method(value, name))
        return sl_value_undefined(name); /* attributes only: an item is none */
    return sl_interp_attribute(interp, value, name);
}

/* ---- groups ---- */

static struct sl_value filter_groupby(struct sl_interp *interp, struct sl_value value,
                                      const struct sl_arguments *arguments)
{
    const struct sl_value *attribute = sl_argument(arguments, 0, "attribute");
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *groups = new_list(interp);
    if (items == NULL || groups == NULL)
        return sl_value_none();
    if (attribute == NULL)
        return sl_interp_fail(interp, SL_ERR_INVALID, "groupby: needs an attribute");
    struct sl_value sorted = sort_by_key(interp, items, attribute, false, false);
    struct sl_list *members = NULL;
    struct sl_value last = sl_value_none();
    for (size_t i = 0; interp->err == SL_OK && i < sorted.list->count; i++) {
        struct sl_value item = sorted.list->items[i];
        struct sl_value key = key_of(interp, item, attribute, false);
        if (members == NULL || !sl_value_equal(key, last)) {
            struct sl_list *group = new_list(interp);
            members = new_list(interp);
            if (group == NULL || members == NULL)
                break;
            group->is_tuple = true;
            group->is_group = true;
            if (!add(interp, group, path_of(interp, item, *attribute)) ||
                !add(interp, group, sl_value_list(members)) ||
                !add(interp, groups, sl_value_list(group)))
                break;
        }
        add(interp, members, item);
        last = key;
    }
    return sl_value_list(groups);
}

static struct sl_value filter_batch(struct sl_interp *interp, struct sl_value value,
                                    const struct sl_arguments *arguments)
{
    int64_t size = int_argument(arguments, 0, "linecount", 1);
    const struct sl_value *fill = sl_argument(arguments, 1, "fill_with");
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *batches = new_list(interp);
    struct sl_list *batch = NULL;
    if (size < 1)
        return sl_interp_fail(interp, SL_ERR_INVALID, "batch: size must be at least 1");
    for (size_t i = 0; items != NULL && batches != NULL && i < items->count; i++) {
        if (i % (size_t)size == 0) {
            batch = new_list(interp);
            if (batch == NULL || !add(interp, batches, sl_value_list(batch)))
                break;
        }
        if (!add(interp, batch, items->items[i]))
            break;
    }
    while (interp->err == SL_OK && fill != NULL && batch != NULL && batch->count < (size_t)size)
        add(interp, batch, *fill);
    return batches != NULL ? sl_value_list(batches) : sl_value_none();
}

/* `slices` columns, the first ones longer by one where it does not come out even. */
static struct sl_value filter_slice(struct sl_interp *interp, struct sl_value value,
                                    const struct sl_arguments *arguments)
{
    int64_t count = int_argument(arguments, 0, "slices", 1);
    const struct sl_value *fill = sl_argument(arguments, 1, "fill_with");
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *columns = new_list(interp);
    if (items == NULL || columns == NULL)
        return sl_value_none();
    if (count < 1)
        return sl_interp_fail(interp, SL_ERR_INVALID, "slice: count must be at least 1");
    size_t each = items->count / (size_t)count;
    size_t longer = items->count % (size_t)count;
    size_t at = 0;
    for (size_t i = 0; i < (size_t)count && interp->err == SL_OK; i++) {
        struct sl_list *column = new_list(interp);
        size_t len = each + (i < longer);
        if (column == NULL || !add(interp, columns, sl_value_list(column)))
            break;
        for (size_t j = 0; j < len && add(interp, column, items->items[at]); j++)
            at++;
        if (fill != NULL && i >= longer && longer > 0)
            add(interp, column, *fill);
    }
    return sl_value_list(columns);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    filter_fn *apply;
} filters[] = {
    {"abs", filter_abs},             {"attr", filter_attr},
    {"batch", filter_batch},         {"capitalize", filter_capitalize},
    {"center", filter_center},       {"count", filter_length},
    {"d", filter_default},           {"default", filter_default},
    {"dictsort", filter_dictsort},   {"e", filter_escape},
    {"escape", filter_escape},       {"first", filter_first},
    {"float", filter_float},         {"forceescape", filter_escape},
    {"format", filter_format},       {"groupby", filter_groupby},
    {"indent", filter_indent},       {"int", filter_int},
    {"items", filter_items},         {"join", filter_join},
    {"last", filter_last},           {"length", filter_length},
    {"list", filter_list},           {"lower", filter_lower},
    {"map", filter_map},             {"max", filter_max},
    {"min", filter_min},             {"reject", filter_reject},
    {"rejectattr", filter_rejectattr}, {"replace", filter_replace},
    {"reverse", filter_reverse},     {"round", filter_round},
    {"safe", filter_same},           {"select", filter_select},
    {"selectattr", filter_selectattr}, {"slice", filter_slice},
    {"sort", filter_sort},           {"string", filter_string},
    {"sum", filter_sum},             {"title", filter_title},
    {"tojson", filter_tojson},       {"trim", filter_trim},
    {"truncate", filter_truncate},   {"unique", filter_unique},
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
