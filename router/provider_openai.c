/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenAI's chat completions (platform.openai.com/docs/api-reference/chat), which most other
 * providers speak too. The canonical body is already in this form, so asking is a copy with the
 * model replaced; reading is kind to what compatible servers do differently.
 */
#include "provider.h"

/* Members that this adapter writes itself. */
static bool is_own_member(const char *name, bool has_prefill)
{
    static const char *const own[] = {"model", "stream", "stream_options"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(name, own[i]) == 0)
            return true;
    return has_prefill && strcmp(name, "messages") == 0;
}

static enum sl_err write_member(struct sl_buf *out, const char *name, const json_t *value)
{
    enum sl_err err = sl_buf_append_char(out, ',');
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_slice_of(name));
    if (err == SL_OK)
        err = sl_buf_append_char(out, ':');
    return err == SL_OK ? sl_provider_append_json(out, value) : err;
}

/* The messages with what the assistant has said so far as the last of them. */
static enum sl_err write_prefilled_messages(const struct sl_provider_ask *ask, struct sl_buf *out)
{
    const json_t *messages = json_object_get(ask->body, "messages");
    enum sl_err err = sl_buf_append_text(out, ",\"messages\":[");
    for (size_t i = 0; i < json_array_size(messages) && err == SL_OK; i++) {
        err = sl_provider_append_json(out, json_array_get(messages, i));
        if (err == SL_OK)
            err = sl_buf_append_char(out, ',');
    }
    if (err == SL_OK)
        err = sl_buf_append_text(out, "{\"role\":\"assistant\",\"content\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, ask->prefill);
    return err == SL_OK ? sl_buf_append_text(out, "}]") : err;
}

static enum sl_err write_body(const struct sl_provider_ask *ask, struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_text(out, "{\"model\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_slice_of(ask->wire_model));
    bool has_prefill = ask->prefill.len > 0;
    const char *name;
    json_t *value;
    json_t *body = (json_t *)ask->body; /* jansson's iteration takes no const; it only reads */
    json_object_foreach(body, name, value) if (err == SL_OK && !is_own_member(name, has_prefill))
        err = write_member(out, name, value);
    if (err == SL_OK && has_prefill)
        err = write_prefilled_messages(ask, out);
    /* Usage is always asked for: it is what costs and budgets are counted by. */
    if (err == SL_OK && ask->is_streaming)
        err =
            sl_buf_append_text(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    return err == SL_OK ? sl_buf_append_char(out, '}') : err;
}

enum sl_err sl_provider_openai_body(const struct sl_provider_ask *ask, struct sl_buf *out,
                                    struct sl_error *error)
{
    enum sl_err err = write_body(ask, out);
    return err == SL_OK ? SL_OK
                        : sl_error_set(error, err, "the request for %s could not be written",
                                       ask->config->name);
}

/* ---- Reading ---- */

static void note_usage(struct sl_provider_reader *reader, const json_t *usage)
{
    if (json_is_object(usage))
        reader->usage =
            (struct sl_usage){.prompt_tokens = sl_provider_count(usage, "prompt_tokens"),
                              .completion_tokens = sl_provider_count(usage, "completion_tokens"),
                              .is_known = true};
}

static enum sl_err emit_text(struct sl_provider_reader *reader, uint32_t choice,
                             enum sl_delta_kind kind, const json_t *value)
{
    if (!json_is_string(value))
        return SL_OK;
    return sl_provider_emit(
        reader,
        &(struct sl_delta){.kind = kind, .choice = choice, .text = sl_provider_text(value)});
}

static enum sl_err emit_tool_calls(struct sl_provider_reader *reader, uint32_t choice,
                                   const json_t *calls)
{
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < json_array_size(calls) && err == SL_OK; i++) {
        const json_t *call = json_array_get(calls, i);
        const json_t *index = json_object_get(call, "index");
        const json_t *function = json_object_get(call, "function");
        json_int_t idx = json_is_integer(index) ? json_integer_value(index) : (json_int_t)i;
        if (idx < 0 || idx >= SL_TOOL_CALLS_MAX) {
            reader->malformed_count++;
            continue;
        }
        err = sl_provider_emit(
            reader, &(struct sl_delta){
                        .kind = SL_DELTA_TOOL_CALL,
                        .choice = choice,
                        .tool_call = (uint32_t)idx,
                        .tool_call_id = sl_provider_text(json_object_get(call, "id")),
                        .tool_call_name = sl_provider_text(json_object_get(function, "name")),
                        .text = sl_provider_text(json_object_get(function, "arguments"))});
    }
    return err;
}

/* `delta` of a stream or `message` of a whole answer: the same members. */
static enum sl_err emit_message(struct sl_provider_reader *reader, uint32_t choice,
                                const json_t *message)
{
    const json_t *reasoning = json_object_get(message, "reasoning_content");
    if (!json_is_string(reasoning)) /* the other spelling that is in use */
        reasoning = json_object_get(message, "reasoning");
    enum sl_err err = emit_text(reader, choice, SL_DELTA_REASONING, reasoning);
    if (err == SL_OK)
        err = emit_text(reader, choice, SL_DELTA_TEXT, json_object_get(message, "content"));
    if (err == SL_OK)
        err = emit_text(reader, choice, SL_DELTA_REFUSAL, json_object_get(message, "refusal"));
    if (err == SL_OK)
        err = emit_tool_calls(reader, choice, json_object_get(message, "tool_calls"));
    return err;
}

static enum sl_err emit_finish(struct sl_provider_reader *reader, uint32_t choice,
                               struct sl_slice word)
{
    if (word.len == 0)
        return SL_OK;
    if (sl_slice_equal_text(word, "error")) { /* how aggregators say that their upstream broke */
        reader->failure.outcome = SL_CLOUD_STREAM_ERROR;
        return SL_ERR_UPSTREAM;
    }
    return sl_provider_emit(reader,
                            &(struct sl_delta){.kind = SL_DELTA_FINISH,
                                               .choice = choice,
                                               .finish_reason = sl_finish_reason_parse(word)});
}

static enum sl_err emit_choice(struct sl_provider_reader *reader, const json_t *choice,
                               const char *message_name, size_t position)
{
    const json_t *index = json_object_get(choice, "index");
    json_int_t idx = json_is_integer(index) ? json_integer_value(index) : (json_int_t)position;
    if (idx < 0 || idx >= (json_int_t)SL_CHOICES_MAX) {
        reader->malformed_count++;
        return SL_OK;
    }
    uint32_t choice_idx = (uint32_t)idx;
    enum sl_err err = emit_message(reader, choice_idx, json_object_get(choice, message_name));
    const json_t *logprobs = json_object_get(json_object_get(choice, "logprobs"), "content");
    if (err == SL_OK && json_array_size(logprobs) > 0)
        err = sl_provider_emit(reader, &(struct sl_delta){.kind = SL_DELTA_LOGPROBS,
                                                          .choice = choice_idx,
                                                          .logprobs = logprobs});
    if (err == SL_OK)
        err = emit_finish(reader, choice_idx,
                          sl_provider_text(json_object_get(choice, "finish_reason")));
    return err;
}

static enum sl_err emit_choices(struct sl_provider_reader *reader, const json_t *object,
                                const char *message_name)
{
    const json_t *choices = json_object_get(object, "choices");
    enum sl_err err = sl_provider_emit_model(reader, json_object_get(object, "model"));
    for (size_t i = 0; i < json_array_size(choices) && err == SL_OK; i++)
        err = emit_choice(reader, json_array_get(choices, i), message_name, i);
    note_usage(reader, json_object_get(object, "usage"));
    return err;
}

enum sl_err sl_provider_openai_event(struct sl_provider_reader *reader, const json_t *event)
{
    const json_t *failure = json_object_get(event, "error");
    if (json_is_object(failure) || json_is_string(failure)) {
        sl_provider_failure_from_json(0, failure, &reader->failure);
        return SL_ERR_UPSTREAM;
    }
    return emit_choices(reader, event, "delta");
}

enum sl_err sl_provider_openai_whole(struct sl_provider_reader *reader, const json_t *answer)
{
    const json_t *choices = json_object_get(answer, "choices");
    if (json_array_size(choices) == 0) {
        const json_t *failure = json_object_get(answer, "error");
        if (!json_is_object(failure) && !json_is_string(failure))
            return SL_ERR_FORMAT;
        sl_provider_failure_from_json(0, failure, &reader->failure);
        return SL_ERR_UPSTREAM;
    }
    return emit_choices(reader, answer, "message");
}
