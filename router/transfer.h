/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP exchanges: one thread with one libcurl multi handle moves the bytes of all of them, with
 * shared connections, HTTP/2 and TLS sessions. Callers start an exchange, wait on their inbox, take
 * what has come, and parse it on their own thread.
 *
 *     struct sl_transfer_inbox *inbox = sl_transfer_inbox_create();
 *     sl_transfer_start(hub, &request, inbox, &transfer, &error);
 *     while (!status.is_done) {
 *         sl_transfer_inbox_wait(inbox, now + 50);
 *         sl_transfer_status(transfer, &status);
 *         sl_transfer_take(transfer, &bytes);
 *     }
 *     sl_transfer_release(transfer);
 *     sl_transfer_inbox_release(inbox);
 *
 * Timeouts, but for the connect timeout, are the caller's: it knows what an event is.
 */
#ifndef SLUICE_TRANSFER_H
#define SLUICE_TRANSFER_H

#include "sluice/buf.h"
#include "sluice/err.h"

#include <stdint.h>

struct sl_transfer_hub;
struct sl_transfer;
struct sl_transfer_inbox;

#define SL_TRANSFER_HEADERS_MAX 12

/* ---- The hub ---- */

/* `connections_max`: idle connections kept. Starts the thread. */
enum sl_err sl_transfer_hub_create(uint32_t connections_max, struct sl_transfer_hub **out,
                                   struct sl_error *error) SL_MUST_CHECK;
/* Requests that name no CA file of their own trust this one (PEM; copied) in place of the system
 * store. Before the first start. false: out of memory. */
bool sl_transfer_hub_trust(struct sl_transfer_hub *hub, const char *ca_file) SL_MUST_CHECK;
/* Ends all running exchanges with SL_TRANSFER_SHUTDOWN; later starts fail. Any thread. */
void sl_transfer_hub_stop(struct sl_transfer_hub *hub);
/* Stops, joins, frees. Every transfer must have been released. NULL is fine. */
void sl_transfer_hub_free(struct sl_transfer_hub *hub);

/* ---- Waiting ---- */

/* What a caller waits on: news of any of its exchanges. Counted; one caller each. */
struct sl_transfer_inbox *sl_transfer_inbox_create(void);
void sl_transfer_inbox_release(struct sl_transfer_inbox *inbox);
/* Returns when there was news since the last wait, or at the monotonic time. */
void sl_transfer_inbox_wait(struct sl_transfer_inbox *inbox, uint64_t until_ms);

/* ---- One exchange ---- */

/* Text is copied, `body` and `headers` are taken (emptied), so all may be wiped at once. */
struct sl_transfer_request {
    const char *url;
    struct sl_buf headers[SL_TRANSFER_HEADERS_MAX]; /* "Name: value", NUL-terminated */
    size_t header_count;
    struct sl_buf body;
    const char *user_agent;
    const char *ca_file;
    const char *pinned_public_key;
    const char *proxy;
    bool demands_tls13;
    bool offers_http2;
    uint32_t connect_timeout_ms;
    bool is_connect_only; /* opens and verifies the connection and sends nothing */
};
void sl_transfer_request_clear(struct sl_transfer_request *request); /* wipes */

enum sl_transfer_failure {
    SL_TRANSFER_OK,
    SL_TRANSFER_CONNECT,         /* DNS, TCP, proxy */
    SL_TRANSFER_CONNECT_TIMEOUT, /* of the whole connect: DNS, TCP, TLS */
    SL_TRANSFER_TLS,             /* certificate, pin, version, handshake */
    SL_TRANSFER_RESET,           /* ended by the peer before the response was whole */
    SL_TRANSFER_SHUTDOWN,
    SL_TRANSFER_LOCAL /* memory and the like */
};

struct sl_transfer_status {
    bool is_connected;        /* the request is being sent on a verified connection */
    uint64_t connected_at_ms; /* monotonic */
    int http_status;          /* 0 until the final head has come */
    bool has_head;
    bool is_json;         /* Content-Type: application/json */
    bool is_event_stream; /* Content-Type: text/event-stream */
    bool has_retry_after;
    uint32_t retry_after_ms; /* from Retry-After (seconds or date) or retry-after-ms */
    bool forbids_retry;      /* x-should-retry: false */
    uint64_t last_byte_at_ms;
    uint64_t bytes_sent; /* 0 until connected; then head and body in full, sent or about to be */
    bool is_done;
    enum sl_transfer_failure failure; /* when done */
    char failure_text[160];           /* libcurl's words: host and cause, never content */
};

/* Errors: SL_ERR_MEMORY, SL_ERR_SHUTDOWN, SL_ERR_INVALID (an option that libcurl refuses, e.g. an
 * unreadable pin). The request is emptied, whatever is returned. */
enum sl_err sl_transfer_start(struct sl_transfer_hub *hub, struct sl_transfer_request *request,
                              struct sl_transfer_inbox *inbox, struct sl_transfer **out,
                              struct sl_error *error) SL_MUST_CHECK;
void sl_transfer_status(struct sl_transfer *transfer, struct sl_transfer_status *out);
/* Swaps what has come of the body into *bytes, which must be empty (its memory is reused). Reading
 * lets the peer go on where it was held back. */
void sl_transfer_take(struct sl_transfer *transfer, struct sl_buf *bytes);
/* Gives up the caller's reference; an exchange that still runs is cancelled, which closes its
 * stream at the provider. NULL is fine. */
void sl_transfer_release(struct sl_transfer *transfer);

/* Milliseconds that a Retry-After value asks for: delay seconds (fractions allowed) or an HTTP
 * date, relative to `wall_seconds`. False where it is neither. */
bool sl_retry_after_parse(struct sl_slice value, int64_t wall_seconds, uint32_t *out_ms);

#endif
