/* SPDX-License-Identifier: Apache-2.0
 *
 * Reliability of a score in one kind of task: of the rows that it gave so much, how many were right?
 * With what a perfect score would show on as few rows, since an ECE is never 0: of 300 rows whose
 * scores are true by construction it is about 0.04.
 *
 *     struct sl_kind_figures figures;
 *     sl_kind_figures_measure(rows, count, seed, &figures);
 *     sl_kind_figures_print("sentiment_uci", &figures, stdout);
 *
 * Source: reliability diagrams (DeGroot and Fienberg 1983), the score of a perfect forecast by
 * drawing outcomes from the scores (consistency resampling, Bröcker and Smith 2007).
 *
 * Threads: pure.
 */
#ifndef SLUICE_EVAL_KINDS_H
#define SLUICE_EVAL_KINDS_H

#include "eval.h"

#include <jansson.h>
#include <stdio.h>

struct sl_kind_figures {
    size_t rows;
    double accuracy, mean_score; /* shares of all rows, foreign ones too */
    double ece;                  /* 15 bins of equal width */
    double ece_chance;           /* what a perfect score would have, on average */
    struct sl_eval_bin bins[SL_EVAL_BINS];
};

/* Sorts the rows. Deterministic for a seed. NaN for the shares where there are no rows. */
void sl_kind_figures_measure(struct sl_eval_row *rows, size_t count, uint64_t seed,
                             struct sl_kind_figures *out);
/* {"name", "rows", "accuracy", "mean_score", "ece", "ece_chance", "bins": [{"from", "to", "rows",
 * "mean_score", "accuracy"}]}; bins without rows are left out. */
json_t *sl_kind_figures_json(const char *name, const struct sl_kind_figures *figures);
void sl_kind_figures_print(const char *name, const struct sl_kind_figures *figures, FILE *out);

/* Copies the rows of one kind to the front of `out` (room for all); returns how many. */
size_t sl_eval_of_kind(const struct sl_eval_row *rows, const uint32_t *kinds, size_t count,
                       uint32_t kind, struct sl_eval_row *out);

#endif
