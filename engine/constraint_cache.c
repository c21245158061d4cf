/* SPDX-License-Identifier: Apache-2.0
 *
 * Owns: the table of compiled constraints, and the trie over the vocabulary that all of them share,
 * made when the first constrained request comes: most processes never need it.
 *
 * The key is the hash of the schema's text as jansson writes it, which keeps the order of
 * properties: that order is part of what the constraint enforces.
 */
#include "constraint_cache.h"

#include "sluice/crypto.h"

#include <pthread.h>
#include <stdlib.h>

/* An app has a handful of schemas; a compiled one takes some ten to hundred KB. */
#define ENTRIES 16

struct entry {
    uint8_t key[SL_SHA256_BYTES];
    struct sl_constraint *constraint; /* NULL: free */
    uint64_t last_used;
};

struct sl_constraint_cache {
    const struct sl_tokenizer *tokenizer;
    pthread_mutex_t mutex; /* guards what follows */
    struct sl_constraint_vocab *vocab;
    uint64_t clock;
    struct entry entries[ENTRIES];
};

struct sl_constraint_cache *sl_constraint_cache_create(const struct sl_tokenizer *tokenizer)
{
    struct sl_constraint_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return NULL;
    cache->tokenizer = tokenizer;
    pthread_mutex_init(&cache->mutex, NULL);
    return cache;
}

void sl_constraint_cache_free(struct sl_constraint_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t idx = 0; idx < ENTRIES; idx++)
        sl_constraint_release(cache->entries[idx].constraint);
    sl_constraint_vocab_free(cache->vocab);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

static enum sl_err key_of(enum sl_format_kind kind, const json_t *schema, enum sl_tool_form form,
                          uint8_t key[SL_SHA256_BYTES], struct sl_error *error)
{
    char *text = schema != NULL ? json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    struct sl_hash *hash = sl_hash_create(NULL, 0);
    if (hash == NULL || (schema != NULL && text == NULL)) {
        sl_hash_free(hash);
        free(text);
        return sl_error_set(error, SL_ERR_MEMORY, NULL);
    }
    const int head[2] = {(int)kind, (int)form};
    sl_hash_update(hash, head, sizeof head);
    if (text != NULL)
        sl_hash_update(hash, text, strlen(text));
    sl_hash_finish(hash, key);
    sl_hash_free(hash);
    free(text);
    return SL_OK;
}

/* The mutex is held. A reference, or NULL. */
static struct sl_constraint *look_up(struct sl_constraint_cache *cache, const uint8_t *key)
{
    for (size_t idx = 0; idx < ENTRIES; idx++) {
        struct entry *entry = &cache->entries[idx];
        if (entry->constraint == NULL || memcmp(entry->key, key, SL_SHA256_BYTES) != 0)
            continue;
        entry->last_used = ++cache->clock;
        return sl_constraint_acquire(entry->constraint);
    }
    return NULL;
}

/* The mutex is held. Keeps a reference of its own, in the place of the least recently used. */
static void remember(struct sl_constraint_cache *cache, const uint8_t *key,
                     struct sl_constraint *constraint)
{
    struct entry *oldest = &cache->entries[0];
    for (size_t idx = 1; idx < ENTRIES; idx++)
        if (cache->entries[idx].last_used < oldest->last_used)
            oldest = &cache->entries[idx];
    sl_constraint_release(oldest->constraint);
    memcpy(oldest->key, key, SL_SHA256_BYTES);
    oldest->constraint = sl_constraint_acquire(constraint);
    oldest->last_used = ++cache->clock;
}

enum sl_err sl_constraint_cache_get(struct sl_constraint_cache *cache, enum sl_format_kind kind,
                                    const json_t *schema, enum sl_tool_form form,
                                    struct sl_constraint **constraint,
                                    const struct sl_constraint_vocab **vocab,
                                    struct sl_error *error)
{
    uint8_t key[SL_SHA256_BYTES];
    enum sl_err err = key_of(kind, schema, form, key, error);
    if (err != SL_OK)
        return err;
    pthread_mutex_lock(&cache->mutex);
    if (cache->vocab == NULL)
        err = sl_constraint_vocab_create(cache->tokenizer, &cache->vocab, error);
    *vocab = cache->vocab;
    *constraint = err == SL_OK ? look_up(cache, key) : NULL;
    pthread_mutex_unlock(&cache->mutex);
    if (err != SL_OK || *constraint != NULL)
        return err;
    err = sl_constraint_compile(kind, schema, form, constraint, error);
    if (err != SL_OK)
        return err;
    pthread_mutex_lock(&cache->mutex);
    remember(cache, key, *constraint);
    pthread_mutex_unlock(&cache->mutex);
    return SL_OK;
}
