/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics for Prometheus: counters, gauges and histograms with labels, in one process-wide
 * registry, rendered in text format 0.0.4. Labels are closed sets (routes, reasons, providers);
 * never a prompt, user or request id: a metric holds at most 256 series and drops what comes after,
 * counting it in `sluice_metric_series_dropped_total`.
 *
 *     static struct sl_metric *requests;      // at start
 *     requests = sl_metric_counter("sluice_requests_total", "Requests by outcome.",
 *                                  (const char *const[]){"api", "route", NULL});
 *     sl_metric_add(requests, 1, (const char *const[]){"openai", "local"});
 *
 * Threads: registering takes a lock and is for start-up (registering a name again returns the same
 * metric); adding is a look-up under a read lock and an atomic add. A hot path may keep the series.
 */
#ifndef SLUICE_METRIC_H
#define SLUICE_METRIC_H

#include "sluice/buf.h"

struct sl_metric;
struct sl_series;

#define SL_METRIC_LABELS_MAX 6

/* `label_names` is NULL-terminated, or NULL for none; strings are borrowed for ever (literals).
 * Never NULL: running out of memory at start aborts. */
struct sl_metric *sl_metric_counter(const char *name, const char *help,
                                    const char *const *label_names);
struct sl_metric *sl_metric_gauge(const char *name, const char *help,
                                  const char *const *label_names);
/* `bounds` are `bound_count` rising upper bounds; +Inf is added. */
struct sl_metric *sl_metric_histogram(const char *name, const char *help,
                                      const char *const *label_names, const double *bounds,
                                      size_t bound_count);

/* The series with these label values (as many as the metric has label names; copied at first use;
 * NULL values for a metric without labels). NULL when the metric is full. */
struct sl_series *sl_metric_series(struct sl_metric *metric, const char *const *label_values);

void sl_series_add(struct sl_series *series, double amount);    /* counter, gauge */
void sl_series_set(struct sl_series *series, double value);     /* gauge */
void sl_series_observe(struct sl_series *series, double value); /* histogram */
double sl_series_value(struct sl_series *series);               /* for tests: value or count */

void sl_metric_add(struct sl_metric *metric, double amount, const char *const *label_values);
void sl_metric_set(struct sl_metric *metric, double value, const char *const *label_values);
void sl_metric_observe(struct sl_metric *metric, double value, const char *const *label_values);

/* Appends every metric, in the order of registration. */
enum sl_err sl_metric_render(struct sl_buf *out) SL_MUST_CHECK;

/* Buckets for durations in seconds, 100 µs to 60 s, and for sizes of a score in [0, 1]. */
extern const double sl_metric_seconds_bounds[];
extern const size_t sl_metric_seconds_bound_count;
extern const double sl_metric_score_bounds[];
extern const size_t sl_metric_score_bound_count;

#endif
