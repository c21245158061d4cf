/* SPDX-License-Identifier: Apache-2.0
 *
 * The measures of eval.h. All walk the rows once from the most to the least confident, in groups of
 * equal scores, since rows that a threshold cannot tell apart must not be told apart by their order.
 *
 * Invariant of every walk: `kept` and `wrong` are the weights of the rows before the group.
 */
#include "eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS SL_EVAL_BINS

static int compare_falling(const void *a, const void *b)
{
    double x = ((const struct sl_eval_row *)a)->score, y = ((const struct sl_eval_row *)b)->score;
    return (x < y) - (x > y);
}

void sl_eval_sort(struct sl_eval_row *rows, size_t count)
{
    qsort(rows, count, sizeof *rows, compare_falling);
}

/* One group of rows with the same score. */
struct group {
    size_t end; /* first row after it */
    double score, right, wrong, foreign, own; /* weights; own: not foreign */
};

static struct group group_at(const struct sl_eval_row *rows, size_t count, size_t start)
{
    struct group group = {.end = start, .score = rows[start].score};
    for (; group.end < count && rows[group.end].score >= group.score; group.end++) {
        const struct sl_eval_row *row = &rows[group.end];
        *(row->is_right ? &group.right : &group.wrong) += row->weight;
        *(row->is_foreign ? &group.foreign : &group.own) += row->weight;
    }
    return group;
}

static double total_weight(const struct sl_eval_row *rows, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += rows[i].weight;
    return sum;
}

static double wrong_weight(const struct sl_eval_row *rows, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += rows[i].is_right ? 0 : rows[i].weight;
    return sum;
}

double sl_eval_auroc(const struct sl_eval_row *rows, size_t count, bool by_scope)
{
    double positive = 0, negative = 0, area = 0;
    for (size_t i = 0; i < count;) {
        struct group group = group_at(rows, count, i);
        double more_positive = by_scope ? group.own : group.right;
        double more_negative = by_scope ? group.foreign : group.wrong;
        /* Each negative here is beaten by the positives before it, and half by those beside it. */
        area += more_negative * (positive + more_positive / 2);
        positive += more_positive;
        negative += more_negative;
        i = group.end;
    }
    return positive > 0 && negative > 0 ? area / (positive * negative) : (double)NAN;
}

double sl_eval_fpr95(const struct sl_eval_row *rows, size_t count)
{
    double own = 0, foreign = 0, own_total = 0, foreign_total = 0;
    for (size_t i = 0; i < count; i++)
        *(rows[i].is_foreign ? &foreign_total : &own_total) += rows[i].weight;
    if (own_total <= 0 || foreign_total <= 0)
        return (double)NAN;
    for (size_t i = 0; i < count;) {
        struct group group = group_at(rows, count, i);
        own += group.own;
        foreign += group.foreign;
        if (own >= 0.95 * own_total * (1 - 1e-12))
            break;
        i = group.end;
    }
    return foreign / foreign_total;
}

/* Within a group the errors are taken as spread evenly: the expectation over its orders. */
static double group_risk_area(double kept, double wrong, const struct group *group)
{
    enum { STEPS = 8 };
    double mass = group->right + group->wrong, area = 0;
    for (int step = 1; step <= STEPS; step++) {
        double share = (double)step / STEPS;
        double now = kept + share * mass;
        area += now > 0 ? (wrong + share * group->wrong) / now : 0;
    }
    return area / STEPS * mass;
}

double sl_eval_aurc(const struct sl_eval_row *rows, size_t count)
{
    double kept = 0, wrong = 0, area = 0;
    for (size_t i = 0; i < count;) {
        struct group group = group_at(rows, count, i);
        if (group.end == i + 1) /* one row: its own coverage point */
            area += rows[i].weight * (wrong + group.wrong) / (kept + rows[i].weight);
        else
            area += group_risk_area(kept, wrong, &group);
        kept += group.right + group.wrong;
        wrong += group.wrong;
        i = group.end;
    }
    return kept > 0 ? area / kept : (double)NAN;
}

double sl_eval_aurc_oracle(const struct sl_eval_row *rows, size_t count)
{
    double total = total_weight(rows, count);
    double share = total > 0 ? wrong_weight(rows, count) / total : 0;
    /* Integral over coverage c from 1 - share to 1 of (c - (1 - share)) / c. */
    return share <= 0 ? 0 : share >= 1 ? 1 : share + (1 - share) * log(1 - share);
}

double sl_eval_coverage(const struct sl_eval_row *rows, size_t count, double risk,
                        double *threshold)
{
    double kept = 0, wrong = 0, best = 0, best_score = 2;
    double total = total_weight(rows, count);
    for (size_t i = 0; i < count;) {
        struct group group = group_at(rows, count, i);
        kept += group.right + group.wrong;
        wrong += group.wrong;
        if (wrong <= risk * kept * (1 + 1e-12)) {
            best = kept;
            best_score = group.score;
        }
        i = group.end;
    }
    if (threshold != NULL)
        *threshold = best_score;
    return total > 0 ? best / total : 0;
}

double sl_eval_kept(const struct sl_eval_row *rows, size_t count, double threshold, double *risk)
{
    double kept = 0, wrong = 0, total = total_weight(rows, count);
    for (size_t i = 0; i < count && rows[i].score >= threshold; i++) {
        kept += rows[i].weight;
        wrong += rows[i].is_right ? 0 : rows[i].weight;
    }
    if (risk != NULL)
        *risk = kept > 0 ? wrong / kept : 0;
    return total > 0 ? kept / total : 0;
}

/* From 0 up to 1, by splitmix64. */
static double uniform(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static int bin_of(double place)
{
    int bin = (int)(place * BINS);
    return bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
}

static double bins_error(const struct sl_eval_bin bins[BINS])
{
    double sum = 0, total = 0;
    for (int bin = 0; bin < BINS; bin++) {
        sum += fabs(bins[bin].score - bins[bin].right);
        total += bins[bin].weight;
    }
    return total > 0 ? sum / total : (double)NAN;
}

static void bins_add(struct sl_eval_bin *bin, const struct sl_eval_row *row, bool is_right)
{
    bin->rows++;
    bin->weight += row->weight;
    bin->score += row->weight * row->score;
    bin->right += is_right ? row->weight : 0;
}

void sl_eval_bins(const struct sl_eval_row *rows, size_t count, struct sl_eval_bin bins[BINS])
{
    memset(bins, 0, BINS * sizeof *bins);
    for (size_t i = 0; i < count; i++)
        bins_add(&bins[bin_of(rows[i].score)], &rows[i], rows[i].is_right);
}

double sl_eval_ece(const struct sl_eval_row *rows, size_t count, bool equal_mass)
{
    struct sl_eval_bin bins[BINS] = {0};
    double before = 0, total = total_weight(rows, count);
    for (size_t i = 0; i < count; i++) {
        const struct sl_eval_row *row = &rows[i];
        double place = equal_mass ? (before + row->weight / 2) / total : row->score;
        bins_add(&bins[bin_of(place)], row, row->is_right);
        before += row->weight;
    }
    return bins_error(bins);
}

double sl_eval_ece_chance(const struct sl_eval_row *rows, size_t count, uint32_t draws,
                          uint64_t seed)
{
    double sum = 0;
    for (uint32_t draw = 0; draw < draws; draw++) {
        struct sl_eval_bin bins[BINS] = {0};
        for (size_t i = 0; i < count; i++)
            bins_add(&bins[bin_of(rows[i].score)], &rows[i],
                     uniform(&seed) < rows[i].score);
        sum += bins_error(bins);
    }
    return draws > 0 ? sum / draws : (double)NAN;
}

double sl_eval_brier(const struct sl_eval_row *rows, size_t count)
{
    double sum = 0, total = total_weight(rows, count);
    for (size_t i = 0; i < count; i++) {
        double miss = rows[i].score - (rows[i].is_right ? 1 : 0);
        sum += rows[i].weight * miss * miss;
    }
    return total > 0 ? sum / total : (double)NAN;
}

/* ---- routing: the least confident go to the cloud first ---- */

/* The group that ends just before `end`, walking from the least confident. */
static struct group group_before(const struct sl_eval_row *rows, size_t end)
{
    size_t start = end - 1;
    while (start > 0 && rows[start - 1].score <= rows[end - 1].score)
        start--;
    struct group group = group_at(rows, end, start);
    group.end = start; /* here: the first row of the group */
    return group;
}

double sl_eval_apgr(const struct sl_eval_row *rows, size_t count)
{
    double total = total_weight(rows, count), errors = wrong_weight(rows, count);
    double repaired = 0, area = 0;
    if (total <= 0 || errors <= 0)
        return (double)NAN;
    for (size_t end = count; end > 0;) {
        struct group group = group_before(rows, end);
        area += (group.right + group.wrong) * (repaired + group.wrong / 2); /* trapezoid */
        repaired += group.wrong;
        end = group.end;
    }
    return area / (total * errors);
}

double sl_eval_cpt(const struct sl_eval_row *rows, size_t count, double repaired)
{
    double total = total_weight(rows, count), errors = wrong_weight(rows, count);
    double sent = 0, fixed = 0;
    if (total <= 0 || errors <= 0)
        return (double)NAN;
    for (size_t end = count; end > 0;) {
        struct group group = group_before(rows, end);
        double mass = group.right + group.wrong, wanted = repaired * errors - fixed;
        if (group.wrong >= wanted && group.wrong > 0)
            return (sent + mass * wanted / group.wrong) / total;
        sent += mass;
        fixed += group.wrong;
        end = group.end;
    }
    return 1;
}

/* ---- Clopper and Pearson ---- */

/* Continued fraction of the incomplete beta function, by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double value = d;
    for (int m = 1; m <= 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        value *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        value *= d * c;
        if (fabs(d * c - 1) < 1e-14)
            break;
    }
    return value;
}

/* The regularised incomplete beta function I_x(a, b). */
static double beta_share(double a, double b, double x)
{
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    double log_front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x);
    if (x < (a + 1) / (a + b + 2))
        return exp(log_front) * beta_fraction(a, b, x) / a;
    return 1 - exp(log_front) * beta_fraction(b, a, 1 - x) / b;
}

double sl_eval_upper_bound(double wrong, double answered, double delta)
{
    if (answered <= 0 || wrong >= answered)
        return 1;
    double low = 0, high = 1;
    for (int step = 0; step < 60; step++) {
        double middle = (low + high) / 2;
        if (beta_share(wrong + 1, answered - wrong, middle) < 1 - delta)
            low = middle;
        else
            high = middle;
    }
    return high;
}

size_t sl_eval_rows_needed(double risk, double delta, double error_rate)
{
    if (error_rate >= risk)
        return 0;
    size_t low = 1, high = 1;
    while (sl_eval_upper_bound(floor(error_rate * (double)high), (double)high, delta) > risk) {
        high *= 2;
        if (high > (size_t)1 << 40)
            return 0;
    }
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (sl_eval_upper_bound(error_rate * (double)middle, (double)middle, delta) > risk)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
