/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers: adding up deltas, replaying, and their JSON form. The JSON form is OpenAI's
 * chat.completion (platform.openai.com/docs/api-reference/chat/object) without `id`, `object` and
 * `created`, which belong to a response and not to an answer. One owner at a time.
 *
 * Invariants: 1. Every text is capped at text_bytes_max. 2. Choices 0 .. choice_count-1 are
 * initialised, and so are their tool calls 0 .. tool_call_count-1.
 */
#include "sluice/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const finish_words[] = {
    [SL_FINISH_REASON_NONE] = "",
    [SL_FINISH_REASON_STOP] = "stop",
    [SL_FINISH_REASON_LENGTH] = "length",
    [SL_FINISH_REASON_TOOL_CALLS] = "tool_calls",
    [SL_FINISH_REASON_CONTENT_FILTER] = "content_filter",
};

const char *sl_finish_reason_word(enum sl_finish_reason reason) { return finish_words[reason]; }

enum sl_finish_reason sl_finish_reason_parse(struct sl_slice word)
{
    if (word.len == 0)
        return SL_FINISH_REASON_NONE;
    for (size_t i = 1; i < sizeof finish_words / sizeof finish_words[0]; i++)
        if (sl_slice_equal_text(word, finish_words[i]))
            return (enum sl_finish_reason)i;
    return sl_slice_equal_text(word, "function_call") ? SL_FINISH_REASON_TOOL_CALLS
                                                      : SL_FINISH_REASON_STOP;
}

void sl_answer_init(struct sl_answer *answer, size_t text_bytes_max)
{
    memset(answer, 0, sizeof *answer);
    answer->text_bytes_max = text_bytes_max;
    /* JSON escapes and the frame of choices: a text of quotes doubles, one of controls is rare. */
    sl_buf_init(&answer->encoded, 4 * text_bytes_max);
}

static void tool_call_clear(struct sl_tool_call *call)
{
    sl_buf_wipe(&call->id);
    sl_buf_wipe(&call->name);
    sl_buf_wipe(&call->arguments);
}

static void choice_clear(struct sl_choice *choice)
{
    sl_buf_wipe(&choice->content);
    sl_buf_wipe(&choice->reasoning);
    sl_buf_wipe(&choice->refusal);
    for (size_t i = 0; i < choice->tool_call_count; i++)
        tool_call_clear(&choice->tool_calls[i]);
    free(choice->tool_calls);
    json_decref(choice->logprobs);
}

void sl_answer_clear(struct sl_answer *answer)
{
    if (answer == NULL)
        return;
    for (size_t i = 0; i < answer->choice_count; i++)
        choice_clear(&answer->choices[i]);
    sl_buf_wipe(&answer->encoded);
    sl_answer_init(answer, answer->text_bytes_max);
}

/* The choice at `idx`, made with all before it. NULL when out of range. */
static struct sl_choice *answer_choice(struct sl_answer *answer, uint32_t idx)
{
    if (idx >= SL_CHOICES_MAX)
        return NULL;
    while (answer->choice_count <= idx) {
        struct sl_choice *choice = &answer->choices[answer->choice_count++];
        memset(choice, 0, sizeof *choice);
        sl_buf_init(&choice->content, answer->text_bytes_max);
        sl_buf_init(&choice->reasoning, answer->text_bytes_max);
        sl_buf_init(&choice->refusal, answer->text_bytes_max);
    }
    return &answer->choices[idx];
}

static enum sl_err choice_tool_call(struct sl_answer *answer, struct sl_choice *choice,
                                    uint32_t idx, struct sl_tool_call **out)
{
    if (idx >= SL_TOOL_CALLS_MAX)
        return SL_ERR_FORMAT;
    if (idx >= choice->tool_call_count) {
        struct sl_tool_call *grown =
            realloc(choice->tool_calls, ((size_t)idx + 1) * sizeof *choice->tool_calls);
        if (grown == NULL)
            return SL_ERR_MEMORY;
        choice->tool_calls = grown;
        while (choice->tool_call_count <= idx) {
            struct sl_tool_call *call = &grown[choice->tool_call_count++];
            sl_buf_init(&call->id, answer->text_bytes_max);
            sl_buf_init(&call->name, answer->text_bytes_max);
            sl_buf_init(&call->arguments, answer->text_bytes_max);
        }
    }
    *out = &choice->tool_calls[idx];
    return SL_OK;
}

static enum sl_err add_tool_call(struct sl_answer *answer, struct sl_choice *choice,
                                 const struct sl_delta *delta)
{
    struct sl_tool_call *call;
    enum sl_err err = choice_tool_call(answer, choice, delta->tool_call, &call);
    if (err == SL_OK && delta->tool_call_id.len > 0 && call->id.len == 0)
        err = sl_buf_append_slice(&call->id, delta->tool_call_id);
    if (err == SL_OK && delta->tool_call_name.len > 0 && call->name.len == 0)
        err = sl_buf_append_slice(&call->name, delta->tool_call_name);
    if (err == SL_OK)
        err = sl_buf_append_slice(&call->arguments, delta->text);
    return err;
}

static enum sl_err add_logprobs(struct sl_choice *choice, const json_t *entries)
{
    if (choice->logprobs == NULL)
        choice->logprobs = json_array();
    for (size_t i = 0; i < json_array_size(entries); i++)
        if (json_array_append(choice->logprobs, json_array_get(entries, i)) != 0)
            return SL_ERR_MEMORY;
    return choice->logprobs != NULL ? SL_OK : SL_ERR_MEMORY;
}

static enum sl_err add_to_choice(struct sl_answer *answer, struct sl_choice *choice,
                                 const struct sl_delta *delta)
{
    switch (delta->kind) {
    case SL_DELTA_TEXT:
        choice->has_content = true;
        return sl_buf_append_slice(&choice->content, delta->text);
    case SL_DELTA_REASONING:
        return sl_buf_append_slice(&choice->reasoning, delta->text);
    case SL_DELTA_REFUSAL:
        return sl_buf_append_slice(&choice->refusal, delta->text);
    case SL_DELTA_TOOL_CALL:
        return add_tool_call(answer, choice, delta);
    case SL_DELTA_LOGPROBS:
        return add_logprobs(choice, delta->logprobs);
    case SL_DELTA_FINISH:
        choice->finish_reason = delta->finish_reason;
        return SL_OK;
    case SL_DELTA_USAGE:
    case SL_DELTA_MODEL:
        break;
    }
    return SL_OK;
}

enum sl_err sl_answer_add(struct sl_answer *answer, const struct sl_delta *delta,
                          struct sl_error *error)
{
    if (delta->kind == SL_DELTA_USAGE) {
        answer->usage = delta->usage;
        return SL_OK;
    }
    if (delta->kind == SL_DELTA_MODEL) {
        snprintf(answer->model, sizeof answer->model, "%.*s", SL_SLICE_ARG(delta->text));
        return SL_OK;
    }
    struct sl_choice *choice = answer_choice(answer, delta->choice);
    if (choice == NULL)
        return sl_error_set(error, SL_ERR_FORMAT, "choice index %u: expected less than %d",
                            delta->choice, SL_CHOICES_MAX);
    enum sl_err err = add_to_choice(answer, choice, delta);
    return err == SL_OK ? SL_OK : sl_error_set(error, err, "the answer: %s", sl_err_sentence(err));
}

bool sl_answer_is_complete(const struct sl_answer *answer)
{
    for (size_t i = 0; i < answer->choice_count; i++)
        if (answer->choices[i].finish_reason == SL_FINISH_REASON_NONE)
            return false;
    return answer->choice_count > 0;
}

static enum sl_err replay_text(uint32_t choice, enum sl_delta_kind kind, struct sl_slice text,
                               sl_delta_fn sink, void *ctx)
{
    return sink(ctx, &(struct sl_delta){.kind = kind, .choice = choice, .text = text});
}

static enum sl_err replay_choice(const struct sl_choice *choice, uint32_t idx, sl_delta_fn sink,
                                 void *ctx)
{
    enum sl_err err = SL_OK;
    if (choice->reasoning.len > 0)
        err = replay_text(idx, SL_DELTA_REASONING, sl_buf_slice(&choice->reasoning), sink, ctx);
    if (err == SL_OK && choice->has_content)
        err = replay_text(idx, SL_DELTA_TEXT, sl_buf_slice(&choice->content), sink, ctx);
    if (err == SL_OK && choice->refusal.len > 0)
        err = replay_text(idx, SL_DELTA_REFUSAL, sl_buf_slice(&choice->refusal), sink, ctx);
    for (size_t i = 0; i < choice->tool_call_count && err == SL_OK; i++) {
        const struct sl_tool_call *call = &choice->tool_calls[i];
        err = sink(ctx, &(struct sl_delta){.kind = SL_DELTA_TOOL_CALL,
                                           .choice = idx,
                                           .tool_call = (uint32_t)i,
                                           .tool_call_id = sl_buf_slice(&call->id),
                                           .tool_call_name = sl_buf_slice(&call->name),
                                           .text = sl_buf_slice(&call->arguments)});
    }
    if (err == SL_OK && choice->logprobs != NULL)
        err = sink(ctx, &(struct sl_delta){
                            .kind = SL_DELTA_LOGPROBS, .choice = idx, .logprobs = choice->logprobs});
    if (err == SL_OK && choice->finish_reason != SL_FINISH_REASON_NONE)
        err = sink(ctx, &(struct sl_delta){.kind = SL_DELTA_FINISH,
                                           .choice = idx,
                                           .finish_reason = choice->finish_reason});
    return err;
}

enum sl_err sl_answer_replay(const struct sl_answer *answer, sl_delta_fn sink, void *ctx)
{
    enum sl_err err = replay_text(0, SL_DELTA_MODEL, sl_slice_of(answer->model), sink, ctx);
    for (size_t i = 0; i < answer->choice_count && err == SL_OK; i++)
        err = replay_choice(&answer->choices[i], (uint32_t)i, sink, ctx);
    if (err == SL_OK && answer->usage.is_known)
        err = sink(ctx, &(struct sl_delta){.kind = SL_DELTA_USAGE, .usage = answer->usage});
    return err;
}

/* ---- JSON ---- */

static enum sl_err encode_tool_calls(const struct sl_choice *choice, struct sl_buf *out)
{
    enum sl_err err = sl_buf_append_text(out, ",\"tool_calls\":[");
    for (size_t i = 0; i < choice->tool_call_count && err == SL_OK; i++) {
        const struct sl_tool_call *call = &choice->tool_calls[i];
        err = sl_buf_append_text(out, i > 0 ? ",{\"id\":" : "{\"id\":");
        if (err == SL_OK)
            err = sl_buf_append_json(out, sl_buf_slice(&call->id));
        if (err == SL_OK)
            err = sl_buf_append_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
        if (err == SL_OK)
            err = sl_buf_append_json(out, sl_buf_slice(&call->name));
        if (err == SL_OK)
            err = sl_buf_append_text(out, ",\"arguments\":");
        if (err == SL_OK)
            err = sl_buf_append_json(out, sl_buf_slice(&call->arguments));
        if (err == SL_OK)
            err = sl_buf_append_text(out, "}}");
    }
    return err == SL_OK ? sl_buf_append_char(out, ']') : err;
}

/* `,"name":"text"` or `,"name":null`. */
static enum sl_err encode_text(struct sl_buf *out, const char *name, const struct sl_buf *text,
                               bool is_null)
{
    enum sl_err err = sl_buf_printf(out, ",\"%s\":", name);
    if (err == SL_OK)
        err = is_null ? sl_buf_append_text(out, "null") : sl_buf_append_json(out, sl_buf_slice(text));
    return err;
}

static enum sl_err encode_logprobs(const struct sl_choice *choice, struct sl_buf *out)
{
    if (choice->logprobs == NULL)
        return sl_buf_append_text(out, ",\"logprobs\":null");
    char *text = json_dumps(choice->logprobs, JSON_COMPACT);
    enum sl_err err = text == NULL ? SL_ERR_MEMORY : sl_buf_append_text(out, ",\"logprobs\":{\"content\":");
    if (err == SL_OK)
        err = sl_buf_append_text(out, text);
    if (err == SL_OK)
        err = sl_buf_append_text(out, ",\"refusal\":null}");
    free(text);
    return err;
}

static enum sl_err encode_choice(const struct sl_choice *choice, size_t idx, struct sl_buf *out)
{
    enum sl_err err = sl_buf_printf(out, "%s{\"index\":%zu,\"message\":{\"role\":\"assistant\"",
                                    idx > 0 ? "," : "", idx);
    if (err == SL_OK)
        err = encode_text(out, "content", &choice->content, !choice->has_content);
    if (err == SL_OK && choice->reasoning.len > 0)
        err = encode_text(out, "reasoning_content", &choice->reasoning, false);
    if (err == SL_OK)
        err = encode_text(out, "refusal", &choice->refusal, choice->refusal.len == 0);
    if (err == SL_OK && choice->tool_call_count > 0)
        err = encode_tool_calls(choice, out);
    if (err == SL_OK)
        err = sl_buf_append_char(out, '}');
    if (err == SL_OK)
        err = encode_logprobs(choice, out);
    if (err != SL_OK)
        return err;
    if (choice->finish_reason == SL_FINISH_REASON_NONE)
        return sl_buf_append_text(out, ",\"finish_reason\":null}");
    return sl_buf_printf(out, ",\"finish_reason\":\"%s\"}",
                         sl_finish_reason_word(choice->finish_reason));
}

/* A held answer as it is, or without its outer braces. */
static enum sl_err encode_held(const struct sl_answer *answer, bool members_only,
                               struct sl_buf *out)
{
    size_t brace = members_only ? 1 : 0;
    return sl_buf_append(out, answer->encoded.data + brace, answer->encoded.len - 2 * brace);
}

enum sl_err sl_answer_encode(const struct sl_answer *answer, bool members_only, struct sl_buf *out)
{
    if (answer->encoded.len > 0)
        return encode_held(answer, members_only, out);
    enum sl_err err = sl_buf_append_text(out, members_only ? "\"model\":" : "{\"model\":");
    if (err == SL_OK)
        err = sl_buf_append_json(out, sl_slice_of(answer->model));
    if (err == SL_OK)
        err = sl_buf_append_text(out, ",\"choices\":[");
    for (size_t i = 0; i < answer->choice_count && err == SL_OK; i++)
        err = encode_choice(&answer->choices[i], i, out);
    if (err == SL_OK)
        err = sl_buf_append_char(out, ']');
    if (err == SL_OK && answer->usage.is_known)
        err = sl_buf_printf(
            out, ",\"usage\":{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu}",
            (unsigned long long)answer->usage.prompt_tokens,
            (unsigned long long)answer->usage.completion_tokens,
            (unsigned long long)(answer->usage.prompt_tokens + answer->usage.completion_tokens));
    if (err == SL_OK && !members_only)
        err = sl_buf_append_char(out, '}');
    return err;
}

static struct sl_slice json_text(const json_t *value)
{
    if (!json_is_string(value))
        return (struct sl_slice){NULL, 0};
    return (struct sl_slice){json_string_value(value), json_string_length(value)};
}

static enum sl_err decode_tool_calls(const json_t *calls, uint32_t choice, struct sl_answer *answer,
                                     struct sl_error *error)
{
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < json_array_size(calls) && err == SL_OK; i++) {
        const json_t *call = json_array_get(calls, i);
        const json_t *function = json_object_get(call, "function");
        struct sl_delta delta = {.kind = SL_DELTA_TOOL_CALL,
                                 .choice = choice,
                                 .tool_call = (uint32_t)i,
                                 .tool_call_id = json_text(json_object_get(call, "id")),
                                 .tool_call_name = json_text(json_object_get(function, "name")),
                                 .text = json_text(json_object_get(function, "arguments"))};
        err = sl_answer_add(answer, &delta, error);
    }
    return err;
}

static enum sl_err decode_choice(const json_t *item, uint32_t idx, struct sl_answer *answer,
                                 struct sl_error *error)
{
    static const struct {
        const char *name;
        enum sl_delta_kind kind;
    } texts[] = {{"content", SL_DELTA_TEXT},
                 {"reasoning_content", SL_DELTA_REASONING},
                 {"refusal", SL_DELTA_REFUSAL}};
    const json_t *message = json_object_get(item, "message");
    if (!json_is_object(message))
        return sl_error_set(error, SL_ERR_FORMAT, "choices[%u].message: expected an object", idx);
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && err == SL_OK; i++) {
        const json_t *text = json_object_get(message, texts[i].name);
        if (json_is_string(text))
            err = sl_answer_add(answer,
                                &(struct sl_delta){.kind = texts[i].kind,
                                                   .choice = idx,
                                                   .text = json_text(text)},
                                error);
    }
    if (err == SL_OK)
        err = decode_tool_calls(json_object_get(message, "tool_calls"), idx, answer, error);
    const json_t *logprobs = json_object_get(json_object_get(item, "logprobs"), "content");
    if (err == SL_OK && json_is_array(logprobs))
        err = sl_answer_add(
            answer,
            &(struct sl_delta){.kind = SL_DELTA_LOGPROBS, .choice = idx, .logprobs = logprobs},
            error);
    if (err != SL_OK)
        return err;
    struct sl_delta finish = {
        .kind = SL_DELTA_FINISH,
        .choice = idx,
        .finish_reason = sl_finish_reason_parse(json_text(json_object_get(item, "finish_reason")))};
    return sl_answer_add(answer, &finish, error);
}

static uint64_t json_count(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

enum sl_err sl_answer_from_json(const json_t *object, struct sl_answer *answer,
                                struct sl_error *error)
{
    const json_t *choices = json_object_get(object, "choices");
    if (!json_is_array(choices) || json_array_size(choices) == 0)
        return sl_error_set(error, SL_ERR_FORMAT, "choices: expected an array with an answer in it");
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < json_array_size(choices) && err == SL_OK; i++)
        err = decode_choice(json_array_get(choices, i), (uint32_t)i, answer, error);
    struct sl_slice model = json_text(json_object_get(object, "model"));
    snprintf(answer->model, sizeof answer->model, "%.*s", SL_SLICE_ARG(model));
    const json_t *usage = json_object_get(object, "usage");
    if (json_is_object(usage))
        answer->usage = (struct sl_usage){.prompt_tokens = json_count(usage, "prompt_tokens"),
                                          .completion_tokens = json_count(usage, "completion_tokens"),
                                          .is_known = true};
    return err;
}

enum sl_err sl_answer_decode(struct sl_slice json, struct sl_answer *answer, struct sl_error *error)
{
    json_error_t at;
    json_t *object = json_loadb(json.data, json.len, JSON_ALLOW_NUL, &at);
    if (object == NULL)
        return sl_error_set(error, SL_ERR_FORMAT, "the answer at byte %d: %s", at.position, at.text);
    enum sl_err err = sl_answer_from_json(object, answer, error);
    json_decref(object);
    return err;
}

enum sl_err sl_answer_hold(struct sl_answer *answer, struct sl_slice json, struct sl_slice model,
                           struct sl_usage usage)
{
    if (json.len < 2 || json.data[0] != '{' || json.data[json.len - 1] != '}')
        return SL_ERR_FORMAT;
    snprintf(answer->model, sizeof answer->model, "%.*s", SL_SLICE_ARG(model));
    answer->usage = usage;
    return sl_buf_append_slice(&answer->encoded, json);
}

enum sl_err sl_answer_expand(struct sl_answer *answer, struct sl_error *error)
{
    if (answer->encoded.len == 0)
        return SL_OK;
    enum sl_err err = sl_answer_decode(sl_buf_slice(&answer->encoded), answer, error);
    sl_buf_wipe(&answer->encoded);
    return err;
}
