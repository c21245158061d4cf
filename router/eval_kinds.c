/* SPDX-License-Identifier: Apache-2.0
 *
 * Reliability by kind, as eval_kinds.h has it: measuring, JSON and the table for people.
 */
#include "eval_kinds.h"

#include <math.h>

#define CHANCE_DRAWS 200 /* its mean is then known to a hundredth of itself */

void sl_kind_figures_measure(struct sl_eval_row *rows, size_t count, uint64_t seed,
                             struct sl_kind_figures *out)
{
    double weight = 0, score = 0, right = 0;
    *out = (struct sl_kind_figures){.rows = count};
    sl_eval_sort(rows, count);
    sl_eval_bins(rows, count, out->bins);
    for (int bin = 0; bin < SL_EVAL_BINS; bin++) {
        weight += out->bins[bin].weight;
        score += out->bins[bin].score;
        right += out->bins[bin].right;
    }
    out->accuracy = weight > 0 ? right / weight : (double)NAN;
    out->mean_score = weight > 0 ? score / weight : (double)NAN;
    out->ece = sl_eval_ece(rows, count, false);
    out->ece_chance = sl_eval_ece_chance(rows, count, CHANCE_DRAWS, seed);
}

json_t *sl_kind_figures_json(const char *name, const struct sl_kind_figures *figures)
{
    json_t *bins = json_array();
    for (int i = 0; i < SL_EVAL_BINS; i++) {
        const struct sl_eval_bin *bin = &figures->bins[i];
        if (bin->rows == 0)
            continue;
        json_array_append_new(bins, json_pack("{s:f, s:f, s:I, s:f, s:f}", "from",
                                              (double)i / SL_EVAL_BINS, "to",
                                              (i + 1.0) / SL_EVAL_BINS, "rows",
                                              (json_int_t)bin->rows, "mean_score",
                                              bin->score / bin->weight, "accuracy",
                                              bin->right / bin->weight));
    }
    return json_pack("{s:s, s:I, s:f, s:f, s:f, s:f, s:o}", "name", name, "rows",
                     (json_int_t)figures->rows, "accuracy", figures->accuracy, "mean_score",
                     figures->mean_score, "ece", figures->ece, "ece_chance", figures->ece_chance,
                     "bins", bins);
}

void sl_kind_figures_print(const char *name, const struct sl_kind_figures *figures, FILE *out)
{
    fprintf(out,
            "\n  kind %s: %zu rows, mean confidence %.1f %%, right %.1f %%; ECE %.4f\n"
            "  (a perfect score has %.4f on so many rows)\n"
            "    confidence        rows      mean     right\n",
            name, figures->rows, 100 * figures->mean_score, 100 * figures->accuracy, figures->ece,
            figures->ece_chance);
    for (int i = 0; i < SL_EVAL_BINS; i++) {
        const struct sl_eval_bin *bin = &figures->bins[i];
        if (bin->rows != 0)
            fprintf(out, "    %.3f - %.3f   %6zu   %5.1f %%   %5.1f %%\n",
                    (double)i / SL_EVAL_BINS, (i + 1.0) / SL_EVAL_BINS, bin->rows,
                    100 * bin->score / bin->weight, 100 * bin->right / bin->weight);
    }
}

size_t sl_eval_of_kind(const struct sl_eval_row *rows, const uint32_t *kinds, size_t count,
                       uint32_t kind, struct sl_eval_row *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kinds[i] == kind)
            out[kept++] = rows[i];
    return kept;
}
