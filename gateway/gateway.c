/* SPDX-License-Identifier: Apache-2.0
 *
 * Builds the parts and hands them to each other: policy, model, cache, cloud, router, listener; and
 * takes them down in the opposite order. The address is bound last, so that a client that gets
 * through is answered; a model that cannot be loaded is an error at start, not at the first request.
 *
 * Threads: start and stop from one; a small thread of its own looks once a second whether the key
 * file changed.
 */
#include "sluice/gateway.h"

#include "gateway_parts.h"
#include "handlers.h"
#include "idempotency.h"
#include "metrics.h"
#include "sluice/clock.h"
#include "sluice/confidence.h"
#include "sluice/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHECK_KEYS_MS 1000
#define IDEMPOTENT_ENTRIES_MAX 1000
#define IDEMPOTENT_BYTES_MAX (16u << 20)

struct sl_gateway {
    struct sl_edge edge;
    struct sl_calibration *calibration;
    struct sl_pii_ledger *ledger;
    struct sl_idempotency *idempotency;
    uint64_t drain_ms;
    char data_dir[512];
    pthread_t control;
    bool has_control;
    pthread_mutex_t control_lock; /* guards must_stop */
    pthread_cond_t control_wake;
    bool must_stop;
    char shadow_rows_path[600];
};

/* ---- parts ---- */

static bool path_in(const struct sl_gateway *gateway, const char *name, char *out, size_t size)
{
    int len = snprintf(out, size, "%s/%s", gateway->data_dir, name);
    return len > 0 && (size_t)len < size;
}

static enum sl_err open_policy(struct sl_gateway *gateway, const struct sl_options *options,
                               struct sl_error *error)
{
    const char *path = options->policy[0] != '\0' ? options->policy : NULL;
    return sl_policy_store_open(path, &gateway->edge.policies, error);
}

static enum sl_err open_calibration(struct sl_gateway *gateway, const struct sl_options *options,
                                    struct sl_error *error)
{
    const uint8_t *digest = sl_engine_info(gateway->edge.engine)->digest;
    if (options->calibration[0] != '\0')
        return sl_calibration_open(options->calibration, digest, &gateway->calibration, error);
    enum sl_err err =
        sl_calibration_open_beside(options->model, digest, &gateway->calibration, error);
    if (err == SL_ERR_NOT_FOUND)
        return SL_OK;
    if (err == SL_ERR_INTEGRITY) { /* one for another model must not stop the box from answering */
        SL_LOG_WARN("gateway", "calibration not used: %s", error->message);
        return SL_OK;
    }
    return err;
}

static enum sl_err open_engine(struct sl_gateway *gateway, const struct sl_options *options,
                               struct sl_error *error)
{
    if (options->model[0] == '\0')
        return SL_OK;
    struct sl_engine_config config = {
        .model_path = options->model,
        .threads = (uint32_t)options->threads,
        .context_tokens_max = (uint32_t)options->context,
        .sequences_max = (uint32_t)options->sequences,
        .kv_type = strcmp(options->kv_type, "q8") == 0    ? SL_KV_Q8
                   : strcmp(options->kv_type, "f32") == 0 ? SL_KV_F32
                                                          : SL_KV_F16};
    enum sl_err err = sl_engine_open(&config, &gateway->edge.engine, error);
    return err == SL_OK ? open_calibration(gateway, options, error) : err;
}

static enum sl_err open_cache(struct sl_gateway *gateway, const struct sl_options *options,
                              struct sl_error *error)
{
    if (!options->cache)
        return SL_OK;
    char path[600], key_path[600];
    if (!path_in(gateway, "cache.db", path, sizeof path) ||
        !path_in(gateway, "cache.key", key_path, sizeof key_path))
        return sl_error_set(error, SL_ERR_LIMIT, "data_dir: path is too long");
    struct sl_cache_config config;
    sl_cache_config_init(&config);
    config.path = path;
    config.key_path = key_path;
    config.bytes_max = options->cache_bytes_max;
    config.memory_bytes_max = options->cache_memory_max;
    config.redis_url = options->redis_url[0] != '\0' ? options->redis_url : NULL;
    return sl_cache_open(&config, &gateway->edge.cache, error);
}

static enum sl_err open_cloud(struct sl_gateway *gateway, const struct sl_options *options,
                              struct sl_error *error)
{
    char path[600];
    if (!options->cloud)
        return SL_OK;
    struct sl_cloud_options cloud = {
        .data_folder = gateway->data_dir,
        .ca_file = options->cloud_ca_file[0] != '\0' ? options->cloud_ca_file : NULL};
    enum sl_err err = sl_cloud_create(&cloud, &gateway->edge.cloud, error);
    if (err == SL_OK && !path_in(gateway, "egress.jsonl", path, sizeof path))
        err = sl_error_set(error, SL_ERR_LIMIT, "data_dir: path is too long");
    if (err == SL_OK)
        err = sl_pii_ledger_open(path, &gateway->ledger, error);
    return err;
}

static enum sl_err open_router(struct sl_gateway *gateway, const struct sl_options *options,
                               struct sl_error *error)
{
    struct sl_edge *edge = &gateway->edge;
    if (!path_in(gateway, "shadow.jsonl", gateway->shadow_rows_path,
                 sizeof gateway->shadow_rows_path))
        return sl_error_set(error, SL_ERR_LIMIT, "data_dir: path is too long");
    struct sl_router_config config = {
        .shadow_rows_path = gateway->shadow_rows_path,
        .engine = edge->engine,
        .calibration = gateway->calibration,
        .cache = edge->cache,
        .cloud = edge->cloud,
        .policies = edge->policies,
        .ledger = gateway->ledger,
        .edge = {.ctx = edge,
                 .parse = sl_edge_parse,
                 .authenticate = sl_edge_authenticate,
                 .respond = sl_edge_respond,
                 .respond_head = sl_edge_respond_head,
                 .at_death = sl_edge_at_death},
        .workers = (uint32_t)options->workers,
        .queue_max = (uint32_t)options->queue,
        .deadline_ms = (uint32_t)(options->request_seconds * 1000),
        /* A body, its headers, and what stages copy of them. */
        .request_bytes_max = 2 * options->body_bytes_max + (4u << 20)};
    return sl_router_create(&config, &edge->router, error);
}

static enum sl_err open_metrics(struct sl_gateway *gateway, const struct sl_options *options,
                                struct sl_error *error)
{
    (void)options;
    (void)error;
    sl_metrics_start(&gateway->edge);
    return SL_OK;
}

static enum sl_err open_listener(struct sl_gateway *gateway, const struct sl_options *options,
                                 struct sl_error *error)
{
    struct sl_edge *edge = &gateway->edge;
    gateway->idempotency = sl_idempotency_create(IDEMPOTENT_ENTRIES_MAX, IDEMPOTENT_BYTES_MAX);
    if (gateway->idempotency == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    struct sl_http_config config = {.listen = options->listen,
                                    .tls_cert_path = options->tls_cert,
                                    .tls_key_path = options->tls_key,
                                    .routes = sl_routes,
                                    .route_count = sl_route_count,
                                    .router = edge->router,
                                    .idempotency = gateway->idempotency,
                                    .ctx = edge,
                                    .threads = (uint32_t)options->listener_threads,
                                    .connections_max = (uint32_t)options->connections_max,
                                    .connections_per_ip = (uint32_t)options->connections_per_ip,
                                    .body_bytes_max = options->body_bytes_max,
                                    .header_ms = options->header_seconds * 1000,
                                    .body_ms = options->body_seconds * 1000,
                                    .idle_ms = options->idle_seconds * 1000,
                                    .ping_ms = options->ping_seconds * 1000};
    return sl_http_server_start(&config, &edge->server, error);
}

/* ---- keys and tokens ---- */

/* A public address is never served without keys: one is made and shown once. */
static enum sl_err demand_keys(struct sl_gateway *gateway, const struct sl_options *options,
                               struct sl_error *error)
{
    struct sl_edge *edge = &gateway->edge;
    bool is_public;
    enum sl_err err = sl_http_listen_is_public(options->listen, &is_public, error);
    edge->demands_keys = err == SL_OK && (is_public || options->require_keys);
    if (err != SL_OK || !edge->demands_keys || sl_keys_count(edge->keys) > 0)
        return err;
    struct sl_key_terms terms = {.name = "first"};
    char text[SL_KEY_TEXT_BYTES];
    err = sl_keys_add(edge->keys, &terms, text, error);
    if (err == SL_OK)
        fprintf(stderr,
                "No API key existed and this address demands one. This one was made; it is shown "
                "only now:\n\n    %s\n\n",
                text);
    sl_wipe(text, sizeof text);
    return err;
}

static enum sl_err open_keys(struct sl_gateway *gateway, const struct sl_options *options,
                             struct sl_error *error)
{
    char path[600];
    if (options->keys_file[0] == '\0' && !path_in(gateway, "keys.json", path, sizeof path))
        return sl_error_set(error, SL_ERR_LIMIT, "data_dir: path is too long");
    gateway->edge.limits = sl_rate_limits_create();
    if (gateway->edge.limits == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    return sl_keys_open(options->keys_file[0] != '\0' ? options->keys_file : path,
                        &gateway->edge.keys, error);
}

static enum sl_err read_admin_token(struct sl_edge *edge, struct sl_error *error)
{
    if (edge->admin_token_path[0] == '\0')
        return SL_OK;
    struct sl_secret *token;
    enum sl_err err = sl_secret_from_file(edge->admin_token_path, true, &token, error);
    if (err != SL_OK)
        return err;
    pthread_rwlock_wrlock(&edge->admin_lock);
    struct sl_secret *old = edge->admin_token;
    edge->admin_token = token;
    pthread_rwlock_unlock(&edge->admin_lock);
    sl_secret_free(old);
    return SL_OK;
}

static void *control_main(void *arg)
{
    struct sl_gateway *gateway = arg;
    pthread_mutex_lock(&gateway->control_lock);
    while (!gateway->must_stop) {
        struct timespec until = sl_deadline_timespec(sl_monotonic_ms() + CHECK_KEYS_MS);
        pthread_cond_timedwait(&gateway->control_wake, &gateway->control_lock, &until);
        pthread_mutex_unlock(&gateway->control_lock);
        sl_keys_reload_if_changed(gateway->edge.keys);
        pthread_mutex_lock(&gateway->control_lock);
    }
    pthread_mutex_unlock(&gateway->control_lock);
    return NULL;
}

static enum sl_err start_control(struct sl_gateway *gateway, struct sl_error *error)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&gateway->control_lock, NULL);
    pthread_cond_init(&gateway->control_wake, &attr);
    pthread_condattr_destroy(&attr);
    gateway->has_control = pthread_create(&gateway->control, NULL, control_main, gateway) == 0;
    return gateway->has_control ? SL_OK : sl_error_set(error, SL_ERR_MEMORY, NULL);
}

static void stop_control(struct sl_gateway *gateway)
{
    if (!gateway->has_control)
        return;
    pthread_mutex_lock(&gateway->control_lock);
    gateway->must_stop = true;
    pthread_cond_signal(&gateway->control_wake);
    pthread_mutex_unlock(&gateway->control_lock);
    pthread_join(gateway->control, NULL);
    pthread_cond_destroy(&gateway->control_wake);
    pthread_mutex_destroy(&gateway->control_lock);
}

/* ---- life ---- */

static enum sl_err open_access_log(struct sl_gateway *gateway, const struct sl_options *options,
                                   struct sl_error *error)
{
    if (strcmp(options->access_log, "off") == 0)
        return SL_OK;
    return sl_access_log_open(options->access_log, strcmp(options->log_format, "json") == 0,
                              &gateway->edge.access_log, error);
}

static enum sl_err open_parts(struct sl_gateway *gateway, const struct sl_options *options,
                              struct sl_error *error)
{
    typedef enum sl_err (*open_fn)(struct sl_gateway *, const struct sl_options *,
                                   struct sl_error *);
    static const open_fn steps[] = {open_keys,  open_policy, open_engine, open_cache,
                                    open_cloud, open_router, open_metrics};
    enum sl_err err =
        sl_options_data_dir(options, gateway->data_dir, sizeof gateway->data_dir, error);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && err == SL_OK; i++)
        err = steps[i](gateway, options, error);
    return err;
}

static enum sl_err open_service(struct sl_gateway *gateway, const struct sl_options *options,
                                struct sl_error *error)
{
    enum sl_err err = open_access_log(gateway, options, error);
    if (err == SL_OK)
        err = demand_keys(gateway, options, error);
    if (err == SL_OK)
        err = read_admin_token(&gateway->edge, error);
    if (err == SL_OK)
        err = sl_router_start(gateway->edge.router, error);
    if (err == SL_OK)
        err = open_listener(gateway, options, error);
    if (err == SL_OK)
        err = sl_policy_store_start(gateway->edge.policies, error);
    return err == SL_OK ? start_control(gateway, error) : err;
}

static void close_parts(struct sl_gateway *gateway)
{
    struct sl_edge *edge = &gateway->edge;
    sl_http_server_stop(edge->server);
    sl_router_close(edge->router, 0);
    stop_control(gateway);
    sl_policy_store_close(edge->policies);
    sl_idempotency_free(gateway->idempotency);
    sl_cloud_free(edge->cloud);
    sl_pii_ledger_close(gateway->ledger);
    sl_cache_close(edge->cache);
    sl_calibration_free(gateway->calibration);
    sl_engine_close(edge->engine);
    sl_rate_limits_free(edge->limits);
    sl_keys_close(edge->keys);
    sl_access_log_close(edge->access_log);
    sl_secret_free(edge->admin_token);
    pthread_rwlock_destroy(&edge->admin_lock);
    free(gateway);
}

enum sl_err sl_gateway_open_parts(const struct sl_options *options, struct sl_gateway **out,
                                  struct sl_error *error)
{
    struct sl_gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    struct sl_edge *edge = &gateway->edge;
    json_object_seed(0); /* from the kernel's randomness, before threads parse */
    pthread_rwlock_init(&edge->admin_lock, NULL);
    gateway->drain_ms = options->drain_seconds * 1000;
    edge->started_ms = sl_monotonic_ms();
    edge->has_metrics = options->metrics;
    edge->has_dashboard = options->dashboard;
    edge->admin_is_remote = options->admin_remote;
    snprintf(edge->admin_token_path, sizeof edge->admin_token_path, "%s",
             options->admin_token_file);
    snprintf(edge->cloud_label, sizeof edge->cloud_label, "%s", options->cloud_label);
    enum sl_err err = open_parts(gateway, options, error);
    if (err != SL_OK) {
        close_parts(gateway);
        return err;
    }
    *out = gateway;
    return SL_OK;
}

enum sl_err sl_gateway_start(const struct sl_options *options, struct sl_gateway **out,
                             struct sl_error *error)
{
    struct sl_gateway *gateway;
    enum sl_err err = sl_gateway_open_parts(options, &gateway, error);
    if (err != SL_OK)
        return err;
    err = open_service(gateway, options, error);
    if (err != SL_OK) {
        close_parts(gateway);
        return err;
    }
    atomic_store(&gateway->edge.is_ready, true);
    *out = gateway;
    return SL_OK;
}

struct sl_edge *sl_gateway_edge(struct sl_gateway *gateway) { return &gateway->edge; }

const char *sl_gateway_url(const struct sl_gateway *gateway)
{
    return sl_http_server_url(gateway->edge.server);
}

void sl_gateway_reload(struct sl_gateway *gateway)
{
    struct sl_error error = {0};
    sl_keys_reload_if_changed(gateway->edge.keys);
    sl_access_log_reopen(gateway->edge.access_log);
    if (read_admin_token(&gateway->edge, &error) != SL_OK)
        SL_LOG_ERROR("gateway", "the old admin token stays: %s", error.message);
    if (sl_policy_store_reload(gateway->edge.policies, &error) != SL_OK)
        SL_LOG_ERROR("gateway", "the old policy stays: %s", error.message);
}

void sl_gateway_stop(struct sl_gateway *gateway)
{
    if (gateway == NULL)
        return;
    struct sl_edge *edge = &gateway->edge;
    atomic_store(&edge->is_ready, false);
    if (edge->server != NULL)
        sl_http_server_quiesce(edge->server);
    uint64_t deadline_ms = sl_monotonic_ms() + gateway->drain_ms;
    const struct timespec tick = {.tv_nsec = 5000000};
    while (sl_router_inflight(edge->router) > 0 && sl_monotonic_ms() < deadline_ms)
        nanosleep(&tick, NULL);
    uint32_t left = sl_router_inflight(edge->router);
    if (left > 0)
        SL_LOG_WARN("gateway", "%u requests did not finish in time and are cancelled", left);
    if (edge->cloud != NULL && left > 0)
        sl_cloud_stop(edge->cloud);
    close_parts(gateway);
}
