/* SPDX-License-Identifier: Apache-2.0
 *
 * Life of the listener: the address, the socket, libmicrohttpd's daemon with its pool of epoll
 * threads, the list of accepted connections, and the way down.
 *
 * Why an own socket: it is bound before anything else starts, so a taken port is the first thing an
 * operator hears, and port 0 can be asked for its number. Why deadlines of our own: libmicrohttpd's
 * timeout measures silence, which a client that sends a byte a second never reaches, and it does
 * not run for suspended connections.
 */
#include "http_internal.h"

#include "sluice/clock.h"
#include "sluice/log.h"
#include "sluice/secret.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTION_BYTES (32u << 10) /* head of a request and buffer of a response, per connection */
#define BACKLOG 512
#define PEM_BYTES_MAX (64u << 10)
#define DRAIN_POLL_NS 2000000
/* TLS 1.2 and 1.3 only, forward secrecy only, and no CBC. */
#define TLS_PRIORITIES                                                                             \
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-AES-128-CBC:-AES-256-CBC:-SHA1"           \
    ":%SERVER_PRECEDENCE:%SAFE_RENEGOTIATION"

/* ---- the address ---- */

/* Splits ADDR:PORT, [ADDR6]:PORT, :PORT. */
static enum sl_err split_address(const char *listen, char host[256], char port[8],
                                 struct sl_error *error)
{
    const char *colon = strrchr(listen, ':');
    size_t host_len = colon != NULL ? (size_t)(colon - listen) : 0;
    const char *start = listen;
    if (colon != NULL && host_len >= 2 && listen[0] == '[' && listen[host_len - 1] == ']') {
        start++;
        host_len -= 2;
    } else if (colon != NULL && memchr(listen, ':', host_len) != NULL) {
        colon = NULL; /* a bare IPv6 address: which colon is the port's? */
    }
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    if (colon == NULL || host_len > 255 || digits == 0 || digits > 5 || colon[1 + digits] != '\0' ||
        strtoul(colon + 1, NULL, 10) > 65535)
        return sl_error_set_param(error, SL_ERR_INVALID, "listen",
                                  "listen: expected ADDR:PORT or [ADDR6]:PORT, found \"%.80s\"",
                                  listen);
    memcpy(host, start, host_len);
    host[host_len] = '\0';
    memcpy(port, colon + 1, digits + 1);
    return SL_OK;
}

static bool is_loopback_address(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24) ==
               127;
    if (address->sa_family != AF_INET6)
        return false;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

static enum sl_err resolve(const char *listen, struct addrinfo **out, struct sl_error *error)
{
    char host[256], port[8];
    enum sl_err err = split_address(listen, host, port, error);
    if (err != SL_OK)
        return err;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int failed = getaddrinfo(host[0] != '\0' && strcmp(host, "*") != 0 ? host : NULL, port, &hints,
                             out);
    if (failed != 0)
        return sl_error_set_param(error, SL_ERR_INVALID, "listen", "listen: %.80s: %s", listen,
                                  gai_strerror(failed));
    return SL_OK;
}

enum sl_err sl_http_listen_is_public(const char *listen, bool *out, struct sl_error *error)
{
    struct addrinfo *addresses;
    enum sl_err err = resolve(listen, &addresses, error);
    if (err != SL_OK)
        return err;
    *out = !is_loopback_address(addresses->ai_addr);
    freeaddrinfo(addresses);
    return SL_OK;
}

static void set_url(struct sl_http_server *server)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char host[INET6_ADDRSTRLEN] = "?", port[8] = "0";
    if (getsockname(server->listen_fd, (struct sockaddr *)&bound, &size) == 0)
        getnameinfo((struct sockaddr *)&bound, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    bool is_six = strchr(host, ':') != NULL;
    snprintf(server->url, sizeof server->url, "%s://%s%s%s:%s", server->is_tls ? "https" : "http",
             is_six ? "[" : "", host, is_six ? "]" : "", port);
}

static enum sl_err bind_socket(struct sl_http_server *server, struct sl_error *error)
{
    struct addrinfo *address;
    enum sl_err err = resolve(server->config.listen, &address, error);
    if (err != SL_OK)
        return err;
    server->is_public = !is_loopback_address(address->ai_addr);
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    bool is_bound =
        fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    freeaddrinfo(address);
    if (!is_bound) {
        sl_error_set_param(error, SL_ERR_IO, "listen", "listen: %.80s: %s", server->config.listen,
                           strerror(errno));
        if (fd >= 0)
            close(fd);
        return SL_ERR_IO;
    }
    server->listen_fd = fd;
    set_url(server);
    return SL_OK;
}

/* ---- connections ---- */

static void describe_peer(struct http_socket *at, const struct sockaddr *address)
{
    snprintf(at->address, sizeof at->address, "?");
    if (address == NULL)
        return;
    at->is_loopback = is_loopback_address(address);
    if (address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr,
                  at->address, sizeof at->address);
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
                  at->address, sizeof at->address);
}

static void socket_enter(struct sl_http_server *server, struct MHD_Connection *connection,
                         void **context)
{
    struct http_socket *at = calloc(1, sizeof *at);
    if (at == NULL)
        abort(); /* without its state a connection could not even be refused */
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    at->fd = fd != NULL ? fd->connect_fd : -1;
    const union MHD_ConnectionInfo *address =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    describe_peer(at, address != NULL ? address->client_addr : NULL);
    atomic_init(&at->deadline_ms, sl_monotonic_ms() + server->config.header_ms);
    pthread_mutex_lock(&server->sockets_lock);
    at->next = server->sockets;
    if (at->next != NULL)
        at->next->previous = at;
    server->sockets = at;
    pthread_mutex_unlock(&server->sockets_lock);
    atomic_fetch_add_explicit(&server->connections, 1, memory_order_relaxed);
    *context = at;
}

static void socket_leave(struct sl_http_server *server, void **context)
{
    struct http_socket *at = *context;
    if (at == NULL)
        return;
    pthread_mutex_lock(&server->sockets_lock);
    if (at->previous != NULL)
        at->previous->next = at->next;
    else
        server->sockets = at->next;
    if (at->next != NULL)
        at->next->previous = at->previous;
    pthread_mutex_unlock(&server->sockets_lock);
    atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
    free(at);
    *context = NULL;
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        socket_enter(ctx, connection, context);
    else
        socket_leave(ctx, context);
}

/* ---- starting ---- */

static enum sl_err read_pem(const char *path, const char *option, char **out,
                            struct sl_error *error)
{
    struct sl_secret *pem;
    enum sl_err err = sl_secret_from_file(path, false, &pem, error);
    if (err != SL_OK)
        return err;
    struct sl_slice text = sl_secret_reveal(pem);
    *out = strndup(text.data, text.len);
    sl_secret_free(pem);
    if (*out == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (strstr(*out, "-----BEGIN ") == NULL)
        return sl_error_set_param(error, SL_ERR_INVALID, option, "%s: %s: not a PEM file", option,
                                  path);
    return SL_OK;
}

static enum sl_err read_certificate(struct sl_http_server *server, struct sl_error *error)
{
    const struct sl_http_config *config = &server->config;
    bool has_cert = config->tls_cert_path != NULL && config->tls_cert_path[0] != '\0';
    bool has_key = config->tls_key_path != NULL && config->tls_key_path[0] != '\0';
    if (!has_cert && !has_key)
        return SL_OK;
    if (has_cert != has_key)
        return sl_error_set_param(error, SL_ERR_INVALID, has_cert ? "tls_key" : "tls_cert",
                                  "tls_cert and tls_key go together");
    server->is_tls = true;
    enum sl_err err = read_pem(config->tls_cert_path, "tls_cert", &server->tls_cert, error);
    return err == SL_OK ? read_pem(config->tls_key_path, "tls_key", &server->tls_key, error) : err;
}

/* libmicrohttpd's own complaints: about clients mostly, so for debugging. */
SL_PRINTF(2, 0) static void on_daemon_log(void *ctx, const char *format, va_list args)
{
    (void)ctx;
    if (!sl_log_enabled(SL_LOG_LEVEL_DEBUG))
        return;
    char line[512];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\r\n")] = '\0';
    sl_log(SL_LOG_LEVEL_DEBUG, "http", "%s", line);
}

static struct MHD_Daemon *start_daemon(struct sl_http_server *server)
{
    const struct sl_http_config *config = &server->config;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO |
                     MHD_USE_ERROR_LOG | (server->is_tls ? (unsigned)MHD_USE_TLS : 0);
    struct MHD_OptionItem options[8];
    size_t count = 0;
    if (config->threads > 1)
        options[count++] =
            (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)config->threads, NULL};
    if (config->connections_per_ip > 0)
        options[count++] = (struct MHD_OptionItem){MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                                                   (intptr_t)config->connections_per_ip, NULL};
    if (server->is_tls) {
        options[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, server->tls_cert};
        options[count++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, server->tls_key};
        options[count++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (char *)TLS_PRIORITIES};
    }
    options[count] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return MHD_start_daemon(
        flags, 0, NULL, NULL, http_on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_daemon_log,
        NULL, MHD_OPTION_LISTEN_SOCKET, server->listen_fd, MHD_OPTION_NOTIFY_COMPLETED,
        http_on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->connections_max,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(config->idle_ms / 1000 + 1), MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

static void server_free(struct sl_http_server *server)
{
    http_watch_stop(server->watch);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    if (server->tls_key != NULL)
        sl_wipe(server->tls_key, strlen(server->tls_key));
    free(server->tls_key);
    free(server->tls_cert);
    pthread_mutex_destroy(&server->sockets_lock);
    free(server);
}

enum sl_err sl_http_server_start(const struct sl_http_config *config, struct sl_http_server **out,
                                 struct sl_error *error)
{
    struct sl_http_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    server->config = *config;
    server->listen_fd = -1;
    pthread_mutex_init(&server->sockets_lock, NULL);
    enum sl_err err = read_certificate(server, error);
    if (err == SL_OK)
        err = bind_socket(server, error);
    if (err == SL_OK && (server->watch = http_watch_start(server)) == NULL)
        err = sl_error_set(error, SL_ERR_MEMORY, "cannot start the listener's watcher");
    *out = server; /* before the first request, whose handler may look at it */
    if (err == SL_OK && (server->daemon = start_daemon(server)) == NULL)
        err = sl_error_set(error, SL_ERR_IO,
                           server->is_tls ? "the listener did not start: does tls_key belong to "
                                            "tls_cert, and are both readable PEM?"
                                          : "the listener did not start");
    if (err != SL_OK) {
        *out = NULL;
        server_free(server);
    }
    return err;
}

const char *sl_http_server_url(const struct sl_http_server *server) { return server->url; }
bool sl_http_server_is_public(const struct sl_http_server *server) { return server->is_public; }

uint32_t sl_http_server_connections(const struct sl_http_server *server)
{
    return atomic_load(&((struct sl_http_server *)(uintptr_t)server)->connections);
}

bool sl_http_server_is_draining(const struct sl_http_server *server)
{
    return atomic_load(&((struct sl_http_server *)(uintptr_t)server)->is_draining);
}

/* ---- stopping ---- */

/* Ends connections between two requests, as Connection: close would have done. */
static void end_idle_connections(struct sl_http_server *server)
{
    pthread_mutex_lock(&server->sockets_lock);
    for (struct http_socket *at = server->sockets; at != NULL; at = at->next)
        if (!atomic_load(&at->is_busy))
            shutdown(at->fd, SHUT_RD);
    pthread_mutex_unlock(&server->sockets_lock);
}

void sl_http_server_quiesce(struct sl_http_server *server)
{
    if (atomic_exchange(&server->is_draining, true))
        return;
    MHD_quiesce_daemon(server->daemon);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    server->listen_fd = -1;
    end_idle_connections(server);
}

void sl_http_server_stop(struct sl_http_server *server)
{
    if (server == NULL)
        return;
    sl_http_server_quiesce(server);
    http_watch_cancel_all(server->watch);
    /* libmicrohttpd must not be stopped while a connection is suspended: workers see the cancel
     * within a token or 50 ms of a transfer, wake, and the connection completes. Sockets are shut
     * down so that a client which does not read cannot hold its own up. */
    const struct timespec tick = {.tv_nsec = DRAIN_POLL_NS};
    while (http_watch_count(server->watch) > 0) {
        http_watch_cancel_all(server->watch);
        pthread_mutex_lock(&server->sockets_lock);
        for (struct http_socket *at = server->sockets; at != NULL; at = at->next)
            shutdown(at->fd, SHUT_RDWR);
        pthread_mutex_unlock(&server->sockets_lock);
        nanosleep(&tick, NULL);
    }
    MHD_stop_daemon(server->daemon);
    server_free(server);
}
