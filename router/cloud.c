/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the cloud leg, its table of outcomes, the defaults and checks of a provider, and the
 * answers for the decision (network, breakers, budgets). The calls themselves are in cloud_call.c.
 * Any thread.
 */
#include "cloud_private.h"

#include "sluice/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_DEFAULT 64
#define STREAMS_DEFAULT 512

/* ---- Outcomes ---- */

static const struct sl_outcome_rule rules[] = {
    [SL_CLOUD_SERVED] = {"served", SL_RETRY_NEVER, false, false, false, SL_REACH_YES, SL_OK},
    [SL_CLOUD_RATE_LIMITED] = {"rate_limited", SL_RETRY_YES, true, true, false, SL_REACH_YES,
                               SL_ERR_RATE_LIMIT},
    [SL_CLOUD_SERVER_ERROR] = {"server_error", SL_RETRY_YES, true, true, false, SL_REACH_YES,
                               SL_ERR_UPSTREAM},
    [SL_CLOUD_CONNECT_FAILED] = {"connect_failed", SL_RETRY_YES, true, true, false, SL_REACH_NO,
                                 SL_ERR_UPSTREAM},
    /* A wrong certificate does not become right by asking again. */
    [SL_CLOUD_TLS_FAILED] = {"tls_failed", SL_RETRY_NEVER, true, true, false, SL_REACH_UNKNOWN,
                             SL_ERR_UPSTREAM},
    [SL_CLOUD_RESET] = {"reset", SL_RETRY_YES, true, true, false, SL_REACH_UNKNOWN,
                        SL_ERR_UPSTREAM},
    /* Who was silent once is not waited for twice. */
    [SL_CLOUD_TIMEOUT_CONNECT] = {"timeout_connect", SL_RETRY_NEVER, true, true, false, SL_REACH_NO,
                                  SL_ERR_UPSTREAM_TIMEOUT},
    [SL_CLOUD_TIMEOUT_FIRST_TOKEN] = {"timeout_first_token", SL_RETRY_NEVER, true, true, false,
                                      SL_REACH_UNKNOWN, SL_ERR_UPSTREAM_TIMEOUT},
    [SL_CLOUD_TIMEOUT_IDLE] = {"timeout_idle", SL_RETRY_IF_ALONE, true, true, false,
                               SL_REACH_UNKNOWN, SL_ERR_UPSTREAM_TIMEOUT},
    [SL_CLOUD_TIMEOUT_TOTAL] = {"timeout_total", SL_RETRY_NEVER, true, true, false, SL_REACH_YES,
                                SL_ERR_UPSTREAM_TIMEOUT},
    [SL_CLOUD_MALFORMED] = {"malformed", SL_RETRY_IF_ALONE, true, true, false, SL_REACH_YES,
                            SL_ERR_UPSTREAM},
    [SL_CLOUD_TRUNCATED] = {"truncated", SL_RETRY_IF_ALONE, true, true, false, SL_REACH_YES,
                            SL_ERR_UPSTREAM},
    [SL_CLOUD_STREAM_ERROR] = {"stream_error", SL_RETRY_YES, true, true, false, SL_REACH_YES,
                               SL_ERR_UPSTREAM},
    [SL_CLOUD_TOO_LARGE] = {"too_large", SL_RETRY_NEVER, false, false, false, SL_REACH_YES,
                            SL_ERR_UPSTREAM},
    [SL_CLOUD_REJECTED] = {"rejected", SL_RETRY_NEVER, false, false, false, SL_REACH_YES,
                           SL_ERR_UPSTREAM_REJECTED},
    [SL_CLOUD_NOT_FOUND] = {"not_found", SL_RETRY_NEVER, true, false, false, SL_REACH_YES,
                            SL_ERR_UPSTREAM_REJECTED},
    [SL_CLOUD_UNSUPPORTED] = {"unsupported", SL_RETRY_NEVER, true, false, true, SL_REACH_UNKNOWN,
                              SL_ERR_UNSUPPORTED},
    /* Falls back only to a model with a larger context; cloud_call.c sees to it. */
    [SL_CLOUD_CONTEXT_LENGTH] = {"context_length", SL_RETRY_NEVER, true, false, false, SL_REACH_YES,
                                 SL_ERR_CONTEXT_LENGTH},
    [SL_CLOUD_CONTENT_POLICY] = {"content_policy", SL_RETRY_NEVER, false, false, false,
                                 SL_REACH_YES, SL_ERR_UPSTREAM_REJECTED},
    [SL_CLOUD_CREDENTIALS] = {"credentials", SL_RETRY_NEVER, true, false, true, SL_REACH_UNKNOWN,
                              SL_ERR_UPSTREAM_CREDENTIALS},
    [SL_CLOUD_PREFILL_REJECTED] = {"prefill_rejected", SL_RETRY_NEVER, true, false, false,
                                   SL_REACH_YES, SL_ERR_UPSTREAM},
    [SL_CLOUD_RESUME_MISMATCH] = {"resume_mismatch", SL_RETRY_NEVER, true, false, false,
                                  SL_REACH_YES, SL_ERR_UPSTREAM},
    [SL_CLOUD_LOST_HEDGE] = {"lost_hedge", SL_RETRY_NEVER, false, false, true, SL_REACH_UNKNOWN,
                             SL_ERR_UPSTREAM},
    [SL_CLOUD_CANCELLED] = {"cancelled", SL_RETRY_NEVER, false, false, true, SL_REACH_UNKNOWN,
                            SL_ERR_CANCELLED},
    [SL_CLOUD_LOCAL_FAILURE] = {"local_failure", SL_RETRY_NEVER, false, false, true,
                                SL_REACH_UNKNOWN, SL_ERR_MEMORY},
};

const struct sl_outcome_rule *sl_outcome_rule(enum sl_cloud_outcome outcome)
{
    return &rules[outcome];
}

const char *sl_cloud_outcome_word(enum sl_cloud_outcome outcome)
{
    return rules[outcome].word;
}

/* ---- Providers ---- */

static const char *const kind_words[] = {
    [SL_CLOUD_KIND_OPENAI] = "openai", [SL_CLOUD_KIND_ANTHROPIC] = "anthropic"};

const char *sl_cloud_kind_word(enum sl_cloud_kind kind)
{
    return kind_words[kind];
}

bool sl_cloud_kind_parse(struct sl_slice word, enum sl_cloud_kind *out)
{
    for (size_t i = 0; i < sizeof kind_words / sizeof kind_words[0]; i++)
        if (sl_slice_equal_text(word, kind_words[i])) {
            *out = (enum sl_cloud_kind)i;
            return true;
        }
    return false;
}

void sl_cloud_provider_defaults(struct sl_cloud_provider_config *config)
{
    *config = (struct sl_cloud_provider_config){
        .kind = SL_CLOUD_KIND_OPENAI,
        .tls_min = SL_CLOUD_TLS_1_2,
        .http2 = true,
        /* A client's usual patience is 30 s: a silent first provider must leave time for a second.
         */
        .connect_timeout_ms = 3000,
        .first_token_timeout_ms = 10000,
        /* Of a route's 60 s for all attempts it leaves 15 for a second provider. */
        .reasoning_first_token_timeout_ms = 45000,
        .idle_timeout_ms = 15000,
        .total_timeout_ms = 120000,
        .prefers_stream = true,
        .whole_timeout_ms = 60000,
        .retries_max = 2,
        .backoff_ms = 500,
        .backoff_max_ms = 8000,
        .retry_after_max_ms = 3000,
        .retry_budget_ratio = 0.2,
        .retry_budget_burst = 10,
        .breaker_failures = 5,
        .breaker_failure_ratio = 0.5,
        .breaker_window_ms = 30000,
        .breaker_open_ms = 5000,
        .breaker_open_max_ms = 20000, /* back on a healthy provider within 30 s */
        .hedge_min_ms = 500,
    };
}

/* 127.evil.example is a name like any other. */
static bool is_loopback_ipv4(struct sl_slice host)
{
    return sl_slice_starts_with(host, SL_SLICE("127.")) &&
           strspn(host.data, "0123456789.") >= host.len;
}

static bool is_loopback(struct sl_slice host)
{
    return sl_slice_equal_nocase(host, SL_SLICE("localhost")) || is_loopback_ipv4(host) ||
           sl_slice_equal_text(host, "[::1]");
}

/* The host of a URL after its scheme; credentials in a URL are refused before. */
static struct sl_slice url_host(const char *rest)
{
    size_t len = rest[0] == '[' ? strcspn(rest, "]") + 1 : strcspn(rest, ":/?#");
    return (struct sl_slice){rest, len};
}

static enum sl_err check_url(const struct sl_cloud_provider_config *config, struct sl_error *error)
{
    const char *url = config->base_url;
    bool is_https = url != NULL && strncmp(url, "https://", 8) == 0;
    bool is_http = url != NULL && strncmp(url, "http://", 7) == 0;
    if (!is_https && !is_http)
        return sl_error_set_param(error, SL_ERR_INVALID, "base_url",
                                  "expected a URL that begins with https://");
    const char *rest = url + (is_https ? 8 : 7);
    struct sl_slice host = url_host(rest);
    if (host.len == 0 || strcspn(rest, "@?# \t\r\n") != strlen(rest))
        return sl_error_set_param(error, SL_ERR_INVALID, "base_url",
                                  "expected a host and a path, without user, query or fragment");
    if (is_http && !config->allows_plaintext && !is_loopback(host))
        return sl_error_set_param(error, SL_ERR_INVALID, "base_url",
                                  "http:// would send text and key in the clear: use https://, or "
                                  "allow plaintext for this provider");
    return SL_OK;
}

static enum sl_err check_times(const struct sl_cloud_provider_config *config,
                               struct sl_error *error)
{
    const struct {
        const char *name;
        uint32_t value;
    } times[] = {{"connect_timeout_ms", config->connect_timeout_ms},
                 {"first_token_timeout_ms", config->first_token_timeout_ms},
                 {"reasoning_first_token_timeout_ms", config->reasoning_first_token_timeout_ms},
                 {"idle_timeout_ms", config->idle_timeout_ms},
                 {"total_timeout_ms", config->total_timeout_ms},
                 {"whole_timeout_ms", config->whole_timeout_ms},
                 {"breaker_window_ms", config->breaker_window_ms},
                 {"breaker_open_ms", config->breaker_open_ms},
                 {"breaker_failures", config->breaker_failures}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (times[i].value == 0)
            return sl_error_set_param(error, SL_ERR_INVALID, times[i].name, "expected more than 0");
    if (config->breaker_failures > SL_BREAKER_OUTCOMES_MAX)
        return sl_error_set_param(error, SL_ERR_INVALID, "breaker_failures", "expected at most %d",
                                  SL_BREAKER_OUTCOMES_MAX);
    return SL_OK;
}

enum sl_err sl_cloud_provider_check(const struct sl_cloud_provider_config *config,
                                    struct sl_error *error)
{
    if (config->name == NULL || config->name[0] == '\0' ||
        strlen(config->name) >= SL_CLOUD_NAME_MAX)
        return sl_error_set_param(error, SL_ERR_INVALID, "name", "expected 1 to %d bytes",
                                  SL_CLOUD_NAME_MAX - 1);
    if (config->key_env != NULL && config->key_file != NULL)
        return sl_error_set_param(error, SL_ERR_INVALID, "key_file",
                                  "expected one source of the key, found key_env too");
    /* Another form would be taken as the name of a file with a key. */
    if (config->pinned_public_key != NULL && strncmp(config->pinned_public_key, "sha256//", 8) != 0)
        return sl_error_set_param(error, SL_ERR_INVALID, "pinned_public_key",
                                  "expected sha256// and the base64 hash of the public key");
    if (!(config->breaker_failure_ratio >= 0 && config->breaker_failure_ratio <= 1))
        return sl_error_set_param(error, SL_ERR_INVALID, "breaker_failure_ratio",
                                  "expected a share between 0 and 1");
    if (!(config->hedge_quantile >= 0 && config->hedge_quantile < 1))
        return sl_error_set_param(error, SL_ERR_INVALID, "hedge_quantile",
                                  "expected at least 0 and less than 1");
    if (!(config->retry_budget_ratio >= 0) || !(config->retry_budget_burst >= 0))
        return sl_error_set_param(error, SL_ERR_INVALID, "retry_budget_ratio",
                                  "expected at least 0");
    enum sl_err err = check_url(config, error);
    return err == SL_OK ? check_times(config, error) : err;
}

/* ---- Life ---- */

static void register_metrics(struct sl_cloud *cloud)
{
    /* OpenTelemetry's GenAI buckets for token counts. */
    static const double token_bounds[] = {
        1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};
    cloud->attempts = sl_metric_counter("sluice_cloud_attempts_total", "Attempts at a provider.",
                                        (const char *const[]){"provider", "outcome", NULL});
    cloud->egress = sl_metric_counter("sluice_egress_bytes_total",
                                      "Request bytes, head and body, that left the box.",
                                      (const char *const[]){"provider", NULL});
    cloud->cost_usd = sl_metric_counter("sluice_cost_usd_total", "Cost of cloud answers served.",
                                        (const char *const[]){"model", NULL});
    cloud->tokens =
        sl_metric_histogram("gen_ai_client_token_usage", "Tokens of cloud answers served.",
                            (const char *const[]){"gen_ai_operation_name", "gen_ai_provider_name",
                                                  "gen_ai_request_model", "gen_ai_response_model",
                                                  "gen_ai_token_type", NULL},
                            token_bounds, sizeof token_bounds / sizeof token_bounds[0]);
    cloud->first_token = sl_metric_histogram(
        "sluice_cloud_first_token_seconds", "Time to the first token of a served attempt.",
        (const char *const[]){"provider", NULL}, sl_metric_seconds_bounds,
        sl_metric_seconds_bound_count);
    cloud->inflight = sl_metric_series(
        sl_metric_gauge("sluice_cloud_inflight", "Calls to the cloud that run now.", NULL), NULL);
}

static bool is_disabled_by_environment(void)
{
    const char *value = getenv("SLUICE_NO_CLOUD");
    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

static enum sl_err cloud_open(struct sl_cloud *cloud, const struct sl_cloud_options *options,
                              struct sl_error *error)
{
    cloud->states = sl_provider_states_create();
    if (cloud->states == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    enum sl_err err = sl_cost_open(options->data_folder, &cloud->cost, error);
    if (err != SL_OK || cloud->is_disabled)
        return err;
    uint32_t connections_max =
        options->connections_max > 0 ? options->connections_max : CONNECTIONS_DEFAULT;
    err = sl_transfer_hub_create(connections_max, &cloud->hub, error);
    if (err == SL_OK && options->ca_file != NULL &&
        !sl_transfer_hub_trust(cloud->hub, options->ca_file))
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    return err;
}

enum sl_err sl_cloud_create(const struct sl_cloud_options *options, struct sl_cloud **out,
                            struct sl_error *error)
{
    *out = NULL;
    struct sl_cloud *cloud = calloc(1, sizeof *cloud);
    if (cloud == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    cloud->is_disabled = is_disabled_by_environment();
    cloud->streams_max = options->streams_max > 0 ? options->streams_max : STREAMS_DEFAULT;
    snprintf(cloud->user_agent, sizeof cloud->user_agent, "%s",
             options->user_agent != NULL ? options->user_agent : "sluice");
    register_metrics(cloud);
    enum sl_err err = cloud_open(cloud, options, error);
    if (err != SL_OK) {
        sl_cloud_free(cloud);
        return err;
    }
    *out = cloud;
    return SL_OK;
}

void sl_cloud_free(struct sl_cloud *cloud)
{
    if (cloud == NULL)
        return;
    sl_transfer_hub_free(cloud->hub);
    sl_provider_states_free(cloud->states);
    sl_cost_close(cloud->cost);
    free(cloud);
}

void sl_cloud_stop(struct sl_cloud *cloud)
{
    atomic_store(&cloud->is_stopping, true);
    if (cloud->hub != NULL)
        sl_transfer_hub_stop(cloud->hub);
}

bool sl_cloud_is_disabled(const struct sl_cloud *cloud)
{
    return cloud->is_disabled;
}

/* ---- State ---- */

enum sl_network sl_cloud_network_state(struct sl_cloud *cloud)
{
    if (cloud->is_disabled)
        return SL_NETWORK_OFFLINE;
    return sl_provider_states_network(cloud->states, sl_monotonic_ms());
}

enum sl_breaker_state sl_cloud_breaker_state(struct sl_cloud *cloud, const char *provider_name)
{
    return sl_provider_states_breaker(cloud->states, provider_name);
}

bool sl_cloud_would_try(struct sl_cloud *cloud, const struct sl_cloud_target *target)
{
    return !cloud->is_disabled && sl_provider_states_would_admit(cloud->states, target->provider,
                                                                 target->model, sl_monotonic_ms());
}

bool sl_cloud_budget_allows(struct sl_cloud *cloud, const char *app,
                            const struct sl_cloud_budget *budget)
{
    return sl_cost_allows(cloud->cost, app, budget, sl_wall_seconds());
}

struct sl_cloud_spending sl_cloud_spending(struct sl_cloud *cloud, const char *app)
{
    return sl_cost_spending(cloud->cost, app, sl_wall_seconds());
}

/* ---- Probes ---- */

enum sl_err sl_cloud_probe(struct sl_cloud *cloud, const struct sl_cloud_provider_config *provider,
                           uint64_t deadline_ms, struct sl_error *error)
{
    if (cloud->hub == NULL)
        return sl_error_set(error, SL_ERR_ROUTE_UNAVAILABLE, "cloud connections are turned off");
    struct sl_transfer_inbox *inbox = sl_transfer_inbox_create();
    if (inbox == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    struct sl_transfer_request request = {.url = provider->base_url,
                                          .ca_file = provider->ca_file,
                                          .pinned_public_key = provider->pinned_public_key,
                                          .proxy = provider->proxy,
                                          .demands_tls13 = provider->tls_min == SL_CLOUD_TLS_1_3,
                                          .connect_timeout_ms = provider->connect_timeout_ms,
                                          .is_connect_only = true};
    struct sl_transfer *transfer;
    struct sl_transfer_status status = {0};
    enum sl_err err = sl_transfer_start(cloud->hub, &request, inbox, &transfer, error);
    while (err == SL_OK && !status.is_done && sl_monotonic_ms() < deadline_ms) {
        sl_transfer_inbox_wait(inbox, deadline_ms);
        sl_transfer_status(transfer, &status);
    }
    if (err == SL_OK) {
        bool is_reached = status.is_done && status.failure == SL_TRANSFER_OK;
        sl_provider_states_note_network(cloud->states, is_reached, sl_monotonic_ms());
        if (!is_reached)
            err = sl_error_set(error, SL_ERR_UPSTREAM, "provider %s: %s", provider->name,
                               status.is_done ? status.failure_text : "no answer in time");
        sl_transfer_release(transfer);
    }
    sl_transfer_inbox_release(inbox);
    return err;
}
