/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice calibrate`: runs the model over labelled rows, fits a calibration on half of them,
 * certifies thresholds on the other half, stores the file beside the model and prints what it is
 * worth. All figures printed are of the half that did not fit.
 *
 * Rows of the training part train the gate where there is none yet; the rest of the work uses the
 * validation part only, since a model is surer of rows that it was trained on.
 *
 * Runs on the command's thread. Privacy: prints figures, never a row's text.
 */
#include "sluice/calibrate.h"

#include "calibrate.h"
#include "calibrate_sets.h"
#include "command_support.h"
#include "eval_figures.h"
#include "eval_kinds.h"
#include "local_run.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define COMMAND "calibrate"
#define PLOT_ROWS 10
#define PLOT_WIDTH 50
#define PRIOR_STEP 0.25   /* of the gate's weight in the choice of a label */
#define PRIOR_STEPS 10
#define PRIOR_ROWS 2000   /* that choose it */
#define GATE_ROWS_MIN 100 /* fewer labelled rows teach a gate nothing */

void sl_calibrate_defaults(struct sl_calibrate_options *options)
{
    *options = (struct sl_calibrate_options){.risk = 0.02, .delta = 0.1, .oos_share = -1};
}

struct work {
    const struct sl_calibrate_options *options;
    FILE *err;
    struct sl_labelled rows; /* val part */
    struct sl_engine *engine;
    struct sl_calibration *calibration; /* owned; its gate too */
    struct sl_fit_row *fit_rows;
    double *mean_scores; /* without a calibration, per row */
    double risks[SL_CALIBRATION_RISKS_MAX];
    struct sl_certificate certificates[SL_CALIBRATION_RISKS_MAX];
    size_t risk_count;
    char out_path[4096], gate_path[4096];
};

static void work_clear(struct work *work)
{
    sl_labelled_clear(&work->rows);
    sl_calibration_free(work->calibration);
    sl_engine_close(work->engine);
    free(work->fit_rows);
    free(work->mean_scores);
}

/* ---- the gate ---- */

static enum sl_err train_gate(struct work *work, struct sl_error *error)
{
    struct sl_labelled train;
    struct sl_progress progress;
    enum sl_err err = sl_labelled_read(work->options->data_path, "train", 0, &train, error);
    if (err != SL_OK)
        return err;
    sl_progress_start(&progress, work->err, work->options->quiet, "training the gate, epoch");
    if (train.label_count >= 2 && train.count >= GATE_ROWS_MIN)
        err = sl_command_train_gate(&train, &work->rows, 0, 0, work->options->seed, &progress,
                                    work->gate_path, error);
    sl_progress_end(&progress);
    sl_labelled_clear(&train);
    return err;
}

/* The gate lies beside the calibration, under the name that the file gives. */
static enum sl_err find_gate(struct work *work, struct sl_error *error)
{
    const struct sl_calibrate_options *options = work->options;
    if (options->no_gate)
        return SL_OK;
    bool exists = access(work->gate_path, R_OK) == 0;
    enum sl_err err = SL_OK;
    if (options->train_gate || !exists)
        err = train_gate(work, error);
    if (err != SL_OK || access(work->gate_path, R_OK) != 0)
        return err; /* no labels in these rows: no gate */
    const char *slash = strrchr(work->gate_path, '/');
    const char *name = slash == NULL ? work->gate_path : slash + 1;
    if (strlen(name) >= sizeof work->calibration->gate_file)
        return sl_error_set(error, SL_ERR_INVALID, "%s: the gate's name is too long", name);
    memcpy(work->calibration->gate_file, name, strlen(name) + 1);
    err = sl_command_digest(work->gate_path, work->calibration->gate_digest, error);
    if (err == SL_OK)
        err = sl_gate_open(work->gate_path, NULL, &work->calibration->gate, error);
    return err;
}

/* ---- the prior ---- */

/* How many of the rows that fit are right with the calibration's present weight of the prior. */
static enum sl_err count_right(struct work *work, size_t stride, size_t *right,
                               struct sl_error *error)
{
    struct sl_local_runner runner;
    enum sl_err err =
        sl_local_runner_init(&runner, work->engine, work->calibration, &work->rows, true);
    *right = 0;
    size_t seen = 0;
    for (size_t i = 0; i < work->rows.count && err == SL_OK; i++) {
        const struct sl_labelled_row *row = &work->rows.rows[i];
        struct sl_fit_row fit = {.key = row->key};
        struct sl_local_row result;
        if (row->label_idx == UINT32_MAX || !sl_fit_is_fitting(&fit, work->options->seed) ||
            seen++ % stride != 0)
            continue;
        err = sl_local_run(&runner, row, &result, error);
        *right += err == SL_OK && result.is_right;
        sl_local_row_clear(&result);
    }
    sl_local_runner_clear(&runner);
    return err;
}

/* The weight with which most labels are right; of equals the least, so that a gate that does not
 * help is not listened to. */
static enum sl_err choose_prior_weight(struct work *work, struct sl_error *error)
{
    size_t labelled = 0, best_right = 0;
    double best = 0;
    for (size_t i = 0; i < work->rows.count; i++)
        labelled += work->rows.rows[i].label_idx != UINT32_MAX;
    if (work->calibration->gate == NULL || labelled == 0)
        return SL_OK;
    size_t stride = labelled / 2 / PRIOR_ROWS + 1;
    for (int step = 0; step <= PRIOR_STEPS; step++) {
        size_t right;
        work->calibration->prior_weight = step * PRIOR_STEP;
        enum sl_err err = count_right(work, stride, &right, error);
        if (err != SL_OK)
            return err;
        if (step == 0 || right > best_right) {
            best_right = right;
            best = work->calibration->prior_weight;
        }
    }
    work->calibration->prior_weight = best;
    return SL_OK;
}

/* ---- running ---- */

static void note_row(struct work *work, size_t idx, const struct sl_local_row *result)
{
    const struct sl_labelled_row *row = &work->rows.rows[idx];
    struct sl_fit_row *fit = &work->fit_rows[idx];
    sl_features_vector(&result->features, fit->vector);
    fit->key = row->key;
    fit->kind = result->features.kind;
    fit->is_right = result->is_right;
    fit->is_foreign = row->is_foreign;
    struct sl_score mean = sl_confidence_score(&result->features, NULL);
    work->mean_scores[idx] = mean.method == SL_SCORE_NONE ? 0 : mean.value;
}

/* Rows that the model cannot take are left out of the fit: they escalate for their own reason. */
static enum sl_err run_rows(struct work *work, struct sl_error *error)
{
    struct sl_local_runner runner;
    struct sl_progress progress;
    size_t kept = 0;
    work->fit_rows = calloc(work->rows.count + 1, sizeof *work->fit_rows);
    work->mean_scores = calloc(work->rows.count + 1, sizeof *work->mean_scores);
    if (work->fit_rows == NULL || work->mean_scores == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    enum sl_err err =
        sl_local_runner_init(&runner, work->engine, work->calibration, &work->rows, true);
    sl_progress_start(&progress, work->err, work->options->quiet, "running rows");
    for (size_t i = 0; i < work->rows.count && err == SL_OK; i++) {
        struct sl_local_row result;
        err = sl_local_run(&runner, &work->rows.rows[i], &result, error);
        if (err == SL_OK && result.has_answer) {
            struct sl_labelled_row row = work->rows.rows[i];
            work->rows.rows[i] = work->rows.rows[kept];
            work->rows.rows[kept] = row;
            note_row(work, kept++, &result);
        }
        sl_local_row_clear(&result);
        sl_progress_show(&progress, i + 1, work->rows.count);
    }
    sl_progress_end(&progress);
    sl_local_runner_clear(&runner);
    for (size_t i = kept; i < work->rows.count; i++)
        json_decref(work->rows.rows[i].object);
    work->rows.count = kept;
    return err;
}

static enum sl_err weigh_rows(struct work *work, struct sl_error *error)
{
    size_t count = work->rows.count;
    bool *is_foreign = malloc((count + 1) * sizeof *is_foreign);
    double *weights = malloc((count + 1) * sizeof *weights);
    bool has_memory = is_foreign != NULL && weights != NULL;
    for (size_t i = 0; has_memory && i < count; i++)
        is_foreign[i] = work->fit_rows[i].is_foreign;
    if (has_memory)
        sl_command_weigh(work->options->oos_share, is_foreign, weights, count);
    for (size_t i = 0; has_memory && i < count; i++)
        work->fit_rows[i].weight = weights[i];
    free(is_foreign);
    free(weights);
    return has_memory ? SL_OK : sl_error_set(error, SL_ERR_MEMORY, NULL);
}

/* ---- the report ---- */

/* With which score rows are measured. */
enum scoring { BY_MEAN_PROBABILITY, BY_SHARED_SCORE, BY_KIND };
#define EVERY_KIND UINT32_MAX

static double score_row(const struct work *work, size_t idx, enum scoring scoring)
{
    const struct sl_fit_row *fit = &work->fit_rows[idx];
    double score = scoring == BY_MEAN_PROBABILITY
                       ? work->mean_scores[idx]
                       : sl_calibration_score(work->calibration,
                                              scoring == BY_KIND ? fit->kind : SL_KIND_SHARED,
                                              fit->vector);
    return isfinite(score) ? score : 0;
}

/* The half that did not fit. */
static struct sl_eval_row *held_rows(const struct work *work, enum scoring scoring, uint32_t kind,
                                     size_t *count)
{
    struct sl_eval_row *rows = malloc((work->rows.count + 1) * sizeof *rows);
    *count = 0;
    for (size_t i = 0; rows != NULL && i < work->rows.count; i++) {
        const struct sl_fit_row *fit = &work->fit_rows[i];
        if (sl_fit_is_fitting(fit, work->options->seed) ||
            (kind != EVERY_KIND && fit->kind != kind))
            continue;
        rows[(*count)++] = (struct sl_eval_row){.score = score_row(work, i, scoring),
                                                .weight = fit->weight,
                                                .is_right = fit->is_right,
                                                .is_foreign = fit->is_foreign};
    }
    return rows;
}

static void count_kept(const struct sl_eval_row *rows, size_t count, double threshold,
                       double *answered, double *wrong)
{
    *answered = *wrong = 0;
    for (size_t i = 0; i < count && rows[i].score >= threshold; i++) {
        *answered += 1;
        *wrong += !rows[i].is_right;
    }
}

/* 95 % two-sided exact interval of an accuracy. */
static void accuracy_interval(double answered, double wrong, double *low, double *high)
{
    *low = 1 - sl_eval_upper_bound(wrong, answered, 0.025);
    *high = answered > 0 ? sl_eval_upper_bound(answered - wrong, answered, 0.025) : 1;
}

static void print_thresholds(const struct work *work, const struct sl_eval_row *rows, size_t count,
                             FILE *out)
{
    fprintf(out, "\n  threshold   answered   accuracy   95 %% interval        cloud share%s\n",
            work->options->cloud_usd > 0 ? "   USD per 1000" : "");
    for (int step = 1; step <= 19; step++) {
        double threshold = step / 20.0, answered, wrong, low, high, risk;
        double kept = sl_eval_kept(rows, count, threshold, &risk);
        count_kept(rows, count, threshold, &answered, &wrong);
        accuracy_interval(answered, wrong, &low, &high);
        fprintf(out, "     %.2f     %6.2f %%   %6.2f %%   %6.2f - %6.2f %%    %6.2f %%", threshold,
                100 * kept, 100 * (1 - risk), 100 * low, 100 * high, 100 * (1 - kept));
        if (work->options->cloud_usd > 0)
            fprintf(out, "        %8.4f", 1000 * (1 - kept) * work->options->cloud_usd);
        fputc('\n', out);
    }
}

/* Accuracy of what is answered against how much is answered. */
static void print_plot(const struct sl_eval_row *rows, size_t count, FILE *out)
{
    double bottom = 1;
    double accuracy[PLOT_WIDTH];
    for (int x = 0; x < PLOT_WIDTH; x++) {
        size_t kept = (size_t)((x + 1) * (double)count / PLOT_WIDTH);
        double weight = 0, right = 0;
        for (size_t i = 0; i < kept; i++) {
            weight += rows[i].weight;
            right += rows[i].is_right ? rows[i].weight : 0;
        }
        accuracy[x] = weight > 0 ? right / weight : 1;
        bottom = fmin(bottom, accuracy[x]);
    }
    bottom = floor(bottom * 20) / 20;
    fprintf(out, "\n  accuracy of what is answered, by share answered\n");
    for (int y = 0; y < PLOT_ROWS; y++) {
        double level = 1 - (1 - bottom) * (y + 0.5) / PLOT_ROWS;
        fprintf(out, "  %5.1f %% |", 100 * (1 - (1 - bottom) * y / PLOT_ROWS));
        for (int x = 0; x < PLOT_WIDTH; x++)
            fputc(accuracy[x] >= level ? '#' : ' ', out);
        fputc('\n', out);
    }
    fprintf(out, "          +%.*s\n           0 %%%*s100 %%\n", PLOT_WIDTH,
            "--------------------------------------------------", PLOT_WIDTH - 7, "");
}

static void print_certificates(const struct work *work, FILE *out)
{
    fprintf(out, "\n  %s with probability %.3g:\n",
            work->options->add ? "risks certified before, borne out by these rows"
                               : "risks, certified",
            1 - work->options->delta);
    for (size_t i = 0; i < work->risk_count; i++) {
        const struct sl_certificate *certificate = &work->certificates[i];
        const struct sl_certified_risk *risk = &certificate->risk;
        if (certificate->holds)
            fprintf(out, "    %5.2f %%: threshold %.4f answers %.2f %% (%zu rows, %zu wrong)\n",
                    100 * risk->risk, risk->threshold, 100 * risk->coverage, risk->answered,
                    risk->wrong);
        else if (certificate->rows_missing != 0)
            fprintf(out, "    %5.2f %%: not certified; about %zu more answered rows are needed\n",
                    100 * work->risks[i], certificate->rows_missing);
        else
            fprintf(out, "    %5.2f %%: not certified; the surest answers are wrong %.2f %% of the "
                    "time, more rows will not help\n", 100 * work->risks[i],
                    100 * certificate->best_error);
    }
}

/* Of one kind, on the half that did not fit: with the shared score, and with its own map. */
static bool measure_kind(const struct work *work, uint32_t kind, struct sl_kind_figures *shared,
                         struct sl_kind_figures *own)
{
    size_t count;
    struct sl_eval_row *before = held_rows(work, BY_SHARED_SCORE, kind, &count);
    struct sl_eval_row *after = held_rows(work, BY_KIND, kind, &count);
    bool has_memory = before != NULL && after != NULL;
    if (has_memory) {
        sl_kind_figures_measure(before, count, work->options->seed, shared);
        sl_kind_figures_measure(after, count, work->options->seed, own);
    }
    free(before);
    free(after);
    return has_memory;
}

static void print_kinds(const struct work *work, FILE *out)
{
    const struct sl_kinds *kinds = &work->calibration->kinds;
    fprintf(out, "\n  %-24s %6s %6s %8s %7s %8s %9s %9s %9s\n", "kind", "fitted", "slope", "shift",
            "rows", "right", "ECE", "shared's", "perfect");
    for (uint32_t kind = 0; kind <= kinds->count; kind++) {
        struct sl_kind_figures shared, own;
        if (!measure_kind(work, kind, &shared, &own) || own.rows == 0)
            continue;
        fprintf(out, "  %-24.24s ", sl_kinds_name(kinds, kind));
        if (kind == SL_KIND_SHARED || sl_kind_map_is_shared(&kinds->items[kind - 1].answer))
            fprintf(out, "%6s %6s %8s", "-", "-", "-");
        else
            fprintf(out, "%6zu %6.2f %+8.2f", kinds->items[kind - 1].rows,
                    kinds->items[kind - 1].answer.slope, kinds->items[kind - 1].answer.shift);
        fprintf(out, " %7zu %6.1f %% %9.4f %9.4f %9.4f\n", own.rows, 100 * own.accuracy, own.ece,
                shared.ece, own.ece_chance);
    }
}

/* Those of the figures with "ece_shared"; rows of no kind go as "shared". */
static json_t *kinds_json(const struct work *work)
{
    const struct sl_kinds *kinds = &work->calibration->kinds;
    json_t *list = json_array();
    for (uint32_t kind = 0; kind <= kinds->count; kind++) {
        struct sl_kind_figures shared, own;
        if (!measure_kind(work, kind, &shared, &own) || own.rows == 0)
            continue;
        json_t *object = sl_kind_figures_json(sl_kinds_name(kinds, kind), &own);
        json_object_set_new(object, "ece_shared", json_real(shared.ece));
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *report_json(const struct work *work, const struct sl_figures *before,
                           const struct sl_figures *after)
{
    json_t *names = json_array();
    for (size_t i = 0; i < work->calibration->answer.count; i++)
        json_array_append_new(names,
                              json_string(sl_feature_id_word(work->calibration->answer.ids[i])));
    return json_pack("{s:I, s:I, s:f, s:s, s:o, s:o, s:o, s:o}", "rows", (json_int_t)work->rows.count,
                     "labels", (json_int_t)work->rows.label_count, "oos_share",
                     work->options->oos_share, "map",
                     work->calibration->answer.knot_count != 0 ? "isotonic" : "platt", "features",
                     names, "mean_probability", sl_figures_json(before), "calibrated",
                     sl_figures_json(after), "kinds", kinds_json(work));
}

static void print_report(const struct work *work, const struct sl_eval_row *rows, size_t count,
                         const struct sl_figures *before, const struct sl_figures *after,
                         FILE *out)
{
    const struct sl_linear_score *answer = &work->calibration->answer;
    fprintf(out, "%zu rows: half fitted, %zu measured. Features kept:", work->rows.count, count);
    for (size_t i = 0; i < answer->count; i++)
        fprintf(out, " %s %+.2f%s", sl_feature_id_word(answer->ids[i]), answer->weights[i],
                i + 1 < answer->count ? "," : "");
    if (work->calibration->gate != NULL)
        fprintf(out, "\nThe gate's weight in the choice of a label: %.2f.",
                work->calibration->prior_weight);
    fprintf(out, "\nMap: %s.\n\n  %-44s %9s %9s\n",
            answer->knot_count != 0 ? "isotonic" : "Platt's sigmoid", "", "mean prob", "fitted");
    sl_figures_print(after, before, out);
    print_kinds(work, out);
    print_thresholds(work, rows, count, out);
    print_plot(rows, count, out);
    print_certificates(work, out);
    fprintf(out, "\nStored: %s%s%s\n", work->out_path,
            work->calibration->gate_file[0] != '\0' ? " with the gate " : "",
            work->calibration->gate_file);
}

static void print_json(const struct work *work, FILE *out)
{
    json_t *object = sl_calibration_json(work->calibration), *missing = json_array();
    for (size_t i = 0; i < work->risk_count; i++)
        if (!work->certificates[i].holds)
            json_array_append_new(
                missing, json_pack("{s:f, s:I, s:f}", "risk", work->risks[i], "rows_missing",
                                   (json_int_t)work->certificates[i].rows_missing, "best_error",
                                   work->certificates[i].best_error));
    json_object_set_new(object, "not_certified", missing);
    json_object_set_new(object, "path", json_string(work->out_path));
    json_dumpf(object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    fputc('\n', out);
    json_decref(object);
}

/* ---- the whole ---- */

/* The usual ones, and the wanted one where it is another. */
static void choose_risks(struct work *work)
{
    const double standard[] = {0.01, 0.02, 0.05, 0.1};
    bool is_among = false;
    for (; work->risk_count < sizeof standard / sizeof *standard; work->risk_count++) {
        work->risks[work->risk_count] = standard[work->risk_count];
        is_among = is_among || fabs(standard[work->risk_count] - work->options->risk) < 1e-9;
    }
    if (!is_among)
        work->risks[work->risk_count++] = work->options->risk;
}

/* A new one; or the one that is there, to be added to. */
static enum sl_err start_calibration(struct work *work, struct sl_error *error)
{
    const uint8_t *digest = sl_engine_info(work->engine)->digest;
    if (work->options->add) {
        enum sl_err err = sl_calibration_open_beside(work->options->model_path, digest,
                                                     &work->calibration, error);
        work->risk_count = err == SL_OK ? work->calibration->risk_count : 0;
        for (size_t i = 0; i < work->risk_count; i++)
            work->risks[i] = work->calibration->risks[i].risk;
        return err;
    }
    work->calibration = calloc(1, sizeof *work->calibration);
    if (work->calibration == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    memcpy(work->calibration->model_digest, digest, 32);
    choose_risks(work);
    return SL_OK;
}

static enum sl_err prepare(struct work *work, struct sl_error *error)
{
    const struct sl_calibrate_options *options = work->options;
    bool fits = true;
    if (options->out_path != NULL)
        fits = (size_t)snprintf(work->out_path, sizeof work->out_path, "%s", options->out_path) <
               sizeof work->out_path;
    else
        fits = sl_calibration_path(options->model_path, ".calibration.json", work->out_path,
                                   sizeof work->out_path);
    if (options->gate_path != NULL)
        fits = fits && (size_t)snprintf(work->gate_path, sizeof work->gate_path, "%s",
                                        options->gate_path) < sizeof work->gate_path;
    else
        fits = fits && sl_calibration_path(options->model_path, ".gate", work->gate_path,
                                           sizeof work->gate_path);
    if (!fits)
        return sl_error_set(error, SL_ERR_INVALID, "path too long");
    /* Nothing is trained where kinds are added, so rows without parts all serve. */
    enum sl_err err = sl_labelled_read(options->data_path, options->add ? "held" : "val",
                                       options->rows_max, &work->rows, error);
    if (err == SL_OK)
        err = sl_command_open_engine(options->model_path, options->threads, &work->engine, error);
    if (err == SL_OK)
        err = start_calibration(work, error);
    return err == SL_OK ? sl_labelled_kinds(&work->rows, options->data_path,
                                            &work->calibration->kinds, error)
                        : err;
}

/* Figures of added rows stand within those of the calibration that they were added to. */
static void keep_report(struct sl_calibration *calibration, json_t *made)
{
    if (calibration->report == NULL)
        calibration->report = made;
    else
        json_object_set_new(calibration->report, "added", made);
}

static enum sl_err report(struct work *work, FILE *out, struct sl_error *error)
{
    size_t count, before_count;
    struct sl_figures before, after;
    struct sl_eval_row *rows = held_rows(work, BY_KIND, EVERY_KIND, &count);
    struct sl_eval_row *before_rows =
        held_rows(work, BY_MEAN_PROBABILITY, EVERY_KIND, &before_count);
    enum sl_err err = rows == NULL || before_rows == NULL
                          ? sl_error_set(error, SL_ERR_MEMORY, NULL)
                          : SL_OK;
    if (err == SL_OK) {
        const uint32_t resamples = 200; /* enough for a second digit; `sluice eval` does more */
        sl_figures_measure(before_rows, before_count, 0.6, 0, 0, &before);
        sl_figures_measure(rows, count, 0.6, resamples, work->options->seed, &after);
        keep_report(work->calibration, report_json(work, &before, &after));
        err = sl_calibration_save(work->calibration, work->out_path, error);
    }
    if (err == SL_OK && work->options->json)
        print_json(work, out);
    else if (err == SL_OK)
        print_report(work, rows, count, &before, &after, out);
    free(rows);
    free(before_rows);
    return err;
}

static const struct sl_certificate *wanted_certificate(const struct work *work)
{
    size_t i = 0; /* it is among them */
    while (i + 1 < work->risk_count && fabs(work->risks[i] - work->options->risk) >= 1e-9)
        i++;
    return &work->certificates[i];
}

/* The refusal names what is missing: rows, or answers that are right. */
static int refuse_risk(const struct work *work, const struct sl_certificate *certificate, FILE *err)
{
    fprintf(err, "sluice " COMMAND ": these rows do not certify a risk of %.4g: ",
            work->options->risk);
    if (certificate->rows_missing != 0)
        fprintf(err, "about %zu more answered rows are needed\n", certificate->rows_missing);
    else
        fprintf(err, "the surest answers are wrong %.2f %% of the time\n",
                100 * certificate->best_error);
    return SL_EXIT_FAILED;
}

static bool options_fit(const struct sl_calibrate_options *options, FILE *err)
{
    const char *wrong = NULL;
    if (options->model_path == NULL || options->data_path == NULL)
        wrong = "--model and --data are needed";
    else if (!(options->risk > 0 && options->risk <= 0.5))
        wrong = "--risk: expected a share above 0 and up to 0.5";
    else if (!(options->delta > 0 && options->delta <= 0.5))
        wrong = "--delta: expected a probability above 0 and up to 0.5";
    else if (options->oos_share >= 1)
        wrong = "--oos-share: expected a share below 1";
    if (wrong != NULL)
        fprintf(err, "sluice " COMMAND ": %s\n", wrong);
    return wrong == NULL;
}

int sl_calibrate_command(const struct sl_calibrate_options *options, FILE *out, FILE *err)
{
    struct work work = {.options = options, .err = err};
    struct sl_error error = {0};
    if (!options_fit(options, err))
        return SL_EXIT_USAGE;
    enum sl_err code = prepare(&work, &error);
    if (code == SL_OK && !options->add)
        code = find_gate(&work, &error);
    if (code == SL_OK && !options->add)
        code = choose_prior_weight(&work, &error);
    if (code == SL_OK)
        code = run_rows(&work, &error);
    if (code == SL_OK)
        code = weigh_rows(&work, &error);
    struct sl_fit_options fit = {.delta = options->delta,
                                 .risks = work.risks,
                                 .risk_count = work.risk_count,
                                 .seed = options->seed,
                                 .certificates = work.certificates};
    if (code == SL_OK)
        code = (options->add ? sl_fit_add : sl_fit)(work.fit_rows, work.rows.count, &fit,
                                                    work.calibration, &error);
    if (code == SL_OK)
        code = report(&work, out, &error);
    int status = code == SL_OK ? SL_EXIT_FINE : sl_command_fail(err, COMMAND, &error);
    fflush(out);
    if (code == SL_OK && !options->add && !wanted_certificate(&work)->holds)
        status = refuse_risk(&work, wanted_certificate(&work), err);
    work_clear(&work);
    return status;
}
