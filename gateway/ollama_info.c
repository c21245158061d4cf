/* SPDX-License-Identifier: Apache-2.0
 *
 * What Ollama's clients ask before they chat: version, list of models, one model. Source: Ollama's
 * docs/api.md. Runs on a listener thread.
 */
#include "handlers.h"

#include "json_body.h"
#include "sluice/clock.h"
#include "sluice/crypto.h"

#include <stdio.h>
#include <time.h>

void sl_handle_ollama_version(struct sl_http_call *call)
{
    sl_http_call_json(call, json_pack("{s:s}", "version", SLUICE_VERSION));
}

/* `info` NULL: a name that is no local model. */
static json_t *details_json(const struct sl_model_info *info)
{
    char size[24] = "unknown";
    if (info == NULL)
        return json_pack("{s:s, s:s, s:s, s:s}", "format", "api", "family", "cloud",
                         "parameter_size", size, "quantization_level", "none");
    snprintf(size, sizeof size, "%.1fM", (double)info->parameters / 1e6);
    return json_pack("{s:s, s:s, s:s, s:s}", "format", "gguf", "family", info->architecture,
                     "parameter_size", size, "quantization_level", info->quantization);
}

struct tag_list {
    json_t *rows;
    const struct sl_model_info *info; /* of the local model, or NULL */
    char modified[32];
};

static void add_tag(void *ctx, const char *name, const char *owned_by)
{
    struct tag_list *list = ctx;
    char digest[65] = "";
    (void)owned_by;
    bool is_local = list->info != NULL &&
                    (strcmp(name, list->info->name) == 0 || strcmp(name, "local") == 0);
    if (is_local)
        sl_hex_encode(list->info->digest, sizeof list->info->digest, digest);
    json_array_append_new(
        list->rows,
        json_pack("{s:s, s:s, s:s, s:I, s:s, s:o}", "name", name, "model", name, "modified_at",
                  list->modified, "size", (json_int_t)(is_local ? list->info->file_bytes : 0),
                  "digest", digest, "details", details_json(is_local ? list->info : NULL)));
}

static void format_start(const struct sl_edge *edge, char out[32])
{
    struct tm tm;
    time_t start =
        (time_t)(sl_wall_seconds() - (int64_t)(sl_monotonic_ms() - edge->started_ms) / 1000);
    gmtime_r(&start, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
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

void sl_handle_ollama_tags(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    if (!may_ask(call))
        return;
    struct tag_list list = {.rows = json_array()};
    if (edge->engine != NULL && sl_engine_info(edge->engine)->can_generate)
        list.info = sl_engine_info(edge->engine);
    format_start(edge, list.modified);
    if (list.info != NULL)
        add_tag(&list, list.info->name, "local");
    const struct sl_policy *policy = sl_policy_store_acquire(edge->policies);
    sl_policy_model_names(policy, add_tag, &list);
    sl_policy_release(policy);
    sl_http_call_json(call, json_pack("{s:o}", "models", list.rows));
}

void sl_handle_ollama_show(struct sl_http_call *call)
{
    struct sl_edge *edge = call->ctx;
    struct sl_error error = {0};
    json_t *body;
    if (!may_ask(call))
        return;
    if (sl_json_body_parse(call->input.body, &body, &error) != SL_OK) {
        sl_http_call_fail(call, &error);
        return;
    }
    const char *name = json_string_value(json_object_get(body, "model"));
    if (name == NULL)
        name = json_string_value(json_object_get(body, "name"));
    const struct sl_model_info *info = edge->engine != NULL ? sl_engine_info(edge->engine) : NULL;
    const struct sl_policy *policy = sl_policy_store_acquire(edge->policies);
    struct sl_model_choice choice = {.kind = SL_MODEL_UNKNOWN};
    if (name != NULL)
        sl_policy_model(policy, name, info != NULL ? info->name : NULL, &choice);
    if (choice.kind == SL_MODEL_UNKNOWN) {
        sl_error_set_param(&error, SL_ERR_MODEL_NOT_FOUND, "model", "no model of that name");
        sl_http_call_fail(call, &error);
    } else {
        bool is_local = choice.kind == SL_MODEL_LOCAL && info != NULL;
        sl_http_call_json(call, json_pack("{s:o, s:[s]}", "details",
                                          details_json(is_local ? info : NULL), "capabilities",
                                          "completion"));
    }
    sl_policy_release(policy);
    json_decref(body);
}
