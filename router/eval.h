/* SPDX-License-Identifier: Apache-2.0
 *
 * Measures of how well a score tells right answers from wrong ones, over weighted rows.
 *
 *     double area = sl_eval_auroc(rows, count);
 *     double kept = sl_eval_coverage(rows, count, 0.02);
 *
 * Sources: AUROC as the Mann-Whitney statistic, ties counting half (Fawcett 2006); risk-coverage
 * and AURC (Geifman and El-Yaniv 2017); ECE (Naeini et al. 2015, Guo et al. 2017); CPT and APGR
 * (RouteLLM, Ong et al. 2024) with a cloud that is always right; the ECE of a perfect score by
 * consistency resampling (Bröcker and Smith 2007).
 *
 * Rows are sorted in place by falling score where a function says so; nothing else is kept. Pure
 * otherwise; any thread.
 */
#ifndef SLUICE_EVAL_H
#define SLUICE_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sl_eval_row {
    double score;  /* P(the local answer is right) */
    double weight; /* 1, or what makes up a wanted mix */
    bool is_right;
    bool is_foreign; /* nothing that the box says is right: out of scope */
};

/* Sorts by falling score; every function below expects sorted rows. Stable in what it returns: ties
 * are handled as groups. */
void sl_eval_sort(struct sl_eval_row *rows, size_t count);

/* Positive: `is_right`; or, with `by_scope`, not `is_foreign`. NaN where one side is empty. */
double sl_eval_auroc(const struct sl_eval_row *rows, size_t count, bool by_scope);
/* Share of foreign rows at or above the score that 95 % of the others reach. NaN without both. */
double sl_eval_fpr95(const struct sl_eval_row *rows, size_t count);
/* Mean over all coverages of the share of wrong answers among those kept. */
double sl_eval_aurc(const struct sl_eval_row *rows, size_t count);
/* The same for a score that puts every right answer first: the lower bound. */
double sl_eval_aurc_oracle(const struct sl_eval_row *rows, size_t count);
/* Largest share kept with at most this share of wrong answers among them; its score in *threshold
 * (may be NULL; above 1 where nothing can be kept). */
double sl_eval_coverage(const struct sl_eval_row *rows, size_t count, double risk,
                        double *threshold);
/* Share kept at a threshold, and in *risk (may be NULL) the share of wrong ones among them. */
double sl_eval_kept(const struct sl_eval_row *rows, size_t count, double threshold, double *risk);
/* Expected calibration error over 15 bins of equal width, or of equal mass. */
double sl_eval_ece(const struct sl_eval_row *rows, size_t count, bool equal_mass);
/* The one of equal width that rows with these scores have on average where every score is true: the
 * mean over so many draws of who is right. An ECE below it says nothing against a score. */
double sl_eval_ece_chance(const struct sl_eval_row *rows, size_t count, uint32_t draws,
                          uint64_t seed);
#define SL_EVAL_BINS 15 /* as in Guo et al. 2017 */
struct sl_eval_bin {
    size_t rows;
    double weight, score, right; /* sums; the latter two weighted */
};
/* The bins of equal width. */
void sl_eval_bins(const struct sl_eval_row *rows, size_t count,
                  struct sl_eval_bin bins[SL_EVAL_BINS]);
double sl_eval_brier(const struct sl_eval_row *rows, size_t count);
/* Area under (share sent to the cloud, share of the local errors repaired): 0.5 is chance. */
double sl_eval_apgr(const struct sl_eval_row *rows, size_t count);
/* Smallest share sent to the cloud that repairs this share of the local errors. */
double sl_eval_cpt(const struct sl_eval_row *rows, size_t count, double repaired);

/* Upper end of a one-sided exact interval for a share (Clopper and Pearson 1934): with probability
 * 1 - delta the true share of wrong ones is below it. Fractional counts are allowed. 1 for n = 0. */
double sl_eval_upper_bound(double wrong, double answered, double delta);
/* Rows that must be answered for the bound to hold `risk`, at this error rate; 0 where none do. */
size_t sl_eval_rows_needed(double risk, double delta, double error_rate);

#endif
