/* SPDX-License-Identifier: Apache-2.0
 *
 * The training itself, seen from `sluice train`: which Python, which recipe, and the child that runs
 * it. train_process.c has the functions, command_train.c the order of things.
 */
#ifndef SLUICE_GATEWAY_COMMAND_TRAIN_H
#define SLUICE_GATEWAY_COMMAND_TRAIN_H

#include "sluice/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SL_TRAIN_PATH 4096
#define SL_TRAIN_NAME 512

struct sl_training {
    /* Words of the command line, borrowed; NULL: the recipe's default. */
    const char *data, *start, *size, *minutes, *epochs, *type;
    bool from_scratch;
    uint64_t seed;
    uint32_t threads; /* 0: one a core */

    char name[SL_TRAIN_NAME - 64];  /* of the result, without .gguf */
    char folder[SL_TRAIN_PATH];     /* of the work, absolute */
    char recipe[SL_TRAIN_PATH];     /* folder of own.py */
    char python[SL_TRAIN_PATH];
};

/* Fills `recipe` and `python`. The recipe: $SLUICE_TRAIN_DIR, else share/sluice/train beside the
 * program's bin, else engine/default of the source tree that the program was built in. Python:
 * $SLUICE_PYTHON, else the first of python3 and /usr/bin/python3 that can load torch. Errors:
 * SL_ERR_NOT_FOUND with what to install. */
enum sl_err sl_training_find(struct sl_training *work, struct sl_error *error) SL_MUST_CHECK;

/* Runs own.py, which prints its progress on standard error and leaves f32.gguf, rows.jsonl and
 * report.jsonl in the folder. From here on Ctrl-C and SIGTERM end the child and are remembered.
 * Errors: SL_ERR_IO, SL_ERR_INVALID (it has said what is wrong), SL_ERR_SHUTDOWN (stopped). */
enum sl_err sl_training_run(struct sl_training *work, struct sl_error *error) SL_MUST_CHECK;
bool sl_training_was_stopped(void);

/* The folder and the files in it. */
void sl_training_remove_folder(const struct sl_training *work);

#endif
