/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands on labelled rows share: a progress line, an engine, a gate that is found or
 * trained.
 */
#ifndef SLUICE_COMMAND_SUPPORT_H
#define SLUICE_COMMAND_SUPPORT_H

#include "gate.h"
#include "labelled.h"

#include "sluice/engine.h"

#include <stdio.h>

enum { SL_EXIT_FINE = 0, SL_EXIT_FAILED = 1, SL_EXIT_USAGE = 2 };

/* "what: done/total" on one line of a terminal, a few times a second; nothing when quiet or no
 * terminal. */
struct sl_progress {
    FILE *out; /* NULL: silent */
    const char *what;
    uint64_t shown_ms;
};
void sl_progress_start(struct sl_progress *progress, FILE *err, bool quiet, const char *what);
void sl_progress_show(struct sl_progress *progress, size_t done, size_t total);
void sl_progress_end(struct sl_progress *progress);

/* Opens the model with one sequence, as it serves. */
enum sl_err sl_command_open_engine(const char *model_path, uint32_t threads,
                                   struct sl_engine **out, struct sl_error *error) SL_MUST_CHECK;
/* Trains a gate on the rows of `set` with a label, its temperature on `val`'s. */
enum sl_err sl_command_train_gate(const struct sl_labelled *set, const struct sl_labelled *val,
                                  uint32_t buckets, uint32_t epochs, uint64_t seed,
                                  struct sl_progress *progress, const char *path,
                                  struct sl_error *error) SL_MUST_CHECK;
/* "sluice COMMAND: message" on `err`; returns SL_EXIT_FAILED. */
int sl_command_fail(FILE *err, const char *command, const struct sl_error *error);
/* SHA-256 of a file. Errors: SL_ERR_IO. */
enum sl_err sl_command_digest(const char *path, uint8_t out[32], struct sl_error *error) SL_MUST_CHECK;
/* Makes the weights of foreign rows up to `share` of the total; all 1 where it is below 0. */
void sl_command_weigh(double share, const bool *is_foreign, double *weights, size_t count);

#endif
