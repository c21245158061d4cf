/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to the listener's files: http_server.c (life, sockets), http_head.c (reading a request's
 * head), http_exchange.c (one request on a socket), http_watch.c (what libmicrohttpd does not watch),
 * http_reply.c (responses).
 *
 * An exchange and its connection:
 *
 *     READING ──body whole──▶ WALKING ──done on this thread──────────▶ SENDING ──▶ completed
 *                                │                                        ▲
 *                                └─moved: SUSPENDED ──wake: resumed───────┘
 *                                             ▲                           │ a stream that would block
 *                                             └───────────────────────────┘
 *
 * Invariants: 1. `is_suspended` is true exactly while libmicrohttpd holds the connection suspended;
 * it changes under `lock`, so that a wake that comes before the suspend is not lost. 2. The exchange
 * lives in its request's (or call's) arena and outlives every wake. 3. Locks are taken in the order
 * watch lock, exchange lock; the socket list's lock is taken alone.
 */
#ifndef SLUICE_GATEWAY_HTTP_INTERNAL_H
#define SLUICE_GATEWAY_HTTP_INTERNAL_H

#include "http_server.h"

#include <microhttpd.h>
#include <pthread.h>

struct http_socket;
struct sl_idempotency_answer;

struct http_exchange {
    struct sl_http_server *server;
    struct MHD_Connection *connection;
    struct http_socket *socket;
    const struct sl_http_route *route; /* NULL: refused, see `refusal` */
    struct sl_arena *arena;
    struct sl_request *req;   /* of a chat; holds one reference */
    struct sl_http_call *call; /* of anything else */
    atomic_uint call_references; /* connection and worker */
    struct sl_error refusal;  /* code SL_OK: none; sent when the body was read */
    const char *allow;        /* methods, for 405 and OPTIONS */
    bool is_options;
    bool is_head;

    char *body;
    size_t body_len, body_capacity;
    bool is_body_unreadable; /* too large, or its length is in doubt: the connection ends */

    bool was_run;     /* walk or handler were started */
    bool is_watched;
    uint64_t watch_number; /* tells the watcher's events apart */
    struct http_exchange *watch_next, *watch_previous;

    pthread_mutex_t lock; /* guards the three below */
    bool is_suspended;
    bool has_woken;
    bool wants_ping;
    atomic_bool is_streaming; /* the head was queued */
    _Atomic uint64_t last_bytes_ms;

    struct sl_idempotency_ticket *ticket; /* of an Idempotency-Key, or NULL */
    atomic_bool is_follower;              /* waits for, or repeats, another's answer */
};

/* One accepted connection. */
struct http_socket {
    struct http_socket *next, *previous;
    int fd;
    bool is_loopback;
    char address[64];
    atomic_bool is_busy; /* between the head of a request and the end of its answer */
    _Atomic uint64_t deadline_ms; /* by when the client must have sent what is due; 0: nothing is */
};

struct http_watch;

struct sl_http_server {
    struct sl_http_config config;
    char url[128];
    bool is_public;
    bool is_tls;
    char *tls_cert, *tls_key; /* PEM, for as long as libmicrohttpd runs */
    int listen_fd;
    struct MHD_Daemon *daemon;
    struct http_watch *watch;
    atomic_bool is_draining;
    atomic_uint connections;
    pthread_mutex_t sockets_lock; /* guards the list */
    struct http_socket *sockets;
};

/* http_head.c */
const struct sl_http_route *http_route_find(const struct sl_http_config *config,
                                            const char *method, const char *path);
/* Methods that `path` has, as `Allow` wants them; NULL where the path is unknown. */
const char *http_allowed_methods(const struct sl_http_server *server, const char *path,
                                 struct sl_arena *arena);
enum sl_err http_read_headers(struct http_exchange *exchange, struct sl_request_input *input,
                              struct sl_error *error) SL_MUST_CHECK;
struct sl_slice http_input_header(const struct sl_request_input *input, const char *name);
bool http_is_framing_sound(const struct sl_request_input *input);
bool http_is_json_type(struct sl_slice type); /* also true for no type at all */
/* The client's x-request-id where it may be echoed, else a new one. `out`: 129 bytes. */
void http_set_request_id(const struct sl_request_input *input, char *out);
/* `a=1&b=2`, in the arena; NULL where there is none. */
const char *http_query_text(const struct http_exchange *exchange);

/* http_exchange.c */
enum MHD_Result http_on_request(void *server, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_data_size, void **exchange);
void http_on_completed(void *server, struct MHD_Connection *connection, void **exchange,
                       enum MHD_RequestTerminationCode code);
/* The wake function of requests: resumes the connection, or remembers. Any thread. */
void http_exchange_wake(void *exchange);
/* Suspends the connection unless a wake came meanwhile: then false, look again. Listener thread. */
bool http_exchange_suspend(struct http_exchange *exchange);

/* http_reply.c: each queues the response and returns what the access handler returns. */
enum MHD_Result http_reply_request(struct http_exchange *exchange);
enum MHD_Result http_reply_call(struct http_exchange *exchange);
enum MHD_Result http_reply_refusal(struct http_exchange *exchange);
enum MHD_Result http_reply_replay(struct http_exchange *exchange,
                                  const struct sl_idempotency_answer *answer);

/* http_watch.c */
struct http_watch *http_watch_start(struct sl_http_server *server);
void http_watch_stop(struct http_watch *watch);
/* Listener thread, before the first suspend. */
void http_watch_add(struct http_watch *watch, struct http_exchange *exchange);
void http_watch_remove(struct http_watch *watch, struct http_exchange *exchange);
/* Cancels every suspended exchange and wakes it. */
void http_watch_cancel_all(struct http_watch *watch);
size_t http_watch_count(struct http_watch *watch);

#endif
