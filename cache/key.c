/* SPDX-License-Identifier: Apache-2.0
 *
 * Cache keys: HMAC-SHA-256 over tagged, length-prefixed fields. Owns the encoding of fields; leaves
 * to the stages which fields count, and to keyring.c the keys.
 *
 * A field is tag (4 bytes), type (1), length (8), bytes; all little-endian. No two lists of fields
 * share an encoding, since every length stands before its bytes. The inner hash is the same for
 * both kinds, so that a request pays for its text once; the outer key differs (RFC 2104 proves the
 * construction for one outer key; two independent ones are two instances over one inner hash).
 *
 * JSON is hashed as a walk over the parsed value, in a binary form of its own: writing canonical
 * text only to hash it cost twice the time of the hashing (RFC 8785 does that).
 *
 * Threads: a builder belongs to one thread.
 */
#include "cache_state.h"

#include "keyring.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#define JSON_DEPTH_MAX 64       /* as deep as the parser of requests goes */
#define JSON_KEYS_MAX 256       /* of one object: requests have a dozen, schemas some tens */
#define JSON_KEYS_OPEN_MAX 1024 /* of all objects from the root to here: 8 KiB of stack */

enum field_type {
    FIELD_BYTES = 1,
    FIELD_U64,
    FIELD_DOUBLE,
    FIELD_JSON_NULL = 16,
    FIELD_JSON_FALSE,
    FIELD_JSON_TRUE,
    FIELD_JSON_INTEGER,
    FIELD_JSON_REAL,
    FIELD_JSON_STRING,
    FIELD_JSON_ARRAY,
    FIELD_JSON_OBJECT,
};

static void hash_head(struct sl_sha256_state *hash, uint32_t tag, enum field_type type,
                      uint64_t len)
{
    uint8_t head[13];
    for (unsigned i = 0; i < 4; i++)
        head[i] = (uint8_t)(tag >> (8 * i));
    head[4] = (uint8_t)type;
    for (unsigned i = 0; i < 8; i++)
        head[5 + i] = (uint8_t)(len >> (8 * i));
    sl_sha256_update(hash, head, sizeof head);
}

static void hash_bytes(struct sl_sha256_state *hash, uint32_t tag, enum field_type type,
                       struct sl_slice value)
{
    hash_head(hash, tag, type, value.len);
    if (value.len > 0)
        sl_sha256_update(hash, value.data, value.len);
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    double positive_zero = value == 0 ? 0 : value;
    memcpy(&bits, &positive_zero, sizeof bits);
    return bits;
}

void sl_cache_key_start(struct sl_cache_key_builder *builder, const struct sl_cache *cache)
{
    builder->cache = cache;
    builder->inner = *keyring_inner(cache->keyring);
}

void sl_cache_key_add(struct sl_cache_key_builder *builder, uint32_t tag, struct sl_slice value)
{
    hash_bytes(&builder->inner, tag, FIELD_BYTES, value);
}

/* Numbers need no bytes of their own: the value goes where the length stands. */
void sl_cache_key_add_u64(struct sl_cache_key_builder *builder, uint32_t tag, uint64_t value)
{
    hash_head(&builder->inner, tag, FIELD_U64, value);
}

void sl_cache_key_add_double(struct sl_cache_key_builder *builder, uint32_t tag, double value)
{
    hash_head(&builder->inner, tag, FIELD_DOUBLE, double_bits(value));
}

/* ---- JSON ---------------------------------------------------------------------------------- */

struct json_walk {
    struct sl_sha256_state *hash;
    uint32_t tag;
    unsigned depth;
    size_t open_count;
    const char *open[JSON_KEYS_OPEN_MAX]; /* the sorted keys of every object on the way down */
};

static enum sl_err walk_value(struct json_walk *walk, const json_t *value);

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum sl_err walk_object(struct json_walk *walk, const json_t *object)
{
    size_t count = json_object_size(object);
    if (count > JSON_KEYS_MAX || walk->open_count + count > JSON_KEYS_OPEN_MAX)
        return SL_ERR_LIMIT;
    const char **keys = walk->open + walk->open_count;
    /* jansson's iterator wants a non-const object and does not change it */
    json_t *walked = (json_t *)(uintptr_t)object;
    size_t filled = 0;
    for (void *at = json_object_iter(walked); at != NULL && filled < count;
         at = json_object_iter_next(walked, at))
        keys[filled++] = json_object_iter_key(at);
    qsort(keys, filled, sizeof *keys, compare_keys);
    walk->open_count += count;
    hash_head(walk->hash, walk->tag, FIELD_JSON_OBJECT, count);
    enum sl_err err = SL_OK;
    for (size_t i = 0; i < filled && err == SL_OK; i++) {
        hash_bytes(walk->hash, walk->tag, FIELD_JSON_STRING, sl_slice_of(keys[i]));
        err = walk_value(walk, json_object_get(object, keys[i]));
    }
    walk->open_count -= count;
    return err;
}

static enum sl_err walk_array(struct json_walk *walk, const json_t *array)
{
    size_t count = json_array_size(array);
    enum sl_err err = SL_OK;
    hash_head(walk->hash, walk->tag, FIELD_JSON_ARRAY, count);
    for (size_t i = 0; i < count && err == SL_OK; i++)
        err = walk_value(walk, json_array_get(array, i));
    return err;
}

/* 1.0 is the integer 1: clients write either. 2^63 itself is past what an integer holds. */
static void walk_real(struct json_walk *walk, double value)
{
    if (value == floor(value) && fabs(value) < 9223372036854775808.0)
        hash_head(walk->hash, walk->tag, FIELD_JSON_INTEGER, (uint64_t)(int64_t)value);
    else
        hash_head(walk->hash, walk->tag, FIELD_JSON_REAL, double_bits(value));
}

static enum sl_err walk_value(struct json_walk *walk, const json_t *value)
{
    enum sl_err err = SL_OK;
    if (walk->depth == JSON_DEPTH_MAX)
        return SL_ERR_LIMIT;
    walk->depth++;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        err = walk_object(walk, value);
        break;
    case JSON_ARRAY:
        err = walk_array(walk, value);
        break;
    case JSON_STRING:
        hash_bytes(walk->hash, walk->tag, FIELD_JSON_STRING,
                   (struct sl_slice){json_string_value(value), json_string_length(value)});
        break;
    case JSON_INTEGER:
        hash_head(walk->hash, walk->tag, FIELD_JSON_INTEGER, (uint64_t)json_integer_value(value));
        break;
    case JSON_REAL:
        walk_real(walk, json_real_value(value));
        break;
    case JSON_TRUE:
        hash_head(walk->hash, walk->tag, FIELD_JSON_TRUE, 0);
        break;
    case JSON_FALSE:
        hash_head(walk->hash, walk->tag, FIELD_JSON_FALSE, 0);
        break;
    case JSON_NULL:
        hash_head(walk->hash, walk->tag, FIELD_JSON_NULL, 0);
        break;
    }
    walk->depth--;
    return err;
}

enum sl_err sl_cache_key_add_json(struct sl_cache_key_builder *builder, uint32_t tag,
                                  const struct json_t *value)
{
    if (value == NULL) {
        hash_head(&builder->inner, tag, FIELD_BYTES, 0);
        return SL_OK;
    }
    struct json_walk walk;
    walk.hash = &builder->inner;
    walk.tag = tag;
    walk.depth = 0;
    walk.open_count = 0;
    return walk_value(&walk, value);
}

/* ---- the end ------------------------------------------------------------------------------- */

void sl_cache_key_finish(const struct sl_cache_key_builder *builder, enum sl_cache_kind kind,
                         struct sl_cache_key *key)
{
    uint8_t digest[SL_SHA256_BYTES];
    struct sl_sha256_state state = builder->inner;
    sl_sha256_finish(&state, digest);
    state = *keyring_outer(builder->cache->keyring, kind);
    sl_sha256_update(&state, digest, sizeof digest);
    sl_sha256_finish(&state, key->bytes);
}

struct sl_cache_digest sl_cache_digest_of(struct sl_slice bytes)
{
    uint8_t full[SL_SHA256_BYTES];
    struct sl_cache_digest digest;
    sl_sha256(bytes.data, bytes.len, full);
    memcpy(digest.bytes, full, sizeof digest.bytes);
    return digest;
}
