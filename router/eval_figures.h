/* SPDX-License-Identifier: Apache-2.0
 *
 * The figures that a report has, all at once, with bootstrap intervals: one row a figure, so that
 * the table, the JSON and the resampling cannot forget one.
 */
#ifndef SLUICE_EVAL_FIGURES_H
#define SLUICE_EVAL_FIGURES_H

#include "eval.h"

#include <jansson.h>
#include <stdio.h>

/* X(symbol, word in JSON, words for a person, per cent?) */
#define SL_FIGURES(X)                                                                              \
    X(ACCURACY, "accuracy", "accuracy on what is in scope", 1)                                     \
    X(AUROC, "auroc", "AUROC, right against wrong", 0)                                             \
    X(AUROC_SCOPE, "auroc_oos", "AUROC, in scope against foreign", 0)                              \
    X(FPR95, "fpr95", "foreign taken at 95 % of the rest (FPR95)", 1)                              \
    X(ECE, "ece", "ECE, 15 bins of equal width", 0)                                                \
    X(ECE_MASS, "ece_mass", "ECE, 15 bins of equal mass", 0)                                       \
    X(BRIER, "brier", "Brier score", 0)                                                            \
    X(AURC, "aurc", "AURC", 0)                                                                     \
    X(EXCESS_AURC, "excess_aurc", "AURC above the best possible", 0)                               \
    X(COVERAGE_1, "coverage_1", "answered at 1 % risk", 1)                                         \
    X(COVERAGE_2, "coverage_2", "answered at 2 % risk", 1)                                         \
    X(COVERAGE_5, "coverage_5", "answered at 5 % risk", 1)                                         \
    X(APGR, "apgr", "APGR, ideal cloud", 0)                                                        \
    X(CPT50, "cpt50", "cloud share that repairs half the errors", 1)                               \
    X(CPT80, "cpt80", "cloud share that repairs 80 %", 1)                                          \
    X(ESCALATED, "escalated", "escalated at the threshold", 1)                                     \
    X(KEPT_ACCURACY, "kept_accuracy", "accuracy of what is answered locally", 1)                   \
    X(FOREIGN_ESCALATED, "oos_escalated", "foreign requests escalated", 1)

enum sl_figure {
#define X(symbol, word, title, is_share) SL_FIGURE_##symbol,
    SL_FIGURES(X)
#undef X
    SL_FIGURE_COUNT
};

struct sl_figures {
    double value[SL_FIGURE_COUNT]; /* NaN: cannot be told from these rows */
    double low[SL_FIGURE_COUNT], high[SL_FIGURE_COUNT]; /* 95 %; NaN without resampling */
};

/* Sorts the rows. `resamples` 0: no intervals. */
void sl_figures_measure(struct sl_eval_row *rows, size_t count, double threshold,
                        uint32_t resamples, uint64_t seed, struct sl_figures *out);
/* {"accuracy": {"value", "low", "high"}, …}; what cannot be told is left out. */
json_t *sl_figures_json(const struct sl_figures *figures);
/* A table; with `before` a column of its values too. */
void sl_figures_print(const struct sl_figures *figures, const struct sl_figures *before, FILE *out);

#endif
