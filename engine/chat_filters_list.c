/* SPDX-License-Identifier: Apache-2.0
 *
 * Jinja's filters over sequences: taking, choosing, mapping, sorting and grouping items.
 */
#include "chat_filters.h"

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

/* ---- sequences ---- */

struct sl_value sl_filter_length(struct sl_interp *interp, struct sl_value value,
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

struct sl_value sl_filter_default(struct sl_interp *interp, struct sl_value value,
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

struct sl_value sl_filter_first(struct sl_interp *interp, struct sl_value value,
                                const struct sl_arguments *arguments)
{
    (void)arguments;
    struct sl_list *items = sl_interp_items(interp, value);
    if (items == NULL || items->count == 0)
        return sl_value_undefined(SL_SLICE("first item of an empty sequence"));
    return items->items[0];
}

struct sl_value sl_filter_last(struct sl_interp *interp, struct sl_value value,
                               const struct sl_arguments *arguments)
{
    (void)arguments;
    struct sl_list *items = sl_interp_items(interp, value);
    if (items == NULL || items->count == 0)
        return sl_value_undefined(SL_SLICE("last item of an empty sequence"));
    return items->items[items->count - 1];
}

struct sl_value sl_filter_list(struct sl_interp *interp, struct sl_value value,
                               const struct sl_arguments *arguments)
{
    (void)arguments;
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *list = new_list(interp);
    for (size_t i = 0; items != NULL && list != NULL && i < items->count; i++)
        if (!sl_interp_add(interp, list, items->items[i]))
            break;
    return list != NULL ? sl_value_list(list) : sl_value_none();
}

struct sl_value sl_filter_reverse(struct sl_interp *interp, struct sl_value value,
                                  const struct sl_arguments *arguments)
{
    (void)arguments;
    if (value.type == SL_VALUE_TEXT)
        return sl_text_slice(interp, value.text, (int64_t)sl_text_length(value.text) - 1, -1, -1);
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *list = new_list(interp);
    for (size_t i = items != NULL ? items->count : 0; list != NULL && i-- > 0;)
        if (!sl_interp_add(interp, list, items->items[i]))
            break;
    return list != NULL ? sl_value_list(list) : sl_value_none();
}

struct sl_value sl_filter_join(struct sl_interp *interp, struct sl_value value,
                               const struct sl_arguments *arguments)
{
    struct sl_slice separator = text_argument(interp, arguments, 0, "d", SL_SLICE(""));
    const struct sl_value *attribute = sl_argument(arguments, 1, "attribute");
    if (attribute == NULL)
        return sl_text_join(interp, separator, value);
    struct sl_list *items = sl_interp_items(interp, value);
    struct sl_list *list = new_list(interp);
    for (size_t i = 0; items != NULL && list != NULL && i < items->count; i++)
        if (!sl_interp_add(interp, list, path_of(interp, items->items[i], *attribute)))
            return sl_value_none();
    return list != NULL ? sl_text_join(interp, separator, sl_value_list(list)) : sl_value_none();
}

struct sl_value sl_filter_items(struct sl_interp *interp, struct sl_value value,
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
        bool is_before = is_reversed ? order > 0 : order < 0;
        bool takes_right = left == middle || (right < count && is_before);
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
        sl_interp_add(interp, list, pairs[i].value);
    return sl_value_list(list);
}

struct sl_value sl_filter_sort(struct sl_interp *interp, struct sl_value value,
                               const struct sl_arguments *arguments)
{
    struct sl_list *items = sl_interp_items(interp, value);
    if (items == NULL)
        return value;
    return sort_by_key(interp, items, sl_argument(arguments, 2, "attribute"),
                       flag_argument(arguments, 1, "case_sensitive", false),
                       flag_argument(arguments, 0, "reverse", false));
}

struct sl_value sl_filter_dictsort(struct sl_interp *interp, struct sl_value value,
                                   const struct sl_arguments *arguments)
{
    struct sl_slice by = text_argument(interp, arguments, 1, "by", SL_SLICE("key"));
    struct sl_value position = sl_value_int(sl_slice_equal_text(by, "value"));
    struct sl_value pairs = sl_filter_items(interp, value, arguments);
    if (interp->err != SL_OK)
        return pairs;
    return sort_by_key(interp, pairs.list, &position,
                       flag_argument(arguments, 0, "case_sensitive", false),
                       flag_argument(arguments, 2, "reverse", false));
}

struct sl_value sl_filter_unique(struct sl_interp *interp, struct sl_value value,
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
        if (!sl_interp_add(interp, seen, key) || !sl_interp_add(interp, list, items->items[i]))
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

struct sl_value sl_filter_min(struct sl_interp *interp, struct sl_value value,
                              const struct sl_arguments *arguments)
{
    return extreme(interp, value, arguments, -1);
}

struct sl_value sl_filter_max(struct sl_interp *interp, struct sl_value value,
                              const struct sl_arguments *arguments)
{
    return extreme(interp, value, arguments, 1);
}

struct sl_value sl_filter_sum(struct sl_interp *interp, struct sl_value value,
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
        if (!sl_interp_add(interp, out->positional, arguments->positional->items[i]))
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

struct sl_value sl_filter_map(struct sl_interp *interp, struct sl_value value,
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
        if (interp->err != SL_OK || !sl_interp_add(interp, list, mapped))
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
        if (holds == is_wanted && !sl_interp_add(interp, list, item))
            break;
    }
    return sl_value_list(list);
}

struct sl_value sl_filter_select(struct sl_interp *interp, struct sl_value value,
                                 const struct sl_arguments *arguments)
{
    return choose(interp, value, arguments, false, true);
}

struct sl_value sl_filter_reject(struct sl_interp *interp, struct sl_value value,
                                 const struct sl_arguments *arguments)
{
    return choose(interp, value, arguments, false, false);
}

struct sl_value sl_filter_selectattr(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    return choose(interp, value, arguments, true, true);
}

struct sl_value sl_filter_rejectattr(struct sl_interp *interp, struct sl_value value,
                                     const struct sl_arguments *arguments)
{
    return choose(interp, value, arguments, true, false);
}

struct sl_value sl_filter_attr(struct sl_interp *interp, struct sl_value value,
                               const struct sl_arguments *arguments)
{
    struct sl_slice name = text_argument(interp, arguments, 0, "name", SL_SLICE(""));
    if (value.type == SL_VALUE_DICT && !sl_interp_has_method(value, name))
        return sl_value_undefined(name); /* attributes only: an item is none */
    return sl_interp_attribute(interp, value, name);
}

/* ---- groups ---- */

struct sl_value sl_filter_groupby(struct sl_interp *interp, struct sl_value value,
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
            if (!sl_interp_add(interp, group, path_of(interp, item, *attribute)) ||
                !sl_interp_add(interp, group, sl_value_list(members)) ||
                !sl_interp_add(interp, groups, sl_value_list(group)))
                break;
        }
        sl_interp_add(interp, members, item);
        last = key;
    }
    return sl_value_list(groups);
}

struct sl_value sl_filter_batch(struct sl_interp *interp, struct sl_value value,
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
            if (batch == NULL || !sl_interp_add(interp, batches, sl_value_list(batch)))
                break;
        }
        if (!sl_interp_add(interp, batch, items->items[i]))
            break;
    }
    while (interp->err == SL_OK && fill != NULL && batch != NULL && batch->count < (size_t)size)
        sl_interp_add(interp, batch, *fill);
    return batches != NULL ? sl_value_list(batches) : sl_value_none();
}

/* `slices` columns, the first ones longer by one where it does not come out even. */
struct sl_value sl_filter_slice(struct sl_interp *interp, struct sl_value value,
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
        if (column == NULL || !sl_interp_add(interp, columns, sl_value_list(column)))
            break;
        for (size_t j = 0; j < len && sl_interp_add(interp, column, items->items[at]); j++)
            at++;
        if (fill != NULL && i >= longer && longer > 0)
            sl_interp_add(interp, column, *fill);
    }
    return sl_value_list(columns);
}
