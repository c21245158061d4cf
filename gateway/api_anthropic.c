/* SPDX-License-Identifier: Apache-2.0
 *
 * Anthropic messages: turned into the canonical chat on the way in, and answers turned back. Source:
 * Anthropic API reference, "Messages", "Streaming messages" and "Errors" (version 2023-06-01).
 *
 * In: `system` becomes the first message; `tool_use` blocks become tool calls, `tool_result` blocks
 * messages of their own before the rest of their turn. Fields without a counterpart are dropped,
 * since the cloud is asked in the canonical form.
 *
 * Out, as a stream:
 *     message_start, { content_block_start, content_block_delta…, content_block_stop }…,
 *     message_delta (stop_reason, usage), message_stop
 *
 * Runs on the request's thread.
 */
#include "api.h"

#include "chat_check.h"
#include "json_body.h"
#include "response_text.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- in ---- */

static enum sl_err expected(struct sl_request *req, const char *path, const char *what)
{
    return sl_error_set_param(&req->error, SL_ERR_INVALID, path, "%s: expected %s", path, what);
}

/* The text of a string or of an array of text blocks, joined by line breaks; a new reference, or
 * NULL where it is neither. */
static json_t *joined_text(const json_t *value)
{
    if (json_is_string(value))
        return json_string(json_string_value(value));
    if (!json_is_array(value))
        return NULL;
    struct sl_buf text;
    sl_buf_init(&text, SIZE_MAX / 2);
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < json_array_size(value) && err == SL_OK; i++) {
        const json_t *piece = json_object_get(json_array_get(value, i), "text");
        if (!json_is_string(piece))
            continue;
        if (text.len > 0)
            err = sl_buf_append_char(&text, '\n');
        if (err == SL_OK)
            err = sl_buf_append(&text, json_string_value(piece), json_string_length(piece));
    }
    json_t *joined = err == SL_OK ? json_stringn(text.data != NULL ? text.data : "", text.len) : NULL;
    sl_buf_wipe(&text);
    return joined;
}

/* {"type":"image","source":{…}} -> {"type":"image_url","image_url":{"url":…}}. NULL: malformed. */
static json_t *image_part(const json_t *block)
{
    const json_t *source = json_object_get(block, "source");
    const char *url = json_string_value(json_object_get(source, "url"));
    if (url != NULL)
        return json_pack("{s:s, s:{s:s}}", "type", "image_url", "image_url", "url", url);
    const char *type = json_string_value(json_object_get(source, "media_type"));
    const char *data = json_string_value(json_object_get(source, "data"));
    if (type == NULL || data == NULL)
        return NULL;
    return json_pack("{s:s, s:{s:o}}", "type", "image_url", "image_url", "url",
                     json_sprintf("data:%s;base64,%s", type, data));
}

/* {"type":"tool_use","id","name","input"} -> a tool call with its arguments as JSON text. */
static json_t *tool_call_of(const json_t *block)
{
    const char *id = json_string_value(json_object_get(block, "id"));
    const char *name = json_string_value(json_object_get(block, "name"));
    const json_t *input = json_object_get(block, "input");
    char *arguments = input != NULL ? json_dumps(input, JSON_COMPACT) : NULL;
    json_t *call = NULL;
    if (id != NULL && name != NULL)
        call = json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", id, "type", "function", "function",
                         "name", name, "arguments", arguments != NULL ? arguments : "{}");
    free(arguments);
    return call;
}

static json_t *tool_result_of(const json_t *block)
{
    const char *id = json_string_value(json_object_get(block, "tool_use_id"));
    const json_t *content = json_object_get(block, "content");
    json_t *text = content != NULL ? joined_text(content) : json_string("");
    if (id == NULL || text == NULL) {
        json_decref(text);
        return NULL;
    }
    return json_pack("{s:s, s:s, s:o}", "role", "tool", "tool_call_id", id, "content", text);
}

/* What one turn's blocks become. */
struct turn {
    json_t *results; /* tool messages, before the turn itself */
    json_t *parts;   /* content */
    json_t *calls;
};

/* Sorts one block into the turn; false where it is malformed or of no known type. */
static bool take_block(struct turn *turn, const json_t *block)
{
    const char *type = json_string_value(json_object_get(block, "type"));
    json_t *made = NULL;
    json_t *list = turn->parts;
    if (type == NULL)
        return false;
    if (strcmp(type, "text") == 0) {
        const char *text = json_string_value(json_object_get(block, "text"));
        made = text != NULL ? json_pack("{s:s, s:s}", "type", "text", "text", text) : NULL;
    } else if (strcmp(type, "image") == 0) {
        made = image_part(block);
    } else if (strcmp(type, "document") == 0) {
        made = json_pack("{s:s, s:O}", "type", "file", "file",
                         json_object_get(block, "source") != NULL ? json_object_get(block, "source")
                                                                  : block);
    } else if (strcmp(type, "tool_use") == 0) {
        made = tool_call_of(block);
        list = turn->calls;
    } else if (strcmp(type, "tool_result") == 0) {
        made = tool_result_of(block);
        list = turn->results;
    } else if (strcmp(type, "thinking") == 0 || strcmp(type, "redacted_thinking") == 0) {
        return true; /* a model's own notes are of no use to another */
    }
    return made != NULL && json_array_append_new(list, made) == 0;
}

/* A single text part is written as a plain string: more models' templates take it. */
static json_t *content_of(json_t *parts)
{
    const json_t *only = json_array_size(parts) == 1 ? json_array_get(parts, 0) : NULL;
    json_t *text = json_object_get(only, "text");
    return text != NULL ? json_incref(text) : json_incref(parts);
}

static int append_turn(json_t *messages, const char *role, const struct turn *turn)
{
    int failed = json_array_extend(messages, turn->results);
    if (json_array_size(turn->parts) + json_array_size(turn->calls) == 0)
        return failed;
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content",
                                json_array_size(turn->parts) > 0 ? content_of(turn->parts)
                                                                 : json_null());
    if (json_array_size(turn->calls) > 0)
        failed |= json_object_set(message, "tool_calls", turn->calls);
    return failed | json_array_append_new(messages, message);
}

static enum sl_err convert_blocks(struct sl_request *req, const char *role, const json_t *blocks,
                                  size_t idx, json_t *messages)
{
    struct turn turn = {json_array(), json_array(), json_array()};
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < json_array_size(blocks) && err == SL_OK; i++) {
        char path[64];
        snprintf(path, sizeof path, "messages[%zu].content[%zu]", idx, i);
        if (!take_block(&turn, json_array_get(blocks, i)))
            err = expected(req, path, "a text, image, document, tool_use or tool_result block");
    }
    if (err == SL_OK && append_turn(messages, role, &turn) != 0)
        err = sl_error_set(&req->error, SL_ERR_MEMORY, NULL);
    json_decref(turn.results);
    json_decref(turn.parts);
    json_decref(turn.calls);
    return err;
}

static enum sl_err convert_message(struct sl_request *req, const json_t *message, size_t idx,
                                   json_t *messages)
{
    char path[64];
    const char *role = json_string_value(json_object_get(message, "role"));
    json_t *content = json_object_get(message, "content");
    snprintf(path, sizeof path, "messages[%zu].role", idx);
    if (role == NULL || (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0))
        return expected(req, path, "\"user\" or \"assistant\"");
    if (json_is_array(content))
        return convert_blocks(req, role, content, idx, messages);
    snprintf(path, sizeof path, "messages[%zu].content", idx);
    if (!json_is_string(content))
        return expected(req, path, "a string or an array of blocks");
    int failed = json_array_append_new(
        messages, json_pack("{s:s, s:O}", "role", role, "content", content));
    return failed == 0 ? SL_OK : sl_error_set(&req->error, SL_ERR_MEMORY, NULL);
}

static enum sl_err convert_messages(struct sl_request *req, const json_t *body, json_t *chat)
{
    const json_t *list = json_object_get(body, "messages");
    const json_t *system = json_object_get(body, "system");
    json_t *messages = json_array();
    json_object_set_new(chat, "messages", messages);
    if (!json_is_array(list))
        return expected(req, "messages", "an array of messages");
    if (system != NULL) {
        json_t *text = joined_text(system);
        if (text == NULL)
            return expected(req, "system", "a string or an array of text blocks");
        json_array_append_new(messages,
                              json_pack("{s:s, s:o}", "role", "system", "content", text));
    }
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < json_array_size(list) && err == SL_OK; i++)
        err = convert_message(req, json_array_get(list, i), i, messages);
    return err;
}

static enum sl_err convert_tools(struct sl_request *req, const json_t *body, json_t *chat)
{
    const json_t *tools = json_object_get(body, "tools");
    if (tools == NULL)
        return SL_OK;
    if (!json_is_array(tools))
        return expected(req, "tools", "an array");
    json_t *list = json_array();
    json_object_set_new(chat, "tools", list);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const char *name = json_string_value(json_object_get(tool, "name"));
        json_t *schema = json_object_get(tool, "input_schema");
        char path[48];
        snprintf(path, sizeof path, "tools[%zu]", i);
        if (name == NULL || (schema != NULL && !json_is_object(schema)))
            return expected(req, path, "an object with `name` and `input_schema`");
        json_array_append_new(
            list, json_pack("{s:s, s:{s:s, s:O*, s:O*}}", "type", "function", "function", "name",
                            name, "description", json_object_get(tool, "description"),
                            "parameters", schema));
    }
    return SL_OK;
}

static enum sl_err convert_tool_choice(struct sl_request *req, const json_t *body, json_t *chat)
{
    const json_t *choice = json_object_get(body, "tool_choice");
    const char *type = json_string_value(json_object_get(choice, "type"));
    if (choice == NULL)
        return SL_OK;
    json_t *made = NULL;
    if (type != NULL && strcmp(type, "any") == 0)
        made = json_string("required");
    else if (type != NULL && (strcmp(type, "auto") == 0 || strcmp(type, "none") == 0))
        made = json_string(type);
    else if (type != NULL && strcmp(type, "tool") == 0)
        made = json_pack("{s:s, s:{s:O}}", "type", "function", "function", "name",
                         json_object_get(choice, "name"));
    if (made == NULL)
        return expected(req, "tool_choice.type", "\"auto\", \"any\", \"tool\" or \"none\"");
    json_object_set_new(chat, "tool_choice", made);
    return SL_OK;
}

static void copy_fields(const json_t *body, json_t *chat)
{
    static const char *const fields[][2] = {
        {"model", "model"},   {"max_tokens", "max_tokens"},   {"temperature", "temperature"},
        {"top_p", "top_p"},   {"top_k", "top_k"},             {"stream", "stream"},
        {"thinking", "thinking"}, {"stop_sequences", "stop"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        json_t *value = json_object_get(body, fields[i][0]);
        if (value != NULL)
            json_object_set(chat, fields[i][1], value);
    }
    json_t *user = json_object_get(json_object_get(body, "metadata"), "user_id");
    if (json_is_string(user))
        json_object_set(chat, "user", user);
}

static enum sl_err anthropic_parse(struct sl_request *req)
{
    json_t *body;
    enum sl_err err = sl_json_body_parse(req->input.body, &body, &req->error);
    if (err != SL_OK)
        return err;
    req->parse.chat = json_object();
    if (json_object_get(body, "max_tokens") == NULL)
        err = expected(req, "max_tokens", "a whole number from 1");
    copy_fields(body, req->parse.chat);
    if (err == SL_OK)
        err = convert_messages(req, body, req->parse.chat);
    if (err == SL_OK)
        err = convert_tools(req, body, req->parse.chat);
    if (err == SL_OK)
        err = convert_tool_choice(req, body, req->parse.chat);
    json_decref(body);
    if (err == SL_OK)
        err = sl_chat_check(req);
    if (err == SL_OK)
        sl_response_name(req, "msg_");
    return err;
}

/* ---- out: whole ---- */

static const char *stop_reason(enum sl_finish_reason reason)
{
    switch (reason) {
    case SL_FINISH_REASON_LENGTH: return "max_tokens";
    case SL_FINISH_REASON_TOOL_CALLS: return "tool_use";
    case SL_FINISH_REASON_CONTENT_FILTER: return "refusal";
    case SL_FINISH_REASON_STOP:
    case SL_FINISH_REASON_NONE: break;
    }
    return "end_turn";
}

static enum sl_err append_text_block(struct sl_slice text, struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_text(out, "{\"type\":\"text\",\"text\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, text);
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

/* The arguments are a model's text: where they are no JSON object, an empty one is sent, since the
 * API has no way to say so. */
static enum sl_err append_tool_block(const struct sl_tool_call *call, struct sl_buf *out)
{
    json_t *input = json_loadb(call->arguments.data != NULL ? call->arguments.data : "",
                               call->arguments.len, 0, NULL);
    enum sl_err err = sl_buf_append_text(out, "{\"type\":\"tool_use\",\"id\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_buf_slice(&call->id));
    if (err == SL_OK)
        err = sl_buf_append_text(out, ",\"name\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_buf_slice(&call->name));
    if (err == SL_OK)
        err = sl_buf_append_text(out, ",\"input\":");
    if (err == SL_OK)
        err = json_is_object(input) ? sl_buf_append_json_value(out, input)
                                    : sl_buf_append_text(out, "{}");
    json_decref(input);
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

static enum sl_err append_content(const struct sl_choice *choice, struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_char(out, '[');
    bool has_one = choice->content.len > 0 || choice->tool_call_count == 0;
    if (err == SL_OK && has_one)
        err = append_text_block(sl_buf_slice(&choice->content), out);
    for (size_t i = 0; i < choice->tool_call_count && err == SL_OK; i++) {
        if (has_one || i > 0)
            err = sl_buf_append_char(out, ',');
        if (err == SL_OK)
            err = append_tool_block(&choice->tool_calls[i], out);
    }
    return err == SL_OK ? sl_buf_append_char(out, ']') : err;
}

static enum sl_err append_head(struct sl_request *req, struct sl_slice model, struct sl_buf *out)
{
    enum sl_err err = sl_buf_printf(
        out, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":",
        req->respond.response_id);
    return err == SL_OK ? sl_buf_append_json(out, model) : err;
}

static enum sl_err anthropic_encode_answer(struct sl_request *req, struct sl_buf *out)
{
    static const struct sl_choice none;
    const struct sl_answer *answer = req->answer;
    const struct sl_choice *choice = answer->choice_count > 0 ? &answer->choices[0] : &none;
    enum sl_err err = append_head(req, sl_slice_of(answer->model), out);
    if (err == SL_OK)
        err = sl_buf_append_text(out, ",\"content\":");
    if (err == SL_OK)
        err = append_content(choice, out);
    if (err == SL_OK)
        err = sl_buf_printf(out,
                            ",\"stop_reason\":\"%s\",\"stop_sequence\":null,\"usage\":"
                            "{\"input_tokens\":%llu,\"output_tokens\":%llu}",
                            stop_reason(choice->finish_reason),
                            (unsigned long long)answer->usage.prompt_tokens,
                            (unsigned long long)answer->usage.completion_tokens);
    if (err == SL_OK)
        err = sl_buf_append_debug(req, out);
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

static const char *error_type(int status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    case 504: return "timeout_error";
    default: return status < 500 ? "invalid_request_error" : "api_error";
    }
}

static enum sl_err anthropic_encode_error(struct sl_request *req, const struct sl_error *error,
                                          struct sl_buf *out)
{
    enum sl_err err =
        sl_buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":",
                      error_type(sl_err_http_status(error->code)));
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_slice_of(error->message));
    if (err == SL_OK)
        err = sl_buf_append_text(out, "},\"request_id\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_slice_of(req->id));
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

/* ---- out: stream ---- */

enum block_kind { BLOCK_NONE, BLOCK_TEXT, BLOCK_THINKING, BLOCK_TOOL };

/* req->respond.wire_state; in the request's arena. */
struct anthropic_stream {
    bool has_started;
    enum block_kind open; /* the block that is being sent */
    uint32_t block_count; /* its index is one less */
    uint32_t tool_call;   /* of BLOCK_TOOL */
    enum sl_finish_reason finish;
    struct sl_usage usage;
    char model[SL_MODEL_NAME_MAX];
};

static struct anthropic_stream *stream_state(struct sl_request *req)
{
    if (req->respond.wire_state == NULL)
        req->respond.wire_state = sl_arena_zalloc(req->arena, 1, sizeof(struct anthropic_stream));
    return req->respond.wire_state;
}

static enum sl_err append_start(struct sl_request *req, struct anthropic_stream *stream,
                                struct sl_buf *out)
{
    if (stream->has_started)
        return SL_OK;
    stream->has_started = true;
    struct sl_slice model =
        stream->model[0] != '\0' ? sl_slice_of(stream->model) : req->parse.model;
    enum sl_err err = sl_buf_append_text(
        out, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
    if (err == SL_OK)
        err = append_head(req, model, out);
    return err == SL_OK
               ? sl_buf_append_text(out, ",\"content\":[],\"stop_reason\":null,"
                                         "\"stop_sequence\":null,\"usage\":{\"input_tokens\":0,"
                                         "\"output_tokens\":0}}}\n\n")
               : err;
}

static enum sl_err append_block_stop(struct anthropic_stream *stream, struct sl_buf *out)
{
    if (stream->open == BLOCK_NONE)
        return SL_OK;
    stream->open = BLOCK_NONE;
    return sl_buf_printf(out,
                         "event: content_block_stop\ndata: {\"type\":\"content_block_stop\","
                         "\"index\":%u}\n\n",
                         stream->block_count - 1);
}

static enum sl_err append_block_start(struct anthropic_stream *stream, enum block_kind kind,
                                      const struct sl_delta *delta, struct sl_buf *out)
{
    enum sl_err err = append_block_stop(stream, out);
    stream->open = kind;
    stream->tool_call = delta->tool_call;
    if (err == SL_OK)
        err = sl_buf_printf(out,
                            "event: content_block_start\ndata: {\"type\":\"content_block_start\","
                            "\"index\":%u,\"content_block\":",
                            stream->block_count++);
    if (err != SL_OK)
        return err;
    if (kind == BLOCK_TEXT)
        return sl_buf_append_text(out, "{\"type\":\"text\",\"text\":\"\"}}\n\n");
    if (kind == BLOCK_THINKING)
        return sl_buf_append_text(
            out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n");
    err = sl_buf_append_text(out, "{\"type\":\"tool_use\",\"id\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, delta->tool_call_id);
    if (err == SL_OK)
        err = sl_buf_append_text(out, ",\"name\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, delta->tool_call_name);
    return err == SL_OK ? sl_buf_append_text(out, ",\"input\":{}}}\n\n") : err;
}

static enum sl_err append_block_delta(const struct anthropic_stream *stream,
                                      const struct sl_delta *delta, struct sl_buf *out)
{
    static const char *const members[][2] = {[BLOCK_TEXT] = {"text_delta", "text"},
                                             [BLOCK_THINKING] = {"thinking_delta", "thinking"},
                                             [BLOCK_TOOL] = {"input_json_delta", "partial_json"}};
    if (delta->text.len == 0)
        return SL_OK;
    enum sl_err err = sl_buf_printf(
        out,
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":%u,"
        "\"delta\":{\"type\":\"%s\",\"%s\":",
        stream->block_count - 1, members[stream->open][0], members[stream->open][1]);
    if (err == SL_OK)
        err = sl_buf_append_json(out, delta->text);
    return err == SL_OK ? sl_buf_append_text(out, "}}\n\n") : err;
}

static enum sl_err anthropic_stream_delta(struct sl_request *req, const struct sl_delta *delta,
                                          struct sl_buf *out)
{
    struct anthropic_stream *stream = stream_state(req);
    enum block_kind kind = BLOCK_TEXT;
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
        return append_start(req, stream, out);
    case SL_DELTA_LOGPROBS: /* this API has none */
        return SL_OK;
    case SL_DELTA_TOOL_CALL: kind = BLOCK_TOOL; break;
    case SL_DELTA_REASONING: kind = BLOCK_THINKING; break;
    case SL_DELTA_TEXT:
    case SL_DELTA_REFUSAL: break;
    }
    if (delta->choice != 0) /* one answer a message */
        return SL_OK;
    enum sl_err err = append_start(req, stream, out);
    bool is_same = stream->open == kind &&
                   (kind != BLOCK_TOOL || stream->tool_call == delta->tool_call);
    if (err == SL_OK && !is_same)
        err = append_block_start(stream, kind, delta, out);
    return err == SL_OK ? append_block_delta(stream, delta, out) : err;
}

static enum sl_err anthropic_stream_end(struct sl_request *req, struct sl_buf *out)
{
    struct anthropic_stream *stream = stream_state(req);
    if (stream == NULL)
        return SL_ERR_MEMORY;
    enum sl_err err = append_start(req, stream, out);
    if (err == SL_OK)
        err = append_block_stop(stream, out);
    if (err == SL_OK)
        err = sl_buf_printf(out,
                            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"
                            "{\"stop_reason\":\"%s\",\"stop_sequence\":null},\"usage\":"
                            "{\"input_tokens\":%llu,\"output_tokens\":%llu}",
                            stop_reason(stream->finish),
                            (unsigned long long)stream->usage.prompt_tokens,
                            (unsigned long long)stream->usage.completion_tokens);
    if (err == SL_OK)
        err = sl_buf_append_debug(req, out);
    return err == SL_OK ? sl_buf_append_text(out, "}\n\nevent: message_stop\ndata: "
                                                  "{\"type\":\"message_stop\"}\n\n")
                        : err;
}

static enum sl_err anthropic_stream_error(struct sl_request *req, const struct sl_error *error,
                                          struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_text(out, "event: error\ndata: ");
    if (err == SL_OK)
        err = anthropic_encode_error(req, error, out);
    return err == SL_OK ? sl_buf_append_text(out, "\n\n") : err;
}

static void anthropic_stream_reset(struct sl_request *req)
{
    if (req->respond.wire_state != NULL)
        memset(req->respond.wire_state, 0, sizeof(struct anthropic_stream));
}

const struct sl_wire_api sl_wire_anthropic = {
    .name = "anthropic",
    .content_type = "text/event-stream; charset=utf-8",
    .parse = anthropic_parse,
    .encode_answer = anthropic_encode_answer,
    .encode_error = anthropic_encode_error,
    .stream_delta = anthropic_stream_delta,
    .stream_end = anthropic_stream_end,
    .stream_error = anthropic_stream_error,
    .stream_reset = anthropic_stream_reset,
};
