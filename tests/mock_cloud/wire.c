/* SPDX-License-Identifier: Apache-2.0
 *
 * The wire forms of wire.h, after the API references of OpenAI (chat completions, streaming) and
 * Anthropic (messages, streaming). Text goes out token by token, a token being a word with the
 * space before it, unless the scenario cuts it otherwise.
 */
#include "wire.h"

#include "sluice/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX (8u << 20)
#define CHOICES_MAX 16

struct answer {
    enum mock_api api;
    const struct mock_scenario *scenario;
    const json_t *request;
    const char *model;
    struct sl_buf text;
    size_t token_count;
    size_t prompt_tokens;
    const char *tool_name; /* MOCK_TOOL */
    int choice;            /* the one being written */
    struct mock_script *script;
};

static void must(enum sl_err err)
{
    if (err != SL_OK)
        abort();
}

/* ---- Errors ---- */

static const char *default_message(int status)
{
    return status == 429 ? "Simulated rate limit." : "Simulated failure.";
}

static const char *default_type(int status)
{
    if (status == 429)
        return "rate_limit_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

void mock_wire_error(enum mock_api api, int status, const char *type, const char *code,
                     const char *message, struct mock_script *out)
{
    json_t *error = json_pack("{s:s,s:s}", "type", type != NULL ? type : default_type(status),
                              "message", message != NULL ? message : default_message(status));
    if (api == MOCK_OPENAI) {
        json_object_set_new(error, "param", json_null());
        json_object_set_new(error, "code", code != NULL ? json_string(code) : json_null());
    }
    json_t *body = api == MOCK_OPENAI ? json_pack("{s:o}", "error", error)
                                      : json_pack("{s:s,s:o}", "type", "error", "error", error);
    char *text = json_dumps(body, JSON_COMPACT);
    out->status = status;
    out->content_type = "application/json";
    mock_script_write(out, sl_slice_of(text));
    free(text);
    json_decref(body);
}

/* ---- The text of the answer ---- */

static void append_text_of(const json_t *content, struct sl_buf *out)
{
    if (json_is_string(content))
        must(sl_buf_append(out, json_string_value(content), json_string_length(content)));
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *text = json_object_get(json_array_get(content, i), "text");
        if (json_is_string(text))
            must(sl_buf_append(out, json_string_value(text), json_string_length(text)));
    }
}

static const json_t *last_message(const json_t *request)
{
    const json_t *messages = json_object_get(request, "messages");
    size_t count = json_array_size(messages);
    return count > 0 ? json_array_get(messages, count - 1) : NULL;
}

static bool has_role(const json_t *message, const char *role)
{
    const char *is = json_string_value(json_object_get(message, "role"));
    return is != NULL && strcmp(is, role) == 0;
}

static void append_last_user_text(const json_t *request, struct sl_buf *out)
{
    const json_t *messages = json_object_get(request, "messages");
    for (size_t i = json_array_size(messages); i > 0; i--) {
        const json_t *message = json_array_get(messages, i - 1);
        if (has_role(message, "user")) {
            append_text_of(json_object_get(message, "content"), out);
            return;
        }
    }
}

#define CLOCK_ZEROS "00000000000000000000" /* MOCK_CLOCK_DIGITS of them */

static void write_text(struct answer *answer)
{
    const struct mock_scenario *scenario = answer->scenario;
    sl_buf_init(&answer->text, TEXT_BYTES_MAX);
    if (scenario->answer == MOCK_CLOCK) {
        for (int i = 1; i <= scenario->clocks; i++)
            must(sl_buf_append_text(&answer->text, i > 1 ? " " CLOCK_ZEROS : CLOCK_ZEROS));
        return;
    }
    if (scenario->answer == MOCK_WORDS) {
        for (int i = 1; i <= scenario->words; i++)
            must(sl_buf_printf(&answer->text, i > 1 ? " word%d" : "word%d", i));
        return;
    }
    if (scenario->answer == MOCK_SAY) {
        must(sl_buf_append_text(&answer->text, scenario->said));
        return;
    }
    if (scenario->answer == MOCK_CANNED)
        must(sl_buf_append_text(&answer->text, "This is a simulated cloud answer. You said: "));
    append_last_user_text(answer->request, &answer->text);
}

/* A trailing assistant message is gone on from, where its text is how the answer begins. */
static void drop_prefill(struct answer *answer)
{
    const json_t *last = last_message(answer->request);
    if (!has_role(last, "assistant"))
        return;
    struct sl_buf prefill;
    sl_buf_init(&prefill, TEXT_BYTES_MAX);
    append_text_of(json_object_get(last, "content"), &prefill);
    if (sl_slice_starts_with(sl_buf_slice(&answer->text), sl_buf_slice(&prefill)))
        sl_buf_consume(&answer->text, prefill.len);
    sl_buf_clear(&prefill);
}

static size_t count_words(const char *text, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += text[i] != ' ' && (i == 0 || text[i - 1] == ' ');
    return count;
}

/* The length of the next piece of the text that is left. */
static size_t piece_len(const struct answer *answer, size_t at)
{
    const char *text = answer->text.data + at;
    size_t left = answer->text.len - at;
    size_t len = 0;
    if (answer->scenario->cut_at_bytes > 0) {
        len = at == 0 ? (size_t)answer->scenario->cut_at_bytes : left;
    } else if (answer->scenario->split_bytes > 0) {
        len = (size_t)answer->scenario->split_bytes;
    } else {
        while (len < left && text[len] == ' ')
            len++;
        while (len < left && text[len] != ' ')
            len++;
    }
    if (len >= left)
        return left;
    while (len < left && ((unsigned char)text[len] & 0xc0) == 0x80)
        len++; /* to the end of the character */
    return len;
}

/* ---- Events ---- */

static void write_event(struct answer *answer, const char *name, const char *data)
{
    struct sl_buf event;
    const char *newline = answer->scenario->is_crlf ? "\r\n" : "\n";
    sl_buf_init(&event, TEXT_BYTES_MAX);
    if (answer->api == MOCK_ANTHROPIC)
        must(sl_buf_printf(&event, "event: %s%s", name, newline));
    must(sl_buf_printf(&event, "data: %s%s%s", data, newline, newline));
    mock_script_write(answer->script, sl_buf_slice(&event));
    sl_buf_clear(&event);
}

static void write_json_event(struct answer *answer, const char *name, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    write_event(answer, name, text);
    free(text);
    json_decref(object);
}

static json_t *openai_usage(const struct answer *answer)
{
    return json_pack("{s:I,s:I,s:I}", "prompt_tokens", (json_int_t)answer->prompt_tokens,
                     "completion_tokens", (json_int_t)answer->token_count, "total_tokens",
                     (json_int_t)(answer->prompt_tokens + answer->token_count));
}

static void write_openai_chunk(struct answer *answer, json_t *delta, const char *finish_reason)
{
    json_t *choice = json_pack("{s:i,s:o,s:o}", "index", answer->choice, "delta", delta,
                               "finish_reason",
                               finish_reason != NULL ? json_string(finish_reason) : json_null());
    write_json_event(answer, "",
                     json_pack("{s:s,s:s,s:i,s:s,s:[o]}", "id", "chatcmpl-mock", "object",
                               "chat.completion.chunk", "created", 1700000000, "model",
                               answer->model, "choices", choice));
}

/* The last step is an event whose text is zeros: they become the time. */
static void mark_clock(struct mock_script *script)
{
    struct mock_step *step = &script->steps[script->step_count - 1];
    const char *zeros = strstr(step->bytes, CLOCK_ZEROS);
    step->clock_at = zeros != NULL ? (size_t)(zeros - step->bytes) : 0;
}

static void write_text_piece(struct answer *answer, struct sl_slice piece)
{
    json_t *text = json_stringn(piece.data, piece.len);
    if (answer->api == MOCK_OPENAI)
        write_openai_chunk(answer, json_pack("{s:o}", "content", text), NULL);
    else
        write_json_event(answer, "content_block_delta",
                         json_pack("{s:s,s:i,s:{s:s,s:o}}", "type", "content_block_delta", "index",
                                   0, "delta", "type", "text_delta", "text", text));
    if (answer->scenario->answer == MOCK_CLOCK)
        mark_clock(answer->script);
}

static void write_stream_error(struct answer *answer)
{
    json_t *error = json_pack("{s:s,s:s}", "type",
                              answer->api == MOCK_OPENAI ? "server_error" : "overloaded_error",
                              "message", "Simulated failure in the stream.");
    write_json_event(answer, "error",
                     answer->api == MOCK_OPENAI
                         ? json_pack("{s:o}", "error", error)
                         : json_pack("{s:s,s:o}", "type", "error", "error", error));
}

/* False where the stream ends here. */
static bool write_token_faults(struct answer *answer, int tokens)
{
    const struct mock_scenario *scenario = answer->scenario;
    int broken = tokens == 0 ? scenario->malformed_count : 0;
    broken += tokens == scenario->malformed_tokens;
    while (broken-- > 0)
        write_event(answer, "content_block_delta", "{\"choices\":[{\"delta\":{\"content\":\"br");
    if (tokens == scenario->cut_tokens)
        mock_script_cut(answer->script);
    if (tokens == scenario->stall_tokens)
        mock_script_sleep(answer->script, MOCK_FOREVER_MS);
    if (tokens == scenario->error_tokens)
        write_stream_error(answer);
    return tokens != scenario->cut_tokens && tokens != scenario->stall_tokens &&
           tokens != scenario->error_tokens && tokens != scenario->end_tokens;
}

/* False where a fault ended it. */
static bool write_pieces(struct answer *answer)
{
    int tokens = 0;
    size_t at = 0;
    do {
        if (!write_token_faults(answer, tokens))
            return false;
        mock_script_sleep(answer->script, tokens == 0 ? answer->scenario->first_token_ms
                                                      : answer->scenario->token_ms);
        size_t len = answer->text.len > 0 ? piece_len(answer, at) : 0;
        if (len > 0)
            write_text_piece(answer, (struct sl_slice){answer->text.data + at, len});
        at += len;
        tokens++;
    } while (at < answer->text.len);
    return write_token_faults(answer, tokens);
}

/* ---- Streams ---- */

static const char *finish_reason(const struct answer *answer)
{
    return answer->tool_name != NULL ? "tool_calls" : answer->scenario->finish_reason;
}

static char *tool_arguments(const struct answer *answer)
{
    json_t *object = json_pack(
        "{s:o}", "query",
        json_stringn(answer->text.data != NULL ? answer->text.data : "", answer->text.len));
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

/* The arguments in pieces as the scenario cuts text. */
static void write_openai_tool_call(struct answer *answer)
{
    char *arguments = tool_arguments(answer);
    size_t len = strlen(arguments);
    size_t step = answer->scenario->split_bytes > 0 ? (size_t)answer->scenario->split_bytes : 8;
    write_openai_chunk(answer,
                       json_pack("{s:[{s:i,s:s,s:s,s:{s:s,s:s}}]}", "tool_calls", "index", 0, "id",
                                 "call_mock1", "type", "function", "function", "name",
                                 answer->tool_name, "arguments", ""),
                       NULL);
    for (size_t at = 0; at < len;) {
        size_t piece = len - at < step ? len - at : step;
        while (at + piece < len && ((unsigned char)arguments[at + piece] & 0xc0) == 0x80)
            piece++;
        write_openai_chunk(answer,
                           json_pack("{s:[{s:i,s:{s:s%}}]}", "tool_calls", "index", 0, "function",
                                     "arguments", arguments + at, piece),
                           NULL);
        at += piece;
    }
    free(arguments);
}

/* `n` of the request: every choice says the same. */
static int choice_count(const struct answer *answer)
{
    json_int_t n = json_integer_value(json_object_get(answer->request, "n"));
    return n > 1 && n <= CHOICES_MAX ? (int)n : 1;
}

/* False where a fault ended it. */
static bool stream_choice(struct answer *answer)
{
    write_openai_chunk(answer, json_pack("{s:s,s:s}", "role", "assistant", "content", ""), NULL);
    if (answer->tool_name != NULL)
        write_openai_tool_call(answer);
    else if (!write_pieces(answer))
        return false;
    write_openai_chunk(answer, json_object(), finish_reason(answer));
    return true;
}

static void stream_openai(struct answer *answer)
{
    for (answer->choice = 0; answer->choice < choice_count(answer); answer->choice++)
        if (!stream_choice(answer))
            return;
    const json_t *options = json_object_get(answer->request, "stream_options");
    if (!answer->scenario->has_no_usage && json_is_true(json_object_get(options, "include_usage")))
        write_json_event(answer, "",
                         json_pack("{s:s,s:s,s:i,s:s,s:[],s:o}", "id", "chatcmpl-mock", "object",
                                   "chat.completion.chunk", "created", 1700000000, "model",
                                   answer->model, "choices", "usage", openai_usage(answer)));
    if (!answer->scenario->has_no_done)
        write_event(answer, "", "[DONE]");
}

static const char *anthropic_stop_reason(const struct answer *answer)
{
    const char *reason = finish_reason(answer);
    if (strcmp(reason, "tool_calls") == 0)
        return "tool_use";
    if (strcmp(reason, "length") == 0)
        return "max_tokens";
    return strcmp(reason, "content_filter") == 0 ? "refusal" : "end_turn";
}

static void write_anthropic_tool_use(struct answer *answer)
{
    char *arguments = tool_arguments(answer);
    write_json_event(answer, "content_block_start",
                     json_pack("{s:s,s:i,s:{s:s,s:s,s:s,s:{}}}", "type", "content_block_start",
                               "index", 1, "content_block", "type", "tool_use", "id", "toolu_mock1",
                               "name", answer->tool_name, "input"));
    write_json_event(answer, "content_block_delta",
                     json_pack("{s:s,s:i,s:{s:s,s:s}}", "type", "content_block_delta", "index", 1,
                               "delta", "type", "input_json_delta", "partial_json", arguments));
    write_json_event(answer, "content_block_stop",
                     json_pack("{s:s,s:i}", "type", "content_block_stop", "index", 1));
    free(arguments);
}

static void stream_anthropic(struct answer *answer)
{
    write_json_event(answer, "message_start",
                     json_pack("{s:s,s:{s:s,s:s,s:s,s:[],s:s,s:n,s:{s:I,s:i}}}", "type",
                               "message_start", "message", "id", "msg_mock", "type", "message",
                               "role", "assistant", "content", "model", answer->model,
                               "stop_reason", "usage", "input_tokens",
                               (json_int_t)answer->prompt_tokens, "output_tokens", 1));
    write_json_event(answer, "content_block_start",
                     json_pack("{s:s,s:i,s:{s:s,s:s}}", "type", "content_block_start", "index", 0,
                               "content_block", "type", "text", "text", ""));
    write_json_event(answer, "ping", json_pack("{s:s}", "type", "ping"));
    if (answer->tool_name == NULL && !write_pieces(answer))
        return;
    write_json_event(answer, "content_block_stop",
                     json_pack("{s:s,s:i}", "type", "content_block_stop", "index", 0));
    if (answer->tool_name != NULL)
        write_anthropic_tool_use(answer);
    write_json_event(answer, "message_delta",
                     json_pack("{s:s,s:{s:s,s:n},s:{s:I}}", "type", "message_delta", "delta",
                               "stop_reason", anthropic_stop_reason(answer), "stop_sequence",
                               "usage", "output_tokens", (json_int_t)answer->token_count));
    if (!answer->scenario->has_no_done)
        write_json_event(answer, "message_stop", json_pack("{s:s}", "type", "message_stop"));
}

/* ---- Whole answers ---- */

static json_t *whole_openai(const struct answer *answer)
{
    char *arguments = tool_arguments(answer);
    json_t *message =
        answer->tool_name != NULL
            ? json_pack("{s:s,s:n,s:[{s:s,s:s,s:{s:s,s:s}}]}", "role", "assistant", "content",
                        "tool_calls", "id", "call_mock1", "type", "function", "function", "name",
                        answer->tool_name, "arguments", arguments)
            : json_pack("{s:s,s:s%}", "role", "assistant", "content",
                        answer->text.data != NULL ? answer->text.data : "", answer->text.len);
    free(arguments);
    json_t *choices = json_array();
    for (int i = 0; i < choice_count(answer); i++)
        json_array_append_new(choices, json_pack("{s:i,s:O,s:s}", "index", i, "message", message,
                                                 "finish_reason", finish_reason(answer)));
    json_decref(message);
    json_t *whole = json_pack("{s:s,s:s,s:i,s:s,s:o}", "id", "chatcmpl-mock", "object",
                              "chat.completion", "created", 1700000000, "model", answer->model,
                              "choices", choices);
    if (!answer->scenario->has_no_usage)
        json_object_set_new(whole, "usage", openai_usage(answer));
    return whole;
}

static json_t *whole_anthropic(const struct answer *answer)
{
    json_t *content = json_array();
    if (answer->tool_name == NULL) {
        json_array_append_new(content, json_pack("{s:s,s:s%}", "type", "text", "text",
                                                 answer->text.data != NULL ? answer->text.data : "",
                                                 answer->text.len));
    } else {
        char *arguments = tool_arguments(answer);
        json_array_append_new(content, json_pack("{s:s,s:s,s:s,s:o}", "type", "tool_use", "id",
                                                 "toolu_mock1", "name", answer->tool_name, "input",
                                                 json_loads(arguments, 0, NULL)));
        free(arguments);
    }
    return json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:{s:I,s:I}}", "id", "msg_mock", "type", "message",
                     "role", "assistant", "model", answer->model, "content", content, "stop_reason",
                     anthropic_stop_reason(answer), "usage", "input_tokens",
                     (json_int_t)answer->prompt_tokens, "output_tokens",
                     (json_int_t)answer->token_count);
}

static void write_whole(struct answer *answer)
{
    const struct mock_scenario *scenario = answer->scenario;
    json_t *whole = answer->api == MOCK_OPENAI ? whole_openai(answer) : whole_anthropic(answer);
    char *text = json_dumps(whole, JSON_COMPACT);
    size_t len = strlen(text);
    mock_script_sleep(answer->script, scenario->first_token_ms);
    bool breaks = scenario->cut_tokens >= 0 || scenario->stall_tokens >= 0 ||
                  scenario->error_tokens >= 0 || scenario->end_tokens >= 0 ||
                  scenario->malformed_tokens >= 0;
    mock_script_write(answer->script, (struct sl_slice){text, breaks ? len * 2 / 3 : len});
    if (scenario->stall_tokens >= 0)
        mock_script_sleep(answer->script, MOCK_FOREVER_MS);
    else if (breaks && scenario->malformed_tokens < 0)
        mock_script_cut(answer->script);
    free(text);
    json_decref(whole);
}

/* ---- Public ---- */

static const char *first_tool_name(enum mock_api api, const json_t *request)
{
    const json_t *tool = json_array_get(json_object_get(request, "tools"), 0);
    if (api == MOCK_OPENAI)
        tool = json_object_get(tool, "function");
    return json_string_value(json_object_get(tool, "name"));
}

static void write_headers(const struct mock_scenario *scenario, struct mock_script *out)
{
    if (scenario->retry_after_s >= 0)
        snprintf(out->retry_after, sizeof out->retry_after, "%d", scenario->retry_after_s);
    if (scenario->retry_after_ms >= 0)
        snprintf(out->retry_after_ms, sizeof out->retry_after_ms, "%d", scenario->retry_after_ms);
    out->head_ms = scenario->is_silent ? MOCK_FOREVER_MS : scenario->head_ms;
    out->is_reset = scenario->is_reset;
}

/* Providers quote what they object to. */
static void write_error(enum mock_api api, const struct mock_scenario *scenario,
                        const json_t *request, struct mock_script *out)
{
    struct sl_buf message;
    sl_buf_init(&message, TEXT_BYTES_MAX);
    if (scenario->quotes_user) {
        must(sl_buf_append_text(&message, "Rejected, because you wrote: "));
        append_last_user_text(request, &message);
    }
    mock_wire_error(api, scenario->status, scenario->error_type, scenario->error_code,
                    message.len > 0 ? message.data : scenario->error_message, out);
    sl_buf_clear(&message);
}

static bool write_faulty_head(enum mock_api api, const struct mock_scenario *scenario,
                              const json_t *request, struct mock_script *out)
{
    if (scenario->is_html || scenario->is_garbage) {
        out->status = scenario->is_garbage ? 200 : 502;
        out->content_type = "text/html";
        mock_script_write(out, SL_SLICE("<html><body>Bad gateway</body></html>"));
        return true;
    }
    if (scenario->status != 0) {
        write_error(api, scenario, request, out);
        return true;
    }
    if (scenario->refuses_prefill && has_role(last_message(request), "assistant")) {
        mock_wire_error(api, 400, "invalid_request_error", NULL,
                        "This model does not support assistant message prefill.", out);
        return true;
    }
    if (scenario->refuses_stream && json_is_true(json_object_get(request, "stream"))) {
        mock_wire_error(api, 400, "invalid_request_error", "unsupported_value",
                        "This model does not support streaming.", out);
        return true;
    }
    return false;
}

void mock_wire_answer(enum mock_api api, const struct mock_scenario *scenario,
                      const json_t *request, struct mock_script *out)
{
    write_headers(scenario, out);
    if (write_faulty_head(api, scenario, request, out))
        return;
    const char *model = json_string_value(json_object_get(request, "model"));
    struct answer answer = {.api = api,
                            .scenario = scenario,
                            .request = request,
                            .model = model != NULL ? model : "",
                            .script = out};
    write_text(&answer);
    drop_prefill(&answer);
    if (scenario->answer == MOCK_TOOL)
        answer.tool_name = first_tool_name(api, request);
    answer.token_count = count_words(answer.text.data, answer.text.len);
    char *messages = json_dumps(json_object_get(request, "messages"), JSON_COMPACT);
    answer.prompt_tokens = messages != NULL ? strlen(messages) / 4 : 0;
    free(messages);

    out->status = 200;
    out->is_streamed = json_is_true(json_object_get(request, "stream"));
    out->content_type = out->is_streamed ? "text/event-stream; charset=utf-8" : "application/json";
    if (!out->is_streamed)
        write_whole(&answer);
    else if (api == MOCK_OPENAI)
        stream_openai(&answer);
    else
        stream_anthropic(&answer);
    if (scenario->wire_bytes > 0)
        mock_script_repiece(out, (size_t)scenario->wire_bytes);
    if (scenario->stays_open && out->is_streamed)
        mock_script_sleep(out, MOCK_FOREVER_MS);
    sl_buf_clear(&answer.text);
}
