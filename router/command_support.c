/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by calibrate_command.c and eval_command.c. Runs on the command's thread.
 */
#include "command_support.h"

#include "sluice/clock.h"
#include "sluice/crypto.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define PROGRESS_MS 200 /* five times a second is movement enough */

void sl_progress_start(struct sl_progress *progress, FILE *err, bool quiet, const char *what)
{
    bool is_shown = !quiet && err != NULL && isatty(fileno(err));
    *progress = (struct sl_progress){.out = is_shown ? err : NULL, .what = what};
}

void sl_progress_show(struct sl_progress *progress, size_t done, size_t total)
{
    uint64_t now_ms = sl_monotonic_ms();
    if (progress->out == NULL || (now_ms - progress->shown_ms < PROGRESS_MS && done != total))
        return;
    progress->shown_ms = now_ms;
    fprintf(progress->out, "\r%s: %zu of %zu ", progress->what, done, total);
    fflush(progress->out);
}

void sl_progress_end(struct sl_progress *progress)
{
    if (progress->out != NULL && progress->shown_ms != 0)
        fputs("\r\033[K", progress->out);
}

enum sl_err sl_command_open_engine(const char *model_path, uint32_t threads,
                                   struct sl_engine **out, struct sl_error *error)
{
    struct sl_engine_config config = {
        .model_path = model_path, .threads = threads, .sequences_max = 1};
    return sl_engine_open(&config, out, error);
}

static void show_epoch(void *ctx, uint32_t epoch, uint32_t epochs, double loss)
{
    (void)loss;
    sl_progress_show(ctx, epoch, epochs);
}

enum sl_err sl_command_train_gate(const struct sl_labelled *set, const struct sl_labelled *val,
                                  uint32_t buckets, uint32_t epochs, uint64_t seed,
                                  struct sl_progress *progress, const char *path,
                                  struct sl_error *error)
{
    size_t count, val_count;
    const char *const *labels = set->labels;
    struct sl_gate_row *rows = sl_labelled_gate_rows(set, labels, set->label_count, &count);
    struct sl_gate_row *val_rows = sl_labelled_gate_rows(val, labels, set->label_count, &val_count);
    enum sl_err err = rows == NULL || val_rows == NULL ? sl_error_set(error, SL_ERR_MEMORY, NULL)
                                                       : SL_OK;
    struct sl_gate_training training = {
        .rows = rows,
        .row_count = count,
        .labels = labels,
        .label_count = set->label_count,
        .val_rows = val_count != 0 ? val_rows : NULL,
        .val_count = val_count,
        .buckets = buckets,
        .epochs = epochs,
        .seed = seed,
        .progress = show_epoch,
        .progress_ctx = progress,
    };
    if (err == SL_OK)
        err = sl_gate_train(&training, path, error);
    free(rows);
    free(val_rows);
    return err;
}

int sl_command_fail(FILE *err, const char *command, const struct sl_error *error)
{
    fprintf(err, "sluice %s: %s\n", command, error->message);
    return SL_EXIT_FAILED;
}

enum sl_err sl_command_digest(const char *path, uint8_t out[32], struct sl_error *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return sl_error_set(error, SL_ERR_IO, "%s: %s", path, strerror(errno));
    struct sl_hash *hash = sl_hash_create(NULL, 0);
    char chunk[65536];
    size_t got;
    while (hash != NULL && (got = fread(chunk, 1, sizeof chunk, file)) > 0)
        sl_hash_update(hash, chunk, got);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (hash == NULL || failed) {
        sl_hash_free(hash);
        return sl_error_set(error, failed ? SL_ERR_IO : SL_ERR_MEMORY, "%s: cannot be read", path);
    }
    sl_hash_finish(hash, out);
    sl_hash_free(hash);
    return SL_OK;
}

void sl_command_weigh(double share, const bool *is_foreign, double *weights, size_t count)
{
    size_t foreign = 0;
    for (size_t i = 0; i < count; i++)
        foreign += is_foreign[i];
    bool can_mix = share >= 0 && foreign != 0 && foreign != count;
    double total = (double)count;
    for (size_t i = 0; i < count; i++) {
        double of_side = is_foreign[i] ? share * total / (double)foreign
                                       : (1 - share) * total / (double)(count - foreign);
        weights[i] = can_mix ? of_side : 1;
    }
}
