/* SPDX-License-Identifier: Apache-2.0
 *
 * An OpenAI chat completion request as Anthropic's messages request (docs.anthropic.com/en/api/
 * messages). Builds new JSON; the canonical body is only read.
 *
 *   system, developer messages      -> `system`, a list of text blocks
 *   user text, image_url, file      -> text, image, document blocks
 *   assistant text, tool_calls      -> text, tool_use blocks
 *   tool messages                   -> tool_result blocks of a user message; neighbours are joined,
 *                                      since all results of a turn belong in one message
 *   tools, tool_choice              -> tools, tool_choice, disable_parallel_tool_use
 *   max_(completion_)tokens         -> max_tokens, which this API demands
 *   stop                            -> stop_sequences
 *   response_format (JSON)          -> an instruction at the end of `system`: this API has no
 * switch that all its models take temperature                     -> clamped to 1, the end of this
 * API's scale
 *
 * What cannot be said (n > 1, log-probabilities, audio) is refused, so that the next target may say
 * it. Left out without a word, since they only tune the sampling: seed, logit_bias, penalties.
 */
#include "provider.h"

#include <string.h>

#define MAX_TOKENS_DEFAULT 4096 /* the least that all current models allow as output */

/* Everything that is built, with one place for "out of memory": jansson's NULL-safe calls make a
 * failed allocation an incomplete object, which `is_broken` remembers. */
struct builder {
    const json_t *body;
    json_t *root;
    json_t *system;   /* array, borrowed from root */
    json_t *messages; /* array, borrowed from root */
    bool is_broken;
    const char *unsupported; /* what cannot be said; NULL: nothing */
};

static void set(struct builder *builder, json_t *object, const char *name, json_t *value)
{
    if (json_object_set_new(object, name, value) != 0)
        builder->is_broken = true;
}

static void append(struct builder *builder, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        builder->is_broken = true;
}

static bool is_text(const json_t *value, const char *text)
{
    return sl_slice_equal_text(sl_provider_text(value), text);
}

static json_t *copy_text(const json_t *value)
{
    struct sl_slice text = sl_provider_text(value);
    return json_stringn_nocheck(text.data != NULL ? text.data : "", text.len);
}

static json_t *text_block(const json_t *text)
{
    return json_pack("{s:s,s:o}", "type", "text", "text", copy_text(text));
}

/* ---- Content ---- */

/* "data:image/png;base64,...." -> media type and data; false for another form. */
static bool split_data_url(struct sl_slice url, struct sl_slice *media_type, struct sl_slice *data)
{
    if (!sl_slice_starts_with(url, SL_SLICE("data:")))
        return false;
    const char *comma = memchr(url.data, ',', url.len);
    if (comma == NULL)
        return false;
    struct sl_slice head = {url.data + 5, (size_t)(comma - url.data) - 5};
    if (head.len < 7 || memcmp(head.data + head.len - 7, ";base64", 7) != 0)
        return false;
    *media_type = (struct sl_slice){head.data, head.len - 7};
    *data = (struct sl_slice){comma + 1, url.len - (size_t)(comma - url.data) - 1};
    return true;
}

static json_t *source_block(const char *type, struct sl_slice url)
{
    struct sl_slice media_type, data;
    if (split_data_url(url, &media_type, &data))
        return json_pack("{s:s,s:{s:s,s:s%,s:s%}}", "type", type, "source", "type", "base64",
                         "media_type", media_type.data, media_type.len, "data", data.data,
                         data.len);
    return json_pack("{s:s,s:{s:s,s:s%}}", "type", type, "source", "type", "url", "url",
                     url.data != NULL ? url.data : "", url.len);
}

static void append_part(struct builder *builder, json_t *blocks, const json_t *part)
{
    const json_t *type = json_object_get(part, "type");
    if (is_text(type, "text") || is_text(type, "refusal")) {
        const json_t *text = json_object_get(part, is_text(type, "text") ? "text" : "refusal");
        if (sl_provider_text(text).len > 0) /* empty text blocks are refused */
            append(builder, blocks, text_block(text));
    } else if (is_text(type, "image_url")) {
        const json_t *url = json_object_get(json_object_get(part, "image_url"), "url");
        append(builder, blocks, source_block("image", sl_provider_text(url)));
    } else if (is_text(type, "file")) {
        const json_t *data = json_object_get(json_object_get(part, "file"), "file_data");
        if (!json_is_string(data))
            builder->unsupported = "files by id";
        else
            append(builder, blocks, source_block("document", sl_provider_text(data)));
    } else {
        builder->unsupported = "a kind of content (audio, ...)";
    }
}

static void append_content(struct builder *builder, json_t *blocks, const json_t *content)
{
    if (json_is_string(content) && json_string_length(content) > 0)
        append(builder, blocks, text_block(content));
    for (size_t i = 0; i < json_array_size(content); i++)
        append_part(builder, blocks, json_array_get(content, i));
}

/* ---- Messages ---- */

/* The content of the message that the next blocks of `role` go to: the last one where it has that
 * role, else a new one. */
static json_t *blocks_of(struct builder *builder, const char *role)
{
    size_t count = json_array_size(builder->messages);
    const json_t *last = json_array_get(builder->messages, count > 0 ? count - 1 : 0);
    if (!is_text(json_object_get(last, "role"), role)) {
        append(builder, builder->messages, json_pack("{s:s,s:[]}", "role", role, "content"));
        last = json_array_get(builder->messages, count);
    }
    return json_object_get(last, "content");
}

/* What a model wrote as arguments, as the object that this API wants. Text that is no object is
 * kept, under a name of its own, rather than lost. */
static json_t *tool_input(const json_t *arguments)
{
    struct sl_slice text = sl_provider_text(arguments);
    json_t *input = text.len > 0 ? json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL) : NULL;
    if (json_is_object(input))
        return input;
    json_decref(input);
    return text.len > 0 ? json_pack("{s:o}", "arguments", copy_text(arguments)) : json_object();
}

static void append_tool_calls(struct builder *builder, json_t *blocks, const json_t *calls)
{
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        const json_t *function = json_object_get(call, "function");
        append(builder, blocks,
               json_pack("{s:s,s:o,s:o,s:o}", "type", "tool_use", "id",
                         copy_text(json_object_get(call, "id")), "name",
                         copy_text(json_object_get(function, "name")), "input",
                         tool_input(json_object_get(function, "arguments"))));
    }
}

static void append_tool_result(struct builder *builder, const json_t *message)
{
    json_t *blocks = json_array();
    append_content(builder, blocks, json_object_get(message, "content"));
    append(builder, blocks_of(builder, "user"),
           json_pack("{s:s,s:o,s:o}", "type", "tool_result", "tool_use_id",
                     copy_text(json_object_get(message, "tool_call_id")), "content", blocks));
}

static void append_message(struct builder *builder, const json_t *message)
{
    const json_t *role = json_object_get(message, "role");
    const json_t *content = json_object_get(message, "content");
    if (is_text(role, "system") || is_text(role, "developer")) {
        append_content(builder, builder->system, content);
    } else if (is_text(role, "user")) {
        append_content(builder, blocks_of(builder, "user"), content);
    } else if (is_text(role, "assistant")) {
        json_t *blocks = blocks_of(builder, "assistant");
        append_content(builder, blocks, content);
        append_tool_calls(builder, blocks, json_object_get(message, "tool_calls"));
    } else if (is_text(role, "tool")) {
        append_tool_result(builder, message);
    } else {
        builder->unsupported = "a role of a message";
    }
}

/* Messages that came out empty (an assistant's "") are refused by the API. */
static void drop_empty_messages(struct builder *builder)
{
    for (size_t i = json_array_size(builder->messages); i > 0; i--) {
        const json_t *message = json_array_get(builder->messages, i - 1);
        if (json_array_size(json_object_get(message, "content")) == 0)
            json_array_remove(builder->messages, i - 1);
    }
}

static void append_messages(struct builder *builder, struct sl_slice prefill)
{
    const json_t *messages = json_object_get(builder->body, "messages");
    for (size_t i = 0; i < json_array_size(messages); i++)
        append_message(builder, json_array_get(messages, i));
    if (prefill.len > 0)
        append(builder, blocks_of(builder, "assistant"),
               json_pack("{s:s,s:s%}", "type", "text", "text", prefill.data, prefill.len));
    drop_empty_messages(builder);
}

/* ---- Tools ---- */

static void set_tools(struct builder *builder, const json_t *tools)
{
    if (json_array_size(tools) == 0)
        return;
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *function = json_object_get(json_array_get(tools, i), "function");
        const json_t *parameters = json_object_get(function, "parameters");
        const json_t *description = json_object_get(function, "description");
        json_t *schema = json_is_object(parameters) ? json_deep_copy(parameters)
                                                    : json_pack("{s:s}", "type", "object");
        json_t *tool = json_pack("{s:o,s:o}", "name", copy_text(json_object_get(function, "name")),
                                 "input_schema", schema);
        if (json_is_string(description))
            set(builder, tool, "description", copy_text(description));
        append(builder, out, tool);
    }
    set(builder, builder->root, "tools", out);
}

static json_t *tool_choice(const json_t *choice)
{
    if (is_text(choice, "none"))
        return json_pack("{s:s}", "type", "none");
    if (is_text(choice, "required"))
        return json_pack("{s:s}", "type", "any");
    const json_t *function = json_object_get(choice, "function");
    if (json_is_object(function))
        return json_pack("{s:s,s:o}", "type", "tool", "name",
                         copy_text(json_object_get(function, "name")));
    return json_pack("{s:s}", "type", "auto");
}

static void set_tool_choice(struct builder *builder)
{
    const json_t *choice = json_object_get(builder->body, "tool_choice");
    bool is_serial = json_is_false(json_object_get(builder->body, "parallel_tool_calls"));
    if (json_array_size(json_object_get(builder->root, "tools")) == 0 ||
        (choice == NULL && !is_serial))
        return;
    json_t *out = tool_choice(choice);
    if (is_serial && !is_text(choice, "none"))
        set(builder, out, "disable_parallel_tool_use", json_true());
    set(builder, builder->root, "tool_choice", out);
}

/* ---- The rest ---- */

static void set_max_tokens(struct builder *builder, const struct sl_cloud_model_config *model)
{
    const json_t *wanted = json_object_get(builder->body, "max_completion_tokens");
    if (!json_is_integer(wanted))
        wanted = json_object_get(builder->body, "max_tokens");
    json_int_t tokens = json_integer_value(wanted);
    if (tokens <= 0)
        tokens = model != NULL && model->completion_tokens_default > 0
                     ? (json_int_t)model->completion_tokens_default
                     : MAX_TOKENS_DEFAULT;
    set(builder, builder->root, "max_tokens", json_integer(tokens));
}

static void set_sampling(struct builder *builder)
{
    const json_t *temperature = json_object_get(builder->body, "temperature");
    const json_t *top_p = json_object_get(builder->body, "top_p");
    if (json_is_number(temperature)) {
        double value = json_number_value(temperature);
        set(builder, builder->root, "temperature", json_real(value > 1 ? 1 : value));
    } else if (json_is_number(top_p)) { /* newer models refuse both at once */
        set(builder, builder->root, "top_p", json_real(json_number_value(top_p)));
    }
    const json_t *stop = json_object_get(builder->body, "stop");
    json_t *sequences = json_array();
    if (json_is_string(stop))
        append(builder, sequences, copy_text(stop));
    for (size_t i = 0; i < json_array_size(stop); i++)
        append(builder, sequences, copy_text(json_array_get(stop, i)));
    if (json_array_size(sequences) > 0)
        set(builder, builder->root, "stop_sequences", sequences);
    else
        json_decref(sequences);
}

static void set_response_format(struct builder *builder)
{
    const json_t *format = json_object_get(builder->body, "response_format");
    const json_t *type = json_object_get(format, "type");
    if (is_text(type, "json_object")) {
        append(builder, builder->system,
               json_pack("{s:s,s:s}", "type", "text", "text",
                         "Answer with one JSON object and nothing else, without a code fence."));
    } else if (is_text(type, "json_schema")) {
        struct sl_buf text;
        sl_buf_init(&text, 1u << 20);
        const json_t *schema = json_object_get(json_object_get(format, "json_schema"), "schema");
        if (sl_buf_append_text(&text, "Answer with one JSON value that satisfies this JSON Schema "
                                      "and nothing else, without a code fence: ") != SL_OK ||
            (schema != NULL && sl_provider_append_json(&text, schema) != SL_OK))
            builder->is_broken = true;
        else
            append(builder, builder->system,
                   json_pack("{s:s,s:s%}", "type", "text", "text", text.data, text.len));
        sl_buf_clear(&text);
    }
}

static void note_unsupported(struct builder *builder)
{
    if (json_integer_value(json_object_get(builder->body, "n")) > 1)
        builder->unsupported = "more than one choice (n)";
    else if (json_is_true(json_object_get(builder->body, "logprobs")))
        builder->unsupported = "log-probabilities";
    else if (json_object_get(builder->body, "audio") != NULL &&
             !json_is_null(json_object_get(builder->body, "audio")))
        builder->unsupported = "audio";
}

static void build(struct builder *builder, const struct sl_provider_ask *ask)
{
    set(builder, builder->root, "model", json_string(ask->wire_model));
    set_max_tokens(builder, ask->model);
    set(builder, builder->root, "system", json_array());
    builder->system = json_object_get(builder->root, "system");
    set(builder, builder->root, "messages", json_array());
    builder->messages = json_object_get(builder->root, "messages");
    append_messages(builder, ask->prefill);
    set_response_format(builder);
    if (json_array_size(builder->system) == 0)
        json_object_del(builder->root, "system");
    set_tools(builder, json_object_get(builder->body, "tools"));
    set_tool_choice(builder);
    set_sampling(builder);
    if (ask->is_streaming)
        set(builder, builder->root, "stream", json_true());
}

enum sl_err sl_provider_anthropic_body(const struct sl_provider_ask *ask, struct sl_buf *out,
                                       struct sl_error *error)
{
    struct builder builder = {.body = ask->body, .root = json_object()};
    note_unsupported(&builder);
    enum sl_err err = SL_OK;
    if (builder.unsupported == NULL)
        build(&builder, ask);
    if (builder.unsupported != NULL)
        err = sl_error_set(error, SL_ERR_UNSUPPORTED, "provider %s cannot be asked for %s",
                           ask->config->name, builder.unsupported);
    else if (builder.is_broken || builder.root == NULL)
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    else
        err = sl_provider_append_json(out, builder.root);
    json_decref(builder.root);
    return err;
}
