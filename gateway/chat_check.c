/* SPDX-License-Identifier: Apache-2.0
 *
 * What a chat may look like: types and ranges of the fields that Sluice reads, with the path of the
 * field in the message, and what of it a small local model may lack. Source: OpenAI API reference,
 * "Create chat completion"; `top_k`, `min_p` and `repetition_penalty` as vLLM and llama.cpp name
 * them. null counts as absent everywhere, as it does there.
 *
 * Runs on the request's thread; reads the tree, never edits it.
 */
#include "chat_check.h"

#include "sluice/crypto.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_MAX_BYTES 96   /* of struct sl_error's param */
#define LOGIT_BIAS_MAX 1024 /* OpenAI documents no number; its clients send a handful */

/* ---- helpers ---- */

SL_PRINTF(3, 4)
static enum sl_err expected(struct sl_request *req, const char *path, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return sl_error_set_param(&req->error, SL_ERR_INVALID, path, "%s: expected %s", path, what);
}

/* The member, or NULL where it is absent or null. */
static const json_t *member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

static enum sl_err check_string(struct sl_request *req, const json_t *value, const char *path)
{
    return value == NULL || json_is_string(value) ? SL_OK : expected(req, path, "a string");
}

/* ---- messages ---- */

/* What a content part of each type holds, and what it needs of a model. */
static const struct part_rule {
    const char *type;
    const char *member;
    bool is_text; /* the member is a string, else an object */
    uint32_t feature;
} part_rules[] = {
    {"text", "text", true, 0},
    {"refusal", "refusal", true, 0},
    {"image_url", "image_url", false, SL_FEATURE_IMAGES},
    {"input_audio", "input_audio", false, SL_FEATURE_AUDIO},
    {"file", "file", false, SL_FEATURE_FILES},
};

static enum sl_err check_part(struct sl_request *req, const json_t *part, const char *path)
{
    char inner[PATH_MAX_BYTES];
    if (!json_is_object(part))
        return expected(req, path, "an object with `type`");
    const char *type = json_string_value(json_object_get(part, "type"));
    snprintf(inner, sizeof inner, "%.80s.type", path);
    if (type == NULL)
        return expected(req, inner, "a string");
    for (size_t i = 0; i < sizeof part_rules / sizeof *part_rules; i++) {
        const struct part_rule *rule = &part_rules[i];
        if (strcmp(rule->type, type) != 0)
            continue;
        const json_t *value = json_object_get(part, rule->member);
        snprintf(inner, sizeof inner, "%.70s.%s", path, rule->member);
        if (rule->is_text ? !json_is_string(value) : !json_is_object(value))
            return expected(req, inner, rule->is_text ? "a string" : "an object");
        req->parse.features |= rule->feature;
        return SL_OK;
    }
    return expected(req, inner, "\"text\", \"image_url\", \"input_audio\", \"file\" or "
                                "\"refusal\"");
}

static enum sl_err check_content(struct sl_request *req, const json_t *content, bool may_be_absent,
                                 const char *path)
{
    if (json_is_string(content) || (content == NULL && may_be_absent))
        return SL_OK;
    if (!json_is_array(content))
        return expected(req, path, "a string or an array of parts");
    if (json_array_size(content) == 0 && !may_be_absent)
        return expected(req, path, "at least one part");
    size_t i;
    json_t *part;
    enum sl_err err = SL_OK;
    json_array_foreach(content, i, part) {
        char inner[PATH_MAX_BYTES];
        snprintf(inner, sizeof inner, "%.70s[%zu]", path, i);
        err = check_part(req, part, inner);
        if (err != SL_OK)
            break;
    }
    return err;
}

static enum sl_err check_tool_call(struct sl_request *req, const json_t *call, const char *path)
{
    char inner[PATH_MAX_BYTES];
    if (!json_is_object(call))
        return expected(req, path, "an object");
    snprintf(inner, sizeof inner, "%.80s.id", path);
    if (!json_is_string(json_object_get(call, "id")))
        return expected(req, inner, "a string");
    const json_t *function = json_object_get(call, "function");
    snprintf(inner, sizeof inner, "%.80s.function", path);
    if (function == NULL && member(call, "custom") != NULL)
        return SL_OK; /* OpenAI's custom tools: for the cloud */
    if (!json_is_object(function))
        return expected(req, inner, "an object");
    snprintf(inner, sizeof inner, "%.70s.function.name", path);
    if (!json_is_string(json_object_get(function, "name")))
        return expected(req, inner, "a string");
    snprintf(inner, sizeof inner, "%.70s.function.arguments", path);
    if (!json_is_string(json_object_get(function, "arguments")))
        return expected(req, inner, "a string of JSON");
    return SL_OK;
}

static enum sl_err check_tool_calls(struct sl_request *req, const json_t *calls, const char *path)
{
    if (!json_is_array(calls))
        return expected(req, path, "an array");
    req->parse.features |= json_array_size(calls) > 0 ? (uint32_t)SL_FEATURE_TOOLS : 0;
    size_t i;
    json_t *call;
    enum sl_err err = SL_OK;
    json_array_foreach(calls, i, call) {
        char inner[PATH_MAX_BYTES];
        snprintf(inner, sizeof inner, "%.80s[%zu]", path, i);
        err = check_tool_call(req, call, inner);
        if (err != SL_OK)
            break;
    }
    return err;
}

static bool is_role(const char *role)
{
    static const char *const roles[] = {"user",      "assistant", "system",
                                        "developer", "tool",      "function"};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(roles[i], role) == 0)
            return true;
    return false;
}

static enum sl_err check_message(struct sl_request *req, const json_t *message, size_t idx)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof path, "messages[%zu]", idx);
    if (!json_is_object(message))
        return expected(req, path, "an object with `role` and `content`");
    const char *role = json_string_value(json_object_get(message, "role"));
    snprintf(path, sizeof path, "messages[%zu].role", idx);
    if (role == NULL || !is_role(role))
        return expected(req, path, "\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
    const json_t *calls = member(message, "tool_calls");
    enum sl_err err = SL_OK;
    if (calls != NULL && strcmp(role, "assistant") == 0) {
        snprintf(path, sizeof path, "messages[%zu].tool_calls", idx);
        err = check_tool_calls(req, calls, path);
    }
    if (err == SL_OK && strcmp(role, "tool") == 0) {
        req->parse.features |= SL_FEATURE_TOOLS;
        snprintf(path, sizeof path, "messages[%zu].tool_call_id", idx);
        if (!json_is_string(json_object_get(message, "tool_call_id")))
            err = expected(req, path, "a string");
    }
    if (err == SL_OK) {
        bool may_be_absent = strcmp(role, "assistant") == 0 || strcmp(role, "function") == 0;
        snprintf(path, sizeof path, "messages[%zu].content", idx);
        err = check_content(req, member(message, "content"), may_be_absent, path);
    }
    return err;
}

static enum sl_err check_messages(struct sl_request *req, const json_t *messages)
{
    if (!json_is_array(messages))
        return expected(req, "messages", "an array of messages");
    if (json_array_size(messages) == 0)
        return expected(req, "messages", "at least one message");
    size_t i;
    json_t *message;
    enum sl_err err = SL_OK;
    json_array_foreach(messages, i, message) {
        err = check_message(req, message, i);
        if (err != SL_OK)
            break;
    }
    return err;
}

/* ---- numbers and switches ---- */

/* Reads a number within [min, max]. *is_given false where it is absent. */
static enum sl_err read_number(struct sl_request *req, const char *name, double min, double max,
                               bool is_whole, double *out, bool *is_given)
{
    const json_t *value = member(req->parse.chat, name);
    *is_given = value != NULL;
    if (value == NULL)
        return SL_OK;
    double number = json_number_value(value);
    bool is_right_type = json_is_integer(value) || (json_is_real(value) && !is_whole) ||
                         (json_is_real(value) && number == floor(number));
    if (!is_right_type || !(number >= min && number <= max))
        return expected(req, name, "%s from %g to %g", is_whole ? "a whole number" : "a number",
                        min, max);
    *out = number;
    return SL_OK;
}

static enum sl_err read_float(struct sl_request *req, const char *name, double min, double max,
                              float *out)
{
    double number;
    bool is_given;
    enum sl_err err = read_number(req, name, min, max, false, &number, &is_given);
    if (err == SL_OK && is_given)
        *out = (float)number;
    return err;
}

static enum sl_err read_u32(struct sl_request *req, const char *name, double min, double max,
                            uint32_t *out)
{
    double number;
    bool is_given;
    enum sl_err err = read_number(req, name, min, max, true, &number, &is_given);
    if (err == SL_OK && is_given)
        *out = (uint32_t)number;
    return err;
}

static enum sl_err read_bool(struct sl_request *req, const json_t *object, const char *name,
                             const char *path, bool *out)
{
    const json_t *value = member(object, name);
    if (value == NULL)
        return SL_OK;
    if (!json_is_boolean(value))
        return expected(req, path, "true or false");
    *out = json_is_true(value);
    return SL_OK;
}

static enum sl_err read_temperature(struct sl_request *req)
{
    double number = 0;
    enum sl_err err =
        read_number(req, "temperature", 0, 2, false, &number, &req->parse.has_temperature);
    req->parse.sampling.temperature = (float)number;
    return err;
}

/* Without a seed every answer is a new draw; greedy decoding draws nothing. */
static enum sl_err read_seed(struct sl_request *req)
{
    const json_t *seed = member(req->parse.chat, "seed");
    if (seed != NULL && !json_is_integer(seed))
        return expected(req, "seed", "a whole number");
    if (seed != NULL)
        req->parse.sampling.seed = (uint64_t)json_integer_value(seed);
    else if (req->parse.sampling.temperature > 0)
        sl_random_bytes(&req->parse.sampling.seed, sizeof req->parse.sampling.seed);
    return SL_OK;
}

static enum sl_err read_lengths(struct sl_request *req)
{
    struct sl_parse_section *parse = &req->parse;
    parse->n = 1;
    enum sl_err err = read_u32(req, "max_tokens", 1, 1e7, &parse->tokens_max);
    if (err == SL_OK)
        err = read_u32(req, "max_completion_tokens", 1, 1e7, &parse->tokens_max);
    if (err == SL_OK)
        err = read_u32(req, "n", 1, SL_CHOICES_MAX, &parse->n);
    if (parse->n > 1)
        parse->features |= SL_FEATURE_CHOICES;
    parse->sampling.tokens_max = parse->tokens_max;
    return err;
}

static enum sl_err read_sampling(struct sl_request *req)
{
    struct sl_generate_params *sampling = &req->parse.sampling;
    enum sl_err err = read_temperature(req);
    if (err == SL_OK)
        err = read_float(req, "top_p", 0, 1, &sampling->top_p);
    if (err == SL_OK)
        err = read_float(req, "min_p", 0, 1, &sampling->min_p);
    if (err == SL_OK)
        err = read_u32(req, "top_k", 0, 1e6, &sampling->top_k);
    if (err == SL_OK)
        err = read_float(req, "repetition_penalty", 0, 10, &sampling->repetition_penalty);
    if (err == SL_OK)
        err = read_float(req, "presence_penalty", -2, 2, &sampling->presence_penalty);
    if (err == SL_OK)
        err = read_float(req, "frequency_penalty", -2, 2, &sampling->frequency_penalty);
    return err == SL_OK ? read_seed(req) : err;
}

/* ---- lists ---- */

static enum sl_err add_stop(struct sl_request *req, const json_t *stop, const char *path)
{
    struct sl_generate_params *sampling = &req->parse.sampling;
    if (!json_is_string(stop))
        return expected(req, path, "a string");
    struct sl_slice text = {json_string_value(stop), json_string_length(stop)};
    if (text.len > 0) /* an empty stop string would stop everything; OpenAI ignores it too */
        sampling->stop[sampling->stop_count++] = text;
    return SL_OK;
}

static enum sl_err read_stop(struct sl_request *req)
{
    const json_t *stop = member(req->parse.chat, "stop");
    if (stop == NULL || json_is_string(stop))
        return stop == NULL ? SL_OK : add_stop(req, stop, "stop");
    if (!json_is_array(stop) || json_array_size(stop) > SL_STOP_MAX)
        return expected(req, "stop", "a string or an array of at most %d strings", SL_STOP_MAX);
    size_t i;
    json_t *text;
    enum sl_err err = SL_OK;
    json_array_foreach(stop, i, text) {
        char path[32];
        snprintf(path, sizeof path, "stop[%zu]", i);
        err = add_stop(req, text, path);
        if (err != SL_OK)
            break;
    }
    return err;
}

static enum sl_err read_logit_bias(struct sl_request *req)
{
    json_t *map = json_object_get(req->parse.chat, "logit_bias");
    if (map == NULL || json_is_null(map))
        return SL_OK;
    size_t count = json_object_size(map);
    if (!json_is_object(map) || count > LOGIT_BIAS_MAX)
        return expected(req, "logit_bias", "an object of at most %d token ids", LOGIT_BIAS_MAX);
    struct sl_logit_bias *list = sl_arena_alloc(req->arena, (count + 1) * sizeof *list);
    if (list == NULL)
        return sl_error_set(&req->error, SL_ERR_MEMORY, NULL);
    const char *key;
    json_t *value;
    size_t used = 0;
    json_object_foreach(map, key, value) {
        char *end;
        long token = strtol(key, &end, 10);
        double bias = json_number_value(value);
        if (*key == '\0' || *end != '\0' || token < 0 || token > INT32_MAX ||
            !json_is_number(value) || !(bias >= -100 && bias <= 100))
            return expected(req, "logit_bias", "token ids with numbers from -100 to 100");
        list[used++] = (struct sl_logit_bias){(int32_t)token, (float)bias};
    }
    req->parse.sampling.logit_bias = list;
    req->parse.sampling.logit_bias_count = used;
    return SL_OK;
}

static enum sl_err read_logprobs(struct sl_request *req)
{
    bool wants_logprobs = false;
    enum sl_err err =
        read_bool(req, req->parse.chat, "logprobs", "logprobs", &wants_logprobs);
    uint32_t top = 0;
    if (err == SL_OK)
        err = read_u32(req, "top_logprobs", 0, SL_TOP_LOGPROBS_MAX, &top);
    if (err == SL_OK && top > 0 && !wants_logprobs)
        err = expected(req, "logprobs", "true where top_logprobs is given");
    if (err == SL_OK && wants_logprobs) {
        req->parse.features |= SL_FEATURE_LOGPROBS;
        req->parse.sampling.top_logprobs = top;
    }
    return err;
}

/* ---- form of the answer, tools, rare fields ---- */

static enum sl_err read_schema(struct sl_request *req, const json_t *format)
{
    const json_t *wrapper = member(format, "json_schema");
    if (!json_is_object(wrapper))
        return expected(req, "response_format.json_schema", "an object with `name` and `schema`");
    const json_t *schema = member(wrapper, "schema");
    if (schema != NULL && !json_is_object(schema))
        return expected(req, "response_format.json_schema.schema", "an object");
    req->parse.features |= SL_FEATURE_SCHEMA;
    req->parse.sampling.format = schema != NULL ? SL_FORMAT_JSON_SCHEMA : SL_FORMAT_JSON_OBJECT;
    req->parse.sampling.schema = schema;
    return SL_OK;
}

static enum sl_err read_response_format(struct sl_request *req)
{
    const json_t *format = member(req->parse.chat, "response_format");
    if (format == NULL)
        return SL_OK;
    const char *type = json_string_value(json_object_get(format, "type"));
    if (type != NULL && strcmp(type, "text") == 0)
        return SL_OK;
    if (type != NULL && strcmp(type, "json_schema") == 0)
        return read_schema(req, format);
    if (type == NULL || strcmp(type, "json_object") != 0)
        return expected(req, "response_format.type",
                        "\"text\", \"json_object\" or \"json_schema\"");
    req->parse.features |= SL_FEATURE_JSON;
    req->parse.sampling.format = SL_FORMAT_JSON_OBJECT;
    return SL_OK;
}

static enum sl_err check_tool(struct sl_request *req, const json_t *tool, size_t idx)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof path, "tools[%zu]", idx);
    const char *type = json_string_value(json_object_get(tool, "type"));
    if (!json_is_object(tool) || type == NULL)
        return expected(req, path, "an object with `type` and `function`");
    if (strcmp(type, "function") != 0)
        return SL_OK; /* for the cloud to know */
    const json_t *function = json_object_get(tool, "function");
    snprintf(path, sizeof path, "tools[%zu].function.name", idx);
    if (!json_is_string(json_object_get(function, "name")))
        return expected(req, path, "a string");
    const json_t *parameters = member(function, "parameters");
    snprintf(path, sizeof path, "tools[%zu].function.parameters", idx);
    if (parameters != NULL && !json_is_object(parameters))
        return expected(req, path, "a JSON Schema object");
    return SL_OK;
}

static enum sl_err read_tools(struct sl_request *req)
{
    const json_t *tools = member(req->parse.chat, "tools");
    const json_t *choice = member(req->parse.chat, "tool_choice");
    if (choice != NULL && !json_is_string(choice) && !json_is_object(choice))
        return expected(req, "tool_choice", "\"none\", \"auto\", \"required\" or an object");
    if (tools == NULL)
        return SL_OK;
    if (!json_is_array(tools))
        return expected(req, "tools", "an array");
    size_t i;
    json_t *tool;
    enum sl_err err = SL_OK;
    json_array_foreach(tools, i, tool) {
        err = check_tool(req, tool, i);
        if (err != SL_OK)
            break;
    }
    const char *word = json_string_value(choice);
    if (json_array_size(tools) > 0 && !(word != NULL && strcmp(word, "none") == 0))
        req->parse.features |= SL_FEATURE_TOOLS;
    return err;
}

/* Fields that mean something only a provider can do. */
static void read_rare_fields(struct sl_request *req)
{
    static const char *const rare[] = {"prediction", "web_search_options", "functions",
                                       "function_call", "audio"};
    const json_t *chat = req->parse.chat;
    for (size_t i = 0; i < sizeof rare / sizeof *rare; i++)
        if (member(chat, rare[i]) != NULL)
            req->parse.features |= SL_FEATURE_PREDICTION;
    const json_t *modalities = member(chat, "modalities");
    for (size_t i = 0; i < json_array_size(modalities); i++) {
        const char *word = json_string_value(json_array_get(modalities, i));
        if (word == NULL || strcmp(word, "text") != 0)
            req->parse.features |= SL_FEATURE_AUDIO;
    }
    const char *effort = json_string_value(member(chat, "reasoning_effort"));
    if ((effort != NULL && strcmp(effort, "none") != 0 && strcmp(effort, "minimal") != 0) ||
        json_is_object(member(chat, "thinking")))
        req->parse.features |= SL_FEATURE_REASONING;
}

static enum sl_err read_stream(struct sl_request *req)
{
    const json_t *options = member(req->parse.chat, "stream_options");
    enum sl_err err =
        read_bool(req, req->parse.chat, "stream", "stream", &req->parse.is_streaming);
    if (err == SL_OK && options != NULL && !json_is_object(options))
        err = expected(req, "stream_options", "an object");
    if (err == SL_OK && options != NULL)
        err = read_bool(req, options, "include_usage", "stream_options.include_usage",
                        &req->parse.wants_usage);
    return err;
}

static enum sl_err read_model(struct sl_request *req)
{
    const json_t *model = member(req->parse.chat, "model");
    enum sl_err err = check_string(req, model, "model");
    if (err != SL_OK)
        return err;
    if (json_string_length(model) >= SL_MODEL_NAME_MAX)
        return expected(req, "model", "a name of less than %d bytes", SL_MODEL_NAME_MAX);
    req->parse.model = json_string_length(model) > 0
                           ? (struct sl_slice){json_string_value(model), json_string_length(model)}
                           : SL_SLICE("auto");
    return SL_OK;
}

enum sl_err sl_chat_check(struct sl_request *req)
{
    enum sl_err err = read_model(req);
    if (err == SL_OK)
        err = check_messages(req, member(req->parse.chat, "messages"));
    if (err == SL_OK)
        err = read_stream(req);
    if (err == SL_OK)
        err = read_lengths(req);
    if (err == SL_OK)
        err = read_sampling(req);
    if (err == SL_OK)
        err = read_stop(req);
    if (err == SL_OK)
        err = read_logit_bias(req);
    if (err == SL_OK)
        err = read_logprobs(req);
    if (err == SL_OK)
        err = read_response_format(req);
    if (err == SL_OK)
        err = read_tools(req);
    if (err == SL_OK)
        read_rare_fields(req);
    return err;
}
