/* SPDX-License-Identifier: Apache-2.0
 *
 * Thresholds that hold a risk, by rows that have not fitted: the walk of calibrate.h, where it
 * starts, and the test of thresholds that other rows have certified before.
 *
 * Pure; any thread.
 */
#include "calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GRID 200 /* thresholds of the walk */

/* Where the walk starts: at as many rows as prove the risk with one error among them, since a walk
 * that starts where it must see none ends at the first mislabelled row; with few rows, with none.
 * Depends on counts only, never on which rows are wrong. */
static double first_step_rows(double risk, double delta, double effective_total)
{
    double none = log(delta) / log1p(-risk), one = ceil(none);
    while (sl_eval_upper_bound(1, one, delta) > risk)
        one += 1;
    return effective_total >= 2 * one ? one : none;
}

static double effective_rows(const struct sl_eval_row *rows, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += rows[i].weight;
        squares += rows[i].weight * rows[i].weight;
    }
    return squares > 0 ? sum * sum / squares : 0; /* Kish's effective number */
}

struct sl_certificate sl_fit_certify(const struct sl_eval_row *scored, size_t count,
                                     const double *grid, size_t grid_count, double risk,
                                     double delta)
{
    struct sl_certificate result = {.risk = {.risk = risk, .delta = delta, .threshold = 2},
                                    .best_error = 1};
    double kept = 0, squares = 0, wrong = 0, total = 0;
    size_t at = 0, answered = 0, wrong_rows = 0;
    bool walks = true;
    double first = first_step_rows(risk, delta, effective_rows(scored, count));
    for (size_t i = 0; i < count; i++)
        total += scored[i].weight;
    for (size_t step = 0; step < grid_count; step++) {
        for (; at < count && scored[at].score >= grid[step]; at++) {
            kept += scored[at].weight;
            squares += scored[at].weight * scored[at].weight;
            wrong += scored[at].is_right ? 0 : scored[at].weight;
            answered++;
            wrong_rows += !scored[at].is_right;
        }
        double effective = squares > 0 ? kept * kept / squares : 0;
        double error = kept > 0 ? wrong / kept : 1;
        if (effective < first)
            continue;
        if (error < result.best_error)
            result.best_error = error;
        walks = walks && sl_eval_upper_bound(error * effective, effective, delta) <= risk;
        if (!walks)
            break;
        result.holds = true;
        result.risk.threshold = grid[step];
        result.risk.coverage = total > 0 ? kept / total : 0;
        result.risk.answered = answered;
        result.risk.wrong = wrong_rows;
    }
    if (result.holds)
        return result;
    bool too_few = result.best_error >= 1; /* the walk never began */
    size_t needed = sl_eval_rows_needed(risk, delta, too_few ? 0 : result.best_error);
    result.rows_missing = needed > answered ? needed - answered : 0;
    return result;
}

static double score_of(const struct sl_calibration *calibration, const struct sl_fit_row *row)
{
    double value = sl_calibration_score(calibration, row->kind, row->vector);
    return isfinite(value) ? value : -1; /* a missing score is below every threshold */
}

/* Upper bound on the risk of what scores at least `threshold`; `rows` fall in score. */
static double bound_above(const struct sl_eval_row *rows, size_t count, double threshold,
                          double delta)
{
    double kept = 0, squares = 0, wrong = 0;
    for (size_t i = 0; i < count && rows[i].score >= threshold; i++) {
        kept += rows[i].weight;
        squares += rows[i].weight * rows[i].weight;
        wrong += rows[i].is_right ? 0 : rows[i].weight;
    }
    if (kept <= 0)
        return 1;
    double effective = kept * kept / squares;
    return sl_eval_upper_bound(wrong / kept * effective, effective, delta);
}

/* Thresholds at even quantiles of the scores of the rows that fitted, falling, from where those rows
 * bound the risk best: above, a few mislabelled rows among the surest would end the walk before it
 * began. The order is set by rows that do not certify, so the promise holds (fixed-sequence testing
 * leaves it free). */
static size_t make_grid(const struct sl_fit_row *const *fitting, size_t count,
                        const struct sl_calibration *calibration, double delta,
                        double grid[GRID])
{
    struct sl_eval_row *rows = malloc((count + 1) * sizeof *rows);
    size_t start = 0;
    double best = 2;
    if (rows == NULL)
        return 0;
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct sl_eval_row){.score = score_of(calibration, fitting[i]),
                                       .weight = fitting[i]->weight,
                                       .is_right = fitting[i]->is_right};
    sl_eval_sort(rows, count);
    for (size_t step = 0; step < GRID; step++) {
        grid[step] = rows[(step + 1) * count / GRID - ((step + 1) * count >= GRID)].score;
        double bound = bound_above(rows, count, grid[step], delta);
        if (bound < best) {
            best = bound;
            start = step;
        }
    }
    memmove(grid, grid + start, (GRID - start) * sizeof *grid);
    free(rows);
    return GRID - start;
}

/* The rows that do not fit, sorted by falling score. NULL: memory. */
static struct sl_eval_row *certifying_rows(const struct sl_fit_row *rows, size_t count,
                                           uint64_t seed, const struct sl_calibration *calibration,
                                           size_t *size)
{
    struct sl_eval_row *scored = malloc((count + 1) * sizeof *scored);
    *size = 0;
    for (size_t i = 0; scored != NULL && i < count; i++)
        if (!sl_fit_is_fitting(&rows[i], seed))
            scored[(*size)++] = (struct sl_eval_row){.score = score_of(calibration, &rows[i]),
                                                     .weight = rows[i].weight,
                                                     .is_right = rows[i].is_right,
                                                     .is_foreign = rows[i].is_foreign};
    if (scored != NULL)
        sl_eval_sort(scored, *size);
    return scored;
}

enum sl_err sl_fit_certify_all(const struct sl_fit_row *const *fitting, size_t fitting_count,
                               const struct sl_fit_row *rows, size_t count,
                               const struct sl_fit_options *options,
                               struct sl_calibration *calibration, struct sl_error *error)
{
    double grid[GRID];
    size_t size, steps = make_grid(fitting, fitting_count, calibration, options->delta, grid);
    struct sl_eval_row *scored = certifying_rows(rows, count, options->seed, calibration, &size);
    if (scored == NULL || steps == 0) {
        free(scored);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    for (size_t i = 0; i < options->risk_count; i++) {
        struct sl_certificate certificate =
            sl_fit_certify(scored, size, grid, steps, options->risks[i], options->delta);
        if (options->certificates != NULL)
            options->certificates[i] = certificate;
        if (certificate.holds && calibration->risk_count < SL_CALIBRATION_RISKS_MAX)
            calibration->risks[calibration->risk_count++] = certificate.risk;
    }
    free(scored);
    return SL_OK;
}

/* One test at one threshold, which these rows did not choose. */
static struct sl_certificate bear_out(const struct sl_eval_row *scored, size_t count,
                                      const struct sl_certified_risk *risk, double delta)
{
    struct sl_certificate result = {.risk = *risk};
    double kept = 0, squares = 0, wrong = 0;
    size_t answered = 0;
    for (; answered < count && scored[answered].score >= risk->threshold; answered++) {
        kept += scored[answered].weight;
        squares += scored[answered].weight * scored[answered].weight;
        wrong += scored[answered].is_right ? 0 : scored[answered].weight;
    }
    double effective = squares > 0 ? kept * kept / squares : 0;
    result.best_error = kept > 0 ? wrong / kept : 0;
    result.holds =
        sl_eval_upper_bound(result.best_error * effective, effective, delta) <= risk->risk;
    size_t needed = result.holds ? 0 : sl_eval_rows_needed(risk->risk, delta, result.best_error);
    result.rows_missing = needed > answered ? needed - answered : 0;
    return result;
}

enum sl_err sl_fit_bear_out(const struct sl_fit_row *rows, size_t count,
                            const struct sl_fit_options *options,
                            struct sl_calibration *calibration, struct sl_error *error)
{
    size_t size, kept = 0;
    struct sl_eval_row *scored = certifying_rows(rows, count, options->seed, calibration, &size);
    if (scored == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    for (size_t i = 0; i < calibration->risk_count; i++) {
        struct sl_certificate certificate =
            bear_out(scored, size, &calibration->risks[i], options->delta);
        if (options->certificates != NULL)
            options->certificates[i] = certificate;
        if (certificate.holds)
            calibration->risks[kept++] = certificate.risk;
    }
    calibration->risk_count = kept;
    free(scored);
    return SL_OK;
}
