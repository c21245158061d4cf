/* SPDX-License-Identifier: Apache-2.0
 *
 * Comparing answers, as agreement.h has it. Pure.
 *
 * Two free texts that say one thing in other words do not agree: telling that would need a model,
 * and a judge that errs would teach the calibration its errors.
 */
#include "agreement.h"

static char fold_char(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct sl_slice trim(struct sl_slice text)
{
    while (text.len != 0 && (is_blank(text.data[text.len - 1]) || text.data[text.len - 1] == '.'))
        text.len--;
    while (text.len != 0 && is_blank(text.data[0]))
        text = (struct sl_slice){text.data + 1, text.len - 1};
    return text;
}

static size_t skip_blanks(struct sl_slice text, size_t at)
{
    while (at < text.len && is_blank(text.data[at]))
        at++;
    return at;
}

bool sl_text_is_same(struct sl_slice a, struct sl_slice b)
{
    size_t i = 0, j = 0;
    a = trim(a);
    b = trim(b);
    while (i < a.len && j < b.len) {
        if (is_blank(a.data[i]) && is_blank(b.data[j])) {
            i = skip_blanks(a, i);
            j = skip_blanks(b, j);
        } else if (fold_char(a.data[i++]) != fold_char(b.data[j++])) {
            return false;
        }
    }
    return i == a.len && j == b.len;
}

json_t *sl_text_json(struct sl_slice text)
{
    return json_loadb(text.data == NULL ? "" : text.data, text.len, 0, NULL);
}

bool sl_text_agrees(struct sl_slice a, struct sl_slice b)
{
    json_t *left = sl_text_json(a);
    json_t *right = left != NULL ? sl_text_json(b) : NULL;
    bool agrees = right != NULL ? json_equal(left, right) : sl_text_is_same(a, b);
    json_decref(left);
    json_decref(right);
    return agrees;
}

static bool choice_agrees(const struct sl_choice *a, const struct sl_choice *b)
{
    if (a->tool_call_count != b->tool_call_count ||
        !sl_text_agrees(sl_buf_slice(&a->content), sl_buf_slice(&b->content)))
        return false;
    for (size_t i = 0; i < a->tool_call_count; i++) {
        const struct sl_tool_call *left = &a->tool_calls[i], *right = &b->tool_calls[i];
        if (!sl_slice_equal(sl_buf_slice(&left->name), sl_buf_slice(&right->name)) ||
            !sl_text_agrees(sl_buf_slice(&left->arguments), sl_buf_slice(&right->arguments)))
            return false;
    }
    return true;
}

bool sl_answer_agrees(const struct sl_answer *a, const struct sl_answer *b)
{
    if (a->choice_count != b->choice_count)
        return false;
    for (size_t i = 0; i < a->choice_count; i++)
        if (!choice_agrees(&a->choices[i], &b->choices[i]))
            return false;
    return a->choice_count > 0;
}
