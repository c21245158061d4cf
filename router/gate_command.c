/* SPDX-License-Identifier: Apache-2.0
 *
 * Training a gate by itself: `sluice train` and the recipe of the default model call it.
 * Measures the result on the validation part and prints it. Runs on the command's thread.
 */
#include "sluice/calibrate.h"

#include "command_support.h"

#include <stdlib.h>
#include <sys/stat.h>

#define COMMAND "gate"

void sl_gate_defaults(struct sl_gate_options *options)
{
    *options = (struct sl_gate_options){.epochs = 12};
}

static enum sl_err measure(const char *path, const struct sl_labelled *val, size_t *right,
                           size_t *labelled, struct sl_error *error)
{
    struct sl_gate *gate;
    enum sl_err err = sl_gate_open(path, NULL, &gate, error);
    *right = *labelled = 0;
    for (size_t i = 0; err == SL_OK && i < val->count; i++) {
        struct sl_gate_result result;
        struct sl_gate_scope scope;
        float probabilities[SL_GATE_LABELS_MAX];
        if (val->rows[i].label_idx == UINT32_MAX)
            continue;
        sl_labelled_scope(val, val->rows[i].set, gate, &scope);
        sl_gate_score_in(gate, val->rows[i].text, &scope, probabilities, &result);
        *right += strcmp(sl_gate_label(gate, result.label), val->rows[i].label) == 0;
        ++*labelled;
    }
    if (err == SL_OK)
        sl_gate_free(gate);
    return err;
}

static void print(const struct sl_gate_options *options, const struct sl_labelled *train,
                  size_t right, size_t labelled, FILE *out)
{
    struct stat status = {0};
    double accuracy = labelled == 0 ? 0 : (double)right / (double)labelled;
    (void)!stat(options->out_path, &status);
    if (options->json)
        fprintf(out, "{\"path\": \"%s\", \"bytes\": %lld, \"labels\": %u, \"rows\": %zu, "
                "\"val_rows\": %zu, \"val_accuracy\": %.6f}\n", options->out_path,
                (long long)status.st_size, train->label_count, train->count, labelled, accuracy);
    else
        fprintf(out, "%s: %lld bytes, %u labels, %zu rows; %.2f %% right of %zu held out\n",
                options->out_path, (long long)status.st_size, train->label_count, train->count,
                100 * accuracy, labelled);
}

int sl_gate_command(const struct sl_gate_options *options, FILE *out, FILE *err)
{
    struct sl_labelled train = {0}, val = {0};
    struct sl_error error = {0};
    struct sl_progress progress;
    size_t right = 0, labelled = 0;
    if (options->data_path == NULL || options->out_path == NULL) {
        fprintf(err, "sluice " COMMAND ": --data and --out are needed\n");
        return SL_EXIT_USAGE;
    }
    enum sl_err code = sl_labelled_read(options->data_path, "train", 0, &train, &error);
    if (code == SL_OK)
        code = sl_labelled_read(options->data_path, "val", 0, &val, &error);
    sl_progress_start(&progress, err, options->quiet, "epoch");
    if (code == SL_OK)
        code = sl_command_train_gate(&train, &val, options->buckets, options->epochs, options->seed,
                                     &progress, options->out_path, &error);
    sl_progress_end(&progress);
    if (code == SL_OK)
        code = measure(options->out_path, &val, &right, &labelled, &error);
    if (code == SL_OK)
        print(options, &train, right, labelled, out);
    sl_labelled_clear(&train);
    sl_labelled_clear(&val);
    return code == SL_OK ? SL_EXIT_FINE : sl_command_fail(err, COMMAND, &error);
}
