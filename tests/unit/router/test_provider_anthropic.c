/* SPDX-License-Identifier: Apache-2.0
 *
 * Anthropic's wire form: requests translated from OpenAI's, events and whole answers translated
 * back. The events are those of the API's documentation.
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
    sl_provider_reader_init(&reader, SL_CLOUD_KIND_ANTHROPIC, 1, keep, &answer);
}

static void teardown(void)
{
    sl_answer_clear(&answer);
}

static void feed(const char *data)
{
    ck_assert_int_eq(
        sl_provider_read_event(&reader, &(struct sl_sse_event){.data = sl_slice_of(data)}), SL_OK);
}

/* ---- Asking ---- */

static enum sl_err translate(const char *body_text, struct sl_provider_ask ask, json_t **sent)
{
    struct sl_buf out;
    struct sl_error error = {0};
    struct sl_cloud_provider_config config;
    json_t *body = json_loads(body_text, 0, NULL);
    ck_assert_ptr_nonnull(body);
    sl_cloud_provider_defaults(&config);
    config.name = "test";
    ask.config = &config;
    ask.wire_model = "claude";
    ask.body = body;
    sl_buf_init(&out, 1 << 16);
    enum sl_err err = sl_provider_anthropic_body(&ask, &out, &error);
    *sent = err == SL_OK ? json_loadb(out.data, out.len, 0, NULL) : NULL;
    sl_buf_clear(&out);
    json_decref(body);
    return err;
}

static void check_translation(const char *body_text, struct sl_provider_ask ask,
                              const char *expected_text)
{
    json_t *sent;
    ck_assert_int_eq(translate(body_text, ask, &sent), SL_OK);
    json_t *expected = json_loads(expected_text, 0, NULL);
    ck_assert_ptr_nonnull(expected);
    char *text = json_dumps(sent, JSON_SORT_KEYS);
    ck_assert_msg(json_equal(sent, expected), "got %s", text);
    free(text);
    json_decref(sent);
    json_decref(expected);
}

START_TEST(a_conversation_is_translated)
{
    check_translation(
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
        "{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Hello\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"And now?\"}]}],"
        "\"max_tokens\":100,\"temperature\":1.5,\"stop\":\"END\",\"seed\":7}",
        (struct sl_provider_ask){.is_streaming = true},
        "{\"model\":\"claude\",\"max_tokens\":100,\"system\":[{\"type\":\"text\",\"text\":"
        "\"Be brief.\"}],\"messages\":["
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"Hello\"}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"And now?\"}]}],"
        "\"temperature\":1.0,\"stop_sequences\":[\"END\"],\"stream\":true}");
}
END_TEST

START_TEST(tools_and_their_results_are_translated)
{
    check_translation(
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Weather?\"},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
        "{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"w\",\"arguments\":"
        "\"{\\\"city\\\":\\\"Ulm\\\"}\"}},"
        "{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"w\",\"arguments\":\"\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"rain\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"sun\"}],"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"w\",\"description\":\"d\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{}}}},"
        "{\"type\":\"function\",\"function\":{\"name\":\"bare\"}}],"
        "\"tool_choice\":\"required\",\"parallel_tool_calls\":false,\"max_completion_tokens\":9}",
        (struct sl_provider_ask){0},
        "{\"model\":\"claude\",\"max_tokens\":9,\"messages\":["
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Weather?\"}]},"
        "{\"role\":\"assistant\",\"content\":["
        "{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"w\",\"input\":{\"city\":\"Ulm\"}},"
        "{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"w\",\"input\":{}}]},"
        "{\"role\":\"user\",\"content\":["
        "{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"rain\"}]},"
        "{\"type\":\"tool_result\",\"tool_use_id\":\"b\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"sun\"}]}]}],"
        "\"tools\":[{\"name\":\"w\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\","
        "\"properties\":{}}},{\"name\":\"bare\",\"input_schema\":{\"type\":\"object\"}}],"
        "\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}}");
}
END_TEST

START_TEST(images_and_documents_are_translated)
{
    check_translation(
        "{\"messages\":[{\"role\":\"user\",\"content\":["
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}},"
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y.jpg\"}},"
        "{\"type\":\"file\",\"file\":{\"file_data\":\"data:application/pdf;base64,BBBB\"}}]}]}",
        (struct sl_provider_ask){0},
        "{\"model\":\"claude\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":["
        "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":"
        "\"AAAA\"}},"
        "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/y.jpg\"}},"
        "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/pdf\","
        "\"data\":\"BBBB\"}}]}]}");
}
END_TEST

START_TEST(a_prefill_joins_what_the_assistant_said)
{
    static const struct sl_cloud_model_config model = {.name = "claude",
                                                       .completion_tokens_default = 77};
    check_translation("{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}",
                      (struct sl_provider_ask){.prefill = SL_SLICE("Well"), .model = &model},
                      "{\"model\":\"claude\",\"max_tokens\":77,\"messages\":["
                      "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]},"
                      "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"Well\"}]}"
                      "]}");
}
END_TEST

START_TEST(what_cannot_be_said_is_refused)
{
    static const char *const bodies[] = {
        "{\"messages\":[],\"n\":2}", "{\"messages\":[],\"logprobs\":true}",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]}",
        "{\"messages\":[{\"role\":\"oracle\",\"content\":\"x\"}]}"};
    json_t *sent;
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(translate(bodies[i], (struct sl_provider_ask){0}, &sent),
                         SL_ERR_UNSUPPORTED);
}
END_TEST

/* ---- Reading ---- */

START_TEST(a_stream_adds_up_to_an_answer)
{
    feed("{\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",\"usage\":"
         "{\"input_tokens\":25,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}");
    feed("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\","
         "\"thinking\":\"\"}}");
    feed("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\","
         "\"thinking\":\"hm\"}}");
    feed("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\","
         "\"signature\":\"zzz\"}}");
    feed("{\"type\":\"content_block_stop\",\"index\":0}");
    feed("{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\","
         "\"text\":\"\"}}");
    feed("{\"type\":\"ping\"}");
    feed("{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\","
         "\"text\":\"Hello\"}}");
    feed("{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\","
         "\"text\":\"!\"}}");
    feed("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":"
         "{\"output_tokens\":15}}");
    ck_assert(sl_provider_is_finished(&reader));
    feed("{\"type\":\"message_stop\"}");
    ck_assert(reader.is_done);
    ck_assert_int_eq(sl_provider_reader_finish(&reader), SL_OK);
    ck_assert_str_eq(answer.choices[0].content.data, "Hello!");
    ck_assert_str_eq(answer.choices[0].reasoning.data, "hm");
    ck_assert_str_eq(answer.model, "claude-x");
    ck_assert_uint_eq(answer.usage.prompt_tokens, 30);
    ck_assert_uint_eq(answer.usage.completion_tokens, 15);
    ck_assert_uint_eq(reader.malformed_count, 0);
}
END_TEST

START_TEST(tool_use_becomes_tool_calls)
{
    feed("{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\","
         "\"id\":\"t1\",\"name\":\"w\",\"input\":{}}}");
    feed("{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\","
         "\"partial_json\":\"\"}}");
    feed("{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\","
         "\"partial_json\":\"{\\\"a\\\":\"}}");
    feed("{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\","
         "\"partial_json\":\"1}\"}}");
    feed("{\"type\":\"content_block_stop\",\"index\":1}");
    feed("{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\","
         "\"id\":\"t2\",\"name\":\"nothing\",\"input\":{}}}");
    feed("{\"type\":\"content_block_stop\",\"index\":2}");
    feed("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{}}");
    const struct sl_choice *choice = &answer.choices[0];
    ck_assert_uint_eq(choice->tool_call_count, 2);
    ck_assert_str_eq(choice->tool_calls[0].arguments.data, "{\"a\":1}");
    ck_assert_str_eq(choice->tool_calls[1].name.data, "nothing");
    ck_assert_str_eq(choice->tool_calls[1].arguments.data, "{}");
    ck_assert_int_eq(choice->finish_reason, SL_FINISH_REASON_TOOL_CALLS);
}
END_TEST

START_TEST(whole_messages_are_read)
{
    ck_assert_int_eq(
        sl_provider_read_whole(
            &reader,
            SL_SLICE(
                "{\"type\":\"message\",\"model\":\"c\",\"content\":[{\"type\":\"text\","
                "\"text\":\"It\"},{\"type\":\"text\",\"text\":\" is\"},{\"type\":\"tool_use\","
                "\"id\":\"t\",\"name\":\"w\",\"input\":{\"a\":1}}],\"stop_reason\":\"max_tokens\","
                "\"usage\":{\"input_tokens\":4,\"output_tokens\":2}}")),
        SL_OK);
    ck_assert_str_eq(answer.choices[0].content.data, "It is");
    ck_assert_str_eq(answer.choices[0].tool_calls[0].arguments.data, "{\"a\":1}");
    ck_assert_int_eq(answer.choices[0].finish_reason, SL_FINISH_REASON_LENGTH);
    ck_assert_int_eq(sl_provider_read_whole(&reader, SL_SLICE("{\"type\":\"message\"}")),
                     SL_ERR_FORMAT);
}
END_TEST

START_TEST(an_error_event_is_a_failure)
{
    const char *event = "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                        "\"message\":\"Overloaded\"}}";
    ck_assert_int_eq(
        sl_provider_read_event(&reader, &(struct sl_sse_event){.data = sl_slice_of(event)}),
        SL_ERR_UPSTREAM);
    ck_assert_int_eq(reader.failure.outcome, SL_CLOUD_STREAM_ERROR);
}
END_TEST

START_TEST(blocks_out_of_range_are_counted_and_skipped)
{
    feed("{\"type\":\"content_block_start\",\"index\":-1,\"content_block\":{\"type\":\"tool_use\"}"
         "}");
    feed("{\"type\":\"content_block_delta\",\"index\":256,\"delta\":{\"type\":\"text_delta\"}}");
    feed("{\"type\":\"content_block_stop\"}");
    feed("{\"type\":\"something_new\"}");
    ck_assert_uint_eq(reader.malformed_count, 3); /* what is only new is no fault */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("provider_anthropic");
    TCase *tcase = tcase_create("provider_anthropic");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_conversation_is_translated);
    tcase_add_test(tcase, tools_and_their_results_are_translated);
    tcase_add_test(tcase, images_and_documents_are_translated);
    tcase_add_test(tcase, a_prefill_joins_what_the_assistant_said);
    tcase_add_test(tcase, what_cannot_be_said_is_refused);
    tcase_add_test(tcase, a_stream_adds_up_to_an_answer);
    tcase_add_test(tcase, tool_use_becomes_tool_calls);
    tcase_add_test(tcase, whole_messages_are_read);
    tcase_add_test(tcase, an_error_event_is_a_failure);
    tcase_add_test(tcase, blocks_out_of_range_are_counted_and_skipped);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
