/* SPDX-License-Identifier: Apache-2.0
 *
 * The text side of the gate: a text as a short list of hashed n-grams with counts. Shared by
 * scoring and training, which must agree to the bit.
 */
#ifndef SLUICE_GATE_TEXT_H
#define SLUICE_GATE_TEXT_H

#include "gate.h"

/* Words, pairs of words, and runs of 2 to 5 bytes inside a word with its borders: at most seven
 * n-grams end at one byte. */
#define SL_GATE_NGRAMS_MAX ((SL_GATE_TEXT_BYTES_MAX + 2) * 7)

struct sl_gate_ngram {
    uint32_t bucket;
    float count;
};

/* Fills `out` (room for SL_GATE_NGRAMS_MAX), sorted by bucket, each bucket once; returns how many.
 * `buckets` is a power of two. */
size_t sl_gate_ngrams(struct sl_slice text, uint32_t buckets, struct sl_gate_ngram *out);

/* Turns counts into weights: (1 + log count) * idf, then scaled to length 1. */
void sl_gate_weigh(struct sl_gate_ngram *ngrams, size_t count, const float *idf);

#endif
