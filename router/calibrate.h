/* SPDX-License-Identifier: Apache-2.0
 *
 * Fitting a calibration from rows of features: which features to keep, their weights, the map to
 * probabilities, and the thresholds that hold a risk. Pure numerics: running the model is in
 * calibrate_command.c.
 *
 *     struct sl_calibration calibration = {0};
 *     sl_fit(rows, count, &options, &calibration, &error);
 *
 * Threads: one owner; deterministic.
 */
#ifndef SLUICE_ROUTER_CALIBRATE_H
#define SLUICE_ROUTER_CALIBRATE_H

#include "calibration.h"
#include "eval.h"

struct sl_fit_row {
    double vector[SL_FEATURE_IDS]; /* NaN: not measured */
    double weight;
    uint64_t key; /* decides halves and folds: a hash of the row's id */
    uint32_t kind; /* among the calibration's; SL_KIND_SHARED: none */
    bool is_right, is_foreign;
};

struct sl_certificate {
    bool holds;
    struct sl_certified_risk risk;
    /* where it does not hold: */
    double best_error; /* lowest share of wrong ones seen at a coverage worth having */
    size_t rows_missing; /* answered rows that this error rate would still need; 0: no number of
                          * rows helps, the errors themselves are too many */
};
struct sl_fit_options {
    double delta;
    const double *risks; /* to certify */
    size_t risk_count;
    uint64_t seed;
    struct sl_certificate *certificates; /* risk_count of them, filled; NULL: not wanted */
};

/* Half of the rows (by key) fits, the other half certifies. Fills answer, prompt, risks and rows of
 * *calibration, and the maps of the kinds that it has: where rows that a map has not seen are told no
 * better by it, or there are too few, the shared score stays. A risk that the rows cannot certify is left out. Errors: SL_ERR_INVALID (too few
 * rows, or all of them right or all wrong), SL_ERR_MEMORY. */
enum sl_err sl_fit(const struct sl_fit_row *rows, size_t count,
                   const struct sl_fit_options *options, struct sl_calibration *calibration,
                   struct sl_error *error) SL_MUST_CHECK;
/* Fits the maps of those kinds that the rows have, over the scores that *calibration has, which must
 * not have seen these rows; all else stays. A certified risk stays where the half that does not fit
 * bears it out at its threshold (certificates: one for each risk that there was). Errors:
 * SL_ERR_INVALID (too few rows of any kind), SL_ERR_MEMORY. */
enum sl_err sl_fit_add(const struct sl_fit_row *rows, size_t count,
                       const struct sl_fit_options *options, struct sl_calibration *calibration,
                       struct sl_error *error) SL_MUST_CHECK;
/* True for the half that fits. */
bool sl_fit_is_fitting(const struct sl_fit_row *row, uint64_t seed);

/* Logistic regression with these features over all rows given; standardised, L2 strength `ridge`
 * per row weight 1. False where it does not converge or memory is short. */
bool sl_fit_logistic(const struct sl_fit_row *const *rows, size_t count,
                     const enum sl_feature_id *ids, size_t id_count, double ridge,
                     struct sl_linear_score *out);
/* The rising step function closest to the rows (pool adjacent violators), as knots through the
 * middles of its blocks. `scores` rise. */
size_t sl_fit_isotonic(const double *scores, const double *weights, const bool *is_right,
                       size_t count, double *knots_x, double *knots_y);

/* Walks a fixed falling grid of thresholds down `scored` (sorted by falling score) and stops at the
 * first whose bound exceeds the risk: a fixed-sequence test (Bauer 1991), so the whole walk fails
 * with probability delta at most. Weighted rows count by their effective number. */
struct sl_certificate sl_fit_certify(const struct sl_eval_row *scored, size_t count,
                                     const double *grid, size_t grid_count, double risk,
                                     double delta);
/* The walk for each risk of the options, over the rows that do not fit; the grid is of the `fitting`.
 * SL_ERR_MEMORY. */
enum sl_err sl_fit_certify_all(const struct sl_fit_row *const *fitting, size_t fitting_count,
                               const struct sl_fit_row *rows, size_t count,
                               const struct sl_fit_options *options,
                               struct sl_calibration *calibration,
                               struct sl_error *error) SL_MUST_CHECK;
/* Keeps of the certified risks those that these rows bear out, each at its threshold: one exact test
 * each, at a threshold that they did not choose. SL_ERR_MEMORY. */
enum sl_err sl_fit_bear_out(const struct sl_fit_row *rows, size_t count,
                            const struct sl_fit_options *options,
                            struct sl_calibration *calibration,
                            struct sl_error *error) SL_MUST_CHECK;

#endif
