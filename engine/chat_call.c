/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls: the global functions that transformers gives templates, macros, loops that recurse, and
 * the methods of texts, dictionaries and lists that read. Methods that would change a value are
 * refused, as in the publishers' sandbox.
 */
#include "chat_interp.h"

#include <stdio.h>
#include <time.h>

/* A text argument; an error where it is missing or of another type. */
static struct sl_slice text_argument(struct sl_interp *interp, const struct sl_arguments *arguments,
                                     size_t index, const char *name)
{
    const struct sl_value *value = sl_argument(arguments, index, name);
    if (value != NULL && value->type == SL_VALUE_TEXT)
        return value->text;
    sl_interp_fail(interp, SL_ERR_INVALID, "argument %zu must be a string, not %s", index + 1,
                   value != NULL ? sl_value_type_name(*value) : "missing");
    return (struct sl_slice){"", 0};
}

static int64_t int_argument(const struct sl_arguments *arguments, size_t index, const char *name,
                            int64_t otherwise)
{
    const struct sl_value *value = sl_argument(arguments, index, name);
    int64_t integer;
    return value != NULL && sl_value_as_int(*value, &integer) ? integer : otherwise;
}

/* ---- global functions ---- */

static struct sl_value call_range(struct sl_interp *interp, const struct sl_arguments *arguments)
{
    size_t count = arguments->positional->count;
    int64_t start = count > 1 ? int_argument(arguments, 0, NULL, 0) : 0;
    int64_t stop = int_argument(arguments, count > 1 ? 1 : 0, NULL, 0);
    int64_t step = count > 2 ? int_argument(arguments, 2, NULL, 1) : 1;
    struct sl_list *list = sl_list_create(interp->arena, 0);
    if (list == NULL)
        return sl_interp_memory(interp);
    if (step == 0 || count == 0)
        return sl_interp_fail(interp, SL_ERR_INVALID, "range: needs a stop and a step other than 0");
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
        if (!sl_interp_step(interp, 1))
            break;
        if (!sl_list_add(interp->arena, list, sl_value_int(i)))
            return sl_interp_memory(interp);
        if (__builtin_add_overflow(i, step, &i))
            break;
    }
    return sl_value_list(list);
}

/* dict(a=1), dict(other), namespace(...) */
static struct sl_value call_dict(struct sl_interp *interp, const struct sl_arguments *arguments,
                                 enum sl_value_type type)
{
    struct sl_dict *dict = sl_dict_create(interp->arena);
    const struct sl_value *other = sl_argument(arguments, 0, NULL);
    bool fits = dict != NULL;
    if (other != NULL && other->type == SL_VALUE_DICT)
        for (size_t i = 0; fits && i < other->dict->count; i++)
            fits = sl_dict_set(interp->arena, dict, other->dict->pairs[i].key,
                               other->dict->pairs[i].value);
    for (size_t i = 0; fits && i < arguments->named->count; i++)
        fits = sl_dict_set(interp->arena, dict, arguments->named->pairs[i].key,
                           arguments->named->pairs[i].value);
    if (!fits)
        return sl_interp_memory(interp);
    return (struct sl_value){.type = type, .dict = dict};
}

static struct sl_value call_raise(struct sl_interp *interp, const struct sl_arguments *arguments)
{
    const struct sl_value *message = sl_argument(arguments, 0, "message");
    struct sl_slice text = message != NULL ? sl_interp_text(interp, *message) : SL_SLICE("");
    if (interp->err == SL_OK)
        interp->err = sl_error_set(interp->error, SL_ERR_INVALID, "%.*s", SL_SLICE_ARG(text));
    return sl_value_none();
}

static struct sl_value call_strftime(struct sl_interp *interp,
                                     const struct sl_arguments *arguments)
{
    struct sl_slice format = text_argument(interp, arguments, 0, "format");
    char terminated[128];
    char out[512];
    if (interp->err != SL_OK)
        return sl_value_none();
    if (format.len >= sizeof terminated || memchr(format.data, '\0', format.len) != NULL)
        return sl_interp_fail(interp, SL_ERR_LIMIT, "strftime_now: the format is too long");
    memcpy(terminated, format.data, format.len);
    terminated[format.len] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the template's; strftime is bounded */
    size_t len = strftime(out, sizeof out, terminated, interp->now);
#pragma GCC diagnostic pop
    return sl_text_copy(interp, (struct sl_slice){out, len});
}

static struct sl_value make_state(struct sl_interp *interp, enum sl_callable_kind kind,
                                  struct sl_value receiver)
{
    struct sl_callable *callable = sl_arena_zalloc(interp->arena, 1, sizeof *callable);
    if (callable == NULL)
        return sl_interp_memory(interp);
    *callable = (struct sl_callable){.kind = kind, .receiver = receiver};
    return (struct sl_value){.type = SL_VALUE_CALLABLE, .callable = callable};
}

static struct sl_value call_joiner(struct sl_interp *interp, const struct sl_arguments *arguments)
{
    const struct sl_value *separator = sl_argument(arguments, 0, "sep");
    return make_state(interp, SL_CALL_JOINER,
                      separator != NULL ? *separator : sl_value_text(SL_SLICE(", ")));
}

static struct sl_value call_cycler(struct sl_interp *interp, const struct sl_arguments *arguments)
{
    if (arguments->positional->count == 0)
        return sl_interp_fail(interp, SL_ERR_INVALID, "cycler: needs at least one item");
    return make_state(interp, SL_CALL_CYCLER, sl_value_list(arguments->positional));
}

static struct sl_value call_namespace(struct sl_interp *interp,
                                      const struct sl_arguments *arguments)
{
    return call_dict(interp, arguments, SL_VALUE_NAMESPACE);
}

static struct sl_value call_plain_dict(struct sl_interp *interp,
                                       const struct sl_arguments *arguments)
{
    return call_dict(interp, arguments, SL_VALUE_DICT);
}

typedef struct sl_value function_fn(struct sl_interp *interp,
                                    const struct sl_arguments *arguments);

static const struct {
    const char *name;
    function_fn *call;
} functions[] = {
    {"range", call_range},   {"dict", call_plain_dict},        {"namespace", call_namespace},
    {"joiner", call_joiner}, {"cycler", call_cycler},          {"raise_exception", call_raise},
    {"strftime_now", call_strftime},
};

static function_fn *find_function(struct sl_slice name)
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (sl_slice_equal_text(name, functions[i].name))
            return functions[i].call;
    return NULL;
}

bool sl_interp_has_function(struct sl_slice name)
{
    return find_function(name) != NULL;
}

/* ---- methods of texts ---- */

static const char *const text_methods[] = {
    "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "upper", "lower", "title",
    "capitalize", "swapcase", "casefold", "startswith", "endswith", "replace", "find", "rfind",
    "index", "rindex", "count", "join", "isdigit", "isdecimal", "isnumeric", "isalpha", "isalnum",
    "isspace", "isupper", "islower", "removeprefix", "removesuffix", "format", "zfill", "ljust",
    "rjust", "center", "partition", "rpartition", NULL,
};
static const char *const dict_methods[] = {"items", "keys", "values", "get", "copy", NULL};
static const char *const list_methods[] = {"index", "count", "copy", NULL};
static const char *const loop_methods[] = {"cycle", "changed", NULL};
static const char *const cycler_methods[] = {"next", "reset", "current", NULL};
/* They exist in Python, so they hide items of the same name; calling them is refused. */
static const char *const changing_dict_methods[] = {"pop", "update", "clear", "setdefault",
                                                    "popitem", "fromkeys", NULL};
static const char *const changing_list_methods[] = {"append", "extend", "insert", "remove", "pop",
                                                    "clear", "sort", "reverse", NULL};

static bool is_one_of(struct sl_slice name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (sl_slice_equal_text(name, *names))
            return true;
    return false;
}

bool sl_interp_has_method(struct sl_value receiver, struct sl_slice name)
{
    switch (receiver.type) {
    case SL_VALUE_TEXT:
        return is_one_of(name, text_methods);
    case SL_VALUE_DICT:
        return is_one_of(name, dict_methods) || is_one_of(name, changing_dict_methods);
    case SL_VALUE_LIST:
        return is_one_of(name, list_methods) || is_one_of(name, changing_list_methods);
    case SL_VALUE_LOOP:
        return is_one_of(name, loop_methods);
    case SL_VALUE_CALLABLE:
        return receiver.callable->kind == SL_CALL_CYCLER && is_one_of(name, cycler_methods);
    default:
        return false;
    }
}

/* startswith and endswith, which take one text or a tuple of them. */
static struct sl_value has_affix(struct sl_interp *interp, struct sl_slice text,
                                 const struct sl_arguments *arguments, bool at_end)
{
    const struct sl_value *given = sl_argument(arguments, 0, "prefix");
    struct sl_value one = given != NULL ? *given : sl_value_none();
    size_t count = one.type == SL_VALUE_LIST ? one.list->count : 1;
    for (size_t i = 0; i < count && sl_interp_step(interp, 1); i++) {
        struct sl_value item = one.type == SL_VALUE_LIST ? one.list->items[i] : one;
        if (item.type != SL_VALUE_TEXT)
            return sl_interp_fail(interp, SL_ERR_INVALID, "expected a string, not %s",
                                  sl_value_type_name(item));
        struct sl_slice affix = item.text;
        if (affix.len > text.len)
            continue;
        const char *from = at_end ? text.data + text.len - affix.len : text.data;
        if (affix.len == 0 || memcmp(from, affix.data, affix.len) == 0)
            return sl_value_bool(true);
    }
    return sl_value_bool(false);
}

static struct sl_value strip_method(struct sl_interp *interp, struct sl_slice text,
                                    struct sl_slice name, const struct sl_arguments *arguments)
{
    const struct sl_value *given = sl_argument(arguments, 0, "chars");
    bool has_set = given != NULL && given->type == SL_VALUE_TEXT;
    bool left = name.data[0] != 'r';
    bool right = name.data[0] != 'l';
    (void)interp;
    return sl_value_text(sl_text_strip(text, has_set ? &given->text : NULL, left, right));
}

static struct sl_value split_method(struct sl_interp *interp, struct sl_slice text,
                                    struct sl_slice name, const struct sl_arguments *arguments)
{
    const struct sl_value *given = sl_argument(arguments, 0, "sep");
    const struct sl_slice *separator =
        given != NULL && given->type == SL_VALUE_TEXT ? &given->text : NULL;
    int64_t count_max = int_argument(arguments, 1, "maxsplit", -1);
    return name.data[0] == 'r' ? sl_text_rsplit(interp, text, separator, count_max)
                               : sl_text_split(interp, text, separator, count_max);
}

/* Positions count characters. */
static struct sl_value find_method(struct sl_interp *interp, struct sl_slice text,
                                   struct sl_slice name, const struct sl_arguments *arguments)
{
    struct sl_slice part = text_argument(interp, arguments, 0, "sub");
    bool is_index = sl_slice_equal_text(name, "index") || sl_slice_equal_text(name, "rindex");
    int64_t found = sl_text_find(text, part, name.data[0] == 'r');
    if (found < 0 && is_index)
        return sl_interp_fail(interp, SL_ERR_INVALID, "substring not found");
    if (found > 0)
        found = (int64_t)sl_text_length((struct sl_slice){text.data, (size_t)found});
    return sl_value_int(found);
}

static struct sl_value count_method(struct sl_interp *interp, struct sl_slice text,
                                    const struct sl_arguments *arguments)
{
    struct sl_slice part = text_argument(interp, arguments, 0, "sub");
    int64_t count = 0;
    int64_t found;
    if (part.len == 0)
        return sl_value_int((int64_t)sl_text_length(text) + 1);
    while ((found = sl_text_find(text, part, false)) >= 0) {
        size_t used = (size_t)found + part.len;
        text = (struct sl_slice){text.data + used, text.len - used};
        count++;
    }
    return sl_value_int(count);
}

static bool is_of_kind(char c, struct sl_slice name)
{
    bool is_digit = c >= '0' && c <= '9';
    bool is_upper = c >= 'A' && c <= 'Z';
    bool is_lower = c >= 'a' && c <= 'z';
    bool is_letter = is_upper || is_lower || (unsigned char)c >= 0x80;
    if (sl_slice_equal_text(name, "isalpha"))
        return is_letter;
    if (sl_slice_equal_text(name, "isalnum"))
        return is_letter || is_digit;
    if (sl_slice_equal_text(name, "isspace"))
        return c == ' ' || (c >= '\t' && c <= '\r');
    if (sl_slice_equal_text(name, "isupper"))
        return !is_lower;
    if (sl_slice_equal_text(name, "islower"))
        return !is_upper;
    return is_digit;
}

/* isdigit and its kin; letters outside ASCII count as letters of no case. */
static struct sl_value kind_method(struct sl_slice text, struct sl_slice name)
{
    bool needs_case = sl_slice_equal_text(name, "isupper") || sl_slice_equal_text(name, "islower");
    bool has_case = false;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_of_kind(text.data[i], name))
            return sl_value_bool(false);
        char lower = (char)(text.data[i] | 0x20);
        has_case = has_case || (lower >= 'a' && lower <= 'z');
    }
    return sl_value_bool(text.len > 0 && (!needs_case || has_case));
}

static struct sl_value remove_method(struct sl_interp *interp, struct sl_slice text,
                                     const struct sl_arguments *arguments, bool at_end)
{
    struct sl_slice part = text_argument(interp, arguments, 0, NULL);
    struct sl_value has = has_affix(interp, text, arguments, at_end);
    if (interp->err != SL_OK || !has.boolean)
        return sl_value_text(text);
    return sl_value_text(
        (struct sl_slice){text.data + (at_end ? 0 : part.len), text.len - part.len});
}

/* "{} and {0} and {name}": replacement fields without format specifications. */
static struct sl_value format_method(struct sl_interp *interp, struct sl_slice text,
                                     const struct sl_arguments *arguments)
{
    struct sl_buf buf;
    struct sl_buf *outer;
    size_t next = 0;
    sl_interp_capture_begin(interp, &buf, &outer);
    for (size_t i = 0; i < text.len && interp->err == SL_OK; i++) {
        char c = text.data[i];
        enum sl_err err = SL_OK;
        if ((c == '{' || c == '}') && i + 1 < text.len && text.data[i + 1] == c) {
            err = sl_buf_append_char(&buf, c);
            i++;
        } else if (c == '{') {
            const char *close = memchr(text.data + i, '}', text.len - i);
            if (close == NULL)
                sl_interp_fail(interp, SL_ERR_INVALID, "format: expected '}'");
            if (close == NULL)
                break;
            struct sl_slice field = {text.data + i + 1, (size_t)(close - text.data) - i - 1};
            const struct sl_value *value;
            if (field.len == 0)
                value = sl_argument(arguments, next++, NULL);
            else if (field.data[0] >= '0' && field.data[0] <= '9' && field.len == 1)
                value = sl_argument(arguments, (size_t)(field.data[0] - '0'), NULL);
            else
                value = sl_dict_get_text(arguments->named, field);
            if (value == NULL)
                sl_interp_fail(interp, SL_ERR_UNSUPPORTED, "format: this field is not supported");
            else
                err = sl_value_write(*value, &buf);
            i += field.len + 1;
        } else {
            err = sl_buf_append_char(&buf, c);
        }
        if (err != SL_OK)
            sl_interp_fail(interp, err, "a text is too long");
    }
    return sl_interp_capture_end(interp, &buf, outer);
}

/* ljust, rjust, center, zfill. */
static struct sl_value pad_method(struct sl_interp *interp, struct sl_slice text,
                                  struct sl_slice name, const struct sl_arguments *arguments)
{
    int64_t width = int_argument(arguments, 0, "width", 0);
    const struct sl_value *given = sl_argument(arguments, 1, "fillchar");
    bool is_zfill = name.data[0] == 'z';
    char fill = is_zfill ? '0' : ' ';
    if (given != NULL && given->type == SL_VALUE_TEXT && given->text.len == 1)
        fill = given->text.data[0];
    int64_t missing = width - (int64_t)sl_text_length(text);
    if (missing <= 0)
        return sl_value_text(text);
    if (!sl_interp_step(interp, (uint64_t)missing / 16))
        return sl_value_none();
    char *padded = sl_arena_alloc(interp->arena, text.len + (size_t)missing + 1);
    if (padded == NULL)
        return sl_interp_memory(interp);
    size_t left = name.data[0] == 'l' ? 0 : (size_t)missing;
    if (name.data[0] == 'c')
        left = (size_t)missing / 2;
    size_t sign = is_zfill && text.len > 0 && (text.data[0] == '-' || text.data[0] == '+');
    memset(padded, fill, text.len + (size_t)missing);
    memcpy(padded, text.data, sign);
    memcpy(padded + left + sign, text.data + sign, text.len - sign);
    return sl_value_text((struct sl_slice){padded, text.len + (size_t)missing});
}

static struct sl_value partition_method(struct sl_interp *interp, struct sl_slice text,
                                        const struct sl_arguments *arguments, bool from_end)
{
    struct sl_slice by = text_argument(interp, arguments, 0, "sep");
    struct sl_list *list = sl_list_create(interp->arena, 3);
    if (list == NULL)
        return sl_interp_memory(interp);
    list->is_tuple = true;
    list->count = 3;
    int64_t found = sl_text_find(text, by, from_end);
    size_t at = found >= 0 ? (size_t)found : from_end ? 0 : text.len;
    size_t gap = found >= 0 ? by.len : 0;
    list->items[0] = sl_value_text((struct sl_slice){text.data, at});
    list->items[1] = sl_value_text((struct sl_slice){by.data, gap});
    list->items[2] = sl_value_text((struct sl_slice){text.data + at + gap, text.len - at - gap});
    return sl_value_list(list);
}

static struct sl_value replace_method(struct sl_interp *interp, struct sl_slice text,
                                      const struct sl_arguments *arguments)
{
    struct sl_slice from = text_argument(interp, arguments, 0, "old");
    struct sl_slice to = text_argument(interp, arguments, 1, "new");
    if (interp->err != SL_OK)
        return sl_value_none();
    return sl_text_replace(interp, text, from, to, int_argument(arguments, 2, "count", -1));
}

static struct sl_value text_method(struct sl_interp *interp, struct sl_slice text,
                                   struct sl_slice name, const struct sl_arguments *arguments)
{
    static const char *const maps[] = {"upper", "lower", "title", "capitalize", "swapcase", NULL};
    static const char *const finds[] = {"find", "rfind", "index", "rindex", NULL};
    static const char *const strips[] = {"strip", "lstrip", "rstrip", NULL};
    static const char *const splits[] = {"split", "rsplit", NULL};
    static const char *const pads[] = {"ljust", "rjust", "center", "zfill", NULL};
    if (is_one_of(name, strips))
        return strip_method(interp, text, name, arguments);
    if (is_one_of(name, splits))
        return split_method(interp, text, name, arguments);
    if (sl_slice_equal_text(name, "startswith"))
        return has_affix(interp, text, arguments, false);
    if (sl_slice_equal_text(name, "endswith"))
        return has_affix(interp, text, arguments, true);
    if (sl_slice_equal_text(name, "replace"))
        return replace_method(interp, text, arguments);
    for (const char *const *map = maps; *map != NULL; map++)
        if (sl_slice_equal_text(name, *map))
            return sl_text_map(interp, text, *map);
    if (sl_slice_equal_text(name, "casefold"))
        return sl_text_map(interp, text, "lower");
    if (is_one_of(name, finds))
        return find_method(interp, text, name, arguments);
    if (sl_slice_equal_text(name, "count"))
        return count_method(interp, text, arguments);
    if (sl_slice_equal_text(name, "splitlines"))
        return sl_text_splitlines(interp, text);
    if (sl_slice_equal_text(name, "join")) {
        const struct sl_value *items = sl_argument(arguments, 0, NULL);
        return sl_text_join(interp, text, items != NULL ? *items : sl_value_none());
    }
    if (sl_slice_equal_text(name, "removeprefix"))
        return remove_method(interp, text, arguments, false);
    if (sl_slice_equal_text(name, "removesuffix"))
        return remove_method(interp, text, arguments, true);
    if (sl_slice_equal_text(name, "format"))
        return format_method(interp, text, arguments);
    if (is_one_of(name, pads))
        return pad_method(interp, text, name, arguments);
    if (sl_slice_equal_text(name, "partition"))
        return partition_method(interp, text, arguments, false);
    if (sl_slice_equal_text(name, "rpartition"))
        return partition_method(interp, text, arguments, true);
    return kind_method(text, name);
}

/* ---- methods of dictionaries, lists and loops ---- */

static struct sl_value pair_tuple(struct sl_interp *interp, const struct sl_pair *pair)
{
    struct sl_list *tuple = sl_list_create(interp->arena, 2);
    if (tuple == NULL)
        return sl_interp_memory(interp);
    tuple->is_tuple = true;
    tuple->count = 2;
    tuple->items[0] = pair->key;
    tuple->items[1] = pair->value;
    return sl_value_list(tuple);
}

/* items, keys, values: what = 'i', 'k', 'v'. */
static struct sl_value dict_view(struct sl_interp *interp, const struct sl_dict *dict, char what)
{
    struct sl_list *list = sl_list_create(interp->arena, dict->count);
    if (list == NULL)
        return sl_interp_memory(interp);
    for (size_t i = 0; i < dict->count && sl_interp_step(interp, 1); i++) {
        const struct sl_pair *pair = &dict->pairs[i];
        struct sl_value value = what == 'k' ? pair->key : pair->value;
        if (what == 'i')
            value = pair_tuple(interp, pair);
        if (!sl_list_add(interp->arena, list, value))
            return sl_interp_memory(interp);
    }
    return sl_value_list(list);
}

static struct sl_value dict_method(struct sl_interp *interp, const struct sl_value *receiver,
                                   struct sl_slice name, const struct sl_arguments *arguments)
{
    if (sl_slice_equal_text(name, "copy"))
        return *receiver; /* nothing can change either */
    if (!sl_slice_equal_text(name, "get"))
        return dict_view(interp, receiver->dict, name.data[0]);
    const struct sl_value *key = sl_argument(arguments, 0, "key");
    const struct sl_value *otherwise = sl_argument(arguments, 1, "default");
    const struct sl_value *found = key != NULL ? sl_dict_get(receiver->dict, *key) : NULL;
    if (found != NULL)
        return *found;
    return otherwise != NULL ? *otherwise : sl_value_none();
}

static struct sl_value list_method(struct sl_interp *interp, const struct sl_value *receiver,
                                   struct sl_slice name, const struct sl_arguments *arguments)
{
    const struct sl_value *item = sl_argument(arguments, 0, NULL);
    int64_t count = 0;
    if (sl_slice_equal_text(name, "copy"))
        return *receiver;
    for (size_t i = 0; item != NULL && i < receiver->list->count; i++) {
        if (!sl_interp_step(interp, 1))
            break;
        bool is_it = sl_value_equal(receiver->list->items[i], *item);
        if (is_it && name.data[0] == 'i')
            return sl_value_int((int64_t)i);
        count += is_it;
    }
    if (name.data[0] == 'i')
        return sl_interp_fail(interp, SL_ERR_INVALID, "the value is not in the list");
    return sl_value_int(count);
}

static struct sl_value loop_method(struct sl_interp *interp, struct sl_loop *loop,
                                   struct sl_slice name, const struct sl_arguments *arguments)
{
    const struct sl_list *given = arguments->positional;
    if (sl_slice_equal_text(name, "cycle")) {
        if (given->count == 0)
            return sl_interp_fail(interp, SL_ERR_INVALID, "cycle: no items");
        return given->items[loop->index % given->count];
    }
    struct sl_value seen = sl_value_list(arguments->positional);
    bool has_changed = !loop->has_seen || !sl_value_equal(loop->last_seen, seen);
    loop->last_seen = seen;
    loop->has_seen = true;
    return sl_value_bool(has_changed);
}

static struct sl_value cycler_method(struct sl_callable *cycler, struct sl_slice name)
{
    const struct sl_list *items = cycler->receiver.list;
    if (sl_slice_equal_text(name, "reset"))
        cycler->count = 0;
    struct sl_value current = items->items[cycler->count % items->count];
    if (sl_slice_equal_text(name, "next"))
        cycler->count++;
    return current;
}

struct sl_value sl_interp_method(struct sl_interp *interp, struct sl_value receiver,
                                 struct sl_slice name, const struct sl_arguments *arguments)
{
    switch (receiver.type) {
    case SL_VALUE_TEXT:
        return text_method(interp, receiver.text, name, arguments);
    case SL_VALUE_DICT:
        if (is_one_of(name, dict_methods))
            return dict_method(interp, &receiver, name, arguments);
        break;
    case SL_VALUE_LIST:
        if (is_one_of(name, list_methods))
            return list_method(interp, &receiver, name, arguments);
        break;
    case SL_VALUE_LOOP:
        return loop_method(interp, receiver.loop, name, arguments);
    case SL_VALUE_CALLABLE:
        return cycler_method(receiver.callable, name);
    default:
        break;
    }
    return sl_interp_fail(interp, SL_ERR_INVALID, "templates cannot change values: '%.*s'",
                          SL_SLICE_ARG(name));
}

/* ---- calls ---- */

/* {{ loop(items) }} in a recursive loop: its body again, one level deeper. */
static struct sl_value call_loop(struct sl_interp *interp, const struct sl_loop *loop,
                                 const struct sl_arguments *arguments)
{
    const struct sl_value *items = sl_argument(arguments, 0, NULL);
    struct sl_buf buf;
    struct sl_buf *outer;
    if (items == NULL || !loop->node->is_recursive)
        return sl_interp_fail(interp, SL_ERR_INVALID, "the loop is not recursive");
    sl_interp_capture_begin(interp, &buf, &outer);
    sl_interp_loop(interp, loop->node, loop->scope, *items, loop->depth + 1);
    return sl_interp_capture_end(interp, &buf, outer);
}

static struct sl_value call_callable(struct sl_interp *interp, struct sl_callable *callable,
                                     const struct sl_arguments *arguments)
{
    switch (callable->kind) {
    case SL_CALL_FUNCTION:
        return find_function(callable->name)(interp, arguments);
    case SL_CALL_METHOD:
        return sl_interp_method(interp, callable->receiver, callable->name, arguments);
    case SL_CALL_MACRO:
        return sl_interp_call_macro(interp, callable, arguments);
    case SL_CALL_JOINER:
        return callable->count++ == 0 ? sl_value_text(SL_SLICE("")) : callable->receiver;
    default:
        return sl_interp_fail(interp, SL_ERR_INVALID, "a cycler is not callable");
    }
}

struct sl_value sl_interp_call(struct sl_interp *interp, struct sl_value callee,
                               const struct sl_arguments *arguments)
{
    if (interp->err != SL_OK)
        return sl_value_none();
    if (callee.type == SL_VALUE_CALLABLE)
        return call_callable(interp, callee.callable, arguments);
    if (callee.type == SL_VALUE_LOOP)
        return call_loop(interp, callee.loop, arguments);
    if (callee.type == SL_VALUE_UNDEFINED)
        return sl_interp_fail(interp, SL_ERR_INVALID, "'%.*s' is undefined",
                              (int)(callee.text.len < 60 ? callee.text.len : 60),
                              callee.text.data);
    return sl_interp_fail(interp, SL_ERR_INVALID, "'%s' is not callable",
                          sl_value_type_name(callee));
}
