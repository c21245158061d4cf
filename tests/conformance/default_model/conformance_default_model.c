/* SPDX-License-Identifier: Apache-2.0
 *
 * What the shipped model promises, measured as its users would: `sluice eval` on the parts of the
 * reference data that it was not trained on, answers held to each file's labels. The goals are the
 * issue's; a goal that the shipped files miss stands here with what they reach, and with the goal
 * beside it, so that it cannot get worse unseen.
 *
 * Confidence has a goal in every kind of task. Of sentiment there are 316 rows, on which a score that
 * is true by construction has an ECE of 0.044 on average: no score can be shown to be at 0.04 there,
 * so `ece_over_perfect`, the distance to that, has a goal as well.
 */
#include "sluice/calibrate.h"

#include "test_support.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct goal {
    const char *file, *figure;
    bool at_least;
    double limit; /* what is demanded */
    double goal;  /* of the issue, where it is another */
};

/* clang-format off */
static const struct goal goals[] = {
    {"intent_clinc150.jsonl", "accuracy", true, 0.94, 0.94},
    {"intent_clinc150.jsonl", "auroc_oos", true, 0.97, 0.97},
    {"intent_clinc150.jsonl", "fpr95", false, 0.16, 0.16},
    {"intent_clinc150.jsonl", "ece", false, 0.02, 0.02},
    {"intent_clinc150.jsonl", "kept_accuracy", true, 0.95, 0.95},
    {"intent_clinc150.jsonl", "oos_escalated", true, 0.60, 0.60},
    {"intent_clinc150.jsonl", "ece_over_perfect", false, 0.01, 0},
    {"intent_hwu64.jsonl", "accuracy", true, 0.88, 0.88},
    {"intent_hwu64.jsonl", "ece", false, 0.03, 0.02},
    {"intent_hwu64.jsonl", "ece_over_perfect", false, 0.01, 0},
    {"intent_snips.jsonl", "accuracy", true, 0.97, 0.97},
    {"intent_snips.jsonl", "slot_f1", true, 0.85, 0.85},
    {"intent_snips.jsonl", "ece", false, 0.015, 0.02},
    {"sentiment_uci.jsonl", "accuracy", true, 0.80, 0.80},
    {"sentiment_uci.jsonl", "ece", false, 0.065, 0.04},
    {"sentiment_uci.jsonl", "ece_over_perfect", false, 0.02, 0},
    {"escalate_prompts.jsonl", "oos_escalated", true, 0.99, 0.99},
    {"escalate_prompts.jsonl", "early_share", true, 0.50, 0.50},
};
/* clang-format on */
#define GOALS (sizeof goals / sizeof *goals)

/* The JSON that the command prints for a file; the caller owns it. */
static json_t *measure(const char *file)
{
    struct sl_eval_options options;
    char name[64];
    snprintf(name, sizeof name, "data/%s", file);
    sl_eval_defaults(&options);
    options.model_path = DEFAULT_MODEL;
    options.data_path = sl_test_reference(name);
    options.bootstrap = 0;
    options.threads = 1;
    options.json = options.quiet = true;
    FILE *out = tmpfile();
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(sl_eval_command(&options, out, stderr), 0);
    rewind(out);
    json_t *report = json_loadf(out, 0, NULL);
    fclose(out);
    ck_assert_ptr_nonnull(report);
    return report;
}

static double figure_of(const json_t *report, const char *name)
{
    const json_t *figure = json_object_get(json_object_get(report, "figures"), name);
    if (figure != NULL)
        return json_real_value(json_object_get(figure, "value"));
    if (strcmp(name, "ece_over_perfect") == 0) {
        const json_t *kinds = json_object_get(report, "kinds");
        ck_assert_uint_eq(json_array_size(kinds), 1); /* the rows of a file are of one kind */
        const json_t *kind = json_array_get(kinds, 0);
        return json_real_value(json_object_get(kind, "ece")) -
               json_real_value(json_object_get(kind, "ece_chance"));
    }
    if (strcmp(name, "slot_f1") == 0)
        return json_real_value(json_object_get(report, name));
    ck_assert_str_eq(name, "early_share"); /* of the rows, escalated before a token is made */
    return (double)json_integer_value(json_object_get(report, "early")) /
           (double)json_integer_value(json_object_get(report, "rows"));
}

START_TEST(the_shipped_model_keeps_what_its_card_says)
{
    unsigned passed = 0;
    json_t *report = NULL;
    const char *measured = "";
    printf("  %-24s %-20s %8s %12s %8s\n", "held rows of", "figure", "value", "demanded", "goal");
    for (size_t i = 0; i < GOALS; i++) {
        const struct goal *goal = &goals[i];
        if (strcmp(goal->file, measured) != 0) {
            json_decref(report);
            report = measure(goal->file);
            measured = goal->file;
        }
        double value = figure_of(report, goal->figure);
        bool holds = goal->at_least ? value >= goal->limit : value <= goal->limit;
        printf("  %-24s %-20s %8.4f %8s %.3f %8.2f  %s\n", goal->file, goal->figure, value,
               goal->at_least ? ">=" : "<=", goal->limit, goal->goal, holds ? "ok" : "FAILED");
        passed += holds;
    }
    json_decref(report);
    printf("%u of %zu passed\n", passed, GOALS);
    ck_assert_uint_eq(passed, GOALS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("default model");
    TCase *tcase = tcase_create("default model");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, the_shipped_model_keeps_what_its_card_says);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
