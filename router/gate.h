/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate: a linear classifier over hashed n-grams of the text, in 8-bit integers, 1 to 3 MB. It
 * knows the labelled requests that the box was made for, and is as good as a small decoder at
 * telling known from unknown; both together beat either. Its file stands beside the model.
 *
 *     struct sl_gate *gate;
 *     if (sl_gate_open("m.gate", NULL, &gate, &error) != SL_OK) ...
 *     struct sl_gate_result result;
 *     sl_gate_score(gate, SL_SLICE("turn on the light"), &result);
 *     printf("%s %.3f\n", sl_gate_label(gate, result.label), result.probability);
 *     sl_gate_free(gate);
 *
 * File (little endian): "SLGATE1\n", u32 buckets, u32 labels, f32 temperature, u32 label bytes,
 * labels as NUL-ended words, f32 scale[labels], f32 bias[labels], f32 idf[buckets],
 * i8 weight[buckets][labels].
 *
 * Threads: a gate is immutable; any number of threads score at once.
 */
#ifndef SLUICE_GATE_H
#define SLUICE_GATE_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define SL_GATE_LABELS_MAX 1024
#define SL_GATE_BUCKETS_MAX (1u << 18)
#define SL_GATE_TEXT_BYTES_MAX 1024 /* what is read of a text; commands are short */

struct sl_gate;

struct sl_gate_result {
    uint32_t label;
    float probability; /* of the best label */
    float margin;      /* log p(best) - log p(second) */
    float entropy;     /* of all labels in scope, over their logarithm: 0 to 1 */
    uint32_t labels;   /* in scope */
};

/* The labels that may be answered: one bit each. */
struct sl_gate_scope {
    uint64_t bits[SL_GATE_LABELS_MAX / 64];
    uint32_t count;
};

/* `digest` NULL, or the SHA-256 that the file must have (SL_ERR_INTEGRITY). Errors: SL_ERR_IO,
 * SL_ERR_FORMAT, SL_ERR_MEMORY. */
enum sl_err sl_gate_open(const char *path, const uint8_t *digest, struct sl_gate **out,
                         struct sl_error *error) SL_MUST_CHECK;
/* The same from memory; the bytes are copied. */
enum sl_err sl_gate_read(const void *data, size_t len, struct sl_gate **out,
                         struct sl_error *error) SL_MUST_CHECK;
void sl_gate_free(struct sl_gate *gate);
uint32_t sl_gate_labels(const struct sl_gate *gate);
const char *sl_gate_label(const struct sl_gate *gate, uint32_t label);
/* UINT32_MAX: the gate does not know it. */
uint32_t sl_gate_find_label(const struct sl_gate *gate, struct sl_slice label);
void sl_gate_scope_add(struct sl_gate_scope *scope, uint32_t label);
void sl_gate_scope_all(const struct sl_gate *gate, struct sl_gate_scope *scope);
/* The labels that a JSON schema names in its `enum`s and `const`s; all of them where it names fewer
 * than two, or where `schema` is NULL. */
void sl_gate_scope_schema(const struct sl_gate *gate, const json_t *schema,
                          struct sl_gate_scope *scope);
bool sl_gate_scope_has(const struct sl_gate_scope *scope, uint32_t label);
/* Among all labels. */
void sl_gate_score(const struct sl_gate *gate, struct sl_slice text, struct sl_gate_result *out);
/* Among those in scope; `probabilities` gets one number a label, 0 out of scope. */
void sl_gate_score_in(const struct sl_gate *gate, struct sl_slice text,
                      const struct sl_gate_scope *scope, float *probabilities,
                      struct sl_gate_result *out);
void sl_gate_probabilities(const struct sl_gate *gate, struct sl_slice text, float *probabilities);
/* True where the answer names the label as a whole word, without regard to case; `_`, `-`, `.` and
 * blanks count as one. */
bool sl_gate_names_label(const struct sl_gate *gate, uint32_t label, struct sl_slice answer);

/* ---- training ---- */

#define SL_GATE_FOREIGN UINT32_MAX

struct sl_gate_row {
    struct sl_slice text;
    uint32_t label; /* SL_GATE_FOREIGN: none fits; teaches an even distribution */
    uint32_t set;   /* rows of one set compete for that set's labels, small numbers from 0 */
};
struct sl_gate_training {
    const struct sl_gate_row *rows;
    size_t row_count;
    const char *const *labels;
    uint32_t label_count;
    /* Rows that choose the temperature; NULL: a tenth of the rows, held out by a hash. */
    const struct sl_gate_row *val_rows;
    size_t val_count;
    uint32_t buckets; /* 0: 16384, less with more than 183 labels; a power of two */
    double l2;        /* 0: chosen */
    uint32_t epochs;  /* 0: 12 */
    uint64_t seed;
    /* Called after each epoch; NULL: none. */
    void (*progress)(void *ctx, uint32_t epoch, uint32_t epochs, double loss);
    void *progress_ctx;
};
/* Fits, quantizes and writes `path`. Deterministic: the same rows, options and seed give the same
 * bytes. Errors: SL_ERR_INVALID (no rows, labels out of range), SL_ERR_IO, SL_ERR_MEMORY. */
enum sl_err sl_gate_train(const struct sl_gate_training *training, const char *path,
                          struct sl_error *error) SL_MUST_CHECK;

#endif
