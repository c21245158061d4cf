/* SPDX-License-Identifier: Apache-2.0
 *
 * The stream of one request: deltas are encoded in the client's wire form and written to `out`,
 * whose gate opens when the decision is final. Runs on the request's own thread.
 *
 * Invariants: 1. The head is sent once, before the gate opens. 2. After the head nothing is
 * discarded: a failure is an error event and no closing mark.
 */
#include "sluice/request.h"

#include "pipeline.h"

/* What may wait behind the gate or for a slow client. A whole cached answer is written at once, so
 * this follows the cap of answers: framing of small pieces can triple them. */
#define STREAM_BYTES_PER_ANSWER_BYTE 4

enum sl_err sl_request_make_stream(struct sl_request *req)
{
    size_t bytes_max = STREAM_BYTES_PER_ANSWER_BYTE * req->router->config.answer_bytes_max;
    req->out = sl_out_create(bytes_max, req->wake, req->wake_ctx);
    return req->out != NULL ? SL_OK : SL_ERR_MEMORY;
}

/* On the listener's thread nobody else could make room: never wait there. */
static uint64_t write_deadline(const struct sl_request *req)
{
    return req->queued_ns != 0 ? req->deadline_ms : 0;
}

static enum sl_err write_bytes(struct sl_request *req, const struct sl_buf *bytes)
{
    if (bytes->len == 0)
        return SL_OK;
    return sl_out_write(req->out, sl_buf_slice(bytes), write_deadline(req));
}

enum sl_err sl_request_stream_delta(void *ctx, const struct sl_delta *delta)
{
    struct sl_request *req = ctx;
    struct sl_buf *scratch = &req->respond.body; /* a stream has no body of its own */
    sl_buf_reset(scratch);
    enum sl_err err = req->api->stream_delta(req, delta, scratch);
    return err == SL_OK ? write_bytes(req, scratch) : err;
}

void sl_request_open_stream(struct sl_request *req)
{
    if (req->respond.is_stream)
        return;
    req->decide.is_final = true;
    req->respond.is_stream = true;
    req->router->config.edge.respond_head(req);
    sl_out_open(req->out);
}

void sl_request_discard_stream(struct sl_request *req)
{
    if (req->out == NULL || req->respond.is_stream)
        return;
    sl_out_discard(req->out);
    req->api->stream_reset(req);
}

static void cut_stream(struct sl_request *req, const struct sl_error *error)
{
    struct sl_buf *scratch = &req->respond.body;
    sl_buf_reset(scratch);
    enum sl_err err = req->api->stream_error(req, error, scratch);
    if (err == SL_OK)
        err = write_bytes(req, scratch);
    /* A reset could overtake the error event, so the connection ends in order; what tells the
     * client is the event and the missing closing mark. */
    if (err == SL_OK)
        sl_out_end(req->out);
    else
        sl_out_abort(req->out);
}

void sl_request_finish_stream(struct sl_request *req)
{
    struct sl_error error = req->error;
    if (error.code == SL_OK && !req->respond.is_stream) {
        sl_request_open_stream(req);
        enum sl_err err = sl_answer_replay(req->answer, sl_request_stream_delta, req);
        if (err != SL_OK)
            sl_error_set(&error, err, NULL);
    }
    if (error.code == SL_OK) {
        struct sl_buf *scratch = &req->respond.body;
        sl_buf_reset(scratch);
        enum sl_err err = req->api->stream_end(req, scratch);
        if (err == SL_OK)
            err = write_bytes(req, scratch);
        if (err != SL_OK)
            sl_error_set(&error, err, NULL);
    }
    if (error.code != SL_OK)
        cut_stream(req, &error);
    else
        sl_out_end(req->out);
}
