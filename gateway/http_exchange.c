/* SPDX-License-Identifier: Apache-2.0
 *
 * One request on a socket, from its head to its last byte: takes the body within its cap, hands the
 * request to the router or the call to its handler, and suspends the connection while a worker
 * works. Reading heads is http_head.c's, responses are http_reply.c's.
 *
 * Everything here runs on the connection's listener thread, but `http_exchange_wake`, which comes
 * from workers. The exchange lives in the arena of its request, so a worker that finishes after the
 * client left still finds it.
 */
#include "http_internal.h"

#include "idempotency.h"
#include "sluice/clock.h"
#include "sluice/log.h"
#include "sluice/secret.h"

#include <stdio.h>
#include <stdlib.h>

#define CALL_BYTES_MAX (1u << 20)   /* arena of a call that is no chat: headers, path, query */
#define REPLY_BYTES_MAX (64u << 20) /* of such a call: metrics, explain, exports of the dashboard */
#define BODY_SLACK_BYTES (1u << 20) /* read and thrown away past the cap, so a 413 can be sent */
#define BODY_BYTES_PER_MS 16        /* a body may take this much longer: 16 kB/s is a slow client */

/* ---- wake and suspend ---- */

void http_exchange_wake(void *ctx)
{
    struct http_exchange *exchange = ctx;
    pthread_mutex_lock(&exchange->lock);
    if (exchange->is_suspended) {
        exchange->is_suspended = false;
        MHD_resume_connection(exchange->connection);
    } else {
        exchange->has_woken = true;
    }
    pthread_mutex_unlock(&exchange->lock);
}

bool http_exchange_suspend(struct http_exchange *exchange)
{
    if (!exchange->is_watched)
        http_watch_add(exchange->server->watch, exchange);
    pthread_mutex_lock(&exchange->lock);
    bool must_wait = !exchange->has_woken;
    exchange->has_woken = false;
    if (must_wait) {
        exchange->is_suspended = true;
        MHD_suspend_connection(exchange->connection);
    }
    pthread_mutex_unlock(&exchange->lock);
    return must_wait;
}

/* ---- birth ---- */

static struct http_exchange *exchange_of_chat(struct sl_http_server *server,
                                              const struct sl_http_route *route)
{
    struct sl_request *req =
        sl_request_create(server->config.router, route->api, http_exchange_wake, NULL);
    if (req == NULL)
        return NULL;
    struct http_exchange *exchange = sl_arena_zalloc(req->arena, 1, sizeof *exchange);
    if (exchange == NULL) {
        sl_request_release(req);
        return NULL;
    }
    exchange->req = req;
    exchange->arena = req->arena;
    req->wake_ctx = exchange;
    return exchange;
}

static struct http_exchange *exchange_of_call(struct sl_http_server *server)
{
    struct sl_arena *arena = sl_arena_create_wiped(CALL_BYTES_MAX + server->config.body_bytes_max);
    struct http_exchange *exchange =
        arena != NULL ? sl_arena_zalloc(arena, 1, sizeof *exchange) : NULL;
    struct sl_http_call *call =
        exchange != NULL ? sl_arena_zalloc(arena, 1, sizeof *call) : NULL;
    if (call == NULL) {
        sl_arena_free(arena);
        return NULL;
    }
    exchange->arena = arena;
    exchange->call = call;
    atomic_init(&exchange->call_references, 1);
    *call = (struct sl_http_call){.ctx = server->config.ctx,
                                  .arena = arena,
                                  .status = 200,
                                  .content_type = "application/json"};
    sl_buf_init(&call->body, REPLY_BYTES_MAX);
    return exchange;
}

static void call_release(struct http_exchange *exchange)
{
    if (atomic_fetch_sub_explicit(&exchange->call_references, 1, memory_order_acq_rel) != 1)
        return;
    sl_buf_wipe(&exchange->call->body);
    sl_arena_free(exchange->arena);
}

static void exchange_release(struct http_exchange *exchange)
{
    if (exchange->req != NULL)
        sl_request_release(exchange->req);
    else
        call_release(exchange);
}

static struct http_socket *socket_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

/* A peer on this machine for which nobody speaks: a proxy on the same box says for whom it asks,
 * and its clients are not loopback. */
static bool is_from_loopback(const struct http_exchange *exchange,
                             const struct sl_request_input *input)
{
    return exchange->socket->is_loopback && http_input_header(input, "x-forwarded-for").data == NULL &&
           http_input_header(input, "forwarded").data == NULL;
}

static enum sl_err fill_input(struct http_exchange *exchange, const char *url, const char *method,
                              struct sl_request_input *input, struct sl_error *error)
{
    enum sl_err err = http_read_headers(exchange, input, error);
    input->path = sl_arena_dup(exchange->arena, sl_slice_of(url));
    input->method = sl_arena_dup(exchange->arena, sl_slice_of(method));
    input->remote_address = sl_arena_dup(exchange->arena, sl_slice_of(exchange->socket->address));
    if (input->path == NULL || input->method == NULL || input->remote_address == NULL) {
        input->path = input->method = input->remote_address = "";
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    if (err != SL_OK)
        return err;
    exchange->is_body_unreadable = !http_is_framing_sound(input);
    if (exchange->is_body_unreadable)
        return sl_error_set(error, SL_ERR_INVALID,
                            "expected one Content-Length with a number or one "
                            "\"Transfer-Encoding: chunked\"");
    return SL_OK;
}

/* What is wrong with the head, as far as the route says. */
static enum sl_err check_head(struct http_exchange *exchange, const struct sl_request_input *input,
                              struct sl_error *error)
{
    const struct sl_http_server *server = exchange->server;
    if (exchange->route == NULL) {
        exchange->allow = http_allowed_methods(server, input->path, exchange->arena);
        exchange->is_options = exchange->allow != NULL && strcmp(input->method, "OPTIONS") == 0;
        if (exchange->is_options)
            return SL_OK;
        if (exchange->allow != NULL)
            return sl_error_set(error, SL_ERR_METHOD, "%.16s is not allowed here; allowed: %s",
                                input->method, exchange->allow);
        return sl_error_set(error, SL_ERR_NOT_FOUND, "no such path: %.16s %.128s", input->method,
                            input->path);
    }
    if (strcmp(input->method, "POST") == 0 && !exchange->route->takes_any_type &&
        !http_is_json_type(http_input_header(input, "content-type")))
        return sl_error_set(error, SL_ERR_MEDIA_TYPE,
                            "expected Content-Type: application/json");
    return SL_OK;
}

/* Room for the body: exactly what Content-Length says, or what chunks need as they come. */
static enum sl_err reserve_body(struct http_exchange *exchange,
                                const struct sl_request_input *input, struct sl_error *error)
{
    const struct sl_http_server *server = exchange->server;
    struct sl_slice given = http_input_header(input, "content-length");
    uint64_t len = given.data != NULL ? strtoull(given.data, NULL, 10) : 0;
    if (len > server->config.body_bytes_max) {
        exchange->is_body_unreadable = true;
        return sl_error_set(error, SL_ERR_LIMIT,
                            "the body of %llu bytes is larger than the limit of %zu",
                            (unsigned long long)len, server->config.body_bytes_max);
    }
    if (len > 0) {
        exchange->body = sl_arena_alloc(exchange->arena, len + 1);
        exchange->body_capacity = exchange->body != NULL ? len : 0;
        if (exchange->body == NULL)
            return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    return SL_OK;
}

static void set_body_deadline(struct http_exchange *exchange, bool has_body)
{
    uint64_t deadline = 0;
    if (has_body)
        deadline = sl_monotonic_ms() + exchange->server->config.body_ms +
                   exchange->body_capacity / BODY_BYTES_PER_MS;
    atomic_store_explicit(&exchange->socket->deadline_ms, deadline, memory_order_relaxed);
}

static struct sl_request_input *exchange_input(struct http_exchange *exchange)
{
    return exchange->req != NULL ? &exchange->req->input : &exchange->call->input;
}

/* The first call for a request: its head is there. */
static enum MHD_Result begin(struct sl_http_server *server, struct MHD_Connection *connection,
                             const char *url, const char *method, void **out)
{
    bool is_head = strcmp(method, "HEAD") == 0;
    if (is_head)
        method = "GET";
    const struct sl_http_route *route = http_route_find(&server->config, method, url);
    struct http_exchange *exchange = route != NULL && route->api != NULL
                                         ? exchange_of_chat(server, route)
                                         : exchange_of_call(server);
    if (exchange == NULL)
        return MHD_NO; /* nothing left to answer with */
    *out = exchange;
    exchange->server = server;
    exchange->connection = connection;
    exchange->socket = socket_of(connection);
    atomic_store_explicit(&exchange->socket->is_busy, true, memory_order_relaxed);
    exchange->route = route;
    exchange->is_head = is_head;
    pthread_mutex_init(&exchange->lock, NULL);
    struct sl_request_input *input = exchange_input(exchange);
    struct sl_error *refusal = &exchange->refusal;
    if (fill_input(exchange, url, method, input, refusal) == SL_OK &&
        reserve_body(exchange, input, refusal) == SL_OK)
        (void)check_head(exchange, input, refusal);
    if (exchange->req != NULL) {
        http_set_request_id(input, exchange->req->id);
        exchange->req->input.is_loopback = is_from_loopback(exchange, input);
    } else {
        char id[129];
        http_set_request_id(input, id);
        exchange->call->request_id = sl_arena_dup(exchange->arena, sl_slice_of(id));
        exchange->call->is_loopback = is_from_loopback(exchange, input);
        exchange->call->query = http_query_text(exchange);
        if (route != NULL && route->is_prefix)
            exchange->call->path_rest = input->path + strlen(route->path);
    }
    bool has_body = exchange->body_capacity > 0 ||
                    http_input_header(input, "transfer-encoding").data != NULL;
    set_body_deadline(exchange, has_body);
    /* A body past the cap, or of unknown length, is not read at all; other refusals wait for the
     * body, so that the connection can be used again. */
    if (exchange->is_body_unreadable || refusal->code == SL_ERR_MEMORY)
        return http_reply_refusal(exchange);
    return MHD_YES;
}

/* ---- the body ---- */

/* Room for `extra` more bytes of a chunked body; doubles, within the cap. */
static bool grow_body(struct http_exchange *exchange, size_t extra)
{
    size_t need = exchange->body_len + extra;
    size_t capacity = exchange->body_capacity > 0 ? 2 * exchange->body_capacity : 4096;
    if (capacity < need)
        capacity = need;
    if (capacity > exchange->server->config.body_bytes_max)
        capacity = exchange->server->config.body_bytes_max;
    char *body = sl_arena_alloc(exchange->arena, capacity + 1);
    if (body == NULL) {
        sl_error_set(&exchange->refusal, SL_ERR_MEMORY, NULL);
        return false;
    }
    if (exchange->body_len > 0)
        memcpy(body, exchange->body, exchange->body_len);
    exchange->body = body;
    exchange->body_capacity = capacity;
    return true;
}

static enum MHD_Result take_body(struct http_exchange *exchange, const char *data, size_t *size)
{
    size_t len = *size;
    size_t cap = exchange->server->config.body_bytes_max;
    *size = 0;
    if (exchange->body_len + len > cap) {
        if (exchange->refusal.code != SL_ERR_LIMIT)
            sl_error_set(&exchange->refusal, SL_ERR_LIMIT, "the body is larger than the limit of %zu",
                         cap);
        exchange->body_len += len; /* counted, not kept */
        return exchange->body_len > cap + BODY_SLACK_BYTES ? MHD_NO : MHD_YES;
    }
    if (exchange->refusal.code != SL_OK) {
        exchange->body_len += len;
        return MHD_YES;
    }
    if (exchange->body_len + len > exchange->body_capacity && !grow_body(exchange, len))
        return MHD_YES;
    memcpy(exchange->body + exchange->body_len, data, len);
    exchange->body_len += len;
    return MHD_YES;
}

/* ---- the work ---- */

static void run_blocking(void *ctx)
{
    struct http_exchange *exchange = ctx;
    exchange->route->handler(exchange->call);
    http_exchange_wake(exchange);
    call_release(exchange);
}

static enum MHD_Result run_call(struct http_exchange *exchange)
{
    if (!exchange->route->is_blocking) {
        exchange->route->handler(exchange->call);
        return http_reply_call(exchange);
    }
    atomic_fetch_add(&exchange->call_references, 1);
    enum sl_err err = sl_router_run(exchange->server->config.router, run_blocking, exchange);
    if (err != SL_OK) {
        call_release(exchange);
        sl_error_set(&exchange->refusal, err, NULL);
        return http_reply_refusal(exchange);
    }
    return http_exchange_suspend(exchange) ? MHD_YES : http_reply_call(exchange);
}

static enum MHD_Result walk_chat(struct http_exchange *exchange)
{
    enum sl_walk walk = sl_router_walk(exchange->server->config.router, exchange->req);
    if (walk == SL_WALK_MOVED && http_exchange_suspend(exchange))
        return MHD_YES;
    return http_reply_request(exchange);
}

/* A retry that found its answer, or waited for it. Without one it walks like any other. */
static enum MHD_Result follow_chat(struct http_exchange *exchange)
{
    while (sl_idempotency_is_pending(exchange->ticket)) {
        if (atomic_load(&exchange->req->is_cancelled)) {
            sl_error_set(&exchange->refusal, SL_ERR_CANCELLED, NULL);
            return http_reply_refusal(exchange);
        }
        if (http_exchange_suspend(exchange))
            return MHD_YES;
    }
    struct sl_idempotency_answer answer;
    if (sl_idempotency_result(exchange->ticket, &answer))
        return http_reply_replay(exchange, &answer);
    sl_idempotency_release(exchange->ticket);
    exchange->ticket = NULL;
    exchange->is_follower = false;
    return walk_chat(exchange);
}

/* A chat with an Idempotency-Key: the first walks, the others wait for it or get what it got. */
static enum MHD_Result claim_chat(struct http_exchange *exchange, struct sl_slice key)
{
    const struct sl_request_input *input = &exchange->req->input;
    struct sl_idempotency_claim claim = {
        .scope = http_input_header(input, "authorization"),
        .path = sl_slice_of(input->path),
        .key = key,
        .body = input->body,
        .now_ms = sl_monotonic_ms(),
        .wake = http_exchange_wake,
        .wake_ctx = exchange,
    };
    if (claim.scope.data == NULL)
        claim.scope = http_input_header(input, "x-api-key");
    if (claim.scope.data == NULL && !input->is_loopback)
        return walk_chat(exchange); /* to its 401 */
    switch (sl_idempotency_claim(exchange->server->config.idempotency, &claim, &exchange->ticket)) {
    case SL_IDEMPOTENCY_CONFLICT:
        sl_error_set(&exchange->refusal, SL_ERR_CONFLICT, NULL);
        return http_reply_refusal(exchange);
    case SL_IDEMPOTENCY_DONE:
    case SL_IDEMPOTENCY_JOINED:
        exchange->is_follower = true;
        return follow_chat(exchange);
    case SL_IDEMPOTENCY_FIRST:
    case SL_IDEMPOTENCY_OFF:
        break;
    }
    return walk_chat(exchange);
}

/* The body is whole. */
static enum MHD_Result run(struct http_exchange *exchange)
{
    exchange->was_run = true;
    atomic_store_explicit(&exchange->socket->deadline_ms, 0, memory_order_relaxed);
    if (exchange->refusal.code != SL_OK || exchange->is_options)
        return http_reply_refusal(exchange);
    if (exchange->body != NULL)
        exchange->body[exchange->body_len] = '\0';
    exchange_input(exchange)->body = (struct sl_slice){exchange->body, exchange->body_len};
    if (exchange->call != NULL)
        return run_call(exchange);
    struct sl_slice key = http_input_header(&exchange->req->input, "idempotency-key");
    if (key.len > 0 && exchange->server->config.idempotency != NULL)
        return claim_chat(exchange, key);
    return walk_chat(exchange);
}

static enum MHD_Result resumed(struct http_exchange *exchange)
{
    if (exchange->call != NULL)
        return http_reply_call(exchange);
    return exchange->is_follower ? follow_chat(exchange) : http_reply_request(exchange);
}

enum MHD_Result http_on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_data_size, void **state)
{
    (void)version;
    struct http_exchange *exchange = *state;
    if (exchange == NULL)
        return begin(ctx, connection, url, method, state);
    if (*upload_data_size > 0)
        return take_body(exchange, upload_data, upload_data_size);
    return exchange->was_run ? resumed(exchange) : run(exchange);
}

/* ---- death ---- */

void http_on_completed(void *ctx, struct MHD_Connection *connection, void **state,
                       enum MHD_RequestTerminationCode code)
{
    (void)connection;
    struct sl_http_server *server = ctx;
    struct http_exchange *exchange = *state;
    if (exchange == NULL)
        return;
    *state = NULL;
    atomic_store_explicit(&exchange->socket->is_busy, false, memory_order_relaxed);
    atomic_store_explicit(&exchange->socket->deadline_ms,
                          sl_monotonic_ms() + server->config.idle_ms, memory_order_relaxed);
    if (exchange->is_watched)
        http_watch_remove(server->watch, exchange);
    if (exchange->req != NULL && code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        sl_request_cancel(exchange->req);
    sl_idempotency_release(exchange->ticket);
    exchange->ticket = NULL;
    exchange_release(exchange);
}

/* ---- what handlers call ---- */

struct sl_slice sl_http_call_header(const struct sl_http_call *call, const char *name)
{
    return http_input_header(&call->input, name);
}

struct sl_slice sl_http_call_query(const struct sl_http_call *call, const char *name)
{
    size_t name_len = strlen(name);
    const char *at = call->query;
    while (at != NULL && *at != '\0') {
        size_t len = strcspn(at, "&");
        if (len > name_len && at[name_len] == '=' && strncmp(at, name, name_len) == 0)
            return (struct sl_slice){at + name_len + 1, len - name_len - 1};
        at += len + (at[len] == '&');
    }
    return (struct sl_slice){NULL, 0};
}

void sl_http_call_add_header(struct sl_http_call *call, const char *name, const char *value)
{
    const char *copy = sl_arena_dup(call->arena, sl_slice_of(value));
    if (copy != NULL && call->header_count < sizeof call->headers / sizeof *call->headers)
        call->headers[call->header_count++] =
            (struct sl_header){sl_slice_of(name), sl_slice_of(copy)};
}
