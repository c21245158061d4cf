/* SPDX-License-Identifier: Apache-2.0
 *
 * `sluice eval`: measures the local model, its calibration and its gate on labelled rows, as the
 * walk of a request would use them. With a gate alone (no model) it measures the gate.
 *
 * Runs on the command's thread. Privacy: prints figures, never a row's text.
 */
#include "sluice/calibrate.h"

#include "command_support.h"
#include "eval_figures.h"
#include "eval_kinds.h"
#include "local_run.h"

#include <math.h>
#include <stdlib.h>

#define COMMAND "eval"
#define PROMPT_SCORE_MIN 0.25 /* of a route by default: below, no token is made */

void sl_eval_defaults(struct sl_eval_options *options)
{
    *options = (struct sl_eval_options){
        .split = "held", .threshold = 0.6, .restrict_labels = true, .bootstrap = 1000};
}

struct work {
    const struct sl_eval_options *options;
    FILE *err;
    struct sl_labelled rows;
    struct sl_engine *engine;
    struct sl_calibration *calibration;
    struct sl_gate *gate; /* without a model */
    struct sl_eval_row *scored;
    uint32_t *kinds;                 /* of the rows, as scored until that is sorted */
    struct sl_kind_figures *by_kind; /* kind_count of them; [0] of the rows of no kind */
    size_t kind_count;
    double *milliseconds;
    size_t refused;       /* rows that the model could not take */
    size_t early;         /* rows that escalate before a token is made */
    size_t early_foreign, foreign;
    size_t slots[3];      /* true positives, false positives, false negatives */
};

static void work_clear(struct work *work)
{
    sl_labelled_clear(&work->rows);
    sl_calibration_free(work->calibration);
    sl_gate_free(work->gate);
    sl_engine_close(work->engine);
    free(work->scored);
    free(work->milliseconds);
    free(work->kinds);
    free(work->by_kind);
}

/* ---- opening ---- */

static enum sl_err open_calibration(struct work *work, struct sl_error *error)
{
    const struct sl_eval_options *options = work->options;
    const uint8_t *digest = sl_engine_info(work->engine)->digest;
    if (options->calibration_path != NULL)
        return sl_calibration_open(options->calibration_path, digest, &work->calibration, error);
    struct sl_error found = {0};
    enum sl_err err =
        sl_calibration_open_beside(options->model_path, digest, &work->calibration, &found);
    if (err == SL_OK || err == SL_ERR_NOT_FOUND)
        return SL_OK;
    *error = found;
    return err;
}

static enum sl_err open_all(struct work *work, struct sl_error *error)
{
    const struct sl_eval_options *options = work->options;
    enum sl_err err = sl_labelled_read(options->data_path, options->split, options->rows_max,
                                       &work->rows, error);
    if (err == SL_OK && work->rows.count == 0)
        return sl_error_set(error, SL_ERR_INVALID, "%s: no rows in split \"%s\"",
                            options->data_path, options->split);
    if (err == SL_OK && options->model_path == NULL)
        return sl_gate_open(options->gate_path, NULL, &work->gate, error);
    if (err == SL_OK)
        err = sl_command_open_engine(options->model_path, options->threads, &work->engine, error);
    return err == SL_OK ? open_calibration(work, error) : err;
}

/* ---- running ---- */

static void note(struct work *work, size_t idx, uint32_t kind, double score, bool is_right,
                 double milliseconds)
{
    work->kinds[idx] = kind;
    work->scored[idx] = (struct sl_eval_row){.score = isfinite(score) ? score : 0,
                                             .weight = 1,
                                             .is_right = is_right,
                                             .is_foreign = work->rows.rows[idx].is_foreign};
    work->milliseconds[idx] = milliseconds;
    work->foreign += work->rows.rows[idx].is_foreign;
}

static void note_local(struct work *work, size_t idx, const struct sl_local_row *result)
{
    const struct sl_labelled_row *row = &work->rows.rows[idx];
    struct sl_score score = sl_confidence_score(&result->features, work->calibration);
    double value = score.method == SL_SCORE_NONE || !result->has_answer ? 0 : score.value;
    bool is_early = result->prompt_score.method != SL_SCORE_NONE &&
                    result->prompt_score.value < fmin(PROMPT_SCORE_MIN, work->options->threshold);
    if (is_early) /* the walk would not have come to the answer's score */
        value = fmin(value, result->prompt_score.value);
    work->refused += !result->has_answer;
    work->early += is_early;
    work->early_foreign += is_early && row->is_foreign;
    if (!row->is_foreign)
        sl_labelled_count_slots(row, sl_buf_slice(&result->answer), work->slots);
    note(work, idx, result->features.kind, value, result->is_right, (double)result->nanoseconds / 1e6);
}

static enum sl_err run_model(struct work *work, struct sl_error *error)
{
    struct sl_local_runner runner;
    struct sl_progress progress;
    enum sl_err err = sl_local_runner_init(&runner, work->engine, work->calibration, &work->rows,
                                           work->options->restrict_labels);
    sl_progress_start(&progress, work->err, work->options->quiet, "running rows");
    for (size_t i = 0; i < work->rows.count && err == SL_OK; i++) {
        struct sl_local_row result;
        err = sl_local_run(&runner, &work->rows.rows[i], &result, error);
        if (err == SL_OK)
            note_local(work, i, &result);
        sl_local_row_clear(&result);
        sl_progress_show(&progress, i + 1, work->rows.count);
    }
    sl_progress_end(&progress);
    sl_local_runner_clear(&runner);
    return err;
}

static void run_gate(struct work *work)
{
    for (size_t i = 0; i < work->rows.count; i++) {
        const struct sl_labelled_row *row = &work->rows.rows[i];
        struct sl_gate_result result;
        struct sl_gate_scope scope;
        float probabilities[SL_GATE_LABELS_MAX];
        sl_labelled_scope(&work->rows, row->set, work->gate, &scope);
        sl_gate_score_in(work->gate, row->text, &scope, probabilities, &result);
        bool is_right = row->label != NULL &&
                        strcmp(row->label, sl_gate_label(work->gate, result.label)) == 0;
        note(work, i, SL_KIND_SHARED, result.probability, is_right, 0);
    }
}

static enum sl_err run(struct work *work, struct sl_error *error)
{
    work->scored = calloc(work->rows.count + 1, sizeof *work->scored);
    work->milliseconds = calloc(work->rows.count + 1, sizeof *work->milliseconds);
    work->kinds = calloc(work->rows.count + 1, sizeof *work->kinds);
    if (work->scored == NULL || work->milliseconds == NULL || work->kinds == NULL)
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    if (work->gate == NULL)
        return run_model(work, error);
    run_gate(work);
    return SL_OK;
}

/* ---- the report ---- */

static const char *method_word(const struct work *work)
{
    if (work->gate != NULL)
        return "gate";
    return sl_score_method_word(work->calibration != NULL ? SL_SCORE_CALIBRATED
                                                          : SL_SCORE_MEAN_PROBABILITY);
}

/* Before the rows are sorted. */
static enum sl_err measure_kinds(struct work *work, struct sl_error *error)
{
    size_t count = work->rows.count;
    struct sl_eval_row *own = malloc((count + 1) * sizeof *own);
    work->kind_count = 1 + (work->calibration == NULL ? 0 : work->calibration->kinds.count);
    work->by_kind = calloc(work->kind_count, sizeof *work->by_kind);
    if (own == NULL || work->by_kind == NULL) {
        free(own);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    for (uint32_t kind = 0; kind < work->kind_count; kind++) {
        size_t rows = sl_eval_of_kind(work->scored, work->kinds, count, kind, own);
        sl_kind_figures_measure(own, rows, work->options->seed, &work->by_kind[kind]);
    }
    free(own);
    return SL_OK;
}

static const char *kind_name(const struct work *work, uint32_t kind)
{
    return work->calibration == NULL ? method_word(work)
                                     : sl_kinds_name(&work->calibration->kinds, kind);
}

static json_t *kinds_json(const struct work *work)
{
    json_t *list = json_array();
    for (uint32_t kind = 0; kind < work->kind_count; kind++)
        if (work->by_kind[kind].rows != 0)
            json_array_append_new(
                list, sl_kind_figures_json(kind_name(work, kind), &work->by_kind[kind]));
    return list;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double slot_f1(const struct work *work)
{
    double hits = (double)work->slots[0];
    double misses = (double)(work->slots[1] + work->slots[2]);
    return hits + misses > 0 ? 2 * hits / (2 * hits + misses) : (double)NAN;
}

static double quantile(const struct work *work, double share)
{
    return work->milliseconds[(size_t)(share * (double)(work->rows.count - 1))];
}

static void print_json(const struct work *work, const struct sl_figures *figures, FILE *out)
{
    json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:s, s:f, s:o, s:I, s:I, s:f, s:f}", "data",
                               work->options->data_path, "rows", (json_int_t)work->rows.count,
                               "oos_rows", (json_int_t)work->foreign, "refused",
                               (json_int_t)work->refused, "score", method_word(work), "threshold",
                               work->options->threshold, "figures", sl_figures_json(figures),
                               "early", (json_int_t)work->early, "early_oos",
                               (json_int_t)work->early_foreign, "ms_p50", quantile(work, 0.5),
                               "ms_p99", quantile(work, 0.99));
    if (!isnan(slot_f1(work)))
        json_object_set_new(object, "slot_f1", json_real(slot_f1(work)));
    json_object_set_new(object, "kinds", kinds_json(work));
    json_dumpf(object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    fputc('\n', out);
    json_decref(object);
}

static void print_text(const struct work *work, const struct sl_figures *figures, FILE *out)
{
    fprintf(out, "%s: %zu rows, %zu of them foreign; score: %s; threshold %.4g\n",
            work->options->data_path, work->rows.count, work->foreign, method_word(work),
            work->options->threshold);
    sl_figures_print(figures, NULL, out);
    if (!isnan(slot_f1(work)))
        fprintf(out, "  %-44s %9.4f\n", "slot F1, exact", slot_f1(work));
    for (uint32_t kind = 0; kind < work->kind_count; kind++)
        if (work->by_kind[kind].rows != 0)
            sl_kind_figures_print(kind_name(work, kind), &work->by_kind[kind], out);
    if (work->gate != NULL)
        return;
    fprintf(out, "\n  %-44s %9zu\n", "rows the model could not take", work->refused);
    fprintf(out, "  %-44s %9zu (%zu foreign)\n", "escalated before a token", work->early,
            work->early_foreign);
    fprintf(out, "  %-44s %7.2f, %.2f\n", "milliseconds a row, p50 and p99", quantile(work, 0.5),
            quantile(work, 0.99));
}

static bool options_fit(const struct sl_eval_options *options, FILE *err)
{
    const char *wrong = NULL;
    if (options->data_path == NULL)
        wrong = "--data is needed";
    else if (options->model_path == NULL && options->gate_path == NULL)
        wrong = "--model or --gate is needed";
    else if (!(options->threshold >= 0 && options->threshold <= 1))
        wrong = "--threshold: expected a number between 0 and 1";
    if (wrong != NULL)
        fprintf(err, "sluice " COMMAND ": %s\n", wrong);
    return wrong == NULL;
}

int sl_eval_command(const struct sl_eval_options *options, FILE *out, FILE *err)
{
    struct work work = {.options = options, .err = err};
    struct sl_error error = {0};
    if (!options_fit(options, err))
        return SL_EXIT_USAGE;
    enum sl_err code = open_all(&work, &error);
    if (code == SL_OK)
        code = run(&work, &error);
    if (code == SL_OK)
        code = measure_kinds(&work, &error);
    if (code == SL_OK) {
        struct sl_figures figures;
        sl_figures_measure(work.scored, work.rows.count, options->threshold, options->bootstrap,
                           options->seed, &figures);
        qsort(work.milliseconds, work.rows.count, sizeof(double), compare_doubles);
        if (options->json)
            print_json(&work, &figures, out);
        else
            print_text(&work, &figures, out);
    }
    int status = code == SL_OK ? SL_EXIT_FINE : sl_command_fail(err, COMMAND, &error);
    work_clear(&work);
    return status;
}
