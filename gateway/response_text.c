/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids and JSON pieces of responses. Ids come from a random start for each thread and a mixer, so
 * that a cache hit pays for no system call.
 */
#include "response_text.h"

#include "sluice/clock.h"
#include "sluice/crypto.h"

#include <stdio.h>

/* splitmix64 (Steele, Lea, Flood 2014): every 64-bit value once in a period. */
uint64_t sl_response_unique(void)
{
    static _Thread_local uint64_t state;
    if (state == 0)
        sl_random_bytes(&state, sizeof state);
    state += 0x9E3779B97F4A7C15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void sl_response_name(struct sl_request *req, const char *prefix)
{
    snprintf(req->respond.response_id, sizeof req->respond.response_id, "%s%016llx%08x", prefix,
             (unsigned long long)sl_response_unique(), (unsigned)sl_response_unique());
    req->respond.created_s = sl_wall_seconds();
}

static int append_dump(const char *text, size_t len, void *ctx)
{
    return sl_buf_append(ctx, text, len) == SL_OK ? 0 : -1;
}

enum sl_err sl_buf_append_json_value(struct sl_buf *out, const json_t *value)
{
    if (value == NULL)
        return sl_buf_append_text(out, "null");
    size_t flags = JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9); /* a float's worth */
    return json_dump_callback(value, append_dump, out, flags) == 0 ? SL_OK : SL_ERR_MEMORY;
}

/* JSON that is known to be some, without the blanks between its parts: a line end would end an
 * event or a line of the stream. */
static enum sl_err append_compact(struct sl_buf *out, struct sl_slice json)
{
    bool in_string = false;
    size_t done = 0;
    enum sl_err err = SL_OK;
    for (size_t at = 0; at < json.len && err == SL_OK; at++) {
        char c = json.data[at];
        if (in_string && c == '\\')
            at++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
            err = sl_buf_append(out, json.data + done, at - done);
            done = at + 1;
        }
    }
    return err == SL_OK ? sl_buf_append(out, json.data + done, json.len - done) : err;
}

/* The text itself is copied: its numbers may have more digits than a parser keeps. */
enum sl_err sl_buf_append_arguments(struct sl_buf *out, const struct sl_buf *arguments)
{
    struct sl_slice text = {arguments->data != NULL ? arguments->data : "", arguments->len};
    json_t *object = json_loadb(text.data, text.len, JSON_DECODE_INT_AS_REAL, NULL);
    enum sl_err err =
        json_is_object(object) ? append_compact(out, text) : sl_buf_append_text(out, "{}");
    json_decref(object);
    return err;
}

enum sl_err sl_buf_append_debug(struct sl_request *req, struct sl_buf *out)
{
    if (!req->parse.wants_debug)
        return SL_OK;
    json_t *debug = sl_request_debug(req);
    enum sl_err err = sl_buf_append_text(out, ",\"sluice\":");
    if (err == SL_OK)
        err = sl_buf_append_json_value(out, debug);
    json_decref(debug);
    return err;
}
