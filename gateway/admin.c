/* SPDX-License-Identifier: Apache-2.0
 *
 * The admin calls: what an operator's tools ask a running gateway. All need the admin token, and
 * come from this machine unless admin_remote says otherwise.
 *
 *     GET  /admin/v1/status            the state of every part
 *     GET  /admin/v1/policy            the routes in force
 *     POST /admin/v1/policy:reload     read the file again; the old policy stays where it is wrong
 *     POST /admin/v1/route:explain     what would happen to this chat body, and why
 *     POST /admin/v1/cache:purge       {"everything": true} or "app", "model", "created_before"
 *     GET  /admin/v1/keys              names and limits
 *
 * Those that may block run on a worker.
 */
#include "handlers.h"

#include "api.h"
#include "gateway_parts.h"
#include "json_body.h"
#include "status.h"

#include <stdio.h>
#include <stdlib.h>

/* False where the call was refused, and answered so. */
static bool may_administer(struct sl_http_call *call)
{
    struct sl_error error = {0};
    if (sl_edge_authorize_admin(call->ctx, call, &error) == SL_OK)
        return true;
    sl_http_call_fail(call, &error);
    return false;
}

void sl_handle_admin_status(struct sl_http_call *call)
{
    if (may_administer(call))
        sl_http_call_json(call, sl_status_json(call->ctx));
}

void sl_handle_admin_policy(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    if (!may_administer(call))
        return;
    const struct sl_policy *policy = sl_policy_store_acquire(edge->policies);
    json_t *routes = json_array();
    for (size_t i = 0; i < sl_policy_route_count(policy); i++)
        json_array_append_new(routes, sl_route_json(sl_policy_route(policy, i)));
    const char *path = sl_policy_path(policy);
    sl_http_call_json(call, json_pack("{s:s, s:s*, s:o}", "digest", sl_policy_digest(policy),
                                      "path", path, "routes", routes));
    sl_policy_release(policy);
}

void sl_handle_admin_reload(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    struct sl_error error = {0};
    if (!may_administer(call))
        return;
    if (sl_policy_store_reload(edge->policies, &error) != SL_OK) {
        sl_http_call_fail(call, &error);
        return;
    }
    const struct sl_policy *policy = sl_policy_store_acquire(edge->policies);
    sl_http_call_json(call, json_pack("{s:s}", "digest", sl_policy_digest(policy)));
    sl_policy_release(policy);
}

static void ignore_wake(void *ctx) { (void)ctx; }

enum sl_err sl_edge_explain(struct sl_edge *edge, const struct sl_request_input *input,
                            json_t **out, struct sl_error *error)
{
    struct sl_request *req = sl_request_create(edge->router, &sl_wire_openai, ignore_wake, NULL);
    if (req == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    req->input = *input;
    req->input.method = "POST";
    req->input.path = "/v1/chat/completions";
    enum sl_err err = sl_router_explain(edge->router, req, out, error);
    sl_request_release(req);
    return err;
}

/* A request of its own, made from the call's body and headers, that is explained and not walked.
 * `x-sluice-app` says as whom. */
void sl_handle_admin_explain(struct sl_http_call *call)
{
    struct sl_error error = {0};
    json_t *explained = NULL;
    if (!may_administer(call))
        return;
    if (sl_edge_explain(call->ctx, &call->input, &explained, &error) == SL_OK)
        sl_http_call_json(call, explained);
    else
        sl_http_call_fail(call, &error);
}

static enum sl_err read_filter(const json_t *body, struct sl_cache_filter *filter,
                               struct sl_error *error)
{
    const json_t *before = json_object_get(body, "created_before");
    memset(filter, 0, sizeof *filter);
    filter->everything = json_is_true(json_object_get(body, "everything"));
    filter->app = sl_slice_of(json_string_value(json_object_get(body, "app")));
    filter->model = sl_slice_of(json_string_value(json_object_get(body, "model")));
    filter->created_before_s = json_integer_value(before);
    if (filter->everything || filter->app.len > 0 || filter->model.len > 0 ||
        filter->created_before_s > 0)
        return SL_OK;
    return sl_error_set(error, SL_ERR_INVALID,
                        "expected \"everything\": true, \"app\", \"model\" or \"created_before\" "
                        "(seconds since 1970)");
}

void sl_handle_admin_purge(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    struct sl_error error = {0};
    struct sl_cache_filter filter;
    uint64_t purged = 0;
    json_t *body = NULL;
    if (!may_administer(call))
        return;
    enum sl_err err = sl_json_body_parse(call->input.body, &body, &error);
    if (err == SL_OK && edge->cache == NULL)
        err = sl_error_set(&error, SL_ERR_NOT_FOUND, "the cache is off");
    if (err == SL_OK)
        err = read_filter(body, &filter, &error);
    if (err == SL_OK)
        err = sl_cache_purge(edge->cache, &filter, &purged, &error);
    json_decref(body);
    if (err == SL_OK)
        sl_http_call_json(call, json_pack("{s:I}", "purged", (json_int_t)purged));
    else
        sl_http_call_fail(call, &error);
}

void sl_handle_admin_keys(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    struct sl_key_terms terms;
    if (!may_administer(call))
        return;
    json_t *rows = json_array();
    for (size_t i = 0; sl_keys_get(edge->keys, i, &terms); i++)
        json_array_append_new(
            rows, json_pack("{s:s, s:s, s:I, s:i, s:i}", "id", terms.id, "name", terms.name,
                            "created", (json_int_t)terms.created_s, "requests_per_minute",
                            (int)terms.requests_per_minute, "tokens_per_minute",
                            (int)terms.tokens_per_minute));
    sl_http_call_json(call, json_pack("{s:o}", "keys", rows));
}
