/* SPDX-License-Identifier: Apache-2.0
 *
 * Labelled rows: what to ask, and what is right. Reads JSONL in the forms that calibrate.h names,
 * judges answers, and knows how the default model is asked for each kind of task.
 *
 *     struct sl_labelled set;
 *     sl_labelled_read("a.jsonl,b.jsonl", "val", 0, &set, &error);
 *     json_t *messages = sl_labelled_messages(&set.rows[0]);
 *     bool right = sl_labelled_is_right(&set.rows[0], answer);
 *     sl_labelled_clear(&set);
 *
 * Threads: one owner; rows are read-only after reading.
 */
#ifndef SLUICE_LABELLED_H
#define SLUICE_LABELLED_H

#include "gate.h"

#include "sluice/err.h"
#include "sluice/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define SL_LABELLED_LINE_MAX (1u << 20)

enum sl_task { SL_TASK_ANSWER, SL_TASK_INTENT, SL_TASK_SENTIMENT, SL_TASK_SLOTS, SL_TASK_ENTITIES };
#define SL_TASKS (SL_TASK_ENTITIES + 1)

struct sl_labelled_row {
    json_t *object; /* owned; the rest borrows from it */
    enum sl_task task;
    struct sl_slice text; /* of the user's last message */
    const char *label;    /* NULL: none */
    uint32_t label_idx;   /* among all labels; UINT32_MAX: none */
    uint32_t set;         /* its file and task */
    bool is_foreign;      /* nothing that the box says is right */
    uint64_t key;         /* of id or text */
};

/* Labels, sorted, each once; borrowed from the rows. */
struct sl_label_list {
    const char **labels;
    uint32_t count;
};

struct sl_labelled {
    struct sl_labelled_row *rows;
    size_t count;
    const char **labels; /* of all rows with task intent or sentiment */
    uint32_t label_count;
    struct sl_label_list *sets; /* the same by set: file * SL_TASKS + task, so that the parts of one
                                 * list of files have the same numbers */
    uint32_t set_count;
};

/* Reads the files (names with commas between). `split` is a part by its name in the file, "" for
 * all rows, or "held": what a measurement should use.
 *   file names        "train"            "val"               "held"
 *   val               rows named train   rows named val      rows named val
 *   train only        all but a tenth    a tenth, by a hash  the same tenth (test rows, if any)
 *   other parts only  none               all rows            all rows (test rows, if any)
 *   no parts          half, by a hash    the other half      all rows
 * `rows_max` above 0 keeps that many, spread evenly.
 * Errors: SL_ERR_IO, SL_ERR_INVALID with FILE:LINE, SL_ERR_MEMORY. */
enum sl_err sl_labelled_read(const char *paths, const char *split, size_t rows_max,
                             struct sl_labelled *out, struct sl_error *error) SL_MUST_CHECK;
void sl_labelled_clear(struct sl_labelled *set);

/* The chat to send: the row's messages, or its text with the system line of its task. A new
 * reference; NULL when out of memory. */
json_t *sl_labelled_messages(const struct sl_labelled_row *row);
/* A JSON schema that holds answers to the labels of the rows' set; NULL where it has none. */
json_t *sl_labelled_schema(const struct sl_labelled *rows, uint32_t set);

/* The labels of a set that the gate knows; all of them for a set without. */
void sl_labelled_scope(const struct sl_labelled *rows, uint32_t set, const struct sl_gate *gate,
                       struct sl_gate_scope *scope);

bool sl_labelled_is_right(const struct sl_labelled_row *row, struct sl_slice answer);
/* Adds to true positives, false positives and false negatives of slots (name and exact value). */
void sl_labelled_count_slots(const struct sl_labelled_row *row, struct sl_slice answer,
                             size_t counts[3]);
/* Rows with a label, and foreign ones, for training a gate. free() it. */
struct sl_gate_row *sl_labelled_gate_rows(const struct sl_labelled *set,
                                          const char *const *labels, uint32_t label_count,
                                          size_t *count);

#endif
