/* SPDX-License-Identifier: Apache-2.0
 *
 * Hashes, ciphers, signatures and randomness: a thin face over mbedTLS, whose headers stay in
 * crypto.c. Sources: SHA-256 FIPS 180-4; HMAC RFC 2104; AES-GCM NIST SP 800-38D; ECDSA FIPS 186-4.
 *
 * Threads: any; an incremental hash belongs to one thread at a time.
 */
#ifndef SLUICE_CRYPTO_H
#define SLUICE_CRYPTO_H

#include "sluice/err.h"
#include "sluice/slice.h"

#include <stdint.h>

#define SL_SHA256_BYTES 32
#define SL_AES256_KEY_BYTES 32
#define SL_GCM_NONCE_BYTES 12
#define SL_GCM_TAG_BYTES 16
#define SL_SEAL_OVERHEAD (SL_GCM_NONCE_BYTES + SL_GCM_TAG_BYTES)

void sl_sha256(const void *data, size_t len, uint8_t out[SL_SHA256_BYTES]);
void sl_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[SL_SHA256_BYTES]);

/* Incremental SHA-256; with a key, HMAC. */
struct sl_hash;
struct sl_hash *sl_hash_create(const void *key, size_t key_len); /* key NULL: plain SHA-256 */
void sl_hash_update(struct sl_hash *hash, const void *data, size_t len);
void sl_hash_finish(struct sl_hash *hash, uint8_t out[SL_SHA256_BYTES]);
void sl_hash_free(struct sl_hash *hash);

/* Incremental SHA-256 on the caller's stack, with no allocation and nothing to free. A state may be
 * copied by assignment, so a prefix (a key's block, say) is hashed once and continued many times. */
struct sl_sha256_state {
    uint64_t opaque[16];
};
void sl_sha256_start(struct sl_sha256_state *state);
void sl_sha256_update(struct sl_sha256_state *state, const void *data, size_t len);
void sl_sha256_finish(struct sl_sha256_state *state, uint8_t out[SL_SHA256_BYTES]);

/* AES-256-GCM with a fresh random nonce. `out` gets nonce + ciphertext + tag: `len` +
 * SL_SEAL_OVERHEAD bytes. `bound` is authenticated, not stored: open needs the same. */
struct sl_cipher; /* a key with its schedule; immutable, shared by threads */
struct sl_cipher *sl_cipher_create(const uint8_t key[SL_AES256_KEY_BYTES]);
void sl_cipher_free(struct sl_cipher *cipher);
enum sl_err sl_cipher_seal(const struct sl_cipher *cipher, struct sl_slice bound,
                           const void *plain, size_t len, uint8_t *out) SL_MUST_CHECK;
/* `out` gets `len` - SL_SEAL_OVERHEAD bytes. SL_ERR_INTEGRITY: wrong key, bound or bytes; `out` is
 * then wiped. */
enum sl_err sl_cipher_open(const struct sl_cipher *cipher, struct sl_slice bound,
                           const void *sealed, size_t len, uint8_t *out) SL_MUST_CHECK;

/* Cryptographic randomness from the kernel; aborts where the kernel has none. */
void sl_random_bytes(void *out, size_t len);

/* Verifies a DER-encoded ECDSA P-256 signature of SHA-256(`data`) under a PEM public key: what
 * `openssl dgst -sha256 -verify` accepts. SL_ERR_INTEGRITY where it does not fit. */
enum sl_err sl_ecdsa_verify(struct sl_slice public_key_pem, const void *data, size_t len,
                            struct sl_slice signature, struct sl_error *error) SL_MUST_CHECK;

/* Lower-case hex; `out` needs 2 * len + 1 bytes. */
void sl_hex_encode(const void *data, size_t len, char *out);
/* false where `text` is not hex of exactly `out_len` bytes. */
bool sl_hex_decode(struct sl_slice text, uint8_t *out, size_t out_len);
/* Base64 without padding in the URL alphabet (RFC 4648 section 5); `out` needs len*4/3 + 3. */
void sl_base64url_encode(const void *data, size_t len, char *out);

#endif
