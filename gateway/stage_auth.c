/* SPDX-License-Identifier: Apache-2.0
 *
 * Stage 2, authenticate: who asks, whether the limits allow it, and which terms of the policy hold.
 * Runs on a listener thread; nothing here waits.
 *
 * Without keys only this machine is served, and a web page is not this machine: a browser lets any
 * page send requests to loopback, so `Origin` and `Host` must then be local too (the second is what
 * DNS rebinding gets wrong).
 */
#include "edge.h"

#include "sluice/clock.h"

#include <stdio.h>

/* ---- who asks ---- */

/* The credential in any of the ways that clients send one; data NULL where there is none. */
static struct sl_slice credential(sl_edge_header_fn header, const void *ctx)
{
    static const char bearer[] = "Bearer ";
    struct sl_slice value = header(ctx, "authorization");
    if (value.len > sizeof bearer - 1 && strncasecmp(value.data, bearer, sizeof bearer - 1) == 0)
        return (struct sl_slice){value.data + sizeof bearer - 1, value.len - (sizeof bearer - 1)};
    value = header(ctx, "x-api-key"); /* Anthropic */
    if (value.data == NULL)
        value = header(ctx, "api-key"); /* Azure's OpenAI */
    return value;
}

/* The host of "http://host:port/", "host:port" or "[six]:port". */
static struct sl_slice host_of(struct sl_slice text)
{
    const char *scheme = text.len > 0 ? memmem(text.data, text.len, "://", 3) : NULL;
    if (scheme != NULL) {
        text.len -= (size_t)(scheme + 3 - text.data);
        text.data = scheme + 3;
    }
    size_t len = 0;
    if (text.len > 0 && text.data[0] == '[') {
        const char *end = memchr(text.data, ']', text.len);
        len = end != NULL ? (size_t)(end - text.data) + 1 : text.len;
    } else {
        while (len < text.len && text.data[len] != ':' && text.data[len] != '/')
            len++;
    }
    return (struct sl_slice){text.data, len};
}

static bool is_local_host(struct sl_slice text)
{
    struct sl_slice host = host_of(text);
    return sl_slice_equal_nocase(host, SL_SLICE("localhost")) ||
           sl_slice_equal(host, SL_SLICE("[::1]")) ||
           (host.len >= 8 && host.len <= 15 && memcmp(host.data, "127.", 4) == 0 &&
            strspn(host.data, "0123456789.") >= host.len);
}

static enum sl_err check_origin(sl_edge_header_fn header, const void *ctx, struct sl_error *error)
{
    struct sl_slice origin = header(ctx, "origin");
    struct sl_slice host = header(ctx, "host");
    if ((origin.data == NULL || is_local_host(origin)) && (host.len == 0 || is_local_host(host)))
        return SL_OK;
    return sl_error_set(error, SL_ERR_FORBIDDEN,
                        "without API keys only this machine may ask, and web pages of other "
                        "origins may not; make a key with `sluice keys add NAME`");
}

enum sl_err sl_edge_identify(struct sl_edge *edge, bool is_loopback, sl_edge_header_fn header,
                             const void *ctx, struct sl_key_terms *terms, struct sl_error *error)
{
    memset(terms, 0, sizeof *terms);
    bool has_keys = sl_keys_count(edge->keys) > 0;
    if (!edge->demands_keys && !has_keys && is_loopback)
        return check_origin(header, ctx, error);
    struct sl_slice presented = credential(header, ctx);
    if (presented.len > 0 && sl_keys_find(edge->keys, presented, terms))
        return SL_OK;
    return sl_error_set(error, SL_ERR_AUTH,
                        presented.len > 0 ? "this API key is not known here"
                                          : "expected an API key: Authorization: Bearer KEY");
}

static struct sl_slice request_header(const void *ctx, const char *name)
{
    return sl_request_header(ctx, name);
}

static struct sl_slice call_header(const void *ctx, const char *name)
{
    return sl_http_call_header(ctx, name);
}

enum sl_err sl_edge_identify_call(struct sl_edge *edge, const struct sl_http_call *call,
                                  struct sl_key_terms *terms, struct sl_error *error)
{
    return sl_edge_identify(edge, call->is_loopback, call_header, call, terms, error);
}

enum sl_err sl_edge_authorize_admin(struct sl_edge *edge, const struct sl_http_call *call,
                                    struct sl_error *error)
{
    if (!call->is_loopback && !edge->admin_is_remote)
        return sl_error_set(error, SL_ERR_FORBIDDEN,
                            "the admin calls are for this machine only (see admin_remote)");
    struct sl_slice presented = credential(call_header, call);
    pthread_rwlock_rdlock(&edge->admin_lock);
    struct sl_slice token = edge->admin_token != NULL ? sl_secret_reveal(edge->admin_token)
                                                      : (struct sl_slice){NULL, 0};
    bool is_on = token.len > 0;
    bool is_right = is_on && presented.len > 0 &&
                    sl_equal_constant_time(presented.data, presented.len, token.data, token.len);
    pthread_rwlock_unlock(&edge->admin_lock);
    if (is_right)
        return SL_OK;
    return is_on ? sl_error_set(error, SL_ERR_AUTH, "expected the admin token: Authorization: "
                                                    "Bearer TOKEN")
                 : sl_error_set(error, SL_ERR_FORBIDDEN,
                                "the admin calls are off: no admin_token_file is configured");
}

/* ---- limits ---- */

static enum sl_err apply_limits(struct sl_request *req, struct sl_edge *edge,
                                const struct sl_key_terms *terms)
{
    if (terms->requests_per_minute == 0 && terms->tokens_per_minute == 0)
        return SL_OK;
    struct sl_edge_request *own = sl_arena_zalloc(req->arena, 1, sizeof *own);
    if (own == NULL)
        return sl_error_set(&req->error, SL_ERR_MEMORY, NULL);
    memcpy(own->key_id, terms->id, sizeof own->key_id);
    own->has_limits = true;
    req->edge = own;
    if (sl_rate_limits_take(edge->limits, terms, sl_monotonic_ns(), &own->rate))
        return SL_OK;
    return sl_error_set(&req->error, SL_ERR_RATE_LIMIT,
                        "the limit of %u %s per minute is reached; try again in %.1f s",
                        own->rate.is_tokens ? terms->tokens_per_minute : terms->requests_per_minute,
                        own->rate.is_tokens ? "tokens" : "requests",
                        (double)own->rate.retry_after_ms / 1e3);
}

/* ---- terms ---- */

static struct sl_slice route_header(void *ctx, const char *name)
{
    return sl_request_header(ctx, name);
}

static void find_terms(struct sl_request *req, struct sl_edge *edge)
{
    struct sl_auth_section *auth = &req->auth;
    auth->policy = sl_policy_store_acquire(edge->policies);
    struct sl_route_query query = {.app = sl_slice_of(auth->app),
                                   .model = req->parse.model,
                                   .path = sl_slice_of(req->input.path),
                                   .header = route_header,
                                   .header_ctx = req};
    struct sl_device_state device;
    sl_router_device_state(req->router, &device);
    sl_route_resolve(sl_policy_match(auth->policy, &query), &device, &auth->route);
    sl_policy_model(auth->policy, req->parse.model.data,
                    edge->engine != NULL ? sl_engine_info(edge->engine)->name : NULL,
                    &auth->choice);
    uint64_t deadline_ms = req->started_ns / 1000000 + auth->route.deadline_ms;
    if (auth->route.deadline_ms > 0 && deadline_ms < req->deadline_ms)
        req->deadline_ms = deadline_ms;
}

/* FNV-1a of the app's name: equal for one app, and 0 for none. */
static uint32_t fair_share_id(const char *app)
{
    uint32_t hash = app[0] != '\0' ? 2166136261u : 0;
    for (; *app != '\0'; app++)
        hash = (hash ^ (unsigned char)*app) * 16777619u;
    return hash;
}

enum sl_step sl_edge_authenticate(struct sl_request *req)
{
    struct sl_edge *edge = sl_edge_of(req);
    struct sl_key_terms terms;
    req->auth.app = "";
    if (req->is_explained) { /* the admin says as whom */
        struct sl_slice app = sl_request_header(req, "x-sluice-app");
        req->auth.app = app.len > 0 ? app.data : "";
        find_terms(req, edge);
        return SL_STEP_NEXT;
    }
    if (sl_edge_identify(edge, req->input.is_loopback, request_header, req, &terms, &req->error) !=
        SL_OK)
        return SL_STEP_FAIL;
    if (terms.name[0] != '\0')
        req->auth.app = sl_arena_dup(req->arena, sl_slice_of(terms.name));
    if (req->auth.app == NULL) {
        req->auth.app = "";
        return sl_request_fail(req, SL_ERR_MEMORY, NULL);
    }
    req->auth.fair_share_id = fair_share_id(req->auth.app);
    if (apply_limits(req, edge, &terms) != SL_OK)
        return SL_STEP_FAIL;
    find_terms(req, edge);
    return SL_STEP_NEXT;
}
