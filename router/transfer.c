/* SPDX-License-Identifier: Apache-2.0
 *
 * The transfer thread. Owns the curl multi handle, every easy handle from its start to its end, and
 * nothing of what the bytes mean. <curl/curl.h> stays in this file.
 *
 * Why bytes and not events cross to the caller: parsing 200 streams on one thread would make each
 * wait for the others; the callers are worker threads that have nothing else to do.
 *
 * Threads: an easy handle is built by the caller, then touched by the transfer thread only. Callers
 * speak to the thread through `hub->inbound`, a list of transfers that want something, and
 * curl_multi_wakeup. The thread speaks to callers through the fields under the inbox's lock.
 *
 * Invariants: 1. A transfer has two references while it runs: the caller's and the thread's.
 * 2. `hub->lock` and `inbox->lock` are never held together. 3. A transfer is on the inbound list at
 * most once (`is_inbound`). 4. `pending` never holds more than TRANSFER_PENDING_MAX: a full one
 * pauses the exchange (flow control reaches the peer), and the next take lets it go on. 5. After
 * `is_done` the thread does not touch the transfer again.
 */
#include "transfer.h"

#include "sluice/clock.h"
#include "sluice/log.h"
#include "sluice/secret.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two of libcurl's largest write calls and some: enough that a caller which is scheduled late does
 * not stop a fast stream, small enough for hundreds of streams. */
#define TRANSFER_PENDING_MAX (256u * 1024)
#define TRANSFER_POLL_MS 1000 /* a wake-up always comes through curl_multi_wakeup; this is a belt  \
                               */

struct sl_transfer_inbox {
    pthread_mutex_t lock; /* guards has_news, and `state` and `pending` of its transfers */
    pthread_cond_t news;
    bool has_news;
    atomic_uint reference_count;
};

struct sl_transfer {
    struct sl_transfer_hub *hub;
    struct sl_transfer_inbox *inbox;
    atomic_uint reference_count;
    CURL *easy;                 /* the thread's, once started */
    struct curl_slist *headers; /* may hold a key: wiped */
    struct sl_buf body;
    char curl_error[CURL_ERROR_SIZE];
    size_t request_bytes;

    /* under inbox->lock */
    struct sl_transfer_status state;
    struct sl_buf pending;
    bool is_paused;

    /* under hub->lock */
    struct sl_transfer *inbound_next;
    bool is_inbound;
    bool wants_start;
    bool wants_resume;
    bool wants_cancel;

    /* the thread's */
    struct sl_transfer *active_prev;
    struct sl_transfer *active_next;
    bool is_active;
};

struct sl_transfer_hub {
    CURLM *multi;
    CURLSH *share; /* TLS sessions; connections and DNS are shared by the multi handle */
    pthread_t thread;
    pthread_mutex_t lock; /* guards inbound, is_stopping and the `wants_` of transfers */
    struct sl_transfer *inbound;
    bool is_stopping;
    struct sl_transfer *active; /* the thread's */
    char *ca_file;              /* for requests that name none; NULL: the system store */
};

/* ---- Inbox ---- */

struct sl_transfer_inbox *sl_transfer_inbox_create(void)
{
    struct sl_transfer_inbox *inbox = calloc(1, sizeof *inbox);
    if (inbox == NULL)
        return NULL;
    atomic_init(&inbox->reference_count, 1);
    pthread_mutex_init(&inbox->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&inbox->news, &attr);
    pthread_condattr_destroy(&attr);
    return inbox;
}

void sl_transfer_inbox_release(struct sl_transfer_inbox *inbox)
{
    if (inbox == NULL ||
        atomic_fetch_sub_explicit(&inbox->reference_count, 1, memory_order_acq_rel) != 1)
        return;
    pthread_cond_destroy(&inbox->news);
    pthread_mutex_destroy(&inbox->lock);
    free(inbox);
}

void sl_transfer_inbox_wait(struct sl_transfer_inbox *inbox, uint64_t until_ms)
{
    struct timespec until = sl_deadline_timespec(until_ms);
    pthread_mutex_lock(&inbox->lock);
    while (!inbox->has_news)
        if (pthread_cond_timedwait(&inbox->news, &inbox->lock, &until) != 0)
            break;
    inbox->has_news = false;
    pthread_mutex_unlock(&inbox->lock);
}

/* Under inbox->lock. */
static void inbox_ring(struct sl_transfer_inbox *inbox)
{
    inbox->has_news = true;
    pthread_cond_signal(&inbox->news);
}

/* ---- Life of a transfer ---- */

static void headers_free(struct curl_slist *headers)
{
    for (struct curl_slist *item = headers; item != NULL; item = item->next)
        sl_wipe(item->data, strlen(item->data));
    curl_slist_free_all(headers);
}

static void transfer_unref(struct sl_transfer *transfer)
{
    if (atomic_fetch_sub_explicit(&transfer->reference_count, 1, memory_order_acq_rel) != 1)
        return;
    if (transfer->easy != NULL)
        curl_easy_cleanup(transfer->easy);
    headers_free(transfer->headers);
    sl_buf_wipe(&transfer->body);
    sl_buf_wipe(&transfer->pending);
    sl_transfer_inbox_release(transfer->inbox);
    free(transfer);
}

/* Puts the transfer on the inbound list with one more wish. False where the hub stops. */
static bool hub_post(struct sl_transfer *transfer, bool *wish)
{
    struct sl_transfer_hub *hub = transfer->hub;
    pthread_mutex_lock(&hub->lock);
    bool is_accepted = !hub->is_stopping;
    if (is_accepted) {
        *wish = true;
        if (!transfer->is_inbound) {
            transfer->is_inbound = true;
            transfer->inbound_next = hub->inbound;
            hub->inbound = transfer;
            /* The list keeps the transfer alive until the thread has seen it. */
            atomic_fetch_add_explicit(&transfer->reference_count, 1, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&hub->lock);
    if (is_accepted)
        curl_multi_wakeup(hub->multi);
    return is_accepted;
}

void sl_transfer_status(struct sl_transfer *transfer, struct sl_transfer_status *out)
{
    pthread_mutex_lock(&transfer->inbox->lock);
    *out = transfer->state;
    pthread_mutex_unlock(&transfer->inbox->lock);
}

void sl_transfer_take(struct sl_transfer *transfer, struct sl_buf *bytes)
{
    assert(bytes->len == 0);
    pthread_mutex_lock(&transfer->inbox->lock);
    struct sl_buf swap = transfer->pending;
    transfer->pending = *bytes;
    transfer->pending.len_max = TRANSFER_PENDING_MAX;
    *bytes = swap;
    bool was_paused = transfer->is_paused;
    transfer->is_paused = false;
    pthread_mutex_unlock(&transfer->inbox->lock);
    if (was_paused)
        hub_post(transfer, &transfer->wants_resume);
}

void sl_transfer_release(struct sl_transfer *transfer)
{
    if (transfer == NULL)
        return;
    pthread_mutex_lock(&transfer->inbox->lock);
    bool is_done = transfer->state.is_done;
    pthread_mutex_unlock(&transfer->inbox->lock);
    if (!is_done)
        hub_post(transfer, &transfer->wants_cancel);
    transfer_unref(transfer);
}

/* ---- What libcurl calls, on the transfer thread ---- */

static size_t on_write(char *data, size_t size, size_t count, void *ctx)
{
    struct sl_transfer *transfer = ctx;
    size_t len = size * count; /* size is 1, says libcurl */
    size_t result = len;
    pthread_mutex_lock(&transfer->inbox->lock);
    if (transfer->pending.len + len > TRANSFER_PENDING_MAX) {
        transfer->is_paused = true;
        result = CURL_WRITEFUNC_PAUSE;
    } else if (sl_buf_append(&transfer->pending, data, len) != SL_OK) {
        result = CURL_WRITEFUNC_ERROR;
    } else {
        transfer->state.last_byte_at_ms = sl_monotonic_ms();
    }
    inbox_ring(transfer->inbox);
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
    inbox_ring(transfer->inbox);
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
            inbox_ring(transfer->inbox);
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
    sl_buf_init(&transfer->pending, TRANSFER_PENDING_MAX);
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
    if (!hub_post(transfer, &transfer->wants_start))
        err = sl_error_set(error, SL_ERR_SHUTDOWN, NULL);
out:
    sl_transfer_request_clear(request);
    if (err != SL_OK && transfer != NULL) {
        transfer_unref(transfer);
        transfer = NULL;
    }
    *out = transfer;
    return err;
}

/* ---- The thread ---- */

static enum sl_transfer_failure failure_of(CURLcode code, const struct sl_transfer_status *state)
{
    switch (code) {
    case CURLE_OK:
        return SL_TRANSFER_OK;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return SL_TRANSFER_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return SL_TRANSFER_CONNECT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
        /* A peer that hangs up in the handshake reads the same as one that cannot agree. */
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
        return SL_TRANSFER_TLS;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_WRITE_ERROR:
    case CURLE_FAILED_INIT:
        return SL_TRANSFER_LOCAL;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return state->is_connected ? SL_TRANSFER_RESET : SL_TRANSFER_CONNECT;
    default:
        return SL_TRANSFER_RESET;
    }
}

static void hub_activate(struct sl_transfer_hub *hub, struct sl_transfer *transfer)
{
    transfer->is_active = true;
    transfer->active_prev = NULL;
    transfer->active_next = hub->active;
    if (hub->active != NULL)
        hub->active->active_prev = transfer;
    hub->active = transfer;
    atomic_fetch_add_explicit(&transfer->reference_count, 1, memory_order_relaxed);
}

/* Takes the exchange out of libcurl, tells the caller, gives up the thread's reference. */
static void hub_finish(struct sl_transfer_hub *hub, struct sl_transfer *transfer,
                       enum sl_transfer_failure failure, const char *text)
{
    assert(transfer->is_active);
    if (transfer->active_prev != NULL)
        transfer->active_prev->active_next = transfer->active_next;
    else
        hub->active = transfer->active_next;
    if (transfer->active_next != NULL)
        transfer->active_next->active_prev = transfer->active_prev;
    transfer->is_active = false;
    curl_multi_remove_handle(hub->multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
    pthread_mutex_lock(&transfer->inbox->lock);
    transfer->state.is_done = true;
    transfer->state.failure = failure;
    snprintf(transfer->state.failure_text, sizeof transfer->state.failure_text, "%s", text);
    inbox_ring(transfer->inbox);
    pthread_mutex_unlock(&transfer->inbox->lock);
    transfer_unref(transfer);
}

static void hub_finish_with(struct sl_transfer_hub *hub, struct sl_transfer *transfer,
                            CURLcode code)
{
    struct sl_transfer_status state;
    sl_transfer_status(transfer, &state);
    const char *text =
        transfer->curl_error[0] != '\0' ? transfer->curl_error : curl_easy_strerror(code);
    hub_finish(hub, transfer, failure_of(code, &state), code == CURLE_OK ? "" : text);
}

static void hub_serve(struct sl_transfer_hub *hub, struct sl_transfer *transfer, bool starts,
                      bool resumes, bool cancels)
{
    if (starts) {
        hub_activate(hub, transfer);
        /* Here and not where the handle is built: the share counts its users without a lock. */
        curl_easy_setopt(transfer->easy, CURLOPT_SHARE, hub->share);
        CURLMcode code = curl_multi_add_handle(hub->multi, transfer->easy);
        if (code != CURLM_OK)
            hub_finish(hub, transfer, SL_TRANSFER_LOCAL, curl_multi_strerror(code));
    }
    if (cancels && transfer->is_active)
        hub_finish(hub, transfer, SL_TRANSFER_SHUTDOWN, "cancelled");
    else if (resumes && transfer->is_active)
        curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
}

/* Serves the wishes of callers. Returns false when the hub stops. */
static bool hub_take_inbound(struct sl_transfer_hub *hub)
{
    for (;;) {
        pthread_mutex_lock(&hub->lock);
        bool is_stopping = hub->is_stopping;
        struct sl_transfer *transfer = hub->inbound;
        bool starts = false, resumes = false, cancels = false;
        if (transfer != NULL) {
            hub->inbound = transfer->inbound_next;
            transfer->is_inbound = false;
            starts = transfer->wants_start;
            resumes = transfer->wants_resume;
            cancels = transfer->wants_cancel;
            transfer->wants_start = transfer->wants_resume = transfer->wants_cancel = false;
        }
        pthread_mutex_unlock(&hub->lock);
        if (transfer == NULL)
            return !is_stopping;
        hub_serve(hub, transfer, starts, resumes, cancels);
        transfer_unref(transfer);
    }
}

static void hub_reap(struct sl_transfer_hub *hub)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(hub->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        hub_finish_with(hub, (struct sl_transfer *)(void *)private, code);
    }
}

static void *hub_run(void *ctx)
{
    struct sl_transfer_hub *hub = ctx;
    pthread_setname_np(pthread_self(), "sl-transfer");
    while (hub_take_inbound(hub)) {
        int running;
        CURLMcode code = curl_multi_perform(hub->multi, &running);
        if (code != CURLM_OK)
            SL_LOG_ERROR("transfer", "curl_multi_perform: %s", curl_multi_strerror(code));
        hub_reap(hub);
        curl_multi_poll(hub->multi, NULL, 0, TRANSFER_POLL_MS, NULL);
    }
    while (hub->active != NULL)
        hub_finish(hub, hub->active, SL_TRANSFER_SHUTDOWN, "shutting down");
    return NULL;
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_once_result;

static void curl_start(void)
{
    curl_once_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static enum sl_err hub_open(struct sl_transfer_hub *hub, uint32_t connections_max)
{
    pthread_once(&curl_once, curl_start);
    if (curl_once_result != CURLE_OK)
        return SL_ERR_INTERNAL;
    hub->multi = curl_multi_init();
    hub->share = curl_share_init();
    if (hub->multi == NULL || hub->share == NULL)
        return SL_ERR_MEMORY;
    /* Only the transfer thread uses the share, so it needs no locks. */
    curl_share_setopt(hub->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(hub->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(hub->multi, CURLMOPT_MAXCONNECTS, (long)connections_max);
    return SL_OK;
}

static void hub_close(struct sl_transfer_hub *hub)
{
    if (hub->multi != NULL)
        curl_multi_cleanup(hub->multi);
    if (hub->share != NULL)
        curl_share_cleanup(hub->share);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

enum sl_err sl_transfer_hub_create(uint32_t connections_max, struct sl_transfer_hub **out,
                                   struct sl_error *error)
{
    *out = NULL;
    struct sl_transfer_hub *hub = calloc(1, sizeof *hub);
    if (hub == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    pthread_mutex_init(&hub->lock, NULL);
    enum sl_err err = hub_open(hub, connections_max);
    if (err == SL_OK && pthread_create(&hub->thread, NULL, hub_run, hub) != 0)
        err = SL_ERR_MEMORY;
    if (err != SL_OK) {
        hub_close(hub);
        return sl_error_set(error, err, "the transfer thread could not be started");
    }
    *out = hub;
    return SL_OK;
}

void sl_transfer_hub_stop(struct sl_transfer_hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    hub->is_stopping = true;
    pthread_mutex_unlock(&hub->lock);
    curl_multi_wakeup(hub->multi);
}

bool sl_transfer_hub_trust(struct sl_transfer_hub *hub, const char *ca_file)
{
    hub->ca_file = strdup(ca_file);
    return hub->ca_file != NULL;
}

void sl_transfer_hub_free(struct sl_transfer_hub *hub)
{
    if (hub == NULL)
        return;
    sl_transfer_hub_stop(hub);
    pthread_join(hub->thread, NULL);
    free(hub->ca_file);
    hub_close(hub);
}
