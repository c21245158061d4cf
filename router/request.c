/* SPDX-License-Identifier: Apache-2.0
 *
 * Birth, life and death of a request. Everything it owns is freed here, in one place, and the
 * access line is written here, so that no path can skip it.
 *
 * Invariants: 1. A request is in its router's list from create to the last release. 2. Sections
 * start zeroed, and freeing accepts sections that no stage reached.
 */
#include "sluice/request.h"

#include "pipeline.h"
#include "restore_filter.h"
#include "router_metrics.h"
#include "shadow.h"
#include "sluice/clock.h"
#include "sluice/crypto.h"
#include "sluice/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct sl_request *sl_request_create(struct sl_router *router, const struct sl_wire_api *api,
                                     sl_wake_fn wake, void *wake_ctx)
{
    struct sl_request *req = calloc(1, sizeof *req);
    if (req == NULL)
        return NULL;
    req->arena = sl_arena_create_wiped(router->config.request_bytes_max);
    if (req->arena == NULL) {
        free(req);
        return NULL;
    }
    req->router = router;
    req->api = api;
    req->wake = wake;
    req->wake_ctx = wake_ctx;
    req->started_ns = sl_monotonic_ns();
    req->deadline_ms = req->started_ns / 1000000 + router->config.deadline_ms;
    atomic_init(&req->references, 1);
    size_t answer_max = router->config.answer_bytes_max;
    sl_answer_init(&req->lookup.answer, answer_max);
    sl_answer_init(&req->infer.answer, answer_max);
    sl_answer_init(&req->restore.answer, answer_max);
    /* An error body or an encoded answer: JSON escapes at most triple a text of quotes. */
    sl_buf_init(&req->respond.body, 4 * answer_max);
    sl_requests_enter(router, req);
    return req;
}

void sl_request_acquire(struct sl_request *req)
{
    atomic_fetch_add_explicit(&req->references, 1, memory_order_relaxed);
}

static void request_free(struct sl_request *req)
{
    struct sl_router *router = req->router;
    sl_router_metrics_count(req);
    if (router->config.edge.at_death != NULL)
        router->config.edge.at_death(req);
    sl_shadow_offer(router->shadow, req);
    sl_speculation_drop(req);
    if (req->lookup.flight != NULL)
        sl_cache_flight_end(req->lookup.flight, req->lookup.role);
    sl_restore_filter_free(req->restore.filter);
    sl_answer_clear(&req->lookup.answer);
    sl_answer_clear(&req->infer.answer);
    sl_answer_clear(&req->restore.answer);
    if (req->escalate.result != NULL)
        sl_cloud_result_clear(req->escalate.result);
    free(req->escalate.result);
    sl_prompt_free(req->infer.prompt);
    sl_scrubbed_release(req->scrub.scrubbed);
    sl_vault_free(req->scrub.vault);
    sl_policy_release(req->auth.policy);
    json_decref(req->parse.chat);
    sl_out_free(req->out);
    sl_buf_wipe(&req->respond.body);
    sl_arena_free(req->arena);
    sl_requests_leave(router, req);
    free(req);
}

void sl_request_release(struct sl_request *req)
{
    if (req == NULL)
        return;
    if (atomic_fetch_sub_explicit(&req->references, 1, memory_order_acq_rel) == 1)
        request_free(req);
}

/* ---- the router's list of live requests ---- */

void sl_requests_enter(struct sl_router *router, struct sl_request *req)
{
    pthread_mutex_lock(&router->requests_lock);
    req->next = router->requests;
    if (req->next != NULL)
        req->next->previous = req;
    router->requests = req;
    pthread_mutex_unlock(&router->requests_lock);
    atomic_fetch_add(&router->inflight, 1);
}

void sl_requests_leave(struct sl_router *router, struct sl_request *req)
{
    pthread_mutex_lock(&router->requests_lock);
    if (req->previous != NULL)
        req->previous->next = req->next;
    else
        router->requests = req->next;
    if (req->next != NULL)
        req->next->previous = req->previous;
    pthread_mutex_unlock(&router->requests_lock);
    atomic_fetch_sub(&router->inflight, 1);
}

void sl_requests_cancel_all(struct sl_router *router)
{
    pthread_mutex_lock(&router->requests_lock);
    for (struct sl_request *req = router->requests; req != NULL; req = req->next)
        sl_request_cancel(req);
    pthread_mutex_unlock(&router->requests_lock);
}

/* ---- what stages call ---- */

struct sl_slice sl_request_header(const struct sl_request *req, const char *name)
{
    struct sl_slice wanted = sl_slice_of(name);
    for (size_t i = 0; i < req->input.header_count; i++)
        if (sl_slice_equal_nocase(req->input.headers[i].name, wanted))
            return req->input.headers[i].value;
    return (struct sl_slice){NULL, 0};
}

static void add_header(struct sl_request *req, const char *name, struct sl_slice value)
{
    struct sl_respond_section *respond = &req->respond;
    char *copy = sl_arena_dup(req->arena, value);
    if (copy == NULL || respond->header_count == SL_RESPONSE_HEADERS_MAX) {
        SL_LOG_WARN("router", "response header %s dropped", name);
        return;
    }
    respond->headers[respond->header_count++] =
        (struct sl_header){sl_slice_of(name), {copy, value.len}};
}

void sl_request_add_header_text(struct sl_request *req, const char *name, const char *text)
{
    add_header(req, name, sl_slice_of(text));
}

void sl_request_add_header(struct sl_request *req, const char *name, const char *format, ...)
{
    char text[1024]; /* the longest is a list of personal-data types, some 300 bytes */
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof text)
        len = 0;
    add_header(req, name, (struct sl_slice){text, (size_t)len});
}

void sl_request_cancel(struct sl_request *req)
{
    atomic_store(&req->is_cancelled, true);
    if (req->out != NULL)
        sl_out_cancel(req->out);
}

enum sl_step sl_request_fail(struct sl_request *req, enum sl_err code, const char *format, ...)
{
    if (format == NULL) {
        sl_error_set(&req->error, code, NULL);
        return SL_STEP_FAIL;
    }
    va_list args;
    va_start(args, format);
    char message[SL_ERROR_MESSAGE_MAX];
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    sl_error_set(&req->error, code, "%s", message);
    return SL_STEP_FAIL;
}
