/* SPDX-License-Identifier: Apache-2.0
 *
 * One exchange: the options that libcurl gets, and what libcurl gives back while it runs. The
 * thread that runs it is in transfer.c.
 *
 * Threads: an exchange is set up on its caller's thread; the callbacks run on the transfer thread
 * and pass on what they get under the inbox's lock.
 */
#include "transfer_private.h"

#include "sluice/clock.h"
#include "sluice/secret.h"

#include <stdlib.h>
#include <string.h>

/* ---- What libcurl calls, on the transfer thread ---- */

static size_t on_write(char *data, size_t size, size_t count, void *ctx)
{
    struct sl_transfer *transfer = ctx;
    size_t len = size * count; /* size is 1, says libcurl */
    size_t result = len;
    pthread_mutex_lock(&transfer->inbox->lock);
    if (transfer->pending.len + len > SL_TRANSFER_PENDING_MAX) {
        transfer->is_paused = true;
        result = CURL_WRITEFUNC_PAUSE;
    } else if (sl_buf_append(&transfer->pending, data, len) != SL_OK) {
        result = CURL_WRITEFUNC_ERROR;
    } else {
        transfer->state.last_byte_at_ms = sl_monotonic_ms();
    }
    sl_transfer_inbox_ring(transfer->inbox);
    pthread_mutex_unlock(&transfer->inbox->lock);
    return result;
}

static int on_ready_to_send(void *ctx, char *peer, char *local, int peer_port, int local_port)
{
    (void)peer;
    (void)local;
    (void)peer_port;
    (void)local_port;
    struct sl_transfer *transfer = ctx;
    pthread_mutex_lock(&transfer->inbox->lock);
    transfer->state.is_connected = true;
    transfer->state.connected_at_ms = sl_monotonic_ms();
    transfer->state.bytes_sent = transfer->request_bytes;
    sl_transfer_inbox_ring(transfer->inbox);
    pthread_mutex_unlock(&transfer->inbox->lock);
    return CURL_PREREQFUNC_OK;
}

bool sl_retry_after_parse(struct sl_slice value, int64_t wall_seconds, uint32_t *out_ms)
{
    char text[64];
    if (value.len == 0 || value.len >= sizeof text)
        return false;
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0') {
        time_t at = curl_getdate(text, NULL);
        if (at == (time_t)-1)
            return false;
        seconds = (double)((int64_t)at - wall_seconds);
    }
    if (!(seconds > 0)) /* in the past, negative, not a number: now */
        seconds = 0;
    *out_ms = seconds > 86400 ? 86400u * 1000 : (uint32_t)(seconds * 1000);
    return true;
}

/* Splits "Name: value\r\n"; false where the line is no header. */
static bool header_split(const char *data, size_t len, struct sl_slice *name,
                         struct sl_slice *value)
{
    const char *colon = memchr(data, ':', len);
    if (colon == NULL)
        return false;
    *name = (struct sl_slice){data, (size_t)(colon - data)};
    const char *start = colon + 1;
    const char *end = data + len;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    *value = (struct sl_slice){start, (size_t)(end - start)};
    return true;
}

static bool media_type_is(struct sl_slice value, const char *type)
{
    size_t len = strlen(type);
    return value.len >= len && strncasecmp(value.data, type, len) == 0 &&
           (value.len == len || value.data[len] == ';' || value.data[len] == ' ');
}

/* Under inbox->lock. */
static void note_header(struct sl_transfer_status *state, struct sl_slice name,
                        struct sl_slice value)
{
    uint32_t ms;
    if (sl_slice_equal_nocase(name, SL_SLICE("content-type"))) {
        state->is_json = media_type_is(value, "application/json");
        state->is_event_stream = media_type_is(value, "text/event-stream");
    } else if (sl_slice_equal_nocase(name, SL_SLICE("retry-after-ms"))) {
        if (sl_retry_after_parse(value, 0, &ms)) {
            state->has_retry_after = true;
            state->retry_after_ms = ms / 1000;
        }
    } else if (sl_slice_equal_nocase(name, SL_SLICE("retry-after"))) {
        if (!state->has_retry_after && sl_retry_after_parse(value, sl_wall_seconds(), &ms)) {
            state->has_retry_after = true;
            state->retry_after_ms = ms;
        }
    } else if (sl_slice_equal_nocase(name, SL_SLICE("x-should-retry"))) {
        state->forbids_retry = sl_slice_equal_nocase(value, SL_SLICE("false"));
    }
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct sl_transfer *transfer = ctx;
    size_t len = size * count;
    struct sl_slice name, value;
    pthread_mutex_lock(&transfer->inbox->lock);
    if (len <= 2 && !transfer->state.has_head) { /* the empty line that ends a head */
        long status = 0;
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 200) { /* 1xx heads come before the real one */
            transfer->state.http_status = (int)status;
            transfer->state.has_head = true;
            transfer->state.last_byte_at_ms = sl_monotonic_ms();
            sl_transfer_inbox_ring(transfer->inbox);
        }
    } else if (header_split(data, len, &name, &value)) {
        note_header(&transfer->state, name, value);
    }
    pthread_mutex_unlock(&transfer->inbox->lock);
    return len;
}

/* ---- Starting ---- */

static bool set_security_options(CURL *easy, const struct sl_transfer_request *request,
                                 const char *ca_file_default)
{
    const char *ca_file = request->ca_file != NULL ? request->ca_file : ca_file_default;
    bool is_fine = true;
    is_fine &= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http") == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_SSLVERSION,
                                request->demands_tls13 ? (long)CURL_SSLVERSION_TLSv1_3
                                                       : (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    /* "" turns off the environment's proxy variables: where bytes go is the policy's to say. */
    is_fine &= curl_easy_setopt(easy, CURLOPT_PROXY,
                                request->proxy != NULL ? request->proxy : "") == CURLE_OK;
    if (ca_file != NULL) {
        is_fine &= curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file) == CURLE_OK;
        is_fine &= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    }
    if (request->pinned_public_key != NULL)
        is_fine &=
            curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, request->pinned_public_key) == CURLE_OK;
    return is_fine;
}

static bool set_exchange_options(struct sl_transfer *transfer,
                                 const struct sl_transfer_request *request)
{
    CURL *easy = transfer->easy;
    bool is_fine = true;
    is_fine &= curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->curl_error) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                                (long)request->connect_timeout_ms) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                                request->offers_http2 ? (long)CURL_HTTP_VERSION_2TLS
                                                      : (long)CURL_HTTP_VERSION_1_1) == CURLE_OK;
    if (request->user_agent != NULL)
        is_fine &= curl_easy_setopt(easy, CURLOPT_USERAGENT, request->user_agent) == CURLE_OK;
    if (request->is_connect_only)
        return is_fine && curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK;

    /* Streams to one host share a connection as soon as the first handshake says HTTP/2. */
    is_fine &=
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, request->offers_http2 ? 1L : 0L) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                transfer->body.data != NULL ? transfer->body.data : "") == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                (curl_off_t)transfer->body.len) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_ready_to_send) == CURLE_OK;
    is_fine &= curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer) == CURLE_OK;
    return is_fine;
}

static bool append_header(struct sl_transfer *transfer, const char *line)
{
    struct curl_slist *grown = curl_slist_append(transfer->headers, line);
    if (grown == NULL)
        return false;
    transfer->headers = grown;
    transfer->request_bytes += strlen(line) + 2;
    return true;
}

static bool copy_headers(struct sl_transfer *transfer, const struct sl_transfer_request *request)
{
    /* No "Expect: 100-continue": it costs a round trip and some providers never answer it. */
    bool is_fine = append_header(transfer, "Expect:");
    for (size_t i = 0; i < request->header_count && is_fine; i++)
        is_fine = append_header(transfer, request->headers[i].data);
    return is_fine;
}

void sl_transfer_request_clear(struct sl_transfer_request *request)
{
    for (size_t i = 0; i < SL_TRANSFER_HEADERS_MAX; i++)
        sl_buf_wipe(&request->headers[i]);
    request->header_count = 0;
    sl_buf_wipe(&request->body);
}

static struct sl_transfer *transfer_create(struct sl_transfer_hub *hub,
                                           struct sl_transfer_inbox *inbox)
{
    struct sl_transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL)
        return NULL;
    transfer->hub = hub;
    transfer->inbox = inbox;
    atomic_fetch_add_explicit(&inbox->reference_count, 1, memory_order_relaxed);
    atomic_init(&transfer->reference_count, 1);
    sl_buf_init(&transfer->pending, SL_TRANSFER_PENDING_MAX);
    transfer->easy = curl_easy_init();
    return transfer;
}

enum sl_err sl_transfer_start(struct sl_transfer_hub *hub, struct sl_transfer_request *request,
                              struct sl_transfer_inbox *inbox, struct sl_transfer **out,
                              struct sl_error *error)
{
    enum sl_err err = SL_OK;
    struct sl_transfer *transfer = transfer_create(hub, inbox);
    if (transfer == NULL || transfer->easy == NULL || !copy_headers(transfer, request)) {
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
        goto out;
    }
    transfer->body = request->body;
    request->body = (struct sl_buf){.len_max = transfer->body.len_max};
    transfer->request_bytes += strlen(request->url) + transfer->body.len;
    if (!set_security_options(transfer->easy, request, transfer->hub->ca_file) ||
        !set_exchange_options(transfer, request)) {
        err = sl_error_set(error, SL_ERR_INVALID, "libcurl refuses an option of this provider");
        goto out;
    }
    if (!sl_transfer_post(transfer, &transfer->wants_start))
        err = sl_error_set(error, SL_ERR_SHUTDOWN, NULL);
out:
    sl_transfer_request_clear(request);
    if (err != SL_OK && transfer != NULL) {
        sl_transfer_unref(transfer);
        transfer = NULL;
    }
    *out = transfer;
    return err;
}
