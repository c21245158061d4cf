/* SPDX-License-Identifier: Apache-2.0
 *
 * The hashed words of one text, as the index keeps them sealed and the verifier compares them.
 *
 *     format 1 (1 byte), polite typos (1), words (1), then for each word:
 *       keyed hash (8), class (1), detail (1), flags (1), letters n (1), and where n > 0:
 *       n times the low half (4) of the keyed hash of the word without its i-th letter
 *
 * The last part lets the verifier see that two words are one edit apart without seeing them.
 */
#ifndef SLUICE_CACHE_SIMILAR_WORDS_H
#define SLUICE_CACHE_SIMILAR_WORDS_H

#include "similar_text.h"
#include "words/word_classes.h"

#include "sluice/cache.h"

#define WORDS_FORMAT 1
#define WORD_HEAD_BYTES 12
#define WORD_LETTERS_MAX 24 /* longer ones are never typos of each other */
#define WORDS_BYTES_MAX (3 + TEXT_WORDS_MAX * (WORD_HEAD_BYTES + 4 * WORD_LETTERS_MAX))

enum word_flags { WORD_IS_KNOWN = 1 };

struct word_view {
    uint64_t hash;
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

/* Whether the stored answer may be served. `has_same_meaning`: both carry the same meaning. */
enum sl_cache_match similar_verify(const struct words_view *stored, const struct words_view *asked,
                                   bool has_same_meaning);

#endif
