/* SPDX-License-Identifier: Apache-2.0
 *
 * Gate and calibration on CLINC150 of the reference data: trained on its train part, fitted and
 * certified on two thirds of its val part, and held to what they promise on the last third. Without
 * a model: the gate answers. Targets are those measured for such a gate in the reference notes.
 */
#include "calibrate.h"
#include "eval_figures.h"
#include "labelled.h"

#include "test_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EPOCHS 8 /* twelve gain 0.2 points and cost half a minute under the sanitizers */

static struct sl_gate *train_gate(const char *path)
{
    struct sl_labelled train, val;
    struct sl_error error = {0};
    struct sl_gate *gate;
    size_t count, val_count;
    char file[600];
    ck_assert_int_eq(sl_labelled_read(path, "train", 0, &train, &error), SL_OK);
    ck_assert_int_eq(sl_labelled_read(path, "val", 0, &val, &error), SL_OK);
    struct sl_gate_row *rows =
        sl_labelled_gate_rows(&train, train.labels, train.label_count, &count);
    struct sl_gate_row *val_rows =
        sl_labelled_gate_rows(&val, train.labels, train.label_count, &val_count);
    struct sl_gate_training training = {.rows = rows,
                                        .row_count = count,
                                        .labels = train.labels,
                                        .label_count = train.label_count,
                                        .val_rows = val_rows,
                                        .val_count = val_count,
                                        .epochs = EPOCHS};
    snprintf(file, sizeof file, "%s/clinc.gate", sl_test_scratch());
    ck_assert_msg(sl_gate_train(&training, file, &error) == SL_OK, "%s", error.message);
    ck_assert_int_eq(sl_gate_open(file, NULL, &gate, &error), SL_OK);
    free(rows);
    free(val_rows);
    sl_labelled_clear(&train);
    sl_labelled_clear(&val);
    return gate;
}

/* The features that a request has whose answer is the gate's label. */
static struct sl_fit_row *gate_rows(const struct sl_gate *gate, const struct sl_labelled *set)
{
    struct sl_fit_row *rows = calloc(set->count, sizeof *rows);
    for (size_t i = 0; i < set->count; i++) {
        const struct sl_labelled_row *row = &set->rows[i];
        struct sl_gate_result result;
        struct sl_features features;
        struct sl_gate_scope scope;
        float probabilities[SL_GATE_LABELS_MAX];
        sl_labelled_scope(set, row->set, gate, &scope);
        sl_gate_score_in(gate, row->text, &scope, probabilities, &result);
        sl_features_init(&features);
        features.has_gate = true;
        features.gate_probability = result.probability;
        features.gate_margin = result.margin;
        features.gate_entropy = result.entropy;
        features.gate_labels = result.labels;
        sl_features_vector(&features, rows[i].vector);
        rows[i].weight = 1;
        rows[i].key = row->key;
        rows[i].is_foreign = row->is_foreign;
        rows[i].is_right =
            row->label != NULL && strcmp(row->label, sl_gate_label(gate, result.label)) == 0;
    }
    return rows;
}

static size_t score(const struct sl_calibration *calibration, const struct sl_fit_row *rows,
                    size_t count, struct sl_eval_row *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (struct sl_eval_row){.score = sl_calibration_score(calibration, SL_KIND_SHARED,
                                                                    rows[i].vector),
                                      .weight = 1,
                                      .is_right = rows[i].is_right,
                                      .is_foreign = rows[i].is_foreign};
    sl_eval_sort(out, count);
    return count;
}

/* Rows whose turn it is go to the end: the third that neither fits nor certifies. */
static size_t set_third_apart(struct sl_fit_row *rows, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if ((rows[i].key >> 20) % 3 == 0)
            continue;
        struct sl_fit_row row = rows[kept];
        rows[kept++] = rows[i];
        rows[i] = row;
    }
    return kept;
}

/* How well the gate's entropy alone tells what is in scope: the notes measured 0.962. */
static double entropy_auroc(const struct sl_fit_row *rows, size_t count, struct sl_eval_row *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (struct sl_eval_row){.score = -rows[i].vector[SL_F_GATE_ENTROPY],
                                      .weight = 1,
                                      .is_foreign = rows[i].is_foreign};
    sl_eval_sort(out, count);
    return sl_eval_auroc(out, count, true);
}

static unsigned passed, checked;

static void check(const char *what, double value, double limit, bool at_least)
{
    bool holds = at_least ? value >= limit : value <= limit;
    printf("  %-52s %9.4f  %s %.4f  %s\n", what, value, at_least ? ">=" : "<=", limit,
           holds ? "ok" : "FAILED");
    checked++;
    passed += holds;
}

static void check_promise(const struct sl_certified_risk *risk, const struct sl_eval_row *rows,
                          size_t count)
{
    char what[80];
    double answered = 0, wrong = 0;
    for (size_t i = 0; i < count && rows[i].score >= risk->threshold; i++) {
        answered += 1;
        wrong += !rows[i].is_right;
    }
    /* Broken only where the true risk is above the promise with 95 % certainty. */
    double at_least = 1 - sl_eval_upper_bound(answered - wrong, answered, 0.05);
    snprintf(what, sizeof what, "risk %.2f on fresh rows (%.0f of %.0f wrong), surely above",
             risk->risk, wrong, answered);
    check(what, at_least, risk->risk, false);
}

START_TEST(a_gate_and_its_calibration_keep_their_promises_on_clinc150)
{
    const char *path = sl_test_reference("data/intent_clinc150.jsonl");
    struct sl_labelled val;
    struct sl_error error = {0};
    struct sl_figures figures;
    const double risks[] = {0.02, 0.05, 0.1};
    struct sl_fit_options options = {.delta = 0.1, .risks = risks, .risk_count = 3};
    struct sl_calibration calibration = {0};
    struct sl_gate *gate = train_gate(path);
    ck_assert_int_eq(sl_labelled_read(path, "val", 0, &val, &error), SL_OK);
    struct sl_fit_row *rows = gate_rows(gate, &val);
    size_t kept = set_third_apart(rows, val.count);
    ck_assert_msg(sl_fit(rows, kept, &options, &calibration, &error) == SL_OK, "%s", error.message);
    struct sl_eval_row *scored = calloc(val.count, sizeof *scored);
    printf("CLINC150 val, gate alone: %zu rows, %zu of them kept for the last check\n", val.count,
           val.count - kept);
    score(&calibration, rows, val.count, scored);
    sl_figures_measure(scored, val.count, 0.6, 0, 0, &figures);
    check("accuracy in scope", figures.value[SL_FIGURE_ACCURACY], 0.914, true);
    check("AUROC, in scope against foreign, by entropy", entropy_auroc(rows, val.count, scored),
          0.96, true);
    check("AUROC, in scope against foreign, by P(right)", figures.value[SL_FIGURE_AUROC_SCOPE],
          0.94, true);
    check("ECE of the calibrated score", figures.value[SL_FIGURE_ECE], 0.02, false);
    check("APGR, ideal cloud", figures.value[SL_FIGURE_APGR], 0.857, true);
    check("accuracy of what is answered at 0.6", figures.value[SL_FIGURE_KEPT_ACCURACY], 0.95,
          true);
    check("foreign escalated at 0.6", figures.value[SL_FIGURE_FOREIGN_ESCALATED], 0.6, true);
    check("risks certified", (double)calibration.risk_count, 2, true);
    size_t fresh = score(&calibration, rows + kept, val.count - kept, scored);
    for (size_t i = 0; i < calibration.risk_count; i++)
        check_promise(&calibration.risks[i], scored, fresh);
    printf("%u of %u passed\n", passed, checked);
    fflush(stdout);
    free(scored);
    free(rows);
    sl_labelled_clear(&val);
    sl_gate_free(gate);
    ck_assert_uint_eq(passed, checked);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calibration on reference data");
    TCase *tcase = tcase_create("clinc150");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, a_gate_and_its_calibration_keep_their_promises_on_clinc150);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
