/* SPDX-License-Identifier: Apache-2.0
 *
 * The listener: sockets, HTTP and HTTPS, limits and deadlines, and the hand-over between sockets
 * and requests. It knows routes and requests, not what they mean. libmicrohttpd stays behind it.
 *
 *     struct sl_http_server *server;
 *     if (sl_http_server_start(&config, &server, &error) != SL_OK) ...
 *     printf("ready %s\n", sl_http_server_url(server));
 *     sl_http_server_quiesce(server);              // no new connections, keep-alives end
 *     sl_http_server_stop(server);
 *
 * Threads: a pool of listener threads and one watcher; handlers run on a listener thread unless
 * their route says that they block.
 */
#ifndef SLUICE_GATEWAY_HTTP_SERVER_H
#define SLUICE_GATEWAY_HTTP_SERVER_H

#include "sluice/router.h"

struct sl_http_server;
struct sl_idempotency;

/* A call that is no chat: the handler reads the first half and fills the second. Everything in it
 * lives until the reply was sent. */
struct sl_http_call {
    void *ctx; /* of the configuration */
    struct sl_arena *arena;
    struct sl_request_input input; /* method HEAD is given as GET */
    const char *path_rest;         /* of a prefix route: what follows the prefix */
    const char *query;             /* without "?"; NULL where there is none */
    bool is_loopback;              /* the peer is this machine and no proxy spoke for another */
    const char *request_id;

    int status; /* 200 unless set */
    const char *content_type; /* "application/json" unless set; NULL: no body */
    struct sl_buf body;
    struct sl_header headers[8];
    size_t header_count;
};
typedef void (*sl_http_handler_fn)(struct sl_http_call *call);

/* The value of a header without case; data NULL where absent. */
struct sl_slice sl_http_call_header(const struct sl_http_call *call, const char *name);
/* The raw value of a query parameter (no decoding: numbers and words); data NULL where absent. */
struct sl_slice sl_http_call_query(const struct sl_http_call *call, const char *name);
/* `name` is borrowed for ever, `value` copied. */
void sl_http_call_add_header(struct sl_http_call *call, const char *name, const char *value);
/* Sets status and an error body in OpenAI's envelope. */
void sl_http_call_fail(struct sl_http_call *call, const struct sl_error *error);
/* Sets the body to the compact text of `value`, and takes the reference. NULL: out of memory. */
void sl_http_call_json(struct sl_http_call *call, json_t *value);

struct sl_http_route {
    const char *method;
    const char *path;
    bool is_prefix;                /* `path` ends in "/" and any path below it fits */
    const struct sl_wire_api *api; /* a chat in this API, or NULL: */
    sl_http_handler_fn handler;
    bool is_blocking;              /* the handler runs on a worker */
    bool takes_any_type;           /* no demand on Content-Type */
};

struct sl_http_config {
    const char *listen;        /* ADDR:PORT, [ADDR6]:PORT, :PORT */
    const char *tls_cert_path; /* "": plain HTTP */
    const char *tls_key_path;
    const struct sl_http_route *routes; /* borrowed; the order is the order of trial */
    size_t route_count;
    struct sl_router *router;          /* borrowed */
    struct sl_idempotency *idempotency; /* borrowed; NULL: the header is ignored */
    void *ctx;
    uint32_t threads;
    uint32_t connections_max, connections_per_ip;
    size_t body_bytes_max;
    uint64_t header_ms, body_ms, idle_ms, ping_ms;
};

/* Errors: SL_ERR_INVALID (address), SL_ERR_IO (bind, certificate), SL_ERR_MEMORY. */
enum sl_err sl_http_server_start(const struct sl_http_config *config, struct sl_http_server **out,
                                 struct sl_error *error) SL_MUST_CHECK;
const char *sl_http_server_url(const struct sl_http_server *server);
/* Whether the address is reachable from other machines. */
bool sl_http_server_is_public(const struct sl_http_server *server);
/* The same question before a server exists. Errors: SL_ERR_INVALID. */
enum sl_err sl_http_listen_is_public(const char *listen, bool *out,
                                     struct sl_error *error) SL_MUST_CHECK;
uint32_t sl_http_server_connections(const struct sl_http_server *server);
/* Stops accepting; idle connections are closed, busy ones after their answer. */
void sl_http_server_quiesce(struct sl_http_server *server);
bool sl_http_server_is_draining(const struct sl_http_server *server);
/* Cancels what is still running, waits for it, closes every connection. NULL is fine. */
void sl_http_server_stop(struct sl_http_server *server);

#endif
