/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the transfers: transfer.c has the thread and the hand-over to callers, transfer_exchange.c
 * sets up one exchange and takes what libcurl gives it. The only files that know libcurl.
 */
#ifndef SLUICE_TRANSFER_PRIVATE_H
#define SLUICE_TRANSFER_PRIVATE_H

#include "transfer.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

/* Some of libcurl's largest write calls: enough that a caller which is scheduled late does not stop
 * a fast stream, small enough for hundreds of streams. */
#define SL_TRANSFER_PENDING_MAX (256u * 1024)

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

/* Under inbox->lock: there is something to look at. */
void sl_transfer_inbox_ring(struct sl_transfer_inbox *inbox);

/* Gives up one reference; the last one frees. */
void sl_transfer_unref(struct sl_transfer *transfer);

/* Puts the transfer on the inbound list with one more wish. False where the hub stops. */
bool sl_transfer_post(struct sl_transfer *transfer, bool *wish);

#endif
