/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 10, respond: status, headers and body of what the walk ended with; for a stream, its end.
 * Runs on whichever thread owns the request.
 */
#include "edge.h"

#include <stdio.h>

#define RETRY_MAX_MS 120000     /* what clients may be asked to wait at most */
#define RETRY_OVERLOAD_MS 1000  /* a queue drains in seconds */
#define RETRY_OTHER_MS 5000     /* a provider or a network comes back in more */

/* A header with texts that live for ever: spares the copies of sl_request_add_header. */
static void add_fixed(struct sl_request *req, const char *name, const char *value)
{
    struct sl_respond_section *respond = &req->respond;
    if (respond->header_count < SL_RESPONSE_HEADERS_MAX)
        respond->headers[respond->header_count++] =
            (struct sl_header){sl_slice_of(name), sl_slice_of(value)};
}

static void add_rate_headers(struct sl_request *req)
{
    const struct sl_edge_request *own = req->edge;
    if (own == NULL || !own->has_limits)
        return;
    const struct sl_rate_state *rate = &own->rate;
    if (rate->requests_limit > 0) {
        sl_request_add_header(req, "x-ratelimit-limit-requests", "%u", rate->requests_limit);
        sl_request_add_header(req, "x-ratelimit-remaining-requests", "%u",
                              rate->requests_remaining);
        sl_request_add_header(req, "x-ratelimit-reset-requests", "%.3fs",
                              (double)rate->requests_reset_ms / 1e3);
    }
    if (rate->tokens_limit > 0) {
        sl_request_add_header(req, "x-ratelimit-limit-tokens", "%u", rate->tokens_limit);
        sl_request_add_header(req, "x-ratelimit-remaining-tokens", "%u", rate->tokens_remaining);
        sl_request_add_header(req, "x-ratelimit-reset-tokens", "%.3fs",
                              (double)rate->tokens_reset_ms / 1e3);
    }
}

/* ---- errors ---- */

static uint64_t retry_after_ms(const struct sl_request *req)
{
    const struct sl_edge_request *own = req->edge;
    uint64_t ms = RETRY_OTHER_MS;
    if (req->error.code == SL_ERR_OVERLOAD || req->error.code == SL_ERR_SHUTDOWN)
        ms = RETRY_OVERLOAD_MS;
    if (own != NULL && own->rate.retry_after_ms > 0)
        ms = own->rate.retry_after_ms;
    else if (req->escalate.result != NULL && req->escalate.result->retry_after_ms > 0)
        ms = req->escalate.result->retry_after_ms;
    return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

/* Clients retry 408, 409, 429 and 5xx by themselves: told when, or told not to. */
static void add_retry_headers(struct sl_request *req, int status)
{
    bool would_retry = status == 408 || status == 409 || status == 429 || status >= 500;
    if (!would_retry)
        return;
    bool is_hopeless = !sl_err_is_retryable(req->error.code) ||
                       (req->escalate.result != NULL && req->escalate.result->is_budget_spent);
    if (is_hopeless) {
        add_fixed(req, "x-should-retry", "false");
    } else if (status == 429 || status == 503) {
        uint64_t ms = retry_after_ms(req);
        sl_request_add_header(req, "Retry-After", "%llu", (unsigned long long)((ms + 999) / 1000));
        sl_request_add_header(req, "retry-after-ms", "%llu", (unsigned long long)ms);
    }
}

static void respond_error(struct sl_request *req)
{
    struct sl_respond_section *respond = &req->respond;
    respond->status = sl_err_http_status(req->error.code);
    if (req->out != NULL)
        req->api->stream_reset(req); /* what was held is not sent */
    sl_buf_reset(&respond->body);
    if (req->api->encode_error(req, &req->error, &respond->body) != SL_OK)
        sl_buf_reset(&respond->body); /* the status says enough */
    add_fixed(req, "Content-Type", "application/json");
    if (respond->status == 401)
        add_fixed(req, "WWW-Authenticate", "Bearer");
    add_retry_headers(req, respond->status);
    add_rate_headers(req);
    sl_request_describe(req);
}

/* ---- answers ---- */

void sl_edge_respond_head(struct sl_request *req)
{
    req->respond.status = 200;
    add_fixed(req, "Content-Type", req->api->content_type);
    add_fixed(req, "Cache-Control", "no-cache");
    add_fixed(req, "X-Accel-Buffering", "no"); /* nginx would hold the stream back */
    add_rate_headers(req);
    sl_request_describe(req);
}

static void respond_answer(struct sl_request *req)
{
    struct sl_respond_section *respond = &req->respond;
    sl_buf_reset(&respond->body);
    enum sl_err err = req->api->encode_answer(req, &respond->body);
    if (err != SL_OK) {
        sl_error_set(&req->error, err == SL_ERR_LIMIT ? SL_ERR_INTERNAL : err, NULL);
        respond_error(req);
        return;
    }
    respond->status = 200;
    add_fixed(req, "Content-Type", "application/json");
    add_rate_headers(req);
    sl_request_describe(req);
}

enum sl_step sl_edge_respond(struct sl_request *req)
{
    if (req->error.code == SL_OK && req->answer == NULL && !req->respond.is_stream)
        sl_error_set(&req->error, SL_ERR_INTERNAL, "no stage gave an answer");
    bool may_stream = req->out != NULL && (req->error.code == SL_OK || req->respond.is_stream);
    if (may_stream)
        sl_request_finish_stream(req);
    else if (req->error.code != SL_OK)
        respond_error(req);
    else
        respond_answer(req);
    return SL_STEP_NEXT;
}
