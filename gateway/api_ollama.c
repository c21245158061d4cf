/* SPDX-License-Identifier: Apache-2.0
 *
 * Ollama's chat and generate: turned into the canonical chat on the way in, and answers turned
 * back. Both stream unless told not to, one JSON object a line. Source: Ollama's docs/api.md.
 *
 * `options` become the canonical fields where they have one (num_predict, temperature, top_k, top_p,
 * min_p, seed, stop, repeat_penalty, presence_penalty, frequency_penalty); what sizes Ollama's own
 * runner (num_ctx, num_gpu, keep_alive, …) has no meaning here and is dropped.
 *
 * Runs on the request's thread.
 */
#include "api.h"

#include "chat_check.h"
#include "json_body.h"
#include "response_text.h"
#include "sluice/clock.h"
#include "sluice/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- in ---- */

static enum sl_err expected(struct sl_request *req, const char *path, const char *what)
{
    return sl_error_set_param(&req->error, SL_ERR_INVALID, path, "%s: expected %s", path, what);
}

static void copy_options(const json_t *options, json_t *chat)
{
    static const char *const fields[][2] = {
        {"num_predict", "max_tokens"},       {"temperature", "temperature"},
        {"top_k", "top_k"},                  {"top_p", "top_p"},
        {"min_p", "min_p"},                  {"seed", "seed"},
        {"stop", "stop"},                    {"repeat_penalty", "repetition_penalty"},
        {"presence_penalty", "presence_penalty"},
        {"frequency_penalty", "frequency_penalty"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        json_t *value = json_object_get(options, fields[i][0]);
        /* num_predict -1 and -2 mean "no limit" there. */
        bool is_no_limit = i == 0 && json_is_integer(value) && json_integer_value(value) < 0;
        if (value != NULL && !is_no_limit)
            json_object_set(chat, fields[i][1], value);
    }
}

/* `format`: "json" or a JSON Schema. */
static enum sl_err convert_format(struct sl_request *req, json_t *format, json_t *chat)
{
    json_t *made = NULL;
    const char *word = json_string_value(format);
    if (format == NULL || json_is_null(format) || (word != NULL && word[0] == '\0'))
        return SL_OK;
    if (word != NULL && strcmp(word, "json") == 0)
        made = json_pack("{s:s}", "type", "json_object");
    else if (json_is_object(format))
        made = json_pack("{s:s, s:{s:s, s:O}}", "type", "json_schema", "json_schema", "name",
                         "format", "schema", format);
    if (made == NULL)
        return expected(req, "format", "\"json\" or a JSON Schema");
    json_object_set_new(chat, "response_format", made);
    return SL_OK;
}

/* Text and base64 images as content: a string where there is no image. */
static json_t *content_with_images(json_t *text, const json_t *images)
{
    if (json_array_size(images) == 0)
        return json_is_string(text) ? json_incref(text) : json_string("");
    json_t *parts = json_array();
    if (json_is_string(text))
        json_array_append_new(parts, json_pack("{s:s, s:O}", "type", "text", "text", text));
    for (size_t i = 0; i < json_array_size(images); i++) {
        const char *data = json_string_value(json_array_get(images, i));
        json_array_append_new(parts, json_pack("{s:s, s:{s:o}}", "type", "image_url", "image_url",
                                               "url",
                                               json_sprintf("data:image/png;base64,%s",
                                                            data != NULL ? data : "")));
    }
    return parts;
}

/* Ollama's calls have no ids and their arguments are objects. */
static json_t *convert_calls(const json_t *calls)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *function = json_object_get(json_array_get(calls, i), "function");
        char *arguments = json_dumps(json_object_get(function, "arguments"), JSON_COMPACT);
        json_array_append_new(
            list, json_pack("{s:o, s:s, s:{s:O*, s:s}}", "id", json_sprintf("call_%zu", i), "type",
                            "function", "function", "name", json_object_get(function, "name"),
                            "arguments", arguments != NULL ? arguments : "{}"));
        free(arguments);
    }
    return list;
}

static json_t *convert_message(const json_t *message)
{
    json_t *role = json_object_get(message, "role");
    const json_t *calls = json_object_get(message, "tool_calls");
    const char *word = json_string_value(role);
    json_t *made = json_pack("{s:O*, s:o}", "role", role, "content",
                             content_with_images(json_object_get(message, "content"),
                                                 json_object_get(message, "images")));
    if (made == NULL)
        return NULL;
    if (json_array_size(calls) > 0)
        json_object_set_new(made, "tool_calls", convert_calls(calls));
    if (word != NULL && strcmp(word, "tool") == 0)
        json_object_set_new(made, "tool_call_id", json_string("call_0"));
    return made;
}

static enum sl_err convert_chat(struct sl_request *req, const json_t *body, json_t *chat)
{
    const json_t *list = json_object_get(body, "messages");
    if (!json_is_array(list))
        return expected(req, "messages", "an array of messages");
    json_t *messages = json_array();
    json_object_set_new(chat, "messages", messages);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_array_append_new(messages, convert_message(json_array_get(list, i))) != 0)
            return expected(req, "messages", "messages with `role` and `content`");
    json_t *tools = json_object_get(body, "tools");
    if (tools != NULL)
        json_object_set(chat, "tools", tools);
    return SL_OK;
}

static enum sl_err convert_generate(struct sl_request *req, const json_t *body, json_t *chat)
{
    json_t *prompt = json_object_get(body, "prompt");
    json_t *system = json_object_get(body, "system");
    if (!json_is_string(prompt))
        return expected(req, "prompt", "a string");
    if (json_is_true(json_object_get(body, "raw")) || json_object_get(body, "suffix") != NULL)
        return sl_error_set_param(&req->error, SL_ERR_UNSUPPORTED, "raw",
                                  "`raw` and `suffix` are not supported: every prompt is a chat");
    json_t *messages = json_array();
    json_object_set_new(chat, "messages", messages);
    if (json_is_string(system) && json_string_length(system) > 0)
        json_array_append_new(messages,
                              json_pack("{s:s, s:O}", "role", "system", "content", system));
    json_array_append_new(
        messages, json_pack("{s:s, s:o}", "role", "user", "content",
                            content_with_images(prompt, json_object_get(body, "images"))));
    return SL_OK;
}

static bool is_generate(const struct sl_request *req)
{
    return req->api == &sl_wire_ollama_generate;
}

static enum sl_err ollama_parse(struct sl_request *req)
{
    json_t *body;
    enum sl_err err = sl_json_body_parse(req->input.body, &body, &req->error);
    if (err != SL_OK)
        return err;
    json_t *chat = req->parse.chat = json_object();
    json_t *model = json_object_get(body, "model");
    json_t *stream = json_object_get(body, "stream");
    if (model != NULL)
        json_object_set(chat, "model", model);
    if (stream != NULL)
        json_object_set(chat, "stream", stream);
    else
        json_object_set_new(chat, "stream", json_true());
    copy_options(json_object_get(body, "options"), chat);
    err = is_generate(req) ? convert_generate(req, body, chat) : convert_chat(req, body, chat);
    if (err == SL_OK)
        err = convert_format(req, json_object_get(body, "format"), chat);
    json_decref(body);
    if (err == SL_OK)
        err = sl_chat_check(req);
    if (err == SL_OK)
        sl_response_name(req, "ollama-");
    return err;
}

/* ---- out ---- */

/* req->respond.wire_state; in the request's arena. */
struct ollama_stream {
    enum sl_finish_reason finish;
    struct sl_usage usage;
    char model[SL_MODEL_NAME_MAX];
    /* A call arrives in pieces, and goes out whole: this API has no partial calls. */
    struct sl_answer calls;
    bool has_calls;
};

static enum sl_err append_head(struct sl_slice model, struct sl_buf *out)
{
    struct tm tm;
    int64_t now_ms = sl_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    enum sl_err err = sl_buf_append_text(out, "{\"model\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, model);
    return err == SL_OK
               ? sl_buf_printf(out, ",\"created_at\":\"%s.%03dZ\"", text, (int)(now_ms % 1000))
               : err;
}

static enum sl_err append_call(const struct sl_tool_call *call, struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_text(out, "{\"function\":{\"name\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_buf_slice(&call->name));
    if (err == SL_OK)
        err = sl_buf_append_text(out, ",\"arguments\":");
    if (err == SL_OK)
        err = sl_buf_append_arguments(out, &call->arguments);
    return err == SL_OK ? sl_buf_append_text(out, "}}") : err;
}

/* `"message":{…}` of a chat, `"response":…` of a generate. */
static enum sl_err append_text(const struct sl_request *req, struct sl_slice text,
                               struct sl_slice thinking, const struct sl_choice *calls,
                               struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_text(
        out, is_generate(req) ? ",\"response\":" : ",\"message\":{\"role\":\"assistant\","
                                                   "\"content\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, text);
    if (err == SL_OK && thinking.len > 0) {
        err = sl_buf_append_text(out, ",\"thinking\":");
        if (err == SL_OK)
            err = sl_buf_append_json(out, thinking);
    }
    if (is_generate(req))
        return err;
    for (size_t i = 0; calls != NULL && i < calls->tool_call_count && err == SL_OK; i++) {
        err = sl_buf_append_text(out, i == 0 ? ",\"tool_calls\":[" : ",");
        if (err == SL_OK)
            err = append_call(&calls->tool_calls[i], out);
        if (err == SL_OK && i + 1 == calls->tool_call_count)
            err = sl_buf_append_char(out, ']');
    }
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

static enum sl_err append_tail(struct sl_request *req, enum sl_finish_reason finish,
                               const struct sl_usage *usage, struct sl_buf *out)
{
    uint64_t total_ns = sl_monotonic_ns() - req->started_ns;
    enum sl_err err = sl_buf_printf(
        out,
        ",\"done\":true,\"done_reason\":\"%s\",\"total_duration\":%llu,\"load_duration\":0,"
        "\"prompt_eval_count\":%llu,\"prompt_eval_duration\":0,\"eval_count\":%llu,"
        "\"eval_duration\":%llu",
        finish == SL_FINISH_REASON_LENGTH ? "length" : "stop", (unsigned long long)total_ns,
        (unsigned long long)usage->prompt_tokens, (unsigned long long)usage->completion_tokens,
        (unsigned long long)total_ns);
    if (err == SL_OK)
        err = sl_buf_append_debug(req, out);
    return err == SL_OK ? sl_buf_append_text(out, "}\n") : err;
}

static enum sl_err ollama_encode_answer(struct sl_request *req, struct sl_buf *out)
{
    static const struct sl_choice none;
    const struct sl_answer *answer = req->answer;
    const struct sl_choice *choice = answer->choice_count > 0 ? &answer->choices[0] : &none;
    enum sl_err err = append_head(sl_slice_of(answer->model), out);
    if (err == SL_OK)
        err = append_text(req, sl_buf_slice(&choice->content), sl_buf_slice(&choice->reasoning),
                          choice, out);
    return err == SL_OK ? append_tail(req, choice->finish_reason, &answer->usage, out) : err;
}

static enum sl_err ollama_encode_error(struct sl_request *req, const struct sl_error *error,
                                       struct sl_buf *out)
{
    (void)req;
    enum sl_err err = sl_buf_append_text(out, "{\"error\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_slice_of(error->message));
    return err == SL_OK ? sl_buf_append_text(out, "}\n") : err;
}

static struct ollama_stream *stream_state(struct sl_request *req)
{
    if (req->respond.wire_state == NULL) {
        struct ollama_stream *stream = sl_arena_zalloc(req->arena, 1, sizeof *stream);
        if (stream != NULL)
            sl_answer_init(&stream->calls,
                           sl_router_get_config(req->router)->answer_bytes_max);
        req->respond.wire_state = stream;
    }
    return req->respond.wire_state;
}

static enum sl_err ollama_stream_delta(struct sl_request *req, const struct sl_delta *delta,
                                       struct sl_buf *out)
{
    static const struct sl_slice empty = {"", 0};
    struct ollama_stream *stream = stream_state(req);
    if (stream == NULL)
        return SL_ERR_MEMORY;
    switch (delta->kind) {
    case SL_DELTA_MODEL:
        snprintf(stream->model, sizeof stream->model, "%.*s", SL_SLICE_ARG(delta->text));
        return SL_OK;
    case SL_DELTA_USAGE:
        stream->usage = delta->usage;
        return SL_OK;
    case SL_DELTA_FINISH:
        stream->finish = delta->finish_reason;
        return SL_OK;
    case SL_DELTA_TOOL_CALL:
        stream->has_calls = true;
        return sl_answer_add(&stream->calls, delta, &req->error);
    case SL_DELTA_LOGPROBS:
        return SL_OK;
    case SL_DELTA_TEXT:
    case SL_DELTA_REFUSAL:
    case SL_DELTA_REASONING:
        break;
    }
    if (delta->choice != 0)
        return SL_OK;
    bool is_thinking = delta->kind == SL_DELTA_REASONING;
    enum sl_err err = append_head(
        stream->model[0] != '\0' ? sl_slice_of(stream->model) : req->parse.model, out);
    if (err == SL_OK)
        err = append_text(req, is_thinking ? empty : delta->text, is_thinking ? delta->text : empty,
                          NULL, out);
    return err == SL_OK ? sl_buf_append_text(out, ",\"done\":false}\n") : err;
}

static void ollama_stream_reset(struct sl_request *req)
{
    struct ollama_stream *stream = req->respond.wire_state;
    if (stream == NULL)
        return;
    sl_answer_clear(&stream->calls);
    stream->has_calls = false;
    stream->finish = SL_FINISH_REASON_NONE;
    stream->model[0] = '\0';
    memset(&stream->usage, 0, sizeof stream->usage);
}

static enum sl_err ollama_stream_end(struct sl_request *req, struct sl_buf *out)
{
    struct ollama_stream *stream = stream_state(req);
    if (stream == NULL)
        return SL_ERR_MEMORY;
    enum sl_err err = append_head(
        stream->model[0] != '\0' ? sl_slice_of(stream->model) : req->parse.model, out);
    if (err == SL_OK)
        err = append_text(req, SL_SLICE(""), SL_SLICE(""),
                          stream->calls.choice_count > 0 ? &stream->calls.choices[0] : NULL, out);
    if (err == SL_OK)
        err = append_tail(req, stream->finish, &stream->usage, out);
    sl_answer_clear(&stream->calls);
    return err;
}

static enum sl_err ollama_stream_error(struct sl_request *req, const struct sl_error *error,
                                       struct sl_buf *out)
{
    if (req->respond.wire_state != NULL)
        sl_answer_clear(&((struct ollama_stream *)req->respond.wire_state)->calls);
    return ollama_encode_error(req, error, out);
}

const struct sl_wire_api sl_wire_ollama_chat = {
    .name = "ollama",
    .content_type = "application/x-ndjson",
    .parse = ollama_parse,
    .encode_answer = ollama_encode_answer,
    .encode_error = ollama_encode_error,
    .stream_delta = ollama_stream_delta,
    .stream_end = ollama_stream_end,
    .stream_error = ollama_stream_error,
    .stream_reset = ollama_stream_reset,
};

const struct sl_wire_api sl_wire_ollama_generate = {
    .name = "ollama",
    .content_type = "application/x-ndjson",
    .parse = ollama_parse,
    .encode_answer = ollama_encode_answer,
    .encode_error = ollama_encode_error,
    .stream_delta = ollama_stream_delta,
    .stream_end = ollama_stream_end,
    .stream_error = ollama_stream_error,
    .stream_reset = ollama_stream_reset,
};
