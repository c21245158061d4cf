/* SPDX-License-Identifier: Apache-2.0
 *
 * Known answers: FIPS 180-4 (SHA-256), RFC 4231 (HMAC), the GCM specification by McGrew and Viega
 * (test cases 13 and 15), RFC 4648 (base64), and signatures made with `openssl dgst -sha256 -sign`.
 */
#include "sluice/crypto.h"
#include "test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void assert_hex(const uint8_t *bytes, size_t len, const char *expected)
{
    char hex[256];
    ck_assert_uint_lt(2 * len, sizeof hex);
    sl_hex_encode(bytes, len, hex);
    ck_assert_str_eq(hex, expected);
}

START_TEST(sha256_gives_the_published_digests_whole_and_in_pieces)
{
    static const char *const text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    static const char *const digest =
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
    uint8_t out[SL_SHA256_BYTES];
    sl_sha256("", 0, out);
    assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sl_sha256(text, 56, out);
    assert_hex(out, 32, digest);
    for (size_t cut = 0; cut <= 56; cut++) {
        struct sl_sha256_state state;
        struct sl_hash *hash = sl_hash_create(NULL, 0);
        sl_hash_update(hash, text, cut);
        sl_hash_update(hash, text + cut, 56 - cut);
        sl_hash_finish(hash, out);
        sl_hash_free(hash);
        assert_hex(out, 32, digest);
        sl_sha256_start(&state);
        sl_sha256_update(&state, text, cut);
        struct sl_sha256_state copy = state; /* a copy goes on by itself */
        sl_sha256_update(&state, "something else", 14);
        sl_sha256_update(&copy, text + cut, 56 - cut);
        sl_sha256_finish(&copy, out);
        assert_hex(out, 32, digest);
    }
}
END_TEST

START_TEST(hmac_gives_the_answers_of_rfc_4231)
{
    uint8_t key[131];
    uint8_t out[SL_SHA256_BYTES];
    memset(key, 0x0B, 20);
    sl_hmac_sha256(key, 20, "Hi There", 8, out);
    assert_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    sl_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xAA, 131); /* a key longer than a block */
    sl_hmac_sha256(key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54, out);
    assert_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    struct sl_hash *hash = sl_hash_create("Jefe", 4);
    sl_hash_update(hash, "what do ya want ", 16);
    sl_hash_update(hash, "for nothing?", 12);
    sl_hash_finish(hash, out);
    sl_hash_free(hash);
    assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    sl_hmac_sha256(NULL, 0, NULL, 0, out); /* an empty key is not "no key" */
    assert_hex(out, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}
END_TEST

START_TEST(gcm_opens_the_published_boxes)
{
    static const char *const box_empty = "000000000000000000000000"
                                         "530f8afbc74536b9a963b4f1c4cb738b";
    static const char *const box_text =
        "cafebabefacedbaddecaf888"
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
        "b094dac5d93471bdec1a502270e3cc6c";
    uint8_t key[32] = {0};
    uint8_t sealed[128];
    uint8_t plain[64];
    struct sl_slice none = {NULL, 0};
    struct sl_cipher *cipher = sl_cipher_create(key);
    ck_assert(sl_hex_decode(sl_slice_of(box_empty), sealed, 28));
    ck_assert_int_eq(sl_cipher_open(cipher, none, sealed, 28, plain), SL_OK);
    sl_cipher_free(cipher);
    ck_assert(sl_hex_decode(SL_SLICE("feffe9928665731c6d6a8f9467308308"
                                     "feffe9928665731c6d6a8f9467308308"),
                            key, 32));
    cipher = sl_cipher_create(key);
    ck_assert(sl_hex_decode(sl_slice_of(box_text), sealed, 92));
    ck_assert_int_eq(sl_cipher_open(cipher, none, sealed, 92, plain), SL_OK);
    assert_hex(plain, 64,
               "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
               "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255");
    sl_cipher_free(cipher);
    sl_cipher_free(NULL);
}
END_TEST

START_TEST(a_box_opens_only_whole_under_its_key_and_bound)
{
    uint8_t key[32] = {1};
    uint8_t sealed[7 + SL_SEAL_OVERHEAD];
    uint8_t again[7 + SL_SEAL_OVERHEAD];
    uint8_t plain[7];
    struct sl_slice bound = SL_SLICE("row 1");
    struct sl_cipher *cipher = sl_cipher_create(key);
    ck_assert_int_eq(sl_cipher_seal(cipher, bound, "private", 7, sealed), SL_OK);
    ck_assert_int_eq(sl_cipher_seal(cipher, bound, "private", 7, again), SL_OK);
    ck_assert_mem_ne(sealed, again, sizeof sealed); /* fresh nonces */
    ck_assert_int_eq(sl_cipher_open(cipher, bound, sealed, sizeof sealed, plain), SL_OK);
    ck_assert_mem_eq(plain, "private", 7);
    ck_assert_int_eq(sl_cipher_open(cipher, SL_SLICE("row 2"), sealed, sizeof sealed, plain),
                     SL_ERR_INTEGRITY);
    ck_assert_mem_eq(plain, "\0\0\0\0\0\0\0", 7);
    for (size_t at = 0; at < sizeof sealed; at++) {
        sealed[at] ^= 0x10;
        ck_assert_int_eq(sl_cipher_open(cipher, bound, sealed, sizeof sealed, plain),
                         SL_ERR_INTEGRITY);
        sealed[at] ^= 0x10;
    }
    for (size_t len = 0; len < sizeof sealed; len++)
        ck_assert_int_eq(sl_cipher_open(cipher, bound, sealed, len, plain), SL_ERR_INTEGRITY);
    sl_cipher_free(cipher);
    key[0] = 2;
    cipher = sl_cipher_create(key);
    ck_assert_int_eq(sl_cipher_open(cipher, bound, sealed, sizeof sealed, plain), SL_ERR_INTEGRITY);
    sl_cipher_free(cipher);
}
END_TEST

static const char p256_key[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEzCkb5KE+yWCG/n0mDRoKK58vEHUD\n"
                               "XTVjV5znDdgEKQ6X2uMvB8e1p3MpRE/qd5pBWbZSxrYSngC10KeMBK40SQ==\n"
                               "-----END PUBLIC KEY-----\n";
static const char p256_signature[] =
    "3045022072305beb66a8665e18bf2e712ba37b50ab88db5a2398b6b902c54d1f57ec07aa"
    "022100d560fcfba33d85a5e05d4707cd627c50cf0bd5b157842f6b76b0612bd2095052";
static const char k256_key[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEzDX3mRpRXT1P9p0wQRhno3JkRy2XyV2m\n"
                               "1pSmTCzfgk+Uk8trK5btzg5X2I0Ilus24wJnuvad6K6riQFDZ9Y9VA==\n"
                               "-----END PUBLIC KEY-----\n";
static const char k256_signature[] =
    "3045022100eda6a9c4942676e5b715b54d1c084d531feb818ed33c5a9e473883b13408ab5b"
    "02207d877df2473ca5462df27d381398fe59e5e4fdb117dfb7f56128d98612ff57e2";

static enum sl_err verify(const char *key, const char *text, const char *signature_hex, size_t cut)
{
    uint8_t signature[128];
    size_t len = strlen(signature_hex) / 2;
    struct sl_error error = {0};
    ck_assert(sl_hex_decode(sl_slice_of(signature_hex), signature, len));
    return sl_ecdsa_verify(sl_slice_of(key), text, strlen(text),
                           (struct sl_slice){(const char *)signature, len - cut}, &error);
}

START_TEST(a_signature_made_by_openssl_verifies_and_nothing_else_does)
{
    ck_assert_int_eq(verify(p256_key, "signed text", p256_signature, 0), SL_OK);
    ck_assert_int_eq(verify(p256_key, "signed texT", p256_signature, 0), SL_ERR_INTEGRITY);
    ck_assert_int_eq(verify(p256_key, "signed text", p256_signature, 1), SL_ERR_INTEGRITY);
    ck_assert_int_eq(verify(p256_key, "signed text", k256_signature, 0), SL_ERR_INTEGRITY);
    ck_assert_int_eq(verify("not a key", "signed text", p256_signature, 0), SL_ERR_FORMAT);
}
END_TEST

START_TEST(a_key_on_another_curve_of_256_bits_is_refused)
{
    ck_assert_int_eq(verify(k256_key, "signed text", k256_signature, 0), SL_ERR_FORMAT);
}
END_TEST

START_TEST(hex_and_base64_follow_their_rfc)
{
    static const char *const rows[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};
    char text[16];
    uint8_t bytes[2];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sl_base64url_encode(rows[i][0], strlen(rows[i][0]), text);
        ck_assert_str_eq(text, rows[i][1]);
    }
    ck_assert(sl_hex_decode(SL_SLICE("0aFf"), bytes, 2) && bytes[0] == 0x0A && bytes[1] == 0xFF);
    ck_assert(!sl_hex_decode(SL_SLICE("0aF"), bytes, 2));
    ck_assert(!sl_hex_decode(SL_SLICE("0aFff"), bytes, 2));
    ck_assert(!sl_hex_decode(SL_SLICE("0aFg"), bytes, 2));
}
END_TEST

START_TEST(random_bytes_differ)
{
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    sl_random_bytes(a, sizeof a);
    sl_random_bytes(b, sizeof b);
    ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crypto");
    TCase *tcase = tcase_create("crypto");
    tcase_add_test(tcase, sha256_gives_the_published_digests_whole_and_in_pieces);
    tcase_add_test(tcase, hmac_gives_the_answers_of_rfc_4231);
    tcase_add_test(tcase, gcm_opens_the_published_boxes);
    tcase_add_test(tcase, a_box_opens_only_whole_under_its_key_and_bound);
    tcase_add_test(tcase, a_signature_made_by_openssl_verifies_and_nothing_else_does);
    tcase_add_test(tcase, a_key_on_another_curve_of_256_bits_is_refused);
    tcase_add_test(tcase, hex_and_base64_follow_their_rfc);
    tcase_add_test(tcase, random_bytes_differ);
    suite_add_tcase(suite, tcase);
    return sl_test_main(suite);
}
