/* SPDX-License-Identifier: Apache-2.0
 *
 * Kinds of task, so that 0.8 means right in eight of ten in each of them. One score over all tasks
 * is right on average and wrong in the parts: a model is surer of a review's sentiment than it is
 * right, and less sure of a command. Each kind has one slope and one shift over the shared score:
 *
 *   p' = sigmoid(slope * logit(p) + shift)
 *
 * (Platt 1999; calibration by group: Pleiss et al. 2017, Hebert-Johnson et al. 2018). They rise, so
 * the order within a kind, and every bound that holds for the shared score, stays.
 *
 *     uint32_t kind = sl_kinds_of(&calibration->kinds, schema);
 *     double p = sl_kinds_answer(&calibration->kinds, kind, shared);
 *
 * A kind is what a request alone shows: the label words that its schema allows, or that it asks for
 * no form at all. A schema is of the kind that has most of its words, and more than half of them;
 * so an app that allows a part of a kind's labels is of that kind, and one that allows others is of
 * none and keeps the shared score. Names are for people; nothing is found by them.
 *
 * Threads: immutable once indexed.
 */
#ifndef SLUICE_CALIBRATION_KINDS_H
#define SLUICE_CALIBRATION_KINDS_H

#include "sluice/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_KIND_SHARED 0u /* no kind: the shared score */
#define SL_KINDS_MAX 64
#define SL_KIND_LABELS_MAX 1024 /* as many as a gate knows */
#define SL_KIND_NAME_MAX 64
#define SL_KIND_SLOPE_MAX 20.0 /* steeper is a step, and no fit of a probability */
#define SL_KIND_SHIFT_MAX 20.0

/* Over the shared score; {1, 0} leaves it as it is. */
struct sl_kind_map {
    double slope, shift;
};

struct sl_kind {
    char name[SL_KIND_NAME_MAX];
    bool is_text;  /* requests without a schema; else those of these labels */
    char **labels; /* sorted, each once; owned */
    size_t label_count;
    size_t rows, right; /* that fitted */
    struct sl_kind_map answer, prompt;
};

struct sl_kind_word {
    uint64_t hash;
    uint32_t kind;
};

struct sl_kinds {
    struct sl_kind items[SL_KINDS_MAX]; /* kind k is items[k - 1] */
    size_t count;
    struct sl_kind_word *words; /* of all labels, by hash; owned; made by sl_kinds_index */
    size_t word_count;
};

/* Copies name (cut where it is too long) and labels, which are sorted, each once. The kind's number
 * in *kind: that of an equal one where there is one. Errors: SL_ERR_LIMIT, SL_ERR_MEMORY. */
enum sl_err sl_kinds_add(struct sl_kinds *kinds, const char *name, bool is_text,
                         const char *const *labels, size_t label_count,
                         uint32_t *kind) SL_MUST_CHECK;
/* To be called after the last one was added and before one is looked for. SL_ERR_MEMORY. */
enum sl_err sl_kinds_index(struct sl_kinds *kinds) SL_MUST_CHECK;
void sl_kinds_clear(struct sl_kinds *kinds);

/* The kind of a request with this schema; NULL: it asks for no form. */
uint32_t sl_kinds_of(const struct sl_kinds *kinds, const json_t *schema);
/* "shared" for none. */
const char *sl_kinds_name(const struct sl_kinds *kinds, uint32_t kind);

/* The shared score of an answer, or of a prompt, made into that of the kind; NaN stays NaN. */
double sl_kinds_answer(const struct sl_kinds *kinds, uint32_t kind, double shared);
double sl_kinds_prompt(const struct sl_kinds *kinds, uint32_t kind, double shared);
bool sl_kind_map_is_shared(const struct sl_kind_map *map);
/* log(p / (1 - p)), held where isotonic maps end in 0 and 1: at four nines. */
double sl_kind_logit(double p);

#endif
