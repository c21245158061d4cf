/* SPDX-License-Identifier: Apache-2.0
 *
 * What the index of similar prompts keeps of a text, and the look-up.
 */
#ifndef SLUICE_CACHE_SIMILAR_H
#define SLUICE_CACHE_SIMILAR_H

#include "keyring.h"
#include "vectors.h"

/* The text, the text less each of 64 words, six halves, the text without blanks, the meaning. */
#define SIMILAR_SIGNATURES_MAX 80

struct sl_cache;

/* One text ready for the index: no word of it can be read from this without the word key. */
struct similar_features {
    size_t signature_count;
    uint64_t signatures[SIMILAR_SIGNATURES_MAX];
    struct vector vector; /* scope 0: none */
    size_t words_len;
    uint8_t words[]; /* see similar_words.h; the vector is in it, too */
};

/* NULL where the text is none that another could be similar to, or out of memory. free() it. */
struct similar_features *similar_features_create(const struct keyring *keyring,
                                                 const struct sl_cache_similar_text *text);

/* Sealed words, bound to the entry's key. As record_seal and record_open; free() the result. */
uint8_t *similar_seal(struct keyring *keyring, const struct sl_cache_key *key, uint32_t key_id,
                      struct sl_slice words, size_t *sealed_len);
uint8_t *similar_open(struct keyring *keyring, const struct sl_cache_key *key, uint32_t key_id,
                      struct sl_slice sealed, size_t *words_len);

/* The writer's: files the embedding of a committed entry; and fills the index of embeddings from
 * the store, the oldest first, which are the first to make room, a few hundred rows a call.
 * `*after` is INT64_MIN at first, `last` the newest row when it began; false: done. */
void similar_file_vector(struct sl_cache *cache, int64_t id,
                         const struct similar_features *features);
bool similar_load_vectors(struct sl_cache *cache, int64_t *after, int64_t last);

#endif
