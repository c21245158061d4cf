/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of provider_state.h. Small and scanned linearly: a policy has a handful of providers
 * with a handful of models.
 *
 * Invariants, under `lock`: 1. Providers are never removed (their names come from the operator's
 * policies). 2. A model's slot is reused, oldest first, once MODELS_MAX are known: names of models
 * may come from clients. 3. A key is read again when its file's identity, size or time changed.
 */
#include "provider_state.h"

#include "retry_budget.h"
#include "sluice/clock.h"
#include "sluice/log.h"
#include "sluice/metric.h"
#include "sluice/secret.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PROVIDERS_MAX 64
#define MODELS_MAX 256
#define LATENCIES_MAX 64       /* a quantile of 0.95 rests on three of them; older ones are stale */
#define LATENCIES_FOR_HEDGE 16 /* fewer say nothing about a high quantile */

struct model_state {
    char name[SL_MODEL_NAME_MAX]; /* "": a free slot */
    size_t provider;
    struct sl_breaker breaker;
    uint64_t cool_until_ms;
    uint64_t used_at_ms;
    uint32_t latencies_ms[LATENCIES_MAX]; /* a ring of first-token times */
    size_t latency_head;
    size_t latency_count;
};

struct provider_state {
    char name[SL_CLOUD_NAME_MAX];
    struct sl_retry_budget retry_budget;
    struct sl_series *breaker_series;
    struct sl_secret *file_key;
    char *key_path;
    struct stat key_stat;
};

struct sl_provider_states {
    pthread_mutex_t lock; /* guards all below */
    struct provider_state providers[PROVIDERS_MAX];
    size_t provider_count;
    struct model_state models[MODELS_MAX];
    struct sl_network_history network;
    struct sl_metric *breaker_metric;
    struct sl_series *network_series;
};

struct sl_provider_states *sl_provider_states_create(void)
{
    struct sl_provider_states *states = calloc(1, sizeof *states);
    if (states == NULL)
        return NULL;
    pthread_mutex_init(&states->lock, NULL);
    states->breaker_metric = sl_metric_gauge(
        "sluice_breaker_state", "Circuit breaker of a provider: 0 closed, 1 half open, 2 open.",
        (const char *const[]){"provider", NULL});
    states->network_series = sl_metric_series(
        sl_metric_gauge("sluice_network_state", "Network: 0 online, 1 degraded, 2 offline.", NULL),
        NULL);
    return states;
}

void sl_provider_states_free(struct sl_provider_states *states)
{
    if (states == NULL)
        return;
    for (size_t i = 0; i < states->provider_count; i++) {
        sl_secret_free(states->providers[i].file_key);
        free(states->providers[i].key_path);
    }
    pthread_mutex_destroy(&states->lock);
    free(states);
}

/* ---- Finding; all under the lock ---- */

/* The last slot serves every provider past the cap: they then share a retry budget. */
static struct provider_state *find_provider(struct sl_provider_states *states, const char *name)
{
    for (size_t i = 0; i < states->provider_count; i++)
        if (strcmp(states->providers[i].name, name) == 0)
            return &states->providers[i];
    if (states->provider_count == PROVIDERS_MAX)
        return &states->providers[PROVIDERS_MAX - 1];
    struct provider_state *provider = &states->providers[states->provider_count++];
    snprintf(provider->name, sizeof provider->name, "%s", name);
    provider->breaker_series =
        sl_metric_series(states->breaker_metric, (const char *const[]){provider->name});
    return provider;
}

static struct model_state *find_model(struct sl_provider_states *states, const char *provider_name,
                                      const char *name, uint64_t now_ms)
{
    size_t provider = (size_t)(find_provider(states, provider_name) - states->providers);
    struct model_state *oldest = &states->models[0];
    for (size_t i = 0; i < MODELS_MAX; i++) {
        struct model_state *model = &states->models[i];
        if (model->name[0] != '\0' && model->provider == provider &&
            strncmp(model->name, name, sizeof model->name - 1) == 0) {
            model->used_at_ms = now_ms;
            return model;
        }
        if (model->used_at_ms < oldest->used_at_ms)
            oldest = model;
    }
    memset(oldest, 0, sizeof *oldest);
    snprintf(oldest->name, sizeof oldest->name, "%s", name);
    oldest->provider = provider;
    oldest->used_at_ms = now_ms;
    return oldest;
}

static struct sl_breaker_settings breaker_settings(const struct sl_cloud_provider_config *config)
{
    return (struct sl_breaker_settings){.failures = config->breaker_failures,
                                        .failure_ratio = config->breaker_failure_ratio,
                                        .window_ms = config->breaker_window_ms,
                                        .open_ms = config->breaker_open_ms,
                                        .open_max_ms = config->breaker_open_max_ms};
}

static enum sl_breaker_state worst_breaker(const struct sl_provider_states *states, size_t provider)
{
    enum sl_breaker_state worst = SL_BREAKER_CLOSED;
    for (size_t i = 0; i < MODELS_MAX; i++)
        if (states->models[i].name[0] != '\0' && states->models[i].provider == provider &&
            states->models[i].breaker.state > worst)
            worst = states->models[i].breaker.state;
    return worst;
}

static void publish_breaker(struct sl_provider_states *states, size_t provider)
{
    struct sl_series *series = states->providers[provider].breaker_series;
    if (series != NULL)
        sl_series_set(series, (double)worst_breaker(states, provider));
}

/* ---- Asking ---- */

struct sl_provider_admission sl_provider_states_admit(struct sl_provider_states *states,
                                                      const struct sl_cloud_provider_config *config,
                                                      const char *model_name, bool ignores_cooling,
                                                      uint64_t now_ms)
{
    struct sl_provider_admission admission = {.verdict = SL_BREAKER_REFUSE};
    struct sl_breaker_settings settings = breaker_settings(config);
    pthread_mutex_lock(&states->lock);
    struct model_state *model = find_model(states, config->name, model_name, now_ms);
    if (!ignores_cooling && now_ms < model->cool_until_ms) {
        admission.is_cooling = true;
        admission.again_at_ms = model->cool_until_ms;
    } else {
        admission.verdict = sl_breaker_ask(&model->breaker, &settings, now_ms);
        admission.again_at_ms = sl_breaker_probe_at_ms(&model->breaker);
        publish_breaker(states, model->provider);
    }
    pthread_mutex_unlock(&states->lock);
    return admission;
}

bool sl_provider_states_would_admit(struct sl_provider_states *states,
                                    const struct sl_cloud_provider_config *config,
                                    const char *model_name, uint64_t now_ms)
{
    pthread_mutex_lock(&states->lock);
    const struct model_state *model = find_model(states, config->name, model_name, now_ms);
    bool is_admitted =
        now_ms >= model->cool_until_ms && !sl_breaker_would_refuse(&model->breaker, now_ms);
    pthread_mutex_unlock(&states->lock);
    return is_admitted;
}

/* ---- Noting ---- */

static void note_network(struct sl_provider_states *states, bool reached, uint64_t now_ms)
{
    enum sl_network before = sl_network_judge(&states->network, now_ms);
    sl_network_note(&states->network, reached, now_ms);
    enum sl_network after = sl_network_judge(&states->network, now_ms);
    if (states->network_series != NULL)
        sl_series_set(states->network_series, (double)(after - SL_NETWORK_ONLINE));
    if (before != after)
        SL_LOG_INFO("cloud", "network is %s, was %s", sl_network_word(after),
                    sl_network_word(before));
}

static void note_breaker(struct sl_provider_states *states, struct model_state *model,
                         const struct sl_cloud_provider_config *config,
                         const struct sl_provider_note *note, uint64_t now_ms)
{
    struct sl_breaker_settings settings = breaker_settings(config);
    enum sl_breaker_state before = model->breaker.state;
    sl_breaker_note(&model->breaker, &settings, note->failed, note->was_probe, now_ms);
    if (before != model->breaker.state)
        SL_LOG_WARN("cloud", "breaker of provider %s is %s, was %s", config->name,
                    sl_breaker_state_word(model->breaker.state), sl_breaker_state_word(before));
    publish_breaker(states, model->provider);
}

void sl_provider_states_note(struct sl_provider_states *states,
                             const struct sl_cloud_provider_config *config, const char *model_name,
                             const struct sl_provider_note *note, uint64_t now_ms)
{
    pthread_mutex_lock(&states->lock);
    struct model_state *model = find_model(states, config->name, model_name, now_ms);
    if (note->is_network_outcome)
        note_network(states, note->reached, now_ms);
    if (note->says_nothing) {
        if (note->was_probe)
            sl_breaker_abandon_probe(&model->breaker);
    } else {
        note_breaker(states, model, config, note, now_ms);
    }
    if (note->cool_ms > 0)
        model->cool_until_ms = now_ms + note->cool_ms;
    if (note->first_token_ms > 0) {
        size_t idx = (model->latency_head + model->latency_count) % LATENCIES_MAX;
        if (model->latency_count == LATENCIES_MAX)
            model->latency_head = (model->latency_head + 1) % LATENCIES_MAX;
        else
            model->latency_count++;
        model->latencies_ms[idx] = note->first_token_ms;
    }
    pthread_mutex_unlock(&states->lock);
}

void sl_provider_states_note_network(struct sl_provider_states *states, bool reached,
                                     uint64_t now_ms)
{
    pthread_mutex_lock(&states->lock);
    note_network(states, reached, now_ms);
    pthread_mutex_unlock(&states->lock);
}

/* ---- Retries and hedges ---- */

void sl_provider_states_earn_retry(struct sl_provider_states *states,
                                   const struct sl_cloud_provider_config *config)
{
    pthread_mutex_lock(&states->lock);
    sl_retry_budget_earn(&find_provider(states, config->name)->retry_budget,
                         config->retry_budget_ratio, config->retry_budget_burst);
    pthread_mutex_unlock(&states->lock);
}

bool sl_provider_states_spend_retry(struct sl_provider_states *states,
                                    const struct sl_cloud_provider_config *config)
{
    pthread_mutex_lock(&states->lock);
    bool is_allowed = sl_retry_budget_spend(&find_provider(states, config->name)->retry_budget,
                                            config->retry_budget_burst);
    pthread_mutex_unlock(&states->lock);
    return is_allowed;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

uint32_t sl_provider_states_hedge_after_ms(struct sl_provider_states *states,
                                           const struct sl_cloud_provider_config *config,
                                           const char *model_name)
{
    uint32_t sorted[LATENCIES_MAX];
    if (config->hedge_quantile <= 0)
        return UINT32_MAX;
    pthread_mutex_lock(&states->lock);
    const struct model_state *model =
        find_model(states, config->name, model_name, sl_monotonic_ms());
    size_t count = model->latency_count;
    memcpy(sorted, model->latencies_ms, sizeof sorted);
    pthread_mutex_unlock(&states->lock);
    if (count < LATENCIES_FOR_HEDGE)
        return UINT32_MAX;
    qsort(sorted, count, sizeof sorted[0], compare_u32);
    size_t idx = (size_t)(config->hedge_quantile * (double)count);
    uint32_t after_ms = sorted[idx < count ? idx : count - 1];
    return after_ms > config->hedge_min_ms ? after_ms : config->hedge_min_ms;
}

/* ---- Keys ---- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Under the lock. The file is small and local; a rotation is rare. */
static enum sl_err refresh_file_key(struct provider_state *provider, const char *path,
                                    struct sl_error *error)
{
    struct stat now;
    if (stat(path, &now) != 0)
        return sl_error_set(error, SL_ERR_UPSTREAM_CREDENTIALS, "key file of provider %s: %s",
                            provider->name, strerror(errno));
    bool is_known = provider->file_key != NULL && provider->key_path != NULL &&
                    strcmp(provider->key_path, path) == 0;
    if (is_known && is_same_file(&now, &provider->key_stat))
        return SL_OK;
    struct sl_secret *secret;
    struct sl_error cause = {0};
    /* Group-readable is common for mounted secrets, so it is warned about and not refused. */
    if (sl_secret_from_file(path, false, &secret, &cause) != SL_OK)
        return sl_error_set(error, SL_ERR_UPSTREAM_CREDENTIALS, "key file of provider %s: %s",
                            provider->name, cause.message);
    if ((now.st_mode & S_IROTH) != 0)
        SL_LOG_WARN("cloud", "key file of provider %s can be read by everyone", provider->name);
    SL_LOG_INFO("cloud", "key of provider %s %s", provider->name, is_known ? "rotated" : "read");
    sl_secret_free(provider->file_key);
    free(provider->key_path);
    provider->file_key = secret;
    provider->key_path = strdup(path);
    provider->key_stat = now;
    return SL_OK;
}

enum sl_err sl_provider_states_key(struct sl_provider_states *states,
                                   const struct sl_cloud_provider_config *config,
                                   struct sl_buf *out, struct sl_error *error)
{
    if (config->key_env != NULL) {
        const char *value = getenv(config->key_env);
        if (value == NULL || value[0] == '\0')
            return sl_error_set(error, SL_ERR_UPSTREAM_CREDENTIALS,
                                "provider %s: the environment has no %s", config->name,
                                config->key_env);
        return sl_buf_append_text(out, value);
    }
    if (config->key_file == NULL)
        return SL_OK;
    pthread_mutex_lock(&states->lock);
    struct provider_state *provider = find_provider(states, config->name);
    enum sl_err err = refresh_file_key(provider, config->key_file, error);
    if (err == SL_OK)
        err = sl_buf_append_slice(out, sl_secret_reveal(provider->file_key));
    pthread_mutex_unlock(&states->lock);
    return err;
}

/* ---- For people ---- */

enum sl_breaker_state sl_provider_states_breaker(struct sl_provider_states *states,
                                                 const char *name)
{
    enum sl_breaker_state worst = SL_BREAKER_CLOSED;
    pthread_mutex_lock(&states->lock);
    for (size_t i = 0; i < states->provider_count; i++)
        if (strcmp(states->providers[i].name, name) == 0)
            worst = worst_breaker(states, i);
    pthread_mutex_unlock(&states->lock);
    return worst;
}

enum sl_network sl_provider_states_network(struct sl_provider_states *states, uint64_t now_ms)
{
    pthread_mutex_lock(&states->lock);
    enum sl_network state = sl_network_judge(&states->network, now_ms);
    pthread_mutex_unlock(&states->lock);
    return state;
}
