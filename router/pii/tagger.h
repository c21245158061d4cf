/* SPDX-License-Identifier: Apache-2.0
 *
 * A small tagger for people, places and organisations: a linear model over hashed features, decoded
 * with Viterbi. M. Collins, "Discriminative training methods for hidden Markov models" (2002). The
 * weights are int8 and part of the program; train/ has the corpus maker and the trainer, which
 * shares this file's features, so that what is trained is what is run.
 *
 * Only words that could be part of a name are looked at: capitalised ones, numbers (addresses),
 * words of the lists, and what stands between two of them. Everything else is outside at no cost.
 *
 * Private to router/pii and its trainer.
 */
#ifndef SLUICE_PII_TAGGER_H
#define SLUICE_PII_TAGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tag {
    TAG_OUTSIDE,
    TAG_PERSON_BEGIN,
    TAG_PERSON_INSIDE,
    TAG_PLACE_BEGIN,
    TAG_PLACE_INSIDE,
    TAG_FIRM_BEGIN,
    TAG_FIRM_INSIDE,
    TAG_COUNT
};

/* Flags of a word in the lists (name_table.inc). */
enum {
    WORD_FIRST = 1 << 0,
    WORD_LAST = 1 << 1,
    WORD_CITY = 1 << 2,
    WORD_COUNTRY = 1 << 3,
    WORD_COMMON = 1 << 4, /* an English word in small letters */
    WORD_FIRM = 1 << 5,
    WORD_STREET = 1 << 6,
    WORD_TITLE = 1 << 7
};

#define TAG_FEATURES 28u
#define TAG_BUCKET_BITS 16u
#define TAG_BUCKETS (1u << TAG_BUCKET_BITS)
#define TAG_LABELS 8u /* TAG_COUNT, rounded up for one 8-byte load */

/* A word, a number, one sign, or the end of a line. */
struct tag_token {
    size_t start, end;
    uint32_t word;  /* hash of the lower-case form */
    uint32_t tail;  /* hash of the last three letters */
    uint32_t head;  /* and of the first three */
    uint8_t shape;  /* see tagger.c */
    uint8_t flags;  /* WORD_… */
    bool is_active; /* could be part of a name */
};

/* Cuts a token at or after `at`; false at the end of the text. */
bool tag_next_token(const unsigned char *text, size_t len, size_t at, struct tag_token *token);
/* A word or a number, no sign. */
bool tag_is_word(const struct tag_token *token);
/* Sets is_active of tokens[0..count). */
void tag_mark_active(struct tag_token *tokens, size_t count);
/* The buckets of token i's features; 0 <= i < count. */
void tag_features(const struct tag_token *tokens, size_t count, size_t i,
                  uint32_t buckets[TAG_FEATURES]);
uint8_t tag_word_flags(const unsigned char *word, size_t len);

/* Weights as the model has them: label scores per bucket, and from label to label. */
struct tag_model {
    const int8_t (*weights)[TAG_LABELS]; /* [TAG_BUCKETS] */
    const int8_t (*moves)[TAG_LABELS];   /* [TAG_LABELS], from, to */
};
/* The best labels of one run of active tokens, the first of which is tokens[first]; run is at most
 * TAG_RUN_MAX. */
void tag_decode(const struct tag_model *model, const struct tag_token *tokens, size_t count,
                size_t first, size_t run, uint8_t *labels);

#define TAG_RUN_MAX 64u /* longer runs are cut: a list of names */

#endif
