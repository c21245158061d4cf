/* SPDX-License-Identifier: Apache-2.0
 *
 * mbedTLS behind the names of crypto.h. The only file of base/ that sees its headers.
 */
#include "sluice/crypto.h"

#include "sluice/checked.h"
#include "sluice/secret.h"

#include <errno.h>
#include <mbedtls/error.h>
#include <mbedtls/gcm.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <sys/random.h>

#define SHA256_BLOCK_BYTES 64

void sl_sha256(const void *data, size_t len, uint8_t out[SL_SHA256_BYTES])
{
    mbedtls_sha256_ret(data, len, out, 0);
}

/* mbedTLS's context is plain data in 2.28 (no pointers), which is what makes the copy sound. */
_Static_assert(sizeof(mbedtls_sha256_context) <= sizeof(struct sl_sha256_state),
               "the opaque state must hold mbedTLS's");

static mbedtls_sha256_context *sha256_context(struct sl_sha256_state *state)
{
    return (mbedtls_sha256_context *)(void *)state->opaque;
}

void sl_sha256_start(struct sl_sha256_state *state)
{
    mbedtls_sha256_init(sha256_context(state));
    mbedtls_sha256_starts_ret(sha256_context(state), 0);
}

void sl_sha256_update(struct sl_sha256_state *state, const void *data, size_t len)
{
    mbedtls_sha256_update_ret(sha256_context(state), data, len);
}

void sl_sha256_finish(struct sl_sha256_state *state, uint8_t out[SL_SHA256_BYTES])
{
    mbedtls_sha256_finish_ret(sha256_context(state), out);
    sl_wipe(state, sizeof *state);
}

struct sl_hash {
    mbedtls_sha256_context inner;
    bool has_key;
    uint8_t outer_pad[SHA256_BLOCK_BYTES];
};

static void hash_start(struct sl_hash *hash, const void *key, size_t key_len)
{
    mbedtls_sha256_init(&hash->inner);
    mbedtls_sha256_starts_ret(&hash->inner, 0);
    hash->has_key = key != NULL;
    if (key == NULL)
        return;
    uint8_t block[SHA256_BLOCK_BYTES] = {0};
    if (key_len > sizeof block)
        sl_sha256(key, key_len, block);
    else
        memcpy(block, key, key_len);
    for (size_t i = 0; i < sizeof block; i++) {
        hash->outer_pad[i] = block[i] ^ 0x5C;
        block[i] ^= 0x36;
    }
    mbedtls_sha256_update_ret(&hash->inner, block, sizeof block);
    sl_wipe(block, sizeof block);
}

static void hash_end(struct sl_hash *hash, uint8_t out[SL_SHA256_BYTES])
{
    mbedtls_sha256_finish_ret(&hash->inner, out);
    if (hash->has_key) {
        mbedtls_sha256_starts_ret(&hash->inner, 0);
        mbedtls_sha256_update_ret(&hash->inner, hash->outer_pad, sizeof hash->outer_pad);
        mbedtls_sha256_update_ret(&hash->inner, out, SL_SHA256_BYTES);
        mbedtls_sha256_finish_ret(&hash->inner, out);
    }
    mbedtls_sha256_free(&hash->inner);
}

void sl_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                    uint8_t out[SL_SHA256_BYTES])
{
    struct sl_hash hash;
    hash_start(&hash, key != NULL ? key : "", key_len); /* an empty key is a key */
    mbedtls_sha256_update_ret(&hash.inner, data, len);
    hash_end(&hash, out);
    sl_wipe(&hash, sizeof hash);
}

struct sl_hash *sl_hash_create(const void *key, size_t key_len)
{
    struct sl_hash *hash = malloc(sizeof *hash);
    if (hash != NULL)
        hash_start(hash, key, key_len);
    return hash;
}

void sl_hash_update(struct sl_hash *hash, const void *data, size_t len)
{
    mbedtls_sha256_update_ret(&hash->inner, data, len);
}

void sl_hash_finish(struct sl_hash *hash, uint8_t out[SL_SHA256_BYTES]) { hash_end(hash, out); }

void sl_hash_free(struct sl_hash *hash)
{
    if (hash == NULL)
        return;
    mbedtls_sha256_free(&hash->inner);
    sl_wipe(hash, sizeof *hash);
    free(hash);
}

struct sl_cipher {
    uint8_t key[SL_AES256_KEY_BYTES];
};

struct sl_cipher *sl_cipher_create(const uint8_t key[SL_AES256_KEY_BYTES])
{
    struct sl_cipher *cipher = malloc(sizeof *cipher);
    if (cipher != NULL)
        memcpy(cipher->key, key, sizeof cipher->key);
    return cipher;
}

void sl_cipher_free(struct sl_cipher *cipher)
{
    if (cipher == NULL)
        return;
    sl_wipe(cipher, sizeof *cipher);
    free(cipher);
}

/* mbedTLS keeps working state in its context, so each call has one of its own: the key schedule
 * costs well under a microsecond with AES-NI. */
static int gcm_start(mbedtls_gcm_context *gcm, const struct sl_cipher *cipher)
{
    mbedtls_gcm_init(gcm);
    return mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, cipher->key, SL_AES256_KEY_BYTES * 8);
}

enum sl_err sl_cipher_seal(const struct sl_cipher *cipher, struct sl_slice bound, const void *plain,
                           size_t len, uint8_t *out)
{
    mbedtls_gcm_context gcm;
    uint8_t *text = out + SL_GCM_NONCE_BYTES;
    sl_random_bytes(out, SL_GCM_NONCE_BYTES);
    int rc = gcm_start(&gcm, cipher);
    if (rc == 0)
        rc = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, len, out, SL_GCM_NONCE_BYTES,
                                       (const uint8_t *)bound.data, bound.len, plain, text,
                                       SL_GCM_TAG_BYTES, text + len);
    mbedtls_gcm_free(&gcm);
    return rc == 0 ? SL_OK : SL_ERR_CRYPTO;
}

enum sl_err sl_cipher_open(const struct sl_cipher *cipher, struct sl_slice bound,
                           const void *sealed, size_t len, uint8_t *out)
{
    if (len < SL_SEAL_OVERHEAD)
        return SL_ERR_INTEGRITY;
    mbedtls_gcm_context gcm;
    const uint8_t *nonce = sealed;
    size_t text_len = len - SL_SEAL_OVERHEAD;
    const uint8_t *text = nonce + SL_GCM_NONCE_BYTES;
    int rc = gcm_start(&gcm, cipher);
    if (rc == 0)
        rc = mbedtls_gcm_auth_decrypt(&gcm, text_len, nonce, SL_GCM_NONCE_BYTES,
                                      (const uint8_t *)bound.data, bound.len, text + text_len,
                                      SL_GCM_TAG_BYTES, text, out);
    mbedtls_gcm_free(&gcm);
    if (rc == 0)
        return SL_OK;
    sl_wipe(out, text_len);
    return rc == MBEDTLS_ERR_GCM_AUTH_FAILED ? SL_ERR_INTEGRITY : SL_ERR_CRYPTO;
}

void sl_random_bytes(void *out, size_t len)
{
    char *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno != EINTR)
            abort(); /* no kernel since 3.17 does this; going on would mean a guessable key */
        if (got > 0) {
            at += got;
            len -= (size_t)got;
        }
    }
}

enum sl_err sl_ecdsa_verify(struct sl_slice public_key_pem, const void *data, size_t len,
                            struct sl_slice signature, struct sl_error *error)
{
    enum sl_err err = SL_OK;
    mbedtls_pk_context key;
    uint8_t digest[SL_SHA256_BYTES];
    char *pem = NULL;
    size_t pem_size; /* mbedTLS wants the NUL counted */
    mbedtls_pk_init(&key);
    if (!sl_size_add(public_key_pem.len, 1, &pem_size) || (pem = malloc(pem_size)) == NULL) {
        err = sl_error_set(error, SL_ERR_MEMORY, NULL);
        goto out;
    }
    memcpy(pem, public_key_pem.data, public_key_pem.len);
    pem[public_key_pem.len] = '\0';
    if (mbedtls_pk_parse_public_key(&key, (const uint8_t *)pem, pem_size) != 0 ||
        !mbedtls_pk_can_do(&key, MBEDTLS_PK_ECDSA) ||
        mbedtls_pk_ec(key)->grp.id != MBEDTLS_ECP_DP_SECP256R1) {
        err = sl_error_set(error, SL_ERR_FORMAT, "not a PEM public key on the curve P-256");
        goto out;
    }
    sl_sha256(data, len, digest);
    if (mbedtls_pk_verify(&key, MBEDTLS_MD_SHA256, digest, sizeof digest,
                          (const uint8_t *)signature.data, signature.len) != 0)
        err = sl_error_set(error, SL_ERR_INTEGRITY, "the signature does not fit key and data");
out:
    mbedtls_pk_free(&key);
    free(pem);
    return err;
}

void sl_hex_encode(const void *data, size_t len, char *out)
{
    static const char digit[] = "0123456789abcdef";
    const uint8_t *byte = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digit[byte[i] >> 4];
        out[2 * i + 1] = digit[byte[i] & 15];
    }
    out[2 * len] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool sl_hex_decode(struct sl_slice text, uint8_t *out, size_t out_len)
{
    if (text.len / 2 != out_len || text.len % 2 != 0)
        return false;
    for (size_t i = 0; i < out_len; i++) {
        int high = hex_value(text.data[2 * i]);
        int low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void sl_base64url_encode(const void *data, size_t len, char *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *byte = data;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | byte[i];
        bit_count += 8;
        while (bit_count >= 6) {
            bit_count -= 6;
            *out++ = alphabet[bits >> bit_count & 63];
        }
    }
    if (bit_count > 0)
        *out++ = alphabet[bits << (6 - bit_count) & 63];
    *out = '\0';
}
