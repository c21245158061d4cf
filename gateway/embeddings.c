/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /v1/embeddings from the local model. Source: OpenAI API reference, "Create embeddings". Its
 * SDKs ask for base64 (little-endian 32-bit floats) unless told otherwise; vectors have length 1, as
 * OpenAI's have. Nothing is sent to the cloud: a vector from another model would be of no use beside
 * this one's.
 *
 * Runs on a worker: reading a text takes milliseconds.
 */
#include "handlers.h"

#include "json_body.h"
#include "response_text.h"
#include "sluice/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUTS_MAX 256 /* of one call; OpenAI takes 2048, on other machines */

struct embedding_job {
    struct sl_engine *engine;
    size_t size;     /* floats the model gives */
    size_t size_out; /* floats the client wants */
    bool is_base64;
    float *vector;
    uint64_t tokens;
};

/* RFC 4648 section 4, with padding. */
static enum sl_err append_base64(const uint8_t *data, size_t len, struct sl_buf *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum sl_err err = sl_buf_reserve(out, (len + 2) / 3 * 4);
    for (size_t i = 0; i < len && err == SL_OK; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16;
        bits |= i + 1 < len ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= i + 2 < len ? data[i + 2] : 0;
        char four[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63],
                        i + 1 < len ? alphabet[bits >> 6 & 63] : '=',
                        i + 2 < len ? alphabet[bits & 63] : '='};
        err = sl_buf_append(out, four, sizeof four);
    }
    return err;
}

static enum sl_err append_vector(const struct embedding_job *job, struct sl_buf *out)
{
    if (job->is_base64) {
        enum sl_err err = sl_buf_append_char(out, '"');
        /* x86-64 and AArch64 store floats as the format wants them. */
        if (err == SL_OK)
            err = append_base64((const uint8_t *)job->vector, job->size_out * sizeof(float), out);
        return err == SL_OK ? sl_buf_append_char(out, '"') : err;
    }
    enum sl_err err = sl_buf_append_char(out, '[');
    for (size_t i = 0; i < job->size_out && err == SL_OK; i++)
        err = sl_buf_printf(out, "%s%.9g", i > 0 ? "," : "", (double)job->vector[i]);
    return err == SL_OK ? sl_buf_append_char(out, ']') : err;
}

/* Cuts to the wanted dimensions, then to length 1. */
static void normalize(struct embedding_job *job)
{
    double sum = 0;
    for (size_t i = 0; i < job->size_out; i++)
        sum += (double)job->vector[i] * (double)job->vector[i];
    float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (size_t i = 0; i < job->size_out; i++)
        job->vector[i] *= scale;
}

static enum sl_err embed_one(struct embedding_job *job, const json_t *text, size_t idx,
                             struct sl_buf *out, struct sl_error *error)
{
    char path[32];
    uint32_t tokens = 0;
    snprintf(path, sizeof path, "input[%zu]", idx);
    if (!json_is_string(text) || json_string_length(text) == 0)
        return sl_error_set_param(error, SL_ERR_INVALID, path,
                                  "%s: expected a text that is not empty", path);
    struct sl_slice slice = {json_string_value(text), json_string_length(text)};
    enum sl_err err = sl_engine_embed(job->engine, slice, job->vector, &tokens, error);
    if (err != SL_OK)
        return err;
    job->tokens += tokens;
    normalize(job);
    err = sl_buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":",
                        idx > 0 ? "," : "", idx);
    if (err == SL_OK)
        err = append_vector(job, out);
    if (err == SL_OK)
        err = sl_buf_append_char(out, '}');
    return err == SL_OK ? SL_OK : sl_error_set(error, err, NULL);
}

static enum sl_err embed_all(struct embedding_job *job, const json_t *input, struct sl_buf *out,
                             struct sl_error *error)
{
    if (json_is_string(input))
        return embed_one(job, input, 0, out, error);
    size_t count = json_array_size(input);
    if (count == 0 || count > INPUTS_MAX)
        return sl_error_set_param(error, SL_ERR_INVALID, "input",
                                  "input: expected a text or 1 to %d texts", INPUTS_MAX);
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < count && err == SL_OK; i++)
        err = embed_one(job, json_array_get(input, i), i, out, error);
    return err;
}

static enum sl_err read_settings(const json_t *body, struct embedding_job *job,
                                 struct sl_error *error)
{
    const json_t *format = json_object_get(body, "encoding_format");
    const json_t *dimensions = json_object_get(body, "dimensions");
    const char *word = json_string_value(format);
    job->size_out = job->size;
    if (format != NULL && !json_is_null(format)) {
        job->is_base64 = word != NULL && strcmp(word, "base64") == 0;
        if (!job->is_base64 && (word == NULL || strcmp(word, "float") != 0))
            return sl_error_set_param(error, SL_ERR_INVALID, "encoding_format",
                                      "encoding_format: expected \"float\" or \"base64\"");
    }
    if (dimensions == NULL || json_is_null(dimensions))
        return SL_OK;
    json_int_t wanted = json_integer_value(dimensions);
    if (!json_is_integer(dimensions) || wanted < 1 || wanted > (json_int_t)job->size)
        return sl_error_set_param(error, SL_ERR_INVALID, "dimensions",
                                  "dimensions: expected a whole number from 1 to %zu", job->size);
    job->size_out = (size_t)wanted;
    return SL_OK;
}

static enum sl_err answer(struct sl_http_call *call, const json_t *body, uint64_t *tokens,
                          struct sl_error *error)
{
    struct sl_edge *edge = call->ctx;
    if (edge->engine == NULL || !sl_engine_info(edge->engine)->can_embed)
        return sl_error_set(error, SL_ERR_UNSUPPORTED,
                            "no local model that can embed texts is loaded");
    const struct sl_model_info *info = sl_engine_info(edge->engine);
    struct embedding_job job = {.engine = edge->engine, .size = info->embedding_size};
    enum sl_err err = read_settings(body, &job, error);
    if (err != SL_OK)
        return err;
    job.vector = calloc(job.size, sizeof *job.vector);
    if (job.vector == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    err = sl_buf_append_text(&call->body, "{\"object\":\"list\",\"data\":[");
    if (err == SL_OK)
        err = embed_all(&job, json_object_get(body, "input"), &call->body, error);
    free(job.vector);
    *tokens = job.tokens;
    if (err == SL_OK)
        err = sl_buf_append_text(&call->body, "],\"model\":");
    if (err == SL_OK)
        err = sl_buf_append_json(&call->body, sl_slice_of(info->name));
    if (err == SL_OK)
        err = sl_buf_printf(&call->body,
                            ",\"usage\":{\"prompt_tokens\":%llu,\"total_tokens\":%llu}}",
                            (unsigned long long)job.tokens, (unsigned long long)job.tokens);
    if (err != SL_OK && error->code == SL_OK)
        sl_error_set(error, err, NULL);
    return err;
}

void sl_handle_embeddings(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    struct sl_error error = {0};
    struct sl_key_terms terms;
    struct sl_rate_state rate;
    uint64_t tokens = 0;
    json_t *body = NULL;
    enum sl_err err = sl_edge_identify_call(edge, call, &terms, &error);
    if (err == SL_OK && !sl_rate_limits_take(edge->limits, &terms, sl_monotonic_ns(), &rate))
        err = sl_error_set(&error, SL_ERR_RATE_LIMIT, NULL);
    if (err == SL_OK)
        err = sl_json_body_parse(call->input.body, &body, &error);
    if (err == SL_OK)
        err = answer(call, body, &tokens, &error);
    json_decref(body);
    if (tokens > 0)
        sl_rate_limits_charge(edge->limits, terms.id, tokens, sl_monotonic_ns());
    if (err != SL_OK)
        sl_http_call_fail(call, &error);
}
