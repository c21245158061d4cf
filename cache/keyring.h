/* SPDX-License-Identifier: Apache-2.0
 *
 * The key file and the keys derived from it.
 */
#ifndef SLUICE_CACHE_KEYRING_H
#define SLUICE_CACHE_KEYRING_H

#include "sluice/cache.h"
#include "sluice/crypto.h"

#define KEYRING_FILE_KEYS_MAX 8 /* one in use and those of rotations that a crash interrupted */
#define KEYRING_TAG_BYTES 16    /* enough that two names never share a tag by chance */

struct keyring;

/* Reads `path`, or makes it with fresh random keys where it does not exist. `path` NULL: keys that
 * live as long as the process. Errors: SL_ERR_IO, SL_ERR_FORBIDDEN (group or others may read it),
 * SL_ERR_FORMAT, SL_ERR_MEMORY. */
enum sl_err keyring_open(const char *path, struct keyring **out,
                         struct sl_error *error) SL_MUST_CHECK;
void keyring_free(struct keyring *keyring);

/* Hash states with the key's block already hashed: the inner one starts every key, the outer one of
 * the kind ends it (RFC 2104). */
const struct sl_sha256_state *keyring_inner(const struct keyring *keyring);
const struct sl_sha256_state *keyring_outer(const struct keyring *keyring, enum sl_cache_kind kind);

/* A keyed hash of a name or digest, for columns that are compared for equality. Empty or all-zero
 * input gives an all-zero tag, which matches no filter. */
void keyring_tag(const struct keyring *keyring, const char *purpose, struct sl_slice value,
                 uint8_t tag[KEYRING_TAG_BYTES]);
/* Proves that a store and a key file belong together without telling anything about the key. */
void keyring_check(const struct keyring *keyring, uint8_t check[SL_SHA256_BYTES]);
/* 128-bit key of the word hashes of similar texts. */
const uint64_t *keyring_word_key(const struct keyring *keyring);

/* Body keys. The current one seals; any known one opens. Ids are never used again. */
uint32_t keyring_body_id(struct keyring *keyring);
/* NULL where the id is unknown. The cipher lives as long as the keyring. */
const struct sl_cipher *keyring_cipher(struct keyring *keyring, uint32_t id);
/* The three below read or replace the file. Processes that share one call them inside a write
 * transaction of the store that they share, too: one at a time then.
 *
 * Takes up what another process changed in the file (a rotation): new body keys become known and
 * the first line the current one. An unreadable file changes nothing. */
void keyring_reload(struct keyring *keyring);
/* Adds a body key and makes it the current one; the file is replaced first (rename). SL_ERR_IO,
 * SL_ERR_LIMIT (rotations that were never finished), SL_ERR_MEMORY. */
enum sl_err keyring_rotate(struct keyring *keyring, struct sl_error *error) SL_MUST_CHECK;
/* Drops every body key but the current one from the file; nothing may be sealed with them. */
enum sl_err keyring_forget_old(struct keyring *keyring, struct sl_error *error) SL_MUST_CHECK;
/* Whether the file holds keys that a rotation still has to get rid of. */
bool keyring_has_old(struct keyring *keyring);

#endif
