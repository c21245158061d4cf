/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches what libmicrohttpd does not: the sockets of suspended connections (a client that leaves
 * cancels its work), silence in streams (a comment line keeps proxies from hanging up), and clients
 * that send their head or body too slowly, which an inactivity timeout never catches.
 *
 * One thread with an epoll set of its own. A connection is in the set from its first suspend to the
 * end of its request; the event for one that is no longer listed is dropped by its number.
 */
#include "http_internal.h"

#include "sluice/clock.h"
#include "sluice/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 500 /* how late a deadline may be noticed */
#define EVENTS_MAX 32

struct http_watch {
    struct sl_http_server *server;
    int epoll_fd;
    int stop_fd;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the list and the numbers */
    struct http_exchange *exchanges;
    size_t count;
    uint64_t last_number; /* 0 stands for the stop descriptor */
};

void http_watch_add(struct http_watch *watch, struct http_exchange *exchange)
{
    pthread_mutex_lock(&watch->lock);
    exchange->is_watched = true;
    exchange->watch_previous = NULL;
    exchange->watch_next = watch->exchanges;
    if (watch->exchanges != NULL)
        watch->exchanges->watch_previous = exchange;
    watch->exchanges = exchange;
    watch->count++;
    exchange->watch_number = ++watch->last_number;
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT,
                                .data.u64 = exchange->watch_number};
    if (epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, exchange->socket->fd, &event) != 0)
        SL_LOG_WARN("http", "cannot watch a connection: %s", strerror(errno));
    pthread_mutex_unlock(&watch->lock);
}

void http_watch_remove(struct http_watch *watch, struct http_exchange *exchange)
{
    pthread_mutex_lock(&watch->lock);
    epoll_ctl(watch->epoll_fd, EPOLL_CTL_DEL, exchange->socket->fd, NULL);
    if (exchange->watch_previous != NULL)
        exchange->watch_previous->watch_next = exchange->watch_next;
    else
        watch->exchanges = exchange->watch_next;
    if (exchange->watch_next != NULL)
        exchange->watch_next->watch_previous = exchange->watch_previous;
    exchange->is_watched = false;
    watch->count--;
    pthread_mutex_unlock(&watch->lock);
}

size_t http_watch_count(struct http_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    size_t count = watch->count;
    pthread_mutex_unlock(&watch->lock);
    return count;
}

/* Under the lock, which keeps the exchange alive. A whole answer is not waited for: the walk sees
 * the cancel and wakes by itself. A stream's reader and a follower of another's answer have nobody
 * else to wake them. */
static void cancel_exchange(struct http_exchange *exchange)
{
    if (exchange->req == NULL)
        return;
    sl_request_cancel(exchange->req);
    if (atomic_load(&exchange->is_streaming) || atomic_load(&exchange->is_follower))
        http_exchange_wake(exchange);
}

void http_watch_cancel_all(struct http_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    for (struct http_exchange *at = watch->exchanges; at != NULL; at = at->watch_next)
        cancel_exchange(at);
    pthread_mutex_unlock(&watch->lock);
}

static void on_client_left(struct http_watch *watch, uint64_t number)
{
    pthread_mutex_lock(&watch->lock);
    for (struct http_exchange *at = watch->exchanges; at != NULL; at = at->watch_next) {
        if (at->watch_number == number) {
            SL_LOG_DEBUG("http", "a client left before its answer");
            cancel_exchange(at);
            break;
        }
    }
    pthread_mutex_unlock(&watch->lock);
}

static bool is_event_stream(const struct http_exchange *exchange)
{
    return exchange->req != NULL && atomic_load(&exchange->is_streaming) &&
           strncmp(exchange->req->api->content_type, "text/event-stream", 17) == 0;
}

static void send_pings(struct http_watch *watch, uint64_t now_ms)
{
    pthread_mutex_lock(&watch->lock);
    for (struct http_exchange *at = watch->exchanges; at != NULL; at = at->watch_next) {
        if (!is_event_stream(at) ||
            now_ms - atomic_load_explicit(&at->last_bytes_ms, memory_order_relaxed) <
                watch->server->config.ping_ms)
            continue;
        pthread_mutex_lock(&at->lock);
        at->wants_ping = at->is_suspended;
        if (at->is_suspended) {
            at->is_suspended = false;
            MHD_resume_connection(at->connection);
        }
        pthread_mutex_unlock(&at->lock);
    }
    pthread_mutex_unlock(&watch->lock);
}

/* Shuts down, not closes: libmicrohttpd owns the socket and sees the end of it. */
static void end_slow_clients(struct sl_http_server *server, uint64_t now_ms)
{
    pthread_mutex_lock(&server->sockets_lock);
    for (struct http_socket *at = server->sockets; at != NULL; at = at->next) {
        uint64_t deadline_ms = atomic_load_explicit(&at->deadline_ms, memory_order_relaxed);
        if (deadline_ms != 0 && now_ms > deadline_ms) {
            shutdown(at->fd, SHUT_RDWR);
            atomic_store_explicit(&at->deadline_ms, 0, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&server->sockets_lock);
}

static void *watch_main(void *arg)
{
    struct http_watch *watch = arg;
    struct epoll_event events[EVENTS_MAX];
    uint64_t next_tick_ms = sl_monotonic_ms() + TICK_MS;
    for (;;) {
        int left_ms = (int)sl_deadline_left_ms(next_tick_ms, sl_monotonic_ms());
        int count = epoll_wait(watch->epoll_fd, events, EVENTS_MAX, left_ms);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == 0)
                return NULL;
            on_client_left(watch, events[i].data.u64);
        }
        uint64_t now_ms = sl_monotonic_ms();
        if (now_ms >= next_tick_ms) {
            send_pings(watch, now_ms);
            end_slow_clients(watch->server, now_ms);
            next_tick_ms = now_ms + TICK_MS;
        }
    }
}

struct http_watch *http_watch_start(struct sl_http_server *server)
{
    struct http_watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return NULL;
    watch->server = server;
    pthread_mutex_init(&watch->lock, NULL);
    watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0};
    if (watch->epoll_fd >= 0 && watch->stop_fd >= 0 &&
        epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, watch->stop_fd, &event) == 0 &&
        pthread_create(&watch->thread, NULL, watch_main, watch) == 0)
        return watch;
    if (watch->epoll_fd >= 0)
        close(watch->epoll_fd);
    if (watch->stop_fd >= 0)
        close(watch->stop_fd);
    free(watch);
    return NULL;
}

void http_watch_stop(struct http_watch *watch)
{
    if (watch == NULL)
        return;
    uint64_t one = 1;
    if (write(watch->stop_fd, &one, sizeof one) != (ssize_t)sizeof one)
        SL_LOG_ERROR("http", "the watcher could not be told to stop");
    pthread_join(watch->thread, NULL);
    close(watch->epoll_fd);
    close(watch->stop_fd);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}
