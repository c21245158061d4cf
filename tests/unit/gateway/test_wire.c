/* SPDX-License-Identifier: Apache-2.0
 *
 * The wire APIs: what is refused and how it is said, what is understood, and what streams look
 * like. A router without models lends the requests.
 */
#include "api.h"
#include "edge.h"
#include "json_body.h"
#include "response_text.h"

#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>

static struct sl_edge edge;
static struct sl_router *router;
static struct sl_request *req;
static struct sl_buf out;

static void ignore_wake(void *ctx) { (void)ctx; }

static void setup(void)
{
    struct sl_error error = {0};
    ck_assert_int_eq(sl_policy_store_open(NULL, &edge.policies, &error), SL_OK);
    struct sl_router_config config = {.policies = edge.policies,
                                      .edge = {.ctx = &edge, .parse = sl_edge_parse},
                                      .workers = 1};
    ck_assert_int_eq(sl_router_create(&config, &router, &error), SL_OK);
    sl_buf_init(&out, 1 << 20);
}

static void teardown(void)
{
    sl_request_release(req);
    req = NULL;
    sl_router_close(router, 0);
    sl_policy_store_close(edge.policies);
    sl_buf_clear(&out);
}

/* Parses a body (and at most one header) in a fresh request. */
static enum sl_step parse_with(const struct sl_wire_api *api, const char *body, const char *name,
                               const char *value)
{
    sl_request_release(req);
    req = sl_request_create(router, api, ignore_wake, NULL);
    ck_assert_ptr_nonnull(req);
    struct sl_header *header = sl_arena_alloc(req->arena, sizeof *header);
    *header = (struct sl_header){sl_slice_of(name), sl_slice_of(value)};
    req->input.method = "POST";
    req->input.path = "/";
    req->input.body = sl_slice_of(body);
    req->input.headers = header;
    req->input.header_count = name != NULL ? 1 : 0;
    return sl_edge_parse(req);
}

static enum sl_step parse(const struct sl_wire_api *api, const char *body)
{
    return parse_with(api, body, NULL, NULL);
}

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

/* ---- JSON ---- */

START_TEST(json_is_refused_with_the_byte_and_without_quoting_the_body)
{
    const char *const bad[] = {"",
                               "{",
                               "[1]",
                               "{\"a\":1,\"a\":2}",
                               "{\"secret\": wrong}",
                               "{\"a\":\"\xff\"}",
                               "{\"a\":\"\\u0000\"}",
                               "{\"a\":1} trailing",
                               "{\"a\":99999999999999999999}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(parse(&sl_wire_openai, bad[i]), SL_STEP_FAIL);
        ck_assert_int_eq(sl_err_http_status(req->error.code), 400);
        ck_assert_ptr_null(strstr(req->error.message, "wrong"));
    }
    parse(&sl_wire_openai, "{\"a\": 1, x}");
    ck_assert_ptr_nonnull(strstr(req->error.message, "at byte "));
}
END_TEST

START_TEST(deep_and_bulky_json_is_refused_before_it_is_built)
{
    char deep[256];
    memset(deep, '[', sizeof deep);
    json_t *root;
    struct sl_error error = {0};
    ck_assert_int_eq(sl_json_body_parse((struct sl_slice){deep, sizeof deep}, &root, &error),
                     SL_ERR_JSON);
    ck_assert_ptr_nonnull(strstr(error.message, "nested deeper"));
    size_t len = 600001;
    char *bulky = malloc(len);
    memset(bulky, ',', len);
    bulky[0] = '[';
    ck_assert_int_eq(sl_json_body_parse((struct sl_slice){bulky, len}, &root, &error),
                     SL_ERR_JSON);
    ck_assert_ptr_nonnull(strstr(error.message, "more than"));
    free(bulky);
    /* Brackets inside strings are text. */
    char text[300] = "{\"a\":\"\\\"";
    memset(text + 8, '[', 200);
    strcpy(text + 208, "\"}");
    ck_assert_int_eq(sl_json_body_parse(sl_slice_of(text), &root, &error), SL_OK);
    json_decref(root);
}
END_TEST

/* ---- checks ---- */

START_TEST(a_wrong_type_is_named_with_its_path)
{
    static const struct {
        const char *body, *param;
    } cases[] = {
        {"{}", "messages"},
        {"{\"messages\":[]}", "messages"},
        {"{\"messages\":{}}", "messages"},
        {"{\"messages\":[1]}", "messages[0]"},
        {"{\"messages\":[{\"content\":\"x\"}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":7}]}", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":7}]}]}",
         "messages[0].content[0].text"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"smell\"}]}]}",
         "messages[0].content[0].type"},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", "messages[0].tool_call_id"},
        {"{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":"
         "{\"name\":\"f\",\"arguments\":{}}}]}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{" HI ",\"temperature\":3}", "temperature"},
        {"{" HI ",\"temperature\":\"hot\"}", "temperature"},
        {"{" HI ",\"max_tokens\":0}", "max_tokens"},
        {"{" HI ",\"max_tokens\":1.5}", "max_tokens"},
        {"{" HI ",\"n\":17}", "n"},
        {"{" HI ",\"stop\":[1]}", "stop[0]"},
        {"{" HI ",\"stream\":\"yes\"}", "stream"},
        {"{" HI ",\"model\":5}", "model"},
        {"{" HI ",\"top_logprobs\":3}", "logprobs"},
        {"{" HI ",\"logit_bias\":{\"x\":1}}", "logit_bias"},
        {"{" HI ",\"response_format\":{\"type\":\"xml\"}}", "response_format.type"},
        {"{" HI ",\"tools\":[{\"type\":\"function\",\"function\":{}}]}",
         "tools[0].function.name"},
        {"{" HI ",\"stream_options\":{\"include_usage\":1}}", "stream_options.include_usage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(parse(&sl_wire_openai, cases[i].body) == SL_STEP_FAIL, "accepted %s",
                      cases[i].body);
        ck_assert_msg(strcmp(req->error.param, cases[i].param) == 0, "%s: param %s",
                      cases[i].body, req->error.param);
        ck_assert_int_eq(req->error.code, SL_ERR_INVALID);
    }
}
END_TEST

START_TEST(unknown_fields_are_kept_and_null_counts_as_absent)
{
    ck_assert_int_eq(parse(&sl_wire_openai,
                           "{" HI ",\"store\":true,\"temperature\":null,\"stop\":null,"
                           "\"tools\":null,\"max_tokens\":null}"),
                     SL_STEP_NEXT);
    ck_assert(json_is_true(json_object_get(req->parse.chat, "store")));
    ck_assert(!req->parse.has_temperature);
    ck_assert_str_eq(req->parse.model.data, "auto");
    ck_assert_uint_eq(req->parse.n, 1);
}
END_TEST

START_TEST(sampling_parameters_reach_the_engine)
{
    ck_assert_int_eq(parse(&sl_wire_openai,
                           "{" HI ",\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.05,"
                           "\"seed\":-3,\"max_completion_tokens\":17,\"stop\":[\"a\",\"b\"],"
                           "\"presence_penalty\":1,\"logit_bias\":{\"5\":-100},\"logprobs\":true,"
                           "\"top_logprobs\":2}"),
                     SL_STEP_NEXT);
    const struct sl_generate_params *sampling = &req->parse.sampling;
    ck_assert_float_eq(sampling->temperature, 0.5f);
    ck_assert_float_eq(sampling->top_p, 0.9f);
    ck_assert_uint_eq(sampling->top_k, 40);
    ck_assert_uint_eq(sampling->tokens_max, 17);
    ck_assert_uint_eq(sampling->stop_count, 2);
    ck_assert_uint_eq(sampling->logit_bias_count, 1);
    ck_assert_int_eq(sampling->logit_bias[0].token, 5);
    ck_assert_uint_eq(sampling->top_logprobs, 2);
    ck_assert_int_eq((int)sampling->seed, -3);
    ck_assert(req->parse.features & SL_FEATURE_LOGPROBS);
}
END_TEST

START_TEST(what_a_local_model_may_lack_is_noticed)
{
    static const struct {
        const char *fields;
        uint32_t feature;
    } cases[] = {
        {"\"n\":2", SL_FEATURE_CHOICES},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]", SL_FEATURE_TOOLS},
        {"\"response_format\":{\"type\":\"json_object\"}", SL_FEATURE_JSON},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\","
         "\"schema\":{}}}",
         SL_FEATURE_SCHEMA},
        {"\"reasoning_effort\":\"high\"", SL_FEATURE_REASONING},
        {"\"prediction\":{}", SL_FEATURE_PREDICTION},
        {"\"modalities\":[\"text\",\"audio\"]", SL_FEATURE_AUDIO},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":"
         "\"none\"",
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[512];
        snprintf(body, sizeof body, "{" HI ",%s}", cases[i].fields);
        ck_assert_int_eq(parse(&sl_wire_openai, body), SL_STEP_NEXT);
        ck_assert_msg(req->parse.features == cases[i].feature, "%s: %x", cases[i].fields,
                      req->parse.features);
    }
    parse(&sl_wire_openai, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                           "\"image_url\":{\"url\":\"data:\"}}]}]}");
    ck_assert_uint_eq(req->parse.features, SL_FEATURE_IMAGES);
}
END_TEST

/* ---- headers ---- */

START_TEST(headers_steer_mode_and_cache)
{
    ck_assert_int_eq(parse_with(&sl_wire_openai, "{" HI "}", "X-Sluice-Mode", "local-only"),
                     SL_STEP_NEXT);
    ck_assert_int_eq(req->parse.mode, SL_MODE_LOCAL_ONLY);
    ck_assert_int_eq(parse_with(&sl_wire_openai, "{" HI "}", "x-sluice-mode", "sideways"),
                     SL_STEP_FAIL);
    ck_assert_str_eq(req->error.param, "x-sluice-mode");
    ck_assert_int_eq(parse_with(&sl_wire_openai, "{" HI "}", "cache-control",
                                "no-store, max-age=60 ,only-if-cached,max-stale"),
                     SL_STEP_NEXT);
    ck_assert(req->parse.cache.no_store && req->parse.cache.only_if_cached);
    ck_assert(!req->parse.cache.no_cache);
    ck_assert_int_eq(req->parse.cache.max_age_s, 60);
    ck_assert_int_eq(parse_with(&sl_wire_openai, "{" HI "}", "cache-control", "max-age=soon"),
                     SL_STEP_FAIL);
    ck_assert_int_eq(parse_with(&sl_wire_openai, "{" HI "}", "x-sluice-cache-ttl", "-4"),
                     SL_STEP_FAIL);
    ck_assert_int_eq(
        parse_with(&sl_wire_openai, "{" HI "}", "traceparent",
                   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        SL_STEP_NEXT);
    ck_assert_uint_eq(req->parse.traceparent.len, 55);
    parse_with(&sl_wire_openai, "{" HI "}", "traceparent", "garbage\r\nx: y");
    ck_assert_uint_eq(req->parse.traceparent.len, 0);
}
END_TEST

/* ---- OpenAI's stream ---- */

static void delta(struct sl_delta given)
{
    ck_assert_int_eq(req->api->stream_delta(req, &given, &out), SL_OK);
}

/* The next `data:` of out as JSON; NULL for [DONE]. */
static json_t *next_event(const char **at)
{
    const char *start = strstr(*at, "data: ");
    ck_assert_ptr_nonnull(start);
    start += 6;
    const char *end = strstr(start, "\n\n");
    ck_assert_ptr_nonnull(end);
    *at = end + 2;
    if (strncmp(start, "[DONE]", 6) == 0)
        return NULL;
    json_t *event = json_loadb(start, (size_t)(end - start), 0, NULL);
    ck_assert_msg(event != NULL, "not JSON: %.*s", (int)(end - start), start);
    return event;
}

static const char *choice_text(const json_t *event, const char *member)
{
    const json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
    return json_string_value(json_object_get(json_object_get(choice, "delta"), member));
}

START_TEST(a_stream_begins_with_the_role_and_ends_with_usage_and_done)
{
    parse(&sl_wire_openai, "{" HI ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    delta((struct sl_delta){.kind = SL_DELTA_MODEL, .text = SL_SLICE("m-1")});
    delta((struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("a \"b\"\n")});
    delta((struct sl_delta){.kind = SL_DELTA_FINISH, .finish_reason = SL_FINISH_REASON_STOP});
    delta((struct sl_delta){.kind = SL_DELTA_USAGE, .usage = {3, 4, true}});
    ck_assert_int_eq(req->api->stream_end(req, &out), SL_OK);
    const char *at = out.data;
    json_t *role = next_event(&at), *text = next_event(&at), *finish = next_event(&at),
           *usage = next_event(&at);
    ck_assert_str_eq(choice_text(role, "role"), "assistant");
    ck_assert_str_eq(choice_text(role, "content"), "");
    ck_assert_str_eq(choice_text(text, "content"), "a \"b\"\n");
    ck_assert(json_is_null(json_object_get(text, "usage")));
    ck_assert_str_eq(json_string_value(json_object_get(text, "model")), "m-1");
    ck_assert_str_eq(json_string_value(json_object_get(
                         json_array_get(json_object_get(finish, "choices"), 0), "finish_reason")),
                     "stop");
    ck_assert_uint_eq(json_array_size(json_object_get(usage, "choices")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(usage, "usage"),
                                                        "total_tokens")),
                     7);
    ck_assert_ptr_null(next_event(&at));
    ck_assert_str_eq(at, "");
    ck_assert_str_eq(json_string_value(json_object_get(role, "id")),
                     json_string_value(json_object_get(usage, "id")));
    json_decref(role);
    json_decref(text);
    json_decref(finish);
    json_decref(usage);
}
END_TEST

START_TEST(a_tool_call_streams_its_name_once_and_its_arguments_in_pieces)
{
    parse(&sl_wire_openai, "{" HI ",\"stream\":true}");
    delta((struct sl_delta){.kind = SL_DELTA_TOOL_CALL,
                            .tool_call_id = SL_SLICE("c1"),
                            .tool_call_name = SL_SLICE("f"),
                            .text = SL_SLICE("{\"x\"")});
    delta((struct sl_delta){.kind = SL_DELTA_TOOL_CALL, .text = SL_SLICE(":1}")});
    const char *at = out.data;
    json_t *role = next_event(&at), *first = next_event(&at), *second = next_event(&at);
    const json_t *choice = json_array_get(json_object_get(first, "choices"), 0);
    const json_t *call =
        json_array_get(json_object_get(json_object_get(choice, "delta"), "tool_calls"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(call, "id")), "c1");
    ck_assert_str_eq(json_string_value(json_object_get(call, "type")), "function");
    choice = json_array_get(json_object_get(second, "choices"), 0);
    call = json_array_get(json_object_get(json_object_get(choice, "delta"), "tool_calls"), 0);
    ck_assert_ptr_null(json_object_get(call, "id"));
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(call, "function"),
                                                       "arguments")),
                     ":1}");
    json_decref(role);
    json_decref(first);
    json_decref(second);
}
END_TEST

START_TEST(a_discarded_stream_starts_again_with_the_role)
{
    parse(&sl_wire_openai, "{" HI ",\"stream\":true}");
    delta((struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("wrong")});
    req->api->stream_reset(req);
    sl_buf_reset(&out);
    delta((struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("right")});
    const char *at = out.data;
    json_t *role = next_event(&at);
    ck_assert_str_eq(choice_text(role, "role"), "assistant");
    json_decref(role);
}
END_TEST

START_TEST(an_error_event_has_the_envelope_and_no_done)
{
    struct sl_error error = {0};
    sl_error_set(&error, SL_ERR_UPSTREAM, "it \"broke\"");
    parse(&sl_wire_openai, "{" HI ",\"stream\":true}");
    ck_assert_int_eq(req->api->stream_error(req, &error, &out), SL_OK);
    ck_assert_ptr_null(strstr(out.data, "[DONE]"));
    const char *at = out.data;
    json_t *event = next_event(&at);
    const json_t *body = json_object_get(event, "error");
    ck_assert_str_eq(json_string_value(json_object_get(body, "message")), "it \"broke\"");
    ck_assert_str_eq(json_string_value(json_object_get(body, "code")), "upstream_error");
    json_decref(event);
}
END_TEST

/* ---- Anthropic ---- */

START_TEST(anthropics_messages_become_the_canonical_chat)
{
    ck_assert_int_eq(
        parse(&sl_wire_anthropic,
              "{\"model\":\"auto\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\"}],"
              "\"stop_sequences\":[\"x\"],"
              "\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
              "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"t\"},"
              "{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"f\",\"input\":{\"a\":1}}]},"
              "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"u\","
              "\"content\":\"42\"},{\"type\":\"text\",\"text\":\"go\"}]}],"
              "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}],"
              "\"tool_choice\":{\"type\":\"any\"}}"),
        SL_STEP_NEXT);
    char *text = json_dumps(json_object_get(req->parse.chat, "messages"),
                            JSON_COMPACT | JSON_SORT_KEYS);
    ck_assert_str_eq(
        text,
        "[{\"content\":\"s\",\"role\":\"system\"},{\"content\":\"q\",\"role\":\"user\"},"
        "{\"content\":\"t\",\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"arguments\":"
        "\"{\\\"a\\\":1}\",\"name\":\"f\"},\"id\":\"u\",\"type\":\"function\"}]},"
        "{\"content\":\"42\",\"role\":\"tool\",\"tool_call_id\":\"u\"},"
        "{\"content\":\"go\",\"role\":\"user\"}]");
    free(text);
    ck_assert_str_eq(json_string_value(json_object_get(req->parse.chat, "tool_choice")),
                     "required");
    ck_assert_uint_eq(req->parse.tokens_max, 9);
    ck_assert_uint_eq(req->parse.sampling.stop_count, 1);
    ck_assert_int_eq(parse(&sl_wire_anthropic, "{" HI "}"), SL_STEP_FAIL);
    ck_assert_str_eq(req->error.param, "max_tokens");
    ck_assert_int_eq(parse(&sl_wire_anthropic, "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\","
                                               "\"content\":[{\"type\":\"odd\"}]}]}"),
                     SL_STEP_FAIL);
    ck_assert_str_eq(req->error.param, "messages[0].content[0]");
}
END_TEST

START_TEST(anthropics_stream_opens_and_closes_a_block_for_each_kind)
{
    parse(&sl_wire_anthropic, "{\"max_tokens\":9,\"stream\":true," HI "}");
    delta((struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("a")});
    delta((struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("b")});
    delta((struct sl_delta){.kind = SL_DELTA_TOOL_CALL,
                            .tool_call_id = SL_SLICE("u"),
                            .tool_call_name = SL_SLICE("f"),
                            .text = SL_SLICE("{}")});
    delta((struct sl_delta){.kind = SL_DELTA_FINISH, .finish_reason = SL_FINISH_REASON_TOOL_CALLS});
    ck_assert_int_eq(req->api->stream_end(req, &out), SL_OK);
    static const char *const order[] = {
        "message_start",      "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_stop", "content_block_start", "content_block_delta", "content_block_stop",
        "message_delta",      "message_stop"};
    const char *at = out.data;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        json_t *event = next_event(&at);
        ck_assert_str_eq(json_string_value(json_object_get(event, "type")), order[i]);
        json_decref(event);
    }
    ck_assert_str_eq(at, "");
    ck_assert_ptr_nonnull(strstr(out.data, "\"stop_reason\":\"tool_use\""));
}
END_TEST

/* ---- Ollama ---- */

START_TEST(a_calls_arguments_are_an_object_whatever_the_model_wrote)
{
    static const struct {
        const char *text, *object;
    } cases[] = {{"{ \"a\": 1,\n \"b\": [true] }", "{\"a\":1,\"b\":[true]}"},
                 {"", "{}"},
                 {"{\"a\":", "{}"},
                 {"[1]", "{}"},
                 {"\"a\"", "{}"},
                 {"{\"a \\\" b\\\\\": \"c \\n\"}\n", "{\"a \\\" b\\\\\":\"c \\n\"}"},
                 {"{\"a\": 123456789012345678901234}", "{\"a\":123456789012345678901234}"},
                 {"{\"a\": 1732190000.1234567, \"b\": 0.1}",
                  "{\"a\":1732190000.1234567,\"b\":0.1}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sl_buf arguments;
        sl_buf_init(&arguments, 1000);
        sl_buf_reset(&out);
        ck_assert_int_eq(sl_buf_append_text(&arguments, cases[i].text), SL_OK);
        ck_assert_int_eq(sl_buf_append_arguments(&out, &arguments), SL_OK);
        ck_assert_str_eq(out.data, cases[i].object);
        sl_buf_clear(&arguments);
    }
}
END_TEST

START_TEST(ollamas_options_and_format_become_canonical_fields)
{
    ck_assert_int_eq(parse(&sl_wire_ollama_chat,
                           "{\"model\":\"m\"," HI ",\"format\":\"json\",\"keep_alive\":5,"
                           "\"options\":{\"num_predict\":7,\"temperature\":0.1,\"num_ctx\":99,"
                           "\"repeat_penalty\":1.1}}"),
                     SL_STEP_NEXT);
    ck_assert(req->parse.is_streaming);
    ck_assert_uint_eq(req->parse.tokens_max, 7);
    ck_assert(req->parse.features & SL_FEATURE_JSON);
    ck_assert_float_eq(req->parse.sampling.repetition_penalty, 1.1f);
    ck_assert_ptr_null(json_object_get(req->parse.chat, "keep_alive"));
    ck_assert_int_eq(parse(&sl_wire_ollama_generate,
                           "{\"prompt\":\"p\",\"system\":\"s\",\"stream\":false,"
                           "\"options\":{\"num_predict\":-1}}"),
                     SL_STEP_NEXT);
    ck_assert_uint_eq(json_array_size(json_object_get(req->parse.chat, "messages")), 2);
    ck_assert(!req->parse.is_streaming);
    ck_assert_uint_eq(req->parse.tokens_max, 0);
    ck_assert_int_eq(parse(&sl_wire_ollama_generate, "{\"prompt\":5}"), SL_STEP_FAIL);
    ck_assert_str_eq(req->error.param, "prompt");
}
END_TEST

START_TEST(ollamas_stream_is_one_object_a_line)
{
    parse(&sl_wire_ollama_chat, "{" HI "}");
    delta((struct sl_delta){.kind = SL_DELTA_TEXT, .text = SL_SLICE("a")});
    delta((struct sl_delta){.kind = SL_DELTA_TOOL_CALL,
                            .tool_call_name = SL_SLICE("f"),
                            .text = SL_SLICE("{\"x\":")});
    delta((struct sl_delta){.kind = SL_DELTA_TOOL_CALL, .text = SL_SLICE("1}")});
    delta((struct sl_delta){.kind = SL_DELTA_FINISH, .finish_reason = SL_FINISH_REASON_LENGTH});
    ck_assert_int_eq(req->api->stream_end(req, &out), SL_OK);
    char *second = strchr(out.data, '\n');
    *second++ = '\0';
    json_t *first = json_loads(out.data, 0, NULL), *last = json_loads(second, 0, NULL);
    ck_assert(json_is_false(json_object_get(first, "done")));
    ck_assert(json_is_true(json_object_get(last, "done")));
    ck_assert_str_eq(json_string_value(json_object_get(last, "done_reason")), "length");
    const json_t *calls = json_object_get(json_object_get(last, "message"), "tool_calls");
    const json_t *function = json_object_get(json_array_get(calls, 0), "function");
    ck_assert_int_eq(
        json_integer_value(json_object_get(json_object_get(function, "arguments"), "x")), 1);
    json_decref(first);
    json_decref(last);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *tcase = tcase_create("wire");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, json_is_refused_with_the_byte_and_without_quoting_the_body);
    tcase_add_test(tcase, deep_and_bulky_json_is_refused_before_it_is_built);
    tcase_add_test(tcase, a_wrong_type_is_named_with_its_path);
    tcase_add_test(tcase, unknown_fields_are_kept_and_null_counts_as_absent);
    tcase_add_test(tcase, sampling_parameters_reach_the_engine);
    tcase_add_test(tcase, what_a_local_model_may_lack_is_noticed);
    tcase_add_test(tcase, headers_steer_mode_and_cache);
    tcase_add_test(tcase, a_stream_begins_with_the_role_and_ends_with_usage_and_done);
    tcase_add_test(tcase, a_tool_call_streams_its_name_once_and_its_arguments_in_pieces);
    tcase_add_test(tcase, a_discarded_stream_starts_again_with_the_role);
    tcase_add_test(tcase, an_error_event_has_the_envelope_and_no_done);
    tcase_add_test(tcase, anthropics_messages_become_the_canonical_chat);
    tcase_add_test(tcase, anthropics_stream_opens_and_closes_a_block_for_each_kind);
    tcase_add_test(tcase, a_calls_arguments_are_an_object_whatever_the_model_wrote);
    tcase_add_test(tcase, ollamas_options_and_format_become_canonical_fields);
    tcase_add_test(tcase, ollamas_stream_is_one_object_a_line);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
