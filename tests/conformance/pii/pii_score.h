/* SPDX-License-Identifier: Apache-2.0
 *
 * The scoring of the reference sets, as score.py beside them does it: per kind, exact bounds and
 * any overlap, and the leak, the share of personal bytes that no find of any kind covers.
 */
#ifndef SLUICE_TEST_PII_SCORE_H
#define SLUICE_TEST_PII_SCORE_H

#include "sluice/pii.h"

struct pii_gold {
    size_t start, end;
    size_t other_start, other_end; /* bounds that are as good; 0, 0: none */
    int kind;                      /* enum sl_pii_type, -1: a kind that the detector has not */
    bool is_required;
};

struct pii_row {
    const char *id, *text, *entity, *level, *region;
    size_t len;
    json_t *json;
    struct pii_gold gold[64];
    size_t gold_count;
    bool is_canonical, needs_region;
};

struct pii_rows {
    struct pii_row *items;
    size_t count;
};

struct pii_tally {
    unsigned gold, exact, overlap, predicted, predicted_exact, predicted_overlap;
    unsigned long bytes, covered;
};

struct pii_scores {
    struct pii_tally kinds[SL_PII_TYPE_COUNT];
    unsigned clean, untouched; /* rows without personal data */
};

/* Reads a reference file; skips the test where it is absent. */
void pii_rows_read(const char *name, struct pii_rows *rows);
void pii_rows_clear(struct pii_rows *rows);
/* Adds one row. `only`: finds of other kinds than the row's entity are dropped (-1: none). */
void pii_score_row(struct pii_scores *scores, const struct pii_row *row,
                   const struct sl_pii_spans *spans, int only);
double pii_recall(const struct pii_tally *tally);    /* any overlap */
double pii_precision(const struct pii_tally *tally); /* any overlap */
void pii_print_heading(const char *file);
void pii_print_kind(const char *word, const struct pii_tally *tally);

#endif
