/* SPDX-License-Identifier: Apache-2.0
 *
 * Anthropic messages, on the way out: answers, errors and streams. The way in is
 * api_anthropic_parse.c. Source: Anthropic API reference, "Messages", "Streaming messages" and
 * "Errors" (version 2023-06-01).
 *
 * A stream:
 *     message_start, { content_block_start, content_block_delta…, content_block_stop }…,
 *     message_delta (stop_reason, usage), message_stop
 *
 * Runs on the request's thread.
 */
#include "api.h"

#include "response_text.h"

#include <stdio.h>

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

static enum sl_err append_tool_block(const struct sl_tool_call *call, struct sl_buf *out)
{
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
        err = sl_buf_append_arguments(out, &call->arguments);
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
    .parse = sl_anthropic_parse,
    .encode_answer = anthropic_encode_answer,
    .encode_error = anthropic_encode_error,
    .stream_delta = anthropic_stream_delta,
    .stream_end = anthropic_stream_end,
    .stream_error = anthropic_stream_error,
    .stream_reset = anthropic_stream_reset,
};
