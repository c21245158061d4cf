/* SPDX-License-Identifier: Apache-2.0
 *
 * Agreement: which answers say the same.
 */
#include "agreement.h"

#include "test_support.h"

static bool agrees(const char *a, const char *b)
{
    bool forth = sl_text_agrees(sl_slice_of(a), sl_slice_of(b));
    ck_assert_int_eq(forth, sl_text_agrees(sl_slice_of(b), sl_slice_of(a)));
    return forth;
}

START_TEST(texts_agree_but_for_case_blanks_and_a_full_stop)
{
    ck_assert(agrees("Paris", "paris."));
    ck_assert(agrees(" The  answer\nis 42. ", "the answer is 42"));
    ck_assert(agrees("", " \n"));
    ck_assert(!agrees("Paris", "Pari"));
    ck_assert(!agrees("a b", "ab"));
    ck_assert(!agrees("3.5", "35"));
    ck_assert(!agrees("yes", ""));
}
END_TEST

START_TEST(json_agrees_by_value)
{
    ck_assert(agrees("{\"a\":1,\"b\":[true,null]}", "{ \"b\": [true, null],\n \"a\": 1 }"));
    ck_assert(!agrees("{\"a\":1}", "{\"a\":2}"));
    ck_assert(!agrees("{\"a\":\"X\"}", "{\"a\":\"x\"}"));
    ck_assert(!agrees("[1,2]", "[2,1]"));
    ck_assert(!agrees("{\"a\":1}", "a is 1"));
    ck_assert(!agrees("{\"a\":1", "{\"a\":1}"));
}
END_TEST

static void add(struct sl_answer *answer, const struct sl_delta *delta)
{
    ck_assert_int_eq(sl_answer_add(answer, delta, NULL), SL_OK);
}

static void call_tool(struct sl_answer *answer, const char *id, const char *name,
                      const char *arguments)
{
    sl_answer_init(answer, 1 << 16);
    add(answer, &(struct sl_delta){.kind = SL_DELTA_TOOL_CALL,
                                   .tool_call_id = sl_slice_of(id),
                                   .tool_call_name = sl_slice_of(name),
                                   .text = sl_slice_of(arguments)});
}

START_TEST(tool_calls_agree_by_name_and_arguments_and_not_by_id)
{
    struct sl_answer a, b, c, none;
    call_tool(&a, "call_1", "find", "{\"q\":\"x\",\"n\":1}");
    call_tool(&b, "call_9", "find", "{\"n\": 1, \"q\": \"x\"}");
    call_tool(&c, "call_1", "find", "{\"q\":\"y\",\"n\":1}");
    sl_answer_init(&none, 1 << 16);
    ck_assert(sl_answer_agrees(&a, &b));
    ck_assert(!sl_answer_agrees(&a, &c));
    ck_assert(!sl_answer_agrees(&a, &none));
    ck_assert(!sl_answer_agrees(&none, &none)); /* nothing was said */
    sl_answer_clear(&a);
    sl_answer_clear(&b);
    sl_answer_clear(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agreement");
    TCase *tcase = tcase_create("agreement");
    tcase_add_test(tcase, texts_agree_but_for_case_blanks_and_a_full_stop);
    tcase_add_test(tcase, json_agrees_by_value);
    tcase_add_test(tcase, tool_calls_agree_by_name_and_arguments_and_not_by_id);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
