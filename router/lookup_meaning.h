/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to router/: what a text asks for, in one word of the local model's own.
 */
#ifndef SLUICE_ROUTER_LOOKUP_MEANING_H
#define SLUICE_ROUTER_LOOKUP_MEANING_H

#include "sluice/confidence.h"
#include "sluice/request.h"

struct sl_label_prior;

/* The model that is asked. All borrowed. */
struct sl_meaning_model {
    struct sl_engine *engine;
    const struct sl_calibration *calibration;
    const struct sl_label_prior *prior;
};

struct sl_meaning {
    char intent[SL_MEANING_BYTES];
    double confidence; /* calibrated: P(the intent is right) */
};

/* Whether the model can tell meanings at all: one that generates, with a calibration of its own and
 * the gate that was trained with it. */
bool sl_meaning_is_ready(const struct sl_meaning_model *model);

/* Whether the intent is one for which an answer to one wording answers every wording. */
bool sl_meaning_is_plain(const char *intent);

/* Asks the model for the intent of a text. True where it is a plain one, named without slots, with a
 * calibrated score. Blocking, for a worker: half a millisecond with the default model, never longer
 * than until the monotonic deadline. */
bool sl_meaning_read(const struct sl_meaning_model *model, struct sl_slice text,
                     uint64_t deadline_ms, struct sl_meaning *out);

#endif
