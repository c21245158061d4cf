/* SPDX-License-Identifier: Apache-2.0
 *
 * One labelled row through the local model, with its features: what calibration and evaluation have
 * in common. Greedy, one row at a time, so that the same rows always give the same features.
 */
#ifndef SLUICE_LOCAL_RUN_H
#define SLUICE_LOCAL_RUN_H

#include "calibration.h"
#include "label_prior.h"
#include "labelled.h"

#include "sluice/buf.h"
#include "sluice/engine.h"

struct sl_local_runner {
    struct sl_engine *engine;
    const struct sl_calibration *calibration; /* for its gate; NULL: none */
    struct sl_label_prior *prior;             /* owned; NULL: no calibration */
    json_t **schemas;                         /* by the rows' set; owned; NULL: free text */
    uint32_t set_count;
    uint32_t output_tokens_max;
};

struct sl_local_row {
    struct sl_features features;
    struct sl_buf answer;
    struct sl_score prompt_score;
    bool has_answer; /* false: the model cannot take the row (too long, no template) */
    bool is_right;
    uint64_t nanoseconds;
};

/* Fills the runner; `restrict_labels` holds intents and sentiment to the labels of their set.
 * SL_ERR_MEMORY: clear it all the same. */
enum sl_err sl_local_runner_init(struct sl_local_runner *runner, struct sl_engine *engine,
                                 const struct sl_calibration *calibration,
                                 const struct sl_labelled *rows, bool restrict_labels) SL_MUST_CHECK;
void sl_local_runner_clear(struct sl_local_runner *runner);
/* Runs one row. *out is filled anew; clear it with sl_local_row_clear. An answer that the model
 * cannot give is no error. Errors: those of the engine that mean it is broken. */
enum sl_err sl_local_run(struct sl_local_runner *runner, const struct sl_labelled_row *row,
                         struct sl_local_row *out, struct sl_error *error) SL_MUST_CHECK;
void sl_local_row_clear(struct sl_local_row *row);

#endif
