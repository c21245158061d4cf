/* SPDX-License-Identifier: Apache-2.0
 *
 * What `sluice calibrate` and `sluice eval` do, as functions: they run the model over labelled rows,
 * fit or measure, and print.
 *
 *     struct sl_calibrate_options options;
 *     sl_calibrate_defaults(&options);
 *     options.model_path = "m.gguf";
 *     options.data_path = "rows.jsonl";
 *     return sl_calibrate_command(&options, stdout, stderr);
 *
 * Rows, one JSON object a line: `text` or `messages`, and what is right: `label` (intent,
 * sentiment), `slots`, `answer` or `answers` (any of these texts), or `escalate: true` / `oos: true`
 * (nothing that the box says is right). `split` ("train", "val") where the file has parts, else
 * parts are made by a hash of the id. Several files: names with commas between. The formats of the
 * reference data are read as they are.
 *
 * Exit codes: 0 fine, 1 failed, 2 used wrongly. Deterministic: the same model, rows and options
 * give the same file.
 */
#ifndef SLUICE_CALIBRATE_H
#define SLUICE_CALIBRATE_H

#include "sluice/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct sl_calibrate_options {
    const char *model_path;
    const char *data_path;
    const char *out_path;   /* NULL: MODEL.calibration.json beside the model */
    const char *gate_path;  /* NULL: MODEL.gate beside it; trained from the rows where absent */
    bool train_gate;        /* train it anew even where there is one */
    bool no_gate;
    bool add;               /* fit kinds of these rows over the calibration that is there */
    double risk;            /* 0.02: the one that must be certified, else exit code 1; others are
                             * certified where the rows suffice */
    double delta;           /* 0.1: how often the promise may fail over draws of the rows */
    double oos_share;       /* of rows to escalate in real traffic; below 0: as in the file */
    double cloud_usd;       /* price of one escalated request, for the expected cost; 0: not shown */
    uint64_t seed;
    uint32_t threads;       /* of the engine; 0: one a core */
    uint32_t rows_max;      /* 0: all; else this many, spread evenly */
    bool json;
    bool quiet;             /* no progress on `err` */
};
void sl_calibrate_defaults(struct sl_calibrate_options *options);
int sl_calibrate_command(const struct sl_calibrate_options *options, FILE *out, FILE *err);

struct sl_eval_options {
    const char *model_path;       /* NULL: the gate alone is measured */
    const char *calibration_path; /* NULL: the one beside the model, if any */
    const char *gate_path;        /* only with model_path NULL */
    const char *data_path;
    const char *split;            /* "held": the val part, else test, else a tenth of train by a
                                   * hash, else all; "" for all rows; or a part by its name */
    double threshold;             /* 0.6: the route's */
    bool restrict_labels;         /* true: answers are held to the file's labels by a schema */
    uint32_t bootstrap;           /* 1000 resamples; 0: no intervals */
    uint64_t seed;
    uint32_t threads;
    uint32_t rows_max;
    bool json;
    bool quiet;
};
void sl_eval_defaults(struct sl_eval_options *options);
int sl_eval_command(const struct sl_eval_options *options, FILE *out, FILE *err);

#endif
