/* SPDX-License-Identifier: Apache-2.0
 *
 * Jinja's tests: what stands after `is`, and what select, reject and their kin are given by name.
 */
#include "chat_interp.h"

#include <math.h>

typedef bool test_fn(struct sl_interp *interp, struct sl_value value, struct sl_value other);

static bool test_defined(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return value.type != SL_VALUE_UNDEFINED;
}

static bool test_undefined(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    return !test_defined(interp, value, other);
}

static bool test_none(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return value.type == SL_VALUE_NONE;
}

static bool test_boolean(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return value.type == SL_VALUE_BOOL;
}

static bool test_true(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    return test_boolean(interp, value, other) && value.boolean;
}

static bool test_false(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    return test_boolean(interp, value, other) && !value.boolean;
}

static bool test_integer(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return value.type == SL_VALUE_INT;
}

static bool test_float(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return value.type == SL_VALUE_FLOAT;
}

static bool test_number(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return sl_value_is_number(value);
}

static bool test_string(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return value.type == SL_VALUE_TEXT;
}

static bool test_mapping(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return value.type == SL_VALUE_DICT;
}

/* Undefined is an empty sequence, and can be iterated over. */
static bool test_sequence(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return value.type == SL_VALUE_LIST || value.type == SL_VALUE_TEXT ||
           value.type == SL_VALUE_DICT || value.type == SL_VALUE_UNDEFINED;
}

static bool test_callable(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)other;
    return value.type == SL_VALUE_CALLABLE;
}

static bool test_sameas(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    if (value.type != other.type)
        return false;
    if (value.type == SL_VALUE_LIST)
        return value.list == other.list;
    if (value.type == SL_VALUE_DICT)
        return value.dict == other.dict;
    return sl_value_equal(value, other);
}

/* Leaves *remainder non-negative, as Python's %. */
static bool remainder_of(struct sl_interp *interp, struct sl_value value, struct sl_value by,
                         int64_t *remainder)
{
    int64_t number;
    int64_t divisor;
    if (!sl_value_as_int(value, &number) || !sl_value_as_int(by, &divisor) || divisor == 0) {
        sl_interp_fail(interp, SL_ERR_INVALID, "divisibility of values that are no integers");
        return false;
    }
    *remainder = divisor == -1 ? 0 : number % divisor;
    return true;
}

static bool test_divisibleby(struct sl_interp *interp, struct sl_value value,
                             struct sl_value other)
{
    int64_t remainder;
    return remainder_of(interp, value, other, &remainder) && remainder == 0;
}

static bool test_even(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)other;
    return test_divisibleby(interp, value, sl_value_int(2));
}

static bool test_odd(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)other;
    int64_t remainder;
    return remainder_of(interp, value, sl_value_int(2), &remainder) && remainder != 0;
}

static bool test_lower(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)other;
    struct sl_arguments none = {NULL, NULL};
    struct sl_value text = sl_value_text(sl_interp_text(interp, value));
    none.positional = sl_list_create(interp->arena, 0);
    return none.positional != NULL &&
           sl_value_is_true(sl_interp_method(interp, text, SL_SLICE("islower"), &none));
}

static bool test_upper(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)other;
    struct sl_arguments none = {NULL, NULL};
    struct sl_value text = sl_value_text(sl_interp_text(interp, value));
    none.positional = sl_list_create(interp->arena, 0);
    return none.positional != NULL &&
           sl_value_is_true(sl_interp_method(interp, text, SL_SLICE("isupper"), &none));
}

static bool test_equal(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    return sl_value_equal(value, other);
}

static bool test_unequal(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    return !sl_value_equal(value, other);
}

static int ordered(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    int order = 0;
    if (!sl_value_compare(value, other, &order))
        sl_interp_fail(interp, SL_ERR_INVALID, "'%s' and '%s' cannot be ordered",
                       sl_value_type_name(value), sl_value_type_name(other));
    return order;
}

static bool test_less(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    return ordered(interp, value, other) < 0;
}

static bool test_less_equal(struct sl_interp *interp, struct sl_value value,
                            struct sl_value other)
{
    return ordered(interp, value, other) <= 0;
}

static bool test_more(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    return ordered(interp, value, other) > 0;
}

static bool test_more_equal(struct sl_interp *interp, struct sl_value value,
                            struct sl_value other)
{
    return ordered(interp, value, other) >= 0;
}

static bool test_in(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    return sl_interp_contains(interp, other, value);
}

static bool test_filter(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)other;
    return sl_interp_has_filter(sl_interp_text(interp, value));
}

static bool test_test(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)other;
    return sl_interp_has_test(sl_interp_text(interp, value));
}

static bool test_escaped(struct sl_interp *interp, struct sl_value value, struct sl_value other)
{
    (void)interp;
    (void)value;
    (void)other;
    return false;
}

static const struct {
    const char *name;
    test_fn *holds;
    bool needs_other;
} tests[] = {
    {"defined", test_defined, false},       {"undefined", test_undefined, false},
    {"none", test_none, false},             {"boolean", test_boolean, false},
    {"true", test_true, false},             {"false", test_false, false},
    {"integer", test_integer, false},       {"float", test_float, false},
    {"number", test_number, false},         {"string", test_string, false},
    {"mapping", test_mapping, false},       {"sequence", test_sequence, false},
    {"iterable", test_sequence, false},     {"callable", test_callable, false},
    {"sameas", test_sameas, true},          {"even", test_even, false},
    {"odd", test_odd, false},               {"divisibleby", test_divisibleby, true},
    {"lower", test_lower, false},           {"upper", test_upper, false},
    {"escaped", test_escaped, false},       {"filter", test_filter, false},
    {"test", test_test, false},             {"in", test_in, true},
    {"eq", test_equal, true},               {"==", test_equal, true},
    {"equalto", test_equal, true},          {"ne", test_unequal, true},
    {"!=", test_unequal, true},             {"lt", test_less, true},
    {"<", test_less, true},                 {"lessthan", test_less, true},
    {"le", test_less_equal, true},          {"<=", test_less_equal, true},
    {"gt", test_more, true},                {">", test_more, true},
    {"greaterthan", test_more, true},       {"ge", test_more_equal, true},
    {">=", test_more_equal, true},
};

static size_t find_test(struct sl_slice name)
{
    size_t i = 0;
    while (i < sizeof tests / sizeof tests[0] && !sl_slice_equal_text(name, tests[i].name))
        i++;
    return i;
}

bool sl_interp_has_test(struct sl_slice name)
{
    return find_test(name) < sizeof tests / sizeof tests[0];
}

bool sl_interp_test(struct sl_interp *interp, struct sl_slice name, struct sl_value value,
                    const struct sl_arguments *arguments)
{
    size_t index = find_test(name);
    const struct sl_value *other = sl_argument(arguments, 0, NULL);
    if (!sl_interp_step(interp, 1))
        return false;
    if (index == sizeof tests / sizeof tests[0])
        sl_interp_fail(interp, SL_ERR_UNSUPPORTED, "No test named '%.*s'.",
                       (int)(name.len < 60 ? name.len : 60), name.data);
    else if (tests[index].needs_other && other == NULL)
        sl_interp_fail(interp, SL_ERR_INVALID, "test '%s' needs an argument", tests[index].name);
    else
        return tests[index].holds(interp, value, other != NULL ? *other : sl_value_none());
    return false;
}
