/* SPDX-License-Identifier: Apache-2.0
 *
 * The control thread of the router. One thread, asleep most of the time; it wakes every
 * CONTROL_TICK_MS, or at once to stop.
 *
 * Invariant, under `lock`: must_stop never goes back.
 */
#include "control.h"

#include "cache_retire.h"
#include "pipeline.h"
#include "sluice/clock.h"
#include "sluice/log.h"

#include <stdlib.h>

#define CONTROL_TICK_MS 2000     /* a load average moves no faster */
#define PROBE_TIMEOUT_MS 3000    /* a network slower than this is not worth calling online */
#define WORKER_STACK_BYTES (512u << 10)

struct sl_control {
    struct sl_router *router;
    pthread_t thread;
    pthread_mutex_t lock; /* guards must_stop */
    pthread_cond_t wake;
    bool must_stop;
    uint32_t threads; /* as last given to the engine; 0: as configured */
    char retired_for[SL_RETIRE_DIGEST_BYTES]; /* the policy for which old answers were purged */
};

/* Probes the first provider while the network is not well. */
static void probe_cloud(struct sl_control *control, const struct sl_policy *policy)
{
    struct sl_cloud *cloud = control->router->config.cloud;
    if (cloud == NULL || sl_cloud_is_disabled(cloud) || !sl_policy_cloud_is_enabled(policy) ||
        sl_policy_provider_count(policy) == 0)
        return;
    enum sl_network state = sl_cloud_network_state(cloud);
    if (state != SL_NETWORK_OFFLINE && state != SL_NETWORK_DEGRADED)
        return;
    struct sl_error error = {0};
    if (sl_cloud_probe(cloud, &sl_policy_providers(policy)[0], sl_monotonic_ms() + PROBE_TIMEOUT_MS,
                       &error) != SL_OK)
        SL_LOG_DEBUG("control", "the cloud is not reachable: %s", sl_err_code(error.code));
}

/* The lowest thread count that a route asks for in the present state of the device. */
static void adapt_threads(struct sl_control *control, const struct sl_policy *policy,
                          const struct sl_device_state *device)
{
    struct sl_engine *engine = control->router->config.engine;
    uint32_t threads = 0;
    for (size_t i = 0; i < sl_policy_route_count(policy); i++) {
        struct sl_route terms;
        sl_route_resolve(sl_policy_route(policy, i), device, &terms);
        if (terms.local.threads > 0 && (threads == 0 || terms.local.threads < threads))
            threads = terms.local.threads;
    }
    if (engine == NULL || threads == control->threads)
        return;
    SL_LOG_INFO("control", "the local model now uses %u threads (0: as configured)", threads);
    sl_engine_set_threads(engine, threads);
    control->threads = threads;
}

static void tick(struct sl_control *control)
{
    struct sl_router *router = control->router;
    struct sl_device_state device;
    sl_device_reader_read(router->device, sl_monotonic_ms(), &device);
    const struct sl_policy *policy = sl_policy_store_acquire(router->config.policies);
    if (router->config.cloud != NULL)
        device.network = sl_cloud_network_state(router->config.cloud);
    adapt_threads(control, policy, &device);
    sl_cache_retire(router->config.cache, router->config.engine, policy, control->retired_for);
    probe_cloud(control, policy);
    sl_policy_release(policy);
}

static void *control_main(void *arg)
{
    struct sl_control *control = arg;
    pthread_mutex_lock(&control->lock);
    while (!control->must_stop) {
        pthread_mutex_unlock(&control->lock);
        tick(control);
        struct timespec until = sl_deadline_timespec(sl_monotonic_ms() + CONTROL_TICK_MS);
        pthread_mutex_lock(&control->lock);
        if (!control->must_stop)
            pthread_cond_timedwait(&control->wake, &control->lock, &until);
    }
    pthread_mutex_unlock(&control->lock);
    return NULL;
}

enum sl_err sl_control_start(struct sl_router *router, struct sl_control **out,
                             struct sl_error *error)
{
    struct sl_control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    control->router = router;
    pthread_mutex_init(&control->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&control->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
    int rc = pthread_create(&control->thread, &attr, control_main, control);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        free(control);
        return sl_error_set(error, SL_ERR_MEMORY, "cannot start the control thread");
    }
    *out = control;
    return SL_OK;
}

void sl_control_stop(struct sl_control *control)
{
    if (control == NULL)
        return;
    pthread_mutex_lock(&control->lock);
    control->must_stop = true;
    pthread_cond_signal(&control->wake);
    pthread_mutex_unlock(&control->lock);
    pthread_join(control->thread, NULL);
    pthread_cond_destroy(&control->wake);
    pthread_mutex_destroy(&control->lock);
    free(control);
}
