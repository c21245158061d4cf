/* SPDX-License-Identifier: Apache-2.0
 *
 * The fit of calibrate_kinds.h: logistic regression on one number with a Gaussian prior around the
 * shared score (MAP), by Newton's method with halved steps.
 *
 * What was tried on the reference data and left out: own weights of a kind for the shared features,
 * drawn to the shared ones by ridges from 1 to 64 (no less log loss in any kind), or for all features
 * (more of it below a ridge of 64); the linear score in place of the calibrated one (the same; but
 * few rows would then be drawn to a sigmoid instead of to what is used without them).
 *
 * Pure; any thread.
 */
#include "calibrate_kinds.h"

#include <math.h>

#define NEWTON_STEPS 50

static double row_loss(double raw, bool is_right)
{
    double signed_raw = is_right ? raw : -raw;
    return signed_raw > 0 ? log1p(exp(-signed_raw)) : -signed_raw + log1p(exp(signed_raw));
}

static double prior_loss(double slope, double shift)
{
    double a = (slope - 1) / SL_KIND_SLOPE_DEVIATION, b = shift / SL_KIND_SHIFT_DEVIATION;
    return (a * a + b * b) / 2;
}

static double loss_at(const struct sl_kind_row *rows, size_t count, uint32_t left_out, double slope,
                      double shift)
{
    double loss = prior_loss(slope, shift);
    for (size_t i = 0; i < count; i++)
        if (rows[i].fold != left_out)
            loss += rows[i].weight * row_loss(slope * rows[i].logit + shift, rows[i].is_right);
    return loss;
}

/* The way that Newton's method goes from here. With the slope held, the shift's own. */
static void newton_step(const struct sl_kind_row *rows, size_t count, uint32_t left_out,
                        double slope, double shift, bool holds_slope, double step[2])
{
    const double slope_pull = 1 / (SL_KIND_SLOPE_DEVIATION * SL_KIND_SLOPE_DEVIATION);
    const double shift_pull = 1 / (SL_KIND_SHIFT_DEVIATION * SL_KIND_SHIFT_DEVIATION);
    double g0 = slope_pull * (slope - 1), g1 = shift_pull * shift;
    double h00 = slope_pull, h01 = 0, h11 = shift_pull;
    for (size_t i = 0; i < count; i++) {
        const struct sl_kind_row *row = &rows[i];
        if (row->fold == left_out)
            continue;
        double p = 1 / (1 + exp(-(slope * row->logit + shift)));
        double off = row->weight * (p - row->is_right), curve = row->weight * p * (1 - p);
        g0 += off * row->logit;
        g1 += off;
        h00 += curve * row->logit * row->logit;
        h01 += curve * row->logit;
        h11 += curve;
    }
    double determinant = h00 * h11 - h01 * h01; /* above zero: the prior's part is */
    step[0] = holds_slope ? 0 : (h11 * g0 - h01 * g1) / determinant;
    step[1] = holds_slope ? g1 / h11 : (h00 * g1 - h01 * g0) / determinant;
}

static void descend(const struct sl_kind_row *rows, size_t count, uint32_t left_out,
                    bool holds_slope, struct sl_kind_map *map)
{
    for (int round = 0; round < NEWTON_STEPS; round++) {
        double step[2], moved = 0;
        double loss = loss_at(rows, count, left_out, map->slope, map->shift);
        newton_step(rows, count, left_out, map->slope, map->shift, holds_slope, step);
        for (double length = 1; length > 1e-4; length /= 2) {
            double slope = map->slope - length * step[0], shift = map->shift - length * step[1];
            if (loss_at(rows, count, left_out, slope, shift) > loss + 1e-12)
                continue;
            moved = length * fmax(fabs(step[0]), fabs(step[1]));
            *map = (struct sl_kind_map){slope, shift};
            break;
        }
        if (moved < 1e-9)
            return;
    }
}

bool sl_fit_kind_map(const struct sl_kind_row *rows, size_t count, uint32_t fold_left_out,
                     struct sl_kind_map *out)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(rows[i].logit) || !(rows[i].weight > 0) || !isfinite(rows[i].weight))
            return false;
        used += rows[i].fold != fold_left_out;
    }
    *out = (struct sl_kind_map){1, 0};
    if (used == 0)
        return false;
    descend(rows, count, fold_left_out, false, out);
    if (out->slope < 0) { /* surer is more often wrong: then the kind's share of right ones is all
                           * that may be said, and the order of scores stays */
        *out = (struct sl_kind_map){0, 0};
        descend(rows, count, fold_left_out, true, out);
    }
    return out->slope <= SL_KIND_SLOPE_MAX && fabs(out->shift) <= SL_KIND_SHIFT_MAX;
}

bool sl_fit_kind(const struct sl_kind_row *rows, size_t count, struct sl_kind_map *out,
                 double *gain)
{
    double before = 0, after = 0, weight = 0;
    size_t own = 0;
    for (size_t i = 0; i < count; i++)
        own += !rows[i].is_foreign;
    if (own < SL_KIND_ROWS_MIN)
        return false;
    for (uint32_t fold = 0; fold < SL_KIND_FOLDS; fold++) {
        struct sl_kind_map map;
        if (!sl_fit_kind_map(rows, count, fold, &map))
            return false;
        for (size_t i = 0; i < count; i++) {
            const struct sl_kind_row *row = &rows[i];
            if (row->fold != fold)
                continue;
            before += row->weight * row_loss(row->logit, row->is_right);
            after += row->weight * row_loss(map.slope * row->logit + map.shift, row->is_right);
            weight += row->weight;
        }
    }
    *gain = (before - after) / weight;
    return sl_fit_kind_map(rows, count, SL_KIND_FOLDS, out);
}
