/* SPDX-License-Identifier: Apache-2.0
 *
 * The line and the thread that writes it. Two buffers: requests append to one under the lock, the
 * thread swaps it for the other and writes that without the lock.
 *
 * Invariant: a line is in the buffer whole or not at all.
 */
#include "access_log.h"

#include "sluice/clock.h"
#include "sluice/log.h"
#include "sluice/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES (1u << 20) /* some 4000 lines */
#define FLUSH_MS 200
#define LINE_BYTES_MAX 4096
#define LINE_BYTES_USUAL 640 /* reserved at once */

struct sl_access_log {
    char *path;
    bool is_json;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    int fd;
    struct sl_buf filling, writing;
    bool must_stop, must_reopen;
};

/* ---- the line ---- */

/* "2026-11-21T05:47:12.345Z"; the seconds are formatted once a second on each thread. */
static void format_time(int64_t now_ms, char out[32])
{
    static _Thread_local int64_t kept_s = -1;
    static _Thread_local char kept[24];
    int64_t now_s = now_ms / 1000;
    if (now_s != kept_s) {
        struct tm tm;
        time_t seconds = (time_t)now_s;
        gmtime_r(&seconds, &tm);
        strftime(kept, sizeof kept, "%Y-%m-%dT%H:%M:%S", &tm);
        kept_s = now_s;
    }
    int ms = (int)(now_ms % 1000);
    size_t len = strlen(kept);
    memcpy(out, kept, len);
    const char tail[6] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                          (char)('0' + ms % 10), 'Z', '\0'};
    memcpy(out + len, tail, sizeof tail);
}

/* What both forms show, gathered once. */
struct line_facts {
    char time[32];
    const char *route, *reason, *cache;
    struct sl_slice model;
    uint64_t total_us;
    uint64_t prompt_tokens, completion_tokens;
    bool has_usage, has_score;
    size_t attempts;
};

static void gather(const struct sl_request *req, int64_t now_ms, uint64_t now_ns,
                   struct line_facts *facts)
{
    static const char *const cache_words[] = {"",       "hit",     "similar", "miss",
                                              "bypass", "refresh", "stale"};
    const struct sl_decision *decision = &req->decide.decision;
    format_time(now_ms, facts->time);
    facts->route = sl_request_route_word(req);
    facts->reason = sl_reason_word(decision->reason);
    facts->cache = cache_words[req->lookup.status];
    facts->model = sl_slice_of(req->answer != NULL ? req->answer->model : "");
    facts->total_us = (now_ns - req->started_ns) / 1000;
    facts->has_usage = req->answer != NULL && req->answer->usage.is_known;
    facts->prompt_tokens = facts->has_usage ? req->answer->usage.prompt_tokens : 0;
    facts->completion_tokens = facts->has_usage ? req->answer->usage.completion_tokens : 0;
    facts->has_score = decision->is_scored && !isnan(decision->score.value);
    facts->attempts = req->escalate.result != NULL ? req->escalate.result->attempt_count : 0;
}

/* The pieces of a line. Hand-made, since printf took 6 % of a cache hit's time (perf, 2 cores): the
 * first failure is kept, and what comes after it is dropped. */
struct line {
    struct sl_buf *out;
    enum sl_err err;
};

static void put(struct line *line, struct sl_slice text)
{
    if (line->err == SL_OK)
        line->err = sl_buf_append_slice(line->out, text);
}

static void put_text(struct line *line, const char *text) { put(line, sl_slice_of(text)); }

static void put_number(struct line *line, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    put(line, (struct sl_slice){digits + at, sizeof digits - at});
}

/* Microseconds as milliseconds with three decimals. */
static void put_ms(struct line *line, uint64_t us)
{
    char decimals[4] = {'.', (char)('0' + us / 100 % 10), (char)('0' + us / 10 % 10),
                        (char)('0' + us % 10)};
    put_number(line, us / 1000);
    put(line, (struct sl_slice){decimals, sizeof decimals});
}

static void put_score(struct line *line, double value)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%.4f", value);
    put(line, (struct sl_slice){text, len > 0 ? (size_t)len : 0});
}

static uint64_t stage_us(const struct sl_request *req, int stage)
{
    uint64_t start = req->stage_start_ns[stage], end = req->stage_end_ns[stage];
    return start != 0 && end > start ? (end - start) / 1000 : 0;
}

static void put_stages(struct line *line, const struct sl_request *req, bool is_json)
{
    const char *between = "";
    for (int stage = 0; stage < SL_STAGE_COUNT; stage++) {
        if (req->stage_start_ns[stage] == 0)
            continue;
        put_text(line, between);
        put_text(line, is_json ? "\"" : "");
        put_text(line, sl_stage_name((enum sl_stage)stage));
        put_text(line, is_json ? "\":" : "=");
        put_ms(line, stage_us(req, stage));
        between = is_json ? "," : " ";
    }
}

/* Names and words that both forms show where they are not empty. */
#define LINE_MEMBERS 8
struct line_member {
    const char *name;
    struct sl_slice text;
};

static void list_members(const struct sl_request *req, const struct line_facts *facts,
                         struct line_member members[LINE_MEMBERS])
{
    const char *error = req->error.code != SL_OK ? sl_err_code(req->error.code) : "";
    const struct line_member list[LINE_MEMBERS] = {
        {"request_id", sl_slice_of(req->id)},
        {"remote", sl_slice_of(req->input.remote_address)},
        {"app", sl_slice_of(req->auth.app)},
        {"policy_route", sl_slice_of(req->auth.route.name)},
        {"reason", sl_slice_of(facts->reason)},
        {"model", facts->model},
        {"cache", sl_slice_of(facts->cache)},
        {"error", sl_slice_of(error)}};
    memcpy(members, list, sizeof list);
}

static void put_json(struct line *line, const struct sl_request *req,
                     const struct line_facts *facts)
{
    struct line_member members[LINE_MEMBERS];
    list_members(req, facts, members);
    put_text(line, "{\"time\":\"");
    put_text(line, facts->time);
    put_text(line, "\",\"event\":\"request\",\"api\":\"");
    put_text(line, req->api->name);
    put_text(line, "\",\"status\":");
    put_number(line, (uint64_t)req->respond.status);
    put_text(line, ",\"route\":\"");
    put_text(line, facts->route);
    put_text(line, "\",\"ms\":");
    put_ms(line, facts->total_us);
    put_text(line, req->parse.is_streaming ? ",\"stream\":true" : ",\"stream\":false");
    for (size_t i = 0; i < LINE_MEMBERS; i++) {
        if (members[i].text.len == 0)
            continue;
        put_text(line, ",\"");
        put_text(line, members[i].name);
        put_text(line, "\":");
        if (line->err == SL_OK)
            line->err = sl_buf_append_json(line->out, members[i].text);
    }
    if (facts->has_usage) {
        put_text(line, ",\"prompt_tokens\":");
        put_number(line, facts->prompt_tokens);
        put_text(line, ",\"completion_tokens\":");
        put_number(line, facts->completion_tokens);
    }
    if (facts->has_score) {
        put_text(line, ",\"confidence\":");
        put_score(line, req->decide.decision.score.value);
    }
    if (facts->attempts > 0) {
        put_text(line, ",\"attempts\":");
        put_number(line, facts->attempts);
    }
    put_text(line, ",\"stages_ms\":{");
    put_stages(line, req, true);
    put_text(line, "}}");
}

static void put_plain(struct line *line, const struct sl_request *req,
                      const struct line_facts *facts)
{
    struct line_member members[LINE_MEMBERS];
    list_members(req, facts, members);
    put_text(line, facts->time);
    put_text(line, " ");
    put_text(line, req->api->name);
    put_text(line, " ");
    put_number(line, (uint64_t)req->respond.status);
    put_text(line, " ");
    put_text(line, facts->route);
    put_text(line, " ");
    put_ms(line, facts->total_us);
    put_text(line, "ms");
    for (size_t i = 0; i < LINE_MEMBERS; i++) {
        if (members[i].text.len == 0)
            continue;
        put_text(line, " ");
        put_text(line, members[i].name);
        put_text(line, "=");
        put(line, members[i].text);
    }
    put_text(line, req->parse.is_streaming ? " stream" : "");
    if (facts->has_usage) {
        put_text(line, " tokens=");
        put_number(line, facts->prompt_tokens);
        put_text(line, "+");
        put_number(line, facts->completion_tokens);
    }
    if (facts->has_score) {
        put_text(line, " confidence=");
        put_score(line, req->decide.decision.score.value);
    }
    if (facts->attempts > 0) {
        put_text(line, " attempts=");
        put_number(line, facts->attempts);
    }
    put_text(line, " [");
    put_stages(line, req, false);
    put_text(line, "]");
}

enum sl_err sl_access_line(const struct sl_request *req, bool is_json, int64_t now_ms,
                           uint64_t now_ns, struct sl_buf *out)
{
    struct line_facts facts;
    struct line line = {.out = out, .err = sl_buf_reserve(out, LINE_BYTES_USUAL)};
    gather(req, now_ms, now_ns, &facts);
    if (is_json)
        put_json(&line, req, &facts);
    else
        put_plain(&line, req, &facts);
    return line.err;
}

/* ---- the file ---- */

static int open_file(const char *path)
{
    if (strcmp(path, "-") == 0)
        return STDERR_FILENO;
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

static void write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(fd, data, len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return; /* nowhere to complain: this is the log */
        data += wrote;
        len -= (size_t)wrote;
    }
}

static void reopen(struct sl_access_log *log)
{
    log->must_reopen = false;
    int fd = open_file(log->path);
    if (fd < 0) {
        SL_LOG_ERROR("access", "%s: %s; the old file stays open", log->path, strerror(errno));
        return;
    }
    if (log->fd != STDERR_FILENO)
        close(log->fd);
    log->fd = fd;
}

static void *writer_main(void *arg)
{
    struct sl_access_log *log = arg;
    bool is_last = false;
    pthread_mutex_lock(&log->lock);
    while (!is_last) {
        struct timespec until = sl_deadline_timespec(sl_monotonic_ms() + FLUSH_MS);
        if (!log->must_stop && !log->must_reopen && log->filling.len < BUFFER_BYTES / 2)
            pthread_cond_timedwait(&log->wake, &log->lock, &until);
        is_last = log->must_stop;
        if (log->must_reopen)
            reopen(log);
        struct sl_buf full = log->filling;
        log->filling = log->writing;
        log->writing = full;
        int fd = log->fd;
        pthread_mutex_unlock(&log->lock);
        write_all(fd, log->writing.data, log->writing.len);
        sl_buf_reset(&log->writing);
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

enum sl_err sl_access_log_open(const char *path, bool is_json, struct sl_access_log **out,
                               struct sl_error *error)
{
    struct sl_access_log *log = calloc(1, sizeof *log);
    if (log == NULL || (log->path = strdup(path)) == NULL) {
        free(log);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    log->is_json = is_json;
    sl_buf_init(&log->filling, BUFFER_BYTES);
    sl_buf_init(&log->writing, BUFFER_BYTES);
    pthread_mutex_init(&log->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&log->wake, &attr);
    pthread_condattr_destroy(&attr);
    log->fd = open_file(path);
    enum sl_err err = SL_OK;
    if (log->fd < 0)
        err = sl_error_set_param(error, SL_ERR_IO, "access_log", "access_log: %s: %s", path,
                                 strerror(errno));
    else if (pthread_create(&log->thread, NULL, writer_main, log) != 0)
        err = sl_error_set(error, SL_ERR_MEMORY, "cannot start the access log's thread");
    if (err != SL_OK) {
        if (log->fd > STDERR_FILENO)
            close(log->fd);
        free(log->path);
        free(log);
        return err;
    }
    *out = log;
    return SL_OK;
}

void sl_access_log_close(struct sl_access_log *log)
{
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->lock);
    log->must_stop = true;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->thread, NULL);
    if (log->fd != STDERR_FILENO)
        close(log->fd);
    sl_buf_clear(&log->filling);
    sl_buf_clear(&log->writing);
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->lock);
    free(log->path);
    free(log);
}

void sl_access_log_reopen(struct sl_access_log *log)
{
    if (log == NULL)
        return;
    pthread_mutex_lock(&log->lock);
    log->must_reopen = true;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
}

/* The line is made first, so that the lock is held for one copy. */
void sl_access_log_write(struct sl_access_log *log, const struct sl_request *req)
{
    static struct sl_metric *dropped;
    struct sl_buf line;
    sl_buf_init(&line, LINE_BYTES_MAX);
    enum sl_err err = sl_access_line(req, log->is_json, sl_wall_ms(), sl_monotonic_ns(), &line);
    if (err == SL_OK)
        err = sl_buf_append_char(&line, '\n');
    if (err == SL_OK) {
        pthread_mutex_lock(&log->lock);
        bool was_below = log->filling.len < BUFFER_BYTES / 2;
        err = sl_buf_append(&log->filling, line.data, line.len);
        if (was_below && log->filling.len >= BUFFER_BYTES / 2)
            pthread_cond_signal(&log->wake);
        pthread_mutex_unlock(&log->lock);
    }
    sl_buf_clear(&line);
    if (err == SL_OK)
        return;
    if (dropped == NULL)
        dropped = sl_metric_counter("sluice_access_log_dropped_total",
                                    "Access lines that did not fit the buffer.", NULL);
    sl_metric_add(dropped, 1, NULL);
}
