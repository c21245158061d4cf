/* SPDX-License-Identifier: Apache-2.0
 *
 * Similar texts: the index is not there yet, so nothing is similar to anything.
 */
#include "similar.h"

#include "cache_state.h"

struct similar_features *similar_features_create(const struct keyring *keyring,
                                                 const struct sl_cache_similar_text *text)
{
    (void)keyring;
    (void)text;
    return NULL;
}

uint8_t *similar_seal(struct keyring *keyring, const struct sl_cache_key *key, uint32_t key_id,
                      struct sl_slice words, size_t *sealed_len)
{
    (void)keyring;
    (void)key;
    (void)key_id;
    (void)words;
    (void)sealed_len;
    return NULL;
}

uint8_t *similar_open(struct keyring *keyring, const struct sl_cache_key *key, uint32_t key_id,
                      struct sl_slice sealed, size_t *words_len)
{
    (void)keyring;
    (void)key;
    (void)key_id;
    (void)sealed;
    (void)words_len;
    return NULL;
}

enum sl_cache_outcome sl_cache_similar(struct sl_cache *cache,
                                       const struct sl_cache_similar_text *text,
                                       const struct sl_cache_want *want,
                                       struct sl_cache_entry *entry, enum sl_cache_match *match)
{
    (void)cache;
    (void)text;
    (void)want;
    memset(entry, 0, sizeof *entry);
    if (match != NULL)
        *match = SL_CACHE_MATCH_NONE;
    return SL_CACHE_MISS;
}

const char *sl_cache_match_name(enum sl_cache_match match)
{
    static const char *const names[] = {"none", "surface", "typo", "meaning"};
    return names[match];
}
