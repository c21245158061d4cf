/* SPDX-License-Identifier: Apache-2.0
 *
 * Anthropic messages, on the way in: the body becomes the canonical chat. `system` becomes the first
 * message; `tool_use` blocks become tool calls, `tool_result` blocks messages of their own before
 * the rest of their turn. Fields without a counterpart are dropped, since the cloud is asked in the
 * canonical form. Source: Anthropic API reference, "Messages" (version 2023-06-01).
 *
 * Runs on the request's thread.
 */
#include "api.h"

#include "chat_check.h"
#include "json_body.h"
#include "response_text.h"

#include <stdio.h>
#include <stdlib.h>

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

enum sl_err sl_anthropic_parse(struct sl_request *req)
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
