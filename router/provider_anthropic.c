/* SPDX-License-Identifier: Apache-2.0
 *
 * Anthropic's messages, what comes back (docs.anthropic.com/en/api/messages-streaming): events and
 * whole answers become deltas of the one choice that this API knows. The request is in
 * provider_anthropic_request.c.
 *
 * A message is a list of content blocks, each text, tool use or thinking; a stream opens, fills and
 * closes them one by one. `reader->blocks` remembers which tool call a block is.
 */
#include "provider.h"

#include <stdlib.h>

/* ---- Shared by streams and whole answers ---- */

static enum sl_finish_reason finish_reason(struct sl_slice word)
{
    static const struct {
        const char *word;
        enum sl_finish_reason reason;
    } reasons[] = {{"end_turn", SL_FINISH_REASON_STOP},
                   {"stop_sequence", SL_FINISH_REASON_STOP},
                   {"pause_turn", SL_FINISH_REASON_STOP},
                   {"max_tokens", SL_FINISH_REASON_LENGTH},
                   {"model_context_window_exceeded", SL_FINISH_REASON_LENGTH},
                   {"tool_use", SL_FINISH_REASON_TOOL_CALLS},
                   {"refusal", SL_FINISH_REASON_CONTENT_FILTER}};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (sl_slice_equal_text(word, reasons[i].word))
            return reasons[i].reason;
    return word.len > 0 ? SL_FINISH_REASON_STOP : SL_FINISH_REASON_NONE;
}

static enum sl_err emit_finish(struct sl_provider_reader *reader, const json_t *stop_reason)
{
    enum sl_finish_reason reason = finish_reason(sl_provider_text(stop_reason));
    if (reason == SL_FINISH_REASON_NONE)
        return SL_OK;
    return sl_provider_emit(reader,
                            &(struct sl_delta){.kind = SL_DELTA_FINISH, .finish_reason = reason});
}

static enum sl_err emit_text(struct sl_provider_reader *reader, enum sl_delta_kind kind,
                             const json_t *text)
{
    if (!json_is_string(text))
        return SL_OK;
    return sl_provider_emit(reader,
                            &(struct sl_delta){.kind = kind, .text = sl_provider_text(text)});
}

/* Prompt tokens read from or written to the provider's own cache are prompt tokens too. */
static void note_usage(struct sl_provider_reader *reader, const json_t *usage)
{
    if (!json_is_object(usage))
        return;
    uint64_t prompt_tokens = sl_provider_count(usage, "input_tokens") +
                             sl_provider_count(usage, "cache_creation_input_tokens") +
                             sl_provider_count(usage, "cache_read_input_tokens");
    if (prompt_tokens > 0)
        reader->usage.prompt_tokens = prompt_tokens;
    if (json_is_integer(json_object_get(usage, "output_tokens")))
        reader->usage.completion_tokens = sl_provider_count(usage, "output_tokens");
}

static enum sl_err emit_tool_start(struct sl_provider_reader *reader, uint32_t tool_call,
                                   const json_t *block, struct sl_slice arguments)
{
    return sl_provider_emit(
        reader,
        &(struct sl_delta){.kind = SL_DELTA_TOOL_CALL,
                           .tool_call = tool_call,
                           .tool_call_id = sl_provider_text(json_object_get(block, "id")),
                           .tool_call_name = sl_provider_text(json_object_get(block, "name")),
                           .text = arguments});
}

static bool is_type(const json_t *object, const char *type)
{
    return sl_slice_equal_text(sl_provider_text(json_object_get(object, "type")), type);
}

static bool take_tool_call_index(struct sl_provider_reader *reader, uint32_t *out)
{
    if (reader->tool_call_count >= SL_TOOL_CALLS_MAX)
        return false;
    *out = reader->tool_call_count++;
    return true;
}

/* ---- Streams ---- */

static enum sl_err on_message_start(struct sl_provider_reader *reader, const json_t *event)
{
    const json_t *message = json_object_get(event, "message");
    note_usage(reader, json_object_get(message, "usage"));
    return sl_provider_emit_model(reader, json_object_get(message, "model"));
}

static enum sl_err on_block_start(struct sl_provider_reader *reader, const json_t *event,
                                  size_t idx)
{
    const json_t *block = json_object_get(event, "content_block");
    reader->blocks[idx].is_tool = is_type(block, "tool_use");
    if (reader->blocks[idx].is_tool) {
        reader->blocks[idx].has_arguments = false;
        if (!take_tool_call_index(reader, &reader->blocks[idx].tool_call)) {
            reader->blocks[idx].is_tool = false;
            reader->malformed_count++;
            return SL_OK;
        }
        return emit_tool_start(reader, reader->blocks[idx].tool_call, block, SL_SLICE(""));
    }
    if (is_type(block, "text"))
        return emit_text(reader, SL_DELTA_TEXT, json_object_get(block, "text"));
    if (is_type(block, "thinking"))
        return emit_text(reader, SL_DELTA_REASONING, json_object_get(block, "thinking"));
    return SL_OK;
}

static enum sl_err emit_arguments(struct sl_provider_reader *reader, size_t idx,
                                  struct sl_slice text)
{
    if (!reader->blocks[idx].is_tool || text.len == 0)
        return SL_OK;
    reader->blocks[idx].has_arguments = true;
    return sl_provider_emit(reader, &(struct sl_delta){.kind = SL_DELTA_TOOL_CALL,
                                                       .tool_call = reader->blocks[idx].tool_call,
                                                       .text = text});
}

static enum sl_err on_block_delta(struct sl_provider_reader *reader, const json_t *event,
                                  size_t idx)
{
    const json_t *delta = json_object_get(event, "delta");
    if (is_type(delta, "text_delta"))
        return emit_text(reader, SL_DELTA_TEXT, json_object_get(delta, "text"));
    if (is_type(delta, "thinking_delta"))
        return emit_text(reader, SL_DELTA_REASONING, json_object_get(delta, "thinking"));
    if (is_type(delta, "input_json_delta"))
        return emit_arguments(reader, idx,
                              sl_provider_text(json_object_get(delta, "partial_json")));
    return SL_OK; /* signatures, citations */
}

/* A tool that takes nothing gets no argument delta; OpenAI's form says "{}" then. */
static enum sl_err on_block_stop(struct sl_provider_reader *reader, size_t idx)
{
    if (!reader->blocks[idx].is_tool || reader->blocks[idx].has_arguments)
        return SL_OK;
    return emit_arguments(reader, idx, SL_SLICE("{}"));
}

static enum sl_err on_block(struct sl_provider_reader *reader, const json_t *event)
{
    const json_t *index = json_object_get(event, "index");
    json_int_t idx = json_integer_value(index);
    if (!json_is_integer(index) || idx < 0 || idx >= SL_PROVIDER_BLOCKS_MAX) {
        reader->malformed_count++;
        return SL_OK;
    }
    if (is_type(event, "content_block_start"))
        return on_block_start(reader, event, (size_t)idx);
    if (is_type(event, "content_block_delta"))
        return on_block_delta(reader, event, (size_t)idx);
    return on_block_stop(reader, (size_t)idx);
}

static enum sl_err on_message_delta(struct sl_provider_reader *reader, const json_t *event)
{
    note_usage(reader, json_object_get(event, "usage"));
    /* Only now is the count of completion tokens the last one. */
    reader->usage.is_known = reader->usage.prompt_tokens > 0;
    return emit_finish(reader, json_object_get(json_object_get(event, "delta"), "stop_reason"));
}

enum sl_err sl_provider_anthropic_event(struct sl_provider_reader *reader, const json_t *event)
{
    if (is_type(event, "content_block_start") || is_type(event, "content_block_delta") ||
        is_type(event, "content_block_stop"))
        return on_block(reader, event);
    if (is_type(event, "message_start"))
        return on_message_start(reader, event);
    if (is_type(event, "message_delta"))
        return on_message_delta(reader, event);
    if (is_type(event, "error")) {
        sl_provider_failure_from_json(0, json_object_get(event, "error"), &reader->failure);
        return SL_ERR_UPSTREAM;
    }
    if (is_type(event, "message_stop"))
        reader->is_done = true;
    return SL_OK; /* pings, and events that are newer than this code */
}

/* ---- Whole answers ---- */

static enum sl_err emit_tool_use(struct sl_provider_reader *reader, const json_t *block)
{
    uint32_t tool_call;
    if (!take_tool_call_index(reader, &tool_call))
        return SL_ERR_FORMAT;
    const json_t *input = json_object_get(block, "input");
    char *arguments = json_is_object(input) ? json_dumps(input, JSON_COMPACT) : NULL;
    enum sl_err err = emit_tool_start(reader, tool_call, block,
                                      sl_slice_of(arguments != NULL ? arguments : "{}"));
    free(arguments);
    return err;
}

static enum sl_err emit_block(struct sl_provider_reader *reader, const json_t *block)
{
    if (is_type(block, "text"))
        return emit_text(reader, SL_DELTA_TEXT, json_object_get(block, "text"));
    if (is_type(block, "thinking"))
        return emit_text(reader, SL_DELTA_REASONING, json_object_get(block, "thinking"));
    return is_type(block, "tool_use") ? emit_tool_use(reader, block) : SL_OK;
}

enum sl_err sl_provider_anthropic_whole(struct sl_provider_reader *reader, const json_t *answer)
{
    const json_t *content = json_object_get(answer, "content");
    if (is_type(answer, "error")) {
        sl_provider_failure_from_json(0, json_object_get(answer, "error"), &reader->failure);
        return SL_ERR_UPSTREAM;
    }
    if (!is_type(answer, "message") || !json_is_array(content))
        return SL_ERR_FORMAT;
    enum sl_err err = sl_provider_emit_model(reader, json_object_get(answer, "model"));
    for (size_t i = 0; i < json_array_size(content) && err == SL_OK; i++)
        err = emit_block(reader, json_array_get(content, i));
    note_usage(reader, json_object_get(answer, "usage"));
    reader->usage.is_known = reader->usage.prompt_tokens > 0;
    return err == SL_OK ? emit_finish(reader, json_object_get(answer, "stop_reason")) : err;
}
