/* SPDX-License-Identifier: Apache-2.0
 *
 * The transfer thread. Owns the curl multi handle, every easy handle from its start to its end, and
 * nothing of what the bytes mean. What one exchange is set up with and gives back is in
 * transfer_exchange.c.
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
 * most once (`is_inbound`). 4. `pending` never holds more than SL_TRANSFER_PENDING_MAX: a full one
 * pauses the exchange (flow control reaches the peer), and the next take lets it go on. 5. After
 * `is_done` the thread does not touch the transfer again.
 */
#include "transfer_private.h"

#include "sluice/clock.h"
#include "sluice/log.h"
#include "sluice/secret.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRANSFER_POLL_MS 1000 /* a belt: every wish comes with a curl_multi_wakeup */

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
void sl_transfer_inbox_ring(struct sl_transfer_inbox *inbox)
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

void sl_transfer_unref(struct sl_transfer *transfer)
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
bool sl_transfer_post(struct sl_transfer *transfer, bool *wish)
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
    transfer->pending.len_max = SL_TRANSFER_PENDING_MAX;
    *bytes = swap;
    bool was_paused = transfer->is_paused;
    transfer->is_paused = false;
    pthread_mutex_unlock(&transfer->inbox->lock);
    if (was_paused)
        sl_transfer_post(transfer, &transfer->wants_resume);
}

void sl_transfer_release(struct sl_transfer *transfer)
{
    if (transfer == NULL)
        return;
    pthread_mutex_lock(&transfer->inbox->lock);
    bool is_done = transfer->state.is_done;
    pthread_mutex_unlock(&transfer->inbox->lock);
    if (!is_done)
        sl_transfer_post(transfer, &transfer->wants_cancel);
    sl_transfer_unref(transfer);
}

/* ---- The thread ---- */

/* A handshake that the peer broke off has the same code as one that failed; these are libcurl's
 * words for it. Other words are taken as a failed handshake, which is not tried again. */
static bool is_hang_up(const char *text)
{
    static const char *const words[] = {
        "OpenSSL SSL_connect: ", "Recv failure: ", "Send failure: "};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strncmp(text, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

static enum sl_transfer_failure failure_of(CURLcode code, const struct sl_transfer_status *state,
                                           const char *text)
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
    case CURLE_SSL_CONNECT_ERROR:
        return is_hang_up(text) ? SL_TRANSFER_RESET : SL_TRANSFER_TLS;
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
    sl_transfer_inbox_ring(transfer->inbox);
    pthread_mutex_unlock(&transfer->inbox->lock);
    sl_transfer_unref(transfer);
}

static void hub_finish_with(struct sl_transfer_hub *hub, struct sl_transfer *transfer,
                            CURLcode code)
{
    struct sl_transfer_status state;
    sl_transfer_status(transfer, &state);
    const char *text =
        transfer->curl_error[0] != '\0' ? transfer->curl_error : curl_easy_strerror(code);
    hub_finish(hub, transfer, failure_of(code, &state, text), code == CURLE_OK ? "" : text);
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
        sl_transfer_unref(transfer);
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
