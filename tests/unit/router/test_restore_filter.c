/* SPDX-License-Identifier: Apache-2.0 */
#include "restore_filter.h"

#include "test_support.h"

#include <string.h>

#define TEXT_MAX 4096

/* A vault that knows <EMAIL_1> and <PHONE_1>, made the way a request makes it. */
static struct sl_vault *make_vault(void)
{
    struct sl_pii_rules rules;
    struct sl_pii_detector *detector;
    struct sl_pii_report report = {0};
    struct sl_error error = {0};
    struct sl_buf scrubbed;
    sl_pii_rules_init(&rules);
    ck_assert(sl_pii_detector_create(&rules, &detector, &error) == SL_OK);
    struct sl_vault *vault = sl_vault_create();
    sl_buf_init(&scrubbed, TEXT_MAX);
    struct sl_slice text = SL_SLICE("Mail a\"b@example.org or anna@example.org, +1 415 555 0132");
    ck_assert(sl_pii_scrub_text(detector, text, vault, &scrubbed, &report, &error) == SL_OK);
    ck_assert_ptr_nonnull(strstr(scrubbed.data, "<EMAIL_1>"));
    ck_assert_ptr_nonnull(strstr(scrubbed.data, "<PHONE_1>"));
    sl_buf_clear(&scrubbed);
    sl_pii_detector_free(detector);
    return vault;
}

static enum sl_err add_to(void *ctx, const struct sl_delta *delta)
{
    return sl_answer_add(ctx, delta, NULL);
}

static void feed(struct sl_restore_filter *filter, enum sl_delta_kind kind, uint32_t choice,
                 uint32_t tool_call, const char *text)
{
    struct sl_delta delta = {
        .kind = kind, .choice = choice, .tool_call = tool_call, .text = sl_slice_of(text)};
    ck_assert(sl_restore_filter_delta(filter, &delta) == SL_OK);
}

static void finish(struct sl_restore_filter *filter, uint32_t choice)
{
    struct sl_delta delta = {
        .kind = SL_DELTA_FINISH, .choice = choice, .finish_reason = SL_FINISH_REASON_STOP};
    ck_assert(sl_restore_filter_delta(filter, &delta) == SL_OK);
}

START_TEST(two_choices_at_once_do_not_mix)
{
    struct sl_vault *vault = make_vault();
    struct sl_answer answer;
    struct sl_restore_stats stats = {0};
    sl_answer_init(&answer, TEXT_MAX);
    struct sl_restore_filter *filter = sl_restore_filter_create(vault, add_to, &answer);
    feed(filter, SL_DELTA_TEXT, 0, 0, "call <PHO");
    feed(filter, SL_DELTA_TEXT, 1, 0, "<EMA");
    feed(filter, SL_DELTA_TEXT, 0, 0, "NE_1>.");
    feed(filter, SL_DELTA_TEXT, 1, 0, "IL_9> stays");
    finish(filter, 0);
    finish(filter, 1);
    ck_assert(sl_restore_filter_finish(filter, &stats) == SL_OK);
    ck_assert_str_eq(answer.choices[0].content.data, "call +1 415 555 0132.");
    ck_assert_str_eq(answer.choices[1].content.data, "<EMAIL_9> stays");
    ck_assert_uint_eq(stats.restored, 1);
    sl_restore_filter_free(filter);
    sl_answer_clear(&answer);
    sl_vault_free(vault);
}
END_TEST

START_TEST(what_is_held_goes_out_before_the_finish_reason)
{
    struct sl_vault *vault = make_vault();
    struct sl_answer answer;
    sl_answer_init(&answer, TEXT_MAX);
    struct sl_restore_filter *filter = sl_restore_filter_create(vault, add_to, &answer);
    feed(filter, SL_DELTA_TEXT, 0, 0, "ends in <EMAIL");
    finish(filter, 0);
    ck_assert_str_eq(answer.choices[0].content.data, "ends in <EMAIL");
    ck_assert_int_eq(answer.choices[0].finish_reason, SL_FINISH_REASON_STOP);
    sl_restore_filter_free(filter);
    sl_answer_clear(&answer);
    sl_vault_free(vault);
}
END_TEST

START_TEST(tool_arguments_stay_json_and_calls_do_not_mix)
{
    struct sl_vault *vault = make_vault();
    struct sl_answer answer;
    sl_answer_init(&answer, TEXT_MAX);
    struct sl_restore_filter *filter = sl_restore_filter_create(vault, add_to, &answer);
    struct sl_delta head = {.kind = SL_DELTA_TOOL_CALL,
                            .tool_call_id = SL_SLICE("call_1"),
                            .tool_call_name = SL_SLICE("mail"),
                            .text = SL_SLICE("{\"to\":\"<EM")};
    ck_assert(sl_restore_filter_delta(filter, &head) == SL_OK);
    feed(filter, SL_DELTA_TOOL_CALL, 0, 1, "{\"number\":\"<PHONE_1>\"}");
    feed(filter, SL_DELTA_TOOL_CALL, 0, 0, "AIL_1>\"}");
    finish(filter, 0);
    const struct sl_choice *choice = &answer.choices[0];
    json_t *first = json_loads(choice->tool_calls[0].arguments.data, 0, NULL);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(first, "to")), "example.org"));
    ck_assert_str_eq(choice->tool_calls[1].arguments.data, "{\"number\":\"+1 415 555 0132\"}");
    json_decref(first);
    sl_restore_filter_free(filter);
    sl_answer_clear(&answer);
    sl_vault_free(vault);
}
END_TEST

START_TEST(without_a_vault_deltas_pass_as_they_are)
{
    struct sl_answer answer;
    sl_answer_init(&answer, TEXT_MAX);
    struct sl_restore_filter *filter = sl_restore_filter_create(NULL, add_to, &answer);
    feed(filter, SL_DELTA_TEXT, 0, 0, "<EMAIL_1> is the user's own text");
    ck_assert_str_eq(answer.choices[0].content.data, "<EMAIL_1> is the user's own text");
    sl_restore_filter_free(filter);
    sl_answer_clear(&answer);
}
END_TEST

static enum sl_err refuse(void *ctx, const struct sl_delta *delta)
{
    (void)ctx;
    (void)delta;
    return SL_ERR_CANCELLED;
}

START_TEST(a_sink_that_stops_stops_the_source)
{
    struct sl_vault *vault = make_vault();
    struct sl_restore_filter *filter = sl_restore_filter_create(vault, refuse, NULL);
    struct sl_delta delta = {.kind = SL_DELTA_TEXT, .text = SL_SLICE("plain")};
    ck_assert_int_eq(sl_restore_filter_delta(filter, &delta), SL_ERR_CANCELLED);
    sl_restore_filter_free(filter);
    sl_vault_free(vault);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("restore_filter");
    TCase *tcase = tcase_create("restore_filter");
    tcase_add_test(tcase, two_choices_at_once_do_not_mix);
    tcase_add_test(tcase, what_is_held_goes_out_before_the_finish_reason);
    tcase_add_test(tcase, tool_arguments_stay_json_and_calls_do_not_mix);
    tcase_add_test(tcase, without_a_vault_deltas_pass_as_they_are);
    tcase_add_test(tcase, a_sink_that_stops_stops_the_source);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
