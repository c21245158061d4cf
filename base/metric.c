/* SPDX-License-Identifier: Apache-2.0
 *
 * The metric registry. Text format: Prometheus exposition format 0.0.4.
 *
 * Invariants: 1. Metrics and series are never freed or moved, so a pointer to one is good for ever.
 * 2. The list of series of a metric only grows, under its write lock. 3. Values are atomics.
 */
#include "sluice/metric.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define METRIC_SERIES_MAX 256 /* a closed set that is larger is not a closed set */
#define METRIC_BUCKETS_MAX 24

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct sl_series {
    const struct sl_metric *metric;
    char *label_values[SL_METRIC_LABELS_MAX];
    _Atomic double value; /* counter, gauge: value; histogram: sum */
    _Atomic uint64_t count;
    _Atomic uint64_t buckets[METRIC_BUCKETS_MAX]; /* not cumulative; the last is +Inf */
};

struct sl_metric {
    struct sl_metric *next;
    enum metric_kind kind;
    const char *name;
    const char *help;
    const char *label_names[SL_METRIC_LABELS_MAX];
    size_t label_count;
    double bounds[METRIC_BUCKETS_MAX];
    size_t bound_count;
    pthread_rwlock_t lock; /* guards series and series_count */
    struct sl_series *series[METRIC_SERIES_MAX];
    size_t series_count;
};

static struct {
    pthread_mutex_t lock; /* guards the list */
    struct sl_metric *first;
    struct sl_metric *last;
    _Atomic uint64_t dropped;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

const double sl_metric_seconds_bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                           0.01,   0.025,   0.05,   0.1,   0.25,   0.5,
                                           1,      2.5,     5,      10,    30,     60};
const size_t sl_metric_seconds_bound_count =
    sizeof sl_metric_seconds_bounds / sizeof sl_metric_seconds_bounds[0];
const double sl_metric_score_bounds[] = {0.1, 0.2,  0.3, 0.4,  0.5, 0.6,
                                         0.7, 0.8, 0.9, 0.95, 0.98, 0.99};
const size_t sl_metric_score_bound_count =
    sizeof sl_metric_score_bounds / sizeof sl_metric_score_bounds[0];

static void *must_calloc(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        abort(); /* start-up only: there is nothing yet that could be saved */
    return memory;
}

/* The first registration fixes labels and bounds, under the registry's lock and before anybody can
 * have a series: observers read them without one. */
static struct sl_metric *metric_register(enum metric_kind kind, const char *name, const char *help,
                                         const char *const *label_names, const double *bounds,
                                         size_t bound_count)
{
    pthread_mutex_lock(&registry.lock);
    struct sl_metric *metric = registry.first;
    while (metric != NULL && strcmp(metric->name, name) != 0)
        metric = metric->next;
    if (metric == NULL) {
        metric = must_calloc(sizeof *metric);
        metric->kind = kind;
        metric->name = name;
        metric->help = help;
        while (label_names != NULL && label_names[metric->label_count] != NULL) {
            assert(metric->label_count < SL_METRIC_LABELS_MAX);
            metric->label_names[metric->label_count] = label_names[metric->label_count];
            metric->label_count++;
        }
        for (size_t i = 0; i < bound_count; i++)
            metric->bounds[i] = bounds[i];
        metric->bound_count = bound_count;
        pthread_rwlock_init(&metric->lock, NULL);
        if (registry.last != NULL)
            registry.last->next = metric;
        else
            registry.first = metric;
        registry.last = metric;
    }
    pthread_mutex_unlock(&registry.lock);
    assert(metric->kind == kind);
    return metric;
}

struct sl_metric *sl_metric_counter(const char *name, const char *help,
                                    const char *const *label_names)
{
    return metric_register(METRIC_COUNTER, name, help, label_names, NULL, 0);
}

struct sl_metric *sl_metric_gauge(const char *name, const char *help,
                                  const char *const *label_names)
{
    return metric_register(METRIC_GAUGE, name, help, label_names, NULL, 0);
}

struct sl_metric *sl_metric_histogram(const char *name, const char *help,
                                      const char *const *label_names, const double *bounds,
                                      size_t bound_count)
{
    assert(bound_count < METRIC_BUCKETS_MAX);
    return metric_register(METRIC_HISTOGRAM, name, help, label_names, bounds, bound_count);
}

/* Under the metric's lock. */
static struct sl_series *series_find(const struct sl_metric *metric, const char *const *values)
{
    for (size_t i = 0; i < metric->series_count; i++) {
        struct sl_series *series = metric->series[i];
        size_t label = 0;
        while (label < metric->label_count && strcmp(series->label_values[label], values[label]) == 0)
            label++;
        if (label == metric->label_count)
            return series;
    }
    return NULL;
}

/* Under the metric's write lock. NULL when full or out of memory. */
static struct sl_series *series_create(struct sl_metric *metric, const char *const *values)
{
    if (metric->series_count == METRIC_SERIES_MAX)
        return NULL;
    struct sl_series *series = calloc(1, sizeof *series);
    if (series == NULL)
        return NULL;
    series->metric = metric;
    for (size_t label = 0; label < metric->label_count; label++) {
        series->label_values[label] = strdup(values[label]);
        if (series->label_values[label] == NULL) {
            while (label-- > 0)
                free(series->label_values[label]);
            free(series);
            return NULL;
        }
    }
    metric->series[metric->series_count++] = series;
    return series;
}

struct sl_series *sl_metric_series(struct sl_metric *metric, const char *const *label_values)
{
    pthread_rwlock_rdlock(&metric->lock);
    struct sl_series *series = series_find(metric, label_values);
    pthread_rwlock_unlock(&metric->lock);
    if (series != NULL)
        return series;
    pthread_rwlock_wrlock(&metric->lock);
    series = series_find(metric, label_values);
    if (series == NULL)
        series = series_create(metric, label_values);
    pthread_rwlock_unlock(&metric->lock);
    if (series == NULL)
        atomic_fetch_add_explicit(&registry.dropped, 1, memory_order_relaxed);
    return series;
}

static void atomic_add_double(_Atomic double *value, double amount)
{
    double seen = atomic_load_explicit(value, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(value, &seen, seen + amount,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void sl_series_add(struct sl_series *series, double amount)
{
    if (series != NULL)
        atomic_add_double(&series->value, amount);
}

void sl_series_set(struct sl_series *series, double value)
{
    if (series != NULL)
        atomic_store_explicit(&series->value, value, memory_order_relaxed);
}

void sl_series_observe(struct sl_series *series, double value)
{
    if (series == NULL)
        return;
    const struct sl_metric *metric = series->metric;
    size_t bucket = 0;
    while (bucket < metric->bound_count && value > metric->bounds[bucket])
        bucket++;
    atomic_fetch_add_explicit(&series->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&series->count, 1, memory_order_relaxed);
    atomic_add_double(&series->value, value);
}

double sl_series_value(struct sl_series *series)
{
    if (series == NULL)
        return 0;
    if (series->metric->kind == METRIC_HISTOGRAM)
        return (double)atomic_load(&series->count);
    return atomic_load(&series->value);
}

void sl_metric_add(struct sl_metric *metric, double amount, const char *const *label_values)
{
    sl_series_add(sl_metric_series(metric, label_values), amount);
}

void sl_metric_set(struct sl_metric *metric, double value, const char *const *label_values)
{
    sl_series_set(sl_metric_series(metric, label_values), value);
}

void sl_metric_observe(struct sl_metric *metric, double value, const char *const *label_values)
{
    sl_series_observe(sl_metric_series(metric, label_values), value);
}

/* Escapes as the text format asks: backslash, quote and line feed. */
static enum sl_err append_label_value(struct sl_buf *out, const char *value)
{
    enum sl_err err = SL_OK;
    for (; *value != '\0' && err == SL_OK; value++) {
        if (*value == '\n')
            err = sl_buf_append_text(out, "\\n");
        else if (*value == '\\' || *value == '"')
            err = sl_buf_printf(out, "\\%c", *value);
        else
            err = sl_buf_append_char(out, *value);
    }
    return err;
}

/* Writes `{a="x",le="0.1"}`; `le` is NULL but for buckets. Nothing where there is no label. */
static enum sl_err append_labels(struct sl_buf *out, const struct sl_series *series, const char *le)
{
    const struct sl_metric *metric = series->metric;
    enum sl_err err = SL_OK;
    const char *separator = "{";
    for (size_t i = 0; i < metric->label_count && err == SL_OK; i++) {
        err = sl_buf_printf(out, "%s%s=\"", separator, metric->label_names[i]);
        if (err == SL_OK)
            err = append_label_value(out, series->label_values[i]);
        if (err == SL_OK)
            err = sl_buf_append_char(out, '"');
        separator = ",";
    }
    if (err == SL_OK && le != NULL) {
        err = sl_buf_printf(out, "%sle=\"%s\"", separator, le);
        separator = ",";
    }
    if (err == SL_OK && separator[0] == ',')
        err = sl_buf_append_char(out, '}');
    return err;
}

static enum sl_err append_sample(struct sl_buf *out, const struct sl_series *series,
                                 const char *suffix, const char *le, double value)
{
    enum sl_err err = sl_buf_printf(out, "%s%s", series->metric->name, suffix);
    if (err == SL_OK)
        err = append_labels(out, series, le);
    if (err == SL_OK)
        err = sl_buf_printf(out, " %.17g\n", value);
    return err;
}

static enum sl_err render_histogram(struct sl_buf *out, struct sl_series *series)
{
    const struct sl_metric *metric = series->metric;
    enum sl_err err = SL_OK;
    uint64_t cumulative = 0;
    for (size_t i = 0; i <= metric->bound_count && err == SL_OK; i++) {
        char le[32] = "+Inf";
        if (i < metric->bound_count)
            snprintf(le, sizeof le, "%g", metric->bounds[i]);
        cumulative += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
        err = append_sample(out, series, "_bucket", le, (double)cumulative);
    }
    if (err == SL_OK)
        err = append_sample(out, series, "_sum", NULL, atomic_load(&series->value));
    if (err == SL_OK)
        err = append_sample(out, series, "_count", NULL, (double)cumulative);
    return err;
}

static enum sl_err render_metric(struct sl_buf *out, struct sl_metric *metric)
{
    static const char *const kind_name[] = {"counter", "gauge", "histogram"};
    pthread_rwlock_rdlock(&metric->lock);
    size_t series_count = metric->series_count;
    pthread_rwlock_unlock(&metric->lock);
    enum sl_err err = sl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                                    metric->name, kind_name[metric->kind]);
    for (size_t i = 0; i < series_count && err == SL_OK; i++) {
        struct sl_series *series = metric->series[i];
        if (metric->kind == METRIC_HISTOGRAM)
            err = render_histogram(out, series);
        else
            err = append_sample(out, series, "", NULL, atomic_load(&series->value));
    }
    return err;
}

enum sl_err sl_metric_render(struct sl_buf *out)
{
    enum sl_err err = SL_OK;
    pthread_mutex_lock(&registry.lock); /* late registrations wait; adding does not take it */
    for (struct sl_metric *metric = registry.first; metric != NULL && err == SL_OK;
         metric = metric->next)
        err = render_metric(out, metric);
    pthread_mutex_unlock(&registry.lock);
    if (err == SL_OK)
        err = sl_buf_printf(out,
                            "# HELP sluice_metric_series_dropped_total Samples dropped because "
                            "their metric was full.\n"
                            "# TYPE sluice_metric_series_dropped_total counter\n"
                            "sluice_metric_series_dropped_total %llu\n",
                            (unsigned long long)atomic_load(&registry.dropped));
    return err;
}
