/* SPDX-License-Identifier: Apache-2.0
 *
 * Responses: turns what a request, a call or a refusal ended with into what libmicrohttpd sends,
 * and feeds streams from the request's bounded buffer.
 *
 * Runs on the connection's listener thread. Bodies are not copied: they live in the request or
 * call, which lives until libmicrohttpd says that it is done with the connection's request.
 */
#include "http_internal.h"

#include "api.h"
#include "idempotency.h"
#include "sluice/clock.h"
#include "sluice/log.h"

#include <stdio.h>

#define STREAM_BLOCK_BYTES 8192 /* some events at a time; a token's event is about 200 bytes */

static const char ping_comment[] = ": keep-alive\n\n";

/* ---- sending ---- */

static void add_headers(struct MHD_Response *response, const struct sl_header *headers,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (MHD_add_response_header(response, headers[i].name.data, headers[i].value.data) !=
            MHD_YES)
            SL_LOG_WARN("http", "response header %s dropped", headers[i].name.data);
}

/* Queues and gives the response away. A response that cannot be made or queued ends the
 * connection: there is no other way left to say so. */
static enum MHD_Result send_response(struct http_exchange *exchange, int status,
                                     struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO;
    if (atomic_load_explicit(&exchange->server->is_draining, memory_order_relaxed))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result =
        MHD_queue_response(exchange->connection, status > 0 ? (unsigned)status : 500u, response);
    MHD_destroy_response(response);
    return result;
}

static struct MHD_Response *response_of(struct sl_slice body)
{
    /* PERSISTENT: not copied and not written to, whatever the missing const says. */
    return MHD_create_response_from_buffer(body.len, (void *)(uintptr_t)body.data,
                                           MHD_RESPMEM_PERSISTENT);
}

/* ---- streams ---- */

/* An answer that a retry may be given again: it ended, and asking again would not help. */
static bool is_repeatable(int status)
{
    return status < 500 && status != 401 && status != 403 && status != 408 && status != 409 &&
           status != 429 && status != 499;
}

static void settle(struct http_exchange *exchange, bool is_whole)
{
    if (exchange->ticket == NULL || exchange->is_follower)
        return;
    const struct sl_respond_section *respond = &exchange->req->respond;
    struct sl_idempotency_answer answer = {
        .status = respond->status,
        .headers = respond->headers,
        .header_count = respond->header_count,
        .body = exchange->is_streaming ? (struct sl_slice){NULL, 0} : sl_buf_slice(&respond->body)};
    sl_idempotency_settle(exchange->ticket,
                          is_whole && is_repeatable(respond->status) ? &answer : NULL);
}

static bool take_ping(struct http_exchange *exchange)
{
    pthread_mutex_lock(&exchange->lock);
    bool wants_ping = exchange->wants_ping;
    exchange->wants_ping = false;
    pthread_mutex_unlock(&exchange->lock);
    return wants_ping;
}

/* libmicrohttpd's reader. Events are written whole, so an empty buffer means that the stream stands
 * between two events, where a comment line may go. */
static ssize_t stream_read(void *ctx, uint64_t position, char *into, size_t size)
{
    (void)position;
    struct http_exchange *exchange = ctx;
    size_t len;
    do {
        switch (sl_out_read(exchange->req->out, into, size, &len)) {
        case SL_OUT_BYTES:
            atomic_store_explicit(&exchange->last_bytes_ms, sl_monotonic_ms(),
                                  memory_order_relaxed);
            if (exchange->ticket != NULL)
                sl_idempotency_record(exchange->ticket, (struct sl_slice){into, len});
            return (ssize_t)len;
        case SL_OUT_ENDED:
            settle(exchange, true);
            return MHD_CONTENT_READER_END_OF_STREAM;
        case SL_OUT_CUT:
            settle(exchange, false);
            return MHD_CONTENT_READER_END_WITH_ERROR;
        case SL_OUT_WOULD_BLOCK:
            break;
        }
        if (take_ping(exchange) && size >= sizeof ping_comment - 1) {
            memcpy(into, ping_comment, sizeof ping_comment - 1);
            atomic_store_explicit(&exchange->last_bytes_ms, sl_monotonic_ms(),
                                  memory_order_relaxed);
            return (ssize_t)sizeof ping_comment - 1;
        }
    } while (!http_exchange_suspend(exchange));
    return 0;
}

enum MHD_Result http_reply_request(struct http_exchange *exchange)
{
    struct sl_request *req = exchange->req;
    struct MHD_Response *response;
    if (req->respond.is_stream) {
        exchange->is_streaming = true;
        atomic_store_explicit(&exchange->last_bytes_ms, sl_monotonic_ms(), memory_order_relaxed);
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES,
                                                     stream_read, exchange, NULL);
    } else {
        response = response_of(sl_buf_slice(&req->respond.body));
        settle(exchange, true);
    }
    if (response != NULL)
        add_headers(response, req->respond.headers, req->respond.header_count);
    return send_response(exchange, req->respond.status, response);
}

/* ---- everything else ---- */

enum MHD_Result http_reply_call(struct http_exchange *exchange)
{
    struct sl_http_call *call = exchange->call;
    struct MHD_Response *response = response_of(sl_buf_slice(&call->body));
    if (response != NULL) {
        if (call->content_type != NULL)
            MHD_add_response_header(response, "Content-Type", call->content_type);
        if (call->request_id != NULL)
            MHD_add_response_header(response, "x-request-id", call->request_id);
        add_headers(response, call->headers, call->header_count);
    }
    return send_response(exchange, call->status, response);
}

/* The status and body of a refused chat go through its section, so that its access line has them. */
static void refuse_chat(struct http_exchange *exchange)
{
    struct sl_request *req = exchange->req;
    req->error = exchange->refusal;
    req->respond.status = sl_err_http_status(exchange->refusal.code);
    sl_buf_reset(&req->respond.body);
    if (req->api->encode_error(req, &exchange->refusal, &req->respond.body) != SL_OK)
        sl_buf_reset(&req->respond.body);
}

enum MHD_Result http_reply_refusal(struct http_exchange *exchange)
{
    exchange->was_run = true;
    const struct sl_error *refusal = &exchange->refusal;
    struct sl_slice body;
    const char *request_id;
    if (exchange->req != NULL) {
        refuse_chat(exchange);
        body = sl_buf_slice(&exchange->req->respond.body);
        request_id = exchange->req->id;
    } else {
        struct sl_http_call *call = exchange->call;
        if (!exchange->is_options)
            sl_http_call_fail(call, refusal);
        body = sl_buf_slice(&call->body);
        request_id = call->request_id;
    }
    struct MHD_Response *response = response_of(body);
    if (response != NULL) {
        if (body.len > 0)
            MHD_add_response_header(response, "Content-Type", "application/json");
        if (request_id != NULL)
            MHD_add_response_header(response, "x-request-id", request_id);
        if (exchange->is_body_unreadable)
            MHD_add_response_header(response, "Connection", "close");
        if (exchange->allow != NULL)
            MHD_add_response_header(response, "Allow", exchange->allow);
        if (refusal->code == SL_ERR_CONFLICT)
            MHD_add_response_header(response, "x-should-retry", "false");
        if (sl_err_is_retryable(refusal->code)) {
            MHD_add_response_header(response, "Retry-After", "1");
            MHD_add_response_header(response, "retry-after-ms", "1000");
        }
    }
    return send_response(exchange, exchange->is_options ? 204 : sl_err_http_status(refusal->code),
                         response);
}

enum MHD_Result http_reply_replay(struct http_exchange *exchange,
                                  const struct sl_idempotency_answer *answer)
{
    exchange->req->respond.status = answer->status;
    struct MHD_Response *response = response_of(answer->body);
    if (response != NULL) {
        for (size_t i = 0; i < answer->header_count; i++)
            if (strcasecmp(answer->headers[i].name.data, "x-request-id") != 0)
                add_headers(response, &answer->headers[i], 1);
        MHD_add_response_header(response, "x-request-id", exchange->req->id);
        MHD_add_response_header(response, "Idempotent-Replayed", "true");
    }
    return send_response(exchange, answer->status, response);
}

/* ---- what handlers call ---- */

void sl_http_call_fail(struct sl_http_call *call, const struct sl_error *error)
{
    call->status = sl_err_http_status(error->code);
    call->content_type = "application/json";
    sl_buf_reset(&call->body);
    if (sl_openai_encode_error(error, &call->body) != SL_OK)
        sl_buf_reset(&call->body);
}

static int append_dump(const char *text, size_t len, void *ctx)
{
    return sl_buf_append(ctx, text, len) == SL_OK ? 0 : -1;
}

void sl_http_call_json(struct sl_http_call *call, json_t *value)
{
    sl_buf_reset(&call->body);
    size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
    if (value == NULL || json_dump_callback(value, append_dump, &call->body, flags) != 0) {
        struct sl_error error = {0};
        sl_error_set(&error, SL_ERR_MEMORY, NULL);
        sl_http_call_fail(call, &error);
    }
    json_decref(value);
}
