/* SPDX-License-Identifier: Apache-2.0
 *
 * The hashed words of one text, as the index keeps them sealed and the verifier compares them.
 *
 *     format 2 (1 byte), polite typos (1), words (1), then for each word:
 *       keyed hash (8), that of the word and the next as one (8, zero for the last), class (1),
 *       detail (1), flags (1), letters n (1), and where n > 0:
 *       n times the low half (4) of the keyed hash of the word without its i-th letter
 *
 *     and at the end the embedding, if there is one: elements m (2, 0: none), and where m > 0
 *       keyed hash of scope and model (8), m elements (1 each, signed)
 *
 * The letters' part lets the verifier see that two words are one edit apart without seeing them.
 */
#ifndef SLUICE_CACHE_SIMILAR_WORDS_H
#define SLUICE_CACHE_SIMILAR_WORDS_H

#include "similar_text.h"
#include "vectors.h"
#include "words/word_classes.h"

#include "sluice/cache.h"

#define WORDS_FORMAT 2
#define WORD_HEAD_BYTES 20
#define WORD_LETTERS_MAX 24 /* longer ones are never typos of each other */
#define WORDS_BYTES_MAX (3 + TEXT_WORDS_MAX * (WORD_HEAD_BYTES + 4 * WORD_LETTERS_MAX) + 2)
#define WORDS_VECTOR_BYTES_MAX (8 + VECTOR_LEN_MAX)

enum word_flags {
    WORD_IS_KNOWN = 1,    /* in the filter of known words; only of those that a typo may hit */
    WORD_IS_STRANGE = 2,  /* a name or a term: plain, four bytes or more, and not a known word */
    WORD_IS_FUNCTION = 4, /* an article, a form of "be" or "do" */
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
    struct sl_slice vector; /* its bytes; empty: none */
};

/* Returns the bytes written, without an embedding. */
size_t similar_words_write(const uint64_t key[2], const struct similar_text *text,
                           uint8_t out[WORDS_BYTES_MAX]);
/* Puts an embedding behind what similar_words_write wrote; returns the new length. */
size_t similar_words_add_vector(uint8_t *words, size_t len, const struct vector *vector);
/* False where there is none. */
bool similar_words_vector(const struct words_view *view, struct vector *out);
bool similar_words_read(struct sl_slice bytes, struct words_view *view);
/* The keyed hash of the word without its i-th letter, low half. */
uint32_t word_deletion(const struct word_view *word, size_t i);

/* ---- verifier -------------------------------------------------------------------------------- */

/* How many words of such a text may be misspelt. */
unsigned similar_slips_max(const struct words_view *view);
/* What proposed the pair. */
enum similar_basis {
    SIMILAR_BY_WORDS,
    SIMILAR_BY_MEANING, /* both carry the same meaning */
    SIMILAR_BY_VECTOR,  /* their embeddings are close */
};
/* Whether the stored answer may be served. */
enum sl_cache_match similar_verify(const struct words_view *stored, const struct words_view *asked,
                                   enum similar_basis basis);

#endif
