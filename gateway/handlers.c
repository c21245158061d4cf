/* SPDX-License-Identifier: Apache-2.0
 *
 * Health, readiness, metrics and the model list. /health says that the process lives, /ready that it
 * can answer; both are open, since what asks for them has no key.
 */
#include "handlers.h"

#include "metrics.h"
#include "sluice/clock.h"

/* ---- health ---- */

void sl_handle_health(struct sl_http_call *call)
{
    if (sl_buf_append_text(&call->body, "{\"status\":\"ok\"}") != SL_OK)
        call->status = 503;
}

/* Ready: a local model is loaded, or a cloud may be asked. */
void sl_handle_ready(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    bool is_draining = edge->server != NULL && sl_http_server_is_draining(edge->server);
    bool has_local = edge->engine != NULL && sl_engine_info(edge->engine)->can_generate;
    bool has_cloud = edge->cloud != NULL && !sl_cloud_is_disabled(edge->cloud);
    bool is_ready = atomic_load(&edge->is_ready) && !is_draining && (has_local || has_cloud);
    call->status = is_ready ? 200 : 503;
    const char *status = is_ready      ? "ready"
                         : is_draining ? "draining"
                         : atomic_load(&edge->is_ready) ? "no model and no cloud"
                                                        : "starting";
    const char *network =
        edge->cloud != NULL ? sl_network_word(sl_cloud_network_state(edge->cloud)) : "off";
    json_t *body = json_pack(
        "{s:s, s:s*, s:s, s:s, s:s*}", "status", status, "model",
        has_local ? sl_engine_info(edge->engine)->name : NULL, "cloud", network, "cache",
        edge->cache != NULL ? sl_cache_state_name(sl_cache_state(edge->cache)) : "disabled",
        "cloud_label", edge->cloud_label[0] != '\0' ? edge->cloud_label : NULL);
    sl_http_call_json(call, body);
}

/* ---- metrics ---- */

/* From this machine, or with a key: what models run how often is nobody else's business. */
void sl_handle_metrics(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    struct sl_error error = {0};
    struct sl_key_terms terms;
    enum sl_err err = edge->has_metrics ? SL_OK : sl_error_set(&error, SL_ERR_NOT_FOUND, NULL);
    if (err == SL_OK && !call->is_loopback)
        err = sl_edge_identify_call(edge, call, &terms, &error);
    if (err == SL_OK) {
        call->content_type = "text/plain; version=0.0.4; charset=utf-8";
        err = sl_metrics_render(edge, &call->body);
        if (err != SL_OK)
            sl_error_set(&error, err, NULL);
    }
    if (err != SL_OK)
        sl_http_call_fail(call, &error);
}

/* ---- models ---- */

static json_t *model_json(const char *name, const char *owned_by, int64_t created_s)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "id", name, "object", "model", "created",
                     (json_int_t)created_s, "owned_by", owned_by);
}

struct model_list {
    json_t *rows;
    int64_t created_s;
};

static void add_model(void *ctx, const char *name, const char *owned_by)
{
    struct model_list *list = ctx;
    for (size_t i = 0; i < json_array_size(list->rows); i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(list->rows, i), "id")),
                   name) == 0)
            return;
    json_array_append_new(list->rows, model_json(name, owned_by, list->created_s));
}

/* Every name that a client may put into `model`. */
static json_t *list_models(struct sl_edge *edge)
{
    struct model_list list = {.rows = json_array(),
                              .created_s = sl_wall_seconds() -
                                           (int64_t)(sl_monotonic_ms() - edge->started_ms) / 1000};
    const struct sl_policy *policy = sl_policy_store_acquire(edge->policies);
    add_model(&list, "auto", "sluice");
    if (edge->engine != NULL && sl_engine_info(edge->engine)->can_generate) {
        add_model(&list, "local", "sluice");
        add_model(&list, sl_engine_info(edge->engine)->name, "local");
    }
    sl_policy_model_names(policy, add_model, &list);
    sl_policy_release(policy);
    return list.rows;
}

static bool may_ask(struct sl_http_call *call)
{
    struct sl_error error = {0};
    struct sl_key_terms terms;
    if (sl_edge_identify_call(call->ctx, call, &terms, &error) == SL_OK)
        return true;
    sl_http_call_fail(call, &error);
    return false;
}

void sl_handle_models(struct sl_http_call *call)
{
    if (may_ask(call))
        sl_http_call_json(call, json_pack("{s:s, s:o}", "object", "list", "data",
                                          list_models(call->ctx)));
}

void sl_handle_model(struct sl_http_call *call)
{
    if (!may_ask(call))
        return;
    json_t *rows = list_models(call->ctx);
    json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(rows) && found == NULL; i++) {
        json_t *row = json_array_get(rows, i);
        if (strcmp(json_string_value(json_object_get(row, "id")), call->path_rest) == 0)
            found = json_incref(row);
    }
    json_decref(rows);
    if (found != NULL) {
        sl_http_call_json(call, found);
        return;
    }
    struct sl_error error = {0};
    sl_error_set_param(&error, SL_ERR_MODEL_NOT_FOUND, "model", "no model of that name");
    sl_http_call_fail(call, &error);
}
