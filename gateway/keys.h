/* SPDX-License-Identifier: Apache-2.0
 *
 * API keys: 192 random bits each, of which the file keeps only SHA-256. A slow hash would protect a
 * guessable secret; nobody guesses 192 bits, and a look-up is on the path of every request.
 *
 *     {"keys": [{"id": "k3f9…", "name": "phone", "sha256": "…", "created": "2026-…Z",
 *                "requests_per_minute": 60, "tokens_per_minute": 0}]}
 *
 *     struct sl_keys *keys;
 *     if (sl_keys_open(path, &keys, &error) != SL_OK) ...
 *     struct sl_key_terms terms;
 *     if (sl_keys_find(keys, presented, &terms)) ...
 *
 * Threads: find, count and reload from any; add and revoke rewrite the file whole (rename), so a
 * running gateway sees either the old or the new one.
 */
#ifndef SLUICE_GATEWAY_KEYS_H
#define SLUICE_GATEWAY_KEYS_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdint.h>

#define SL_KEY_TEXT_BYTES 48 /* "sk-sluice-", 32 characters, NUL, room */
#define SL_KEY_NAME_MAX 64
#define SL_KEYS_MAX 1000 /* an office, not a service provider */

struct sl_keys;

/* What a key entitles to. */
struct sl_key_terms {
    char id[20];
    char name[SL_KEY_NAME_MAX]; /* of the app */
    uint32_t requests_per_minute; /* 0: no limit */
    uint32_t tokens_per_minute;   /* 0: no limit */
    int64_t created_s;
};

/* Reads the file; an absent one means no keys. Errors: SL_ERR_IO, SL_ERR_FORBIDDEN (others may
 * read it), SL_ERR_FORMAT with the entry. */
enum sl_err sl_keys_open(const char *path, struct sl_keys **out,
                         struct sl_error *error) SL_MUST_CHECK;
void sl_keys_close(struct sl_keys *keys);

/* Whether `presented` is a key; takes the same time wherever it differs. */
bool sl_keys_find(struct sl_keys *keys, struct sl_slice presented, struct sl_key_terms *terms);
size_t sl_keys_count(struct sl_keys *keys);
/* Copies the terms of key `idx`; false past the end. */
bool sl_keys_get(struct sl_keys *keys, size_t idx, struct sl_key_terms *terms);

/* Reads the file again where its time or size changed; what does not load is logged, and the old
 * keys stay. Cheap enough for once a second. */
void sl_keys_reload_if_changed(struct sl_keys *keys);

/* Makes a key and stores its hash. `text` gets the key itself: shown once, kept nowhere. `terms`
 * gives name and limits and gets the rest. Errors: SL_ERR_INVALID (name), SL_ERR_CONFLICT (name
 * taken), SL_ERR_LIMIT, SL_ERR_IO. */
enum sl_err sl_keys_add(struct sl_keys *keys, struct sl_key_terms *terms,
                        char text[SL_KEY_TEXT_BYTES], struct sl_error *error) SL_MUST_CHECK;
/* By id or name. SL_ERR_NOT_FOUND, SL_ERR_IO. */
enum sl_err sl_keys_revoke(struct sl_keys *keys, const char *id_or_name,
                           struct sl_error *error) SL_MUST_CHECK;

#endif
