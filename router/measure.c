/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring: one place that asks the engine, the cloud, the device and the session table, so that
 * the decision itself stays a pure function. Any thread that owns the request.
 */
#include "measure.h"

#include "pipeline.h"
#include "sessions.h"

#include <string.h>

struct sl_slice sl_last_user_text(const json_t *chat)
{
    const json_t *messages = json_object_get(chat, "messages");
    for (size_t i = json_array_size(messages); i-- > 0;) {
        const json_t *message = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        if (role == NULL || strcmp(role, "user") != 0)
            continue;
        const json_t *content = json_object_get(message, "content");
        for (size_t part = 0; part < json_array_size(content); part++) {
            const json_t *text = json_object_get(json_array_get(content, part), "text");
            if (json_is_string(text))
                return (struct sl_slice){json_string_value(text), json_string_length(text)};
        }
        if (json_is_string(content))
            return (struct sl_slice){json_string_value(content), json_string_length(content)};
        break;
    }
    return (struct sl_slice){"", 0};
}

size_t sl_measure_targets(const struct sl_request *req, struct sl_cloud_target *targets)
{
    const struct sl_auth_section *auth = &req->auth;
    size_t count = 0;
    if (auth->choice.kind == SL_MODEL_TARGET) {
        targets[count++] = auth->choice.target;
    } else {
        for (; count < auth->route.cloud.target_count; count++)
            targets[count] = auth->route.cloud.targets[count];
    }
    for (size_t i = 0; i < count; i++)
        if (targets[i].model == NULL || targets[i].model[0] == '\0')
            targets[i].model = req->parse.model.data;
    return count;
}

static void measure_cloud(struct sl_request *req, struct sl_measurements *m)
{
    struct sl_cloud *cloud = req->router->config.cloud;
    struct sl_cloud_target targets[SL_CLOUD_TARGETS_MAX];
    m->cloud_is_possible = false;
    m->cloud_is_available = false;
    if (cloud == NULL || sl_cloud_is_disabled(cloud) || !sl_policy_cloud_is_enabled(req->auth.policy))
        return;
    size_t count = sl_measure_targets(req, targets);
    m->cloud_is_possible = count > 0;
    for (size_t i = 0; i < count && !m->cloud_is_available; i++)
        m->cloud_is_available = sl_cloud_would_try(cloud, &targets[i]);
    m->cloud_budget_is_spent =
        !sl_cloud_budget_allows(cloud, req->auth.app, &req->auth.route.budget);
    m->device.network = sl_cloud_network_state(cloud);
}

static void measure_local(struct sl_request *req, struct sl_measurements *m)
{
    struct sl_engine *engine = req->router->config.engine;
    if (engine == NULL)
        return;
    const struct sl_model_info *model = sl_engine_info(engine);
    struct sl_engine_load load;
    sl_engine_load(engine, &load);
    m->local_is_ready = model->can_generate;
    /* The engine says so itself when its queue is full; this only spares the try. */
    m->local_has_room = true;
    m->local_window = model->context_tokens;
    m->local_features = SL_FEATURE_JSON | SL_FEATURE_SCHEMA | SL_FEATURE_LOGPROBS;
    if (model->has_tools)
        m->local_features |= SL_FEATURE_TOOLS;
}

void sl_measure_again(struct sl_request *req)
{
    struct sl_measurements *m = &req->decide.measured;
    sl_device_reader_state(req->router->device, &m->device);
    measure_cloud(req, m);
}

/* A model name that names a side is a mode; with a header it must not say the opposite. */
static enum sl_err mode_of(const struct sl_request *req, enum sl_mode *out, struct sl_error *error)
{
    enum sl_mode asked = req->parse.mode;
    enum sl_mode named = SL_MODE_UNSET;
    switch (req->auth.choice.kind) {
    case SL_MODEL_LOCAL:
        named = SL_MODE_LOCAL_ONLY;
        break;
    case SL_MODEL_CLOUD:
    case SL_MODEL_TARGET:
        named = SL_MODE_CLOUD_ONLY;
        break;
    case SL_MODEL_AUTO:
        break;
    case SL_MODEL_UNKNOWN:
        return sl_error_set_param(error, SL_ERR_MODEL_NOT_FOUND, "model",
                                  "no model of that name: GET /v1/models lists the names; `auto` "
                                  "lets Sluice choose");
    }
    if ((named == SL_MODE_LOCAL_ONLY && asked == SL_MODE_CLOUD_ONLY) ||
        (named == SL_MODE_CLOUD_ONLY && asked == SL_MODE_LOCAL_ONLY))
        return sl_error_set_param(error, SL_ERR_INVALID, "model",
                                  "the model is on one side and x-sluice-mode asks for the other");
    *out = named != SL_MODE_UNSET ? named : asked;
    return SL_OK;
}

enum sl_err sl_measure_request(struct sl_request *req, struct sl_error *error)
{
    struct sl_measurements *m = &req->decide.measured;
    enum sl_err err = mode_of(req, &m->mode, error);
    if (err != SL_OK)
        return err;
    m->features = req->parse.features;
    m->output_tokens = req->parse.tokens_max;
    measure_local(req, m);
    sl_measure_again(req);
    if (req->auth.route.sticky)
        m->session_side = sl_sessions_side(req->router->sessions, req);
    return SL_OK;
}
