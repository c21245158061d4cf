/* SPDX-License-Identifier: Apache-2.0
 *
 * Fitting the maps of kinds (calibration_kinds.h) over a shared score, with few rows too: slope and
 * shift are drawn to 1 and 0, the shared score, as if each had been measured there once with the
 * deviation below. A hundred rows outvote that; ten hardly move it.
 *
 *     struct sl_kind_map map;
 *     double gain;
 *     if (sl_fit_kind(rows, count, &map, &gain)) ... // gain: of the log loss a row, cross-validated
 *
 * Threads: pure; deterministic.
 */
#ifndef SLUICE_CALIBRATE_KINDS_H
#define SLUICE_CALIBRATE_KINDS_H

#include "calibration_kinds.h"

/* Chosen on the kinds of the reference data by taking 10 to 150 rows and measuring the rest: wider
 * ones lose up to 0.1 of the log loss at ten rows and gain nothing at a hundred, narrower ones lose
 * at forty what they save at ten. */
#define SL_KIND_SLOPE_DEVIATION 0.5
#define SL_KIND_SHIFT_DEVIATION 0.5
#define SL_KIND_ROWS_MIN 20 /* that are not foreign; under this no kind was worth its two numbers */

struct sl_kind_row {
    double logit; /* sl_kind_logit of a shared score that has not seen the row */
    double weight;
    uint32_t fold; /* 0 to SL_KIND_FOLDS - 1 */
    bool is_right, is_foreign;
};
#define SL_KIND_FOLDS 5

/* The slope (not negative) and shift of greatest posterior probability over the rows outside
 * `fold_left_out` (SL_KIND_FOLDS: over all). False where a number is not finite, a weight not above
 * zero, or no row is left. */
bool sl_fit_kind_map(const struct sl_kind_row *rows, size_t count, uint32_t fold_left_out,
                     struct sl_kind_map *out);
/* The map, and how much less log loss a row it has than the shared score on rows that it has not
 * seen; below zero: the shared score is better. False with too few rows, or as above. */
bool sl_fit_kind(const struct sl_kind_row *rows, size_t count, struct sl_kind_map *out,
                 double *gain);

#endif
