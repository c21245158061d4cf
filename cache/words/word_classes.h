/* SPDX-License-Identifier: Apache-2.0
 *
 * Closed lists of words that the similar index treats in a way of their own.
 */
#ifndef SLUICE_CACHE_WORD_CLASSES_H
#define SLUICE_CACHE_WORD_CLASSES_H

#include "sluice/slice.h"

#include <stdint.h>

enum word_class {
    WORD_PLAIN,
    WORD_NUMBER,   /* has a digit, or is a number word, an ordinal, am or pm: `detail` its index */
    WORD_NEGATION, /* not, never, without, don't ... */
    WORD_OPPOSITE, /* one side of a pair as on and off; `detail` is pair * 2 + side */
    WORD_PLACEHOLDER, /* <EMAIL_1> */
    WORD_UNIT,        /* kg, miles, dollars ... */
};

/* `word` is normalised: not empty, lower case, no punctuation at its ends. */
enum word_class word_classify(struct sl_slice word, uint8_t *detail);

/* Number words as "twelve" have an index from 1; 0 for any other word. */
uint8_t word_number_index(struct sl_slice word);
/* The one number word that is one edit away from a word that is none itself; 0 where there is none
 * or more than one ("nineth": ninth or ninety). */
uint8_t word_number_meant(struct sl_slice word);

/* Whether one letter was lost, doubled, changed or swapped with its neighbour. */
bool word_is_one_edit(struct sl_slice a, struct sl_slice b);

#endif
