/* SPDX-License-Identifier: Apache-2.0
 *
 * All figures of a report, and their intervals by the percentile bootstrap (Efron 1979): rows are
 * drawn with replacement, by a generator with a seed, so that a report is the same every time.
 */
#include "eval_figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word, *title;
    bool is_share;
} figure_rows[] = {
#define X(symbol, word, title, is_share) {word, title, is_share},
    SL_FIGURES(X)
#undef X
};

static double share_of(const struct sl_eval_row *rows, size_t count,
                       bool (*counts)(const struct sl_eval_row *row, double threshold),
                       bool (*within)(const struct sl_eval_row *row, double threshold),
                       double threshold)
{
    double hits = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        if (!within(&rows[i], threshold))
            continue;
        all += rows[i].weight;
        hits += counts(&rows[i], threshold) ? rows[i].weight : 0;
    }
    return all > 0 ? hits / all : (double)NAN;
}

static bool is_right(const struct sl_eval_row *row, double threshold)
{
    (void)threshold;
    return row->is_right;
}
static bool is_foreign(const struct sl_eval_row *row, double threshold)
{
    (void)threshold;
    return row->is_foreign;
}
static bool is_own(const struct sl_eval_row *row, double threshold)
{
    (void)threshold;
    return !row->is_foreign;
}
static bool is_kept(const struct sl_eval_row *row, double threshold)
{
    return row->score >= threshold;
}
static bool is_escalated(const struct sl_eval_row *row, double threshold)
{
    return row->score < threshold;
}

/* `rows` are sorted. */
static void measure(const struct sl_eval_row *rows, size_t count, double threshold, double *value)
{
    double aurc = sl_eval_aurc(rows, count);
    value[SL_FIGURE_ACCURACY] = share_of(rows, count, is_right, is_own, threshold);
    value[SL_FIGURE_AUROC] = sl_eval_auroc(rows, count, false);
    value[SL_FIGURE_AUROC_SCOPE] = sl_eval_auroc(rows, count, true);
    value[SL_FIGURE_FPR95] = sl_eval_fpr95(rows, count);
    value[SL_FIGURE_ECE] = sl_eval_ece(rows, count, false);
    value[SL_FIGURE_ECE_MASS] = sl_eval_ece(rows, count, true);
    value[SL_FIGURE_BRIER] = sl_eval_brier(rows, count);
    value[SL_FIGURE_AURC] = aurc;
    value[SL_FIGURE_EXCESS_AURC] = aurc - sl_eval_aurc_oracle(rows, count);
    value[SL_FIGURE_COVERAGE_1] = sl_eval_coverage(rows, count, 0.01, NULL);
    value[SL_FIGURE_COVERAGE_2] = sl_eval_coverage(rows, count, 0.02, NULL);
    value[SL_FIGURE_COVERAGE_5] = sl_eval_coverage(rows, count, 0.05, NULL);
    value[SL_FIGURE_APGR] = sl_eval_apgr(rows, count);
    value[SL_FIGURE_CPT50] = sl_eval_cpt(rows, count, 0.5);
    value[SL_FIGURE_CPT80] = sl_eval_cpt(rows, count, 0.8);
    value[SL_FIGURE_ESCALATED] = 1 - sl_eval_kept(rows, count, threshold, NULL);
    value[SL_FIGURE_KEPT_ACCURACY] = share_of(rows, count, is_right, is_kept, threshold);
    value[SL_FIGURE_FOREIGN_ESCALATED] =
        share_of(rows, count, is_escalated, is_foreign, threshold);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The 2.5 % and 97.5 % points of one figure over the resamples in which it could be told. */
static void find_interval(const double *values, uint32_t resamples, int figure, double *scratch,
                          double *low, double *high)
{
    size_t known = 0;
    for (uint32_t i = 0; i < resamples; i++) {
        double value = values[(size_t)i * SL_FIGURE_COUNT + (size_t)figure];
        if (!isnan(value))
            scratch[known++] = value;
    }
    if (known < 20) /* too few to speak of tails */
        return;
    qsort(scratch, known, sizeof *scratch, compare_doubles);
    *low = scratch[(size_t)(0.025 * (double)(known - 1))];
    *high = scratch[(size_t)(0.975 * (double)(known - 1) + 0.5)];
}

/* Since the rows are sorted, drawing how often each is taken keeps them sorted. */
static void draw(const struct sl_eval_row *rows, size_t count, uint64_t *random, uint32_t *times,
                 struct sl_eval_row *out)
{
    memset(times, 0, count * sizeof *times);
    for (size_t i = 0; i < count; i++) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        times[(*random >> 32) * count >> 32]++;
    }
    for (size_t i = 0, used = 0; i < count; i++)
        for (uint32_t n = 0; n < times[i]; n++)
            out[used++] = rows[i];
}

static void resample(const struct sl_eval_row *rows, size_t count, double threshold,
                     uint32_t resamples, uint64_t seed, struct sl_figures *out)
{
    double *values = malloc((size_t)resamples * SL_FIGURE_COUNT * sizeof *values);
    double *scratch = malloc(resamples * sizeof *scratch);
    struct sl_eval_row *drawn = malloc((count + 1) * sizeof *drawn);
    uint32_t *times = malloc((count + 1) * sizeof *times);
    bool has_memory = values != NULL && scratch != NULL && drawn != NULL && times != NULL;
    for (uint32_t i = 0; has_memory && i < resamples; i++) {
        draw(rows, count, &seed, times, drawn);
        measure(drawn, count, threshold, values + (size_t)i * SL_FIGURE_COUNT);
    }
    for (int figure = 0; has_memory && figure < SL_FIGURE_COUNT; figure++)
        find_interval(values, resamples, figure, scratch, &out->low[figure], &out->high[figure]);
    free(values);
    free(scratch);
    free(drawn);
    free(times);
}

void sl_figures_measure(struct sl_eval_row *rows, size_t count, double threshold,
                        uint32_t resamples, uint64_t seed, struct sl_figures *out)
{
    for (int figure = 0; figure < SL_FIGURE_COUNT; figure++)
        out->value[figure] = out->low[figure] = out->high[figure] = (double)NAN;
    if (count == 0 || count > UINT32_MAX)
        return;
    sl_eval_sort(rows, count);
    measure(rows, count, threshold, out->value);
    if (resamples != 0)
        resample(rows, count, threshold, resamples, seed ^ 0x5851f42d4c957f2dULL, out);
}

json_t *sl_figures_json(const struct sl_figures *figures)
{
    json_t *object = json_object();
    for (int i = 0; object != NULL && i < SL_FIGURE_COUNT; i++) {
        if (isnan(figures->value[i]))
            continue;
        json_t *figure = json_pack("{s:f}", "value", figures->value[i]);
        if (!isnan(figures->low[i])) {
            json_object_set_new(figure, "low", json_real(figures->low[i]));
            json_object_set_new(figure, "high", json_real(figures->high[i]));
        }
        json_object_set_new(object, figure_rows[i].word, figure);
    }
    return object;
}

static void print_value(FILE *out, double value, bool is_share)
{
    if (isnan(value))
        fprintf(out, " %9s", "-");
    else if (is_share)
        fprintf(out, " %7.2f %%", 100 * value);
    else
        fprintf(out, " %9.4f", value);
}

void sl_figures_print(const struct sl_figures *figures, const struct sl_figures *before, FILE *out)
{
    for (int i = 0; i < SL_FIGURE_COUNT; i++) {
        bool is_share = figure_rows[i].is_share;
        if (isnan(figures->value[i]))
            continue;
        fprintf(out, "  %-44s", figure_rows[i].title);
        if (before != NULL)
            print_value(out, before->value[i], is_share);
        print_value(out, figures->value[i], is_share);
        if (!isnan(figures->low[i])) {
            fputs("  [", out);
            print_value(out, figures->low[i], is_share);
            fputs(",", out);
            print_value(out, figures->high[i], is_share);
            fputs(" ]", out);
        }
        fputc('\n', out);
    }
}
