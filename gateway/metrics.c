/* SPDX-License-Identifier: Apache-2.0
 *
 * Which series a request counts in. Label values are words of closed lists: a model's name comes
 * from the policy or the loaded model, never from the client. Sources: OpenTelemetry semantic
 * conventions for generative AI (names and labels of gen_ai_*), Prometheus client guidelines
 * (process_*).
 */
#include "metrics.h"

#include "sluice/clock.h"
#include "sluice/crypto.h"
#include "sluice/metric.h"

#include <stdio.h>
#include <stdlib.h>
#include <dirent.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct {
    struct sl_metric *requests, *durations, *tokens, *first_token, *per_token;
    struct sl_series *overhead, *inflight, *connections;
    struct sl_series *cpu_seconds, *resident_bytes, *virtual_bytes, *open_fds, *max_fds, *start;
} m;

static struct sl_series *plain_gauge(const char *name, const char *help)
{
    return sl_metric_series(sl_metric_gauge(name, help, NULL), NULL);
}

static void register_requests(void)
{
    static const double token_bounds[] = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536};
    m.requests = sl_metric_counter("sluice_requests_total", "Requests by outcome.",
                                   (const char *const[]){"api", "route", "reason", "status", NULL});
    m.durations = sl_metric_histogram(
        "gen_ai_server_request_duration_seconds", "Time from the request's head to its end.",
        (const char *const[]){"gen_ai_operation_name", "gen_ai_provider_name",
                              "gen_ai_request_model", "gen_ai_response_model", "error_type", NULL},
        sl_metric_seconds_bounds, sl_metric_seconds_bound_count);
    m.tokens = sl_metric_histogram(
        "gen_ai_client_token_usage", "Tokens of the answers served.",
        (const char *const[]){"gen_ai_operation_name", "gen_ai_provider_name",
                              "gen_ai_request_model", "gen_ai_response_model",
                              "gen_ai_token_type", NULL},
        token_bounds, sizeof token_bounds / sizeof *token_bounds);
    m.first_token = sl_metric_histogram(
        "gen_ai_server_time_to_first_token_seconds", "Time to the first token of a local answer.",
        (const char *const[]){"gen_ai_operation_name", "gen_ai_response_model", NULL},
        sl_metric_seconds_bounds, sl_metric_seconds_bound_count);
    m.per_token = sl_metric_histogram(
        "gen_ai_server_time_per_output_token_seconds", "Time per token after the first.",
        (const char *const[]){"gen_ai_operation_name", "gen_ai_response_model", NULL},
        sl_metric_seconds_bounds, sl_metric_seconds_bound_count);
    m.overhead = sl_metric_series(
        sl_metric_histogram("sluice_overhead_seconds", "Time that is not the models'.", NULL,
                            sl_metric_seconds_bounds, sl_metric_seconds_bound_count),
        NULL);
    m.inflight = plain_gauge("sluice_inflight", "Requests that are not answered yet.");
    m.connections = plain_gauge("sluice_connections", "Open client connections.");
}

static void register_process(void)
{
    m.cpu_seconds = sl_metric_series(sl_metric_counter("process_cpu_seconds_total",
                                                       "User and system CPU time.", NULL),
                                     NULL);
    m.resident_bytes = plain_gauge("process_resident_memory_bytes", "Resident memory.");
    m.virtual_bytes = plain_gauge("process_virtual_memory_bytes", "Virtual memory.");
    m.open_fds = plain_gauge("process_open_fds", "Open file descriptors.");
    m.max_fds = plain_gauge("process_max_fds", "Limit of open file descriptors.");
    m.start = plain_gauge("process_start_time_seconds", "Start, in seconds since 1970.");
    sl_series_set(m.start, (double)sl_wall_seconds());
}

static void set_infos(const struct sl_edge *edge)
{
    struct sl_metric *build = sl_metric_gauge("sluice_build_info", "Which build runs; 1.",
                                              (const char *const[]){"version", NULL});
    sl_metric_set(build, 1, (const char *const[]){SLUICE_VERSION});
    if (edge->engine == NULL)
        return;
    const struct sl_model_info *info = sl_engine_info(edge->engine);
    char digest[2 * sizeof info->digest + 1];
    sl_hex_encode(info->digest, sizeof info->digest, digest);
    struct sl_metric *model = sl_metric_gauge(
        "sluice_model_info", "Which local model is loaded; 1.",
        (const char *const[]){"model", "architecture", "quantization", "digest", NULL});
    sl_metric_set(model, 1, (const char *const[]){info->name, info->architecture,
                                                  info->quantization, digest});
}

void sl_metrics_start(const struct sl_edge *edge)
{
    register_requests();
    register_process();
    set_infos(edge);
}

/* ---- a request ---- */

/* The series of requests_total. A busy thread sees the same outcome again and again, so it keeps
 * the last one; the words come from tables, so their addresses tell them apart. */
static struct sl_series *requests_series(const struct sl_request *req)
{
    static _Thread_local struct {
        const char *api, *route, *reason;
        int status;
        struct sl_series *series;
    } last;
    const char *route = sl_request_route_word(req);
    const char *reason = sl_reason_word(req->decide.decision.reason);
    int status = req->respond.status;
    if (last.series == NULL || last.api != req->api->name || last.route != route ||
        last.reason != reason || last.status != status) {
        char text[12];
        snprintf(text, sizeof text, "%d", status);
        last.series = sl_metric_series(
            m.requests, (const char *const[]){req->api->name, route, reason, text});
        last.api = req->api->name;
        last.route = route;
        last.reason = reason;
        last.status = status;
    }
    return last.series;
}

/* What the client asked for, as a word of a closed list. */
static const char *request_model(const struct sl_request *req)
{
    switch (req->auth.choice.kind) {
    case SL_MODEL_AUTO: return "auto";
    case SL_MODEL_LOCAL: return "local";
    case SL_MODEL_CLOUD: return "cloud";
    case SL_MODEL_TARGET: return "target";
    case SL_MODEL_UNKNOWN: break;
    }
    return "unknown";
}

static const char *provider_name(const struct sl_request *req)
{
    switch (req->decide.decision.side) {
    case SL_SIDE_CLOUD:
        return req->escalate.result != NULL ? req->escalate.result->provider : "cloud";
    case SL_SIDE_LOCAL: return "sluice";
    case SL_SIDE_CACHE: return "cache";
    case SL_SIDE_NONE: break;
    }
    return "none";
}

static uint64_t model_ns(const struct sl_request *req, enum sl_stage stage)
{
    uint64_t start = req->stage_start_ns[stage], end = req->stage_end_ns[stage];
    return start != 0 && end > start ? end - start : 0;
}

static void count_local_speed(const struct sl_request *req, const char *model)
{
    if (!req->infer.was_run || req->infer.first_token_ns == 0)
        return;
    const char *const labels[] = {"chat", model};
    uint64_t start = req->stage_start_ns[SL_STAGE_INFER], end = req->stage_end_ns[SL_STAGE_INFER];
    uint64_t first = req->infer.first_token_ns;
    if (first > start)
        sl_metric_observe(m.first_token, (double)(first - req->started_ns) * 1e-9, labels);
    if (end > first && req->infer.answer_tokens > 1)
        sl_metric_observe(m.per_token,
                          (double)(end - first) * 1e-9 / (req->infer.answer_tokens - 1), labels);
}

void sl_metrics_request(const struct sl_request *req)
{
    uint64_t total_ns = sl_monotonic_ns() - req->started_ns;
    uint64_t models_ns = model_ns(req, SL_STAGE_INFER) + model_ns(req, SL_STAGE_ESCALATE);
    sl_series_add(requests_series(req), 1);
    sl_series_observe(m.overhead,
                      total_ns > models_ns ? (double)(total_ns - models_ns) * 1e-9 : 0);
    /* A cache hit asked no model; leaving it out of gen_ai_* is what the convention means, and
     * keeps the hit's path short. */
    if (req->decide.decision.side == SL_SIDE_CACHE)
        return;
    const char *asked = request_model(req), *provider = provider_name(req);
    const char *model = req->answer != NULL ? req->answer->model : "";
    const char *error = req->error.code != SL_OK ? sl_err_code(req->error.code) : "";
    sl_metric_observe(m.durations, (double)total_ns * 1e-9,
                      (const char *const[]){"chat", provider, asked, model, error});
    count_local_speed(req, model);
    if (req->answer == NULL || !req->answer->usage.is_known)
        return;
    sl_metric_observe(m.tokens, (double)req->answer->usage.prompt_tokens,
                      (const char *const[]){"chat", provider, asked, model, "input"});
    sl_metric_observe(m.tokens, (double)req->answer->usage.completion_tokens,
                      (const char *const[]){"chat", provider, asked, model, "output"});
}

/* ---- the process ---- */

static size_t count_fds(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        closedir(folder);
    return count > 3 ? count - 3 : 0; /* "." and ".." and the folder's own */
}

static void read_process(void)
{
    struct timespec cpu;
    struct rlimit files;
    unsigned long size = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL) {
        if (fscanf(statm, "%lu %lu", &size, &resident) != 2)
            size = resident = 0;
        fclose(statm);
    }
    double page = (double)sysconf(_SC_PAGESIZE);
    sl_series_set(m.virtual_bytes, (double)size * page);
    sl_series_set(m.resident_bytes, (double)resident * page);
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        sl_series_set(m.cpu_seconds, (double)cpu.tv_sec + (double)cpu.tv_nsec * 1e-9);
    sl_series_set(m.open_fds, (double)count_fds());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        sl_series_set(m.max_fds, (double)files.rlim_cur);
}

enum sl_err sl_metrics_render(struct sl_edge *edge, struct sl_buf *out)
{
    read_process();
    sl_series_set(m.inflight, sl_router_inflight(edge->router));
    if (edge->server != NULL)
        sl_series_set(m.connections, sl_http_server_connections(edge->server));
    return sl_metric_render(out);
}
