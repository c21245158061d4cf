/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 1, parse: what every wire API has in common, which is its headers; the body is the API's own
 * to read. Runs on a listener thread.
 */
#include "edge.h"

#include <stdlib.h>

#define SESSION_BYTES_MAX 256
#define TRACEPARENT_BYTES 55 /* W3C Trace Context, version 00 */

/* One directive of Cache-Control, trimmed. Unknown ones are ignored (RFC 9111 section 5.2.3). */
static bool read_directive(struct sl_slice text, struct sl_cache_control *cache)
{
    static const char max_age[] = "max-age=";
    size_t prefix = sizeof max_age - 1;
    if (sl_slice_equal_nocase(text, SL_SLICE("no-cache"))) {
        cache->no_cache = true;
    } else if (sl_slice_equal_nocase(text, SL_SLICE("no-store"))) {
        cache->no_store = true;
    } else if (sl_slice_equal_nocase(text, SL_SLICE("only-if-cached"))) {
        cache->only_if_cached = true;
    } else if (text.len > prefix && strncasecmp(text.data, max_age, prefix) == 0) {
        char *end;
        long long seconds = strtoll(text.data + prefix, &end, 10);
        if (end != text.data + text.len || seconds < 0)
            return false;
        cache->max_age_s = seconds;
    }
    return true;
}

static enum sl_err read_cache_control(struct sl_request *req)
{
    struct sl_slice rest = sl_request_header(req, "cache-control");
    while (rest.len > 0) {
        const char *comma = memchr(rest.data, ',', rest.len);
        struct sl_slice item = {rest.data, comma != NULL ? (size_t)(comma - rest.data) : rest.len};
        rest.data += item.len + (comma != NULL);
        rest.len -= item.len + (comma != NULL);
        while (item.len > 0 && item.data[0] == ' ') {
            item.data++;
            item.len--;
        }
        while (item.len > 0 && item.data[item.len - 1] == ' ')
            item.len--;
        if (!read_directive(item, &req->parse.cache))
            return sl_error_set_param(&req->error, SL_ERR_INVALID, "Cache-Control",
                                      "Cache-Control: expected max-age=SECONDS");
    }
    return SL_OK;
}

static enum sl_err read_ttl(struct sl_request *req)
{
    struct sl_slice text = sl_request_header(req, "x-sluice-cache-ttl");
    if (text.data == NULL)
        return SL_OK;
    char *end;
    long long seconds = strtoll(text.data, &end, 10);
    if (text.len == 0 || end != text.data + text.len || seconds < 0)
        return sl_error_set_param(&req->error, SL_ERR_INVALID, "x-sluice-cache-ttl",
                                  "x-sluice-cache-ttl: expected seconds, a number from 0");
    req->parse.cache.ttl_s = seconds;
    return SL_OK;
}

static enum sl_err read_mode(struct sl_request *req)
{
    struct sl_slice word = sl_request_header(req, "x-sluice-mode");
    if (word.data == NULL || sl_mode_parse(word, &req->parse.mode))
        return SL_OK;
    return sl_error_set_param(&req->error, SL_ERR_INVALID, "x-sluice-mode",
                              "x-sluice-mode: expected auto, prefer-local, prefer-cloud, "
                              "local-only or cloud-only");
}

static bool is_traceparent(struct sl_slice text)
{
    if (text.len != TRACEPARENT_BYTES || text.data[2] != '-' || text.data[35] != '-' ||
        text.data[52] != '-')
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (strchr("0123456789abcdef-", text.data[i]) == NULL)
            return false;
    return true;
}

/* What cannot be passed on is dropped, as the standard asks of a tracing header. */
static void read_names(struct sl_request *req)
{
    struct sl_parse_section *parse = &req->parse;
    struct sl_slice session = sl_request_header(req, "x-session-id");
    if (session.data == NULL)
        session = sl_request_header(req, "x-conversation-id");
    if (session.len <= SESSION_BYTES_MAX)
        parse->session_id = session;
    struct sl_slice trace = sl_request_header(req, "traceparent");
    if (is_traceparent(trace))
        parse->traceparent = trace;
    parse->idempotency_key = sl_request_header(req, "idempotency-key");
    parse->wants_debug =
        sl_slice_equal_nocase(sl_request_header(req, "x-sluice-debug"), SL_SLICE("true"));
}

enum sl_step sl_edge_parse(struct sl_request *req)
{
    req->parse.cache.max_age_s = req->parse.cache.ttl_s = -1;
    read_names(req);
    enum sl_err err = req->api->parse(req);
    if (err == SL_OK)
        err = read_mode(req);
    if (err == SL_OK)
        err = read_cache_control(req);
    if (err == SL_OK)
        err = read_ttl(req);
    if (err == SL_OK && req->parse.is_streaming && sl_request_make_stream(req) != SL_OK)
        err = sl_error_set(&req->error, SL_ERR_MEMORY, NULL);
    return err == SL_OK ? SL_STEP_NEXT : SL_STEP_FAIL;
}
