/* SPDX-License-Identifier: Apache-2.0
 *
 * Binary operators with Python's meaning: arithmetic on numbers (64 bits; what does not fit is an
 * error, not a wrong number), joining and repeating of texts and lists, "%" on texts.
 */
#include "chat_interp.h"

#include <math.h>

static struct sl_value overflow(struct sl_interp *interp)
{
    return sl_interp_fail(interp, SL_ERR_INVALID, "a number is too large");
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    int64_t quotient = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

static struct sl_value int_power(struct sl_interp *interp, int64_t base, int64_t exponent)
{
    if (exponent < 0)
        return sl_value_float(pow((double)base, (double)exponent));
    int64_t result = 1;
    for (; exponent > 0; exponent--) {
        if (base == 0 || base == 1)
            return sl_value_int(base);
        if (base == -1)
            return sl_value_int(exponent % 2 != 0 ? -result : result);
        if (__builtin_mul_overflow(result, base, &result))
            return overflow(interp);
    }
    return sl_value_int(result);
}

static struct sl_value int_binary(struct sl_interp *interp, enum sl_operator op, int64_t a,
                                  int64_t b)
{
    int64_t result = 0;
    bool divides = op == SL_OP_DIVIDE || op == SL_OP_FLOOR || op == SL_OP_MODULO;
    if (divides && b == 0)
        return sl_interp_fail(interp, SL_ERR_INVALID, "division by zero");
    if (divides && b == -1 && a == INT64_MIN)
        return overflow(interp);
    bool fits = true;
    switch (op) {
    case SL_OP_ADD:
        fits = !__builtin_add_overflow(a, b, &result);
        break;
    case SL_OP_SUBTRACT:
        fits = !__builtin_sub_overflow(a, b, &result);
        break;
    case SL_OP_MULTIPLY:
        fits = !__builtin_mul_overflow(a, b, &result);
        break;
    case SL_OP_DIVIDE:
        return sl_value_float((double)a / (double)b);
    case SL_OP_FLOOR:
        return sl_value_int(floor_divide(a, b));
    case SL_OP_MODULO:
        return sl_value_int(a - floor_divide(a, b) * b);
    default:
        return int_power(interp, a, b);
    }
    return fits ? sl_value_int(result) : overflow(interp);
}

static struct sl_value float_binary(struct sl_interp *interp, enum sl_operator op, double a,
                                    double b)
{
    bool divides = op == SL_OP_DIVIDE || op == SL_OP_FLOOR || op == SL_OP_MODULO;
    if (divides && b == 0)
        return sl_interp_fail(interp, SL_ERR_INVALID, "division by zero");
    switch (op) {
    case SL_OP_ADD:
        return sl_value_float(a + b);
    case SL_OP_SUBTRACT:
        return sl_value_float(a - b);
    case SL_OP_MULTIPLY:
        return sl_value_float(a * b);
    case SL_OP_DIVIDE:
        return sl_value_float(a / b);
    case SL_OP_FLOOR:
        return sl_value_float(floor(a / b));
    case SL_OP_MODULO:
        return sl_value_float(a - floor(a / b) * b);
    default:
        return sl_value_float(pow(a, b));
    }
}

static struct sl_value concat_texts(struct sl_interp *interp, struct sl_slice a, struct sl_slice b)
{
    char *joined = sl_arena_alloc(interp->arena, a.len + b.len + 1);
    if (joined == NULL)
        return sl_interp_memory(interp);
    if (a.len > 0)
        memcpy(joined, a.data, a.len);
    if (b.len > 0)
        memcpy(joined + a.len, b.data, b.len);
    return sl_value_text((struct sl_slice){joined, a.len + b.len});
}

static struct sl_value concat_lists(struct sl_interp *interp, const struct sl_list *a,
                                    const struct sl_list *b)
{
    struct sl_list *list = sl_list_create(interp->arena, a->count + b->count);
    if (list == NULL)
        return sl_interp_memory(interp);
    list->is_tuple = a->is_tuple;
    for (size_t i = 0; i < a->count + b->count; i++)
        if (!sl_interp_add(interp, list, i < a->count ? a->items[i] : b->items[i - a->count]))
            break;
    return sl_value_list(list);
}

/* 'ab' * 3, [x] * 3 */
static struct sl_value repeat(struct sl_interp *interp, struct sl_value value, int64_t count)
{
    if (value.type == SL_VALUE_LIST) {
        struct sl_list *list = sl_list_create(interp->arena, 0);
        if (list == NULL)
            return sl_interp_memory(interp);
        for (int64_t i = 0; i < count && value.list->count > 0; i++)
            for (size_t j = 0; j < value.list->count; j++)
                if (!sl_interp_add(interp, list, value.list->items[j]))
                    return sl_value_none();
        return sl_value_list(list);
    }
    size_t len;
    if (count <= 0 || value.text.len == 0)
        return sl_value_text(SL_SLICE(""));
    if (__builtin_mul_overflow(value.text.len, (size_t)count, &len) || len == SIZE_MAX)
        return sl_interp_memory(interp);
    char *text = sl_arena_alloc(interp->arena, len + 1);
    if (text == NULL || !sl_interp_step(interp, len / 16))
        return sl_interp_memory(interp);
    for (size_t at = 0; at < len; at += value.text.len)
        memcpy(text + at, value.text.data, value.text.len);
    return sl_value_text((struct sl_slice){text, len});
}

/* "%s and %d" % (a, b): the conversions that templates use. */
static struct sl_value format_text(struct sl_interp *interp, struct sl_slice format,
                                   struct sl_value values)
{
    struct sl_buf buf;
    struct sl_buf *outer;
    size_t next = 0;
    bool is_tuple = values.type == SL_VALUE_LIST && values.list->is_tuple;
    size_t count = is_tuple ? values.list->count : 1;
    sl_interp_capture_begin(interp, &buf, &outer);
    for (size_t i = 0; i < format.len && interp->err == SL_OK; i++) {
        enum sl_err err;
        if (format.data[i] != '%' || i + 1 == format.len) {
            err = sl_buf_append_char(&buf, format.data[i]);
        } else if (format.data[++i] == '%') {
            err = sl_buf_append_char(&buf, '%');
        } else if (strchr("sdirf", format.data[i]) == NULL || next == count) {
            sl_interp_fail(interp, SL_ERR_UNSUPPORTED, "this string format is not supported");
            break;
        } else {
            struct sl_value value = is_tuple ? values.list->items[next] : values;
            next++;
            int64_t integer;
            if (format.data[i] == 'f')
                err = sl_buf_printf(&buf, "%f", sl_value_as_float(value));
            else if (format.data[i] != 's' && format.data[i] != 'r' &&
                     sl_value_as_int(value, &integer))
                err = sl_buf_printf(&buf, "%lld", (long long)integer);
            else if (format.data[i] == 'r')
                err = sl_value_write_repr(value, &buf);
            else
                err = sl_value_write(value, &buf);
        }
        if (err != SL_OK)
            sl_interp_fail(interp, err, "a text is too long");
    }
    return sl_interp_capture_end(interp, &buf, outer);
}

static struct sl_value number_binary(struct sl_interp *interp, enum sl_operator op,
                                     struct sl_value a, struct sl_value b)
{
    if (a.type == SL_VALUE_FLOAT || b.type == SL_VALUE_FLOAT)
        return float_binary(interp, op, sl_value_as_float(a), sl_value_as_float(b));
    int64_t left = 0;
    int64_t right = 0;
    (void)(sl_value_as_int(a, &left) && sl_value_as_int(b, &right));
    return int_binary(interp, op, left, right);
}

struct sl_value sl_interp_binary(struct sl_interp *interp, enum sl_operator op, struct sl_value a,
                                 struct sl_value b)
{
    int64_t count;
    if (op == SL_OP_CONCAT)
        return concat_texts(interp, sl_interp_text(interp, a), sl_interp_text(interp, b));
    if (a.type == SL_VALUE_UNDEFINED)
        return sl_interp_undefined(interp, a);
    if (b.type == SL_VALUE_UNDEFINED && !(a.type == SL_VALUE_TEXT && op == SL_OP_MODULO))
        return sl_interp_undefined(interp, b);
    if (sl_value_is_number(a) && sl_value_is_number(b))
        return number_binary(interp, op, a, b);
    if (op == SL_OP_ADD && a.type == SL_VALUE_TEXT && b.type == SL_VALUE_TEXT)
        return concat_texts(interp, a.text, b.text);
    if (op == SL_OP_ADD && a.type == SL_VALUE_LIST && b.type == SL_VALUE_LIST &&
        a.list->is_tuple == b.list->is_tuple)
        return concat_lists(interp, a.list, b.list);
    if (op == SL_OP_MODULO && a.type == SL_VALUE_TEXT)
        return format_text(interp, a.text, b);
    bool a_repeats = a.type == SL_VALUE_TEXT || a.type == SL_VALUE_LIST;
    bool b_repeats = b.type == SL_VALUE_TEXT || b.type == SL_VALUE_LIST;
    if (op == SL_OP_MULTIPLY && a_repeats && b.type != SL_VALUE_FLOAT &&
        sl_value_as_int(b, &count))
        return repeat(interp, a, count);
    if (op == SL_OP_MULTIPLY && b_repeats && a.type != SL_VALUE_FLOAT &&
        sl_value_as_int(a, &count))
        return repeat(interp, b, count);
    return sl_interp_fail(interp, SL_ERR_INVALID, "unsupported operand types: '%s' and '%s'",
                          sl_value_type_name(a), sl_value_type_name(b));
}
