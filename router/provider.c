/* SPDX-License-Identifier: Apache-2.0
 *
 * What the wire forms share: the head of a request, the choice of adapter, and the bookkeeping of a
 * reader. The adapters own the JSON. Stateless but for the reader, which belongs to one caller.
 */
#include "provider.h"

#include <stdio.h>
#include <string.h>

#define HEADER_BYTES_MAX                                                                           \
    (16u * 1024) /* keys of cloud vendors can be signed tokens of a few KiB                        \
                  */
#define URL_BYTES_MAX 2048

static const char anthropic_version[] = "anthropic-version: 2023-06-01"; /* the only stable one */

/* ---- Asking ---- */

static int append_to_buf(const char *data, size_t size, void *ctx)
{
    return sl_buf_append(ctx, data, size) == SL_OK ? 0 : -1;
}

enum sl_err sl_provider_append_json(struct sl_buf *out, const json_t *value)
{
    size_t room = out->len_max - out->len;
    if (json_dump_callback(value, append_to_buf, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
        return SL_OK;
    return out->len_max - out->len < room / 2 ? SL_ERR_LIMIT : SL_ERR_MEMORY;
}

static bool ends_with(struct sl_slice text, struct sl_slice tail)
{
    return text.len >= tail.len &&
           memcmp(text.data + text.len - tail.len, tail.data, tail.len) == 0;
}

static enum sl_err write_url(const struct sl_cloud_provider_config *config, struct sl_buf *url)
{
    struct sl_slice base = sl_slice_of(config->base_url);
    while (base.len > 0 && base.data[base.len - 1] == '/')
        base.len--;
    const char *path = "/chat/completions";
    if (config->kind == SL_CLOUD_KIND_ANTHROPIC)
        path = ends_with(base, SL_SLICE("/v1")) ? "/messages" : "/v1/messages";
    sl_buf_init(url, URL_BYTES_MAX);
    enum sl_err err = sl_buf_append_slice(url, base);
    return err == SL_OK ? sl_buf_append_text(url, path) : err;
}

static enum sl_err add_header(struct sl_transfer_request *request, const char *name,
                              struct sl_slice value)
{
    struct sl_buf *header = &request->headers[request->header_count++];
    sl_buf_init(header, HEADER_BYTES_MAX);
    /* A line break in a key or trace context would start a header of its own. */
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.data[i] < 0x20 || value.data[i] == 0x7f)
            return SL_ERR_INVALID;
    enum sl_err err = sl_buf_append_text(header, name);
    return err == SL_OK ? sl_buf_append_slice(header, value) : err;
}

static enum sl_err write_headers(const struct sl_provider_ask *ask,
                                 struct sl_transfer_request *request)
{
    bool is_anthropic = ask->config->kind == SL_CLOUD_KIND_ANTHROPIC;
    enum sl_err err = add_header(request, "Content-Type: application/json", SL_SLICE(""));
    if (err == SL_OK)
        err = add_header(request, "Accept: ",
                         ask->is_streaming ? SL_SLICE("text/event-stream, application/json")
                                           : SL_SLICE("application/json"));
    if (err == SL_OK && is_anthropic)
        err = add_header(request, anthropic_version, SL_SLICE(""));
    if (err == SL_OK && ask->key.len > 0)
        err =
            add_header(request, is_anthropic ? "x-api-key: " : "Authorization: Bearer ", ask->key);
    if (err == SL_OK && ask->traceparent != NULL)
        err = add_header(request, "traceparent: ", sl_slice_of(ask->traceparent));
    return err;
}

enum sl_err sl_provider_build(const struct sl_provider_ask *ask, struct sl_buf *url,
                              struct sl_transfer_request *out, struct sl_error *error)
{
    const struct sl_cloud_provider_config *config = ask->config;
    sl_buf_init(&out->body, SL_PROVIDER_BODY_MAX);
    enum sl_err err = write_url(config, url);
    if (err == SL_OK)
        err = write_headers(ask, out);
    if (err != SL_OK)
        return sl_error_set(error, err, "provider %s: the URL or a header cannot be written",
                            config->name);
    out->url = url->data;
    out->ca_file = config->ca_file;
    out->pinned_public_key = config->pinned_public_key;
    out->proxy = config->proxy;
    out->demands_tls13 = config->tls_min == SL_CLOUD_TLS_1_3;
    out->offers_http2 = config->http2;
    out->connect_timeout_ms = config->connect_timeout_ms;
    return config->kind == SL_CLOUD_KIND_ANTHROPIC
               ? sl_provider_anthropic_body(ask, &out->body, error)
               : sl_provider_openai_body(ask, &out->body, error);
}

/* ---- Reading ---- */

struct sl_slice sl_provider_text(const json_t *value)
{
    if (!json_is_string(value))
        return (struct sl_slice){NULL, 0};
    return (struct sl_slice){json_string_value(value), json_string_length(value)};
}

uint64_t sl_provider_count(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

void sl_provider_reader_init(struct sl_provider_reader *reader, enum sl_cloud_kind kind,
                             size_t choice_count, sl_delta_fn sink, void *ctx)
{
    memset(reader, 0, sizeof *reader);
    reader->kind = kind;
    reader->sink = sink;
    reader->ctx = ctx;
    reader->choice_count = choice_count;
}

static bool carries_content(const struct sl_delta *delta)
{
    switch (delta->kind) {
    case SL_DELTA_TEXT:
    case SL_DELTA_REASONING:
    case SL_DELTA_REFUSAL:
        return delta->text.len > 0;
    case SL_DELTA_TOOL_CALL:
        return true;
    case SL_DELTA_LOGPROBS:
    case SL_DELTA_FINISH:
    case SL_DELTA_USAGE:
    case SL_DELTA_MODEL:
        break;
    }
    return false;
}

enum sl_err sl_provider_emit(struct sl_provider_reader *reader, const struct sl_delta *delta)
{
    if (carries_content(delta))
        reader->content_count++;
    if (delta->kind == SL_DELTA_FINISH && delta->choice < SL_CHOICES_MAX)
        reader->finished_choices |= 1u << delta->choice;
    return reader->sink(reader->ctx, delta);
}

enum sl_err sl_provider_emit_model(struct sl_provider_reader *reader, const json_t *model)
{
    struct sl_slice name = sl_provider_text(model);
    if (reader->has_model || name.len == 0)
        return SL_OK;
    reader->has_model = true;
    return sl_provider_emit(reader, &(struct sl_delta){.kind = SL_DELTA_MODEL, .text = name});
}

enum sl_err sl_provider_read_event(struct sl_provider_reader *reader,
                                   const struct sl_sse_event *event)
{
    if (reader->kind == SL_CLOUD_KIND_OPENAI && sl_slice_equal_text(event->data, "[DONE]")) {
        reader->is_done = true;
        return SL_OK;
    }
    if (reader->is_done || event->data.len == 0)
        return SL_OK;
    json_t *object = json_loadb(event->data.data, event->data.len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        reader->malformed_count++;
        return SL_OK;
    }
    enum sl_err err = reader->kind == SL_CLOUD_KIND_ANTHROPIC
                          ? sl_provider_anthropic_event(reader, object)
                          : sl_provider_openai_event(reader, object);
    json_decref(object);
    return err;
}

enum sl_err sl_provider_read_whole(struct sl_provider_reader *reader, struct sl_slice json)
{
    json_t *object = json_loadb(json.data, json.len, JSON_ALLOW_NUL, NULL);
    enum sl_err err = SL_ERR_FORMAT;
    if (json_is_object(object))
        err = reader->kind == SL_CLOUD_KIND_ANTHROPIC ? sl_provider_anthropic_whole(reader, object)
                                                      : sl_provider_openai_whole(reader, object);
    json_decref(object);
    if (err == SL_OK)
        reader->is_done = true;
    return err;
}

bool sl_provider_is_finished(const struct sl_provider_reader *reader)
{
    uint32_t all = (1u << reader->choice_count) - 1;
    return (reader->finished_choices & all) == all;
}

enum sl_err sl_provider_reader_finish(struct sl_provider_reader *reader)
{
    if (!reader->usage.is_known)
        return SL_OK;
    return sl_provider_emit(reader,
                            &(struct sl_delta){.kind = SL_DELTA_USAGE, .usage = reader->usage});
}

static bool is_word(const json_t *value, const char *const *words)
{
    const char *text = json_string_value(value);
    for (; text != NULL && *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

bool sl_provider_asks_reasoning(const json_t *body)
{
    static const char *const quick[] = {"none", "minimal", NULL};
    static const char *const off[] = {"disabled", NULL};
    const json_t *effort = json_object_get(body, "reasoning_effort");
    const json_t *thinking = json_object_get(body, "thinking");
    return (json_is_string(effort) && !is_word(effort, quick)) ||
           (json_is_object(thinking) && !is_word(json_object_get(thinking, "type"), off));
}
