/* SPDX-License-Identifier: Apache-2.0 */
#include "sluice/answer.h"

#include "test_support.h"

#include <string.h>

#define TEXT_MAX 4096

static enum sl_err add_to(void *ctx, const struct sl_delta *delta)
{
    return sl_answer_add(ctx, delta, NULL);
}

static void add(struct sl_answer *answer, struct sl_delta delta)
{
    struct sl_error error = {0};
    ck_assert_msg(sl_answer_add(answer, &delta, &error) == SL_OK, "%s", error.message);
}

/* A text, a tool call in two pieces, and what ends them. */
static void fill(struct sl_answer *answer)
{
    sl_answer_init(answer, TEXT_MAX);
    add(answer, (struct sl_delta){.kind = SL_DELTA_MODEL, .text = SL_SLICE("m-1")});
    add(answer, (struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("He said \"hi\"")});
    add(answer, (struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("\n\xC3\xA4")});
    add(answer, (struct sl_delta){.kind = SL_DELTA_TOOL_CALL,
                                  .tool_call_id = SL_SLICE("call_1"),
                                  .tool_call_name = SL_SLICE("mail"),
                                  .text = SL_SLICE("{\"to\":")});
    add(answer, (struct sl_delta){.kind = SL_DELTA_TOOL_CALL, .text = SL_SLICE("\"a\"}")});
    add(answer,
        (struct sl_delta){.kind = SL_DELTA_FINISH, .finish_reason = SL_FINISH_REASON_TOOL_CALLS});
    add(answer, (struct sl_delta){.kind = SL_DELTA_USAGE, .usage = {7, 5, true}});
}

START_TEST(deltas_add_up_to_an_answer)
{
    struct sl_answer answer;
    fill(&answer);
    ck_assert_uint_eq(answer.choice_count, 1);
    ck_assert_str_eq(answer.choices[0].content.data, "He said \"hi\"\n\xC3\xA4");
    ck_assert_uint_eq(answer.choices[0].tool_call_count, 1);
    ck_assert_str_eq(answer.choices[0].tool_calls[0].name.data, "mail");
    ck_assert_str_eq(answer.choices[0].tool_calls[0].arguments.data, "{\"to\":\"a\"}");
    ck_assert(sl_answer_is_complete(&answer));
    sl_answer_clear(&answer);
}
END_TEST

START_TEST(an_answer_survives_encoding_and_decoding)
{
    struct sl_answer answer;
    struct sl_answer again;
    struct sl_buf first;
    struct sl_buf second;
    fill(&answer);
    sl_answer_init(&again, TEXT_MAX);
    sl_buf_init(&first, TEXT_MAX);
    sl_buf_init(&second, TEXT_MAX);
    ck_assert(sl_answer_encode(&answer, false, &first) == SL_OK);
    struct sl_error error = {0};
    ck_assert_msg(sl_answer_decode(sl_buf_slice(&first), &again, &error) == SL_OK, "%s",
                  error.message);
    ck_assert(sl_answer_encode(&again, false, &second) == SL_OK);
    ck_assert_str_eq(first.data, second.data);
    ck_assert_uint_eq(again.usage.completion_tokens, 5);
    sl_buf_clear(&first);
    sl_buf_clear(&second);
    sl_answer_clear(&answer);
    sl_answer_clear(&again);
}
END_TEST

START_TEST(a_replayed_answer_adds_up_to_itself)
{
    struct sl_answer answer;
    struct sl_answer again;
    fill(&answer);
    sl_answer_init(&again, TEXT_MAX);
    ck_assert(sl_answer_replay(&answer, add_to, &again) == SL_OK);
    ck_assert_str_eq(again.model, "m-1");
    ck_assert_str_eq(again.choices[0].content.data, answer.choices[0].content.data);
    ck_assert_int_eq(again.choices[0].finish_reason, SL_FINISH_REASON_TOOL_CALLS);
    sl_answer_clear(&answer);
    sl_answer_clear(&again);
}
END_TEST

START_TEST(a_held_answer_is_copied_and_expands_to_its_parts)
{
    struct sl_answer answer;
    struct sl_answer held;
    struct sl_buf json;
    struct sl_buf again;
    struct sl_error error = {0};
    fill(&answer);
    sl_buf_init(&json, TEXT_MAX);
    sl_buf_init(&again, TEXT_MAX);
    ck_assert(sl_answer_encode(&answer, false, &json) == SL_OK);
    sl_answer_init(&held, TEXT_MAX);
    ck_assert(sl_answer_hold(&held, sl_buf_slice(&json), SL_SLICE("m-1"), answer.usage) == SL_OK);
    ck_assert(sl_answer_encode(&held, false, &again) == SL_OK);
    ck_assert_str_eq(again.data, json.data);
    sl_buf_reset(&again);
    ck_assert(sl_answer_encode(&held, true, &again) == SL_OK);
    ck_assert_int_eq(again.data[0], '"');
    ck_assert_int_ne(again.data[again.len - 1], 0);
    ck_assert_uint_eq(again.len, json.len - 2);
    ck_assert(sl_answer_expand(&held, &error) == SL_OK);
    ck_assert_str_eq(held.choices[0].content.data, answer.choices[0].content.data);
    ck_assert_int_eq(sl_answer_hold(&held, SL_SLICE("["), SL_SLICE(""), answer.usage),
                     SL_ERR_FORMAT);
    sl_buf_clear(&json);
    sl_buf_clear(&again);
    sl_answer_clear(&held);
    sl_answer_clear(&answer);
}
END_TEST

START_TEST(an_answer_without_a_finish_reason_is_not_complete)
{
    struct sl_answer answer;
    sl_answer_init(&answer, TEXT_MAX);
    ck_assert(!sl_answer_is_complete(&answer));
    add(&answer, (struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("half")});
    ck_assert(!sl_answer_is_complete(&answer));
    sl_answer_clear(&answer);
}
END_TEST

START_TEST(a_text_past_the_cap_is_refused_and_the_answer_keeps_what_it_had)
{
    struct sl_answer answer;
    struct sl_error error = {0};
    sl_answer_init(&answer, 8);
    add(&answer, (struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("12345")});
    struct sl_delta more = {.kind = SL_DELTA_TEXT, .text = SL_SLICE("6789")};
    ck_assert_int_eq(sl_answer_add(&answer, &more, &error), SL_ERR_LIMIT);
    ck_assert_str_eq(answer.choices[0].content.data, "12345");
    sl_answer_clear(&answer);
}
END_TEST

START_TEST(indexes_out_of_range_are_refused)
{
    struct sl_answer answer;
    struct sl_error error = {0};
    sl_answer_init(&answer, TEXT_MAX);
    struct sl_delta choice = {.kind = SL_DELTA_TEXT, .choice = SL_CHOICES_MAX};
    ck_assert_int_eq(sl_answer_add(&answer, &choice, &error), SL_ERR_FORMAT);
    struct sl_delta call = {.kind = SL_DELTA_TOOL_CALL, .tool_call = UINT32_MAX};
    ck_assert_int_eq(sl_answer_add(&answer, &call, &error), SL_ERR_FORMAT);
    sl_answer_clear(&answer);
}
END_TEST

START_TEST(a_body_that_is_no_answer_is_refused_with_what_is_missing)
{
    static const char *const bodies[] = {"", "[]", "{}", "{\"choices\":[]}",
                                         "{\"choices\":[{\"index\":0}]}", "{\"choices\":[1]}",
                                         "{\"choices\":{\"message\":{}}}", "{\"choices\":[{\"mess"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct sl_answer answer;
        struct sl_error error = {0};
        sl_answer_init(&answer, TEXT_MAX);
        ck_assert_msg(sl_answer_decode(sl_slice_of(bodies[i]), &answer, &error) == SL_ERR_FORMAT,
                      "taken: %s", bodies[i]);
        ck_assert_uint_gt(strlen(error.message), 0);
        sl_answer_clear(&answer);
    }
}
END_TEST

START_TEST(finish_words_of_other_providers_read_as_stop)
{
    ck_assert_int_eq(sl_finish_reason_parse(SL_SLICE("eos")), SL_FINISH_REASON_STOP);
    ck_assert_int_eq(sl_finish_reason_parse(SL_SLICE("length")), SL_FINISH_REASON_LENGTH);
    ck_assert_int_eq(sl_finish_reason_parse(SL_SLICE("")), SL_FINISH_REASON_NONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("answer");
    TCase *tcase = tcase_create("answer");
    tcase_add_test(tcase, deltas_add_up_to_an_answer);
    tcase_add_test(tcase, an_answer_survives_encoding_and_decoding);
    tcase_add_test(tcase, a_replayed_answer_adds_up_to_itself);
    tcase_add_test(tcase, a_held_answer_is_copied_and_expands_to_its_parts);
    tcase_add_test(tcase, an_answer_without_a_finish_reason_is_not_complete);
    tcase_add_test(tcase, a_text_past_the_cap_is_refused_and_the_answer_keeps_what_it_had);
    tcase_add_test(tcase, indexes_out_of_range_are_refused);
    tcase_add_test(tcase, a_body_that_is_no_answer_is_refused_with_what_is_missing);
    tcase_add_test(tcase, finish_words_of_other_providers_read_as_stop);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
