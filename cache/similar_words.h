/* SPDX-License-Identifier: Apache-2.0
 *
 * The hashed words of one text, as the index keeps them sealed and the verifier compares them.
 *
 *     format 2 (1 byte), polite typos (1), words (1), then for each word:
 *       keyed hash (8), that of the word and the next as one (8, zero for the last), class (1),
 *       detail (1), flags (1), letters n (1), and where n > 0:
 *       n times the low half (4) of the keyed hash of the word without its i-th letter
 *
 * The last part lets the verifier see that two words are one edit apart without seeing them.
 */
#ifndef SLUICE_CACHE_SIMILAR_WORDS_H
#define SLUICE_CACHE_SIMILAR_WORDS_H

#include "similar_text.h"
#include "words/word_classes.h"

#include "sluice/cache.h"

#define WORDS_FORMAT 2
#define WORD_HEAD_BYTES 20
#define WORD_LETTERS_MAX 24 /* longer ones are never typos of each other */
#define WORDS_BYTES_MAX (3 + TEXT_WORDS_MAX * (WORD_HEAD_BYTES + 4 * WORD_LETTERS_MAX))

enum word_flags {
    WORD_IS_KNOWN = 1,   /* in the filter of known words; only of those that a typo may hit */
    WORD_IS_STRANGE = 2, /* a name or a term: plain, four bytes or more, and not a known word */
};

struct word_view {
    uint64_t hash;
    uint64_t joined; /* with the next word, without the blank between; 0: there is none */
    enum word_class class;
    uint8_t detail;
    uint8_t flags;
    uint8_t letters; /* of the part that may hold a typo; 0: none may */
    const uint8_t *deletions;
};

struct words_view {
    unsigned polite_typos;
    size_t count;
    struct word_view words[TEXT_WORDS_MAX];
};

/* Returns the bytes written. */
size_t similar_words_write(const uint64_t key[2], const struct similar_text *text,
                           uint8_t out[WORDS_BYTES_MAX]);
bool similar_words_read(struct sl_slice bytes, struct words_view *view);
/* The keyed hash of the word without its i-th letter, low half. */
uint32_t word_deletion(const struct word_view *word, size_t i);

/* ---- verifier -------------------------------------------------------------------------------- */

/* How many words of such a text may be misspelt. */
unsigned similar_slips_max(const struct words_view *view);
/* Whether the stored answer may be served. `has_same_meaning`: both carry the same meaning. */
enum sl_cache_match similar_verify(const struct words_view *stored, const struct words_view *asked,
                                   bool has_same_meaning);

#endif
