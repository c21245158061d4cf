/* SPDX-License-Identifier: Apache-2.0
 *
 * The fit of calibrate.h.
 *
 *   rows ── half ──> features kept by cross-validation ─> weights ─> map from out-of-fold scores
 *        │                                                           └> maps of kinds from the same
 *        └─ half ──> thresholds certified for each risk
 *
 * The halves never mix: what certifies has not been fitted. Features are chosen greedily by
 * cross-validated log loss, and the map is fitted on scores that rows got from models that had not
 * seen them, so it corrects the over-confidence that the weights have on their own rows.
 *
 * Deterministic: folds and halves come from the rows' keys, sums run in row order.
 */
#include "calibrate.h"

#include "calibrate_kinds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDS 5
#define ROWS_MIN 60          /* under this a logistic model of three features is noise */
#define ISOTONIC_ROWS_MIN 1000 /* fewer: the sigmoid's two numbers are all that the rows can tell */
#define BLOCK_ROWS_MIN 15    /* of a step of the map */
#define RIDGE 1.0
#define GAIN_MIN 2e-4        /* of the log loss, for a further feature to be worth its keep */
#define NEWTON_STEPS 50
#define DIM_MAX (SL_FEATURE_IDS + 1)

/* ---- logistic regression ---- */

static uint64_t mix(uint64_t key, uint64_t seed)
{
    key ^= seed + 0x9e3779b97f4a7c15u; /* splitmix64's finisher */
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return key ^ key >> 31;
}

bool sl_fit_is_fitting(const struct sl_fit_row *row, uint64_t seed)
{
    return (mix(row->key, seed) & 1) == 0;
}

static void standardise(const struct sl_fit_row *const *rows, size_t count,
                        struct sl_linear_score *score)
{
    for (size_t f = 0; f < score->count; f++) {
        double sum = 0, squares = 0, weight = 0;
        for (size_t i = 0; i < count; i++) {
            sum += rows[i]->weight * rows[i]->vector[score->ids[f]];
            weight += rows[i]->weight;
        }
        double mean = sum / weight;
        for (size_t i = 0; i < count; i++) {
            double off = rows[i]->vector[score->ids[f]] - mean;
            squares += rows[i]->weight * off * off;
        }
        double deviation = sqrt(squares / weight);
        score->means[f] = mean;
        score->deviations[f] = deviation > 1e-9 ? deviation : 1; /* a constant carries nothing */
    }
}

/* Solves a * x = b in place for a symmetric positive definite matrix, by Cholesky. */
static bool solve(double a[DIM_MAX][DIM_MAX], double *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i][j];
            for (size_t k = 0; k < j; k++)
                sum -= a[i][k] * a[j][k];
            if (i == j && sum <= 1e-12)
                return false;
            a[i][j] = i == j ? sqrt(sum) : sum / a[j][j];
        }
    }
    for (size_t i = 0; i < size; i++) {
        for (size_t k = 0; k < i; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (size_t i = size; i-- > 0;) {
        for (size_t k = i + 1; k < size; k++)
            b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
    return true;
}

static double log_loss(double raw, bool is_right)
{
    double signed_raw = is_right ? raw : -raw;
    return signed_raw > 0 ? log1p(exp(-signed_raw)) : -signed_raw + log1p(exp(signed_raw));
}

/* Gradient and Hessian of the penalised loss at `beta` (bias last); returns the loss. */
static double derivatives(const struct sl_fit_row *const *rows, size_t count,
                          const struct sl_linear_score *score, const double *beta, double ridge,
                          double *gradient, double hessian[DIM_MAX][DIM_MAX])
{
    size_t size = score->count + 1;
    double loss = 0, x[DIM_MAX];
    memset(gradient, 0, size * sizeof *gradient);
    memset(hessian, 0, sizeof(double[DIM_MAX][DIM_MAX]));
    for (size_t i = 0; i < count; i++) {
        double raw = beta[score->count];
        for (size_t f = 0; f < score->count; f++) {
            x[f] = (rows[i]->vector[score->ids[f]] - score->means[f]) / score->deviations[f];
            raw += beta[f] * x[f];
        }
        x[score->count] = 1;
        double p = 1 / (1 + exp(-raw)), weight = rows[i]->weight;
        loss += weight * log_loss(raw, rows[i]->is_right);
        double off = weight * (p - rows[i]->is_right), curve = weight * p * (1 - p);
        for (size_t a = 0; a < size; a++) {
            gradient[a] += off * x[a];
            for (size_t b = 0; b <= a; b++)
                hessian[a][b] += curve * x[a] * x[b];
        }
    }
    for (size_t f = 0; f < score->count; f++) {
        loss += ridge / 2 * beta[f] * beta[f];
        gradient[f] += ridge * beta[f];
        hessian[f][f] += ridge;
    }
    hessian[score->count][score->count] += 1e-6; /* all right or all wrong: the bias stays finite */
    return loss;
}

static double loss_at(const struct sl_fit_row *const *rows, size_t count,
                      const struct sl_linear_score *score, const double *beta, double ridge)
{
    double loss = 0;
    for (size_t i = 0; i < count; i++) {
        double raw = beta[score->count];
        for (size_t f = 0; f < score->count; f++)
            raw += beta[f] * (rows[i]->vector[score->ids[f]] - score->means[f]) /
                   score->deviations[f];
        loss += rows[i]->weight * log_loss(raw, rows[i]->is_right);
    }
    for (size_t f = 0; f < score->count; f++)
        loss += ridge / 2 * beta[f] * beta[f];
    return loss;
}

bool sl_fit_logistic(const struct sl_fit_row *const *rows, size_t count,
                     const enum sl_feature_id *ids, size_t id_count, double ridge,
                     struct sl_linear_score *out)
{
    double beta[DIM_MAX] = {0}, gradient[DIM_MAX], hessian[DIM_MAX][DIM_MAX];
    memset(out, 0, sizeof *out);
    out->count = id_count;
    memcpy(out->ids, ids, id_count * sizeof *ids);
    standardise(rows, count, out);
    for (int step = 0; step < NEWTON_STEPS; step++) {
        double loss = derivatives(rows, count, out, beta, ridge, gradient, hessian);
        if (!solve(hessian, gradient, id_count + 1))
            return false;
        double moved = 0, length = 1;
        for (; length > 1e-4; length /= 2) { /* halve the step until the loss falls */
            double next[DIM_MAX];
            for (size_t f = 0; f <= id_count; f++)
                next[f] = beta[f] - length * gradient[f];
            if (loss_at(rows, count, out, next, ridge) <= loss + 1e-12) {
                for (size_t f = 0; f <= id_count; f++)
                    moved = fmax(moved, fabs(next[f] - beta[f]));
                memcpy(beta, next, sizeof next);
                break;
            }
        }
        if (moved < 1e-8)
            break;
    }
    memcpy(out->weights, beta, id_count * sizeof *beta);
    out->bias = beta[id_count];
    return isfinite(out->bias);
}

/* ---- cross-validation ---- */

struct folds {
    const struct sl_fit_row **rows; /* all that fit */
    size_t count;
    const struct sl_fit_row **part; /* room for all */
    uint64_t seed;
};

static unsigned fold_of(const struct folds *folds, const struct sl_fit_row *row)
{
    return (unsigned)((mix(row->key, folds->seed) >> 8) % FOLDS);
}

/* A weight against its feature's sense comes of two features that say the same; it fits these rows a
 * little better and fails on others, as when an answer is drawn at a high temperature. */
static bool has_right_signs(const struct sl_linear_score *score)
{
    for (size_t f = 0; f < score->count; f++)
        if (score->weights[f] * sl_feature_id_sign(score->ids[f]) < 0)
            return false;
    return true;
}

/* Out-of-fold raw scores; returns the mean log loss, infinite where a fold cannot be fitted. */
static double out_of_fold(const struct folds *folds, const enum sl_feature_id *ids, size_t id_count,
                          double *raw)
{
    double loss = 0, weight = 0;
    for (unsigned fold = 0; fold < FOLDS; fold++) {
        size_t size = 0;
        struct sl_linear_score score;
        for (size_t i = 0; i < folds->count; i++)
            if (fold_of(folds, folds->rows[i]) != fold)
                folds->part[size++] = folds->rows[i];
        if (size == 0 || !sl_fit_logistic(folds->part, size, ids, id_count, RIDGE, &score) ||
            !has_right_signs(&score))
            return (double)INFINITY;
        for (size_t i = 0; i < folds->count; i++) {
            const struct sl_fit_row *row = folds->rows[i];
            if (fold_of(folds, row) != fold)
                continue;
            raw[i] = sl_linear_raw(&score, row->vector);
            loss += row->weight * log_loss(raw[i], row->is_right);
            weight += row->weight;
        }
    }
    return loss / weight;
}

/* Measured on every row, and not the same everywhere. */
static bool is_usable(const struct folds *folds, enum sl_feature_id id)
{
    bool varies = false;
    for (size_t i = 0; i < folds->count; i++) {
        if (!isfinite(folds->rows[i]->vector[id]))
            return false;
        varies = varies || fabs(folds->rows[i]->vector[id] - folds->rows[0]->vector[id]) > 1e-9;
    }
    return varies;
}

/* Adds the feature that helps most until none helps. */
static size_t choose_features(const struct folds *folds, bool early_only, enum sl_feature_id *ids,
                              double *raw)
{
    bool usable[SL_FEATURE_IDS];
    size_t count = 0;
    double best_loss = out_of_fold(folds, ids, 0, raw);
    for (int id = 0; id < SL_FEATURE_IDS; id++)
        usable[id] = is_usable(folds, (enum sl_feature_id)id) &&
                     (!early_only || sl_feature_id_is_early((enum sl_feature_id)id));
    for (;;) {
        int best = -1;
        double before = best_loss;
        for (int id = 0; id < SL_FEATURE_IDS; id++) {
            if (!usable[id])
                continue;
            ids[count] = (enum sl_feature_id)id;
            double loss = out_of_fold(folds, ids, count + 1, raw);
            if (loss < best_loss) {
                best_loss = loss;
                best = id;
            }
        }
        if (best < 0 || (count > 0 && before - best_loss < GAIN_MIN))
            return count;
        usable[best] = false;
        ids[count++] = (enum sl_feature_id)best;
    }
}

/* ---- the map ---- */

struct block {
    double score, right, weight;
    size_t rows;
};

/* Merges from `count` blocks on the stack those that fall, or are too small to stand alone. */
static size_t merge_blocks(struct block *blocks, size_t count)
{
    while (count > 1) {
        struct block *last = &blocks[count - 1], *above = &blocks[count - 2];
        bool falls = last->right / last->weight <= above->right / above->weight;
        if (!falls && above->rows >= BLOCK_ROWS_MIN)
            break;
        above->score += last->score;
        above->right += last->right;
        above->weight += last->weight;
        above->rows += last->rows;
        count--;
    }
    return count;
}

size_t sl_fit_isotonic(const double *scores, const double *weights, const bool *is_right,
                       size_t count, double *knots_x, double *knots_y)
{
    struct block *blocks = malloc((count + 1) * sizeof *blocks);
    size_t used = 0, knots = 0;
    if (blocks == NULL)
        return 0;
    for (size_t i = 0; i < count; i++) {
        blocks[used++] = (struct block){weights[i] * scores[i], is_right[i] ? weights[i] : 0,
                                        weights[i], 1};
        used = merge_blocks(blocks, used);
    }
    /* Lines through the middles of blocks keep the order of scores; the ends go on to the corners. */
    knots_x[0] = knots_y[0] = 0;
    knots = 1;
    size_t stride = used / (SL_CALIBRATION_KNOTS_MAX - 2) + 1;
    for (size_t i = 0; i < used; i += stride, knots++) {
        knots_x[knots] = blocks[i].score / blocks[i].weight;
        knots_y[knots] = blocks[i].right / blocks[i].weight;
    }
    knots_x[knots] = knots_y[knots] = 1;
    free(blocks);
    return knots + 1;
}

struct scored_row {
    double score, weight;
    bool is_right;
};

static int compare_rising(const void *a, const void *b)
{
    double x = ((const struct scored_row *)a)->score, y = ((const struct scored_row *)b)->score;
    return (x > y) - (x < y);
}

static bool fit_isotonic_map(const struct folds *folds, const double *raw,
                             struct sl_linear_score *score)
{
    size_t count = folds->count;
    struct scored_row *sorted = malloc((count + 1) * sizeof *sorted);
    double *scores = malloc((count + 1) * sizeof *scores);
    double *weights = malloc((count + 1) * sizeof *weights);
    bool *right = malloc((count + 1) * sizeof *right);
    bool has_memory = sorted != NULL && scores != NULL && weights != NULL && right != NULL;
    if (has_memory) {
        for (size_t i = 0; i < count; i++)
            sorted[i] = (struct scored_row){1 / (1 + exp(-raw[i])), folds->rows[i]->weight,
                                            folds->rows[i]->is_right};
        qsort(sorted, count, sizeof *sorted, compare_rising);
        for (size_t i = 0; i < count; i++) {
            scores[i] = sorted[i].score;
            weights[i] = sorted[i].weight;
            right[i] = sorted[i].is_right;
        }
        score->knot_count =
            sl_fit_isotonic(scores, weights, right, count, score->knots_x, score->knots_y);
    }
    free(sorted);
    free(scores);
    free(weights);
    free(right);
    return has_memory && score->knot_count != 0;
}

/* Platt: one slope and one shift over the out-of-fold scores, folded into weights and bias, and into
 * those scores. */
static bool fit_platt(const struct folds *folds, double *raw, struct sl_linear_score *score)
{
    struct sl_fit_row *rows = calloc(folds->count + 1, sizeof *rows);
    const struct sl_fit_row **pointers = calloc(folds->count + 1, sizeof *pointers);
    struct sl_linear_score platt;
    bool is_fitted = rows != NULL && pointers != NULL;
    for (size_t i = 0; is_fitted && i < folds->count; i++) {
        rows[i].vector[0] = raw[i];
        rows[i].weight = folds->rows[i]->weight;
        rows[i].is_right = folds->rows[i]->is_right;
        pointers[i] = &rows[i];
    }
    is_fitted = is_fitted && sl_fit_logistic(pointers, folds->count, (enum sl_feature_id[]){0}, 1,
                                             1e-3, &platt);
    free(rows);
    free(pointers);
    if (!is_fitted)
        return false;
    double slope = platt.weights[0] / platt.deviations[0];
    if (slope <= 0) /* scores that do not predict: leave them as they are */
        return true;
    for (size_t f = 0; f < score->count; f++)
        score->weights[f] *= slope;
    score->bias = slope * (score->bias - platt.means[0]) + platt.bias;
    for (size_t i = 0; i < folds->count; i++)
        raw[i] = slope * (raw[i] - platt.means[0]) + platt.bias;
    return true;
}

/* ---- kinds ---- */

/* The maps of one of the two scores, over what it said of rows that it had not seen. */
static bool fit_kinds(const struct folds *folds, const double *raw, bool early_only,
                      const struct sl_linear_score *score, struct sl_kinds *kinds)
{
    struct sl_kind_row *rows = malloc((folds->count + 1) * sizeof *rows);
    if (rows == NULL)
        return false;
    for (uint32_t kind = 1; kind <= kinds->count; kind++) {
        struct sl_kind *item = &kinds->items[kind - 1];
        struct sl_kind_map map, *kept = early_only ? &item->prompt : &item->answer;
        double gain;
        size_t count = 0, right = 0;
        for (size_t i = 0; i < folds->count; i++) {
            const struct sl_fit_row *row = folds->rows[i];
            if (row->kind != kind)
                continue;
            right += row->is_right;
            rows[count++] = (struct sl_kind_row){
                .logit = sl_kind_logit(sl_linear_map(score, raw[i])),
                .weight = row->weight,
                .fold = fold_of(folds, row),
                .is_right = row->is_right,
                .is_foreign = row->is_foreign};
        }
        if (count == 0)
            continue; /* one that other rows have fitted, or will */
        item->rows = count;
        item->right = right;
        bool is_better = sl_fit_kind(rows, count, &map, &gain) && gain >= GAIN_MIN;
        *kept = is_better ? map : (struct sl_kind_map){1, 0};
    }
    free(rows);
    return true;
}

/* ---- one score ---- */

static enum sl_err fit_score(const struct folds *folds, bool early_only,
                             struct sl_linear_score *score, struct sl_kinds *kinds,
                             struct sl_error *error)
{
    enum sl_feature_id ids[SL_FEATURE_IDS + 1] = {0};
    double *raw = malloc((folds->count + 1) * sizeof *raw);
    if (raw == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    size_t count = choose_features(folds, early_only, ids, raw);
    bool is_fitted = false;
    while (count != 0 && !is_fitted) { /* the feature that came last goes where signs are wrong */
        is_fitted = isfinite(out_of_fold(folds, ids, count, raw)) &&
                    sl_fit_logistic(folds->rows, folds->count, ids, count, RIDGE, score) &&
                    has_right_signs(score);
        count -= !is_fitted;
    }
    if (is_fitted)
        is_fitted = folds->count >= ISOTONIC_ROWS_MIN ? fit_isotonic_map(folds, raw, score)
                                                      : fit_platt(folds, raw, score);
    bool has_memory = !is_fitted || fit_kinds(folds, raw, early_only, score, kinds);
    free(raw);
    if (!has_memory)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (!is_fitted && early_only) {
        memset(score, 0, sizeof *score); /* a model without anything to see: there is none */
        return SL_OK;
    }
    return is_fitted ? SL_OK
                     : sl_error_set(error, SL_ERR_INVALID,
                                    "no feature tells right answers from wrong ones in these rows");
}

/* ---- the whole ---- */

static enum sl_err check_rows(const struct folds *folds, struct sl_error *error)
{
    size_t right = 0;
    for (size_t i = 0; i < folds->count; i++)
        right += folds->rows[i]->is_right;
    if (folds->count < ROWS_MIN)
        return sl_error_set(error, SL_ERR_INVALID,
                            "%zu rows to fit on: at least %d are needed (twice that in the file)",
                            folds->count, ROWS_MIN);
    if (right < 5 || folds->count - right < 5)
        return sl_error_set(error, SL_ERR_INVALID,
                            "%zu right and %zu wrong answers to fit on: at least 5 of each are "
                            "needed", right, folds->count - right);
    return SL_OK;
}

static bool folds_init(struct folds *folds, const struct sl_fit_row *rows, size_t count,
                       uint64_t seed)
{
    *folds = (struct folds){.seed = seed};
    folds->rows = malloc((count + 1) * sizeof *folds->rows);
    folds->part = malloc((count + 1) * sizeof *folds->part);
    for (size_t i = 0; folds->rows != NULL && i < count; i++)
        if (sl_fit_is_fitting(&rows[i], seed))
            folds->rows[folds->count++] = &rows[i];
    return folds->rows != NULL && folds->part != NULL;
}

static void folds_clear(struct folds *folds)
{
    free(folds->rows);
    free(folds->part);
}

enum sl_err sl_fit(const struct sl_fit_row *rows, size_t count,
                   const struct sl_fit_options *options, struct sl_calibration *calibration,
                   struct sl_error *error)
{
    struct folds folds;
    enum sl_err err = folds_init(&folds, rows, count, options->seed)
                          ? check_rows(&folds, error)
                          : sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (err == SL_OK)
        err = fit_score(&folds, false, &calibration->answer, &calibration->kinds, error);
    if (err == SL_OK)
        err = fit_score(&folds, true, &calibration->prompt, &calibration->kinds, error);
    if (err == SL_OK)
        err = sl_fit_certify_all(folds.rows, folds.count, rows, count, options, calibration, error);
    calibration->rows = count;
    folds_clear(&folds);
    return err;
}

/* Some kind has enough rows of its own. */
static enum sl_err check_kinds(const struct folds *folds, struct sl_error *error)
{
    size_t own[SL_KINDS_MAX + 1] = {0}, most = 0;
    for (size_t i = 0; i < folds->count; i++)
        own[folds->rows[i]->kind] += !folds->rows[i]->is_foreign;
    for (uint32_t kind = 1; kind <= SL_KINDS_MAX; kind++)
        most = own[kind] > most ? own[kind] : most;
    return most >= SL_KIND_ROWS_MIN
               ? SL_OK
               : sl_error_set(error, SL_ERR_INVALID,
                              "%zu rows of one kind to fit on: at least %d are needed (twice that "
                              "in the file)", most, SL_KIND_ROWS_MIN);
}

enum sl_err sl_fit_add(const struct sl_fit_row *rows, size_t count,
                       const struct sl_fit_options *options, struct sl_calibration *calibration,
                       struct sl_error *error)
{
    struct folds folds;
    double *raw = malloc((count + 1) * sizeof *raw);
    bool has_memory = folds_init(&folds, rows, count, options->seed) && raw != NULL;
    enum sl_err err = has_memory ? check_kinds(&folds, error)
                                 : sl_error_set(error, SL_ERR_MEMORY, NULL);
    for (int early = 0; early <= 1 && err == SL_OK; early++) {
        const struct sl_linear_score *score = early ? &calibration->prompt : &calibration->answer;
        for (size_t i = 0; i < folds.count; i++)
            raw[i] = sl_linear_raw(score, folds.rows[i]->vector);
        if (score->count != 0 && !fit_kinds(&folds, raw, early, score, &calibration->kinds))
            err = sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    if (err == SL_OK)
        err = sl_fit_bear_out(rows, count, options, calibration, error);
    if (err == SL_OK)
        calibration->rows += count;
    free(raw);
    folds_clear(&folds);
    return err;
}
