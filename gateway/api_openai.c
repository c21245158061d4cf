/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenAI chat completions: parse, answer, error, and the event stream. The canonical chat of a
 * request is this API's own body, so parsing is checking. Source: OpenAI API reference, "Chat
 * Completions" and "Streaming"; WHATWG HTML 9.2 for event streams.
 *
 * A stream: a role chunk per choice, deltas, a finish chunk per choice, then, where asked for, one
 * chunk without choices that has `usage` and `sluice`, then [DONE].
 *
 * Runs on the request's thread.
 */
#include "api.h"

#include "chat_check.h"
#include "json_body.h"
#include "response_text.h"

#include <stdio.h>

/* req->respond.wire_state while streaming; in the request's arena. */
struct openai_stream {
    bool has_role[SL_CHOICES_MAX];
    bool has_usage;
    struct sl_usage usage;
    char model[SL_MODEL_NAME_MAX];
};

static enum sl_err openai_parse(struct sl_request *req)
{
    enum sl_err err = sl_json_body_parse(req->input.body, &req->parse.chat, &req->error);
    if (err == SL_OK)
        err = sl_chat_check(req);
    if (err == SL_OK)
        sl_response_name(req, "chatcmpl-");
    return err;
}

/* ---- whole answers ---- */

static enum sl_err openai_encode_answer(struct sl_request *req, struct sl_buf *out)
{
    enum sl_err err =
        sl_buf_printf(out, "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":%lld,",
                      req->respond.response_id, (long long)req->respond.created_s);
    if (err == SL_OK)
        err = sl_answer_encode(req->answer, true, out);
    if (err == SL_OK)
        err = sl_buf_append_debug(req, out);
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

static enum sl_err append_error(const struct sl_error *error, struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_text(out, "{\"error\":{\"message\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_slice_of(error->message));
    if (err == SL_OK)
        err = sl_buf_printf(out, ",\"type\":\"%s\",\"param\":", sl_err_type(error->code));
    if (err == SL_OK)
        err = error->param[0] != '\0' ? sl_buf_append_json(out, sl_slice_of(error->param))
                                      : sl_buf_append_text(out, "null");
    return err == SL_OK ? sl_buf_printf(out, ",\"code\":\"%s\"}", sl_err_code(error->code)) : err;
}

enum sl_err sl_openai_encode_error(const struct sl_error *error, struct sl_buf *out)
{
    enum sl_err err = append_error(error, out);
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

static enum sl_err openai_encode_error(struct sl_request *req, const struct sl_error *error,
                                       struct sl_buf *out)
{
    enum sl_err err = append_error(error, out);
    if (err == SL_OK && req->auth.policy != NULL)
        err = sl_buf_append_debug(req, out);
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

/* ---- streams ---- */

static struct openai_stream *stream_state(struct sl_request *req)
{
    if (req->respond.wire_state == NULL)
        req->respond.wire_state = sl_arena_zalloc(req->arena, 1, sizeof(struct openai_stream));
    return req->respond.wire_state;
}

static enum sl_err begin_chunk(struct sl_request *req, const struct openai_stream *stream,
                               struct sl_buf *out)
{
    enum sl_err err = sl_buf_printf(
        out, "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%lld,\"model\":",
        req->respond.response_id, (long long)req->respond.created_s);
    struct sl_slice model =
        stream->model[0] != '\0' ? sl_slice_of(stream->model) : req->parse.model;
    if (err == SL_OK)
        err = sl_buf_append_json(out, model);
    return err == SL_OK ? sl_buf_append_text(out, ",\"choices\":[") : err;
}

/* Ends a chunk whose choices are written; `usage` is null in all but the last where asked for. */
static enum sl_err end_chunk(const struct sl_request *req, struct sl_buf *out)
{
    return sl_buf_append_text(out, req->parse.wants_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

static enum sl_err append_role_chunk(struct sl_request *req, struct openai_stream *stream,
                                     const struct sl_delta *delta, struct sl_buf *out)
{
    if (stream->has_role[delta->choice])
        return SL_OK;
    stream->has_role[delta->choice] = true;
    enum sl_err err = begin_chunk(req, stream, out);
    if (err == SL_OK)
        err = sl_buf_printf(out,
                            "{\"index\":%u,\"delta\":{\"role\":\"assistant\",\"content\":%s},"
                            "\"logprobs\":null,\"finish_reason\":null}",
                            delta->choice, delta->kind == SL_DELTA_TOOL_CALL ? "null" : "\"\"");
    return err == SL_OK ? end_chunk(req, out) : err;
}

static enum sl_err append_text_delta(const char *member, const struct sl_delta *delta,
                                     struct sl_buf *out)
{
    enum sl_err err = sl_buf_printf(out, "{\"%s\":", member);
    if (err == SL_OK)
        err = sl_buf_append_json(out, delta->text);
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

/* Id, type and name come with the first piece of a call; the other pieces are arguments. */
static enum sl_err append_tool_delta(const struct sl_delta *delta, struct sl_buf *out)
{
    enum sl_err err = sl_buf_printf(out, "{\"tool_calls\":[{\"index\":%u", delta->tool_call);
    if (err == SL_OK && delta->tool_call_id.len > 0) {
        err = sl_buf_append_text(out, ",\"id\":");
        if (err == SL_OK)
            err = sl_buf_append_json(out, delta->tool_call_id);
        if (err == SL_OK)
            err = sl_buf_append_text(out, ",\"type\":\"function\"");
    }
    if (err == SL_OK)
        err = sl_buf_append_text(out, ",\"function\":{");
    if (err == SL_OK && delta->tool_call_name.len > 0) {
        err = sl_buf_append_text(out, "\"name\":");
        if (err == SL_OK)
            err = sl_buf_append_json(out, delta->tool_call_name);
        if (err == SL_OK)
            err = sl_buf_append_char(out, ',');
    }
    if (err == SL_OK)
        err = sl_buf_append_text(out, "\"arguments\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, delta->text);
    return err == SL_OK ? sl_buf_append_text(out, "}}]}") : err;
}

static enum sl_err append_delta_object(const struct sl_delta *delta, struct sl_buf *out)
{
    switch (delta->kind) {
    case SL_DELTA_TEXT: return append_text_delta("content", delta, out);
    case SL_DELTA_REASONING: return append_text_delta("reasoning_content", delta, out);
    case SL_DELTA_REFUSAL: return append_text_delta("refusal", delta, out);
    case SL_DELTA_TOOL_CALL: return append_tool_delta(delta, out);
    default: return sl_buf_append_text(out, "{}");
    }
}

static enum sl_err append_choice(const struct sl_delta *delta, struct sl_buf *out)
{
    enum sl_err err = sl_buf_printf(out, "{\"index\":%u,\"delta\":", delta->choice);
    if (err == SL_OK)
        err = append_delta_object(delta, out);
    if (err == SL_OK)
        err = sl_buf_append_text(out, ",\"logprobs\":");
    if (err == SL_OK && delta->kind == SL_DELTA_LOGPROBS) {
        err = sl_buf_append_text(out, "{\"content\":");
        if (err == SL_OK)
            err = sl_buf_append_json_value(out, delta->logprobs);
        if (err == SL_OK)
            err = sl_buf_append_text(out, ",\"refusal\":null}");
    } else if (err == SL_OK) {
        err = sl_buf_append_text(out, "null");
    }
    if (err == SL_OK && delta->kind == SL_DELTA_FINISH)
        return sl_buf_printf(out, ",\"finish_reason\":\"%s\"}",
                             sl_finish_reason_word(delta->finish_reason));
    return err == SL_OK ? sl_buf_append_text(out, ",\"finish_reason\":null}") : err;
}

static enum sl_err openai_stream_delta(struct sl_request *req, const struct sl_delta *delta,
                                       struct sl_buf *out)
{
    struct openai_stream *stream = stream_state(req);
    if (stream == NULL)
        return SL_ERR_MEMORY;
    if (delta->kind == SL_DELTA_MODEL) {
        snprintf(stream->model, sizeof stream->model, "%.*s", SL_SLICE_ARG(delta->text));
        return SL_OK;
    }
    if (delta->kind == SL_DELTA_USAGE) {
        stream->usage = delta->usage;
        stream->has_usage = true;
        return SL_OK;
    }
    if (delta->choice >= SL_CHOICES_MAX)
        return SL_ERR_FORMAT;
    enum sl_err err = append_role_chunk(req, stream, delta, out);
    if (err == SL_OK)
        err = begin_chunk(req, stream, out);
    if (err == SL_OK)
        err = append_choice(delta, out);
    return err == SL_OK ? end_chunk(req, out) : err;
}

static enum sl_err append_usage(const struct sl_usage *usage, struct sl_buf *out)
{
    return sl_buf_printf(
        out, ",\"usage\":{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu}",
        (unsigned long long)usage->prompt_tokens, (unsigned long long)usage->completion_tokens,
        (unsigned long long)(usage->prompt_tokens + usage->completion_tokens));
}

static enum sl_err openai_stream_end(struct sl_request *req, struct sl_buf *out)
{
    struct openai_stream *stream = stream_state(req);
    if (stream == NULL)
        return SL_ERR_MEMORY;
    enum sl_err err = SL_OK;
    if (req->parse.wants_usage || req->parse.wants_debug) {
        err = begin_chunk(req, stream, out);
        if (err == SL_OK)
            err = sl_buf_append_char(out, ']');
        if (err == SL_OK && req->parse.wants_usage)
            err = append_usage(&stream->usage, out);
        if (err == SL_OK)
            err = sl_buf_append_debug(req, out);
        if (err == SL_OK)
            err = sl_buf_append_text(out, "}\n\n");
    }
    return err == SL_OK ? sl_buf_append_text(out, "data: [DONE]\n\n") : err;
}

static enum sl_err openai_stream_error(struct sl_request *req, const struct sl_error *error,
                                       struct sl_buf *out)
{
    (void)req;
    enum sl_err err = sl_buf_append_text(out, "data: ");
    if (err == SL_OK)
        err = sl_openai_encode_error(error, out);
    return err == SL_OK ? sl_buf_append_text(out, "\n\n") : err;
}

static void openai_stream_reset(struct sl_request *req)
{
    struct openai_stream *stream = req->respond.wire_state;
    if (stream != NULL)
        memset(stream, 0, sizeof *stream);
}

const struct sl_wire_api sl_wire_openai = {
    .name = "openai",
    .content_type = "text/event-stream; charset=utf-8",
    .takes_held_answers = true,
    .parse = openai_parse,
    .encode_answer = openai_encode_answer,
    .encode_error = openai_encode_error,
    .stream_delta = openai_stream_delta,
    .stream_end = openai_stream_end,
    .stream_error = openai_stream_error,
    .stream_reset = openai_stream_reset,
};
