/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenAI's wire form and the meaning of providers' errors: text in, text out.
 */
#include "provider.h"
#include "test_support.h"

#include <stdlib.h>

static struct sl_answer answer;
static struct sl_provider_reader reader;

static enum sl_err keep(void *ctx, const struct sl_delta *delta)
{
    return sl_answer_add(ctx, delta, NULL);
}

static void setup(void)
{
    sl_answer_init(&answer, 1 << 16);
    sl_provider_reader_init(&reader, SL_CLOUD_KIND_OPENAI, 1, keep, &answer);
}

static void teardown(void)
{
    sl_answer_clear(&answer);
}

static enum sl_err feed(const char *data)
{
    return sl_provider_read_event(&reader, &(struct sl_sse_event){.data = sl_slice_of(data)});
}

/* ---- Asking ---- */

static json_t *ask_with(const char *body_text, struct sl_provider_ask ask)
{
    struct sl_buf out;
    struct sl_error error = {0};
    json_t *body = json_loads(body_text, 0, NULL);
    ck_assert_ptr_nonnull(body);
    struct sl_cloud_provider_config config;
    sl_cloud_provider_defaults(&config);
    config.name = "test";
    ask.config = &config;
    ask.body = body;
    sl_buf_init(&out, 1 << 16);
    ck_assert_int_eq(sl_provider_openai_body(&ask, &out, &error), SL_OK);
    json_t *sent = json_loadb(out.data, out.len, 0, NULL);
    ck_assert_ptr_nonnull(sent);
    sl_buf_clear(&out);
    json_decref(body);
    return sent;
}

static void check_json(const json_t *value, const char *expected_text)
{
    json_t *expected = json_loads(expected_text, JSON_DECODE_ANY, NULL);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS);
    ck_assert_msg(json_equal(value, expected), "got %s, expected %s", text, expected_text);
    free(text);
    json_decref(expected);
}

START_TEST(the_body_goes_out_as_it_is_with_the_model_replaced)
{
    json_t *sent =
        ask_with("{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                 "\"temperature\":0.5,\"stream\":true,\"stream_options\":{\"x\":1},"
                 "\"vendor_thing\":[1,null]}",
                 (struct sl_provider_ask){.wire_model = "gpt-4o"});
    check_json(sent, "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
                     "\"temperature\":0.5,\"vendor_thing\":[1,null]}");
    json_decref(sent);
}
END_TEST

START_TEST(a_stream_asks_for_its_usage)
{
    json_t *sent = ask_with("{\"messages\":[]}",
                            (struct sl_provider_ask){.wire_model = "m", .is_streaming = true});
    check_json(sent, "{\"model\":\"m\",\"messages\":[],\"stream\":true,"
                     "\"stream_options\":{\"include_usage\":true}}");
    json_decref(sent);
}
END_TEST

START_TEST(a_prefill_is_the_last_message)
{
    json_t *sent =
        ask_with("{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
                 (struct sl_provider_ask){.wire_model = "m", .prefill = SL_SLICE("I \"think\"")});
    check_json(json_object_get(sent, "messages"),
               "[{\"role\":\"user\",\"content\":\"hi\"},"
               "{\"role\":\"assistant\",\"content\":\"I \\\"think\\\"\"}]");
    json_decref(sent);
}
END_TEST

static enum sl_err build_with(const char *base_url, enum sl_cloud_kind kind, struct sl_slice key,
                              char *url_out, char *headers_out)
{
    struct sl_cloud_provider_config config;
    struct sl_transfer_request request = {0};
    struct sl_buf url = {0};
    struct sl_error error = {0};
    json_t *body = json_pack("{s:[]}", "messages");
    sl_cloud_provider_defaults(&config);
    config.name = "test";
    config.base_url = base_url;
    config.kind = kind;
    struct sl_provider_ask ask = {.config = &config,
                                  .wire_model = "m",
                                  .body = body,
                                  .key = key,
                                  .traceparent = "00-ab-cd-01"};
    enum sl_err err = sl_provider_build(&ask, &url, &request, &error);
    snprintf(url_out, 256, "%s", url.data != NULL ? url.data : "");
    headers_out[0] = '\0';
    for (size_t i = 0; i < request.header_count && err == SL_OK; i++)
        snprintf(headers_out + strlen(headers_out), 1024 - strlen(headers_out), "%s\n",
                 request.headers[i].data);
    sl_transfer_request_clear(&request);
    sl_buf_clear(&url);
    json_decref(body);
    return err;
}

START_TEST(urls_and_headers_fit_the_kind)
{
    char url[256], headers[1024];
    ck_assert_int_eq(
        build_with("https://h/v1/", SL_CLOUD_KIND_OPENAI, SL_SLICE("k1"), url, headers), SL_OK);
    ck_assert_str_eq(url, "https://h/v1/chat/completions");
    ck_assert_ptr_nonnull(strstr(headers, "Authorization: Bearer k1\n"));
    ck_assert_ptr_nonnull(strstr(headers, "traceparent: 00-ab-cd-01\n"));
    ck_assert_int_eq(build_with("https://h", SL_CLOUD_KIND_ANTHROPIC, SL_SLICE("k2"), url, headers),
                     SL_OK);
    ck_assert_str_eq(url, "https://h/v1/messages");
    ck_assert_ptr_nonnull(strstr(headers, "x-api-key: k2\n"));
    ck_assert_ptr_nonnull(strstr(headers, "anthropic-version: "));
    ck_assert_int_eq(
        build_with("https://h/x/v1", SL_CLOUD_KIND_ANTHROPIC, SL_SLICE(""), url, headers), SL_OK);
    ck_assert_str_eq(url, "https://h/x/v1/messages");
    ck_assert_ptr_null(strstr(headers, "x-api-key"));
}
END_TEST

START_TEST(a_key_with_a_line_break_starts_no_header_of_its_own)
{
    char url[256], headers[1024];
    ck_assert_int_eq(
        build_with("https://h", SL_CLOUD_KIND_OPENAI, SL_SLICE("a\r\nX: y"), url, headers),
        SL_ERR_INVALID);
}
END_TEST

/* ---- Reading ---- */

START_TEST(a_stream_adds_up_to_an_answer)
{
    ck_assert_int_eq(feed("{\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
                          "\"assistant\",\"content\":\"\"}}]}"),
                     SL_OK);
    ck_assert_uint_eq(reader.content_count, 0); /* a role is no content */
    ck_assert_int_eq(feed("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}"), SL_OK);
    ck_assert_int_eq(feed("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"}}]}"), SL_OK);
    ck_assert(!sl_provider_is_finished(&reader));
    ck_assert_int_eq(feed("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"),
                     SL_OK);
    ck_assert(sl_provider_is_finished(&reader));
    ck_assert_int_eq(
        feed("{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}"), SL_OK);
    ck_assert_int_eq(feed("[DONE]"), SL_OK);
    ck_assert(reader.is_done);
    ck_assert_int_eq(sl_provider_reader_finish(&reader), SL_OK);
    ck_assert_str_eq(answer.choices[0].content.data, "Hello");
    ck_assert_str_eq(answer.model, "gpt");
    ck_assert_uint_eq(answer.usage.completion_tokens, 2);
    ck_assert(sl_answer_is_complete(&answer));
}
END_TEST

START_TEST(tool_calls_arrive_in_pieces)
{
    ck_assert_int_eq(
        feed("{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"c1\","
             "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}"),
        SL_OK);
    ck_assert_int_eq(feed("{\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,"
                          "\"function\":{\"arguments\":\":1}\"}}]}}]}"),
                     SL_OK);
    ck_assert_uint_eq(answer.choices[0].tool_call_count, 2);
    ck_assert_str_eq(answer.choices[0].tool_calls[1].id.data, "c1");
    ck_assert_str_eq(answer.choices[0].tool_calls[1].arguments.data, "{\"a\":1}");
}
END_TEST

START_TEST(broken_events_are_counted_and_skipped)
{
    static const char *const events[] = {"{\"choices\":[{\"del",
                                         "nonsense",
                                         "[1,2]",
                                         "42",
                                         "{\"choices\":[{\"index\":99,\"delta\":{}}]}",
                                         "{\"choices\":[{\"index\":-1,\"delta\":{}}]}"};
    for (size_t i = 0; i < 6; i++)
        ck_assert_int_eq(feed(events[i]), SL_OK);
    ck_assert_uint_eq(reader.malformed_count, 6);
    ck_assert_int_eq(feed("{\"choices\":[{\"delta\":{\"content\":\"fine\"}}]}"), SL_OK);
    ck_assert_str_eq(answer.choices[0].content.data, "fine");
}
END_TEST

START_TEST(all_choices_must_end)
{
    sl_provider_reader_init(&reader, SL_CLOUD_KIND_OPENAI, 2, keep, &answer);
    ck_assert_int_eq(feed("{\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}"),
                     SL_OK);
    ck_assert(!sl_provider_is_finished(&reader));
    ck_assert_int_eq(
        feed("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}]}"), SL_OK);
    ck_assert(sl_provider_is_finished(&reader));
}
END_TEST

START_TEST(an_error_in_the_stream_is_a_failure)
{
    ck_assert_int_eq(feed("{\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}"),
                     SL_ERR_UPSTREAM);
    ck_assert_int_eq(reader.failure.outcome, SL_CLOUD_STREAM_ERROR);
    ck_assert_str_eq(reader.failure.reason, "overloaded");
}
END_TEST

START_TEST(whole_answers_are_read)
{
    ck_assert_int_eq(
        sl_provider_read_whole(
            &reader,
            SL_SLICE("{\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"x\","
                     "\"reasoning\":\"r\"},\"finish_reason\":\"stop\"}],"
                     "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}")),
        SL_OK);
    ck_assert_str_eq(answer.choices[0].content.data, "x");
    ck_assert_str_eq(answer.choices[0].reasoning.data, "r");
    ck_assert(sl_provider_is_finished(&reader));
    ck_assert_int_eq(sl_provider_read_whole(&reader, SL_SLICE("{\"choices\":[]}")), SL_ERR_FORMAT);
    ck_assert_int_eq(sl_provider_read_whole(&reader, SL_SLICE("<html>")), SL_ERR_FORMAT);
    ck_assert_int_eq(
        sl_provider_read_whole(&reader, SL_SLICE("{\"error\":{\"code\":\"content_filter\"}}")),
        SL_ERR_UPSTREAM);
    ck_assert_int_eq(reader.failure.outcome, SL_CLOUD_CONTENT_POLICY);
}
END_TEST

/* ---- Errors ---- */

static const struct {
    int status;
    const char *body;
    enum sl_cloud_outcome outcome;
} failures[] = {
    {429, "{}", SL_CLOUD_RATE_LIMITED},
    {500, "oops", SL_CLOUD_SERVER_ERROR},
    {503, "", SL_CLOUD_SERVER_ERROR},
    {529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}",
     SL_CLOUD_SERVER_ERROR},
    {408, "", SL_CLOUD_SERVER_ERROR},
    {401, "{\"error\":{\"code\":\"invalid_api_key\"}}", SL_CLOUD_CREDENTIALS},
    {403, "", SL_CLOUD_CREDENTIALS},
    {404, "{\"error\":{\"code\":\"model_not_found\"}}", SL_CLOUD_NOT_FOUND},
    {400, "{\"error\":{\"code\":\"context_length_exceeded\"}}", SL_CLOUD_CONTEXT_LENGTH},
    {400, "{\"error\":{\"type\":\"exceed_context_size_error\",\"code\":400}}",
     SL_CLOUD_CONTEXT_LENGTH},
    {400,
     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is "
     "too "
     "long: 210000 tokens > 200000 maximum\"}}",
     SL_CLOUD_CONTEXT_LENGTH},
    {400, "{\"error\":{\"message\":\"This model's maximum context length is 4096 tokens\"}}",
     SL_CLOUD_CONTEXT_LENGTH},
    {413, "{\"error\":{\"type\":\"request_too_large\"}}", SL_CLOUD_CONTEXT_LENGTH},
    {400, "{\"error\":{\"code\":\"content_policy_violation\"}}", SL_CLOUD_CONTENT_POLICY},
    {400, "{\"error\":{\"code\":\"content_filter\"}}", SL_CLOUD_CONTENT_POLICY},
    {403, "{\"error\":{\"code\":\"content_policy_violation\"}}", SL_CLOUD_CONTENT_POLICY},
    {400, "{\"error\":{\"message\":\"temperature must be below 2\"}}", SL_CLOUD_REJECTED},
    {422, "[]", SL_CLOUD_REJECTED},
    {500, "{\"error\":{\"code\":\"context_length_exceeded\"}}", SL_CLOUD_SERVER_ERROR},
    {302, "", SL_CLOUD_MALFORMED},
};

START_TEST(errors_mean_what_their_words_say)
{
    struct sl_provider_failure failure;
    sl_provider_failure_read(failures[_i].status, sl_slice_of(failures[_i].body), &failure);
    ck_assert_msg(failure.outcome == failures[_i].outcome, "%d %s: %s", failures[_i].status,
                  failures[_i].body, sl_cloud_outcome_word(failure.outcome));
}
END_TEST

START_TEST(a_reason_is_one_line_and_cut_between_characters)
{
    char body[2048];
    struct sl_provider_failure failure;
    snprintf(body, sizeof body, "{\"error\":{\"message\":\"line\\none ");
    while (strlen(body) < 1200)
        strcat(body, "\xC3\xA4");
    strcat(body, "\"}}");
    sl_provider_failure_read(400, sl_slice_of(body), &failure);
    ck_assert_int_eq(strncmp(failure.reason, "line one ", 9), 0);
    ck_assert_uint_lt(strlen(failure.reason), SL_PROVIDER_REASON_MAX);
    ck_assert_int_eq((unsigned char)failure.reason[strlen(failure.reason) - 1], 0xA4);
}
END_TEST

START_TEST(retry_after_is_read_in_all_its_forms)
{
    uint32_t ms = 0;
    ck_assert(sl_retry_after_parse(SL_SLICE("2"), 0, &ms) && ms == 2000);
    ck_assert(sl_retry_after_parse(SL_SLICE("0.25"), 0, &ms) && ms == 250);
    ck_assert(sl_retry_after_parse(SL_SLICE("-3"), 0, &ms) && ms == 0);
    ck_assert(sl_retry_after_parse(SL_SLICE("99999999999"), 0, &ms) && ms == 86400000);
    ck_assert(sl_retry_after_parse(SL_SLICE("Wed, 21 Oct 2015 07:28:00 GMT"), 1445412470, &ms) &&
              ms == 10000);
    ck_assert(sl_retry_after_parse(SL_SLICE("Wed, 21 Oct 2015 07:28:00 GMT"), 1445412500, &ms) &&
              ms == 0);
    ck_assert(!sl_retry_after_parse(SL_SLICE("soon"), 0, &ms));
    ck_assert(!sl_retry_after_parse(SL_SLICE(""), 0, &ms));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("provider_openai");
    TCase *tcase = tcase_create("provider_openai");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_body_goes_out_as_it_is_with_the_model_replaced);
    tcase_add_test(tcase, a_stream_asks_for_its_usage);
    tcase_add_test(tcase, a_prefill_is_the_last_message);
    tcase_add_test(tcase, urls_and_headers_fit_the_kind);
    tcase_add_test(tcase, a_key_with_a_line_break_starts_no_header_of_its_own);
    tcase_add_test(tcase, a_stream_adds_up_to_an_answer);
    tcase_add_test(tcase, tool_calls_arrive_in_pieces);
    tcase_add_test(tcase, broken_events_are_counted_and_skipped);
    tcase_add_test(tcase, all_choices_must_end);
    tcase_add_test(tcase, an_error_in_the_stream_is_a_failure);
    tcase_add_test(tcase, whole_answers_are_read);
    tcase_add_loop_test(tcase, errors_mean_what_their_words_say, 0,
                        (int)(sizeof failures / sizeof failures[0]));
    tcase_add_test(tcase, a_reason_is_one_line_and_cut_between_characters);
    tcase_add_test(tcase, retry_after_is_read_in_all_its_forms);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
