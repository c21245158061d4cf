/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a request: which route it is for, its headers, and whether they can be believed.
 *
 * Runs on the connection's listener thread. Everything is copied into the exchange's arena: a worker
 * may need it after the connection is gone.
 */
#include "http_internal.h"

#include "sluice/crypto.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX 64 /* browsers send some 20 */

static bool route_fits(const struct sl_http_route *route, const char *path)
{
    if (!route->is_prefix)
        return strcmp(route->path, path) == 0;
    size_t len = strlen(route->path);
    return strncmp(route->path, path, len) == 0 && path[len] != '\0';
}

const struct sl_http_route *http_route_find(const struct sl_http_config *config,
                                              const char *method, const char *path)
{
    for (size_t i = 0; i < config->route_count; i++)
        if (strcmp(config->routes[i].method, method) == 0 && route_fits(&config->routes[i], path))
            return &config->routes[i];
    return NULL;
}

/* Methods that `path` has, as `Allow` wants them; NULL where the path is unknown. */
const char *http_allowed_methods(const struct sl_http_server *server, const char *path,
                                   struct sl_arena *arena)
{
    char text[128] = "";
    for (size_t i = 0; i < server->config.route_count; i++) {
        const struct sl_http_route *route = &server->config.routes[i];
        if (!route_fits(route, path) || strstr(text, route->method) != NULL)
            continue;
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s%s", len > 0 ? ", " : "", route->method,
                 strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
    }
    if (text[0] == '\0')
        return NULL;
    strncat(text, ", OPTIONS", sizeof text - strlen(text) - 1);
    return sl_arena_dup(arena, sl_slice_of(text));
}

/* The client's headers as libmicrohttpd gives them, before they are copied. */
struct raw_headers {
    struct sl_header list[HEADERS_MAX];
    size_t count;
    size_t bytes; /* of all names and values with their NULs */
    bool are_too_many;
};

static enum MHD_Result collect_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                      size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    struct raw_headers *raw = ctx;
    if (raw->count == HEADERS_MAX) {
        raw->are_too_many = true;
        return MHD_NO;
    }
    raw->list[raw->count++] =
        (struct sl_header){{name, name_len}, {value != NULL ? value : "", value_len}};
    raw->bytes += name_len + value_len + 2;
    return MHD_YES;
}

static char *copy_text(char *at, struct sl_slice *slice)
{
    memcpy(at, slice->data, slice->len);
    at[slice->len] = '\0';
    slice->data = at;
    return at + slice->len + 1;
}

/* Copies the headers into the arena: a worker may need them after the connection is gone. */
static enum sl_err copy_headers(const struct raw_headers *raw, struct sl_arena *arena,
                                struct sl_request_input *input)
{
    struct sl_header *headers = sl_arena_alloc(arena, (raw->count + 1) * sizeof *headers);
    char *text = sl_arena_alloc(arena, raw->bytes + 1);
    if (headers == NULL || text == NULL)
        return SL_ERR_MEMORY;
    for (size_t i = 0; i < raw->count; i++) {
        headers[i] = raw->list[i];
        text = copy_text(text, &headers[i].name);
        text = copy_text(text, &headers[i].value);
    }
    input->headers = headers;
    input->header_count = raw->count;
    return SL_OK;
}

enum sl_err http_read_headers(struct http_exchange *exchange, struct sl_request_input *input,
                              struct sl_error *error)
{
    struct raw_headers raw;
    raw.count = raw.bytes = 0; /* the list itself is left as it is */
    raw.are_too_many = false;
    MHD_get_connection_values_n(exchange->connection, MHD_HEADER_KIND, collect_header, &raw);
    if (copy_headers(&raw, exchange->arena, input) != SL_OK)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (raw.are_too_many)
        return sl_error_set(error, SL_ERR_LIMIT, "more than %d request headers", HEADERS_MAX);
    return SL_OK;
}

struct sl_slice http_input_header(const struct sl_request_input *input, const char *name)
{
    struct sl_slice wanted = sl_slice_of(name);
    for (size_t i = 0; i < input->header_count; i++)
        if (sl_slice_equal_nocase(input->headers[i].name, wanted))
            return input->headers[i].value;
    return (struct sl_slice){NULL, 0};
}

/* Two ways to say how long the body is are how requests are smuggled past proxies (RFC 9112 6.3):
 * anything but exactly one is refused, and so is a length that is no number. */
bool http_is_framing_sound(const struct sl_request_input *input)
{
    size_t lengths = 0, codings = 0;
    for (size_t i = 0; i < input->header_count; i++) {
        struct sl_slice name = input->headers[i].name, value = input->headers[i].value;
        if (sl_slice_equal_nocase(name, SL_SLICE("Content-Length"))) {
            lengths++;
            if (value.len == 0 || value.len > 18 ||
                strspn(value.data, "0123456789") != value.len)
                return false;
        } else if (sl_slice_equal_nocase(name, SL_SLICE("Transfer-Encoding"))) {
            codings++;
            if (!sl_slice_equal_nocase(value, SL_SLICE("chunked")))
                return false;
        }
    }
    return lengths + codings <= 1;
}

bool http_is_json_type(struct sl_slice type)
{
    static const char json[] = "application/json";
    size_t len = sizeof json - 1;
    return type.data == NULL ||
           (type.len >= len && strncasecmp(type.data, json, len) == 0 &&
            (type.len == len || type.data[len] == ';' || type.data[len] == ' '));
}

/* Printable ASCII without blanks, up to 128 bytes: what may be echoed into a header and a log. */
static bool is_request_id(struct sl_slice id)
{
    if (id.data == NULL || id.len == 0 || id.len > 128)
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (id.data[i] <= 0x20 || id.data[i] >= 0x7F)
            return false;
    return true;
}

/* Unique, not secret: a random start for each thread and a counter, so that no request pays for a
 * system call. */
static void make_request_id(char out[33])
{
    static _Thread_local uint64_t state[2];
    if (state[0] == 0)
        sl_random_bytes(state, sizeof state);
    state[1]++;
    snprintf(out, 33, "req_%012llx%012llx", (unsigned long long)(state[0] & 0xFFFFFFFFFFFF),
             (unsigned long long)((state[1] * 0x9E3779B97F4A7C15u) >> 16));
}

void http_set_request_id(const struct sl_request_input *input, char *out)
{
    struct sl_slice given = http_input_header(input, "x-request-id");
    if (is_request_id(given)) {
        memcpy(out, given.data, given.len);
        out[given.len] = '\0';
    } else {
        make_request_id(out);
    }
}

/* libmicrohttpd gives the query as parsed arguments; ours are numbers and words, put together
 * again as `a=1&b=2`. */
static enum MHD_Result collect_argument(void *ctx, enum MHD_ValueKind kind, const char *name,
                                        const char *value)
{
    (void)kind;
    struct sl_buf *query = ctx;
    return sl_buf_printf(query, "%s%s=%s", query->len > 0 ? "&" : "", name,
                         value != NULL ? value : "") == SL_OK
               ? MHD_YES
               : MHD_NO;
}

const char *http_query_text(const struct http_exchange *exchange)
{
    struct sl_buf query;
    sl_buf_init(&query, 4096);
    MHD_get_connection_values(exchange->connection, MHD_GET_ARGUMENT_KIND, collect_argument,
                              &query);
    const char *copy = query.len > 0 ? sl_arena_dup(exchange->arena, sl_buf_slice(&query)) : NULL;
    sl_buf_clear(&query);
    return copy;
}
